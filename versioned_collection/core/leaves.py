"""A document as the values at its places: what blame compares."""

from __future__ import annotations

from collections.abc import Iterator

from versioned_collection.core.document import ARRAY, OBJECT, DocumentKey, elements

Place = tuple[str | int, ...]
"""Names of fields and indexes of elements, from the top of a document."""


def leaves(raw: bytes) -> dict[tuple[Place, int], DocumentKey]:
    """Return the values of a document that hold no others, and empty documents and lists.

    Args:
        raw: The document.

    Returns:
        Type byte and value bytes by place. Where fields have the same name, a number that is
        not 0 tells the later ones apart.
    """
    found: dict[tuple[Place, int], DocumentKey] = {}
    for place, value in _leaves(raw, (), is_list=False):
        turn = 0
        while (place, turn) in found:
            turn += 1
        found[place, turn] = value
    return found


def _leaves(raw: bytes, above: Place, *, is_list: bool) -> Iterator[tuple[Place, DocumentKey]]:
    for index, (kind, name, start, end) in enumerate(elements(raw)):
        place = (*above, index if is_list else name.decode("utf-8", "backslashreplace"))
        value = raw[start:end]
        if kind in (OBJECT, ARRAY) and len(value) > 5:
            yield from _leaves(value, place, is_list=kind == ARRAY)
        else:
            yield place, bytes((kind,)) + value
