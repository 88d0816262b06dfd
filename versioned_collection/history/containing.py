"""What versions contain, also where those between two of them were thinned out.

A version stands for those that were thinned out before it. Where the log has them still, or
again, as a side that kept them brought them, they are contained as its parents are: another
version that grew from one of them has it in common with the one that stands for it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping
from dataclasses import replace

from versioned_collection.core.graph import (
    Relation,
    ancestors_of,
    is_ancestor,
    merge_base,
    relation,
    walk,
)
from versioned_collection.core.tree import Ancestry, Node
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.repository.repository import Repository

MOST_NAMED = 50_000
"""Versions of which a gap knows that they were there; of the oldest nothing is said."""


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

    Raises:
        InvalidOperation: What the two have in common was thinned out on both ways, or may have
            been, as there were so many versions that not all are named.
    """
    gone: dict[VersionId, list[VersionId]] = {}
    further: dict[VersionId, Node] = {}
    oldest: dict[VersionId, VersionId] = {}
    known = Ancestry(ChainMap(further, tree.nodes))  # type: ignore[arg-type]
    asked: set[VersionId] = set()
    while True:
        apart = ancestors_of(known, one) ^ ancestors_of(known, other)
        if asked.issuperset(apart):
            break
        gaps = repository.log.thinned_before(apart - asked)
        asked |= apart
        named = {version for thinned in gaps.values() for version in thinned}
        here = repository.log.among(named)
        for version, thinned in gaps.items():
            node, found = tree.nodes[version], [one for one in thinned if one in here]
            further[version] = replace(node, parents=(*node.parents, *found))
            gone[version] = [one for one in thinned if one not in here]
            if len(thinned) >= MOST_NAMED:
                oldest[version] = thinned[0]
    gone = {version: thinned for version, thinned in gone.items() if version in apart}
    _refuse_unnamed(tree, apart.union(*gone.values()), oldest)
    _refuse_gone(known, gone, one, other)
    return known


def _refuse_unnamed(
    tree: Ancestry, apart: set[VersionId], oldest: Mapping[VersionId, VersionId]
) -> None:
    """Refuse to guess where one of the versions that are apart may be among those unnamed.

    Those that are gone themselves, and named on one of the ways, are apart as well.
    """
    for version, first in oldest.items():
        begins_together = version in apart and tree.parent(version) not in apart
        if begins_together and any(one < first for one in apart):
            label = tree.nodes[version].label
            raise InvalidOperation(
                f"{label} stands for more than {MOST_NAMED:,} versions that were thinned out, so "
                "what both sides have in common cannot be told; bring the documents over with "
                "restore() or export() and import_() instead, or clone anew",
                version=version,
            )


def _refuse_gone(
    known: Ancestry,
    gone: Mapping[VersionId, Collection[VersionId]],
    one: VersionId,
    other: VersionId,
) -> None:
    """Refuse an older base where both ways lead to a version that is gone on both of them."""
    if len(gone) < 2:
        return
    here, there = (
        {named for version in walk(known, end) for named in gone.get(version, ())}
        for end in (one, other)
    )
    last = max(here & there, default=None)
    if last is not None and last > merge_base(known, one, other):
        ends = " and ".join(known.nodes[end].label for end in (one, other))
        raise InvalidOperation(
            f"the last version that {ends} have in common was thinned out on both sides before "
            "they met; if a third side has it still, tag it there and fetch it from there, or "
            "bring the documents over with restore() or export() and import_() instead, or clone "
            "anew",
            version=last,
        )


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
            standing = repository.log.behind_gaps(version)
            if any(is_ancestor(tree, behind, tip) for behind in standing):
                return found  # type: ignore[return-value]
    return way
