"""conflicts, resolve_conflict, resolve_conflicts, abort_merge: the end of a merge that waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer
from versioned_collection.core import merging
from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.delta import images
from versioned_collection.core.document import DocumentKey, document_hash
from versioned_collection.core.merging import MergeContext, Path, TakenOut, settle
from versioned_collection.core.portions import portions
from versioned_collection.errors import (
    InvalidArgument,
    InvalidOperation,
    PlaceGone,
    WorkingCopyChanged,
)
from versioned_collection.hold import Hold
from versioned_collection.merging import refuse_too_large
from versioned_collection.moves import BATCH
from versioned_collection.observing import Progress, counted
from versioned_collection.rebasing import take_back, waiting
from versioned_collection.recovery import holding
from versioned_collection.repository import Repository
from versioned_collection.restoring import restoration
from versioned_collection.setting_aside import set_aside
from versioned_collection.trackers.conflicts import StoredConflict
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.trackers.stash import Step
from versioned_collection.uniting import take_theirs
from versioned_collection.unstashing import clear_away, end_of_unstashing
from versioned_collection.versions import entry_of, merge_context
from versioned_collection.wire import by_keys
from versioned_collection.working_copy import WorkingCopy


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


_SMALLER = "its conflicts still wait. Settle them with what is smaller"

_Decided = Mapping[DocumentKey, tuple[bytes | None, bytes | None]]
"""Documents as they are and as they shall be."""

Decide = Callable[[merging.Conflict], Any]
"""Returns what shall stand in a conflict's place, as bytes; None for nothing, or `UNRESOLVED`."""


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
        InvalidOperation: It is settled already.
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
        found = list(repository.conflicts.of_merge(_id_of(merge), {"_id": wanted}))
        if merge is None or not found:
            raise InvalidOperation(
                "that conflict is settled already; conflicts() lists those that wait",
                conflict=wanted,
            )
        shown = Conflict(*found[0][0], repository.codec)
        if isinstance(conflict, Conflict) and _is_same(conflict, shown):
            shown = conflict  # its own values, given back, are exact
        settling = _Settling(hold, lambda _: merging.resolved_value(shown, value))
        settling.settle(found[0])
        for error in settling.gone:
            raise error
        if settling.overtaken:
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

    Those whose place is gone from its document wait on.

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
        settling = _Settling(hold, None if rule is None else _by_rule(repository, rule))
        report = counted(progress)
        for page in repository.conflicts.of_merge(merge["id"]):
            settling.settle(page)
            report("settled", len(page))
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


class _Draft:
    """A document while conflicts of it are settled.

    Attributes:
        raw: The document, None where there is none.
    """

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw
        self._taken_out = TakenOut()

    def settle(self, path: Path, value: merging.Value | None) -> bool:
        """Put a value at a place, which is named as it was before anything was settled.

        Returns:
            Whether an element has left its list by it.

        Raises:
            PlaceGone: What the path leads through is gone.
        """
        before, place = self.raw, self._taken_out.place_of(path)
        self.raw = settle(before, place, value)
        leaves = value is None and bool(path) and isinstance(path[-1], int)
        if leaves and self.raw != before:
            self._taken_out.add(path)
            return True
        return False


