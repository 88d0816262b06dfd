"""The versions of a branch made again, one after the other, on top of another version.

All of it happens in history: the documents move once, from where they are to where the last
version leads, or to the first one that conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from versioned_collection.commit import Commit
from versioned_collection.committer import Progress
from versioned_collection.core.merging import MergeContext, MergePolicy
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import AutoMergeFailedError, InvalidOperation, WorkingCopyChanged
from versioned_collection.joining import Sieve, carry_out, note_modified
from versioned_collection.moves import moves_along
from versioned_collection.operations import describe
from versioned_collection.pipeline import prefetch
from versioned_collection.recording import Chain, Recording
from versioned_collection.replaying import Step, replayed
from versioned_collection.repository import Hold
from versioned_collection.setting_aside import ensure_collection, set_aside_and_move
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.versions import as_in_log, entry_of

REBASE = "rebase"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left of a rebase.

    Attributes:
        branch: The branch.
        tip: Its tip, on which it stays until all is done.
        onto: What its versions are to stand on.
        todo: The versions that have to be made again, the oldest first.
    """

    branch: str
    tip: VersionId
    onto: VersionId
    todo: tuple[VersionId, ...]

    @property
    def before(self) -> dict[str, Any]:
        """HEAD as it was before."""
        return {"head": self.tip, "branch": self.branch, "detached": False}

    def note(self, done: int) -> dict[str, Any]:
        """Return what the metadata keeps of it once some more versions are done."""
        return {
            "branch": self.branch,
            "tip": self.tip,
            "onto": self.onto,
            "todo": list(self.todo[done:]),
        }


def waiting(state: Metadata) -> Plan | None:
    """Return the rebase that waits, None where there is none."""
    note = state.merge
    if note is None or note["verb"] != REBASE:
        return None
    return Plan(note["branch"], note["tip"], note["onto"], tuple(note["todo"]))


