"""find_versions: in which versions documents began, and ceased, to match a filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from versioned_collection.core.portions import at_most
from versioned_collection.core.tree import missing_version
from versioned_collection.core.version import Version, VersionId
from versioned_collection.history.facts import check_limit
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.observing import Progress, counted, iterated
from versioned_collection.past.appearances import Appeared, appearances
from versioned_collection.past.plan import Planner
from versioned_collection.past.query import refuse_nearness
from versioned_collection.repository.repository import Repository

_AT_ONCE = 50
"""Log entries that are read at once."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """A version in which documents began, or ceased, to match a filter.

    Attributes:
        version: The version.
        appeared: The ``_id`` of each document that matches in it, and did not in its first
            parent; in the very first version, of all that match.
        disappeared: The ``_id`` of each document that matched in its first parent, and does
            not in it, or is gone.
    """

    version: Version
    appeared: list[Any]
    disappeared: list[Any]


@iterated("find_versions")
def find_versions(
    planner: Planner,
    filter_: Mapping[str, Any],
    revision: RevisionLike = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Appearance]:
    """Iterate over the versions in which documents appeared or disappeared, newest first.

    Args:
        planner: Knows what serves versions; its repository counts.
        filter_: The filter.
        revision: Where to start, HEAD by default.
        limit: At most so many.
        progress: Told how many changes were looked at.
    """
    check_limit(limit)
    repository = planner.repository
    raw = repository.codec.document(filter_, "filter")
    refuse_nearness(raw)
    start = Resolver(repository, repository.state()).resolve(revision)
    return _described(
        repository, at_most(appearances(planner, start, raw, counted(progress)), limit)
    )


def _described(
    repository: Repository, found: Iterator[tuple[VersionId, Appeared]]
) -> Iterator[Appearance]:
    while some := dict(islice(found, _AT_ONCE)):
        entries = {entry.id: entry for entry in repository.log.get_many(some)}
        for version, (appeared, disappeared) in some.items():
            if version not in entries:
                raise missing_version(version)
            shown = ([*map(repository.codec.value, keys)] for keys in (appeared, disappeared))
            yield Appearance(entries[version], *shown)
