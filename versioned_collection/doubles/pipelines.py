"""Aggregations, stage by stage: some here, the others by mongomock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import bson

from versioned_collection.doubles.order import sorted_by
from versioned_collection.doubles.place import (
    Document,
    Place,
    at_this_time,
    encoded,
    matching,
    plain,
    timed,
)
from versioned_collection.doubles.refusals import NotMocked, refusing

_SIZE = {"$bsonSize": "$$ROOT"}
_SIZE_FIELD = "size of the document"


def aggregated(database: Any, place: Place | None, stages: Sequence[Any]) -> list[Document]:
    """Return what stages make of the documents of a collection, or of none."""
    if place is None:
        return run_stages(database, [], stages)
    first = stages[0] if stages else {}
    if "$match" in first:
        found = list(place.matching(first["$match"]))
        return run_stages(database, found, stages[1:])
    return run_stages(database, place.all(), stages)


def run_stages(database: Any, documents: list[Document], stages: Sequence[Any]) -> list[Document]:
    """Return what stages make of documents, which stay as they are."""
    for stage in stages:
        [(name, options)] = plain(stage).items()
        own = _OWN.get(name)
        with refusing():
            if own is not None:
                documents = own(database, documents, options)
            else:
                documents = _by_mongomock(database, documents, name, options)
    return documents


def _by_mongomock(
    database: Any, documents: list[Document], name: str, options: Any
) -> list[Document]:
    from mongomock.aggregate import process_pipeline

    copies = copy.deepcopy(documents)
    if name == "$group":
        for one in copies if _asks_for_size(options) else ():
            one[_SIZE_FIELD] = len(bson.encode(one))
        options = _with_size_from_field(options)
    return list(process_pipeline(copies, database, [{name: _folded(options)}], None))


def _asks_for_size(expression: Any) -> bool:
    return bool(_with_size_from_field(expression) != expression)


def _with_size_from_field(expression: Any) -> Any:
    """Return an expression that finds the size of a document in a field of it."""
    if expression == _SIZE:
        return f"${_SIZE_FIELD}"
    if isinstance(expression, dict):
        return {name: _with_size_from_field(value) for name, value in expression.items()}
    return expression


def _folded(expression: Any) -> Any:
    """Return an expression with the present time, and times a while from it, as constants."""
    if isinstance(expression, list):
        return [_folded(one) for one in expression]
    if not isinstance(expression, dict) or "$literal" in expression:
        return at_this_time(expression)
    folded = {name: _folded(value) for name, value in expression.items()}
    times = folded.get("$add")
    if isinstance(times, list) and len(times) == 2 and isinstance(times[0], dict):
        time, milliseconds = times[0].get("$literal"), times[1]
        if isinstance(time, datetime) and isinstance(milliseconds, (int, float)):
            return {"$literal": time + timedelta(milliseconds=milliseconds)}
    return folded


# -- stages that mongomock does not have, or has otherwise ----------------------------------


def _match(database: Any, documents: list[Document], options: Any) -> list[Document]:
    del database
    return list(matching(documents, timed(options)))


def _sort(database: Any, documents: list[Document], options: Any) -> list[Document]:
    del database
    if any(isinstance(way, dict) for way in options.values()):
        raise NotMocked("it has no scores to sort by")
    return sorted_by(documents, options)


def _limit(database: Any, documents: list[Document], options: Any) -> list[Document]:
    del database
    return documents[: int(options)]


def _skip(database: Any, documents: list[Document], options: Any) -> list[Document]:
    del database
    return documents[int(options) :]


def _count(database: Any, documents: list[Document], options: Any) -> list[Document]:
    del database
    return [{options: len(documents)}] if documents else []


def _union_with(database: Any, documents: list[Document], options: Any) -> list[Document]:
    facts = {"coll": options} if isinstance(options, str) else options
    other = Place(database.get_collection(facts["coll"]))
    stages = list(map(encoded, facts.get("pipeline", [])))
    return [*documents, *aggregated(database, other, stages)]


def _documents(database: Any, documents: list[Document], options: Any) -> list[Document]:
    del database, documents
    listed = options.get("$literal") if isinstance(options, dict) else options
    if not isinstance(listed, list):
        raise NotMocked("it takes documents of $documents as a list alone")
    return listed


def _replace_with(database: Any, documents: list[Document], options: Any) -> list[Document]:
    return _by_mongomock(database, documents, "$replaceRoot", {"newRoot": options})


def _unset(database: Any, documents: list[Document], options: Any) -> list[Document]:
    names = [options] if isinstance(options, str) else options
    return _by_mongomock(database, documents, "$project", dict.fromkeys(names, 0))


_OWN: dict[str, Callable[[Any, list[Document], Any], list[Document]]] = {
    "$match": _match,
    "$sort": _sort,
    "$limit": _limit,
    "$skip": _skip,
    "$count": _count,
    "$unionWith": _union_with,
    "$documents": _documents,
    "$replaceWith": _replace_with,
    "$unset": _unset,
}
