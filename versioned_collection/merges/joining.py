"""Making a version of HEAD and the changes of another one, or leaving conflicts to decide on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import chain

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.merging import MergePolicy
from versioned_collection.core.portions import portions
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version, VersionId
from versioned_collection.documents.moves import BATCH, Move, is_small, moves_along
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import AutoMergeFailedError
from versioned_collection.history.labels import joined, stamp, taken_over
from versioned_collection.history.versions import entry_of, merge_context
from versioned_collection.merges.merging import (
    Outcome,
    Sides,
    merge_sides,
    refuse_too_large,
    waiting,
)
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.entries import entry_to_bson
from versioned_collection.working.recording import Facts, Recording
from versioned_collection.working.working_copy import Change, WorkingCopy


def carry_out(
    hold: Hold,
    commit: Commit,
    moves: Callable[[], Iterator[list[Move]]] | None,
    progress: Progress | None,
    before_steps: Callable[[], None] = lambda: None,
) -> None:
    """Carry a commit out while its moves are computed ahead.

    Args:
        hold: The lease.
        commit: The commit, with the path on which documents move.
        moves: Returns these moves, None where they are known to be too many for one step.
        progress: Told how many documents were written.
        before_steps: See `Committer.carry_out`.
    """
    ahead = None if moves is None else lambda: prefetch(moves())
    Committer(hold, progress).carry_out(commit, ahead, before_steps=before_steps)


def fast_forward(
    hold: Hold, copy: WorkingCopy, theirs: VersionId, progress: Progress | None
) -> Version:
    """Move HEAD and its branch on to a version that contains it; return that one."""
    repository, state = hold.repository, hold.state
    tree = repository.log.ancestry()
    path = tree.path(state.head, theirs)
    labels = taken_over(repository, tree, state.branch, theirs)
    commit = Commit(
        state={"head": theirs, **copy.noticed.position(), **stamp(labels)},
        branches={state.branch: theirs},
        path=path,
        checked="collection",
        private_checks=bool(repository.own_checks),
        labels=labels,
    )
    carry_out(hold, commit, lambda: moves_along(repository, path), progress)
    return entry_of(repository, theirs)


class Sieve:
    """Parts what merges from what has to be decided, which is stored.

    Args:
        repository: The trackers.
        merge: The draft to which the conflicts belong.

    Attributes:
        conflicts: How many there are so far.
    """

    def __init__(self, repository: Repository, merge: ObjectId) -> None:
        self._repository = repository
        self._merge = merge
        self.conflicts = 0

    def changes(self, outcomes: Iterator[list[Outcome]]) -> Iterator[list[Change]]:
        """Store the conflicts, and iterate over the changes.

        Raises:
            DocumentRejected: A merged document is too large.
        """
        for batch in outcomes:
            for one in batch:
                refuse_too_large(self._repository, one.key, one.merged)
            conflicts = [conflict for one in batch for conflict in one.conflicts]
            self._repository.conflicts.add(self._merge, conflicts)
            self.conflicts += len(conflicts)
            changes = [
                Change(one.key, one.ours, one.merged, one.delta)
                for one in batch
                if one.ours != one.merged
            ]
            if changes:
                yield changes


def note_modified(repository: Repository, draft: ObjectId) -> None:
    """Note which documents will differ from HEAD: our own writes are not noticed."""
    deltas = repository.deltas.of_version(draft)
    for batch in portions(deltas, lambda _: 1, BATCH, BATCH):
        repository.modified.add([delta.key for delta in batch])


class Joining:
    """The steps by which the changes of another version join HEAD in a new one.

    Args:
        hold: The lease.
        copy: The look at the working copy, which is clean.
        sides: The three versions.
        facts: What the new version says.
        parents: The parents of the new version beside HEAD.
        progress: Told how many documents were done.
    """

    def __init__(
        self,
        hold: Hold,
        copy: WorkingCopy,
        sides: Sides,
        facts: Facts,
        parents: tuple[VersionId, ...],
        progress: Progress | None,
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._copy = copy
        self._sides = sides
        self._facts = facts
        self._parents = parents
        self._progress = progress
        self._recording = Recording(hold, progress)
        self._sieve = Sieve(hold.repository, self._recording.id)
        self._changes: Iterator[list[Change]] = iter(())
        self._moves: list[Move] | None = []
        self._bytes = 0

    def run(self, policy: MergePolicy) -> Version:
        """Make the new version.

        Returns:
            The new version; HEAD where nothing changes and it would have no other parent.

        Raises:
            AutoMergeFailedError: Conflicts wait for decisions.
        """
        ours, theirs = (entry_of(self._repository, one) for one in self._sides[1:])
        context = merge_context(self._repository, ours.timestamp, theirs.timestamp)
        self._recording.begin()
        outcomes = merge_sides(self._repository, self._sides, policy, context)
        with closing(prefetch(outcomes)) as ahead:
            self._changes = self._sieve.changes(ahead)
            first = next(self._changes, None)
            if first is None and not self._sieve.conflicts and not self._parents:
                self._hold.update({"intent": None})
                return ours
            if first is not None:
                self._changes = chain((first,), self._changes)
            if policy.asks:  # for as long as others take, no transaction is open
                self._record_the_rest()
            if not self._sieve.conflicts:
                with suppress(_Undecided):
                    return self._make(ours)
            self._record_the_rest()
        raise self._wait_for_decisions()

    def _make(self, ours: Version) -> Version:
        """Make the version while its documents move.

        Raises:
            _Undecided: There are conflicts; nothing moved.
        """
        tree = self._repository.log.ancestry()
        labels, number = joined(self._repository, tree, self._facts.branch, *self._parents)
        commit = Commit(
            path=Path((), (self._recording.id,)),
            strict=True,
            checked="collection",
            private_checks=bool(self._repository.own_checks),
            labels=labels,
        )
        made: list[Version] = []

        def complete() -> None:
            if made:
                return
            self._record_the_rest()
            if self._sieve.conflicts:
                raise _Undecided
            parents = [ours, *(entry_of(self._repository, one) for one in self._parents)]
            version = self._recording.version(self._facts, parents, number)
            position = self._copy.noticed.position()
            commit.state = {"head": version.id, **position, **stamp(labels)}
            commit.log = [entry_to_bson(version)]
            commit.branches = {version.branch: version.id}
            made.append(version)

        Committer(self._hold, self._progress).carry_out(commit, self._source(), completed=complete)
        return made[0]

    def _source(self) -> Callable[[], Iterator[list[Move]]] | None:
        """Return what iterates over the moves, None where they are too many for a transaction."""
        recorded = self._moves
        if recorded is None:
            return None
        return (lambda: iter([recorded])) if recorded else (lambda: prefetch(self._decided()))

    def _decided(self) -> Iterator[list[Move]]:
        """Iterate over the moves as they are recorded, as long as nothing has to be decided."""
        with closing(self._recording.moves(self._changes)) as found:
            for moves in found:
                self._keep(moves)
                if self._sieve.conflicts:
                    raise _Undecided
                yield moves

    def _record_the_rest(self) -> None:
        for moves in self._recording.moves(self._changes):
            self._keep(moves)

    def _keep(self, moves: list[Move]) -> None:
        """Keep the moves as long as one transaction can carry them."""
        if self._moves is not None:
            self._moves += moves
            self._bytes += sum(len(move.target.raw or b"") for move in moves)
            if not is_small(len(self._moves), self._bytes):
                self._moves = None

    def _commit(self, commit: Commit) -> None:
        moves = self._moves
        again = None if moves is None else lambda: iter([moves])
        carry_out(self._hold, commit, again, self._progress)

    def _wait_for_decisions(self) -> AutoMergeFailedError:
        """Bring the working copy to the merged state; return the error to raise."""
        merge = self._recording.id
        note = {
            "id": merge,
            "verb": self._hold.verb,
            "theirs": self._sides.theirs,
            "parents": list(self._parents),
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
        note_modified(self._repository, merge)
        self._commit(commit)
        self._repository.deltas.delete([merge])
        count = self._repository.conflicts.count(merge)
        return AutoMergeFailedError(
            f"{waiting(count)} for decisions: conflicts() lists them, "
            "resolve_conflict() or resolve_conflicts() settles them, then register() records "
            "the outcome; abort_merge() takes everything back",
            conflicts=count,
            merge=merge,
        )


class _Undecided(Exception):
    """Conflicts wait for decisions."""
