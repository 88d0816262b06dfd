"""Databases in which one scenario after the other is set, without building it each time."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from harness.scenarios import NAME, NEW_NAME, Scenario, prepare
from versioned_collection import VersionedCollection

Scene = dict[str, list[RawBSONDocument]]
_RAW: CodecOptions[Any] = CodecOptions(RawBSONDocument)
_KEPT = "__vc_lock"
_VIEWS = "system.views"
_AHEAD = 1_000


class Stages:
    """Tracked collections that are set to a scene, used, and set to the next one.

    Args:
        client: Where they are.
    """

    def __init__(self, client: MongoClient[Any]) -> None:
        self._client = client
        self._free: queue.SimpleQueue[Database[Any]] = queue.SimpleQueue()

    @contextmanager
    def prepared(self, scenario: Scenario) -> Iterator[Database[Any]]:
        """Yield a database in which the scenario was built step by step."""
        database = self._client[f"stage_{uuid.uuid4().hex[:12]}"]
        prepare(scenario, database)
        try:
            yield database
        finally:  # its indexes would stay, which are no part of a scene
            self._client.drop_database(database.name)

    @contextmanager
    def set_to(self, scenario: Scenario, scene: Scene) -> Iterator[Database[Any]]:
        """Yield a database with a scene that `scene_of` took of this scenario."""
        if scenario.before_init or scenario.anew:
            with self.prepared(scenario) as database:
                yield database
            return
        try:
            database = self._free.get_nowait()
        except queue.Empty:
            database = self._client[f"stage_{uuid.uuid4().hex[:12]}"]
            VersionedCollection(database, NAME).init()
        self._set(database, scene)
        try:
            yield database
        finally:
            self._give_back(database)

    def _give_back(self, database: Database[Any]) -> None:
        names = set(database.list_collection_names())
        whole = {NAME, f"__metadata_{NAME}", f"__replica_{NAME}", f"__log_{NAME}"} <= names
        if whole and f"__metadata_{NEW_NAME}" not in names:
            self._free.put(database)
        else:
            self._client.drop_database(database.name)

    def _set(self, database: Database[Any], scene: Scene) -> None:
        info = next(database.list_collections(filter={"name": NAME}))["info"]
        for view in database.list_collections(filter={"type": "view"}):
            database.drop_collection(view["name"])
        for name in {*_collections(database), *scene} - {_KEPT, _VIEWS}:
            _fill(database, name, scene.get(name, []))
        # all that the scene changed has to be seen behind the position, deletions too
        _fill(database, NAME, scene.get(f"__replica_{NAME}", []))
        moment = self._client.admin.command("ping").get("operationTime")
        _fill(database, NAME, scene.get(NAME, []))
        state = {"uuid": info["uuid"], "fence": 0, "captured": moment}
        database[f"__metadata_{NAME}"].update_one({}, {"$set": state})
        for view in scene.get(_VIEWS, []):
            database.command("create", view["name"], viewOn=view["options"]["viewOn"])
        # the next operation of the log comes after those of the scene
        free = {"$set": {"expires": None}, "$inc": {"fence": _AHEAD}}
        database[_KEPT].update_one({}, free)


def _fill(database: Database[Any], name: str, documents: list[RawBSONDocument]) -> None:
    collection = database.get_collection(name, codec_options=_RAW)
    collection.delete_many({})
    if documents:
        collection.insert_many(documents)


def scene_of(database: Database[Any]) -> Scene:
    """Return all documents of a database, and its views."""
    views = list(database.list_collections(filter={"type": "view"}))
    return {
        _VIEWS: [RawBSONDocument(bson.encode(view)) for view in views],
        **{
            name: list(database.get_collection(name, codec_options=_RAW).find())
            for name in _collections(database)
            if name != _KEPT
        },
    }


def _collections(database: Database[Any]) -> list[str]:
    names = database.list_collection_names(filter={"type": "collection"})
    return [name for name in names if name != _VIEWS]
