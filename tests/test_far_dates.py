"""Dates that Python cannot represent, and ids that it cannot decode, wherever verbs meet them."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from api_support import problems
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from versioned_collection import VersionedCollection
from versioned_collection.core.document import PLAIN_OPTIONS
from versioned_collection.errors import AutoMergeFailedError, InvalidArgument

FAR = DatetimeMS(2**62)
GARBLED = b"\x02_id\0\x03\0\0\0\xff\xfe\0"


def with_value(id_: bytes, value: int) -> RawBSONDocument:
    """Return a document of an ``_id`` as BSON has it, and a value."""
    body = id_ + bson.encode({"v": value})[4:]
    return RawBSONDocument((len(body) + 4).to_bytes(4, "little") + body)


def at_odds(db: Any, id_: bytes) -> VersionedCollection:
    """Return a collection on whose branches one document has other values."""
    bands = VersionedCollection(db, "bands")
    present = with_value(id_, 0)

    def put(value: int) -> None:
        bands.delete_many({})
        bands.insert_one(with_value(id_, value))

    bands.insert_one(present)
    bands.init("start")
    bands.create_branch("side")
    put(1)
    bands.register("1")
    bands.checkout("main")
    put(2)
    bands.register("2")
    return bands


IDS = {"far date": bson.encode({"_id": FAR})[4:-1], "garbled text": GARBLED}


@pytest.mark.parametrize("id_", IDS.values(), ids=list(IDS))
def test_conflicts_of_documents_with_odd_ids(anydb, id_):
    bands = at_odds(anydb, id_)
    with pytest.raises(AutoMergeFailedError):
        bands.merge("side")
    [conflict] = bands.conflicts()
    assert (conflict.ours, conflict.theirs) == (2, 1)
    assert bands.resolve_conflicts(resolver="theirs")
    bands.register("joined")
    assert bands.count_documents({"v": 1}) == 1
    assert problems(bands) == []


@pytest.mark.parametrize("conversion", [None, DatetimeConversion.DATETIME_AUTO])
def test_what_is_said_of_versions(server, db, conversion):
    options = {} if conversion is None else {"datetime_conversion": conversion.name}
    with MongoClient(server.uri, **options) as client:
        bands = VersionedCollection(client[db.name], "bands")
        bands.insert_one({"_id": 1})
        bands.init("start", author={"name": "Ada", "born": FAR}, metadata={"until": FAR})
        bands.update_one({"_id": 1}, {"$set": {"v": 1}})
        assert bands.register("second", metadata={"until": FAR})
        assert [one.metadata["until"] for one in bands.log()] == [FAR, FAR]
        assert next(bands.log(author="Ada")).author["born"] == FAR
        assert [one.verb for one in bands.reflog()] == ["register"]
        assert problems(bands) == []


def test_a_merge_that_waits_can_be_taken_back(anydb):
    bands = at_odds(anydb, bson.encode({"_id": 1})[4:-1])
    with pytest.raises(AutoMergeFailedError):
        bands.merge("side", metadata={"until": FAR})
    assert VersionedCollection(anydb, "bands").has_conflicts()
    assert bands.abort_merge()
    assert bands.status()["current_version"] == 1
    assert problems(bands) == []


def test_what_nobody_could_read_again_is_refused(anydb):
    bands = at_odds(anydb, bson.encode({"_id": 1})[4:-1])
    garbled = RawBSONDocument(bson.encode({"a": "??"}).replace(b"??", b"\xff\xfe"))
    log = bands.get_log()
    for verb in (
        lambda: bands.merge("side", metadata=garbled),
        lambda: bands.register("third", author=garbled),
    ):
        with pytest.raises(InvalidArgument, match="BSON cannot hold"):
            verb()
    assert bands.get_log() == log
    assert not bands.has_conflicts()


def test_rules_with_far_dates(db, client):
    """A validator and a partial index; PyMongo itself cannot list these."""
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1})
    bands.init()
    bands.create_index("name", partialFilterExpression={"born": {"$lt": FAR}})
    rule = {"born": {"$not": {"$gt": FAR}}}
    db.command("collMod", "bands", validator=rule)
    bands.insert_one({"_id": 2})
    assert bands.status()["changed"]
    assert bands.register("more")
    assert bands.at("main").count_documents({"name": None}) == 2
    db.drop_collection("bands")
    assert bands.discard_changes()
    reply = db.command("listCollections", filter={"name": "bands"}, codec_options=PLAIN_OPTIONS)
    assert reply["cursor"]["firstBatch"][0]["options"]["validator"] == rule
    reply = db.command("listIndexes", "bands", codec_options=PLAIN_OPTIONS)
    (index,) = reply["cursor"]["firstBatch"][1:]
    assert index["partialFilterExpression"] == {"born": {"$lt": FAR}}
    copy = VersionedCollection.clone(bands, client[f"{db.name}_copy"])
    assert copy == bands
    client.drop_database(copy.database)
    assert problems(bands) == []
