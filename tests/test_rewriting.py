"""cherry_pick, revert, reset: one version's changes again, or back; a branch put elsewhere."""

from __future__ import annotations

import pytest
from api_support import BANDS, everything, grown, mark, problems, raws, step, tracked

from versioned_collection import VersionedCollection, errors


def added(bands: VersionedCollection, name: str, id_: int = 1) -> None:
    """Register a field of its own."""
    bands.update_one({"_id": id_}, {"$set": {name: True}})
    assert bands.register(f"adds {name}", author="Ada", metadata={"field": name})


@pytest.fixture
def bands(anydb) -> VersionedCollection:
    """Fields one, two, three were added by main@1, main@2, main@3."""
    collection = tracked(anydb)
    for name in ("one", "two", "three"):
        added(collection, name)
    return collection


def fields(bands: VersionedCollection, id_: int = 1) -> set[str]:
    return set(bands.find_one({"_id": id_})) - set(BANDS[0])


# -- cherry_pick ----------------------------------------------------------------------------


def test_cherry_pick(bands):
    bands.checkout(1)
    bands.create_branch("side")
    picked = bands.cherry_pick("main@3")
    assert fields(bands) == {"one", "three"}
    assert (picked.label, picked.message, picked.author) == ("side@0", "adds three", "Ada")
    assert picked.parents == (bands.resolve("main@1").id,)
    assert picked.metadata == {"field": "three"}
    assert not bands.has_changes()
    assert problems(bands) == []


def test_cherry_pick_of_what_is_there(bands):
    before = everything(bands.database)
    assert bands.cherry_pick("main@2") == bands.resolve("HEAD")
    assert everything(bands.database) == before


def test_cherry_pick_with_conflicts(bands):
    bands.checkout(1)
    bands.create_branch("side")
    bands.update_one({"_id": 1}, {"$set": {"two": "mine"}})
    bands.register("mine")
    head = bands.resolve("HEAD")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.cherry_pick("main@2")
    (conflict,) = bands.conflicts()
    assert (conflict.path, conflict.ours, conflict.theirs) == (("two",), "mine", True)
    with pytest.raises(errors.InvalidOperation, match="cherry_pick waits"):
        bands.checkout("main")
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.register()
    picked = bands.resolve("HEAD")
    assert picked.parents == (head.id,)
    assert (picked.message, picked.author) == ("adds two", "Ada")
    assert problems(bands) == []


# -- revert ---------------------------------------------------------------------------------


def test_revert(bands):
    reverted = bands.revert("main@2", author="Bob")
    assert fields(bands) == {"one", "three"}
    assert (reverted.message, reverted.author) == ('Revert "adds two"', "Bob")
    assert reverted.label == "main@4"
    again = bands.revert("HEAD", "put back")
    assert fields(bands) == {"one", "two", "three"}
    assert again.fingerprint == bands.resolve("main@3").fingerprint
    assert problems(bands) == []


def test_revert_of_the_tip_gives_the_parent_back(anydb, small_limits):
    bands = tracked(anydb)
    before = raws(bands)
    bands.insert_many([{"_id": f"new {i}"} for i in range(5)])
    bands.delete_one({"_id": 2})
    bands.update_one({"_id": 1}, {"$unset": {"members": ""}})
    bands.register("much")
    bands.revert("HEAD")
    assert raws(bands) == before
    assert problems(bands) == []


def test_revert_of_what_changed_since(bands):
    bands.update_one({"_id": 1}, {"$set": {"two": "changed since"}})
    bands.register("changed since")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.revert("main@2")
    (conflict,) = bands.conflicts()
    assert conflict.kind == "deleted_by_them"
    assert bands.abort_merge()
    assert bands.find_one({"_id": 1})["two"] == "changed since"
    assert problems(bands) == []


def test_revert_of_a_merge(bands):
    bands.checkout(1)
    bands.create_branch("side")
    added(bands, "four", 2)
    bands.checkout("main")
    merge = bands.merge("side")
    with pytest.raises(errors.InvalidArgument, match="parent=1"):
        bands.revert("HEAD")
    with pytest.raises(errors.InvalidArgument, match="2 parent"):
        bands.revert("HEAD", parent=3)
    with pytest.raises(errors.InvalidType):
        bands.revert("HEAD", parent="first")
    bands.revert("HEAD", parent=1)
    assert (fields(bands), fields(bands, 2)) == ({"one", "two", "three"}, set())
    bands.reset(merge, hard=True)
    bands.revert("HEAD", parent=2)
    assert (fields(bands), fields(bands, 2)) == ({"one"}, {"four"})
    assert problems(bands) == []