class _Settling:
    """Settles conflicts, a page at a time.

    Attributes:
        overtaken: Documents that another client changed meanwhile, so that their conflicts wait.
        gone: Why other conflicts wait: their place is gone.
    """

    def __init__(self, hold: Hold, decide: Decide | None) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._decide = decide
        self.overtaken: list[DocumentKey] = []
        self.gone: list[PlaceGone] = []

    def settle(self, page: list[StoredConflict]) -> None:
        """Write what was decided, and remove the conflicts that it settles.

        A document that another client changes just now stays, and so do its conflicts. Those
        whose place is gone wait on as well.

        Raises:
            DocumentRejected: A document would become too large, or the server refuses it.
            InvalidArgument: A document would get another id.
        """
        if self._decide is None:
            self._commit(Commit(settled=[one.id for one in page]), {}, {})
            return
        keys = sorted({one.conflict.key for one in page})
        present: dict[DocumentKey, bytes | None] = dict.fromkeys(keys)
        for portion, found in by_keys(self._repository.db, self._repository.name, keys):
            present.update((key, found.get(key)) for key in portion)
        drafts = {key: _Draft(raw) for key, raw in present.items()}
        settled: list[ObjectId] = []
        taken_out: list[ObjectId] = []
        for one in page:
            value = self._decide(one.conflict)
            if value is merging.UNRESOLVED:
                continue
            try:
                if drafts[one.conflict.key].settle(one.conflict.path, value):
                    taken_out.append(one.id)
            except PlaceGone as error:
                self.gone.append(error)
            else:
                settled.append(one.id)
        for key, draft in drafts.items():
            refuse_too_large(self._repository, key, draft.raw, _SMALLER)
            self._refuse_other_id(key, draft.raw)
        if settled:
            commit = Commit(settled=settled, taken_out=taken_out)
            self._commit(commit, present, {key: one.raw for key, one in drafts.items()})

    def _refuse_other_id(self, key: DocumentKey, raw: bytes | None) -> None:
        """Refuse to give a document another id: earlier releases left conflicts within ids."""
        if not merging.keeps_id(merging.document_value(raw), key):
            document_id = self._repository.codec.value(key)
            raise InvalidArgument(
                f"the document with _id {document_id!r} would get another _id: settle what "
                "conflicts within it with Side.OURS",
                document_id=document_id,
            )

    def _commit(
        self,
        commit: Commit,
        present: dict[DocumentKey, bytes | None],
        wanted: dict[DocumentKey, bytes | None],
    ) -> None:
        merge: Mapping[str, Any] = self._hold.state.merge or {}
        changed = [key for key, raw in wanted.items() if raw != present[key]]
        is_last = self._is_last_of_stash(commit.settled)
        ended = end_of_unstashing(self._hold.state) if is_last else None
        commit.state = ended or {"progress": ObjectId()}
        committer = Committer(self._hold)
        self._repository.modified.add(changed)
        if merge.get("stash") is not None:
            self._note_steps(merge["id"], changed, present, wanted)
        if not changed:
            committer.references(commit)
        else:
            self._move(commit, committer, {key: (present[key], wanted[key]) for key in changed})
        self.overtaken += committer.kept
        if is_last and not committer.kept:
            clear_away(self._hold, [merge["id"], merge["stash"]])

    def _note_steps(
        self,
        merge: ObjectId,
        changed: list[DocumentKey],
        present: dict[DocumentKey, bytes | None],
        wanted: dict[DocumentKey, bytes | None],
    ) -> None:
        """Have the way back take what was decided for ours, once it is written."""
        steps = {key: Step(_hash(present[key]), _hash(wanted[key])) for key in changed}
        self._repository.stash.note_steps(merge, steps)

    def _is_last_of_stash(self, settled: list[ObjectId]) -> bool:
        """Tell whether nothing of a stash that was applied waits any more."""
        merge = self._hold.state.merge
        if merge is None or merge.get("stash") is None:
            return False
        return not self._repository.conflicts.has_any(merge["id"], settled)

    def _move(self, commit: Commit, committer: Committer, decided: _Decided) -> None:
        def put_aside() -> None:  # so that whoever resumes can carry it out
            commit.stash, commit.guarded = ObjectId(), True
            self._hold.begin({"phase": "prepare", "stash": commit.stash})
            deltas = (images(old, new) for old, new in decided.values())
            self._repository.stash.append(commit.stash, [one for one in deltas if one])

        moves = [restoration(key, _hash(old), new) for key, (old, new) in decided.items()]
        committer.carry_out(commit, lambda: [moves], keep=True, before_steps=put_aside)
        if commit.stash is not None:
            self._repository.stash.delete([commit.stash])


def _hash(raw: bytes | None) -> bytes | None:
    return None if raw is None else document_hash(raw)
