"""worktree, worktrees and remove_worktree: several working copies of one repository."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bson
import pytest
from api_support import (
    edit,
    everything,
    grown,
    labels,
    mark,
    problems,
    raws,
    step,
    tracked,
    untracked,
)
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import MongoClient, monitoring
from pymongo.collation import Collation
from pymongo.database import Database
from pymongo.errors import WriteError

from versioned_collection import Retention, VersionedCollection, errors
from versioned_collection.committing import worktrees
from versioned_collection.driver.writes import put_exactly
from versioned_collection.verbs import remove_worktree

ODD = [
    {"_id": 1, "t": Timestamp(0, 0)},
    {"_id": 2, "t": [Timestamp(0, 0)], "z": -0.0},
    {"_id": 3, "t": Timestamp(1, 2), "$name": 1, "a.b": 2},
]


def place(copy: VersionedCollection) -> tuple[str, int, bool]:
    """Return the branch, the number and whether HEAD is detached."""
    return copy.branch, copy.version, copy.is_detached()


def leftovers(db: Database[Any], name: str) -> list[str]:
    """Return the collections that still have to do with a worktree that is gone."""
    return [one for one in db.list_collection_names() if name in one or "__base_" in one]


# -- making ----------------------------------------------------------------------------------


def test_a_worktree_has_a_branch_checked_out_beside_another(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    assert isinstance(aside, VersionedCollection)
    assert place(aside) == ("side", 1, False)
    assert place(bands) == ("main", 3, False)
    assert (mark(aside), mark(bands)) == ("s1", 3)
    assert not aside.has_changes()
    bands.checkout("main@1")
    bands.checkout("side@0")
    assert raws(bands) != raws(aside)
    assert problems(bands) == problems(aside) == []


def test_a_worktree_is_the_version_byte_for_byte(anydb):
    odd = VersionedCollection(anydb, "odd")
    odd.insert_many([RawBSONDocument(bson.encode(one)) for one in ODD[1:]])
    odd.update_one({"_id": 1}, [{"$replaceWith": {"$literal": ODD[0]}}], upsert=True)
    odd.init()
    expected = raws(odd)
    odd.update_many({}, {"$set": {"x": 1}})
    odd.delete_one({"_id": 2})
    odd.register("one")
    then = odd.worktree(0, "then")
    now = odd.worktree("HEAD", "now")
    assert raws(then) == expected
    assert raws(now) == raws(odd)
    assert not then.has_changes()
    assert not now.has_changes()
    assert problems(odd) == []


def test_uncommitted_changes_stay_where_they_are(anydb):
    bands = grown(anydb)
    edit(bands, "mine")
    aside = bands.worktree("side", "aside")
    same = bands.worktree("HEAD", "same")
    assert place(same) == ("main", 3, True)
    assert (mark(bands), mark(aside), mark(same)) == ("mine", "s1", 3)
    assert bands.has_changes()
    assert not aside.has_changes()
    assert not same.has_changes()


def test_a_worktree_on_a_new_branch(anydb):
    bands = grown(anydb)
    fix = bands.worktree("main~1", "fix", new_branch="fix")
    assert place(fix) == ("fix", -1, False)
    assert "fix" in bands.branches()
    step(fix, "fixed")
    assert labels(bands.log("fix", limit=2)) == ["fix@0", "main@2"]
    assert mark(bands) == 3


def test_any_other_revision_detaches(anydb):
    bands = grown(anydb)
    assert place(bands.worktree("v1", "a")) == ("main", 1, True)
    assert place(bands.worktree(bands.resolve("side").id, "b")) == ("side", 1, False)
    assert place(bands.worktree("side@1", "c")) == ("side", 1, True)
    assert place(bands.worktree((3, "main"), "d")) == ("main", 3, True)


def test_options_and_indexes_are_those_of_the_collection(db):
    db.create_collection(
        "bands",
        validator={"name": {"$type": "string"}},
        collation={"locale": "en", "strength": 2},
        changeStreamPreAndPostImages={"enabled": True},
    )
    bands = tracked(db)
    bands.create_index("name", unique=True, name="by_name")
    bands.update_one({"_id": 1}, {"$set": {"name": "PULP"}})
    bands.register("loud")
    bands.worktree(0, "then")
    infos = [next(db.list_collections(filter={"name": name})) for name in ("bands", "then")]
    defaults = {"validationLevel": "strict", "validationAction": "error"}
    assert {**defaults, **infos[0]["options"]} == {**defaults, **infos[1]["options"]}
    assert bands.index_information() == db.then.index_information()
    db.bands.drop()
    bands.worktree(1, "later")
    assert db.later.options() == db.then.options()
    assert db.later.index_information() == db.then.index_information()


@pytest.mark.parametrize("is_valid", [True, False])
def test_a_worktree_of_a_clustered_collection_with_a_collation(db, is_valid):
    """A server does not copy it by replacing another one."""
    db.create_collection(
        "bands",
        clusteredIndex={"key": {"_id": 1}, "unique": True},
        collation=Collation("de", strength=2),
    )
    put_exactly(db, "bands", [], list(map(bson.encode, [*ODD, {"_id": None}, {"_id": "a"}])))
    bands = VersionedCollection(db, "bands")
    bands.init()
    bands.create_branch("side")
    if not is_valid:
        db.command("collMod", "bands", validator={"name": {"$exists": True}})
    bands.checkout("main")
    copy = bands.worktree("side", "copy")
    assert copy.options() == bands.options()
    assert raws(copy) == raws(bands)
    assert copy.count_documents({}) == len(ODD) + 2
    assert problems(bands) == problems(copy) == []


def test_a_worktree_of_a_clustered_collection_is_one(anydb):
    anydb.create_collection("bands", clusteredIndex={"key": {"_id": 1}, "unique": True})
    bands = grown(anydb)
    for revision, name in (("v1", "then"), ("main@3", "now")):
        copy = bands.worktree(revision, name)
        assert copy.options()["clusteredIndex"] == bands.options()["clusteredIndex"]
        assert not copy.has_changes()
        assert problems(copy) == []


def test_a_validator_is_bypassed_where_earlier_documents_do_not_pass(anydb):
    bands = tracked(anydb)
    bands.update_many({}, {"$set": {"checked": True}})
    bands.register("checked")
    anydb.command({"collMod": "bands", "validator": {"checked": True}})
    then = bands.worktree(0, "then")
    assert then.count_documents({"checked": True}) == 0
    assert not then.has_changes()
    with pytest.raises(WriteError):
        then.insert_one({"_id": 9})


def test_another_client_takes_the_name_meanwhile(server, db):
    grown(db)
    with MongoClient(server.uri, event_listeners=[TakesTheName(db)]) as client:
        bands = VersionedCollection(client[db.name], "bands")
        with pytest.raises(errors.InvalidOperation, match="another client"):
            bands.worktree("main", "aside", new_branch="fresh")
    assert db.aside.find_one() == {"_id": "theirs"}
    assert leftovers(db, "aside") == ["aside"]
    bands = VersionedCollection(db, "bands")
    assert bands.branches() == {"main", "side"}
    assert [one.name for one in bands.worktrees()] == ["bands"]
    assert problems(bands) == []


class TakesTheName(monitoring.CommandListener):
    """Makes a collection of the name that a worktree is about to get."""

    def __init__(self, db: Database[Any]) -> None:
        self._db = db

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command.get("to") == f"{self._db.name}.aside":
            self._db.aside.insert_one({"_id": "theirs"})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def test_a_new_branch_that_comes_too_late_stays_where_it_is_by_now(anydb, monkeypatch):
    """Its owner froze for so long that another one completed it, and went on."""
    bands = grown(anydb)
    fenced = worktrees._fenced

    def late(hold, change):
        monkeypatch.undo()
        anydb["__vc_lock"].update_many({}, {"$set": {"expires": None}})
        assert VersionedCollection(anydb, "bands").tag("next owner")
        there = VersionedCollection(anydb, "there")
        there.insert_one({"_id": "new"})
        assert there.register("further on")
        fenced(hold, change)

    monkeypatch.setattr(worktrees, "_fenced", late)
    with pytest.raises(errors.LeaseLost):
        bands.worktree("main~1", "there", new_branch="fresh")
    there = VersionedCollection(anydb, "there")
    assert (there.branch, there.resolve("fresh").message) == ("fresh", "further on")
    assert not there.has_changes()
    assert problems(bands) == []


@pytest.mark.parametrize(
    ("index", "fields"),
    [
        ([("place", "2dsphere")], {"place": "nowhere"}),
        ([("place", "2d")], {"place": [500, 500]}),
        ([("place", "hashed")], {"place": [1, 2]}),
        ([("place", 1), ("name", 1)], {"place": [1], "name": [2]}),
        ([("place", "text")], {"place": "a", "language": "Volapük"}),
    ],
)
def test_an_index_that_refuses_the_version(anydb, index, fields):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_one({"_id": 1, **fields})
    bands.init()
    bands.delete_many({})
    bands.register("none")
    bands.create_index(index)
    before = everything(anydb)
    with pytest.raises(errors.DocumentRejected, match="index refuses") as caught:
        bands.worktree(0, "then")
    assert "__copy" not in str(caught.value)
    with pytest.raises(errors.DocumentRejected) as by_checkout:
        bands.checkout(0)
    assert caught.value.server_code == by_checkout.value.server_code
    assert everything(anydb) == before
    assert problems(bands) == []


def test_a_unique_index_that_refuses_the_version(anydb):
    bands = untracked(anydb)
    bands.update_many({}, {"$set": {"name": "same"}})
    bands.init()
    for number in (1, 2, 3):
        bands.update_one({"_id": number}, {"$set": {"name": str(number)}})
    bands.register("told apart")
    bands.create_index("name", unique=True)
    before = everything(anydb)
    with pytest.raises(errors.DocumentRejected, match="unique index"):
        bands.worktree(0, "then")
    assert everything(anydb).keys() == before.keys()
    assert problems(bands) == []


def test_opened_anywhere_it_is_a_worktree(anydb):
    early = VersionedCollection(anydb, "aside")
    bands = grown(anydb)
    bands.worktree("side", "aside")
    for aside in (VersionedCollection(anydb, "aside"), early):
        assert aside.is_tracked()
        assert aside.branch == "side"
        assert [one.name for one in aside.worktrees()] == ["bands", "aside"]
    with pytest.raises(errors.CollectionAlreadyInitialised):
        early.init()


def test_a_subclass_stays_one(db):
    class Bands(VersionedCollection):
        pass

    tracked(db)
    assert type(Bands(db).worktree("HEAD", "other")) is Bands


def test_the_list(anydb):
    bands = grown(anydb)
    assert [(one.name, one.is_main) for one in bands.worktrees()] == [("bands", True)]
    bands.worktree("side", "z").worktree("main~1", "a")
    found = bands.worktrees()
    assert found == VersionedCollection(anydb, "a").worktrees()
    assert [
        (one.name, one.head.label, one.branch, one.detached, one.is_main) for one in found
    ] == [
        ("bands", "main@3", "main", False, True),
        ("a", "main@2", "main", True, False),
        ("z", "side@1", "side", False, False),
    ]


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a$b", "__x", "system.x", "x" * 250, 3, None, "a\0b"])
def test_names_that_cannot_be(db, name):
    bands = grown(db)
    before = everything(db)
    with pytest.raises(errors.InvalidArgument):
        bands.worktree("side", name)
    assert everything(db) == before


def test_names_that_are_taken(anydb):
    bands = grown(anydb)
    anydb.other.insert_one({})
    tracked(anydb, "tracked")
    anydb.tracked.drop()
    bands.worktree("v1", "there")
    anydb.there.drop()
    before = everything(anydb)
    for name in ("bands", "other", "tracked", "there"):
        with pytest.raises(errors.InvalidOperation, match="choose another name"):
            bands.worktree("side", name)
    assert everything(anydb) == before


def test_trackers_of_something_else_are_left_alone(anydb):
    bands = grown(anydb)
    anydb["__log_aside"].insert_one({"_id": "of an older library"})
    before = everything(anydb)
    with pytest.raises(errors.FormatMismatch, match="__log_aside"):
        bands.worktree("side", "aside")
    assert everything(anydb) == before


def test_branches_that_cannot_be(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    with pytest.raises(errors.InvalidOperation, match="checked out in the working copy 'bands'"):
        bands.worktree("main", "other")
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.worktree("nowhere", "other")
    with pytest.raises(errors.InvalidArgument, match="a branch 'side'"):
        bands.worktree("main", "other", new_branch="side")
    with pytest.raises(errors.InvalidArgument):
        bands.worktree("main", "other", new_branch="__x")
    assert everything(anydb) == before


def test_an_untracked_collection_has_none(db):
    bands = untracked(db)
    for verb in (
        lambda: bands.worktree("main", "x"),
        bands.worktrees,
        lambda: bands.remove_worktree("x"),
    ):
        with pytest.raises(errors.CollectionNotTracked):
            verb()


def test_a_branch_is_checked_out_once(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    for copy, branch in ((bands, "side"), (aside, "main")):
        with pytest.raises(errors.InvalidOperation, match="is checked out in the working copy"):
            copy.checkout(branch)
        with pytest.raises(errors.InvalidOperation, match="is checked out in the working copy"):
            copy.checkout(branch=branch)
    bands.checkout("side@1")
    assert place(bands) == ("side", 1, True)
    aside.checkout("side~1")
    bands.checkout("side")
    assert place(bands) == ("side", 1, False)


def test_what_another_working_copy_has_stays_in_its_place(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    before = everything(anydb)
    for verb in (
        lambda: bands.delete_branch("side"),
        lambda: bands.delete_version_subtree("side@1"),
        lambda: bands.delete_version_subtree("side@0"),
        lambda: aside.delete_version_subtree("main@2"),
        lambda: bands.delete_version_subtree("main@0"),
    ):
        with pytest.raises(errors.InvalidOperation):
            verb()
    assert everything(anydb) == before
    aside.checkout("side@0")
    bands.delete_version_subtree("side@1")
    with pytest.raises(errors.InvalidOperation, match="'aside' has a version checked out"):
        bands.delete_version_subtree("side@0")
    assert problems(bands) == []


def test_versions_under_a_detached_head_keep_a_branch_from_being_the_only_way(anydb):
    bands = grown(anydb)
    bands.checkout("side")
    bands.worktree("side@1", "aside")
    bands.checkout("main")
    bands.delete_branch("side")
    assert problems(bands) == []


def test_head_moves_to_a_parent_whose_branch_is_elsewhere(anydb):
    bands = grown(anydb)
    fix = bands.worktree("main", "fix", new_branch="fix")
    step(fix, "fixed")
    fix.delete_version_subtree("fix@0")
    assert place(fix) == ("main", 3, True)
    assert problems(fix) == []


def test_undo_moves_nothing_under_another_working_copy(anydb):
    bands = grown(anydb)
    bands.create_branch("new")
    bands.checkout("main")
    bands.undo()
    bands.undo()
    bands.create_branch("new")
    step(bands, 4)
    bands.checkout("main")
    other = bands.worktree("new", "other")
    with pytest.raises(errors.InvalidOperation, match="'other'"):
        bands.undo()
    assert place(other) == ("new", 0, False)
    assert place(bands) == ("main", 3, False)


def test_undo_takes_no_tag_that_another_working_copy_gave(anydb):
    bands = grown(anydb)
    other = bands.worktree("side", "other")
    bands.tag("release", "main@0")
    other.delete_tag("release")
    given = other.tag("release", "main@1")
    with pytest.raises(errors.InvalidOperation, match="tag 'release'"):
        bands.undo()
    assert bands.tags()["release"] == given
    other.undo()
    other.undo()
    assert bands.tags()["release"].label == "main@0"
    bands.undo()
    assert "release" not in other.tags()
    bands.delete_tag("v1")
    other.tag("v1", "main@2")
    with pytest.raises(errors.InvalidOperation, match="tag 'v1'"):
        bands.undo()
    assert other.tags()["v1"].label == "main@2"
    assert problems(bands) == []


def test_a_branch_that_is_renamed_takes_its_working_copy_along(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    detached = bands.worktree("side@0", "detached")
    bands.rename_branch("side", "beside")
    assert place(aside) == ("beside", 1, False)
    assert place(detached) == ("beside", 0, True)
    bands.undo()
    assert place(aside) == ("side", 1, False)
    aside.rename_branch("main", "trunk")
    assert place(bands) == ("trunk", 3, False)
    step(bands, 4)
    assert problems(bands) == problems(aside) == []


def test_the_whole_stays_while_there_are_worktrees(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    before = everything(anydb)
    for verb in (bands.drop, lambda: bands.rename("groups"), aside.drop):
        with pytest.raises(errors.InvalidOperation, match="aside"):
            verb()
    with pytest.raises(errors.InvalidOperation, match="worktree of 'bands'"):
        aside.rename("other")
    assert everything(anydb) == before
    bands.remove_worktree("aside")
    assert bands.rename("groups").branches() == {"main", "side"}


# -- working ---------------------------------------------------------------------------------


def test_versions_are_shared_and_documents_are_not(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    step(aside, "s2")
    step(bands, 4)
    assert labels(bands.log("side", limit=1)) == ["side@2"]
    assert bands.get_log("main") == aside.get_log("main")
    assert bands.at("side").find_one({"_id": 1})["mark"] == "s2"
    assert aside.at("main").find_one({"_id": 1})["mark"] == 4
    assert aside.compare("main", "side").updated == 1
    aside.tag("here")
    assert bands.resolve("here").label == "side@2"
    bands.merge("side", resolver="theirs")
    assert mark(bands) == "s2"
    assert problems(bands) == problems(aside) == []


def test_writes_of_any_client_are_noticed_in_both(db):
    bands = grown(db)
    aside = bands.worktree("side", "aside")
    db.bands.update_one({"_id": 2}, {"$set": {"by": "mongosh"}})
    assert bands.has_changes()
    assert not aside.has_changes()
    db.aside.delete_one({"_id": 3})
    assert aside.status()["changes"] == {"inserted": 0, "updated": 0, "deleted": 1}
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}
    aside.discard_changes()
    assert (aside.has_changes(), bands.has_changes()) == (False, True)


def test_each_has_stashes_merges_and_a_reflog_of_its_own(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    edit(aside, "set aside")
    aside.stash()
    with pytest.raises(errors.AutoMergeFailedError):
        aside.merge("main")
    assert (aside.has_stash(), aside.has_conflicts()) == (True, True)
    assert (bands.has_stash(), bands.has_conflicts()) == (False, False)
    with pytest.raises(errors.InvalidOperation, match="another worktree"):
        bands.resolve_conflict(next(aside.conflicts()), "here")
    step(bands, 4)
    assert bands.gc()["stashes"] == bands.gc()["conflicts"] == 0
    assert problems(bands) == []
    with pytest.raises(errors.InvalidOperation):
        bands.delete_version_subtree("main@3")  # the merge there needs it
    aside.resolve_conflicts(resolver="ours")
    aside.register("merged")
    aside.stash_apply()
    assert mark(aside) == "set aside"
    assert [one.verb for one in aside.reflog()] == ["register"]
    assert problems(aside) == []


def test_a_rebase_that_waits_keeps_its_branch(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    with pytest.raises(errors.AutoMergeFailedError):
        aside.rebase("main")
    for verb in (
        lambda: bands.checkout("side"),
        lambda: bands.delete_branch("side"),
        lambda: bands.rename_branch("side", "other"),
        lambda: bands.delete_version_subtree("side@1"),
    ):
        with pytest.raises(errors.InvalidOperation):
            verb()
    aside.abort_merge()
    assert place(aside) == ("side", 1, False)
    assert problems(aside) == []


def test_gc_collects_in_all_of_them(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    aside.at("main~1").find_one()
    assert anydb["__past_aside"].count_documents({}) > 0
    assert bands.gc()["overlays"] >= 1
    assert anydb["__past_aside"].count_documents({"version": {"$exists": True}}) == 0


def test_thinning_out_leaves_what_others_have(anydb):
    bands = grown(anydb)
    bands.delete_tag("v1")
    bands.checkout("side")
    bands.merge("main", resolver="ours")
    for turn in (4, 5, 6):
        step(bands, turn)
    there = bands.worktree("side@4", "there")
    stashed = bands.worktree("side@5", "stashed")
    edit(stashed, "set aside")
    stashed.stash()
    stashed.checkout("main")
    bands.thin_out(Retention(keep_last=1))
    kept = labels(bands.log("side"))
    assert {"side@4", "side@5"} <= set(kept)
    stashed.checkout("side@5")
    assert stashed.stash_apply()
    assert (mark(there), mark(stashed)) == (5, "set aside")
    assert problems(bands) == []


def test_verify_tells_what_is_wrong_elsewhere(anydb):
    bands = grown(anydb)
    bands.worktree("side", "aside")
    anydb["__replica_aside"].update_one({"_id": 1}, {"$set": {"mark": "forged"}})
    found = list(bands.verify())
    assert [one.kind for one in found] == ["replica"]
    assert found[0].facts["working_copy"] == "aside"
    assert "'aside'" in found[0].message


def test_size_lists_the_trackers_of_all(anydb):
    bands = grown(anydb)
    before = bands.size()
    bands.worktree("side", "aside")
    sizes = bands.size()
    assert before.keys() < sizes.keys()
    assert sizes["replica_aside"] > 0
    assert sizes["total"] == sum(sizes.values()) - sizes["total"]
    assert VersionedCollection(anydb, "aside").size()["replica_bands"] > 0


def test_a_bundle_from_a_worktree_is_one_of_the_repository(anydb, there, tmp_path):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    step(aside, "s2")
    aside.export(tmp_path / "all.bundle")
    copy = VersionedCollection.clone(tmp_path / "all.bundle", there)
    assert copy.name == "bands"
    assert copy.branches() == {"main", "side"}
    assert labels(copy.log("side", limit=1)) == ["side@2"]
    assert problems(copy) == []


def test_they_register_side_by_side(anydb):
    bands = grown(anydb)
    copies = [bands, bands.worktree("side", "aside"), bands.worktree("v1", "c", new_branch="c")]

    def work(copy: VersionedCollection) -> None:
        own = VersionedCollection(anydb, copy.name, lease_wait_seconds=60)
        for turn in range(6):
            step(own, f"{copy.name} {turn}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, copies))
    assert [copy.version for copy in copies] == [9, 7, 5]
    assert [mark(copy) for copy in copies] == ["bands 5", "aside 5", "c 5"]
    assert problems(bands) == []


# -- remotes ---------------------------------------------------------------------------------


def test_push_and_pull_from_a_worktree(anydb, there):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    bands.push(there)
    step(aside, "s2")
    assert aside.push(there)
    other = VersionedCollection(there, "bands")
    other.checkout("side")
    assert mark(other) == "s2"
    step(other, "s3")
    assert aside.pull(there)
    assert mark(aside) == "s3"
    assert place(aside) == ("side", 3, False)
    with pytest.raises(errors.InvalidOperation, match="are the same"):
        aside.push(bands)
    assert problems(aside) == problems(other) == []


def test_what_a_pull_gives_up_stays_where_another_working_copy_stands_on_it(anydb, there):
    bands = grown(anydb)
    bands.push(there)
    other = VersionedCollection(there, "bands")
    other.checkout("main")
    step(other, "theirs")
    for mine in ("mine", "mine too"):
        step(bands, mine)
    aside = bands.worktree("HEAD~1", "aside")
    before = raws(aside)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.pull(there)
    assert bands.resolve_conflicts(discard_local_changes=True) is True
    assert raws(bands) == raws(other)
    assert raws(aside) == before
    assert aside.is_detached()
    assert problems(aside) == problems(bands) == []


def test_pull_moves_no_branch_of_another_working_copy(anydb, there):
    bands = grown(anydb)
    bands.push(there)
    bands.push(there, "side")
    other = VersionedCollection(there, "bands")
    other.checkout("side")
    step(other, "s2")
    aside = bands.worktree("side", "aside")
    with pytest.raises(errors.InvalidOperation, match="'aside'"):
        bands.pull(there, "side")
    assert place(aside) == ("side", 1, False)
    assert aside.pull(there)
    assert mark(aside) == "s2"


def test_push_to_a_branch_that_a_worktree_there_has(anydb, there):
    bands = grown(anydb)
    bands.push(there)
    bands.push(there, "side")
    other = VersionedCollection(there, "bands")
    aside = other.worktree("side", "aside")
    bands.checkout("side")
    step(bands, "s2")
    with pytest.raises(errors.InvalidOperation, match="'aside'"):
        bands.push(there)
    assert place(aside) == ("side", 1, False)
    assert bands.push(there, do_checkout=False)
    assert place(aside) == ("side", 1, True)
    assert not aside.has_changes()
    assert problems(other) == problems(aside) == []


# -- removing --------------------------------------------------------------------------------


def test_a_worktree_that_is_removed_leaves_nothing(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    step(aside, "s2")
    aside.at("main").find_one()
    aside.publish_view("main", "shown")
    bands.remove_worktree("aside")
    assert leftovers(anydb, "aside") == []
    assert "shown" not in anydb.list_collection_names()
    assert not aside.is_tracked()
    assert labels(bands.log("side", limit=1)) == ["side@2"]
    bands.checkout("side")
    assert problems(bands) == []
    assert place(bands.worktree("main", "aside")) == ("main", 3, False)


def test_what_is_nowhere_else_is_kept_unless_forced(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    edit(aside, "dirty")
    with pytest.raises(errors.InvalidOperation, match="uncommitted changes"):
        bands.remove_worktree("aside")
    aside.stash()
    with pytest.raises(errors.InvalidOperation, match="a stash"):
        bands.remove_worktree("aside")
    aside.stash_discard()
    with pytest.raises(errors.AutoMergeFailedError):
        aside.merge("main")
    with pytest.raises(errors.InvalidOperation, match="a merge that waits"):
        bands.remove_worktree("aside")
    assert aside.has_conflicts()
    bands.remove_worktree("aside", force=True)
    assert leftovers(anydb, "aside") == []
    assert problems(bands) == []


class Killed(BaseException):
    """The end of a process, at some command."""


@pytest.mark.parametrize("capture", ["auto", "scan", "write_through"])
@pytest.mark.parametrize("write", ["update_one", "delete_one", "insert_one"])
def test_what_is_written_behind_the_look_is_kept(anydb, monkeypatch, capture, write):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    changes = {
        "update_one": lambda: aside.update_one({"_id": 1}, {"$set": {"mark": "late"}}),
        "delete_one": lambda: aside.delete_one({"_id": 1}),
        "insert_one": lambda: aside.insert_one({"_id": "late"}),
    }
    hide = remove_worktree.hide

    def late(*args: Any) -> Any:
        changes[write]()
        return hide(*args)

    remover = VersionedCollection(anydb, "bands", capture=capture)
    with monkeypatch.context() as patch:
        patch.setattr(remove_worktree, "hide", late)
        with pytest.raises(errors.InvalidOperation, match="uncommitted changes"):
            remover.remove_worktree("aside")
    assert [one.name for one in bands.worktrees()] == ["bands", "aside"]
    assert hidden(anydb) == []
    assert [one.document_id for one in aside.changes()] == ["late" if write == "insert_one" else 1]
    assert problems(aside) == []
    aside.register("late")
    bands.remove_worktree("aside")
    assert leftovers(anydb, "aside") == []


def test_only_what_was_written_behind_the_look_is_compared(db, monkeypatch):
    bands = grown(db)
    bands.worktree("side", "aside")
    monkeypatch.delattr(remove_worktree, "compare_everything")
    bands.remove_worktree("aside")
    assert leftovers(db, "aside") == []


def test_a_worktree_comes_back_from_hiding_after_a_process_died(anydb, monkeypatch):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    before = raws(aside)

    def dies(*args: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(remove_worktree, "_has_changed", dies)
        patch.setattr(remove_worktree, "_take_back", dies)
        with pytest.raises(Killed):
            bands.remove_worktree("aside")
    assert len(hidden(anydb)) == 1
    again = VersionedCollection(anydb, "bands")
    assert [one.name for one in again.worktrees()] == ["bands", "aside"]
    assert hidden(anydb) == []
    assert raws(aside) == before
    assert not aside.has_changes()
    assert problems(aside) == []


def test_a_worktree_whose_name_is_taken_while_it_is_hidden(anydb, monkeypatch):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    hide = remove_worktree.hide

    def late(*args: Any) -> Any:
        aside.update_one({"_id": 1}, {"$set": {"mark": "late"}})
        note = hide(*args)
        anydb["aside"].insert_one({"_id": "theirs"})
        return note

    with monkeypatch.context() as patch:
        patch.setattr(remove_worktree, "hide", late)
        with pytest.raises(errors.InvalidOperation, match="the documents are in '__gone_"):
            bands.remove_worktree("aside")
    (name,) = hidden(anydb)
    assert anydb[name].find_one({"_id": 1})["mark"] == "late"
    assert anydb["aside"].find_one() == {"_id": "theirs"}
    anydb["aside"].drop()
    anydb[name].rename("aside")
    assert mark(aside) == "late"
    assert [one.document_id for one in aside.changes()] == [1]
    assert problems(aside) == []


def hidden(db: Database[Any]) -> list[str]:
    """Return the collections that have no name while it is seen whether they may go."""
    return [one for one in db.list_collection_names() if one.startswith("__gone_")]


def test_removing_what_is_none(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    for copy in (bands, aside):
        with pytest.raises(errors.InvalidOperation, match="main working copy"):
            copy.remove_worktree("bands")
        with pytest.raises(errors.InvalidArgument, match="worktrees\\(\\)"):
            copy.remove_worktree("nothing")
    aside.remove_worktree("aside")
    assert not aside.is_tracked()
    assert [one.name for one in bands.worktrees()] == ["bands"]


def test_a_removed_one_can_be_tracked_by_itself(anydb):
    bands = grown(anydb)
    aside = bands.worktree("side", "aside")
    bands.remove_worktree("aside")
    aside.insert_one({"_id": 1})
    aside.init("anew")
    assert aside.branches() == {"main"}
    assert [one.name for one in aside.worktrees()] == ["aside"]
    assert bands.branches() == {"main", "side"}
    assert problems(aside) == problems(bands) == []


def test_one_that_was_dropped_by_another_client_comes_back(anydb):
    bands = grown(anydb)
    expected = raws(bands.worktree("side", "aside"))
    anydb.drop_collection("aside")
    aside = VersionedCollection(anydb, "aside", capture="scan")
    aside.discard_changes()
    assert raws(aside) == expected
    bands.remove_worktree("aside", force=True)
    assert leftovers(anydb, "aside") == []
