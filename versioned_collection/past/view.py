"""What `at` returns: one version, read like a collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, NoReturn

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from versioned_collection.bound_sessions import apart_all
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.arguments import check_all
from versioned_collection.core.version import Version
from versioned_collection.errors import InvalidType, ReadOnlyVersion
from versioned_collection.observing import Progress
from versioned_collection.past.building import prepare
from versioned_collection.past.cursors import PastCursor, PastResults
from versioned_collection.past.options import (
    OF_AGGREGATE,
    OF_DISTINCT,
    OF_FIND,
    options_of,
    stored,
)
from versioned_collection.past.plan import Planner
from versioned_collection.past.query import (
    Find,
    number_of,
    projection_of,
    refuse_nearness,
    refuse_scripts,
    sort_of,
    stages_of,
)
from versioned_collection.past.reading import Reader

WRITES = (
    "bulk_write",
    "create_index",
    "create_indexes",
    "create_search_index",
    "create_search_indexes",
    "delete_many",
    "delete_one",
    "drop",
    "drop_index",
    "drop_indexes",
    "drop_search_index",
    "find_one_and_delete",
    "find_one_and_replace",
    "find_one_and_update",
    "insert_many",
    "insert_one",
    "rename",
    "replace_one",
    "update_many",
    "update_one",
    "update_search_index",
)
"""The methods of PyMongo's `Collection` that write."""


