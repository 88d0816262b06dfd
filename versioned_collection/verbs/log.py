"""get_log, log, history of references: reading the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from versioned_collection.core.times import utc
from versioned_collection.core.version import Log, Version
from versioned_collection.errors import InvalidType
from versioned_collection.repository import Repository
from versioned_collection.versions import Resolver, RevisionLike, ancestry, check_limit


def get_log(repository: Repository, branch: str | None = None) -> Log:
    """Return the entries from the tip of a branch to the root, newest first.

    Raises:
        BranchNotFound: There is no such branch.
    """
    state = repository.state()
    resolver = Resolver(repository, state)
    if branch is None and resolver.tip(state.branch) is None:
        return Log(ancestry(repository, state.head))
    return Log(ancestry(repository, resolver.resolve(None, branch or state.branch)))


def log(
    repository: Repository,
    revision: RevisionLike = None,
    limit: int | None = None,
    document: Any = None,
    author: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Version]:
    """Iterate over the versions from a revision to the root, newest first.

    Args:
        repository: The trackers.
        revision: Where to start, HEAD by default.
        limit: At most so many entries.
        document: Only versions that changed the document with this ``_id`` (or `DocumentId`).
        author: Only versions of this author (name or mail address).
        since: Only versions registered at this time or later.
        until: Only versions registered at this time or earlier.
    """
    _check(limit, author, since, until)
    state = repository.state()
    start = Resolver(repository, state).resolve(revision)
    touched = None
    if document is not None:
        touched = repository.deltas.versions_of(repository.codec.key(document))
    found = (
        entry
        for entry in ancestry(repository, start)
        if (touched is None or entry.id in touched)
        and (author is None or _is_by(entry, author))
        and (since is None or utc(entry.timestamp) >= utc(since))
        and (until is None or utc(entry.timestamp) <= utc(until))
    )
    return islice(found, limit)


def _check(limit: Any, author: Any, *times: Any) -> None:
    check_limit(limit)
    if author is not None and not isinstance(author, str):
        raise InvalidType("author is a text: a name or a mail address", author=author)
    if not all(time is None or isinstance(time, datetime) for time in times):
        raise InvalidType("since and until are datetimes", times=times)


def _is_by(entry: Version, author: str) -> bool:
    if isinstance(entry.stored_author, str) or entry.stored_author is None:
        return entry.stored_author == author
    return author in (entry.stored_author.get("name"), entry.stored_author.get("email"))
