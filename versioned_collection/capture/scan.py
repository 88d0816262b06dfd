"""Capture by comparison: every look compares the whole collection with the replica."""

from __future__ import annotations

from versioned_collection.capture.base import Capture, Noticed
from versioned_collection.trackers.metadata import Metadata


class ScanCapture(Capture):
    """Misses nothing on any server, at a cost that grows with the collection."""

    def look(self, state: Metadata) -> Noticed:
        """Return what changed since the position in `state`."""
        uuid, options = self.identity()
        return Noticed(
            self.pin(), scan=True, uuid=uuid, options=options, reason="capture mode is scan"
        )
