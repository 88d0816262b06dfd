"""Sharded collections, in front of a stand-in for a router; see `harness.router`."""

from __future__ import annotations

import pytest
from api_support import problems, raws
from bson import Timestamp
from harness.router import ILLEGAL_OPERATION, SHARD_KEY_NOT_FOUND, router
from pymongo import MongoClient
from pymongo import errors as driver

from versioned_collection import VersionedCollection, errors

HASHED = {"_id": "hashed"}


@pytest.fixture(scope="module")
def running(server):
    with router(server.uri) as one:
        yield one


@pytest.fixture(scope="module")
def connected(running):
    with MongoClient(running.uri) as client:
        yield client


@pytest.fixture
def sharded(running, connected, db):
    """The database of `db`, through the router, with a sharded collection ``bands``."""
    running.shard(f"{db.name}.bands", {"_id": 1})
    running.sent.clear()
    yield connected[db.name]
    running.is_uneven = False
    running.denied.clear()


def filled(database, count=20):
    bands = VersionedCollection(database, "bands")
    bands.insert_many([{"_id": number, "n": number} for number in range(count)])
    return bands


def tracked(database, count=20):
    bands = filled(database, count)
    bands.init("start")
    return bands


def key_of(running, database, name):
    return running.sharded.get(f"{database.name}.{name}")


def placed(running, database):
    return {name.partition(".")[2] for name in running.sharded if name.startswith(database.name)}


# -- the stand-in ----------------------------------------------------------------------------


def test_the_router_refuses_what_one_refuses(running, sharded):
    bands = filled(sharded)
    for refused, code in (
        (lambda: bands.update_one({"n": 1}, {"$set": {"n": 2}}), SHARD_KEY_NOT_FOUND),
        (lambda: bands.delete_one({"n": 1}), SHARD_KEY_NOT_FOUND),
        (lambda: bands.find_one_and_delete({"n": 1}), SHARD_KEY_NOT_FOUND),
        (lambda: bands.update_one({"_id": {"$gt": 1}}, {"$set": {"n": 2}}), SHARD_KEY_NOT_FOUND),
        (lambda: sharded.bands.aggregate([{"$out": "bands"}]), ILLEGAL_OPERATION),
    ):
        with pytest.raises(driver.OperationFailure) as caught:
            refused()
        assert caught.value.code == code
    with sharded.client.start_session() as session:
        session.start_transaction()
        with pytest.raises(driver.OperationFailure, match="over shards"):
            sharded.missing.insert_one({}, session=session)


def test_an_unsharded_collection_behind_it_is_tracked_as_ever(running, db, connected):
    bands = filled(connected[db.name])
    bands.init()
    assert placed(running, db) == set()
    assert running.named("shardCollection") == []
    bands.update_one({"_id": 1}, {"$set": {"n": -1}})
    bands.register("again")
    assert problems(bands) == []


# -- init ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [{"_id": 1}, HASHED], ids=["ranges", "hashed"])
def test_the_replica_is_sharded_like_the_collection(running, sharded, key):
    sharded.bands.create_index([("_id", "hashed")])
    running.sharded[f"{sharded.name}.bands"] = key
    bands = tracked(sharded)
    assert placed(running, sharded) == {"bands", "__replica_bands"}
    assert key_of(running, sharded, "__replica_bands") == HASHED
    assert raws(sharded["__replica_bands"]) == raws(bands)
    assert problems(bands) == []


def test_the_copy_goes_by_merge_into_a_sharded_collection(running, sharded):
    tracked(sharded)
    (sent,) = running.named("shardCollection")
    copies = [
        dict(stage["$merge"])
        for command in running.named("aggregate")
        for stage in command["pipeline"]
        if "$merge" in stage
    ]
    assert [f"{sharded.name}.{copy['into']}" for copy in copies] == [sent["shardCollection"]]
    assert copies[0]["whenMatched"] == "fail"
    assert dict(sent["key"]) == HASHED


