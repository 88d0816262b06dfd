"""merge: histories that meet again, and conflicts that wait for decisions."""

from __future__ import annotations

import contextlib
import threading
from itertools import count
from typing import Any

import pytest
from api_support import everything, problems, raws
from bson.int64 import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from versioned_collection import (
    MISSING,
    UNRESOLVED,
    MergePolicy,
    Side,
    VersionedCollection,
    errors,
)

BASE = [{"_id": i, "n": i, "at": {"x": 0, "y": 0}, "tags": ["a", "b", "c"]} for i in range(1, 7)]


@pytest.fixture
def bands(anydb) -> VersionedCollection:
    """Six documents at main@0."""
    return started(anydb)


def started(db: Any, name: str = "bands", **options: Any) -> VersionedCollection:
    collection = VersionedCollection(db, name, **options)
    collection.insert_many([dict(one) for one in BASE])
    collection.init("base")
    return collection


def fork(bands: VersionedCollection, theirs: Any, ours: Any, name: str = "side") -> None:
    """Register `theirs` on a new branch and `ours` on main, where HEAD is left."""
    bands.create_branch(name)
    theirs(bands)
    assert bands.register("theirs")
    bands.checkout(branch="main")
    if ours is not None:
        ours(bands)
        assert bands.register("ours")


def sets(id_: Any, **fields: Any) -> Any:
    """Return a function that sets fields; a double underscore stands for a dot."""
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    return lambda bands: bands.update_one({"_id": id_}, {"$set": changes})


def clash(bands: VersionedCollection) -> None:
    """Leave three conflicts: two in document 1, and document 2 deleted by them."""

    def theirs(bands: Any) -> None:
        sets(1, n="theirs", at__x="theirs", at__y="merges")(bands)
        bands.delete_one({"_id": 2})
        bands.insert_one({"_id": "theirs"})

    def ours(bands: Any) -> None:
        sets(1, n="ours", at__x="ours", tags=[])(bands)
        sets(2, n="ours")(bands)

    fork(bands, theirs, ours)
    with pytest.raises(errors.AutoMergeFailedError) as caught:
        bands.merge("side")
    assert caught.value.conflicts == 3


def by_place(bands: VersionedCollection) -> dict[Any, Any]:
    return {(one.document_id, one.path): one for one in bands.conflicts()}


# -- without conflicts ---------------------------------------------------------------------


def test_up_to_date(bands):
    fork(bands, sets(1, n=10), sets(2, n=20))
    merged = bands.merge("side")
    before = everything(bands.database)
    assert bands.merge("side") == merged
    assert bands.merge("main@1") == merged
    assert bands.merge("HEAD") == merged
    assert everything(bands.database) == before


def test_fast_forward(bands):
    fork(bands, sets(1, n=10), None)
    tip = bands.resolve("side")
    assert bands.merge("side") == tip
    assert bands.resolve("HEAD") == tip
    assert (bands.branch, bands.is_detached()) == ("main", False)
    assert bands.find_one({"_id": 1})["n"] == 10
    assert not bands.has_changes()
    assert bands.checkout(0)
    assert bands.checkout(branch="main")
    assert bands.checkout(0)
    assert bands.checkout(-1, "main"), "what version and branch say leads back"
    assert bands.resolve("HEAD") == tip
    sets(2, n=20)(bands)
    assert bands.register("goes on")
    assert bands.resolve("HEAD").label == "main@1"
    assert problems(bands) == []


def test_no_fast_forward(bands):
    fork(bands, sets(1, n=10), None)
    old, tip = bands.resolve("HEAD"), bands.resolve("side")
    merged = bands.merge("side", "as a version", no_ff=True, author="Ada", metadata={"why": 1})
    assert merged.parents == (old.id, tip.id)
    assert (merged.message, merged.author, merged.metadata) == ("as a version", "Ada", {"why": 1})
    assert merged.fingerprint == tip.fingerprint
    assert merged.stats == {"inserted": 0, "updated": 1, "deleted": 0}
    assert problems(bands) == []


def test_both_sides_join(bands):
    def theirs(bands: Any) -> None:
        sets(1, at__x=10, tags=["a", "b", "c", "theirs"])(bands)
        bands.insert_one({"_id": "theirs"})
        bands.delete_one({"_id": 3})
        sets(4, n="theirs")(bands)

    def ours(bands: Any) -> None:
        sets(1, at__y=20, tags=["ours", "a", "b", "c"])(bands)
        bands.insert_one({"_id": "ours"})
        bands.delete_one({"_id": 5})
        sets(6, n=6.0)(bands)

    fork(bands, theirs, ours)
    head, side = bands.resolve("main"), bands.resolve("side")
    merged = bands.merge("side")
    assert merged.parents == (head.id, side.id)
    assert merged.message == "Merge side into main"
    assert merged == bands.resolve("HEAD")
    documents = {one["_id"]: one for one in bands.find()}
    assert documents.keys() == {1, 2, 4, 6, "theirs", "ours"}
    assert documents[1] == {
        "_id": 1, "n": 1, "at": {"x": 10, "y": 20}, "tags": ["ours", "a", "b", "c", "theirs"],
    }  # fmt: skip
    assert documents[4]["n"] == "theirs"
    assert type(documents[6]["n"]) is float
    assert not bands.has_changes()
    assert not bands.has_conflicts()
    assert problems(bands) == []
    here = raws(bands)
    for other in ("side", "HEAD~1", "main@0", "main"):
        bands.checkout(other)
    assert raws(bands) == here


