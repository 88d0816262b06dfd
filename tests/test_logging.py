"""What the library tells a program's log."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest
from api_support import edit, step, tracked
from bson.objectid import ObjectId

from versioned_collection import VersionedCollection, errors
from versioned_collection.commit import Commit

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
    assert {record.reason for record in records("working_copy")} == {"capture mode is scan"}


def test_a_change_too_large_for_one_transaction(db, records, small_limits):
    bands = tracked(db)
    bands.update_many({}, {"$set": {"n": 1}})
    bands.register("three")
    bands.checkout("main~1")
    assert "checkout" in {record.verb for record in records("committer")}


def test_what_another_process_left_half_done(db, records):
    bands = tracked(db)
    unfinished = {"verb": "tag", "phase": "apply", "commit": Commit().to_bson()}
    db["__metadata_bands"].update_one({}, {"$set": {"intent": unfinished}})
    VersionedCollection(db, "bands")
    assert [(r.levelname, r.verb) for r in records("recovery")] == [("WARNING", "tag")]
    unfinished = {"verb": "register", "phase": "prepare", "version": ObjectId()}
    db["__metadata_bands"].update_one({}, {"$set": {"intent": unfinished}})
    bands.status()
    assert "undone" in records("recovery")[-1].getMessage()


def test_a_lease_that_expired(db, records):
    bands = tracked(db)
    with db.client.start_session() as session:
        lease = bands._repository.leases.acquire("register", 0.2, 1, session.session_id)
        lease._over.set()  # its heart stops
        lease._heart.join()
        time.sleep(0.3)
        assert bands.has_changes() is False
    assert [record.levelname for record in records("trackers.lease")] == ["WARNING"]


def test_nothing_is_printed_by_itself():
    program = "import logging, {0}; logging.getLogger({0}.__name__).warning('x')"
    done = subprocess.run(
        [sys.executable, "-c", program.format(NAME)], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
