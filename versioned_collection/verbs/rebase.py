"""rebase: the versions of the current branch made again on top of another version."""

from __future__ import annotations

from versioned_collection.core.merging import MergePolicy
from versioned_collection.core.version import Version
from versioned_collection.errors import InvalidOperation
from versioned_collection.history.containing import relation_of
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.merges.joining import fast_forward
from versioned_collection.merges.rebase_plan import Plan, to_do
from versioned_collection.merges.rebasing import Rebasing
from versioned_collection.observing import Progress
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy


def rebase(
    repository: Repository,
    onto: RevisionLike,
    policy: MergePolicy,
    progress: Progress | None = None,
) -> Version:
    """Make the versions of the current branch again on top of another version.

    Returns:
        The version that is checked out now: HEAD as it was where it contains the other one,
        the other one where HEAD has nothing of its own, otherwise the new tip of the branch.

    Raises:
        AutoMergeFailedError: Conflicts of one of the versions wait for decisions.
        InvalidOperation: HEAD is detached, there are uncommitted changes, or a merge on the
            way brought in what the other version has too.
        InvalidCollectionVersion: There is no such version.
        DocumentRejected: The server refuses a document; everything is as before.
    """
    with holding(repository, "rebase") as hold:
        target = Resolver(repository, hold.state).resolve(onto)
        if hold.state.detached:
            raise InvalidOperation(
                "HEAD is detached, so there is no branch to rebase; check out a branch, or "
                "create one here, then rebase"
            )
        copy = WorkingCopy(hold)
        copy.require_clean()
        head, tree = hold.state.head, repository.log.tree()
        way = relation_of(repository, tree, head, target)
        if way in ("same", "ahead"):
            return entry_of(repository, head)
        if way == "behind":
            return fast_forward(hold, copy, target, progress)
        plan = Plan(hold.state.branch, head, target, to_do(repository, tree, head, target))
        position = copy.noticed.position()
        return Rebasing(hold, plan, target, position, progress).run(policy)