def test_large_merges_take_the_other_way(bands, small_limits):
    test_both_sides_join(bands)


def test_the_same_whichever_side_merges(db):
    """Two collections with one history merge it from opposite sides."""
    merged = []
    for turn, (start, other) in enumerate((("main", "side"), ("side", "main"))):
        bands = started(db, f"bands{turn}")
        fork(bands, sets(1, at__x=1, new=1), sets(1, at__y=2, fresh=2))
        bands.checkout(start)
        bands.merge(other)
        merged.append(raws(bands))
    assert merged[0] == merged[1]


def test_a_second_merge_starts_from_the_first(bands):
    """What was merged already, and taken back since, does not come again."""
    fork(bands, sets(1, n=10), sets(2, n=20))
    bands.merge("side")
    sets(1, n=1)(bands)
    bands.register("taken back")
    bands.checkout("side")
    sets(3, n=30)(bands)
    bands.register("more of theirs")
    bands.checkout("main")
    bands.merge("side")
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == [1, 20, 30, 4, 5, 6]
    assert problems(bands) == []


def test_criss_cross(bands):
    fork(bands, sets(1, n=10), sets(2, n=20))
    left, right = bands.resolve("main"), bands.resolve("side")
    bands.merge("side")
    bands.checkout("side")
    bands.merge(left, no_ff=True)
    sets(3, n=30)(bands)
    bands.register("after crossing")
    bands.checkout("main")
    sets(4, n=40)(bands)
    bands.register("after crossing too")
    bands.merge("side")
    assert [one["n"] for one in bands.find(sort=[("_id", 1)])] == [10, 20, 30, 40, 5, 6]
    assert {left.id, right.id} < set(bands.version_tree)
    assert problems(bands) == []


def test_into_an_unborn_branch(bands):
    fork(bands, sets(1, n=10), sets(2, n=20))
    bands.create_branch("fresh")
    merged = bands.merge("side")
    assert merged.label == "fresh@0"
    assert bands.version == 0
    assert problems(bands) == []


def test_ids_that_the_server_takes_for_one(bands):
    """They replaced 1 by 1.0 while we changed 1: the collection cannot hold both."""

    def theirs(bands: Any) -> None:
        bands.delete_one({"_id": 1})
        bands.insert_one({"_id": 1.0, "theirs": True})

    fork(bands, theirs, sets(1, n="ours"))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    assert {one.kind for one in bands.conflicts()} == {"deleted_by_them", "both_added"}
    assert bands.find_one({"_id": 1})["n"] == "ours"
    bands.resolve_conflicts()
    assert bands.register()
    assert problems(bands) == []


def test_an_id_of_ours_that_the_server_takes_for_theirs(bands):
    """We replaced 1 by 1.0 while they changed 1: to have theirs, ours has to go."""

    def ours(bands: Any) -> None:
        bands.delete_one({"_id": 1})
        bands.insert_one({"_id": 1.0, "ours": True})

    fork(bands, sets(1, n="theirs"), ours)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side", resolver="theirs")
    assert bands.find_one({"_id": 1}) == {"_id": 1.0, "ours": True}
    bands.delete_one({"_id": 1.0})
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.register()
    assert bands.find_one({"_id": 1})["n"] == "theirs"
    assert problems(bands) == []


@pytest.fixture
def letters(anydb) -> VersionedCollection:
    """A collection that takes ``a`` and ``A`` for one id: they replaced some that we changed."""
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": letter} for letter in "abcdefgh"])
    bands.init()

    def theirs(bands: Any) -> None:
        bands.delete_many({"_id": {"$in": list("abcde")}})
        bands.insert_many([{"_id": letter, "theirs": True} for letter in "ABCDE"])

    fork(bands, theirs, lambda bands: bands.update_one({"_id": "b"}, {"$set": {"n": "ours"}}))
    return bands


@pytest.mark.parametrize("limits", ["usual", "small"])
def test_ids_that_the_collation_takes_for_one(letters, limits, request):
    if limits == "small":
        request.getfixturevalue("small_limits")
    with pytest.raises(errors.AutoMergeFailedError):
        letters.merge("side")
    found = {(one.document_id, one.kind) for one in letters.conflicts()}
    assert found == {("b", "deleted_by_them"), ("B", "both_added")}
    assert sorted(letters.distinct("_id")) == ["A", "C", "D", "E", "b", "f", "g", "h"]
    letters.resolve_conflicts(resolver="theirs")
    assert letters.register()
    assert letters.find_one({"_id": "b"}) == {"_id": "B", "theirs": True}
    assert problems(letters) == []


