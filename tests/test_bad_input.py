"""Each wrong argument, name, type and state gives its error and changes nothing."""

from __future__ import annotations

import inspect
import io
import uuid
from datetime import datetime, timezone
from types import MappingProxyType

import pytest
from api_support import BANDS, edit, everything, grown, problems, raws, step, tracked, untracked
from bson.binary import Binary
from pymongo.collection import Collection

from versioned_collection import VersionedCollection, errors

WRONG_CALLS = [
    (errors.CollectionAlreadyInitialised, lambda b: b.init()),
    (errors.InvalidType, lambda b: b.init(5)),
    (errors.InvalidType, lambda b: b.register(None)),
    (errors.InvalidType, lambda b: b.register(b"bytes")),
    (errors.InvalidType, lambda b: b.register("m", author=5)),
    (errors.InvalidType, lambda b: b.register("m", author=["Ada"])),
    (errors.InvalidType, lambda b: b.register("m", metadata="text")),
    (errors.InvalidType, lambda b: b.register("m", metadata=[1])),
    (errors.InvalidArgument, lambda b: b.register("m", metadata={1: 2})),
    (errors.InvalidArgument, lambda b: b.register("m", metadata={"a": object()})),
    (errors.InvalidArgument, lambda b: b.register("m", metadata={"a": 2**70})),
    (errors.InvalidArgument, lambda b: b.register("m", metadata={"a\0b": 1})),
    (errors.InvalidArgument, lambda b: b.register("m", metadata={"a": uuid.uuid4()})),
    (errors.InvalidArgument, lambda b: b.register("m", author={"name": {1, 2}})),
    (errors.InvalidArgument, lambda b: b.register("\ud800")),
    (errors.InvalidArgument, lambda b: b.register("m" * 1_100_000)),
    (errors.InvalidArgument, lambda b: b.register("m", metadata={"a": "x" * 1_100_000})),
    (errors.InvalidArgument, lambda b: b.checkout()),
    (errors.InvalidCollectionVersion, lambda b: b.checkout(99)),
    (errors.BranchNotFound, lambda b: b.checkout(branch="nope")),
    (errors.BranchNotFound, lambda b: b.checkout(branch="\ud800")),
    (errors.BranchNotFound, lambda b: b.checkout(branch="")),
    (errors.InvalidOperation, lambda b: b.checkout(0)),
    (errors.InvalidType, lambda b: b.checkout(branch=b"main")),
    (errors.BranchNotFound, lambda b: b.get_log("nope")),
    (errors.InvalidArgument, lambda b: b.diff(direction="up")),
    (errors.InvalidCollectionVersion, lambda b: b.diff(99)),
    (errors.InvalidOperation, lambda b: b.stash_apply()),
    (errors.InvalidOperation, lambda b: b.stash()),
    (errors.InvalidCollectionVersion, lambda b: b.delete_version_subtree(99)),
    (errors.BranchNotFound, lambda b: b.delete_version_subtree(0, "nope")),
    (errors.InvalidArgument, lambda b: b.create_branch("__x")),
    (errors.InvalidArgument, lambda b: b.create_branch("main")),
    (errors.InvalidArgument, lambda b: b.tag("v1")),
    (errors.InvalidCollectionVersion, lambda b: b.tag("x", "nope")),
    (errors.InvalidArgument, lambda b: b.tag("x", message="\ud800")),
    (errors.InvalidArgument, lambda b: b.tag("x", message="m" * 1_100_000)),
    (errors.TagNotFound, lambda b: b.delete_tag("nope")),
    (errors.TagNotFound, lambda b: b.delete_tag("\ud800")),
    (errors.BranchNotFound, lambda b: b.delete_branch("nope")),
    (errors.InvalidOperation, lambda b: b.delete_branch("main")),
    (errors.BranchNotFound, lambda b: b.rename_branch("nope", "x")),
    (errors.InvalidArgument, lambda b: b.rename_branch("main", "side")),
    (errors.InvalidArgument, lambda b: b.rename("a..b")),
    (errors.InvalidArgument, lambda b: list(b.log(limit=-1))),
    (errors.InvalidCollectionVersion, lambda b: list(b.log("nope"))),
    (errors.InvalidCollectionVersion, lambda b: list(b.changes("nope"))),
    (errors.InvalidType, lambda b: b < 5),
    *(
        (
            errors.InvalidType,
            lambda b, verb=verb, policy=policy: getattr(b, verb)("side", policy=policy),
        )
        for verb in ("merge", "cherry_pick", "revert", "rebase")
        for policy in (1.5, {}, max)
    ),
    (errors.InvalidType, lambda b: b.export(io.BytesIO(), format="bundle", branches=5)),
    (errors.InvalidType, lambda b: b.export(io.BytesIO(), format="bundle", branches=[["x"]])),
    (errors.InvalidArgument, lambda b: b.export("/nowhere/a\0b.bson")),
    (errors.InvalidArgument, lambda b: b.import_("/nowhere/a\0b.bson")),
    (errors.InvalidArgument, lambda b: b.import_("/nowhere/\ud800.bson")),
    (errors.InvalidType, lambda b: b.listen(interval="x")),
    (errors.InvalidType, lambda b: b.listen(stop="x")),
    (errors.InvalidArgument, lambda b: b.listen(interval=-0.1)),
    (errors.InvalidArgument, lambda b: b.listen(interval=float("inf"))),
    (errors.InvalidArgument, lambda b: b.listen(interval=float("nan"))),
    (errors.InvalidType, lambda b: b.resolve_conflicts("ours")),
    (errors.InvalidType, lambda b: b.resolve_conflicts(max)),
    (errors.InvalidType, lambda b: b.stash("what I did")),
    (errors.InvalidType, lambda b: b.reset("main~1", "soft")),
    (errors.InvalidType, lambda b: b.diff("main~1", "main", "no")),
    (errors.InvalidType, lambda b: b.at("main~1").prepare(whole="no")),
    (errors.InvalidType, lambda b: b.register("m", progress=5)),
    *(
        (errors.InvalidArgument, lambda b, end=end, verb=verb: verb(b, f"mongodb://h/db{end}"))
        for end in (".$x", "..", ".a..b", ".a.")
        for verb in (lambda b, url: b.add_remote("new", url), lambda b, url: b.push(url))
    ),
]

