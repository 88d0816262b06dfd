"""Merging changes that were set aside into the present documents.

What the documents become is put aside first, as changes of them: a commit that is too large for
one transaction is carried out from there, and so is the way back while conflicts wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.recreating import ensure_collection
from versioned_collection.core.delta import Delta, images
from versioned_collection.core.document import OBJECT, DocumentKey, are_twins, document_hash
from versioned_collection.core.merging import (
    Conflict,
    MergeContext,
    MergePolicy,
    merge_documents,
)
from versioned_collection.core.sums import MODULUS
from versioned_collection.core.version import fingerprint_text
from versioned_collection.documents.moves import Move, batched, is_small
from versioned_collection.documents.restoring import restoration
from versioned_collection.driver.wire import by_keys
from versioned_collection.errors import AutoMergeFailedError
from versioned_collection.history.versions import entry_of, merge_context
from versioned_collection.merges.joining import carry_out
from versioned_collection.merges.merging import Outcome, arriving, refuse_too_large, waiting
from versioned_collection.merges.namesakes import kept_out
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.metadata import Metadata, with_stashes
from versioned_collection.working.working_copy import WorkingCopy

_NEIGHBOURS = 4
"""How far apart, in the order of ids, those can be that the server takes for one."""


class Unstashing:
    """The steps by which a stash joins the present documents.

    Args:
        hold: The lease.
        header: The stash, as the metadata names it.
        drop: Whether the stash goes when all of it has been brought back.
        progress: Told how many documents were written.
    """

    def __init__(
        self, hold: Hold, header: Mapping[str, Any], drop: bool, progress: Progress | None
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._header = header
        self._drop = drop
        self._progress = progress
        self._id = ObjectId()
        self._conflicts = self._digest = self._count = self._bytes = 0
        self._moves: list[Move] | None = []

    def run(self, policy: MergePolicy) -> None:
        """Bring the changes back.

        Raises:
            AutoMergeFailedError: Conflicts wait for decisions.
            WorkingCopyChanged: Another client wrote meanwhile; nothing was done.
            DocumentRejected: The server refuses a merged document; nothing was done.
        """
        hold = self._hold
        ensure_collection(hold)
        context = self._context()
        hold.begin({"phase": "prepare", "version": self._id, "stash": self._id})
        for outcomes in self._outcomes(policy, context):
            self._put_aside(outcomes)
        state = self._waiting(context) if self._conflicts else self._done()
        commit = Commit(state=state, stash=self._id, guarded=True, strict=True)
        moves = self._moves
        again = None if moves is None else lambda: iter([moves] if moves else [])
        carry_out(hold, commit, again, self._progress)
        if self._conflicts:
            raise AutoMergeFailedError(
                f"{waiting(self._conflicts)} for decisions: conflicts() lists them, "
                "resolve_conflict() or resolve_conflicts() settles them, abort_merge() takes the "
                "stash out again; it is kept until then",
                conflicts=self._conflicts,
                merge=self._id,
            )
        clear_away(hold, [self._id, self._header["id"]])

    def _context(self) -> MergeContext:
        """Return the times of both sides; changes that nobody recorded are of now."""
        repository, copy = self._repository, WorkingCopy(self._hold)
        changed = copy.has_changes()
        copy.persist()
        head = entry_of(repository, self._hold.state.head)
        ours = repository.now() if changed else head.timestamp
        return merge_context(repository, ours, self._header["created"])

    def _outcomes(self, policy: MergePolicy, context: MergeContext) -> Iterator[list[Outcome]]:
        repository = self._repository
        stored = repository.stash.of_version(self._header["id"])
        for batch in batched(stored, lambda one: (one,)):
            deltas = {delta.key: delta for delta in batch}
            for portion, present in by_keys(repository.db, repository.name, list(deltas)):
                outcomes = [
                    _merged(deltas[key], present.get(key), policy, context) for key in portion
                ]
                staying = partial(self._staying, policy, context)
                out = kept_out(repository, arriving(outcomes), staying)
                yield list(_apart(outcomes, present.keys() - set(portion), out))

    def _staying(
        self, policy: MergePolicy, context: MergeContext, keys: set[DocumentKey]
    ) -> set[DocumentKey]:
        """Return which present documents are there behind the merge."""
        repository, staying = self._repository, set(keys)
        deltas = {delta.key: delta for delta in repository.stash.among(self._header["id"], keys)}
        for portion, present in by_keys(repository.db, repository.name, sorted(deltas)):
            outcomes = (_merged(deltas[key], present.get(key), policy, context) for key in portion)
            staying.difference_update(one.key for one in outcomes if one.merged is None)
        return staying

    def _put_aside(self, outcomes: list[Outcome]) -> None:
        repository = self._repository
        for one in outcomes:
            refuse_too_large(repository, one.key, one.merged)
        conflicts = [conflict for one in outcomes for conflict in one.conflicts]
        repository.conflicts.add(self._id, conflicts)
        self._conflicts += len(conflicts)
        # decisions change documents too, which the way back has to know
        changed = [one for one in outcomes if one.ours != one.merged or one.conflicts]
        repository.modified.add([one.key for one in changed])
        self._digest += repository.stash.append(self._id, map(_delta, changed))
        self._count += len(changed)
        self._bytes += sum(len(one.ours or b"") + len(one.merged or b"") for one in changed)
        if not is_small(self._count, self._bytes):
            self._moves = None
        if self._moves is not None:
            self._moves += map(_move, changed)

    def _done(self) -> dict[str, Any]:
        return without_stash(self._hold.state, self._header["id"]) if self._drop else {}

    def _waiting(self, context: MergeContext) -> dict[str, Any]:
        note = {
            "id": self._id,
            "verb": self._hold.verb,
            "theirs": None,
            "parents": [],
            "message": None,
            "author": None,
            "metadata": {},
            "stash": self._header["id"],
            "drop": self._drop,
            "times": [context.ours_time, context.theirs_time],
            "digest": fingerprint_text(self._digest % MODULUS),
        }
        return {"merge": note}


def end_of_unstashing(state: Metadata) -> dict[str, Any]:
    """Return what the state becomes when the last conflict of a stash is settled."""
    assert state.merge is not None
    rest = without_stash(state, state.merge["stash"]) if state.merge["drop"] else {}
    return {"merge": None, **rest}


def without_stash(state: Metadata, stash: ObjectId) -> dict[str, Any]:
    """Return the fields of the metadata without one of the stashes."""
    return with_stashes(header for header in state.stashes if header["id"] != stash)


def clear_away(hold: Hold, stashes: list[ObjectId]) -> None:
    """Remove the changes of stashes, except of those that the metadata still names."""
    hold.refresh()
    named = {header["id"] for header in hold.state.stashes}
    hold.repository.stash.delete([one for one in stashes if one not in named])


def _merged(
    delta: Delta, ours: bytes | None, policy: MergePolicy, context: MergeContext
) -> Outcome:
    merged = merge_documents(delta.key, delta.old, ours, delta.new, policy, context)
    return Outcome(delta.key, ours, merged.raw, merged.conflicts)


def _apart(
    outcomes: list[Outcome], untouched: set[DocumentKey], out: set[DocumentKey]
) -> Iterator[Outcome]:
    """Let no document come in beside a present one whose id the server takes for the same.

    Args:
        outcomes: The merged documents, in the order of their ids.
        untouched: Documents that are there under such an id, and stay.
        out: Documents that a collation keeps out.
    """
    coming = set(arriving(outcomes))
    for place, one in enumerate(outcomes):
        around = outcomes[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS + 1]
        staying = [near.key for near in around if near is not one and near.merged is not None]
        is_twin = any(are_twins(key, one.key) for key in (*staying, *untouched))
        if one.key in coming and (is_twin or one.key in out):
            theirs = bytes((OBJECT,)) + (one.merged or b"")
            conflict = Conflict(one.key, (), "both_added", None, None, theirs)
            yield one._replace(merged=None, conflicts=[conflict])
        else:
            yield one


def _delta(one: Outcome) -> Delta:
    """Return the change of a document, also where there is none."""
    state = _hash(one.ours)
    unchanged = Delta(one.key, "update", state, state, None, one.ours, one.ours)
    return images(one.ours, one.merged) or unchanged


def _move(one: Outcome) -> Move:
    return restoration(one.key, _hash(one.ours), one.merged)


def _hash(raw: bytes | None) -> bytes | None:
    return None if raw is None else document_hash(raw)
