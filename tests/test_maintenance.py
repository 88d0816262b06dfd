"""size, gc and listen."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest
from api_support import edit, everything, grown, problems, raws, tracked, untracked
from bson import ObjectId

from versioned_collection import VersionedCollection, errors
from versioned_collection.trackers.delta_store import DeltaStore


def test_size(anydb):
    bands = grown(anydb)
    sizes = bands.size()
    assert {"log", "deltas", "replica", "branches", "tags", "metadata", "total"} <= set(sizes)
    assert all(isinstance(size, int) and size >= 0 for size in sizes.values())
    assert set(sizes) - {"total"} == {one.prefix for one in bands._repository.trackers}
    assert sizes["total"] == sum(size for name, size in sizes.items() if name != "total") > 0


def test_size_counts_large_images(anydb):
    bands = tracked(anydb)
    for n in range(2):
        bands.update_one({"_id": 1}, {"$set": {"v": ObjectId().binary * 720_000, "n": n}})
        bands.register("large")
    anydb.client.admin.command("fsync")
    assert bands.size()["deltas"] > 100_000


def test_size_per_branch(anydb):
    bands = grown(anydb)
    sizes = bands.size("branch")
    assert sorted(sizes) == ["main", "side"]
    assert 0 < sizes["side"] < sizes["main"]
    bands.checkout("side")
    bands.insert_one({"_id": "large", "v": "x" * 9_000_000})
    bands.register("large")
    after = bands.size("branch")
    assert after["main"] == sizes["main"]
    assert 9_000_000 < after["side"] - sizes["side"] < 9_100_000
    with pytest.raises(errors.InvalidArgument):
        bands.size("author")  # type: ignore[arg-type]


def test_size_of_an_untracked_collection(anydb):
    sizes = untracked(anydb).size()
    assert sizes["total"] == 0
    assert anydb.list_collection_names() == ["bands"]


def test_gc_of_what_is_needed_changes_nothing(anydb):
    bands = grown(anydb)
    edit(bands, "stashed")
    bands.stash()
    bands.status()
    before = everything(anydb)
    removed = bands.gc()
    assert set(removed.values()) == {0}
    assert everything(anydb) == before
    assert problems(bands) == []
    assert bands.stash_apply()


def test_gc_collects_what_is_unreachable(anydb):
    bands = grown(anydb)
    bands.insert_one({"_id": "set aside"})
    bands.stash()  # which creates the tracker
    bands.stash_discard()
    clean = everything(anydb)
    for tracker in ("__deltas_bands", "__stash_bands"):
        some = anydb["__deltas_bands"].find_one()
        anydb[tracker].insert_one({**some, "_id": ObjectId(), "version": ObjectId()})
    removed = bands.gc()
    assert sorted(removed.values())[-2:] == [1, 1]
    assert everything(anydb) == clean
    assert set(bands.gc().values()) == {0}
    assert problems(bands) == []


def test_gc_collects_what_killed_uploads_left(anydb):
    """A part may be begun, or be there and its delta not; a recent one may be under way."""
    bands = tracked(anydb)
    bands.insert_one({"_id": "large", "v": "x" * 9_000_000})
    bands.register("large")
    names = ("__deltas_bands.files", "__deltas_bands.chunks")
    clean = {name: set(anydb[name].distinct("_id")) for name in names}
    version = bands.resolve("HEAD").id
    now = bands._repository.now()
    for days in (8, 6):
        for kind in ("begun", "whole"):
            file = ObjectId.from_datetime(now - timedelta(days=days))
            file = ObjectId(file.binary[:4] + os.urandom(8))
            anydb["__deltas_bands.chunks"].insert_one({"files_id": file, "n": 0, "data": b"x"})
            if kind == "whole":
                header = {"_id": file, "metadata": {"version": version}, "chunkSize": 1}
                anydb["__deltas_bands.files"].insert_one(header)
    assert bands.gc()["unfinished_uploads"] == 2
    recent = {"$gt": ObjectId.from_datetime(now - timedelta(days=7))}
    found = anydb["__deltas_bands.chunks"].delete_many({"files_id": recent, "data": b"x"})
    assert found.deleted_count == 2
    assert anydb["__deltas_bands.files"].delete_many({"chunkSize": 1}).deleted_count == 1
    assert {name: set(anydb[name].distinct("_id")) for name in names} == clean
    assert problems(bands) == []


@pytest.mark.parametrize("where", ["deltas", "stash"])
@pytest.mark.parametrize("verb", ["gc", "purge"])
def test_a_late_owner_takes_nothing_new_for_garbage(anydb, monkeypatch, verb, where):
    """It froze right before it looked for what nobody needs, and others went on."""
    bands = grown(anydb)
    versions = DeltaStore.versions

    def late(self):
        if self.prefix == where:
            monkeypatch.undo()
            anydb["__vc_lock"].update_many({}, {"$set": {"expires": None}})
            others = VersionedCollection(anydb, "bands")
            edit(others, "registered")
            assert others.register("by another owner")
            edit(others, "set aside")
            assert others.stash()
        return versions(self)

    monkeypatch.setattr(DeltaStore, "versions", late)
    with pytest.raises(errors.LeaseLost):
        bands.gc() if verb == "gc" else bands.purge(ids=[3], reason="asked for")
    assert problems(bands) == []
    assert bands.stash_apply()
    assert bands.register("what was set aside")
    assert problems(bands) == []


def test_gc_untracked(anydb):
    bands = untracked(anydb)
    assert bands.gc() == {}
    assert anydb.list_collection_names() == ["bands"]


@pytest.mark.blocking
def test_listen_keeps_the_modified_set_fresh(anydb):
    bands = tracked(anydb)
    stop = threading.Event()
    looks = []
    listener = threading.Thread(target=lambda: looks.append(bands.listen(0.05, stop)))
    listener.start()
    try:
        edit(bands, 1)
        wanted = threading.Event()
        for _ in range(200):
            if raws(anydb["__modified_bands"]):
                break
            wanted.wait(0.05)
        assert len(raws(anydb["__modified_bands"])) == 1
    finally:
        stop.set()
        listener.join()
    assert looks[0] >= 1
    assert bands.status()["changes"]["updated"] == 1
    assert bands.register("one")
    assert problems(bands) == []


def test_listen_untracked(db):
    with pytest.raises(errors.CollectionNotTracked):
        VersionedCollection(db, "bands").listen(0.01)
