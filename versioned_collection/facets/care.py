"""Keeping what is stored whole and small."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.retention import Retention
from versioned_collection.core.version import Version, VersionId
from versioned_collection.facets.base import Facet
from versioned_collection.verbs import maintenance
from versioned_collection.verbs.thin_out import ThinnedOut, thin_out
from versioned_collection.verbs.verify import Problem, verify


class Care(Facet[DocumentType]):
    """Keeping what is stored whole and small."""

    def verify(self, *, tip: Version | VersionId | str | None = None) -> Iterator[Problem]:
        """Iterate over everything on disk that is not as it must be.

        Args:
            tip: A version, version id or checksum recorded elsewhere, which has to be in the
                log still: this finds out whoever cuts off or rewrites the newest versions.

        Raises:
            CollectionNotTracked: There is no history.
        """
        return verify(self._repository, tip)

    def size(self, per: Literal["tracker", "branch"] = "tracker") -> dict[str, int]:
        """Return the bytes that history takes, by what takes them.

        Args:
            per: ``tracker`` for the bytes on disk of each tracker and their ``total``, the
                collection apart; ``branch`` for the bytes of the changes of the versions that
                carry the label of each branch, as BSON before compression, for which all changes
                are read.

        Raises:
            InvalidArgument: `per` is something else.
        """
        return maintenance.size(self._repository, per)

    def gc(self) -> dict[str, int]:
        """Remove what no version needs; return how much of what was removed."""
        return self._unless_untracked(maintenance.gc, {})

    def thin_out(self, retention: Retention, *, dry_run: bool = False) -> ThinnedOut:
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

        Returns:
            What went. Of an untracked collection that is nothing.

        Raises:
            InvalidType: `retention` is none.
            InvalidOperation: A merge waits.
        """
        return self._unless_untracked(
            lambda repository: thin_out(repository, retention, dry_run=dry_run), ThinnedOut()
        )

    def listen(self, interval: float = 1.0, stop: threading.Event | None = None) -> int:
        """Keep the modified set fresh until `stop` is set; return the number of looks.

        Nothing has to listen for changes to be noticed. It only shortens the next verb, and
        protects against an oplog that is shorter than the time between two verbs.

        Args:
            interval: Seconds between two looks.
            stop: Ends the loop; without one it goes on for ever.
        """
        return maintenance.listen(self._repository, interval, stop)
