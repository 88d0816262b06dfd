"""A stand-in for the router of a sharded cluster, in front of a mongod.

It says that it is a router, keeps the list of sharded collections, and refuses what a router
refuses for these; all else the mongod behind it answers. What several shards do (data on each of
them, transactions over several, chunks that move) it cannot show.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

_RAW: CodecOptions[Any] = CodecOptions(RawBSONDocument)
_QUERY, _MESSAGE = 2004, 2013
_MORE_TO_COME = 2
_HEADER = struct.Struct("<iiii")
_OF_A_REPLICA_SET = frozenset(
    ("setName", "setVersion", "hosts", "primary", "me", "electionId", "lastWrite", "secondary")
)
_WRITTEN = {"insert": "documents", "update": "updates", "delete": "deletes"}

ILLEGAL_OPERATION = 20
SHARD_KEY_NOT_FOUND = 61
CANNOT_CREATE_INDEX = 67
INVALID_OPTIONS = 72
ALREADY_INITIALIZED = 23
NOT_IN_TRANSACTION = 263

Command = Mapping[str, Any]


class Refusal(Exception):
    """What the router refuses by itself."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Router:
    """Takes connections on a port of its own.

    Args:
        uri: The address of the mongod behind it.

    Attributes:
        uri: Its own address.
        sharded: The shard keys of sharded collections, by namespace.
        sent: The commands that came, each with its database.
        is_uneven: Whether changes are of the very moment that was read, and a change stream says
            that it has reached that moment before they have come, as it does when another shard
            wrote something at the same time.
        denied: Commands that are refused for lack of a privilege.
    """

    def __init__(self, uri: str) -> None:
        self._behind = parse_uri(uri)["nodelist"][0]
        self._client: MongoClient[Any] = MongoClient(uri)
        self.sharded: dict[str, dict[str, Any]] = {}
        self.sent: list[tuple[str, Command]] = []
        self.is_uneven = False
        self.denied: set[str] = set()
        self._streams: dict[int, list[Any]] = {}
        self._moment: Any = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"mongodb://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()
        self._client.close()

    def named(self, name: str) -> list[Command]:
        """Return the commands of a name that came."""
        return [command for _, command in self.sent if next(iter(command)) == name]

    def shard(self, namespace: str, key: dict[str, Any]) -> None:
        """Shard a collection, which is created if it is missing; its documents stay."""
        database, _, name = namespace.partition(".")
        collection = self._client[database][name]
        if name not in collection.database.list_collection_names():
            collection.database.create_collection(name)
        collection.create_index(list(key.items()))
        self.sharded[namespace] = key

    # -- connections ---------------------------------------------------------------------

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, socket.create_connection(self._behind) as behind:
            while (message := _received(connection)) is not None:
                answer = self._answered(message, behind)
                if answer is not None:
                    connection.sendall(answer)

    def _answered(self, message: bytes, behind: socket.socket) -> bytes | None:
        _, request, _, kind = _HEADER.unpack_from(message)
        if kind == _QUERY:  # the first hello of a connection
            behind.sendall(message)
            reply = _received(behind)
            assert reply is not None
            start = _HEADER.size + 20
            return _framed(reply[4:start], _as_router(_decoded(reply[start:])))
        flags, command = _parsed(message)
        database = str(command["$db"])
        name = next(iter(command))
        self.sent.append((database, command))
        try:
            reply = self._by_itself(database, name, command)
        except Refusal as refusal:
            reply = {"ok": 0.0, "errmsg": str(refusal), "code": refusal.code}
        if reply is not None:
            return _message(request, reply)
        behind.sendall(message)
        if flags & _MORE_TO_COME:
            return None
        answer = _received(behind)
        assert answer is not None
        changed = self._changed(database, name, command, _decoded(answer[_HEADER.size + 5 :]))
        return answer if changed is None else _message(request, changed)

    # -- what the router says itself -----------------------------------------------------

    def _by_itself(self, database: str, name: str, command: Command) -> Any:
        """Return an answer, None where the mongod behind gives it."""
        if name in self.denied:
            raise Refusal(13, f"not authorized on admin to execute command {{ {name}: 1 }}")
        if name == "shardCollection":
            return self._shard(str(command[name]), dict(command["key"]))
        if (database, command.get(name)) == ("config", "collections"):
            found = self.sharded.get(command["filter"]["_id"])
            batch = [] if found is None else [{"_id": command["filter"]["_id"], "key": found}]
            cursor = {"id": 0, "ns": "config.collections", "firstBatch": batch}
            return {"cursor": cursor, "ok": 1.0}
        if database == "local" or name.startswith("replSet"):
            raise Refusal(59, f"no such cmd: {name}")
        if name == "getMore" and command[name] in self._streams:
            self._client.admin.command("appendOplogNote", data={"as": "all shards do in time"})
        namespace = f"{database}.{command[name]}"
        if command.get("autocommit") is False:
            self._check_in_transaction(database, name, command)
        if namespace in self.sharded:
            _check(name, command)
        self._check_stages(database, command)
        return None

    def _shard(self, namespace: str, key: dict[str, Any]) -> dict[str, Any]:
        if self.sharded.get(namespace, key) != key:
            raise Refusal(ALREADY_INITIALIZED, f"sharding already enabled for {namespace}")
        database, _, name = namespace.partition(".")
        collection = self._client[database][name]
        indexed = [dict(index["key"]) for index in collection.list_indexes()]
        if key not in indexed and collection.find_one() is not None:
            raise Refusal(INVALID_OPTIONS, "create an index that starts with the shard key first")
        self.shard(namespace, key)
        return {"collectionsharded": namespace, "ok": 1.0}

    def _check_in_transaction(self, database: str, name: str, command: Command) -> None:
        """Refuse what creates a collection in a transaction, which may span shards."""
        creates = name in ("insert", "create", "findAndModify") or any(
            one.get("upsert") for one in command.get("updates", ())
        )
        if creates and command[name] not in self._client[database].list_collection_names():
            raise Refusal(
                NOT_IN_TRANSACTION, "cannot create collections in a transaction over shards"
            )

    def _check_stages(self, database: str, command: Command) -> None:
        for stage in command.get("pipeline", ()):
            if "$out" in stage and f"{database}.{stage['$out']}" in self.sharded:
                raise Refusal(ILLEGAL_OPERATION, "$out cannot write to a sharded collection")

    # -- what it changes in answers ------------------------------------------------------

    def _changed(self, database: str, name: str, command: Command, reply: Any) -> Any:
        if name.lower() in ("hello", "ismaster"):
            return _as_router(reply)
        namespace = f"{database}.{command[name]}"
        if name == "collStats" and reply["ok"]:
            return {**reply, "sharded": namespace in self.sharded}
        if name in ("drop", "dropDatabase") and reply["ok"]:
            gone = namespace if name == "drop" else f"{database}."
            for one in list(self.sharded):
                if one == gone or (name == "dropDatabase" and one.startswith(gone)):
                    del self.sharded[one]
        if name == "find" and reply["ok"]:
            self._moment = reply["cursor"].get("atClusterTime", self._moment)
        if name == "renameCollection" and reply["ok"]:
            self._renamed(command[name], command["to"])
        if any("$changeStream" in stage for stage in command.get("pipeline", ())):
            return self._opened(reply)
        if name == "getMore" and self._streams.get(command[name]):
            return self._caught_up(command[name], reply)
        return None

    def _renamed(self, old: str, new: str) -> None:
        self.sharded.pop(new, None)
        if old in self.sharded:
            self.sharded[new] = self.sharded.pop(old)

    def _opened(self, reply: Any) -> Any:
        """Keep the events back where another shard is the first to say what time it is."""
        if not reply["ok"]:
            return None
        cursor = dict(reply["cursor"])
        held = list(cursor["firstBatch"]) if self.is_uneven else []
        self._streams[cursor["id"]] = held
        if not held:
            return None
        time = self._moment
        self._streams[cursor["id"]] = [{**event, "clusterTime": time} for event in held]
        token = {"_data": f"82{time.time:08X}{time.inc:08X}2B0429296E04"}
        cursor |= {"firstBatch": [], "postBatchResumeToken": token}
        return {**reply, "cursor": cursor}

    def _caught_up(self, stream: int, reply: Any) -> Any:
        held, self._streams[stream] = self._streams[stream], []
        cursor = dict(reply["cursor"])
        cursor["nextBatch"] = [*held, *cursor["nextBatch"]]
        return {**reply, "cursor": cursor}


