"""The small process that runs one mongod and ends it when nobody uses it any more.

`versioned_collection.embedded` starts this file by its path in a bare interpreter: it may
import nothing but the standard library. The watchdog is mongod's parent, so it survives
whoever asked for the server, and two file locks carry all that must outlive a crash:

- it holds the *watchdog* lock as long as it lives: held means "a server is here". Its
  starter takes that lock and hands it down, so that there is no moment without it;
- each user of the server shares the *users* lock. The watchdog waits to have that lock
  alone, which the kernel grants once the last user has gone, however it died.

Signals: SIGTERM stops mongod cleanly, SIGUSR1 kills it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

SERVER_NOT_STARTED = 71
"""Exit status when mongod could not even be executed (`EX_OSERR` of sysexits)."""


MOST_FILES = 64_000
"""What MongoDB's manual advises: each collection and index is a file, open for minutes more
after it was dropped, and a mongod that has no more of them ends itself."""


class Watchdog:
    """One mongod and the reasons to end it.

    Args:
        plan: What to run: `command`, `log`, `starter` (a pid), `watchdog_lock` (an open
            file), `users_lock` (a path), `stop_timeout` (seconds between asking and
            killing), `linger` (seconds to stay without a user) and `discard` (a directory
            that goes away with its last user, or None).
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._users = os.open(plan["users_lock"], os.O_RDWR | os.O_CREAT, 0o600)
        self._ended = threading.Event()
        self._unused = False
        self._server: subprocess.Popen[bytes] | None = None
        self._wanted_end = 0

    def run(self) -> int:
        """Run mongod to its end.

        Returns:
            The exit status to leave with: mongod's own, or 128 plus its signal.
        """
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        lock = self._plan["watchdog_lock"]
        os.write(lock, str(os.getpid()).encode())
        try:
            return self._run_server()
        finally:
            os.ftruncate(lock, 0)
            # Explicitly, should a child of our starter have inherited the open file.
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _run_server(self) -> int:
        """Run mongod, unless it is not wanted any more."""
        if os.getppid() != self._plan["starter"]:
            return SERVER_NOT_STARTED  # nobody is there to make it ready
        try:
            server = self._server = self._spawn()
        except OSError as error:
            _report({"error": error.strerror or str(error), "errno": error.errno})
            return SERVER_NOT_STARTED
        _report({"pid": server.pid})
        if self._wanted_end:
            self._end(self._wanted_end)
        self._in_background(self._stop_when_unused)
        status = server.wait()
        self._ended.set()
        self._discard()
        return status if status >= 0 else 128 - status

    def _on_signal(self, number: int, _: object) -> None:
        """Do as we are told, now or as soon as there is a mongod."""
        self._wanted_end = number
        if self._server is not None:
            self._end(number)

    def _end(self, how: int) -> None:
        """End mongod: at once for SIGUSR1, cleanly otherwise."""
        if how == signal.SIGUSR1:
            self._kill()
        else:
            self._in_background(self._stop)

    def _kill(self) -> None:
        if self._server is not None:
            self._server.kill()

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start mongod, its two output streams in the log file."""
        _allow_many_files()
        log = os.open(self._plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                self._plan["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        finally:
            os.close(log)

    def _in_background(self, task: Any) -> None:
        threading.Thread(target=task, daemon=True).start()

    def _stop_when_unused(self) -> None:
        """Wait for the last user to go, then end mongod."""
        while True:
            fcntl.flock(self._users, fcntl.LOCK_EX)
            idle = time.time() - os.fstat(self._users).st_mtime  # users touch it as they leave
            wait = self._plan["linger"] - max(0.0, idle)
            if wait <= 0:
                break
            fcntl.flock(self._users, fcntl.LOCK_UN)  # so that somebody may come back
            time.sleep(wait)
        self._unused = True
        if self._plan["discard"]:
            self._kill()  # nothing is kept, so nothing needs a clean close
        else:
            self._stop()

    def _stop(self) -> None:
        """Ask mongod to stop, and kill it if it does not."""
        if self._server is not None:
            self._server.terminate()
        if not self._ended.wait(self._plan["stop_timeout"]):
            self._kill()

    def _discard(self) -> None:
        """Remove a temporary directory that has no user left."""
        if not self._plan["discard"]:
            return
        if not self._unused:
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return  # someone is still there, and will remove it or start anew
        shutil.rmtree(self._plan["discard"], ignore_errors=True)


def _allow_many_files() -> None:
    """Raise the limit of open files as far as is allowed; shells often set it to 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # the system may allow less
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _die_with_parent() -> None:
    """Have Linux stop mongod should the watchdog itself be killed.

    The kernel ties this to the thread that forked: here the main thread, which lives as
    long as the watchdog.
    """
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _report(message: dict[str, Any]) -> None:
    """Tell the process that started us, which may be gone already."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")
    with contextlib.suppress(OSError):
        os.close(1)


if __name__ == "__main__":
    # Not `sys.exit`: a thread may be blocked on a lock, and nothing needs unwinding.
    os._exit(Watchdog(json.loads(sys.argv[1])).run())
