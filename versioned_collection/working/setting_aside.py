"""Taking uncommitted changes out of the collection: the common part of discard and stash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.recreating import ensure_collection
from versioned_collection.core.document import document_hash
from versioned_collection.core.portions import portions
from versioned_collection.core.tree import Path
from versioned_collection.documents.moves import BATCH, Move, is_small, moves_along
from versioned_collection.documents.restoring import restoration
from versioned_collection.errors import WorkingCopyChanged
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.working_copy import Change, WorkingCopy

_ATTEMPTS = 3
"""How often few documents are looked at and brought back, while other clients are faster."""


def set_aside(
    hold: Hold,
    copy: WorkingCopy,
    commit: Commit,
    committer: Committer,
    visit: Callable[[list[Change]], None] = lambda changes: None,
    afresh: Callable[[], None] = lambda: None,
) -> int:
    """Bring changed documents back to HEAD, together with a commit.

    What another client writes meanwhile is looked at again where a transaction takes all of it;
    in steps it is kept.

    Args:
        hold: The lease.
        copy: The look at the working copy.
        commit: What else becomes true.
        committer: Carries it out.
        visit: Called with each list of changes before anything is written.
        afresh: Called before all of them come by again; undoes what `visit` has done.

    Returns:
        The number of documents that were changed.

    Raises:
        WorkingCopyChanged: Other clients write to few documents all the time; nothing was done.
    """
    if ensure_collection(hold):
        copy.look_again()  # the earlier look's time is before the collection came to be

    def attempt() -> int:
        count, small = _gathered(copy, visit)
        if count:
            _carry_out(copy, commit, committer, small)
        else:
            copy.settle_unchanged()
        return count

    return _insist(copy, attempt, afresh)


def _insist(
    copy: WorkingCopy, attempt: Callable[[], int], afresh: Callable[[], None] = lambda: None
) -> int:
    """Return what an attempt does, once no other client writes between its look and its end."""
    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except WorkingCopyChanged as error:
            # one that names no document is of an open transaction, which had its time
            if "document_id" not in error.facts:
                raise
            changed = error.facts
        afresh()
        copy.look_again()
    raise WorkingCopyChanged(
        f"other clients write all the time to documents that {copy.hold.verb} takes back, such "
        f"as the one with _id {changed['document_id']!r}; everything is as before. Try again "
        "when they pause",
        **changed,
    )


def _gathered(
    copy: WorkingCopy, visit: Callable[[list[Change]], None]
) -> tuple[int, list[Move] | None]:
    """Return how many documents changed, and the moves that bring them back.

    Where these are too many for a transaction there are none: the documents are noted for
    restoration.
    """
    repository = copy.repository
    count = size = 0
    small: list[Move] | None = [] if repository.has_transactions else None
    for batch in copy.changes():
        visit(batch)
        count += len(batch)
        size += sum(len(change.old or b"") for change in batch)
        moves = [_back(change) for change in batch]
        if small is None:
            _note_seen(repository, moves)
        else:
            small += moves
            if not is_small(count, size):
                _note_seen(repository, small)
                small = None
    return count, small


def _carry_out(
    copy: WorkingCopy,
    commit: Commit,
    committer: Committer,
    small: list[Move] | None,
    further: Callable[[], Iterator[list[Move]]] = lambda: iter(()),
) -> None:
    """Carry out a commit that brings documents back, and maybe moves them further."""

    def resumable() -> None:
        if small is not None:
            _note_seen(copy.repository, small)
        commit.restore = True

    commit.state = {**commit.state, **copy.noticed.position()}

    def batches(moves: list[Move]) -> Iterator[list[Move]]:
        yield moves
        yield from further()

    at_once = None if small is None else partial(batches, small)
    committer.carry_out(commit, at_once, before_steps=resumable)
    copy.forget()
    copy.repository.modified.add(committer.kept)  # what other clients changed meanwhile


def set_aside_and_move(hold: Hold, commit: Commit, progress: Progress | None) -> None:
    """Bring changed documents back to HEAD, then all to the end of a commit's path.

    Args:
        hold: The lease.
        commit: The commit, with the path from HEAD.
        progress: Told how many documents were written.

    Raises:
        WorkingCopyChanged: Other clients write to few documents all the time; nothing was done.
    """
    ensure_collection(hold)
    copy, path = WorkingCopy(hold), commit.path
    assert path is not None
    committer = Committer(hold, progress)

    def attempt() -> int:
        count, small = _gathered(copy, lambda changes: None)
        if commit.forgotten:  # whose deltas go once they were used, which takes steps
            _note_seen(hold.repository, small or [])
            small = None
        _carry_out(copy, commit, committer, small, lambda: moves_along(hold.repository, path))
        return count

    _insist(copy, attempt)


def _back(change: Change) -> Move:
    seen = None if change.new is None else document_hash(change.new)
    return restoration(change.key, seen, change.old)


def _note_seen(repository: Repository, moves: list[Move]) -> None:
    repository.modified.note_seen({move.target.key: move.target.before for move in moves})


def note_for_restoration(repository: Repository, changes: list[Change]) -> None:
    """Note changes that a commit with ``restore`` takes back."""
    _note_seen(repository, [_back(change) for change in changes])


def keep_as_modified(hold: Hold, path: Path) -> None:
    """Note what will differ from HEAD once it has moved along a path without the documents."""
    repository = hold.repository
    WorkingCopy(hold).persist()
    for batch in portions(
        repository.deltas.keys_of(repository.way(path)), lambda _: 1, BATCH, BATCH
    ):
        repository.modified.add(batch)
