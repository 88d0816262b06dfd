"""What a collection's codec options encode is taken everywhere, and comes back as they have it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import mongomock
import pytest
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions, TypeCodec, TypeRegistry
from bson.decimal128 import Decimal128
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import DeleteOne, InsertOne, UpdateMany, UpdateOne

from versioned_collection import DocumentId, Only, VersionedCollection, errors
from versioned_collection.doubles import adopted


class Exact(TypeCodec):
    """Python's decimals in the place of BSON's."""

    python_type = Decimal
    bson_type = Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)

    def transform_bson(self, value: Decimal128) -> Decimal:
        return value.to_decimal()


OPTIONS: CodecOptions[Any] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    type_registry=TypeRegistry([Exact()]),
)
U, V, W = (uuid.UUID(int=number) for number in (1, 2, 3))
D = Decimal("1.50")
WORDS = {"author": {"name": "Ada", "u": U}, "metadata": {"d": D}}


def opened(db: Any, **changes: Any) -> VersionedCollection[Any]:
    """Return the collection with codec options."""
    return VersionedCollection(db, "bands", codec_options=OPTIONS.with_options(**changes))


@pytest.fixture
def bands(anydb) -> VersionedCollection[Any]:
    """Three versions of a document with the id U, and another one with the id D."""
    collection = opened(anydb)
    collection.insert_many([{"_id": U, "v": U, "d": D}, {"_id": D, "v": W}])
    collection.init("start", **WORDS)
    collection.update_one({"_id": U}, {"$set": {"v": V}})
    collection.register("second", **WORDS)
    return collection


def test_ids_as_arguments(bands):
    steps = list(bands.history(U))
    assert [step.op for step in steps] == ["update", "insert"]
    assert steps[1].document == {"_id": U, "v": U, "d": D}
    assert [one.version.number for one in bands.history(D)] == [0]
    assert [version.number for version in bands.log(document=U)] == [1, 0]
    blamed = {one.field: (one.value, one.version.number) for one in bands.blame(U)}
    assert blamed == {"_id": (U, 0), "v": (V, 1), "d": (D, 0)}


def test_differences(bands):
    bands.update_one({"_id": U}, {"$set": {"v": W, "list": [U]}})
    bands.insert_one({"_id": V})
    assert set(bands.diff()) == {U, V}
    deep = bands.diff(deep=True)[U]
    assert deep["values_changed"]["root['v']"] == {"new_value": W, "old_value": V}
    changes = {change.document_id: change for change in bands.changes()}
    (row,) = [row for row in changes[U].rows if row.path == ("v",)]
    assert (row.value, row.old_value) == (W, V)
    assert [row.value for row in changes[U].rows if row.path == ("list",)] == [[U]]
    assert bands.compare().samples == {"insert": [V], "update": [U], "delete": []}


def test_ids_that_python_cannot_hash(bands):
    compound = {"u": U, "d": D}
    bands.insert_one({"_id": compound})
    (found,) = bands.diff()
    assert isinstance(found, DocumentId)
    assert (found.value, repr(found)) == (compound, f"DocumentId({compound!r})")
    assert found == compound
    assert found != {"u": V, "d": D}
    assert found != object()
    assert bands.register("compound", only=[found])
    assert [step.op for step in bands.history(found)] == ["insert"]


def test_parts_of_changes(bands):
    bands.update_one({"_id": U}, {"$set": {"v": W}})
    bands.update_one({"_id": D}, {"$set": {"v": V}})
    assert bands.register("nothing", only={"v": U}) is False
    assert bands.register("by id", only=[U])
    assert bands.register("by filter", only=Only([D], {"v": V}, ["v"]))
    assert not bands.has_changes()
    for wrong in ([object()], {"v": object()}):
        with pytest.raises(errors.InvalidArgument, match="BSON cannot hold the"):
            bands.register("wrong", only=wrong)


def test_restoring(bands):
    assert bands.restore({"v": U}, "main@0", dry_run=True).document_ids == [U]
    assert bands.restore([U], "main@0", fields=["v"]).document_ids == [U]
    assert bands.find_one(U)["v"] == U


def test_finding_versions(bands):
    (found,) = bands.find_versions({"v": V})
    assert (found.version.number, found.appeared) == (1, [U])
    assert bands.bisect("main@0", "main@1", {"v": V}).number == 1
    assert list(bands.at("main@0").find({"v": U, "d": D})) == [{"_id": U, "v": U, "d": D}]


def test_purging(bands):
    assert bands.purge(filter={"v": U}, dry_run=True).documents == 1
    assert bands.purge([U], reason="asked to", author={"u": U}).documents == 1
    assert bands.find_one(U) is None
    assert list(bands.verify()) == []


def test_checks(bands):
    seen: list[Any] = []

    def look(state: Any) -> list[Any]:
        seen.extend(state.find({"v": V}))
        assert list(state.aggregate([{"$match": {"v": V}}, {"$project": {"d": 1}}]))
        assert state.count_documents({"v": V}) == 1
        return [one["_id"] for one in state.find({"v": W})]

    bands.add_check("look", look)
    bands.update_one({"_id": U}, {"$set": {"n": 1}})
    with pytest.raises(errors.CheckFailed) as caught:
        bands.register("checked")
    assert caught.value.documents == [D]
    assert seen[0]["_id"] == U
    assert seen[0]["d"] == D
    bands.delete_check("look")
    bands.add_check("stored", [{"$match": {"v": W}}])
    assert bands.checks() == {"stored": [{"$match": {"v": W}}]}
    with pytest.raises(errors.CheckFailed) as caught:
        bands.register("checked")
    assert caught.value.documents == [D]
    with pytest.raises(errors.InvalidArgument, match="BSON cannot hold the pipeline"):
        bands.add_check("wrong", [{"$match": {"v": object()}}])


def test_what_is_said_of_versions(bands, anydb, there):
    version = bands.resolve("HEAD")
    assert (version.author, version.metadata) == (WORDS["author"], WORDS["metadata"])
    plain = VersionedCollection(anydb, "bands").resolve("HEAD")
    assert plain.metadata == {"d": Decimal128("1.50")}
    assert plain.author == {"name": "Ada", "u": Binary.from_uuid(U)}
    assert plain.checksum == version.checksum
    assert [one.number for one in bands.log(author="Ada")] == [1, 0]
    # verbs that make versions again from what was said, and transfers
    bands.create_branch("side")
    bands.update_one({"_id": U}, {"$set": {"n": 1}})
    bands.register("third", **WORDS)
    bands.checkout("main")
    for picked in (bands.cherry_pick("side"), bands.squash("main@1", "HEAD", "both")):
        assert picked.author == WORDS["author"]
    bands.push(VersionedCollection(there, "bands"))
    assert opened(there).resolve("main").metadata == WORDS["metadata"]
    assert list(bands.verify()) == []
    with pytest.raises(errors.InvalidArgument, match="BSON cannot hold the metadata"):
        bands.register("wrong", metadata={"x": object()})


def _part(bands: VersionedCollection[Any]) -> None:
    """Have the branches main and side give a field other values, U and W."""
    bands.create_branch("side")
    bands.update_one({"_id": U}, {"$set": {"v": W}})
    bands.register("theirs")
    bands.checkout("main")
    bands.update_one({"_id": U}, {"$set": {"v": U}})
    bands.register("ours")


def test_conflicts(bands):
    _part(bands)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    (conflict,) = bands.conflicts()
    values = conflict.document_id, conflict.base, conflict.ours, conflict.theirs
    assert values == (U, V, U, W)
    bands.resolve_conflict(conflict, D)
    assert bands.find_one(U)["v"] == D
    bands.abort_merge()
    seen = []

    def settle(conflict: Any, context: Any) -> Any:
        seen.append((conflict.document_id, conflict.base, conflict.ours, conflict.theirs))
        return V

    bands.merge("side", resolver=settle)
    assert seen == [values]
    assert bands.find_one(U)["v"] == V


def test_errors_name_the_document(bands):
    _part(bands)
    with pytest.raises(errors.ResolverFailed) as caught:
        bands.merge("side", resolver=lambda conflict, context: object())
    assert caught.value.document_id == U
    with pytest.raises(errors.InvalidArgument) as missing:
        bands.blame(W)
    assert missing.value.document_id == W


def test_classes_of_documents(bands, anydb):
    ordered = opened(anydb, document_class=SON)
    assert type(next(ordered.history(U)).document) is SON
    assert type(ordered.resolve("HEAD").author) is SON
    raw = opened(anydb, document_class=RawBSONDocument)
    assert isinstance(next(raw.history(U)).document, RawBSONDocument)
    assert raw.resolve("HEAD").author["u"] == U
    raw.update_one({"_id": U}, {"$set": {"v": {"a": 1}}})
    assert set(raw.diff()) == {U}
    assert raw.register("raw", only=[U])
    (change,) = raw.changes("HEAD~1", "HEAD")
    assert change.rows[0].value["a"] == 1


def test_options_of_another_view(bands):
    """What `with_options` returns goes by its own options, and the collection by its own."""
    plain = bands.with_options(codec_options=CodecOptions())
    plain.update_one({"v": Binary.from_uuid(V)}, {"$set": {"x": 1}})
    assert set(plain.diff()) == {Binary.from_uuid(U)}
    assert set(bands.diff()) == {U}
    assert plain.resolve("HEAD").timestamp.tzinfo is None
    assert bands.resolve("HEAD").timestamp.tzinfo is not None


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=5))])
def test_times(bands, anydb, zone):
    """All times have the zone of documents, and are compared with each other."""
    bands.insert_one({"_id": "now", "at": datetime(2026, 1, 31, 12)})
    bands.stash()
    bands.purge(["now"], reason="none")
    checksum = bands.resolve("HEAD").checksum
    for aware in (False, True):
        zoned = {"tzinfo": zone} if aware else {"tzinfo": None}
        other = opened(anydb, tz_aware=aware, **zoned)
        operation, version = next(iter(other.reflog())), other.resolve("HEAD")
        times = [version.timestamp, operation.timestamp, other.purges()[0].timestamp]
        times += [one.created for one in other.stashes()]
        assert len({time.utcoffset() for time in times}) == 1
        offset = (zone or timezone.utc).utcoffset(None) if aware else None
        assert times[0].utcoffset() == offset
        assert operation.timestamp >= version.timestamp
        assert version.checksum == checksum
        assert str(version) == str(bands.resolve("HEAD"))
        assert str(operation) == str(next(iter(bands.reflog())))
    assert list(bands.verify()) == []


# -- writes that are noted ----------------------------------------------------------------

WRITES: dict[str, Any] = {
    "insert_one": lambda c: c.insert_one({"_id": V, "d": D}),
    "insert_many": lambda c: c.insert_many([{"_id": V}, {"_id": Decimal("2")}]),
    "update by _id": lambda c: c.update_one({"_id": U}, {"$set": {"x": U}}),
    "update by field": lambda c: c.update_one({"v": U}, {"$set": {"x": D}}),
    "update_many": lambda c: c.update_many({"d": D}, {"$set": {"x": U}}),
    "replace_one": lambda c: c.replace_one({"v": U}, {"v": V}),
    "delete_one": lambda c: c.delete_one({"_id": D}),
    "delete_many": lambda c: c.delete_many({"v": {"$in": [U, V]}}),
    "find_one_and_update": lambda c: c.find_one_and_update({"v": U}, {"$set": {"x": U}}),
    "find_one_and_replace": lambda c: c.find_one_and_replace({"v": U}, {"d": D}),
    "find_one_and_delete": lambda c: c.find_one_and_delete({"d": D}, sort=[("d", -1)]),
    "upsert by _id": lambda c: c.update_one({"_id": W}, {"$set": {"x": D}}, upsert=True),
    "upsert by field": lambda c: c.update_one({"v": W}, {"$set": {"x": D}}, upsert=True),
    "upsert of an id": lambda c: c.update_one({"x": 1}, {"$setOnInsert": {"_id": W}}, upsert=True),
    "bulk_write": lambda c: c.bulk_write(
        [InsertOne({"_id": V}), UpdateOne({"_id": U}, {"$set": {"x": D}}), DeleteOne({"_id": D})]
    ),
    "bulk_write by field": lambda c: c.bulk_write([UpdateMany({"v": U}, {"$set": {"x": U}})]),
}


def _noted(db: Any) -> VersionedCollection[Any]:
    collection = opened(db)
    collection.insert_many([{"_id": U, "v": U, "d": D}, {"_id": D, "d": D}])
    collection.init("start")
    assert collection.capture_mode == "write_through"
    return collection


def _is_whole(collection: VersionedCollection[Any]) -> None:
    now = sorted(map(repr, collection.find()))
    assert collection.register("written")
    assert sorted(map(repr, collection.at("HEAD").find())) == now
    assert list(collection.verify()) == []


@pytest.mark.parametrize("name", WRITES)
def test_writes_that_are_noted(standalone_db, name):
    collection = _noted(standalone_db)
    WRITES[name](collection)
    _is_whole(collection)


def test_variables_of_writes_that_are_noted(standalone_db):
    collection = _noted(standalone_db)
    same = {"$expr": {"$eq": ["$v", "$$v"]}}
    assert collection.update_one(same, {"$set": {"x": D}}, let={"v": U}).modified_count == 1
    assert collection.update_many(same, {"$set": {"y": D}}, let={"v": U}).modified_count == 1
    _is_whole(collection)


@pytest.mark.blocking
@pytest.mark.parametrize("name", WRITES)
def test_writes_to_a_double(name):
    collection = _noted(adopted(mongomock.MongoClient()["music"]))
    WRITES[name](collection)
    _is_whole(collection)


def test_what_cannot_be_written_is_pymongos_error(standalone_db):
    collection = _noted(standalone_db)
    for write in (
        lambda: collection.insert_one({"_id": object()}),
        lambda: collection.update_one({"v": object()}, {"$set": {"x": 1}}),
    ):
        with pytest.raises(InvalidDocument):
            write()
    assert not collection.has_changes()
