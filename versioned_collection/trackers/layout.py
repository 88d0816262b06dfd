"""Where the parts of a stored delta lie in its bytes.

Nearly all were stored by us, with their fields in one order, so that most parts are at places
that are known. Whatever lies differently is read field by field.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import bson
from bson.objectid import ObjectId

from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    DocumentKey,
    build,
    elements,
    value_end,
)
from versioned_collection.core.version import VersionId
from versioned_collection.errors import CorruptHistory
from versioned_collection.trackers.base import FORMAT

FORMAT_FIELD = b"\x10format\0" + FORMAT.to_bytes(4, "little")
HASH = b"\x20\0\0\0\0"
CHANGES = b"\x04changes\0"
OPERATIONS = {op: bson.encode({"op": op})[4:-1] for op in ("insert", "update", "delete")}

_START = FORMAT_FIELD + b"\x07version\0"
_START_AT = 21
_VERSION_AT = _START_AT + len(_START)
_ID_AT = _VERSION_AT + 12
_ID = b"document_id\0"
_KEY = b"\x05key\0\x0c\0\0\0\0"
_UPDATE = OPERATIONS["update"] + b"\x05before\0" + HASH
_AFTER = b"\x05after\0" + HASH


class Update(NamedTuple):
    """A stored delta of rows.

    Attributes:
        version: The version under which it is stored.
        key: The document.
        before: SHA-256 of the document before.
        after: SHA-256 of the document after.
        changes: The rows as they are stored, plainly decoded.
        encoded: The rows as they are stored: a BSON array.
    """

    version: VersionId
    key: DocumentKey
    before: bytes
    after: bytes
    changes: list[Any]
    encoded: bytes


def update_in(raw: bytes) -> Update | None:
    """Return a stored delta if it is rows alone, as usual, and plain decoding loses nothing."""
    if not _is_usual(raw):
        return None
    start = _end_of_id(raw)
    before = start + len(_KEY) + 12 + len(_UPDATE)
    after = before + 32 + len(_AFTER)
    changes = after + 32
    if not (
        raw.startswith(_KEY, start)
        and raw.startswith(_UPDATE, before - len(_UPDATE))
        and raw.startswith(_AFTER, before + 32)
        and raw.startswith(CHANGES, changes)
    ):
        return None
    try:
        decoded: dict[str, Any] = bson.decode(build(raw[changes:-1]), PLAIN_OPTIONS)
        if len(decoded) != 1 or bson.encode(decoded)[4:] != raw[changes:]:
            return None
    except (bson.errors.BSONError, ValueError, OverflowError):
        return None
    return Update(
        ObjectId(raw[_VERSION_AT:_ID_AT]),
        raw[_ID_AT : _ID_AT + 1] + raw[_ID_AT + 1 + len(_ID) : start],
        raw[before : before + 32],
        raw[after:changes],
        decoded["changes"],
        raw[changes + len(CHANGES) : -1],
    )


def _is_usual(raw: bytes) -> bool:
    return raw.startswith(_START, _START_AT) and raw.startswith(_ID, _ID_AT + 1)


def _end_of_id(raw: bytes) -> int:
    return value_end(raw, _ID_AT + 1 + len(_ID), raw[_ID_AT])


def key_in(raw: bytes) -> DocumentKey:
    """Return the key of the document whose delta this is."""
    if _is_usual(raw):
        return raw[_ID_AT : _ID_AT + 1] + raw[_ID_AT + 1 + len(_ID) : _end_of_id(raw)]
    return _element(raw, b"document_id")


def version_in(raw: bytes) -> VersionId:
    """Return the version under which a delta is stored."""
    if _is_usual(raw):
        return ObjectId(raw[_VERSION_AT:_ID_AT])
    return ObjectId(_element(raw, b"version")[1:])


def _element(raw: bytes, wanted: bytes) -> bytes:
    for kind, name, start, end in elements(raw):
        if name == wanted:
            return bytes((kind,)) + raw[start:end]
    raise CorruptHistory(f"a stored delta has no {wanted.decode()}; run verify()")