NAMED = {
    "delete_branch": lambda b, name: b.delete_branch(name),
    "rename_branch": lambda b, name: b.rename_branch(name, "new"),
    "delete_tag": lambda b, name: b.delete_tag(name),
    "drop_view": lambda b, name: b.drop_view(name),
    "delete_check": lambda b, name: b.delete_check(name),
    "remove_remote": lambda b, name: b.remove_remote(name),
    "remove_worktree": lambda b, name: b.remove_worktree(name),
    "size": lambda b, name: b.size(name),
    "collection": lambda b, name: VersionedCollection(b.database, name),
}
NAMED_OR_NOT = {
    "get_log": lambda b, name: b.get_log(name),
    "checkout": lambda b, name: b.checkout(0, name),
    "diff": lambda b, name: b.diff(0, name),
    "register": lambda b, name: b.register("m", name),
    "delete_version_subtree": lambda b, name: b.delete_version_subtree(0, name),
    "push": lambda b, name: b.push(b.database.client["there"], branch=name),
    "pull": lambda b, name: b.pull(b.database, branch=name),
    "fetch": lambda b, name: b.fetch(b.database, branch=name),
    "clone": lambda b, name: VersionedCollection.clone(b, b.database.client["there"], branch=name),
    "stash": lambda b, name: b.stash(name=name),
}
TORN = {
    "collection": lambda b: VersionedCollection(b.database, "\udcff"),
    "database": lambda b: VersionedCollection(b.database.client["\udcff"], "bands"),
    "rename": lambda b: b.rename("\udcff"),
    "worktree": lambda b: b.worktree("side", "\udcff"),
    "publish_view": lambda b: b.publish_view("HEAD", "\udcff"),
    "create_branch": lambda b: b.create_branch("\udcff"),
    "tag": lambda b: b.tag("\udcff"),
    "stash": lambda b: b.stash(name="\udcff"),
    "add_check": lambda b: b.add_check("\udcff", []),
    "add_remote": lambda b: b.add_remote("\udcff", "mongodb://host/music"),
}

FALSY = [[], {}, (), 0, False, 0.0, b""]
SAYING = {
    "register": lambda b, said: b.register(said),
    "merge": lambda b, said: b.merge("side", said),
    "revert": lambda b, said: b.revert("HEAD", said),
    "squash": lambda b, said: b.squash("HEAD~1", "HEAD", said),
    "init": lambda b, said: b.init(said),
    "tag": lambda b, said: b.tag("new", message=said),
    "stash": lambda b, said: b.stash(message=said, push=True),
}


def test_wrong_calls_change_nothing(anydb):
    bands = grown(anydb)
    edit(bands, "stashed")
    bands.stash()
    edit(bands, "uncommitted")
    bands.insert_one({"_id": "new"})
    status = bands.status()
    before = everything(anydb)
    for number, (kind, call) in enumerate(WRONG_CALLS):
        with pytest.raises(kind) as caught:
            call(bands)
        assert type(caught.value) is kind, number
        assert str(caught.value), number
        assert everything(anydb) == before, number
    assert bands.status() == status
    assert bands.register("all well")
    assert problems(bands) == []


