"""restore: chosen documents, or fields of them, as they were in a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_support import BANDS, edit, everything, grown, mark, problems, raws, step, tracked
from bson import Int64
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import DocumentId, Only, Retention, VersionedCollection, embedded, errors
from versioned_collection.core.document import key_of
from versioned_collection.verbs import restore
from versioned_collection.working import replacing


def counts(restored: Any) -> tuple[int, int, int]:
    return restored.inserted, restored.updated, restored.deleted


def test_documents_by_id(anydb):
    bands = grown(anydb)
    bands.delete_one({"_id": 2})
    bands.insert_many([{"_id": 8}, {"_id": 9}])
    edit(bands, "dirty", 3)
    restored = bands.restore([1, 2, 9, "nowhere"], "main@1")
    assert counts(restored) == (1, 1, 1)
    assert sorted(restored.document_ids) == [1, 2, 9]
    assert restored.kept == []
    assert mark(bands) == 1
    assert bands.find_one(2) == BANDS[1]
    assert (bands.find_one(8), bands.find_one(9)) == ({"_id": 8}, None)
    assert bands.find_one(3)["mark"] == "dirty"
    assert bands.resolve("HEAD").label == "main@3"
    changed = {change.document_id: change.op for change in bands.changes()}
    assert changed == {1: "update", 3: "update", 8: "insert"}
    assert counts(bands.restore([1, 2, 9], "main@1")) == (0, 0, 0)
    assert bands.register("restored")
    assert problems(bands) == []


def test_head_is_the_default(db):
    bands = grown(db)
    edit(bands, "dirty")
    bands.delete_one({"_id": 2})
    assert counts(bands.restore([1])) == (0, 1, 0)
    assert mark(bands) == 3
    assert bands.find_one(2) is None
    assert bands.status()["changes"]["deleted"] == 1


def test_a_filter_chooses_among_the_documents_of_the_version(db):
    bands = grown(db)
    bands.delete_many({"since.year": {"$gt": 1980}})
    edit(bands, "dirty")
    assert counts(bands.restore({"since.year": {"$gt": 1988}}, "main@2")) == (1, 0, 0)
    assert sorted(bands.distinct("_id")) == [1, 3]
    assert counts(bands.restore({}, "main@2")) == (1, 1, 0)
    assert mark(bands) == 2
    assert counts(bands.restore(Only([2, 3], {"members": []}), "main@0")) == (0, 0, 0)


def test_fields(db):
    bands = grown(db)
    change = {"name": "PULP", "since.year": 1979, "since.month": 1}
    bands.update_one({"_id": 1}, {"$set": change, "$unset": {"members": 1}})
    assert counts(bands.restore([1], "main@1", ["since.year", "members"])) == (0, 1, 0)
    found = bands.find_one(1)
    assert found == {**BANDS[0], "name": "PULP", "since": {"year": 1978, "month": 1}, "mark": 3}
    bands.delete_one({"_id": 2})
    assert counts(bands.restore([2], "main@1", ["name"])) == (0, 0, 0)
    assert counts(bands.restore([2], "main@1", ["**"])) == (1, 0, 0)
    assert counts(bands.restore(Only([1], fields=["mark"]), "main@2")) == (0, 1, 0)
    assert mark(bands) == 2


def test_a_dry_run_changes_nothing(anydb):
    bands = grown(anydb)
    edit(bands, "dirty", 2)
    bands.status()
    before = everything(anydb)
    restored = bands.restore([1, 2, 3], "side", dry_run=True)
    assert counts(restored) == (0, 2, 0)
    assert sorted(restored.document_ids) == [1, 2]
    assert everything(anydb) == before


def test_twins_make_room(anydb):
    bands = tracked(anydb)
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": 1.0, "twin": True})
    bands.register("twin")
    bands.delete_one({"_id": 1})
    bands.insert_one({"_id": Int64(1), "dirty": True})
    for id_ in (1, 1.0, DocumentId(key_of(1.0))):
        bands.restore([id_], "main@1")
        assert bands.find_one(1) == {"_id": 1.0, "twin": True}
        bands.restore([id_], "main@0")
        assert isinstance(bands.find_one(1)["_id"], int)
        assert bands.find_one(1) == BANDS[0]
    assert problems(bands) == []


def test_more_than_one_transaction_carries(anydb, small_limits):
    bands = tracked(anydb)
    bands.insert_many([{"_id": n} for n in range(10, 20)])
    bands.register("many")
    many = raws(bands)
    bands.update_many({}, {"$set": {"mark": 1}})
    bands.register("marked")
    bands.delete_many({"_id": {"$gt": 15}})
    assert counts(bands.restore({}, "main@1")) == (4, 9, 0)
    assert raws(bands) == many
    assert bands._repository.stash.versions() == []
    assert bands.discard_changes()
    assert bands.count_documents({"mark": 1}) == 13
    assert problems(bands) == []


@pytest.mark.parametrize("large", [False, True])
def test_another_client_writes_meanwhile(db, monkeypatch, large):
    bands = grown(db)
    if large:
        monkeypatch.setattr(replacing, "is_small", lambda *_: False)
    carry_out = replacing.Replacing._carry_out

    def late(self, small):
        db["bands"].update_one({"_id": 1}, {"$set": {"mark": "theirs"}})
        carry_out(self, small)

    edit(bands, "dirty", 2)
    monkeypatch.setattr(replacing.Replacing, "_carry_out", late)
    if large:
        assert bands.restore([1, 2], "main@1").kept == [1]
    else:
        with pytest.raises(errors.WorkingCopyChanged, match="another"):
            bands.restore([1, 2], "main@1")
    assert bands.find_one(2).get("mark") == (None if large else "dirty")
    assert mark(bands) == "theirs"
    assert bands._repository.stash.versions() == []
    assert {one.document_id for one in bands.changes()} == ({1} if large else {1, 2})
    assert problems(bands) == []


@pytest.mark.parametrize(
    ("removed", "error"),
    [
        (lambda bands: bands.delete_version_subtree("side@0"), errors.InvalidCollectionVersion),
        (lambda bands: bands.thin_out(Retention(keep_last=1)), errors.VersionThinnedOut),
    ],
    ids=["deleted", "thinned out"],
)
def test_the_version_is_removed_meanwhile(anydb, monkeypatch, removed, error):
    bands = grown(anydb)
    bands.checkout("side")
    step(bands, "s2")
    bands.checkout("main")
    other = VersionedCollection(anydb, "bands")
    holding = restore.holding

    def late(*args: Any) -> Any:
        removed(other)
        return holding(*args)

    before = raws(bands)
    with monkeypatch.context() as patch:
        patch.setattr(restore, "holding", late)
        with pytest.raises(error):
            bands.restore([1], "side@0")
    assert raws(bands) == before
    assert not bands.has_changes()
    assert problems(bands) == []


def test_what_stands_in_the_way(db):
    bands = tracked(db)
    bands.update_one({"_id": 1}, {"$set": {"name": "Blur"}})
    bands.update_one({"_id": 2}, {"$set": {"name": "Pulp"}})
    bands.register("swapped")
    bands.create_index("name", unique=True)
    assert counts(bands.restore([1, 2], "main@0")) == (0, 2, 0)  # they swap again
    bands.discard_changes()
    before = raws(bands)
    with pytest.raises(errors.DocumentRejected):
        bands.restore([1], "main@0")
    assert raws(bands) == before
    db.command("collMod", "bands", validator={"name": {"$type": "int"}})
    assert counts(bands.restore([1, 2], "main@0")) == (0, 2, 0)
    assert problems(bands) == []


def test_the_validator_judges_documents_with_only_some_fields_restored(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_one({"_id": 1, "n": 1, "same": 1})
    bands.init()
    bands.update_one({"_id": 1}, {"$set": {"n": 2, "same": 2}})
    bands.register("both")
    anydb.command("collMod", "bands", validator={"$expr": {"$eq": ["$n", "$same"]}})
    before = raws(bands)
    for mixing in (
        lambda: bands.restore([1], "main@0", ["n"]),
        lambda: bands.restore(Only([1], fields=["same"]), "main@0"),
    ):
        with pytest.raises(errors.DocumentRejected) as caught:
            mixing()
        assert (caught.value.document_id, caught.value.server_code) == (1, 121)
        assert raws(bands) == before
        assert not bands.has_changes()
    anydb.command("collMod", "bands", validator={"new": True})
    assert counts(bands.restore([1], "main@0", ["n", "same"])) == (0, 1, 0)  # as it was
    assert problems(bands) == []


def test_a_collection_that_was_dropped(db):
    bands = grown(db)
    db["bands"].drop()
    assert counts(bands.restore([1, 2], "main@1", dry_run=True)) == (2, 0, 0)
    assert "bands" not in db.list_collection_names()
    assert counts(bands.restore([1, 2], "main@1")) == (2, 0, 0)
    assert mark(bands) == 1
    assert bands.status()["changes"]["deleted"] == 1


def test_bad_arguments(db):
    bands = grown(db)
    before = everything(db)
    for call in (
        lambda: bands.restore(None, "main@1"),
        lambda: bands.restore([object()], "main@1"),
        lambda: bands.restore({"a": object()}, "main@1"),
        lambda: bands.restore(Only([1]), "main@1", ["a"]),
        lambda: bands.restore([1], "main@1", ["a..b"]),
        lambda: bands.restore([1], "main@1", [5.5]),
    ):
        with pytest.raises(errors.InvalidArgument):
            call()
    for call in (
        lambda: bands.restore("text", "main@1"),
        lambda: bands.restore(7, "main@1"),
        lambda: bands.restore([1], 1.5),
    ):
        with pytest.raises(errors.InvalidType):
            call()
    with pytest.raises(errors.InvalidType, match=r"chosen by a list .* write \['abc'\]"):
        bands.restore("abc", "main@1")
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.restore([1], "nothing")
    with pytest.raises(errors.CollectionNotTracked):
        VersionedCollection(db, "songs").restore([1], "main")
    assert everything(db) == before


def test_on_the_command_line(tmp_path: Path, server: embedded.Server, db: Database[Any]) -> None:
    env = {"VC_URI": server.uri, "VC_DB": db.name, "VC_COLLECTION": "bands"}
    cli, bands = Cli(tmp_path / "home", env), grown(db)
    dry = cli("restore", "1", "-r", "main@1", "--dry-run", "--json").json
    assert (dry["updated"], dry["document_ids"], dry["dry_run"]) == (1, [1], True)
    assert cli("restore", "1", "--revision", "main@1", "--dry-run").out.startswith("would be")
    assert mark(bands) == 3
    assert cli("restore", "1", "-r", "main@1").out
    assert mark(bands) == 1
    assert cli("restore", "--filter", '{"mark": 2}', "--field", "mark", "-r", "main@2").out
    assert mark(bands) == 2
    assert "nothing differs" in cli("restore", "2", code=None).out
    assert "restore what" in cli("restore", code=2).err


# -- ids that are the same by the collation ------------------------------------------------


def collated(db: Database[Any]) -> VersionedCollection:
    """Return a collection that takes small letters and capitals for the same, at main@1."""
    db.create_collection("bands", collation={"locale": "en", "strength": 2})
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": letter, "v": 0} for letter in "abcdef"])
    bands.init("small")
    bands.delete_many({"_id": {"$in": ["a", "c", "d", "e"]}})
    bands.insert_many([{"_id": letter, "v": 1} for letter in "ACD"])
    assert bands.register("capitals")
    return bands


@pytest.mark.parametrize("limits", ["usual", "small"])
def test_ids_of_the_version_that_a_collation_takes_for_the_same(anydb, request, limits):
    if limits == "small":
        request.getfixturevalue("small_limits")
    bands = collated(anydb)
    capitals = raws(bands)
    assert counts(bands.restore(["A"], "main@0", dry_run=True)) == (1, 0, 1)
    assert raws(bands) == capitals
    assert counts(bands.restore(["A"], "main@0")) == (1, 0, 1)
    assert list(bands.find({"_id": "a"})) == [{"_id": "a", "v": 0}]
    assert counts(bands.restore(["A", "a", "C", "d", "E", "nowhere"], "main@0")) == (3, 0, 2)
    assert sorted(bands.distinct("_id")) == list("abcdef")
    assert counts(bands.restore(["a", "c", "d", "e"])) == (3, 0, 4)
    assert raws(bands) == capitals
    assert bands.status()["changes"] == {"inserted": 0, "updated": 0, "deleted": 0}
    assert problems(bands) == []


def test_an_uncommitted_delete_under_another_id_of_the_collation(anydb):
    bands = collated(anydb)
    capitals = raws(bands)
    bands.delete_many({"_id": {"$in": ["a", "b"]}})
    assert counts(bands.restore(["B"], "main@0")) == (1, 0, 0)
    assert counts(bands.restore(["a"])) == (1, 0, 0)
    assert raws(bands) == capitals
    assert problems(bands) == []