def without_step(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return the note of a rebase whose present version is recorded, or left out."""
    return {**note, "theirs": None, "parents": []}


def refuse_rebased(state: Metadata, branch: str) -> None:
    """Refuse to take the name of a branch away from a rebase that waits.

    Raises:
        InvalidOperation: One of this branch does.
    """
    plan = waiting(state)
    if plan is not None and plan.branch == branch:
        raise InvalidOperation(
            f"a rebase of {branch!r} waits: settle its conflicts, then register() goes on with "
            "it, or abort_merge() takes it back",
            branch=branch,
        )


class Rebasing:
    """Makes the versions of a plan again on top of another one.

    Args:
        hold: The lease.
        plan: The plan.
        start: What the first of the versions is to stand on: HEAD, or what is rebased onto.
        position: The fields of the metadata that say how far changes have been noticed.
        progress: Told how many documents were done.
    """

    def __init__(
        self,
        hold: Hold,
        plan: Plan,
        start: VersionId,
        position: Mapping[str, Any],
        progress: Progress | None,
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._plan = plan
        self._position = position
        self._progress = progress
        self._way = hold.repository.log.tree().path(plan.tip, start)
        self._places = {version: at for at, version in enumerate(self._way.backward)}
        self._is_at_tip = hold.state.head == plan.tip
        first = entry_of(self._repository, start)
        self._chain = Chain(hold, plan.branch, first, len(plan.todo), progress)

    def run(self, policy: MergePolicy) -> Version:
        """Make the versions again, and bring branch, HEAD and documents there.

        Returns:
            The new tip of the branch.

        Raises:
            AutoMergeFailedError: Conflicts of one of them wait for decisions.
        """
        for turn, version in enumerate(self._plan.todo):
            original, recording = entry_of(self._repository, version), self._chain.recording()
            conflicts = self._replay(original, recording, policy)
            if conflicts:
                raise self._wait_for_decisions(original, recording, turn, conflicts)
            others = original.parents[1:]
            if recording.count or others:  # what is there already is left out
                self._chain.add(recording, original, others)
        return self._finish()

    def _replay(self, original: Version, recording: Recording, policy: MergePolicy) -> int:
        """Record the changes of a version; return how many conflicts there are."""
        repository, ours = self._repository, self._chain.tip
        times = (as_in_log(repository, one.timestamp) for one in (ours, original))
        sieve = Sieve(repository, recording.id)
        outcomes = replayed(repository, self._step(original.id), policy, MergeContext(*times))
        with closing(prefetch(outcomes)) as found:
            recording.append(sieve.changes(found))
        return sieve.conflicts

    def _step(self, version: VersionId) -> Step:
        place, way = self._places[version] + 1, self._way
        behind, ahead = way.backward[:place], way.backward[place:]
        ours = Path(ahead, (*way.forward, *self._made))
        here = Path(behind, ()) if self._is_at_tip else ~Path(ahead, way.forward)
        return Step(here, ours, version)

    @property
    def _made(self) -> tuple[VersionId, ...]:
        return tuple(version.id for version in self._chain.made)

    def _path(self, *further: VersionId) -> Path:
        """Return the path from HEAD to the last version made, and further."""
        new = (*self._made, *further)
        if self._is_at_tip:
            return Path(self._way.backward, (*self._way.forward, *new))
        return Path((), new)

    def _finish(self) -> Version:
        tip = self._chain.tip
        commit = Commit(
            state={**self._position, **ended(self._plan, tip.id)},
            log=self._chain.entries,
            branches={self._plan.branch: tip.id},
            path=self._path(),
            strict=True,
            checked="collection",
            private_checks=bool(self._repository.own_checks),
        )
        describe_all(self._hold, commit, self._plan)
        self._carry_out(commit)
        return entry_of(self._repository, tip.id)

    def _carry_out(self, commit: Commit) -> None:
        repository, path, draft = self._repository, commit.path, commit.draft
        assert path is not None
        try:
            carry_out(
                self._hold,
                commit,
                lambda: moves_along(repository, path, draft=draft),
                self._progress,
            )
        except WorkingCopyChanged as error:
            if self._is_at_tip:
                raise
            raise WorkingCopyChanged(
                f"the document with _id {error.document_id!r} was changed by another client "
                "meanwhile; the rebase waits where it was. Take the change back, then register() "
                "goes on, or abort_merge() takes everything back",
                **error.facts,
            ) from error

    def _wait_for_decisions(
        self, original: Version, recording: Recording, turn: int, conflicts: int
    ) -> AutoMergeFailedError:
        """Bring HEAD to the last version made, and the documents on to the merged state."""
        repository, head, draft = self._repository, self._chain.tip, recording.id
        note = {
            "id": draft,
            "verb": REBASE,
            "theirs": original.id,
            "parents": list(original.parents[1:]),
            "message": original.message,
            "author": original.author,
            "metadata": original.metadata,
            **self._plan.note(turn + 1),
        }
        commit = Commit(
            state={
                **self._position,
                "head": head.id,
                "branch": head.branch,
                "detached": True,
                "merge": note,
            },
            log=self._chain.entries,
            path=self._path(draft),
            draft=draft,
            strict=True,
            forgotten=[draft],
            operation={},
        )
        note_modified(repository, draft)
        self._carry_out(commit)
        repository.deltas.delete([draft])
        conflicts = repository.conflicts.count(draft) or conflicts
        return AutoMergeFailedError(
            f"{original.label} makes {conflicts} conflicts, which wait for decisions: "
            "conflicts() lists them, resolve_conflict() or resolve_conflicts() settles them, "
            f"then register() records it and goes on ({len(note['todo'])} more to come); "
            "abort_merge() takes everything back",
            conflicts=conflicts,
            merge=draft,
            version=original.id,
        )


def ended(plan: Plan, tip: VersionId) -> dict[str, Any]:
    """Return the fields of the metadata once a rebase is over."""
    return {"head": tip, "branch": plan.branch, "detached": False, "merge": None}


def describe_all(hold: Hold, commit: Commit, plan: Plan) -> None:
    """Have the commit that ends a rebase stand for all of it in the log of operations."""
    describe(hold, commit)
    commit.operation = {
        **(commit.operation or {}),
        "verb": REBASE,
        "before": plan.before,
        "documents": True,
    }


def take_back(hold: Hold, plan: Plan, progress: Progress | None) -> None:
    """Bring documents, HEAD and branch back to where they were before a rebase that waits."""
    ensure_collection(hold)
    path = hold.repository.log.tree().path(hold.state.head, plan.tip)
    commit = Commit(state={**plan.before, "merge": None}, path=path, operation={})
    set_aside_and_move(hold, commit, progress)
