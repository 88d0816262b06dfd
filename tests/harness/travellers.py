"""Processes that go to other versions; each function is a target of `Nursery.start`."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

from harness import actors
from harness.scenarios import opened
from harness.trap import Trap, shrink_limits
from versioned_collection.errors import InvalidOperation, LeaseHeld


def travel_all_the_time(
    uri: str, database: str, versions: int, large: bool = False
) -> dict[str, int]:
    """Register and check versions out until SIGTERM; return how often each was done.

    Args:
        uri: The server.
        database: The database.
        versions: How many versions of main to go to and fro between.
        large: Whether documents move in several steps.
    """
    if large:
        shrink_limits()
    signals = actors._Signals()
    chance = random.Random(versions)
    done = {"registered": 0, "checked out": 0, "held up": 0}
    with MongoClient(uri) as client:
        collection = opened(client[database])
        actors.say("ready")
        while signals.go_on():
            number = done["registered"]
            try:
                if number < 15 and collection.register(f"turn {number}", f"turn{number}"):
                    done["registered"] += 1
                elif number >= 15:
                    collection.discard_changes()
                collection.checkout(f"main@{chance.randrange(versions)}")
                done["checked out"] += 1
            except (InvalidOperation, LeaseHeld):
                done["held up"] += 1
    return done


def die_in_a_checkout(uri: str, database: str, name: str, revision: str) -> None:
    """Die in the middle of a checkout that moves documents in several steps."""
    shrink_limits()
    _die(uri, database, name, f"delete __replica_{name}", lambda c: c.checkout(revision), 3)


def die_in_a_read(uri: str, database: str, name: str, revision: str, only: str) -> None:
    """Die at a command that reading a version needs."""
    shrink_limits()
    _die(uri, database, name, only, lambda c: c.at(revision).find_one())


def _die(
    uri: str, database: str, name: str, only: str, act: Callable[[Any], Any], number: int = 1
) -> None:
    trap = Trap(number, "after", signal.SIGKILL, only)
    with MongoClient(uri, event_listeners=[trap]) as client:
        collection = opened(client[database], name, lease_seconds=0.5)
        trap.set()
        act(collection)
