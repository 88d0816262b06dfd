"""merge: bring the changes of another version into HEAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from versioned_collection.core.graph import merge_base
from versioned_collection.core.merging import DEFAULT_POLICY, MergePolicy
from versioned_collection.core.version import Version
from versioned_collection.errors import InvalidOperation
from versioned_collection.history.containing import containing, relation_of
from versioned_collection.history.facts import check_said
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.merges.joining import Joining, fast_forward
from versioned_collection.merges.merging import Sides
from versioned_collection.observing import Progress
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recording import Facts
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy


class Wanted(NamedTuple):
    """What the caller of a merge asks for.

    Attributes:
        message: What the version says; made up where it is left out.
        author: Who merges.
        metadata: Free facts to record.
        fast_forward: Whether HEAD may simply move on where nothing has to be merged.
        policy: What settles conflicts.
    """

    message: str | None = None
    author: Any = None
    metadata: Mapping[str, Any] | None = None
    fast_forward: bool = True
    policy: MergePolicy = DEFAULT_POLICY


def merge(
    repository: Repository,
    revision: RevisionLike,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Version:
    """Bring the changes of another version into HEAD.

    Returns:
        The version that is checked out now: HEAD as it was where it contains the other one
        already, the other one after a fast-forward, otherwise a new one of two parents.

    Raises:
        AutoMergeFailedError: Conflicts wait for decisions; the documents show the merged
            state with our values in their places.
        InvalidOperation: HEAD is detached, there are uncommitted changes, or a merge is
            under way.
        InvalidCollectionVersion: There is no such version.
        DocumentRejected: A unique index or the validator refuses the merged state.
    """
    check_said(wanted.message, wanted.author, wanted.metadata)
    with holding(repository, "merge") as hold:
        theirs = Resolver(repository, hold.state).resolve(revision)
        if hold.state.detached:
            raise InvalidOperation(
                "HEAD is detached, so no branch could hold the merge; check out a branch, or "
                "create one here, then merge"
            )
        copy = WorkingCopy(hold)
        copy.require_clean()
        head, tree = hold.state.head, repository.log.ancestry()
        way = relation_of(repository, tree, theirs, head)
        if way in ("same", "behind"):
            return entry_of(repository, head)
        if wanted.fast_forward and way == "ahead":
            return fast_forward(hold, copy, theirs, progress)
        message = wanted.message
        if message is None:
            name = revision if isinstance(revision, str) else entry_of(repository, theirs).label
            message = f"Merge {name} into {hold.state.branch}"
        facts = Facts(hold.state.branch, message, wanted.author, dict(wanted.metadata or {}))
        base = merge_base(containing(repository, tree, head, theirs), head, theirs)
        sides = Sides(base, head, theirs)
        return Joining(hold, copy, sides, facts, (theirs,), progress).run(wanted.policy)
