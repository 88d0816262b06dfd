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
from versioned_collection.working.spare import Aside, Spare
from versioned_collection.working.working_copy import Change, WorkingCopy

_MOST_HELD = 32 * 1024 * 1024
"""Bytes of uncommitted documents that wait in memory for what becomes of them."""

_ATTEMPTS = 3
"""How often few documents are looked at and brought back, while other clients are faster."""


def set_aside(
    hold: Hold,
    copy: WorkingCopy,
    commit: Commit,
    committer: Committer,
    aside: Aside | None = None,
) -> int:
    """Bring changed documents back to HEAD, together with a commit.

    What another client writes meanwhile is looked at again where a transaction takes all of it;
    in steps it is kept.

    Args:
        hold: The lease.
        copy: The look at the working copy.
        commit: What else becomes true.
        committer: Carries it out.
        aside: Stores the changes where these are not to be lost, before anything is written.

    Returns:
        The number of documents that were changed.

    Raises:
        WorkingCopyChanged: Other clients write to few documents all the time; nothing was done.
    """
    if ensure_collection(hold):
        copy.look_again()  # the earlier look's time is before the collection came to be

    found = _Found(copy, aside)

    def attempt() -> int:
        found.gather()
        if found.count:
            _carry_out(found, commit, committer)
        else:
            copy.settle_unchanged()
        return found.count

    return _insist(found, attempt)


class _Found:
    """The changes that a look finds, and the moves that take them back.

    Args:
        copy: The look at the working copy.
        aside: Stores all of them. Where there is none, those are kept that steps take back.
        at_once: Whether a transaction may take them back, if they are few.

    Attributes:
        count: How many documents changed.
        moves: What brings them back, None where these are too many for a transaction, and noted
            for restoration.
        spare: The changes that are kept where nothing stores all of them.
    """

    def __init__(
        self, copy: WorkingCopy, aside: Aside | None = None, *, at_once: bool = True
    ) -> None:
        self.copy = copy
        self._aside = aside
        self.spare = Spare(copy.hold)
        self._at_once = at_once and copy.repository.has_transactions
        self._held: list[Change] = []
        self._bytes_held = 0
        self.count = 0
        self.moves: list[Move] | None = None

    def gather(self) -> None:
        """Look at all changes."""
        self._held, self._bytes_held, self.count, size = [], 0, 0, 0
        self.moves = [] if self._at_once else None
        for batch in self.copy.changes():
            if self._aside is not None:
                self._aside.keep(batch)
            self.count += len(batch)
            size += sum(len(change.old or b"") for change in batch)
            moves = [_back(change) for change in batch]
            self._hold(batch)
            if self.moves is None:
                self._note(moves)
                continue
            self.moves += moves
            if not is_small(self.count, size):
                self.note()

    def _hold(self, changes: list[Change]) -> None:
        """Hold changes for as long as a transaction may take them back; store what is too much."""
        if self._aside is None:
            self._held += changes
            self._bytes_held += sum(len(change.new or b"") for change in changes)
            if self._bytes_held > _MOST_HELD:
                self._store()

    def _store(self) -> None:
        if self._held:
            self.spare.keep(self._held)
        self._held, self._bytes_held = [], 0

    def note(self) -> None:
        """Note what is to be taken back in steps."""
        if self.moves is not None:
            self._note(self.moves)
            self.moves = None

    def _note(self, moves: list[Move]) -> None:
        self._store()
        _note_seen(self.copy.repository, moves)

    def afresh(self) -> None:
        """Forget what was stored: another look is to come."""
        self.spare.forget()
        if self._aside is not None:
            self._aside.afresh()


def _insist(found: _Found, attempt: Callable[[], int]) -> int:
    """Return what an attempt does, once no other client writes between its look and its end."""
    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except WorkingCopyChanged as error:
            # one that names no document is of an open transaction, which had its time
            if "document_id" not in error.facts:
                raise
            changed = error.facts
        found.afresh()
        found.copy.look_again()
    verb = found.copy.hold.verb
    raise WorkingCopyChanged(
        f"other clients write all the time to documents that {verb} takes back, such "
        f"as the one with _id {changed['document_id']!r}; everything is as before. Try again "
        "when they pause",
        **changed,
    )


def _carry_out(
    found: _Found,
    commit: Commit,
    committer: Committer,
    further: Callable[[], Iterator[list[Move]]] = lambda: iter(()),
) -> None:
    """Carry out a commit that brings documents back, and maybe moves them further."""
    copy, moves = found.copy, found.moves

    def resumable() -> None:
        found.note()
        commit.restore, commit.spare = True, found.spare.header

    commit.state = {**commit.state, **copy.noticed.position()}

    def batches(moves: list[Move]) -> Iterator[list[Move]]:
        yield moves
        yield from further()

    at_once = None if moves is None else partial(batches, moves)
    committer.carry_out(commit, at_once, before_steps=resumable)
    if not commit.restore:
        found.spare.forget()
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
    path = commit.path
    assert path is not None
    committer = Committer(hold, progress)
    # the deltas of what is forgotten go once they were used, which takes steps
    found = _Found(WorkingCopy(hold), at_once=not commit.forgotten)

    def attempt() -> int:
        found.gather()
        _carry_out(found, commit, committer, lambda: moves_along(hold.repository, path))
        return found.count

    _insist(found, attempt)


def _back(change: Change) -> Move:
    seen = None if change.new is None else document_hash(change.new)
    return restoration(change.key, seen, change.old)


def _note_seen(repository: Repository, moves: list[Move]) -> None:
    repository.modified.note_seen({move.target.key: move.target.before for move in moves})


def keep_as_modified(hold: Hold, path: Path) -> None:
    """Note what will differ from HEAD once it has moved along a path without the documents."""
    repository = hold.repository
    WorkingCopy(hold).persist()
    for batch in portions(
        repository.deltas.keys_of(repository.way(path)), lambda _: 1, BATCH, BATCH
    ):
        repository.modified.add(batch)
