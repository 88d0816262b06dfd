"""The graph of versions: what a version contains, and where two of them were one.

Merges give versions further parents, so that the tree of first parents becomes a graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Literal

from versioned_collection.core.tree import Ancestry, Node, in_turns, nothing_in_common
from versioned_collection.core.version import VersionId

Relation = Literal["same", "behind", "ahead", "apart"]


def ancestors_of(tree: Ancestry, *versions: VersionId) -> set[VersionId]:
    """Return the versions themselves and everything that was merged into them.

    Raises:
        CorruptHistory: A version is not in the tree.
    """
    return set(walk(tree, *versions))


def walk(tree: Ancestry, *versions: VersionId) -> Iterator[VersionId]:
    """Iterate over the versions themselves and everything that was merged into them.

    What is near comes before what is far.

    Raises:
        CorruptHistory: A version is not in the tree.
    """
    found: set[VersionId] = set()
    waiting = deque(versions)
    while waiting:
        version = waiting.popleft()
        if version not in found:
            found.add(version)
            yield version
            waiting.extend(tree.nodes[version].parents)


def parents_first(nodes: Mapping[VersionId, Node]) -> list[VersionId]:
    """Return versions in an order in which each comes behind all its parents that are among them.

    Raises:
        graphlib.CycleError: Some are among their own ancestors; its second argument lists them.
    """
    above = {one: [up for up in node.parents if up in nodes] for one, node in nodes.items()}
    return list(TopologicalSorter(above).static_order())


def is_ancestor(tree: Ancestry, one: VersionId, other: VersionId) -> bool:
    """Tell whether `other` contains `one`; every version contains itself.

    It is walked from `other`, all ways at once, until `one` comes by.

    Raises:
        CorruptHistory: A version is not in the tree.
    """
    return any(version == one for version in walk(tree, other))


def relation(tree: Ancestry, one: VersionId, other: VersionId) -> Relation:
    """Tell how two versions stand to each other.

    Both histories are walked in turns until one version comes by in the other's, so it takes
    the more, the further they are apart; all of both where neither contains the other.

    Returns:
        What `one` is: the ``same``, ``behind`` (`other` contains it), ``ahead`` (it contains
        `other`), or ``apart``.

    Raises:
        CorruptHistory: A version is not in the tree.
    """
    if one == other:
        return "same"
    wanted: dict[Relation, VersionId] = {"ahead": other, "behind": one}
    for found, version in in_turns(_told("ahead", tree, one), _told("behind", tree, other)):
        if version == wanted[found]:
            return found
    return "apart"


def _told(
    found: Relation, tree: Ancestry, version: VersionId
) -> Iterator[tuple[Relation, VersionId]]:
    return ((found, above) for above in walk(tree, version))


def merge_bases(tree: Ancestry, one: VersionId, other: VersionId) -> list[VersionId]:
    """Return the best common ancestors: those that no other common ancestor contains.

    There are several in histories that criss-cross.

    Returns:
        The bases, the latest first: a version id begins with the time it was made.
    """
    common = ancestors_of(tree, one) & ancestors_of(tree, other)
    parents = {parent for version in common for parent in tree.nodes[version].parents}
    return sorted(common - ancestors_of(tree, *parents), reverse=True)


def merge_base(tree: Ancestry, one: VersionId, other: VersionId) -> VersionId:
    """Return the first of the `merge_bases`, which is the same whichever side asks.

    Raises:
        CorruptHistory: The versions have nothing in common.
    """
    bases = merge_bases(tree, one, other)
    if not bases:
        raise nothing_in_common(one, other)
    return bases[0]
