"""A remote that is another MongoDB deployment, or another database of the same one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from versioned_collection.committing.recreating import lasting_options
from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.core.tree import Node, Path
from versioned_collection.core.version import Version, VersionId
from versioned_collection.documents.moves import states_along
from versioned_collection.driver.wire import documents
from versioned_collection.errors import FormatMismatch, LeaseHeld, TransferRefused
from versioned_collection.history.labels import RemoteNames
from versioned_collection.merges.rebase_plan import waiting
from versioned_collection.observing import Progress
from versioned_collection.remotes.arrival import arrive
from versioned_collection.remotes.base import Changes, Refs, Setup, Update
from versioned_collection.remotes.checked import UNREADABLE, refused
from versioned_collection.remotes.founding import MongoFounding
from versioned_collection.remotes.left_behind import left_behind
from versioned_collection.remotes.staging import Staging
from versioned_collection.repository.refusals import not_tracked
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.trackers.purges import Resealed, Tombstone

T = TypeVar("T")
P = TypeVar("P", Node, Version)

_VERSIONS_PER_READ = 500
_ATTEMPTS = 20
_PAUSE = 0.25


class MongoRemote:
    """The other side as the trackers of another collection; see `Remote`.

    Args:
        repository: The trackers.
        progress: Told how many documents were written in its working copy.
    """

    def __init__(self, repository: Repository, progress: Progress | None = None) -> None:
        self.repository = repository
        self.address = address_of(repository)
        self._progress = progress
        self._names = RemoteNames(repository)

    # -- giving --------------------------------------------------------------------------

    def refs(self) -> Refs | None:
        """Return where its names point, None where it is not tracked."""
        try:
            return self._refs()
        except FormatMismatch:
            raise
        except UNREADABLE as error:
            raise TransferRefused(
                f"the names of branches and tags at {self.address} cannot be read ({error}); "
                "verify() there lists what is wrong",
                version=None,
                reason=str(error),
            ) from error

    def _refs(self) -> Refs | None:
        repository = self.repository
        state = repository.metadata.read()
        if state is None:
            return None
        branches, tags = repository.branches.all(), dict(repository.tags.documents())
        named = {state.head, *branches.values(), *(tag["version"] for tag in tags.values())}
        checksums = repository.log.checksums(list(named))
        labels = repository.labels_as_of(state)
        behind, plan = left_behind(repository, state), waiting(state)
        current = state.branch if plan is None else plan.branch
        return Refs(branches, tags, checksums, str(current), labels, behind)

    def walk(self, versions: Sequence[VersionId], count: int) -> list[Node]:
        """Return the places in the tree of versions, and of about `count` before each."""
        log = self.repository.log
        nodes = _readable(versions, lambda some: self._told(log.nodes(some)))
        with suppress(*UNREADABLE):  # they are asked for by their ids if they are needed at all
            nodes += self._told(log.nodes_before(nodes, count))
        return nodes

    def entries(self, versions: Sequence[VersionId]) -> Iterator[list[Version]]:
        """Iterate over the log entries of versions, in bounded lists, in no particular order."""
        log = self.repository.log
        for start in range(0, len(versions), _VERSIONS_PER_READ):
            some = versions[start : start + _VERSIONS_PER_READ]
            try:
                yield from map(self._told, log.in_replies(some))
            except UNREADABLE:
                _name_unreadable(some, log.get_many)
                raise

    def _told(self, found: Sequence[P]) -> list[P]:
        """Return versions under the labels by which others know them."""
        return list(map(self._as_told, found))

    def _as_told(self, one: P) -> P:
        branch = self._names.told(one.id, one.branch)
        return one if branch == one.branch else replace(one, branch=branch)

    def changes(self, versions: Sequence[VersionId]) -> Iterator[Changes]:
        """Iterate over the changes of versions, one version after the other, in bounded lists."""
        return self.repository.deltas.of_versions(versions, _unreadable_change)

    def content(self, version: VersionId) -> Iterator[list[bytes]]:
        """Iterate over all documents of a version, in bounded lists.

        Raises:
            LeaseHeld: The other side's documents are on the move for too long.
        """
        repository = self.repository
        at, state = self._settled_moment()
        path = self._path(state.head, version)
        moved: set[DocumentKey] = set()
        try:
            for batch in states_along(repository, path, at):
                moved.update(key for key, _ in batch)
                yield [raw for _, raw in batch if raw is not None]
        except UNREADABLE as error:
            raise refused(version, f"its documents cannot be restored ({error})") from error
        for raws in documents(repository.db, repository.replica.name, at=at):
            yield [raw for raw in raws if document_key(raw) not in moved] if moved else raws

    def _path(self, start: VersionId, end: VersionId) -> Path:
        try:
            return self.repository.log.ancestry().path(start, end)
        except UNREADABLE as error:
            raise refused(end, f"no way leads to it from what is checked out ({error})") from error

    def _settled_moment(self) -> tuple[Timestamp | None, Metadata]:
        """Return a time at which no large change of the replica was under way, and the state."""
        repository = self.repository
        for _ in range(_ATTEMPTS):
            at = repository.operation_time() if repository.has_transactions else None
            state = repository.metadata.read(at)
            if state is None:
                raise not_tracked(repository.name)
            if state.intent is None or state.intent.get("phase") != "apply":
                return at, state
            time.sleep(_PAUSE)
        raise LeaseHeld(
            f"the documents at {self.address} are on the move; try again later, or open the "
            "collection there so that what a killed process left is settled"
        )

    def setup(self) -> Setup:
        """Return how the collection was created, also where somebody dropped it since."""
        repository = self.repository
        info = repository.collection_info()
        state = repository.known_state() if info is None else None
        if state is not None:
            return Setup(lasting_options(state.options), state.indexes)
        options = (info or {}).get("options", {})
        return Setup(lasting_options(options), repository.indexes() or ())

    def checksums(self, versions: Sequence[VersionId]) -> dict[VersionId, str]:
        """Return the checksums of those of these versions that the log names."""
        return self.repository.log.checksums(versions)

    def purges(self) -> list[Tombstone]:
        """Return what is kept of what was purged from its history."""
        with self._readable_purges():
            return self.repository.purges.tombstones()

    def gone(self, known: Collection[ObjectId]) -> Iterator[dict[VersionId, str]]:
        """Iterate over the checksums that purges gave versions which the log names no more."""
        later: set[VersionId] = set()
        for tombstone in self.purges():  # the latest first
            if tombstone.id in known:
                continue
            for entries in self._resealed(tombstone.id):
                given = {one.version: one.new for one in entries if one.version not in later}
                here = self.repository.log.among(given)
                later.update(given.keys() - here)
                yield {one: sum_ for one, sum_ in given.items() if one not in here}

    def _resealed(self, purge: ObjectId) -> Iterator[list[Resealed]]:
        with self._readable_purges():
            yield from self.repository.purges.checksums(purge)

    @contextmanager
    def _readable_purges(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            raise TransferRefused(
                f"what was purged at {self.address} cannot be read ({error})",
                version=None,
                reason=str(error),
            ) from error

    def replaced(self, checksums: Collection[str]) -> set[str]:
        """Return those of these checksums that versions had before a purge."""
        return self.repository.purges.replaced(checksums)

    # -- taking --------------------------------------------------------------------------

    def known(self, versions: Sequence[VersionId]) -> set[VersionId]:
        """Return those of these versions that the log names."""
        return self.repository.log.among(versions)

    @contextmanager
    def inbox(self) -> Iterator[Staging]:
        """Take versions in, until their update has been made."""
        with self.repository.receiving("transfer") as turn:
            yield Staging(self.repository, turn.check)

    def found(self, setup: Setup, tip: Version) -> MongoFounding:
        """Begin to make an untracked collection a copy in which `tip` is checked out."""
        return MongoFounding(self.repository, setup, tip, self._progress)

    def update(self, update: Update) -> None:
        """Make an update true, all of it or nothing."""
        arrive(self.repository, update, self._progress)


def _readable(
    versions: Sequence[VersionId], read: Callable[[list[VersionId]], list[T]]
) -> list[T]:
    """Return what is read of versions; name the one that cannot be read."""
    try:
        return read(list(versions))
    except UNREADABLE:
        _name_unreadable(versions, read)
        raise


def _name_unreadable(
    versions: Sequence[VersionId], read: Callable[[list[VersionId]], object]
) -> None:
    """Name the version that cannot be read.

    Raises:
        TransferRefused: There is one.
    """
    for version in versions:
        try:
            read([version])
        except UNREADABLE as error:
            raise refused(version, f"its log entry cannot be read ({error})") from error


def _unreadable_change(version: VersionId, error: Exception) -> Exception:
    return refused(version, f"a change of it cannot be read ({error})")


def address_of(repository: Repository) -> str:
    """Return where a collection is: hosts, database and name, without any secret."""
    client = repository.db.client
    seeds = getattr(client, "_topology_settings", None)
    hosts = sorted(f"{host}:{port}" for host, port in (seeds.seeds if seeds else client.nodes))
    return f"{','.join(hosts)}/{repository.db.name}"
