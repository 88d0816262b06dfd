"""A purge in one of several working copies truly removes the data from all of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from api_support import (
    SECRET,
    edit,
    everything,
    grown,
    meanwhile,
    problems,
    raws,
    traces,
    tracked,
)
from pymongo.database import Database

from versioned_collection import VersionedCollection, errors
from versioned_collection.committing import steps

WHY = "leaked"
LARGE = 9 * 1024 * 1024
NAMES = ("bands", "aside", "then")


def copies(db: Database[Any], start: str = "bands") -> list[VersionedCollection]:
    """Return three working copies, opened anew, the one that is named first."""
    return [VersionedCollection(db, name) for name in sorted(NAMES, key=lambda x: x != start)]


def beside(db: Database[Any]) -> list[VersionedCollection]:
    """Return three working copies: of main@3, of side@1 on its branch, and of main@1."""
    bands = grown(db)
    return [bands, bands.worktree("side", "aside"), bands.worktree("main@1", "then")]


def whole(db: Database[Any]) -> bool:
    """Tell whether all is well, whichever working copy is asked."""
    return [problems(copy) for copy in copies(db)] == [[], [], []]


# -- nothing is left -------------------------------------------------------------------------


def fill(copy: VersionedCollection) -> None:
    """Have the secret in every tracker that is a working copy's own."""
    db, name = copy.database, copy.name
    large = {"secret": SECRET + name + "x" * LARGE}
    copy.update_one({"_id": 1}, {"$set": {"of.secret": f"{SECRET} in {name}"}})
    copy.insert_one({"_id": f"{SECRET} in {name}", "of": large})
    copy.stash()
    list(copy.at("main@0").find())
    copy.publish_view("main@1", f"shown_of_{name}")
    copy.update_one({"_id": 2}, {"$set": {"of.secret": SECRET + name}})
    copy.insert_one({"_id": f"{SECRET} gone from {name}", "of": {"secret": SECRET}})
    copy.has_changes()
    copy.delete_one({"_id": f"{SECRET} gone from {name}"})
    conflicts = db[f"__conflicts_{name}"]
    conflicts.insert_one({"format": 1, "merge": "of no merge", "base": SECRET})


@pytest.fixture
def leaky(anydb) -> Database[Any]:
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"of": {"secret": SECRET}}})
    bands.insert_one({"_id": SECRET, "of": {"secret": SECRET}})
    bands.register("leaked")
    aside = bands.worktree("main", "aside", new_branch="side")
    aside.update_one({"_id": 1}, {"$set": {"of": {"secret": f"{SECRET}, aside", "kept": 1}}})
    aside.register("leaked aside")
    bands.worktree("main@1", "then")
    for copy in copies(anydb):
        fill(copy)
    anydb["__copy_01234567_bands"].insert_one({"of": SECRET})
    own = ("", "__replica_", "__stash_", "__modified_", "__conflicts_")
    holding = set(traces(anydb))
    assert {prefix + name for prefix in own for name in NAMES} <= holding
    assert {f"__stash_{name}.chunks" for name in NAMES} <= holding
    for name in NAMES:
        assert any(one.startswith(f"__past_{name}.") for one in holding)
    return anydb


def every_id() -> list[Any]:
    """Return the ids of the documents that hold the secret."""
    own = [f"{SECRET} {how} {name}" for how in ("in", "gone from") for name in NAMES]
    return [1, 2, SECRET, *own]


@pytest.mark.parametrize("start", NAMES)
def test_documents_leave_no_trace_in_any_working_copy(leaky, start):
    copy = copies(leaky, start)[0]
    told = copy.purge(every_id(), dry_run=True)
    assert (told.documents, told.working_copy, told.stashes, told.views) == (6, 9, 3, 3)
    assert copy.purge(every_id(), reason=WHY, author="Ada") == told
    assert traces(leaky) == []
    assert whole(leaky)
    for one in copies(leaky):
        assert [found["_id"] for found in one.find()] == [3]
        assert not one.has_changes()
        assert one.stashes()
        assert len(one.purges()) == 1
    goes_on(leaky)


