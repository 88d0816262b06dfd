"""checkout over many changed documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo import ReplaceOne
from pymongo.collection import Collection

from benchmarks.data import spread, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, alternate, tracked, untracked

AIM = Aim(2.5)


def back_and_forth(bench: Bench) -> Iterator[Result]:
    """Compare with a `bulk_write` of `ReplaceOne` on an equal collection."""
    stored, changed = bench.count(100_000, 50), bench.count(10_000, 10)
    numbers = spread(changed, stored)
    back, forth = Pairs(), Pairs()
    with bench.database() as db:
        ours, floor = tracked(db, stored), untracked(db, stored)
        to_old = _replacements(floor, numbers)
        for collection in (db["parts"], floor):
            collection.bulk_write(updates(numbers, 1), ordered=False)
        ours.register("updated")
        to_new = _replacements(floor, numbers)
        for turn in range(bench.repeat):
            back.add(*_both(turn, ours, 0, floor, to_old))
            forth.add(*_both(turn, ours, 1, floor, to_new))
    case = f"{changed:,} changed documents of {stored:,}"
    yield back.result(f"checkout back over {case}", AIM)
    yield forth.result(f"checkout forth over {case}", AIM)


def _replacements(collection: Collection[Any], numbers: list[int]) -> list[ReplaceOne[Any]]:
    found = collection.find({"_id": {"$in": numbers}})
    return [ReplaceOne({"_id": document["_id"]}, document) for document in found]


def _both(
    turn: int,
    ours: Any,
    version: int,
    floor: Collection[Any],
    requests: list[ReplaceOne[Any]],
) -> tuple[float, float]:
    return alternate(
        turn,
        lambda: ours.checkout(version, "main"),
        lambda: floor.bulk_write(requests, ordered=False),
        ours.status,  # the oplog has grown by what nobody writes who only checks out
    )
