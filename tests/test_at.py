"""at: a version read as a collection, while something else is checked out."""

from __future__ import annotations

import inspect
import uuid
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from api_support import RAW, edit, everything, grown, mark, problems, raws, step, tracked
from bson import Binary, Decimal128, Int64
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, timeout
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandListener

from versioned_collection import PastCollection, VersionedCollection, errors
from versioned_collection.past import building, moment
from versioned_collection.past.view import WRITES


def found(view: PastCollection, *args: Any, **kwargs: Any) -> list[bytes]:
    """Return the bytes of what a find returns, sorted."""
    plain = VersionedCollection(view.database, view.name, codec_options=RAW)
    return sorted(bytes(one.raw) for one in plain.at(view.version.id).find(*args, **kwargs))


def all_of(bands: VersionedCollection) -> list[bytes]:
    """Return the bytes of all documents, also of those that the driver does not copy."""
    plain = bands.database.get_collection(bands.name, codec_options=RAW)
    return sorted(bytes(document.raw) for document in plain.find({}))


def overlays(bands: VersionedCollection) -> list[str]:
    names = bands.database.list_collection_names()
    return [name for name in names if name.startswith(f"__past_{bands.name}.")]


@pytest.fixture(params=["of what differs", pytest.param("whole", marks=pytest.mark.sweep)])
def bands(request, db):
    """main@0..3 and side@0..1, read through overlays of either kind."""
    bands = grown(db)
    if request.param == "whole":
        for label in ("main@1", "main@2"):
            bands.at(label).prepare(whole=True)
    return bands


# -- which version -------------------------------------------------------------------------


def test_every_kind_of_revision(anydb):
    bands = grown(anydb)
    version = bands.resolve("main@1")
    for revision in ("main@1", "main~2", "v1", "HEAD~2", 1, (1, "main"), version, version.id):
        view = bands.at(revision)
        assert view.version.label == "main@1"
        assert [one.get("mark") for one in view.find().sort("_id")] == [1, None, None]
    assert bands.at().version.label == "main@3"
    assert bands.at("side").find_one(1)["mark"] == "s1"
    assert bands.version == 3
    assert not bands.has_changes()


def test_as_of_a_time(db):
    bands = tracked(db)
    step(bands, 1)
    time = bands.resolve("HEAD").timestamp
    before = bands.resolve("main@0").timestamp
    assert bands.at(time).version.label == "main@1"
    assert bands.at(time + timedelta(days=1)).version.label == "main@1"
    assert bands.at(time.replace(tzinfo=timezone.utc)).version.label == "main@1"
    assert bands.at(f"main@{{{time.isoformat()}}}").version.label == "main@1"
    with pytest.raises(errors.InvalidCollectionVersion, match="no version as old"):
        bands.at(before - timedelta(seconds=1))


def test_what_is_no_revision(db):
    bands = grown(db)
    for revision in ("nothing", 7, "main@9", "main~9"):
        with pytest.raises(errors.InvalidCollectionVersion):
            bands.at(revision)
    for revision in (1.5, True, {"a": 1}):
        with pytest.raises(errors.InvalidType):
            bands.at(revision)
    with pytest.raises(errors.InvalidArgument):
        bands.at("")


def test_an_untracked_collection_has_no_versions(db):
    with pytest.raises(errors.CollectionNotTracked, match="init"):
        VersionedCollection(db, "bands").at("HEAD")
    assert db.list_collection_names() == []


# -- what is read --------------------------------------------------------------------------


