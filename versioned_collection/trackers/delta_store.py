"""Deltas under the ids of versions: one document per (version, document)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, ClassVar

from bson.objectid import ObjectId
from gridfs.errors import GridFSError
from pymongo import IndexModel
from pymongo import errors as driver

from versioned_collection.core.delta import Delta, content_size, delta_digest, encoded_rows
from versioned_collection.core.portions import portions
from versioned_collection.core.version import VersionId
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.driver.server_errors import OVERFLOW, translated
from versioned_collection.driver.wire import documents
from versioned_collection.driver.writes import (
    BYTES_PER_WRITE,
    OPERATIONS_PER_WRITE,
    insert_all,
    insert_missing,
)
from versioned_collection.errors import DocumentRejected, VersioningError
from versioned_collection.trackers.base import Session, Tracker, Unreadable
from versioned_collection.trackers.chunks import Chunks
from versioned_collection.trackers.delta_chunks import ChunkedForm, is_inline
from versioned_collection.trackers.delta_form import is_chunked, object_ids
from versioned_collection.trackers.fresh import Fresh
from versioned_collection.trackers.layout import version_in

LONGEST_LIST = 5_000
"""Deltas that are read at a time."""

BY_DOCUMENT = {"document_id": 1, "key": 1}
"""The order of documents' ids, with those apart that the server sorts as equal."""

_VERSIONS_PER_READ = 5_000
_FIRST_LIST = 250
"""Deltas in the first list of a transfer; later ones grow, so that work on the first begins
early and there are few of them in the end."""

_ENCODED_AHEAD = 4 * 1024 * 1024
"""Bytes of rows and images that wait encoded for what is stored before them."""

Encode = Callable[[], bytes]
Refusal = Callable[[VersionId, Exception], Exception]


