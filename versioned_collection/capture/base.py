"""The interface of capture."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from versioned_collection.core.document import DocumentKey
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import run
from versioned_collection.repository.refusals import no_collection
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata

T = TypeVar("T")

SPILL = 50_000
"""Ids held in memory; more go to the modified set."""


@dataclass(slots=True)
class Noticed:
    """What happened to the collection since the last look.

    A look may still be under way: `arriving` goes on with it, `complete` ends it.

    Attributes:
        at: The cluster time of this look, whose state has to be read; None where the server
            has no snapshots, then the present is read.
        keys: Ids of documents that may have changed.
        scan: Whether everything has to be compared instead.
        uuid: The identity of the collection.
        options: How it was created, or changed since; None where it is missing.
        settled: Journal entries that a version at this look covers.
        reason: Why everything has to be compared.
        is_blind: Whether writes of other clients pass it by, unless everything is compared.
    """

    at: Timestamp | None
    keys: set[DocumentKey] = field(default_factory=set)
    scan: bool = False
    uuid: Any = None
    options: Mapping[str, Any] | None = None
    settled: Sequence[ObjectId] = ()
    reason: str = ""
    is_blind: bool = False
    _source: Iterator[list[DocumentKey]] | None = None
    _is_complete: threading.Event | None = None

    def begin(self, source: Iterator[list[DocumentKey]]) -> None:
        """Set what adds to `keys`, until they spill, and yields what it adds."""
        self._is_complete = threading.Event()
        self._source = _telling(source, self._is_complete)

    def arriving(self) -> Iterator[list[DocumentKey]]:
        """Iterate over `keys` in sorted lists while a thread goes on with the look.

        When it is over, `scan` may have been set, and then the ids mean nothing; and what
        spilled into the modified set does not come by here.
        """
        if self._source is None:
            yield sorted(self.keys)
            return
        source, self._source = self._source, None
        for fresh in prefetch(source, depth=0):
            yield sorted(fresh)

    def complete(self) -> Noticed:
        """Notice the rest."""
        source, self._source = self._source, None
        for _ in source or ():
            pass
        return self

    def wait(self) -> None:
        """Wait until the look is over, in whatever thread it goes on."""
        if self._is_complete is not None:
            self._is_complete.wait()

    def position(self) -> dict[str, Any]:
        """Return the fields of the metadata that say how far changes have been noticed.

        After a look that did not see all of them, other modes go on where they were.
        """
        position = {"uuid": self.uuid, "scan": False}
        if self.sees_all:
            position |= {"captured": self.at, "own": []}
        if self.options is not None:
            position["options"] = self.options
        return position

    @property
    def sees_all(self) -> bool:
        """Whether no change passes it by, whoever made it."""
        return self.scan or not self.is_blind


def _telling(source: Iterator[T], event: threading.Event) -> Iterator[T]:
    try:
        yield from source
    finally:
        event.set()


class Capture(ABC):
    """A way to notice changes.

    `look` only reads; whoever called it persists the ids before the position.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @abstractmethod
    def look(self, state: Metadata) -> Noticed:
        """Begin to notice what changed since the position in `state`."""

    def pin(self) -> Timestamp | None:
        """Return a cluster time behind every acknowledged write, readable as a snapshot."""
        if not self.repository.has_transactions:
            return None
        command = {
            "find": self.repository.metadata.name,
            "limit": 1,
            "projection": {"_id": 1},
            "readConcern": {
                "level": "snapshot",
                "afterClusterTime": self.repository.operation_time(),
            },
        }
        with translated():
            time: Timestamp = run(self.repository.db, command)["cursor"]["atClusterTime"]
        return time

    def identity(self) -> tuple[Any, Mapping[str, Any] | None]:
        """Return the UUID and the options of the collection, None where it is missing.

        Raises:
            NotSupported: Something else has taken its place: a view, a time-series or a capped
                collection.
            CorruptHistory: The replica is missing, though HEAD has documents.
        """
        found = self.repository.collection_infos()
        if self.repository.replica.name not in found:
            self.repository.accept_no_replica()
        info = found.get(self.repository.name)
        if info is None:
            return None, None
        if "uuid" not in info["info"]:
            raise no_collection(self.repository.name, info.get("type"))
        options = info.get("options", {})
        if options.get("capped"):  # snapshots of it cannot be read, and documents go unnoticed
            raise no_collection(self.repository.name, "capped collection")
        return info["info"]["uuid"], options
