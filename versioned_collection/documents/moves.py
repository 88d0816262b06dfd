"""Documents on their way from one version to another, computed from the replica.

The replica holds each document as of one end of the path or the other, so an interrupted
move is computed again from wherever it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from types import EllipsisType
from typing import NamedTuple, TypeVar

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession

from versioned_collection.core.delta import Delta, applied
from versioned_collection.core.document import (
    DocumentKey,
    are_twins,
    document_hash,
    document_key,
    has_duplicate_names,
)
from versioned_collection.core.portions import portions
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.documents.proved import proved
from versioned_collection.documents.targets import Target
from versioned_collection.errors import CorruptHistory
from versioned_collection.repository.repository import Repository

T = TypeVar("T")

SMALL_DOCUMENTS = 10_000
SMALL_BYTES = 32 * 1024 * 1024
"""What one transaction carries: beyond it readers can see a checkout under way."""

BATCH = 2_000
BATCH_BYTES = 16 * 1024 * 1024
"""What one step of a larger move carries."""

FIRST_BATCH = 250
"""Documents of the first step, so that they are written while others are still computed."""


class Move(NamedTuple):
    """A document on its way.

    Attributes:
        target: Where it goes.
        recorded: What the replica holds now.
        to_record: What the replica is to hold, where that is not the target.
    """

    target: Target
    recorded: bytes | None
    to_record: bytes | EllipsisType | None = ...


def fillings(
    repository: Repository, *, reverse: bool = False
) -> Generator[list[Move], None, None]:
    """Iterate over all documents of the replica, on their way into an empty collection.

    Args:
        repository: The trackers.
        reverse: Whether they leave it again.
    """
    of = _emptying if reverse else _filling
    for batch in repository.replica.scan():
        for portion in portions(batch, len, BATCH, BATCH_BYTES):
            yield [of(raw) for raw in portion]


def _filling(raw: bytes) -> Move:
    return Move(Target(document_key(raw), None, raw, document_hash(raw)), raw)


def _emptying(raw: bytes) -> Move:
    return Move(Target(document_key(raw), document_hash(raw), None, None), raw)


def batched(items: Iterable[T], deltas_of: Callable[[T], Sequence[Delta]]) -> Iterator[list[T]]:
    """Cut what is about one document each into batches that can be read and written at once.

    Args:
        items: What is to be cut, in the order of ids: twins, such as 1 and 1.0, which the server
            takes for one, are neighbours, and stay together.
        deltas_of: Returns the deltas that an item needs, at least one, all of its document.
    """

    def weight(item: T) -> int:
        return sum(
            (one.size or len(one.old or b"") + len(one.new or b"")) + 400
            for one in deltas_of(item)
        )

    def together(item: T, other: T) -> bool:
        return are_twins(deltas_of(item)[0].key, deltas_of(other)[0].key)

    return portions(items, weight, BATCH, BATCH_BYTES, together, FIRST_BATCH)


def moves_along(
    repository: Repository,
    path: Path,
    *,
    torn: bool = False,
    draft: VersionId | None = None,
    plain: bool = False,
) -> Generator[list[Move], None, None]:
    """Iterate over the documents that differ between the ends of a path.

    The replica is at one end or the other, document by document, so this can be repeated
    after an interruption.

    Args:
        repository: The trackers.
        path: The path.
        torn: Whether a document may be missing that had to leave before it could come back
            changed (see `must_be_put_anew`), because a process died in between.
        draft: A version at the end of the path, or at the start of the way back, that the
            working copy alone crosses: the replica stays on the other side of it.
        plain: Whether spans are passed over, so that a damaged one is no obstacle.

    Raises:
        CorruptHistory: A document of the replica is in neither state, or changes are missing;
            the latter is known at the end.
    """
    way_of = _as_it_is if plain else repository.way
    if draft is not None:
        yield from _moves_beyond(repository, path, draft, torn, way_of)
        return
    way = way_of(path)
    for batch in batched(_along(repository, way), itemgetter(1)):
        deltas = dict(batch)
        for portion, recorded in repository.replica.by_keys(list(deltas)):
            moves = [_move(key, deltas[key], recorded.get(key), torn) for key in portion]
            yield [move for move in moves if move is not None]


def states_along(
    repository: Repository, path: Path, at: Timestamp | None = None
) -> Iterator[list[tuple[DocumentKey, bytes | None]]]:
    """Iterate over the documents that change on a path, as they are at its end.

    Every change that the path holds is applied, and so proved, also where it is taken back
    later.

    Args:
        repository: The trackers; the replica has to be at the start of the path.
        path: The path.
        at: The cluster time whose replica is read.

    Raises:
        CorruptHistory: A change does not fit, or some are missing, which is known at the end.
    """
    for batch in batched(_along(repository, path), itemgetter(1)):
        deltas = dict(batch)
        keys = list(deltas)
        for portion, recorded in repository.replica.by_keys(keys, at):
            yield [(key, applied(deltas[key], recorded.get(key))) for key in portion]


def _along(repository: Repository, path: Path) -> Iterator[tuple[DocumentKey, list[Delta]]]:
    return proved(repository, path, repository.deltas.along(path), itemgetter(1))


def is_small(documents: int, size: int) -> bool:
    """Tell whether one transaction carries so many documents of so many bytes."""
    return documents <= SMALL_DOCUMENTS and size <= SMALL_BYTES


def _move(
    key: DocumentKey, deltas: list[Delta], recorded: bytes | None, torn: bool
) -> Move | None:
    before, after = deltas[0].before, deltas[-1].after
    if before == after:
        return None
    return Move(Target(key, before, _arrived(key, deltas, recorded, torn), after), recorded)


def _arrived(
    key: DocumentKey, deltas: list[Delta], recorded: bytes | None, torn: bool
) -> bytes | None:
    """Return a document at the end of a path; the replica has it there, or at the start."""
    if not deltas or deltas[0].before == deltas[-1].after:
        return recorded
    state = None if recorded is None else document_hash(recorded)
    if state == deltas[-1].after:
        return recorded
    if state is None and torn and _was_put_anew(deltas):
        return _from_last_image(deltas)
    if state != deltas[0].before:
        raise CorruptHistory(
            "the replica holds a document that is in no version on the path; run verify()",
            key=key,
        )
    return applied(deltas, recorded)


class _Parted(NamedTuple):
    """A document with the deltas that the working copy crosses, and those of the replica."""

    key: DocumentKey
    shown: list[Delta]
    kept: list[Delta]


def _as_it_is(path: Path) -> Path:
    return path


def _moves_beyond(
    repository: Repository,
    path: Path,
    draft: VersionId,
    torn: bool,
    way_of: Callable[[Path], Path],
) -> Generator[list[Move], None, None]:
    kept = Path(
        tuple(version for version in path.backward if version != draft),
        tuple(version for version in path.forward if version != draft),
    )
    found = repository.deltas.along_all([way_of(path), way_of(kept)])
    along = (_Parted(key, *deltas) for key, deltas in found)
    is_ahead = draft in path.forward
    for batch in batched(along, attrgetter("shown")):
        parted = {one.key: one for one in batch}
        for portion, recorded in repository.replica.by_keys(list(parted)):
            moves = (_beyond(parted[key], recorded.get(key), is_ahead, torn) for key in portion)
            yield [move for move in moves if move is not None]


def _beyond(one: _Parted, recorded: bytes | None, is_ahead: bool, torn: bool) -> Move | None:
    end = raw = _arrived(one.key, one.kept, recorded, torn)
    if is_ahead and len(one.shown) > len(one.kept):
        raw = one.shown[-1].apply(end)
    before, after = one.shown[0].before, one.shown[-1].after
    if before == after and recorded == end:
        return None
    return Move(Target(one.key, before, raw, after), recorded, end)


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
    """Bring the replica's documents to their targets; see `writes.write` for `check`."""
    removed, added = [], []
    for target, recorded, to_record in moves:
        wanted = target.raw if isinstance(to_record, EllipsisType) else to_record
        if recorded != wanted:
            if recorded is not None:
                removed.append(target.key)
            if wanted is not None:
                added.append(wanted)
    repository.replica.put(removed, added, session, check)
