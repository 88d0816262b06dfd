"""Whatever is written, registered and checked out: the bytes come back equal."""

from __future__ import annotations

import copy
import itertools
import random
import string as letters
from collections.abc import Callable, Iterable
from typing import Any

import bson
import pytest
import strategies
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import ASCENDING
from pymongo.collation import Collation
from pymongo.database import Database
from pymongo.errors import WriteError
from strategies import (
    NUMBER_TWINS,
    ODD_IDS,
    ODD_NAMES,
    ODD_SCALARS,
    Field,
    Value,
    array,
    binary,
    double,
    embedded,
    int32,
    int64,
    raw_document,
    string,
    symbol,
    timestamp,
    with_id,
)
from test_core_delta import random_edit

from versioned_collection import VersionedCollection
from versioned_collection.core.document import (
    DB_POINTER,
    are_twins,
    document_key,
    elements,
    has_duplicate_names,
    has_zero_timestamp,
    needs_literal,
    raw_id_in,
)
from versioned_collection.driver.writes import replace_statement, write

RAW = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
MEGABYTE = 1024 * 1024
ALMOST_THE_LIMIT = int(15.9 * MEGABYTE)

Contents = dict[bytes, bytes]

_names = itertools.count()

common = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
quick = settings(max_examples=3, derandomize=True, **common)
thorough = settings(max_examples=300, **common)


class Box:
    """A collection, what was recorded of it, and ways to change it exactly."""

    def __init__(self, db: Database[Any], *, init: Iterable[bytes] = (), **options: Any) -> None:
        self.db = db
        self.name = f"c{next(_names)}"
        if options:
            db.create_collection(self.name, **options)
        self.raw = db.get_collection(self.name, codec_options=RAW)
        self.journalled = "setName" not in db.client.admin.command("hello")
        self.vc = VersionedCollection(db, self.name)
        self.writer = self.vc.with_options(codec_options=RAW)
        for one in init:
            self.put(one)
        self.recorded: dict[str, Contents] = {}
        self.vc.init()
        self._record()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self.vc.drop()

    # -- writing -------------------------------------------------------------------------

    def put(self, raw: bytes) -> None:
        """Write a document exactly, in place of whatever has its id."""
        key = document_key(raw)
        found = self.raw.find_one(self._asking(key))
        old = None if found is None else bytes(found.raw)
        replaceable = old is not None and document_key(old) == key and key[0] != DB_POINTER
        if replaceable and not needs_literal(raw) and not self.journalled:
            outcome = write(self.db, "update", self.name, [replace_statement(raw)])
            assert not outcome.errors
        elif old != raw:
            self._put_by_pipeline(raw, old)
        stored = self.raw.find_one(self._asking(key))
        assert stored is not None
        assert bytes(stored.raw) == raw

    def _put_by_pipeline(self, raw: bytes, old: bytes | None) -> None:
        key = document_key(raw)
        pair = (raw, raw if old is None else old)
        if document_key(pair[1]) != key or any(map(has_duplicate_names, pair)):
            self.delete(key)  # see `has_duplicate_names`: it would bring the server down
        update = [{"$replaceWith": {"$literal": raw_document(raw)}}]
        self.writer.update_one(self._asking(key), update, upsert=True)

    def insert(self, raw: bytes) -> None:
        """Insert a document; a zero timestamp survives in an update only."""
        if has_zero_timestamp(raw):
            self.put(raw)
        else:
            self.writer.insert_one(raw_document(raw))

    def delete(self, key: bytes) -> None:
        self.writer.delete_one(self._asking(key))

    @staticmethod
    def _asking(key: bytes) -> RawBSONDocument:
        return raw_document(raw_id_in([key]))

    # -- recording and checking ----------------------------------------------------------

    def contents(self) -> Contents:
        raws = [bytes(found.raw) for found in self.raw.find()]
        return {document_key(raw): raw for raw in raws}

    def _record(self) -> None:
        self.recorded[str(self.vc.resolve("HEAD").id)] = self.contents()

    def register(self) -> bool:
        """Register; the recorded contents have to be the present ones."""
        before = self.contents()
        branch = f"b{next(_names)}" if self.vc.is_detached() else None
        done = self.vc.register("a version", branch)
        head = str(self.vc.resolve("HEAD").id)
        assert self.contents() == before
        assert done == (head not in self.recorded)
        if done:
            self._record()
        assert before == self.recorded[head]
        assert not self.vc.has_changes()
        return done

    def checkout(self, version: str) -> None:
        assert self.vc.checkout(version)
        assert self.contents() == self.recorded[version]

    def check_all(self, rounds: int = 2) -> None:
        """Go between all versions, and let the trackers be verified."""
        assert list(self.vc.verify()) == []
        versions = list(self.recorded)
        for _, one, other in itertools.product(range(rounds), versions, reversed(versions)):
            self.checkout(one)
            self.checkout(other)
            if len(versions) > 6:
                break  # the walk below meets all of them
        for version in [*versions, *reversed(versions), *versions[::2]]:
            self.checkout(version)
        assert not self.vc.has_changes()
        assert list(self.vc.verify()) == []


