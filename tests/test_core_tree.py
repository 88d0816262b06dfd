"""The version tree: ancestors, descendants, paths."""

from __future__ import annotations

import pytest
from bson.objectid import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from versioned_collection.core.tree import Node, Path, VersionTree
from versioned_collection.errors import CorruptHistory

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@st.composite
def trees(draw: st.DrawFn) -> tuple[VersionTree, dict[ObjectId, ObjectId | None]]:
    """Return a tree, given in any order, and the parents it was made from."""
    parents: dict[ObjectId, ObjectId | None] = {}
    ids = [ObjectId(f"{number:024x}") for number in range(draw(st.integers(1, 15)))]
    for number, id_ in enumerate(ids):
        parents[id_] = ids[draw(st.integers(0, number - 1))] if number else None
    nodes = [
        Node(id_, () if parent is None else (parent,), number, "main")
        for number, (id_, parent) in enumerate(parents.items())
    ]
    return VersionTree(draw(st.permutations(nodes))), parents


def up(parents: dict[ObjectId, ObjectId | None], start: ObjectId) -> list[ObjectId]:
    line = []
    current: ObjectId | None = start
    while current is not None:
        line.append(current)
        current = parents[current]
    return line


@quick
@given(trees(), st.data())
def test_ancestors_and_descendants_mirror_each_other(
    made: tuple[VersionTree, dict[ObjectId, ObjectId | None]], data: st.DataObject
) -> None:
    tree, parents = made
    assert len(tree) == len(parents)
    assert set(tree) == set(parents)
    assert tree.root == next(iter(parents))
    version = data.draw(st.sampled_from(sorted(parents)))
    assert list(tree.ancestors(version)) == up(parents, version)
    below = list(tree.descendants(version))
    assert below[0] == version
    assert len(below) == len(set(below))
    assert set(below) == {other for other in parents if version in up(parents, other)}
    for child in below[1:]:
        parent = tree.parent(child)
        assert below.index(parent) < below.index(child)
        assert child in tree.children(parent)


@quick
@given(trees(), st.data())
def test_a_path_leads_up_to_the_common_ancestor_and_down(
    made: tuple[VersionTree, dict[ObjectId, ObjectId | None]], data: st.DataObject
) -> None:
    tree, parents = made
    one, other = (data.draw(st.sampled_from(sorted(parents))) for _ in range(2))
    path = tree.path(one, other)
    place: ObjectId | None = one
    for version in path.backward:
        assert version == place  # what is undone is where we are
        place = parents[version]
    assert place == tree.common_ancestor(one, other) == tree.common_ancestor(other, one)
    for version in path.forward:
        assert parents[version] == place
        place = version
    assert place == other
    assert not set(path.backward) & set(path.forward)
    assert ~path == tree.path(other, one)
    assert len(path) == len(path.backward) + len(path.forward)
    turns = path.steps()
    assert [turns[v] for v in path.backward + path.forward] == [
        (turn, turn < len(path.backward)) for turn in range(len(path))
    ]


@quick
@given(trees(), st.data())
def test_distances_are_the_lengths_of_paths(
    made: tuple[VersionTree, dict[ObjectId, ObjectId | None]], data: st.DataObject
) -> None:
    tree, parents = made
    start = data.draw(st.sampled_from(sorted(parents)))
    found = tree.distances(start)
    assert found == {other: len(tree.path(start, other)) for other in parents}
    assert list(found.values()) == sorted(found.values())


def test_the_path_to_itself_is_empty() -> None:
    id_ = ObjectId()
    tree = VersionTree([Node(id_, (), 0, "main")])
    assert tree.path(id_, id_) == Path((), ())
    assert not tree.path(id_, id_).steps()


def test_further_parents_do_not_bend_the_tree() -> None:
    root, one, two, merge = (ObjectId() for _ in range(4))
    tree = VersionTree(
        [
            Node(root, (), 0, "main"),
            Node(one, (root,), 1, "main"),
            Node(two, (root,), 0, "b"),
            Node(merge, (one, two), 2, "main"),
        ]
    )
    assert tree.parent(merge) == one
    assert tree.children(two) == ()
    assert tree.path(merge, two) == Path((merge, one), (two,))


def test_equal_trees_hold_the_same_labels() -> None:
    id_, other = ObjectId(), ObjectId()
    tree = VersionTree([Node(id_, (), 0, "main")])
    assert tree == VersionTree([Node(id_, (), 0, "main")])
    assert tree != VersionTree([Node(id_, (), 0, "trunk")])
    assert tree != VersionTree([Node(other, (), 0, "main")])
    assert tree != {id_}
    with pytest.raises(TypeError):
        hash(tree)


def test_a_tree_is_drawn_as_text() -> None:
    ids = [ObjectId(f"{number:024x}") for number in range(4)]
    tree = VersionTree(
        [
            Node(ids[0], (), 0, "main"),
            Node(ids[1], (ids[0],), 0, "side"),
            Node(ids[2], (ids[0],), 1, "main"),
            Node(ids[3], (ids[2], ids[1]), 2, "main"),
        ]
    )
    assert str(tree) == "* main@2\n|\\\n* | main@1\n| * side@0\n|/\n* main@0"
    assert repr(tree) == "VersionTree(4 versions)"
    assert (str(VersionTree()), repr(VersionTree())) == ("", "VersionTree(0 versions)")


def test_an_empty_tree() -> None:
    tree = VersionTree()
    assert tree.root is None
    assert len(tree) == 0
    assert ObjectId() not in tree
    with pytest.raises(CorruptHistory):
        tree.path(ObjectId(), ObjectId())


def test_versions_without_a_common_ancestor_have_no_path() -> None:
    one, other = ObjectId(), ObjectId()
    tree = VersionTree([Node(one, (), 0, "main"), Node(other, (), 0, "b")])
    with pytest.raises(CorruptHistory, match="common ancestor"):
        tree.path(one, other)


def test_a_very_long_branch() -> None:
    ids = [ObjectId() for _ in range(20_000)]
    tree = VersionTree(
        Node(id_, (ids[number - 1],) if number else (), number, "main")
        for number, id_ in enumerate(ids)
    )
    assert len(tree.path(ids[0], ids[-1])) == len(ids) - 1
    assert sum(1 for _ in tree.descendants(ids[0])) == len(ids)
