"""Merging documents without a database: the rules by name, then the laws."""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference_merge import GONE, reference_merge
from strategies import (
    NULL,
    ODD_NAMES,
    ODD_SCALARS,
    PAYLOAD_NAN,
    QUIET_NAN,
    Value,
    document,
    edited,
    embedded,
    fields,
    ids,
    int32,
    string,
    values,
    with_id,
)

import versioned_collection
from versioned_collection.core.document import document_key, elements, key_of
from versioned_collection.core.merging import (
    ANY,
    ANY_STEPS,
    KINDS,
    MISSING,
    Conflict,
    ElementKey,
    Merged,
    MergePolicy,
    merge_documents,
    path_text,
    pattern,
    python_value,
    raw_value,
    settle,
)
from versioned_collection.core.merging.orders import merge_orders
from versioned_collection.core.merging.values import fields_of
from versioned_collection.errors import InvalidArgument, PlaceGone

KEY = key_of(1)
States = tuple[bytes | None, bytes | None, bytes | None]

quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
thorough = settings(quick, max_examples=4_000, derandomize=False)
sweep = [pytest.mark.sweep, pytest.mark.timeout(3600)]


def doc(value: Any) -> bytes | None:
    return None if value is None else bson.encode({"_id": 1, **value})


def merge(base: Any, ours: Any, theirs: Any, **policy: Any) -> Merged:
    return merge_documents(KEY, doc(base), doc(ours), doc(theirs), MergePolicy(**policy))


def raw(value: Value) -> bytes:
    return bytes((value[0],)) + value[1]


def found(merged: Merged) -> list[tuple[str, str]]:
    return [(path_text(conflict.path), conflict.kind) for conflict in merged.conflicts]


def agrees(base: Any, ours: Any, theirs: Any, expected: Any, **policy: Any) -> None:
    """Both orders of the sides give the expected document, byte for byte, no conflict."""
    for one, other in ((ours, theirs), (theirs, ours)):
        merged = merge(base, one, other, **policy)
        assert (merged.raw, merged.conflicts) == (doc(expected), [])


def conflicts_at(base: Any, ours: Any, theirs: Any, place: str, kind: str, **policy: Any) -> None:
    merged = merge(base, ours, theirs, **policy)
    assert found(merged) == [(place, kind)]
    other = merge(base, theirs, ours, **policy)
    assert other.conflicts == [mirrored(conflict) for conflict in merged.conflicts]


def mirrored(conflict: Conflict) -> Conflict:
    kinds: Any = {"deleted_by_us": "deleted_by_them", "deleted_by_them": "deleted_by_us"}
    kind = kinds.get(conflict.kind, conflict.kind)
    return replace(conflict, kind=kind, ours=conflict.theirs, theirs=conflict.ours)


# -- the rules, by name ------------------------------------------------------------------


def test_different_fields_merge() -> None:
    agrees({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2})


def test_different_fields_of_nested_documents_merge() -> None:
    base = {"a": {"b": {"x": 1, "y": 1}, "c": 1}}
    ours = {"a": {"b": {"x": 2, "y": 1}, "c": 1}}
    theirs = {"a": {"b": {"x": 1, "y": 2}, "c": 2}}
    agrees(base, ours, theirs, {"a": {"b": {"x": 2, "y": 2}, "c": 2}})


def test_the_same_change_agrees() -> None:
    agrees({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 2})
    agrees({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 1})


def test_the_same_change_conflicts_where_the_policy_says_so() -> None:
    policy: Any = {"same_change_conflicts": ["*.count", "n"]}
    for extra in ({}, {"other": 1}):
        conflicts_at({"n": 1}, {"n": 2}, {"n": 2, **extra}, "n", "same_change", **policy)
    base, side = {"s": {"count": 1, "x": 1}}, {"s": {"count": 2, "x": 2}}
    conflicts_at(base, side, side, "s.count", "same_change", **policy)
    agrees({"m": 1}, {"m": 2}, {"m": 2}, {"m": 2}, **policy)
    agrees({"n": 1}, {"n": 1}, {"n": 2}, {"n": 2}, **policy)
    agrees({"n": 1}, {"n": 1}, {"n": 1}, {"n": 1}, **policy)
    agrees({"n": 1}, None, None, None, **policy)


def test_the_same_change_of_a_container_is_reported_at_the_container() -> None:
    policy: Any = {"same_change_conflicts": ["s"]}
    side = {"s": {"x": 2}}
    conflicts_at({"s": {"x": 1}}, side, side, "s", "same_change", **policy)
    everywhere: Any = {"same_change_conflicts": ["**"]}
    conflicts_at({"s": {"x": 1}}, side, side, "s.x", "same_change", **everywhere)
    conflicts_at(None, {"x": 2}, {"x": 2}, "x", "same_change", **everywhere)


def test_the_same_change_within_lists_is_seen() -> None:
    policy: Any = {"same_change_conflicts": ["items.*.n"]}
    base, side = {"items": [{"k": 1, "n": 1}]}, {"items": [{"k": 1, "n": 2}]}
    conflicts_at(base, side, side, "items[0].n", "same_change", **policy)
    keys: Any = {**policy, "list_keys": {"items": "k"}}
    conflicts_at(base, side, side, "items[k=1].n", "same_change", **keys)


