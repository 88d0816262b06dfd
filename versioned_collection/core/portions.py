"""Lists of bounded number and size, for commands and memory that both have a limit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from versioned_collection.core.document import DocumentKey, are_twins

T = TypeVar("T")

IDS_PER_READ = 2_000
BYTES_OF_IDS = 4 * 1024 * 1024


def portions(
    items: Iterable[T],
    size: Callable[[T], int],
    most: int,
    most_bytes: int,
    together: Callable[[T, T], bool] | None = None,
    first: int | None = None,
) -> Iterator[list[T]]:
    """Cut items into lists bounded by number and by bytes, never between some neighbours.

    Args:
        items: The items.
        size: Returns the bytes of an item.
        most: How many items a list has at most.
        most_bytes: How many bytes they have together; a single item may have more.
        together: Tells whether two neighbours have to stay in one list.
        first: How many the first list has at most, where work on it is to begin early; each
            further one may be twice as long.
    """
    limit = min(first or most, most)
    portion: list[T] = []
    total = 0
    for item in items:
        weight = size(item)
        full = len(portion) >= limit or total + weight > most_bytes
        if portion and full and not (together and together(portion[-1], item)):
            yield portion
            portion, total, limit = [], 0, min(2 * limit, most)
        portion.append(item)
        total += weight
    if portion:
        yield portion


def at_most(found: Iterator[T], limit: int | None) -> Iterator[T]:
    """Iterate over so many of what was found, None for all; more than there can be are all."""
    return islice(found, None if limit is None else min(limit, sys.maxsize))


def middle_of(keys: list[DocumentKey]) -> int:
    """Return where to cut a list in two; ids that the server takes for one stay together."""
    half = len(keys) // 2
    places = sorted(range(1, len(keys)), key=lambda place: abs(place - half))
    return next((at for at in places if not are_twins(keys[at - 1], keys[at])), half)
