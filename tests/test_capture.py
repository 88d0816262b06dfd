"""Every change is noticed, whoever made it and however, and nothing else counts as one."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from string import ascii_lowercase as LETTERS
from typing import Any

import psutil
import pymongo
import pytest
from bson.errors import BSONError
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from bson.timestamp import Timestamp
from harness import Nursery, nursery
from harness.actors import WRITES
from harness.scenarios import NAME, contents
from pymongo import MongoClient, UpdateMany
from pymongo import errors as driver
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.results import UpdateResult
from pymongo.write_concern import WriteConcern

from versioned_collection import VersionedCollection, embedded, errors
from versioned_collection.capture import change_stream, replies, write_through
from versioned_collection.capture.journalled import JournalledWrites
from versioned_collection.core.document import build, element, key_of
from versioned_collection.driver.wire import documents, run
from versioned_collection.repository.hold import leased
from versioned_collection.trackers import journal, replica
from versioned_collection.working import working_copy

Opened = Callable[..., VersionedCollection]


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """Documents ``{_id: i, x: i}`` with i from 0 to 4, as version 0."""
    return _tracked(db)


def _tracked(db: Database[Any], **options: Any) -> VersionedCollection:
    collection = VersionedCollection(db, NAME, **options)
    collection.insert_many([{"_id": i, "x": i} for i in range(5)])
    collection.init()
    return collection


def registered_exactly(collection: VersionedCollection) -> None:
    """Register, and prove that the version is what was there, by leaving and coming back."""
    now = contents(collection.database, NAME)
    assert collection.register("now")
    assert not collection.has_changes()
    there = collection.resolve("HEAD").id
    assert collection.checkout("HEAD~1")
    assert contents(collection.database, NAME) != now
    assert collection.checkout(there)
    assert contents(collection.database, NAME) == now
    assert list(collection.verify()) == []


# -- many changes, at once -----------------------------------------------------------------


def test_register_right_after_an_update_of_many(anydb):
    collection = VersionedCollection(anydb, NAME)
    collection.insert_many([{"_id": i, "x": 0} for i in range(5_000)])
    collection.init()
    collection.update_many({}, {"$inc": {"x": 1}})
    assert collection.register("all of them")
    assert collection.resolve("HEAD").stats["updated"] == 5_000
    assert collection.checkout(0)
    assert anydb[NAME].count_documents({"x": 0}) == 5_000
    assert collection.checkout(1)
    assert anydb[NAME].count_documents({"x": 1}) == 5_000


@pytest.mark.parametrize(
    "verb", ["discard_changes", pytest.param("stash", marks=pytest.mark.sweep)]
)
def test_set_aside_right_after_many_inserts(anydb, verb):
    collection = _tracked(anydb)
    before = contents(anydb, NAME)
    collection.insert_many([{"_id": f"new {i}"} for i in range(20_000)])
    assert getattr(collection, verb)()
    assert contents(anydb, NAME) == before
    assert not collection.has_changes()
    if verb == "stash":
        assert collection.stash_apply()
        assert anydb[NAME].count_documents({}) == 20_005


def test_process_that_exits_right_after_writing(db, server, bands, children):
    children.run("write_and_exit", uri=server.uri, database=db.name, count=5_000)
    assert bands.status()["changes"]["inserted"] == 5_000
    registered_exactly(bands)


@pytest.mark.sweep
def test_process_that_exits_right_after_writing_on_a_standalone_server(
    standalone_db, standalone_server, children
):
    collection = _tracked(standalone_db)
    children.run(
        "write_and_exit", uri=standalone_server.uri, database=standalone_db.name, count=5_000
    )
    assert collection.status()["changes"]["inserted"] == 5_000
    registered_exactly(collection)


# -- writers that know nothing of versions -------------------------------------------------


@pytest.mark.parametrize("name", WRITES)
def test_write_by_another_client(db, server, bands, name):
    """The change stream sees whatever changes the documents."""
    with MongoClient(server.uri) as other:
        WRITES[name](other[db.name][NAME])
    assert bands.has_changes()
    registered_exactly(bands)


@pytest.mark.parametrize("name", WRITES)
def test_write_through(standalone_db, name):
    """Without change streams, each write method of the library is noted."""
    collection = _tracked(standalone_db)
    assert collection.capture_mode == "write_through"
    WRITES[name](collection)
    assert collection.has_changes()
    registered_exactly(collection)
    # the journal does not grow for ever
    assert standalone_db[f"__journal_{NAME}"].count_documents({}) == 0


def _killed_at_the_write(
    children: Nursery, server: embedded.Server, db: Database[Any], name: str, when: str
) -> None:
    outcome = children.run(
        "write_and_die",
        uri=server.uri,
        database=db.name,
        method=name,
        only=f" {NAME}",
        when=when,
    )
    assert outcome["signal"], outcome


def test_what_pymongo_refuses_is_not_under_way(standalone_db):
    collection = _tracked(standalone_db)
    with standalone_db.client.start_session() as ended:
        pass
    refused: list[tuple[Callable[..., object], list[object]]] = [
        (collection.bulk_write, []),
        (collection.bulk_write, [UpdateMany({}, {"$set": {"x": 1}})]),
        (collection.aggregate, [{"$merge": NAME}]),
        (collection.insert_many, [{}]),
    ]
    for method, argument in refused:
        with pytest.raises(driver.InvalidOperation):
            method(argument, session=ended)
    assert standalone_db[f"__journal_{NAME}"].count_documents({"settled": False}) == 0
    assert not collection.register("nothing")


@pytest.mark.parametrize("name", ["update_one upsert by id", "update_one by id"])
def test_a_write_that_was_never_over_is_given_up(
    standalone_db, standalone_server, children, name, monkeypatch
):
    """It is compared in full for as long as it may be under way, not for ever."""
    collection = _tracked(standalone_db)
    notes = standalone_db[f"__journal_{NAME}"]
    _killed_at_the_write(children, standalone_server, standalone_db, name, "before")
    assert not collection.register("nothing")
    assert notes.count_documents({"settled": False}) == 1
    monkeypatch.setattr(write_through, "_LONGEST_WRITE", timedelta(seconds=-2))
    assert not collection.register("nothing")
    assert notes.count_documents({}) == 0


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_began_before_a_history_did(standalone_db, monkeypatch, name):
    """Its author has seen no history, and so has noted nothing."""
    documents = [{"_id": number, "x": number} for number in range(6)]
    bands, other = (VersionedCollection(standalone_db, NAME) for _ in range(2))
    bands.insert_many(documents)
    asked = iter((False,))
    journals = JournalledWrites._journals
    with monkeypatch.context() as patch:
        patch.setattr(
            JournalledWrites,
            "_journals",
            lambda self: next(asked, True) and journals(self),
        )
        bands.init("start")
        assert not bands.has_changes()
        before = contents(standalone_db, NAME)
        WRITES[name](other)
    assert contents(standalone_db, NAME) != before
    assert bands.has_changes()
    registered_exactly(bands)


@pytest.mark.parametrize("name", WRITES)
def test_write_through_returns_what_pymongo_returns(standalone_db, name):
    plain = standalone_db["plain"]
    plain.insert_many([{"_id": i, "x": i} for i in range(5)])
    collection = _tracked(standalone_db)
    ours, theirs = (_facts(WRITES[name](target)) for target in (collection, plain))
    if "without id" in name or name in ("insert_many", "$out", "$merge") or "upsert" in name:
        ours, theirs = ({k: v for k, v in f.items() if "id" not in k} for f in (ours, theirs))
    assert ours == theirs
    ids = {"_id": 0} if "upsert" in name or "insert" in name else None
    key = lambda document: str(sorted(document.items(), key=str))  # noqa: E731
    assert sorted(standalone_db[NAME].find({}, ids), key=key) == sorted(
        plain.find({}, ids), key=key
    )


def _facts(result: Any) -> dict[str, Any]:
    if result is None or isinstance(result, (dict, list)):
        return {
            "type": type(result),
            "value": str(result) if "ObjectId" not in str(result) else "",
        }
    names = ("matched_count", "modified_count", "deleted_count", "inserted_count", "upserted_id")
    facts = {name: getattr(result, name) for name in names if hasattr(result, name)}
    return {"type": type(result), "acknowledged": result.acknowledged, **facts}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", WRITES)
def test_killed_between_note_and_write(standalone_db, standalone_server, children, name, when):
    """Killed around the write itself, its documents are noted already."""
    collection = _tracked(standalone_db)
    before = contents(standalone_db, NAME)
    _killed_at_the_write(children, standalone_server, standalone_db, name, when)
    changed = contents(standalone_db, NAME) != before
    assert collection.has_changes() is changed
    if changed:
        registered_exactly(collection)
    assert not collection.has_changes()


@pytest.mark.parametrize("name", ["update_many", "find_one_and_update", "bulk_write", "$out"])
def test_killed_after_the_write(standalone_db, standalone_server, children, name):
    """Killed before the note is settled, the change is still found."""
    collection = _tracked(standalone_db)
    outcome = children.run(
        "write_and_die",
        uri=standalone_server.uri,
        database=standalone_db.name,
        method=name,
        only="update __journal",
        when="before",
    )
    assert outcome["signal"], outcome
    assert collection.has_changes()
    registered_exactly(collection)


@pytest.mark.parametrize("stage", ["$out", "$merge"])
def test_collection_filled_by_a_pipeline_elsewhere(db, bands, stage):
    db["source"].insert_many([{"_id": i, "x": i * 2} for i in range(3, 8)])
    into: Any = NAME if stage == "$out" else {"into": NAME, "whenMatched": "replace"}
    db["source"].aggregate(pipeline=[{stage: into}])
    assert bands.status()["changes"] == (
        {"inserted": 3, "updated": 2, "deleted": 3}
        if stage == "$out"
        else {"inserted": 3, "updated": 2, "deleted": 0}
    )
    registered_exactly(bands)


# -- the collection itself goes away -------------------------------------------------------


def _drop(db: Database[Any]) -> None:
    db.drop_collection(NAME)


def _recreate(db: Database[Any]) -> None:
    db.drop_collection(NAME)
    db[NAME].insert_many([{"_id": 1, "x": "new"}, {"_id": 7}])


def _away_and_back(db: Database[Any]) -> None:
    db[NAME].rename("away")
    db["away"].update_one({"_id": 1}, {"$set": {"x": "while away"}})
    db["away"].rename(NAME)


def _swapped(db: Database[Any]) -> None:
    db["other"].insert_many([{"_id": 2, "x": 2}, {"_id": 3, "x": "other"}])
    db["other"].rename(NAME, dropTarget=True)


BEHIND_OUR_BACK = [_drop, _recreate, _away_and_back, _swapped]


@pytest.mark.parametrize("capture", ["auto", "scan"])
@pytest.mark.parametrize("act", BEHIND_OUR_BACK)
def test_collection_replaced_behind_our_back(db, act, capture):
    collection = _tracked(db, capture=capture)
    act(db)
    assert collection.has_changes()
    registered_exactly(collection)


@pytest.mark.parametrize("act", BEHIND_OUR_BACK)
def test_replacement_is_discarded(anydb, act):
    collection = _tracked(anydb)
    before = contents(anydb, NAME)
    act(anydb)
    if act is not _away_and_back or collection.capture_mode == "change_stream":
        assert collection.discard_changes()
        assert contents(anydb, NAME) == before
        assert not collection.has_changes()
    assert list(collection.verify()) == []


def test_replaced_twice_and_changed_again(db, bands):
    _recreate(db)
    bands.has_changes()
    _swapped(db)
    db[NAME].insert_one({"_id": "more"})
    registered_exactly(bands)
    db[NAME].update_one({"_id": "more"}, {"$set": {"x": 1}})
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}


# -- replies that are too large ------------------------------------------------------------


def test_ids_that_fill_more_than_a_reply(db, bands):
    """The server closes the connection over a reply that has the last id once more."""
    ids = [f"{i}{'x' * 1_000_000}" for i in range(6)]
    for one in ids:
        db[NAME].insert_one({"_id": one})
    db[NAME].update_one({"_id": 1}, {"$set": {"x": "changed"}})
    assert bands.status()["changes"] == {"inserted": 6, "updated": 1, "deleted": 0}
    assert bands.discard_changes()
    assert bands.find_one({"_id": ids[0]}) is None
    assert not bands.has_changes()


def _losing(
    monkeypatch: pytest.MonkeyPatch, is_lost: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Let the connection be lost over some commands that read change streams; return all."""
    commands: list[dict[str, Any]] = []

    def checked(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(database: Any, command: Any, *session: Any) -> Any:
            commands.append(command)
            if is_lost(command):
                raise driver.AutoReconnect("connection closed")
            return read(database, command, *session)

        return reading

    for name in ("run", "next_reply"):
        monkeypatch.setattr(replies, name, checked(getattr(replies, name)))
    return commands


def _size_of_reply(command: dict[str, Any]) -> int:
    return int(command.get("cursor", command).get("batchSize", 0))


def test_replies_that_are_lost_are_asked_for_in_parts(db, client, bands, monkeypatch):
    """Each event counts, also those of one transaction, which have the same time."""
    with client.start_session() as session, session.start_transaction():
        db[NAME].insert_many([{"_id": f"new {i}"} for i in range(40)], session=session)
        db[NAME].delete_one({"_id": 1}, session=session)
    commands = _losing(monkeypatch, lambda command: _size_of_reply(command) > 8)
    assert bands.status()["changes"] == {"inserted": 40, "updated": 0, "deleted": 1}
    assert any("resumeAfter" in str(command) for command in commands)
    monkeypatch.undo()
    registered_exactly(bands)


def test_a_connection_that_stays_lost(db, bands, monkeypatch):
    """There is one more attempt, in the smallest parts."""
    db[NAME].insert_one({"_id": "new"})
    commands = _losing(monkeypatch, lambda command: True)
    with pytest.raises(driver.AutoReconnect, match="connection closed"):
        bands.status()
    assert list(map(_size_of_reply, commands)) == [replies._FIRST, 1, 0]
    monkeypatch.undo()
    assert bands.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}


