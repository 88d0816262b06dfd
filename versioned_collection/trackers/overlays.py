"""Overlays: documents of earlier versions, kept for reading beside the present ones.

Everything here can be made again from history, and is removed without loss.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import bson
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import errors as driver

from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    DocumentKey,
    build,
    elements,
    raw_array,
)
from versioned_collection.core.portions import BYTES_OF_IDS, portions
from versioned_collection.core.version import VersionId
from versioned_collection.driver.catalog import list_indexes
from versioned_collection.driver.server_errors import UNAUTHORIZED, translated
from versioned_collection.driver.wire import create_collection, documents
from versioned_collection.driver.writes import insert_all, put_exactly
from versioned_collection.trackers.base import (
    COMPRESSED,
    FORMAT,
    Session,
    Tracker,
    Unreadable,
    drop_exactly,
    identities,
)

OVERLAY = "at-[0-9a-f]{8}"
"""How the names of collections with an overlay's documents end; no tracked one ends so."""

_IDS_PER_NOTE = 100_000
_OF_AN_INDEX = frozenset(("v", "ns", "unique", "prepareUnique", "expireAfterSeconds", "clustered"))
"""What indexes of an overlay do not take over: it holds other documents, and keeps them."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is known about an overlay.

    Attributes:
        slot: Its own name, with which that of its collection ends.
        version: The version whose documents it holds.
        ready: Whether all of them are there.
        whole: Whether it holds every document of the version, else those that it touches.
        heads: Versions for which it touches all documents that differ from its own.
        documents: How many documents it holds.
        bytes: The size of these documents.
        used: When it was last read, roughly.
    """

    slot: str
    version: VersionId
    ready: bool
    whole: bool
    heads: tuple[VersionId, ...] = ()
    documents: int = 0
    bytes: int = 0
    used: datetime | None = None


