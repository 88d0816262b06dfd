"""Merging lists without a database: by stretches, by key, as sets."""

from __future__ import annotations

import random
import time
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st
from strategies import NULL, array, document, embedded, int32, values, with_id
from test_core_merge import KEY, agrees, conflicts_at, doc, found, merge, mirrored, quick, raw

from versioned_collection.core.merging import (
    MISSING,
    ElementKey,
    Merged,
    MergePolicy,
    TakenOut,
    merge_documents,
    settle,
)
from versioned_collection.core.merging.lists import align, edits, merge_sets, union_of

KEYED: Any = {"list_keys": {"a": "k"}}


def lists_agree(base: Any, ours: Any, theirs: Any, expected: Any, **policy: Any) -> None:
    agrees({"a": base}, {"a": ours}, {"a": theirs}, {"a": expected}, **policy)


def lists_conflict(base: Any, ours: Any, theirs: Any, place: str = "a", **policy: Any) -> None:
    kind = "both_modified"
    conflicts_at({"a": base}, {"a": ours}, {"a": theirs}, place, kind, **policy)


# -- by stretches ------------------------------------------------------------------------


def test_changes_of_disjoint_stretches_merge() -> None:
    lists_agree([1, 2, 3, 4, 5], [9, 2, 3, 4, 5], [1, 2, 3, 4, 8], [9, 2, 3, 4, 8])
    lists_agree([1, 2, 3, 4, 5], [2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6])
    lists_agree([1, 2, 3, 4], [1, 7, 8, 2, 3, 4], [1, 2, 3], [1, 7, 8, 2, 3])
    lists_agree([1, 2, 3, 4, 5, 6], [1, 3, 4, 5, 6], [1, 2, 3, 4, 0, 0, 6], [1, 3, 4, 0, 0, 6])


def test_stretches_that_only_meet_merge() -> None:
    lists_agree([1, 2], [9, 2], [1, 8], [9, 8])
    lists_agree([1, 2], [2], [1, 8], [8])
    lists_agree([1, 2], [1, 2, 3], [1, 8], [1, 8, 3])
    lists_agree([1, 2], [0, 1, 2], [8, 2], [0, 8, 2])
    lists_agree([1, 2], [1, 2, 3], [1], [1, 3])


def test_additions_at_one_place_conflict_as_a_whole() -> None:
    lists_conflict([1], [1, 2], [1, 3])
    lists_conflict([1, 2], [1, 7, 2], [1, 8, 9, 2])
    lists_conflict([1, 2], [1, 2, 3], [1, 8, 9])  # both grew at the end
    merged = merge({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]})
    (conflict,) = merged.conflicts
    assert (conflict.base_value, conflict.ours_value, conflict.theirs_value) == (
        [1],
        [1, 2],
        [1, 3],
    )
    assert merged.raw == doc({"a": [1, 2]})


def test_overlapping_stretches_of_different_length_conflict_as_a_whole() -> None:
    lists_conflict([1, 2, 3], [1, 3], [1, 9, 3])
    lists_conflict([1, 2, 3, 4], [4], [1, 9, 8, 3, 4])
    # also where elements elsewhere could be merged, or conflict themselves
    lists_conflict([1, 2, 3, 4, 5], [7, 2, 3, 5], [8, 2, 3, 9, 5])


def test_the_same_change_of_a_stretch_agrees() -> None:
    lists_agree([1, 2, 3], [1, 3], [1, 3, 4], [1, 3, 4])
    lists_agree([1, 2, 3, 4], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3])
    lists_agree([1], [1, 2], [0, 1, 2], [0, 1, 2])


def test_a_stretch_of_one_length_merges_by_element() -> None:
    base = [{"x": 1, "y": 1}, {"x": 2, "y": 2}, 5]
    ours = [{"x": 9, "y": 1}, {"x": 2, "y": 8}, 5]
    theirs = [{"x": 1, "y": 7}, {"x": 6, "y": 2}, 4]
    lists_agree(base, ours, theirs, [{"x": 9, "y": 7}, {"x": 6, "y": 8}, 4])
    lists_agree([[1, 2], 0], [[1, 2, 3], 0], [[0, 1, 2], 0], [[0, 1, 2, 3], 0])


