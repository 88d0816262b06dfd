"""Log entries as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from versioned_collection.core.version import Version
from versioned_collection.trackers.base import FORMAT

_FACTS = ("message", "author", "metadata", "stats", "fingerprint", "checksum")


def entry_to_bson(version: Version) -> dict[str, Any]:
    """Return a log entry as it is stored."""
    return {
        "_id": version.id,
        "format": FORMAT,
        "number": version.number,
        "branch": version.branch,
        "parents": list(version.parents),
        "timestamp": version.timestamp,
        **{name: getattr(version, name) for name in _FACTS},
    }


def entry_from_bson(stored: Mapping[str, Any]) -> Version:
    """Return the log entry that `entry_to_bson` stored."""
    return Version(
        stored["_id"],
        stored["number"],
        stored["branch"],
        tuple(stored["parents"]),
        stored["timestamp"],
        **{name: stored[name] for name in _FACTS},
    )