def test_different_changes_of_a_field_conflict() -> None:
    merged = merge({"a": 1}, {"a": 2}, {"a": 3})
    assert merged.raw == doc({"a": 2})
    (conflict,) = merged.conflicts
    values = conflict.base_value, conflict.ours_value, conflict.theirs_value
    assert (conflict.path, conflict.kind, *values) == (("a",), "both_modified", 1, 2, 3)
    assert (conflict.key, conflict.document_id) == (KEY, 1)


def test_a_document_can_have_several_conflicts_and_merged_fields_beside() -> None:
    base = {"a": 1, "b": {"x": 1}, "c": 1, "d": 1}
    merged = merge(
        base, {"a": 2, "b": {"x": 2}, "c": 2, "d": 1}, {"a": 3, "b": {"x": 3}, "c": 1, "d": 2}
    )
    assert found(merged) == [("a", "both_modified"), ("b.x", "both_modified")]
    assert merged.raw == doc({"a": 2, "b": {"x": 2}, "c": 2, "d": 2})


def test_equal_additions_agree() -> None:
    agrees({}, {"a": [1], "b": 1}, {"a": [1], "c": 1}, {"a": [1], "b": 1, "c": 1})
    agrees(None, {"a": 1}, {"a": 1}, {"a": 1})


def test_documents_added_on_both_sides_merge_by_field() -> None:
    agrees(None, {"a": 1, "b": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 1, "c": 1})
    agrees({}, {"d": {"x": 1}}, {"d": {"y": 1}}, {"d": {"x": 1, "y": 1}})
    conflicts_at(None, {"a": 1, "b": 1}, {"a": 2}, "a", "both_added")
    conflicts_at({}, {"d": {"x": {"y": 1}}}, {"d": {"x": {"y": 2}}}, "d.x.y", "both_added")


def test_different_scalars_and_lists_added_on_both_sides_conflict() -> None:
    conflicts_at({}, {"a": 1}, {"a": 2}, "a", "both_added")
    conflicts_at({}, {"a": [1]}, {"a": [1, 2]}, "a", "both_added")
    conflicts_at({}, {"a": 1}, {"a": {"x": 1}}, "a", "both_added")


def test_removing_a_field() -> None:
    agrees({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2})
    agrees({"a": 1, "b": 1}, {"b": 1}, {"b": 1}, {"b": 1})
    agrees({"a": 1, "b": 1}, {"b": 1}, {"a": 1}, {})
    agrees({"a": 1, "b": 1}, {"a": None, "b": 1}, {"a": 1, "b": None}, {"a": None, "b": None})


def test_removal_against_change_conflicts_where_it_was_removed() -> None:
    conflicts_at({"a": 1}, {}, {"a": 2}, "a", "deleted_by_us")
    conflicts_at({"a": {"x": {"y": 1}}}, {}, {"a": {"x": {"y": 2}}}, "a", "deleted_by_us")
    conflicts_at({"a": {"x": 1}}, {"a": {"x": 2}}, {}, "a", "deleted_by_them")
    merged = merge({"a": 1}, {}, {"a": 2})
    assert merged.raw == doc({})
    assert merged.conflicts[0].ours_value is MISSING


def test_a_deleted_document_against_a_changed_one_conflicts_as_a_whole() -> None:
    conflicts_at({"a": 1}, None, {"a": 2}, "(document)", "deleted_by_us")
    merged = merge({"a": 1}, {"a": 2}, None)
    assert merged.raw == doc({"a": 2})
    assert merged.conflicts[0].path == ()
    assert merged.conflicts[0].ours_value == {"_id": 1, "a": 2}
    assert merge({"a": 1}, {"a": 1}, None) == Merged(None)
    assert merge({"a": 1}, None, None) == Merged(None)


def test_a_type_changed_against_another_change_conflicts() -> None:
    conflicts_at({"a": 1}, {"a": "1"}, {"a": 2}, "a", "type_changed")
    conflicts_at({"a": {"x": 1}}, {"a": 1}, {"a": {"x": 2}}, "a", "type_changed")
    conflicts_at({"a": {"x": 1}}, {"a": [1]}, {"a": {"x": 2}}, "a", "type_changed")
    conflicts_at({"a": 1}, {"a": {"x": 1}}, {"a": {"y": 1}}, "a", "type_changed")
    conflicts_at({"a": 1}, {"a": [1]}, {"a": [1, 2]}, "a", "type_changed")
    agrees({"a": 1, "b": 1}, {"a": "1", "b": 1}, {"a": 1, "b": 2}, {"a": "1", "b": 2})


TWINS: tuple[Any, ...] = (1, Int64(1), 1.0, True, Decimal128("1"), Decimal128("1.0"))
ZEROS: tuple[Any, ...] = (0, Int64(0), 0.0, -0.0, False)


@pytest.mark.parametrize("equals", [TWINS, ZEROS], ids=["ones", "zeros"])
def test_values_that_python_takes_for_equal_are_different(equals: tuple[Any, ...]) -> None:
    for base, side in permutations(equals, 2):
        agrees({"a": base, "b": 1}, {"a": side, "b": 1}, {"a": base}, {"a": side})
    for base, ours, theirs in permutations(equals, 3):
        assert merge({"a": base}, {"a": ours}, {"a": theirs}).conflicts


