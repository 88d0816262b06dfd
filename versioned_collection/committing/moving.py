"""The documents of a commit that goes step by step: each batch may be written again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.commit import Commit
from versioned_collection.committing.writing import MOST_ATTEMPTS, Writing
from versioned_collection.core.document import are_twins
from versioned_collection.core.merging import whole_document
from versioned_collection.core.portions import middle_of
from versioned_collection.errors import VersioningError, WorkingCopyChanged
from versioned_collection.moves import Move
from versioned_collection.restoring import Batches
from versioned_collection.targets import Target, UniqueClash, ValidatorInTheWay, WorkingCopyWriter
from versioned_collection.trackers.metadata import with_stashes
from versioned_collection.wire import by_keys

_WRITE_CONFLICT = 112


class Moving:
    """Writes batches that can be computed again, each in a transaction of its own.

    Args:
        writing: What writes documents.
        commit: The commit, which is declared; what others were faster with changes it.
        batches: Computes the batches.
        declare: Declares the commit anew, as it is by then.
        torn: See `WorkingCopyWriter`.
    """

    def __init__(
        self,
        writing: Writing,
        commit: Commit,
        batches: Callable[[], Batches],
        declare: Callable[[Commit], None],
        *,
        torn: bool,
    ) -> None:
        self._writing, self._commit = writing, commit
        self._hold, self._repository = writing.hold, writing.repository
        self._batches, self._declare = batches, declare
        self._writer = WorkingCopyWriter(
            self._repository,
            self._hold.lease.check,
            keep=True,
            displace=commit.displace,
            strict=commit.strict,
            torn=torn,
        )

    def run(self, tell: Callable[[list[Move]], None]) -> None:
        """Write all batches, and tell of each once it is written."""
        if self._commit.displace:
            self._take_all_out()
        with closing(self._batches()) as source:
            for batch in source:
                self._write_in_parts(batch)
                tell(batch)

    def _write_in_parts(self, batch: list[Move]) -> None:
        """Write a batch, in smaller ones where others write to its documents all the time."""
        try:
            self._write(batch)
        except _Contended:
            cut = _cut_of(batch)
            self._write_in_parts(batch[:cut])
            self._write_in_parts(batch[cut:])
            return
        self._keep_stash()
        self._keep_conflicts()
        self._writing.keep(self._writer)
        self._writing.remember_commit()

    def _write(self, batch: list[Move]) -> None:
        attempts = 0

        def work(session: ClientSession | None) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > MOST_ATTEMPTS and _cut_of(batch):
                raise _Contended("others write to the same documents all the time")
            self._writer.kept.clear()
            self._writing.write(batch, self._commit, self._writer, session)
            is_beyond_head = self._commit.draft is not None or not self._commit.replica
            if self._writer.kept and self._commit.state.get("merge") and is_beyond_head:
                self._clash(batch, session)
            # the batch fails if another owner has taken over
            self._hold.touch(session)

        try:
            self._through_validator(work)
        except UniqueClash:
            self._commit.displace = self._writer.displace = True
            self._declare(self._commit)
            self._take_all_out()
            self._through_validator(work)

    def _through_validator(self, work: Callable[[ClientSession | None], None]) -> None:
        try:
            self._transaction(work)
        except ValidatorInTheWay:  # from now on it is bypassed
            self._transaction(work)

    def _transaction(self, work: Callable[[ClientSession | None], None]) -> None:
        """Run `work` in a transaction, for as long as the driver tries again.

        Raises:
            WorkingCopyChanged: Somebody else had a transaction open all that time.
        """
        try:
            self._hold.transaction(work)
        except driver.PyMongoError as error:
            if not _is_conflict(error):
                raise
            raise WorkingCopyChanged(
                f"another client has had a transaction open for long on a document that "
                f"{self._hold.verb} moves. What was begun is kept, and completed by whoever opens "
                "or uses the collection next; try again when that transaction has ended"
            ) from error

    def _take_all_out(self) -> None:
        with closing(self._batches()) as source:
            for batch in source:
                targets = [move.target for move in batch]

                def work(session: ClientSession | None, targets: list[Target] = targets) -> None:
                    self._writer.take_out(targets, session)
                    self._hold.touch(session)

                self._transaction(work)

    def _clash(self, batch: list[Move], session: ClientSession | None) -> None:
        """Note conflicts where another client was faster than a merge that waits anyway.

        The document stays as the other client left it, so what it should have become would
        be forgotten.
        """
        repository, kept = self._repository, self._writer.kept
        moves = {move.target.key: move for move in batch}
        for portion, present in by_keys(repository.db, repository.name, kept, session=session):
            repository.conflicts.add_missing(
                self._commit.state["merge"]["id"],
                [
                    whole_document(
                        key, moves[key].recorded, present.get(key), moves[key].target.raw
                    )
                    for key in portion
                ],
                session,
            )

    def _keep_stash(self) -> None:
        """Drop no stash of which something was not brought back, now or when it is settled."""
        if self._commit.stash is None or not self._writer.kept:
            return
        merge = self._commit.state.get("merge")
        if merge and merge.get("drop"):
            self._commit.state["merge"] = {**merge, "drop": False}
            self._declare(self._commit)
        elif "stashes" in self._commit.state:
            fields = with_stashes(()).keys()
            self._commit.state = {
                n: value for n, value in self._commit.state.items() if n not in fields
            }
            self._declare(self._commit)

    def _keep_conflicts(self) -> None:
        """Settle no conflict where what was decided is not written."""
        left = self._writing.without_overtaken(self._commit, self._writer, None)
        if left is not self._commit:
            self._commit.settled, self._commit.taken_out = left.settled, left.taken_out
            self._commit.state = left.state
            self._declare(self._commit)


class _Contended(VersioningError):
    """A batch was taken back again and again, as others write to its documents."""

    code = "contended"


def _cut_of(batch: list[Move]) -> int:
    """Return where to cut a batch in two, 0 where ids that are the same have to go together."""
    keys = [move.target.key for move in batch]
    middle = middle_of(keys)
    return 0 if len(keys) < 2 or are_twins(keys[middle - 1], keys[middle]) else middle


def _is_conflict(error: driver.PyMongoError) -> bool:
    """Tell whether a transaction met another one that writes to the same document.

    The driver says that it gave up in an error of its own, whose cause is the server's.
    """
    return any(getattr(one, "code", None) == _WRITE_CONFLICT for one in (error, error.__cause__))
