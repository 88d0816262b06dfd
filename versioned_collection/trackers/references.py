"""Names that point to versions: what branches and tags have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import (
    Session,
    Tracker,
    Unreadable,
    must,
    storable,
)


class References(Tracker):
    """A tracker with one document per name."""

    def documents(
        self, filter_: Mapping[str, Any] = {}, unreadable: Unreadable = None
    ) -> dict[str, Mapping[str, Any]]:
        """Return what is stored, by name.

        Args:
            filter_: Which documents count.
            unreadable: Takes the errors for documents that cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written one.
        """
        with translated():
            found = self.collection.find(filter_).sort("_id", 1)
            return {one["_id"]: one for one in self.said(found, _checked, unreadable)}

    def get(self, name: str) -> VersionId | None:
        """Return the version that a name points to."""
        if not storable(name):
            return None
        with translated():
            found = self.collection.find_one({"_id": name})
        return self.said_by(found, lambda stored: _checked(stored)["version"])

    def delete(self, names: Iterable[str], session: Session = None) -> int:
        """Remove names; return how many there were."""
        wanted = [name for name in names if storable(name)]
        with translated():
            result = self.collection.delete_many({"_id": {"$in": wanted}}, session=session)
        return result.deleted_count


def _checked(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    must(isinstance(stored["_id"], str), "its name is none")
    must(isinstance(stored["version"], VersionId), "its version is no id")
    return stored
