"""Making spans: what many versions change, composed to one delta for each document.

Whoever makes them holds the lease, and its work is done: a process may be killed, or give up,
at any point. A span that nobody sees yet is left behind then, and `gc` removes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from versioned_collection.core.delta import (
    Delta,
    applied,
    compare,
    encoded_rows,
    hash_number,
    images,
)
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.spans import (
    LEAST_VERSIONS,
    Shortcuts,
    Span,
    is_in_place,
    is_worth_it,
    length_at,
    stretches,
)
from versioned_collection.core.sums import MODULUS
from versioned_collection.core.tree import Ancestry, Node, Path, VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.moves import batched
from versioned_collection.pipeline import prefetch
from versioned_collection.repository import Hold, new_version_id

_log = logging.getLogger(__name__)

MOST_DELTAS = 50_000
"""Deltas of one span that a verb composes beside its own work; what is more waits for `gc`."""

MOST_SECONDS = 10.0
"""How long a verb goes on to make spans; the next one continues."""

LONG_WAY = 1_000
"""Versions on a path after which a verb makes the spans that are missing on it."""

_FEW_ROWS = 4
"""Rows that are stored without a look at whether the whole documents are smaller."""

Sized = tuple[DocumentKey, list[Delta], int]


def extend_spans(hold: Hold, version: Version) -> None:
    """Make what spans end at a version that was just registered, so that HEAD is there.

    Nearly always there is nothing to do, and nothing is asked. Whatever goes wrong, the
    version is recorded, and only speed is lost.
    """
    count = length_at(version.number)
    if not count:
        return
    with _quietly(hold):
        tree = hold.repository.log.ancestry()
        line = [tree.nodes[one] for one in islice(tree.ancestors(version.id), count + 1)]
        _Spanner(hold, version.id, is_aside=True).run(line)


def shorten(hold: Hold, tree: Ancestry, path: Path, head: VersionId) -> None:
    """Make the spans on a path that was long, so that it is short the next time.

    Args:
        hold: The lease.
        tree: The ways up from versions.
        path: The path.
        head: The version that is checked out now, at one end of the path.
    """
    if len(path) <= LONG_WAY:
        return
    with _quietly(hold):
        spanner = _Spanner(hold, head, is_aside=True)
        for line in (path.backward, path.forward[::-1]):
            if len(line) >= LEAST_VERSIONS:
                parents = tree.nodes[line[-1]].parents
                nodes = [tree.nodes[one] for one in (*line, *parents[:1])]
                spanner.run(nodes, oldest_first=line[0] != head)


def renew_spans(hold: Hold, tree: VersionTree) -> int:
    """Remove spans that are of no use any more, and make those that are missing.

    Returns:
        How many were removed.
    """
    repository = hold.repository
    known = repository.spans.all()
    damaged = repository.spans.damaged(known)
    kept = {
        span.id
        for span in known
        if span.end in tree
        and span.id not in damaged
        and is_in_place(span, tree.nodes[span.end].number)
    }
    removed = repository.spans.remove_but(kept)
    head = hold.state.head
    with _quietly(hold):
        spanner = _Spanner(hold, head)
        for tip in dict.fromkeys((head, *repository.branches.all().values())):
            spanner.run([tree.nodes[one] for one in tree.ancestors(tip)])
    return removed


@contextmanager
def _quietly(hold: Hold) -> Iterator[None]:
    """Give up where something goes wrong: only speed is lost."""
    try:
        yield
    except Exception as error:
        facts = {"verb": hold.verb, "collection": hold.repository.name}
        _log.info("no spans of %s were made: %s", hold.repository.name, error, extra=facts)


class _Spanner:
    """Makes spans.

    Args:
        hold: The lease.
        head: The version whose documents the replica holds.
        is_aside: Whether they are made beside other work, which sets bounds.
    """

    def __init__(self, hold: Hold, head: VersionId, *, is_aside: bool = False) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._tree = hold.repository.log.ancestry()
        self._head = head
        self._most = MOST_DELTAS if is_aside else None
        self._until = time.monotonic() + MOST_SECONDS if is_aside else None
        self._seen: set[tuple[VersionId, int]] = set()
        self._shortcuts = Shortcuts()

    def run(self, line: Sequence[Node], *, oldest_first: bool = False) -> None:
        """Look at all stretches of a line that nobody has looked at.

        Args:
            line: Versions, of which each is the parent of the one before.
            oldest_first: See `stretches`; what is near to the replica should come first.
        """
        found = stretches(line, oldest_first=oldest_first)
        if found:
            self._learn([node.id for node in line])
        for stretch in found:
            place = stretch[0].id, len(stretch) - 1
            if self._until is not None and time.monotonic() > self._until:
                return
            if place not in self._seen:
                self._seen.add(place)
                self._look_at([node.id for node in stretch])

    def _learn(self, versions: Sequence[VersionId]) -> None:
        """Read what is known about the stretches that end at some versions."""
        spans = self._repository.spans
        known = [
            one for one in spans.ending_at(versions) if (one.end, one.versions) not in self._seen
        ]
        damaged = spans.damaged(known)
        for span in known:
            self._seen.add((span.end, span.versions))
            if span.id not in damaged:
                self._shortcuts.add(span)

    def _look_at(self, ids: list[VersionId]) -> None:
        """Make a span of a stretch if it is worth it; note that it was looked at."""
        *versions, start = ids
        repository = self._repository
        way, parts = self._shortcuts.way(Path((), tuple(versions[::-1])))
        deltas, documents = repository.deltas.tally(way)
        if self._most is not None and deltas > self._most:
            return
        span = Span(new_version_id(), start, versions[0], len(versions))
        if is_worth_it(documents, deltas, way):
            span = _Composing(self._hold, span, _Ways(way, parts, *self._way_here(span))).run()
        self._hold.lease.check()
        repository.spans.note(span)
        self._shortcuts.add(span)

    def _way_here(self, span: Span) -> tuple[Path, bool]:
        """Return the way from what the replica holds to the nearer end of a stretch.

        Returns:
            The way, and whether it is the end, not the start, to which it leads.
        """
        if span.end == self._head:
            return Path((), ()), True
        ways = [self._tree.path(self._head, end) for end in (span.start, span.end)]
        is_end = len(ways[1]) <= len(ways[0])
        return self._shortcuts.way(ways[is_end])[0], is_end


class _Ways(NamedTuple):
    """What a span is composed of.

    Attributes:
        through: The way through the stretch.
        parts: The shorter spans on it.
        here: The way from what the replica holds to the end of the stretch, or to its start.
        is_end: Whether it is the end.
    """

    through: Path
    parts: list[Span]
    here: Path
    is_end: bool


class _Composing:
    """One span in the making.

    Args:
        hold: The lease.
        span: The stretch.
        ways: What the span is composed of.
    """

    def __init__(self, hold: Hold, span: Span, ways: _Ways) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._span = span
        self._ways = ways
        self._read = self._content = 0

    def run(self) -> Span:
        """Store the deltas, unless they take too much.

        Returns:
            What is known about the stretch then.
        """
        made = self._span
        found = batched(self._repository.deltas.sized(self._ways.through), itemgetter(1))
        with closing(prefetch(found)) as batches:
            for batch in batches:
                made = self._add(made, batch)
                if made.bytes > self._read:
                    break
            else:
                made = self._weighed(made)
        if not made.kept:
            self._repository.spans.remove([made.id])
            return self._span
        return made

    def _add(self, made: Span, batch: Sequence[Sized]) -> Span:
        """Store what some documents change; return what is known with that."""
        again = [key for key, deltas, _ in batch if len(deltas) > 1]
        states = dict(self._states(again)) if again else {}
        changes = (
            self._composed(deltas, states[key]) if key in states else deltas[0]
            for key, deltas, _ in batch
        )
        composed = [delta for delta in changes if delta is not None]
        self._content += sum(hash_number(one.after) - hash_number(one.before) for one in composed)
        self._read += sum(size for _, _, size in batch)
        self._hold.lease.check()
        digest, size = self._repository.spans.add(made.id, composed)
        return replace(
            made,
            documents=made.documents + len(composed),
            bytes=made.bytes + size,
            digest=(made.digest + digest) % MODULUS,
        )

    def _composed(self, deltas: Sequence[Delta], raw: bytes | None) -> Delta | None:
        """Return the one change that deltas amount to, None where they take one another back.

        Args:
            deltas: The deltas of a document, in turn.
            raw: The document at that end of them which `here` leads to.
        """
        if self._ways.is_end:
            return _between(applied([~one for one in reversed(deltas)], raw), raw)
        return _between(raw, applied(deltas, raw))

    def _states(self, keys: list[DocumentKey]) -> Iterator[tuple[DocumentKey, bytes | None]]:
        """Iterate over documents as they are at that end of the stretch which `here` leads to."""
        repository = self._repository
        leading = repository.deltas.along_for(self._ways.here, keys)
        for portion, recorded in repository.replica.by_keys(keys):
            for key in portion:
                yield key, applied(leading.get(key, ()), recorded.get(key))

    def _weighed(self, made: Span) -> Span:
        """Return a span with all its deltas, which is kept if it leads to its end, and is small.

        The spans of a stretch together take no more than the deltas of its versions do.
        """
        parts = self._ways.parts
        spent = made.bytes + sum(part.spent for part in parts)
        plain = self._read + sum(part.plain - part.bytes for part in parts)
        found = {one.id: one for one in self._repository.log.get_many([made.start, made.end])}
        start, end = (int(found[one].fingerprint, 16) for one in (made.start, made.end))
        leads_there = (start + self._content - end) % MODULUS == 0
        return replace(made, kept=leads_there and spent <= plain, spent=spent, plain=plain)


def _between(old: bytes | None, new: bytes | None) -> Delta | None:
    """Return the delta between two states, with rows or images, whatever takes less."""
    made = compare(old, new)
    if made is None or len(made.rows) <= _FEW_ROWS:
        return made
    whole = len(old or b"") + len(new or b"")
    return made if len(encoded_rows(made)) <= whole else images(old, new)
