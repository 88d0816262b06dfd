"""Composing what several versions change to one change for each document."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from typing import NamedTuple

from versioned_collection.core.delta import Delta, applied, compare, encoded_rows, images
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.tree import Ancestry, Path
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import batched
from versioned_collection.documents.proved import proved
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.repository.repository import Repository

_FEW_ROWS = 4
"""Rows that are stored without a look at whether the whole documents are smaller."""

_Sized = tuple[DocumentKey, list[Delta], int]


class Ways(NamedTuple):
    """What is composed, and from where the documents are reached.

    Attributes:
        through: The versions whose changes are composed.
        here: The way from what the replica holds to the end of these, or to their start.
        is_end: Whether it is the end.
    """

    through: Path
    here: Path
    is_end: bool


def nearer_end(
    tree: Ancestry, head: VersionId, start: VersionId, end: VersionId
) -> tuple[Path, bool]:
    """Return the way from a version to the nearer end of a stretch, and whether that is `end`."""
    if end == head:
        return Path((), ()), True
    ways = [tree.path(head, one) for one in (start, end)]
    is_end = len(ways[1]) <= len(ways[0])
    return ways[is_end], is_end


class Composed(NamedTuple):
    """The changes of some documents.

    Attributes:
        deltas: What changes between both ends, at most one of each document.
        read: The bytes of the changes of which they are composed.
    """

    deltas: list[Delta]
    read: int


def compose(repository: Repository, ways: Ways) -> Generator[Composed, None, None]:
    """Iterate over what changes between the ends of a stretch of versions, in bounded lists.

    Args:
        repository: The trackers.
        ways: The stretch.

    Raises:
        CorruptHistory: The deltas do not fit the replica, or some are missing, which is known
            at the end.
    """
    along = proved(repository, ways.through, repository.deltas.sized(ways.through), itemgetter(1))
    found = batched(along, itemgetter(1))
    with closing(prefetch(found)) as batches:
        for batch in batches:
            yield _composed(repository, ways, batch)


def _composed(repository: Repository, ways: Ways, batch: Sequence[_Sized]) -> Composed:
    again = [key for key, deltas, _ in batch if len(deltas) > 1]
    states = dict(_states(repository, ways.here, again)) if again else {}
    changes = (
        _one_change(deltas, states[key], ways.is_end) if key in states else deltas[0]
        for key, deltas, _ in batch
    )
    found = [delta for delta in changes if delta is not None]
    return Composed(found, sum(size for _, _, size in batch))


def _states(
    repository: Repository, here: Path, keys: list[DocumentKey]
) -> Iterator[tuple[DocumentKey, bytes | None]]:
    """Iterate over documents as they are at that end of the stretch to which a way leads."""
    leading = repository.deltas.along_for(here, keys)
    for portion, recorded in repository.replica.by_keys(keys):
        for key in portion:
            yield key, applied(leading.get(key, ()), recorded.get(key))


def _one_change(deltas: Sequence[Delta], raw: bytes | None, is_end: bool) -> Delta | None:
    """Return the one change that deltas amount to, None where they take one another back.

    Args:
        deltas: The deltas of a document, in turn.
        raw: The document at one end of them.
        is_end: Whether that is their end.
    """
    if is_end:
        return _between(applied([~one for one in reversed(deltas)], raw), raw)
    return _between(raw, applied(deltas, raw))


def _between(old: bytes | None, new: bytes | None) -> Delta | None:
    """Return the delta between two states, with rows or images, whatever takes less."""
    made = compare(old, new)
    if made is None or len(made.rows) <= _FEW_ROWS:
        return made
    whole = len(old or b"") + len(new or b"")
    return made if len(encoded_rows(made)) <= whole else images(old, new)
