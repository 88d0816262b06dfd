"""What is the asynchronous class's own: streams, cancelling, the loop, how it is opened.

That its verbs do what those of the synchronous class do is tested by the same tests; see
`conftest.ON_EVERY_SURFACE`.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import operator
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from api_support import own_members, problems
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidBSON
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.write_concern import WriteConcern

from versioned_collection import AsyncVersionedCollection, VersionedCollection, errors
from versioned_collection.aio import twin
from versioned_collection.aio.threads import MOST_AT_ONCE, in_this_loop


def asynchronous(test: Any) -> Any:
    """Run a test in an event loop of its own, with an asynchronous database."""

    @functools.wraps(test)
    def run(db: Any, driver: Any, **fixtures: Any) -> None:
        host, port = db.client.address

        async def inside() -> None:
            client = driver(host, port, directConnection=True)
            try:
                await test(client[db.name], **fixtures)
            finally:
                closing = client.close()
                if closing is not None:
                    await closing

        asyncio.run(inside())

    signature = inspect.signature(test)
    first, *others = signature.parameters.values()
    named = [first.replace(name="db"), first.replace(name="driver"), *others]
    run.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


@pytest.fixture(params=[AsyncMongoClient, AsyncIOMotorClient], ids=["async", "motor"])
def driver(request):
    return request.param


async def tracked(adb, count=3, **options):
    bands = AsyncVersionedCollection(adb, "bands", **options)
    await bands.insert_many([{"_id": n, "n": 0} for n in range(count)])
    await bands.init("start")
    return bands


# -- its face ------------------------------------------------------------------------------


IN_ITS_OWN_WORDS = ("at", "listen", "rename", "with_options", "worktree")


@pytest.mark.parametrize("name", own_members())
def test_every_public_name_is_there_with_its_arguments_and_words(name):
    ours = inspect.getattr_static(AsyncVersionedCollection, name)
    theirs = inspect.getattr_static(VersionedCollection, name)
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        assert ours.__doc__ == theirs.__doc__ or ours.fget.__doc__ == theirs.fget.__doc__
        return
    if isinstance(theirs, classmethod) or name in IN_ITS_OWN_WORDS:
        assert ours.__doc__ if not isinstance(ours, classmethod) else ours.__func__.__doc__
        return
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__doc__ == theirs.__doc__


@asynchronous
async def test_what_the_driver_has_is_listed_as_well(adb):
    bands = AsyncVersionedCollection(adb, "bands")
    public = {name for name in dir(adb["bands"]) if not name.startswith("_")}
    assert public | {"register", "checkout"} <= set(dir(bands))


def test_a_client_may_be_gone_while_another_one_is_opened(server, monkeypatch):
    """The garbage collector ends clients at any moment, in any thread."""
    gone, closed, real = [AsyncMongoClient(server.uri)], threading.Event(), twin.MongoClient
    client = twin.blocking(gone[0].music).client
    close = client.close
    client.close = lambda: (close(), closed.set())

    def opening(**options):
        gone.clear()
        gc.collect()
        return real(**options)

    monkeypatch.setattr(twin, "MongoClient", opening)
    there = AsyncMongoClient(server.uri).music
    thread = threading.Thread(target=twin.blocking, args=(there,), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert closed.wait(30)


FORKED = """
import asyncio, multiprocessing, sys, threading

from pymongo import AsyncMongoClient
from versioned_collection import AsyncVersionedCollection

def use():
    asyncio.run(inside())
    assert "versioned-collection-closer" in [one.name for one in threading.enumerate()]

async def inside():
    async with AsyncMongoClient(sys.argv[1]) as client:
        bands = AsyncVersionedCollection(client.music, "bands")
        assert not await bands.is_tracked()
        assert await bands.log().to_list() == []

