"""What becomes true together at the end of a verb, and how it is made true.

A `Commit` is a plain value. Small ones (see `SMALL`) are carried out in one transaction:
all or nothing. Others, and all on servers without transactions, are first written into
the metadata as an intent, which is the commit point; from there on each step can be
repeated, by this process or by whoever opens the collection next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey, document_hash
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.errors import CorruptHistory
from versioned_collection.pipeline import Behind, prefetch
from versioned_collection.repository import Hold, Repository
from versioned_collection.targets import Target, UniqueClash, ValidatorInTheWay, WorkingCopyWriter
from versioned_collection.wire import by_keys, portions

SMALL_DOCUMENTS = 10_000
SMALL_BYTES = 32 * 1024 * 1024
"""What one transaction carries: beyond it readers can see a checkout under way."""

_BATCH = 2_000
_MOST_OWN_TIMES = 200
_BATCH_BYTES = 16 * 1024 * 1024

Progress = Callable[[str, int], None]
"""Called with the name of a phase and the number of documents done in it."""


@dataclass(slots=True)
class Commit:
    """What a verb makes true.

    Attributes:
        state: Fields of the metadata to set at the end.
        log: A log entry to append, as it is stored.
        branches: Tips to set.
        dropped_branches: Branches to remove.
        forgotten: Versions to remove: log entries, tags, deltas.
        path: The way on which the replica, and the working copy, move.
        working_copy: Whether the working copy moves along.
        restore: Whether the documents noted in the modified set with the state they were
            seen in go back to what the replica holds.
        stash: The stash whose documents are brought back.
        displace: See `WorkingCopyWriter`.
    """

    state: dict[str, Any] = field(default_factory=dict)
    log: Mapping[str, Any] | None = None
    branches: dict[str, VersionId] = field(default_factory=dict)
    dropped_branches: list[str] = field(default_factory=list)
    forgotten: list[VersionId] = field(default_factory=list)
    path: Path | None = None
    working_copy: bool = True
    restore: bool = False
    stash: ObjectId | None = None
    displace: bool = False

    def to_bson(self) -> dict[str, Any]:
        """Return the commit as an intent that can be carried out later."""
        stored: dict[str, Any] = {
            "state": self.state,
            "log": self.log,
            "branches": [[name, version] for name, version in self.branches.items()],
            "dropped_branches": self.dropped_branches,
            "forgotten": self.forgotten,
            "path": None,
            "working_copy": self.working_copy,
            "restore": self.restore,
            "stash": self.stash,
            "displace": self.displace,
        }
        if self.path is not None:
            stored["path"] = {
                "backward": list(self.path.backward),
                "forward": list(self.path.forward),
            }
        return stored

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Commit:
        """Return the commit that `to_bson` stored."""
        facts = {name: stored[name] for name in cls.__dataclass_fields__}
        facts["branches"] = {name: version for name, version in stored["branches"]}
        if stored["path"] is not None:
            way = stored["path"]
            facts["path"] = Path(tuple(way["backward"]), tuple(way["forward"]))
        return cls(**facts)


class Move(NamedTuple):
    """A document on its way: its target, and what the replica holds now."""

    target: Target
    recorded: bytes | None


def moves_along(repository: Repository, path: Path) -> Iterator[list[Move]]:
    """Iterate over the documents that differ between the ends of a path.

    The replica is at one end or the other, document by document, so this can be repeated
    after an interruption.

    Raises:
        CorruptHistory: A document of the replica is in neither state.
    """
    changed = prefetch(portions(repository.deltas.along(path), _weight, _BATCH, _BATCH_BYTES))
    for batch in changed:
        deltas = dict(batch)
        for portion, recorded in repository.replica.by_keys(list(deltas)):
            moves = [_move(key, deltas[key], recorded.get(key)) for key in portion]
            yield [move for move in moves if move is not None]


def small_moves(repository: Repository, path: Path) -> list[Move] | None:
    """Return the documents that move, None when there are too many for one transaction."""
    moves: list[Move] = []
    size = 0
    for batch in moves_along(repository, path):
        moves += batch
        size += sum(len(move.target.raw or b"") for move in batch)
        if len(moves) > SMALL_DOCUMENTS or size > SMALL_BYTES:
            return None
    return moves


def _weight(group: tuple[DocumentKey, list[Delta]]) -> int:
    return sum(len(delta.old or b"") + len(delta.new or b"") + 400 for delta in group[1])


def _move(key: DocumentKey, deltas: list[Delta], recorded: bytes | None) -> Move | None:
    before, after = deltas[0].before, deltas[-1].after
    if before == after:
        return None
    state = None if recorded is None else document_hash(recorded)
    if state == after:
        return Move(Target(key, before, recorded, after), recorded)
    if state != before:
        raise CorruptHistory(
            "the replica holds a document that is in no version on the path; run verify()",
            key=key,
        )
    raw = recorded
    for delta in deltas:
        raw = delta.apply(raw)
    return Move(Target(key, before, raw, after), recorded)


def move_replica(
    repository: Repository, moves: Iterable[Move], session: ClientSession | None
) -> None:
    """Bring the replica's documents to their targets."""
    removed, added = [], []
    for target, recorded in moves:
        if recorded != target.raw:
            if recorded is not None:
                removed.append(target.key)
            if target.raw is not None:
                added.append(target.raw)
    repository.replica.put(removed, added, session)


