"""Comparing the histories of two collections."""

from __future__ import annotations

from dataclasses import dataclass

from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.version import VersionId
from versioned_collection.repository.repository import Repository


@dataclass(frozen=True)
class History:
    """The versions with their labels, and the branches: what two collections share or not.

    Attributes:
        versions: ``(id, parents, number, branch)`` of each version that a branch or tag, or
            HEAD, leads to. What was only fetched belongs to the remote yet.
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
    state = repository.known_state()
    if state is None:
        return None
    tree, branches = repository.log.tree(), repository.branches.all()
    tagged = [tag["version"] for tag in repository.tags.documents().values()]
    starts = [one for one in (state.head, *branches.values(), *tagged) if one in tree]
    nodes = [tree.nodes[version] for version in ancestors_of(tree, *starts)]
    return History(
        frozenset((node.id, node.parents, node.number, node.branch) for node in nodes),
        frozenset(branches.items()),
    )
