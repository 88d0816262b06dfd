"""Commands that read the sources of a plan, each document from the one that it is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import (
    RAW_OPTIONS,
    DocumentKey,
    build,
    document_key,
    element,
    elements,
    raw_id_in,
)
from versioned_collection.core.portions import BYTES_OF_IDS, portions
from versioned_collection.driver.wire import batches, documents, read_concern, run
from versioned_collection.past.indexes import has_index
from versioned_collection.past.plan import Plan, Source
from versioned_collection.past.query import LARGEST_NUMBER, Find, joined

_AT_ONCE, _LARGEST_BATCH = 1_000, 20_000

Batches = Iterator[list[bytes]]


class NeedsAll(Exception):
    """The query needs all documents in one collection."""


def need_one(plan: Plan) -> None:
    """Go on only where one collection holds the version.

    Raises:
        NeedsAll: There are several.
    """
    if len(plan.sources) > 1:
        raise NeedsAll


def collation_option(plan: Plan, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the option that makes all sources compare like the tracked collection."""
    collation = options.get("collation") or plan.collation
    return {} if collation is None else {"collation": collation}


def _options(db: Any, plan: Plan, source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a command; hints go to the collections that know the index.

    Of an index that the tracked collection does not know, the server says so.
    """
    found = {**options, **collation_option(plan, options)}
    hint = found.get("hint")
    if hint is not None and source.name != plan.tracked and not has_index(db, source.name, hint):
        del found["hint"]
    return found


# -- without an order ------------------------------------------------------------------------


def unsorted(db: Any, plan: Plan, find: Find) -> Batches:
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
        largest_batch=size,  # as few of the next ones, or none, may count
        **_options(db, plan, source, find.options),
    )
    for batch in found:
        if find.keeps_ids and (source.without or source.only is not None):
            batch = [raw for raw in batch if document_key(raw) in source]
        yield batch


# -- in order --------------------------------------------------------------------------------


def in_order(db: Any, plan: Plan, find: Find) -> Batches:
    """Read what a find asks for, as it is sorted.

    Raises:
        NeedsAll: Several collections cannot answer it.
    """
    if not find.is_ranked and not find.is_for_find_alone:
        return _sorted_by_stages(db, plan, find)
    if len(plan.sources) == 1:
        return _sorted_by_find(db, plan, find)
    if find.is_ranked or not find.keeps_ids:
        raise NeedsAll  # neither scores nor ids lead back to documents of several collections
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
    return aggregated(db, plan, find.filter, stages, options, before)


def _looked_up(db: Any, plan: Plan, find: Find, keys: list[DocumentKey]) -> Batches:
    """Read documents in a given order, with a projection that only a find can make."""
    for portion in portions(keys, len, _AT_ONCE, BYTES_OF_IDS):
        some = joined(find.filter, raw_id_in(portion))
        one = replace(find, filter=some, sort=[], skip=0, limit=0)
        found = {document_key(raw): raw for batch in unsorted(db, plan, one) for raw in batch}
        yield [found[key] for key in portion]


def aggregated(
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


def distinct(
    db: Any, plan: Plan, source: Source, key: str, filter_: bytes, options: Mapping[str, Any]
) -> list[bytes]:
    """Return the distinct values in one source, each as a document ``{"": value}``."""
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