def test_nan_is_equal_to_itself_and_not_to_one_with_another_payload() -> None:
    quiet, odd = (with_id(int32(1), [(b"a", nan)]) for nan in (QUIET_NAN, PAYLOAD_NAN))
    number = with_id(int32(1), [(b"a", int32(1))])
    assert merge_documents(KEY, quiet, odd, number).conflicts
    both = [
        document([(b"_id", int32(1)), (b"a", odd_), (b"b", b)])
        for odd_, b in ((QUIET_NAN, NULL), (PAYLOAD_NAN, NULL), (QUIET_NAN, int32(1)))
    ]
    merged = merge_documents(KEY, *both)
    assert merged == Merged(with_id(int32(1), [(b"a", PAYLOAD_NAN), (b"b", int32(1))]))
    agrees(
        {"a": math.nan},
        {"a": math.nan, "b": 1},
        {"a": math.nan, "c": 1},
        {"a": math.nan, "b": 1, "c": 1},
    )


@pytest.mark.parametrize("value", ODD_SCALARS, ids=range(len(ODD_SCALARS)))
def test_every_type_takes_part(value: Value) -> None:
    base = with_id(int32(1), [(b"a", string("before")), (b"b", int32(1))])
    ours = with_id(int32(1), [(b"a", value), (b"b", int32(1))])
    theirs = with_id(int32(1), [(b"a", string("before")), (b"b", value)])
    merged = merge_documents(KEY, base, ours, theirs)
    assert merged == Merged(with_id(int32(1), [(b"a", value), (b"b", value)]))
    third = with_id(int32(1), [(b"a", string("third")), (b"b", int32(1))])
    (conflict,) = merge_documents(KEY, base, ours, third).conflicts
    assert conflict.ours == raw(value)
    python_value(conflict.ours)  # whatever it is


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name], ids=repr)
def test_every_name_is_a_name(name: bytes) -> None:
    states = [
        with_id(int32(1), [(name, int32(n)), (b"z", int32(m))])
        for n, m in ((1, 1), (2, 1), (1, 2))
    ]
    merged = merge_documents(KEY, *states)
    assert merged == Merged(with_id(int32(1), [(name, int32(2)), (b"z", int32(2))]))
    nested = [with_id(int32(1), [(b"d", embedded([(name, int32(n))]))]) for n in (1, 2, 3)]
    (conflict,) = merge_documents(KEY, *nested).conflicts
    kept = settle(nested[1], conflict.path, conflict.theirs)
    assert kept == nested[2]


def test_a_name_with_a_dot_is_not_a_path() -> None:
    agrees(
        {"a.b": 1, "a": {"b": 1}},
        {"a.b": 2, "a": {"b": 1}},
        {"a.b": 1, "a": {"b": 3}},
        {"a.b": 2, "a": {"b": 3}},
    )


def test_a_reference_is_one_value() -> None:
    base, ours, theirs = DBRef("c", 1), DBRef("c", 2), DBRef("d", 1)
    conflicts_at({"r": base}, {"r": ours}, {"r": theirs}, "r", "both_modified")


def test_duplicate_names_conflict_as_a_whole_where_both_sides_changed() -> None:
    twice = [(b"x", int32(1)), (b"x", int32(2))]
    states = [
        with_id(int32(1), [(b"d", embedded(inner)), (b"e", e)])
        for inner, e in (
            (twice, NULL),
            ([*twice, (b"y", NULL)], NULL),
            ([*twice, (b"z", NULL)], int32(1)),
        )
    ]
    merged = merge_documents(KEY, *states)
    assert found(merged) == [("d", "both_modified")]
    one_sided = with_id(int32(1), [(b"d", embedded(twice)), (b"e", int32(1))])
    expected = with_id(int32(1), [(b"d", embedded([*twice, (b"y", NULL)])), (b"e", int32(1))])
    assert merge_documents(KEY, states[0], states[1], one_sided) == Merged(expected)
    top = [with_id(int32(1), [*twice, extra]) for extra in ((b"a", NULL), (b"b", NULL))]
    whole = merge_documents(KEY, with_id(int32(1), twice), *top)
    assert [conflict.path for conflict in whole.conflicts] == [()]
    assert whole.raw == top[0]


# -- coupled fields ----------------------------------------------------------------------

COUPLED: Any = {"coupled": [["street", "town.zip"], ["items.*.n", "total"]]}


def test_coupled_fields_changed_apart_conflict() -> None:
    base = {"street": "a", "town": {"zip": 1, "x": 1}}
    merged = merge(base, {**base, "street": "b"}, {**base, "town": {"zip": 2, "x": 2}}, **COUPLED)
    assert found(merged) == [("street", "coupled"), ("town.zip", "coupled")]
    assert merged.raw == doc({"street": "b", "town": {"zip": 1, "x": 2}})
    street = merged.conflicts[0]
    assert (street.base_value, street.ours_value, street.theirs_value) == ("a", "b", "a")


def test_coupled_fields_changed_by_one_side_or_alike_merge() -> None:
    base = {"street": "a", "town": {"zip": 1}, "x": 1}
    both = {"street": "b", "town": {"zip": 2}, "x": 1}
    agrees(base, both, {**base, "x": 2}, {**both, "x": 2}, **COUPLED)
    agrees(base, both, {**both, "x": 2}, {**both, "x": 2}, **COUPLED)
    conflicts_at(base, both, {**base, "street": "b"}, "town.zip", "coupled", **COUPLED)


