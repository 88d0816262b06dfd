"""What a server was asked for, and what all of them have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
REPLICA_SET = "rs0"

POLL = 0.01
"""Seconds between two looks at something that is about to change."""


@dataclass(frozen=True)
class Options:
    """What `start` was asked for; `versioned_collection.embedded.start` tells the meaning."""

    mongod: Path
    replica_set: bool
    port: int | None
    startup_timeout: float
    stop_timeout: float
    auth: bool
    share: bool
    linger: float
    durable: bool
    cache_gb: float
    oplog_mb: int
    extra_args: tuple[str, ...]


def until(condition: Callable[[], bool], deadline: float) -> bool:
    """Wait for a condition.

    Args:
        condition: What to ask, again and again.
        deadline: When to give up, on the monotonic clock.

    Returns:
        Whether it came true in time.
    """
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True
