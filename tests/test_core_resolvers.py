"""Resolvers and policies without a database: what each settles, and its laws."""

from __future__ import annotations

import math
import struct
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from strategies import DECIMAL_INFINITY, PAYLOAD_NAN, scalars, values
from test_core_merge import KEY, all_states, conflicts_at, doc, found, key_in, merge, quick, raw

from versioned_collection.core.merging import (
    MISSING,
    RESOLVERS,
    UNRESOLVED,
    Conflict,
    Exactly,
    MergeContext,
    Merged,
    MergePolicy,
    Side,
    merge_documents,
    python_value,
    raw_value,
    resolver,
    run_resolver,
)
from versioned_collection.errors import InvalidArgument, ResolverFailed

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
NO_CONTEXT = MergeContext()


def conflict_of(base: Any, ours: Any, theirs: Any) -> Conflict:
    three = (raw_value(value) for value in (base, ours, theirs))
    return Conflict(KEY, ("a",), "both_modified", *three)


def resolved(name: Any, base: Any, ours: Any, theirs: Any, context: Any = NO_CONTEXT) -> Any:
    """Return what both orders of the sides give, with its type."""
    results = [
        run_resolver(resolver(name), conflict_of(base, *sides), context)
        for sides in ((ours, theirs), (theirs, ours))
    ]
    assert results[0] == results[1]
    return results[0] if results[0] is UNRESOLVED else python_value(results[0])


def is_exactly(value: Any, expected: Any) -> bool:
    return bson.encode({"": value}) == bson.encode({"": expected})


# -- each of them ------------------------------------------------------------------------


def test_a_side_by_name() -> None:
    for name, expected in (("ours", {"a": 2, "b": 2}), ("theirs", {"a": 3, "b": 2})):
        merged = merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 2}, default=name)
        assert (merged.raw, merged.conflicts) == (doc(expected), [])
        assert [conflict.path for conflict in merged.settled] == [("a",)]
    assert merge({"a": 1}, {}, {"a": 2}, default="theirs").raw == doc({"a": 2})
    assert merge({"a": 1}, {"a": 2}, {}, default="theirs").raw == doc({})
    assert merge({"a": 1}, None, {"a": 2}, default="theirs").raw == doc({"a": 2})
    assert merge({"a": 1}, {"a": 2}, None, default="theirs").raw is None


@quick
@given(all_states)
def test_ours_and_theirs_mirror(states: Any) -> None:
    base, ours, theirs = states
    key = key_in(states)
    merged = merge_documents(key, base, ours, theirs, MergePolicy(default="ours"))
    other = merge_documents(key, base, theirs, ours, MergePolicy(default="theirs"))
    assert merged.raw == other.raw
    assert not merged.conflicts
    assert not other.conflicts


def test_union_of_lists() -> None:
    assert resolved("union", [1, 2], [1, 2, 3], [1, 2, 4]) == [1, 2, 3, 4]
    assert resolved("union", [1, 2], [2, 3], [1, 4, 4]) == [1, 4, 2, 3]
    assert resolved("union", MISSING, ["b"], ["a"]) == ["a", "b"]
    assert is_exactly(resolved("union", [], [1], [1.0, 1]), [1.0, 1])
    assert resolved("union", 1, [1], [2]) == [1, 2]
    for other in (5, MISSING, {"0": 1}, None):
        assert resolved("union", [1], [1, 2], other) is UNRESOLVED


ORDERED: tuple[tuple[Any, ...], ...] = (
    (-math.pi, -1, Int64(0), 0.5, Decimal128("0.75"), 1, Int64(1), 1.0, Decimal128("1"), 2),
    ((1 << 53), float(1 << 53), (1 << 53) + 1, 2.0**60, Decimal128("1E+400")),
    ("", "A", "a", "aa", "b", "\xfc"),
    (False, True),
    (datetime(1950, 1, 1), datetime(2000, 1, 1), datetime(2000, 1, 1, 0, 0, 0, 1000)),
    (Timestamp(1, 2), Timestamp(1, 3), Timestamp(2, 1)),
    (ObjectId("0" * 24), ObjectId("f" * 24)),
)


