"""remove_worktree: a working copy less, and nothing lost with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from bson.timestamp import Timestamp

from versioned_collection.capture.change_stream import ChangeStreamCapture
from versioned_collection.committing.worktrees import hide, remove, show
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.revision import check_text
from versioned_collection.driver.wire import by_keys
from versioned_collection.errors import InvalidArgument, InvalidOperation, LeaseLost
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import identities
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import (
    Change,
    WorkingCopy,
    compare_everything,
    differing,
)


def remove_worktree(repository: Repository, name: str, force: bool = False) -> None:
    """Remove a worktree: its collection, and the trackers that are its own.

    Args:
        repository: The trackers.
        name: The name of its collection.
        force: Remove it also where something of it is nowhere else.

    Raises:
        InvalidArgument: There is no such worktree.
        InvalidType: The name is no text.
        InvalidOperation: It is the main working copy; or it has uncommitted changes, stashes or a
            merge that waits, and `force` is not set.
    """
    check_text(name, "worktree")
    with holding(repository, "remove_worktree") as hold:
        removed = _found(hold, name)
        seen = None if force else _refuse_loss(removed)
        identity = identities(hold.repository.db, [name]).get(name)
        if force or identity is None:
            remove(removed, name, identity)
        else:
            _remove_unchanged(removed, seen, identity)


def _found(hold: Hold, name: str) -> Hold:
    repository = hold.repository
    if name == repository.home:
        raise InvalidOperation(
            f"{name!r} is the main working copy, with which the repository goes; drop() drops "
            "both, once there are no worktrees",
            name=name,
        )
    if name == repository.name:
        return hold
    if name not in hold.others:
        raise InvalidArgument(f"there is no worktree {name!r}; worktrees() lists them", name=name)
    return hold.beside(name)


def _refuse_loss(hold: Hold) -> Timestamp | None:
    """Refuse to remove what has something that is in no version.

    Returns:
        The cluster time up to which it has not, None where the server has none.

    Raises:
        InvalidOperation: It has.
    """
    if hold.state.merge is not None:
        raise _loss(hold, f"a {hold.state.merge['verb']} that waits")
    if hold.state.stashes:
        raise _loss(hold, "a stash")
    copy = WorkingCopy(hold)
    if copy.has_changes():
        copy.persist()
        raise _loss(hold, "uncommitted changes")
    return copy.at


def _loss(hold: Hold, kept: str, where: str = "") -> InvalidOperation:
    name = hold.repository.name
    return InvalidOperation(
        f"the worktree {name!r} has {kept}, which would be lost{where}; settle that there, or "
        "remove it with force=True",
        name=name,
    )


def _remove_unchanged(hold: Hold, seen: Timestamp | None, identity: Any) -> None:
    """Remove a worktree unless a client has written to it since it was seen without changes."""
    note = hide(hold, identity)
    try:
        changed = _has_changed(hold, note["hidden"], seen)
    except BaseException:
        with suppress(Exception):  # the error that is on its way says more
            _take_back(hold, note)
        raise
    if changed:
        is_back = _take_back(hold, note)
        where = "" if is_back else f" (another client has made {hold.repository.name!r} anew "
        where += "" if is_back else f"meanwhile: the documents are in {note['hidden']!r})"
        raise _loss(hold, "uncommitted changes", where)
    try:
        remove(hold, note["hidden"], identity)
    except LeaseLost:  # its new owner may have looked before the collection was hidden
        show(hold.repository, note)
        raise


def _has_changed(hold: Hold, hidden: str, since: Timestamp | None) -> bool:
    """Tell whether a hidden worktree was written to behind a look that found no change.

    What was written is noted, so that it shows once the collection has its name back.

    Args:
        hold: The lease, and the worktree.
        hidden: The name that its collection has.
        since: The cluster time of the look, None where the server has none.
    """
    found = False
    for changes in _changes_of_hidden(hold.repository, hidden, since):
        hold.repository.modified.add([change.key for change in changes])
        found = found or bool(changes)
    return found


def _changes_of_hidden(
    repository: Repository, hidden: str, since: Timestamp | None
) -> Iterator[list[Change]]:
    written: set[DocumentKey] | None = None
    if since is not None and repository.capture_mode == "change_stream":
        written = ChangeStreamCapture(repository).written_until_renamed(since)
    if written is None:
        yield from compare_everything(repository, None, name=hidden)
        return
    for portion, present in by_keys(repository.db, hidden, sorted(written)):
        for part, recorded in repository.replica.by_keys(portion):
            yield differing((key, recorded.get(key), present.get(key)) for key in part)


def _take_back(hold: Hold, note: Mapping[str, Any]) -> bool:
    is_back = show(hold.repository, note)
    hold.update({"intent": None})
    return is_back
