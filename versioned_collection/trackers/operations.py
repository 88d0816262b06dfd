"""The log of operations: what moved HEAD, branches and tags, and from where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pymongo import IndexModel

from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import (
    FORMAT,
    Session,
    Tracker,
    Unreadable,
    told_if_too_large,
)

T = TypeVar("T")

_FIRST = {"_id": "first"}
"""What is written first, and removed: no operation, also where a process died in between."""

_ANY = {"fence": {"$exists": True}}


class OperationsCollection(Tracker):
    """The tracker ``__operations_<name>``.

    The number of the lease, of which each verb has its own, tells their order, whatever the
    clocks say.
    """

    prefix = "operations"
    indexes = (IndexModel("fence"),)

    def create_indexes(self) -> None:
        """Create the index for the order."""
        with translated():
            super().create_indexes()
            # Before its first write to a collection a server looks for the last record of it. At
            # the end of a large transaction, in a cache full of what was just copied, it gives
            # that up after a second, and the transaction with it.
            self.collection.update_one(_FIRST, {"$set": {"format": FORMAT}}, upsert=True)
            self.collection.delete_one(_FIRST)

    def append(self, operation: Mapping[str, Any], session: Session = None) -> None:
        """Add an operation; one that is there already stays as it is.

        Raises:
            NotSupported: It has more than a document may; nothing was written.
        """
        facts = {name: value for name, value in operation.items() if name != "_id"}
        with translated(), told_if_too_large():
            self.collection.update_one(
                {"_id": operation["_id"]},
                {"$setOnInsert": {"format": FORMAT, **facts}},
                upsert=True,
                session=session,
            )

    def last_from_elsewhere(self, place: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the last operation before which HEAD was not at a place, None for none."""
        with translated():
            elsewhere = {**_ANY, "before": {"$ne": place}}
            return self.collection.find_one(elsewhere, sort=[("fence", -1)])

    def newest_first(
        self, decode: Callable[[Mapping[str, Any]], T], unreadable: Unreadable = None
    ) -> Iterator[T]:
        """Iterate over the operations, the latest first.

        Args:
            decode: Returns what is stored of one as people get it.
            unreadable: Takes the errors for operations that cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written one.
        """
        with translated():
            found = self.collection.find(_ANY).sort("fence", -1)
            yield from self.said(found, decode, unreadable)
