"""The journal of write-through capture: what each write is about to touch.

An entry is written before the write and settled once its outcome is known. A verb only removes
settled entries: a write that is still under way, or whose process died, stays noted (for a day).
That of a write in a transaction is part of it, so that both become visible together, or neither.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import (
    DocumentKey,
    build,
    elements,
    raw_array,
)
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import documents
from versioned_collection.driver.writes import write
from versioned_collection.trackers.base import Session, Tracker

BATCH = 20_000
"""Entries that one command removes."""


class Entry(NamedTuple):
    """A write in the journal.

    Attributes:
        id: The id of the entry.
        keys: The ids of documents that it can touch.
        is_unknown: Whether it can touch any.
        is_settled: Whether its outcome is known.
        sent: When it was sent, where nobody will hear of its outcome, by the server's clock.
    """

    id: ObjectId
    keys: list[DocumentKey]
    is_unknown: bool
    is_settled: bool
    sent: datetime | None


class JournalCollection(Tracker):
    """The tracker ``__journal_<name>``: ``ids``, ``scan``, ``settled``, ``sent``."""

    prefix = "journal"
    at_first_use = True

    def begin(self, keys: Sequence[DocumentKey] | None, transaction: Session = None) -> ObjectId:
        """Note a write that is about to happen.

        Args:
            keys: The ids it can touch; None when they are not known, which makes the next
                verb compare everything unless `settle` names them.
            transaction: The session of the transaction that the write is part of. As nobody
                sees the entry before the write has happened, it is a settled one.
        """
        self.create_once(transaction)
        entry = ObjectId()
        ids = b"" if keys is None else b"\x04ids\0" + raw_array(keys)
        scan = b"\x08scan\0" + _flag(keys is None)
        settled = b"\x08settled\0" + _flag(transaction is not None)
        raw = build(b"\x07_id\0" + entry.binary, ids, scan, settled)
        write(self.db, "insert", self.name, [RawBSONDocument(raw)], session=transaction)
        return entry

    def settle(
        self,
        entry: ObjectId,
        keys: Sequence[DocumentKey] | None = None,
        transaction: Session = None,
    ) -> None:
        """Note that a write is over.

        Args:
            entry: What `begin` returned.
            keys: The ids it touched, where `begin` did not know them.
            transaction: What `begin` was given.
        """
        known = b"" if keys is None else b"\x04ids\0" + raw_array(keys) + b"\x08scan\0\0"
        change = RawBSONDocument(build(b"\x08settled\0\x01", known))
        with translated():
            self.collection.update_one({"_id": entry}, {"$set": change}, session=transaction)

    def leave(self, entry: ObjectId) -> None:
        """Note that a write was sent of whose outcome nobody will hear."""
        with translated():
            self.collection.update_one({"_id": entry}, {"$currentDate": {"sent": True}})

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries."""
        for batch in documents(self.db, self.name, sort={"_id": 1}, batch_size=1_000):
            yield from map(_entry, batch)

    def forget(self, keys: Container[DocumentKey]) -> None:
        """Take ids out of all entries.

        Such an entry may be of a write that is under way, so the next verb compares everything
        instead.

        Args:
            keys: The ids.
        """
        for entry in list(self.entries()):
            left = [key for key in entry.keys if key not in keys]
            if len(left) < len(entry.keys):
                ids = b"\x04ids\0" + raw_array(left)
                change = RawBSONDocument(build(ids, b"\x08scan\0\x01"))
                with translated():
                    self.collection.update_one({"_id": entry.id}, {"$set": change})

    def remove(self, entries: Sequence[ObjectId]) -> None:
        """Remove entries that are covered by a version or by the modified set."""
        for start in range(0, len(entries), BATCH):
            portion = list(entries[start : start + BATCH])
            with translated():
                self.collection.delete_many({"_id": {"$in": portion}})


def _flag(value: bool) -> bytes:
    return b"\x01" if value else b"\0"


def _entry(raw: bytes) -> Entry:
    # the ids stay bytes: they may hold what no decoder reads
    fields = {name: raw[start:end] for _, name, start, end in elements(raw)}
    scan, settled = (fields[name] == b"\x01" for name in (b"scan", b"settled"))
    keys = _ids_in(fields[b"ids"]) if b"ids" in fields else []
    sent = _time_in(fields[b"sent"]) if b"sent" in fields else None
    return Entry(ObjectId(fields[b"_id"]), keys, scan, settled, sent)


def _ids_in(array: bytes) -> list[DocumentKey]:
    return [bytes((kind,)) + array[start:end] for kind, _, start, end in elements(array)]


def _time_in(raw: bytes) -> datetime:
    (milliseconds,) = struct.unpack("<q", raw)
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)
