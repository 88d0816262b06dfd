"""What the tests of remotes share: two sides of one collection that have met."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from api_support import grown, problems, raws, tracked
from pymongo import MongoClient
from pymongo.database import Database

from versioned_collection import VersionedCollection


@contextmanager
def other_database(client: MongoClient[Any]) -> Iterator[Database[Any]]:
    """Yield an empty database on the same server, dropped afterwards."""
    name = f"other_{uuid.uuid4().hex[:12]}"
    yield client[name]
    client.drop_database(name)


def pair(here: Database[Any], there: Database[Any]) -> tuple[VersionedCollection, ...]:
    """Return a collection with main@0, and a copy of it."""
    mine = tracked(here)
    theirs = VersionedCollection(there, "bands")
    assert mine.push(theirs)
    return mine, theirs


def grown_pair(here: Database[Any], there: Database[Any]) -> tuple[VersionedCollection, ...]:
    """Return a collection with main@0..3 and side@0..1 (see `grown`), and a copy of all."""
    mine = grown(here)
    theirs = VersionedCollection(there, "bands")
    assert mine.push(theirs, all=True, tags=True)
    return mine, theirs


def outgrown(database: Database[Any]) -> VersionedCollection:
    """Return a collection whose unique index refuses the documents of its only version."""
    bands = VersionedCollection(database, "bands")
    bands.insert_many([{"_id": n, "rank": 1} for n in range(5)])
    bands.init("start")
    for n in range(5):
        bands.update_one({"_id": n}, {"$set": {"rank": n}})
    bands.create_index("rank", unique=True)
    return bands


def assert_absent(database: Database[Any]) -> None:
    """Make sure that there is no collection ``bands``, and no history of one."""
    assert "bands" not in database.list_collection_names()
    assert not VersionedCollection(database, "bands").is_tracked()


def once(act: Callable[[], Any]) -> Callable[[str, int], None]:
    """Return a progress callback that acts at its first call."""
    waiting = [act]

    def tell(phase: str, count: int) -> None:
        if waiting:
            waiting.pop()()

    return tell


def put(bands: VersionedCollection, field: str, value: Any = True, id_: Any = 1) -> None:
    """Register a change of one field under the message ``<field>=<value>``."""
    bands.update_one({"_id": id_}, {"$set": {field: value}})
    assert bands.register(f"{field}={value}") is True


def assert_whole(*sides: VersionedCollection) -> None:
    """Make sure that sides verify and hold what their versions say."""
    for side in sides:
        assert problems(side) == []
        assert not side.has_changes()


def assert_equal(one: VersionedCollection, other: VersionedCollection) -> None:
    """Make sure that two sides have the same history, and the same bytes checked out."""
    assert one == other
    assert one.get_log() == other.get_log()
    assert raws(one) == raws(other)
    assert_whole(one, other)


def labels(bands: VersionedCollection, branch: str | None = None) -> list[str]:
    """Return the labels from a branch's tip to the root."""
    return [version.label for version in bands.get_log(branch)]
