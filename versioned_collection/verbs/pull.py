"""pull: bring the versions of a remote, and let the local branch go on from them."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bson.objectid import ObjectId

from versioned_collection.core.graph import Relation
from versioned_collection.core.merging import DEFAULT_POLICY, MergePolicy
from versioned_collection.core.revision import check_text
from versioned_collection.core.tree import Ancestry
from versioned_collection.core.version import VersionId
from versioned_collection.driver.pipeline import Workers
from versioned_collection.errors import CollectionNotTracked, InvalidOperation, RemoteNotFound
from versioned_collection.history.containing import relation_of
from versioned_collection.history.labels import Labels, Meeting
from versioned_collection.merges.rebase_plan import refuse_waiting
from versioned_collection.observing import Progress, verb
from versioned_collection.remotes.address import (
    DEFAULT,
    check_remote_name,
    stored_url,
)
from versioned_collection.remotes.arrival import fetched, fetched_and_followed
from versioned_collection.remotes.base import Refs, Remote
from versioned_collection.remotes.fetching import Plan, brought, plan_fetch, seen
from versioned_collection.remotes.integrating import (
    agreeing,
    fast_forward,
    note_agreement,
    relabelled_there,
    take_labels_over,
    unite,
)
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.opening import RemoteLike, opened
from versioned_collection.remotes.purged import frontier
from versioned_collection.remotes.transfer import found
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.trackers.remotes import KnownRemote
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy


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
        origin: The name and the URI by which a copy knows the remote; by its address alone
            where they are left out.
    """

    branch: str | None = None
    rebase: bool = False
    policy: MergePolicy = DEFAULT_POLICY
    dry_run: bool = False
    origin: tuple[str, str] | None = None


