"""What `AsyncVersionedCollection` has of the driver's collection, which runs in the loop."""

from __future__ import annotations

import functools
import threading
from collections.abc import (
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from versioned_collection.aio.threads import NOTED, Streamed, in_this_loop, in_thread
from versioned_collection.aio.twin import blocking, is_motor
from versioned_collection.bound_sessions import is_bound_async
from versioned_collection.capture.calls import writes
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.collection import VersionedCollection
from versioned_collection.errors import InvalidType, NotSupported

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument
    from pymongo import IndexModel
    from pymongo.asynchronous.cursor import AsyncCursor, AsyncRawBatchCursor
    from pymongo.asynchronous.database import AsyncDatabase
    from pymongo.read_concern import ReadConcern
    from pymongo.results import (
        BulkWriteResult,
        DeleteResult,
        InsertManyResult,
        InsertOneResult,
        UpdateResult,
    )
    from pymongo.write_concern import WriteConcern

R = TypeVar("R")

Filter = Mapping[str, Any]
Changes = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def written(name: str) -> Any:
    """Return a write of the driver's collection, which is noted where nothing else notices it."""

    @functools.wraps(getattr(AsyncCollection, name))
    async def run(self: Native[Any], /, *args: Any, **kwargs: Any) -> Any:
        if not await self._journals():
            return await getattr(self._collection, name)(*args, **kwargs)
        self._refuse_session(*args, *kwargs.values())
        write = partial(self._call, getattr(VersionedCollection, name), *args, **kwargs)
        return await in_thread(write, pool=NOTED)

    return run


class Native(Generic[DocumentType]):
    """The reads and writes of the driver's collection, by its own coroutines."""

    _collection: Any
    _notes: bool | None

    _settings: dict[str, Any]
    _own_checks: dict[str, Any]
    _twin: VersionedCollection[Any] | None
    _opening: threading.Lock

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *filter(_is_public, dir(self._collection))})

    def __getitem__(self, name: str) -> Any:
        return self._collection[name]

    def __iter__(self) -> NoReturn:
        raise InvalidType(  # without it, Python would ask for one item after the other
            f"an {type(self).__name__} is not iterable; read its documents with find(): "
            "async for document in collection.find()"
        )

    if TYPE_CHECKING:  # what PyMongo Async has; it has Motor's as well, but for its cursors
        codec_options: CodecOptions[DocumentType]
        read_preference: Any
        read_concern: ReadConcern
        write_concern: WriteConcern

        @property
        def name(self) -> str:
            """The collection's name."""

        @property
        def full_name(self) -> str:
            """The names of database and collection, with a dot between them."""

        @property
        def database(self) -> AsyncDatabase[DocumentType]:
            """The database of the collection."""

        async def insert_one(
            self, document: DocumentType | RawBSONDocument, *args: Any, **kwargs: Any
        ) -> InsertOneResult:
            """Insert a document."""

        async def insert_many(
            self, documents: Iterable[DocumentType | RawBSONDocument], *args: Any, **kwargs: Any
        ) -> InsertManyResult:
            """Insert documents."""

        async def update_one(
            self, filter: Filter, update: Changes, *args: Any, **kwargs: Any
        ) -> UpdateResult:
            """Update a document that matches."""

        async def update_many(
            self, filter: Filter, update: Changes, *args: Any, **kwargs: Any
        ) -> UpdateResult:
            """Update all documents that match."""

        async def replace_one(
            self, filter: Filter, replacement: Mapping[str, Any], *args: Any, **kwargs: Any
        ) -> UpdateResult:
            """Replace a document that matches."""

        async def delete_one(self, filter: Filter, *args: Any, **kwargs: Any) -> DeleteResult:
            """Delete a document that matches."""

        async def delete_many(self, filter: Filter, *args: Any, **kwargs: Any) -> DeleteResult:
            """Delete all documents that match."""

        async def bulk_write(
            self, requests: Sequence[Any], *args: Any, **kwargs: Any
        ) -> BulkWriteResult:
            """Write in several ways at once."""

        async def find_one_and_update(
            self, filter: Filter, update: Changes, *args: Any, **kwargs: Any
        ) -> DocumentType | None:
            """Update a document, and return it as it was or is."""

        async def find_one_and_replace(
            self, filter: Filter, replacement: Mapping[str, Any], *args: Any, **kwargs: Any
        ) -> DocumentType | None:
            """Replace a document, and return it as it was or is."""

        async def find_one_and_delete(
            self, filter: Filter, *args: Any, **kwargs: Any
        ) -> DocumentType | None:
            """Delete a document, and return it as it was."""

        async def count_documents(self, filter: Filter, *args: Any, **kwargs: Any) -> int:
            """Return how many documents match."""

        async def estimated_document_count(self, *args: Any, **kwargs: Any) -> int:
            """Return roughly how many documents there are."""

        async def distinct(self, key: str, *args: Any, **kwargs: Any) -> list[Any]:
            """Return the distinct values of a field."""

        async def find_one(
            self, filter: Any = None, *args: Any, **kwargs: Any
        ) -> DocumentType | None:
            """Return a document that matches, None where none does."""

        def find(self, *args: Any, **kwargs: Any) -> AsyncCursor[DocumentType]:
            """Find documents."""

        def find_raw_batches(self, *args: Any, **kwargs: Any) -> AsyncRawBatchCursor[DocumentType]:
            """Find documents, in batches of BSON."""

        async def create_index(self, keys: Any, *args: Any, **kwargs: Any) -> str:
            """Create an index; return its name."""

        async def create_indexes(
            self, indexes: Sequence[IndexModel], *args: Any, **kwargs: Any
        ) -> list[str]:
            """Create indexes; return their names."""

        async def drop_index(self, index_or_name: Any, *args: Any, **kwargs: Any) -> None:
            """Drop an index."""

        async def drop_indexes(self, *args: Any, **kwargs: Any) -> None:
            """Drop all indexes."""

        async def index_information(self, *args: Any, **kwargs: Any) -> MutableMapping[str, Any]:
            """Return the indexes, by their names."""

        async def options(self, *args: Any, **kwargs: Any) -> MutableMapping[str, Any]:
            """Return the options of the collection."""

        list_indexes: Callable[..., Any]
        watch: Callable[..., Any]
        list_search_indexes: Callable[..., Any]
        create_search_index: Callable[..., Coroutine[Any, Any, str]]
        create_search_indexes: Callable[..., Coroutine[Any, Any, list[str]]]
        drop_search_index: Callable[..., Coroutine[Any, Any, None]]
        update_search_index: Callable[..., Coroutine[Any, Any, None]]

    else:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            return getattr(self._collection, name)

        insert_one = written("insert_one")
        insert_many = written("insert_many")
        update_one = written("update_one")
        update_many = written("update_many")
        replace_one = written("replace_one")
        delete_one = written("delete_one")
        delete_many = written("delete_many")
        bulk_write = written("bulk_write")
        find_one_and_update = written("find_one_and_update")
        find_one_and_replace = written("find_one_and_replace")
        find_one_and_delete = written("find_one_and_delete")

    def aggregate(self, pipeline: Any, *args: Any, **kwargs: Any) -> Any:
        """Aggregate as the driver does: PyMongo's is awaited for a cursor, Motor's returns one."""
        return self._aggregate("aggregate", pipeline, args, kwargs)

    def aggregate_raw_batches(self, pipeline: Any, *args: Any, **kwargs: Any) -> Any:
        """Aggregate into batches of BSON as the driver does."""
        return self._aggregate("aggregate_raw_batches", pipeline, args, kwargs)

    # -- how -----------------------------------------------------------------------------

    async def _run(self, verb: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        return await in_thread(partial(self._call, verb, *args, **in_this_loop(kwargs)))

    def _call(self, verb: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run a verb, in a worker thread."""
        others = {name: twin_of(value) for name, value in kwargs.items()}
        return verb(self._blocking(), *map(twin_of, args), **others)

    def _blocking(self) -> VersionedCollection[Any]:
        with self._opening:
            if self._twin is None:
                twin = VersionedCollection(blocking(self._collection), **self._settings)
                twin._repository.own_checks = self._own_checks
                self._twin = twin
        return self._twin

    def _aggregate(self, name: str, pipeline: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        native = getattr(self._collection, name)
        if not writes(pipeline):
            return native(pipeline, *args, **kwargs)
        run = partial(self._call, getattr(VersionedCollection, name), pipeline, *args, **kwargs)
        if is_motor(self._collection):
            return Streamed(lambda: iter(run()))

        async def write() -> Any:
            if not await self._journals():
                return await native(pipeline, *args, **kwargs)
            self._refuse_session(*args, *kwargs.values())
            found = list(await in_thread(run, pool=NOTED))
            return Streamed(lambda: iter(found))

        return write()

    async def _journals(self) -> bool:
        """Tell whether writes have to be noted, as the server has no stream of changes."""
        if self._notes is None:
            self._notes = await in_thread(partial(self._call, _is_noted), pool=NOTED)
        return self._notes

    def _refuse_session(self, *arguments: Any) -> None:
        """Refuse a session, given or bound, in which a write would not be made.

        Raises:
            NotSupported: There is one.
        """
        is_bound = is_bound_async(getattr(self._collection.database, "client", None))
        if is_bound or any(isinstance(one, AsyncClientSession) for one in arguments):
            raise NotSupported(
                "where writes are noted as they are made (capture_mode is write_through), that is "
                "in a worker thread, in which the session of an asynchronous client cannot be "
                "used; leave it out",
                argument="session",
            )


def _is_noted(collection: VersionedCollection[Any]) -> bool:
    return collection.capture_mode == "write_through"


def twin_of(value: Any) -> Any:
    """Return what a verb takes, in the place of an asynchronous object."""
    return value._blocking() if isinstance(value, Native) else blocking(value)


def _is_public(name: str) -> bool:
    return not name.startswith("_")
