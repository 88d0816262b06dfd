"""Three versions made one: which documents change in ours when their changes join it.

The changes of each side lie on the path from the base to it, so the cost follows what the
two sides changed. The replica holds our documents; base and theirs are computed from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import OBJECT, DocumentKey, are_twins
from versioned_collection.core.merging import (
    UNRESOLVED,
    Conflict,
    MergeContext,
    MergePolicy,
    merge_documents,
    run_resolver,
)
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import batched
from versioned_collection.documents.proved import proved
from versioned_collection.errors import DocumentRejected
from versioned_collection.merges.namesakes import kept_out
from versioned_collection.repository.repository import Repository
from versioned_collection.working.selection import LARGEST_DOCUMENT


def waiting(conflicts: int) -> str:
    """Return how many conflicts wait, in words."""
    return f"{count_of(conflicts)} {'waits' if conflicts == 1 else 'wait'}"


def count_of(conflicts: int) -> str:
    """Return how many conflicts there are, in words."""
    return "1 conflict" if conflicts == 1 else f"{conflicts:,} conflicts"


def refuse_too_large(
    repository: Repository,
    key: DocumentKey,
    raw: bytes | None,
    way_out: str = "everything is as before. Make it smaller on one of the sides, then try again",
) -> None:
    """Refuse to make a document that no server stores, before anything is decided on.

    Raises:
        DocumentRejected: It is one; `way_out` says what to do.
    """
    if raw is not None and len(raw) > LARGEST_DOCUMENT:
        document_id = repository.codec.value(key)
        reason = f"{len(raw):,} bytes, where a document has {LARGEST_DOCUMENT:,} at most"
        raise DocumentRejected(
            f"the document with _id {document_id!r} would take {reason}; {way_out}",
            document_id=document_id,
            reason=reason,
        )


class Sides(NamedTuple):
    """The three versions of a merge.

    Attributes:
        base: What both sides started from.
        ours: The version that is checked out.
        theirs: The version whose changes join ours.
    """

    base: VersionId
    ours: VersionId
    theirs: VersionId


class Outcome(NamedTuple):
    """One document that both sides, or theirs alone, changed.

    Attributes:
        key: The document.
        ours: Our document, None where there is none.
        merged: The merged one, with our values where conflicts wait.
        conflicts: What waits for a decision.
        delta: The delta from ours to the merged document, where theirs is one.
    """

    key: DocumentKey
    ours: bytes | None
    merged: bytes | None
    conflicts: list[Conflict]
    delta: Delta | None = None


class Changed(NamedTuple):
    """A document with its deltas from the base to each side."""

    key: DocumentKey
    ours: list[Delta]
    theirs: list[Delta]


def merge_sides(
    repository: Repository, sides: Sides, policy: MergePolicy, context: MergeContext
) -> Iterator[list[Outcome]]:
    """Iterate over the documents that their side changed, merged, a bounded list at a time.

    Raises:
        CorruptHistory: The deltas do not fit the replica, or some of theirs are missing.
        ResolverFailed: A resolver of the policy raised.
    """
    tree = repository.log.ancestry()
    paths = (tree.path(sides.base, end) for end in (sides.ours, sides.theirs))
    ours, theirs = ways = tuple(map(repository.way, paths))
    changed = (Changed(*found) for found in repository.deltas.changed_by_them(ours, theirs))
    # what is missing of ours concerns only documents which theirs do not fit then
    found = proved(repository, theirs, changed, attrgetter("theirs"))
    decide = decision(policy, context)
    # twins are neighbours in the order of ids, and have to be looked at together
    for batch in batched(found, lambda one: (*one.ours, *one.theirs)):
        by_key = {one.key: one for one in batch}
        for portion, recorded in repository.replica.by_keys(list(by_key)):
            outcomes = [
                _merged(by_key[key], recorded.get(key), policy, context) for key in portion
            ]
            untouched = recorded.keys() - by_key.keys()
            out = kept_out(
                repository,
                arriving(outcomes),
                lambda keys: _staying(repository, ways, keys, policy, context),
            )
            yield list(kept_apart(outcomes, untouched, decide, out=out))


def arriving(outcomes: Iterable[Outcome]) -> list[DocumentKey]:
    """Return the documents that come in."""
    return [one.key for one in outcomes if one.ours is None and one.merged is not None]


def _staying(
    repository: Repository,
    ways: Sequence[Path],
    keys: set[DocumentKey],
    policy: MergePolicy,
    context: MergeContext,
) -> set[DocumentKey]:
    """Return which documents of ours, of all that a merge may concern, are there behind it."""
    staying = set(keys)
    by_key = {
        key: Changed(key, ours, theirs)
        for key, (ours, theirs) in repository.deltas.along_all(ways, sorted(keys))
        if key in keys and theirs
    }
    for portion, recorded in repository.replica.by_keys(sorted(by_key)):
        outcomes = (_merged(by_key[key], recorded.get(key), policy, context) for key in portion)
        staying.difference_update(one.key for one in outcomes if one.merged is None)
    return staying


def decision(policy: MergePolicy, context: MergeContext) -> Callable[[Conflict], Any]:
    """Return what asks the policy's resolver for a conflict, if it has one."""

    def decide(conflict: Conflict) -> Any:
        rule = policy.resolver_for(conflict.path)
        return UNRESOLVED if rule is None else run_resolver(rule, conflict, context)

    return decide


