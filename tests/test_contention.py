"""Changes among clients that write to the same documents, all the time or in a transaction."""

from __future__ import annotations

import random

import pytest
from api_support import edit, problems, raws, tracked, untracked
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandListener

from versioned_collection import VersionedCollection, embedded
from versioned_collection.committing import at_once, fullness, moving
from versioned_collection.committing.writing import Writing
from versioned_collection.errors import AutoMergeFailedError, NotSupported, WorkingCopyChanged


@pytest.fixture
def contended(monkeypatch, small_limits):
    """Have each batch of several documents taken back at once, and only single ones written."""
    monkeypatch.setattr(moving, "MOST_ATTEMPTS", 0)
    monkeypatch.setattr(at_once, "is_small", lambda *_: False)


def test_steps_become_smaller_until_they_succeed(db, contended):
    bands = untracked(db)
    bands.insert_many([{"_id": float(n), "n": n} for n in range(10, 30)])
    bands.init("start")
    first = raws(bands)
    bands.update_many({}, {"$set": {"mark": 1}})
    bands.delete_many({"_id": {"$in": [12, 13]}})
    bands.insert_many([{"_id": 12}, {"_id": Int64(13)}])  # twins of what was there
    bands.register("second")
    second = raws(bands)
    assert bands.checkout("main~1")
    assert raws(bands) == first
    assert bands.checkout(branch="main")
    assert raws(bands) == second
    bands.update_many({}, {"$inc": {"mark": 1}})
    assert bands.stash()
    assert raws(bands) == second
    assert bands.stash_apply()
    assert bands.discard_changes()
    assert raws(bands) == second
    assert problems(bands) == []


VERBS = {
    "checkout": lambda bands: bands.checkout("main~1"),
    "merge": lambda bands: bands.merge("side"),
    "merge with conflicts": lambda bands: bands.merge("other"),
    "reset": lambda bands: bands.reset("main~1", hard=True),
    "undo": lambda bands: bands.undo(),  # of the merge
    "cherry_pick": lambda bands: bands.cherry_pick("side"),
    "restore": lambda bands: bands.restore({}, "main~1"),
    "discard_changes": lambda bands: bands.discard_changes(),
    "stash": lambda bands: bands.stash(),
}
DIRTY = ("restore", "discard_changes", "stash")


def apart(db, dirty):
    """Return a collection of three documents whose branches changed all of them."""
    bands = untracked(db)
    bands.delete_many({})
    bands.insert_many([{"_id": n, "x": 0, "y": 0} for n in range(3)])
    bands.init("start")
    for branch, change in (
        ("side", {"x": 1}),
        ("other", {"x": 1, "y": 1}),
        ("third", {"v": 1}),
    ):
        bands.create_branch(branch)
        bands.update_many({}, {"$set": change})
        bands.register(branch)
        bands.checkout("main")
    bands.update_many({}, {"$set": {"y": 2}})
    bands.register("main")
    bands.merge("third")
    if dirty:
        bands.update_many({}, {"$set": {"z": 3}})
    return bands


@pytest.mark.parametrize("verb", VERBS)
def test_a_transaction_of_somebody_else_leaves_everything_as_it_was(db, monkeypatch, verb):
    monkeypatch.setattr(at_once, "_PATIENCE", 0.0)
    bands = apart(db, verb in DIRTY)
    before, log = raws(bands), bands.get_log()
    with db.client.start_session() as session:
        session.start_transaction()
        db.bands.update_one({"_id": 1}, {"$set": {"theirs": 1}}, session=session)
        with pytest.raises(WorkingCopyChanged, match="transaction open") as caught:
            VERBS[verb](bands)
        assert caught.value.code == "working_copy_changed"
        assert raws(bands) == before
        assert (bands.branch, bands.get_log()) == ("main", log)
        states = (bands.has_conflicts(), bands.has_stash(), bands.is_detached())
        assert states == (False, False, False)
        session.abort_transaction()
    assert bands.has_changes() == (verb in DIRTY)
    assert problems(bands) == []


class _Ending(CommandListener):
    """Ends a transaction once another one was taken back some times because of it."""

    def __init__(self, end):
        self._end, self._left = end, 3

    def started(self, event):
        if event.command_name == "abortTransaction":
            self._left -= 1
            if self._left == 0:
                self._end()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def test_a_transaction_that_ends_in_time_is_waited_for(server, db):
    apart(db, False)
    with db.client.start_session() as session:
        session.start_transaction()
        db.bands.update_one({"_id": 1}, {"$set": {"theirs": 1}}, session=session)
        ending = _Ending(session.abort_transaction)
        with MongoClient(server.uri, event_listeners=[ending]) as client:
            bands = VersionedCollection(client[db.name], "bands")
            assert bands.merge("side").parents
            assert all(one["x"] == 1 and one["y"] == 2 for one in bands.find())


