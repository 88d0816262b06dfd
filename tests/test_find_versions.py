"""find_versions and bisect: looking for versions by what their documents are."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from api_support import RAW, edit, grown, labels, step, tracked, untracked
from histories import filters, grow, steps, tried
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents, raw_document

from versioned_collection import VersionedCollection, errors
from versioned_collection.core.document import document_key, key_of
from versioned_collection.past import appearances

_names = itertools.count()


def told(found: Any) -> list[Any]:
    return [(one.version.label, one.appeared, one.disappeared) for one in found]


# -- find_versions -------------------------------------------------------------------------


def test_versions_in_which_documents_came_and_went(anydb):
    bands = grown(anydb)
    edit(bands, 2)  # uncommitted
    assert told(bands.find_versions({"mark": 2})) == [("main@3", [], [1]), ("main@2", [1], [])]
    assert told(bands.find_versions({"mark": {"$gte": 1}})) == [("main@1", [1], [])]
    assert told(bands.find_versions({"mark": "s0"})) == []
    assert told(bands.find_versions({"mark": "s0"}, "side")) == [
        ("side@1", [], [1]),
        ("side@0", [1], []),
    ]
    assert told(bands.find_versions({})) == [("main@0", [1, 2, 3], [])]
    assert told(bands.find_versions({"name": "Blur"}, "main@2")) == [("main@0", [2], [])]
    assert told(bands.find_versions({"mark": {"$exists": False}}, limit=1)) == [
        ("main@1", [], [1])
    ]
    assert told(bands.find_versions({"mark": 2}, limit=0)) == []


def test_deleted_and_inserted_again(anydb):
    bands = tracked(anydb)
    bands.delete_one({"_id": 2})
    bands.register("gone")
    bands.insert_one({"_id": 2, "name": "Blur"})
    bands.insert_one({"_id": 9, "name": "Blur"})
    bands.register("back")
    assert told(bands.find_versions({"name": "Blur"})) == [
        ("main@2", [2, 9], []),
        ("main@1", [], [2]),
        ("main@0", [2], []),
    ]


def test_what_a_merge_brought_counts_as_its_own(db):
    bands = grown(db)
    bands.checkout(branch="side")
    edit(bands, "from side", 3)
    bands.register("side")
    bands.checkout(branch="main")
    merged = bands.merge("side", resolver="ours")
    assert told(bands.find_versions({"mark": "from side"})) == [(merged.label, [3], [])]


def test_the_collation_of_the_collection_counts(db):
    db.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = tracked(db)
    bands.update_one({"_id": 1}, {"$set": {"name": "blur"}})
    bands.register("lower")
    assert told(bands.find_versions({"name": "BLUR"})) == [
        ("main@1", [1], []),
        ("main@0", [2], []),
    ]


@pytest.mark.sweep
def test_large_documents(db):
    bands = tracked(db)
    for turn in range(2):
        bands.replace_one({"_id": "large"}, {"v": f"{turn}" * 16_700_000}, upsert=True)
        bands.register("large")
    assert told(bands.find_versions({"v": {"$regex": "^1"}})) == [("main@2", ["large"], [])]


def test_few_states_at_a_time_find_the_same(db, monkeypatch):
    bands = grown(db)
    every = [{"mark": {"$exists": True}}, {"mark": {"$in": [1, 3]}}, {"since.year": 1978}]
    found = [told(bands.find_versions(filter_)) for filter_ in every]
    monkeypatch.setattr(appearances, "STATES", 2)
    monkeypatch.setattr(appearances, "_DELTAS", 1)
    assert [told(bands.find_versions(filter_)) for filter_ in every] == found


@pytest.mark.parametrize(
    ("filter_", "error"),
    [
        (None, errors.InvalidType),
        ("name", errors.InvalidType),
        ({"x": object()}, errors.InvalidArgument),
        ({"place": {"$near": [0, 0]}}, errors.NotSupported),
    ],
)
def test_wrong_filters(db, filter_, error):
    bands = tracked(db)
    with pytest.raises(error):
        bands.find_versions(filter_)


def test_wrong_arguments(db):
    with pytest.raises(errors.CollectionNotTracked):
        untracked(db, "fresh").find_versions({})
    bands = tracked(db)
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.find_versions({}, "nothing")
    with pytest.raises(errors.InvalidArgument):
        bands.find_versions({}, limit=-1)


# -- laws ----------------------------------------------------------------------------------


def _matching_ids(collection: Any, filter_: Any) -> set[bytes]:
    return {document_key(bytes(one.raw)) for one in collection.find(filter_)}


def _says_what_reading_each_version_says(db: Any, history: Any, asked: list[Any]) -> None:
    collection = VersionedCollection(db, f"c{next(_names)}", codec_options=RAW)
    collection.insert_many(
        [{"_id": 1, "x": 1}, {"_id": "a", "y": [1, 2]}, {"_id": 7, "x": {"b": 1}}]
    )
    collection.init()
    grow(collection, history)
    for filter_, tip in itertools.product(asked, sorted(collection.branches())):
        _check(collection, filter_, tip)
    collection.drop()


def _check(collection: VersionedCollection, filter_: Any, tip: str) -> None:
    chain = list(collection.log(tip))
    states = [_matching_ids(collection.at(version), filter_) for version in chain] + [set()]
    expected = {
        version.label: (now - before, before - now)
        for version, now, before in zip(chain, states, states[1:], strict=False)
        if now != before
    }
    found = {
        one.version.label: (
            {key_of(id_) for id_ in one.appeared},
            {key_of(id_) for id_ in one.disappeared},
        )
        for one in collection.find_versions(filter_, tip)
    }
    assert found == expected
    assert list(found) == list(expected)


_laws = given(history=steps, asked=st.lists(filters, min_size=1, max_size=4))


@tried(5)
@_laws
def test_it_says_what_reading_each_version_says(db, history, asked):
    _says_what_reading_each_version_says(db, history, asked)


@pytest.mark.sweep
@tried(200)
@_laws
def test_it_always_says_what_reading_each_version_says(anydb, history, asked):
    _says_what_reading_each_version_says(anydb, history, asked)


@tried(15)
@given(raw=documents())
def test_the_server_returns_states_as_they_were(db, raw):
    """Otherwise a state that matches would not be recognised."""
    collection = VersionedCollection(db, f"c{next(_names)}")
    collection.init()
    db[collection.name].insert_one(raw_document(raw))
    assert collection.register("insert")
    found = [one.version.label for one in collection.find_versions({"_id": {"$exists": True}})]
    assert found == ["main@1"]
    collection.drop()


# -- bisect --------------------------------------------------------------------------------


def test_bisect_by_a_filter(anydb):
    bands = tracked(anydb)
    for turn in range(1, 8):
        step(bands, turn)
    edit(bands, 99)  # uncommitted
    assert bands.bisect(0, "main", {"mark": {"$gte": 5}}).label == "main@5"
    assert bands.bisect("main@4", "main@5", {"mark": 5}).label == "main@5"


def test_bisect_by_a_callable_looks_at_few_versions(db):
    bands = tracked(db)
    for turn in range(1, 17):
        step(bands, turn)
    looked: list[Any] = []

    def is_bad(version: Any) -> bool:
        looked.append(version.version)
        return version.find_one({"_id": 1}).get("mark", 0) > 10

    assert bands.bisect("main@0", "main@16", is_bad).label == "main@11"
    assert labels(looked[:2]) == ["main@0", "main@16"]
    assert len(looked) <= 2 + 4


def test_bisect_of_ends_that_are_not_what_is_said(db):
    bands = grown(db)
    for good, bad, words in (
        ("main@0", "main@1", "main@1 was given as bad"),
        ("main@2", "main@3", "main@2 was given as good"),
        ("side", "main", "not before"),
        ("main@3", "main@1", "not before"),
        ("main@1", "main@1", "not before"),
    ):
        with pytest.raises(errors.InvalidArgument, match=words):
            bands.bisect(good, bad, {"mark": {"$gte": 2}})
    with pytest.raises(errors.InvalidType):
        bands.bisect("main@0", "main@3", "mark")  # type: ignore[arg-type]


# -- compare -------------------------------------------------------------------------------


def test_compare_two_versions(anydb):
    bands = grown(anydb)
    bands.delete_one({"_id": 2})
    bands.insert_many([{"_id": one} for one in ("a", "b", "c")])
    bands.update_one({"_id": 3}, {"$set": {"since.year": 1990, "members.0": "Brett"}})
    found = bands.compare("main@1", samples=2)
    assert (found.a.label, found.b) == ("main@1", None)
    assert (found.inserted, found.updated, found.deleted, found.equal) == (3, 2, 1, False)
    assert found.samples == {"insert": ["a", "b"], "update": [1, 3], "delete": [2]}
    assert found.fields == {"mark": 1, "since.year": 1, "members": 1}
    bands.register("all")
    assert bands.compare("main@1", "main@4", samples=2).fields == found.fields
    back = bands.compare("main", "main@1")
    assert (back.inserted, back.updated, back.deleted) == (1, 2, 3)
    assert bands.compare("main", "main@4").equal
    assert bands.compare().equal


def test_compare_with_wrong_arguments(db):
    bands = tracked(db)
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.compare("nothing")
    with pytest.raises(errors.InvalidArgument):
        bands.compare(samples=-1)
    with pytest.raises(errors.CollectionNotTracked):
        untracked(db, "fresh").compare()
