"""conflicts, resolve_conflict, resolve_conflicts, abort_merge: the end of a merge that waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core import merging
from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.merging import MergeContext
from versioned_collection.core.portions import portions
from versioned_collection.documents.moves import BATCH
from versioned_collection.errors import InvalidArgument, InvalidOperation, WorkingCopyChanged
from versioned_collection.history.versions import entry_of, merge_context
from versioned_collection.merges.decisions import Decide, Decisions
from versioned_collection.merges.rebase_plan import waiting
from versioned_collection.merges.rebasing import take_back
from versioned_collection.merges.uniting import take_theirs
from versioned_collection.observing import Progress, counted
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.working.recovery import holding
from versioned_collection.working.setting_aside import set_aside
from versioned_collection.working.working_copy import WorkingCopy


class Conflict(merging.ShownConflict):
    """A conflict that waits.

    Args:
        id: Under which it is stored.
        raw: The conflict with values as the server stores them.
        codec: The codec options of the collection.

    Attributes:
        id: Under which it is stored.
    """

    __slots__ = ("id",)

    def __init__(self, id: ObjectId, raw: merging.Conflict, codec: Codec = PLAIN) -> None:
        super().__init__(raw, codec)
        self.id = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conflict) and (self.id, self.raw) == (other.id, other.raw)

    def __hash__(self) -> int:
        return hash(self.id)


def conflicts(repository: Repository) -> Iterator[Conflict]:
    """Iterate over the conflicts that wait, those of one document in a row.

    Only the conflict of a whole document that another client changed while a large merge was
    written stands apart: those come first.
    """
    merge = repository.state().merge
    if merge is None:
        return
    for page in repository.conflicts.of_merge(merge["id"]):
        for stored in page:
            yield Conflict(*stored, repository.codec)


def resolve_conflict(repository: Repository, conflict: Conflict | ObjectId, value: Any) -> None:
    """Put a value in the place of one conflict.

    Args:
        repository: The trackers.
        conflict: The conflict, or its id.
        value: The value; `Side.OURS`, `Side.THEIRS`, `Side.BASE` for that side's, `MISSING`
            for none.

    Raises:
        InvalidOperation: It is settled already, or waits in another worktree.
        PlaceGone: What its path leads through is gone, and `value` is not "none" in a document
            that is gone altogether.
        WorkingCopyChanged: Another client writes to the document just now.
        InvalidArgument: The value cannot stand there.
        DocumentRejected: The document would become too large, or the server refuses it.
    """
    wanted = conflict.id if isinstance(conflict, Conflict) else conflict
    if not isinstance(wanted, ObjectId):
        raise InvalidArgument("give a conflict of conflicts(), or its id", conflict=conflict)
    with holding(repository, "resolve_conflict") as hold:
        merge = hold.state.merge
        found = None if merge is None else repository.conflicts.one(merge["id"], wanted)
        if found is None:
            raise InvalidOperation(
                "that conflict is settled already, or waits in another worktree; conflicts() "
                "lists those that wait here",
                conflict=wanted,
            )
        shown = Conflict(*found, repository.codec)
        if isinstance(conflict, Conflict) and _is_same(conflict, shown):
            shown = conflict  # its own values, given back, are exact
        decisions = Decisions(hold, lambda _: merging.resolved_value(shown, value))
        decisions.settle_one(found)
        for error in decisions.gone:
            raise error
        if decisions.overtaken:
            raise WorkingCopyChanged(
                f"the document with _id {shown.document_id!r} was changed by "
                "another client meanwhile, so its conflict still waits; settle it again",
                conflict=wanted,
            )


def _is_same(one: Conflict, other: Conflict) -> bool:
    """Tell whether conflicts are one, whose place may have moved within its list."""
    return replace(one.raw, path=other.path) == other.raw


def resolve_conflicts(
    repository: Repository,
    resolver: merging.ResolverLike | None,
    progress: Progress | None = None,
) -> int | None:
    """Settle all conflicts by one rule.

    Those whose place is gone from its document wait on. Where it fails, the conflicts of some
    documents may be settled already.

    Args:
        repository: The trackers.
        resolver: The rule; None takes the documents as they are now.
        progress: Told how many conflicts were settled.

    Returns:
        How many conflicts still wait, None where there were none.

    Raises:
        InvalidArgument: There is no such rule, or it would give a document another id.
        ResolverFailed: The rule raised.
        DocumentRejected: A document would become too large, or the server refuses it.
    """
    rule = None if resolver is None else merging.resolver(resolver)
    with holding(repository, "resolve_conflicts") as hold:
        merge = hold.state.merge
        if merge is None or not repository.conflicts.has_any(merge["id"]):
            return None
        decisions = Decisions(hold, None if rule is None else _by_rule(repository, rule))
        decisions.settle_all(merge["id"], counted(progress))
        return repository.conflicts.count(merge["id"])


def _by_rule(repository: Repository, rule: merging.Resolver) -> Decide:
    state = repository.state()
    context = MergeContext()
    if state.merge is not None:
        context = merge_context(repository, *_times(repository, state))
    return lambda conflict: merging.run_resolver(rule, conflict, context)


def _times(repository: Repository, state: Metadata) -> list[datetime]:
    """Return when both sides of the merge that waits came to be."""
    assert state.merge is not None
    if "times" in state.merge:
        times: list[datetime] = state.merge["times"]
        return times
    sides = (state.head, state.merge["theirs"])
    if state.merge.get("merges"):  # a pull, whose ours is what was here
        sides = sides[::-1]
    return [entry_of(repository, one).timestamp for one in sides]


def discard_local_changes(repository: Repository, progress: Progress | None = None) -> bool | None:
    """Give up what a pull that waits was to bring together: the remote's side stands.

    Returns:
        True; None where no pull waits.

    Raises:
        InvalidOperation: A rebase has conflicts, whose other side are the local changes.
    """
    with holding(repository, "resolve_conflicts") as hold:
        plan = waiting(hold.state)
        if plan is None:
            return None
        if plan.remote is None:
            if not repository.has_conflicts(hold.state):
                return None
            raise InvalidOperation(
                f"in a rebase the changes of {plan.branch!r} are the other side: "
                "resolver='ours' discards them where they conflict, resolver='theirs' keeps "
                "them, and abort_merge() takes the rebase back",
                branch=plan.branch,
            )
        merge = _id_of(hold.state.merge)
        take_theirs(hold, plan, progress)
        repository.conflicts.delete([merge])
        return True


def abort_merge(repository: Repository, progress: Progress | None = None) -> bool:
    """Take a merge that waits back: the documents are those of HEAD again.

    Of a rebase all steps are taken back, and HEAD is on the branch where it was before. Where
    a stash was applied, the documents that it changed are what they were before that; others,
    and those that somebody else has changed since, stay as they are.

    Returns:
        Whether there was one.
    """
    with holding(repository, "abort_merge") as hold:
        merge = hold.state.merge
        if merge is None:
            return False
        commit, committer = Commit(state={"merge": None}), Committer(hold, progress)
        plan = waiting(hold.state)
        if plan is not None:
            take_back(hold, plan, progress)
        elif merge.get("stash") is not None:
            _take_stash_out(hold, commit, committer, merge["id"])
        elif not set_aside(hold, WorkingCopy(hold), commit, committer):
            hold.update({"merge": None})
        repository.conflicts.delete([merge["id"]])
        return True


def _take_stash_out(hold: Hold, commit: Commit, committer: Committer, merge: ObjectId) -> None:
    repository = hold.repository
    deltas = repository.stash.of_version(merge)
    for batch in portions(deltas, lambda _: 1, BATCH, BATCH):
        repository.modified.add([delta.key for delta in batch])
    committer.take_out(commit, merge)
    repository.stash.delete([merge])


def _id_of(merge: Any) -> ObjectId:
    return ObjectId() if merge is None else merge["id"]
