"""Errors in words, and their exit codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from versioned_collection import errors
from versioned_collection.cli.configuration import ConfigurationError
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.settings import SettingsError
from versioned_collection.cli.streams import Unwritten
from versioned_collection.cli.wording import in_commands

if TYPE_CHECKING:
    from pymongo.errors import ConnectionFailure

EXITS: dict[type[errors.VersioningError], Exit] = {
    errors.VersioningError: Exit.FAILED,
    errors.InvalidArgument: Exit.USAGE,
    errors.InvalidType: Exit.USAGE,
    errors.CollectionAlreadyInitialised: Exit.STATE,
    errors.CollectionNotTracked: Exit.NOT_TRACKED,
    errors.InvalidOperation: Exit.STATE,
    errors.WorkingCopyChanged: Exit.STATE,
    errors.CheckFailed: Exit.STATE,
    errors.PlaceGone: Exit.STATE,
    errors.NotSupported: Exit.STATE,
    errors.ReadOnlyVersion: Exit.STATE,
    errors.InvalidCollectionVersion: Exit.NOT_FOUND,
    errors.AmbiguousRevision: Exit.NOT_FOUND,
    errors.VersionThinnedOut: Exit.NOT_FOUND,
    errors.BranchNotFound: Exit.NOT_FOUND,
    errors.TagNotFound: Exit.NOT_FOUND,
    errors.RemoteNotFound: Exit.NOT_FOUND,
    errors.RemoteUnreachable: Exit.UNREACHABLE,
    errors.InvalidCollectionState: Exit.STATE,
    errors.HistoryPurged: Exit.STATE,
    errors.AutoMergeFailedError: Exit.CONFLICTS,
    errors.ResolverFailed: Exit.FAILED,
    errors.LeaseHeld: Exit.BUSY,
    errors.LeaseLost: Exit.BUSY,
    errors.PermissionDenied: Exit.DENIED,
    errors.SnapshotUnavailable: Exit.BUSY,
    errors.DocumentRejected: Exit.STATE,
    errors.TransferRefused: Exit.CORRUPT,
    errors.UnusableFile: Exit.CORRUPT,
    errors.FormatMismatch: Exit.CORRUPT,
    errors.CorruptHistory: Exit.CORRUPT,
    errors.EmbeddedServerError: Exit.UNREACHABLE,
}
"""The exit code of each error of the library; an error without one has that of its base."""

USAGE = "usage"
INTERNAL = "internal"

_UNAUTHORIZED, _LOGIN_FAILED, _LOGIN_FAILED_ATLAS = 13, 18, 8000
_UNREADABLE = (
    "Python cannot read a document that the server sent; 'vc export FILE.bson' writes all of a "
    "version as they are"
)


class UsageFailure(Exception):
    """What the person asked for cannot be done in this form."""


@dataclass(frozen=True)
class Failure:
    """An error as the command line reports it.

    Attributes:
        exit: How the program ends.
        code: The stable name of the error.
        message: What went wrong and what to do.
        facts: The values involved.
    """

    exit: Exit
    code: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)


def describe(error: BaseException) -> Failure:
    """Return what to report of an error."""
    if isinstance(error, errors.VersioningError):
        kind = next(base for base in type(error).__mro__ if base in EXITS)
        return Failure(EXITS[kind], error.code, in_commands(error.message), dict(error.facts))
    if isinstance(error, (UsageFailure, SettingsError, ConfigurationError)):
        return Failure(Exit.USAGE, USAGE, str(error))
    if isinstance(error, Unwritten):
        return Failure(Exit.FAILED, "output_failed", str(error))
    return _of_driver(error) or Failure(
        Exit.FAILED, INTERNAL, f"{type(error).__name__}: {error} (VC_DEBUG=1 shows where)"
    )


def _of_driver(error: BaseException) -> Failure | None:
    """Return what to report of an error of PyMongo, None for any other error."""
    from bson.errors import BSONError, InvalidBSON
    from pymongo import errors as driver

    if isinstance(error, (driver.ConfigurationError, driver.InvalidName)):
        return Failure(Exit.USAGE, USAGE, str(error))
    if isinstance(error, InvalidBSON):
        return Failure(Exit.FAILED, "unreadable_document", f"{_UNREADABLE}: {error}")
    if isinstance(error, (BSONError, OverflowError)):
        return Failure(Exit.USAGE, USAGE, f"BSON cannot hold this value: {error}")
    if isinstance(error, driver.ConnectionFailure):
        return Failure(Exit.UNREACHABLE, "server_unreachable", _unreachable(error))
    if isinstance(error, driver.OperationFailure):
        return _refused(error)
    if isinstance(error, driver.PyMongoError):
        return Failure(Exit.FAILED, "driver", f"{type(error).__name__}: {error}")
    return None


def _unreachable(error: ConnectionFailure) -> str:
    from versioned_collection.remotes.reaching import reason_of

    reason = reason_of(error)
    return (
        f"the server cannot be reached: {reason}; 'vc config list' shows where it is meant to be"
    )


def _refused(error: Any) -> Failure:
    """Return what to report when the server refuses a command."""
    details = error.details or {}
    reason = str(details.get("errmsg") or error).partition(", full error:")[0]
    if error.code in (_LOGIN_FAILED, _LOGIN_FAILED_ATLAS):
        return Failure(Exit.DENIED, "login_failed", f"the server refused the login: {reason}", {})
    if error.code == _UNAUTHORIZED:
        return Failure(Exit.DENIED, errors.PermissionDenied.code, reason)
    return Failure(Exit.FAILED, "server_refused", f"the server refused: {reason}")
