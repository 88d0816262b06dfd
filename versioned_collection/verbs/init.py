"""init: start tracking a collection with its present documents as version 0 of main."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Future
from typing import Any

from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.capture.base import Noticed
from versioned_collection.capture.change_stream import ChangeStreamCapture
from versioned_collection.core.document import (
    NULL,
    UNDEFINED,
    DocumentKey,
    document_key,
    has_zero_timestamp,
)
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.core.sums import MODULUS, content_of
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.pipeline import Workers, prefetch
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import (
    by_keys,
    copy_on_server,
    create_collection,
    documents,
    inserting_into,
)
from versioned_collection.errors import (
    CollectionAlreadyInitialised,
    InvalidOperation,
    SnapshotUnavailable,
)
from versioned_collection.history.facts import check_texts, completed
from versioned_collection.observing import Counted, Progress, counted
from versioned_collection.repository.hold import Hold, leased
from versioned_collection.repository.lifecycle import create_trackers, drop_trackers
from versioned_collection.repository.names import check_namespace
from versioned_collection.repository.repository import Repository, new_version_id
from versioned_collection.repository.sharding import is_sharded, shard_replica
from versioned_collection.trackers.base import COMPRESSED, drop_exactly, identities
from versioned_collection.trackers.entries import entry_to_bson
from versioned_collection.working.tracking import (
    check_target,
    first_state,
    refuse_foreign,
    refuse_lost,
    refuse_related,
    refuse_renamed,
)

MAIN = "main"

DEFAULT_MESSAGE = "Initial version"
_BETWEEN_LOOKS = 0.05
"""Seconds between two looks at what moves while the server copies."""


def init(
    repository: Repository,
    message: str | None = None,
    author: str | Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Version:
    """Track the collection.

    Returns:
        The root version.

    Raises:
        CollectionAlreadyInitialised: It is tracked.
        NotSupported: It is a view, a time-series or a capped collection, sharded by something
            other than ``_id``, or in a database of the server's own.
        InvalidArgument: A tracker's name would be too long, or be one of another collection's.
        InvalidOperation: A collection is being renamed to that name.
        FormatMismatch: Something else uses the names of trackers.
        CorruptHistory: There is a history whose metadata is lost.
    """
    message = DEFAULT_MESSAGE if message is None else message
    check_texts(message, author, metadata)
    check_namespace(repository.db.name, repository.name)
    _refuse_tracked(repository)
    check_target(repository)
    refuse_related(repository)
    refuse_foreign(repository)
    with leased(repository, "init") as hold:
        _refuse_tracked(repository)
        refuse_related(repository)  # of two that begin at once, one sees the other's lease
        refuse_renamed(repository)
        refuse_lost(repository)
        drop_trackers(hold)  # what a killed init may have left
        _drop_copies(repository)
        return _Initialiser(hold, counted(progress)).run(message, author, metadata)


def _drop_copies(repository: Repository) -> None:
    """Drop what killed ones have copied."""
    pattern = re.compile(f"^__copy_[0-9a-f]{{8}}_{re.escape(repository.name)}$")
    with translated():
        for name in repository.db.list_collection_names(filter={"name": pattern}):
            repository.db.drop_collection(name)


def _refuse_tracked(repository: Repository) -> None:
    if repository.known_state() is not None:
        raise CollectionAlreadyInitialised(
            f"the collection {repository.name!r} is tracked already; register() records a new "
            "version of it",
            collection=repository.name,
        )


def _is_special(raw: bytes) -> bool:
    """Tell whether a copy changes a document, or leaves it out."""
    return raw[4] in (NULL, UNDEFINED) or has_zero_timestamp(raw)  # _id is stored first


class _Initialiser:
    def __init__(self, hold: Hold, progress: Counted) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._progress = progress
        self._special: list[DocumentKey] = []

    def run(self, message: str, author: Any, metadata: Mapping[str, Any] | None) -> Version:
        repository = self._repository
        info = self._existing_collection()
        repository.metadata.create()  # what times are read from
        with Workers(1) as pool:
            creating = pool.submit(create_trackers, repository, (repository.replica,))
            at, fingerprint, count = self._copy(creating.result)
        version = Version(
            new_version_id(),
            0,
            MAIN,
            (),
            repository.now(),
            message,
            author,
            dict(metadata or {}),
            {"inserted": count, "updated": 0, "deleted": 0},
        )
        version = completed(version, (), 0, fingerprint, repository.codec)

        def start(session: ClientSession | None) -> None:
            self._hold.lease.check()  # an attempt may come long after the one before
            repository.log.insert([entry_to_bson(version)], session)
            self._hold.lease.check()  # matters where there are no transactions
            repository.branches.set(MAIN, version.id, session)
            self._start(version.id, at, info, session)

        try:
            self._hold.transaction(start)
        except driver.OperationFailure:  # of one write, or of several
            _refuse_tracked(repository)  # another owner has taken over and was faster
            raise
        return version

    def _existing_collection(self) -> Mapping[str, Any]:
        repository = self._repository
        info = repository.collection_info()
        if info is None:
            create_collection(repository.db, repository.name)
            info = repository.collection_info()
        if info is None:
            raise InvalidOperation(
                f"the collection {repository.name!r} was dropped while it was being tracked"
            )
        return info

    def _start(
        self,
        head: VersionId,
        at: Timestamp | None,
        info: Mapping[str, Any],
        session: ClientSession | None,
    ) -> None:
        lease = self._hold.lease
        state = first_state(head, MAIN, at, info, self._repository.indexes())
        # nobody notes what is written to a collection that is not tracked yet
        state["scan"] = self._repository.capture_mode == "write_through"
        self._repository.metadata.insert(lease.token, lease.fence, state, session)

    # -- copying -------------------------------------------------------------------------

    def _copy(self, wait: Callable[[], None]) -> tuple[Timestamp | None, int, int]:
        """Fill the replica; return the capture position, the fingerprint and the size.

        Args:
            wait: Returns once the other trackers are there.
        """
        if not self._repository.has_transactions:
            self._copy_on_server()
            self._read(None)
            wait()
            self._copy_again(self._special, None)
            return None, *self._sums()
        capture = ChangeStreamCapture(self._repository)
        start = capture.pin()
        assert start is not None
        try:
            with Workers(1) as pool:
                copying = pool.submit(self._copy_on_server)
                fingerprint, count = self._read(start)
                wait()
                captured = self._notice(capture, start, copying)
                copying.result()
            self._correct(start)
        except SnapshotUnavailable:
            # a collection too large to be copied and read within the snapshot window
            wait()
            at = capture.pin()
            assert at is not None
            captured = self._notice(capture, start, None)
            self._correct(at)
            fingerprint, count = self._read(at)
            self._copy_again(self._special, at)
        return captured, fingerprint, count

    def _copy_on_server(self) -> None:
        """Copy to a name of our own, then rename: a late owner cannot touch another's replica."""
        repository, lease = self._repository, self._hold.lease
        own = f"__copy_{str(lease.token)[-8:]}_{repository.name}"
        empty = identities(repository.db, [repository.replica.name])
        try:
            with translated():
                create_collection(repository.db, own, storageEngine=COMPRESSED)
                into: list[dict[str, Any]] | None = None
                if is_sharded(repository):
                    shard_replica(repository, own)
                    into = inserting_into(own)
                copy_on_server(repository.db, repository.name, own, into)
            lease.check()
            for identity in empty.values():
                drop_exactly(repository.db, repository.replica.name, identity)
            with translated():
                repository.db[own].rename(repository.replica.name)
        except Exception:
            with translated():
                repository.db.drop_collection(own)
            lease.check()  # a successor may have made its replica, or dropped this copy
            raise

    def _read(self, at: Timestamp | None) -> tuple[int, int]:
        """Return the fingerprint and number of the documents; note what a copy changes."""
        repository = self._repository
        total = count = 0
        special: list[DocumentKey] = []
        for batch in prefetch(documents(repository.db, repository.name, at=at)):
            total += content_of(batch)
            count += len(batch)
            special += [document_key(raw) for raw in batch if _is_special(raw)]
            self._progress("copied", len(batch), sum(map(len, batch)))
        self._special = special
        return total % MODULUS, count

    def _sums(self) -> tuple[int, int]:
        """Return the fingerprint and number of the documents in the replica.

        They need not be those of the collection, where others write to it and nothing shows them
        as they were at one time.
        """
        total = count = 0
        for batch in self._repository.replica.scan():
            total += content_of(batch)
            count += len(batch)
        return total % MODULUS, count

    def _notice(
        self, capture: ChangeStreamCapture, since: Timestamp, copying: Future[None] | None
    ) -> Timestamp:
        """Add what moves while the server copies to the modified set.

        To the server, what it copies are entries of the oplog to look through, which would
        take long afterwards.

        Args:
            capture: How changes are noticed.
            since: The time from which on.
            copying: The copy, None where it is over.

        Returns:
            The time up to which changes are noticed.
        """
        while True:
            is_over = copying is None or copying.done()
            noticed = Noticed(capture.pin())
            assert noticed.at is not None
            capture.drain_since(since, noticed)
            if noticed.scan:
                raise InvalidOperation(
                    "the collection was replaced or dropped while it was being tracked; try again",
                    reason=noticed.reason,
                )
            self._repository.modified.add(noticed.keys)
            since = noticed.at
            if is_over:
                return since
            assert copying is not None
            futures.wait([copying], timeout=_BETWEEN_LOOKS)

    def _correct(self, at: Timestamp) -> None:
        """Bring the documents that moved while the server copied to their state at `at`."""
        for keys in (self._special, *self._repository.modified.all()):
            for batch in portions(keys, len, IDS_PER_READ, BYTES_OF_IDS):
                self._copy_again(batch, at)

    def _copy_again(self, keys: list[DocumentKey], at: Timestamp | None) -> None:
        repository = self._repository
        for portion, present in by_keys(repository.db, repository.name, keys, at=at):
            self._hold.lease.check()
            repository.replica.put([*portion, *present], list(present.values()))
