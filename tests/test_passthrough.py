"""Every method and attribute of a PyMongo collection works as on the collection itself."""

from __future__ import annotations

import inspect

import pytest
from api_support import BANDS, edit, grown, tracked, untracked
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import (
    ASCENDING,
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
)
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import InvalidName, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from versioned_collection import VersionedCollection, errors

PUBLIC = [name for name in dir(Collection) if not name.startswith("_")]


class Bands(VersionedCollection):
    """A subclass, as programs define it."""


def test_is_a_collection(anydb):
    bands = VersionedCollection(anydb, "bands")
    assert isinstance(bands, Collection)
    assert bands.name == "bands"
    assert bands.full_name == f"{anydb.name}.bands"
    assert bands.database == anydb
    assert anydb["bands"] != bands  # equal to what has the same history, wherever that is
    assert bands != anydb["bands"]


@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_public_is_missing_or_renamed(name):
    theirs = inspect.getattr_static(Collection, name)
    ours = inspect.getattr_static(VersionedCollection, name)
    assert type(ours) is type(theirs) or callable(ours)
    if not inspect.isfunction(theirs) or ours is theirs:
        return
    # every call that binds to theirs binds to ours: same names, or open for all
    wanted = inspect.signature(theirs).parameters
    accepted = inspect.signature(ours).parameters
    kinds = {one.kind for one in accepted.values()}
    named = [p for p in accepted.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in named] == list(wanted)[: len(named)]
    if len(named) < len(wanted):
        assert inspect.Parameter.VAR_KEYWORD in kinds
        assert inspect.Parameter.VAR_POSITIONAL in kinds


def test_ways_to_open(anydb):
    tracked(anydb)
    for bands in (
        Bands(anydb),
        Bands(anydb["bands"]),
        Bands(anydb, "bands"),
        VersionedCollection(anydb, "bands"),
        VersionedCollection(anydb, name="bands"),
        VersionedCollection(anydb["bands"]),
        VersionedCollection(VersionedCollection(anydb, "bands")),
        VersionedCollection(anydb, "bands", username="u", password="p"),
        Bands(anydb, username=None, password=None),
        VersionedCollection(anydb.get_collection("bands")),
        VersionedCollection(database=anydb, name="bands"),
    ):
        assert bands.name == "bands"
        assert bands.version == 0
    assert Bands(anydb, "songs").name == "songs"
    assert repr(Bands(anydb)).startswith("Bands(")


def test_password_is_not_kept(db):
    bands = VersionedCollection(db, "bands", username="ada", password="s3cr3t")
    assert "s3cr3t" not in repr(bands)
    assert "s3cr3t" not in repr(vars(bands))


def test_what_cannot_be_opened(anydb, client):
    for wrong in (None, 5, "bands", client, {"a": 1}):
        with pytest.raises(TypeError):
            VersionedCollection(wrong, "bands")
    with pytest.raises(ValueError, match="name the collection"):
        VersionedCollection(anydb)
    for name in ("", "a..b", ".a", "$a"):
        with pytest.raises((InvalidName, ValueError)):
            VersionedCollection(anydb, name)
    with pytest.raises(TypeError):
        VersionedCollection(anydb, 5)
    for options in ({"capture": "x"}, {"lease_seconds": 0}, {"lease_wait_seconds": -1}):
        with pytest.raises(errors.InvalidArgument):
            VersionedCollection(anydb, "bands", **options)
    assert anydb.list_collection_names() == []


def test_options_are_the_collections(anydb):
    source = anydb.get_collection(
        "bands",
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.SECONDARY_PREFERRED,
        write_concern=WriteConcern(w=1, j=True),
        read_concern=ReadConcern("local"),
    )
    names = ("codec_options", "read_preference", "write_concern", "read_concern")
    options = {name: getattr(source, name) for name in names}
    for bands in (
        VersionedCollection(source),
        VersionedCollection(anydb, "bands", **options),
        VersionedCollection(anydb["bands"], **options),
    ):
        for option in names:
            assert getattr(bands, option) == getattr(source, option)
    bands.insert_one({"_id": 1})
    bands.init()
    edit(bands, 1)
    assert bands.register("x")


