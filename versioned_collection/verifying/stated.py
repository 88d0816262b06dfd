"""What the log states of each version, as far as the checks compare it."""

from __future__ import annotations

from typing import NamedTuple

from versioned_collection.core.version import VersionId
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import Unreadable


class Stated(NamedTuple):
    """The little that is held of a version while all of them are checked.

    Attributes:
        id: The version.
        label: The revision text ``branch@number``.
        checksum: SHA-256 (hex) over parents, changes and facts.
        fingerprint: Hex number that identifies the content of the whole collection.
    """

    id: VersionId
    label: str
    checksum: str
    fingerprint: str


def all_stated(repository: Repository, unreadable: Unreadable) -> dict[VersionId, Stated]:
    """Return what the log states of all versions.

    Args:
        repository: The trackers.
        unreadable: Takes the errors for entries that cannot be read, which are left out.
    """
    return {
        entry.id: Stated(entry.id, entry.label, entry.checksum, entry.fingerprint)
        for entries in repository.log.in_replies(unreadable=unreadable)
        for entry in entries
    }
