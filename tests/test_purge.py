"""purge and purges: what goes, what stays, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import (
    SECRET,
    edit,
    everything,
    grown,
    labels,
    mark,
    meanwhile,
    problems,
    raws,
    step,
    traces,
    tracked,
    untracked,
)
from bson.int64 import Int64

from versioned_collection import ANY, Retention, VersionedCollection, errors
from versioned_collection.committing.erasing import Erasing
from versioned_collection.core.document import DocumentId
from versioned_collection.driver.writes import WriteOutcome
from versioned_collection.trackers import delta_erasing

WHY = "a right to be forgotten"


def ids(bands: Any, revision: Any) -> list[Any]:
    """Return the ids of the documents of a version, sorted."""
    return sorted(one["_id"] for one in bands.at(revision).find())


def test_documents_go_from_every_version(anydb):
    bands = grown(anydb)
    before = {version.id: version for version in bands.log("main")}
    purged = bands.purge([1, 3], reason=WHY, author="Ada")
    assert (purged.documents, purged.versions) == (2, 6)
    assert (purged.removed, purged.rewritten) == (5, 0)
    assert (purged.working_copy, purged.stashes, purged.views, purged.kept) == (2, 0, 0, ())
    assert [ids(bands, one) for one in ("main@0", "main@2", "main", "side")] == [[2]] * 4
    assert [one["_id"] for one in bands.find()] == [2]
    assert not bands.has_changes()
    assert problems(bands) == []
    for version in bands.log("main"):
        old = before[version.id]
        same = ("label", "message", "author", "timestamp", "parents", "metadata")
        assert [getattr(version, fact) for fact in same] == [getattr(old, fact) for fact in same]
        assert version.checksum != old.checksum
        assert version.fingerprint != old.fingerprint
    assert [version.stats["updated"] for version in bands.log("main")] == [0, 0, 0, 0]
    assert bands.resolve("main@0").stats == {"inserted": 1, "updated": 0, "deleted": 0}
    assert labels(bands.tags().values()) == ["main@1"]


def test_other_documents_and_their_history_stay(anydb):
    bands = grown(anydb)
    kept = {name: bands.at(name).find_one(1) for name in ("main@1", "main", "side@0")}
    bands.purge([2], reason=WHY)
    assert {name: bands.at(name).find_one(1) for name in kept} == kept
    assert [one.version.label for one in bands.history(1)] == [
        "main@3",
        "main@2",
        "main@1",
        "main@0",
    ]
    for revision in ("main@0", "side", "main"):
        assert bands.checkout(revision)
        assert problems(bands) == []
    step(bands, "afterwards")
    assert mark(bands) == "afterwards"


def test_checksums_above_a_change_stay(anydb):
    bands = grown(anydb)
    bands.insert_one({"_id": 9, "name": "Elastica"})
    bands.register("another")
    before = {version.label: version.checksum for version in bands.log()}
    assert bands.purge([9], reason=WHY).versions == 1
    after = {version.label: version.checksum for version in bands.log()}
    assert {label for label in after if before[label] != after[label]} == {"main@4"}


def test_old_checksums_lead_to_their_versions(anydb):
    bands = grown(anydb)
    first = bands.resolve("main@2").checksum
    bands.purge([3], reason=WHY)
    second = bands.resolve("main@2").checksum
    bands.purge([2], reason=WHY)
    assert len({first, second, bands.resolve("main@2").checksum}) == 3
    for text in (first, first[:12], second, bands.resolve("main@2").checksum):
        assert bands.resolve(text).label == "main@2"
    bands.checkout("main@1")
    bands.delete_version_subtree("main@2")
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.resolve(first)


def test_fields_go_from_every_version(anydb):
    bands = grown(anydb)
    purged = bands.purge(
        filter={"name": "Pulp"}, paths=["since.year", "mark", "members.1"], reason=WHY
    )
    assert (purged.documents, purged.removed, purged.rewritten) == (1, 5, 0)
    left = {"_id": 1, "name": "Pulp", "members": ["Jarvis", None], "since": {}}
    for revision in ("main@0", "main@2", "side", "main"):
        assert bands.at(revision).find_one(1) == left
        assert bands.at(revision).find_one(2)["since"] == {"year": 1988}
    assert bands.find_one(1) == left
    assert problems(bands) == []


def test_fields_of_all_documents(anydb):
    bands = grown(anydb)
    edit(bands, {"secret": 1, "other": 2}, 2)
    bands.insert_one({"_id": 9, "mark": [{"secret": 3}, 4]})
    bands.register("marked")
    purged = bands.purge(paths=[("mark", ANY, "secret"), "mark.secret", "since"], reason=WHY)
    assert (purged.documents, purged.versions) == (4, 7)
    assert bands.find_one(2)["mark"] == {"other": 2}
    assert bands.find_one(9)["mark"] == [{}, 4]
    assert all("since" not in one for one in bands.at("main@0").find())
    assert problems(bands) == []


def test_documents_that_ever_matched(anydb):
    bands = grown(anydb)
    edit(bands, "now")
    edit(bands, "stashed", 3)
    bands.stash()
    edit(bands, "uncommitted", 2)
    assert bands.purge(filter={"mark": "s0"}, dry_run=True).documents == 1
    assert bands.purge(filter={"mark": "stashed"}, dry_run=True).documents == 1
    assert bands.purge(filter={"mark": "uncommitted"}, dry_run=True).documents == 1
    assert bands.purge(filter={"mark": {"$exists": True}}, dry_run=True).documents == 3
    assert bands.purge(filter={"mark": "never"}, dry_run=True).documents == 0


def test_what_is_uncommitted_or_set_aside(anydb):
    bands = grown(anydb)
    edit(bands, "stashed", 1)
    edit(bands, "also stashed", 2)
    bands.stash(name="aside")
    bands.publish_view("main@1", "shown")
    edit(bands, "uncommitted", 1)
    edit(bands, "kept", 3)
    bands.insert_one({"_id": 9})
    purged = bands.purge([1, 9], reason=WHY)
    assert (purged.documents, purged.working_copy, purged.stashes, purged.views) == (2, 2, 1, 1)
    assert {one["_id"] for one in anydb["shown"].find()} == {2, 3}
    changes = [(one.op, one.document_id) for one in bands.changes()]
    assert changes == [("update", 3)]
    assert [(one.name, one.documents) for one in bands.stashes()] == [("aside", 1)]
    assert problems(bands) == []
    bands.discard_changes()
    bands.stash_apply()
    assert bands.find_one(2)["mark"] == "also stashed"
    assert bands.find_one(1) is None


def test_fields_of_what_is_uncommitted_or_set_aside(anydb):
    bands = grown(anydb)
    edit(bands, {"secret": 1, "other": 1}, 2)
    bands.stash()
    edit(bands, {"secret": 2, "other": 2}, 3)
    bands.delete_one({"_id": 1})
    purged = bands.purge(paths=["mark.secret"], reason=WHY)
    assert (purged.documents, purged.versions) == (2, 0)
    assert bands.find_one(3)["mark"] == {"other": 2}
    assert bands.find_one(1) is None
    assert {one.op for one in bands.changes()} == {"update", "delete"}
    bands.discard_changes()
    bands.stash_apply()
    assert bands.find_one(2)["mark"] == {"other": 1}
    assert problems(bands) == []


def test_a_stashed_change_that_the_server_does_not_delete(db, monkeypatch):
    bands = grown(db)
    edit(bands, {"secret": 1}, 2)
    bands.register("a place for it")
    bands.update_one({"_id": 2}, {"$set": {"mark.secret": 2}})
    bands.stash()
    real = delta_erasing.write

    def refusing(place: Any, kind: str, *args: Any, **options: Any) -> WriteOutcome:
        if kind != "delete":
            return real(place, kind, *args, **options)
        outcome = WriteOutcome()
        outcome.errors.append({"index": 0, "code": 1, "errmsg": "no room for the oplog"})
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(delta_erasing, "write", refusing)
        with pytest.raises(errors.DocumentRejected, match="no room"):
            bands.purge(paths=["mark.secret"], reason=WHY)
    assert problems(bands) == []
    assert [one.documents for one in bands.stashes()] == [0]
    assert list(bands._repository.stash.find({})) == []
    assert bands.find_one(2)["mark"] == {}


def test_dry_run(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted")
    bands.status()
    before = everything(anydb)
    told = bands.purge([1], dry_run=True)
    assert everything(anydb) == before
    assert told == bands.purge([1], reason=WHY)
    assert told.documents == 1


def test_nothing_of_it(anydb):
    bands = grown(anydb)
    before = bands.resolve("HEAD")
    purged = bands.purge(["never"], reason=WHY)
    assert (purged.documents, purged.versions) == (0, 0)
    assert bands.resolve("HEAD") == before
    assert bands.purges() == []
    assert next(bands.reflog()).verb == "checkout"


def test_ids_that_the_server_takes_for_the_same(anydb):
    bands = tracked(anydb)
    bands.delete_one({"_id": 2})
    bands.insert_one({"_id": 2.0, "name": "Blur again"})
    bands.insert_one({"_id": True, "name": "no number"})
    bands.register("another two")
    purged = bands.purge([Int64(2)], reason=WHY)
    assert purged.documents == 2
    assert [one["_id"] for one in bands.find().sort("_id")] == [1, 3, True]
    assert bands.purge([DocumentId(b"\x10\x03\0\0\0")], reason=WHY).documents == 1
    assert problems(bands) == []


def test_ids_that_the_collation_takes_for_the_same(anydb):
    anydb.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": letter, "secret": SECRET} for letter in "abcd"])
    bands.init("small")
    bands.delete_many({"_id": {"$in": ["a", "c"]}})
    bands.insert_one({"_id": "A", "secret": SECRET})
    bands.register("capitals")
    bands.delete_one({"_id": "d"})
    assert bands.purge(["A", "B", "C", "D"], dry_run=True).documents == 5
    bands.purge(["A", "B", "C", "D"], reason=WHY)
    assert traces(anydb) == []
    assert ids(bands, "main@0") == []
    assert problems(bands) == []


def test_merges_keep_their_parents(anydb):
    bands = grown(anydb)
    bands.merge("side", resolver="theirs")
    parents = bands.resolve("HEAD").parents
    bands.purge([1], reason=WHY)
    assert bands.resolve("HEAD").parents == parents
    assert bands.resolve("HEAD").stats["updated"] == 0
    assert problems(bands) == []


def test_a_history_that_was_thinned_out(anydb):
    bands = grown(anydb)
    bands.insert_one({"_id": 9, "mark": "nine"})
    bands.register("nine")
    bands.thin_out(Retention(keep_last=1))
    assert bands.resolve("main").gap is not None
    stats = dict(bands.resolve("main").stats)
    assert bands.purge([1, 9], reason=WHY).documents == 2
    assert problems(bands) == []
    assert dict(bands.resolve("main").stats) == stats
    assert bands.purge(paths=["since"], reason=WHY).documents == 2
    assert problems(bands) == []
    assert [one["_id"] for one in bands.at("main@0").find().sort("_id")] == [2, 3]


def test_tombstones(anydb):
    bands = grown(anydb)
    assert bands.purges() == []
    bands.purge([1], reason=WHY, author={"name": "Ada", "email": "ada@example.org"})
    bands.purge([2], reason="by mistake")
    second, first = bands.purges()
    assert (first.reason, first.by["name"], first.documents, first.versions) == (WHY, "Ada", 1, 6)
    assert second.reason == "by mistake"
    assert "@" in second.by
    assert second.timestamp >= first.timestamp
    assert WHY in str(first)
    assert untracked(anydb, "others").purges() == []
    bands.purge([3], reason=WHY, author="")
    assert bands.purges()[0].by == ""


def test_undo_goes_on_before_it(anydb):
    bands = grown(anydb)
    step(bands, "later", author="Ada")
    bands.purge([1], reason=WHY)
    assert next(bands.reflog()).verb == "purge"
    bands.insert_one({"_id": 9})
    bands.register("nine")
    assert bands.undo().verb == "register"
    assert [one["_id"] for one in bands.find().sort("_id")] == [2, 3, 9]
    bands.discard_changes()
    assert bands.undo().verb == "register"
    assert bands.resolve("HEAD").label == "main@3"
    assert [one["_id"] for one in bands.find().sort("_id")] == [2, 3]
    assert problems(bands) == []


def test_rename_takes_tombstones_along(anydb):
    bands = grown(anydb)
    bands.purge([1], reason=WHY)
    bands.rename("groups")
    groups = VersionedCollection(anydb, "groups")
    assert [one.reason for one in groups.purges()] == [WHY]
    assert groups.size()["purges"] > 0
    groups.drop()
    assert not [name for name in anydb.list_collection_names() if "purges" in name]


def test_unreachable_is_said(anydb):
    bands = grown(anydb)
    bands.add_remote("origin", "mongodb://elsewhere/music")
    words = " ".join(bands.purge([1], reason=WHY).unreachable)
    assert "origin (mongodb://elsewhere/music)" in words
    assert all(word in words for word in ("backups", "clones", "export", "messages"))
    fields = bands.purge([2], paths=["name"], dry_run=True).unreachable
    assert "the _id of the documents" in fields


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, errors.InvalidArgument),
        ({"ids": [1], "filter": {}}, errors.InvalidArgument),
        ({"ids": 1}, errors.InvalidType),
        ({"ids": "one"}, errors.InvalidType),
        ({"ids": [object()]}, errors.InvalidArgument),
        ({"filter": [1]}, errors.InvalidType),
        ({"filter": {"a": object()}}, errors.InvalidArgument),
        ({"filter": {"$nonsense": 1}}, errors.InvalidArgument),
        ({"filter": {"$text": {"$search": "a"}}}, errors.InvalidArgument),
        ({"filter": {"a": {"$near": [1, 2]}}}, errors.NotSupported),
        ({"ids": [1], "paths": "name"}, errors.InvalidArgument),
        ({"ids": [1], "paths": []}, errors.InvalidArgument),
        ({"ids": [1], "paths": ["a..b"]}, errors.InvalidArgument),
        ({"ids": [1], "paths": [()]}, errors.InvalidArgument),
        ({"ids": [1], "paths": ["**"]}, errors.InvalidArgument),
        ({"ids": [1], "paths": ["_id"]}, errors.InvalidArgument),
        ({"ids": [1], "paths": ["_id.name"]}, errors.InvalidArgument),
        ({"ids": [1], "paths": ["a\ud800"]}, errors.InvalidArgument),
        ({"ids": [1], "reason": None}, errors.InvalidType),
        ({"ids": [1], "reason": 7}, errors.InvalidType),
        ({"ids": [1], "reason": " "}, errors.InvalidArgument),
        ({"ids": [1], "author": 7}, errors.InvalidType),
    ],
)
def test_refused_arguments_change_nothing(anydb, arguments, error):
    bands = grown(anydb)
    edit(bands, "uncommitted")
    bands.status()
    before = {name: found for name, found in everything(anydb).items() if found}
    with pytest.raises(error):
        bands.purge(**{"reason": WHY, **arguments})
    assert {name: found for name, found in everything(anydb).items() if found} == before


def test_refused_while_a_merge_waits(anydb):
    bands = grown(anydb)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    with pytest.raises(errors.InvalidOperation, match="a merge waits"):
        bands.purge([1], reason=WHY)
    bands.abort_merge()
    assert bands.purge([1], reason=WHY).documents == 1


def test_refused_where_there_is_no_history(anydb):
    bands = untracked(anydb)
    with pytest.raises(errors.CollectionNotTracked):
        bands.purge([1], reason=WHY)
    assert anydb.list_collection_names() == ["bands"]


def test_a_unique_index_may_refuse_what_is_left(anydb):
    bands = grown(anydb)
    edit(bands, "uncommitted", 3)
    anydb["bands"].create_index("name", unique=True)
    bands.status()
    before = {version.id: version.checksum for version in bands.log()}
    contents = raws(anydb["bands"])
    with pytest.raises(errors.DocumentRejected):
        bands.purge(paths=["name"], reason=WHY)
    assert raws(anydb["bands"]) == contents
    assert {version.id: version.checksum for version in bands.log()} == before
    assert bands.purges() == []
    assert problems(bands) == []
    assert bands.purge([1], paths=["name"], reason=WHY).documents == 1


def test_a_validator_does_not_stand_in_the_way(anydb):
    bands = grown(anydb)
    anydb.command("collMod", "bands", validator={"name": {"$exists": True}})
    assert bands.purge([1], paths=["name"], reason=WHY).working_copy == 1
    assert "name" not in bands.find_one(1)


def test_a_large_purge(anydb, small_limits):
    bands = grown(anydb)
    bands.insert_many([{"_id": n, "mark": n, "name": str(n)} for n in range(10, 30)])
    bands.register("many")
    bands.update_many({"_id": {"$gte": 10}}, {"$set": {"mark": "again"}})
    edit(bands, "uncommitted", 2)
    assert bands.purge(paths=["mark"], reason=WHY).documents == 22
    assert problems(bands) == []
    assert not bands.has_changes()
    assert bands.purge(filter={"_id": {"$gte": 15}}, reason=WHY).documents == 15
    assert bands.count_documents({}) == 8
    assert problems(bands) == []


def test_what_others_write_meanwhile_goes_too(anydb, monkeypatch):
    bands = grown(anydb)
    late = {"$set": {"mark": "late"}}
    meanwhile(monkeypatch, lambda: anydb["bands"].update_many({"_id": {"$in": [1, 2]}}, late))
    purged = bands.purge([1], reason=WHY)
    assert purged.kept == ()
    assert [one["_id"] for one in anydb["bands"].find().sort("_id")] == [2, 3]
    assert [one.document_id for one in bands.changes()] in ([2], [])  # a standalone sees none
    assert bands.purge(paths=["mark", "name"], reason=WHY).kept == ()
    assert all(not {"mark", "name"} & set(one) for one in anydb["bands"].find())
    assert problems(bands) == []


def test_what_comes_back_later_is_noticed(anydb, monkeypatch):
    bands = grown(anydb)
    forget = Erasing._forget

    def late(self: Any) -> None:
        bands.insert_one({"_id": 1, "name": "again"})
        forget(self)

    monkeypatch.setattr(Erasing, "_forget", late)
    bands.purge([1], reason=WHY)
    assert [(one.op, one.document_id) for one in bands.changes()] == [("insert", 1)]
    assert problems(bands) == []


def test_readers_that_began_before_it(db):
    bands = grown(db)
    reader = VersionedCollection(db, "bands")
    views = [reader.at(name) for name in ("main@0", "main")]
    for name in (3, 2):
        assert [view.find_one(name)["_id"] for view in views] == [name, name]
        bands.purge([name], reason=WHY)
        assert [one["_id"] for view in views for one in view.find({"_id": name})] == []


def test_ids_are_forgotten_beside_what_others_write_meanwhile(db, monkeypatch):
    bands = grown(db)
    late = {"$set": {"mark": "late"}}
    meanwhile(monkeypatch, lambda: db["bands"].update_one({"_id": 1}, late))
    assert bands.purge([1, 2], reason=WHY).kept == ()
    assert list(db["__modified_bands"].find()) == []


def test_what_the_server_refuses_in_the_end_is_told(anydb, monkeypatch):
    bands = grown(anydb)
    anydb["bands"].create_index("name", unique=True)

    def unset() -> None:  # so that there is no room for another one without a name
        anydb["bands"].update_one({"_id": 2}, {"$unset": {"name": 1}})
        anydb["bands"].update_one({"_id": 1}, {"$set": {"mark": "late"}})

    meanwhile(monkeypatch, unset)
    assert bands.purge([1], paths=["name"], reason=WHY).kept == (1,)
    assert bands.find_one(1)["name"] == "Pulp"
    assert problems(bands) == []
    anydb["bands"].drop_index("name_1")
    assert bands.purge([1], paths=["name"], reason=WHY).working_copy == 1


def test_damaged_history_is_not_sealed_anew(anydb):
    bands = grown(anydb)
    anydb["__log_bands"].update_one({"message": "v2"}, {"$set": {"message": "forged"}})
    with pytest.raises(errors.CorruptHistory, match="verify"):
        bands.purge([1], reason=WHY)
    assert problems(bands) == ["checksum"]
    assert bands.purges() == []


def test_verify_knows_what_a_purge_made_of_checksums(anydb):
    bands = grown(anydb)
    bands.purge([1], reason=WHY)
    now = bands.resolve("HEAD").checksum
    anydb["__purges_bands"].update_many({"new": now}, {"$set": {"old": now}})
    assert problems(bands) == ["purge"]
