"""Long histories: far ways, and what should not notice how long the history is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from pymongo import ReplaceOne

from benchmarks.data import updates
from benchmarks.harness import Aim, Bench, Pairs, Result, alternate, timed, tracked, untracked

CHANGES = 10
"""Documents that each version changes."""

SHORT = 20
"""Versions of the history that serves as a floor."""


def of_a_thousand(bench: Bench) -> Iterator[Result]:
    """Measure 1,000 versions of as many documents."""
    yield from _measured(bench, 1_000)


def of_ten_thousand(bench: Bench) -> Iterator[Result]:
    """Measure 10,000 versions of as many documents."""
    yield from _measured(bench, 10_000)


def _measured(bench: Bench, full: int) -> Iterator[Result]:
    count = bench.count(full, 40)
    with bench.database() as db:
        ours, floor = tracked(db, count), untracked(db, count)
        short = tracked(db, count, "short")
        _lengthen(short, count, SHORT)
        _lengthen(ours, count, count)
        name = f"{count:,} versions of {CHANGES} changes, {count:,} documents"
        yield from _far_ways(bench, ours, floor, count, name)
        yield from _near(bench, ours, short, name)
        yield _storage(ours, name)


def _lengthen(collection: Any, documents: int, versions: int) -> None:
    """Register versions that come to each document once in a while, in no order."""
    chance = random.Random(1)
    waiting: list[int] = []
    for turn in range(versions):
        if len(waiting) < CHANGES:
            waiting = chance.sample(range(documents), documents)
        some, waiting = waiting[:CHANGES], waiting[CHANGES:]
        collection.bulk_write(updates(some, turn + 1), ordered=False)
        collection.register(f"turn {turn}")


def _far_ways(bench: Bench, ours: Any, floor: Any, count: int, name: str) -> Iterator[Result]:
    replaces = [ReplaceOne({"_id": one["_id"]}, one) for one in ours.find()]
    first = [ReplaceOne({"_id": one["_id"]}, one) for one in floor.find()]
    floor.bulk_write(replaces, ordered=False)  # else its first way back would change nothing
    back, forth, middle = Pairs(), Pairs(), Pairs()
    tip = ours.version
    for turn in range(bench.repeat):
        for pairs, version, requests in ((back, 0, first), (forth, tip, replaces)):
            pairs.add(
                *alternate(
                    turn,
                    lambda: ours.checkout(version, "main"),  # noqa: B023
                    lambda: floor.bulk_write(requests, ordered=False),  # noqa: B023
                )
            )
        ours._repository.overlays.remove_all()
        made = timed(ours.at(count // 2).prepare)
        middle.add(made, timed(lambda: ours.checkout(count // 2, "main")))
        ours.checkout(branch="main")
    yield back.result(f"checkout back over {name}", Aim(4))
    yield forth.result(f"checkout forth over {name}", Aim(4))
    yield middle.result(f"at(): making an overlay of the middle of {name}", Aim(1.5))


def _near(bench: Bench, ours: Any, short: Any, name: str) -> Iterator[Result]:
    calls: dict[str, Callable[[Any], Any]] = {
        "log(limit=20)": lambda c: list(c.log(limit=20)),
        "status": lambda c: c.status(),
        "history of a document": lambda c: list(c.history(7)),
        "blame of a document": lambda c: c.blame(7),
    }
    for verb, call in calls.items():
        pairs = Pairs()
        for turn in range(-1, bench.repeat * 3):
            both = alternate(turn, lambda: call(ours), lambda: call(short))  # noqa: B023
            if turn >= 0:  # the first round warms up
                pairs.add(*both)
        case = f"{verb}, {name}, against {SHORT} versions"
        yield pairs.result(case, Aim(50, "ours"), "ms", 1000)


def _storage(ours: Any, name: str) -> Result:
    ours.database.client.admin.command("fsync")
    sizes = ours.size()
    spans, deltas = sizes["spans"] / 1e6, sizes["deltas"] / 1e6
    return Result(f"spans on disk, against deltas, of {name}", "MB", [spans], [deltas], Aim(1))
