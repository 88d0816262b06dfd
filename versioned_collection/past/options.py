"""Options of reads, as people pass them and as the server takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.codec import Codec
from versioned_collection.core.document import RAW_OPTIONS
from versioned_collection.errors import InvalidArgument
from versioned_collection.past.query import collation_of, flag_of, hint_of, number_of

OF_DISTINCT: Mapping[str, str] = {
    "collation": "collation",
    "comment": "comment",
    "max_time_ms": "maxTimeMS",
    "maxTimeMS": "maxTimeMS",
}
"""The names of options, and those by which the server knows them."""

_OF_QUERIES: Mapping[str, str] = {
    "allow_disk_use": "allowDiskUse",
    "allowDiskUse": "allowDiskUse",
    **OF_DISTINCT,
    "hint": "hint",
    "let": "let",
}

OF_AGGREGATE: Mapping[str, str] = {**_OF_QUERIES, "batchSize": "batchSize"}
OF_FIND: Mapping[str, str] = {**_OF_QUERIES, "no_cursor_timeout": "noCursorTimeout"}


def options_of(
    options: Mapping[str, Any], names: Mapping[str, str], codec: Codec
) -> dict[str, Any]:
    """Return options as the server takes them; those that are None are left out.

    Args:
        options: The options.
        names: Those that the read takes, as the server knows them.
        codec: Encodes values in them.

    Raises:
        InvalidType: One has the wrong type.
        InvalidArgument: There is no such option, or BSON cannot hold it.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "session" and value is None:
            continue
        if name not in names:
            raise InvalidArgument(
                f"this read of a version takes no {name!r}; it takes {', '.join(names)}",
                option=name,
            )
        if value is not None:
            found[names[name]] = _as_sent(names[name], value, codec)
    return found


def _as_sent(name: str, value: Any, codec: Codec) -> Any:
    if name in ("batchSize", "maxTimeMS"):
        return number_of(value, name)
    if name in ("allowDiskUse", "noCursorTimeout"):
        return flag_of(value, name)
    if name == "collation":
        return collation_of(value)
    if name == "hint":
        return hint_of(value)
    return stored(value, name, codec) if name == "let" else comment_of(value, codec)


def comment_of(value: Any, codec: Codec) -> Any:
    """Return a comment as the server has it.

    Raises:
        InvalidArgument: BSON cannot hold it.
    """
    return RawBSONDocument(codec.document({"comment": value}, "comment"), RAW_OPTIONS)["comment"]


def stored(value: Mapping[str, Any] | None, what: str, codec: Codec) -> dict[str, Any] | None:
    """Return a dict with values as the server has them, whatever codecs are registered."""
    return None if value is None else bson.decode(codec.document(value, what))
