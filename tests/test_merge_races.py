"""Other clients, and late owners, in the middle of merges that wait for decisions."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import problems
from pymongo import MongoClient, monitoring
from pymongo.database import Database

from versioned_collection import MISSING, UNRESOLVED, Side, VersionedCollection, errors
from versioned_collection.trackers import conflicts


class Meanwhile(monitoring.CommandListener):
    """Does something once, right before an update of the collection is sent."""

    action: Any = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command.get("update") == "bands" and self.action is not None:
            action, self.action = self.action, None
            action()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def waiting(db: Database, documents: int = 4) -> VersionedCollection:
    """Return a collection with two conflicts, in a and b, in each of its documents."""
    bands = forked(db, documents)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    return bands


def forked(db: Database, documents: int = 4) -> VersionedCollection:
    """Return a collection whose branches are at odds in a and b of each document."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": n, "a": 0, "b": 0, "n": 0} for n in range(documents)])
    bands.init()
    bands.create_branch("side")
    for branch in ("side", "main"):
        bands.checkout(branch)
        bands.update_many({}, {"$set": {"a": branch, "b": branch, f"of {branch}": 1}})
        bands.register(branch)
    return bands


def settle_all(bands: VersionedCollection) -> None:
    """Take their side everywhere, register, and look."""
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.count_documents({"a": "side", "b": "side"}) == 4
    assert bands.register()
    assert problems(bands) == []


def test_decisions_overtaken_by_a_writer_still_wait(anydb):
    """The writer's document stays, and so do its conflicts; the others are settled."""
    bands = waiting(anydb)

    def disturb(conflict: Any, context: Any) -> Any:
        if not bands.find_one({"_id": 2, "n": 1}):
            bands.update_one({"_id": 2}, {"$set": {"n": 1}})
        return Side.THEIRS

    assert not bands.resolve_conflicts(resolver=disturb)
    assert [one.document_id for one in bands.conflicts()] == [2, 2]
    settle_all(bands)
    assert bands.find_one({"_id": 2})["n"] == 1


def test_a_decision_overtaken_by_a_writer_is_refused(anydb):
    listener = Meanwhile()
    with MongoClient(*anydb.client.address, event_listeners=[listener]) as client:
        bands = waiting(client[anydb.name])
        one = next(bands.conflicts())
        other = VersionedCollection(anydb, "bands")
        listener.action = lambda: other.update_one({"_id": 0}, {"$set": {"n": 1}})
        with pytest.raises(errors.WorkingCopyChanged, match="still waits"):
            bands.resolve_conflict(one, "decided")
        assert next(bands.conflicts()) == one
        bands.resolve_conflict(one, "decided")
        assert bands.find_one({"_id": 0})["a"] == "decided"
        assert bands.resolve_conflicts(resolver="theirs")
        assert bands.find_one({"_id": 0})["n"] == 1
        assert problems(bands) == []


def test_an_overtaken_decision_on_a_stash_keeps_the_stash(anydb):
    """The last decision ends it; one that was not carried out is not the last."""
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": n, "a": 0, "n": 0} for n in range(3)])
    bands.init()
    bands.update_many({}, {"$set": {"a": "stashed"}})
    bands.stash()
    bands.update_many({}, {"$set": {"a": "mine"}})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)

    def disturb(conflict: Any, context: Any) -> Any:
        if not bands.find_one({"_id": 1, "n": 1}):
            bands.update_one({"_id": 1}, {"$set": {"n": 1}})
        return Side.THEIRS

    assert not bands.resolve_conflicts(resolver=disturb)
    assert [one.document_id for one in bands.conflicts()] == [1]
    assert bands.has_stash()
    assert bands.gc()["stashes"] == 0
    assert bands.resolve_conflicts(resolver="theirs")
    assert not bands.has_stash()
    assert bands.count_documents({"a": "stashed"}) == 3
    assert bands.find_one({"_id": 1})["n"] == 1


def test_a_stash_of_which_a_part_stayed_away_is_kept(anydb, small_limits):
    """Another client changed a document while many were written, and conflicts wait."""
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": n, "a": 0} for n in range(6)])
    bands.init()
    bands.update_many({}, {"$set": {"a": "stashed"}})
    bands.stash()
    bands.update_one({"_id": 0}, {"$set": {"a": "mine"}})
    other = anydb["bands"] if bands.capture_mode == "change_stream" else bands

    def meddle(phase: str, count: int) -> None:
        other.update_one({"_id": 5, "a": 0}, {"$set": {"a": "theirs"}})

    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True, progress=meddle)
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.find_one({"_id": 5})["a"] == "theirs"
    assert bands.count_documents({"a": "stashed"}) == 5
    assert bands.has_stash(), "one of its changes is nowhere else"
    assert bands.gc()["stashes"] == 0
    assert bands.stash_apply(merge=True, resolver="theirs")
    assert bands.count_documents({"a": "stashed"}) == 6


