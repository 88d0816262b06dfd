"""What is decided for conflicts that wait: written, and the conflicts removed that it settles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.delta import images
from versioned_collection.core.document import DocumentKey, document_hash
from versioned_collection.core.merging import (
    UNRESOLVED,
    Conflict,
    Path,
    TakenOut,
    Value,
    document_value,
    keeps_id,
    settle,
)
from versioned_collection.core.portions import portions
from versioned_collection.documents.restoring import restoration
from versioned_collection.driver.server_errors import DUPLICATE_KEY
from versioned_collection.driver.wire import by_keys
from versioned_collection.errors import DocumentRejected, InvalidArgument, PlaceGone
from versioned_collection.merges.merging import refuse_too_large
from versioned_collection.merges.unstashing import clear_away, end_of_unstashing
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.conflicts import StoredConflict
from versioned_collection.trackers.stash import Step

_SMALLER = "its conflicts still wait. Settle them with what is smaller"
_MOST_TOGETHER = 200_000
"""How many conflicts are settled together at most: their ids stand in the metadata meanwhile."""

Decide = Callable[[Conflict], Any]
"""Returns what shall stand in a conflict's place, as bytes; None for nothing, or `UNRESOLVED`."""


class _Refused(NamedTuple):
    """Conflicts that follow one another, whose documents a unique index refused.

    Attributes:
        first: The first of them.
        last: The last of them.
        size: How many they are.
        refusal: Why they could not be settled by themselves.
    """

    first: ObjectId
    last: ObjectId
    size: int
    refusal: DocumentRejected


class _Decided(NamedTuple):
    """What was decided for some conflicts.

    Attributes:
        settled: Those that it settles.
        taken_out: Those of them by which an element leaves its list.
        changed: Documents that change by it, as they are and as they shall be.
    """

    settled: list[ObjectId]
    taken_out: list[ObjectId]
    changed: dict[DocumentKey, tuple[bytes | None, bytes | None]]


class _Draft:
    """A document while conflicts of it are settled.

    Attributes:
        raw: The document, None where there is none.
    """

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw
        self._taken_out = TakenOut()

    def settle(self, path: Path, value: Value | None) -> bool:
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


