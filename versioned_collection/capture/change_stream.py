"""Capture by the change stream, read on demand up to one cluster time.

The position is a cluster time, not a resume token: it says the same (resume behind this
point), survives events that end a stream, and is the very time at which a version was
read. Where the server cannot resume, the collection is compared in full.
"""

from __future__ import annotations

import logging
import struct
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

from bson.binary import Binary
from bson.timestamp import Timestamp
from pymongo import errors as driver

from versioned_collection.capture.base import SPILL, Capture, Noticed
from versioned_collection.capture.replies import replies
from versioned_collection.core.document import DocumentKey, document_key, elements
from versioned_collection.driver.server_errors import reason_of
from versioned_collection.driver.wire import Cursor, run
from versioned_collection.errors import NotSupported
from versioned_collection.trackers.metadata import Metadata, OwnCommit

_log = logging.getLogger(__name__)

_DOCUMENT_EVENTS = frozenset((b"insert", b"update", b"replace", b"delete"))
_ENDING_EVENTS = frozenset((b"drop", b"rename", b"dropDatabase", b"invalidate"))
_size = struct.Struct("<i")
_time_number = struct.Struct("<Q")
"""A timestamp as it is stored: the increment in the low half, the seconds in the high one."""
_HISTORY_LOST = frozenset((280, 286, 222, 234, 260, 50811, 10334))
_MORE_THAN_A_SCAN = 2.0
"""Events per document of the collection beyond which comparing everything is cheaper."""
_LEAST_EVENTS_FOR_SCAN = 100_000


class ChangeStreamCapture(Capture):
    """Reads the events since the last look; nothing has to run in between."""

    def look(self, state: Metadata) -> Noticed:
        """Begin to notice what changed since the position in `state`."""
        uuid, options = self.identity()
        at = self.pin()
        assert at is not None
        noticed = Noticed(at, uuid=uuid, options=options)
        if state.scan or state.captured is None:
            noticed.scan, noticed.reason = True, "changes were not followed"
        elif uuid != state.uuid:
            noticed.scan, noticed.reason = True, "the collection was replaced or dropped"
        else:
            noticed.begin(self._drain(state.captured, state.own, noticed))
        return noticed

    def drain_since(self, start: Timestamp, noticed: Noticed) -> None:
        """Add to `noticed` what happened behind `start` and up to its own time."""
        noticed.begin(self._drain(start, (), noticed))
        noticed.complete()

    def _drain(
        self, start: Timestamp, own: Sequence[OwnCommit], noticed: Noticed
    ) -> Iterator[list[DocumentKey]]:
        """Add to `noticed`, and iterate over the ids until they spill."""
        has_spilled = False
        try:
            for events in self._events(start, own, noticed):
                fresh = self._take(events, noticed)
                if noticed.scan:
                    return
                if not has_spilled:
                    yield fresh
                if len(noticed.keys) > SPILL:
                    has_spilled = True
                    self.repository.modified.add(noticed.keys)
                    noticed.keys.clear()
        except driver.OperationFailure as error:
            if not _is_history_lost(error):
                raise
            noticed.scan, noticed.reason = True, f"the server cannot resume: {reason_of(error)}"
            name, seconds = self.repository.name, _age(start, noticed.at)
            _log.warning(
                "what changed in %s since the last look, %d s ago, is lost (the oplog is too "
                "short, or was replaced): all documents are compared",
                name,
                seconds,
                extra={"collection": name, "seconds": seconds, "server_code": error.code},
            )

    def ids_until(
        self, at: Timestamp, state: Metadata, are_too_many: Callable[[set[DocumentKey]], bool]
    ) -> set[DocumentKey] | None:
        """Return the documents that changed behind the position in `state`, and up to a time.

        Nothing is stored, so this takes no lease.

        Args:
            at: The time.
            state: The state of the working copy at that time.
            are_too_many: Tells of some documents whether nothing is to be told of as many.

        Returns:
            Their ids; None where there are too many, or where only a comparison could tell.
        """
        noticed = Noticed(at)
        if state.captured is None:
            return None
        try:
            for events in self._events(state.captured, state.own, noticed):
                self._take(events, noticed)
                if noticed.scan or are_too_many(noticed.keys):
                    return None
        except driver.OperationFailure as error:
            if not _is_history_lost(error):
                raise
            return None
        return None if noticed.scan else noticed.keys

    def named_at(self, since: Timestamp) -> Timestamp | None:
        """Return when the collection got its name by a rename behind a time, if it did."""
        with closing(self._remembered(since)) as events:
            for kind, time, _ in events:
                if kind == b"rename":
                    return Timestamp(time >> 32, time & 0xFFFFFFFF)
        return None

    def written_until_renamed(self, since: Timestamp) -> set[DocumentKey] | None:
        """Return the documents written behind a time, before the collection lost its name.

        None where that is not to be told: there are too many, or the server has forgotten.
        """
        keys = set[DocumentKey]()
        with closing(self._remembered(since)) as events:
            for kind, _, raw in events:
                if kind in _ENDING_EVENTS:
                    return keys if kind == b"rename" else None
                if kind in _DOCUMENT_EVENTS:
                    keys.add(document_key(raw))
                if len(keys) > SPILL:
                    return None
        return None

    def _remembered(self, since: Timestamp) -> Generator[_Event, None, None]:
        """Iterate over the events behind a time; none where the server has forgotten."""
        noticed = Noticed(self.pin())
        try:
            with closing(self._events(since, (), noticed)) as batches:
                yield from chain.from_iterable(batches)
        except driver.OperationFailure as error:
            if not _is_history_lost(error):
                raise

    @staticmethod
    def _take(events: Iterable[_Event], noticed: Noticed) -> list[DocumentKey]:
        """Add events to `noticed`; return the ids that are new."""
        fresh = []
        for kind, _, raw in events:
            if kind in _DOCUMENT_EVENTS:
                key = document_key(raw)
                if key not in noticed.keys:
                    noticed.keys.add(key)
                    fresh.append(key)
            elif kind in _ENDING_EVENTS:
                noticed.scan, noticed.reason = True, f"the collection met a {kind.decode()!r}"
        return fresh

    def _events(
        self, start: Timestamp, own: Sequence[OwnCommit], noticed: Noticed
    ) -> Generator[list[_Event], None, None]:
        """Iterate over the events behind `start` up to the time of the look."""
        assert noticed.at is not None
        last = _number(noticed.at)
        # several shards may have written at the same time, and one of them is the first to say so
        passed = last + self.repository.is_behind_mongos
        count = 0
        with closing(replies(self.repository, start, _stages(own))) as stream:
            for cursor in stream:
                events = list(map(_event, cursor.documents))
                count += len(events)
                yield [event for event in events if event.time <= last]
                if not cursor.id or _reached(cursor, events, last, passed):
                    return
                if count > _LEAST_EVENTS_FOR_SCAN and count > self._limit():
                    noticed.scan, noticed.reason = True, "comparing everything is cheaper"
                    return

    def _limit(self) -> float:
        stored = run(self.repository.db, {"count": self.repository.name})["n"]
        return float(_MORE_THAN_A_SCAN * stored)


