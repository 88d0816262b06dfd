"""Capture by write-through: writes of this library are noted before they happen.

For servers without change streams. Writes that do not go through a `VersionedCollection`
are seen only by ``capture="scan"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from bson.objectid import ObjectId

from versioned_collection.capture.base import SPILL, Capture, Noticed
from versioned_collection.trackers.metadata import Metadata

_LONGEST_WRITE = timedelta(days=1)
"""How long a write may be under way, and the clocks of its process and the server apart."""


class WriteThroughCapture(Capture):
    """Reads the journal that the wrapper's write methods keep."""

    def look(self, state: Metadata) -> Noticed:
        """Return what changed since the position in `state`."""
        uuid, options = self.identity()
        noticed = Noticed(None, uuid=uuid, options=options)
        # a collection that is missing may have been there since, by a checkout for instance
        if state.scan or uuid is None or uuid != state.uuid:
            noticed.scan, noticed.reason = True, "the collection was replaced or not followed"
        settled: list[ObjectId] = []
        unsettled: list[ObjectId] = []
        for entry, keys, scan, is_settled in self.repository.journal.entries():
            noticed.keys.update(keys)
            if scan:
                noticed.scan, noticed.reason = True, "a write of unknown reach"
            (settled if is_settled else unsettled).append(entry)
            if len(noticed.keys) > SPILL:
                self.repository.modified.add(noticed.keys)
                noticed.keys.clear()
        noticed.settled = [*settled, *self._abandoned(unsettled)]
        noticed.at = self.pin()  # behind all writes that the journal calls settled
        return noticed

    def _abandoned(self, entries: Sequence[ObjectId]) -> Iterator[ObjectId]:
        """Iterate over the entries of writes whose processes died before they were over.

        Without that, each look would compare everything for ever, where one had an unknown reach.
        """
        if entries:
            oldest = self.repository.now() - _LONGEST_WRITE
            yield from (entry for entry in entries if entry.generation_time < oldest)
