"""Our deltas as `deepdiff.Delta` objects, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import bson

from versioned_collection.core.delta import Delta, compare
from versioned_collection.core.diff import plain, readable
from versioned_collection.core.document import document_key
from versioned_collection.core.rows import (
    ADDED,
    CHANGED,
    DELETED,
    EQUAL,
    INSERTED,
    REMOVED,
    REPLACED,
    RETYPED,
    Row,
)

_SPLICES = (INSERTED, DELETED, REPLACED)
_END = 1 << 31  # slices may end behind the end of a list


def to_deepdiff(delta: Delta) -> Any:
    """Return the delta as a bidirectional `deepdiff.Delta` over plain dicts.

    Inserts start from, and deletes lead to, the empty document.

    Args:
        delta: A delta of one step, as it is stored.

    Raises:
        ValueError: The delta was composed of several; DeepDiff applies changes grouped by
            kind, not in sequence. Convert its parts instead.
    """
    from deepdiff import Delta as DeepDiffDelta

    if delta.steps is not None and len(delta.steps) > 1:
        raise ValueError("a composed delta has no deepdiff form; convert its parts")
    rows = delta.rows if delta.steps is not None else _root_rows(delta)
    flat = list(_flat_rows(rows))
    # fields in another order are no difference to DeepDiff, which takes no empty list of rows
    changes: dict[str, Any] = {"flat_rows_list": flat} if flat else {"diff": {}}
    return DeepDiffDelta(**changes, bidirectional=True, force=True, raise_errors=True)


def from_deepdiff(deep: Any, raw: bytes) -> Delta | None:
    """Return the exact delta of applying a `deepdiff.Delta` to a document.

    Args:
        deep: The `deepdiff.Delta`.
        raw: The document to which it applies.

    Returns:
        The delta, None when nothing changes.

    Raises:
        bson.errors.InvalidDocument: The outcome is not a document.
    """
    new = bson.encode(plain(raw) + deep)
    if document_key(new) != document_key(raw):
        raise ValueError("a delta cannot change the _id of a document")
    return compare(raw, new)


def _root_rows(delta: Delta) -> list[Row]:
    before, after = plain(delta.old), plain(delta.new)
    rows = [Row((name,), REMOVED, None, before[name]) for name in before if name not in after]
    for name, value in after.items():
        if name not in before:
            rows.append(Row((name,), ADDED, value))
        elif type(value) is not type(before[name]):
            rows.append(Row((name,), RETYPED, value, before[name]))
        elif value != before[name]:
            rows.append(Row((name,), CHANGED, value, before[name]))
    return rows


def _flat_rows(rows: Iterable[Row]) -> Iterable[Any]:
    from deepdiff.helper import FlatDeltaRow

    splices: dict[tuple[str | int, ...], list[Row]] = {}
    for row in rows:
        if row.action in _SPLICES:
            splices.setdefault(row.path, []).append(row)
            continue
        value, old = readable(row.value), readable(row.old_value)
        facts: dict[str, Any] = {"path": list(row.path), "action": row.action}
        if row.action == REMOVED:
            facts |= {"value": old, "type": type(old)}
        elif row.action == ADDED:
            facts |= {"value": value, "type": type(value)}
        else:
            facts |= {"value": value, "old_value": old, "type": type(value), "old_type": type(old)}
        yield FlatDeltaRow(**facts)
    for path, edits in splices.items():
        for span, action, value, old in _with_equal_stretches(edits):
            yield FlatDeltaRow(**_splice_facts(path, action, span, value, old))


def _with_equal_stretches(edits: list[Row]) -> Iterable[tuple[Any, str, Any, Any]]:
    """DeepDiff rebuilds a list from all its stretches, so name the unchanged ones too."""
    one = other = 0
    for row in sorted(edits, key=lambda row: row.span or ()):
        t1_from, t1_to, t2_from, t2_to = row.span or (0, 0, 0, 0)
        if t1_from > one:
            yield (one, t1_from, other, t2_from), EQUAL, None, None
        yield row.span, row.action, readable(row.value), readable(row.old_value)
        one, other = t1_to, t2_to
    yield (one, _END, other, _END), EQUAL, None, None


def _splice_facts(
    path: tuple[str | int, ...], action: str, span: Any, value: Any, old: Any
) -> Mapping[str, Any]:
    names = ("t1_from_index", "t1_to_index", "t2_from_index", "t2_to_index")
    return {
        "path": list(path),
        "action": action,
        "value": value,
        "old_value": old,
        "type": type(value),
        "old_type": type(old),
        **dict(zip(names, span, strict=True)),
    }