@pytest.mark.parametrize("ascending", ORDERED, ids=range(len(ORDERED)))
def test_greatest_and_least(ascending: tuple[Any, ...]) -> None:
    for at, less in enumerate(ascending):
        for more in ascending[at + 1 :]:
            assert is_exactly(resolved("max", MISSING, less, more), more)
            assert is_exactly(resolved("min", 0, less, more), less)


@pytest.mark.parametrize(
    "pair",
    [(1, "1"), (1, True), (1, MISSING), (1, None), (1, math.nan), (1, math.inf), ([1], [2]),
     ({"a": 1}, {"a": 2}), (datetime(2000, 1, 1), Timestamp(1, 1)), (Decimal128("NaN"), 1)],
    ids=repr,
)  # fmt: skip
def test_what_has_no_order_is_left(pair: tuple[Any, Any]) -> None:
    assert resolved("max", 1, *pair) is UNRESOLVED
    assert resolved("min", 1, *pair) is UNRESOLVED


def test_latest_takes_the_side_with_the_later_version() -> None:
    later = NOON + timedelta(seconds=1)
    latest = resolver("latest")
    conflict = conflict_of(1, 2, MISSING)
    for ours, theirs, expected in (
        (later, NOON, conflict.ours),
        (NOON, later, None),
        (NOON, NOON, UNRESOLVED),
        (None, NOON, UNRESOLVED),
        (NOON, None, UNRESOLVED),
    ):
        assert run_resolver(latest, conflict, MergeContext(ours, theirs)) == expected
    context = MergeContext(theirs_time=later, ours_time=NOON)
    policy = MergePolicy({"a": "latest"})
    merged = merge_documents(KEY, doc({"a": 1}), doc({"a": 2}), doc({"a": 3}), policy, context)
    assert merged.raw == doc({"a": 3})


SUMS: tuple[tuple[Any, Any, Any, Any], ...] = (
    (5, 6, 8, 9),
    (5, 6, 6, 7),
    (5, 2, 4, 1),
    (MISSING, 2, 4, 6),
    (0, (1 << 31) - 1, 1, Int64(1 << 31)),
    (0, -(1 << 31), -1, Int64(-(1 << 31) - 1)),
    (0, (1 << 31) - 2, 1, (1 << 31) - 1),
    (Int64(5), 6, 7, Int64(8)),
    (0, Int64((1 << 63) - 1), 1, UNRESOLVED),
    (0, Int64(-(1 << 63)), -1, UNRESOLVED),
    (0, Int64(1 - (1 << 63)), -1, Int64(-(1 << 63))),
    (0, Int64((1 << 63) - 2), 1, Int64((1 << 63) - 1)),
    (Int64((1 << 63) - 1), Int64((1 << 63) - 2), 1, Int64(0)),
    (1, 1.5, 2, 2.5),
    (0.1, 0.2, 0.3, 0.4),
    (Int64(1 << 62), Int64(1 << 62), 1.0, 1.0),
    (0.0, 1e308, 1.7e308, UNRESOLVED),
    (1e308, 1e308, 1.7e308, 1.7e308),
    (Decimal128("1.10"), Decimal128("1.20"), Decimal128("1.30"), Decimal128("1.40")),
    (1, Decimal128("1.5"), 0.1, Decimal128("0.6")),
    (Decimal128("1E+40"), Decimal128("1E+40"), Decimal128("1"), Decimal128("1")),
    (0, Decimal128("1E+40"), Decimal128("1"), UNRESOLVED),
    (
        0,
        Decimal128("9.999999999999999999999999999999999E+6144"),
        Decimal128("9E+6144"),
        UNRESOLVED,
    ),
    (1, "1", 2, UNRESOLVED),
    (1, MISSING, 2, UNRESOLVED),
    (1, True, 2, UNRESOLVED),
    ("x", 1, 2, UNRESOLVED),
    (0, math.nan, 2, UNRESOLVED),
    (0, math.inf, 2.0, UNRESOLVED),
    (0, Decimal128("Infinity"), 2, UNRESOLVED),
    (None, 1, 2, UNRESOLVED),
)


