"""Deltas without a database: exact forward and back, composable, and DeepDiff's equals."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from deepdiff import DeepDiff
from deepdiff import Delta as DeepDiffDelta
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from strategies import (
    NUMBER_TWINS,
    ODD_SCALARS,
    array,
    documents,
    embedded,
    int32,
    plain_fields,
    states,
    string,
    with_id,
)

from versioned_collection.core.delta import (
    Delta,
    compare,
    delta_digest,
    encoded_rows,
    hash_number,
    images,
)
from versioned_collection.core.document import RAW_OPTIONS, document_hash, document_key
from versioned_collection.core.interop import from_deepdiff, to_deepdiff
from versioned_collection.core.rows import Row, apply_rows, compare_fields, inverse_rows
from versioned_collection.errors import CorruptHistory

States = tuple[bytes | None, ...]

quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
thorough = settings(
    max_examples=4_000,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
sweep = [pytest.mark.sweep, pytest.mark.timeout(3600)]


def stored(delta: Delta) -> Delta:
    """Return the delta as it comes back from the database."""
    if delta.steps is None:
        return delta
    assert len(delta.steps) == 1
    encoded = bson.encode({"rows": [row.to_bson() for row in delta.rows]})
    rows = RawBSONDocument(encoded, RAW_OPTIONS)["rows"]
    steps = (tuple(map(Row.from_bson, rows)),)
    return Delta(delta.key, delta.op, delta.before, delta.after, steps)


def check_exact(old: bytes | None, new: bytes | None) -> None:
    delta = compare(old, new)
    if old == new:
        assert delta is None
        return
    assert delta is not None
    some = new if old is None else old
    assert some is not None
    assert delta.key == document_key(some)
    for one in (delta, stored(delta)):
        for _ in range(2):  # applying changes nothing in the delta itself
            assert one.apply(old) == new
            assert (~one).apply(new) == old
            assert (~~one).apply(old) == new
    assert encoded_rows(delta) == encoded_rows(stored(delta))


def check_laws(one: bytes | None, two: bytes | None, three: bytes | None) -> None:
    a, b = compare(one, two), compare(two, three)
    if a is None or b is None:
        return
    both = a + b
    if one == three:
        assert both is None
        return
    assert both is not None
    whole = compare(one, three)
    assert whole is not None
    assert (both.op, both.before, both.after) == (whole.op, whole.before, whole.after)
    back = ~b + ~a
    assert back is not None
    for _ in range(2):
        assert both.apply(one) == three
        assert (~both).apply(three) == one
        assert back.apply(three) == one
        assert a.apply(one) == two
        assert b.apply(two) == three
    assert a + ~a is None
    undone = both + ~b
    assert undone is not None
    assert undone.apply(one) == two


@quick
@given(states())
def test_a_delta_leads_from_one_state_to_the_other_and_back(found: States) -> None:
    check_exact(*found[:2])


@quick
@given(states())
def test_deltas_compose_and_invert(found: States) -> None:
    check_laws(*found)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@thorough
@given(states())
def test_a_delta_leads_there_and_back_many_times(found: States) -> None:
    check_exact(*found[:2])
    check_laws(*found)


@pytest.mark.sweep
@pytest.mark.parametrize("wrap", ["field", "document", "list", "added"])
def test_every_scalar_turns_into_every_other(wrap: str) -> None:
    """All pairs of odd values, at the root, in a document, in a list, in a new document."""
    id_ = int32(1)
    for one in ODD_SCALARS:
        for other in ODD_SCALARS:
            if one is other:
                continue
            pair = []
            for value in (one, other):
                if wrap == "field":
                    fields = [(b"a", int32(1)), (b"v", value), (b"z", string("z"))]
                elif wrap == "document":
                    fields = [(b"d", embedded([(b"v", value), (b"a", int32(1))]))]
                elif wrap == "list":
                    fields = [(b"l", (0x04, array([int32(1), value, string("z")])))]
                elif value is one:
                    fields = [(b"a", int32(1))]
                else:
                    fields = [(b"a", int32(1)), (b"n", embedded([(b"v", value)]))]
                pair.append(with_id(id_, fields))
            check_exact(*pair)


def test_number_twins_are_changes() -> None:
    for one in NUMBER_TWINS:
        for other in NUMBER_TWINS:
            old, new = (with_id(int32(1), [(b"v", value)]) for value in (one, other))
            assert (compare(old, new) is None) == (one == other)


def test_a_small_change_of_plain_fields_is_kept_as_rows() -> None:
    old = {"_id": 1, "name": "x" * 500, "n": {"a": 1, "b": [1, 2, 3]}, "l": [{"p": 1}, {"p": 2}]}
    new = copy.deepcopy(old)
    new["n"]["a"] = 1.0
    new["n"]["b"].insert(1, 9)
    new["l"][1]["q"] = None
    delta = compare(bson.encode(old), bson.encode(new))
    assert delta is not None
    assert delta.steps is not None
    assert len(encoded_rows(delta)) < 500


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"n": {"a": 1, "b": 2}}, {"n": {"b": 2, "a": 1}}),
        ({"l": [{"a": 1, "b": 2}]}, {"l": [{"b": 2, "a": 1}]}),
        ({"a": 1, "b": 2, "c": 3}, {"c": 3, "x": 0, "a": 1}),
        ({"a": {"x": 1}}, {"a": [1]}),
        ({"a": [1]}, {"a": {"0": 1}}),
        ({"0": {"0": 1}}, {"0": {"0": 2}}),
        ({"a.b": 1, "a": {"b": 1}}, {"a.b": 2, "a": {"b": 1}}),
        ({"": {"": 1}}, {"": {"": 2}}),
        ({"$set": {"$x": 1}}, {"$set": {"$x": 2}}),
        ({"l": [[1, 2], [3]]}, {"l": [[1], [2, 3]]}),
        ({"l": [[1, 2], [3]]}, {"l": [[3], [1, 2]]}),
        ({"l": [1, 1, 1, 1]}, {"l": [1, 1]}),
        ({"l": []}, {"l": [[]]}),
        ({"l": [True, 1, 1.0]}, {"l": [1, 1.0, True]}),
        ({"l": list(range(1_000))}, {"l": list(range(1, 1_001))}),
        ({"l": list(range(1_000))}, {"l": list(range(999, -1, -1))}),
        ({"l": [{"k": 1}] * 5}, {"l": [{"k": 1}] * 4 + [{"k": 1.0}]}),
        ({"a": 1}, {"a": 1, "b": {"c": {"d": [{}]}}}),
    ],
)
def test_known_awkward_pairs(old: dict[str, Any], new: dict[str, Any]) -> None:
    check_exact(bson.encode({"_id": 1, **old}), bson.encode({"_id": 1, **new}))


def random_edit(rng: random.Random, items: list[Any], depth: int = 0) -> None:
    """Insert, delete, move, change or nest something in a list."""
    kind = rng.choice(("insert", "delete", "move", "change", "inner", "double", "slice"))
    place = rng.randrange(len(items) + 1)
    if kind == "insert" or not items:
        items.insert(place, rng.choice([rng.randrange(4), 1.0, "s", {"k": 1}, [1, [2]], None]))
        return
    place = min(place, len(items) - 1)
    item = items[place]
    if kind == "delete":
        del items[place]
    elif kind == "move":
        items.insert(rng.randrange(len(items)), items.pop(place))
    elif kind == "change":
        items[place] = rng.randrange(4)
    elif kind == "double":
        items[place:place] = copy.deepcopy(items[place : place + 2])
    elif kind == "slice":
        del items[place : place + rng.randrange(3)]
    elif isinstance(item, list) and depth < 3:
        random_edit(rng, item, depth + 1)
    elif isinstance(item, dict):
        item[rng.choice("kxyz")] = rng.choice([1, 1.0, [1, 2], {"d": [0]}])


@pytest.mark.parametrize("seed", range(40))
def test_random_list_edits(seed: int) -> None:
    rng = random.Random(seed)
    items: list[Any] = [0, [1, 2, [3]], {"k": [1, {"x": 1}]}, "a", [[], [[]]]]
    chain = []
    raws = [bson.encode({"_id": 1, "l": items})]
    for _ in range(8):
        for _ in range(rng.randrange(1, 4)):
            random_edit(rng, items)
        raws.append(bson.encode({"_id": 1, "l": items}))
        check_exact(raws[-2], raws[-1])
        delta = compare(raws[-2], raws[-1])
        if delta is not None:
            chain.append(delta)
    total: Delta | None = None
    for delta in chain:
        total = delta if total is None else total + delta
        if total is None:
            break
    if total is not None and len(chain) > 1:
        for _ in range(2):
            assert total.apply(raws[0]) == raws[-1]
            assert (~total).apply(raws[-1]) == raws[0]


def test_composed_deltas_can_be_applied_again() -> None:
    """A later step changes what an earlier one added; that must not leak into the earlier."""
    raws = [
        bson.encode({"_id": 1, **fields})
        for fields in (
            {},
            {"n": {"a": 1, "l": [1]}},
            {"n": {"a": 2, "l": [1, 2]}},
            {"n": {"a": 3, "l": [2], "b": 1}},
        )
    ]
    deltas = [compare(one, other) for one, other in itertools.pairwise(raws)]
    one, two, three = deltas
    assert one is not None
    assert two is not None
    assert three is not None
    left, right = (one + two), (two + three)
    assert left is not None
    assert right is not None
    for total in (left + three, one + right):
        assert total is not None
        for _ in range(3):
            assert total.apply(raws[0]) == raws[3]
            assert (~total).apply(raws[3]) == raws[0]
    assert one.apply(raws[0]) == raws[1]
    assert two.apply(raws[1]) == raws[2]


# -- misfits -----------------------------------------------------------------------------


@quick
@given(states())
def test_a_delta_refuses_any_other_document(found: States) -> None:
    old, new, other = found
    delta = compare(old, new)
    assume(delta is not None and other != old)
    assert delta is not None
    with pytest.raises(CorruptHistory):
        delta.apply(other)


def test_only_deltas_that_continue_each_other_compose() -> None:
    one, two, three = (bson.encode({"_id": 1, "a": number}) for number in (1, 2, 3))
    first, second = compare(one, two), compare(one, three)
    assert first is not None
    assert second is not None
    with pytest.raises(ValueError, match="continue"):
        first + second


def test_a_falsified_row_is_noticed() -> None:
    old, new = (bson.encode({"_id": 1, "a": number, "b": "x" * 99}) for number in (1, 2))
    delta = compare(old, new)
    assert delta is not None
    forged = Delta(
        delta.key, delta.op, delta.before, delta.after, ((delta.rows[0]._replace(value=3),),)
    )
    with pytest.raises(CorruptHistory):
        forged.apply(old)


def test_rows_that_do_not_fit_raise() -> None:
    for row in (
        Row(("missing",), "values_changed", 1, 2),
        Row(("missing",), "dictionary_item_removed", None, 2),
        Row(("l", 7), "values_changed", 1, 2),
        Row(("missing", "x"), "dictionary_item_added", 1),
    ):
        with pytest.raises((KeyError, IndexError, TypeError)):
            apply_rows({"l": [1]}, [row])


# -- rows --------------------------------------------------------------------------------


@quick
@given(plain_fields, plain_fields)
def test_rows_lead_there_and_back_and_leave_their_arguments_alone(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    before, after = copy.deepcopy(old), copy.deepcopy(new)
    rows = compare_fields(old, new)
    there, back = apply_rows(old, rows), apply_rows(new, inverse_rows(rows))
    assert (old, new) == (before, after)
    assert there == new
    assert back == old
    assert inverse_rows(inverse_rows(rows)) == rows


# -- sums --------------------------------------------------------------------------------


@quick
@given(st.lists(states(), max_size=2))
def test_the_fingerprint_moves_with_the_deltas(found: list[States]) -> None:
    total = 0
    for old, new, _ in found:
        delta = images(old, new)
        if delta is not None:
            total += hash_number(delta.after) - hash_number(delta.before)
    expected = 0
    for old, new, _ in found:
        expected += 0 if new is None else int.from_bytes(document_hash(new), "big")
        expected -= 0 if old is None else int.from_bytes(document_hash(old), "big")
    assert total == expected


def test_digests_tell_deltas_apart() -> None:
    raws = [bson.encode({"_id": 1, "a": value}) for value in (1, 1.0, True, "1", None)]
    raws += [bson.encode({"_id": 1.0, "a": 1}), bson.encode({"_id": 1, "b": 1})]
    digests = set()
    for old in (None, *raws):
        for new in (None, *raws):
            if old != new and (old is None or new is None or old[4:9] == new[4:9]):
                delta = compare(old, new)
                assert delta is not None
                digests.add(delta_digest(delta, encoded_rows(delta)))
                digests.add(delta_digest(~delta, encoded_rows(~delta)))
    # inverting an insert gives a delete, which is in the set already
    pairs = {(o, n) for o in (None, *raws) for n in (None, *raws) if o != n}
    pairs = {(o, n) for o, n in pairs if o is None or n is None or o[4:9] == n[4:9]}
    assert len(digests) >= len(pairs)


# -- DeepDiff ----------------------------------------------------------------------------


def typed(value: Any) -> Any:
    """Return a value in which 1, 1.0 and True, and orders of fields, differ."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