def test_documents_that_a_copy_changes_or_leaves_out(running, sharded):
    bands = VersionedCollection(sharded, "bands")
    bands.insert_many([{"_id": None, "n": 0}, {"_id": 1.0}, {"_id": True}, {"_id": "a"}])
    bands.update_one({"_id": 1.0}, [{"$replaceWith": {"$literal": {"t": Timestamp(0, 0)}}}])
    bands.init()
    assert raws(sharded["__replica_bands"]) == raws(bands)
    bands.delete_one({"_id": None})
    bands.register("again")
    bands.checkout("main@0")
    assert bands.find_one({"_id": None}) == {"_id": None, "n": 0}
    assert problems(bands) == []


def test_all_trackers_are_there_before_a_transaction_needs_one(sharded):
    bands = tracked(sharded)
    names = {tracker for tracker in sharded.list_collection_names() if tracker.startswith("__")}
    assert {"__conflicts_bands", "__stash_bands", "__remotes_bands"} <= names
    bands.update_one({"_id": 1}, {"$set": {"n": -1}})
    bands.stash()
    bands.stash_apply()
    assert bands.find_one({"_id": 1}) == {"_id": 1, "n": -1}


@pytest.mark.parametrize("key", [{"n": 1}, {"_id": 1, "n": 1}, {"n": "hashed"}])
def test_another_shard_key_is_refused(running, sharded, key):
    filled(sharded)
    running.sharded[f"{sharded.name}.bands"] = key
    with pytest.raises(errors.NotSupported, match="sharded by") as caught:
        VersionedCollection(sharded, "bands").init()
    assert caught.value.collection == "bands"
    assert sharded.list_collection_names() == ["bands"]


def test_a_collation_is_refused(running, db, connected):
    database = connected[db.name]
    database.create_collection("bands", collation={"locale": "en", "strength": 1})
    running.shard(f"{db.name}.bands", {"_id": 1})
    with pytest.raises(errors.NotSupported, match="collation"):
        VersionedCollection(database, "bands").init()
    assert database.list_collection_names() == ["bands"]


@pytest.mark.parametrize(
    ("denied", "namespace"), [("find", "config.collections"), ("shardCollection", "__copy_")]
)
def test_a_missing_privilege_is_named(running, sharded, monkeypatch, denied, namespace):
    bands = filled(sharded)
    if denied == "find":
        monkeypatch.setattr(running, "_by_itself", denying_config(running._by_itself))
    else:
        running.denied.add(denied)
    with pytest.raises(errors.PermissionDenied, match="clusterManager") as caught:
        bands.init()
    assert caught.value.action == denied
    assert namespace in caught.value.namespace
    assert not bands.is_tracked()
    assert [one for one in sharded.list_collection_names() if "copy" in one] == []


def denying_config(answer):
    def denied(database, name, command):
        if database == "config":
            return {"ok": 0.0, "code": 13, "errmsg": "not authorized on config to execute"}
        return answer(database, name, command)

    return denied


# -- verbs -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_limits")
def test_verbs_in_steps(running, sharded):
    verbs_are_carried_out(running, sharded)


def test_verbs_in_transactions(running, sharded):
    verbs_are_carried_out(running, sharded)


def verbs_are_carried_out(running, sharded):
    """Go through verbs that write documents: the router refuses writes that name no shard."""
    bands = tracked(sharded)
    bands.create_branch("side")
    bands.update_many({"n": {"$lt": 8}}, {"$inc": {"n": 100}})
    bands.delete_one({"_id": 9})
    bands.register("side")
    bands.checkout(branch="main")
    bands.update_one({"_id": 15}, {"$set": {"n": -1}})
    bands.insert_one({"_id": "new"})
    bands.register("main")
    bands.merge("side")
    merged = raws(bands)
    assert len(merged) == 20
    bands.checkout("main@0")
    assert raws(sharded["__replica_bands"]) == raws(bands)
    bands.checkout(branch="main")
    assert raws(bands) == merged
    bands.delete_many({"n": {"$gt": 10}})
    bands.stash()
    bands.stash_apply()
    bands.discard_changes()
    bands.restore([15], "main@0")
    bands.register("restored")
    bands.undo()
    bands.discard_changes()
    assert raws(bands) == merged
    assert problems(bands) == []
    assert placed(running, sharded) == {"bands", "__replica_bands"}