@pytest.fixture(params=["replica set", "standalone"])
def any_db(request: pytest.FixtureRequest) -> Database[Any]:
    """A database on each kind of server: capture and commits work differently."""
    name = "db" if request.param == "replica set" else "standalone_db"
    return request.getfixturevalue(name)


# -- random ------------------------------------------------------------------------------


def play(db: Database[Any], data: st.DataObject) -> None:
    """Random changes, registrations and checkouts."""
    some = st.lists(strategies.documents(), max_size=4)
    with Box(db, init=data.draw(some, label="at first")) as box:
        for _ in range(data.draw(st.integers(1, 5), label="rounds")):
            for _ in range(data.draw(st.integers(1, 3), label="changes")):
                change(box, data)
            kind = data.draw(st.sampled_from(("register", "register", "discard", "stash")))
            if kind == "register":
                box.register()
            else:
                set_aside(box, kind)
            if data.draw(st.booleans(), label="go elsewhere"):
                box.checkout(data.draw(st.sampled_from(sorted(box.recorded))))
        box.check_all()


def change(box: Box, data: st.DataObject) -> None:
    """Insert, replace, edit or delete a document."""
    present = box.contents()
    kind = data.draw(st.sampled_from(("put", "edit", "edit", "delete", "twin")))
    if kind == "put" or not present:
        box.put(data.draw(strategies.documents()))
        return
    key = data.draw(st.sampled_from(sorted(present)))
    if kind == "delete":
        box.delete(key)
    elif kind == "twin":
        twins = [id_ for id_ in ODD_IDS if are_twins(key, bytes((id_[0],)) + id_[1])]
        id_ = data.draw(st.sampled_from([(key[0], key[1:]), *twins]))
        box.put(with_id(id_, data.draw(strategies.fields)))
    else:
        others = data.draw(strategies.edited(fields_of(present[key])))
        box.put(with_id((key[0], key[1:]), others))


def fields_of(raw: bytes) -> list[Field]:
    return [
        (name, (kind, raw[start:end]))
        for kind, name, start, end in elements(raw)
        if name != b"_id"
    ]


def set_aside(box: Box, kind: str) -> None:
    present = box.contents()
    head = box.recorded[str(box.vc.resolve("HEAD").id)]
    assert box.vc.has_changes() == (present != head)
    if kind == "discard":
        box.vc.discard_changes()
        assert box.contents() == head
        return
    assert box.vc.stash() == (present != head)
    assert box.contents() == head
    box.vc.stash_apply()
    assert box.contents() == present
    box.register()


@quick
@given(st.data())
def test_random_changes_on_a_replica_set(db: Database[Any], data: st.DataObject) -> None:
    play(db, data)


@pytest.mark.sweep
@quick
@given(st.data())
def test_random_changes_on_a_standalone_server(
    standalone_db: Database[Any], data: st.DataObject
) -> None:
    play(standalone_db, data)


@pytest.mark.sweep
@pytest.mark.timeout(7200)
@thorough
@given(st.data())
def test_very_many_random_changes(db: Database[Any], data: st.DataObject) -> None:
    play(db, data)


@pytest.mark.sweep
@pytest.mark.timeout(7200)
@thorough
@given(st.data())
def test_very_many_random_changes_on_a_standalone_server(
    standalone_db: Database[Any], data: st.DataObject
) -> None:
    play(standalone_db, data)


# -- everything odd at once --------------------------------------------------------------


def distinct_ids() -> list[Value]:
    """Return odd ids of which the server takes no two for the same."""
    chosen: list[Value] = []
    for id_ in ODD_IDS:
        key = bytes((id_[0],)) + id_[1]
        if not any(are_twins(key, bytes((other[0],)) + other[1]) for other in chosen):
            chosen.append(id_)
    return chosen