def check_deepdiff(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Adding our delta as a `deepdiff.Delta` gives the same decoded documents."""
    before, after = bson.encode({"_id": 1, **old}), bson.encode({"_id": 1, **new})
    delta = compare(before, after)
    if delta is None:
        return
    for one in (delta, stored(delta)):
        deep = to_deepdiff(one)
        assert isinstance(deep, DeepDiffDelta)
        assert typed(bson.decode(before) + deep) == typed(bson.decode(after))
        assert typed(bson.decode(after) - deep) == typed(bson.decode(before))


@quick
@example({"b": None, "c": None}, {"c": None, "b": None})
@given(plain_fields, plain_fields)
def test_adding_our_delta_as_deepdiffs_gives_the_same(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    check_deepdiff(old, new)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@thorough
@given(plain_fields, plain_fields)
def test_adding_our_delta_as_deepdiffs_many_times(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    check_deepdiff(old, new)


@pytest.mark.parametrize("seed", range(30))
def test_random_list_edits_as_deepdiff(seed: int) -> None:
    rng = random.Random(seed)
    items: list[Any] = [0, [1, 2, [3]], {"k": [1, {"x": 1}]}, "a", [[], [[]]]]
    for _ in range(5):
        before = copy.deepcopy(items)
        for _ in range(rng.randrange(1, 4)):
            random_edit(rng, items)
        check_deepdiff({"l": before}, {"l": items})


def test_inserts_and_deletes_as_deepdiff_start_from_and_lead_to_nothing() -> None:
    raw = bson.encode({"_id": 1, "a": [1, {"b": 2}]})
    insert, delete = compare(None, raw), compare(raw, None)
    assert insert is not None
    assert delete is not None
    assert {} + to_deepdiff(insert) == bson.decode(raw)
    assert bson.decode(raw) + to_deepdiff(delete) == {}


def test_a_composed_delta_has_no_deepdiff_form() -> None:
    one, two, three = (bson.encode({"_id": 1, "p": "x" * 200, "a": a}) for a in (1, 2, 3))
    first, second = compare(one, two), compare(two, three)
    assert first is not None
    assert second is not None
    with pytest.raises(ValueError, match="composed"):
        to_deepdiff(first + second)


@quick
@given(plain_fields, plain_fields)
def test_deepdiffs_delta_becomes_ours(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = {"_id": 1, **old}, {"_id": 1, **new}
    difference = DeepDiff(before, after, ignore_order=False)
    assume(difference)
    deep = DeepDiffDelta(difference, bidirectional=True, raise_errors=True)
    raw = bson.encode(before)
    expected = bson.encode(bson.decode(raw) + deep)
    delta = from_deepdiff(deep, raw)
    if expected == raw:
        assert delta is None
        return
    assert delta is not None
    assert delta.apply(raw) == expected
    assert (~delta).apply(expected) == raw


def test_deepdiffs_delta_may_not_change_the_id() -> None:
    deep = DeepDiffDelta(DeepDiff({"_id": 1}, {"_id": 2}))
    with pytest.raises(ValueError, match="_id"):
        from_deepdiff(deep, bson.encode({"_id": 1}))


@quick
@given(documents())
def test_images_hold_any_document(raw: bytes) -> None:
    delta = images(None, raw)
    assert delta is not None
    assert (delta.op, delta.before, delta.old) == ("insert", None, None)
    assert delta.apply(None) == raw
    assert (~delta).apply(raw) is None
    assert RawBSONDocument(raw).raw == raw
