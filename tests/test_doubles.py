"""mongomock in the place of a server: what programs are unit-tested with."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import bson
import mongomock
import pymongo
import pytest
from api_support import BANDS, everything, grown, mark, problems, raws
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from mongomock_motor import AsyncMongoMockClient
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from versioned_collection import AsyncVersionedCollection, VersionedCollection, errors
from versioned_collection.core.document import build, key_of
from versioned_collection.core.guard import exactly, expected_by
from versioned_collection.doubles import engine
from versioned_collection.doubles.order import sorted_by

EXACT = {
    "_id": {"b": 1, "a": Int64(1)},
    "long": Int64(5),
    "double": 5.0,
    "zero": -0.0,
    "decimal": Decimal128("1.10"),
    "date": datetime(2026, 1, 31, 12, 0, 0, 5000),
    "far": DatetimeMS(253402300800000),
    "binary": Binary(b"abc", 128),
    "uuid": Binary(bytes(16), 4),
    "text": "ü",
    "order": {"z": 1, "a": [1, {"y": None, "x": True}]},
    "regex": Regex("^a", "im"),
    "time": Timestamp(3, 4),
    "zero time": Timestamp(0, 0),
    "keys": [MinKey(), MaxKey()],
    "id": ObjectId(),
    "a.b": 1,
}


@pytest.fixture
def mock():
    """A database of mongomock."""
    return mongomock.MongoClient()["music"]


@pytest.fixture
def bands(mock):
    """A collection of mongomock at main@0."""
    found = VersionedCollection(mock, "bands")
    found.insert_many(map(dict, BANDS))
    found.init("start")
    return found


# -- what it takes ---------------------------------------------------------------------------


class Bands(VersionedCollection):
    """A subclass, as programs define it."""


def test_a_database_or_a_collection(mock):
    for found in (
        VersionedCollection(mock, "bands"),
        VersionedCollection(mock["bands"]),
        VersionedCollection(database=mock.bands),
        Bands(mock),
    ):
        assert isinstance(found, Collection)
        assert found.name == "bands"
        assert found.capture_mode == "write_through"
    with pytest.raises(errors.InvalidArgument, match="name the collection"):
        VersionedCollection(mock)
    with pytest.raises(errors.InvalidType, match="not MongoClient"):
        VersionedCollection(mongomock.MongoClient(), "bands")
    assert mock.list_collection_names() == []


def test_both_see_the_same_documents(mock, bands):
    bands.insert_one({"_id": 9, "name": "Elastica"})
    assert mock.bands.find_one({"_id": 9}) == {"_id": 9, "name": "Elastica"}
    mock.bands.insert_one({"name": "Sleeper", "_id": 10})
    assert list(bands.find_one({"_id": 10})) == ["_id", "name"]
    assert (
        VersionedCollection(mongomock.MongoClient(_store=mock.client._store).music.bands) == bands
    )


def test_other_clients_of_mongomock_are_noticed_by_comparison(mock, bands):
    assert not bands.has_changes()
    mock.bands.update_one({"_id": 1}, {"$set": {"mark": 1}})
    assert not bands.has_changes()
    scanning = VersionedCollection(mock, "bands", capture="scan")
    assert scanning.status()["changes"]["updated"] == 1
    scanning.register("noticed")
    scanning.checkout("main~1")
    assert "mark" not in mock.bands.find_one({"_id": 1})


def test_time_zones(mock):
    aware = mongomock.MongoClient(tz_aware=True)["music"]
    for database in (mock, aware):
        bands = VersionedCollection(database, "bands")
        time = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
        bands.insert_one({"_id": 1, "t": time})
        bands.init()
        is_aware = database is aware
        for found in (bands.find_one(1)["t"], bands.get_log()[0].timestamp):
            assert (found.tzinfo is not None) == is_aware


# -- what it does ----------------------------------------------------------------------------


def test_a_history(bands):
    bands.update_one({"_id": 1}, {"$push": {"members": "Russell"}})
    assert list(bands.diff()) == [1]
    bands.register("one more")
    bands.tag("v1")
    bands.create_branch("dev")
    bands.delete_one({"_id": 2})
    bands.insert_one({"_id": 4, "name": "Elastica"})
    bands.register("another")
    bands.checkout("main")
    bands.update_one({"_id": 3}, {"$inc": {"since.year": -1}})
    bands.register("earlier")
    bands.merge("dev")
    assert {one["_id"] for one in bands.find()} == {1, 3, 4}
    bands.update_many({}, {"$set": {"x": 1}})
    bands.stash()
    assert not bands.has_changes()
    bands.stash_apply()
    assert bands.status()["changes"]["updated"] == 3
    bands.discard_changes()
    found = bands.at("v1").find({"name": {"$lt": "Q"}}, sort={"name": -1})
    assert [one["name"] for one in found] == ["Pulp", "Blur"]
    assert next(bands.log()).message == "Merge dev into main"
    assert [one.version.label for one in bands.history(1)] == ["main@1", "main@0"]
    assert problems(bands) == []


def test_documents_come_back_to_the_byte(mock):
    bands = VersionedCollection(mock, "bands")
    bands.insert_one(EXACT)
    assert raws(bands) == [bson.encode(EXACT)]
    bands.init()
    bands.replace_one({"_id": EXACT["_id"]}, {"gone": True})
    bands.register("other")
    bands.checkout("main~1")
    assert raws(bands) == [bson.encode(EXACT)]
    lossless = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    assert bands.with_options(lossless).find_one({}) == EXACT
    assert problems(bands) == []


def test_ids_that_python_takes_for_others(mock):
    bands = VersionedCollection(mock, "bands")
    ids = [1, True, "1", {"a": 1}, {"a": True}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, None]
    bands.insert_many([{"_id": one, "n": n} for n, one in enumerate(ids)])
    bands.init()
    for n, one in enumerate(ids):
        assert bands.find_one({"_id": one})["n"] == n
        bands.update_one({"_id": {"$eq": one}}, {"$set": {"m": n}})
        bands.register(str(n))
    for n, one in enumerate(ids):
        assert [step.version.message for step in bands.history(one)] == [str(n), "Initial version"]
    for twin in (1.0, Int64(1), Decimal128("1"), {"a": 1.0}):
        with pytest.raises(OperationFailure, match="E11000"):
            bands.insert_one({"_id": twin})
    assert problems(bands) == []


def test_mongomock_finds_what_was_put_in(mock):
    bands = VersionedCollection(mock, "bands")
    for id_ in (True, {"a": 1}, "x"):
        bands.insert_one({"_id": id_})
        assert mock.bands.find_one({"_id": id_}) == {"_id": id_}
        mock.bands.delete_one({"_id": id_})
        assert bands.find_one({"_id": id_}) is None


@pytest.mark.parametrize(
    "raw",
    [
        build(b"\x10_id\0\x09\0\0\0", b"\x0es\0\x02\0\0\0x\0"),  # a symbol
        build(b"\x10_id\0\x09\0\0\0", b"\x10a\0\x01\0\0\0", b"\x10a\0\x02\0\0\0"),
        build(b"\x10_id\0\x09\0\0\0", b"\x02s\0\x02\0\0\0\xff\0"),  # no UTF-8
    ],
)
def test_what_python_cannot_hold_is_refused(mock, db, bands, raw):
    before = everything(bands.database)
    with pytest.raises(OperationFailure, match="cannot hold this document exactly"):
        bands.insert_one(RawBSONDocument(raw))
    if b"\xff" not in raw:  # which PyMongo itself refuses here
        with pytest.raises(OperationFailure, match="cannot hold this document exactly"):
            bands.replace_one({"_id": 1}, RawBSONDocument(raw.replace(b"\x09", b"\x01", 1)))
        nameless = RawBSONDocument(build(raw[13:-1]))
        for upsert in (False, True):
            with pytest.raises(OperationFailure, match="cannot hold this document exactly"):
                bands.replace_one({"_id": 1 + 9 * upsert}, nameless, upsert=upsert)
            with pytest.raises(OperationFailure, match="cannot hold this document exactly"):
                bands.update_one({"_id": 1 + 9 * upsert}, {"$set": {"a": nameless}}, upsert=upsert)
    settled = {name: found for name, found in before.items() if "journal" not in name}
    assert settled.items() <= everything(bands.database).items()

    real = VersionedCollection(db, "bands")
    real.insert_one(RawBSONDocument(raw))
    real.init()
    empty = mongomock.MongoClient()["other"]
    with pytest.raises(errors.DocumentRejected, match="cannot hold this document exactly"):
        VersionedCollection.clone(real, empty, "bands")
    assert not VersionedCollection(empty, "bands").is_tracked()


def test_a_pull_of_what_python_cannot_hold_changes_nothing(db, bands):
    real = VersionedCollection.clone(bands, db, "bands")
    real.insert_one(RawBSONDocument(build(b"\x10_id\0\x09\0\0\0", b"\x0es\0\x02\0\0\0x\0")))
    real.register("a symbol")
    for _ in range(2):
        with pytest.raises(errors.DocumentRejected, match="cannot hold this document exactly"):
            bands.pull(real)
        assert not bands.has_changes()
        assert [one.message for one in bands.log()] == ["start"]
    assert problems(bands) == []
    bands.insert_one({"_id": 5})
    assert bands.register("goes on")


def test_what_looks_like_the_clock_is_a_text(bands):
    bands.update_one({"_id": 1}, {"$set": {"name": "$$NOW"}})
    assert bands.find_one({"name": "$$NOW"})["_id"] == 1
    past = {"$expr": {"$lt": [{"$literal": datetime(2026, 1, 1)}, "$$NOW"]}}
    assert bands.count_documents(past) == bands.count_documents({"$or": [past]}) == 3
    bands.update_one({"_id": 1}, [{"$set": {"at": {"$add": ["$$NOW", 1000]}}}])
    assert isinstance(bands.find_one(1)["at"], datetime)


def test_upserts(bands):
    bands.replace_one({"_id": 7}, {"name": "a"}, upsert=True)
    bands.replace_one({"name": "b"}, {"name": "c"}, upsert=True)
    bands.update_one({"_id": {"$eq": 8}, "x": 1}, {"$set": {"y": 2}}, upsert=True)
    bands.update_one({"_id": 9}, [{"$set": {"y": 3}}], upsert=True)
    bands.find_one_and_update({"_id": 10}, {"$inc": {"n": 2}}, upsert=True)
    found = {one.pop("_id"): one for one in bands.find({"_id": {"$nin": [1, 2, 3]}})}
    assert [found.pop(n) for n in (7, 8, 9, 10)] == [
        {"name": "a"}, {"x": 1, "y": 2}, {"y": 3}, {"n": 2}
    ]  # fmt: skip
    assert list(found.values()) == [{"name": "c"}]
    assert bands.status()["changes"]["inserted"] == 5


def test_unique_indexes(mock, bands):
    bands.create_index("name", unique=True)
    with pytest.raises(OperationFailure, match="name_1"):
        bands.insert_one({"_id": 9, "name": "Pulp"})
    names = {one["_id"]: one["name"] for one in bands.find()}
    bands.update_one({"_id": 1}, {"$set": {"name": "x"}})
    bands.update_one({"_id": 2}, {"$set": {"name": "Pulp"}})
    bands.update_one({"_id": 1}, {"$set": {"name": "Blur"}})
    bands.register("swapped")
    bands.checkout("main~1")
    assert {one["_id"]: one["name"] for one in bands.find()} == names
    with pytest.raises(OperationFailure, match="E11000"):
        bands.create_index("kind", unique=True)
    assert sorted(bands.index_information()) == ["_id_", "name_1"]


def test_rename_and_drop(mock, bands):
    groups = bands.rename("groups")
    assert len(groups.get_log()) == 1
    groups.drop()
    assert [name for name in mock.list_collection_names() if name != "__vc_lock"] == []


def test_a_dropped_collection_is_noticed(mock, bands):
    mock.drop_collection("bands")
    mock.bands.insert_one({"_id": 7})
    assert bands.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 3}
    bands.discard_changes()
    assert bands.count_documents({}) == 3


def test_many_documents_in_portions(mock):
    bands = VersionedCollection(mock, "bands")
    bands.insert_many([{"_id": n, "text": "x" * 100_000} for n in range(400)])
    assert sum(len(one["text"]) for one in bands.find()) == 40_000_000
    found = bands.find({}, {"_id": 1}, sort={"_id": -1}, batch_size=7)
    assert [one["_id"] for one in found] == list(range(399, -1, -1))


# -- beside other databases ------------------------------------------------------------------


def test_between_two_of_them(bands):
    there = mongomock.MongoClient()["music"]
    assert bands.push(there)
    theirs = VersionedCollection(there, "bands")
    assert theirs == bands
    theirs.update_one({"_id": 1}, {"$set": {"mark": 1}})
    theirs.register("theirs")
    bands.update_one({"_id": 2}, {"$set": {"mark": 2}})
    bands.register("mine")
    bands.pull(there.bands)
    assert [one.get("mark") for one in bands.find()] == [1, 2, None]
    assert problems(bands) == problems(theirs) == []


def test_between_it_and_a_server(db, bands):
    real = VersionedCollection.clone(bands, db, "bands")
    assert raws(real) == raws(bands)
    real.update_one({"_id": 1}, {"$set": {"mark": 1}})
    real.register("there")
    bands.pull(db)
    assert mark(bands) == 1
    bands.update_one({"_id": 1}, {"$set": {"mark": 2}})
    bands.register("here")
    assert bands.push(real)
    assert mark(real) == 2


def test_a_grown_history_comes_from_a_server(db):
    real = grown(db)
    copy = VersionedCollection.clone(real, mongomock.MongoClient()["music"], "bands")
    assert copy.get_log() == real.get_log()
    for version in ("main~3", "main~1", "main"):
        copy.checkout(version)
        real.checkout(version)
        assert raws(copy) == raws(real)


def test_with_asyncio():
    async def program():
        db = AsyncMongoMockClient()["music"]
        for bands in (
            AsyncVersionedCollection(db, "bands"),
            AsyncVersionedCollection(db["groups"]),
        ):
            await bands.insert_one({"_id": 1})
            await bands.init("start")
            await bands.update_one({"_id": 1}, {"$set": {"x": 1}})
            await bands.register("next")
            assert [one.message async for one in bands.log()] == ["next", "start"]
            await bands.checkout("main~1")
            assert await bands.find({}).to_list(None) == [{"_id": 1}]
            await bands.checkout("main")
            there = AsyncMongoMockClient()["music"]
            assert await bands.push(there)
            assert await there[bands.name].find_one({}) == {"_id": 1, "x": 1}
            copy = await AsyncVersionedCollection.clone(
                bands, AsyncMongoMockClient()["z"], bands.name
            )
            assert await copy.equals(bands)

    asyncio.run(program())


# -- what it does not do ---------------------------------------------------------------------


def far_collation(bands):
    return list(bands.at("main").find({}, collation={"locale": "de"}))


REFUSED = {
    "views": lambda bands: bands.publish_view("main", "old"),
    "text search": lambda bands: list(bands.at("main").find({"$text": {"$search": "a"}})),
    "schemas": lambda bands: bands.register("part", only={"$jsonSchema": {}}),
    "collations": far_collation,
    "stages": lambda bands: list(bands.at("main").aggregate([{"$bucketAuto": {"buckets": 2}}])),
    "checks": lambda bands: bands.add_check("graph", [{"$redact": "$$KEEP"}]),
    "change streams": lambda bands: VersionedCollection(
        bands.database, "bands", capture="change_stream"
    ).register("x"),
    "a change stream of what is not tracked": lambda bands: VersionedCollection(
        bands.database, "others", capture="change_stream"
    ).init(),
    "JavaScript": lambda bands: bands.purge(filter={"$where": "1"}, reason="r"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_cannot_do_changes_nothing(bands, what):
    bands.update_one({"_id": 1}, {"$set": {"mark": 1}})
    before = _without_notes(bands)
    with pytest.raises(errors.NotSupported) as raised:
        REFUSED[what](bands)
    assert "server" in str(raised.value)
    assert _without_notes(bands) == before
    assert bands.status()["changes"]["updated"] == 1


def _without_notes(bands):
    """Return all but what is made to look faster the next time: changes noticed, overlays."""
    notes = ("__modified_", "__journal_", "__past_")
    return {k: v for k, v in everything(bands.database).items() if not k.startswith(notes)}


PASSED_THROUGH = {
    "validators": lambda db: db.create_collection("x", validator={"$jsonSchema": {}}),
    "capped collections": lambda db: db.create_collection("x", capped=True, size=9),
    "views": lambda db: db.create_collection("x", viewOn="bands"),
    "collations": lambda db: db.bands.find_one({}, collation={"locale": "de"}),
    "array filters": lambda db: db.bands.update_one(
        {}, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 1}]
    ),
    "text indexes": lambda db: db.bands.create_index([("a", "text")]),
    "change streams": lambda db: db.bands.watch().next(),
    "commands": lambda db: db.command("validate", "bands"),
    "merging by other fields": lambda db: db.bands.aggregate(
        [{"$merge": {"into": "x", "on": "name"}}]
    ),
}


@pytest.mark.parametrize("what", PASSED_THROUGH)
def test_methods_of_pymongo_say_why(bands, what):
    before = everything(bands.database)
    with pytest.raises(OperationFailure, match="mongomock cannot do this: ") as raised:
        PASSED_THROUGH[what](bands.database)
    assert raised.value.code == 238
    assert everything(bands.database) == before


def test_transactions(bands):
    client = bands.database.client
    with client.start_session() as session:
        session.start_transaction()
        with pytest.raises(OperationFailure, match="it has no transactions"):
            bands.database.bands.insert_one({"_id": 9}, session=session)
    assert bands.count_documents({}) == 3


def test_a_server_with_a_validator_cannot_be_cloned_to_it(db):
    db.create_collection("bands", validator={"x": {"$ne": 1}})
    real = VersionedCollection(db, "bands")
    real.init()
    mock = mongomock.MongoClient()["music"]
    with pytest.raises(errors.NotSupported, match="no validators"):
        VersionedCollection.clone(real, mock, "bands")
    assert not VersionedCollection(mock, "bands").is_tracked()


def test_it_has_no_address(db, bands):
    host, port = bands.database.client.address
    uri = f"mongodb://{host}:{port}/music?directConnection=true"
    with MongoClient(uri) as client, pytest.raises(OperationFailure, match="no address"):
        client.music.bands.find_one()
    with pytest.raises(errors.NotSupported, match="pass the mongomock database"):
        VersionedCollection.clone(uri, db, "bands")
    with socket.create_connection((host, port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert bands.count_documents({}) == 3


def test_another_mongomock_is_refused():
    client = type("MongoClient", (), {"_store": None, "__module__": "mongomock.elsewhere"})()
    place = {"client": client, "name": "music", "list_collection_names": None}
    database = type("Database", (), {**place, "__module__": "mongomock.elsewhere"})()
    with pytest.raises(errors.NotSupported, match="use mongomock 4"):
        VersionedCollection(database, "bands")


# -- coming and going ------------------------------------------------------------------------


def test_mongomock_is_imported_for_nobody_else():
    program = (
        "import sys, versioned_collection, pymongo\n"
        "from versioned_collection.facets import sharing\n"
        "with pymongo.MongoClient(connect=False) as client:\n"
        "    assert sharing._other(client.db).name == 'db'\n"
        "print([n for n in sys.modules if 'mongomock' in n or '.doubles.' in n])\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


def test_a_patched_client():
    program = (
        "import mongomock, pymongo\n"
        "from versioned_collection import VersionedCollection\n"
        "with mongomock.patch(servers=(('central', 27017),)):\n"
        "    bands = VersionedCollection(pymongo.MongoClient('central').music, 'bands')\n"
        "    bands.insert_one({'_id': 1})\n"
        "    bands.init('start')\n"
        "    again = VersionedCollection(pymongo.MongoClient('central').music, 'bands')\n"
        "    print(again.get_log()[0].message, again == bands)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("start True\n", "")


def test_its_password_is_not_shown(bands):
    client = bands.database.client
    assert client.options.pool_options.appname
    for shown in (client, client["music"], client["music"]["bands"], bands):
        assert client.options.pool_options.appname not in repr(shown)


@pytest.mark.parametrize("which", ["names", [("name", 1), ("city", 1)]])
def test_dropping_an_index_that_is_not_there(bands, which):
    bands.create_index("name")
    with pytest.raises(OperationFailure) as caught:
        bands.drop_index(which)
    assert caught.value.code == 27
    bands.drop_index([("name", 1)])
    bands.drop_indexes()
    assert list(bands.index_information()) == ["_id_"]


def test_what_one_test_closes_another_one_opens(mock, bands):
    bands.database.client.close()
    assert VersionedCollection(mock, "bands").count_documents({}) == len(BANDS)


def test_nothing_is_left_behind():
    def threads():
        return {one for one in threading.enumerate() if one.name != "test-doubles"}

    before = threads()
    bands = VersionedCollection(mongomock.MongoClient()["music"], "bands")
    bands.insert_one({"_id": 1})
    log = (bands.init(), bands.log())[1]
    del bands
    gc.collect()
    assert len(list(log)) == 1  # what is in use stays
    assert threads() - before
    del log
    gc.collect()
    deadline = time.monotonic() + 30
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads() - before


# -- its parts -------------------------------------------------------------------------------


def test_the_filter_for_one_state_is_known_again():
    document = bson.encode({"_id": 1, "a": 1.0, "b": [{"c": Int64(2)}], "z": 0.0})
    assert expected_by(exactly(key_of(1), document)) == document
    for other in ({}, {"_id": 1}, {"_id": {"$eq": 1}, "$expr": {"$and": [{}, {"$eq": [1, 1]}]}}):
        assert expected_by(bson.encode(other)) is None
    longer = build(exactly(key_of(1), document)[4:-1], b"\x10x\0\x01\0\0\0")
    assert expected_by(longer) is None


def test_order_of_all_types():
    values = [
        MinKey(), [], None, float("nan"), -1.5, 0, Decimal128("0.5"), Int64(1), "", "a", "b",
        {}, {"a": 1}, {"a": 2}, {"b": 1}, b"", b"b", Binary(b"b", 5), b"aa", ObjectId(bytes(12)),
        False, True, DatetimeMS(-1), datetime(2026, 1, 31), Timestamp(1, 1), Regex("a"), MaxKey(),
    ]  # fmt: skip
    documents = [{"n": n, "v": value} for n, value in enumerate(values)]
    shuffled = sorted(documents, key=lambda one: one["n"] * 7 % len(values))
    assert sorted_by(shuffled, {"v": 1}) == documents
    assert sorted_by(shuffled, {"v": -1}) == documents[::-1]
    nested = [{"v": [3, 9]}, {"v": [{"w": 1}]}, {"v": {"w": 5}}, {"v": 4}]
    assert sorted_by(nested, {"v": 1})[0] == {"v": [3, 9]}
    assert sorted_by(nested, {"v.w": -1, "$natural": 1})[0] == {"v": {"w": 5}}


def test_no_lease_runs_out_while_a_command_takes_long(mock):
    """A heartbeat cannot come in between, and nobody else could take the lease over."""
    expires = []
    bands = VersionedCollection(mock, "bands")
    bands.insert_one({"_id": 1})
    bands.init()
    bands.insert_one({"_id": 2})

    def look(phase: str, count: int) -> None:
        expires.append(mock["__vc_lock"].find_one({"_id": "bands"})["expires"])

    bands.register("more", progress=look)
    assert expires[0] - datetime.now(timezone.utc).replace(tzinfo=None) > timedelta(seconds=300)
    asked = VersionedCollection(mock, "bands", lease_seconds=1)
    bands.insert_one({"_id": 3})
    asked.register("as asked for", progress=look)
    assert expires[-1] - datetime.now(timezone.utc).replace(tzinfo=None) < timedelta(seconds=2)


def test_it_answers_a_heartbeat_while_a_command_takes_long(mock, monkeypatch):
    """PyMongo would drop the connection on which that command waits for its reply."""
    begun, go_on = threading.Event(), threading.Event()
    insert = engine.Engine.insert

    def slow(*args):
        begun.set()
        assert go_on.wait(30)
        return insert(*args)

    monkeypatch.setitem(engine._COMMANDS, "insert", slow)
    bands = VersionedCollection(mock, "bands")
    with ThreadPoolExecutor(1) as pool:
        inserted = pool.submit(bands.insert_one, {"_id": 1})
        try:
            assert begun.wait(30)
            with pymongo.timeout(5):
                assert bands.database.client.admin.command("hello")["isWritablePrimary"]
                assert bands.database.client.admin.command("ping")["ok"]
        finally:
            go_on.set()
        assert inserted.result().inserted_id == 1
    assert bands.count_documents({}) == 1
