"""Documents on their way from one version to another, computed from the replica.

The replica holds each document as of one end of the path or the other, so an interrupted
move is computed again from wherever it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import (
    DocumentKey,
    are_twins,
    document_hash,
    document_key,
    has_duplicate_names,
)
from versioned_collection.core.tree import Path
from versioned_collection.errors import CorruptHistory
from versioned_collection.repository import Repository
from versioned_collection.targets import Target
from versioned_collection.wire import by_keys, portions

SMALL_DOCUMENTS = 10_000
SMALL_BYTES = 32 * 1024 * 1024
"""What one transaction carries: beyond it readers can see a checkout under way."""

BATCH = 2_000
BATCH_BYTES = 16 * 1024 * 1024
"""What one step of a larger move carries."""


class Move(NamedTuple):
    """A document on its way: its target, and what the replica holds now."""

    target: Target
    recorded: bytes | None


def fillings(repository: Repository) -> Generator[list[Move], None, None]:
    """Iterate over all documents of the replica, on their way into an empty collection."""
    for batch in repository.replica.scan():
        for portion in portions(batch, len, BATCH, BATCH_BYTES):
            yield [_filling(raw) for raw in portion]


def _filling(raw: bytes) -> Move:
    return Move(Target(document_key(raw), None, raw, document_hash(raw)), raw)


def moves_along(
    repository: Repository, path: Path, *, torn: bool = False
) -> Generator[list[Move], None, None]:
    """Iterate over the documents that differ between the ends of a path.

    The replica is at one end or the other, document by document, so this can be repeated
    after an interruption.

    Args:
        repository: The trackers.
        path: The path.
        torn: Whether a document may be missing that had to leave before it could come back
            changed (see `must_be_put_anew`), because a process died in between.

    Raises:
        CorruptHistory: A document of the replica is in neither state.
    """
    along = repository.deltas.along(path)  # in the order of ids, so that twins are neighbours
    changed = portions(along, _weight, BATCH, BATCH_BYTES, lambda a, b: are_twins(a[0], b[0]))
    for batch in changed:
        deltas = dict(batch)
        for portion, recorded in repository.replica.by_keys(list(deltas)):
            moves = [_move(key, deltas[key], recorded.get(key), torn) for key in portion]
            yield [move for move in moves if move is not None]


def states_along(
    repository: Repository, path: Path, at: Timestamp | None = None
) -> Iterator[list[tuple[DocumentKey, bytes | None]]]:
    """Iterate over the documents that change on a path, as they are at its end.

    Every change on the way is applied, and so proved, also where it is taken back later.

    Args:
        repository: The trackers; the replica has to be at the start of the path.
        path: The path.
        at: The cluster time whose replica is read.

    Raises:
        CorruptHistory: A change does not fit.
    """
    changed = portions(repository.deltas.along(path), _weight, BATCH, BATCH_BYTES)
    for batch in changed:
        deltas = dict(batch)
        keys = list(deltas)
        for portion, recorded in by_keys(repository.db, repository.replica.name, keys, at=at):
            yield [(key, _applied(recorded.get(key), deltas[key])) for key in portion]


def _applied(raw: bytes | None, deltas: list[Delta]) -> bytes | None:
    for delta in deltas:
        raw = delta.apply(raw)
    return raw


def is_small(documents: int, size: int) -> bool:
    """Tell whether one transaction carries so many documents of so many bytes."""
    return documents <= SMALL_DOCUMENTS and size <= SMALL_BYTES


def _weight(group: tuple[DocumentKey, list[Delta]]) -> int:
    return sum(len(delta.old or b"") + len(delta.new or b"") + 400 for delta in group[1])


def _move(
    key: DocumentKey, deltas: list[Delta], recorded: bytes | None, torn: bool
) -> Move | None:
    before, after = deltas[0].before, deltas[-1].after
    if before == after:
        return None
    state = None if recorded is None else document_hash(recorded)
    if state == after:
        return Move(Target(key, before, recorded, after), recorded)
    if state is None and torn and _was_put_anew(deltas):
        return Move(Target(key, before, _from_last_image(deltas), after), None)
    if state != before:
        raise CorruptHistory(
            "the replica holds a document that is in no version on the path; run verify()",
            key=key,
        )
    raw = _applied(recorded, deltas)
    return Move(Target(key, before, raw, after), recorded)


def _was_put_anew(deltas: list[Delta]) -> bool:
    """Tell whether one of the documents has a name twice: its deltas are always images."""
    images = (raw for delta in deltas for raw in (delta.old, delta.new) if raw is not None)
    return any(map(has_duplicate_names, images))


def _from_last_image(deltas: list[Delta]) -> bytes | None:
    """Return the document at the end of a path without the one at its start."""
    last = max(place for place, delta in enumerate(deltas) if delta.steps is None)
    raw = deltas[last].new
    for delta in deltas[last + 1 :]:
        raw = delta.apply(raw)
    return raw


def move_replica(
    repository: Repository,
    moves: Iterable[Move],
    session: ClientSession | None,
    check: Callable[[], None] | None = None,
) -> None:
    """Bring the replica's documents to their targets; see `wire.write` for `check`."""
    removed, added = [], []
    for target, recorded in moves:
        if recorded != target.raw:
            if recorded is not None:
                removed.append(target.key)
            if target.raw is not None:
                added.append(target.raw)
    repository.replica.put(removed, added, session, check)
