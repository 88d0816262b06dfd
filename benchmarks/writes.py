"""Plain reads and writes through the wrapper of a tracked collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

from pymongo.collection import Collection

from benchmarks.data import document, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, tracked, untracked

AIM = Aim(1.05)
_BATCH = 100

Operation = Callable[[Collection[Any], int], Any]


def plain(bench: Bench) -> Iterator[Result]:
    """Compare each call with the same call on an equal collection that is not tracked."""
    stored = bench.count(10_000, 100)
    calls = bench.count(300, 10)
    operations: list[tuple[str, Operation, int]] = [
        ("insert_one", _insert_one(stored), calls),
        (f"insert_many of {_BATCH}", _insert_many(stored * 1_000), max(calls // 10, 5)),
        ("update_one", _update_one(stored), calls),
        (f"bulk_write of {_BATCH}", _bulk_write(stored), max(calls // 10, 5)),
        ("find_one", _find_one(stored), calls * 4),
    ]
    with bench.database() as db:
        ours, floor = tracked(db, stored), untracked(db, stored)
        for name, operation, times in operations:
            yield _compare(bench, name, operation, times, ours, floor)


def _compare(
    bench: Bench,
    name: str,
    operation: Operation,
    times: int,
    ours: Collection[Any],
    floor: Collection[Any],
) -> Result:
    """Call both in alternation; each repetition counts with the medians of its calls."""
    pairs = Pairs()
    number = 0
    for _ in range(bench.repeat):
        taken: dict[str, list[float]] = {"ours": [], "floor": []}
        for turn in range(times):
            number += 1
            sides = [("ours", ours), ("floor", floor)]
            for side, collection in sides if turn % 2 else sides[::-1]:
                taken[side].append(_seconds(operation, collection, number))
        pairs.add(median(taken["ours"]), median(taken["floor"]))
    return pairs.result(f"{name} through the wrapper", AIM, "ms", 1000)


def _seconds(operation: Operation, collection: Collection[Any], number: int) -> float:
    start = perf_counter()
    operation(collection, number)
    return perf_counter() - start


def _insert_one(stored: int) -> Operation:
    return lambda collection, number: collection.insert_one(document(stored + number))


def _insert_many(start: int) -> Operation:
    def insert(collection: Collection[Any], number: int) -> None:
        first = start + number * _BATCH
        collection.insert_many([document(one) for one in range(first, first + _BATCH)])

    return insert


def _update_one(stored: int) -> Operation:
    return lambda collection, number: collection.update_one(
        {"_id": number % stored}, {"$set": {"stock": number}, "$inc": {"price": 1.5}}
    )


def _bulk_write(stored: int) -> Operation:
    return lambda collection, number: collection.bulk_write(
        updates([(number * _BATCH + one) % stored for one in range(_BATCH)], number)
    )


def _find_one(stored: int) -> Operation:
    return lambda collection, number: collection.find_one({"_id": number * 7 % stored})
