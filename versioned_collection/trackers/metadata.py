"""The state of a working copy: HEAD, capture position, stashes, and the intent under way.

A single document for each. Every change of one is a compare-and-set on the lease that its
writer holds, and a new owner enters its lease into all of them, so an owner that lost the lease
cannot move any HEAD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple

import bson
from bson.binary import Binary
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import ReturnDocument
from pymongo import errors as driver
from pymongo.database import Database

from versioned_collection.core.document import PLAIN_OPTIONS
from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import documents
from versioned_collection.errors import LeaseLost
from versioned_collection.trackers.base import (
    FORMAT,
    Session,
    Tracker,
    drop_exactly,
    identities,
    must,
    told_if_too_large,
)

_MAIN = "working_copy"
_IN_A_HEADER = {"id", "head", "created"}
_POINTER = "worktree"
_WORKTREE, _ANY = "_id.worktree", {"$exists": True}


class OwnCommit(NamedTuple):
    """A commit of ours in the working copy.

    The time alone would not do: where the reply to a commit is lost and the driver asks again,
    the server gives the time of the latest write, which may be anybody's.

    Attributes:
        time: The cluster time that the server gave for it.
        session: The id of the session whose transaction it was.
    """

    time: Timestamp
    session: Binary

    def to_bson(self) -> dict[str, Any]:
        """Return the commit as it is stored."""
        return self._asdict()

    @classmethod
    def all_of(cls, stored: Iterable[Any]) -> tuple[OwnCommit, ...]:
        """Return the commits that are stored; once they were times alone, which say too little."""
        return tuple(cls(**one) for one in stored if isinstance(one, Mapping))


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
        own: Our own commits behind `captured`.
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
            no ``theirs`` once the version that conflicted is recorded. That of a pull has
            ``labels`` with those that were given up for the remote's.
        labels: Changes whenever versions that others may know get other labels; that of the
            main working copy counts.
        accompanied: Whether the main working copy may have worktrees beside it.
        indexes: What the collection had beside the index of its ids when HEAD last moved.
    """

    head: VersionId
    branch: str
    detached: bool
    captured: Timestamp | None
    uuid: Any
    options: Mapping[str, Any]
    own: tuple[OwnCommit, ...]
    stashes: tuple[Mapping[str, Any], ...]
    intent: Mapping[str, Any] | None
    scan: bool
    merge: Mapping[str, Any] | None = None
    labels: ObjectId | None = None
    accompanied: bool = False
    indexes: tuple[Mapping[str, Any], ...] = ()

    @property
    def held(self) -> tuple[str, VersionId] | None:
        """The branch that no other working copy may check out or move, and where it stays.

        That is the one that is checked out, or that of a rebase that waits.
        """
        if self.merge is not None and "tip" in self.merge:
            return self.merge["branch"], self.merge["tip"]
        return None if self.detached else (self.branch, self.head)

    @property
    def needed(self) -> frozenset[VersionId]:
        """The versions that HEAD and a merge that waits cannot do without."""
        merge = self.merge or {}
        single = (merge.get(name) for name in ("theirs", "tip", "onto"))
        several = (*merge.get("parents", ()), *merge.get("todo", ()))
        return frozenset(one for one in (self.head, *single, *several) if one is not None)

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Metadata:
        """Return the state as it is stored.

        Raises:
            LookupError: A part is missing.
            TypeError: A part is none.
            ValueError: A part is none.
        """
        must(isinstance(stored["head"], VersionId), "its head is no version id")
        must(isinstance(stored["branch"], str), "its branch is no name")
        for name in ("options", "intent", "merge"):
            must(isinstance(stored.get(name), (Mapping, NoneType)), f"its {name} is none")
        return cls(
            stored["head"],
            stored["branch"],
            stored["detached"],
            stored.get("captured"),
            stored.get("uuid"),
            stored.get("options") or {},
            OwnCommit.all_of(stored.get("own") or ()),
            _stashes(stored),
            stored.get("intent"),
            bool(stored.get("scan")),
            stored.get("merge"),
            stored.get("labels"),
            bool(stored.get("accompanied")),
            tuple(stored.get("indexes") or ()),
        )