def test_with_options(anydb):
    bands = grown(anydb)
    raw = bands.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    assert isinstance(raw, VersionedCollection)
    assert isinstance(raw.find_one(), RawBSONDocument)
    assert not isinstance(bands.find_one(), RawBSONDocument)
    assert raw.version == 3
    assert raw == bands
    raw.insert_one(RawBSONDocument(b"\x0e\0\0\0\x10_id\0\x09\0\0\0\0"))
    assert set(raw.diff()) == {9}
    assert raw.register("through the clone")
    assert bands.version == 4
    assert bands.with_options().capture_mode == bands.capture_mode
    scan = VersionedCollection(anydb, "bands", capture="scan").with_options()
    assert scan.capture_mode == "scan"


def test_an_object_of_a_subclass_stays_one(anydb):
    bands = Bands(anydb, codec_options=CodecOptions(document_class=RawBSONDocument))
    bands.colour = "red"
    bands.insert_one({"_id": 1})
    bands.init()
    renamed = bands.rename("groups")
    for other in (bands.with_options(), renamed):
        assert type(other) is Bands
        assert other.colour == "red"
        assert other.codec_options.document_class is RawBSONDocument
    assert renamed.name == "groups"
    assert renamed.version == 0
    assert not bands.is_tracked()


def test_unacknowledged_writes(anydb):
    bands = tracked(anydb)
    fast = bands.with_options(write_concern=WriteConcern(w=0))
    assert not fast.insert_one({"_id": 10}).acknowledged
    assert not fast.insert_many([{"_id": 11}]).acknowledged
    assert not fast.update_one({"name": "Pulp"}, {"$set": {"a": 1}}).acknowledged
    assert not fast.update_many({}, {"$set": {"b": 1}}).acknowledged
    assert not fast.replace_one({"_id": 2}, {"r": 1}).acknowledged
    assert not fast.delete_one({"name": "Suede"}).acknowledged
    assert not fast.delete_many({"nobody": 1}).acknowledged
    assert not fast.bulk_write([InsertOne({"_id": 12})]).acknowledged
    for _ in range(100):  # the server is not waited for
        if anydb["bands"].count_documents({"_id": 12}):
            break
    assert bands.register("fast")
    assert bands.resolve("HEAD").stats == {"inserted": 3, "updated": 2, "deleted": 1}


def test_sub_collections(anydb):
    bands = tracked(anydb)
    for sub in (bands["x"], bands.x):
        assert isinstance(sub, Collection)
        assert sub.name == "bands.x"
    bands["x"].insert_one({"_id": 1})
    assert anydb["bands.x"].count_documents({}) == 1
    assert not bands.has_changes()
    inner = VersionedCollection(bands["x"])
    inner.init()
    edit(inner, 1)
    assert inner.register("x")
    assert (bands.version, inner.version) == (0, 1)
    with pytest.raises(AttributeError):
        _ = bands._nothing
    with pytest.raises(TypeError):
        iter(bands).__next__()
    with pytest.raises(NotImplementedError):
        bool(bands)


@pytest.fixture(params=["untracked", "tracked"])
def pair(request, anydb):
    """The same documents in a versioned and in a plain collection."""
    bands = untracked(anydb)
    if request.param == "tracked":
        bands.init()
    plain = anydb["plain"]
    plain.insert_many([dict(band) for band in BANDS])
    return bands, plain


def outcome(call, collection):
    """Return what a call gives, in a form that can be compared."""
    try:
        result = call(collection)
    except (PyMongoError, TypeError, ValueError) as error:
        return type(error)
    if hasattr(result, "to_list"):
        return sorted(map(repr, result))
    facts = ("inserted_id", "inserted_ids", "matched_count", "modified_count", "deleted_count",
             "upserted_id", "upserted_ids", "inserted_count", "acknowledged")  # fmt: skip
    found = {fact: getattr(result, fact) for fact in facts if hasattr(result, fact)}
    return type(result), found or result


