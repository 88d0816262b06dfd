"""Differences for people: unified text of two documents, or DeepDiff's objects."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import PLAIN_OPTIONS

Pair = tuple[str | None, str | None]
"""A line of one document, and the one beside it of another."""


def plain(raw: bytes | None, options: CodecOptions[Any] = PLAIN_OPTIONS) -> dict[str, Any]:
    """Return a document as PyMongo would, ``{}`` where there is none.

    What cannot be decoded (invalid UTF-8) is shown as one field with the raw bytes.

    Args:
        raw: The document.
        options: How it is decoded, apart from the class of documents.
    """
    if raw is None:
        return {}
    try:
        return bson.decode(raw, options.with_options(document_class=dict))
    except bson.errors.BSONError:
        return {"<undecodable>": bytes(raw)}


def json_lines(raw: bytes | None, options: json_util.JSONOptions) -> list[str]:
    """Return a document as lines of indented Extended JSON; no line for no document."""
    if raw is None:
        return []
    text = json_util.dumps(plain(raw), json_options=options, indent=2, ensure_ascii=False)
    return text.split("\n")


def text_diff(old: bytes | None, new: bytes | None, before: str, after: str) -> str:
    """Return a unified diff of two documents as Extended JSON.

    Relaxed Extended JSON is easy to read but shows ``1`` and ``Int64(1)`` alike; where it
    hides the difference the canonical form is used, and bytes where that hides it too.

    Args:
        old: The document before, None where there is none.
        new: The document after, None where there is none.
        before: The name of the state before.
        after: The name of the state after.
    """
    return "\n".join(difflib.unified_diff(*_lines(old, new), before, after, lineterm=""))


def _lines(old: bytes | None, new: bytes | None) -> tuple[list[str], list[str]]:
    """Return two documents as lines, in the first form that shows how they differ."""
    for options in (json_util.RELAXED_JSON_OPTIONS, json_util.CANONICAL_JSON_OPTIONS):
        one, other = json_lines(old, options), json_lines(new, options)
        if one != other:
            return one, other
    return [(old or b"").hex(" ")], [(new or b"").hex(" ")]


def aligned(old: bytes | None, new: bytes | None, context: int = 3) -> Iterator[Pair | None]:
    """Iterate over the lines of two documents beside one another, where they differ.

    Args:
        old: The document before, None where there is none.
        new: The document after, None where there is none.
        context: How many equal lines are shown around those that differ.

    Yields:
        A line of each, None on the side that has none there; None between two stretches.
    """
    one, other = _lines(old, new)
    groups = difflib.SequenceMatcher(None, one, other, autojunk=False)
    for turn, group in enumerate(groups.get_grouped_opcodes(context)):
        if turn:
            yield None
        for _, first, last, start, end in group:
            yield from zip_longest(one[first:last], other[start:end])


def deep_diff(
    old: bytes | None, new: bytes | None, options: CodecOptions[Any] = PLAIN_OPTIONS
) -> Any:
    """Return a `deepdiff.DeepDiff` of two documents (of ``{}`` where there is none).

    Args:
        old: The document before.
        new: The document after.
        options: How both are decoded.
    """
    from deepdiff import DeepDiff  # half a second to import: only who asks for it pays

    return DeepDiff(plain(old, options), plain(new, options), ignore_order=False)


def readable(value: Any) -> Any:
    """Return a stored value with raw documents decoded, for people and JSON."""
    if isinstance(value, RawBSONDocument):
        return plain(bytes(value.raw))
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, dict):
        return {name: readable(item) for name, item in value.items()}
    return value