def test_reads(bands):
    view = bands.at("main@2")
    assert view.find({"mark": 2}).to_list() == [view.find_one(1)]
    assert view.find_one({"mark": 3}) is None
    assert view.count_documents({}) == view.estimated_document_count() == 3
    assert view.count_documents({"mark": {"$exists": False}}) == 2
    assert view.count_documents({}, skip=1, limit=1) == 1
    assert sorted(view.distinct("since.year")) == [1978, 1988, 1989]
    assert sorted(view.distinct("members", {"mark": 2})) == ["Candida", "Jarvis"]
    assert list(view.aggregate([{"$match": {"mark": 2}}, {"$project": {"name": 1}}])) == [
        {"_id": 1, "name": "Pulp"}
    ]
    assert list(view.aggregate([{"$count": "n"}])) == [{"n": 3}]
    assert list(view.aggregate([])) != []


@pytest.mark.parametrize(
    "read", [lambda view: view.find(), lambda view: view.aggregate([])], ids=["find", "aggregate"]
)
def test_what_cursors_have_in_common(bands, read):
    view = bands.at("main@2")
    whole = read(view).to_list()
    assert len(whole) == 3
    with read(view) as cursor:
        assert cursor.alive
        assert [cursor.next(), *cursor.to_list(1), *cursor] == whole
        assert not cursor.alive
        assert cursor.to_list() == []
    closed = read(view)
    closed.next()
    closed.close()
    assert not closed.alive
    assert list(closed) == []
    with pytest.raises(errors.InvalidArgument, match="length"):
        read(view).to_list(-1)


def test_a_cursor_that_begins_again(bands):
    cursor = bands.at("main@2").find()
    whole = list(cursor)
    with pytest.raises(errors.InvalidArgument, match="rewind"):
        cursor.limit(1)
    assert list(cursor.rewind()) == whole
    assert cursor.clone().limit(1).to_list() == whole[:1]


@pytest.mark.parametrize("sort", ["$natural", [("_id", 1), ("$natural", -1)], {"$natural": -1}])
def test_a_version_has_no_natural_order(bands, sort):
    view = bands.at("main@2")
    for read in (lambda: view.find(sort=sort), lambda: view.find().sort(sort)):
        with pytest.raises(errors.InvalidArgument, match="sort by a field"):
            read()
    with pytest.raises(errors.InvalidArgument, match="sort by a field"):
        view.find().sort("$natural", -1)


def test_sort_skip_limit_projection(bands):
    view = bands.at("main@1")
    names = [one["name"] for one in view.find().sort("name", -1)]
    assert names == ["Suede", "Pulp", "Blur"]
    assert [one["_id"] for one in view.find(sort=[("since.year", 1)], skip=1, limit=1)] == [2]
    assert view.find({}, {"_id": 0, "mark": 1}).sort([("mark", -1)]).limit(1).to_list() == [
        {"mark": 1}
    ]
    assert view.find({}, ["name"]).sort({"name": 1}).next() == {"_id": 2, "name": "Blur"}
    assert view.find({"_id": 1}, []).to_list() == [view.find_one(1)]
    assert len(view.find().limit(2).to_list()) == 2
    assert len(view.find(skip=2).to_list()) == 1
    assert len(view.find(batch_size=1).to_list()) == 3
    assert view.find({"mark": 1}, {"_id": 0}).to_list()[0].keys() == view.find_one(
        {"mark": 1}
    ).keys() - {"_id"}
    assert view.find({}, {"_id": "$name"}).sort("name").to_list()[0] == {"_id": "Blur"}
    assert sorted(one["_id"] for one in view.find({}, {"_id": "$name"})) == [
        "Blur",
        "Pulp",
        "Suede",
    ]


@pytest.mark.parametrize("sort", [None, "name"])
def test_projections_that_only_a_find_makes(bands, sort):
    view = bands.at("main@1")
    sliced = view.find({}, {"members": {"$slice": 1}, "name": 1}, sort=sort).to_list()
    assert {one["name"]: one["members"] for one in sliced} == {
        "Blur": ["Damon"],
        "Pulp": ["Jarvis"],
        "Suede": [],
    }
    assert view.find({"members": "Candida"}, {"members.$": 1}, sort=sort).to_list() == [
        {"_id": 1, "members": ["Candida"]}
    ]
    chosen = {"members": {"$elemMatch": {"$regex": "^C"}}, "_id": 0}
    assert sorted(map(str, view.find({}, chosen, sort=sort))) == [
        "{'members': ['Candida']}",
        "{}",
        "{}",
    ]


