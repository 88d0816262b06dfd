"""Revisions resolved within a repository, and where HEAD attaches."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any

from versioned_collection.core import revision as revisions
from versioned_collection.core.times import utc
from versioned_collection.core.version import (
    UNBORN,
    Version,
    VersionId,
)
from versioned_collection.errors import (
    BranchNotFound,
    InvalidArgument,
    InvalidCollectionVersion,
    InvalidType,
    VersionThinnedOut,
)
from versioned_collection.history.versions import ancestry, entry_of
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata

RevisionLike = int | str | VersionId | Version | Sequence[Any] | None


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
