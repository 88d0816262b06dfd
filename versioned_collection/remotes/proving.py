"""Proving that versions which came from elsewhere can be restored, by applying their changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from itertools import chain
from operator import itemgetter

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.tree import Ancestry, Path
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import Move, batched
from versioned_collection.documents.targets import Target
from versioned_collection.errors import CorruptHistory
from versioned_collection.remotes.checked import UNREADABLE, problem_of_document, refused
from versioned_collection.repository.repository import Repository


def prove(
    repository: Repository,
    tree: Ancestry,
    start: VersionId,
    versions: Collection[VersionId],
    check: Callable[[], None],
    besides: VersionId | None = None,
) -> None:
    """Apply the changes of versions, and take them back.

    Args:
        repository: The trackers; the changes are stored.
        tree: The ways up from the versions.
        start: The version whose documents the replica holds.
        versions: The versions.
        check: Called now and then; raises where nothing may be done any more.
        besides: The one of them of which `proved_moves` proves the way to it.

    Raises:
        TransferRefused: A change does not fit the document that it is to change.
    """
    inner = {parent for one in versions if (parent := tree.parent(one)) is not None}
    ends = [one for one in versions if one not in inner or tree.parent(one) is None]
    for end in ends:
        if end != besides:
            for _ in proved_moves(repository, tree, start, end, check):
                pass


def proved_moves(
    repository: Repository,
    tree: Ancestry,
    start: VersionId,
    end: VersionId,
    check: Callable[[], None],
) -> Generator[list[Move], None, None]:
    """Iterate over the documents that move on the way to a version, proving each change of them.

    Args:
        repository: The trackers; the changes are stored.
        tree: The ways up from the versions.
        start: The version whose documents the replica holds.
        end: The version.
        check: Called now and then; raises where nothing may be done any more.

    Raises:
        TransferRefused: A change does not fit the document that it is to change.
    """
    try:
        path = tree.path(start, end)
        for batch in batched(repository.deltas.along(path), itemgetter(1)):
            changes = dict(batch)
            for portion, recorded in repository.replica.by_keys(list(changes)):
                check()
                moves = (
                    _proved(repository, path, k, recorded.get(k), changes[k]) for k in portion
                )
                yield [move for move in moves if move is not None]
    except UNREADABLE as error:
        raise refused(end, f"its changes cannot be read ({error})") from error


def _proved(
    repository: Repository,
    path: Path,
    key: DocumentKey,
    recorded: bytes | None,
    deltas: Sequence[Delta],
) -> Move | None:
    """Return how a document moves, None where it is the same at both ends."""
    raw = recorded
    for turn, delta in enumerate(deltas):
        try:
            reached = delta.apply(raw)
            if delta.steps is not None and (~delta).apply(reached) != raw:
                raise CorruptHistory("a delta does not lead back")
            problem = None if reached is None else problem_of_document(reached, key)
        except UNREADABLE as error:
            problem = f"its changes do not fit ({error})"
        if problem is not None:
            raise refused(_culprit(repository, path, key, turn), problem)
        raw = reached
    before, after = deltas[0].before, deltas[-1].after
    return None if before == after else Move(Target(key, before, raw, after), recorded)


def _culprit(repository: Repository, path: Path, key: DocumentKey, turn: int) -> VersionId:
    """Return the version that makes the change of a document of this number on a path."""
    changing = repository.deltas.versions_of(key)
    steps = chain(path.backward, path.forward)
    return [version for version in steps if version in changing][turn]
