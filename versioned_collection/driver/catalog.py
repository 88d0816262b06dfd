"""What a server says of its collections; rules may hold dates that Python does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.errors import InvalidBSON
from pymongo.database import Database

from versioned_collection.core.document import PLAIN_OPTIONS


def list_collections(db: Database[Any], filter_: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of some collections, so few that they fit into one reply."""
    reply = db.command("listCollections", filter=filter_, codec_options=PLAIN_OPTIONS)
    found: list[dict[str, Any]] = reply["cursor"]["firstBatch"]
    return found


def list_indexes(db: Database[Any], name: str) -> list[dict[str, Any]]:
    """Return the indexes of a collection; none where it is missing.

    Raises:
        OperationFailure: It is a view, or the user may not look.
    """
    try:
        return [dict(index) for index in db[name].list_indexes()]
    except InvalidBSON:  # PyMongo decodes them by options of its own
        reply = db.command("listIndexes", name, codec_options=PLAIN_OPTIONS)
        return list(reply["cursor"]["firstBatch"])