def test_an_event_that_no_reply_can_hold(db, bands, monkeypatch):
    """Everything is compared, as where the server cannot resume."""
    db[NAME].insert_one({"_id": "new"})
    _losing(monkeypatch, lambda command: "ping" not in command)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}
    monkeypatch.undo()
    registered_exactly(bands)


# -- lost history --------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(change_stream._HISTORY_LOST))
def test_history_lost(db, bands, monkeypatch, code):
    """Where the server cannot resume, everything is compared and nothing is missed."""
    db[NAME].update_one({"_id": 1}, {"$set": {"x": "changed"}})
    db[NAME].delete_one({"_id": 2})
    db[NAME].insert_one({"_id": "new"})
    refusals = []

    def refusing(database: Any, command: Any, session: Any = None) -> Any:
        if "$changeStream" in str(command.get("pipeline")):
            refusals.append(command)
            raise driver.OperationFailure("the resume point is gone", code)
        return run(database, command, session)

    monkeypatch.setattr(replies, "run", refusing)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 1}
    assert refusals
    monkeypatch.undo()
    registered_exactly(bands)
    # from here on the stream is followed again
    db[NAME].insert_one({"_id": "newer"})
    monkeypatch.setattr("versioned_collection.working.working_copy.compare_everything", None)
    assert bands.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}


