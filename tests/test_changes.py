"""changes: the machine-readable diff."""

from __future__ import annotations

import gc
import threading
from contextvars import ContextVar

import bson
import pytest
from api_support import edit, everything, grown, tracked
from pymongo import MongoClient, monitoring, timeout

from versioned_collection import VersionedCollection, collection, errors
from versioned_collection.verbs import diff


def summary(changes):
    return sorted((repr(change.document_id), change.op) for change in changes)


def test_working_copy_by_default(anydb):
    bands = tracked(anydb)
    assert list(bands.changes()) == []
    edit(bands, 5)
    bands.insert_one({"_id": "new", "a": 1})
    bands.delete_one({"_id": 3})
    assert summary(bands.changes()) == [("'new'", "insert"), ("1", "update"), ("3", "delete")]
    by_id = {change.document_id: change for change in bands.changes()}
    (row,) = by_id[1].rows
    assert tuple(row.path) == ("mark",)
    assert row.action == "dictionary_item_added"
    assert row.value == 5
    assert by_id["new"].old is None
    assert bson.decode(by_id["new"].new) == {"_id": "new", "a": 1}
    assert by_id[3].new is None
    assert bson.decode(by_id[3].old)["name"] == "Suede"


def test_between_two_revisions(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted, and not asked for")

    def marks(a, b):
        (change,) = bands.changes(a, b)
        assert change.op == "update"
        return [bson.decode(raw).get("mark") for raw in (change.old, change.new)]

    assert marks("main@0", "main@2") == [None, 2]
    assert marks("main@2", "main@0") == [2, None]
    assert marks("side", "main~2") == ["s1", 1]
    assert marks("main@2", "side@0") == [2, "s0"]
    assert marks("HEAD", "side") == [3, "s1"]
    assert marks("side", "HEAD") == ["s1", 3]
    assert marks(1, (0, "side")) == [1, "s0"]
    assert list(bands.changes("v1", "main@1")) == []
    assert list(bands.changes("HEAD", "HEAD")) == []
    (change,) = bands.changes("side")
    assert bson.decode(change.new)["mark"] == "uncommitted, and not asked for"


def test_rows_are_bidirectional_and_nested(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"since.year": 1979, "members.0": "J"}})
    bands.register("nested")
    (change,) = bands.changes("HEAD~1", "HEAD")
    rows = {tuple(row.path): row for row in change.rows}
    assert rows["since", "year"].value == 1979
    assert rows["since", "year"].old_value == 1978
    (back,) = bands.changes("HEAD", "HEAD~1")
    rows = {tuple(row.path): row for row in back.rows}
    assert rows["since", "year"].value == 1978
    assert rows["since", "year"].old_value == 1979


def test_changed_and_changed_back_on_the_way(anydb):
    bands = tracked(anydb)
    bands.insert_one({"_id": "guest"})
    bands.register("came")
    bands.delete_one({"_id": "guest"})
    bands.register("went")
    assert list(bands.changes(0, 2)) == []
    assert summary(bands.changes(0, 1)) == [("'guest'", "insert")]
    assert summary(bands.changes(1, 2)) == [("'guest'", "delete")]


def test_ids_of_all_kinds(anydb):
    bands = VersionedCollection(anydb, "bands")
    ids = [1, "1", True, {"a": 1}, {"a": True}, b"1", None, 2.5]
    bands.insert_many([{"_id": id_} for id_ in ids])
    bands.init()
    bands.update_many({}, {"$set": {"x": 1}})
    found = [change.document_id for change in bands.changes()]
    assert sorted(map(repr, found)) == sorted(map(repr, ids))


def test_order_of_fields_alone_is_a_change(db):
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1, "a": 1, "b": 2})
    bands.init()
    bands.replace_one({"_id": 1}, {"b": 2, "a": 1})
    (change,) = bands.changes()
    assert change.op == "update"
    assert list(bson.decode(change.new)) == ["_id", "b", "a"]


def test_other_verbs_may_run_while_iterating(anydb):
    bands = tracked(anydb, lease_wait_seconds=2)
    bands.update_many({}, {"$set": {"x": 1}})
    for change in bands.changes():
        assert bands.has_changes()
        assert change.document_id in bands.diff()
    abandoned = bands.changes()
    next(abandoned)
    assert bands.register("while an iterator lives")


def test_errors(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    for arguments in (("nope",), ("HEAD", "nope"), (9,), ("HEAD", 9)):
        with pytest.raises(errors.InvalidCollectionVersion):
            list(bands.changes(*arguments))
    with pytest.raises(TypeError):
        list(bands.changes(1.5))
    assert everything(anydb) == before


class Limits(monitoring.CommandListener):
    """Notes for each write to the lease whether it had a time limit."""

    def __init__(self):
        self.found = []
        self.extended = threading.Event()

    def started(self, event):
        if event.command.get(event.command_name) == "__vc_lock":
            self.found.append("maxTimeMS" in event.command)
            if threading.current_thread().name.startswith("lease-"):
                self.extended.set()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture
def limits():
    return Limits()


@pytest.fixture
def streamed(server, db, limits, monkeypatch):
    """main@0..3, whose changes are computed under the lease as they are asked for.

    Of the synchronous class in any case, whose client and whose context are those of the test.
    """
    grown(db)
    monkeypatch.setattr("versioned_collection.verbs.diff._FEW", 1)
    with MongoClient(server.uri, event_listeners=[limits]) as client:
        yield collection.VersionedCollection(client[db.name], "bands", lease_seconds=1)


asking = ContextVar("asking", default="nobody")


def test_the_context_is_that_of_whoever_asks_for_the_next_change(streamed, monkeypatch):
    """The driver keeps the time limit of `pymongo.timeout` in the context."""
    asked = []
    compute = diff._change

    def noting(*arguments):
        asked.append(asking.get())
        return compute(*arguments)

    monkeypatch.setattr(diff, "_change", noting)
    before = asking.set("who began")
    found = streamed.changes("main@0", "main@1")
    asking.reset(before)
    assert len(list(found)) == 1
    assert asked == ["nobody"]
    found = streamed.changes("main@0", "main@1")
    before = asking.set("who went on")
    assert len(list(found)) == 1
    asking.reset(before)
    assert asked == ["nobody", "who went on"]


def test_a_lease_outlives_the_time_limit_under_which_it_was_taken(streamed, limits):
    with timeout(60):
        found = streamed.changes("main@0", "main@1")
        limits.found.clear()
        assert limits.extended.wait(20)
        assert limits.found[0] is False
    found.close()


def test_a_lease_is_free_once_changes_of_which_none_was_asked_for_are_closed(streamed, db):
    found = streamed.changes("main@0", "main@1")
    found.close()
    assert not VersionedCollection(db, "bands", lease_wait_seconds=0).has_changes()
    abandoned = [streamed.changes("main@0", "main@1")]
    abandoned.append(abandoned)  # which only the garbage collector finds
    del abandoned
    gc.collect()
    assert not VersionedCollection(db, "bands", lease_wait_seconds=0).has_changes()