def apply_references(
    repository: Repository, commit: Commit, session: ClientSession | None
) -> None:
    """Append the log entry, move and remove branches, remove versions."""
    if commit.log is not None:
        repository.log.insert(commit.log, session)
    for name, version in commit.branches.items():
        repository.branches.set(name, version, session)
    if commit.dropped_branches:
        repository.branches.delete(commit.dropped_branches, session)
    if commit.forgotten:
        repository.tags.delete_versions(commit.forgotten, session)
        repository.log.delete(commit.forgotten, session)


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
        """Remember the commit time, whose events in the change stream are ours."""
        time = self._hold.session.operation_time
        if time is not None and self._repository.has_transactions:
            self._own.append(time)
            own = [*self._repository.state().own, *self._own][-_MOST_OWN_TIMES:]
            self._hold.update({"own": own})
            self._own.clear()

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
            self._hold.update({**commit.state, "intent": None}, session)

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
            self._progress("written", len(batch))

    def _restorations(self) -> Iterator[list[Target]]:
        for states in self._repository.modified.seen():
            for portion, recorded in self._repository.replica.by_keys(list(states)):
                yield [_restoration(key, states[key], recorded.get(key)) for key in portion]

    def _unstashed(self, stash: ObjectId) -> Iterator[list[Target]]:
        repository = self._repository
        for batch in portions(
            repository.stash.of_version(stash), _stash_weight, _BATCH, _BATCH_BYTES
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


class EagerReplica:
    """Moves the replica in a transaction while the changes are still being computed.

    Args:
        hold: The lease under which the transaction is committed.
    """

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._moves: list[Move] = []
        self._bytes = 0
        self._behind = Behind()
        self.open = hold.repository.has_transactions
        if self.open:
            hold.session.start_transaction(
                read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
            )

    def add(self, moves: list[Move]) -> None:
        """Move some more; gives up for good when it is too much for one transaction."""
        if not self.open:
            return
        self._moves += moves
        self._bytes += sum(len(move.target.raw or b"") for move in moves)
        if len(self._moves) > SMALL_DOCUMENTS or self._bytes > SMALL_BYTES:
            self.abandon()
            return
        repository, session = self._hold.repository, self._hold.session
        self._behind.submit(lambda: move_replica(repository, moves, session))

    def abandon(self) -> None:
        """Take everything back."""
        if self.open:
            self.open = False
            try:
                self._behind.finish()
            except driver.PyMongoError:
                pass  # it is taken back anyway
            if self._hold.session.in_transaction:
                self._hold.session.abort_transaction()
            self._moves = []
        self._behind.__exit__(None)

    def commit(self, commit: Commit) -> None:
        """Make the moves and the commit true together."""
        session, moves = self._hold.session, self._moves
        try:
            self._behind.finish()
            apply_references(self._hold.repository, commit, session)
            self._hold.update({**commit.state, "intent": None}, session)
            session.commit_transaction()
            self.open = False
        except driver.PyMongoError as error:
            self.abandon()
            if not error.has_error_label("TransientTransactionError"):
                raise
            Committer(self._hold).at_once(commit, moves)
        finally:
            self._behind.__exit__(None)
