"""Values as type byte and value bytes, the form that `DocumentKey` has for an ``_id``.

A merge compares and copies values in this form, so whatever it does not have to look into
comes out with the bytes it had: deprecated types, NaN payloads, names in any encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from versioned_collection.core.codec import PLAIN
from versioned_collection.core.document import (
    ARRAY,
    OBJECT,
    DocumentKey,
    build,
    element,
    elements,
    id_value,
    raw_array,
)

Value = bytes
"""Type byte followed by the value bytes."""


class Marker(Enum):
    """What is no value."""

    MISSING = "there is no value"
    UNRESOLVED = "the conflict stays"

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


MISSING: Final[Literal[Marker.MISSING]] = Marker.MISSING
"""Stands for "no value" where None would mean BSON's null."""

UNRESOLVED: Final[Literal[Marker.UNRESOLVED]] = Marker.UNRESOLVED
"""What a resolver returns to leave a conflict as it is."""

Unresolved: TypeAlias = Literal[Marker.UNRESOLVED]

EMPTY_DOCUMENT: Value = b"\x03\x05\0\0\0\0"
EMPTY_ARRAY: Value = b"\x04\x05\0\0\0\0"


def python_value(value: Value | None) -> Any:
    """Return a value as PyMongo would give it.

    Args:
        value: Type byte and value bytes, None where there is no value.

    Returns:
        The Python value; `MISSING` for None; a `RawBSONDocument` ``{_id: value}`` for what
        no decoder reads (see `id_value`).
    """
    return MISSING if value is None else id_value(value)


def raw_value(value: Any) -> Value | None:
    """Return the bytes of a Python value, None for `MISSING`.

    Raises:
        InvalidArgument: BSON cannot hold the value.
    """
    return None if value is MISSING else PLAIN.raw_value(value)


def document_value(raw: bytes | None) -> Value | None:
    """Return a whole document as a value."""
    return None if raw is None else b"\x03" + raw


def fields_of(value: Value) -> dict[bytes, Value] | None:
    """Return the fields of a document by name, in order; None when a name occurs twice."""
    raw, fields, count = value[1:], {}, 0
    for kind, name, start, end in elements(raw):
        fields[name] = bytes((kind,)) + raw[start:end]
        count += 1
    return fields if len(fields) == count else None


def object_of(fields: Iterable[tuple[bytes, Value]]) -> Value:
    """Return the document that has these fields in this order."""
    return b"\x03" + build(*(element(name, value) for name, value in fields))


def values_of(value: Value) -> list[Value]:
    """Return the elements of an array, whatever their names."""
    raw = value[1:]
    return [bytes((kind,)) + raw[start:end] for kind, _, start, end in elements(raw)]


def items_of(value: Value) -> list[Value] | None:
    """Return the elements of an array; None when they are not named 0, 1, 2 ...

    Such an array exists (the server stores what it is sent), and making a list of it would
    change its bytes.
    """
    if any(name != b"%d" % at for at, (_, name, _, _) in enumerate(elements(value[1:]))):
        return None
    return values_of(value)


def array_of(items: Sequence[Value]) -> Value:
    """Return the array of these elements."""
    return b"\x04" + raw_array(items)


def is_reference(value: Value | None) -> bool:
    """Tell whether a value is a DBRef: one value in the shape of a document."""
    if value is None or value[0] != OBJECT:
        return False
    return next((name for _, name, _, _ in elements(value[1:])), None) == b"$ref"


def keyed(items: Sequence[Value], field: bytes) -> dict[Value, Value] | None:
    """Return the elements of a list by the value of their key.

    Args:
        items: The elements.
        field: The name of the field that tells elements apart.

    Returns:
        The elements in order; None when one of them is no document, has no such field (or
        has it twice), or has the key of another.
    """
    found: dict[Value, Value] = {}
    for item in items:
        keys = values_named(item, field)
        if len(keys) != 1 or keys[0] in found:
            return None
        found[keys[0]] = item
    return found


def keeps_id(value: Value | None, key: DocumentKey) -> bool:
    """Tell whether a value is a document with a given ``_id``, and no other; or no value."""
    return value is None or values_named(value, b"_id") == [key]


def values_named(value: Value, field: bytes) -> list[Value]:
    """Return what a document has under a name, which may occur twice; nothing for others."""
    if value[0] != OBJECT:
        return []
    raw = value[1:]
    return [
        bytes((kind,)) + raw[start:end]
        for kind, name, start, end in elements(raw)
        if name == field
    ]


def is_container(value: Value | None) -> bool:
    """Tell whether a value is a document or a list."""
    return value is not None and value[0] in (OBJECT, ARRAY)