@pytest.mark.parametrize("start", ["bands", "aside"])
def test_fields_leave_no_trace_in_any_working_copy(leaky, start):
    copy = copies(leaky, start)[0]
    copy.purge([one for one in every_id() if isinstance(one, str)], reason=WHY)
    purged = copy.purge(paths=["of.secret"], reason=WHY)
    assert (purged.documents, purged.working_copy) == (2, 6)
    assert traces(leaky) == []
    assert whole(leaky)
    assert leaky["aside"].find_one(1)["of"] == {"kept": 1}
    assert [one.has_changes() for one in copies(leaky)] == [True, True, True]  # an empty ``of``
    goes_on(leaky)


def goes_on(db: Database[Any]) -> None:
    """Make sure that all working copies can be worked in."""
    for copy in copies(db):
        copy.discard_changes()
        assert copy.stash_apply()
        copy.insert_one({"_id": "afterwards"})
        if not copy.is_detached():
            assert copy.register("afterwards")
        copy.gc()
    bands = copies(db)[0]
    bands.checkout("main@1")
    bands.checkout("main")
    assert whole(db)
    assert traces(db) == []


def test_what_only_one_working_copy_holds_is_found(anydb):
    bands, aside, then = beside(anydb)
    edit(aside, "stashed", 3)
    aside.stash()
    edit(aside, "uncommitted", 2)
    then.insert_one({"_id": 9, "mark": "new"})
    for value, id_ in (("stashed", 3), ("uncommitted", 2), ("new", 9), ("s1", 1)):
        for copy in (bands, aside, then):
            assert copy.purge(filter={"mark": value}, dry_run=True).documents == 1
        assert bands.purge(filter={"mark": value}, reason=WHY).documents == 1
        assert [one.find_one(id_) for one in (bands, aside, then)] == [None] * 3
        assert whole(anydb)


def test_ids_that_the_server_takes_for_the_same_elsewhere(anydb):
    bands, aside, _ = beside(anydb)
    aside.delete_one({"_id": 2})
    aside.insert_one({"_id": 2.0, "name": "Blur again"})
    assert bands.purge([2], reason=WHY).documents == 2
    assert [len(list(one.find())) for one in copies(anydb)] == [2, 2, 2]
    assert whole(anydb)


# -- all else stays --------------------------------------------------------------------------


def test_uncommitted_changes_and_places_stay(anydb):
    bands, aside, then = beside(anydb)
    places = [(one.branch, one.version, one.is_detached()) for one in (bands, aside, then)]
    for copy, value in ((bands, "b"), (aside, "a"), (then, "t")):
        edit(copy, value, 1)
        edit(copy, value, 3)
    purged = aside.purge([1], reason=WHY)
    assert (purged.documents, purged.working_copy, purged.kept) == (1, 3, ())
    for copy, value in ((bands, "b"), (aside, "a"), (then, "t")):
        assert [(one.op, one.document_id) for one in copy.changes()] == [("update", 3)]
        assert copy.find_one(3)["mark"] == value
    assert [(one.branch, one.version, one.is_detached()) for one in copies(anydb)] == places
    assert whole(anydb)
    aside.register("on")
    assert bands.at("side").find_one(3)["mark"] == "a"


def test_undo_passes_over_it_everywhere(anydb):
    bands, aside, _ = beside(anydb)
    edit(aside, "s2", 3)
    aside.register("s2")
    bands.purge([1], reason=WHY)
    assert next(bands.reflog()).verb == "purge"
    assert aside.undo().verb == "register"
    assert [one.document_id for one in aside.changes()] == [3]
    assert [one["_id"] for one in aside.find().sort("_id")] == [2, 3]
    assert whole(anydb)


