"""pull: bring the versions of a remote, and let the local branch go on from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from versioned_collection.committer import Progress
from versioned_collection.core.graph import is_ancestor
from versioned_collection.core.merging import DEFAULT_POLICY, MergePolicy
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.labels import Meeting
from versioned_collection.recovery import holding
from versioned_collection.remotes.address import (
    DEFAULT,
    RemoteLike,
    check_remote_name,
    opened,
    storable_url,
)
from versioned_collection.remotes.base import Refs
from versioned_collection.remotes.fetching import Plan, carry_out_fetch, plan_fetch
from versioned_collection.remotes.integrating import (
    agree_on_labels,
    fast_forward,
    take_labels_over,
    unite,
)
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.transfer import found
from versioned_collection.repository import Repository
from versioned_collection.working_copy import WorkingCopy


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought, or would bring.

    Attributes:
        remote: The name by which the remote's branches are known here.
        versions: How many versions.
        branches: The branches that moved: name to the tip before and now.
        created: Whether this side was not tracked before.
    """

    remote: str
    versions: int
    branches: dict[str, tuple[VersionId | None, VersionId]] = field(default_factory=dict)
    created: bool = False


class Wanted(NamedTuple):
    """What the caller of a pull asks for.

    Attributes:
        branch: The branch; the one that is checked out where it is left out.
        rebase: Replay local versions on those of the remote, instead of merging the two.
        policy: What settles conflicts.
        dry_run: Find out what would come, and do nothing.
    """

    branch: str | None = None
    rebase: bool = False
    policy: MergePolicy = DEFAULT_POLICY
    dry_run: bool = False


def pull(
    repository: Repository,
    remote: RemoteLike,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Pulled | None:
    """Bring the versions of a remote's branch, and let the local one go on from them.

    Returns:
        What was done; None where the remote is not tracked.

    Raises:
        InvalidOperation: HEAD is detached and no branch named, the remote has no such branch,
            or the branch is checked out and has uncommitted changes.
        InvalidCollectionState: The histories begin with different versions.
        AutoMergeFailedError: Conflicts wait for decisions.
        TransferRefused: What came is not what was announced.
        RemoteNotFound: There is no remote of that name.
    """
    with opened(repository, remote, progress) as (name, other):
        refs = other.refs()
        if refs is None:
            return None
        state = repository.metadata.read()
        if state is None:
            return _copy(repository, name, other, refs, wanted, progress)
        if wanted.branch is None and state.detached:
            raise InvalidOperation("HEAD is detached; name the branch to pull, or check one out")
        branch = wanted.branch or state.branch
        if branch == state.branch and not state.detached:
            _require_clean(repository)
        plan = plan_fetch(repository, other, refs, [branch])
        if not wanted.dry_run:
            carry_out_fetch(repository, name, other, plan, progress or (lambda *_: None))
            agree_on_labels(repository, name, other, refs, branch)
        moved = _integrate(repository, name, branch, plan, wanted, progress)
        return Pulled(name, len(plan.nodes), moved)


def clone(
    repository: Repository,
    remote: RemoteLike,
    branch: str | None = None,
    remote_name: str = DEFAULT,
    progress: Progress | None = None,
) -> None:
    """Make an untracked collection a copy of a remote, and give that a name.

    A URI that holds a password is not kept.

    Raises:
        InvalidOperation: It is tracked, or has other documents, or the remote is not tracked.
    """
    check_remote_name(remote_name)
    if repository.metadata.read() is not None:
        raise InvalidOperation(
            f"the collection {repository.name!r} is tracked already; pull() brings what is new",
            collection=repository.name,
        )
    pulled = pull(repository, remote, Wanted(branch), progress)
    if pulled is None:
        raise InvalidOperation("the remote is not tracked, so there is nothing to clone")
    if isinstance(remote, str) and storable_url(remote):
        known = repository.remotes.get(pulled.remote)
        repository.remotes.add(remote_name, remote)
        if known is not None and known.seen is not None and known.name != remote_name:
            repository.remotes.see(remote_name, known.tips, known.seen)
            repository.remotes.remove(known.name)


def _require_clean(repository: Repository) -> None:
    with holding(repository, "pull") as hold:
        WorkingCopy(hold).require_clean()


def _copy(
    repository: Repository,
    name: str,
    remote: MongoRemote,
    refs: Refs,
    wanted: Wanted,
    progress: Progress | None,
) -> Pulled:
    branch = wanted.branch or _checked_out(refs)
    if branch not in refs.branches:
        raise InvalidOperation(f"the remote has no branch {branch!r}", branch=branch)
    moved: dict[str, tuple[VersionId | None, VersionId]] = {
        one: (None, tip) for one, tip in refs.branches.items()
    }
    count = 0
    if not wanted.dry_run:
        here = MongoRemote(repository, progress)
        report = progress or (lambda phase, count: None)
        count = found(remote, here, refs.branches, refs.tags, branch, report)
        repository.remotes.see(name, refs.branches, repository.now())
        repository.remotes.agree(name, refs.labels)
    return Pulled(name, count, moved, created=True)


def _checked_out(refs: Refs) -> str:
    """Return the branch that a copy checks out: that of the remote, where it is still there."""
    return refs.current if refs.current in refs.branches else next(iter(refs.branches), "main")


def _integrate(
    repository: Repository,
    name: str,
    branch: str,
    plan: Plan,
    wanted: Wanted,
    progress: Progress | None,
) -> dict[str, tuple[VersionId | None, VersionId]]:
    theirs = plan.branches[branch]
    with holding(repository, "pull") as hold:
        mine = repository.branches.get(branch)
        tree = repository.log.tree().with_nodes(plan.nodes if wanted.dry_run else ())
        if mine is not None and is_ancestor(tree, theirs, mine):
            if not wanted.dry_run:
                take_labels_over(hold, tree, Meeting(name, branch, None, theirs))
            return {}
        meeting = Meeting(name, branch, mine, theirs)
        if not wanted.dry_run:
            if mine is None or is_ancestor(tree, mine, theirs):
                fast_forward(hold, tree, meeting, progress)
            else:
                unite(hold, tree, meeting, wanted.policy, rebase=wanted.rebase, progress=progress)
        return {branch: (mine, theirs)}
