"""What people say about versions, checked; versions completed with their checksums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import bson

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.document import AWARE_OPTIONS
from versioned_collection.core.version import (
    Version,
    fingerprint_text,
    version_checksum,
)
from versioned_collection.errors import (
    InvalidArgument,
    InvalidType,
)
from versioned_collection.trackers.entries import entry_from_bson, entry_to_bson

_LARGEST_TEXT = 1024 * 1024


def check_texts(message: Any, author: Any, metadata: Any) -> None:
    """Check what a person says about a version.

    Raises:
        InvalidType: An argument is of the wrong type.
        InvalidArgument: Together they are too large, or BSON cannot hold them.
    """
    if not isinstance(message, str):
        raise InvalidType(f"message is a text, not {type(message).__name__}", argument="message")
    if author is not None and not isinstance(author, (str, Mapping)):
        raise InvalidType("author is a text or a dict", argument="author")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidType("metadata is a dict", argument="metadata")
    try:
        raw = bson.encode({"message": message, "author": author, "metadata": metadata})
        bson.decode(raw, AWARE_OPTIONS)  # as whoever reads the log does
    except (bson.errors.BSONError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument(f"BSON cannot hold message, author or metadata: {error}") from error
    size = len(raw)
    if size > _LARGEST_TEXT:
        raise InvalidArgument(
            f"message, author and metadata take {size} bytes, at most {_LARGEST_TEXT} are "
            "recorded; store large facts in the collection itself",
            bytes=size,
        )


def check_said(message: Any, author: Any, metadata: Any) -> None:
    """Check what a person says about a version that finds a message itself where there is none.

    Raises:
        InvalidType: An argument is of the wrong type; the message may be None.
        InvalidArgument: Together they are too large, or BSON cannot hold them.
    """
    check_texts("" if message is None else message, author, metadata)


def check_limit(limit: Any) -> None:
    """Check how many entries a person asks for at most, None for all.

    Raises:
        InvalidType: It is no whole number.
        InvalidArgument: It is negative.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise InvalidType("limit is a whole number", limit=limit)
    if limit is not None and limit < 0:
        raise InvalidArgument("limit is not negative", limit=limit)


def completed(
    version: Version,
    parents: Sequence[Version],
    changes_digest: int,
    fingerprint: int,
    codec: Codec = PLAIN,
) -> Version:
    """Return the version with its fingerprint and checksum, as it will be read back.

    Args:
        version: The entry.
        parents: Those of its parents.
        changes_digest: The sum of the digests of its deltas.
        fingerprint: That of its content.
        codec: The codec options of the collection.
    """
    version = entry_from_bson(_as_stored(version, codec), codec)
    version = replace(version, fingerprint=fingerprint_text(fingerprint))
    checksum = version_checksum(version, [parent.checksum for parent in parents], changes_digest)
    return replace(version, checksum=checksum)


def _as_stored(version: Version, codec: Codec) -> Mapping[str, Any]:
    """Round-trip through BSON, so that the checksum is that of what will be read back."""
    return bson.decode(bson.encode(entry_to_bson(version)), codec.times)
