"""Writers that go on while another process merges, picks, reverts, resets, and decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from harness import Nursery, nursery
from harness.ledger import (
    WRITERS,
    Writers,
    check_invariants,
    check_versions,
    journal_of,
    ledger,
    though_they_write,
)
from harness.scenarios import contents, opened
from harness.trap import shrink_limits
from pymongo.database import Database

from versioned_collection import MergePolicy, Version, VersionedCollection, errors
from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.core.merging import merge_documents
from versioned_collection.observing import Progress

COUPLED = [["a", "b", "sum"]]
THEIRS = MergePolicy(default="theirs", coupled=COUPLED)
ROUNDS = 3
NAME = "bands"


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


@pytest.fixture(params=["at once", pytest.param("step by step", marks=pytest.mark.sweep)])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the verbs of this process carry out their changes: they are many documents or few."""
    if request.param == "step by step":
        shrink_limits(monkeypatch.setattr)
        for module in (
            "documents.moves",
            "merges.joining",
            "working.setting_aside",
            "verbs.conflicts",
        ):
            monkeypatch.setattr(f"versioned_collection.{module}.BATCH", 20)
        monkeypatch.setattr("versioned_collection.trackers.conflicts.PAGE", 1_000)
        for name in ("driver.wire.IDS_PER_READ", "driver.writes.OPERATIONS_PER_WRITE"):
            monkeypatch.setattr(f"versioned_collection.{name}", 100)
    return request.param


class Meeting:
    """A collection whose branches part and meet while others write to it.

    Writers pause whenever no method of this class lets them go on.
    """

    def __init__(self, db: Database[Any], writers: Callable[[], Writers]) -> None:
        self.db = db
        self.collection: VersionedCollection = ledger(db, 0)
        self.writers = writers()
        self.writers.pause()
        self.sums = True
        self.seen: set[str] = set()
        self.gone: set[str] = set()

    def part(self, turn: int) -> None:
        """Have other changes on a side branch than on main, which is checked out."""
        collection = self.collection
        collection.register(f"start {turn}")
        collection.create_branch(f"side{turn}")
        self.writers.go_on_for_a_while()
        assert collection.register(f"side {turn}")
        collection.checkout("main")
        self.writers.go_on_for_a_while()
        assert collection.register(f"main {turn}")
        self.ids()

    def meet(self, verb: Callable[[Progress], Any]) -> Any:
        """Call a verb while the writers go on from the middle of it on.

        Returns:
            What it returns; None where it gave way to a writer.
        """
        going = False

        def go_on(phase: str, count: int) -> None:
            nonlocal going
            if not going:
                going = True
                self.writers.resume()

        here = self.collection.resolve("HEAD").id
        try:
            return verb(go_on)
        except errors.WorkingCopyChanged:
            assert self.collection.resolve("HEAD").id == here
            return None
        finally:
            if going:
                self.writers.go_on()
                self.writers.pause()
            check_invariants(self.db, 0, self.sums)

    def take_back(self, verb: Callable[[], Any]) -> None:
        """Call a verb that takes uncommitted changes away, while the writers go on.

        What was written before it looked may go, what was written after that may not.
        """
        last = {
            writer: max(journal_of(self.seen, writer), default=-1) for writer in range(WRITERS)
        }
        self.gone |= self.ids() - self.recorded()
        self.writers.resume()
        self.writers.go_on()
        though_they_write(self.writers, verb)
        self.writers.go_on()
        self.writers.pause()
        check_invariants(self.db, 0, self.sums)
        recorded, found = self.recorded(), self.ids()
        assert {one for one in recorded if "journal" in one} <= found
        for writer in range(WRITERS):
            kept = journal_of(found - recorded, writer)
            assert kept == list(range(kept[0], kept[-1] + 1)), "a hole in what was written"
            self.gone |= {f"journal {writer} {n}" for n in range(last[writer] + 1, kept[0])}

    def ids(self) -> set[str]:
        found = set(self.db[NAME].distinct("_id"))
        self.seen |= found
        return found

    def recorded(self) -> set[str]:
        return set(self.db[f"__replica_{NAME}"].distinct("_id"))

    def end(self) -> None:
        """Check all versions, and that nothing is missing."""
        self.collection.register("the end")
        done = self.writers.stop()
        assert check_versions(self.db, 0, done, self.gone, self.sums) > ROUNDS


@pytest.fixture
def meeting(db: Database[Any], server: Any, children: Nursery) -> Meeting:
    return Meeting(db, lambda: Writers(children, server.uri, db, 0))


