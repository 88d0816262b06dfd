"""Three repositories that edit, push and pull as they like, against a model in memory.

The model is a graph of versions, each with its documents, and knows nothing of labels,
deltas or transfers. In the end everybody pulls everything: then all have the same.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import pytest
from api_support import problems, raws
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from versioned_collection import VersionedCollection, errors

SIDES = 3
FIELDS = ("a", "b")
IDS = (1, 2, 3)

sides = st.integers(0, SIDES - 1)
others = st.integers(1, SIDES - 1)
pair_of_sides = st.integers(0, 1)
branches = st.sampled_from(("main", "side"))


class Model:
    """What each side's main contains: a set of versions, and the documents at its tip."""

    def __init__(self) -> None:
        self.known: list[set[int]] = [{0} for _ in range(SIDES)]
        self.documents: list[dict[int, dict[str, Any]]] = [
            {one: {"_id": one} for one in IDS} for _ in range(SIDES)
        ]
        self.next = 1

    def register(self, side: int, *also: set[int]) -> None:
        self.known[side] = {*self.known[side].union(*also), self.next}
        self.next += 1


class Peers(RuleBasedStateMachine):
    database: Any  # makes databases

    def __init__(self) -> None:
        super().__init__()
        self.databases = [type(self).database() for _ in range(SIDES)]
        first = VersionedCollection(self.databases[0], "things")
        first.insert_many([{"_id": one} for one in IDS])
        first.init()
        copies = [VersionedCollection.clone(first, other) for other in self.databases[1:]]
        self.sides = [first, *copies]
        self.model = Model()

    def teardown(self) -> None:
        self.everybody_pulls_everything()
        for database in self.databases:
            database.client.drop_database(database.name)

    # -- the rules -----------------------------------------------------------------------

    @rule(side=sides, one=st.sampled_from(IDS), field=st.sampled_from(FIELDS), value=st.integers())
    def edit(self, side: int, one: int, field: str, value: int) -> None:
        value %= 1000
        document = self.model.documents[side].setdefault(one, {"_id": one})
        if document.get(field) == value:
            return
        document[field] = value
        self.sides[side].update_one({"_id": one}, {"$set": {field: value}}, upsert=True)
        assert self.sides[side].register("edit")
        self.model.register(side)

    @rule(side=sides, one=st.sampled_from(IDS))
    def delete(self, side: int, one: int) -> None:
        if self.model.documents[side].pop(one, None) is not None:
            self.sides[side].delete_one({"_id": one})
            assert self.sides[side].register("delete")
            self.model.register(side)

    @rule(side=sides, step=others)
    def fetch(self, side: int, step: int) -> None:
        self.sides[side].fetch(self.sides[(side + step) % SIDES])

    @rule(side=sides, step=others)
    def push(self, side: int, step: int) -> None:
        model, other = self.model, (side + step) % SIDES
        if model.known[other] <= model.known[side]:
            called = labels_on(self.sides[other])
            self.sides[side].push(self.sides[other])
            assert called.items() <= labels_on(self.sides[other]).items()
            model.known[other] = set(model.known[side])
            model.documents[other] = {k: dict(v) for k, v in model.documents[side].items()}
            return
        before = raws(self.sides[other])
        text = "behind" if model.known[side] < model.known[other] else "have diverged"
        with pytest.raises(errors.InvalidOperation, match=text):
            self.sides[side].push(self.sides[other])
        assert raws(self.sides[other]) == before

    @rule(
        side=sides, step=others, rule_=st.sampled_from(("ours", "theirs")), by_hand=st.booleans()
    )
    def pull(self, side: int, step: int, rule_: str, by_hand: bool) -> None:
        model, other = self.model, (side + step) % SIDES
        ours, theirs = model.known[side], model.known[other]
        if by_hand:
            name = self.sides[side].fetch(self.sides[other]).remote
            self.sides[side].merge(f"{name}/main", resolver=rule_)
        else:
            self.sides[side].pull(self.sides[other], resolver=rule_)
        if theirs <= ours:
            return
        if ours <= theirs:
            model.known[side] = set(theirs)
            model.documents[side] = {k: dict(v) for k, v in model.documents[other].items()}
            return
        model.register(side, theirs)
        self.take_what_was_merged(side, other)

    def take_what_was_merged(self, side: int, other: int) -> None:
        """Each field, as each document, is now that of one of both sides."""
        found = {one["_id"]: one for one in self.sides[side].find()}
        mine, theirs = self.model.documents[side], self.model.documents[other]
        assert set(mine) & set(theirs) <= set(found) <= set(mine) | set(theirs)
        for one, document in found.items():
            for name, value in document.items():
                assert value in (mine.get(one, {}).get(name), theirs.get(one, {}).get(name))
        self.model.documents[side] = found

    # -- what holds ----------------------------------------------------------------------

    @invariant()
    def contents_agree(self) -> None:
        for side, documents in zip(self.sides, self.model.documents, strict=True):
            assert {one["_id"]: one for one in side.find()} == documents

    @invariant()
    def as_many_versions_as_the_model(self) -> None:
        for side, known in zip(self.sides, self.model.known, strict=True):
            assert len(reachable(side)) == len(known)

    def everybody_pulls_everything(self) -> None:
        first, *rest = self.sides
        for other in rest:
            first.pull(other, resolver="theirs")
        for other in rest:
            other.pull(first)
        for other in rest:
            assert other == first
            assert other.get_log() == first.get_log()
            assert raws(other) == raws(first)
        for side in self.sides:
            assert problems(side) == []


