"""push, fetch, pull and clone: what arrives is what was sent, and nothing else becomes visible."""

from __future__ import annotations

import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
import strategies
from api_support import (
    edit,
    everything,
    grown,
    mark,
    problems,
    raws,
    step,
    tracked,
    untracked,
)
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from harness.scenarios import contents
from harness.transfers import lengthen, line_to
from harness.trap import Trap
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from remote_support import assert_absent, once, outgrown
from strategies import (
    NUMBER_TWINS,
    ODD_IDS,
    ODD_NAMES,
    ODD_SCALARS,
    double,
    int32,
    timestamp,
    with_id,
)
from test_exactness import Box, change, common

from versioned_collection import VersionedCollection, embedded, errors
from versioned_collection.committing import at_once
from versioned_collection.committing.committer import Committer
from versioned_collection.core.document import document_key, twin_token
from versioned_collection.remotes import transfer
from versioned_collection.remotes.fetching import seen
from versioned_collection.trackers.log import LogCollection
from versioned_collection.verbs import pull

MEGABYTE = 1024 * 1024


@pytest.fixture
def dbs(client, standalone_client) -> Iterator[Callable[[str], Database[Any]]]:
    """Make empty databases, on a replica set or on a standalone server."""
    made = []

    def fresh(kind: str = "replica_set") -> Database[Any]:
        where = client if kind == "replica_set" else standalone_client
        made.append(where[f"side_{uuid.uuid4().hex[:12]}"])
        return made[-1]

    yield fresh
    for database in made:
        database.client.drop_database(database.name)


@pytest.fixture
def there(dbs) -> Database[Any]:
    """The database of the other side."""
    return dbs()


def opposite(bands: VersionedCollection, database: Database[Any]) -> VersionedCollection:
    """Return the collection of this name in another database."""
    return VersionedCollection(database, bands.name)


def assert_same(one: VersionedCollection, other: VersionedCollection) -> None:
    """Check that both sides have the same history, and the same bytes."""
    assert problems(one) == []
    assert problems(other) == []
    assert one == other
    assert contents(one.database, one.name) == contents(other.database, other.name)
    assert not other.has_changes()
    mine, theirs = (
        {entry.id: entry for entry in side._repository.log.get_many()} for side in (one, other)
    )
    assert {i: e.checksum for i, e in mine.items()} == {i: e.checksum for i, e in theirs.items()}


# -- exactness -----------------------------------------------------------------------------


def distinct(ids: Any) -> list[Any]:
    """Return ids that the server keeps apart."""
    found: dict[Any, Any] = {}
    for one in ids:
        found.setdefault(twin_token(bytes((one[0],)) + one[1]), one)
    return list(found.values())


def odd_documents(shift: int) -> list[bytes]:
    """Return documents with every odd value, name and id."""
    around = len(ODD_SCALARS)
    values = [
        with_id(int32(1_000 + n), [(b"a", ODD_SCALARS[(n + shift) % around]), (b"b", int32(n))])
        for n in range(around)
    ]
    named = [
        with_id(int32(2_000 + n), [(name, int32(shift)), (b"x", int32(1)), (name, int32(n))])
        for n, name in enumerate(ODD_NAMES)
    ]
    ids = [with_id(one, [(b"v", int32(shift))]) for one in distinct(ODD_IDS)]
    return [*values, *named, *ids]


KINDS = [
    ("replica_set", "replica_set"),
    ("replica_set", "standalone"),
    ("standalone", "replica_set"),
]


