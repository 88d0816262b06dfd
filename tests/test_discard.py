"""discard_changes: back to HEAD."""

from __future__ import annotations

import pytest
from api_support import edit, grown, mark, problems, raws, step, tracked, untracked
from bson import Decimal128, Int64, encode
from pymongo import MongoClient, monitoring

from versioned_collection import VersionedCollection, errors
from versioned_collection.committing.committer import Committer


@pytest.fixture(params=["usual", "small"])
def limits(request):
    """Run a test with the usual limits, and where a handful of documents is many."""
    if request.param == "small":
        request.getfixturevalue("small_limits")
    return request.param


def test_everything_goes_back(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    edit(bands, "x")
    bands.insert_many([{"_id": "new"}, {"no": "id"}])
    bands.delete_one({"_id": 3})
    bands.replace_one({"_id": 2}, {"other": 1})
    assert bands.discard_changes() is True
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert not bands.register("nothing")
    assert problems(bands) == []


def test_without_changes_and_untracked(anydb):
    bands = untracked(anydb)
    edit(bands, 1)
    assert bands.discard_changes() is False
    assert mark(bands) == 1
    bands.init()
    assert bands.discard_changes() is True
    assert mark(bands) == 1


def test_on_a_detached_head_and_an_unborn_branch(anydb):
    bands = grown(anydb)
    bands.checkout(1)
    edit(bands, "x")
    bands.discard_changes()
    assert (mark(bands), bands.version, bands.is_detached()) == (1, 1, True)
    bands.create_branch("unborn")
    edit(bands, "y")
    bands.discard_changes()
    assert (mark(bands), bands.version, bands.branch) == (1, -1, "unborn")


def test_keeps_the_stash(anydb):
    bands = tracked(anydb)
    edit(bands, "stashed")
    bands.stash()
    edit(bands, "x")
    bands.discard_changes()
    assert bands.has_stash()
    assert mark(bands) is None


def test_right_after_many_inserts(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    bands.insert_many([{"n": n} for n in range(10_100)])
    assert bands.discard_changes() is True
    assert raws(bands) == clean
    assert not bands.has_changes()


def test_dropped_collection_comes_back_with_its_options(anydb):
    validator = {"name": {"$exists": True}}
    anydb.create_collection("bands", validator=validator)
    bands = tracked(anydb)
    clean = raws(bands)
    anydb.drop_collection("bands")
    assert bands.has_changes()
    assert bands.discard_changes() is True
    assert raws(bands) == clean
    assert bands.options()["validator"] == validator
    assert not bands.has_changes()
    assert problems(bands) == []


def test_dropped_collection_comes_back_as_it_was_when_head_moved(anydb):
    bands = tracked(anydb)
    bands.create_index("name", unique=True)
    bands.create_index([("$**", 1)], wildcardProjection={"a.b": 1})
    bands.create_index([("text", "text")])
    bands.create_index("mark", partialFilterExpression={"mark": {"$gt": 5}})
    anydb.command({"collMod": "bands", "validator": {"$jsonSchema": {"required": ["name"]}}})
    step(bands, 1)
    clean, options, indexes = raws(bands), bands.options(), bands.index_information()
    bands.create_index("since")
    for _ in range(2):
        anydb.drop_collection("bands")
        assert bands.discard_changes() is True
        assert raws(bands) == clean
        assert bands.options() == options
        assert bands.index_information() == indexes
    bands.drop_index("name_1")
    bands.checkout(0)
    anydb.drop_collection("bands")
    bands.discard_changes()
    assert "name_1" not in bands.index_information()
    assert problems(bands) == []


WRITING = {
    "checkout": ("main", lambda bands: bands.checkout("side")),
    "cherry_pick": ("main", lambda bands: bands.cherry_pick("side")),
    "delete_version_subtree": ("main", lambda bands: bands.delete_version_subtree("HEAD")),
    "fast-forward": ("early", lambda bands: bands.merge("side")),
    "merge": ("main", lambda bands: bands.merge("side")),
    "rebase": ("main", lambda bands: bands.rebase("side")),
    "reset": ("main", lambda bands: bands.reset("side", hard=True)),
    "restore": ("main", lambda bands: bands.restore([1, 2, 3], "side")),
    "revert": ("main", lambda bands: bands.revert("HEAD")),
    "stash_apply": ("main", lambda bands: bands.stash_apply()),
    "undo": ("main", lambda bands: bands.undo()),
}
"""What is checked out, without a document, and what brings documents back into the collection."""


@pytest.mark.parametrize("verb", WRITING)
def test_dropped_collection_comes_back_as_it_was_with_any_verb(anydb, limits, verb):
    collation = {"locale": "en", "strength": 2}
    anydb.create_collection("bands", collation=collation, validator={"name": {"$exists": True}})
    bands = VersionedCollection(anydb, "bands")
    bands.create_index("name", unique=True)
    bands.init()
    bands.create_branch("early")
    bands.create_branch("side")
    for branch, first in (("side", 1), ("main", 4)):
        bands.checkout(branch=branch)
        bands.insert_many([{"_id": n, "name": str(n)} for n in range(first, first + 3)])
        bands.register("three")
    bands.delete_many({})
    bands.register("none")
    bands.insert_one({"_id": 7, "name": "new"})
    bands.stash()
    empty, act = WRITING[verb]
    bands.checkout("side")
    bands.checkout(branch=empty)
    options, indexes = bands.options(), bands.index_information()
    anydb.drop_collection("bands")
    act(bands)
    assert bands.count_documents({}) > 0
    assert bands.options() == options
    assert bands.index_information() == indexes
    assert problems(bands) == []


@pytest.mark.parametrize("capture", ["auto", "scan"])
@pytest.mark.parametrize("older", [True, False])
def test_a_replica_that_is_lost_or_an_older_one(anydb, capture, older):
    """What it does not hold would pass for inserted, and be deleted."""
    bands = tracked(anydb, capture=capture)
    backup = list(anydb["__replica_bands"].find())
    edit(bands, "recorded", 2)
    bands.register("second")
    edit(bands, "uncommitted")
    anydb.drop_collection("__replica_bands")
    if older:
        anydb["__replica_bands"].insert_many(backup)
        anydb["__metadata_bands"].update_one({}, {"$set": {"scan": True}})  # as after a restore
    before = raws(bands)
    for verb in (bands.discard_changes, lambda: bands.register("x"), bands.stash, bands.status):
        with pytest.raises(errors.CorruptHistory, match=r"__replica_bands .* drop\(\)"):
            verb()
        assert raws(bands) == before
        assert bands.version == 1
    assert "replica" in problems(bands)


def test_a_missing_replica_of_no_documents(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.init()
    anydb.drop_collection("__replica_bands")
    bands.insert_one({"_id": 1})
    assert bands.register("first")
    assert problems(bands) == []


def test_after_out_replaced_everything(anydb):
    bands = tracked(anydb)
    clean = raws(bands)
    anydb["source"].insert_many([{"_id": 1}, {"_id": "x"}])
    anydb["source"].aggregate([{"$out": "bands"}])
    assert bands.status()["changes"] == {"inserted": 1, "updated": 1, "deleted": 2}
    bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []


def test_a_unique_index_made_meanwhile_refuses(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": 1, "rank": 1}, {"_id": 2, "rank": 1}])
    bands.init()
    clean = raws(bands)
    bands.update_one({"_id": 2}, {"$set": {"rank": 2}})
    bands.create_index("rank", unique=True)
    changed = raws(bands)
    with pytest.raises(errors.DocumentRejected, match="rank"):
        bands.discard_changes()
    assert raws(bands) == changed
    assert bands.has_changes()
    assert problems(bands) == []
    bands.drop_index("rank_1")
    assert bands.discard_changes()
    assert raws(bands) == clean


def test_ids_that_need_care(anydb):
    bands = VersionedCollection(anydb, "bands")
    ids = [1, "1", True, {"a": 1}, {"a": True}, b"1", None, 2.5]
    bands.insert_many([{"_id": id_} for id_ in ids])
    bands.init()
    clean = raws(bands)
    bands.update_many({}, {"$set": {"x": 1}})
    bands.delete_one({"_id": {"$eq": {"a": 1}}})
    bands.discard_changes()
    assert raws(bands) == clean


def test_ids_that_the_server_takes_for_equal_in_different_batches(db, small_limits, monkeypatch):
    monkeypatch.setattr("versioned_collection.trackers.modified._BATCH", 2)
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": number} for number in range(5)])
    bands.insert_one({"_id": "other", "v": 1})
    bands.init()
    clean = raws(bands)
    bands.delete_many({"_id": {"$type": "number"}})
    bands.insert_many([{"_id": float(number)} for number in range(5)])
    edit(bands, 2, "other")
    with db["bands"].watch([{"$match": {"documentKey._id": "other"}}]) as events:
        assert bands.discard_changes()
        db["bands"].delete_one({"_id": "other"})
        seen = [next(events)["operationType"] for _ in range(2)]
    assert seen == ["replace", "delete"]  # nothing had to be taken out to make room
    bands.discard_changes()
    assert raws(bands) == clean
    assert problems(bands) == []


def test_ids_that_a_collation_takes_for_equal(anydb, small_limits):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": letter} for letter in "abcde"])
    bands.init()
    clean = raws(bands)
    bands.delete_many({})
    bands.insert_many([{"_id": letter} for letter in "ABCDE"])
    assert bands.status()["changes"] == {"inserted": 5, "updated": 0, "deleted": 5}
    dirty = raws(bands)
    assert bands.discard_changes()
    assert raws(bands) == clean
    bands.delete_many({})
    bands.insert_many([{"_id": letter} for letter in "ABCDE"])
    assert bands.register("in capitals")
    bands.checkout(0)
    assert raws(bands) == clean
    bands.checkout(1)
    assert raws(bands) == dirty
    bands.delete_many({})
    bands.insert_many([{"_id": letter, "v": 1} for letter in "abcde"])
    bands.delete_version_subtree(1)
    assert raws(bands) == clean
    assert not bands.has_changes()
    assert problems(bands) == []


class Meanwhile(monitoring.CommandListener):
    """Does something right before the first update of a collection is sent."""

    action = None

    def started(self, event):
        if event.command.get("update") == "bands" and self.action is not None:
            action, self.action = self.action, None
            action()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.mark.blocking
@pytest.mark.parametrize(
    ("seen", "changed"),
    [
        ({"v": 1}, {"v": 1.0}),
        ({"v": 1.0}, {"v": Int64(1)}),
        ({"v": Int64(1)}, {"v": 1.0}),
        ({"v": 0.0}, {"v": -0.0}),
        ({"v": Decimal128("1")}, {"v": Decimal128("1.0")}),
        ({"v": {"a": {"b": 1.0}}}, {"v": {"a": {"b": Int64(1)}}}),
        ({"v": [{"a": 1.0}, [2]]}, {"v": [{"a": Int64(1)}, [2]]}),
        ({"v": 1, "w": 1.0}, {"v": 1.0, "w": 1}),
        ({"a.b": 1.0}, {"a.b": Int64(1)}),
        ({str(n): 1.0 for n in range(50)}, {str(n): Int64(1) for n in range(50)}),
        ({"v": [1.0, {"a": -0.0}], "w": float("nan")}, None),
        ({"v": 0.0, "w": {"x": Int64(1)}}, None),
    ],
)
def test_an_equal_number_that_another_client_writes_meanwhile(standalone_db, seen, changed):
    """Without transactions the write itself has to tell it from what was read."""
    listener = Meanwhile()
    host, port = standalone_db.client.address
    with MongoClient(host, port, event_listeners=[listener]) as client:
        bands = VersionedCollection(client[standalone_db.name], "bands")
        bands.insert_one({"_id": 1, "v": "recorded"})
        bands.init()
        clean = raws(bands)
        bands.replace_one({"_id": 1}, seen)
        other = changed or seen
        listener.action = lambda: standalone_db["bands"].replace_one({"_id": 1}, other)
        bands.discard_changes()
        assert listener.action is None
        assert raws(bands) == (clean if changed is None else [encode({"_id": 1, **changed})])
        assert bands.has_changes() == (changed is not None)


TAKING_BACK = {
    "discard_changes": lambda bands: bands.discard_changes(),
    "reset": lambda bands: bands.reset("HEAD~1", hard=True),
    "abort_merge": lambda bands: bands.abort_merge(),
}


@pytest.mark.blocking
@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.parametrize("verb", TAKING_BACK)
def test_all_of_few_documents_go_back_or_none(db, monkeypatch, verb, times):
    """Whatever another client writes between the look and the transaction."""
    bands = grown(db)
    if verb == "abort_merge":
        with pytest.raises(errors.AutoMergeFailedError):
            bands.merge("side")
    here, clean = bands.resolve("HEAD").id, bands.at("HEAD~1" if verb == "reset" else "HEAD")
    clean = list(clean.find(sort=[("_id", 1)]))
    bands.update_many({}, {"$inc": {"n": 5}})
    carry_out, left = Committer.carry_out, [times]

    def late(self, *args, **options):
        if left[0]:
            left[0] -= 1
            db["bands"].update_one({"_id": 1}, {"$inc": {"n": 1}})
        carry_out(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Committer, "carry_out", late)
        if times == 1:
            TAKING_BACK[verb](bands)
        else:
            with pytest.raises(errors.WorkingCopyChanged, match="everything is as before"):
                TAKING_BACK[verb](bands)
    if times == 1:
        assert list(bands.find(sort=[("_id", 1)])) == clean
        assert not bands.has_changes()
    else:
        assert bands.resolve("HEAD").id == here
        assert bands.count_documents({"n": 5}) == bands.count_documents({}) - 1
        assert bands.find_one({"_id": 1})["n"] > 5
        assert bands.has_conflicts() == (verb == "abort_merge")
    assert problems(bands) == []