@pytest.mark.parametrize(("side", "there"), [("ours", "b"), ("theirs", "B")])
def test_ids_that_the_collation_takes_for_one_by_a_rule(letters, side, there):
    letters.merge("side", resolver=side)
    assert letters.find_one({"_id": "b"})["_id"] == there
    assert letters.count_documents({}) == 8
    assert problems(letters) == []


def test_ids_that_became_another(bands):
    def theirs(bands: Any) -> None:
        bands.delete_many({"_id": {"$in": [1, 2]}})
        bands.insert_many([{"_id": 1.0, "theirs": True}, {"_id": Int64(2)}])

    fork(bands, theirs, sets(3, n="ours"))
    bands.merge("side")
    found = {type(one["_id"]) for one in bands.find({"_id": {"$in": [1, 2]}})}
    assert found == {float, Int64}
    assert problems(bands) == []


# -- conflicts -----------------------------------------------------------------------------


def test_conflicts_are_values(bands):
    clash(bands)
    found = by_place(bands)
    assert set(found) == {(1, ("n",)), (1, ("at", "x")), (2, ())}
    number, gone = found[1, ("n",)], found[2, ()]
    assert (number.base, number.ours, number.theirs) == (1, "ours", "theirs")
    assert gone.kind == "deleted_by_them"
    assert gone.theirs is MISSING
    assert gone.ours["n"] == "ours"
    assert "'ours'" in str(number)
    assert bands.has_conflicts()
    status = bands.status()
    assert status["has_conflicts"]
    assert status["merging"]
    assert (status["conflicts"], status["merge_verb"]) == (3, "merge")
    assert status["changed"]
    # all that merges is there, with our values elsewhere
    assert bands.find_one({"_id": 1}) == {
        "_id": 1, "n": "ours", "at": {"x": "ours", "y": "merges"}, "tags": [],
    }  # fmt: skip
    assert bands.find_one({"_id": "theirs"})
    assert problems(bands) == []


def test_conflicts_of_a_large_merge(bands, small_limits):
    test_conflicts_are_values(bands)
    assert bands.abort_merge()
    assert problems(bands) == []


def test_what_has_to_wait_for_a_merge(bands):
    clash(bands)
    before = everything(bands.database)
    for verb in (
        lambda: bands.register("too early"),
        lambda: bands.checkout("side"),
        lambda: bands.create_branch("other"),
        lambda: bands.discard_changes(),
        lambda: bands.stash(),
        lambda: bands.stash_apply(),
        lambda: bands.delete_version_subtree("side"),
        lambda: bands.merge("side"),
        lambda: bands.rename("other"),
    ):
        with pytest.raises(errors.InvalidOperation):
            verb()
    assert everything(bands.database) == before


def test_abort(bands):
    fresh = VersionedCollection(bands.database, "bands")
    clash(bands)
    bands.resolve_conflict(next(bands.conflicts()), "decided")
    sets(4, n="edited")(bands)
    assert fresh.abort_merge() is True
    assert fresh.abort_merge() is False
    assert not bands.has_conflicts()
    assert not bands.has_changes()
    assert bands.find_one({"_id": 1})["n"] == "ours"
    assert bands.find_one({"_id": "theirs"}) is None
    assert bands.status()["merging"] is False
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    assert problems(bands) == []


def test_settled_one_by_one_by_another_object(bands):
    clash(bands)
    other = VersionedCollection(bands.database, "bands")
    found = by_place(other)
    other.resolve_conflict(found[1, ("n",)], {"new": Int64(1)})
    other.resolve_conflict(found[1, ("at", "x")].id, Side.THEIRS)
    with pytest.raises(errors.InvalidOperation, match="conflicts wait"):
        bands.register("too early")
    bands.resolve_conflict(found[2, ()], MISSING)
    assert not bands.has_conflicts()
    assert bands.find_one({"_id": 1}) == {
        "_id": 1, "n": {"new": 1}, "at": {"x": "theirs", "y": "merges"}, "tags": [],
    }  # fmt: skip
    assert bands.find_one({"_id": 2}) is None
    head, side = bands.resolve("main"), bands.resolve("side")
    assert other.register() is True
    merged = bands.resolve("HEAD")
    assert merged.parents == (head.id, side.id)
    assert merged.message == "Merge side into main"
    assert bands.merge("side") == merged
    assert problems(bands) == []


def test_settled_by_hand(bands):
    """Documents are edited as ever; what they say then is the decision."""
    clash(bands)
    sets(1, n="by hand")(bands)
    assert bands.resolve_conflicts() is True
    assert bands.register("decided by hand", author="Ada")
    assert bands.resolve("HEAD").author == "Ada"
    assert bands.find_one({"_id": 1})["n"] == "by hand"
    assert bands.find_one({"_id": 2})["n"] == "ours"
    assert problems(bands) == []


def test_settled_for_their_side(bands):
    clash(bands)
    assert bands.resolve_conflicts(discard_local_changes=True) is True
    assert bands.resolve_conflicts() is False
    assert bands.find_one({"_id": 1})["n"] == "theirs"
    assert bands.find_one({"_id": 2}) is None
    assert bands.register()


