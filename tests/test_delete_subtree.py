"""delete_version_subtree: a version and everything that grew from it."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import edit, everything, grown, labels, mark, problems, raws, step, tracked

from versioned_collection import VersionedCollection, errors
from versioned_collection.trackers.log import LogCollection


def place(bands):
    return bands.version, bands.branch, bands.is_detached()


def test_elsewhere(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted")
    assert bands.delete_version_subtree(0, "side") is True
    assert bands.branches() == {"main"}
    assert place(bands) == (3, "main", False)
    assert mark(bands) == "uncommitted"
    assert bands.has_changes()
    assert len(bands.version_tree) == 4
    with pytest.raises(errors.BranchNotFound):
        bands.checkout(branch="side")
    bands.discard_changes()
    assert problems(bands) == []
    assert bands.gc() == dict.fromkeys(bands.gc(), 0)


def test_part_of_another_branch(anydb):
    bands = grown(anydb)
    bands.delete_version_subtree("side@1")
    assert bands.branches() == {"main", "side"}
    assert labels(bands.get_log("side")) == ["side@0", "main@1", "main@0"]
    bands.checkout(branch="side")
    assert place(bands) == (0, "side", False)
    assert mark(bands) == "s0"
    step(bands, "s1 again")
    assert bands.version == 1
    assert problems(bands) == []


def test_head_inside_moves_to_the_parent(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted")
    bands.insert_one({"_id": "new"})
    assert bands.delete_version_subtree(2) is True
    assert place(bands) == (1, "main", False)
    assert mark(bands) == 1
    assert bands.count_documents({}) == 3
    assert not bands.has_changes()
    assert bands.branches() == {"main", "side"}
    step(bands, "again")
    assert bands.version == 2
    assert problems(bands) == []


def test_head_inside_detached_at_a_version_that_is_no_tip(anydb):
    bands = grown(anydb)
    bands.checkout(branch="side")
    bands.delete_version_subtree(0)
    assert place(bands) == (1, "main", True)
    assert mark(bands) == 1
    assert bands.branches() == {"main"}
    assert problems(bands) == []


def test_branches_and_tags_that_live_there_go(anydb):
    bands = grown(anydb)
    bands.tag("late", "side@1")
    bands.create_branch("unborn")
    assert bands.delete_version_subtree(1, "main") is True
    assert bands.branches() == {"main"}
    assert bands.tags() == {}
    assert place(bands) == (0, "main", False)
    assert mark(bands) is None
    assert labels(bands.get_log()) == ["main@0"]
    assert problems(bands) == []


def test_on_an_unborn_branch(anydb):
    bands = tracked(anydb)
    step(bands, 1)
    bands.create_branch("unborn")
    bands.delete_version_subtree(1, "main")
    assert bands.branches() == {"main"}
    assert place(bands) == (0, "main", False)
    assert problems(bands) == []


def test_the_root_drops_everything(anydb):
    bands = grown(anydb)
    anydb["other"].insert_one({})
    assert bands.delete_version_subtree(0) is True
    assert not bands.is_tracked()
    assert set(anydb.list_collection_names()) <= {"other", "__vc_lock"}
    assert anydb["__vc_lock"].count_documents({}) == 0
    assert bands.delete_version_subtree(0) is False


def test_stash_survives(anydb):
    bands = grown(anydb)
    edit(bands, "stashed")
    bands.stash()
    bands.delete_version_subtree(3)
    assert bands.stash_apply()
    assert mark(bands) == "stashed"


def test_errors_change_nothing(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    for arguments in ((9,), (-1,), ("x",), (2, "side")):
        with pytest.raises(errors.InvalidCollectionVersion):
            bands.delete_version_subtree(*arguments)
    with pytest.raises(errors.BranchNotFound) as caught:
        bands.delete_version_subtree(0, "nope")
    assert isinstance(caught.value, errors.InvalidCollectionVersion)
    with pytest.raises(ValueError, match="version"):
        bands.delete_version_subtree(None)
    for wrong in (True, 1.0, b"x"):
        with pytest.raises(TypeError):
            bands.delete_version_subtree(wrong)
    assert everything(anydb) == before


def test_large_images_go_too(db):
    bands = tracked(db)
    clean = raws(bands)
    bands.update_one({"_id": 1}, {"$set": {"v": "x" * 9_000_000}})
    bands.register("large")
    bands.delete_version_subtree(1)
    assert raws(bands) == clean
    assert db["__deltas_bands.files"].count_documents({}) == 0
    assert db["__deltas_bands.chunks"].count_documents({}) == 0


def test_changes_in_the_place_of_an_equal_id(anydb):
    """The parent's 1.0 comes back where there is a changed 1."""
    bands = tracked(anydb)
    bands.insert_many([{"_id": 7.0, "v": 1}, {"_id": 8.0}])
    bands.register("doubles")
    clean = raws(bands)
    bands.delete_many({"_id": {"$in": [7, 8]}})
    bands.insert_many([{"_id": 7, "v": 1}, {"_id": 8}])
    bands.register("integers")
    edit(bands, "uncommitted", 7)
    bands.delete_version_subtree(2)
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert problems(bands) == []


def test_versions_leave_in_batches(anydb, monkeypatch, small_limits):
    """No name leads to them by then; what a process leaves half done is completed."""
    bands, turns = grown(anydb), []
    bands.tag("late")

    def look(self: LogCollection, *args: Any) -> None:
        if turns:
            raise RuntimeError("killed")
        delete(self, *args)
        turns.append(anydb["__branches_bands"].distinct("_id"))

    delete = LogCollection.delete
    with monkeypatch.context() as patch:
        patch.setattr(LogCollection, "delete", look)
        with pytest.raises(RuntimeError):
            bands.delete_version_subtree(1)
    assert turns == [["main"]]
    again = VersionedCollection(anydb, "bands")
    assert place(again) == (0, "main", False)
    assert len(again.version_tree) == 1
    assert again.tags() == {}
    assert problems(again) == []