def test_a_cursor_is_like_that_of_pymongo(db):
    view = grown(db).at("main@1")
    cursor = view.find().sort("_id").hint("_id_").comment("why").max_time_ms(10_000)
    cursor = cursor.allow_disk_use(True).batch_size(1).collation(Collation("simple"))
    assert cursor.next()["_id"] == 1
    with pytest.raises(errors.InvalidArgument, match="clone"):
        cursor.limit(1)
    copied = cursor.clone()
    assert [one["_id"] for one in cursor] == [2, 3]
    assert [one["_id"] for one in copied.limit(2)] == [1, 2]
    assert cursor.rewind().next()["_id"] == 1
    assert len(cursor.to_list(1)) == 1
    cursor.close()
    with view.find() as inside:
        assert next(inside)
    assert view.find({}).hint(None).max_time_ms(None).to_list() != []


def test_documents_are_decoded_as_by_the_collection(db):
    bands = tracked(db)
    one = uuid.uuid4()
    bands.insert_one({"_id": Binary.from_uuid(one), "at": datetime(2026, 1, 2), "id": 5})
    bands.register("uuid")
    edit(bands, 1)
    bands.register("later")
    options = CodecOptions(tz_aware=True, uuid_representation=UuidRepresentation.STANDARD)
    view = bands.with_options(codec_options=options).at("main@1")
    assert view.find_one({"_id": one})["at"].tzinfo is not None
    assert view.find_one(one)["_id"] == one
    same = view.find({"id": 5}, {"same": {"$eq": ["$_id", one]}})
    assert next(same)["same"]
    assert isinstance(bands.with_options(codec_options=RAW).at(1).find_one(), RawBSONDocument)


def test_other_collections_are_joined_as_they_are_now(db):
    bands = grown(db)
    view = bands.at("main@1")
    joining = [
        {"$match": {"mark": 1}},
        {"$lookup": {"from": "more", "localField": "_id", "foreignField": "_id", "as": "more"}},
    ]
    assert next(view.aggregate(joining))["more"] == []
    db["more"].insert_one({"_id": 1})
    assert next(view.aggregate(joining))["more"] == [{"_id": 1}]


# -- the present is something else ---------------------------------------------------------


def test_head_needs_no_overlay(db):
    bands = grown(db)
    assert bands.at("HEAD").find_one(1)["mark"] == 3
    assert overlays(bands) == []


@pytest.mark.parametrize(
    "capture", ["auto", "scan", pytest.param("write_through", marks=pytest.mark.sweep)]
)
def test_uncommitted_changes_are_not_seen(db, capture):
    bands = grown(db, capture=capture)
    expected = {label: found(bands.at(label)) for label in ("main@0", "main@3", "side@1")}
    db["bands"].delete_one({"_id": 1})
    db["bands"].update_one({"_id": 2}, {"$set": {"mark": "dirty"}})
    db["bands"].insert_many([{"_id": 9}, {"_id": True}])
    fresh = VersionedCollection(db, "bands", capture=capture)
    for label, documents in expected.items():
        assert found(fresh.at(label)) == documents
        assert fresh.at(label).count_documents({}) == 3
        assert sorted(fresh.at(label).distinct("_id")) == [1, 2, 3]
        ordered = [one["_id"] for one in fresh.at(label).find().sort("_id", -1)]
        assert ordered == [3, 2, 1]


def test_with_many_uncommitted_changes_the_replica_serves(db, monkeypatch):
    bands = grown(db)
    monkeypatch.setattr(moment, "MOST_MODIFIED", 1)
    db["bands"].update_many({}, {"$set": {"mark": "dirty"}})
    for label, value in (("main@3", 3), ("main@1", 1)):
        assert bands.at(label).find_one(1)["mark"] == value
        assert bands.at(label).count_documents({"mark": "dirty"}) == 0


