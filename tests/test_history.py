"""history and blame: one document through the versions."""

from __future__ import annotations

import itertools
from typing import Any

import bson
import pytest
from api_support import RAW, edit, grown, labels, problems, raws, step, tracked, untracked
from bson import Int64
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from versioned_collection import DocumentId, VersionedCollection, errors
from versioned_collection.core.document import key_of
from versioned_collection.past import trail
from versioned_collection.verbs import history

_names = itertools.count()


def marks(found: Any) -> list[Any]:
    return [(one.version.label, one.op, (one.document or {}).get("mark")) for one in found]


def blamed(bands: VersionedCollection, *args: Any) -> dict[str, str]:
    return {one.field: one.version.label for one in bands.blame(*args)}


# -- history -------------------------------------------------------------------------------


def test_history(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted")
    assert marks(bands.history(1)) == [
        ("main@3", "update", 3),
        ("main@2", "update", 2),
        ("main@1", "update", 1),
        ("main@0", "insert", None),
    ]
    assert marks(bands.history(1, "side")) == [
        ("side@1", "update", "s1"),
        ("side@0", "update", "s0"),
        ("main@1", "update", 1),
        ("main@0", "insert", None),
    ]
    assert labels(one.version for one in bands.history(1, limit=2)) == ["main@3", "main@2"]
    assert marks(bands.history(2, "main@2")) == [("main@0", "insert", None)]
    assert list(bands.history("nothing")) == []
    assert list(bands.history(1, limit=0)) == []


def test_a_document_that_came_went_and_came_again(db):
    bands = tracked(db)
    for what in ({"_id": 9, "mark": "a"}, None, {"_id": 9, "mark": "b"}, None):
        bands.delete_one({"_id": 9})
        if what:
            bands.insert_one(what)
        bands.register("next")
    assert marks(bands.history(9)) == [
        ("main@4", "delete", None),
        ("main@3", "insert", "b"),
        ("main@2", "delete", None),
        ("main@1", "insert", "a"),
    ]
    assert next(bands.history(9)).document is None


def test_twins_are_one_document_unless_one_is_named(anydb):
    bands = tracked(anydb)
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": 1.0, "mark": "double"})
    bands.register("double")
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": Int64(1), "mark": "long"})
    bands.register("long")
    for id_ in (1, 1.0, Int64(1)):
        assert marks(bands.history(id_)) == [
            ("main@2", "update", "long"),
            ("main@1", "update", "double"),
            ("main@0", "insert", None),
        ]
    assert marks(bands.history(DocumentId(key_of(1.0)))) == [
        ("main@2", "delete", None),
        ("main@1", "insert", "double"),
    ]
    assert list(bands.history(True)) == []


def test_documents_are_exact_and_decoded_as_by_the_collection(db):
    bands = tracked(db)
    odd = RawBSONDocument(b"\x1f\0\0\0\x10_id\0\7\0\0\0\x10a\0\1\0\0\0\x10a\0\2\0\0\0\x06u\0\0")
    bands.insert_many([odd, {"_id": 8, "v": b"a" * 90_000}])
    bands.register("odd")
    bands.delete_one({"_id": 7})
    bands.update_one({"_id": 8}, {"$set": {"v": b"b" * 90_000}})
    bands.register("gone")
    assert [one.raw for one in bands.history(7)] == [None, bytes(odd.raw)]
    large = [one.document["v"][:1] for one in bands.history(8)]
    assert large == [b"b", b"a"]
    raw = bands.with_options(codec_options=RAW)
    assert isinstance(next(raw.history(8)).document, RawBSONDocument)


def test_others_may_go_on_while_history_is_read(anydb):
    bands = grown(anydb)
    found = bands.history(1)
    assert next(found).version.label == "main@3"
    bands.checkout("main@0")
    assert labels(one.version for one in found) == ["main@2", "main@1", "main@0"]


# -- blame ---------------------------------------------------------------------------------


def test_blame(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"since.month": 5, "mark": 1}, "$push": {"members": 1}})
    bands.register("one", author="Ada")
    bands.update_one({"_id": 1}, {"$set": {"members.0": "Russell", "mark": 2.0}})
    bands.register("two", author="Bob")
    bands.update_one({"_id": 1}, {"$set": {"mark": 2}})
    bands.register("three")
    assert blamed(bands, 1) == {
        "_id": "main@0",
        "name": "main@0",
        "members.0": "main@2",
        "members.1": "main@0",
        "members.2": "main@1",
        "since.year": "main@0",
        "since.month": "main@1",
        "mark": "main@3",
    }
    assert blamed(bands, 1, "main@1")["mark"] == "main@1"
    by_path = {one.path: one for one in bands.blame(1)}
    assert by_path["members", 2].version.author == "Ada"
    assert by_path["members", 2].value == 1
    assert by_path["since", "month"].version.timestamp
    with pytest.raises(errors.InvalidArgument, match="history"):
        bands.blame("nothing")


def test_blame_follows_what_a_merge_brought_in(db):
    bands = tracked(db)
    bands.create_branch("side")
    bands.update_one({"_id": 1}, {"$set": {"theirs": 1, "both": 1}})
    bands.register("theirs", author="Them")
    bands.checkout(branch="main")
    bands.update_one({"_id": 1}, {"$set": {"ours": 1, "both": 2}})
    bands.register("ours")
    bands.merge("side", resolver="max")
    bands.update_one({"_id": 1}, {"$set": {"after": 1}})
    bands.register("after")
    assert blamed(bands, 1) == {
        "_id": "main@0",
        "name": "main@0",
        "members.0": "main@0",
        "members.1": "main@0",
        "since.year": "main@0",
        "theirs": "side@0",
        "both": "main@1",
        "ours": "main@1",
        "after": "main@3",
    }
    assert labels(one.version for one in bands.history(1)) == [
        "main@3",
        "main@2",
        "main@1",
        "main@0",
    ]


