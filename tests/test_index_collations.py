"""Indexes of a collection with a collation mean the same wherever they are copied to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_support import problems, raws
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from remote_support import other_database

from versioned_collection import VersionedCollection
from versioned_collection.trackers.overlays import OverlaysCollection

SIMPLE = {"locale": "simple"}


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """Names that only the simple collation tells apart, and indexes of all kinds."""
    db.create_collection("bands", collation={"locale": "en", "strength": 2})
    collection = VersionedCollection(db, "bands")
    collection.create_index("name", name="exact", unique=True, collation=SIMPLE)
    collection.create_index("name", name="loose")
    collection.create_index("name", name="german", collation={"locale": "de"})
    for key in ({"text": "text"}, {"flat": "2d"}, {"round": "2dsphere"}, {"h": "hashed"}):
        collection.create_index(list(key.items()), collation=SIMPLE)
    collection.create_index([("any.$**", 1)], collation=SIMPLE)
    collection.insert_many([{"_id": 1, "name": "Can"}, {"_id": 2, "name": "CAN"}])
    collection.init()
    return collection


def push(bands: VersionedCollection, there: Database[Any], _: Path) -> VersionedCollection:
    copy = VersionedCollection(there, "bands")
    bands.push(copy)
    return copy


def push_to_an_empty_collection(
    bands: VersionedCollection, there: Database[Any], file: Path
) -> VersionedCollection:
    there.create_collection("bands", collation={"locale": "en", "strength": 2})
    there["bands"].create_index("name", name="exact", unique=True, collation=SIMPLE)
    return push(bands, there, file)


def clone(bands: VersionedCollection, there: Database[Any], _: Path) -> VersionedCollection:
    return VersionedCollection.clone(bands, there)


def clone_a_bundle(
    bands: VersionedCollection, there: Database[Any], file: Path
) -> VersionedCollection:
    bands.export(file, format="bundle")
    return VersionedCollection.clone(file, there)


def worktree(bands: VersionedCollection, _: Database[Any], file: Path) -> VersionedCollection:
    return bands.worktree("main", "aside", new_branch="aside")


def drop_and_discard(
    bands: VersionedCollection, _: Database[Any], file: Path
) -> VersionedCollection:
    bands.database.drop_collection("bands")
    bands.discard_changes()
    return bands


@pytest.mark.parametrize(
    "way",
    [push, push_to_an_empty_collection, clone, clone_a_bundle, worktree, drop_and_discard],
)
def test_the_indexes_of_a_copy_mean_the_same(
    bands: VersionedCollection, tmp_path: Path, way: Callable[..., VersionedCollection]
) -> None:
    indexes, documents = bands.index_information(), raws(bands)
    with other_database(bands.database.client) as there:
        copy = way(bands, there, tmp_path / "bands.bundle")
        assert copy.index_information() == indexes
        assert raws(copy) == documents
        copy.insert_one({"_id": 3, "name": "can"})
        with pytest.raises(DuplicateKeyError):
            copy.insert_one({"_id": 4, "name": "can"})
        assert copy.register("one more")
        assert problems(copy) == []


def test_documents_of_earlier_versions_are_found_by_such_indexes(
    bands: VersionedCollection,
) -> None:
    bands.delete_one({"_id": 2})
    bands.register("one less")
    assert bands.at("main@0").count_documents({"name": "Can"}) == 2
    assert bands.at("main@0").count_documents({"name": "Can"}, collation=SIMPLE) == 1
    bands.publish_view("main@0", "then")
    (overlay,) = OverlaysCollection(bands.database, "bands").views().values()
    copied = bands.database[f"__past_bands.{overlay}"].index_information()
    wanted = bands.index_information()
    assert wanted["exact"].pop("unique")
    del copied["_id_"], wanted["_id_"]
    assert copied == wanted
