"""Paths proved: what changes on them leads from the documents of one end to those of the other.

Deltas that are lost leave no trace in those that are there, as most of them are of other
documents. But the log knows the fingerprints of both ends, and what lies between adds up to
what is between these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from versioned_collection.core.delta import Delta, hash_number
from versioned_collection.core.sums import MODULUS
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.errors import CorruptHistory
from versioned_collection.repository.repository import Repository

T = TypeVar("T")


def proved(
    repository: Repository,
    path: Path,
    items: Iterable[T],
    deltas_of: Callable[[T], Sequence[Delta]],
) -> Iterator[T]:
    """Pass on what is about one document each, and prove at the end that nothing was lacking.

    Args:
        repository: The trackers.
        path: The path. One that does not tell its ends is proved by whoever made it.
        items: One for each document that differs between its ends, at least.
        deltas_of: Returns the deltas of an item that lie on the path, in its order.

    Raises:
        CorruptHistory: Changes are missing, once the last item was passed on.
    """
    moved = 0
    for item in items:
        deltas = deltas_of(item)
        if deltas:
            moved += hash_number(deltas[-1].after) - hash_number(deltas[0].before)
        yield item
    _refuse_unless(repository, path, moved)


def prove(repository: Repository, path: Path) -> None:
    """Prove a path before what changes on it is read, or without that.

    Args:
        repository: The trackers.
        path: The path, on which spans may stand for versions.

    Raises:
        CorruptHistory: Changes are missing.
    """
    if path.ends is not None and len(path):
        _refuse_unless(repository, path, repository.deltas.moved(path))


def _refuse_unless(repository: Repository, path: Path, moved: int) -> None:
    """Refuse a path unless what is between the fingerprints of its ends is what was found."""
    if path.ends is None or not len(path):
        return
    known = repository.log.fingerprints(path.ends)
    if len(known) < len(path.ends):
        return  # versions that arrive are proved before the log names them
    start, end = (int(known[one], 16) for one in path.ends)
    if (start + moved - end) % MODULUS:
        raise lacking(path.ends)


def lacking(versions: tuple[VersionId, VersionId]) -> CorruptHistory:
    """Return the error for two versions that lack changes which lead from one to the other."""
    return CorruptHistory(
        "the changes between two versions do not lead from one to the other: some are missing, or "
        "were altered. Nothing was changed. verify() tells which; restore the database from a "
        "backup, or clone() it anew",
        versions=versions,
    )
