"""Versions as verbs make and look them up: texts checked, checksums, revisions resolved."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import bson

from versioned_collection.core import revision as revisions
from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.document import AWARE_OPTIONS
from versioned_collection.core.merging import MergeContext
from versioned_collection.core.times import utc
from versioned_collection.core.tree import missing_version
from versioned_collection.core.version import (
    UNBORN,
    Version,
    VersionId,
    fingerprint_text,
    version_checksum,
)
from versioned_collection.errors import (
    BranchNotFound,
    CorruptHistory,
    InvalidArgument,
    InvalidCollectionVersion,
    InvalidType,
    VersioningError,
    VersionThinnedOut,
)
from versioned_collection.repository.refusals import not_tracked
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.entries import entry_from_bson, entry_to_bson
from versioned_collection.trackers.metadata import Metadata

_LARGEST_TEXT = 1024 * 1024

_FIRST_ENTRIES, _MOST_ENTRIES = 64, 4_096
"""Log entries that are read at once: people mostly look at the latest."""

RevisionLike = int | str | VersionId | Version | Sequence[Any] | None


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


class Resolver:
    """Resolves revisions within a repository; a `RevisionSource`.

    Args:
        repository: The trackers.
        state: The state of the working copy, whose HEAD and branch count.
    """

    def __init__(self, repository: Repository, state: Metadata) -> None:
        self._repository = repository
        self._state = state

    @property
    def current_branch(self) -> str:
        """The branch that is checked out."""
        return self._state.branch

    # -- RevisionSource ------------------------------------------------------------------

    def head(self) -> VersionId:
        """Return the version that is checked out."""
        return self._state.head

    def tip(self, branch: str) -> VersionId | None:
        """Return a branch's tip; ``remote/branch`` is where a remote's branch was last seen."""
        return self._repository.branches.get(branch) or self._tip_at_remote(branch)

    def _tip_at_remote(self, name: str) -> VersionId | None:
        if "/" not in name:
            return None
        for remote in self._repository.remotes.all():
            tip = remote.tips.get(name.removeprefix(f"{remote.name}/"))
            if tip is not None and name.startswith(f"{remote.name}/") and self.known(tip):
                return tip
        return None

    def labelled(self, branch: str, number: int) -> VersionId | None:
        """Return the version of a label.

        Raises:
            VersionThinnedOut: It was there once.
        """
        found = self._repository.log.labelled(branch, number)
        if found is None:
            behind = self._repository.log.standing_for(branch, number)
            self._refuse_thinned(f"{branch}@{number}", behind)
        return found

    def _refuse_thinned(self, name: str, behind: VersionId | None) -> None:
        if behind is not None:
            label = entry_of(self._repository, behind).label
            raise VersionThinnedOut(
                f"{name} was thinned out; {label} is the next version that was kept, and stands "
                "for its changes",
                version=name,
                stands_for_it=behind,
            )

    def tagged(self, tag: str) -> VersionId | None:
        """Return the version that a tag names."""
        return self._repository.tags.get(tag)

    def known(self, version: VersionId) -> bool:
        """Tell whether a version exists."""
        return self._repository.log.known(version)

    def with_checksum(self, prefix: str) -> Sequence[VersionId]:
        """Return the versions whose checksum begins with a prefix, or did before a purge."""
        log = self._repository.log
        found = log.with_checksum(prefix)
        return found or [one for one in self._repository.purges.formerly(prefix) if log.known(one)]

    def ancestor(self, version: VersionId, generations: int) -> VersionId | None:
        """Return the ancestor so many first parents up."""
        tree = self._repository.log.ancestry()
        for turn, current in enumerate(tree.ancestors(version)):
            if turn == generations:
                return current
        return None

    def parent(self, version: VersionId, which: int) -> VersionId | None:
        """Return a parent, counted from 1."""
        parents = self._repository.log.ancestry().nodes[version].parents
        return parents[which - 1] if which <= len(parents) else None

    def borrowed_tip(self, branch: str) -> VersionId | None:
        """Return a branch's tip where that is a version of another branch."""
        tip = self.tip(branch)
        entry = None if tip is None else self._repository.log.get(tip)
        return None if entry is None or entry.branch == branch else tip

    def at_time(self, branch: str, time: datetime) -> VersionId | None:
        """Return the last version on the way to a branch's tip that is not later."""
        tip = self.head() if branch == revisions.HEAD else self.tip(branch)
        if tip is None:
            return None
        for entry in ancestry(self._repository, tip):
            if utc(entry.timestamp) <= utc(time):
                return entry.id
        return None

    # -- what people pass ----------------------------------------------------------------

    def resolve(self, revision: RevisionLike, branch: str | None = None) -> VersionId:
        """Return the version that a person means.

        Args:
            revision: A number, a revision text, a tuple ``(number, branch)``, a version id,
                a `Version`, or None for the tip of `branch` (HEAD without one).
            branch: The branch to which a number belongs; the current one by default.

        Raises:
            BranchNotFound: There is no such branch.
            InvalidCollectionVersion: There is no such version.
            InvalidType: The argument is none of the above.
        """
        if isinstance(revision, Version):
            revision = revision.id
        if isinstance(revision, (tuple, list)) and len(revision) == 2:
            revision, branch = revision
        if branch is not None:
            self.check_branch(branch)
        if revision is None:
            return self.head() if branch is None else self._tip(branch)
        if isinstance(revision, VersionId):
            return self._by_id(revision)
        if isinstance(revision, bool) or not isinstance(revision, (int, str)):
            raise InvalidType(
                "a revision is a number, a text such as 'main@3', a tuple (number, branch) or "
                f"a version id, not {type(revision).__name__}",
                argument=revision,
            )
        if isinstance(revision, str):
            return self._by_text(revision, branch)
        return self._by_number(revision, branch or self._state.branch)

    def check_branch(self, branch: Any) -> None:
        """Raise `BranchNotFound` unless there is a branch of this name."""
        self._tip(revisions.check_text(branch))

    def _tip(self, branch: str) -> VersionId:
        tip = self.tip(branch)
        if tip is None:
            raise BranchNotFound(
                f"there is no branch {branch!r}; branches() lists them", branch=branch
            )
        return tip

    def _by_id(self, version: VersionId) -> VersionId:
        if not self.known(version):
            self._refuse_thinned(str(version), self._repository.log.behind_gap(version))
            raise InvalidCollectionVersion(f"there is no version {version}", version=version)
        return version

    def _by_text(self, text: str, branch: str | None) -> VersionId:
        if branch is not None:
            raise InvalidArgument(
                "give a revision text alone, or a number with a branch",
                revision=text,
                branch=branch,
            )
        return revisions.resolve(text, self)

    def _by_number(self, number: int, branch: str) -> VersionId:
        found = self.labelled(branch, number) if number >= 0 else None
        if number == UNBORN:
            found = self.borrowed_tip(branch)
        if found is None:
            raise InvalidCollectionVersion(
                f"there is no version {number} on branch {branch!r}; get_log() lists them",
                version=number,
                branch=branch,
            )
        return found


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


