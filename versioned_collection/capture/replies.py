"""What a change stream says, reply by reply, however large the ids are.

An event holds its id twice more, as a token in hexadecimal, and a reply holds the last token once
again. Over a reply that thereby has too many bytes a server closes the connection, and does so
each time. Such a stream is read on in small replies.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.driver.server_errors import DOCUMENT_TOO_LARGE
from versioned_collection.driver.wire import Cursor, kill_cursor, next_reply, run
from versioned_collection.repository.repository import Repository

_BATCH = 2000
_FIRST = 500
"""Events in the first reply, so that they are compared while the server looks for further ones."""
_WAIT_MS = 10
_HALF_OF_NEXT = 2 * 1024 * 1024
"""Bytes of events in a small reply, up to which the next one may have twice as many."""


def replies(
    repository: Repository, start: Timestamp, stages: Sequence[Mapping[str, Any]]
) -> Generator[Cursor, None, None]:
    """Iterate over the replies of a change stream; nothing is left open once this is closed.

    Args:
        repository: The trackers of the collection.
        start: The time behind which it starts.
        stages: What its events go through.

    Raises:
        OperationFailure: The server refused to go on; also where a single event is too large.
        AutoReconnect: The connection was lost, and another attempt at the same place failed.
    """
    place: dict[str, Any] = {"startAtOperationTime": Timestamp(start.time, start.inc + 1)}
    lost_at, size = None, min(_FIRST, _BATCH)
    with repository.db.client.start_session(causal_consistency=False) as session:
        while True:
            pipeline = [{"$changeStream": place}, *stages]
            try:
                with closing(_read(repository, pipeline, size, session)) as found:
                    for cursor in found:
                        place = {"resumeAfter": cursor.resume_token}
                        yield cursor
                return
            except driver.AutoReconnect as error:
                if error.timeout:
                    raise
                if place == lost_at:
                    raise _too_large_or_lost(repository, error) from error
                lost_at, size = place, 1


def _read(
    repository: Repository,
    pipeline: Sequence[Mapping[str, Any]],
    size: int,
    session: ClientSession,
) -> Generator[Cursor, None, None]:
    """Iterate over the replies of one cursor; their size grows where the events are small."""
    db, name = repository.db, repository.name
    command = {
        "aggregate": name,
        "pipeline": pipeline,
        "cursor": {"batchSize": size},
        "readConcern": {"level": "majority"},
    }
    cursor = Cursor(run(db, command, session))
    try:
        yield cursor
        while cursor.id:
            if 0 < sum(map(len, cursor.documents)) < _HALF_OF_NEXT:
                size = min(2 * size, _BATCH)
            more = {"getMore": cursor.id, "collection": name, "batchSize": size}
            cursor = next_reply(db, {**more, "maxTimeMS": _WAIT_MS}, session)
            yield cursor
    finally:
        if cursor.id:
            kill_cursor(db, name, cursor.id, session)


def _too_large_or_lost(repository: Repository, error: driver.AutoReconnect) -> driver.PyMongoError:
    """Return what it means that a connection was lost over a reply of one event."""
    try:
        run(repository.db, {"ping": 1})
    except driver.AutoReconnect:
        return error
    return driver.OperationFailure("an event is larger than a reply may be", DOCUMENT_TOO_LARGE)
