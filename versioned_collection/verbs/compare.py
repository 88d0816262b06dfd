"""Comparing the histories of two collections."""

from __future__ import annotations

from dataclasses import dataclass

from versioned_collection.core.version import VersionId
from versioned_collection.repository import Repository


@dataclass(frozen=True)
class History:
    """The versions with their labels, and the branches: what two collections share or not.

    Attributes:
        versions: ``(id, parents, number, branch)`` of each version.
        branches: ``(name, tip)`` of each branch.
    """

    versions: frozenset[tuple[VersionId, tuple[VersionId, ...], int, str]] = frozenset()
    branches: frozenset[tuple[str, VersionId]] = frozenset()

    def __le__(self, other: History) -> bool:
        """Tell whether this history is contained in another one."""
        names = {name for name, _ in other.branches}
        return self.versions <= other.versions and all(name in names for name, _ in self.branches)

    def __lt__(self, other: History) -> bool:
        return self <= other and self != other


def history_of(repository: Repository) -> History | None:
    """Return the history of a collection, None when it is not tracked."""
    if repository.metadata.read() is None:
        return None
    nodes = repository.log.tree().nodes.values()
    return History(
        frozenset((node.id, node.parents, node.number, node.branch) for node in nodes),
        frozenset(repository.branches.all().items()),
    )