def test_coupled_fields_are_seen_in_what_was_removed_or_replaced() -> None:
    base = {"street": "a", "town": {"zip": 1}}
    ours = {**base, "street": "b"}
    for theirs in ({"street": "a"}, {**base, "town": 5}, {**base, "town": {}}):
        merged = merge(base, ours, theirs, **COUPLED)
        assert [kind for _, kind in found(merged)] == ["coupled", "coupled"]
        assert merged.raw == doc(ours)
    merged = merge({}, {"street": "b"}, {"town": {"zip": 1}}, **COUPLED)
    assert found(merged) == [("street", "coupled"), ("town", "coupled")]


def test_coupled_fields_within_lists() -> None:
    base = {"items": [{"k": 1, "n": 1}], "total": 1}
    ours = {"items": [{"k": 1, "n": 2}], "total": 1}
    theirs = {"items": [{"k": 1, "n": 1}], "total": 2}
    merged = merge(base, ours, theirs, **COUPLED)
    assert found(merged) == [("items", "coupled"), ("total", "coupled")]
    merged = merge(base, ours, theirs, list_keys={"items": "k"}, **COUPLED)
    assert found(merged) == [("items[k=1].n", "coupled"), ("total", "coupled")]
    merged = merge(base, ours, theirs, sets=["items"], list_keys={"*": "k"}, **COUPLED)
    assert found(merged) == [("items", "coupled"), ("total", "coupled")]


# -- order of fields ---------------------------------------------------------------------


def test_reordering_on_one_side_is_taken() -> None:
    agrees(
        {"a": 1, "b": 1, "c": 1},
        {"c": 1, "a": 1, "b": 1},
        {"a": 1, "b": 2, "c": 1},
        {"c": 1, "a": 1, "b": 2},
    )


def test_reordering_on_both_sides_takes_the_smaller_order() -> None:
    agrees(
        {"a": 1, "b": 1, "c": 1},
        {"c": 1, "b": 1, "a": 1},
        {"b": 1, "a": 1, "c": 1},
        {"b": 1, "a": 1, "c": 1},
    )


def test_additions_stand_behind_what_precedes_them() -> None:
    agrees(
        {"a": 1, "b": 1},
        {"a": 1, "x": 1, "b": 1},
        {"a": 1, "b": 1, "y": 1},
        {"a": 1, "x": 1, "b": 1, "y": 1},
    )
    agrees({"a": 1}, {"a": 1, "z": 1, "b": 1}, {"a": 1, "m": 1}, {"a": 1, "m": 1, "z": 1, "b": 1})


def test_the_id_stays_first() -> None:
    base, ours, theirs = (
        bson.encode(RawBSONDocument(document(list_)))
        for list_ in (
            [(b"_id", int32(1)), (b"b", int32(1))],
            [(b"b", int32(1)), (b"_id", int32(1))],
            [(b"_id", int32(1)), (b"b", int32(2))],
        )
    )
    assert merge_documents(KEY, base, ours, theirs).raw == doc({"b": 2})
    assert merge_documents(KEY, None, doc({"A": 1}), doc({"B": 1})).raw == doc({"A": 1, "B": 1})


orders = st.permutations([b"a", b"b", b"c", b"d", b"e"]).flatmap(
    lambda all_: st.integers(0, 5).map(lambda size: list(all_[:size]))
)


@quick
@given(orders, orders, orders)
def test_orders_are_symmetric_complete_and_repeatable(
    base: list[bytes], ours: list[bytes], theirs: list[bytes]
) -> None:
    survivors = {
        name
        for name in {*base, *ours, *theirs}
        if (name in ours and name in theirs) or (name not in base)
    }
    merged = merge_orders(base, ours, theirs, survivors)
    assert sorted(merged) == sorted(survivors)
    assert merged == merge_orders(base, theirs, ours, survivors)
    assert merge_orders(base, merged, theirs, survivors) == merged
    assert merge_orders(base, ours, ours, set(ours)) == ours
    both = [name for name in ours if name in theirs]
    if both == [name for name in theirs if name in ours]:
        assert [name for name in merged if name in both] == both


def test_what_a_resolver_brings_back_stands_where_it_was() -> None:
    assert merge_orders([b"a", b"b", b"c"], [b"a", b"c"], [b"c"], {b"a", b"b", b"c"}) == [
        b"a",
        b"b",
        b"c",
    ]
    assert merge_orders([b"a", b"b"], [b"b"], [b"b"], {b"a", b"b"}) == [b"a", b"b"]


# -- laws --------------------------------------------------------------------------------

leaves = st.sampled_from((1, 2, 1.0, Int64(1), True, "1", "x", None, 0.0, -0.0, math.nan))
names = st.sampled_from(("a", "b", "c", "d.e"))


@st.composite
def triples(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any, Any]:
    """Return a strategy of three states of one value, GONE among them."""
    shape = draw(st.sampled_from(("same", "leaf", "odd", "dict", "dict", "list")))
    if depth == 0 or shape == "leaf":
        few = draw(st.lists(leaves, min_size=2, max_size=2))
        return tuple(draw(st.sampled_from([*few, few[0], GONE])) for _ in range(3))  # type: ignore[return-value]
    if shape == "same":
        value = draw(triples(depth=depth - 1))[0]
        return value, value, value
    if shape == "odd":
        return tuple(draw(triples(depth=depth - 1))[0] for _ in range(3))  # type: ignore[return-value]
    if shape == "list":
        return draw(list_triples())
    return draw(dict_triples(depth))


