"""Versions on their way in: announced by a transfer, invisible until the log names them.

What is announced is kept from garbage collection for a while, so that a transfer that broke
off can go on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import FORMAT, Session, Tracker
from versioned_collection.trackers.entries import (
    NODE_FIELDS,
    entry_from_bson,
    entry_to_bson,
    node_from_bson,
)

_PLACES = {
    "format": 1,
    "complete": 1,
    "entry._id": 1,
    **{f"entry.{field}": 1 for field in NODE_FIELDS},
}
_IDS = 5_000
_FOUNDING = "founding"


class IncomingCollection(Tracker):
    """The tracker ``__incoming_<name>``: one document per version that was announced."""

    prefix = "incoming"
    at_first_use = True

    def __init__(self, db: Database[Any], name: str, codec: Codec = PLAIN) -> None:
        super().__init__(db, name)
        self._codec = codec

    def announce(self, entries: Iterable[Version], now: datetime) -> None:
        """Note versions that are about to come; what has come of them already stays noted."""
        writes = [
            UpdateOne(
                {"_id": entry.id},
                {
                    "$set": {"format": FORMAT, "entry": entry_to_bson(entry), "announced": now},
                    "$setOnInsert": {"complete": False},
                },
                upsert=True,
            )
            for entry in entries
        ]
        if writes:
            self.create_once()
            with translated():
                self.collection.bulk_write(writes, ordered=False)

    def reset(self, versions: Sequence[VersionId]) -> None:
        """Forget that versions are complete."""
        self._set_complete(versions, False)

    def complete(self, versions: Sequence[VersionId]) -> None:
        """Note that all changes of versions are there, and proved to be those announced."""
        self._set_complete(versions, True)

    def _set_complete(self, versions: Sequence[VersionId], value: bool) -> None:
        if versions:
            with translated():
                self.collection.update_many(
                    {"_id": {"$in": list(versions)}}, {"$set": {"complete": value}}
                )

    def entries(self, versions: Sequence[VersionId]) -> dict[VersionId, tuple[Version, bool]]:
        """Return the announced log entries, and whether all their changes are there."""
        found: dict[VersionId, tuple[Version, bool]] = {}
        for entry, is_whole in self.said(self._stored(versions), self._announced):
            found[entry.id] = entry, is_whole
        return found

    def _announced(self, stored: Mapping[str, Any]) -> tuple[Version, bool]:
        return entry_from_bson(stored["entry"], self._codec), bool(stored["complete"])

    def nodes(self, versions: Sequence[VersionId]) -> dict[VersionId, tuple[Node, bool]]:
        """Return the announced places in the tree, and whether all their changes are there."""
        found: dict[VersionId, tuple[Node, bool]] = {}
        for node, is_whole in self.said(self._stored(versions, _PLACES), _place):
            found[node.id] = node, is_whole
        return found

    def sizes(self, versions: Sequence[VersionId]) -> dict[VersionId, int]:
        """Return about how many bytes the announced log entries have."""
        found: dict[VersionId, int] = {}
        for start in range(0, len(versions), _IDS):
            stages: list[dict[str, Any]] = [
                {"$match": {"_id": {"$in": list(versions[start : start + _IDS])}}},
                {"$group": {"_id": "$_id", "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}},
            ]
            with translated():
                found |= {one["_id"]: one["bytes"] for one in self.collection.aggregate(stages)}
        return found

    def _stored(
        self, versions: Sequence[VersionId], fields: Mapping[str, int] | None = None
    ) -> Iterator[Mapping[str, Any]]:
        collection = self.collection.with_options(self._codec.times)
        for start in range(0, len(versions), _IDS):
            wanted = {"_id": {"$in": list(versions[start : start + _IDS])}}
            with translated():
                yield from collection.find(wanted, fields)

    def announced_since(self, time: datetime) -> set[VersionId]:
        """Return the versions that were announced at a time or later."""
        with translated():
            found = self.collection.find({"announced": {"$gte": time}}, {"_id": 1})
            return {stored["_id"] for stored in found}

    def founding(self) -> VersionId | None:
        """Return the version that a copy begins with, None where none is being made."""
        with translated():
            stored = self.collection.find_one({"_id": _FOUNDING})
        return None if stored is None else stored["version"]

    def found(self, version: VersionId | None) -> None:
        """Note which version a copy begins with; None once it is made."""
        note = {"_id": _FOUNDING}
        if version is None:
            with translated():
                self.collection.delete_one(note)
            return
        self.create_once()
        facts = {"format": FORMAT, "version": version}
        with translated():
            self.collection.update_one(note, {"$set": facts}, upsert=True)

    def forget(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove what is noted about versions, also that a copy begins with one of them."""
        for start in range(0, len(versions), _IDS):
            some = list(versions[start : start + _IDS])
            with translated():
                noted = {"$or": [{"_id": {"$in": some}}, {"version": {"$in": some}}]}
                self.collection.delete_many(noted, session=session)

    def forget_all(self) -> None:
        """Remove all announcements, so that whoever made them has to begin anew."""
        with translated():
            self.collection.delete_many({"announced": {"$exists": True}})

    def forget_before(self, time: datetime) -> int:
        """Remove what was announced before a time; return how many versions that were."""
        with translated():
            return self.collection.delete_many({"announced": {"$lt": time}}).deleted_count


def _place(stored: Mapping[str, Any]) -> tuple[Node, bool]:
    return node_from_bson(stored["entry"]), bool(stored["complete"])
