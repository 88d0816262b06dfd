"""Queries of a version answer as those of a plain collection that holds its documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
import pytest
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from versioned_collection import PastCollection, VersionedCollection, errors
from versioned_collection.past import moment

Document = dict[str, Any]
Read = Callable[[Any], Any]


def answers(reads: dict[str, Read], collection: Any) -> dict[str, list[bytes]]:
    """Return what a collection answers, without an order."""
    return {
        name: sorted(bson.encode({"": one}) for one in read(collection))
        for name, read in reads.items()
    }


def beside(
    db: Database[Any], documents: list[Document], name: str = "bands", **options: Any
) -> tuple[VersionedCollection, Collection[Any]]:
    """Return a collection at main@0 and a plain one that holds the same documents."""
    bands = VersionedCollection(db, name, **options)
    bands.insert_many([dict(one) for one in documents])
    bands.init("start")
    db[f"plain {name}"].insert_many([dict(one) for one in documents])
    return bands, db[f"plain {name}"]


def compare(view: PastCollection[Any], plain: Collection[Any], reads: dict[str, Read]) -> None:
    assert answers(reads, view) == answers(reads, plain)


# -- projections that change ids -----------------------------------------------------------


@pytest.fixture
def nested(db: Database[Any]) -> tuple[PastCollection[Any], Collection[Any]]:
    """main@0, a document of which was changed since, and another one is about to."""
    documents = [
        {"_id": {"k": n, "z": 0}, "n": n, "q": [n, 7], "d": {"q": [1, n]}} for n in range(4)
    ]
    bands, plain = beside(db, documents)
    bands.update_one({"n": 1}, {"$set": {"n": 9}})
    bands.register("nine")
    bands.update_one({"n": 2}, {"$set": {"n": 8}})
    return bands.at("main@0"), plain


@pytest.mark.parametrize(
    "projection",
    [
        {"_id.z": 0},
        {"_id.k": 1},
        {"_id.k": 1, "n": 1},
        {"_id.a": 1},
        {"_id": {"k": 1}, "n": 1},
        {"_id": {"z": 0}},
        {"_id": "$n", "n": 1},
        ["_id.k", "n"],
    ],
    ids=str,
)
def test_a_part_of_the_id_is_projected(nested, projection):
    view, plain = nested
    reads: dict[str, Read] = {
        "all": lambda one: one.find({}, projection),
        "sorted": lambda one: one.find({}, projection, sort=[("n", 1)], limit=2),
        "one": lambda one: [one.find_one({"_id": {"k": 1, "z": 0}}, projection)],
        "as many as there are": lambda one: one.find({}, projection).limit(4),
    }
    compare(view, plain, reads)


def test_a_part_of_an_id_that_has_none(db):
    bands, plain = beside(db, [{"_id": n, "n": n} for n in range(3)])
    bands.update_one({"_id": 1}, {"$set": {"n": 9}})
    bands.register("nine")
    compare(bands.at("main@0"), plain, {"all": lambda one: one.find({}, {"_id.a": 1})})


@pytest.mark.parametrize("label", ["main@0", "main@1"])
def test_ids_are_computed_under_a_collation(db, label):
    documents = [{"_id": "a", "n": 1}, {"_id": "A", "n": 2}, {"_id": "b", "n": 3}]
    bands, plain = beside(db, documents)
    bands.update_one({"_id": "a"}, {"$set": {"n": 10}})
    bands.register("ten")
    if label == "main@1":
        plain.update_one({"_id": "a"}, {"$set": {"n": 10}})
    bands.update_one({"_id": "b"}, {"$set": {"n": 30}})
    bands.insert_one({"_id": "B", "n": 5})
    options = {"collation": {"locale": "en", "strength": 2}}
    reads: dict[str, Read] = {
        "computed": lambda one: one.find({}, {"_id": "$n"}, **options),
        "kept": lambda one: one.find({"_id": {"$gte": "A"}}, {"n": 1}, **options),
        "left out": lambda one: one.find({}, {"_id": 0, "n": 1}, **options),
        "computed, with a limit": lambda one: one.find({}, {"_id": "$n"}, limit=3, **options),
    }
    compare(bands.at(label), plain, reads)


# -- projections that only a find makes, in order ------------------------------------------


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize(
    "projection",
    [
        {"_id": "$n", "q": {"$slice": 1}},
        {"_id.z": 0, "q": {"$slice": [1, 1]}},
        {"_id.k": 1, "q": {"$elemMatch": {"$gt": 2}}},
        {"_id": 0, "q": {"$slice": -1}},
        {"d": {"q": {"$slice": 1}}},
        {"n": 1, "d": {"q": {"$slice": 1}}},
        {"n": 1, "q": {"$slice": ["$q", 1, 1]}},
        {"n": 1, "d": {"q": {"$slice": ["$q", 1, 1]}}},
        {"n": 1, "q": {"$reverseArray": {"$slice": ["$d.q", 1]}}},
    ],
    ids=str,
)
def test_a_find_makes_the_projection_in_order(nested, projection, is_whole):
    view, plain = nested
    if is_whole:
        view.prepare(whole=True)
    for options in ({}, {"skip": 1, "limit": 2}, {"limit": 3}, {"skip": 3}, {"batch_size": 2}):
        ways = [list(one.find({}, projection, sort={"n": -1}, **options)) for one in (view, plain)]
        assert ways[0] == ways[1]


# -- text searches -------------------------------------------------------------------------

SEARCH = {"$text": {"$search": "foo"}}
SCORE = {"score": {"$meta": "textScore"}}
SEARCHES: dict[str, Read] = {
    "find": lambda one: one.find(SEARCH),
    "find scores": lambda one: one.find(SEARCH, SCORE),
    "find sorted": lambda one: one.find(SEARCH, sort=[("_id", 1)], limit=3),
    "find sorted by score": lambda one: [[*one.find(SEARCH, sort=SCORE)]],
    "find the best": lambda one: one.find({"$and": [SEARCH]}, SCORE).sort(SCORE).limit(3),
    "find ids by score": lambda one: [[*one.find(SEARCH, {"_id": 1}, sort=SCORE)]],
    "count": lambda one: [one.count_documents(SEARCH)],
    "distinct": lambda one: one.distinct("_id", SEARCH),
    "group": lambda one: one.aggregate([{"$match": SEARCH}, {"$count": "n"}]),
    "rank": lambda one: [
        [*one.aggregate([{"$match": SEARCH}, {"$sort": SCORE}, {"$project": SCORE}])]
    ],
}


@pytest.mark.parametrize("when", ["at first", "later", "changed"])
@pytest.mark.parametrize("state", ["clean", "uncommitted", "whole", "scanned"])
def test_a_text_search(db, state, when):
    documents = [{"_id": n, "t": "foo " * n + "bar", "u": "foo " * (9 - n)} for n in range(5)]
    bands, plain = beside(db, documents, capture="scan" if state == "scanned" else "auto")
    if when != "later":
        bands.create_index([("u" if when == "changed" else "t", "text")])
    bands.update_one({"_id": 1}, {"$set": {"t": "none", "u": "none"}})
    bands.register("none")
    view = bands.at("main@0")
    view.prepare(whole=state == "whole")
    if when == "changed":
        bands.drop_indexes()
    if when != "at first":
        bands.create_index([("t", "text")])
    if state == "uncommitted":
        bands.update_one({"_id": 3}, {"$set": {"t": "none"}})
    plain.create_index([("t", "text")])
    compare(view, plain, SEARCHES)


def test_a_text_search_whose_copy_has_gone(db):
    bands, plain = beside(db, [{"_id": 1, "t": "foo"}, {"_id": 2, "t": "foo"}])
    for one in (bands, plain):
        one.create_index([("t", "text")])
    bands.update_one({"_id": 1}, {"$set": {"t": "bar"}})
    view = bands.at("HEAD")
    for _ in range(3):
        compare(view, plain, {"find": lambda one: one.find(SEARCH, sort=[("_id", 1)])})
        bands.gc()


def test_a_text_search_without_an_index_is_refused_by_the_server(db):
    bands, _ = beside(db, [{"_id": 1, "t": "foo"}])
    bands.delete_many({})
    bands.register("none")
    with pytest.raises(OperationFailure, match="text index"):
        bands.at("main@0").find(SEARCH).to_list()
    assert len([name for name in db.list_collection_names() if "__past" in name]) == 2


def test_a_text_search_that_the_documents_of_the_version_rule_out(db):
    bands, _ = beside(db, [{"_id": 1, "t": "foo", "language": "klingon"}])
    bands.delete_many({})
    bands.register("none")
    bands.create_index([("t", "text")])
    with pytest.raises(errors.NotSupported, match=r"\$regex"):
        bands.at("main@0").find(SEARCH).to_list()


# -- hints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", ["n_1", [("n", 1)], {"_id": 1}, "_id_", {"$natural": 1}], ids=str)
@pytest.mark.parametrize("state", ["clean", "many", "scanned", "dropped", "whole", "whole, later"])
def test_hints(db, monkeypatch, state, hint):
    documents = [{"_id": n, "n": n % 3} for n in range(9)]
    bands, plain = beside(db, documents, capture="scan" if state == "scanned" else "auto")
    plain.create_index("n")
    if state != "whole, later":
        bands.create_index("n")
    bands.update_one({"_id": 1}, {"$set": {"n": 9}})
    bands.register("nine")
    view = bands.at("main@0")
    view.prepare(whole=state.startswith("whole"))
    if state == "whole, later":
        bands.create_index("n")
    bands.update_many({"_id": {"$gt": 5}}, {"$set": {"n": 7}})
    if state == "many":
        monkeypatch.setattr(moment, "MOST_MODIFIED", 1)
    elif state == "dropped":
        db["bands"].drop()
    some = {"n": {"$gte": 1}}
    reads: dict[str, Read] = {
        "find": lambda one: one.find(some, hint=hint),
        "sorted": lambda one: one.find(some, sort=[("n", 1)], hint=hint),
        "sliced": lambda one: one.find(some, {"q": {"$slice": 1}}, sort=[("n", 1)]).hint(hint),
        "count": lambda one: [one.count_documents(some, hint=hint)],
        "aggregate": lambda one: one.aggregate(
            [{"$match": some}], hint=dict(hint) if isinstance(hint, list) else hint
        ),
    }
    compare(view, plain, reads)


@pytest.mark.parametrize("kind", [1, "text"])
def test_an_index_that_came_after_a_look(db, kind):
    bands, plain = beside(db, [{"_id": 1, "t": "foo"}, {"_id": 2, "t": "foo"}])
    bands.update_one({"_id": 1}, {"$set": {"t": "bar"}})
    bands.register("bar")
    for label in ("main@0", "HEAD"):
        assert bands.at(label).count_documents({}) == 2
    plain.create_index([("t", kind)], name="of t")
    bands.create_index([("t", kind)], name="of t")
    reads: dict[str, Read] = {
        "count": lambda one: [one.count_documents(SEARCH)],
        "find": lambda one: one.find(SEARCH),
    }
    if kind == 1:
        reads = {"find": lambda one: one.find({"t": "foo"}, hint="of t")}
    compare(bands.at("main@0"), plain, reads)
    plain.update_one({"_id": 1}, {"$set": {"t": "bar"}})
    compare(bands.at("HEAD"), plain, reads)


def test_a_hint_that_the_collection_does_not_know(db):
    view = beside(db, [{"_id": 1}])[0].at("main@0")
    with pytest.raises(OperationFailure, match="hint"):
        view.find({}, hint="nothing").to_list()


@pytest.mark.parametrize("option", ["hint", "let", "allowDiskUse", "batch_size"])
def test_options_that_distinct_does_not_have(db, option):
    view = beside(db, [{"_id": 1}])[0].at("main@0")
    with pytest.raises(errors.InvalidArgument, match="comment"):
        view.distinct("n", {}, **{option: {"_id": 1}})
    assert view.distinct("_id", comment="why", max_time_ms=10_000) == [1]


# -- options and numbers -------------------------------------------------------------------


@pytest.mark.parametrize("is_whole", [False, True])
def test_options_that_change_nothing(nested, is_whole):
    view, plain = nested
    view.prepare(whole=is_whole)
    count = [{"$count": "n"}]
    reads: dict[str, Read] = {
        "no fields": lambda one: one.find({}, []),
        "find": lambda one: one.find({}, session=None, no_cursor_timeout=True, comment="why"),
        "sorted": lambda one: one.find({}, sort=[("n", 1)], no_cursor_timeout=True),
        "aggregate": lambda one: one.aggregate([], batchSize=2, session=None, comment="why"),
        "aggregate none": lambda one: one.aggregate(count, batchSize=None),
        "count": lambda one: [one.count_documents({}, session=None, comment="why")],
        "estimate": lambda one: [one.estimated_document_count(comment="why", maxTimeMS=10_000)],
        "distinct": lambda one: one.distinct("n", session=None, comment="why"),
    }
    compare(view, plain, reads)
    for call in (
        lambda: view.find(session=object()),
        lambda: view.aggregate([], no_cursor_timeout=True),
        lambda: view.aggregate([], batchSize=-1),
        lambda: view.count_documents({}, session=object()),
    ):
        with pytest.raises(errors.InvalidArgument):
            call()


def test_options_of_other_types(nested):
    view, _ = nested
    for call in (
        lambda: view.find(max_time_ms="soon"),
        lambda: view.find(max_time_ms=True),
        lambda: view.find(allow_disk_use=1),
        lambda: view.find(no_cursor_timeout="no"),
        lambda: view.find().max_time_ms(1.5),
        lambda: view.find().allow_disk_use(None),
        lambda: view.aggregate([], maxTimeMS="soon"),
        lambda: view.distinct("n", maxTimeMS=[]),
        lambda: view.count_documents({}, max_time_ms="soon"),
        lambda: view.estimated_document_count(max_time_ms="soon"),
    ):
        with pytest.raises(errors.InvalidType):
            call()
    with pytest.raises(errors.InvalidArgument, match="negative"):
        view.find().max_time_ms(-1)


@pytest.mark.parametrize("sort", [None, [("n", 1)]])
@pytest.mark.parametrize("is_whole", [False, True])
def test_large_numbers(nested, sort, is_whole):
    view, plain = nested
    view.prepare(whole=is_whole)
    largest = 2**63 - 1
    for skip, limit in ((1, largest), (2**31, 2**31), (largest, 1), (3, 2**62), (0, largest)):
        found = [list(one.find(sort=sort).skip(skip).limit(limit)) for one in (view, plain)]
        assert len(found[0]) == len(found[1])
        assert found[0] == found[1] or sort is None
    assert view.find(sort=sort).skip(2**62).limit(2**62).to_list() == []
    assert view.count_documents({}, skip=1, limit=largest) == 3
    for call in (view.find().limit, view.find().skip):
        with pytest.raises(errors.InvalidArgument, match="at most"):
            call(largest + 1)


# -- values that look like operators and stages --------------------------------------------


@pytest.mark.parametrize(
    "filter_",
    [
        {"x": {"$eq": {"a": {"$near": 1}}}},
        {"x": {"a": {"$near": [0, 0]}}},
        {"x": {"$in": [{"a": {"$geoNear": 1}}]}},
        {"x": {"$not": {"$eq": {"$out": 1}}}},
        {"$expr": {"$eq": ["$x", {"$literal": {"$merge": 1}}]}},
        {"$or": [{"x": {"$elemMatch": {"$eq": {"$near": 1}}}}, {"x": 1}]},
    ],
    ids=str,
)
def test_values_that_look_like_operators(db, filter_):
    bands, plain = beside(db, [{"_id": 1, "x": 1}, {"_id": 2, "x": {"a": {"b": 1}}}])
    bands.delete_many({})
    bands.register("none")
    reads: dict[str, Read] = {
        "find": lambda one: one.find(filter_),
        "count": lambda one: [one.count_documents(filter_)],
        "computed": lambda one: one.aggregate([{"$addFields": {"q": {"$literal": filter_}}}]),
        "in a pipeline": lambda one: one.aggregate([{"$facet": {"a": [{"$match": filter_}]}}]),
    }
    compare(bands.at("main@0"), plain, reads)


@pytest.mark.parametrize(
    "filter_",
    [
        {"p": {"$near": [0, 0]}},
        {"p": {"$nearSphere": [0, 0], "$maxDistance": 1}},
        {"p": {"$geoNear": [0, 0]}},
        {"$and": [{"x": 1}, {"p": {"$near": [0, 0]}}]},
        {"p": {"$not": {"$near": [0, 0]}}},
        {"p": {"$all": [{"$elemMatch": {"q": {"$near": [0, 0]}}}]}},
    ],
    ids=str,
)
def test_nearness_is_noticed_where_it_is_asked_for(db, filter_):
    view = beside(db, [{"_id": 1}])[0].at("main@0")
    with pytest.raises(errors.NotSupported, match="geoWithin"):
        view.find(filter_)


@pytest.mark.parametrize(
    "stage",
    [
        {"$facet": {"a": [{"$match": {}}, {"$out": "x"}]}},
        {"$lookup": {"from": "x", "pipeline": [{"$merge": "x"}], "as": "a"}},
        {"$unionWith": {"coll": "x", "pipeline": [{"$facet": {"a": [{"$collStats": {}}]}}]}},
    ],
    ids=str,
)
def test_stages_within_others_are_noticed(db, stage):
    with pytest.raises(errors.NotSupported):
        beside(db, [{"_id": 1}])[0].at("main@0").aggregate([stage])


# -- many uncommitted documents ------------------------------------------------------------


@pytest.mark.sweep
def test_beside_ids_that_no_query_could_name(db):
    bands, plain = beside(db, [{"_id": n, "n": n} for n in range(5)])
    bands.update_one({"_id": 1}, {"$set": {"n": 9}})
    bands.register("nine")
    bands.insert_many({"_id": f"{n}-" + "x" * 8_000, "n": n} for n in range(2_200))  # over 16 MB
    before = bands.at("main@0")
    reads: dict[str, Read] = {
        "find": lambda one: one.find({}),
        "sort": lambda one: one.find({}).sort("n").limit(3),
        "slice": lambda one: one.find({}, {"q": {"$slice": 1}}).sort("n"),
        "computed": lambda one: one.find({}, {"_id": "$n"}),
        "distinct": lambda one: one.distinct("n"),
        "count": lambda one: [one.count_documents({})],
        "aggregate": lambda one: one.aggregate([{"$group": {"_id": "$n"}}]),
    }
    compare(before, plain, reads)
    found = {one.version.label: one.appeared for one in bands.find_versions({"n": {"$gte": 0}})}
    assert found == {"main@0": [0, 1, 2, 3, 4]}
    assert bands.restore({"n": 1}, "main@0").document_ids == [1]
    bands.register("many")
    for view in (before, bands.at("main@0")):
        compare(view, plain, reads)
    assert bands.at("HEAD").count_documents({}) == 2_205
