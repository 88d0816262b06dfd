"""What `at` of the asynchronous class returns: one version, read like a collection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NoReturn

from bson.codec_options import CodecOptions

from versioned_collection.aio.cursors import AsyncPastCursor, AsyncPastResults
from versioned_collection.aio.threads import in_this_loop, in_thread
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.version import Version
from versioned_collection.observing import Progress
from versioned_collection.past.view import WRITES, PastCollection


class AsyncPastCollection(Generic[DocumentType]):
    """A version of a collection, read only, without checking it out; see `PastCollection`.

    Reads run in worker threads.
    """

    def __init__(self, view: PastCollection[DocumentType], database: Any) -> None:
        self._view = view
        self._database = database

    @property
    def version(self) -> Version:
        """The version."""
        return self._view.version

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self._view.name

    @property
    def full_name(self) -> str:
        """The names of database and collection."""
        return self._view.full_name

    @property
    def database(self) -> Any:
        """The database of the collection, of the driver that it was opened with."""
        return self._database

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are decoded; see `PastCollection.codec_options`."""
        return self._view.codec_options

    def find(self, *args: Any, **kwargs: Any) -> AsyncPastCursor[DocumentType]:
        """Find documents of the version; see `PastCollection.find`."""
        return AsyncPastCursor(self._view.find(*args, **kwargs))

    def aggregate(self, *args: Any, **kwargs: Any) -> AsyncPastResults[Any]:
        """Run an aggregation over the documents; see `PastCollection.aggregate`.

        What it returns may be awaited first, as with PyMongo Async, or not, as with Motor.
        """
        return AsyncPastResults(self._view.aggregate(*args, **kwargs))

    async def find_one(self, *args: Any, **kwargs: Any) -> DocumentType | None:
        """Return a document of the version; see `PastCollection.find_one`."""
        return await in_thread(partial(self._view.find_one, *args, **kwargs))

    async def count_documents(self, *args: Any, **kwargs: Any) -> int:
        """Return how many documents match; see `PastCollection.count_documents`."""
        return await in_thread(partial(self._view.count_documents, *args, **kwargs))

    async def estimated_document_count(self, **options: Any) -> int:
        """Return how many documents there are; see `PastCollection.estimated_document_count`."""
        return await in_thread(partial(self._view.estimated_document_count, **options))

    async def distinct(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the distinct values of a field; see `PastCollection.distinct`."""
        return await in_thread(partial(self._view.distinct, *args, **kwargs))

    async def prepare(self, *, whole: bool = False, progress: Progress | None = None) -> None:
        """Make now what the first read would make; see `PastCollection.prepare`."""
        await in_thread(
            partial(self._view.prepare, **in_this_loop({"whole": whole, "progress": progress}))
        )

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name in WRITES:
            refusing: Callable[..., NoReturn] = getattr(self._view, name)
            return refusing
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"Async{self._view!r}"
