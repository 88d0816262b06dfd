"""push: bring a branch to a remote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.revision import check_text
from versioned_collection.core.tree import Ancestry, Node
from versioned_collection.core.version import VersionId
from versioned_collection.errors import (
    BranchNotFound,
    InvalidArgument,
    InvalidOperation,
    PermissionDenied,
)
from versioned_collection.history.containing import relation_of
from versioned_collection.merges.rebase_plan import refuse_waiting
from versioned_collection.observing import Progress, verb
from versioned_collection.remotes.base import Refs, Remote, Update
from versioned_collection.remotes.checked import check_refs
from versioned_collection.remotes.fetching import refuse_other_roots
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.opening import RemoteLike, opened
from versioned_collection.remotes.purged import (
    refuse_other_history,
    refuse_purged_below,
    refuse_purged_meanwhile,
)
from versioned_collection.remotes.transfer import found, missing, send
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push brought to a remote, or would bring.

    Attributes:
        remote: The name by which the remote's branches are known here.
        versions: How many versions.
        branches: The branches that moved: name to the tip before (None for a branch that is
            new) and now (None for one that was deleted).
        tags: The tags that are new there.
        created: Whether the remote was not tracked before.
        caught_up: The branch that the remote's working copy, which an earlier push left behind,
            has checked out again; None where it was not.
        tags_kept: The tags that the remote has at other versions, where they stay.
    """

    remote: str
    versions: int
    branches: Mapping[str, tuple[VersionId | None, VersionId | None]]
    tags: Sequence[str] = ()
    created: bool = False
    caught_up: str | None = None
    tags_kept: Sequence[str] = ()


class Wanted(NamedTuple):
    """What the caller of a push asks for.

    Attributes:
        branch: The branch; the one that is checked out where it is left out.
        do_checkout: Whether the remote's working copy follows its branch.
        all: Push all branches.
        tags: Push all tags.
        delete: Delete the branch at the remote instead.
        force: Move the remote's branch also where that loses versions from it, as long as it
            is where it was last seen.
        dry_run: Find out what would be done, and do nothing.
    """

    branch: str | None = None
    do_checkout: bool = True
    all: bool = False
    tags: bool = False
    delete: bool = False
    force: bool = False
    dry_run: bool = False


