"""What was purged from the history: when, by whom, why and how much; never what.

There are three kinds of documents: a tombstone for each purge, the checksums that versions had
before it, and, while one is under way, the ids of the documents that it concerns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from bson.objectid import ObjectId
from pymongo import IndexModel, InsertOne

from versioned_collection.core.document import DocumentKey
from versioned_collection.core.portions import BYTES_OF_IDS, portions
from versioned_collection.core.times import utc_text
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import (
    FORMAT,
    Session,
    Tracker,
    Unreadable,
    must,
)

_KEYS_PER_NOTE = 10_000
_ENTRIES = 2_000
"""Log entries that are gone through at once."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is kept of a purge.

    Attributes:
        id: The identity of the purge, which copies of the history share.
        timestamp: When it was (UTC, server's clock).
        by: Who did it.
        reason: Why.
        documents: How many documents were concerned.
        versions: How many versions have other checksums since.
    """

    id: ObjectId
    timestamp: datetime
    by: Any
    reason: str
    documents: int
    versions: int

    def __str__(self) -> str:
        when = utc_text(self.timestamp)
        return f"{when}  {self.documents} documents, {self.versions} versions: {self.reason}"

    def to_bson(self) -> dict[str, Any]:
        """Return the tombstone as it is stored."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "id"}
        return {"_id": self.id, "format": FORMAT, **facts}

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Tombstone:
        """Return the tombstone that `to_bson` stored."""
        facts = {name: stored[name] for name in cls.__slots__ if name != "id"}
        return cls(stored["_id"], **facts)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a log entry says after its version was rewritten.

    Attributes:
        version: The version.
        old: Its checksum before.
        new: Its checksum from now on.
        fingerprint: Its fingerprint from now on.
        stats: Its counts from now on.
    """

    version: VersionId
    old: str
    new: str
    fingerprint: str
    stats: Mapping[str, int]

    @property
    def facts(self) -> dict[str, Any]:
        """What the log entry says from now on."""
        return {
            "fingerprint": self.fingerprint,
            "checksum": self.new,
            "stats": dict(self.stats),
        }

    @classmethod
    def of(cls, entry: Version, sealed: Version) -> Resealed:
        """Return what changes from one form of a log entry to another."""
        return cls(entry.id, entry.checksum, sealed.checksum, sealed.fingerprint, sealed.stats)


class PurgesCollection(Tracker):
    """The tracker ``__purges_<name>``."""

    prefix = "purges"
    at_first_use = True

    def create_indexes(self) -> None:
        """Create the indexes that lead to checksums of old, and to what a purge has left."""
        self.collection.create_indexes(
            [IndexModel("old", sparse=True), IndexModel("purge", sparse=True)]
        )

    # -- tombstones ----------------------------------------------------------------------

    def tombstones(self, unreadable: Unreadable = None) -> list[Tombstone]:
        """Return what is kept of all purges, the latest first.

        Args:
            unreadable: Takes the errors for what cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written one.
        """
        with translated():
            stored = self.collection.find({"reason": {"$exists": True}})
            found = list(self.said(stored, _tombstone, unreadable))
        return sorted(found, key=lambda one: (one.timestamp, one.id), reverse=True)

    def bury(self, tombstones: Iterable[Mapping[str, Any]], session: Session = None) -> None:
        """Keep tombstones as they are stored; those that are there already stay."""
        for tombstone in tombstones:
            facts = {name: value for name, value in tombstone.items() if name != "_id"}
            once = {"$setOnInsert": facts}
            with translated():
                self.collection.update_one(
                    {"_id": tombstone["_id"]}, once, upsert=True, session=session
                )

    # -- checksums -----------------------------------------------------------------------

    def note_checksums(self, purge: ObjectId, entries: Iterable[Resealed]) -> None:
        """Note what versions are called before and after a purge."""
        for portion in portions(entries, lambda _: 1, _ENTRIES, _ENTRIES):
            writes = [InsertOne(_stored(purge, entry)) for entry in portion]
            with translated():
                self.collection.bulk_write(writes, ordered=False)

    def checksums(
        self, purge: ObjectId, unreadable: Unreadable = None
    ) -> Iterator[list[Resealed]]:
        """Iterate over what a purge makes of log entries, a bounded list at a time.

        Args:
            purge: The purge.
            unreadable: Takes the errors for what cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written one.
        """
        with translated():
            stored = self.collection.find({"purge": purge, "old": {"$exists": True}})
            found = self.said(stored, _resealed, unreadable)
            yield from portions(found, lambda _: 1, _ENTRIES, _ENTRIES)

    def formerly(self, prefix: str) -> list[VersionId]:
        """Return the versions that once had a checksum which begins with a prefix."""
        bounds = {"$gte": prefix, "$lt": f"{prefix}g"}  # behind all hexadecimal digits
        with translated():
            return sorted(set(self.collection.distinct("version", {"old": bounds})))

    def replaced(self, checksums: Iterable[str]) -> set[str]:
        """Return those of these checksums that versions had before a purge."""
        with translated():
            notes = list(self.collection.find({"old": {"$in": list(checksums)}}))
        carried_out = {one.id for one in self.tombstones()} if notes else ()
        return {note["old"] for note in notes if note["purge"] in carried_out}

    # -- the documents of a purge under way ----------------------------------------------

    def note_keys(self, purge: ObjectId, keys: Iterable[DocumentKey], *, history: bool) -> None:
        """Note which documents a purge concerns.

        Args:
            purge: The purge.
            keys: The documents.
            history: Whether versions are concerned as well, whose changes of them become others.
        """
        for portion in portions(keys, len, _KEYS_PER_NOTE, BYTES_OF_IDS):
            note = {"format": FORMAT, "purge": purge, "keys": portion, "history": history}
            with translated():
                self.collection.insert_one(note)

    def keys(self, purge: ObjectId, *, history: bool = False) -> Iterator[Sequence[DocumentKey]]:
        """Iterate over the documents that a purge concerns, a bounded list at a time.

        Args:
            purge: The purge.
            history: Only those of which versions are concerned.
        """
        wanted: dict[str, Any] = {"purge": purge, "keys": {"$exists": True}}
        if history:
            wanted["history"] = True
        with translated():
            yield from self.said(self.collection.find(wanted), itemgetter("keys"))

    def forget_keys(self, purge: ObjectId) -> None:
        """Remove the notes of which documents a purge concerns."""
        with translated():
            self.collection.delete_many({"purge": purge, "keys": {"$exists": True}})

    def renew(self) -> None:
        """Keep all of it in a new collection, which tells readers that they began before."""
        with translated():
            self.collection.aggregate([{"$match": {}}, {"$out": self.name}])

    # -- removing ------------------------------------------------------------------------

    def forget(self, purge: ObjectId) -> None:
        """Remove what was noted of a purge that came to nothing."""
        with translated():
            self.collection.delete_many({"purge": purge})

    def forget_unfinished(self) -> None:
        """Remove what was noted of all purges that came to nothing."""
        known = [one.id for one in self.tombstones()]
        with translated():
            self.collection.delete_many({"purge": {"$exists": True, "$nin": known}})


def _stored(purge: ObjectId, entry: Resealed) -> dict[str, Any]:
    facts = {name: getattr(entry, name) for name in Resealed.__slots__}
    return {"format": FORMAT, "purge": purge, **facts}


def _tombstone(stored: Mapping[str, Any]) -> Tombstone:
    must(isinstance(stored["timestamp"], datetime), "its time is none")
    return Tombstone.from_bson(stored)


def _resealed(stored: Mapping[str, Any]) -> Resealed:
    must(isinstance(stored["version"], VersionId), "its version is no id")
    return Resealed(*(stored[name] for name in Resealed.__slots__))
