"""cherry_pick and revert: one version's changes, made again or taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from versioned_collection.core.merging import MergePolicy
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidArgument, InvalidOperation, InvalidType
from versioned_collection.history.facts import check_said
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.merges.joining import Joining
from versioned_collection.merges.merging import Sides
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recording import Facts
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import WorkingCopy


def cherry_pick(
    repository: Repository,
    revision: RevisionLike,
    policy: MergePolicy,
    parent: int | None = None,
    progress: Progress | None = None,
) -> Version:
    """Make the changes of one version again on HEAD.

    Message, author and metadata are those of the version.

    Returns:
        The new version; HEAD as it was where it has all these changes already.

    Raises:
        AutoMergeFailedError: Conflicts wait for decisions.
        InvalidArgument: The version is the root, or a merge and no parent was named.
        InvalidOperation: HEAD is detached, or there are uncommitted changes.
        InvalidCollectionVersion: There is no such version.
    """
    with holding(repository, "cherry_pick") as hold:
        version = _entry(hold, revision)
        base = _parent(version, parent)
        words = version.message, version.stored_author, dict(version.stored_metadata)
        said = Facts(hold.state.branch, *words)
        return _join(hold, base, version.id, said, policy, progress)


def revert(
    repository: Repository,
    revision: RevisionLike,
    policy: MergePolicy,
    parent: int | None = None,
    message: str | None = None,
    author: str | Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Version:
    """Take the changes of one version back, in a new version.

    Returns:
        The new version; HEAD as it was where nothing of these changes is left.

    Raises:
        AutoMergeFailedError: Conflicts wait for decisions.
        InvalidArgument: The version is the root, or a merge and no parent was named.
        InvalidOperation: HEAD is detached, or there are uncommitted changes.
        InvalidCollectionVersion: There is no such version.
    """
    check_said(message, author, metadata)
    with holding(repository, "revert") as hold:
        version = _entry(hold, revision)
        if message is None:
            message = f'Revert "{version.message}"'
        said = Facts(hold.state.branch, message, author, dict(metadata or {}))
        return _join(hold, version.id, _parent(version, parent), said, policy, progress)


def _entry(hold: Hold, revision: RevisionLike) -> Version:
    return entry_of(hold.repository, Resolver(hold.repository, hold.state).resolve(revision))


def _parent(version: Version, number: int | None) -> VersionId:
    """Return the parent whose difference to a version is meant."""
    count = len(version.parents)
    if not count:
        raise InvalidArgument(
            f"{version.label} is the first version, so there is nothing that it changed",
            version=version.id,
        )
    if number is None and count > 1:
        raise InvalidArgument(
            f"{version.label} is a merge: say with parent=1 (what was merged into) or parent=2 "
            "(what was merged) which side its changes are seen from",
            version=version.id,
        )
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise InvalidType("parent is a number, counted from 1", parent=number)
    number = 1 if number is None else number
    if not 1 <= number <= count:
        raise InvalidArgument(f"{version.label} has {count} parent(s)", parent=number)
    return version.parents[number - 1]


def _join(
    hold: Hold,
    base: VersionId,
    theirs: VersionId,
    facts: Facts,
    policy: MergePolicy,
    progress: Progress | None,
) -> Version:
    if hold.state.detached:
        raise InvalidOperation(
            "HEAD is detached, so no branch could hold the new version; check out a branch, or "
            "create one here"
        )
    copy = WorkingCopy(hold)
    copy.require_clean()
    sides = Sides(base, hold.state.head, theirs)
    return Joining(hold, copy, sides, facts, (), progress).run(policy)
