"""The log entries that a transfer announces, before what they name has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import bson

from versioned_collection.core.portions import portions
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.remotes.checked import refused
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.entries import entry_to_bson

_AT_ONCE = 2_000
_BYTES_AT_ONCE = 4 * 1024 * 1024
"""How many log entries are in memory, and their size; others are read where they are needed."""


class Announcements:
    """What is known of announced versions, in memory that hardly grows with what was said of them.

    Args:
        repository: The trackers, in which they are noted.

    Attributes:
        nodes: Their places in the tree, by id.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.nodes: dict[VersionId, Node] = {}
        self._held: dict[VersionId, Version] = {}
        self._room = _BYTES_AT_ONCE

    def add(self, entries: Iterable[Version]) -> None:
        """Take log entries in that are, or will be, noted in the trackers."""
        for entry in entries:
            self.nodes[entry.id] = Node(entry.id, entry.parents, entry.number, entry.branch)
            self._hold(entry)

    def _hold(self, entry: Version) -> None:
        if len(self._held) < _AT_ONCE:
            size = len(bson.encode(entry_to_bson(entry)))
            if size <= self._room:
                self._room -= size
                self._held[entry.id] = entry

    def check(self, rooted: bool) -> None:
        """Make sure that all stand somewhere, each under a label of its own.

        Args:
            rooted: Whether a version without parents may be among them.

        Raises:
            TransferRefused: A parent is nowhere, or a label stands for two versions.
        """
        self._check_labels()
        outside = self._parents(self.nodes) - self.nodes.keys()
        there = self._among(outside)
        for node in self.nodes.values():
            if not node.parents and not rooted:
                raise refused(node.id, "it has no parent")
            if not there.issuperset(outside.intersection(node.parents)):
                raise refused(node.id, "a parent of it is neither here nor announced")

    def _check_labels(self) -> None:
        taken: dict[str, set[int]] = {}
        for node in self.nodes.values():
            numbers = taken.setdefault(node.branch, set())
            if node.number in numbers:
                raise refused(node.id, f"another version is called {node.label} as well")
            numbers.add(node.number)

    def _among(self, versions: set[VersionId]) -> set[VersionId]:
        """Return those of some versions that the log names."""
        if len(versions) > _AT_ONCE:
            return self._repository.log.among(versions)
        found = self._repository.log.get_many(versions)
        for entry in found:
            self._hold(entry)
        return {entry.id for entry in found}

    def _parents(self, versions: Iterable[VersionId]) -> set[VersionId]:
        return {one for version in versions for one in self.nodes[version].parents}

    def with_parents(
        self, versions: Sequence[VersionId]
    ) -> Iterator[tuple[list[VersionId], Mapping[VersionId, Version]]]:
        """Iterate over announced versions, a few at a time, with the log entries to judge them by.

        Yields:
            Some of the versions, and the log entries of these and of their parents.

        Raises:
            InvalidOperation: Somebody removed one meanwhile.
        """
        unheld = [version for version in versions if version not in self._held]
        sizes = self._repository.incoming.sizes(unheld) if unheld else {}
        for some in portions(
            versions, lambda version: sizes.get(version, 0), _AT_ONCE, _BYTES_AT_ONCE
        ):
            yield some, self._entries(some)

    def _entries(self, versions: Sequence[VersionId]) -> Mapping[VersionId, Version]:
        log, incoming = self._repository.log, self._repository.incoming
        wanted = {*versions, *self._parents(versions)}
        found = {one: self._held[one] for one in wanted if one in self._held}
        logged = log.get_many(wanted - self.nodes.keys() - found.keys())
        found.update((entry.id, entry) for entry in logged)
        announced = incoming.entries(list(wanted - found.keys()))
        found.update((one, entry) for one, (entry, _) in announced.items())
        if len(found) < len(wanted):
            raise removed(min(wanted - found.keys()))
        return found


def removed(version: VersionId) -> InvalidOperation:
    """Return the error for a version whose announcement was removed before it took effect."""
    return InvalidOperation(
        "what was transferred was removed before it could be recorded; try again",
        version=version,
    )
