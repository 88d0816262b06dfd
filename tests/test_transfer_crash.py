"""Killed or cut off at any command, a transfer has happened or has not, and goes on.

Each case runs a transfer in a child process that kills itself at one of its commands to
either side. Both sides then open and verify, the side that takes versions in is in the old
or the new state, the other as it was; the next attempt finishes, and does not send what had
arrived.
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest
from api_support import edit, grown, problems, raws, step
from harness import Nursery, nursery
from harness.scenarios import NAME, Scenario, State, leftovers, nothing, opened, state_of
from harness.stage import Scene, Stages, scene_of
from harness.transfers import ACTS, line_to, patient
from pymongo import MongoClient
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded, errors
from versioned_collection.committing.committer import Committer
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.trackers.metadata import MetadataCollection

SAMPLES = 2
AT_ONCE = 4


class Deal(NamedTuple):
    """A transfer.

    Attributes:
        act: Its name in `harness.transfers`.
        takes: The kind of server of the side that takes versions in.
        first: Whether that side is not tracked before.
        scene: How that side is before, a name in `Sides.scenes`.
        large: Whether a few documents take the way of many.
        stops: Transfers that leave it in states on the way.
    """

    act: str
    takes: str = "replica_set"
    first: bool = False
    scene: str = "behind"
    large: bool = False
    stops: tuple[str, ...] = ()


DEALS = {
    "push": Deal("push"),
    "push aside": Deal("push", scene="aside"),
    "push of everything": Deal("push_all", large=True),
    "first push": Deal("push", first=True),
    "refused first push": Deal("push_refused", first=True, large=True),
    "refused first push to a standalone server": Deal("push_refused", "standalone", first=True),
    "fetch": Deal("fetch"),
    "pull": Deal("pull", large=True, stops=("fetch",)),
    "merge": Deal("pull", scene="diverged", stops=("fetch",)),
    "large merge": Deal("pull", scene="diverged", large=True, stops=("fetch",)),
    "rebase": Deal("pull_rebase", scene="diverged", stops=("fetch",)),
    "conflicts": Deal("pull_clash", scene="clashing", stops=("fetch",)),
    "discard": Deal("pull_discard", scene="clashing", stops=("fetch", "pull_clash")),
    "clone": Deal("clone", first=True, large=True),
    "push to a standalone server": Deal("push", "standalone", large=True),
    "first push to a standalone server": Deal("push", "standalone", first=True),
    "pull to a standalone server": Deal("pull", "standalone", stops=("fetch",)),
    "merge on a standalone server": Deal("pull", "standalone", scene="diverged", stops=("fetch",)),
}


RARE = {"large merge", "conflicts", "merge on a standalone server"}
"""What a default run leaves out: others go much the same way."""


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


class Sides:
    """A side that gives versions away, and others that take them in.

    Args:
        giving: A client of the server of the first.
        taking: A client of the server of the others.
    """

    def __init__(self, giving: MongoClient[Any], taking: MongoClient[Any]) -> None:
        self.gives = giving[f"gives_{uuid.uuid4().hex[:12]}"]
        self._taking = taking
        self._stages = Stages(taking)
        base = taking[f"base_{uuid.uuid4().hex[:12]}"]
        bands = grown(self.gives)
        behind = VersionedCollection.clone(bands, base, NAME)
        base[f"__remotes_{NAME}"].delete_many({})
        self.scenes = {"behind": scene_of(base)}
        behind.checkout("side")
        self.scenes["aside"] = scene_of(base)
        behind.checkout("main")
        for name in ("diverged", "clashing"):
            edit(behind, name, {"diverged": 3, "clashing": 2}[name])
            behind.register(name)
            self.scenes[name] = scene_of(base)
        taking.drop_database(base.name)
        step(bands, 4)
        bands.insert_many([{"_id": f"new {n}"} for n in range(5)])
        bands.update_one({"_id": 2}, {"$set": {"v": "v" * 10_000}})
        bands.register("five more")
        self.state = state_of(self.gives)
        self.versions = self.gives[f"__log_{NAME}"].distinct("_id")

    @contextmanager
    def taking(self, deal: Deal) -> Iterator[Database[Any]]:
        """Yield the database that takes versions in."""
        if deal.first:
            database = self._taking[f"first_{uuid.uuid4().hex[:12]}"]
            try:
                yield database
            finally:
                self._taking.drop_database(database.name)
            return
        with self._stages.set_to(Scenario(nothing), self._scene(deal)) as database:
            yield database

    def _scene(self, deal: Deal) -> Scene:
        return self.scenes[deal.scene]


@pytest.fixture(scope="module")
def sides(client, standalone_client) -> dict[str, Sides]:
    return {
        "replica_set": Sides(client, client),
        "standalone": Sides(client, standalone_client),
    }


def uri_of(database: Database[Any]) -> str:
    host, port = database.client.address
    return f"mongodb://{host}:{port}/?directConnection=true"


class Sweep:
    """Strikes at the commands of one transfer."""

    def __init__(self, children: Nursery, sides: Sides, deal: Deal) -> None:
        self._children = children
        self._sides = sides
        self._deal = deal
        with sides.taking(deal) as database:
            self._old = self._look(database)
            outcome = self._run(database)
            assert outcome["error"] is None, outcome
            self._new = self._look(database)
            self._left = leftovers(database, NAME)
            self._deltas = self._arrived(database)
            self._commands = outcome["result"]["commands"]
        self._states = [self._old, self._new]
        for stop in deal.stops:
            with sides.taking(deal) as database:
                self._run(database, act=stop)
                # a fetch is of all branches, where a pull looks at one
                self._states.append({**self._look(database), "tips": [1]})

    def _look(self, database: Database[Any]) -> State:
        """Return what a user sees; where a remote is differs from run to run."""
        state = state_of(database)[NAME]
        if state["tracked"]:
            state["tips"] = [len(one.branches) for one in opened(database).remotes()]
        return state

    def _run(self, database: Database[Any], **strike: Any) -> dict[str, Any]:
        return self._children.run("transfers.transfer", **self._job(database, **strike))

    def _job(self, database: Database[Any], **strike: Any) -> dict[str, Any]:
        here, there = self._turned(self._sides.gives, database)
        return {
            "uri": uri_of(here),
            "database": here.name,
            "there_uri": uri_of(there),
            "there": there.name,
            "large": self._deal.large,
            "act": self._deal.act,
            **strike,
        }

    def _turned(self, gives: Any, takes: Any) -> tuple[Any, Any]:
        return (gives, takes) if self._deal.act.startswith("push") else (takes, gives)

    def run(self, every: bool) -> None:
        """Kill at commands; at all of them, or at some."""
        self._try(self._strike, self._cases(every))

    def freeze(self) -> None:
        """Freeze before each command while somebody else goes ahead."""
        numbers = range(1, len(self._commands) + 1)
        self._try(self._overtake, [(number, "before") for number in numbers])

    def _try(
        self,
        strike: Callable[[tuple[int, str], Database[Any]], None],
        cases: Sequence[tuple[int, str]],
    ) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(partial(self._tried, strike), cases)
            failures = [one for one in found if one]
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)

    def _cases(self, every: bool) -> list[tuple[int, str]]:
        numbers = range(1, len(self._commands) + 3)
        both = [(number, when) for number in numbers for when in ("before", "after")]
        if every:
            return both
        step_ = (len(both) - 1) / (SAMPLES + 1)
        return [both[round((turn + 1) * step_)] for turn in range(SAMPLES)]

    def _tried(
        self, strike: Callable[[tuple[int, str], Database[Any]], None], case: tuple[int, str]
    ) -> str:
        place = self._commands[case[0] - 1 :][:1]
        try:
            with self._sides.taking(self._deal) as database:
                strike(case, database)
        except Exception as error:
            return f"{case} {place}: {type(error).__name__}: {error}"
        return ""

    def _strike(self, case: tuple[int, str], database: Database[Any]) -> None:
        outcome = self._run(database, number=case[0], when=case[1])
        assert outcome["signal"] in (signal.SIGKILL, None), outcome
        self._check_opens(database)
        found = self._look(database)
        if found not in self._states:
            raise AssertionError(f"neither old nor new: {found}")
        if found["tracked"]:
            opened(database).gc()  # what waits to be gone on with is kept
        arrived = self._arrived(database)
        inserted = self._again(database)
        assert inserted == self._deltas - arrived, (inserted, arrived, self._deltas)
        again = self._look(database)
        assert again == self._new, f"not new: {again}"
        self._check_opens(database)
        assert leftovers(database, NAME) == self._left
        assert state_of(self._sides.gives) == self._sides.state

    def _overtake(self, case: tuple[int, str], database: Database[Any]) -> None:
        """Freeze the transfer, make it again, and go on from there; then let the first go on."""
        number, when = case
        job = self._job(database, number=number, when=when, freeze=True)
        child = self._children.start("transfers.transfer", **job)
        found = child.overtaken(lambda: self._go_ahead(database))
        if found is None:
            return  # threads made it a command shorter
        between, outcome = found
        error = outcome["error"]
        assert error is None or hasattr(errors, error[0]), outcome
        after = state_of(database)
        assert after == between, (error, between, after)
        self._check_opens(database)
        assert state_of(self._sides.gives) == self._sides.state
        collection = opened(database)
        collection.insert_one({"_id": "at last"})
        assert collection.register("at last")
        self._check_opens(database)

    def _go_ahead(self, database: Database[Any]) -> State:
        here, there = self._turned(self._sides.gives, database)
        ACTS[self._deal.act](opened(here), opened(there))
        collection = opened(database)
        if not collection.is_tracked():
            collection.init("by another owner")
        collection.resolve_conflicts()
        collection.insert_one({"_id": "another"})
        assert collection.register("by another owner", "another")
        collection.delete_one({"_id": 2})
        collection.insert_one({"_id": "late"})
        assert collection.has_changes()
        return state_of(database)

    def _arrived(self, database: Database[Any]) -> int:
        """Return how many changes of the other side's versions are there."""
        theirs = {"version": {"$in": self._sides.versions}}
        return database[f"__deltas_{NAME}"].count_documents(theirs)

    def _again(self, database: Database[Any]) -> int:
        """Repeat the transfer; return how many changes were inserted."""
        gives = self._sides.gives
        with line_to(uri_of(gives)) as (giving, _), line_to(uri_of(database)) as (taking, line):
            here, there = self._turned(giving[gives.name], taking[database.name])
            ACTS[self._deal.act](opened(here), opened(there))
            return sum(line.inserted[version] for version in self._sides.versions)

    def _check_opens(self, database: Database[Any]) -> None:
        for one in (database, self._sides.gives):
            collection = opened(one)
            if collection.is_tracked():
                assert problems(collection) == []


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.sweep] * (one in RARE)) for one in DEALS]
)
def test_killed(children, sides, name):
    deal = DEALS[name]
    Sweep(children, sides[deal.takes], deal).run(every=False)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", DEALS)
