"""What was found, in replies that PyMongo can take."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from versioned_collection.doubles.refusals import Refusal

_LARGEST_BATCH = 16 * 1024 * 1024
_NOT_FOUND = 43

Found = Sequence[RawBSONDocument]


class Cursors:
    """The cursors that are open."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._left: dict[int, Found] = {}

    def first(
        self, namespace: str, found: Found, size: int | None, *, single: bool = False
    ) -> dict[str, Any]:
        """Return a reply with the first documents.

        Args:
            namespace: Database and collection.
            found: All documents.
            size: How many at the most, None for any number.
            single: Whether no other reply will be asked for.
        """
        batch, left = _cut(found, len(found) if size is None else size)
        number = 0
        if left and not single:
            number = next(self._numbers)
            self._left[number] = left
        return _reply(namespace, "firstBatch", batch, number)

    def next(self, namespace: str, number: int, size: int | None) -> dict[str, Any]:
        """Return a reply with the documents that follow.

        Raises:
            Refusal: There is no such cursor.
        """
        found = self._left.pop(number, None)
        if found is None:
            raise Refusal(_NOT_FOUND, f"cursor id {number} not found")
        batch, left = _cut(found, size or len(found))
        if left:
            self._left[number] = left
        return _reply(namespace, "nextBatch", batch, number if left else 0)

    def kill(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Forget cursors."""
        for number in command["cursors"]:
            self._left.pop(number, None)
        return {"cursorsKilled": command["cursors"], "ok": 1.0}


def _cut(found: Found, most: int) -> tuple[Found, Found]:
    """Return the documents of one reply, and those left."""
    size = 0
    for place, document in enumerate(found[:most]):
        size += len(document.raw)
        if size > _LARGEST_BATCH and place:
            return found[:place], found[place:]
    return found[:most], found[most:]


def _reply(namespace: str, name: str, batch: Found, number: int) -> dict[str, Any]:
    return {"cursor": {name: list(batch), "id": Int64(number), "ns": namespace}, "ok": 1.0}