def test_conflicts_of_elements_name_their_place_in_the_merged_list() -> None:
    lists_conflict([1, 2], [1, 3], [1, 4], "a[1]")
    lists_conflict([1, {"x": 1}], [0, 1, {"x": 2}], [1, {"x": 3}], "a[2].x")
    lists_conflict([1, 2, 3, 4], [1, 7, 3, 4], [8, 9, 3, 4], "a[1]")  # one begins earlier
    lists_conflict([1, 2, 3, 4], [1, 7, 3, 4], [1, 9, 8, 4], "a[1]")  # one ends later
    merged = merge({"a": [1, 2, 3]}, {"a": [4, 2, 3]}, {"a": [5, 2, 6]})
    assert merged.raw == doc({"a": [4, 2, 6]})


def test_places_behind_elements_that_left_their_lists() -> None:
    gone = TakenOut([("a", 3), ("a", 0), ("a", 4, "b", 1), ("b", 0)])
    assert gone.place_of(("a", 1)) == ("a", 0)
    assert gone.place_of(("a", 4, "b", 2, "c")) == ("a", 2, "b", 1, "c")
    assert gone.place_of(("a", 4, "b", 0)) == ("a", 2, "b", 0)
    key = ElementKey.of("k", 1)
    for place in ((), ("c",), ("a", key, 1), ("a", "x", 4), (1,)):
        assert gone.place_of(place) == place
    assert TakenOut().place_of(("a", 1)) == ("a", 1)


def test_a_resolver_of_a_place_takes_out_one_element() -> None:
    states = ({"a": [side + 1, side + 2, {"x": side}, 0]} for side in (10, 20, 30))
    merged = merge(*states, resolvers={"a.0": lambda conflict, context: MISSING})
    assert merged.raw == doc({"a": [22, {"x": 20}, 0]})
    assert [one.path for one in merged.settled] == [("a", 0)]
    assert [one.path for one in merged.conflicts] == [("a", 0), ("a", 1, "x")]
    for conflict in merged.conflicts:
        assert settle(merged.raw, conflict.path, conflict.ours) == merged.raw


def test_elements_are_compared_by_bytes() -> None:
    lists_agree([1, 2, 3], [1.0, 2, 3], [1, 2, Int64(3)], [1.0, 2, Int64(3)])
    lists_conflict([0, 0], [0], [0, -0.0])
    conflicts_at({"a": [1]}, {"a": [1.0]}, {"a": [True]}, "a[0]", "type_changed")


def test_arrays_with_odd_names_are_one_value() -> None:
    def odd(*numbers: int) -> Any:
        return 0x04, document([(b"x%d" % at, int32(n)) for at, n in enumerate(numbers)])

    states = [with_id(int32(1), [(b"a", value)]) for value in (odd(1, 2), odd(3, 2), odd(1, 4))]
    merged = merge_documents(KEY, *states)
    assert found(merged) == [("a", "both_modified")]
    assert merged.raw == states[1]
    mixed = with_id(int32(1), [(b"a", (0x04, array([int32(1), int32(4)])))])
    assert found(merge_documents(KEY, states[0], mixed, states[2])) == [("a", "both_modified")]
    assert merge_documents(KEY, states[0], states[1], states[0]) == Merged(states[1])


small = st.lists(st.integers(0, 3).map(lambda n: raw(int32(n))), max_size=8)


@quick
@given(small, small)
def test_alignments_are_common_subsequences(base: list[bytes], side: list[bytes]) -> None:
    pairs = align(base, side)
    assert all(base[i] == side[j] for i, j in pairs)
    assert pairs == sorted(set(pairs))
    assert len({j for _, j in pairs}) == len({i for i, _ in pairs}) == len(pairs)
    rebuilt, at = [], 0
    for edit in edits(base, side):
        rebuilt += base[at : edit.start] + side[edit.side_start : edit.side_stop]
        at = edit.stop
    assert rebuilt + base[at:] == side


@quick
@given(small, small, small)
def test_lists_with_repeated_elements_mirror(
    base: list[bytes], ours: list[bytes], theirs: list[bytes]
) -> None:
    def of(items: list[bytes]) -> bytes:
        listed = array([(item[0], item[1:]) for item in items])
        return with_id(int32(1), [(b"a", (0x04, listed))])

    merged = merge_documents(KEY, of(base), of(ours), of(theirs))
    other = merge_documents(KEY, of(base), of(theirs), of(ours))
    assert other.conflicts == [mirrored(conflict) for conflict in merged.conflicts]
    if not merged.conflicts:
        assert merged.raw == other.raw
        for side in (ours, theirs):  # what a side has more of is there, what it has less is not
            counted = bson.decode(merged.raw or b"")["a"]
            for item in set(base) | set(side):
                number = bson.decode(document([(b"", (item[0], item[1:]))]))[""]
                same_way = [
                    max(-1, min(1, s.count(item) - base.count(item))) for s in (ours, theirs)
                ]
                if same_way[0] * same_way[1] >= 0 and len({len(base), len(ours), len(theirs)}) > 1:
                    change = side.count(item) - base.count(item)
                    assert change <= 0 or counted.count(number) > 0
                    assert change >= 0 or counted.count(number) < base.count(item)


