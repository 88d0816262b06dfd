"""A version in the making: its deltas are stored, its facts are summed up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import bson

from versioned_collection.core.delta import Delta, compare
from versioned_collection.core.sums import MODULUS, Sums
from versioned_collection.core.version import Version, VersionId
from versioned_collection.documents.moves import Move
from versioned_collection.documents.targets import Target
from versioned_collection.driver.pipeline import Behind
from versioned_collection.errors import DocumentRejected, InvalidOperation
from versioned_collection.history.facts import completed
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress, counted
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import new_version_id
from versioned_collection.trackers.entries import entry_to_bson
from versioned_collection.working.working_copy import Change

LARGEST_ENTRIES = 8 * 1024 * 1024
"""Bytes of log entries that one commit carries: as an intent it is a part of one document."""

_SMALL_ID = 8 * 1024
_LARGEST_WITH_ID = 16 * 1024 * 1024 + _SMALL_ID
"""Bytes of a document, and of its id once more: both are in a statement that writes it, for which
servers allow 16 KiB more than for a document."""


class Facts(NamedTuple):
    """What is said about a new version; without a timestamp it is made now."""

    branch: str
    message: str
    author: Any
    metadata: dict[str, Any]
    timestamp: datetime | None = None


class Recording:
    """Stores the deltas of a new version, which stay invisible until the log names it.

    Args:
        hold: The lease.
        progress: Told how many documents were recorded.
        version: The id of the version; a fresh one where it is left out.

    Attributes:
        id: The new version.
    """

    def __init__(
        self, hold: Hold, progress: Progress | None = None, version: VersionId | None = None
    ) -> None:
        self.id = version or new_version_id()
        self._hold = hold
        self._progress = counted(progress)
        self._sums = Sums()
        self._digests: list[int] = []
        self._failure: BaseException | None = None

    @property
    def count(self) -> int:
        """How many documents it changes."""
        return self._sums.count

    def begin(self) -> None:
        """Note what is being made, so that it is removed should it not be completed."""
        self._hold.begin({"phase": "prepare", "version": self.id})

    def append(
        self, changes: Iterable[list[Change]], ready: Callable[[], None] = lambda: None
    ) -> None:
        """Store the deltas of changes, while the next ones are being computed; see `moves`."""
        for _ in self.moves(changes, ready):
            pass

    def moves(
        self, changes: Iterable[list[Change]], ready: Callable[[], None] = lambda: None
    ) -> Generator[list[Move], None, None]:
        """Store the deltas of changes, and iterate over the moves that these are.

        Whoever goes on no further has the deltas of the moves that were yielded, and can store
        those of the other changes by another call.

        Args:
            changes: The changes, a bounded list at a time.
            ready: Called before anything is written; it may wait, or raise to have nothing
                written.

        Raises:
            BaseException: What went wrong, now or at an earlier call: some changes are lost.
        """
        self._refuse_incomplete()
        try:
            yield from self._moves(changes, ready)
        except GeneratorExit:
            raise
        except BaseException as error:
            self._failure = error
            raise

    def _refuse_incomplete(self) -> None:
        """Raise what kept changes from being stored, wherever that was told before.

        Whoever was to go on with the moves may have closed them, and then hears of nothing.
        """
        if self._failure is not None:
            raise self._failure

    def _moves(
        self, changes: Iterable[list[Change]], ready: Callable[[], None]
    ) -> Generator[list[Move], None, None]:
        deltas = self._hold.repository.deltas
        with Behind() as behind:
            behind.submit(ready)
            for batch in changes:
                moves = list[Move]()
                store = deltas.appending(self.id, self._deltas(batch, moves))
                behind.submit(lambda store=store: self._digests.append(store()))  # type: ignore[misc]
                size = sum(len(change.new or b"") for change in batch)
                self._progress("recorded", len(batch), size)
                try:
                    yield moves
                except GeneratorExit:
                    try:
                        behind.finish()
                    except Exception as error:  # told by the next call: nobody listens now
                        self._failure = error
                    raise

    def _deltas(self, changes: Iterable[Change], moves: list[Move]) -> Iterator[Delta]:
        """Iterate over the deltas of changes; add the moves that these are."""
        for change in changes:
            delta = self._counted(change)
            moves.append(_move(delta, change))
            yield delta

    def _counted(self, change: Change) -> Delta:
        self._refuse_large_id(change)
        delta = change.delta or compare(change.old, change.new)
        assert delta is not None
        self._sums.count_in(delta)
        return delta

    def _refuse_large_id(self, change: Change) -> None:
        """Refuse a document that could not be written again once it is part of a version.

        Raises:
            DocumentRejected: No statement can hold it and its id.
        """
        size = len(change.key)
        if size > _SMALL_ID and size + len(change.new or b"") > _LARGEST_WITH_ID:
            raise DocumentRejected(
                f"a document cannot be recorded: with its _id, of {size:,} bytes, once more, it "
                "takes more than 16 MB. Make it smaller, or delete the document, then try again",
                document_id=self._hold.repository.codec.value(change.key),
                reason="the document and its _id are too large together",
            )

    def version(
        self, facts: Facts, parents: Sequence[Version], number: int | None = None
    ) -> Version:
        """Return the log entry, once all changes are appended.

        Args:
            facts: What the caller says about it.
            parents: The parents; the changes start from the first one.
            number: The number on the branch; the next one where it is left out.
        """
        self._refuse_incomplete()
        repository = self._hold.repository
        version = Version(
            self.id,
            repository.log.last_number(facts.branch) + 1 if number is None else number,
            facts.branch,
            tuple(parent.id for parent in parents),
            facts.timestamp or repository.now(),
            facts.message,
            facts.author,
            facts.metadata,
            self._sums.stats,
        )
        content = (int(parents[0].fingerprint, 16) + self._sums.content) % MODULUS
        digest = sum(self._digests) % MODULUS
        return completed(version, parents, digest, content, repository.codec)


def _move(delta: Delta, change: Change) -> Move:
    return Move(Target(delta.key, delta.before, change.new, delta.after), change.old)


class Chain:
    """Versions in the making, each on top of the one before; the log names none of them yet.

    Args:
        hold: The lease.
        branch: The branch of their labels.
        start: The version that the first of them stands on.
        count: How many there are at most.
        progress: Told how many documents were recorded.
        number: The number of the first on the branch; the next one where it is left out.

    Attributes:
        made: The versions so far.
    """

    def __init__(
        self,
        hold: Hold,
        branch: str,
        start: Version,
        count: int,
        progress: Progress | None,
        number: int | None = None,
    ) -> None:
        self.made: list[Version] = []
        self._hold = hold
        self._branch = branch
        self._start = start
        self._ids = [new_version_id() for _ in range(count)]
        self._progress = progress
        self._bytes = 0
        last = hold.repository.log.last_number(branch)
        self._number = last + 1 if number is None else number
        hold.begin({"phase": "prepare", "version": list(self._ids)})

    @property
    def tip(self) -> Version:
        """The version on which the next one stands."""
        return self.made[-1] if self.made else self._start

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        """The log entries, as they are stored."""
        return list(map(entry_to_bson, self.made))

    def recording(self) -> Recording:
        """Begin the next version; nothing comes of it unless `add` follows."""
        return Recording(self._hold, self._progress, self._ids.pop(0))

    def add(
        self,
        recording: Recording,
        original: Version,
        parents: Iterable[VersionId],
        timestamp: datetime | None = None,
    ) -> Version:
        """Complete a version.

        Args:
            recording: Its changes.
            original: What it takes message, author and metadata from.
            parents: Its parents beside the version it stands on.
            timestamp: Its time; now where it is left out.

        Raises:
            InvalidOperation: The log entries are too large for one commit.
        """
        words = original.message, original.stored_author, dict(original.stored_metadata)
        facts = Facts(self._branch, *words, timestamp)
        others = [entry_of(self._hold.repository, parent) for parent in parents]
        number = self._number + len(self.made)
        version = recording.version(facts, [self.tip, *others], number)
        self._bytes += len(bson.encode(entry_to_bson(version)))
        if self._bytes > LARGEST_ENTRIES:
            raise InvalidOperation(
                f"the log entries of more than {len(self.made)} versions take over "
                f"{LARGEST_ENTRIES} bytes, which is too much for one step; do it in parts, with "
                "fewer versions each",
                versions=len(self.made),
                limit=LARGEST_ENTRIES,
            )
        self.made.append(version)
        return version
