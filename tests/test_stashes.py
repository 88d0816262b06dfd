"""Several stashes: names, the list, applying one with a merge, dropping one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import timezone
from typing import Any

import bson
import pytest
from api_support import RAW, edit, everything, grown, mark, problems, step, tracked
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from versioned_collection import (
    MISSING,
    UNRESOLVED,
    MergePolicy,
    Side,
    Stash,
    VersionedCollection,
    errors,
)
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.steps import Steps
from versioned_collection.core.document import build
from versioned_collection.errors import LeaseLost
from versioned_collection.working.working_copy import WorkingCopy


@pytest.fixture(params=["usual", "small"])
def limits(request: pytest.FixtureRequest) -> str:
    """Run a test with the usual limits, and where a handful of documents is many."""
    if request.param == "small":
        request.getfixturevalue("small_limits")
    return str(request.param)


def raws(collection: Any) -> list[bytes]:
    """Return the bytes of all documents, sorted."""
    plain = collection.database.get_collection(collection.name, codec_options=RAW)
    return sorted(bytes(document.raw) for document in plain.find({}))


def field(bands: VersionedCollection, name: str, value: Any, id_: Any = 1) -> None:
    bands.update_one({"_id": id_}, {"$set": {name: value}})


def put_aside(bands: VersionedCollection) -> list[bytes]:
    """Stash an insert, two updates and a delete; return the documents before that."""
    field(bands, "since.month", Int64(5))
    field(bands, "name", "Blur again", 2)
    bands.delete_one({"_id": 3})
    bands.insert_one({"_id": "new", "at": {"x": 1.0}})
    changed = raws(bands)
    assert bands.stash(name="work")
    return changed


def names(bands: VersionedCollection) -> list[str | None]:
    return [one.name for one in bands.stashes()]


# -- the list ------------------------------------------------------------------------------


def test_a_stack(anydb, limits):
    bands = grown(anydb)
    clean, head = raws(bands), bands.resolve("HEAD")
    assert bands.stashes() == []
    edit(bands, "one")
    one = raws(bands)
    assert bands.stash()
    for mark_ in ("two", "three"):
        edit(bands, mark_)
        edit(bands, mark_, 2)
        assert bands.stash(name=mark_, message=f"says {mark_}")
    edit(bands, "four", 3)
    assert bands.stash(push=True)
    assert raws(bands) == clean
    assert names(bands) == [None, "three", "two", None]
    found = bands.stashes()
    assert [each.index for each in found] == [0, 1, 2, 3]
    assert [each.message for each in found] == [None, "says three", "says two", None]
    assert [each.documents for each in found] == [1, 2, 2, 1]
    assert {(each.head, each.branch) for each in found} == {(head.id, "main")}
    assert all(isinstance(each, Stash) for each in found)
    assert found[0].created >= found[3].created
    assert "three" in str(found[1])
    assert "says three" in str(found[1])
    assert bands.gc()["stashes"] == 0
    assert problems(bands) == []
    again = VersionedCollection(anydb, "bands", codec_options=CodecOptions(tz_aware=True))
    assert again.stashes()[0].created == found[0].created.replace(tzinfo=timezone.utc)
    assert again.stash_apply(3)
    assert raws(again) == one
    assert names(again) == [None, "three", "two"]
    assert again.discard_changes()
    assert again.stash_apply("two")
    assert (mark(again), names(again)) == ("two", [None, "three"])
    assert again.discard_changes()
    assert again.stash_apply()
    assert again.find_one({"_id": 3})["mark"] == "four"
    assert again.status()["has_stash"]
    assert again.stash_discard(0)
    assert not again.has_stash()
    assert again.stashes() == []
    assert raws(anydb["__stash_bands"]) == []
    assert problems(again) == []


def test_untracked(anydb):
    bands = VersionedCollection(anydb, "bands")
    assert bands.stashes() == []
    assert bands.stash(name="x") is False
    assert bands.stash_apply("x", merge=True) is False
    assert bands.stash_discard(0) is False
    assert anydb.list_collection_names() == []


def test_keep(anydb, limits):
    bands = tracked(anydb)
    changed = put_aside(bands)
    assert bands.stash_apply(drop=False)
    assert raws(bands) == changed
    assert names(bands) == ["work"]
    assert bands.discard_changes()
    assert bands.stash_apply("work", merge=True, drop=False)
    assert raws(bands) == changed
    assert bands.stash_apply("work", merge=True, drop=False), "agrees with itself"
    assert raws(bands) == changed
    assert names(bands) == ["work"]
    assert bands.gc()["stashes"] == 0
    assert problems(bands) == []


def test_overwrite_replaces_what_it_names(anydb):
    bands = tracked(anydb)
    for name in ("one", "two", "three"):
        edit(bands, name)
        bands.stash(name=name)
    edit(bands, "other two")
    assert bands.stash(overwrite=True, name="two")
    assert names(bands) == ["two", "three", "one"]
    edit(bands, "latest")
    assert bands.stash(True)
    assert names(bands) == [None, "three", "one"]
    edit(bands, "fresh")
    assert bands.stash(overwrite=True, name="fresh"), "nothing has that name"
    assert names(bands) == ["fresh", None, "three", "one"]
    found = {}
    for one in bands.stashes():
        assert bands.stash_apply(one)
        found[one.name] = mark(bands)
        bands.discard_changes()
    assert found == {"fresh": "fresh", None: "latest", "three": "three", "one": "one"}
    assert raws(anydb["__stash_bands"]) == []


def test_wrong_calls_change_nothing(anydb):
    bands = tracked(anydb)
    edit(bands, "one")
    bands.stash(name="one")
    edit(bands, "two")
    bands.status()
    gone = bands.stashes()[0]
    before = everything(anydb)
    wrong = [
        (errors.InvalidOperation, lambda: bands.stash()),
        (errors.InvalidOperation, lambda: bands.stash_apply("one")),
        (errors.InvalidArgument, lambda: bands.stash(name="one")),
        (errors.InvalidArgument, lambda: bands.stash(name="one", push=True)),
        (errors.InvalidArgument, lambda: bands.stash(True, push=True)),
        (errors.InvalidArgument, lambda: bands.stash(name="")),
        (errors.InvalidArgument, lambda: bands.stash(name="0")),
        (errors.InvalidArgument, lambda: bands.stash(name="a\0b")),
        (errors.InvalidArgument, lambda: bands.stash(name="\ud800")),
        (errors.InvalidArgument, lambda: bands.stash(push=True, message="\ud800")),
        (errors.InvalidArgument, lambda: bands.stash(push=True, message="x" * 2_000_000)),
        (errors.InvalidOperation, lambda: bands.stash(push=True, message="x" * 1_048_500)),
        (errors.InvalidType, lambda: bands.stash(name=5)),
        (errors.InvalidType, lambda: bands.stash(name="x", message=5)),
        (errors.InvalidArgument, lambda: bands.stash_apply("nope")),
        (errors.InvalidArgument, lambda: bands.stash_apply("nope", merge=True)),
        (errors.InvalidArgument, lambda: bands.stash_apply(1)),
        (errors.InvalidArgument, lambda: bands.stash_apply(-1)),
        (errors.InvalidType, lambda: bands.stash_apply(True)),
        (errors.InvalidType, lambda: bands.stash_apply(["one"])),
        (errors.InvalidType, lambda: bands.stash_apply(merge=True, policy="ours")),
        (errors.InvalidArgument, lambda: bands.stash_apply(resolver="ours")),
        (errors.InvalidArgument, lambda: bands.stash_apply(merge=True, resolver="nope")),
        (
            errors.InvalidArgument,
            lambda: bands.stash_apply(merge=True, resolver="ours", policy=MergePolicy()),
        ),
        (errors.InvalidArgument, lambda: bands.stash_discard("nope")),
        (errors.InvalidArgument, lambda: bands.stash_discard(7)),
        (errors.InvalidType, lambda: bands.stash_discard(1.0)),
    ]
    for number, (kind, call) in enumerate(wrong):
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind, number
        assert everything(anydb) == before, number
    assert bands.stash_discard(gone)
    with pytest.raises(errors.InvalidArgument, match="one"):
        bands.stash_apply(gone, merge=True)


def test_a_stash_of_before_there_were_several(anydb):
    bands = tracked(anydb)
    changed = put_aside(bands)
    metadata = anydb["__metadata_bands"]
    (header,) = metadata.find_one({"_id": "working_copy"})["stashes"]
    old = {name: header[name] for name in ("id", "head", "created", "digest")}
    metadata.update_one(
        {"_id": "working_copy"}, {"$set": {"stash": old}, "$unset": {"stashes": 1}}
    )
    assert bands.has_stash()
    (found,) = bands.stashes()
    assert (found.name, found.branch, found.documents) == (None, None, 4)
    assert str(found)
    assert problems(bands) == []
    edit(bands, "second")
    bands.stash(push=True)
    assert [one.id for one in bands.stashes()][1] == old["id"]
    assert bands.gc()["stashes"] == 0
    assert bands.stash_apply(1)
    assert raws(bands) == changed
    assert len(bands.stashes()) == 1


def test_verify_checks_each(anydb):
    bands = tracked(anydb)
    for name in ("one", "two"):
        edit(bands, name)
        bands.stash(name=name)
    one = bands.stashes()[1]
    anydb["__stash_bands"].delete_many({"version": one.id})
    (problem,) = bands.verify()
    assert (problem.kind, problem.facts) == ("stash", {"stash": one.id})


def test_a_subtree_goes_and_the_stashes_stay(anydb, limits):
    bands = grown(anydb)
    bands.checkout(branch="side")
    put_aside(bands)
    edit(bands, "second")
    bands.stash(name="second")
    assert bands.delete_version_subtree(0, "side")
    assert names(bands) == ["second", "work"]
    assert bands.stash_apply("work", merge=True, resolver="latest")
    assert bands.find_one({"_id": 1})["since"] == {"year": 1978, "month": 5}
    assert bands.find_one({"_id": 3}) is None
    assert names(bands) == ["second"]
    assert problems(bands) == []


# -- with a merge --------------------------------------------------------------------------


def test_ids_that_the_collation_takes_for_one(anydb, limits):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": letter} for letter in "abcd"])
    bands.init()
    bands.delete_many({"_id": {"$in": list("abc")}})
    bands.insert_many([{"_id": letter} for letter in "ABC"])
    bands.stash()
    bands.update_one({"_id": "b"}, {"$set": {"n": 1}})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    found = {(one.document_id, one.kind) for one in bands.conflicts()}
    assert found == {("b", "deleted_by_them"), ("B", "both_added")}
    assert sorted(bands.distinct("_id")) == ["A", "C", "b", "d"]
    bands.resolve_conflicts(resolver="theirs")
    assert sorted(bands.distinct("_id")) == ["A", "B", "C", "d"]
    assert problems(bands) == []


def test_elements_at_odds_leave_their_list(anydb, limits):
    bands = tracked(anydb)
    field(bands, "members", [1, 2, 3])
    bands.register("members")
    field(bands, "members", [11, 12, 3])
    bands.stash()
    field(bands, "members", [21, 22, 3])
    changed = raws(bands)
    for again in (True, False):
        with pytest.raises(errors.AutoMergeFailedError):
            bands.stash_apply(merge=True)
        first, second = bands.conflicts()
        bands.resolve_conflict(first, MISSING)
        if again:
            assert bands.abort_merge()
            assert raws(bands) == changed
    bands.resolve_conflict(second, Side.THEIRS)
    assert bands.find_one({"_id": 1})["members"] == [12, 3]
    assert not bands.has_stash()
    assert problems(bands) == []


def test_merged_into_a_later_version(anydb, limits):
    bands = tracked(anydb)
    put_aside(bands)
    field(bands, "since.day", 7)
    field(bands, "members", [], 2)
    bands.insert_one({"_id": "also"})
    assert bands.register("went on")
    assert bands.stash_apply(merge=True)
    assert not bands.has_stash()
    assert raws(anydb["__stash_bands"]) == []
    documents = {one["_id"]: one for one in bands.find()}
    assert documents.keys() == {1, 2, "new", "also"}
    assert documents[1]["since"] == {"year": 1978, "day": 7, "month": 5}
    assert documents[2] == {"_id": 2, "name": "Blur again", "members": [], "since": {"year": 1988}}
    assert bands.status()["changes"] == {"inserted": 1, "updated": 2, "deleted": 1}
    assert not bands.has_conflicts()
    assert not bands.status()["merging"]
    assert problems(bands) == []
    assert bands.register("with the stash")
    assert problems(bands) == []


def test_merged_over_uncommitted_changes(anydb, limits):
    bands = tracked(anydb)
    changed = put_aside(bands)
    assert bands.stash_apply(merge=True)
    assert raws(bands) == changed, "without other changes it is what it was"
    assert bands.stash(name="again")
    field(bands, "since.day", 7)
    bands.insert_one({"_id": "also"})
    assert bands.stash_apply("again", merge=True)
    assert bands.find_one({"_id": 1})["since"] == {"year": 1978, "day": 7, "month": Int64(5)}
    assert bands.count_documents({}) == 4
    assert bands.status()["changes"] == {"inserted": 2, "updated": 2, "deleted": 1}
    assert problems(bands) == []


def clash(bands: VersionedCollection) -> list[bytes]:
    """Apply a stash to documents at odds with it; return what they were before."""
    put_aside(bands)
    field(bands, "since.month", "June")
    field(bands, "mine", True)
    field(bands, "name", "Suede again", 3)
    bands.insert_one({"_id": "also"})
    before = raws(bands)
    with pytest.raises(errors.AutoMergeFailedError, match="2 conflicts") as caught:
        bands.stash_apply(merge=True)
    assert caught.value.conflicts == 2
    return before


def test_conflicts(anydb, limits):
    bands = tracked(anydb)
    clash(bands)
    assert bands.has_conflicts()
    found = {one.path: one for one in bands.conflicts()}
    assert found.keys() == {("since", "month"), ()}
    month = found["since", "month"]
    assert (month.kind, month.base, month.ours, month.theirs) == ("both_added", MISSING, "June", 5)
    assert (found[()].document_id, found[()].kind) == (3, "deleted_by_them")
    documents = {one["_id"]: one for one in bands.find()}
    assert documents.keys() == {1, 2, 3, "new", "also"}
    assert documents[1]["since"]["month"] == "June"
    assert documents[2]["name"] == "Blur again"
    assert names(bands) == ["work"]
    assert set(bands.gc().values()) == {0}
    assert problems(bands) == []
    before = everything(anydb)
    for verb in (
        lambda: bands.register("too early"),
        lambda: bands.stash(push=True),
        lambda: bands.stash_apply(merge=True),
        lambda: bands.stash_discard(),
        lambda: bands.discard_changes(),
    ):
        with pytest.raises(errors.InvalidOperation):
            verb()
    assert everything(anydb) == before
    again = VersionedCollection(anydb, "bands")
    again.resolve_conflict(month, Side.THEIRS)
    assert again.status()["merging"]
    assert names(again) == ["work"]
    again.resolve_conflict(found[()].id, MISSING)
    assert not again.has_conflicts()
    assert not again.status()["merging"]
    assert again.stashes() == []
    assert raws(anydb["__stash_bands"]) == []
    assert again.find_one({"_id": 1})["since"]["month"] == 5
    assert again.find_one({"_id": 3}) is None
    assert again.abort_merge() is False
    assert problems(again) == []
    assert again.register("settled")
    assert len(again.resolve("HEAD").parents) == 1
    assert problems(again) == []


def test_abort_is_exact(anydb, limits):
    bands = tracked(anydb)
    before = clash(bands)
    assert bands.abort_merge() is True
    assert raws(bands) == before
    assert (bands.has_conflicts(), bands.status()["merging"]) == (False, False)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 2, "deleted": 0}
    assert names(bands) == ["work"]
    assert problems(bands) == []
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    bands.resolve_conflict(next(bands.conflicts()), "a decision")
    bands.insert_one({"_id": "later"})
    assert bands.abort_merge()
    assert raws(bands) == sorted([*before, bson.encode({"_id": "later"})]), "others stay"
    assert bands.stash_discard()
    assert set(bands.gc().values()) == {0}
    assert problems(bands) == []
    assert bands.discard_changes()
    assert not bands.has_changes()


@pytest.mark.parametrize("rule", ["ours", "theirs", None])
def test_settled_in_bulk(anydb, limits, rule):
    bands = tracked(anydb)
    clash(bands)
    if rule is None:
        assert bands.resolve_conflicts()
    else:
        assert bands.resolve_conflicts(resolver=rule)
    assert bands.find_one({"_id": 1})["since"]["month"] == (5 if rule == "theirs" else "June")
    assert bands.find_one({"_id": 1})["mine"] is True
    assert not bands.status()["merging"]
    assert not bands.has_stash()
    assert problems(bands) == []
    assert bands.register("done")


def test_kept_after_conflicts_where_asked(anydb):
    bands = tracked(anydb)
    put_aside(bands)
    field(bands, "since.month", "June")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply("work", merge=True, drop=False)
    assert bands.resolve_conflicts(resolver="theirs")
    assert names(bands) == ["work"]
    assert bands.gc()["stashes"] == 0
    assert problems(bands) == []


def test_resolvers(anydb, limits):
    bands = tracked(anydb)
    put_aside(bands)
    field(bands, "since.month", "June")
    assert bands.stash_apply(merge=True, resolver="latest"), "changed after stashing"
    assert bands.find_one({"_id": 1})["since"]["month"] == "June"
    assert not bands.has_stash()
    bands.register("went on")
    step(bands, "stashed")
    edit(bands, "again")
    bands.stash()
    field(bands, "mark", "other")
    policy = MergePolicy({"mark": lambda conflict, context: Side.THEIRS})
    assert bands.stash_apply(merge=True, policy=policy)
    assert mark(bands) == "again"


def test_latest_settles_later_too(anydb):
    bands = tracked(anydb)
    clash(bands)
    assert bands.resolve_conflicts(resolver="latest")
    assert bands.find_one({"_id": 1})["since"]["month"] == "June"


def test_nothing_left_to_bring_back(anydb, limits):
    bands = tracked(anydb)
    edit(bands, "same")
    bands.stash()
    step(bands, "same")
    assert bands.stash_apply(merge=True)
    assert not bands.has_stash()
    assert not bands.has_changes()
    assert problems(bands) == []


def test_on_a_detached_head(anydb):
    bands = grown(anydb)
    edit(bands, "side", 2)
    bands.stash()
    bands.checkout(0)
    assert bands.stash_apply(merge=True)
    assert bands.find_one({"_id": 2})["mark"] == "side"
    assert bands.is_detached()


def test_refused_by_an_index(anydb, limits):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": i, "rank": i} for i in range(6)])
    bands.init()
    bands.update_many({}, {"$set": {"stashed": True}})
    bands.update_one({"_id": 5}, {"$set": {"rank": 0}})
    bands.stash()
    field(bands, "mine", 1, 0)
    bands.create_index("rank", unique=True)
    before = raws(bands)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.stash_apply(merge=True)
    assert raws(bands) == before
    assert len(bands.stashes()) == 1
    assert bands.gc()["stashes"] == 0
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}
    assert problems(bands) == []
    bands.drop_index("rank_1")
    assert bands.stash_apply(merge=True)
    assert bands.find_one({"_id": 0}) == {"_id": 0, "rank": 0, "mine": 1, "stashed": True}
    assert bands.find_one({"_id": 5})["rank"] == 0


def test_swapped_unique_values(anydb, limits):
    bands = VersionedCollection(anydb, "bands")
    bands.create_index("rank", unique=True)
    bands.insert_many([{"_id": i, "rank": i} for i in range(5)])
    bands.init()
    bands.delete_many({})
    bands.insert_many([{"_id": i, "rank": 4 - i} for i in range(5)])
    bands.stash()
    field(bands, "mine", 1, 0)
    assert bands.stash_apply(merge=True)
    assert [one["rank"] for one in bands.find(sort=[("_id", 1)])] == [4, 3, 2, 1, 0]
    assert bands.find_one({"_id": 0})["mine"] == 1
    assert problems(bands) == []


def test_ids_that_the_server_takes_for_one(anydb, limits):
    bands = tracked(anydb)
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": 1.0, "stashed": True})
    changed = raws(bands)
    bands.stash()
    assert bands.stash_apply(merge=True)
    assert raws(bands) == changed
    bands.stash()
    edit(bands, "mine")
    before = raws(bands)
    with pytest.raises(errors.AutoMergeFailedError) as caught:
        bands.stash_apply(merge=True)
    assert caught.value.conflicts == 2
    assert raws(bands) == before
    assert bands.abort_merge()
    assert raws(bands) == before
    assert bands.has_stash()
    assert problems(bands) == []


def test_exact_bytes(anydb, limits):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1, "z": -0.0, "a": Int64(1)}, {"_id": 2, "big": "a" * 9_000_000}])
    bands.init()
    bands.update_one({"_id": 1}, {"$set": {"b": 1.0}})
    bands.update_one({"_id": 2}, {"$set": {"big": "b" * 9_000_000}})
    changed = raws(bands)
    bands.stash()
    bands.update_one({"_id": 1}, {"$set": {"a": 1}})
    bands.update_one({"_id": 2}, {"$set": {"c": 1}})
    before = raws(bands)
    assert bands.stash_apply(merge=True, drop=False)
    assert raws(bands) == sorted(
        [
            bson.encode({"_id": 1, "z": -0.0, "a": 1, "b": 1.0}),
            bson.encode({"_id": 2, "big": "b" * 9_000_000, "c": 1}),
        ]
    )
    bands.discard_changes()
    assert bands.stash_apply(merge=True, drop=False)
    assert raws(bands) == changed
    bands.discard_changes()
    bands.update_one({"_id": 1}, {"$set": {"a": 1}})
    bands.update_one({"_id": 2}, {"$set": {"c": 1}})
    bands.update_one({"_id": 1}, {"$set": {"b": Int64(1)}})
    before = raws(bands)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    assert bands.abort_merge()
    assert raws(bands) == before
    assert problems(bands) == []


def test_exact_bytes_of_what_was_decided_and_taken_back(anydb, limits):
    """Notes of decisions stand beside documents that no decoder, or no update, would keep."""
    odd = build(
        b"\x03a\0" + build(b"\x10$x\0\1\0\0\0", b"\x06u\0", b"\x11t\0" + bytes(8)),
        b"\x03b\0" + build(b"\x10x\0\1\0\0\0", b"\x10x\0\2\0\0\0"),
        b"\x02c\0\2\0\0\0\xff\0",
    )
    bands = VersionedCollection(anydb, "bands")
    ids = [1, 1.5, "1", {"a": 1}, bson.Timestamp(1, 1), bson.MinKey(), True]
    start = [build(bson.encode({"_id": id_, "n": 0})[4:-1], odd[4:-1]) for id_ in ids]
    anydb["bands"].insert_many([RawBSONDocument(raw) for raw in start])
    bands.init()
    bands.update_many({}, {"$set": {"n": "stashed"}})
    bands.stash()
    bands.update_many({}, {"$set": {"n": "mine"}})
    before = raws(bands)
    with pytest.raises(errors.AutoMergeFailedError, match="7 conflicts"):
        bands.stash_apply(merge=True)
    first = next(bands.conflicts())

    def rule(conflict: Any, context: Any) -> Any:
        return UNRESOLVED if conflict.document_id == first.document_id else Side.THEIRS

    assert not bands.resolve_conflicts(resolver=rule)
    assert raws(bands) != before
    assert problems(bands) == []
    assert bands.abort_merge()
    assert raws(bands) == before
    assert problems(bands) == []


@pytest.mark.sweep
def test_many(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": n, "n": n} for n in range(10_500)])
    bands.init()
    bands.update_many({}, {"$set": {"stashed": 1}})
    bands.stash()
    bands.update_many({"_id": {"$gte": 10_300}}, {"$set": {"stashed": 2, "mine": 1}})
    before = raws(bands)
    with pytest.raises(errors.AutoMergeFailedError, match="200 conflicts"):
        bands.stash_apply(merge=True)
    assert bands.count_documents({"stashed": 1, "mine": {"$exists": False}}) == 10_300
    assert bands.abort_merge()
    assert raws(bands) == before
    assert bands.stash_apply(merge=True, resolver="theirs")
    assert bands.count_documents({"stashed": 1}) == 10_500
    assert bands.count_documents({"mine": 1}) == 200
    assert not bands.has_stash()


# -- while others write --------------------------------------------------------------------


def numbered(db: Any) -> VersionedCollection:
    """Return a collection with changes of eight documents stashed."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": n, "n": n} for n in range(8)])
    bands.init()
    bands.update_many({}, {"$set": {"n": "stashed"}})
    bands.stash()
    return bands


