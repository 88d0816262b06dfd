"""The directory of one embedded server: its files, and the locks that guard them.

::

    data/              mongod's own files
    mongod.log         what it wrote in its last run
    mongod.log.1       and in the run before
    server.json        how the running server is reached
    credentials.json   the root user, if access control is on
    keyfile            the secret of the replica set, if access control is on
    locks/             gate, users, watchdog

The *gate* is held for the moments of starting and stopping; for the two others see
`versioned_collection._embedded.watchdog`. All are `flock` locks: the kernel drops them with
the process that held them, so a crash leaves nothing to clean up.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from versioned_collection._embedded.options import until
from versioned_collection.errors import EmbeddedServerError

try:
    import fcntl
except ImportError:  # Windows; `embedded.start` refuses there
    fcntl = None  # type: ignore[assignment]

SUPPORTED = fcntl is not None
"""Whether this system has the locks that all of this rests on."""


class FileLock:
    """A lock on a file, shared or exclusive, dropped when the process ends.

    Args:
        path: The file, created if absent.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_shared(self) -> bool:
        """Take the lock together with others.

        Returns:
            Whether it was granted.
        """
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock alone. A shared hold is given up first, even if this fails.

        Returns:
            Whether it was granted.
        """
        return self._try(fcntl.LOCK_EX)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_held_elsewhere(self) -> bool:
        """Tell whether somebody else has the lock alone.

        Returns:
            True if so. Only for a lock that this object does not hold.
        """
        if not self.try_shared():
            return True
        self.release()
        return False

    def hand_down(self) -> int:
        """Empty the file and let a child process have it, lock included.

        Returns:
            The number of the open file, to name in `pass_fds`.
        """
        os.ftruncate(self._fd, 0)
        return self._fd

    def read(self) -> str:
        """Read what the file says, usually the pid of its holder.

        Returns:
            The text.
        """
        return os.pread(self._fd, 100, 0).decode()

    def release(self) -> None:
        """Give the lock up, for children that inherited it too."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def touch(self) -> None:
        """Set the file's time to now."""
        os.utime(self._fd)

    def close(self) -> None:
        """Give the lock up and forget the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Home:
    """Names and guards the files of one embedded server.

    Args:
        path: The directory to keep, created if absent; None for a temporary one.

    Raises:
        EmbeddedServerError: The directory cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.temporary = path is None
        try:
            if path is None:
                self.path = Path(tempfile.mkdtemp(prefix="versioned-collection-"))
            else:
                self.path = Path(path).expanduser().absolute()
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for part in (self.data, self.path / "locks"):
                part.mkdir(exist_ok=True, mode=0o700)
        except (OSError, RuntimeError) as error:  # the latter where `~` is nobody's
            raise EmbeddedServerError(
                f"the data directory cannot be used: {error}", path=str(path)
            ) from error

    @property
    def data(self) -> Path:
        """Where mongod keeps its files."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """What mongod wrote."""
        return self.path / "mongod.log"

    @property
    def keyfile(self) -> Path:
        """The secret that members of the replica set know one another by."""
        return self.path / "keyfile"

    @property
    def watchdog_lock(self) -> Path:
        """Held while a server is here."""
        return self.path / "locks" / "watchdog"

    @property
    def users_lock(self) -> Path:
        """Shared by the users of the server."""
        return self.path / "locks" / "users"

    @contextlib.contextmanager
    def gate(self, deadline: float) -> Iterator[None]:
        """Keep others from starting or stopping here at the same time.

        Args:
            deadline: When to give up, on the monotonic clock.

        Yields:
            With the gate held.

        Raises:
            EmbeddedServerError: Another process holds the gate past the deadline.
        """
        lock = FileLock(self.path / "locks" / "gate")
        try:
            if not until(lock.try_exclusive, deadline):
                raise EmbeddedServerError(
                    f"another process is starting or stopping the server in {self.path}",
                    path=str(self.path),
                )
            yield
        finally:
            lock.close()

    def read_state(self) -> dict[str, Any]:
        """Read how the server of the last start is reached.

        Returns:
            The facts, or nothing if there are none.
        """
        return _read_json(self.path / "server.json")

    def write_state(self, state: dict[str, Any]) -> None:
        """Record how the server is reached.

        Args:
            state: The facts.
        """
        _write_private(self.path / "server.json", json.dumps(state).encode())

    def read_credentials(self) -> dict[str, Any]:
        """Read the root user.

        Returns:
            `user` and `password`, or nothing if there is none yet.
        """
        return _read_json(self.path / "credentials.json")

    def write_credentials(self, credentials: dict[str, Any]) -> None:
        """Record the root user, for the owner's eyes only.

        Args:
            credentials: `user` and `password`.
        """
        _write_private(self.path / "credentials.json", json.dumps(credentials).encode())

    def write_keyfile(self, secret: bytes) -> None:
        """Record the secret of the replica set, unless there is one.

        Args:
            secret: Its text.
        """
        if not self.keyfile.exists():
            _write_private(self.keyfile, secret)

    def rotate_log(self) -> None:
        """Keep the log of the last run, and start another."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.log, self.path / "mongod.log.1")

    def open_log(self) -> BinaryIO:
        """Open the log to append to it; others may not read it.

        Returns:
            The open file.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self.log, flags, 0o600), "ab")

    def log_tail(self, size: int = 50_000) -> str:
        """Read the end of the log.

        Args:
            size: How many bytes at most.

        Returns:
            The text, or nothing if there is no log.
        """
        try:
            with self.log.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - size))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def discard(self) -> None:
        """Remove a temporary directory; a kept one stays."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object; an absent or torn file reads as empty."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner only."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
