"""Two sides of one history of which one was purged: nothing comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from api_support import everything, problems, step, tracked
from remote_support import assert_equal, grown_pair, other_database, pair, put

from versioned_collection import Retention, VersionedCollection, errors
from versioned_collection.remotes.checked import check_tombstones

WHY = "asked for"

VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "push": lambda purged, other: other.push(purged),
    "force": lambda purged, other: other.push(purged, force=True),
    "push of all": lambda purged, other: other.push(purged, all=True, tags=True),
    "pull": lambda purged, other: other.pull(purged),
    "pull with rebase": lambda purged, other: other.pull(purged, rebase=True),
    "fetch": lambda purged, other: other.fetch(purged),
    "dry run": lambda purged, other: other.pull(purged, dry_run=True),
    "push from there": lambda purged, other: purged.push(other),
    "force from there": lambda purged, other: purged.push(other, force=True),
    "pull from there": lambda purged, other: purged.pull(other),
    "fetch from there": lambda purged, other: purged.fetch(other),
}
FROM_THERE = ("push from there", "force from there", "pull from there", "fetch from there")


def stay(bands: VersionedCollection) -> None:
    """Register nothing more."""


def go_on(bands: VersionedCollection) -> None:
    """Register a version."""
    put(bands, f"in {bands.database.name}", id_=3)


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("purged_goes_on", [stay, go_on])
@pytest.mark.parametrize("other_goes_on", [stay, go_on])
def test_nothing_travels(db, client, name, purged_goes_on, other_goes_on):
    with other_database(client) as there:
        purged, other = grown_pair(db, there)
        purged.purge([2], reason=WHY, author="Ada")
        purged_goes_on(purged)
        other_goes_on(other)
        purged.has_changes()
        before = everything(db), everything(there)
        with pytest.raises(errors.HistoryPurged) as caught:
            VERBS[name](purged, other)
        assert caught.value.side == ("here" if name in FROM_THERE else "there")
        assert [one.reason for one in caught.value.purges] == [WHY]
        assert all(word in str(caught.value) for word in (WHY, "Ada"))
        assert (everything(db), everything(there)) == before


def test_the_same_purged_on_both_sides(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    put(theirs, "theirs", id_=3)
    mine.purge([2], reason=WHY)
    put(mine, "mine", id_=1)
    theirs.purge([2], reason="as they did")
    theirs.pull(mine)
    theirs.push(mine)
    assert_equal(mine, theirs)
    assert [one.reason for one in mine.purges()] == [WHY]
    mine.purge(paths=["since.year"], reason="fields")
    with pytest.raises(errors.HistoryPurged):
        mine.push(theirs)
    theirs.purge(paths=["since.year"], reason="fields, too")
    step(mine, "later")
    assert mine.push(theirs)
    assert_equal(mine, theirs)


def test_the_same_purged_where_one_side_was_thinned_out(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    mine.delete_tag("v1")
    assert mine.thin_out(Retention(keep_last=1)).versions
    mine.purge([1], reason=WHY)
    with pytest.raises(errors.HistoryPurged, match="Purge the same here"):
        theirs.pull(mine)
    theirs.purge([1], reason="as they did")
    for pull in (lambda: theirs.pull(mine), lambda: mine.pull(theirs)):
        with pytest.raises(
            errors.HistoryPurged, match="thinned out before, and a clone"
        ) as caught:
            pull()
        assert caught.value.side == "both"
        assert {one.reason for one in caught.value.purges} == {WHY, "as they did"}


def test_what_was_purged_elsewhere_was_thinned_out_here(anydb, there):
    mine, theirs = pair(anydb, there)
    mine.insert_one({"_id": 9})
    mine.register("nine")
    mine.delete_one({"_id": 9})
    put(mine, "without")
    theirs.pull(mine)
    assert mine.thin_out(Retention(keep_last=1)).versions
    theirs.purge([9], reason=WHY)
    assert mine.purge([9], reason=WHY).documents == 0
    with pytest.raises(errors.HistoryPurged, match=r"found here, .* thinned out .* clone anew"):
        mine.pull(theirs)
    with pytest.raises(errors.HistoryPurged, match=r"found there, .* thinned out .* clone anew"):
        theirs.pull(mine)


WAYS_BACK: dict[str, Callable[[Any, Any], Any]] = {
    "push": lambda purged, other: other.push(purged, "dev"),
    "pull": lambda purged, other: purged.pull(other, "dev"),
    "fetch": lambda purged, other: purged.fetch(other, "dev"),
}


@pytest.mark.parametrize("way", WAYS_BACK)
@pytest.mark.parametrize("names_meet", [True, False])
def test_what_was_picked_onto_a_version_from_before(anydb, there, way, names_meet):
    purged, other = picked(anydb, there, names_meet)
    before = everything(anydb)
    with pytest.raises(errors.HistoryPurged):
        WAYS_BACK[way](purged, other)
    assert everything(anydb) == before
    other.purge([9], reason=WHY)
    assert WAYS_BACK[way](purged, other)
    assert purged.at(other.resolve("dev").id).find_one(9) is None


def test_what_was_picked_and_comes_in_a_bundle(anydb, there, tmp_path):
    purged, other = picked(anydb, there)
    bundle = str(tmp_path / "dev.bundle")
    other.export(bundle, branches=["dev"], since="main@0")
    with pytest.raises(errors.HistoryPurged):
        purged.pull(bundle, "dev")


def picked(here: Any, there: Any, names_meet: bool = True) -> tuple[Any, Any]:
    """Return a side that was purged, and one that has made a version of it again before that.

    Args:
        here: Where the first is.
        there: Where the other one is.
        names_meet: Whether a name of the other side points to a version that both have.
    """
    purged, other = pair(here, there)
    purged.insert_one({"_id": 9})
    purged.register("nine")
    put(purged, "later")
    other.pull(purged)
    other.checkout("main@0")
    other.create_branch("dev")
    other.cherry_pick("main@1")
    other.checkout("main")
    if not names_meet:
        put(other, "further")
    purged.purge([9], reason=WHY)
    put(purged, "after it")
    purged.has_changes()
    return purged, other


def purged_and_deleted(here: Any, there: Any) -> tuple[Any, Any]:
    """Return a side that deleted a branch behind a purge, and one that has it as it was."""
    purged = tracked(here)
    purged.create_branch("dev")
    purged.insert_one({"_id": 9})
    purged.register("nine")
    purged.checkout("main")
    other = VersionedCollection.clone(purged, there, "bands")
    purged.purge([9], reason=WHY)
    purged.delete_version_subtree("dev@0")
    return purged, other


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("goes_on", [stay, go_on])
def test_nothing_travels_where_what_was_purged_was_deleted(db, client, name, goes_on):
    with other_database(client) as there:
        purged, other = purged_and_deleted(db, there)
        other.checkout("dev")
        goes_on(other)
        other.checkout("main")
        for bands in (purged, other):
            bands.has_changes()
        before = everything(db), everything(there)
        with pytest.raises(errors.HistoryPurged) as caught:
            VERBS[name](purged, other)
        assert caught.value.side == ("here" if name in FROM_THERE else "there")
        assert [one.reason for one in caught.value.purges] == [WHY]
        assert (everything(db), everything(there)) == before


@pytest.mark.parametrize("way", WAYS_BACK)
def test_what_was_purged_and_deleted_comes_back_without_it(anydb, there, way):
    purged, other = purged_and_deleted(anydb, there)
    with pytest.raises(errors.HistoryPurged):
        WAYS_BACK[way](purged, other)
    other.purge([9], reason="as they did")
    assert WAYS_BACK[way](purged, other)
    assert purged.at(other.resolve("dev").id).find_one(9) is None
    assert problems(purged) == []


def test_what_was_purged_and_deleted_and_is_in_a_bundle(anydb, there, tmp_path):
    purged, other = purged_and_deleted(anydb, there)
    bundle = str(tmp_path / "before.bundle")
    other.export(bundle)
    with pytest.raises(errors.HistoryPurged) as caught:
        purged.pull(bundle, "dev")
    assert caught.value.side == "here"


def test_what_was_purged_and_deleted_and_comes_by_way_of_a_copy(client, anydb, there):
    """A copy knows of the purge, and not of which versions that are gone."""
    purged, other = purged_and_deleted(anydb, there)
    with other_database(client) as third:
        copy = VersionedCollection.clone(purged, third, "bands")
        other.push(copy, "dev")
        before = everything(anydb)
        for bring in (lambda: purged.fetch(copy), lambda: copy.push(purged, "dev")):
            with pytest.raises(errors.TransferRefused, match="purge the same"):
                bring()
        assert everything(anydb) == before


@pytest.mark.parametrize("through_a_copy", [False, True])
def test_what_was_deleted_here_and_purged_further_elsewhere(client, anydb, there, through_a_copy):
    purged = tracked(anydb)
    for id_ in (13, 14, 15):
        purged.insert_one({"_id": id_})
    purged.register("some")
    purged.purge([13], reason=WHY)
    other = VersionedCollection.clone(purged, there, "bands")
    purged.checkout("main@0")
    purged.delete_version_subtree("main@1")
    other.purge([14], reason="further")
    with other_database(client) as third:
        if through_a_copy:
            other = VersionedCollection.clone(other, third, "bands")
        assert purged.pull(other)
        assert list(purged.find({"_id": {"$gte": 13}})) == [{"_id": 15}]
        assert problems(purged) == []


def test_the_same_purged_in_turn_where_a_branch_was_deleted_meanwhile(anydb, there):
    purged = tracked(anydb)
    purged.create_branch("dev")
    purged.insert_many([{"_id": 8}, {"_id": 9}])
    purged.register("eight and nine")
    purged.checkout("main")
    purged.insert_one({"_id": 8})
    purged.register("eight")
    other = VersionedCollection.clone(purged, there, "bands")
    for bands in (purged, other):
        bands.purge([9], reason=WHY)
        if bands is purged:
            bands.delete_version_subtree("dev@0")
        bands.purge([8], reason=WHY)
    assert purged.pull(other, "dev")
    assert problems(purged) == []


def test_a_branch_apart_from_what_was_purged(anydb, there):
    mine, theirs = pair(anydb, there)
    mine.create_branch("apart")
    put(mine, "apart", id_=3)
    mine.checkout("main")
    mine.insert_one({"_id": 9})
    mine.register("nine")
    mine.push(theirs, all=True)
    theirs.purge([9], reason=WHY)
    theirs.checkout("apart")
    put(theirs, "more", id_=2)
    for branch in ("apart", "main"):  # with versions of that one it could come back
        with pytest.raises(errors.HistoryPurged):
            mine.pull(theirs, branch)
    mine.purge([9], reason=WHY)
    assert mine.pull(theirs, "apart") is True
    assert mine.resolve("apart").message == "more=True"


def test_copies_know_of_earlier_purges(anydb, there, tmp_path):
    mine, theirs = grown_pair(anydb, there)
    mine.purge([2], reason=WHY, author="Ada")
    bundle = str(tmp_path / "bands.bundle")
    mine.export(bundle)
    theirs.drop()
    for source in (mine, bundle):
        copy = VersionedCollection.clone(source, there, "bands")
        assert copy.purges() == mine.purges()
        assert problems(copy) == []
        assert copy.pull(source)
        copy.drop()
    assert mine.push(copy)
    assert copy.purges() == mine.purges()


def test_bundles_of_before_and_of_what_is_new(anydb, there, tmp_path):
    mine, theirs = grown_pair(anydb, there)
    before, new = str(tmp_path / "before.bundle"), str(tmp_path / "new.bundle")
    mine.export(before)
    mine.purge([2], reason=WHY)
    with pytest.raises(errors.HistoryPurged) as caught:
        mine.fetch(before)
    assert caught.value.side == "here"
    put(mine, "new", id_=3)
    mine.export(new, since="main~1")
    with pytest.raises(errors.HistoryPurged) as caught:
        theirs.pull(new)
    assert caught.value.side == "there"
    theirs.purge([2], reason=WHY)
    assert theirs.pull(new)
    assert_equal(mine, theirs)


def test_other_versions_under_the_same_ids_are_no_purge(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    there["__log_bands"].update_many({}, {"$set": {"checksum": "0" * 64}})
    with pytest.raises(errors.TransferRefused, match="another version under the same id"):
        mine.pull(theirs)
    with pytest.raises(errors.TransferRefused, match="another version under the same id"):
        mine.push(theirs)


@pytest.mark.parametrize(
    "facts",
    [
        {"id": 7},
        {"timestamp": "yesterday"},
        {"reason": 7},
        {"reason": "x" * 2_000_000},
        {"by": 7},
        {"documents": -1},
        {"versions": "two"},
    ],
)
def test_tombstones_of_others_are_checked(db, facts):
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1})
    bands.init()
    bands.purge([1], reason=WHY)
    found = bands.purges()
    assert check_tombstones(found) == found
    with pytest.raises(errors.TransferRefused):
        check_tombstones([replace(found[0], **facts)])
