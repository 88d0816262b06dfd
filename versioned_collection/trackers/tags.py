"""Tags: names that stay where they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from versioned_collection.core.version import VersionId
from versioned_collection.trackers.base import FORMAT, Session, Tracker, storable
from versioned_collection.wire import translated


class TagsCollection(Tracker):
    """The tracker ``__tags_<name>``."""

    prefix = "tags"

    def all(self) -> dict[str, Mapping[str, Any]]:
        """Return the tags by name, each with ``version``, ``message``, ``timestamp``."""
        with translated():
            return {found["_id"]: found for found in self.collection.find({}).sort("_id", 1)}

    def get(self, name: str) -> VersionId | None:
        """Return the version that a tag names."""
        if not storable(name):
            return None
        with translated():
            found = self.collection.find_one({"_id": name})
        return None if found is None else found["version"]

    def insert(
        self,
        name: str,
        version: VersionId,
        message: str | None,
        timestamp: datetime,
        session: Session = None,
    ) -> None:
        """Add a tag.

        Raises:
            pymongo.errors.DuplicateKeyError: The name is taken.
        """
        with translated():
            self.collection.insert_one(
                {
                    "_id": name,
                    "format": FORMAT,
                    "version": version,
                    "message": message,
                    "timestamp": timestamp,
                },
                session=session,
            )

    def delete(self, names: Iterable[str], session: Session = None) -> int:
        """Remove tags; return how many there were."""
        names = [name for name in names if storable(name)]
        with translated():
            result = self.collection.delete_many({"_id": {"$in": names}}, session=session)
        return result.deleted_count

    def delete_versions(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove the tags of versions that go away."""
        with translated():
            self.collection.delete_many({"version": {"$in": list(versions)}}, session=session)
