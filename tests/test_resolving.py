"""What resolvers and people see of conflicts, and that what they give back is exact."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

import bson
import pytest
from api_support import raws
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from bson.timestamp import Timestamp

from versioned_collection import MISSING, Side, VersionedCollection, errors
from versioned_collection.core.document import RAW_OPTIONS, build, element, key_of
from versioned_collection.core.merging import Conflict, Exactly

TEXT = struct.pack("<i", 4) + b"abc\0"
NAN = b"\x01" + struct.pack("<Q", 0x7FF8_0000_0000_0ABC)
VALUES: dict[str, bytes] = {
    **{
        repr(value): key_of(value)
        for value in (
            *(Binary(b"x" * 16, kind) for kind in (0, 2, 3, 4, 5, 128)),
            *(Decimal128("1.10"), Int64(5), 5, 5.0, -0.0, True, None, "s", Timestamp(1, 2)),
            *(Regex("a", "i"), Code("x"), Code("x", {"a": 1}), DBRef("a", 1), MinKey(), MaxKey()),
            *(datetime(2026, 1, 31), DatetimeMS(2**55), ObjectId(b"x" * 12)),
            *({"a": {"b": []}}, [1, [2.5, {"c": Int64(1)}]]),
        )
    },
    "NaN with a payload": NAN,
    "symbol": b"\x0e" + TEXT,
    "undefined": b"\x06",
    "pointer": b"\x0c" + TEXT + b"y" * 12,
    "names twice": b"\x03" + build(element(b"a", key_of(1)), element(b"a", key_of(2))),
    "a list with other names": b"\x04" + build(element(b"7", key_of(1))),
    "a symbol within": b"\x03" + build(element(b"s", b"\x0e" + TEXT)),
}


def parted(db: Any, ours: bytes, **options: Any) -> VersionedCollection[Any]:
    """Return a collection whose branches gave one field other values: ours is given as BSON."""
    bands: VersionedCollection[Any] = VersionedCollection(db, "bands", **options)
    bands.insert_one({"_id": 1, "v": "base"})
    bands.init()
    bands.create_branch("side")
    bands.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
    bands.register("theirs")
    bands.checkout("main")
    raw = RawBSONDocument(build(element(b"_id", key_of(1)), element(b"v", ours)), RAW_OPTIONS)
    bands.replace_one({"_id": 1}, raw)
    bands.register("ours")
    return bands


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_given_back_is_exact(db, name):
    bands = parted(db, VALUES[name])
    before = raws(bands)
    seen = []

    def ours(conflict: Any, context: Any) -> Any:
        seen.append(conflict)
        return conflict.ours

    bands.merge("side", resolver=ours)
    assert raws(bands) == before
    assert seen[0].raw_ours == VALUES[name]
    bands.undo()
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (conflict,) = bands.conflicts()
    assert conflict.raw_ours == VALUES[name]
    bands.resolve_conflict(conflict, conflict.ours)
    assert bands.register("merged")
    assert raws(bands) == before


def test_a_value_that_was_changed_before_it_is_given_back(db):
    bands = parted(db, key_of({"a": [1]}))

    def more(conflict: Any, context: Any) -> Any:
        conflict.ours["a"].append(2)
        return conflict.ours

    bands.merge("side", resolver=more)
    assert bands.find_one(1)["v"] == {"a": [1, 2]}


def test_what_resolvers_see(db):
    bands = parted(db, key_of("ours"))
    seen: dict[str, Any] = {}

    def look(conflict: Any, context: Any) -> Any:
        names = ("document_id", "path", "kind", "base", "ours", "theirs")
        seen.update({name: getattr(conflict, name) for name in names})
        for side in ("base", "ours", "theirs"):
            assert getattr(conflict, f"{side}_value") == getattr(conflict, side)
            assert getattr(conflict, f"raw_{side}") == key_of(getattr(conflict, side))
        assert str(conflict) == "1 v: both_modified (base 'base', ours 'ours', theirs 'theirs')"
        return f"{conflict.ours} and {conflict.theirs}"

    bands.merge("side", resolver=look)
    assert seen == {
        "document_id": 1,
        "path": ("v",),
        "kind": "both_modified",
        "base": "base",
        "ours": "ours",
        "theirs": "theirs",
    }
    assert bands.find_one(1)["v"] == "ours and theirs"


def test_what_is_missing_is_seen_as_such(db):
    bands = parted(db, key_of("ours"))
    bands.delete_one({"_id": 1})
    bands.register("gone")
    seen = []

    def look(conflict: Any, context: Any) -> Any:
        seen.append((conflict.ours, conflict.raw_ours, conflict.theirs))
        return conflict.ours

    bands.merge("side", resolver=look)
    assert seen == [(MISSING, None, {"_id": 1, "v": "theirs"})]
    assert bands.find_one(1) is None


def test_a_value_of_a_conflict_whose_element_has_moved_is_exact(db):
    bands = parted(db, key_of("ours"))
    odd = RawBSONDocument(
        build(
            element(b"_id", key_of(1)),
            element(b"v", b"\x04" + build(element(b"0", key_of(1)), element(b"1", NAN))),
        ),
        RAW_OPTIONS,
    )
    for branch, list_ in (("lists", [0, 0]), ("aside", [2, 2])):
        bands.create_branch(branch)
        bands.update_one({"_id": 1}, {"$set": {"v": list_}})
        bands.register(branch)
    bands.checkout("lists")
    bands.replace_one({"_id": 1}, odd)
    bands.register("ours")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("aside")
    first, second = bands.conflicts()
    bands.resolve_conflict(first, MISSING)
    bands.resolve_conflict(second, second.ours)
    (raw,) = raws(bands)
    assert raw.endswith(NAN[1:] + b"\0\0")


def test_conflicts_are_told_apart(db):
    bands = parted(db, key_of("ours"))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (one,), (same,) = bands.conflicts(), bands.conflicts()
    assert one == same
    assert len({one, same}) == 1
    assert one != one.id
    assert "both_modified" in repr(one)
    bands.resolve_conflict(same, one.theirs)
    assert bands.find_one(1)["v"] == "theirs"


@pytest.mark.parametrize("wrong", [object(), 2**70, {1: 2}, "\ud800", {"a": {"b": {3}}}])
def test_decisions_that_cannot_be_stored(db, wrong):
    bands = parted(db, key_of("ours"))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (conflict,) = bands.conflicts()
    for which in (conflict, conflict.id):
        with pytest.raises(errors.InvalidArgument, match="BSON cannot hold a value of type"):
            bands.resolve_conflict(which, wrong)
    assert list(bands.conflicts()) == [conflict]
    bands.resolve_conflict(conflict, Side.OURS)


NO_VALUES = [b"", b"\x03\x05", b"\x03\x06\0\0\0\x77\0", "x", 5, None]


@pytest.mark.parametrize("wrong", NO_VALUES)
def test_exact_bytes_that_are_no_value(db, wrong):
    bands = parted(db, key_of("ours"))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (conflict,) = bands.conflicts()
    expected = errors.InvalidArgument if isinstance(wrong, bytes) else errors.InvalidType
    with pytest.raises(expected):
        bands.resolve_conflict(conflict, Exactly(wrong))
    assert list(bands.conflicts()) == [conflict]


def test_raw_documents_are_given_back_as_they_are(db):
    options: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
    bands = parted(db, key_of({"a": 1}), codec_options=options)
    before = raws(bands)
    bands.merge("side", resolver=lambda conflict, context: conflict.ours)
    assert raws(bands) == before
    assert bson.decode(before[0]) == {"_id": 1, "v": {"a": 1}}


def with_names_twice(value: int) -> Any:
    parts = (element(b"_id", key_of(1)), element(b"a", key_of(1)), element(b"a", key_of(value)))
    return RawBSONDocument(build(*parts), RAW_OPTIONS)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_document_whose_names_occur_twice_is_given_back_as_it_is(db, side, at_once):
    bands: VersionedCollection[Any] = VersionedCollection(db, "bands")
    bands.insert_one(with_names_twice(2))
    bands.init()
    bands.create_branch("side")
    bands.replace_one({"_id": 1}, with_names_twice(3))
    bands.register("theirs")
    bands.checkout("main")
    bands.replace_one({"_id": 1}, with_names_twice(4))
    bands.register("ours")
    if at_once:
        bands.merge("side", resolver=lambda conflict, context: getattr(conflict, side))
    else:
        with pytest.raises(errors.AutoMergeFailedError):
            bands.merge("side")
        (conflict,) = bands.conflicts()
        bands.resolve_conflict(conflict, getattr(conflict, side))
    assert raws(bands) == [with_names_twice({"ours": 4, "theirs": 3}[side]).raw]


def test_a_conflict_within_an_id_changes_no_id(db):
    """Earlier releases left such conflicts."""
    bands = parted(db, key_of("ours"))
    key = key_of({"y": 2020})
    bands.insert_one({"_id": {"y": 2020}})
    bands.register("another")
    with pytest.raises(errors.AutoMergeFailedError) as caught:
        bands.merge("side")
    year = key_of(2020)
    within = Conflict(key, ("_id", "y"), "same_change", None, year, year)
    bands._repository.conflicts.add(caught.value.merge, [within])
    before = raws(bands)
    with pytest.raises(errors.InvalidArgument, match="another _id"):
        bands.resolve_conflicts(resolver="sum_of_changes")
    assert raws(bands) == before
    bands.resolve_conflict(list(bands.conflicts())[-1], Side.OURS)
    assert bands.resolve_conflicts(resolver="ours")
    assert raws(bands) == before


def test_a_decision_with_too_many_levels(db):
    bands = parted(db, key_of("ours"))
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (conflict,) = bands.conflicts()
    deep: list[Any] = []
    for _ in range(250):
        deep = [deep]
    with pytest.raises(errors.DocumentRejected, match="nesting"):
        bands.resolve_conflict(conflict, deep)
    assert bands.has_conflicts()


def test_few_conflicts_are_settled_together_or_not_at_all(db):
    bands: VersionedCollection[Any] = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": n, "v": "base"} for n in range(3)])
    bands.init()
    bands.create_branch("side")
    bands.update_many({}, {"$set": {"v": "theirs"}})
    bands.register("theirs")
    bands.checkout("main")
    bands.update_many({}, {"$set": {"v": "ours"}})
    bands.register("ours")
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    before = raws(bands)

    def raising_at_the_last(conflict: Any, context: Any) -> Any:
        return conflict.theirs if conflict.document_id < 2 else 1 / 0

    with pytest.raises(errors.ResolverFailed):
        bands.resolve_conflicts(resolver=raising_at_the_last)
    assert (raws(bands), len(list(bands.conflicts()))) == (before, 3)
