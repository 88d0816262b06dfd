"""The log: one entry per version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import IndexModel

from versioned_collection.core.tree import Node, VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.trackers.base import FORMAT, Session, Tracker, check_format, storable
from versioned_collection.wire import translated

_LARGEST_NUMBER = 2**63 - 1
_FACTS = ("message", "author", "metadata", "stats", "fingerprint", "checksum")


def entry_to_bson(version: Version) -> dict[str, Any]:
    """Return a log entry as it is stored."""
    return {
        "_id": version.id,
        "format": FORMAT,
        "number": version.number,
        "branch": version.branch,
        "parents": list(version.parents),
        "timestamp": version.timestamp,
        **{name: getattr(version, name) for name in _FACTS},
    }


def entry_from_bson(stored: Mapping[str, Any]) -> Version:
    """Return the log entry that `entry_to_bson` stored."""
    return Version(
        stored["_id"],
        stored["number"],
        stored["branch"],
        tuple(stored["parents"]),
        stored["timestamp"],
        **{name: stored[name] for name in _FACTS},
    )


class LogCollection(Tracker):
    """The tracker ``__log_<name>``."""

    prefix = "log"
    tz_aware = False

    def create_indexes(self) -> None:
        """Create the indexes for labels and checksums."""
        label = IndexModel([("branch", 1), ("number", 1)], unique=True)
        self.collection.create_indexes([label, IndexModel("checksum")])

    def get(self, version: VersionId) -> Version | None:
        """Return an entry, None for an unknown id."""
        found = self.get_many([version])
        return found[0] if found else None

    def get_many(self, versions: Iterable[VersionId]) -> list[Version]:
        """Return the entries of these ids, in no particular order."""
        return self.find({"_id": {"$in": list(versions)}})

    def find(self, filter_: Mapping[str, Any]) -> list[Version]:
        """Return the entries that match a filter."""
        options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=self.tz_aware)
        collection = self.collection.with_options(options)
        with translated():
            stored = list(collection.find(filter_))
        for entry in stored:
            check_format(entry, self.name)
        return [entry_from_bson(entry) for entry in stored]

    def labelled(self, branch: str, number: int) -> VersionId | None:
        """Return the version with a label."""
        if abs(number) > _LARGEST_NUMBER or not storable(branch):
            return None  # BSON could not ask for it
        return self._id({"branch": branch, "number": number})

    def _id(self, filter_: Mapping[str, Any]) -> VersionId | None:
        with translated():
            found = self.collection.find_one(filter_, {"_id": 1})
        return None if found is None else found["_id"]

    def known(self, version: VersionId) -> bool:
        """Tell whether there is an entry of this id."""
        return self._id({"_id": version}) is not None

    def with_checksum(self, prefix: str) -> Sequence[VersionId]:
        """Return the versions whose checksum begins with `prefix`."""
        pattern = re.compile("^" + re.escape(prefix))
        with translated():
            return [
                entry["_id"] for entry in self.collection.find({"checksum": pattern}, {"_id": 1})
            ]

    def tree(self) -> VersionTree:
        """Return the version tree."""
        fields = {"parents": 1, "number": 1, "branch": 1}
        with translated():
            return VersionTree(
                Node(entry["_id"], tuple(entry["parents"]), entry["number"], entry["branch"])
                for entry in self.collection.find({}, fields).sort("_id", 1)
            )

    def last_number(self, branch: str) -> int:
        """Return the highest number on a branch, -1 where it has no version."""
        with translated():
            found = self.collection.find_one({"branch": branch}, sort=[("number", -1)])
        return -1 if found is None else int(found["number"])

    def insert(self, entries: Iterable[Mapping[str, Any]], session: Session = None) -> None:
        """Append entries; those that are there already stay as they are."""
        for entry in entries:
            with translated():
                self.collection.update_one(
                    {"_id": entry["_id"]},
                    {"$setOnInsert": {name: entry[name] for name in entry if name != "_id"}},
                    upsert=True,
                    session=session,
                )

    def delete(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove entries."""
        with translated():
            self.collection.delete_many({"_id": {"$in": list(versions)}}, session=session)

    def relabel(self, old: str, new: str, session: Session = None) -> None:
        """Move all labels of one branch to another branch name."""
        with translated():
            self.collection.update_many(
                {"branch": old}, {"$set": {"branch": new}}, session=session
            )


def utc(time: datetime) -> datetime:
    """Return a time with a zone; one without is taken for UTC, as PyMongo does."""
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
