"""The errors this library raises: one tree under `VersioningError`.

    VersioningError
    ├── InvalidArgument (ValueError)        a value that can never be right
    ├── InvalidType (TypeError)             an argument of the wrong type
    ├── CollectionAlreadyInitialised        init of a tracked collection
    ├── CollectionNotTracked                a verb that needs history, before init
    ├── InvalidOperation                    the verb does not fit the present state
    │   ├── WorkingCopyChanged              another client wrote while the verb ran
    │   ├── CheckFailed                     a check refuses the state to be recorded
    │   ├── PlaceGone                       a conflict's place is not in the document any more
    │   ├── ReadOnlyVersion                 a write to a version that is read, not checked out
    │   └── NotSupported                    the server or the collection cannot do it
    ├── InvalidCollectionVersion            no such version
    │   ├── VersionThinnedOut               gone; a later one stands for its changes
    │   ├── AmbiguousRevision               a prefix that several versions share
    │   └── BranchNotFound                  no such branch, so no such version on it
    ├── TagNotFound, RemoteNotFound
    ├── RemoteUnreachable                   no connection to a remote, or it broke
    ├── InvalidCollectionState              two histories that do not fit together
    │   └── HistoryPurged                   one of them was purged, and the other one was not
    ├── AutoMergeFailedError                conflicts remain
    ├── ResolverFailed                      a resolver raised, or returned what cannot stand
    ├── LeaseHeld, LeaseLost                another process is at work / took over
    ├── PermissionDenied                    the server refused; names the missing right
    ├── SnapshotUnavailable                 the moment to read has left the server's window
    ├── DocumentRejected                    the server refuses a document that a version holds
    ├── TransferRefused                     what a remote sent is not what it announced
    ├── UnusableFile                        a file that is missing, truncated, altered or foreign
    ├── FormatMismatch                      trackers written by another format
    ├── CorruptHistory                      stored data contradicts itself
    └── EmbeddedServerError                 no local mongod, or it cannot start

Each class has a stable `code`; the facts (names, numbers, documents) are attributes of
the instance and listed in `facts`.
"""

from __future__ import annotations

import pickle
from typing import Any, ClassVar


class VersioningError(Exception):
    """Base of all errors of this library.

    Args:
        message: What went wrong and what to do next.
        **facts: The values involved; each becomes an attribute of the error.
    """

    code: ClassVar[str] = "versioning"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: _portable(value) for name, value in self.facts.items()}
        return _rebuilt, (type(self), self.message, facts)


def _portable(value: Any) -> Any:
    """Return a fact as it can be pickled: itself, or its description."""
    try:
        pickle.dumps(value)
    except Exception:  # whatever its class raises
        return repr(value)
    return value


def _rebuilt(kind: type[VersioningError], message: str, facts: dict[str, Any]) -> VersioningError:
    return kind(message, **facts)


class InvalidArgument(VersioningError, ValueError):
    """A value that can never be right, such as a branch name starting with ``__``."""

    code = "invalid_argument"


class InvalidType(VersioningError, TypeError):
    """An argument of the wrong type."""

    code = "invalid_type"


class CollectionAlreadyInitialised(VersioningError):
    """`init` was called on a collection that is tracked already."""

    code = "already_initialised"


class CollectionNotTracked(VersioningError):
    """The verb needs a history; call `init` first."""

    code = "not_tracked"


class InvalidOperation(VersioningError):
    """The verb does not fit the present state, such as a checkout over uncommitted changes."""

    code = "invalid_operation"


class WorkingCopyChanged(InvalidOperation):
    """Another client wrote to the documents while the verb ran; nothing was done."""

    code = "working_copy_changed"


class CheckFailed(InvalidOperation):
    """A check (`check`) finds something wrong (`documents`, at most 100 ids); nothing was done."""

    code = "check_failed"


class PlaceGone(InvalidOperation):
    """The place of a conflict is no longer in the document (`path`, `missing`)."""

    code = "place_gone"


class ReadOnlyVersion(InvalidOperation):
    """A write (`method`) to what `at` returned: recorded versions never change."""

    code = "read_only_version"


class NotSupported(InvalidOperation):
    """The server, or the kind of collection, cannot do what was asked."""

    code = "not_supported"


class InvalidCollectionVersion(VersioningError):
    """There is no such version."""

    code = "no_such_version"


class VersionThinnedOut(InvalidCollectionVersion):
    """The version is gone; a later one stands for its changes."""

    code = "version_thinned_out"


class AmbiguousRevision(InvalidCollectionVersion):
    """A checksum or id prefix that several versions share."""

    code = "ambiguous_revision"


class BranchNotFound(InvalidCollectionVersion, InvalidOperation):
    """There is no such branch, and so no such version on it, and nothing to push or pull."""

    code = "no_such_branch"


class TagNotFound(VersioningError):
    """There is no such tag."""

    code = "no_such_tag"


class RemoteNotFound(VersioningError):
    """There is no remote of this name."""

    code = "no_such_remote"


class RemoteUnreachable(VersioningError):
    """There is no connection to a remote (`remote`: where it is), or it broke (`reason`)."""

    code = "remote_unreachable"


class InvalidCollectionState(VersioningError):
    """Two histories that cannot be brought together."""

    code = "invalid_state"


class HistoryPurged(InvalidCollectionState):
    """One side of a transfer was purged, and the other one still holds what was removed.

    `side` is the one that was purged, ``here``, ``there`` or ``both``; `purges` are the tombstones
    that the other one lacks.
    """

    code = "history_purged"


class AutoMergeFailedError(VersioningError):
    """A merge left conflicts, which are stored for resolution."""

    code = "auto_merge_failed"


class ResolverFailed(VersioningError):
    """A resolver raised, or returned what cannot stand there (`document_id`, `path`)."""

    code = "resolver_failed"


class LeaseHeld(VersioningError):
    """Another process is running a verb on this collection; try again after `expires`."""

    code = "lease_held"


class LeaseLost(VersioningError):
    """This process was silent for longer than its lease, and another one took over."""

    code = "lease_lost"


class PermissionDenied(VersioningError):
    """The server refused a command; `action` names the missing privilege."""

    code = "permission_denied"


class SnapshotUnavailable(VersioningError):
    """The moment that the verb reads has left the server's snapshot window."""

    code = "snapshot_unavailable"


class DocumentRejected(VersioningError):
    """The server refuses to store a document (`document_id`) that a version holds."""

    code = "document_rejected"


class TransferRefused(VersioningError):
    """What a remote sent of a version (`version`) is not what it announced; nothing was kept."""

    code = "transfer_refused"


class UnusableFile(VersioningError):
    """A file cannot be written, or does not hold what it should (`file`, `reason`).

    `reason` is ``exists``, ``missing``, ``system``, ``foreign``, ``truncated``, ``altered`` or
    ``malformed``.
    """

    code = "unusable_file"


class FormatMismatch(VersioningError):
    """Something carries a format number (`found`) that this release (`supported`) cannot read."""

    code = "format_mismatch"


class CorruptHistory(VersioningError):
    """Stored history contradicts itself; `verify()` lists every problem."""

    code = "corrupt_history"


class EmbeddedServerError(VersioningError):
    """No local mongod was found, or it could not be started."""

    code = "embedded_server"
