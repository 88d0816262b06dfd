"""init: start tracking a collection."""

from __future__ import annotations

from datetime import timedelta

import pytest
from api_support import BANDS, edit, everything, grown, problems, raws, tracked, untracked
from bson import SON, Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, Regex, Timestamp

from versioned_collection import Version, VersionedCollection, errors
from versioned_collection.verbs import init


def test_present_documents_become_version_0_of_main(anydb):
    bands = untracked(anydb)
    before = raws(bands)
    bands.init("start")
    assert (bands.version, bands.branch) == (0, "main")
    assert bands.is_tracked()
    assert not bands.is_detached()
    assert not bands.has_changes()
    assert raws(bands) == before
    assert bands.branches() == {"main"}
    assert problems(bands) == []


def test_returns_the_root_version(anydb):
    root = untracked(anydb).init("start", author="Ada", metadata={"ticket": 7})
    assert isinstance(root, Version)
    assert (root.number, root.branch, root.parents) == (0, "main", ())
    assert (root.message, root.author, root.metadata) == ("start", "Ada", {"ticket": 7})
    assert root.stats == {"inserted": len(BANDS), "updated": 0, "deleted": 0}


def test_message_is_optional(anydb):
    bands = untracked(anydb)
    bands.init()
    assert bands.get_log()[0].message


def test_timestamp_is_the_servers(anydb):
    bands = untracked(anydb)
    before = anydb.client.admin.command("hello")["localTime"]
    bands.init()
    after = anydb.client.admin.command("hello")["localTime"]
    assert before - timedelta(seconds=1) <= bands.get_log()[0].timestamp <= after


def test_nothing_is_created_before(anydb):
    bands = VersionedCollection(anydb, "bands")
    assert not bands.is_tracked()
    bands.status()
    bands.branches()
    list(bands.log())
    assert anydb.list_collection_names() == []


