"""Which versions a log shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.history import all_versions, ancestors
from versioned_collection.core.drawing import simplify

if TYPE_CHECKING:
    from versioned_collection import Version, VersionedCollection


@dataclass(frozen=True)
class Filter:
    """What a log leaves out.

    Attributes:
        limit: At most so many versions.
        document: A tuple of the ``_id`` whose changes count, None for all versions.
        author: Whose versions count.
        since: Nothing older.
        until: Nothing newer.
    """

    limit: int | None = None
    document: tuple[Any] | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `VersionedCollection.log`, without the limit."""
        return {
            "document": self.document[0] if self.document else None,
            "author": self.author,
            "since": self.since,
            "until": self.until,
        }

    def is_open(self) -> bool:
        """Tell whether every version passes, but for the limit."""
        return not any(value is not None for value in self.arguments().values())


@dataclass(frozen=True)
class Drawing:
    """Versions to draw.

    Attributes:
        versions: The versions in their order.
        parents: Their parents among all that are shown.
    """

    versions: Sequence[Version]
    parents: Mapping[Any, Sequence[Any]]


def listed(collection: VersionedCollection, start: Any, wanted: Filter) -> list[Version]:
    """Return the versions from a start to the root, newest first."""
    return list(collection.log(start, limit=wanted.limit, **wanted.arguments()))


def drawn(collection: VersionedCollection, start: Any, wanted: Filter) -> Drawing:
    """Return what a graph shows: all versions, or those that a start descends from."""
    versions = all_versions(collection) if start is None else ancestors(collection, start)
    kept = _passing(collection, versions, wanted)
    parents = simplify(
        {version.id: version.parents for version in versions}, lambda one: one in kept
    )
    shown = [version for version in versions if version.id in kept][: wanted.limit]
    return Drawing(shown, parents)


def _passing(
    collection: VersionedCollection, versions: Sequence[Version], wanted: Filter
) -> set[Any]:
    everything = {version.id for version in versions}
    if wanted.is_open():
        return everything
    above = {parent for version in versions for parent in version.parents[:1]}
    passing: set[Any] = set()
    for tip in everything - above:
        passing.update(version.id for version in collection.log(tip, **wanted.arguments()))
    return passing & everything