def test_position_before_the_oplog(db, server, bands):
    """A position older than anything in the oplog: the server itself refuses it."""
    db[NAME].update_one({"_id": 1}, {"$set": {"x": "changed"}})
    db[f"__metadata_{NAME}"].update_one({}, {"$set": {"captured": Timestamp(1_000_000, 1)}})
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}
    registered_exactly(bands)


def test_who_listens_finds_what_was_not_followed(db, bands, monkeypatch):
    """One full comparison, and from then on what comes is followed."""
    db[NAME].update_one({"_id": 1}, {"$set": {"x": "changed"}})
    db[f"__metadata_{NAME}"].update_one({}, {"$set": {"captured": Timestamp(1_000_000, 1)}})
    stop = threading.Event()
    stop.set()
    assert bands.listen(0.0, stop) == 1
    monkeypatch.setattr("versioned_collection.working.working_copy.compare_everything", None)
    db[NAME].insert_one({"_id": "newer"})
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 0}


@pytest.fixture(scope="module")
def forgetful():
    """A server whose oplog holds one megabyte, and is cut each second."""
    with embedded.start(oplog_mb=1, durable=False, extra_args=["--syncdelay", "1"]) as server:
        yield server


def _forget(client, position):
    """Write elsewhere until the oplog no longer reaches back to a position."""
    oplog = client.local["oplog.rs"]
    until = time.monotonic() + 120
    while oplog.find_one(sort=[("$natural", 1)])["ts"] <= position:
        assert time.monotonic() < until, "the oplog is not cut"
        client.elsewhere.filler.insert_many([{"filler": "x" * 100_000} for _ in range(20)])
        time.sleep(0.05)


