"""Documents and values as Extended JSON, in and out; numbers of things in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_NULL = b"\x0a"
"""The key of the ``_id`` null: BSON's type byte for it, and no value."""


def dump(value: Any, indent: int | None = None) -> str:
    """Return a value as relaxed Extended JSON; `bson.json_util.loads` reads it back."""
    from bson import json_util

    return json_util.dumps(
        plain(value),
        json_options=json_util.RELAXED_JSON_OPTIONS,
        indent=indent,
        ensure_ascii=False,
    )


def dump_exactly(value: Any, indent: int | None = None) -> str:
    """Return a value as Extended JSON that keeps apart what `dump` writes alike.

    That is short and long integers: a value that is read back and stored has the same types.
    """
    return dump(_with_long_integers(plain(value)), indent)


def _with_long_integers(value: Any) -> Any:
    from bson.int64 import Int64

    if isinstance(value, Int64):
        return {"$numberLong": str(int(value))}
    if isinstance(value, dict):
        return {name: _with_long_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_long_integers(item) for item in value]
    return value


def counted(number: int, thing: str = "document", things: str | None = None) -> str:
    """Return a number of things in words; their plural has an ``s`` where no other is given."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def plain(value: Any) -> Any:
    """Return a value made of what JSON and Extended JSON know.

    Documents that were not decoded yet are, ids that Python cannot hash become what they
    stand for, sets and tuples become lists, and everything unknown becomes text.
    """
    from bson import json_util
    from bson.raw_bson import RawBSONDocument

    from versioned_collection import DocumentId
    from versioned_collection.core.diff import readable

    if isinstance(value, RawBSONDocument):
        return plain(readable(value))
    if isinstance(value, DocumentId):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {_name(name): plain(item) for name, item in value.items()}
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    try:
        json_util.default(value)
    except (TypeError, ValueError):
        return value if isinstance(value, (int, float, type(None))) else str(value)
    return value


def _name(name: Any) -> str:
    return name if isinstance(name, str) else dump(name)


def load(text: str) -> Any:
    """Return the value of an Extended JSON text; dates may lie beyond those of Python.

    Raises:
        ValueError: It is none.
    """
    from bson import json_util
    from bson.codec_options import DatetimeConversion
    from bson.errors import BSONError

    options = json_util.JSONOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    try:
        return json_util.loads(text, json_options=options)
    except (TypeError, KeyError, ArithmeticError, RecursionError, BSONError) as error:
        # malformed wrappers such as {"$oid": 1}, or more levels than anybody reads
        raise ValueError(str(error)) from error


def load_document(text: str, what: str) -> dict[str, Any]:
    """Return the value of an Extended JSON text that has to be an object.

    Raises:
        ValueError: It is something else; `what` says what was asked for.
    """
    try:
        value = load(text)
    except ValueError as error:
        raise ValueError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what} is a JSON object such as '{{\"key\": 1}}'")
    return value


def load_id(text: str) -> Any:
    """Return the ``_id`` that a person means: Extended JSON, or else the text itself."""
    from versioned_collection import DocumentId

    try:
        value = load(text)
    except ValueError:
        return text
    return DocumentId(_NULL) if value is None else value


def printable(text: str) -> str:
    """Return a text in which nothing can drive a terminal; JSON stays the same JSON."""
    if text.isprintable():
        return text
    return "".join(
        one if one in "\n\t" or one.isprintable() else json.dumps(one)[1:-1] for one in text
    )
