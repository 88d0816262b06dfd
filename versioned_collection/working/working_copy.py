"""What changed in the working copy: the present documents compared with the replica."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from bson.timestamp import Timestamp

from versioned_collection.capture import Capture, Noticed, capture_for
from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey, document_key, twin_token
from versioned_collection.core.portions import IDS_PER_READ, portions
from versioned_collection.core.sums import MODULUS, content_of
from versioned_collection.core.version import VersionId, fingerprint_text
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.driver.wire import by_keys, documents
from versioned_collection.errors import InvalidOperation, LeaseLost
from versioned_collection.history.versions import entry_of
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.refusals import not_as_of_head
from versioned_collection.repository.repository import Repository

_log = logging.getLogger(__name__)

_UNMATCHED = 20_000
"""Documents without a partner that a full comparison holds before it looks them up."""


class Change(NamedTuple):
    """A document that differs from HEAD.

    Attributes:
        key: Its key.
        old: The document as of HEAD, None where there was none.
        new: The document now, None where it is gone.
        delta: The delta from `old` to `new`, where it is known already.
    """

    key: DocumentKey
    old: bytes | None
    new: bytes | None
    delta: Delta | None = None


class WorkingCopy:
    """The collection as one look finds it.

    Args:
        hold: The lease under which it is looked at.
        eager: Compare while changes are still being noticed; see `changes`.
    """

    def __init__(self, hold: Hold, *, eager: bool = False) -> None:
        self.hold = hold
        self.repository: Repository = hold.repository
        self.capture: Capture = capture_for(self.repository)
        self.noticed: Noticed = self.capture.look(hold.state)
        if not eager:
            self.noticed.complete()
        self._is_noted = False
        self._is_full = self.noticed.scan

    @property
    def at(self) -> Timestamp | None:
        """The cluster time of the look, None for the present."""
        return self.noticed.at

    def look_again(self) -> None:
        """Notice anew what changed."""
        self.noticed = self.capture.look(self.hold.state).complete()

    def changes(self, note: bool = False) -> Iterator[list[Change]]:
        """Iterate over the documents that differ from HEAD, a bounded list at a time.

        Args:
            note: Keep the ids that a full comparison finds, for `persist`.

        Raises:
            Overtaken: The look was eager, and finds only now that everything has to be
                compared: what came by counts for nothing, the next call starts over.
        """
        self._is_full = self.noticed.scan
        if self._is_full:
            _log.info(
                "all documents of %s are compared: %s",
                self.repository.name,
                self.noticed.reason,
                extra={"collection": self.repository.name, "reason": self.noticed.reason},
            )
            head = self.hold.state.head
            batches = compare_everything(self.repository, self.noticed.at, head=head)
        else:
            batches = self._compare_noted()
        for batch in batches:
            if batch and note and self.noticed.scan:
                self.repository.modified.add([change.key for change in batch])
            if batch:
                yield batch
        self._is_noted = note

    def wait_until_noticed(self) -> None:
        """Wait until an eager look is over.

        Raises:
            Overtaken: Everything has to be compared.
        """
        self.noticed.wait()
        if self.noticed.scan and not self._is_full:
            raise Overtaken(self.noticed.reason)

    def _compare_noted(self) -> Iterator[list[Change]]:
        turns = Turns(self.repository)
        for keys in self.noticed.arriving():
            yield from compare_noticed(self.repository, keys, turns, self.noticed.at)
        if self.noticed.scan:
            raise Overtaken(self.noticed.reason)
        for keys in self.repository.modified.all():
            yield from _compare(self.repository, turns.second(keys), turns, self.noticed.at)

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
        now = self.noticed.at if self.noticed.sees_all else None
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


class Overtaken(Exception):
    """An eager comparison of the noticed documents has to give way to a full one."""


class Turns:
    """When a document is compared, so that each is once.

    First come the ids that were just noticed, then those of the modified set, in the order
    in which it is read. The server finds ``1.0`` where ``1`` was asked for: such twins are
    compared together, the first time that one of them is asked for.
    """

    def __init__(self, repository: Repository) -> None:
        self._modified = repository.modified
        self._noticed: set[DocumentKey] = set()
        self._twins: set[DocumentKey] = set()
        self._is_second = False

    def first(self, keys: list[DocumentKey]) -> list[DocumentKey]:
        """Return which of the next ids that were just noticed have to be compared."""
        keys = self.still(keys)
        self._noticed.update(keys)
        return keys

    def second(self, keys: list[DocumentKey]) -> list[DocumentKey]:
        """Return which of the next ids of the modified set have to be compared."""
        self._is_second = True
        return [key for key in self.still(keys) if key not in self._noticed]

    def still(self, keys: list[DocumentKey]) -> list[DocumentKey]:
        """Leave out those that were compared with a twin."""
        return [key for key in keys if key not in self._twins] if self._twins else keys

    def unasked(self, found: set[DocumentKey], asked: list[DocumentKey]) -> set[DocumentKey]:
        """Return the ids whose turn is now, though nobody asked for them.

        Args:
            found: Ids that were found without being asked for.
            asked: What was asked for.
        """
        unasked = found - self._twins - self._noticed if asked else set()
        if unasked and self._is_second:
            noted, now = self._modified.among(unasked), _place(asked[0])
            unasked = {key for key in unasked if key not in noted or _place(key) >= now}
        self._twins |= unasked
        return unasked


def _place(key: DocumentKey) -> tuple[int, bytes]:
    """Return what orders ids as the modified set is read."""
    return len(key), key


def compare_noticed(
    repository: Repository,
    keys: Iterable[DocumentKey],
    turns: Turns,
    at: Timestamp | None,
    recorded_at: Timestamp | None = None,
) -> Iterator[list[Change]]:
    """Compare documents that were noticed, and those whose ids the server takes for theirs.

    Args:
        repository: The trackers.
        keys: The ids of the documents.
        turns: What has been compared.
        at: The cluster time whose state is read, None for the present.
        recorded_at: The same for the replica, which does not move under the lease.
    """
    for portion in portions(keys, len, IDS_PER_READ, 1 << 22):
        yield from _compare(repository, turns.first(portion), turns, at, recorded_at)


def _compare(
    repository: Repository,
    keys: list[DocumentKey],
    turns: Turns,
    at: Timestamp | None,
    recorded_at: Timestamp | None = None,
) -> Iterator[list[Change]]:
    for portion, present in by_keys(repository.db, repository.name, keys, at=at):
        asked = turns.still(portion)
        wanted = [*asked, *turns.unasked(present.keys() - set(portion), asked)]
        for part, recorded in repository.replica.by_keys(wanted, recorded_at):
            unasked = turns.unasked(recorded.keys() - set(wanted), asked)
            yield differing(
                (key, recorded.get(key), present.get(key)) for key in [*part, *unasked]
            )


def compare_everything(
    repository: Repository,
    at: Timestamp | None,
    recorded_at: Timestamp | None = None,
    name: str | None = None,
    head: VersionId | None = None,
) -> Iterator[list[Change]]:
    """Compare the whole collection with the replica, streaming.

    Both are read in the order of their ids. A document without a partner waits for it, as
    the other stream may be behind; when many wait, the partners are looked up.

    Args:
        repository: The trackers.
        at: The cluster time whose state is read, None for the present.
        recorded_at: The same for the replica, which does not move under the lease.
        name: The name that the collection has at the moment, where that is not its own.
        head: The version whose documents the replica has to hold, None to take its word for it.

    Raises:
        CorruptHistory: It holds others, which shows once all of it was read.
    """
    name = name or repository.name
    present = prefetch(documents(repository.db, name, sort={"_id": 1}, at=at, batch_size=10_000))
    replica = repository.replica.scan(recorded_at)
    recorded = prefetch(replica if head is None else _as_of(repository, head, replica))
    waiting = _Waiting(repository, name, at, recorded_at)
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


def _as_of(
    repository: Repository, head: VersionId, replica: Iterable[list[bytes]]
) -> Iterator[list[bytes]]:
    """Pass the documents of the replica on, which have to be those of HEAD in the end."""
    total = 0
    for batch in replica:
        total += content_of(batch)
        yield batch
    if fingerprint_text(total % MODULUS) != entry_of(repository, head).fingerprint:
        raise not_as_of_head(repository.name, repository.replica.name)


class _Waiting:
    """Documents of each side that have not met their partner yet."""

    def __init__(
        self,
        repository: Repository,
        name: str,
        at: Timestamp | None,
        recorded_at: Timestamp | None,
    ) -> None:
        self._repository = repository
        self._name = name
        self._at = at
        self._recorded_at = recorded_at
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
        """Settle all that wait by asking for their partners, which may still come by.

        Where the server finds a document under an equal id (``1`` for ``1.0``), one has made
        way for the other: they are yielded together. What is equal by the collation of the
        collection alone is left to its own stream: it may have come by long ago, since the
        replica, which has none, does not know them for the same.
        """
        repository = self._repository
        present, recorded = self._present, self._recorded
        self._present, self._recorded = {}, {}
        for portion, found in repository.replica.by_keys(list(present), self._recorded_at):
            twins = [(key, raw, None) for key, raw in found.items() if key not in present]
            self._settled.update(key for key in found if recorded.pop(key, None) is None)
            yield differing([*((k, found.get(k), present[k]) for k in portion), *twins])
        for portion, found in by_keys(repository.db, self._name, list(recorded), at=self._at):
            came = _twins_in(found, portion)
            self._settled.update(came, (key for key in portion if key in found))
            inserted = [(key, None, found[key]) for key in came]
            yield differing([*((k, recorded[k], found.get(k)) for k in portion), *inserted])

    def rest(self) -> list[Change]:
        """Return those whose partner cannot come any more."""
        removed = [Change(key, raw, None) for key, raw in self._recorded.items()]
        return removed + [Change(key, None, raw) for key, raw in self._present.items()]


def _twins_in(found: Iterable[DocumentKey], asked: Sequence[DocumentKey]) -> list[DocumentKey]:
    """Return the ids that were found for equal ones, whatever the collation."""
    others = set(found).difference(asked)
    tokens = {twin_token(key) for key in asked} if others else set()
    return [key for key in others if twin_token(key) in tokens]


def differing(triples: Iterable[tuple[DocumentKey, bytes | None, bytes | None]]) -> list[Change]:
    """Return what differs between documents as of HEAD and as they are now."""
    return [Change(*triple) for triple in triples if triple[1] != triple[2]]