def test_every_id_type(any_db: Database[Any]) -> None:
    """Each comes, changes, goes and comes back."""
    ids = distinct_ids()
    with Box(any_db, init=[with_id(id_, [(b"n", int32(0))]) for id_ in ids]) as box:
        for id_ in ids:
            box.put(with_id(id_, [(b"n", int32(1)), (b"t", timestamp(0, 0))]))
        box.register()
        for id_ in ids[::2]:
            box.delete(bytes((id_[0],)) + id_[1])
        box.register()
        for id_ in ids:
            box.put(with_id(id_, [(b"$n", double(0.0))]))
        box.register()
        for id_ in ids:
            box.delete(bytes((id_[0],)) + id_[1])
        box.register()
        box.check_all(1)


def test_the_server_agrees_about_twins(db: Database[Any]) -> None:
    collection = db.get_collection("twins", codec_options=RAW)
    keys = [bytes((id_[0],)) + id_[1] for id_ in (*ODD_IDS, *NUMBER_TWINS)]
    for one in keys:
        collection.delete_many({})
        collection.insert_one(raw_document(with_id((one[0], one[1:]), [])))
        for other in keys:
            found = collection.find_one(raw_document(raw_id_in([other])))
            assert (found is not None) == are_twins(one, other), (one, other)


@pytest.mark.parametrize("step", [1, 7])
def test_every_value_becomes_another(any_db: Database[Any], step: int) -> None:
    """Each odd value sits at the root, in a document, in a list and under an odd name."""

    def document(number: int, value: Value) -> bytes:
        name = ODD_NAMES[number % len(ODD_NAMES)]
        return with_id(
            int32(number),
            [
                (b"root", value),
                (b"d", embedded([(b"x", int32(1)), (b"v", value), (name, value)])),
                (b"l", (0x04, array([int32(1), value, value, string("end")]))),
                (name, value),
                (b"same", string("unchanged")),
            ],
        )

    values = list(ODD_SCALARS)
    with Box(any_db, init=itertools.starmap(document, enumerate(values))) as box:
        for _ in range(2):
            values = values[step:] + values[:step]
            for number, value in enumerate(values):
                box.put(document(number, value))
            assert box.register()
        box.check_all(1)


def test_number_twins_are_changes(any_db: Database[Any]) -> None:
    with Box(any_db, init=[with_id(int32(1), [(b"v", NUMBER_TWINS[0])])]) as box:
        for value in NUMBER_TWINS[1:]:
            box.put(with_id(int32(1), [(b"v", value)]))
            assert box.vc.has_changes()
            assert box.register()
        assert box.vc.version == len(NUMBER_TWINS) - 1
        box.check_all(1)


def test_one_and_true_live_side_by_side(any_db: Database[Any]) -> None:
    ids = [int32(1), (0x08, b"\x01"), string("1"), (0x0A, b"")]
    with Box(any_db, init=[with_id(id_, []) for id_ in ids]) as box:
        for turn, id_ in enumerate(ids):
            box.put(with_id(id_, [(b"turn", int32(turn))]))
            assert box.register()
            differences = box.vc.diff(0)
            assert differences is not None
            assert len(differences) == turn + 1
        box.check_all(1)


def test_an_id_is_deleted_and_comes_back_as_its_twin(any_db: Database[Any]) -> None:
    chain = [int32(1), double(1.0), int64(1), strategies.decimal(1), strategies.decimal(10, -1)]
    with Box(any_db, init=[with_id(chain[0], [(b"n", int32(0))])]) as box:
        for id_ in [*chain[1:], chain[0], double(1.0)]:
            box.delete(b"\x10" + int32(1)[1])
            if id_ == double(1.0):
                assert box.vc.has_changes()  # which notes the deletion
            box.insert(with_id(id_, [(b"n", int32(0))]))
            status = box.vc.status()
            assert status["changes"] == {"inserted": 1, "updated": 0, "deleted": 1}
            assert box.register()
        text = [with_id(string("a"), []), with_id(symbol("a"), [])]
        for raw in (*text, text[0]):
            box.put(raw)
            assert box.register()
        box.check_all(1)


