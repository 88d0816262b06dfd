"""rename and drop: the collection together with its trackers."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import edit, everything, grown, labels, mark, problems, raws, step, tracked

from versioned_collection import VersionedCollection, errors
from versioned_collection.repository import lifecycle
from versioned_collection.trackers.lease import LeaseCollection
from versioned_collection.trackers.metadata import MetadataCollection


def test_rename_takes_everything_along(anydb):
    bands = grown(anydb)
    edit(bands, "stashed")
    bands.stash()
    edit(bands, "uncommitted")
    contents, log = raws(bands), bands.get_log()
    groups = bands.rename("groups")
    assert isinstance(groups, VersionedCollection)
    assert groups.name == "groups"
    assert raws(groups) == contents
    assert groups.get_log() == log
    assert groups.branches() == {"main", "side"}
    assert set(groups.tags()) == {"v1"}
    assert groups.has_stash()
    assert groups.has_changes()
    assert not any("bands" in name for name in anydb.list_collection_names())
    assert bands.status() == {"tracked": False}
    groups.discard_changes()
    groups.stash_apply()
    assert mark(groups) == "stashed"
    groups.register("after the rename")
    groups.checkout("side")
    assert mark(groups) == "s1"
    assert problems(groups) == []
    assert VersionedCollection(anydb, "groups").version == 1


def test_and_back_and_the_old_name_is_free(anydb):
    bands = tracked(anydb)
    groups = bands.rename("groups")
    fresh = tracked(anydb)
    step(fresh, 1)
    assert groups.version == 0
    fresh.drop()
    back = groups.rename("bands")
    step(back, 2)
    assert labels(back.get_log()) == ["main@1", "main@0"]
    assert problems(back) == []


def test_large_images_move_along(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"v": "x" * 9_000_000}})
    bands.register("large")
    groups = bands.rename("groups")
    groups.checkout(0)
    groups.checkout(1)
    assert len(groups.find_one({"_id": 1})["v"]) == 9_000_000
    assert problems(groups) == []


def test_rename_refusals_change_nothing(anydb):
    bands = tracked(anydb)
    anydb["taken"].insert_one({})
    anydb["__log_half"].insert_one({})
    before = everything(anydb)
    for name in ("taken", "bands", "half", "__x", "", "a..b", ".a", "a.", "$x", "a\0b", "x" * 250,
                 None, 5):  # fmt: skip
        with pytest.raises(errors.InvalidArgument):
            bands.rename(name)
    assert everything(anydb) == before
    assert not bands.has_changes()


class Killed(BaseException):
    """The end of a process, at some command."""


@pytest.mark.parametrize("late", [False, True])
def test_another_client_takes_the_new_name_meanwhile(anydb, monkeypatch, late):
    """It does so before the names are looked at, or right before the collection is renamed."""
    bands = grown(anydb)
    edit(bands, "uncommitted")
    before = raws(bands)
    where, what = (
        (lifecycle, "rename_unless_taken") if late else (MetadataCollection, "announce_rename")
    )
    original = getattr(where, what)

    def overtaken(*args: Any, **options: Any) -> Any:
        if "groups" not in anydb.list_collection_names():
            anydb["groups"].insert_one({"_id": "theirs"})
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(where, what, overtaken)
        with pytest.raises(errors.InvalidOperation, match="another client"):
            bands.rename("groups")
    assert anydb["groups"].find_one() == {"_id": "theirs"}
    assert [one for one in anydb.list_collection_names() if "groups" in one] == ["groups"]
    assert raws(bands) == before
    assert bands.status()["changes"]["updated"] == 1
    assert problems(bands) == []
    assert mark(bands.rename("others")) == "uncommitted"


def test_the_new_name_is_taken_after_a_process_died(anydb, monkeypatch):
    bands = grown(anydb)
    before = raws(bands)
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "_rename_collection", dies)
        with pytest.raises(Killed):
            bands.rename("groups")
    anydb["groups"].insert_one({"_id": "theirs"})
    again = VersionedCollection(anydb, "bands")
    assert raws(again) == before
    assert not again.has_changes()
    assert anydb["groups"].find_one() == {"_id": "theirs"}
    assert [one for one in anydb.list_collection_names() if "groups" in one] == ["groups"]
    assert problems(again) == []


def test_the_old_name_is_used_again_after_a_process_died(anydb, monkeypatch):
    bands = grown(anydb)
    before = raws(bands)
    with monkeypatch.context() as patch:
        patch.setattr(LeaseCollection, "carry_on", dies)
        with pytest.raises(Killed):
            bands.rename("groups")
    anydb["bands"].insert_one({"_id": "theirs"})
    groups = VersionedCollection(anydb, "groups")
    assert raws(groups) == before
    assert not groups.has_changes()
    assert anydb["bands"].find_one() == {"_id": "theirs"}
    assert [one for one in anydb.list_collection_names() if "bands" in one] == ["bands"]
    assert problems(groups) == []


def dies(*args: Any) -> None:
    raise Killed


@pytest.mark.parametrize("name", ["a.b.c", "ünïcödé", "with blank", "🎸", "UPPER"])
def test_odd_names(db, name):
    groups = tracked(db).rename(name)
    step(groups, 1)
    assert (groups.name, groups.version) == (name, 1)
    assert problems(groups) == []
    back = groups.rename("bands")
    assert back.version == 1


def test_rename_untracked(anydb):
    anydb["bands"].insert_one({"_id": 1})
    groups = VersionedCollection(anydb, "bands").rename("groups")
    assert isinstance(groups, VersionedCollection)
    assert groups.find_one() == {"_id": 1}
    assert anydb.list_collection_names() == ["groups"]


def test_rename_by_another_client_is_survived(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    anydb["bands"].rename("elsewhere")
    assert bands.status()["changes"] == {"inserted": 0, "updated": 0, "deleted": 3}
    bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []


def test_drop(anydb):
    bands, songs = grown(anydb), tracked(anydb, "songs")
    edit(bands, "x")
    bands.stash()
    bands.drop()
    assert not bands.is_tracked()
    names = set(anydb.list_collection_names())
    assert not any("bands" in name for name in names)
    assert songs.is_tracked()
    assert problems(songs) == []
    assert [lock["_id"] for lock in anydb["__vc_lock"].find()] == ["songs"]
    bands.drop()  # again: nothing there


def unfinishable(bands):
    """Return what is left of a verb that was to call two versions the same, which cannot be."""
    one, other = bands.get_log()[:2]
    both = [[one.id, "main", 77], [other.id, "main", 77]]
    commit = {"labels": both, "working_copy": False, "replica": False}
    return {"verb": "pull", "phase": "apply", "commit": commit}


def test_drop_of_what_cannot_be_completed(anydb):
    """Every other verb says what stands in the way, and that a new beginning is possible."""
    bands = grown(anydb)
    intent = unfinishable(bands)
    anydb["__metadata_bands"].update_one({}, {"$set": {"intent": intent}})
    bands = VersionedCollection(anydb, "bands")
    for verb in (lambda: bands.register("more"), lambda: bands.checkout("side")):
        with pytest.raises(errors.InvalidOperation, match=r"main@77.*drop\(\)"):
            verb()
    bands.drop()
    assert not any("bands" in name for name in anydb.list_collection_names())
    bands.insert_one({"_id": 1})
    assert bands.init()


def test_drop_of_worktrees_and_what_cannot_be_completed(anydb):
    bands = grown(anydb)
    bands.worktree("side", "trial")
    intent = unfinishable(bands)
    anydb["__metadata_bands"].update_one({"_id": "working_copy"}, {"$set": {"intent": intent}})
    with pytest.raises(errors.InvalidOperation, match="main@77"):
        bands.register("more")
    bands.remove_worktree("trial")
    bands.drop()
    names = anydb.list_collection_names()
    assert not any("bands" in name or "trial" in name for name in names)


def test_drop_untracked(anydb):
    anydb["bands"].insert_one({})
    VersionedCollection(anydb, "bands").drop()
    assert anydb.list_collection_names() == []


def test_drop_of_what_another_program_keeps_under_the_names_of_trackers(anydb):
    anydb["bands"].insert_one({})
    anydb["__log_bands"].insert_one({"version": 3})
    VersionedCollection(anydb, "bands").drop()
    assert "bands" not in anydb.list_collection_names()
    assert anydb["__log_bands"].count_documents({}) == 1


def test_drop_by_another_client_is_survived(anydb):
    bands = tracked(anydb)
    anydb["bands"].drop()
    assert bands.is_tracked()
    assert bands.status()["changes"]["deleted"] == 3
    assert bands.register("all gone")
    assert bands.checkout(0)
    assert bands.count_documents({}) == 3
    assert problems(bands) == []


@pytest.mark.parametrize("begin", ["init", "clone"])
def test_a_history_that_begins_under_the_new_name_meanwhile(anydb, there, monkeypatch, begin):
    """It would drop the trackers that have that name already."""
    bands = tracked(anydb)
    edit(bands, 1)
    bands.register("edited")
    away = tracked(there, "groups")
    original, refused = lifecycle.rename_exactly, []

    def late(db, old, new, *args, **options):
        if old == "__replica_bands":
            groups = VersionedCollection(db, "groups")
            with pytest.raises(errors.InvalidOperation, match="being renamed"):
                groups.init("other") if begin == "init" else groups.pull(away)
            refused.append(old)
        return original(db, old, new, *args, **options)

    monkeypatch.setattr(lifecycle, "rename_exactly", late)
    groups = bands.rename("groups")
    assert refused
    assert [version.message for version in groups.log()] == ["edited", "start"]
    assert problems(groups) == []
