"""The state of one working copy: HEAD, capture position, stashes, and the intent under way.

A single document. Every change of it is a compare-and-set on the lease that its writer
holds, so an owner that lost the lease cannot move HEAD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import ReturnDocument
from pymongo.write_concern import WriteConcern

from versioned_collection.core.version import VersionId
from versioned_collection.errors import LeaseLost
from versioned_collection.trackers.base import FORMAT, Session, Tracker, check_format
from versioned_collection.wire import documents, translated

_ID = "working_copy"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the metadata document says.

    Attributes:
        head: The version that is checked out.
        branch: The branch that is checked out; of a detached HEAD, the branch of its label.
        detached: Whether HEAD is not the tip of `branch`.
        captured: The cluster time up to which changes have been noticed; None on servers
            without change streams.
        uuid: The identity of the collection when changes were last noticed.
        options: The options with which the collection was created.
        own: Commit times of our own writes behind `captured`.
        stashes: What was set aside, the latest last: ``id``, ``name``, ``message``, ``head``,
            ``branch``, ``created``, ``documents`` (how many) and ``digest`` of each.
        intent: The multi-step operation under way, None where there is none.
        scan: Whether the next look at the working copy has to compare everything.
        merge: The merge that waits for decisions or for `register`: ``id``, ``verb``,
            ``theirs``, ``parents`` (of the version to come, beside HEAD), ``message``,
            ``author``, ``metadata``; None where there is none. Where a stash is applied there
            is no version to come, and ``stash``, ``drop`` and ``times`` (of both sides)
            instead of ``theirs``; its id is also that of what the trackers of stashes keep
            to take it back. That of a rebase has ``branch``, ``tip`` (where the branch stays
            until all is done), ``onto`` and ``todo`` (versions still to be made again) too, and
            no ``theirs`` once the version that conflicted is recorded.
        labels: Changes whenever versions that others may know get other labels.
    """

    head: VersionId
    branch: str
    detached: bool
    captured: Timestamp | None
    uuid: Any
    options: Mapping[str, Any]
    own: tuple[Timestamp, ...]
    stashes: tuple[Mapping[str, Any], ...]
    intent: Mapping[str, Any] | None
    scan: bool
    merge: Mapping[str, Any] | None = None
    labels: ObjectId | None = None

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Metadata:
        """Return the state as it is stored."""
        return cls(
            stored["head"],
            stored["branch"],
            stored["detached"],
            stored.get("captured"),
            stored.get("uuid"),
            stored.get("options") or {},
            tuple(stored.get("own") or ()),
            _stashes(stored),
            stored.get("intent"),
            bool(stored.get("scan")),
            stored.get("merge"),
            stored.get("labels"),
        )


def with_stashes(stashes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields that say what is stashed, the latest last."""
    return {"stashes": list(stashes), "stash": None}


def _stashes(stored: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the headers of all stashes; there was one alone, in a field of its own, once."""
    single = stored.get("stash")
    return (*(() if single is None else (single,)), *(stored.get("stashes") or ()))


class MetadataCollection(Tracker):
    """The tracker ``__metadata_<name>``."""

    prefix = "metadata"

    def read(self, at: Timestamp | None = None) -> Metadata | None:
        """Return the state, None when the collection is not tracked.

        Args:
            at: The cluster time whose state is read, None for the present.

        Raises:
            FormatMismatch: Another release wrote it in a format of its own.
        """
        if at is not None:
            found = documents(self.db, self.name, {"_id": _ID}, at=at)
            stored = next((bson.decode(raw) for batch in found for raw in batch), None)
            return self._parsed(stored)
        with translated():
            return self._parsed(self.collection.find_one({"_id": _ID}))

    def _parsed(self, stored: Mapping[str, Any] | None) -> Metadata | None:
        if stored is None:
            return None
        check_format(stored, self.name)
        return Metadata.from_bson(stored)

    def stamp(self, lease: ObjectId, fence: int) -> Metadata | None:
        """Enter a newly acquired lease, which shuts out its predecessors; return the state.

        Raises:
            LeaseLost: A later lease was entered before.
        """
        with translated():
            stored = self.collection.find_one_and_update(
                {"_id": _ID, "fence": {"$lt": fence}},
                {"$set": {"lease": lease, "fence": fence}},
                return_document=ReturnDocument.AFTER,
            )
            if stored is None and self.collection.find_one({"_id": _ID}) is not None:
                raise _lost(self.tracked)
        return self._parsed(stored)

    def insert(
        self, lease: ObjectId, fence: int, state: Mapping[str, Any], session: Session = None
    ) -> None:
        """Write the first state: from here on the collection is tracked."""
        with translated():
            self.collection.insert_one(
                {"_id": _ID, "format": FORMAT, **state, "lease": lease, "fence": fence},
                session=session,
            )

    def update(self, lease: ObjectId, changes: Mapping[str, Any], session: Session = None) -> None:
        """Change the state if the lease is still ours.

        Args:
            lease: The lease's token.
            changes: Fields to set.
            session: The session of a transaction.

        Raises:
            LeaseLost: Another process took over; nothing was changed.
        """
        collection = self.collection
        if session is None or not session.in_transaction:
            collection = collection.with_options(write_concern=WriteConcern("majority"))
        with translated():
            result = collection.update_one(
                {"_id": _ID, "lease": lease}, {"$set": dict(changes)}, session=session
            )
        if not result.matched_count:
            raise _lost(self.tracked)

    def announce_rename(self, old_name: str) -> None:
        """Note, under the new name, that a rename from `old_name` is under way."""
        with translated():
            self.collection.replace_one(
                {"_id": "rename"}, {"format": FORMAT, "from": old_name}, upsert=True
            )

    def announced_rename(self) -> str | None:
        """Return the old name of a rename under way to this name."""
        with translated():
            note = self.collection.find_one({"_id": "rename"})
        return None if note is None else str(note["from"])


def _lost(name: str) -> LeaseLost:
    return LeaseLost(
        f"another process took over the lease on {name!r}; nothing more was written. "
        "Run the verb again",
        collection=name,
    )