@pytest.mark.parametrize(("one", "other"), KINDS, ids=["-".join(kinds) for kinds in KINDS])
def test_odd_documents_there_and_back(dbs, one, other):
    with Box(dbs(one), init=odd_documents(0)) as box:
        for raw in odd_documents(1):
            if document_key(raw) not in {bytes((t,)) + v for t, v in NUMBER_TWINS}:
                box.put(raw)
        box.put(with_id(double(1.0), [(b"twin", timestamp(0, 0))]))
        assert box.register()
        away = opposite(box.vc, dbs(other))
        assert box.vc.push(away)
        assert_same(box.vc, away)
        third = VersionedCollection.clone(away, dbs(one))
        assert_same(box.vc, third)
        box.put(with_id(int32(1), [(b"twin", timestamp(0, 0)), (b"twin", double(-0.0))]))
        box.delete(document_key(with_id(int32(1_001), [])))
        assert box.register()
        assert box.vc.push(away)
        assert third.pull(away)
        assert_same(box.vc, away)
        assert_same(box.vc, third)
        for version in box.recorded:
            assert away.checkout(version)
            assert sorted(raws(away)) == sorted(box.recorded[version].values())


def play(fresh: Callable[[], Database[Any]], data: st.DataObject) -> None:
    """Random changes, each registered and pushed, and fetched elsewhere."""
    init = data.draw(st.lists(strategies.documents(), max_size=4))
    with Box(fresh(), init=init) as box:
        away = opposite(box.vc, fresh())
        assert box.vc.push(away)
        third = VersionedCollection.clone(away, fresh())
        for _ in range(data.draw(st.integers(1, 3), label="versions")):
            change(box, data)
            box.register()
            box.vc.push(away)
            third.pull(away)
        assert_same(box.vc, away)
        assert_same(box.vc, third)


@settings(max_examples=2, derandomize=True, **common)
@given(data=st.data())
def test_random_documents(dbs, data):
    play(dbs, data)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@settings(max_examples=200, **common)
@given(data=st.data())
def test_many_random_documents(dbs, data):
    play(dbs, data)


@pytest.mark.parametrize(
    "kind", ["replica_set", pytest.param("standalone", marks=pytest.mark.sweep)]
)
def test_large_documents_travel_in_chunks(dbs, kind):
    bands = untracked(dbs(kind))
    bands.insert_one({"_id": "large", "v": "x" * (9 * MEGABYTE)})
    bands.init()
    away = opposite(bands, dbs())
    assert bands.push(away)
    bands.insert_one({"_id": "largest", "v": b"y" * int(15.9 * MEGABYTE)})
    bands.update_one({"_id": "large"}, {"$set": {"v": "z" * (9 * MEGABYTE), "w": 1}})
    bands.register("large")
    assert bands.push(away)
    bands.delete_one({"_id": "largest"})
    bands.register("gone")
    third = VersionedCollection.clone(away, dbs(kind))
    assert bands.push(away)
    assert third.pull(away)
    assert_same(bands, away)
    assert_same(bands, third)
    assert third.checkout("HEAD~1")
    assert len(third.find_one({"_id": "largest"})["v"]) == int(15.9 * MEGABYTE)


def mixed(count: int) -> list[dict[str, Any]]:
    """Return documents with ids of many types."""
    kinds: list[Callable[[int], Any]] = [
        int,
        str,
        lambda n: ObjectId(f"{n:024x}"),
        lambda n: {"a": n},
        lambda n: Decimal128(f"{n}.5"),
        lambda n: Int64(2**40 + n),
        lambda n: f"{n:0500d}",
    ]
    return [{"_id": kinds[n % len(kinds)](n), "n": n} for n in range(count)]


@pytest.mark.sweep
def test_fifteen_thousand_documents_with_mixed_ids(db, there):
    bands = VersionedCollection(db, "bands")
    bands.insert_many(mixed(15_000))
    bands.init()
    away = opposite(bands, there)
    assert bands.push(away)
    assert there["bands"].estimated_document_count() == 15_000
    assert (bands.version, bands.is_detached()) == (0, False)
    bands.update_many({"n": {"$gte": 1_000}}, {"$set": {"x": 1}})
    bands.delete_many({"n": {"$lt": 500}})
    assert bands.register("most")
    assert bands.push(away)
    assert_same(bands, away)


