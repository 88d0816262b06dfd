"""The synchronous form of asynchronous databases and collections: the same place, blocking."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from pymongo import MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.asynchronous.mongo_client import AsyncMongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection.doubles import adopted, is_double
from versioned_collection.driver.closing import Closer
from versioned_collection.driver.forking import in_children
from versioned_collection.errors import NotSupported
from versioned_collection.facets.base import options_of

_twins: dict[int, MongoClient[Any]] = {}
_closer = Closer("versioned-collection-closer")


class _Opening:
    """Whoever opens a client holds its lock.

    A forked child has a lock of its own, as nobody there would let go of one that is held.
    """

    def __init__(self) -> None:
        in_children(self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


_opening = _Opening()


def is_motor(value: object) -> bool:
    """Tell whether an object is one of Motor's, without importing Motor."""
    return type(value).__module__.partition(".")[0] == "motor" and hasattr(value, "delegate")


def blocking(value: Any) -> Any:
    """Return the synchronous form of an asynchronous database or collection; others as they are.

    Motor's objects have one inside. For PyMongo's own, a `MongoClient` is opened with the same
    options, once for each `AsyncMongoClient`, and closed when that one is gone.
    """
    if is_motor(value):
        return adopted(_inside(value))
    if isinstance(value, AsyncDatabase):
        return _database(value)
    if isinstance(value, AsyncCollection):
        return Collection(_database(value.database), value.name, **options_of(value))
    return value


def is_collection(value: Any) -> bool:
    """Tell whether an object of Motor, or of its double, is a collection."""
    return hasattr(type(value), "insert_one")


def _inside(value: Any) -> Any:
    """Return what an object of Motor wraps; a collection of its double does not say it."""
    if is_collection(value) and is_double(value.delegate):
        named = value.database.delegate.get_collection
        return named(value.name, codec_options=value.codec_options)
    return value.delegate


def _database(database: AsyncDatabase[Any]) -> Database[Any]:
    return Database(_client(database.client), database.name, **options_of(database))


def _client(client: AsyncMongoClient[Any]) -> MongoClient[Any]:
    with _opening.lock:
        twin = _twins.get(id(client))
        if twin is None:
            twin = _twins[id(client)] = MongoClient(**_options(client))
            _closer.keep(twin)
            weakref.finalize(client, close_twin, id(client)).atexit = False
    return twin


def _options(client: AsyncMongoClient[Any]) -> dict[str, Any]:
    options = getattr(client, "_init_kwargs", None)  # with which it makes copies of itself
    if options is None:
        raise NotSupported(
            "this release of PyMongo does not tell how an AsyncMongoClient was made; use PyMongo "
            "4.13 to 4.20, and report it",
        )
    if options.get("auto_encryption_opts") is not None:
        raise NotSupported(
            "an AsyncMongoClient that encrypts cannot be opened a second time for the verbs, "
            "which run in worker threads; use VersionedCollection with a MongoClient",
        )
    return dict(options)


def close_twin(identity: int) -> None:
    """Have the client closed that was opened for the asynchronous one of this `id`, if any was.

    The garbage collector comes here at any moment, even while a client is opened; so this waits
    for no lock.
    """
    twin = _twins.pop(identity, None)
    if twin is not None:
        _closer.close(twin)