def _stages(own: Sequence[OwnCommit]) -> list[dict[str, Any]]:
    """Return what leaves our own commits out of a stream, and all that does not count here."""
    match = [{"$match": {"$and": [{"$nor": [one]} for one in _events_of(own)]}}] if own else []
    return [*match, {"$project": {"documentKey._id": 1, "operationType": 1, "clusterTime": 1}}]


def _events_of(commits: Iterable[OwnCommit]) -> list[dict[str, Any]]:
    """Return conditions, one of which the events of each commit meet, and those of no other.

    Each has to be negated by itself: mongod 6.0 refuses a ``$nor`` of several (it makes an empty
    one of what it can tell from the oplog).
    """
    times: defaultdict[Binary, list[Timestamp]] = defaultdict(list)
    for commit in commits:
        times[commit.session].append(commit.time)
    return [{"clusterTime": {"$in": some}, "lsid.id": session} for session, some in times.items()]


def _is_history_lost(error: driver.OperationFailure) -> bool:
    """Tell whether the server cannot resume where a look ended."""
    return error.code in _HISTORY_LOST or error.has_error_label("NonResumableChangeStreamError")


class _Event(NamedTuple):
    """The parts of a change event that count here.

    Attributes:
        kind: The operation type.
        time: The cluster time, as a number.
        key: The bytes of the document key, empty for events of the whole collection.
    """

    kind: bytes
    time: int
    key: bytes


_KIND, _TIME, _KEY = b"\x02operationType\0", b"\x11clusterTime\0", b"\x03documentKey\0"


def _event(raw: bytes) -> _Event:
    """Return the parts of an event, found by their names in the order of today's servers."""
    kind = raw.find(_KIND)
    time = raw.find(_TIME, kind)
    key = raw.find(_KEY, kind)
    if kind < 0 or time < 0 or -1 < key < time or not _in_front(raw, kind):
        return _event_in_any_order(raw)
    kind += len(_KIND)
    text = raw[kind + 4 : kind + 3 + _size.unpack_from(raw, kind)[0]]
    moment: int = _time_number.unpack_from(raw, time + len(_TIME))[0]
    if key < 0:
        return _Event(text, moment, b"")
    key += len(_KEY)
    return _Event(text, moment, raw[key : key + _size.unpack_from(raw, key)[0]])


def _in_front(raw: bytes, position: int) -> bool:
    """Tell whether an element stands right behind the ``_id``, which comes first."""
    return raw[4:9] == b"\x03_id\0" and 9 + _size.unpack_from(raw, 9)[0] == position


def _event_in_any_order(raw: bytes) -> _Event:
    parts = {name: raw[start:end] for _, name, start, end in elements(raw)}
    time: int = _time_number.unpack(parts[b"clusterTime"])[0]
    return _Event(parts[b"operationType"][4:-1], time, parts.get(b"documentKey", b""))


def _age(since: Timestamp, now: Timestamp | None) -> int:
    return 0 if now is None else int(now.time - since.time)


def _number(time: Timestamp) -> int:
    return int(time.time << 32 | time.inc)


def _reached(cursor: Cursor, events: Sequence[_Event], last: int, passed: int) -> bool:
    """Tell whether nothing at or before the look's time can follow.

    Args:
        cursor: Where the stream stands.
        events: Its latest events.
        last: The look's time.
        passed: What the stream's position says once everything at that time has come.
    """
    if events and events[-1].time > last:
        return True
    token = cursor.resume_token or {}
    return _number(token_time(token.get("_data"))) >= passed


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