def test_merges_options_and_indexes_travel(db, there):
    db.create_collection(
        "bands",
        collation={"locale": "en", "strength": 2},
        validator={"_id": {"$exists": True}},
        validationLevel="moderate",
        validationAction="warn",
    )
    bands = grown(db)
    bands.create_index("name", unique=True)
    bands.create_index([("since.year", -1)], name="by year", sparse=True)
    bands.create_index("members", partialFilterExpression={"mark": {"$gt": 1}})
    bands.merge("side", resolver="theirs")
    bands.register("merged")
    away = opposite(bands, there)
    assert bands.push(away, all=True, tags=True)
    assert_same(bands, away)
    assert away.tags() == bands.tags()
    assert bands.options() == away.options()
    assert bands.index_information() == away.index_information()
    # two documents swap their unique values
    bands.delete_many({})
    bands.insert_many([{"_id": 1, "name": "Blur"}, {"_id": 2, "name": "Pulp"}])
    bands.register("swapped")
    assert bands.push(away)
    assert_same(bands, away)
    third = VersionedCollection.clone(away, db.client[f"{there.name}_3"])
    assert_same(bands, third)
    assert bands.index_information() == third.index_information()
    db.client.drop_database(third.database.name)


# -- first contact -------------------------------------------------------------------------


def test_documents_in_the_way_of_a_first_push_are_kept(db, there):
    bands = grown(db)
    there["bands"].insert_one({"_id": "theirs"})
    before, mine = everything(there), raws(bands)
    with pytest.raises(errors.InvalidOperation, match="1 document"):
        bands.push(there)
    assert everything(there) == before
    assert raws(bands) == mine
    assert (bands.version, bands.is_detached()) == (3, False)


def test_equal_documents_are_adopted(db, there):
    bands = grown(db)
    there["bands"].create_index("name", name="theirs")
    there["bands"].insert_many(list(db["bands"].find())[::-1])
    assert bands.push(there)
    away = opposite(bands, there)
    assert_same_main(bands, away)
    assert "theirs" in away.index_information()
    edit(away, "x")
    assert away.has_changes()


def assert_same_main(bands: VersionedCollection, away: VersionedCollection) -> None:
    assert contents(bands.database, "bands") == contents(away.database, "bands")
    assert problems(away) == []
    assert not away.has_changes()
    assert [v.id for v in bands.log()] == [v.id for v in away.log()]


@pytest.mark.parametrize("phase", ["versions", "changes", "documents"])
def test_documents_written_while_a_first_push_prepares(db, there, phase):
    bands = grown(db)
    bands.create_index("name")

    def meddle(now: str, count: int) -> None:
        if now == phase:
            there["bands"].update_one({"_id": "theirs"}, {"$inc": {"n": 1}}, upsert=True)

    with pytest.raises(errors.InvalidOperation, match="not tracked and holds 1 document"):
        bands.push(there, progress=meddle)
    away = opposite(bands, there)
    assert not away.is_tracked()
    assert [document["_id"] for document in there["bands"].find()] == ["theirs"]
    assert list(there["bands"].index_information()) == ["_id_"]
    there["bands"].delete_many({})
    assert bands.push(there)
    assert_same_main(bands, away)


@pytest.fixture
def meddling(monkeypatch, small_limits) -> Callable[[Callable[[], Any]], None]:
    """Let somebody write between the commit of a copy and the filling of the collection."""
    from versioned_collection.remotes import founding

    def use(write: Callable[[], Any]) -> None:
        class Meddled(founding.Committer):
            def complete(self, commit: Any) -> None:
                write()
                super().complete(commit)

        monkeypatch.setattr(founding, "Committer", Meddled)

    return use


@pytest.mark.parametrize("id_", ["theirs", 1], ids=["another", "same"])
def test_documents_written_while_a_first_push_fills_the_collection(db, there, meddling, id_):
    meddling(lambda: there["bands"].insert_one({"_id": id_, "theirs": True}))
    bands = grown(db)
    assert bands.push(there)
    away = opposite(bands, there)
    assert away.find_one({"theirs": True})["_id"] == id_
    assert away.has_changes()
    assert problems(away) == []
    assert away.discard_changes()
    assert_same_main(bands, away)


