"""What is read of a version is what a checkout of it would show: random histories and queries."""

from __future__ import annotations

import itertools
from typing import Any

import bson
import pytest
from api_support import RAW
from histories import change, changes, finds, grow, steps, tried
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import OperationFailure

from versioned_collection import VersionedCollection
from versioned_collection.core.document import document_key, twin_token

_names = itertools.count()


def _answers(read: Any, asked: list[dict[str, Any]]) -> list[Any]:
    """Return what a collection answers, so that it can be compared."""
    return [_answer(read, dict(find)) for find in asked]


def _answer(read: Any, find: dict[str, Any]) -> Any:
    order = [*(find.pop("sort") or []), ("_id", 1)]
    try:
        ordered = [bytes(one.raw) for one in read.find(**find, sort=dict(order))]
        skip = find.pop("skip")
        plain = sorted(bytes(one.raw) for one in read.find(**find))
        rest = len(list(read.find(**find, skip=skip)))
        count = read.count_documents(find["filter"])
        grouped = [{"$match": find["filter"]}, {"$group": {"_id": "$y", "n": {"$sum": 1}}}]
        groups = {twin_token(document_key(bytes(one.raw))) for one in read.aggregate(grouped)}
        distinct = {repr(twin_token(key)) for key in _distinct(read, find["filter"])}
    except OperationFailure as error:
        return error.code
    return ordered, plain, rest, count, groups, distinct


def _distinct(read: Any, filter_: Any) -> Any:
    for value in read.distinct("x.b", filter_):
        plain = {"_id": value}
        yield document_key(bson.encode(plain))


def _is_as_after_a_checkout(
    db: Database[Any], history: Any, head: int, dirty: Any, asked: Any
) -> None:
    collection = VersionedCollection(db, f"c{next(_names)}", codec_options=RAW)
    collection.create_index("x")
    collection.insert_many(
        [{"_id": 1, "x": 1}, {"_id": "a", "y": [1, 2]}, {"_id": 7, "x": {"b": 1}}]
    )
    collection.init()
    grow(collection, history)
    assert collection.version_tree is not None
    versions = list(collection.version_tree)
    collection.checkout(versions[head % len(versions)])
    change(collection, dirty)
    found = {version: _answers(collection.at(version), asked) for version in versions}
    assert list(collection.verify()) == []
    collection.discard_changes()
    for version in versions:
        collection.checkout(version)
        assert found[version] == _answers(db.get_collection(collection.name, RAW), asked)
        assert found[version] == _answers(collection.at(version), asked)
    collection.drop()


examples = given(
    history=steps,
    head=st.integers(0, 9),
    dirty=changes | st.just([]),
    asked=st.lists(finds, min_size=4, max_size=8),
)


@tried(5)
@examples
def test_a_read_is_as_after_a_checkout(db, history, head, dirty, asked):
    _is_as_after_a_checkout(db, history, head, dirty, asked)


@pytest.mark.sweep
@tried(100)
@examples
def test_many_reads_are_as_after_a_checkout(anydb, history, head, dirty, asked):
    _is_as_after_a_checkout(anydb, history, head, dirty, asked)