@pytest.mark.parametrize(("base", "ours", "theirs", "expected"), SUMS, ids=range(len(SUMS)))
def test_sums_of_changes(base: Any, ours: Any, theirs: Any, expected: Any) -> None:
    result = resolved("sum_of_changes", base, ours, theirs)
    if expected is UNRESOLVED:
        assert result is UNRESOLVED
    else:
        assert is_exactly(result, expected)


integers = st.integers(-(1 << 62), 1 << 62)
floats = st.floats(allow_nan=False, allow_infinity=False)


@quick
@given(integers, integers, integers)
def test_sums_of_integers_are_exact(base: int, ours: int, theirs: int) -> None:
    total = ours + theirs - base
    expected = Int64(total) if -(1 << 63) <= total < 1 << 63 else UNRESOLVED
    result = resolved("sum_of_changes", Int64(base), Int64(ours), Int64(theirs))
    assert result is expected or is_exactly(result, expected)


@quick
@given(floats, floats, floats)
def test_sums_of_doubles_are_rounded_once(base: float, ours: float, theirs: float) -> None:
    result = resolved("sum_of_changes", base, ours, theirs)
    try:
        assert result == float(Fraction(ours) + Fraction(theirs) - Fraction(base))
    except OverflowError:
        assert result is UNRESOLVED


decimals = st.builds(
    lambda digits, exponent: Decimal128(Decimal(digits).scaleb(exponent)),
    st.integers(-(10**15), 10**15),
    st.integers(-9, 9),
)


@quick
@given(decimals, decimals, decimals)
def test_sums_of_decimals_are_exact(base: Any, ours: Any, theirs: Any) -> None:
    result = resolved("sum_of_changes", base, ours, theirs)
    total = sum(
        Fraction(n.to_decimal()) * sign for n, sign in ((ours, 1), (theirs, 1), (base, -1))
    )
    if result is UNRESOLVED:
        assert abs(total) >= 10**15
    else:
        assert Fraction(result.to_decimal()) == total


def test_counters_add_up_even_where_both_sides_did_the_same() -> None:
    policy: Any = {"resolvers": {"n": "sum_of_changes"}}
    for extra in ({}, {"x": 1}):
        merged = merge({"n": 5}, {"n": 6}, {"n": 6, **extra}, **policy)
        assert (merged.raw, merged.conflicts) == (doc({"n": 7, **extra}), [])
    assert merge({"n": 5}, {"n": 6}, {"n": 5}, **policy).raw == doc({"n": 6})
    assert merge({}, {"n": 1}, {"n": 1}, **policy).raw == doc({"n": 2})
    in_lists: Any = {"resolvers": {"a.*.n": "sum_of_changes"}, "list_keys": {"a": "k"}}
    base, side = ({"a": [{"k": "x", "n": n}]} for n in (1, 2))
    assert merge(base, side, side, **in_lists).raw == doc({"a": [{"k": "x", "n": 3}]})


def test_counters_leave_what_does_not_count() -> None:
    everywhere: Any = {"default": "sum_of_changes"}
    base, side = {"s": "a", "d": {"t": 1, "l": [1]}}, {"s": "b", "d": {"t": 2, "l": [2]}}
    merged = merge(base, side, side, **everywhere)
    assert merged.raw == doc({"s": "b", "d": {"t": 3, "l": [3]}})
    assert not merged.conflicts
    conflicts_at({"s": "a"}, {"s": "b"}, {"s": "c"}, "s", "both_modified", **everywhere)
    near = Int64((1 << 63) - 1)
    conflicts_at({"n": 0}, {"n": near}, {"n": near}, "n", "same_change", **everywhere)