def test_a_page_of_conflicts_is_bounded_by_bytes(anydb, monkeypatch):
    """Those of one document stay together."""
    bands = waiting(anydb)
    monkeypatch.setattr(conflicts, "PAGE_BYTES", 60)
    pages = bands._repository.conflicts.of_merge(bands._repository.state().merge["id"])
    assert [len(page) for page in pages] == [2, 2, 4]
    settle_all(bands)


def test_one_decision_for_all_where_another_client_changed_a_document(anydb, small_limits):
    """What it should have become has our values in places that wait; theirs come after it."""
    bands = forked(anydb)
    other = anydb["bands"] if bands.capture_mode == "change_stream" else bands

    def meddle(phase: str, count: int) -> None:
        if phase == "recorded":
            other.update_one({"_id": 2}, {"$set": {"n": 1}})

    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side", progress=meddle)
    settle_all(bands)
    assert bands.find_one({"_id": 2})["of side"] == 1


def test_decisions_in_a_document_that_another_client_changed(anydb, small_limits, monkeypatch):
    """That one is a conflict of its own, which leaves those of other places to be decided."""
    monkeypatch.setattr(conflicts, "PAGE", 1_000)
    bands = forked(anydb)
    other = anydb["bands"] if bands.capture_mode == "change_stream" else bands

    def meddle(phase: str, count: int) -> None:
        if phase == "recorded":
            other.update_one({"_id": 2}, {"$set": {"n": 1}})

    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side", progress=meddle)
    assert [one.path for one in bands.conflicts() if one.document_id == 2] == [(), ("a",), ("b",)]

    def places(conflict: Any, context: Any) -> Any:
        return Side.THEIRS if conflict.path else UNRESOLVED

    assert not bands.resolve_conflicts(resolver=places)
    assert [one.path for one in bands.conflicts()] == [()]
    found = bands.find_one({"_id": 2})
    assert (found["a"], found["b"], found["n"]) == ("side", "side", 1)


def stashed(db: Database, documents: int = 6) -> VersionedCollection:
    """Return a collection with a stash of all documents, which clashes with the first one."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": n, "a": 0, "b": 0} for n in range(documents)])
    bands.init()
    bands.update_many({}, {"$set": {"a": "stashed"}})
    bands.stash()
    bands.update_one({"_id": 0}, {"$set": {"a": "mine"}})
    return bands


def values(bands: VersionedCollection) -> list[Any]:
    return [one["a"] for one in bands.find(sort=[("_id", 1)])]


def test_taking_a_stash_out_leaves_what_overtook_it(anydb, small_limits):
    """The writer's document was never what the stash made of it."""
    bands = stashed(anydb)
    other = anydb["bands"] if bands.capture_mode == "change_stream" else bands

    def meddle(phase: str, count: int) -> None:
        other.update_one({"_id": 5, "a": 0}, {"$set": {"a": "theirs"}})

    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True, progress=meddle)
    assert bands.abort_merge()
    assert values(bands) == ["mine", 0, 0, 0, 0, "theirs"]
    assert bands.status()["changes"]["updated"] == 2
    assert bands.has_stash()
    assert problems(bands) == []


@pytest.mark.parametrize("limits", ["usual", "small"])
def test_taking_a_stash_out_leaves_what_was_written_since(anydb, limits, request):
    """Decisions go, as they are ours; what another client wrote is nowhere else."""
    if limits == "small":
        request.getfixturevalue("small_limits")
    bands = stashed(anydb)
    bands.update_many({"_id": {"$lte": 4}}, {"$set": {"a": "mine"}})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    other = VersionedCollection(anydb, "bands")
    other.update_one({"_id": 1}, {"$set": {"b": "before the decision"}})
    assert not bands.resolve_conflicts(
        resolver=lambda conflict, _: UNRESOLVED if conflict.document_id == 4 else Side.THEIRS
    )
    other.update_one({"_id": 2}, {"$set": {"b": "after it"}})
    other.delete_one({"_id": 3})
    assert bands.abort_merge()
    assert values(bands) == ["mine", "stashed", "stashed", "mine", 0]
    assert [one["b"] for one in bands.find(sort=[("_id", 1)])] == [
        0, "before the decision", "after it", 0, 0,
    ]  # fmt: skip
    assert bands.find_one({"_id": 3}) is None
    assert bands.has_stash()
    assert problems(bands) == []


