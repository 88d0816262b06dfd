"""Looking at what came from elsewhere before it is stored: shapes, sizes, hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey, document_hash, document_key, is_no_id
from versioned_collection.core.revision import check_name
from versioned_collection.core.sums import MODULUS, Sums
from versioned_collection.core.tree import Node
from versioned_collection.core.version import (
    Version,
    VersionId,
    fingerprint_text,
    sealed,
)
from versioned_collection.errors import (
    CorruptHistory,
    FormatMismatch,
    TransferRefused,
    VersioningError,
)
from versioned_collection.history.facts import check_texts
from versioned_collection.history.labels import is_aside
from versioned_collection.trackers.base import MALFORMED, storable
from versioned_collection.trackers.purges import Tombstone

UNREADABLE = (*MALFORMED, CorruptHistory, FormatMismatch)
"""What reading trackers raises that hold what no release of this library has written."""

_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_LARGEST_NUMBER = 2**63 - 1
_LARGEST_OF_LABEL = 2**53 - 1
"""Versions to come have room behind it."""
_LONGEST_BRANCH = 500
_STATS = {"inserted", "updated", "deleted"}
_ENDS = {"insert": (False, True), "update": (True, True), "delete": (True, False)}
"""Whether there is a document before and after, by the operation."""
_HASH_BYTES = 32
_LARGEST_DOCUMENT = 16 * 1024 * 1024
_VALIDATED_BY_SERVERS = 8 * 1024 * 1024

_CHECKING: CodecOptions[dict[str, Any]] = CodecOptions(
    unicode_decode_error_handler="ignore", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def refused(version: Any, reason: str) -> TransferRefused:
    """Return the error for a version that is not as it must be."""
    return TransferRefused(
        f"version {version} was refused: {reason}. Nothing of it was kept. Try again: it may have "
        "been changed there meanwhile, as by a purge; otherwise verify() at the side that sent it "
        "lists what is wrong",
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
        **_places(entry),
        "its time is none": isinstance(entry.timestamp, datetime),
        "its checksum is none": _is_digest(entry.checksum),
        "its fingerprint is none": _is_digest(entry.fingerprint),
        "its counts are none": _are_stats(entry.stats),
        "what is said to be thinned out is no history": _is_gap(entry),
    }
    problem = next((problem for problem, holds in shapes.items() if not holds), None)
    if problem is not None:
        return problem
    try:
        check_texts(entry.message, entry.stored_author, entry.stored_metadata)
    except VersioningError as error:
        return error.message
    return None


def check_node(node: Node) -> None:
    """Check the shape of a version's place in the tree.

    Raises:
        TransferRefused: Something is not as it must be.
    """
    problem = next((problem for problem, holds in _places(node).items() if not holds), None)
    if problem is not None:
        raise refused(node.id, problem)


def check_refs(
    branches: Mapping[str, VersionId], tags: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Check names that point to versions.

    Returns:
        The tags, each with the facts that tags have and no others.

    Raises:
        TransferRefused: Something is not as it must be.
    """
    for name, tip in branches.items():
        _check_reference(name, tip, "branch")
    checked = {}
    for name, tag in tags.items():
        facts = {fact: tag.get(fact) for fact in ("version", "message", "timestamp")}
        _check_reference(name, facts["version"], "tag")
        message, time = facts["message"], facts["timestamp"]
        if not isinstance(time, datetime) or not (message is None or isinstance(message, str)):
            raise refused(facts["version"], f"the tag {name!r} has malformed facts")
        checked[name] = facts
    return checked


def _check_reference(name: Any, version: Any, what: str) -> None:
    try:
        if not _is_text(name):
            raise refused(version, f"the name of a {what} is no text")
        if not is_aside(name):
            check_name(name, what)
    except VersioningError as error:
        raise refused(version, error.message) from error
    if not isinstance(version, VersionId):
        raise refused(version, f"the {what} {name!r} points to no version id")


def check_tombstones(found: Sequence[Tombstone]) -> list[Tombstone]:
    """Check the shape of what was kept of purges; return it.

    Raises:
        TransferRefused: Something is not as it must be.
    """
    claimed: Sequence[Any] = found
    for one in claimed:
        if not isinstance(one.id, VersionId) or not isinstance(one.timestamp, datetime):
            raise _no_tombstone("it has no id, or no time")
        if not _is_text(one.reason) or not all(map(_is_number, (one.documents, one.versions))):
            raise _no_tombstone("its facts are malformed")
        try:
            check_texts(one.reason, one.by, None)
        except VersioningError as error:
            raise _no_tombstone(error.message) from error
    return list(found)


def _no_tombstone(problem: str) -> TransferRefused:
    return TransferRefused(
        f"what was purged at the remote cannot be read: {problem}", version=None, reason=problem
    )


