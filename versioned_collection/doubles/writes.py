"""Statements that change documents, carried out one after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import build, element, elements, key_of
from versioned_collection.doubles.order import sorted_by
from versioned_collection.doubles.pipelines import run_stages
from versioned_collection.doubles.place import Document, Place, held, plain, refuse_loss
from versioned_collection.doubles.refusals import (
    FAILED_TO_PARSE,
    NotMocked,
    Refusal,
    refuse_options,
    refusing,
)

Statement = Mapping[str, Any]
Written = dict[str, Any]


def in_turn(
    statements: Iterable[Any], ordered: bool, write: Callable[[Any, int, Written], None]
) -> Written:
    """Carry statements out, up to the first refusal where they are ordered.

    Returns:
        What a server replies.
    """
    outcome: Written = {"n": 0}
    for index, statement in enumerate(statements):
        try:
            write(statement, index, outcome)
        except NotMocked:
            raise
        except Refusal as refusal:
            outcome.setdefault("writeErrors", []).append(refusal.write_error(index))
            if ordered:
                break
    return {**outcome, "ok": 1.0}


def insert(place: Place, raw: RawBSONDocument, index: int, outcome: Written) -> None:
    """Insert a document."""
    del index
    place.put(held(raw))
    outcome["n"] += 1


def delete(place: Place, statement: Statement, index: int, outcome: Written) -> None:
    """Delete the first, or all, of the documents that match."""
    del index
    refuse_options(statement)
    found = list(place.matching(statement["q"]))
    for document in found[: statement["limit"] or None]:
        place.take(document)
        outcome["n"] += 1


def update(place: Place, statement: Statement, index: int, outcome: Written) -> None:
    """Update the first, or all, of the documents that match, or make one."""
    refuse_options(statement)
    query, change = statement["q"], statement["u"]
    found = list(place.matching(query))
    if statement.get("sort"):
        found = sorted_by(found, plain(statement["sort"]))
    outcome.setdefault("nModified", 0)
    for document in found if statement.get("multi") else found[:1]:
        outcome["n"] += 1
        outcome["nModified"] += replace(place, document, query, change)[1]
    if not found and statement.get("upsert"):
        made = upserted(place, query, change)
        outcome["n"] += 1
        outcome.setdefault("upserted", []).append({"index": index, "_id": made["_id"]})


def replace(place: Place, document: Document, query: Any, change: Any) -> tuple[Document, bool]:
    """Change a document; return what became of it, and whether that is something else."""
    changed = _changed(place, document, query, change)
    if bson.encode(changed) == bson.encode(document):
        return document, False
    place.put(changed, document)
    return changed, True


def upserted(place: Place, query: Any, change: Any) -> Document:
    """Make the document that an update asks for where there is none."""
    asked = {name: _wanted(value) for name, value in plain(query).items()}
    if _is_replacement(change):
        made = _replacement(change, asked if "_id" in _only_id(asked) else None)
    elif isinstance(change, list):
        made = _through_stages(place, {**_only_id(asked)}, change)
        made = {"_id": bson.ObjectId(), **made} if "_id" not in made else made
    else:
        made = _by_operators(place, None, asked, _exact(change))
    place.put(made)
    return made


def _changed(place: Place, document: Document, query: Any, change: Any) -> Document:
    if _is_replacement(change):
        return _replacement(change, document)
    if isinstance(change, list):
        return _through_stages(place, document, change)
    return _by_operators(place, document, plain(query), _exact(change))


def _replacement(change: RawBSONDocument, before: Document | None) -> Document:
    """Return what a document is replaced by, which has the id of that one where it has none."""
    raw = bytes(change.raw)
    if before is None or any(name == b"_id" for _, name, _, _ in elements(raw)):
        return held(change)
    return held(RawBSONDocument(build(element(b"_id", key_of(before["_id"])), raw[4:-1])))


def _exact(change: RawBSONDocument) -> Document:
    """Return update operators, of which none is about a value that Python cannot hold."""
    refuse_loss(bytes(change.raw))
    found: Document = plain(change)
    return found


def _is_replacement(change: Any) -> bool:
    if isinstance(change, list):
        return False
    names = list(plain(change))
    if not any(name.startswith("$") for name in names):
        return True
    if not all(name.startswith("$") for name in names):
        raise Refusal(FAILED_TO_PARSE, "operators and fields do not go together in an update")
    return False


def _through_stages(place: Place, document: Document, stages: list[Any]) -> Document:
    literal = _literal_in(stages)
    if literal is not None:
        return held(literal)
    found = run_stages(place.collection.database, [copy.deepcopy(document)], stages)
    return found[0]


def _literal_in(stages: list[Any]) -> RawBSONDocument | None:
    """Return the document by which stages replace any, which no expression may touch."""
    stage = stages[0] if len(stages) == 1 else {}
    replacement = stage.get("$replaceWith", {})
    literal = replacement.get("$literal") if isinstance(replacement, Mapping) else None
    return literal if isinstance(literal, RawBSONDocument) else None


def _by_operators(
    place: Place, document: Document | None, query: Document, change: Document
) -> Document:
    """Return what update operators make of a document.

    It happens in a collection of its own, so that nothing is half done where one fails.
    """
    scratch = type(place.collection.database.client)()["scratch"]["one"]
    with refusing():
        if document is not None:
            scratch._store[0] = copy.deepcopy(document)
            query = query if _is_positional(change) else {}
        scratch.update_one(query, change, upsert=document is None)
        found = next(iter(scratch._store.documents))
    return {"_id": found["_id"], **found}


def _is_positional(change: Document) -> bool:
    return any("$" in path for paths in change.values() for path in paths)


def _wanted(value: Any) -> Any:
    """Return what a condition of equality is about, other conditions as they are."""
    is_equality = isinstance(value, dict) and list(value) == ["$eq"]
    return value["$eq"] if is_equality else value


def _only_id(asked: Document) -> Document:
    id_ = asked.get("_id")
    is_operator = isinstance(id_, dict) and any(name.startswith("$") for name in id_)
    return {} if "_id" not in asked or is_operator else {"_id": id_}
