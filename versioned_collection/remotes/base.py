"""What fetch, pull and push ask of the other side.

A `Remote` gives versions away and takes them in. The one in `mongo` works on the trackers of
another collection; one that speaks HTTP can take its place without any verb knowing.

Versions travel as log entries and deltas, as they are stored. What comes in stays invisible
until all of it is there and proved; then references move by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from bson.objectid import ObjectId

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import BranchNotFound
from versioned_collection.trackers.purges import Tombstone

Changes = list[tuple[VersionId, Delta]]
"""Changes of documents, each with the version that makes it."""


class Refs(NamedTuple):
    """Where a side's names point.

    Attributes:
        branches: The tip of each branch.
        tags: The tags as they are stored: ``version``, ``message``, ``timestamp``.
        checksums: The checksums of the versions that these name.
        current: The branch of HEAD; where a pull or rebase waits, the one that it is of.
        labels: Changes whenever versions get other labels.
        left_behind: The branch from which a push without checkout has detached HEAD, None where
            HEAD is where it is for another reason.
    """

    branches: Mapping[str, VersionId]
    tags: Mapping[str, Mapping[str, Any]]
    checksums: Mapping[VersionId, str]
    current: str
    labels: ObjectId | None = None
    left_behind: str | None = None

    def tip(self, branch: str) -> VersionId:
        """Return the tip of a branch.

        Raises:
            BranchNotFound: There is no such branch there.
        """
        if branch not in self.branches:
            names = ", ".join(sorted(self.branches)) or "none at all"
            raise BranchNotFound(
                f"the remote has no branch {branch!r}; it has {names}", branch=branch
            )
        return self.branches[branch]


class Setup(NamedTuple):
    """How a collection was created.

    Attributes:
        options: Options of ``create``, such as ``validator`` and ``collation``.
        indexes: Its indexes beside that on ``_id``, as `create_indexes` takes them.
    """

    options: Mapping[str, Any]
    indexes: Sequence[Mapping[str, Any]]


class Arrived(NamedTuple):
    """What an earlier transfer that broke off has left.

    Attributes:
        complete: Versions of which all changes are there.
        partial: Documents whose changes are there, of versions that are not complete.
    """

    complete: frozenset[VersionId]
    partial: Mapping[VersionId, frozenset[DocumentKey]]


@dataclass(frozen=True, slots=True)
class Update:
    """What becomes true at once when versions have arrived.

    Attributes:
        versions: The versions that enter the log; those that it names already may be among
            them.
        branches: Branches that move: name to the tip that is expected and the one that is
            wanted, None for "no such branch".
        tags: Tags to set, as they are stored.
        checkout: Whether a working copy whose branch moves follows it.
        purges: What a copy is told of purges that were made before it was.
        labels: What the side says of its labels from which a copy has them.
    """

    versions: Sequence[VersionId] = ()
    branches: Mapping[str, tuple[VersionId | None, VersionId | None]] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checkout: bool = True
    purges: Sequence[Tombstone] = ()
    labels: ObjectId | None = None


class Inbox(Protocol):
    """Takes versions in, which stay invisible."""

    def begin(self, entries: Iterator[list[Version]]) -> Arrived:
        """Announce versions by their log entries; return what is there of them already."""
        ...

    def add(self, changes: Changes) -> Callable[[], int]:
        """Check changes; return what takes them in, and returns how many bytes they have.

        What computes is done at once, what waits is left to the caller, who does it in a thread
        besides: two threads of Python that compute only keep each other waiting. Changes that
        are there already stay.
        """
        ...

    def complete(self, versions: Sequence[VersionId]) -> None:
        """Prove that all changes of versions are there, and are those announced.

        Raises:
            TransferRefused: They are not.
        """
        ...


class Founding(Inbox, Protocol):
    """Makes an untracked collection a copy; nothing is visible before `finish`."""

    def documents(self) -> frozenset[DocumentKey]:
        """Return which documents are there already, from an attempt that broke off."""
        ...

    def fill(self, documents: Sequence[bytes]) -> None:
        """Take documents of the version to be checked out."""
        ...

    def finish(self, update: Update, branch: str) -> None:
        """Prove that all is there, let names point to it, and check a branch out.

        Raises:
            TransferRefused: Something is missing, or not as it was announced.
        """
        ...


class Remote(Protocol):
    """The other side.

    Attributes:
        address: Where it is, without secrets, for people.
    """

    address: str

    # -- giving --------------------------------------------------------------------------

    def refs(self) -> Refs | None:
        """Return where its names point, None where it is not tracked."""
        ...

    def walk(self, versions: Sequence[VersionId], count: int) -> list[Node]:
        """Return the places in the tree of versions, and of about `count` before each."""
        ...

    def entries(self, versions: Sequence[VersionId]) -> Iterator[list[Version]]:
        """Iterate over the log entries of versions, in bounded lists, in no particular order."""
        ...

    def changes(self, versions: Sequence[VersionId]) -> Iterator[Changes]:
        """Iterate over the changes of versions, one version after the other, in bounded lists.

        What waits, such as the next reply, is done ahead.
        """
        ...

    def content(self, version: VersionId) -> Iterator[list[bytes]]:
        """Iterate over all documents of a version, in bounded lists."""
        ...

    def setup(self) -> Setup:
        """Return how the collection was created."""
        ...

    def checksums(self, versions: Sequence[VersionId]) -> Mapping[VersionId, str]:
        """Return the checksums of those of these versions of which it knows them."""
        ...

    def purges(self) -> list[Tombstone]:
        """Return what is kept of what was purged from its history."""
        ...

    def gone(self, known: Collection[ObjectId]) -> Iterator[Mapping[VersionId, str]]:
        """Iterate over the checksums that purges gave versions which the log names no more.

        They come in bounded portions. It may be that nothing is known of them.

        Args:
            known: Purges that do not count.
        """
        ...

    def replaced(self, checksums: Collection[str]) -> set[str]:
        """Return those of these checksums that versions had before a purge, if that is known."""
        ...

    # -- taking --------------------------------------------------------------------------

    def known(self, versions: Sequence[VersionId]) -> set[VersionId]:
        """Return those of these versions that the log names."""
        ...

    def inbox(self) -> AbstractContextManager[Inbox]:
        """Take versions in, until their update has been made, and nobody else's meanwhile.

        Raises:
            LeaseHeld: Another transfer brings versions for longer than we wait.
        """
        ...

    def found(self, setup: Setup, tip: Version) -> AbstractContextManager[Founding]:
        """Begin to make an untracked collection a copy in which `tip` is checked out.

        Raises:
            InvalidOperation: It has documents other than those of the version.
        """
        ...

    def update(self, update: Update) -> None:
        """Make an update true, all of it or nothing.

        Raises:
            InvalidOperation: A branch is not where it is expected, or a working copy that
                should follow has changes.
        """
        ...
