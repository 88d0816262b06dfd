"""Errors for collections that are not what a verb needs."""

from __future__ import annotations

from typing import Any

from versioned_collection.errors import CollectionNotTracked, CorruptHistory, NotSupported


def not_tracked(name: str) -> CollectionNotTracked:
    """Return the error for a verb that needs a history where there is none."""
    return CollectionNotTracked(
        f"the collection {name!r} is not tracked yet; call init() first", collection=name
    )


def no_collection(name: str, kind: Any) -> NotSupported:
    """Return the error for what has taken the place of a tracked collection, and is none."""
    return NotSupported(
        f"{name!r} is a {kind} now, which has no history; drop it, then discard_changes() brings "
        "the collection back",
        collection=name,
        reason=f"a {kind}",
    )


def not_as_of_head(name: str, replica: str) -> CorruptHistory:
    """Return the error for a replica that is lost, or is another one."""
    return CorruptHistory(
        f"{replica} does not hold the documents of the version that is checked "
        f"out, so nothing tells what differs from it in {name!r}; nothing was changed. "
        "Restore it from a backup of the same moment as the other trackers; or copy the documents "
        "elsewhere, drop(), and init() or clone anew",
        collection=name,
    )
