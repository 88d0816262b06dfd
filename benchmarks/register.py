"""register, of many changes and of few in a large collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.data import spread, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, timed, tracked

FEW = 10


def many(bench: Bench) -> Iterator[Result]:
    """Compare register with the `bulk_write` of the application that made the changes."""
    stored, changed = bench.count(100_000, 50), bench.count(10_000, 10)
    pairs = Pairs()
    with bench.database() as db:
        collection = tracked(db, stored)
        for turn in range(bench.repeat):
            requests = updates(spread(changed, stored), turn)
            floor = timed(lambda r=requests: db["parts"].bulk_write(r, ordered=False))
            pairs.add(timed(lambda t=turn: collection.register(f"turn {t}")), floor)
    yield pairs.result(f"register {changed:,} updated of {stored:,}", Aim(1.5))


def few(bench: Bench) -> Iterator[Result]:
    """Compare register of few changes in a large collection with the same in a small one."""
    large, small = bench.count(100_000, 50), bench.count(1_000, 20)
    pairs = Pairs()
    with bench.database() as db:
        of_large, of_small = tracked(db, large, "large"), tracked(db, small, "small")
        for turn in range(-1, bench.repeat * 3):
            low = _register_few(of_small, small, turn)
            seconds = _register_few(of_large, large, turn)
            if turn >= 0:  # the first round warms up
                pairs.add(seconds, low)
    case = f"register {FEW} updated of {large:,}, against of {small:,}"
    yield pairs.result(case, Aim(1.3), "ms", 1000)


def _register_few(collection: Any, stored: int, turn: int) -> float:
    collection.bulk_write(updates(spread(FEW, stored), turn))
    return timed(lambda: collection.register(f"turn {turn}"))
