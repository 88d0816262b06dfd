"""delete_version_subtree: remove a version and everything that grew from it."""

from __future__ import annotations

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.elsewhere import branches_elsewhere, refuse_with_others
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidArgument, InvalidOperation
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.lifecycle import complete_drop
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.setting_aside import set_aside_and_move


def delete_version_subtree(
    repository: Repository,
    version: RevisionLike,
    branch: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Remove a version, its successors, and the branches and tags that live there.

    When HEAD is among them, uncommitted changes are discarded and HEAD moves to the parent
    of `version`. Removing the root drops the collection and all trackers.

    Returns:
        The number of versions removed.

    Raises:
        InvalidArgument: No version was named.
        InvalidOperation: A version that stays was merged from one that would go, or another
            working copy has one checked out.
        InvalidCollectionVersion: There is no such version.
        BranchNotFound: There is no such branch.
        LeaseHeld: It is the first version, and a transfer brings others.
    """
    if version is None:
        raise InvalidArgument("name the version to delete, for example 'HEAD'")
    with holding(repository, "delete_version_subtree") as hold:
        target = Resolver(repository, hold.state).resolve(version, branch)
        tree = repository.log.tree()
        doomed = list(tree.descendants(target))
        parent = tree.parent(target)
        if parent is None:
            refuse_with_others(hold, "delete_version_subtree of the first version")
            with repository.receiving("drop", waits=False):
                hold.begin({"verb": "drop", "phase": "apply"})
                complete_drop(hold)
            return len(doomed)
        _refuse_merged(tree, doomed)
        commit = _references(repository, tree, doomed)
        if hold.state.head in doomed:
            commit.path = tree.path(hold.state.head, parent)
            commit.state = attachment_after(hold, commit, tree, parent)
            set_aside_and_move(hold, commit, progress)
            return len(doomed)
        if hold.state.detached and commit.branches.get(hold.state.branch) == hold.state.head:
            # no other working copy has that branch: its tip before is about to be removed
            commit.state = {"detached": False}  # HEAD is the tip now
        committer = Committer(hold, progress)
        committer.declare(commit)
        committer.complete(commit)
        return len(doomed)


def _refuse_merged(tree: VersionTree, doomed: list[VersionId]) -> None:
    """Refuse to take away what a version that stays was merged from."""
    gone = set(doomed)
    for node in tree.nodes.values():
        if node.id not in gone and gone.intersection(node.parents):
            raise InvalidOperation(
                f"the version {node.label} is a merge of a version that would be "
                "removed; remove the merge first",
                version=node.id,
            )


def _references(repository: Repository, tree: VersionTree, doomed: list[VersionId]) -> Commit:
    """Return the commit that removes the versions and mends the branches."""
    gone = set(doomed)
    commit = Commit(forgotten=doomed)
    owners = {node.branch for node in tree.nodes.values() if node.id not in gone}
    for name, tip in repository.branches.all().items():
        if tip not in gone:
            continue
        survivor = next(v for v in tree.ancestors(tip) if v not in gone)
        if name in owners:  # it has versions of its own left
            commit.branches[name] = survivor
        else:
            commit.dropped_branches.append(name)
    return commit


def attachment_after(
    hold: Hold, commit: Commit, tree: VersionTree, parent: VersionId
) -> dict[str, object]:
    """Return the fields of HEAD at the parent once the commit has moved the branches."""
    tips = {**hold.repository.branches.all(), **commit.branches}
    label = tree.nodes[parent].branch
    taken = {*commit.dropped_branches, *branches_elsewhere(hold)}
    for branch in (hold.state.branch, label):
        if branch not in taken and tips.get(branch) == parent:
            return {"head": parent, "branch": branch, "detached": False}
    return {"head": parent, "branch": label, "detached": True}
