"""Log entries as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.version import Gap, Version, fingerprint_text
from versioned_collection.trackers.base import FORMAT

_FACTS = ("stats", "fingerprint", "checksum")


def entry_to_bson(version: Version) -> dict[str, Any]:
    """Return a log entry as it is stored."""
    return {
        "_id": version.id,
        "format": FORMAT,
        "number": version.number,
        "branch": version.branch,
        "parents": list(version.parents),
        "timestamp": version.timestamp,
        "message": version.message,
        "author": version.stored_author,
        "metadata": version.stored_metadata,
        **{name: getattr(version, name) for name in _FACTS},
        **({} if version.gap is None else {"gap": gap_to_bson(version.gap)}),
    }


def entry_from_bson(stored: Mapping[str, Any], codec: Codec = PLAIN) -> Version:
    """Return the log entry that `entry_to_bson` stored.

    Args:
        stored: The entry.
        codec: How people get what was said about it.
    """
    return Version(
        stored["_id"],
        stored["number"],
        stored["branch"],
        tuple(stored["parents"]),
        stored["timestamp"],
        stored["message"],
        stored["author"],
        stored["metadata"],
        **{name: stored[name] for name in _FACTS},
        gap=_gap(stored["gap"]) if "gap" in stored else None,
        codec=codec,
    )


def gap_to_bson(gap: Gap) -> dict[str, Any]:
    """Return a gap as it is stored in the entry behind it."""
    return {
        "versions": [
            {"version": version, "branch": branch, "number": number}
            for version, branch, number in gap.versions
        ],
        "parents": list(gap.parents),
        "digest": fingerprint_text(gap.digest),
    }


def _gap(stored: Mapping[str, Any]) -> Gap:
    versions = ((one["version"], one["branch"], one["number"]) for one in stored["versions"])
    return Gap(tuple(versions), tuple(stored["parents"]), int(stored["digest"], 16))