def test_a_document_that_cannot_be_filled_in_ends_a_first_push(db, there, meddling):
    """The server takes 1.0 and 1 for one id, so only one of the two documents can be there."""
    meddling(lambda: there["bands"].insert_one({"_id": 1.0, "theirs": True}))
    bands = grown(db)
    with pytest.raises(errors.DocumentRejected, match=f"'{there.name}.bands' itself"):
        bands.push(there)
    away = opposite(bands, there)
    assert not away.is_tracked()
    assert list(away.find()) == [{"_id": 1.0, "theirs": True}]


@pytest.mark.parametrize("kind", ["replica_set", "standalone"])
@pytest.mark.parametrize("index", [{"prepareUnique": True}, {"unique": True}, "2dsphere"])
def test_what_an_index_refused_is_not_sent_again(db, dbs, server, standalone_server, kind, index):
    bands, away = outgrown(db), dbs(kind)
    if index == "2dsphere":
        bands.drop_index("rank_1")
        bands.update_many({}, {"$unset": {"rank": 1}})
        bands.create_index([("rank", index)])
    elif "prepareUnique" in index:
        bands.drop_index("rank_1")
        bands.create_index("rank", **index)
    there = server if kind == "replica_set" else standalone_server
    with line_to(there.uri) as (other, line):
        with pytest.raises(errors.DocumentRejected, match="is as it was before, and not tracked"):
            bands.push(other[away.name])
        assert_absent(away)
        assert line.commands["insert __replica_bands"]
        line.clear()
        bands.drop_indexes()
        assert bands.push(other[away.name])
        assert line.commands["insert __replica_bands"] == 0
    bands.discard_changes()
    assert_same_main(bands, opposite(bands, away))


def test_a_tracked_or_foreign_target_is_refused(db, there):
    bands = grown(db)
    stranger = tracked(there)
    before = everything(there)
    with pytest.raises(errors.VersioningError) as caught:
        bands.push(there)
    assert isinstance(caught.value, (errors.InvalidOperation, errors.InvalidCollectionState))
    with pytest.raises(errors.InvalidCollectionState):
        bands.fetch(there)
    with pytest.raises(errors.InvalidOperation):
        VersionedCollection.clone(stranger, db)
    assert everything(there) == before
    assert problems(bands) == []


# -- a working copy at the remote ----------------------------------------------------------


@pytest.fixture
def pair(db, there) -> tuple[VersionedCollection, VersionedCollection]:
    """Two sides that are equal, with all branches."""
    bands = grown(db)
    bands.push(there, all=True, tags=True)
    return bands, opposite(bands, there)


def test_many_names_take_one_command(pair, server):
    bands, away = pair
    for turn in range(3):
        bands.tag(f"t{turn}")
        bands.create_branch(f"b{turn}")
    trap = Trap()
    with MongoClient(server.uri, event_listeners=[trap]) as client:
        trap.set()
        bands.push(client[away.database.name], all=True, tags=True)
    assert trap.seen.count("update __tags_bands") == 1
    assert trap.seen.count("update __branches_bands") == 1
    assert_same(bands, opposite(bands, away.database))


def test_a_dirty_working_copy_is_never_touched(pair):
    bands, away = pair
    edit(away, "uncommitted", 2)
    step(bands, 4)
    before = everything(away.database)
    with pytest.raises(errors.InvalidOperation, match="uncommitted changes"):
        bands.push(away)
    assert everything(away.database)["bands"] == before["bands"]
    assert away.version == 3
    assert away.branches() == bands.branches()
    assert bands.push(away, do_checkout=False)
    assert everything(away.database)["bands"] == before["bands"]
    assert (away.version, away.is_detached()) == (3, True)
    assert away.has_changes()
    assert problems(away) == []
    assert away.discard_changes()
    assert away.checkout(branch="main")
    assert_same(bands, away)


def test_a_branch_that_is_not_checked_out_moves_alone(pair):
    bands, away = pair
    away.checkout("side")
    edit(away, "uncommitted")
    step(bands, 4)
    assert bands.push(away)
    assert (away.branch, mark(away)) == ("side", "uncommitted")
    assert away.discard_changes()
    assert away.checkout("main")
    assert_same(bands, away)


