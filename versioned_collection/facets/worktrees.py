"""Several working copies of one repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.facets.base import Facet
from versioned_collection.history.revisions import RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.verbs import worktree as verbs
from versioned_collection.verbs.remove_worktree import remove_worktree
from versioned_collection.verbs.worktree import Worktree

if TYPE_CHECKING:
    from typing_extensions import Self


class Worktrees(Facet[DocumentType]):
    """Several working copies of one repository."""

    def worktree(
        self,
        branch: RevisionLike,
        name: str,
        *,
        new_branch: str | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Check a branch out in a collection of its own, beside this one.

        The worktree has documents, HEAD, uncommitted changes, stashes, a merge that waits and a
        reflog of its own; versions, branches, tags, checks and remotes are those of this
        collection. It has the same options and indexes. All verbs work in it, and
        ``VersionedCollection(database, name)`` opens it wherever that is called.

        Args:
            branch: The branch; or any other revision, on which HEAD is detached then. A branch is
                checked out in one working copy at most.
            name: The name of the new collection, in the same database.
            new_branch: The name of a branch to create at the version, and to check out.
            progress: Called with a phase and a number of documents done, for what differs from
                HEAD; the rest is copied by the server.

        Returns:
            The worktree.

        Raises:
            InvalidArgument: A name is malformed, reserved, too long or taken (a ValueError).
            InvalidOperation: There is a collection of that name, or a working copy has the branch
                checked out.
            NotSupported: The collection is sharded.
            DocumentRejected: An index refuses documents of the version.
            FormatMismatch: Something else uses the names of its trackers.
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        verbs.worktree(self._repository, branch, name, new_branch, progress)
        return self._named(name)

    def worktrees(self) -> list[Worktree]:
        """Return all working copies, the main one first.

        Raises:
            CollectionNotTracked: There is no history.
        """
        return verbs.worktrees(self._repository)

    def remove_worktree(self, name: str, *, force: bool = False) -> None:
        """Remove a worktree: its collection, and what is its own; no version is lost.

        Without `force`, what other clients write until the end is not lost either: the collection
        has no name for a moment, while it is seen whether anybody wrote to it.

        Args:
            name: The name of its collection.
            force: Remove it with uncommitted changes, stashes and a merge that waits, too.

        Raises:
            InvalidArgument: There is no such worktree (a ValueError).
            InvalidType: The name is not a text (a TypeError).
            InvalidOperation: It is the main working copy, or it has something that is nowhere
                else, and `force` is not set.
            CollectionNotTracked: There is no history.
        """
        remove_worktree(self._repository, name, force)
