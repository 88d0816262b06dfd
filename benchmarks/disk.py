"""Bytes on disk: the trackers after init, and what a version of few changes adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
from pymongo.database import Database

from benchmarks.data import document, spread, updates
from benchmarks.harness import Aim, Bench, Result, tracked

_VERSIONS = 20


def after_init(bench: Bench) -> Iterator[Result]:
    """Compare all trackers with the collection itself."""
    stored = bench.count(100_000, 50)
    with bench.database() as db:
        collection = tracked(db, stored)
        _checkpoint(db)
        ours = float(collection.size()["total"])
        floor = _size(db, "parts")
    yield Result(
        f"trackers on disk after init of {stored:,}", "MB", [ours / 1e6], [floor / 1e6], Aim(1)
    )


def of_versions(bench: Bench) -> Iterator[Result]:
    """Compare what a version of k changes adds with k whole documents.

    In proportion to k means that the ratio does not grow with k.
    """
    stored = bench.count(100_000, 50)
    versions = min(max(int(_VERSIONS * bench.scale), 3), _VERSIONS)
    one = len(bson.encode(document(1)))
    for full in (10, 100, 1_000):
        changed = bench.count(full, 5)
        with bench.database() as db:
            collection = tracked(db, stored)
            before = _history(db, collection)
            for turn in range(versions):
                collection.bulk_write(updates(spread(changed, stored), turn))
                collection.register(f"turn {turn}")
            ours = (_history(db, collection) - before) / versions
        case = f"history on disk, per version of {changed:,} changes"
        yield Result(case, "kB", [ours / 1e3], [changed * one / 1e3], Aim(1))


def _history(db: Database[Any], collection: Any) -> float:
    """Return the bytes of the log and the deltas."""
    _checkpoint(db)
    sizes = collection.size()
    return float(sizes["log"] + sizes["deltas"])


def _checkpoint(db: Database[Any]) -> None:
    """Have the server write what it holds in memory."""
    db.client.admin.command("fsync")


def _size(db: Database[Any], name: str) -> float:
    stats = db.command("collStats", name)
    return float(stats["storageSize"] + stats["totalIndexSize"])
