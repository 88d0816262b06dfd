"""What a server refuses: its codes, and the errors of this library that say what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver

from versioned_collection.core.document import PLAIN_OPTIONS
from versioned_collection.errors import NotSupported, PermissionDenied, SnapshotUnavailable

DUPLICATE_KEY = 11000
DOCUMENT_VALIDATION_FAILURE = 121
UNAUTHORIZED = 13
DOCUMENT_TOO_LARGE = 10334
TOO_LARGE = frozenset((DOCUMENT_TOO_LARGE, 17419, 17420))
"""The others are about what an update would make of a document."""

OVERFLOW = 15
"""Also what a server says of a document with more than 180 levels, which it does not store."""

NAMESPACE_NOT_FOUND = 26
NAMESPACE_EXISTS = 48
NOT_ON_VIEW = 166
UUID_MISMATCH = 361
API_STRICT = 323
SNAPSHOT_UNAVAILABLE = frozenset((239, 246, 250))
"""Too old, not there yet, or from before a part of the collection came to its shard."""
NO_LONGER_PRIMARY = frozenset((91, 189, 10058, 10107, 11600, 11602, 13435, 13436))

INTERRUPTED = NO_LONGER_PRIMARY | {24, 50, 237, 262, 276, 279, 290, 355, 14031, 46841}
"""Whatever ends a command that says nothing of its documents: time, a signal, a full disk."""

NOT_IN_DOUBLE = "VersionedCollectionDouble"
"""The label of errors with which a test double says that it cannot do what a server can."""

_LENIENT: CodecOptions[dict[str, Any]] = PLAIN_OPTIONS.with_options(
    unicode_decode_error_handler="replace"
)
_READING = frozenset(
    ("find", "getMore", "aggregate", "count", "distinct", "listCollections", "listIndexes")
)
_READS = "read on the database for what only reads there, readWrite for all else"
_WRITES = "readWrite on the database (dbAdmin to bypass a validator)"
_DENIED = re.compile(r"not authorized on (\S+) to execute command \{ ?(\w+)")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the server's refusals that a caller can act on into errors of this library."""
    try:
        yield
    except driver.OperationFailure as error:
        if error.has_error_label("TransientTransactionError"):
            raise  # the driver repeats the transaction
        if error.has_error_label(NOT_IN_DOUBLE):
            reason = reason_of(error)
            raise NotSupported(
                f"{reason}; run this test on a real server, such as that of embedded.start()",
                reason=reason,
            ) from error
        if error.code == UNAUTHORIZED:
            denied = _DENIED.search(str(error))
            where, action = denied.groups() if denied else ("the database", "a command")
            raise PermissionDenied(
                f"the server refused {action!r} on {where}: the user lacks the privilege. "
                f"Grant the role {_READS if action in _READING else _WRITES}",
                action=action,
                namespace=where,
            ) from error
        if error.code == API_STRICT:
            raise refused_by_strict_api(reason_of(error)) from error
        if error.code in SNAPSHOT_UNAVAILABLE:
            raise SnapshotUnavailable(
                "the moment to read has left the server's snapshot window; try again, or raise "
                "the server parameter minSnapshotHistoryWindowInSeconds",
            ) from error
        if isinstance(error.details, RawBSONDocument):
            raise _readable(error) from None
        raise
    except driver.NotPrimaryError as error:
        is_raw = isinstance(error.details, RawBSONDocument)
        if not is_raw or error.has_error_label("TransientTransactionError"):
            raise
        details = _details(error)
        raise driver.NotPrimaryError(str(details.get("errmsg", "")), details) from None


def refused_by_strict_api(reason: str) -> NotSupported:
    """Return the error for a client that asks the server to take the Stable API alone."""
    return NotSupported(
        "the client keeps strictly to the Stable API, which forbids some of what history needs: "
        f"{reason.rstrip('.')}. Open the collection with a client that is not strict",
        reason=reason,
    )


def _readable(error: driver.OperationFailure) -> driver.OperationFailure:
    """Return the error of a command that was asked for a raw reply, as others would get it."""
    return type(error)(reason_of(error), error.code, _details(error))


def _details(error: driver.OperationFailure | driver.NotPrimaryError) -> dict[str, Any]:
    return bson.decode(cast(RawBSONDocument, error.details).raw, _LENIENT)


def reason_of(error: driver.OperationFailure) -> str:
    """Return why the server refused something, without the whole of its reply."""
    return str((error.details or {}).get("errmsg", error))


def not_written(
    failure: Mapping[str, Any], otherwise: type[driver.OperationFailure]
) -> driver.PyMongoError:
    """Return the driver's error for something that a server says of a write."""
    facts = dict(failure.items())
    text = str(facts.get("errmsg"))
    if facts.get("code") in NO_LONGER_PRIMARY:
        return driver.NotPrimaryError(text, facts)
    return otherwise(text, facts.get("code"), facts)
