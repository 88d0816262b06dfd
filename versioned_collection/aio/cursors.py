"""Cursors over what a version has, for ``async for``."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from versioned_collection.aio.threads import Streamed
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.past.cursors import PastCursor, PastResults

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncPastResults(Streamed[DocumentType]):
    """What a read of a version returns, on demand; see `PastResults`.

    It may be awaited, and then is what it was, as PyMongo Async has an aggregation awaited.

    Args:
        results: What it goes through, in worker threads.
    """

    def __init__(self, results: PastResults[DocumentType]) -> None:
        super().__init__(lambda: results)
        self._results = results

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()  # there is nothing to wait for
        return self

    @property
    def alive(self) -> bool:
        """Whether there may be more."""
        return self._results.alive

    async def next(self) -> DocumentType:
        """Return the next document."""
        return await anext(self)

    async def close(self) -> None:
        """Let go of what the server keeps for the cursor."""
        await self.aclose()

    async def aclose(self) -> None:
        """Do what `close` does."""
        await super().aclose()
        self._results.close()  # is left open by an iteration that was never begun

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncPastCursor(AsyncPastResults[DocumentType]):
    """Documents of a version, on demand; see `PastCursor`.

    Like a cursor of PyMongo it can be told how to go about it until the first document is
    asked for.
    """

    def __init__(self, cursor: PastCursor[DocumentType]) -> None:
        super().__init__(cursor)
        self._cursor = cursor

    def sort(self, key_or_list: Any, direction: Any = None) -> Self:
        """Sort by a field, or by a list of ``(name, direction)``."""
        self._cursor.sort(key_or_list, direction)
        return self

    def skip(self, skip: int) -> Self:
        """Pass over so many documents."""
        self._cursor.skip(skip)
        return self

    def limit(self, limit: int) -> Self:
        """Return at most so many documents; 0 for all."""
        self._cursor.limit(limit)
        return self

    def batch_size(self, batch_size: int) -> Self:
        """Have the server send so many documents at once; 0 for as many as fit."""
        self._cursor.batch_size(batch_size)
        return self

    def hint(self, index: Any) -> Self:
        """Use an index, given by its name or key."""
        self._cursor.hint(index)
        return self

    def collation(self, collation: Any) -> Self:
        """Compare texts in this manner."""
        self._cursor.collation(collation)
        return self

    def comment(self, comment: Any) -> Self:
        """Have the server note a comment."""
        self._cursor.comment(comment)
        return self

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Have the server give up after so many milliseconds."""
        self._cursor.max_time_ms(max_time_ms)
        return self

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Let the server sort on disk, or forbid it."""
        self._cursor.allow_disk_use(allow_disk_use)
        return self

    def clone(self) -> AsyncPastCursor[DocumentType]:
        """Return a cursor that asks for the same, from the start."""
        return AsyncPastCursor(self._cursor.clone())

    async def rewind(self) -> Self:
        """Start over."""
        await self.close()
        self._cursor.rewind()
        self._start()
        return self
