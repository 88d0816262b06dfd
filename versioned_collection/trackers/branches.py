"""Branches: names of the versions where work goes on."""

from __future__ import annotations

from collections.abc import Mapping

from pymongo import UpdateOne

from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import FORMAT, Session, Unreadable
from versioned_collection.trackers.references import References

_OURS = {"format": {"$exists": True}}


class BranchesCollection(References):
    """The tracker ``__branches_<name>``."""

    prefix = "branches"

    def all(self, unreadable: Unreadable = None) -> dict[str, VersionId]:
        """Return the tips by name; what something else has stored here is none.

        Args:
            unreadable: Takes the errors for branches that cannot be read; see `parsed`.
        """
        found = self.documents(_OURS, unreadable).items()
        return {name: stored["version"] for name, stored in found}

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
