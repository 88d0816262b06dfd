"""Carrying out commits: at once in a transaction, or step by step behind an intent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.checking import run_checks
from versioned_collection.commit import Commit, apply_references
from versioned_collection.core.document import DocumentKey, are_twins
from versioned_collection.core.merging import whole_document
from versioned_collection.core.tree import Path
from versioned_collection.elsewhere import refuse_under_others
from versioned_collection.erasing import Erasing, take_back
from versioned_collection.errors import (
    CheckFailed,
    DocumentRejected,
    PermissionDenied,
    VersioningError,
    WorkingCopyChanged,
)
from versioned_collection.moves import Move, fillings, is_small, move_replica, moves_along
from versioned_collection.observing import Progress as Progress  # for whoever uses a Committer
from versioned_collection.observing import counted
from versioned_collection.operations import describe
from versioned_collection.pipeline import prefetch
from versioned_collection.repository import Hold, Repository
from versioned_collection.restoring import Batches, exactly_unstashed, restorations, unstashed
from versioned_collection.sharding import create_if_missing
from versioned_collection.targets import Target, UniqueClash, ValidatorInTheWay, WorkingCopyWriter
from versioned_collection.trackers.metadata import with_stashes
from versioned_collection.wire import by_keys, middle_of, reason_of

_log = logging.getLogger(__name__)

_MOST_OWN_TIMES = 200
_MOST_ATTEMPTS = 10
"""Attempts at one transaction, before whoever is in the way is given time."""

_PATIENCE = 5.0
"""Seconds that others get who have written to the same documents in a transaction of theirs."""

_CACHE_FULL = ("Cache full", "for eviction", "cache overflow")
_TOO_LARGE_CODES = frozenset((365, 388))
"""`TemporarilyUnavailable` and `TransactionTooLargeForCache`."""


class Committer:
    """Carries out a commit under a lease.

    Args:
        hold: The lease.
        progress: Told how many documents were written.
        resumed: Whether what is carried out may have been begun by a process that died.
        declared: The working copy whose state says what is under way, None for that of `hold`.

    Attributes:
        kept: Documents that another client changed, and that were left so.
        kept_in: The same in each working copy, by its name, where a commit has several `copies`.
    """

    def __init__(
        self,
        hold: Hold,
        progress: Progress | None = None,
        *,
        resumed: bool = False,
        declared: Hold | None = None,
    ) -> None:
        self._hold = hold
        self._declared = declared or hold
        self._repository = hold.repository
        self._progress = counted(progress)
        self._own: list[Timestamp] = []
        self._resumed = resumed
        self._torn = resumed and not hold.repository.has_transactions
        self._refusal: Exception | None = None
        self.kept: list[DocumentKey] = []
        self.kept_in: dict[str, list[DocumentKey]] = {}

    def carry_out(
        self,
        commit: Commit,
        batches: Callable[[], Iterable[list[Move]]] | None,
        *,
        keep: bool = False,
        before_steps: Callable[[], None] = lambda: None,
        completed: Callable[[], None] | None = None,
    ) -> None:
        """Carry out a commit in one transaction where that is possible, step by step otherwise.

        Args:
            commit: The commit.
            batches: Returns the documents that move in the replica, and in the working copy if
                the commit says so; None where they are known to be too many for a transaction.
            keep: Keep documents that another client changed, instead of raising. Steps always
                do.
            before_steps: Called before the commit becomes an intent: notes, there or elsewhere,
                where the steps find the documents again, or raises to have nothing done.
            completed: For a commit that is made while its documents move: called once these went
                by, or are too many for a transaction, and maybe again. It completes the commit,
                or raises to have nothing done.

        Raises:
            WorkingCopyChanged: Another client changed a document; nothing was done.
            InvalidOperation: It would take a branch or version from another working copy.
        """
        if self._repository.has_transactions and batches is not None:
            try:
                self._at_once(commit, batches(), keep, completed)
                return
            except _TooLarge as reason:
                _log.info(
                    "%s of %s goes step by step: %s",
                    self._hold.verb,
                    self._repository.name,
                    reason,
                    extra={"verb": self._hold.verb, "collection": self._repository.name},
                )
        before_steps()
        if completed is not None:
            completed()
        self.declare(commit)
        self.complete(commit)

    # -- one transaction -----------------------------------------------------------------

    def _at_once(
        self,
        commit: Commit,
        batches: Iterable[list[Move]],
        keep: bool,
        completed: Callable[[], None] | None,
    ) -> None:
        """Carry out a small commit in one transaction, while its moves are still computed."""
        with closing(_Small(batches)) as small:
            if completed is None:
                self._judge(self._hold, commit)
            if commit.working_copy:
                create_if_missing(self._repository)
            writer = WorkingCopyWriter(
                self._repository, self._hold.lease.check, keep=keep, strict=commit.strict
            )

            def work(session: ClientSession | None) -> None:
                writer.kept.clear()
                self._write_all(small, commit, writer, session)
                if completed is not None:
                    completed()
                    self._judge(self._hold, commit)
                check_written(self._repository, commit, session)
                true = self._without_overtaken(commit, writer, session)
                apply_references(self._hold, true, session)
                self._hold.update({**true.state, "intent": None}, session)

            try:
                self._insist(work, writer)
            except _SourceFailed as failed:  # it is none of the transaction
                raise failed.error from failed.error.__cause__
        self._keep(writer)
        if commit.working_copy and small.count:
            self._note_own_writes()
        if commit.working_copy or completed is None:  # else they were told of as they came
            self._progress("written", small.count, small.bytes)

    @staticmethod
    def _judge(hold: Hold, commit: Commit) -> None:
        """Refuse a commit under other working copies, and note what it moves."""
        refuse_under_others(hold, commit)
        describe(hold, commit)

    def _write_all(
        self,
        batches: Iterable[list[Move]],
        commit: Commit,
        writer: WorkingCopyWriter,
        session: ClientSession | None,
    ) -> None:
        if writer.displace:
            for batch in batches:
                writer.take_out([move.target for move in batch], session)
        for batch in batches:
            self._write(batch, commit, writer, session)

    def _write(
        self,
        batch: list[Move],
        commit: Commit,
        writer: WorkingCopyWriter,
        session: ClientSession | None,
    ) -> None:
        if commit.working_copy:
            writer.write([move.target for move in batch], session)
        if commit.replica:
            move_replica(self._repository, batch, session, self._hold.lease.check)

    def _insist(
        self, work: Callable[[ClientSession | None], None], writer: WorkingCopyWriter
    ) -> None:
        attempts, failed = 0, math.inf

        def counted(session: ClientSession | None) -> None:
            nonlocal attempts, failed
            attempts += 1
            if attempts > _MOST_ATTEMPTS and time.monotonic() > failed + _PATIENCE:
                raise WorkingCopyChanged(
                    "other clients write to the same documents all the time, or one has a "
                    "transaction open on them; everything is as before. Try again when it has "
                    "ended",
                    attempts=attempts - 1,
                )
            try:
                work(session)
            except driver.OperationFailure as error:
                failed = min(failed, time.monotonic())
                if _is_too_large(error):  # which the driver would try again for two minutes
                    raise _TooLarge("the server's cache cannot hold the transaction") from error
                raise

        while True:
            try:
                self._hold.transaction(counted)
            except UniqueClash:
                writer.displace = True
            except ValidatorInTheWay:
                continue
            else:
                return

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

    def _keep(self, writer: WorkingCopyWriter) -> None:
        if writer.kept:
            verb, name, count = self._hold.verb, self._repository.name, len(writer.kept)
            _log.info(
                "%s of %s left %d documents as another client had just written them",
                verb,
                name,
                count,
                extra={"verb": verb, "collection": name, "documents": count},
            )
            self._repository.modified.add(writer.kept)
            self.kept += writer.kept
            writer.kept = []

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
        left = self._without_overtaken(commit, writer, None)
        if left is not commit:
            commit.settled, commit.state = left.settled, left.state
            self.declare(commit)

    def _without_overtaken(
        self, commit: Commit, writer: WorkingCopyWriter, session: ClientSession | None
    ) -> Commit:
        """Return a commit without decisions that were not written, as another client was faster.

        A merge of a stash ends with its last conflict, so it does not end then.
        """
        if not (commit.settled and writer.kept):
            return commit
        waiting = self._repository.conflicts.of_documents(commit.settled, writer.kept, session)
        settled = [one for one in commit.settled if one not in waiting]
        ends = {"merge", *with_stashes(())}
        state = {name: value for name, value in commit.state.items() if name not in ends}
        return replace(commit, settled=settled, state=state)

    def _note_own_writes(self) -> None:
        """Store the commit time, whose events in the change stream are ours."""
        self._remember_time()
        if self._own:
            own = [*self._repository.state().own, *self._own][-_MOST_OWN_TIMES:]
            self._hold.update({"own": own})
            self._own.clear()

    def _remember_time(self) -> None:
        repository = self._repository
        time = self._hold.session.operation_time
        # in a sharded cluster another shard may have written somebody else's change at that time
        if time is not None and repository.has_transactions and not repository.is_behind_mongos:
            self._own.append(time)

    def references(self, commit: Commit) -> None:
        """Carry out a commit that moves no documents."""
        self.carry_out(commit, tuple)

    def bring_back(self, commit: Commit, stash: ObjectId) -> None:
        """Carry out a commit that brings a stash back over the present documents."""

        def resumable() -> None:
            commit.stash = stash

        batches = partial(unstashed, self._repository, stash)
        self.carry_out(commit, batches, before_steps=resumable)

    def take_out(self, commit: Commit, stash: ObjectId) -> None:
        """Carry out a commit that takes a stash out of the documents again.

        A document that is not what the stash, or a decision on it, made of it stays.
        """

        def resumable() -> None:
            commit.stash, commit.guarded, commit.reverse = stash, True, True

        batches = partial(exactly_unstashed, self._repository, stash, reverse=True)
        self.carry_out(commit, batches, keep=True, before_steps=resumable)

    # -- step by step --------------------------------------------------------------------

    def declare(self, commit: Commit) -> None:
        """Write the commit as an intent: from here on it will happen.

        Raises:
            InvalidOperation: It would take a branch or version from another working copy.
        """
        hold = self._declared
        self._judge(hold, commit)
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
            check_written(self._repository, commit, None)
            commit.checked, commit.private_checks = None, False
            self.declare(commit)

    def _finish(self, commit: Commit) -> None:
        def finish(session: ClientSession | None) -> None:
            apply_references(self._hold, commit, session)
            own = {"own": self._own[-_MOST_OWN_TIMES:]} if self._own else {}
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
                operation={},
            )
            self.declare(back)
            self._carry_through(back)
            self._repository.stash.delete([commit.stash])
            if commit.purge is not None:
                take_back(self._hold, commit.purge, commit.stash)
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
            self.kept_in[name] = there.kept
            self._refusal = self._refusal or there._refusal
            commit.copies, commit.displace = rest, False
            self.declare(commit)

    def _in(self, name: str) -> Committer:
        """Return what carries out the steps of the same commit in another working copy."""
        if name == self._repository.name:
            return self
        hold = self._hold.beside(name)
        return Committer(hold, self._progress, resumed=self._resumed, declared=self._hold)

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
            self._progress("written", len(batch), _size(batch))
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
        self._keep(writer)
        self._remember_time()

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
            if attempts > _MOST_ATTEMPTS and _cut_of(batch):
                raise _Contended("others write to the same documents all the time")
            writer.kept.clear()
            self._write(batch, commit, writer, session)
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
            self._hold.transaction(work)
        except ValidatorInTheWay:  # from now on it is bypassed
            self._hold.transaction(work)

    def _take_all_out(self, writer: WorkingCopyWriter, batches: Callable[[], Batches]) -> None:
        with closing(batches()) as source:
            for batch in source:
                targets = [move.target for move in batch]

                def work(session: ClientSession | None, targets: list[Target] = targets) -> None:
                    writer.take_out(targets, session)
                    self._hold.touch(session)

                self._hold.transaction(work)


def check_written(repository: Repository, commit: Commit, session: ClientSession | None) -> None:
    """Run the checks on what a commit has written.

    Raises:
        CheckFailed: One fails.
    """
    if commit.checked is not None:
        names = {"collection": repository.name, "replica": repository.replica.name}
        run_checks(repository, name=names[commit.checked], session=session)


def _is_too_large(error: driver.OperationFailure) -> bool:
    """Tell whether the server took a transaction back since its cache cannot hold it."""
    reason = reason_of(error)
    return error.code in _TOO_LARGE_CODES or any(text in reason for text in _CACHE_FULL)


class _TooLarge(VersioningError):
    """The moves are too many for one transaction."""

    code = "too_large"


class _Contended(VersioningError):
    """A batch was taken back again and again, as others write to its documents."""

    code = "contended"


def _cut_of(batch: list[Move]) -> int:
    """Return where to cut a batch in two, 0 where ids that are the same have to go together."""
    keys = [move.target.key for move in batch]
    middle = middle_of(keys)
    return 0 if len(keys) < 2 or are_twins(keys[middle - 1], keys[middle]) else middle


def _size(batch: Sequence[Move]) -> int:
    """Return how many bytes documents have that are to be written."""
    return sum(len(move.target.raw or b"") for move in batch)


class _SourceFailed(Exception):
    """What computes the moves met an error of the driver, which the transaction must not judge."""

    def __init__(self, error: driver.PyMongoError) -> None:
        super().__init__(str(error))
        self.error = error


class _Small:
    """Batches that can be gone through again, as long as they fit into one transaction."""

    def __init__(self, batches: Iterable[list[Move]]) -> None:
        self._source = iter(batches)
        self._seen: list[list[Move]] = []
        self.bytes = 0
        self.count = 0

    def __iter__(self) -> Iterator[list[Move]]:
        yield from self._seen
        while (batch := self._computed()) is not None:
            self._seen.append(batch)
            self.count += len(batch)
            self.bytes += _size(batch)
            if not is_small(self.count, self.bytes):
                raise _TooLarge("too many documents for one transaction")
            yield batch

    def _computed(self) -> list[Move] | None:
        """Return the next batch; the source stays open, as another attempt may go on with it."""
        try:
            return next(self._source, None)
        except driver.PyMongoError as error:
            raise _SourceFailed(error) from error

    def close(self) -> None:
        """Read no further: what is left to the garbage collector ends at any moment.

        It may be while the driver holds a lock that the end of a cursor needs as well.
        """
        if isinstance(self._source, (Generator, prefetch)):
            self._source.close()
