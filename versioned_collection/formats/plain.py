"""BSON documents one behind the other, as ``mongodump`` writes them: every byte is kept."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from versioned_collection.files import unusable
from versioned_collection.formats import Batches

_LARGEST = 16 * 1024 * 1024 + 16 * 1024
"""Bytes of the largest document that a server sends."""

_int32 = struct.Struct("<i")


def write(batches: Batches, out: BinaryIO) -> None:
    """Write documents; see `formats.write`."""
    for batch in batches():
        out.write(b"".join(batch))


def read(source: BinaryIO, name: str) -> Iterator[bytes]:
    """Iterate over documents; see `formats.read`."""
    place = 0
    while beginning := _exactly(source, 4):
        size = _int32.unpack(beginning)[0] if len(beginning) == 4 else 5
        if not 5 <= size <= _LARGEST:
            reason = "malformed" if place else "foreign"
            raise unusable(name, reason, f"there is no BSON document at byte {place:,}")
        raw = beginning + _exactly(source, size - 4)
        if len(raw) < size:
            raise unusable(
                name, "truncated", f"the document at byte {place:,} is cut off; copy it again"
            )
        yield raw
        place += size


def _exactly(source: BinaryIO, count: int) -> bytes:
    """Return so many bytes, fewer at the end of the file alone: a pipe gives them in parts."""
    parts = []
    while count > 0 and (part := source.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
