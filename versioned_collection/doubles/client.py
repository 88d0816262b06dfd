"""The PyMongo client of a double: one for all mongomock clients of the same data."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from bson.codec_options import CodecOptions
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.mongo_client import MongoClient  # not from pymongo, where mongomock may patch it

from versioned_collection.core.document import PLAIN_OPTIONS
from versioned_collection.doubles.engine import Engine
from versioned_collection.doubles.transport import Transport
from versioned_collection.driver.closing import Closer
from versioned_collection.errors import NotSupported

_clients: weakref.WeakKeyDictionary[Any, DoubleClient] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def pymongo_form(value: Any) -> Any:
    """Return the database or collection of PyMongo that shows what one of mongomock holds."""
    if hasattr(type(value), "insert_one"):
        return Collection(_database(value.database), value.name, codec_options=_options(value))
    return _database(value) if hasattr(type(value), "list_collection_names") else value


def _database(database: Any) -> Database[Any]:
    client = database.client
    return DoubleDatabase(client._store, client_of(client), database.name, _options(database))


def _options(place: Any) -> CodecOptions[Any]:
    return PLAIN_OPTIONS.with_options(tz_aware=place.codec_options.tz_aware)


def client_of(double: Any) -> DoubleClient:
    """Return the client of PyMongo that shows what one of mongomock holds.

    Raises:
        NotSupported: This release of mongomock keeps its documents in another way.
    """
    store = getattr(double, "_store", None)
    if not hasattr(store, "list_created_database_names"):
        raise NotSupported(
            "this release of mongomock keeps its documents in a way that is not known here; use "
            "mongomock 4.3, and report it",
        )
    with _lock:
        if store not in _clients or _clients[store].is_closed:
            _clients[store] = client = DoubleClient(store)
            weakref.finalize(store, _closer.close, client).atexit = False
        return _clients[store]


class DoubleDatabase(Database[Any]):
    """A database that keeps what mongomock holds from being forgotten while it is in use."""

    def __init__(self, store: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._store = store

    def with_options(self, *args: Any, **kwargs: Any) -> DoubleDatabase:
        """Return this database with other codec options, preferences or concerns."""
        other = super().with_options(*args, **kwargs)
        twin = object.__new__(DoubleDatabase)
        twin.__dict__.update(other.__dict__, _store=self._store)
        return twin


class DoubleClient(MongoClient[Any]):
    """A client of what mongomock holds; it is closed once that is gone.

    Args:
        store: What a mongomock client holds.

    Attributes:
        is_closed: Whether it was closed; what mongomock holds is there still.
    """

    def __init__(self, store: Any) -> None:
        self.is_closed = False
        self._transport = Transport(Engine(store).answer)
        super().__init__(
            "127.0.0.1",
            self._transport.port,
            appname=self._transport.password,
            directConnection=True,
            retryReads=False,
            retryWrites=False,
        )
        _closer.keep(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # without the password, which stands in its options

    def close(self) -> None:
        """Close the connections and the way to the double."""
        self.is_closed = True
        super().close()
        self._transport.close()


_closer = Closer("test-doubles")