@pytest.mark.parametrize("how", ["drop", "$out", pytest.param("rename", marks=pytest.mark.sweep)])
def test_the_collection_was_replaced(db, how):
    bands = grown(db)
    views = {label: (bands.at(label), found(bands.at(label))) for label in ("main@1", "main@3")}
    if how == "drop":
        db["bands"].drop()
    elif how == "rename":
        db["bands"].rename("elsewhere")
    else:
        db["bands"].aggregate([{"$match": {"_id": 1}}, {"$out": "bands"}])
    for view, expected in views.values():
        assert sorted(view.distinct("_id")) == [1, 2, 3]
        assert len(view.find().to_list()) == view.count_documents({}) == 3
        assert found(view) == expected


def test_head_moves(db):
    bands = grown(db)
    labels = ("main@0", "main@1", "main@2", "main@3", "side@0", "side@1")
    expected = {}
    for label in labels:
        bands.checkout(label)
        expected[label] = raws(bands)
    views = {label: bands.at(label) for label in labels}
    for head in ("main@0", "side", "main"):
        bands.checkout(head)
        for label, view in views.items():
            assert sorted(one.raw for one in _raw(view)) == expected[label], (head, label)
    assert len(overlays(bands)) == len(labels)
    step(bands, 4)
    assert sorted(one.raw for one in _raw(views["main@3"])) == expected["main@3"]
    assert problems(bands) == []


def _raw(view: PastCollection) -> Any:
    same = VersionedCollection(view.database, view.name, codec_options=RAW)
    return same.at(view.version).find()


def test_ids_of_every_kind_and_twins(anydb):
    ids = [
        1,
        True,
        "1",
        None,
        Decimal128("2"),
        {"a": 1},
        {"a": 1.0, "b": 1},
        Int64(7),
        Binary(b"x"),
    ]
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": id_, "x": n} for n, id_ in enumerate(ids)])
    bands.init()
    first = raws(bands)
    for id_ in (1, Decimal128("2"), Int64(7), {"a": 1}):
        bands.delete_one({"_id": id_})
    bands.insert_many([{"_id": 1.0}, {"_id": 2}, {"_id": 7}, {"_id": {"a": 1.0}}])
    bands.register("twins")
    second = raws(bands)
    assert (found(bands.at(0)), found(bands.at(1))) == (first, second)
    bands.delete_one({"_id": 1.0})
    bands.insert_one({"_id": Int64(1), "dirty": True})
    assert (found(bands.at(0)), found(bands.at(1))) == (first, second)
    assert bands.at(1).count_documents({"_id": 1}) == 1
    assert [one["_id"] for one in bands.at(0).find({"_id": 1}).sort("_id")] == [1]
    bands.discard_changes()
    bands.checkout(0)
    assert (found(bands.at(0)), found(bands.at(1))) == (first, second)


IDS_MADE_TWINS = {
    "replace_one": lambda plain: plain.replace_one({"_id": 1}, {"_id": 1.0, "n": 9}),
    "a pipeline": lambda plain: plain.update_one(
        {"_id": 1}, [{"$set": {"_id": {"$toDouble": "$_id"}, "n": 9}}]
    ),
    "find_one_and_replace": lambda plain: plain.find_one_and_replace(
        {"_id": 1}, {"_id": Int64(1), "n": 9}
    ),
    "within an id": lambda plain: plain.replace_one(
        {"_id": {"a": 1}}, {"_id": {"a": 1.0}, "n": 9}
    ),
}


