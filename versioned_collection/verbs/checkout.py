"""checkout: bring the collection to another version."""

from __future__ import annotations

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.elsewhere import branches_elsewhere, checked_out_in
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import moves_along
from versioned_collection.errors import InvalidArgument
from versioned_collection.history.revisions import Resolver, RevisionLike, attachment, branch_named
from versioned_collection.history.spanning import shorten
from versioned_collection.merges.joining import carry_out
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy


def checkout(
    repository: Repository,
    version: RevisionLike = None,
    branch: str | None = None,
    progress: Progress | None = None,
) -> VersionId:
    """Bring the collection to a version.

    Returns:
        The version that is checked out now.

    Raises:
        InvalidArgument: Neither a version nor a branch was given.
        InvalidOperation: There are uncommitted changes, another client wrote meanwhile, or
            another working copy has the branch checked out.
        InvalidCollectionVersion: There is no such version.
        BranchNotFound: There is no such branch.
    """
    if version is None and branch is None:
        raise InvalidArgument("give a version, a branch, or both")
    with holding(repository, "checkout") as hold:
        resolver = Resolver(repository, hold.state)
        target = resolver.resolve(version, branch)
        state = _head(hold, resolver, target, version, branch)
        copy = WorkingCopy(hold)
        if target == hold.state.head:
            _stay(hold, copy, state)
        else:
            copy.require_clean()
            _go(hold, target, {**state, **copy.noticed.position()}, progress)
        return target


def _head(
    hold: Hold, resolver: Resolver, target: VersionId, version: RevisionLike, branch: str | None
) -> dict[str, object]:
    """Return the fields of HEAD once it is on a version.

    Raises:
        InvalidOperation: A branch was asked for that another working copy has checked out.
    """
    named = branch_named(resolver, version, branch)
    taken = branches_elsewhere(hold)
    if named in taken and version in (None, named):
        raise checked_out_in(named, taken[named])
    return attachment(hold.repository, hold.state, target, named, taken)


def _stay(hold: Hold, copy: WorkingCopy, state: dict[str, object]) -> None:
    """Only HEAD moves; an unborn branch and its origin share all documents."""
    same = all(getattr(hold.state, name) == value for name, value in state.items())
    if not same:
        copy.require_clean()
        Committer(hold).references(Commit(state=state))


def _go(
    hold: Hold, target: VersionId, state: dict[str, object], progress: Progress | None
) -> None:
    repository = hold.repository
    tree = repository.log.ancestry()
    path = tree.path(hold.state.head, target)
    commit = Commit(state=dict(state), path=path)
    carry_out(hold, commit, lambda: moves_along(repository, path), progress)
    shorten(hold, tree, path, target)
