"""One document in all versions: the places where its changes lie in the tree."""

from __future__ import annotations

from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from versioned_collection.core.graph import parents_first
from versioned_collection.core.nesting import Nesting
from versioned_collection.core.tree import Node, VersionTree

IDS = [ObjectId(bytes([n] * 12)) for n in range(13)]
grown = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=len(IDS) - 1)
chosen = st.sets(st.integers(1, len(IDS) - 1))


def tree_of(steps):
    """Return the tree in which each version stands on one, or two, of those before it."""
    nodes = [Node(IDS[0], (), 0, "main")]
    for number, (one, other) in enumerate(steps, 1):
        parents = dict.fromkeys((IDS[one % number], IDS[other % number]))
        nodes.append(Node(IDS[number], tuple(parents), number, "main"))
    return VersionTree(sorted(nodes, key=lambda node: (node.number * 7) % 13))


@given(grown, chosen, st.integers(0, 99))
def test_places(steps, which, first):
    tree = tree_of(steps)
    some = [version for version in IDS if version in tree and IDS.index(version) in which]
    nesting = Nesting(tree)
    for version in tree:
        above = [one for one in tree.ancestors(version) if one in some]
        assert nesting.nearest(version, some) == (above[0] if above else None)
    for version, parent in nesting.parents(some).items():
        above = [one for one in tree.ancestors(version) if one in some and one != version]
        assert parent == (above[0] if above else None)
    start = [None, *some][first % (len(some) + 1)]
    met, parents = {start}, nesting.parents(some)
    walked = list(nesting.walk(start, some))
    for version, place, reached in walked:
        assert place in met
        assert {place, reached} == {version, parents[version]}
        met.add(reached)
    assert sorted(version for version, _, _ in walked) == sorted(some)
    assert met == {None, *some}


@given(grown)
def test_parents_come_first(steps):
    tree = tree_of(steps)
    order = list(parents_first(tree.nodes))
    assert sorted(order) == sorted(tree)
    assert all(
        order.index(parent) < order.index(version)
        for version in order
        for parent in tree.nodes[version].parents
    )