def tried_once(session, work, **options):
    """Run a transaction; the driver would try again for two minutes."""
    with session.start_transaction(**options):
        return work(session)


def test_a_large_change_is_completed_once_a_transaction_has_ended(db, monkeypatch, small_limits):
    bands = apart(db, False)
    tip = raws(bands)
    monkeypatch.setattr(at_once, "is_small", lambda *_: False)
    monkeypatch.setattr(ClientSession, "with_transaction", tried_once)
    with db.client.start_session() as session:
        session.start_transaction()
        db.bands.update_one({"_id": 1}, {"$set": {"theirs": 1}}, session=session)
        with pytest.raises(WorkingCopyChanged, match="is kept, and completed by whoever opens"):
            bands.checkout("main~1")
        with pytest.raises(WorkingCopyChanged):  # it is still under way
            VersionedCollection(db, "bands").has_changes()
        session.abort_transaction()
    bands = VersionedCollection(db, "bands")
    assert bands.is_detached()
    assert not bands.has_changes()
    assert problems(bands) == []
    assert bands.checkout(branch="main")
    assert raws(bands) == tip


def test_a_transaction_that_the_cache_cannot_hold_at_its_end(db, monkeypatch):
    bands = apart(db, False)
    commit = ClientSession.commit_transaction
    refused = []

    def refuse_first(self):
        if not refused:
            refused.append(self)
            self.abort_transaction()
            raise OperationFailure("transaction is too large", 388)
        commit(self)

    monkeypatch.setattr(ClientSession, "commit_transaction", refuse_first)
    assert bands.checkout("main~1")
    assert refused
    assert not bands.has_changes()
    assert problems(bands) == []


@pytest.fixture
def suspicious(monkeypatch):
    """Have any commit be one that a cache may not hold."""
    monkeypatch.setattr(at_once, "_PATIENCE", 0.0)
    monkeypatch.setattr(fullness, "_MAY_FILL_CACHE", 0)


def test_a_full_cache_is_not_taken_for_another_client(db, monkeypatch, suspicious):
    bands = apart(db, False)
    first, write = raws(bands), Writing.write

    def in_little_cache(self, batch, *rest):
        if len(batch) > 1:  # the server calls it a conflict, and says no more
            labels = {"errorLabels": ["TransientTransactionError"]}
            raise OperationFailure("WriteConflict error", 112, labels)
        write(self, batch, *rest)

    monkeypatch.setattr(Writing, "write", in_little_cache)
    bands.update_many({}, {"$set": {"w": 1}})
    second = raws(bands)
    assert bands.register("second")
    assert bands.checkout("main~1")
    assert raws(bands) == first
    assert bands.checkout("main")
    assert raws(bands) == second
    assert bands.merge("side").parents
    assert {one["x"] for one in bands.find()} == {1}
    assert not bands.has_changes()
    assert problems(bands) == []


REFUSALS = [
    OperationFailure("WriteConflict", 112, {"errorLabels": ["TransientTransactionError"]}),
    OperationFailure("transaction is too large and will not fit in the storage engine cache", 388),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["conflict", "too large"])
@pytest.mark.parametrize("verb", ["checkout", "reset", "discard_changes", "stash"])
def test_documents_that_a_cache_holds_one_at_a_time(db, monkeypatch, suspicious, verb, refusal):
    bands = apart(db, verb in DIRTY)
    wanted = list(bands.at("HEAD" if verb in DIRTY else "main~1").find().sort("_id"))
    write, put_in = Writing.write, []

    def in_less_cache(self, batch, commit, writer, session):
        ids = [self.repository.codec.value(move.target.key) for move in batch]
        there = db.bands.count_documents({"_id": {"$in": ids}}, session=session)
        if len(batch) > 1 or (commit.working_copy and (commit.replica or there)):
            raise refusal
        put_in.extend(move.target.key for move in batch)
        write(self, batch, commit, writer, session)

    monkeypatch.setattr(Writing, "write", in_less_cache)
    VERBS[verb](bands)
    assert list(bands.find().sort("_id")) == wanted
    assert put_in
    assert not bands.has_changes()
    assert problems(bands) == []


