"""Versions of another side that are here entirely, and are about to enter the log."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.documents.moves import Move
from versioned_collection.errors import InvalidOperation, TransferRefused
from versioned_collection.history.labels import Label, label_of, tracking
from versioned_collection.remotes.proving import prove, proved_moves
from versioned_collection.repository.hold import Hold


class Arrival:
    """Versions that were announced and are to enter the log.

    Args:
        hold: The lease.
        versions: Their ids; those that the log names already are left out.
        remote: The remote for whose branches their labels stand in `tree`; None for the labels
            that they bring.

    Attributes:
        entries: The log entries that are new, by id.
        tree: The ways up from versions, the new ones among them.

    Raises:
        InvalidOperation: One is not there entirely.
    """

    def __init__(
        self, hold: Hold, versions: Sequence[VersionId], remote: str | None = None
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._head = hold.state.head
        known = self._repository.log.among(versions)
        self._known = [version for version in versions if version in known]
        new = [version for version in versions if version not in known]
        found = self._repository.incoming.entries(new)
        self.entries: dict[VersionId, Version] = {}
        for version in new:
            entry, is_whole = found.get(version, (None, False))
            if entry is None or not is_whole:
                raise InvalidOperation(
                    "what was transferred was removed before it could be recorded; try again",
                    version=version,
                )
            self.entries[version] = entry
        self._check_parents()
        self.tree = self._repository.log.ancestry(
            Node(
                entry.id,
                entry.parents,
                entry.number,
                entry.branch if remote is None else tracking(remote, entry.branch),
            )
            for entry in self.entries.values()
        )

    def _check_parents(self) -> None:
        """Make sure that what the new versions stand on was not removed since they came.

        Raises:
            InvalidOperation: It was.
        """
        wanted = {one for entry in self.entries.values() for one in entry.parents}
        outside = wanted.difference(self.entries)
        found = self._repository.log.among(outside)
        if not found.issuperset(outside):
            raise InvalidOperation(
                "what was transferred stands on a version that was removed meanwhile; try again",
                version=min(outside - found),
            )

    def labels(self, of: Callable[[Version], Label]) -> dict[VersionId, Label]:
        """Return the labels under which the new versions enter the log."""
        return {version: of(entry) for version, entry in self.entries.items()}

    def fetched_labels(self) -> dict[VersionId, Label]:
        """Return the labels that the new versions have in `tree`."""
        return {version: label_of(self.tree.nodes[version]) for version in self.entries}

    def prove(self, besides: VersionId | None = None) -> None:
        """Apply the changes of all new versions, so that each is known to be restorable.

        Args:
            besides: One of which this is known otherwise.

        Raises:
            TransferRefused: A change does not fit the document that it is to change.
        """
        check = self._hold.lease.check
        with self.refused():
            prove(self._repository, self.tree, self._head, self.entries, check, besides)

    def proved_moves(self, version: VersionId) -> Generator[list[Move], None, None]:
        """Iterate over the documents that move from HEAD to a version; prove their changes."""
        check = self._hold.lease.check
        return proved_moves(self._repository, self.tree, self._head, version, check)

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Remove what came, where that turns out not to be what it claims to be."""
        try:
            yield
        except TransferRefused:
            # in this order: what is announced as complete has all its changes
            self._repository.incoming.forget(list(self.entries))
            self._repository.deltas.delete(list(self.entries))
            raise

    def forget(self) -> None:
        """Remove the announcements of what the log named before; the others go with the commit."""
        self._repository.incoming.forget(self._known)