@pytest.mark.parametrize("made", IDS_MADE_TWINS.values(), ids=IDS_MADE_TWINS)
def test_an_uncommitted_twin_that_took_the_place_where_it_stood(db, made):
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "n": 0}, {"_id": {"a": 1}, "n": 0}, {"_id": 2.5, "n": 0}])
    bands.init()
    first = raws(bands)
    made(bands)

    def reads(view: PastCollection) -> tuple[Any, ...]:
        ordered = [one["n"] for one in view.find().sort("_id")]
        return found(view), view.count_documents({}), view.find_one({"n": 9}), ordered

    expected = (first, 3, None, [0, 0, 0])
    assert reads(bands.at("main@0")) == reads(bands.at("HEAD")) == expected
    bands.status()  # what was noticed is noted
    fresh = VersionedCollection(db, "bands")
    assert reads(fresh.at("HEAD")) == expected
    bands.register("twins")
    assert reads(fresh.at("main@0")) == reads(bands.at("main@0")) == expected
    assert found(bands.at("main@1")) == raws(bands) != first


def test_large_and_odd_documents(anydb):
    bands = VersionedCollection(anydb, "bands")
    odd = RawBSONDocument(b"\x1f\0\0\0\x10_id\0\7\0\0\0\x10a\0\1\0\0\0\x10a\0\2\0\0\0\x06u\0\0")
    large = {"_id": 1, "v": b"a" * 15_900_000}
    bands.insert_many([large, odd, {"_id": 3, "$x": 1}])
    bands.init()
    first = all_of(bands)
    bands.delete_one({"_id": 7})
    bands.update_one({"_id": 1}, {"$set": {"v": b"b" * 15_900_000}})
    bands.delete_one({"_id": 3})
    bands.register("changed")
    second = all_of(bands)
    assert (found(bands.at(0)), found(bands.at(1))) == (first, second)
    assert [one["_id"] for one in bands.at(0).find({}, {"_id": 1}).sort("_id")] == [1, 3, 7]
    ordered = bands.with_options(codec_options=RAW).at(0).find().sort("_id", -1)
    assert sorted(bytes(one.raw) for one in ordered) == first


def test_texts_under_a_collation(db):
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": "a", "x": 1}, {"_id": "A", "x": 2}, {"_id": "b", "x": 3}])
    bands.init()
    bands.update_one({"_id": "A"}, {"$set": {"x": 4}})
    bands.register("A")
    bands.update_one({"_id": "b"}, {"$set": {"x": 5}})
    insensitive = Collation("en", strength=2)
    for label, xs in (("main@0", [1, 2, 3]), ("main@1", [1, 3, 4])):
        view = bands.at(label)
        assert sorted(one["x"] for one in view.find(collation=insensitive)) == xs
        assert [one["x"] for one in view.find().sort("x").collation(insensitive)] == xs
        assert view.count_documents({}, collation=insensitive) == 3
        assert view.count_documents({"_id": "a"}, collation=insensitive) == 2
        assert len(view.distinct("_id", collation=insensitive)) == 2
        assert view.count_documents({"_id": "a"}) == 1


def test_a_collection_with_a_collation(db):
    db.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": "a", "x": "P"}, {"_id": "b", "x": "q"}, {"_id": "c", "x": "R"}])
    bands.init()
    bands.delete_one({"_id": "a"})
    bands.insert_one({"_id": "A", "x": "p"})
    bands.register("A")
    bands.update_one({"_id": "c"}, {"$set": {"dirty": True}})
    for label, id_ in (("main@0", "a"), ("main@1", "A")):
        view = bands.at(label)
        assert [one["_id"] for one in view.find({"x": "P"})] == [id_]
        assert [one["_id"] for one in view.find({"x": "p"}).sort("x")] == [id_]
        assert [one["_id"] for one in view.find().sort("x")] == [id_, "b", "c"]
        assert view.count_documents({"_id": "A"}) == 1
        assert len(view.distinct("x")) == 3
        assert view.count_documents({"_id": "A"}, collation={"locale": "simple"}) == (id_ == "A")


