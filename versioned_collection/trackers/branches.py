"""Branches: names of the versions where work goes on."""

from __future__ import annotations

from versioned_collection.core.version import VersionId
from versioned_collection.server_errors import translated
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
        with translated():
            self.collection.update_one(
                {"_id": name},
                {"$set": {"version": version, "format": FORMAT}},
                upsert=True,
                session=session,
            )
