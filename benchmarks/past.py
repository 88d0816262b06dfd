"""at: reading a version beside the present, and making what that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.data import spread, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, alternate, timed, tracked, untracked

GROUPS = 199
"""Values of the indexed field: each finds half a percent of the documents."""


def reads(bench: Bench) -> Iterator[Result]:
    """Compare reads of a version with the same reads of an equal, plain collection."""
    stored, changed = bench.count(100_000, 50), bench.count(10_000, 10)
    with bench.database() as db:
        ours, floor = tracked(db, stored), untracked(db, stored)
        for collection in (db["parts"], floor):
            collection.update_many({}, [{"$set": {"group": {"$mod": ["$_id", GROUPS]}}}])
            collection.create_index("group")
        ours.register("grouped")
        db["parts"].bulk_write(updates(spread(changed, stored), 1), ordered=False)
        ours.register("updated")
        view = ours.at(1)
        view.prepare()
        calls: dict[str, tuple[Callable[[Any, int], Any], Aim]] = {
            "find": (lambda c, n: list(c.find({"group": n})), Aim(3)),
            "sorted find, limit 20": (
                lambda c, n: list(c.find({"group": n}, sort=[("price", 1)], limit=20)),
                Aim(8),
            ),
            "find_one by _id": (lambda c, n: c.find_one({"_id": n}), Aim(8)),
            "count": (lambda c, n: c.count_documents({"group": n}), Aim(15)),
        }
        for name, (call, aim) in calls.items():
            pairs = Pairs()
            for turn in range(-1, bench.repeat * 3):
                both = alternate(turn, lambda: call(view, turn % 7), lambda: call(floor, turn % 7))  # noqa: B023
                if turn >= 0:  # the first round warms up
                    pairs.add(*both)
            case = f"at(): {name}, {changed:,} of {stored:,} touched"
            yield pairs.result(case, aim, "ms", 1000)


def overlays(bench: Bench) -> Iterator[Result]:
    """Compare making an overlay with a checkout of the same path."""
    stored, changed = bench.count(100_000, 50), bench.count(10_000, 10)
    pairs = Pairs()
    with bench.database() as db:
        ours = tracked(db, stored)
        db["parts"].bulk_write(updates(spread(changed, stored), 1), ordered=False)
        ours.register("updated")
        for _ in range(bench.repeat):
            ours.gc()
            made = timed(ours.at(0).prepare)
            pairs.add(made, timed(lambda: ours.checkout(0)))
            ours.checkout("main")
    yield pairs.result(f"at(): making an overlay of {changed:,}, against a checkout", Aim(1.5))