FLAGS = [
    (verb, one.name)
    for verb, method in inspect.getmembers(VersionedCollection, inspect.isfunction)
    if not (verb.startswith("_") or hasattr(Collection, verb))
    for one in inspect.signature(method).parameters.values()
    if isinstance(one.default, bool)
]


@pytest.mark.parametrize(("verb", "flag"), FLAGS)
def test_a_flag_is_true_or_false(db, verb, flag):
    bands = untracked(db)
    for value in ("false", 0, None):
        with pytest.raises(errors.InvalidType, match=f"^{flag} is True or False"):
            getattr(bands, verb)(**{flag: value})
    assert db.list_collection_names() == ["bands"]


def test_all_flags_are_known():
    assert len(FLAGS) > 20
    assert {("push", "force"), ("purge", "dry_run"), ("stash_apply", "drop")} < set(FLAGS)


@pytest.mark.parametrize("verb", SAYING)
def test_a_message_is_a_text_also_where_it_is_falsy(anydb, verb):
    bands = grown(anydb)
    before = everything(anydb)
    for said in FALSY:
        with pytest.raises(errors.InvalidType):
            SAYING[verb](bands, said)
        assert everything(anydb) == before, said


@pytest.mark.parametrize("verb", [*NAMED, *NAMED_OR_NOT])
def test_names_are_texts(anydb, verb):
    bands = grown(anydb)
    before = everything(anydb)
    wrong = [[], {}, 3, b"x", ("main",), object()]
    if verb in NAMED and verb != "collection":  # which has a name of its own without one
        wrong.append(None)
    for name in wrong:
        with pytest.raises(errors.InvalidType) as caught:
            (NAMED | NAMED_OR_NOT)[verb](bands, name)
        assert str(caught.value), name
        assert everything(anydb) == before, name


@pytest.mark.parametrize("verb", TORN)
def test_names_with_parts_of_characters(anydb, verb):
    bands = grown(anydb)
    before = everything(anydb)
    with pytest.raises(errors.InvalidArgument):
        TORN[verb](bands)
    assert bands.delete_check("\udcff") is False
    with pytest.raises(errors.RemoteNotFound):
        bands.remove_remote("\udcff")
    assert everything(anydb) == before


def test_the_empty_text_names_nothing(anydb, there):
    bands = grown(anydb)
    copied = VersionedCollection.clone(bands, there)
    before = everything(anydb), everything(there)
    calls = [
        (errors.BranchNotFound, lambda: bands.get_log("")),
        (errors.BranchNotFound, lambda: bands.push(copied, branch="")),
        (errors.BranchNotFound, lambda: copied.pull(bands, branch="")),
        (errors.BranchNotFound, lambda: copied.fetch(bands, branch="")),
        (errors.RemoteNotFound, lambda: bands.push("")),
        (errors.RemoteNotFound, lambda: bands.pull("")),
        (errors.RemoteNotFound, lambda: bands.fetch("")),
    ]
    for number, (kind, call) in enumerate(calls):
        with pytest.raises(kind, match="''"):
            call()
        assert (everything(anydb), everything(there)) == before, number


def test_the_empty_text_is_no_branch_to_copy(anydb, there):
    bands = grown(anydb)
    with pytest.raises(errors.BranchNotFound):
        VersionedCollection.clone(bands, there, branch="")
    assert there.list_collection_names() == []


def test_limits_beyond_all_there_is(anydb):
    bands = grown(anydb)
    for most in (2**63 - 1, 2**63, 10**30):
        assert list(bands.log(limit=most)) == list(bands.log())
        assert len(list(bands.history(1, limit=most))) == 4
        assert len(list(bands.find_versions({"_id": 2}, limit=most))) == 1


def test_a_view_with_a_name_that_is_too_long(anydb):
    bands = grown(anydb)
    with pytest.raises(errors.InvalidArgument, match="255"):
        bands.publish_view("HEAD", "v" * 300)


def test_unusual_but_right(anydb):
    bands = tracked(anydb)
    step(bands, 1, author=MappingProxyType({"name": "Ada"}), metadata=MappingProxyType({"a": 1}))
    assert bands.resolve("HEAD").author == {"name": "Ada"}
    assert bands.resolve("HEAD").metadata == {"a": 1}
    assert list(bands.log(author="Ada"))
    assert list(bands.log(until=datetime(2999, 1, 1, tzinfo=timezone.utc)))
    assert problems(bands) == []


