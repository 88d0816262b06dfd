"""Reading a version: each document from where the plan says, all of one moment, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver

from versioned_collection.core.document import (
    RAW_OPTIONS,
    DocumentKey,
    build,
    document_key,
    element,
    elements,
    raw_id_in,
    twin_token,
)
from versioned_collection.core.version import VersionId
from versioned_collection.errors import NotSupported, SnapshotUnavailable
from versioned_collection.past.indexes import has_index
from versioned_collection.past.plan import Plan, Planner, Source
from versioned_collection.past.query import LARGEST_NUMBER, Find, Stages, joined, searches_text
from versioned_collection.sharding import is_sharded
from versioned_collection.wire import BYTES_OF_IDS, batches, documents, portions, read_concern, run

_ATTEMPTS = 5
_GONE = frozenset((175, 361))
"""What the server says where a collection is dropped or renamed under a cursor."""

_BATCH, _LARGEST_BATCH = 1_000, 20_000

_HELD = 1024 * 1024
"""Bytes that wait until it is certain that what was read can be used."""

Batches = Iterator[list[bytes]]
Reading = Callable[[Plan], Batches]


@dataclass(frozen=True)
class _Question:
    """How something is asked of a version.

    Attributes:
        read: Reads it by a plan.
        collation: That of queries which leave ids out, None where there are none.
        searches: Whether it is a text search.
        most: How many documents, or so, wait until it is certain that the plan held.
        anew: Whether other collections are read, too, as they are now.
    """

    read: Reading
    collation: Any
    searches: bool
    most: int = _BATCH
    anew: bool = False


class Reader:
    """Reads one version.

    Args:
        planner: Knows what serves a version.
        version: The version.
    """

    def __init__(self, planner: Planner, version: VersionId) -> None:
        self._planner = planner
        self._version = version

    # -- what can be asked ---------------------------------------------------------------

    def find(self, find: Find) -> Iterator[bytes]:
        """Iterate over the documents that a find asks for."""
        are_left_out = find.sort or not find.keeps_ids  # by queries, else here
        return self._found(
            find,
            _Question(
                lambda plan: (_sorted if find.sort else _unsorted)(self._db, plan, find),
                find.options.get("collation") if are_left_out else None,
                searches_text(find.filter),
                find.batch_size or _BATCH,
            ),
        )

    def _found(self, find: Find, question: _Question) -> Iterator[bytes]:
        found = self._read(question)
        if not find.sort:
            last = min(find.skip + find.limit, LARGEST_NUMBER) if find.limit else None
            found = islice(found, find.skip, last)
        return map(_without_id, found) if find.drops_ids else found

    def aggregate(self, stages: Stages, options: Mapping[str, Any]) -> Iterator[bytes]:
        """Iterate over what an aggregation returns."""

        def read(plan: Plan) -> Batches:
            if stages.are_ranked:
                _need_one(plan)
            return _aggregated(self._db, plan, stages.filter, stages.rest, options)

        return self._read(
            _Question(
                read,
                options.get("collation"),
                searches_text(stages.filter),
                options.get("batchSize") or _BATCH,
                anew=stages.joins,
            )
        )

    def distinct(self, key: str, filter_: bytes, options: Mapping[str, Any]) -> list[bytes]:
        """Return the distinct values of a field, each as a document ``{"": value}``."""
        found: dict[Any, bytes] = {}

        def read(plan: Plan) -> Batches:
            if _collation(plan, options):
                _need_one(plan)
            self._refuse_shards(plan)
            for source in plan.sources:
                yield _distinct(self._db, plan, source, key, filter_, options)

        for value in self._read(_Question(read, options.get("collation"), searches_text(filter_))):
            found.setdefault(twin_token(_only_value(value)), value)
        return list(found.values())

    def _refuse_shards(self, plan: Plan) -> None:
        """Refuse what would look at the shards of a collection at different moments.

        Raises:
            NotSupported: A source is sharded: there ``distinct`` takes no cluster time.
        """
        if plan.at is None:
            return
        for source in plan.sources:
            if is_sharded(self._planner.repository, source.name):
                raise NotSupported(
                    f"{source.name!r} is sharded, and distinct reads no moment of such a "
                    "collection; use aggregate with $group, or call prepare(whole=True) first, "
                    "which makes a copy on one shard",
                    collection=source.name,
                    reason="distinct on a sharded collection takes no cluster time",
                )

    # -- one moment ----------------------------------------------------------------------

    @property
    def _db(self) -> Any:
        return self._planner.repository.db

    def _read(self, question: _Question) -> Iterator[bytes]:
        """Iterate over what is read by a plan, once it is certain that the plan held.

        The last batches wait until then, so short reads are simply repeated.
        """
        whole = False
        for attempt in range(1, _ATTEMPTS + 1):
            if question.anew or attempt > 1:
                self._planner.forget()
            plan = self._plan(question, whole)
            begun = False
            held: list[bytes] = []
            try:
                for batch in question.read(plan):
                    if sum(map(len, held)) > _HELD or len(held) >= question.most:
                        begun = True
                        yield from held
                        held = []
                    held += batch
                if plan.still_holds(self._planner.repository):
                    yield from held
                    return
            except _NeedsAll:
                whole = True
                continue
            except (SnapshotUnavailable, driver.OperationFailure) as error:
                if not _is_gone(error):
                    raise
            if begun:
                break
        self._planner.forget()
        raise SnapshotUnavailable(
            "other clients dropped, renamed or indexed what was being read, or reading took "
            "longer than the server keeps snapshots; read again, or call prepare(whole=True) "
            "first, which makes a copy that is not bound to a moment",
            version=self._version,
        )

    def _plan(self, question: _Question, whole: bool) -> Plan:
        plan = self._planner.plan(self._version, whole=whole)
        if _confuses(plan, question.collation):
            plan = self._planner.plan(self._version, whole=True)
        if question.searches:
            plan = self._planner.searchable(self._version, plan)
        return plan


class _NeedsAll(Exception):
    """The query needs all documents in one collection."""


def _need_one(plan: Plan) -> None:
    if len(plan.sources) > 1:
        raise _NeedsAll


def _is_gone(error: Exception) -> bool:
    return isinstance(error, SnapshotUnavailable) or getattr(error, "code", None) in _GONE


def _confuses(plan: Plan, collation: Any) -> bool:
    """Tell whether a query would take ids for the same that are two documents."""
    if collation is None:
        return False
    is_finest = collation.get("locale") == "simple" or collation == plan.collation
    return not is_finest and plan.names_texts


def _collation(plan: Plan, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the option that makes all sources compare like the tracked collection."""
    collation = options.get("collation") or plan.collation
    return {} if collation is None else {"collation": collation}


