"""Deltas that were made again, until they take the place of those of the same versions."""

from __future__ import annotations

from versioned_collection.trackers.delta_erasing import ErasableDeltas


class RewrittenCollection(ErasableDeltas):
    """The tracker ``__rewritten_<name>``, which is dropped once it has served."""

    prefix = "rewritten"
    at_first_use = True
