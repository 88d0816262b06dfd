"""After a purge nothing of the value is left: every collection of the database is searched."""

from __future__ import annotations

from typing import Any

import bson
import histories
import pytest
from api_support import SECRET, problems, traces, tracked
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from remote_support import other_database

from versioned_collection import VersionedCollection, errors
from versioned_collection.core.document import document_key, key_of, twin_token
from versioned_collection.core.erasing import Erasure
from versioned_collection.core.merging.paths import patterns

WHY = "leaked"
LARGE = 9 * 1024 * 1024


def everywhere(db: Database[Any], there: Database[Any]) -> VersionedCollection:
    """Return a collection that holds the secret in every tracker that can hold one."""
    bands = tracked(db)
    large = {"secret": SECRET + "x" * LARGE}
    bands.insert_many([{"_id": SECRET, "name": "of an id"}, {"_id": 8, "of": large}])
    bands.update_one({"_id": 1}, {"$set": {"of": {"secret": SECRET}}})
    bands.register("leaked")
    bands.update_one({"_id": 8}, {"$set": {"of": {"secret": "y" + SECRET}}})
    bands.update_one({"_id": SECRET}, {"$set": {"of.secret": SECRET}})
    bands.register("leaked again")
    for turn in range(12):  # long enough for spans
        bands.update_one({"_id": 1}, {"$set": {"turn": turn, "of.turn": turn}})
        bands.register(f"turn {turn}")
    bands.gc()
    list(bands.at("main@1").find())
    bands.publish_view("main@2", "shown")
    incoming(bands, there)
    bands.update_one({"_id": 1}, {"$set": {"of.secret": f"{SECRET} stashed"}})
    bands.update_one({"_id": 8}, {"$set": {"of": large}})
    bands.stash()
    bands.update_one({"_id": 2}, {"$set": {"of.secret": SECRET}})
    bands.update_one({"_id": SECRET}, {"$set": {"dirty": True}})
    bands.insert_one({"_id": f"{SECRET} gone", "of": {"secret": SECRET}})
    bands.has_changes()
    bands.delete_one({"_id": f"{SECRET} gone"})
    return bands


def incoming(bands: VersionedCollection, there: Database[Any]) -> None:
    """Have a transfer that broke off bring a version that holds the secret."""
    other = VersionedCollection.clone(bands, there)
    other.update_one({"_id": 3}, {"$set": {"of.secret": SECRET}})
    other.register("on its way")
    version = other.resolve("HEAD").id
    found = list(there["__deltas_bands"].find({"version": version}))
    bands.database["__deltas_bands"].insert_many(found)
    entry = there["__log_bands"].find_one({"_id": version})
    bands.database["__incoming_bands"].insert_one(
        {
            "_id": version,
            "format": 1,
            "entry": entry,
            "announced": entry["timestamp"],
            "complete": True,
        }
    )
    there.client.drop_database(there.name)


@pytest.fixture
def leaky(anydb, there, monkeypatch) -> VersionedCollection:
    from harness.trap import shrink_limits

    shrink_limits(monkeypatch.setattr, {"LEAST_VERSIONS": 2})
    bands = everywhere(anydb, there)
    holding = {"bands", "__deltas_bands", "__replica_bands", "__stash_bands", "__modified_bands"}
    assert holding <= set(traces(anydb))
    assert {"__deltas_bands.chunks", "__stash_bands.chunks"} <= set(traces(anydb))
    assert any(name.startswith("__past_bands.") for name in traces(anydb))
    return bands


def test_documents_leave_no_trace(leaky):
    gone = [1, 2, 3, 8, SECRET, f"{SECRET} gone"]
    purged = leaky.purge(gone, reason=WHY)
    assert (purged.documents, purged.stashes, purged.views) == (5, 1, 1)
    assert traces(leaky.database) == []
    after(leaky)


def test_what_a_filter_finds_leaves_no_trace(leaky):
    leaky.purge(filter={"$or": [{"of.secret": {"$regex": SECRET}}, {"_id": SECRET}]}, reason=WHY)
    left = traces(leaky.database)
    assert left == ["__modified_bands"]  # an id without a document, which no filter finds
    leaky.purge([f"{SECRET} gone"], reason=WHY)
    assert traces(leaky.database) == []
    after(leaky)


def test_fields_leave_no_trace(leaky):
    leaky.purge([SECRET, f"{SECRET} gone"], reason=WHY)
    purged = leaky.purge(paths=["of.secret"], reason=WHY)
    assert (purged.documents, purged.removed) == (3, 1)  # a change of the secret alone
    assert traces(leaky.database) == []
    assert leaky.find_one(1)["of"]["turn"] == 11
    after(leaky)


