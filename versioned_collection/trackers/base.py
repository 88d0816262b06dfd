"""What all tracker collections have in common: name, creation, format number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from bson.codec_options import CodecOptions
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection.errors import FormatMismatch
from versioned_collection.wire import NAMESPACE_NOT_FOUND, translated

FORMAT = 1
"""The format number of everything that this release stores."""

NAMESPACE_LIMIT = 255
"""Bytes that MongoDB allows for ``database.collection``."""

_COMPRESSED = {"wiredTiger": {"configString": "block_compressor=zstd"}}
_NAMESPACE_EXISTS = 48


class Tracker:
    """A collection that belongs to the tracked collection `name`.

    Args:
        db: The database of the tracked collection.
        name: The tracked collection's name.
    """

    prefix: ClassVar[str]

    def __init__(self, db: Database[Any], name: str) -> None:
        self.db = db
        self.tracked = name
        self.name = f"__{self.prefix}_{name}"
        self.collection: Collection[dict[str, Any]] = db.get_collection(
            self.name, codec_options=CodecOptions(tz_aware=True)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all collections that belong to this tracker."""
        return (self.name,)

    def create(self) -> None:
        """Create the collection, compressed, with its indexes; an existing one is kept."""
        with translated():
            try:
                self.db.create_collection(self.name, storageEngine=_COMPRESSED, check_exists=False)
            except driver.OperationFailure as error:
                if error.code != _NAMESPACE_EXISTS:
                    raise
            self.create_indexes()

    def create_indexes(self) -> None:
        """Create the indexes; most trackers live with the one on ``_id``."""

    def drop(self) -> None:
        """Drop the collection; a missing one is fine."""
        with translated():
            try:
                self.db.command("drop", self.name)
            except driver.OperationFailure as error:
                if error.code != NAMESPACE_NOT_FOUND:
                    raise

    def rename(self, new_name: str) -> None:
        """Rename the tracker along with its collection; one that has moved already is fine."""
        target = type(self)(self.db, new_name).name
        with translated():
            try:
                self.collection.rename(target)
            except driver.OperationFailure as error:
                if error.code != NAMESPACE_NOT_FOUND:
                    raise

    def size(self) -> int:
        """Return the bytes on disk of documents and indexes; 0 where there is nothing."""
        return bytes_on_disk(self.db, self.name)


def bytes_on_disk(db: Database[Any], name: str) -> int:
    """Return the bytes that a collection and its indexes take; 0 for a missing one."""
    with translated():
        try:
            stats = db.command("collStats", name)
        except driver.OperationFailure as error:
            if error.code == NAMESPACE_NOT_FOUND:
                return 0
            raise
    return int(stats["storageSize"]) + int(stats["totalIndexSize"])


def check_format(document: Mapping[str, Any], where: str) -> None:
    """Check the format number of a stored document.

    Raises:
        FormatMismatch: It is not the number that this release reads.
    """
    found = document.get("format")
    if found != FORMAT:
        raise FormatMismatch(
            f"{where} carries format {found!r}, this release reads format {FORMAT}; "
            "use the release of versioned_collection that wrote it",
            found=found,
            supported=FORMAT,
            where=where,
        )


Session = ClientSession | None
