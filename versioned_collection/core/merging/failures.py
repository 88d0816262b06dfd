"""The errors that merging adds to the tree of `versioned_collection.errors`."""

from __future__ import annotations

from versioned_collection.errors import InvalidOperation, VersioningError


class ResolverFailed(VersioningError):
    """A resolver raised, or returned what cannot stand there (`document_id`, `path`)."""

    code = "resolver_failed"


class PlaceGone(InvalidOperation):
    """The place of a conflict is no longer in the document (`path`, `missing`)."""

    code = "place_gone"