use()
child = multiprocessing.get_context("fork").Process(target=use, daemon=True)
child.start()
child.join(30)
print(child.exitcode)
"""


def test_a_forked_child_has_threads_of_its_own(server):
    """In a process with no thread but those that the verbs make."""
    run = [sys.executable, "-W", "ignore", "-c", FORKED, server.uri]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "0\n", done.stderr


@asynchronous
async def test_it_is_not_iterable(adb):
    bands = await tracked(adb)
    with pytest.raises(TypeError, match=r"find\(\)") as caught:
        list(bands)
    assert isinstance(caught.value, errors.VersioningError)
    with pytest.raises(TypeError):
        assert 1 in bands
    with pytest.raises(TypeError):
        [one async for one in bands]


@asynchronous
async def test_reads_and_writes_are_those_of_the_driver(adb):
    bands = await tracked(adb)
    assert (await bands.find_one({"_id": 1})) == {"_id": 1, "n": 0}
    assert [one["_id"] async for one in bands.find({}).sort("_id", -1)] == [2, 1, 0]
    assert await bands.count_documents({}) == 3
    assert type(bands.find()) is type(adb["bands"].find())
    assert bands.name == "bands"
    assert bands.full_name == f"{adb.name}.bands"
    assert bands.albums == adb["bands.albums"] == bands["albums"]
    found = bands.aggregate([{"$match": {"_id": 2}}])
    assert [one async for one in (await found if inspect.isawaitable(found) else found)]


@asynchronous
async def test_a_session_goes_with_the_driver(adb):
    bands = await tracked(adb)
    async with await _session(adb.client) as session, _transaction(session):
        await bands.insert_one({"_id": 9}, session=session)
    assert [change.document_id async for change in bands.changes()] == [9]


async def _session(client: Any) -> Any:
    session = client.start_session()
    return await session if inspect.isawaitable(session) else session


class _transaction:  # PyMongo Async awaits what Motor returns
    def __init__(self, session: Any) -> None:
        self._session = session

    async def __aenter__(self) -> None:
        self._context = self._session.start_transaction()
        if inspect.isawaitable(self._context):
            self._context = await self._context
        await self._context.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._context.__aexit__(*error)


@asynchronous
async def test_what_iterates_is_for_async_for(adb):
    bands = await tracked(adb, 500)
    await bands.update_many({}, {"$inc": {"n": 1}})
    assert len([change async for change in bands.changes()]) == 500
    assert len(await bands.changes().to_list(7)) == 7
    assert await bands.changes().to_list(0) == []
    async for change in bands.changes():
        assert change.op == "update"
        break
    await bands.register("more")
    assert [version.label async for version in bands.log()] == ["main@1", "main@0"]
    assert await bands.verify().to_list() == []
    assert await bands.version == 1
    assert await bands.branch == "main"


@asynchronous
async def test_a_stream_that_is_left_releases_the_lease(adb):
    bands = await tracked(adb, 2_000, lease_wait_seconds=1)
    await bands.update_many({}, {"$inc": {"n": 1}})
    stream = bands.changes()
    assert await anext(stream)
    await stream.aclose()
    assert await bands.register("the lease is free")


@asynchronous
async def test_a_stream_that_is_cancelled_while_it_begins_releases_the_lease(adb, monkeypatch):
    monkeypatch.setattr("versioned_collection.verbs.diff._FEW", 600)
    bands = await tracked(adb, 700, lease_wait_seconds=0)
    await bands.update_many({}, {"$inc": {"n": 1}})
    task = asyncio.create_task(bands.changes(progress=lambda *_: task.cancel()).to_list())
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert await bands.has_changes()
    assert cancelled.tb  # kept until here, with all that it passed


@asynchronous
async def test_a_stream_yields_what_came_before_an_error(adb):
    bands = await tracked(adb, 2)
    await bands.insert_one({"_id": 2, "when": DatetimeMS(2**60)})  # beyond what Python's hold
    await bands.insert_one({"_id": 3})
    await bands.register("far")
    found = (await bands.at()).find(sort=[("_id", 1)])
    assert [(await anext(found))["_id"], (await anext(found))["_id"]] == [0, 1]
    with pytest.raises(InvalidBSON):
        await anext(found)


@asynchronous
async def test_a_stream_goes_on_while_many_verbs_wait_for_its_lease(adb):
    bands = await tracked(adb, 2_000, lease_wait_seconds=60)
    await bands.update_many({}, {"$inc": {"n": 1}})
    stream = bands.changes()
    assert await anext(stream)
    waiting = [asyncio.create_task(bands.has_changes()) for _ in range(MOST_AT_ONCE + 8)]
    await asyncio.sleep(0.2)
    assert len(await stream.to_list()) == 1_999
    assert set(await asyncio.gather(*waiting)) == {True}


@asynchronous
async def test_a_stream_goes_on_while_many_others_wait_for_its_lease(adb, monkeypatch):
    monkeypatch.setattr("versioned_collection.verbs.diff._FEW", 300)
    bands = await tracked(adb, 700)
    await bands.update_many({}, {"$inc": {"n": 1}})
    stream = bands.changes()
    assert await anext(stream)
    patient = AsyncVersionedCollection(adb, "bands", lease_wait_seconds=6)
    others = [patient.changes() for _ in range(MOST_AT_ONCE)]
    waiting = [asyncio.create_task(anext(other)) for other in others]
    await asyncio.sleep(0)
    assert len(await stream.to_list()) == 699
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@asynchronous
async def test_errors_are_those_of_the_verbs(adb):
    bands = await tracked(adb)
    with pytest.raises(errors.BranchNotFound):
        await bands.checkout(branch="nowhere")
    with pytest.raises(errors.BranchNotFound):
        await bands.get_log("nowhere")
    with pytest.raises(errors.InvalidCollectionVersion):
        await bands.log("nowhere").to_list()
    with pytest.raises(errors.CollectionAlreadyInitialised):
        await bands.init()
    with pytest.raises(NotImplementedError):
        bool(bands)
    with pytest.raises(AttributeError):
        getattr(bands, "_nothing")  # noqa: B009


@asynchronous
async def test_opened_with_a_database_a_collection_or_a_name(adb):
    class Bands(AsyncVersionedCollection):
        pass

    await tracked(adb)
    older = AsyncVersionedCollection(adb, "bands", username="ada", password="secret")
    for bands in (AsyncVersionedCollection(adb["bands"]), Bands(adb), older):
        assert await bands.is_tracked()
        assert type(bands.with_options(write_concern=WriteConcern(1))) is type(bands)
    renamed = await Bands(adb).rename("groups")
    assert type(renamed) is Bands
    assert (renamed.name, await renamed.version) == ("groups", 0)
    assert not await Bands(adb).is_tracked()


@asynchronous
async def test_checks_that_are_functions_go_along(adb):
    bands = await tracked(adb)
    same = bands.with_options()
    await bands.add_check("mine", lambda state: [9])
    renamed = await bands.rename("groups")
    assert list(await same.checks()) == list(await renamed.checks()) == ["mine"]
    await renamed.insert_one({"_id": 9})
    with pytest.raises(errors.CheckFailed):
        await renamed.with_options().register("refused")


def test_refused_are_other_databases_and_a_missing_name(db):
    with pytest.raises(errors.InvalidType, match="MongoClient"):
        AsyncVersionedCollection(db, "bands")
    with pytest.raises(errors.InvalidType):
        AsyncVersionedCollection("mongodb://localhost", "bands")

    async def unnamed() -> None:
        async with AsyncMongoClient() as client:
            AsyncVersionedCollection(client.nowhere)

    with pytest.raises(errors.InvalidArgument, match="name the collection"):
        asyncio.run(unnamed())


@asynchronous
async def test_opening_waits_for_nothing(adb):
    """The constructor is called in the loop, so it must not ask the server."""
    client = type(adb.client)("127.0.0.1", 1, serverSelectionTimeoutMS=60_000)
    begun = time.monotonic()
    AsyncVersionedCollection(client.nowhere, "bands")
    assert time.monotonic() - begun < 5
    closing = client.close()
    if closing is not None:
        await closing


@asynchronous
async def test_between_two_collections(adb):
    bands = await tracked(adb)
    other = adb.client[f"{adb.name}_other"]
    try:
        copy = await AsyncVersionedCollection.clone(bands, other)
        assert isinstance(copy, AsyncVersionedCollection)
        assert await copy.equals(bands)
        for beside in (adb["bands"], 5, None):
            assert await copy.equals(beside) is False
        assert copy != bands  # not the same collection; nobody is asked
        assert AsyncVersionedCollection(adb, "bands") == bands
        assert hash(AsyncVersionedCollection(adb, "bands")) == hash(bands)
        for compare in (operator.lt, operator.le, operator.gt, operator.ge):
            for beside in (bands, adb["bands"], None):
                with pytest.raises(errors.InvalidType, match=r"await a\.is_contained_in"):
                    compare(copy, beside)
        await copy.insert_one({"_id": 9})
        await copy.register("more")
        assert await bands.is_contained_in(copy, strictly=True)
        assert not await copy.is_contained_in(bands)
        assert await copy.push(bands)
        assert await copy.equals(bands)
        assert await bands.pull(other)
        with pytest.raises(errors.InvalidArgument, match="different names"):
            await bands.is_contained_in(AsyncVersionedCollection(adb, "groups"))
    finally:
        await adb.client.drop_database(other.name)


@asynchronous
async def test_a_clone_goes_by_the_options_it_was_given(adb):
    bands, aware = await tracked(adb), CodecOptions(tz_aware=True)
    into = adb.client[f"{adb.name}_other"]
    try:
        copy = await AsyncVersionedCollection.clone(
            bands, into, codec_options=aware, branch="main", progress=lambda *_: None
        )
        assert copy.codec_options.tz_aware
        assert (await copy.at()).codec_options.tz_aware
    finally:
        await adb.client.drop_database(into.name)


@asynchronous
async def test_a_clone_into_what_is_not_asynchronous_is_refused_before_it_is_made(adb, server):
    bands = await tracked(adb)
    with MongoClient(server.uri) as client:
        into = client[f"{adb.name}_other"]
        with pytest.raises(errors.InvalidType, match="asynchronous"):
            await AsyncVersionedCollection.clone(bands, into)
        assert into.list_collection_names() == []


# -- the loop --------------------------------------------------------------------------------


async def beats_during(work: Any) -> tuple[list[float], float]:
    """Return how late each beat of the loop was while something was awaited, and its time."""
    late: list[float] = []

    async def beat() -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - due)

    beating, begun = asyncio.create_task(beat()), time.monotonic()
    assert await work is not False
    beating.cancel()
    return sorted(late), time.monotonic() - begun


LARGE = {
    "register": lambda bands, there: bands.register("ten thousand"),
    "checkout": lambda bands, there: bands.checkout("main~1"),
    "push": lambda bands, there: bands.push(there),
    "verify": lambda bands, there: bands.verify().to_list(),
}


@pytest.mark.parametrize(
    "verb",
    [
        "register",
        *(pytest.param(one, marks=pytest.mark.sweep) for one in LARGE if one != "register"),
    ],
)
@asynchronous
async def test_the_loop_goes_on_while_a_verb_works(adb, verb):
    bands, there = await tracked(adb, 10_000), adb.client[f"{adb.name}_there"]
    await bands.update_many({}, {"$inc": {"n": 1}})
    try:
        if verb != "register":
            await bands.register("ten thousand")
        late, took = await beats_during(LARGE[verb](bands, there))
    finally:
        await adb.client.drop_database(there.name)
    # by what the verb took, as a busy machine is late for everything
    assert late[len(late) // 2] < took / 10
    assert late[-1] < took / 2


@asynchronous
async def test_progress_is_told_in_the_loop(adb):
    bands, threads = await tracked(adb), set()
    await bands.insert_one({"_id": 9})
    told = []

    def progress(phase: str, count: int) -> None:
        threads.add(threading.current_thread())
        told.append((phase, count))

    await bands.register("more", progress=progress)
    assert told
    assert threads == {threading.current_thread()}


def test_nobody_is_told_of_progress_once_the_loop_is_closed():
    told = []

    async def begin() -> Any:
        return in_this_loop({"progress": lambda *given: told.append(given)})["progress"]

    report = asyncio.run(begin())
    report("written", 1)  # in the thread of a verb, which goes on
    assert told == []


class Gate:
    """A check that waits until it is let through, in the worker thread."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, state: Any) -> list[Any]:
        self.reached.set()
        assert self.open.wait(60)
        return []