class OverlaysCollection(Tracker):
    """The tracker ``__past_<name>``: a header for each overlay, and the ids that it touches.

    The documents of an overlay are in a collection of their own, ``__past_<name>.<slot>``,
    with the indexes of the tracked one. A touched id without a document there is one that the
    version does not have.
    """

    prefix = "past"
    at_first_use = True

    def create_indexes(self) -> None:
        """Create the index that leads from an overlay to its ids."""
        self.collection.create_index("overlay")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the collection and of those that hold documents."""
        return (self.name, *map(self.collection_of, self._slots()))

    def names_under(self, tracked: str) -> tuple[str, ...]:
        """Return what the collections are called once the tracked one has another name."""
        target = OverlaysCollection(self.db, tracked)
        return tuple(target.name + name.removeprefix(self.name) for name in self.names)

    def collection_of(self, slot: str) -> str:
        """Return the name of the collection that holds an overlay's documents."""
        return f"{self.name}.{slot}"

    def _slots(self) -> list[str]:
        pattern = re.compile(f"^{re.escape(self.name)}\\.{OVERLAY}$")
        with translated():
            found = self.db.list_collection_names(filter={"name": pattern})
        return sorted(name.removeprefix(f"{self.name}.") for name in found)

    # -- looking -------------------------------------------------------------------------

    def all(self, at: Timestamp | None = None, unreadable: Unreadable = None) -> list[Overlay]:
        """Return all overlays, also such that are not ready.

        Args:
            at: The cluster time whose state is read.
            unreadable: Takes the errors for headers that cannot be read; see `parsed`.
        """
        found = documents(self.db, self.name, {"version": {"$exists": True}}, at=at)
        stored = (bson.decode(raw, PLAIN_OPTIONS) for batch in found for raw in batch)
        return list(self.said(stored, _overlay, unreadable))

    def of(
        self, version: VersionId, *, whole: bool, at: Timestamp | None = None
    ) -> Overlay | None:
        """Return the overlay of a version that is ready, None where there is none."""
        found = (one for one in self.all(at) if one.version == version and one.ready)
        return next((one for one in found if one.whole == whole), None)

    def touched(self, slot: str, at: Timestamp | None = None) -> Iterator[list[DocumentKey]]:
        """Iterate over the ids that an overlay touches, a bounded list at a time."""
        for batch in documents(self.db, self.name, {"overlay": slot}, at=at):
            for raw in batch:
                yield list(_ids_in(raw))

    # -- making --------------------------------------------------------------------------

    def begin(self, slot: str, version: VersionId, whole: bool) -> None:
        """Note an overlay to be made, and create its collection."""
        self.create()
        header = {"format": FORMAT, "version": version, "ready": False, "whole": whole}
        with translated():
            self.collection.insert_one(
                {"_id": slot, **header, "heads": [], "documents": 0, "bytes": 0}
            )
        create_collection(self.db, self.collection_of(slot), storageEngine=COMPRESSED)

    def put(
        self,
        slot: str,
        raws: Sequence[bytes],
        keys: Iterable[DocumentKey],
        session: Session = None,
    ) -> None:
        """Add documents, and touched ids."""
        if raws:
            insert_all(self.db, self.collection_of(slot), raws, session)
        notes = portions(keys, len, _IDS_PER_NOTE, BYTES_OF_IDS)
        found = [_note(slot, some) for some in notes]
        if found:
            insert_all(self.db, self.name, found, session)

    def replace(
        self,
        name: str,
        removed: Sequence[DocumentKey],
        raws: Sequence[bytes],
        session: Session = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Put other documents in the place of some in a collection; see `put_exactly`."""
        put_exactly(self.db, name, removed, raws, session, check)

    def index_like(self, slot: str, tracked: str) -> None:
        """Give an overlay the indexes of the tracked collection, as far as they go with it."""
        wanted = self._indexes(tracked)
        if any("weights" in one for one in wanted):
            self._drop_text_index(slot, wanted)
        for index in wanted:
            self._index(slot, index)

    def _indexes(self, name: str) -> list[dict[str, Any]]:
        """Return the indexes of a collection, if it is there, as overlays have them."""
        with translated():
            try:
                found = list_indexes(self.db, name)
            except driver.OperationFailure as error:
                if error.code == UNAUTHORIZED:
                    raise
                return []  # a view has taken its place
        return [
            {name: value for name, value in index.items() if name not in _OF_AN_INDEX}
            for index in found
            if list(index["key"].items()) != [("_id", 1)]
        ]

    def _drop_text_index(self, slot: str, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Drop a text index that is not the wanted one, beside which the server has no other."""
        name = self.collection_of(slot)
        for index in self._indexes(name):
            if "weights" in index and index not in wanted:
                with translated():
                    self.db.command("dropIndexes", name, index=index["name"])

    def _index(self, slot: str, index: dict[str, Any]) -> None:
        with translated():
            try:
                self.db.command("createIndexes", self.collection_of(slot), indexes=[index])
            except driver.OperationFailure as error:
                if error.code == UNAUTHORIZED:  # any other refusal costs speed alone
                    raise

    def finish(self, overlay: Overlay, session: Session = None) -> None:
        """Store what is known of an overlay."""
        changes = {
            "ready": overlay.ready,
            "heads": list(overlay.heads),
            "documents": overlay.documents,
            "bytes": overlay.bytes,
            "used": overlay.used,
        }
        with translated():
            self.collection.update_one({"_id": overlay.slot}, {"$set": changes}, session=session)

    def note_use(self, slot: str, time: datetime) -> None:
        """Note that an overlay was read."""
        with translated():
            self.collection.update_one({"_id": slot}, {"$set": {"used": time}})

    # -- views ---------------------------------------------------------------------------

    def views(self) -> dict[str, str]:
        """Return the overlay that each view on one shows, by the view's name."""
        prefix = f"{self.name}."
        sources = re.compile(f"^{re.escape(prefix)}{OVERLAY}$")
        with translated():
            found = list(
                self.db.list_collections(filter={"type": "view", "options.viewOn": sources})
            )
        shown = {one["name"]: one["options"]["viewOn"].removeprefix(prefix) for one in found}
        return dict(sorted(shown.items()))

    def create_view(self, name: str, slot: str, collation: Mapping[str, Any] | None) -> None:
        """Create a view of all documents of an overlay, which holds a whole version.

        Raises:
            CollectionInvalid: There is a collection or view of that name.
        """
        options = {} if collation is None else {"collation": collation}
        with translated():
            self.db.command({"create": name, "viewOn": self.collection_of(slot), **options})

    def turn_view(self, name: str, slot: str) -> None:
        """Let a view show another overlay; who reads meanwhile sees the one or the other."""
        with translated():
            self.db.command({"collMod": name, "viewOn": self.collection_of(slot), "pipeline": []})

    def carry_views_over(self, tracked: str) -> None:
        """Let the views on overlays of a collection that was renamed to ours show ours."""
        former = OverlaysCollection(self.db, tracked)
        for name, slot in former.views().items():
            self.turn_view(name, slot)

    # -- removing ------------------------------------------------------------------------

    def remove(self, slot: str) -> None:
        """Remove an overlay; first that nobody finds it any more."""
        name = self.collection_of(slot)
        with translated():
            self.collection.delete_one({"_id": slot})
            self.collection.delete_many({"overlay": slot})
        for identity in identities(self.db, [name]).values():
            drop_exactly(self.db, name, identity)

    def remove_all(self) -> int:
        """Remove all overlays that no view shows; return how many there were."""
        slots = {one.slot for one in self.all(unreadable=[])} | set(self._slots())
        slots.difference_update(self.views().values())
        for slot in slots:
            self.remove(slot)
        return len(slots)

    def remove_unfinished(self) -> int:
        """Remove what dead processes left half made; return how much there was."""
        found = self.all()
        ready = {one.slot for one in found if one.ready}
        left = ({one.slot for one in found} | set(self._slots())) - ready
        for slot in left:
            self.remove(slot)
        with translated():
            self.collection.delete_many({"overlay": {"$exists": True, "$nin": sorted(ready)}})
        return len(left)


def new_slot() -> str:
    """Return a fresh name for an overlay."""
    return f"at-{secrets.token_hex(4)}"


def _note(slot: str, keys: Sequence[DocumentKey]) -> bytes:
    facts = bson.encode({"_id": ObjectId(), "format": FORMAT, "overlay": slot})
    return build(facts[4:-1], b"\x04ids\0" + raw_array(keys))


def _ids_in(raw: bytes) -> Iterator[DocumentKey]:
    for _, name, start, end in elements(raw):
        if name == b"ids":
            values = raw[start:end]
            for kind, _, first, last in elements(values):
                yield bytes((kind,)) + values[first:last]


def _overlay(stored: dict[str, Any]) -> Overlay:
    return Overlay(
        stored["_id"],
        stored["version"],
        stored["ready"],
        stored["whole"],
        tuple(stored["heads"]),
        stored["documents"],
        stored["bytes"],
        stored.get("used"),
    )
