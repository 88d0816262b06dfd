"""What the tests of the public verbs share: sample data, histories, looks at raw bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection import VersionedCollection
from versioned_collection.committing.commit import Commit
from versioned_collection.committing.steps import Steps

RAW = CodecOptions(document_class=RawBSONDocument)
BANDS = [
    {"_id": 1, "name": "Pulp", "members": ["Jarvis", "Candida"], "since": {"year": 1978}},
    {"_id": 2, "name": "Blur", "members": ["Damon"], "since": {"year": 1988}},
    {"_id": 3, "name": "Suede", "members": [], "since": {"year": 1989}},
]
SECRET = "the secret of all"
_OF_THE_LEASE = ("lease", "fence", "progress", "captured", "own")


def own_members() -> dict[str, Any]:
    """Return the public methods and properties that `VersionedCollection` adds or adapts."""
    ours = ("versioned_collection.collection", "versioned_collection.facets")
    classes = [one for one in VersionedCollection.__mro__ if one.__module__.startswith(ours)]
    return {
        name: value
        for one in reversed(classes)
        for name, value in vars(one).items()
        if not name.startswith("_")
    }


def untracked(db: Database[Any], name: str = "bands", **options: Any) -> VersionedCollection:
    """Return a collection with three documents and no history."""
    bands = VersionedCollection(db, name, **options)
    bands.insert_many([dict(band) for band in BANDS])
    return bands


def tracked(db: Database[Any], name: str = "bands", **options: Any) -> VersionedCollection:
    """Return a collection at main@0."""
    bands = untracked(db, name, **options)
    bands.init("start")
    return bands


def edit(bands: VersionedCollection, value: Any, id_: Any = 1) -> None:
    """Make one document differ."""
    bands.update_one({"_id": id_}, {"$set": {"mark": value}})


def step(bands: VersionedCollection, value: Any, **facts: Any) -> None:
    """Change one document and register it under the message ``v<value>``."""
    edit(bands, value)
    assert bands.register(f"v{value}", **facts) is True


def grown(db: Database[Any], name: str = "bands", **options: Any) -> VersionedCollection:
    """Return a collection with main@0..3, and side@0..1 that left main at main@1.

    HEAD is main@3; the tag ``v1`` names main@1.
    """
    bands = tracked(db, name, **options)
    step(bands, 1)
    bands.tag("v1")
    step(bands, 2)
    step(bands, 3)
    bands.checkout(1)
    edit(bands, "s0")
    bands.register("vs0", "side")
    step(bands, "s1")
    bands.checkout(branch="main")
    return bands


def raws(collection: Collection[Any]) -> list[bytes]:
    """Return the bytes of all documents, sorted."""
    plain = collection.database.get_collection(collection.name, codec_options=RAW)
    return sorted(bytes(document.raw) for document in plain.find({}))


def mark(bands: VersionedCollection) -> Any:
    """Return what `edit` set on the first document."""
    return bands.find_one({"_id": 1}).get("mark")  # type: ignore[union-attr]


def everything(db: Database[Any]) -> dict[str, list[bytes]]:
    """Return the bytes of all collections, except what every holder of the lease moves."""
    found = {}
    for name in sorted(db.list_collection_names()):
        if name == "__vc_lock":
            continue
        if name.startswith("__metadata_"):
            found[name] = [
                bson.encode({k: v for k, v in doc.items() if k not in _OF_THE_LEASE})
                for doc in db[name].find({})
            ]
        else:
            found[name] = raws(db[name])
    return found


def labels(versions: Any) -> list[str]:
    """Return the labels of versions, in their order."""
    return [version.label for version in versions]


def problems(bands: VersionedCollection) -> list[str]:
    """Return the kinds of what `verify` finds."""
    return [problem.kind for problem in bands.verify()]


def traces(db: Database[Any], secret: str = SECRET) -> list[str]:
    """Return the collections in which the bytes of a secret are, also cut in two by chunks."""
    found, wanted = [], secret.encode()
    for name in sorted(db.list_collection_names(filter={"type": "collection"})):
        order = "files_id" if name.endswith(".chunks") else "_id"
        documents = (
            db.get_collection(name, codec_options=RAW).find({}).sort([(order, 1), ("n", 1)])
        )
        if name.endswith(".chunks"):
            content = b"".join(one["data"] for one in documents)
        else:
            content = b"\0".join(bytes(one.raw) for one in documents)
        if wanted in content:
            found.append(name)
    return found


def meanwhile(monkeypatch: Any, act: Callable[[], Any], left: list[str] | None = None) -> None:
    """Have another client act once, while a purge is under way.

    Args:
        monkeypatch: The fixture.
        act: What it does.
        left: The working copies whose documents have yet to move by then; None for all.
    """
    declare, pending = Steps.declare, [act]

    def declaring(self: Steps, commit: Commit) -> None:
        if commit.purge is not None and left in (None, commit.copies):
            while pending:
                pending.pop()()
        declare(self, commit)

    monkeypatch.setattr(Steps, "declare", declaring)