def test_the_oplog_rolls_over(forgetful):
    """Changes whose entries in the oplog are gone are found all the same, and again."""
    with MongoClient(forgetful.uri) as client:
        db = client.music
        bands = _tracked(db)
        for turn in range(2):
            db[NAME].update_one({"_id": 1}, {"$set": {"x": f"changed {turn}"}})
            db[NAME].delete_one({"_id": 2 + turn})
            db[NAME].insert_one({"_id": f"new {turn}"})
            position = db[f"__metadata_{NAME}"].find_one()["captured"]
            _forget(client, position)
            with pytest.raises(driver.OperationFailure, match="no longer be in the oplog"):
                list(db[NAME].aggregate([{"$changeStream": {"startAtOperationTime": position}}]))
            assert bands.at("HEAD").find_one(1)["x"] == bands.at(f"main@{turn}").find_one(1)["x"]
            assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 1}
            registered_exactly(bands)


def test_changes_found_by_a_scan_are_kept(db, bands, monkeypatch):
    """What a scan found is not lost when the position moves on without a verb."""
    db[NAME].update_one({"_id": 1}, {"$set": {"x": "changed"}})
    db[f"__metadata_{NAME}"].update_one({}, {"$set": {"captured": Timestamp(1_000_000, 1)}})
    assert bands.has_changes()
    db[NAME].insert_one({"_id": "later"})
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 0}


# -- what is no change ---------------------------------------------------------------------


def test_changed_and_changed_back(anydb):
    collection = _tracked(anydb)
    collection.update_one({"_id": 1}, {"$set": {"x": 100}})
    assert collection.has_changes()
    collection.update_one({"_id": 1}, {"$set": {"x": 1}})
    collection.insert_one({"_id": "fleeting"})
    collection.delete_one({"_id": "fleeting"})
    collection.delete_one({"_id": 2})
    collection.insert_one({"_id": 2, "x": 2})
    assert not collection.has_changes()
    assert collection.register("nothing") is False
    assert collection.diff() == {}
    assert collection.checkout(0)


def test_aborted_transaction(db, client, bands):
    with client.start_session() as session:
        session.start_transaction()
        bands.insert_one({"_id": "never"}, session=session)
        bands.update_many({}, {"$set": {"x": "never"}}, session=session)
        # seen from outside nothing has happened, and nothing is waited for
        assert not bands.has_changes()
        session.abort_transaction()
    assert not bands.has_changes()
    assert bands.register("nothing") is False