@apart_all
@check_all
class PastCollection(Generic[DocumentType]):
    """A version of a collection, read only, without checking it out.

    Each read returns documents of this version alone, however others write and check out
    meanwhile, or raises `SnapshotUnavailable`. Filters are MongoDB's own and use the indexes of
    the collection.

    Attributes:
        version: The version.
    """

    def __init__(
        self, planner: Planner, version: Version, collection: Collection[DocumentType]
    ) -> None:
        self.version = version
        self._planner = planner
        self._collection = collection
        self._codec = planner.repository.codec
        self._reader = Reader(planner, version.id)

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self._collection.name

    @property
    def full_name(self) -> str:
        """The names of database and collection."""
        return self._collection.full_name

    @property
    def database(self) -> Any:
        """The database of the collection."""
        return self._collection.database

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are decoded: as by the collection that `at` was called on."""
        return self._collection.codec_options

    def prepare(self, *, whole: bool = False, progress: Progress | None = None) -> None:
        """Make now what the first read would make: an overlay of what differs from HEAD.

        Args:
            whole: Copy every document of the version, so that reads are not bound to one
                moment and may take as long as they want.
            progress: Called with a phase and a number of documents done.

        Raises:
            PermissionDenied: The user may not write.
            LeaseHeld: Another process is at work.
        """
        prepare(self._planner.repository, self.version.id, whole=whole, progress=progress)
        self._planner.forget()

    # -- reading -------------------------------------------------------------------------

    def find(
        self,
        filter: Mapping[str, Any] | None = None,
        projection: Any = None,
        skip: int = 0,
        limit: int = 0,
        *,
        sort: Any = None,
        batch_size: int = 0,
        **options: Any,
    ) -> PastCursor[DocumentType]:
        """Find documents of the version.

        Args:
            filter: Which documents, in MongoDB's query language.
            projection: The fields, as a dict or as a list of names.
            skip: How many documents to pass over.
            limit: At most how many documents; 0 for all.
            sort: A field name, or a list of ``(name, direction)``. Without one, documents come
                in no particular order.
            batch_size: How many documents the server sends at once; 0 for as many as fit.
            **options: ``collation``, ``hint`` (for the documents that are as in the present),
                ``comment``, ``max_time_ms``, ``allow_disk_use``, ``let``, ``no_cursor_timeout``.

        Returns:
            A cursor; nothing is read before the first document is asked for.

        Raises:
            InvalidType: An argument has the wrong type.
            InvalidArgument: BSON cannot hold the filter, or there is no such option.
            NotSupported: The filter holds ``$near`` or ``$nearSphere``; or, once documents are
                asked for, ``$where`` where they are sorted.
        """
        raw = self._codec.document({} if filter is None else filter, "filter")
        refuse_nearness(raw)
        find = Find(
            raw,
            stored(projection_of(projection), "projection", self._codec),
            sort_of(sort),
            number_of(skip, "skip"),
            number_of(limit, "limit"),
            number_of(batch_size, "batch_size"),
            options_of(options, OF_FIND, self._codec),
        )
        return PastCursor(self._reader, find, self.codec_options)

    def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> DocumentType | None:
        """Return a document of the version, None where none matches.

        Args:
            filter: A filter, or the ``_id`` of the document.
            *args: See `find`.
            **kwargs: See `find`.
        """
        if filter is not None and not isinstance(filter, Mapping):
            filter = {"_id": filter}
        return next(self.find(filter, *args, **kwargs).limit(1), None)

    def aggregate(self, pipeline: Any, *, batch_size: int = 0, **options: Any) -> PastResults[Any]:
        """Run an aggregation over the documents of the version.

        The first ``$match`` stages use indexes. Other collections that stages read are read as
        they are now, this one too.

        Args:
            pipeline: A list of stages.
            batch_size: See `find`; ``batchSize`` means the same.
            **options: See `find`; all but ``no_cursor_timeout``.

        Returns:
            A cursor; nothing is read before the first document is asked for.

        Raises:
            InvalidType: An argument has the wrong type.
            InvalidArgument: BSON cannot hold the pipeline, or there is no such option.
            NotSupported: A stage writes, or works on a whole collection alone.
        """
        stages = stages_of(pipeline, self._codec)
        size = number_of(batch_size, "batch_size")
        sent = {"batchSize": size, **options_of(options, OF_AGGREGATE, self._codec)}
        return PastResults(partial(self._reader.aggregate, stages, sent), self.codec_options)

    def count_documents(
        self, filter: Mapping[str, Any], *, skip: int = 0, limit: int = 0, **options: Any
    ) -> int:
        """Return how many documents of the version match a filter.

        Args:
            filter: The filter.
            skip: How many documents to pass over.
            limit: Count no further; 0 for all.
            **options: See `aggregate`.

        Raises:
            InvalidType: An argument has the wrong type.
            InvalidArgument: BSON cannot hold the filter, or there is no such option.
            NotSupported: The filter holds ``$where``.
        """
        raw = self._codec.document(filter, "filter")
        refuse_scripts(raw)
        pipeline: list[Any] = [{"$match": RawBSONDocument(raw)}]
        if number_of(skip, "skip"):
            pipeline.append({"$skip": skip})
        if number_of(limit, "limit"):
            pipeline.append({"$limit": limit})
        counted = self.aggregate([*pipeline, {"$group": {"_id": 1, "n": {"$sum": 1}}}], **options)
        return int(next(counted, {"n": 0})["n"])

    def estimated_document_count(self, **options: Any) -> int:
        """Return how many documents the version has: exactly, as it costs a count.

        Args:
            **options: See `aggregate`.
        """
        return self.count_documents({}, **options)

    def distinct(
        self, key: str, filter: Mapping[str, Any] | None = None, **options: Any
    ) -> list[Any]:
        """Return the distinct values of a field among the documents of the version.

        Args:
            key: The field, with dots for nested ones.
            filter: Which documents count; all where it is left out.
            **options: ``collation``, ``comment``, ``max_time_ms``.

        Raises:
            InvalidType: An argument has the wrong type.
            InvalidArgument: BSON cannot hold the filter, or there is no such option.
            NotSupported: The collection is sharded, and the version was not prepared as a whole.
        """
        if not isinstance(key, str):
            raise InvalidType("key is the name of a field", argument=key)
        raw = self._codec.document({} if filter is None else filter, "filter")
        sent = options_of(options, OF_DISTINCT, self._codec)
        found = self._reader.distinct(key, raw, sent)
        return [bson.decode(value, self.codec_options)[""] for value in found]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.full_name!r}, {self.version.label!r})"


def _refusing(method: str) -> Callable[..., NoReturn]:
    def refuse(self: PastCollection[Any], *args: Any, **kwargs: Any) -> NoReturn:
        raise ReadOnlyVersion(
            f"{method}() writes, and version {self.version.label} is recorded for good: "
            "checkout() it to work on from there, or restore() its documents into the collection",
            method=method,
        )

    refuse.__name__ = method
    refuse.__doc__ = "Raise `ReadOnlyVersion`."
    return refuse


for _method in WRITES:
    setattr(PastCollection, _method, _refusing(_method))
