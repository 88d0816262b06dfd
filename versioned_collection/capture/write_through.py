"""Capture by write-through: writes of this library are noted before they happen.

For servers without change streams. Writes that do not go through a `VersionedCollection`
are seen only by ``capture="scan"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from bson.objectid import ObjectId

from versioned_collection.capture.base import SPILL, Capture, Noticed
from versioned_collection.core.document import is_no_id
from versioned_collection.trackers.journal import Entry
from versioned_collection.trackers.metadata import Metadata

_LONGEST_WRITE = timedelta(days=1)
"""How long a write may be under way, and the clocks of its process and the server apart."""

_LONGEST_UNHEARD = timedelta(hours=1)
"""The same for one that was sent, and whose outcome nobody wanted to hear (``w=0``)."""


class WriteThroughCapture(Capture):
    """Reads the journal that the wrapper's write methods keep."""

    def look(self, state: Metadata) -> Noticed:
        """Return what changed since the position in `state`.

        Ids that no document can have are noted before the server refuses them, and passed over
        here: as part of a query it refuses them as well.
        """
        uuid, options = self.identity()
        noticed = Noticed(None, uuid=uuid, options=options, is_blind=True)
        # a collection that is missing may have been there since, by a checkout for instance
        if state.scan or uuid is None or uuid != state.uuid:
            noticed.scan, noticed.reason = True, "the collection was replaced or not followed"
        collated = "collation" in (options or {})
        settled: list[ObjectId] = []
        unsettled: list[Entry] = []
        for entry in self.repository.journal.entries():
            noticed.keys.update(
                key for key in entry.keys if not is_no_id(key, is_collated=collated)
            )
            if entry.is_unknown:
                noticed.scan, noticed.reason = True, "a write of unknown reach"
            if entry.is_settled:
                settled.append(entry.id)
            else:
                unsettled.append(entry._replace(keys=[]))
            if len(noticed.keys) > SPILL:
                self.repository.modified.add(noticed.keys)
                noticed.keys.clear()
        noticed.settled = [*settled, *self._abandoned(unsettled)]
        noticed.at = self.pin()  # behind all writes that the journal calls settled
        return noticed

    def _abandoned(self, entries: Sequence[Entry]) -> Iterator[ObjectId]:
        """Iterate over the entries of writes that must be over, though nobody has said so.

        Their processes died, or lost the server. Without that, each look would compare
        everything for ever, where one had an unknown reach.
        """
        now = self.repository.now() if entries else datetime.max
        for entry in entries:
            begun = entry.id.generation_time + _LONGEST_WRITE
            over = begun if entry.sent is None else min(begun, entry.sent + _LONGEST_UNHEARD)
            if over < now:
                yield entry.id
