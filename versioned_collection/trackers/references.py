"""Names that point to versions: what branches and tags have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from versioned_collection.core.version import VersionId
from versioned_collection.server_errors import translated
from versioned_collection.trackers.base import (
    Session,
    Tracker,
    Unreadable,
    check_format,
    must,
    parsed,
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
            return {one["_id"]: one for one in parsed(found, self._checked, self.name, unreadable)}

    def _checked(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        check_format(stored, self.name)
        must(isinstance(stored["_id"], str), "its name is none")
        must(isinstance(stored["version"], VersionId), "its version is no id")
        return stored

    def get(self, name: str) -> VersionId | None:
        """Return the version that a name points to."""
        if not storable(name):
            return None
        with translated():
            found = self.collection.find_one({"_id": name})
        checked = parsed([] if found is None else [found], self._checked, self.name)
        return next((one["version"] for one in checked), None)

    def delete(self, names: Iterable[str], session: Session = None) -> int:
        """Remove names; return how many there were."""
        wanted = [name for name in names if storable(name)]
        with translated():
            result = self.collection.delete_many({"_id": {"$in": wanted}}, session=session)
        return result.deleted_count
