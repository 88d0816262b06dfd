"""Moving the replica in a transaction while the changes are still being computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pymongo import errors as driver
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from versioned_collection.commit import Commit, apply_references
from versioned_collection.committer import Committer, check_written
from versioned_collection.moves import Move, is_small, move_replica
from versioned_collection.operations import describe
from versioned_collection.pipeline import Behind
from versioned_collection.repository import Hold


class EagerReplica:
    """Moves the replica in a transaction while the changes are still being computed.

    Args:
        hold: The lease under which the transaction is committed.
        ready: Called before anything is written; it may wait, or raise to have nothing
            written.
    """

    def __init__(self, hold: Hold, ready: Callable[[], None]) -> None:
        self._hold = hold
        self._moves: list[Move] = []
        self._bytes = 0
        self._behind = Behind()
        self.open = hold.repository.has_transactions
        if self.open:
            self._behind.submit(ready)
            hold.session.start_transaction(
                read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
            )

    def add(self, moves: list[Move]) -> None:
        """Move some more; gives up for good when it is too much for one transaction."""
        if not self.open:
            return
        self._moves += moves
        self._bytes += sum(len(move.target.raw or b"") for move in moves)
        if not is_small(len(self._moves), self._bytes):
            self.abandon()
            return
        repository, session = self._hold.repository, self._hold.session
        self._behind.submit(lambda: move_replica(repository, moves, session))

    def abandon(self) -> None:
        """Take everything back."""
        if self.open:
            self.open = False
            with suppress(Exception):  # it is taken back anyway
                self._behind.finish()
            if self._hold.session.in_transaction:
                self._hold.session.abort_transaction()
            self._moves = []
        self._behind.__exit__(None)

    def commit(self, commit: Commit) -> None:
        """Make the moves and the commit true together."""
        describe(self._hold, commit)
        session, moves = self._hold.session, self._moves
        try:
            self._behind.finish()
            check_written(self._hold.repository, commit, session)
            apply_references(self._hold, commit, session)
            self._hold.update({**commit.state, "intent": None}, session)
            session.commit_transaction()
            self.open = False
        except driver.PyMongoError as error:
            self.abandon()
            if not error.has_error_label("TransientTransactionError"):
                raise
            Committer(self._hold).carry_out(commit, lambda: [moves])
        finally:
            self._behind.__exit__(None)
