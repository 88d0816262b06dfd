"""The deltas of all versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.interop import to_deepdiff
from versioned_collection.core.tree import Path
from versioned_collection.trackers.delta_erasing import ErasableDeltas
from versioned_collection.trackers.delta_paths import DeltasOnPaths


class DeltasCollection(DeltasOnPaths, ErasableDeltas):
    """The tracker ``__deltas_<name>``."""

    prefix = "deltas"

    def along_as_deepdiff(self, path: Path) -> Iterator[tuple[DocumentKey, list[Any]]]:
        """Iterate like `along`, with `deepdiff.Delta` objects to be added in turn."""
        for key, deltas in self.along(path):
            yield key, [to_deepdiff(delta) for delta in deltas]

    @staticmethod
    def apply(
        documents: Mapping[DocumentKey, bytes], deltas: Mapping[DocumentKey, Sequence[Delta]]
    ) -> dict[DocumentKey, bytes | None]:
        """Return the documents after their deltas; None for those that go away.

        Args:
            documents: The documents before, by key; missing ones do not exist yet.
            deltas: The deltas to apply to each, in turn.

        Raises:
            CorruptHistory: A delta does not start from the given document.
        """
        results: dict[DocumentKey, bytes | None] = {}
        for key, steps in deltas.items():
            current = documents.get(key)
            for delta in steps:
                current = delta.apply(current)
            results[key] = current
        return results
