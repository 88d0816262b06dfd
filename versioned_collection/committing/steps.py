"""Any other commit: step by step behind an intent, each of which may be taken again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from bson.objectid import ObjectId
from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.commit import Commit, apply_references
from versioned_collection.committing.writing import (
    MOST_ATTEMPTS,
    MOST_OWN_TIMES,
    Writing,
    judge,
    size_of,
)
from versioned_collection.core.document import DocumentKey, are_twins
from versioned_collection.core.merging import whole_document
from versioned_collection.core.tree import Path
from versioned_collection.erasing import Erasing, take_back
from versioned_collection.errors import (
    CheckFailed,
    DocumentRejected,
    PermissionDenied,
    VersioningError,
    WorkingCopyChanged,
)
from versioned_collection.hold import Hold
from versioned_collection.moves import Move, fillings, moves_along
from versioned_collection.restoring import Batches, exactly_unstashed, restorations, unstashed
from versioned_collection.targets import Target, UniqueClash, ValidatorInTheWay, WorkingCopyWriter
from versioned_collection.trackers.metadata import with_stashes
from versioned_collection.wire import by_keys, middle_of

_WRITE_CONFLICT = 112


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
            self._back_out(commit)
            return
        try:
            self._complete_documents(commit)
            self._check(commit)
        except (CheckFailed, DocumentRejected, PermissionDenied):
            self._back_out(commit)
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
        self._finish(commit)
        if commit.draft is not None:  # until then somebody may have to go the same way again
            self._repository.deltas.delete(commit.forgotten)

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
        def finish(session: ClientSession | None) -> None:
            apply_references(self._hold, commit, session)
            own = {"own": self._writing.own[-MOST_OWN_TIMES:]} if self._writing.own else {}
            self._hold.update({**commit.state, **own, "intent": None}, session)

        self._hold.transaction(finish)

    def _back_out(self, commit: Commit) -> None:
        """Leave nothing half done after the server has refused a document for good.

        A move turns back. What a restoration could not restore shows as modified, and the
        stash that was made of it is complete. A stash that was not applied is kept; where
        its documents moved from known states, they turn back as well. A collection that
        could not be filled lacks documents, which shows as changes.
        """
        moves = commit.working_copy or commit.checked is not None
        if commit.path is not None and moves and commit.state:
            way, draft = commit.path, commit.draft
            made = [entry["_id"] for entry in commit.log]
            back = Commit(
                path=Path(way.forward[::-1], way.backward[::-1]),
                displace=commit.working_copy,
                working_copy=commit.working_copy,
                replica=commit.replica,
                draft=draft,
                forgotten=made if draft is None else [*made, draft],
            )
            # the version never was, so no operation is logged for its removal
            self._hold.begin({"phase": "apply", "commit": back.to_bson()})
            self._carry_through(back)
        elif commit.restore:
            self._finish(commit)
        elif commit.fill:
            commit.state["scan"] = True  # what could not be put there is a change
            self._finish(commit)
        elif commit.stash is not None and commit.guarded and not commit.reverse:
            back = Commit(
                stash=commit.stash,
                guarded=True,
                reverse=True,
                displace=True,
                copies=self._reached(commit),
                purge=commit.purge,
                operation={},
            )
            self.declare(back)
            self._carry_through(back)
            self._repository.stash.delete([commit.stash])
        elif commit.stash is not None:
            self._hold.update({"intent": None})

    def _complete_documents(self, commit: Commit) -> None:
        repository = self._repository
        if commit.fill:
            self._complete(commit, lambda: fillings(repository))
        if commit.restore:
            self._complete(commit, lambda: restorations(repository))
        if commit.path is not None:
            if commit.restore:  # once on the way, nothing goes back to where it started
                if "merge" in commit.state:  # what it wrote is gone, wherever HEAD ends up
                    self._hold.update({"merge": commit.state["merge"]})
                commit.restore = False
                self.declare(commit)
            moves = partial(moves_along, torn=self._torn, draft=commit.draft, plain=self._resumed)
            self._complete(commit, partial(moves, repository, commit.path))
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

    def _complete(self, commit: Commit, batches: Callable[[], Batches]) -> None:
        """Write batches that can be computed again, each in a transaction of its own."""
        check = self._hold.lease.check
        writer = WorkingCopyWriter(
            self._repository,
            check,
            keep=True,
            displace=commit.displace,
            strict=commit.strict,
            torn=self._torn,
        )
        if commit.displace:
            self._take_all_out(writer, batches)
        with closing(batches()) as source:
            for batch in source:
                self._write_in_parts(commit, batch, writer, batches)
                self._tell(batch)

    def _tell(self, batch: Sequence[Move]) -> None:
        try:
            self._writing.progress("written", len(batch), size_of(batch))
        except Exception as error:
            self._refusal = self._refusal or error

    def _write_in_parts(
        self,
        commit: Commit,
        batch: list[Move],
        writer: WorkingCopyWriter,
        batches: Callable[[], Batches],
    ) -> None:
        """Write a batch, in smaller ones where others write to its documents all the time."""
        try:
            self._write_batch(commit, batch, writer, batches)
        except _Contended:
            cut = _cut_of(batch)
            self._write_in_parts(commit, batch[:cut], writer, batches)
            self._write_in_parts(commit, batch[cut:], writer, batches)
            return
        self._keep_stash(commit, writer)
        self._keep_conflicts(commit, writer)
        self._writing.keep(writer)
        self._writing.remember_time()

    def _write_batch(
        self,
        commit: Commit,
        batch: list[Move],
        writer: WorkingCopyWriter,
        batches: Callable[[], Batches],
    ) -> None:
        attempts = 0

        def work(session: ClientSession | None) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > MOST_ATTEMPTS and _cut_of(batch):
                raise _Contended("others write to the same documents all the time")
            writer.kept.clear()
            self._writing.write(batch, commit, writer, session)
            is_beyond_head = commit.draft is not None or not commit.replica
            if writer.kept and commit.state.get("merge") and is_beyond_head:
                self._clash(commit, batch, writer.kept, session)
            # the batch fails if another owner has taken over
            self._hold.touch(session)

        try:
            self._through_validator(work)
        except UniqueClash:
            commit.displace = writer.displace = True
            self.declare(commit)
            self._take_all_out(writer, batches)
            self._through_validator(work)

    def _through_validator(self, work: Callable[[ClientSession | None], None]) -> None:
        try:
            self._transaction(work)
        except ValidatorInTheWay:  # from now on it is bypassed
            self._transaction(work)

    def _transaction(self, work: Callable[[ClientSession | None], None]) -> None:
        """Run `work` in a transaction, for as long as the driver tries again.

        Raises:
            WorkingCopyChanged: Somebody else had a transaction open all that time.
        """
        try:
            self._hold.transaction(work)
        except driver.PyMongoError as error:
            if not _is_conflict(error):
                raise
            raise WorkingCopyChanged(
                f"another client has had a transaction open for long on a document that "
                f"{self._hold.verb} moves. What was begun is kept, and completed by whoever opens "
                "or uses the collection next; try again when that transaction has ended"
            ) from error

    def _take_all_out(self, writer: WorkingCopyWriter, batches: Callable[[], Batches]) -> None:
        with closing(batches()) as source:
            for batch in source:
                targets = [move.target for move in batch]

                def work(session: ClientSession | None, targets: list[Target] = targets) -> None:
                    writer.take_out(targets, session)
                    self._hold.touch(session)

                self._transaction(work)

    def _clash(
        self,
        commit: Commit,
        batch: list[Move],
        kept: list[DocumentKey],
        session: ClientSession | None,
    ) -> None:
        """Note conflicts where another client was faster than a merge that waits anyway.

        The document stays as the other client left it, so what it should have become would
        be forgotten.
        """
        repository = self._repository
        moves = {move.target.key: move for move in batch}
        for portion, present in by_keys(repository.db, repository.name, kept, session=session):
            repository.conflicts.add_missing(
                commit.state["merge"]["id"],
                [
                    whole_document(
                        key, moves[key].recorded, present.get(key), moves[key].target.raw
                    )
                    for key in portion
                ],
                session,
            )

    def _keep_stash(self, commit: Commit, writer: WorkingCopyWriter) -> None:
        """Drop no stash of which something was not brought back, now or when it is settled."""
        if not (commit.guarded and writer.kept):
            return
        merge = commit.state.get("merge")
        if merge and merge.get("drop"):
            commit.state["merge"] = {**merge, "drop": False}
            self.declare(commit)
        elif "stashes" in commit.state:
            fields = with_stashes(()).keys()
            commit.state = {n: value for n, value in commit.state.items() if n not in fields}
            self.declare(commit)

    def _keep_conflicts(self, commit: Commit, writer: WorkingCopyWriter) -> None:
        """Settle no conflict where what was decided is not written."""
        left = self._writing.without_overtaken(commit, writer, None)
        if left is not commit:
            commit.settled, commit.state = left.settled, left.state
            self.declare(commit)


class _Contended(VersioningError):
    """A batch was taken back again and again, as others write to its documents."""

    code = "contended"


def _cut_of(batch: list[Move]) -> int:
    """Return where to cut a batch in two, 0 where ids that are the same have to go together."""
    keys = [move.target.key for move in batch]
    middle = middle_of(keys)
    return 0 if len(keys) < 2 or are_twins(keys[middle - 1], keys[middle]) else middle


def _is_conflict(error: driver.PyMongoError) -> bool:
    """Tell whether a transaction met another one that writes to the same document.

    The driver says that it gave up in an error of its own, whose cause is the server's.
    """
    return any(getattr(one, "code", None) == _WRITE_CONFLICT for one in (error, error.__cause__))
