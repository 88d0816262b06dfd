"""Differences for people: unified text of two documents, or DeepDiff's objects."""

from __future__ import annotations

import difflib
from typing import Any

import bson
from bson import json_util
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import PLAIN_OPTIONS


def plain(raw: bytes | None) -> dict[str, Any]:
    """Return a document as PyMongo would, ``{}`` where there is none.

    What cannot be decoded (invalid UTF-8) is shown as one field with the raw bytes.
    """
    if raw is None:
        return {}
    try:
        return bson.decode(raw, PLAIN_OPTIONS)
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
    one, other = [], []
    for options in (json_util.RELAXED_JSON_OPTIONS, json_util.CANONICAL_JSON_OPTIONS):
        one, other = json_lines(old, options), json_lines(new, options)
        if one != other:
            break
    else:
        one, other = [(old or b"").hex(" ")], [(new or b"").hex(" ")]
    return "\n".join(difflib.unified_diff(one, other, before, after, lineterm=""))


def deep_diff(old: bytes | None, new: bytes | None) -> Any:
    """Return a `deepdiff.DeepDiff` of two documents (of ``{}`` where there is none)."""
    from deepdiff import DeepDiff  # half a second to import: only who asks for it pays

    return DeepDiff(plain(old), plain(new), ignore_order=False)


def readable(value: Any) -> Any:
    """Return a stored value with raw documents decoded, for people and JSON."""
    if isinstance(value, RawBSONDocument):
        return plain(bytes(value.raw))
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, dict):
        return {name: readable(item) for name, item in value.items()}
    return value