@verb("push")
def push(
    repository: Repository,
    remote: RemoteLike,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Pushed | None:
    """Bring branches to a remote.

    Returns:
        What was done; None where this side is not tracked.

    Raises:
        InvalidOperation: HEAD is detached and no branch named, the remote's branch is ahead or
            has diverged, its working copy has changes, or the branch grew from one that the
            remote does not have.
        BranchNotFound: There is no such branch (an InvalidOperation, too).
        InvalidCollectionState: The histories begin with different versions.
        InvalidArgument: The arguments contradict each other, or the remote is a collection of
            another name.
        NotSupported: The remote is a bundle.
        HistoryPurged: One of the sides was purged.
        TransferRefused: Something there, or on the way, is not as it must be.
        RemoteNotFound: There is no remote of that name.
        RemoteUnreachable: There is no connection to it, or it broke.
    """
    _check(wanted)
    with opened(repository, remote, progress, giving=True) as (name, other):
        state = repository.known_state()
        if state is None:
            return None
        refs = other.refs()
        if refs is not None:
            refs = refs._replace(tags=check_refs(refs.branches, refs.tags))
        push = _Push(repository, name, other, refs, wanted, progress)
        if wanted.delete:
            return push.delete()
        branches = _branches(repository, state, wanted)
        _refuse_unstashable(repository, state)
        return push.first(branches) if refs is None else push.run(branches)


def _check(wanted: Wanted) -> None:
    if wanted.branch is not None:
        check_text(wanted.branch)
    if wanted.delete and (wanted.branch is None or wanted.all or wanted.tags):
        raise InvalidArgument("name one branch to delete at the remote, and nothing else")
    if wanted.all and wanted.branch is not None:
        raise InvalidArgument("name a branch, or push all of them, not both")


def _branches(repository: Repository, state: Metadata, wanted: Wanted) -> dict[str, VersionId]:
    tips = repository.branches.all()
    if wanted.all:
        return tips
    branch = wanted.branch
    if branch is None:
        refuse_waiting(state)
        if state.detached:
            raise InvalidOperation("HEAD is detached; name the branch to push, or check one out")
        branch = state.branch
    if branch not in tips:
        raise BranchNotFound(
            f"there is no branch {branch!r}; branches() lists them", branch=branch
        )
    return {branch: tips[branch]}


def _refuse_unstashable(repository: Repository, state: Metadata) -> None:
    """Refuse uncommitted changes beside a stash, as programs of the older library expect."""
    if not state.stashes:
        return
    with holding(repository, "push") as hold:
        copy = WorkingCopy(hold)
        changed = copy.has_changes()
        copy.persist()
    if changed:
        raise InvalidOperation(
            "there are uncommitted changes and a stash; register or discard the changes, or "
            "apply or discard the stash, then push"
        )


class _Push:
    def __init__(
        self,
        repository: Repository,
        name: str,
        remote: Remote,
        refs: Refs | None,
        wanted: Wanted,
        progress: Progress | None,
    ) -> None:
        self._repository = repository
        self._here = MongoRemote(repository)
        self._name = name
        self._remote = remote
        self._refs = refs
        self._wanted = wanted
        self._progress = progress or (lambda phase, count: None)

    # -- first contact -------------------------------------------------------------------

    def first(self, branches: Mapping[str, VersionId]) -> Pushed:
        """Make the remote a copy.

        Raises:
            InvalidOperation: There is no branch, or one grew from another that is not pushed.
        """
        if not branches:
            raise InvalidOperation(
                "there is no branch, and a copy needs one: create_branch() makes one where HEAD is"
            )
        state = self._repository.state()
        branch = state.branch if state.branch in branches else next(iter(branches))
        count = self._refuse_first_orphans(branches)
        tags = self._tags()
        if not self._wanted.dry_run:
            labels = self._repository.labels_as_of(state)
            found(self._here, self._remote, branches, tags, branch, labels, self._progress)
            self._see(branches)
        moved = {name: (None, tip) for name, tip in branches.items()}
        return Pushed(self._name, count, moved, sorted(tags), created=True)

    def _refuse_first_orphans(self, branches: Mapping[str, VersionId]) -> int:
        """Check what branches grew from; return how many versions they have."""
        tree = self._repository.log.ancestry()
        nodes = [tree.nodes[one] for one in ancestors_of(tree, *branches.values())]
        self._refuse_orphans(branches, {}, {node.id: node for node in nodes})
        return len(nodes)

    # -- later on ------------------------------------------------------------------------

    def run(self, branches: Mapping[str, VersionId]) -> Pushed:
        """Bring what the remote lacks, then move its branches.

        Raises:
            HistoryPurged: One of the sides was purged.
            InvalidCollectionState: The histories begin with different versions.
        """
        refs = self._refs
        assert refs is not None
        theirs = refs.branches
        agreed = refuse_other_history(self._here, self._remote, refs)
        moved = {
            name: (theirs.get(name), tip)
            for name, tip in branches.items()
            if theirs.get(name) != tip
        }
        tags, kept = self._new_tags(refs)
        starts = [*branches.values(), *(tag["version"] for tag in tags.values())]
        nodes = missing(self._here, starts, self._remote.known)
        refuse_other_roots(nodes)
        if nodes or moved:
            refuse_purged_below(self._here, self._remote, nodes, starts, agreed)
        coming = {node.id: node for node in nodes}
        for name, (there, here) in moved.items():
            if there is not None and not _leads_to(coming, there, here):
                self._check_forward(name, there, here)
        self._refuse_orphans(branches, theirs, coming)
        versions = [node.id for node in nodes]
        returning = self._returning(refs, branches)
        updated = {**returning, **moved}
        if (updated or tags) and not self._wanted.dry_run:
            with self._remote.inbox() if versions else nullcontext() as inbox:
                if inbox is not None:
                    refuse_purged_meanwhile(self._here, self._remote, refs, nodes, starts, agreed)
                    send(self._here, inbox, versions, self._progress)
                self._remote.update(Update(versions, updated, tags, self._wanted.do_checkout))
        if not self._wanted.dry_run:
            self._see(branches)
        caught_up = next(iter(returning), None)
        count = len(versions)
        return Pushed(self._name, count, moved, sorted(tags), False, caught_up, sorted(kept))

    def _returning(
        self, refs: Refs, branches: Mapping[str, VersionId]
    ) -> dict[str, tuple[VersionId, VersionId]]:
        """Return the branch to which the remote's HEAD goes back, if it was left behind there."""
        name = refs.left_behind if self._wanted.do_checkout else None
        tip = None if name is None else branches.get(name)
        return {} if name is None or tip is None else {name: (tip, tip)}

    def _check_forward(self, name: str, there: VersionId, here: VersionId) -> None:
        """Make sure that nothing at the remote drops out of its branch.

        Raises:
            InvalidOperation: The remote is ahead, or the histories have diverged.
        """
        way = relation_of(self._repository, self._ancestry(there), here, there)
        if way in ("same", "ahead"):
            return
        if self._wanted.force:
            self._check_lease(name, there)
        elif way == "behind":
            state = self._repository.state()
            is_current = not state.detached and state.branch == name
            raise InvalidOperation(
                f"the tip of {'your current branch' if is_current else 'another branch'} is "
                f"behind: {name!r} has moved on at the remote; pull it first",
                branch=name,
            )
        else:
            raise InvalidOperation(
                f"the histories of branch {name!r} have diverged; pull, which merges them, then "
                "push again",
                branch=name,
            )

    def _ancestry(self, there: VersionId) -> Ancestry:
        """Return the ways up from versions here, and from one that may be at the remote alone."""
        log = self._repository.log
        known = log.known(there)
        return log.ancestry(() if known else missing(self._remote, [there], self._here.known))

    def _check_lease(self, name: str, there: VersionId) -> None:
        known = self._repository.remotes.get(self._name)
        if known is None or known.tips.get(name) != there:
            raise InvalidOperation(
                f"branch {name!r} of the remote is not where it was last seen, so somebody's "
                "versions would be lost; fetch, look at them, then force again",
                branch=name,
            )

    def _refuse_orphans(
        self,
        branches: Mapping[str, VersionId],
        theirs: Mapping[str, VersionId],
        coming: Mapping[VersionId, Node],
    ) -> None:
        """Refuse a new branch that grew from another one which the remote has yet to get."""
        # one that is there moves on from where it is, be it over versions of others
        new = {name: tip for name, tip in branches.items() if name not in theirs}
        own = self._repository.branches.all() if new else {}
        for name, tip in new.items():
            parent = _grown_from(name, coming, tip)
            if parent is None or parent not in own or parent in branches:
                continue
            if theirs.get(parent) != own[parent]:  # where they agree, it is only thinned out there
                verb = "has yet to get" if parent not in theirs else "lacks versions of"
                raise InvalidOperation(
                    f"branch {name!r} grew from {parent!r}, which the remote {verb}; push "
                    f"{parent!r} first",
                    branch=name,
                    parent=parent,
                )

    # -- names ---------------------------------------------------------------------------

    def delete(self) -> Pushed:
        """Delete a branch at the remote."""
        name = self._wanted.branch
        assert name is not None
        if self._refs is None:
            raise InvalidOperation("the remote is not tracked, so it has no branch to delete")
        moved = {name: (self._refs.tip(name), None)}
        if not self._wanted.dry_run:
            self._remote.update(Update(branches=moved))
            self._see({name: None})
        return Pushed(self._name, 0, moved)

    def _tags(self) -> dict[str, Mapping[str, Any]]:
        return dict(self._repository.tags.documents()) if self._wanted.tags else {}

    def _new_tags(self, refs: Refs) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
        """Return the tags that the remote lacks, and those that it has at other versions."""
        new, kept = {}, []
        for name, tag in self._tags().items():
            there = refs.tags.get(name)
            if there is None:
                new[name] = tag
            elif there["version"] != tag["version"]:
                kept.append(name)
        return new, kept

    def _see(self, branches: Mapping[str, VersionId | None]) -> None:
        """Note where branches are that were pushed; None stands for one that was deleted.

        The others may have got versions since that nobody here has seen: `_check_lease` keeps
        them, as long as they are not noted. It keeps all where whoever pushes may only read here,
        and where the history here is no more, or has another name, since it was read.
        """
        repository = self._repository
        here = repository.log.among(tip for tip in branches.values() if tip is not None)
        tips = {name: tip for name, tip in branches.items() if tip is None or tip in here}
        if here or (tips and repository.known_state() is not None):
            with suppress(PermissionDenied):  # the remote has what was pushed
                repository.remotes.see(self._name, tips, repository.now())


def _leads_to(coming: Mapping[VersionId, Node], there: VersionId, tip: VersionId) -> bool:
    """Tell whether versions that are to be sent lead from one of the remote's to a tip."""
    waiting, seen = [tip], set()
    while waiting:
        version = waiting.pop()
        if version == there:
            return True
        if version in coming and version not in seen:
            seen.add(version)
            waiting.extend(coming[version].parents)
    return False


def _grown_from(name: str, coming: Mapping[VersionId, Node], tip: VersionId) -> str | None:
    """Return the first branch below the versions of a branch, as far as these are to be sent.

    What lies between two versions of the branch itself came in by a fast-forward.
    """
    parent = None
    node = coming.get(tip)
    while node is not None:
        if node.branch == name:
            parent = None
        else:
            parent = parent or node.branch
        node = coming.get(node.parents[0]) if node.parents else None
    return parent
