"""Random histories, and random queries of their documents."""

from __future__ import annotations

from typing import Any

from bson import Decimal128, Int64
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from versioned_collection import VersionedCollection
from versioned_collection.errors import AutoMergeFailedError

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


def change(collection: Any, some: list[tuple[Any, str, Any]]) -> None:
    """Make changes, each of an id, a field (``z`` stands for the whole document), a value."""
    for id_, name, value in some:
        if name == "z":
            collection.delete_one({"_id": id_})
        elif collection.update_one({"_id": id_}, {"$set": {name: value}}).matched_count == 0:
            collection.insert_one({"_id": id_, name: value})


def grow(collection: VersionedCollection, history: Any) -> None:
    """Register what `steps` drew, each version on a branch of its own."""
    for turn, (kind, some) in enumerate(history):
        if kind == "branch":
            collection.checkout("main@0")
        change(collection, some)
        if collection.register(f"v{turn}", f"b{turn}") and kind == "merge":
            try:
                collection.merge(min(collection.branches()), resolver="theirs")
            except AutoMergeFailedError:  # their 1 waits while our 1.0 is there
                collection.abort_merge()


def tried(count: int) -> Any:
    """Return the settings of a test that tries so many histories on a database."""
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