def _unless_untracked(repository: Repository, error: CorruptHistory) -> VersioningError:
    """Return an error about the log, or the one that says why the log is not whole."""
    state = repository.known_state()
    if state is None or (state.intent or {}).get("verb") == "drop":
        return not_tracked(repository.name)  # another client has dropped all of it meanwhile
    return error


def branch_named(resolver: Resolver, version: RevisionLike, branch: str | None) -> str | None:
    """Return the branch that the caller named, to which HEAD attaches at its tip."""
    if isinstance(version, (tuple, list)) and len(version) == 2:
        return str(version[1])
    if isinstance(version, str):
        parsed = revisions.parse(version)
        plain = parsed.time is None and not any(step.times for step in parsed.steps)
        return parsed.base if plain and resolver.tip(parsed.base) is not None else None
    if isinstance(version, int) and branch is None:
        return resolver.current_branch
    return branch


def attachment(
    repository: Repository,
    state: Metadata,
    target: VersionId,
    named: str | None = None,
    taken: Container[str] = (),
) -> dict[str, Any]:
    """Return the fields of HEAD for a version: attached at a tip, detached elsewhere.

    A branch that the caller named is preferred, then the present one, then the branch of
    the version's label; never one that is taken, as another working copy has checked it out.
    """
    tips = repository.branches.all()
    label = entry_of(repository, target).branch
    for branch in (named, state.branch, label):
        if branch is not None and branch not in taken and tips.get(branch) == target:
            return {"head": target, "branch": branch, "detached": False}
    return {"head": target, "branch": label, "detached": True}


def merge_context(repository: Repository, ours: datetime, theirs: datetime) -> MergeContext:
    """Return what resolvers may know of a merge of what was registered at two times."""
    codec = repository.codec
    return MergeContext(codec.time(ours), codec.time(theirs), codec)