def test_writes_do_the_same(pair):
    calls = [
        lambda c: c.insert_one({"_id": 10, "n": 1}),
        lambda c: c.insert_one(document={"_id": 11}),
        lambda c: c.insert_one({"_id": 10}),
        lambda c: c.insert_one({"_id": 10.0}),
        lambda c: c.insert_one(5),
        lambda c: c.insert_many([{"_id": 12}, {"_id": 13}], ordered=False),
        lambda c: c.insert_many(documents=({"_id": n} for n in (14, 15))),
        lambda c: c.insert_many([{"_id": 16}, {"_id": 10}, {"_id": 17}]),
        lambda c: c.insert_many([]),
        lambda c: c.insert_many(5),
        lambda c: c.update_one({"_id": 1}, {"$set": {"a": 1}}),
        lambda c: c.update_one(filter={"_id": 1}, update={"$set": {"a": 2}}),
        lambda c: c.update_one({"name": "Blur"}, [{"$set": {"b": {"$concat": ["$name", "!"]}}}]),
        lambda c: c.update_one({"_id": 99}, {"$set": {"a": 1}}),
        lambda c: c.update_one({"_id": 98}, {"$set": {"a": 1}}, upsert=True),
        lambda c: c.update_one({"_id": {"$gt": 11}}, {"$set": {"gt": 1}}, sort={"_id": -1}),
        lambda c: c.update_one({"name": "BLUR"}, {"$set": {"ci": 1}},
                               collation=Collation("en", strength=2)),
        lambda c: c.update_one({"_id": 1}, {"members.$[m]": 1}),
        lambda c: c.update_one({"_id": 1}, {"$set": {"members.$[m]": "J"}},
                               array_filters=[{"m": "Jarvis"}]),
        lambda c: c.update_many({}, {"$inc": {"n": 1}}),
        lambda c: c.update_many({"since.year": {"$gt": 1980}}, {"$set": {"late": True}}),
        lambda c: c.update_many({"_id": "up"}, {"$set": {"z": 1}}, True),
        lambda c: c.replace_one({"_id": 10}, {"r": 1}),
        lambda c: c.replace_one({"r": 1}, replacement={"r": 2}),
        lambda c: c.replace_one({"_id": 97}, {"r": 1}, upsert=True),
        lambda c: c.replace_one({"_id": 10}, {"$set": {"r": 1}}),
        lambda c: c.find_one_and_update({"_id": 1}, {"$set": {"f": 1}}),
        lambda c: c.find_one_and_update({"_id": 1}, {"$set": {"f": 2}}, {"f": 1},
                                        return_document=ReturnDocument.AFTER),
        lambda c: c.find_one_and_update({"f": 2}, {"$set": {"f": 3}}, sort=[("_id", 1)]),
        lambda c: c.find_one_and_update({"_id": 96}, {"$set": {"f": 1}}, upsert=True),
        lambda c: c.find_one_and_replace({"_id": 2}, {"f": 1}, projection={"_id": 0}),
        lambda c: c.find_one_and_delete({"n": {"$exists": True}}, sort=[("_id", -1)]),
        lambda c: c.find_one_and_delete({"_id": "nobody"}),
        lambda c: c.delete_one({"_id": 12}),
        lambda c: c.delete_one({"late": True}, hint="_id_"),
        lambda c: c.delete_one(filter={"nobody": 1}),
        lambda c: c.delete_many({"_id": {"$in": [13, 14]}}),
        lambda c: c.bulk_write([
            InsertOne({"_id": 30}), UpdateOne({"_id": 30}, {"$set": {"a": 1}}),
            UpdateMany({}, {"$set": {"all": 1}}), ReplaceOne({"_id": 1}, {"x": 1}, upsert=True),
            DeleteOne({"_id": 15}), DeleteMany({"r": 1}),
        ]),
        lambda c: c.bulk_write(requests=[InsertOne({"_id": 30}), InsertOne({"_id": 31})],
                               ordered=False),
        lambda c: c.bulk_write([]),
        lambda c: c.update_one({}, {}),
        lambda c: c.update_one({"_id": 1}, 5),
        lambda c: c.delete_many("x"),
    ]  # fmt: skip
    bands, plain = pair
    for number, call in enumerate(calls):
        assert outcome(call, bands) == outcome(call, plain), number
        assert list(bands.find({}).sort("_id")) == list(plain.find({}).sort("_id")), number
    if bands.is_tracked():
        assert bands.register("all of it")
        assert list(bands.verify()) == []


