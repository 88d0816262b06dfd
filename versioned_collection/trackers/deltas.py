"""The deltas of all versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import bson

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.interop import to_deepdiff
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.driver.wire import documents, of_ids
from versioned_collection.trackers.base import Unreadable
from versioned_collection.trackers.delta_erasing import ErasableDeltas
from versioned_collection.trackers.delta_paths import DeltasOnPaths
from versioned_collection.trackers.layout import key_in, version_in


class DeltasCollection(DeltasOnPaths, ErasableDeltas):
    """The tracker ``__deltas_<name>``."""

    prefix = "deltas"

    def versions_of(self, key: DocumentKey) -> set[VersionId]:
        """Return the versions that changed a document."""
        return {version for version, found in self.changes_of([key]) if found == key}

    def changes_of(self, keys: Sequence[DocumentKey]) -> Iterator[tuple[VersionId, DocumentKey]]:
        """Iterate over the versions that changed a document, and its own id in each.

        The server takes some ids for the same, such as 1 and 1.0; both are found by either.

        Args:
            keys: The ids that mean the document.
        """
        fields = {"_id": 0, "document_id": 1, "version": 1}
        for batch in documents(self.db, self.name, of_ids("document_id", keys), projection=fields):
            for raw in batch:
                yield version_in(raw), key_in(raw)

    def of_document(
        self, versions: Sequence[VersionId], keys: Sequence[DocumentKey]
    ) -> Iterator[tuple[VersionId, Delta]]:
        """Iterate over the deltas of one document in some versions; see `changes_of`."""
        return self.find({"version": {"$in": list(versions)}, **of_ids("document_id", keys)})

    def with_states(
        self, keys: Sequence[DocumentKey], states: Sequence[bytes]
    ) -> Iterator[tuple[VersionId, set[bytes]]]:
        """Iterate over the versions that brought a document into, or out of, one of some states.

        Args:
            keys: The ids of the documents.
            states: SHA-256 of the states.

        Yields:
            The version, and both states of a document that it changed.
        """
        wanted = {"$in": list(states)}
        filter_ = {
            **of_ids("document_id", keys),
            "$or": [{"before": wanted}, {"after": wanted}],
        }
        fields = {"_id": 0, "version": 1, "before": 1, "after": 1}
        for batch in documents(self.db, self.name, filter_, projection=fields):
            for stored in map(bson.decode, batch):
                ends = {stored[end] for end in ("before", "after") if end in stored}
                yield stored["version"], ends

    def by_document(
        self, versions: Iterable[VersionId] | None = None, unreadable: Unreadable = None
    ) -> Iterator[tuple[DocumentKey, list[tuple[VersionId, Delta]]]]:
        """Iterate over the documents that versions, or any, changed, each with its deltas.

        Args:
            versions: The versions, None for all.
            unreadable: Takes the errors for deltas that cannot be read, which are left out then.

        Raises:
            CorruptHistory: A delta says what no release has written.
            FormatMismatch: Another release has stored one.
        """
        filter_ = {} if versions is None else {"version": {"$in": list(versions)}}
        found = self.find(filter_, unreadable)
        for key, group in groupby(found, key=lambda pair: pair[1].key):
            yield key, list(group)

    # -- for programs that work with them themselves -------------------------------------

    def along_as_deepdiff(self, path: Path) -> Iterator[tuple[DocumentKey, list[Any]]]:
        """Iterate like `along`, with `deepdiff.Delta` objects to be added in turn."""
        for key, deltas in self.along(path):
            yield key, [to_deepdiff(delta) for delta in deltas]

    @staticmethod
    def apply(
        documents: Mapping[DocumentKey, bytes], deltas: Mapping[DocumentKey, Sequence[Delta]]
    ) -> dict[DocumentKey, bytes | None]:
        """Return the documents after their deltas; None for those that go away.

        Args:
            documents: The documents before, by key; missing ones do not exist yet.
            deltas: The deltas to apply to each, in turn.

        Raises:
            CorruptHistory: A delta does not start from the given document.
        """
        results: dict[DocumentKey, bytes | None] = {}
        for key, steps in deltas.items():
            current = documents.get(key)
            for delta in steps:
                current = delta.apply(current)
            results[key] = current
        return results
