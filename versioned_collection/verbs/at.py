"""at: a version read without checking it out."""

from __future__ import annotations

from datetime import datetime

from pymongo.collection import Collection

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core import revision as revisions
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidCollectionVersion
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.past.plan import Planner
from versioned_collection.past.view import PastCollection


def at(
    planner: Planner, revision: RevisionLike | datetime, collection: Collection[DocumentType]
) -> PastCollection[DocumentType]:
    """Return a version as a collection that can be read.

    Args:
        planner: Knows what serves versions; its repository counts.
        revision: The version, or the time for which the last one before it counts.
        collection: Says how documents are decoded.

    Raises:
        InvalidCollectionVersion: There is no such version.
    """
    repository = planner.repository
    resolver = Resolver(repository, repository.state())
    if isinstance(revision, datetime):
        version = _as_of(resolver, revision)
    else:
        version = resolver.resolve(revision)
    return PastCollection(planner, entry_of(repository, version), collection)


def _as_of(resolver: Resolver, time: datetime) -> VersionId:
    found = resolver.at_time(revisions.HEAD, time)
    if found is None:
        raise InvalidCollectionVersion(
            f"HEAD has no version as old as {time.isoformat()}; log() lists them", time=time
        )
    return found
