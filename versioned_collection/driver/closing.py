"""Clients that are closed once what they belong to is gone."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from contextlib import suppress
from typing import Any

from pymongo.mongo_client import MongoClient  # not from pymongo, where mongomock may patch it

from versioned_collection.driver.forking import in_children


class Closer:
    """Closes clients in a thread of its own.

    Whatever thread the garbage collector runs in may hold the locks that closing takes.

    Args:
        name: The name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: weakref.WeakValueDictionary[int, MongoClient[Any]] = (
            weakref.WeakValueDictionary()  # by `id`: clients of one server are equal
        )
        in_children(self._begin)
        atexit.register(self._close_all)

    def _begin(self) -> None:
        self._waiting: queue.SimpleQueue[MongoClient[Any]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def keep(self, client: MongoClient[Any]) -> None:
        """Know a client that is to be closed at the end of the process at the latest."""
        self._open[id(client)] = client
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def close(self, client: MongoClient[Any]) -> None:
        """Have a client closed soon; this takes no lock."""
        self._waiting.put(client)

    def _run(self) -> None:
        while True:
            client = self._waiting.get()
            with suppress(Exception):  # the others are waiting
                client.close()
            del client

    def _close_all(self) -> None:
        for client in list(self._open.values()):
            client.close()
