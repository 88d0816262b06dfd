"""Field-level changes: find them, apply them, take them back.

The vocabulary is that of DeepDiff's flat delta rows (path, action, value, old value), so
that a stored change loads into ``deepdiff.Delta``. `position` is ours: it restores the
order of fields, which DeepDiff does not keep.

Containers are changed in place only after they were copied on the way down, so the
documents that are passed in stay as they were.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from operator import itemgetter
from typing import Any, NamedTuple

from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

Path = tuple[str | int, ...]

CHANGED = "values_changed"
RETYPED = "type_changes"
ADDED = "dictionary_item_added"
REMOVED = "dictionary_item_removed"
INSERTED = "iterable_items_inserted"
DELETED = "iterable_items_deleted"
REPLACED = "iterable_items_replaced"
EQUAL = "iterable_items_equal"

_INVERSE = {ADDED: REMOVED, REMOVED: ADDED, INSERTED: DELETED, DELETED: INSERTED}
_SPLICES = frozenset((INSERTED, DELETED, REPLACED))
_REPLACEMENTS = frozenset((CHANGED, RETYPED))
_SPAN = ("t1_from_index", "t1_to_index", "t2_from_index", "t2_to_index")
_FORMS = {
    CHANGED: (("path", "action", "value", "old_value"),),
    RETYPED: (("path", "action", "value", "old_value"),),
    ADDED: (("path", "action", "value"), ("path", "action", "value", "position")),
    REMOVED: (("path", "action", "old_value"), ("path", "action", "old_value", "position")),
    INSERTED: (("path", "action", "value", *_SPAN),),
    DELETED: (("path", "action", "old_value", *_SPAN),),
    REPLACED: (("path", "action", "value", "old_value", *_SPAN),),
}
"""The parts of stored rows as `Row.to_bson` writes them."""
_SCALARS = frozenset((str, int, bool, bytes, type(None), ObjectId, Int64, datetime))
"""Types of which equal values are the same BSON value."""

_action_of = itemgetter(1)

_MATCHER_LIMIT = 400
"""Longest stretch of a list that is matched item by item; beyond it is replaced whole."""


class Row(NamedTuple):
    """One change at one place of a document.

    Attributes:
        path: Field names and list indexes from the root.
        action: DeepDiff's name of the change.
        value: The value after (a list of items for list changes).
        old_value: The value before.
        position: For an added or removed field, its place among its siblings.
        span: For list changes, ``(t1_from, t1_to, t2_from, t2_to)``: the stretch before
            and after.
    """

    path: Path
    action: str
    value: Any = None
    old_value: Any = None
    position: int | None = None
    span: tuple[int, int, int, int] | None = None

    def inverse(self) -> Row:
        """Return the row that undoes this one."""
        path, action, value, old_value, position, span = self
        if span is not None:
            span = span[2], span[3], span[0], span[1]
        return Row(path, _INVERSE.get(action, action), old_value, value, position, span)

    @property
    def is_flat(self) -> bool:
        """Whether it puts nothing into a document that further rows could change."""
        value = self.value
        if self.action in _SPLICES:
            return not any(type(item) in (dict, list) for item in value or ())
        return type(value) not in (dict, list)

    def to_bson(self) -> dict[str, Any]:
        """Return the row as it is stored."""
        if self.action in _REPLACEMENTS:
            return {
                "path": list(self.path),
                "action": self.action,
                "value": self.value,
                "old_value": self.old_value,
            }
        stored: dict[str, Any] = {"path": list(self.path), "action": self.action}
        if self.action not in (REMOVED, DELETED):
            stored["value"] = self.value
        if self.action not in (ADDED, INSERTED):
            stored["old_value"] = self.old_value
        if self.position is not None:
            stored["position"] = self.position
        if self.span is not None:
            stored.update(zip(_SPAN, self.span, strict=True))
        return stored

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Row:
        """Return the row that `to_bson` stored.

        Raises:
            KeyError: A part is missing.
        """
        path, action = tuple(stored["path"]), stored["action"]
        if action in _REPLACEMENTS:
            return cls(path, action, stored.get("value"), stored.get("old_value"))
        span: Any = None
        nothing: Any = None
        if action in _SPLICES:
            span, nothing = tuple(stored[name] for name in _SPAN), []
        value, old_value = stored.get("value", nothing), stored.get("old_value", nothing)
        return cls(path, action, value, old_value, stored.get("position"), span)


def is_as_written(stored: Mapping[str, Any]) -> bool:
    """Tell whether a stored row is as `Row.to_bson` returns it, part by part."""
    return type(stored["path"]) is list and tuple(stored) in _FORMS.get(stored["action"], ())


def compare_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return the rows that lead from one document's fields to another's."""
    rows: list[Row] = []
    _compare_documents((), before, after, rows)
    return tuple(rows)