@pytest.mark.sweep
@pytest.mark.parametrize("refusal", REFUSALS, ids=["conflict", "too large"])
def test_a_document_that_no_cache_holds_waits_for_a_larger_one(
    db, monkeypatch, suspicious, refusal
):
    monkeypatch.setattr(moving, "_PATIENCE", 0.0)
    bands = apart(db, False)
    wanted, tip = list(bands.at("main~1").find().sort("_id")), raws(bands)

    def refuse(*_):
        raise refusal

    with monkeypatch.context() as little:
        little.setattr(Writing, "write", refuse)
        for _ in range(2):  # whoever goes on with it is told the same
            with pytest.raises(NotSupported, match=r"completed by whoever.*cacheSizeGB"):
                bands.checkout("main~1")
    bands = VersionedCollection(db, "bands")
    assert bands.is_detached()
    assert list(bands.find().sort("_id")) == wanted
    assert problems(bands) == []
    assert bands.checkout("main")
    assert raws(bands) == tip


def test_a_full_cache_that_shows_when_all_is_to_be_committed(db, monkeypatch, suspicious, caplog):
    bands = apart(db, False)
    commit, taken_back = ClientSession.commit_transaction, []

    def take_back(self):
        if len(taken_back) > at_once.MOST_ATTEMPTS + 2:
            return commit(self)
        taken_back.append(self)
        self.abort_transaction()
        labels = {"errorLabels": ["TransientTransactionError"]}
        raise OperationFailure("WriteConflict error", 112, labels)

    monkeypatch.setattr(ClientSession, "commit_transaction", take_back)
    with caplog.at_level("INFO", "versioned_collection"):
        assert bands.checkout("main~1")
    assert "checkout of bands goes step by step" in caplog.text
    assert not bands.has_changes()
    assert problems(bands) == []


@pytest.mark.parametrize("verb", ["checkout", "merge", "stash"])
def test_a_transaction_of_somebody_else_is_told_from_a_full_cache(db, suspicious, verb):
    bands = apart(db, verb in DIRTY)
    before, log = raws(bands), bands.get_log()
    with db.client.start_session() as session:
        session.start_transaction()
        db.bands.update_one({"_id": 1}, {"$set": {"theirs": 1}}, session=session)
        with pytest.raises(WorkingCopyChanged, match="transaction open"):
            VERBS[verb](bands)
        session.abort_transaction()
    assert (raws(bands), bands.get_log()) == (before, log)
    assert bands.has_changes() == (verb in DIRTY)
    assert problems(bands) == []


def test_going_on_while_somebody_else_has_a_transaction_open(db, monkeypatch):
    monkeypatch.setattr(at_once, "_PATIENCE", 0.0)
    bands = tracked(db)
    bands.create_branch("side")
    for id_ in (1, 2):
        edit(bands, "side", id_)
        bands.register(f"side {id_}")
    bands.checkout("main")
    edit(bands, "main")
    bands.register("main")
    bands.checkout("side")
    with pytest.raises(AutoMergeFailedError):
        bands.rebase("main")
    bands.resolve_conflicts(resolver="theirs")
    with db.client.start_session() as session:
        session.start_transaction()
        db.bands.update_one({"_id": 2}, {"$set": {"theirs": 1}}, session=session)
        with pytest.raises(WorkingCopyChanged, match="waits where it was"):
            bands.register()
        session.abort_transaction()
    assert bands.register()
    assert not bands.is_detached()
    assert problems(bands) == []


@pytest.mark.parametrize("verb", ["merge", "cherry_pick", "revert", "register"])
def test_documents_too_large_to_move_while_their_changes_are_stored(db, monkeypatch, caplog, verb):
    """Readers of the collection see all of them at once nevertheless."""
    bands = apart(db, False)
    edit(bands, "before", 1)
    bands.register("before")
    if verb == "register":
        edit(bands, "changed", 1)
    monkeypatch.setattr(at_once, "_MOST_BESIDE_DELTAS", 0)
    revision = {"merge": "side", "cherry_pick": "side", "revert": "HEAD", "register": "changed"}
    with caplog.at_level("INFO", "versioned_collection"):
        assert getattr(bands, verb)(revision[verb])
    # none sees the replica, to which alone register writes
    assert ("goes step by step" in caplog.text) == (verb == "register")
    assert {one["x"] for one in bands.find()} == ({1} if verb in ("merge", "cherry_pick") else {0})
    assert bands.undo()
    assert problems(bands) == []


@pytest.mark.sweep
def test_large_documents_in_the_smallest_cache_that_servers_make_by_themselves():
    with embedded.start(durable=False, cache_gb=0.25) as server, MongoClient(server.uri) as client:
        bands = untracked(client["music"])
        rewrite_all(bands, 30)
        bands.init("start")
        rewrite_all(bands, 30)
        assert bands.register("second")
        assert not bands.has_changes()
        assert problems(bands) == []


def rewrite_all(bands, count):
    for id_ in range(count):
        bands.replace_one({"_id": id_}, {"x": random.randbytes(1_000_000)}, upsert=True)
