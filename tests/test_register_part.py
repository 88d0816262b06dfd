"""register(only=...): some of the changes now, the others later."""

from __future__ import annotations

import bson
import pytest
from api_support import edit, problems, raws, tracked
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from versioned_collection import DocumentId, ElementKey, Only, VersionedCollection
from versioned_collection.core.merging import ANY, ANY_STEPS, pattern
from versioned_collection.core.partial import take_changes
from versioned_collection.errors import (
    AutoMergeFailedError,
    CheckFailed,
    InvalidArgument,
    InvalidOperation,
    InvalidType,
)

FULL = {"inserted": 1, "updated": 2, "deleted": 1}


def changed(db, name="bands", **options):
    """Return a collection with an insert, two updates and a deletion uncommitted."""
    bands = VersionedCollection(db, name, **options)
    bands.insert_many([{"_id": n, "x": n, "at": {"a": 1, "b": 2}} for n in range(1, 6)])
    bands.init("start")
    bands.update_one({"_id": 1}, {"$set": {"x": 10, "at.a": 10, "z": 1}})
    bands.update_one({"_id": 2}, {"$set": {"x": 20, "at.a": 20, "z": 2}})
    bands.delete_one({"_id": 3})
    bands.insert_one({"_id": "new", "x": 30})
    return bands


def recorded(bands):
    """Return the documents of HEAD by id, as the replica has them."""
    return {one["_id"]: one for one in bands.database[f"__replica_{bands.name}"].find()}


def ids(bands):
    return {change.document_id for change in bands.changes()}


@pytest.mark.parametrize(
    ("only", "left"),
    [
        ([1], {2, 3, "new"}),
        ({3, "new"}, {1, 2}),
        ([1, 2, 3, "new", "unknown"], set()),
        ([1.0, Int64(2)], {3, "new"}),
        ([DocumentId(b"\x10\x01\0\0\0")], {2, 3, "new"}),
        ({"x": {"$gte": 20}}, {1, 3}),
        ({"x": 3}, {1, 2, "new"}),
        ({"x": 1}, None),
        ({}, set()),
        ([], None),
        ([4, "unknown"], None),
        (Only(ids=[1, 3], filter={"x": 10}), {2, 3, "new"}),
        (Only(filter={"x": {"$exists": True}}), set()),
        (Only(fields=["**"]), set()),
        (Only(fields=[]), None),
        (Only(fields=[()]), set()),
        (Only(ids=[3], fields=[()]), {1, 2, "new"}),
        (Only(ids=[3, "new"], fields=["x"]), None),
    ],
)
def test_chosen_documents(anydb, only, left):
    bands = changed(anydb)
    present = raws(bands)
    done = bands.register("part", only=only)
    assert done is (left is not None)
    assert ids(bands) == ({1, 2, 3, "new"} if left is None else left)
    assert raws(bands) == present
    assert bands.register("rest") is (left != set())
    assert not bands.has_changes()
    assert problems(bands) == []
    assert {id_: bson.encode(one) for id_, one in recorded(bands).items()} == {
        one["_id"]: bson.encode(one) for one in bands.find()
    }
    assert bands.version == (1 if left in (None, set()) else 2)


def test_status_and_diff_show_the_rest(anydb):
    bands = changed(anydb)
    assert bands.register("part", only=[1, 3])
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 0}
    assert set(bands.diff()) == {2, "new"}
    assert bands.resolve("HEAD").stats == {"inserted": 0, "updated": 1, "deleted": 1}
    assert bands.discard_changes()
    assert {one["_id"]: one["x"] for one in bands.find()} == {1: 10, 2: 2, 4: 4, 5: 5}
    assert problems(bands) == []


def test_each_part_in_every_mode(db):
    for mode in ("change_stream", "write_through", "scan"):
        bands = changed(db, mode, capture=mode)
        for number, one in enumerate([1, 2, 3, "new"]):
            assert bands.register("part", only=[one]) is True
            assert len(ids(bands)) == 3 - number
        assert bands.register("nothing") is False
        assert problems(bands) == []


