"""A version is read while others write, register and check versions out, and are killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from api_support import RAW, grown, problems, step
from harness import Nursery, nursery
from harness.ledger import ACCOUNTS, MONEY, Writers, ledger
from harness.scenarios import NAME, NEW_NAME, SCENARIOS, attempt, opened, prepare, read_all
from pymongo.database import Database

from versioned_collection import PastCollection, VersionedCollection, errors
from versioned_collection.core.delta import hash_number
from versioned_collection.core.document import document_hash
from versioned_collection.core.version import fingerprint_text
from versioned_collection.past import building

VERSIONS = 4


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


def _history(database: Database[Any]) -> VersionedCollection:
    """Return a ledger with main@0 to main@3, each of which moved money."""
    collection = ledger(database, ACCOUNTS)
    for number in range(1, VERSIONS):
        for account, change in ((number, -7 * number), (number + 1, 7 * number)):
            collection.update_one({"_id": f"account {account}"}, {"$inc": {"money": change}})
        collection.insert_many([{"_id": f"v{number} {n}", "a": 1, "sum": 1} for n in range(30)])
        collection.delete_many({"_id": {"$regex": f"^v{number - 1} "}})
        collection.register(f"v{number}")
    return collection


def _fingerprint(view: PastCollection, **find: Any) -> str:
    total = sum(hash_number(document_hash(bytes(one.raw))) for one in view.find(**find))
    return fingerprint_text(total % (1 << 256))


def _check(view: PastCollection) -> None:
    """Check that every way of reading gives all of the version, and nothing else."""
    expected = view.version.fingerprint
    assert _fingerprint(view) == expected
    assert _fingerprint(view, sort=[("money", 1), ("_id", -1)]) == expected
    assert _fingerprint(view, batch_size=25) == expected
    total = {"$group": {"_id": None, "money": {"$sum": "$money"}}}
    summed = view.aggregate([{"$match": {"money": {"$exists": True}}}, total])
    assert next(summed)["money"] == ACCOUNTS * MONEY
    assert view.count_documents({"money": {"$exists": True}}) == ACCOUNTS
    assert len(view.distinct("_id", {"money": {"$exists": True}})) == ACCOUNTS


def _races(
    children: Nursery, uri: str, database: Database[Any], seconds: float, **others: Any
) -> int:
    _history(database)
    reader = opened(database, NAME, codec_options=RAW)
    turns = late = 0
    writers = Writers(children, uri, database, ACCOUNTS)
    traveller = children.start(
        "travellers.travel_all_the_time",
        uri=uri,
        database=database.name,
        versions=VERSIONS,
        **others,
    )
    traveller.ready()
    is_paused = False
    end = time.monotonic() + seconds
    while time.monotonic() < end or turns < VERSIONS:
        if turns % 3 == 0:
            reader._planner.forget()  # as a process that has just begun
            is_paused = not is_paused  # while somebody writes, nobody can check out
            writers.pause() if is_paused else writers.resume()
        try:
            _check(reader.at("HEAD" if turns % 4 == 0 else f"main@{turns % VERSIONS}"))
            turns += 1
        except (errors.SnapshotUnavailable, errors.LeaseHeld):
            late += 1  # told, and not given something else
            turns += late % 3 == 0
            assert late < 20
    if is_paused:
        writers.resume()
    outcome = traveller.stop()
    writers.stop()
    assert outcome["error"] is None, outcome
    assert outcome["result"]["checked out"] > 0, outcome
    reader.discard_changes()
    assert problems(reader) == []
    return turns


def test_others_write_and_check_out(db, server, children):
    assert _races(children, server.uri, db, 3.0) >= VERSIONS


@pytest.mark.sweep
def test_others_write_and_check_out_for_long(db, server, children):
    assert _races(children, server.uri, db, 90.0) >= 2 * VERSIONS


@pytest.mark.sweep
def test_others_write_and_check_out_in_several_steps(db, server, children):
    assert _races(children, server.uri, db, 60.0, large=True) >= VERSIONS


def test_a_large_checkout_that_was_killed_is_ended_first(db, server, children):
    bands = grown(db, lease_seconds=0.5)
    bands.insert_many([{"_id": n} for n in range(10, 20)])
    bands.register("many")
    view = bands.at("main@1")
    scene = {"uri": server.uri, "database": db.name, "name": "bands"}
    outcome = children.run("travellers.die_in_a_checkout", revision="main@0", **scene)
    assert outcome["signal"] is not None
    assert db["__metadata_bands"].find_one({"_id": "working_copy"})["intent"] is not None
    assert view.count_documents({}) == 3
    assert bands.at("main@4").count_documents({}) == 13
    assert bands.resolve("HEAD").label == "main@0"
    assert problems(bands) == []


def test_a_half_made_overlay_is_never_read(db, server, children):
    bands = grown(db, lease_seconds=0.5)
    bands.create_index("name")
    bands.insert_many([{"_id": n} for n in range(10, 20)])
    bands.register("many")
    scene = {"uri": server.uri, "database": db.name, "name": "bands"}
    for place in ("create __past_bands.", "insert __past_bands.", "createIndexes __past_bands."):
        outcome = children.run("travellers.die_in_a_read", revision="main@0", only=place, **scene)
        assert outcome["signal"] is not None, place
        assert [one.ready for one in bands._repository.overlays.all()] in ([], [False])
        assert VersionedCollection(db, "bands").at("main@4").count_documents({}) == 13
        assert bands.at("main@0").count_documents({}) == 3
        names = [name for name in db.list_collection_names() if name.startswith("__past_bands.")]
        assert len(names) == 1, place
        assert problems(bands) == []
        bands.gc()


def test_two_make_the_same_overlay(db):
    bands = grown(db)
    other = VersionedCollection(db, "bands")
    for collection in (bands, other):
        collection.at("main@0").prepare()
    step(bands, 4)
    for collection in (other, bands):
        collection.at("main@0").prepare()
        assert collection.at("main@0").find_one(1).get("mark") is None
    assert len(bands._repository.overlays.all()) == 1


def test_what_is_known_is_read_while_another_thread_makes_an_overlay(db, monkeypatch):
    bands = grown(db)
    known, asked, go_on = bands.at(1), threading.Event(), threading.Event()
    documents = list(known.find())

    def waiting(*args: Any, **options: Any) -> None:
        asked.set()
        assert go_on.wait(60)
        building.prepare(*args, **options)

    monkeypatch.setattr("versioned_collection.past.plan.prepare", waiting)
    with ThreadPoolExecutor(2) as pool:
        try:
            making = pool.submit(list, bands.at(0).find())
            assert asked.wait(60)
            assert pool.submit(list, known.find()).result(20) == documents
        finally:
            go_on.set()
        assert len(making.result(60)) == 3


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS)
def test_all_versions_are_read_after_any_verb(anydb, name):
    scenario = SCENARIOS[name]
    prepare(scenario, anydb)
    attempt(scenario.act, opened(anydb))
    for collection in (opened(anydb, NAME), opened(anydb, NEW_NAME)):
        if collection.is_tracked():
            read_all(collection)
            anydb[collection.name].insert_one({"_id": "more"})
            anydb[collection.name].delete_one({"x": {"$exists": True}})
            read_all(opened(anydb, collection.name))
            assert problems(collection) == []
