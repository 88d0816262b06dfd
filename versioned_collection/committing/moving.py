"""The documents of a commit that goes step by step: each batch may be written again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

from bson.objectid import ObjectId
from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.committing.admitting import admission
from versioned_collection.committing.commit import Commit
from versioned_collection.committing.fullness import (
    TooLarge,
    fills_cache,
    may_fill_cache,
    told_if_too_large,
)
from versioned_collection.committing.writing import MOST_ATTEMPTS, Writing, size_of
from versioned_collection.core.document import are_twins
from versioned_collection.core.merging import whole_document
from versioned_collection.core.portions import middle_of
from versioned_collection.documents.moves import Move
from versioned_collection.documents.restoring import Batches
from versioned_collection.documents.targets import (
    Target,
    UniqueClash,
    ValidatorInTheWay,
    WorkingCopyWriter,
)
from versioned_collection.driver.wire import by_keys
from versioned_collection.errors import NotSupported, VersioningError, WorkingCopyChanged
from versioned_collection.trackers.metadata import with_stashes

_WRITE_CONFLICT = 112

_PATIENCE = 20.0
"""Seconds that a server gets whose cache has to make room for one document."""

_KEPT = "What was begun is kept, and completed by whoever opens or uses the collection next"

_Work = Callable[[ClientSession | None], None]


class Moving:
    """Writes batches that can be computed again, each in a transaction of its own.

    Args:
        writing: What writes documents.
        commit: The commit, which is declared; what others were faster with changes it.
        batches: Computes the batches.
        declare: Declares the commit anew, as it is by then.
        torn: See `WorkingCopyWriter`.
        made: The stash that is made of the documents' changes, if one is.
    """

    def __init__(
        self,
        writing: Writing,
        commit: Commit,
        batches: Callable[[], Batches],
        declare: Callable[[Commit], None],
        *,
        torn: bool,
        made: ObjectId | None = None,
    ) -> None:
        self._writing, self._commit = writing, commit
        self._torn, self._made = torn, made
        self._hold, self._repository = writing.hold, writing.repository
        self._batches, self._declare = batches, declare
        self._writer = WorkingCopyWriter(
            self._repository,
            self._hold.lease.check,
            keep=True,
            displace=commit.displace,
            strict=commit.strict,
            admit=admission(self._hold, commit),
            torn=torn,
        )

    def run(self, tell: Callable[[list[Move]], None]) -> None:
        """Write all batches, and tell of each once it is written."""
        if self._commit.displace:
            self._take_all_out()
        with closing(self._batches()) as source:
            for batch in source:
                self._write_in_parts(batch)
                tell(batch)

    def _write_in_parts(self, batch: list[Move]) -> None:
        """Write a batch, in smaller ones where others write to its documents all the time.

        Smaller ones also fit into the server's cache where the whole does not.
        """
        try:
            self._write(batch)
        except (_Contended, TooLarge) as reason:
            cut = _cut_of(batch)
            if cut:
                self._write_in_parts(batch[:cut])
                self._write_in_parts(batch[cut:])
                return
            self._write_whole(batch, is_too_large=isinstance(reason, TooLarge))
        self._keep_stash()
        self._keep_conflicts()
        self._writing.keep(self._writer)
        self._writer.tried.clear()
        self._writing.remember_commit()

    def _write_whole(self, batch: list[Move], *, is_too_large: bool) -> None:
        """Write a batch that cannot be cut, and was taken back again and again."""
        size = size_of(batch)
        if is_too_large or fills_cache(self._hold, self._commit, [batch], size, keep=True):
            self._write_apart(batch)
        else:
            self._write(batch, most=math.inf)

    def _write_apart(self, batch: list[Move]) -> None:
        """Write documents which the server's cache cannot hold before and after their move.

        They leave in one transaction, come back in the next, and the replica follows in a third.
        """
        commit = self._commit
        if commit.working_copy:
            if not commit.displace:
                self._displace()
            copy = replace(commit, replica=False)
            self._through_validator(partial(self._move, batch, copy), self._last)
        if commit.replica:
            kept = self._writer.kept
            replica = replace(commit, working_copy=False)
            self._last(partial(self._move, batch, replica))
            self._writer.kept = kept

    def _write(self, batch: list[Move], most: float | None = None) -> None:
        """Write a batch in one transaction.

        Args:
            batch: The batch.
            most: How often that is tried, before it is found out why it does not succeed.

        Raises:
            TooLarge: The server says that its cache cannot hold it.
            _Contended: It was taken back more often.
        """
        attempts = 0
        if most is None:
            is_doubtful = _cut_of(batch) or may_fill_cache(size_of(batch))
            most = MOST_ATTEMPTS if is_doubtful else math.inf

        def work(session: ClientSession | None) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > most:
                raise _Contended("it was taken back again and again")
            self._move(batch, self._commit, session)

        try:
            self._through_validator(work, self._transaction)
        except UniqueClash:
            self._displace()
            self._through_validator(work, self._transaction)

    def _move(self, batch: list[Move], commit: Commit, session: ClientSession | None) -> None:
        self._writer.kept = []
        self._writing.write(batch, commit, self._writer, session)
        is_beyond_head = self._commit.draft is not None or not self._commit.replica
        if self._writer.kept and self._commit.state.get("merge") and is_beyond_head:
            self._clash(batch, session)
        if self._made is not None:
            self._leave_out(batch, self._made, session)
        # the batch fails if another owner has taken over
        self._hold.touch(session)

    def _leave_out(
        self, batch: list[Move], stash: ObjectId, session: ClientSession | None
    ) -> None:
        """Leave changes that stay in the collection out of the stash that is being made.

        Where a document may have been taken out before another client wrote to it, its change
        is nowhere else, and stays in the stash. Once a batch is through it is not gone through
        again: what others change from then on was set aside.
        """
        if self._writer.kept and not (self._commit.displace or self._torn):
            stayed = set(self._writer.kept) - self._writer.tried
            self._repository.stash.leave_out(stash, stayed, session)
        self._repository.modified.forget_seen((move.target.key for move in batch), session)

    def _displace(self) -> None:
        """Take all documents out that are to change, before the next one is put in."""
        self._commit.displace = self._writer.displace = True
        self._declare(self._commit)
        self._take_all_out()

    def _through_validator(self, work: _Work, transaction: Callable[[_Work], None]) -> None:
        while True:
            try:
                transaction(work)
            except ValidatorInTheWay:  # from now on it is bypassed
                continue
            return

    def _transaction(self, work: _Work) -> None:
        """Run `work` in a transaction, for as long as the driver tries again.

        Raises:
            TooLarge: The server says that its cache cannot hold it.
            WorkingCopyChanged: Somebody else had a transaction open all that time.
        """
        try:
            with told_if_too_large():
                self._hold.transaction(_told(work))
        except driver.PyMongoError as error:
            if not _is_conflict(error):
                raise
            raise WorkingCopyChanged(
                f"another client has had a transaction open for long on a document that "
                f"{self._hold.verb} moves. {_KEPT}; try again when that transaction has ended"
            ) from error

    def _last(self, work: _Work) -> None:
        """Run `work`, which cannot be made smaller, in a transaction, for some time.

        Raises:
            NotSupported: The server's cache cannot hold it.
        """
        begun, attempts = time.monotonic(), 0

        def counted(session: ClientSession | None) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > MOST_ATTEMPTS and time.monotonic() > begun + _PATIENCE:
                raise TooLarge("the server takes the transaction back, and nobody is in its way")
            work(session)

        try:
            self._transaction(counted)
        except TooLarge as error:
            raise NotSupported(
                f"the server's cache cannot hold a document that {self._hold.verb} moves. "
                f"{_KEPT}; try again when the server has less to do, or give it a larger cache "
                "(storage.wiredTiger.engineConfig.cacheSizeGB)"
            ) from error

    def _take_all_out(self) -> None:
        with closing(self._batches()) as source:
            for batch in source:
                targets = [move.target for move in batch]

                def work(session: ClientSession | None, targets: list[Target] = targets) -> None:
                    self._writer.take_out(targets, session)
                    self._hold.touch(session)

                self._transaction(work)

    def _clash(self, batch: list[Move], session: ClientSession | None) -> None:
        """Note conflicts where another client was faster than a merge that waits anyway.

        The document stays as the other client left it, so what it should have become would
        be forgotten.
        """
        repository, kept = self._repository, self._writer.kept
        moves = {move.target.key: move for move in batch}
        for portion, present in by_keys(repository.db, repository.name, kept, session=session):
            repository.conflicts.add_missing(
                self._commit.state["merge"]["id"],
                [
                    whole_document(
                        key, moves[key].recorded, present.get(key), moves[key].target.raw
                    )
                    for key in portion
                ],
                session,
            )

    def _keep_stash(self) -> None:
        """Drop no stash of which something was not brought back, now or when it is settled."""
        if self._commit.stash is None or not self._writer.kept:
            return
        merge = self._commit.state.get("merge")
        if merge and merge.get("drop"):
            self._commit.state["merge"] = {**merge, "drop": False}
            self._declare(self._commit)
        elif "stashes" in self._commit.state:
            fields = with_stashes(()).keys()
            self._commit.state = {
                n: value for n, value in self._commit.state.items() if n not in fields
            }
            self._declare(self._commit)

    def _keep_conflicts(self) -> None:
        """Settle no conflict where what was decided is not written."""
        left = self._writing.without_overtaken(self._commit, self._writer, None)
        if left is not self._commit:
            self._commit.settled, self._commit.taken_out = left.settled, left.taken_out
            self._commit.state = left.state
            self._declare(self._commit)


class _Contended(VersioningError):
    """A batch was taken back again and again, as others write to its documents."""

    code = "contended"


def _cut_of(batch: list[Move]) -> int:
    """Return where to cut a batch in two, 0 where ids that are the same have to go together."""
    keys = [move.target.key for move in batch]
    middle = middle_of(keys)
    return 0 if len(keys) < 2 or are_twins(keys[middle - 1], keys[middle]) else middle


def _told(work: _Work) -> _Work:
    """Have the driver not try again for two minutes what a cache cannot hold."""

    def told(session: ClientSession | None) -> None:
        with told_if_too_large():
            work(session)

    return told


def _is_conflict(error: driver.PyMongoError) -> bool:
    """Tell whether a transaction met another one that writes to the same document.

    The driver says that it gave up in an error of its own, whose cause is the server's.
    """
    return any(getattr(one, "code", None) == _WRITE_CONFLICT for one in (error, error.__cause__))
