"""Looking at what came from elsewhere before it is stored: shapes, sizes, hashes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import document_hash, document_key
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import TransferRefused, VersioningError
from versioned_collection.trackers.base import storable
from versioned_collection.versions import check_texts

_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_LARGEST_NUMBER = 2**63 - 1
_LONGEST_BRANCH = 500
_STATS = {"inserted", "updated", "deleted"}
_HASH_BYTES = 32


def refused(version: Any, reason: str) -> TransferRefused:
    """Return the error for a version that is not as it must be."""
    return TransferRefused(
        f"version {version} was refused: {reason}. Nothing of it was kept; verify() at the "
        "remote lists what is wrong there",
        version=version,
        reason=reason,
    )


def check_entry(entry: Version) -> None:
    """Check the shape of a log entry.

    Raises:
        TransferRefused: Something is not as it must be.
    """
    problem = _problem_of_entry(entry)
    if problem is not None:
        raise refused(entry.id, problem)


def _problem_of_entry(entry: Version) -> str | None:
    shapes = {
        "its id is no ObjectId": isinstance(entry.id, VersionId),
        "its number is none": _is_number(entry.number),
        "its branch is no name": _is_name(entry.branch),
        "its parents are no version ids": _are_parents(entry.parents),
        "its time is none": isinstance(entry.timestamp, datetime),
        "its checksum is none": _is_digest(entry.checksum),
        "its fingerprint is none": _is_digest(entry.fingerprint),
        "its counts are none": _are_stats(entry.stats),
    }
    problem = next((problem for problem, holds in shapes.items() if not holds), None)
    if problem is not None:
        return problem
    try:
        check_texts(entry.message, entry.author, entry.metadata)
    except VersioningError as error:
        return error.message
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_NUMBER


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_BRANCH and storable(value)


def _are_parents(value: Any) -> bool:
    return all(isinstance(one, VersionId) for one in value) and len(set(value)) == len(value)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.match(value) is not None


def _are_stats(value: Any) -> bool:
    return set(value) == _STATS and all(map(_is_number, value.values()))


def check_delta(version: VersionId, delta: Delta) -> None:
    """Check that a delta is whole, and that its images are those that its hashes name.

    Rows prove themselves when they are applied.

    Raises:
        TransferRefused: Something is not as it must be.
    """
    ends = {"insert": (False, True), "update": (True, True), "delete": (True, False)}
    hashes = (delta.before, delta.after)
    if ends.get(delta.op) != tuple(one is not None for one in hashes):
        raise refused(version, "a change is neither insert, update nor delete")
    if any(one is not None and not _is_hash(one) for one in hashes):
        raise refused(version, "a change has a malformed hash")
    if delta.steps is not None:
        if delta.op != "update" or delta.old is not None or delta.new is not None:
            raise refused(version, "a change holds both fields and documents")
        return
    for raw, digest in ((delta.old, delta.before), (delta.new, delta.after)):
        if (None if raw is None else document_hash(raw)) != digest:
            raise refused(version, "a document does not match its hash")
        if raw is not None and document_key(raw) != delta.key:
            raise refused(version, "a document has another id than its change")


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == _HASH_BYTES
