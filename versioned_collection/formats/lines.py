"""JSON Lines: a document of Extended JSON on each line.

Canonical Extended JSON names every type, so each line is proved to lead back to the bytes of
its document before it is written. The relaxed kind is easier to read, and loses some types.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import bson
from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.json_util import JSONMode, JSONOptions

from versioned_collection.core.document import PLAIN_OPTIONS, document_key, id_value
from versioned_collection.errors import NotSupported
from versioned_collection.files import unusable
from versioned_collection.formats import Batches

_LONGEST = 256 * 1024 * 1024
"""Bytes of a line: more than any document takes."""


def _options(mode: int) -> JSONOptions:
    return JSONOptions(
        json_mode=mode, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )


_CANONICAL, _RELAXED = _options(JSONMode.CANONICAL), _options(JSONMode.RELAXED)

_NOT_EXPRESSIBLE = (
    bson.errors.BSONError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    SystemError,  # PyMongo before 4.20, for binary data of subtype 255
)
"""What encoding and decoding raise where a document cannot be said, or a line is none."""


def write(batches: Batches, out: BinaryIO, relaxed: bool = False) -> None:
    """Write documents; see `formats.write`.

    Args:
        batches: The documents.
        out: Takes the bytes.
        relaxed: Write numbers and dates as people do, and lose some of their types.
    """
    for batch in batches():
        out.write(b"".join(_line(raw, relaxed) for raw in batch))


def _line(raw: bytes, relaxed: bool) -> bytes:
    options = _RELAXED if relaxed else _CANONICAL
    try:
        fields = bson.decode(raw, PLAIN_OPTIONS)
        text = json_util.dumps(fields, json_options=options, ensure_ascii=False)
        if relaxed or bson.encode(json_util.loads(text, json_options=options)) == raw:
            return text.encode() + b"\n"
    except _NOT_EXPRESSIBLE:
        pass
    how = "" if relaxed else ", or with relaxed=True, which loses some types"
    key = document_key(raw)
    raise NotSupported(
        f"Extended JSON cannot hold the document with _id {id_value(key)!r} as it is: it has a "
        "deprecated type, a field name twice, or a value that JSON has no word for. Export to a "
        f".bson file{how}",
        document_id=id_value(key),
    )


def read(source: BinaryIO, name: str) -> Iterator[bytes]:
    """Iterate over documents; see `formats.read`. Both kinds of Extended JSON will do."""
    number = 0
    while line := source.readline(_LONGEST):
        number += 1
        if line.isspace():
            continue
        try:
            if len(line) == _LONGEST:
                raise ValueError("it is too long")
            found = json_util.loads(line, json_options=_CANONICAL)
            if not isinstance(found, dict):
                raise ValueError("one document is written on each line")
            raw = bson.encode(found)
        except _NOT_EXPRESSIBLE as error:
            reason = "foreign" if number == 1 else "malformed"
            raise unusable(
                name, reason, f"line {number:,} is no document of Extended JSON ({error})"
            ) from error
        yield raw
