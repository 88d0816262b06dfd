"""The documents of the benchmarks: about 450 bytes, with a nested document and a list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection

Document = dict[str, Any]

_START = datetime(2024, 1, 1)
_TEXT = (
    "the quick brown fox jumps over the lazy dog while seven wizards watch from afar and write "
    "down in large brown books what the fox did to the dog, to whom, when, and with whose leave "
    "they"
)
_BATCH = 10_000


def document(number: int) -> Document:
    """Return document `number`; the same one each time."""
    digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=20).hexdigest()
    turn = number % len(_TEXT)
    return {
        "_id": number,
        "name": f"part {digest[:12]}",
        "active": number % 3 == 0,
        "price": round(number * 1.37 % 1000, 2),
        "stock": number * 7919 % 10_000,
        "created": _START + timedelta(seconds=number * 61),
        "owner": {
            "team": f"team {number % 17}",
            "contact": {"mail": f"{digest[12:24]}@example.org", "floor": number % 9},
        },
        "tags": [digest[position : position + 5] for position in (0, 5, 10, 15)],
        "text": _TEXT[turn:] + _TEXT[:turn],
    }


def documents(count: int, start: int = 0) -> Iterator[list[Document]]:
    """Iterate over documents in lists that are quick to insert."""
    for first in range(start, start + count, _BATCH):
        yield [document(number) for number in range(first, min(first + _BATCH, start + count))]


def fill(collection: Collection[Any], count: int, start: int = 0) -> None:
    """Insert documents `start` and following."""
    for batch in documents(count, start):
        collection.insert_many(batch, ordered=False)


def updates(numbers: Sequence[int], turn: int) -> list[UpdateOne]:
    """Return an application's updates: a number, a nested text and an element of a list.

    Args:
        numbers: Which documents.
        turn: Makes the updates of one round differ from those of another.
    """
    return [
        UpdateOne(
            {"_id": number},
            {
                "$set": {
                    "stock": number * 7919 % 10_000 + turn,
                    "owner.contact.mail": f"{turn}.{number}@example.org",
                    "tags.2": f"turn{turn}",
                }
            },
        )
        for number in numbers
    ]


def spread(count: int, of: int) -> list[int]:
    """Return `count` numbers below `of`, evenly spread."""
    return [index * of // count for index in range(count)]