class DeltaStore(Tracker):
    """A tracker that keeps deltas, each under the id of a version (or of a stash, or span).

    Attributes:
        chunks: Where their large parts are.
        fresh: What was just stored.
        form: How they are written and read.
    """

    indexes: ClassVar[tuple[IndexModel, ...]] = (
        IndexModel([("version", 1), ("document_id", 1), ("key", 1)], unique=True),  # for paths
        IndexModel([("document_id", 1), ("key", 1), ("version", 1)]),  # for single documents
    )

    def __init__(self, db: Any, name: str) -> None:
        super().__init__(db, name)
        self.chunks = Chunks(db, self.name)
        self.fresh: Fresh[tuple[VersionId, Delta]] = Fresh()
        self.form = ChunkedForm(self.name, self.chunks, self.fresh)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the collection and of those that hold chunks."""
        return (self.name, *self.chunks.names)

    def append(self, version: VersionId, deltas: Iterable[Delta]) -> int:
        """Store deltas under a version; they stay invisible until the log names it.

        Returns:
            The sum of the deltas' digests.
        """
        return self.appending(version, deltas)()

    def appending(self, version: VersionId, deltas: Iterable[Delta]) -> Callable[[], int]:
        """Return what does as `append`, which only waits for the server as a rule."""
        digest, encoded = self._encoded(version, deltas)

        def store() -> int:
            self._insert(raws_of(encoded))
            return digest

        return store

    def _encoded(
        self, version: VersionId, deltas: Iterable[Delta]
    ) -> tuple[int, list[bytes | Encode]]:
        """Return the sum of the digests of deltas, and what `raws_of` takes.

        Of a delta only its bytes are left as soon as the next one is taken: many live objects
        have Python look through all that it holds. What is large is encoded later, as parts of it
        may have to be uploaded.
        """
        digest, size, encoded = 0, 0, list[bytes | Encode]()
        for identity, delta in zip(object_ids(), deltas, strict=False):
            rows = encoded_rows(delta)
            digest += delta_digest(delta, rows)
            size += content_size(delta, rows)
            encode = partial(self.form.encode, version, delta, rows, identity)
            is_small = size <= _ENCODED_AHEAD and is_inline(delta, rows)
            encoded.append(encode() if is_small else encode)
        return digest, encoded

    def _insert(self, raws: Sequence[bytes]) -> None:
        for portion in portions(raws, len, OPERATIONS_PER_WRITE, BYTES_PER_WRITE):
            try:
                insert_all(self.db, self.name, portion)
            except DocumentRejected as refusal:
                self._insert_deep(portion, refusal)

    def _insert_deep(self, raws: Sequence[bytes], refusal: DocumentRejected) -> bool:
        """Store deltas of documents that have as many levels as a server takes.

        Returns:
            Whether none was there.
        """
        if refusal.facts.get("server_code") != OVERFLOW:
            raise refusal
        return insert_missing(self.db, self.name, list(map(self.form.flat, raws)))

    def put(
        self, found: Sequence[tuple[VersionId, Delta]], rows: Sequence[bytes] | None = None
    ) -> bool:
        """Store deltas of several versions; those that are there already stay as they are.

        Args:
            found: The deltas.
            rows: What `encoded_rows` returns for each, where that is known.

        Returns:
            Whether none was there.
        """
        if rows is None:
            rows = [encoded_rows(delta) for _, delta in found]
        return self.putting(found, rows)()

    def putting(
        self, found: Sequence[tuple[VersionId, Delta]], rows: Sequence[bytes]
    ) -> Callable[[], bool]:
        """Return what does as `put`, which only waits for the server as a rule.

        Args:
            found: The deltas.
            rows: What `encoded_rows` returns for each.
        """
        encode = partial(self._encoded_pairs, found, rows)
        if all(is_inline(delta, row) for (_, delta), row in zip(found, rows, strict=True)):
            return partial(self._put, encode())
        return lambda: self._put(encode())  # parts of some are uploaded first

    def _encoded_pairs(
        self, found: Sequence[tuple[VersionId, Delta]], rows: Sequence[bytes]
    ) -> list[bytes]:
        raws = []
        for identity, pair, encoded in zip(object_ids(), found, rows, strict=False):
            raw = self.form.encode(*pair, encoded, identity)
            if not is_chunked(raw):
                self.fresh.note(raw, pair)
            raws.append(raw)
        return raws

    def _put(self, raws: Sequence[bytes]) -> bool:
        try:
            return insert_missing(self.db, self.name, raws)
        except DocumentRejected as refusal:
            return self._insert_deep(raws, refusal)

    def find(
        self, filter_: Mapping[str, Any], unreadable: Unreadable = None
    ) -> Iterator[tuple[VersionId, Delta]]:
        """Iterate over deltas in the order of their documents' ids.

        Args:
            filter_: The filter.
            unreadable: Takes the errors for deltas that cannot be read, which are left out then.
        """
        if unreadable is None:
            return map(self.form.decode, self._stored(filter_))
        return self._readable(self._stored(filter_), unreadable)

    def _readable(
        self, raws: Iterable[bytes], unreadable: list[VersioningError]
    ) -> Iterator[tuple[VersionId, Delta]]:
        for raw in raws:
            try:
                found = self.form.decode(raw)
            except VersioningError as error:
                unreadable.append(error)
            else:
                yield found

    def _stored(
        self, filter_: Mapping[str, Any], fields: Mapping[str, Any] | None = None
    ) -> Iterator[bytes]:
        for batch in documents(
            self.db,
            self.name,
            filter_,
            sort=BY_DOCUMENT,
            projection=fields,
            allowDiskUse=True,
            batch_size=20_000 if fields else LONGEST_LIST,
        ):
            yield from batch

    def of_versions(
        self,
        versions: Sequence[VersionId],
        refusal: Refusal | None = None,
    ) -> Iterator[list[tuple[VersionId, Delta]]]:
        """Iterate over the deltas of versions, one version after the other, in bounded lists.

        Args:
            versions: The versions.
            refusal: Returns what to raise where a delta of a version cannot be read.
        """
        order = {"version": 1, "document_id": 1, "key": 1}
        for start in range(0, len(versions), _VERSIONS_PER_READ):
            some = {"version": {"$in": list(versions[start : start + _VERSIONS_PER_READ])}}
            found = documents(self.db, self.name, some, sort=order, batch_size=LONGEST_LIST)
            with closing(prefetch(found)) as ahead:
                for portion in _growing(ahead):
                    yield [self._decoded(raw, refusal) for raw in portion]

    def _decoded(self, raw: bytes, refusal: Refusal | None) -> tuple[VersionId, Delta]:
        try:
            return self.form.decode(raw)
        except Exception as error:  # there is no end to what may be stored in its place
            is_of_server = isinstance(error, driver.PyMongoError)
            if refusal is None or (is_of_server and not isinstance(error, GridFSError)):
                raise
            raise refusal(version_in(raw), error) from error

    def of_version(self, version: VersionId) -> Iterator[Delta]:
        """Iterate over the deltas of one version."""
        return (delta for _, delta in self.find({"version": version}))

    def sizes(self) -> Iterator[tuple[VersionId, int]]:
        """Iterate over versions, with the bytes of BSON that their deltas take; some repeat."""
        size = {"$sum": {"$bsonSize": "$$ROOT"}}
        stages: list[dict[str, Any]] = [{"$group": {"_id": "$version", "bytes": size}}]
        with translated():
            for found in self.collection.aggregate(stages, allowDiskUse=True):
                yield found["_id"], found["bytes"]
        yield from self.chunks.sizes()

    def delete(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove the deltas of versions, and their chunks."""
        with translated():
            self.collection.delete_many({"version": {"$in": list(versions)}}, session=session)
        self.chunks.delete_of(versions)

    def hand_over(self, draft: VersionId, version: VersionId) -> None:
        """Store the deltas of a draft under a version, of which no others are there."""
        with translated():
            self.collection.update_many({"version": draft}, {"$set": {"version": version}})
        self.chunks.hand_over(draft, version)

    def versions(self) -> list[VersionId]:
        """Return the ids under which deltas or chunks are stored."""
        with translated():
            found = self.collection.aggregate([{"$group": {"_id": "$version"}}])
            ids = {group["_id"] for group in found}
        return sorted(ids | self.chunks.owners())

    def collect_uploads(self, before: datetime) -> int:
        """Remove parts of large deltas that were uploaded, and the deltas then not stored.

        Args:
            before: The time after which an upload may be under way still.

        Returns:
            How many there were.
        """
        return self.chunks.collect(before, self._parts_of)

    def _parts_of(self, version: VersionId) -> set[ObjectId]:
        """Return the parts to which the deltas of a version refer."""
        with translated():
            found = self.collection.find({"version": version}, {"chunks": 1})
            return {file for stored in found for file in stored.get("chunks", {}).values()}


def raws_of(encoded: Iterable[bytes | Encode]) -> list[bytes]:
    """Return deltas as they are stored; parts that are too large are in chunks by then."""
    return [one if isinstance(one, bytes) else one() for one in encoded]


def _growing(batches: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """Cut stored deltas into lists of which each may be longer than the one before."""
    most = _FIRST_LIST
    for batch in batches:
        waiting = iter(batch)
        while some := list(islice(waiting, most)):
            most = min(most * 2, LONGEST_LIST)
            yield from portions(some, _weight, len(some), BYTES_PER_WRITE)


def _weight(raw: bytes) -> int:
    return BYTES_PER_WRITE if is_chunked(raw) else len(raw)
