"""Carrying out a purge, behind its commit point: whatever is done here can be done again.

What it needs was prepared out of sight: which documents it concerns and what log entries become
(in the tracker of purges), the new deltas (in that of rewritten ones), and the deltas that lead
the replica of each working copy to its new documents (those of a version that never enters the
log).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

from bson.objectid import ObjectId
from pymongo.client_session import ClientSession

from versioned_collection.capture import capture_for
from versioned_collection.core.delta import Delta, images
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.erasing import Erasure
from versioned_collection.core.portions import portions
from versioned_collection.core.tree import Path
from versioned_collection.documents.moves import (
    BATCH,
    BATCH_BYTES,
    SMALL_DOCUMENTS,
    Move,
    move_replica,
    moves_along,
)
from versioned_collection.driver.wire import by_keys
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.lifecycle import drop_some
from versioned_collection.trackers.metadata import with_stashes

Keys = Callable[[], Iterator[Sequence[DocumentKey]]]

_AHEAD = timedelta(days=1)


class Erasing:
    """A purge that will happen.

    Args:
        hold: The lease.
        purge: What its intent says: ``id``, ``replica`` (the version whose deltas lead the
            replica on), ``beside`` (the same for the other working copies, by their names),
            ``erasure`` and ``tombstone``.
        torn: Whether a process without transactions may have died while it did the same.
    """

    def __init__(self, hold: Hold, purge: Mapping[str, Any], *, torn: bool = False) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._id: ObjectId = purge["id"]
        self._replicas = _replicas(hold, purge)
        erasure = Erasure.from_bson(purge["erasure"])
        self._copies = [
            _Copy(one, self._keys, self._replicas[one.repository.name], erasure, torn)
            for one in hold.everywhere()
        ]

    def run(self, aside: ObjectId) -> dict[str, dict[str, Any]]:
        """Erase, once the documents of all working copies have moved.

        Args:
            aside: Where these had been put aside.

        Returns:
            The fields of the metadata that change with it, by the names of the working copies.
        """
        repository, check = self._repository, self._hold.lease.check
        for copy in self._copies:
            copy.move_replica(aside)
        for keys in self._keys(history=True):
            self._replace_deltas(keys)
        fields = {copy.name: copy.rewrite() for copy in self._copies}
        check()
        repository.spans.drop_all()
        for entries in repository.purges.checksums(self._id):
            check()
            repository.log.seal((entry.version, entry.facts) for entry in entries)
        # behind the log: whoever announces later on finds the new entries there
        repository.incoming.forget_all()
        for copy in self._copies:
            fields[copy.name].update(copy.notice())
        self._forget()
        if repository.has_transactions:
            repository.purges.renew()
        return fields

    def _keys(self, *, history: bool = False) -> Iterator[Sequence[DocumentKey]]:
        """Iterate over the documents that are concerned; see `PurgesCollection.keys`."""
        for keys in self._repository.purges.keys(self._id, history=history):
            yield from portions(keys, len, BATCH, BATCH_BYTES)

    def _replace_deltas(self, keys: Sequence[DocumentKey]) -> None:
        """Put the new deltas of documents in the place of all that there are.

        Those of the ways of the replicas go as well: all have arrived.
        """
        store = self._repository.deltas
        if len(keys) > 1 and store.count_of(keys) > SMALL_DOCUMENTS:
            half = len(keys) // 2
            self._replace_deltas(keys[:half])
            self._replace_deltas(keys[half:])
            return
        self._hold.lease.check()
        store.erase_parts(keys)

        def work(session: ClientSession | None) -> None:
            store.erase(keys, session)
            self._hold.touch(session)

        self._hold.transaction(work)
        for portion in portions(
            self._repository.rewritten.of_keys(keys), _size, BATCH, BATCH_BYTES
        ):
            store.put(portion)

    def _forget(self) -> None:
        """Remove what was prepared; in this order, as a document without new deltas has none."""
        repository = self._repository
        self._hold.lease.check()
        repository.purges.forget_keys(self._id)
        repository.deltas.delete(list(self._replicas.values()))
        drop_some(self._hold, (repository.rewritten,))


class _Copy:
    """What a purge does to the trackers that are one working copy's own.

    Args:
        hold: The lease, and the working copy.
        keys: Returns the documents that are concerned.
        replica: The version whose deltas lead its replica on.
        erasure: What is erased.
        torn: See `Erasing`.
    """

    def __init__(
        self, hold: Hold, keys: Keys, replica: ObjectId, erasure: Erasure, torn: bool
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._keys = keys
        self._replica = replica
        self._erasure = erasure
        self._torn = torn
        self.name = hold.repository.name

    def move_replica(self, aside: ObjectId) -> None:
        """Lead the replica on; what was put aside of the collection is of no use any more."""
        repository, check = self._repository, self._hold.lease.check
        repository.stash.delete([aside])
        path = Path((), (self._replica,))
        with closing(moves_along(repository, path, torn=self._torn, plain=True)) as batches:
            for batch in batches:

                def work(session: ClientSession | None, batch: list[Move] = batch) -> None:
                    move_replica(repository, batch, session, check)
                    self._hold.touch(session)

                self._hold.transaction(work)

    def rewrite(self) -> dict[str, Any]:
        """Rewrite what was set aside, and copies of documents.

        Returns:
            The fields of the metadata that change with it.
        """
        repository = self._repository
        stashes = self._rewrite_stashes()
        self._rewrite_views()
        self._hold.lease.check()
        repository.overlays.remove_all()
        repository.conflicts.delete(repository.conflicts.merges())
        return stashes

    def _rewrite_stashes(self) -> dict[str, Any]:
        repository = self._repository
        for keys in self._keys():
            self._hold.lease.check()
            repository.stash.rewrite(keys, self._without)
        state = repository.state()
        if not state.stashes:
            return {}
        # nobody but whoever holds the lease uploads anything to it
        repository.stash.collect_uploads(repository.now() + _AHEAD)
        return with_stashes(map(repository.stash.described, state.stashes))

    def _without(self, delta: Delta) -> Delta | None:
        return images(self._erasure.of(delta.old), self._erasure.of(delta.new))

    def _rewrite_views(self) -> None:
        overlays = self._repository.overlays
        for slot in sorted(set(overlays.views().values())):
            name = overlays.collection_of(slot)
            for keys in self._keys():
                self._rewrite_copies(name, keys)

    def _rewrite_copies(self, name: str, keys: Sequence[DocumentKey]) -> None:
        repository, check = self._repository, self._hold.lease.check
        for _, found in by_keys(repository.db, name, keys):
            left = {key: self._erasure.of(raw) for key, raw in found.items()}
            moved = [key for key, raw in found.items() if left[key] != raw]
            raws = [raw for key in moved if (raw := left[key]) is not None]

            def work(
                session: ClientSession | None,
                moved: list[DocumentKey] = moved,
                raws: list[bytes] = raws,
            ) -> None:
                repository.overlays.replace(name, moved, raws, session, check)
                self._hold.touch(session)

            if moved:
                self._hold.transaction(work)

    def notice(self) -> dict[str, Any]:
        """Note what changed so far, so that nobody has to notice our own writes later on.

        Returns:
            The fields of the metadata that say how far changes have been noticed.
        """
        repository = self._repository
        noticed = capture_for(repository).look(repository.state()).complete()
        self._hold.lease.check()
        if not noticed.scan:
            repository.modified.add(noticed.keys)
            repository.journal.remove(noticed.settled)
        if self._erasure.patterns is None:
            forget_ids(self._hold, self._keys())
        return {} if noticed.scan else noticed.position()


def forget_ids(hold: Hold, keys: Iterable[Sequence[DocumentKey]]) -> None:
    """Forget that documents may have changed which are not there any more.

    What other clients do to them from now on is noticed by the next look.

    Args:
        hold: The lease.
        keys: The documents, a bounded list at a time; none of them is in the replica.
    """
    repository = hold.repository
    for some in keys:
        for portion, present in by_keys(repository.db, repository.name, some):
            gone = [key for key in portion if key not in present]
            repository.modified.remove([gone], hold.lease.check)
            repository.journal.forget(frozenset(gone))


def take_back(hold: Hold, purge: Mapping[str, Any], aside: ObjectId) -> None:
    """Remove what was prepared for a purge that does not happen.

    Args:
        hold: The lease.
        purge: See `Erasing`.
        aside: Where the documents of the working copies had been put aside.
    """
    repository = hold.repository
    hold.lease.check()
    for one in hold.everywhere():
        one.repository.stash.delete([aside])
    repository.purges.forget(purge["id"])
    repository.deltas.delete(list(_replicas(hold, purge).values()))
    drop_some(hold, (repository.rewritten,))


def _replicas(hold: Hold, purge: Mapping[str, Any]) -> dict[str, ObjectId]:
    """Return the versions whose deltas lead replicas on, by the names of the working copies."""
    return {hold.repository.name: purge["replica"], **dict(purge.get("beside", ()))}


def _size(found: tuple[Any, Delta]) -> int:
    delta = found[1]
    return len(delta.old or b"") + len(delta.new or b"") + 400
