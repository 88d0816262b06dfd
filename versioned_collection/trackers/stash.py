"""The stash: uncommitted changes that were set aside, with both images of each document."""

from __future__ import annotations

from versioned_collection.trackers.delta_store import DeltaStore


class StashCollection(DeltaStore):
    """The tracker ``__stash_<name>``; a stash's id stands in the place of a version's."""

    prefix = "stash"
