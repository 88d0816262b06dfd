"""What is read of a version is what a checkout of it would show: random histories and queries."""

from __future__ import annotations

import itertools
from typing import Any

import bson
import pytest
from api_support import RAW
from bson import Decimal128, Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import OperationFailure

from versioned_collection import VersionedCollection
from versioned_collection.core.document import document_key, twin_token

IDS = (1, 1.0, Int64(2), True, "a", "A", None, {"a": 1}, 7, 8)
VALUES = (
    None,
    0,
    1,
    1.0,
    2.5,
    Decimal128("1"),
    "a",
    "A",
    "ab",
    True,
    [],
    [1, 2],
    [{"b": 1}, {"b": 2}],
)
VALUES += ({"b": 1}, {"b": [1, "a"]}, {"c": None}, {"b": {"c": 1}})

ids = st.sampled_from(IDS)
values = st.sampled_from(VALUES)
names = st.sampled_from(("x", "y", "x.b", "y.b", "x.0", "x.b.c", "_id"))
operators = st.one_of(
    st.builds(
        lambda op, value: {op: value}, st.sampled_from(("$eq", "$ne", "$gt", "$lte")), values
    ),
    st.builds(lambda some: {"$in": some}, st.lists(values, max_size=3)),
    st.builds(lambda some: {"$nin": some}, st.lists(values, max_size=3)),
    st.sampled_from(
        (
            {"$exists": True},
            {"$exists": False},
            {"$type": "number"},
            {"$type": "array"},
            {"$regex": "^a", "$options": "i"},
            {"$size": 2},
            {"$all": [1, 2]},
            {"$mod": [2, 1]},
            {"$elemMatch": {"b": {"$gt": 1}}},
            {"$elemMatch": {"$gte": 2}},
            {"$not": {"$gt": 1}},
        )
    ),
    values,
)
conditions = st.one_of(
    st.builds(lambda name, how: {name: how}, names, operators),
    st.sampled_from(
        (
            {},
            {"$expr": {"$eq": ["$x", "$y"]}},
            {"$expr": {"$in": ["$y", [1, "a", None]]}},
            {"$expr": {"$gt": [{"$size": {"$ifNull": [{"$objectToArray": "$$ROOT"}, []]}}, 2]}},
        )
    ),
)
filters = st.one_of(
    conditions,
    st.builds(
        lambda how, some: {how: some},
        st.sampled_from(("$and", "$or", "$nor")),
        st.lists(conditions, min_size=1, max_size=3),
    ),
)
sorts = st.sampled_from((None, [("x", 1)], [("y.b", -1), ("x", 1)], [("_id", -1)]))
projections = st.sampled_from(
    (None, {"x": 1}, {"_id": 0, "y": 1}, {"x": 0}, {"y.b": 1}, {"x": {"$slice": 1}}, {"z": "$x"})
)
finds = st.fixed_dictionaries(
    {"filter": filters, "projection": projections, "sort": sorts, "skip": st.integers(0, 2)}
)
changes = st.lists(st.tuples(ids, st.sampled_from("xyz"), values), min_size=1, max_size=4)
steps = st.lists(
    st.tuples(st.sampled_from(("register", "register", "branch", "merge")), changes), max_size=5
)

_names = itertools.count()


def _change(collection: Any, some: list[tuple[Any, str, Any]]) -> None:
    for id_, name, value in some:
        if name == "z":
            collection.delete_one({"_id": id_})
        elif collection.update_one({"_id": id_}, {"$set": {name: value}}).matched_count == 0:
            collection.insert_one({"_id": id_, name: value})


def _grow(collection: VersionedCollection, history: Any) -> None:
    for turn, (kind, some) in enumerate(history):
        if kind == "branch":
            collection.checkout("main@0")
        _change(collection, some)
        if collection.register(f"v{turn}", f"b{turn}") and kind == "merge":
            collection.merge(min(collection.branches()), resolver="theirs")


def _answers(read: Any, asked: list[dict[str, Any]]) -> list[Any]:
    """Return what a collection answers, so that it can be compared."""
    return [_answer(read, dict(find)) for find in asked]


def _answer(read: Any, find: dict[str, Any]) -> Any:
    order = [*(find.pop("sort") or []), ("_id", 1)]
    try:
        ordered = [bytes(one.raw) for one in read.find(**find, sort=dict(order))]
        skip = find.pop("skip")
        plain = sorted(bytes(one.raw) for one in read.find(**find))
        rest = len(list(read.find(**find, skip=skip)))
        count = read.count_documents(find["filter"])
        grouped = [{"$match": find["filter"]}, {"$group": {"_id": "$y", "n": {"$sum": 1}}}]
        groups = {twin_token(document_key(bytes(one.raw))) for one in read.aggregate(grouped)}
        distinct = {repr(twin_token(key)) for key in _distinct(read, find["filter"])}
    except OperationFailure as error:
        return error.code
    return ordered, plain, rest, count, groups, distinct


def _distinct(read: Any, filter_: Any) -> Any:
    for value in read.distinct("x.b", filter_):
        plain = {"_id": value}
        yield document_key(bson.encode(plain))


def _is_as_after_a_checkout(
    db: Database[Any], history: Any, head: int, dirty: Any, asked: Any
) -> None:
    collection = VersionedCollection(db, f"c{next(_names)}", codec_options=RAW)
    collection.create_index("x")
    collection.insert_many(
        [{"_id": 1, "x": 1}, {"_id": "a", "y": [1, 2]}, {"_id": 7, "x": {"b": 1}}]
    )
    collection.init()
    _grow(collection, history)
    assert collection.version_tree is not None
    versions = list(collection.version_tree)
    collection.checkout(versions[head % len(versions)])
    _change(collection, dirty)
    found = {version: _answers(collection.at(version), asked) for version in versions}
    assert list(collection.verify()) == []
    collection.discard_changes()
    for version in versions:
        collection.checkout(version)
        assert found[version] == _answers(db.get_collection(collection.name, RAW), asked)
        assert found[version] == _answers(collection.at(version), asked)
    collection.drop()


examples = given(
    history=steps,
    head=st.integers(0, 9),
    dirty=changes | st.just([]),
    asked=st.lists(finds, min_size=4, max_size=8),
)


def _settings(count: int) -> Any:
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@_settings(5)
@examples
def test_a_read_is_as_after_a_checkout(db, history, head, dirty, asked):
    _is_as_after_a_checkout(db, history, head, dirty, asked)


@pytest.mark.sweep
@_settings(250)
@examples
def test_many_reads_are_as_after_a_checkout(anydb, history, head, dirty, asked):
    _is_as_after_a_checkout(anydb, history, head, dirty, asked)
