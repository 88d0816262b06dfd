"""Worktrees on their way in and out: what follows the commit point of either, repeatable.

A worktree is made under names of its own, which nobody else knows. Its state is the commit
point; then its collections get their names. A removal is noted in the state, which goes last.
Where nothing may be lost with it, the collection is hidden first, so that nobody writes to it
behind the last look.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession

from versioned_collection.capture.change_stream import ChangeStreamCapture
from versioned_collection.driver.pipeline import side_by_side
from versioned_collection.driver.server_errors import translated
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.lifecycle import drop_names
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import (
    drop_exactly,
    identities,
    rename_exactly,
    rename_unless_taken,
)
from versioned_collection.trackers.metadata import MetadataCollection

_log = logging.getLogger(__name__)


def names_of_copies(repository: Repository) -> tuple[str, str]:
    """Return fresh names for what will be the collection, and the replica, of a worktree."""
    own = str(ObjectId())[-8:]
    return f"__copy_{own}_{repository.home}", f"__base_{own}_{repository.home}"


def drop_stray_copies(repository: Repository) -> None:
    """Drop what late owners of the lease made for worktrees that never came to be.

    Only for whoever holds the lease while no worktree is being made.
    """
    name = re.escape(repository.home)
    pattern = re.compile(f"^__(copy|base)_[0-9a-f]{{8}}_{name}$")
    with translated():
        found = repository.db.list_collection_names(filter={"name": pattern})
    for name, identity in identities(repository.db, found).items():
        drop_exactly(repository.db, name, identity)


def discard_copies(repository: Repository, worktree: Mapping[str, Any]) -> None:
    """Remove what was prepared for a worktree that never came to be.

    Args:
        repository: The trackers.
        worktree: The ``name`` of the worktree, and of the ``copies`` made for it.
    """
    for name, identity in identities(repository.db, worktree["copies"]).items():
        drop_exactly(repository.db, name, identity)
    announcement_of(repository, worktree["name"]).forget_pointer(repository.home)


def announcement_of(repository: Repository, name: str) -> MetadataCollection:
    """Return the tracker that says whose worktree a collection is."""
    return MetadataCollection(repository.db, name)


def complete_worktree(hold: Hold) -> bool:
    """Give the collections of a worktree their names; whatever is done already is fine.

    Args:
        hold: The lease, and the worktree.

    Returns:
        Whether it could have its name; else another client has made a collection of that name
        meanwhile, and nothing is left of the worktree.
    """
    repository, intent = hold.repository, hold.state.intent or {}
    db, (copy, base) = repository.db, intent["copies"]
    found = identities(db, [copy, base])
    hold.lease.check()
    if base in found:
        rename_exactly(db, base, repository.replica.name, found[base], over=True)
    needed = [one for one in repository.own_trackers if not one.at_first_use]
    side_by_side(one.create for one in needed if one is not repository.replica)
    branches, branch = repository.branches, intent["branch"]
    if branch is not None:
        _fenced(hold, partial(branches.set, branch, hold.state.head))
    if copy in found and not rename_unless_taken(db, copy, repository.name, found[copy]):
        if branch is not None:
            _fenced(hold, partial(branches.delete, [branch]))
        remove(hold, copy, found[copy])
        return False
    hold.update({**_position(repository, intent["since"]), "intent": None})
    return True


def _fenced(hold: Hold, change: Callable[[ClientSession | None], object]) -> None:
    """Change a reference, which nobody does who comes behind the end of the lease.

    Raises:
        LeaseLost: It is not ours any more.
    """

    def work(session: ClientSession | None) -> None:
        hold.touch(session)
        change(session)

    hold.transaction(work)


def _position(repository: Repository, since: Timestamp | None) -> dict[str, Any]:
    """Return from where on changes are noticed: from when the collection got its name.

    Where the server cannot tell that any more, they are found by comparison.
    """
    if since is None:
        return {"captured": None}
    at = ChangeStreamCapture(repository).named_at(since)
    if at is None:
        return {"captured": repository.operation_time(), "scan": True}
    return {"captured": at}


def hide(hold: Hold, identity: Any) -> dict[str, Any]:
    """Take a worktree's collection from its name, so that nobody writes to it any more.

    Args:
        hold: The lease, and the worktree.
        identity: The UUID of its collection.

    Returns:
        What `show` needs to take that back, which whoever finds it noted does as well.
    """
    repository = hold.repository
    note = {"hidden": f"__gone_{str(ObjectId())[-8:]}_{repository.home}", "uuid": identity}
    hold.begin({"verb": "remove_worktree", "phase": "prepare", **note})
    rename_exactly(repository.db, repository.name, note["hidden"], identity)
    return note


def show(repository: Repository, note: Mapping[str, Any]) -> bool:
    """Give a worktree's collection its name back; whatever is done already is fine.

    Returns:
        Whether it could have it; else another client has made a collection of that name
        meanwhile, and both stay.
    """
    has_name = rename_unless_taken(repository.db, note["hidden"], repository.name, note["uuid"])
    if not has_name:
        _log.warning(
            "another client has made a collection %s while the worktree of that name was about to "
            "be removed; the documents of the worktree are in %s",
            repository.name,
            note["hidden"],
            extra={"collection": repository.name, "hidden": note["hidden"]},
        )
    return has_name


def remove(hold: Hold, collection: str, identity: Any) -> None:
    """Remove a worktree, from here on for good.

    Args:
        hold: The lease, and the worktree.
        collection: The collection that goes with it.
        identity: Its UUID, None where it is gone; who made another one of that name keeps it.
    """
    facts = {"collection": collection, "uuid": identity}
    hold.begin({"verb": "remove_worktree", "phase": "apply", **facts})
    hold.refresh()
    complete_removal(hold)


def complete_removal(hold: Hold) -> None:
    """Drop a worktree with all that is its own; whatever is gone already is fine.

    Args:
        hold: The lease, and the worktree.
    """
    repository, intent = hold.repository, hold.state.intent or {}
    views = repository.overlays.views()
    names = [name for tracker in repository.own_trackers for name in tracker.names]
    if intent["uuid"] is not None:
        hold.lease.check()
        drop_exactly(repository.db, intent["collection"], intent["uuid"])
    drop_names(hold, [*views, *names])
    announcement_of(repository, repository.name).forget_pointer(repository.home)
    hold.lease.check()
    repository.metadata.remove(hold.lease.token)