def test_missing_collection_is_created(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.init()
    assert "bands" in anydb.list_collection_names()
    assert bands.version == 0
    assert not bands.register("nothing")
    bands.insert_one({"_id": 1})
    assert bands.register("one")
    assert problems(bands) == []


def test_empty_collection(anydb):
    anydb.create_collection("bands")
    bands = VersionedCollection(anydb, "bands")
    bands.init()
    assert bands.resolve("HEAD").stats["inserted"] == 0
    assert problems(bands) == []


def test_twice_is_refused_and_changes_nothing(anydb):
    bands = tracked(anydb)
    before = everything(anydb)
    with pytest.raises(errors.CollectionAlreadyInitialised, match="tracked already") as caught:
        bands.init("again")
    assert caught.value.collection == "bands"
    with pytest.raises(errors.CollectionAlreadyInitialised):
        VersionedCollection(anydb, "bands").init()
    assert everything(anydb) == before


def test_another_object_sees_it(anydb):
    tracked(anydb)
    again = VersionedCollection(anydb["bands"])
    assert again.is_tracked()
    assert (again.version, again.branch) == (0, "main")


def test_after_drop_it_starts_anew(anydb):
    bands = tracked(anydb)
    bands.drop()
    assert not bands.is_tracked()
    bands.insert_one({"_id": "new"})
    bands.init("second life")
    assert [entry.message for entry in bands.get_log()] == ["second life"]
    assert problems(bands) == []


def test_documents_of_every_type_are_kept(anydb):
    bands = VersionedCollection(anydb, "bands")
    values = [
        1, Int64(1), 1.0, -0.0, float("nan"), Decimal128("1.0"), True, None, "text", b"bytes",
        Binary(b"x", 5), Binary(b"y", 128), Code("f()"), Code("f()", {"a": 1}), Regex("a", "i"),
        Timestamp(1, 2), Timestamp(0, 0), MinKey(), MaxKey(), DBRef("c", 1), [[1], []], {},
        SON([("b", 1), ("a", 2)]), {"a.b": 1, "$c": 2, "": 3},
    ]  # fmt: skip
    bands.insert_many([{"_id": n, "v": value} for n, value in enumerate(values)])
    before = raws(bands)
    bands.init()
    assert not bands.has_changes()
    bands.delete_many({})
    assert bands.register("all gone")
    bands.checkout(0)
    assert raws(bands) == before
    assert problems(bands) == []


def test_progress_is_told(anydb):
    told = []
    untracked(anydb).init(progress=lambda phase, count: told.append((phase, count)))
    assert sum(count for _, count in told) == len(BANDS)


def test_indexes_and_options_of_the_collection_stay(anydb):
    anydb.create_collection("bands", validator={"name": {"$exists": True}})
    bands = untracked(anydb)
    bands.create_index("name", unique=True)
    bands.init()
    assert "name_1" in bands.index_information()
    assert bands.options()["validator"] == {"name": {"$exists": True}}


def test_a_copy_that_takes_longer_than_the_server_keeps_snapshots(db, monkeypatch):
    """It is of a later time then: what moved before that time belongs to version 0."""
    bands = untracked(db)
    read = init._Initialiser._read
    times = []

    def too_late_at_first(self, at):
        times.append(at)
        if len(times) == 1:
            db.bands.update_one({"_id": 1}, {"$set": {"name": "moved"}})
            db.bands.insert_one({"_id": "came"})
            db.bands.delete_one({"_id": 2})
            raise errors.SnapshotUnavailable("too late")
        return read(self, at)

    monkeypatch.setattr(init._Initialiser, "_read", too_late_at_first)
    bands.init()
    assert times[1] > times[0]
    assert not bands.has_changes()
    assert raws(db["__replica_bands"]) == raws(db.bands)
    assert problems(bands) == []


def test_a_history_that_has_lost_its_metadata(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted")
    anydb.drop_collection("__metadata_bands")
    before = everything(anydb)
    assert not bands.is_tracked()
    with pytest.raises(errors.CorruptHistory, match=r"Restore __metadata_bands .* drop\(\)"):
        VersionedCollection(anydb, "bands").init("anew")
    assert everything(anydb) == before
    songs = tracked(anydb, "songs")
    anydb.drop_collection("__metadata_songs")
    with pytest.raises(errors.CorruptHistory):
        songs.init()
    anydb["__metadata_bands"].insert_one({"_id": "rename", "format": 1, "from": "groups"})
    with pytest.raises(errors.CorruptHistory):
        bands.init()
    bands.drop()
    assert not any("bands" in name for name in anydb.list_collection_names())
    assert bands.init()


def test_what_another_program_keeps_under_the_names_of_trackers(anydb, there):
    """An older library of the same name does."""
    bands, elsewhere = untracked(anydb), tracked(there)
    foreign = {"current_version": 3, "current_branch": "main"}
    for tracker in ("metadata", "branches"):
        anydb[f"__{tracker}_bands"].insert_one(dict(foreign))
        before = everything(anydb)
        assert not bands.is_tracked()
        assert bands.branches() == set()
        with pytest.raises(errors.FormatMismatch, match=f"__{tracker}_bands holds"):
            bands.init()
        with pytest.raises(errors.FormatMismatch):
            elsewhere.push(bands)
        assert everything(anydb) == before
        anydb.drop_collection(f"__{tracker}_bands")
    bands.init()


@pytest.mark.parametrize("capture", ["auto", "write_through"])
@pytest.mark.parametrize("step", ["_copy_on_server", "_read", "_start"])
def test_what_is_written_meanwhile_is_a_change(anydb, monkeypatch, step, capture):
    """Nobody notes what is written to a collection that is not tracked yet."""
    bands = untracked(anydb, capture=capture)
    other = VersionedCollection(anydb, "bands", capture=capture)
    original = getattr(init._Initialiser, step)

    def overtaken(self, *args):
        other.update_one({"_id": 1}, {"$set": {"n": "before"}})
        done = original(self, *args)
        other.update_one({"_id": 2}, {"$set": {"n": "after"}})
        return done

    with monkeypatch.context() as patch:
        patch.setattr(init._Initialiser, step, overtaken)
        bands.init("start")
    root, now = {d["_id"]: d for d in bands.at(0).find()}, {d["_id"]: d for d in bands.find()}
    assert set(bands.diff()) == {id_ for id_ in now if root[id_] != now[id_]}
    assert now[2]["n"] == "after"
    assert problems(bands) == []
    assert bands.register("meanwhile") == (root != now)
    assert problems(bands) == []
