"""Branches: names of the versions where work goes on."""

from __future__ import annotations

from collections.abc import Mapping

from pymongo import UpdateOne

from versioned_collection.core.version import VersionId
from versioned_collection.server_errors import translated
from versioned_collection.trackers.base import FORMAT, Session
from versioned_collection.trackers.references import References


class BranchesCollection(References):
    """The tracker ``__branches_<name>``."""

    prefix = "branches"

    def all(self) -> dict[str, VersionId]:
        """Return the tips by name; what something else has stored here is none."""
        found = self.documents().items()
        return {name: stored["version"] for name, stored in found if "format" in stored}

    def set(self, name: str, version: VersionId, session: Session = None) -> None:
        """Let a name point to a version."""
        self.set_all({name: version}, session)

    def set_all(self, tips: Mapping[str, VersionId], session: Session = None) -> None:
        """Let names point to versions."""
        writes = [
            UpdateOne({"_id": name}, {"$set": {"version": tip, "format": FORMAT}}, upsert=True)
            for name, tip in tips.items()
        ]
        if writes:
            with translated():
                self.collection.bulk_write(writes, session=session)