def test_a_version_that_is_removed_before_a_name_points_to_it(pair):
    bands, away = pair
    bands.create_branch("feature")
    bands.tag("v3")
    bands.checkout("side")
    step(bands, 4)
    remove = once(lambda: away.delete_version_subtree(3, "main"))
    with pytest.raises(errors.InvalidOperation, match="removed meanwhile; try again"):
        bands.push(away, all=True, tags=True, progress=remove)
    assert (away.branches(), set(away.tags())) == ({"main", "side"}, {"v1"})
    assert bands.push(away, all=True, tags=True)
    assert problems(away) == []


@pytest.mark.parametrize("verb", ["push", "fetch"])
def test_a_version_that_is_removed_before_a_tag_points_to_it(pair, verb):
    bands, away = pair
    bands.tag("v3", "main@3")
    bands.checkout("side")
    step(bands, 4)
    remove = once(lambda: away.delete_version_subtree(3, "main"))
    act = {
        "push": lambda: bands.push(away, "side", tags=True, progress=remove),
        "fetch": lambda: away.fetch(bands, progress=remove),
    }[verb]
    with pytest.raises(errors.InvalidOperation, match="removed meanwhile; try again"):
        act()
    assert set(away.tags()) == {"v1"}
    assert problems(away) == []


@pytest.mark.parametrize("more", [False, True])
def test_what_was_fetched_is_removed_while_a_pull_builds_on_it(pair, monkeypatch, more):
    bands, away = pair
    step(bands, 4)
    away.fetch(bands)
    fetched = bands.resolve("main").id
    remove = once(lambda: away.delete_version_subtree(fetched))
    if more:
        step(bands, 5)
    else:  # nothing arrives

        def meddled(*args: Any) -> Any:
            remove("", 0)
            return seen(*args)

        monkeypatch.setattr(pull, "seen", meddled)
    with pytest.raises(errors.InvalidOperation, match="removed here meanwhile; try again"):
        away.pull(bands, progress=remove)
    assert problems(away) == []
    assert away.pull(bands)
    assert raws(bands) == raws(away)


def test_a_tag_that_is_set_at_the_remote_meanwhile(pair):
    bands, away = pair
    bands.tag("v3")
    bands.tag("v0", "main@0")
    step(bands, 4)

    def tag() -> None:
        away.tag("v3", "main@1")
        away.tag("v0", "main@0")

    with pytest.raises(errors.InvalidOperation, match="'v3' was set at the remote meanwhile"):
        bands.push(away, tags=True, progress=once(tag))
    assert bands.push(away, tags=True)
    assert [(name, one.label) for name, one in sorted(away.tags().items())] == [
        ("v0", "main@0"),
        ("v1", "main@1"),
        ("v3", "main@1"),
    ]


@pytest.mark.parametrize("phase", ["versions", "changes"])
def test_the_remote_goes_on_while_versions_arrive(pair, phase):
    """Whoever registers at the remote meanwhile wins; nothing of theirs is touched."""
    bands, away = pair
    step(bands, 4)
    done = []

    def meddle(now: str, count: int) -> None:
        if now == phase and not done:
            done.append(step(away, "theirs"))

    with pytest.raises(errors.InvalidOperation, match="diverged"):
        bands.push(away, progress=meddle)
    assert done
    assert (away.version, mark(away)) == (4, "theirs")
    assert problems(away) == []
    assert problems(bands) == []
    assert mark(bands) == 4


def test_writes_while_the_working_copy_follows(pair, monkeypatch):
    """A document that another client changes at the last moment stays as that client left it."""
    from versioned_collection.remotes import arrival

    bands, away = pair
    step(bands, 4)
    carry_out = arrival.carry_out

    def meddled(*arguments: Any) -> None:
        edit(away, "theirs")
        carry_out(*arguments)

    monkeypatch.setattr(arrival, "carry_out", meddled)
    with pytest.raises(errors.WorkingCopyChanged):
        bands.push(away)
    assert (away.version, mark(away)) == (3, "theirs")
    assert away.has_changes()
    assert problems(away) == []
    monkeypatch.undo()
    away.discard_changes()
    assert bands.push(away)
    assert_same(bands, away)


