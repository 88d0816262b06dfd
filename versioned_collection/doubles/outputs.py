"""The last stage of an aggregation that writes what it found to a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.doubles.place import Document, Place, encoded, plain
from versioned_collection.doubles.refusals import BAD_VALUE, NotMocked, Refusal
from versioned_collection.driver.server_errors import DUPLICATE_KEY

_DOCUMENT_NOT_FOUND = 13113
_FOUND = ("merge", "replace", "keepExisting", "fail")
_MISSING = ("insert", "discard", "fail")


def merged_into(database: Any, found: Sequence[Document], stage: Mapping[str, Any]) -> None:
    """Write documents as a stage ``$out`` or ``$merge`` says.

    Raises:
        Refusal: A document is in the way, or the stage is none.
        NotMocked: It is one that a server knows, and that is not known here.
    """
    documents = [{"_id": one.get("_id", ObjectId()), **one} for one in found]
    if "$out" in stage:
        _target(database, plain(stage["$out"])).refill(documents)
        return
    options = plain(stage["$merge"])
    options = {"into": options} if isinstance(options, str) else options
    where_found = options.get("whenMatched", "merge")
    where_missing = options.get("whenNotMatched", "insert")
    if options.get("on", "_id") not in ("_id", ["_id"]):
        raise NotMocked("its $merge finds documents by their ids alone")
    if where_found not in _FOUND or where_missing not in _MISSING:
        raise NotMocked(f"its $merge knows {', '.join(_FOUND)}; {', '.join(_MISSING)}")
    target = _target(database, options["into"])
    for document in documents:
        present = next(target.matching(encoded({"_id": {"$eq": document["_id"]}})), None)
        _merge(target, document, present, where_missing if present is None else where_found)


def _merge(target: Place, document: Document, present: Document | None, how: str) -> None:
    if how == "fail":
        code = _DOCUMENT_NOT_FOUND if present is None else DUPLICATE_KEY
        raise Refusal(code, f"$merge failed at the document with _id {document['_id']!r}")
    if how == "merge" and present is not None:
        document = {**present, **document, "_id": present["_id"]}
    if how not in ("keepExisting", "discard"):
        target.put(document, present)


def _target(database: Any, named: Any) -> Place:
    """Return the collection to which a stage writes."""
    if isinstance(named, dict):
        database = database.client[named.get("db", database.name)]
        named = named["coll"]
    if not isinstance(named, str):
        raise Refusal(BAD_VALUE, "the stage does not name a collection")
    return Place(database.get_collection(named))