def _places(one: Node | Version) -> dict[str, bool]:
    return {
        "its id is no ObjectId": isinstance(one.id, VersionId),
        "its number is none": _is_label(one.number),
        "its branch is no name": _is_name(one.branch),
        "its parents are no version ids": _are_parents(one.parents) and one.id not in one.parents,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_NUMBER


def _is_label(number: Any) -> bool:
    return _is_number(number) and number <= _LARGEST_OF_LABEL


def _is_name(value: Any) -> bool:
    return _is_text(value) and 0 < len(value) <= _LONGEST_BRANCH and storable(value)


def _is_text(value: Any) -> bool:
    """Tell whether a value is a text; JavaScript code is one to Python, which cannot hash it."""
    return type(value) is str


def _are_parents(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and all(isinstance(one, VersionId) for one in value)
        and len(set(value)) == len(value)
    )


def _is_gap(entry: Version) -> bool:
    gap = entry.gap
    if gap is None:
        return True
    return (
        len(entry.parents) > 0
        and len(gap.versions) > 0
        and len(gap.parents) > 0
        and all(map(_is_digest, gap.parents))
        and gap.digest < MODULUS
        and all(_is_named(*named) for named in gap.versions)
    )


def _is_named(version: Any, branch: Any, number: Any) -> bool:
    return isinstance(version, VersionId) and _is_name(branch) and _is_label(number)


def _is_digest(value: Any) -> bool:
    return _is_text(value) and _DIGEST.match(value) is not None


def _are_stats(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == _STATS
        and all(map(_is_number, value.values()))
    )


def check_delta(version: VersionId, delta: Delta) -> None:
    """Check that a delta is whole, and that its images are those that its hashes name.

    Rows prove themselves when they are applied.

    Raises:
        TransferRefused: Something is not as it must be.
    """
    problem = _problem_of_delta(delta)
    if problem is not None:
        raise refused(version, problem)


def _problem_of_delta(delta: Delta) -> str | None:
    before, after = delta.before, delta.after
    op: Any = delta.op
    if not _is_text(op) or _ENDS.get(op) != (before is not None, after is not None):
        return "a change is neither insert, update nor delete"
    if any(one is not None and not _is_hash(one) for one in (before, after)):
        return "a change has a malformed hash"
    if not delta.key or _is_no_id(delta.key):
        return "a change is of an id that no document can have"
    if delta.steps is None:
        return _problem_of_images(delta)
    if delta.op != "update" or delta.old is not None or delta.new is not None:
        return "a change holds both fields and documents"
    if any(not row.path or row.path[0] == "_id" for rows in delta.steps for row in rows):
        return "a change of fields changes the id"
    return None


def _is_no_id(key: DocumentKey) -> bool:
    try:
        return is_no_id(key)
    except UNREADABLE:
        return True


def _problem_of_images(delta: Delta) -> str | None:
    sides: Any = ((delta.old, delta.before), (delta.new, delta.after))
    for raw, digest in sides:
        if raw is not None and not isinstance(raw, bytes):
            return "a document is none"
        if (None if raw is None else document_hash(raw)) != digest:
            return "a document does not match its hash"
        if raw is not None:
            problem = problem_of_document(raw, delta.key)
            if problem is not None:
                return problem
    return None


def problem_of_changes(entry: Version, parents: Sequence[Version], sums: Sums) -> str | None:
    """Return what makes changes other than those that a version announces, None for nothing.

    Args:
        entry: The log entry of the version.
        parents: Those of its parents, in their order.
        sums: What the changes add up to.
    """
    if not sealed(entry, [one.checksum for one in parents], sums.digest % MODULUS):
        return "its changes and facts do not match its checksum"
    if not parents:
        return "it has changes, but no parent" if sums.count else None
    content = int(parents[0].fingerprint, 16) + sums.content
    if fingerprint_text(content % MODULUS) != entry.fingerprint:
        return "its changes do not lead to the content that it names"
    if entry.gap is None and dict(entry.stats) != sums.stats:
        return "it counts its changes wrongly"
    return None


def problem_of_document(raw: bytes, key: bytes) -> str | None:
    """Return what makes bytes no document that a server would have stored, None for nothing.

    Args:
        raw: The bytes. Smaller ones are validated by the server that stores them.
        key: The key that the document has to have.
    """
    if len(raw) > _LARGEST_DOCUMENT:
        return "a document is larger than MongoDB allows"
    try:
        if len(raw) > _VALIDATED_BY_SERVERS:
            bson.decode(raw, _CHECKING)
        if raw[5:9] != b"_id\0" or document_key(raw) != key:
            return "a document has another id than its change"
    except UNREADABLE as error:
        return f"a document cannot be read ({error})"
    return None


def key_in(raw: bytes) -> DocumentKey:
    """Return the key of a document, one that no document has where it cannot be read."""
    try:
        return document_key(raw)
    except UNREADABLE:
        return b""


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == _HASH_BYTES
