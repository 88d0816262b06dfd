"""The tree of versions: ancestors, descendants, and the path between two versions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from versioned_collection.core.drawing import arrange, draw
from versioned_collection.core.version import VersionId
from versioned_collection.errors import CorruptHistory

T = TypeVar("T")

_WAY_OUT = "; run verify(), then restore the database from a backup, or clone() it anew"


@dataclass(frozen=True, slots=True)
class Node:
    """A version's place in the tree.

    Attributes:
        id: The version.
        parents: Its parents; deltas lie along the first.
        number: The number on its branch.
        branch: The branch of its label.
    """

    id: VersionId
    parents: tuple[VersionId, ...]
    number: int
    branch: str

    @property
    def label(self) -> str:
        """The revision text ``branch@number``."""
        return f"{self.branch}@{self.number}"


class Nodes(dict[VersionId, Node]):
    """Nodes by version id, which say so where one that is referred to is missing."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        super().__init__((node.id, node) for node in nodes)

    def __missing__(self, version: VersionId) -> Node:
        """Refuse a version that is not there.

        Raises:
            CorruptHistory: Always.
        """
        raise missing_version(version)


@dataclass(frozen=True, slots=True)
class Path:
    """The way from one version to another.

    Attributes:
        backward: Versions to undo, in order, starting with the present one.
        forward: Versions to redo, in order, ending with the target.
        spans: Which of these are no versions but spans, each in the place of several versions.
        ends: The version where it starts and the one where it ends, None where nobody told.
    """

    backward: tuple[VersionId, ...]
    forward: tuple[VersionId, ...]
    spans: frozenset[VersionId] = frozenset()
    ends: tuple[VersionId, VersionId] | None = field(default=None, compare=False)

    def __invert__(self) -> Path:
        """Return the way back."""
        ends = self.ends and (self.ends[1], self.ends[0])
        return Path(self.forward[::-1], self.backward[::-1], self.spans, ends)

    def __len__(self) -> int:
        return len(self.backward) + len(self.forward)

    def steps(self) -> dict[VersionId, tuple[int, bool]]:
        """Return, for each version on the way, its turn and whether it is undone."""
        steps = {version: (turn, True) for turn, version in enumerate(self.backward)}
        start = len(self.backward)
        steps.update((v, (start + turn, False)) for turn, v in enumerate(self.forward))
        return steps


class Ancestry:
    """Versions by id, and the ways up from them.

    Args:
        nodes: The nodes by version id. They may be read as they are asked for, since what is
            asked for lies on the way.
    """

    def __init__(self, nodes: Mapping[VersionId, Node]) -> None:
        self._nodes = nodes

    @property
    def nodes(self) -> Mapping[VersionId, Node]:
        """The nodes by version id."""
        return self._nodes

    def parent(self, version: VersionId) -> VersionId | None:
        """Return the parent in the tree, None for the root."""
        parents = self._nodes[version].parents
        return parents[0] if parents else None

    def ancestors(self, version: VersionId) -> Iterator[VersionId]:
        """Iterate from `version` itself up to the root.

        Raises:
            CorruptHistory: A version is not in the tree, or among its own ancestors.
        """
        seen: set[VersionId] = set()
        current: VersionId | None = version
        while current is not None:
            if current in seen:
                raise its_own_ancestor(current)
            seen.add(current)
            yield current
            current = self.parent(current)

    def common_ancestor(self, one: VersionId, other: VersionId) -> VersionId:
        """Return the lowest common ancestor of two versions in the tree.

        Both ways up are walked in turns, so no further than they are long. That of `other` comes
        first: as a rule a path leads from an older version to a newer one.

        Raises:
            CorruptHistory: A version is not in the tree, or they have no common ancestor.
        """
        seen: set[VersionId] = set()
        for version in in_turns(self.ancestors(other), self.ancestors(one)):
            if version in seen:
                return version
            seen.add(version)
        raise nothing_in_common(one, other)

    def path(self, source: VersionId, target: VersionId) -> Path:
        """Return the path: up to the common ancestor, then down.

        Raises:
            CorruptHistory: A version is not in the tree, or they have no common ancestor.
        """
        meeting = self.common_ancestor(source, target)
        backward, forward = (tuple(self._until(one, meeting)) for one in (source, target))
        return Path(backward, forward[::-1], ends=(source, target))

    def _until(self, version: VersionId, stop: VersionId) -> Iterator[VersionId]:
        for current in self.ancestors(version):
            if current == stop:
                return
            yield current


