"""Stashes: uncommitted changes that were set aside, with both images of each document."""

from __future__ import annotations

from bson.objectid import ObjectId

from versioned_collection.trackers.delta_store import DeltaStore
from versioned_collection.wire import translated


class StashCollection(DeltaStore):
    """The tracker ``__stash_<name>``; a stash's id stands in the place of a version's."""

    prefix = "stash"

    def count(self, stash: ObjectId) -> int:
        """Return how many documents a stash changes."""
        with translated():
            return self.collection.count_documents({"version": stash})
