"""What one working copy holds of the documents of a purge, beside the history that all share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from bson.objectid import ObjectId

from versioned_collection.capture import capture_for
from versioned_collection.committing.erasing import forget_ids
from versioned_collection.core.delta import Delta, compare, images
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.erasing import Erasure
from versioned_collection.core.portions import portions
from versioned_collection.documents.moves import BATCH, BATCH_BYTES
from versioned_collection.driver.wire import by_keys, documents
from versioned_collection.errors import DocumentRejected, WorkingCopyChanged
from versioned_collection.repository.hold import Hold
from versioned_collection.working.replacing import Replacing
from versioned_collection.working.working_copy import WorkingCopy

_ATTEMPTS = 5
"""How often the documents are looked at again that other clients write to all the time."""


class Holdings:
    """What a working copy holds of the documents of a purge.

    Args:
        hold: The lease, and the working copy.
        erasure: What is erased from the documents.
        keys: The documents; None for all.

    Attributes:
        name: The working copy's name.
    """

    def __init__(self, hold: Hold, erasure: Erasure, keys: Sequence[DocumentKey] | None) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._erasure = erasure
        self._keys = keys
        self._chosen = None if keys is None else frozenset(keys)
        self.name = hold.repository.name

    def check(self) -> None:
        """Make sure that there is no obstacle which a purge would meet when it is too late.

        Raises:
            NotSupported: A view, say, has taken the place of the collection.
        """
        capture_for(self._repository).identity()

    # -- what there is -------------------------------------------------------------------

    def recorded(self, keys: Sequence[DocumentKey]) -> Iterator[Delta]:
        """Iterate over what happens to documents in the replica."""
        for portion, recorded in self._repository.replica.by_keys(keys):
            for raw in map(recorded.get, portion):
                delta = compare(raw, self._erasure.of(raw))
                if delta is not None:
                    yield delta

    def present(self) -> Iterator[list[Delta]]:
        """Iterate over what happens to the documents of the collection."""
        if self._keys is not None:
            yield from self._changes_of(self._keys)
            return
        for batch in documents(self._repository.db, self.name):
            for portion in portions(batch, len, BATCH, BATCH_BYTES):
                yield self._changes(portion)

    def _changes_of(self, keys: Sequence[DocumentKey]) -> Iterator[list[Delta]]:
        for _, present in by_keys(self._repository.db, self.name, keys):
            yield self._changes(present.values())

    def _changes(self, raws: Iterable[bytes]) -> list[Delta]:
        found = (images(raw, self._erasure.of(raw)) for raw in raws)
        return [delta for delta in found if delta is not None]

    def stashed(self) -> Iterator[set[DocumentKey]]:
        """Iterate over the stashes; which documents in each are concerned."""
        for header in self._hold.state.stashes:
            yield {
                delta.key
                for delta in self._repository.stash.of_version(header["id"])
                if self._chosen is None or delta.key in self._chosen
                if any(self._erasure.of(raw) != raw for raw in (delta.old, delta.new))
            }

    def shown(self, keys: Sequence[DocumentKey]) -> int:
        """Return how many published views show something of documents."""
        slots = self._repository.overlays.views().values()
        return sum(self._is_shown(slot, keys) for slot in slots)

    def _is_shown(self, slot: str, keys: Sequence[DocumentKey]) -> bool:
        name = self._repository.overlays.collection_of(slot)
        return any(
            self._erasure.of(raw) != raw
            for _, found in by_keys(self._repository.db, name, keys)
            for raw in found.values()
        )

    # -- before and after ----------------------------------------------------------------

    def remove_garbage(self, before: datetime) -> None:
        """Remove what broken-off verbs have set aside, which may be anything.

        Args:
            before: The time before which all uploads are over.
        """
        stash = self._repository.stash
        kept = {header["id"] for header in self._hold.state.stashes}
        dropped = [one for one in stash.versions() if one not in kept]
        self._hold.confirm()
        stash.delete(dropped)
        stash.collect_uploads(before)

    def put_aside(self, aside: ObjectId, changes: Sequence[Delta]) -> None:
        """Note what is to happen to documents of the collection, under an id that is no stash."""
        self._repository.stash.append(aside, changes)

    def insist(self, kept: Sequence[DocumentKey]) -> Sequence[DocumentKey]:
        """Erase from documents that other clients changed meanwhile.

        Returns:
            Those that stay, as they are changed all the time, or as the server refuses them.
        """
        left = list(kept)
        for _ in range(_ATTEMPTS if kept else 0):
            changes = list(self._changes_of(left))
            if not any(changes):
                left = []
                break
            left = [delta.key for batch in changes for delta in batch]
            try:
                left = Replacing(self._hold, None).run(changes)
            except (WorkingCopyChanged, DocumentRejected):
                self._hold.update({"intent": None})
        self.forget_ids([key for key in kept if key not in left])
        return left

    def forget_ids(self, keys: Sequence[DocumentKey]) -> None:
        """Forget that documents may have changed which are erased as a whole."""
        if self._erasure.patterns is None and keys:
            WorkingCopy(self._hold).persist()
            forget_ids(self._hold, portions(keys, len, BATCH, BATCH_BYTES))
