"""Looking at the working copy: status and diff of few changes, and the full comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pymongo.collection import Collection

from benchmarks.data import spread, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, alternate, timed, tracked

FEW = 10


def status_and_diff(bench: Bench) -> Iterator[Result]:
    """Compare status and diff in a large collection with the same in a small one."""
    large, small = bench.count(100_000, 50), bench.count(1_000, 20)
    calls: dict[str, Callable[[Any], Any]] = {
        "status": lambda collection: collection.status(),
        "diff": lambda collection: collection.diff(),
    }
    yield _against(f"status, first after init, of {large:,}", small, _first(bench, large, small))
    with bench.database() as db:
        of_large, of_small = tracked(db, large, "large"), tracked(db, small, "small")
        for one in (of_large, of_small):
            one.status()
        for name, call in calls.items():
            just, again = Pairs(), Pairs()
            for turn in range(-1, bench.repeat * 3):
                of_large.bulk_write(updates(spread(FEW, large), turn))
                of_small.bulk_write(updates(spread(FEW, small), turn))
                both = alternate(turn, lambda: call(of_large), lambda: call(of_small))  # noqa: B023
                more = alternate(turn, lambda: call(of_large), lambda: call(of_small))  # noqa: B023
                if turn >= 0:  # the first round warms up
                    just.add(*both)
                    again.add(*more)
            yield _against(f"{name}, {FEW} just changed of {large:,}", small, just)
            yield _against(f"{name}, {FEW} changed of {large:,}, second look", small, again)


def _first(bench: Bench, large: int, small: int) -> Pairs:
    """Look right after `init`: what anybody writes in between would have to be looked through."""
    pairs = Pairs()
    for turn in range(-1, bench.repeat):
        taken = {}
        for count in (large, small) if turn % 2 else (small, large):
            with bench.database() as db:
                taken[count] = timed(tracked(db, count).status)
        if turn >= 0:  # the first round warms up
            pairs.add(taken[large], taken[small])
    return pairs


def _against(case: str, small: int, pairs: Pairs) -> Result:
    return pairs.result(f"{case}, against of {small:,}", Aim(1.3), "ms", 1000)


def full_comparison(bench: Bench) -> Iterator[Result]:
    """Compare a scan of a clean collection with a bare read of it and of an equal one."""
    stored = bench.count(100_000, 50)
    calls = {"has_changes": lambda c: c.has_changes(), "status": lambda c: c.status()}
    with bench.database() as db:
        collection = tracked(db, stored, capture="scan")
        for name, call in calls.items():
            pairs = Pairs()
            for turn in range(bench.repeat):
                ours, floor = alternate(
                    turn,
                    lambda: call(collection),  # noqa: B023
                    lambda: (_read(db["parts"]), _read(db["__replica_parts"])),
                )
                pairs.add(stored / ours, stored / floor)
            yield pairs.result(
                f"{name} by full comparison of {stored:,}, against reading both",
                Aim(50_000, "ours", at_least=True),
                "documents/s",
            )


def _read(collection: Collection[Any]) -> None:
    for _ in collection.find_raw_batches({}, batch_size=20_000):
        pass
