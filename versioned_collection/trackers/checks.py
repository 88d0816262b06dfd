"""The checks that guard new versions, for all clients: stored aggregations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import bson
from bson.binary import Binary
from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver

from versioned_collection.core.document import RAW_OPTIONS
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import (
    FORMAT,
    Session,
    Tracker,
    Unreadable,
    must,
    storable,
)


class ChecksCollection(Tracker):
    """The tracker ``__checks_<name>``: ``pipeline`` (as BSON) and ``message`` by name."""

    prefix = "checks"
    at_first_use = True

    def add(self, name: str, stages: bytes, message: str | None) -> bool:
        """Add a check.

        Args:
            name: Its name.
            stages: The document ``{pipeline: [...]}`` as BSON.
            message: What to say where it fails.

        Returns:
            Whether the name was free.
        """
        self.create_once()
        stored = {"_id": name, "format": FORMAT, "message": message, "pipeline": Binary(stages)}
        with translated():
            try:
                self.collection.insert_one(stored)
            except driver.DuplicateKeyError:
                return False
        return True

    def remove(self, name: str) -> bool:
        """Remove a check; tell whether there was one."""
        if not storable(name):
            return False
        with translated():
            return self.collection.delete_one({"_id": name}).deleted_count > 0

    def all(
        self, session: Session = None, unreadable: Unreadable = None
    ) -> Iterator[tuple[str, Any, str | None]]:
        """Iterate over name, stages (raw documents) and message, in the order of names.

        Args:
            session: The session of a transaction.
            unreadable: Takes the errors for checks that cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written one.
        """
        with translated():
            found: list[Mapping[str, Any]] = list(
                self.collection.find({}, session=session).sort("_id", 1)
            )
        yield from self.said(found, _check, unreadable)


def _check(stored: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    stages = bson.decode(stored["pipeline"], RAW_OPTIONS)["pipeline"]
    are_stages = isinstance(stages, list) and all(
        isinstance(stage, RawBSONDocument) for stage in stages
    )
    must(are_stages, "its pipeline is none")
    return stored["_id"], stages, stored["message"]
