"""A verb that takes changes back, and that a unique index refuses, leaves everything as it was."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import problems, raws
from pymongo.database import Database

from versioned_collection import VersionedCollection, errors
from versioned_collection.committing.steps import Steps
from versioned_collection.errors import AutoMergeFailedError

PLAIN = [{"_id": number, "only": 0, "x": 0} for number in (1, 2, 3)]
"""Documents that no unique index on ``only`` takes together."""


def plain(db: Database[Any]) -> VersionedCollection:
    """Return a collection at main@0."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many(map(dict, PLAIN))
    bands.init()
    return bands


def numbered(bands: VersionedCollection, first: int) -> None:
    """Let the documents differ."""
    for number in (1, 2, 3):
        bands.update_one({"_id": number}, {"$set": {"only": first + number}})


def at_odds(bands: VersionedCollection) -> None:
    """Have a branch that conflicts with main, and be on main."""
    bands.create_branch("side")
    bands.update_many({}, {"$set": {"x": "theirs"}})
    bands.register("theirs")
    bands.checkout("main")
    bands.update_many({}, {"$set": {"x": "ours"}})
    bands.register("ours")


def merging(bands: VersionedCollection, there: Database[Any]) -> None:
    at_odds(bands)
    with pytest.raises(AutoMergeFailedError):
        bands.merge("side")


def rebasing(bands: VersionedCollection, there: Database[Any]) -> None:
    at_odds(bands)
    bands.checkout("side")
    with pytest.raises(AutoMergeFailedError):
        bands.rebase("main")


def pulling(bands: VersionedCollection, there: Database[Any]) -> None:
    other = VersionedCollection.clone(bands, there)
    other.update_many({}, {"$set": {"x": "theirs"}})
    other.register("theirs")
    bands.update_many({}, {"$set": {"x": "ours"}})
    bands.register("ours")
    with pytest.raises(AutoMergeFailedError):
        bands.pull(other)


def ahead(bands: VersionedCollection, there: Database[Any]) -> None:
    bands.update_many({}, {"$set": {"x": 1}})
    bands.register("one")


VERBS: dict[str, tuple[Any, Any]] = {
    "discard": (ahead, lambda c: c.discard_changes()),
    "stash": (ahead, lambda c: c.stash()),
    "reset": (ahead, lambda c: c.reset("main@0", hard=True)),
    "delete": (ahead, lambda c: c.delete_version_subtree("main@1")),
    "abort a merge": (merging, lambda c: c.abort_merge()),
    "abort a rebase": (rebasing, lambda c: c.abort_merge()),
    "abort a pull": (pulling, lambda c: c.abort_merge()),
    "theirs": (pulling, lambda c: c.resolve_conflicts(discard_local_changes=True)),
}


def seen(bands: VersionedCollection) -> Any:
    """Return what a refused verb must leave."""
    status = {name: value for name, value in bands.status().items() if name != "capture"}
    conflicts = [(one.document_id, one.path) for one in bands.conflicts()]
    return raws(bands), bands.resolve("HEAD").label, bands.branches(), status, conflicts


def refused(bands: VersionedCollection, verb: Any) -> None:
    """Call a verb that the server refuses, twice."""
    before = seen(bands)
    for _ in range(2):
        with pytest.raises(errors.DocumentRejected, match="only"):
            verb(bands)
        assert seen(bands) == before
        assert problems(bands) == []
    bands.gc()
    assert bands.database["__stash_bands"].count_documents({}) == 0


@pytest.mark.parametrize("limits", ["usual", "small"])
@pytest.mark.parametrize("verb", VERBS)
def test_documents_of_head_are_refused(anydb, there, request, verb, limits):
    prepare, act = VERBS[verb]
    bands = plain(anydb)
    prepare(bands, there)
    numbered(bands, 10)
    bands.create_index("only", unique=True)
    if limits == "small":
        request.getfixturevalue("small_limits")
    refused(bands, act)
    bands.drop_index("only_1")
    assert act(bands)
    assert not bands.status()["merging"]
    assert {one["only"] for one in bands.find()} == {0}
    assert problems(bands) == []


@pytest.mark.parametrize("limits", ["usual", "small"])
@pytest.mark.parametrize("verb", ["reset", "delete"])
def test_documents_on_the_way_are_refused(anydb, request, verb, limits):
    """Those of HEAD fit, so that the changes are gone when the way ends."""
    bands = plain(anydb)
    numbered(bands, 10)
    bands.register("numbered")
    bands.create_index("only", unique=True)
    numbered(bands, 20)
    bands.delete_one({"_id": 2})
    bands.insert_one({"_id": 4, "only": "precious"})
    if limits == "small":
        request.getfixturevalue("small_limits")
    refused(bands, VERBS[verb][1])
    assert bands.find_one({"_id": 4}) is not None


def test_what_others_changed_meanwhile_stays_theirs(anydb, small_limits, monkeypatch):
    """What cannot go back any more is in the latest stash."""
    bands = plain(anydb)
    numbered(bands, 10)
    bands.create_index("only", unique=True)
    return_changes = Steps._return_changes

    def disturbed(self: Any, *args: Any) -> None:
        bands.database["bands"].insert_one({"_id": 3, "only": "elsewhere"})
        return_changes(self, *args)

    monkeypatch.setattr(Steps, "_return_changes", disturbed)
    with pytest.raises(errors.DocumentRejected, match="the latest stash has them"):
        bands.discard_changes()
    monkeypatch.undo()
    assert {one["_id"]: one["only"] for one in bands.find()} == {1: 11, 2: 12, 3: "elsewhere"}
    (stash,) = bands.stashes()
    assert "discard_changes" in stash.message
    assert problems(bands) == []