@st.composite
def dict_triples(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any, Any]:
    children = draw(st.dictionaries(names, triples(depth=depth - 1), max_size=4))
    sides = []
    for number in range(3):
        order = draw(st.permutations(list(children))) if draw(st.integers(0, 5)) == 0 else children
        states = ((name, children[name][number]) for name in order)
        sides.append({name: state for name, state in states if state is not GONE})
    return sides[0], sides[1], sides[2]


@st.composite
def list_triples(draw: st.DrawFn) -> tuple[list[Any], list[Any], list[Any]]:
    """Return a strategy of lists of which each element occurs once, in one order."""
    base: list[Any] = []
    sides: tuple[list[Any], list[Any]] = ([], [])
    fresh = iter(range(1000))
    for place in range(draw(st.integers(0, 5)) + 1):
        for side in sides:
            side += [next(fresh) for _ in range(draw(st.sampled_from((0, 0, 0, 0, 1, 2))))]
        if draw(st.integers(0, 9)) == 0:  # the same addition
            number = next(fresh)
            for side in sides:
                side.append(number)
        if place == 0:
            continue
        element: Any = {"k": next(fresh), "v": 0, "w": 0}
        base.append(element)
        for side in sides:
            change = draw(st.sampled_from(("keep", "keep", "keep", "drop", "new", "v", "w")))
            if change == "new":
                side.append(next(fresh))
            elif change != "drop":
                side.append({**element, **({} if change == "keep" else {change: next(fresh)})})
    return base, sides[0], sides[1]


def canonical(value: Any) -> Any:
    """Return a value without the order of its fields."""
    if isinstance(value, dict):
        return {name: canonical(value[name]) for name in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, list) else value


def of_plain(triple: tuple[Any, Any, Any]) -> States:
    encoded = (None if fields_ is GONE else doc(fields_) for fields_ in triple)
    return tuple(encoded)  # type: ignore[return-value]


def check_against_the_reference(triple: tuple[Any, Any, Any]) -> None:
    merged = merge_documents(KEY, *of_plain(triple))
    expected, kinds = reference_merge(*triple)
    assert {conflict.path: conflict.kind for conflict in merged.conflicts} == kinds
    if expected is GONE:
        assert merged.raw is None
        return
    assert merged.raw is not None
    decoded = bson.decode(merged.raw)
    assert decoded.pop("_id") == 1
    assert bson.encode(canonical(decoded)) == bson.encode(canonical(expected))


def with_gone(triples_: Any) -> Any:
    return st.one_of(
        triples_,
        triples_,
        st.tuples(triples_, st.integers(0, 2)).map(
            lambda pair: tuple(GONE if n == pair[1] else x for n, x in enumerate(pair[0]))
        ),
    )


@settings(quick, max_examples=80)
@given(with_gone(dict_triples()))
def test_agrees_with_the_reference(triple: tuple[Any, Any, Any]) -> None:
    check_against_the_reference(triple)


@settings(quick, max_examples=60)
@given(list_triples())
def test_lists_agree_with_the_reference(triple: tuple[Any, Any, Any]) -> None:
    base, ours, theirs = ({"a": side} for side in triple)
    check_against_the_reference((base, ours, theirs))


@pytest.mark.parametrize("_", [pytest.param(0, marks=sweep)])
@thorough
@given(triple=with_gone(dict_triples()))
def test_agrees_with_the_reference_at_length(triple: tuple[Any, Any, Any], _: int) -> None:
    check_against_the_reference(triple)


@st.composite
def raw_states(draw: st.DrawFn) -> States:
    """Return a strategy of three states of one document with values of every type."""
    id_ = draw(ids)
    nested = st.lists(st.tuples(st.sampled_from((b"p", b"q", b"r")), values), max_size=3)
    base = [*draw(fields), (b"n", embedded(draw(nested)))]
    sides: list[bytes | None] = [with_id(id_, base)]
    for _ in range(2):
        side = draw(edited(base)) if draw(st.booleans()) else list(base)
        if draw(st.booleans()):
            changed = draw(nested)
            side = [(n, embedded(changed)) if n == b"n" else (n, v) for n, v in side]
        sides.append(with_id(id_, side))
    if draw(st.integers(0, 9)) == 0:
        sides[draw(st.integers(0, 2))] = None
    return sides[0], sides[1], sides[2]


all_states = st.one_of(raw_states(), with_gone(dict_triples()).map(of_plain))


def key_in(states: States) -> bytes:
    return next((document_key(state) for state in states if state is not None), KEY)


@settings(quick, max_examples=60)
@given(all_states)
def test_swapping_the_sides_mirrors_the_outcome(states: States) -> None:
    base, ours, theirs = states
    merged = merge_documents(key_in(states), base, ours, theirs)
    other = merge_documents(key_in(states), base, theirs, ours)
    assert other.conflicts == [mirrored(conflict) for conflict in merged.conflicts]
    if not merged.conflicts:
        assert other.raw == merged.raw


@quick
@given(all_states)
def test_a_side_that_did_nothing_yields(states: States) -> None:
    base, one, _ = states
    for watching in (MergePolicy(), MergePolicy(coupled=[["**", "a"]], default="ours")):
        key = key_in(states)
        assert merge_documents(key, base, base, base, watching) == Merged(base)
        assert merge_documents(key, base, one, base, watching) == Merged(one)
        assert merge_documents(key, base, base, one, watching) == Merged(one)
        assert merge_documents(key, base, one, one, watching) == Merged(one)