def test_reads_do_the_same(pair):
    calls = [
        lambda c: c.find({"_id": {"$gt": 1}}, {"name": 1}),
        lambda c: c.find(filter={}, projection=["name"], sort=[("_id", -1)], limit=2, skip=1),
        lambda c: c.find_one({"name": "Pulp"}),
        lambda c: c.find_one(1),
        lambda c: c.find_one({"nobody": 1}),
        lambda c: c.count_documents({"_id": {"$lt": 3}}),
        lambda c: c.estimated_document_count(),
        lambda c: c.distinct("since.year"),
        lambda c: c.aggregate([{"$group": {"_id": None, "n": {"$sum": 1}}}]),
        lambda c: c.aggregate(pipeline=[{"$match": {}}], allowDiskUse=True),
        lambda c: list(c.find_raw_batches({}, sort=[("_id", 1)])),
        lambda c: list(c.aggregate_raw_batches([{"$sort": {"_id": 1}}])),
        lambda c: c.create_index([("name", ASCENDING)], unique=True),
        lambda c: c.create_indexes([IndexModel("since.year", name="years")]),
        lambda c: sorted(c.index_information()),
        lambda c: sorted(index["name"] for index in c.list_indexes()),
        lambda c: c.drop_index("years"),
        lambda c: c.drop_indexes(),
        lambda c: c.options(),
    ]
    bands, plain = pair
    for number, call in enumerate(calls):
        assert outcome(call, bands) == outcome(call, plain), number


JOBS = [
    {"_id": "a", "prio": 1, "n": "can"},
    {"_id": "b", "prio": 9, "n": "CAN"},
    {"_id": "c", "prio": 9, "n": "no"},
]
ANY_CASE = Collation("en", strength=2)
TAKEN = {"$set": {"taken": 1}}
IS_NAMED = {"$expr": {"$eq": ["$n", "$$name"]}}
CHOICES = [
    lambda c: c.find_one_and_delete({}, sort=[("prio", -1), ("_id", -1)]),
    lambda c: c.find_one_and_delete({}, None, [("prio", -1), ("_id", 1)]),
    lambda c: c.find_one_and_update({}, TAKEN, sort={"prio": -1, "_id": -1}),
    lambda c: c.find_one_and_update({}, TAKEN, None, [("prio", -1), ("_id", 1)]),
    lambda c: c.find_one_and_replace({}, {"r": 1}, sort=SON([("prio", -1), ("_id", 1)])),
    lambda c: c.find_one_and_replace({}, {"r": 1}, None, ["prio", "_id"]),
    lambda c: c.find_one_and_update({}, TAKEN, sort="prio"),
    lambda c: c.find_one_and_update({}, TAKEN, sort=[1]),
    lambda c: c.update_one({"prio": 9}, TAKEN, hint=[("_id", -1)]),
    lambda c: c.update_one({"prio": 9}, TAKEN, hint="none"),
    lambda c: c.update_one({"_id": "B"}, TAKEN, False, False, ANY_CASE),
    lambda c: c.replace_one({"_id": "B"}, {"r": 1}, False, False, ANY_CASE),
    lambda c: c.replace_one({"_id": "z"}, {"r": 1}, True),
    lambda c: c.update_many({"n": "can"}, TAKEN, False, None, False, ANY_CASE),
    lambda c: c.update_many({"$expr": {"$gt": ["$prio", 0]}}, TAKEN, upsert=True),
    lambda c: c.update_one({"$and": [{"$expr": True}]}, TAKEN, upsert=True),
    lambda c: c.find_one_and_update({"$expr": True}, TAKEN, upsert=True),
    lambda c: c.update_many({"n": "can"}, TAKEN, upsert=1),
    lambda c: c.delete_one({"_id": "A"}, ANY_CASE),
    lambda c: c.delete_many({"n": "can"}, ANY_CASE),
    lambda c: c.delete_many(IS_NAMED, None, None, None, {"name": "can"}),
    lambda c: c.delete_many(IS_NAMED, let={"name": "CAN"}),
    lambda c: c.delete_many({}, None, None, None, None, None, None, None),
    lambda c: c.bulk_write((InsertOne({"_id": 1}),)),
    lambda c: c.bulk_write(DeleteOne({"_id": one}) for one in "ab"),
    lambda c: c.bulk_write([DeleteOne({"_id": "B"}, collation=ANY_CASE)]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CHOICES)))