@pytest.mark.parametrize(("late", "names"), [(False, "_id n at tags"), (True, "_id at tags n")])
def test_where_a_field_comes_back(bands, late, names):
    fork(
        bands,
        sets(1, n="theirs"),
        lambda bands: bands.update_one({"_id": 1}, {"$unset": {"n": 1}}),
    )
    if late:
        with pytest.raises(errors.AutoMergeFailedError):
            bands.merge("side")
        bands.resolve_conflicts(resolver="theirs")
    else:
        bands.merge("side", resolver="theirs")
    assert list(bands.find_one({"_id": 1})) == names.split()


def test_settled_in_part_by_a_rule(bands):
    clash(bands)

    def rule(conflict: Any, context: Any) -> Any:
        assert context.ours_time
        assert context.theirs_time
        return UNRESOLVED if conflict.path == () else f"{conflict.ours_value}+"

    assert bands.resolve_conflicts(resolver=rule) is False
    assert [one.path for one in bands.conflicts()] == [()]
    assert bands.find_one({"_id": 1})["n"] == "ours+"


def at_odds(base: Any, side: str) -> Any:
    """Return what a side made of the numbers in nested lists: a text for each."""
    if isinstance(base, list):
        return [at_odds(one, side) for one in base]
    return base if base < 0 else f"{side} {base}"


def lists_clash(bands: VersionedCollection, base: list[Any]) -> None:
    """Leave a conflict at every number in nested lists that is not negative."""
    bands.insert_one({"_id": "list", "l": base})
    bands.register("a list")
    fork(bands, sets("list", l=at_odds(base, "theirs")), sets("list", l=at_odds(base, "ours")))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")


@pytest.mark.parametrize(
    ("decision", "expected"), [(MISSING, [-1]), (Side.THEIRS, ["theirs 2", -1])]
)
def test_elements_that_leave_their_list(bands, decision, expected):
    lists_clash(bands, [1, 2, -1])
    first, second = bands.conflicts()
    bands.resolve_conflict(first, MISSING)
    (moved,) = bands.conflicts()
    assert (moved.id, moved.path, second.path) == (second.id, ("l", 0), ("l", 1))
    bands.resolve_conflict(second, decision)
    assert bands.find_one("list")["l"] == expected
    assert bands.register()
    assert problems(bands) == []


def test_elements_that_leave_their_list_by_a_rule(bands):
    lists_clash(bands, [1, 2, -1])
    assert bands.resolve_conflicts(resolver=lambda conflict, context: MISSING) is True
    assert bands.find_one("list")["l"] == [-1]


def turned(bands: VersionedCollection, by: int) -> None:
    """Give each document the unique value that a neighbour has on the other side."""
    for n in range(1, 7):
        sets(n, code=f"{(n + by) % 6}", n=f"{by}")(bands)


def turn(bands: VersionedCollection) -> None:
    """Leave conflicts of six documents, all of which have to take their side's value together."""
    bands.create_index("code", unique=True, sparse=True)
    fork(bands, lambda bands: turned(bands, 1), lambda bands: turned(bands, 2))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")


def test_unique_values_are_settled_together(bands, small_limits):
    turn(bands)
    before = raws(bands)
    with pytest.raises(errors.DocumentRejected, match="resolve_conflicts"):
        bands.resolve_conflict(by_place(bands)[1, ("code",)], Side.THEIRS)
    assert (raws(bands), len(by_place(bands))) == (before, 12)
    assert bands.resolve_conflicts(resolver="theirs")
    assert [one["code"] for one in bands.find(sort=[("_id", 1)])] == list("234501")
    assert bands.register()
    assert bands.gc() == dict.fromkeys(bands.gc(), 0)
    assert problems(bands) == []


def test_unique_values_that_cannot_be_settled(bands, small_limits):
    turn(bands)
    bands.insert_one({"_id": "in the way", "code": "theirs"})
    before = raws(bands)

    def rule(conflict: Any, context: Any) -> Any:
        return "theirs" if conflict.document_id == 5 else Side.THEIRS

    with pytest.raises(errors.DocumentRejected, match="abort_merge"):
        bands.resolve_conflicts(resolver=rule)
    assert raws(bands) == before
    bands.delete_one({"_id": "in the way"})
    assert bands.resolve_conflicts(resolver=rule)
    assert bands.find_one({"code": "theirs"})["_id"] == 5
    assert problems(bands) == []


def test_elements_leave_lists_in_a_large_change(bands, small_limits):
    ids = [7, 8, 9]
    bands.insert_many([{"_id": one, "l": [1, 2, -1]} for one in ids])
    bands.register("lists")
    every = {"_id": {"$in": ids}}
    fork(
        bands,
        lambda bands: bands.update_many(every, {"$set": {"l": [11, 12, -1]}}),
        lambda bands: bands.update_many(every, {"$set": {"l": [21, 22, -1]}}),
    )
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    rule = lambda conflict, context: MISSING if conflict.base == 1 else Side.THEIRS  # noqa: E731
    assert bands.resolve_conflicts(resolver=rule) is True
    assert [one["l"] for one in bands.find(every)] == [[12, -1]] * 3
    assert bands.register()
    assert problems(bands) == []


