"""Other sides of the collection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.merging import MergePolicy, ResolverLike
from versioned_collection.doubles import adopted
from versioned_collection.errors import InvalidArgument
from versioned_collection.facets.base import Facet, RemoteLike, policy_of
from versioned_collection.observing import Progress
from versioned_collection.remotes.address import collection_in
from versioned_collection.repository.repository import Repository
from versioned_collection.verbs import pull as pull_verb
from versioned_collection.verbs import push as push_verb
from versioned_collection.verbs import remote as remote_verbs
from versioned_collection.verbs.fetch import Fetched, fetch
from versioned_collection.verbs.pull import Pulled
from versioned_collection.verbs.push import Pushed
from versioned_collection.verbs.remote import RemoteInfo

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class _OfPush(TypedDict, total=False):
    """Options of `Sharing.push` that do not decide what it returns."""

    all: bool
    tags: bool
    delete: bool
    force: bool
    progress: Progress | None


class _OfPull(TypedDict, total=False):
    """Options of `Sharing.pull` that do not decide what it returns."""

    rebase: bool
    resolver: ResolverLike | None
    policy: MergePolicy | None
    progress: Progress | None


class Sharing(Facet[DocumentType]):
    """Other sides of the collection."""

    @overload
    def push(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        do_checkout: bool = True,
        *,
        dry_run: Literal[False] = False,
        **options: Unpack[_OfPush],
    ) -> bool: ...

    @overload
    def push(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        do_checkout: bool = True,
        *,
        dry_run: Literal[True],
        **options: Unpack[_OfPush],
    ) -> Pushed | None: ...

    @overload
    def push(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        do_checkout: bool = True,
        *,
        dry_run: bool,
        **options: Unpack[_OfPush],
    ) -> bool | Pushed | None: ...

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
                checked out; it must have no uncommitted changes then. One that an earlier push
                left behind, as it was not to follow, catches up.
            all: Push all branches.
            tags: Push all tags as well.
            delete: Delete the branch at the remote instead.
            force: Move the remote's branch also where versions drop out of it, as long as it
                is where it was last seen.
            dry_run: Do nothing, and return what would be pushed. The other side's working copies
                are not looked at, so what is checked out there may still refuse it.
            progress: Called with a phase and a number of things done.

        Returns:
            True, also when there is nothing to push; False where this side is not tracked. With
            `dry_run`, what would be done (None where this side is not tracked).

        Raises:
            InvalidOperation: HEAD is detached and no branch named, the remote is ahead or has
                diverged, its working copy has changes, the branch grew from one that the remote
                does not have, or there are uncommitted changes beside a stash.
            BranchNotFound: There is no such branch (an InvalidOperation, too).
            InvalidCollectionState: The histories begin with different versions.
            InvalidArgument: The remote is a collection of another name, or the arguments
                contradict each other (a ValueError).
            NotSupported: The remote is a bundle, which `export` writes.
            HistoryPurged: One of the sides was purged, and the other one was not.
            TransferRefused: What would be sent contradicts itself, or names there are none; see
                `verify`.
            CheckFailed: A check of the remote refuses what it would have checked out.
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
        """
        wanted = push_verb.Wanted(branch, do_checkout, all, tags, delete, force, dry_run)
        plan = push_verb.push(self._repository, _other(remote), wanted, progress)
        return plan if dry_run else plan is not None

    @overload
    def pull(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        *,
        dry_run: Literal[False] = False,
        **options: Unpack[_OfPull],
    ) -> bool: ...

    @overload
    def pull(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        *,
        dry_run: Literal[True],
        **options: Unpack[_OfPull],
    ) -> Pulled | None: ...

    @overload
    def pull(
        self,
        remote: RemoteLike = None,
        branch: str | None = None,
        *,
        dry_run: bool,
        **options: Unpack[_OfPull],
    ) -> bool | Pulled | None: ...

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
            remote: See `push`; also the path of a bundle (see `export`).
            branch: The branch, the one that is checked out where it is left out.
            rebase: Replay local versions on those of the remote, instead of merging both.
            resolver: What settles all conflicts; see `merge`.
            policy: How to merge; see `merge`.
            dry_run: Do nothing, and return what would be pulled. Conflicts are not looked for.
            progress: Called with a phase and a number of things done.

        Returns:
            True, also when there is nothing to pull; False where the remote is not tracked. With
            `dry_run`, what would be done (None where the remote is not tracked).

        Raises:
            InvalidOperation: HEAD is detached and no branch named, or the branch is checked out
                and has uncommitted changes.
            BranchNotFound: The remote has no such branch (an InvalidOperation, too).
            InvalidCollectionState: The histories begin with different versions.
            HistoryPurged: One of the sides was purged, and the other one was not.
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            CheckFailed: A check refuses what would be checked out.
            InvalidArgument: The remote is a collection of another name (a ValueError).
            TransferRefused: What came is not what was announced; nothing of it was kept.
            UnusableFile: The file is no whole bundle; nothing was done.
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
            CollectionNotTracked: There is no history, and so no remote of any name.
        """
        wanted = pull_verb.Wanted(branch, rebase, policy_of(resolver, policy), dry_run)
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
            remote: See `pull`.
            branch: The branch; all of them, and the tags, where it is left out.
            dry_run: Only find out what would be fetched.
            progress: Called with a phase and a number of things done.

        Raises:
            InvalidOperation: The remote is not tracked.
            BranchNotFound: It has no such branch (an InvalidOperation, too).
            InvalidCollectionState: The histories begin with different versions.
            HistoryPurged: One of the sides was purged, and the other one was not.
            TransferRefused: What came is not what was announced; nothing of it was kept.
            UnusableFile: The file is no whole bundle; nothing was done.
            RemoteNotFound: There is no remote of that name.
            RemoteUnreachable: There is no connection to it, or it broke.
            CollectionNotTracked: This side has no history; `pull` makes it a copy.
        """
        return fetch(self._repository, _other(remote), branch, dry_run, progress)

    @classmethod
    def clone(
        cls,
        remote: RemoteLike,
        into: Database[Any] | Collection[Any],
        name: str | None = None,
        *,
        branch: str | None = None,
        remote_name: str = "origin",
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """Make a copy of a tracked collection, with its whole history, in another database.

        Args:
            remote: The collection: a `VersionedCollection`, a ``mongodb://`` URI with
                database and collection (``mongodb://host/database.collection``), where a
                password may be ``${NAME}`` (see `add_remote`), or the path of a bundle (see
                `export`).
            into: The database of the copy, or the collection that becomes one. Where there are
                documents already, they must be those of the version.
            name: The collection's name where neither says it. A bundle may become a collection
                of another name.
            branch: The branch to check out; the one that the remote has checked out where it
                is left out.
            remote_name: By what name the copy knows the remote, where that is a URI that holds
                no password.
            progress: Called with a phase and a number of things done.
            **options: Further options of `VersionedCollection`.

        Raises:
            InvalidOperation: The remote is not tracked, or the collection is tracked already or
                has other documents.
            BranchNotFound: The remote has no such branch (an InvalidOperation, too).
            InvalidArgument: It is not said which collection (a ValueError).
            TransferRefused: What came is not what was announced; nothing of it was kept.
            UnusableFile: The file is no whole bundle.
        """
        if isinstance(into, Collection):
            into, name = into.database, into.name if name is None else name
        if name is None and isinstance(remote, Collection):
            name = remote.name
        if name is None and isinstance(remote, (str, os.PathLike)):
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

        What was fetched from it by its address counts as fetched by this name.

        Args:
            name: The name, such as ``origin``.
            url: Where it is: ``mongodb://host/database``, or the path of a bundle. A password is
                never stored: write ``${NAME}`` in its place, which stands for an environment
                variable, or ``${keyring:SERVICE:USER}`` for an entry of the keyring.

        Raises:
            InvalidArgument: The name is malformed or taken, or branches or labels here begin with
                it and a ``/``, or the URI is none, or holds a password (a ValueError).
            CollectionNotTracked: There is no history; `clone` takes a URI.
        """
        return remote_verbs.add_remote(self._repository, name, url)

    def remove_remote(self, name: str) -> None:
        """Forget another side of this collection; the versions that came from it stay.

        Raises:
            RemoteNotFound: There is no remote of that name.
            InvalidType: The name is not a text (a TypeError).
        """
        remote_verbs.remove_remote(self._repository, name)


def _other(remote: RemoteLike) -> Any:
    """Return a remote as the verbs take it."""
    remote = adopted(remote)
    if isinstance(remote, Facet):
        return remote._repository
    if isinstance(remote, Collection):
        other = Repository(remote.database, remote.name)
        other.find_home()
        return other
    return remote
