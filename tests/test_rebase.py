"""rebase: the versions of a branch made again on top of another version."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import everything, labels, problems, raws
from bson.int64 import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from versioned_collection import MergePolicy, Side, VersionedCollection, errors
from versioned_collection.working import recording as recording_module

BASE = [{"_id": i, "n": i, "at": {"x": 0, "y": 0}, "tags": ["a", "b"]} for i in range(1, 7)]


def started(db: Any, name: str = "bands", **options: Any) -> VersionedCollection:
    """Return six documents at main@0."""
    collection = VersionedCollection(db, name, **options)
    collection.insert_many([dict(one) for one in BASE])
    collection.init("base")
    return collection


def sets(bands: VersionedCollection, id_: Any, message: str | None = None, **fields: Any) -> None:
    """Register fields of one document; a double underscore stands for a dot."""
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    bands.update_one({"_id": id_}, {"$set": changes})
    facts = {"author": "Ada", "metadata": {"id": id_}}
    assert bands.register(message or f"{id_}: {', '.join(fields)}", **facts)


def many_steps(bands: VersionedCollection) -> None:
    """Have side@0 to side@3 and main@1, main@2 on main@0, which go together; be on side."""
    bands.create_branch("side")
    sets(bands, 1, "first", n="s1")
    bands.insert_one({"_id": "side", "n": 0})
    bands.delete_one({"_id": 4})
    sets(bands, 2, "second", n="s2")
    bands.update_one({"_id": "side"}, {"$set": {"n": 1}})
    sets(bands, 1, "third", n="s3", at__x="s3")
    bands.delete_one({"_id": "side"})
    bands.insert_one({"_id": 4, "again": True})
    sets(bands, 3, "fourth", tags=["a", "b", "s4"])
    bands.checkout(branch="main")
    sets(bands, 1, "main one", at__y="m1")
    bands.insert_many([{"_id": "main"}, {"_id": "main too"}])
    bands.delete_one({"_id": 5})
    sets(bands, 3, "main two", n="m3")
    bands.checkout(branch="side")


def conflicting(bands: VersionedCollection) -> None:
    """Have side@0 to side@4 on main@0; the second and the fourth clash with main@1."""
    bands.create_branch("side")
    sets(bands, 1, "first", at__x="side")
    bands.insert_one({"_id": "with the second"})
    sets(bands, 2, "second", n="side")
    sets(bands, 1, "third", at__y="side")
    sets(bands, 3, "fourth", n="side")
    sets(bands, 4, "fifth", n="side")
    bands.checkout(branch="main")
    bands.update_many({"_id": {"$in": [1, 2, 3]}}, {"$set": {"n": "main"}})
    bands.delete_one({"_id": 6})
    bands.insert_one({"_id": "main"})
    assert bands.register("main")
    bands.checkout(branch="side")


def stopped(bands: VersionedCollection, **options: Any) -> VersionedCollection:
    conflicting(bands)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main", **options)
    return bands


@pytest.fixture(params=["small", "large"])
def limits(request: pytest.FixtureRequest) -> str:
    """Once as it is, once with limits under which everything is a large change."""
    if request.param == "large":
        request.getfixturevalue("small_limits")
    return str(request.param)


def history(bands: VersionedCollection, revision: Any = None) -> list[Any]:
    """Return what versions say and hold, from the root on."""
    entries = list(bands.log(revision))[::-1]
    return [(e.message, e.author, e.metadata, e.stats, e.fingerprint) for e in entries]


def picked(bands: VersionedCollection, onto: str, todo: list[Any]) -> None:
    """Do what a rebase does by hand."""
    bands.checkout(onto)
    bands.create_branch("by hand")
    for version in todo:
        bands.cherry_pick(version.id)


# -- without conflicts ---------------------------------------------------------------------


def test_equals_picking_one_by_one(anydb, limits):
    bands = started(anydb)
    many_steps(bands)
    main, old = bands.resolve("main"), bands.resolve("side")
    todo = [bands.resolve(f"side@{n}") for n in range(4)]
    new = bands.rebase("main")
    assert new == bands.resolve("HEAD") == bands.resolve("side")
    assert (bands.branch, bands.is_detached(), bands.resolve("main")) == ("side", False, main)
    assert labels(bands.log(limit=5)) == ["side@7", "side@6", "side@5", "side@4", "main@2"]
    assert not bands.has_changes()
    found, documents = history(bands), raws(bands)
    assert [one[0] for one in found] == [
        "base", "main one", "main two", "first", "second", "third", "fourth",
    ]  # fmt: skip
    assert found[-1][1:3] == ("Ada", {"id": 3})
    assert bands.find_one({"_id": 1})["at"] == {"x": "s3", "y": "m1"}
    assert problems(bands) == []
    picked(bands, "main", todo)
    assert history(bands) == found
    assert raws(bands) == documents
    assert bands.checkout("side@3")
    assert bands.resolve("HEAD") == old
    assert problems(bands) == []


def test_every_version_can_be_checked_out(anydb, limits):
    bands = started(anydb)
    many_steps(bands)
    bands.rebase("main")
    final = raws(bands)
    for revision in ("HEAD~1", "side~2", "side@1", "side~3", "main", "main@0", "side"):
        bands.checkout(revision)
        assert problems(bands) == []
    assert raws(bands) == final


def test_up_to_date_and_fast_forward(anydb):
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, n=10)
    tip = bands.resolve("HEAD")
    before = everything(bands.database)
    assert bands.rebase("main") == bands.rebase("HEAD") == tip
    assert everything(bands.database) == before
    bands.checkout(branch="main")
    assert bands.rebase("side") == tip == bands.resolve("main")
    assert (bands.branch, bands.is_detached()) == ("main", False)
    assert problems(bands) == []


def test_what_is_there_already_is_left_out(anydb, limits):
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, "both", n="same")
    sets(bands, 2, "own", n="own")
    bands.insert_one({"_id": "same"})
    sets(bands, 3, "both too", n="same")
    bands.checkout(branch="main")
    bands.cherry_pick("side@0")
    bands.cherry_pick("side@2")
    bands.checkout("side")
    bands.rebase("main")
    assert labels(bands.log(limit=2)) == ["side@3", "main@2"]
    assert bands.resolve("HEAD").message == "own"
    assert problems(bands) == []


def test_all_is_there_already(anydb):
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, "both", n="same")
    bands.checkout(branch="main")
    sets(bands, 2, "main", n="main")
    bands.cherry_pick("side@0")
    main = bands.resolve("main")
    bands.checkout("side")
    assert bands.rebase("main") == main == bands.resolve("side")
    assert (bands.branch, bands.version) == ("side", -1)
    assert problems(bands) == []


def test_undo_takes_all_of_it_back(anydb, limits):
    bands = started(anydb)
    many_steps(bands)
    old, before, count = bands.resolve("side"), raws(bands), len(list(bands.reflog()))
    bands.rebase("main")
    assert len(list(bands.reflog())) == count + 1
    assert bands.undo().verb == "rebase"
    assert bands.resolve("HEAD") == bands.resolve("side") == old
    assert (bands.branch, bands.is_detached()) == ("side", False)
    assert raws(bands) == before
    assert not bands.has_changes()
    assert bands.rebase("main").label == "side@11"
    assert problems(bands) == []


def test_another_branch_stays_on_the_old_versions(anydb):
    bands = started(anydb)
    many_steps(bands)
    bands.create_branch("other")
    sets(bands, 6, "other", n="other")
    bands.checkout("side")
    bands.rebase("main")
    bands.checkout("other")
    assert bands.find_one({"_id": "main"}) is None
    merged = bands.merge("side")
    assert len(merged.parents) == 2
    assert bands.find_one({"_id": 6})["n"] == "other"
    assert problems(bands) == []


def test_onto_what_was_reached_through_a_merge(anydb, limits):
    """The base of both is no ancestor by first parents of what is rebased onto."""
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, "shared", n="shared")
    bands.checkout(branch="main")
    sets(bands, 2, "main", n="main")
    bands.merge("side")
    bands.checkout("side")
    sets(bands, 3, "own", n="own")
    sets(bands, 1, "own too", at__x="own")
    bands.rebase("main")
    assert [v.message for v in bands.log(limit=3)] == ["own too", "own", "Merge side into main"]
    assert [one["n"] for one in bands.find({"_id": {"$lte": 3}}).sort("_id", 1)] == [
        "shared", "main", "own",
    ]  # fmt: skip
    assert problems(bands) == []


def test_a_merge_on_the_way_stays_a_merge(anydb):
    bands = started(anydb)
    bands.create_branch("third")
    sets(bands, 4, "third", n="third")
    bands.checkout("main")
    bands.create_branch("side")
    sets(bands, 1, "first", n="side")
    bands.merge("third")
    sets(bands, 2, "last", n="side")
    bands.checkout(branch="main")
    sets(bands, 3, "main", n="main")
    bands.checkout("side")
    bands.rebase("main")
    merge, third = bands.resolve("HEAD~1"), bands.resolve("third")
    assert merge.parents == (bands.resolve("HEAD~2").id, third.id)
    assert merge.message == "Merge third into side"
    assert bands.merge("third") == bands.resolve("HEAD")
    assert [one["n"] for one in bands.find({"_id": {"$lte": 4}}).sort("_id", 1)] == [
        "side", "side", "main", "third",
    ]  # fmt: skip
    assert problems(bands) == []


def test_a_merge_of_what_is_rebased_onto_is_refused(anydb):
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, "first", n="side")
    bands.checkout(branch="main")
    sets(bands, 3, "main", n="main")
    bands.checkout("side")
    bands.merge("main")
    bands.checkout("main")
    sets(bands, 4, "main", n="main")
    bands.checkout("side")
    before = everything(bands.database)
    with pytest.raises(errors.InvalidOperation, match=r"side@1 merged a part.*merge\(\)"):
        bands.rebase("main")
    assert everything(bands.database) == before


def test_resolver_and_policy(anydb, limits):
    bands = started(anydb)
    conflicting(bands)
    policy = MergePolicy({"n": "theirs"})
    bands.rebase("main", policy=policy)
    assert [one["n"] for one in bands.find({"_id": {"$lte": 4}}).sort("_id", 1)] == [
        "main", "side", "side", "side",
    ]  # fmt: skip
    bands.undo()
    bands.rebase("main", "ours")
    assert [v.message for v in bands.log(limit=4)] == ["fifth", "third", "second", "first"]
    assert bands.find_one({"_id": 2})["n"] == "main"
    assert problems(bands) == []


@pytest.mark.parametrize("resolver", ["latest", "max", "sum_of_changes"])
def test_resolvers_with_times_of_all_kinds(db, resolver):
    options = VersionedCollection(db, "x").codec_options.with_options(tz_aware=True)
    bands = started(db, codec_options=options)
    bands.create_branch("side")
    sets(bands, 1, n=5)
    sets(bands, 1, n=7)
    bands.checkout("main")
    sets(bands, 1, n=4)
    bands.checkout("side")
    bands.rebase("main", resolver)
    assert (
        bands.find_one({"_id": 1})["n"] == {"latest": 4, "max": 7, "sum_of_changes": 10}[resolver]
    )
    assert problems(bands) == []


def test_ids_that_the_server_takes_for_one(anydb, limits):
    """They came to be apart, on both sides and on the way."""
    bands = started(anydb)
    bands.create_branch("side")
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": 1.0, "side": 1})
    bands.register("another id")
    sets(bands, 1, "changed", more=1)
    sets(bands, 3, "other", n="side")
    bands.checkout(branch="main")
    sets(bands, 2, "main", n="main")
    bands.checkout("side")
    documents = {type(one["_id"]) for one in bands.find({"_id": 1})}
    bands.rebase("main")
    assert {type(one["_id"]) for one in bands.find({"_id": 1})} == documents == {float}
    assert problems(bands) == []


def test_ids_that_the_server_takes_for_one_clash(anydb, limits):
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 3, "before", n="side")
    bands.insert_one({"_id": Int64(9), "side": 1})
    bands.register("adds nine")
    sets(bands, 9, "changes nine", side=2)
    bands.checkout(branch="main")
    bands.insert_one({"_id": 9.0, "main": 1})
    bands.register("adds nine too")
    bands.checkout("side")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    assert [one.kind for one in bands.conflicts()] == ["both_added"]
    assert bands.find_one({"_id": 9})["main"] == 1
    assert problems(bands) == []
    assert bands.abort_merge()
    assert bands.find_one({"_id": 9})["side"] == 2
    assert problems(bands) == []


# -- conflicts -----------------------------------------------------------------------------


def test_it_stops_at_a_conflict(anydb, limits):
    bands = started(anydb)
    conflicting(bands)
    old, count = bands.resolve("side"), len(list(bands.reflog()))
    with pytest.raises(errors.AutoMergeFailedError, match=r"side@1.*3 more") as caught:
        bands.rebase("main")
    assert (caught.value.conflicts, caught.value.version) == (1, bands.resolve("side@1").id)
    (conflict,) = bands.conflicts()
    assert (conflict.document_id, conflict.path) == (2, ("n",))
    assert (conflict.base, conflict.ours, conflict.theirs) == (2, "main", "side")
    assert bands.is_detached()
    head = bands.resolve("HEAD")
    assert (head.label, head.message) == ("side@5", "first")
    assert head.parents == (bands.resolve("main").id,)
    assert bands.resolve("side") == old
    status = bands.status()
    assert (status["merging"], status["merge_verb"], status["conflicts"]) == (True, "rebase", 1)
    assert status["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}
    assert bands.find_one({"_id": 1})["at"]["x"] == "side"
    assert bands.find_one({"_id": "with the second"})
    assert bands.find_one({"_id": "main"})
    assert len(list(bands.reflog())) == count
    assert problems(bands) == []


def test_settled_it_goes_on(anydb, limits):
    bands = stopped(started(anydb))
    old = bands.resolve("side")
    bands.resolve_conflict(next(bands.conflicts()), "settled")
    with pytest.raises(errors.AutoMergeFailedError, match=r"side@3.*1 more"):
        bands.register()
    assert bands.resolve("HEAD").message == "third"
    assert bands.resolve("side") == old
    other = VersionedCollection(anydb, "bands")
    assert other.resolve_conflicts(resolver="theirs")
    assert other.register("fourth, settled", metadata={"more": 1}) is True
    assert not bands.is_detached()
    assert bands.resolve("HEAD") == bands.resolve("side")
    assert [(v.message, v.author) for v in bands.log(limit=6)] == [
        ("fifth", "Ada"), ("fourth, settled", "Ada"), ("third", "Ada"), ("second", "Ada"),
        ("first", "Ada"), ("main", None),
    ]  # fmt: skip
    assert bands.resolve("HEAD~1").metadata == {"id": 3, "more": 1}
    assert [one["n"] for one in bands.find({"_id": {"$lte": 5}}).sort("_id", 1)] == [
        "main", "settled", "side", "side", 5,
    ]  # fmt: skip
    assert not bands.has_changes()
    assert bands.status()["merging"] is False
    assert problems(bands) == []


def test_local_changes_are_not_discarded_for_themselves(anydb):
    """The other side of its conflicts are they."""
    bands = stopped(started(anydb))
    before = everything(anydb)
    with pytest.raises(errors.InvalidOperation, match="resolver='ours'"):
        bands.resolve_conflicts(discard_local_changes=True)
    assert everything(anydb) == before
    assert bands.resolve_conflicts(resolver="ours") is True
    assert bands.resolve_conflicts(discard_local_changes=True) is False


def test_undo_after_it_stopped_takes_all_of_it_back(anydb, limits):
    bands = started(anydb)
    conflicting(bands)
    old, before = bands.resolve("side"), raws(bands)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    bands.resolve_conflicts(resolver="theirs")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.register()
    with pytest.raises(errors.InvalidOperation, match="abort_merge"):
        bands.undo()
    bands.resolve_conflicts(resolver="theirs")
    bands.register()
    assert bands.undo().verb == "rebase"
    assert bands.resolve("HEAD") == bands.resolve("side") == old
    assert (bands.branch, bands.is_detached()) == ("side", False)
    assert raws(bands) == before
    assert not bands.has_changes()
    assert problems(bands) == []


def test_the_first_and_the_last_conflict(anydb, limits):
    """HEAD waits where it is rebased onto; and where the last is recorded all is over."""
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, "only", n="side")
    bands.checkout("main")
    sets(bands, 1, "main", n="main")
    bands.checkout("side")
    before, old = raws(bands), bands.resolve("HEAD")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    assert bands.resolve("HEAD") == bands.resolve("main")
    assert bands.is_detached()
    bands.resolve_conflicts(resolver="theirs")
    assert bands.register() is True
    assert (bands.resolve("HEAD").label, bands.branch) == ("side@1", "side")
    assert not bands.is_detached()
    assert not bands.has_changes()
    assert problems(bands) == []
    assert bands.undo().verb == "rebase"
    assert (raws(bands), bands.resolve("side")) == (before, old)
    assert problems(bands) == []


def test_settled_for_what_is_there_it_is_left_out(anydb, limits):
    bands = stopped(started(anydb))
    bands.resolve_conflicts()
    bands.delete_one({"_id": "with the second"})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.register()
    assert [v.message for v in bands.log(limit=3)] == ["third", "first", "main"]
    bands.resolve_conflicts(resolver="ours")
    assert bands.register() is True
    assert [v.message for v in bands.log(limit=4)] == ["fifth", "third", "first", "main"]
    assert problems(bands) == []


def test_left_out_at_the_end(anydb):
    bands = started(anydb)
    bands.create_branch("side")
    sets(bands, 1, "only", n="side")
    bands.checkout("main")
    sets(bands, 1, "main", n="main")
    bands.checkout("side")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    bands.resolve_conflicts(resolver="ours")
    assert bands.register() is True
    assert bands.resolve("HEAD") == bands.resolve("side") == bands.resolve("main")
    assert (bands.branch, bands.is_detached()) == ("side", False)
    assert bands.undo().verb == "rebase"
    assert bands.find_one({"_id": 1})["n"] == "side"
    assert problems(bands) == []


@pytest.mark.parametrize("turns", [1, 2])
def test_abort(anydb, limits, turns):
    bands = started(anydb)
    conflicting(bands)
    old, before, count = bands.resolve("side"), raws(bands), len(list(bands.reflog()))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    if turns == 2:
        bands.resolve_conflicts(resolver="theirs")
        with pytest.raises(errors.AutoMergeFailedError):
            bands.register()
    bands.resolve_conflict(next(bands.conflicts()), Side.THEIRS)
    bands.update_one({"_id": 5}, {"$set": {"n": "edited"}})
    bands.insert_one({"_id": "inserted"})
    other = VersionedCollection(anydb, "bands")
    assert other.abort_merge() is True
    assert other.abort_merge() is False
    assert bands.resolve("HEAD") == bands.resolve("side") == old
    assert (bands.branch, bands.is_detached()) == ("side", False)
    assert raws(bands) == before
    assert not bands.has_changes()
    assert not bands.has_conflicts()
    assert len(list(bands.reflog())) == count
    assert bands.gc()["conflicts"] == 0
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    assert problems(bands) == []


def test_a_process_ended_between_two_versions(anydb, limits, monkeypatch):
    """A rebase that waits without conflicts goes on, or is taken back."""
    from versioned_collection.verbs import register as module

    class Ended(BaseException):
        """A process is gone."""

    def end(*_: Any) -> Any:
        raise Ended

    for finish in ("register", "abort"):
        anydb.drop_collection("bands")
        bands = started(anydb, finish)
        conflicting(bands)
        before, old = raws(bands), bands.resolve("side")
        with pytest.raises(errors.AutoMergeFailedError):
            bands.rebase("main")
        bands.resolve_conflicts(resolver="theirs")
        with monkeypatch.context() as patch:
            patch.setattr(module, "Rebasing", end)
            with pytest.raises(Ended):
                bands.register()
        status = bands.status()
        assert (status["merging"], status["merge_verb"]) == (True, "rebase")
        assert (status["conflicts"], status["changed"]) == (0, False)
        assert bands.resolve("HEAD").message == "second"
        assert problems(bands) == []
        if finish == "abort":
            assert bands.abort_merge()
            assert (raws(bands), bands.resolve("side")) == (before, old)
            assert not bands.is_detached()
        else:
            with pytest.raises(errors.AutoMergeFailedError):
                bands.register()
            assert bands.resolve("HEAD").message == "third"
        assert problems(bands) == []


def test_what_has_to_wait(anydb):
    bands = stopped(started(anydb))
    before = everything(bands.database)
    for verb in (
        lambda: bands.register("too early"),
        lambda: bands.register("too early", only=[1]),
        lambda: bands.checkout("side"),
        lambda: bands.create_branch("other"),
        lambda: bands.discard_changes(),
        lambda: bands.stash(),
        lambda: bands.delete_version_subtree("side@0"),
        lambda: bands.delete_branch("side"),
        lambda: bands.rename_branch("side", "other"),
        lambda: bands.merge("side"),
        lambda: bands.rebase("side"),
        lambda: bands.squash("main@1"),
        lambda: bands.reset("side"),
        lambda: bands.undo(),
        lambda: bands.rename("other"),
    ):
        with pytest.raises(errors.InvalidOperation):
            verb()
    assert everything(bands.database) == before
    bands.rename_branch("main", "trunk")
    bands.gc()
    assert bands.abort_merge()
    assert bands.branches() == {"side", "trunk"}
    assert problems(bands) == []


def test_a_merge_on_the_way_conflicts(anydb):
    bands = started(anydb)
    bands.create_branch("third")
    sets(bands, 4, "third", n="third")
    bands.checkout("main")
    bands.create_branch("side")
    sets(bands, 1, "first", n="side")
    bands.merge("third")
    bands.checkout(branch="main")
    sets(bands, 4, "main", n="main")
    bands.checkout("side")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.rebase("main")
    bands.resolve_conflicts(resolver="ours")
    assert bands.register()
    assert bands.resolve("HEAD").parents == (
        bands.resolve("HEAD~1").id, bands.resolve("third").id,
    )  # fmt: skip
    assert bands.find_one({"_id": 4})["n"] == "main"
    assert problems(bands) == []


# -- refused -------------------------------------------------------------------------------


def test_wrong_calls_change_nothing(anydb, monkeypatch):
    bands = started(anydb)
    many_steps(bands)
    before = everything(bands.database)
    for error, call in (
        (errors.InvalidCollectionVersion, lambda: bands.rebase("nowhere")),
        (errors.InvalidType, lambda: bands.rebase(1.5)),
        (errors.InvalidArgument, lambda: bands.rebase("main", "best")),
        (errors.InvalidArgument, lambda: bands.rebase("main", "ours", policy=MergePolicy())),
        (errors.InvalidType, lambda: bands.rebase("main", policy="ours")),
    ):
        with pytest.raises(error):
            call()
    monkeypatch.setattr(recording_module, "LARGEST_ENTRIES", 500)
    with pytest.raises(errors.InvalidOperation, match="in parts"):
        bands.rebase("main")
    assert everything(bands.database) == before
    bands.update_one({"_id": 6}, {"$set": {"dirty": True}})
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        bands.rebase("main")
    bands.discard_changes()
    bands.checkout("side@1")
    with pytest.raises(errors.InvalidOperation, match="detached"):
        bands.rebase("main")
    with pytest.raises(errors.CollectionNotTracked):
        VersionedCollection(anydb, "others").rebase("HEAD")


def test_a_failing_resolver_changes_nothing(anydb):
    bands = started(anydb)
    conflicting(bands)
    before = everything(bands.database)

    def broken(conflict: Any, context: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(errors.ResolverFailed):
        bands.rebase("main", broken)
    assert everything(bands.database) == before
    assert bands.gc()["versions_without_log_entry"] == 0


def unchanged_by(bands: VersionedCollection, error: type[Exception]) -> None:
    before, head, log = raws(bands), bands.resolve("HEAD"), len(list(bands._repository.log.tree()))
    with pytest.raises(error):
        bands.rebase("main")
    assert raws(bands) == before
    assert bands.resolve("HEAD") == bands.resolve("side") == head
    assert len(list(bands._repository.log.tree())) == log
    assert not bands.is_detached()
    assert not bands.has_changes()
    assert not bands.has_conflicts()
    assert bands.status()["merging"] is False
    assert bands.gc()["versions_without_log_entry"] == 0
    assert problems(bands) == []


@pytest.mark.parametrize("how", ["done", "stopped"])
def test_a_unique_index_refuses(anydb, limits, how):
    bands = started(anydb)
    bands.create_index("code", unique=True, sparse=True)
    bands.create_branch("side")
    sets(bands, 1, "first", n="side")
    sets(bands, 2, "second", code="same")
    bands.insert_many([{"_id": f"side {i}"} for i in range(4)])
    sets(bands, 3, "third", n="side")
    bands.checkout(branch="main")
    sets(bands, 4, "code", code="same")
    if how == "stopped":
        sets(bands, 3, "main", n="main")
    bands.checkout("side")
    unchanged_by(bands, errors.DocumentRejected)


@pytest.mark.parametrize("how", ["done", "stopped"])
def test_the_validator_refuses(anydb, limits, how):
    bands = started(anydb)
    rule = {"$nor": [{"at.x": "full", "at.y": "full"}]}
    anydb.command("collMod", "bands", validator=rule)
    bands.create_branch("side")
    sets(bands, 1, "first", at__x="full")
    bands.insert_many([{"_id": f"side {i}"} for i in range(4)])
    sets(bands, 2, "second", n="side")
    bands.checkout(branch="main")
    sets(bands, 1, "main", at__y="full")
    if how == "stopped":
        sets(bands, 2, "main", n="main")
    bands.checkout("side")
    unchanged_by(bands, errors.DocumentRejected)


@pytest.mark.parametrize("own", [False, True])
def test_a_check_refuses(anydb, limits, own):
    bands = started(anydb)
    many_steps(bands)
    pipeline = [{"$match": {"at.x": "s3", "at.y": "m1"}}]
    bands.add_check(
        "apart", (lambda state: state.find(pipeline[0]["$match"])) if own else pipeline
    )
    unchanged_by(bands, errors.CheckFailed)


def test_a_check_looks_at_the_outcome_alone(anydb, limits):
    bands = started(anydb)
    many_steps(bands)
    bands.add_check("passing", [{"$match": {"_id": "side"}}])
    assert bands.rebase("main").message == "fourth"


def test_refused_while_it_goes_on(anydb, limits):
    """What was recorded stays; it can go on once the obstacle is gone."""
    bands = stopped(started(anydb))
    bands.add_check("no side", [{"$match": {"_id": 4, "n": "side"}}])
    bands.resolve_conflicts(resolver="theirs")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.register()
    bands.resolve_conflicts(resolver="theirs")
    with pytest.raises(errors.CheckFailed):
        bands.register()
    assert bands.resolve("HEAD").message == "fourth"
    assert bands.status()["merge_verb"] == "rebase"
    assert not bands.has_changes()
    assert problems(bands) == []
    bands.delete_check("no side")
    assert bands.register() is True
    assert bands.resolve("side").message == "fifth"
    assert problems(bands) == []


# -- others ---------------------------------------------------------------------------------


def meddling(bands: VersionedCollection, id_: Any) -> Any:
    """Return a progress callback that changes a document, as another client, once."""
    plain, done = bands.database["bands"], []

    def meddle(phase: str, count: int) -> None:
        if phase == "recorded" and not done:
            done.append(plain.update_one({"_id": id_}, {"$set": {"meanwhile": True}}))

    return meddle


def test_another_client_changes_a_document_that_moves(db):
    bands = started(db)
    many_steps(bands)
    head, before = bands.resolve("side"), raws(bands)
    with pytest.raises(errors.WorkingCopyChanged):
        bands.rebase("main", progress=meddling(bands, 3))
    assert bands.resolve("HEAD") == bands.resolve("side") == head
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}
    bands.discard_changes()
    assert raws(bands) == before
    assert problems(bands) == []


def test_another_client_changes_a_document_that_stays(db, limits):
    bands = started(db)
    many_steps(bands)
    bands.rebase("main", progress=meddling(bands, 6))
    assert bands.find_one({"_id": 6})["meanwhile"]
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}
    assert problems(bands) == []


def test_another_client_is_faster_than_a_large_rebase(db, small_limits):
    """Its change stays, and shows."""
    bands = started(db)
    many_steps(bands)
    bands.rebase("main", progress=meddling(bands, 5))
    assert bands.find_one({"_id": 5})["meanwhile"]
    assert bands.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}
    assert problems(bands) == []


def test_another_client_is_faster_than_a_large_stop(db, small_limits):
    """What its document should have become is a conflict."""
    bands = started(db)
    conflicting(bands)
    with pytest.raises(errors.AutoMergeFailedError) as caught:
        bands.rebase("main", progress=meddling(bands, 3))
    assert caught.value.conflicts == 2
    found = {one.document_id: one for one in bands.conflicts()}
    assert found[3].ours["meanwhile"]
    assert found[3].theirs["n"] == "main"
    assert bands.find_one({"_id": 3})["meanwhile"]
    bands.abort_merge()
    assert bands.find_one({"_id": 3})["n"] == "side"
    assert problems(bands) == []


def test_another_client_changes_what_comes_back_to_the_same(db, limits):
    """The first version changed it, and its copy does again."""
    bands = started(db)
    bands.create_branch("side")
    sets(bands, 4, "first", n="side")
    sets(bands, 2, "second", n="side")
    bands.checkout(branch="main")
    bands.update_many({"_id": {"$in": [1, 2, 3]}}, {"$set": {"n": "main"}})
    bands.register("main")
    bands.checkout(branch="side")
    with pytest.raises(errors.AutoMergeFailedError) as caught:
        bands.rebase("main", progress=meddling(bands, 4))
    assert caught.value.conflicts == 1
    assert bands.find_one({"_id": 4})["meanwhile"]
    bands.abort_merge()
    assert not bands.has_changes()
    assert problems(bands) == []


def test_another_client_changes_a_document_while_it_goes_on(db):
    bands = stopped(started(db))
    bands.resolve_conflicts(resolver="theirs")
    with pytest.raises(errors.WorkingCopyChanged, match="Take the change back"):
        bands.register(progress=meddling(bands, 1))
    assert bands.find_one({"_id": 1})["meanwhile"]
    assert (bands.resolve("HEAD").message, bands.status()["merge_verb"]) == ("second", "rebase")
    with pytest.raises(errors.WorkingCopyChanged):
        bands.register()
    db["bands"].update_one({"_id": 1}, {"$unset": {"meanwhile": ""}})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.register()
    assert bands.resolve("HEAD").message == "third"
    assert problems(bands) == []


@pytest.mark.parametrize("capture", ["scan", "write_through"])
def test_other_ways_of_noticing(db, capture):
    bands = started(db, capture=capture)
    stopped(bands)
    bands.resolve_conflicts(resolver="theirs")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.register()
    bands.resolve_conflicts(resolver="theirs")
    assert bands.register()
    assert not bands.has_changes()
    assert problems(bands) == []


# -- laws -----------------------------------------------------------------------------------

VALUES = st.sampled_from([0, 1, 1.0, -0.0, "x", None, [], ["a", "b"], {"k": 1}, Int64(1)])
EDIT = st.one_of(st.none(), st.dictionaries(st.sampled_from(["n", "m", "o"]), VALUES))


def _edit(bands: VersionedCollection, changes: dict[int, Any], word: str) -> None:
    for id_, fields in changes.items():
        if fields is None:
            bands.delete_one({"_id": id_})
        else:
            bands.replace_one({"_id": id_}, fields, upsert=True)
    bands.insert_one({"_id": word})
    bands.register(word)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    mine=st.lists(st.dictionaries(st.integers(1, 3), EDIT, max_size=3), min_size=1, max_size=4),
    theirs=st.lists(st.dictionaries(st.integers(4, 6), EDIT, max_size=3), min_size=1, max_size=3),
)
def test_disjoint_edits_are_both_applied(db, mine, theirs):
    """The outcome is that of making all edits one after the other, byte by byte."""
    for name in ("bands", "plain"):
        db.drop_collection(name)
    plain = started(db, "plain")
    bands = started(db)
    bands.create_branch("side")
    for turn, changes in enumerate(mine):
        _edit(bands, changes, f"mine {turn}")
    bands.checkout("main")
    for turn, changes in enumerate(theirs):
        _edit(bands, changes, f"theirs {turn}")
        _edit(plain, changes, f"theirs {turn}")
    bands.checkout("side")
    for turn, changes in enumerate(mine):
        _edit(plain, changes, f"mine {turn}")
    assert bands.rebase("main").fingerprint == plain.resolve("HEAD").fingerprint
    assert raws(bands) == raws(plain)
    assert [v.fingerprint for v in bands.log()] == [v.fingerprint for v in plain.log()]
    assert problems(bands) == []
    bands.drop()
    plain.drop()