def test_a_merge_of_nothing_is_a_version_too(bands):
    """All conflicts go our way: no document changes, but the histories have met."""
    fork(bands, sets(1, n="theirs"), sets(1, n="ours"))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    assert not bands.has_changes()
    bands.resolve_conflicts()
    assert bands.register() is True
    assert bands.resolve("HEAD").stats == {"inserted": 0, "updated": 0, "deleted": 0}
    assert len(bands.resolve("HEAD").parents) == 2
    assert bands.merge("side") == bands.resolve("HEAD")
    assert problems(bands) == []


@pytest.mark.sweep
def test_documents_larger_than_a_message_together(db):
    bands = started(db)
    large = b"x" * 9_000_000
    bands.insert_one({"_id": "large", "data": large})
    bands.register("large")
    fork(
        bands,
        lambda bands: bands.delete_one({"_id": "large"}),
        lambda bands: bands.replace_one({"_id": "large"}, {"data": large + b"y"}),
    )
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (conflict,) = bands.conflicts()
    assert conflict.base["data"] == large
    assert conflict.ours["data"] == large + b"y"
    bands.resolve_conflict(conflict, Side.BASE)
    assert bands.find_one({"_id": "large"})["data"] == large
    assert bands.register()
    assert bands.gc()["conflicts"] == 0
    assert problems(bands) == []


# -- resolvers and policies ----------------------------------------------------------------


@pytest.mark.parametrize(("resolver", "expected"), [("ours", "o"), ("theirs", "t")])
def test_a_resolver_for_all(bands, resolver, expected):
    fork(bands, sets(1, n="t"), sets(1, n="o"))
    merged = bands.merge("side", resolver=resolver)
    assert len(merged.parents) == 2
    assert bands.find_one({"_id": 1})["n"] == expected
    assert not bands.has_conflicts()


def test_a_policy_by_place(bands):
    fork(bands, sets(1, n=5, at__x="t", tags=["b", "t"]), sets(1, n=3, at__x="o", tags=["a", "o"]))
    policy = MergePolicy({"n": "sum_of_changes", "at.*": "theirs"}, sets=["tags"])
    bands.merge("side", policy=policy)
    document = bands.find_one({"_id": 1})
    assert (document["n"], document["at"]["x"]) == (7, "t")
    assert set(document["tags"]) == {"o", "t"}


def adds(id_: Any, n: int) -> Any:
    return lambda bands: bands.insert_one({"_id": id_, "n": n})


def test_nothing_within_an_id_counts(bands):
    fork(bands, adds({"y": 2020}, 1), adds({"y": 2020}, 2))
    bands.merge("side", resolver="sum_of_changes")
    assert bands.find_one({"_id": {"y": 2020}}) == {"_id": {"y": 2020}, "n": 3}
    assert not bands.has_changes()
    assert problems(bands) == []


def test_nothing_within_an_id_conflicts(bands):
    fork(bands, adds({"y": 2020}, 1), adds({"y": 2020}, 2))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side", policy=MergePolicy(same_change_conflicts=["**"]))
    assert [one.path for one in bands.conflicts()] == [("n",)]
    assert bands.resolve_conflicts(resolver="sum_of_changes")
    assert bands.find_one({"_id": {"y": 2020}}) == {"_id": {"y": 2020}, "n": 3}


@pytest.mark.parametrize("key", [1, {"x": 1}])
def test_keys_of_elements_do_not_count(bands, key):
    def pushes(n: int) -> Any:
        push = {"$push": {"items": {"k.k": key, "n": n}}}
        return lambda bands: bands.update_one({"_id": 1}, push)

    fork(bands, pushes(1), pushes(2))
    both = MergePolicy(default="sum_of_changes", list_keys={"items": "k.k"})
    bands.merge("side", policy=both)
    assert bands.find_one({"_id": 1})["items"] == [{"k.k": key, "n": 3}]


def test_keys_of_elements_do_not_conflict(bands):
    def pushes(n: int) -> Any:
        return lambda bands: bands.update_one({"_id": 1}, {"$push": {"items": {"k": 1, "n": n}}})

    fork(bands, pushes(1), pushes(2))
    policy = MergePolicy(same_change_conflicts=["**"], list_keys={"items": "k"})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side", policy=policy)
    assert [one.path[-1] for one in bands.conflicts()] == ["n"]
    assert bands.resolve_conflicts(resolver="sum_of_changes")
    assert bands.find_one({"_id": 1})["items"] == [{"k": 1, "n": 3}]


def test_bad_arguments_change_nothing(bands):
    fork(bands, sets(1, n="t"), sets(1, n="o"))
    before = everything(bands.database)
    for error, call in (
        (errors.InvalidCollectionVersion, lambda: bands.merge("nowhere")),
        (errors.InvalidType, lambda: bands.merge(1.5)),
        (errors.InvalidArgument, lambda: bands.merge("side", resolver="best")),
        (
            errors.InvalidArgument,
            lambda: bands.merge("side", resolver="ours", policy=MergePolicy()),
        ),
        (errors.InvalidType, lambda: bands.merge("side", policy="ours")),
        (errors.InvalidType, lambda: bands.merge("side", message=1)),
        (errors.InvalidOperation, lambda: bands.resolve_conflict(bands.resolve("HEAD").id, 1)),
        (errors.InvalidArgument, lambda: bands.resolve_conflict("n", 1)),
        (errors.InvalidArgument, lambda: bands.resolve_conflicts(resolver="best")),
        (errors.InvalidType, lambda: bands.register()),
    ):
        with pytest.raises(error):
            call()
    assert everything(bands.database) == before


