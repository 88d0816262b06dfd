"""Finding a server that runs, without starting, joining or creating anything."""

from __future__ import annotations

import os
from pathlib import Path

from versioned_collection._embedded.home import SUPPORTED, FileLock, Home
from versioned_collection._embedded.options import HOST, REPLICA_SET


def running_uri(path: str | os.PathLike[str]) -> str | None:
    """Return the connection string of the server that runs on a directory.

    Args:
        path: The directory.

    Returns:
        The connection string; None where no server runs, or it wants a login.
    """
    place = Path(os.path.expanduser(path)).absolute()
    if not SUPPORTED or not (place / "locks" / "watchdog").exists():
        return None
    home = Home(place)
    watchdog = FileLock(home.watchdog_lock)
    try:
        if not watchdog.is_held_elsewhere():
            return None
        state = home.read_state()
        if str(state.get("watchdog")) != watchdog.read() or state.get("auth"):
            return None
        query = f"?replicaSet={REPLICA_SET}" if state["replica_set"] else ""
        return f"mongodb://{HOST}:{state['port']}/{query}"
    finally:
        watchdog.close()