@quick
@given(all_states)
def test_what_watches_same_changes_keeps_those_that_nobody_names(states: States) -> None:
    base, one, _ = states
    watching = MergePolicy(same_change_conflicts=[("no", "such", "place")])
    assert merge_documents(key_in(states), base, one, one, watching) == Merged(one)


@quick
@given(all_states)
def test_merging_the_outcome_with_a_side_again_changes_nothing(states: States) -> None:
    base, ours, theirs = states
    key = key_in(states)
    merged = merge_documents(key, base, ours, theirs)
    assume(not merged.conflicts)
    for side in (ours, theirs):
        assert merge_documents(key, side, merged.raw, side) == Merged(merged.raw)
        again = merge_documents(key, base, merged.raw, side)
        if not any(b"\x04" in state for state in states if state is not None):
            assert again == Merged(merged.raw)  # lists: stretches that meet become one


Leaves = dict[tuple[bytes, ...], bytes]


def leaves_of(raw_: bytes | None) -> Leaves:
    """Return whatever is no document by its path."""
    found_: Leaves = {}

    def walk(path: tuple[bytes, ...], value: bytes) -> None:
        parts = fields_of(value) if value[0] == 0x03 else None
        if parts is None:
            found_[path] = value
        else:
            for name, child in parts.items():
                walk((*path, name), child)

    if raw_ is not None:
        walk((), b"\x03" + raw_)
    return found_


def reported(conflicts: list[Conflict], path: tuple[bytes, ...]) -> bool:
    """Tell whether a conflict is at a place, above it or below it."""
    for conflict in conflicts:
        steps = tuple(
            step.encode("utf-8", "surrogateescape") if isinstance(step, str) else b"?"
            for step in conflict.path
        )
        size = min(len(steps), len(path))
        if steps[:size] == path[:size]:
            return True
    return False


def check_nothing_is_lost(states: States) -> None:
    base, ours, theirs = states
    merged = merge_documents(key_in(states), base, ours, theirs)
    before, after = leaves_of(base), leaves_of(merged.raw)
    sides = leaves_of(ours), leaves_of(theirs)
    for side, other in (sides, sides[::-1]):
        for path in before.keys() | side.keys():
            was, now = before.get(path), side.get(path)
            if was == now or reported(merged.conflicts, path) or after.get(path) == now:
                continue
            three = (was, now, other.get(path))
            assert all(value is not None and value[0] == 0x04 for value in three), path
            check_list(*three, after[path])  # type: ignore[arg-type]
    for path, value in after.items():  # and nothing comes from nowhere
        known = {before.get(path), sides[0].get(path), sides[1].get(path)}
        assert value in known or value[0] == 0x04


def check_list(was: bytes, now: bytes, other: bytes, merged: bytes) -> None:
    """What a side added is in the merged list, what it removed is not."""
    counts = [
        Counter(v[1:][a:b] + bytes((k,)) for k, _, a, b in elements(v[1:]))
        for v in (was, now, other, merged)
    ]
    one_by_one = sum(counts[0].values()) == sum(counts[1].values()) == sum(counts[2].values())
    for item in counts[0] | counts[1]:
        change = counts[1][item] - counts[0][item]
        change_there = counts[2][item] - counts[0][item]
        if change == change_there or item[-1] in (0x03, 0x04):
            continue  # agreed, or merged from within
        if change > 0 and change_there >= 0:
            assert counts[3][item] >= counts[0][item] + change or one_by_one
        if change < 0 and change_there <= 0:
            assert counts[3][item] < counts[0][item]


@settings(quick, max_examples=60)
@given(all_states)
def test_no_change_of_either_side_is_lost(states: States) -> None:
    check_nothing_is_lost(states)


@pytest.mark.parametrize("_", [pytest.param(0, marks=sweep)])
@thorough
@given(states=all_states)
def test_no_change_of_either_side_is_lost_at_length(states: States, _: int) -> None:
    check_nothing_is_lost(states)


@quick
@given(
    raw_states(),
    st.dictionaries(st.sampled_from((b"k", b"l")), values),
    st.dictionaries(st.sampled_from((b"v", b"w")), values),
)
def test_changes_of_different_fields_are_both_applied(
    states: States, ours: dict[bytes, Value], theirs: dict[bytes, Value]
) -> None:
    """And what neither touched has the bytes it had, even in documents with odd contents."""
    some = states[0] or with_id(int32(1), [])
    all_fields = [(name, (kind, some[a:b])) for kind, name, a, b in elements(some)]
    middle = [field for field in all_fields if field[0] not in (b"_id", *b"k l v w".split())]
    assume(len({name for name, _ in middle}) == len(middle))
    front = [(b"k", NULL), (b"l", NULL)]
    back = [(b"v", NULL), (b"w", NULL)]
    put = {**dict(front), **ours}, {**dict(back), **theirs}
    base = with_id(int32(1), [*front, *middle, *back])
    one = with_id(int32(1), [*put[0].items(), *middle, *back])
    other = with_id(int32(1), [*front, *middle, *put[1].items()])
    both = with_id(int32(1), [*put[0].items(), *middle, *put[1].items()])
    assert merge_documents(KEY, base, one, other) == Merged(both)


# -- conflicts as documents --------------------------------------------------------------

steps = st.one_of(
    st.sampled_from(ODD_NAMES).map(lambda name: name.decode("utf-8", "surrogateescape")),
    st.integers(0, 1 << 40),
    st.builds(ElementKey, st.sampled_from(("sku", "a.b", "$x", "\udcff")), values.map(raw)),
)
sides_ = st.one_of(st.none(), values.map(raw))