def _merged(
    changed: Changed, ours: bytes | None, policy: MergePolicy, context: MergeContext
) -> Outcome:
    base = ours
    for delta in reversed(changed.ours):
        base = (~delta).apply(base)
    return joined(changed, base, ours, policy, context)


def joined(
    changed: Changed,
    base: bytes | None,
    ours: bytes | None,
    policy: MergePolicy,
    context: MergeContext,
    *,
    swapped: bool = False,
) -> Outcome:
    """Merge one document.

    Args:
        changed: The document's deltas.
        base: What both sides started from.
        ours: Our document.
        policy: How to merge.
        context: The times of both sides.
        swapped: Whether conflicts, resolvers and the merged document see the sides the other
            way round.
    """
    theirs = base
    for delta in changed.theirs:
        theirs = delta.apply(theirs)
    if base == ours and len(changed.theirs) == 1:
        return Outcome(changed.key, ours, theirs, [], changed.theirs[0])
    sides = (theirs, ours) if swapped else (ours, theirs)
    merged = merge_documents(changed.key, base, *sides, policy, context)
    return Outcome(changed.key, ours, merged.raw, merged.conflicts)


def kept_apart(
    outcomes: list[Outcome],
    untouched: Collection[DocumentKey],
    decide: Callable[[Conflict], Any],
    *,
    swapped: bool = False,
    out: Collection[DocumentKey] = (),
) -> Iterator[Outcome]:
    """Let no document come in beside one of ours whose id the server takes for the same.

    The id of a document may have become ``1.0`` on their side while we changed the document
    ``1``: the merged state would hold both, which no collection can.

    Args:
        outcomes: The merged documents, in the order of their ids.
        untouched: Documents of ours under such ids that they did not touch.
        decide: What settles conflicts.
        swapped: Whether conflicts see the sides the other way round.
        out: Documents that a collation keeps out.
    """
    for place, one in enumerate(outcomes):
        if one.ours is not None or one.merged is None:
            yield one
            continue
        near = [
            *_run(outcomes[max(place - 4, 0) : place][::-1], one.key),
            *_run(outcomes[place + 1 : place + 5], one.key),
        ]
        if near or one.key in out or any(are_twins(key, one.key) for key in untouched):
            theirs = bytes((OBJECT,)) + one.merged
            sides = (theirs, None) if swapped else (None, theirs)
            conflict = Conflict(one.key, (), "both_added", None, *sides)
            settled = decide(conflict) is None
            conflicts = [] if settled else [conflict]
            yield one._replace(merged=None, conflicts=conflicts, delta=None)
        else:
            yield one


def _run(outcomes: list[Outcome], key: DocumentKey) -> Iterator[DocumentKey]:
    """Iterate over the ids that stay, from the start of a list, while they equal `key`."""
    for one in takewhile(lambda one: are_twins(one.key, key), outcomes):
        if one.merged is not None:
            yield one.key