def _check(name: str, command: Command) -> None:
    """Refuse what a router refuses for a sharded collection (here, by ``_id``)."""
    statements = command.get(_WRITTEN.get(name, ""), ())
    if name == "update":
        single = [one for one in statements if not one.get("multi") or one.get("upsert")]
        _check_keys([one["q"] for one in single])
    elif name == "delete":
        _check_keys([one["q"] for one in statements if one["limit"] == 1])
    elif name == "findAndModify":
        _check_keys([command["query"]])
    elif name == "createIndexes":
        if any(one.get("unique") for one in command["indexes"]):
            raise Refusal(CANNOT_CREATE_INDEX, "a unique index has to begin with the shard key")
    elif name == "distinct" and command.get("readConcern", {}).get("level") == "snapshot":
        raise Refusal(INVALID_OPTIONS, "distinct on a sharded collection reads no snapshot")


def _check_keys(filters: Sequence[Mapping[str, Any]]) -> None:
    for one in filters:
        value = one.get("_id")
        is_equal = not isinstance(value, Mapping) or not any(
            name.startswith("$") and name != "$eq" for name in value
        )
        if "_id" not in one or not is_equal:
            raise Refusal(SHARD_KEY_NOT_FOUND, f"the filter {one} does not name one shard")


# -- the protocol ------------------------------------------------------------------------


