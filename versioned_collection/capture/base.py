"""The interface of capture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from versioned_collection.core.document import DocumentKey
from versioned_collection.errors import NotSupported
from versioned_collection.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.wire import run, translated

SPILL = 50_000
"""Ids held in memory; more go to the modified set."""


@dataclass(slots=True)
class Noticed:
    """What happened to the collection since the last look.

    Attributes:
        at: The cluster time of this look, whose state has to be read; None where the server
            has no snapshots, then the present is read.
        keys: Ids of documents that may have changed.
        scan: Whether everything has to be compared instead.
        uuid: The identity of the collection.
        settled: Journal entries that a version at this look covers.
        reason: Why everything has to be compared.
    """

    at: Timestamp | None
    keys: set[DocumentKey] = field(default_factory=set)
    scan: bool = False
    uuid: Any = None
    settled: Sequence[ObjectId] = ()
    reason: str = ""

    def position(self) -> dict[str, Any]:
        """Return the fields of the metadata that say how far changes have been noticed."""
        return {"captured": self.at, "uuid": self.uuid, "own": [], "scan": False}


class Capture(ABC):
    """A way to notice changes.

    `look` only reads; whoever called it persists the ids before the position.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @abstractmethod
    def look(self, state: Metadata) -> Noticed:
        """Return what changed since the position in `state`."""

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

    def identity(self) -> Any:
        """Return the UUID of the collection, None where it is missing."""
        info = self.repository.collection_info()
        if info is None:
            return None
        if "uuid" not in info["info"]:
            name, kind = self.repository.name, info.get("type")
            raise NotSupported(
                f"{name!r} is a {kind} now, which has no history; drop it, then "
                "discard_changes() brings the collection back",
                collection=name,
                reason=f"a {kind}",
            )
        return info["info"]["uuid"]