def test_killed_at_every_command(children, sides, name):
    deal = DEALS[name]
    Sweep(children, sides[deal.takes], deal).run(every=True)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [one for one in DEALS if "refused" not in one])
def test_frozen_at_every_command(children, sides, name):
    deal = DEALS[name]
    Sweep(children, sides[deal.takes], deal).freeze()


# -- what waits ----------------------------------------------------------------------------


@pytest.fixture
def pair(db, client) -> Iterator[tuple[VersionedCollection, VersionedCollection]]:
    """Two sides that are equal, of which the first then goes on."""
    there = client[f"there_{uuid.uuid4().hex[:12]}"]
    bands = grown(db)
    bands.push(there, all=True)
    for turn in range(3):
        step(bands, f"new {turn}")
    yield bands, opened(there)
    client.drop_database(there.name)


class Cut(Exception):
    """The line is dead."""


def cut_after(count: int) -> Any:
    """Return a progress function that breaks a transfer off."""
    left = [count]

    def progress(phase: str, done: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut

    return progress


def leave_waiting(bands: VersionedCollection, away: VersionedCollection) -> int:
    """Bring the versions of a push, but not what makes them visible; return how many changes."""
    with pytest.raises(Cut):
        bands.push(away, progress=cut_after(3))
    incoming = away.database[f"__incoming_{NAME}"]
    assert incoming.count_documents({}) == 3
    found = [one["_id"] for one in incoming.find()]
    return away.database[f"__deltas_{NAME}"].count_documents({"version": {"$in": found}})


def test_a_copy_knows_its_origin_from_the_moment_on_that_it_is_tracked(
    pair, server, client, monkeypatch
):
    bands, _ = pair
    into = client[f"into_{uuid.uuid4().hex[:12]}"]
    url = server.uri.replace("/?", f"/{bands.database.name}.{NAME}?")

    def die(*_: Any) -> None:
        raise Cut

    monkeypatch.setattr(Committer, "complete", die)  # behind the commit point
    with pytest.raises(Cut):
        VersionedCollection.clone(url, into)
    monkeypatch.undo()
    copy = opened(into)
    assert [(one.name, one.url) for one in copy.remotes()] == [("origin", url)]
    assert dict(copy.remotes()[0].branches) == dict(bands._repository.branches.all())
    assert raws(copy) == raws(bands)
    assert problems(copy) == []
    client.drop_database(into.name)


def test_a_copy_that_dies_right_before_it_is_tracked_is_not_sent_again(
    pair, server, client, monkeypatch
):
    """Meanwhile a branch has gone, which the copy must not have then."""
    bands, _ = pair
    bands.create_branch("fork")
    bands.checkout("main")
    name = f"into_{uuid.uuid4().hex[:12]}"

    def die(*_: Any) -> None:
        raise Cut

    monkeypatch.setattr(MetadataCollection, "insert", die)
    with pytest.raises(Cut):
        bands.push(client[name], all=True)
    monkeypatch.undo()
    bands.delete_branch("fork")
    with line_to(server.uri) as (other, line):
        assert bands.push(other[name], all=True)
        assert line.deltas == 0
    copy = opened(client[name])
    assert copy.branches() == {"main", "side"}
    assert copy._repository.incoming.founding() is None
    assert problems(copy) == []
    client.drop_database(name)


def test_garbage_collection_keeps_what_waits_for_a_week(pair, server):
    bands, away = pair
    waiting = leave_waiting(bands, away)
    assert waiting == 3
    assert away.gc()["versions_without_log_entry"] == 0
    assert away.version == 3
    with line_to(server.uri) as (client, line):
        assert bands.push(client[away.database.name])
        assert line.deltas == 0
    assert raws(bands) == raws(away)
    assert problems(away) == []


def test_garbage_collection_removes_what_waited_for_more_than_a_week(pair):
    bands, away = pair
    leave_waiting(bands, away)
    incoming = away.database[f"__incoming_{NAME}"]
    for one in incoming.find():
        early = one["announced"] - timedelta(days=7, minutes=1)
        incoming.update_one({"_id": one["_id"]}, {"$set": {"announced": early}})
    assert away.gc()["versions_without_log_entry"] == 3
    assert incoming.count_documents({}) == 0
    assert problems(away) == []
    assert bands.push(away)
    assert raws(bands) == raws(away)
    assert problems(away) == []


def test_what_was_removed_meanwhile_is_said(pair):
    """Versions that are gone by the time that they should enter the log are sent again."""
    bands, away = pair

    def collect(phase: str, count: int) -> None:
        if phase == "changes":
            away.database[f"__incoming_{NAME}"].delete_many({})
            away.gc()

    with pytest.raises((errors.InvalidOperation, errors.TransferRefused)):
        bands.push(away, progress=collect)
    assert away.version == 3
    assert problems(away) == []
    assert bands.push(away)
    assert raws(bands) == raws(away)
    assert problems(away) == []


def test_a_refused_update_is_not_sent_again(pair, server):
    bands, away = pair
    edit(away, "uncommitted", 2)
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        bands.push(away)
    away.discard_changes()
    with line_to(server.uri) as (client, line):
        assert bands.push(client[away.database.name])
        assert line.deltas == 0
    assert raws(bands) == raws(away)


# -- the server ----------------------------------------------------------------------------


def test_the_remote_is_restarted_in_the_middle(db):
    """The transfer fails or goes on; afterwards all is whole, and the next one finishes."""
    with embedded.start() as server, MongoClient(server.uri) as client:
        bands = grown(db)
        away = patient(client["music"])
        assert bands.push(away)
        for turn in range(3):
            step(bands, f"new {turn}")
        restarted = []

        def restart(phase: str, count: int) -> None:
            if not restarted:
                restarted.append(server.restart())

        with suppress(errors.VersioningError):
            bands.push(away, progress=restart)
        assert restarted
        assert problems(away) == []
        assert problems(bands) == []
        assert bands.push(away)
        assert raws(bands) == raws(away)
        assert problems(away) == []


CUT_COMMANDS = ["find", "getMore", "insert", "update", "delete", "aggregate", "commitTransaction"]


def test_the_connection_is_cut_at_commands_to_the_remote(db):
    """From one command on, nothing reaches the remote any more."""
    arguments = ("--setParameter", "enableTestCommands=1")
    with (
        embedded.start(durable=False, extra_args=arguments) as server,
        MongoClient(server.uri) as free,
        MongoClient(server.uri, appname="cut") as client,
    ):
        bands = grown(db)
        away = patient(client["music"])
        assert bands.push(away)
        for number in (0, 8, 20):
            step(bands, f"new {number}")
            before = opened(free["music"]).version
            fail(free, {"skip": number})
            try:
                bands.push(away)
            except errors.VersioningError:
                assert opened(free["music"]).version in (before, before + 1)
            finally:
                fail(free, "off")
            assert problems(opened(free["music"])) == []
            assert problems(bands) == []
            assert bands.push(away)
            assert raws(bands) == raws(away)
            assert problems(away) == []


def fail(client: MongoClient[Any], mode: Any) -> None:
    """Let the server close connections at the commands of the client that is to be cut off."""
    data = {"failCommands": CUT_COMMANDS, "closeConnection": True, "appName": "cut"}
    command = {"configureFailPoint": "failCommand", "mode": mode}
    client.admin.command({**command, **({} if mode == "off" else {"data": data})})


# -- two pushers ---------------------------------------------------------------------------


def test_two_processes_push_at_once(children, db, client, server):
    """One wins, the other is told that the histories have diverged and has changed nothing."""
    bands = grown(db)
    names = [f"pusher_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    for name in names:
        step(VersionedCollection.clone(bands, client[name]), name)
    both = [
        children.start(
            "transfers.pushes",
            uri=server.uri,
            database=name,
            there_uri=server.uri,
            there=db.name,
        )
        for name in names
    ]
    outcomes = [child.outcome()["result"] for child in both]
    kinds = sorted(kind for kind, _ in outcomes)
    assert kinds == ["InvalidOperation", "pushed"], outcomes
    assert any("diverged" in text for _, text in outcomes)
    winner = names[[kind for kind, _ in outcomes].index("pushed")]
    assert raws(bands) == raws(opened(client[winner]))
    assert problems(bands) == []
    for name in names:
        assert problems(opened(client[name])) == []
        client.drop_database(name)


def test_threads_push_to_one_remote(db, client):
    bands = grown(db)
    names = [f"pusher_{uuid.uuid4().hex[:12]}" for _ in range(3)]
    clones = [VersionedCollection.clone(bands, client[name]) for name in names]
    for clone_, name in zip(clones, names, strict=True):
        step(clone_, name)

    def push(clone_: VersionedCollection) -> str:
        try:
            clone_.push(bands)
        except errors.InvalidOperation as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(push, clones))
    assert outcomes.count("") == 1, outcomes
    assert all("diverged" in text for text in outcomes if text)
    assert raws(bands) == raws(clones[outcomes.index("")])
    assert problems(bands) == []
    for name in names:
        client.drop_database(name)


def test_the_inbox_of_a_remote_stays_invisible(pair):
    bands, away = pair
    before = state_of(away.database)
    leave_waiting(bands, away)
    assert state_of(away.database) == before
    assert MongoRemote(away._repository).known([bands.resolve("HEAD").id]) == set()


def test_a_version_that_was_deleted_is_sent_again(pair):
    """What a killed process left announced as complete is not taken for changes that are gone."""
    bands, away = pair
    assert bands.push(away)
    entries = [entry for entry in bands._repository.log.get_many() if entry.number > 3]
    incoming = away._repository.incoming
    incoming.announce(entries, away._repository.now())
    incoming.complete([entry.id for entry in entries])
    away.delete_version_subtree(4, "main")
    assert away.version == 3
    assert bands.push(away)
    assert raws(bands) == raws(away)
    assert problems(away) == []