def test_two_pushers_of_different_versions(pair, dbs):
    bands, away = pair
    other = VersionedCollection.clone(away, dbs())
    step(bands, "mine")
    step(other, "theirs")
    assert other.push(away)
    before, at_home = everything(away.database), everything(bands.database)
    with pytest.raises(errors.InvalidOperation, match="diverged"):
        bands.push(away)
    assert everything(away.database) == before
    assert everything(bands.database) == at_home
    assert problems(away) == []


def test_two_pushers_of_the_same_versions(pair, dbs):
    """Who comes second waits, and finds there what the first has brought."""
    bands, away = pair
    step(bands, 4)
    twin = VersionedCollection.clone(bands, dbs())
    with ThreadPoolExecutor(1) as pool:
        pushed = []

        def meddle(phase: str, count: int) -> None:
            if not pushed:
                pushed.append(pool.submit(twin.push, away.database))

        assert bands.push(away, progress=meddle)
        assert pushed[0].result() is True
    assert_same(bands, away)


def test_too_many_versions_are_refused_before_anything_is_sent(pair, monkeypatch):
    bands, away = pair
    for turn in range(4):
        step(bands, turn)
    before = everything(away.database)
    monkeypatch.setattr(transfer, "MOST_VERSIONS", 3)
    for act in (lambda: bands.push(away), lambda: away.pull(bands)):
        with pytest.raises(errors.NotSupported, match="4 versions"):
            act()
        assert everything(away.database) == before


# -- the cost ------------------------------------------------------------------------------

MANY = 1_000
STRETCHES = 70
MOST_COMMANDS = 100
MOST_AT_REMOTE = {"push": 60, "pull": 11}


@pytest.mark.sweep
def test_a_thousand_versions_take_few_commands(server, db, there):
    """The number of commands is in proportion to bytes, not to versions."""
    bands = tracked(db)
    bands.push(there)
    lengthen(bands, MANY)
    assert problems(bands) == []
    with line_to(server.uri) as (here, near), line_to(server.uri) as (client, far):
        mine = VersionedCollection(here[db.name], "bands")
        away = VersionedCollection(client[there.name], "bands")
        near.clear()
        far.clear()
        assert mine.push(away)
        assert far.deltas == MANY
        assert far.total <= MOST_COMMANDS, far.commands
        assert near.total <= MOST_COMMANDS, near.commands
    assert_same(bands, opposite(bands, there))


@pytest.mark.sweep
@pytest.mark.parametrize("act", ["fetch", "pull", "clone"])
def test_bringing_a_thousand_versions_takes_few_commands(server, db, there, act):
    bands = tracked(db)
    if act != "clone":
        bands.push(there)
    lengthen(bands, MANY)
    with line_to(server.uri) as (here, near), line_to(server.uri) as (client, far):
        mine = VersionedCollection(here[there.name], "bands")
        away = VersionedCollection(client[db.name], "bands")
        near.clear()
        far.clear()
        getattr(mine, "pull" if act == "clone" else act)(away)
        assert near.deltas == MANY
        assert far.total <= MOST_COMMANDS, far.commands
        assert near.total <= MOST_COMMANDS, near.commands
    if act != "fetch":
        assert_same(bands, opposite(bands, there))


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_one_version_takes_few_round_trips(server, pair, verb):
    """Over a slow link each of them is felt."""
    bands, away = pair
    source, target = (bands, away) if verb == "push" else (away, bands)
    step(bands if verb == "push" else away, 1)
    with line_to(server.uri) as (client, far):
        other = VersionedCollection(client[away.database.name], "bands")
        far.clear()
        assert getattr(bands, verb)(other)
    assert far.total <= MOST_AT_REMOTE[verb], far.commands
    assert_same(source, target)


