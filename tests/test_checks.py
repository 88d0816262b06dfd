"""Checks that a state must pass before it becomes a version."""

from __future__ import annotations

import pytest
from api_support import BANDS, edit, everything, problems, raws, tracked
from bson import Int64

from versioned_collection import Only, VersionedCollection
from versioned_collection.errors import (
    AutoMergeFailedError,
    CheckFailed,
    CollectionNotTracked,
    InvalidArgument,
    InvalidOperation,
    InvalidType,
)

BAD = [{"$match": {"mark": "bad"}}]


def guarded(db, check=BAD, **options):
    bands = tracked(db, **options)
    bands.add_check("no bad marks", check, message="marks are good")
    return bands


def no_bad_marks(state):
    return [one["_id"] for one in state.find({"mark": "bad"})]


def documents_with_bad_marks(state):
    return list(state.aggregate(BAD))


def raising(state):
    assert state.count_documents({"mark": "bad"}) == 0


UNCHANGED = ("replica", "deltas", "log", "branches", "operations")
CHECKS = [BAD, no_bad_marks, documents_with_bad_marks, raising]


@pytest.mark.parametrize("check", CHECKS)
def test_register(anydb, check):
    bands = guarded(anydb, check)
    edit(bands, "bad", 1)
    edit(bands, "good", 2)
    before = raws(bands)
    with pytest.raises(
        CheckFailed, match=r"(?s)no bad marks.*marks are good.*as before"
    ) as caught:
        bands.register("bad")
    assert caught.value.check == "no bad marks"
    assert caught.value.documents == ([] if check is raising else [1])
    assert isinstance(caught.value, InvalidOperation)
    assert (bands.version, raws(bands)) == (0, before)
    assert bands.status()["changes"]["updated"] == 2
    assert anydb["__deltas_bands"].count_documents({}) == 0
    edit(bands, "good", 1)
    assert bands.register("good") is True
    assert problems(bands) == []


def test_stored_checks_hold_for_all_clients(anydb):
    guarded(anydb)
    other = VersionedCollection(anydb, "bands")
    edit(other, "bad")
    with pytest.raises(CheckFailed):
        other.register("bad")
    assert other.checks() == {"no bad marks": BAD}
    assert other.delete_check("no bad marks") is True
    assert other.delete_check("no bad marks") is False
    assert other.register("bad") is True


def test_functions_are_kept_on_one_object(anydb):
    bands = guarded(anydb, no_bad_marks)
    edit(bands, "bad")
    assert bands.checks() == {"no bad marks": no_bad_marks}
    assert bands.with_options().checks() == bands.checks()
    other = VersionedCollection(anydb, "bands")
    assert other.checks() == {}
    assert other.register("bad") is True
    assert bands.rename("groups").checks() == {"no bad marks": no_bad_marks}


def test_nothing_to_register_is_not_checked(anydb):
    bands = tracked(anydb)
    bands.add_check("never", [])
    assert bands.register("nothing") is False


def test_at_most_100_documents_are_named(db):
    bands = guarded(db)
    bands.insert_many([{"_id": n, "mark": "bad"} for n in range(100, 300)])
    for check in (BAD, no_bad_marks):
        bands.delete_check("no bad marks")
        bands.add_check("no bad marks", check)
        with pytest.raises(CheckFailed, match="100 or more") as caught:
            bands.register("bad")
        assert len(caught.value.documents) == 100


def test_what_has_no_id_is_named_as_it_is(db):
    bands = guarded(db, [{"$group": {"_id": "$mark", "n": {"$sum": 1}}}, {"$project": {"_id": 0}}])
    edit(bands, 1)
    with pytest.raises(CheckFailed) as caught:
        bands.register("x")
    assert sorted(one["n"] for one in caught.value.documents) == [1, 2]


def test_pipelines_are_kept_exactly(anydb):
    bands = tracked(anydb)
    pipeline = [
        {"$match": {"since.year": {"$lt": Int64(0)}, "a": 1.0, "$or": [{"b": None}]}},
        {"$project": {"z": 1, "a": {"$literal": {"$x.y": 1}}}},
    ]
    bands.add_check("years", pipeline)
    found = bands.checks()["years"]
    assert repr(found) == repr(pipeline)


def test_the_state_that_is_recorded_is_checked(db):
    bands = tracked(db)
    plain = db["bands"]

    def meddling(state):
        plain.update_one({"_id": 2}, {"$set": {"mark": "bad"}})
        return no_bad_marks(state)

    bands.add_check("meddling", meddling)
    edit(bands, "good")
    assert bands.register("good") is True
    assert [change.document_id for change in bands.changes()] == [2]
    assert bands.find_one({"_id": 2})["mark"] == "bad"
    with pytest.raises(CheckFailed):
        bands.register("bad")


def test_the_view(db):
    bands = tracked(db)
    seen = []

    def look(state):
        seen.append(
            (
                list(state.find()),
                list(state.find({"_id": {"$gt": 1}}, {"name": 1}, sort={"_id": -1}, limit=1)),
                list(state.find(sort={"_id": 1}, skip=2)),
                state.find_one({"_id": 2}),
                state.find_one({"_id": "none"}),
                state.count_documents(),
                state.count_documents({"_id": "none"}),
            )
        )
        for stage in ({"$out": "x"}, {"$merge": "x"}):
            with pytest.raises(InvalidArgument):
                list(state.aggregate([stage]))

    bands.add_check("look", look)
    bands.insert_one({"_id": 4})
    bands.register("x")
    everything_ = [*BANDS, {"_id": 4}]
    third = {"_id": 4}
    assert seen[0] == (
        everything_, [third], [BANDS[2], third], BANDS[1], None, 4, 0,
    )  # fmt: skip


