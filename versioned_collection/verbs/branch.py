"""create_branch, delete_branch, rename_branch."""

from __future__ import annotations

from typing import Any

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.elsewhere import needed_elsewhere, renamed_elsewhere
from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.revision import check_name, check_text
from versioned_collection.core.version import Version
from versioned_collection.errors import BranchNotFound, InvalidOperation
from versioned_collection.history.labels import stamp, taken_over
from versioned_collection.history.versions import entry_of, refuse_taken
from versioned_collection.merges.rebase_plan import refuse_rebased
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding


def create_branch(repository: Repository, name: str) -> Version:
    """Create a branch at HEAD and check it out; uncommitted changes stay.

    Returns:
        The version that the branch points to.

    Raises:
        InvalidArgument: The name is malformed or taken.
    """
    check_name(name)
    with holding(repository, "create_branch") as hold:
        refuse_taken(repository, name)
        head = hold.state.head
        labels = taken_over(repository, repository.log.ancestry(), name, head)
        state = {"branch": name, "detached": False, **stamp(labels)}
        commit = Commit(state=state, branches={name: head}, labels=labels)
        Committer(hold).references(commit)
        return entry_of(repository, head)


def delete_branch(repository: Repository, name: str) -> None:
    """Remove a branch's name; its versions stay as long as another branch or tag needs them.

    Raises:
        BranchNotFound: There is no such branch.
        InvalidType: The name is no text.
        InvalidOperation: It is checked out, here or in another working copy, a rebase of it
            waits, or it alone leads to some versions.
    """
    check_text(name)
    with holding(repository, "delete_branch") as hold:
        tips = repository.branches.all()
        if name not in tips:
            raise _unknown(name)
        if not hold.state.detached and hold.state.branch == name:
            raise InvalidOperation(
                f"branch {name!r} is checked out; check out another one first", branch=name
            )
        refuse_rebased(hold.state, name)
        _refuse_loss(repository, hold, name)
        state = {"progress": ObjectId()}  # fails if another process took over
        Committer(hold).references(Commit(state=state, dropped_branches=[name]))


def _refuse_loss(repository: Repository, hold: Hold, name: str) -> None:
    """Refuse to make versions unreachable: delete_version_subtree says what it removes."""
    tips = repository.branches.all()
    tree = repository.log.tree()
    others = [tip for branch, tip in tips.items() if branch != name]
    others += [tag["version"] for tag in repository.tags.documents().values()]
    others += [hold.state.head, *needed_elsewhere(hold)]
    kept = ancestors_of(tree, *(other for other in others if other in tree))
    lost = sorted(ancestors_of(tree, tips[name]) - kept)
    if lost:
        raise InvalidOperation(
            f"{len(lost)} version(s) are reachable only from branch {name!r}; tag its tip, or "
            "remove them with delete_version_subtree",
            branch=name,
            versions=[str(version) for version in lost],
        )


def rename_branch(repository: Repository, old: str, new: str) -> None:
    """Give a branch another name; all labels with the old one follow, and who checked it out.

    Where versions of a deleted branch carry the new name, the numbers come behind theirs.

    Raises:
        BranchNotFound: There is no branch `old`.
        InvalidType: `old` is no text.
        InvalidArgument: `new` is malformed or taken.
        InvalidOperation: A rebase of it waits.
    """
    check_text(old)
    check_name(new)
    with holding(repository, "rename_branch") as hold:
        tip = repository.branches.get(old)
        if tip is None:
            raise _unknown(old)
        refuse_taken(repository, new)
        for waiting in (hold.state, *hold.others.values()):
            refuse_rebased(waiting, old)
        state: dict[str, Any] = {"branch": new if hold.state.branch == old else hold.state.branch}
        state["labels"] = ObjectId()
        commit = Commit(
            state=state,
            branches={new: tip},
            dropped_branches=[old],
            relabelled=[old, new],
            renumbered=repository.log.last_number(new) + 1,
            elsewhere=renamed_elsewhere(hold, old, new),
        )
        Committer(hold).references(commit)


def _unknown(name: str) -> BranchNotFound:
    return BranchNotFound(f"there is no branch {name!r}; branches() lists them", branch=name)
