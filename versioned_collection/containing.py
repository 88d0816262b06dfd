"""What versions contain, also where those between two of them were thinned out.

A version stands for those that were thinned out before it. Where the log has them still, or
again, as a side that kept them brought them, they are contained as its parents are: another
version that grew from one of them has it in common with the one that stands for it.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace

from versioned_collection.core.graph import Relation, ancestors_of, is_ancestor, relation
from versioned_collection.core.tree import Ancestry, Node
from versioned_collection.core.version import VersionId
from versioned_collection.repository import Repository


def containing(
    repository: Repository, tree: Ancestry, one: VersionId, other: VersionId
) -> Ancestry:
    """Return the ways up from two versions, of which some lead to what was thinned out.

    These come behind the parents, so that paths along first parents are as before. Only what
    one of the two contains and the other does not is looked at: what both contain has nothing
    before it that could be a better base.

    Args:
        repository: The trackers.
        tree: The ways up.
        one: A version.
        other: Another one.
    """
    further: dict[VersionId, Node] = {}
    known = Ancestry(ChainMap(further, tree.nodes))  # type: ignore[arg-type]
    asked: set[VersionId] = set()
    while True:
        apart = (ancestors_of(known, one) ^ ancestors_of(known, other)) - asked
        if not apart:
            return known
        asked |= apart
        for version, thinned in repository.log.thinned_before(apart).items():
            node = tree.nodes[version]
            further[version] = replace(node, parents=(*node.parents, *thinned))


def relation_of(
    repository: Repository, tree: Ancestry, one: VersionId, other: VersionId
) -> Relation:
    """Return what one version is to another; see `relation`.

    A version contains those that were thinned out on the way to it, also where they are still
    (or again) in the log.
    """
    way = relation(tree, one, other)
    if way == "apart":
        for tip, version, found in ((one, other, "ahead"), (other, one, "behind")):
            behind = repository.log.behind_gap(version)
            if behind is not None and is_ancestor(tree, behind, tip):
                return found  # type: ignore[return-value]
    return way
