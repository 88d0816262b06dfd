"""stash, stash_apply, stash_discard."""

from __future__ import annotations

import itertools

import pytest
from api_support import edit, everything, grown, mark, problems, raws, step, tracked

from versioned_collection import VersionedCollection, errors
from versioned_collection.committing.steps import Steps
from versioned_collection.documents import targets


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
    assert not bands.has_changes()  # a first look may be noted
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


@pytest.mark.sweep
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


@pytest.fixture(params=["usual", "small"])
def limits(request):
    """Run a test with the usual limits, and where a handful of documents is many."""
    if request.param == "small":
        request.getfixturevalue("small_limits")
    return request.param


def refusing_to_stash(bands):
    """Make a unique index that refuses the documents of HEAD, and no longer those that are there.

    Returns:
        The bytes of what is there.
    """
    bands.insert_many([{"_id": n, "rank": 1} for n in range(6)])
    bands.init()
    bands.update_many({"_id": {"$gt": 0}}, [{"$set": {"rank": {"$add": ["$_id", 10]}}}])
    bands.delete_one({"_id": 5})
    bands.insert_one({"_id": "new", "rank": 20})
    bands.create_index("rank", unique=True)
    return raws(bands)


def refusing_to_apply(bands):
    """Stash documents of which a unique index refuses the third; return the bytes of HEAD."""
    bands.insert_many([{"_id": n, "rank": n} for n in range(6)])
    bands.init()
    bands.update_many({"_id": {"$lt": 4}}, [{"$set": {"rank": {"$add": ["$_id", 100]}}}])
    bands.delete_one({"_id": 5})
    bands.insert_one({"_id": "new", "rank": 20})
    bands.stash()
    bands.create_index("rank", unique=True)
    bands.insert_one({"_id": 9, "rank": 102})
    bands.register("in the way")
    return raws(bands)


def test_a_unique_index_made_meanwhile_refuses(anydb, limits):
    bands = VersionedCollection(anydb, "bands")
    changed = refusing_to_stash(bands)
    for options in ({}, {"push": True}, {"name": "mine"}):
        with pytest.raises(errors.DocumentRejected, match="rank"):
            bands.stash(**options)
        assert raws(bands) == changed
        assert bands.stashes() == []
    assert bands.gc()["stashes"] == 0
    assert problems(bands) == []
    bands.drop_index("rank_1")
    assert bands.stash()
    assert not bands.has_changes()
    assert bands.stash_apply()
    assert raws(bands) == changed


def test_a_stash_that_is_refused_replaces_none(anydb, limits):
    bands = VersionedCollection(anydb, "bands")
    changed = refusing_to_stash(bands)
    bands.drop_index("rank_1")
    bands.stash(message="first")
    bands.stash_apply(drop=False)
    edit(bands, "more", 2)
    bands.create_index("rank", unique=True)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.stash(overwrite=True)
    assert [one.message for one in bands.stashes()] == ["first"]
    bands.drop_index("rank_1")
    bands.discard_changes()
    bands.stash_apply()
    assert raws(bands) == changed
    assert problems(bands) == []


def test_a_stash_that_is_refused_leaves_what_others_write(anydb, monkeypatch, small_limits):
    bands = VersionedCollection(anydb, "bands")
    changed = refusing_to_stash(bands)
    declare = Steps.declare

    def declaring(self, commit):
        if commit.displace and commit.restore and not bands.find_one({"theirs": True}):
            bands.update_one({"_id": 3}, {"$set": {"theirs": True}})
        declare(self, commit)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "declare", declaring)
        with pytest.raises(errors.DocumentRejected, match="the latest stash has them"):
            bands.stash()
    assert bands.find_one({"_id": 3}) == {"_id": 3, "rank": 13, "theirs": True}
    bands.update_one({"_id": 3}, {"$unset": {"theirs": 1}})
    assert raws(bands) == changed
    assert [one.documents for one in bands.stashes()] == [6]
    bands.drop_index("rank_1")
    bands.discard_changes()
    assert bands.stash_apply()
    assert raws(bands) == changed
    assert problems(bands) == []


def test_what_cannot_go_back_is_in_the_stash(anydb, monkeypatch, small_limits):
    bands = VersionedCollection(anydb, "bands")
    changed = refusing_to_stash(bands)
    returned = Steps._return_changes

    def late(self, *args):
        bands.insert_one({"_id": "theirs", "rank": 13})
        returned(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "_return_changes", late)
        with pytest.raises(errors.DocumentRejected, match="the latest stash has them"):
            bands.stash()
    assert bands.find_one({"_id": "theirs"})
    bands.drop_index("rank_1")
    bands.delete_one({"_id": "theirs"})
    bands.discard_changes()
    assert bands.stash_apply()
    assert raws(bands) == changed
    assert problems(bands) == []


def test_applying_what_a_unique_index_refuses(anydb, limits):
    bands = VersionedCollection(anydb, "bands")
    clean = refusing_to_apply(bands)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.stash_apply()
    assert raws(bands) == clean
    assert bands.stash(push=True) is False
    assert len(bands.stashes()) == 1
    assert problems(bands) == []
    bands.drop_index("rank_1")
    assert bands.stash_apply()
    assert [one["rank"] for one in bands.find({"_id": {"$lt": 4}})] == [100, 101, 102, 103]
    assert bands.status()["changes"] == {"inserted": 1, "updated": 4, "deleted": 1}


def test_an_apply_that_is_refused_leaves_what_others_write(anydb, monkeypatch, small_limits):
    bands = VersionedCollection(anydb, "bands")
    clean = refusing_to_apply(bands)
    declare = Steps.declare

    def declaring(self, commit):
        if commit.restore:
            bands.replace_one({"_id": 1}, {"theirs": True}, upsert=True)
        declare(self, commit)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "declare", declaring)
        with pytest.raises(errors.DocumentRejected, match="rank"):
            bands.stash_apply()
    assert bands.find_one({"_id": 1}) == {"_id": 1, "theirs": True}
    assert [one.document_id for one in bands.changes()] == [1]
    bands.discard_changes()
    assert raws(bands) == clean
    assert bands.has_stash()
    assert problems(bands) == []


class Killed(BaseException):
    """The end of a process, at some command."""


@pytest.mark.parametrize("verb", ["stash", "stash_apply"])
def test_a_process_that_dies_while_it_turns_back(anydb, monkeypatch, small_limits, verb):
    """Whoever opens the collection next finds all as it was before the verb."""
    write = targets.write
    for number in itertools.count(1):
        bands = VersionedCollection(anydb, f"bands{number}")
        before = refusing_to_stash(bands) if verb == "stash" else refusing_to_apply(bands)
        stashes = bands.stashes()
        left = number

        def dying(*args, **options):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return write(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(targets, "write", dying)
            with pytest.raises((Killed, errors.DocumentRejected)):
                getattr(bands, verb)()
        if left > 0:
            break
        bands = VersionedCollection(anydb, bands.name)
        assert bands.stashes() == stashes, number
        assert raws(bands) == before, number
        assert problems(bands) == []
    assert number > 5


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


def test_applying_over_what_the_collation_takes_for_the_same_ids(anydb, limits):
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
    bands.create_index("v", unique=True, sparse=True)
    with pytest.raises(errors.DocumentRejected, match="v_1"):
        bands.stash_apply()
    assert raws(bands) == clean
    bands.drop_index("v_1")
    assert bands.stash_apply()
    assert raws(bands) == stashed
    assert bands.status()["changes"] == {"inserted": 5, "updated": 0, "deleted": 5}
    assert bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []
