"""Cursors over what a version has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import bson
from bson.codec_options import CodecOptions

from versioned_collection.bound_sessions import Steps, unbound
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.codec import Codec
from versioned_collection.errors import InvalidArgument
from versioned_collection.past.options import comment_of
from versioned_collection.past.query import (
    Find,
    collation_of,
    flag_of,
    hint_of,
    number_of,
    sort_of,
)
from versioned_collection.past.reading import Reader

if TYPE_CHECKING:
    from typing_extensions import Self


class PastResults(Iterator[DocumentType]):
    """What a read of a version returns, on demand.

    Args:
        read: Begins to read.
        options: How documents are decoded.
    """

    runs_apart = True

    def __init__(self, read: Callable[[], Iterator[bytes]], options: CodecOptions[Any]) -> None:
        self._read = read
        self._options = options
        self._found: Steps[bytes] | None = None
        self._alive = True

    @property
    def alive(self) -> bool:
        """Whether there may be more."""
        return self._alive

    def close(self) -> None:
        """Let go of what the server keeps for the cursor."""
        found, self._found, self._alive = self._found, None, False
        if found is not None:
            found.close()

    def to_list(self, length: int | None = None) -> list[DocumentType]:
        """Return the documents, or the next `length` of them."""
        return list(islice(self, None if length is None else number_of(length, "length")))

    def next(self) -> DocumentType:
        """Return the next document."""
        return next(self)

    def __next__(self) -> DocumentType:
        if not self._alive:
            raise StopIteration
        if self._found is None:
            with unbound():
                self._found = Steps(self._read())
        try:
            raw = next(self._found)
        except StopIteration:
            self._alive = False
            raise
        return cast(DocumentType, bson.decode(raw, self._options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PastCursor(PastResults[DocumentType]):
    """Documents of a version, on demand.

    Like a cursor of PyMongo it can be told how to go about it until the first document is
    asked for.
    """

    def __init__(self, reader: Reader, find: Find, options: CodecOptions[Any]) -> None:
        super().__init__(lambda: reader.find(find), options)
        self._reader = reader
        self._find = find

    def sort(self, key_or_list: Any, direction: Any = None) -> PastCursor[DocumentType]:
        """Sort by a field, or by a list of ``(name, direction)``."""
        return self._change(sort=sort_of(key_or_list, direction))

    def skip(self, skip: int) -> PastCursor[DocumentType]:
        """Pass over so many documents."""
        return self._change(skip=number_of(skip, "skip"))

    def limit(self, limit: int) -> PastCursor[DocumentType]:
        """Return at most so many documents; 0 for all."""
        return self._change(limit=number_of(limit, "limit"))

    def batch_size(self, batch_size: int) -> PastCursor[DocumentType]:
        """Have the server send so many documents at once; 0 for as many as fit."""
        return self._change(batch_size=number_of(batch_size, "batch_size"))

    def hint(self, index: Any) -> PastCursor[DocumentType]:
        """Use an index, given by its name or key."""
        return self._set("hint", hint_of(index))

    def collation(self, collation: Any) -> PastCursor[DocumentType]:
        """Compare texts in this manner."""
        return self._set("collation", collation_of(collation))

    def comment(self, comment: Any) -> PastCursor[DocumentType]:
        """Have the server note a comment."""
        return self._set("comment", comment_of(comment, Codec(self._options)))

    def max_time_ms(self, max_time_ms: int | None) -> PastCursor[DocumentType]:
        """Have the server give up after so many milliseconds."""
        limit = None if max_time_ms is None else number_of(max_time_ms, "max_time_ms")
        return self._set("maxTimeMS", limit)

    def allow_disk_use(self, allow_disk_use: bool) -> PastCursor[DocumentType]:
        """Let the server sort on disk, or forbid it."""
        return self._set("allowDiskUse", flag_of(allow_disk_use, "allow_disk_use"))

    def _set(self, name: str, value: Any) -> PastCursor[DocumentType]:
        options = {key: one for key, one in self._find.options.items() if key != name}
        return self._change(options=options if value is None else {**options, name: value})

    def _change(self, **changes: Any) -> PastCursor[DocumentType]:
        if self._found is not None or not self.alive:
            raise InvalidArgument("the cursor has been read from; clone() or rewind() it first")
        for name, value in changes.items():
            setattr(self._find, name, value)
        return self

    def clone(self) -> PastCursor[DocumentType]:
        """Return a cursor that asks for the same, from the start."""
        copied = Find(**{name: getattr(self._find, name) for name in self._find.__slots__})
        return PastCursor(self._reader, copied, self._options)

    def rewind(self) -> PastCursor[DocumentType]:
        """Start over."""
        self.close()
        self._alive = True
        return self
