"""How changes to the collection are noticed: three ways behind one interface."""

from __future__ import annotations

from versioned_collection.capture.base import Capture, Noticed
from versioned_collection.capture.change_stream import ChangeStreamCapture
from versioned_collection.capture.scan import ScanCapture
from versioned_collection.capture.write_through import WriteThroughCapture
from versioned_collection.repository.repository import Repository

__all__ = ["Capture", "Noticed", "capture_for"]

_MODES: dict[str, type[Capture]] = {
    "change_stream": ChangeStreamCapture,
    "write_through": WriteThroughCapture,
    "scan": ScanCapture,
}


def capture_for(repository: Repository) -> Capture:
    """Return the way in which changes of this collection are noticed."""
    return _MODES[repository.capture_mode](repository)