def _compare_documents(
    path: Path, before: Mapping[str, Any], after: Mapping[str, Any], rows: list[Row]
) -> None:
    same_names = before.keys() == after.keys()
    if not same_names:
        for position, name in enumerate(before):
            if name not in after:
                rows.append(Row((*path, name), REMOVED, None, before[name], position))
    for name, value in after.items():
        if same_names or name in before:
            old = before[name]
            kind = type(value)
            if kind is type(old):
                if kind in _SCALARS:
                    if old != value:
                        rows.append(Row((*path, name), CHANGED, value, old))
                    continue
                if kind is float and old == value != 0.0:
                    continue
                if kind is dict:
                    _compare_documents((*path, name), old, value, rows)
                    continue
                if kind is list:
                    _compare_lists((*path, name), old, value, rows)
                    continue
            if not same(old, value):
                _compare_values((*path, name), old, value, rows)
    if not same_names:
        for position, (name, value) in enumerate(after.items()):
            if name not in before:
                rows.append(Row((*path, name), ADDED, value, None, position))


def _compare_values(path: Path, old: Any, new: Any, rows: list[Row]) -> None:
    if type(old) is not type(new):
        rows.append(Row(path, RETYPED, new, old))
    elif type(old) is RawBSONDocument:
        _compare_documents(path, dict(old.items()), dict(new.items()), rows)
    elif type(old) is dict:
        _compare_documents(path, old, new, rows)
    elif type(old) is list:
        _compare_lists(path, old, new, rows)
    else:
        rows.append(Row(path, CHANGED, new, old))


def _compare_lists(path: Path, old: list[Any], new: list[Any], rows: list[Row]) -> None:
    if len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            kind = type(one)
            if kind is type(other) and kind in _SCALARS:
                if one != other:
                    rows.append(Row((*path, index), CHANGED, other, one))
            elif one is not other and not same(one, other):
                _compare_values((*path, index), one, other, rows)
        return
    for tag, *span in _opcodes(old, new):
        if tag != EQUAL:
            before, after = old[span[0] : span[1]], new[span[2] : span[3]]
            rows.append(Row(path, tag, after, before, None, tuple(span)))  # type: ignore[arg-type]


def _opcodes(old: list[Any], new: list[Any]) -> list[tuple[str, int, int, int, int]]:
    start, limit = 0, min(len(old), len(new))
    while start < limit and same(old[start], new[start]):
        start += 1
    tail = 0
    while tail < limit - start and same(old[-1 - tail], new[-1 - tail]):
        tail += 1
    old_end, new_end = len(old) - tail, len(new) - tail
    if start == old_end:
        return [(INSERTED, start, start, start, new_end)]
    if start == new_end:
        return [(DELETED, start, old_end, start, start)]
    if max(old_end, new_end) - start > _MATCHER_LIMIT:
        return [(REPLACED, start, old_end, start, new_end)]
    tags = {"insert": INSERTED, "delete": DELETED, "replace": REPLACED, "equal": EQUAL}
    matcher = SequenceMatcher(
        None,
        [_token(item) for item in old[start:old_end]],
        [_token(item) for item in new[start:new_end]],
        autojunk=False,
    )
    return [
        (tags[tag], a + start, b + start, c + start, d + start)
        for tag, a, b, c, d in matcher.get_opcodes()
    ]


def _token(item: Any) -> Any:
    """Return something hashable that is equal only for the same BSON value."""
    if isinstance(item, RawBSONDocument):
        return bytes(item.raw)
    if isinstance(item, list):
        return list, tuple(_token(part) for part in item)
    if isinstance(item, dict):
        return dict, tuple((name, _token(part)) for name, part in item.items())
    if isinstance(item, float):
        return struct.pack("<d", item)
    try:
        hash(item)
    except TypeError:
        return (type(item), repr(item))
    return (type(item), item)


