"""The graph of versions: what a version contains, and where two of them were one.

Merges give versions further parents, so that the tree of first parents becomes a graph.
"""

from __future__ import annotations

from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import VersionId


def ancestors_of(tree: VersionTree, *versions: VersionId) -> set[VersionId]:
    """Return the versions themselves and everything that was merged into them.

    Raises:
        KeyError: A version is not in the tree.
    """
    found: set[VersionId] = set()
    waiting = list(versions)
    while waiting:
        version = waiting.pop()
        if version not in found:
            found.add(version)
            waiting.extend(tree.nodes[version].parents)
    return found


def is_ancestor(tree: VersionTree, one: VersionId, other: VersionId) -> bool:
    """Tell whether `other` contains `one`; every version contains itself."""
    return one in ancestors_of(tree, other)


def merge_bases(tree: VersionTree, one: VersionId, other: VersionId) -> list[VersionId]:
    """Return the best common ancestors: those that no other common ancestor contains.

    There are several in histories that criss-cross.

    Returns:
        The bases, the latest first: a version id begins with the time it was made.
    """
    common = ancestors_of(tree, one) & ancestors_of(tree, other)
    parents = {parent for version in common for parent in tree.nodes[version].parents}
    return sorted(common - ancestors_of(tree, *parents), reverse=True)


def merge_base(tree: VersionTree, one: VersionId, other: VersionId) -> VersionId:
    """Return the first of the `merge_bases`, which is the same whichever side asks.

    Raises:
        ValueError: The versions have nothing in common.
    """
    bases = merge_bases(tree, one, other)
    if not bases:
        raise ValueError("the versions have no common ancestor")
    return bases[0]
