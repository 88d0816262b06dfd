"""Where a branch of a remote and the local one meet: how the local one goes on."""

from __future__ import annotations

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.committer import Progress
from versioned_collection.core.merging import MergePolicy
from versioned_collection.core.tree import VersionTree
from versioned_collection.joining import carry_out
from versioned_collection.labels import Meeting, adopted
from versioned_collection.rebasing import Plan, Rebasing, to_do
from versioned_collection.remotes.arrival import along, follow
from versioned_collection.repository import Hold
from versioned_collection.uniting import Uniting
from versioned_collection.working_copy import WorkingCopy


def fast_forward(
    hold: Hold, tree: VersionTree, meeting: Meeting, progress: Progress | None
) -> None:
    """Let a branch go on to where it is at the remote, and the working copy with it.

    Raises:
        InvalidOperation: The branch is checked out and has uncommitted changes.
    """
    commit = Commit(
        state={"progress": ObjectId()},
        branches={meeting.branch: meeting.theirs},
        labels=adopted(hold.repository, tree, meeting),
    )
    follow(hold, commit, tree, checkout=True)
    carry_out(hold, commit, along(hold, commit), progress)


def unite(
    hold: Hold,
    tree: VersionTree,
    meeting: Meeting,
    policy: MergePolicy,
    *,
    rebase: bool,
    progress: Progress | None,
) -> None:
    """Bring both sides of a branch together that have diverged.

    Raises:
        AutoMergeFailedError: Conflicts wait for decisions.
        InvalidOperation: The branch is checked out and has uncommitted changes, or it is not
            checked out and there are conflicts.
    """
    state, mine = hold.state, meeting.mine
    assert mine is not None
    todo = to_do(tree, mine, meeting.theirs) if rebase else ()
    plan = Plan(meeting.branch, mine, meeting.theirs, todo, meeting.remote, not rebase)
    position = {}
    if not state.detached and state.branch == meeting.branch:
        copy = WorkingCopy(hold)
        copy.require_clean()
        position = copy.noticed.position()
    way = Rebasing if rebase else Uniting
    way(hold, plan, meeting.theirs, position, progress).run(policy)
