"""Sessions that a program has bound (`ClientSession.bind`): its own reads and writes are in them.

A verb is none of these: it does the same as without, and nothing in the program's transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from api_support import edit, problems, raws, step, tracked
from pymongo import AsyncMongoClient, MongoClient
from pymongo.client_session import ClientSession
from remote_support import other_database

from versioned_collection import AsyncVersionedCollection, VersionedCollection, errors

pytestmark = pytest.mark.skipif(
    not hasattr(ClientSession, "bind"), reason="this PyMongo binds no sessions"
)

VERBS: dict[str, Callable[[VersionedCollection], Any]] = {
    "open": lambda bands: VersionedCollection(bands.database, bands.name).is_tracked(),
    "version": lambda bands: bands.version,
    "status": lambda bands: bands.status(),
    "log": lambda bands: [one.message for one in bands.log()],
    "diff": lambda bands: bands.diff(),
    "changes": lambda bands: list(bands.changes()),
    "register": lambda bands: bands.register("more"),
    "stash": lambda bands: (bands.stash(), bands.stash_apply()),
    "checkout": lambda bands: (bands.discard_changes(), bands.checkout("main@0")),
    "branches": lambda bands: bands.branches(),
    "tag": lambda bands: (bands.tag("here"), bands.tags()),
    "merge": lambda bands: (
        bands.discard_changes(),
        bands.checkout("main"),
        bands.merge("main~1"),
    ),
    "at": lambda bands: list(bands.at("main@0").find()),
    "count of at": lambda bands: bands.at("main").count_documents({}),
    "history": lambda bands: list(bands.history(1)),
    "verify": lambda bands: list(bands.verify()),
    "gc": lambda bands: bands.gc(),
    "equal": lambda bands: bands == bands,
    "rename": lambda bands: bands.rename("groups").rename("bands"),
}


def plain(session: ClientSession) -> None:
    """Leave the session as it is."""


def in_transaction(session: ClientSession) -> None:
    session.start_transaction()
    session.client["other"]["notes"].insert_one({"within": True})


@pytest.mark.parametrize("begin", [plain, in_transaction])
@pytest.mark.parametrize("name", VERBS)
def test_verbs_are_no_part_of_it(client, db, name, begin):
    bands = tracked(db)
    step(bands, 1)
    edit(bands, "x")
    with client.start_session() as session, session.bind():
        begin(session)
        VERBS[name](bands)
        if session.in_transaction:
            session.abort_transaction()
    assert client["other"]["notes"].count_documents({}) == 0
    assert problems(bands) == []


def test_verbs_under_a_snapshot_session(client, db):
    bands = tracked(db)
    edit(bands, "x")
    with client.start_session(snapshot=True) as session, session.bind():
        assert bands.status()["changed"]
        assert bands.register("more")
        assert bands.at("main").count_documents({}) == len(raws(bands))
    assert problems(bands) == []


def test_reads_and_writes_of_documents_are_in_it(client, db):
    bands = tracked(db)
    with client.start_session() as session, session.bind():
        session.start_transaction()
        bands.insert_one({"_id": "late"})
        assert bands.find_one({"_id": "late"})
        assert not bands.has_changes()  # as for anybody who looks from outside
        session.commit_transaction()
        assert bands.has_changes()
        session.start_transaction()
        bands.delete_many({})
        session.abort_transaction()
    assert bands.count_documents({"_id": "late"}) == 1


@pytest.mark.parametrize("ends", ["commit_transaction", "abort_transaction"])
def test_noted_writes_are_in_its_transaction(client, db, ends):
    bands = VersionedCollection(db, "bands", capture="write_through")
    bands.insert_one({"_id": 1})
    bands.init()
    with client.start_session() as session, session.bind():
        session.start_transaction()
        bands.insert_one({"_id": 2})
        bands.update_many({"_id": 1}, {"$set": {"within": True}})
        assert bands.count_documents({"within": True}) == 1
        getattr(session, ends)()
        bands.insert_one({"_id": 3})
    committed = {1, 2, 3} if ends == "commit_transaction" else {3}
    assert {change.document_id for change in bands.changes()} == committed
    assert bands.register("more")
    assert problems(bands) == []


def test_noted_writes_choose_among_what_its_transaction_has_written(client, db):
    bands = VersionedCollection(db, "bands", capture="write_through")
    bands.insert_many([{"_id": 1, "stock": 5}, {"_id": 2, "stock": 7}])
    bands.init()
    with client.start_session() as session, session.bind(), session.start_transaction():
        bands.insert_one({"_id": 3, "stock": 9})
        assert bands.update_many({}, {"$inc": {"stock": 1}}).matched_count == 3
        taken = bands.find_one_and_update({}, {"$inc": {"stock": -5}}, sort=[("stock", -1)])
        assert taken == {"_id": 3, "stock": 10}
        assert bands.delete_many({"stock": {"$gt": 5}}).deleted_count == 2
    assert list(bands.find()) == [{"_id": 3, "stock": 5}]
    assert {change.document_id for change in bands.changes()} == {1, 2, 3}
    assert bands.register("more")
    assert problems(bands) == []


def test_an_iterator_goes_on_under_another_binding(client, db):
    bands = tracked(db)
    step(bands, 1)
    log, documents = bands.log(), bands.at("main").find()
    first = next(log), next(documents)
    with client.start_session() as session, session.bind():
        session.start_transaction()
        assert [*first[:1], *log] == list(bands.log())
        assert [*first[1:], *documents] == list(bands.at("main").find())
        session.abort_transaction()


@pytest.mark.parametrize("ends", ["forgotten", "closed"])
def test_an_iterator_that_is_left_releases_what_it_holds(client, db, ends):
    bands = tracked(db)
    bands.insert_many([{"_id": n} for n in range(100, 3_100)])
    with client.start_session() as session, session.bind():
        session.start_transaction()
        changes = bands.changes()
        next(changes)
        if ends == "closed":
            changes.close()
        del changes
        session.abort_transaction()
    impatient = VersionedCollection(db, "bands", lease_wait_seconds=0)
    assert impatient.register("more")


def test_other_clients_are_reached(client, server, db):
    bands = tracked(db)
    with other_database(client) as there, MongoClient(server.uri) as other:
        uri = server.uri.replace("/?", f"/{there.name}.bands?")
        with client.start_session() as session, session.bind():
            assert bands.push(uri)
            away = VersionedCollection(other[there.name], "bands")
            assert away.pull(bands)
            assert bands.fetch(away)
        assert raws(away) == raws(bands)


def test_a_progress_callback_has_its_session(client, db):
    bands = tracked(db)
    edit(bands, "x")
    told = db["told"]
    with client.start_session() as session, session.bind():

        def tell(phase: str, count: int) -> None:
            if not session.in_transaction:
                session.start_transaction()
            told.insert_one({"phase": phase})

        assert bands.register("more", progress=tell)
        assert session.in_transaction
        session.abort_transaction()
    assert told.count_documents({}) == 0
    assert problems(bands) == []


def test_a_subclass_keeps_its_methods_as_they_are(client, db):
    class Catalogue(VersionedCollection):
        def add(self, name: str) -> None:
            self.insert_one({"_id": name})

    bands = Catalogue(db, "bands")
    bands.init()
    with client.start_session() as session, session.bind():
        session.start_transaction()
        bands.add("late")
        session.abort_transaction()
    assert bands.count_documents({}) == 0


def test_noted_writes_of_an_asynchronous_client_are_refused(db, server):
    VersionedCollection(db, "bands").init()

    async def inside() -> None:
        async with AsyncMongoClient(server.uri) as client:
            bands = AsyncVersionedCollection(client[db.name], "bands", capture="write_through")
            async with client.start_session() as session, session.bind():
                await session.start_transaction()
                with pytest.raises(errors.NotSupported, match="asynchronous client"):
                    await bands.insert_one({"_id": 1})
                await session.abort_transaction()
            await bands.insert_one({"_id": 2})

    asyncio.run(inside())
    assert [one["_id"] for one in db["bands"].find()] == [2]
