"""A version: one recorded state of the collection, and what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import bson
from bson.objectid import ObjectId

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.times import utc_text

VersionId = ObjectId

UNBORN = -1
"""The number that stands for a branch without a version of its own."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The versions that were thinned out between a version and the one it stands on now.

    What the version said of its parents and changes when it was registered is kept: its
    checksum is still that of then, and its changes are those of all the versions together.

    Attributes:
        versions: Id, branch and number of each that went, oldest first.
        parents: The checksums of the parents with which it was registered.
        digest: Sum of the digests of the changes with which it was registered.
    """

    versions: tuple[tuple[VersionId, str, int], ...]
    parents: tuple[str, ...]
    digest: int


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of the log.

    Two are equal when they say the same, what people passed by its BSON: a NaN is one, and 1 is
    not True.

    Attributes:
        id: The identity; it never changes and travels with the history.
        number: The number on its branch, counted from 0.
        branch: The branch on which it was registered.
        parents: Ids of the parents; the first one is the parent in the version tree.
        timestamp: When it was registered (UTC, server's clock).
        message: What the author said about it.
        stored_author: The author without the collection's codec options.
        stored_metadata: The facts without the collection's codec options.
        stats: Numbers of documents ``inserted``, ``updated``, ``deleted``.
        fingerprint: Hex number that identifies the content of the whole collection.
        checksum: SHA-256 (hex) over parents, changes and the facts above except the label.
        gap: What was thinned out before it, None mostly.
        codec: The codec options of the collection that it was asked of.
    """

    id: VersionId
    number: int
    branch: str
    parents: tuple[VersionId, ...]
    timestamp: datetime
    message: str
    stored_author: str | Mapping[str, Any] | None = field(default=None, compare=False)
    stored_metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)
    stats: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    checksum: str = ""
    gap: Gap | None = None
    codec: Codec = field(default=PLAIN, repr=False, compare=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self is other or self._said() == other._said()

    def __hash__(self) -> int:
        return hash(self.id)

    def _said(self) -> tuple[Any, ...]:
        """Return what tells it from others."""
        passed = bson.encode({"author": self.stored_author, "metadata": self.stored_metadata})
        return passed, *(getattr(self, one.name) for one in fields(self) if one.compare)

    @property
    def author(self) -> str | Mapping[str, Any] | None:
        """Who registered it: a name or a dict, None when not given."""
        author = self.stored_author
        return self.codec.shown(author) if isinstance(author, Mapping) else author

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Free facts recorded with it."""
        metadata: Mapping[str, Any] = self.codec.shown(self.stored_metadata)
        return metadata

    @property
    def version(self) -> int:
        """The number on the branch (the name that older programs use)."""
        return self.number

    @property
    def parent(self) -> VersionId | None:
        """The parent in the version tree, None for the root."""
        return self.parents[0] if self.parents else None

    @property
    def label(self) -> str:
        """The revision text ``branch@number``."""
        return f"{self.branch}@{self.number}"

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]

    def _repr_html_(self) -> str:
        from versioned_collection.core import html

        return html.fragment(html.version_table(self))

    def __str__(self) -> str:
        who = f"\nAuthor:  {author_text(self.author)}" if self.author else ""
        when = utc_text(self.timestamp)
        head = f"version {self.label} ({self.checksum[:12]}){who}"
        return f"{head}\nDate:    {when}\n\n    {self.message}\n"


class Log(list[Version]):
    """Versions, newest first; notebooks draw them."""

    def _repr_html_(self) -> str:
        from versioned_collection.core import html

        return html.fragment(html.log_graph(self))


def author_text(author: str | Mapping[str, Any] | None) -> str:
    """Return an author for people: the name and, where known, the mail address."""
    if author is None or isinstance(author, str):
        return author or ""
    name, email = author.get("name"), author.get("email")
    if name and email:
        return f"{name} <{email}>"
    return str(name or email or dict(author))


def version_checksum(
    version: Version, parent_checksums: Sequence[str], changes_digest: int
) -> str:
    """Return the checksum of a version: evidence against later changes.

    Labels and ids are left out: a version may be re-labelled without its content changing.

    Args:
        version: The entry; its own `checksum` is ignored.
        parent_checksums: The checksums of the parents, in their order.
        changes_digest: The sum of the digests of its deltas.
    """
    content = {
        "parents": list(parent_checksums),
        "changes": changes_digest.to_bytes(32, "big"),
        "timestamp": version.timestamp,
        "message": version.message,
        "author": version.stored_author,
        "metadata": version.stored_metadata,
        "stats": {name: int(version.stats[name]) for name in sorted(version.stats)},
        "fingerprint": version.fingerprint,
    }
    return hashlib.sha256(bson.encode(content)).hexdigest()


def seal_of(version: Version, parent_checksums: Sequence[str], changes_digest: int) -> str:
    """Return the checksum that a version has to have.

    Args:
        version: The entry.
        parent_checksums: The checksums of the parents, in their order.
        changes_digest: The sum of the digests of its deltas. Of one behind a gap neither counts,
            but what it was registered with.
    """
    if version.gap is not None:
        parent_checksums, changes_digest = version.gap.parents, version.gap.digest
    return version_checksum(version, parent_checksums, changes_digest)


def sealed(version: Version, parent_checksums: Sequence[str], changes_digest: int) -> bool:
    """Tell whether a version is what its checksum was made of; see `seal_of`."""
    return seal_of(version, parent_checksums, changes_digest) == version.checksum


def fingerprint_text(number: int) -> str:
    """Return a fingerprint as it is stored: 64 hexadecimal digits."""
    return f"{number:064x}"
