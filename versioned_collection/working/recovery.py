"""Holding the lease on a collection that is whole: what was left half done is settled first."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pymongo import errors as driver

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.erasing import take_back
from versioned_collection.committing.worktrees import (
    complete_removal,
    complete_worktree,
    discard_copies,
    show,
)
from versioned_collection.errors import (
    CollectionNotTracked,
    InvalidOperation,
    LeaseLost,
    VersioningError,
)
from versioned_collection.repository.hold import Hold, leased
from versioned_collection.repository.lifecycle import complete_drop, complete_rename
from versioned_collection.repository.refusals import not_tracked
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata

_log = logging.getLogger(__name__)

_NOT_WHILE_MERGING = frozenset(
    (
        "checkout",
        "cherry_pick",
        "create_branch",
        "delete_version_subtree",
        "discard_changes",
        "merge",
        "pull",
        "purge",
        "rebase",
        "rename",
        "reset",
        "revert",
        "squash",
        "stash",
        "stash_apply",
        "thin_out",
        "undo",
    )
)
_ENDING = ("drop", "remove_worktree")
"""Verbs that go on where something can be neither completed nor undone: they are the way out."""

_LONGEST_PAUSE = 0.25
"""Seconds between two looks at the lease of an owner that may be dead."""


@contextmanager
def holding(repository: Repository, verb: str) -> Iterator[Hold]:
    """Hold the lease on a tracked collection for a verb.

    An operation that an earlier process left half done, in this working copy or another one, is
    completed or undone first. When the verb itself fails before its commit point, what it
    prepared is removed.

    Raises:
        CollectionNotTracked: There is no history; nothing is created.
        InvalidOperation: A merge waits for decisions, which does not go with the verb.
        LeaseHeld: Another process kept the lease for longer than we wait.
    """
    repository.state()
    with leased(repository, verb) as hold:
        if hold.enter() is None:
            raise not_tracked(repository.name)
        _settle_others(hold)
        if hold.state.intent is not None:
            _settle_or_pass(hold, verb)
        if hold.state.merge is not None and verb in _NOT_WHILE_MERGING:
            raise InvalidOperation(
                f"a {hold.state.merge['verb']} waits: settle its conflicts{_then(hold.state)}, "
                f"or abort_merge() takes it back; {verb} comes after that",
                merge=hold.state.merge["id"],
            )
        try:
            yield hold
        except LeaseLost:
            raise
        except BaseException:
            _clean_up(hold)
            raise


def _then(state: Metadata) -> str:
    """Return what comes once conflicts are settled; with a stash nothing does."""
    merge = state.merge or {}
    if merge.get("stash") is not None:
        return ""
    return f", then register() records it{' and goes on' if merge.get('todo') else ''}"


def _settle_others(hold: Hold) -> None:
    """Settle what was left half done in other working copies: it may be about shared trackers."""
    half_done = [name for name, state in hold.others.items() if state.intent is not None]
    for name in half_done:
        other = hold.beside(name)
        with suppress(CollectionNotTracked):  # a worktree whose removal is complete now
            _settle_or_pass(other, hold.verb)
    if half_done:
        hold.refresh()


def _settle_or_pass(hold: Hold, verb: str) -> None:
    """Settle what was left half done; where that fails, a verb that ends all of it goes on."""
    intent = hold.state.intent or {}
    try:
        settle(hold, hold.state)
    except (CollectionNotTracked, LeaseLost, driver.ConnectionFailure):
        raise
    except Exception:
        if verb not in _ENDING or intent["verb"] == "rename":  # which has two names by now
            raise
        name = hold.repository.name
        _log.warning(
            "%s of %s can be neither completed nor undone; %s leaves it so",
            intent["verb"],
            name,
            verb,
            exc_info=True,
            extra={"verb": intent["verb"], "collection": name},
        )
        hold.refresh()


def settle(hold: Hold, state: Metadata) -> None:
    """Complete or undo the operation that the state says is under way.

    Raises:
        CollectionNotTracked: The operation was a drop, a rename or the removal of a worktree,
            which is complete now, or a worktree could not be made. A rename to a name that
            another client has taken is undone.
    """
    intent: Mapping[str, Any] = state.intent or {}
    repository = hold.repository
    _log.warning(
        "%s of %s was left half done by another process; it is %s now",
        intent["verb"],
        repository.name,
        "undone" if intent.get("phase") == "prepare" else "completed",
        extra={"verb": intent["verb"], "collection": repository.name},
    )
    if intent["verb"] == "drop":
        complete_drop(hold)
        raise not_tracked(repository.name)
    if intent["verb"] == "rename" and intent["to"] == repository.name:
        hold.update({"intent": None})  # all but this note was done
        hold.refresh()
        return
    if intent["verb"] == "rename":
        identity = intent.get("uuid", state.uuid)  # earlier releases did not note it
        if complete_rename(hold, intent["to"], identity, resumed=True):
            raise not_tracked(repository.name)
        hold.refresh()
        return
    if intent["verb"] == "remove_worktree" and intent["phase"] == "apply":
        complete_removal(hold)
        raise not_tracked(repository.name)
    if intent["verb"] == "worktree" and intent["phase"] == "apply":
        if not complete_worktree(hold):
            raise not_tracked(repository.name)
    elif intent["phase"] == "apply":
        Committer(hold, resumed=True).complete(Commit.from_bson(intent["commit"]))
    else:
        undo(hold, intent)
    hold.refresh()


def undo(hold: Hold, intent: Mapping[str, Any]) -> None:
    """Remove what was prepared by an operation that did not reach its commit point."""
    repository = hold.repository
    prepared = intent.get("version")
    if prepared is not None:
        versions = prepared if isinstance(prepared, list) else [prepared]
        repository.deltas.delete(versions)
        repository.conflicts.delete(versions)
    if intent.get("stash") is not None:
        repository.stash.delete([intent["stash"]])
    if intent.get("overlay") is not None:
        repository.overlays.remove(intent["overlay"])
    worktree = intent.get("worktree")
    if worktree is not None and worktree["name"] not in hold.others:
        discard_copies(repository, worktree)
    if intent.get("hidden") is not None:
        show(repository, intent)
    if intent.get("purge") is not None:
        take_back(hold, intent["purge"], intent["stash"])
    hold.update({"intent": None})


def _clean_up(hold: Hold) -> None:
    """Undo our own preparations; if that fails too, the next open does it."""
    try:
        hold.lease.check()
        hold.lease.settle()
        hold.refresh()
        intent = hold.state.intent
        if intent is not None and intent["phase"] == "prepare":
            undo(hold, intent)
    except Exception:  # the error that is on its way says more
        return


def recover_on_open(repository: Repository) -> None:
    """Settle what a dead process left half done, without waiting for one that is alive.

    An owner that is alive shows it by its heartbeat, so the wait is bounded by the lease.
    """
    try:
        while _is_half_done(repository):
            expires, over = repository.leases.peek()
            if over:
                with holding(repository, "recover"):
                    return
            time.sleep(min(repository.lease_seconds / 10, _LONGEST_PAUSE))
            later, _ = repository.leases.peek()
            if later != expires:
                return
    except (VersioningError, driver.WriteError, driver.BulkWriteError):
        return  # the first verb meets the same obstacle and reports it


def _is_half_done(repository: Repository) -> bool:
    state = repository.known_state()
    if state is not None:
        return repository.metadata.is_half_done(state)
    old_name = repository.metadata.announced_rename()
    if old_name is not None:
        recover_on_open(
            Repository(repository.db, old_name, lease_seconds=repository.lease_seconds)
        )
    return False