class Decisions:
    """Settles conflicts, a page at a time.

    Args:
        hold: The lease.
        decide: Decides; None takes the documents as they are now.

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

    def settle_one(self, one: StoredConflict) -> None:
        """Settle one conflict.

        Raises:
            DocumentRejected: The document would become too large, or the server refuses it.
            InvalidArgument: The document would get another id.
        """
        try:
            self._settle([one])
        except DocumentRejected as refusal:
            advice = "resolve_conflicts() settles all conflicts, whichever has to make room first"
            raise _with_advice(refusal, advice) from refusal

    def settle_all(self, merge: ObjectId, report: Progress) -> None:
        """Settle all conflicts of a merge, a page at a time.

        Pages that a unique index refuses are settled together in the end: what is in the way of
        one may be what another takes away.

        Args:
            merge: The merge.
            report: Told how many conflicts were settled.

        Raises:
            DocumentRejected: A document would become too large, or the server refuses it; the
                conflicts of others may be settled.
            InvalidArgument: A document would get another id; as above.
        """
        refused: list[_Refused] = []
        others_moved = False
        for page in self._repository.conflicts.of_merge(merge):
            try:
                self._settle(page)
            except DocumentRejected as refusal:
                if not _is_clash(refusal):
                    raise
                refused.append(_Refused(page[0].id, page[-1].id, len(page), refusal))
            else:
                others_moved = True
                report("settled", len(page))
        if len(refused) == 1 and not others_moved:
            raise refused[0].refusal
        for portion in portions(refused, lambda one: one.size, len(refused), _MOST_TOGETHER):
            self._settle_together(merge, portion)
            report("settled", sum(one.size for one in portion))

    def _settle(self, page: list[StoredConflict]) -> None:
        """Write what was decided, and remove the conflicts that it settles.

        A document that another client changes just now stays, and so do its conflicts. Those
        whose place is gone wait on as well.

        Raises:
            DocumentRejected: A document would become too large, or the server refuses it.
            InvalidArgument: A document would get another id.
        """
        decided = self._decided(page)
        if decided.settled:
            commit = _commit(decided.settled, decided.taken_out)
            self._note(decided)
            self._carry_out(commit, lambda committer: self._move(commit, committer, decided))

    def _settle_together(self, merge: ObjectId, pages: list[_Refused]) -> None:
        """Settle pages in one commit, which finds their documents where they are put aside.

        Raises:
            DocumentRejected: The server refuses one of them; they are as before.
        """
        aside, known = ObjectId(), set[DocumentKey]()
        commit = replace(_commit([], []), stash=aside, guarded=True)
        self._hold.begin({"phase": "prepare", "stash": aside})
        for page in pages:
            for part in self._repository.conflicts.of_merge(merge, (page.first, page.last)):
                # of a document that a page before has, these wait until that is written
                decided = self._decided([one for one in part if one.conflict.key not in known])
                known.update(decided.changed)
                self._note(decided)
                self._put_aside(aside, decided)
                commit.settled += decided.settled
                commit.taken_out += decided.taken_out
        try:
            self._carry_out(commit, lambda committer: committer.carry_out(commit, None))
        except DocumentRejected as refusal:
            advice = (
                "The conflicts of other documents may be settled; abort_merge() takes all back"
            )
            raise _with_advice(refusal, advice) from refusal
        self._repository.stash.delete([aside])

    def _decided(self, page: list[StoredConflict]) -> _Decided:
        """Return what is decided for conflicts, whose documents are read."""
        if self._decide is None:
            return _Decided([one.id for one in page], [], {})
        drafts = self._drafts({one.conflict.key for one in page})
        present = {key: draft.raw for key, draft in drafts.items()}
        settled: list[ObjectId] = []
        taken_out: list[ObjectId] = []
        for one in page:
            value = self._decide(one.conflict)
            if value is UNRESOLVED:
                continue
            try:
                if drafts[one.conflict.key].settle(one.conflict.path, value):
                    taken_out.append(one.id)
            except PlaceGone as error:
                self.gone.append(error)
            else:
                settled.append(one.id)
        changed = {}
        for key, draft in drafts.items():
            if draft.raw != present[key]:
                self._check(key, draft.raw)
                changed[key] = present[key], draft.raw
        return _Decided(settled, taken_out, changed)

    def _drafts(self, keys: Iterable[DocumentKey]) -> dict[DocumentKey, _Draft]:
        drafts: dict[DocumentKey, _Draft] = {}
        for portion, found in by_keys(self._repository.db, self._repository.name, sorted(keys)):
            drafts.update((key, _Draft(found.get(key))) for key in portion)
        return drafts

    def _check(self, key: DocumentKey, raw: bytes | None) -> None:
        """Refuse what no server stores, and to give a document another id.

        Earlier releases left conflicts within ids.
        """
        refuse_too_large(self._repository, key, raw, _SMALLER)
        if not keeps_id(document_value(raw), key):
            document_id = self._repository.codec.value(key)
            raise InvalidArgument(
                f"the document with _id {document_id!r} would get another _id: settle what "
                "conflicts within it with Side.OURS",
                document_id=document_id,
            )

    def _note(self, decided: _Decided) -> None:
        """Note what is about to change; what was decided for a stash counts as its own."""
        self._repository.modified.add(list(decided.changed))
        merge: Mapping[str, Any] = self._hold.state.merge or {}
        if merge.get("stash") is not None:
            steps = {
                key: Step(_hash(old), _hash(new)) for key, (old, new) in decided.changed.items()
            }
            self._repository.stash.note_steps(merge["id"], steps)

    def _carry_out(self, commit: Commit, carry_out: Callable[[Committer], None]) -> None:
        merge: Mapping[str, Any] = self._hold.state.merge or {}
        is_last = self._is_last_of_stash(commit.settled)
        ended = end_of_unstashing(self._hold.state) if is_last else None
        commit.state = ended or {"progress": ObjectId()}
        committer = Committer(self._hold)
        carry_out(committer)
        self.overtaken += committer.kept
        if is_last and not committer.kept:
            clear_away(self._hold, [merge["id"], merge["stash"]])

    def _is_last_of_stash(self, settled: list[ObjectId]) -> bool:
        """Tell whether nothing of a stash that was applied waits any more."""
        merge = self._hold.state.merge
        if merge is None or merge.get("stash") is None:
            return False
        return not self._repository.conflicts.has_any(merge["id"], settled)

    def _move(self, commit: Commit, committer: Committer, decided: _Decided) -> None:
        if not decided.changed:
            committer.references(commit)
            return

        def put_aside() -> None:  # so that whoever resumes can carry it out
            aside = ObjectId()
            commit.stash, commit.guarded = aside, True
            self._hold.begin({"phase": "prepare", "stash": aside})
            self._put_aside(aside, decided)

        changed = decided.changed.items()
        moves = [restoration(key, _hash(old), new) for key, (old, new) in changed]
        committer.carry_out(commit, lambda: [moves], keep=True, before_steps=put_aside)
        if commit.stash is not None:
            self._repository.stash.delete([commit.stash])

    def _put_aside(self, stash: ObjectId, decided: _Decided) -> None:
        deltas = (images(old, new) for old, new in decided.changed.values())
        self._repository.stash.append(stash, [one for one in deltas if one])


def _commit(settled: list[ObjectId], taken_out: list[ObjectId]) -> Commit:
    """Return the commit that settles conflicts; what they make of a document has to pass."""
    return Commit(settled=settled, taken_out=taken_out, strict=True, readmits=True)


def _is_clash(refusal: DocumentRejected) -> bool:
    """Tell whether a unique index refuses a document."""
    return refusal.facts.get("server_code") == DUPLICATE_KEY


def _with_advice(refusal: DocumentRejected, advice: str) -> DocumentRejected:
    """Return a refusal that says more where a unique index is behind it."""
    if not _is_clash(refusal):
        return refusal
    return DocumentRejected(f"{refusal}. {advice}", **refusal.facts)


def _hash(raw: bytes | None) -> bytes | None:
    return None if raw is None else document_hash(raw)