@pytest.mark.blocking
def test_a_change_while_many_are_written_keeps_the_stash(anydb, small_limits):
    bands = numbered(anydb)
    other = anydb["bands"] if bands.capture_mode == "change_stream" else bands

    def disturb(phase: str, count: int) -> None:
        if not other.find_one({"_id": 7, "n": "theirs"}):
            other.update_one({"_id": 7}, {"$set": {"n": "theirs"}})

    assert bands.stash_apply(merge=True, progress=disturb)
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == ["stashed"] * 7 + ["theirs"]
    assert bands.has_stash(), "one of its changes is nowhere else"
    assert bands.status()["changes"]["updated"] == 8
    assert bands.gc()["stashes"] == 0
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    (conflict,) = bands.conflicts()
    assert (conflict.document_id, conflict.path) == (7, ("n",))
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.count_documents({"n": "stashed"}) == 8
    assert not bands.has_stash()
    assert problems(bands) == []


@pytest.mark.blocking
def test_a_change_while_many_are_overwritten_keeps_the_stash(anydb, small_limits):
    bands = numbered(anydb)
    other = anydb["bands"] if bands.capture_mode == "change_stream" else bands

    def disturb(phase: str, count: int) -> None:
        if not other.find_one({"_id": 7, "n": "theirs"}):
            other.update_one({"_id": 7}, {"$set": {"n": "theirs"}})

    assert bands.stash_apply(progress=disturb)
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == ["stashed"] * 7 + ["theirs"]
    assert bands.status()["changes"]["updated"] == 8
    assert bands.gc()["stashes"] == 0
    assert bands.discard_changes()
    assert bands.stash_apply(), "it was kept, as one of its changes was nowhere else"
    assert bands.count_documents({"n": "stashed"}) == 8
    assert not bands.has_stash()
    assert problems(bands) == []


