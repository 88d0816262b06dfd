"""discard_changes: back to HEAD."""

from __future__ import annotations

import pytest
from api_support import edit, grown, mark, problems, raws, tracked, untracked

from versioned_collection import VersionedCollection, errors


def test_everything_goes_back(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    edit(bands, "x")
    bands.insert_many([{"_id": "new"}, {"no": "id"}])
    bands.delete_one({"_id": 3})
    bands.replace_one({"_id": 2}, {"other": 1})
    assert bands.discard_changes() is True
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert not bands.register("nothing")
    assert problems(bands) == []


def test_without_changes_and_untracked(anydb):
    bands = untracked(anydb)
    edit(bands, 1)
    assert bands.discard_changes() is False
    assert mark(bands) == 1
    bands.init()
    assert bands.discard_changes() is True
    assert mark(bands) == 1


def test_on_a_detached_head_and_an_unborn_branch(anydb):
    bands = grown(anydb)
    bands.checkout(1)
    edit(bands, "x")
    bands.discard_changes()
    assert (mark(bands), bands.version, bands.is_detached()) == (1, 1, True)
    bands.create_branch("unborn")
    edit(bands, "y")
    bands.discard_changes()
    assert (mark(bands), bands.version, bands.branch) == (1, -1, "unborn")


def test_keeps_the_stash(anydb):
    bands = tracked(anydb)
    edit(bands, "stashed")
    bands.stash()
    edit(bands, "x")
    bands.discard_changes()
    assert bands.has_stash()
    assert mark(bands) is None


def test_right_after_many_inserts(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    bands.insert_many([{"n": n} for n in range(10_100)])
    assert bands.discard_changes() is True
    assert raws(bands) == clean
    assert not bands.has_changes()


def test_dropped_collection_comes_back_with_its_options(anydb):
    validator = {"name": {"$exists": True}}
    anydb.create_collection("bands", validator=validator)
    bands = tracked(anydb)
    clean = raws(bands)
    anydb.drop_collection("bands")
    assert bands.has_changes()
    assert bands.discard_changes() is True
    assert raws(bands) == clean
    assert bands.options()["validator"] == validator
    assert not bands.has_changes()
    assert problems(bands) == []


def test_after_out_replaced_everything(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    anydb["source"].insert_many([{"_id": 1}, {"_id": "x"}])
    anydb["source"].aggregate([{"$out": "bands"}])
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 2}
    bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []


def test_a_unique_index_made_meanwhile_refuses(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 1}])
    bands.init()
    clean = raws(bands)
    bands.update_one({"_id": 2}, {"$set": {"rank": 2}})
    bands.create_index("rank", unique=True)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.discard_changes()
    assert bands.has_changes()
    assert problems(bands) == []
    bands.drop_index("rank_1")
    assert bands.discard_changes()
    assert raws(bands) == clean


def test_ids_that_need_care(anydb):
    bands = VersionedCollection(anydb, "bands")
    ids = [1, "1", True, {"a": 1}, {"a": True}, b"1", None, 2.5]
    bands.insert_many([{"_id": id_} for id_ in ids])
    bands.init()
    clean = raws(bands)
    bands.update_many({}, {"$set": {"x": 1}})
    bands.delete_one({"_id": {"$eq": {"a": 1}}})
    bands.discard_changes()
    assert raws(bands) == clean


def test_ids_that_the_server_takes_for_equal_in_different_batches(db, small_limits, monkeypatch):
    monkeypatch.setattr("versioned_collection.trackers.modified._BATCH", 2)
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": number} for number in range(5)])
    bands.insert_one({"_id": "other", "v": 1})
    bands.init()
    clean = raws(bands)
    bands.delete_many({"_id": {"$type": "number"}})
    bands.insert_many([{"_id": float(number)} for number in range(5)])
    edit(bands, 2, "other")
    with db["bands"].watch([{"$match": {"documentKey._id": "other"}}]) as events:
        assert bands.discard_changes()
        db["bands"].delete_one({"_id": "other"})
        seen = [next(events)["operationType"] for _ in range(2)]
    assert seen == ["replace", "delete"]  # nothing had to be taken out to make room
    bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []


def test_ids_that_a_collation_takes_for_equal(anydb, small_limits):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": letter} for letter in "abcde"])
    bands.init()
    clean = raws(bands)
    bands.delete_many({})
    bands.insert_many([{"_id": letter} for letter in "ABCDE"])
    assert bands.status()["changes"] == {"inserted": 5, "updated": 0, "deleted": 5}
    dirty = raws(bands)
    assert bands.discard_changes()
    assert raws(bands) == clean
    bands.delete_many({})
    bands.insert_many([{"_id": letter} for letter in "ABCDE"])
    assert bands.register("in capitals")
    bands.checkout(0)
    assert raws(bands) == clean
    bands.checkout(1)
    assert raws(bands) == dirty
    bands.delete_many({})
    bands.insert_many([{"_id": letter, "v": 1} for letter in "abcde"])
    bands.delete_version_subtree(1)
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert problems(bands) == []
