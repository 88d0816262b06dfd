"""Log entries as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from sys import intern
from typing import Any

from bson.datetime_ms import DatetimeMS

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Gap, Version, VersionId, fingerprint_text
from versioned_collection.trackers.base import FORMAT, must

NODE_FIELDS = {"parents": 1, "number": 1, "branch": 1}
"""What a log entry says of the place in the tree."""

_IDS = {VersionId}
_FACTS = ("stats", "fingerprint", "checksum")
_TYPES: Mapping[str, Any] = {
    "message": str,
    "timestamp": (datetime, DatetimeMS),
    "fingerprint": str,
    "checksum": str,
}


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


def node_from_bson(stored: Mapping[str, Any]) -> Node:
    """Return the place in the tree of which `NODE_FIELDS` of a log entry tell.

    Raises:
        ValueError: It is no place that a version can have.
    """
    parents, number, branch = tuple(stored["parents"]), stored["number"], stored["branch"]
    if type(number) is not int or type(branch) is not str or {*map(type, parents)} - _IDS:
        check_place(parents, number, branch)  # a call for each of many versions would be felt
    return Node(stored["_id"], parents, number, intern(branch))


def check_place(parents: tuple[Any, ...], number: Any, branch: Any) -> None:
    """Check where a log entry says that its version stands.

    Raises:
        ValueError: It says what no version can be called, or stand on.
    """
    if not isinstance(number, int):
        raise ValueError("its number is none")
    if not isinstance(branch, str):
        raise ValueError("its branch is no name")
    for parent in parents:
        if not isinstance(parent, VersionId):
            raise ValueError("its parents are no version ids")


def check_facts(entry: Version) -> None:
    """Check the types of what a log entry says; what of it was changed, its checksum tells.

    Raises:
        ValueError: Nothing can be done with it.
    """
    check_place(entry.parents, entry.number, entry.branch)
    for name, kind in _TYPES.items():
        must(isinstance(getattr(entry, name), kind), f"its {name} is none")
    int(entry.fingerprint, 16)
    must(_are_counts(entry.stats), "its stats are none")


def _are_counts(stats: Any) -> bool:
    return isinstance(stats, Mapping) and all(isinstance(one, int) for one in stats.values())


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