def writing_before_carried_out(
    db: Any, monkeypatch: pytest.MonkeyPatch, changes: Iterable[Any]
) -> None:
    """Have another client change a document after each look, as long as there are changes."""
    carry_out, left = Committer.carry_out, iter(changes)

    def late(self: Committer, *args: Any, **options: Any) -> None:
        change = next(left, None)
        if change is not None:
            db["bands"].update_one({"_id": 3}, change)
        carry_out(self, *args, **options)

    monkeypatch.setattr(Committer, "carry_out", late)


@pytest.mark.parametrize("times", [1, 2])
def test_a_change_before_few_are_stashed_is_stashed_too(db, monkeypatch, times):
    bands = numbered(db)
    bands.stash_discard()
    clean = raws(bands)
    bands.update_many({}, {"$inc": {"n": -5}})
    writing_before_carried_out(db, monkeypatch, [{"$inc": {"n": -1}}] * times)
    assert bands.stash()
    assert (raws(bands), bands.has_changes()) == (clean, False)
    assert bands.stashes()[0].documents == 8
    assert problems(bands) == []
    assert bands.stash_apply(merge=True, policy=MergePolicy({"n": "sum_of_changes"}))
    wanted = [n - 5 - (times if n == 3 else 0) for n in range(8)]
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == wanted


