"""Nothing is recorded in part: what keeps a change from being stored fails the verb.

Nor is anything read in part: verbs that meet a change that was lost later say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from api_support import problems, raws
from harness.trap import shrink_limits
from pymongo.errors import AutoReconnect, OperationFailure

from versioned_collection import Retention, VersionedCollection
from versioned_collection.errors import CorruptHistory, ResolverFailed, WorkingCopyChanged
from versioned_collection.trackers.deltas import DeltasCollection

DOCUMENTS = 14
VERBS = {
    "register": lambda bands: bands.register("all"),
    "merge": lambda bands: bands.merge("side"),
}
FAILURES = {
    "connection": AutoReconnect("the connection broke"),
    "unavailable": OperationFailure("try again later", 365),
    "cache": OperationFailure("Cache full while performing initial write", 112),
    "transient": OperationFailure("again", 112, {"errorLabels": ["TransientTransactionError"]}),
}


@pytest.fixture(params=["at once", "in steps"])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have changes come in several lists, as one transaction carries them or not."""
    limits = {"IDS_PER_READ": 3, "BATCH": 2, "FIRST_BATCH": 2}
    if request.param == "in steps":
        limits["SMALL_DOCUMENTS"] = 5
    shrink_limits(monkeypatch.setattr, limits)


def prepared(db: Any, verb: str) -> VersionedCollection:
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": n, "x": 0, "y": 0} for n in range(DOCUMENTS)])
    bands.init("start")
    if verb == "merge":
        bands.create_branch("side")
        bands.update_many({}, {"$set": {"x": 1}})
        bands.register("side")
        bands.checkout("main")
    bands.update_many({}, {"$set": {"y": 1}})
    if verb == "merge":
        bands.register("main")
    return bands


@pytest.mark.parametrize("turn", [0, 2, 4])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("verb", VERBS)
def test_deltas_that_are_not_stored(db, monkeypatch, batches, verb, failure, turn):
    bands = prepared(db, verb)
    before, log, changed = raws(bands), bands.get_log(), bands.has_changes()
    turns = iter(range(100))
    appending = DeltasCollection.appending

    def failing(*args: Any) -> Callable[[], int]:
        store = appending(*args)

        def attempt() -> int:
            if next(turns) == turn:
                raise FAILURES[failure]
            return store()

        return attempt

    with monkeypatch.context() as patch:
        patch.setattr(DeltasCollection, "appending", failing)
        with pytest.raises(type(FAILURES[failure])):
            VERBS[verb](bands)
    assert (raws(bands), bands.get_log(), bands.has_changes()) == (before, log, changed)
    assert problems(bands) == []
    assert VERBS[verb](bands)
    assert problems(bands) == []


@pytest.mark.parametrize("last", [3, DOCUMENTS - 1])
def test_a_resolver_that_raises_late(db, batches, last):
    bands = prepared(db, "merge")
    bands.update_many({}, {"$set": {"x": 2}})
    bands.register("both")
    before, log = raws(bands), bands.get_log()

    def resolve(conflict: Any, context: Any) -> Any:
        if conflict.document_id == last:
            raise RuntimeError("no idea")
        return conflict.theirs

    with pytest.raises(ResolverFailed):
        bands.merge("side", resolver=resolve)
    assert (raws(bands), bands.get_log()) == (before, log)
    assert problems(bands) == []


def test_nobody_waits_for_a_resolver(db, batches):
    """What it takes is time in which others write, also to documents that are merged already."""
    bands = prepared(db, "merge")
    bands.update_many({}, {"$set": {"x": 2}})
    bands.register("both")

    def resolve(conflict: Any, context: Any) -> Any:
        if conflict.document_id == DOCUMENTS - 1:
            db.command(
                "update",
                "bands",
                updates=[{"q": {"_id": 0}, "u": {"$set": {"theirs": 1}}}],
                maxTimeMS=2_000,
            )
        return conflict.theirs

    written = False
    try:
        bands.merge("side", resolver=resolve)
    except WorkingCopyChanged:
        pass
    else:
        written = True
    assert db.bands.find_one({"_id": 0})["theirs"] == 1
    assert written == (len(bands.resolve("HEAD").parents) == 2)
    assert problems(bands) == []


