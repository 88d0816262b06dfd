"""Ways over many versions: as exact with spans as without, and not longer than they have to be."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bson
import pytest
from api_support import RAW, problems, raws, tracked
from harness.transfers import forge, line_to
from harness.trap import shrink_limits
from histories import tried
from hypothesis import given
from hypothesis import strategies as st
from strategies import int32, raw_document, with_id

from versioned_collection import VersionedCollection, errors
from versioned_collection.core.delta import compare
from versioned_collection.trackers import delta_chunks
from versioned_collection.trackers.spans import SpansCollection
from versioned_collection.verbs import maintenance

SHORT = {"LEAST_VERSIONS": 2, "LONG_WAY": 2}

Edit = Callable[[VersionedCollection], Any]


@pytest.fixture
def short(monkeypatch) -> None:
    """Have spans of two versions and more, and short ways that count as long."""
    shrink_limits(monkeypatch.setattr, SHORT)


def spans_of(bands: VersionedCollection) -> list[Any]:
    """Return the spans that are kept."""
    return [span for span in bands._repository.spans.all() if span.kept]


def data_size(bands: VersionedCollection, tracker: str) -> int:
    stats = bands.database.command("collStats", f"__{tracker}_{bands.name}")
    return int(stats["size"])


def grow(bands: VersionedCollection, count: int) -> dict[int, list[bytes]]:
    """Register versions that change the same documents; return what each holds."""
    states = {bands.version: raws(bands)}
    for number in range(count):
        for one in (1, 2, "new" if number % 3 else "newer"):
            bands.update_one({"_id": one}, {"$set": {"n": number}}, upsert=True)
        bands.delete_one({"_id": "newer" if number % 3 else "new"})
        bands.register(f"v{number}")
        states[bands.version] = raws(bands)
    return states


def long(bands: VersionedCollection, count: int, documents: int, changes: int) -> None:
    """Have versions of so many changes each, and check the last one out."""
    latest = [bson.encode({"_id": -n, "n": 0, "text": "as it is"}) for n in range(documents)]
    bands.insert_many(map(bson.decode, latest))
    bands.register("many")
    versions = []
    for version in range(count):
        some = []
        for turn in range(version * changes, (version + 1) * changes):
            old = latest[turn % documents]
            new = bson.encode({**bson.decode(old), "n": turn + 1})
            latest[turn % documents] = new
            some.append(compare(old, new))
        versions.append(some)
    forge(bands, versions)
    bands.database[f"__metadata_{bands.name}"].update_one({}, {"$set": {"detached": True}})
    bands.checkout(branch="main")


# -- exactness -----------------------------------------------------------------------------

IDS = (1, 1.0, 2, "a", None)


def _edit(id_: Any, kind: str, value: int) -> Edit:
    def put(bands: VersionedCollection, fields: dict[str, Any]) -> None:
        bands.delete_one({"_id": id_})  # the id may be that of a twin
        bands.insert_one({"_id": id_, **fields})

    def edit(bands: VersionedCollection) -> None:
        found = bands.find_one({"_id": id_}) or {}
        fields = {name: found[name] for name in found if name != "_id"}
        if kind == "set":
            put(bands, {**fields, "v": value})
        elif kind == "retype":
            put(bands, {**fields, "v": float(value)})
        elif kind == "list":
            put(bands, {**fields, "l": [*fields.get("l", ()), value][-3:]})
        elif kind == "reverse":
            put(bands, dict(reversed([*fields.items(), ("w", 1)])))
        elif kind == "move":
            put(bands, {**{n: fields[n] for n in fields if n != "v"}, "v": fields.get("v")})
        else:
            bands.delete_one({"_id": id_})

    return edit


kinds = st.sampled_from(("set", "set", "retype", "list", "reverse", "move", "delete"))
edits = st.builds(_edit, st.sampled_from(IDS), kinds, st.integers(0, 2))
step_kinds = st.sampled_from(("on", "on", "on", "on", "fork", "merge", "back"))
steps = st.tuples(step_kinds, st.integers(0, 99), st.lists(edits, min_size=1, max_size=4))


class History:
    """A random history, and what each of its versions holds."""

    def __init__(self, bands: VersionedCollection) -> None:
        self.bands = bands
        self.states: dict[Any, list[bytes]] = {}
        self._note()

    def _note(self) -> None:
        self.states[self.bands.resolve("HEAD").id] = raws(self.bands)

    def take(self, kind: str, number: int, changes: list[Edit]) -> None:
        bands = self.bands
        branches = sorted(bands.branches())
        if kind == "fork":
            bands.checkout(list(self.states)[number % len(self.states)])
        elif kind == "back":
            bands.checkout(branch=branches[number % len(branches)])
        elif kind == "merge" and not bands.is_detached():
            bands.merge(branches[number % len(branches)], resolver="ours")
            self._note()
            return
        for change in changes:
            change(bands)
        name = f"b{len(self.states)}" if bands.is_detached() else None
        if bands.register("more", branch_name=name):
            self._note()


@pytest.fixture
def fresh(anydb) -> Callable[[], VersionedCollection]:
    names = (f"bands{number}" for number in range(10_000))
    return lambda: tracked(anydb, next(names))


def _every_way_leads_to_the_same_bytes(
    fresh: Callable[[], VersionedCollection], data: Any
) -> None:
    history = History(fresh())
    bands = history.bands
    for one in data.draw(st.lists(steps, min_size=4, max_size=20)):
        history.take(*one)
    if data.draw(st.booleans()):
        bands.gc()
    versions = list(history.states)
    for _ in range(6):
        there, here = (data.draw(st.sampled_from(versions)) for _ in range(2))
        assert bands.checkout(there)
        assert raws(bands) == history.states[there]
        found = {(one.old, one.new) for one in bands.changes(here, there)}
        gone, come = (set(history.states[one]) for one in (here, there))
        assert {old for old, _ in found} - {None} == gone - come
        assert {new for _, new in found} - {None} == come - gone
        assert bands.checkout(here)
        assert raws(bands) == history.states[here]
        view = bands.with_options(codec_options=RAW).at(there)
        assert sorted(one.raw for one in view.find()) == history.states[there]
    assert problems(bands) == []
    if spans_of(bands):
        assert data_size(bands, "spans") <= data_size(bands, "deltas")


def test_the_size_of_changes_counts_what_is_in_chunks(db, monkeypatch):
    monkeypatch.setattr(delta_chunks, "LARGEST_INLINE", 1_000)
    bands = tracked(db)
    for value in ("a", "b"):
        bands.update_one({"_id": 1}, {"$set": {"x": value * 5_000, "y": value}})
        bands.register(value)
    bands.replace_one({"_id": 2}, {"z": "c" * 5_000})
    bands.register("c")
    repository = bands._repository
    path = repository.log.ancestry().path(bands.resolve("main@0").id, bands.resolve("main").id)
    counted = sum(size for *_, size in repository.deltas.sized(path))
    stored = sum(size for _, size in repository.deltas.sizes())
    assert stored - 200 < counted < stored + 200


@tried(3)
@given(data=st.data())
def test_every_way_leads_to_the_same_bytes(short, fresh, data):
    _every_way_leads_to_the_same_bytes(fresh, data)


@pytest.mark.sweep
@tried(60)
@given(data=st.data())
def test_all_ways_lead_to_the_same_bytes(short, fresh, data):
    _every_way_leads_to_the_same_bytes(fresh, data)


def test_gc_lets_others_in_between(short, db, monkeypatch):
    """It makes one span at a time where it has no time for more, and so makes all of them."""
    bands = tracked(db)
    grow(bands, 16)
    bands.gc()
    made = {(span.start, span.end) for span in spans_of(bands)}
    bands._repository.spans.drop_all()
    monkeypatch.setattr(maintenance, "MOST_SECONDS", 0.0)
    other = VersionedCollection(db, "bands")
    make = maintenance.make_missing
    turns = []

    def one_more(*args: Any) -> bool:
        turns.append(make(*args))
        return turns[-1]

    monkeypatch.setattr(maintenance, "make_missing", one_more)
    with ThreadPoolExecutor(1) as pool:
        tagging = pool.submit(lambda: [other.tag(f"t{turn}") for turn in range(3)])
        bands.gc()
        tagging.result()
    assert {(span.start, span.end) for span in spans_of(bands)} == made
    assert len(turns) >= len(made)
    assert turns == [True] * (len(turns) - 1) + [False]
    assert len(other.tags()) == 3
    assert problems(bands) == []


def test_documents_that_come_and_go(short, anydb):
    bands = tracked(anydb)
    states = {}
    for turn in range(16):
        bands.delete_one({"_id": 1})
        if turn % 3:
            bands.insert_one({"_id": 1 if turn % 2 else 1.0, "turn": turn, "same": "x" * 50})
        bands.update_one({"_id": 2}, {"$set": {"turn": turn}})
        bands.register("more")
        states[bands.version] = raws(bands)
    assert spans_of(bands)
    for number in (16, 1, 15, 2, 12, 5, 16):
        bands.checkout(number)
        assert raws(bands) == states[number]
    assert problems(bands) == []


def test_documents_with_duplicate_names(short, anydb):
    bands = tracked(anydb)
    twice = raw_document(with_id(int32(7), [(b"a", int32(1)), (b"a", int32(2))]))
    states = {0: raws(bands)}
    for turn in range(8):
        bands.delete_one({"_id": 7})
        bands.insert_one(twice if turn % 3 == 0 else {"_id": 7, "$a": turn})
        bands.register("more")
        states[bands.version] = raws(bands)
    assert spans_of(bands)
    for number in (0, 8, 1, 7, 4, 8, 0):
        bands.checkout(number)
        assert raws(bands) == states[number]
    assert problems(bands) == []


@pytest.mark.sweep
def test_large_documents(short, db):
    bands = tracked(db)
    for turn in range(4):
        bands.replace_one({"_id": 1}, {"v": str(turn) * 9_000_000})
        bands.register("large")
    assert spans_of(bands)
    bands.checkout(0)
    assert bands.find_one({"_id": 1})["name"] == "Pulp"
    bands.checkout(4)
    assert bands.find_one({"_id": 1})["v"][:3] == "333"
    assert problems(bands) == []
    assert bands._repository.spans.drop_all() > 0
    assert db["__spans_bands.files"].count_documents({}) == 0


def test_merges_of_long_branches(short, anydb):
    bands = tracked(anydb)
    grow(bands, 9)
    bands.checkout(0)
    bands.insert_one({"_id": "aside"})
    bands.register("aside", branch_name="side")
    for turn in range(8):
        bands.update_one({"_id": "aside"}, {"$set": {"turn": turn}})
        bands.register("aside")
    bands.checkout(branch="main")
    bands.merge("side")
    assert bands.find_one({"_id": "aside"})["turn"] == 7
    assert bands.find_one({"_id": 1})["n"] == 8
    squashed = bands.squash("main@2", "main@9")
    assert squashed.parent == bands.resolve("main@1").id
    assert problems(bands) == []


# -- cost ----------------------------------------------------------------------------------


def test_a_long_way_reads_what_differs(server, db):
    bands = tracked(db)
    long(bands, 600, documents=20, changes=5)
    bands.gc()
    wanted = raws(bands)
    with line_to(server.uri) as (client, line):
        far = VersionedCollection(client[db.name], "bands")
        for verb in (
            lambda: far.checkout(3),
            lambda: list(far.changes("main@1", "main")),
            lambda: list(far.at("main").find()),
            lambda: far.checkout(branch="main"),
        ):
            line.clear()
            verb()
            read = sum(
                count
                for name, count in line.returned.items()
                if name.startswith(("__deltas_", "__spans_"))
            )
            assert read < 600, line.returned  # of 3,000 deltas on each way
    assert raws(bands) == wanted
    assert problems(bands) == []


def test_spans_take_at_most_what_the_deltas_take(db):
    bands = tracked(db)
    long(bands, 300, documents=7, changes=3)
    bands.gc()
    assert len(spans_of(bands)) > 10
    assert data_size(bands, "spans") <= data_size(bands, "deltas")
    assert sum(one.bytes for one in spans_of(bands)) <= data_size(bands, "deltas")
    assert bands.size()["spans"] > 0


def test_documents_that_change_once_have_no_spans(short, db):
    bands = tracked(db)
    long(bands, 16, documents=64, changes=4)
    bands.gc()
    assert spans_of(bands) == []
    bands.checkout(1)
    bands.checkout(branch="main")
    assert problems(bands) == []


def test_registering_makes_spans(db):
    bands = tracked(db)
    for turn in range(15):
        bands.update_one({"_id": 1}, {"$set": {"mark": turn}})
        bands.register("more")
    assert "__spans_bands" not in db.list_collection_names()
    bands.update_one({"_id": 1}, {"$set": {"mark": 15}})
    bands.register("more")
    assert [(one.versions, one.documents) for one in spans_of(bands)] == [(16, 1)]
    made = bands._repository.spans.all()
    bands.gc()
    assert bands._repository.spans.all() == made


def test_a_long_way_is_shorter_the_next_time(db, monkeypatch):
    monkeypatch.setattr("versioned_collection.history.spanning.MOST_SECONDS", 1e9)
    bands = tracked(db)
    long(bands, 1_100, documents=3, changes=1)
    bands.checkout(0)
    assert len(spans_of(bands)) > 60
    made = bands._repository.spans.all()
    bands.checkout(branch="main")
    bands.at("main@0").prepare()
    assert bands._repository.spans.all() == made
    assert problems(bands) == []


@pytest.mark.parametrize("bound", ["MOST_DELTAS", "MOST_SECONDS"])
def test_what_is_too_much_waits_for_gc(short, db, monkeypatch, bound):
    monkeypatch.setattr(f"versioned_collection.history.spanning.{bound}", -1)
    bands = tracked(db)
    grow(bands, 4)
    assert bands._repository.spans.all() == []
    bands.gc()
    assert spans_of(bands)


# -- losing them ---------------------------------------------------------------------------


@pytest.fixture
def with_spans(short, anydb) -> tuple[VersionedCollection, dict[int, list[bytes]]]:
    bands = tracked(anydb)
    states = grow(bands, 12)
    assert len(spans_of(bands)) > 4
    return bands, states


def go_everywhere(bands: VersionedCollection, states: dict[int, list[bytes]]) -> None:
    for number in (0, 12, 1, 9, 3, 11, 0, 12):
        bands.checkout(number)
        assert raws(bands) == states[number]


@pytest.mark.parametrize("name", ["__spans_bands", "__spans_bands.headers"])
def test_without_a_collection(with_spans, anydb, name):
    bands, states = with_spans
    anydb.drop_collection(name)
    go_everywhere(bands, states)
    assert set(problems(bands)) <= {"span"}
    assert problems(bands) == []
    bands.gc()
    assert len(spans_of(bands)) > 4
    go_everywhere(bands, states)
    assert bands.gc()["spans"] == 0


def test_without_some_deltas(with_spans, anydb):
    bands, states = with_spans
    largest = max(spans_of(bands), key=lambda one: one.versions)
    anydb["__spans_bands"].delete_one({"version": largest.id})
    go_everywhere(bands, states)
    assert problems(bands) == ["span"]
    assert problems(bands) == []
    go_everywhere(bands, states)


def test_damaged_deltas(with_spans, anydb):
    bands, states = with_spans
    anydb["__spans_bands"].update_many({}, {"$set": {"after": b"x" * 32}})
    before = raws(bands)
    with pytest.raises(errors.CorruptHistory):
        bands.checkout(0)
    assert raws(bands) == before
    assert set(problems(bands)) == {"span"}
    assert problems(bands) == []
    go_everywhere(bands, states)


def test_leftovers_are_collected(with_spans, anydb):
    bands, _ = with_spans
    one = anydb["__spans_bands"].find_one({}, {"_id": 0})
    anydb["__spans_bands"].insert_one({**one, "version": bson.ObjectId()})
    assert bands.gc()["spans"] == 1
    assert bands.gc()["spans"] == 0


def test_all_can_be_dropped(with_spans, anydb):
    bands, states = with_spans
    assert bands._repository.spans.drop_all() >= 4
    assert anydb["__spans_bands"].count_documents({}) == 0
    assert anydb["__spans_bands.headers"].count_documents({}) == 0
    assert bands._repository.spans.drop_all() == 0
    go_everywhere(bands, states)


def test_deleted_versions(with_spans):
    bands, states = with_spans
    ends = {one.end for one in spans_of(bands)}
    bands.delete_version_subtree(7)
    for number in (0, 6, 2, 5):
        bands.checkout(number)
        assert raws(bands) == states[number]
    assert problems(bands) == []
    assert bands.gc()["spans"] > 0
    assert {one.end for one in spans_of(bands)} < ends
    bands.checkout(branch="main")
    grow(bands, 6)
    bands.checkout(0)
    assert raws(bands) == states[0]
    assert problems(bands) == []


def test_renamed_and_dropped(with_spans, anydb):
    bands, states = with_spans
    made = bands._repository.spans.all()
    groups = bands.rename("groups")
    assert groups._repository.spans.all() == made
    go_everywhere(groups, states)
    groups.drop()
    assert not [name for name in anydb.list_collection_names() if "span" in name]


def test_a_clone_makes_its_own(short, anydb, there):
    bands = tracked(anydb)
    states = grow(bands, 12)
    copy = VersionedCollection.clone(bands, there)
    assert spans_of(copy) == []
    go_everywhere(copy, states)
    assert spans_of(copy)
    assert problems(copy) == []


def test_who_cannot_make_them_goes_on(short, anydb, monkeypatch):
    def refuse(*_: Any) -> None:
        raise errors.PermissionDenied("no", action="insert", namespace="here")

    monkeypatch.setattr(SpansCollection, "note", refuse)
    monkeypatch.setattr(SpansCollection, "add", refuse)
    bands = tracked(anydb)
    states = grow(bands, 12)
    go_everywhere(bands, states)
    bands.gc()
    assert problems(bands) == []
    assert spans_of(bands) == []
