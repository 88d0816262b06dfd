"""What the library tells a program's log."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from typing import Any

import bson
import pytest
from api_support import edit, step, tracked
from bson.objectid import ObjectId
from pymongo import errors as driver
from remote_support import other_database

from versioned_collection import VersionedCollection, errors
from versioned_collection.capture import replies
from versioned_collection.committing import at_once
from versioned_collection.committing.commit import Commit
from versioned_collection.driver.wire import run
from versioned_collection.trackers import lease

NAME = "versioned_collection"


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.INFO, "versioned_collection")
    return lambda part: [r for r in caplog.records if r.name == f"{NAME}.{part}"]


def test_a_verb_says_how_long_it_took(db, records):
    bands = tracked(db)
    begun = time.monotonic()
    step(bands, 1)
    took = time.monotonic() - begun
    found = [record for record in records("verbs") if record.verb == "register"]
    assert [record.levelname for record in found] == ["INFO"]
    assert found[0].namespace == bands.full_name
    assert 0 < found[0].seconds <= took
    assert found[0].getMessage().startswith(f"register of {bands.full_name} took 0.")


def test_a_verb_that_fails_says_why(db, records):
    bands = tracked(db)
    step(bands, 1)
    edit(bands, 2)
    with pytest.raises(errors.InvalidOperation):
        bands.checkout("main~1")
    failed = [record for record in records("verbs") if hasattr(record, "error_code")]
    assert [(record.verb, record.error_code) for record in failed] == [
        ("checkout", "invalid_operation")
    ]
    assert "uncommitted" in failed[0].getMessage()


def test_a_full_comparison_says_why(db, records):
    bands = tracked(db, capture="scan")
    assert bands.has_changes() is False
    told = records("working.working_copy")
    assert {record.reason for record in told} == {"capture mode is scan"}


def test_a_change_too_large_for_one_transaction(db, records, small_limits):
    bands = tracked(db)
    bands.update_many({}, {"$set": {"n": 1}})
    bands.register("three")
    bands.checkout("main~1")
    assert "checkout" in {record.verb for record in records("committing.committer")}


def test_what_another_process_left_half_done(db, records):
    bands = tracked(db)
    unfinished = {"verb": "tag", "phase": "apply", "commit": Commit().to_bson()}
    db["__metadata_bands"].update_one({}, {"$set": {"intent": unfinished}})
    VersionedCollection(db, "bands")
    assert [(r.levelname, r.verb) for r in records("working.recovery")] == [("WARNING", "tag")]
    unfinished = {"verb": "register", "phase": "prepare", "version": ObjectId()}
    db["__metadata_bands"].update_one({}, {"$set": {"intent": unfinished}})
    bands.status()
    assert "undone" in records("working.recovery")[-1].getMessage()


def test_a_lease_that_expired(db, records):
    bands = tracked(db)
    with db.client.start_session() as session:
        bands._repository.leases.acquire("register", 0.2, 1, session.session_id)
        time.sleep(0.3)  # nobody keeps it
        assert bands.has_changes() is False
    assert [record.levelname for record in records("trackers.lease")] == ["WARNING"]


def test_what_a_verb_did_is_in_its_fields(db, records):
    bands = tracked(db)
    bands.update_many({}, {"$set": {"n": 1}})
    bands.register("three")
    (record,) = [record for record in records("verbs") if record.verb == "register"]
    assert record.counts == {"recorded": 3}
    assert record.sizes == {"recorded": sum(len(bson.encode(one)) for one in bands.find())}


def test_an_error_that_is_not_ours_is_named(db, records):
    def refuse(phase: str, count: int) -> None:
        raise KeyError(phase)

    bands = tracked(db)
    edit(bands, 1)
    with pytest.raises(KeyError):
        bands.register("refused", progress=refuse)
    (record,) = [record for record in records("verbs") if record.verb == "register"]
    assert (record.error_code, record.error_type) == (None, "KeyError")


def test_what_changed_is_lost(db, records, monkeypatch):
    bands = tracked(db)
    edit(bands, 1)

    def refusing(database: Any, command: Any, session: Any = None) -> Any:
        if "$changeStream" in str(command.get("pipeline")):
            raise driver.OperationFailure("the resume point is gone", 286)
        return run(database, command, session)

    monkeypatch.setattr(replies, "run", refusing)
    assert bands.has_changes()
    (lost,) = records("capture.change_stream")
    assert (lost.levelname, lost.collection, lost.server_code) == ("WARNING", "bands", 286)
    assert lost.seconds >= 0
    assert "resume" in records("working.working_copy")[-1].reason


def test_a_write_of_unknown_reach(db, records):
    bands = tracked(db, capture="write_through")
    edit(bands, 1)
    assert records("capture.journalled") == []
    bands.aggregate([{"$set": {"n": 1}}, {"$merge": {"into": "bands"}}])
    (unknown,) = records("capture.journalled")
    assert (unknown.levelname, unknown.collection) == ("INFO", "bands")


@pytest.mark.parametrize(("patience", "level"), [(60, "DEBUG"), (0, "INFO")])
def test_waiting_for_another_verb(db, records, caplog, monkeypatch, patience, level):
    caplog.set_level(logging.DEBUG, NAME)
    monkeypatch.setattr(lease, "_LONG_WAIT", patience)
    bands = tracked(db)
    with db.client.start_session() as session:
        held = bands._repository.leases.acquire("push", 15, 1, session.session_id)
        held.keep()
        over = threading.Timer(0.3, held.release)
        over.start()
        bands.has_changes()
        over.join()
    (waited,) = records("trackers.lease")
    assert (waited.levelname, waited.verb, waited.collection) == (level, "has_changes", "bands")
    assert waited.seconds > 0


@pytest.mark.parametrize("outcome", [False, driver.AutoReconnect("gone")])
def test_a_lease_that_cannot_be_extended(db, records, monkeypatch, outcome):
    bands, beaten = tracked(db), threading.Event()

    def extend(*args: Any) -> bool:
        if beaten.is_set():
            return False
        beaten.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(lease.LeaseCollection, "extend", extend)
    with db.client.start_session() as session:
        held = bands._repository.leases.acquire("push", 0.1, 1, session.session_id)
        held.keep()
        held._heart.join()
        held.release()
    warned = records("trackers.lease")
    assert {(one.levelname, one.verb) for one in warned} == {("WARNING", "push")}
    assert "taken over" in warned[-1].getMessage()
    assert ("gone" in warned[0].getMessage()) is isinstance(outcome, Exception)


def test_a_transaction_that_is_tried_again(db, records, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, NAME)
    bands = tracked(db)
    step(bands, 1)
    real, refusals = at_once.apply_references, []

    def taken_back(*args: Any) -> None:
        if not refusals:
            refusals.append(args)
            labels = {"errorLabels": ["TransientTransactionError"]}
            raise driver.OperationFailure("met another writer", 112, labels)
        real(*args)

    monkeypatch.setattr(at_once, "apply_references", taken_back)
    assert bands.checkout("main~1")
    (again,) = records("repository.hold")
    assert (again.levelname, again.verb, again.attempt) == ("DEBUG", "checkout", 2)


@pytest.mark.usefixtures("small_limits")
def test_what_another_client_has_just_written_stays(db, records):
    bands = tracked(db)
    bands.insert_many([{"_id": 10 + n} for n in range(9)])
    written = []

    def write(phase: str, count: int) -> None:
        if not written:
            written.append(db["bands"].update_one({"_id": 18}, {"$set": {"theirs": 1}}))

    bands.discard_changes(progress=write)
    kept = [one for one in records("committing.writing") if hasattr(one, "documents")]
    assert [(one.verb, one.documents) for one in kept] == [("discard_changes", 1)]
    assert db["bands"].find_one(18) == {"_id": 18, "theirs": 1}


def test_a_transfer_that_goes_on(db, records):
    bands = tracked(db)
    with other_database(db.client) as there:
        bands.push(there)
        for n in range(3):
            step(bands, n)

        def break_off(phase: str, count: int) -> None:
            if phase == "changes":
                raise ConnectionError(phase)

        with pytest.raises(ConnectionError):
            bands.push(there, progress=break_off)
        assert records("remotes.transfer") == []
        assert bands.push(there)
    (resumed,) = records("remotes.transfer")
    assert resumed.versions + resumed.partial > 0


def test_nothing_is_printed_by_itself():
    program = "import logging, {0}; logging.getLogger({0}.__name__).warning('x')"
    done = subprocess.run(
        [sys.executable, "-c", program.format(NAME)], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
