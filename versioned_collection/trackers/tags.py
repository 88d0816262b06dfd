"""Tags: names that stay where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from versioned_collection.core.version import VersionId
from versioned_collection.server_errors import translated
from versioned_collection.trackers.base import FORMAT, Session
from versioned_collection.trackers.references import References


class TagsCollection(References):
    """The tracker ``__tags_<name>``: ``version``, ``message``, ``timestamp`` by name."""

    prefix = "tags"

    def put(self, name: str, tag: Mapping[str, Any], session: Session = None) -> None:
        """Set a tag: ``version``, ``message`` and ``timestamp``."""
        facts = {fact: tag[fact] for fact in ("version", "message", "timestamp")}
        with translated():
            self.collection.replace_one(
                {"_id": name}, {"format": FORMAT, **facts}, upsert=True, session=session
            )

    def delete_versions(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove the tags of versions that go away."""
        with translated():
            self.collection.delete_many({"version": {"$in": list(versions)}}, session=session)
