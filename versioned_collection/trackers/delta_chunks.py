"""A delta as a document of a tracker: what is too large, or too deep, for one is in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.delta import Delta, content_size
from versioned_collection.core.document import (
    ARRAY,
    RAW_OPTIONS,
    build,
    depth,
    document_key,
    element,
    elements,
    id_value,
)
from versioned_collection.core.rows import Row, is_as_written
from versioned_collection.core.version import VersionId
from versioned_collection.trackers.base import MALFORMED, check_format, malformed
from versioned_collection.trackers.chunks import Chunks
from versioned_collection.trackers.delta_form import (
    PARTS,
    delta_in,
    ends_of,
    images_of,
    inline,
    read_delta,
    sort_key,
)
from versioned_collection.trackers.fresh import Fresh
from versioned_collection.trackers.layout import (
    CHANGES,
    FORMAT_FIELD,
    Update,
    update_in,
    version_in,
)

LARGEST_INLINE = 8 * 1024 * 1024
"""Bytes of rows or images that a stored delta holds itself; more go to chunks."""

MOST_LEVELS = 180
"""Levels of nesting that a server takes."""


class ChunkedForm:
    """How the deltas of one tracker are written and read.

    Args:
        name: The tracker's collection, for people.
        chunks: Where large parts are.
        fresh: What was just stored, which need not be decoded.
    """

    def __init__(self, name: str, chunks: Chunks, fresh: Fresh[tuple[VersionId, Delta]]) -> None:
        self._name = name
        self._chunks = chunks
        self._fresh = fresh

    def encode(self, version: VersionId, delta: Delta, rows: bytes, identity: bytes) -> bytes:
        """Return a delta as it is stored; parts that are too large are in chunks by then.

        Args:
            version: Its version.
            delta: The delta.
            rows: What `encoded_rows` returns for it.
            identity: The ObjectId under which it is stored.
        """
        return build(
            b"\x07_id\0" + identity,
            FORMAT_FIELD,
            b"\x07version\0" + version.binary,
            element(b"document_id", delta.key),
            b"\x05key\0\x0c\0\0\0\0" + sort_key(delta.key),
            *ends_of(delta),
            self._content(version, delta, rows),
        )

    def flat(self, raw: bytes) -> bytes:
        """Return a delta as it is stored, with less levels than a server takes."""
        if depth(raw) <= MOST_LEVELS:
            return raw
        kept, parts = [], {}
        for kind, name, start, end in elements(raw):
            if name.decode() not in PARTS:
                kept.append(element(name, bytes((kind,)) + raw[start:end]))
            elif kind == ARRAY:
                parts[name.decode()] = build(CHANGES + raw[start:end])
            else:
                parts[name.decode()] = raw[start:end]
        return build(*kept, self._chunked(version_in(raw), parts))

    def _content(self, version: VersionId, delta: Delta, rows: bytes) -> bytes:
        if is_inline(delta, rows):
            return inline(delta, rows)
        if delta.steps is not None:
            return self._chunked(version, {"changes": build(inline(delta, rows))})
        return self._chunked(version, images_of(delta))

    def _chunked(self, version: VersionId, parts: Mapping[str, bytes]) -> bytes:
        return bson.encode({"chunks": self._chunks.put(version, parts)})[4:-1]

    def decode(self, raw: bytes) -> tuple[VersionId, Delta]:
        """Return a stored delta and its version.

        Raises:
            FormatMismatch: Another release has stored it.
            CorruptHistory: A part of it is missing, or is none.
        """
        known = self._fresh.get(raw)
        if known is not None:
            return known
        try:
            usual = update_in(raw)
            if usual is not None:
                return usual.version, _update(usual, len(raw))
            return self._unusual(raw)
        except MALFORMED as error:
            raise malformed(self._name, _identity(raw), error) from error

    def _unusual(self, raw: bytes) -> tuple[VersionId, Delta]:
        stored = read_delta(raw)
        check_format(stored, self._name)
        parts, size = self._parts(stored)
        return delta_in(raw, stored, parts, len(raw) + size)

    def _parts(self, stored: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Return what of a stored delta may be large, and how much of it is in chunks."""
        files = stored.get("chunks")
        if files is None:
            return {name: stored.get(name) for name in PARTS}, 0
        parts: dict[str, Any] = dict.fromkeys(PARTS)
        for name, file in files.items():
            parts[name] = self._chunks.get(file)
        size = sum(len(parts[name]) for name in files)
        if parts["changes"] is not None:
            parts["changes"] = RawBSONDocument(parts["changes"], RAW_OPTIONS)["changes"]
        return parts, size


def is_inline(delta: Delta, rows: bytes) -> bool:
    """Tell whether a delta is stored as one document, but for what nests too deeply.

    Args:
        delta: The delta.
        rows: What `encoded_rows` returns for it.
    """
    return content_size(delta, rows) <= LARGEST_INLINE


def _update(stored: Update, size: int) -> Delta:
    rows = tuple(map(Row.from_bson, stored.changes))
    encoded = stored.encoded if all(map(is_as_written, stored.changes)) else None
    ends = stored.before, stored.after
    return Delta(stored.key, "update", *ends, (rows,), size=size, encoded=encoded)


def _identity(raw: bytes) -> Any:
    return id_value(document_key(raw))