@quick
@given(*[st.one_of(st.none(), values, scalars)] * 3)
def test_symmetric_resolvers_are_commutative_and_deterministic(
    base: Any, ours: Any, theirs: Any
) -> None:
    three = [None if value is None else raw(value) for value in (base, ours, theirs)]
    for name in ("max", "min", "union", "sum_of_changes"):
        one = Conflict(KEY, ("a",), "both_modified", *three)
        other = Conflict(KEY, ("a",), "both_modified", three[0], three[2], three[1])
        results = [run_resolver(resolver(name), c, NO_CONTEXT) for c in (one, one, other)]
        assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("odd", [PAYLOAD_NAN, DECIMAL_INFINITY, (0x13, b"\xff" * 16)])
def test_numbers_that_are_none(odd: Any) -> None:
    conflict = Conflict(KEY, ("a",), "both_modified", None, raw(odd), raw_value(1))
    for name in ("max", "min", "sum_of_changes"):
        assert run_resolver(resolver(name), conflict, NO_CONTEXT) is UNRESOLVED


# -- resolvers of the user ---------------------------------------------------------------


class Answering:
    """A resolver that always gives the same answer, and remembers what it was asked."""

    def __init__(self, answer: Any, same_changes: bool = False) -> None:
        self.answer, self.same_changes = answer, same_changes
        self.asked: list[Conflict] = []

    def resolve(self, conflict: Conflict, context: MergeContext) -> Any:
        self.asked.append(conflict)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Side.OURS, {"a": 2}),
        (Side.THEIRS, {"a": 3}),
        (Side.BASE, {"a": 1}),
        (MISSING, {}),
        (None, {"a": None}),
        ({"x": [1.0, Int64(1)]}, {"a": {"x": [1.0, Int64(1)]}}),
        (Exactly(b"\x10" + struct.pack("<i", 7)), {"a": 7}),
    ],
    ids=repr,
)
def test_what_a_resolver_may_answer(answer: Any, expected: Any) -> None:
    for like in (Answering(answer), lambda conflict, context: answer):
        merged = merge({"a": 1}, {"a": 2}, {"a": 3}, default=like)
        assert (merged.raw, merged.conflicts) == (doc(expected), [])


def test_a_resolver_may_leave_a_conflict() -> None:
    unwilling = Answering(UNRESOLVED)
    conflicts_at({"a": 1}, {"a": 2}, {"a": 3}, "a", "both_modified", default=unwilling)
    assert [c.ours_value for c in unwilling.asked] == [2, 3]


def test_a_resolver_is_asked_about_same_changes_only_if_it_says_so() -> None:
    for asked in (False, True):
        one = Answering(9, same_changes=asked)
        merged = merge({"a": 1}, {"a": 2}, {"a": 2}, resolvers={"a": one})
        assert merged.raw == doc({"a": 9 if asked else 2})
        assert [c.kind for c in one.asked] == ["same_change"] * asked


def test_a_resolver_may_take_away_an_element_of_a_list() -> None:
    drop: Any = {"resolvers": {"a.*": lambda conflict, context: MISSING}}
    merged = merge({"a": [1, 2, 3]}, {"a": [4, 5, 3]}, {"a": [6, 7, 3]}, **drop)
    assert merged.raw == doc({"a": [3]})


def test_the_first_pattern_that_matches_counts() -> None:
    policy: Any = {"resolvers": {"a.x": "theirs", "a.*": "ours"}, "default": Answering(7)}
    base, ours, theirs = ({"a": {"x": n, "y": n}, "b": n} for n in (1, 2, 3))
    merged = merge(base, ours, theirs, **policy)
    assert merged.raw == doc({"a": {"x": 3, "y": 2}, "b": 7})
    assert len(merged.settled) == 3


