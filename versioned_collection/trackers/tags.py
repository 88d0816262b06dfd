"""Tags: names that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from versioned_collection.core.version import VersionId
from versioned_collection.trackers.base import FORMAT, Session
from versioned_collection.trackers.references import References
from versioned_collection.wire import translated


class TagsCollection(References):
    """The tracker ``__tags_<name>``: ``version``, ``message``, ``timestamp`` by name."""

    prefix = "tags"

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

    def delete_versions(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove the tags of versions that go away."""
        with translated():
            self.collection.delete_many({"version": {"$in": list(versions)}}, session=session)
