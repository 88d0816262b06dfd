"""One document in all versions: which of its changes lie above one another in the tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from versioned_collection.core.tree import VersionTree, nothing_in_common
from versioned_collection.core.version import VersionId

Place = VersionId | None
"""A version that changes a document, and all below it up to the next; None for all above."""


class Nesting:
    """Tells of versions which of them lie below others, from numbers that are given once.

    Args:
        tree: All versions; it has a root.

    Raises:
        CorruptHistory: Some are not below the root, as one is missing between.
    """

    def __init__(self, tree: VersionTree) -> None:
        self._reach = _reach(tree)

    def nearest(self, version: VersionId, among: Iterable[VersionId]) -> Place:
        """Return which of some versions is the last on the way to `version`, None for none."""
        enter, leave = self._reach[version]
        above = [v for v in among if self._reach[v][0] <= enter and leave <= self._reach[v][1]]
        return max(above, key=lambda v: self._reach[v][0], default=None)

    def parents(self, versions: Iterable[VersionId]) -> dict[VersionId, Place]:
        """Return, for each of some versions, the nearest one of them above it."""
        parents: dict[VersionId, Place] = {}
        above: list[VersionId] = []
        for version in sorted(versions, key=lambda v: self._reach[v][0]):
            enter, _ = self._reach[version]
            while above and self._reach[above[-1]][1] < enter:
                above.pop()
            parents[version] = above[-1] if above else None
            above.append(version)
        return parents

    def walk(
        self, start: Place, versions: Iterable[VersionId]
    ) -> Iterator[tuple[VersionId, Place, Place]]:
        """Iterate over some versions, each once, from one of their places to all others.

        Yields:
            A version, the place where it is met, and the one to which its change leads: the
            version itself, or its parent where it is met from below.
        """
        parents = self.parents(versions)
        children: dict[Place, list[VersionId]] = {}
        for version, parent in parents.items():
            children.setdefault(parent, []).append(version)
        met: set[VersionId] = set()
        waiting: list[Place] = [start]
        while waiting:
            place = waiting.pop()
            ways: list[tuple[VersionId, Place]] = [(v, v) for v in children.get(place, ())]
            if place is not None:
                ways.append((place, parents[place]))
            for version, reached in ways:
                if version not in met:
                    met.add(version)
                    yield version, place, reached
                    waiting.append(reached)


def _reach(tree: VersionTree) -> Mapping[VersionId, tuple[int, int]]:
    """Number the tree depth first: a version lies below another where its numbers lie within."""
    last: dict[VersionId, int] = {}
    root = tree.root
    below = () if root is None else tree.descendants(root)
    order = {version: turn for turn, version in enumerate(below)}
    for version in tree:
        if version not in order:
            *_, other = tree.ancestors(version)  # which refuses most of such histories
            raise nothing_in_common(version, root or other)
    for version in sorted(order, key=lambda v: -order[v]):
        last[version] = max(
            (last[child] for child in tree.children(version)), default=order[version]
        )
    return {version: (order[version], last[version]) for version in order}
