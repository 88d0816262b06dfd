"""A small commit: one transaction, in which all of it happens or nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.committing.admitting import admission
from versioned_collection.committing.commit import Commit, apply_references
from versioned_collection.committing.entering import fits_at_once
from versioned_collection.committing.fullness import TooLarge, fills_cache, told_if_too_large
from versioned_collection.committing.recreating import ensure_collection
from versioned_collection.committing.writing import MOST_ATTEMPTS, Writing, judge, size_of
from versioned_collection.documents.moves import SMALL_DOCUMENTS, Move, is_small
from versioned_collection.documents.targets import (
    UniqueClash,
    ValidatorInTheWay,
    WorkingCopyWriter,
)
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import VersioningError, WorkingCopyChanged

_PATIENCE = 5.0
"""Seconds that others get who have written to the same documents in a transaction of theirs."""

_MOST_BESIDE_DELTAS = 12 * 1024 * 1024
"""Bytes that a transaction writes at most while the deltas of its documents are stored beside it.

A server that has a tenth of its cache full of what is not committed takes up nothing more: it
waits for the transaction, which waits for the deltas here. The smallest cache that it makes by
itself is 256 MB.
Source: WiredTiger's ``eviction_updates_trigger``.
"""


class TooLargeBesideDeltas(TooLarge):
    """They are, as long as the deltas of their documents are still being stored."""


class AtOnce:
    """Carries out commits in one transaction each.

    Args:
        writing: What writes their documents.
    """

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._hold, self._repository = writing.hold, writing.repository

    def carry_out(
        self,
        commit: Commit,
        batches: Iterable[list[Move]],
        keep: bool,
        completed: Callable[[], None] | None,
    ) -> None:
        """Carry out a small commit in one transaction, while its moves are still computed."""
        with closing(_Small(batches, _most_bytes(commit, completed is not None))) as small:
            if not fits_at_once(self._repository, commit, SMALL_DOCUMENTS):
                raise TooLarge("too many log entries or conflicts for one transaction")
            if completed is None:
                judge(self._hold, commit)
            writer = WorkingCopyWriter(
                self._repository,
                self._hold.lease.check,
                keep=keep,
                strict=commit.strict,
                admit=admission(self._hold, commit),
            )

            def work(session: ClientSession | None) -> None:
                writer.kept.clear()
                self._write_all(small, commit, writer, session)
                if completed is not None:
                    completed()
                    judge(self._hold, commit)
                self._writing.check(commit, session)
                true = self._writing.without_overtaken(commit, writer, session)
                apply_references(self._hold, true, session)
                self._hold.update({**true.state, "intent": None}, session)

            try:
                # not in the transaction: over several shards none creates anything
                if commit.working_copy and any(small):
                    ensure_collection(self._hold)
                self._insist(work, writer)
            except _SourceFailed as failed:  # it is none of the transaction
                raise failed.error from failed.error.__cause__
            except _TakenBack as error:
                raise self._why(error.attempts, small, commit, keep) from None
        self._writing.keep(writer)
        if commit.working_copy and small.count:
            self._writing.note_own_writes()
        if commit.working_copy or completed is None:  # else they were told of as they came
            self._writing.progress("written", small.count, small.bytes)

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
            self._writing.write(batch, commit, writer, session)

    def _insist(
        self, work: Callable[[ClientSession | None], None], writer: WorkingCopyWriter
    ) -> None:
        attempts, failed = 0, math.inf

        def counted(session: ClientSession | None) -> None:
            nonlocal attempts, failed
            attempts += 1
            if attempts > 1:  # the one before failed, at the latest when it was to be committed
                failed = min(failed, time.monotonic())
            if attempts > MOST_ATTEMPTS and time.monotonic() > failed + _PATIENCE:
                raise _TakenBack(attempts - 1)
            with told_if_too_large():  # which the driver would try again for two minutes
                work(session)

        while True:
            try:
                with told_if_too_large():
                    self._hold.transaction(counted)
            except UniqueClash:
                writer.displace = True
            except ValidatorInTheWay:
                continue
            else:
                return

    def _why(self, attempts: int, small: _Small, commit: Commit, keep: bool) -> VersioningError:
        """Return what to raise where the server has taken the transaction back again and again."""
        # but documents, nobody else writes anything
        if not small.count or fills_cache(self._hold, commit, small.seen, small.bytes, keep=keep):
            return TooLarge("the server takes the transaction back, and nobody is in its way")
        return WorkingCopyChanged(
            "other clients write to the same documents all the time, or one has a transaction "
            "open on them; everything is as before. Try again when it has ended",
            attempts=attempts,
        )


class _TakenBack(Exception):
    """The server has taken a transaction back again and again."""

    def __init__(self, attempts: int) -> None:
        super().__init__()
        self.attempts = attempts


class _SourceFailed(Exception):
    """What computes the moves met an error of the driver, which the transaction must not judge."""

    def __init__(self, error: driver.PyMongoError) -> None:
        super().__init__(str(error))
        self.error = error


def _most_bytes(commit: Commit, is_beside_deltas: bool) -> float:
    """Return how many bytes the documents of a commit may have."""
    if not is_beside_deltas:
        return math.inf  # beyond the usual limits
    return _MOST_BESIDE_DELTAS / max(1, commit.working_copy + commit.replica)


class _Small:
    """Batches that can be gone through again, as long as they fit into one transaction.

    Args:
        batches: The batches.
        most_bytes: How many bytes their documents may have, where that is less than usual.

    Attributes:
        seen: Those that were computed so far.
        bytes: How many bytes their documents have.
        count: How many documents they move.
    """

    def __init__(self, batches: Iterable[list[Move]], most_bytes: float) -> None:
        self._source, self._most_bytes = iter(batches), most_bytes
        self.seen: list[list[Move]] = []
        self.bytes = 0
        self.count = 0

    def __iter__(self) -> Iterator[list[Move]]:
        yield from self.seen
        while (batch := self._computed()) is not None:
            self.seen.append(batch)
            self.count += len(batch)
            self.bytes += size_of(batch)
            if not is_small(self.count, self.bytes):
                raise TooLarge("too many documents for one transaction")
            if self.bytes > self._most_bytes:
                raise TooLargeBesideDeltas("their changes have to be stored before they move")
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
