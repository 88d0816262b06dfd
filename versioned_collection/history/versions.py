"""Versions as the log has them, and the names that new branches may take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from versioned_collection.core.merging import MergeContext
from versioned_collection.core.tree import missing_version
from versioned_collection.core.version import (
    Version,
    VersionId,
)
from versioned_collection.errors import (
    CorruptHistory,
    InvalidArgument,
    VersioningError,
)
from versioned_collection.repository.refusals import not_tracked
from versioned_collection.repository.repository import Repository

_FIRST_ENTRIES, _MOST_ENTRIES = 64, 4_096
"""Log entries that are read at once: people mostly look at the latest."""


def entry_of(repository: Repository, version: VersionId) -> Version:
    """Return the log entry of a version that must exist.

    Raises:
        CollectionNotTracked: Another client has dropped or renamed the collection meanwhile.
        CorruptHistory: It does not.
    """
    entry = repository.log.get(version)
    if entry is None:
        raise _unless_untracked(repository, missing_version(version))
    return entry


def ancestry(repository: Repository, version: VersionId) -> Iterator[Version]:
    """Iterate over the entries from a version up to the root, newest first.

    They are read some at a time, so it takes as long as it is followed.

    Raises:
        CollectionNotTracked: Another client has dropped or renamed the collection meanwhile.
        CorruptHistory: A version is not in the log.
    """
    order = repository.log.ancestry().ancestors(version)
    count = _FIRST_ENTRIES
    try:
        while some := list(islice(order, count)):
            entries = {entry.id: entry for entry in repository.log.get_many(some)}
            for one in some:
                if one not in entries:
                    raise missing_version(one)
                yield entries[one]
            count = min(2 * count, _MOST_ENTRIES)
    except CorruptHistory as error:
        raise _unless_untracked(repository, error) from None


def _unless_untracked(repository: Repository, error: CorruptHistory) -> VersioningError:
    """Return an error about the log, or the one that says why the log is not whole."""
    state = repository.known_state()
    if state is None or (state.intent or {}).get("verb") == "drop":
        return not_tracked(repository.name)  # another client has dropped all of it meanwhile
    return error


def merge_context(repository: Repository, ours: datetime, theirs: datetime) -> MergeContext:
    """Return what resolvers may know of a merge of what was registered at two times."""
    codec = repository.codec
    return MergeContext(codec.time(ours), codec.time(theirs), codec)


def refuse_taken(repository: Repository, name: str) -> None:
    """Refuse a name that something has, so that no new branch may.

    Labels that a branch of this name has left behind are in nobody's way: the numbers of the
    new one follow theirs.

    Raises:
        InvalidArgument: A branch, a tag, or a branch of a remote has it.
    """
    taken = holder_of(repository, name)
    if taken is not None:
        raise InvalidArgument(
            f"there is a {taken} {name!r} already; choose another name", branch=name
        )


def holder_of(repository: Repository, name: str) -> str | None:
    """Return what has a name that a branch is to have, None where nothing has it."""
    if repository.branches.get(name) is not None:
        return "branch"
    if repository.tags.get(name) is not None:
        return "tag"
    if "/" not in name or repository.log.last_number(name) < 0:
        return None
    fetched = any(name.startswith(f"{one}/") for one in repository.remotes.prefixes())
    return "branch of a remote" if fetched else None
