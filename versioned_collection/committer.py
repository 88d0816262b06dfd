"""Carrying out commits: at once in a transaction, or step by step behind an intent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession

from versioned_collection.commit import Commit, apply_references
from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey, document_hash
from versioned_collection.core.tree import Path
from versioned_collection.moves import BATCH, BATCH_BYTES, Move, move_replica, moves_along
from versioned_collection.repository import Hold, Repository
from versioned_collection.targets import Target, UniqueClash, ValidatorInTheWay, WorkingCopyWriter
from versioned_collection.wire import by_keys, portions

_MOST_OWN_TIMES = 200

Progress = Callable[[str, int], None]
"""Called with the name of a phase and the number of documents done in it."""


class Committer:
    """Carries out a commit under a lease.

    Args:
        hold: The lease.
        progress: Told how many documents were written.
    """

    def __init__(self, hold: Hold, progress: Progress | None = None) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._progress = progress or (lambda phase, count: None)
        self._own: list[Timestamp] = []
        self.kept: list[DocumentKey] = []

    # -- one transaction -----------------------------------------------------------------

    def at_once(
        self,
        commit: Commit,
        moves: Sequence[Move] = (),
        targets: Sequence[Target] = (),
        *,
        keep: bool = False,
    ) -> None:
        """Carry out a small commit in one transaction.

        Args:
            commit: The commit.
            moves: Documents that move in the replica, and in the working copy if the commit
                says so.
            targets: Further documents to bring to a state in the working copy.
            keep: Keep documents that another client changed, instead of raising.

        Raises:
            WorkingCopyChanged: Another client changed a document; nothing was done.
        """
        wanted = [move.target for move in moves] if commit.working_copy else []
        wanted += targets
        writer = WorkingCopyWriter(self._repository, keep=keep)

        def work(session: ClientSession | None) -> None:
            writer.kept.clear()
            writer.write(wanted, session)
            move_replica(self._repository, moves, session)
            apply_references(self._repository, commit, session)
            self._hold.update({**commit.state, "intent": None}, session)

        self._insist(work, writer)
        self._keep(writer)
        if wanted:
            self._note_own_writes()
        self._progress("written", len(wanted) or len(moves))

    def _insist(
        self, work: Callable[[ClientSession | None], None], writer: WorkingCopyWriter
    ) -> None:
        while True:
            try:
                self._hold.transaction(work)
            except UniqueClash:
                writer.displace = True
            except ValidatorInTheWay:
                continue
            else:
                return

    def _keep(self, writer: WorkingCopyWriter) -> None:
        if writer.kept:
            self._repository.modified.add(writer.kept)
            self.kept += writer.kept
            writer.kept = []

    def _note_own_writes(self) -> None:
        """Store the commit time, whose events in the change stream are ours."""
        self._remember_time()
        if self._own:
            own = [*self._repository.state().own, *self._own][-_MOST_OWN_TIMES:]
            self._hold.update({"own": own})
            self._own.clear()

    def _remember_time(self) -> None:
        time = self._hold.session.operation_time
        if time is not None and self._repository.has_transactions:
            self._own.append(time)

    # -- step by step --------------------------------------------------------------------

    def declare(self, commit: Commit) -> None:
        """Write the commit as an intent: from here on it will happen."""
        self._hold.begin({"phase": "apply", "commit": commit.to_bson()})

    def complete(self, commit: Commit) -> None:
        """Carry out a declared commit; every step may have been done before."""
        repository = self._repository
        if commit.log is not None:
            repository.log.insert(commit.log)
        if commit.path is not None:
            self._complete_move(commit, commit.path)
        if commit.restore:
            self._complete_targets(self._restorations(), commit)
        if commit.stash is not None:
            self._complete_targets(self._unstashed(commit.stash), commit)
        if commit.forgotten:
            repository.deltas.delete(commit.forgotten)

        def finish(session: ClientSession | None) -> None:
            apply_references(repository, commit, session)
            own = {"own": self._own[-_MOST_OWN_TIMES:]} if self._own else {}
            self._hold.update({**commit.state, **own, "intent": None}, session)

        self._hold.transaction(finish)

    def _complete_move(self, commit: Commit, path: Path) -> None:
        writer = WorkingCopyWriter(self._repository, keep=True, displace=commit.displace)
        if commit.displace:
            self._take_all_out(writer, path)
        for batch in moves_along(self._repository, path):
            self._move_batch(commit, path, batch, writer)
            self._progress("written", len(batch))

    def _move_batch(
        self, commit: Commit, path: Path, batch: list[Move], writer: WorkingCopyWriter
    ) -> None:
        targets = [move.target for move in batch] if commit.working_copy else []

        def work(session: ClientSession | None) -> None:
            writer.kept.clear()
            writer.write(targets, session)
            move_replica(self._repository, batch, session)
            self._touch(session)

        try:
            self._persist(work, writer)
        except UniqueClash:
            self._declare_displacing(commit, writer)
            self._take_all_out(writer, path)
            self._persist(work, writer)
        self._keep(writer)
        self._remember_time()

    def _persist(
        self, work: Callable[[ClientSession | None], None], writer: WorkingCopyWriter
    ) -> None:
        try:
            self._hold.transaction(work)
        except ValidatorInTheWay:
            self._hold.transaction(work)

    def _declare_displacing(self, commit: Commit, writer: WorkingCopyWriter) -> None:
        commit.displace = writer.displace = True
        self.declare(commit)

    def _take_all_out(self, writer: WorkingCopyWriter, path: Path) -> None:
        for batch in moves_along(self._repository, path):
            targets = [move.target for move in batch]
            self._hold.transaction(lambda session, t=targets: writer.take_out(t, session))  # type: ignore[misc]

    def _touch(self, session: ClientSession | None) -> None:
        """Make the batch fail if another owner has taken over."""
        self._hold.update({"progress": ObjectId()}, session)

    def _complete_targets(self, batches: Iterable[list[Target]], commit: Commit) -> None:
        writer = WorkingCopyWriter(self._repository, keep=True, displace=commit.displace)
        for batch in batches:

            def work(session: ClientSession | None, batch: list[Target] = batch) -> None:
                writer.kept.clear()
                writer.write(batch, session)
                self._touch(session)

            self._insist(work, writer)
            self._keep(writer)
            self._remember_time()
            self._progress("written", len(batch))

    def _restorations(self) -> Iterator[list[Target]]:
        for states in self._repository.modified.seen():
            for portion, recorded in self._repository.replica.by_keys(list(states)):
                yield [_restoration(key, states[key], recorded.get(key)) for key in portion]

    def _unstashed(self, stash: ObjectId) -> Iterator[list[Target]]:
        repository = self._repository
        for batch in portions(
            repository.stash.of_version(stash), _stash_weight, BATCH, BATCH_BYTES
        ):
            images = {delta.key: delta.new for delta in batch}
            yield from overwriting_targets(repository, images)


def overwriting_targets(
    repository: Repository, images: Mapping[DocumentKey, bytes | None]
) -> Iterator[list[Target]]:
    """Return targets that move documents to `images` from whatever they are now."""
    for portion, present in by_keys(repository.db, repository.name, list(images)):
        yield [_overwriting(key, present.get(key), images[key]) for key in portion]


def _overwriting(key: DocumentKey, present: bytes | None, image: bytes | None) -> Target:
    return _restoration(key, None if present is None else document_hash(present), image)


def _restoration(key: DocumentKey, seen: bytes | None, raw: bytes | None) -> Target:
    return Target(key, seen, raw, None if raw is None else document_hash(raw))


def _stash_weight(delta: Delta) -> int:
    return len(delta.new or b"") + 100
