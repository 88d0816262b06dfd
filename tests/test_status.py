"""status, the flags and the attributes of the working copy."""

from __future__ import annotations

import pytest
from api_support import edit, everything, grown, tracked, untracked
from pymongo import MongoClient
from remote_support import assert_equal, other_database, put

from versioned_collection import MergePolicy, Side, VersionedCollection, errors

KEYS = {
    "current_version", "current_branch", "detached", "changed", "has_stash", "has_conflicts",
    "conflicts", "merge_verb",
}  # fmt: skip


def test_untracked_answers_politely(anydb):
    for bands in (VersionedCollection(anydb, "missing"), untracked(anydb)):
        assert bands.status() == {"tracked": False}
        assert bands.version is None
        assert bands.branch is None
        assert bands.version_tree is None
        for flag in ("is_tracked", "has_changes", "has_conflicts", "has_stash", "is_detached"):
            assert getattr(bands, flag)() is False, flag
        assert bands.register("x") is False
        assert bands.checkout(0) is False
        assert bands.create_branch("x") is None
        assert bands.branches() == set()
        assert bands.tags() == {}
        assert bands.get_log() == []
        assert list(bands.log()) == []
        assert bands.diff() is None
        assert bands.discard_changes() is False
        assert bands.stash() is False
        assert bands.stash(overwrite=True) is False
        assert bands.stash_apply() is False
        assert bands.stash_discard() is False
        assert bands.delete_version_subtree(0) is False
        for verb in (
            lambda b=bands: b.resolve("HEAD"),
            lambda b=bands: list(b.changes()),
            lambda b=bands: list(b.verify()),
        ):
            with pytest.raises(errors.CollectionNotTracked):
                verb()
    assert anydb.list_collection_names() == ["bands"]


def test_clean(anydb):
    bands = tracked(anydb)
    status = bands.status()
    assert set(status) >= KEYS
    assert {key: status[key] for key in KEYS} == {
        "current_version": 0, "current_branch": "main", "detached": False, "changed": False,
        "has_stash": False, "has_conflicts": False, "conflicts": 0, "merge_verb": None,
    }  # fmt: skip
    assert status["tracked"] is True
    assert status["changes"] == {"inserted": 0, "updated": 0, "deleted": 0}
    assert status["head"] == bands.resolve("HEAD").id


def test_counts_what_changed(anydb):
    bands = tracked(anydb)
    bands.insert_many([{"_id": 10}, {"_id": 11}])
    edit(bands, 1)
    bands.delete_one({"_id": 3})
    for _ in range(2):  # looking changes nothing
        status = bands.status()
        assert status["changed"] is True
        assert status["changes"] == {"inserted": 2, "updated": 1, "deleted": 1}
        assert bands.has_changes() is True


def test_changed_back_is_no_change(anydb):
    bands = tracked(anydb)
    original = bands.find_one({"_id": 1})
    edit(bands, 1)
    assert bands.has_changes()
    bands.replace_one({"_id": 1}, original)
    assert not bands.has_changes()
    assert bands.status()["changed"] is False


def test_looking_changes_nothing(anydb):
    bands = grown(anydb)
    edit(bands, "x")
    bands.status()
    before = everything(anydb)
    bands.status()
    bands.has_changes()
    bands.diff()
    list(bands.changes())
    list(bands.log())
    bands.get_log()
    bands.branches()
    bands.tags()
    bands.size()
    bands.resolve("HEAD~1")
    list(bands.verify())
    assert everything(anydb) == before


def test_detached_stash_and_unborn(anydb):
    bands = grown(anydb)
    bands.checkout(1)
    status = bands.status()
    assert (status["current_version"], status["current_branch"]) == (1, "main")
    assert status["detached"] is True
    bands.checkout(branch="main")
    bands.create_branch("unborn")
    status = bands.status()
    assert (status["current_version"], status["current_branch"]) == (-1, "unborn")
    assert status["detached"] is False
    edit(bands, "x")
    bands.stash()
    assert bands.status()["has_stash"] is True
    assert bands.has_stash() is True


def test_version_tree(anydb):
    bands = grown(anydb)
    tree = bands.version_tree
    assert len(tree) == 6
    assert tree.root == bands.resolve("main@0").id
    fork = bands.resolve("main@1").id
    assert str(tree).splitlines()[-2:] == ["* main@1", "* main@0"]
    assert repr(tree) == "VersionTree(6 versions)"
    assert set(tree.children(fork)) == {bands.resolve(r).id for r in ("main@2", "side@0")}


