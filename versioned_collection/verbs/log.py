"""get_log, log, history of references: reading the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from versioned_collection.core.document import DocumentKey
from versioned_collection.core.portions import at_most
from versioned_collection.core.times import utc
from versioned_collection.core.version import Log, Version, VersionId
from versioned_collection.errors import InvalidType
from versioned_collection.repository import Repository
from versioned_collection.versions import Resolver, RevisionLike, ancestry, check_limit


def get_log(repository: Repository, branch: str | None = None) -> Log:
    """Return the entries from the tip of a branch to the root, newest first.

    Raises:
        BranchNotFound: There is no such branch.
        InvalidType: The branch is no text.
    """
    state = repository.state()
    resolver = Resolver(repository, state)
    if branch is None and resolver.tip(state.branch) is None:
        return Log(ancestry(repository, state.head))
    wanted = state.branch if branch is None else branch
    return Log(ancestry(repository, resolver.resolve(None, wanted)))


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
        document: Only versions that changed the document with this ``_id`` (or `DocumentId`);
            the first one where it has the document.
        author: Only versions of this author (name or mail address).
        since: Only versions registered at this time or later.
        until: Only versions registered at this time or earlier.
    """
    _check(limit, author, since, until)
    state = repository.state()
    start = Resolver(repository, state).resolve(revision)
    entries = ancestry(repository, start)
    if document is not None:
        entries = _with_document(repository, entries, repository.codec.key(document))
    found = (
        entry
        for entry in entries
        if (author is None or _is_by(entry, author))
        and (since is None or utc(entry.timestamp) >= utc(since))
        and (until is None or utc(entry.timestamp) <= utc(until))
    )
    return at_most(found, limit)


def _with_document(
    repository: Repository, entries: Iterator[Version], key: DocumentKey
) -> Iterator[Version]:
    """Leave out versions that did not change a document, the first one unless it has it."""
    touched = repository.deltas.versions_of(key)
    oldest: VersionId | None = None
    for entry in entries:
        if entry.id in touched:
            oldest = entry.id
            yield entry
        elif not entry.parents and _began_with(repository, key, touched, oldest):
            yield entry


def _began_with(
    repository: Repository, key: DocumentKey, touched: set[VersionId], oldest: VersionId | None
) -> bool:
    """Tell whether the first version has a document; no deltas lead to that version.

    The oldest change of the document says what there was before, on whichever branch it was
    made. What no version has changed is the same in all of them.

    Args:
        repository: The trackers.
        key: The id of the document.
        touched: The versions that changed it.
        oldest: The oldest of them on one way to the first version, None where there is none.
    """
    if oldest is None:
        oldest = _oldest_elsewhere(repository, touched)
    if oldest is None:
        return any(key in found for _, found in repository.replica.by_keys([key]))
    changes = repository.deltas.of_document([oldest], [key])
    return any(delta.key == key and delta.before is not None for _, delta in changes)


def _oldest_elsewhere(repository: Repository, touched: set[VersionId]) -> VersionId | None:
    """Return a version that is the first on its way to change a document."""
    known = repository.log.nodes(list(touched))  # others are on their way in, or were left behind
    if not known:
        return None
    way = repository.log.ancestry().ancestors(known[0].id)
    return [version for version in way if version in touched][-1]


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