def test_a_stashed_twin_comes_back_over_the_present_one(any_db: Database[Any]) -> None:
    with Box(any_db) as box:
        box.put(with_id(double(1.0), [(b"stashed", int32(1))]))
        assert box.vc.stash()
        box.put(with_id(int32(1), [(b"recorded", int32(1))]))
        assert box.register()
        assert box.vc.stash_apply()
        assert list(box.contents().values()) == [with_id(double(1.0), [(b"stashed", int32(1))])]
        assert box.register()
        box.check_all(1)


@pytest.mark.sweep
@pytest.mark.parametrize("count", [2_500, 13_000])
def test_very_many_ids_turn_into_their_twins(any_db: Database[Any], count: int) -> None:
    """More than one batch of them, with a document that puts the batches out of step."""

    def all_as(kind: Callable[[int], Value]) -> list[RawBSONDocument]:
        ids = [kind(number) for number in range(count)]
        return [raw_document(with_id(id_, [(b"v", int32(1))])) for id_ in ids]

    with Box(any_db) as box:
        box.insert(with_id((0xFF, b""), []))
        box.vc.insert_many(all_as(int32))
        assert box.register()
        box.vc.delete_many({"v": 1})
        assert box.vc.has_changes()
        box.vc.insert_many(all_as(lambda number: double(float(number))))
        box.put(with_id((0xFF, b""), [(b"changed", int32(1))]))
        assert box.vc.status()["changes"] == {"inserted": count, "updated": 1, "deleted": count}
        assert box.register()
        assert list(box.vc.verify()) == []
        versions = list(box.recorded)
        for version in (versions[1], versions[0], versions[2], versions[1], versions[2]):
            box.checkout(version)
        box.vc.delete_many({"v": 1})
        box.vc.insert_many(all_as(int64))
        box.vc.discard_changes()
        assert box.contents() == box.recorded[versions[2]]
        assert list(box.vc.verify()) == []


def test_zero_timestamps_are_kept_wherever_they_are(any_db: Database[Any]) -> None:
    zero = timestamp(0, 0)
    shapes: list[list[Field]] = [
        [(b"t", zero)],
        [(b"a", int32(1)), (b"t", zero), (b"u", zero)],
        [(b"d", embedded([(b"t", zero)])), (b"l", (0x04, array([zero])))],
        [(b"$t", zero)],
    ]
    with Box(any_db, init=[with_id(int32(n), shape) for n, shape in enumerate(shapes)]) as box:
        for turn in range(1, 4):
            for number in range(4):
                box.put(with_id(int32(number), shapes[(number + turn) % 4]))
            assert box.register()
        for number in range(4):
            box.delete(b"\x10" + int32(number)[1])
        box.vc.discard_changes()
        box.check_all(1)


def test_the_order_of_fields_is_a_change(any_db: Database[Any]) -> None:
    orders = list(itertools.permutations([(b"a", int32(1)), (b"b", int32(2)), (b"c", int32(3))]))
    nested = [embedded(list(order)) for order in orders]
    with Box(any_db, init=[with_id(int32(1), list(orders[0]))]) as box:
        for order, inner in zip(orders[1:], nested[1:], strict=True):
            box.put(with_id(int32(1), list(order)))
            assert box.register()
            box.put(with_id(int32(1), [*order, (b"n", inner), (b"l", (0x04, array([inner])))]))
            assert box.register()
        box.check_all(1)


def test_deeply_nested_documents(any_db: Database[Any]) -> None:
    """The server nests 180 deep; an image within a delta would be one deeper."""

    def nested(depth: int, innermost: Value, kind: int) -> bytes:
        value = innermost
        for _ in range(depth):
            value = embedded([(b"d", value)]) if kind == 0x03 else (0x04, array([int32(0), value]))
        return with_id(int32(depth * 10 + kind), [(b"d", value)])

    shapes = list(itertools.product((50, 100, 178, 179), (0x03, 0x04)))
    with Box(any_db) as box:
        for innermost in (int32(1), double(1.0), symbol("s")):
            for depth, kind in shapes:
                box.put(nested(depth, innermost, kind))
            assert box.register()
        box.put(nested(179, int32(2), 0x03))
        box.vc.stash()
        box.vc.stash_apply()
        assert box.register()
        box.vc.delete_many({})
        assert box.register()
        box.check_all(1)


