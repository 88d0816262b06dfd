"""Preparing a purge: which documents it concerns, and what is left of them everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.worktrees import drop_stray_copies
from versioned_collection.core.document import DocumentKey, document_key, raw_id_in
from versioned_collection.core.erasing import Erasure
from versioned_collection.core.portions import IDS_PER_READ, portions
from versioned_collection.documents.moves import BATCH_BYTES
from versioned_collection.driver.wire import documents
from versioned_collection.observing import Progress, counted
from versioned_collection.past.appearances import STATES, STATES_BYTES, matching_states
from versioned_collection.pruning.holdings import Holdings
from versioned_collection.pruning.rewriting import Rewriting, Rewritten, states_of_all
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.purges import Tombstone
from versioned_collection.working.selection import NO_INDEXES, refusals

State = tuple[DocumentKey, bytes]
"""A document as it is, or was, somewhere."""

_AHEAD = timedelta(days=1)


@dataclass(slots=True)
class Found:
    """What a purge comes upon.

    Attributes:
        keys: The documents that it concerns.
        history: Those of them whose changes in versions become others.
        versions: How many versions get other checksums.
        removed: How many changes of versions are left out.
        rewritten: How many changes of versions become others.
        working_copy: How many documents change in the collections of all working copies.
        stashes: How many stashes hold something of the documents.
        views: How many published views show something of them.
        kept: Documents to which other clients write all the time, or that the server refuses.
    """

    keys: set[DocumentKey] = field(default_factory=set)
    history: set[DocumentKey] = field(default_factory=set)
    versions: int = 0
    removed: int = 0
    rewritten: int = 0
    working_copy: int = 0
    stashes: int = 0
    views: int = 0
    kept: Sequence[DocumentKey] = ()


class Purging:
    """A purge in the making.

    Args:
        hold: The lease.
        erasure: What is erased from the documents.
        keys: The documents, with those whose ids the server takes for the same; None for all.
        progress: Told how many documents were gone through.
    """

    def __init__(
        self,
        hold: Hold,
        erasure: Erasure,
        keys: Sequence[DocumentKey] | None,
        progress: Progress | None,
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._erasure = erasure
        self._keys = keys
        self._progress = counted(progress)
        self._copies = self._holdings()
        self._id, self._aside = ObjectId(), ObjectId()
        self._replicas = {copy.name: ObjectId() for copy in self._copies}
        self._stores = False

    def _holdings(self) -> list[Holdings]:
        """Return what to ask each working copy with, this one first."""
        return [Holdings(one, self._erasure, self._keys) for one in self._hold.everywhere()]

    def look(self) -> Found:
        """Find out what would be done; nothing is written.

        Raises:
            CorruptHistory: The history contradicts itself.
            NotSupported: A view, say, has taken the place of a working copy.
        """
        return self._prepared()

    def run(self, by: Any, reason: str) -> Found:
        """Purge.

        Args:
            by: Who does it.
            reason: Why.

        Raises:
            CorruptHistory: The history contradicts itself; nothing was done.
            DocumentRejected: A unique index refuses what is left of a document; nothing was done.
            NotSupported: A view, say, has taken the place of a working copy; nothing was done.
        """
        hold, repository = self._hold, self._repository
        own = self._replicas[repository.name]
        purge = {
            "id": self._id,
            "replica": own,
            "beside": [list(one) for one in self._replicas.items() if one[1] != own],
            "erasure": self._erasure.to_bson(),
        }
        hold.begin({"phase": "prepare", "stash": self._aside, "purge": purge})
        self._remove_garbage()
        repository.purges.create()
        repository.rewritten.create()
        self._stores = True
        found = self._prepared()
        if not found.keys:
            hold.update({"intent": None})
            for copy in self._copies:
                copy.forget_ids(self._keys or ())
            return found
        # also those that were named and are nowhere: their ids may have been noted
        others = found.keys.union(self._keys or ()) - found.history
        repository.purges.note_keys(self._id, sorted(found.history), history=True)
        repository.purges.note_keys(self._id, sorted(others), history=False)
        tombstone = Tombstone(
            self._id, repository.now(), by, reason, len(found.keys), found.versions
        )
        commit = Commit(
            stash=self._aside,
            guarded=True,
            copies=list(self._replicas),
            purge={**purge, "tombstone": tombstone.to_bson()},
        )
        committer = Committer(hold, self._progress)
        committer.declare(commit)
        committer.complete(commit)
        if any(committer.kept_in.values()):
            found.kept = self._insist(committer.kept_in)
        return found

    def _insist(self, kept: Mapping[str, Sequence[DocumentKey]]) -> Sequence[DocumentKey]:
        """Erase from documents that other clients changed meanwhile; return those that stay.

        Args:
            kept: The documents, by the names of the working copies.
        """
        self._hold.refresh()  # else what the purge itself did would be noticed, and noted
        left = [copy.insist(kept.get(copy.name, ())) for copy in self._holdings()]
        return sorted(set().union(*left))

    # -- what there is -------------------------------------------------------------------

    def _prepared(self) -> Found:
        for copy in self._copies:
            copy.check()
        rewriting = Rewriting(
            self._repository, self._hold.state.head, self._erasure.of, self._keys
        )
        found = Found()
        for batch in rewriting.documents():
            found.history.update(one.key for one in batch)
            self._store(batch)
            self._progress("looked at", len(batch))
        found.keys |= found.history
        found.removed, found.rewritten = rewriting.removed, rewriting.rewritten
        entries = list(rewriting.entries())
        found.versions = len(entries)
        if self._stores:
            self._repository.purges.note_checksums(self._id, entries)
        for copy in self._copies:
            self._look_into(copy, found)
        found.views = sum(copy.shown(sorted(found.keys)) for copy in self._copies)
        return found

    def _look_into(self, copy: Holdings, found: Found) -> None:
        for changes in copy.present():
            found.keys.update(delta.key for delta in changes)
            found.working_copy += len(changes)
            if self._stores:
                copy.put_aside(self._aside, changes)
        for keys in copy.stashed():
            found.keys.update(keys)
            found.stashes += bool(keys)

    def _store(self, batch: Sequence[Rewritten]) -> None:
        if not self._stores:
            return
        self._hold.lease.check()
        deltas = self._repository.deltas
        self._repository.rewritten.put([pair for one in batch for pair in one.deltas])
        for copy in self._copies:
            deltas.append(self._replicas[copy.name], copy.recorded([one.key for one in batch]))

    def _remove_garbage(self) -> None:
        """Remove what broken-off transfers and verbs have left, which may be anything."""
        hold, repository = self._hold, self._repository
        # first: what is announced as complete has all its changes
        repository.incoming.forget_all()
        stored = repository.deltas.versions()
        known = set(repository.log.tree())
        hold.confirm()
        repository.deltas.delete([one for one in stored if one not in known])
        drop_stray_copies(repository)
        # nobody uploads anything while we hold the lease, and the turn of those who transfer
        before = repository.now() + _AHEAD
        hold.confirm()
        repository.deltas.collect_uploads(before)
        for copy in self._copies:
            copy.remove_garbage(before)
        repository.purges.forget_unfinished()


# -- the choice ----------------------------------------------------------------------------


def with_twins(hold: Hold, keys: Sequence[DocumentKey]) -> list[DocumentKey]:
    """Return ids with those found anywhere that the server takes for the same.

    Where the collection has a collation, trackers are looked through for them: they are in no
    index by it, and nothing may be left.
    """
    found = set(keys)
    for portion in portions(keys, len, IDS_PER_READ, BATCH_BYTES):
        found.update(hold.repository.deltas.same_keys(portion, _collation(hold)))
        for one in hold.everywhere():
            repository, collation = one.repository, _collation(one)
            found.update(repository.stash.same_keys(portion, collation))
            for name in (repository.name, repository.replica.name):
                found.update(_matching_in(repository, name, raw_id_in(portion), collation))
    return sorted(found)


def matching(hold: Hold, filter_: bytes) -> list[DocumentKey]:
    """Return the documents that match a filter in any version, now, or in a stash.

    Args:
        hold: The lease.
        filter_: The filter, as BSON.

    Raises:
        InvalidArgument: The server refuses the filter.
    """
    found: set[DocumentKey] = set()
    with refusals(filter_, NO_INDEXES):
        for one in hold.everywhere():
            repository = one.repository
            for name in (repository.name, repository.replica.name):
                found.update(_matching_in(repository, name, filter_, _collation(one)))
            found.update(_matching(one, filter_, _stashed(one)))
        found.update(_matching(hold, filter_, _recorded(hold)))
    return sorted(found)


def _collation(hold: Hold) -> Mapping[str, Any] | None:
    return hold.state.options.get("collation")


def _matching_in(
    repository: Repository, name: str, filter_: bytes, collation: Mapping[str, Any] | None
) -> Iterator[DocumentKey]:
    options: dict[str, Any] = {} if collation is None else {"collation": collation}
    for batch in documents(
        repository.db, name, RawBSONDocument(filter_), projection={"_id": 1}, **options
    ):
        yield from map(document_key, batch)


def _matching(hold: Hold, filter_: bytes, states: Iterator[State]) -> Iterator[DocumentKey]:
    for some in portions(states, _size, STATES, STATES_BYTES):
        raws = matching_states(
            hold.repository, filter_, _collation(hold), (raw for _, raw in some)
        )
        yield from (key for key, raw in some if raw in raws)


def _recorded(hold: Hold) -> Iterator[State]:
    """Iterate over the documents as versions had them that changed them."""
    for key, states in states_of_all(hold.repository, hold.state.head):
        yield from ((key, raw) for raw in states if raw is not None)


def _stashed(hold: Hold) -> Iterator[State]:
    """Iterate over the documents as the stashes of a working copy have them."""
    for header in hold.state.stashes:
        for delta in hold.repository.stash.of_version(header["id"]):
            yield from ((delta.key, raw) for raw in (delta.old, delta.new) if raw is not None)


def _size(state: State) -> int:
    return len(state[1])