def _options(db: Any, plan: Plan, source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a command; hints go to the collections that know the index.

    Of an index that the tracked collection does not know, the server says so.
    """
    found = {**options, **_collation(plan, options)}
    hint = found.get("hint")
    if hint is not None and source.name != plan.tracked and not has_index(db, source.name, hint):
        del found["hint"]
    return found


# -- without an order ------------------------------------------------------------------------


def _unsorted(db: Any, plan: Plan, find: Find) -> Batches:
    """Read one source after the other; what does not count is left out here."""
    wanted = find.skip + find.limit if find.limit else None
    for source in plan.sources:
        for batch in _of_source(db, plan, source, find, wanted):
            yield batch
            if wanted is not None:
                wanted -= len(batch)
                if wanted <= 0:
                    return


def _of_source(db: Any, plan: Plan, source: Source, find: Find, wanted: int | None) -> Batches:
    filter_ = joined(find.filter, source.wanted, None if find.keeps_ids else source.unwanted)
    projection = find.projection
    if find.drops_ids:
        projection = {name: value for name, value in (projection or {}).items() if name != "_id"}
    size = find.batch_size or _LARGEST_BATCH
    found = documents(
        db,
        source.name,
        RawBSONDocument(filter_, RAW_OPTIONS),
        at=plan.at,
        projection=projection,
        batch_size=size if wanted is None else min(size, wanted + 1),
        **_options(db, plan, source, find.options),
    )
    for batch in found:
        if find.keeps_ids and (source.without or source.only is not None):
            batch = [raw for raw in batch if document_key(raw) in source]
        yield batch


# -- in order --------------------------------------------------------------------------------


def _sorted(db: Any, plan: Plan, find: Find) -> Batches:
    if not find.is_ranked and not find.is_for_find_alone:
        return _sorted_by_stages(db, plan, find)
    if len(plan.sources) == 1:
        return _sorted_by_find(db, plan, find)
    if find.is_ranked or not find.keeps_ids:
        raise _NeedsAll  # neither scores nor ids lead back to documents of several collections
    return _sorted_and_looked_up(db, plan, find)


def _sorted_by_find(db: Any, plan: Plan, find: Find) -> Batches:
    source = plan.sources[0]
    filter_ = joined(find.filter, source.wanted, source.unwanted)
    return documents(
        db,
        source.name,
        RawBSONDocument(filter_, RAW_OPTIONS),
        sort=dict(find.sort),
        at=plan.at,
        projection=find.projection,
        batch_size=find.batch_size or _LARGEST_BATCH,
        skip=find.skip,
        limit=find.limit,
        **_options(db, plan, source, find.options),
    )


def _sorted_and_looked_up(db: Any, plan: Plan, find: Find) -> Batches:
    for batch in _sorted_by_stages(db, plan, replace(find, projection={"_id": 1})):
        yield from _looked_up(db, plan, find, list(map(document_key, batch)))


def _sorted_by_stages(db: Any, plan: Plan, find: Find) -> Batches:
    order = RawBSONDocument(bson.encode({"$sort": dict(find.sort)}))
    stages: list[Any] = [order]
    before: list[Any] = []
    if find.limit and find.skip + find.limit <= LARGEST_NUMBER:
        before = [order, {"$limit": find.skip + find.limit}]
    if find.skip:
        stages.append({"$skip": find.skip})
    if find.limit:
        stages.append({"$limit": find.limit})
    options = {**find.options, "batchSize": find.batch_size}
    if find.projection and not find.drops_ids:
        stages.append({"$project": find.projection})
    elif find.projection:
        kept = {name: value for name, value in find.projection.items() if name != "_id"}
        stages += [{"$project": kept}] if kept else []
    return _aggregated(db, plan, find.filter, stages, options, before)


def _looked_up(db: Any, plan: Plan, find: Find, keys: list[DocumentKey]) -> Batches:
    """Read documents in a given order, with a projection that only a find can make."""
    for portion in portions(keys, len, _BATCH, BYTES_OF_IDS):
        some = joined(find.filter, raw_id_in(portion))
        one = replace(find, filter=some, sort=[], skip=0, limit=0)
        found = {document_key(raw): raw for batch in _unsorted(db, plan, one) for raw in batch}
        yield [found[key] for key in portion]


def _aggregated(
    db: Any,
    plan: Plan,
    filter_: bytes,
    stages: Iterable[Any],
    options: Mapping[str, Any],
    before: Iterable[Any] = (),
) -> Batches:
    """Run stages over the documents of all sources that match a filter.

    Args:
        db: The database.
        plan: What to read.
        filter_: The filter; each source uses its indexes for it.
        stages: The stages.
        options: Options of the command.
        before: Stages that each source goes through first.
    """
    base, *others = plan.sources
    pipeline = [*_begun(base, filter_), *before]
    for source in others:
        arm = [*_begun(source, filter_), *before]
        pipeline.append({"$unionWith": {"coll": source.name, "pipeline": arm}})
    found = _options(db, plan, base, options)
    found.pop("noCursorTimeout", None)  # which a find alone takes
    size = found.pop("batchSize", 0) or _LARGEST_BATCH
    command = {
        "aggregate": base.name,
        "pipeline": [*pipeline, *stages],
        "cursor": {"batchSize": size},
        **found,
        **read_concern(plan.at),
    }
    yield from batches(db, command)


def _begun(source: Source, filter_: bytes) -> list[Any]:
    matched = joined(filter_, source.wanted, source.unwanted)
    return [RawBSONDocument(build(b"\x03$match\0" + matched))]


# -- values ----------------------------------------------------------------------------------


def _distinct(
    db: Any, plan: Plan, source: Source, key: str, filter_: bytes, options: Mapping[str, Any]
) -> list[bytes]:
    query = joined(filter_, source.wanted, source.unwanted)
    reply = run(
        db,
        {
            "distinct": source.name,
            "key": key,
            "query": RawBSONDocument(query, RAW_OPTIONS),
            **_options(db, plan, source, options),
            **read_concern(plan.at),
        },
    )
    raw = bytes(reply.raw)  # type: ignore[attr-defined]
    for _, name, start, end in elements(raw):
        if name == b"values":
            values = raw[start:end]
            return [
                build(element(b"", bytes((kind,)) + values[first:last]))
                for kind, _, first, last in elements(values)
            ]
    return []


def _only_value(raw: bytes) -> DocumentKey:
    kind, _, start, end = next(elements(raw))
    return bytes((kind,)) + raw[start:end]


def _without_id(raw: bytes) -> bytes:
    return build(
        *(
            element(name, bytes((kind,)) + raw[start:end])
            for kind, name, start, end in elements(raw)
            if name != b"_id"
        )
    )
