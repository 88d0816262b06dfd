"""What a type checker knows about a program that uses the library; `mypy` runs over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.results import InsertOneResult

from versioned_collection import (
    AsyncVersionedCollection,
    DocumentVersion,
    Exported,
    Fetched,
    Imported,
    PastCollection,
    Pulled,
    Pushed,
    Version,
    VersionedCollection,
)
from versioned_collection.aio.past import AsyncPastCollection

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Band(TypedDict):
    """A document."""

    name: str


class Bands(VersionedCollection[Band]):
    """A collection of such documents."""


def plain(client: MongoClient[dict[str, Any]]) -> None:
    """Without a type of documents, they are dicts."""
    bands = VersionedCollection(client.music, "bands")
    assert_type(bands, VersionedCollection[dict[str, Any]])
    assert_type(bands.find_one(), dict[str, Any] | None)
    assert_type(bands.register("message", author={"name": "Ada"}), bool)
    assert_type(bands.resolve("main~2"), Version)
    assert_type(bands.log(limit=3), Iterator[Version])
    assert_type(bands.export("bands.bundle", since=["v1", ("main", 3)]), Exported)
    assert_type(bands.import_(Path("bands.bson"), replace=True), Imported)
    bands.export("bands", format="csv")  # type: ignore[arg-type]


def typed(client: MongoClient[dict[str, Any]]) -> None:
    """With one, reads return it."""
    bands = VersionedCollection[Band](client.music, "bands")
    assert_type(bands.find_one(), Band | None)
    assert_type(bands.rename("groups"), VersionedCollection[Band])
    assert_type(Bands(client.music).find_one(), Band | None)
    assert_type(Bands(client.music).with_options(), Bands)
    assert_type(Bands.clone("mongodb://localhost/music.bands", client.copy), Bands)
    assert_type(Bands.clone(Path("bands.bundle"), client.copy.bands), Bands)
    assert_type(bands.worktree("main", "fix"), VersionedCollection[Band])
    assert_type(bands.insert_one({"name": "Pulp"}), InsertOneResult)
    bands.insert_one({"nam": "Pulp"})  # type: ignore[arg-type]
    bands.insert_many([{"name": 1}])  # type: ignore[list-item]
    assert_type(bands.find_one_and_delete({"name": "Pulp"}), Band | None)


def typed_by_its_client(client: MongoClient[Band]) -> None:
    """The type may come with the client, as that of PyMongo's own collections."""
    bands = VersionedCollection(client.music, "bands")
    assert_type(bands, VersionedCollection[Band])
    assert_type(VersionedCollection(client.music.bands, capture="scan"), VersionedCollection[Band])
    VersionedCollection(client.music, "bands", capture=1)  # type: ignore[call-overload]


def typed_past(bands: VersionedCollection[Band]) -> None:
    """So do reads of earlier versions."""
    past = bands.at("main~2")
    assert_type(past, PastCollection[Band])
    assert_type(past.find_one({"name": "Pulp"}), Band | None)
    assert_type(list(past.find().sort("name")), list[Band])
    assert_type(past.find().limit(3).to_list(), list[Band])
    assert_type(next(bands.history(1)), DocumentVersion[Band])
    assert_type([one.document for one in bands.history(1)], list[Band | None])
    assert_type(bands.bisect("v1", "v2", lambda one: one.find_one({}) is None), Version)
    assert_type(bands.bisect("v1", "v2", {"name": "Pulp"}), Version)
    bands.at(1.5)  # type: ignore[arg-type]
    next(bands.history(1)).document["nam"]  # type: ignore[index,typeddict-item]


def shared(bands: VersionedCollection[Band], dry: bool) -> None:
    """What push and pull return depends on whether they are to do something."""
    assert_type(bands.push("backup", "main", all=True, tags=True), bool)
    assert_type(bands.push("backup", dry_run=True), Pushed | None)
    assert_type(bands.push(dry_run=dry), bool | Pushed | None)
    assert_type(bands.pull(bands, rebase=True, resolver="ours"), bool)
    assert_type(bands.pull(bands, dry_run=True), Pulled | None)
    assert_type(bands.fetch(dry_run=True), Fetched)
    bands.push("backup", al=True)  # type: ignore[call-overload]


class AsyncBands(AsyncVersionedCollection[Band]):
    """The same for programs on asyncio."""


async def typed_and_awaited(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """The asynchronous class has a type of documents as well."""
    bands = AsyncVersionedCollection[Band](client.music, "bands")
    assert_type(bands, AsyncVersionedCollection[Band])
    assert_type(await bands.find_one({"name": "Pulp"}), Band | None)
    assert_type([one async for one in bands.find()], list[Band])
    assert_type(await AsyncBands(client.music).find_one(), Band | None)
    assert_type(AsyncBands(client.music).with_options(), AsyncBands)
    assert_type(await AsyncBands.clone("mongodb://localhost/music.bands", client.copy), AsyncBands)
    assert_type(await bands.rename("groups"), AsyncVersionedCollection[Band])
    past = await bands.at("main~2")
    assert_type(past, AsyncPastCollection[Band])
    assert_type(await past.find_one(1), Band | None)
    assert_type([one async for one in past.find().sort("name").limit(3)], list[Band])
    assert_type([one.document async for one in bands.history(1)], list[Band | None])
    assert_type(await bands.register("message"), bool)
    await bands.register(1)  # type: ignore[arg-type]


async def written_and_awaited(client: AsyncMongoClient[Band]) -> None:
    """Writes are those of PyMongo Async."""
    bands = AsyncVersionedCollection(client.music, "bands")
    assert_type(bands, AsyncVersionedCollection[Band])
    assert_type(await bands.insert_one({"name": "Pulp"}), InsertOneResult)
    assert_type((await bands.update_many({}, {"$set": {"name": "Blur"}})).modified_count, int)
    assert_type(await bands.find_one_and_delete({"name": "Pulp"}), Band | None)
    assert_type(await bands.create_index("name"), str)
    assert_type(bands.database, AsyncDatabase[Band])
    await bands.insert_one({"nam": "Pulp"})  # type: ignore[arg-type]
    await bands.chekout("main")  # type: ignore[attr-defined]


async def awaited(bands: AsyncVersionedCollection) -> None:
    """The verbs of the asynchronous class return what those of the other one do."""
    assert_type(await bands.register("message"), bool)
    assert_type([version async for version in bands.log()], list[Version])
    assert_type(await bands.log().to_list(), list[Version])
    assert_type(await bands.push("backup", tags=True), bool)
    assert_type(await bands.push("backup", dry_run=True), Pushed | None)
    assert_type(await bands.pull("origin", dry_run=True), Pulled | None)
    assert_type(await bands.version, int | None)
    assert_type(await bands.branch, str | None)
    assert_type(await bands.capture_mode, str)
    assert_type(bands.name, str)
    assert_type(bands.full_name, str)
    assert_type(await bands.count_documents({}), int)
    assert_type(await bands.distinct("name"), list[Any])
    await bands.register(1)  # type: ignore[arg-type]
    await bands.checkout(branch=2)  # type: ignore[arg-type]
