"""Preparing a purge: which documents it concerns, and what is left of them everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer, Progress
from versioned_collection.core.delta import Delta, images
from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.core.erasing import Erasure
from versioned_collection.erasing import forget_ids
from versioned_collection.errors import WorkingCopyChanged
from versioned_collection.moves import BATCH, BATCH_BYTES
from versioned_collection.observing import counted
from versioned_collection.past.appearances import STATES, STATES_BYTES, matching_states
from versioned_collection.replacing import Replacing
from versioned_collection.repository import Hold, Repository
from versioned_collection.rewriting import Rewriting, Rewritten, states_of_all
from versioned_collection.selection import refusals
from versioned_collection.trackers.purges import Tombstone
from versioned_collection.wire import IDS_PER_READ, by_keys, documents, portions
from versioned_collection.working_copy import WorkingCopy

_ATTEMPTS = 5
"""How often the documents are looked at again that other clients write to all the time."""

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
        working_copy: How many documents change in the collection.
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
        self._chosen = None if keys is None else frozenset(keys)
        self._progress = counted(progress)
        self._id, self._replica, self._aside = ObjectId(), ObjectId(), ObjectId()
        self._stores = False

    def look(self) -> Found:
        """Find out what would be done; nothing is written."""
        return self._prepared()

    def run(self, by: Any, reason: str) -> Found:
        """Purge.

        Args:
            by: Who does it.
            reason: Why.

        Raises:
            CorruptHistory: The history contradicts itself; nothing was done.
            DocumentRejected: A unique index refuses what is left of a document; nothing was done.
        """
        hold, repository = self._hold, self._repository
        purge = {
            "id": self._id,
            "replica": self._replica,
            "erasure": self._erasure.to_bson(),
        }
        hold.begin({"phase": "prepare", "stash": self._aside, "purge": purge})
        _remove_garbage(hold)
        repository.purges.create()
        repository.rewritten.create()
        self._stores = True
        found = self._prepared()
        if not found.keys:
            hold.update({"intent": None})
            self._forget_ids(self._keys or ())
            return found
        # also those that were named and are nowhere: their ids may have been noted
        others = found.keys.union(self._keys or ()) - found.history
        repository.purges.note_keys(self._id, sorted(found.history), history=True)
        repository.purges.note_keys(self._id, sorted(others), history=False)
        tombstone = Tombstone(
            self._id, repository.now(), by, reason, len(found.keys), found.versions
        )
        commit = Commit(
            stash=self._aside, guarded=True, purge={**purge, "tombstone": tombstone.to_bson()}
        )
        committer = Committer(hold, self._progress)
        committer.declare(commit)
        committer.complete(commit)
        found.kept = self._insist(committer.kept)
        return found

    # -- what there is -------------------------------------------------------------------

    def _prepared(self) -> Found:
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
        for changes in self._present():
            found.keys.update(delta.key for delta in changes)
            found.working_copy += len(changes)
            if self._stores:
                self._repository.stash.append(self._aside, changes)
        for keys in self._stashed():
            found.keys.update(keys)
            found.stashes += bool(keys)
        found.views = sum(self._is_shown(slot, found.keys) for slot in self._slots())
        return found

    def _store(self, batch: Sequence[Rewritten]) -> None:
        if not self._stores:
            return
        self._hold.lease.check()
        self._repository.rewritten.put([pair for one in batch for pair in one.deltas])
        moves = [one.replica for one in batch if one.replica is not None]
        self._repository.deltas.append(self._replica, moves)

    def _present(self) -> Iterator[list[Delta]]:
        """Iterate over what happens to the documents of the collection."""
        repository = self._repository
        if self._keys is not None:
            for _, present in by_keys(repository.db, repository.name, self._keys):
                yield self._changes(present.values())
            return
        for batch in documents(repository.db, repository.name):
            for portion in portions(batch, len, BATCH, BATCH_BYTES):
                yield self._changes(portion)

    def _changes(self, raws: Iterable[bytes]) -> list[Delta]:
        found = (images(raw, self._erasure.of(raw)) for raw in raws)
        return [delta for delta in found if delta is not None]

    def _stashed(self) -> Iterator[set[DocumentKey]]:
        """Iterate over the stashes; which documents in each are concerned."""
        for header in self._hold.state.stashes:
            yield {
                delta.key
                for delta in self._repository.stash.of_version(header["id"])
                if self._chosen is None or delta.key in self._chosen
                if any(self._erasure.of(raw) != raw for raw in (delta.old, delta.new))
            }

    def _slots(self) -> list[str]:
        return list(self._repository.overlays.views().values())

    def _is_shown(self, slot: str, keys: Iterable[DocumentKey]) -> bool:
        repository = self._repository
        name = repository.overlays.collection_of(slot)
        return any(
            self._erasure.of(raw) != raw
            for _, found in by_keys(repository.db, name, sorted(keys))
            for raw in found.values()
        )

    # -- afterwards ----------------------------------------------------------------------

    def _insist(self, kept: Sequence[DocumentKey]) -> Sequence[DocumentKey]:
        """Erase from documents that other clients changed meanwhile; return those that stay."""
        repository, left = self._repository, list(kept)
        for _ in range(_ATTEMPTS if kept else 0):
            changes = [
                self._changes(found.values())
                for _, found in by_keys(repository.db, repository.name, left)
            ]
            if not any(changes):
                left = []
                break
            left = [delta.key for batch in changes for delta in batch]
            try:
                left = Replacing(self._hold, None).run(changes)
            except WorkingCopyChanged:
                self._hold.update({"intent": None})
        if kept:
            self._forget_ids([key for key in kept if key not in left])
        return left

    def _forget_ids(self, keys: Sequence[DocumentKey]) -> None:
        if self._erasure.patterns is None and keys:
            WorkingCopy(self._hold).persist()
            forget_ids(self._hold, portions(keys, len, BATCH, BATCH_BYTES))


def _remove_garbage(hold: Hold) -> None:
    """Remove what broken-off transfers and verbs have left, which may be anything."""
    repository = hold.repository
    known = set(repository.log.tree())
    kept = {header["id"] for header in hold.state.stashes}
    repository.incoming.forget_all()  # first: what is announced as complete has all its changes
    hold.update({})
    repository.deltas.delete([one for one in repository.deltas.versions() if one not in known])
    repository.stash.delete([one for one in repository.stash.versions() if one not in kept])
    for store in (repository.deltas, repository.stash):
        # nobody uploads anything while we hold the lease, and the turn of those who transfer
        store.collect_uploads(repository.now() + _AHEAD)
    repository.purges.forget_unfinished()


# -- the choice ----------------------------------------------------------------------------


def with_twins(repository: Repository, keys: Sequence[DocumentKey]) -> list[DocumentKey]:
    """Return ids with those found anywhere that the server takes for the same."""
    found = set(keys)
    for portion in portions(keys, len, IDS_PER_READ, BATCH_BYTES):
        found.update(repository.deltas.same_keys(portion))
        found.update(repository.stash.same_keys(portion))
        for name in (repository.name, repository.replica.name):
            for _, present in by_keys(repository.db, name, portion):
                found.update(present)
    return sorted(found)


def matching(hold: Hold, filter_: bytes) -> list[DocumentKey]:
    """Return the documents that match a filter in any version, now, or in a stash.

    Args:
        hold: The lease.
        filter_: The filter, as BSON.

    Raises:
        InvalidArgument: The server refuses the filter.
    """
    repository = hold.repository
    collation = hold.state.options.get("collation")
    found: set[DocumentKey] = set()
    with refusals(filter_):
        for name in (repository.name, repository.replica.name):
            found.update(_matching_in(repository, name, filter_, collation))
        for some in portions(_states(hold), _size, STATES, STATES_BYTES):
            raws = matching_states(repository, filter_, collation, (raw for _, raw in some))
            found.update(key for key, raw in some if raw in raws)
    return sorted(found)


def _matching_in(
    repository: Repository, name: str, filter_: bytes, collation: Mapping[str, Any] | None
) -> Iterator[DocumentKey]:
    options: dict[str, Any] = {} if collation is None else {"collation": collation}
    for batch in documents(
        repository.db, name, RawBSONDocument(filter_), projection={"_id": 1}, **options
    ):
        yield from map(document_key, batch)


def _states(hold: Hold) -> Iterator[tuple[DocumentKey, bytes]]:
    """Iterate over the documents as versions had them that changed them, and over stashes."""
    repository = hold.repository
    for key, states in states_of_all(repository, hold.state.head):
        yield from ((key, raw) for raw in states if raw is not None)
    for header in hold.state.stashes:
        for delta in repository.stash.of_version(header["id"]):
            yield from ((delta.key, raw) for raw in (delta.old, delta.new) if raw is not None)


def _size(state: tuple[DocumentKey, bytes]) -> int:
    return len(state[1])
