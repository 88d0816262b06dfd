"""merge: bring the changes of another version into HEAD."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer, Progress, TooLarge
from versioned_collection.core.graph import is_ancestor, merge_base
from versioned_collection.core.merging import DEFAULT_POLICY, MergeContext, MergePolicy
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import AutoMergeFailedError, InvalidOperation, InvalidType
from versioned_collection.merging import Outcome, Sides, merge_sides
from versioned_collection.moves import BATCH, Move, is_small, moves_along
from versioned_collection.pipeline import prefetch
from versioned_collection.recording import Facts, Recording
from versioned_collection.recovery import holding
from versioned_collection.repository import Hold, Repository
from versioned_collection.trackers.log import entry_to_bson
from versioned_collection.versions import Resolver, RevisionLike, check_texts, entry_of
from versioned_collection.wire import portions
from versioned_collection.working_copy import Change, WorkingCopy


class Wanted(NamedTuple):
    """What the caller of a merge asks for.

    Attributes:
        message: What the version says; made up where it is left out.
        author: Who merges.
        metadata: Free facts to record.
        fast_forward: Whether HEAD may simply move on where nothing has to be merged.
        policy: What settles conflicts.
    """

    message: str | None = None
    author: Any = None
    metadata: Mapping[str, Any] | None = None
    fast_forward: bool = True
    policy: MergePolicy = DEFAULT_POLICY


def merge(
    repository: Repository,
    revision: RevisionLike,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Version:
    """Bring the changes of another version into HEAD.

    Returns:
        The version that is checked out now: HEAD as it was where it contains the other one
        already, the other one after a fast-forward, otherwise a new one of two parents.

    Raises:
        AutoMergeFailedError: Conflicts wait for decisions; the documents show the merged
            state with our values in their places.
        InvalidOperation: HEAD is detached, there are uncommitted changes, or a merge is
            under way.
        InvalidCollectionVersion: There is no such version.
        DocumentRejected: A unique index or the validator refuses the merged state.
    """
    check_texts(wanted.message or "", wanted.author, wanted.metadata)
    if not isinstance(wanted.policy, MergePolicy):
        raise InvalidType("policy is a MergePolicy", argument=wanted.policy)
    with holding(repository, "merge") as hold:
        theirs = Resolver(repository, hold.state).resolve(revision)
        if hold.state.detached:
            raise InvalidOperation(
                "HEAD is detached, so no branch could hold the merge; check out a branch, or "
                "create one here, then merge"
            )
        copy = WorkingCopy(hold)
        copy.require_clean()
        head, tree = hold.state.head, repository.log.tree()
        if is_ancestor(tree, theirs, head):
            return entry_of(repository, head)
        if wanted.fast_forward and is_ancestor(tree, head, theirs):
            return _fast_forward(hold, copy, theirs, progress)
        message = wanted.message
        if message is None:
            name = revision if isinstance(revision, str) else entry_of(repository, theirs).label
            message = f"Merge {name} into {hold.state.branch}"
        facts = Facts(hold.state.branch, message, wanted.author, dict(wanted.metadata or {}))
        sides = Sides(merge_base(tree, head, theirs), head, theirs)
        return _ThreeWay(hold, copy, sides, facts, progress).run(wanted.policy)


def _fast_forward(
    hold: Hold, copy: WorkingCopy, theirs: VersionId, progress: Progress | None
) -> Version:
    repository, state = hold.repository, hold.state
    commit = Commit(
        state={"head": theirs, **copy.noticed.position()},
        branches={state.branch: theirs},
        path=repository.log.tree().path(state.head, theirs),
    )
    path = commit.path
    assert path is not None
    _carry_out(
        repository, Committer(hold, progress), commit, lambda: moves_along(repository, path)
    )
    return entry_of(repository, theirs)


def _carry_out(
    repository: Repository,
    committer: Committer,
    commit: Commit,
    moves: Callable[[], Iterator[list[Move]]] | None,
) -> None:
    """Carry a commit out at once where it is small, step by step otherwise."""
    if repository.has_transactions and moves is not None:
        with suppress(TooLarge):
            committer.at_once(commit, prefetch(moves()))
            return
    committer.declare(commit)
    committer.complete(commit)


class _ThreeWay:
    """The steps of one true merge.

    Args:
        hold: The lease.
        copy: The look at the working copy, which is clean.
        sides: The three versions.
        facts: What the new version says.
        progress: Told how many documents were done.
        parents: The further parents of the new version.
    """

    def __init__(
        self,
        hold: Hold,
        copy: WorkingCopy,
        sides: Sides,
        facts: Facts,
        progress: Progress | None,
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._copy = copy
        self._sides = sides
        self._facts = facts
        self._progress = progress
        self._recording = Recording(hold, progress)
        self._conflicts = 0
        self._moves: list[Move] | None = []
        self._bytes = 0

    def run(self, policy: MergePolicy) -> Version:
        repository, recording = self._repository, self._recording
        parents = [
            entry_of(repository, self._sides.ours),
            entry_of(repository, self._sides.theirs),
        ]
        context = MergeContext(parents[0].timestamp, parents[1].timestamp)
        recording.begin()
        outcomes = prefetch(merge_sides(repository, self._sides, policy, context))
        recording.append(self._changes(outcomes), self._keep)
        if self._conflicts:
            raise self._wait_for_decisions()
        version = recording.version(self._facts, parents)
        commit = Commit(
            state={"head": version.id, **self._copy.noticed.position()},
            log=entry_to_bson(version),
            branches={version.branch: version.id},
            path=Path((), (version.id,)),
            strict=True,
        )
        self._commit(commit)
        return version

    def _changes(self, outcomes: Iterator[list[Outcome]]) -> Iterator[list[Change]]:
        for batch in outcomes:
            conflicts = [conflict for one in batch for conflict in one.conflicts]
            self._repository.conflicts.add(self._recording.id, conflicts)
            self._conflicts += len(conflicts)
            changes = [
                Change(one.key, one.ours, one.merged) for one in batch if one.ours != one.merged
            ]
            if changes:
                yield changes

    def _keep(self, moves: list[Move]) -> None:
        """Keep the moves as long as one transaction can carry them."""
        if self._moves is not None:
            self._moves += moves
            self._bytes += sum(len(move.target.raw or b"") for move in moves)
            if not is_small(len(self._moves), self._bytes):
                self._moves = None

    def _commit(self, commit: Commit) -> None:
        moves = self._moves
        _carry_out(
            self._repository,
            Committer(self._hold, self._progress),
            commit,
            None if moves is None else lambda: iter([moves]),
        )

    def _wait_for_decisions(self) -> AutoMergeFailedError:
        """Bring the working copy to the merged state; return the error to raise."""
        merge = self._recording.id
        note = {
            "id": merge,
            "verb": self._hold.verb,
            "parents": [self._sides.theirs],
            "message": self._facts.message,
            "author": self._facts.author,
            "metadata": self._facts.metadata,
        }
        commit = Commit(
            state={"merge": note, **self._copy.noticed.position()},
            path=Path((), (merge,)),
            replica=False,
            strict=True,
            forgotten=[merge],
        )
        self._note_modified(merge)
        self._commit(commit)
        self._repository.deltas.delete([merge])
        return AutoMergeFailedError(
            f"{self._conflicts} conflicts wait for decisions: conflicts() lists them, "
            "resolve_conflict() or resolve_conflicts() settles them, then register() records "
            "the merge; abort_merge() takes everything back",
            conflicts=self._conflicts,
            merge=merge,
        )

    def _note_modified(self, merge: ObjectId) -> None:
        """Note which documents will differ from HEAD: our own writes are not noticed."""
        deltas = self._repository.deltas.of_version(merge)
        for batch in portions(deltas, lambda _: 1, BATCH, BATCH):
            self._repository.modified.add([delta.key for delta in batch])