def test_commits_of_several_sessions(db, server):
    """None of them is taken for a change, and what others write between them is one."""
    bands = _tracked(db)
    sides = [MongoClient(server.uri) for _ in range(3)]
    for number in range(3):
        db[NAME].update_one({"_id": number}, {"$set": {"x": "set aside"}})
        bands.stash(push=True)
    for side in sides:
        VersionedCollection(side[db.name], NAME).stash_apply(merge=True)
    db[NAME].update_one({"_id": 4}, {"$set": {"x": "theirs"}})
    own = db[f"__metadata_{NAME}"].find_one({"_id": "working_copy"})["own"]
    assert len({one["session"] for one in own}) > 1
    assert set(bands.diff()) == {0, 1, 2, 4}
    registered_exactly(bands)
    for side in sides:
        side.close()


def test_transaction_that_commits_after_the_look(db, client, bands):
    """The order of commits counts, not that of writes."""
    with client.start_session() as session:
        session.start_transaction()
        bands.insert_one({"_id": "late"}, session=session)
        bands.insert_one({"_id": "early"})
        assert bands.register("early")
        session.commit_transaction()
    assert bands.resolve("HEAD").stats["inserted"] == 1
    assert set(bands.diff()) == {"late"}
    registered_exactly(bands)


def test_reading_is_no_change(anydb):
    collection = _tracked(anydb)
    list(collection.find())
    list(collection.aggregate([{"$match": {"x": 1}}]))
    collection.create_index("x")
    assert not collection.has_changes()


# -- writes that fail, or say nothing ------------------------------------------------------


def test_insert_many_that_fails_midway(anydb):
    collection = _tracked(anydb)
    with pytest.raises(driver.BulkWriteError):
        collection.insert_many([{"_id": "a"}, {"_id": "b"}, {"_id": 1}, {"_id": "c"}])
    assert set(collection.diff()) == {"a", "b"}
    registered_exactly(collection)


def test_bulk_write_that_fails_midway(anydb):
    collection = _tracked(anydb)
    with pytest.raises(driver.BulkWriteError):
        collection.bulk_write(
            [
                pymongo.UpdateOne({"_id": 1}, {"$set": {"x": "a"}}),
                pymongo.InsertOne({"_id": 1}),
                pymongo.DeleteOne({"_id": 2}),
            ]
        )
    assert set(collection.diff()) == {1}


@pytest.mark.parametrize("capture", ["auto", "scan"])
@pytest.mark.parametrize(
    "name", ["insert_many", "update_one", "update_one upsert", "delete_many", "bulk_write"]
)
def test_unacknowledged_writes(anydb, capture, name):
    """Writes with w=0 answer nothing, and count all the same."""
    collection = _tracked(anydb, capture=capture)
    before = contents(anydb, NAME)
    quiet = collection.with_options(write_concern=WriteConcern(w=0))
    WRITES[name](quiet)
    _wait_until(lambda: contents(anydb, NAME) != before)
    assert collection.has_changes()
    assert collection.discard_changes()


NOT_ANSWERED = [
    driver.NetworkTimeout("timed out"),
    driver.ExecutionTimeout("operation would exceed time limit", 50, {"ok": 0, "code": 50}),
    KeyboardInterrupt(),
    UpdateResult({}, acknowledged=False),
]


@pytest.mark.parametrize("outcome", NOT_ANSWERED, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("name", ["insert_many", "update_one", "delete_many", "bulk_write"])
def test_a_write_whose_outcome_is_not_known(standalone_db, monkeypatch, name, outcome):
    """The server may carry it out after any look, which must not take it for over."""
    collection = _tracked(standalone_db)
    with monkeypatch.context() as patch:
        carry_out = _put_off(patch, name, outcome)
        if isinstance(outcome, BaseException):
            with pytest.raises(type(outcome)):
                WRITES[name](collection)
        else:
            assert WRITES[name](collection) is outcome
    assert not collection.has_changes()
    assert not collection.register("nothing")
    carry_out(standalone_db[NAME])
    assert collection.has_changes()
    registered_exactly(collection)


@pytest.mark.sweep
def test_ids_too_large_to_be_noted(standalone_db):
    """PyMongo writes them in several commands; a note is one document."""
    collection = _tracked(standalone_db)
    ids = [f"{number}" + "x" * 900_000 for number in range(20)]
    collection.insert_many([{"_id": one} for one in ids])
    assert collection.register("inserted")
    changed = collection.update_many({"x": {"$exists": False}}, {"$set": {"x": 1}})
    assert changed.modified_count == 20
    assert collection.has_changes()
    collection.bulk_write([pymongo.DeleteOne({"_id": one}) for one in ids])
    assert collection.status()["changes"]["deleted"] == 20
    assert collection.register("deleted")


def test_an_id_of_half_a_document(standalone_db):
    """Notes hold it; no statement that could write the document again does."""
    collection = _tracked(standalone_db)
    assert not collection.has_changes()
    large = "x" * (9 << 20)
    collection.insert_many([{"_id": large}, {"_id": "small"}])
    for _ in range(2):
        assert collection.status()["changes"] == {"inserted": 2, "updated": 0, "deleted": 0}
        with pytest.raises(errors.DocumentRejected, match="delete the document"):
            collection.register("large")
    collection.delete_one({"_id": large})
    assert collection.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}
    registered_exactly(collection)


