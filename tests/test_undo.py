"""undo and reflog: every verb that moves HEAD, a branch or a tag can be taken back."""

from __future__ import annotations

import os
from typing import Any

import pytest
from api_support import edit, grown, mark, problems, raws, step, tracked

from versioned_collection import VersionedCollection, errors


def refs(bands: VersionedCollection) -> dict[str, Any]:
    """Return where everything points, and the documents."""
    return {
        "head": bands.resolve("HEAD").id,
        "branch": bands.branch,
        "detached": bands.is_detached(),
        "branches": {name: bands.resolve(name).id for name in bands.branches()},
        "tags": {name: version.id for name, version in bands.tags().items()},
        "labels": {entry.id: entry.label for entry in bands._repository.log.get_many()},
        "documents": raws(bands),
    }


MOVES = {
    "register": lambda bands: step(bands, "new"),
    "checkout": lambda bands: bands.checkout("side"),
    "checkout detached": lambda bands: bands.checkout(0),
    "checkout of the same version": lambda bands: (
        bands.create_branch("same"), bands.checkout(branch="main"),
    ),
    "create_branch": lambda bands: bands.create_branch("fresh"),
    "delete_branch": lambda bands: (
        bands.create_branch("fresh"), bands.checkout(branch="main"), bands.delete_branch("fresh"),
    ),
    "rename_branch": lambda bands: bands.rename_branch("main", "trunk"),
    "rename of another branch": lambda bands: bands.rename_branch("side", "other"),
    "tag": lambda bands: bands.tag("here", message="why"),
    "delete_tag": lambda bands: bands.delete_tag("v1"),
    "merge": lambda bands: bands.merge("side", resolver="theirs"),
    "fast forward": lambda bands: (
        bands.checkout(1), bands.create_branch("behind"), bands.merge("side"),
    ),
    "cherry_pick": lambda bands: bands.cherry_pick("side@0", "theirs"),
    "revert": lambda bands: bands.revert("HEAD"),
    "reset": lambda bands: bands.reset(1),
    "reset hard": lambda bands: bands.reset("side", hard=True),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_back_again(anydb, name):
    bands = grown(anydb)
    before, count = refs(bands), len(list(bands.reflog()))
    MOVES[name](bands)
    moved = refs(bands)
    done = len(list(bands.reflog())) - count
    assert done
    soft = name in ("register", "reset")  # the documents stay where they are
    for _ in range(done):
        bands.undo()
    found = refs(bands)
    for what in ("head", "branch", "detached", "branches", "tags"):
        assert found[what] == before[what], what
    assert before["labels"].items() <= found["labels"].items()
    assert found["documents"] == (moved if soft else before)["documents"]
    assert problems(bands) == []


@pytest.mark.parametrize("name", ["merge", "checkout", "register", "reset hard", "revert"])
def test_back_again_when_large(db, small_limits, name):
    bands = grown(db)
    bands.insert_many([{"_id": f"many {i}"} for i in range(9)])
    bands.register("many")
    before = refs(bands)
    MOVES[name](bands)
    bands.undo()
    assert refs(bands)["head"] == before["head"]
    assert bands.has_changes() is (name == "register")
    assert problems(bands) == []


def test_one_after_the_other(anydb):
    """Each call goes one step further back, over undone ones, to the beginning."""
    bands = tracked(anydb)
    first = refs(bands)
    step(bands, 1)
    step(bands, 2)
    bands.tag("two")
    bands.checkout(1)
    undone = [bands.undo().verb for _ in range(4)]
    assert undone == ["checkout", "tag", "register", "register"]
    found = refs(bands)
    assert (found["head"], found["branches"]) == (first["head"], first["branches"])
    assert mark(bands) == 2
    with pytest.raises(errors.InvalidOperation, match="nothing to undo"):
        bands.undo()
    assert bands.register("again")
    assert bands.resolve("HEAD").label == "main@3"
    assert bands.undo().verb == "register"
    assert problems(bands) == []


def test_what_the_log_says(db):
    bands = tracked(db)
    root = bands.resolve("HEAD").id
    step(bands, 1)
    (operation,) = bands.reflog()
    assert operation.verb == "register"
    assert operation.before == {"head": root, "branch": "main", "detached": False}
    assert operation.after["head"] == bands.resolve("HEAD").id
    assert operation.branches == {"main": (root, bands.resolve("HEAD").id)}
    assert operation.who["pid"] == os.getpid()
    assert "register on main" in str(operation)
    assert operation.undoes is None
    bands.undo()
    back, _ = bands.reflog()
    assert (back.verb, back.undoes) == ("undo", operation.id)


def test_looking_is_no_operation(anydb):
    bands = grown(anydb)
    count = len(list(bands.reflog()))
    edit(bands, "dirty")
    bands.status()
    bands.diff()
    bands.stash()
    bands.stash_apply()
    bands.discard_changes()
    bands.checkout(branch="main")
    bands.reset("HEAD")
    bands.reset("HEAD", hard=True)
    list(bands.verify())
    bands.gc()
    assert len(list(bands.reflog())) == count


def test_refused(anydb):
    bands = grown(anydb)
    bands.checkout("side")
    edit(bands, "dirty")
    before = refs(bands)
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        bands.undo()
    assert refs(bands) == before
    bands.discard_changes()
    bands.checkout("main")
    bands.delete_version_subtree("side@1")
    before = refs(bands)
    with pytest.raises(errors.InvalidOperation, match="for good"):
        bands.undo()
    assert refs(bands) == before
    assert problems(bands) == []
    others = VersionedCollection(anydb, "others")
    assert list(others.reflog()) == []
    with pytest.raises(errors.CollectionNotTracked):
        others.undo()


GONE = {
    "branch": (lambda bands: bands.delete_branch("side2"), lambda copy: copy.tag("side2")),
    "renamed branch": (
        lambda bands: bands.rename_branch("side2", "other"),
        lambda copy: copy.tag("side2"),
    ),
    "tag": (lambda bands: bands.delete_tag("first"), lambda copy: copy.create_branch("first")),
}


@pytest.mark.parametrize("what", GONE)
def test_a_name_that_something_else_has_by_now(anydb, what):
    bands = grown(anydb)
    copy = bands.worktree("side", "copy")
    bands.create_branch("side2")
    bands.checkout("main")
    bands.tag("first", "main@0")
    remove, take = GONE[what]
    remove(bands)
    take(copy)
    before = refs(bands)
    with pytest.raises(errors.InvalidOperation, match="by now"):
        bands.undo()
    assert refs(bands) == before
    copy.undo()
    bands.undo()
    assert "side2" in bands.branches()
    assert "first" in bands.tags()
    assert problems(bands) == []


def test_a_merge_that_waits_is_aborted_not_undone(anydb):
    bands = grown(anydb)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    with pytest.raises(errors.InvalidOperation, match="abort_merge"):
        bands.undo()
    bands.abort_merge()
    bands.undo()


ELSEWHERE = {
    "moved on": lambda bands: (bands.checkout("side"), step(bands, "theirs")),
    "moved back": lambda bands: (bands.checkout("side"), bands.reset("side~1", hard=True)),
    "renamed": lambda bands: bands.rename_branch("side", "aside"),
    "deleted": lambda bands: (bands.tag("kept", "side"), bands.delete_branch("side")),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_head_comes_back_detached_where_its_branch_is_not_there_any_more(anydb, what):
    """It would be put beside what another working copy has recorded, or removed, otherwise."""
    bands = grown(anydb)
    copy = bands.worktree("side", "copy")
    there, documents = copy.resolve("HEAD").id, raws(copy)
    copy.checkout("side~1")
    ELSEWHERE[what](bands)
    if bands.branch == "side":
        bands.checkout("main")
    before = {name: bands.resolve(name).id for name in bands.branches()}
    copy.undo()
    assert (copy.resolve("HEAD").id, copy.is_detached()) == (there, True)
    assert raws(copy) == documents
    assert problems(copy) == []
    edit(copy, "mine")
    copy.register("mine", branch_name="mine")
    branches = {name: bands.resolve(name).id for name in bands.branches()}
    assert branches == {**before, "mine": copy.resolve("HEAD").id}
    assert problems(bands) == []


NAMING = {
    "tag": lambda bands: bands.tag("new", "side"),
    "rename_branch": lambda bands: bands.rename_branch("other", "another"),
}


@pytest.mark.parametrize("name", NAMING)
def test_what_was_named_while_a_rebase_waited_is_taken_back(anydb, name):
    """HEAD was where no operation had left it then, and has no part in it."""
    bands = grown(anydb)
    bands.create_branch("other")
    bands.checkout("side")
    before = refs(bands)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    NAMING[name](bands)
    bands.abort_merge()
    assert bands.undo().verb == name
    assert refs(bands) == before
    assert bands.undo().verb == "checkout"
    assert problems(bands) == []
