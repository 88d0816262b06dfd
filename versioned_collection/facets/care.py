"""Keeping what is stored whole and small."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.merging.paths import PatternLike
from versioned_collection.core.retention import Retention
from versioned_collection.core.version import Version, VersionId
from versioned_collection.facets.base import Author, Facet
from versioned_collection.observing import Progress
from versioned_collection.trackers.purges import Tombstone
from versioned_collection.verbs import maintenance
from versioned_collection.verbs import purge as purge_verbs
from versioned_collection.verbs.purge import Purged
from versioned_collection.verbs.thin_out import ThinnedOut, thin_out
from versioned_collection.verbs.verify import verify
from versioned_collection.verifying.problem import Problem


class Care(Facet[DocumentType]):
    """Keeping what is stored whole and small."""

    def verify(
        self,
        *,
        tip: Version | VersionId | str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Problem]:
        """Iterate over everything on disk that is not as it must be.

        Args:
            tip: A version, version id or checksum recorded elsewhere, which has to be in the
                log still: this finds out whoever cuts off or rewrites the newest versions.
            progress: Called with a phase and a number of things done: the documents that are
                checked out, then the changes that are made again.

        Raises:
            CollectionNotTracked: There is no history.
        """
        return verify(self._repository, tip, progress)

    def size(self, per: Literal["tracker", "branch"] = "tracker") -> dict[str, int]:
        """Return the bytes that history takes, by what takes them.

        Args:
            per: ``tracker`` for the bytes on disk of each tracker and their ``total``, the
                collection apart; ``branch`` for the bytes of the changes of the versions that
                carry the label of each branch, as BSON before compression, for which all changes
                are read.

        Raises:
            InvalidArgument: `per` is something else.
            InvalidType: It is not a text (a TypeError).
        """
        return maintenance.size(self._repository, per)

    def gc(self, *, progress: Progress | None = None) -> dict[str, int]:
        """Remove what no version needs; return how much of what was removed.

        Args:
            progress: Called with a phase and a number of steps done.
        """
        return self._unless_untracked(lambda repository: maintenance.gc(repository, progress), {})

    def thin_out(
        self,
        retention: Retention,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> ThinnedOut:
        """Remove old versions that no rule keeps; what they changed stays in the next one.

        Versions that are kept stay what they are, byte for byte, with their ids, labels and
        checksums. One before which others went stands for their changes: `Version.gap` says
        which. Tips, tagged versions, the first one, what is checked out or stashed on, and where
        branches part and meet stay in any case.

        It takes the lease in steps of some seconds, so other verbs come in between; begun
        again, it goes on.

        Args:
            retention: Which versions are kept.
            dry_run: Find out what would go, and change nothing.
            progress: Called with a phase and a number of versions done.

        Returns:
            What went. Of an untracked collection that is nothing.

        Raises:
            InvalidType: `retention` is none.
            InvalidOperation: A merge waits.
        """
        return self._unless_untracked(
            lambda repository: thin_out(repository, retention, dry_run=dry_run, progress=progress),
            ThinnedOut(),
        )

    def purge(
        self,
        ids: Iterable[Any] | None = None,
        filter: Mapping[str, Any] | None = None,
        paths: Iterable[PatternLike] | None = None,
        reason: str | None = None,
        author: Author | None = None,
        dry_run: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Purged:
        """Truly remove leaked or personal data, as if it had never been: this cannot be undone.

        It goes from all versions, stashes, published views and the collection itself, also where
        it is uncommitted, and from those of all worktrees, in whichever working copy this is
        called. Versions keep their ids, labels, messages and times; fingerprints and checksums
        become others, and what was a checksum still leads to its version. A *tombstone* is kept:
        when, by whom, why and how much, never what. All changes are read once.

        Args:
            ids: The ``_id`` values of documents; an id that the server takes for the same counts,
                such as ``1.0`` for ``1``.
            filter: The documents that match it in any version, in a stash, or now, in any working
                copy.
            paths: Only these fields go, as patterns such as ``"address.city"`` (see `Only`), from
                the chosen documents, or from all where none are chosen. A field goes with all
                below it; an element of a list becomes null. The ``_id`` stays.
            reason: Why, for those who find the history changed. Do not repeat what is to go.
            author: Who does it; the user of this process where it is left out.
            dry_run: Change nothing, and return what would be done; no reason is needed.
            progress: Called with a phase and a number of documents done.

        Returns:
            How much was removed, and what may still hold it.

        Raises:
            InvalidArgument: Neither ids, nor a filter, nor paths are given, or both of the first
                two; the reason is empty; an id, filter or path cannot be (a ValueError).
            InvalidType: There is no reason, or an argument has the wrong type (a TypeError).
            InvalidOperation: A merge waits, here or in another working copy.
            CorruptHistory: The history contradicts itself (see `verify`); nothing was done.
            DocumentRejected: A unique index, of any working copy, refuses what is left of a
                document; nothing was done.
            NotSupported: A view, say, has taken the place of a working copy; nothing was done.
            LeaseHeld: Another process is at work, or brings versions from a remote.
            CollectionNotTracked: There is no history.
        """
        by, _ = self._said(author)
        return purge_verbs.purge(
            self._repository, ids, filter, paths, reason, by, dry_run, progress
        )

    def purges(self) -> list[Tombstone]:
        """Return what is kept of all purges, the latest first; empty when untracked."""
        return self._unless_untracked(purge_verbs.purges, [])

    def listen(self, interval: float = 1.0, stop: threading.Event | None = None) -> int:
        """Keep the modified set fresh until `stop` is set; return the number of looks.

        Nothing has to listen for changes to be noticed. It only shortens the next verb, and
        protects against an oplog that is shorter than the time between two verbs.

        Args:
            interval: Seconds between two looks.
            stop: Ends the loop; without one it goes on for ever. While another verb takes long,
                and while the server elects a primary, there is no look, which is logged.

        Raises:
            InvalidType: The interval is no number, or `stop` no event (a TypeError).
            InvalidArgument: The interval is negative, or too long to wait for (a ValueError).
        """
        return maintenance.listen(self._repository, interval, stop)
