"""Documents by id on the disk, for verbs that meet more of them than memory should hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from versioned_collection.core.document import DocumentKey

_PER_QUERY = 500
"""Ids in one question: SQLite has a limit on its parameters."""


class Shelf:
    """Keeps documents by their keys, in a file that is gone with it.

    Ids are kept apart by their bytes, so 1 and 1.0 are two.
    """

    def __init__(self) -> None:
        # an empty name means a temporary file; a generator may be closed by another thread
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE shelf (key BLOB PRIMARY KEY, raw BLOB) WITHOUT ROWID")

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def reserve(self, keys: Iterable[DocumentKey]) -> int:
        """Make place for documents; return how many had none yet."""
        rows = [(key,) for key in keys]
        before = self._db.total_changes
        self._db.executemany("INSERT OR IGNORE INTO shelf (key) VALUES (?)", rows)
        return self._db.total_changes - before

    def put(self, documents: Iterable[tuple[DocumentKey, bytes | None]]) -> None:
        """Put documents, None for "there is none", in the place of what is there."""
        self._db.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?)", documents)

    def known(self, keys: Sequence[DocumentKey]) -> set[DocumentKey]:
        """Return those of these keys that have a place."""
        return set(self.get(keys))

    def get(self, keys: Sequence[DocumentKey]) -> dict[DocumentKey, bytes | None]:
        """Return the documents of those of these keys that have a place."""
        found: dict[DocumentKey, bytes | None] = {}
        for start in range(0, len(keys), _PER_QUERY):
            some = keys[start : start + _PER_QUERY]
            marks = ",".join("?" * len(some))
            found.update(
                self._db.execute(f"SELECT key, raw FROM shelf WHERE key IN ({marks})", some)
            )
        return found

    def documents(self) -> Iterator[bytes]:
        """Iterate over the documents, in the order of the bytes of their ids."""
        for (raw,) in self._db.execute("SELECT raw FROM shelf WHERE raw IS NOT NULL ORDER BY key"):
            yield raw
