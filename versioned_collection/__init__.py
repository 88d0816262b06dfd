"""versioned_collection: the powers of git for any MongoDB collection."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from versioned_collection import embedded, errors
    from versioned_collection.aio import AsyncVersionedCollection
    from versioned_collection.collection import VersionedCollection
    from versioned_collection.core.comparison import Comparison
    from versioned_collection.core.document import DocumentId
    from versioned_collection.core.merging import (
        ANY,
        ANY_STEPS,
        MISSING,
        UNRESOLVED,
        ElementKey,
        MergePolicy,
        Side,
    )
    from versioned_collection.core.retention import Retention
    from versioned_collection.core.version import Version
    from versioned_collection.past.view import PastCollection
    from versioned_collection.trackers.purges import Tombstone
    from versioned_collection.verbs.conflicts import Conflict
    from versioned_collection.verbs.export import Exported
    from versioned_collection.verbs.fetch import Fetched
    from versioned_collection.verbs.find_versions import Appearance
    from versioned_collection.verbs.history import BlamedField, DocumentVersion
    from versioned_collection.verbs.import_ import Imported
    from versioned_collection.verbs.pull import Pulled
    from versioned_collection.verbs.purge import Purged
    from versioned_collection.verbs.push import Pushed
    from versioned_collection.verbs.remote import RemoteInfo
    from versioned_collection.verbs.restore import Restored
    from versioned_collection.verbs.stash import Stash
    from versioned_collection.verbs.thin_out import ThinnedOut
    from versioned_collection.verbs.worktree import Worktree
    from versioned_collection.working.selection import Only

__all__ = [
    "ANY",
    "ANY_STEPS",
    "MISSING",
    "UNRESOLVED",
    "Appearance",
    "AsyncVersionedCollection",
    "BlamedField",
    "Comparison",
    "Conflict",
    "DocumentId",
    "DocumentVersion",
    "ElementKey",
    "Exported",
    "Fetched",
    "Imported",
    "MergePolicy",
    "Only",
    "PastCollection",
    "Pulled",
    "Purged",
    "Pushed",
    "RemoteInfo",
    "Restored",
    "Retention",
    "Side",
    "Stash",
    "ThinnedOut",
    "Tombstone",
    "Version",
    "VersionedCollection",
    "Worktree",
    "embedded",
    "errors",
]

__version__ = "0.1.0"

# A program decides what it logs; without a word from it nothing is printed.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Imported when first used: the driver alone takes a quarter of a second, which `vc --help`
# and programs that only need a part of the package should not pay.
_MERGING = "versioned_collection.core.merging"
_HOMES = {
    "Appearance": "versioned_collection.verbs.find_versions",
    "AsyncVersionedCollection": "versioned_collection.aio",
    **dict.fromkeys(("ANY", "ANY_STEPS", "MISSING", "UNRESOLVED"), _MERGING),
    **dict.fromkeys(("ElementKey", "MergePolicy", "Side"), _MERGING),
    "Comparison": "versioned_collection.core.comparison",
    "Conflict": "versioned_collection.verbs.conflicts",
    "DocumentId": "versioned_collection.core.document",
    **dict.fromkeys(("BlamedField", "DocumentVersion"), "versioned_collection.verbs.history"),
    "Exported": "versioned_collection.verbs.export",
    "Fetched": "versioned_collection.verbs.fetch",
    "Imported": "versioned_collection.verbs.import_",
    "Only": "versioned_collection.working.selection",
    "PastCollection": "versioned_collection.past.view",
    "Pulled": "versioned_collection.verbs.pull",
    "Purged": "versioned_collection.verbs.purge",
    "Pushed": "versioned_collection.verbs.push",
    "RemoteInfo": "versioned_collection.verbs.remote",
    "Restored": "versioned_collection.verbs.restore",
    "Retention": "versioned_collection.core.retention",
    "Stash": "versioned_collection.verbs.stash",
    "ThinnedOut": "versioned_collection.verbs.thin_out",
    "Tombstone": "versioned_collection.trackers.purges",
    "Version": "versioned_collection.core.version",
    "VersionedCollection": "versioned_collection.collection",
    "Worktree": "versioned_collection.verbs.worktree",
}
_MODULES = ("embedded", "errors")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
