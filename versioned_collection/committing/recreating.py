"""The collection made again where somebody dropped it, as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from versioned_collection.driver.wire import create_collection, create_indexes
from versioned_collection.repository.hold import Hold

_OPTIONS_OF_CREATE = (
    "collation",
    "validator",
    "validationLevel",
    "validationAction",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "expireAfterSeconds",
    "storageEngine",
    "indexOptionDefaults",
)


def lasting_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return which options of a collection one that takes its place has as well."""
    return {name: options[name] for name in _OPTIONS_OF_CREATE if name in options}


def ensure_collection(hold: Hold) -> bool:
    """Create the collection again, with its options and indexes, where it was dropped.

    Each commit that writes documents does so, as they would create one that has neither. A verb
    does so earlier where its look is to know the new collection: else the next look has to
    compare everything.

    The documents of HEAD were in it under these indexes, so they fit.

    Returns:
        Whether it was missing.
    """
    repository = hold.repository
    if repository.collection_info() is not None:
        return False
    create_collection(repository.db, repository.name, **lasting_options(hold.state.options))
    create_indexes(repository.db, repository.name, hold.state.indexes)
    return True
