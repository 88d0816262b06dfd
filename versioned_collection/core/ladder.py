"""How high versions stand above the first one, and what is on the way up from them.

Stretches that were looked at lead over many versions at once, so that little of a long way has
to be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from versioned_collection.core.spans import Span
from versioned_collection.core.tree import Node
from versioned_collection.core.version import VersionId


class _Rung(NamedTuple):
    version: VersionId
    versions: int


class Ladder:
    """Ways up from versions, as far as they are known.

    A version's height is the number of versions above it. What is known of a version does not
    change, so neither does its height.
    """

    def __init__(self) -> None:
        self._nodes: dict[VersionId, Node] = {}
        self._rungs: dict[VersionId, list[_Rung]] = {}
        self._heights: dict[VersionId, int] = {}

    @property
    def nodes(self) -> Mapping[VersionId, Node]:
        """The versions that are known."""
        return self._nodes

    def add(self, nodes: Iterable[Node], spans: Iterable[Span]) -> None:
        """Add versions, and all stretches that end at them; what was known before stays.

        Args:
            nodes: The versions.
            spans: The stretches, worth a span or not.
        """
        fresh = {node.id: node for node in nodes if node.id not in self._nodes}
        self._nodes.update(fresh)
        for span in sorted(spans, key=lambda one: -one.versions):
            if span.end in fresh:
                self._rungs.setdefault(span.end, []).append(_Rung(span.start, span.versions))
        for node in fresh.values():
            if node.parents:
                self._rungs.setdefault(node.id, []).append(_Rung(node.parents[0], 1))

    def lacking(self, version: VersionId) -> VersionId | None:
        """Return the version that has to be added for a height to be known; None if it is.

        One that is its own ancestor always has to be.
        """
        way: list[tuple[VersionId, int]] = []
        seen: set[VersionId] = set()
        while version not in self._heights:
            if version not in self._nodes or version in seen:
                return version
            seen.add(version)
            rungs = self._rungs.get(version)
            if rungs is None:
                self._heights[version] = 0
            else:
                way.append((version, rungs[0].versions))
                version = rungs[0].version
        height = self._heights[version]
        for below, versions in reversed(way):
            height += versions
            self._heights[below] = height
        return None

    def top(self, version: VersionId) -> VersionId:
        """Return the version where the way up from another one ends."""
        while rungs := self._rungs.get(version):
            version = rungs[0].version
        return version

    def height(self, version: VersionId) -> int:
        """Return the height of a version.

        Raises:
            KeyError: It is not known.
        """
        return self._heights[version]

    def above(self, version: VersionId, versions: int) -> tuple[VersionId, int]:
        """Return what is so many versions above another one.

        Returns:
            The version, and 0; or one that has to be added, and how far it is from there.
        """
        while versions and version in self._nodes:
            rungs = self._rungs.get(version, ())
            rung = next((one for one in rungs if one.versions <= versions), None)
            if rung is None:  # heights do not agree
                break
            version, versions = rung.version, versions - rung.versions
        return version, versions
