"""register: record the present documents as the next version."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from api_support import edit, everything, grown, labels, mark, problems, raws, step, tracked
from bson import Int64
from pymongo import InsertOne, UpdateOne

from versioned_collection import VersionedCollection


def test_numbers_count_from_0_per_branch(anydb):
    bands = grown(anydb)
    assert labels(bands.get_log()) == ["main@3", "main@2", "main@1", "main@0"]
    assert labels(bands.get_log("side")) == ["side@1", "side@0", "main@1", "main@0"]
    assert problems(bands) == []


def test_true_when_registered_and_clean_afterwards(anydb):
    bands = tracked(anydb)
    edit(bands, 1)
    assert bands.register("one") is True
    assert not bands.has_changes()
    assert bands.version == 1


def test_false_when_nothing_changed(anydb):
    bands = tracked(anydb)
    assert not bands.has_changes()  # a first look may be noted
    before = everything(anydb)
    assert bands.register("nothing") is False
    assert bands.version == 0
    assert everything(anydb) == before


def test_false_when_changed_and_changed_back(anydb):
    bands = tracked(anydb)
    original = bands.find_one({"_id": 1})
    edit(bands, 1)
    bands.replace_one({"_id": 1}, original)
    bands.insert_one({"_id": "new"})
    bands.delete_one({"_id": "new"})
    assert bands.register("nothing") is False
    assert not bands.has_changes()


def test_untracked_is_false_and_creates_nothing(anydb):
    assert VersionedCollection(anydb, "bands").register("x") is False
    assert anydb.list_collection_names() == []


def test_every_kind_of_write_is_noticed(anydb):
    bands = tracked(anydb)
    writes = [
        lambda: bands.insert_one({"_id": 10}),
        lambda: bands.insert_many([{"_id": 11}, {"_id": 12}]),
        lambda: bands.insert_one({"no": "id"}),
        lambda: bands.update_one({"name": "Blur"}, {"$set": {"a": 1}}),
        lambda: bands.update_one({"_id": 13}, {"$set": {"a": 1}}, upsert=True),
        lambda: bands.update_one({"q": 1}, {"$set": {"a": 1}}, upsert=True),
        lambda: bands.update_one({"q": 2}, {"$set": {"a": 1}}, True),
        lambda: bands.update_many({}, {"$inc": {"n": 1}}),
        lambda: bands.update_many({"q": 3}, {"$set": {"a": 1}}, upsert=True),
        lambda: bands.replace_one({"_id": 2}, {"r": 1}),
        lambda: bands.replace_one({"q": 4}, {"q": 4}, upsert=True),
        lambda: bands.find_one_and_update({"_id": 3}, {"$set": {"f": 1}}),
        lambda: bands.find_one_and_update({"q": 5}, {"$set": {"f": 1}}, upsert=True),
        lambda: bands.find_one_and_replace({"_id": 3}, {"f": 2}),
        lambda: bands.find_one_and_replace({"q": 6}, {"f": 2}, upsert=True),
        lambda: bands.find_one_and_delete({"_id": 10}),
        lambda: bands.delete_one({"_id": 11}),
        lambda: bands.delete_many({"n": {"$gt": 0}}),
        lambda: bands.bulk_write([InsertOne({"_id": 20}), InsertOne({"b": 1})]),
        lambda: bands.bulk_write(
            [UpdateOne({"_id": 20}, {"$set": {"b": 1}}), UpdateOne({"q": 7}, {"$set": {"b": 1}},
             upsert=True)]
        ),
        lambda: bands.aggregate([{"$match": {"_id": 20}}, {"$addFields": {"m": 1}},
                                 {"$merge": {"into": "bands"}}]),
        lambda: bands.aggregate(pipeline=[{"$match": {"_id": 20}}, {"$set": {"m": 2}},
                                          {"$merge": "bands"}]),
        lambda: bands.aggregate_raw_batches([{"$match": {"_id": 20}}, {"$set": {"m": 3}},
                                             {"$merge": "bands"}]),
        lambda: bands.aggregate([{"$match": {"_id": 20}}, {"$set": {"m": 4}}, {"$out": "bands"}]),
    ]  # fmt: skip
    for number, write in enumerate(writes):
        done = write()
        if hasattr(done, "__next__"):  # Motor begins once results are asked for
            list(done)
        assert bands.has_changes(), number
        assert bands.register(f"write {number}") is True, number
    assert problems(bands) == []
    last = raws(bands)
    bands.checkout(0)
    bands.checkout(branch="main")
    assert raws(bands) == last


def test_insert_many_that_fails_midway(anydb):
    bands = tracked(anydb)
    with pytest.raises(Exception, match="duplicate key"):
        bands.insert_many([{"_id": 10}, {"_id": 11}, {"_id": 1}, {"_id": 12}])
    assert bands.status()["changes"] == {"inserted": 2, "updated": 0, "deleted": 0}
    assert bands.register("both")
    assert bands.resolve("HEAD").stats["inserted"] == 2


def test_right_after_a_large_update_nothing_is_missed(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": n, "a": 0} for n in range(5_000)])
    bands.init()
    bands.update_many({}, {"$set": {"a": 1}})
    assert bands.register("all") is True
    assert bands.resolve("HEAD").stats == {"inserted": 0, "updated": 5_000, "deleted": 0}
    bands.checkout(0)
    assert bands.count_documents({"a": 0}) == 5_000


@pytest.mark.blocking
def test_aborted_transaction_is_no_change(db):
    bands = tracked(db)
    with db.client.start_session() as session:
        session.start_transaction()
        bands.update_one({"_id": 1}, {"$set": {"a": 1}}, session=session)
        session.abort_transaction()
    assert not bands.has_changes()
    assert bands.register("nothing") is False


def test_writes_of_other_clients_count(db):
    bands = tracked(db)
    db["bands"].update_one({"_id": 1}, {"$set": {"a": 1}})
    assert bands.register("theirs") is True


# -- branch_name -------------------------------------------------------------------------


def test_attached_head_ignores_branch_name(anydb):
    bands = tracked(anydb)
    edit(bands, 1)
    assert bands.register("one", branch_name="other")
    edit(bands, 2)
    assert bands.register("two", "main")
    edit(bands, 3)
    assert bands.register("three", "__x")
    assert bands.branches() == {"main"}
    assert (bands.version, bands.branch) == (3, "main")


def test_detached_head_needs_a_branch_name(anydb):
    bands = grown(anydb)
    bands.checkout(1)
    edit(bands, "x")
    before = (bands.status(), everything(anydb))
    with pytest.raises(ValueError, match="detached"):
        bands.register("x")
    for taken in ("main", "side"):
        with pytest.raises(ValueError, match="already"):
            bands.register("x", taken)
    for malformed in ("__x", "", "HEAD"):
        with pytest.raises(ValueError, match="name"):
            bands.register("x", malformed)
    assert (bands.status(), everything(anydb)) == before
    assert bands.register("x", branch_name="fresh") is True
    assert (bands.version, bands.branch, bands.is_detached()) == (0, "fresh", False)
    assert labels(bands.get_log()) == ["fresh@0", "main@1", "main@0"]
    assert problems(bands) == []


def test_detached_without_changes_creates_no_branch(anydb):
    bands = grown(anydb)
    bands.checkout(1)
    assert bands.register("x", "fresh") is False
    assert bands.branches() == {"main", "side"}
    assert bands.is_detached()


def test_labels_stay_unique_when_a_branch_name_comes_back(anydb):
    bands = tracked(anydb)
    bands.create_branch("side")
    step(bands, 1)
    bands.tag("kept")
    bands.checkout(branch="main")
    bands.delete_branch("side")
    step(bands, 2)
    bands.checkout(0)
    edit(bands, 3)
    assert bands.register("again", "side")
    assert bands.resolve("kept").label == "side@0"
    assert bands.resolve("side").label == "side@1"
    assert problems(bands) == []


def test_two_branches_from_one_version(anydb):
    bands = tracked(anydb)
    bands.create_branch("a")
    step(bands, "a")
    bands.checkout("main")
    bands.create_branch("b")
    step(bands, "b")
    for branch in ("a", "b"):
        bands.checkout(branch=branch)
        assert mark(bands) == branch
        assert bands.version == 0
        assert labels(bands.get_log()) == [f"{branch}@0", "main@0"]
    assert problems(bands) == []


# -- what is recorded --------------------------------------------------------------------


def test_message_is_kept_exactly(db):
    bands = tracked(db)
    messages = ["", "one line", "two\nlines\r\n", "  blanks  ", "Ünïcödé 🎸 \u202e",
                "nul \x00 inside", "$set", "a" * 100_000]  # fmt: skip
    for number, message in enumerate(messages):
        edit(bands, number)
        bands.register(message)
        assert bands.resolve("HEAD").message == message
    assert [entry.message for entry in bands.get_log()][:-1] == messages[::-1]
    assert problems(bands) == []


def test_author_and_metadata_are_kept_exactly(anydb):
    bands = tracked(anydb)
    authors = [None, "Ada", {"name": "Ada", "email": "ada@example.org"}, {"$id": 1, "a.b": {}}]
    metadata = [
        {},
        {"z": 1, "a": {"$set": 1, "a.b": 2, "": 3}, "list": [1, 2.0, None, {"b": 1}]},
        {"long": Int64(1), "when": datetime(2020, 1, 2, 3, 4, 5, 6000)},
        {"_id": 1, "message": "x", "format": 99},
    ]
    for author, facts in zip(authors, metadata, strict=True):
        step(bands, str(author), author=author, metadata=facts)
        found = bands.resolve("HEAD")
        assert found.author == author
        assert found.metadata == facts
        assert list(found.metadata) == list(facts)
        assert list(map(type, found.metadata.values())) == list(map(type, facts.values()))
    assert problems(bands) == []


def test_dates_follow_the_collections_time_zone_setting(db):
    aware_options = db.codec_options.with_options(tz_aware=True)
    bands = tracked(db)
    when = datetime(2020, 1, 2, tzinfo=timezone.utc)
    step(bands, 1, metadata={"when": when})
    naive = bands.resolve("HEAD")
    assert naive.timestamp.tzinfo is None
    assert naive.metadata["when"] == when.replace(tzinfo=None)
    aware = VersionedCollection(db, "bands", codec_options=aware_options).resolve("HEAD")
    assert aware.timestamp == naive.timestamp.replace(tzinfo=timezone.utc)
    assert aware.metadata["when"] == when
    assert problems(bands) == []


def test_stats_count_documents(anydb):
    bands = tracked(anydb)
    bands.insert_many([{"_id": 10}, {"_id": 11}])
    bands.update_many({"_id": {"$in": [1, 2]}}, {"$set": {"a": 1}})
    bands.delete_one({"_id": 3})
    bands.register("mixed")
    assert bands.resolve("HEAD").stats == {"inserted": 2, "updated": 2, "deleted": 1}


def test_equal_content_has_equal_fingerprints(anydb):
    bands = tracked(anydb)
    edit(bands, 1)
    bands.register("on")
    bands.update_one({"_id": 1}, {"$unset": {"mark": 1}})
    bands.register("off")
    start, on, off = (bands.resolve(n) for n in range(3))
    assert start.fingerprint == off.fingerprint != on.fingerprint
    assert len({start.checksum, on.checksum, off.checksum}) == 3


# -- what Python takes for equal ---------------------------------------------------------


def test_differences_that_python_or_json_would_miss(db):
    bands = VersionedCollection(db, "bands")
    pairs = [(1, 1.0), (1, Int64(1)), (1, True), (0.0, -0.0), ("1", 1), (None, "missing"),
             ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([1, 2], [2, 1]), (b"x", "x"),
             (float("nan"), 0.0), ({"__x": 1}, {"__x": 2})]  # fmt: skip
    bands.insert_many([{"_id": n, "v": old} for n, (old, _) in enumerate(pairs)])
    bands.init()
    before = raws(bands)
    for n, (_, new) in enumerate(pairs):
        bands.replace_one({"_id": n}, {} if new == "missing" else {"v": new})
        assert bands.status()["changes"]["updated"] == n + 1
    after = raws(bands)
    assert bands.register("changed") is True
    bands.checkout(0)
    assert raws(bands) == before
    bands.checkout(1)
    assert raws(bands) == after


def test_ids_that_python_takes_for_equal(anydb):
    bands = VersionedCollection(anydb, "bands")
    ids = [1, "1", True, {"a": 1}, {"a": True}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, None,
           b"1", Int64(2), 3.5]  # fmt: skip
    bands.insert_many([{"_id": id_, "n": n} for n, id_ in enumerate(ids)])
    bands.init()
    first = raws(bands)
    bands.update_many({}, {"$inc": {"n": 100}})
    bands.delete_one({"_id": True})
    bands.register("changed")
    assert bands.resolve("HEAD").stats == {
        "inserted": 0, "updated": len(ids) - 1, "deleted": 1,
    }  # fmt: skip
    second = raws(bands)
    bands.checkout(0)
    assert raws(bands) == first
    bands.checkout(1)
    assert raws(bands) == second
    assert problems(bands) == []


def test_id_replaced_by_a_numerically_equal_one(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_one({"_id": 1, "v": "int"})
    bands.init()
    first = raws(bands)
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": 1.0, "v": "double"})
    second = raws(bands)
    assert bands.register("double")
    bands.checkout(0)
    assert raws(bands) == first
    bands.checkout(1)
    assert raws(bands) == second
    assert problems(bands) == []
