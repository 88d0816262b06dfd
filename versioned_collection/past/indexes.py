"""Which indexes collections have that are read for a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.database import Database

from versioned_collection.driver.catalog import list_indexes
from versioned_collection.driver.server_errors import translated

_OF_ITS_PLACE = frozenset(("v", "ns", "name"))
_NO_INDEX = "$natural"
"""What a hint names that wants none used."""


def has_index(db: Database[Any], name: str, hint: Any) -> bool:
    """Tell whether a collection has the index that a hint names, by its name or its key."""
    if isinstance(hint, Mapping) and _NO_INDEX in hint:
        return True
    key = list(hint.items()) if isinstance(hint, Mapping) else None
    return any(
        one["name"] == hint or list(one["key"].items()) == key for one in _indexes(db, name)
    )


def text_index(db: Database[Any], name: str) -> Mapping[str, Any] | None:
    """Return what decides about the text index of a collection, None where it has none."""
    for one in _indexes(db, name):
        if "weights" in one:
            return {part: value for part, value in one.items() if part not in _OF_ITS_PLACE}
    return None


def _indexes(db: Database[Any], name: str) -> Sequence[Mapping[str, Any]]:
    with translated():
        return list_indexes(db, name)