@quick
@given(st.lists(steps, max_size=4), st.sampled_from(KINDS), sides_, sides_, sides_, ids.map(raw))
def test_conflicts_are_stored_exactly(
    path: list[Any], kind: Any, base: Any, ours: Any, theirs: Any, key: bytes
) -> None:
    conflict = Conflict(key, tuple(path), kind, base, ours, theirs)
    stored = bson.decode(bson.encode({"_id": 0, **conflict.to_bson()}))
    again = Conflict.from_bson(stored)
    assert again == conflict
    assert [type(step) for step in again.path] == [type(step) for step in path]
    assert hash(again) == hash(conflict)


def test_a_stored_conflict_must_be_whole() -> None:
    stored = Conflict(KEY, ("a",), "both_added", None, raw(NULL), None).to_bson()
    assert set(stored) == {"key", "path", "kind", "ours"}
    with pytest.raises(InvalidArgument, match="both_modified"):
        Conflict.from_bson({**stored, "kind": "fancy"})
    with pytest.raises(KeyError):
        Conflict.from_bson({"kind": "coupled", "key": Binary(KEY)})


def test_no_value_is_not_null() -> None:
    conflict = Conflict(KEY, ("a",), "deleted_by_us", raw(NULL), None, raw(int32(2)))
    assert conflict.base_value is None
    assert conflict.ours_value is MISSING
    assert repr(MISSING) == "MISSING"
    assert raw_value(MISSING) is None
    assert raw_value(None) == raw(NULL)


# -- settling ----------------------------------------------------------------------------


def put(document_: Any, path: Any, value: Any, like: Any = None) -> Any:
    settled = settle(doc(document_), path, raw_value(value), doc(like))
    if settled is None:
        return None
    decoded = bson.decode(settled)
    del decoded["_id"]
    return list(decoded.items())


def test_settling_puts_one_value_and_leaves_the_others() -> None:
    assert put({"a": {"x": 1, "y": 2}, "b": 3}, ("a", "x"), [5]) == [
        ("a", {"x": [5], "y": 2}),
        ("b", 3),
    ]
    assert put({"a": 1, "b": 3}, ("a",), MISSING) == [("b", 3)]
    assert put({"b": 3}, ("a",), MISSING) == [("b", 3)]
    assert put({"a.b": 1, "a": {"b": 1}}, ("a.b",), 2) == [("a.b", 2), ("a", {"b": 1})]


def test_settling_puts_missing_fields_where_another_document_has_them() -> None:
    assert put({"a": 1, "b": 1}, ("x",), 2) == [("a", 1), ("b", 1), ("x", 2)]
    like = {"a": 1, "x": 1, "b": 1}
    assert put({"a": 1, "b": 1}, ("x",), 2, like) == [("a", 1), ("x", 2), ("b", 1)]
    nested = put({"d": {"a": 1, "b": 1}}, ("d", "x"), 2, {"d": like})
    assert [(n, list(v.items())) for n, v in nested] == [("d", [("a", 1), ("x", 2), ("b", 1)])]


def test_settling_a_whole_document() -> None:
    value = raw_value({"_id": 1, "a": 2})
    assert settle(doc({"a": 1}), (), value) == doc({"a": 2})
    assert settle(None, (), value) == doc({"a": 2})
    assert settle(doc({"a": 1}), (), None) is None
    with pytest.raises(InvalidArgument, match="whole document"):
        settle(doc({}), (), raw_value(1))


def test_settling_within_lists() -> None:
    assert put({"a": [1, 2, 3]}, ("a", 1), 9) == [("a", [1, 9, 3])]
    assert put({"a": [1]}, ("a", 1), 9) == [("a", [1, 9])]
    removed = settle(doc({"a": [1, 2, 3]}), ("a", 0), None)
    assert removed == doc({"a": [2, 3]})
    moved = {"a": [{"k": 2, "v": 2}, {"k": 1, "v": 1}]}
    one = ElementKey.of("k", 1)
    assert put(moved, ("a", one, "v"), 5) == [("a", [{"k": 2, "v": 2}, {"k": 1, "v": 5}])]
    assert settle(doc(moved), ("a", one), None) == doc({"a": [{"k": 2, "v": 2}]})
    assert put({"a": []}, ("a", one), {"k": 1}) == [("a", [{"k": 1}])]
    odd = with_id(int32(1), [(b"a", (0x04, document([(b"x", NULL), (b"y", int32(1))])))])
    left = with_id(int32(1), [(b"a", (0x04, document([(b"y", int32(1))])))])
    assert settle(odd, ("a", 0), None) == left


GONE_PLACES: tuple[tuple[Any, Any], ...] = (
    (None, ("a",)),
    ({}, ("a", "x")),
    ({"a": 1}, ("a", "x")),
    ({"a": [1]}, ("a", "x")),
    ({"a": {"x": 1}}, ("a", 0)),
    ({"a": [1]}, ("a", 2)),
    ({"a": [1]}, ("a", 1, "x")),
    ({"a": [{"k": 2}]}, ("a", ElementKey.of("k", 1), "x")),
    ({"a": [{"k": 1}, {"k": 1}]}, ("a", ElementKey.of("k", 1))),
    ({"a": 5}, ("a", ElementKey.of("k", 1))),
)


