"""Files of compressed blocks of documents: what a bundle is made of.

The layout is described in docs/design/005-bundles.md. Nothing here knows what the documents
mean; everything here expects that a file was made to do harm.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import bson
from bson.binary import Binary
from bson.int64 import Int64

from versioned_collection.core.document import PLAIN_OPTIONS
from versioned_collection.core.version import VersionId
from versioned_collection.errors import FormatMismatch, NotSupported, UnusableFile
from versioned_collection.files import refused, unusable

FORMAT = 1
"""The format number of the bundles that this release writes and reads."""

_KIND = "versioned_collection"
_MAGIC = b"\x02bundle\0" + struct.pack("<i", len(_KIND) + 1) + _KIND.encode() + b"\0"
"""What each bundle has behind its first four bytes."""

_END = (
    struct.pack("<i", 65) + b"\x12index\0",
    b"\x05sha256\0" + struct.pack("<i", 32) + b"\0",
)
"""What stands around the place of the index in the last document, before the digest."""
_END_BYTES = 65

_BLOCK_BYTES = 1024 * 1024
"""Bytes of documents after which a block is written."""
_LARGEST_BLOCK = 512 * 1024 * 1024
_LARGEST_HEADER = 1024 * 1024
_LARGEST_INDEX = 64 * 1024 * 1024
_READ = 1024 * 1024

_UNREADABLE = (bson.errors.BSONError, ValueError, TypeError, LookupError, zlib.error, struct.error)

_int32 = struct.Struct("<i")
_int64 = struct.Struct("<q")


class Block(NamedTuple):
    """Where some documents of one kind are.

    Attributes:
        kind: What they are.
        place: The offset of the block.
        first: The lowest version that they are about, None where they are about none.
        last: The highest one.
    """

    kind: str
    place: int
    first: VersionId | None
    last: VersionId | None


class _Pending:
    """Documents of one kind that wait to be written."""

    def __init__(self) -> None:
        self.raws: list[bytes] = []
        self.size = 0
        self.versions: list[VersionId] = []


class BlockWriter:
    """Writes a file of blocks.

    Args:
        out: Takes the bytes; it is never asked where it stands, so a pipe will do.
        facts: What the first document says, beside what kind of file it is.

    Raises:
        NotSupported: They are too many to be read again.
    """

    def __init__(self, out: BinaryIO, facts: Mapping[str, Any]) -> None:
        header = bson.encode({"bundle": _KIND, "format": FORMAT, **facts})
        if len(header) > _LARGEST_HEADER:
            raise NotSupported(
                f"the names of what a bundle stands on take {len(header):,} bytes, it holds at "
                f"most {_LARGEST_HEADER:,}; give fewer versions with since, or export everything",
                bytes=len(header),
                limit=_LARGEST_HEADER,
            )
        self._out = out
        self._digest = hashlib.sha256()
        self._pending: dict[str, _Pending] = {}
        self._blocks: list[Block] = []
        self.size = 0
        self._write(header)

    def add(self, kind: str, raw: bytes, version: VersionId | None = None) -> None:
        """Add a document.

        Args:
            kind: What it is.
            raw: Its bytes.
            version: The version that it is about.

        Raises:
            NotSupported: It is larger than a block can be.
        """
        if len(raw) > _LARGEST_BLOCK:
            raise NotSupported(
                f"a change takes {len(raw):,} bytes, a bundle holds at most {_LARGEST_BLOCK:,}; "
                "push to another database instead",
                bytes=len(raw),
                limit=_LARGEST_BLOCK,
            )
        waiting = self._pending.setdefault(kind, _Pending())
        if waiting.raws and waiting.size + len(raw) > _BLOCK_BYTES:
            self._flush(kind)
            waiting = self._pending.setdefault(kind, _Pending())
        waiting.raws.append(raw)
        waiting.size += len(raw)
        if version is not None and waiting.versions[-1:] != [version]:
            waiting.versions.append(version)

    def finish(self) -> None:
        """Write what waits, the index and the digest."""
        for kind in list(self._pending):
            self._flush(kind)
        place = self.size
        self._write_block("index", [bson.encode(block._asdict()) for block in self._blocks])
        self._write(_END[0] + _int64.pack(place) + _END[1])
        self._write(self._digest.digest())
        self._write(b"\0")

    def _flush(self, kind: str) -> None:
        waiting = self._pending.pop(kind)
        found = waiting.versions
        first, last = (min(found), max(found)) if found else (None, None)
        self._blocks.append(Block(kind, Int64(self.size), first, last))
        self._write_block(kind, waiting.raws)

    def _write_block(self, kind: str, raws: Sequence[bytes]) -> None:
        data = b"".join(raws)
        facts = {"block": kind, "count": len(raws), "size": len(data)}
        self._write(bson.encode({**facts, "data": Binary(zlib.compress(data))}))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._digest.update(data)
        self.size += len(data)


class BlockReader:
    """Reads a file of blocks, after making sure that it is whole.

    Args:
        path: The file.

    Attributes:
        path: The file.
        header: What the first document says.
        size: The bytes of the file.

    Raises:
        UnusableFile: It is missing, truncated, altered, or something else.
        FormatMismatch: Another release has written it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = _opened(path)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.header = self._header()
            self._index = self._end()
            self._check_digest()
            self.blocks = tuple(self._blocks())
        except OSError as error:
            self._file.close()
            raise refused(path, error) from error
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # -- is it whole? --------------------------------------------------------------------

    def _header(self) -> Mapping[str, Any]:
        beginning = self._at(0, 4 + len(_MAGIC))
        if not beginning:
            raise unusable(self.path, "foreign", "the file is empty")
        if not _MAGIC.startswith(beginning[4:]):
            raise unusable(self.path, "foreign", "that is no bundle; export() writes one")
        if len(beginning) < 4 + len(_MAGIC):
            raise self._truncated()
        size = _int32.unpack_from(beginning)[0]
        if size > _LARGEST_HEADER:
            raise self.malformed("its header is too large")
        if size > self.size:
            raise self._truncated()
        header = self._document(0, _LARGEST_HEADER)
        if header.get("format") != FORMAT:
            raise FormatMismatch(
                f"{self.path} carries format {header.get('format')!r}, this release reads format "
                f"{FORMAT}; use the release of versioned_collection that wrote it",
                found=header.get("format"),
                supported=FORMAT,
                where=self.path,
            )
        return header

    def _end(self) -> int:
        end = self._at(max(0, self.size - _END_BYTES), _END_BYTES)
        start, behind = len(_END[0]), len(_END[0]) + _int64.size
        found = (end[:start], end[behind : behind + len(_END[1])])
        if len(end) < _END_BYTES or found != _END or end[-1:] != b"\0":
            raise self._truncated()
        self._expected = end[-33:-1]
        place: int = _int64.unpack_from(end, start)[0]
        return place

    def _truncated(self) -> UnusableFile:
        return unusable(
            self.path,
            "truncated",
            "the end of the bundle is missing: it was cut off, or something was written behind "
            "it. Copy or export it again",
        )

    def _check_digest(self) -> None:
        digest = hashlib.sha256()
        left, place = self.size - 33, 0
        while left > 0:
            data = self._at(place, min(left, _READ))
            if not data:
                raise self._truncated()
            digest.update(data)
            place, left = place + len(data), left - len(data)
        if digest.digest() != self._expected:
            raise unusable(
                self.path,
                "altered",
                "the bundle was altered since it was written, as its SHA-256 tells. Copy or "
                "export it again",
            )

    # -- what is in it -------------------------------------------------------------------

    def _blocks(self) -> Iterator[Block]:
        for raw in self._documents_at("index", self._index, _LARGEST_INDEX):
            try:
                yield _block(bson.decode(raw, PLAIN_OPTIONS))
            except _UNREADABLE as error:
                raise self.malformed("its index cannot be read") from error

    def documents(
        self, kind: str, versions: Sequence[VersionId] | None = None
    ) -> Iterator[list[bytes]]:
        """Iterate over the documents of one kind, a block at a time, in the order of the file.

        Args:
            kind: The kind.
            versions: Only blocks that may be about one of these.

        Raises:
            UnusableFile: A block is not what a bundle has.
        """
        wanted = None if versions is None else sorted(versions)
        for block in self.blocks:
            if block.kind == kind and (wanted is None or _is_about(block, wanted)):
                yield self._documents_at(kind, block.place, _LARGEST_BLOCK)

    def malformed(self, words: str) -> UnusableFile:
        """Return the error for a bundle that this library has not written."""
        return unusable(self.path, "malformed", f"this is no bundle of this library: {words}")

    def _documents_at(self, kind: str, place: int, most: int) -> list[bytes]:
        block = self._document(place, most + _LARGEST_HEADER)
        try:
            if block["block"] != kind:
                raise ValueError("a block of another kind")
            return _parts(_inflated(block["data"], block["size"], most), block["count"])
        except _UNREADABLE as error:
            raise self.malformed(f"the block at byte {place} cannot be read ({error})") from error

    def _document(self, place: int, most: int) -> dict[str, Any]:
        try:
            if not 0 <= place < self.size:
                raise ValueError("a place behind the end")
            size = _int32.unpack(self._at(place, 4))[0]
            if not 5 <= size <= min(most, self.size - place):
                raise ValueError("a size that cannot be")
            return bson.decode(self._at(place, size), PLAIN_OPTIONS)
        except (*_UNREADABLE, OverflowError) as error:
            raise self.malformed(f"the block at byte {place} cannot be read ({error})") from error

    def _at(self, place: int, count: int) -> bytes:
        with self._lock:  # several threads read
            self._file.seek(place)
            return self._file.read(count)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise refused(path, error) from error