def test_taking_a_stash_out_takes_all_decisions_back(anydb, small_limits):
    """Also where several were made in one document, one after the other."""
    bands = stashed(anydb)
    bands.stash_discard()
    bands.discard_changes()
    bands.update_many({}, {"$set": {"a": "stashed", "b": "stashed"}})
    bands.delete_one({"_id": 5})
    bands.stash()
    bands.update_many({}, {"$set": {"a": "mine", "b": "mine"}})
    before = list(bands.find(sort=[("_id", 1)]))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    for conflict in list(bands.conflicts())[1:]:
        bands.resolve_conflict(conflict, Side.THEIRS)
    assert bands.find_one({"_id": 5}) is None
    assert bands.abort_merge()
    assert list(bands.find(sort=[("_id", 1)])) == before
    assert problems(bands) == []


def test_taking_a_stash_out_leaves_what_took_the_place_of_a_document(anydb, small_limits):
    """The server takes its id for the one that would come back."""
    bands = stashed(anydb)
    bands.stash_discard()
    bands.update_many({}, {"$set": {"a": "stashed"}})
    bands.delete_one({"_id": 5})
    bands.stash()
    bands.update_one({"_id": 0}, {"$set": {"a": "mine"}})
    with pytest.raises(errors.AutoMergeFailedError):
        bands.stash_apply(merge=True)
    VersionedCollection(anydb, "bands").insert_one({"_id": 5.0, "a": "theirs"})
    assert bands.abort_merge()
    assert values(bands) == ["mine", 0, 0, 0, 0, "theirs"]
    assert isinstance(bands.find_one({"_id": 5})["_id"], float)
    assert problems(bands) == []


@pytest.mark.parametrize("resolver", ["theirs", "ours"])
def test_a_document_that_is_gone_stops_no_other_decision(anydb, resolver):
    bands = waiting(anydb)
    other = VersionedCollection(anydb, "bands")
    other.delete_one({"_id": 1})
    assert not bands.resolve_conflicts(resolver=resolver)
    assert [(one.document_id, one.path) for one in bands.conflicts()] == [(1, ("a",)), (1, ("b",))]
    assert bands.count_documents({"a": "side" if resolver == "theirs" else "main"}) == 3
    one, another = bands.conflicts()
    with pytest.raises(errors.PlaceGone, match="MISSING"):
        bands.resolve_conflict(one, Side.THEIRS)
    assert len(list(bands.conflicts())) == 2
    bands.resolve_conflict(one, MISSING)
    assert bands.find_one({"_id": 1}) is None
    other.insert_one({"_id": 1, "a": "back"})
    bands.resolve_conflict(another, Side.THEIRS)
    assert bands.find_one({"_id": 1}) == {"_id": 1, "a": "back", "b": "side"}
    assert bands.register()
    assert problems(bands) == []


def test_a_place_that_is_gone_stops_no_other_decision(anydb):
    bands = VersionedCollection(anydb, "bands")
    bands.insert_many([{"_id": n, "at": {"x": 0}, "b": 0} for n in range(3)])
    bands.init()
    bands.create_branch("side")
    for branch in ("side", "main"):
        bands.checkout(branch)
        bands.update_many({}, {"$set": {"at.x": branch, "b": branch}})
        bands.register(branch)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    bands.update_one({"_id": 1}, {"$unset": {"at": ""}})
    assert not bands.resolve_conflicts(resolver="theirs")
    (left,) = bands.conflicts()
    assert (left.document_id, left.path) == (1, ("at", "x"))
    assert bands.find_one({"_id": 1}) == {"_id": 1, "b": "side"}
    assert bands.count_documents({"at.x": "side", "b": "side"}) == 2
    with pytest.raises(errors.PlaceGone, match="without a resolver"):
        bands.resolve_conflict(left, Side.THEIRS)
    bands.update_one({"_id": 1}, {"$set": {"at": {}}})
    assert bands.resolve_conflicts(resolver="theirs")
    assert bands.find_one({"_id": 1})["at"] == {"x": "side"}
    assert bands.register()
    assert problems(bands) == []