def test_the_cost_of_one_version_does_not_grow_with_the_history(server, db, there):
    """The log is read as far as it is walked: a stretch before each tip."""
    bands = tracked(db)
    bands.push(there)
    VersionedCollection(there, "bands").pull(bands)  # from here on each knows the other
    costs = []
    for count in (STRETCHES, MANY):
        lengthen(bands, count)
        bands.push(there)
        for verb in ("push", "pull"):
            step(bands, f"{verb} after {count}")
            with line_to(server.uri) as (here, near), line_to(server.uri) as (client, far):
                mine = VersionedCollection(here[db.name], "bands")
                away = VersionedCollection(client[there.name], "bands")
                mine.push(away) if verb == "push" else away.pull(mine)
                lines = [(sum(line.returned.values()), line.total) for line in (near, far)]
                costs.append((verb, lines))
    for (verb, few), (_, many) in zip(costs[:2], costs[2:], strict=True):
        for before, after in zip(few, many, strict=True):
            assert after[0] <= before[0] + 2, (verb, before, after)
            assert abs(after[1] - before[1]) <= 2, (verb, before, after)


@pytest.fixture(scope="module")
def cramped() -> Iterator[MongoClient[Any]]:
    """A client of a server with the smallest cache that servers make by themselves."""
    with embedded.start(durable=False, cache_gb=0.25) as server, MongoClient(server.uri) as client:
        yield client


def wordy(db: Database[Any]) -> tuple[VersionedCollection, VersionedCollection]:
    """Return a side whose versions say more than a cache holds, and a copy from before that."""
    bands = tracked(db)
    copy = VersionedCollection.clone(bands, db.client[f"{db.name}_copy"])
    lengthen(bands, 150, stored_metadata={"sql": "z" * 300_000})
    return bands, copy


@pytest.mark.sweep
def test_more_log_entries_than_the_cache_of_a_server_holds(cramped):
    bands, copy = wordy(cramped["wordy"])
    other = VersionedCollection.clone(copy, cramped["wordy_other"])
    assert bands.push(copy)
    assert len(other.fetch(bands).branches) == 1
    assert other.pull(bands)
    assert_same(bands, copy)
    assert_same(bands, other)


@pytest.mark.sweep
def test_what_versions_say_is_not_held_in_memory(pair):
    """A reply has 16 MB at most, of which some wait decoded; all of it would be 250 MB."""
    bands, copy = pair
    lengthen(bands, 250, stored_metadata={"notes": "x" * 1_000_000})
    tracemalloc.start()
    try:
        assert bands.push(copy)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 180_000_000
    assert_same(bands, copy)


@pytest.mark.sweep
def test_log_entries_that_a_process_left_declared_which_the_cache_does_not_hold(
    cramped, monkeypatch
):
    bands, copy = wordy(cramped["left"])
    monkeypatch.setattr(at_once, "is_small", lambda *_: False)
    monkeypatch.setattr(Committer, "complete", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        bands.push(copy)
    monkeypatch.undo()
    copy = opposite(bands, copy.database)
    assert copy.status()["current_version"] == 150
    assert_same(bands, copy)


def test_versions_enter_in_batches_while_others_read(pair, monkeypatch):
    """What names lead to is what it was, and no version comes before its parents."""
    bands, away = pair
    lengthen(bands, 5)
    reader = opposite(bands, away.database)
    before = list(reader.log()), reader.branches()
    log, seen_ = reader.database["__log_bands"], []

    def look(self: LogCollection, *args: Any) -> None:
        insert(self, *args)
        ids = set(log.distinct("_id"))
        assert set(log.distinct("parents")) <= ids
        assert (list(reader.log()), reader.branches()) == before
        seen_.append(len(ids))

    insert = LogCollection.insert
    monkeypatch.setattr(LogCollection, "insert", look)
    monkeypatch.setattr("versioned_collection.committing.entering.BYTES_ENTERING", 1)
    assert bands.push(away)
    assert len(set(seen_)) == 5
    assert_same(bands, away)