def test_changes_before_few_are_stashed_all_the_time_stop_it(db, monkeypatch):
    bands = numbered(db)
    bands.update_many({}, {"$inc": {"n": -5}})
    stashes, stored = bands.stashes(), db["__stash_bands"].count_documents({})
    with monkeypatch.context() as patch:
        writing_before_carried_out(db, patch, itertools.repeat({"$inc": {"n": -1}}))
        with pytest.raises(errors.WorkingCopyChanged, match=r"_id 3.*Try again") as caught:
            bands.stash(push=True)
    assert caught.value.document_id == 3
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == [-5, -4, -3, -5, -1, 0, 1, 2]
    assert (bands.stashes(), db["__stash_bands"].count_documents({})) == (stashes, stored)
    assert bands.status()["changes"]["updated"] == 8
    assert problems(bands) == []
    assert bands.stash(push=True)


@pytest.mark.blocking
def test_a_change_while_many_are_stashed_stays_in_one_place(anydb, small_limits, monkeypatch):
    bands = numbered(anydb)
    bands.stash_discard()
    bands.update_many({}, {"$inc": {"n": -5}})
    writing_before_carried_out(anydb, monkeypatch, [{"$inc": {"n": -1}}])
    assert bands.stash()
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == [0, 1, 2, -3, 4, 5, 6, 7]
    assert {one.document_id for one in bands.changes()} == {3}
    assert bands.stashes()[0].documents == 7
    assert problems(bands) == []
    assert bands.stash_apply(merge=True, policy=MergePolicy({"n": "sum_of_changes"}))
    wanted = [n - 5 - (n == 3) for n in range(8)]
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == wanted
    assert problems(bands) == []


