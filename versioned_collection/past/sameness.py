"""The ids that a version has for given ones, where the collection has a collation.

Which ids are the same is then up to the server alone: ``A`` may be ``a``. Deltas and the replica
are kept apart byte by byte, so only reading the version tells.
"""

from __future__ import annotations

from collections.abc import Iterable

from versioned_collection.core.document import (
    ARRAY,
    OBJECT,
    STRING,
    SYMBOL,
    DocumentKey,
    document_key,
    raw_id_in,
)
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.core.version import VersionId
from versioned_collection.past.plan import Planner
from versioned_collection.past.query import Find
from versioned_collection.past.reading import Reader
from versioned_collection.repository.repository import Repository

COLLATED = frozenset((STRING, SYMBOL, OBJECT, ARRAY))
"""Types of ids in which a collation compares texts."""


def is_collated(repository: Repository, key: DocumentKey) -> bool:
    """Tell whether a collation says which ids are the same as one."""
    return key[0] in COLLATED and bool(repository.state().options.get("collation"))


def with_same_ids(
    planner: Planner, version: VersionId, keys: Iterable[DocumentKey]
) -> set[DocumentKey]:
    """Return ids with those that a version has in their place by the collation.

    Args:
        planner: Knows what serves the version.
        version: The version.
        keys: The ids.
    """
    found = set(keys)
    texts = sorted(key for key in found if key[0] in COLLATED)
    if not texts or not is_collated(planner.repository, texts[0]):
        return found
    reader = Reader(planner, version)
    for portion in portions(texts, len, IDS_PER_READ, BYTES_OF_IDS):
        found.update(map(document_key, reader.find(Find(raw_id_in(portion), {"_id": 1}))))
    return found