def test_rename_and_drop(running, sharded):
    bands = tracked(sharded).rename("groups")
    assert placed(running, sharded) == {"groups", "__replica_groups"}
    bands.update_one({"_id": 1}, {"$set": {"n": -1}})
    bands.register("again")
    assert problems(bands) == []
    bands.drop()
    assert placed(running, sharded) == set()
    assert sharded.list_collection_names(filter={"name": {"$ne": "__vc_lock"}}) == []


def test_a_collection_that_was_dropped_comes_back(running, sharded):
    bands = tracked(sharded)
    bands.update_one({"_id": 1}, {"$set": {"n": -1}})
    bands.register("again")
    sharded.drop_collection("bands")
    bands.discard_changes()
    assert len(raws(bands)) == 20
    assert problems(bands) == []


def test_push_into_an_empty_sharded_collection(running, sharded, there_sharded):
    bands = tracked(sharded)
    bands.push(there_sharded)
    copy = VersionedCollection(there_sharded, "bands")
    assert raws(copy) == raws(bands)
    assert placed(running, there_sharded) == {"bands", "__replica_bands"}
    copy.update_one({"_id": 1}, {"$set": {"n": -1}})
    copy.register("again")
    assert problems(copy) == []


@pytest.fixture
def there_sharded(running, connected, db):
    database = connected[f"{db.name}_there"]
    running.shard(f"{database.name}.bands", {"_id": 1})
    yield database
    connected.drop_database(database.name)


def test_no_worktrees(sharded):
    bands = tracked(sharded)
    before = set(sharded.list_collection_names())
    with pytest.raises(errors.NotSupported, match="one shard"):
        bands.worktree("main@0", "elsewhere")
    assert set(sharded.list_collection_names()) == before


def test_reads_of_the_past(sharded):
    bands = tracked(sharded)
    bands.update_many({"n": {"$lt": 5}}, {"$set": {"n": -1}})
    bands.register("again")
    past = bands.at("main@0")
    assert past.count_documents({"n": {"$lt": 5}}) == 5
    assert [one["_id"] for one in past.find({}, sort=[("n", -1)]).limit(2)] == [19, 18]
    with pytest.raises(errors.NotSupported, match=r"\$group"):
        past.distinct("n")
    past.prepare(whole=True)
    assert sorted(past.distinct("n")) == list(range(20))


# -- what is noticed, and when ---------------------------------------------------------------


def test_the_time_is_asked_of_all_shards(running, sharded):
    bands = tracked(sharded)
    running.sent.clear()
    bands.status()
    assert running.named("ping") == []
    asked = {one["find"] for one in running.named("find") if one.get("singleBatch")}
    assert asked >= {"bands", "__metadata_bands"}


def test_a_change_at_the_time_of_another_shards(running, sharded):
    bands = tracked(sharded)
    running.is_uneven = True
    bands.update_one({"_id": 1}, {"$set": {"n": -1}})
    assert bands.status()["changes"] == {"inserted": 0, "updated": 1, "deleted": 0}
    bands.register("again")
    running.is_uneven = False
    assert not bands.has_changes()
    assert problems(bands) == []


def test_no_time_is_taken_for_our_own(sharded):
    bands = tracked(sharded)
    bands.update_one({"_id": 1}, {"$set": {"n": -1}})
    bands.register("again")
    bands.checkout("main@0")
    (state,) = sharded["__metadata_bands"].find()
    assert state["own"] == []
    assert not bands.has_changes()


def test_a_chunk_that_came_later_than_the_moment_to_read(running, sharded, monkeypatch):
    bands = tracked(sharded)
    monkeypatch.setattr(running, "_by_itself", stale(running._by_itself))
    with pytest.raises(errors.SnapshotUnavailable):
        bands.status()


def stale(answer):
    def refusing(database, name, command):
        if "readConcern" in command and command["readConcern"]["level"] == "snapshot":
            return {"ok": 0.0, "code": 250, "errmsg": "StaleChunkHistory"}
        return answer(database, name, command)

    return refusing
