"""What is not as it must be, as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
from gridfs.errors import GridFSError

from versioned_collection.errors import CorruptHistory, VersioningError

UNREADABLE = (CorruptHistory, bson.errors.BSONError, GridFSError, ValueError)
"""What is raised by changes and images that were damaged."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it must be.

    Attributes:
        kind: A stable word for the kind of problem.
        message: What is wrong, for people.
        facts: The version, document or name concerned.
    """

    kind: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def told(kind: str, unreadable: list[VersioningError]) -> Iterator[Problem]:
    """Iterate over what is wrong with documents that cannot be read, and forget it."""
    while unreadable:
        error = unreadable.pop(0)
        names = {"collection": "where", "id": "id"}
        facts = {name: error.facts[fact] for name, fact in names.items() if fact in error.facts}
        yield Problem(kind, error.message, facts)