@verb("pull")
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
        InvalidOperation: HEAD is detached and no branch named, or the branch is checked out and
            has uncommitted changes.
        BranchNotFound: The remote has no such branch (an InvalidOperation, too).
        InvalidCollectionState: The histories begin with different versions.
        HistoryPurged: One of the sides was purged.
        AutoMergeFailedError: Conflicts wait for decisions.
        TransferRefused: What came is not what was announced.
        RemoteNotFound: There is no remote of that name.
        RemoteUnreachable: There is no connection to it, or it broke.
        CollectionNotTracked: There is no history, and so no remote of any name.
    """
    try:
        return _brought(repository, remote, wanted, progress)
    except RemoteNotFound:
        if repository.known_state() is not None:
            raise
        name = f"{repository.db.name}.{repository.name}"
        raise CollectionNotTracked(
            f"the collection {name!r} has no history, and knows no remotes by name; "
            "init() starts one, and a pull from a URI makes it a copy",
            collection=name,
        ) from None


def _brought(
    repository: Repository, remote: RemoteLike, wanted: Wanted, progress: Progress | None
) -> Pulled | None:
    if wanted.branch is not None:
        check_text(wanted.branch)
    with (
        opened(repository, remote, progress) as (name, other),
        repository.deltas.fresh.kept(),
    ):
        refs = other.refs()
        if refs is None:
            return None
        state = repository.known_state()
        if state is None:
            return _copy(repository, name, other, refs, wanted, progress)
        if wanted.branch is None:
            refuse_waiting(state)
        if wanted.branch is None and state.detached:
            raise InvalidOperation("HEAD is detached; name the branch to pull, or check one out")
        branch = state.branch if wanted.branch is None else wanted.branch
        pulling = _Pulling(repository, name, other, branch, wanted)
        return pulling.run(state, refs, progress)


@verb("clone")
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
    if repository.known_state() is not None:
        raise InvalidOperation(
            f"the collection {repository.name!r} is tracked already; pull() brings what is new",
            collection=repository.name,
        )
    url = stored_url(remote)
    origin = None if url is None else (remote_name, url)
    if _brought(repository, remote, Wanted(branch, origin=origin), progress) is None:
        raise InvalidOperation("the remote is not tracked, so there is nothing to clone")


def _copy(
    repository: Repository,
    name: str,
    remote: Remote,
    refs: Refs,
    wanted: Wanted,
    progress: Progress | None,
) -> Pulled:
    branch = _checked_out(refs) if wanted.branch is None else wanted.branch
    refs.tip(branch)
    moved: dict[str, tuple[VersionId | None, VersionId]] = {
        one: (None, tip) for one, tip in refs.branches.items()
    }
    count = 0
    if not wanted.dry_run:
        here = MongoRemote(repository, progress)
        report = progress or (lambda phase, count: None)
        known, url = wanted.origin or (name, None)

        def note() -> None:
            labels = dict.fromkeys(refs.branches, (refs.labels, refs.labels))
            first = KnownRemote(known, url, refs.branches, repository.now(), labels)
            repository.remotes.begin(first)

        tips, tags = refs.branches, refs.tags
        count = found(remote, here, tips, tags, branch, refs.labels, report, note)
    return Pulled(name, count, moved, created=True)


def _checked_out(refs: Refs) -> str:
    """Return the branch that a copy checks out: that of the remote, where it is still there."""
    return refs.current if refs.current in refs.branches else next(iter(refs.branches), "main")


class _Pulling:
    """A pull into a collection that is tracked.

    Args:
        repository: The trackers.
        name: The name of the remote.
        remote: The remote.
        branch: The branch.
        wanted: What the caller asks for.
    """

    def __init__(
        self, repository: Repository, name: str, remote: Remote, branch: str, wanted: Wanted
    ) -> None:
        self._repository = repository
        self._name = name
        self._remote = remote
        self._branch = branch
        self._wanted = wanted

    def run(self, state: Metadata, refs: Refs, progress: Progress | None) -> Pulled:
        """Bring what is missing, and let the local branch go on from it.

        Meanwhile it is found out whether the working copy may follow.
        """
        with Workers(1, thread_name_prefix="look") as pool:
            look = pool.submit(self._look, state)
            try:
                plan = self._plan(refs)
                if not self._wanted.dry_run:
                    here = self._repository.labels_as_of(state)
                    return self._carry_out(plan, here, progress or (lambda *_: None), look)
            finally:
                look.result()  # what it refuses comes first
        with holding(self._repository, "pull"):
            tree = self._repository.log.ancestry(plan.nodes)
            return self._pulled(plan, *self._meeting(plan, tree))

    def _look(self, state: Metadata) -> None:
        """Refuse changes of documents that would move."""
        if self._branch == state.branch and not state.detached:
            with holding(self._repository, "pull") as hold:
                WorkingCopy(hold).require_clean()

    def _carry_out(
        self, plan: Plan, here: ObjectId | None, progress: Progress, look: Future[None]
    ) -> Pulled:
        refs = plan.refs
        known = self._repository.remotes.get(self._name)
        labels = relabelled_there(self._repository, known, self._remote, refs, self._branch, here)
        news = seen(known, self._name, plan)

        def told(phase: str, count: int) -> None:
            if look.done():
                look.result()
            progress(phase, count)

        with brought(self._repository, self._remote, plan, told):
            look.result()
            with (
                agreeing(self._repository) as agreement,
                holding(self._repository, "pull") as hold,
            ):
                before = self._repository.labels_as_of(hold.state)
                tree = self._repository.log.ancestry(plan.nodes)
                meeting, way = self._meeting(plan, tree)
                if news is not None and labels is None and way == "ahead":
                    fetched_and_followed(hold, news, meeting, progress)
                    return self._pulled(plan, meeting, way)
                if news is not None:
                    fetched(hold, news, progress)
                if labels is not None:
                    agreement.make(hold, self._name, self._branch, labels)
                tree = self._repository.log.ancestry()
                meeting, way = self._meeting(plan, tree)  # what came may stand for what is here
                self._integrate(hold, tree, meeting, way, agreement.before, progress)
                if before == here and (labels is not None or way == "apart"):
                    note_agreement(hold, self._name, refs, self._branch, before)
        return self._pulled(plan, meeting, way)

    def _plan(self, refs: Refs) -> Plan:
        return plan_fetch(self._repository, self._remote, refs, [self._branch])

    def _meeting(self, plan: Plan, tree: Ancestry) -> tuple[Meeting, Relation]:
        """Return the two ends of the branch, and what theirs is to ours.

        Raises:
            InvalidOperation: What theirs stands on was removed since it was looked for.
        """
        mine, theirs = self._repository.branches.get(self._branch), plan.branches[self._branch]
        self._check_there(frontier(plan.nodes, [theirs]))
        meeting = Meeting(self._name, self._branch, mine, theirs)
        if mine is None:
            return meeting, "ahead"
        return meeting, relation_of(self._repository, tree, theirs, mine)

    def _check_there(self, versions: list[VersionId]) -> None:
        gone = set(versions) - self._repository.log.among(versions)
        if gone:
            raise InvalidOperation(
                f"a version on which {self._branch!r} stands at the remote was removed here "
                "meanwhile; try again, which brings it anew",
                branch=self._branch,
                version=min(gone),
            )

    def _integrate(
        self,
        hold: Hold,
        tree: Ancestry,
        meeting: Meeting,
        way: Relation,
        called: Labels,
        progress: Progress | None,
    ) -> None:
        if way in ("same", "behind"):
            take_labels_over(hold, tree, replace(meeting, mine=None))
        elif way == "ahead":
            fast_forward(hold, tree, meeting, called, progress)
        else:
            rebase, policy = self._wanted.rebase, self._wanted.policy
            unite(hold, meeting, policy, rebase=rebase, before=called, progress=progress)

    def _pulled(self, plan: Plan, meeting: Meeting, way: Relation) -> Pulled:
        moves = way in ("ahead", "apart")
        moved = {meeting.branch: (meeting.mine, meeting.theirs)} if moves else {}
        return Pulled(self._name, len(plan.nodes), moved)
