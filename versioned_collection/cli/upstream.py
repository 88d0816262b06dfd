"""How a branch relates to those of remotes, where they were last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from versioned_collection import VersionedCollection


@dataclass(frozen=True)
class Standing:
    """A branch beside that of a remote.

    Attributes:
        name: The remote's branch, such as ``origin/main``.
        ahead: How many versions are here alone; None where those of the remote are not here.
        behind: How many versions are there alone; None where they are not here.
    """

    name: str
    ahead: int | None
    behind: int | None

    def facts(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {"name": self.name, "ahead": self.ahead, "behind": self.behind}

    def text(self) -> str:
        """Return it in words."""
        if self.ahead is None or self.behind is None:
            return f"{self.name} has versions that are not here: 'vc fetch' brings them"
        if self.ahead and self.behind:
            return (
                f"diverged from {self.name}: {self.ahead:,} ahead, {self.behind:,} behind; "
                "'vc pull' brings both together"
            )
        if self.ahead:
            return f"{self.ahead:,} ahead of {self.name}: 'vc push' brings them there"
        if self.behind:
            return f"{self.behind:,} behind {self.name}: 'vc pull' brings them here"
        return f"up to date with {self.name}"


def standings(collection: VersionedCollection, branch: str) -> list[Standing]:
    """Return how a branch relates to those of its name at remotes.

    The tree of versions is only read where they differ.
    """
    seen = {
        f"{remote.name}/{branch}": remote.branches[branch]
        for remote in collection.remotes()
        if branch in remote.branches
    }
    if not seen or branch not in collection.branches():
        return []
    return _compared(collection, collection.resolve(branch).id, seen)


def _compared(
    collection: VersionedCollection, mine: Any, seen: Mapping[str, Any]
) -> list[Standing]:
    from versioned_collection.core.graph import ancestors_of

    tree = collection.version_tree if any(tip != mine for tip in seen.values()) else None
    found = []
    for name, theirs in seen.items():
        if theirs == mine:
            found.append(Standing(name, 0, 0))
        elif tree is None or theirs not in tree:
            found.append(Standing(name, None, None))
        else:
            here, there = ancestors_of(tree, mine), ancestors_of(tree, theirs)
            found.append(Standing(name, len(here - there), len(there - here)))
    return found
