"""Proving that versions which came from elsewhere can be restored, by applying their changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from operator import itemgetter

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.tree import Ancestry, Path
from versioned_collection.core.version import VersionId
from versioned_collection.errors import CorruptHistory
from versioned_collection.moves import batched
from versioned_collection.remotes.checked import UNREADABLE, problem_of_document, refused
from versioned_collection.repository import Repository


def prove(
    repository: Repository,
    tree: Ancestry,
    start: VersionId,
    versions: Collection[VersionId],
    check: Callable[[], None],
) -> None:
    """Apply the changes of versions, and take them back.

    Args:
        repository: The trackers; the changes are stored.
        tree: The ways up from the versions.
        start: The version whose documents the replica holds.
        versions: The versions.
        check: Called now and then; raises where nothing may be done any more.

    Raises:
        TransferRefused: A change does not fit the document that it is to change.
    """
    inner = {parent for one in versions if (parent := tree.parent(one)) is not None}
    ends = [one for one in versions if one not in inner or tree.parent(one) is None]
    for end in ends:
        try:
            path = tree.path(start, end)
            for key, raw, deltas in _documents(repository, path):
                check()
                _prove(repository, path, key, raw, deltas)
        except UNREADABLE as error:
            raise refused(end, f"its changes cannot be read ({error})") from error


def _documents(
    repository: Repository, path: Path
) -> Iterator[tuple[DocumentKey, bytes | None, list[Delta]]]:
    """Iterate over the documents that change on a path, as the replica holds them."""
    for batch in batched(repository.deltas.along(path), itemgetter(1)):
        changes = dict(batch)
        for portion, recorded in repository.replica.by_keys(list(changes)):
            for key in portion:
                yield key, recorded.get(key), changes[key]


def _prove(
    repository: Repository,
    path: Path,
    key: DocumentKey,
    raw: bytes | None,
    deltas: Sequence[Delta],
) -> None:
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


def _culprit(repository: Repository, path: Path, key: DocumentKey, turn: int) -> VersionId:
    """Return the version that makes the change of a document of this number on a path."""
    changing = repository.deltas.versions_of(key)
    steps = chain(path.backward, path.forward)
    return [version for version in steps if version in changing][turn]
