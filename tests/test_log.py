"""get_log and log: reading the history."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from api_support import edit, grown, labels, step, tracked, untracked
from bson import SON, Int64

from versioned_collection import DocumentId, Version, VersionedCollection, errors
from versioned_collection.core.document import key_of


def test_get_log_from_the_tip_to_the_root(anydb):
    bands = grown(anydb)
    assert labels(bands.get_log()) == ["main@3", "main@2", "main@1", "main@0"]
    assert labels(bands.get_log(branch="side")) == ["side@1", "side@0", "main@1", "main@0"]
    bands.checkout(1)  # still from the tip
    assert labels(bands.get_log()) == ["main@3", "main@2", "main@1", "main@0"]
    with pytest.raises(errors.BranchNotFound):
        bands.get_log("nope")
    with pytest.raises(TypeError):
        bands.get_log(5)


def test_entries_say_what_they_are(anydb):
    bands = grown(anydb)
    entry = bands.get_log()[0]
    assert isinstance(entry, Version)
    assert (entry.version, entry.branch, entry.message) == (3, "main", "v3")
    assert isinstance(entry.timestamp, datetime)
    assert entry.number == entry.version
    assert entry.label == "main@3"
    assert entry.parents == (bands.resolve("main@2").id,)
    for attribute in ("id", "author", "metadata", "stats", "checksum", "fingerprint"):
        assert hasattr(entry, attribute)
    for part in ("main@3", "v3", str(entry.timestamp.year)):
        assert part in str(entry)


def test_str_names_the_author(db):
    bands = tracked(db)
    step(bands, 1, author="Ada")
    assert "Ada" in str(bands.get_log()[0])
    step(bands, 2, author={"name": "Grace", "email": "g@example.org"})
    assert "Grace <g@example.org>" in str(bands.get_log()[0])
    step(bands, 3, author={"team": "x"})
    assert "team" in str(bands.get_log()[0])


def test_entries_can_be_kept_compared_and_pickled(db):
    entry = tracked(db).get_log()[0]
    assert pickle.loads(pickle.dumps(entry)) == entry
    assert copy.deepcopy(entry) == entry
    assert len({entry, copy.deepcopy(entry)}) == 1
    assert repr(entry)


def test_entries_compare_what_was_passed_by_its_bytes(db):
    bands, facts = untracked(db), {"k": [float("nan"), 1, 0.0]}
    bands.init("start", author=facts, metadata=facts)
    entry = bands.resolve("HEAD")
    assert entry == bands.resolve("HEAD")
    assert bands.get_log() == bands.get_log()
    assert entry != "start"
    for other in ([float("nan"), True, 0.0], [float("nan"), 1.0, 0.0], [float("nan"), 1, -0.0]):
        assert replace(entry, stored_metadata={"k": other}) != entry
        assert replace(entry, stored_author={"k": other}) != entry


def test_times_do_not_run_backwards(anydb):
    times = [entry.timestamp for entry in grown(anydb).get_log()]
    assert times == sorted(times, reverse=True)


def test_untracked(anydb):
    bands = untracked(anydb)
    assert bands.get_log() == []
    assert bands.get_log("main") == []
    assert list(bands.log()) == []


def test_same_history_has_equal_logs(db, client):
    bands = grown(db)
    with_copy = client[db.name + "_copy"]
    try:
        for name in db.list_collection_names():
            db[name].aggregate([{"$out": {"db": with_copy.name, "coll": name}}])
        assert VersionedCollection(with_copy, "bands").get_log() == bands.get_log()
    finally:
        client.drop_database(with_copy)


def test_log_starts_anywhere(anydb):
    bands = grown(anydb)
    assert labels(bands.log()) == ["main@3", "main@2", "main@1", "main@0"]
    assert labels(bands.log("side~1")) == ["side@0", "main@1", "main@0"]
    assert labels(bands.log("v1")) == ["main@1", "main@0"]
    assert labels(bands.log(limit=2)) == ["main@3", "main@2"]
    assert labels(bands.log(limit=0)) == []
    bands.checkout(1)
    assert labels(bands.log()) == ["main@1", "main@0"]


def test_log_of_an_author(anydb):
    bands = tracked(anydb)
    step(bands, 1, author="Ada")
    step(bands, 2, author={"name": "Grace", "email": "g@example.org"})
    step(bands, 3)
    step(bands, 4, author="Ada")
    assert labels(bands.log(author="Ada")) == ["main@4", "main@1"]
    assert labels(bands.log(author="Ada", limit=1)) == ["main@4"]
    assert labels(bands.log(author="Grace")) == ["main@2"]
    assert labels(bands.log(author="g@example.org")) == ["main@2"]
    assert labels(bands.log(author="nobody")) == []


def test_log_between_times(db):
    bands = grown(db)
    moment = datetime.now(timezone.utc) + timedelta(hours=1)
    assert labels(bands.log(since=moment)) == []
    assert len(list(bands.log(until=moment))) == 4
    third = bands.resolve("main@2").timestamp
    assert "main@2" in labels(bands.log(since=third, until=third))
    aware = third.replace(tzinfo=timezone.utc).astimezone(timezone(timedelta(hours=5)))
    assert labels(bands.log(since=aware)) == labels(bands.log(since=third))


def test_log_of_a_document(anydb):
    bands = VersionedCollection(anydb, "bands")
    ids = [1, "1", True, 2.5, None, SON([("a", 1), ("b", 2)])]
    bands.insert_many([{"_id": id_} for id_ in ids])
    bands.init()
    for id_ in ids:
        bands.update_one({"_id": {"$eq": id_}}, {"$set": {"x": str(id_)}})
        bands.register(repr(id_))
    for id_ in ids:
        if id_ is not None:
            assert [v.message for v in bands.log(document=id_)] == [repr(id_), "Initial version"]
    assert list(bands.log(document="unknown")) == []


def test_log_of_a_document_ends_where_the_document_began(anydb):
    bands = grown(anydb)  # document 1 changes in each version, 2 and 3 in none
    bands.insert_one({"_id": "late"})
    bands.register("inserted")
    bands.checkout(branch="side")
    edit(bands, "s2", 3)
    bands.register("on side alone")
    bands.insert_one({"_id": "uncommitted"})
    whole = [version.label for version in bands.log(document=1)]
    assert whole == ["side@1", "side@0", "main@1", "main@0"]
    assert labels(bands.log(document=2)) == ["main@0"]
    assert labels(bands.log(document=3)) == ["side@2", "main@0"]
    assert labels(bands.log("main", document=3)) == ["main@0"]
    assert labels(bands.log("main", document="late")) == ["main@4"]
    assert labels(bands.log(document="late")) == []
    assert labels(bands.log(document="uncommitted")) == []
    assert labels(bands.log("main@0", document=1)) == ["main@0"]
    assert labels(bands.log(document=1, limit=2)) == whole[:2]
    assert labels(bands.log(document=2, author="Ada")) == []
    for version in ("main", "side", "main@0"):
        for id_ in (1, 2, 3, "late"):
            found = labels(bands.log(version, document=id_))
            assert found == [one.version.label for one in bands.history(id_, version)]


def test_ids_that_the_server_takes_for_the_same_are_of_one_document(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1}, {"_id": Int64(2)}, {"_id": 3.0}])
    bands.init()
    for id_ in (1, 2, 3):
        bands.update_one({"_id": id_}, {"$set": {"x": 1}})
        bands.register(str(id_))
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": 1.0})
    bands.register("another type")
    for id_ in (1, Int64(1), 1.0):
        assert labels(bands.log(document=id_)) == ["main@4", "main@1", "main@0"]
    for id_ in (2, 2.0):
        assert labels(bands.log(document=id_)) == ["main@2", "main@0"]
    assert labels(bands.log(document=DocumentId(key_of(1)))) == ["main@4", "main@1", "main@0"]
    assert labels(bands.log(document=DocumentId(key_of(1.0)))) == ["main@4"]
    assert labels(bands.log(document=DocumentId(key_of(2.0)))) == []


def test_wrong_arguments(db):
    bands = grown(db)
    with pytest.raises(errors.InvalidCollectionVersion):
        list(bands.log("nope"))
    for wrong in ({"limit": -1}, {"limit": "x"}, {"limit": 1.5}, {"since": "2026-01-31"},
                  {"until": 5}, {"author": 5}):  # fmt: skip
        with pytest.raises((ValueError, TypeError)) as caught:
            list(bands.log(**wrong))
        assert isinstance(caught.value, errors.VersioningError), wrong


def test_another_client_drops_the_collection_meanwhile(anydb, monkeypatch):
    monkeypatch.setattr("versioned_collection.aio.threads._PORTION", 1)  # which reads ahead
    bands = tracked(anydb)
    for turn in range(70):  # more entries than are read at once
        step(bands, turn)
    log = bands.log()
    assert next(log).number == 70
    VersionedCollection(anydb, "bands").drop()
    with pytest.raises(errors.CollectionNotTracked):
        list(log)


def test_uncommitted_changes_are_no_entry(anydb):
    bands = tracked(anydb)
    edit(bands, 1)
    assert len(bands.get_log()) == 1
