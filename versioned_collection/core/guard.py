"""Filters that match a document only while it is exactly what was read.

The server takes ``1``, ``1.0`` and ``NumberLong(1)`` for equal, so comparing documents alone
would let a change from one to the other pass. Numbers that compare as equal differ in their
type, in the sign of a zero, or in the digits of a decimal. An int32 is the shortest number:
one that changed makes the document longer, unless a longer number became shorter. So with
the size compared, only the longer numbers have to be looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

import bson

from versioned_collection.core.document import (
    ARRAY,
    OBJECT,
    DocumentKey,
    build,
    elements,
    raw_equal_to,
)

MOST_PATHS = 30
"""Numbers that are asked for one by one; beyond it the whole document is gone through."""

LARGEST_EXACT = 1024 * 1024
"""Bytes of a document that is gone through; of a larger one the size is compared."""

DEEPEST_EXACT = 30
"""Levels of nesting that are gone through; a command has at most 200."""

_DOUBLE, _INT64, _DECIMAL = 0x01, 0x12, 0x13
_ZEROS = {b"\0" * 8: "0", b"\0" * 7 + b"\x80": "-0"}
_SIZE_OF_ROOT = bson.encode({"$bsonSize": "$$ROOT"})
_BOTH_ARE_SAME = bson.encode(
    {"in": {"$eq": [{"$arrayElemAt": ["$$v", 0]}, {"$arrayElemAt": ["$$v", 1]}]}}
)[4:-1]
_int32 = struct.Struct("<i")
_Number = tuple[bytes | None, int, bytes]
"""Path (None where no path leads to it alone), type byte and value."""


def exactly(key: DocumentKey, expected: bytes) -> bytes:
    """Return the filter that matches a document while it is what was read.

    Args:
        key: The document's key.
        expected: The document as it was read.
    """
    literal = build(b"\x03$literal\0" + expected)
    both = build(b"\x020\0\x07\0\0\0$$ROOT\0" + b"\x031\0" + literal)
    size = b"\x030\0" + _SIZE_OF_ROOT + b"\x101\0" + _int32.pack(len(expected))
    clauses = [build(b"\x04$eq\0" + build(size)), build(b"\x04$eq\0" + both)]
    types = b""
    numbers = _few_numbers(expected)
    if numbers is not None:
        for path, kind, value in numbers:
            assert path is not None
            types += b"\x03" + path + b"\0" + build(b"\x10$type\0" + _int32.pack(kind))
            if kind == _DOUBLE and value in _ZEROS:
                clauses.append(_zero(path.decode(), _ZEROS[value]))
    elif len(expected) <= LARGEST_EXACT:
        clauses.append(_same_views(both, min(_nesting(expected), DEEPEST_EXACT)))
    parts = (b"\x03%d\0" % place + clause for place, clause in enumerate(clauses))
    condition = b"\x03$expr\0" + build(b"\x04$and\0" + build(*parts))
    if types:  # apart from the id, whose own type may be among them
        condition += b"\x04$and\0" + build(b"\x030\0" + build(types))
    return build(b"\x03_id\0" + raw_equal_to(key), condition)


def expected_by(filter_: bytes) -> bytes | None:
    """Return the document for which `exactly` has made a filter, None for any other filter."""
    id_ = _inner(filter_, b"_id", b"$eq")
    literal = _inner(filter_, b"$expr", b"$and", b"1", b"$eq", b"1", b"$literal")
    if id_ is None or literal is None:
        return None
    return literal[1:] if exactly(id_, literal[1:]) == filter_ else None


def _inner(raw: bytes, *path: bytes) -> bytes | None:
    """Return type byte and value of what is at a path, None where there is nothing."""
    value = bytes((OBJECT,)) + raw
    for step in path:
        if value[0] not in (OBJECT, ARRAY):
            return None
        parts = {name: (kind, start, end) for kind, name, start, end in elements(value[1:])}
        if step not in parts:
            return None
        kind, start, end = parts[step]
        value = bytes((kind,)) + value[1:][start:end]
    return value


def _few_numbers(raw: bytes) -> list[_Number] | None:
    """Return the numbers to ask for, None where that would be too many or ambiguous."""
    found: list[_Number] = []
    for number in _numbers(raw, b""):
        if number[0] is None or len(found) == MOST_PATHS:
            return None
        found.append(number)
    return found


def _numbers(raw: bytes, path: bytes | None) -> Iterator[_Number]:
    """Iterate over all numbers but int32, and over fields whose names are not unique."""
    names = set()
    for kind, name, start, end in elements(raw):
        place = None if path is None or not _is_plain(name) else path + name
        if name in names:
            yield None, kind, b""
        names.add(name)
        if kind == OBJECT:
            yield from _numbers(raw[start:end], None if place is None else place + b".")
        elif kind == ARRAY:
            yield from _numbers(raw[start:end], None)
        elif kind == _DECIMAL:
            yield None, kind, b""  # its digits have to be compared
        elif kind in (_DOUBLE, _INT64):
            yield place, kind, raw[start:end]


def _is_plain(name: bytes) -> bool:
    return name.isascii() and name != b"" and name[:1] != b"$" and b"." not in name


def _nesting(raw: bytes) -> int:
    inner = (raw[a:b] for kind, _, a, b in elements(raw) if kind in (OBJECT, ARRAY))
    return 1 + max(map(_nesting, inner), default=0)


def _zero(path: str, text: str) -> bytes:
    return bson.encode({"$eq": [{"$toString": f"${path}"}, text]})


def _same_views(both: bytes, depth: int) -> bytes:
    """Return the comparison of two documents by the types and the digits of all their values."""
    views = b"\x03v\0" + build(b"\x03$map\0" + build(b"\x04input\0" + both, _view(depth)))
    return build(b"\x03$let\0" + build(b"\x03vars\0" + build(views), _BOTH_ARE_SAME))


@cache
def _view(depth: int) -> bytes:
    return bson.encode({"in": _view_of(depth)})[4:-1]


def _view_of(depth: int) -> Any:
    """Return the expression that turns a value into its type, its digits, and its parts."""
    this = "$$this"
    kind = {"$type": this}
    leaf = {"$cond": [{"$isNumber": this}, {"$concat": [kind, {"$toString": this}]}, kind]}
    if depth == 0:
        return leaf
    fields = {"$let": {"vars": {"fields": {"$objectToArray": this}}, "in": "$$fields.v"}}
    parts_of_object = {"$cond": [{"$eq": [kind, "object"]}, fields, []]}
    parts = {"$cond": [{"$isArray": [this]}, this, parts_of_object]}
    return [leaf, {"$map": {"input": parts, "in": _view_of(depth - 1)}}]
