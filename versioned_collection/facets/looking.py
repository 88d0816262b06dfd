"""The log, and differences."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.comparison import Comparison
from versioned_collection.core.version import Log, Version
from versioned_collection.facets.base import Facet
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress
from versioned_collection.verbs import diff as diff_verbs
from versioned_collection.verbs import log as log_verbs
from versioned_collection.verbs.diff import Change


class Looking(Facet[DocumentType]):
    """The log, and differences."""

    def resolve(self, revision: RevisionLike) -> Version:
        """Return the version that a revision names.

        Args:
            revision: ``main``, ``main@3``, ``main~2``, ``HEAD``, ``HEAD^``, a tag, a
                version id, a checksum prefix, ``main@{2026-01-31}``, a number on the
                current branch, or ``(number, branch)``.

        Raises:
            InvalidCollectionVersion: It names nothing.
            CollectionNotTracked: There is no history.
        """
        repository = self._repository
        return entry_of(repository, Resolver(repository, repository.state()).resolve(revision))

    def get_log(self, branch: str | None = None) -> Log:
        """Return the versions from a branch's tip to the root, newest first.

        Args:
            branch: The branch, the current one by default (also when HEAD is detached).

        Raises:
            BranchNotFound: There is no such branch.
            InvalidType: The branch is not a text (a TypeError).
        """
        return self._unless_untracked(
            lambda repository: log_verbs.get_log(repository, branch), Log()
        )

    def log(
        self,
        revision: RevisionLike = None,
        limit: int | None = None,
        document: Any = None,
        author: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Version]:
        """Iterate over versions from a revision to the root, newest first.

        Args:
            revision: Where to start; HEAD by default.
            limit: At most so many.
            document: Only versions that changed the document with this ``_id``, or with a
                `DocumentId` that very one, as with `history`; the first one where it has it.
            author: Only versions of this author.
            since: Only versions registered at this time or later (naive times are UTC).
            until: Only versions registered at this time or earlier.

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidArgument: The limit is negative.
            InvalidType: An argument is of the wrong type.
        """
        if not self.is_tracked():
            return iter(())
        return log_verbs.log(self._planner, revision, limit, document, author, since, until)

    def diff(
        self,
        version: RevisionLike = None,
        branch: str | None = None,
        deep: bool = False,
        direction: str = "from",
        *,
        progress: Progress | None = None,
    ) -> dict[Any, Any] | None:
        """Return the differences between a version and the present documents.

        Args:
            version: The version, HEAD by default.
            branch: The branch of a version number, or a branch whose tip is meant.
            deep: Return `deepdiff.DeepDiff` objects instead of unified text.
            direction: ``from`` reads "from that version to now", ``to`` the reverse,
                ``bidirectional`` gives both under these names, where anything differs.
            progress: Called with a phase and a number of documents done.

        Returns:
            The differences by ``_id`` (ids that Python cannot hash, or takes for equal to
            another, as `DocumentId`); empty when equal, None when untracked.

        Raises:
            InvalidCollectionVersion: There is no such version.
        """
        return self._unless_untracked(
            lambda repository: diff_verbs.diff(
                repository, version, branch, deep, direction, progress
            ),
            None,
        )

    def compare(
        self,
        a: RevisionLike = "HEAD",
        b: RevisionLike = None,
        samples: int = 10,
        *,
        progress: Progress | None = None,
    ) -> Comparison:
        """Count what differs between two revisions, and name some of the documents.

        Args:
            a: The first revision.
            b: The second one; None means the present documents.
            samples: How many ids are kept of documents that were inserted, updated, deleted.
            progress: Called with a phase and a number of documents done.

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidArgument: `samples` is negative.
            InvalidType: `samples` is no whole number.
            CollectionNotTracked: There is no history.
        """
        return diff_verbs.comparison(self._repository, a, b, samples, progress)

    def changes(
        self,
        a: RevisionLike = "HEAD",
        b: RevisionLike = None,
        *,
        progress: Progress | None = None,
    ) -> Iterator[Change]:
        """Iterate over the changed documents between two revisions, for programs.

        Args:
            a: The first revision.
            b: The second one; None means the working copy.
            progress: Called with a phase and a number of documents done.

        Raises:
            CollectionNotTracked: There is no history.
        """
        return diff_verbs.changes(self._repository, a, b, progress)
