"""The changes of all versions, made again on each document."""

from __future__ import annotations

from collections.abc import Iterator

from versioned_collection.core.delta import Delta, delta_digest, encoded_rows, hash_number
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.nesting import Nesting
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import (
    VersionId,
)
from versioned_collection.documents.moves import batched
from versioned_collection.errors import CorruptHistory, VersioningError
from versioned_collection.observing import Counted
from versioned_collection.repository.repository import Repository
from versioned_collection.verifying.problem import Problem, told


class Replay:
    """Replays each document's deltas through the tree.

    Attributes:
        digests: Sum of the digests of each version's deltas.
        contents: What each version's deltas add to the fingerprint.
    """

    def __init__(
        self, repository: Repository, tree: VersionTree, head: VersionId, report: Counted
    ) -> None:
        self._repository = repository
        self._report = report
        self._tree = tree
        self._head = head
        self._nesting = Nesting(tree)
        self.digests: dict[VersionId, int] = {}
        self.contents: dict[VersionId, int] = {}

    def run(self) -> Iterator[Problem]:
        """Check that all changes lead from each document to the next, and back."""
        unreadable: list[VersioningError] = []
        for batch in batched(self._known(unreadable), lambda one: [*one[1].values()]):
            yield from told("delta", unreadable)
            deltas = dict(batch)
            for portion, recorded in self._repository.replica.by_keys(list(deltas)):
                self._report("changes", sum(len(deltas[key]) for key in portion))
                for key in portion:
                    yield from self._document(key, deltas[key], recorded.get(key))
        yield from told("delta", unreadable)

    def _known(
        self, unreadable: list[VersioningError]
    ) -> Iterator[tuple[DocumentKey, dict[VersionId, Delta]]]:
        """Iterate over the documents with their deltas of versions in the log."""
        for key, found in self._repository.deltas.by_document(unreadable=unreadable):
            deltas = {version: delta for version, delta in found if version in self._tree}
            for version, delta in deltas.items():
                self._count(version, delta)
            if deltas:
                yield key, deltas

    def _count(self, version: VersionId, delta: Delta) -> None:
        digest = delta_digest(delta, encoded_rows(delta))
        self.digests[version] = self.digests.get(version, 0) + digest
        moved = hash_number(delta.after) - hash_number(delta.before)
        self.contents[version] = self.contents.get(version, 0) + moved

    def _document(
        self, key: DocumentKey, deltas: dict[VersionId, Delta], recorded: bytes | None
    ) -> Iterator[Problem]:
        start = self._nesting.nearest(self._head, deltas)
        states: dict[VersionId | None, bytes | None] = {start: recorded}
        for version, place, reached in self._nesting.walk(start, deltas):
            delta = deltas[version] if reached == version else ~deltas[version]
            try:
                states[reached] = delta.apply(states[place])
                if (~delta).apply(states[reached]) != states[place]:
                    raise CorruptHistory("a delta does not lead back")
            except CorruptHistory as error:
                facts = {"document_id": self._repository.codec.value(key), "version": version}
                yield Problem("delta", f"document {facts['document_id']!r}: {error}", facts)
                return
