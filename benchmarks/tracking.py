"""init: how long it takes to track a collection."""

from __future__ import annotations

from collections.abc import Iterator

from pymongo.database import Database

from benchmarks.harness import Aim, Bench, Pairs, Result, alternate, untracked
from versioned_collection import VersionedCollection


def init(bench: Bench) -> Iterator[Result]:
    """Compare with a copy that the server makes by itself, with `$out`."""
    stored = bench.count(100_000, 50)
    pairs = Pairs()
    with bench.database() as db:
        untracked(db, stored)
        for turn in range(bench.repeat):
            _copy(db, "raw", "parts")
            collection = VersionedCollection(db, "parts")
            pairs.add(*alternate(turn, collection.init, lambda: _copy(db, "raw", "copy")))
            collection.drop()
            db.drop_collection("copy")
    yield pairs.result(f"init of {stored:,}, against $out", Aim(2))


def _copy(db: Database, source: str, target: str) -> None:
    db[source].aggregate([{"$out": target}])
