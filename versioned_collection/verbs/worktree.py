"""worktree, worktrees: several working copies of one repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from versioned_collection.committing.elsewhere import checked_out_in, holders
from versioned_collection.committing.worktrees import complete_worktree
from versioned_collection.core.revision import check_name
from versioned_collection.core.version import Version
from versioned_collection.errors import InvalidOperation
from versioned_collection.history.revisions import Resolver, RevisionLike, attachment, branch_named
from versioned_collection.history.versions import refuse_taken
from versioned_collection.observing import Progress, counted
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.lifecycle import drop_trackers
from versioned_collection.repository.names import check_namespace
from versioned_collection.repository.repository import Repository
from versioned_collection.repository.sharding import refuse_worktree
from versioned_collection.trackers.base import check_collection_name
from versioned_collection.trackers.lease import Lease
from versioned_collection.working.copying import Copying
from versioned_collection.working.recovery import holding
from versioned_collection.working.tracking import (
    refuse_foreign,
    refuse_lost,
    refuse_related,
    refuse_renamed,
)

_UNSETTLED = ("worktree", "remove_worktree")


@dataclass(frozen=True, slots=True)
class Worktree:
    """A working copy of a repository.

    Attributes:
        name: The name of its collection.
        head: The version that is checked out.
        branch: The branch that is checked out; of a detached HEAD, the branch of its label.
        detached: Whether HEAD is not the tip of `branch`.
        is_main: Whether it is the main working copy, after which the trackers are named.
    """

    name: str
    head: Version
    branch: str
    detached: bool
    is_main: bool


def worktrees(repository: Repository) -> list[Worktree]:
    """Return all working copies of the repository, the main one first, then by name.

    Raises:
        CollectionNotTracked: There is no history.
    """
    repository.state()
    states = {
        name: state
        for name, state in repository.metadata.read_all().items()
        if state.intent is None or state.intent["verb"] not in _UNSETTLED
    }
    heads = {state.head for state in states.values()}
    entries = {entry.id: entry for entry in repository.log.get_many(heads)}
    return [
        Worktree(name, entries[state.head], state.branch, state.detached, name == repository.home)
        for name, state in states.items()
        if state.head in entries
    ]


# -- making ----------------------------------------------------------------------------------


def worktree(
    repository: Repository,
    revision: RevisionLike,
    name: str,
    new_branch: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Make a working copy of a version in a collection of its own.

    Args:
        repository: The trackers.
        revision: What is checked out in it.
        name: The name of the collection.
        new_branch: A branch to create at the version, and to check out.
        progress: Told how many documents that differ from HEAD were written.

    Raises:
        InvalidArgument: A name is malformed, reserved, too long or taken.
        InvalidOperation: There is a collection of that name, or a working copy has the branch
            checked out.
        NotSupported: The collection is sharded.
        DocumentRejected: An index refuses documents of the version.
        FormatMismatch: Something else uses the names of trackers.
        InvalidCollectionVersion: There is no such version.
    """
    _check_name(repository, name)
    if new_branch is not None:
        check_name(new_branch)
    refuse_worktree(repository)
    with holding(repository, "worktree") as hold:
        head = _head(hold, revision, new_branch)
        with _name_held(hold, name) as turn:
            setup = MongoRemote(repository).setup()
            made = Copying(hold, turn, name, head, new_branch)
            made.run(setup.options, setup.indexes, counted(progress))
            _complete(hold, name)


def _check_name(repository: Repository, name: Any) -> None:
    check_collection_name(repository.db, name)  # the trackers' prefix would mend some names
    check_namespace(repository.db.name, name)


def _head(hold: Hold, revision: RevisionLike, new_branch: str | None) -> dict[str, Any]:
    """Return the fields of the new HEAD.

    Raises:
        InvalidOperation: A working copy has the branch checked out.
    """
    repository = hold.repository
    resolver = Resolver(repository, hold.state)
    target = resolver.resolve(revision)
    if new_branch is not None:
        refuse_taken(repository, new_branch)
        return {"head": target, "branch": new_branch, "detached": False}
    named = branch_named(resolver, revision, None)
    taken = holders({**hold.others, repository.name: hold.state})
    if named in taken and revision == named:
        raise checked_out_in(named, taken[named])
    return attachment(repository, hold.state, target, named, taken)


@contextmanager
def _name_held(hold: Hold, name: str) -> Iterator[Lease]:
    """Hold the lease of a name that nobody uses, so that nobody begins to track it meanwhile.

    Raises:
        InvalidOperation: There is a collection of that name, or one that is tracked.
        FormatMismatch: Something else uses the names of its trackers.
        CorruptHistory: It has a history whose metadata is lost.
    """
    repository = hold.repository
    wanted = Repository(
        repository.db,
        name,
        lease_seconds=repository.lease_seconds,
        lease_wait_seconds=repository.lease_wait_seconds,
    )
    _refuse_taken(wanted)
    turn = wanted.leases.acquire(
        hold.verb, wanted.lease_period, wanted.lease_wait_seconds, hold.session.session_id
    )
    try:
        turn.keep()
        _refuse_taken(wanted)
        refuse_lost(wanted)
        drop_trackers(Hold(wanted, turn, hold.session, hold.verb))  # what a killed init may leave
        yield turn
    finally:
        turn.unsettled = hold.lease.unsettled
        turn.release()
        wanted.leases.forget(turn.token)


def _refuse_taken(wanted: Repository) -> None:
    if wanted.collection_info() is not None or wanted.known_state() is not None:
        raise InvalidOperation(
            f"there is a collection or view {wanted.name!r} already; choose another name",
            name=wanted.name,
        )
    refuse_related(wanted)
    refuse_foreign(wanted)
    refuse_renamed(wanted)


def _complete(hold: Hold, name: str) -> None:
    hold.refresh()
    hold.lease.check()  # who has taken over completes it
    if not complete_worktree(hold.beside(name)):
        raise InvalidOperation(
            f"another client has made a collection {name!r} meanwhile; no worktree was made, "
            "choose another name",
            name=name,
        )
