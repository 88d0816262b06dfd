"""A moment: one cluster time, and what is known of the working copy at that time.

A version never changes, so it does not matter at which moment it is read. One look serves
all reads of the next minute.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bson.timestamp import Timestamp

from versioned_collection.capture.base import Capture
from versioned_collection.capture.change_stream import ChangeStreamCapture
from versioned_collection.core.document import DocumentKey, exceed
from versioned_collection.core.version import VersionId
from versioned_collection.errors import PermissionDenied, SnapshotUnavailable
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import identities
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.working.recovery import holding

SECONDS = 60.0
"""How long a moment is used: a fifth of the time for which servers keep snapshots."""

MOST_MODIFIED = 20_000
MOST_BYTES_MODIFIED = 2 * 1024 * 1024
"""Uncommitted documents, and bytes of their ids, which are part of queries, twice over; beyond
them the replica is read instead of the collection."""

_ATTEMPTS = 10
_PAUSE = 0.5
"""Seconds between two looks of a user who may not take the lease."""

_VERB = "at"


@dataclass(frozen=True, slots=True)
class Moment:
    """The working copy at one cluster time.

    Attributes:
        at: The time.
        head: The version whose documents the replica held.
        modified: Documents that may have differed from it; None where that cannot be told.
        identities: The UUIDs of the collections that were read, by name.
        taken: When this was found out, by the clock of this process.
    """

    at: Timestamp
    head: VersionId
    modified: frozenset[DocumentKey] | None
    identities: Mapping[str, Any]
    taken: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        """Whether the server still knows its state for a good while."""
        return time.monotonic() - self.taken < SECONDS


def look(repository: Repository, *, follow: bool = True) -> Moment:
    """Return the present moment.

    While a large verb moves documents, this waits for its end, or goes on with it where its
    process has died.

    Args:
        repository: The trackers.
        follow: Whether to find out what is uncommitted.

    Raises:
        CollectionNotTracked: There is no history.
        LeaseHeld: The verb took longer than we wait.
        SnapshotUnavailable: One large verb followed another.
    """
    for _ in range(_ATTEMPTS):
        moment = _try(repository, follow)
        if moment is not None:
            return moment
        if _is_moving(repository.metadata.read()):
            _let_it_end(repository)
    raise SnapshotUnavailable("the documents are on the move; try again once other verbs are over")


@contextmanager
def steady(repository: Repository, verb: str) -> Iterator[tuple[VersionId, Timestamp | None]]:
    """Yield the version of HEAD, and the time at which the replica holds its documents.

    Args:
        repository: The trackers.
        verb: What for; a standalone server has no moments, so there the lease is held, and the
            time is None, for the present.
    """
    if repository.has_transactions:
        moment = look(repository, follow=False)
        yield moment.head, moment.at
        return
    with holding(repository, verb) as hold:
        yield hold.state.head, None


def _try(repository: Repository, follow: bool) -> Moment | None:
    """Return the present moment, None where the documents were on the move."""
    trackers = repository.replica, repository.modified, repository.purges
    names = [repository.name, *(tracker.name for tracker in trackers)]
    repository.state()
    found = identities(repository.db, names)
    if repository.replica.name not in found:
        repository.accept_no_replica()
    capture = ChangeStreamCapture(repository)
    at = capture.pin()
    assert at is not None
    state = repository.metadata.read(at)
    if state is None or _is_moving(state):
        return None
    modified = None
    if follow:
        modified = _modified(repository, capture, state, at, found.get(repository.name))
    if identities(repository.db, names) != found:
        return None  # of what was dropped after that time, the server reads nothing
    return Moment(at, state.head, modified, found)


def _let_it_end(repository: Repository) -> None:
    """Wait for the end of a verb, or go on with it where its process has died."""
    try:
        with holding(repository, _VERB):
            pass
    except PermissionDenied:  # somebody who may write has to go on with it
        time.sleep(_PAUSE)


def _is_moving(state: Metadata | None) -> bool:
    """Tell whether a verb is under way whose documents move in several steps."""
    if state is None or state.intent is None:
        return False
    return state.intent.get("phase") == "apply" or state.intent["verb"] in ("drop", "rename")


def _modified(
    repository: Repository,
    capture: Capture,
    state: Metadata,
    at: Timestamp,
    identity: Any,
) -> frozenset[DocumentKey] | None:
    """Return what may differ from HEAD, None where only a comparison could tell."""
    is_followed = repository.capture_mode == "change_stream" and not state.scan
    if not is_followed or identity is None or identity != state.uuid:
        return None
    assert isinstance(capture, ChangeStreamCapture)
    noted: set[DocumentKey] = set()
    for keys in repository.modified.all(at):
        noted.update(keys)
        if _are_too_many(noted):
            return None
    since = capture.ids_until(at, state, _are_too_many)
    if since is None or _are_too_many(noted | since):
        return None
    return frozenset(noted | since)


def _are_too_many(keys: Collection[DocumentKey]) -> bool:
    return exceed(keys, MOST_MODIFIED, MOST_BYTES_MODIFIED)
