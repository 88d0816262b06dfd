"""export and import_: the documents of a version to files, and back."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bson
import pytest
from api_support import BANDS, edit, everything, grown, problems, raws, tracked
from bson import DBRef, json_util
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from hypothesis import given, settings
from strategies import (
    ODD_IDS,
    ODD_SCALARS,
    decimal,
    documents,
    double,
    int32,
    int64,
    string,
    symbol,
    timestamp,
    with_id,
)
from test_exactness import common

from versioned_collection import DocumentId, VersionedCollection, errors
from versioned_collection.core.document import document_key, key_of, twin_token
from versioned_collection.driver.writes import insert_all
from versioned_collection.formats import lines
from versioned_collection.working import replacing

LONG_AGO = datetime(1969, 7, 16, 13, 32, tzinfo=timezone.utc)
PLAIN = [
    {
        "_id": ObjectId("0123456789abcdef01234567"),
        "name": "Can",
        "albums": 11,
        "rating": 4.5,
        "first": LONG_AGO,
        "sales": Int64(2**40),
        "price": Decimal128("12.30"),
        "raw": b"\0\1",
        "tags": ["kraut", "rock"],
        "label": {"name": "Spoon", "owner": ObjectId("0123456789abcdef01234568")},
    },
    {"_id": ObjectId("0123456789abcdef01234569"), "name": "Neu!", "label": {"city": "Köln"}},
    {"_id": ObjectId("0123456789abcdef0123456a"), "name": "Faust", "active": True, "tags": []},
]


def split(data: bytes) -> list[bytes]:
    """Return concatenated BSON documents."""
    return [raw.raw for raw in bson.decode_all(data, CodecOptions(document_class=RawBSONDocument))]


def odd_documents() -> list[bytes]:
    """Return documents with every kind of id, and one with every kind of value."""
    by_token = {twin_token(document_key(with_id(one, []))): one for one in ODD_IDS}
    found = [with_id(one, [(b"x", int32(1))]) for one in by_token.values()]
    values = [(b"v%d" % place, value) for place, value in enumerate(ODD_SCALARS)]
    return [*found, with_id(string("all of them"), values)]


def odd(db: Any) -> VersionedCollection:
    """Return a collection with such documents, at main@0."""
    insert_all(db, "bands", odd_documents())
    bands = VersionedCollection(db, "bands")
    bands.init("odd")
    return bands


# -- one version ---------------------------------------------------------------------------


def test_every_type_comes_back_from_bson_to_the_byte(anydb, there, tmp_path):
    bands = odd(anydb)
    file = tmp_path / "bands.bson"
    done = bands.export(file)
    recorded = raws(bands)
    assert sorted(split(file.read_bytes())) == recorded
    assert (done.file, done.format, done.documents) == (str(file), "bson", len(recorded))
    assert done.bytes == file.stat().st_size
    assert done.version == bands.resolve("HEAD").id
    other = tracked(there)
    imported = other.import_(file, replace=True)
    assert raws(other) == recorded
    assert imported.documents == len(recorded)
    assert other.register("imported")
    assert problems(other) == []
    assert other.resolve("HEAD").fingerprint == bands.resolve("HEAD").fingerprint


def test_an_earlier_version_is_written_without_checkout(anydb):
    bands = grown(anydb)
    edit(bands, "dirty")
    bands.delete_one({"_id": 2})
    before = raws(bands)
    for revision in ("main@0", "v1", "side", 2, None):
        out = io.BytesIO()
        done = bands.export(out, revision, "bson")
        expected = bands.at("HEAD" if revision is None else revision)
        assert sorted(map(bson.encode, expected.find())) == sorted(split(out.getvalue()))
        assert done.version == expected.version.id
        assert done.file == "<BytesIO>"
    assert raws(bands) == before


def test_nothing_is_needed_but_the_right_to_read(db):
    bands = grown(db)
    names = set(db.list_collection_names())
    bands.export(io.BytesIO(), "main@0", "bson")
    assert set(db.list_collection_names()) == names


def test_progress_counts_documents(db):
    found: list[tuple[str, int]] = []
    tracked(db).export(io.BytesIO(), format="bson", progress=lambda *one: found.append(one))
    assert sum(count for phase, count in found if phase == "documents") == len(BANDS)


def test_json_lines_are_canonical(db, tmp_path):
    bands = VersionedCollection(db, "bands")
    bands.insert_many(map(dict, PLAIN))
    bands.init()
    file = tmp_path / "bands.jsonl"
    bands.export(file)
    found = file.read_bytes().splitlines()
    options = json_util.CANONICAL_JSON_OPTIONS
    expected = [json_util.dumps(one, json_options=options, ensure_ascii=False) for one in PLAIN]
    assert sorted(found) == sorted(one.encode() for one in expected)
    before = raws(bands)
    bands.delete_many({})
    bands.import_(file)
    assert raws(bands) == before
    assert not bands.has_changes()


def test_relaxed_json_lines_are_for_people(db, tmp_path):
    bands = tracked(db)
    out = io.BytesIO()
    bands.export(out, format="jsonl", relaxed=True)
    assert sorted(map(json.loads, out.getvalue().splitlines()), key=lambda d: d["_id"]) == BANDS


@pytest.mark.parametrize(
    "value",
    [symbol("a"), (0x06, b""), (0x02, b"\3\0\0\0\xff\xfe\0"), (0x01, b"\1\0\0\0\0\0\xf0\x7f")],
    ids=["symbol", "undefined", "invalid UTF-8", "signalling NaN"],
)
def test_what_json_cannot_say_is_refused_by_name(db, value):
    insert_all(db, "bands", [with_id(int32(7), [(b"x", value)])])
    bands = VersionedCollection(db, "bands")
    bands.init()
    with pytest.raises(errors.NotSupported, match="_id 7") as caught:
        bands.export(io.BytesIO(), format="jsonl")
    assert caught.value.document_id == 7


@settings(max_examples=60, derandomize=True, **common)
@given(raw=documents())
def test_a_line_of_json_leads_back_to_the_bytes_or_is_refused(raw):
    out = io.BytesIO()
    try:
        lines.write(lambda: iter([[raw]]), out)
    except errors.NotSupported:
        return
    assert list(lines.read(io.BytesIO(out.getvalue()), "it")) == [raw]


# -- Parquet -------------------------------------------------------------------------------


def test_parquet_keeps_columns_nested_fields_and_object_ids(db, tmp_path):
    import pyarrow.parquet

    bands = VersionedCollection(db, "bands")
    bands.insert_many(map(dict, PLAIN))
    bands.init()
    file = tmp_path / "bands.parquet"
    counted: list[tuple[str, int]] = []
    done = bands.export(file, progress=lambda *one: counted.append(one))
    counted = sorted({one: sum(n for p, n in counted if p == one) for one, _ in counted}.items())
    assert done.documents == 3
    assert counted == [("documents", 3), ("read", 3)]
    table = pyarrow.parquet.read_table(file)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["name"] == "string"
    assert (types["albums"], types["sales"]) == ("int64", "int64")
    assert types["first"] == "timestamp[us, tz=UTC]"
    assert types["price"].startswith("decimal128")
    assert table.column("label").to_pylist()[0] == {
        "name": "Spoon",
        "owner": "0123456789abcdef01234568",
        "city": None,
    }
    before = bands.find().sort("_id", 1).to_list()
    bands.delete_many({})
    assert bands.import_(file).inserted == 3
    assert bands.find().sort("_id", 1).to_list() == before


def check_parquet_gives_back(bands, shapes, path):
    """Export documents as a version, and import them where they were."""
    bands.insert_many([{"_id": place, **shape} for place, shape in enumerate(shapes)])
    bands.init()
    bands.export(path)
    bands.delete_many({})
    bands.import_(path)
    found = {one.pop("_id"): one for one in bands.find()}
    assert found == dict(enumerate(shapes))


def test_parquet_has_one_schema_for_documents_of_many_shapes(db, monkeypatch, tmp_path):
    from versioned_collection.formats import columns

    monkeypatch.setattr(columns, "_ROWS", 2)
    bands = VersionedCollection(db, "bands")
    shapes = [{"a": 1}, {"a": 2.5}, {"b": {"c": 1}}, {"b": {"d": "x"}}, {"e": []}, {"e": [1]}]
    check_parquet_gives_back(bands, shapes, tmp_path / "bands.parquet")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([{"x": 1}, {"x": "one"}], "x"),
        ([{"x": {"y": 1}}, {"x": {"y": [1]}}], "x"),
        ([{"x": {"y": Regex("a")}}], "x.y"),
        ([{"x": "0123456789abcdef01234567"}, {"x": ObjectId()}], "x"),
        ([{"x": Decimal128("NaN")}], "x"),
        ([{"x": 1}] * 3 + [{"x": [1, "a"]}], "x"),
    ],
)
def test_what_arrow_cannot_express_is_refused_by_document_and_field(db, tmp_path, fields, field):
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": place, **one} for place, one in enumerate(fields)])
    bands.init()
    with pytest.raises(errors.NotSupported, match=f"field '{field}'") as caught:
        bands.export(tmp_path / "bands.parquet")
    assert (caught.value.document_id, caught.value.field) == (len(fields) - 1, field)
    assert list(tmp_path.iterdir()) == []


def test_parquet_keeps_documents_without_fields(db, tmp_path):
    bands = VersionedCollection(db, "bands")
    shapes: list[dict[str, Any]] = [
        {"e": {}, "deep": {"in": {}, "list": [{}, {"empty": {}}]}, "list": [{}], "lists": [[{}]]},
        {"e": {}, "deep": {"in": {}}},
        {},
    ]
    check_parquet_gives_back(bands, shapes, tmp_path / "bands.parquet")
    edit(bands, 1, 2)
    bands.update_one({"_id": 2}, {"$set": {"e.x": None}})
    bands.register("a field")
    assert bands.export(tmp_path / "more.parquet").documents == 3


def nested(value: Any, depth: int, inner: bool) -> Any:
    """Return a value within so many documents, or lists."""
    for _ in range(depth):
        value = {"a": value} if inner else [value]
    return value


@pytest.mark.parametrize(
    ("value", "inner", "most"),
    [(1, True, 98), (1, False, 49), ({}, True, 97), ({}, False, 48), ([], True, 96)],
)
def test_parquet_takes_no_document_that_is_too_deep_to_be_read_again(
    db, tmp_path, value, inner, most
):
    bands = VersionedCollection(db, "bands")
    deepest = {"_id": 1, "f": nested(value, most, inner)}
    bands.insert_many([deepest, {"_id": 2}])
    bands.init()
    bands.export(tmp_path / "deepest.parquet")
    bands.delete_many({})
    bands.import_(tmp_path / "deepest.parquet")
    assert bands.find_one(1) == deepest
    bands.update_one({"_id": 2}, {"$set": {"g": nested(value, most + 1, inner)}})
    bands.register("deeper")
    with pytest.raises(errors.NotSupported, match="levels") as caught:
        bands.export(tmp_path / "bands.parquet")
    assert (caught.value.document_id, caught.value.field) == (2, "g")
    assert not (tmp_path / "bands.parquet").exists()


def test_parquet_without_documents(db, tmp_path):
    bands = VersionedCollection(db, "bands")
    bands.init()
    bands.export(tmp_path / "bands.parquet")
    assert bands.import_(tmp_path / "bands.parquet").documents == 0


def test_parquet_without_the_library_names_the_command(db, tmp_path, monkeypatch):
    bands = tracked(db)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(errors.NotSupported, match=r"pip install .*\[parquet\]"):
        bands.export(tmp_path / "bands.parquet")
    assert list(tmp_path.iterdir()) == []


# -- the file ------------------------------------------------------------------------------


def test_a_file_that_exists_is_not_overwritten_unasked(db, tmp_path):
    bands = tracked(db)
    file = tmp_path / "bands.bson"
    file.write_bytes(b"mine")
    file.chmod(0o640)
    with pytest.raises(errors.UnusableFile, match="overwrite=True") as caught:
        bands.export(file)
    assert caught.value.reason == "exists"
    assert file.read_bytes() == b"mine"
    bands.export(file, overwrite=True)
    assert sorted(split(file.read_bytes())) == raws(bands)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_only_the_owner_reads_a_new_file(db, tmp_path):
    file = tmp_path / "bands.bson"
    tracked(db).export(str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_ordinary_files_are_replaced(db, tmp_path):
    bands = tracked(db)
    with pytest.raises(errors.UnusableFile, match="ordinary"):
        bands.export(tmp_path, format="bson", overwrite=True)
    with pytest.raises(errors.UnusableFile) as caught:
        bands.export(tmp_path / "nowhere" / "bands.bson")
    assert caught.value.reason == "missing"


def test_an_export_that_fails_leaves_no_file(db, tmp_path):
    bands = tracked(db)

    def break_off(phase, count):
        raise RuntimeError("the disk is on fire")

    for name in ("bands.bson", "bands.bundle"):
        with pytest.raises(RuntimeError):
            bands.export(tmp_path / name, progress=break_off)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pymongo import MongoClient
from versioned_collection import VersionedCollection

client = MongoClient(sys.argv[1])
bands = VersionedCollection(client[sys.argv[2]], "bands")
bands.export(sys.argv[3], progress=lambda phase, count: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize(
    "name", [pytest.param("bands.bson", marks=pytest.mark.sweep), "bands.bundle"]
)
def test_a_killed_export_leaves_nothing_under_the_name(db, server, tmp_path, name):
    bands = grown(db)
    file = tmp_path / name
    done = subprocess.run([sys.executable, "-c", KILLED, server.uri, db.name, str(file)])
    assert done.returncode == -9
    assert not file.exists()
    bands.export(file)
    assert file.exists()


def test_the_format_is_that_of_the_ending_or_the_argument(db, tmp_path):
    bands = tracked(db)
    assert bands.export(tmp_path / "a.JSON").format == "jsonl"
    assert bands.export(tmp_path / "b.txt", format="bson").format == "bson"
    with pytest.raises(errors.InvalidArgument, match="ending"):
        bands.export(tmp_path / "c.txt")
    with pytest.raises(errors.InvalidArgument, match="one of bson, bundle, jsonl, parquet"):
        bands.export(tmp_path / "c.bson", format="csv")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument, match="ending"):
        bands.export(io.BytesIO())


def test_arguments_that_contradict_each_other(db, tmp_path):
    bands = tracked(db)
    file = tmp_path / "x"
    for arguments in (
        {"revision": "HEAD", "format": "bundle"},
        {"format": "bson", "branches": ["main"]},
        {"format": "bson", "since": "HEAD"},
        {"format": "bson", "relaxed": True},
        {"format": "bundle", "branches": "main"},
        {"format": "bundle", "branches": []},
    ):
        with pytest.raises(errors.InvalidArgument):
            bands.export(file, **arguments)
    with pytest.raises(errors.InvalidType, match="bytes"):
        bands.export(io.StringIO(), format="bson")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidType):
        bands.import_(7, "bson")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.export(file, "nowhere", "bson")
    assert list(tmp_path.iterdir()) == []


def test_without_a_history(db, tmp_path):
    bands = VersionedCollection(db, "bands")
    (tmp_path / "a.bson").write_bytes(b"")
    with pytest.raises(errors.CollectionNotTracked):
        bands.export(tmp_path / "b.bson")
    with pytest.raises(errors.CollectionNotTracked):
        bands.import_(tmp_path / "a.bson")
    assert db.list_collection_names() == []


# -- import_ -------------------------------------------------------------------------------


def bson_of(*found: dict[str, Any]) -> io.BytesIO:
    return io.BytesIO(b"".join(map(bson.encode, found)))


def counts(imported: Any) -> tuple[int, int, int]:
    return imported.inserted, imported.updated, imported.deleted


@pytest.mark.parametrize("large", [False, True])
def test_import_puts_or_replaces(anydb, monkeypatch, large):
    if large:
        monkeypatch.setattr(replacing, "is_small", lambda *_: False)
    bands = tracked(anydb)
    changed = {**BANDS[0], "mark": 1}
    found = bands.import_(bson_of(changed, BANDS[1], {"_id": 9}), "bson")
    assert counts(found) == (1, 1, 0)
    assert found.documents == 3
    assert {change.document_id: change.op for change in bands.changes()} == {
        1: "update",
        9: "insert",
    }
    found = bands.import_(bson_of(changed, BANDS[1]), "bson", replace=True, dry_run=True)
    assert counts(found) == (0, 0, 2)
    assert bands.count_documents({}) == 4
    found = bands.import_(bson_of(changed, BANDS[1]), "bson", replace=True)
    assert counts(found) == (0, 0, 2)
    assert bands.find().sort("_id", 1).to_list() == [changed, BANDS[1]]
    assert bands.resolve("HEAD").label == "main@0"
    assert counts(bands.import_(bson_of(changed), "bson")) == (0, 0, 0)
    assert bands.register("imported")
    bands.database["bands"].drop()
    assert counts(bands.import_(bson_of(changed), "bson", dry_run=True)) == (1, 0, 0)
    assert "bands" not in bands.database.list_collection_names()
    assert problems(bands) == []
    assert bands._repository.stash.versions() == []


def test_import_through_an_asynchronous_twin_has_the_same_name():
    from versioned_collection import AsyncVersionedCollection

    assert AsyncVersionedCollection.import_.__doc__ == VersionedCollection.import_.__doc__


NO_IDS = [{"$a": 1}, {"$ref": "x"}, [1], Regex("a")]
"""What no document has as its ``_id``."""


@pytest.mark.parametrize("id_", NO_IDS, ids=repr)
def test_an_id_that_no_document_can_have(db, id_):
    bands = tracked(db)
    shown = repr(id_).partition("(")[0]
    for replace in (False, True):
        with pytest.raises(errors.UnusableFile, match=rf"document 2 .*{re.escape(shown)}"):
            bands.import_(bson_of({"_id": 1}, {"_id": id_}), "bson", replace=replace)
    for ask in (
        lambda: list(bands.history(id_)),
        lambda: bands.blame(id_),
        lambda: bands.restore([id_]),
        lambda: list(bands.log(document=id_)),
        lambda: bands.purge([id_], reason="asked to"),
        lambda: bands.restore([DocumentId(key_of(id_))]),
    ):
        with pytest.raises(errors.InvalidArgument, match="no document can have"):
            ask()
    reference = DBRef("labels", 1)
    bands.insert_one({"_id": reference})
    bands.register("a reference")
    assert len(list(bands.history(reference))) == 1
    assert bands.restore([reference], "main@0").deleted == 1
    assert problems(bands) == []


def test_a_document_without_an_id_gets_one(db):
    bands = tracked(db)
    bands.import_(io.BytesIO(b'{"name": "Can"}\n\n{"name": "Neu!", "_id": 9}\n'), "jsonl")
    can, neu = bands.find_one({"name": "Can"}), bands.find_one(9)
    assert isinstance(can["_id"], ObjectId)
    assert list(neu) == ["_id", "name"]
    assert bands.register("imported")
    assert problems(bands) == []


def test_ids_that_the_server_takes_for_the_same_make_room(anydb):
    bands = tracked(anydb)
    raw = with_id(double(1.0), [(b"x", decimal(1)), (b"t", timestamp(0, 0)), (b"n", int64(1))])
    found = bands.import_(io.BytesIO(raw), "bson")
    assert counts(found) == (1, 0, 1)
    assert raw in raws(bands)
    assert bands.register("imported")
    assert problems(bands) == []


@pytest.mark.parametrize(
    ("data", "format", "reason"),
    [
        (bson.encode({"_id": 8}) + b"\x40\0\0\0\x10", "bson", "truncated"),
        (bson.encode({"_id": 8}) + b"\x10\0", "bson", "truncated"),
        (bson.encode({"_id": 8}) + b"\0\0\0\0", "bson", "malformed"),
        (b"{} is not BSON", "bson", "foreign"),
        (b"\x0c\0\0\0\x10_id\0\1\0\0", "bson", "malformed"),
        (bson.encode({"_id": 8}) * 2, "bson", "malformed"),
        (bson.encode({"_id": [1]}), "bson", "malformed"),
        (b'{"_id": 8}\n{"_id": ', "jsonl", "malformed"),
        (b'{"_id": 8}\n[1]\n', "jsonl", "malformed"),
        (b"PAR1", "jsonl", "foreign"),
        (b'{"_id": {"$oid": "xyz"}}', "jsonl", "foreign"),
        (b'{"_id": 1%s}' % (b"0" * 30), "jsonl", "foreign"),
        (b"no columns", "parquet", "foreign"),
    ],
)
def test_a_file_that_is_something_else_changes_nothing(db, tmp_path, data, format, reason):
    bands = tracked(db)
    before = everything(db)
    file = tmp_path / "data"
    file.write_bytes(data)
    with pytest.raises(errors.UnusableFile) as caught:
        bands.import_(file, format, replace=True)
    assert caught.value.reason == reason
    assert str(file) in str(caught.value)
    after = everything(db)
    assert after["bands"] == before["bands"]
    assert not bands.has_changes()


def test_a_file_that_is_missing_or_a_bundle(db, tmp_path):
    bands = tracked(db)
    with pytest.raises(errors.UnusableFile) as caught:
        bands.import_(tmp_path / "nowhere.bson")
    assert caught.value.reason == "missing"
    bands.export(tmp_path / "a.bundle")
    with pytest.raises(errors.InvalidArgument, match=r"clone\(\)"):
        bands.import_(tmp_path / "a.bundle")


@pytest.mark.parametrize("large", [False, True])
def test_a_document_that_an_index_refuses_changes_nothing(anydb, monkeypatch, large):
    if large:
        monkeypatch.setattr(replacing, "is_small", lambda *_: False)
    bands = tracked(anydb)
    bands.create_index("name", unique=True)
    before = raws(bands)
    with pytest.raises(errors.DocumentRejected):
        bands.import_(bson_of({"_id": 8, "x": 1}, {"_id": 9, "name": "Blur"}), "bson")
    assert raws(bands) == before
    assert not bands.has_changes()
    assert problems(bands) == []


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("levels", [190, 300])
def test_a_document_with_too_many_levels_changes_nothing(db, monkeypatch, levels, large):
    if large:
        monkeypatch.setattr(replacing, "is_small", lambda *_: False)
    bands = tracked(db)
    before = raws(bands)
    file = bson_of({"_id": 8}, {"_id": 9, "a": levels_of(levels)}, {"_id": 10})
    with pytest.raises(errors.DocumentRejected, match=r"nesting\. .* less deeply") as caught:
        bands.import_(file, "bson")
    assert len(str(caught.value)) < 200
    assert caught.value.facts["statement"]["_id"] == 9
    assert raws(bands) == before
    assert not bands.has_changes()
    assert problems(bands) == []


def levels_of(count: int) -> list[Any]:
    """Return a list with so many levels."""
    found: list[Any] = []
    for _ in range(count - 1):
        found = [found]
    return found


def test_a_validator_is_not_bypassed(db):
    bands = tracked(db)
    db.command("collMod", "bands", validator={"name": {"$type": "string"}})
    with pytest.raises(errors.DocumentRejected):
        bands.import_(bson_of({"_id": 9, "name": 7}), "bson")
    assert not bands.has_changes()


def test_another_client_writes_meanwhile(db, monkeypatch):
    bands = tracked(db)
    carry_out = replacing.Replacing._carry_out

    def late(self, small):
        db["bands"].update_one({"_id": 1}, {"$set": {"mark": "theirs"}, "$inc": {"n": 1}})
        carry_out(self, small)

    monkeypatch.setattr(replacing.Replacing, "_carry_out", late)
    with pytest.raises(errors.WorkingCopyChanged):
        bands.import_(bson_of({"_id": 1}, {"_id": 9}), "bson")
    assert bands.find_one(1)["mark"] == "theirs"
    assert bands.find_one(9) is None
    monkeypatch.setattr(replacing, "is_small", lambda *_: False)
    assert bands.import_(bson_of({"_id": 1}, {"_id": 9}), "bson").kept == [1]
    assert bands.find_one(1)["mark"] == "theirs"
    assert bands.find_one(9) == {"_id": 9}


def test_a_pipe_will_do(db):
    bands = tracked(db)
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as out:
        bands.export(out, format="jsonl")
    before = raws(bands)
    bands.delete_many({})
    with os.fdopen(reader, "rb") as source:
        assert bands.import_(source, "jsonl").inserted == len(BANDS)
    assert raws(bands) == before


def test_paths_are_texts_or_objects(db, tmp_path):
    bands = tracked(db)
    assert bands.export(str(tmp_path / "a.bson")).file == str(tmp_path / "a.bson")
    assert bands.import_(Path(tmp_path / "a.bson")).documents == 3
