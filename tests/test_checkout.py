"""checkout: bring the collection to another version."""

from __future__ import annotations

import gc
import threading

import pytest
from api_support import edit, everything, grown, mark, problems, raws, step, tracked, untracked
from harness.scenarios import odd

from versioned_collection import VersionedCollection, errors


def place(bands):
    return bands.version, bands.branch, bands.is_detached()


def test_by_number_branch_and_both(anydb):
    bands = grown(anydb)
    assert bands.checkout(0) is True
    assert place(bands) == (0, "main", True)
    assert mark(bands) is None
    assert bands.checkout(branch="side") is True
    assert place(bands) == (1, "side", False)
    assert mark(bands) == "s1"
    assert bands.checkout(2, "main") is True
    assert place(bands) == (2, "main", True)
    assert mark(bands) == 2
    assert bands.checkout(version=0, branch="side") is True
    assert place(bands) == (0, "side", True)
    assert mark(bands) == "s0"
    assert bands.checkout(3, "main") is True
    assert place(bands) == (3, "main", False)
    assert mark(bands) == 3
    assert problems(bands) == []


def test_every_version_comes_back_to_the_byte(anydb):
    bands = tracked(anydb)
    states = [raws(bands)]
    for n in range(1, 5):
        bands.insert_one({"_id": 100 + n, "n": n})
        bands.update_many({}, {"$set": {f"f{n}": n}})
        bands.delete_one({"_id": n})
        bands.register(f"v{n}")
        states.append(raws(bands))
    for n in (0, 4, 1, 3, 2, 0, 2):
        bands.checkout(n)
        assert raws(bands) == states[n], n
        assert not bands.has_changes()
    assert problems(bands) == []


def test_version_alone_means_the_current_branch(anydb):
    bands = grown(anydb)
    bands.checkout(branch="side")
    bands.checkout(0)
    assert place(bands) == (0, "side", True)
    bands.checkout(1)  # of side, the branch of the detached HEAD
    assert place(bands) == (1, "side", False)


def test_detaching_and_reattaching(anydb):
    bands = grown(anydb)
    assert not bands.is_detached()
    bands.checkout(2)
    assert bands.is_detached()
    bands.checkout(3)
    assert not bands.is_detached()
    step(bands, 4)
    assert place(bands) == (4, "main", False)


def test_already_there(anydb):
    bands = grown(anydb)
    before = raws(bands)
    assert bands.checkout(3) is True
    assert bands.checkout(branch="main") is True
    assert bands.checkout("HEAD") is True
    assert raws(bands) == before
    assert place(bands) == (3, "main", False)


def test_already_there_with_uncommitted_changes(anydb):
    bands = grown(anydb)
    edit(bands, "dirty")
    assert bands.checkout(3) is True
    assert mark(bands) == "dirty"
    assert bands.has_changes()


def test_refuses_over_uncommitted_changes(anydb):
    bands = grown(anydb)
    edit(bands, "dirty")
    bands.insert_one({"_id": "new"})
    bands.status()
    before = everything(anydb)
    for target in ({"version": 0}, {"branch": "side"}, {"version": "main~1"}):
        with pytest.raises(errors.InvalidOperation, match="uncommitted"):
            bands.checkout(**target)
    assert everything(anydb) == before
    bands.discard_changes()
    assert bands.checkout(0) is True


def test_errors_name_what_is_missing_and_change_nothing(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    with pytest.raises(ValueError, match="version, a branch"):
        bands.checkout()
    for version, branch in ((9, None), (-1, None), (2, "side"), ("main@9", None), ("x", None)):
        with pytest.raises(errors.InvalidCollectionVersion, match="no version"):
            bands.checkout(version, branch)
    for version in (None, 0, 99):
        with pytest.raises(errors.BranchNotFound, match="nope") as caught:
            bands.checkout(version, "nope")
        assert caught.value.branch == "nope"
    for wrong in (True, 1.0, b"main", {"a": 1}, ("main",), ("main", 1)):
        with pytest.raises(TypeError):
            bands.checkout(wrong)
    with pytest.raises(TypeError):
        bands.checkout(0, 5)
    with pytest.raises(ValueError, match="alone"):
        bands.checkout("main@1", "side")
    assert everything(anydb) == before
    assert place(bands) == (3, "main", False)


def test_missing_version_is_told_even_with_uncommitted_changes(anydb):
    bands = tracked(anydb)
    edit(bands, 1)
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.checkout(9)
    with pytest.raises(errors.BranchNotFound):
        bands.checkout(branch="nope")


def test_untracked(anydb):
    bands = untracked(anydb)
    assert bands.checkout(0) is False
    assert bands.checkout(branch="main") is False
    with pytest.raises(ValueError, match="version, a branch"):
        bands.checkout()


def test_revision_texts(anydb):
    bands = grown(anydb)
    for text, where in {
        "main~2": (1, "main", True),
        "side": (1, "side", False),
        "side@0": (0, "side", True),
        "v1": (1, "main", True),
        "main": (3, "main", False),
        "HEAD~1": (2, "main", True),
        "main@3": (3, "main", False),
    }.items():
        assert bands.checkout(text) is True
        assert place(bands) == where, text
    assert bands.checkout((0, "side"))
    assert place(bands) == (0, "side", True)
    assert bands.checkout(bands.resolve("main").id)
    assert place(bands) == (3, "main", False)
    assert bands.checkout(bands.resolve("v1"))
    assert place(bands) == (1, "main", True)


def test_unborn_branch_and_its_origin_share_the_documents(anydb):
    bands = tracked(anydb)
    bands.create_branch("side")
    assert bands.checkout(branch="main")
    assert place(bands) == (0, "main", False)
    assert bands.checkout(branch="side")
    assert place(bands) == (-1, "side", False)
    assert bands.checkout(0, "main")
    assert place(bands) == (0, "main", False)
    assert bands.checkout(-1, "side")
    assert place(bands) == (-1, "side", False)


def test_swapped_unique_values(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.create_index("rank", unique=True)
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 2}, {"_id": 3, "rank": 3}])
    bands.init()
    first = raws(bands)
    bands.update_one({"_id": 1}, {"$set": {"rank": 0}})
    bands.update_one({"_id": 2}, {"$set": {"rank": 1}})
    bands.update_one({"_id": 1}, {"$set": {"rank": 2}})
    bands.delete_one({"_id": 3})
    bands.insert_one({"_id": 4, "rank": 3})
    bands.register("swapped")
    second = raws(bands)
    bands.checkout(0)
    assert raws(bands) == first
    bands.checkout(1)
    assert raws(bands) == second
    assert problems(bands) == []


