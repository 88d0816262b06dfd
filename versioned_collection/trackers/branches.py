"""Branches: names of the versions where work goes on."""

from __future__ import annotations

from collections.abc import Iterable

from versioned_collection.core.version import VersionId
from versioned_collection.trackers.base import FORMAT, Session, Tracker, storable
from versioned_collection.wire import translated


class References(Tracker):
    """Names that point to versions."""

    def all(self) -> dict[str, VersionId]:
        """Return the versions by name."""
        with translated():
            return {found["_id"]: found["version"] for found in self.collection.find({})}

    def get(self, name: str) -> VersionId | None:
        """Return the version that a name points to."""
        if not storable(name):
            return None
        with translated():
            found = self.collection.find_one({"_id": name})
        return None if found is None else found["version"]

    def set(self, name: str, version: VersionId, session: Session = None) -> None:
        """Let a name point to a version."""
        with translated():
            self.collection.update_one(
                {"_id": name},
                {"$set": {"version": version, "format": FORMAT}},
                upsert=True,
                session=session,
            )

    def delete(self, names: Iterable[str], session: Session = None) -> None:
        """Remove names."""
        with translated():
            self.collection.delete_many({"_id": {"$in": list(names)}}, session=session)


class BranchesCollection(References):
    """The tracker ``__branches_<name>``."""

    prefix = "branches"
