"""Random verbs in several working copies of one repository, against a plain model."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pytest
from api_support import problems
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from pymongo.database import Database

from versioned_collection import VersionedCollection
from versioned_collection.errors import InvalidOperation, VersioningError

Documents = dict[int, int]
COPIES = ("main", "one", "two")
BRANCHES = ("main", "b1", "b2")

copies = st.sampled_from(COPIES)
branches = st.sampled_from(BRANCHES)
ids = st.integers(0, 3)
values = st.integers(0, 2)

_names = itertools.count()


@dataclass
class Version:
    """A version: its label and its documents."""

    branch: str
    number: int
    documents: Documents


@dataclass
class Copy:
    """A working copy: what is checked out, and its documents."""

    head: Version
    branch: str | None
    documents: Documents
    stashed: list[tuple[Documents, Documents]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs from HEAD."""
        return self.documents == self.head.documents


class Machine(RuleBasedStateMachine):
    """Drives up to three working copies and their model."""

    database: Callable[[], Database[Any]]

    @initialize(documents=st.dictionaries(ids, values, min_size=1))
    def begin(self, documents: Documents) -> None:
        self.db, self.turn = self.database(), next(_names)
        self.opened: dict[str, VersionedCollection] = {}
        self.root = self.collection("main")
        self.root.insert_many([{"_id": one, "x": x} for one, x in documents.items()])
        self.root.init()
        first = Version("main", 0, dict(documents))
        self.tips = {"main": first}
        self.versions = [first]
        self.copies = {"main": Copy(first, "main", dict(documents))}

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        try:
            for name in self.copies:
                assert problems(self.collection(name)) == []
        finally:
            for name in self.copies.keys() - {"main"}:
                self.root.remove_worktree(self.named(name), force=True)
            self.root.drop()

    def named(self, copy: str) -> str:
        """Return the name of a working copy's collection."""
        return f"c{self.turn}_{copy}"

    def collection(self, copy: str) -> VersionedCollection:
        """Return the object of a working copy; it is never opened again once it is."""
        if copy not in self.opened:
            self.opened[copy] = VersionedCollection(self.db, self.named(copy))
        return self.opened[copy]

    def holder(self, branch: str) -> str | None:
        """Return the working copy that has a branch checked out."""
        return next((name for name, one in self.copies.items() if one.branch == branch), None)

    # -- working copies ------------------------------------------------------------------

    @rule(copy=copies, start=copies, branch=branches)
    def worktree(self, copy: str, start: str, branch: str) -> None:
        if start not in self.copies:
            return
        source = self.collection(start)
        if copy in self.copies or branch not in self.tips or self.holder(branch):
            with pytest.raises(VersioningError):
                source.worktree(branch, self.named(copy))
            return
        source.worktree(branch, self.named(copy))
        tip = self.tips[branch]
        self.copies[copy] = Copy(tip, branch, dict(tip.documents))

    @rule(copy=copies, branch=branches, start=copies)
    def worktree_of_a_new_branch(self, copy: str, branch: str, start: str) -> None:
        if copy in self.copies or branch in self.tips or start not in self.copies:
            return
        self.collection(start).worktree("HEAD", self.named(copy), new_branch=branch)
        head = self.tips[branch] = self.copies[start].head
        self.copies[copy] = Copy(head, branch, dict(head.documents))

    @rule(copy=copies, by=copies, force=st.booleans())
    def remove(self, copy: str, by: str, force: bool) -> None:
        if by not in self.copies:
            return
        one = self.copies.get(copy)
        kept = one is None or copy == "main"
        if kept or not (force or (one.is_clean and not one.stashed)):
            with pytest.raises(VersioningError):
                self.collection(by).remove_worktree(self.named(copy), force=force)
            return
        self.collection(by).remove_worktree(self.named(copy), force=force)
        del self.copies[copy]

    # -- verbs ---------------------------------------------------------------------------

    @rule(copy=copies, one=ids, x=values)
    def write(self, copy: str, one: int, x: int) -> None:
        if copy in self.copies:
            target = self.collection(copy)
            target.replace_one({"_id": one}, {"x": x}, upsert=True)
            self.copies[copy].documents[one] = x

    @rule(copy=copies, one=ids)
    def delete(self, copy: str, one: int) -> None:
        if copy in self.copies:
            self.collection(copy).delete_one({"_id": one})
            self.copies[copy].documents.pop(one, None)

    @rule(copy=copies)
    def register(self, copy: str) -> None:
        one = self.copies.get(copy)
        if one is None or one.branch is None:
            return
        assert self.collection(copy).register("next") == (not one.is_clean)
        if one.is_clean:
            return
        number = sum(version.branch == one.branch for version in self.versions)
        one.head = self.tips[one.branch] = Version(one.branch, number, dict(one.documents))
        self.versions.append(one.head)

    @rule(copy=copies, branch=branches)
    def checkout(self, copy: str, branch: str) -> None:
        one = self.copies.get(copy)
        if one is None:
            return
        collection = self.collection(copy)
        stays = one.branch == branch
        taken = branch not in self.tips or self.holder(branch) not in (None, copy)
        if taken or not (stays or one.is_clean):
            with pytest.raises(VersioningError):
                collection.checkout(branch=branch)
            return
        collection.checkout(branch=branch)
        if not stays:
            tip = self.tips[branch]
            self.copies[copy] = Copy(tip, branch, dict(tip.documents), one.stashed)

    @rule(copy=copies, which=st.integers(0, 20))
    def checkout_of_a_version(self, copy: str, which: int) -> None:
        one, version = self.copies.get(copy), self.versions[which % len(self.versions)]
        if one is None or not one.is_clean:
            return
        collection = self.collection(copy)
        collection.checkout((version.number, version.branch))
        tip_of = [name for name in (version.branch, one.branch) if self.tips.get(name) is version]
        free = [name for name in tip_of if self.holder(name) in (None, copy)]
        branch = free[0] if free else None
        self.copies[copy] = Copy(version, branch, dict(version.documents), one.stashed)

    @rule(copy=copies, branch=branches)
    def create_branch(self, copy: str, branch: str) -> None:
        one = self.copies.get(copy)
        if one is None or branch in self.tips:
            return
        self.collection(copy).create_branch(branch)
        self.tips[branch], one.branch = one.head, branch

    @rule(copy=copies, branch=branches)
    def delete_branch(self, copy: str, branch: str) -> None:
        if copy not in self.copies or branch not in self.tips:
            return
        if self.holder(branch) is not None:
            with pytest.raises(InvalidOperation):
                self.collection(copy).delete_branch(branch)
            return
        with suppress(InvalidOperation):  # it alone leads to some versions
            self.collection(copy).delete_branch(branch)
            del self.tips[branch]

    @rule(copy=copies)
    def stash(self, copy: str) -> None:
        one = self.copies.get(copy)
        if one is None or one.stashed:
            return
        assert self.collection(copy).stash() == (not one.is_clean)
        if not one.is_clean:
            one.stashed = [(dict(one.head.documents), dict(one.documents))]
            one.documents = dict(one.head.documents)

    @rule(copy=copies)
    def stash_apply(self, copy: str) -> None:
        one = self.copies.get(copy)
        if one is None or not one.is_clean:
            return
        assert self.collection(copy).stash_apply() == bool(one.stashed)
        for old, new in one.stashed:
            for key in old.keys() | new.keys():
                if old.get(key) != new.get(key) and key in new:
                    one.documents[key] = new[key]
                elif key not in new:
                    one.documents.pop(key, None)
        one.stashed = []

    @rule(copy=copies)
    def discard(self, copy: str) -> None:
        if copy in self.copies:
            one = self.copies[copy]
            self.collection(copy).discard_changes()
            one.documents = dict(one.head.documents)

    @rule(copy=copies)
    def gc(self, copy: str) -> None:
        if copy in self.copies:
            self.collection(copy).gc()

    @rule(copy=copies, one=ids)
    def purge(self, copy: str, one: int) -> None:
        if copy not in self.copies:
            return
        self.collection(copy).purge([one], reason="it left")
        states = [version.documents for version in self.versions]
        for each in self.copies.values():
            states += [each.documents, each.head.documents, *chain(*each.stashed)]
        for state in states:
            state.pop(one, None)

    # -- what both say -------------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "copies"):
            return
        listed = {one.name: one for one in self.root.worktrees()}
        assert listed.keys() == {self.named(name) for name in self.copies}
        tips = {name: self.root.resolve(name).label for name in self.root.branches()}
        assert tips == {name: f"{v.branch}@{v.number}" for name, v in self.tips.items()}
        for name, one in self.copies.items():
            collection, shown = self.collection(name), listed[self.named(name)]
            found = {document["_id"]: document["x"] for document in collection.find()}
            assert found == one.documents
            assert shown.head.label == f"{one.head.branch}@{one.head.number}"
            assert shown.detached == (one.branch is None)
            assert one.branch in (None, shown.branch)
            assert collection.has_changes() == (not one.is_clean)
            assert collection.has_stash() == bool(one.stashed)


def _run(db: Database[Any], examples: int, steps: int, fixed: bool) -> None:
    run_state_machine_as_test(
        type("BoundMachine", (Machine,), {"database": staticmethod(lambda: db)}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=fixed,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def test_working_copies_do_what_the_model_does(db: Database[Any]) -> None:
    _run(db, 3, 40, True)


def test_the_model_holds_on_a_standalone_server(standalone_db: Database[Any]) -> None:
    _run(standalone_db, 1, 40, True)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_the_model_holds_for_long(db: Database[Any]) -> None:
    _run(db, 100, 60, False)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_the_model_holds_for_long_on_a_standalone_server(standalone_db: Database[Any]) -> None:
    _run(standalone_db, 100, 60, False)