def test_duplicate_names_beside_what_only_a_pipeline_can_write(any_db: Database[Any]) -> None:
    """An update by a pipeline from or to such a document would bring mongod 6.0 down."""
    zero = (b"t", timestamp(0, 0))
    shapes: list[list[Field]] = [
        [(b"a", int32(1)), (b"a", int32(2)), zero],
        [(b"a", int32(3)), (b"b", int32(4)), zero],
        [(b"a", int32(5)), (b"a", int32(6)), (b"$d", int32(1))],
        [(b"d", embedded([(b"a", int32(5)), (b"a", int32(6))])), zero],
        [(b"a", int32(7)), (b"a", int32(8))],
    ]
    with Box(any_db, init=[with_id(int32(1), shapes[0])]) as box:
        for shape in shapes[1:]:
            box.put(with_id(int32(1), shape))
            assert box.register()
        box.put(with_id(int32(1), shapes[2]))
        assert box.vc.stash()
        assert box.vc.stash_apply()
        box.vc.discard_changes()
        box.check_all(1)


# -- updates as programs make them -------------------------------------------------------


def test_set_unset_rename_and_list_operators(any_db: Database[Any]) -> None:
    updates: list[dict[str, Any]] = [
        {"$set": {"a": 1, "n.x": 1}},
        {"$unset": {"a": ""}},
        {"$rename": {"b": "c"}},
        {"$rename": {"c": "n.c"}},
        {"$set": {"n.y.z": [1, 2]}},
        {"$push": {"l": {"$each": [[1], {"k": 1}], "$position": 1}}},
        {"$set": {"l.1.0": 7}},
        {"$pull": {"l": {"k": 1}}},
        {"$pop": {"l": -1}},
        {"$unset": {"l.0": ""}},
        {"$inc": {"n.x": 1.5}},
        {"$mul": {"n.x": 2}},
        {"$min": {"n.x": -1}},
        {"$currentDate": {"when": {"$type": "timestamp"}}},
        {"$bit": {"bits": {"xor": 5}}},
        {"$addToSet": {"l": {"$each": [1, 1.0, True]}}},
        {"$set": {"n": None}},
        {"$unset": {"n": "", "l": "", "when": "", "bits": ""}},
    ]
    first = [bson.encode({"_id": n, "b": n, "l": [n, n], "n": {}}) for n in range(4)]
    with Box(any_db, init=first) as box:
        for turn, update in enumerate(updates):
            if turn % 3 == 2:
                box.vc.update_many({}, update)
            else:
                box.vc.update_one({"_id": turn % 2}, update)
                box.vc.find_one_and_update({"_id": 2}, update)
            box.register()
        assert box.vc.version is not None
        assert box.vc.version > 10
        box.check_all(1)


def test_random_list_edits(any_db: Database[Any]) -> None:
    rng = random.Random(0)
    lists: list[list[Any]] = [[n, [n, [n]], {"k": [n, {"x": n}]}] for n in range(30)]
    documents = [bson.encode({"_id": n, "l": items}) for n, items in enumerate(lists)]
    with Box(any_db, init=documents) as box:
        for _ in range(6):
            for number, items in enumerate(lists):
                before = copy.deepcopy(items)
                random_edit(rng, items)
                if items != before:
                    box.vc.replace_one({"_id": number}, {"l": items})
            box.register()
        box.check_all(1)


# -- large -------------------------------------------------------------------------------


def large(number: int, size: int, letter: bytes = b"x", extra: Value | None = None) -> bytes:
    """Return a document of exactly `size` bytes."""
    fields: list[Field] = [] if extra is None else [(b"extra", extra)]
    empty = len(with_id(int32(number), [*fields, (b"blob", binary(0, b""))]))
    blob = (letter * 1024 * 1024 * 17)[: size - empty]
    return with_id(int32(number), [*fields, (b"blob", binary(0, blob))])


def test_documents_of_almost_the_limit(any_db: Database[Any]) -> None:
    one = large(1, ALMOST_THE_LIMIT, b"a")
    two = large(2, ALMOST_THE_LIMIT, b"b", timestamp(0, 0))
    with Box(any_db, init=[one]) as box:
        box.put(two)
        assert box.register()
        box.put(large(1, ALMOST_THE_LIMIT, b"c"))
        box.put(large(2, ALMOST_THE_LIMIT, b"b", timestamp(0, 1)))
        assert box.register()
        box.delete(document_key(one))
        assert box.vc.stash()
        assert box.vc.stash_apply()
        assert box.register()
        box.put(large(1, 16 * MEGABYTE, b"d"))
        assert box.register()
        box.put(large(1, 100))
        box.vc.discard_changes()
        versions = list(box.recorded)
        for version in (versions[0], versions[4], versions[1], versions[3], versions[2]):
            box.checkout(version)
        assert list(box.vc.verify()) == []


