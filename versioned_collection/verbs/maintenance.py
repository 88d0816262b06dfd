"""size, gc, listen: what the trackers take, what can go, what keeps them fresh."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from bson.objectid import ObjectId
from pymongo import errors as driver

from versioned_collection.committing.worktrees import drop_stray_copies
from versioned_collection.driver.server_errors import translated
from versioned_collection.errors import InvalidArgument, InvalidType, LeaseHeld, LeaseLost
from versioned_collection.history.spanning import make_missing, remove_stale
from versioned_collection.observing import Progress, counted, verb
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.lifecycle import drop_some
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy

_log = logging.getLogger(__name__)

_KEPT_FOR = timedelta(days=7)
"""How long what a transfer that broke off has brought waits to be gone on with."""

MOST_SECONDS = 2.0
"""How long other verbs wait for `gc`, and for one span more, at a time."""


@verb("size")
def size(repository: Repository, per: str = "tracker") -> dict[str, int]:
    """Return the bytes of each tracker on disk, or of the changes on each branch.

    Raises:
        InvalidArgument: `per` is neither ``tracker`` nor ``branch``.
        InvalidType: It is no text.
    """
    if not isinstance(per, str):
        raise InvalidType(f"per is a text, not {type(per).__name__}", per=per)
    if per not in SIZES:
        raise InvalidArgument(f"sizes are per {' or per '.join(SIZES)}, not {per!r}", per=per)
    return SIZES[per](repository)


def _per_tracker(repository: Repository) -> dict[str, int]:
    sizes = {tracker.prefix: tracker.size() for tracker in repository.trackers}
    for name in repository.metadata.read_all().keys() - {repository.name}:
        for tracker in repository.beside(name).own_trackers:
            sizes[f"{tracker.prefix}_{name}"] = tracker.size()
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


@verb("gc")
def gc(repository: Repository, progress: Progress | None = None) -> dict[str, int]:
    """Remove what no version needs any more, and what can be made again; return how much.

    The lease is taken for one bounded step after the other, so that others come in between.
    """
    removed: dict[str, int] = {}
    report = counted(progress)
    with holding(repository, "gc") as hold:
        _restore_indexes(hold)
    for name, collect in _GARBAGE.items():
        with holding(repository, "gc") as hold:
            hold.update({})
            removed[name] = collect(hold)
        report("steps", 1)
    more = True
    while more:
        with holding(repository, "gc") as hold:
            more = make_missing(hold, repository.log.tree(), MOST_SECONDS)
        report("steps", 1)
    return removed


def _restore_indexes(hold: Hold) -> None:
    """Make indexes again that trackers have lost, unless two documents share what is unique."""
    for tracker in hold.trackers():
        if tracker.missing_indexes():
            with suppress(driver.DuplicateKeyError), translated():  # verify goes on telling
                tracker.create_indexes()


def _versions(hold: Hold) -> int:
    """Remove changes of versions that the log does not name, unless a transfer brings some.

    It would take over what an earlier one has left of them.
    """
    try:
        with hold.repository.receiving("gc", waits=False):
            return _versions_nobody_brings(hold)
    except LeaseHeld:
        return 0


def _versions_nobody_brings(hold: Hold) -> int:
    repository = hold.repository
    since = repository.now() - _KEPT_FOR
    stored = repository.deltas.versions()
    known = set(repository.log.tree())
    repository.incoming.forget_before(since)
    # announced before anything of it is stored, so what was read above is all there
    known |= repository.incoming.announced_since(since)
    orphans = [version for version in stored if version not in known]
    hold.confirm()
    repository.deltas.delete(orphans)
    repository.purges.forget_unfinished()  # what a purge that came to nothing has left
    drop_some(hold, (repository.rewritten,))
    return len(orphans)


def _merge(hold: Hold) -> ObjectId | None:
    return None if hold.state.merge is None else hold.state.merge["id"]


def _stashes(hold: Hold) -> int:
    """Remove what was set aside by what is no stash any more."""
    kept = {_merge(hold), *(header["id"] for header in hold.state.stashes)}
    stash = hold.repository.stash
    dropped = [one for one in stash.versions() if one not in kept]
    hold.confirm()
    stash.delete(dropped)
    return len(dropped)


def _conflicts(hold: Hold) -> int:
    """Remove conflicts of merges that are over."""
    conflicts = hold.repository.conflicts
    over = conflicts.merges() - {_merge(hold)}
    hold.confirm()
    return conflicts.delete(over)


def _uploads(hold: Hold) -> int:
    """Remove parts of large images whose deltas were never stored, and stray copies."""
    repository = hold.repository
    drop_stray_copies(repository)
    since = repository.now() - _KEPT_FOR
    stashes = [one.repository.stash for one in hold.everywhere()]
    stores = (repository.deltas, repository.spans, *stashes)
    return sum(store.collect_uploads(since) for store in stores)


def _overlays(hold: Hold) -> int:
    """Remove what `at` has kept."""
    return hold.repository.overlays.remove_all()


def _spans(hold: Hold) -> int:
    """Remove spans that are of no use any more."""
    return remove_stale(hold, hold.repository.log.tree())


def _in_all(collect: Callable[[Hold], int]) -> Callable[[Hold], int]:
    """Return what removes the garbage of all working copies."""
    return lambda hold: sum(map(collect, hold.everywhere()))


_GARBAGE: dict[str, Callable[[Hold], int]] = {
    "versions_without_log_entry": _versions,
    "stashes": _in_all(_stashes),
    "conflicts": _in_all(_conflicts),
    "unfinished_uploads": _uploads,
    "overlays": _in_all(_overlays),
    "spans": _spans,
}
"""What removes garbage, by what that is called; each returns how much there was."""


def listen(
    repository: Repository, interval: float = 1.0, stop: threading.Event | None = None
) -> int:
    """Keep the modified set fresh until `stop` is set.

    Optional: it shortens the next verb and protects against a short oplog.

    While another verb is at work for long, or the server elects a primary, there is no look.

    Args:
        repository: The trackers.
        interval: Seconds between two looks.
        stop: Ends the loop; without one it goes on for ever.

    Returns:
        The number of looks.

    Raises:
        InvalidType: The interval is no number, or `stop` no event.
        InvalidArgument: The interval is negative, or too long to wait for.
    """
    if isinstance(interval, bool) or not isinstance(interval, (int, float)):
        raise InvalidType("interval is a number of seconds", interval=interval)
    if not 0 <= interval <= threading.TIMEOUT_MAX:
        raise InvalidArgument(
            f"interval is from 0 to {threading.TIMEOUT_MAX:.0f} seconds", interval=interval
        )
    if stop is not None and not callable(getattr(stop, "wait", None)):
        raise InvalidType("stop is a threading.Event", stop=stop)
    stop = stop or threading.Event()
    looks = 0
    while True:
        looks += _looked(repository)
        if stop.wait(interval):
            return looks


def _looked(repository: Repository) -> bool:
    """Look once, unless another verb is at work for longer than we wait, or nobody is primary."""
    try:
        note(repository)
    except driver.ServerSelectionTimeoutError:
        raise
    except (LeaseHeld, LeaseLost, driver.AutoReconnect) as error:
        _log.warning(
            "no look at %s this time: %s",
            repository.name,
            error,
            extra={"verb": "listen", "collection": repository.name},
        )
        return False
    return True


def note(repository: Repository) -> Any:
    """Look once, and keep what was noticed."""
    with holding(repository, "listen") as hold:
        copy = WorkingCopy(hold)
        if copy.noticed.scan and repository.capture_mode != "scan":  # from then on it follows
            deque(copy.changes(note=True), maxlen=0)
        copy.persist()
        return copy.noticed.at
