"""A delta as one document: how it is written, and how it is read again.

What a tracker adds, large parts in chunks, is not known here.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.delta import Delta, content_size, encoded_rows
from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    RAW_OPTIONS,
    DocumentKey,
    build,
    element,
    elements,
)
from versioned_collection.core.rows import Row
from versioned_collection.core.version import VersionId
from versioned_collection.trackers.base import check_format, must
from versioned_collection.trackers.layout import (
    CHANGES,
    FORMAT_FIELD,
    HASH,
    OPERATIONS,
    key_in,
)

PARTS = ("changes", "old", "new")
"""What of a delta may be large."""


def packed(version: VersionId, delta: Delta, rows: bytes) -> bytes:
    """Return a delta as one document, however large that is.

    Args:
        version: Its version.
        delta: The delta.
        rows: What `encoded_rows` returns for it.
    """
    return build(
        FORMAT_FIELD,
        b"\x07version\0" + version.binary,
        element(b"document_id", delta.key),
        *ends_of(delta),
        inline(delta, rows),
    )


def unpacked(raw: bytes, where: str) -> tuple[VersionId, Delta]:
    """Return the delta of a document that `packed` has made, and its version.

    Args:
        raw: The document.
        where: What holds it, for people.

    Raises:
        FormatMismatch: Another release has made it.
    """
    stored = read_delta(raw)
    check_format(stored, where)
    return delta_in(raw, stored, {name: stored.get(name) for name in PARTS}, len(raw))


def ends_of(delta: Delta) -> tuple[bytes, bytes, bytes]:
    """Return the elements that say from what to what a document goes."""
    return (
        OPERATIONS[delta.op],
        b"" if delta.before is None else b"\x05before\0" + HASH + delta.before,
        b"" if delta.after is None else b"\x05after\0" + HASH + delta.after,
    )


def images_of(delta: Delta) -> dict[str, bytes]:
    """Return the whole documents that a delta keeps, by the names of their parts."""
    found = (("old", delta.old), ("new", delta.new))
    return {name: raw for name, raw in found if raw is not None}


def inline(delta: Delta, rows: bytes) -> bytes:
    """Return the elements that hold the rows or images of a delta."""
    if delta.steps is not None:
        return CHANGES + rows
    images = images_of(delta)
    return b"".join(b"\x03" + name.encode() + b"\0" + raw for name, raw in images.items())


def read_delta(raw: bytes) -> Mapping[str, Any]:
    """Return the parts of a stored delta, with values that lose nothing."""
    stored = _decoded_rows(raw) if CHANGES in raw else None
    return _kept_raw(raw) if stored is None else stored


def delta_in(
    raw: bytes, stored: Mapping[str, Any], parts: Mapping[str, Any], size: int
) -> tuple[VersionId, Delta]:
    """Return a stored delta and its version.

    Args:
        raw: Its bytes.
        stored: What `read_delta` returns for them.
        parts: What of it may be large, wherever that is.
        size: How many bytes all of that has.

    Raises:
        KeyError: A part is missing.
        TypeError: A part is none.
        ValueError: A part is none.
    """
    _check_parts(stored, parts)
    steps = None
    if parts["changes"] is not None:
        steps = (tuple(map(Row.from_bson, parts["changes"])),)
    delta = Delta(
        key_in(raw),
        stored["op"],
        stored.get("before"),
        stored.get("after"),
        steps,
        parts["old"],
        parts["new"],
        size,
    )
    return stored["version"], delta


def _check_parts(stored: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Check the types of the parts of a delta; what of it was changed, its hashes tell.

    Raises:
        KeyError: One is missing.
        ValueError: One is none.
    """
    must(isinstance(stored["version"], VersionId), "its version is no id")
    must(isinstance(stored["op"], str) and stored["op"] in OPERATIONS, "its op is none")
    raws = stored.get("before"), stored.get("after"), parts["old"], parts["new"]
    must(all(map(_is_raw, raws)), "a hash or a document of it is none")


def _is_raw(value: Any) -> bool:
    return value is None or isinstance(value, bytes)


def is_chunked(raw: bytes) -> bool:
    """Tell whether a part of a stored delta may be elsewhere."""
    return b"chunks" in raw


def stored_size(raw: bytes, delta: Delta) -> int:
    """Return how much a stored delta takes, with what of it is in chunks."""
    if not is_chunked(raw):
        return len(raw)
    return len(raw) + content_size(delta, encoded_rows(delta))


def object_ids() -> Iterator[bytes]:
    """Iterate over fresh ObjectIds as bytes, which is faster than making each of them."""
    start = time.time_ns() // 1_000_000_000
    own = struct.pack(">I", start) + os.urandom(5)
    return (own + counter.to_bytes(3, "big") for counter in range(1 << 24))


def sort_key(key: DocumentKey) -> bytes:
    """Return what keeps ids apart that the server sorts as equal, such as 1 and 1.0."""
    return hashlib.sha256(key).digest()[:12]


def _decoded_rows(raw: bytes) -> Mapping[str, Any] | None:
    """Return a stored delta with plainly decoded rows, None where that would lose something.

    Much faster than keeping the values raw, which only deprecated types need.
    """
    try:
        stored = bson.decode(raw, PLAIN_OPTIONS)
        encoded = bson.encode({"changes": stored["changes"]})
    except (bson.errors.BSONError, KeyError, ValueError, OverflowError):
        return None
    return stored if raw.endswith(encoded[4:]) else None


def _kept_raw(raw: bytes) -> Mapping[str, Any]:
    """Return a stored delta with its images as bytes, which may hold what no decoder reads."""
    images, others = {}, []
    for kind, name, start, end in elements(raw):
        if name in (b"old", b"new"):
            images[name.decode()] = raw[start:end]
        elif name != b"document_id":
            others.append(element(name, bytes((kind,)) + raw[start:end]))
    return {**RawBSONDocument(build(*others), RAW_OPTIONS), **images}