# -- overlays ------------------------------------------------------------------------------


def test_overlays_are_known_to_all_that_looks_after_trackers(anydb):
    bands = grown(anydb)
    bands.at("main@0").prepare()
    bands.at("side").prepare()
    assert len(overlays(bands)) == 2
    assert problems(bands) == []
    groups = bands.rename("groups")
    assert len(overlays(groups)) == 2
    assert overlays(bands) == []
    assert groups.at("side").find_one(1)["mark"] == "s1"
    assert len(overlays(groups)) == 2
    assert groups.gc()["overlays"] == 2
    assert overlays(groups) == []
    assert groups.at("side").find_one(1)["mark"] == "s1"
    groups.drop()
    assert set(anydb.list_collection_names()) <= {"__vc_lock"}


def test_verify_tells_of_an_overlay_that_is_not_what_it_should_be(anydb):
    bands = grown(anydb)
    bands.at("main@0").prepare()
    anydb[overlays(bands)[0]].update_one({"_id": 1}, {"$set": {"forged": True}})
    assert problems(bands) == ["overlay"]
    bands.gc()
    assert problems(bands) == []
    assert bands.at("main@0").count_documents({"forged": True}) == 0


def test_the_overlay_that_was_read_longest_ago_makes_room(db, monkeypatch):
    bands = tracked(db)
    for value in range(1, 6):
        step(bands, value)
    monkeypatch.setattr(building, "MOST_OVERLAYS", 2)
    first = bands.at("main@0")
    for number in range(5):
        assert bands.at(number).find_one(1).get("mark") == (number or None)
        assert len(overlays(bands)) <= 2
    assert first.find_one(1).get("mark") is None
    monkeypatch.setattr(building, "MOST_BYTES", 0)
    assert bands.at(2).find_one(1)["mark"] == 2
    assert len(overlays(bands)) == 1


def test_where_too_much_differs_the_overlay_is_whole(db, monkeypatch):
    monkeypatch.setattr(building, "MOST_TOUCHED", 1)
    bands = tracked(db)
    bands.update_many({}, {"$set": {"mark": 1}})
    bands.register("all")
    assert bands.at(0).count_documents({"mark": 1}) == 0
    assert db[overlays(bands)[0]].count_documents({}) == 3
    step(bands, 2)
    assert bands.at(1).count_documents({"mark": 1}) == 3
    assert bands.at(0).count_documents({}) == 3


def test_overlays_have_the_indexes_of_the_collection(db):
    bands = tracked(db)
    bands.create_index("name", unique=True, name="by name")
    bands.create_index([("since.year", -1)], expireAfterSeconds=1)
    bands.create_index([("missing", "2dsphere")])
    step(bands, 1)
    view = bands.at("main@0")
    view.prepare()
    indexes = db[overlays(bands)[0]].index_information()
    assert len(indexes) == 4
    assert not any("unique" in one or "expireAfterSeconds" in one for one in indexes.values())
    assert view.find({"name": "Pulp"}).hint("by name").to_list()[0].get("mark") is None
    assert view.find().sort("name").hint([("name", 1)]).to_list()[0]["name"] == "Blur"


def test_a_large_extension_is_made_anew(db, small_limits):
    bands = tracked(db)
    step(bands, 1)
    view = bands.at("main@0")
    view.prepare()
    bands.insert_many([{"_id": n} for n in range(10, 20)])
    bands.register("many")
    assert view.count_documents({}) == 3
    assert view.find_one(1).get("mark") is None
    assert len(overlays(bands)) == 1
    assert problems(bands) == []


def test_a_version_that_is_gone(db):
    bands = grown(db)
    view = bands.at("side@1")
    bands.delete_version_subtree("side@0")
    with pytest.raises(errors.InvalidCollectionVersion, match="any more"):
        view.find_one()
    bands.at("main@0").prepare()
    gone = bands.at("main@0")
    bands.drop()
    for look in (gone.find_one, gone.prepare):
        with pytest.raises(errors.CollectionNotTracked):
            look()


