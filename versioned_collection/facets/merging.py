"""The changes of other versions joined with HEAD, and what was done taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.committing.operations import Operation
from versioned_collection.core.merging import MergePolicy, ResolverLike
from versioned_collection.core.version import Version
from versioned_collection.facets.base import Author, Facet, policy_of
from versioned_collection.history.revisions import RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.verbs import conflicts as conflict_verbs
from versioned_collection.verbs import merge as merge_verb
from versioned_collection.verbs import pick as pick_verbs
from versioned_collection.verbs import undo as undo_verbs
from versioned_collection.verbs.conflicts import Conflict
from versioned_collection.verbs.rebase import rebase
from versioned_collection.verbs.reset import reset
from versioned_collection.verbs.squash import Said, squash


class Merging(Facet[DocumentType]):
    """The changes of other versions joined with HEAD, and what was done taken back."""

    def merge(
        self,
        revision: RevisionLike,
        message: str | None = None,
        resolver: ResolverLike | None = None,
        *,
        policy: MergePolicy | None = None,
        no_ff: bool = False,
        author: Author | None = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Bring the changes of another version into HEAD.

        Args:
            revision: The other version, such as the name of a branch.
            message: What the new version says; made up where it is left out.
            resolver: What settles all conflicts: ``"ours"``, ``"theirs"``, ``"max"`` and so
                on, an object with a method ``resolve``, or a function of a conflict and a
                context. Instead of `policy`.
            policy: Resolvers by place, lists with keys, sets, fields that change together.
            no_ff: Record a version of two parents also where HEAD could simply move on.
            author: Who merges.
            metadata: Free facts to record.
            progress: Called with a phase and a number of documents done.

        Returns:
            The version that is checked out now: the new one, HEAD as it was where it
            contains the other one already, or the other one after a fast-forward.

        Raises:
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidOperation: HEAD is detached, there are uncommitted changes, a merge is
                under way, or another client wrote while this ran.
            InvalidCollectionVersion: There is no such version.
            InvalidArgument: There is no such resolver, or `policy` was given as well.
            DocumentRejected: A unique index or the validator refuses a merged document, or it
                would be larger than 16 MB; everything is as before.
            CheckFailed: A check refuses the outcome; everything is as before.
            CollectionNotTracked: There is no history.
        """
        chosen = policy_of(resolver, policy)
        said = self._said(author, metadata)
        wanted = merge_verb.Wanted(message, *said, not no_ff, chosen)
        return merge_verb.merge(self._repository, revision, wanted, progress)

    def cherry_pick(
        self,
        revision: RevisionLike,
        resolver: ResolverLike | None = None,
        *,
        parent: int | None = None,
        policy: MergePolicy | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make the changes of one version again on HEAD, with its message and author.

        Args:
            revision: The version.
            resolver: What settles all conflicts; see `merge`.
            parent: Of a merge, the parent whose difference to it is meant, counted from 1.
            policy: How to merge; see `merge`.
            progress: Called with a phase and a number of documents done.

        Returns:
            The new version; HEAD as it was where it has all these changes already.

        Raises:
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidArgument: The version is the root, or a merge and `parent` is missing.
            InvalidOperation: HEAD is detached, there are uncommitted changes, or a merge waits.
            InvalidCollectionVersion: There is no such version.
            DocumentRejected: The server refuses a document; everything is as before.
            CheckFailed: A check refuses the outcome; everything is as before.
        """
        return pick_verbs.cherry_pick(
            self._repository, revision, policy_of(resolver, policy), parent, progress
        )

    def revert(
        self,
        revision: RevisionLike,
        message: str | None = None,
        resolver: ResolverLike | None = None,
        *,
        parent: int | None = None,
        policy: MergePolicy | None = None,
        author: Author | None = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Take the changes of one version back, in a new version.

        Args:
            revision: The version.
            message: What the new version says; made up where it is left out.
            resolver: What settles all conflicts; see `merge`.
            parent: Of a merge, the parent to go back to, counted from 1.
            policy: How to merge; see `merge`.
            author: Who does it.
            metadata: Free facts to record.
            progress: Called with a phase and a number of documents done.

        Returns:
            The new version; HEAD as it was where nothing of these changes is left.

        Raises:
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidArgument: The version is the root, or a merge and `parent` is missing.
            InvalidOperation: HEAD is detached, there are uncommitted changes, or a merge waits.
            InvalidCollectionVersion: There is no such version.
            DocumentRejected: The server refuses a document; everything is as before.
            CheckFailed: A check refuses the outcome; everything is as before.
        """
        return pick_verbs.revert(
            self._repository,
            revision,
            policy_of(resolver, policy),
            parent,
            message,
            *self._said(author, metadata),
            progress,
        )

    def rebase(
        self,
        onto: RevisionLike,
        resolver: ResolverLike | None = None,
        *,
        policy: MergePolicy | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make the versions of the current branch again on top of another version.

        These are the versions that `onto` does not contain, each with its message, author and
        metadata; those whose changes are there already are left out. Without conflicts all of
        it becomes true at once, in one step. The old versions stay in the log under their
        labels, and `undo` brings the branch back to them.

        Where one conflicts, those before it are in the log, HEAD is detached on the last of
        them, and the conflicts wait as after `cherry_pick`; the branch stays where it was.
        Once they are settled, `register` records the version and goes on with the rest (by
        the default policy), and `abort_merge` brings everything back to before the rebase.

        Args:
            onto: The other version, such as the name of a branch.
            resolver: What settles all conflicts; see `merge`.
            policy: How to merge; see `merge`.
            progress: Called with a phase and a number of documents done.

        Returns:
            The version that is checked out now: the new tip, HEAD as it was where it contains
            `onto` already, or `onto` where HEAD has nothing of its own.

        Raises:
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidOperation: HEAD is detached, there are uncommitted changes, a merge waits,
                another client wrote while this ran, a merge on the way brought in a part of
                what `onto` has, or the log entries of all new versions are larger than 8 MiB.
            InvalidCollectionVersion: There is no such version.
            InvalidArgument: There is no such resolver, or `policy` was given as well.
            DocumentRejected: A unique index or the validator refuses a document of the outcome;
                everything is as before.
            CheckFailed: A check refuses the outcome; everything is as before.
            CollectionNotTracked: There is no history.
        """
        return rebase(self._repository, onto, policy_of(resolver, policy), progress)

    def squash(
        self,
        first: RevisionLike,
        last: RevisionLike = "HEAD",
        message: str | None = None,
        *,
        author: Author | None = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make one version of several on the way to HEAD; later ones are recorded on top of it.

        No document changes, and uncommitted changes stay. The old versions stay in the log
        under their labels, and `undo` brings the branch back to them. The new ones have the
        times of the old, so that a revision such as ``main@{2026-01-31}`` finds the same
        documents. What was merged within the range becomes a further parent.

        Args:
            first: The first version of the range, not the very first of all.
            last: The last one; `first` is on the way from it to the root.
            message: What the version says; the messages of all, oldest first, without it.
            author: Who it is by; the one that all share without it.
            metadata: Free facts to record; those of all without it.
            progress: Called with a phase and a number of documents done.

        Returns:
            The version that the range became: a range of one stays as it is unless something
            new is said about it.

        Raises:
            InvalidArgument: The range is none, holds the first version of all, or is not on
                the way to HEAD (by first parents); or its messages together are too large.
            InvalidOperation: HEAD is detached, a merge waits, or the log entries of all new
                versions are larger than 8 MiB.
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        said = Said(message, *self._said(author, metadata))
        return squash(self._repository, first, last, said, progress)

    def reset(
        self, revision: RevisionLike, hard: bool = False, *, progress: Progress | None = None
    ) -> Version:
        """Put the current branch, and HEAD, on another version.

        Versions that no branch leads to any more stay in the log under their labels.

        Args:
            revision: The version.
            hard: Bring the documents there too, and lose uncommitted changes. Without it they
                stay as they are, and what differs shows as uncommitted changes.
            progress: Called with a phase and a number of documents done.

        Returns:
            The version.

        Raises:
            InvalidOperation: A merge waits.
            InvalidCollectionVersion: There is no such version.
            WorkingCopyChanged: Other clients write all the time to few documents that `hard`
                moves; nothing was done.
            CollectionNotTracked: There is no history.
        """
        return reset(self._repository, revision, hard, progress)

    def undo(self, *, progress: Progress | None = None) -> Operation:
        """Take the latest verb that moved HEAD, a branch or a tag back.

        Called again it takes back the one before, and so on. Where the verb moved the
        documents they move back; where it did not, as with `register`, they stay and show
        as uncommitted changes. HEAD comes back detached where another working copy, or a push,
        has moved, renamed or deleted its branch since.

        Returns:
            What was undone.

        Raises:
            InvalidOperation: There is nothing to undo, versions were removed for good, there
                are uncommitted changes in the way, or a merge waits (see `abort_merge`).
            CollectionNotTracked: There is no history.
        """
        return undo_verbs.undo(self._repository, progress)

    def reflog(self) -> Iterator[Operation]:
        """Iterate over what moved HEAD, branches and tags, the latest first."""
        if not self.is_tracked():
            return iter(())
        return undo_verbs.reflog(self._repository)

    def conflicts(self) -> Iterator[Conflict]:
        """Iterate over the conflicts that wait for decisions, those of a document in a row.

        Where another client changed a document while a large merge was written, the conflict of
        that document as a whole stands apart from those of its places: such conflicts come first.
        """
        if not self.is_tracked():
            return iter(())
        return conflict_verbs.conflicts(self._repository)

    def resolve_conflict(self, conflict: Conflict | ObjectId, value: Any) -> None:
        """Settle one conflict.

        Args:
            conflict: The conflict, or its id.
            value: What shall stand there: a value, `Side.OURS`, `Side.THEIRS` or `Side.BASE`
                for that side's, `MISSING` for none.

        Raises:
            InvalidOperation: It is settled already, or waits in another worktree.
            PlaceGone: Its place was edited away, or its document deleted. `MISSING` settles a
                conflict whose document is gone; the document stays gone.
            WorkingCopyChanged: Another client writes to the document just now.
            InvalidArgument: The value cannot stand there.
            DocumentRejected: The document would be larger than 16 MB, or the server refuses it.
            CollectionNotTracked: There is no history.
        """
        conflict_verbs.resolve_conflict(self._repository, conflict, value)

    def resolve_conflicts(
        self,
        discard_local_changes: bool = False,
        *,
        resolver: ResolverLike | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Settle all conflicts at once.

        Args:
            discard_local_changes: Take the other side's values. Of a `pull` this takes the
                remote's side altogether: the branch is as it is there, and local versions that
                nothing else leads to are removed. A `rebase` takes `resolver`, as the other side
                are the local changes there.
            resolver: What settles them; see `merge`. Without it the documents stand as they
                are now: with our values, or as they were edited since.
            progress: Called with a phase and a number of conflicts done.

        Returns:
            True when all are settled; False when there are none, or some still wait, as the
            resolver left them, their place is gone (`resolve_conflict` says what to do then), or
            another client wrote to the document just now. `conflicts` lists those.

        Raises:
            InvalidOperation: A rebase waits, and `discard_local_changes` was asked for.
            InvalidArgument: There is no such resolver.
            ResolverFailed: The resolver raised.
            DocumentRejected: A document would be larger than 16 MB, or the server refuses it.
        """
        if discard_local_changes:
            done = self._unless_untracked(
                lambda repository: conflict_verbs.discard_local_changes(repository, progress), None
            )
            if done:
                return True
            resolver = "theirs"
        left = self._unless_untracked(
            lambda repository: conflict_verbs.resolve_conflicts(repository, resolver, progress),
            None,
        )
        return left == 0

    def abort_merge(self, *, progress: Progress | None = None) -> bool:
        """Take a merge with conflicts back; False when none is under way.

        The documents are those of HEAD again: decisions and edits since the merge are gone,
        whoever made them, as after `discard_changes`. The same goes for a `pull`, and for a
        `rebase`, of which all steps are taken back: documents, HEAD and branch are as before it.
        Of many documents, what is written while this runs stays.

        Where `stash_apply` left the conflicts, the documents that it changed are exactly what
        they were before, uncommitted changes and all; decisions are gone. A document that was
        edited since, or that another client changed while the stash was applied, stays as it is
        now and shows as modified. So does what the stash did not touch. The stash is there still.

        Raises:
            WorkingCopyChanged: Other clients write to few documents all the time; nothing was
                done.
        """
        return self._unless_untracked(
            lambda repository: conflict_verbs.abort_merge(repository, progress), False
        )
