"""diff: differences for people."""

from __future__ import annotations

import bson
import pytest
from api_support import RAW, edit, everything, grown, step, tracked, untracked
from bson import Int64
from bson.raw_bson import RawBSONDocument
from deepdiff import DeepDiff

from versioned_collection import DocumentId, VersionedCollection, errors


def lines(text, sign):
    """Return the added or removed lines of a unified diff."""
    return [
        line[1:].strip().rstrip(",")
        for line in text.splitlines()
        if line.startswith(sign) and not line.startswith(sign * 3)
    ]


def test_equal_is_empty_and_untracked_is_none(anydb):
    bands = untracked(anydb)
    assert bands.diff() is None
    assert bands.diff(5, "x", deep=True) is None
    bands.init()
    assert bands.diff() == {}
    assert bands.diff(deep=True) == {}
    assert bands.diff(direction="bidirectional") == {}
    step(bands, 1)
    edit(bands, "away and back")
    edit(bands, 1)
    assert bands.diff(direction="bidirectional", deep=True) == {}


def test_uncommitted_changes_as_unified_text(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"since.year": 1979}})
    bands.insert_one({"_id": "new", "name": "Elastica"})
    bands.delete_one({"_id": 3})
    found = bands.diff()
    assert set(found) == {1, "new", 3}
    assert all(isinstance(text, str) for text in found.values())
    assert lines(found[1], "-") == ['"year": 1978']
    assert lines(found[1], "+") == ['"year": 1979']
    assert '"name": "Elastica"' in lines(found["new"], "+")
    assert lines(found["new"], "-") == []
    assert '"name": "Suede"' in lines(found[3], "-")
    assert lines(found[3], "+") == []


def test_directions(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"name": "PULP"}})
    from_, to = bands.diff(direction="from"), bands.diff(direction="to")
    assert from_ == bands.diff()
    assert lines(from_[1], "-") == ['"name": "Pulp"'] == lines(to[1], "+")
    assert lines(from_[1], "+") == ['"name": "PULP"'] == lines(to[1], "-")
    assert bands.diff(direction="bidirectional") == {"from": from_, "to": to}
    for direction in ("sideways", "", None, "From"):
        with pytest.raises(ValueError, match="direction"):
            bands.diff(direction=direction)


def test_deep(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"since.year": 1979}})
    bands.insert_one({"_id": 9, "a": 1})
    found = bands.diff(deep=True)
    assert all(isinstance(one, DeepDiff) for one in found.values())
    change = found[1]["values_changed"]["root['since']['year']"]
    assert (change["old_value"], change["new_value"]) == (1978, 1979)
    back = bands.diff(deep=True, direction="to")[1]["values_changed"]["root['since']['year']"]
    assert (back["old_value"], back["new_value"]) == (1979, 1978)
    assert "'a': 1" in str(found[9])
    both = bands.diff(deep=True, direction="bidirectional")
    assert both["from"][1] == found[1]


def test_against_a_version(anydb):
    bands = grown(anydb)
    assert bands.diff(3) == {}
    assert lines(bands.diff(1)[1], "-") == ['"mark": 1']
    assert lines(bands.diff(1)[1], "+") == ['"mark": 3']
    edit(bands, "now")
    for arguments in ((1,), (1, "main"), ("main~2",), ("v1",), ((1, "main"),)):
        assert lines(bands.diff(*arguments)[1], "+") == ['"mark": "now"'], arguments
        assert lines(bands.diff(*arguments)[1], "-") == ['"mark": 1'], arguments
    assert lines(bands.diff(branch="side")[1], "-") == ['"mark": "s1"']
    assert lines(bands.diff(0, "side")[1], "-") == ['"mark": "s0"']
    edit(bands, 1)
    assert bands.diff("v1") == {}
    assert set(bands.diff()) == {1}


def test_uncommitted_changes_of_documents_the_path_does_not_touch(anydb):
    bands = grown(anydb)
    bands.insert_one({"_id": "new"})
    bands.delete_one({"_id": 2})
    assert set(bands.diff(0)) == {1, 2, "new"}
    assert set(bands.diff(branch="side")) == {1, 2, "new"}


def test_errors(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    for arguments in ((9,), (-1,), ("x",), (2, "side")):
        with pytest.raises(errors.InvalidCollectionVersion):
            bands.diff(*arguments)
    with pytest.raises(errors.BranchNotFound) as caught:
        bands.diff(branch="nope")
    assert isinstance(caught.value, errors.InvalidCollectionVersion)
    assert caught.value.code == "no_such_branch"
    with pytest.raises(TypeError):
        bands.diff(1.5)
    assert everything(anydb) == before


def test_ids_of_all_kinds(anydb):
    bands = VersionedCollection(anydb, "bands")
    ids = [1, "1", True, {"a": 1}, {"a": True}, b"1", None, 2.5]
    bands.insert_many([{"_id": id_} for id_ in ids])
    bands.init()
    bands.update_many({}, {"$set": {"x": 1}})
    for found in (bands.diff(), bands.diff(deep=True)):
        assert len(found) == len(ids)
        plain = [key.value if isinstance(key, DocumentId) else key for key in found]
        assert sorted(map(repr, plain)) == sorted(map(repr, ids))
    compound = [key for key in bands.diff() if key == {"a": 1}]
    assert len(compound) == 1
    assert isinstance(compound[0], DocumentId)
    assert compound[0].value == {"a": 1}
    assert "DocumentId" in repr(compound[0])


@pytest.mark.parametrize("deep", [False, True])
def test_types_that_look_alike_still_differ(db, deep):
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 0, "v": 1}, {"_id": 1, "v": 1}, {"_id": 2, "v": {"a": 1, "b": 2}},
                       {"_id": 3, "v": 0.0}])  # fmt: skip
    bands.init()
    for id_, value in enumerate((Int64(1), 1.0, {"b": 2, "a": 1}, -0.0)):
        bands.update_one({"_id": id_}, {"$set": {"v": value}})
    found = bands.diff(deep=deep)
    assert set(found) == {0, 1, 2, 3}
    if not deep:
        assert all(lines(text, "+") and lines(text, "-") for text in found.values())


def test_unicode_and_large(db):
    bands = tracked(db)
    bands.update_one({"_id": 1}, {"$set": {"name": "Ünïcödé 🎸", "big": "x" * 1_000_000}})
    text = bands.diff()[1]
    assert "Ünïcödé 🎸" in text
    assert len(text) > 1_000_000


def test_undecodable_text(db):
    bands = tracked(db)
    raw = bson.encode({"_id": 9, "s": "ab"}).replace(b"ab", b"\xff\xfe")
    db.command("insert", "bands", documents=[RawBSONDocument(raw, RAW)])
    assert set(bands.diff()) == {9}
    assert set(bands.diff(deep=True)) == {9}
    assert bands.register("broken")
    step(bands, 1)
