"""Several processes on one collection: owners that freeze, owners that race, and writers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pymongo
import pytest
from harness import Nursery, nursery
from harness.ledger import (
    ACCOUNTS,
    Writers,
    check_invariants,
    check_versions,
    ledger,
    though_they_write,
)
from harness.scenarios import (
    NAME,
    NEW_NAME,
    SCENARIOS,
    State,
    merge,
    opened,
    state_of,
)
from harness.stage import Scene, Stages, scene_of
from harness.trap import ASKS_FOR_LEASE
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener

from versioned_collection import errors
from versioned_collection.repository.hold import leased

SAMPLES = 4
"""Commands of each verb at which a default run freezes its owner."""

AT_ONCE = 8


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


# -- frozen owners -------------------------------------------------------------------------


class Place(NamedTuple):
    """A server on which owners freeze."""

    uri: str
    stages: Stages


@pytest.fixture(scope="module")
def replica_set(server, client) -> Place:
    return Place(server.uri, Stages(client))


@pytest.fixture(scope="module")
def standalone(standalone_server, standalone_client) -> Place:
    return Place(standalone_server.uri, Stages(standalone_client))


UNFENCED = frozenset(("publish view", "publish another"))
"""Verbs that make a view, or let it show another version.

The server goes by no lease there, so a late owner may still do that, as it was asked to.
"""


class Freeze:
    """Freezes the owner of a verb, lets another one go ahead, and thaws the first."""

    def __init__(
        self,
        children: Nursery,
        place: Place,
        name: str,
        large: bool = False,
        between: Callable[[Database[Any]], None] | None = None,
    ) -> None:
        self._children, self._place = children, place
        self._between = between or go_ahead
        self._scenario = SCENARIOS[name]
        self._is_fenced = name not in UNFENCED
        self._job = {"uri": place.uri, "scenario": name, "large": large}
        with place.stages.prepared(self._scenario) as database:
            self._scene: Scene = scene_of(database)
            outcome = children.run("verb", database=database.name, **self._job)
            assert outcome["error"] is None, outcome
            commands: list[str] = outcome["result"]["commands"]
        leases = [turn for turn, text in enumerate(commands, 1) if text == ASKS_FOR_LEASE]
        assert leases, "the verb takes no lease"
        self._job["leases"] = len(leases)
        self._behind = commands[leases[-1] :]

    def run(self, whens: tuple[str, ...], every: bool) -> None:
        numbers = range(1, len(self._behind) + 1)
        cases = [(number, when) for number in numbers for when in whens]
        if not every:
            step = (len(cases) - 1) / (SAMPLES - 1)
            cases = [cases[round(turn * step)] for turn in range(SAMPLES)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            failures = [failure for failure in pool.map(self._tried, cases) if failure]
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)

    def _tried(self, case: tuple[int, str]) -> str:
        number, when = case
        place = self._behind[number - 1 :][:1]
        try:
            with self._place.stages.set_to(self._scenario, self._scene) as database:
                self._freeze(number, when, database)
        except Exception as error:
            return f"frozen {when} {number} {place}: {type(error).__name__}: {error}"
        return ""

    def _freeze(self, number: int, when: str, database: Database[Any]) -> None:
        child = self._children.start(
            "verb", database=database.name, number=number, when=when, freeze=True, **self._job
        )
        found = child.overtaken(lambda: self._overtake(database))
        if found is None:
            return  # threads made it a command shorter
        between, outcome = found
        # it had the lease before it froze: nothing that it does counts any more
        error = outcome["error"]
        assert error is None or hasattr(errors, error[0]), outcome
        after = state_of(database)
        if not self._is_fenced:
            after, between = _without_views(after), _without_views(between)
            check_views(database)
        if after != between:
            raise AssertionError(f"{error}\n{_difference(between, after)}")
        for name in (NAME, NEW_NAME):
            collection = opened(database, name)
            if collection.is_tracked():
                assert list(collection.verify()) == []
                collection.insert_one({"_id": "at last"})
                collection.resolve_conflicts()
                assert collection.register("at last", "last")
                assert list(collection.verify()) == []

    def _overtake(self, database: Database[Any]) -> State:
        self._between(database)
        return state_of(database)


def go_ahead(database: Database[Any]) -> None:
    """Do as another owner would: register, change again, and look."""
    name = NEW_NAME if opened(database, NEW_NAME).is_tracked() else NAME
    collection = opened(database, name)
    if not collection.is_tracked():
        collection.init("by another owner")
    if "only_1" in collection.index_information():  # which is in the way of some verbs
        collection.drop_index("only_1")
    collection.resolve_conflicts()
    collection.insert_one({"_id": "another"})
    assert collection.register("by another owner", "another")
    collection.update_one({"_id": "another"}, {"$set": {"late": True}})
    collection.insert_one({"_id": "late"})
    # what was noticed is kept, and not noticed again
    assert collection.has_changes()
    collection.listen(stop=_set_event())


def merge_again(database: Database[Any]) -> None:
    """Take a merge that waits back, as another owner, and leave conflicts of another one."""
    collection = opened(database)
    collection.abort_merge()
    collection.discard_changes()
    merge(collection)
    assert collection.has_conflicts()


def go_ahead_beside(database: Database[Any]) -> None:
    """Do as another owner would in the main working copy."""
    collection = opened(database)
    collection.insert_one({"_id": "another"})
    assert collection.register("by another owner")
    collection.tag("later")


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def check_views(database: Database[Any]) -> None:
    """Make sure that every view shows the version that it is said to show."""
    collection = opened(database)
    shown = collection.views()
    assert sorted(shown) == sorted(database.list_collection_names(filter={"type": "view"}))
    for name, version in shown.items():
        expected = collection.at(version.id).find().sort("_id", 1)
        assert list(database[name].find().sort("_id", 1)) == list(expected), name


def _without_views(state: State) -> State:
    return {name: {**facts, "views": None} for name, facts in state.items()}


def _difference(before: State, after: State) -> str:
    return "\n".join(
        f"  {name} {what}\n    was {before[name].get(what)!r}\n    is  {value!r}"
        for name in (NAME, NEW_NAME)
        for what, value in after[name].items()
        if value != before[name].get(what)
    )


FROZEN = ["register", "checkout back", "stash", "tag", "init"]
LARGE = [name for name, scenario in SCENARIOS.items() if scenario.large]


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_owner(replica_set, children, name):
    Freeze(children, replica_set, name).run(("before", "after"), every=False)


@pytest.mark.parametrize("name", ["register", "checkout across", "discard"])
def test_frozen_owner_of_a_large_change(replica_set, children, name):
    Freeze(children, replica_set, name, large=True).run(("before", "after"), every=False)


@pytest.mark.parametrize("name", ["register", "checkout across", "stash"])
def test_frozen_owner_on_a_standalone_server(standalone, children, name):
    Freeze(children, standalone, name, large=True).run(("after",), every=False)


@pytest.mark.parametrize("name", ["abort merge", "gc during a merge", "merge with conflicts"])
def test_late_owner_leaves_the_conflicts_of_another_merge(replica_set, children, name):
    Freeze(children, replica_set, name, between=merge_again).run(("before",), every=False)


@pytest.mark.parametrize("name", ["worktree", "remove worktree", "register in a worktree"])
def test_late_owner_in_a_worktree(replica_set, children, name):
    freeze = Freeze(children, replica_set, name, between=go_ahead_beside)
    freeze.run(("before", "after"), every=False)


@pytest.mark.parametrize("place", ["replica_set", "standalone"])
def test_two_processes_register_in_two_working_copies(request, children, place):
    found: Place = request.getfixturevalue(place)
    turns = 6
    with found.stages.prepared(SCENARIOS["rename branch of a worktree"]) as database:
        job = {"uri": found.uri, "database": database.name, "turns": turns}
        running = [children.start("register_in", name=name, **job) for name in (NAME, NEW_NAME)]
        for child in running:
            outcome = child.outcome()
            assert outcome["error"] is None, outcome
        for name, branch, first in ((NAME, "main", 2), (NEW_NAME, "side", 1)):
            collection = opened(database, name)
            messages = [entry.message for entry in collection.get_log(branch)][:turns]
            assert messages == [f"{name} {turn}" for turn in reversed(range(turns))]
            assert (collection.branch, collection.version) == (branch, first + turns)
            assert collection.find_one({"_id": 1})["x"] == f"{name} {turns - 1}"
            assert not collection.has_changes()
            assert list(collection.verify()) == []


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS)
def test_frozen_at_every_command(replica_set, children, name):
    Freeze(children, replica_set, name).run(("before",), every=True)


@pytest.mark.sweep
@pytest.mark.parametrize("name", LARGE)
def test_frozen_at_every_command_of_a_large_change(replica_set, children, name):
    Freeze(children, replica_set, name, large=True).run(("before",), every=True)


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS)
def test_frozen_at_every_command_on_a_standalone_server(standalone, children, name):
    large = SCENARIOS[name].large
    Freeze(children, standalone, name, large).run(("after",), every=True)


# -- writers -------------------------------------------------------------------------------

ROUNDS = 6


def test_each_version_is_one_moment(db, server, children):
    """Versions registered, and checked out, while writers keep their invariants."""
    collection = ledger(db, ACCOUNTS)
    writers = Writers(children, server.uri, db, ACCOUNTS)
    refused = 0
    for turn in range(ROUNDS):
        collection.register(f"while they write {turn}", f"branch{turn}")
        collection.register(f"again {turn}", f"again{turn}")
        writers.pause()
        collection.register(f"in a pause {turn}", f"pause{turn}")
        check_invariants(db, ACCOUNTS)
        here = collection.resolve("HEAD").id
        # the writers go on at the very moment of the checkout
        writers.resume()
        try:
            collection.checkout(
                "HEAD~1" if turn % 2 else 0, **({} if turn % 2 else {"branch": "main"})
            )
        except errors.InvalidOperation:
            refused += 1
            assert collection.resolve("HEAD").id == here
    done = writers.stop()
    assert sum(report["transfers"] for report in done) > 0
    assert refused <= ROUNDS
    assert check_versions(db, ACCOUNTS, done) > ROUNDS


@pytest.mark.sweep
def test_stash_while_others_write(db, server, children):
    """What is set aside comes back, and what was written meanwhile stays."""
    collection = ledger(db, 0)
    writers = Writers(children, server.uri, db, 0)
    for turn in range(ROUNDS):
        if turn % 2:
            collection.register(f"while they write {turn}", f"branch{turn}")
        assert though_they_write(writers, collection.stash)
        collection.register(f"after the stash {turn}", f"stash{turn}")
        writers.pause()
        collection.register(f"in a pause {turn}", f"pause{turn}")
        writers.resume()
        try:
            assert collection.stash_apply()
        except errors.InvalidOperation:
            writers.pause()
            collection.register(f"in another pause {turn}", f"other{turn}")
            assert collection.stash_apply()
            writers.resume()
    check_versions(db, 0, writers.stop())


def test_discard_while_others_write(db, server, children):
    """A change made after discard is still there, and none is torn."""
    collection = ledger(db, 0)
    writers = Writers(children, server.uri, db, 0)
    for _ in range(2):
        before = set(db[NAME].distinct("_id"))
        assert though_they_write(writers, collection.discard_changes)
        for document in db[NAME].find({"sum": {"$exists": True}}):
            assert document["a"] + document["b"] == document["sum"]
        # what was there before went away, what came after it is still there
        assert not {i for i in before if "journal" in i} & set(db[NAME].distinct("_id"))
    writers.stop()
    assert collection.discard_changes()
    assert not collection.has_changes()
    assert list(collection.verify()) == []
    assert check_invariants(db, 0) == set()


def test_writers_on_a_standalone_server(standalone_db, standalone_server, children):
    """Without transactions each document is whole, and each acknowledged write is kept."""
    collection = ledger(standalone_db, 0)
    # only writers that go through the library are seen there
    writers = [
        children.start(
            "write_all_the_time",
            uri=standalone_server.uri,
            database=standalone_db.name,
            writer=writer,
        )
        for writer in (1, 3)
    ]
    for writer in writers:
        writer.ready()
    for turn in range(ROUNDS):
        collection.register(f"while they write {turn}")
        if turn % 2:
            assert collection.stash()
            for writer in writers:
                writer.pause()
            collection.register(f"in a pause {turn}")
            assert collection.stash_apply()
            for writer in writers:
                writer.resume()
    done = [writer.stop()["result"] for writer in writers]
    reports = [{"inserted": 0}, done[0], {"inserted": 0}, done[1]]
    check_versions(standalone_db, 0, reports)


# -- two owners ----------------------------------------------------------------------------


def test_two_processes_use_verbs_at_once(db, server, children):
    turns = 8
    collection = opened(db)
    collection.insert_one({"_id": "first"})
    collection.init()
    both = [
        children.start(
            "verbs_all_the_time", uri=server.uri, database=db.name, turns=turns, name=name
        )
        for name in ("left", "right")
    ]
    outcomes = [child.outcome() for child in both]
    for outcome in outcomes:
        assert outcome["error"] is None, outcome
    collection.register("the rest", "rest")
    assert list(collection.verify()) == []
    entries = collection._repository.log.get_many()
    assert {entry.message for entry in entries} >= {
        message for outcome in outcomes for message in outcome["result"]["registered"]
    }
    # one chain: each version but the root has its parent, and nobody shares one
    parents = [entry.parents for entry in entries]
    assert parents.count(()) == 1
    assert len(set(parents)) == len(parents)
    assert {document["_id"] for document in db[NAME].find()} == {
        "first",
        *(f"{name} {turn}" for name in ("left", "right") for turn in range(turns)),
    }


@pytest.mark.parametrize("kind", ["replica_set", "standalone"])
def test_two_processes_init_at_once(request, children, kind):
    place: Place = request.getfixturevalue(kind)
    client = request.getfixturevalue("client" if kind == "replica_set" else "standalone_client")
    database = client[f"both_{uuid.uuid4().hex[:12]}"]
    database[NAME].insert_many([{"_id": i} for i in range(100)])
    both = [children.start("init", uri=place.uri, database=database.name) for _ in range(2)]
    outcomes = [child.outcome() for child in both]
    errors_ = [outcome["error"] and outcome["error"][0] for outcome in outcomes]
    assert sorted(errors_, key=str) == ["CollectionAlreadyInitialised", None]
    collection = opened(database)
    assert list(collection.verify()) == []
    assert collection.version == 0
    assert not collection.has_changes()
    client.drop_database(database.name)


def test_held_lease_is_named(db):
    """Whoever does not want to wait is told who holds the lease."""
    collection = opened(db)
    collection.init()
    impatient = opened(db, lease_wait_seconds=0)
    with (
        leased(collection._repository, "register"),
        pytest.raises(errors.LeaseHeld, match="register is running") as caught,
    ):
        impatient.register("in vain")
    assert caught.value.owner["verb"] == "register"
    assert impatient.register("now") is False


@pytest.mark.parametrize("older", [True, False])
def test_a_lock_that_was_lost_or_is_an_older_one(anydb, older):
    """A copy of a collection and its own trackers comes without, and a backup with what it was."""
    collection, locks = opened(anydb), anydb["__vc_lock"]
    collection.init()
    backup = locks.find_one()
    with leased(collection._repository, "tag") as late:
        for number in range(3):
            locks.update_one({}, {"$set": {"expires": None}})
            opened(anydb).tag(f"before {number}")
        locks.drop()
        if older:
            locks.insert_one({**backup, "expires": None})
        assert opened(anydb).tag("after")
        with pytest.raises(errors.LeaseLost):
            late.enter()
    assert collection.tag("at last")
    assert list(collection.verify()) == []


def test_an_owner_whose_lock_is_dropped_writes_nothing_more(anydb):
    collection = opened(anydb)
    collection.init()
    with leased(collection._repository, "tag") as late:
        late.enter()
        anydb["__vc_lock"].drop()
        assert opened(anydb).tag("after")
        with pytest.raises(errors.LeaseLost):
            late.update({"branch": "elsewhere"})
    assert collection.branch == "main"


def test_a_verb_that_took_too_long_gives_its_lease_back(db):
    collection = opened(db, lease_wait_seconds=0)
    collection.insert_one({"_id": 1})
    collection.init()
    collection.insert_one({"_id": 2})
    with pytest.raises(PyMongoError) as caught, pymongo.timeout(0.3):
        collection.register("late", progress=lambda *_: time.sleep(0.4))
    assert caught.value.timeout
    assert collection.register("in time")


class _Slow(CommandListener):
    """Takes longer than a verb has, once its transaction has written."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._writes: set[int] = set()

    def started(self, event: Any) -> None:
        if event.command_name == "update" and "autocommit" in event.command:
            self._writes.add(event.request_id)

    def succeeded(self, event: Any) -> None:
        if event.request_id in self._writes:
            time.sleep(self._seconds)

    def failed(self, event: Any) -> None: ...