# -- registering parts -------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("limits", ["small", "usual"])
def test_parts_are_checked_as_the_version_will_be(anydb, check, limits, request):
    if limits == "small":
        request.getfixturevalue("small_limits")
    bands = guarded(anydb, check)
    bands.insert_many([{"_id": n} for n in range(10, 14)])
    edit(bands, "bad", 1)
    edit(bands, "good", 2)
    with pytest.raises(CheckFailed):
        bands.register("bad", only=[1, 10, 11, 12, 13])
    assert (bands.version, problems(bands)) == (0, [])
    assert bands.status()["changes"] == {"inserted": 4, "updated": 2, "deleted": 0}
    assert anydb["__replica_bands"].count_documents({}) == 3
    assert bands.register("good", only=[2, 10, 11, 12, 13]) is True
    with pytest.raises(CheckFailed):
        bands.register("bad", only=Only(fields=["mark"]))
    edit(bands, "good", 1)
    assert bands.register("rest") is True
    assert problems(bands) == []


# -- merging -----------------------------------------------------------------------------


def two_branches(db, check, side="bad"):
    """Return main and side, where merging side makes a bad mark."""
    bands = tracked(db)
    bands.create_branch("side")
    bands.update_many({"_id": {"$in": [1, 2, 3]}}, {"$set": {"half": 1}})
    bands.insert_many([{"_id": n} for n in range(10, 14)])
    edit(bands, side, 3)
    bands.register("side")
    bands.checkout("main")
    edit(bands, "main", 1)
    bands.register("main")
    bands.add_check("no bad marks", check)
    return bands


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("limits", ["small", "usual"])
def test_merges(anydb, check, limits, request):
    bands = two_branches(anydb, check)
    if limits == "small":
        request.getfixturevalue("small_limits")
    head, before = bands.resolve("HEAD"), everything(anydb)
    for verb in (bands.merge, bands.cherry_pick):
        with pytest.raises(CheckFailed) as caught:
            verb("side")
        assert caught.value.documents in ([3], [])
        assert bands.resolve("HEAD") == head
        assert not bands.has_changes()
        assert problems(bands) == []
        left = everything(anydb)
        for name in ("bands", *(f"__{one}_bands" for one in UNCHANGED)):
            assert left[name] == before[name]
    assert bands.delete_check("no bad marks")
    assert bands.merge("side").parents[0] == head.id
    assert problems(bands) == []


def test_fast_forward_and_revert(anydb):
    bands = tracked(anydb)
    edit(bands, "bad")
    bands.register("bad")
    edit(bands, "good")
    bands.register("good")
    bands.checkout(0)
    bands.create_branch("behind")
    bands.add_check("no bad marks", BAD)
    with pytest.raises(CheckFailed):
        bands.merge(bands.resolve("main~1").id)
    assert bands.merge("main").label == "main@2"
    with pytest.raises(CheckFailed):
        bands.revert("HEAD")
    assert not bands.has_changes()
    assert problems(bands) == []


def test_register_of_a_merge(anydb):
    bands = two_branches(anydb, BAD, side="side")
    edit(bands, "also main", 3)
    bands.register("at odds")
    with pytest.raises(AutoMergeFailedError):
        bands.merge("side")
    bands.resolve_conflicts(resolver="theirs")
    edit(bands, "bad", 2)
    with pytest.raises(CheckFailed):
        bands.register()
    assert bands.status()["merging"]
    edit(bands, "good", 2)
    assert bands.register() is True
    assert problems(bands) == []


# -- wrong checks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check", [None, 1, "x", {"$match": {}}, ["x"], [[]], {"$match"}, b"x"]
)  # fmt: skip
def test_what_is_no_check(db, check):
    bands = tracked(db)
    with pytest.raises(InvalidType):
        bands.add_check("x", check)
    assert bands.checks() == {}


@pytest.mark.parametrize(
    "check",
    [
        [{"$out": "x"}],
        [{"$match": {}}, {"$merge": {"into": "x"}}],
        [{"$changeStream": {}}],
        [{"$nonsense": 1}],
        [{"$match": {"$nonsense": 1}}],
        [{"$match": {"x": {1, 2}}}],
        [{}],
    ],
)
def test_checks_that_cannot_be(anydb, check):
    bands = tracked(anydb)
    with pytest.raises(InvalidArgument):
        bands.add_check("x", check)
    assert bands.checks() == {}


def test_names(db):
    bands = guarded(db)
    for check in (BAD, no_bad_marks):
        with pytest.raises(InvalidArgument, match="already"):
            bands.add_check("no bad marks", check)
    for name in ("", "\ud800"):
        with pytest.raises(InvalidArgument):
            bands.add_check(name, BAD)
    for wrong in ({"name": 1}, {"name": "x", "message": 1}):
        with pytest.raises(InvalidType):
            bands.add_check(check=BAD, **wrong)
    assert bands.delete_check("unknown") is False


@pytest.mark.parametrize("returned", [True, 1, "x", b"x", {"_id": 1}])
def test_functions_that_return_something_else_fail(db, returned):
    bands = guarded(db, lambda state: returned)
    edit(bands, 1)
    with pytest.raises(CheckFailed, match="returned"):
        bands.register("x")


def test_pipelines_that_fail(db):
    bands = guarded(db, [{"$project": {"x": {"$divide": ["$since.year", "$zero"]}}}])
    bands.update_one({"_id": 1}, {"$set": {"zero": 0}})
    with pytest.raises(CheckFailed, match="cannot run"):
        bands.register("x")


def test_untracked(db):
    bands = VersionedCollection(db, "bands")
    with pytest.raises(CollectionNotTracked):
        bands.add_check("x", BAD)
    assert bands.checks() == {}
    assert bands.delete_check("x") is False
    assert db.list_collection_names() == []
