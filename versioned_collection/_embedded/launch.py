"""Starting a mongod under its watchdog, on a port that is free."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from versioned_collection._embedded.diagnosis import explain_exit, explain_refusal
from versioned_collection._embedded.home import FileLock, Home
from versioned_collection._embedded.options import HOST, REPLICA_SET, Options, until
from versioned_collection._embedded.ready import make_ready, too_slow
from versioned_collection.errors import EmbeddedServerError

PORT_ATTEMPTS = 5

ACCEPTS_CONNECTIONS = '"id":23016'
"""Number of mongod's log line "Waiting for connections", the same since 4.4."""

WATCHDOG = Path(__file__).parent / "watchdog.py"

_watchdogs: list[subprocess.Popen[bytes]] = []
"""Watchdogs that are our children, to collect their exit status."""


def launch(home: Home, options: Options, deadline: float) -> dict[str, Any]:
    """Start mongod under a watchdog and make it ready.

    Args:
        home: The directory, whose gate the caller holds.
        options: What was asked for.
        deadline: When it has to be ready, on the monotonic clock.

    Returns:
        How it is reached, as recorded for those who share it.

    Raises:
        EmbeddedServerError: It did not start, or not in time.
    """
    if options.auth and options.replica_set:
        home.write_keyfile(base64.b64encode(secrets.token_bytes(300)))
    preferred = home.read_state().get("port")
    for attempt in range(PORT_ATTEMPTS):
        port = options.port or _free_port(preferred if attempt == 0 else None)
        home.rotate_log()
        watchdog, pid = _spawn_watchdog(home, options, port, deadline)
        try:
            _wait_until_it_listens(home, options, watchdog, deadline)
            make_ready(home, options, port, deadline)
        except BaseException as error:
            _kill(watchdog)
            if _lost_the_port(error) and options.port is None:
                continue  # somebody took the free port before mongod could
            raise
        state = {
            "format": 1,
            "watchdog": watchdog.pid,
            "pid": pid,
            "port": port,
            "replica_set": options.replica_set,
            "auth": options.auth,
            "shared": options.share,
            "mongod": str(options.mongod),
        }
        home.write_state(state)
        return state
    raise EmbeddedServerError(f"no free port found in {PORT_ATTEMPTS} attempts")


def _command(home: Home, options: Options, port: int) -> list[str]:
    """The command line of mongod."""
    command = [
        str(options.mongod),
        *("--dbpath", str(home.data)),
        *("--port", str(port)),
        *("--bind_ip", HOST),
        "--nounixsocket",
        "--quiet",
        *("--wiredTigerCacheSizeGB", str(options.cache_gb)),
        # Saves 200 MB of disk that an idle server would never use.
        *("--wiredTigerEngineConfigString", "log=(prealloc=false)"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    if options.replica_set:
        command += ["--replSet", REPLICA_SET, "--oplogSize", str(options.oplog_mb)]
    if options.auth:
        command.append("--auth")
        if options.replica_set:
            command += ["--keyFile", str(home.keyfile)]
    return [*command, *options.extra_args]


def _spawn_watchdog(
    home: Home, options: Options, port: int, deadline: float
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the watchdog, which starts mongod.

    Returns:
        The watchdog and the pid of mongod.
    """
    if not sys.executable:
        raise EmbeddedServerError(
            "no Python interpreter to run the watchdog with: sys.executable is empty"
        )
    lock = FileLock(home.watchdog_lock)
    until(lock.try_exclusive, deadline)  # granted at once, but for someone who just looks
    plan: dict[str, Any] = {
        "command": _command(home, options, port),
        "log": str(home.log),
        "starter": os.getpid(),
        "watchdog_lock": lock.hand_down(),
        "users_lock": str(home.users_lock),
        "stop_timeout": options.stop_timeout,
        "linger": 0 if home.temporary else options.linger,
        "discard": str(home.path) if home.temporary else None,
    }
    with home.open_log() as log:
        watchdog = subprocess.Popen(
            # Isolated and without site packages: it starts in milliseconds and stays small.
            [sys.executable, "-I", "-S", str(WATCHDOG), json.dumps(plan)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            pass_fds=(plan["watchdog_lock"],),
            # Its own session, so that Ctrl-C at our terminal is not for mongod.
            start_new_session=True,
        )
    lock.close()
    _watchdogs.append(watchdog)
    assert watchdog.stdout is not None
    with watchdog.stdout:
        report = json.loads(watchdog.stdout.readline() or b"{}")
    if "pid" in report:
        return watchdog, int(report["pid"])
    watchdog.wait()
    reason = report.get("error") or home.log_tail(2000) or "the watchdog did not start"
    raise EmbeddedServerError(
        explain_refusal(str(options.mongod), reason), mongod=str(options.mongod)
    )


def _wait_until_it_listens(
    home: Home, options: Options, watchdog: subprocess.Popen[bytes], deadline: float
) -> None:
    """Wait for the line in its log that says so.

    Trying to connect would not do: on a port that mongod failed to get, somebody else
    answers.
    """

    def listens_or_ended() -> bool:
        return ACCEPTS_CONNECTIONS in home.log_tail() or watchdog.poll() is not None

    in_time = until(listens_or_ended, deadline)
    status = watchdog.poll()
    if status is not None:
        words, facts = explain_exit(status, home.log_tail())
        raise EmbeddedServerError(
            f"{options.mongod} did not start: {words}", mongod=str(options.mongod), **facts
        )
    if not in_time:
        raise too_slow(home, options)


def _lost_the_port(error: BaseException) -> bool:
    return isinstance(error, EmbeddedServerError) and bool(error.facts.get("address_in_use"))


def _free_port(preferred: int | None) -> int:
    """Pick a port that nobody listens on, the preferred one if possible."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EmbeddedServerError(f"no free port on {HOST}")


def _kill(watchdog: subprocess.Popen[bytes]) -> None:
    """End a watchdog of ours with its mongod, after a start that failed."""
    if watchdog.poll() is None:
        watchdog.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        watchdog.wait(10)


def reap() -> None:
    """Collect the watchdogs that have ended, so that none stays as a zombie."""
    _watchdogs[:] = [watchdog for watchdog in _watchdogs if watchdog.poll() is None]