def test_a_large_part(anydb, small_limits):
    bands = changed(anydb)
    bands.update_many({"_id": {"$in": [4, 5]}}, {"$set": {"x": 0}})
    assert bands.register("part", only=[1, 2, 3, 4]) is True
    assert ids(bands) == {5, "new"}
    edit(bands, "again", 4)
    assert ids(bands) == {4, 5, "new"}
    assert bands.register("rest") is True
    assert not bands.has_changes()
    assert problems(bands) == []


def test_what_was_registered_need_not_be_looked_at_again(anydb):
    bands = changed(anydb)
    bands.register("part", only=[1, 3])
    noted = anydb["__modified_bands"].distinct("document_id")
    assert sorted(noted, key=str) == [2, "new"]


def test_a_change_after_the_part_is_noticed(anydb):
    bands = changed(anydb)
    bands.register("part", only=[1])
    edit(bands, "again")
    assert ids(bands) == {1, 2, 3, "new"}


@pytest.mark.parametrize("chosen", [[1], [1.0], {"v": "int"}, {"v": "double"}])
@pytest.mark.parametrize("mode", ["auto", "scan"])
def test_ids_that_the_server_takes_for_equal_go_together(anydb, chosen, mode):
    bands = VersionedCollection(anydb, "bands", capture=mode)
    bands.insert_many([{"_id": 1, "v": "int"}, {"_id": 2}])
    bands.init()
    first = raws(bands)
    bands.delete_many({})
    bands.insert_many([{"_id": 1.0, "v": "double"}, {"_id": 2, "v": 2}])
    assert bands.register("double", only=chosen)
    assert bands.resolve("HEAD").stats == {"inserted": 1, "updated": 0, "deleted": 1}
    assert ids(bands) == {2}
    assert bands.register("rest")
    second = raws(bands)
    bands.checkout(0)
    assert raws(bands) == first
    bands.checkout(2)
    assert raws(bands) == second
    assert problems(bands) == []


@pytest.mark.parametrize("chosen", [["a"], ["A"], {"v": "a"}, {"v": "upper"}, {"_id": "A"}])
def test_ids_that_a_collation_takes_for_equal_go_together(anydb, chosen):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": "a", "v": "a"}, {"_id": "b"}])
    bands.init()
    bands.delete_one({"_id": "a"})
    bands.insert_one({"_id": "A", "v": "UPPER"})
    edit(bands, 1, "b")
    assert bands.register("upper", only=chosen)
    assert bands.resolve("HEAD").stats == {"inserted": 1, "updated": 0, "deleted": 1}
    assert ids(bands) == {"b"}
    assert problems(bands) == []


@pytest.mark.parametrize(
    "check",
    [
        [{"$match": {"v": "bad"}}],
        lambda state: state.find({"v": "bad"}),
        lambda state: [1] if state.count_documents({"v": "bad"}) else [],
    ],
)
def test_checks_compare_by_the_collation(db, check):
    db.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(db, "bands")
    bands.init()
    bands.add_check("no bad", check)
    bands.insert_many([{"_id": 1, "v": "BAD"}, {"_id": 2, "v": "good"}])
    for only in (None, [1]):
        with pytest.raises(CheckFailed, match="no bad"):
            bands.register("bad", only=only)
    assert bands.register("good", only=[2])


def test_fields_of_chosen_documents(anydb):
    bands = changed(anydb)
    assert bands.register("part", only=Only(ids=[1, 3, "new"], fields=["at", "z"]))
    head = recorded(bands)
    assert head[1] == {"_id": 1, "x": 1, "at": {"a": 10, "b": 2}, "z": 1}
    assert list(head[1]) == ["_id", "x", "at", "z"]
    assert 3 in head
    assert "new" not in head
    assert bands.diff(1, deep=True)[1] == {
        "values_changed": {"root['x']": {"new_value": 10, "old_value": 1}}
    }
    assert ids(bands) == {1, 2, 3, "new"}
    assert bands.register("more", only=Only(fields=["at.a"]))
    assert bands.resolve("HEAD").stats == {"inserted": 0, "updated": 1, "deleted": 0}
    assert bands.register("rest")
    assert problems(bands) == []
    for number in (0, 1, 2, 3):
        bands.checkout(number)
    assert not bands.has_changes()


