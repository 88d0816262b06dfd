"""The commands of a server, carried out one at a time on what mongomock holds."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import bson

from versioned_collection.doubles import writes
from versioned_collection.doubles.cursors import Cursors
from versioned_collection.doubles.order import sorted_by
from versioned_collection.doubles.outputs import merged_into
from versioned_collection.doubles.pipelines import aggregated
from versioned_collection.doubles.place import Document, Place, encoded, matching, now, plain
from versioned_collection.doubles.projections import projected
from versioned_collection.doubles.refusals import (
    ILLEGAL_OPERATION,
    INDEX_NOT_FOUND,
    NotMocked,
    Refusal,
    refuse_options,
    refusing,
)
from versioned_collection.driver.server_errors import (
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    UUID_MISMATCH,
)
from versioned_collection.driver.wire import DOUBLE

Command = Mapping[str, Any]
Reply = dict[str, Any]

_WIRE_VERSION = 17  # of MongoDB 6.0
_OK: Reply = {"ok": 1.0}


class Engine:
    """Carries commands out.

    Args:
        store: What a mongomock client holds.
    """

    def __init__(self, store: Any) -> None:
        self._store = weakref.ref(store)  # which the client of this engine is not to keep
        self._cursors = Cursors()
        self._lock = threading.Lock()

    def answer(self, command: Command) -> bytes:
        """Carry a command out and return the reply, whatever happens."""
        name = next(iter(command), None)
        try:
            method = _COMMANDS.get(str(name))
            if method is None:
                raise NotMocked(f"it has no command {name!r}")
            refuse_options(command)
            turn = nullcontext() if method in _GREETINGS else self._lock
            with turn, refusing():
                return bson.encode(method(self, command))
        except Refusal as refusal:
            return bson.encode(refusal.reply())

    @property
    def _client(self) -> Any:
        from mongomock import MongoClient

        store = self._store()
        if store is None:
            raise Refusal(ILLEGAL_OPERATION, "the mongomock client is gone; keep it")
        return MongoClient(_store=store)

    def _database(self, command: Command) -> Any:
        return self._client[command["$db"]]

    def _place(self, command: Command) -> Place:
        """Return the collection that a command is about."""
        return Place(self._database(command).get_collection(next(iter(command.values()))))

    def _existing(self, command: Command) -> Place:
        place = self._place(command)
        if not place.exists:
            raise Refusal(NAMESPACE_NOT_FOUND, "ns not found")
        return place

    # -- the server ----------------------------------------------------------------------

    def hello(self, command: Command) -> Reply:
        """Say what kind of server this is: one without transactions."""
        del command
        return {
            "helloOk": True,
            "ismaster": True,
            "isWritablePrimary": True,
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": now(),
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": 1,
            "minWireVersion": 0,
            "maxWireVersion": _WIRE_VERSION,
            "readOnly": False,
            DOUBLE: "mongomock",
            **_OK,
        }

    def nothing(self, command: Command) -> Reply:
        """Do what is nothing here, such as ending a session."""
        del command
        return _OK

    def build_info(self, command: Command) -> Reply:
        """Return the version that mongomock says it is."""
        del command
        return {**self._client.server_info(), **_OK}

    def list_databases(self, command: Command) -> Reply:
        """List the databases."""
        listed = [
            {"name": name, "sizeOnDisk": 0, "empty": False}
            for name in self._client.list_database_names()
        ]
        found = list(matching(listed, plain(command.get("filter", {}))))
        return {"databases": found, "totalSize": 0, **_OK}

    def drop_database(self, command: Command) -> Reply:
        """Drop a database."""
        self._client.drop_database(command["$db"])
        return _OK

    # -- collections ---------------------------------------------------------------------

    def list_collections(self, command: Command) -> Reply:
        """List the collections."""
        database = self._database(command)
        listed = [self._entry(database, name) for name in database.list_collection_names()]
        found = matching(listed, plain(command.get("filter", {})))
        namespace = f"{database.name}.$cmd.listCollections"
        return self._cursors.first(namespace, list(map(encoded, found)), None)

    @staticmethod
    def _entry(database: Any, name: str) -> Document:
        identity = Place(database.get_collection(name)).identity
        info = {"readOnly": False, "uuid": identity}
        return {"name": name, "type": "collection", "options": {}, "info": info}

    def create(self, command: Command) -> Reply:
        """Create a collection."""
        for option, reason in _REFUSED_OF_CREATE.items():
            if command.get(option):
                raise NotMocked(reason)
        place = self._place(command)
        if place.exists:
            raise Refusal(NAMESPACE_EXISTS, "the collection exists already")
        place.create()
        return _OK

    def drop(self, command: Command) -> Reply:
        """Drop a collection."""
        place = self._existing(command)
        self._check_identity(command, place)
        self._database(command).drop_collection(command["drop"])
        return _OK

    @staticmethod
    def _check_identity(command: Command, place: Place) -> None:
        wanted = command.get("collectionUUID")
        if wanted is not None and (not place.exists or place.identity != wanted):
            raise Refusal(UUID_MISMATCH, "the collection has another UUID")

    def rename(self, command: Command) -> Reply:
        """Give a collection another name."""
        database, _, old = command["renameCollection"].partition(".")
        other, _, new = command["to"].partition(".")
        if database != other:
            raise NotMocked("it renames collections within their database alone")
        place = Place(self._client[database].get_collection(old))
        self._check_identity(command, place)
        if not place.exists:
            raise Refusal(NAMESPACE_NOT_FOUND, "the collection to rename does not exist")
        if Place(self._client[database].get_collection(new)).exists:
            if not command.get("dropTarget"):
                raise Refusal(NAMESPACE_EXISTS, "target namespace exists")
            self._client[database].drop_collection(new)
        self._client[database].rename_collection(old, new)
        return _OK

    def stats(self, command: Command) -> Reply:
        """Return the size of a collection, as BSON: nothing is on a disk."""
        found = list(map(encoded, self._existing(command).all()))
        size = sum(len(one.raw) for one in found)
        return {"count": len(found), "size": size, "storageSize": size, "totalIndexSize": 0, **_OK}

    # -- indexes -------------------------------------------------------------------------

    def list_indexes(self, command: Command) -> Reply:
        """List the indexes of a collection."""
        place = self._existing(command)
        found = list(map(encoded, place.indexes))
        return self._cursors.first(place.collection.full_name, found, None)

    def create_indexes(self, command: Command) -> Reply:
        """Create indexes."""
        place = self._place(command)
        for index in map(plain, command["indexes"]):
            refuse_options(index)
            keys, name = index.pop("key"), index.pop("name")
            options = {option: index[option] for option in _OF_INDEXES if index.get(option)}
            if keys != {"_id": 1}:
                place.index(name, keys, options)
        return _OK

    def drop_indexes(self, command: Command) -> Reply:
        """Drop an index, or all."""
        place, which = self._existing(command), plain(command["index"])
        keys = list(which.items()) if isinstance(which, Mapping) else None
        dropped = [
            index["name"]
            for index in place.indexes[1:]
            if which in ("*", index["name"]) or keys == list(index["key"].items())
        ]
        if not dropped and which != "*":
            raise Refusal(INDEX_NOT_FOUND, f"index not found: {which}")
        for name in dropped:
            place.collection.drop_index(name)
        return _OK

    # -- reading -------------------------------------------------------------------------

    def find(self, command: Command) -> Reply:
        """Find documents."""
        place = self._place(command)
        found: Any = list(place.matching(command.get("filter", _EVERYTHING)))
        found = sorted_by(found, plain(command.get("sort", {})))
        start, most = command.get("skip", 0), command.get("limit", 0)
        found = found[start : start + most if most else None]
        projection = plain(command.get("projection", {}))
        replies = [encoded(projected(place, one, projection)) for one in found]
        return self._cursors.first(
            place.collection.full_name,
            replies,
            command.get("batchSize"),
            single=bool(command.get("singleBatch")),
        )

    def get_more(self, command: Command) -> Reply:
        """Return the documents that follow."""
        namespace = f"{command['$db']}.{command['collection']}"
        return self._cursors.next(namespace, command["getMore"], command.get("batchSize"))

    def kill_cursors(self, command: Command) -> Reply:
        """Forget cursors."""
        return self._cursors.kill(command)

    def count(self, command: Command) -> Reply:
        """Count documents."""
        query = command.get("query", _EVERYTHING)
        found = len(list(self._place(command).matching(query)))
        found = max(0, found - command.get("skip", 0))
        return {"n": min(found, command.get("limit") or found), **_OK}

    def distinct(self, command: Command) -> Reply:
        """Return the distinct values of a field."""
        place = self._place(command)
        found = place.collection.find(plain(command.get("query", {})))
        return {"values": list(found.distinct(command["key"])), **_OK}

    def aggregate(self, command: Command) -> Reply:
        """Run an aggregation, whose last stage may write."""
        name, stages = command["aggregate"], list(command["pipeline"])
        database = self._database(command)
        place = None if name == 1 else self._place(command)
        writing = stages.pop() if stages and _WRITING & stages[-1].keys() else None
        found = aggregated(database, place, stages)
        if writing is not None:
            merged_into(database, found, writing)
            found = []
        size = command.get("cursor", {}).get("batchSize")
        return self._cursors.first(
            f"{database.name}.{'$cmd.aggregate' if place is None else name}",
            list(map(encoded, found)),
            size,
        )

    def explain(self, command: Command) -> Reply:
        """Tell whether an aggregation can be run: nothing more is explained."""
        explained = command["explain"]
        if "aggregate" not in explained:
            raise NotMocked("it explains nothing")
        aggregated(self._database(command), None, explained["pipeline"])
        return _OK

    # -- writing -------------------------------------------------------------------------

    def insert(self, command: Command) -> Reply:
        """Insert documents."""
        return self._written(command, command["documents"], writes.insert)

    def update(self, command: Command) -> Reply:
        """Update documents."""
        return self._written(command, command["updates"], writes.update)

    def delete(self, command: Command) -> Reply:
        """Delete documents."""
        return self._written(command, command["deletes"], writes.delete)

    def _written(self, command: Command, statements: Any, write: Any) -> Reply:
        place = self._place(command)
        self._check_identity(command, place)
        is_ordered = command.get("ordered", True)
        return writes.in_turn(statements, is_ordered, lambda *one: write(place, *one))

    def find_and_modify(self, command: Command) -> Reply:
        """Change the first document that matches, and return it."""
        place = self._place(command)
        query = command.get("query", _EVERYTHING)
        found = sorted_by(list(place.matching(query)), plain(command.get("sort") or {}))
        before = found[0] if found else None
        after: Document | None = None
        facts: Document = {"n": len(found[:1]), "updatedExisting": before is not None}
        if command.get("remove"):
            if before is not None:
                place.take(before)
            del facts["updatedExisting"]
        elif before is not None:
            after, _ = writes.replace(place, before, query, command["update"])
        elif command.get("upsert"):
            after = writes.upserted(place, query, command["update"])
            facts.update(n=1, upserted=after["_id"])
        shown = after if command.get("new") else before
        projection = plain(command.get("fields", {}))
        value = None if shown is None else encoded(projected(place, shown, projection))
        return {"lastErrorObject": facts, "value": value, **_OK}


_REFUSED_OF_CREATE = {
    "viewOn": "it has no views",
    "capped": "it has no capped collections",
    "validator": "its collections have no validators",
    "timeseries": "it has no time-series collections",
    "clusteredIndex": "it has no clustered collections",
    "encryptedFields": "it encrypts nothing",
}
_WRITING = {"$out", "$merge"}
_OF_INDEXES = ("unique", "sparse", "expireAfterSeconds", "partialFilterExpression")
_EVERYTHING = encoded({})


_GREETINGS = (Engine.hello, Engine.nothing)
"""What need not wait for its turn: a client takes whoever does not answer it for dead."""

_COMMANDS = {
    "hello": Engine.hello,
    "ismaster": Engine.hello,
    "isMaster": Engine.hello,
    "ping": Engine.nothing,
    "endSessions": Engine.nothing,
    "killSessions": Engine.nothing,
    "buildInfo": Engine.build_info,
    "buildinfo": Engine.build_info,
    "listDatabases": Engine.list_databases,
    "dropDatabase": Engine.drop_database,
    "listCollections": Engine.list_collections,
    "create": Engine.create,
    "drop": Engine.drop,
    "renameCollection": Engine.rename,
    "collStats": Engine.stats,
    "listIndexes": Engine.list_indexes,
    "createIndexes": Engine.create_indexes,
    "dropIndexes": Engine.drop_indexes,
    "find": Engine.find,
    "getMore": Engine.get_more,
    "killCursors": Engine.kill_cursors,
    "count": Engine.count,
    "distinct": Engine.distinct,
    "aggregate": Engine.aggregate,
    "explain": Engine.explain,
    "insert": Engine.insert,
    "update": Engine.update,
    "delete": Engine.delete,
    "findAndModify": Engine.find_and_modify,
    "findandmodify": Engine.find_and_modify,
}
