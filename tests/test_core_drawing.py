"""Drawing histories, and arranging what is drawn."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versioned_collection.core.drawing import arrange, draw, simplify

LINE = {"a": [], "b": ["a"], "c": ["b"]}
FORK = {"a": [], "b": ["a"], "c": ["b"], "x": ["b"], "y": ["x"]}


def drawing(parents: dict[str, list[str]], newest_first: str) -> list[str]:
    order = arrange(parents, lambda one: -newest_first.index(one))
    assert order == list(newest_first)
    return [f"{line} {one}" if one else line for line, one in draw(order, parents)]


def test_nothing() -> None:
    assert list(draw([], {})) == []
    assert arrange({}, lambda one: 0) == []


def test_a_line() -> None:
    assert drawing(LINE, "cba") == ["* c", "* b", "* a"]


def test_a_fork() -> None:
    assert drawing(FORK, "cyxba") == [
        "* c",
        "| * y",
        "| * x",
        "|/",
        "* b",
        "* a",
    ]


def test_branches_that_alternate() -> None:
    assert drawing(FORK, "ycxba") == [
        "* y",
        "| * c",
        "* | x",
        "|/",
        "* b",
        "* a",
    ]


def test_three_branches_from_one_version() -> None:
    parents = {"a": [], "x": ["a"], "y": ["a"], "z": ["a"]}
    assert drawing(parents, "zyxa") == [
        "* z",
        "| * y",
        "| | * x",
        "|/ /",
        "|/",
        "* a",
    ]


def test_a_branch_that_crosses_another() -> None:
    parents = {"a": [], "b": ["a"], "c": ["a"], "d": ["b"], "e": ["a"]}
    # c and e leave a; d and b lie between them.
    assert drawing(parents, "cdeba") == [
        "* c",
        "| * d",
        "| | * e",
        "| * | b",
        "|/ /",
        "|/",
        "* a",
    ]


def test_a_join_over_a_column() -> None:
    parents = {"r": [], "a": ["r"], "b": ["r"], "c": ["a"], "d": ["a"], "e": ["b"]}
    assert drawing(parents, "cedabr") == [
        "* c",
        "| * e",
        "| | * d",
        "|_|/",
        "* | a",
        "| * b",
        "|/",
        "* r",
    ]


def test_a_merge() -> None:
    parents = {"a": [], "b": ["a"], "x": ["a"], "m": ["b", "x"], "n": ["m"]}
    assert drawing(parents, "nmxba") == [
        "* n",
        "* m",
        "|\\",
        "| * x",
        "* | b",
        "|/",
        "* a",
    ]


def test_a_merge_beside_another_branch() -> None:
    parents = {"a": [], "b": ["a"], "x": ["a"], "m": ["b", "x"], "z": ["a"]}
    assert drawing(parents, "zmxba") == [
        "* z",
        "| * m",
        "| |\\",
        "| | * x",
        "| * | b",
        "|/ /",
        "|/",
        "* a",
    ]


def test_a_criss_cross() -> None:
    parents = {"r": [], "a": ["r"], "b": ["r"], "m": ["a", "b"], "n": ["b", "a"], "z": ["m", "n"]}
    assert drawing(parents, "znmbar") == [
        "* z",
        "|\\",
        "| * n",
        "| |\\",
        "* | | m",
        "|\\ \\ \\",
        "| |/ /",
        "| * | b",
        "|_|/",
        "* | a",
        "|/",
        "* r",
    ]


def test_merging_again_and_again() -> None:
    parents = {"r": [], "x": ["r"], "a": ["r", "x"], "y": ["x"], "b": ["a", "y"]}
    assert drawing(parents, "byaxr") == [
        "* b",
        "|\\",
        "| * y",
        "* | a",
        "|\\ \\",
        "| |/",
        "| * x",
        "|/",
        "* r",
    ]


def test_two_roots() -> None:
    assert drawing({"a": [], "b": ["a"], "x": [], "y": ["x"]}, "yxba") == [
        "* y",
        "* x",
        "* b",
        "* a",
    ]
    assert drawing({"a": [], "b": ["a"], "x": [], "y": ["x"]}, "ybxa") == [
        "* y",
        "| * b",
        "* | x",
        " /",
        "* a",
    ]


def test_a_parent_that_is_not_shown_leaves_its_line_open() -> None:
    assert [line for line, _ in draw(["c", "y"], FORK)] == ["*", "| *"]


@pytest.mark.parametrize("rank", list(permutations(FORK)))
def test_parents_come_after_children_whatever_the_clock_said(rank: tuple[str, ...]) -> None:
    order = arrange(FORK, rank.index)
    assert sorted(order) == sorted(FORK)
    for one, ups in FORK.items():
        assert all(order.index(one) < order.index(up) for up in ups)


def test_every_version_is_drawn_once() -> None:
    order = arrange(FORK, lambda one: one)
    assert [one for _, one in draw(order, FORK) if one] == order


def test_unknown_parents_are_ignored_when_arranging() -> None:
    assert arrange({"b": ["a"], "c": ["b"]}, lambda one: one) == ["c", "b"]


def test_simplify_bridges_what_is_left_out() -> None:
    assert simplify(FORK, lambda one: one in "acy") == {"a": [], "c": ["a"], "y": ["a"]}
    assert simplify(FORK, lambda one: True) == FORK
    assert simplify(FORK, lambda one: False) == {}
    diamond = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    assert simplify(diamond, lambda one: one in "ad") == {"a": [], "d": ["a"]}


# -- read back ------------------------------------------------------------------------------


def read_back(lines: list[tuple[str, int | None]]) -> dict[int, list[int]]:
    """Return the parents of each version as the drawing alone tells them.

    Follows every line down: ``|`` stays, ``\\`` goes a column to the right, ``/`` to the left,
    and ``_`` carries a ``/`` across columns.
    """
    parents: dict[int, list[int]] = {}
    at: dict[int, list[tuple[int, int]]] = {}  # by position: (version, which parent)
    for line, one in lines:
        text = line.ljust(2 * len(lines) + 8)
        if one is not None:
            place = text.index("*")
            assert text.count("*") == 1
            for child, turn in at.pop(place, []):
                parents[child][turn:turn] = [one]
            assert all(text[other] == "|" for other in at), line
            parents[one] = []
            at[place] = [(one, 0)]
            continue
        below: dict[int, list[tuple[int, int]]] = {}
        for place, held in at.items():
            ways = [place] if text[place] == "|" else []
            if text[place + 1] == "\\":
                ways.append(place + 2)
            if place and text[place - 1] == "/":
                target = place - 2
                while target > 0 and text[target - 1] == "_":
                    target -= 2
                ways.append(target)
            for turn, way in enumerate(ways):
                below.setdefault(way, []).extend((child, turn or old) for child, old in held)
        at = below
    return parents


@st.composite
def histories(draw_: st.DrawFn) -> tuple[list[int], dict[int, list[int]]]:
    """Versions 0, 1, 2 ... of up to two parents, and an order in which to draw them."""
    count = draw_(st.integers(1, 14))
    parents: dict[int, list[int]] = {0: []}
    for one in range(1, count):
        ups = st.lists(st.integers(0, one - 1), min_size=1, max_size=2, unique=True)
        parents[one] = draw_(ups)
    rank = draw_(st.permutations(range(count)))
    return arrange(parents, rank.index), parents


@given(histories())
def test_the_drawing_tells_the_whole_history(
    history: tuple[list[int], dict[int, list[int]]],
) -> None:
    order, parents = history
    lines = list(draw(order, parents))
    assert [one for _, one in lines if one is not None] == order
    assert all(line == line.rstrip() for line, _ in lines)
    assert read_back(lines) == parents