@pytest.mark.blocking
def test_a_change_after_some_of_many_were_stashed_leaves_them_there(db, small_limits, monkeypatch):
    """Also where whoever stashed died: the next client does not take it for one that stayed."""
    bands = numbered(db)
    bands.stash_discard()
    bands.update_many({}, {"$inc": {"n": -5}})
    finish = Steps._finish

    def die(self: Steps, commit: Any) -> None:
        monkeypatch.setattr(Steps, "_finish", finish)
        raise LeaseLost("dead")

    monkeypatch.setattr(Steps, "_finish", die)
    with pytest.raises(LeaseLost):
        bands.stash()
    db["bands"].update_one({"_id": 3}, {"$inc": {"n": -1}})
    assert bands.has_changes()
    assert bands.stashes()[0].documents == 8
    assert bands.stash_apply(merge=True, policy=MergePolicy({"n": "sum_of_changes"}))
    wanted = [n - 5 - (n == 3) for n in range(8)]
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == wanted
    assert problems(bands) == []


def test_what_is_taken_back_before_it_is_stashed_is_nothing_to_stash(db, monkeypatch):
    bands = numbered(db)
    bands.stash_discard()
    field(bands, "n", "mine", 3)
    look_again = WorkingCopy.look_again

    def late(self: WorkingCopy) -> None:
        db["bands"].update_one({"_id": 3}, {"$set": {"n": 3}})
        look_again(self)

    monkeypatch.setattr(WorkingCopy, "look_again", late)
    writing_before_carried_out(db, monkeypatch, [{"$set": {"n": "theirs"}}])
    assert bands.stash() is False
    assert (bands.stashes(), db["__stash_bands"].count_documents({})) == ([], 0)
    assert not bands.has_changes()


