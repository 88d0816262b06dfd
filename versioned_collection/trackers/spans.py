"""Spans: composed deltas, each under the id of a span, and what is known about each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from versioned_collection.core.delta import Delta
from versioned_collection.core.spans import Span
from versioned_collection.core.version import VersionId, fingerprint_text
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import create_collection
from versioned_collection.trackers.base import COMPRESSED, FORMAT, Session, parsed
from versioned_collection.trackers.delta_form import stored_size
from versioned_collection.trackers.delta_store import DeltaStore, raws_of

_MOST_NAMED = 1_000
"""Versions that a query for spans names; for more, all spans are read, which are far fewer."""


class SpansCollection(DeltaStore):
    """The tracker ``__spans_<name>``: deltas of spans, and ``__spans_<name>.headers``.

    A span is there once its header is, which is written last. Whatever is lost of it, the
    versions that it stands for tell as well.
    """

    prefix = "spans"
    at_first_use = True
    indexes = DeltaStore.indexes[:1]

    def __init__(self, db: Any, name: str) -> None:
        super().__init__(db, name)
        self._headers = db.get_collection(f"{self.name}.headers")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the collections of deltas, headers and chunks."""
        return (*super().names, self._headers.name)

    def create(self) -> None:
        """Create the collections, compressed, with their indexes; existing ones are kept."""
        create_collection(self.db, self._headers.name, storageEngine=COMPRESSED)
        super().create()

    def create_indexes(self) -> None:
        """Create the indexes that lead to spans, and to their deltas."""
        super().create_indexes()
        self._headers.create_index("end")

    # -- looking -------------------------------------------------------------------------

    def ending_at(self, versions: Sequence[VersionId]) -> list[Span]:
        """Return the stretches that were looked at and end at some of these versions."""
        wanted = {"end": {"$in": list(versions)}} if len(versions) <= _MOST_NAMED else {}
        return self._find(wanted)

    def all(self) -> list[Span]:
        """Return all stretches that were looked at."""
        return self._find({})

    def _find(self, filter_: Mapping[str, Any]) -> list[Span]:
        with translated():
            # of another format, or edited, they are of no use, but nothing is lost without them
            found = list(self._headers.find({"format": FORMAT, **filter_}))
        return list(parsed(found, _span, self._headers.name, unreadable=[]))

    def damaged(self, spans: Collection[Span]) -> set[VersionId]:
        """Return those spans of which deltas are missing, or that have too many."""
        ids = [span.id for span in spans if span.kept]
        if not ids:
            return set()
        stages: list[Mapping[str, Any]] = [
            {"$match": {"version": {"$in": ids}}},
            {"$group": {"_id": "$version", "count": {"$sum": 1}}},
        ]
        with translated():
            found = {one["_id"]: one["count"] for one in self.collection.aggregate(stages)}
        return {span.id for span in spans if span.kept and found.get(span.id, 0) != span.documents}

    # -- making --------------------------------------------------------------------------

    def add(self, span: VersionId, deltas: Iterable[Delta]) -> tuple[int, int]:
        """Store deltas of a span, which nobody sees before its header is there.

        Returns:
            The sum of their digests, and their size.
        """
        self.create_once()
        found = list(deltas)
        digest, encoded = self._encoded(span, found)
        raws = raws_of(encoded)
        self._insert(raws)
        return digest, sum(map(stored_size, raws, found))

    def note(self, span: Span) -> None:
        """Store what is known about a stretch."""
        self.create_once()
        header = {
            "_id": span.id,
            "format": FORMAT,
            "start": span.start,
            "end": span.end,
            "versions": span.versions,
            "kept": span.kept,
            "documents": span.documents,
            "bytes": span.bytes,
            "spent": span.spent,
            "plain": span.plain,
            "digest": fingerprint_text(span.digest),
        }
        with translated():
            self._headers.replace_one({"_id": span.id}, header, upsert=True)

    # -- removing ------------------------------------------------------------------------

    def remove(self, spans: Sequence[VersionId]) -> None:
        """Remove spans; first that anybody finds them."""
        with translated():
            self._headers.delete_many({"_id": {"$in": list(spans)}})
        self.delete(spans)

    def hide(self, ends: Sequence[VersionId], session: Session = None) -> None:
        """Have nobody find the spans that end at some versions; `gc` removes the rest of them."""
        with translated():
            self._headers.delete_many({"end": {"$in": list(ends)}}, session=session)

    def remove_but(self, kept: Collection[VersionId]) -> int:
        """Remove all spans but these, and what was left half made; return how many there were."""
        with translated():
            known = set(self._headers.distinct("_id"))
        doomed = sorted((known | set(self.versions())) - set(kept))
        if doomed:
            self.remove(doomed)
        return len(doomed)

    def drop_all(self) -> int:
        """Remove all spans, whatever they hold; return how many there were."""
        return self.remove_but(())


def _span(stored: Mapping[str, Any]) -> Span:
    return Span(
        stored["_id"],
        stored["start"],
        stored["end"],
        stored["versions"],
        stored["kept"],
        stored["documents"],
        stored["bytes"],
        stored["spent"],
        stored["plain"],
        int(stored["digest"], 16),
    )
