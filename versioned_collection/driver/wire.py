"""Commands to the server with raw documents: reads in batches. For writes see `writes`.

Whole replies are handled at once, which is several times faster than the driver's
iterators, and ids and documents are spliced into commands as bytes, so that nothing that
Python cannot represent is ever decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import bson
import pymongo
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    RAW_OPTIONS,
    DocumentKey,
    are_twins,
    build,
    document_key,
    elements,
    raw_id_in,
)
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, middle_of, portions
from versioned_collection.driver.server_errors import NAMESPACE_EXISTS, not_written, translated

READ_BUDGET = 24 * 1024 * 1024
"""Bytes of documents that one look-up by ids holds in memory (one document may exceed it)."""

DOUBLE = "testDouble"
"""The field of the reply to ``hello`` by which a test double says that it is one."""

_int32 = struct.Struct("<i")


def for_trackers(db: Database[Any]) -> Database[Any]:
    """Return a database as the verbs need it; what is asked of it is meant for documents only.

    It is read from the primary, and its writes outlive a change of that: a version is made of
    many writes, and none of them may be missing once the last is there.
    """
    asked = db.client.write_concern.document
    concern = WriteConcern("majority", wtimeout=asked.get("wtimeout"), j=asked.get("j") or None)
    return db.with_options(PLAIN_OPTIONS, ReadPreference.PRIMARY, concern, ReadConcern())


def run(
    db: Database[Any], command: Mapping[str, Any], session: ClientSession | None = None
) -> Mapping[str, Any]:
    """Run a command on the primary and return the raw reply."""
    with translated():
        reply = db.command(
            dict(command),
            session=session,
            codec_options=RAW_OPTIONS,
            read_preference=ReadPreference.PRIMARY,
        )
    unsure = reply.get("writeConcernError")
    if unsure is not None:  # it was written, and may be taken back by the next primary
        raise not_written(unsure, driver.WriteConcernError)
    return reply


def create_collection(db: Database[Any], name: str, **options: Any) -> None:
    """Create a collection; one that is there already, or meanwhile, is kept."""
    with translated():
        try:
            db.create_collection(name, check_exists=False, **options)
        except driver.OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise


def create_indexes(db: Database[Any], name: str, indexes: Iterable[Mapping[str, Any]]) -> None:
    """Create indexes that are listed elsewhere, or were when a version was recorded.

    Where a collection has a collation, ``listIndexes`` says nothing of the simple one, and
    ``createIndexes`` takes that for the collection's own.
    """
    wanted = [{"collation": {"locale": "simple"}, **index} for index in indexes]
    if wanted:
        run(db, {"createIndexes": name, "indexes": wanted})


def drop_indexes(db: Database[Any], name: str, indexes: Sequence[str]) -> None:
    """Drop indexes by their names."""
    for index in indexes:
        run(db, {"dropIndexes": name, "index": index})


WITHOUT_ID = {"_id": None}
"""Finds a document whose ``_id`` is null, which ``$merge`` does not take."""


def inserting_into(target: str) -> list[dict[str, Any]]:
    """Return stages that insert all documents but one `WITHOUT_ID`, as ``$out`` does.

    Args:
        target: The name of a collection that is there, and empty.
    """
    into = {"into": target, "whenMatched": "fail", "whenNotMatched": "insert"}
    return [{"$match": {"_id": {"$ne": None}}}, {"$merge": into}]


def copy_on_server(
    db: Database[Any],
    source: str,
    target: str,
    stages: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
) -> None:
    """Have the server copy all documents of a collection in the place of those of another.

    Args:
        db: The database.
        source: The name of the collection.
        target: The name of the other one.
        stages: What writes there, where ``$out`` does not.
        **options: Further options of the command.
    """
    pipeline = list(stages or [{"$out": target}])
    command = {"aggregate": source, "pipeline": pipeline, "cursor": {}, **options}
    run(db, {**command, "writeConcern": db.write_concern.document})


def batches(
    db: Database[Any],
    command: Mapping[str, Any],
    session: ClientSession | None = None,
    largest: int = 0,
) -> Iterator[list[bytes]]:
    """Run a cursor command and iterate over whole replies, as documents' bytes.

    Args:
        db: The database.
        command: A ``find`` or ``aggregate`` command.
        session: The session; a private one is used where none is given.
        largest: Up to how many documents each reply has twice as many as the one before; all
            have as many as the command says where it is left out.
    """
    if session is None:
        with db.client.start_session(causal_consistency=False) as private:
            yield from batches(db, command, private, largest)
        return
    size = command.get("batchSize") or command.get("cursor", {}).get("batchSize")
    cursor = Cursor(run(db, command, session))
    try:
        yield cursor.documents
        while cursor.id:
            more = {"getMore": cursor.id, "collection": cursor.collection}
            if size:
                size = max(size, min(2 * size, largest))
                more["batchSize"] = size
            cursor = next_reply(db, more, session)
            yield cursor.documents
    finally:
        if cursor.id:
            kill_cursor(db, cursor.collection, cursor.id, session)


class Cursor:
    """The cursor part of a reply.

    Attributes:
        id: The server's number of the cursor, 0 when it is exhausted.
        collection: The collection it reads.
        documents: The documents of this reply.
        resume_token: Where a change stream stands behind them.
    """

    __slots__ = ("collection", "documents", "id", "resume_token")

    def __init__(self, reply: Mapping[str, Any]) -> None:
        raw = bytes(reply["cursor"].raw)
        self.id: Any = 0
        self.resume_token: Any = None
        self.documents: list[bytes] = []
        for kind, name, start, end in elements(raw):
            if name in (b"firstBatch", b"nextBatch"):
                self.documents = _documents_in(raw, start, end)
            elif name == b"id":
                self.id = bson.decode(build(bytes((kind,)) + b"id\0" + raw[start:end]))["id"]
            elif name == b"ns":
                self.collection = raw[start + 4 : end - 1].decode().split(".", 1)[1]
            elif name == b"postBatchResumeToken":
                self.resume_token = bson.decode(raw[start:end])


def next_reply(
    db: Database[Any], command: Mapping[str, Any], session: ClientSession | None
) -> Cursor:
    """Run a ``getMore`` command.

    It has no time limit: the driver writes the client's, or that of `pymongo.timeout`, into every
    command that it is given, and servers refuse one that is about the next reply of a cursor.
    """
    with pymongo.timeout(0):
        return Cursor(run(db, command, session))


def _documents_in(raw: bytes, start: int, end: int) -> list[bytes]:
    """Return the documents of a BSON array, several times faster than decoding it."""
    found = []
    position, stop = start + 4, end - 1
    size_at, name_end = _int32.unpack_from, raw.index
    while position < stop:
        first = name_end(b"\0", position) + 1
        position = first + size_at(raw, first)[0]
        found.append(raw[first:position])
    return found


def kill_cursor(
    db: Database[Any], collection: str, cursor: Any, session: ClientSession | None
) -> None:
    """Close a server-side cursor; a cursor that is gone already is fine."""
    with suppress(driver.PyMongoError):
        db.command("killCursors", collection, cursors=[cursor], session=session)


def documents(
    db: Database[Any],
    collection: str,
    filter_: Mapping[str, Any] | None = None,
    *,
    sort: Mapping[str, int] | None = None,
    at: Timestamp | None = None,
    session: ClientSession | None = None,
    projection: Mapping[str, Any] | None = None,
    batch_size: int = 20_000,
    largest_batch: int = 0,
    **options: Any,
) -> Iterator[list[bytes]]:
    """Iterate over the documents of a collection as bytes, a reply at a time.

    Args:
        db: The database.
        collection: The collection's name.
        filter_: Which documents; all of them where it is left out.
        sort: The order.
        at: The cluster time whose state is read.
        session: The session, for instance of a transaction.
        projection: The fields.
        batch_size: Documents per reply (the server also ends a reply at 16 MB).
        largest_batch: Up to how many that grows from reply to reply.
        **options: Further options of the ``find`` command.
    """
    asked = {} if filter_ is None else filter_  # which is not looked into
    command: dict[str, Any] = {"find": collection, "filter": asked, **options}
    if sort:
        command["sort"] = sort
    if projection:
        command["projection"] = projection
    command["batchSize"] = batch_size
    command.update(read_concern(at))
    yield from batches(db, command, session, largest_batch)


def read_concern(at: Timestamp | None) -> dict[str, Any]:
    """Return the part of a command that makes it read the state at a cluster time."""
    return {"readConcern": {"level": "snapshot", "atClusterTime": at}} if at else {}


def of_ids(field: str, keys: Iterable[DocumentKey]) -> dict[str, Any]:
    """Return the filter for documents that have one of some ids in a field."""
    return {field: RawBSONDocument(raw_id_in(keys), RAW_OPTIONS)["_id"]}


def by_keys(
    db: Database[Any],
    collection: str,
    keys: Sequence[DocumentKey],
    *,
    at: Timestamp | None = None,
    session: ClientSession | None = None,
) -> Iterator[tuple[list[DocumentKey], dict[DocumentKey, bytes]]]:
    """Look documents up by id, within a memory budget.

    Yields:
        The keys of a portion, and the documents found for them by their own key (which
        differs from the one asked for where the server takes two ids for equal, such as
        ``1`` and ``1.0``).
    """
    waiting = list(portions(keys, len, IDS_PER_READ, BYTES_OF_IDS, are_twins))[::-1]
    while waiting:
        portion = waiting.pop()
        found = _look_up(db, collection, portion, at, session)
        if found is None:
            middle = middle_of(portion)
            waiting += [portion[middle:], portion[:middle]]
        else:
            yield portion, found


def _look_up(
    db: Database[Any],
    collection: str,
    keys: list[DocumentKey],
    at: Timestamp | None,
    session: ClientSession | None,
) -> dict[DocumentKey, bytes] | None:
    found: dict[DocumentKey, bytes] = {}
    size = 0
    filter_ = RawBSONDocument(raw_id_in(keys))
    for batch in documents(db, collection, filter_, at=at, session=session):
        for raw in batch:
            found[document_key(raw)] = raw
            size += len(raw)
        if size > READ_BUDGET and len(keys) > 1:
            return None
    return found