def test_detached_or_dirty(bands):
    fork(bands, sets(1, n="t"), sets(2, n="o"))
    sets(3, n="dirty")(bands)
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        bands.merge("side")
    bands.discard_changes()
    bands.checkout(0)
    with pytest.raises(errors.InvalidOperation, match="detached"):
        bands.merge("side")


def test_untracked(db):
    bands = VersionedCollection(db, "bands")
    with pytest.raises(errors.CollectionNotTracked):
        bands.merge("side")
    assert list(bands.conflicts()) == []
    assert bands.resolve_conflicts() is False
    assert bands.abort_merge() is False
    assert db.list_collection_names() == []


def test_a_failing_resolver_changes_nothing(bands):
    fork(bands, sets(1, n="t"), sets(1, n="o"))
    before = everything(bands.database)

    def broken(conflict: Any, context: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(errors.VersioningError, match="resolver failed"):
        bands.merge("side", resolver=broken)
    assert everything(bands.database) == before


# -- what the server refuses ---------------------------------------------------------------


def clashing_unique_values(bands: VersionedCollection) -> None:
    bands.create_index("code", unique=True, sparse=True)
    fork(bands, sets(1, code="same", n="t"), sets(2, code="same"))


def refused(bands: VersionedCollection) -> errors.VersioningError:
    before, head = raws(bands), bands.resolve("HEAD")
    with pytest.raises(errors.DocumentRejected) as caught:
        bands.merge("side")
    assert raws(bands) == before
    assert bands.resolve("HEAD") == head
    assert not bands.has_changes()
    assert not bands.has_conflicts()
    assert bands.gc()["versions_without_log_entry"] == 0
    assert problems(bands) == []
    return caught.value


def test_unique_values_of_both_sides(bands):
    clashing_unique_values(bands)
    assert refused(bands).document_id == 1


def test_unique_values_of_both_sides_in_a_large_merge(bands, small_limits):
    clashing_unique_values(bands)
    bands.checkout("side")
    bands.update_many({"_id": {"$gt": 2}}, {"$set": {"n": "more"}})
    bands.register("more")
    bands.checkout("main")
    refused(bands)


def test_the_validator_judges_the_merged_state(bands):
    """Each side is valid, their union is not."""
    rule = {"$nor": [{"at.x": "full", "at.y": "full"}]}
    bands.database.command("collMod", "bands", validator=rule)
    fork(bands, sets(1, at__x="full"), sets(1, at__y="full"))
    error = refused(bands)
    assert (error.document_id, error.server_code) == (1, 121)
    assert "validator" in str(error)
    assert "index" not in str(error)


def validated(bands: VersionedCollection, rule: Any, **options: Any) -> None:
    bands.database.command("collMod", bands.name, validator=rule, **options)


def stop(bands: VersionedCollection, verb: str) -> None:
    """Leave one conflict, of the field `n` of document 1."""
    if verb == "revert":
        for value in ("theirs", "ours"):
            sets(1, n=value)(bands)
            bands.register(value)
        carry_on = lambda: bands.revert("main@1")  # noqa: E731
    elif verb == "stash_apply":
        sets(1, n="theirs")(bands)
        bands.stash()
        sets(1, n="ours")(bands)
        bands.register("ours")
        carry_on = lambda: bands.stash_apply(merge=True)  # noqa: E731
    else:
        fork(bands, sets(1, n="theirs"), sets(1, n="ours"))
        carry_on = lambda: getattr(bands, verb)("side")  # noqa: E731
    with pytest.raises(errors.AutoMergeFailedError):
        carry_on()


@pytest.mark.parametrize("verb", ["merge", "rebase", "cherry_pick", "revert", "stash_apply"])
def test_the_validator_judges_what_is_settled(bands, verb):
    stop(bands, verb)
    validated(bands, {"n": {"$ne": "wrong"}})
    (waiting,) = bands.conflicts()
    before = bands.find_one(1)
    for settle in (
        lambda value: bands.resolve_conflict(waiting, value),
        lambda value: bands.resolve_conflicts(resolver=lambda *_: value),
    ):
        with pytest.raises(errors.DocumentRejected, match="validator") as caught:
            settle("wrong")
        assert (caught.value.document_id, caught.value.server_code) == (1, 121)
        assert bands.find_one(1) == before
        assert [one.id for one in bands.conflicts()] == [waiting.id]
    bands.resolve_conflict(waiting, "right")
    assert bands.register("settled")
    assert bands.find_one(1)["n"] == "right"
    assert problems(bands) == []


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("side", ["ours", "theirs", "base"])
def test_what_a_version_has_is_settled_past_the_validator(bands, side, at_once):
    stop(bands, "merge")
    validated(bands, {"n": {"$type": "bool"}})
    if at_once:
        bands.resolve_conflicts(resolver=lambda *_: Side(side))
    else:
        bands.resolve_conflict(next(bands.conflicts()), Side(side))
    assert bands.find_one(1)["n"] == (1 if side == "base" else side)
    bands.register()
    assert problems(bands) == []


def test_the_validator_waits_for_the_last_conflict_of_a_document(bands):
    both = {"n": "theirs", "at.x": "theirs"}
    fork(bands, sets(1, **both), sets(1, **dict.fromkeys(both, "ours")))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    validated(bands, {"$expr": {"$eq": ["$n", "$at.x"]}})
    first, last = bands.conflicts()
    bands.resolve_conflict(first, "new")
    with pytest.raises(errors.DocumentRejected):
        bands.resolve_conflict(last, "other")
    assert [one.id for one in bands.conflicts()] == [last.id]
    bands.resolve_conflict(last, "new")
    assert bands.register()
    assert problems(bands) == []


def test_the_validator_refuses_some_of_many_that_are_settled(bands, small_limits):
    """Each is judged by itself, also where most of them are recorded already."""
    every = {"_id": {"$lte": 5}}
    fork(
        bands,
        lambda bands: bands.update_many(every, {"$set": {"n": "theirs"}}),
        lambda bands: bands.update_many(every, {"$set": {"n": "ours"}}),
    )
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    validated(bands, {"n": {"$type": "bool"}})
    before = bands.find_one(4)

    def rule(conflict: Any, context: Any) -> Any:
        return "new" if conflict.document_id == 4 else Side.THEIRS

    with pytest.raises(errors.DocumentRejected) as caught:
        bands.resolve_conflicts(resolver=rule)
    assert caught.value.document_id == 4
    assert bands.has_conflicts()
    assert bands.find_one(4) == before
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.register()
    assert problems(bands) == []


@pytest.mark.parametrize("limits", ["usual", "small"])
def test_a_moderate_validator_lets_unique_values_change_places(bands, request, limits):
    """As it does where a plain update changes a document that does not pass."""
    if limits == "small":
        request.getfixturevalue("small_limits")
    for n in range(1, 7):
        sets(n, code=n)(bands)
    bands.register("codes")
    bands.create_index("code", unique=True)
    turned_codes = [{**one, "code": one["code"] % 6 + 1} for one in bands.find()]

    def theirs(bands: Any) -> None:
        bands.delete_many({})
        bands.insert_many(turned_codes)

    fork(bands, theirs, lambda bands: bands.insert_one({"_id": "ours"}))
    validated(bands, {"checked": True}, validationLevel="moderate")
    assert bands.merge("side")
    assert list(bands.find({"n": {"$exists": True}}, sort=[("_id", 1)])) == turned_codes
    assert problems(bands) == []


def test_a_moderate_validator_refuses_what_passed_before(bands):
    bands.create_index("code", unique=True, sparse=True)
    swapped = [sets(1, code="a", n="wrong"), sets(2, code="b")]
    sets(1, code="b")(bands)
    sets(2, code="a")(bands)
    bands.register("codes")

    def theirs(bands: Any) -> None:
        sets(1, code="away")(bands)
        for change in reversed(swapped):
            change(bands)

    fork(bands, theirs, sets(3, n="ours"))
    validated(bands, {"n": {"$ne": "wrong"}}, validationLevel="moderate")
    assert refused(bands).server_code == 121


@pytest.mark.parametrize("level", ["moderate", "strict"])
def test_a_moderate_validator_lets_unique_values_be_settled(bands, small_limits, level):
    turn(bands)
    validated(bands, {"checked": True}, validationLevel=level)

    def rule(conflict: Any, context: Any) -> Any:
        return Side.THEIRS if conflict.path == ("code",) else "new"

    if level == "strict":
        with pytest.raises(errors.DocumentRejected):
            bands.resolve_conflicts(resolver=rule)
        return
    assert bands.resolve_conflicts(resolver=rule)
    assert [one["code"] for one in bands.find(sort=[("_id", 1)])] == list("234501")
    assert bands.register()
    assert problems(bands) == []


# -- deleting ------------------------------------------------------------------------------


def test_what_was_merged_cannot_be_deleted_from_under_the_merge(bands):
    fork(bands, sets(1, n="t"), sets(2, n="o"))
    bands.merge("side")
    with pytest.raises(errors.InvalidOperation, match="merge"):
        bands.delete_version_subtree("side")
    bands.delete_branch("side")
    assert bands.branches() == {"main"}
    assert bands.resolve("side@0")
    assert bands.delete_version_subtree("main")
    assert bands.resolve("HEAD").label == "main@1"
    assert problems(bands) == []


# -- others ---------------------------------------------------------------------------------


def test_writers_go_on_during_a_merge(db):
    """What they write meanwhile is kept, whatever the merge does."""
    bands = started(db)
    fork(bands, sets(1, n="t"), sets(1, at__x="o"))
    stop, acknowledged = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            db["bands"].insert_one({"_id": f"w{len(acknowledged)}"})
            acknowledged.append(f"w{len(acknowledged)}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            try:
                bands.merge("side")
                break
            except errors.InvalidOperation:  # changed between the look and the merge
                bands.register("what was written")
    finally:
        stop.set()
        writer.join()
    found = {one["_id"] for one in bands.find()}
    assert set(acknowledged) <= found
    bands.register("the rest")
    assert problems(bands) == []


def test_what_others_change_during_a_large_merge_becomes_a_conflict(bands, small_limits):
    """Their change of that document would be forgotten otherwise."""

    def theirs(bands: Any) -> None:
        bands.update_many({}, {"$set": {"n": "theirs"}})

    fork(bands, theirs, sets(1, n="ours"))
    plain = bands.database["bands"]

    def meddle(phase: str, count: int) -> None:
        if phase == "recorded":
            plain.update_one({"_id": 3}, {"$set": {"at.x": "meanwhile"}})

    with pytest.raises(errors.AutoMergeFailedError) as caught:
        bands.merge("side", progress=meddle)
    assert caught.value.conflicts == 2
    found = by_place(bands)[3, ()]
    assert (found.base["n"], found.ours["n"], found.theirs["n"]) == (3, 3, "theirs")
    assert found.ours["at"]["x"] == "meanwhile"
    assert bands.find_one({"_id": 3})["at"]["x"] == "meanwhile"
    bands.resolve_conflict(found, {**found.ours, "n": "theirs"})
    bands.resolve_conflicts(resolver="ours")
    assert bands.register()
    assert bands.find_one({"_id": 3})["n"] == "theirs"
    assert problems(bands) == []


# -- laws -----------------------------------------------------------------------------------

VALUES = st.sampled_from([0, 1, 1.0, "x", None, [], ["a"], ["a", "b"], {"k": 1}])
CHANGES = st.dictionaries(
    st.integers(1, 6),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["n", "at", "tags", "new"]), VALUES)),
    max_size=5,
)