@pytest.mark.sweep
def test_a_field_of_nine_megabytes_is_replaced(any_db: Database[Any]) -> None:
    with Box(any_db) as box:
        for letter in "abc":
            box.vc.replace_one({"_id": 1}, {"n": 1, "t": letter * 9 * MEGABYTE}, upsert=True)
            assert box.register()
        box.vc.update_one({"_id": 1}, {"$unset": {"t": ""}})
        assert box.register()
        box.check_all(1)


@pytest.mark.sweep
def test_a_long_list_of_many_megabytes_grows_at_its_front(db: Database[Any]) -> None:
    items = [letters.ascii_letters * 20 + str(n) for n in range(6_000)]
    with Box(db) as box:
        for turn in range(3):
            box.vc.replace_one({"_id": 1}, {"l": [f"new {turn}", *items]}, upsert=True)
            assert box.register()
            items = [*items[1:], items[0]]
        box.check_all(1)


def test_long_ids(any_db: Database[Any]) -> None:
    check_long_ids(any_db, 2_100)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_forty_thousand_long_ids(db: Database[Any]) -> None:
    """The ids alone exceed what one command holds."""
    check_long_ids(db, 40_000)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_forty_thousand_long_ids_on_a_standalone_server(standalone_db: Database[Any]) -> None:
    check_long_ids(standalone_db, 40_000)


def check_long_ids(db: Database[Any], count: int) -> None:
    ids = [f"{number:0500}" for number in range(count)]
    with Box(db) as box:
        box.vc.insert_many([{"_id": id_, "n": 0} for id_ in ids])
        assert box.vc.status()["changes"]["inserted"] == count
        assert box.register()
        box.vc.update_many({}, {"$inc": {"n": 1}})
        assert box.register()
        one, two, three = box.recorded
        box.checkout(two)
        box.vc.update_many({}, {"$inc": {"n": 1}})
        assert box.vc.stash()
        assert box.contents() == box.recorded[two]
        assert box.vc.stash_discard()
        box.checkout(three)
        box.checkout(one)


# -- indexes, validators, collations -----------------------------------------------------


def unique(box: Box, field: str = "u") -> None:
    box.raw.create_index([(field, ASCENDING)], unique=True)


def test_unique_values_are_swapped(any_db: Database[Any]) -> None:
    documents = [bson.encode({"_id": n, "u": n}) for n in range(3)]
    with Box(any_db, init=documents) as box:
        unique(box)
        for values in ((1, 0, 2), (2, 1, 0), (1, 2, 0)):
            for number in range(3):
                box.vc.update_one({"_id": number}, {"$set": {"u": f"away {number}"}})
            for number, value in enumerate(values):
                box.vc.update_one({"_id": number}, {"$set": {"u": value}})
            assert box.register()
        box.check_all(1)
        assert set(box.raw.index_information()) == {"_id_", "u_1"}


def test_a_unique_value_moves_to_a_new_document(any_db: Database[Any]) -> None:
    with Box(any_db, init=[bson.encode({"_id": 1, "u": "x"})]) as box:
        unique(box)
        box.vc.delete_one({"_id": 1})
        box.vc.insert_one({"_id": 2, "u": "x"})
        assert box.register()
        box.vc.update_one({"_id": 2}, {"$set": {"u": "y"}})
        box.vc.insert_one({"_id": 0, "u": "x"})
        assert box.vc.stash()
        assert box.vc.stash_apply()
        assert box.register()
        box.vc.update_one({"_id": 0}, {"$set": {"u": "z"}})
        box.vc.update_one({"_id": 2}, {"$set": {"u": "x"}})
        box.vc.discard_changes()
        box.check_all(1)


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize(
    "count", [600, pytest.param(12_000, marks=[pytest.mark.sweep, pytest.mark.timeout(1800)])]
)
def test_very_many_unique_values_shift(any_db: Database[Any], count: int, step: int) -> None:
    """More documents than one batch, each taking its neighbour's value."""

    def shift(distance: int) -> None:
        box.vc.delete_many({})
        box.vc.insert_many([{"_id": n, "u": (n + distance) % count} for n in range(count)])

    with Box(any_db) as box:
        unique(box)
        shift(0)
        assert box.register()
        shift(step)
        box.vc.discard_changes()
        assert box.contents() == box.recorded[list(box.recorded)[1]]
        shift(step)
        shifted = box.contents()
        assert box.vc.stash()
        assert box.contents() == box.recorded[list(box.recorded)[1]]
        assert box.vc.stash_apply()
        assert box.contents() == shifted
        assert box.register()
        for version in (1, 2, 0, 2, 1):
            box.checkout(list(box.recorded)[version])
        assert list(box.vc.verify()) == []


