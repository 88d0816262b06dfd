"""status and has_changes."""

from __future__ import annotations

from typing import Any

from versioned_collection.core.version import UNBORN
from versioned_collection.history.versions import entry_of
from versioned_collection.past.onlooking import looking, sight
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata


def current_number(repository: Repository, state: Metadata) -> int:
    """Return the number of HEAD, -1 on an unborn branch."""
    entry = entry_of(repository, state.head)
    if not state.detached and entry.branch != state.branch:
        return UNBORN
    return entry.number


def has_changes(repository: Repository) -> bool:
    """Tell whether the present documents differ from HEAD."""
    with looking(repository, "has_changes") as hold:
        copy = sight(hold)
        found = copy.has_changes()
        if found:
            copy.persist()
        else:
            copy.settle_unchanged()
        return found


def status(repository: Repository) -> dict[str, Any]:
    """Return the state of the working copy for people and programs."""
    with looking(repository, "status") as hold:
        copy = sight(hold)
        counts = {"inserted": 0, "updated": 0, "deleted": 0}
        for batch in copy.changes(note=True):
            for change in batch:
                kind = (
                    "inserted"
                    if change.old is None
                    else "deleted"
                    if change.new is None
                    else "updated"
                )
                counts[kind] += 1
        changed = any(counts.values())
        if changed:
            copy.persist()
        else:
            copy.settle_unchanged()
        state = hold.state
        return {
            "tracked": True,
            "current_version": current_number(repository, state),
            "current_branch": state.branch,
            "detached": state.detached,
            "changed": changed,
            "has_stash": bool(state.stashes),
            "has_conflicts": repository.has_conflicts(state),
            "conflicts": 0
            if state.merge is None
            else repository.conflicts.count(state.merge["id"]),
            "merging": state.merge is not None,
            "merge_verb": None if state.merge is None else state.merge["verb"],
            "changes": counts,
            "head": state.head,
            "capture_mode": repository.capture_mode,
        }
