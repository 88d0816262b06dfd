"""Heights of versions, and what is above them: as in the tree, whatever leads over stretches."""

from __future__ import annotations

from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from versioned_collection.core.ladder import Ladder
from versioned_collection.core.spans import LEAST_VERSIONS, Span, landmarks, length_at
from versioned_collection.core.tree import Node, VersionTree

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@st.composite
def trees(draw: st.DrawFn) -> VersionTree:
    """Return a tree of few long lines."""
    ids = [ObjectId(f"{number:024x}") for number in range(draw(st.integers(1, 40)))]
    back = st.sampled_from((1, 1, 1, 1, 2, 7))
    nodes = [
        Node(one, (ids[max(0, number - draw(back))],) if number else (), number, "main")
        for number, one in enumerate(ids)
    ]
    return VersionTree(nodes)


def drawn_spans(data: st.DataObject, tree: VersionTree) -> list[Span]:
    found: list[Span] = []
    for end in tree:
        way = list(tree.ancestors(end))
        lengths = data.draw(st.sets(st.integers(2, 40), max_size=2))
        fit = [one for one in lengths if one < len(way)]
        found += [Span(ObjectId(), way[one], end, one) for one in fit]
    return found


@quick
@given(trees(), st.data())
def test_heights_are_those_of_the_tree(tree: VersionTree, data: st.DataObject) -> None:
    spans = drawn_spans(data, tree)
    ladder = Ladder()
    versions = list(tree)
    one, other = (data.draw(st.sampled_from(versions)) for _ in range(2))
    steps = 0
    while (lacking := ladder.lacking(one) or ladder.lacking(other)) is not None:
        steps += 1
        ladder.add([tree.nodes[lacking]], [span for span in spans if span.end == lacking])
    assert steps == len(ladder.nodes)
    ways = {version: list(tree.ancestors(version)) for version in (one, other)}
    for version, way in ways.items():
        assert ladder.height(version) == len(way) - 1
        assert ladder.top(version) == way[-1]
        for count, wanted in enumerate(way):
            found = one_above(ladder, tree, spans, version, count)
            assert found == wanted


def one_above(ladder: Ladder, tree: VersionTree, spans: Any, version: ObjectId, count: int) -> Any:
    while True:
        found, left = ladder.above(version, count)
        if not left:
            return found
        assert found not in ladder.nodes
        ladder.add([tree.nodes[found]], [span for span in spans if span.end == found])


def test_what_is_known_does_not_change() -> None:
    first, second, third = (ObjectId() for _ in range(3))
    nodes = [
        Node(first, (), 0, "main"),
        Node(second, (first,), 1, "main"),
        Node(third, (second,), 2, "main"),
    ]
    ladder = Ladder()
    with pytest.raises(KeyError):
        ladder.height(third)
    ladder.add(nodes, [])
    assert ladder.lacking(third) is None
    ladder.add(nodes, [Span(ObjectId(), first, third, 5)])
    assert ladder.lacking(third) is None
    assert ladder.height(third) == 2


def test_no_step_leads_past_what_is_above() -> None:
    first, second = ObjectId(), ObjectId()
    ladder = Ladder()
    ladder.add([Node(first, (), 0, "main"), Node(second, (first,), 1, "main")], [])
    assert ladder.above(second, 3) == (first, 2)


@pytest.mark.parametrize("number", [1, 5, 16, 37, 100, 1_000])
def test_landmarks_lead_down_to_a_number(number: int) -> None:
    marks = landmarks(number, 1_024)
    place = 1_024
    while place > number:
        assert place in marks
        lengths = [LEAST_VERSIONS << turn for turn in range(7)]
        fit = [one for one in lengths if place % one == 0 and place - one >= number]
        place -= max(fit, default=1)
    while place > 0:
        assert place in marks or place == number
        place -= length_at(place) or 1