def test_what_a_write_chooses_by_its_options(standalone_db, db, number):
    """Noted before they happen or not, they reach what they reach by PyMongo; it is noticed."""
    for one, capture in ((standalone_db, "auto"), (db, "write_through"), (db, "auto")):
        bands, plain = VersionedCollection(one, f"jobs_{capture}", capture=capture), one["plain"]
        for collection in (bands, plain):
            if collection is plain:
                plain.drop()
            collection.insert_many([dict(job) for job in JOBS])
        bands.init()
        assert outcome(CHOICES[number], bands) == outcome(CHOICES[number], plain)
        now = list(bands.find().sort("_id"))
        assert now == list(plain.find().sort("_id"))
        assert bands.has_changes() == (now != JOBS)
        assert bands.register("now") == (now != JOBS)
        assert list(bands.at("HEAD").find().sort("_id")) == now
        assert list(bands.verify()) == []


def test_sessions_and_transactions(db):
    bands = tracked(db)
    with db.client.start_session() as session:
        session.with_transaction(
            lambda s: (
                bands.insert_one({"_id": 10}, session=s),
                bands.update_one({"_id": 1}, {"$set": {"a": 1}}, session=s),
            )
        )
        assert bands.find_one({"_id": 10}, session=session)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 0}


def test_noted_writes_in_a_transaction_reach_its_own_documents(db):
    bands = tracked(db, capture="write_through")
    with db.client.start_session() as session, session.start_transaction():
        bands.insert_one({"_id": 10, "name": "Pulp"}, session=session)
        found = bands.update_many({"name": "Pulp"}, {"$set": {"a": 1}}, session=session)
        assert found.matched_count == 2
        taken = bands.find_one_and_delete({"a": 1}, sort=[("_id", -1)], session=session)
        assert taken["_id"] == 10
        assert bands.delete_many({"a": 1}, session=session).deleted_count == 1
    assert bands.status()["changes"] == {"inserted": 0, "updated": 0, "deleted": 1}


def test_watch(db):
    bands = tracked(db)
    with bands.watch() as stream:
        bands.insert_one({"_id": 10})
        assert stream.next()["documentKey"] == {"_id": 10}


def test_out_and_merge(anydb):
    bands = tracked(anydb)
    bands.aggregate([{"$match": {"_id": 1}}, {"$out": "elsewhere"}])
    assert anydb["elsewhere"].count_documents({}) == 1
    assert not bands.has_changes()
    anydb["source"].insert_one({"_id": 50})
    VersionedCollection(anydb, "source").aggregate([{"$merge": {"into": "elsewhere"}}])
    bands.aggregate([{"$project": {"name": 1}}, {"$out": SON([("db", anydb.name),
                                                              ("coll", "bands")])}])  # fmt: skip
    assert bands.status()["changes"]["updated"] == 3
    assert bands.register("projected")
    assert list(bands.verify()) == []