def test_a_resolver_of_whole_documents() -> None:
    for answer in ({"x": 5}, {"_id": 1, "x": 5}):
        merged = merge({"a": 1}, None, {"a": 2}, default=Answering(answer))
        assert merged.raw == doc({"x": 5})
    for wrong in (5, {"_id": 2}, {"_id": 1.0}, [1]):
        with pytest.raises(ResolverFailed, match="_id"):
            merge({"a": 1}, None, {"a": 2}, default=Answering(wrong))
    assert merge({"a": 1}, None, {"a": 2}, default=Answering(MISSING)) == Merged(
        None, [], merge({"a": 1}, None, {"a": 2}).conflicts
    )


def test_a_brought_back_field_stands_where_it_was() -> None:
    merged = merge(
        {"a": 1, "b": 1, "c": 1},
        {"a": 1, "c": 1},
        {"a": 1, "b": 2, "c": 1},
        default=Answering(Side.BASE),
    )
    assert merged.raw == doc({"a": 1, "b": 1, "c": 1})


@pytest.mark.parametrize(
    "answer",
    [ZeroDivisionError("oops"), object(), 1 << 70, {1: 2}, Exactly(b""), Exactly(b"\x10\0"),
     Exactly(b"\x20"), Exactly(b"\x03\x05"), Exactly(b"\x03\x06\0\0\0\x77\0"),
     Exactly(b"\x10\0\0\0\0\x10b\0\0\0\0\0"), InvalidArgument("no")],
)  # fmt: skip
def test_a_resolver_that_fails_is_named_with_its_place(answer: Any) -> None:
    with pytest.raises(
        ResolverFailed, match=r"a resolver failed at d\.a of the document 1"
    ) as error:
        merge({"d": {"a": 1}}, {"d": {"a": 2}}, {"d": {"a": 3}}, default=Answering(answer))
    assert (error.value.document_id, error.value.path) == (1, ("d", "a"))
    assert error.value.__cause__ is not None


def test_interrupting_a_resolver_interrupts_the_merge() -> None:
    def stop(conflict: Conflict, context: MergeContext) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge({"a": 1}, {"a": 2}, {"a": 3}, default=stop)


# -- policies ----------------------------------------------------------------------------


def test_resolvers_by_name() -> None:
    assert sorted(RESOLVERS) == sorted(
        ["ours", "theirs", "union", "max", "min", "latest", "sum_of_changes"]
    )
    for name, one in RESOLVERS.items():
        assert resolver(name) is one
        assert resolver(one) is one


@pytest.mark.parametrize("wrong", ["mine", 5, None, Answering, object()])
def test_what_is_no_resolver(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="sum_of_changes"):
        resolver(wrong)


WRONG_POLICIES: tuple[dict[str, Any], ...] = (
    {"resolvers": {"a..b": "ours"}},
    {"resolvers": {"a": "mine"}},
    {"resolvers": {"a": None}},
    {"resolvers": [("a", "ours")]},
    {"default": "mine"},
    {"list_keys": {"a": 5}},
    {"list_keys": {"a": "k\0"}},
    {"list_keys": {"": "k"}},
    {"list_keys": "a"},
    {"sets": "a"},
    {"sets": [""]},
    {"sets": 5},
    {"sets": ["a"], "list_keys": {"a": "k"}},
    {"coupled": ["a", "b"]},
    {"coupled": "ab"},
    {"coupled": [["a"]]},
    {"coupled": [["a", ""]]},
    {"same_change_conflicts": "a"},
    {"same_change_conflicts": [5]},
)


@pytest.mark.parametrize("wrong", WRONG_POLICIES, ids=repr)
def test_policies_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as error:
        MergePolicy(**wrong)
    assert len(error.value.message) > 20


def test_resolvers_settle_coupled_fields_too() -> None:
    policy: Any = {"coupled": [["a", "b"]], "default": "theirs"}
    merged = merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, **policy)
    assert (merged.raw, found(merged)) == (doc({"a": 1, "b": 2}), [])
    assert [conflict.kind for conflict in merged.settled] == ["coupled", "coupled"]
