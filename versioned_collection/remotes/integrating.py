"""Where a branch of a remote and the local one meet: how the local one goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.operations import describe
from versioned_collection.core.merging import MergePolicy
from versioned_collection.core.tree import Ancestry, Node, VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.errors import AutoMergeFailedError, LeaseLost, VersioningError
from versioned_collection.history.labels import (
    Label,
    Labels,
    Meeting,
    adopted,
    given_back,
    given_up,
    is_aside,
    is_unknown,
    label_of,
    relabelled,
    stamp,
    tracking,
    unknown,
)
from versioned_collection.merges.joining import carry_out
from versioned_collection.merges.rebase_plan import Plan, to_do
from versioned_collection.merges.rebasing import Rebasing
from versioned_collection.merges.uniting import Uniting
from versioned_collection.observing import Progress, observed
from versioned_collection.remotes.base import Refs, Remote
from versioned_collection.remotes.bundle import BundleRemote
from versioned_collection.remotes.checked import check_node
from versioned_collection.remotes.following import following
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.transfer import missing
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.remotes import KnownRemote
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy

_UNKNOWN = KnownRemote("", None, {}, None)


def fast_forward(
    hold: Hold,
    tree: Ancestry,
    meeting: Meeting,
    before: Labels,
    progress: Progress | None,
) -> None:
    """Let a branch go on to where it is at the remote, and the working copy with it.

    Args:
        hold: The lease.
        tree: The versions.
        meeting: The two ends of the branch.
        before: The labels of before an `Agreement`.
        progress: Told how many documents were written.

    Raises:
        InvalidOperation: The branch is checked out and has uncommitted changes.
    """
    labels = adopted(hold.repository, tree, meeting)
    commit = Commit(
        state={"progress": ObjectId()},
        branches={meeting.branch: meeting.theirs},
        labels=labels,
    )
    with following(hold, commit, tree, checkout=True) as moves:
        commit.state |= stamp(labels)
        describe(hold, commit, otherwise=before)
        carry_out(hold, commit, moves, progress)


def take_labels_over(hold: Hold, tree: Ancestry, meeting: Meeting) -> None:
    """Give versions the labels of a remote that a branch here contains already."""
    labels = adopted(hold.repository, tree, meeting)
    if labels:
        state = {"progress": ObjectId(), **stamp(labels)}
        Committer(hold).references(Commit(state=state, labels=labels))


def relabelled_there(
    repository: Repository,
    known: KnownRemote | None,
    remote: Remote,
    refs: Refs,
    branch: str,
    here: ObjectId | None,
) -> list[Node] | None:
    """Return the versions of a branch under the labels that they have at a remote.

    Args:
        repository: The trackers.
        known: What is known of the remote.
        remote: The remote.
        refs: Where its names point.
        branch: The branch.
        here: What this side says about its own labels.

    Returns:
        Their places; where no labels have changed on either side since those of the branch were
        last the same, only of those whose labels are unknown here; None where there are none.
    """
    if (known or _UNKNOWN).agreed(branch) == (refs.labels, here):
        return _known_there(remote, unknown(repository)) or None
    # a bundle of what is new names the others only where their labels ever changed
    is_part = refs.labels is None and isinstance(remote, BundleRemote) and bool(remote.since)
    until = MongoRemote(repository).known if is_part else lambda versions: set()
    return missing(remote, [refs.branches[branch]], until)


def _known_there(remote: Remote, versions: Sequence[VersionId]) -> list[Node]:
    """Return the places of those of some versions for which a remote has labels of its own."""
    nodes = remote.walk(versions, 0) if versions else []
    for node in nodes:
        check_node(node)
    return [node for node in nodes if not is_unknown(node.branch)]


class Agreement:
    """Labels given up for those of a remote, before a branch goes on from where it is there.

    Attributes:
        before: The labels of before, which versions get back with an undo of what follows.
    """

    def __init__(self) -> None:
        self.before: Labels = []
        self._branch = ""
        self._mine: VersionId | None = None
        self._stamp: ObjectId | None = None

    def make(self, hold: Hold, name: str, branch: str, nodes: Iterable[Node]) -> None:
        """Give versions of a branch that both sides know the labels that they have there."""
        repository = hold.repository
        tree = repository.log.tree()
        labels = _agreed(repository, tree, name, branch, nodes)
        if labels:
            self._branch, self._mine = branch, repository.branches.get(branch)
            before = given_up(repository, labels)
            self._stamp = _relabel(hold, labels)
            self.before = before

    def take_back(self, repository: Repository) -> None:
        """Give versions their labels back, unless something came of it all the same."""
        if not self.before:
            return
        with holding(repository, "pull") as hold:
            is_last = repository.labels_as_of(hold.state) == self._stamp
            if is_last and repository.branches.get(self._branch) == self._mine:
                _relabel(hold, given_back(repository, self.before))


@contextmanager
def agreeing(repository: Repository) -> Iterator[Agreement]:
    """Agree on labels with a remote, for as long as what follows is not refused."""
    agreement = Agreement()
    try:
        yield agreement
    except (AutoMergeFailedError, LeaseLost):  # a merge waits that knows them
        raise
    except VersioningError:
        with suppress(VersioningError):  # the error that is on its way says more
            agreement.take_back(repository)
        raise


def _relabel(hold: Hold, labels: Labels) -> ObjectId:
    """Give versions other labels; return what the metadata then says about labels."""
    stamped = ObjectId()
    state = {"progress": ObjectId(), "labels": stamped}
    Committer(hold).references(Commit(state=state, labels=labels))
    return stamped


def note_agreement(
    hold: Hold, name: str, refs: Refs, branch: str, before: ObjectId | None
) -> None:
    """Note up to which change of labels, there and here, those of a remote are the labels here.

    A branch that was pulled has them. The versions of others may be called otherwise here than
    there until those are pulled; where they were not, what was pulled has left them alone.

    Args:
        hold: The lease.
        name: The name of the remote.
        refs: Where its names point.
        branch: The branch.
        before: What this side said about its labels before the branch was pulled.
    """
    repository = hold.repository
    here = repository.labels_as_of(repository.state())
    known = repository.remotes.get(name) or _UNKNOWN
    agreed = {
        one: (there, here if own == before else own)
        for one, (there, own) in known.labels.items()
        if one in refs.branches
    }
    agreed[branch] = refs.labels, here
    if agreed != known.labels:
        repository.remotes.agree(name, agreed)


def _agreed(
    repository: Repository, tree: VersionTree, name: str, branch: str, nodes: Iterable[Node]
) -> Labels:
    """Return the labels with which versions are called as they are at a remote."""
    wanted: dict[VersionId, Label] = {}
    remotes = tuple(f"{one}/" for one in {name, *repository.remotes.prefixes()})
    for node in nodes:
        if node.id not in tree or is_unknown(node.branch):
            continue
        here = tree.nodes[node.id].branch
        if is_unknown(here) or here.startswith(remotes):  # fetched, and not pulled yet
            wanted[node.id] = tracking(name, node.branch), node.number
        elif node.branch == branch or is_aside(node.branch):
            wanted[node.id] = label_of(node)
    return relabelled(repository, tree, wanted, [branch, tracking(name, branch)])


def unite(
    hold: Hold,
    meeting: Meeting,
    policy: MergePolicy,
    *,
    rebase: bool,
    before: Labels,
    progress: Progress | None,
) -> None:
    """Bring both sides of a branch together that have diverged.

    Args:
        hold: The lease.
        meeting: The two ends of the branch.
        policy: What settles conflicts.
        rebase: Whether the versions here are made again, instead of one that joins both sides.
        before: The labels of before an `Agreement`.
        progress: Told how many documents were done.

    Raises:
        AutoMergeFailedError: Conflicts wait for decisions.
        InvalidOperation: The branch is checked out and has uncommitted changes, or it is not
            checked out and there are conflicts.
    """
    with observed("rebase" if rebase else "merge", hold.repository):
        _unite(hold, meeting, policy, rebase, before, progress)


def _unite(
    hold: Hold,
    meeting: Meeting,
    policy: MergePolicy,
    rebase: bool,
    before: Labels,
    progress: Progress | None,
) -> None:
    state, mine = hold.state, meeting.mine
    assert mine is not None
    repository = hold.repository
    todo = to_do(repository, repository.log.tree(), mine, meeting.theirs) if rebase else ()
    plan = Plan(meeting.branch, mine, meeting.theirs, todo, meeting.remote, not rebase, before)
    position = {}
    if not state.detached and state.branch == meeting.branch:
        copy = WorkingCopy(hold)
        copy.require_clean()
        position = copy.noticed.position()
    way = Rebasing if rebase else Uniting
    way(hold, plan, meeting.theirs, position, progress).run(policy)