def test_documents_that_the_present_validator_refuses(any_db: Database[Any]) -> None:
    with Box(any_db, init=[bson.encode({"_id": n, "old": n}) for n in range(3)]) as box:
        box.vc.update_many({}, {"$set": {"new": 1}})
        box.vc.delete_one({"_id": 2})
        assert box.register()
        any_db.command(
            "collMod", box.name, validator={"new": {"$exists": True}}, validationLevel="strict"
        )
        box.vc.insert_one({"_id": 9, "new": 1})
        assert box.register()
        box.check_all(1)
        with pytest.raises(WriteError):
            box.vc.insert_one({"_id": 10, "old": 1})
        box.checkout(next(iter(box.recorded)))
        box.vc.update_one({"_id": 0}, {"$set": {"new": 2}})
        box.vc.discard_changes()
        assert box.contents() == box.recorded[next(iter(box.recorded))]


def test_a_case_insensitive_collection(any_db: Database[Any]) -> None:
    collation = Collation("en", strength=2)
    first = [bson.encode({"_id": id_, "v": 1}) for id_ in ("a", "B", "c")]
    with Box(any_db, init=first, collation=collation) as box:
        box.vc.update_one({"_id": "A"}, {"$set": {"v": 2}})
        assert box.vc.has_changes()
        assert box.register()
        box.vc.delete_one({"_id": "b"})
        box.vc.insert_one({"_id": "b", "v": 1})  # the same id for this collection
        assert box.vc.status()["changes"] == {"inserted": 1, "updated": 0, "deleted": 1}
        assert box.register()
        box.vc.update_one({"_id": "c"}, {"$set": {"v": "X"}})
        assert box.register()
        box.vc.update_one({"_id": "C"}, {"$set": {"v": "x"}})
        assert box.vc.has_changes()
        assert box.register()
        box.vc.delete_one({"_id": "a"})
        box.vc.insert_one({"_id": "A"})
        box.vc.discard_changes()
        box.check_all(1)
        assert box.vc.find_one({"_id": "C"}) == {"_id": "c", "v": "x"} or box.vc.is_detached()


def test_a_dropped_collection_comes_back_with_its_collation(db: Database[Any]) -> None:
    collation = Collation("en", strength=2)
    with Box(db, init=[bson.encode({"_id": "a", "v": 1})], collation=collation) as box:
        box.raw.drop()
        assert box.vc.has_changes()
        box.vc.discard_changes()
        assert box.vc.find_one({"_id": "A"}) == {"_id": "a", "v": 1}
        box.check_all(1)


def test_init_takes_over_every_odd_document(any_db: Database[Any]) -> None:
    """The first copy is made by the server, which changes some values on the way."""
    ids = distinct_ids()
    values = itertools.cycle(ODD_SCALARS)
    names = itertools.cycle(ODD_NAMES)
    documents = [
        with_id(id_, [(next(names), next(values)), (b"v", next(values)), (b"v", next(values))])
        for id_ in ids
    ]
    with Box(any_db, init=documents) as box:
        assert list(box.vc.verify()) == []
        assert not box.vc.has_changes()
        box.vc.delete_many({})
        box.vc.discard_changes()
        assert sorted(box.contents().values()) == sorted(documents)


def test_the_writers_of_these_tests_store_what_they_are_given(db: Database[Any]) -> None:
    """Else the tests above would prove nothing."""
    collection = db.get_collection("plain", codec_options=RAW)
    for value in ODD_SCALARS:
        raw = with_id(int32(1), [(b"d", embedded([(b"v", value)])), (b"v", value), (b"v", value)])
        collection.delete_many({})
        if has_zero_timestamp(raw):
            continue
        collection.insert_one(raw_document(raw))
        found = collection.find_one()
        assert found is not None
        assert bytes(found.raw) == raw
