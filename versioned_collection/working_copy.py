"""What changed in the working copy: the present documents compared with the replica."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from versioned_collection.capture import Capture, Noticed, capture_for
from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.errors import InvalidOperation, LeaseLost
from versioned_collection.pipeline import prefetch
from versioned_collection.repository import Hold, Repository
from versioned_collection.wire import IDS_PER_READ, by_keys, documents, portions

_UNMATCHED = 20_000
"""Documents without a partner that a full comparison holds before it looks them up."""


class Change(NamedTuple):
    """A document that differs from HEAD.

    Attributes:
        key: Its key.
        old: The document as of HEAD, None where there was none.
        new: The document now, None where it is gone.
    """

    key: DocumentKey
    old: bytes | None
    new: bytes | None


class WorkingCopy:
    """The collection as one look finds it.

    Args:
        hold: The lease under which it is looked at.
    """

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.repository: Repository = hold.repository
        self.capture: Capture = capture_for(self.repository)
        self.noticed: Noticed = self.capture.look(hold.state)
        self._is_noted = False

    def look_again(self) -> None:
        """Notice anew what changed."""
        self.noticed = self.capture.look(self.hold.state)

    def changes(self, note: bool = False) -> Iterator[list[Change]]:
        """Iterate over the documents that differ from HEAD, a bounded list at a time.

        Args:
            note: Keep the ids that a full comparison finds, for `persist`.
        """
        if self.noticed.scan:
            batches = compare_everything(self.repository, self.noticed.at)
        else:
            batches = self._compare_noted()
        for batch in batches:
            if batch and note and self.noticed.scan:
                self.repository.modified.add([change.key for change in batch])
            if batch:
                yield batch
        self._is_noted = note

    def candidates(self) -> Iterator[list[DocumentKey]]:
        """Iterate over the ids that may have changed."""
        yield from portions(sorted(self.noticed.keys), len, IDS_PER_READ, 1 << 22)
        for keys in self.repository.modified.all():
            fresh = [key for key in keys if key not in self.noticed.keys]
            if fresh:
                yield fresh

    def _compare_noted(self) -> Iterator[list[Change]]:
        twins: set[DocumentKey] = set()
        for keys in self.candidates():
            yield from self._compare([key for key in keys if key not in twins], twins)

    def _compare(self, keys: list[DocumentKey], twins: set[DocumentKey]) -> Iterator[list[Change]]:
        repository = self.repository
        for portion, present in by_keys(repository.db, repository.name, keys, at=self.noticed.at):
            asked = [key for key in portion if key not in twins]
            wanted = [*asked, *self._unasked(present.keys() - set(portion), asked, twins)]
            for part, recorded in repository.replica.by_keys(wanted):
                unasked = self._unasked(recorded.keys() - set(wanted), asked, twins)
                yield _differing(
                    (key, recorded.get(key), present.get(key)) for key in [*part, *unasked]
                )

    def _unasked(
        self, found: set[DocumentKey], asked: list[DocumentKey], twins: set[DocumentKey]
    ) -> set[DocumentKey]:
        """Return the ids among `found` whose turn is now, though nobody asked for them.

        The server finds ``1.0`` where ``1`` was asked for. Such twins are compared together,
        the first time that one of them is asked for.

        Args:
            found: Ids that were found without being asked for.
            asked: What was asked for.
            twins: Those that have had their turn this way; more are added.
        """
        unasked = found - twins
        if unasked:
            noted = self.repository.modified.among([*unasked, asked[0]])
            now = self._turn(asked[0], noted)
            unasked = {key for key in unasked if self._turn(key, noted) >= now}
            twins |= unasked
        return unasked

    def _turn(self, key: DocumentKey, noted: set[DocumentKey]) -> tuple[int, int, bytes]:
        """Return when `candidates` comes to an id: it compares greater for later ones."""
        if key in self.noticed.keys:
            return 0, 0, key
        return (1, len(key), key) if key in noted else (2, 0, key)

    def has_changes(self) -> bool:
        """Tell whether any document differs from HEAD."""
        return next(self.changes(), None) is not None

    def require_clean(self) -> None:
        """Refuse to go on over uncommitted changes.

        Raises:
            InvalidOperation: There are some.
        """
        if self.has_changes():
            self.persist()
            raise InvalidOperation(
                "there are uncommitted changes; register, stash or discard them first"
            )
        self.forget()  # what was noted before is the same as in HEAD

    def persist(self) -> None:
        """Keep what was noticed, so that the next look need not notice it again.

        After a full comparison that was not gone through to its end, with its ids noted,
        there is nothing to keep: the next look compares everything again.
        """
        noticed, repository = self.noticed, self.repository
        if noticed.scan and not self._is_noted:
            return
        if noticed.keys:
            repository.modified.add(noticed.keys)
        elif not (noticed.scan or noticed.settled or self._is_old()):
            return
        self.hold.update(noticed.position())
        repository.journal.remove(noticed.settled)

    def _is_old(self) -> bool:
        """Tell whether the position is so old that reading on from it begins to cost."""
        captured = self.hold.state.captured
        now = self.noticed.at
        return captured is not None and now is not None and now.time - captured.time > 30

    def settle_unchanged(self) -> None:
        """Note that nothing differs: no id has to be looked at again."""
        self.repository.modified.clear(self.hold.lease.check)
        self.hold.update(self.noticed.position())
        self.repository.journal.remove(self.noticed.settled)

    def forget(self) -> None:
        """Drop what is covered by the version that was just recorded."""
        with suppress(LeaseLost):  # then whoever took over finds that nothing differs
            self.repository.modified.clear(self.hold.lease.check)
        self.repository.journal.remove(self.noticed.settled)


def compare_everything(repository: Repository, at: Any) -> Iterator[list[Change]]:
    """Compare the whole collection with the replica, streaming.

    Both are read in the order of their ids. A document without a partner waits for it, as
    the other stream may be behind; when many wait, the partners are looked up.

    Args:
        repository: The trackers.
        at: The cluster time whose state is read, None for the present.
    """
    present = prefetch(
        documents(repository.db, repository.name, sort={"_id": 1}, at=at, batch_size=10_000)
    )
    recorded = prefetch(repository.replica.scan())
    waiting = _Waiting(repository, at)
    streams = [(present, True), (recorded, False)]
    while streams:
        for stream in list(streams):
            batch = next(stream[0], None)
            if batch is None:
                streams.remove(stream)
            else:
                yield waiting.match(batch, stream[1])
        if waiting.is_full():
            yield from waiting.look_up()
    yield waiting.rest()


class _Waiting:
    """Documents of each side that have not met their partner yet."""

    def __init__(self, repository: Repository, at: Any) -> None:
        self._repository = repository
        self._at = at
        self._present: dict[DocumentKey, bytes] = {}
        self._recorded: dict[DocumentKey, bytes] = {}
        self._settled: set[DocumentKey] = set()

    def match(self, batch: Iterable[bytes], is_present: bool) -> list[Change]:
        mine, other = self._present, self._recorded
        if not is_present:
            mine, other = other, mine
        different = []
        for raw in batch:
            key = document_key(raw)
            if key in self._settled:
                self._settled.discard(key)
                continue
            partner = other.pop(key, None)
            if partner is None:
                mine[key] = raw
            elif partner != raw:
                old, new = (partner, raw) if is_present else (raw, partner)
                different.append(Change(key, old, new))
        return different

    def is_full(self) -> bool:
        return len(self._present) + len(self._recorded) > _UNMATCHED

    def look_up(self) -> Iterator[list[Change]]:
        """Settle all that wait by asking for their partners, which may still come by."""
        repository = self._repository
        present, recorded = self._present, self._recorded
        self._present, self._recorded = {}, {}
        for portion, found in repository.replica.by_keys(list(present)):
            self._settled.update(key for key in portion if key in found)
            yield _differing((key, found.get(key), present[key]) for key in portion)
        for portion, found in by_keys(repository.db, repository.name, list(recorded), at=self._at):
            self._settled.update(key for key in portion if key in found)
            yield _differing((key, recorded[key], found.get(key)) for key in portion)

    def rest(self) -> list[Change]:
        """Return those whose partner cannot come any more."""
        removed = [Change(key, raw, None) for key, raw in self._recorded.items()]
        return removed + [Change(key, None, raw) for key, raw in self._present.items()]


def _differing(triples: Iterable[tuple[DocumentKey, bytes | None, bytes | None]]) -> list[Change]:
    return [Change(*triple) for triple in triples if triple[1] != triple[2]]
