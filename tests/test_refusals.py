"""What the server refuses is told in words; what a client asks of its reads is not for ours."""

from __future__ import annotations

import pytest
from api_support import edit, mark, problems, raws, step, tracked, untracked
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.server_api import ServerApi

from versioned_collection import VersionedCollection
from versioned_collection.committing.steps import Steps
from versioned_collection.errors import (
    AutoMergeFailedError,
    DocumentRejected,
    InvalidArgument,
    NotSupported,
)
from versioned_collection.merges import merging

BAD = {"$bad": 1}

ASKED = {
    "restore": lambda bands: bands.restore(BAD, "main@0"),
    "find_versions": lambda bands: list(bands.find_versions(BAD)),
    "bisect": lambda bands: bands.bisect("main@0", "main@1", BAD),
    "register": lambda bands: bands.register("part", only=BAD),
    "purge": lambda bands: bands.purge(filter=BAD, reason="asked to"),
    "add_check": lambda bands: bands.add_check("odd", [BAD]),
}


@pytest.mark.parametrize("verb", ASKED)
def test_a_filter_that_the_server_refuses(db, verb):
    bands = tracked(db)
    step(bands, 1)
    edit(bands, 2)
    log = bands.get_log()
    with pytest.raises(InvalidArgument, match="bad") as caught:
        ASKED[verb](bands)
    assert "RawBSON" not in str(caught.value)
    assert "clusterTime" not in str(caught.value)
    assert bands.get_log() == log


@pytest.mark.parametrize(
    "read",
    [
        lambda past: list(past.find(BAD)),
        lambda past: list(past.aggregate([BAD])),
        lambda past: past.count_documents(BAD),
        lambda past: past.distinct("name", BAD),
    ],
    ids=["find", "aggregate", "count_documents", "distinct"],
)
def test_reads_of_the_past_are_refused_as_those_of_the_driver(db, read):
    bands = tracked(db)
    step(bands, 1)
    with pytest.raises(OperationFailure, match="bad") as theirs:
        read(db.bands)
    with pytest.raises(OperationFailure, match="bad") as ours:
        read(bands.at("main@0"))
    assert ours.value.code == theirs.value.code
    assert ours.value.details["errmsg"]
    assert "RawBSON" not in str(ours.value)


def test_a_unique_index_in_the_way_of_a_worktree(db):
    bands = untracked(db)
    bands.update_many({}, {"$set": {"label": "same"}})
    bands.init("start")
    bands.create_branch("later")
    for band in bands.find():
        bands.update_one({"_id": band["_id"]}, {"$set": {"label": band["_id"]}})
    bands.register("labels of their own")
    bands.create_index("label", unique=True)
    with pytest.raises(DocumentRejected, match=r"dup key.*Drop the index") as caught:
        bands.worktree("main", "bands_main")
    assert "RawBSON" not in str(caught.value)
    assert problems(bands) == []


@pytest.mark.parametrize("level", ["linearizable", "snapshot", "majority"])
def test_verbs_read_as_they_need_it_whatever_the_client_asks_for(server, db, level):
    tracked(db)
    with MongoClient(server.uri, readConcernLevel=level) as client:
        bands = VersionedCollection(client[db.name], "bands")
        edit(db.bands, 1)
        assert bands.has_changes()
        assert bands.register("second")
        edit(db.bands, 2)
        assert bands.discard_changes()
        assert bands.checkout("main@0")
        assert bands.checkout("main")
        assert bands.purge(ids=[1], reason="asked to")
        assert problems(bands) == []
    assert db.bands.find_one({"_id": 1}) is None


def test_a_filter_that_only_a_collection_can_answer(db):
    bands = tracked(db)
    step(bands, 1)
    where = {"$where": "this._id == 1"}
    with pytest.raises(InvalidArgument, match=r"no collection.*\$where"):
        list(bands.find_versions(where))
    edit(bands, 2)
    assert bands.restore(where).updated == 1
    with pytest.raises(InvalidArgument, match="refuses the filter") as caught:
        bands.restore(BAD)
    assert "cannot be" not in str(caught.value)


