"""The asynchronous class behind the names of the synchronous one.

With `Blocking` in the place of `VersionedCollection`, tests of the public verbs run over PyMongo
Async and Motor as they are: each call is made in an event loop of another thread.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any, ClassVar

import mongomock
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection import AsyncVersionedCollection, VersionedCollection
from versioned_collection.aio.past import AsyncPastCollection
from versioned_collection.doubles.client import DoubleClient, _clients


def store_of(double: DoubleClient) -> Any:
    """Return what a client of a double shows."""
    return next(store for store, client in _clients.items() if client is double)


class Loop:
    """An event loop that runs in a thread, and the clients that belong to it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._clients: dict[Any, Any] = {}

    def run(self, awaitable: Any) -> Any:
        """Await something in the loop."""
        assert threading.current_thread() is not self._thread, "mark the test as `blocking`"

        async def result() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(result(), self.loop).result()

    def database(self, kind: type, database: Database[Any]) -> Any:
        """Return the asynchronous form of a database; of a double that of Motor's double."""
        if isinstance(database.client, DoubleClient):
            inner = mongomock.MongoClient(_store=store_of(database.client))
            return AsyncMongoMockClient(mock_mongo_client=inner)[database.name]
        key = kind, database.client.address
        if key not in self._clients:
            self._clients[key] = self.run(self._connected(kind, database))
        return self._clients[key].get_database(
            database.name,
            codec_options=database.codec_options,
            read_preference=database.read_preference,
            write_concern=database.write_concern,
            read_concern=database.read_concern,
        )

    async def _connected(self, kind: type, database: Database[Any]) -> Any:
        host, port = database.client.address or ("", 0)
        client = kind(host, port, directConnection=True)
        await client.admin.command("ping")  # at its first use Motor settles on a loop
        return client

    def close(self) -> None:
        """Close the clients and end the loop."""
        for client in self._clients.values():
            closing = client.close()
            if closing is not None:
                self.run(closing)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class _Calls:
    """Makes calls of an asynchronous object, each in the event loop of another thread."""

    runner: Loop
    _wrapped: Any

    def __init__(self, runner: Loop, wrapped: Any) -> None:
        self.runner, self._wrapped = runner, wrapped

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._wrapped, name)
        if inspect.iscoroutine(value):
            return self.runner.run(value)
        if not inspect.isroutine(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            others = {key: _unwrapped(other) for key, other in kwargs.items()}
            return self._outcome(value(*map(_unwrapped, args), **others))

        return call

    def _outcome(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            value = self.runner.run(value)
        if isinstance(value, AsyncPastCollection):
            return BlockingPast(self.runner, value)
        return BlockingStream(self.runner, value) if hasattr(value, "__aiter__") else value


class BlockingStream(_Calls):
    """What `async for` goes through, such as a cursor."""

    def __init__(self, runner: Loop, wrapped: Any) -> None:
        super().__init__(runner, wrapped)
        self._items: Any = None

    def __iter__(self) -> BlockingStream:
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = aiter(self._wrapped)
        try:
            return self.runner.run(_next(self._items))
        except StopAsyncIteration:
            raise StopIteration from None


class BlockingPast(_Calls):
    """An earlier version, with the interface of the synchronous class."""


class Blocking(_Calls):
    """An `AsyncVersionedCollection` with the interface of a `VersionedCollection`."""

    client: ClassVar[type]

    def __init__(self, database: Any, name: str | None = None, **options: Any) -> None:
        if isinstance(database, Collection):
            database, name = database.database, name or database.name
        self.database = database
        native = self.runner.database(self.client, database)
        self._wrapped = AsyncVersionedCollection(native, name, **options)

    @classmethod
    def clone(cls, remote: Any, into: Database[Any], *args: Any, **kwargs: Any) -> Blocking:
        """Make a copy, as `VersionedCollection.clone` does."""
        native = cls.runner.database(cls.client, into)
        making = AsyncVersionedCollection.clone(_unwrapped(remote), native, *args, **kwargs)
        return cls._of(into, cls.runner.run(making))

    @classmethod
    def _of(cls, database: Database[Any], wrapped: AsyncVersionedCollection) -> Blocking:
        twin = object.__new__(cls)
        twin.database, twin._wrapped = database, wrapped
        return twin

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not name.startswith("__"):
            return getattr(self._wrapped._blocking(), name)  # what tests look at behind the names
        return super().__getattr__(name)

    def _outcome(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            value = self.runner.run(value)
        if isinstance(value, AsyncVersionedCollection):
            return self._of(self.database, value)
        return super()._outcome(value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Blocking | VersionedCollection):
            return NotImplemented
        return bool(self.runner.run(self._wrapped.equals(_unwrapped(other))))

    def __hash__(self) -> int:
        return hash(self._wrapped.name)

    def __le__(self, other: Any) -> bool:
        return bool(self.runner.run(self._wrapped.is_contained_in(_unwrapped(other))))

    def __lt__(self, other: Any) -> bool:
        contained = self._wrapped.is_contained_in(_unwrapped(other), strictly=True)
        return bool(self.runner.run(contained))

    def __ge__(self, other: Any) -> bool:
        return bool(other <= self)

    def __gt__(self, other: Any) -> bool:
        return bool(other < self)


async def _next(items: Any) -> Any:
    return await anext(items)  # first in the loop, which ends then what is abandoned


def _unwrapped(value: Any) -> Any:
    return value._wrapped if isinstance(value, Blocking) else value


def surface(kind: str, runner: Loop) -> type:
    """Return a class to use in the place of `VersionedCollection`.

    Args:
        kind: ``async`` or ``motor``.
        runner: Where its calls run.
    """
    client = {"async": AsyncMongoClient, "motor": AsyncIOMotorClient}[kind]
    return type("Blocking", (Blocking,), {"runner": runner, "client": client})
