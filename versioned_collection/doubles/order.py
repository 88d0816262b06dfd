"""The order in which MongoDB sorts values, for all types that Python can hold."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import total_ordering
from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

_MISSING: Any = object()
_EMPTY_LIST = (4,)
"""An empty list stands before null where documents are sorted by a field."""


def sorted_by(documents: list[Any], order: dict[str, int]) -> list[Any]:
    """Return documents in the order of some fields: 1 for ascending, -1 for descending."""
    found = list(documents)
    for path, way in reversed(list(order.items())):
        if path != "$natural":
            found.sort(key=lambda one: _of_field(one, path, way < 0), reverse=way < 0)
        elif way < 0:
            found.reverse()
    return found


def _of_field(document: Any, path: str, descending: bool) -> Any:
    values = list(_at(document, path.split(".")))
    keys = [_key(value) for value in values] or [_key(None)]
    return max(keys) if descending else min(keys)


def _at(value: Any, path: list[str]) -> Any:
    """Iterate over the values at a path, those of lists one by one."""
    if not path:
        if isinstance(value, list):
            yield from value or [_MISSING]
        else:
            yield value
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict):
                yield from _at(one, path)
        if path[0].isdigit() and int(path[0]) < len(value):
            yield from _at(value[int(path[0])], path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


def _key(value: Any) -> tuple[Any, ...]:
    """Return what sorts like a value."""
    if value is _MISSING:
        return _EMPTY_LIST
    if isinstance(value, bool):
        return 40, value
    if isinstance(value, (int, float, Decimal128)):
        return 10, _Number(value)
    if isinstance(value, Code):  # before texts, of which it is one
        return 55, str(value).encode(), _key(value.scope)
    if isinstance(value, str):
        return 15, value.encode()
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, dict):
        return 20, [(_key(one)[0], name.encode(), _key(one)) for name, one in value.items()]
    if isinstance(value, list):
        return 25, [_key(one) for one in value]
    if isinstance(value, bytes):
        return 30, len(value), value.subtype if isinstance(value, Binary) else 0, bytes(value)
    return _of_rare_type(value)


def _of_rare_type(value: Any) -> tuple[Any, ...]:
    if isinstance(value, ObjectId):
        return 35, value
    if isinstance(value, datetime):
        return 45, int(DatetimeMS(value))
    if isinstance(value, DatetimeMS):
        return 45, int(value)
    if isinstance(value, Timestamp):
        return 47, (value.time, value.inc)
    if isinstance(value, Regex):
        return 50, str(value.pattern), value.flags
    if isinstance(value, MinKey):
        return (1,)
    if isinstance(value, MaxKey):
        return (127,)
    return (5,)  # null


@total_ordering
class _Number:
    """A number among numbers of other types; what is no number comes first."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value.to_decimal() if isinstance(value, Decimal128) else value

    @property
    def _is_nan(self) -> bool:
        if isinstance(self.value, Decimal):
            return self.value.is_nan()
        return bool(self.value != self.value)

    def __eq__(self, other: Any) -> bool:
        if self._is_nan or other._is_nan:
            return self._is_nan and other._is_nan
        return bool(self.value == other.value)

    def __lt__(self, other: Any) -> bool:
        if self._is_nan or other._is_nan:
            return self._is_nan and not other._is_nan
        return bool(self.value < other.value)