def test_names_twice_and_empty_values(db):
    bands = tracked(db)
    odd = RawBSONDocument(b"\x1c\0\0\0\x10_id\0\7\0\0\0\x10a\0\1\0\0\0\x10a\0\2\0\0\0\0")
    bands.insert_one(odd)
    bands.insert_one({"_id": 8, "empty": {}, "none": [], "deep": [[], {"x": [{}]}]})
    bands.register("odd")
    assert [(one.field, one.value) for one in bands.blame(7)] == [("_id", 7), ("a", 1), ("a", 2)]
    found = {one.field: one.value for one in bands.blame(8)}
    assert found == {"_id": 8, "empty": {}, "none": [], "deep.0": [], "deep.1.x.0": {}}


# -- both ----------------------------------------------------------------------------------


def test_bad_arguments(db):
    bands = grown(db)
    for call in (
        lambda: bands.history(object()),
        lambda: bands.blame(object()),
        lambda: bands.history(1, limit=-1),
    ):
        with pytest.raises(errors.InvalidArgument):
            call()
    for call in (lambda: bands.history(1, limit="1"), lambda: bands.history(1, 1.5)):
        with pytest.raises(errors.InvalidType):
            call()
    for call in (lambda: bands.history(1, "none"), lambda: bands.blame(1, "main@9")):
        with pytest.raises(errors.InvalidCollectionVersion):
            call()
    fresh = untracked(db, "songs")
    for call in (lambda: fresh.history(1), lambda: fresh.blame(1)):
        with pytest.raises(errors.CollectionNotTracked):
            call()
    assert problems(bands) == []


values = st.sampled_from((1, 1.0, "a", None, {"p": 1, "q": [1, 2]}, {"q": [2], "p": 1}, [], [{}]))
changes = st.lists(
    st.dictionaries(st.sampled_from("xyz"), values, max_size=2), min_size=1, max_size=6
)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=changes, head=st.integers(0, 5))
def test_every_version_is_as_it_was(db, changes, head):
    bands = VersionedCollection(db, f"c{next(_names)}")
    bands.insert_one({"_id": 1})
    bands.init()
    recorded = {"main@0": raws(bands)[0]}
    for number, change in enumerate(changes):
        bands.replace_one({"_id": 1}, change)
        if bands.register(str(number)):
            recorded[bands.resolve("HEAD").label] = raws(bands)[0]
    bands.checkout(f"main@{head % len(recorded)}")
    found = {one.version.label: one.raw for one in bands.history(1, "main")}
    assert found == recorded
    for label, raw in recorded.items():
        for one in bands.blame(1, label):
            assert _value(raw, one.path) == one.value
            since = [at for at in recorded if int(at[5:]) <= int(label[5:])]
            later = since[since.index(one.version.label) :]
            assert all(_encoded(recorded[at], one.path) == _encoded(raw, one.path) for at in later)
            before = since[: since.index(one.version.label)][-1:]
            assert all(
                _encoded(recorded[at], one.path) != _encoded(raw, one.path) for at in before
            )
    bands.drop()


def _value(raw: bytes, path: Any) -> Any:
    value: Any = bson.decode(raw)
    for part in path:
        value = value[part]
    return value


def _encoded(raw: bytes, path: Any) -> bytes | None:
    try:
        return bson.encode({"": _value(raw, path)})
    except (KeyError, IndexError, TypeError):
        return None


def test_more_versions_than_are_read_at_once(db, monkeypatch):
    monkeypatch.setattr(trail, "_AT_ONCE", 2)
    monkeypatch.setattr(history, "_AT_ONCE", 2)
    bands = tracked(db)
    for value in range(5):
        step(bands, value)
    found = list(bands.history(1))
    assert [one.document.get("mark") for one in found] == [4, 3, 2, 1, 0, None]
    assert blamed(bands, 1)["name"] == "main@0"


def test_ids_that_the_collation_takes_for_the_id_of_the_version(anydb):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": letter, "mark": 0} for letter in "abc"])
    bands.init("small")
    edit(bands, 1, "b")
    bands.register("edited")
    bands.delete_many({"_id": {"$in": ["a", "b"]}})
    bands.insert_one({"_id": "A", "mark": 2})
    bands.register("capitals")
    bands.delete_one({"_id": "c"})
    assert marks(bands.history("C")) == [("main@0", "insert", 0)]
    assert blamed(bands, "C") == {"_id": "main@0", "mark": "main@0"}
    assert list(bands.history("B")) == []
    with pytest.raises(errors.InvalidArgument, match="no document"):
        bands.blame("B")
    found = [("main@1", "update", 1), ("main@0", "insert", 0)]
    assert marks(bands.history("B", "main@1")) == found
    assert blamed(bands, "B", "main@1") == {"_id": "main@0", "mark": "main@1"}
    assert marks(bands.history("A")) == [("main@2", "insert", 2)]
    assert marks(bands.history("A", "main@1")) == [("main@0", "insert", 0)]
    assert list(bands.history(DocumentId(key_of("C")))) == []
    assert list(bands.history("nothing", "main@0")) == []
