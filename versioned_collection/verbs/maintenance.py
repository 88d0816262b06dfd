"""size, gc, listen: what the trackers take, what can go, what keeps them fresh."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

from versioned_collection.errors import InvalidArgument
from versioned_collection.recovery import holding
from versioned_collection.repository import Repository
from versioned_collection.spanning import renew_spans
from versioned_collection.working_copy import WorkingCopy

_KEPT_FOR = timedelta(days=7)
"""How long what a transfer that broke off has brought waits to be gone on with."""


def size(repository: Repository, per: str = "tracker") -> dict[str, int]:
    """Return the bytes of each tracker on disk, or of the changes on each branch.

    Raises:
        InvalidArgument: `per` is neither ``tracker`` nor ``branch``.
    """
    if per not in SIZES:
        raise InvalidArgument(f"sizes are per {' or per '.join(SIZES)}, not {per!r}", per=per)
    return SIZES[per](repository)


def _per_tracker(repository: Repository) -> dict[str, int]:
    sizes = {tracker.prefix: tracker.size() for tracker in repository.trackers}
    return {**sizes, "total": sum(sizes.values())}


def _per_branch(repository: Repository) -> dict[str, int]:
    nodes = repository.log.tree().nodes
    found = Counter(dict.fromkeys(sorted({node.branch for node in nodes.values()}), 0))
    for version, count in repository.deltas.sizes():
        if version in nodes:  # else it is for gc to remove
            found[nodes[version].branch] += count
    return dict(found)


SIZES = {"tracker": _per_tracker, "branch": _per_branch}
"""How sizes are told."""


def gc(repository: Repository) -> dict[str, int]:
    """Remove what no version needs any more, and what can be made again; return how much."""
    with holding(repository, "gc") as hold:
        tree = repository.log.tree()
        known = set(tree)
        stored = repository.deltas.versions()
        since = repository.now() - _KEPT_FOR
        repository.incoming.forget_before(since)
        # announced before anything of it is stored, so what was read above is all there
        known |= repository.incoming.announced_since(since)
        orphans = [version for version in stored if version not in known]
        merge = None if hold.state.merge is None else hold.state.merge["id"]
        kept = {merge, *(header["id"] for header in hold.state.stashes)}
        stashes = [one for one in repository.stash.versions() if one not in kept]
        unsettled = repository.conflicts.merges() - {merge}
        hold.update({})
        spans = renew_spans(hold, tree)
        repository.deltas.delete(orphans)
        repository.stash.delete(stashes)
        return {
            "versions_without_log_entry": len(orphans),
            "stashes": len(stashes),
            "conflicts": repository.conflicts.delete(unsettled),
            "unfinished_uploads": sum(
                store.collect_uploads(since)
                for store in (repository.deltas, repository.stash, repository.spans)
            ),
            "overlays": repository.overlays.remove_all(),
            "spans": spans,
        }


def listen(
    repository: Repository, interval: float = 1.0, stop: threading.Event | None = None
) -> int:
    """Keep the modified set fresh until `stop` is set.

    Optional: it shortens the next verb and protects against a short oplog.

    Args:
        repository: The trackers.
        interval: Seconds between two looks.
        stop: Ends the loop; without one it goes on for ever.

    Returns:
        The number of looks.
    """
    stop = stop or threading.Event()
    looks = 0
    while True:
        note(repository)
        looks += 1
        if stop.wait(interval):
            return looks


def note(repository: Repository) -> Any:
    """Look once, and keep what was noticed."""
    with holding(repository, "listen") as hold:
        copy = WorkingCopy(hold)
        copy.persist()
        return copy.noticed.at