def with_stashes(stashes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields that say what is stashed, the latest last."""
    return {"stashes": list(stashes), "stash": None}


def _stashes(stored: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the headers of all stashes; there was one alone, in a field of its own, once."""
    single = stored.get("stash")
    headers = (*(() if single is None else (single,)), *(stored.get("stashes") or ()))
    for header in headers:
        must(set(header) >= _IN_A_HEADER and isinstance(header["id"], ObjectId), "a stash is none")
    return headers


class MetadataCollection(Tracker):
    """The tracker ``__metadata_<name>``: the states of all working copies of a repository.

    That of a worktree, which is a collection of its own, has a note instead that says whose it
    is.

    Args:
        db: The database.
        name: The main working copy's name.
        worktree: The name of the worktree that is meant, None for the main working copy.
    """

    prefix = "metadata"

    def __init__(self, db: Database[Any], name: str, worktree: str | None = None) -> None:
        super().__init__(db, name)
        self.worktree = worktree
        self._id = self._id_of(worktree or name)

    def _id_of(self, working_copy: str) -> Any:
        return _MAIN if working_copy == self.tracked else {"worktree": working_copy}

    def read(self, at: Timestamp | None = None) -> Metadata | None:
        """Return the state, None when the collection is not tracked.

        Args:
            at: The cluster time whose state is read, None for the present.

        Raises:
            FormatMismatch: Another release wrote it in a format of its own.
        """
        if at is not None:
            found = documents(self.db, self.name, {"_id": self._id}, at=at)
            stored = next(
                (bson.decode(raw, PLAIN_OPTIONS) for batch in found for raw in batch), None
            )
            return self._parsed(stored)
        with translated():
            return self._parsed(self.collection.find_one({"_id": self._id}))

    def read_main(self) -> Metadata | None:
        """Return the state of the main working copy."""
        with translated():
            return self._parsed(self.collection.find_one({"_id": _MAIN}))

    def read_all(self) -> dict[str, Metadata]:
        """Return the states of all working copies by their names, the main one first."""
        found = {}
        with translated():
            for stored in self.collection.find({"$or": [{"_id": _MAIN}, {_WORKTREE: _ANY}]}):
                is_main = stored["_id"] == _MAIN
                name = self.tracked if is_main else stored["_id"]["worktree"]
                found[name] = next(self.said([stored], Metadata.from_bson))
        return dict(sorted(found.items(), key=lambda one: (one[0] != self.tracked, one[0])))

    def is_half_done(self, state: Metadata) -> bool:
        """Tell whether an operation is under way in any working copy.

        Args:
            state: The state of this one.
        """
        if state.intent is not None or (self.worktree is None and not state.accompanied):
            return state.intent is not None
        return any(one.intent is not None for one in self.read_all().values())

    def _parsed(self, stored: Mapping[str, Any] | None) -> Metadata | None:
        return self.said_by(stored, Metadata.from_bson)

    def stamp(self, lease: ObjectId, fence: int) -> dict[str, Metadata]:
        """Enter a newly acquired lease, which shuts out its predecessors.

        Returns:
            The states of all working copies by their names; empty when nothing is tracked.

        Raises:
            LeaseLost: A later lease was entered before.
        """
        entered = {"$set": {"lease": lease, "fence": fence}}
        earlier = {"fence": {"$lt": fence}}
        with translated():
            stored = self.collection.find_one_and_update(
                {"_id": _MAIN, **earlier}, entered, return_document=ReturnDocument.AFTER
            )
            if stored is None and self.collection.find_one({"_id": _MAIN}) is not None:
                raise _lost(self.tracked)
            if stored is not None and stored.get("accompanied"):
                self.collection.update_many({_WORKTREE: _ANY, **earlier}, entered)
                return self.read_all()
        state = self._parsed(stored)
        return {} if state is None else {self.tracked: state}

    def highest_fence(self) -> int:
        """Return the fencing number of the latest lease that was entered, 0 without any."""
        with translated():
            stored = self.collection.find_one({"fence": {"$exists": True}}, sort=[("fence", -1)])
        return 0 if stored is None else int(stored["fence"])

    def insert(
        self, lease: ObjectId, fence: int, state: Mapping[str, Any], session: Session = None
    ) -> None:
        """Write the first state: from here on the collection is tracked.

        Raises:
            LeaseLost: Another process took over, and has written it; nothing was written.
            NotSupported: It has more than a document may; nothing was written.
        """
        entered = {"_id": self._id, "format": FORMAT, **state, "lease": lease, "fence": fence}
        with translated(), told_if_too_large():
            try:
                self.collection.insert_one(entered, session=session)
            except driver.DuplicateKeyError as error:
                raise _lost(self.tracked) from error

    def update(
        self,
        lease: ObjectId,
        changes: Mapping[str, Any],
        session: Session = None,
        of: str | None = None,
    ) -> None:
        """Change a state if the lease is still ours.

        Args:
            lease: The lease's token.
            changes: Fields to set.
            session: The session of a transaction.
            of: The name of another working copy whose state is meant.

        Raises:
            LeaseLost: Another process took over; nothing was changed.
            NotSupported: It would have more than a document may; nothing was changed.
        """
        wanted = self._id if of is None else self._id_of(of)
        if "labels" in changes and wanted != _MAIN:
            self._set(_MAIN, lease, {"labels": changes["labels"]}, session)
        self._set(wanted, lease, changes, session)

    def _set(
        self, wanted: Any, lease: ObjectId, changes: Mapping[str, Any], session: Session
    ) -> None:
        with translated(), told_if_too_large():
            result = self.collection.update_one(
                {"_id": wanted, "lease": lease}, {"$set": dict(changes)}, session=session
            )
        if not result.matched_count:
            raise _lost(self.tracked)

    def remove(self, lease: ObjectId) -> None:
        """Remove the state of a worktree, the last that is left of it.

        Raises:
            LeaseLost: Another process took over; nothing was removed.
        """
        with translated():
            result = self.collection.delete_one({"_id": self._id, "lease": lease})
        if not result.deleted_count:
            raise _lost(self.tracked)

    # -- in the place of a state ---------------------------------------------------------

    def point_to(self, main: str, session: Session = None) -> None:
        """Note that the collection is a worktree of another one, or will be."""
        with translated():
            self.collection.replace_one(
                {"_id": _POINTER}, {"format": FORMAT, "of": main}, upsert=True, session=session
            )

    def points_to(self) -> str | None:
        """Return the name of the main working copy of which the collection may be a worktree."""
        with translated():
            note = self.collection.find_one({"_id": _POINTER})
        return None if note is None else str(note["of"])

    def pointing_here(self) -> list[str]:
        """Return the names of the collections that are noted to be worktrees of this one."""
        prefix, note = f"__{self.prefix}_", {"_id": _POINTER, "of": self.tracked}
        with translated():
            names = self.db.list_collection_names(filter={"name": re.compile(f"^{prefix}")})
            found = [name for name in names if self.db[name].find_one(note) is not None]
        return sorted(name.removeprefix(prefix) for name in found)

    def forget_pointer(self, main: str) -> None:
        """Drop the tracker if it holds nothing but the note about `main`."""
        identity = identities(self.db, [self.name]).get(self.name)
        with translated():
            found = list(self.collection.find({}, {"of": 1}).limit(2))
        if found == [{"_id": _POINTER, "of": main}]:
            drop_exactly(self.db, self.name, identity)

    def announce_rename(self, old_name: str) -> None:
        """Note, under the new name, that a rename from `old_name` is under way."""
        with translated():
            self.collection.replace_one(
                {"_id": "rename"}, {"format": FORMAT, "from": old_name}, upsert=True
            )

    def withdraw_rename(self, old_name: str) -> None:
        """Take an announcement back; drop the tracker if it holds nothing else."""
        identity = identities(self.db, [self.name]).get(self.name)
        with translated():
            self.collection.delete_one({"_id": "rename", "from": old_name})
            found = self.collection.find_one({}, {"_id": 1})
        if found is None and identity is not None:
            drop_exactly(self.db, self.name, identity)

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
