"""Drawing histories, and arranging what is drawn."""

from __future__ import annotations

from itertools import permutations

import pytest

from versioned_collection.cli.graph import arrange, draw, simplify

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
