"""A working copy and the trackers of its repository, opened together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.database import Database

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.spans import LEAST_VERSIONS, Shortcuts
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId, fingerprint_text
from versioned_collection.driver.catalog import list_collections, list_indexes
from versioned_collection.driver.server_errors import NOT_ON_VIEW, translated
from versioned_collection.driver.wire import DOUBLE, for_trackers
from versioned_collection.errors import (
    InvalidArgument,
    NotSupported,
)
from versioned_collection.repository.refusals import no_collection, not_as_of_head, not_tracked
from versioned_collection.trackers.base import Tracker
from versioned_collection.trackers.branches import BranchesCollection
from versioned_collection.trackers.checks import ChecksCollection
from versioned_collection.trackers.conflicts import ConflictsCollection
from versioned_collection.trackers.deltas import DeltasCollection
from versioned_collection.trackers.incoming import IncomingCollection
from versioned_collection.trackers.journal import JournalCollection
from versioned_collection.trackers.lease import (
    DEFAULT_SECONDS,
    DEFAULT_WAIT_SECONDS,
    Lease,
    LeaseCollection,
)
from versioned_collection.trackers.log import LogCollection
from versioned_collection.trackers.metadata import Metadata, MetadataCollection
from versioned_collection.trackers.modified import ModifiedCollection
from versioned_collection.trackers.operations import OperationsCollection
from versioned_collection.trackers.overlays import OverlaysCollection
from versioned_collection.trackers.purges import PurgesCollection
from versioned_collection.trackers.remotes import RemotesCollection
from versioned_collection.trackers.replica import ReplicaCollection
from versioned_collection.trackers.rewritten import RewrittenCollection
from versioned_collection.trackers.spans import SpansCollection
from versioned_collection.trackers.stash import StashCollection
from versioned_collection.trackers.tags import TagsCollection

CAPTURE_MODES = ("auto", "change_stream", "write_through", "scan")

_OF_A_DOUBLE = 600.0
"""Seconds that a lease lasts in a test double."""


class Repository:
    """The trackers of one collection: its own, and those that all working copies share.

    The shared ones are called after the main working copy, which is this collection itself until
    `find_home` finds that it is a worktree of another one.

    Args:
        db: The database.
        name: The tracked collection's name.
        capture: How changes are noticed: ``auto`` takes the change stream where the server
            has one, and write-through elsewhere.
        lease_seconds: How long a lease lasts without a heartbeat.
        lease_wait_seconds: How long a verb waits for another one to finish.
        codec: How values come from people, and go to them.

    Attributes:
        home: The name of the main working copy.
    """

    def __init__(
        self,
        db: Database[Any],
        name: str,
        *,
        capture: str = "auto",
        lease_seconds: float = DEFAULT_SECONDS,
        lease_wait_seconds: float = DEFAULT_WAIT_SECONDS,
        codec: Codec = PLAIN,
    ) -> None:
        if capture not in CAPTURE_MODES:
            raise InvalidArgument(
                f"capture is one of {', '.join(CAPTURE_MODES)}, not {capture!r}", capture=capture
            )
        if not 0.1 <= lease_seconds <= 3600 or lease_wait_seconds < 0:
            raise InvalidArgument(
                "lease_seconds lies between 0.1 and 3600, lease_wait_seconds is not negative",
                lease_seconds=lease_seconds,
                lease_wait_seconds=lease_wait_seconds,
            )
        db = self.db = for_trackers(db)
        self.name = name
        self.requested_capture = capture
        self.lease_seconds = lease_seconds
        self.lease_wait_seconds = lease_wait_seconds
        self.codec = codec
        self.own_checks: dict[str, tuple[Callable[..., Any], str | None]] = {}
        self.modified = ModifiedCollection(db, name)
        self.journal = JournalCollection(db, name)
        self.replica = ReplicaCollection(db, name)
        self.stash = StashCollection(db, name)
        self.conflicts = ConflictsCollection(db, name)
        self.operations = OperationsCollection(db, name)
        self.overlays = OverlaysCollection(db, name)
        self._share(name)

    def _share(self, home: str) -> None:
        """Open the trackers that the working copies of `home` share."""
        db, name = self.db, self.name
        self.home = home
        self.metadata = MetadataCollection(db, home, None if home == name else name)
        self.log = LogCollection(db, home, self.codec)
        self.branches = BranchesCollection(db, home)
        self.tags = TagsCollection(db, home)
        self.deltas = DeltasCollection(db, home)
        self.spans = SpansCollection(db, home)
        self.deltas.beside = self.spans
        self.checks = ChecksCollection(db, home)
        self.incoming = IncomingCollection(db, home, self.codec)
        self.remotes = RemotesCollection(db, home)
        self.purges = PurgesCollection(db, home)
        self.rewritten = RewrittenCollection(db, home)
        self.leases = LeaseCollection(db, home)
        self.turns = LeaseCollection(db, self.incoming.name)

    def find_home(self) -> bool:
        """Look whether the collection is a worktree, and of which one.

        Returns:
            Whether that is another one than was known.
        """
        home = MetadataCollection(self.db, self.name).points_to()
        if home is None or MetadataCollection(self.db, home, self.name).read() is None:
            home = self.name  # what the note announces is being made, or was never finished
        if home == self.home:
            return False
        self._share(home)
        return True

    def beside(self, name: str) -> Repository:
        """Return another working copy of this repository."""
        other = Repository(
            self.db,
            name,
            capture=self.requested_capture,
            lease_seconds=self.lease_seconds,
            lease_wait_seconds=self.lease_wait_seconds,
            codec=self.codec,
        )
        other._share(self.home)
        return other

    def seen_by(self, codec: Codec) -> Repository:
        """Return the same for a collection with other codec options."""
        if codec == self.codec:
            return self
        other = copy(self)
        other.codec = codec
        other.log = LogCollection(self.db, self.home, codec)
        other.incoming = IncomingCollection(self.db, self.home, codec)
        return other

    @property
    def is_main(self) -> bool:
        """Whether this is the main working copy, not a worktree."""
        return self.home == self.name

    @property
    def trackers(self) -> tuple[Tracker, ...]:
        """All trackers, the metadata last."""
        return (
            self.log,
            self.branches,
            self.tags,
            self.deltas,
            self.spans,
            *self.own_trackers,
            self.checks,
            self.incoming,
            self.remotes,
            self.purges,
            self.rewritten,
            self.metadata,
        )

    @property
    def own_trackers(self) -> tuple[Tracker, ...]:
        """The trackers that belong to this working copy alone."""
        return (
            self.modified,
            self.journal,
            self.replica,
            self.stash,
            self.conflicts,
            self.operations,
            self.overlays,
        )

    @cached_property
    def _hello(self) -> Mapping[str, Any]:
        """What the server said of itself when it was asked first."""
        with translated():
            hello: Mapping[str, Any] = self.db.client.admin.command("hello")
        return hello

    @property
    def has_transactions(self) -> bool:
        """Whether the server has transactions, snapshots and change streams."""
        return "setName" in self._hello or self.is_behind_mongos

    @property
    def is_behind_mongos(self) -> bool:
        """Whether the server is the router of a sharded cluster."""
        return self._hello.get("msg") == "isdbgrid"

    @property
    def lease_period(self) -> float:
        """How many seconds a lease lasts without a heartbeat.

        In a test double commands wait for one another, the heartbeat for a write of many
        documents, too; and nobody is there who could take over.
        """
        is_usual = self.lease_seconds == DEFAULT_SECONDS
        return _OF_A_DOUBLE if is_usual and DOUBLE in self._hello else self.lease_seconds

    @property
    def has_views(self) -> bool:
        """Whether the server has views; a test double has none."""
        return DOUBLE not in self._hello

    @property
    def capture_mode(self) -> str:
        """How changes are noticed: ``change_stream``, ``write_through`` or ``scan``.

        Raises:
            NotSupported: A change stream is wanted of a server that has none.
        """
        if self.requested_capture == "change_stream" and not self.has_transactions:
            raise NotSupported(
                "this server has no change streams, as it is no replica set; open the collection "
                'with capture="auto" or "scan"',
                capture=self.requested_capture,
            )
        if self.requested_capture != "auto":
            return self.requested_capture
        return "change_stream" if self.has_transactions else "write_through"

    def now(self) -> datetime:
        """Return the server's time (UTC, milliseconds)."""
        with translated():
            hello = self.db.client.admin.command("hello")
        time: datetime = hello["localTime"]
        return time if time.tzinfo else time.replace(tzinfo=timezone.utc)

    def operation_time(self) -> Timestamp:
        """Return a cluster time at or behind every write acknowledged so far.

        A router knows what passed through itself; what others acknowledged, the shards know, so
        those that have parts of the collection are asked, and the one that has the state.
        """
        if not self.is_behind_mongos:
            return self._time_after({"ping": 1})
        asked = {"limit": 1, "projection": {"_id": 1}, "singleBatch": True}
        return max(
            self._time_after({"find": name, **asked}) for name in (self.name, self.metadata.name)
        )

    def _time_after(self, command: Mapping[str, Any]) -> Timestamp:
        with translated():
            time: Timestamp = self.db.command(dict(command))["operationTime"]
        return time

    def collection_info(self) -> Mapping[str, Any] | None:
        """Return the server's entry for the tracked collection, None where it is missing."""
        return self.collection_infos().get(self.name)

    def collection_infos(self) -> dict[str, Mapping[str, Any]]:
        """Return the server's entries for the tracked collection and its replica, by name."""
        names = {"$in": [self.name, self.replica.name]}
        with translated():
            return {info["name"]: info for info in list_collections(self.db, {"name": names})}

    def accept_no_replica(self) -> None:
        """Make sure that HEAD has no documents, as there is no replica that holds them.

        Raises:
            CorruptHistory: It has some.
        """
        state = self.known_state()
        head = None if state is None else self.log.get(state.head)
        if head is not None and head.fingerprint != fingerprint_text(0):
            raise not_as_of_head(self.name, self.replica.name)

    def indexes(self) -> list[dict[str, Any]] | None:
        """Return the indexes of the tracked collection beside that of its ids.

        Returns:
            Each as `create_indexes` takes it; None where the collection is missing.

        Raises:
            NotSupported: A view has taken its place.
        """
        with translated():
            try:
                found = list_indexes(self.db, self.name)
            except driver.OperationFailure as error:
                if error.code == NOT_ON_VIEW:
                    raise no_collection(self.name, "view") from error
                raise
        if not found:
            return None
        return [
            {name: value for name, value in index.items() if name not in ("v", "ns")}
            for index in found
            if index["name"] != "_id_" and not index.get("clustered")
        ]

    def state(self) -> Metadata:
        """Return the state of the working copy.

        Raises:
            CollectionNotTracked: There is none.
        """
        state = self.known_state()
        if state is None:
            raise not_tracked(self.name)
        return state

    def known_state(self) -> Metadata | None:
        """Return the state of the working copy, None when it is not tracked.

        A collection that became a worktree after it was opened, or ceased to be one, is found
        out.
        """
        state = self.metadata.read()
        if state is None and self.find_home():
            state = self.metadata.read()
        return state

    def labels_as_of(self, state: Metadata) -> ObjectId | None:
        """Return what changes whenever versions get other labels.

        Args:
            state: The state of this working copy, which says it where it is the main one.
        """
        main = state if self.is_main else self.metadata.read_main()
        return None if main is None else main.labels

    def way(self, path: Path) -> Path:
        """Return a path with spans in the place of versions, as far as there are such.

        Only for whoever holds the lease, without which spans may go at any time, and asks
        for what differs between the ends of the path. What is the same there, though it
        changed on the way, may be left out.
        """
        if len(path) < LEAST_VERSIONS:
            return path
        ends = [*path.backward, *path.forward]
        found = self.spans.ending_at(ends)
        while found:
            way, used = Shortcuts(found).way(path)
            damaged = self.spans.damaged(used) if used else set()
            if not damaged:
                return way
            found = [span for span in found if span.id not in damaged]
        return path

    def has_conflicts(self, state: Metadata | None) -> bool:
        """Tell whether conflicts of the merge under way wait for decisions."""
        merge = None if state is None else state.merge
        return merge is not None and self.conflicts.has_any(merge["id"])

    @contextmanager
    def receiving(self, verb: str, *, waits: bool = True) -> Iterator[Lease]:
        """Be the only transfer that brings versions, which takes no lease of other verbs.

        Whoever takes both takes the lease later, or does not wait here.

        Args:
            verb: What it is for.
            waits: Whether another transfer is waited for.

        Raises:
            LeaseHeld: Another one is under way, for longer than we wait.
        """
        wait = self.lease_wait_seconds if waits else 0.0
        turn = self.turns.acquire(verb, self.lease_period, wait, None)
        try:
            turn.keep()
            yield turn
        finally:
            turn.release()


def new_version_id() -> VersionId:
    """Return a fresh version id."""
    return ObjectId()
