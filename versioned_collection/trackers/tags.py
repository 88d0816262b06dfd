"""Tags: names that stay where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReplaceOne

from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import FORMAT, Session
from versioned_collection.trackers.references import References


class TagsCollection(References):
    """The tracker ``__tags_<name>``: ``version``, ``message``, ``timestamp`` by name."""

    prefix = "tags"

    def put(self, tags: Mapping[str, Mapping[str, Any]], session: Session = None) -> None:
        """Set tags: ``version``, ``message`` and ``timestamp`` by name."""
        writes = [
            ReplaceOne(
                {"_id": name},
                {
                    "format": FORMAT,
                    **{fact: tag[fact] for fact in ("version", "message", "timestamp")},
                },
                upsert=True,
            )
            for name, tag in tags.items()
        ]
        if writes:
            with translated():
                self.collection.bulk_write(writes, session=session)

    def delete_versions(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove the tags of versions that go away."""
        with translated():
            self.collection.delete_many({"version": {"$in": list(versions)}}, session=session)
