"""The moment when versions that have arrived become visible, and names point to them."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.operations import describe
from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.tree import Ancestry
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.history.labels import (
    Label,
    Labels,
    Meeting,
    RemoteNames,
    adopted,
    numbered_behind,
    stamp,
    tracking,
)
from versioned_collection.merges.joining import carry_out
from versioned_collection.merges.rebase_plan import refuse_rebased
from versioned_collection.observing import Progress
from versioned_collection.remotes.arrived import Arrival
from versioned_collection.remotes.base import Update
from versioned_collection.remotes.following import following, refuse_merging
from versioned_collection.remotes.left_behind import left_behind
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding


class News(NamedTuple):
    """What is to be noted of a remote that was looked at.

    Attributes:
        remote: Its name.
        versions: The versions that enter the log.
        tips: Where those of its branches are that were looked at, None for what is no more.
        tags: The tags that are taken over, unless there are such ones.
    """

    remote: str
    versions: Sequence[VersionId]
    tips: Mapping[str, VersionId | None]
    tags: Mapping[str, Mapping[str, Any]]


def fetched(hold: Hold, news: News, progress: Progress | None = None) -> None:
    """Let versions of a remote enter the log, under labels that stand for its branches.

    Raises:
        TransferRefused: Their changes do not lead from one to the next.
        InvalidOperation: A branch here has the name that one of the remote would have.
    """
    repository = hold.repository
    arrival = Arrival(hold, news.versions)
    arrival.prove()
    wanted = {
        version: (tracking(news.remote, branch), number)
        for version, (branch, number) in arrival.labels().items()
    }
    branches = {branch for branch, _ in wanted.values()}
    _refuse_own(repository, branches)
    commit = _noting(hold, news)
    commit.arrived = _stored(wanted)
    holders = repository.log.labelled_any(wanted.values())
    commit.labels = _out_of_the_way(repository, holders, branches)
    Committer(hold, progress).references(commit)
    arrival.forget()


def fetched_and_followed(
    hold: Hold, news: News, meeting: Meeting, progress: Progress | None = None
) -> None:
    """Let versions of a remote enter the log, and a branch go on to the last of them, at once.

    Args:
        hold: The lease.
        news: What came from the remote.
        meeting: The two ends of the branch; the one at the remote contains the one here.
        progress: Told how many documents were written.

    Raises:
        TransferRefused: Their changes do not lead from one to the next.
        InvalidOperation: The branch is checked out and has uncommitted changes, or a branch here
            has the name that one of the remote would have.
    """
    arrival = Arrival(hold, news.versions, news.remote)
    entering, others = _labels_of_branch(hold.repository, arrival, meeting)
    commit = _noting(hold, news)
    commit.branches = {meeting.branch: meeting.theirs}
    commit.arrived = _stored(entering)
    commit.labels = others
    with following(
        hold, commit, arrival.tree, checkout=True, moves_to=arrival.proved_moves
    ) as moves:
        commit.state |= stamp(others)
        describe(hold, commit, otherwise=_stored(arrival.fetched_labels()))
        if commit.path is None or moves is None:
            arrival.prove()
            carry_out(hold, commit, moves, progress)
        else:
            arrival.prove(besides=meeting.theirs)
            with arrival.refused():
                carry_out(hold, commit, moves, progress, arrival.prove)
    arrival.forget()


def _refuse_own(repository: Repository, branches: Iterable[str]) -> None:
    """Refuse to take versions in under labels that belong to a branch here.

    Raises:
        InvalidOperation: One does.
    """
    own = repository.branches.all().keys() & set(branches)
    if own:
        raise InvalidOperation(
            f"branch {min(own)!r} here has the name under which one of the remote would be known; "
            "rename_branch() it, then try again",
            branch=min(own),
        )


def _noting(hold: Hold, news: News) -> Commit:
    """Return a commit that notes where the branches of a remote are, and takes its tags over.

    Raises:
        InvalidOperation: What a tag points to was removed meanwhile.
    """
    repository = hold.repository
    present = repository.tags.documents() if news.tags else {}
    tags = {name: tag for name, tag in news.tags.items() if name not in present}
    _check_there(repository, _targets(tags), news.versions)
    return Commit(
        state={"progress": ObjectId()},
        seen={
            "remote": news.remote,
            "tips": [[*p] for p in news.tips.items()],
            "time": repository.now(),
        },
        tagged=tags,
    )


def _labels_of_branch(
    repository: Repository, arrival: Arrival, meeting: Meeting
) -> tuple[dict[VersionId, Label], Labels]:
    """Return the labels under which versions enter the log, and those of others that change.

    A version that cannot be called as it is at the remote enters as one that was fetched.
    """
    entering = arrival.fetched_labels()
    _refuse_own(repository, {branch for branch, _ in entering.values()})
    there = arrival.labels()
    changes = adopted(repository, arrival.tree, meeting, there)
    changing = {version for version, *_ in changes}
    kept = {label for version, label in entering.items() if version not in changing}
    others: Labels = []
    for version, branch, number in changes:
        if (branch, number) in kept:
            continue
        if version in entering:
            entering[version] = branch, number
        else:
            others.append([version, branch, number])
    moved = {version for version, *_ in others}
    holders = repository.log.labelled_any(entering.values())
    room = _out_of_the_way(repository, holders, {branch for branch, _ in entering.values()})
    return entering, [*(one for one in room if one[0] not in moved), *others]


def arrive(repository: Repository, update: Update, progress: Progress | None = None) -> None:
    """Make an update true: versions enter the log under the labels that they bring.

    Raises:
        InvalidOperation: A branch or tag is not where it is expected, or to point to what is not
            there; a working copy that should follow has changes, or another one has the branch
            checked out.
    """
    with holding(repository, "push") as hold:
        arrival = Arrival(hold, update.versions)
        _check_expected(repository, update)
        tips = {name: tip for name, (_, tip) in update.branches.items() if tip is not None}
        tags = _new_tags(repository, update)
        _check_there(repository, {**_targets(tags), **tips}, arrival.nodes)
        for name in update.branches:
            for waiting in (hold.state, *hold.others.values()):
                refuse_rebased(waiting, name)
        brought = arrival.labels()
        holders = repository.log.labelled_any(brought.values())
        wanted = _behind_those_contained(repository, arrival.tree, brought, update, holders)
        if wanted != brought:
            holders = repository.log.labelled_any(wanted.values())
        commit = Commit(
            state={"progress": ObjectId()},
            arrived=_stored(wanted),
            labels=_out_of_the_way(repository, holders, update.branches),
            branches=tips,
            dropped_branches=[name for name, (_, tip) in update.branches.items() if tip is None],
            tagged=tags,
        )
        _leave_behind(hold, commit, update.checkout)
        returns = update.checkout and left_behind(repository, hold.state) is not None
        with following(hold, commit, arrival.tree, update.checkout, returns=returns) as moves:
            others = {"labels": ObjectId()} if wanted != brought else stamp(commit.labels)
            commit.state |= others
            carry_out(hold, commit, moves, progress)
        arrival.forget()


def _behind_those_contained(
    repository: Repository,
    tree: Ancestry,
    brought: Mapping[VersionId, Label],
    update: Update,
    holders: Mapping[Label, VersionId],
) -> dict[VersionId, Label]:
    """Return the labels under which versions enter the log, given those that they bring.

    What a branch contains keeps its label, by which others know it. What arrives gets the numbers
    behind instead, which whoever sent it takes over with the next pull.

    Args:
        repository: The trackers.
        tree: The ways up from versions, the new ones among them.
        brought: The labels that they bring.
        update: What becomes true.
        holders: Which versions have these labels.
    """
    wanted = dict(brought)
    for branch in {branch for branch, _ in holders}:
        _, tip = update.branches.get(branch, (None, None))
        contained = set() if tip is None else ancestors_of(tree, tip)
        kept = [
            number
            for (name, number), one in holders.items()
            if name == branch and one in contained
        ]
        if kept:
            last = repository.log.last_number(branch)
            wanted |= numbered_behind(brought, (branch, min(kept)), last)
    return wanted


def _check_expected(repository: Repository, update: Update) -> None:
    tips = repository.branches.all()
    for name, (expected, wanted) in update.branches.items():
        if tips.get(name) not in (expected, wanted):  # somebody may have brought the same
            raise InvalidOperation(
                f"branch {name!r} has moved at the remote meanwhile, so the histories have "
                "diverged; pull, then push again",
                branch=name,
            )


def _check_there(
    repository: Repository, targets: Mapping[str, VersionId], entering: Collection[VersionId]
) -> None:
    """Make sure that no name will point to a version that was removed meanwhile.

    Args:
        repository: The trackers.
        targets: The versions to which names will point.
        entering: Versions that enter the log with them.

    Raises:
        InvalidOperation: One was removed.
    """
    outside = set(targets.values()).difference(entering)
    gone = outside - repository.log.among(outside)
    for name, version in targets.items():
        if version in gone:
            raise InvalidOperation(
                f"the version to which {name!r} was to point was removed meanwhile; try again",
                name=name,
                version=version,
            )


def _targets(tags: Mapping[str, Mapping[str, Any]]) -> dict[str, VersionId]:
    return {name: tag["version"] for name, tag in tags.items()}


def _new_tags(repository: Repository, update: Update) -> dict[str, Mapping[str, Any]]:
    """Return the tags that are not there yet.

    Raises:
        InvalidOperation: One is by now, at another version.
    """
    present = dict(repository.tags.documents()) if update.tags else {}
    for name, tag in update.tags.items():
        if present.get(name, tag)["version"] != tag["version"]:
            raise InvalidOperation(
                f"the tag {name!r} was set at the remote meanwhile, to another version; push "
                "again, which leaves it there",
                tag=name,
            )
    return {name: tag for name, tag in update.tags.items() if name not in present}


def _out_of_the_way(
    repository: Repository, holders: Mapping[Label, VersionId], branches: Container[str]
) -> Labels:
    """Return labels for versions whose own ones are taken over, on branches that move.

    Args:
        repository: The trackers.
        holders: These versions, by their labels.
        branches: The branches that move.

    Raises:
        InvalidOperation: One has a label on another branch.
    """
    other = next((label for label in holders if label[0] not in branches), None)
    if other is not None:
        raise InvalidOperation(
            f"the histories of branch {other[0]!r} have diverged: the remote has another "
            f"{other[0]}@{other[1]}; pull that branch, then push again",
            branch=other[0],
        )
    names = RemoteNames(repository)
    return [[holder, *names.aside(holder, label)] for label, holder in holders.items()]


def _stored(labels: Mapping[VersionId, Label]) -> Labels:
    return [[version, *label] for version, label in labels.items()]


def _leave_behind(hold: Hold, commit: Commit, checkout: bool) -> None:
    """Detach the HEADs of the other working copies from branches that the commit moves.

    Raises:
        InvalidOperation: They were to follow; one working copy alone does. Or a merge waits.
    """
    for name, state in hold.others.items():
        if state.detached or commit.branches.get(state.branch, state.head) == state.head:
            continue
        if checkout:
            raise InvalidOperation(
                f"branch {state.branch!r} is checked out there in the working copy {name!r}, "
                "which does not follow; pull there, or push with do_checkout=False, which "
                "detaches its HEAD",
                branch=state.branch,
                working_copy=name,
            )
        refuse_merging(state)
        commit.elsewhere[name] = {"detached": True}
