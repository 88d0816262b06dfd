"""The replica: the documents as HEAD recorded them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import (
    DocumentKey,
    document_key,
    must_be_put_anew,
    needs_literal,
)
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
    translated,
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
        check: Callable[[], None] | None = None,
    ) -> None:
        """Replace documents: take out the ids in `removed`, then add `documents`.

        In a transaction a changed document is deleted and inserted, which costs half of a
        replace; without one, each document has to change in one step, and `check` is called
        before each command.
        """
        if session is None:
            added = set(map(document_key, documents))
            removed = [key for key in removed if key not in added]
            removed += self._put_anew(documents)
        if removed:
            write(self.db, "delete", self.name, _deletes(removed), session=session, check=check)
        if documents and session is None:
            statements = list(map(upsert_statement, documents))
            outcome = write(self.db, "update", self.name, statements, check=check)
            raise_write_error(outcome, statements)
        elif documents:
            insert_all(self.db, self.name, documents, session)

    def _put_anew(self, documents: Sequence[bytes]) -> list[DocumentKey]:
        """Return the ids of documents that have to go before they come back changed."""
        special = {document_key(raw): raw for raw in documents if needs_literal(raw)}
        return [
            key
            for _, found in self.by_keys(list(special))
            for key, old in found.items()
            if key in special and must_be_put_anew(old, special[key])
        ]

    def by_keys(
        self, keys: Sequence[DocumentKey]
    ) -> Iterator[tuple[list[DocumentKey], dict[DocumentKey, bytes]]]:
        """Look documents up; see `wire.by_keys`."""
        return by_keys(self.db, self.name, keys)

    def count(self) -> int:
        """Return the number of documents."""
        with translated():
            return self.collection.count_documents({})

    def scan(self) -> Iterator[list[bytes]]:
        """Iterate over all documents in the order of their ``_id``."""
        return documents(self.db, self.name, sort={"_id": 1})


def _deletes(keys: Sequence[DocumentKey]) -> list[RawBSONDocument]:
    return [
        delete_many_statement(portion)
        for portion in portions(keys, len, IDS_PER_READ, BYTES_OF_IDS)
    ]
