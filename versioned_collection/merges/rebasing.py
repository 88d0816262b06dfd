"""The versions of a branch made again, one after the other, on top of another version.

All of it happens in history: the documents move once, from where they are to where the last
version leads, or to the first one that conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.operations import describe
from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.merging import MergeContext, MergePolicy
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version, VersionId
from versioned_collection.documents.moves import moves_along
from versioned_collection.documents.proved import prove
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import AutoMergeFailedError, InvalidOperation, WorkingCopyChanged
from versioned_collection.history.containing import containing
from versioned_collection.history.labels import (
    given_back,
    stamp,
)
from versioned_collection.history.versions import entry_of, merge_context
from versioned_collection.merges.joining import Sieve, carry_out, note_modified
from versioned_collection.merges.merging import count_of
from versioned_collection.merges.rebase_plan import Plan, ended
from versioned_collection.merges.replaying import Step, replayed
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.working.recording import Chain, Recording
from versioned_collection.working.setting_aside import set_aside_and_move


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
        self._start = start
        self._tree = hold.repository.log.tree()
        # the rest of what is read follows from documents which the versions have to fit
        prove(hold.repository, hold.repository.way(self._tree.path(hold.state.head, start)))
        state = hold.state
        self._is_elsewhere = state.merge is None and (
            state.detached or state.branch != plan.branch
        )
        self._labels, number = plan.labels(self._repository)
        first, count = entry_of(self._repository, start), max(len(plan.todo), 1)
        self._chain = Chain(hold, plan.branch, first, count, progress, number)

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
        repository = self._repository
        sieve = Sieve(repository, recording.id)
        outcomes = replayed(repository, self._step(original), policy, self._context(original))
        with closing(prefetch(outcomes)) as found:
            recording.append(sieve.changes(found))
        return sieve.conflicts

    def _context(self, version: Version) -> MergeContext:
        ours, theirs = self._chain.tip, version
        return merge_context(self._repository, ours.timestamp, theirs.timestamp)

    def _step(self, version: Version) -> Step:
        base = self._base_of(version)
        return self._step_from(base, self._tree.path(base, version.id))

    def _base_of(self, version: Version) -> VersionId:
        """Return where the changes begin that are made again.

        Some of those that a version stands for may be in what it is to stand on already.
        """
        parent = self._tree.parent(version.id)
        assert parent is not None
        if version.gap is None:
            return parent
        onto = self._plan.onto
        known = containing(self._repository, self._tree, version.id, onto)
        thinned = known.nodes[version.id].parents[len(version.parents) :]
        contained = ancestors_of(known, onto)
        return next((one for one in reversed(thinned) if one in contained), parent)

    def _step_from(self, base: VersionId, theirs: Path) -> Step:
        ours = self._tree.path(base, self._start)
        here = self._tree.path(self._hold.state.head, base)
        return Step(here, Path(ours.backward, (*ours.forward, *self._made)), theirs)

    @property
    def _made(self) -> tuple[VersionId, ...]:
        return tuple(version.id for version in self._chain.made)

    def _path(self, *further: VersionId) -> Path:
        """Return the path from HEAD to the last version made, and further."""
        way = self._tree.path(self._hold.state.head, self._start)
        return Path(way.backward, (*way.forward, *self._made, *further))

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
            labels=self._labels,
        )
        commit.state |= stamp(self._labels)
        if self._is_elsewhere:  # the branch alone moves
            commit.path, commit.checked, commit.private_checks = None, None, False
            commit.state = {"progress": ObjectId(), **stamp(self._labels)}
            describe(self._hold, commit, otherwise=self._plan.labels_before)
        else:
            describe_all(self._hold, commit, self._plan)
        self._carry_out(commit)
        return entry_of(self._repository, tip.id)

    def _carry_out(self, commit: Commit) -> None:
        repository, draft = self._repository, commit.draft
        path = commit.path or Path((), ())
        try:
            carry_out(
                self._hold,
                commit,
                lambda: moves_along(repository, path, draft=draft),
                self._progress,
            )
        except WorkingCopyChanged as error:
            if self._hold.state.merge is None:
                raise
            who, way_out = "documents are in use by another client", "Try again later, then"
            if "document_id" in error.facts:
                who = f"the document with _id {error.document_id!r} was changed by another client"
                way_out = "Take the change back, then"
            raise WorkingCopyChanged(
                f"{who} meanwhile; the {self._plan.verb} waits where it was. {way_out} "
                "register() goes on, or abort_merge() takes everything back",
                **error.facts,
            ) from error

    def _wait_for_decisions(
        self, original: Version, recording: Recording, turn: int, conflicts: int
    ) -> AutoMergeFailedError:
        """Bring HEAD to the last version made, and the documents on to the merged state."""
        repository, head, draft = self._repository, self._chain.tip, recording.id
        if self._is_elsewhere:
            raise InvalidOperation(
                f"{original.label} makes {count_of(conflicts)}, and its branch is not checked "
                f"out; check {self._plan.branch!r} out, then try again. The branch is as before, "
                "and what was fetched stays",
                branch=self._plan.branch,
                conflicts=conflicts,
            )
        note = {
            "id": draft,
            "verb": self._plan.verb,
            "theirs": original.id,
            "parents": list(original.parents[1:]),
            "message": original.message,
            "author": original.stored_author,
            "metadata": original.stored_metadata,
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
            f"{self._stopped_by(original)} makes {count_of(conflicts)} to decide: "
            "conflicts() lists them, resolve_conflict() or resolve_conflicts() settles "
            f"them, then register() records it{self._further(turn)}; abort_merge() takes "
            "everything back",
            conflicts=conflicts,
            merge=draft,
            version=original.id,
        )

    def _stopped_by(self, original: Version) -> str:
        return original.label

    def _further(self, turn: int) -> str:
        return f" and goes on ({len(self._plan.todo) - turn - 1} more to come)"


def describe_all(hold: Hold, commit: Commit, plan: Plan) -> None:
    """Have the commit that ends a rebase stand for all of it in the log of operations."""
    describe(hold, commit, otherwise=plan.labels_before)
    commit.operation = {
        **(commit.operation or {}),
        "verb": plan.verb,
        "before": plan.before,
        "documents": True,
    }


def take_back(hold: Hold, plan: Plan, progress: Progress | None) -> None:
    """Bring documents, HEAD and branch back to where they were before a rebase that waits."""
    path = hold.repository.log.ancestry().path(hold.state.head, plan.tip)
    commit = Commit(state={**plan.before, "merge": None}, path=path, operation={})
    if plan.labels_before:
        commit.labels = given_back(hold.repository, plan.labels_before)
        commit.state["labels"] = ObjectId()
    set_aside_and_move(hold, commit, progress)
