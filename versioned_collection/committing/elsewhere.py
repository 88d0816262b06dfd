"""What the other working copies of a repository have checked out, and keep others from moving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from versioned_collection.committing.commit import Commit
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.metadata import Metadata


def branches_elsewhere(hold: Hold) -> dict[str, str]:
    """Return the branches that other working copies have checked out, with the name of each."""
    return holders(hold.others)


def holders(states: Mapping[str, Metadata]) -> dict[str, str]:
    """Return the branches that working copies have checked out, with the name of each."""
    return {state.held[0]: name for name, state in states.items() if state.held is not None}


def checked_out_in(branch: str, working_copy: str) -> InvalidOperation:
    """Return the error for a branch that another working copy has checked out."""
    return InvalidOperation(
        f"branch {branch!r} is checked out in the working copy {working_copy!r}, and one branch "
        "is checked out once; work there, create a branch of your own, or name its version, such "
        f"as {branch + '@3'!r}, to have HEAD detached",
        branch=branch,
        working_copy=working_copy,
    )


def refuse_under_others(hold: Hold, commit: Commit) -> None:
    """Refuse a commit that would pull a branch or a version from under another working copy.

    Raises:
        InvalidOperation: It would.
    """
    if not hold.others:
        return
    _refuse_second_checkout(hold, commit)
    gone = set(commit.forgotten)
    for name, state in hold.others.items():
        if gone & state.needed:
            raise InvalidOperation(
                f"the working copy {name!r} has a version checked out that would be removed; "
                "check out another one there, or remove_worktree() first",
                working_copy=name,
            )
        if not commit.elsewhere.get(name):
            _refuse_move(commit, name, state)


def _refuse_second_checkout(hold: Hold, commit: Commit) -> None:
    before = {name: getattr(hold.state, name) for name in ("branch", "detached")}
    after = {name: commit.state.get(name, value) for name, value in before.items()}
    holder = branches_elsewhere(hold).get(after["branch"])
    if after != before and not after["detached"] and holder is not None:
        raise checked_out_in(after["branch"], holder)


def _refuse_move(commit: Commit, name: str, state: Metadata) -> None:
    if state.held is None:
        return
    branch, place = state.held
    if commit.branches.get(branch, place) != place or branch in commit.dropped_branches:
        raise InvalidOperation(
            f"branch {branch!r} is checked out in the working copy {name!r}, so it stays where it "
            "is; do this there, or check out something else there first",
            branch=branch,
            working_copy=name,
        )


def renamed_elsewhere(hold: Hold, old: str, new: str) -> dict[str, dict[str, Any]]:
    """Return what other working copies have to say once a branch has another name."""
    return {name: {"branch": new} for name, state in hold.others.items() if state.branch == old}


def needed_elsewhere(hold: Hold) -> Iterable[VersionId]:
    """Iterate over the versions that other working copies cannot do without."""
    for state in hold.others.values():
        yield from state.needed


def refuse_with_others(hold: Hold, verb: str) -> None:
    """Refuse what concerns a repository as a whole while there are several working copies.

    Raises:
        InvalidOperation: There are.
    """
    repository = hold.repository
    if not repository.is_main:
        raise InvalidOperation(
            f"{repository.name!r} is a worktree of {repository.home!r}, so {verb} is none of its "
            "verbs; remove_worktree() removes it, worktree() makes one of another name",
            collection=repository.name,
            main=repository.home,
        )
    if hold.others:
        raise InvalidOperation(
            f"{repository.name!r} has the worktrees {', '.join(map(repr, hold.others))}; "
            f"remove_worktree() each of them, then {verb}",
            collection=repository.name,
            worktrees=list(hold.others),
        )