NEEDING_BOTH_SIDES = {
    "checkout": lambda bands: bands.checkout("side"),
    "reset": lambda bands: bands.reset("side"),
    "hard reset": lambda bands: bands.reset("side", hard=True),
    "merge": lambda bands: bands.merge("side"),
    "cherry_pick": lambda bands: bands.cherry_pick("side"),
    "rebase": lambda bands: bands.rebase("side"),
    "diff": lambda bands: bands.diff("side"),
    "changes": lambda bands: list(bands.changes("HEAD", "side")),
    "changes apart": lambda bands: list(bands.changes("main@1", "side")),
    "compare": lambda bands: bands.compare("HEAD", "side"),
    "at": lambda bands: list(bands.at("side").find()),
    "worktree": lambda bands: bands.worktree("side", "other"),
}
NEEDING_EARLIER_ONES = {
    "checkout": lambda bands: bands.checkout("main@0"),
    "at": lambda bands: list(bands.at("main@0").find()),
    "changes": lambda bands: list(bands.changes("main@0", "HEAD")),
    "revert": lambda bands: bands.revert("HEAD"),
    "undo": lambda bands: bands.undo(),
    "squash": lambda bands: bands.squash("main@1", "main@2"),
    "squash the last": lambda bands: bands.squash("main@2", message="other"),
    "thin_out": lambda bands: bands.thin_out(Retention(keep_last=1)),
    "rebase": lambda bands: bands.rebase("side"),
}


def parted(db: Any) -> VersionedCollection:
    """Return a collection at main@2, beside which side@0 changed several documents."""
    bands = prepared(db, "merge")
    bands.update_one({"_id": 0}, {"$set": {"y": 2}})
    bands.register("again")
    return VersionedCollection(db, "bands")


def refused(bands: VersionedCollection, verb: Any) -> None:
    """Have a verb refused, which changes nothing."""
    before = raws(bands), bands.get_log(), bands.resolve("HEAD").id, bands.branches()
    with pytest.raises(CorruptHistory, match=r"verify\(\).*backup.*clone\(\)"):
        verb(bands)
    after = raws(bands), bands.get_log(), bands.resolve("HEAD").id, bands.branches()
    assert after == before
    assert not bands.has_changes()


@pytest.mark.parametrize("verb", NEEDING_BOTH_SIDES)
def test_a_delta_that_was_lost(db, batches, verb):
    bands = parted(db)
    lost = {"version": bands.resolve("side").id, "document_id": DOCUMENTS - 1}
    assert db["__deltas_bands"].delete_one(lost).deleted_count == 1
    refused(VersionedCollection(db, "bands"), NEEDING_BOTH_SIDES[verb])


@pytest.mark.parametrize("verb", NEEDING_EARLIER_ONES)
def test_all_deltas_lost(db, batches, verb):
    parted(db)
    db.drop_collection("__deltas_bands")
    refused(VersionedCollection(db, "bands"), NEEDING_EARLIER_ONES[verb])


def test_a_lost_delta_on_the_way_forward(db, batches):
    bands = parted(db)
    bands.checkout("main@0")
    bands.create_branch("later")
    lost = {"version": bands.resolve("side").id, "document_id": DOCUMENTS - 1}
    db["__deltas_bands"].delete_one(lost)
    refused(VersionedCollection(db, "bands"), lambda bands: bands.merge("side"))


def test_a_lost_delta_between_an_overlay_and_head(db):
    bands = parted(db)
    list(bands.at("main@0").find())
    bands.update_one({"_id": 1}, {"$set": {"y": 3}})
    bands.register("further")
    db["__deltas_bands"].delete_many({"version": bands.resolve("HEAD").id})
    refused(VersionedCollection(db, "bands"), lambda bands: list(bands.at("main@0").find()))
