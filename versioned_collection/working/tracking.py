"""What can be tracked, and the first state of what is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.timestamp import Timestamp

from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import refused_by_strict_api, translated
from versioned_collection.errors import (
    CorruptHistory,
    FormatMismatch,
    InvalidArgument,
    InvalidOperation,
    NotSupported,
)
from versioned_collection.repository.repository import Repository
from versioned_collection.repository.sharding import check_shard_key
from versioned_collection.trackers.base import FORMAT, identities
from versioned_collection.trackers.chunks import PARTS
from versioned_collection.trackers.metadata import MetadataCollection, with_stashes

_OF_THE_SERVER = ("admin", "config", "local")
"""Databases that servers keep their own affairs in: without transactions, or never replicated."""


def check_target(repository: Repository) -> None:
    """Refuse what cannot be tracked.

    Raises:
        NotSupported: The collection is in a database of the server's own; or it is a view,
            time-series or capped, or sharded by something other than ``_id``; or its changes
            cannot be noticed in the way that is wanted; or the client has a strict API.
        PermissionDenied: The user may not look how it is sharded.
    """
    if repository.db.name in _OF_THE_SERVER:
        raise NotSupported(
            f"{repository.name!r} cannot be tracked: the database {repository.db.name!r} is kept "
            "for the server. Copy the documents to another database and track them there",
            collection=repository.name,
            reason=f"the database {repository.db.name!r} is kept for the server",
        )
    api = repository.db.client.options.pool_options.server_api
    if api is not None and api.strict:  # the server would say so once something is created
        raise refused_by_strict_api("trackers are created with options of storage")
    repository.capture_mode  # noqa: B018 - raises
    info = repository.collection_info()
    if info is None:
        return
    options = info.get("options", {})
    kinds = {
        "a view, which has no documents of its own": info.get("type") == "view",
        "a time-series collection, whose documents cannot be changed one by one": info.get("type")
        == "timeseries",
        "capped, so that old documents could not be brought back": bool(options.get("capped")),
        "made for Queryable Encryption, which keeps in other collections what belongs to its "
        "documents": bool(options.get("encryptedFields")),
    }
    for reason, found in kinds.items():
        if found:
            raise NotSupported(
                f"{repository.name!r} cannot be tracked: it is {reason}. Copy the documents to "
                "an ordinary collection and track that",
                collection=repository.name,
                reason=reason,
            )
    check_shard_key(repository, options)


def refuse_foreign(repository: Repository) -> None:
    """Refuse to put trackers in the place of what something else keeps under their names.

    Raises:
        FormatMismatch: There are documents that no release of this library has written.
    """
    trackers = (repository.metadata, repository.log, repository.branches, repository.deltas)
    there = identities(repository.db, [tracker.name for tracker in trackers])
    for name in there:
        with translated():
            found = repository.db[name].find_one({"format": {"$exists": False}}, {"_id": 1})
        if found is not None:
            raise FormatMismatch(
                f"{name} holds what this library has not written, the history of an older library "
                "of the same name perhaps. Save what is still needed, then drop or rename the "
                f"collections that begin with '__' and end with {repository.name!r}",
                found=None,
                supported=FORMAT,
                where=name,
            )


def refuse_lost(repository: Repository) -> None:
    """Refuse to begin a history in the place of one whose metadata is lost.

    Only for whoever holds the lease. Killed processes leave entries of the log, too: `init` one
    on servers without transactions, a first copy all of them beside a note that it is being made.
    Both have created the metadata's collection by then.

    Raises:
        CorruptHistory: The log has entries that none of them has left.
    """
    log, metadata = repository.log, repository.metadata
    there = identities(repository.db, [log.name, metadata.name])
    is_begun = metadata.name in there
    if log.name not in there or (is_begun and repository.incoming.founding() is not None):
        return
    if log.has_more_than(1 if is_begun else 0):
        raise CorruptHistory(
            f"the history of '{repository.db.name}.{repository.name}' is there, but what says "
            f"which version is checked out is lost; nothing was changed. Restore {metadata.name} "
            "from a backup; or copy the documents elsewhere, let drop() remove what is left, and "
            "begin anew",
            collection=repository.name,
        )


def refuse_related(repository: Repository) -> None:
    """Refuse to track a collection beside one whose trackers would share names with its own.

    Large parts of the deltas of ``bands`` are where the deltas of ``bands.files`` would be: who
    drops, collects or checks the ones would take the others for his.

    Raises:
        InvalidArgument: Such a collection is tracked, or about to be.
    """
    for name in _known(repository, list(_related(repository.name))):
        if _has_trackers(Repository(repository.db, name)):
            shorter, longer = sorted((repository.name, name), key=len)
            raise InvalidArgument(
                f"{shorter!r} and {longer!r} cannot both be tracked: what is large in the history "
                "of the one is kept under the names of the other's trackers. Choose another name "
                f"for one of them, such as {longer.replace('.', '_')!r} for {longer!r}",
                collection=repository.name,
                other=name,
            )


def _related(name: str) -> Iterator[str]:
    for part in PARTS:
        yield name + part
        if name.endswith(part):
            yield name.removesuffix(part)


def _known(repository: Repository, names: Sequence[str]) -> list[str]:
    """Return those of some names that the library has met: usually none, which is soon told."""
    metadata = {name: MetadataCollection(repository.db, name).name for name in names}
    there = identities(repository.db, metadata.values())
    leased = repository.leases.known(names)
    return [name for name in names if metadata[name] in there or name in leased]


def _has_trackers(repository: Repository) -> bool:
    """Tell whether a collection is tracked, or about to be: then its lease is held."""
    if repository.known_state() is not None or _renamed_to(repository) is not None:
        return True
    _, over = repository.leases.peek()
    return not over


def refuse_renamed(repository: Repository) -> None:
    """Refuse the name that a collection is about to get: its trackers may have it already.

    Raises:
        InvalidOperation: A collection is being renamed to it.
    """
    old_name = _renamed_to(repository)
    if old_name is not None:
        raise InvalidOperation(
            f"the collection {old_name!r} is being renamed to {repository.name!r}; choose another "
            "name",
            name=repository.name,
        )


def _renamed_to(repository: Repository) -> str | None:
    """Return the name that a collection has which is being renamed to this one."""
    old_name = repository.metadata.announced_rename()
    state = None if old_name is None else Repository(repository.db, old_name).known_state()
    is_on_its_way = state is not None and (state.intent or {}).get("verb") == "rename"
    return old_name if is_on_its_way else None


def first_state(
    head: VersionId,
    branch: str,
    at: Timestamp | None,
    info: Mapping[str, Any],
    indexes: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the metadata with which a collection begins to be tracked.

    Args:
        head: The version that is checked out.
        branch: Its branch.
        at: The cluster time from which changes are noticed.
        info: What the server lists about the collection.
        indexes: What it has beside that of its ids, as `create_indexes` takes them.
    """
    return {
        "head": head,
        "branch": branch,
        "detached": False,
        "captured": at,
        "uuid": info["info"]["uuid"],
        "options": info.get("options", {}),
        "indexes": indexes or [],
        "own": [],
        **with_stashes(()),
        "intent": None,
        "scan": False,
    }