@pytest.mark.parametrize("theirs", [{"$set": {"n": "theirs"}}, None])
def test_a_change_before_few_are_overwritten_stops_it(db, monkeypatch, theirs):
    bands = numbered(db)
    bring_back = Committer.bring_back

    def late(self: Committer, *args: Any) -> None:
        if theirs is None:
            db["bands"].delete_one({"_id": 3})
        else:
            db["bands"].update_one({"_id": 3}, theirs)
        bring_back(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Committer, "bring_back", late)
        with pytest.raises(errors.WorkingCopyChanged):
            bands.stash_apply()
    left = [] if theirs is None else ["theirs"]
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == [0, 1, 2, *left, 4, 5, 6, 7]
    assert bands.has_stash()
    assert {one.document_id for one in bands.changes()} == {3}
    assert problems(bands) == []


def test_a_change_while_few_are_written_stops_it(db):
    bands = numbered(db)
    field(bands, "n", "mine", 3)

    def disturb(conflict: Any, context: Any) -> Any:
        db["bands"].update_one({"_id": 3}, {"$set": {"n": "other"}})
        return Side.THEIRS

    with pytest.raises(errors.WorkingCopyChanged):
        bands.stash_apply(merge=True, resolver=disturb)
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == [0, 1, 2, "other", 4, 5, 6, 7]
    assert len(bands.stashes()) == 1
    assert bands.gc()["stashes"] == 0
    assert problems(bands) == []