def _received(connection: socket.socket) -> bytes | None:
    """Return the next message, None at the end."""
    head = _exactly(connection, 4)
    if head is None:
        return None
    rest = _exactly(connection, struct.unpack("<i", head)[0] - 4)
    return None if rest is None else head + rest


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _parsed(message: bytes) -> tuple[int, Command]:
    """Return the flags of a message, and its command with what came in sections beside it."""
    assert struct.unpack_from("<i", message, 12)[0] == _MESSAGE
    (flags,) = struct.unpack_from("<I", message, 16)
    position = 20
    command: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    while position < len(message) - (4 if flags & 1 else 0):
        kind = message[position]
        (size,) = struct.unpack_from("<i", message, position + 1)
        section = message[position + 1 : position + 1 + size]
        if kind == 0:
            command = dict(_decoded(section).items())
        else:
            end = section.index(b"\0", 4)
            beside[section[4:end].decode()] = _documents(section[end + 1 :])
        position += 1 + size
    return flags, {**command, **beside}


def _documents(raw: bytes) -> list[RawBSONDocument]:
    return list(bson.decode_iter(raw, _RAW))


def _decoded(raw: bytes) -> Any:
    return RawBSONDocument(raw, _RAW)


def _message(request: int, reply: Mapping[str, Any]) -> bytes:
    body = struct.pack("<IB", 0, 0) + bson.encode(dict(reply), codec_options=_RAW)
    return _HEADER.pack(_HEADER.size + len(body), 0, request, _MESSAGE) + body


def _framed(head: bytes, reply: Mapping[str, Any]) -> bytes:
    body = bson.encode(dict(reply), codec_options=_RAW)
    return struct.pack("<i", 4 + len(head) + len(body)) + head + body


def _as_router(reply: Any) -> dict[str, Any]:
    left_out = {*_OF_A_REPLICA_SET, "topologyVersion"}  # with it, clients wait for the next one
    kept = {name: value for name, value in reply.items() if name not in left_out}
    return {**kept, "msg": "isdbgrid"}


@contextmanager
def router(uri: str) -> Iterator[Router]:
    """Yield a router that is closed at the end."""
    running = Router(uri)
    try:
        yield running
    finally:
        running.close()