def test_documents_that_todays_validator_refuses(anydb):
    bands = tracked(anydb)
    first = raws(bands)
    bands.update_many({}, {"$set": {"mark": 1}})
    bands.register("marked")
    anydb.command("collMod", "bands", validator={"mark": {"$exists": True}})
    assert bands.checkout(0) is True
    assert raws(bands) == first
    assert bands.checkout(1) is True
    assert problems(bands) == []


def test_case_insensitive_collation(anydb):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": "a", "v": 1}, {"_id": "b", "v": 1}, {"_id": "c", "v": "x"}])
    bands.init()
    first = raws(bands)
    bands.delete_one({"_id": "a"})
    bands.insert_one({"_id": "A", "v": 1})
    bands.update_one({"_id": "B"}, {"$set": {"v": 2}})
    bands.update_one({"_id": "c"}, {"$set": {"v": "X"}})
    second = raws(bands)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 2, "deleted": 1}
    bands.register("other case")
    bands.checkout(0)
    assert raws(bands) == first
    bands.checkout(1)
    assert raws(bands) == second
    edit(bands, "x", "C")
    assert bands.stash()
    assert bands.stash_apply()
    assert bands.discard_changes()
    assert raws(bands) == second
    assert problems(bands) == []


def test_unique_index_made_later_refuses_an_old_version(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 1}])
    bands.init()
    bands.update_one({"_id": 2}, {"$set": {"rank": 2}})
    bands.register("unique now")
    bands.create_index("rank", unique=True)
    before = raws(bands)
    with pytest.raises(errors.DocumentRejected):
        bands.checkout(0)
    assert raws(bands) == before
    assert place(bands) == (1, "main", False)
    assert not bands.has_changes()
    assert problems(bands) == []
    bands.drop_index("rank_1")
    assert bands.checkout(0)


def test_dropped_and_replaced_collections_are_noticed(anydb):
    bands = grown(anydb)
    anydb.drop_collection("bands")
    with pytest.raises(errors.InvalidOperation):
        bands.checkout(0)
    assert bands.discard_changes()
    assert mark(bands) == 3
    anydb["other"].insert_many([{"_id": 1, "mark": "o"}, {"_id": 9}])
    anydb["other"].rename("bands", dropTarget=True)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 2}
    bands.register("replaced")
    assert bands.checkout(3)
    assert bands.count_documents({}) == 3
    assert problems(bands) == []


def test_large_documents(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_one({"_id": 1, "v": "a" * 15_900_000})
    bands.init()
    first = raws(bands)
    bands.replace_one({"_id": 1}, {"v": "b" * 15_900_000})
    bands.register("large")
    bands.checkout(0)
    assert raws(bands) == first
    assert problems(bands) == []


def test_progress_is_told(db):
    bands = grown(db)
    told = []
    bands.checkout(0, progress=lambda phase, count: told.append(count))
    assert sum(told) == 1


def test_nothing_reads_on_after_a_large_one(db, small_limits):
    """What is left half read goes when it is collected, perhaps while the driver locks."""
    bands = tracked(db)
    for round_ in range(2):
        bands.insert_many([{"_id": f"{round_} {number}"} for number in range(20)])
        bands.register("many")
    before = set(threading.enumerate())
    gc.disable()
    try:
        bands.checkout(0)
        assert set(threading.enumerate()) <= before
    finally:
        gc.enable()


def test_a_validator_in_the_way_of_a_document_that_is_put_anew(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([odd(1, ("$b", 1)), odd(2)])
    bands.init()
    clean = raws(bands)
    bands.delete_many({})
    bands.insert_many([odd(1, ("$b", 2)), odd(2, ("$c", 1))])
    bands.register("changed")
    anydb.command("collMod", "bands", validator={"validated": True})
    bands.checkout(0)
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert problems(bands) == []