@pytest.mark.parametrize(("document_", "path"), GONE_PLACES, ids=range(len(GONE_PLACES)))
def test_settling_a_place_that_is_gone(document_: Any, path: Any) -> None:
    assert settle(None, path, None) is None
    for value in (raw(int32(5)), None) if document_ is not None else (raw(int32(5)),):
        with pytest.raises(PlaceGone) as error:
            settle(doc(document_), path, value)
        assert error.value.path == path
        assert error.value.code == "place_gone"


def test_settling_a_name_that_occurs_twice() -> None:
    twice = with_id(int32(1), [(b"x", NULL), (b"x", NULL)])
    with pytest.raises(PlaceGone, match="several"):
        settle(twice, ("x",), None)


@quick
@given(all_states)
def test_settling_every_conflict_by_their_side(states: States) -> None:
    """The outcome is what the merge gives where their side wins, up to the order of fields."""
    key = key_in(states)
    merged = merge_documents(key, *states)
    wanted = merge_documents(key, *states, MergePolicy(default="theirs"))
    assert not wanted.conflicts
    assert wanted.settled == merged.conflicts
    settled = merged.raw
    for conflict in merged.conflicts:
        settled = settle(settled, conflict.path, conflict.theirs, states[2])
    assert leaves_of(settled) == leaves_of(wanted.raw)
    assert len(settled or b"") == len(wanted.raw or b"")


@quick
@given(all_states)
def test_settling_by_our_side_changes_nothing(states: States) -> None:
    merged = merge_documents(key_in(states), *states)
    for conflict in merged.conflicts:
        assert settle(merged.raw, conflict.path, conflict.ours) == merged.raw


# -- patterns ----------------------------------------------------------------------------

MATCHES: tuple[tuple[Any, Any, bool], ...] = (
    ("a", ("a",), True),
    ("a", ("a", "b"), False),
    ("a", (), False),
    ("a.b", ("a", "b"), True),
    ("a.b", ("a.b",), False),
    ("*", ("a",), True),
    ("*", ("a", "b"), False),
    ("*", (), False),
    ("**", (), True),
    ("**", ("a", 1, "b"), True),
    ("a.**", ("a",), True),
    ("a.**", ("a", "b", "c"), True),
    ("a.**", ("b",), False),
    ("**.a", ("a",), True),
    ("**.a", ("b", "a"), True),
    ("**.a", ("a", "b"), False),
    ("a.**.b", ("a", "b"), True),
    ("a.**.b", ("a", "b", "c", "b"), True),
    ("a.**.b.*", ("a", "x", "b", "c"), True),
    ("a.**.b.*", ("a", "x", "b"), False),
    ("a.*.b", ("a", 3, "b"), True),
    ("a.3.b", ("a", 3, "b"), True),
    ("a.3.b", ("a", "3", "b"), True),
    ("a.3.b", ("a", 4, "b"), False),
    ("a.*", ("a", ElementKey.of("k", 1)), True),
    ("$a.b$", ("$a", "b$"), True),
    (("a.b", ""), ("a.b", ""), True),
    (("*",), ("*",), True),
    (("*",), ("a",), False),
    ((ANY, "x.y"), ("a", "x.y"), True),
    ((ANY_STEPS, "x.y"), ("x.y",), True),
    (("a", 3), ("a", 3), True),
    (("a", 3), ("a", "3"), False),
    (("a", ElementKey.of("k", 1)), ("a", ElementKey.of("k", 1)), True),
    (("a", ElementKey.of("k", 1)), ("a", ElementKey.of("k", 1.0)), False),
    ((), (), True),
    ((), ("a",), False),
    ("**.**.**.**.**.**.a", ("b",) * 60, False),
)


@pytest.mark.parametrize(("like", "path", "expected"), MATCHES, ids=range(len(MATCHES)))
def test_patterns(like: Any, path: Any, expected: bool) -> None:
    assert pattern(like).matches(path) is expected
    assert pattern(pattern(like)) == pattern(like)


@pytest.mark.parametrize(
    "like",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a*",
        "a.***",
        "a\0",
        ("a", None),
        ("a", True),
        ("a", 1.0),
        ("\0",),
        5,
        None,
        ["a"],
    ],
    ids=repr,
)
def test_patterns_that_cannot_be_right(like: Any) -> None:
    with pytest.raises(InvalidArgument, match="pattern"):
        pattern(like)


def test_paths_for_people() -> None:
    assert path_text(()) == "(document)"
    assert path_text(("a", "b")) == "a.b"
    assert path_text(("a", 0, ElementKey.of("k", "x"), "b")) == "a[0][k='x'].b"
    assert path_text(("a.b", "")) == "'a.b'.''"
    assert path_text(("\udcff",)) == "'\\udcff'"


def test_element_keys_are_told_apart_by_type() -> None:
    kinds = {ElementKey.of("k", value) for value in (1, 1.0, True, Int64(1), "1")}
    assert len(kinds) == 5
    assert ElementKey.of("k", {"a": 1}).python == {"a": 1}
    assert ElementKey("k", b"\x10" + struct.pack("<i", 7)) == ElementKey.of("k", 7)


def test_markers_and_wildcards_are_public():
    assert (str(MISSING), f"{MISSING}") == ("MISSING", "MISSING")
    assert (versioned_collection.ANY, versioned_collection.ANY_STEPS) == (ANY, ANY_STEPS)