def test_nothing_of_it(anydb):
    bands, aside, _ = beside(anydb)
    edit(aside, "uncommitted")
    before = [raws(one) for one in copies(anydb)]
    assert bands.purge(["never"], reason=WHY).documents == 0
    assert [raws(one) for one in copies(anydb)] == before
    assert bands.purges() == []
    assert whole(anydb)


def test_readers_that_began_before_it(db):
    bands, aside, _ = beside(db)
    view = aside.at("main")
    assert view.find_one(3)["_id"] == 3
    bands.purge([3], reason=WHY)
    assert view.find_one(3) is None


@pytest.mark.sweep
def test_a_large_purge(anydb, small_limits):
    bands, aside, then = beside(anydb)
    for copy in (bands, aside, then):
        copy.insert_many([{"_id": n, "mark": copy.name, "n": n} for n in range(10, 30)])
    aside.register("many")
    edit(aside, "uncommitted", 2)
    assert then.purge(paths=["mark"], reason=WHY).documents == 22
    assert all("mark" not in one for copy in copies(anydb) for one in copy.find())
    assert whole(anydb)
    assert bands.purge(filter={"n": {"$gte": 15}}, reason=WHY).working_copy == 45
    assert [copy.count_documents({}) for copy in copies(anydb)] == [8, 8, 8]
    assert whole(anydb)


# -- others write meanwhile ------------------------------------------------------------------


@pytest.mark.parametrize("start", ["bands", "aside"])
def test_what_others_write_meanwhile_goes_too(anydb, monkeypatch, start):
    beside(anydb)

    def write() -> None:
        for name in NAMES:
            anydb[name].update_one({"_id": 1}, {"$set": {"mark": "late"}})
            anydb[name].update_one({"_id": 2}, {"$set": {"mark": "late"}})

    meanwhile(monkeypatch, write)
    assert copies(anydb, start)[0].purge([1, 3], reason=WHY).kept == ()
    for copy in copies(anydb):
        assert [one["_id"] for one in copy.find()] == [2]
        assert mark_of(copy, 2) == "late"
        assert [one.document_id for one in copy.changes()] in ([2], [])  # a standalone sees none
    ids = [one["document_id"] for name in NAMES for one in anydb[f"__modified_{name}"].find()]
    assert set(ids) <= {2}
    assert whole(anydb)


def mark_of(copy: VersionedCollection, id_: Any) -> Any:
    """Return what `edit` set on a document."""
    return copy.find_one(id_).get("mark")  # type: ignore[union-attr]


@pytest.mark.sweep
def test_no_write_is_lost_while_all_working_copies_are_purged(anydb):
    beside(anydb)
    for name in NAMES:
        anydb[name].update_many({}, {"$set": {"secret": SECRET, "n": 0}})
    over = threading.Event()

    def write(name: str) -> int:
        turns = 0
        while not over.is_set():
            anydb[name].update_many({}, {"$inc": {"n": 1}})
            turns += 1
        return turns

    with ThreadPoolExecutor() as pool:
        counts = [pool.submit(write, name) for name in NAMES]
        try:
            purged = copies(anydb, "aside")[0].purge(paths=["secret"], reason=WHY)
        finally:
            over.set()
    for name, count in zip(NAMES, counts, strict=True):
        found = list(anydb[name].find())
        assert [one["n"] for one in found] == [count.result()] * 3
        assert {one["_id"] for one in found if "secret" in one} <= set(purged.kept)
    assert whole(anydb)


def test_what_comes_back_later_is_noticed_elsewhere(anydb, monkeypatch):
    bands, aside, _ = beside(anydb)
    meanwhile(monkeypatch, lambda: aside.insert_one({"_id": 1, "name": "again"}), [])
    bands.purge([1], reason=WHY)
    assert [(one.op, one.document_id) for one in aside.changes()] == [("insert", 1)]
    assert whole(anydb)


# -- refused, and everything is as before ----------------------------------------------------


