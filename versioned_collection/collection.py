"""`VersionedCollection`: a PyMongo collection with the powers of git.

Reads and writes pass through to PyMongo. Each verb delegates to its module in `verbs`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from bson.codec_options import CodecOptions
from bson.objectid import ObjectId
from pymongo import ReadPreference
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from versioned_collection.capture.journalled import DocumentType, JournalledWrites
from versioned_collection.checking import CheckedState
from versioned_collection.committer import Progress
from versioned_collection.core.merging import DEFAULT_POLICY, MergePolicy, ResolverLike
from versioned_collection.core.merging.paths import PatternLike
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import (
    CollectionNotTracked,
    InvalidArgument,
    InvalidType,
    NotSupported,
)
from versioned_collection.operations import Operation
from versioned_collection.past.plan import Planner
from versioned_collection.past.view import PastCollection
from versioned_collection.recovery import recover_on_open
from versioned_collection.remotes.address import collection_in
from versioned_collection.repository import Repository
from versioned_collection.selection import Only, only_of
from versioned_collection.trackers.lease import DEFAULT_SECONDS, DEFAULT_WAIT_SECONDS
from versioned_collection.verbs import branch as branch_verbs
from versioned_collection.verbs import check as check_verbs
from versioned_collection.verbs import conflicts as conflict_verbs
from versioned_collection.verbs import diff as diff_verbs
from versioned_collection.verbs import lifecycle as lifecycle_verbs
from versioned_collection.verbs import log as log_verbs
from versioned_collection.verbs import maintenance
from versioned_collection.verbs import merge as merge_verb
from versioned_collection.verbs import pick as pick_verbs
from versioned_collection.verbs import pull as pull_verb
from versioned_collection.verbs import push as push_verb
from versioned_collection.verbs import remote as remote_verbs
from versioned_collection.verbs import stash as stash_verbs
from versioned_collection.verbs import tag as tag_verbs
from versioned_collection.verbs import undo as undo_verbs
from versioned_collection.verbs.at import at
from versioned_collection.verbs.checkout import checkout
from versioned_collection.verbs.compare import History, history_of
from versioned_collection.verbs.conflicts import Conflict
from versioned_collection.verbs.delete import delete_version_subtree
from versioned_collection.verbs.diff import Change
from versioned_collection.verbs.discard import discard_changes
from versioned_collection.verbs.fetch import Fetched, fetch
from versioned_collection.verbs.history import BlamedField, DocumentVersion, blame, history
from versioned_collection.verbs.init import init
from versioned_collection.verbs.pull import Pulled
from versioned_collection.verbs.push import Pushed
from versioned_collection.verbs.rebase import rebase
from versioned_collection.verbs.register import register
from versioned_collection.verbs.remote import RemoteInfo
from versioned_collection.verbs.reset import reset
from versioned_collection.verbs.restore import Restored, restore
from versioned_collection.verbs.squash import Said, squash
from versioned_collection.verbs.stash import Stash
from versioned_collection.verbs.status import current_number, has_changes, status
from versioned_collection.verbs.verify import Problem, verify
from versioned_collection.versions import Resolver, RevisionLike, entry_of

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
Author = str | Mapping[str, Any]
RemoteLike = Database[Any] | Collection[Any] | str | None
"""Another side of a collection: it, its database, a URI, the name of a remote; None: origin."""


class VersionedCollection(JournalledWrites[DocumentType], Collection[DocumentType]):
    """A MongoDB collection whose states can be recorded, revisited, branched and compared.

    Everything a `pymongo.collection.Collection` does works as on the collection itself,
    and writes by any other client count as well. Opening an untracked collection creates
    nothing; `init` does. Opening a tracked one completes or undoes what a killed process
    left half done.

    Args:
        database: The database, or the collection itself.
        name: The collection's name; a subclass without a name is named after itself.
        capture: How changes are noticed: ``auto`` (the change stream where the server has
            one, else write-through), ``change_stream``, ``write_through`` or ``scan``.
        lease_seconds: How long the lease of a process that died keeps others waiting.
        lease_wait_seconds: How long a verb waits for another one to finish.
        username: Accepted for older programs; the client that was given is used.
        password: Accepted for older programs; the client that was given is used.
        **options: Options of `pymongo.collection.Collection`, such as ``codec_options``.

    Raises:
        InvalidType: `database` is neither a database nor a collection.
    """

    def __init__(
        self,
        database: Database[Any] | Collection[Any],
        name: str | None = None,
        *,
        capture: str = "auto",
        lease_seconds: float = DEFAULT_SECONDS,
        lease_wait_seconds: float = DEFAULT_WAIT_SECONDS,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> None:
        del username, password
        database, name, options = _target(type(self), database, name, options)
        super().__init__(database, name, **options)
        self._settings: dict[str, Any] = {
            "capture": capture,
            "lease_seconds": lease_seconds,
            "lease_wait_seconds": lease_wait_seconds,
        }
        self._repository = self._repository_named(name)
        self._planner = Planner(self._repository)
        recover_on_open(self._repository)

    def _repository_named(self, name: str) -> Repository:
        tz_aware = self.codec_options.tz_aware
        return Repository(_plain(self.database), name, tz_aware=tz_aware, **self._settings)

    # -- PyMongo's own, adapted ----------------------------------------------------------

    def with_options(self, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Return this collection with other codec options, preferences or concerns.

        An object of a subclass stays one, with the attributes that it has.
        """
        return self._like(super().with_options(*args, **kwargs))

    def _like(self, plain: Collection[Any]) -> Self:
        """Return a copy of this object on a collection as PyMongo knows it."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        Collection.__init__(
            twin,
            plain.database,
            plain.name,
            codec_options=plain.codec_options,
            read_preference=plain.read_preference,
            write_concern=plain.write_concern,
            read_concern=plain.read_concern,
        )
        return twin

    def rename(self, new_name: str, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Rename the collection and its trackers.

        Returns:
            The collection under its new name.

        Raises:
            InvalidArgument: The name is malformed, too long or taken.
            NotSupported: An option such as ``dropTarget`` was given for a tracked collection.
        """
        if self.is_tracked():
            if args or kwargs:
                raise NotSupported(
                    "a tracked collection is renamed without options; drop or rename what has "
                    "the new name first",
                    options=kwargs,
                )
            lifecycle_verbs.rename(self._repository, new_name)
        else:
            super().rename(new_name, *args, **kwargs)
        renamed = self._like(
            self.database.get_collection(
                new_name,
                self.codec_options,
                self.read_preference,
                self.write_concern,
                self.read_concern,
            )
        )
        renamed._repository = self._repository_named(new_name)
        renamed._planner = Planner(renamed._repository)
        renamed._repository.own_checks.update(self._repository.own_checks)
        return renamed

    def drop(self, *args: Any, **kwargs: Any) -> None:
        """Drop the collection and, where it is tracked, its whole history."""
        if self.is_tracked():
            lifecycle_verbs.drop(self._repository)
        else:
            super().drop(*args, **kwargs)

    # -- state ---------------------------------------------------------------------------

    @property
    def version(self) -> int | None:
        """The number of HEAD on its branch, -1 on an unborn branch, None when untracked."""
        state = self._repository.metadata.read()
        return None if state is None else current_number(self._repository, state)

    @property
    def branch(self) -> str | None:
        """The branch of HEAD, None when untracked."""
        state = self._repository.metadata.read()
        return None if state is None else state.branch

    @property
    def version_tree(self) -> VersionTree | None:
        """The tree of all versions, None when untracked."""
        return self._repository.log.tree() if self.is_tracked() else None

    @property
    def capture_mode(self) -> str:
        """How changes are noticed: ``change_stream``, ``write_through`` or ``scan``."""
        return self._repository.capture_mode

    def is_tracked(self) -> bool:
        """Tell whether the collection has a history."""
        return self._repository.metadata.read() is not None

    def is_detached(self) -> bool:
        """Tell whether HEAD is not the tip of a branch."""
        state = self._repository.metadata.read()
        return state is not None and state.detached

    def has_stash(self) -> bool:
        """Tell whether changes are stashed."""
        state = self._repository.metadata.read()
        return state is not None and bool(state.stashes)

    def has_conflicts(self) -> bool:
        """Tell whether conflicts wait for resolution."""
        return self._repository.has_conflicts(self._repository.metadata.read())

    def has_changes(self) -> bool:
        """Tell whether the documents differ from HEAD, whoever changed them."""
        return self._unless_untracked(has_changes, False)

    def status(self) -> dict[str, Any]:
        """Return the state of the working copy.

        Returns:
            ``current_version``, ``current_branch``, ``detached``, ``changed``, ``has_stash``,
            ``has_conflicts``, ``conflicts`` (how many wait), ``merging``, ``merge_verb`` (the
            verb whose conflicts or outcome wait, such as ``merge`` or ``stash_apply``; else
            None), ``changes`` (counts), ``head`` and ``capture_mode``; ``{'tracked': False}``
            when untracked.
        """
        return self._unless_untracked(status, {"tracked": False})

    # -- recording and moving ------------------------------------------------------------

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
            NotSupported: It is a view, a time-series or a capped collection.
            InvalidArgument: Its name is too long for the trackers.
        """
        return init(self._repository, message, author, metadata, progress)

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
            LeaseHeld: Another process is at work.
        """
        chosen = only_of(only)
        version = self._unless_untracked(
            lambda repository: register(
                repository, message, branch_name, author, metadata, progress, chosen
            ),
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
        """Bring the documents back to HEAD; False when untracked."""
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

    # -- the past ------------------------------------------------------------------------

    def at(self, revision: RevisionLike | datetime = "HEAD") -> PastCollection:
        """Return a version as a read-only collection, without checking it out.

        Others may write and check out meanwhile: each read is of this version, entirely. What
        differs between it and HEAD is stored beside the collection at the first read, which
        takes the lease and the right to write; later reads need neither.

        Args:
            revision: The version: a number on the current branch, a revision text such as
                ``"main~2"``, a tag or ``"main@{2026-01-31}"``, or a time, for the last version
                on the way to HEAD that is not later (UTC where it has no time zone).

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidType: `revision` is something else.
            CollectionNotTracked: There is no history.
        """
        return at(self._planner, revision, self)

    def history(
        self, document_id: Any, revision: RevisionLike = None, limit: int | None = None
    ) -> Iterator[DocumentVersion]:
        """Iterate over the versions that changed a document, newest first.

        They are those on the way from a version to the first one, along first parents: what a
        merge brought in counts as changed by the merge.

        Args:
            document_id: Its ``_id``. An id that the server takes for the same is the same, such
                as ``1.0`` for ``1``; a `DocumentId` means that very one.
            revision: Where to start, such as a branch; HEAD where it is left out.
            limit: At most so many.

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidArgument: BSON cannot hold the id, or `limit` is negative.
            CollectionNotTracked: There is no history.
        """
        return history(self._repository, document_id, revision, limit, self.codec_options)

    def blame(self, document_id: Any, revision: RevisionLike = None) -> list[BlamedField]:
        """Return, for each field of a document, the version that gave it its value.

        Fields of nested documents and elements of lists (by their index) count each. What a merge
        brought in was set by a version of its other side.

        Args:
            document_id: See `history`.
            revision: The version whose document is meant; HEAD where it is left out.

        Raises:
            InvalidArgument: The version has no such document, or BSON cannot hold the id.
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        return blame(self._repository, document_id, revision, self.codec_options)

    def restore(
        self,
        which: Only | Mapping[str, Any] | Iterable[Any],
        revision: RevisionLike = None,
        fields: Iterable[PatternLike] | None = None,
        dry_run: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Restored:
        """Bring chosen documents, or fields of them, back to what they were in a version.

        What is restored is uncommitted, whatever the documents were before; other documents and
        HEAD stay as they are.

        Args:
            which: A list of ``_id`` values, where those that the version does not have are
                deleted; a filter, which chooses among the documents of the version; or `Only`.
            revision: The version; HEAD where it is left out.
            fields: Only these places, as patterns such as ``"address.city"``; see `Only`. A
                document that came or went since is chosen by ``()`` or ``"**"`` alone.
            dry_run: Change nothing, and return what would be done.
            progress: Called with a phase and a number of documents done.

        Returns:
            How many documents came back, changed and went, and which.

        Raises:
            WorkingCopyChanged: Another client wrote to one of the documents meanwhile; nothing
                was done. Beyond what one transaction carries, and on standalone servers, such
                documents are kept and listed instead.
            DocumentRejected: A unique index refuses a document; nothing was done.
            InvalidType: `which` is something else (a TypeError).
            InvalidArgument: An id, filter or pattern that cannot be (a ValueError).
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        return restore(self._planner, which, revision, fields, dry_run, progress)

    # -- checks --------------------------------------------------------------------------

    def add_check(
        self,
        name: str,
        check: list[Mapping[str, Any]] | Callable[[CheckedState], Any],
        *,
        message: str | None = None,
    ) -> None:
        """Have every state checked before it becomes a version.

        `register`, `merge`, `cherry_pick` and `revert` run all checks; where one fails, they
        raise `CheckFailed` and everything is as before. A full `register` checks the state
        that it records, without snapshots (standalone servers) the present documents. One of
        parts checks what the version will hold, in a tracker without the collection's indexes.
        Merges check the collection once the documents have moved, before they commit.

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

    # -- merging -------------------------------------------------------------------------

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
            DocumentRejected: A unique index or the validator refuses a merged document;
                everything is as before.
            CollectionNotTracked: There is no history.
        """
        wanted = merge_verb.Wanted(message, author, metadata, not no_ff, _policy(resolver, policy))
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
        """
        return pick_verbs.cherry_pick(
            self._repository, revision, _policy(resolver, policy), parent, progress
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
        """
        return pick_verbs.revert(
            self._repository,
            revision,
            _policy(resolver, policy),
            parent,
            message,
            author,
            metadata,
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
        return rebase(self._repository, onto, _policy(resolver, policy), progress)

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
        return squash(self._repository, first, last, Said(message, author, metadata), progress)

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
            CollectionNotTracked: There is no history.
        """
        return reset(self._repository, revision, hard, progress)

    def undo(self, *, progress: Progress | None = None) -> Operation:
        """Take the latest verb that moved HEAD, a branch or a tag back.

        Called again it takes back the one before, and so on. Where the verb moved the
        documents they move back; where it did not, as with `register`, they stay and show
        as uncommitted changes.

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
            InvalidOperation: It is settled already.
            PlaceGone: Its place was edited away, or its document deleted. `MISSING` settles a
                conflict whose document is gone; the document stays gone.
            WorkingCopyChanged: Another client writes to the document just now.
            InvalidArgument: The value cannot stand there.
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
                nothing else leads to are removed.
            resolver: What settles them; see `merge`. Without it the documents stand as they
                are now: with our values, or as they were edited since.
            progress: Called with a phase and a number of conflicts done.

        Returns:
            True when all are settled; False when there are none, or some still wait, as the
            resolver left them, their place is gone (`resolve_conflict` says what to do then), or
            another client wrote to the document just now. `conflicts` lists those.

        Raises:
            InvalidArgument: There is no such resolver.
            ResolverFailed: The resolver raised.
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
        Only what is written while this runs stays.

        Where `stash_apply` left the conflicts, the documents that it changed are exactly what
        they were before, uncommitted changes and all; decisions are gone. A document that was
        edited since, or that another client changed while the stash was applied, stays as it is
        now and shows as modified. So does what the stash did not touch. The stash is there still.
        """
        return self._unless_untracked(
            lambda repository: conflict_verbs.abort_merge(repository, progress), False
        )

    # -- branches and tags ---------------------------------------------------------------

    def create_branch(self, name: str) -> tuple[int, str] | None:
        """Create a branch at HEAD and check it out; uncommitted changes stay.

        Returns:
            The number and branch of the version it points to; None when untracked.

        Raises:
            InvalidArgument: The name is malformed or taken (a ValueError).
        """
        version = self._unless_untracked(
            lambda repository: branch_verbs.create_branch(repository, name), None
        )
        return None if version is None else (version.number, version.branch)

    def branches(self) -> set[str]:
        """Return the names of all branches; empty when untracked."""
        return set(self._repository.branches.all())

    def delete_branch(self, name: str) -> None:
        """Remove a branch's name; its versions stay.

        Raises:
            BranchNotFound: There is no such branch.
            InvalidOperation: It is checked out, a rebase of it waits, or versions would become
                unreachable.
        """
        branch_verbs.delete_branch(self._repository, name)

    def rename_branch(self, old: str, new: str) -> None:
        """Give a branch another name; the labels of its versions follow.

        Raises:
            BranchNotFound: There is no branch `old`.
            InvalidArgument: `new` is malformed or taken.
        """
        branch_verbs.rename_branch(self._repository, old, new)

    def tag(
        self, name: str, revision: RevisionLike = "HEAD", message: str | None = None
    ) -> Version:
        """Name a version for good.

        Raises:
            InvalidArgument: The name is malformed or taken.
            InvalidCollectionVersion: There is no such version.
        """
        return entry_of(self._repository, tag_verbs.tag(self._repository, name, revision, message))

    def tags(self) -> dict[str, Version]:
        """Return the tagged versions by tag; empty when untracked."""
        tags = {name: tag["version"] for name, tag in self._repository.tags.documents().items()}
        entries = {entry.id: entry for entry in self._repository.log.get_many(tags.values())}
        return {name: entries[version] for name, version in tags.items() if version in entries}

    def delete_tag(self, name: str) -> None:
        """Remove a tag; the version stays.

        Raises:
            TagNotFound: There is no such tag.
        """
        tag_verbs.delete_tag(self._repository, name)

    # -- looking -------------------------------------------------------------------------

    def resolve(self, revision: RevisionLike) -> Version:
        """Return the version that a revision names.

        Args:
            revision: ``main``, ``main@3``, ``main~2``, ``HEAD``, ``HEAD~1``, a tag, a
                version id, a checksum prefix, ``main@{2026-01-31}``, a number on the
                current branch, or ``(number, branch)``.

        Raises:
            InvalidCollectionVersion: It names nothing.
            CollectionNotTracked: There is no history.
        """
        repository = self._repository
        return entry_of(repository, Resolver(repository, repository.state()).resolve(revision))

    def get_log(self, branch: str | None = None) -> list[Version]:
        """Return the versions from a branch's tip to the root, newest first.

        Args:
            branch: The branch, the current one by default (also when HEAD is detached).

        Raises:
            BranchNotFound: There is no such branch.
        """
        return self._unless_untracked(lambda repository: log_verbs.get_log(repository, branch), [])

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
            document: Only versions that changed the document with this ``_id``.
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
        return log_verbs.log(self._repository, revision, limit, document, author, since, until)

    def diff(
        self,
        version: RevisionLike = None,
        branch: str | None = None,
        deep: bool = False,
        direction: str = "from",
    ) -> dict[Any, Any] | None:
        """Return the differences between a version and the present documents.

        Args:
            version: The version, HEAD by default.
            branch: The branch of a version number, or a branch whose tip is meant.
            deep: Return `deepdiff.DeepDiff` objects instead of unified text.
            direction: ``from`` reads "from that version to now", ``to`` the reverse,
                ``bidirectional`` gives both under these names.

        Returns:
            The differences by ``_id`` (ids that Python cannot hash, or takes for equal to
            another, as `DocumentId`); empty when equal, None when untracked.

        Raises:
            InvalidCollectionVersion: There is no such version.
        """
        return self._unless_untracked(
            lambda repository: diff_verbs.diff(repository, version, branch, deep, direction), None
        )

    def changes(self, a: RevisionLike = "HEAD", b: RevisionLike = None) -> Iterator[Change]:
        """Iterate over the changed documents between two revisions, for programs.

        Args:
            a: The first revision.
            b: The second one; None means the working copy.

        Raises:
            CollectionNotTracked: There is no history.
        """
        return diff_verbs.changes(self._repository, a, b)

    # -- stash ---------------------------------------------------------------------------

    def stash(
        self,
        overwrite: bool = False,
        *,
        name: str | None = None,
        push: bool = False,
        message: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Set uncommitted changes aside; False when there are none.

        Args:
            overwrite: Replace the stash of that name, or without a name the latest one.
            name: What to call it; a named stash is added to those that are there.
            push: Add a stash without a name to those that are there.
            message: What to say about it.
            progress: Called with a phase and a number of documents done.

        Raises:
            InvalidOperation: There is a stash already, and none of `overwrite`, `name` and
                `push` is given; or a merge waits.
            InvalidArgument: The name is malformed or taken, or `push` and `overwrite` are both
                given (a ValueError).
            InvalidType: `name` or `message` is not a text (a TypeError).
        """
        return self._unless_untracked(
            lambda repository: stash_verbs.stash(
                repository, overwrite, name, push, message, progress
            ),
            False,
        )

    def stashes(self) -> list[Stash]:
        """Return what is stashed, the latest first; empty when untracked."""
        return self._unless_untracked(stash_verbs.stashes, [])

    def stash_apply(
        self,
        which: int | str | Stash | None = None,
        *,
        merge: bool = False,
        drop: bool = True,
        resolver: ResolverLike | None = None,
        policy: MergePolicy | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Bring stashed changes back and drop the stash; False when there is none.

        Without `merge` the stashed documents overwrite those of the same ``_id``, and there
        must be no uncommitted changes. With it, what was changed before stashing is merged
        into the documents as they are now, uncommitted changes included. What clashes waits
        as conflicts, as after `merge`: until the last of them is settled, which ends this and
        drops the stash, `register` refuses, and `abort_merge` brings exactly the documents
        back that this call changed.

        A document that another client changes while many are being written stays as it is,
        and then the stash is kept.

        Args:
            which: The stash: its index (0 is the latest), its name, or one of `stashes`; the
                latest by default.
            merge: Merge instead of overwriting.
            drop: Drop the stash once all of it is back.
            resolver: What settles all conflicts; see `merge`.
            policy: How to merge; see `merge`.
            progress: Called with a phase and a number of documents done.

        Raises:
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidOperation: There are uncommitted changes and `merge` is not set, or a merge
                waits.
            WorkingCopyChanged: Another client wrote to one of few documents; nothing was done.
            DocumentRejected: The server refuses a document; the stash is kept, and with
                `merge` everything is as before.
            InvalidArgument: There is no such stash; or a resolver is given without `merge`, or
                beside a policy.
            InvalidType: `which` is of the wrong type.
        """
        if not merge and (resolver is not None or policy is not None):
            raise InvalidArgument("a resolver or a policy goes with merge=True only")
        how = _policy(resolver, policy) if merge else None
        return self._unless_untracked(
            lambda repository: stash_verbs.stash_apply(repository, which, drop, how, progress),
            False,
        )

    def stash_discard(self, which: int | str | Stash | None = None) -> bool:
        """Drop a stash, the latest by default; False when there is none.

        Args:
            which: The stash; see `stash_apply`.

        Raises:
            InvalidArgument: There is no such stash.
            InvalidOperation: Its conflicts wait for decisions.
            InvalidType: `which` is of the wrong type.
        """
        return self._unless_untracked(
            lambda repository: stash_verbs.stash_discard(repository, which), False
        )

    # -- remotes -------------------------------------------------------------------------

    def push(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        do_checkout: bool = True,
        *,
        all: bool = False,
        tags: bool = False,
        delete: bool = False,
        force: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> bool | Pushed | None:
        """Bring a branch to another side of this collection.

        Only what the remote lacks travels, and nothing of it is visible there before all of
        it has arrived and been proved. A remote that is not tracked becomes a copy, with the
        collection's options and indexes; it must have no documents, or those of the version.

        Args:
            remote: A `VersionedCollection`, a `Database`, a ``mongodb://`` URI with a database,
                or the name of a remote; ``origin`` where it is left out.
            branch: The branch, the one that is checked out where it is left out.
            do_checkout: Whether the remote's working copy follows, where it has the branch
                checked out; it must have no uncommitted changes then.
            all: Push all branches.
            tags: Push all tags as well.
            delete: Delete the branch at the remote instead.
            force: Move the remote's branch also where versions drop out of it, as long as it
                is where it was last seen.
            dry_run: Do nothing, and return what would be pushed.
            progress: Called with a phase and a number of things done.

        Returns:
            True, also when there is nothing to push; False where this side is not tracked. With
            `dry_run`, what would be done (None where this side is not tracked).

        Raises:
            InvalidOperation: HEAD is detached and no branch named, there is no such branch, the
                remote is ahead or has diverged, its working copy has changes, the branch grew
                from one that the remote does not have, or there are uncommitted changes beside
                a stash.
            InvalidArgument: The remote is a collection of another name, or the arguments
                contradict each other (a ValueError).
            TransferRefused: What would be sent contradicts itself; see `verify`.
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
        """
        wanted = push_verb.Wanted(branch, do_checkout, all, tags, delete, force, dry_run)
        plan = push_verb.push(self._repository, _other(remote), wanted, progress)
        return plan if dry_run else plan is not None

    def pull(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        *,
        rebase: bool = False,
        resolver: ResolverLike | None = None,
        policy: MergePolicy | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> bool | Pulled | None:
        """Bring a branch from another side of this collection.

        Args:
            remote: See `push`.
            branch: The branch, the one that is checked out where it is left out.
            rebase: Replay local versions on those of the remote, instead of merging both.
            resolver: What settles all conflicts; see `merge`.
            policy: How to merge; see `merge`.
            dry_run: Do nothing, and return what would be pulled.
            progress: Called with a phase and a number of things done.

        Returns:
            True, also when there is nothing to pull; False where the remote is not tracked. With
            `dry_run`, what would be done (None where the remote is not tracked).

        Raises:
            InvalidOperation: HEAD is detached and no branch named, the remote has no such
                branch, or the branch is checked out and has uncommitted changes.
            InvalidCollectionState: The histories begin with different versions.
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidArgument: The remote is a collection of another name (a ValueError).
            TransferRefused: What came is not what was announced; nothing of it was kept.
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
        """
        wanted = pull_verb.Wanted(branch, rebase, _policy(resolver, policy), dry_run)
        plan = pull_verb.pull(self._repository, _other(remote), wanted, progress)
        return plan if dry_run else plan is not None

    def fetch(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Fetched:
        """Bring the history of another side, and touch nothing else.

        Its branches are ``origin/main`` and so on, which name versions like any branch.

        Args:
            remote: See `push`.
            branch: The branch; all of them, and the tags, where it is left out.
            dry_run: Only find out what would be fetched.
            progress: Called with a phase and a number of things done.

        Raises:
            InvalidOperation: The remote is not tracked, or has no such branch.
            InvalidCollectionState: The histories begin with different versions.
            TransferRefused: What came is not what was announced; nothing of it was kept.
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
            CollectionNotTracked: This side has no history; `pull` makes it a copy.
        """
        return fetch(self._repository, _other(remote), branch, dry_run, progress)

    @classmethod
    def clone(
        cls,
        remote: RemoteLike,
        into: Database[Any],
        name: str | None = None,
        *,
        branch: str | None = None,
        remote_name: str = "origin",
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """Make a copy of a tracked collection, with its whole history, in another database.

        Args:
            remote: The collection: a `VersionedCollection`, or a ``mongodb://`` URI with
                database and collection (``mongodb://host/database.collection``), where a
                password may be ``${NAME}``; see `add_remote`.
            into: The database of the copy. Where it has a collection of that name already,
                its documents must be those of the version.
            name: The collection's name where `remote` does not say it.
            branch: The branch to check out; the one that the remote has checked out where it
                is left out.
            remote_name: By what name the copy knows the remote, where that is a URI that holds
                no password.
            progress: Called with a phase and a number of things done.
            **options: Further options of `VersionedCollection`.

        Raises:
            InvalidOperation: The remote is not tracked or has no such branch, or the collection
                is tracked already or has other documents.
            InvalidArgument: It is not said which collection (a ValueError).
            TransferRefused: What came is not what was announced; nothing of it was kept.
        """
        if name is None and isinstance(remote, Collection):
            name = remote.name
        if name is None and isinstance(remote, str):
            name = collection_in(remote)
        if name is None:
            raise InvalidArgument("name the collection: clone(remote, into, name)")
        copy = cls(into, name, **options)
        pull_verb.clone(copy._repository, _other(remote), branch, remote_name, progress)
        return copy

    def remotes(self) -> list[RemoteInfo]:
        """Return what is known about other sides of this collection; empty when untracked."""
        return self._unless_untracked(remote_verbs.remotes, [])

    def add_remote(self, name: str, url: str) -> RemoteInfo:
        """Give another side of this collection a name.

        Args:
            name: The name, such as ``origin``.
            url: Where it is: ``mongodb://host/database``. A password is never stored: write
                ``${NAME}`` in its place, which stands for an environment variable, or
                ``${keyring:SERVICE:USER}`` for an entry of the keyring.

        Raises:
            InvalidArgument: The name is malformed or taken, or the URI is none, or holds a
                password (a ValueError).
            CollectionNotTracked: There is no history; `clone` takes a URI.
        """
        return remote_verbs.add_remote(self._repository, name, url)

    def remove_remote(self, name: str) -> None:
        """Forget another side of this collection; the versions that came from it stay.

        Raises:
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
        """
        remote_verbs.remove_remote(self._repository, name)

    # -- care ----------------------------------------------------------------------------

    def verify(self, *, tip: Version | VersionId | str | None = None) -> Iterator[Problem]:
        """Iterate over everything on disk that is not as it must be.

        Args:
            tip: A version, version id or checksum recorded elsewhere, which has to be in the
                log still: this finds out whoever cuts off or rewrites the newest versions.

        Raises:
            CollectionNotTracked: There is no history.
        """
        return verify(self._repository, tip)

    def size(self) -> dict[str, int]:
        """Return the bytes on disk of each tracker, and their ``total``; the collection apart."""
        return maintenance.size(self._repository)

    def gc(self) -> dict[str, int]:
        """Remove what no version needs; return how much of what was removed."""
        return self._unless_untracked(maintenance.gc, {})

    def listen(self, interval: float = 1.0, stop: threading.Event | None = None) -> int:
        """Keep the modified set fresh until `stop` is set; return the number of looks.

        Nothing has to listen for changes to be noticed. It only shortens the next verb, and
        protects against an oplog that is shorter than the time between two verbs.

        Args:
            interval: Seconds between two looks.
            stop: Ends the loop; without one it goes on for ever.
        """
        return maintenance.listen(self._repository, interval, stop)

    # -- comparison ----------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VersionedCollection):
            return NotImplemented
        return self.name == other.name and self._history() == other._history()

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return NotImplemented if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash(self.name)  # equal collections may live in different databases

    def __le__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return mine <= theirs

    def __lt__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return mine < theirs

    def __ge__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return theirs <= mine

    def __gt__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return theirs < mine

    def _history(self) -> History | None:
        return history_of(self._repository)

    def _comparable(self, other: object) -> tuple[History, History]:
        if not isinstance(other, VersionedCollection):
            raise InvalidType(
                f"cannot compare a VersionedCollection with {type(other).__name__}", other=other
            )
        if self.name != other.name:
            raise InvalidArgument(
                f"the collections have different names: {self.name!r} and {other.name!r}",
                names=(self.name, other.name),
            )
        return self._history() or History(), other._history() or History()

    # -- helpers -------------------------------------------------------------------------

    def _unless_untracked(self, verb: Callable[[Repository], T], otherwise: T) -> T:
        """Run a verb; an untracked collection answers politely instead."""
        try:
            return verb(self._repository)
        except CollectionNotTracked:
            return otherwise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database!r}, {self.name!r})"


def _other(remote: RemoteLike) -> Any:
    """Return a remote as the verbs take it."""
    if isinstance(remote, VersionedCollection):
        return remote._repository
    if isinstance(remote, Database):
        return _plain(remote)
    if isinstance(remote, Collection):
        return Repository(_plain(remote.database), remote.name)
    return remote


def _plain(database: Database[Any]) -> Database[Any]:
    """Return the database without options that are meant for documents only."""
    concern = database.client.write_concern
    return Database(
        database.client,
        database.name,
        CodecOptions(),
        ReadPreference.PRIMARY,
        concern if concern.acknowledged else WriteConcern(),
    )


def _policy(resolver: ResolverLike | None, policy: MergePolicy | None) -> MergePolicy:
    if resolver is None:
        return DEFAULT_POLICY if policy is None else policy
    if policy is not None:
        raise InvalidArgument("give a resolver for all conflicts, or a policy, not both")
    return MergePolicy(default=resolver)


def _target(
    cls: type, database: Any, name: str | None, options: dict[str, Any]
) -> tuple[Database[Any], str, dict[str, Any]]:
    if isinstance(database, Collection):
        inherited = {
            "codec_options": database.codec_options,
            "read_preference": database.read_preference,
            "write_concern": database.write_concern,
            "read_concern": database.read_concern,
        }
        return database.database, name or database.name, {**inherited, **options}
    if not isinstance(database, Database):
        raise InvalidType(
            "pass a pymongo Database and a name, or a pymongo Collection, not "
            f"{type(database).__name__}",
            argument=type(database).__name__,
        )
    if name is None:
        if cls is VersionedCollection:
            raise InvalidArgument("name the collection: VersionedCollection(database, name)")
        name = cls.__name__.lower()
    return database, name, options
