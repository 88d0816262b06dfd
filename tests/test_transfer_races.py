"""What others do to either side while a transfer is on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from api_support import problems, raws, tracked
from pymongo.database import Database
from remote_support import once, other_database, put

from versioned_collection import VersionedCollection, errors
from versioned_collection.remotes.founding import MongoFounding
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.staging import Staging
from versioned_collection.trackers.deltas import DeltasCollection

SECRET = {"_id": "secret", "name": "private"}


@pytest.fixture
def there(client) -> Iterator[Database[Any]]:
    with other_database(client) as database:
        yield database


def twin(bands: VersionedCollection, **options: Any) -> VersionedCollection:
    """Return the collection as another program has it."""
    return VersionedCollection(bands.database, bands.name, **options)


def with_secret(db: Database[Any]) -> VersionedCollection:
    """Return a collection that had a document in its second version alone."""
    bands = tracked(db)
    bands.insert_one(SECRET)
    bands.register("in")
    bands.delete_one({"_id": "secret"})
    bands.register("out")
    return bands


# -- a purge -------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["push", "fetch", "pull"])
def test_a_transfer_that_waited_for_a_purge_brings_nothing_back(db, there, monkeypatch, verb):
    """What was picked onto an older version is no version that the purge has changed."""
    purged = with_secret(db)
    other = VersionedCollection.clone(purged, there)
    other.checkout("main@0")
    other.create_branch("side")
    other.cherry_pick("main@1")
    inbox, waiting = MongoRemote.inbox, [True]

    @contextmanager
    def after_a_purge(remote: MongoRemote) -> Iterator[Staging]:
        if waiting:
            waiting.pop()
            twin(purged).purge(["secret"], reason="asked for")
        with inbox(remote) as staging:
            yield staging

    monkeypatch.setattr(MongoRemote, "inbox", after_a_purge)
    acts: dict[str, Callable[[], Any]] = {
        "push": lambda: other.push(purged, "side"),
        "fetch": lambda: purged.fetch(other),
        "pull": lambda: purged.pull(other, "side"),
    }
    with pytest.raises(errors.HistoryPurged):
        acts[verb]()
    assert not waiting
    assert not list(purged.find_versions({"_id": "secret"}))
    assert problems(purged) == []


def test_a_purge_of_both_sides_is_no_obstacle(db, there, monkeypatch):
    mine = with_secret(db)
    other = VersionedCollection.clone(mine, there)
    other.update_one({"_id": 1}, {"$set": {"more": True}})
    other.register("more")
    inbox = MongoRemote.inbox

    @contextmanager
    def after_purges(remote: MongoRemote) -> Iterator[Staging]:
        monkeypatch.setattr(MongoRemote, "inbox", inbox)
        for side in (mine, other):
            twin(side).purge(["nobody"], reason="asked for")
        with remote.inbox() as staging:
            yield staging

    monkeypatch.setattr(MongoRemote, "inbox", after_purges)
    assert other.push(mine)
    assert raws(mine) == raws(other)


def test_a_source_that_is_purged_while_it_is_cloned(db, there):
    source = with_secret(db)
    purge = once(lambda: twin(source).purge(["secret"], reason="asked for"))
    with pytest.raises(errors.InvalidOperation, match="purged while it was copied"):
        VersionedCollection.clone(source, there, progress=purge)
    assert not VersionedCollection(there, "bands").is_tracked()
    copy = VersionedCollection.clone(source, there)
    assert copy == source
    assert [one.reason for one in copy.purges()] == ["asked for"]
    assert not list(copy.find_versions({"_id": "secret"}))
    assert copy.pull(source)


# -- gc, rename, drop ----------------------------------------------------------------------


class Broken(Exception):
    """The program that pushed has come to its end."""


def break_off(phase: str, count: int) -> None:
    if phase == "versions" and count:
        raise Broken


def test_gc_while_a_transfer_takes_over_what_an_earlier_one_left(db, there, monkeypatch):
    bands = tracked(db)
    away = VersionedCollection.clone(bands, there)
    bands.update_many({}, {"$set": {"late": True}})
    bands.register("late")
    with pytest.raises(Broken):
        bands.push(away, progress=break_off)
    incoming = there["__incoming_bands"]
    for one in incoming.find():
        longer_ago = {"$set": {"announced": one["announced"] - timedelta(days=8)}}
        incoming.update_one({"_id": one["_id"]}, longer_ago)
    delete, pushed = DeltasCollection.delete, list[bool]()
    again = threading.Thread(target=lambda: pushed.append(twin(bands).push(twin(away))))

    def late(store: DeltasCollection, *args: Any) -> None:
        monkeypatch.setattr(DeltasCollection, "delete", delete)
        again.start()
        again.join(0.5)  # it has to wait until the garbage is gone
        store.delete(*args)

    monkeypatch.setattr(DeltasCollection, "delete", late)
    assert twin(away).gc()["versions_without_log_entry"] == 1
    again.join()
    assert pushed == [True]
    assert problems(away) == []
    assert raws(away) == raws(bands)


def test_gc_leaves_the_versions_to_a_transfer_under_way(db, there):
    bands = tracked(db)
    away = VersionedCollection.clone(bands, there)
    bands.update_many({}, {"$set": {"late": True}})
    bands.register("late")
    removed = list[dict[str, int]]()
    assert bands.push(away, progress=once(lambda: removed.append(twin(away).gc())))
    assert removed[0]["versions_without_log_entry"] == 0
    assert problems(away) == []


ends = pytest.mark.parametrize(
    "act",
    [
        lambda away: away.rename("groups"),
        lambda away: away.drop(),
        lambda away: away.delete_version_subtree("main@0"),
    ],
    ids=["rename", "drop", "delete the first version"],
)


def names_of_trackers(database: Database[Any]) -> list[str]:
    return [name for name in database.list_collection_names() if name.endswith("_bands")]


@ends
def test_a_collection_stays_where_it_is_while_versions_arrive(db, there, act):
    """What arrives would make trackers of the old name again."""
    bands = tracked(db)
    away = VersionedCollection.clone(bands, there)
    bands.update_many({}, {"$set": {"late": True}})
    bands.register("late")
    refused = list[Exception]()

    def try_it() -> None:
        with pytest.raises(errors.LeaseHeld, match="transfer is running") as caught:
            act(twin(away, lease_wait_seconds=0.2))
        refused.append(caught.value)

    assert bands.push(away, progress=once(try_it))
    assert len(refused) == 1
    assert raws(away) == raws(bands)
    act(away)
    assert names_of_trackers(there) == []


@ends
@pytest.mark.parametrize("verb", ["push", "fetch", "pull"])
def test_a_transfer_that_waited_while_the_history_went_away(db, there, monkeypatch, act, verb):
    """It makes no tracker of the old name again."""
    bands = tracked(db)
    away = VersionedCollection.clone(bands, there)
    put(bands, "late")
    inbox = MongoRemote.inbox

    @contextmanager
    def afterwards(remote: MongoRemote) -> Iterator[Staging]:
        act(twin(away))
        with inbox(remote) as staging:
            yield staging

    monkeypatch.setattr(MongoRemote, "inbox", afterwards)
    acts: dict[str, Callable[[], Any]] = {
        "push": lambda: bands.push(away),
        "fetch": lambda: away.fetch(bands),
        "pull": lambda: away.pull(bands),
    }
    with pytest.raises(errors.InvalidOperation, match="dropped or renamed meanwhile"):
        acts[verb]()
    assert names_of_trackers(there) == []
    assert problems(bands) == []


@ends
def test_a_push_from_where_the_history_went_away(db, there, act):
    bands = tracked(db)
    away = VersionedCollection.clone(bands, there)
    bands.add_remote("origin", "mongodb://nowhere/elsewhere")
    put(bands, "late")

    def end(phase: str, count: int) -> None:
        if phase == "versions" and count and twin(bands).is_tracked():
            act(twin(bands))

    assert bands.push(away, progress=end)
    assert names_of_trackers(db) == []
    assert problems(away) == []
    bands.insert_one({"_id": "new"})
    assert bands.init()
    assert bands.remotes() == []


# -- where the branches of a remote are ----------------------------------------------------


def test_a_push_of_another_branch_while_one_is_fetched(db, there, server):
    bands = tracked(db)
    mine = VersionedCollection.clone(server.uri.replace("/?", f"/{db.name}.bands?"), there)
    mine.create_branch("side")
    mine.update_one({"_id": 1}, {"$set": {"side": True}})
    mine.register("side")
    bands.update_one({"_id": 1}, {"$set": {"main": True}})
    bands.register("main")
    mine.fetch("origin", "main", progress=once(lambda: twin(mine).push("origin", "side")))
    assert mine.resolve("origin/side").id == mine.resolve("side").id
    assert mine.resolve("origin/main").id == bands.resolve("main").id
    mine.reset("HEAD~1")
    mine.register("side, said better")
    assert mine.push("origin", "side", force=True)


@pytest.mark.parametrize("verb", ["push", "fetch", "pull"])
def test_a_remote_that_is_removed_meanwhile_stays_removed(db, there, server, verb):
    bands = tracked(db)
    url = server.uri.replace("/?", f"/{db.name}.bands?")
    mine = VersionedCollection.clone(url, there)
    put(mine if verb == "push" else bands, "late")
    remove = once(lambda: twin(mine).remove_remote("origin"))
    assert getattr(mine, verb)("origin", progress=remove)
    assert mine.remotes() == []
    with pytest.raises(errors.RemoteNotFound):
        mine.fetch("origin")
    assert mine.add_remote("origin", url).branches == {}
    mine.fetch("origin")
    assert mine.resolve("origin/main").id == bands.resolve("main").id
    assert problems(mine) == []


def test_a_fetch_forgets_the_branches_that_are_no_more(db, there):
    bands = tracked(db)
    mine = VersionedCollection.clone(bands, there)
    bands.create_branch("side")
    mine.fetch(bands)
    (name,) = (one.name for one in mine.remotes())
    assert set(mine.remotes()[0].branches) == {"main", "side"}
    bands.checkout("main")
    bands.delete_branch("side")
    mine.fetch(bands)
    assert set(mine.remotes()[0].branches) == {"main"}
    assert mine.remotes()[0].name == name


# -- a late owner --------------------------------------------------------------------------


def test_names_that_a_first_push_gives_too_late_stay_where_they_are_by_now(db, there, monkeypatch):
    """Its owner froze for so long that another one made the copy, and went on."""
    mine = tracked(db)
    mine.tag("moving")
    name = MongoFounding._name

    def late(self, *given):
        monkeypatch.undo()
        there["__vc_lock"].update_many({}, {"$set": {"expires": None}})
        theirs = VersionedCollection(there, "bands")
        assert twin(mine).push(theirs, tags=True)
        theirs.insert_one({"_id": "theirs"})
        assert theirs.register("further on")
        theirs.delete_tag("moving")
        theirs.tag("moving")
        name(self, *given)

    monkeypatch.setattr(MongoFounding, "_name", late)
    with pytest.raises(errors.LeaseLost):
        mine.push(VersionedCollection(there, "bands"), tags=True)
    theirs = VersionedCollection(there, "bands")
    messages = [theirs.resolve(revision).message for revision in ("main", "HEAD", "moving")]
    assert messages == ["further on"] * 3
    assert not theirs.has_changes()
    assert problems(theirs) == []
