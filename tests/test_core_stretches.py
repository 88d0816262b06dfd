"""The ways up from versions, read as they are walked."""

from __future__ import annotations

import pytest
from bson.objectid import ObjectId

from versioned_collection.core.graph import ancestors_of, is_ancestor, relation
from versioned_collection.core.stretches import Stretches
from versioned_collection.core.tree import Ancestry, Node, Path, VersionTree
from versioned_collection.errors import CorruptHistory


class Log:
    """A line of versions of which stretches can be read; counts what was."""

    def __init__(self, count: int) -> None:
        self.ids = [ObjectId() for _ in range(count)]
        self.nodes = [
            Node(id_, (self.ids[number - 1],) if number else (), number, "main")
            for number, id_ in enumerate(self.ids)
        ]
        self.read = 0

    def stretch(self, version: ObjectId, count: int) -> list[Node]:
        if version not in self.ids:
            return []
        end = self.ids.index(version)
        found = self.nodes[max(end - count, 0) : end + 1]
        self.read += len(found)
        return found

    def everything(self) -> list[Node]:
        self.read += len(self.nodes)
        return self.nodes

    def ancestry(self, *further: Node) -> Ancestry:
        return Ancestry(Stretches(self.stretch, self.everything, further))


def test_near_versions_take_one_stretch_each() -> None:
    log = Log(10_000)
    new = Node(ObjectId(), (log.ids[-1],), 10_000, "main")
    tree = log.ancestry(new)
    assert relation(tree, new.id, log.ids[-3]) == "ahead"
    assert relation(tree, log.ids[-3], new.id) == "behind"
    assert is_ancestor(tree, log.ids[-2], new.id)
    assert tree.path(log.ids[-3], new.id) == Path((), (log.ids[-2], log.ids[-1], new.id))
    assert log.read < 150


def test_what_stands_on_a_version_is_told_without_reading() -> None:
    """As when a version arrives from another side: what is new is at hand, the rest is read."""
    log = Log(1_000)
    new = Node(ObjectId(), (log.ids[-1],), 1_000, "main")
    tree = log.ancestry(new)
    assert relation(tree, new.id, log.ids[-1]) == "ahead"
    assert tree.path(log.ids[-1], new.id) == Path((), (new.id,))
    assert log.read == 0


def test_the_whole_history_is_read_in_a_few_stretches() -> None:
    log = Log(5_000)
    tree = log.ancestry()
    assert ancestors_of(tree, log.ids[-1]) == set(log.ids)
    assert log.read < 2 * len(log.ids)
    whole = VersionTree(log.nodes)
    assert tree.path(log.ids[7], log.ids[4_000]) == whole.path(log.ids[7], log.ids[4_000])


def test_unknown_versions() -> None:
    log = Log(3)
    tree = log.ancestry()
    with pytest.raises(CorruptHistory):
        tree.path(log.ids[0], ObjectId())
    stranger = Node(ObjectId(), (), 0, "main")
    assert relation(log.ancestry(stranger), stranger.id, log.ids[-1]) == "apart"