def _block(facts: dict[str, Any]) -> Block:
    ends = (facts["first"], facts["last"])
    if not isinstance(facts["kind"], str) or not isinstance(facts["place"], int):
        raise ValueError("an entry of another shape")
    if ends != (None, None) and not all(isinstance(end, VersionId) for end in ends):
        raise ValueError("an entry of another shape")
    return Block(facts["kind"], facts["place"], *ends)


def _is_about(block: Block, versions: Sequence[VersionId]) -> bool:
    """Tell whether a block may be about one of some versions, which are sorted."""
    if block.first is None or block.last is None:
        return False
    place = bisect_left(versions, block.first)
    return place < len(versions) and versions[place] <= block.last


def _inflated(data: bytes, size: Any, most: int) -> bytes:
    """Return what was compressed, if it is as large as was said."""
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= most:
        raise ValueError("a size that cannot be")
    inflating = zlib.decompressobj()
    found = inflating.decompress(data, size + 1)  # never more than was said, whatever follows
    if len(found) != size or not inflating.eof:
        raise ValueError("another size than it says")
    return found


def _parts(data: bytes, count: int) -> list[bytes]:
    """Return the documents that stand one behind the other."""
    found, place = [], 0
    while place < len(data):
        size = _int32.unpack_from(data, place)[0]
        if size < 5 or place + size > len(data):
            raise ValueError("a document that is cut off")
        found.append(data[place : place + size])
        place += size
    if len(found) != count:
        raise ValueError("another number of documents than it says")
    return found
