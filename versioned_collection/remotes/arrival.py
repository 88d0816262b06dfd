"""The moment when versions that have arrived become visible, and names point to them."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.core.tree import Ancestry, Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidOperation, TransferRefused
from versioned_collection.joining import carry_out
from versioned_collection.labels import (
    Label,
    Labels,
    Meeting,
    adopted,
    aside,
    label_of,
    stamp,
    tracking,
)
from versioned_collection.moves import Move, moves_along
from versioned_collection.observing import Progress
from versioned_collection.operations import describe
from versioned_collection.pipeline import prefetch
from versioned_collection.rebasing import refuse_rebased
from versioned_collection.recovery import holding
from versioned_collection.remotes.base import Update
from versioned_collection.remotes.left_behind import left_behind
from versioned_collection.remotes.proving import prove, proved_moves
from versioned_collection.repository import Hold, Repository
from versioned_collection.working_copy import WorkingCopy

Moves = Callable[[], Iterator[list[Move]]]


class News(NamedTuple):
    """What is to be noted of a remote that was looked at.

    Attributes:
        remote: Its name.
        versions: The versions that enter the log.
        tips: Where its branches are, as far as that is known.
        tags: The tags that are taken over, unless there are such ones.
    """

    remote: str
    versions: Sequence[VersionId]
    tips: Mapping[str, VersionId]
    tags: Mapping[str, Mapping[str, Any]]


def fetched(hold: Hold, news: News, progress: Progress | None = None) -> None:
    """Let versions of a remote enter the log, under labels that stand for its branches.

    Raises:
        TransferRefused: Their changes do not lead from one to the next.
    """
    repository = hold.repository
    arrival = _Arrival(hold, news.versions)
    arrival.prove()
    wanted = arrival.labels(lambda entry: (tracking(news.remote, entry.branch), entry.number))
    branches = {branch for branch, _ in wanted.values()}
    commit = _noting(hold, news)
    commit.arrived = _stored(wanted)
    commit.labels = _out_of_the_way(repository, wanted, branches)
    carry_out(hold, commit, _none, progress)
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
        InvalidOperation: The branch is checked out and has uncommitted changes.
    """
    arrival = _Arrival(hold, news.versions, news.remote)
    entering, others = _labels_of_branch(hold.repository, arrival, meeting)
    commit = _noting(hold, news)
    commit.branches = {meeting.branch: meeting.theirs}
    commit.arrived = _stored(entering)
    commit.labels = others
    moves = follow(hold, commit, arrival.tree, checkout=True, moves_to=arrival.proved_moves)
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


def _noting(hold: Hold, news: News) -> Commit:
    """Return a commit that notes where the branches of a remote are, and takes its tags over."""
    repository = hold.repository
    present = repository.tags.documents() if news.tags else {}
    return Commit(
        state={"progress": ObjectId()},
        seen={
            "remote": news.remote,
            "tips": [[*p] for p in news.tips.items()],
            "time": repository.now(),
        },
        tagged={name: tag for name, tag in news.tags.items() if name not in present},
    )


def _labels_of_branch(
    repository: Repository, arrival: _Arrival, meeting: Meeting
) -> tuple[dict[VersionId, Label], Labels]:
    """Return the labels under which versions enter the log, and those of others that change.

    A version that cannot be called as it is at the remote enters as one that was fetched.
    """
    entering = arrival.fetched_labels()
    there = arrival.labels(lambda entry: (entry.branch, entry.number))
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
    room = _out_of_the_way(repository, entering, {branch for branch, _ in entering.values()})
    return entering, [*(one for one in room if one[0] not in moved), *others]


