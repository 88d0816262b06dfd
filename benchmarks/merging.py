"""merge of two branches, and settling many conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from pymongo import ReplaceOne, UpdateOne
from pymongo.database import Database

from benchmarks.data import spread, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, timed, tracked, untracked
from versioned_collection.errors import AutoMergeFailedError


def branches(bench: Bench) -> Iterator[Result]:
    """Compare a merge with a `bulk_write` of the documents that it has to change."""
    stored, changed = bench.count(100_000, 50), bench.count(10_000, 10)
    common = changed // 10
    theirs = spread(changed, stored)
    others = [number + 1 for number in theirs[common:]]
    pairs = Pairs()
    with bench.database() as db:
        ours = tracked(db, stored)
        fork(ours, updates(theirs, 1), _other_updates([*theirs[:common], *others]))
        floor = untracked(db, stored)
        for turn in range(bench.repeat):
            pairs.add(*_merged(db, ours, floor, theirs, turn))
            ours.reset("HEAD~1", hard=True)
    case = f"merge of {changed:,} changed on each side, {common:,} on both, of {stored:,}"
    yield pairs.result(case, Aim(3))


def _merged(
    db: Database[Any], ours: Any, floor: Any, numbers: Sequence[int], turn: int
) -> tuple[float, float]:
    ours.status()  # the oplog has grown by what nobody writes who only merges
    mine = timed(lambda: ours.merge("side"))
    requests = [
        ReplaceOne({"_id": document["_id"]}, {**document, "turn": turn})
        for document in db["parts"].find({"_id": {"$in": list(numbers)}})
    ]
    return mine, timed(lambda: floor.bulk_write(requests, ordered=False))


def conflicts(bench: Bench) -> Iterator[Result]:
    """Compare settling conflicts by one rule with a `bulk_write` of their documents."""
    stored = bench.count(100_000, 50)
    numbers = list(range(stored))
    pairs, listing = Pairs(), Pairs()
    with bench.database() as db:
        ours, floor = at_odds(db, stored), untracked(db, stored)
        with suppress(AutoMergeFailedError):
            ours.merge("side")
        reading = timed(lambda: sum(1 for _ in floor.find_raw_batches()))
        listing.add(timed(lambda: sum(1 for _ in ours.conflicts())), reading)
        requests = _marks(numbers, "settled")
        low = timed(lambda: floor.bulk_write(requests, ordered=False))
        pairs.add(timed(lambda: ours.resolve_conflicts(resolver="theirs")), low)
    yield listing.result(f"listing {stored:,} conflicts, against reading the documents", Aim(20))
    yield pairs.result(f"settling {stored:,} conflicts by one rule", Aim(3))


def at_odds(db: Database[Any], count: int) -> Any:
    """Return a collection whose branches changed one field of each document apart."""
    ours = tracked(db, count)
    numbers = list(range(count))
    fork(ours, _marks(numbers, "theirs"), _marks(numbers, "ours"))
    return ours


def fork(
    collection: Any, theirs: list[UpdateOne], ours: list[UpdateOne], name: str = "side"
) -> None:
    collection.create_branch(name)
    collection.bulk_write(theirs, ordered=False)
    collection.register("theirs")
    collection.checkout(branch="main")
    collection.bulk_write(ours, ordered=False)
    collection.register("ours")


def _other_updates(numbers: Sequence[int]) -> list[UpdateOne]:
    """Return updates of other fields than those of `updates`."""
    return [
        UpdateOne({"_id": number}, {"$set": {"price": number + 0.25, "owner.team": "ours"}})
        for number in numbers
    ]


def _marks(numbers: Sequence[int], mark: str) -> list[UpdateOne]:
    return [UpdateOne({"_id": number}, {"$set": {"name": mark}}) for number in numbers]