def test_long_lists_merge_in_bounded_time() -> None:
    generator = random.Random(1)
    base = [generator.randrange(1 << 30) for _ in range(20_000)]
    ours = [n + 1 if at % 1000 == 0 else n for at, n in enumerate(base)]
    theirs = [n for at, n in enumerate(base) if at % 1000 != 500]
    start = time.process_time()
    merged = merge({"a": base}, {"a": ours}, {"a": theirs})
    expected = [n for at, n in enumerate(ours) if at % 1000 != 500]
    assert merged == Merged(doc({"a": expected}))
    few = [generator.randrange(2) for _ in range(20_000)]  # no anchors at all
    sides = [0, *few[1:-1], 5], [7, *few[1:-1], 1]
    assert merge({"a": few}, {"a": sides[0]}, {"a": sides[1]}) is not None
    blurred = [1 - n for n in few[:-5]]
    assert found(merge({"a": few}, {"a": blurred}, {"a": blurred[1:]}))
    assert time.process_time() - start < 20


# -- by key ------------------------------------------------------------------------------


def item(key: Any, **more: Any) -> dict[str, Any]:
    return {"k": key, **more}


def test_keyed_elements_merge_as_documents() -> None:
    base = [item(1, x=1, y=1), item(2, x=1)]
    ours = [item(2, x=2), item(1, x=2, y=1)]
    theirs = [item(1, x=1, y=2), item(2, x=1)]
    lists_agree(base, ours, theirs, [item(2, x=2), item(1, x=2, y=2)], **KEYED)


def test_keyed_elements_are_added_and_removed() -> None:
    base = [item(1), item(2), item(3)]
    ours = [item(1), item(3), item(5)]
    theirs = [item(4), item(1), item(2), item(3), item(6)]
    expected = [item(4), item(1), item(3), item(5), item(6)]
    lists_agree(base, ours, theirs, expected, **KEYED)
    lists_agree([], [item(1)], [item(2)], [item(1), item(2)], **KEYED)
    lists_agree([item(1)], [], [item(1), item(2)], [item(2)], **KEYED)


def test_keyed_lists_added_on_both_sides_merge() -> None:
    agrees({}, {"a": [item(1, x=1)]}, {"a": [item(1, y=1)]}, {"a": [item(1, x=1, y=1)]}, **KEYED)
    conflicts_at(
        {}, {"a": [item(1, x=1)]}, {"a": [item(1, x=2)]}, "a[k=1].x", "both_added", **KEYED
    )


def test_conflicts_of_keyed_elements_name_the_key() -> None:
    base = [item("p", n=1), item("q", n=1)]
    ours = [item("q", n=2), item("p", n=1)]
    lists_conflict(base, ours, [item("p", n=1), item("q", n=3)], "a[k='q'].n", **KEYED)
    conflicts_at(
        {"a": base},
        {"a": ours[1:]},
        {"a": [base[0], item("q", n=3)]},
        "a[k='q']",
        "deleted_by_us",
        **KEYED,
    )


def test_keys_are_compared_by_bytes() -> None:
    base = [item(1, x=1), item(1.0, x=1), item(True, x=1)]
    ours = [item(1, x=2), item(1.0, x=1), item(True, x=1)]
    theirs = [item(1, x=1), item(1.0, x=1), item(True, x=3)]
    expected = [item(1, x=2), item(1.0, x=1), item(True, x=3)]
    lists_agree(base, ours, theirs, expected, **KEYED)


@pytest.mark.parametrize("odd", [item(1), {"x": 1}, 5, None], ids=repr)
def test_lists_without_unique_keys_merge_by_stretches(odd: Any) -> None:
    base = [item(1, x=1), item(2, x=1), odd]
    ours = [item(1, x=2), item(2, x=1), odd]
    theirs = [item(1, x=1), item(2, x=2), odd]
    lists_agree(base, ours, theirs, [item(1, x=2), item(2, x=2), odd], **KEYED)
    lists_conflict(base, [item(1, x=3), *base[1:]], ours, "a[0].x", **KEYED)


