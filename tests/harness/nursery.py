"""The process from which children are forked: ``python -m harness.nursery <socket>``.

It has no threads and no connections, so a fork of it is clean. Each child has a keeper,
which tells the test over a socket what happens to the child, and kills it when the test
goes away.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from harness import actors


def main(address: str) -> None:
    """Serve until standard input is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _leave_after(lambda: _keep(connection))  # noqa: B023
        connection.close()


def _leave_after(work: Any) -> None:
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _keep(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    wakeup_read, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup_write)
    lines = connection.makefile("rw", encoding="utf-8")
    job = json.loads(lines.readline())
    reports, to_report = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.close()
        os.close(reports)
        _leave_after(lambda: _work(job, to_report))
    os.close(to_report)
    try:
        _follow(pid, lines, connection, reports, wakeup_read)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise


class _Reports:
    """What a child writes: lines that are passed on, and its report at the end."""

    def __init__(self, pipe: int, tell: Callable[..., None]) -> None:
        self.pipe = pipe
        self.is_open = True
        self.last: dict[str, Any] = {}
        self._tell = tell
        self._rest = b""

    def read(self) -> None:
        read = os.read(self.pipe, 1 << 16)
        self.is_open = bool(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "event" in message:
                self._tell(**message)
            else:
                self.last = message


def _follow(pid: int, lines: Any, connection: socket.socket, pipe: int, wakeup: int) -> None:
    def tell(**message: Any) -> None:
        lines.write(json.dumps(message) + "\n")
        lines.flush()

    tell(event="started", pid=pid)
    reports = _Reports(pipe, tell)
    while True:
        watched = [connection, wakeup, *([pipe] if reports.is_open else [])]
        readable, _, _ = select.select(watched, [], [])
        if pipe in readable:
            reports.read()
        if wakeup in readable:
            os.read(wakeup, 100)
            while True:
                done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
                if not done:
                    break
                if os.WIFSTOPPED(status):
                    tell(event="frozen")
                    continue
                while reports.is_open:
                    reports.read()
                died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
                tell(event="over", signal=died, **{"result": None, "error": None, **reports.last})
                return
        if connection in readable and not connection.recv(1, socket.MSG_PEEK):
            raise SystemExit  # the test went away


def _target(name: str) -> Callable[..., Any]:
    """Return a function of `harness.actors`, or of the module that a name says."""
    module, _, function = name.rpartition(".")
    found = importlib.import_module(f"harness.{module or 'actors'}")
    target: Callable[..., Any] = getattr(found, function)
    return target


def _work(job: dict[str, Any], to_report: int) -> None:
    def say(message: dict[str, Any]) -> None:
        os.write(to_report, json.dumps(message).encode() + b"\n")

    actors.say = lambda event: say({"event": event})
    report: dict[str, Any] = {}
    try:
        report["result"] = _target(job["target"])(**job["arguments"])
    except Exception as error:
        report["error"] = [type(error).__name__, str(error)]
        report["trace"] = traceback.format_exc()
    say(report)


if __name__ == "__main__":
    main(sys.argv[1])
