"""A remote that lies can waste time; it cannot corrupt.

Whatever stands in the trackers of the other side, or comes from an object that plays the
`Remote`, is refused with an error that names the version. Nothing of it becomes visible, and
an honest transfer afterwards brings everything.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import bson
import pytest
from api_support import RAW, problems
from bson.binary import Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from harness.scenarios import NAME, Scenario, nothing, opened, state_of, with_history
from harness.stage import Stages, scene_of
from harness.transfers import forge
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from strategies import ODD_SCALARS, document, element, int32
from test_exactness import common

from versioned_collection import VersionedCollection, errors
from versioned_collection.core.delta import Delta, compare, images
from versioned_collection.core.document import document_hash, elements, key_of
from versioned_collection.core.rows import Row
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version
from versioned_collection.remotes.fetching import carry_out_fetch, plan_fetch, seen
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.staging import Staging
from versioned_collection.remotes.transfer import found
from versioned_collection.trackers import delta_chunks

Sides = tuple[VersionedCollection, VersionedCollection]


class Scenes:
    """Two sides that are set up once, and then set again.

    Args:
        client: Where they are.
    """

    def __init__(self, client: Any) -> None:
        self._stages = Stages(client)
        there, base = (client[f"scene_{uuid.uuid4().hex[:12]}"] for _ in range(2))
        remote = VersionedCollection(there, NAME)
        remote.insert_many([{"_id": i, "x": i, "text": "a" * i} for i in range(1, 7)])
        remote.init("root")
        VersionedCollection.clone(remote, base, NAME)
        base["__remotes_bands"].delete_many({})
        self._here = scene_of(base)
        remote.update_many({"_id": {"$lte": 3}}, {"$inc": {"x": 10}})
        remote.insert_one({"_id": 7, "x": 7})
        remote.register("one")
        remote.delete_one({"_id": 4})
        remote.update_one({"_id": 1}, {"$set": {"x": "two"}})
        remote.register("two")
        remote.tag("second", message="of two")
        self._there = scene_of(there)
        for database in (there, base):
            client.drop_database(database.name)

    @contextmanager
    def sides(self) -> Iterator[Sides]:
        """Yield this side at main@0, and the remote two versions further on."""
        scenario = Scenario(nothing)
        with (
            self._stages.set_to(scenario, self._here) as here,
            self._stages.set_to(scenario, self._there) as there,
        ):
            yield opened(here), opened(there)


@pytest.fixture(scope="module")
def scenes(client) -> Scenes:
    return Scenes(client)


@pytest.fixture
def sides(scenes) -> Iterator[Sides]:
    with scenes.sides() as both:
        yield both


def raw_of(database: Database[Any], tracker: str) -> Any:
    return database.get_collection(f"__{tracker}_{NAME}", codec_options=RAW)


@contextmanager
def tampered(there: VersionedCollection, *trackers: str) -> Iterator[Database[Any]]:
    """Restore trackers of the remote at the end."""
    database = there.database
    kept = {one: list(raw_of(database, one).find()) for one in trackers}
    try:
        yield database
    finally:
        for one, stored in kept.items():
            raw_of(database, one).delete_many({})
            raw_of(database, one).insert_many(stored)


def visible(database: Database[Any]) -> Any:
    """Return what a user sees, and where remotes were seen."""
    tips = [one.branches for one in opened(database).remotes()]
    return state_of(database)[NAME], tips


@contextmanager
def refused(here: VersionedCollection, version: Any = None) -> Iterator[Any]:
    """Expect that what comes is refused, and that nothing of it is visible."""
    before = visible(here.database)
    with pytest.raises(errors.TransferRefused) as caught:
        yield caught
    if version is not None:
        assert caught.value.version == version, caught.value
        assert str(version) in str(caught.value)
    assert visible(here.database) == before
    assert problems(here) == []


def honest(here: VersionedCollection, there: VersionedCollection) -> None:
    """Bring everything as it is."""
    assert here.pull(there)
    assert here == there
    assert problems(here) == []
    assert [v.id for v in here.log()] == [v.id for v in there.log()]


# -- tampered trackers ---------------------------------------------------------------------


def _set(tracker: str, **change: Any) -> Callable[[Database[Any], Any], Any]:
    where = "_id" if tracker == "log" else "version"
    return lambda db, version: raw_of(db, tracker).update_one({where: version}, {"$set": change})


def _one_less(db: Database[Any], version: Any) -> Any:
    return raw_of(db, "deltas").delete_one({"version": version})


def _one_more(db: Database[Any], version: Any) -> Any:
    delta = compare(None, bson.encode({"_id": "more"}))
    assert delta is not None
    opened(db)._repository.deltas.put([(version, delta)])


def _of_another(db: Database[Any], version: Any) -> Any:
    """Replay the changes of another version under this one."""
    stored = [
        dict(one.items()) for one in raw_of(db, "deltas").find({"version": {"$ne": version}})
    ]
    raw_of(db, "deltas").delete_many({"version": version})
    raw_of(db, "deltas").insert_many(
        [{**one, "_id": ObjectId(), "version": version} for one in stored]
    )


def _one_altered(db: Database[Any], version: Any) -> Any:
    delta = compare(None, bson.encode({"_id": 7, "x": "altered"}))
    assert delta is not None
    one = raw_of(db, "deltas").find_one({"version": version})
    raw_of(db, "deltas").delete_one({"_id": one["_id"]})
    opened(db)._repository.deltas.put([(version, delta)])


TAMPERINGS: dict[str, Callable[[Database[Any], Any], Any]] = {
    "message": _set("log", message="another"),
    "author": _set("log", author="somebody else"),
    "metadata": _set("log", metadata={"a": 1}),
    "fingerprint": _set("log", fingerprint="0" * 64),
    "checksum": _set("log", checksum="0" * 64),
    "no checksum": _set("log", checksum="x"),
    "stats": _set("log", stats={"inserted": 0, "updated": 9, "deleted": 0}),
    "stats of another type": _set("log", stats=3),
    "negative stats": _set("log", stats={"inserted": -1, "updated": 9, "deleted": 0}),
    "parents of another type": _set("log", parents="x"),
    "parents that are texts": _set("log", parents=["x"]),
    "a parent that is nowhere": _set("log", parents=[ObjectId()]),
    "a parent twice": lambda db, v: raw_of(db, "log").update_one(
        {"_id": v}, [{"$set": {"parents": {"$concatArrays": ["$parents", "$parents"]}}}]
    ),
    "its own parent": lambda db, v: _set("log", parents=[v])(db, v),
    "branch of another type": _set("log", branch=3),
    "an endless branch": _set("log", branch="x" * 600),
    "number of another type": _set("log", number="one"),
    "a negative number": _set("log", number=-1),
    "a number with no room for later ones": _set("log", number=Int64(2**63 - 1)),
    "timestamp of another type": _set("log", timestamp="now"),
    "message of another type": _set("log", message=7),
    "metadata of another type": _set("log", metadata=[1]),
    "too large a message": _set("log", message="x" * 12_000_000),
    "another format": _set("log", format=99),
    "a delta less": _one_less,
    "a delta more": _one_more,
    "an altered delta": _one_altered,
    "deltas of another version": _of_another,
    "op of another type": _set("deltas", op=["insert"]),
    "an unknown op": _set("deltas", op="upsert"),
    "a short hash": _set("deltas", after=Binary(b"short")),
    "a hash of another type": _set("deltas", after="x"),
    "both fields and images": _set("deltas", old={"_id": 1}),
    "changes of another type": _set("deltas", changes="x"),
    "rows of another type": _set("deltas", changes=["x"]),
    "rows of the id": _set(
        "deltas",
        changes=[{"path": ["_id"], "action": "values_changed", "value": 5, "old_value": 1}],
    ),
    "chunks of another type": _set("deltas", chunks=3),
    "chunks that are nowhere": _set("deltas", chunks={"new": ObjectId()}),
    "an id of another document": _set("deltas", document_id=99),
    "a delta in another format": _set("deltas", format="1"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampered_versions(sides, what):
    here, there = sides
    version = there.resolve("HEAD~1").id
    with tampered(there, "log", "deltas") as db:
        TAMPERINGS[what](db, version)
        with refused(here, version):
            here.fetch(there)
        # an attempt that was refused leaves no traps for the next one
        with refused(here):
            here.pull(there)
    honest(here, there)


CLONED = ("message", "a delta less", "a delta more", "an altered delta", "stats of another type")


@pytest.mark.parametrize("what", CLONED)
def test_tampered_versions_are_not_cloned(sides, client, what):
    _, there = sides
    target = client[f"clone_{uuid.uuid4().hex[:12]}"]
    version = there.resolve("HEAD~1").id
    with tampered(there, "log", "deltas") as db:
        TAMPERINGS[what](db, version)
        with pytest.raises(errors.TransferRefused) as caught:
            VersionedCollection.clone(there, target)
        assert caught.value.version == version
        assert not opened(target).is_tracked()
        assert target[NAME].estimated_document_count() == 0
    copy = VersionedCollection.clone(there, target)
    assert copy == there
    assert problems(copy) == []
    client.drop_database(target.name)


def test_cycles(sides):
    here, there = sides
    first, second = there.resolve("HEAD~1").id, there.resolve("HEAD").id
    with tampered(there, "log") as db:
        _set("log", parents=[second])(db, first)
        with refused(here) as caught:
            here.fetch(there)
        assert caught.value.version in (first, second)
    honest(here, there)


def test_chunks_that_were_cut_or_altered(sides):
    here, there = sides
    there.insert_one({"_id": "large", "v": "w" * 9_000_000})
    there.register("large")
    version = there.resolve("HEAD").id
    for change in (
        lambda chunks: chunks.delete_many({"n": {"$gt": 3}}),
        lambda chunks: chunks.update_one({"n": 2}, {"$set": {"data": Binary(b"w")}}),
        lambda chunks: chunks.update_one({"n": 0}, {"$set": {"data": "text"}}),
    ):
        chunks = there.database[f"__deltas_{NAME}.chunks"]
        kept = list(chunks.find())
        change(chunks)
        with refused(here, version):
            here.fetch(there)
        chunks.delete_many({})
        chunks.insert_many(kept)
    honest(here, there)


@pytest.mark.parametrize("what", ["another parent", "a root"])
def test_histories_that_are_foreign(sides, what):
    here, there = sides
    with tampered(there, "log") as db:
        parents = [] if what == "a root" else [ObjectId("0" * 24)]
        _set("log", parents=parents)(db, there.resolve("HEAD~1").id)
        before = visible(here.database)
        with pytest.raises((errors.InvalidCollectionState, errors.TransferRefused)):
            here.fetch(there)
        assert visible(here.database) == before
    honest(here, there)


def test_a_version_that_is_here_with_other_content(sides):
    here, there = sides
    here.fetch(there)
    with tampered(there, "log") as db:
        version = there.resolve("HEAD").id
        _set("log", message="another", checksum="1" * 64)(db, version)
        with refused(here, version):
            here.fetch(there)
    honest(here, there)


@pytest.mark.parametrize(
    ("tracker", "change"),
    [
        ("branches", {"version": "main"}),
        ("branches", {"version": None}),
        ("tags", {"version": 3}),
        ("tags", {"timestamp": "now"}),
        ("tags", {"message": ["x"]}),
        ("metadata", {"head": {"$x": 1}}),
    ],
    ids=str,
)
def test_malformed_names(sides, tracker, change):
    here, there = sides
    with tampered(there, tracker) as db:
        database = raw_of(db, tracker)
        database.update_one({}, [{"$set": {k: {"$literal": v} for k, v in change.items()}}])
        before = visible(here.database)
        for verb in (here.fetch, here.push):
            with pytest.raises(errors.TransferRefused):
                verb(there)
        assert visible(here.database) == before
    honest(here, there)


@pytest.mark.parametrize("name", ["__x", "HEAD", "a@3", "", " x", "x" * 300, 7, {"a": 1}], ids=str)
@pytest.mark.parametrize("tracker", ["branches", "tags"])
def test_names_that_nobody_may_choose(sides, tracker, name):
    here, there = sides
    with tampered(there, tracker) as db:
        stored = dict(raw_of(db, tracker).find_one().items())
        raw_of(db, tracker).insert_one({**stored, "_id": name})
        for verb in (here.fetch, here.push):
            with refused(here):
                verb(there)
        target = db.client[f"clone_{uuid.uuid4().hex[:12]}"]
        with pytest.raises(errors.TransferRefused):
            VersionedCollection.clone(there, target)
        db.client.drop_database(target.name)
    honest(here, there)


# -- consistent lies -----------------------------------------------------------------------


def rows(before: dict[str, Any], after: dict[str, Any], *changes: Row) -> Delta:
    """Return a change of fields that claims to lead from one document to another."""
    raws = bson.encode(before), bson.encode(after)
    hashes = map(document_hash, raws)
    return Delta(key_of(before["_id"]), "update", *hashes, (tuple(changes),))


def insert(raw: bytes, key: bytes | None = None) -> Delta:
    return Delta(key or key_of(1), "insert", None, document_hash(raw), None, None, raw)


FIRST = {"_id": 5, "x": 5, "text": "aaaaa"}
CHANGED = {**FIRST, "x": 6}

LIES: dict[str, Callable[[], Delta | None]] = {
    "rows that lead elsewhere": lambda: rows(FIRST, CHANGED, Row(("x",), "values_changed", 3, 5)),
    "rows that do not lead back": lambda: rows(
        FIRST, CHANGED, Row(("x",), "values_changed", 6, 99)
    ),
    "rows of a field that is not there": lambda: rows(
        FIRST, CHANGED, Row(("y", "z"), "values_changed", 2, 1)
    ),
    "a change of a document that is not there": lambda: rows(
        {"_id": 99, "x": 1}, {"_id": 99, "x": 2}, Row(("x",), "values_changed", 2, 1)
    ),
    "an insert of what is there": lambda: compare(None, bson.encode(FIRST)),
    "a deletion of what is not there": lambda: compare(bson.encode({"_id": 99}), None),
    "a change from another state": lambda: images(
        bson.encode({**FIRST, "x": 7}), bson.encode(CHANGED)
    ),
    "an image of another id": lambda: insert(bson.encode({"_id": 100}), key_of(99)),
    "an image whose id is not first": lambda: insert(
        document([(b"a", int32(1)), (b"_id", int32(99))]), key_of(99)
    ),
    "an array for an id": lambda: insert(bson.encode({"_id": [1]}), key_of([1])),
    "an image that is none": lambda: insert(
        bson.encode({"_id": 99, "v": "x" * 9_000_000})[:-2000], key_of(99)
    ),
    "an image that is too large": lambda: insert(
        bson.encode({"_id": 99, "v": "x" * 17_000_000}), key_of(99)
    ),
}


@pytest.mark.parametrize("act", ["fetch", "clone"])
@pytest.mark.parametrize("what", LIES)
def test_changes_that_do_not_apply_though_all_sums_agree(sides, client, what, act):
    here, there = sides
    honest(here, there)
    delta = LIES[what]()
    assert delta is not None
    fine = compare(None, bson.encode({"_id": "fine"}))
    assert fine is not None
    versions = forge(there, [[fine], [delta]])
    if act == "fetch":
        with refused(here, versions[1]):
            here.fetch(there)
    else:
        target = client[f"clone_{uuid.uuid4().hex[:12]}"]
        with pytest.raises(errors.TransferRefused) as caught:
            VersionedCollection.clone(there, target)
        assert caught.value.version == versions[1]
        assert not opened(target).is_tracked()
        assert target[NAME].estimated_document_count() == 0
        client.drop_database(target.name)
    # the honest part of it can be had
    there._repository.branches.set("main", versions[0])
    here.pull(there)
    assert here.find_one({"_id": "fine"})
    assert problems(here) == []


# -- a remote that is an object ------------------------------------------------------------


class Liar(MongoRemote):
    """Answers as it likes."""

    def __init__(self, there: VersionedCollection, **answers: Callable[..., Any]) -> None:
        super().__init__(there._repository)
        for name, answer in answers.items():
            setattr(self, name, self._answering(getattr(self, name), answer))

    @staticmethod
    def _answering(honest: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: answer(honest(*arguments))


def bring(here: VersionedCollection, remote: MongoRemote) -> None:
    repository, refs = here._repository, remote.refs()
    assert refs is not None
    plan = plan_fetch(repository, remote, refs, None)
    known = repository.remotes.get(remote.address)
    carry_out_fetch(repository, remote, plan, seen(known, remote.address, plan), None)


def _entries(change: Callable[[list[Version]], list[Version]]) -> dict[str, Any]:
    return {"entries": lambda batches: iter([change([e for some in batches for e in some])])}


def _changes(change: Callable[[list[Any]], list[Any]]) -> dict[str, Any]:
    return {"changes": lambda batches: iter([change([c for some in batches for c in some])])}


def _nodes(change: Callable[[Node], Node]) -> dict[str, Any]:
    return {"walk": lambda nodes: [change(node) for node in nodes]}


STRANGE = ObjectId("0123456789abcdef01234567")

ANSWERS: dict[str, dict[str, Any]] = {
    "no entries": _entries(lambda found: []),
    "an entry less": _entries(lambda found: found[1:]),
    "an entry twice": _entries(lambda found: [*found, found[0]]),
    "a strange entry": _entries(lambda found: [*found, replace(found[0], id=STRANGE)]),
    "a label twice": _entries(lambda found: [replace(one, number=1) for one in found]),
    "parents that are None": _entries(lambda found: [replace(one, parents=None) for one in found]),
    "no changes": _changes(lambda found: []),
    "changes cut off": _changes(lambda found: found[:-1]),
    "changes from the end": _changes(lambda found: found[::-1][1:]),
    "strange changes": _changes(lambda found: [(STRANGE, found[0][1]), *found]),
    "changes under one version": _changes(lambda found: [(found[-1][0], d) for _, d in found]),
    "nodes that are none": _nodes(lambda node: replace(node, parents="x")),
    "nodes without id": _nodes(lambda node: replace(node, id=None)),
    "nodes whose number is none": _nodes(lambda node: replace(node, number="1")),
    "an operator for a parent": _nodes(lambda node: replace(node, parents=({"$gt": 0},))),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_answers_of_a_liar(sides, what):
    here, there = sides
    with refused(here) as caught:
        bring(here, Liar(there, **ANSWERS[what]))
    assert str(caught.value.version) in str(caught.value)
    honest(here, there)


def test_answers_that_repeat_changes_are_harmless(sides):
    here, there = sides
    bring(here, Liar(there, **_changes(lambda found: [*found[:1], *found])))
    honest(here, there)


def test_a_version_that_is_here_cannot_be_added_to(sides):
    """Entries of versions that nobody asked for must not open these for more changes."""
    here, there = sides
    root = here.resolve("HEAD")
    more = insert(bson.encode({"_id": "more"}), key_of("more"))
    liar = Liar(
        there,
        **_entries(lambda found: [*found, root]),
        **_changes(lambda found: [(root.id, more), *found]),
    )
    with refused(here, root.id):
        bring(here, liar)
    inbox = Staging(here._repository, lambda: None)
    assert inbox.begin(iter([[root]])).complete == {root.id}
    with pytest.raises(errors.TransferRefused):
        inbox.add([(root.id, more)])()
    with pytest.raises(errors.TransferRefused):
        inbox.begin(iter([[replace(root, checksum="0" * 64)]]))
    assert problems(here) == []
    honest(here, there)


def test_what_a_liar_left_does_not_spoil_an_honest_transfer(sides):
    """A lie that was cut off before it was found out leaves changes behind."""
    here, there = sides
    repository = there._repository
    entries = [one for one in repository.log.get_many() if one.parents]
    inbox = Staging(here._repository, lambda: None)
    inbox.begin(iter([entries]))
    for entry in entries:
        inbox.add([(entry.id, insert(bson.encode({"_id": 7, "lie": 1}), key_of(7)))])()
    honest(here, there)


def test_a_liar_and_an_honest_remote_at_once(sides):
    """Who comes while versions are being brought waits, and so meets no half of a lie."""
    here, there = sides
    lying, over = threading.Event(), threading.Event()

    def stall(found: list[Any]) -> list[Any]:
        lying.set()
        assert over.wait(30)
        return found[:-1]

    def lie() -> None:
        with pytest.raises(errors.TransferRefused):
            bring(opened(here.database), Liar(there, **_changes(stall)))

    hasty = opened(here.database, NAME, lease_wait_seconds=0.1)
    with ThreadPoolExecutor(2) as pool:
        try:
            liar = pool.submit(lie)
            assert lying.wait(30)
            with pytest.raises(errors.LeaseHeld, match="transfer"):
                hasty.fetch(there)
            with pytest.raises(errors.LeaseHeld, match="transfer"):
                there.push(hasty)
            honest_one = pool.submit(opened(here.database).pull, there)
        finally:
            over.set()
        liar.result()
        assert honest_one.result() is True
    honest(here, there)


def test_a_whole_version_that_is_told_differently(sides):
    here, there = sides
    entries = [one for one in there._repository.log.get_many() if one.parents]
    source, inbox = MongoRemote(there._repository), Staging(here._repository, lambda: None)
    ids = sorted(entry.id for entry in entries)
    inbox.begin(iter([entries]))
    for batch in source.changes(ids):
        inbox.add(batch)()
    inbox.complete(ids)
    with refused(here):
        bring(
            here, Liar(there, **_entries(lambda found: [replace(e, message="!") for e in found]))
        )
    honest(here, there)


def test_documents_of_a_clone_that_are_none(sides, client):
    _, there = sides
    answers: list[Callable[[list[bytes]], list[bytes]]] = [
        lambda raws: raws[1:],
        lambda raws: [*raws, raws[0]],
        lambda raws: [*raws[1:], b"\x05\0\0\0\0"],
        lambda raws: [*raws[1:], b"garbage"],
        lambda raws: [*raws, bson.encode({"_id": "more"})],
    ]
    target = client[f"clone_{uuid.uuid4().hex[:12]}"]
    tip = there.resolve("HEAD").id
    for answer in answers:
        liar = Liar(
            there, content=lambda batches, a=answer: iter([a([r for b in batches for r in b])])
        )
        with pytest.raises(errors.TransferRefused) as caught:
            found(
                liar,
                MongoRemote(opened(target)._repository),
                {"main": tip},
                {},
                "main",
                None,
                lambda *_: None,
            )
        assert caught.value.version == tip
        assert not opened(target).is_tracked()
    copy = VersionedCollection.clone(there, target)
    assert problems(copy) == []
    assert copy == there
    client.drop_database(target.name)


# -- fuzz ----------------------------------------------------------------------------------

_RAW: CodecOptions[Any] = CodecOptions(
    RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
FUZZED = ("log", "deltas", "branches", "tags", "metadata", "deltas.files", "deltas.chunks")


SMALL_INLINE = 2_000
"""Bytes from which on images go to chunks here, so that few documents have them."""


class Fuzz:
    """A remote whose trackers are edited, and a side that fetches from it.

    Args:
        client: Where both are.
    """

    def __init__(self, client: Any) -> None:
        self.remote = client[f"fuzz_{uuid.uuid4().hex[:12]}"]
        there = VersionedCollection(self.remote, NAME)
        with_history(there)
        there.insert_one({"_id": "large", "v": "v" * 2 * SMALL_INLINE})
        there.register("large")
        base = client[f"base_{uuid.uuid4().hex[:12]}"]
        here = VersionedCollection.clone(there, base, NAME)
        here.checkout(0)
        here.delete_version_subtree(1, "main")
        here.tag("here")
        self.scene = scene_of(base)
        self.stages = Stages(client)
        client.drop_database(base.name)

    def tracker(self, name: str) -> Any:
        first, _, rest = name.partition(".")
        name = f"__{first}_{NAME}" + (f".{rest}" if rest else "")
        return self.remote.get_collection(name, codec_options=_RAW)

    def run(self, tracker: str, edited: Callable[[bytes], bytes], turn: int) -> str:
        """Fetch from the remote while one document of a tracker is another."""
        collection = self.tracker(tracker)
        stored = sorted(collection.find(), key=lambda one: bytes(one.raw))
        old = stored[turn % len(stored)]
        with self.stages.set_to(Scenario(nothing), self.scene) as database:
            outcome = self._while_edited(collection, old, edited(bytes(old.raw)), database)
            here = opened(database)
            assert here.pull(self.remote)
            assert problems(here) == []
            assert here == opened(self.remote)
            return outcome

    def _while_edited(self, collection: Any, old: Any, new: bytes, database: Database[Any]) -> str:
        here = opened(database)
        before = state_of(database)[NAME]
        collection.delete_one({"_id": old["_id"]})
        try:
            collection.insert_one(RawBSONDocument(new))
        except Exception:  # the server does not take it: the document is just missing
            new = b""
        try:
            here.fetch(self.remote)
        except errors.VersioningError as error:
            assert state_of(database)[NAME] == before
            outcome = type(error).__name__
        else:
            outcome = "fetched"
        finally:
            if new:
                collection.delete_one({"_id": old["_id"]})
            collection.insert_one(old)
        assert problems(here) == []
        return outcome


def edits(data: st.DataObject) -> Callable[[bytes], bytes]:
    """Draw an edit of one field, at the top or one level down."""
    value = data.draw(st.sampled_from(ODD_SCALARS), label="value")
    chance = random.Random(data.draw(st.integers(0, 1_000), label="place"))
    kind = data.draw(st.sampled_from(("replace", "remove", "nest", "add")), label="kind")

    def edited(raw: bytes) -> bytes:
        return _edited(raw, chance, kind, value, keep={b"_id"})

    return edited


def _edited(
    raw: bytes, chance: random.Random, kind: str, value: Any, keep: Sequence[bytes] | set[bytes]
) -> bytes:
    parts = [(name, (kind_, raw[a:b])) for kind_, name, a, b in elements(raw)]
    places = [n for n, (name, _) in enumerate(parts) if name not in keep]
    if kind == "add" or not places:
        parts.append((b"added", value))
    else:
        place = chance.choice(places)
        name, (type_, content) = parts[place]
        if kind == "remove":
            del parts[place]
        elif kind == "nest" and type_ in (3, 4):
            parts[place] = name, (type_, _edited(content, chance, "replace", value, ()))
        else:
            parts[place] = name, value
    body = b"".join(element(*part) for part in parts)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


@pytest.fixture(scope="module")
def fuzz(client) -> Iterator[Fuzz]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta_chunks, "LARGEST_INLINE", SMALL_INLINE)
        running = Fuzz(client)
        yield running
        client.drop_database(running.remote.name)


def fuzzed(fuzz: Fuzz, data: st.DataObject) -> None:
    tracker = data.draw(st.sampled_from(FUZZED), label="tracker")
    fuzz.run(tracker, edits(data), data.draw(st.integers(0, 50), label="document"))


UNSHRUNK = (Phase.explicit, Phase.generate)  # an example takes half a second


@pytest.mark.sweep
@settings(max_examples=15, derandomize=True, phases=UNSHRUNK, **common)
@given(data=st.data())
def test_edited_trackers(fuzz, data):
    fuzzed(fuzz, data)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@settings(max_examples=600, phases=UNSHRUNK, **common)
@given(data=st.data())
def test_edited_trackers_of_every_kind(fuzz, data):
    fuzzed(fuzz, data)