def test_overlays_go_while_they_are_read(db):
    bands = grown(db)
    bands.insert_many([{"_id": n} for n in range(10, 300)])
    bands.register("many")
    step(bands, 5)
    view = bands.at("main@4")
    assert view.count_documents({}) == 293
    bands.gc()  # short reads are made again
    assert view.count_documents({}) == 293
    assert view.find_one({"mark": 3})["_id"] == 1
    cursor = view.find(batch_size=10)
    next(cursor)
    bands.gc()
    with pytest.raises(errors.SnapshotUnavailable, match="read again"):
        list(cursor)
    assert len(list(cursor.rewind())) == 293


def test_indexes_come_and_go_while_something_is_read(db):
    bands = grown(db)
    view = bands.at("main@1")
    assert view.find_one(1)["mark"] == 1
    bands.create_index("name")
    assert view.find_one({"name": "Pulp"})["mark"] == 1
    assert bands.at("HEAD").find_one({"name": "Pulp"})["mark"] == 3
    bands.drop_indexes()
    assert view.find({"name": "Pulp"}).sort("name").next()["mark"] == 1


def test_reads_change_nothing(db):
    bands = grown(db)
    edit(bands, "dirty")
    bands.at("main@0").find_one()
    before = everything(db)
    for label in ("main@0", "HEAD"):
        view = bands.at(label)
        view.find_one()
        view.count_documents({})
    assert {name: raws for name, raws in everything(db).items() if "past" not in name} == {
        name: raws for name, raws in before.items() if "past" not in name
    }
    assert mark(bands) == "dirty"


# -- bad arguments -------------------------------------------------------------------------


def test_every_write_of_pymongo_is_refused(db):
    view = grown(db).at("main@1")
    before = everything(db)
    for name in WRITES:
        with pytest.raises(errors.ReadOnlyVersion, match="checkout") as caught:
            getattr(view, name)({})
        assert caught.value.method == name
    assert everything(db) == before
    public = {name for name in dir(Collection) if not name.startswith("_")}
    writing = ("insert", "update", "delete", "replace", "drop", "create", "rename", "write")
    assert {name for name in public if any(word in name for word in writing)} - set(WRITES) <= {
        "write_concern"
    }
    assert inspect.getdoc(PastCollection.insert_one)


def test_arguments_of_the_wrong_type(db):
    view = grown(db).at("main@1")
    for call in (
        lambda: view.find("x"),
        lambda: view.find({}, "name"),
        lambda: view.find({}, [1]),
        lambda: view.find(skip="1"),
        lambda: view.find(limit=True),
        lambda: view.find().sort([("a",)]),
        lambda: view.find().sort([1]),
        lambda: view.find(collation="en"),
        lambda: view.aggregate({"$match": {}}),
        lambda: view.aggregate(["$match"]),
        lambda: view.distinct(1),
        lambda: view.distinct("a", "b"),
        lambda: view.count_documents(1),
        lambda: view.find(let=1),
        lambda: view.find(sort=5),
        lambda: view.find(hint=object()),
    ):
        with pytest.raises(errors.InvalidType):
            call()


def test_arguments_that_cannot_be(db):
    view = grown(db).at("main@1")
    for call in (
        lambda: view.find({"a": object()}),
        lambda: view.find(skip=-1),
        lambda: view.find().limit(-1),
        lambda: view.find(batch_size=-1),
        lambda: view.find(session=object()),
        lambda: view.find(comment=object()),
        lambda: view.find().comment(object()),
        lambda: view.aggregate([{"$match": {"a": object()}}]),
        lambda: view.aggregate([], cursor={}),
        lambda: view.count_documents({}, skip=-1),
        lambda: view.distinct("a", show_record_id=True),
    ):
        with pytest.raises(errors.InvalidArgument):
            call()


