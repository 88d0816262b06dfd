"""Deltas as they are stored and read again, without a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import bson
import pytest
from bson.objectid import ObjectId
from hypothesis import HealthCheck, given, settings
from strategies import states

from versioned_collection.core.delta import Delta, compare, encoded_rows
from versioned_collection.trackers.chunks import Chunks
from versioned_collection.trackers.delta_chunks import ChunkedForm
from versioned_collection.trackers.fresh import Fresh

VERSION = ObjectId()
OLD = bson.encode({"_id": 1, "name": "Muse", "tags": ["a", "b"], "at": {"city": "Devon"}})
NEW = bson.encode({"_id": 1, "name": "Muse!", "tags": ["a", "c", "b"], "year": 1994})


class NoChunks(Chunks):
    """Nowhere to put what is too large: nothing here is."""

    def __init__(self) -> None:
        pass


def form() -> ChunkedForm:
    return ChunkedForm("deltas", NoChunks(), Fresh())


def stored(delta: Delta) -> bytes:
    return form().encode(VERSION, delta, encoded_rows(delta), ObjectId().binary)


def read(raw: bytes) -> Delta:
    version, delta = form().decode(raw)
    assert version == VERSION
    return delta


def anew(delta: Delta) -> bytes:
    """Return the rows of a delta, encoded from what they say."""
    return encoded_rows(replace(delta, encoded=None))


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(states())
def test_what_is_read_is_encoded_as_it_was(found: tuple[bytes | None, ...]) -> None:
    one, two, three = found
    made, later = compare(one, two), compare(two, three)
    if made is None or later is None:
        return
    first, second = read(stored(made)), read(stored(later))
    for delta in (first, ~first, ~~first, first + second):
        assert delta is None or encoded_rows(delta) == anew(delta)
    assert (first.key, first.op, first.before) == (made.key, made.op, made.before)
    assert first.apply(one) == two
    assert encoded_rows(first) == encoded_rows(made)
    assert stored(first)[21:] == stored(made)[21:]  # behind the ids, which are new ones


def test_rows_are_not_encoded_again_when_they_are_as_we_write_them() -> None:
    delta = compare(OLD, NEW)
    assert delta is not None
    assert delta.steps is not None
    assert read(stored(delta)).encoded == encoded_rows(delta)


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "note": "by hand"},
        lambda row: dict(reversed(row.items())),
        lambda row: {**row, "position": None},
    ],
    ids=["a part more", "another order", "a part that says nothing"],
)
def test_rows_that_others_wrote_are_encoded_from_what_they_say(change: Change) -> None:
    """A checksum speaks of what is changed, not of how somebody has put that into BSON."""
    delta = compare(OLD, bson.encode({**bson.decode(OLD), "name": "Muse!"}))
    assert delta is not None
    document = bson.decode(stored(delta))
    document["changes"] = list(map(change, document["changes"]))
    found = read(bson.encode(document))
    assert found.encoded is None
    assert encoded_rows(found) == encoded_rows(delta)
