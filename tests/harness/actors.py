"""What child processes do; each function is a target of `Nursery.start`."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from typing import Any

from pymongo import DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import OperationFailure

from harness.scenarios import LEASE_SECONDS, NAME, SCENARIOS, opened
from harness.trap import Trap, shrink_limits
from versioned_collection.errors import (
    CorruptHistory,
    InvalidOperation,
    LeaseHeld,
    LeaseLost,
    VersioningError,
)

say: Callable[[str], Any] = print
"""Tells the test of an event; set in the child."""


def verb(
    uri: str,
    database: str,
    scenario: str,
    number: int = 0,
    when: str = "after",
    freeze: bool = False,
    large: bool = False,
    only: str = "",
    at_writes: bool = False,
    leases: int = 0,
) -> dict[str, Any]:
    """Call a verb, and die or freeze at one of its commands."""
    if large:
        shrink_limits()
    strike = signal.SIGSTOP if freeze else signal.SIGKILL
    trap = Trap(number, when, strike, only, at_writes, leases)
    with MongoClient(uri, event_listeners=[trap]) as client:
        collection = opened(client[database], lease_seconds=LEASE_SECONDS)
        trap.set()
        SCENARIOS[scenario].act(collection)
    return {"commands": trap.seen}


def register_in(uri: str, database: str, name: str, turns: int) -> None:
    """Change a document of a working copy and register it, over and over."""
    with MongoClient(uri) as client:
        collection = opened(client[database], name, lease_wait_seconds=60.0)
        for turn in range(turns):
            collection.update_one({"_id": 1}, {"$set": {"x": f"{name} {turn}"}})
            assert collection.register(f"{name} {turn}")


class _Signals:
    """SIGTERM ends a writer, SIGUSR1 pauses it, SIGUSR2 lets it go on."""

    def __init__(self) -> None:
        self._over = False
        self._paused = False
        self._wakeup, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.signal(signal.SIGUSR1, lambda *_: self._set_paused(True))
        signal.signal(signal.SIGUSR2, lambda *_: self._set_paused(False))

    def _end(self) -> None:
        self._over = True

    def _set_paused(self, paused: bool) -> None:
        self._paused = paused

    def go_on(self) -> bool:
        """Return whether to write on, after a pause if one is wanted."""
        if self._paused:
            say("paused")
            while self._paused and not self._over:
                os.read(self._wakeup, 100)
            say("resumed")
        return not self._over


def write_all_the_time(uri: str, database: str, writer: int, accounts: int = 0) -> dict[str, int]:
    """Write until SIGTERM; return how much was acknowledged.

    Documents ``sum`` keep ``a + b == sum`` by single writes; transfers between accounts keep
    the total by transactions. Documents ``journal`` are never changed again: each stands for
    an acknowledged insert.
    """
    signals = _Signals()
    chance = random.Random(writer)
    done = {"inserted": 0, "transfers": 0, "refused": 0}
    with MongoClient(uri) as client:
        # half of the writers know nothing of versions
        collection = opened(client[database]) if writer % 2 else client[database][NAME]
        say("ready")
        while signals.go_on():
            number = done["inserted"]
            collection.insert_one(
                {"_id": f"journal {writer} {number}", "a": number, "b": 1, "sum": number + 1}
            )
            done["inserted"] += 1
            _keep_the_sum(collection, chance, writer)
            if accounts:
                moved = _transferred(collection, client, chance, accounts)
                done["transfers" if moved else "refused"] += 1
    return done


def _keep_the_sum(collection: Any, chance: random.Random, writer: int) -> None:
    place = {"_id": f"sum {writer} {chance.randrange(20)}"}
    turn = chance.randrange(4)
    a, b = chance.randrange(100), chance.randrange(100)
    if turn == 0:
        collection.delete_one(place)
    elif turn == 1:
        collection.replace_one(place, {"b": b, "a": a, "sum": a + b}, upsert=True)
    elif turn == 2:
        collection.update_one(place, {"$inc": {"a": a, "sum": a}})
    else:
        collection.update_one(place, {"$inc": {"b": -b, "a": b + 1, "sum": 1}})


def _transferred(
    collection: Any, client: MongoClient[Any], chance: random.Random, accounts: int
) -> bool:
    first, second = chance.sample(range(accounts), 2)
    amount = chance.randrange(1, 50)

    def work(session: Any) -> None:
        for account, change in ((first, -amount), (second, amount)):
            found = collection.update_one(
                {"_id": f"account {account}"}, {"$inc": {"money": change}}, session=session
            )
            assert found.matched_count == 1

    with client.start_session() as session:
        try:
            session.with_transaction(work)
        except OperationFailure:
            return False
    return True


def verbs_all_the_time(uri: str, database: str, turns: int, name: str) -> dict[str, Any]:
    """Write, register and check out again and again; return what was done."""
    registered, held = [], 0
    with MongoClient(uri) as client:
        collection = opened(client[database], lease_wait_seconds=0.05)
        say("ready")
        for turn in range(turns):
            client[database][NAME].insert_one({"_id": f"{name} {turn}"})
            while True:
                try:
                    if collection.register(f"{name} {turn}", f"{name}{turn}"):
                        registered.append(f"{name} {turn}")
                    break
                except LeaseHeld:
                    held += 1
            try:
                collection.checkout("HEAD")
                collection.has_changes()
            except LeaseHeld:
                held += 1
            except InvalidOperation:
                pass
    return {"registered": registered, "held": held}


def merge_all_the_time(uri: str, database: str, turns: int, name: str) -> dict[str, Any]:
    """Use the verbs of merging in turn, whatever another process does to HEAD meanwhile."""
    chance = random.Random(name)
    done: dict[str, Any] = {"registered": [], "carried out": {}, "refused": 0, "held": 0}
    with MongoClient(uri) as client:
        collection = opened(client[database], lease_wait_seconds=0.05)
        say("ready")
        for turn in range(turns * len(_MERGING)):
            verb, act = chance.choice(list(_MERGING.items()))
            text = f"{name} {turn}"
            client[database][NAME].update_one(
                {"_id": chance.randrange(6)}, {"$set": {"x": text}}, upsert=True
            )
            try:
                if act(collection, text) and verb == "register":
                    done["registered"].append(text)
                done["carried out"][verb] = done["carried out"].get(verb, 0) + 1
            except LeaseHeld:
                done["held"] += 1
            except (CorruptHistory, LeaseLost):
                raise
            except VersioningError:
                done["refused"] += 1
    return done


def _clean(act: Callable[[Any], Any]) -> Callable[[Any, str], Any]:
    """Return a verb that begins with a clean collection, if it can."""

    def acting(collection: Any, text: str) -> Any:
        collection.register(f"before {text}", f"at {text}")
        return act(collection)

    return acting


_MERGING: dict[str, Callable[[Any, str], Any]] = {
    "register": lambda c, text: c.register(text, f"detached {text}"),
    "create_branch": lambda c, text: c.create_branch(text),
    "checkout": _clean(lambda c: c.checkout(sorted(c.branches())[0])),
    "merge": _clean(lambda c: c.merge(sorted(c.branches())[-1])),
    "merge theirs": _clean(lambda c: c.merge(sorted(c.branches())[-1], resolver="theirs")),
    "cherry_pick": _clean(lambda c: c.cherry_pick("HEAD~1", resolver="ours")),
    "revert": _clean(lambda c: c.revert("HEAD", resolver="theirs")),
    "reset": lambda c, text: c.reset("HEAD~1", hard=len(text) % 2 == 0),
    "undo": _clean(lambda c: c.undo()),
    "resolve_conflicts": lambda c, text: c.resolve_conflicts(resolver="theirs"),
    "abort_merge": lambda c, text: c.abort_merge(),
    "stash": lambda c, text: c.stash(push=True) and c.stash_apply(merge=True),
}


def init(uri: str, database: str) -> bool:
    """Start to track a collection."""
    with MongoClient(uri) as client:
        say("ready")
        opened(client[database]).init()
    return True


def write_and_exit(uri: str, database: str, count: int) -> None:
    """Insert documents and leave without a word."""
    client: MongoClient[Any] = MongoClient(uri)
    opened(client[database]).insert_many([{"_id": f"fleeting {i}"} for i in range(count)])
    os._exit(0)


def write_and_die(uri: str, database: str, method: str, only: str, when: str) -> None:
    """Call one write method, and die at a command of it."""
    trap = Trap(1, when, signal.SIGKILL, only)
    with MongoClient(uri, event_listeners=[trap]) as client:
        collection = opened(client[database])
        trap.set()
        WRITES[method](collection)


def _bulk(collection: Any) -> Any:
    return collection.bulk_write(
        [
            InsertOne({"_id": "bulk"}),
            UpdateOne({"_id": 1}, {"$set": {"bulk": 1}}),
            UpdateMany({"x": {"$gte": 3}}, {"$set": {"bulk": 2}}),
            ReplaceOne({"x": 0}, {"replaced": True}),
            DeleteOne({"_id": 2}),
        ]
    )


WRITES: dict[str, Callable[[Any], Any]] = {
    "insert_one": lambda c: c.insert_one({"_id": "one"}),
    "insert_one without id": lambda c: c.insert_one({"x": "one"}),
    "insert_many": lambda c: c.insert_many([{"_id": "a"}, {"x": "b"}]),
    "update_one by id": lambda c: c.update_one({"_id": 1}, {"$set": {"y": 1}}),
    "update_one": lambda c: c.update_one({"x": {"$gt": 2}}, {"$set": {"y": 1}}),
    "update_one upsert by id": lambda c: c.update_one(
        {"_id": "up"}, {"$set": {"y": 1}}, upsert=True
    ),
    "update_one upsert": lambda c: c.update_one({"x": 99}, {"$set": {"y": 1}}, upsert=True),
    "update_one upsert that finds": lambda c: c.update_one(
        {"x": 3}, {"$set": {"y": 1}}, upsert=True
    ),
    "update_many": lambda c: c.update_many({"x": {"$gt": 1}}, {"$inc": {"x": 100}}),
    "update_many upsert": lambda c: c.update_many({"x": 99}, {"$set": {"y": 1}}, upsert=True),
    "update_many by pipeline": lambda c: c.update_many({}, [{"$set": {"y": "$x"}}]),
    "replace_one": lambda c: c.replace_one({"x": 3}, {"new": 1}),
    "replace_one upsert": lambda c: c.replace_one({"x": 99}, {"new": 1}, upsert=True),
    "delete_one": lambda c: c.delete_one({"x": {"$gte": 2}}),
    "delete_many": lambda c: c.delete_many({"x": {"$gte": 2}}),
    "delete_many of all": lambda c: c.delete_many({}),
    "find_one_and_update": lambda c: c.find_one_and_update(
        {"x": {"$gte": 1}}, {"$set": {"y": 1}}, sort=[("x", -1)]
    ),
    "find_one_and_update upsert": lambda c: c.find_one_and_update(
        {"x": 99}, {"$set": {"y": 1}}, upsert=True, return_document=True
    ),
    "find_one_and_replace": lambda c: c.find_one_and_replace({"x": 2}, {"new": 1}),
    "find_one_and_replace upsert": lambda c: c.find_one_and_replace(
        {"x": 99}, {"new": 1}, upsert=True
    ),
    "find_one_and_delete": lambda c: c.find_one_and_delete({"x": {"$lte": 3}}, sort=[("x", -1)]),
    "bulk_write": _bulk,
    "$out": lambda c: list(
        c.aggregate(pipeline=[{"$match": {"x": {"$lt": 3}}}, {"$out": c.name}])
    ),
    "$merge": lambda c: list(
        c.aggregate(
            pipeline=[{"$set": {"merged": 1}}, {"$merge": {"into": c.name}}],
        )
    ),
}
"""Every write method of PyMongo, on documents ``{_id: i, x: i}`` with i from 0 to 4."""
