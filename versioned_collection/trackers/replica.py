"""The replica: the documents as HEAD recorded them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.trackers.base import Session, Tracker
from versioned_collection.wire import (
    BYTES_OF_IDS,
    IDS_PER_READ,
    by_keys,
    delete_many_statement,
    documents,
    insert_all,
    portions,
    raise_write_error,
    upsert_statement,
    write,
)


class ReplicaCollection(Tracker):
    """The tracker ``__replica_<name>``."""

    prefix = "replica"

    def put(
        self,
        removed: Sequence[DocumentKey],
        documents: Sequence[bytes],
        session: Session = None,
    ) -> None:
        """Replace documents: take out the ids in `removed`, then add `documents`.

        In a transaction a changed document is deleted and inserted, which costs half of a
        replace; without one, each document has to change in one step.
        """
        if session is None:
            added = set(map(document_key, documents))
            removed = [key for key in removed if key not in added]
        if removed:
            write(self.db, "delete", self.name, _deletes(removed), session=session)
        if documents and session is None:
            statements = list(map(upsert_statement, documents))
            raise_write_error(write(self.db, "update", self.name, statements), statements)
        elif documents:
            insert_all(self.db, self.name, documents, session)

    def by_keys(
        self, keys: Sequence[DocumentKey]
    ) -> Iterator[tuple[list[DocumentKey], dict[DocumentKey, bytes]]]:
        """Look documents up; see `wire.by_keys`."""
        return by_keys(self.db, self.name, keys)

    def scan(self) -> Iterator[list[bytes]]:
        """Iterate over all documents in the order of their ``_id``."""
        return documents(self.db, self.name, sort={"_id": 1})


def _deletes(keys: Sequence[DocumentKey]) -> list[RawBSONDocument]:
    return [
        delete_many_statement(portion)
        for portion in portions(keys, len, IDS_PER_READ, BYTES_OF_IDS)
    ]
