"""Values that are too large for a document of a tracker: kept in chunks beside it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

from bson.objectid import ObjectId
from gridfs import GridFSBucket
from gridfs.errors import GridFSError, NoFile
from pymongo.database import Database

from versioned_collection.driver.server_errors import translated
from versioned_collection.errors import CorruptHistory

PARTS = (".files", ".chunks")
"""What is added to the name of a tracker for the collections of its bucket."""


class Chunks:
    """Files of bytes in the GridFS bucket of a tracker.

    Args:
        db: The database.
        name: The tracker's collection.
    """

    def __init__(self, db: Database[Any], name: str) -> None:
        self.names = tuple(name + part for part in PARTS)
        self._name = name
        self._files = db[self.names[0]]
        self._chunks = db[self.names[1]]
        self._bucket = GridFSBucket(db, bucket_name=name)

    def put(self, owner: ObjectId, parts: Mapping[str, bytes]) -> dict[str, ObjectId]:
        """Store parts under the id of their owner; return the id of each."""
        with translated():
            return {
                name: self._bucket.upload_from_stream(name, raw, metadata={"version": owner})
                for name, raw in parts.items()
            }

    def get(self, file: ObjectId) -> bytes:
        """Return a stored part.

        Raises:
            CorruptHistory: It is missing, or a chunk of it is.
        """
        with translated():
            try:
                return bytes(self._bucket.open_download_stream(file).read())
            except GridFSError as error:
                place = self.names[0 if isinstance(error, NoFile) else 1]
                raise CorruptHistory(
                    f"a large image is missing from {place}; run verify(), then restore the "
                    "database from a backup, or clone() it anew",
                    file=file,
                ) from error

    def delete(self, filter_: Mapping[str, Any]) -> int:
        """Remove the parts that match a filter on their files; return how many there were."""
        with translated():
            files = [file["_id"] for file in self._files.find(filter_)]
            for file in files:
                self._bucket.delete(file)
        return len(files)

    def remove(self, files: Iterable[ObjectId]) -> None:
        """Remove parts by their ids, also such of which a part is gone already."""
        for file in files:
            with translated(), suppress(NoFile):
                self._bucket.delete(file)

    def delete_of(self, owners: Iterable[ObjectId]) -> int:
        """Remove the parts of these owners."""
        return self.delete({"metadata.version": {"$in": list(owners)}})

    def hand_over(self, owner: ObjectId, heir: ObjectId) -> None:
        """Give the parts of one owner to another one."""
        with translated():
            self._files.update_many(
                {"metadata.version": owner}, {"$set": {"metadata.version": heir}}
            )

    def owners(self) -> set[ObjectId]:
        """Return the owners of all parts."""
        with translated():
            return set(self._files.distinct("metadata.version"))

    def sizes(self) -> Iterator[tuple[ObjectId, int]]:
        """Iterate over owners, with the bytes of their parts."""
        group = {"_id": "$metadata.version", "bytes": {"$sum": "$length"}}
        with translated():
            for found in self._files.aggregate([{"$group": group}]):
                yield found["_id"], found["bytes"]

    def collect(self, before: datetime, named: Callable[[ObjectId], Container[ObjectId]]) -> int:
        """Remove the parts that uploads of processes which died have left.

        Args:
            before: The time after which an upload may be under way still.
            named: Returns the parts that an owner needs.

        Returns:
            How many parts there were.
        """
        named = cache(named)
        old = {"$lt": ObjectId.from_datetime(before)}
        with translated():
            unneeded = [
                file["_id"]
                for file in self._files.find({"_id": old}, {"metadata.version": 1})
                if file["_id"] not in named(file["metadata"]["version"])
            ]
            whole = set(self._files.distinct("_id", {"_id": old}))
            pipeline: list[dict[str, Any]] = [
                {"$match": {"files_id": old}},
                {"$group": {"_id": "$files_id"}},
            ]
            begun = {group["_id"] for group in self._chunks.aggregate(pipeline)} - whole
            for file in unneeded:
                self._bucket.delete(file)
            self._chunks.delete_many({"files_id": {"$in": list(begun)}})
        return len(unneeded) + len(begun)
