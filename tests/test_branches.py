"""create_branch, branches, delete_branch, rename_branch."""

from __future__ import annotations

import pytest
from api_support import edit, everything, grown, labels, mark, problems, step, tracked, untracked

from versioned_collection import VersionedCollection, errors

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
