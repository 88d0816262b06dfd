"""Child processes that are killed, frozen or stopped at a chosen database command.

`Nursery` starts a process that has everything imported and no connection open; each child
is forked from it, so that a child costs milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import versioned_collection

T = TypeVar("T")
Outcome = dict[str, Any]


class Child:
    """A child under way.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, address: str, job: dict[str, Any]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        self._socket.connect(address)
        self._lines = self._socket.makefile("rw", encoding="utf-8")
        self._send(job)
        self.pid: int = self._expect("started")["pid"]

    def _send(self, message: dict[str, Any]) -> None:
        self._lines.write(json.dumps(message) + "\n")
        self._lines.flush()

    def _expect(self, event: str) -> Outcome:
        found = self._next()
        assert found["event"] == event, found
        return found

    def _next(self) -> Outcome:
        line = self._lines.readline()
        assert line, "the child's keeper died"
        return json.loads(line)

    def frozen_or_over(self) -> Outcome:
        """Wait until the child froze (``event`` is ``frozen``) or is over."""
        found = self._next()
        if found["event"] == "over":
            self._close()
        return found

    def overtaken(self, act: Callable[[], T]) -> tuple[T, Outcome] | None:
        """Act while the child is frozen, then let it go on; None if it is over without that.

        Returns:
            What `act` returned, and how the child ended.
        """
        if self.frozen_or_over()["event"] == "over":
            return None
        try:
            found = act()
        finally:
            self.thaw()
            outcome = self.outcome()
        return found, outcome

    def ready(self) -> None:
        """Wait until the child says that it is at work."""
        self._expect("ready")

    def pause(self) -> None:
        """Ask a writer to pause, and wait until it does."""
        os.kill(self.pid, signal.SIGUSR1)
        self._expect("paused")

    def resume(self) -> None:
        """Let a writer that pauses go on."""
        os.kill(self.pid, signal.SIGUSR2)
        self._expect("resumed")

    def thaw(self) -> None:
        """Let a frozen child go on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> Outcome:
        """Ask the child to finish, and wait for it."""
        os.kill(self.pid, signal.SIGTERM)
        return self.outcome()

    def kill(self) -> Outcome:
        """Kill the child, and wait for it."""
        os.kill(self.pid, signal.SIGKILL)
        return self.outcome()

    def outcome(self) -> Outcome:
        """Wait for the end of the child.

        Returns:
            ``event`` is ``over``; ``signal`` is what killed it, or None; ``result`` what the
            target returned; ``error`` the name of the class and the text of what it raised.
        """
        found = self._next()
        while found["event"] != "over":
            found = self._next()
        self._close()
        return found

    def _close(self) -> None:
        self._lines.close()
        self._socket.close()


def _path() -> str:
    """Return where children look for modules: the package under test before an installed one."""
    tested = str(Path(versioned_collection.__file__).parents[1])
    return os.pathsep.join(filter(None, [tested, os.environ.get("PYTHONPATH", "")]))


class Nursery:
    """Forks children from a process in which all modules are imported already."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="nursery-")
        self._address = str(Path(self._directory.name) / "socket")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.nursery", self._address],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": _path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def start(self, target: str, **arguments: Any) -> Child:
        """Start a child that calls a function of `harness.actors`, or ``module.function``."""
        return Child(self._address, {"target": target, "arguments": arguments})

    def run(self, target: str, **arguments: Any) -> Outcome:
        """Start a child and wait for its end."""
        return self.start(target, **arguments).outcome()

    def close(self) -> None:
        """End the process; children that still run are killed by their keepers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)
        self._directory.cleanup()


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    """Yield a nursery that is closed at the end."""
    running = Nursery()
    try:
        yield running
    finally:
        running.close()
