"""History made again with other documents: the same versions, with other changes and checksums.

Whoever rewrites says what a state of a document becomes. Every document that this concerns is
led through the whole tree, as `verify` does it, and the changes between its new states are made.
As the checksum of a version covers those of its parents, all deltas are read once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from versioned_collection.core.delta import Delta, compare, encoded_rows, hash_number
from versioned_collection.core.document import (
    DocumentKey,
    are_twins,
    document_hash,
    document_key,
)
from versioned_collection.core.graph import parents_first
from versioned_collection.core.nesting import Nesting
from versioned_collection.core.portions import IDS_PER_READ, portions
from versioned_collection.core.sums import MODULUS, Sums
from versioned_collection.core.version import (
    Version,
    VersionId,
    fingerprint_text,
    seal_of,
    sealed,
)
from versioned_collection.documents.moves import BATCH, BATCH_BYTES
from versioned_collection.errors import CorruptHistory
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.purges import Resealed

Change = Callable[["bytes | None"], "bytes | None"]
"""Returns what a state of a document becomes; None stands for no document."""

_ENTRIES_AT_ONCE = 500


class Rewritten(NamedTuple):
    """A document whose states become others.

    Attributes:
        key: The document.
        deltas: All its changes from now on, each with its version.
    """

    key: DocumentKey
    deltas: list[tuple[VersionId, Delta]]


def walked(
    nesting: Nesting, head: VersionId, deltas: Mapping[VersionId, Delta], recorded: bytes | None
) -> tuple[bytes | None, list[tuple[VersionId, bytes | None, bytes | None]]]:
    """Lead a document through all versions.

    Args:
        nesting: The places of the versions in the tree.
        head: The version in which the document is `recorded`.
        deltas: The changes of the document.
        recorded: The document there, None for none.

    Returns:
        The document in the first version, and for each change its version, and the document
        before and after it.

    Raises:
        CorruptHistory: A change does not fit.
    """
    start = nesting.nearest(head, deltas)
    states = {start: recorded}
    steps = []
    for version, place, reached in nesting.walk(start, deltas):
        if reached == version:
            states[reached] = deltas[version].apply(states[place])
            steps.append((version, states[place], states[reached]))
        else:
            states[reached] = (~deltas[version]).apply(states[place])
            steps.append((version, states[reached], states[place]))
    return states[None], steps


def states_of_all(
    repository: Repository, head: VersionId
) -> Iterator[tuple[DocumentKey, set[bytes | None]]]:
    """Iterate over the documents that versions changed, with all states in which they were.

    Raises:
        CorruptHistory: The changes of one do not fit one another.
    """
    tree = repository.log.tree()
    nesting = Nesting(tree)
    found = (
        (key, {version: delta for version, delta in some if version in tree})
        for key, some in repository.deltas.by_document()
    )
    for key, deltas, recorded in _recorded(repository, found):
        _, steps = walked(nesting, head, deltas, recorded)
        yield key, {state for _, *ends in steps for state in ends}


def _recorded(
    repository: Repository, found: Iterator[tuple[DocumentKey, dict[VersionId, Delta]]]
) -> Iterator[tuple[DocumentKey, dict[VersionId, Delta], bytes | None]]:
    """Iterate over documents with their deltas, and what the replica holds of each."""
    for batch in portions(found, _weight, BATCH, BATCH_BYTES, _together):
        deltas = dict(batch)
        for portion, recorded in repository.replica.by_keys(list(deltas)):
            yield from ((key, deltas[key], recorded.get(key)) for key in portion)


class Rewriting:
    """Makes changes and log entries again; nothing is written.

    Args:
        repository: The trackers.
        head: The version whose documents the replica holds.
        change: What a state of a document becomes.
        keys: The only documents that may change, None for any.

    Attributes:
        removed: How many changes were left out, so far.
        rewritten: How many changes became others, so far.
    """

    def __init__(
        self,
        repository: Repository,
        head: VersionId,
        change: Change,
        keys: Sequence[DocumentKey] | None,
    ) -> None:
        self._repository = repository
        self._head = head
        self._change = change
        self._keys = keys
        self._concerned: Container[DocumentKey] | None = None if keys is None else set(keys)
        self._tree = repository.log.tree()
        self._nesting = Nesting(self._tree)
        self._same: dict[VersionId, Sums] = defaultdict(Sums)
        self._before: dict[VersionId, Sums] = defaultdict(Sums)
        self._after: dict[VersionId, Sums] = defaultdict(Sums)
        self._root_content = self._root_count = 0
        self.removed = self.rewritten = 0

    # -- documents -----------------------------------------------------------------------

    def documents(self) -> Iterator[list[Rewritten]]:
        """Iterate over the documents whose states become others, a bounded list at a time.

        Raises:
            CorruptHistory: The changes of one do not fit one another.
        """
        yield from portions(self._all(), _size, BATCH, BATCH_BYTES)

    def _all(self) -> Iterator[Rewritten]:
        for found in _recorded(self._repository, self._changed()):
            yield from self._rewritten(*found)
        for recorded in self._never_changed():
            for key, raw in recorded.items():
                yield from self._rewritten(key, {}, raw)

    def _changed(self) -> Iterator[tuple[DocumentKey, dict[VersionId, Delta]]]:
        """Iterate over the documents that may change, with their deltas; count all others."""
        for key, found in self._repository.deltas.by_document():
            deltas = {version: delta for version, delta in found if version in self._tree}
            if self._concerned is None or key in self._concerned:
                yield key, deltas
            else:
                _count(self._same, deltas)

    def _never_changed(self) -> Iterator[dict[DocumentKey, bytes]]:
        """Iterate over the documents that may change, and are the same in all versions."""
        repository = self._repository
        if self._keys is not None:
            for _, recorded in repository.replica.by_keys(self._keys):
                yield self._without_deltas(recorded)
            return
        for batch in repository.replica.scan():
            for portion in portions(batch, len, IDS_PER_READ, BATCH_BYTES):
                yield self._without_deltas({document_key(raw): raw for raw in portion})

    def _without_deltas(self, recorded: Mapping[DocumentKey, bytes]) -> dict[DocumentKey, bytes]:
        changed = self._repository.deltas.keys_among(list(recorded))
        return {
            key: raw
            for key, raw in recorded.items()
            if key not in changed and (self._concerned is None or key in self._concerned)
        }

    def _rewritten(
        self, key: DocumentKey, deltas: dict[VersionId, Delta], recorded: bytes | None
    ) -> Iterator[Rewritten]:
        """Yield a document with its new changes, if one of its states becomes another."""
        first, steps = walked(self._nesting, self._head, deltas, recorded)
        made: dict[VersionId, Delta] = {}
        is_same = self._change(recorded) == recorded
        for version, old, new in steps:
            ends = self._change(old), self._change(new)
            is_same = is_same and ends == (old, new)
            delta = deltas[version] if ends == (old, new) else compare(*ends)
            if delta is not None:
                made[version] = delta
        if is_same:
            _count(self._same, deltas)
            return
        _count(self._before, deltas)
        _count(self._after, made)
        self.removed += len(deltas) - len(made)
        self.rewritten += sum(delta is not deltas[version] for version, delta in made.items())
        self._count_root(first)
        yield Rewritten(key, list(made.items()))

    def _count_root(self, raw: bytes | None) -> None:
        left = self._change(raw)
        self._root_content += _number(left) - _number(raw)
        self._root_count += (left is not None) - (raw is not None)

    # -- log entries ---------------------------------------------------------------------

    def entries(self) -> Iterator[Resealed]:
        """Iterate over what log entries become, once all documents have been gone through.

        Raises:
            CorruptHistory: An entry is not what its checksum says, which rewriting would hide.
        """
        anew: dict[VersionId, tuple[str, str]] = {}
        checksums: dict[VersionId, str] = {}
        order = iter(parents_first(self._tree.nodes))
        while some := list(islice(order, _ENTRIES_AT_ONCE)):
            entries = {entry.id: entry for entry in self._repository.log.get_many(some)}
            for entry in (entries[version] for version in some):
                self._check(entry, checksums)
                new = self._sealed(entry, anew)
                checksums[entry.id] = entry.checksum
                anew[entry.id] = new.checksum, new.fingerprint
                if new != entry:
                    yield Resealed.of(entry, new)

    def _check(self, entry: Version, checksums: Mapping[VersionId, str]) -> None:
        parents = [checksums[parent] for parent in entry.parents]
        digest = self._same[entry.id].digest + self._before[entry.id].digest
        if not sealed(entry, parents, digest % MODULUS):
            raise CorruptHistory(
                f"{entry.label} does not match its checksum, which rewriting would hide; run "
                "verify()",
                version=entry.id,
            )

    def _sealed(self, entry: Version, anew: Mapping[VersionId, tuple[str, str]]) -> Version:
        """Return a log entry as it is from now on.

        Args:
            entry: The entry.
            anew: Checksums and fingerprints of its parents from now on.
        """
        same = self._same[entry.id]
        before, after = self._before[entry.id], self._after[entry.id]
        stats = {one: n + after.stats[one] - before.stats[one] for one, n in entry.stats.items()}
        if entry.parents:
            content = int(anew[entry.parents[0]][1], 16) + same.content + after.content
        else:
            content = int(entry.fingerprint, 16) + self._root_content
            stats["inserted"] += self._root_count
        digest = same.digest + after.digest
        new = replace(entry, fingerprint=fingerprint_text(content % MODULUS), stats=stats)
        if entry.gap is not None:  # its counts are of what it was registered with
            new = replace(new, stats=entry.stats)
        parents = [anew[parent][0] for parent in entry.parents]
        return replace(new, checksum=seal_of(new, parents, digest % MODULUS))


def _count(sums: dict[VersionId, Sums], deltas: Mapping[VersionId, Delta]) -> None:
    for version, delta in deltas.items():
        sums[version].add(delta, encoded_rows(delta))


def _number(raw: bytes | None) -> int:
    return hash_number(None if raw is None else document_hash(raw))


def _weight(item: tuple[DocumentKey, Mapping[VersionId, Delta]]) -> int:
    return sum(len(one.old or b"") + len(one.new or b"") + 400 for one in item[1].values())


def _size(one: Rewritten) -> int:
    deltas = (delta for _, delta in one.deltas)
    return 400 + sum(len(delta.old or b"") + len(delta.new or b"") + 400 for delta in deltas)


def _together(one: tuple[DocumentKey, object], other: tuple[DocumentKey, object]) -> bool:
    return are_twins(one[0], other[0])
