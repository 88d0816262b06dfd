"""publish_view, views and drop_view: versions that any client can query."""

from __future__ import annotations

import pytest
from api_support import edit, everything, grown, problems, raws, tracked, untracked
from pymongo.errors import OperationFailure

from versioned_collection import VersionedCollection, errors
from versioned_collection.past import building
from versioned_collection.trackers.overlays import OverlaysCollection


def test_a_view_shows_a_version_whatever_happens(anydb):
    bands = grown(anydb)
    bands.create_index("name")
    bands.checkout("main@1")
    expected = raws(bands)
    bands.checkout("main")
    assert bands.publish_view("v1", "release").label == "main@1"
    edit(bands, "uncommitted")
    bands.register("next")
    bands.checkout("side")
    bands.insert_one({"_id": "here"})
    assert raws(anydb.release) == expected
    assert anydb.release.find_one({"name": "Blur"})["_id"] == 2
    assert {name: one.label for name, one in bands.views().items()} == {"release": "main@1"}
    with pytest.raises(OperationFailure):
        anydb.release.insert_one({})
    assert problems(bands) == []


def test_gc_and_making_room_leave_what_a_view_shows(db, monkeypatch):
    bands = grown(db)
    bands.publish_view("main@0", "first")
    monkeypatch.setattr(building, "MOST_OVERLAYS", 1)
    for number in (1, 2):
        bands.at(number).find_one({})
    bands.gc()
    assert db.first.count_documents({}) == 3
    assert bands.at("main@0").count_documents({"mark": {"$exists": False}}) == 3
    bands.drop_view("first")
    assert bands.views() == {}
    assert bands.gc()["overlays"] >= 1
    assert not [name for name in db.list_collection_names() if name.startswith("__past_bands.")]


def test_a_view_moves_to_another_version(anydb):
    bands = grown(anydb)
    bands.publish_view("main@1", "release")
    with pytest.raises(errors.InvalidOperation, match="replace=True"):
        bands.publish_view("main@2", "release")
    assert bands.publish_view("main@2", "release", replace=True).label == "main@2"
    assert anydb.release.find_one({"_id": 1})["mark"] == 2
    assert bands.publish_view("side", "other", replace=True).label == "side@1"
    assert list(bands.views()) == ["other", "release"]


def test_a_view_that_was_dropped_meanwhile_is_made_again(anydb):
    bands = grown(anydb)
    bands.publish_view("main@1", "release")
    shown = bands.publish_view(
        "main@2", "release", replace=True, progress=lambda *told: anydb.drop_collection("release")
    )
    assert bands.views() == {"release": shown}
    assert anydb.release.find_one({"_id": 1})["mark"] == 2


@pytest.mark.parametrize("verb", ["create_view", "turn_view"])
def test_a_view_that_comes_too_late_is_taken_back(db, monkeypatch, verb):
    """Its owner froze for so long that another one removed what it was to show."""
    bands = grown(db)
    if verb == "turn_view":
        bands.publish_view("main@0", "release")
    punctual = getattr(OverlaysCollection, verb)

    def late(self, *given):
        db["__vc_lock"].update_one({}, {"$set": {"expires": None}})
        assert VersionedCollection(db, "bands").gc()["overlays"] == 1
        punctual(self, *given)

    monkeypatch.setattr(OverlaysCollection, verb, late)
    with pytest.raises(errors.LeaseLost):
        bands.publish_view("main@1", "release", replace=True)
    monkeypatch.undo()
    assert bands.views() == {}
    assert "release" not in db.list_collection_names()
    bands.publish_view("main@1", "release")
    assert db.release.find_one({"_id": 1})["mark"] == 1
    assert problems(bands) == []


def test_a_view_has_the_indexes_that_came_later(anydb):
    bands = grown(anydb)
    bands.at("main@1").prepare(whole=True)
    bands.create_index("name")
    bands.publish_view("main@1", "release")
    assert "name_1" in _indexes_behind(anydb, "release")
    bands.create_index("mark")
    bands.at("main@1").prepare(whole=True)
    assert {"name_1", "mark_1"} <= _indexes_behind(anydb, "release")


def _indexes_behind(db, view):
    (found,) = db.list_collections(filter={"name": view})
    return set(db[found["options"]["viewOn"]].index_information())


def test_a_renamed_collection_keeps_its_views(anydb):
    bands = grown(anydb)
    bands.publish_view("main@1", "release")
    groups = bands.rename("groups")
    assert anydb.release.find_one({"_id": 1})["mark"] == 1
    assert list(groups.views()) == ["release"]
    assert problems(groups) == []


def test_views_go_with_the_collection(anydb):
    bands, others = grown(anydb), grown(anydb, "others")
    bands.publish_view("main@1", "release")
    others.publish_view("main@1", "of_others")
    bands.drop()
    left = set(anydb.list_collection_names())
    assert "release" not in left
    assert "of_others" in left
    assert not [name for name in left if "bands" in name]


def test_the_collation_stays(db):
    db.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = tracked(db)
    bands.publish_view("HEAD", "release")
    assert db.release.find_one({"name": "PULP"})["_id"] == 1


def test_an_empty_version(db):
    bands = VersionedCollection(db, "bands")
    bands.init()
    step_zero = bands.publish_view("main@0", "nothing")
    bands.insert_one({"_id": 1})
    assert (step_zero.number, db.nothing.count_documents({})) == (0, 0)


def test_names_that_cannot_be(db):
    bands = tracked(db)
    db.other.insert_one({})
    before = everything(db)
    for name in ("", "a$b", "__mine", "system.x", 7, None):
        with pytest.raises(errors.InvalidArgument):
            bands.publish_view("main", name)  # type: ignore[arg-type]
    for name in ("other", "bands"):
        for replace in (False, True):
            with pytest.raises(errors.InvalidOperation):
                bands.publish_view("main", name, replace=replace)
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.publish_view("nothing", "release")
    for name in ("nothing", "other", "bands"):
        with pytest.raises(errors.InvalidArgument):
            bands.drop_view(name)
    assert everything(db) == before
    with pytest.raises(errors.CollectionNotTracked):
        untracked(db, "fresh").publish_view("main", "release")
    assert untracked(db, "fresh2").views() == {}


def test_the_names_of_working_copies_are_taken_while_their_collections_are_dropped(db):
    bands = tracked(db)
    bands.create_branch("side")
    copy = bands.worktree("main", "copy")
    for name in ("bands", "copy"):
        db[name].drop()
        for one in (bands, copy):
            with pytest.raises(errors.InvalidOperation, match="name of a working copy"):
                one.publish_view("HEAD", name)
    assert db.list_collection_names(filter={"name": {"$in": ["bands", "copy"]}}) == []
    assert bands.discard_changes()
    assert copy.discard_changes()
    assert problems(bands) == []