@pytest.mark.parametrize("verb", ["cherry_pick", "revert"])
def test_refused(bands, verb):
    call = getattr(bands, verb)
    before = everything(bands.database)
    with pytest.raises(errors.InvalidArgument, match="first version"):
        call(0)
    with pytest.raises(errors.InvalidCollectionVersion):
        call("nowhere")
    with pytest.raises(errors.InvalidArgument):
        call(1, resolver="best")
    assert everything(bands.database) == before
    bands.checkout(1)
    with pytest.raises(errors.InvalidOperation, match="detached"):
        call("main@3")
    bands.checkout("main")
    bands.update_one({"_id": 2}, {"$set": {"dirty": True}})
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        call("main@2")
    with pytest.raises(errors.CollectionNotTracked):
        getattr(VersionedCollection(bands.database, "others"), verb)("HEAD")


# -- reset ----------------------------------------------------------------------------------


def test_reset_keeps_the_documents(bands):
    bands.update_one({"_id": 2}, {"$set": {"dirty": True}})
    before = raws(bands)
    assert bands.reset("HEAD~2") == bands.resolve("main@1")
    assert raws(bands) == before
    assert bands.resolve("main") == bands.resolve("HEAD") == bands.resolve("main@1")
    assert bands.status()["changes"] == {"inserted": 0, "updated": 2, "deleted": 0}
    assert problems(bands) == []
    assert bands.register("all at once")
    assert bands.resolve("HEAD").label == "main@4"
    assert bands.resolve("HEAD").parent == bands.resolve("main@1").id
    assert bands.checkout("main@3"), "what no branch leads to is still there"
    assert fields(bands) == {"one", "two", "three"}
    assert problems(bands) == []


def test_reset_hard(bands, request):
    bands.update_one({"_id": 2}, {"$set": {"dirty": True}})
    bands.insert_one({"_id": "dirty"})
    bands.reset(1, hard=True)
    assert fields(bands) == {"one"}
    assert bands.find_one({"_id": "dirty"}) is None
    assert not bands.has_changes()
    assert bands.branch == "main"
    assert not bands.is_detached()
    bands.reset("main@3", hard=True)
    assert fields(bands) == {"one", "two", "three"}
    assert problems(bands) == []


def test_reset_large(anydb, small_limits):
    for hard in (False, True):
        bands = tracked(anydb, f"bands{hard}")
        old = raws(bands)
        bands.insert_many([{"_id": f"new {i}"} for i in range(7)])
        bands.delete_one({"_id": 1})
        bands.register("much")
        bands.update_many({}, {"$set": {"dirty": True}})
        dirty = raws(bands)
        bands.reset(0, hard=hard)
        assert raws(bands) == (old if hard else dirty)
        assert bands.has_changes() is not hard
        assert problems(bands) == []


def test_reset_to_head_drops_or_keeps_changes(bands):
    bands.update_one({"_id": 2}, {"$set": {"dirty": True}})
    bands.reset("HEAD")
    assert bands.status()["changes"]["updated"] == 1
    bands.reset("HEAD", hard=True)
    assert not bands.has_changes()


def test_reset_of_a_detached_head(anydb):
    bands = grown(anydb)
    bands.checkout(1)
    bands.reset("main@2", hard=True)
    assert bands.is_detached()
    assert bands.resolve("main").label == "main@3"
    assert mark(bands) == 2
    bands.reset("main")
    assert not bands.is_detached()
    assert bands.status()["changes"]["updated"] == 1
    assert problems(bands) == []


def test_reset_refused(bands):
    before = everything(bands.database)
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.reset("nowhere")
    assert everything(bands.database) == before
    with pytest.raises(errors.CollectionNotTracked):
        VersionedCollection(bands.database, "others").reset("HEAD")


def test_a_branch_that_was_reset_away_can_be_merged(bands):
    bands.reset(1, hard=True)
    step(bands, "other")
    bands.merge("main@3")
    assert fields(bands) == {"one", "two", "three", "mark"}
    assert problems(bands) == []
