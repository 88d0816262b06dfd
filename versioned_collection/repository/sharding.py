"""Sharded collections: which of them can be tracked, and trackers that are sharded with them.

A document is its ``_id`` to this library, so it is what a collection has to be sharded by: the
server keeps it unique in all of the cluster then, and every filter on it names one shard. Of the
trackers the replica holds a document for each one of the collection, so it is sharded too. The
others hold what changed, and stay on the primary shard of the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import errors as driver

from versioned_collection.driver.server_errors import NAMESPACE_NOT_FOUND, UNAUTHORIZED, translated
from versioned_collection.errors import NotSupported, PermissionDenied
from versioned_collection.repository.repository import Repository

REPLICA_KEY = {"_id": "hashed"}
_KEYS = ({"_id": 1}, REPLICA_KEY)
_NO_ROLE = "to read config.collections (role clusterMonitor) and to shard (role clusterManager)"


def is_sharded(repository: Repository, name: str | None = None) -> bool:
    """Tell whether a collection is sharded.

    Args:
        repository: The trackers.
        name: Its name, None for that of the tracked collection.
    """
    if not repository.is_behind_mongos:
        return False
    with translated():
        try:
            stats = repository.db.command("collStats", name or repository.name)
        except driver.OperationFailure as error:
            if error.code == NAMESPACE_NOT_FOUND:
                return False
            raise
    return bool(stats.get("sharded"))


def check_shard_key(repository: Repository, options: Mapping[str, Any]) -> None:
    """Refuse a sharded collection whose documents ``_id`` does not tell apart.

    Args:
        repository: The trackers.
        options: The options with which the collection was created.

    Raises:
        NotSupported: It is sharded by something else, or has a collation.
        PermissionDenied: The user may not look how it is sharded.
    """
    if not is_sharded(repository):
        return
    key = _shard_key(repository)
    reasons = {
        f"it is sharded by {dict(key)}, so that the server lets two shards have documents of the "
        "same _id": dict(key) not in _KEYS,
        "it is sharded and has a collation, so that the server lets two shards have documents "
        "whose _id is the same": bool(options.get("collation")),
    }
    for reason, found in reasons.items():
        if found:
            raise NotSupported(
                f"{repository.name!r} cannot be tracked: {reason}. Copy the documents to a "
                "collection that is not sharded, or to one without a collation that is sharded by "
                "_id, and track that",
                collection=repository.name,
                reason=reason,
            )


def _shard_key(repository: Repository) -> Mapping[str, Any]:
    namespace = f"{repository.db.name}.{repository.name}"
    try:
        found = repository.db.client["config"]["collections"].find_one({"_id": namespace})
    except driver.OperationFailure as error:
        raise _not_allowed(error, "find", "config.collections") from error
    if found is None:
        raise NotSupported(
            f"{namespace} is sharded, but config.collections does not say how; try again once no "
            "resharding is under way",
            collection=repository.name,
            reason="its shard key is not known",
        )
    key: Mapping[str, Any] = found["key"]
    return key


def shard_replica(repository: Repository, name: str | None = None) -> None:
    """Shard the replica, or an empty collection that will become it; once done it is kept.

    Args:
        repository: The trackers.
        name: The name of the collection, None for that of the replica.

    Raises:
        PermissionDenied: The user may not shard collections.
    """
    namespace = f"{repository.db.name}.{name or repository.replica.name}"
    try:
        repository.db.client.admin.command({"shardCollection": namespace, "key": REPLICA_KEY})
    except driver.OperationFailure as error:
        raise _not_allowed(error, "shardCollection", namespace) from error


def refuse_worktree(repository: Repository) -> None:
    """Refuse worktrees where all of their documents would lie on one shard.

    Raises:
        NotSupported: The collection, or its replica, is sharded.
    """
    if any(is_sharded(repository, name) for name in (repository.name, repository.replica.name)):
        raise NotSupported(
            f"{repository.name!r} is sharded, and a worktree would not be: all of its documents "
            "would lie on one shard. Clone the collection into another database instead",
            collection=repository.name,
            reason="a worktree would lie on one shard",
        )


def _not_allowed(error: driver.OperationFailure, action: str, namespace: str) -> Exception:
    """Return what to raise for a refusal: our words where it is for lack of a privilege."""
    if error.code != UNAUTHORIZED:
        return error
    return PermissionDenied(
        f"the server refused {action!r} on {namespace}: a sharded collection is tracked by a user "
        f"who is allowed {_NO_ROLE}. Grant both for init, clone or the first push; later verbs do "
        "without",
        action=action,
        namespace=namespace,
    )