def test_a_journal_of_many_entries_is_emptied(standalone_db, monkeypatch):
    monkeypatch.setattr(journal, "BATCH", 2)
    collection = _tracked(standalone_db)
    for number in range(5):
        collection.insert_one({"_id": f"new {number}"})
    assert collection.register("new")
    assert standalone_db[f"__journal_{NAME}"].count_documents({}) == 0


@pytest.fixture
def meanwhile(monkeypatch) -> Callable[[Callable[[], Any]], None]:
    """Does something once, between the note of a write and the write."""

    def arrange(act: Callable[[], Any]) -> None:
        begin = journal.JournalCollection.begin
        acts = [act]

        def noted(self: Any, *args: Any) -> Any:
            entry = begin(self, *args)
            if acts:
                acts.pop()()
            return entry

        monkeypatch.setattr(journal.JournalCollection, "begin", noted)

    return arrange


def test_a_document_that_goes_while_its_write_is_noted(standalone_db, meanwhile):
    """An upsert inserts one after all, as PyMongo's does."""
    collection = _tracked(standalone_db)
    meanwhile(lambda: collection.delete_one({"_id": 1}))
    result = collection.update_many({"x": 1}, {"$set": {"y": 1}}, upsert=True)
    assert result.upserted_id is not None
    assert collection.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 1}
    registered_exactly(collection)


@pytest.mark.parametrize("name", ["update_one", "update_many"])
def test_a_document_whose_place_another_one_takes_by_its_collation(standalone_db, meanwhile, name):
    collection = VersionedCollection(standalone_db, NAME)
    collection.insert_many([{"_id": "ab", "x": 1}, {"_id": "AB", "x": 1}])
    collection.init()
    assert not collection.has_changes()  # the first look compares everything
    meanwhile(lambda: collection.delete_one({"_id": "ab"}))
    any_case = Collation("en", strength=2)
    getattr(collection, name)({"x": 1}, {"$set": {"x": 2}}, collation=any_case)
    assert set(collection.diff()) == {"ab", "AB"}
    registered_exactly(collection)


def _put_off(
    patch: pytest.MonkeyPatch, name: str, outcome: Any
) -> Callable[[Collection[Any]], None]:
    """Have a write of PyMongo end before the server has carried it out.

    Returns:
        What carries it out, on a collection of PyMongo.
    """
    method = getattr(Collection, name)
    sent: list[Callable[[Collection[Any]], Any]] = []

    @functools.wraps(method)
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(lambda target: method(target, *args, **kwargs))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    patch.setattr(Collection, name, send)
    return lambda target: [one(target) for one in sent] and None


def test_a_write_that_nobody_wants_to_hear_of_is_over_in_the_end(standalone_db, monkeypatch):
    """Where it may have reached any document, looks compare everything for an hour."""
    collection = _tracked(standalone_db)
    notes = standalone_db[f"__journal_{NAME}"]
    WRITES["update_one upsert"](collection.with_options(write_concern=WriteConcern(w=0)))
    _wait_until(lambda: standalone_db[NAME].count_documents({}) == 6)
    assert collection.register("upserted")
    assert notes.count_documents({"scan": True, "settled": False}) == 1
    monkeypatch.setattr(write_through, "_LONGEST_UNHEARD", timedelta(seconds=-2))
    assert not collection.register("nothing")
    assert notes.count_documents({}) == 0


def test_a_refused_write_is_over(standalone_db):
    """Whoever refuses it: nothing of it is under way."""
    collection = _tracked(standalone_db)
    refused: list[Callable[[], Any]] = [
        lambda: collection.insert_one({"_id": 1}),
        lambda: collection.insert_one({"_id": "no", "x": object()}),
        lambda: collection.insert_one({"_id": "no", "x": 2**64}),
        lambda: collection.update_one({"x": 99}, {"$no": 1}, upsert=True),
        lambda: collection.update_many({}, {"x": 1}),
        lambda: list(collection.aggregate([{"$no": 1}, {"$out": NAME}])),
    ]
    for write in refused:
        with pytest.raises(
            (driver.OperationFailure, BSONError, TypeError, ValueError, OverflowError)
        ):
            write()
    assert not collection.has_changes()
    assert standalone_db[f"__journal_{NAME}"].count_documents({}) == 0


def test_ids_that_no_document_can_have(standalone_db):
    collection = _tracked(standalone_db)
    assert not collection.has_changes()
    collection.insert_one({"_id": "a"})
    for id_ in ({"$gt": 1}, {"$a.b": 1}, {"$ref": "x"}, {"a": {"$gt": 1}}, Regex("a"), [1]):
        with pytest.raises(driver.WriteError):
            collection.insert_one({"_id": id_})
        with pytest.raises(driver.BulkWriteError):
            collection.insert_many([{"_id": id_}, {"_id": f"after {id_}"}], ordered=False)
        with pytest.raises(driver.BulkWriteError):
            collection.bulk_write([pymongo.InsertOne({"_id": id_})])
        assert collection.has_changes()
    assert collection.status()["changes"] == {"inserted": 7, "updated": 0, "deleted": 0}
    registered_exactly(collection)