def same(one: Any, other: Any) -> bool:
    """Tell whether two decoded values are the same BSON value.

    Python's ``==`` takes ``1``, ``1.0`` and ``True`` for equal; types decide here.
    """
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _SCALARS:
        return bool(one == other)
    if kind is RawBSONDocument:
        return bool(one.raw == other.raw)
    if kind is float:  # zeros and NaNs are told apart by their bytes
        return one == other != 0.0 or struct.pack("<d", one) == struct.pack("<d", other)
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return bool(one == other)


def apply_rows(fields: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Return the document's fields after `rows`; `fields` stays as it is.

    Raises:
        KeyError, IndexError, ValueError: The rows do not fit the document.
    """
    root = dict(fields)
    owned: dict[int, Any] = {id(root): root}

    def container(path: Path) -> Any:
        place: Any = root
        for step in path:
            child = place[step]
            if id(child) not in owned:
                child = list(child) if type(child) is list else dict(child.items())
                owned[id(child)] = child
                place[step] = child
            place = child
        return place

    _change(rows, container)
    return root


def apply_in_place(fields: dict[str, Any], rows: Sequence[Row]) -> None:
    """Change the document's fields as `rows` say; all containers are plain dicts and lists.

    Raises:
        KeyError, IndexError, ValueError: The rows do not fit the document.
    """
    if _only_replace(rows):
        for row in rows:
            _set(_parent_in(fields, row), row)
        return

    def container(path: Path) -> Any:
        place: Any = fields
        for step in path:
            place = place[step]
        return place

    _change(rows, container)


def revert_in_place(fields: dict[str, Any], rows: Sequence[Row]) -> None:
    """Take `rows` back from the document's fields; see `apply_in_place`."""
    if not _only_replace(rows):
        apply_in_place(fields, inverse_rows(rows))
        return
    for row in rows:  # they are at different places, so their order does not matter
        _parent_in(fields, row)[row.path[-1]] = row.old_value


def _only_replace(rows: Sequence[Row]) -> bool:
    return _REPLACEMENTS.issuperset(map(_action_of, rows))


def _parent_in(fields: dict[str, Any], row: Row) -> Any:
    """Return the document or list that holds what a row replaces."""
    place: Any = fields
    for step in row.path[:-1]:
        place = place[step]
    return place


def _change(rows: Sequence[Row], container: Callable[[Path], Any]) -> None:
    position = 0
    while position < len(rows):
        row = rows[position]
        stop = position + 1
        if row.action in _REPLACEMENTS:
            _set(container(row.path[:-1]), row)
        elif row.action == REMOVED:
            del container(row.path[:-1])[row.path[-1]]
        else:
            stop = _group_end(rows, position)
            change = _insert_fields if row.action == ADDED else _splice
            path = row.path[:-1] if row.action == ADDED else row.path
            change(container(path), rows[position:stop])
        position = stop


def _set(parent: Any, row: Row) -> None:
    parent[row.path[-1]]  # a row that does not fit must not add a field
    parent[row.path[-1]] = row.value


def _group_end(rows: Sequence[Row], start: int) -> int:
    """Return where the rows end that splice one list, or add to one document.

    Their indexes speak of the list or document as a whole, so they are applied together.
    """
    group = _group(rows[start])
    stop = start + 1
    while stop < len(rows) and _group(rows[stop]) == group:
        stop += 1
    return stop


def inverse_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows that undo `rows`."""
    return tuple(row.inverse() for row in reversed(rows))


def _group(row: Row) -> tuple[Path, str] | None:
    if row.action in _SPLICES:
        return row.path, "splice"
    if row.action == ADDED:
        return row.path[:-1], ADDED
    return None


def _splice(items: list[Any], rows: Sequence[Row]) -> None:
    for row in sorted(rows, key=lambda row: row.span or (), reverse=True):
        start, stop = row.span[:2]  # type: ignore[index]
        items[start:stop] = row.value or []


def _insert_fields(fields: dict[str, Any], rows: Sequence[Row]) -> None:
    ordered = sorted(rows, key=lambda row: row.position or 0)
    size = len(fields)
    if all((row.position or 0) >= size + index for index, row in enumerate(ordered)):
        fields.update((str(row.path[-1]), row.value) for row in ordered)
        return
    items = list(fields.items())
    for row in ordered:
        items.insert(row.position or 0, (str(row.path[-1]), row.value))
    fields.clear()
    fields.update(items)
