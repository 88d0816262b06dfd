"""verify: whoever tampers with a tracker is found out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from api_support import edit, everything, grown, problems, raws, tracked, untracked
from bson import ObjectId

from versioned_collection import VersionedCollection, errors


@pytest.fixture
def bands(db):
    bands = grown(db)
    edit(bands, 4)
    bands.register("v4", author="Ada", metadata={"ticket": 7})
    return bands


def test_nothing_to_find(anydb):
    bands = tracked(anydb)
    assert list(bands.verify()) == []
    bands = VersionedCollection(anydb, "bands")
    edit(bands, "uncommitted")
    assert list(bands.verify()) == []
    bands.stash()
    bands.create_branch("unborn")
    assert list(bands.verify()) == []
    assert bands.has_stash()


def test_problems_say_what_is_wrong(bands):
    bands.database["__log_bands"].update_one(
        {"branch": "main", "number": 2}, {"$set": {"message": "rewritten"}}
    )
    (problem,) = [one for one in bands.verify() if "main@2" in one.message]
    assert problem.kind == "checksum"
    assert problem.kind in str(problem)
    assert problem.facts["version"] == bands.resolve("main@2").id


@pytest.mark.parametrize("number", [0, 4])
def test_rewritten_log_entries(bands, number):
    log = bands.database["__log_bands"]
    entry = log.find_one({"branch": "main", "number": number})
    rewritten = {
        "message": "never happened",
        "author": "Mallory",
        "metadata": {"ticket": 8},
        "timestamp": entry["timestamp"] - timedelta(days=1),
        "stats": {"inserted": 0, "updated": 0, "deleted": 9},
        "fingerprint": "0" * 64,
        "checksum": "0" * 64,
    }
    for name, value in rewritten.items():
        assert entry[name] != value
        log.update_one({"_id": entry["_id"]}, {"$set": {name: value}})
        assert problems(bands), name
        log.replace_one({"_id": entry["_id"]}, entry)
    assert problems(bands) == []


def test_exchanged_parents(bands):
    log = bands.database["__log_bands"]
    other = bands.resolve("side@0").id
    log.update_one({"branch": "main", "number": 2}, {"$set": {"parents": [other]}})
    assert problems(bands)


def test_missing_and_second_roots(bands):
    log = bands.database["__log_bands"]
    entry = log.find_one({"branch": "main", "number": 1})
    log.delete_one({"_id": entry["_id"]})
    assert "log" in problems(bands)
    log.insert_one({**entry, "parents": []})
    assert problems(bands)
    log.replace_one({"_id": entry["_id"]}, {**entry, "parents": [ObjectId()]})
    assert "log" in problems(bands)
    log.replace_one({"_id": entry["_id"]}, entry)
    assert problems(bands) == []


def test_parents_in_a_circle(bands):
    log = bands.database["__log_bands"]
    tip = bands.resolve("main@3").id
    log.update_one({"branch": "main", "number": 1}, {"$set": {"parents": [tip]}})
    assert problems(bands)


def test_changed_deltas(bands):
    deltas = bands.database["__deltas_bands"]
    stored = deltas.find_one({"version": bands.resolve("main@2").id})
    tampered = {
        "op": "delete",
        "document_id": 3,
        "before": b"\0" * 32,
        "after": b"\0" * 32,
        "version": bands.resolve("main@3").id,
    }
    for name, value in tampered.items():
        deltas.delete_one({"_id": stored["_id"]})
        if name == "version":
            deltas.delete_one({"version": value})
        deltas.insert_one({**stored, name: value})
        assert problems(bands), name
        deltas.delete_one({"_id": stored["_id"]})
        deltas.insert_one(stored)
    assert problems(bands)  # the one delta that was deleted


def test_changed_values_in_a_delta(bands):
    deltas = bands.database["__deltas_bands"]
    stored = deltas.find_one({"version": bands.resolve("main@2").id})

    def changed(value):
        """Return the stored content with the number 2 (the mark of main@2) replaced."""
        if isinstance(value, dict):
            return {name: changed(item) for name, item in value.items()}
        if isinstance(value, list):
            return [changed(item) for item in value]
        return 666 if value == 2 and not isinstance(value, bool) else value

    content = {name: changed(stored[name]) for name in ("changes", "old", "new") if name in stored}
    assert content != {name: stored[name] for name in content}
    deltas.update_one({"_id": stored["_id"]}, {"$set": content})
    assert problems(bands)


@pytest.mark.parametrize("label", ["main@1", "side@1", "main@4"])
def test_removed_and_added_deltas(bands, label):
    deltas = bands.database["__deltas_bands"]
    version = bands.resolve(label).id
    stored = deltas.find_one({"version": version})
    deltas.delete_one({"_id": stored["_id"]})
    assert problems(bands)
    deltas.insert_one(stored)
    assert problems(bands) == []
    deltas.insert_one({**stored, "_id": ObjectId(), "document_id": "forged", "key": b"forged"})
    assert problems(bands)


def test_large_images(bands):
    db = bands.database
    bands.update_one({"_id": 2}, {"$set": {"v": "x" * 9_000_000}})
    bands.register("large")
    assert problems(bands) == []
    chunk = db["__deltas_bands.chunks"].find_one()
    db["__deltas_bands.chunks"].update_one(
        {"_id": chunk["_id"]}, {"$set": {"data": b"y" * len(chunk["data"])}}
    )
    assert problems(bands)
    db["__deltas_bands.chunks"].delete_one({"_id": chunk["_id"]})
    assert problems(bands)
    db["__deltas_bands.files"].delete_many({})
    assert problems(bands)


def test_changed_replica(bands):
    replica = bands.database["__replica_bands"]
    stored = replica.find_one({"_id": 3})
    for change in (
        lambda: replica.update_one({"_id": 3}, {"$set": {"name": "forged"}}),
        lambda: replica.delete_one({"_id": 3}),
        lambda: replica.insert_one({"_id": "forged"}),
        lambda: replica.update_one({"_id": 1}, {"$set": {"mark": 3.0}}),
    ):
        change()
        assert "replica" in problems(bands)
        replica.delete_one({"_id": "forged"})
        replica.replace_one({"_id": 3}, stored, upsert=True)


def test_dangling_names(bands):
    db = bands.database
    db["__branches_bands"].insert_one({"_id": "ghost", "version": ObjectId(), "format": 1})
    assert problems(bands) == ["reference"]
    (problem,) = bands.verify()
    assert problem.facts == {"name": "ghost"}
    db["__branches_bands"].delete_one({"_id": "ghost"})
    db["__tags_bands"].update_one({"_id": "v1"}, {"$set": {"version": ObjectId()}})
    assert problems(bands) == ["reference"]


def test_moved_branch(bands):
    db = bands.database
    earlier = bands.resolve("main@2").id
    db["__branches_bands"].update_one({"_id": "main"}, {"$set": {"version": earlier}})
    assert "head" in problems(bands)


def test_missing_branch(bands):
    bands.database["__branches_bands"].delete_one({"_id": "main"})
    assert "head" in problems(bands)


def test_moved_head(bands):
    db = bands.database
    for head in (ObjectId(), bands.resolve("side").id):
        db["__metadata_bands"].update_one({}, {"$set": {"head": head}})
        assert "head" in problems(bands)
    db["__metadata_bands"].update_one({}, {"$set": {"detached": True}})
    assert "replica" in problems(bands)


def test_lost_stash(bands):
    edit(bands, "stashed")
    bands.stash()
    bands.database["__stash_bands"].delete_many({})
    assert problems(bands) == ["stash"]


def cut_tail(bands):
    """Make the history look as if main@4 had never been."""
    db = bands.database
    last, earlier = bands.resolve("main@4"), bands.resolve("main@3")
    bands.checkout("main@3")
    db["__log_bands"].delete_one({"_id": last.id})
    db["__deltas_bands"].delete_many({"version": last.id})
    db["__branches_bands"].update_one({"_id": "main"}, {"$set": {"version": earlier.id}})
    db["__metadata_bands"].update_one({}, {"$set": {"detached": False}})


def test_a_cut_tail_is_found_with_a_recorded_tip(bands):
    tip = bands.resolve("main")
    for recorded in (tip, tip.checksum, tip.id, str(tip.id)):
        assert list(bands.verify(tip=recorded)) == []
    cut_tail(bands)
    assert list(bands.verify()) == []  # nothing on disk can tell
    for recorded in (tip, tip.checksum, tip.id, str(tip.id)):
        (problem,) = bands.verify(tip=recorded)
        assert problem.kind == "tip"
    assert list(bands.verify(tip=bands.resolve("main"))) == []


def test_a_tip_whose_history_was_rewritten_and_sealed_anew(bands):
    tip = bands.resolve("main")
    bands.delete_version_subtree(4)
    edit(bands, "other")
    bands.register("v4", author="Ada")
    assert list(bands.verify()) == []
    assert [problem.kind for problem in bands.verify(tip=tip)] == ["tip"]


def test_verify_repairs_nothing_and_works_again(anydb):
    bands = grown(anydb)
    anydb["__replica_bands"].update_one({"_id": 3}, {"$set": {"x": 1}})
    before = everything(anydb)
    assert problems(bands)
    assert problems(bands)
    assert everything(anydb) == before
    assert raws(bands)


EDITED = [
    *(("log", {"$unset": {name: 1}}) for name in ("message", "author", "branch", "number")),
    *(("log", {"$set": {name: None}}) for name in ("parents", "stats", "fingerprint")),
    ("log", {"$set": {"fingerprint": "hello"}}),
    ("log", {"$set": {"number": "two"}}),
    ("log", {"$set": {"branch": 7}}),
    ("log", {"$set": {"parents": [{"x": 1}]}}),
    ("log", {"$set": {"format": 99}}),
    ("deltas", {"$unset": {"op": 1}}),
    ("deltas", {"$set": {"op": "other"}}),
    ("deltas", {"$set": {"changes": [{"a": 1}]}}),
    ("deltas", {"$set": {"changes": "x"}}),
    ("deltas", {"$set": {"before": "x"}}),
    ("deltas", {"$set": {"format": 99}}),
    ("branches", {"$set": {"version": {"x": 1}}}),
    ("branches", {"$set": {"format": 99}}),
    ("tags", {"$unset": {"version": 1}}),
    ("remotes", {"$set": {"labels": [[]]}}),
    ("operations", {"$unset": {"verb": 1}}),
    ("operations", {"$set": {"before": 7}}),
    ("checks", {"$set": {"pipeline": b"broken"}}),
]
KINDS = {
    "branches": "reference",
    "checks": "check",
    "deltas": "delta",
    "log": "log",
    "operations": "operation",
    "remotes": "remote",
    "tags": "reference",
}
READ = {
    "branches": lambda bands: bands.branches(),
    "checks": lambda bands: bands.checks(),
    "deltas": lambda bands: bands.checkout(0),
    "log": lambda bands: list(bands.log()),
    "operations": lambda bands: list(bands.reflog()),
    "remotes": lambda bands: bands.remotes(),
    "tags": lambda bands: bands.tags(),
}
UNREADABLE = (errors.CorruptHistory, errors.FormatMismatch)


def test_edited_documents_are_told_one_by_one(bands):
    bands.add_remote("other", "mongodb://localhost/elsewhere")
    bands.add_check("named", [{"$match": {"name": None}}])
    version = bands.resolve("main@2").id
    which = {"log": {"_id": version}, "deltas": {"version": version}, "branches": {"_id": "main"}}
    for tracker, change in EDITED:
        stored = bands.database[f"__{tracker}_bands"]
        before = stored.find_one(which.get(tracker, {}))
        stored.update_one({"_id": before["_id"]}, change)
        told = [one for one in bands.verify() if one.kind == KINDS[tracker]]
        facts = {"collection": stored.name, "id": before["_id"]}
        assert facts in [one.facts for one in told], (tracker, change)
        with pytest.raises(UNREADABLE) as caught:
            READ[tracker](bands)
        assert (caught.value.where, caught.value.id) == (stored.name, before["_id"])
        stored.replace_one({"_id": before["_id"]}, before)
    assert problems(bands) == []


def test_an_edited_document_hides_no_other_problem(bands):
    db = bands.database
    db["__log_bands"].update_one({"_id": bands.resolve("side").id}, {"$unset": {"message": 1}})
    db["__operations_bands"].update_one({}, {"$unset": {"verb": 1}})
    db["__deltas_bands"].update_one({"version": bands.resolve("main@2").id}, {"$unset": {"op": 1}})
    db["__log_bands"].update_one({"_id": bands.resolve("main@3").id}, {"$set": {"message": "x"}})
    db["__replica_bands"].delete_one({"_id": 3})
    assert {"log", "operation", "delta", "checksum", "replica"} <= set(problems(bands))


@pytest.mark.parametrize("change", [{"stash": {"x": 1}}, {"stashes": 7}, {"head": "x"}])
def test_edited_metadata(bands, change):
    bands.database["__metadata_bands"].update_one({"_id": "working_copy"}, {"$set": change})
    (problem,) = VersionedCollection(bands.database, "bands").verify()
    assert problem.kind == "metadata"
    assert problem.facts == {"collection": "__metadata_bands", "id": "working_copy"}
    with pytest.raises(errors.CorruptHistory):
        bands.stashes()


def test_metadata_of_another_format_is_an_error(bands):
    bands.database["__metadata_bands"].update_one({}, {"$set": {"format": 99}})
    with pytest.raises(errors.FormatMismatch):
        list(bands.verify())


def test_a_worktree_of_which_nothing_is_known(bands):
    bands.worktree("side", "aside")
    assert problems(bands) == []
    metadata = bands.database["__metadata_bands"]
    state = metadata.find_one_and_delete({"_id": {"worktree": "aside"}})
    (problem,) = bands.verify()
    assert (problem.kind, problem.facts) == ("worktree", {"working_copy": "aside"})
    metadata.insert_one(state)
    assert problems(bands) == []


def test_lost_indexes_are_told_and_made_again(bands):
    lost = ("log", "deltas", "operations", "operations_aside")
    aside = bands.worktree("side", "aside")
    assert problems(bands) == []
    names = {f"__{one}" if one.endswith("aside") else f"__{one}_bands" for one in lost}
    for name in names:
        bands.database[name].drop_indexes()
    for side in (bands, aside):
        told = [problem.facts["collection"] for problem in side.verify()]
        assert sorted(set(told)) == sorted(names)
        assert len(told) == 6
    assert set(problems(bands)) == {"index"}
    bands.gc()
    assert problems(bands) == []
    assert bands.database["__log_bands"].index_information()["branch_1_number_1"]["unique"]


def test_untracked(anydb):
    with pytest.raises(errors.CollectionNotTracked):
        list(untracked(anydb).verify())


READING_THE_LOG = {
    "checkout": lambda bands: bands.checkout("main@0"),
    "changes": lambda bands: bands.diff("main@0"),
    "resolve": lambda bands: bands.resolve("HEAD~4"),
    "log": lambda bands: list(bands.get_log()),
    "squash": lambda bands: bands.squash("main@3"),
    "purge": lambda bands: bands.purge([2], reason="wanted"),
}


@pytest.mark.parametrize("damage", ["missing", "second root", "circle"])
def test_verbs_refuse_a_log_with_damage(bands, damage):
    log = bands.database["__log_bands"]
    broken = {"branch": "main", "number": 1}
    if damage == "missing":
        log.delete_one(broken)
    else:
        parents = [] if damage == "second root" else [bands.resolve("main@3").id]
        log.update_one(broken, {"$set": {"parents": parents}})
    before = raws(bands)
    for name, read in READING_THE_LOG.items():
        if (name, damage) in ALL_THERE:
            continue
        again = VersionedCollection(bands.database, "bands")
        with pytest.raises(errors.CorruptHistory, match=r"verify\(\).*backup.*clone\(\)"):
            read(again)
        assert raws(bands) == before
    assert problems(bands)


ALL_THERE = {("resolve", "second root"), ("log", "second root"), ("squash", "second root")}
"""What needs no version behind the damage."""


def test_verbs_refuse_large_images_without_their_chunks(bands):
    bands.update_one({"_id": 2}, {"$set": {"v": "x" * 9_000_000}})
    bands.register("large")
    bands.update_one({"_id": 2}, {"$set": {"v": 1}})
    bands.register("small")
    bands.database.drop_collection("__deltas_bands.chunks")
    before = raws(bands)
    again = VersionedCollection(bands.database, "bands")
    for read in (lambda: again.checkout("HEAD~1"), lambda: again.diff("HEAD~1")):
        with pytest.raises(errors.CorruptHistory, match=r"verify\(\)"):
            read()
    assert raws(bands) == before