def test_detached_and_on_a_new_branch(anydb):
    bands = changed(anydb)
    bands.register("all")
    bands.checkout(0)
    bands.update_many({}, {"$set": {"x": "side"}})
    with pytest.raises(InvalidArgument, match="detached"):
        bands.register("part", only=[1])
    assert bands.register("part", "side", only=[1])
    assert (bands.branch, ids(bands)) == ("side", {2, 3, 4, 5})


def test_a_merge_is_registered_as_a_whole(anydb):
    bands = tracked(anydb)
    bands.create_branch("side")
    edit(bands, "side")
    bands.register("side")
    bands.checkout("main")
    edit(bands, "main")
    bands.register("main")
    with pytest.raises(AutoMergeFailedError):
        bands.merge("side")
    bands.resolve_conflicts(resolver="theirs")
    with pytest.raises(InvalidOperation, match="as a whole"):
        bands.register("part", only=[1])
    assert bands.register() is True


@pytest.mark.parametrize("only", ["1", b"1", 1, ObjectId(), None.__class__, object()])
def test_what_is_no_choice(db, only):
    bands = changed(db)
    with pytest.raises(InvalidType):
        bands.register("part", only=only)
    assert ids(bands) == {1, 2, 3, "new"}


@pytest.mark.parametrize(
    "only",
    [
        {"$nonsense": 1},
        {"x": {"$nonsense": 1}},
        {"$text": {"$search": "x"}},
        {"x": {"$near": [0, 0]}},
        {"x": {1, 2}},
        [{1, 2}],
        [2**70],
    ],
)
def test_choices_that_cannot_be(anydb, only):
    bands = changed(anydb)
    with pytest.raises(InvalidArgument):
        bands.register("part", only=only)
    assert ids(bands) == {1, 2, 3, "new"}
    assert bands.version == 0


def test_choices_that_are_refused_when_they_are_made():
    with pytest.raises(InvalidArgument, match="give one"):
        Only()
    with pytest.raises(InvalidType):
        Only(filter=[1])
    with pytest.raises(InvalidType):
        Only(ids="one")
    with pytest.raises(InvalidArgument, match="list of path patterns"):
        Only(fields="a.b")
    with pytest.raises(InvalidArgument, match="star"):
        Only(fields=["a*"])


def test_untracked_is_false(db):
    assert VersionedCollection(db, "bands").register("x", only=[1]) is False
    assert db.list_collection_names() == []


# -- the changes of one document ---------------------------------------------------------


def taken(old, new, *places):
    raw = take_changes(bson.encode(old), bson.encode(new), [pattern(one) for one in places])
    return bson.decode(raw)


@pytest.mark.parametrize(
    ("old", "new", "places", "expected"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, ["a"], {"a": 2, "b": 1}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 2}}, ["a.x"], {"a": {"x": 2, "y": 1}}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 2}}, ["*.y"], {"a": {"x": 1, "y": 2}}),
        ({"a": 1, "c": 1}, {"a": 1, "b": 2, "c": 2}, ["b"], {"a": 1, "b": 2, "c": 1}),
        ({"c": 1}, {"a": 1, "b": 2, "c": 2}, ["b", "a"], {"a": 1, "b": 2, "c": 1}),
        ({"a": 1, "b": 1}, {"b": 1}, ["a"], {"b": 1}),
        ({"a": 1, "b": 1}, {"b": 2, "a": 2}, ["a"], {"a": 2, "b": 1}),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}, ["a", "b"], {"a": 1, "b": 1}),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}, [()], {"b": 1, "a": 1}),
        ({}, {"a": {"x": 1, "y": 1}}, ["a.x"], {"a": {"x": 1}}),
        ({}, {"a": {"y": 1}}, ["a.x"], {}),
        ({"a": {"x": 1, "y": 1}}, {}, ["a.x"], {"a": {"y": 1}}),
        ({"a": 1}, {"a": {"x": 1}}, ["a.x"], {"a": 1}),
        ({"a": [1, 2]}, {"a": [3, 4]}, ["a.1"], {"a": [1, 4]}),
        ({"a": [1]}, {"a": [2, 3, 4]}, ["a.1"], {"a": [1, 3]}),
        ({"a": [1]}, {"a": [2, 3, 4]}, ["a.2"], {"a": [1]}),
        ({"a": [1, 2, 3]}, {"a": [4]}, ["a.2"], {"a": [1, 2]}),
        ({"a": [1, 2, 3]}, {"a": [4]}, ["a.1"], {"a": [1, 2, 3]}),
        ({"a": [1, 2, 3]}, {"a": []}, ["a.*"], {"a": []}),
        ({"a": [{"k": 1, "v": 1}]}, {"a": [{"k": 2, "v": 2}]}, ["a.*.v"],
         {"a": [{"k": 1, "v": 2}]}),
        ({"a": [{"k": 1, "v": 1}, {"k": 2, "v": 1}]},
         {"a": [{"k": 3}, {"k": 2, "v": 2}, {"k": 1, "v": 2}]},
         [("a", ElementKey.of("k", 2), ANY)],
         {"a": [{"k": 1, "v": 1}, {"k": 2, "v": 2}]}),
        ({"a": {"b": {"c": 1}}, "c": 1}, {"a": {"b": {"c": 2}}, "c": 2}, ["a.**"],
         {"a": {"b": {"c": 2}}, "c": 1}),
        ({"a": {"b": {"c": 1}}, "c": 1}, {"a": {"b": {"c": 2}}, "c": 2}, [(ANY_STEPS, "c")],
         {"a": {"b": {"c": 2}}, "c": 2}),
    ],
)  # fmt: skip
def test_taking(old, new, places, expected):
    found = taken(old, new, *places)
    assert (found, bson.encode(found)) == (expected, bson.encode(expected))


VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from([0.0, -0.0, "", None, Int64(1)]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4).map(
    lambda fields: {"_id": 1, **fields}
)
STEPS = st.sampled_from(["a", "b", "c", "0", "1", ANY, ANY_STEPS])
PLACES = st.lists(st.lists(STEPS, min_size=1, max_size=3).map(tuple), max_size=3)


@given(DOCUMENTS, DOCUMENTS, PLACES)
def test_laws_of_taking(old, new, places):
    old, new, chosen = bson.encode(old), bson.encode(new), list(map(pattern, places))
    part = take_changes(old, new, chosen)
    assert take_changes(part, new, chosen) == part
    assert take_changes(old, old, chosen) == old
    assert take_changes(part, new, [pattern("**")]) == new
    assert take_changes(old, new, []) == old
    if () in places or (ANY_STEPS,) in places:
        assert part == new


STATES = st.dictionaries(st.sampled_from([1, 1.5, "a", "b"]), DOCUMENTS, max_size=4)
CHOICES = st.one_of(
    st.lists(st.sampled_from([1, 1.5, "a", "b"])),
    st.sampled_from([{"a": {"$exists": True}}, {"b": 1}, {"_id": {"$type": "number"}}]),
    PLACES.map(lambda places: Only(fields=places)),
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=STATES, after=STATES, only=CHOICES)
def test_any_two_parts_make_the_whole(db, before, after, only):
    found = []
    for part in (None, only):
        bands = VersionedCollection(db, f"bands_{ObjectId()}")
        if before:
            bands.insert_many([{**one, "_id": id_} for id_, one in before.items()])
        bands.init()
        bands.delete_many({})
        if after:
            bands.insert_many([{**one, "_id": id_} for id_, one in after.items()])
        if part is not None:
            bands.register("part", only=part)
        bands.register("rest")
        assert not bands.has_changes()
        assert problems(bands) == []
        found.append((raws(bands), bands.resolve("HEAD").fingerprint))
        assert raws(bands.database[f"__replica_{bands.name}"]) == raws(bands)
        bands.drop()
    assert found[0] == found[1]


def test_documents_with_a_name_twice_are_taken_as_a_whole(db):
    bands = VersionedCollection(db, "bands")
    twice = bson.encode({"_id": 1, "a": 1, "b": 1}).replace(b"b\0", b"a\0")
    bands.insert_one({"_id": 1, "a": 1})
    bands.init()
    bands.delete_many({})
    bands.insert_one(RawBSONDocument(twice))
    assert bands.register("part", only=Only(fields=["a"])) is False
    assert bands.register("part", only=Only(fields=["**"])) is True
    assert problems(bands) == []