class VersionTree(Ancestry):
    """All versions of a repository by id.

    Two trees are equal when they hold the same versions under the same labels. As a text a tree
    is drawn, one version on a line, newest first.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        super().__init__(Nodes(nodes))
        self._children: dict[VersionId, list[VersionId]] = {}
        for node in self._nodes.values():
            if node.parents:
                self._children.setdefault(node.parents[0], []).append(node.id)

    def _repr_html_(self) -> str:
        from versioned_collection.core import html

        return html.fragment(html.tree_graph(self))

    def __str__(self) -> str:
        labels = {one: node.label for one, node in self._nodes.items()}
        lines = draw(arrange(self.edges(), lambda one: one), self.edges())
        return "\n".join(line if one is None else f"{line} {labels[one]}" for line, one in lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} versions)"

    def edges(self) -> dict[VersionId, list[VersionId]]:
        """Return the parents of each version, as far as they are in the tree."""
        return {
            one: [parent for parent in node.parents if parent in self._nodes]
            for one, node in self._nodes.items()
        }

    @property
    def root(self) -> VersionId | None:
        """The first version, None for an empty tree."""
        return next((node.id for node in self._nodes.values() if not node.parents), None)

    def __contains__(self, version: object) -> bool:
        return version in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[VersionId]:
        return iter(self._nodes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VersionTree):
            return NotImplemented
        return self._nodes == other._nodes

    __hash__ = None  # type: ignore[assignment]  # a tree can be compared, not used as a key

    def with_nodes(self, nodes: Iterable[Node]) -> VersionTree:
        """Return a tree that holds further versions, which the log does not name yet."""
        return VersionTree((*self._nodes.values(), *nodes))

    def children(self, version: VersionId) -> tuple[VersionId, ...]:
        """Return the versions whose first parent is `version`."""
        return tuple(self._children.get(version, ()))

    def descendants(self, version: VersionId) -> Iterator[VersionId]:
        """Iterate over `version` itself and everything that grew from it, parents first.

        Raises:
            CorruptHistory: The version itself did.
        """
        waiting = [version]
        while waiting:
            current = waiting.pop()
            yield current
            grown = self._children.get(current, ())
            if version in grown:
                raise its_own_ancestor(version)
            waiting.extend(reversed(grown))

    def distances(self, version: VersionId) -> dict[VersionId, int]:
        """Return how long the path to each version is, nearest first, in one walk."""
        found = {version: 0}
        for current in (walked := [version]):  # which grows meanwhile
            near = [*self.children(current), self.parent(current)]
            for one in near:
                if one is not None and one not in found:
                    found[one] = found[current] + 1
                    walked.append(one)
        return found


def in_turns(*ways: Iterator[T]) -> Iterator[T]:
    """Iterate over several iterators in turns; none is asked for more than is needed so far."""
    waiting = deque(ways)
    while waiting:
        way = waiting.popleft()
        for found in way:
            yield found
            waiting.append(way)
            break


def missing_version(version: VersionId) -> CorruptHistory:
    """Return the error for a version that is referred to but not in the log."""
    return CorruptHistory(
        f"version {version} is referred to but not in the log{_WAY_OUT}", version=version
    )


def its_own_ancestor(version: VersionId) -> CorruptHistory:
    """Return the error for a version to which its own parents lead."""
    return CorruptHistory(
        f"version {version} is among its own ancestors{_WAY_OUT}", version=version
    )


def nothing_in_common(one: VersionId, other: VersionId) -> CorruptHistory:
    """Return the error for two versions that no version of the log leads to both of."""
    return CorruptHistory(
        f"versions {one} and {other} have no common ancestor{_WAY_OUT}", versions=(one, other)
    )
