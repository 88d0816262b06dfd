"""What is left of documents once places in them were erased."""

from __future__ import annotations

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from versioned_collection import ANY, ANY_STEPS, ElementKey
from versioned_collection.core.document import build, element, key_of
from versioned_collection.core.erasing import Erasure
from versioned_collection.core.merging.paths import patterns


def erased(document: object, *paths: object) -> object:
    raw = bson.encode(document)  # type: ignore[arg-type]
    left = Erasure(patterns(paths, "paths")).of(raw)  # type: ignore[arg-type]
    assert left is not None
    return bson.decode(left)


@pytest.mark.parametrize(
    ("document", "paths", "left"),
    [
        ({"a": 1, "b": 2}, ["a"], {"b": 2}),
        ({"a": {"b": 1, "c": 2}, "b": 3}, ["a.b"], {"a": {"c": 2}, "b": 3}),
        ({"a": {"b": 1}}, ["a.b"], {"a": {}}),
        ({"a": 1}, ["a.b", "b", "c.d.e"], {"a": 1}),
        ({"a": [1, 2, 3]}, ["a.1"], {"a": [1, None, 3]}),
        ({"a": [1, 2]}, [("a", 0)], {"a": [None, 2]}),
        ({"a": [{"b": 1, "c": 2}, {"b": 3}]}, ["a.*.b"], {"a": [{"c": 2}, {}]}),
        ({"a": [1, [2]]}, ["a.*"], {"a": [None, None]}),
        ({"x": {"b": [{"b": 1}], "c": 0}, "b": 2}, ["**.b"], {"x": {"c": 0}}),
        ({"a.b": 1, "a": {"b": 1}}, [("a.b",)], {"a": {"b": 1}}),
        ({"_id": 1, "a": 1}, ["*"], {"_id": 1}),
        ({"_id": {"a": 1}, "a": 1}, ["**.a"], {"_id": {"a": 1}}),
        (
            {"a": [{"k": 1, "v": 2}, {"k": 2, "v": 3}]},
            [("a", ElementKey.of("k", 2), "v")],
            {"a": [{"k": 1, "v": 2}, {"k": 2}]},
        ),
        (
            {"a": [{"k": 1}, {"k": 2}, 3]},
            [("a", ElementKey.of("k", 1))],
            {"a": [None, {"k": 2}, 3]},
        ),
    ],
)
def test_places(document, paths, left):
    assert erased(document, *paths) == left


def test_whole_documents():
    assert Erasure().of(bson.encode({"a": 1})) is None
    assert Erasure().of(None) is None
    assert Erasure(patterns(["a"], "paths")).of(None) is None


def test_a_name_that_occurs_twice_goes_twice():
    raw = build(*(element(name, key_of(n)) for n, name in enumerate((b"_id", b"a", b"b", b"a"))))
    left = Erasure(patterns(["a"], "paths")).of(raw)
    assert left == build(element(b"_id", key_of(0)), element(b"b", key_of(2)))


def test_what_stays_keeps_its_bytes():
    inner = build(element(b"7", key_of(1)), element(b"odd", key_of(2)))  # no names of a list
    raw = build(b"\x04list\0" + inner, element(b"a", key_of(1)), b"\x06undefined\0")
    left = Erasure(patterns(["a", "list.5"], "paths")).of(raw)
    assert left == build(b"\x04list\0" + inner, b"\x06undefined\0")


values = st.recursive(
    st.sampled_from((1, "a", None)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abk"), inner, max_size=3)
    ),
    max_leaves=8,
)
steps = st.sampled_from(("a", "b", "k", 0, 1, ANY, ANY_STEPS, ElementKey.of("k", 1)))
paths = st.lists(st.lists(steps, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3)


@given(values, paths)
def test_twice_is_once_and_it_can_be_stored(value, some):
    erasure = Erasure(patterns(some, "paths"))
    raw = bson.encode({"_id": 1, "a": value, "b": value})
    left = erasure.of(raw)
    assert left is not None
    assert erasure.of(left) == left
    assert len(left) <= len(raw)
    stored = bson.encode({"erasure": erasure.to_bson()})
    for options in (None, RawBSONDocument):
        found = RawBSONDocument(stored) if options else bson.decode(stored)
        assert Erasure.from_bson(found["erasure"]) == erasure
    assert Erasure.from_bson(Erasure().to_bson()) == Erasure()
