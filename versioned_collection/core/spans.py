"""Spans: composed changes that stand for many consecutive versions.

A span covers a stretch of versions along first parents, and holds at most one delta for each
document. It is made of what versions say, and they never change: so it is true as long as its
last version exists, and nothing is lost when it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counted

from versioned_collection.core.tree import Node, Path
from versioned_collection.core.version import VersionId

LEAST_VERSIONS = 16
"""Versions of the shortest stretch; a longer one has twice as many as the one below."""

LARGEST_SHARE = 0.5
"""The most documents that a span has for each delta of the versions that it stands for."""

LARGEST_SHARE_OF_SPANS = 0.6
"""The same where these are spans in part."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is known about a stretch of versions that was looked at.

    Attributes:
        id: The id under which its deltas are stored.
        start: The version before the first one.
        end: The last version.
        versions: How many there are.
        kept: Whether there are deltas that stand for them; else these were not worth it.
        documents: How many deltas there are.
        bytes: Their size.
        spent: The size of these, and of those of all spans within the stretch.
        plain: The size of the versions' own deltas.
        digest: The sum of the digests of the deltas.
    """

    id: VersionId
    start: VersionId
    end: VersionId
    versions: int
    kept: bool = False
    documents: int = 0
    bytes: int = 0
    spent: int = 0
    plain: int = 0
    digest: int = 0


class Shortcuts:
    """Spans that may take the place of versions.

    Args:
        spans: What is known about stretches; those without deltas do not count.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._by_end: dict[VersionId, list[Span]] = {}
        for span in spans:
            self.add(span)

    def add(self, span: Span) -> None:
        """Add a span."""
        if span.kept:
            there = self._by_end.setdefault(span.end, [])
            there.append(span)
            there.sort(key=lambda one: -one.versions)

    def way(self, path: Path) -> tuple[Path, list[Span]]:
        """Return a path with spans in the place of versions, as long ones as there are.

        Returns:
            The path, and the spans on it.
        """
        used: list[Span] = []
        backward = tuple(self._up(path.backward, used))
        forward = tuple(self._up(path.forward[::-1], used))[::-1]
        spans = frozenset(span.id for span in used)
        return Path(backward, forward, spans, path.ends), used

    def _up(self, line: Sequence[VersionId], used: list[Span]) -> Iterator[VersionId]:
        """Iterate over what takes the place of versions, each the parent of the one before."""
        place = 0
        while place < len(line):
            there = self._by_end.get(line[place], ())
            span = next((one for one in there if place + one.versions <= len(line)), None)
            if span is None:
                yield line[place]
                place += 1
            else:
                used.append(span)
                yield span.id
                place += span.versions


def length_at(number: int) -> int:
    """Return how many versions the longest stretch has that ends at a number; 0 for none.

    Stretches of one length follow one another without overlapping.
    """
    if number <= 0 or number % LEAST_VERSIONS:
        return 0
    parts = number // LEAST_VERSIONS
    return LEAST_VERSIONS * (parts & -parts)


def landmarks(number: int, most: int) -> set[int]:
    """Return the numbers by which stretches lead past a number, down to it and up from it.

    Args:
        number: The number.
        most: No number is larger.
    """
    before = number - number % LEAST_VERSIONS
    found = set(range(before, before + LEAST_VERSIONS))  # what no stretch leads past
    while before > 0:
        found.add(before)
        before -= length_at(before)
    step = LEAST_VERSIONS
    while step <= most:
        found.add(-(-number // step) * step)
        step *= 2
    return found


def stretches(line: Sequence[Node], *, oldest_first: bool = False) -> list[Sequence[Node]]:
    """Return the stretches of a line that spans may stand for.

    Args:
        line: Versions, of which each is the parent of the one before.
        oldest_first: Whether stretches of early versions come first, else those of late ones.

    Returns:
        The stretches, short ones before those that they are parts of. Each has the version
        before its first one at its end.
    """
    found = []
    for place, node in enumerate(line):
        longest = length_at(node.number)
        for doubled in counted():
            last = place + (LEAST_VERSIONS << doubled)
            if last - place > longest or last >= len(line):
                break
            found.append((last, place))
    found.sort(key=lambda ends: (-ends[1] if oldest_first else ends[0], ends[0] - ends[1]))
    return [line[place : last + 1] for last, place in found]


def is_in_place(span: Span, number: int) -> bool:
    """Tell whether a span stands for one of the stretches that end at this number."""
    return 0 < span.versions <= length_at(number) and length_at(number) % span.versions == 0


def is_worth_it(documents: int, deltas: int, way: Path) -> bool:
    """Tell whether so many documents are few enough for a span.

    Args:
        documents: How many documents change on the way.
        deltas: How many deltas there are on it.
        way: What the span would stand for.
    """
    share = LARGEST_SHARE_OF_SPANS if way.spans else LARGEST_SHARE
    return documents <= share * deltas
