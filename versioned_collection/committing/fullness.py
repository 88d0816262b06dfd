"""Transactions that the server's cache cannot hold, told from those that meet other writers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.committing.commit import Commit
from versioned_collection.documents.moves import Move
from versioned_collection.documents.targets import WorkingCopyWriter
from versioned_collection.driver.server_errors import reason_of
from versioned_collection.errors import VersioningError
from versioned_collection.repository.hold import Hold

_MAY_FILL_CACHE = 4 * 1024 * 1024
"""Bytes of documents that a small or busy cache may not hold as parts of one transaction."""

_REHEARSALS = 3

_CACHE_FULL = (
    "Cache full",
    "for eviction",
    "cache overflow",
    "will not fit in the storage engine cache",
)
_TOO_LARGE_CODES = frozenset((365, 388))
"""`TemporarilyUnavailable` and `TransactionTooLargeForCache`."""


class TooLarge(VersioningError):
    """The moves are too many for one transaction."""

    code = "too_large"


@contextmanager
def told_if_too_large() -> Iterator[None]:
    """Tell what the server says when it takes a transaction back that its cache cannot hold."""
    try:
        yield
    except driver.OperationFailure as error:
        if _is_too_large(error):
            raise TooLarge("the server's cache cannot hold the transaction") from error
        raise


def _is_too_large(error: driver.OperationFailure) -> bool:
    failed = (error.details or {}).get("writeErrors", ())  # of writes in bulk
    codes = {error.code, *(one["code"] for one in failed)}
    reason = reason_of(error)
    return bool(codes & _TOO_LARGE_CODES) or any(text in reason for text in _CACHE_FULL)


def may_fill_cache(size: int) -> bool:
    """Tell whether documents of so many bytes may be too many for a transaction."""
    return size >= _MAY_FILL_CACHE


def fills_cache(
    hold: Hold, commit: Commit, batches: Sequence[list[Move]], size: int, *, keep: bool
) -> bool:
    """Tell whether it is a full cache for which the server takes a transaction back.

    It tells of other writers and of a full cache by the same error.

    Args:
        hold: The lease.
        commit: What is to become true.
        batches: What the transaction moves.
        size: How many bytes these documents have.
        keep: See `WorkingCopyWriter`.

    Raises:
        WorkingCopyChanged: Another client changed a document that is not to be kept.
    """
    if not may_fill_cache(size):
        return False
    # to the replica nobody else writes
    return not (commit.working_copy and _meets_others(hold, batches, keep))


def _meets_others(hold: Hold, batches: Sequence[list[Move]], keep: bool) -> bool:
    """Tell whether documents cannot even leave, which takes hardly any of a cache."""
    writer = WorkingCopyWriter(hold.repository, hold.lease.check, keep=keep, displace=True)

    def leave(session: ClientSession) -> None:
        for batch in batches:
            writer.take_out([move.target for move in batch], session)

    for _ in range(_REHEARSALS):
        try:
            hold.rehearse(leave)
        except driver.OperationFailure as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
        else:
            return False
    return True