def test_a_verb_that_took_too_long_leaves_no_transaction_open(db, server):
    """Nobody takes it for that of another client."""
    collection = opened(db)
    collection.insert_many([{"_id": 1, "x": 1}, {"_id": 2, "x": 1}])
    collection.init()
    collection.update_many({}, {"$set": {"x": 2}})
    collection.register("second")
    with pymongo.MongoClient(server.uri, event_listeners=[_Slow(0.6)]) as client:
        slow = opened(client[db.name])
        with pytest.raises(PyMongoError) as caught, pymongo.timeout(0.5):
            slow.checkout(0)
        assert caught.value.timeout
        assert collection.checkout(0)
    assert list(collection.verify()) == []


def test_an_interrupted_start_of_the_heartbeat_frees_the_lease(db, monkeypatch):
    """Python waits for each thread that it starts, and Ctrl-C may come meanwhile."""
    collection = opened(db, lease_wait_seconds=0)
    collection.init()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("lease-"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collection.tag("one")
    assert collection.tag("two")


def test_killed_owner_blocks_no_longer_than_its_lease(db, server, children):
    opened(db).init()
    db[NAME].insert_one({"_id": 1})
    outcome = children.run("verb", uri=server.uri, database=db.name, scenario="register", number=8)
    assert outcome["signal"] is not None
    # who does not wait for long is refused or goes on, but is never stuck
    impatient = opened(db, lease_wait_seconds=0)
    begun = time.monotonic()
    owners = []
    while True:
        try:
            assert impatient.register("next")
            break
        except errors.LeaseHeld as held:
            owners.append(held.owner["verb"])
    assert set(owners) <= {"register"}
    assert time.monotonic() - begun < 15
