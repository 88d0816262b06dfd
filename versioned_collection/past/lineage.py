"""Which of some versions lie on the way up from others, however long that is.

Where they are few among many, the way is taken in steps over the stretches that `spanning`
looked at; else, and where that does not tell, all of the tree is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from versioned_collection.core.ladder import Ladder
from versioned_collection.core.spans import LEAST_VERSIONS, landmarks
from versioned_collection.core.tree import Node, VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.repository.repository import Repository

_FEW = 400
"""Versions that are read at once rather than looked for."""

_FOR_EACH = 40
"""Versions that are read, at most mostly, to find the place of one."""

_ROUNDS = 8
"""How often more is read: a way that leads through more branches is read as a whole."""


class _Untold(Exception):
    """Stretches do not tell what is on a way."""


class Lineage:
    """The ways up from versions along first parents, and which of some versions are on them.

    Args:
        repository: The trackers.
        wanted: The versions that are looked for; those that the log does not name are nowhere.
    """

    def __init__(self, repository: Repository, wanted: Iterable[VersionId]) -> None:
        self._log = repository.log
        self._spans = repository.spans
        self._wanted = set(wanted)
        self._most = self._log.count()
        self._ladder = Ladder()
        self._tree: VersionTree | None = None
        self._chains: dict[VersionId, list[VersionId]] = {}
        if _FEW + _FOR_EACH * len(self._wanted) >= self._most:
            self._tree = self._log.tree()

    def chain(self, version: VersionId) -> list[VersionId]:
        """Return the wanted versions on the way up from a version, itself among them, from there.

        Raises:
            CorruptHistory: The log does not name a version on the way.
        """
        if version not in self._chains:
            self._chains[version] = self._found(version)
        return self._chains[version]

    def first(self, version: VersionId) -> VersionId:
        """Return the version where the way up from another one ends, whose chain was asked for."""
        tree = self._tree
        return self._ladder.top(version) if tree is None else [*tree.ancestors(version)][-1]

    def merged_into(self, version: VersionId) -> Sequence[VersionId]:
        """Return the further parents of a version on a chain, as far as the log names them."""
        parents = self._nodes[version].parents[1:]
        if self._tree is None:
            self._read([one for one in parents if one not in self._nodes])
        return [one for one in parents if one in self._nodes]

    @property
    def _nodes(self) -> Mapping[VersionId, Node]:
        return self._ladder.nodes if self._tree is None else self._tree.nodes

    def _found(self, version: VersionId) -> list[VersionId]:
        if self._tree is None:
            try:
                return self._looked_for(version)
            except _Untold:
                self._tree = self._log.tree()
        return [one for one in self._tree.ancestors(version) if one in self._wanted]

    def _looked_for(self, version: VersionId) -> list[VersionId]:
        """Look for the wanted versions at their heights.

        Where another version than the one looked for is found, that has to have the same height.
        Then there is no second one on the way up.
        """
        if not self._ladder.nodes:
            self._read([version, *self._wanted])
            self._wanted &= self._ladder.nodes.keys()
        self._learn([version, *self._wanted])
        heights = {one: self._ladder.height(one) for one in self._wanted}
        there = self._at(version, set(heights.values()))
        self._learn(there.values())
        if any(self._ladder.height(one) != height for height, one in there.items()):
            raise _Untold
        found = [one for one, height in heights.items() if there.get(height) == one]
        return sorted(found, key=lambda one: -heights[one])

    def _at(self, version: VersionId, heights: set[int]) -> dict[int, VersionId]:
        """Return the versions of some heights on the way up from a version."""
        ladder = self._ladder
        start = ladder.height(version)
        for _ in range(_ROUNDS):
            found = {
                each: ladder.above(version, start - each) for each in heights if each <= start
            }
            unknown = {one for one, left in found.values() if left}
            if not unknown:
                return {height: one for height, (one, _) in found.items()}
            if unknown & ladder.nodes.keys():
                break
            self._read(unknown)
        raise _Untold

    def _learn(self, versions: Iterable[VersionId]) -> None:
        """Make the heights of versions known."""
        wanted = list(versions)
        for _ in range(_ROUNDS):
            found = {self._ladder.lacking(one) for one in wanted}
            lacking = [one for one in found if one is not None]
            if not lacking:
                return
            self._read(lacking)
        raise _Untold

    def _read(self, versions: Iterable[VersionId]) -> None:
        """Read versions, and what is likely to be on the ways to them and from them."""
        found = self._log.nodes(list(versions))
        labels = {
            (node.branch, number)
            for node in found
            for number in landmarks(node.number, max(self._most, node.number))
        }
        found += self._log.nodes_labelled(labels)
        ends = [node.id for node in found if not node.number % LEAST_VERSIONS]
        self._ladder.add(found, self._spans.ending_at(ends) if ends else ())
