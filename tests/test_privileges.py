"""Access control: readWrite on the database is enough, and what is missing is named."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from api_support import edit, everything, grown, mark, problems, raws, step, untracked
from harness.trap import shrink_limits
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from versioned_collection import VersionedCollection, embedded, errors


@pytest.fixture(scope="module", params=["replica_set", "standalone"])
def guarded(request) -> Iterator[embedded.Server]:
    """A server with access control and a user of each kind."""
    replica_set = request.param == "replica_set"
    with embedded.start(auth=True, replica_set=replica_set, durable=not replica_set) as server:
        with MongoClient(server.uri) as root:
            for user, roles in (
                ("writer", ["readWrite"]),
                ("reader", ["read"]),
                ("admin", ["readWrite", "dbAdmin"]),
            ):
                roles_here = [{"role": role, "db": "music"} for role in roles]
                root.admin.command("createUser", user, pwd="secret", roles=roles_here)
        yield server


@pytest.fixture
def connect(guarded) -> Iterator[Any]:
    """Open the database as a user; it is dropped afterwards."""
    clients = []

    def as_user(user):
        clients.append(MongoClient(guarded.uri_for(user, "secret")))
        return clients[-1]["music"]

    yield as_user
    for client in clients:
        client.close()
    with MongoClient(guarded.uri) as root:
        root.drop_database("music")


def test_read_write_is_enough_for_everything(connect):
    db = connect("writer")
    bands = grown(db)
    edit(bands, "x")
    assert bands.status()["changed"]
    assert bands.diff()
    assert list(bands.changes("side"))
    assert bands.stash()
    assert bands.stash_apply()
    bands.stash()
    assert bands.stash_discard()
    assert bands.discard_changes()
    bands.update_one({"_id": 1}, {"$set": {"v": "x" * 9_000_000}})
    bands.register("large", author="Ada")
    bands.checkout("main~1")
    bands.checkout("main")
    bands.create_branch("fresh")
    bands.rename_branch("fresh", "new")
    bands.checkout(branch="main")
    bands.delete_branch("new")
    bands.delete_tag("v1")
    bands.delete_version_subtree(0, "side")
    assert bands.at("main@1").find_one(1)["mark"] == 1
    assert bands.restore([1], "main@1").updated == 1
    assert bands.import_(io.BytesIO(bson.encode({"_id": 1, "file": True})), "bson").updated == 1
    assert bands.history(1)
    assert bands.blame(1)
    db["bands"].aggregate([{"$match": {"_id": 1}}, {"$out": "bands"}])
    assert bands.register("out")
    assert bands.size()["total"] > 0
    assert bands.gc()["overlays"] == 1
    bands.publish_view("main@1", "shown")
    bands.stash()
    assert bands.purge([1], reason="asked for").documents == 1
    assert bands.purge(paths=["name"], reason="asked for").documents == 2
    bands.drop_view("shown")
    assert problems(bands) == []
    groups = bands.rename("groups")
    assert groups.branches() == {"main"}
    db["groups"].drop()
    assert groups.discard_changes()
    assert problems(groups) == []
    groups.drop()
    assert groups.status() == {"tracked": False}
    for mode in ("scan", "write_through"):
        other = untracked(db, mode, capture=mode)
        other.init()
        step(other, 1)
        other.checkout(0)
        other.delete_version_subtree(0)


def test_reader_may_look_and_is_told_what_is_missing(connect):
    db = connect("writer")
    bands = grown(db)
    before = everything(db)
    reading = VersionedCollection(connect("reader"), "bands")
    assert (reading.version, reading.branch) == (3, "main")
    assert reading.branches() == {"main", "side"}
    assert reading.get_log()[0].label == "main@3"
    assert reading.resolve("v1").label == "main@1"
    assert set(reading.tags()) == {"v1"}
    assert len(list(reading.log())) == 4
    for verb in (
        lambda: reading.register("x"),
        lambda: reading.checkout(0),
        lambda: reading.create_branch("x"),
        lambda: reading.tag("x"),
        lambda: reading.discard_changes(),
        lambda: reading.stash(),
        lambda: reading.drop(),
        lambda: reading.rename("x"),
        lambda: reading.delete_version_subtree(1),
    ):
        with pytest.raises(errors.PermissionDenied) as caught:
            verb()
        assert caught.value.action
        assert caught.value.action in str(caught.value)
        assert "readWrite" in str(caught.value)
    with pytest.raises(errors.PermissionDenied):
        VersionedCollection(connect("reader"), "songs").init()
    assert everything(db) == before
    assert bands.checkout(0)
    assert "secret" not in str(caught.value)


def test_reader_reads_what_is_there_already(connect):
    bands = grown(connect("writer"))
    bands.at("main@1").prepare()
    bands.at("HEAD").prepare(whole=True)  # which a standalone server needs
    reading = VersionedCollection(connect("reader"), "bands")
    assert reading.at("HEAD").find_one(1)["mark"] == 3
    assert reading.at("main@1").find({"mark": 1}).sort("name").to_list()[0]["_id"] == 1
    assert reading.at("main@1").count_documents({}) == 3
    with pytest.raises(errors.PermissionDenied, match="beside the collection") as caught:
        reading.at("main@0").find_one()
    assert caught.value.action
    with pytest.raises(errors.PermissionDenied):
        reading.restore([1], "main@1")
    if reading._repository.has_transactions:  # else they take the lease
        assert len(list(reading.history(1))) == 4
        assert reading.blame(1)


def test_reader_exports(connect, tmp_path):
    bands = grown(connect("writer"))
    reading = VersionedCollection(connect("reader"), "bands")
    reading.export(tmp_path / "bands.bundle")
    for revision in ("main@0", "side"):
        out = io.BytesIO()
        assert reading.export(out, revision, "bson").documents == 3
    copy = VersionedCollection.clone(tmp_path / "bands.bundle", bands.database, "copy")
    assert raws(copy) == raws(bands)
    with pytest.raises(errors.PermissionDenied):
        reading.import_(io.BytesIO(bson.encode({"_id": 1})), "bson")


def test_reader_pushes(guarded, connect):
    bands = grown(connect("writer"))
    before = everything(bands.database)
    reading = VersionedCollection(connect("reader"), "bands")
    with MongoClient(guarded.uri) as root:
        away = VersionedCollection(root["away"], "bands")
        assert reading.push(away, all=True)
        assert raws(away) == raws(bands)
        reading.push(away, "side", delete=True)
        assert away.branches() == {"main"}
        assert reading.push(away, "side")
        assert away == bands
        assert everything(bands.database) == before
        bands.reset("main~1")
        with pytest.raises(errors.InvalidOperation, match="last seen"):
            reading.push(away, force=True)
        edit(bands, "stashed")
        bands.stash()
        step(away, 5)
        before = everything(away.database)
        with pytest.raises(errors.PermissionDenied):
            reading.push(away, force=True)
        assert everything(away.database) == before
        assert problems(away) == []
        root.drop_database("away")


def test_the_right_to_bypass_a_validator_is_named(connect):
    db = connect("admin")
    bands = grown(db)
    bands.checkout(1)
    db.command("collMod", "bands", validator={"mark": {"$type": "int"}})
    clean = raws(bands)
    writing = VersionedCollection(connect("writer"), "bands")
    with pytest.raises(errors.PermissionDenied, match="bypassDocumentValidation") as caught:
        writing.checkout("side")
    assert caught.value.action == "bypassDocumentValidation"
    assert raws(bands) == clean
    assert (writing.version, writing.is_detached()) == (1, True)
    assert problems(writing) == []
    assert bands.checkout("side")
    assert mark(bands) == "s1"
    assert problems(bands) == []


def test_a_copy_takes_the_right_to_bypass_a_validator(connect, tmp_path):
    db, file = connect("admin"), tmp_path / "bands.bundle"
    bands = grown(db)
    db.command("collMod", "bands", validator={"mark": {"$type": "int"}})
    bands.export(file)
    bands.drop()
    copy = VersionedCollection(connect("writer"), "bands")
    with pytest.raises(errors.PermissionDenied, match=r"not tracked.*bypassDocumentValidation"):
        copy.pull(file)
    assert not copy.is_tracked()
    assert "bands" not in db.list_collection_names()
    assert bands.pull(file)
    assert problems(bands) == []


def test_a_wrong_password_is_the_drivers_error(guarded):
    with (
        MongoClient(guarded.uri_for("writer", "wrong")) as client,
        pytest.raises((OperationFailure, errors.VersioningError)) as caught,
    ):
        VersionedCollection(client["music"], "bands").status()
    assert "wrong" not in str(caught.value)


def in_order(changes):
    return sorted(changes, key=repr)


def test_reader_looks_at_what_is_uncommitted(connect):
    bands = grown(connect("writer"))
    reading = VersionedCollection(connect("reader"), "bands")
    if not reading._repository.has_transactions:
        for verb in (reading.status, reading.has_changes, reading.diff, reading.changes):
            with pytest.raises(errors.PermissionDenied, match="readWrite"):
                verb()
        return
    assert not reading.has_changes()
    assert reading.status() == bands.status()
    edit(bands, "x")
    bands.insert_one({"_id": 1.5})
    before = everything(bands.database)
    assert reading.has_changes()
    assert reading.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 0}
    assert everything(bands.database) == before
    assert reading.diff() == bands.diff()
    seen = everything(bands.database)
    for a, b in (
        ("HEAD", None),
        ("main~2", None),
        ("main~1", "main"),
        ("main", "main~2"),
        ("side", "main~1"),
    ):
        assert in_order(reading.changes(a, b)) == in_order(bands.changes(a, b))
    assert reading.diff("main~1", direction="to") == bands.diff("main~1", direction="to")
    assert reading.compare("main~1").updated == bands.compare("main~1").updated
    assert reading.status() == bands.status()
    assert everything(bands.database) == seen


def test_reader_is_told_once_of_ids_that_the_server_takes_for_the_same(connect, monkeypatch):
    """Their bytes are far apart, so they are not looked up in one portion."""
    shrink_limits(monkeypatch.setattr, {"IDS_PER_READ": 2})
    bands = grown(connect("writer"))
    reading = VersionedCollection(connect("reader"), "bands")
    if not reading._repository.has_transactions:
        pytest.skip("a standalone server reads no moments")
    numbers = range(10, 15)
    bands.insert_many([{"_id": number} for number in numbers])
    assert bands.register("numbers")
    bands.delete_many({"_id": {"$in": list(numbers)}})
    bands.insert_many([{"_id": float(number)} for number in numbers])
    assert reading.status()["changes"] == {"inserted": 5, "updated": 0, "deleted": 5}
    assert len(list(reading.changes())) == 10
    assert in_order(reading.changes()) == in_order(bands.changes())


def test_reader_looks_where_everything_has_to_be_compared(connect):
    db = connect("writer")
    bands = grown(db)
    reading = VersionedCollection(connect("reader"), "bands")
    if not reading._repository.has_transactions:
        pytest.skip("a standalone server reads no moments")
    db.bands.drop()
    db.bands.insert_many([{"_id": 1.0}, {"_id": "new"}])
    assert reading.status()["changes"] == bands.status()["changes"]
    assert in_order(reading.changes()) == in_order(bands.changes())


def test_reader_waits_for_documents_on_the_move(connect, monkeypatch):
    db = connect("writer")
    grown(db)
    reading = VersionedCollection(connect("reader"), "bands")
    if not reading._repository.has_transactions:
        pytest.skip("a standalone server reads no moments")
    monkeypatch.setattr("versioned_collection.past.moment._PAUSE", 0.01)
    trackers = db["__metadata_bands"]
    trackers.update_one({}, {"$set": {"intent": {"verb": "checkout", "phase": "apply"}}})
    with pytest.raises(errors.SnapshotUnavailable, match="on the move"):
        reading.status()
    trackers.update_one({}, {"$set": {"intent": None}})
    assert reading.status()["current_version"] == 3


def test_reader_is_told_of_a_search_that_needs_a_copy(connect):
    bands = grown(connect("writer"))
    bands.at("HEAD").find_one()
    bands.create_index([("name", "text")])
    edit(bands, "uncommitted")
    search = {"$text": {"$search": "pulp"}}
    reading = VersionedCollection(connect("reader"), "bands")
    with pytest.raises(errors.PermissionDenied, match="a copy of the whole version"):
        reading.at("HEAD").count_documents(search)
    assert bands.at("HEAD").count_documents(search) == 1
    assert reading.at("HEAD").count_documents(search) == 1
