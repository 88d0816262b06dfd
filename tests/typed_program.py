"""What a type checker knows about a program that uses the library; `mypy` runs over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from pymongo import MongoClient

from versioned_collection import (
    AsyncVersionedCollection,
    Exported,
    Imported,
    Version,
    VersionedCollection,
)

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


async def awaited(bands: AsyncVersionedCollection) -> None:
    """The verbs of the asynchronous class return what those of the other one do."""
    assert_type(await bands.register("message"), bool)
    assert_type([version async for version in bands.log()], list[Version])
    assert_type(await bands.log().to_list(), list[Version])
    await bands.register(1)  # type: ignore[arg-type]
    await bands.checkout(branch=2)  # type: ignore[arg-type]
