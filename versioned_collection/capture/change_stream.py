"""Capture by the change stream, read on demand up to one cluster time.

The position is a cluster time, not a resume token: it says the same (resume behind this
point), survives events that end a stream, and is the very time at which a version was
read. Where the server cannot resume, the collection is compared in full.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from bson.timestamp import Timestamp
from pymongo import errors as driver

from versioned_collection.capture.base import SPILL, Capture, Noticed
from versioned_collection.core.document import document_key, elements
from versioned_collection.errors import NotSupported
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.wire import Cursor, kill_cursor, run

_BATCH = 20_000
_WAIT_MS = 200
_DOCUMENT_EVENTS = frozenset((b"insert", b"update", b"replace", b"delete"))
_ENDING_EVENTS = frozenset((b"drop", b"rename", b"dropDatabase", b"invalidate"))
_timestamp = struct.Struct("<II")
_HISTORY_LOST = frozenset((280, 286, 222, 234, 260, 50811, 10334))
_MORE_THAN_A_SCAN = 2.0
"""Events per document of the collection beyond which comparing everything is cheaper."""
_LEAST_EVENTS_FOR_SCAN = 100_000


class ChangeStreamCapture(Capture):
    """Reads the events since the last look; nothing has to run in between."""

    def look(self, state: Metadata) -> Noticed:
        """Return what changed since the position in `state`."""
        uuid = self.identity()
        at = self.pin()
        assert at is not None
        noticed = Noticed(at, uuid=uuid)
        if state.scan or state.captured is None:
            noticed.scan, noticed.reason = True, "changes were not followed"
        elif uuid != state.uuid:
            noticed.scan, noticed.reason = True, "the collection was replaced or dropped"
        else:
            self._drain(state.captured, state.own, noticed)
        return noticed

    def drain_since(self, start: Timestamp, noticed: Noticed) -> None:
        """Add to `noticed` what happened behind `start` and up to its own time."""
        self._drain(start, (), noticed)

    def _drain(self, start: Timestamp, own: Sequence[Timestamp], noticed: Noticed) -> None:
        try:
            for events in self._events(start, own, noticed):
                for event in events:
                    self._take(event, noticed)
                if noticed.scan:
                    return
                if len(noticed.keys) > SPILL:
                    self.repository.modified.add(noticed.keys)
                    noticed.keys.clear()
        except driver.OperationFailure as error:
            if error.code not in _HISTORY_LOST and not error.has_error_label(
                "NonResumableChangeStreamError"
            ):
                raise
            noticed.scan, noticed.reason = True, f"the server cannot resume: {error}"

    @staticmethod
    def _take(event: _Event, noticed: Noticed) -> None:
        if event.kind in _DOCUMENT_EVENTS:
            noticed.keys.add(document_key(event.key))
        elif event.kind in _ENDING_EVENTS:
            noticed.scan, noticed.reason = True, f"the collection met a {event.kind.decode()!r}"

    def _events(
        self, start: Timestamp, own: Sequence[Timestamp], noticed: Noticed
    ) -> Iterator[list[_Event]]:
        """Iterate over the events behind `start` up to the time of the look."""
        assert noticed.at is not None
        db, name = self.repository.db, self.repository.name
        count = 0
        with db.client.start_session(causal_consistency=False) as session:
            cursor = Cursor(run(db, self._open(start, own), session))
            try:
                while True:
                    events = [_Event(raw) for raw in cursor.documents]
                    count += len(events)
                    yield [event for event in events if event.time <= noticed.at]
                    if not cursor.id or _reached(cursor, events, noticed.at):
                        return
                    if count > _LEAST_EVENTS_FOR_SCAN and count > self._limit():
                        noticed.scan, noticed.reason = True, "comparing everything is cheaper"
                        return
                    more = {
                        "getMore": cursor.id,
                        "collection": name,
                        "batchSize": _BATCH,
                        "maxTimeMS": _WAIT_MS,
                    }
                    cursor = Cursor(run(db, more, session))
            finally:
                if cursor.id:
                    kill_cursor(db, name, cursor.id, session)

    def _open(self, start: Timestamp, own: Sequence[Timestamp]) -> dict[str, Any]:
        pipeline: list[dict[str, Any]] = [
            {"$changeStream": {"startAtOperationTime": Timestamp(start.time, start.inc + 1)}}
        ]
        if own:
            pipeline.append({"$match": {"clusterTime": {"$nin": list(own)}}})
        fields = {"documentKey._id": 1, "operationType": 1, "clusterTime": 1}
        pipeline.append({"$project": fields})
        return {
            "aggregate": self.repository.name,
            "pipeline": pipeline,
            "cursor": {"batchSize": _BATCH},
            "readConcern": {"level": "majority"},
        }

    def _limit(self) -> float:
        stored = run(self.repository.db, {"count": self.repository.name})["n"]
        return float(_MORE_THAN_A_SCAN * stored)


class _Event:
    """The parts of a change event that count here.

    Attributes:
        kind: The operation type.
        time: The cluster time.
        key: The bytes of the document key, empty for events of the whole collection.
    """

    __slots__ = ("key", "kind", "time")

    def __init__(self, raw: bytes) -> None:
        self.key = b""
        for _, name, start, end in elements(raw):
            if name == b"operationType":
                self.kind = raw[start + 4 : end - 1]
            elif name == b"clusterTime":
                increment, seconds = _timestamp.unpack_from(raw, start)
                self.time = Timestamp(seconds, increment)
            elif name == b"documentKey":
                self.key = raw[start:end]


def _reached(cursor: Cursor, events: Sequence[_Event], at: Timestamp) -> bool:
    """Tell whether nothing at or before the look's time can follow."""
    if events and events[-1].time > at:
        return True
    return token_time(cursor.resume_token) >= at


def token_time(token: Any) -> Timestamp:
    """Return the cluster time of a resume token.

    A token is a KeyString in hexadecimal; it begins with the type byte 0x82 and the
    timestamp, big-endian.

    Raises:
        NotSupported: The token has another form.
    """
    if not isinstance(token, str) or not token.startswith("82") or len(token) < 18:
        raise NotSupported(
            "this server's change streams have resume tokens of an unknown form; open the "
            'collection with capture="scan"',
            token=token,
        )
    seconds, counter = struct.unpack(">II", bytes.fromhex(token[2:18]))
    return Timestamp(seconds, counter)