def arrive(repository: Repository, update: Update, progress: Progress | None = None) -> None:
    """Make an update true: versions enter the log under the labels that they bring.

    Raises:
        InvalidOperation: A branch is not where it is expected, a working copy that should
            follow has changes, or another one has the branch checked out.
    """
    with holding(repository, "push") as hold:
        arrival = _Arrival(hold, update.versions)
        _check_expected(repository, update)
        for name in update.branches:
            for waiting in (hold.state, *hold.others.values()):
                refuse_rebased(waiting, name)
        wanted = arrival.labels(lambda entry: (entry.branch, entry.number))
        commit = Commit(
            state={"progress": ObjectId()},
            arrived=_stored(wanted),
            labels=_out_of_the_way(repository, wanted, update.branches),
            branches={name: tip for name, (_, tip) in update.branches.items() if tip is not None},
            dropped_branches=[name for name, (_, tip) in update.branches.items() if tip is None],
            tagged=dict(update.tags),
        )
        _leave_behind(hold, commit, update.checkout)
        returns = update.checkout and left_behind(repository, hold.state) is not None
        moves = follow(hold, commit, arrival.tree, update.checkout, returns=returns)
        commit.state |= stamp(commit.labels)
        carry_out(hold, commit, moves, progress)
        arrival.forget()


def _check_expected(repository: Repository, update: Update) -> None:
    tips = repository.branches.all()
    for name, (expected, wanted) in update.branches.items():
        if tips.get(name) not in (expected, wanted):  # somebody may have brought the same
            raise InvalidOperation(
                f"branch {name!r} has moved at the remote meanwhile, so the histories have "
                "diverged; pull, then push again",
                branch=name,
            )


def _out_of_the_way(
    repository: Repository, wanted: Mapping[VersionId, Label], branches: Container[str]
) -> Labels:
    """Return labels for versions whose own ones are taken over, on branches that move."""
    found = repository.log.labelled_any(wanted.values())
    other = next((label for label in found if label[0] not in branches), None)
    if other is not None:
        raise InvalidOperation(
            f"the histories of branch {other[0]!r} have diverged: the remote has another "
            f"{other[0]}@{other[1]}; pull that branch, then push again",
            branch=other[0],
        )
    return [[holder, *aside(holder, label)] for label, holder in found.items()]


def _stored(labels: Mapping[VersionId, Label]) -> Labels:
    return [[version, *label] for version, label in labels.items()]


def follow(
    hold: Hold,
    commit: Commit,
    tree: Ancestry,
    checkout: bool,
    moves_to: Callable[[VersionId], Generator[list[Move], None, None]] | None = None,
    *,
    returns: bool = False,
) -> Moves | None:
    """Let the working copy follow its branch, where the commit moves that.

    Args:
        hold: The lease.
        commit: The commit, which is completed.
        tree: The ways up from versions.
        checkout: Whether it follows at all; HEAD is detached otherwise.
        moves_to: Iterates over the documents that move from HEAD to a version; without it they
            are computed from the changes in the fastest way.
        returns: Whether a detached HEAD goes back to its branch, where the commit names that.

    Returns:
        What iterates over the documents that move, once; see `joining.carry_out`.

    Raises:
        InvalidOperation: It has changes that were never registered, or a merge waits.
    """
    state = hold.state
    tip = commit.branches.get(state.branch)
    if state.detached and not (returns and tip is not None):
        return _none
    commit.state["detached"] = False
    if tip == state.head:
        return _none
    if state.branch in commit.dropped_branches:
        raise InvalidOperation(
            f"branch {state.branch!r} is checked out there, so it stays", branch=state.branch
        )
    if tip is None:
        return _none
    if not checkout:
        commit.state["detached"] = True
        return _none
    if state.merge is not None:
        raise InvalidOperation(
            f"a {state.merge['verb']} waits in the working copy of {state.branch!r}; it has to "
            "be registered, or taken back with abort_merge(), before the branch can move",
            branch=state.branch,
        )
    commit.path = path = tree.path(state.head, tip)
    commit.checked = "collection"
    if not hold.repository.has_transactions:
        commit.state = {"head": tip, "detached": False, **_clean_position(hold)}
        return None
    found = moves_along(hold.repository, path) if moves_to is None else moves_to(tip)
    with ExitStack() as stack:  # they are computed while it is looked whether they may be made
        ahead = stack.enter_context(closing(prefetch(found)))
        commit.state = {"head": tip, "detached": False, **_clean_position(hold)}
        stack.pop_all()
    return lambda: ahead


