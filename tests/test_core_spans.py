"""Spans in the place of versions: which stretches there are, and what a path becomes."""

from __future__ import annotations

from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from versioned_collection.core import spans as spans_module
from versioned_collection.core.spans import (
    LEAST_VERSIONS,
    Shortcuts,
    Span,
    is_in_place,
    is_worth_it,
    length_at,
    stretches,
)
from versioned_collection.core.tree import Node, Path


def line_of(count: int) -> list[Node]:
    """Return a branch with this many versions behind the first, newest first."""
    ids = [ObjectId() for _ in range(count + 1)]
    nodes = [
        Node(one, (ids[number - 1],) if number else (), number, "main")
        for number, one in enumerate(ids)
    ]
    return nodes[::-1]


def span_of(stretch: Any, **facts: Any) -> Span:
    return Span(ObjectId(), stretch[-1].id, stretch[0].id, len(stretch) - 1, kept=True, **facts)


def numbers(stretch: Any) -> tuple[int, int]:
    return stretch[-1].number, stretch[0].number


@pytest.fixture(autouse=True)
def two(monkeypatch) -> None:
    monkeypatch.setattr(spans_module, "LEAST_VERSIONS", 2)


def test_lengths_double():
    found = [length_at(number) for number in range(13)]
    assert found == [0, 0, 2, 0, 4, 0, 2, 0, 8, 0, 2, 0, 4]


def test_stretches_come_after_their_parts():
    line = line_of(8)
    assert list(map(numbers, stretches(line))) == [
        (6, 8), (4, 6), (4, 8), (2, 4), (0, 2), (0, 4), (0, 8),
    ]  # fmt: skip
    assert list(map(numbers, stretches(line, oldest_first=True))) == [
        (0, 2), (2, 4), (0, 4), (4, 6), (6, 8), (4, 8), (0, 8),
    ]  # fmt: skip


def test_a_line_without_its_beginning_has_no_stretch_that_needs_it():
    line = line_of(8)[:6]
    assert list(map(numbers, stretches(line))) == [(6, 8), (4, 6), (4, 8)]


def test_stretches_of_one_length_do_not_overlap():
    line = line_of(40)
    for size in (2, 4, 8, 16, 32):
        found = [numbers(one) for one in stretches(line) if len(one) == size + 1]
        assert [end for start, end in found[1:]] == [start for start, end in found[:-1]]


def test_spans_are_in_place_where_a_stretch_ends():
    line = line_of(8)
    for stretch in stretches(line):
        assert is_in_place(span_of(stretch), stretch[0].number)
        assert not is_in_place(span_of(stretch), stretch[0].number + 1)
    assert not is_in_place(Span(ObjectId(), ObjectId(), ObjectId(), 8), 4)
    assert not is_in_place(Span(ObjectId(), ObjectId(), ObjectId(), 3), 4)


@given(st.data())
def test_a_way_stands_for_the_versions_of_its_path(data):
    count = data.draw(st.integers(0, 40))
    line = line_of(count)
    found = [one for one in stretches(line) if data.draw(st.booleans())]
    spans = {span.id: (span, stretch) for stretch in found for span in [span_of(stretch)]}
    old, new = sorted(data.draw(st.tuples(*[st.integers(0, count)] * 2)))
    up = tuple(node.id for node in line[count - new : count - old])
    path = data.draw(st.sampled_from((Path(up, ()), Path((), up[::-1]))))
    way, used = Shortcuts(span for span, _ in spans.values()).way(path)

    def spelled(steps, order):
        for one in steps:
            if one in spans:
                yield from [node.id for node in spans[one][1][:-1]][::order]
            else:
                yield one

    assert tuple(spelled(way.backward, 1)) == path.backward
    assert tuple(spelled(way.forward, -1)) == path.forward
    assert way.spans == {one for one in (*way.backward, *way.forward) if one in spans}
    assert way.spans == {span.id for span in used}
    assert ~~way == way


def test_with_all_spans_a_way_is_short(monkeypatch):
    line = line_of(1_000)
    spans = [span_of(stretch) for stretch in stretches(line)]
    up = [node.id for node in line]
    for new, old in ((0, 1_000), (0, 777), (3, 998), (511, 513)):
        way, _ = Shortcuts(spans).way(Path(tuple(up[new:old]), ()))
        assert len(way) <= 20


def test_what_is_worth_a_span():
    plain = Path((), (ObjectId(),))
    with_spans = Path((), plain.forward, frozenset(plain.forward))
    assert is_worth_it(50, 100, plain)
    assert not is_worth_it(51, 100, plain)
    assert is_worth_it(60, 100, with_spans)
    assert is_worth_it(0, 0, plain)
    assert LEAST_VERSIONS == 16
