"""The journal of write-through capture: what each write is about to touch.

An entry is written before the write and settled after it. A verb only removes settled
entries: a write that is still under way, or whose process died, stays noted (for a day).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import (
    DocumentKey,
    build,
    elements,
    raw_array,
)
from versioned_collection.server_errors import translated
from versioned_collection.trackers.base import Tracker
from versioned_collection.wire import documents
from versioned_collection.writes import write


class JournalCollection(Tracker):
    """The tracker ``__journal_<name>``: ``ids``, ``scan``, ``settled``."""

    prefix = "journal"
    at_first_use = True

    def begin(self, keys: Sequence[DocumentKey] | None) -> ObjectId:
        """Note a write that is about to happen.

        Args:
            keys: The ids it can touch; None when they are not known, which makes the next
                verb compare everything unless `settle` names them.
        """
        self.create_once()
        entry = ObjectId()
        ids = b"" if keys is None else b"\x04ids\0" + raw_array(keys)
        scan = b"\x08scan\0" + (b"\x01" if keys is None else b"\0")
        raw = build(b"\x07_id\0" + entry.binary, ids, scan, b"\x08settled\0\0")
        write(self.db, "insert", self.name, [RawBSONDocument(raw)])
        return entry

    def settle(self, entry: ObjectId, keys: Sequence[DocumentKey] | None = None) -> None:
        """Note that a write is over.

        Args:
            entry: What `begin` returned.
            keys: The ids it touched, where `begin` did not know them.
        """
        known = b"" if keys is None else b"\x04ids\0" + raw_array(keys) + b"\x08scan\0\0"
        change = RawBSONDocument(build(b"\x08settled\0\x01", known))
        with translated():
            self.collection.update_one({"_id": entry}, {"$set": change})

    def entries(self) -> Iterator[tuple[ObjectId, list[DocumentKey], bool, bool]]:
        """Iterate over ``(entry, ids, whether ids are unknown, whether it is settled)``."""
        for batch in documents(self.db, self.name, sort={"_id": 1}, batch_size=1_000):
            for raw in batch:
                # the ids stay bytes: they may hold what no decoder reads
                fields = {name: raw[start:end] for _, name, start, end in elements(raw)}
                scan, settled = (fields[name] == b"\x01" for name in (b"scan", b"settled"))
                yield ObjectId(fields[b"_id"]), _ids_in(raw), scan, settled

    def forget(self, keys: Container[DocumentKey]) -> None:
        """Take ids out of all entries.

        Such an entry may be of a write that is under way, so the next verb compares everything
        instead.

        Args:
            keys: The ids.
        """
        for entry, noted, _, _ in list(self.entries()):
            left = [key for key in noted if key not in keys]
            if len(left) < len(noted):
                ids = b"\x04ids\0" + raw_array(left)
                change = RawBSONDocument(build(ids, b"\x08scan\0\x01"))
                with translated():
                    self.collection.update_one({"_id": entry}, {"$set": change})

    def remove(self, entries: Sequence[ObjectId]) -> None:
        """Remove entries that are covered by a version or by the modified set."""
        if entries:
            with translated():
                self.collection.delete_many({"_id": {"$in": list(entries)}})


def _ids_in(raw: bytes) -> list[DocumentKey]:
    for _, name, start, end in elements(raw):
        if name == b"ids":
            array = raw[start:end]
            return [bytes((kind,)) + array[first:last] for kind, _, first, last in elements(array)]
    return []
