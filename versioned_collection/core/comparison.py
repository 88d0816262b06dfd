"""What differs between two states, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from versioned_collection.core.delta import Operation
from versioned_collection.core.rows import Row
from versioned_collection.core.sums import Counts
from versioned_collection.core.version import Version


@dataclass(slots=True)
class Comparison(Counts):
    """What differs between two states: counts, and some of the documents.

    Attributes:
        a: The first version.
        b: The second one, None for the present documents.
        inserted: How many documents the second state has and the first has not.
        updated: How many both have, and they differ.
        deleted: How many the first state has and the second has not.
        samples: For each of ``insert``, ``update`` and ``delete`` the first ids.
        fields: In how many updated documents a field differs, by its path with ``*`` for the
            elements of lists; the order of fields and exotic types count for no field.
    """

    a: Version
    b: Version | None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    samples: dict[str, list[Any]] = field(
        default_factory=lambda: {"insert": [], "update": [], "delete": []}
    )
    fields: Counter[str] = field(default_factory=Counter)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not any(self.counts.values())

    def __str__(self) -> str:
        second = "the present documents" if self.b is None else self.b.label
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"{self.a.label} to {second}: {counts}"

    def count(self, document_id: Any, op: Operation, rows: Iterable[Row], samples: int) -> None:
        """Count a changed document.

        Args:
            document_id: Its ``_id``.
            op: What happened to it.
            rows: Where it changed.
            samples: How many ids are kept of each kind.
        """
        self.count_op(op)
        if len(self.samples[op]) < samples:
            self.samples[op].append(document_id)
        self.fields.update(list(dict.fromkeys(map(_place, rows))))


def _place(row: Row) -> str:
    return ".".join("*" if isinstance(part, int) else part for part in row.path)
