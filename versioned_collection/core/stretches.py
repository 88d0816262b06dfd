"""Places in the tree of versions, read in stretches as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from versioned_collection.core.tree import Node, Nodes
from versioned_collection.core.version import VersionId

_COUNTS = (64, 64, 256, 1_024)
"""How many versions each stretch has: there are two ends to begin with. After these the rest
is read at once: the way is long, or has many branches."""


class Stretches(Nodes):
    """Nodes by version id; a missing one is read together with those before it.

    Args:
        stretch: Returns the nodes of a version, if there is one, and of about so many before.
        everything: Returns all nodes.
        known: Nodes that nothing has to be read for.
    """

    def __init__(
        self,
        stretch: Callable[[VersionId, int], Iterable[Node]],
        everything: Callable[[], Iterable[Node]],
        known: Iterable[Node] = (),
    ) -> None:
        super().__init__(known)
        self._stretch = stretch
        self._everything = everything
        self._counts = iter(_COUNTS)
        self._is_complete = False

    def __missing__(self, version: VersionId) -> Node:
        """Read the node of a version, and more.

        Raises:
            CorruptHistory: There is no such version.
        """
        for node in self._more(version):
            self.setdefault(node.id, node)
        found = self.get(version)
        return super().__missing__(version) if found is None else found

    def _more(self, version: VersionId) -> Iterable[Node]:
        if self._is_complete:
            return ()
        count = next(self._counts, None)
        if count is not None:
            return self._stretch(version, count)
        self._is_complete = True
        return self._everything()
