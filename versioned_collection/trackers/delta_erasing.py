"""The deltas of some documents in all versions: found, removed and made others by a purge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument

from versioned_collection.core.delta import Delta, encoded_rows
from versioned_collection.core.document import RAW_OPTIONS, DocumentKey, document_key, raw_id_in
from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import by_keys, documents
from versioned_collection.driver.writes import (
    delete_statement,
    raise_write_error,
    replace_statement,
    write,
)
from versioned_collection.trackers.base import Session
from versioned_collection.trackers.delta_form import sort_key
from versioned_collection.trackers.delta_store import DeltaStore
from versioned_collection.trackers.layout import key_in


class ErasableDeltas(DeltaStore):
    """Deltas of which those of some documents can be erased, under whatever ids they are."""

    def of_keys(self, keys: Sequence[DocumentKey]) -> Iterator[tuple[VersionId, Delta]]:
        """Iterate over the deltas of these very documents in all versions."""
        return self.find(_of_keys(keys))

    def count_of(self, keys: Sequence[DocumentKey]) -> int:
        """Return how many deltas there are of these very documents."""
        with translated():
            return self.collection.count_documents(_of_keys(keys))

    def keys_among(self, keys: Sequence[DocumentKey]) -> set[DocumentKey]:
        """Return those of these documents of which there are deltas."""
        found = self._stored(_of_keys(keys), {"_id": 0, "document_id": 1})
        return set(map(key_in, found))

    def same_keys(
        self, keys: Sequence[DocumentKey], collation: Mapping[str, Any] | None
    ) -> set[DocumentKey]:
        """Return the ids with deltas that the server takes for the same as some of these.

        Args:
            keys: The ids.
            collation: By what, None for the simple collation.
        """
        ids = RawBSONDocument(raw_id_in(keys), RAW_OPTIONS)["_id"]
        options: dict[str, Any] = {} if collation is None else {"collation": collation}
        fields = {"_id": 0, "document_id": 1}
        found = documents(self.db, self.name, {"document_id": ids}, projection=fields, **options)
        return {key_in(raw) for batch in found for raw in batch}

    def erase(self, keys: Sequence[DocumentKey], session: Session = None) -> None:
        """Remove the deltas of these very documents; first `erase_parts` has to be called."""
        with translated():
            self.collection.delete_many(_of_keys(keys), session=session)

    def erase_parts(self, keys: Sequence[DocumentKey]) -> None:
        """Remove what the deltas of these very documents have in chunks."""
        with translated():
            found = self.collection.find(
                {**_of_keys(keys), "chunks": {"$exists": True}}, {"chunks": 1}
            )
            files = [file for stored in found for file in stored["chunks"].values()]
        self.chunks.remove(files)

    def rewrite(
        self, keys: Sequence[DocumentKey], change: Callable[[Delta], Delta | None]
    ) -> None:
        """Put others in the place of the deltas of these very documents, one at a time.

        Whatever the deltas before have in chunks is left to `collect_uploads`.

        Args:
            keys: The documents.
            change: Returns what a delta becomes, None for nothing.
        """
        found = [document_key(raw) for raw in self._stored(_of_keys(keys), {"_id": 1})]
        for portion, stored in by_keys(self.db, self.name, found):
            for identity in portion:
                self._rewrite(stored[identity], change)

    def _rewrite(self, raw: bytes, change: Callable[[Delta], Delta | None]) -> None:
        version, delta = self.form.decode(raw)
        changed = change(delta)
        if changed == delta:
            return
        if changed is None:
            kind, statements = "delete", [delete_statement(document_key(raw))]
        else:
            identity = document_key(raw)[1:]
            made = self.form.encode(version, changed, encoded_rows(changed), identity)
            kind, statements = "update", [replace_statement(self.form.flat(made))]
        raise_write_error(write(self.db, kind, self.name, statements), statements)


def _of_keys(keys: Sequence[DocumentKey]) -> dict[str, Any]:
    """Return the filter for deltas of documents, not of those with ids that sort as equal."""
    ids = RawBSONDocument(raw_id_in(keys), RAW_OPTIONS)["_id"]
    return {"document_id": ids, "key": {"$in": [sort_key(key) for key in keys]}}
