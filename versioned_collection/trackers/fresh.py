"""What a tracker has just stored, so that reading it back need not decode it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST_BYTES = 8 * 1024 * 1024
"""Stored bytes that are kept decoded; what is decoded takes several times as much."""

_BEHIND_ID = 21
"""Where the content of a stored document begins, behind its size and an ObjectId as ``_id``."""


class Fresh(Generic[T]):
    """Decoded documents by their stored bytes, whatever ids these got.

    Only the very bytes that were stored are recognised, so it does not matter who stored
    what is read.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, T] = {}
        self._room = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is stored meanwhile, within a bound."""
        self._room = _MOST_BYTES
        try:
            yield
        finally:
            self._room = 0
            self._known = {}

    def note(self, raw: bytes, decoded: T) -> None:
        """Keep what is stored as `raw`, as long as there is room."""
        if len(raw) <= self._room:
            self._room -= len(raw)
            self._known[raw[_BEHIND_ID:]] = decoded

    def get(self, raw: bytes) -> T | None:
        """Return what is stored as `raw`, None where that is not known."""
        return self._known.get(raw[_BEHIND_ID:]) if self._known else None
