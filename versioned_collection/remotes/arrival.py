"""The moment when versions that have arrived become visible, and names point to them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.committer import Progress
from versioned_collection.core.tree import Ancestry, Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidOperation, TransferRefused
from versioned_collection.joining import carry_out
from versioned_collection.labels import Label, Labels, aside, stamp, tracking
from versioned_collection.moves import Move, moves_along
from versioned_collection.pipeline import prefetch
from versioned_collection.rebasing import refuse_rebased
from versioned_collection.recovery import holding
from versioned_collection.remotes.base import Update
from versioned_collection.remotes.proving import prove
from versioned_collection.repository import Hold, Repository
from versioned_collection.working_copy import WorkingCopy

Moves = Callable[[], Iterator[list[Move]]]


def fetched(
    hold: Hold,
    remote: str,
    versions: Sequence[VersionId],
    tips: Mapping[str, VersionId],
    tags: Mapping[str, Mapping[str, Any]],
    progress: Progress | None = None,
) -> None:
    """Let versions of a remote enter the log, under labels that stand for its branches.

    Raises:
        TransferRefused: Their changes do not lead from one to the next.
    """
    repository = hold.repository
    arrival = _Arrival(hold, versions)
    arrival.prove()
    wanted = arrival.labels(lambda entry: (tracking(remote, entry.branch), entry.number))
    branches = {branch for branch, _ in wanted.values()}
    commit = Commit(
        state={"progress": ObjectId()},
        arrived=_stored(wanted),
        labels=_out_of_the_way(repository, wanted, branches),
        seen={
            "remote": remote,
            "tips": [[*p] for p in tips.items()],
            "time": repository.now(),
        },
        tagged={name: tags[name] for name in tags if repository.tags.get(name) is None},
    )
    carry_out(hold, commit, _none, progress)
    arrival.forget()


def arrive(repository: Repository, update: Update, progress: Progress | None = None) -> None:
    """Make an update true: versions enter the log under the labels that they bring.

    Raises:
        InvalidOperation: A branch is not where it is expected, or a working copy that should
            follow has changes.
    """
    with holding(repository, "push") as hold:
        arrival = _Arrival(hold, update.versions)
        _check_expected(repository, update)
        for name in update.branches:
            refuse_rebased(hold.state, name)
        wanted = arrival.labels(lambda entry: (entry.branch, entry.number))
        commit = Commit(
            state={"progress": ObjectId()},
            arrived=_stored(wanted),
            labels=_out_of_the_way(repository, wanted, update.branches),
            branches={name: tip for name, (_, tip) in update.branches.items() if tip is not None},
            dropped_branches=[name for name, (_, tip) in update.branches.items() if tip is None],
            tagged=dict(update.tags),
        )
        moves = follow(hold, commit, arrival.tree, update.checkout)
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


def follow(hold: Hold, commit: Commit, tree: Ancestry, checkout: bool) -> Moves | None:
    """Let the working copy follow its branch, where the commit moves that.

    Returns:
        What iterates over the documents that move, once; see `joining.carry_out`.

    Raises:
        InvalidOperation: It has changes that were never registered, or a merge waits.
    """
    state = hold.state
    tip = commit.branches.get(state.branch)
    if state.detached or tip == state.head:
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
        commit.state = {"head": tip, **_clean_position(hold)}
        return None
    with ExitStack() as stack:  # they are computed while it is looked whether they may be made
        ahead = stack.enter_context(closing(prefetch(moves_along(hold.repository, path))))
        commit.state = {"head": tip, **_clean_position(hold)}
        stack.pop_all()
    return lambda: ahead


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

    Attributes:
        entries: The log entries that are new, by id.
        tree: The ways up from versions, the new ones among them.

    Raises:
        InvalidOperation: One is not there entirely.
    """

    def __init__(self, hold: Hold, versions: Sequence[VersionId]) -> None:
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
        self.tree = self._repository.log.ancestry(
            Node(entry.id, entry.parents, entry.number, entry.branch)
            for entry in self.entries.values()
        )

    def labels(self, of: Callable[[Version], Label]) -> dict[VersionId, Label]:
        """Return the labels under which the new versions enter the log."""
        return {version: of(entry) for version, entry in self.entries.items()}

    def prove(self) -> None:
        """Apply the changes of all new versions, so that each is known to be restorable.

        Raises:
            TransferRefused: A change does not fit the document that it is to change.
        """
        try:
            prove(self._repository, self.tree, self._head, self.entries, self._hold.lease.check)
        except TransferRefused:
            # in this order: what is announced as complete has all its changes
            self._repository.incoming.forget(list(self.entries))
            self._repository.deltas.delete(list(self.entries))
            raise

    def forget(self) -> None:
        """Remove the announcements of what the log named before; the others go with the commit."""
        self._repository.incoming.forget(self._known)
