"""The modified set: ids of documents that may differ from HEAD.

A superset: an id too many costs one comparison, an id too few would lose a change.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import errors as driver

from versioned_collection.core.document import (
    DocumentKey,
    build,
    element,
    elements,
    is_no_id,
    raw_id_in,
)
from versioned_collection.driver.server_errors import (
    DUPLICATE_KEY,
    NAMESPACE_NOT_FOUND,
    UUID_MISMATCH,
    translated,
)
from versioned_collection.driver.wire import documents
from versioned_collection.driver.writes import (
    WriteOutcome,
    delete_all_statement,
    delete_many_statement,
    write,
)
from versioned_collection.trackers.base import Session, Tracker, drop_exactly, identities

_SEEN_HASH = b"\x05seen\0\x20\0\0\0\0"
_SEEN_MISSING = b"\x0aseen\0"
_BATCH = 2_000
_FEW = 5_000
_READABLE = 1024 * 1024


class ModifiedCollection(Tracker):
    """The tracker ``__modified_<name>``: one document per id.

    Its own ``_id`` is the key's bytes, since the server takes ``1`` and ``1.0`` for the
    same ``_id`` while both may have to be remembered. `document_id` is for readers.
    """

    prefix = "modified"

    def add(self, keys: Iterable[DocumentKey]) -> None:
        """Add ids; those that are there already are fine."""
        raws = [RawBSONDocument(build(_id(key), _for_readers(key))) for key in keys]
        if raws:
            self._check(write(self.db, "insert", self.name, raws, ordered=False))

    def note_seen(self, states: Mapping[DocumentKey, bytes | None]) -> None:
        """Add ids with the state in which a verb is about to set the documents aside.

        Args:
            states: SHA-256 of each document as it was seen, None where it was missing.
        """
        statements = []
        for key, seen in states.items():
            note = _SEEN_MISSING if seen is None else _SEEN_HASH + seen
            fields = build(_for_readers(key), note)
            change = build(
                b"\x03q\0" + build(_id(key)), b"\x03u\0" + build(b"\x03$set\0" + fields)
            )
            statement = build(change[4:-1], b"\x08upsert\0\x01")
            statements.append(RawBSONDocument(statement))
        if statements:
            self._check(write(self.db, "update", self.name, statements, ordered=False))

    @staticmethod
    def _check(outcome: WriteOutcome) -> None:
        for failure in outcome.errors:
            if failure["code"] != DUPLICATE_KEY:
                raise driver.OperationFailure(str(failure["errmsg"]), failure["code"])

    def all(self, at: Timestamp | None = None) -> Iterator[list[DocumentKey]]:
        """Iterate over the ids, a bounded list at a time.

        Args:
            at: The cluster time whose state is read.
        """
        for batch in documents(
            self.db, self.name, projection={"_id": 1}, batch_size=_BATCH, sort={"_id": 1}, at=at
        ):
            # earlier releases noted some that no query may name
            yield [key for key in map(_key_in, batch) if not is_no_id(key)]

    def seen(self) -> Iterator[dict[DocumentKey, bytes | None]]:
        """Iterate over the ids that carry a seen state, a bounded dict at a time."""
        for batch in documents(
            self.db, self.name, {"seen": {"$exists": True}}, batch_size=_BATCH, sort={"_id": 1}
        ):
            yield {_key_in(raw): _seen_in(raw) for raw in batch}

    def seen_among(self, keys: Iterable[DocumentKey]) -> dict[DocumentKey, bytes | None]:
        """Return those of `keys` that carry a seen state, with it."""
        return {_key_in(raw): _seen_in(raw) for raw in self._noted(keys) if _has_seen(raw)}

    def among(self, keys: Iterable[DocumentKey]) -> set[DocumentKey]:
        """Return those of `keys` that are noted."""
        return {_key_in(raw) for raw in self._noted(keys)}

    def _noted(self, keys: Iterable[DocumentKey]) -> Iterator[bytes]:
        own = list(map(_own, keys))
        if own:
            filter_ = RawBSONDocument(raw_id_in(own))
            yield from chain.from_iterable(documents(self.db, self.name, filter_))

    def forget_seen(self, keys: Iterable[DocumentKey], session: Session = None) -> None:
        """Have ids carry no seen state any more; they stay noted."""
        filter_ = RawBSONDocument(raw_id_in(list(map(_own, keys))))
        with translated():
            self.collection.update_many(filter_, {"$unset": {"seen": ""}}, session=session)

    def is_empty(self) -> bool:
        """Tell whether no id is noted."""
        return self.collection.find_one({}, {"_id": 1}) is None

    def remove(self, keys: Iterable[Sequence[DocumentKey]], check: Callable[[], None]) -> None:
        """Remove ids, unless another owner took over; see `clear`.

        Args:
            keys: The ids, a bounded list at a time.
            check: Makes sure that the lease is still held.
        """
        identity = identities(self.db, [self.name]).get(self.name)
        for portion in keys:
            statement = delete_many_statement(map(_own, portion))
            try:
                write(
                    self.db,
                    "delete",
                    self.name,
                    [statement],
                    check=check,
                    collectionUUID=identity,
                )
            except driver.OperationFailure as error:
                if error.code not in (NAMESPACE_NOT_FOUND, UUID_MISMATCH):
                    raise
                return

    def clear(self, check: Callable[[], None]) -> None:
        """Remove all ids, unless another owner took over, who has renewed the collection.

        Args:
            check: Makes sure that the lease is still held.
        """
        if self.is_empty():
            return
        identity = identities(self.db, [self.name]).get(self.name)
        check()
        if self.collection.estimated_document_count() <= _FEW:
            everything = delete_all_statement()
            write(self.db, "delete", self.name, [everything], collectionUUID=identity)
        elif drop_exactly(self.db, self.name, identity):
            self.create()

    def renew(self) -> None:
        """Keep the ids in a new collection, so that a late owner cannot clear it."""
        with translated():
            self.collection.aggregate([{"$match": {}}, {"$out": self.name}])


def _own(key: DocumentKey) -> DocumentKey:
    """Return the key of the note of an id: its ``_id`` is a binary value."""
    return b"\x05" + struct.pack("<i", len(key)) + b"\0" + key


def _id(key: DocumentKey) -> bytes:
    return element(b"_id", _own(key))


def _for_readers(key: DocumentKey) -> bytes:
    """Return the id once more, unless a note cannot hold a large one twice."""
    return element(b"document_id", key) if len(key) <= _READABLE else b""


def _key_in(raw: bytes) -> DocumentKey:
    size = struct.unpack_from("<i", raw, 9)[0]
    return raw[14 : 14 + size]


def _seen_in(raw: bytes) -> bytes | None:
    """Return the hash, without decoding the id beside it."""
    return next(_seen_values(raw))[5:] or None


def _has_seen(raw: bytes) -> bool:
    return next(_seen_values(raw), None) is not None


def _seen_values(raw: bytes) -> Iterator[bytes]:
    return (raw[start:end] for _, name, start, end in elements(raw) if name == b"seen")