def _apply(changes: Any) -> Any:
    def apply(bands: Any) -> None:
        bands.insert_one({"_id": str(sorted(map(str, changes.items())))})
        for id_, fields in changes.items():
            if fields is None:
                bands.delete_one({"_id": id_})
            elif fields:
                bands.update_one({"_id": id_}, {"$set": fields})

    return apply


_LISTS = st.recursive(st.integers(-1, 3), lambda one: st.lists(one, min_size=1, max_size=4))
_DECISIONS = st.sampled_from([MISSING, MISSING, Side.THEIRS, Side.OURS])


def _numbered(lists: Any, numbers: Any) -> Any:
    if isinstance(lists, list):
        return [_numbered(one, numbers) for one in lists]
    return lists if lists < 0 else next(numbers)


def _decided(base: Any, decisions: dict[str, Any]) -> Any:
    """Return nested lists with each number as it was decided."""
    if isinstance(base, list):
        parts = (one for one in base if decisions.get(str(one)) is not MISSING)
        return [_decided(one, decisions) for one in parts]
    return base if base < 0 else f"{decisions[str(base)].value} {base}"


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_lists_are_the_same_in_whichever_order_their_conflicts_are_settled(db, small_limits, data):
    lists = data.draw(st.lists(_LISTS, min_size=2, max_size=5))
    base = _numbered(lists, count())
    bands = started(db)
    try:
        with contextlib.suppress(pytest.fail.Exception):  # maybe there is no number
            lists_clash(bands, base)
        found = data.draw(st.permutations(list(bands.conflicts())))
        decisions = {str(one.base): data.draw(_DECISIONS) for one in found}
        alone = data.draw(st.integers(0, len(found)))
        for one in found[:alone]:
            bands.resolve_conflict(one, decisions[str(one.base)])
        bands.resolve_conflicts(resolver=lambda one, context: decisions[str(one.base)])
        assert bands.find_one("list")["l"] == _decided(base, decisions)
    finally:
        bands.drop()


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(theirs=CHANGES, ours=CHANGES)
def test_no_change_of_either_side_gets_lost(db, theirs, ours):
    """A merge equals the merge of each document, and its mirror image holds the same."""
    outcomes = []
    for name, (there, here) in {"one": (theirs, ours), "two": (ours, theirs)}.items():
        db.drop_collection(name)
        bands = started(db, name)
        fork(bands, _apply(there), _apply(here))
        with contextlib.suppress(errors.AutoMergeFailedError):
            bands.merge("side")
        found = {(one.document_id, one.path, one.kind) for one in bands.conflicts()}
        outcomes.append((found, bands))
        bands.resolve_conflicts(resolver="ours" if name == "one" else "theirs")
        assert problems(bands) == []
    mirrored = {"deleted_by_us": "deleted_by_them", "deleted_by_them": "deleted_by_us"}
    (one, first), (two, second) = outcomes
    assert one == {(id_, path, mirrored.get(kind, kind)) for id_, path, kind in two}
    assert raws(first) == raws(second)
    first.drop()
    second.drop()