# -- what cannot be tracked --------------------------------------------------------------


def refused(db, kind, reason):
    bands = VersionedCollection(db, "bands")
    before = sorted(db.list_collection_names())
    with pytest.raises(kind, match=reason) as caught:
        bands.init()
    assert sorted(db.list_collection_names()) == before
    assert not bands.is_tracked()
    assert bands.status() == {"tracked": False}
    return caught.value


def test_views(anydb):
    anydb["source"].insert_one({"_id": 1})
    anydb.create_collection("bands", viewOn="source", pipeline=[])
    error = refused(anydb, errors.NotSupported, "view")
    assert error.collection == "bands"
    assert error.reason
    assert raws(anydb["bands"]) == raws(anydb["source"])


@pytest.mark.parametrize("name", ["admin", "config", "local"])
def test_databases_of_the_server(anydb, name):
    theirs = anydb.client[name]
    assert refused(theirs, errors.NotSupported, "another database").collection == "bands"
    mine = tracked(anydb)
    before = sorted(theirs.list_collection_names())
    copies = [
        lambda: mine.push(theirs),
        lambda: VersionedCollection(theirs, "bands").pull(anydb),
        lambda: VersionedCollection.clone(anydb, theirs, "bands"),
    ]
    for copy in copies:
        with pytest.raises(errors.NotSupported, match=name):
            copy()
    assert sorted(theirs.list_collection_names()) == before
    assert problems(mine) == []


def test_time_series(anydb):
    anydb.create_collection("bands", timeseries={"timeField": "t"})
    refused(anydb, errors.NotSupported, "time-series")


def test_capped(anydb):
    anydb.create_collection("bands", capped=True, size=10_000)
    refused(anydb, errors.NotSupported, "capped")


def test_encrypted_fields(db):
    fields = [{"path": "name", "keyId": Binary(b"\x01" * 16, 4), "bsonType": "string"}]
    db.command("create", "bands", encryptedFields={"fields": fields})
    refused(db, errors.NotSupported, "Queryable Encryption")


@pytest.mark.parametrize("name", ["__log_x", "__bands", "system.js", "system.profile"])
def test_reserved_names(anydb, name):
    bands = VersionedCollection(anydb, name)
    with pytest.raises((errors.InvalidArgument, errors.NotSupported)):
        bands.init()
    assert anydb.list_collection_names() == []


# -- names -------------------------------------------------------------------------------