def test_status_says_how_changes_are_noticed(db, standalone_db):
    for database, mode in ((db, "change_stream"), (standalone_db, "write_through")):
        bands = tracked(database)
        assert bands.capture_mode == mode
        assert bands.status()["capture_mode"] == mode
    assert VersionedCollection(db, "bands", capture="scan").status()["capture_mode"] == "scan"


@pytest.mark.parametrize(
    "options",
    [
        "tz_aware=true", "uuidRepresentation=standard", "w=0", "readPreference=secondaryPreferred",
        "readConcernLevel=local", "retryWrites=false", "w=majority&journal=true",
    ],
)  # fmt: skip
def test_clients_with_other_settings(server, db, options):
    uri = server.uri + ("&" if "?" in server.uri else "?") + options
    with MongoClient(uri) as client:
        check_life(client[db.name])
        check_meeting(client[db.name])


def test_a_remote_is_read_from_the_primary(server, db):
    """What its URI says of reads is meant for documents, of which a transfer reads none."""
    bands = tracked(db)
    uri = f"{server.uri.replace('/?', f'/{db.name}.bands?')}&readPreference=secondary"
    with other_database(db.client) as there:
        mine = VersionedCollection.clone(uri, there)
        put(mine, "one")
        assert mine.push("origin")
        put(bands, "two")
        assert mine.pull("origin")
        assert_equal(mine, bands)


def test_clients_with_other_codecs(server, db):
    from bson.codec_options import DatetimeConversion, TypeRegistry
    from bson.raw_bson import RawBSONDocument
    from bson.son import SON

    for options in (
        {"document_class": SON},
        {"document_class": RawBSONDocument},
        {"datetime_conversion": DatetimeConversion.DATETIME_MS},
        {"type_registry": TypeRegistry(fallback_encoder=str)},
        {"unicode_decode_error_handler": "ignore"},
    ):
        with MongoClient(server.uri, **options) as client:
            check_life(client[db.name])
            client[db.name]["bands"].drop()


def check_meeting(database):
    """Let two sides meet with a client of unusual settings, and settle conflicts in a list."""
    with MongoClient(*database.client.address) as plain, other_database(plain) as other:
        theirs = VersionedCollection(database.client[other.name], "bands")
        mine = VersionedCollection(database, "bands")
        plain[database.name]["bands"].insert_one({"_id": 1, "parts": [{"k": 1}, {"k": 2}]})
        mine.init()
        assert mine.push(theirs)
        ends = [{"k": 2, "x": 1}], [{"k": 1, "x": 2}, {"k": 2, "x": 2}]
        for side, parts in zip((mine, theirs), ends, strict=True):
            documents = plain[side.database.name]["bands"]
            documents.update_one({"_id": 1}, {"$set": {"parts": parts}})
            assert side.register("one")
        assert theirs.fetch(mine).versions == 1
        with pytest.raises(errors.AutoMergeFailedError):
            theirs.pull(mine, policy=MergePolicy(list_keys={"parts": "k"}))
        conflicts = list(theirs.conflicts())
        assert len(conflicts) == 2
        for conflict in conflicts:  # the first takes an element out, before the other one
            theirs.resolve_conflict(conflict, Side.THEIRS)
        assert theirs.register("merged")
        assert theirs.push(mine)
        assert mine == theirs
        assert plain[other.name]["bands"].find_one() == {"_id": 1, "parts": ends[0]}
        assert list(mine.verify()) == list(theirs.verify()) == []


def check_life(database):
    """Run through the verbs with a client of unusual settings."""
    bands = VersionedCollection(database, "bands")
    with MongoClient(database.client.address[0], database.client.address[1]) as plain:
        documents = plain[database.name]["bands"]
        documents.insert_many([{"_id": 1}, {"_id": 2}])
        bands.init()
        documents.update_one({"_id": 1}, {"$set": {"a": 1}})
        assert bands.register("a", metadata={"k": 1})
        assert bands.checkout(0)
        assert documents.find_one({"_id": 1}) == {"_id": 1}
        bands.create_branch("side")
        documents.update_one({"_id": 2}, {"$set": {"b": 1}})
        assert bands.diff()[2]
        assert bands.stash()
        assert bands.stash_apply()
        assert bands.discard_changes()
        bands.tag("t", "main@1")
        assert [v.label for v in bands.get_log("main")] == ["main@1", "main@0"]
        assert bands.status()["changed"] is False
        assert list(bands.verify()) == []
        bands.drop()
        documents.drop()