def test_an_id_that_no_document_can_have_is_noted_already(standalone_db):
    collection = _tracked(standalone_db)
    assert not collection.has_changes()
    collection._repository.modified.add([key_of({"$gt": 1})])
    assert not collection.has_changes()
    collection.update_one({"_id": 1}, {"$set": {"x": 9}})
    registered_exactly(collection)


def test_symbols_are_no_ids_under_a_collation(standalone_db):
    standalone_db.create_collection(NAME, collation=Collation("en"))
    collection = _tracked(standalone_db)
    assert not collection.has_changes()
    symbol = b"\x0e\x02\0\0\0x\0"
    for key in (symbol, b"\x03" + build(element(b"a", symbol))):
        with pytest.raises(driver.OperationFailure, match="Symbol"):
            collection.insert_one(RawBSONDocument(build(element(b"_id", key))))
    collection.insert_one({"_id": "a"})
    assert collection.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 0}
    registered_exactly(collection)


def _wait_until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(500):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it never happened")


@pytest.mark.parametrize("name", ["insert_many", "update_one by id", "update_one upsert"])
def test_a_noted_write_becomes_visible_with_its_transaction(db, client, name):
    """A look before the commit does not take the note of what it cannot see yet."""
    collection = _tracked(db, capture="write_through")
    for verb in ("abort", "commit"):
        with client.start_session() as session:
            session.start_transaction()
            WRITES[name](_Within(collection, session))
            assert not collection.has_changes()
            assert not collection.register("nothing")
            getattr(session, f"{verb}_transaction")()
        assert collection.has_changes() is (verb == "commit")
    registered_exactly(collection)
    assert db[f"__journal_{NAME}"].count_documents({}) == 0


class _Within:
    """The writes of a collection in a session."""

    def __init__(self, collection: Any, session: Any) -> None:
        self._collection, self._session = collection, session

    def __getattr__(self, name: str) -> Any:
        return functools.partial(getattr(self._collection, name), session=self._session)


def test_a_write_refused_in_a_transaction(db, client):
    collection = _tracked(db, capture="write_through")
    with (
        pytest.raises(driver.DuplicateKeyError),
        client.start_session() as session,
        session.start_transaction(),
    ):
        collection.insert_one({"_id": 1}, session=session)
    assert not collection.has_changes()


# -- other modes ---------------------------------------------------------------------------


def test_scan_sees_foreign_writes(anydb):
    collection = _tracked(anydb, capture="scan")
    assert collection.capture_mode == "scan"
    anydb[NAME].update_one({"_id": 1}, {"$set": {"x": "foreign"}})
    anydb[NAME].delete_one({"_id": 2})
    anydb[NAME].insert_one({"_id": "foreign"})
    assert collection.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 1}
    assert set(collection.diff()) == {1, 2, "foreign"}
    registered_exactly(collection)


def test_a_look_that_is_blind_for_foreign_writes_hides_none(db, bands):
    """What other modes are to notice stays where they left off."""
    blind = VersionedCollection(db, NAME, capture="write_through")
    db[NAME].insert_one({"_id": "foreign"})
    db[NAME].update_one({"_id": 1}, {"$set": {"x": "foreign"}})
    assert not blind.has_changes()
    blind.insert_one({"_id": "noted"})
    assert blind.register("noted")
    assert blind.checkout("HEAD~1")
    assert blind.checkout("main")
    assert not blind.register("nothing")
    assert set(bands.diff()) == {"foreign", 1}
    registered_exactly(bands)


def test_scan_keeps_ids_together_that_the_server_takes_for_one(anydb, monkeypatch):
    """Few documents may wait for their partner here, so the equal ids are looked up apart."""
    monkeypatch.setattr(working_copy, "_UNMATCHED", 3)
    collection = _tracked(anydb, capture="scan")
    anydb[NAME].delete_many({"_id": {"$in": [1, 2]}})
    anydb[NAME].insert_many([{"_id": 1.0, "came": True}, {"_id": Int64(2), "came": True}])
    anydb[NAME].insert_many([{"_id": f"new {number}"} for number in range(5)])
    assert collection.status()["changes"] == {"inserted": 7, "updated": 0, "deleted": 2}
    registered_exactly(collection)
    collection.checkout("HEAD~1")
    assert {type(document["_id"]) for document in collection.find({"_id": 1})} == {int}


