"""The primary changes while a verb is at work: what is written is there, or known not to be."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from api_support import edit, grown, problems, raws, step, tracked
from harness.trap import shrink_limits
from pymongo import MongoClient, errors, monitoring
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded
from versioned_collection.errors import CheckFailed, VersioningError

WRITES = ("insert", "update", "delete", "findAndModify")


@pytest.fixture(scope="module")
def shaky() -> Iterator[MongoClient[Any]]:
    """A replica set of its own, which does as it is told by fail points."""
    with (
        embedded.start(
            durable=False, extra_args=["--setParameter", "enableTestCommands=1"]
        ) as one,
        MongoClient(one.uri) as client,
    ):
        yield client


@pytest.fixture
def music(shaky: MongoClient[Any]) -> Iterator[Database[Any]]:
    yield shaky.music
    shaky.drop_database("music")


@contextmanager
def cut_off(client: MongoClient[Any], commands: list[str], times: int) -> Iterator[None]:
    """Connections break before the server sees these commands."""
    point = {"configureFailPoint": "failCommand"}
    data = {"failCommands": commands, "closeConnection": True}
    client.admin.command({**point, "mode": {"times": times}, "data": data})
    yield
    client.admin.command({**point, "mode": "off"})


@contextmanager
def unsure(client: MongoClient[Any], command: str, code: int) -> Iterator[None]:
    """The server carries out a command once, and cannot promise that the next primary has it."""
    failing = {
        "failCommands": [command],
        "writeConcernError": {"code": code, "errmsg": "the primary steps down"},
    }
    point = {"configureFailPoint": "failCommand"}
    client.admin.command({**point, "mode": {"times": 1}, "data": failing})
    yield
    client.admin.command({**point, "mode": "off"})


@pytest.mark.parametrize(
    ("verb", "command", "code", "error"),
    [
        ("init", "aggregate", 64, errors.WriteConcernError),
        ("register", "insert", 11602, errors.NotPrimaryError),
        ("register", "insert", 64, errors.WriteConcernError),
        ("stash", "insert", 64, errors.WriteConcernError),
    ],
)
def test_a_write_that_may_be_taken_back_does_not_count(music, verb, command, code, error):
    bands = grown(music)
    if verb == "init":
        bands = VersionedCollection(music, "songs")
        bands.insert_one({"_id": 1, "mark": 1})
    else:
        edit(bands, "x")
    before = raws(bands)
    arguments = ["new"] if verb == "register" else []
    with unsure(music.client, command, code), pytest.raises(error, match="steps down"):
        getattr(bands, verb)(*arguments)
    assert raws(bands) == before
    assert getattr(bands, verb)(*arguments)
    assert problems(bands) == []
    assert not bands.has_changes()


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_transaction_whose_end_gets_lost_blocks_nobody(shaky, music, times):
    """It is ended by the verb itself, or else by the one that comes after its lease."""
    bands = tracked(music, lease_seconds=1)
    bands.create_branch("side")
    edit(bands, "x")
    bands.register("on the side")
    bands.checkout(branch="main")
    edit(bands, "y", 2)
    bands.register("on main")
    bands.add_check("no x", [{"$match": {"mark": "x"}}])
    begun = time.monotonic()
    with cut_off(shaky, ["abortTransaction", "killSessions"], times), pytest.raises(CheckFailed):
        bands.merge("side")
    assert VersionedCollection(music, "bands").checkout(branch="side")
    assert time.monotonic() - begun < 5
    assert problems(bands) == []


def test_writes_are_meant_for_a_majority_whatever_the_client_asks_for(server, db):
    class Listener(monitoring.CommandListener):
        def started(self, event: Any) -> None:
            if event.command_name in WRITES and "autocommit" not in event.command:
                concerns[event.command.get("writeConcern", {}).get("w")] += 1

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    concerns: Counter[Any] = Counter()
    with MongoClient(server.uri, w=1, event_listeners=[Listener()]) as client:
        bands = grown(client[db.name])
        concerns.clear()
        bands.checkout(0)
        bands.checkout(branch="main")
        bands.create_branch("more")
        step(bands, "more")
    assert set(concerns) == {"majority", 1}
    assert concerns[1] == 1  # that of the test's own write


def _step_down(client: MongoClient[Any], over: threading.Event) -> None:
    """Have the primary step down again and again."""
    while not over.wait(random.uniform(0.2, 0.8)):
        with suppress(errors.PyMongoError):  # it is none at the moment
            client.admin.command("replSetStepDown", 1, force=True)
        while not over.is_set() and not _has_primary(client):
            time.sleep(0.05)


def _has_primary(client: MongoClient[Any]) -> bool:
    try:
        return bool(client.admin.command("hello")["isWritablePrimary"])
    except errors.PyMongoError:
        return False


@pytest.mark.parametrize("seconds", [6, pytest.param(90, marks=pytest.mark.sweep)])
def test_primaries_come_and_go(shaky, music, seconds):
    """Each verb happens, or fails with the driver's error; the next one finds all in order."""
    bands = tracked(music)
    over = threading.Event()
    stepping = threading.Thread(target=_step_down, args=(shaky, over))
    stepping.start()
    done = 0
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                edit(bands, random.random(), 1)
                bands.register(f"turn {done}")
                bands.checkout(0)
                bands.checkout(branch="main")
                done += 1
            except errors.PyMongoError:
                _until_there_is_one(lambda: (bands.discard_changes(), bands.checkout("main")))
    finally:
        over.set()
        stepping.join()
    _until_there_is_one(bands.discard_changes)
    assert done
    assert problems(bands) == []
    assert len(bands.get_log()) >= done


def _until_there_is_one(act: Any) -> None:
    """Try again until there is a primary."""
    until = time.monotonic() + 60
    while True:
        try:
            act()
            return
        except (errors.PyMongoError, VersioningError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


class _Between(monitoring.CommandListener):
    """Acts after the first commit whose outcome is unsure, before it is asked for again."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self.acted = False

    def started(self, event: monitoring.CommandStartedEvent) -> None: ...
    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        if not self.acted and event.command_name == "commitTransaction":
            self.acted = True
            self._act()


@pytest.mark.parametrize("large", [False, True])
def test_what_others_write_before_a_commit_is_asked_for_again(shaky, music, monkeypatch, large):
    """The time that the server gives then is that of the other client's write."""
    if large:
        shrink_limits(monkeypatch.setattr)
    bands = VersionedCollection(music, "bands")
    bands.insert_many([{"_id": number, "x": 0} for number in range(9)])
    bands.init("start")
    bands.update_many({"_id": {"$lt": 5}}, {"$set": {"x": 1}})
    bands.register("changed")

    def write() -> None:
        music["bands"].update_one({"_id": 7}, {"$set": {"x": "acknowledged"}})

    between = _Between(write)
    host, port = shaky.address or ("", 0)
    options: dict[str, Any] = {"event_listeners": [between], "heartbeatFrequencyMS": 500}
    with MongoClient(host, port, directConnection=True, **options) as client:
        mine = VersionedCollection(client["music"], "bands")
        with unsure(shaky, "commitTransaction", 91):
            mine.checkout(0)
    assert between.acted
    assert music["bands"].find_one({"_id": 7}) == {"_id": 7, "x": "acknowledged"}
    assert set(bands.diff()) == {7}
    assert problems(bands) == []