def test_names_that_are_too_long_are_refused_at_init(anydb):
    fits = 255 - len(anydb.name) - 1 - len("__conflicts_") - len(".chunks")
    long = VersionedCollection(anydb, "x" * (fits + 1))
    with pytest.raises(errors.InvalidArgument, match="too long") as caught:
        long.init()
    assert (caught.value.limit, caught.value.bytes) == (255, 256)
    with pytest.raises(errors.InvalidArgument, match="too long"):
        VersionedCollection(anydb, "é" * (fits // 2 + 1)).init()
    assert anydb.list_collection_names() == []
    bands = VersionedCollection(anydb, "x" * fits)
    bands.insert_one({"_id": 1, "v": "a" * 9_000_000})
    bands.init()
    bands.replace_one({"_id": 1}, {"v": "b" * 9_000_000})
    bands.register("with chunks")
    bands.checkout(0)
    with pytest.raises(errors.InvalidArgument, match="too long"):
        bands.rename("y" * (fits + 1))
    assert problems(bands) == []


def test_odd_collection_names(db):
    names = ["a.b", "a.b.c", "ünïcödé", "with blank", "🎸", "a-b", "a--b", "a{b}'\"%~"]
    for name in names:
        bands = tracked(db, name)
        step(bands, name)
    for name in names:
        bands = VersionedCollection(db, name)
        assert bands.version == 1
        assert bands.get_log()[0].message == f"v{name}"
        bands.checkout(0)
        assert problems(bands) == []


def test_collections_do_not_mix(anydb):
    bands, dotted = tracked(anydb, "bands"), tracked(anydb, "bands.old")
    step(bands, 1)
    dotted.drop()
    assert bands.version == 1
    assert problems(bands) == []


@pytest.mark.parametrize("names", [("bands", "bands.files"), ("bands.chunks", "bands")])
def test_collections_whose_trackers_would_mix(anydb, there, names):
    """What is large lies in collections that are called after those of a GridFS bucket."""
    first, second = names
    bands = tracked(anydb, first)
    bands.insert_one({"_id": 4, "text": "x" * 9_000_000})
    bands.stash()
    other, elsewhere = VersionedCollection(anydb, second), tracked(there, second)
    before = everything(anydb)
    for verb in (
        other.init,
        lambda: elsewhere.push(other),
        lambda: bands.rename(second),
        lambda: bands.worktree("HEAD", second, new_branch="side"),
    ):
        with pytest.raises(errors.InvalidArgument, match="such as 'bands_"):
            verb()
    assert everything(anydb) == before
    bands.stash_apply()
    assert bands.register("large")
    bands.rename("groups")
    other.init()
    assert problems(other) == []


def test_a_worktree_and_a_collection_whose_trackers_would_mix(anydb):
    bands = tracked(anydb)
    bands.worktree("HEAD", "side", new_branch="side")
    with pytest.raises(errors.InvalidArgument, match="cannot both be tracked"):
        untracked(anydb, "side.files").init()
    bands.remove_worktree("side")
    VersionedCollection(anydb, "side.files").init()
    with pytest.raises(errors.InvalidArgument, match="cannot both be tracked"):
        bands.worktree("HEAD", "side", new_branch="other")
    assert problems(bands) == []


def test_parts_of_a_bucket_are_tracked_without_it(anydb):
    files, chunks = tracked(anydb, "fs.files"), tracked(anydb, "fs.chunks")
    step(files, 1)
    chunks.drop()
    assert problems(files) == []


def test_dates_behind_names_are_no_overlays(anydb):
    """Neither is what follows the name of a collection taken for an overlay of it."""
    bands, dated = tracked(anydb, "bands"), tracked(anydb, "bands.20240131")
    step(dated, 1)
    assert dated.at(0).find_one({"_id": 1}) == BANDS[0]
    before = sorted(name for name in anydb.list_collection_names() if "20240131" in name)
    bands.gc()
    bands.drop()
    assert sorted(name for name in anydb.list_collection_names() if "20240131" in name) == before
    with pytest.raises(errors.InvalidArgument, match="overlays"):
        untracked(anydb, "bands.at-0123abcd").init()


def test_a_format_of_another_release_is_told(anydb):
    bands = tracked(anydb)
    anydb["__metadata_bands"].update_one({}, {"$set": {"format": 999}})
    before = everything(anydb)
    for verb in (bands.status, bands.get_log, lambda: bands.register("x"), lambda: bands.version):
        with pytest.raises(errors.FormatMismatch, match="999") as caught:
            verb()
        assert (caught.value.found, caught.value.supported) == (999, 1)
    assert everything(anydb) == before


def test_a_collection_that_turned_into_a_view(anydb):
    bands = tracked(anydb)
    step(bands, 1)
    step(bands, 2)
    anydb["bands"].drop()
    anydb.create_collection("bands", viewOn="source", pipeline=[])
    for verb in (
        bands.discard_changes,
        lambda: bands.worktree("main", "copy", new_branch="new"),
        lambda: bands.squash("main@1", "main@2", "one"),
    ):
        with pytest.raises(errors.NotSupported, match="view"):
            verb()
    anydb["bands"].drop()
    assert bands.discard_changes()
    assert bands.count_documents({}) == 3


@pytest.mark.parametrize("capture", ["auto", "scan"])
@pytest.mark.parametrize("kind", ["replica_set", "standalone"])
def test_a_collection_that_was_made_a_capped_one(request, kind, capture):
    database = request.getfixturevalue("db" if kind == "replica_set" else "standalone_db")
    bands = tracked(database, capture=capture)
    step(bands, 1)
    before = everything(database)
    database.command("convertToCapped", "bands", size=4096)
    bands.insert_one({"_id": 99, "pad": "y" * 3_000})
    for verb in (
        bands.status,
        bands.has_changes,
        bands.discard_changes,
        bands.stash,
        lambda: bands.register("x"),
        lambda: bands.checkout("main@0"),
        lambda: bands.reset("main@0", hard=True),
    ):
        with pytest.raises(errors.NotSupported, match="capped collection now"):
            verb()
    assert bands.at("main@0").count_documents({}) == 3
    database["bands"].drop()
    assert bands.discard_changes()
    assert everything(database)["bands"] == before["bands"]
    assert "capped" not in bands.options()
    assert problems(bands) == []


def test_untracked_wrong_arguments(anydb):
    bands = untracked(anydb)
    with pytest.raises(errors.InvalidType):
        bands.init(message=5)
    with pytest.raises(errors.InvalidArgument):
        bands.init(metadata={"a": object()})
    with pytest.raises(errors.InvalidArgument):
        bands.checkout()
    assert anydb.list_collection_names() == ["bands"]
