"""What the changes of a version add up to: its counts, its content, the digest of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from versioned_collection.core.delta import Delta, Operation, delta_digest, hash_number
from versioned_collection.core.document import document_hash

MODULUS = 1 << 256
"""Digests and fingerprints are sums modulo this number."""

COUNTED: dict[Operation, str] = {
    "insert": "inserted",
    "update": "updated",
    "delete": "deleted",
}
"""What documents are counted as, by what happened to them."""


def content_of(raws: Iterable[bytes]) -> int:
    """Return what documents add to a fingerprint."""
    return sum(hash_number(document_hash(raw)) for raw in raws)


def no_changes() -> dict[str, int]:
    """Return the counts of a version without changes."""
    return dict.fromkeys(COUNTED.values(), 0)


class Counts:
    """What declares numbers of documents ``inserted``, ``updated`` and ``deleted``."""

    __slots__ = ()

    @property
    def counts(self) -> dict[str, int]:
        """The numbers by their names."""
        return {name: getattr(self, name) for name in COUNTED.values()}

    def count_op(self, op: Operation) -> None:
        """Count one more document to which this happened."""
        name = COUNTED[op]
        setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class Sums:
    """What changes add up to, so far.

    Attributes:
        digest: The sum of their digests.
        content: What they add to the fingerprint.
        stats: How many documents are ``inserted``, ``updated`` and ``deleted``.
    """

    digest: int = 0
    content: int = 0
    stats: dict[str, int] = field(default_factory=no_changes)

    @property
    def count(self) -> int:
        """How many changes there are."""
        return sum(self.stats.values())

    def count_in(self, delta: Delta) -> None:
        """Add a change, except for its digest."""
        self.content += hash_number(delta.after) - hash_number(delta.before)
        self.stats[COUNTED[delta.op]] += 1

    def add(self, delta: Delta, rows: bytes) -> None:
        """Add a change.

        Args:
            delta: The change.
            rows: What `encoded_rows` returns for it.
        """
        self.count_in(delta)
        self.digest += delta_digest(delta, rows)
