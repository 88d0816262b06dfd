"""Conflicts of a merge that waits for decisions."""

from __future__ import annotations

from versioned_collection.trackers.base import Tracker
from versioned_collection.wire import translated


class ConflictsCollection(Tracker):
    """The tracker ``__conflicts_<name>``."""

    prefix = "conflicts"

    def is_empty(self) -> bool:
        """Tell whether no conflict waits."""
        with translated():
            return self.collection.find_one({}, {"_id": 1}) is None