@asynchronous
async def test_who_is_cancelled_learns_of_it_once_the_verb_has_ended(adb):
    bands, gate = await tracked(adb), Gate()
    await bands.add_check("gate", gate)
    await bands.insert_one({"_id": 9})
    task = asyncio.create_task(bands.register("goes on"))
    await asyncio.to_thread(gate.reached.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await bands.version == 1
    assert not await bands.has_changes()
    assert await bands.verify().to_list() == []


@asynchronous
async def test_a_time_limit_is_told_once_the_verb_has_ended(adb):
    bands, gate = await tracked(adb), Gate()
    await bands.add_check("gate", gate)
    await bands.insert_one({"_id": 9})
    asyncio.get_running_loop().call_later(1, gate.open.set)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(bands.register("goes on"), 0.2)
    assert await bands.version == 1


@asynchronous
async def test_listening_ends_with_its_event_or_its_task(adb):
    bands, stop = await tracked(adb), asyncio.Event()
    listening = asyncio.create_task(bands.listen(0.01, stop))
    await asyncio.sleep(0.3)
    stop.set()
    assert await listening > 0
    for_ever = asyncio.create_task(bands.listen(0.01))
    await asyncio.sleep(0.1)
    for_ever.cancel()
    with pytest.raises(asyncio.CancelledError):
        await for_ever
    assert await bands.discard_changes() is True


@asynchronous
async def test_who_listens_keeps_no_verb_waiting(adb):
    bands = await tracked(adb)
    listening = [asyncio.create_task(bands.listen(3_600)) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(bands.is_tracked(), 60)
    for one in listening:
        one.cancel()
    assert len(await asyncio.gather(*listening, return_exceptions=True)) == MOST_AT_ONCE


@asynchronous
async def test_listening_refuses_what_is_no_interval(adb):
    bands = await tracked(adb)
    with pytest.raises(errors.InvalidType):
        await bands.listen("soon")
    with pytest.raises(errors.InvalidType):
        await bands.listen(stop=threading.Event())
    with pytest.raises(errors.InvalidArgument):
        await bands.listen(-1)


@asynchronous
async def test_many_verbs_at_once(adb):
    bands = await tracked(adb)
    statuses = await asyncio.gather(*(bands.status() for _ in range(40)))
    assert {status["current_version"] for status in statuses} == {0}


# -- without a replica set ---------------------------------------------------------------------


def test_writes_are_noted_on_a_standalone_server(standalone_db, driver):
    host, port = standalone_db.client.address

    async def inside() -> None:
        client = driver(host, port)
        bands = await tracked(client[standalone_db.name])
        assert await bands.capture_mode == "write_through"
        await bands.update_one({"_id": 1}, {"$set": {"n": 5}})
        await bands.insert_one({"_id": 9})
        await bands.delete_many({"_id": {"$gt": 100}})
        found = bands.aggregate([{"$set": {"seen": True}}, {"$match": {"_id": 2}},
                                 {"$merge": {"into": "bands"}}])  # fmt: skip
        if inspect.isawaitable(found):
            found = await found
        assert [one async for one in found] == []
        assert {change.document_id async for change in bands.changes()} == {1, 2, 9}
        closing = client.close()
        if closing is not None:
            await closing

    asyncio.run(inside())
    assert problems(VersionedCollection(standalone_db, "bands")) == []


def test_no_write_waits_for_verbs_that_wait(standalone_db, monkeypatch):
    """Neither one that is noted nor the question whether it has to be."""
    monkeypatch.setattr("versioned_collection.verbs.diff._FEW", 1)
    host, port = standalone_db.client.address

    async def inside() -> None:
        async with AsyncMongoClient(host, port) as client:
            bands = await tracked(client[standalone_db.name], 600)
            await bands.update_many({}, {"$inc": {"n": 1}})
            stream = bands.changes()
            assert await anext(stream)
            waiting = [asyncio.create_task(bands.status()) for _ in range(MOST_AT_ONCE)]
            await asyncio.sleep(0)
            again = AsyncVersionedCollection(client[standalone_db.name], "bands")
            await asyncio.wait_for(again.insert_one({"_id": -1}), 10)
            assert not any(one.done() for one in waiting)
            await stream.aclose()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(inside())


def test_a_session_cannot_go_with_a_noted_write(standalone_db):
    host, port = standalone_db.client.address

    async def inside() -> None:
        async with AsyncMongoClient(host, port) as client:
            bands = await tracked(client[standalone_db.name])
            async with client.start_session() as session:
                for write in (
                    lambda: bands.insert_one({"_id": 9}, session=session),
                    lambda: bands.insert_one({"_id": 9}, False, session),
                    lambda: bands.aggregate([{"$out": "bands"}], session=session),
                    lambda: bands.aggregate([{"$out": "bands"}], session),
                    lambda: bands.aggregate_raw_batches([{"$out": "bands"}], session=session),
                ):
                    with pytest.raises(errors.NotSupported, match="leave it out"):
                        await write()
            assert await bands.count_documents({}) == 3

    asyncio.run(inside())


def test_the_writes_are_all_covered():
    """Each write that the synchronous class notes, the asynchronous one does as well."""
    from versioned_collection.capture.journalled import JournalledWrites

    noted = {name for name in vars(JournalledWrites) if not name.startswith("_")}
    of_its_class = {name: inspect.getattr_static(AsyncVersionedCollection, name) for name in noted}
    assert all(inspect.isfunction(method) for method in of_its_class.values())
    assert all(hasattr(AsyncCollection, name) for name in noted)


@asynchronous
async def test_reading_the_past(adb):
    bands = AsyncVersionedCollection(adb, "bands")
    await bands.insert_many([{"_id": 1, "x": 1}, {"_id": 2, "x": 2}])
    await bands.init()
    await bands.update_one({"_id": 1}, {"$set": {"x": 5}})
    await bands.register("five")
    view = await bands.at("main@0")
    await view.prepare()
    assert view.version.label == "main@0"
    assert [one["x"] async for one in view.find({}, sort=[("x", -1)])] == [2, 1]
    assert await view.aggregate([{"$match": {"x": 1}}, {"$count": "n"}]).to_list() == [{"n": 1}]
    awaited = await view.aggregate([{"$match": {"x": 1}}])
    assert [one["_id"] async for one in awaited] == [1]
    assert (await view.find_one(1))["x"] == 1
    assert await view.count_documents({}) == await view.estimated_document_count() == 2
    assert sorted(await view.distinct("x")) == [1, 2]
    assert await view.estimated_document_count(comment="why") == 2
    assert (view.name, view.full_name) == (bands.name, bands.full_name)
    assert (view.database, view.codec_options) == (adb, bands.codec_options)
    assert hasattr(view, "insert_one")
    with pytest.raises(errors.ReadOnlyVersion):
        view.insert_one({})
    with pytest.raises(AttributeError):
        view.nothing  # noqa: B018
    assert [one.document["x"] async for one in bands.history(1)] == [5, 1]
    assert {one.field for one in await bands.blame(1)} == {"_id", "x"}
    assert (await bands.restore([1], "main@0")).updated == 1


@asynchronous
async def test_cursors_over_the_past_are_told_what_to_do_as_pymongos_are(adb):
    bands = AsyncVersionedCollection(adb, "bands")
    await bands.insert_many([{"_id": n, "x": -n, "name": "aB"[n % 2]} for n in range(6)])
    await bands.init()
    await bands.delete_many({})
    await bands.register("none")
    view = await bands.at("main@0")
    told = view.find().sort("x").skip(1).limit(3).batch_size(2).comment("why").max_time_ms(60_000)
    assert told.alive
    assert (await told.next())["_id"] == 4
    assert [one["_id"] for one in await told.to_list(1)] == [3]
    with pytest.raises(errors.InvalidArgument, match="clone"):
        told.sort("x", -1)
    again = told.clone()
    assert [one["_id"] async for one in again] == [4, 3, 2]
    assert not again.alive
    assert [one["_id"] async for one in await again.rewind()] == [4, 3, 2]
    named = view.find().collation({"locale": "en", "strength": 2}).hint("_id_")
    in_order = named.sort([("name", 1), ("_id", 1)])
    assert [one["_id"] async for one in in_order] == [0, 2, 4, 1, 3, 5]
    async with view.find().allow_disk_use(True).sort("_id", -1) as left:
        assert (await anext(left))["_id"] == 5
    assert not left.alive
    for unread in (view.find(), view.aggregate([])):
        await unread.close()
        assert not unread.alive
        assert await unread.to_list() == []
    results = view.aggregate([{"$sort": {"_id": 1}}])
    assert await results.next() == {"_id": 0, "x": 0, "name": "a"}
    await results.close()
    assert not results.alive
    with pytest.raises(errors.InvalidType):
        view.find(5)
    with pytest.raises(errors.InvalidType):
        view.find().limit("all")


@asynchronous
async def test_several_working_copies(adb):
    class Bands(AsyncVersionedCollection):
        pass

    await tracked(adb)
    bands = Bands(adb)
    fix = await bands.worktree("main", "fix", new_branch="fix")
    assert (type(fix), fix.name, await fix.branch) == (Bands, "fix", "fix")
    await fix.update_one({"_id": 1}, {"$set": {"n": 1}})
    assert not await bands.has_changes()
    assert await fix.register("one")
    assert [one.name for one in await bands.worktrees()] == ["bands", "fix"]
    await bands.remove_worktree("fix")
    assert not await fix.is_tracked()


@asynchronous
async def test_files(adb, tmp_path):
    bands = await tracked(adb)
    await bands.update_one({"_id": 1}, {"$set": {"n": 1}})
    await bands.register("one")
    assert (await bands.export(tmp_path / "bands.bundle")).versions == 2
    counted = []
    done = await bands.export(
        tmp_path / "bands.bson", 0, progress=lambda phase, count: counted.append(count)
    )
    assert done.documents == 3
    assert (await bands.import_(tmp_path / "bands.bson")).updated == 1
    assert sum(counted) == 3
    copy = await AsyncVersionedCollection.clone(tmp_path / "bands.bundle", adb["copy"])
    assert copy.name == "copy"
    assert [one.message async for one in copy.log()] == ["one", "start"]
    assert await copy.pull(tmp_path / "bands.bundle")


# -- functions that a program passes -------------------------------------------------------


async def never(*_args: Any) -> bool:
    """What nothing in a worker thread can await."""
    return True  # pragma: no cover


async def nothing(*_args: Any) -> Any:
    """The same, as a generator."""
    yield  # pragma: no cover


class Never:
    """The same, as an object."""

    async def __call__(self, *_args: Any) -> bool:
        return True  # pragma: no cover


def gives_it(*args: Any) -> Any:
    """An ordinary function, whose answer has to be awaited."""
    return never(*args)


async def checked(bands: Any, function: Any) -> None:
    await bands.add_check("checked", function)
    await bands.register("two")


@asynchronous
@pytest.mark.parametrize("function", [never, nothing, Never(), gives_it])
async def test_what_has_to_be_awaited_is_no_answer(adb, function):
    bands = await tracked(adb)
    await bands.update_one({"_id": 1}, {"$set": {"n": "one"}})
    await bands.register("one")
    with pytest.raises(errors.InvalidType, match="async def"):
        await bands.bisect("main@0", "main@1", function)
    await bands.update_one({"_id": 1}, {"$set": {"n": "two"}})
    with pytest.raises(errors.InvalidType, match="async def"):
        await checked(bands, function)
    await bands.delete_check("checked")
    await bands.register("two")
    await bands.checkout("main@1")
    await bands.update_one({"_id": 1}, {"$set": {"n": "three"}})
    await bands.register("three", "side")
    with pytest.raises(errors.ResolverFailed, match="async def"):
        await bands.merge("main", resolver=function)
    assert not await bands.has_changes()


@asynchronous
async def test_a_function_that_raises_stop_iteration_ends_the_verb(adb):
    bands = await tracked(adb)
    await bands.update_one({"_id": 1}, {"$set": {"n": 1}})
    await bands.register("one")
    bisecting = bands.bisect("main@0", "main@1", lambda view: next(iter(())))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(bisecting, 30)


@asynchronous
@pytest.mark.parametrize("function", [never, nothing, Never()])
async def test_progress_is_not_awaited(adb, function):
    bands = await tracked(adb)
    with pytest.raises(errors.InvalidType, match="async def"):
        await bands.gc(progress=function)
    with pytest.raises(errors.InvalidType, match="async def"):
        await bands.verify(progress=function).to_list()
    with pytest.raises(errors.InvalidType, match="async def"):
        await (await bands.at("main@0")).prepare(progress=function)
