"""Projections: which fields of a document whoever reads asks for."""

from __future__ import annotations

from versioned_collection.doubles.place import Document, Place
from versioned_collection.doubles.refusals import BAD_VALUE, Refusal


def projected(place: Place, document: Document, projection: Document) -> Document:
    """Return the fields of a document that are asked for."""
    if not projection:
        return document
    if any("." in name or isinstance(value, (dict, str)) for name, value in projection.items()):
        fields: Document = place.collection._copy_only_fields(document, projection, dict)
        return fields
    others = {name: value for name, value in projection.items() if name != "_id"}
    keeps = any(others.values()) if others else bool(projection["_id"])
    wanted = {name for name, value in projection.items() if bool(value) == keeps}
    if not wanted.issuperset(others):
        raise Refusal(BAD_VALUE, "a projection names the fields to keep, or those to leave out")
    if keeps and projection.get("_id", 1):
        wanted.add("_id")
    return {name: value for name, value in document.items() if (name in wanted) == keeps}