def _leave_behind(hold: Hold, commit: Commit, checkout: bool) -> None:
    """Detach the HEADs of the other working copies from branches that the commit moves.

    Raises:
        InvalidOperation: They were to follow; one working copy alone does.
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
        commit.elsewhere[name] = {"detached": True}


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
        raise InvalidOperation(
            f"there are uncommitted changes where branch {branch!r} is checked out; "
            "register, stash or discard them there first, or push with do_checkout=False",
            branch=branch,
        )
    copy.forget()
    return dict(copy.noticed.position())


class _Arrival:
    """Versions that were announced and are to enter the log.

    Args:
        hold: The lease.
        versions: Their ids; those that the log names already are left out.
        remote: The remote for whose branches their labels stand in `tree`; None for the labels
            that they bring.

    Attributes:
        entries: The log entries that are new, by id.
        tree: The ways up from versions, the new ones among them.

    Raises:
        InvalidOperation: One is not there entirely.
    """

    def __init__(
        self, hold: Hold, versions: Sequence[VersionId], remote: str | None = None
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._head = hold.state.head
        known = {node.id for node in self._repository.log.nodes(versions)}
        self._known = [version for version in versions if version in known]
        new = [version for version in versions if version not in known]
        found = self._repository.incoming.entries(new)
        self.entries: dict[VersionId, Version] = {}
        for version in new:
            entry, is_whole = found.get(version, (None, False))
            if entry is None or not is_whole:
                raise InvalidOperation(
                    "what was transferred was removed before it could be recorded; try again",
                    version=version,
                )
            self.entries[version] = entry
        self._check_parents()
        self.tree = self._repository.log.ancestry(
            Node(
                entry.id,
                entry.parents,
                entry.number,
                entry.branch if remote is None else tracking(remote, entry.branch),
            )
            for entry in self.entries.values()
        )

    def _check_parents(self) -> None:
        """Make sure that what the new versions stand on was not removed since they came.

        Raises:
            InvalidOperation: It was.
        """
        wanted = {one for entry in self.entries.values() for one in entry.parents}
        outside = wanted.difference(self.entries)
        found = {node.id for node in self._repository.log.nodes(list(outside))}
        if not found.issuperset(outside):
            raise InvalidOperation(
                "what was transferred stands on a version that was removed meanwhile; try again",
                version=min(outside - found),
            )

    def labels(self, of: Callable[[Version], Label]) -> dict[VersionId, Label]:
        """Return the labels under which the new versions enter the log."""
        return {version: of(entry) for version, entry in self.entries.items()}

    def fetched_labels(self) -> dict[VersionId, Label]:
        """Return the labels that the new versions have in `tree`."""
        return {version: label_of(self.tree.nodes[version]) for version in self.entries}

    def prove(self, besides: VersionId | None = None) -> None:
        """Apply the changes of all new versions, so that each is known to be restorable.

        Args:
            besides: One of which this is known otherwise.

        Raises:
            TransferRefused: A change does not fit the document that it is to change.
        """
        check = self._hold.lease.check
        with self.refused():
            prove(self._repository, self.tree, self._head, self.entries, check, besides)

    def proved_moves(self, version: VersionId) -> Generator[list[Move], None, None]:
        """Iterate over the documents that move from HEAD to a version; prove their changes."""
        check = self._hold.lease.check
        return proved_moves(self._repository, self.tree, self._head, version, check)

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Remove what came, where that turns out not to be what it claims to be."""
        try:
            yield
        except TransferRefused:
            # in this order: what is announced as complete has all its changes
            self._repository.incoming.forget(list(self.entries))
            self._repository.deltas.delete(list(self.entries))
            raise

    def forget(self) -> None:
        """Remove the announcements of what the log named before; the others go with the commit."""
        self._repository.incoming.forget(self._known)