def test_a_key_that_occurs_twice_in_an_element_is_none() -> None:
    def of(*numbers: int) -> bytes:
        twice = embedded([(b"k", int32(1)), (b"k", int32(2))])
        others = [embedded([(b"k", int32(n))]) for n in numbers]
        return with_id(int32(1), [(b"a", (0x04, array([twice, *others])))])

    merged = merge_documents(KEY, of(3), of(3, 4), of(3, 5), MergePolicy(**KEYED))
    assert found(merged) == [("a", "both_modified")]


@st.composite
def keyed_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(st.sampled_from("pqrst"), unique=True, max_size=5))
    return [item(key, n=draw(st.integers(0, 2))) for key in keys]


@quick
@given(keyed_lists(), keyed_lists(), keyed_lists())
def test_keyed_lists_are_merged_like_documents_by_key(
    base: list[Any], ours: list[Any], theirs: list[Any]
) -> None:
    """The same elements as fields of a document give the same outcome."""
    sides = [{"a": side} for side in (base, ours, theirs)]
    merged = merge(*sides, **KEYED)
    as_fields = [{"a": {x["k"]: x for x in side}} for side in (base, ours, theirs)]
    expected = merge(*as_fields)
    listed = bson.decode(merged.raw or b"")["a"]
    assert listed == list(bson.decode(expected.raw or b"")["a"].values())
    places = [
        tuple(s.python if i == 1 else s for i, s in enumerate(c.path))  # type: ignore[union-attr]
        for c in merged.conflicts
    ]
    assert sorted(places, key=str) == sorted((c.path for c in expected.conflicts), key=str)
    other = merge(sides[0], sides[2], sides[1], **KEYED)
    assert other.conflicts == [mirrored(conflict) for conflict in merged.conflicts]
    if not merged.conflicts:
        assert other.raw == merged.raw
        assert merge(sides[0], {"a": listed}, sides[2], **KEYED) == merged


# -- as sets -----------------------------------------------------------------------------


def test_sets_take_additions_and_removals_of_both() -> None:
    policy: Any = {"sets": ["a"]}
    lists_agree([1, 2, 3], [2, 3, 9], [1, 2, 7, 8], [2, 7, 8, 9], **policy)
    lists_agree([1, 2], [2, 1, 3], [1, 2, 3, 4], [1, 2, 3, 4], **policy)
    lists_agree([1], [1, 5, 5], [1, 6], [1, 5, 6], **policy)
    lists_agree([1], [], [1.0, 1], [1.0], **policy)
    agrees({}, {"a": [1]}, {"a": [2]}, {"a": [1, 2]}, **policy)
    agrees({"a": [1]}, {"a": [1, 1]}, {"a": [1]}, {"a": [1, 1]}, **policy)  # one side: as it is


def test_sets_that_are_no_lists_conflict_like_other_values() -> None:
    policy: Any = {"sets": ["a"]}
    conflicts_at({"a": [1]}, {"a": 5}, {"a": [1, 2]}, "a", "type_changed", **policy)
    conflicts_at({"a": [1]}, {}, {"a": [1, 2]}, "a", "deleted_by_us", **policy)


def test_odd_arrays_are_sets_too() -> None:
    odd = with_id(int32(1), [(b"a", (0x04, document([(b"x", NULL)])))])
    ours, theirs = ({"a": [None, number]} for number in (1, 2))
    merged = merge_documents(KEY, odd, doc(ours), doc(theirs), MergePolicy(sets=["a"]))
    assert merged == Merged(doc({"a": [None, 1, 2]}))


item_lists = st.lists(values.map(raw) | st.sampled_from([raw(int32(n)) for n in range(4)]))


@quick
@given(item_lists, item_lists, item_lists)
def test_set_laws(base: list[bytes], ours: list[bytes], theirs: list[bytes]) -> None:
    merged = merge_sets(base, ours, theirs)
    assert merged == merge_sets(base, theirs, ours)
    assert len(set(merged)) == len(merged)
    kept = set(base) & set(ours) & set(theirs)
    assert set(merged) == kept | (set(ours) - set(base)) | (set(theirs) - set(base))
    assert merge_sets(base, merged, theirs) == merged
    both = union_of(base, ours, theirs)
    assert both == union_of(base, theirs, ours)
    assert sorted(both) == sorted({*ours, *theirs})
