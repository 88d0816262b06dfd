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

from versioned_collection.core.delta import hash_number
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
from versioned_collection.history.composing import Ways, compose, nearer_end
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import new_version_id

_log = logging.getLogger(__name__)

MOST_DELTAS = 50_000
"""Deltas of one span that a verb composes beside its own work; what is more waits for `gc`."""

MOST_SECONDS = 10.0
"""How long a verb goes on to make spans; the next one continues."""

LONG_WAY = 1_000
"""Versions on a path after which a verb makes the spans that are missing on it."""


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
        _Spanner(hold, version.id, seconds=MOST_SECONDS, most=MOST_DELTAS).run(line)


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
        spanner = _Spanner(hold, head, seconds=MOST_SECONDS, most=MOST_DELTAS)
        for line in (path.backward, path.forward[::-1]):
            if len(line) >= LEAST_VERSIONS:
                parents = tree.nodes[line[-1]].parents
                nodes = [tree.nodes[one] for one in (*line, *parents[:1])]
                spanner.run(nodes, oldest_first=line[0] != head)


def remove_stale(hold: Hold, tree: VersionTree) -> int:
    """Remove spans that are of no use any more; return how many there were."""
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
    return repository.spans.remove_but(kept)


def make_missing(hold: Hold, tree: VersionTree, seconds: float) -> bool:
    """Make spans that are missing, for some time.

    Args:
        hold: The lease.
        tree: All versions.
        seconds: After how many no other one is begun.

    Returns:
        Whether any may be missing still.
    """
    head = hold.state.head
    tips = dict.fromkeys((head, *hold.repository.branches.all().values()))
    spanner = _Spanner(hold, head, seconds=seconds)
    with _quietly(hold):
        for tip in tips:
            spanner.run([tree.nodes[one] for one in tree.ancestors(tip)])
    return spanner.is_late


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
        seconds: After how many no other one is begun; with a negative number none is.
        most: The deltas that one span may be composed of; any number without it.

    Attributes:
        is_late: Whether the time was over before all was looked at.
    """

    def __init__(
        self, hold: Hold, head: VersionId, *, seconds: float, most: int | None = None
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._tree = hold.repository.log.ancestry()
        self._head = head
        self._most = most
        self._until = time.monotonic() + seconds
        self.is_late = seconds < 0
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
            if self.is_late:
                return
            if place not in self._seen:
                self._seen.add(place)
                self._look_at([node.id for node in stretch])
                self.is_late = time.monotonic() > self._until  # so one is done in any case

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
            span = self._composed(span, Ways(way, *self._way_here(span)), parts)
        self._hold.lease.check()
        repository.spans.note(span)
        self._shortcuts.add(span)

    def _way_here(self, span: Span) -> tuple[Path, bool]:
        """Return the way from what the replica holds to the nearer end of a stretch.

        Returns:
            The way, and whether it is the end, not the start, to which it leads.
        """
        path, is_end = nearer_end(self._tree, self._head, span.start, span.end)
        return self._shortcuts.way(path)[0], is_end

    def _composed(self, span: Span, ways: Ways, parts: Sequence[Span]) -> Span:
        """Store the deltas of a span, unless they take too much.

        Args:
            span: The stretch.
            ways: What the span is composed of.
            parts: The shorter spans on the way through it.

        Returns:
            What is known about the stretch then.
        """
        made, read, content = span, 0, 0
        spans = self._repository.spans
        with closing(compose(self._repository, ways)) as batches:
            for deltas, size in batches:
                self._hold.lease.check()
                digest, stored = spans.add(span.id, deltas)
                made = replace(
                    made,
                    documents=made.documents + len(deltas),
                    bytes=made.bytes + stored,
                    digest=(made.digest + digest) % MODULUS,
                )
                read += size
                content += sum(hash_number(one.after) - hash_number(one.before) for one in deltas)
                if made.bytes > read:
                    break
            else:
                made = self._weighed(made, parts, read, content)
        if not made.kept:
            spans.remove([made.id])
            return span
        return made

    def _weighed(self, made: Span, parts: Sequence[Span], read: int, content: int) -> Span:
        """Return a span with all its deltas, which is kept if it leads to its end, and is small.

        The spans of a stretch together take no more than the deltas of its versions do.
        """
        spent = made.bytes + sum(part.spent for part in parts)
        plain = read + sum(part.plain - part.bytes for part in parts)
        found = {one.id: one for one in self._repository.log.get_many([made.start, made.end])}
        start, end = (int(found[one].fingerprint, 16) for one in (made.start, made.end))
        leads_there = (start + content - end) % MODULUS == 0
        return replace(made, kept=leads_there and spent <= plain, spent=spent, plain=plain)
