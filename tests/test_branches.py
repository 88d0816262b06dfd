"""create_branch, branches, delete_branch, rename_branch."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from api_support import edit, everything, grown, labels, mark, problems, step, tracked, untracked
from pymongo.errors import OperationFailure
from remote_support import other_database

from versioned_collection import Retention, VersionedCollection, errors
from versioned_collection.committing import at_once
from versioned_collection.trackers.log import LogCollection

ODD_NAMES = [
    "a/b", "a--b", "a.b", "$set", "ünïcödé", "🎸", "with blank", "'quoted\"", "UPPER", "upper",
    "0", "-1x"[1:], "%2e%2e", "null", "<b>", ";drop", "é", "e\u0301", "x" * 200, "cafe", "_one",
]  # fmt: skip


def test_create_keeps_changes_and_is_unborn(anydb):
    bands = tracked(anydb)
    step(bands, 1)
    edit(bands, "uncommitted")
    assert bands.create_branch("side") == (1, "main")
    assert (bands.version, bands.branch, bands.is_detached()) == (-1, "side", False)
    assert mark(bands) == "uncommitted"
    assert bands.has_changes()
    assert bands.branches() == {"main", "side"}
    assert labels(bands.get_log()) == ["main@1", "main@0"]
    assert bands.register("first of side")
    assert (bands.version, bands.branch) == (0, "side")
    assert labels(bands.get_log("main")) == ["main@1", "main@0"]
    assert problems(bands) == []


def test_create_on_a_detached_head(anydb):
    bands = grown(anydb)
    bands.checkout(0)
    assert bands.create_branch("early") == (0, "main")
    assert not bands.is_detached()
    assert bands.version == -1
    step(bands, "e")
    assert labels(bands.get_log()) == ["early@0", "main@0"]


def test_create_on_an_unborn_branch(anydb):
    bands = tracked(anydb)
    assert bands.create_branch("a") == (0, "main")
    assert bands.create_branch("b") == (0, "main")
    assert bands.version == -1
    step(bands, "b")
    assert bands.checkout(branch="a")
    assert (bands.version, mark(bands)) == (-1, None)


def test_names_that_are_taken_or_malformed(anydb):
    bands = grown(anydb)
    edit(bands, "dirty")
    bands.status()
    before = everything(anydb)
    with pytest.raises(ValueError, match="Branch names cannot start with '__'"):
        bands.create_branch("__side")
    for name in ("main", "side"):
        with pytest.raises(ValueError, match="already"):
            bands.create_branch(name)
    for name in ("", " ", " a", "a ", "HEAD", "main@1", "a~1", "a^", "a:b", "a@{1}", "-x",
                 "a\0b", "a\nb", "\ud800", "x" * 201, "a\\b", "a*", "a?", "[a"):  # fmt: skip
        with pytest.raises(errors.InvalidArgument):
            bands.create_branch(name)
    for name in (None, 5, b"x", ["a"]):
        with pytest.raises((ValueError, TypeError)) as caught:
            bands.create_branch(name)
        assert isinstance(caught.value, errors.VersioningError)
    assert everything(anydb) == before


def test_a_name_that_a_tag_has_is_taken(anydb):
    bands = tracked(anydb)
    bands.tag("release")
    before = everything(anydb)
    for make in (
        lambda: bands.create_branch("release"),
        lambda: bands.rename_branch("main", "release"),
    ):
        with pytest.raises(ValueError, match="already"):
            make()
    assert everything(anydb) == before


def test_odd_names_are_different_branches(db):
    bands = tracked(db)
    for name in ODD_NAMES:
        bands.create_branch(name)
        step(bands, name)
        bands.checkout("main@0")
    assert bands.branches() == {"main", *ODD_NAMES}
    for name in ODD_NAMES:
        bands.checkout(branch=name)
        assert (bands.branch, bands.version, mark(bands)) == (name, 0, name)
        assert bands.resolve(name).branch == name
        assert bands.resolve(f"{name}@0").label == f"{name}@0"
        assert labels(bands.get_log(name)) == [f"{name}@0", "main@0"]
    assert problems(bands) == []


def test_untracked(anydb):
    bands = untracked(anydb)
    assert bands.branches() == set()
    assert bands.create_branch("side") is None
    assert (bands.version, bands.branch, bands.version_tree) == (None, None, None)
    for verb in (lambda: bands.delete_branch("x"), lambda: bands.rename_branch("x", "y")):
        with pytest.raises(errors.CollectionNotTracked):
            verb()
    assert anydb.list_collection_names() == ["bands"]


def test_branches_belong_to_one_collection(anydb):
    bands, songs = tracked(anydb), tracked(anydb, "songs")
    bands.create_branch("side")
    assert songs.branches() == {"main"}
    assert songs.branch == "main"


def test_two_objects_see_one_head(anydb):
    bands = tracked(anydb)
    other = VersionedCollection(anydb, "bands")
    bands.create_branch("side")
    assert other.branch == "side"
    step(other, 1)
    assert bands.version == 0


# -- delete ------------------------------------------------------------------------------


def test_delete(anydb):
    bands = grown(anydb)
    bands.create_branch("unborn")
    with pytest.raises(errors.InvalidOperation, match="checked out"):
        bands.delete_branch("unborn")
    with pytest.raises(errors.BranchNotFound):
        bands.delete_branch("nope")
    bands.checkout(branch="main")
    before = everything(anydb)
    with pytest.raises(errors.InvalidOperation, match="reachable only") as caught:
        bands.delete_branch("side")
    assert len(caught.value.versions) == 2
    assert everything(anydb) == before
    bands.delete_branch("unborn")
    assert bands.branches() == {"main", "side"}
    bands.tag("kept", "side")
    bands.delete_branch("side")
    assert bands.branches() == {"main"}
    assert bands.resolve("kept").label == "side@1"
    assert bands.checkout("kept")
    assert bands.is_detached()
    assert mark(bands) == "s1"
    assert problems(bands) == []


# -- rename ------------------------------------------------------------------------------


def test_rename(anydb):
    bands = grown(anydb)
    checksum = bands.resolve("main").checksum
    bands.rename_branch("main", "trunk")
    assert bands.branches() == {"trunk", "side"}
    assert (bands.version, bands.branch, bands.is_detached()) == (3, "trunk", False)
    assert labels(bands.get_log()) == ["trunk@3", "trunk@2", "trunk@1", "trunk@0"]
    assert bands.resolve("trunk").checksum == checksum
    assert bands.resolve("v1").label == "trunk@1"
    step(bands, 4)
    assert bands.version == 4
    bands.checkout("side@0")
    bands.rename_branch("side", "flank")
    assert (bands.version, bands.branch, bands.is_detached()) == (0, "flank", True)
    assert problems(bands) == []


def test_many_labels_follow_in_batches(anydb, monkeypatch, small_limits):
    """What a process leaves half done is completed; undo takes the same way."""
    bands, turns = grown(anydb), []

    def look(self: LogCollection, given: Any, *args: Any) -> None:
        if len(turns) == 1:
            raise RuntimeError("killed")
        turns.append([number for _, _, number in given])
        label(self, given, *args)

    label = LogCollection.label
    with monkeypatch.context() as patch:
        patch.setattr(LogCollection, "label", look)
        with pytest.raises(RuntimeError):
            bands.rename_branch("main", "trunk")
    assert turns == [[0, 1]]
    again = VersionedCollection(anydb, "bands")
    assert (again.version, again.branch, again.branches()) == (3, "trunk", {"trunk", "side"})
    assert labels(again.get_log()) == ["trunk@3", "trunk@2", "trunk@1", "trunk@0"]
    assert again.undo().verb == "rename_branch"
    assert labels(again.get_log()) == ["main@3", "main@2", "main@1", "main@0"]
    assert problems(again) == []


def test_a_rename_for_which_the_cache_is_too_small(db, monkeypatch):
    """Nobody else writes what it changes, so it goes in smaller steps."""
    bands = grown(db)
    taken_back = OperationFailure("", 112, {"errorLabels": ["TransientTransactionError"]})
    monkeypatch.setattr(at_once, "_PATIENCE", 0)
    monkeypatch.setattr(at_once, "apply_references", Mock(side_effect=taken_back))
    bands.rename_branch("main", "trunk")
    assert labels(bands.get_log()) == ["trunk@3", "trunk@2", "trunk@1", "trunk@0"]
    assert bands.branches() == {"trunk", "side"}


def test_rename_of_an_unborn_branch(anydb):
    bands = tracked(anydb)
    bands.create_branch("a")
    bands.rename_branch("a", "b")
    assert (bands.version, bands.branch) == (-1, "b")
    assert bands.branches() == {"main", "b"}


def test_rename_refusals_change_nothing(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    with pytest.raises(errors.BranchNotFound):
        bands.rename_branch("nope", "x")
    for new in ("side", "main", "__x", "", "HEAD", None):
        with pytest.raises(errors.InvalidArgument):
            bands.rename_branch("main", new)
    assert everything(anydb) == before


# -- names that deleted branches had ---------------------------------------------------------


def merged_away(db, *, no_ff=True):
    """Return a collection where feature@0 was merged into main, and ``feature`` was deleted."""
    bands = tracked(db)
    bands.create_branch("feature")
    step(bands, "f0")
    bands.checkout(branch="main")
    bands.merge("feature", no_ff=no_ff)
    bands.delete_branch("feature")
    assert bands.branches() == {"main"}
    return bands


def test_a_deleted_branch_leaves_its_name(anydb):
    bands = merged_away(anydb)
    old = bands.resolve("feature@0")
    assert bands.create_branch("feature") == (1, "main")
    assert (bands.version, bands.branch, bands.is_detached()) == (-1, "feature", False)
    assert labels(bands.get_log("feature")) == ["main@1", "main@0"]
    for revision in ("feature", "feature@-1", -1):
        assert bands.resolve(revision).label == "main@1"
    assert bands.resolve("feature@0") == old
    step(bands, "f1")
    assert (bands.version, bands.branch) == (1, "feature")
    assert labels(bands.get_log()) == ["feature@1", "main@1", "main@0"]
    assert bands.checkout(0, "feature")
    assert (bands.resolve("HEAD"), bands.is_detached(), mark(bands)) == (old, True, "f0")
    assert bands.checkout(branch="feature")
    assert (bands.version, mark(bands)) == (1, "f1")
    assert set(bands.size("branch")) == {"main", "feature"}
    assert "feature@1" in str(bands.version_tree)
    assert problems(bands) == []


def test_a_name_given_again_where_it_was_goes_on(anydb):
    bands = merged_away(anydb, no_ff=False)
    assert bands.create_branch("feature") == (0, "feature")
    assert (bands.version, bands.branch) == (0, "feature")
    step(bands, "f1")
    assert labels(bands.get_log()) == ["feature@1", "feature@0", "main@0"]


def test_the_name_main_can_be_given_again(anydb):
    bands = tracked(anydb)
    bands.create_branch("trunk")
    step(bands, 1)
    bands.delete_branch("main")
    assert bands.create_branch("main") == (0, "trunk")
    step(bands, 2)
    assert labels(bands.get_log()) == ["main@1", "trunk@0", "main@0"]


def test_register_gives_the_name_of_a_deleted_branch(anydb):
    bands = merged_away(anydb)
    bands.checkout("feature@0")
    edit(bands, "again")
    assert bands.register("more", "feature")
    assert (bands.version, bands.branch, bands.is_detached()) == (1, "feature", False)
    assert labels(bands.get_log()) == ["feature@1", "feature@0", "main@0"]
    bands.undo()
    assert bands.branches() == {"main"}
    assert bands.register("and once more", "feature")
    assert bands.resolve("feature").label == "feature@2"
    assert problems(bands) == []


def test_a_branch_gets_the_name_of_a_deleted_one(anydb):
    bands = merged_away(anydb)
    bands.create_branch("topic")
    step(bands, "t0")
    step(bands, "t1")
    ids = [version.id for version in bands.log()]
    bands.rename_branch("topic", "feature")
    assert labels(bands.get_log()) == ["feature@2", "feature@1", "main@1", "main@0"]
    assert bands.resolve("feature@0").message == "vf0"
    assert [version.id for version in bands.log()] == ids
    step(bands, "t2")
    assert (bands.version, bands.branch) == (3, "feature")
    assert problems(bands) == []
    bands.undo()
    bands.undo()
    assert bands.branches() == {"main", "topic"}
    assert labels(bands.get_log()) == ["topic@1", "topic@0", "main@1", "main@0"]
    assert bands.resolve("feature@0").message == "vf0"
    assert bands.resolve("topic@2").message == "vt2"  # nothing leads to it any more
    assert problems(bands) == []


def test_labels_of_both_branches_of_a_name_follow_it(anydb):
    bands = merged_away(anydb)
    bands.create_branch("feature")
    step(bands, "f1")
    bands.rename_branch("feature", "other")
    assert labels(bands.get_log()) == ["other@1", "main@1", "main@0"]
    assert bands.resolve("other@0").message == "vf0"
    bands.undo()
    assert bands.resolve("feature@0").message == "vf0"
    assert bands.resolve("feature").label == "feature@1"
    assert problems(bands) == []


def test_undo_across_a_name_that_was_given_again(anydb):
    bands = merged_away(anydb)
    bands.create_branch("feature")
    step(bands, "f1")
    bands.checkout(branch="main")
    assert [bands.undo().verb for _ in range(4)] == [
        "checkout", "register", "create_branch", "delete_branch"
    ]  # fmt: skip
    assert bands.branches() == {"main", "feature"}
    assert bands.resolve("feature").label == "feature@0"
    assert [one.verb for one in bands.reflog()][:2] == ["undo", "undo"]


def test_delete_subtree_beside_labels_of_a_deleted_branch(anydb):
    bands = merged_away(anydb)
    bands.create_branch("feature")
    step(bands, "f1")
    assert bands.delete_version_subtree("feature@1")
    assert bands.resolve("feature@0").message == "vf0"
    assert (bands.resolve("HEAD").label, bands.resolve("feature").label) == ("main@1", "main@1")
    assert problems(bands) == []


def test_thin_out_of_a_name_that_was_given_again(anydb):
    bands = merged_away(anydb)
    bands.create_branch("feature")
    for turn in range(1, 4):
        step(bands, f"f{turn}")
    bands.thin_out(Retention(keep_last=1))
    with pytest.raises(errors.VersionThinnedOut):
        bands.resolve("feature@2")
    assert bands.resolve("feature").label == "feature@3"
    assert problems(bands) == []


def test_a_worktree_on_the_name_of_a_deleted_branch(db):
    bands = merged_away(db)
    fix = bands.worktree("main", "fix", new_branch="feature")
    step(fix, "f1")
    assert (fix.branch, fix.version) == ("feature", 1)
    with pytest.raises(errors.InvalidOperation, match="checked out in the working copy 'fix'"):
        bands.checkout(branch="feature")


def test_labels_of_a_remote_keep_their_names(db, client, server):
    bands = tracked(db)
    with other_database(client) as there:
        step(VersionedCollection.clone(bands, there), 1)
        bands.add_remote("origin", server.uri.replace("/?", f"/{there.name}?"))
        bands.fetch()
    with pytest.raises(errors.InvalidArgument, match="a branch of a remote 'origin/main'"):
        bands.create_branch("origin/main")
