"""The documents that go back where they were, or come back out of a stash.

Unlike those of a path, these move from a state that they were seen in, or proved to be in.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping

from bson.objectid import ObjectId

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey, are_twins, document_hash
from versioned_collection.documents.moves import Move, batched
from versioned_collection.documents.targets import Target
from versioned_collection.driver.wire import by_keys
from versioned_collection.repository.repository import Repository

Batches = Generator[list[Move], None, None]


def restoration(key: DocumentKey, seen: bytes | None, raw: bytes | None) -> Move:
    """Return the move of a document from the state it was seen in; the replica stays.

    Args:
        key: The document.
        seen: SHA-256 of the state, None for "there was none".
        raw: The wanted document, None for "there shall be none".
    """
    return Move(Target(key, seen, raw, None if raw is None else document_hash(raw)), raw)


def restorations(repository: Repository) -> Batches:
    """Iterate over the moves that bring what was noted as seen back to what is recorded."""
    for states in repository.modified.seen():
        for portion, recorded in repository.replica.by_keys(list(states)):
            moves = [restoration(key, states[key], recorded.get(key)) for key in portion]
            yield [*_making_room(repository, moves), *moves]


def _making_room(repository: Repository, moves: Iterable[Move]) -> Iterator[Move]:
    """Iterate over the restorations of what is where documents come back to.

    It was noted too, but under another id, such as 1.0 for 1, and so in another batch. Which
    ids are the same is up to the collection: where it has a collation, ``A`` may be ``a``.
    """
    targets = [move.target for move in moves]
    arriving = [target.key for target in targets if target.before is None and target.raw]
    for portion, present in by_keys(repository.db, repository.name, arriving):
        seen = repository.modified.seen_among(present.keys() - set(portion))
        for part, recorded in repository.replica.by_keys(list(seen)):
            yield from (restoration(key, seen[key], recorded.get(key)) for key in part)


def unstashed(repository: Repository, stash: ObjectId) -> Batches:
    """Iterate over the moves that bring a stash back over the documents of HEAD."""
    stored = repository.stash.of_version(stash)
    for batch in batched(stored, lambda one: (one,)):
        yield from _overwriting(repository, {delta.key: delta.new for delta in batch})


def note_overwritten(repository: Repository, stash: ObjectId) -> None:
    """Note for restoration what `unstashed` has brought back, or taken out to do so."""
    for batch in batched(repository.stash.of_version(stash), lambda one: (one,)):
        repository.modified.note_seen({delta.key: delta.after for delta in batch})


def exactly_unstashed(repository: Repository, stash: ObjectId, reverse: bool = False) -> Batches:
    """Iterate over the moves that bring a stash back where its changes started from.

    A document that another client changed meanwhile stays as it is.

    Args:
        repository: The trackers.
        stash: The stash.
        reverse: Take it out instead, where documents are as the stash, or a decision since,
            left them.
    """
    if reverse:
        yield from _taken_out(repository, stash)
        return
    stored = repository.stash.of_version(stash)
    for batch in batched(stored, lambda one: (one,)):
        yield [restoration(delta.key, delta.before, delta.new) for delta in batch]


def _taken_out(repository: Repository, stash: ObjectId) -> Batches:
    directed = ((~delta, later) for delta, later in repository.stash.with_later(stash))
    for batch in batched(directed, lambda pair: (pair[0],)):
        changes = {delta.key: (delta, later) for delta, later in batch}
        for portion, present in by_keys(repository.db, repository.name, list(changes)):
            states = {key: document_hash(raw) for key, raw in present.items()}
            staying = states.keys() - set(portion)  # they took the place of what was there
            yield [
                restoration(key, _seen(*changes[key], states.get(key)), changes[key][0].new)
                for key in portion
                if not any(are_twins(key, other) for other in staying)
            ]


def _seen(delta: Delta, later: set[bytes | None], state: bytes | None) -> bytes | None:
    """Return the state from which a document may go back: the present one, if it is ours."""
    return state if state in later else delta.before


def _overwriting(
    repository: Repository, images: Mapping[DocumentKey, bytes | None]
) -> Iterator[list[Move]]:
    """Iterate over the moves from HEAD's documents, which the working copy was equal to.

    What another client has written since that was seen is in another state, and is not ours to
    overwrite.
    """
    # what the server takes for the same id, such as 1.0 for 1, makes room
    put = [key for key, raw in images.items() if raw is not None]
    for portion, present in by_keys(repository.db, repository.name, put):
        twins = present.keys() - set(portion)
        # before it is written, as the stashed ids are; see `note_overwritten`
        repository.modified.note_seen(dict.fromkeys(twins))
        recorded = _recorded(repository, [*twins, *portion])
        moves = [restoration(key, recorded.get(key), images[key]) for key in portion]
        yield [*(restoration(key, recorded.get(key), None) for key in twins), *moves]
    gone = [key for key, raw in images.items() if raw is None]
    for portion, present in repository.replica.by_keys(gone):
        states = {key: document_hash(raw) for key, raw in present.items()}
        yield [restoration(key, states.get(key), None) for key in portion]


def _recorded(repository: Repository, keys: list[DocumentKey]) -> dict[DocumentKey, bytes]:
    """Return the states of documents as of HEAD."""
    found = (present for _, present in repository.replica.by_keys(keys))
    return {key: document_hash(raw) for present in found for key, raw in present.items()}
