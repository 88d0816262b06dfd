"""The replica: the documents as HEAD recorded them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from versioned_collection.core.document import DocumentKey
from versioned_collection.trackers.base import Session, Tracker
from versioned_collection.wire import by_keys, delete_many_statement, documents, insert_all, write


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

        Nobody reads the replica while a verb holds the lease, so a changed document is
        deleted and inserted, which costs half of a replace.
        """
        if removed:
            write(self.db, "delete", self.name, _deletes(removed), session=session)
        if documents:
            insert_all(self.db, self.name, documents, session)

    def by_keys(
        self, keys: Sequence[DocumentKey]
    ) -> Iterator[tuple[list[DocumentKey], dict[DocumentKey, bytes]]]:
        """Look documents up; see `wire.by_keys`."""
        return by_keys(self.db, self.name, keys)

    def scan(self) -> Iterator[list[bytes]]:
        """Iterate over all documents in the order of their ``_id``."""
        return documents(self.db, self.name, sort={"_id": 1})


def _deletes(keys: Sequence[DocumentKey]) -> list[object]:
    return [delete_many_statement(keys[start : start + 2_000]) for start in range(0, len(keys), 2_000)]  # type: ignore[return-value]
