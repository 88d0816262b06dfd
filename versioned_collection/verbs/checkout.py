"""checkout: bring the collection to another version."""

from __future__ import annotations

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer, Progress
from versioned_collection.core import revision as revisions
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidArgument
from versioned_collection.joining import carry_out
from versioned_collection.moves import moves_along
from versioned_collection.recovery import holding
from versioned_collection.repository import Hold, Repository
from versioned_collection.spanning import shorten
from versioned_collection.versions import Resolver, RevisionLike, attachment
from versioned_collection.working_copy import WorkingCopy


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
        InvalidOperation: There are uncommitted changes, or another client wrote meanwhile.
        InvalidCollectionVersion: There is no such version.
        BranchNotFound: There is no such branch.
    """
    if version is None and branch is None:
        raise InvalidArgument("give a version, a branch, or both")
    with holding(repository, "checkout") as hold:
        resolver = Resolver(repository, hold.state)
        target = resolver.resolve(version, branch)
        state = attachment(
            repository, hold.state, target, _branch_named(resolver, version, branch)
        )
        copy = WorkingCopy(hold)
        if target == hold.state.head:
            _stay(hold, copy, state)
        else:
            copy.require_clean()
            _go(hold, target, {**state, **copy.noticed.position()}, progress)
        return target


def _branch_named(resolver: Resolver, version: RevisionLike, branch: str | None) -> str | None:
    """Return the branch that the caller named, to which HEAD attaches at its tip."""
    if isinstance(version, (tuple, list)) and len(version) == 2:
        return str(version[1])
    if isinstance(version, str):
        parsed = revisions.parse(version)
        plain = parsed.generations == 0 and parsed.time is None
        return parsed.base if plain and resolver.tip(parsed.base) is not None else None
    if isinstance(version, int) and branch is None:
        return resolver.current_branch
    return branch


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