def test_a_client_with_a_strict_api(server, db):
    bands = untracked(db)
    with MongoClient(server.uri, server_api=ServerApi("1", strict=True)) as client:
        strict = VersionedCollection(client[db.name], "bands")
        with pytest.raises(NotSupported, match="that is not strict") as caught:
            strict.init()
        assert caught.value.reason
        assert db.list_collection_names() == ["bands"]
        bands.init()
        step(bands, 1)
        edit(bands, 2)
        verbs = {
            "stash": strict.stash,
            "size": strict.size,
            "gc": strict.gc,
            "at": lambda: strict.at("main@0").count_documents({}),
        }
        for name, verb in verbs.items():
            with pytest.raises(NotSupported, match="that is not strict"):
                verb()
            assert mark(bands) == 2, name
        assert strict.register("what the API has is enough for this") is True
    assert not bands.has_stash()
    assert problems(bands) == []


HALF = b"x" * (9 << 20)
"""Of what no document can hold twice."""

JOINS = {
    "merge": lambda bands: bands.merge("side"),
    "rebase": lambda bands: bands.rebase("side"),
    "cherry_pick": lambda bands: bands.cherry_pick("side"),
    "stash_apply": lambda bands: bands.stash_apply(merge=True),
}


def halves(db):
    """Return a collection whose branches gave one document a large field each; so does a stash."""
    bands = tracked(db)
    bands.create_branch("side")
    bands.update_one({"_id": 1}, {"$set": {"theirs": HALF}})
    bands.register("theirs")
    bands.checkout("main")
    bands.update_one({"_id": 1}, {"$set": {"stashed": HALF}})
    bands.stash()
    bands.update_one({"_id": 1}, {"$set": {"ours": HALF}})
    bands.register("ours")
    return bands


@pytest.fixture(params=["db", "standalone_db"])
def each_db(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("known", [True, False], ids=["known before", "not sent by the driver"])
def test_sides_that_are_too_large_together(each_db, known, monkeypatch):
    bands = halves(each_db)
    before, log = raws(bands), bands.get_log()
    if not known:
        monkeypatch.setattr(merging, "LARGEST_DOCUMENT", 1 << 30)
    for verb in JOINS if known else ("merge", "stash_apply"):
        expected = "_id 1 would take .* Make it smaller" if known else "too large"
        with pytest.raises(DocumentRejected, match=expected):
            JOINS[verb](bands)
        bands = VersionedCollection(each_db, "bands")
        assert (raws(bands), bands.get_log()) == (before, log)
        states = (bands.has_changes(), bands.has_conflicts(), len(bands.stashes()))
        assert states == (False, False, 1)
    assert problems(bands) == []


def test_whoever_opens_the_collection_takes_back_what_is_too_large(standalone_db, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    bands = halves(standalone_db)
    before = raws(bands)
    with monkeypatch.context() as patch:
        patch.setattr(merging, "LARGEST_DOCUMENT", 1 << 30)
        patch.setattr(Steps, "_back_out", dies)
        with pytest.raises(KeyboardInterrupt):
            bands.merge("side")
    assert raws(bands) != before
    bands = VersionedCollection(standalone_db, "bands")
    assert raws(bands) == before
    assert not bands.has_changes()
    assert problems(bands) == []


def test_a_decision_that_is_too_large(each_db):
    bands = tracked(each_db)
    bands.create_branch("side")
    step(bands, "theirs")
    bands.checkout("main")
    step(bands, "ours")
    with pytest.raises(AutoMergeFailedError):
        bands.merge("side")
    before, (conflict,) = raws(bands), bands.conflicts()
    for settle in (
        lambda: bands.resolve_conflict(conflict, HALF * 2),
        lambda: bands.resolve_conflicts(resolver=lambda conflict, context: HALF * 2),
    ):
        with pytest.raises(DocumentRejected, match="conflicts still wait") as caught:
            settle()
        assert caught.value.document_id == 1
        opened = VersionedCollection(each_db, "bands")
        assert (raws(opened), list(opened.conflicts())) == (before, [conflict])
    assert bands.abort_merge()
    assert problems(bands) == []