def test_stages_that_do_not_go_with_a_version(db):
    view = grown(db).at("main@1")
    for stage in (
        {"$out": "elsewhere"},
        {"$merge": {"into": "bands"}},
        {"$collStats": {}},
        {"$indexStats": {}},
        {"$changeStream": {}},
        {"$facet": {"a": [{"$geoNear": {}}]}},
    ):
        with pytest.raises(errors.NotSupported):
            view.aggregate([stage])
    assert "elsewhere" not in db.list_collection_names()
    with pytest.raises(errors.NotSupported, match="geoWithin"):
        view.find({"$and": [{"place": {"$near": [0, 0]}}]})
    script = {"$and": [{"$where": "this.mark == 1"}]}
    assert view.find(script).to_list()[0]["_id"] == 1
    for call in (
        lambda: view.find(script).sort("name").to_list(),
        lambda: view.find_one(script, sort=[("name", 1)]),
        lambda: view.count_documents(script),
    ):
        with pytest.raises(errors.NotSupported, match=r"\$where"):
            call()


def test_the_server_says_what_it_does_not_understand(anydb):
    view = grown(anydb).at("main@1")
    for query in ({"$nothing": 1}, {"a": {"$in": 1}}):
        with pytest.raises(OperationFailure):
            view.find(query).to_list()
        with pytest.raises(OperationFailure):
            view.find(query).sort("a").to_list()
        with pytest.raises(OperationFailure):
            view.count_documents(query)
    assert view.find_one(1)["mark"] == 1


# -- time limits of the driver -------------------------------------------------------------


@pytest.mark.sweep
@pytest.mark.parametrize("limit", ["of the client", "of the caller"])
def test_many_replies_of_one_cursor_under_a_time_limit(server, db, limit):
    options: dict[str, Any] = {"timeoutMS": 60_000} if limit == "of the client" else {}
    with MongoClient[Any](server.uri, **options) as client:
        bands = VersionedCollection(client[db.name], "bands")
        bands.insert_many({"_id": k, "text": "x" * 2_000_000} for k in range(9))  # above 16 MB
        bands.init()
        bands.delete_many({})
        bands.register("none")
        with timeout(60 if limit == "of the caller" else None):
            assert len(list(bands.at("main@0").find())) == 9
            bands.checkout("main@0")
            assert problems(bands) == []


class Heard(CommandListener):
    """Counts commands by their names."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()

    def started(self, event: Any) -> None:
        self.commands[event.command_name] += 1

    def succeeded(self, event: Any) -> None:
        pass

    failed = succeeded


def test_little_is_asked_for_where_few_documents_of_many_are_of_the_version(server, db):
    heard = Heard()
    with MongoClient(server.uri, event_listeners=[heard]) as client:
        bands = VersionedCollection(client[db.name], "bands")
        bands.insert_many({"_id": n, "a": 0} for n in range(400))
        bands.init()
        bands.update_many({}, {"$set": {"a": 1}})
        bands.register("all")
        view = bands.at(0)
        view.prepare()
        for read in (view.find_one, view.find().limit(3).to_list):
            heard.commands.clear()
            assert read()
            assert heard.commands["getMore"] < 12


def test_times_at_the_ends_of_the_calendar(db):
    bands = grown(db)
    east, west = (timezone(timedelta(hours=hours)) for hours in (14, -12))
    for zone in (east, west, timezone.utc, None):
        assert bands.at(datetime.max.replace(tzinfo=zone)).version.label == "main@3"
        with pytest.raises(errors.InvalidCollectionVersion, match="as old as"):
            bands.at(datetime.min.replace(tzinfo=zone))
    assert bands.at("main@{9999-12-31T23:59:59-12:00}").version.label == "main@3"
    assert len(list(bands.log(until=datetime.max.replace(tzinfo=west)))) == 4
