"""Versions recorded, checked out and removed; checks that guard them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.committing.checking import CheckedState
from versioned_collection.core.version import Version
from versioned_collection.facets.base import Author, Facet
from versioned_collection.history.revisions import RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.verbs import check as check_verbs
from versioned_collection.verbs.checkout import checkout
from versioned_collection.verbs.delete import delete_version_subtree
from versioned_collection.verbs.discard import discard_changes
from versioned_collection.verbs.init import init
from versioned_collection.verbs.register import register
from versioned_collection.working.selection import Only, only_of


class Recording(Facet[DocumentType]):
    """Versions recorded, checked out and removed; checks that guard them."""

    def init(
        self,
        message: str | None = None,
        *,
        author: Author | None = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Track the collection: its present documents become version 0 of ``main``.

        Args:
            message: What to say about it.
            author: Who does it.
            metadata: Free facts to record.
            progress: Called with a phase and a number of documents done.

        Raises:
            CollectionAlreadyInitialised: It is tracked.
            NotSupported: It is a view, a time-series or a capped collection, sharded by something
                other than ``_id``, or in one of the databases ``admin``, ``config`` and ``local``.
            InvalidArgument: Its name is too long for the trackers.
            CorruptHistory: There is a history that has lost its metadata.
        """
        return init(self._repository, message, *self._said(author, metadata), progress)

    def register(
        self,
        message: str | None = None,
        branch_name: str | None = None,
        *,
        author: Author | None = None,
        metadata: Mapping[str, Any] | None = None,
        only: Only | Mapping[str, Any] | Iterable[Any] | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Record the present documents as the next version.

        After a merge with conflicts this records the merge, once they are settled. After a
        `rebase` that met conflicts it records the version that made them, and goes on.

        Args:
            message: What changed and why; only a merge that waits has words of its own.
            branch_name: The new branch when HEAD is detached; ignored otherwise.
            author: Who registers it: a text, or a dict such as ``{"name", "email"}``.
            metadata: Free facts to record.
            only: Which changes: a list or set of ``_id`` values, a filter, or `Only`. The
                others stay uncommitted, and the next `register` can have them. Where an
                ``_id`` took the place of another that the server takes for the same, such as
                ``1.0`` for ``1``, both changes go together. A version of parts may hold what
                the collection's unique indexes or validator refuse.
            progress: Called with a phase and a number of documents done.

        Returns:
            True; False when nothing (that is chosen) changed (or the collection is not tracked).

        Raises:
            InvalidType: There is no message, or `only` is something else (a TypeError).
            InvalidArgument: HEAD is detached and `branch_name` is missing or taken, or `only`
                has an id, filter or pattern that cannot be (a ValueError).
            InvalidOperation: Conflicts wait for resolution, or `only` was given while a merge
                waits.
            AutoMergeFailedError: A later version of a rebase makes conflicts.
            CheckFailed: A check finds something wrong; see `add_check`.
            DocumentRejected: A document and its ``_id``, once more, take more than 16 MB.
            LeaseHeld: Another process is at work.
        """
        chosen, said = only_of(only, self._codec), self._said(author, metadata)
        version = self._unless_untracked(
            lambda repository: register(repository, message, branch_name, *said, progress, chosen),
            None,
        )
        return version is not None

    def checkout(
        self,
        version: RevisionLike = None,
        branch: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> bool:
        """Bring the collection to another version.

        Args:
            version: A number on `branch` (on the current branch without one), or a revision
                text such as ``"main~2"``.
            branch: A branch; alone it means the branch's tip.
            progress: Called with a phase and a number of documents done.

        Returns:
            True, also when it is checked out already; False when untracked.

        Raises:
            InvalidArgument: Neither argument was given (a ValueError).
            InvalidOperation: There are uncommitted changes, or another client wrote while
                this ran; everything is as before.
            InvalidCollectionVersion: There is no such version.
            BranchNotFound: There is no such branch.
        """
        found = self._unless_untracked(
            lambda repository: checkout(repository, version, branch, progress), None
        )
        return found is not None

    def discard_changes(self, *, progress: Progress | None = None) -> bool:
        """Bring the documents back to HEAD; False when untracked.

        Few documents go back together, as they are by then. Of more than a transaction takes,
        and on a standalone server, those stay that another client changes meanwhile; they show
        as modified.

        Raises:
            WorkingCopyChanged: Other clients write to few documents all the time; nothing was
                done.
        """
        done = self._unless_untracked(
            lambda repository: discard_changes(repository, progress), None
        )
        return done is not None

    def delete_version_subtree(
        self,
        version: RevisionLike,
        branch: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> bool:
        """Remove a version, its successors, and the branches and tags that live there.

        When HEAD is inside, changes are discarded and HEAD moves to the parent version.
        Removing the root drops the collection and all trackers.

        Returns:
            True; False when untracked.

        Raises:
            InvalidArgument: No version was named.
            InvalidCollectionVersion: There is no such version.
            BranchNotFound: There is no such branch.
        """
        done = self._unless_untracked(
            lambda repository: delete_version_subtree(repository, version, branch, progress), None
        )
        return done is not None

    def add_check(
        self,
        name: str,
        check: list[Mapping[str, Any]] | Callable[[CheckedState], Any],
        *,
        message: str | None = None,
    ) -> None:
        """Have every state checked before it becomes a version.

        `register`, `merge`, `rebase`, `cherry_pick` and `revert` run all checks, as do `pull`,
        and `push` those of the remote, where the branch that they move is checked out; also
        where it only moves on to a version that is there. Where a check fails, they raise
        `CheckFailed` and everything is as before. A full `register` checks the state that it
        records, without snapshots (standalone servers) the present documents. One of parts
        checks what the version will hold, in a tracker without the collection's indexes. The
        others check the collection once the documents have moved, before they commit.

        Args:
            name: Its name, which is free.
            check: An aggregation pipeline that must return nothing; it is stored and guards
                what any client does. Or a function, kept on this object alone: it gets a
                `CheckedState` (``find``, ``find_one``, ``aggregate``, ``count_documents``) and
                returns the documents that are wrong, or their ids, or raises. It may be called
                more than once for one version, and must not write.
            message: What to say where it fails.

        Raises:
            InvalidType: `check` is neither (a TypeError).
            InvalidArgument: The name is empty or taken, the pipeline writes, or the server does
                not understand it (a ValueError).
            CollectionNotTracked: The collection is not tracked.
        """
        check_verbs.add_check(self._repository, name, check, message)

    def checks(self) -> dict[str, Any]:
        """Return the checks by name: stored pipelines, and the functions of this object."""
        return check_verbs.checks(self._repository)

    def delete_check(self, name: str) -> bool:
        """Remove a check.

        Returns:
            Whether there was one; False when untracked.
        """
        return self._unless_untracked(
            lambda repository: check_verbs.delete_check(repository, name), False
        )
