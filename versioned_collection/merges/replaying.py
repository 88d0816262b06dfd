"""One version's changes made again where no collection holds what they join.

Ours is a state that only deltas describe, on top of another version than HEAD. The replica
holds the documents of HEAD: from there they are led to the version's parent, the base, and on
to ours. Only the documents that the version changed are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey, are_twins
from versioned_collection.core.merging import MergeContext, MergePolicy
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.core.tree import Path
from versioned_collection.documents.moves import batched
from versioned_collection.documents.proved import proved
from versioned_collection.merges.merging import Changed, Outcome, decision, joined, kept_apart
from versioned_collection.repository.repository import Repository


class Step(NamedTuple):
    """Where a version is made again.

    Attributes:
        here: The path from HEAD to the parent of the version.
        ours: The path from that parent to what the version is to stand on.
        theirs: The path from the parent to the version.
        swapped: Whether what is brought is our side, and what it is brought to theirs: a pull
            joins our versions to those of the remote, not the other way round.
    """

    here: Path
    ours: Path
    theirs: Path
    swapped: bool = False


class _Found(NamedTuple):
    """A document with its deltas on the ways of a step."""

    key: DocumentKey
    here: list[Delta]
    ours: list[Delta]
    theirs: list[Delta]


def replayed(
    repository: Repository, step: Step, policy: MergePolicy, context: MergeContext
) -> Iterator[list[Outcome]]:
    """Iterate over the documents that a version changed, merged, a bounded list at a time.

    Raises:
        CorruptHistory: The deltas do not fit the replica, or some of theirs are missing.
        ResolverFailed: A resolver of the policy raised.
    """
    decide = decision(policy, context)
    found = proved(repository, step.theirs, _found(repository, step), attrgetter("theirs"))
    for batch in batched(found, lambda one: (*one.here, *one.ours, *one.theirs)):
        by_key = {one.key: one for one in batch}
        for portion, recorded in repository.replica.by_keys(list(by_key)):
            outcomes, untouched = [], list(recorded.keys() - by_key.keys())
            for one in (by_key[key] for key in portion):
                if one.theirs:
                    outcomes.append(_merged(one, recorded.get(one.key), step, policy, context))
                elif (*one.here, *one.ours)[-1].after is not None:
                    untouched.append(one.key)  # by them, who changed one of an equal id
            yield list(kept_apart(outcomes, untouched, decide, swapped=step.swapped))


def _found(repository: Repository, step: Step) -> Iterator[_Found]:
    """Iterate over the documents that a version changed, and such under ids that are the same."""
    paths = (step.here, step.ours, step.theirs)
    keys = repository.deltas.keys_of(step.theirs)
    for portion in portions(keys, len, IDS_PER_READ, BYTES_OF_IDS, are_twins):
        for key, deltas in repository.deltas.along_all(paths, portion):
            yield _Found(key, *deltas)


def _merged(
    one: _Found, recorded: bytes | None, step: Step, policy: MergePolicy, context: MergeContext
) -> Outcome:
    base = recorded
    for delta in one.here:
        base = delta.apply(base)
    ours = base
    for delta in one.ours:
        ours = delta.apply(ours)
    changed = Changed(one.key, one.ours, one.theirs)
    return joined(changed, base, ours, policy, context, swapped=step.swapped)
