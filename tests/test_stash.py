"""stash, stash_apply, stash_discard."""

from __future__ import annotations

import pytest
from api_support import edit, everything, grown, mark, problems, raws, step, tracked

from versioned_collection import VersionedCollection, errors


def dirty(bands):
    """Insert, update and delete; return the bytes."""
    edit(bands, "dirty")
    bands.insert_one({"_id": "new"})
    bands.delete_one({"_id": 3})
    return raws(bands)


def test_there_and_back(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    changed = dirty(bands)
    assert bands.stash() is True
    assert raws(bands) == clean
    assert bands.has_stash()
    assert not bands.has_changes()
    assert bands.stash_apply() is True
    assert raws(bands) == changed
    assert not bands.has_stash()
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 1}
    assert bands.stash_apply() is False
    assert bands.register("stashed work")
    assert problems(bands) == []


def test_false_without_changes_or_stash(anydb):
    bands = tracked(anydb)
    before = everything(anydb)
    assert bands.stash() is False
    assert bands.stash(overwrite=True) is False
    assert bands.stash_apply() is False
    assert bands.stash_discard() is False
    assert everything(anydb) == before
    edit(bands, 1)
    assert bands.stash_apply() is False
    assert mark(bands) == 1


def test_occupied(anydb):
    bands = tracked(anydb)
    edit(bands, "first")
    bands.stash()
    edit(bands, "second")
    bands.status()
    before = everything(anydb)
    with pytest.raises(errors.InvalidOperation, match="stash already"):
        bands.stash()
    assert everything(anydb) == before
    assert bands.stash(overwrite=True) is True
    assert mark(bands) is None
    bands.stash_apply()
    assert mark(bands) == "second"
    assert problems(bands) == []


def test_nothing_to_stash_beside_a_stash(anydb):
    bands = tracked(anydb)
    edit(bands, "first")
    bands.stash()
    edit(bands, None)
    bands.update_one({"_id": 1}, {"$unset": {"mark": ""}})  # noticed, and the same as HEAD
    stashes = bands.stashes()
    assert bands.stash() is False
    assert bands.stash(push=True) is False
    assert bands.stash(name="other") is False
    assert bands.stashes() == stashes
    assert bands.stash_apply()
    assert mark(bands) == "first"
    assert problems(bands) == []


def test_overwrite_without_changes_keeps_the_stash(anydb):
    bands = tracked(anydb)
    edit(bands, "first")
    bands.stash()
    assert bands.stash(overwrite=True) is False
    assert bands.has_stash()
    bands.stash_apply()
    assert mark(bands) == "first"


def test_apply_refuses_over_uncommitted_changes(anydb):
    bands = tracked(anydb)
    edit(bands, "stashed")
    bands.stash()
    edit(bands, "later")
    bands.status()
    before = everything(anydb)
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        bands.stash_apply()
    assert everything(anydb) == before


def test_discard(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    dirty(bands)
    bands.stash()
    assert bands.stash_discard() is True
    assert not bands.has_stash()
    assert bands.stash_discard() is False
    assert bands.stash_apply() is False
    assert raws(bands) == clean
    assert raws(anydb["__stash_bands"]) == []


def test_applied_on_another_version_it_overwrites(anydb):
    bands = grown(anydb)
    edit(bands, "stashed")
    bands.insert_one({"_id": "new", "from": "stash"})
    bands.delete_one({"_id": 3})
    bands.stash()
    bands.checkout(branch="side")
    bands.insert_one({"_id": "new", "from": "side"})
    bands.register("own new")
    assert bands.has_stash()
    assert bands.stash_apply() is True
    assert mark(bands) == "stashed"
    assert bands.find_one({"_id": "new"})["from"] == "stash"
    assert bands.find_one({"_id": 3}) is None
    assert (bands.branch, bands.is_detached()) == ("side", False)
    assert bands.register("moved over")
    assert problems(bands) == []


def test_survives_reopening_registering_and_branching(anydb):
    bands = tracked(anydb)
    edit(bands, "stashed")
    bands.stash()
    bands.insert_one({"_id": "x"})
    bands.register("x")
    bands.create_branch("side")
    again = VersionedCollection(anydb, "bands")
    assert again.has_stash()
    assert again.stash_apply()
    assert mark(again) == "stashed"


def test_right_after_many_inserts(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    bands.insert_many([{"n": n} for n in range(10_100)])
    assert bands.stash() is True
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert bands.stash_apply()
    assert bands.count_documents({}) == 10_103


def test_large_documents(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_one({"_id": 1, "v": "a" * 9_000_000})
    bands.init()
    bands.replace_one({"_id": 1}, {"v": "b" * 9_000_000})
    changed = raws(bands)
    bands.stash()
    assert bands.find_one()["v"][0] == "a"
    bands.stash_apply()
    assert raws(bands) == changed
    assert problems(bands) == []


def test_a_unique_index_made_meanwhile_refuses(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 1}])
    bands.init()
    clean = raws(bands)
    bands.update_one({"_id": 2}, {"$set": {"rank": 2}})
    bands.create_index("rank", unique=True)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.stash()
    assert problems(bands) == []
    bands.drop_index("rank_1")
    if bands.has_stash():  # without transactions what could be done was done
        bands.discard_changes()
    else:
        assert bands.stash()
    assert raws(bands) == clean
    assert bands.stash_apply()
    assert bands.find_one({"_id": 2})["rank"] == 2
    assert problems(bands) == []


def test_applying_what_a_unique_index_refuses(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 2}])
    bands.init()
    bands.update_one({"_id": 2}, {"$set": {"rank": 1}})
    changed = raws(bands)
    bands.stash()
    bands.create_index("rank", unique=True)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.stash_apply()
    assert bands.has_stash()
    assert problems(bands) == []
    bands.drop_index("rank_1")
    bands.discard_changes()
    assert bands.stash_apply()
    assert raws(bands) == changed


def test_swapped_unique_values(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.create_index("rank", unique=True)
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 2}])
    bands.init()
    clean = raws(bands)
    for id_, rank in ((1, 0), (2, 1), (1, 2)):
        bands.update_one({"_id": id_}, {"$set": {"rank": rank}})
    swapped = raws(bands)
    bands.stash()
    assert raws(bands) == clean
    bands.stash_apply()
    assert raws(bands) == swapped
    bands.discard_changes()
    assert raws(bands) == clean
    step(bands, 1)
    assert problems(bands) == []


@pytest.mark.parametrize("limits", ["usual", "small"])
def test_applying_over_what_the_collation_takes_for_the_same_ids(anydb, request, limits):
    if limits == "small":
        request.getfixturevalue("small_limits")
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_one({"_id": "E"})
    bands.init()
    bands.delete_one({"_id": "e"})
    bands.insert_many([{"_id": letter, "v": 1} for letter in "abcde"])
    stashed = raws(bands)
    assert bands.stash()
    bands.insert_many([{"_id": letter} for letter in "ABCD"])
    bands.register("in capitals")
    clean = raws(bands)
    assert bands.stash_apply()
    assert raws(bands) == stashed
    assert bands.status()["changes"] == {"inserted": 5, "updated": 0, "deleted": 5}
    assert bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []
