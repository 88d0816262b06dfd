"""Carrying out commits: at once in a transaction, or step by step behind an intent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from bson.objectid import ObjectId

from versioned_collection.committing.at_once import AtOnce, TooLargeBesideDeltas
from versioned_collection.committing.commit import Commit, refuse_same_labels
from versioned_collection.committing.fullness import TooLarge
from versioned_collection.committing.steps import Steps
from versioned_collection.committing.writing import Writing
from versioned_collection.core.document import DocumentKey
from versioned_collection.documents.moves import Move, moves_along
from versioned_collection.documents.proved import prove
from versioned_collection.documents.restoring import exactly_unstashed, unstashed
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold

_log = logging.getLogger(__name__)


class Committer:
    """Carries out a commit under a lease.

    Args:
        hold: The lease.
        progress: Told how many documents were written.
        resumed: Whether what is carried out may have been begun by a process that died.
    """

    def __init__(
        self, hold: Hold, progress: Progress | None = None, *, resumed: bool = False
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._writing = Writing(hold, progress)
        self._steps = Steps(self._writing, resumed=resumed)

    @property
    def kept(self) -> list[DocumentKey]:
        """Documents that another client changed, and that were left so."""
        return self._writing.kept

    @property
    def kept_in(self) -> dict[str, list[DocumentKey]]:
        """The same in each working copy, by its name, where a commit has several `copies`."""
        return self._steps.kept_in

    def carry_out(
        self,
        commit: Commit,
        batches: Callable[[], Iterable[list[Move]]] | None,
        *,
        keep: bool = False,
        before_steps: Callable[[], None] = lambda: None,
        completed: Callable[[], None] | None = None,
    ) -> None:
        """Carry out a commit in one transaction where that is possible, step by step otherwise.

        Args:
            commit: The commit.
            batches: Returns the documents that move in the replica, and in the working copy if
                the commit says so; None where they are known to be too many for a transaction.
            keep: Keep documents that another client changed, instead of raising. Steps always
                do.
            before_steps: Called before the commit becomes an intent: notes, there or elsewhere,
                where the steps find the documents again, or raises to have nothing done.
            completed: For a commit that is made while its documents move: called once these went
                by, or are too many for a transaction, and maybe again. It completes the commit,
                or raises to have nothing done.

        Raises:
            WorkingCopyChanged: Another client changed a document; nothing was done.
            InvalidOperation: It would take a branch or version from another working copy.
        """
        if self._repository.has_transactions and batches is not None:
            try:
                AtOnce(self._writing).carry_out(commit, batches(), keep, completed)
                return
            except TooLarge as reason:
                if isinstance(reason, TooLargeBesideDeltas) and completed and commit.working_copy:
                    completed()
                    self.carry_out(commit, self._stored(commit), keep=keep)
                    return
                _log.info(
                    "%s of %s goes step by step: %s",
                    self._hold.verb,
                    self._repository.name,
                    reason,
                    extra={"verb": self._hold.verb, "collection": self._repository.name},
                )
        before_steps()
        if completed is not None:
            completed()
        self.declare(commit)
        self.complete(commit)

    def _stored(self, commit: Commit) -> Callable[[], Iterable[list[Move]]] | None:
        """Return what iterates over the documents of a version whose deltas are all stored."""
        path = commit.path
        return None if path is None else lambda: moves_along(self._repository, path)

    def references(self, commit: Commit) -> None:
        """Carry out a commit that moves no documents."""
        self.carry_out(commit, tuple)

    def bring_back(self, commit: Commit, stash: ObjectId) -> None:
        """Carry out a commit that brings a stash back over the present documents."""

        def resumable() -> None:
            commit.stash = stash

        batches = partial(unstashed, self._repository, stash)
        self.carry_out(commit, batches, before_steps=resumable)

    def take_out(self, commit: Commit, stash: ObjectId) -> None:
        """Carry out a commit that takes a stash out of the documents again.

        A document that is not what the stash, or a decision on it, made of it stays.
        """

        def resumable() -> None:
            commit.stash, commit.guarded, commit.reverse = stash, True, True

        batches = partial(exactly_unstashed, self._repository, stash, reverse=True)
        self.carry_out(commit, batches, keep=True, before_steps=resumable)

    def declare(self, commit: Commit) -> None:
        """Write the commit as an intent: from here on it will happen.

        Raises:
            InvalidOperation: It would take a branch or version from another working copy, or
                give two versions the same label, at which every attempt to complete it would fail.
            CorruptHistory: Changes on its path are missing.
        """
        refuse_same_labels(self._repository, commit)
        if commit.path is not None:
            prove(self._repository, self._repository.way(commit.path))
            # what was proved need not be once more, where an error would be too late
            commit.path = replace(commit.path, ends=None)
        self._steps.declare(commit)

    def complete(self, commit: Commit) -> None:
        """Carry out a declared commit; every step may have been done before.

        Nothing is left half done where whoever is told of progress raises: that goes on its
        way in the end.
        """
        self._steps.complete(commit)