def after(bands: VersionedCollection) -> None:
    """Make sure that the collection is whole, and goes on."""
    assert problems(bands) == []
    list(bands.at("main@0").find())
    bands.has_changes()
    assert bands.stashes()
    bands.insert_one({"_id": "afterwards"})
    bands.register("afterwards")
    for revision in ("main@1", "main@5", "main"):
        bands.checkout(revision)
    bands.gc()
    assert problems(bands) == []
    assert traces(bands.database) == []


_laws = given(
    history=histories.steps,
    some=st.lists(histories.ids, max_size=3),
    paths=st.one_of(
        st.none(), st.lists(st.sampled_from(("x", "y", "x.b", "*.b", "y.0", "**.c")), min_size=1)
    ),
)


@histories.tried(4)
@_laws
def test_each_version_is_what_it_was_without(client, history, some, paths):
    _each_version_is_what_it_was_without(client, history, some, paths)


@pytest.mark.sweep
@histories.tried(150)
@_laws
def test_each_version_is_always_what_it_was_without(client, history, some, paths):
    _each_version_is_what_it_was_without(client, history, some, paths)


def test_who_is_named_and_does_not_have_the_field_keeps_its_history(client):
    history = [("register", [(1, "x", None), (None, "x", {"b": 1})])]
    _each_version_is_what_it_was_without(client, history, [1, 1, None], ["*.b"])


def test_who_has_the_field_now_alone_keeps_its_history(anydb):
    bands = tracked(anydb)
    bands.update_one({"_id": 1}, {"$set": {"albums": 1}})
    bands.update_one({"_id": 2}, {"$set": {"secret": SECRET}})
    bands.register("leaked")
    bands.update_one({"_id": 1}, {"$set": {"secret": SECRET}})
    bands.purge(paths=["secret"], reason=WHY)
    assert problems(bands) == []
    assert bands.find_one(1)["albums"] == 1
    bands.checkout("main@0")
    assert "albums" not in bands.find_one(1)
    assert problems(bands) == []


def _each_version_is_what_it_was_without(client: Any, history: Any, some: Any, paths: Any) -> None:
    with other_database(client) as db:
        bands = VersionedCollection(db, "bands")
        bands.insert_many([{"_id": 7, "x": 1}, {"_id": "a", "y": {"b": 1, "c": [{"c": 1}]}}])
        bands.init()
        histories.grow(bands, history)
        histories.change(bands, [(8, "x", {"b": 2}), (7, "y", [1, 2])])
        if not some and paths is None:
            return
        states = {one.id: documents(bands.at(one.id)) for one in everything(bands)}
        now = documents(db["bands"])
        erasure = Erasure(None if paths is None else patterns(paths, "paths"))
        chosen = {twin_token(key_of(one)) for one in some}

        def left(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
            kept = {}
            for key, raw in found.items():
                hit = twin_token(key) in chosen or not some
                rest = erasure.of(raw) if hit else raw
                if rest is not None:
                    kept[key] = rest
            return kept

        bands.purge(some or None, paths=paths, reason=WHY)
        assert documents(db["bands"]) == left(now)
        for version, found in states.items():
            assert documents(bands.at(version)) == left(found)
        assert problems(bands) == []


def everything(bands: VersionedCollection) -> list[Any]:
    """Return all versions."""
    return list({one.id: one for name in bands.branches() for one in bands.log(name)}.values())


def documents(view: Any) -> dict[bytes, bytes]:
    """Return the documents of a collection or version as bytes, by their keys."""
    raw = view.codec_options.with_options(document_class=RawBSONDocument)
    if hasattr(view, "with_options"):
        found = view.with_options(raw).find({})
    else:
        found = (RawBSONDocument(bson.encode(one)) for one in view.find({}))
    raws = [bytes(one.raw) for one in found]
    return {document_key(one): one for one in raws}


def test_a_transfer_waits_for_the_turn(anydb):
    bands = tracked(anydb, lease_wait_seconds=0.2)
    with bands._repository.receiving("transfer"), pytest.raises(errors.LeaseHeld):
        bands.purge([1], reason=WHY)
    assert bands.purge([1], dry_run=True).documents == 1
    assert bands.purge([1], reason=WHY).documents == 1


def test_leftovers_of_a_killed_purge_are_collected(db):
    bands = tracked(db)
    repository = bands._repository
    repository.rewritten.create()
    db["__rewritten_bands"].insert_one({"leaked": SECRET})
    repository.purges.create()
    repository.purges.note_keys(ObjectId(), [key_of(SECRET)], history=False)
    assert traces(db)
    bands.gc()
    assert traces(db) == []