def test_refused_while_a_merge_waits_elsewhere(anydb):
    bands, aside, then = beside(anydb)
    with pytest.raises(errors.AutoMergeFailedError):
        aside.merge("main")
    before = everything(anydb)
    for copy in (bands, then):
        for asked in ({"reason": WHY}, {"dry_run": True}):
            with pytest.raises(errors.InvalidOperation, match="merge waits") as refused:
                copy.purge([1], **asked)
            assert refused.value.working_copy == "aside"
    with pytest.raises(errors.InvalidOperation, match="merge waits"):
        aside.purge([1], reason=WHY)
    assert everything(anydb) == before
    aside.abort_merge()
    assert bands.purge([1], reason=WHY).working_copy == 3


@pytest.mark.parametrize("start", ["bands", "aside"])
def test_a_unique_index_of_one_working_copy_may_refuse(anydb, start):
    beside(anydb)
    edit(copies(anydb)[1], "uncommitted", 3)
    anydb["aside"].create_index("name", unique=True)
    for copy in copies(anydb):
        copy.status()
    contents = [raws(copy) for copy in copies(anydb)]
    checksums = {one.id: one.checksum for one in copies(anydb)[0].log()}
    with pytest.raises(errors.DocumentRejected):
        copies(anydb, start)[0].purge(paths=["name"], reason=WHY)
    assert [raws(copy) for copy in copies(anydb)] == contents
    assert {one.id: one.checksum for one in copies(anydb)[0].log()} == checksums
    assert [copy.has_changes() for copy in copies(anydb)] == [False, True, False]
    assert copies(anydb)[0].purges() == []
    assert whole(anydb)
    assert copies(anydb, start)[0].purge([1], paths=["name"], reason=WHY).working_copy == 3


def test_what_was_prepared_goes_with_a_purge_that_was_refused(anydb, monkeypatch):
    bands, *_ = beside(anydb)
    anydb["aside"].create_index("name", unique=True)
    prepared = [f"__{name}_bands" for name in ("deltas", "purges", "rewritten", "stash")]
    before = [everything(anydb).get(name, []) for name in prepared]

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(steps, "take_back", die)
        with pytest.raises(Killed):
            bands.purge(paths=["name"], reason=WHY)
    bands = copies(anydb)[0]  # whoever opens it completes the way back
    assert bands.purges() == []
    assert bands.find_one(1)["name"] == "Pulp"
    assert [everything(anydb).get(name, []) for name in prepared] == before
    assert whole(anydb)


def test_what_others_wrote_stays_where_one_working_copy_refuses(anydb, monkeypatch):
    bands, *_ = beside(anydb)
    anydb["aside"].create_index("name", unique=True)

    def write() -> None:
        for name in ("bands", "then"):  # through already, and not reached yet
            anydb[name].delete_one({"_id": 3})
            anydb[name].update_one({"_id": 2}, {"$set": {"mark": "late"}})

    meanwhile(monkeypatch, write, ["aside", "then"])
    with pytest.raises(errors.DocumentRejected):
        bands.purge(paths=["name"], reason=WHY)
    assert [[one["_id"] for one in copy.find().sort("_id")] for copy in copies(anydb)] == [
        [1, 2],
        [1, 2, 3],
        [1, 2],
    ]
    assert [mark_of(copy, 2) for copy in copies(anydb)] == ["late", None, "late"]
    assert bands.find_one(1)["name"] == "Pulp"
    assert whole(anydb)


def test_refused_where_a_view_has_taken_the_place_of_one(db):
    bands, *_ = beside(db)
    db.drop_collection("aside")
    db.command("create", "aside", viewOn="bands")
    before = [raws(copy) for copy in copies(db)]
    with pytest.raises(errors.NotSupported, match="'aside' is a view"):
        bands.purge([1], reason=WHY)
    assert [raws(copy) for copy in copies(db)] == before
    assert bands.purges() == []
    db.drop_collection("aside")
    assert bands.purge([1], reason=WHY).working_copy == 2
    VersionedCollection(db, "aside").discard_changes()
    assert whole(db)
    assert [one["_id"] for one in db["aside"].find().sort("_id")] == [2, 3]
