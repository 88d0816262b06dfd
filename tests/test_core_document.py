"""Documents as bytes: keys, filters, twins, stand-ins for ids."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from hypothesis import HealthCheck, given, settings
from strategies import (
    ODD_IDS,
    ODD_SCALARS,
    UNDEFINED,
    Field,
    Value,
    array,
    decimal,
    document,
    documents,
    double,
    embedded,
    fields,
    ids,
    int32,
    int64,
    string,
    symbol,
    timestamp,
    values,
    with_id,
)

from versioned_collection.core.document import (
    RAW_OPTIONS,
    DocumentId,
    add_by_id,
    are_twins,
    build,
    depth,
    document_hash,
    document_key,
    element,
    elements,
    has_dollar_name,
    has_duplicate_names,
    has_zero_timestamp,
    id_value,
    key_of,
    must_be_put_anew,
    raw_id_equals,
    raw_id_in,
)

quick = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def key(value: Value) -> bytes:
    return bytes((value[0],)) + value[1]


@quick
@given(ids, fields)
def test_a_document_falls_apart_into_its_elements(id_: Value, others: list[Field]) -> None:
    raw = with_id(id_, others)
    found = [(name, (kind, raw[start:end])) for kind, name, start, end in elements(raw)]
    assert found == [(b"_id", id_), *others]
    assert build(*(element(name, key(value)) for name, value in found)) == raw
    assert document_key(raw) == key(id_)
    late = document([*others, (b"_id", id_)])
    assert document_key(late) == key(id_)


@pytest.mark.parametrize("value", ODD_SCALARS)
def test_the_end_of_every_value_is_found(value: Value) -> None:
    raw = document([(b"a", value), (b"z", int32(7))])
    assert [name for _, name, _, _ in elements(raw)] == [b"a", b"z"]


@quick
@given(values)
def test_levels_are_those_of_the_deepest_value(value: Value) -> None:
    levels = depth(document([(b"a", value)]))
    assert depth(document([])) == 1
    assert depth(document([(b"a", int32(1)), (b"d", embedded([(b"a", value)]))])) == levels + 1
    assert depth(document([(b"l", (0x04, array([int32(1), value])))])) == levels + 1


def test_a_document_without_id_has_no_key() -> None:
    with pytest.raises(ValueError, match="_id"):
        document_key(document([(b"a", int32(1))]))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="not a BSON type"):
        list(elements(document([(b"a", (0x20, b""))])))


def is_condition(value: Value) -> bool:
    """Tell whether a server takes a value in a filter for something else than itself."""
    kind, its_bytes = value
    if kind == 0x03:
        return next((name for _, name, _, _ in elements(its_bytes)), b"").startswith(b"$")
    return kind in (0x04, 0x06, 0x0B)


@pytest.mark.parametrize("id_", ODD_IDS)
def test_filters_hold_the_id_as_it_is(id_: Value) -> None:
    its = key(id_)
    asked = document([(b"_id", embedded([(b"$eq", id_)]))])
    plain = document([(b"_id", id_)])
    assert raw_id_equals(its) == (asked if is_condition(id_) else plain)
    among = document([(b"_id", embedded([(b"$in", (0x04, array([id_, id_])))]))])
    assert raw_id_in([its, its]) == among


@pytest.mark.parametrize(
    "value",
    [
        1,
        Int64(1),
        1.0,
        True,
        None,
        "a",
        b"a",
        Binary(b"a", 0x80),
        ObjectId(),
        Decimal128("1.0"),
        MinKey(),
        MaxKey(),
        Timestamp(1, 2),
        DBRef("c", 1),
        {"a": 1, "b": [1, {"c": 2.0}]},
    ],
)
def test_keys_come_back_as_values(value: Any) -> None:
    assert id_value(key_of(value)) == value
    assert type(id_value(key_of(value))) is type(value)
    assert key_of(value) == document_key(bson.encode({"x": 1, "_id": value}))


def test_an_id_that_cannot_be_decoded_comes_back_raw() -> None:
    found = id_value(key(string(b"\xff")))
    assert isinstance(found, RawBSONDocument)
    assert document_key(bytes(found.raw)) == key(string(b"\xff"))
    assert "RawBSONDocument" in repr(DocumentId(key(string(b"\xff"))))


@quick
@given(documents(), documents())
def test_equal_hashes_mean_equal_bytes(one: bytes, other: bytes) -> None:
    assert (document_hash(one) == document_hash(other)) == (one == other)


# -- twins -------------------------------------------------------------------------------

ONES = [int32(1), int64(1), double(1.0), decimal(1), decimal(10, -1), decimal(1000, -3)]


@pytest.mark.parametrize("one", ONES)
def test_equal_numbers_are_twins(one: Value) -> None:
    assert all(are_twins(key(one), key(other)) for other in ONES)
    assert not are_twins(key(one), key((0x08, b"\x01")))
    assert not are_twins(key(one), key(string("1")))
    assert not are_twins(key(one), key(double(1.5)))


def test_large_numbers_are_compared_exactly() -> None:
    assert not are_twins(key(int64(2**53 + 1)), key(double(float(2**53))))
    assert are_twins(key(int64(2**53)), key(double(float(2**53))))
    assert not are_twins(key(double(0.1)), key(decimal(1, -1)))
    assert are_twins(key(double(0.5)), key(decimal(5, -1)))


def test_documents_are_twins_field_by_field() -> None:
    def pair(a: Value, b: Value) -> bytes:
        return key(embedded([(b"a", a), (b"b", b)]))

    assert are_twins(pair(int32(1), string("x")), pair(double(1.0), symbol("x")))
    assert not are_twins(pair(int32(1), int32(2)), pair(int32(2), int32(1)))
    swapped = key(embedded([(b"b", int32(2)), (b"a", int32(1))]))
    assert not are_twins(pair(int32(1), int32(2)), swapped)
    assert not are_twins(pair(int32(1), UNDEFINED), pair(int32(1), (0x0A, b"")))
    assert not are_twins(key(embedded([])), key((0x04, array([]))))


@pytest.mark.parametrize("id_", ODD_IDS)
def test_every_id_is_its_own_twin(id_: Value) -> None:
    assert are_twins(key(id_), key(id_))


# -- what the server does not take -------------------------------------------------------


def test_zero_timestamps_count_at_the_top_only() -> None:
    zero = timestamp(0, 0)
    assert has_zero_timestamp(with_id(int32(1), [(b"a", int32(1)), (b"t", zero)]))
    assert not has_zero_timestamp(with_id(zero, []))
    assert not has_zero_timestamp(with_id(int32(1), [(b"t", timestamp(0, 1))]))
    assert not has_zero_timestamp(with_id(int32(1), [(b"d", embedded([(b"t", zero)]))]))
    assert not has_zero_timestamp(with_id(int32(1), [(b"d", (0x09, bytes(8)))]))


def test_dollar_names_count_at_the_top_only() -> None:
    assert has_dollar_name(with_id(int32(1), [(b"$a", int32(1))]))
    assert not has_dollar_name(with_id(int32(1), [(b"a$", int32(1))]))
    assert not has_dollar_name(with_id(int32(1), [(b"d", embedded([(b"$a", int32(1))]))]))
    assert not has_dollar_name(with_id(string("$"), [(b"a", string("$"))]))


def test_duplicate_names_count_everywhere() -> None:
    twice = embedded([(b"a", int32(1)), (b"a", int32(1))])
    once = embedded([(b"a", int32(1)), (b"b", embedded([(b"a", int32(1))]))])
    assert has_duplicate_names(with_id(int32(1), [(b"a", int32(1)), (b"a", int32(2))]))
    assert has_duplicate_names(with_id(int32(1), [(b"d", twice)]))
    assert has_duplicate_names(with_id(int32(1), [(b"l", (0x04, array([once, twice])))]))
    assert not has_duplicate_names(with_id(int32(1), [(b"d", once), (b"e", once)]))
    plain = with_id(int32(1), [(b"d", once)])
    special = with_id(int32(1), [(b"t", timestamp(0, 0))])
    double_ = with_id(int32(1), [(b"d", twice)])
    assert must_be_put_anew(double_, special)
    assert not must_be_put_anew(plain, special)
    assert not must_be_put_anew(double_, plain)


# -- DocumentId --------------------------------------------------------------------------


def test_ids_that_python_takes_for_equal_are_kept_apart() -> None:
    found: dict[Any, str] = {}
    asked: list[Any] = [1, True, 1.0, {"a": 1}, {"a": 1.0}, "1", None]
    for value in asked:
        add_by_id(found, key_of(value), repr(value))
    assert len(found) == len(asked)
    assert found[1] == "1"
    assert found[DocumentId(key_of(True))] == "True"
    assert found[DocumentId(key_of({"a": 1.0}))] == "{'a': 1.0}"
    assert found["1"] == "'1'"


def test_a_document_id_equals_the_value_of_the_same_bytes() -> None:
    assert DocumentId(key_of({"a": 1})) == {"a": 1}
    assert DocumentId(key_of(1)) == 1
    assert DocumentId(key_of(1)) != 1.0
    assert DocumentId(key_of(1)) != object()
    assert DocumentId(key_of({"a": 1})).value == {"a": 1}
    assert repr(DocumentId(key_of(True))) == "DocumentId(True)"
    assert len({DocumentId(key_of(1)), DocumentId(key_of(1)), DocumentId(key_of(1.0))}) == 2


def test_raw_options_keep_dates_out_of_range() -> None:
    raw = with_id(int32(1), [(b"d", (0x09, b"\xff" * 7 + b"\x7f"))])
    decoded = RawBSONDocument(raw, RAW_OPTIONS)
    assert bson.encode(dict(decoded.items())) == raw