def joined(db: Database[Any], base: Version, ours: Version, theirs: Version) -> set[bytes]:
    """Return what the merge of three versions holds, one document after the other."""
    sides = [at(db, version) for version in (base, ours, theirs)]
    keys = set().union(*sides)
    merged = (merge_documents(key, *(side.get(key) for side in sides), THEIRS) for key in keys)
    return {one.raw for one in merged if one.raw is not None}


def at(db: Database[Any], version: Version) -> dict[DocumentKey, bytes]:
    collection = opened(db)
    assert collection.checkout(version.id)
    return {document_key(raw): raw for raw in contents(db, NAME)}


@pytest.mark.sweep
def test_versions_that_come_of_merges_hold_what_was_recorded(db, meeting, way):
    """No writer gets into them, and none loses what it wrote meanwhile."""
    collection = meeting.collection
    made = []
    for turn in range(ROUNDS):
        meeting.part(turn)
        ours, theirs = collection.resolve("HEAD"), collection.resolve(f"side{turn}")
        start = collection.resolve("HEAD~1")
        verbs = [
            ("merge", theirs, start, theirs),
            ("cherry_pick", theirs, start, theirs),
            ("revert", ours, ours, start),
        ]
        name, named, base, other = verbs[turn % len(verbs)]
        verb = getattr(collection, name)
        found = meeting.meet(
            lambda progress, verb=verb, named=named: verb(
                named.id, policy=THEIRS, progress=progress
            )
        )
        if found is not None:
            made.append((found, base, ours, other))
    meeting.end()
    for found, *sides in made:
        assert set(at(db, found).values()) == joined(db, *sides)


def test_conflicts_wait_and_are_settled_while_others_write(db, meeting, way):
    """Also in the documents that the writers write to."""
    collection = meeting.collection
    policy = MergePolicy(coupled=COUPLED)
    meeting.sums = False  # a decision is about a place, whoever changes another one meanwhile
    for turn in range(ROUNDS):
        meeting.part(turn)
        side = f"side{turn}"
        for verb in (collection.merge, collection.cherry_pick):
            with suppress(errors.AutoMergeFailedError):
                meeting.meet(lambda p, v=verb: v(side, policy=policy, progress=p))  # noqa: B023
            if collection.has_conflicts():
                break
            collection.register("meanwhile")
        while collection.has_conflicts():
            before = sum(1 for _ in collection.conflicts())
            meeting.meet(lambda p: collection.resolve_conflicts(resolver="theirs", progress=p))
            if sum(1 for _ in collection.conflicts()) == before:  # a writer removed the documents
                collection.resolve_conflicts()
            assert sum(1 for _ in collection.conflicts()) < before
        collection.register(f"settled {turn}")
    meeting.end()


def test_what_is_taken_back_ends_at_one_moment(db, meeting, way):
    """What was written before it may go, what was written after it stays."""
    collection = meeting.collection
    for turn in range(ROUNDS):
        meeting.part(turn)
        if turn % 2:
            with pytest.raises(errors.AutoMergeFailedError):
                collection.merge(f"side{turn}", policy=MergePolicy(coupled=COUPLED))
            meeting.take_back(collection.abort_merge)
            assert not collection.has_conflicts()
        meeting.take_back(lambda: collection.reset("HEAD~1", hard=True))
        collection.register(f"after the reset {turn}")
        collection.checkout(f"side{turn}")
        meeting.meet(lambda progress: collection.undo(progress=progress))
        assert collection.branch == "main"
        collection.register(f"after the undo {turn}")
    meeting.end()


def test_two_processes_merge_at_once(db, server, children):
    """Each verb of one happens before or after each of the other."""
    collection = opened(db)
    collection.insert_many([{"_id": number, "x": 0} for number in range(6)])
    collection.init()
    both = [
        children.start("merge_all_the_time", uri=server.uri, database=db.name, turns=5, name=name)
        for name in ("left", "right")
    ]
    outcomes = [child.outcome() for child in both]
    for outcome in outcomes:
        assert outcome["error"] is None, outcome
        assert outcome["result"]["carried out"]
    assert list(collection.verify()) == []
    entries = {entry.id: entry for entry in collection._repository.log.get_many()}
    assert {entry.message for entry in entries.values()} >= {
        message for outcome in outcomes for message in outcome["result"]["registered"]
    }
    operations = list(collection.reflog())
    assert all(one.after == two.before for two, one in pairwise(operations))
    collection.abort_merge()
    collection.discard_changes()
    for version in entries:
        assert collection.checkout(version)
    assert list(collection.verify()) == []
