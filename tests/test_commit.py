"""What a verb makes true, as it is stored."""

from __future__ import annotations

import pytest
from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.core.tree import Path

FULL = Commit(
    state={"branch": "main"},
    branches={"main": ObjectId()},
    tagged={"v1": {"version": ObjectId()}},
    path=Path((ObjectId(),), (ObjectId(), ObjectId())),
    working_copy=False,
    checked="replica",
)


def test_an_intent_is_read_as_it_was_written():
    assert Commit.from_bson(FULL.to_bson()) == FULL


@pytest.mark.parametrize("name", sorted(Commit.__dataclass_fields__))
def test_a_field_that_an_older_build_did_not_write_has_its_default(name):
    stored = FULL.to_bson()
    del stored[name]
    found = Commit.from_bson(stored)
    assert getattr(found, name) == getattr(Commit(), name)


@pytest.mark.parametrize(("stored", "read"), [(None, []), ({"_id": 1}, [{"_id": 1}])])
def test_an_older_build_wrote_one_log_entry_at_most(stored, read):
    assert Commit.from_bson({"log": stored}).log == read


def test_an_empty_intent():
    assert Commit.from_bson({}) == Commit()
