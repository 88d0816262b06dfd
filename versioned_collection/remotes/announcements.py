"""The log entries that a transfer announces, before what they name has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.remotes.checked import refused
from versioned_collection.repository.repository import Repository

_HELD = 500
"""Log entries that are kept in memory; the others are read again where they are needed."""


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

    def add(self, entries: Iterable[Version]) -> None:
        """Take log entries in that are, or will be, noted in the trackers."""
        for entry in entries:
            self.nodes[entry.id] = Node(entry.id, entry.parents, entry.number, entry.branch)
            if len(self._held) < _HELD:
                self._held[entry.id] = entry

    def check(self, rooted: bool) -> None:
        """Make sure that all stand somewhere, each under a label of its own.

        Args:
            rooted: Whether a version without parents may be among them.

        Raises:
            TransferRefused: A parent is nowhere, or a label stands for two versions.
        """
        self._check_labels()
        parents = {one for node in self.nodes.values() for one in node.parents}
        outside = self._repository.log.get_many(parents - self.nodes.keys())
        self._held.update((entry.id, entry) for entry in outside)
        for node in self.nodes.values():
            if not node.parents and not rooted:
                raise refused(node.id, "it has no parent")
            if any(one not in self.nodes and one not in self._held for one in node.parents):
                raise refused(node.id, "a parent of it is neither here nor announced")

    def _check_labels(self) -> None:
        taken: dict[str, set[int]] = {}
        for node in self.nodes.values():
            numbers = taken.setdefault(node.branch, set())
            if node.number in numbers:
                raise refused(node.id, f"another version is called {node.label} as well")
            numbers.add(node.number)

    def with_parents(self, versions: Sequence[VersionId]) -> Mapping[VersionId, Version]:
        """Return the log entries of announced versions, and of their parents.

        Raises:
            InvalidOperation: Somebody removed one meanwhile.
        """
        wanted = {*versions, *(one for version in versions for one in self.nodes[version].parents)}
        told = {one: self._held[one] for one in wanted if one in self._held}
        rest = [one for one in wanted if one not in told]
        if rest:
            found = self._repository.incoming.entries(rest)
            told.update((one, entry) for one, (entry, _) in found.items())
        if len(told) < len(wanted):
            raise removed(min(wanted - told.keys()))
        return told


def removed(version: VersionId) -> InvalidOperation:
    """Return the error for a version whose announcement was removed before it took effect."""
    return InvalidOperation(
        "what was transferred was removed before it could be recorded; try again",
        version=version,
    )
