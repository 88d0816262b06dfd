"""push and pull: a first copy, and one version more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pymongo import ReplaceOne
from pymongo.collection import Collection

from benchmarks.data import spread, updates
from benchmarks.harness import Aim, Bench, Pairs, Result, timed, tracked, untracked
from versioned_collection import VersionedCollection

_BATCH = 10_000


def first_push(bench: Bench) -> Iterator[Result]:
    """Compare a first push, and a clone, with reading all documents and inserting them."""
    stored = bench.count(100_000, 50)
    pushes, clones = Pairs(), Pairs()
    with bench.database() as db:
        ours = tracked(db, stored)
        for _ in range(bench.repeat):
            with bench.database() as one, bench.database() as two, bench.database() as raw:
                floor = timed(partial(_copy, db["parts"], raw["parts"]))
                pushes.add(timed(partial(ours.push, one)), floor)
                floor = timed(partial(_copy, db["parts"], raw["again"]))
                copy = VersionedCollection(two, "parts")
                clones.add(timed(partial(copy.pull, ours)), floor)
    yield pushes.result(f"first push of {stored:,}, against reading and inserting", Aim(3))
    yield clones.result(f"clone of {stored:,}, against reading and inserting", Aim(3))


def _copy(source: Collection[Any], target: Collection[Any]) -> None:
    batch = []
    for document in source.find():
        batch.append(document)
        if len(batch) == _BATCH:
            target.insert_many(batch, ordered=False)
            batch = []
    if batch:
        target.insert_many(batch, ordered=False)


def one_version(bench: Bench) -> Iterator[Result]:
    """Compare bringing one version to the other side with a `bulk_write` of its documents."""
    changed = bench.count(1_000, 10)
    small, large = bench.count(10_000, 20), bench.count(100_000, 50)
    for name, bring in (("push", _push), ("pull", _pull)):
        few, many = (_pairs(bench, changed, stored, bring) for stored in (small, large))
        yield many.result(f"{name} of {changed:,} changed of {large:,}", Aim(3))
        grown = Pairs(many.ours, few.ours)
        yield grown.result(f"{name} of {changed:,} changed of {large:,} or {small:,}", Aim(1.3))


Bring = Callable[[VersionedCollection, VersionedCollection], Any]


def _push(ours: VersionedCollection, theirs: VersionedCollection) -> Any:
    return ours.push(theirs)


def _pull(ours: VersionedCollection, theirs: VersionedCollection) -> Any:
    return theirs.pull(ours)


def _pairs(bench: Bench, changed: int, stored: int, bring: Bring) -> Pairs:
    pairs = Pairs()
    with bench.database() as here, bench.database() as there:
        ours, floor = tracked(here, stored), untracked(there, stored)
        theirs = VersionedCollection(there, "parts")
        ours.push(theirs)
        numbers = spread(changed, stored)
        for turn in range(bench.repeat):
            ours.bulk_write(updates(numbers, turn + 1), ordered=False)
            ours.register(f"turn {turn}")
            found = ours.find({"_id": {"$in": list(numbers)}})
            requests = [ReplaceOne({"_id": document["_id"]}, document) for document in found]
            low = timed(partial(floor.bulk_write, requests, ordered=False))
            theirs.status()  # the oplog has grown by what another deployment would not see
            pairs.add(timed(partial(bring, ours, theirs)), low)
    return pairs