def test_a_resolver_that_fails_changes_nothing(anydb):
    bands = numbered(anydb)
    field(bands, "n", "mine", 3)
    before = raws(bands)

    def fail(conflict: Any, context: Any) -> Any:
        raise RuntimeError("no idea")

    with pytest.raises(errors.ResolverFailed):
        bands.stash_apply(merge=True, resolver=fail)
    assert raws(bands) == before
    assert len(bands.stashes()) == 1
    assert bands.gc()["stashes"] == 0
    assert not bands.has_conflicts()
    assert problems(bands) == []


def test_decisions_that_an_index_refuses_turn_back(anydb, limits):
    bands = numbered(anydb)
    bands.create_index("n", unique=True)
    bands.update_many({"_id": {"$lt": 3}}, [{"$set": {"n": {"$add": ["$_id", 100]}}}])
    bands.stash_discard()
    bands.stash()
    bands.update_many({"_id": {"$lt": 3}}, [{"$set": {"n": {"$add": ["$_id", 200]}}}])
    with pytest.raises(errors.AutoMergeFailedError, match="3 conflicts"):
        bands.stash_apply(merge=True)
    before = raws(bands)
    with pytest.raises(errors.DocumentRejected, match="n_1"):
        bands.resolve_conflicts(resolver=lambda conflict, context: 5)  # as another has
    assert raws(bands) == before
    assert len(list(bands.conflicts())) == 3
    assert len(bands.stashes()) == 1
    assert bands.gc()["stashes"] == 0
    assert problems(bands) == []
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.distinct("n", {"_id": {"$lt": 3}}) == [100, 101, 102]
    assert not bands.has_stash()
