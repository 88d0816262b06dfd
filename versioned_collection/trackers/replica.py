"""The replica: the documents as HEAD recorded them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bson.timestamp import Timestamp

from versioned_collection.core.document import DocumentKey
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import by_keys, documents
from versioned_collection.driver.writes import put_exactly
from versioned_collection.trackers.base import Session, Tracker


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
        put_exactly(self.db, self.name, removed, documents, session, check)

    def by_keys(
        self, keys: Sequence[DocumentKey], at: Timestamp | None = None
    ) -> Iterator[tuple[list[DocumentKey], dict[DocumentKey, bytes]]]:
        """Look documents up; see `wire.by_keys`."""
        return by_keys(self.db, self.name, keys, at=at)

    def count(self) -> int:
        """Return the number of documents."""
        with translated():
            return self.collection.count_documents({})

    def scan(self, at: Timestamp | None = None) -> Iterator[list[bytes]]:
        """Iterate over all documents in the order of their ``_id``."""
        return documents(self.db, self.name, sort={"_id": 1}, at=at)
