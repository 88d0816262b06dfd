"""The end of a collection, and its new name: operations over all trackers at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from versioned_collection.driver.pipeline import side_by_side
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.repository.sharding import is_sharded, shard_replica
from versioned_collection.trackers.base import (
    Tracker,
    drop_exactly,
    identities,
    rename_exactly,
    rename_unless_taken,
)


def create_trackers(repository: Repository, but: Collection[Tracker] = ()) -> None:
    """Create the trackers that every history needs, some apart; those that exist are kept.

    In a sharded cluster all of them are: a transaction over several shards creates nothing.
    """
    everything = repository.is_behind_mongos
    needed = (one for one in repository.trackers if everything or not one.at_first_use)
    side_by_side(tracker.create for tracker in needed if tracker not in but)
    if repository.replica not in but and is_sharded(repository):
        shard_replica(repository)


def drop_trackers(hold: Hold) -> None:
    """Drop all trackers, of which a killed process has left some.

    The log goes before the note whose it is, and the metadata last: where this is interrupted in
    turn, nobody takes what is left for a history; see `tracking.refuse_lost`.
    """
    drop_some(hold, (hold.repository.log,))
    drop_names(hold, _names(hold.repository))


def drop_some(hold: Hold, trackers: Sequence[Tracker]) -> None:
    """Drop some trackers."""
    drop_names(hold, [name for tracker in trackers for name in tracker.names])


def complete_drop(hold: Hold) -> None:
    """Drop the collection and its trackers; whatever is gone already is fine."""
    repository = hold.repository
    views = identities(repository.db, repository.overlays.views())
    drop_names(hold, [*views, repository.name, *_names(repository)])
    repository.turns.remove()
    repository.leases.forget(hold.lease.token)


def _names(repository: Repository) -> list[str]:
    return [name for tracker in repository.trackers for name in tracker.names]


def drop_names(hold: Hold, names: Sequence[str]) -> None:
    """Drop collections that the lease protects, the last one after all others."""
    db = hold.repository.db
    found = identities(db, names)
    hold.lease.check()  # later on, the identities keep a late owner from dropping anything
    *others, last = names
    side_by_side(partial(drop_exactly, db, name, found[name]) for name in others if name in found)
    if last in found:
        drop_exactly(db, last, found[last])


def complete_rename(hold: Hold, new_name: str, identity: Any, *, resumed: bool = False) -> bool:
    """Rename the collection and its trackers; whatever is renamed already is fine.

    Args:
        hold: The lease.
        new_name: The new name.
        identity: The UUID of the collection, None where there is none.
        resumed: Whether this may have been begun by a process that died.

    Returns:
        Whether it could have its name; else another client has made a collection of that name
        meanwhile, and everything is as before.
    """
    repository = hold.repository
    target = Repository(repository.db, new_name)
    old_names = _names(repository)
    new_names = [name for tracker in repository.trackers for name in tracker.names_under(new_name)]
    found = identities(repository.db, [repository.name, new_name, *old_names, *new_names])
    hold.lease.check()  # see `drop_names`
    if not _rename_collection(repository, new_name, identity, found, resumed):
        target.metadata.withdraw_rename(repository.name)
        hold.update({"intent": None})
        return False
    target.leases.carry_on(hold.lease.fence)
    for old, new in zip(old_names, new_names, strict=True):
        is_last = old == repository.metadata.name  # it replaces the announcement
        if is_last:
            target.overlays.carry_views_over(repository.name)
        if old in found and (is_last or new not in found):
            rename_exactly(repository.db, old, new, found[old], over=is_last)
    target.metadata.update(hold.lease.token, {"intent": None})
    repository.turns.remove()
    repository.leases.forget(hold.lease.token)
    return True


def _rename_collection(
    repository: Repository, new_name: str, identity: Any, found: Mapping[str, Any], resumed: bool
) -> bool:
    """Rename the collection itself, before any tracker; False where another one has the name."""
    db, name = repository.db, repository.name
    if new_name in found:
        # a client may have gone on to write under the old name after the first attempt
        is_done = identity is not None and found[new_name] == identity
        # where ours is under neither name, the trackers may have been on their way already
        return is_done or (resumed and (identity is None or found.get(name) != identity))
    if name not in found:
        return True
    if rename_unless_taken(db, name, new_name, found[name]):
        return True
    # a late owner of the lease may have been faster, with the same collection
    return bool(identities(db, [new_name]).get(new_name) == found[name])
