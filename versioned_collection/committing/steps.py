"""Any other commit: step by step behind an intent, each of which may be taken again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bson.objectid import ObjectId
from pymongo.client_session import ClientSession

from versioned_collection.committing.commit import Commit, apply_references
from versioned_collection.committing.entering import in_parts
from versioned_collection.committing.erasing import Erasing, take_back
from versioned_collection.committing.moving import Moving
from versioned_collection.committing.recreating import ensure_collection
from versioned_collection.committing.withdrawing import withdraw, withdrawn
from versioned_collection.committing.writing import (
    Writing,
    judge,
    size_of,
)
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.tree import Path
from versioned_collection.documents.moves import Move, fillings, moves_along
from versioned_collection.documents.restoring import (
    Batches,
    exactly_unstashed,
    note_overwritten,
    restorations,
    unstashed,
)
from versioned_collection.errors import (
    CheckFailed,
    DocumentRejected,
    PermissionDenied,
    VersioningError,
)
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.metadata import with_stashes


class Steps:
    """Carries out commits step by step.

    Args:
        writing: What writes their documents.
        resumed: Whether what is carried out may have been begun by a process that died.
        declared: The working copy whose state says what is under way, None for that of the lease.

    Attributes:
        kept_in: Documents that another client changed, and that were left so, in each working
            copy, by its name, where a commit has several `copies`.
    """

    def __init__(
        self, writing: Writing, *, resumed: bool = False, declared: Hold | None = None
    ) -> None:
        self._writing = writing
        self._hold, self._repository = writing.hold, writing.repository
        self._declared = declared or writing.hold
        self._resumed = resumed
        self._torn = resumed and not writing.repository.has_transactions
        self._refusal: Exception | None = None
        self.kept_in: dict[str, list[DocumentKey]] = {}

    def declare(self, commit: Commit) -> None:
        """Write the commit as an intent: from here on it will happen.

        Raises:
            InvalidOperation: It would take a branch or version from another working copy.
        """
        hold = self._declared
        judge(hold, commit)
        hold.begin({"phase": "apply", "commit": commit.to_bson()})

    def complete(self, commit: Commit) -> None:
        """Carry out a declared commit; every step may have been done before.

        Nothing is left half done where whoever is told of progress raises: that goes on its
        way in the end.
        """
        self._carry_through(commit)
        if self._refusal is not None:
            raise self._refusal

    def _carry_through(self, commit: Commit) -> None:
        if commit.private_checks and self._resumed:
            self._back_out(commit, CheckFailed("a process that died had checks of its own"))
            return
        if commit.fill and commit.reverse:
            self._withdraw(commit)
            return
        try:
            self._complete_documents(commit)
            self._check(commit)
        except (CheckFailed, DocumentRejected, PermissionDenied) as refusal:
            self._back_out(commit, refusal)
            raise
        if commit.bridged is not None:
            self._bridge(commit, commit.bridged)
        if commit.forgotten and commit.draft is None:
            self._repository.deltas.delete(commit.forgotten)
        if commit.purge is not None and commit.stash is not None:
            if commit.reverse:
                take_back(self._hold, commit.purge, commit.stash)
            else:
                self._erase(commit, commit.purge, commit.stash)
        if commit.spare is not None:
            self._repository.stash.delete([commit.spare["id"]])
        self._finish(commit)
        if commit.draft is not None:  # until then somebody may have to go the same way again
            self._repository.deltas.delete(commit.forgotten)

    def _withdraw(self, commit: Commit) -> None:
        """Take a first copy back: its documents, then what makes the collection tracked."""
        if commit.founded.get("documents"):
            leaving = partial(fillings, self._repository, reverse=True)
            moving = Moving(self._writing, commit, leaving, self.declare, torn=self._torn)
            moving.run(lambda batch: None)
        withdraw(self._hold, commit.founded)

    def _bridge(self, commit: Commit, bridged: Mapping[str, Any]) -> None:
        """Put the changes of several versions in the place of those of the last of them."""
        deltas = self._repository.deltas
        if not bridged["moved"]:
            deltas.delete([bridged["version"]])
            commit.bridged = {**bridged, "moved": True}
            self.declare(commit)
        self._hold.lease.check()
        deltas.hand_over(bridged["draft"], bridged["version"])

    def _erase(self, commit: Commit, purge: Mapping[str, Any], aside: ObjectId) -> None:
        fields = Erasing(self._hold, purge, torn=self._torn).run(aside)
        commit.state |= fields.pop(self._repository.name)
        commit.elsewhere |= fields

    def _check(self, commit: Commit) -> None:
        """Run the checks on what was written; once they are passed, nothing turns back."""
        if commit.checked is not None:
            self._writing.check(commit, None)
            commit.checked, commit.private_checks = None, False
            self.declare(commit)

    def _finish(self, commit: Commit) -> None:
        whole = replace(commit, state={**commit.state, **self._writing.noted()})
        *ahead, last = in_parts(self._repository, whole)
        for part in ahead:
            self._apply(part, {"progress": ObjectId()})
        self._apply(last, {"intent": None})

    def _apply(self, part: Commit, fields: Mapping[str, Any]) -> None:
        def apply(session: ClientSession | None) -> None:
            apply_references(self._hold, part, session)
            self._hold.update({**part.state, **fields}, session)

        self._hold.transaction(apply)

    def _back_out(self, commit: Commit, refusal: VersioningError) -> None:
        """Leave nothing half done after the server has refused a document for good.

        A move turns back, and so do documents that were being put aside or brought back. What a
        restoration could not restore shows as modified where no changes were kept to return.
        A collection that could not be filled is not tracked any more, and as it was before.

        Args:
            commit: What was being carried out.
            refusal: Why it ends.
        """
        moves = commit.working_copy or commit.checked is not None
        if commit.path is not None and commit.guarded:
            return  # it is a way back itself, on which whoever comes next goes on
        if commit.restore:
            self._return_changes(commit, Commit(), refusal)
        elif commit.path is not None and moves and commit.state:
            way, draft = commit.path, commit.draft
            made = [entry["_id"] for entry in commit.log]
            # the version never was, so no operation is logged for its removal
            back = Commit(
                path=Path(way.forward[::-1], way.backward[::-1]),
                displace=commit.working_copy,
                working_copy=commit.working_copy,
                replica=commit.replica,
                draft=draft,
                forgotten=made if draft is None else [*made, draft],
            )
            self._return_changes(commit, back, refusal)
        elif commit.fill:
            back = Commit(fill=True, reverse=True, replica=False, founded=commit.founded)
            self._hold.begin({"phase": "apply", "commit": back.to_bson()})
            self._carry_through(back)
            raise withdrawn(refusal, self._repository, commit.founded) from refusal
        elif commit.stash is not None:
            self._back_out_of_stash(commit, commit.stash, refusal)

    def _made_by(self, commit: Commit) -> dict[str, Any] | None:
        """Return the header of the stash with what a restoration takes out, if there is one."""
        known = self._stashes()
        listed = (one for one in commit.state.get("stashes", ()) if one["id"] not in known)
        return next(listed, commit.spare)

    def _recount(self, header: dict[str, Any]) -> None:
        """Have the header of a stash tell what is left, where changes stayed in the collection."""
        if self._repository.stash.count(header["id"]) != header["documents"]:
            header |= self._repository.stash.described(header)

    def _stashes(self) -> set[ObjectId]:
        return {header["id"] for header in self._hold.state.stashes}

    def _return_changes(self, commit: Commit, back: Commit, refusal: VersioningError) -> None:
        """Go back, and bring changes that were put aside, or kept, to where they were.

        They are in the list of stashes until all are there, and stay where one is not.

        Args:
            commit: What was being carried out.
            back: What takes it back, but for the changes.
            refusal: Why it ends.
        """
        made, listed = self._made_by(commit), self._hold.state.stashes
        intent = {"verb": self._hold.verb, "phase": "apply"}
        if made is not None:
            self._recount(made)
            back.state = with_stashes(listed)
            back.stash, back.guarded, back.displace = made["id"], True, True
            listed = commit.state.get("stashes", [*listed, made])
        self._hold.update({**with_stashes(listed), "intent": {**intent, "commit": back.to_bson()}})
        self._hold.refresh()
        self._carry_through(back)
        if made is not None:
            if "stashes" not in back.state:  # another client wrote to one of them
                raise _kept_in_stash(refusal)
            self._repository.stash.delete([made["id"]])

    def _back_out_of_stash(
        self, commit: Commit, stash: ObjectId, refusal: VersioningError
    ) -> None:
        if commit.reverse:
            self._hold.update({"intent": None})
        elif not commit.guarded:
            note_overwritten(self._repository, stash)
            back = Commit(restore=True, displace=True)
            self.declare(back)
            self._carry_through(back)
        elif stash in self._stashes():
            self._hold.update({"intent": None})
            raise _kept_in_stash(refusal)
        else:
            back = Commit(
                stash=stash,
                guarded=True,
                reverse=True,
                displace=True,
                copies=self._reached(commit),
                purge=commit.purge,
                operation={},
            )
            self.declare(back)
            self._carry_through(back)
            self._repository.stash.delete([stash])

    def _complete_documents(self, commit: Commit) -> None:
        repository = self._repository
        if commit.fill:
            self._complete(commit, lambda: fillings(repository))
        if commit.restore:
            made = self._made_by(commit)
            stash = None if made is None else made["id"]
            self._complete(commit, lambda: restorations(repository), stash)
            if made is not None:
                self._recount(made)
        if commit.path is not None:
            if commit.restore:  # once on the way, nothing is compared with where it started
                if "merge" in commit.state and commit.spare is None:
                    # what it wrote is gone, wherever HEAD ends up
                    self._hold.update({"merge": commit.state["merge"]})
                commit.restore = False
                self.declare(commit)
            moves = partial(moves_along, torn=self._torn, draft=commit.draft, plain=self._resumed)
            self._complete(commit, partial(moves, repository, commit.path))
            if commit.guarded:  # what comes now is not on the way any more
                commit.path = None
                self.declare(commit)
        if commit.stash is not None and commit.copies is None:
            self._complete_stash(commit, commit.stash)
        elif commit.stash is not None:
            self._complete_copies(commit, commit.stash)

    def _complete_stash(self, commit: Commit, stash: ObjectId) -> None:
        repository = self._repository
        if commit.guarded or commit.reverse:
            self._complete(commit, lambda: exactly_unstashed(repository, stash, commit.reverse))
        else:
            self._complete(commit, lambda: unstashed(repository, stash))

    def _complete_copies(self, commit: Commit, stash: ObjectId) -> None:
        """Complete a stash in one working copy after the other.

        Each is noted once it is through: where one has to displace documents, a document that
        another client deletes in the others meanwhile is not taken for displaced.
        """
        while commit.copies:
            name, *rest = commit.copies
            there = self._in(name)
            there._complete_stash(commit, stash)
            self.kept_in[name] = there._writing.kept
            self._refusal = self._refusal or there._refusal
            commit.copies, commit.displace = rest, False
            self.declare(commit)

    def _in(self, name: str) -> Steps:
        """Return what carries out the same commit in another working copy."""
        if name == self._repository.name:
            return self
        writing = Writing(self._hold.beside(name), self._writing.progress)
        return Steps(writing, resumed=self._resumed, declared=self._hold)

    def _reached(self, commit: Commit) -> list[str] | None:
        """Return where documents may have moved; first where the server refused one of them."""
        if commit.copies is None:
            return None
        everywhere = [self._repository.name, *self._hold.others]
        through = [name for name in everywhere if name not in commit.copies]
        return [*commit.copies[:1], *through]

    def _complete(
        self, commit: Commit, batches: Callable[[], Batches], made: ObjectId | None = None
    ) -> None:
        if commit.working_copy:
            ensure_collection(self._hold)
        moving = Moving(self._writing, commit, batches, self.declare, torn=self._torn, made=made)
        moving.run(self._tell)

    def _tell(self, batch: Sequence[Move]) -> None:
        try:
            self._writing.progress("written", len(batch), size_of(batch))
        except Exception as error:
            self._refusal = self._refusal or error


def _kept_in_stash(refusal: VersioningError) -> VersioningError:
    """Return the error where changes could neither be put aside nor come back entirely."""
    return type(refusal)(
        f"{refusal}. Not all changes could go back into the collection either, so the latest "
        "stash has them: once nothing is in the way, discard_changes() and then stash_apply() "
        "bring them back",
        **refusal.facts,
    )