def test_scan_tells_ids_that_a_collation_takes_for_equal_once(db, monkeypatch):
    """The replica is read in another order, and knows them for different ones."""
    monkeypatch.setattr(working_copy, "_UNMATCHED", 3)
    for module in (working_copy, replica):
        monkeypatch.setattr(module, "documents", _by_twos)
    db.create_collection(NAME, collation={"locale": "en", "strength": 2})
    collection = VersionedCollection(db, NAME, capture="scan")
    ids = [letter.upper() if place % 2 else letter for place, letter in enumerate(LETTERS)]
    collection.insert_many([{"_id": one} for one in ids])
    collection.init()
    for settle in (_discarded, registered_exactly):
        for one in ids[::3]:
            db[NAME].delete_one({"_id": one})
            db[NAME].insert_one({"_id": one.swapcase()})
        db[NAME].update_many({"_id": {"$in": ids[1::3]}}, {"$set": {"x": 1}})
        db[NAME].delete_many({"_id": {"$in": ids[2::6]}})
        assert collection.status()["changes"] == {"inserted": 9, "updated": 9, "deleted": 13}
        told = [change.document_id for change in collection.changes()]
        assert len(told) == len(set(told)) == 31
        settle(collection)


def _discarded(collection: VersionedCollection) -> None:
    assert collection.discard_changes()
    assert not collection.has_changes()


def _by_twos(*args: Any, **options: Any) -> Iterator[list[bytes]]:
    return documents(*args, **{**options, "batch_size": 2})


def test_listen(db, bands):
    """What was listened to is noted, and need not be read from the stream again."""
    stop = threading.Event()
    looks: list[int] = []
    listener = threading.Thread(target=lambda: looks.append(bands.listen(0.01, stop)))
    listener.start()
    db[NAME].update_one({"_id": 3}, {"$set": {"x": "heard"}})
    _wait_until(lambda: db[f"__modified_{NAME}"].count_documents({}) == 1)
    stop.set()
    listener.join(30)
    assert not listener.is_alive()
    assert looks[0] >= 1
    # even without a history, as the id is noted
    position = db[f"__metadata_{NAME}"].find_one({})["captured"]
    assert position > Timestamp(1_000_000, 1)
    assert set(bands.diff()) == {3}
    registered_exactly(bands)


def test_listen_while_verbs_run(db, bands):
    stop = threading.Event()
    listener = threading.Thread(target=lambda: bands.listen(0.001, stop))
    listener.start()
    for turn in range(10):
        db[NAME].insert_one({"_id": f"new {turn}"})
        assert bands.register(f"turn {turn}")
        assert bands.resolve("HEAD").stats["inserted"] == 1
    stop.set()
    listener.join(30)
    assert not listener.is_alive()
    assert list(bands.verify()) == []


def test_listening_goes_on_while_another_verb_takes_long(db, bands, caplog):
    stop = threading.Event()
    impatient = VersionedCollection(db, NAME, lease_wait_seconds=0)
    with ThreadPoolExecutor(1) as pool:
        try:
            with leased(bands._repository, "long"):
                looks = pool.submit(impatient.listen, 0.01, stop)
                _wait_until(lambda: "no look at" in caplog.text)
            db[NAME].update_one({"_id": 3}, {"$set": {"x": "heard"}})
            _wait_until(lambda: db[f"__modified_{NAME}"].count_documents({}) == 1)
        finally:
            stop.set()
        assert looks.result() >= 1


# -- nothing runs in the background --------------------------------------------------------


def test_nothing_is_left_running(anydb):
    """After verbs there are no threads, connections or cursors of ours."""
    collection = _tracked(anydb)
    client = anydb.client
    collection.register("nothing")

    def sockets() -> int:
        return len(psutil.Process().net_connections(kind="tcp"))

    def open_cursors() -> int:
        return client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"]

    threads, connections, cursors = set(threading.enumerate()), sockets(), open_cursors()
    processes = psutil.Process().children(recursive=True)
    for turn in range(5):
        collection.insert_many([{"_id": f"{turn} {i}"} for i in range(50)])
        collection.has_changes()
        collection.diff()
        collection.register(f"turn {turn}")
        collection.checkout(0)
        collection.checkout("main")
        collection.insert_one({"_id": f"aside {turn}"})
        collection.stash()
        collection.stash_apply()
        collection.discard_changes()
        list(collection.verify())
    assert {thread for thread in threading.enumerate() if "lease" in thread.name} == set()
    assert {thread for thread in threading.enumerate() if "write-behind" in thread.name} == set()
    left = set(threading.enumerate()) - threads
    assert not [thread for thread in left if "pymongo" not in thread.name], left
    # reading ahead may have taken one more connection out of the pool's limit
    assert sockets() <= connections + 3
    assert open_cursors() <= cursors
    assert psutil.Process().children(recursive=True) == processes


def test_dropped_again_after_a_checkout_brought_it_back(db, standalone_db):
    """That it is missing is no news to the tracker, and still a change of all documents."""
    for place in (db, standalone_db):
        collection = _tracked(place)
        place.drop_collection(NAME)
        assert collection.register("gone")
        assert collection.checkout("main~1")
        assert len(contents(place, NAME)) == 5
        place.drop_collection(NAME)
        assert collection.has_changes()
        assert collection.discard_changes()
        assert len(contents(place, NAME)) == 5
