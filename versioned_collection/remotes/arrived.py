"""Versions of another side that are here entirely, and are about to enter the log."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from versioned_collection.core.tree import Node
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import Move
from versioned_collection.errors import InvalidOperation, TransferRefused
from versioned_collection.history.labels import Label, label_of, tracking
from versioned_collection.remotes.announcements import removed
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
        nodes: The places in the tree of those that are new, by id.
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
        found = self._repository.incoming.nodes(new)
        self.nodes: dict[VersionId, Node] = {}
        for version in new:
            node, is_whole = found.get(version, (None, False))
            if node is None or not is_whole:
                raise removed(version)
            self.nodes[version] = node
        self._check_parents()
        self.tree = self._repository.log.ancestry(
            node if remote is None else replace(node, branch=tracking(remote, node.branch))
            for node in self.nodes.values()
        )

    def _check_parents(self) -> None:
        """Make sure that what the new versions stand on was not removed since they came.

        Raises:
            InvalidOperation: It was.
        """
        wanted = {one for node in self.nodes.values() for one in node.parents}
        outside = wanted.difference(self.nodes)
        found = self._repository.log.among(outside)
        if not found.issuperset(outside):
            raise InvalidOperation(
                "what was transferred stands on a version that was removed meanwhile; try again",
                version=min(outside - found),
            )

    def labels(self) -> dict[VersionId, Label]:
        """Return the labels that the new versions bring."""
        return {version: label_of(node) for version, node in self.nodes.items()}

    def fetched_labels(self) -> dict[VersionId, Label]:
        """Return the labels that the new versions have in `tree`."""
        return {version: label_of(self.tree.nodes[version]) for version in self.nodes}

    def prove(self, besides: VersionId | None = None) -> None:
        """Apply the changes of all new versions, so that each is known to be restorable.

        Args:
            besides: One of which this is known otherwise.

        Raises:
            TransferRefused: A change does not fit the document that it is to change.
        """
        check = self._hold.lease.check
        with self.refused():
            prove(self._repository, self.tree, self._head, self.nodes, check, besides)

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
            self._repository.incoming.forget(list(self.nodes))
            self._repository.deltas.delete(list(self.nodes))
            raise

    def forget(self) -> None:
        """Remove the announcements of what the log named before; the others go with the commit."""
        self._repository.incoming.forget(self._known)
