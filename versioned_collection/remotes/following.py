"""A working copy that follows its branch, when that moves to versions of another side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

from versioned_collection.committing.commit import Commit
from versioned_collection.core.tree import Ancestry
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import Move, moves_along
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import InvalidOperation
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.working.working_copy import WorkingCopy

Moves = Callable[[], Iterator[list[Move]]]


@contextmanager
def following(
    hold: Hold,
    commit: Commit,
    tree: Ancestry,
    checkout: bool,
    moves_to: Callable[[VersionId], Generator[list[Move], None, None]] | None = None,
    *,
    returns: bool = False,
) -> Iterator[Moves | None]:
    """Let the working copy follow its branch, where the commit moves that.

    The moves are computed ahead, while it is looked whether they may be made; that ends with
    the context.

    Args:
        hold: The lease.
        commit: The commit, which is completed.
        tree: The ways up from versions.
        checkout: Whether it follows at all; HEAD is detached otherwise.
        moves_to: Iterates over the documents that move from HEAD to a version; without it they
            are computed from the changes in the fastest way.
        returns: Whether a detached HEAD goes back to its branch, where the commit names that.

    Yields:
        What iterates over the documents that move, once; see `joining.carry_out`.

    Raises:
        InvalidOperation: It has changes that were never registered, or a merge waits.
    """
    tip = _goes_to(hold, commit, checkout, returns)
    if tip is None:
        yield _none
        return
    commit.path = path = tree.path(hold.state.head, tip)
    commit.checked = "collection"
    if not hold.repository.has_transactions:
        commit.state = {"head": tip, "detached": False, **_clean_position(hold)}
        yield None
        return
    found = moves_along(hold.repository, path) if moves_to is None else moves_to(tip)
    with closing(prefetch(found)) as ahead:
        commit.state = {"head": tip, "detached": False, **_clean_position(hold)}
        yield lambda: ahead


def _goes_to(hold: Hold, commit: Commit, checkout: bool, returns: bool) -> VersionId | None:
    """Return the version to which the working copy goes, None where it stays.

    Whether HEAD is detached then is noted in the commit, unless it is and stays so.

    Raises:
        InvalidOperation: Its branch is to be removed, or a merge waits.
    """
    state = hold.state
    tip = commit.branches.get(state.branch)
    if state.detached and not (returns and tip is not None):
        return None
    commit.state["detached"] = False
    if tip == state.head:
        return None
    if state.branch in commit.dropped_branches:
        raise InvalidOperation(
            f"branch {state.branch!r} is checked out there, so it stays", branch=state.branch
        )
    if tip is None:
        return None
    refuse_merging(state)
    if not checkout:
        commit.state["detached"] = True
        return None
    return tip


def refuse_merging(state: Metadata) -> None:
    """Refuse to move a branch under a merge that is to become its next version.

    Raises:
        InvalidOperation: One waits.
    """
    if state.merge is not None:
        raise InvalidOperation(
            f"a {state.merge['verb']} waits in the working copy of {state.branch!r}; it has to "
            "be registered, or taken back with abort_merge(), before the branch can move",
            branch=state.branch,
        )


def _none() -> Iterator[list[Move]]:
    return iter(())


def _clean_position(hold: Hold) -> dict[str, Any]:
    """Return up to where the working copy was found to be as in HEAD.

    Raises:
        InvalidOperation: It has changes that were never registered.
    """
    copy = WorkingCopy(hold)
    if copy.has_changes():
        copy.persist()
        branch = hold.state.branch
        advice = (
            "register, stash or discard them, then pull again"
            if hold.verb == "pull"
            else "register, stash or discard them there first, or push with do_checkout=False"
        )
        raise InvalidOperation(
            f"there are uncommitted changes where branch {branch!r} is checked out; {advice}",
            branch=branch,
        )
    copy.forget()
    return dict(copy.noticed.position())
