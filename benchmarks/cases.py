"""All cases by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import (
    checkout,
    disk,
    history,
    looking,
    memory,
    merging,
    past,
    register,
    remotes,
    tracking,
    writes,
)
from benchmarks.harness import Bench, Result

Case = Callable[[Bench], Iterator[Result]]

CASES: dict[str, Case] = {
    "writes": writes.plain,
    "register": register.many,
    "small-register": register.few,
    "checkout": checkout.back_and_forth,
    "merge": merging.branches,
    "conflicts": merging.conflicts,
    "at": past.reads,
    "overlay": past.overlays,
    "history": history.of_a_thousand,
    "long-history": history.of_ten_thousand,
    "first-push": remotes.first_push,
    "push": remotes.one_version,
    "init": tracking.init,
    "status-diff": looking.status_and_diff,
    "scan": looking.full_comparison,
    "disk": disk.after_init,
    "disk-versions": disk.of_versions,
    "memory": memory.register,
    "memory-conflicts": memory.conflicts,
    "memory-push": memory.push,
}

HEAVY = frozenset(("long-history", "memory", "conflicts", "memory-conflicts", "memory-push"))
"""Cases that run only with ``--heavy``, or when they are named."""