class Branches(RuleBasedStateMachine):
    """Two sides with several branches, of which they bring one at a time; no changes clash.

    What a branch contains has the same labels on it at both sides once it was pulled.
    """

    database: Any  # makes databases

    def __init__(self) -> None:
        super().__init__()
        self.databases = [type(self).database() for _ in range(2)]
        first = VersionedCollection(self.databases[0], "things")
        first.insert_one({"_id": 0})
        first.init()
        first.create_branch("side")
        first.insert_one({"_id": "side"})
        first.register("side")
        second = VersionedCollection.clone(first, self.databases[1])
        self.sides = [first, second]
        self.edits = 0

    def teardown(self) -> None:
        for side in self.sides:
            assert problems(side) == []
        for database in self.databases:
            database.client.drop_database(database.name)

    @rule(side=pair_of_sides, branch=branches)
    def edit(self, side: int, branch: str) -> None:
        self.edits += 1
        self.sides[side].checkout(branch)
        self.sides[side].insert_one({"_id": self.edits})
        assert self.sides[side].register("edit")

    @rule(side=pair_of_sides, branch=st.none() | branches)
    def fetch(self, side: int, branch: str | None) -> None:
        self.sides[side].fetch(self.sides[1 - side], branch)

    @rule(side=pair_of_sides)
    def fetch_a_bundle(self, side: int) -> None:
        with TemporaryDirectory() as folder:
            self.sides[1 - side].export(f"{folder}/things.bundle")
            self.sides[side].fetch(f"{folder}/things.bundle")

    @rule(side=pair_of_sides, branch=branches)
    def merge(self, side: int, branch: str) -> None:
        self.sides[side].merge(branch)

    @rule(side=pair_of_sides, branch=branches, rebase=st.booleans())
    def pull(self, side: int, branch: str, rebase: bool) -> None:
        here, there = self.sides[side], self.sides[1 - side]
        here.pull(there, branch, rebase=rebase)
        ours, theirs = here.version_tree.nodes, there.version_tree.nodes
        for version in reachable(there, branch):
            if theirs[version].branch == branch:
                assert label(ours[version]) == label(theirs[version])

    @rule(side=pair_of_sides, branch=branches, rebase=st.booleans(), push=st.booleans())
    def pull_and_undo(self, side: int, branch: str, rebase: bool, push: bool) -> None:
        here, there = self.sides[side], self.sides[1 - side]
        before, count = names_on(here), len(list(here.reflog()))
        here.pull(there, branch, rebase=rebase)
        if push:
            here.push(there, branch)
        if len(list(here.reflog())) > count:  # else nothing but labels has changed, if these
            assert here.undo().verb == "pull"
            assert names_on(here) == before


def label(node: Any) -> tuple[str, int]:
    return node.branch, node.number


def labels_on(side: VersionedCollection, branch: str = "main") -> dict[Any, tuple[str, int]]:
    """Return the labels of what a branch contains."""
    nodes = side.version_tree.nodes
    return {version: label(nodes[version]) for version in reachable(side, branch)}


def names_on(side: VersionedCollection) -> Any:
    """Return where HEAD and branches are, and the labels of what these contain."""
    tips = {name: (side.resolve(name).id, labels_on(side, name)) for name in side.branches()}
    return side.resolve("HEAD").id, side.branch, side.is_detached(), tips


def reachable(side: VersionedCollection, branch: str = "main") -> set[Any]:
    """Return what the tip of a branch contains."""
    tree = side.version_tree
    waiting, found = [side.resolve(branch).id], set()
    while waiting:
        version = waiting.pop()
        if version not in found:
            found.add(version)
            waiting.extend(tree.nodes[version].parents)
    return found


def run(client: Any, examples: int, steps: int, kind: Any = Peers) -> None:
    counter = iter(range(10**9))

    class Machine(kind):  # type: ignore[misc]
        @staticmethod
        def database() -> Any:
            return client[f"peers_{id(counter)}_{next(counter)}"]

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_three_sides(client):
    run(client, examples=4, steps=10)


@pytest.mark.sweep
def test_one_branch_at_a_time(client):
    run(client, examples=6, steps=15, kind=Branches)


def test_three_sides_on_a_standalone_server(standalone_client):
    run(standalone_client, examples=2, steps=8)


@pytest.mark.sweep
@pytest.mark.timeout(7200)
def test_one_branch_at_a_time_for_long(client):
    run(client, examples=150, steps=40, kind=Branches)


@pytest.mark.sweep
@pytest.mark.timeout(7200)
def test_three_sides_for_long(client):
    run(client, examples=150, steps=40)
