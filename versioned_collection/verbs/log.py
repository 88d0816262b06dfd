"""get_log, log, history of references: reading the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from versioned_collection.core.document import DocumentId
from versioned_collection.core.portions import at_most
from versioned_collection.core.times import utc
from versioned_collection.core.version import Log, Version, VersionId
from versioned_collection.errors import InvalidType
from versioned_collection.history.facts import check_limit
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import ancestry
from versioned_collection.past.plan import Planner
from versioned_collection.past.trail import Trail, trail_of
from versioned_collection.repository.repository import Repository


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
    planner: Planner,
    revision: RevisionLike = None,
    limit: int | None = None,
    document: Any = None,
    author: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Version]:
    """Iterate over the versions from a revision to the root, newest first.

    Args:
        planner: Knows what serves versions; its repository counts.
        revision: Where to start, HEAD by default.
        limit: At most so many entries.
        document: Only versions that changed the document with this ``_id``, or with a
            `DocumentId` that very one; the first one where it has the document.
        author: Only versions of this author (name or mail address).
        since: Only versions registered at this time or later.
        until: Only versions registered at this time or earlier.
    """
    _check(limit, author, since, until)
    repository = planner.repository
    start = Resolver(repository, repository.state()).resolve(revision)
    entries = ancestry(repository, start)
    if document is not None:
        key = repository.codec.key(document)
        trail = trail_of(planner, key, isinstance(document, DocumentId), start, "log")
        entries = _with_document(entries, trail, start)
    found = (
        entry
        for entry in entries
        if (author is None or _is_by(entry, author))
        and (since is None or utc(entry.timestamp) >= utc(since))
        and (until is None or utc(entry.timestamp) <= utc(until))
    )
    return at_most(found, limit)


def _with_document(
    entries: Iterator[Version], trail: Trail, start: VersionId
) -> Iterator[Version]:
    """Leave out versions that did not change a document, the first one unless it has it."""
    changing = set(trail.chain(start))
    for entry in entries:
        if entry.id in changing or (not entry.parents and trail.began_with(start)):
            yield entry


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
