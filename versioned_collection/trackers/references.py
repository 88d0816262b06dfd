"""Names that point to versions: what branches and tags have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from versioned_collection.core.version import VersionId
from versioned_collection.server_errors import translated
from versioned_collection.trackers.base import Session, Tracker, storable


class References(Tracker):
    """A tracker with one document per name."""

    def documents(self) -> dict[str, Mapping[str, Any]]:
        """Return what is stored, by name."""
        with translated():
            return {found["_id"]: found for found in self.collection.find({}).sort("_id", 1)}

    def get(self, name: str) -> VersionId | None:
        """Return the version that a name points to."""
        if not storable(name):
            return None
        with translated():
            found = self.collection.find_one({"_id": name})
        return None if found is None else found["version"]

    def delete(self, names: Iterable[str], session: Session = None) -> int:
        """Remove names; return how many there were."""
        wanted = [name for name in names if storable(name)]
        with translated():
            result = self.collection.delete_many({"_id": {"$in": wanted}}, session=session)
        return result.deleted_count
