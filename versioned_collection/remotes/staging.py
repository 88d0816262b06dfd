"""Taking versions into the trackers of a collection, where they stay invisible at first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import bson

from versioned_collection.core.delta import content_size, encoded_rows
from versioned_collection.core.sums import Sums
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidOperation, LeaseHeld, TransferRefused
from versioned_collection.remotes.announcements import Announcements
from versioned_collection.remotes.base import Arrived, Changes
from versioned_collection.remotes.checked import (
    check_delta,
    check_entry,
    problem_of_changes,
    refused,
)
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.entries import entry_to_bson
from versioned_collection.working.recovery import holding


@dataclass(slots=True)
class _Sums(Sums):
    """What the changes of a version add up to.

    Attributes:
        doubtful: Whether somebody else stored some of them meanwhile.
    """

    doubtful: bool = False


def says_same(one: Version, other: Version) -> bool:
    """Tell whether two log entries say the same, whatever their labels."""
    facts = [bson.encode(entry_to_bson(replace(it, branch="", number=0))) for it in (one, other)]
    return facts[0] == facts[1]


class Staging:
    """Takes versions in, and proves that they are what was announced.

    Args:
        repository: The trackers that take them in.
        check: Makes sure that no other transfer brings versions, before each step.
        rooted: Whether a version without parents may be among them.
    """

    def __init__(
        self, repository: Repository, check: Callable[[], None], *, rooted: bool = False
    ) -> None:
        self._repository = repository
        self._check = check
        self._rooted = rooted
        self._lock = threading.Lock()
        self._announcements = Announcements(repository)
        self._waiting: set[VersionId] = set()
        self._sums: dict[VersionId, _Sums] = {}
        self._resumed: set[VersionId] = set()

    @property
    def nodes(self) -> Mapping[VersionId, Node]:
        """The places in the tree of what was announced, by version id."""
        return self._announcements.nodes

    def begin(self, entries: Iterator[list[Version]]) -> Arrived:
        """Announce versions by their log entries; return what is there of them already.

        Raises:
            InvalidOperation: The history that was to get them is no more, or has another name.
            TransferRefused: An entry is malformed, a parent is nowhere, or an id or a label
                stands for two versions; or a version is as it was before a purge.
        """
        complete: set[VersionId] = set()
        for batch in entries:
            for entry in batch:
                check_entry(entry)
            self._refuse_replaced(batch)
            complete |= self._announce(batch)
        self._announcements.check(self._rooted)
        self._waiting = self._announcements.nodes.keys() - complete
        return Arrived(frozenset(complete), self._partial(sorted(self._waiting)))

    def _refuse_replaced(self, batch: Sequence[Version]) -> None:
        """Refuse what a purge has removed, also where the version was deleted since.

        Raises:
            TransferRefused: A version is as it was before a purge.
        """
        replaced = self._repository.purges.replaced(entry.checksum for entry in batch)
        for entry in batch:
            if entry.checksum in replaced:
                raise TransferRefused(
                    f"version {entry.label} was refused: it holds what a purge has removed from "
                    "the side that was to get it. Nothing of it was kept; purge the same at the "
                    "side that sent it, or delete the version there",
                    version=entry.id,
                    reason="it is as it was before a purge",
                )

    def _announce(self, batch: list[Version]) -> set[VersionId]:
        """Note versions; return those that are here entirely."""
        known = self._known(batch)
        batch = [entry for entry in batch if entry.id not in known]
        self._announcements.add(batch)
        incoming = self._repository.incoming
        earlier = incoming.entries([entry.id for entry in batch])
        self._resumed.update(earlier)
        changed = [
            entry.id
            for entry in batch
            if entry.id in earlier and not says_same(earlier[entry.id][0], entry)
        ]
        if changed:
            incoming.reset(changed)
            self._discard(changed)
        incoming.announce(batch, self._repository.now())
        whole = {version for version, (_, is_whole) in earlier.items() if is_whole}
        return whole.difference(changed) | known

    def _known(self, batch: list[Version]) -> set[VersionId]:
        """Return the versions that the log names, perhaps since somebody else brought them.

        Raises:
            InvalidOperation: There is no log.
            TransferRefused: The log has another version under the same id.
        """
        versions = {entry.id for entry in batch}
        parents = {parent for entry in batch for parent in entry.parents}
        known = self._repository.log.checksums([*versions, *parents])
        if not (known or self._rooted):
            self._refuse_gone()
        for entry in batch:
            if known.get(entry.id, entry.checksum) != entry.checksum:
                raise refused(entry.id, "there is another version under the same id here")
        return versions & known.keys()

    def _refuse_gone(self) -> None:
        """Refuse what would make trackers again under a name that a history has no more.

        Raises:
            InvalidOperation: There is none.
        """
        name = self._repository.name
        if self._repository.known_state() is None:
            raise InvalidOperation(
                f"the collection {name!r} that was to get the versions was dropped or renamed "
                "meanwhile; nothing was brought. Open it under its name, then try again",
                collection=name,
            )

    def _partial(self, versions: Sequence[VersionId]) -> Mapping[VersionId, frozenset[bytes]]:
        """Add up what an earlier attempt has left of versions."""
        keys: dict[VersionId, set[bytes]] = {}
        for batch in self._repository.deltas.of_versions(versions):
            for version, delta in batch:
                check_delta(version, delta)
                self._sums_of(version).add(delta, encoded_rows(delta))
                keys.setdefault(version, set()).add(delta.key)
        for version in keys.keys() - self._resumed:
            # garbage so far, which may be collected just now
            self._sums_of(version).doubtful = True
        return {version: frozenset(found) for version, found in keys.items()}

    def _sums_of(self, version: VersionId) -> _Sums:
        return self._sums.setdefault(version, _Sums())

    def add(self, changes: Changes) -> Callable[[], int]:
        """Check changes; those that are there already stay as they are.

        Returns:
            What takes them in, and returns how many bytes their rows and images have.

        Raises:
            TransferRefused: A change is malformed, or of a version that is not expected.
        """
        self._check()
        rows = []
        with self._lock:
            for version, delta in changes:
                if version not in self._waiting:
                    raise refused(version, "changes of it came that were not announced")
                check_delta(version, delta)
                rows.append(encoded_rows(delta))
                self._sums_of(version).add(delta, rows[-1])
        size = sum(content_size(one[1], row) for one, row in zip(changes, rows, strict=True))
        store = self._repository.deltas.putting(changes, rows)
        return partial(self._put, store, {version for version, _ in changes}, size)

    def _put(self, store: Callable[[], bool], versions: Iterable[VersionId], size: int) -> int:
        if not store():
            with self._lock:
                for version in self._waiting.intersection(versions):
                    self._sums_of(version).doubtful = True
        return size

    def complete(self, versions: Sequence[VersionId]) -> None:
        """Prove that all changes of versions are there, and are those announced.

        Raises:
            TransferRefused: They are not; what came of the version is removed.
        """
        self._check()
        sums = {version: self._taken(version) for version in versions}
        for some, told in self._announcements.with_parents(versions):
            for version in some:
                self._prove(version, sums[version], told)
        self._repository.incoming.complete(list(versions))

    def _prove(self, version: VersionId, sums: _Sums, told: Mapping[VersionId, Version]) -> None:
        if sums.doubtful:
            sums = self._stored(version)
        entry = told[version]
        problem = problem_of_changes(entry, [told[one] for one in entry.parents], sums)
        if problem is not None:
            self._discard([version])
            raise refused(version, problem)

    def _taken(self, version: VersionId) -> _Sums:
        """Return what the changes of a version that is complete add up to."""
        with self._lock:
            if version not in self._waiting:
                raise refused(version, "it was not announced")
            self._waiting.remove(version)
            return self._sums.pop(version, None) or _Sums()

    def _discard(self, versions: Sequence[VersionId]) -> None:
        """Remove what came of versions, except of those that the log names by now.

        Another transfer may have brought one of them in the meantime. Under the lease none
        can become visible while its changes go.
        """
        if self._rooted:  # the founding holds the lease
            self._repository.deltas.delete(versions)
            return
        with suppress(LeaseHeld), holding(self._repository, "transfer"):
            known = self._repository.log.among(versions)
            self._repository.deltas.delete([one for one in versions if one not in known])

    def _stored(self, version: VersionId) -> _Sums:
        """Add up what is stored of a version, whoever has stored it."""
        sums = _Sums()
        for delta in self._repository.deltas.of_version(version):
            sums.add(delta, encoded_rows(delta))
        return sums
