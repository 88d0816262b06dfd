"""Lists in three states: which stretches each side changed, and whether they are apart.

The scheme is that of diff3 (Khanna, Kunal, Pierce, "A Formal Investigation of Diff3",
2007): align base with each side, and take what only one side changed. Unlike diff3, changed
stretches that merely meet are merged as well, unless both add elements where they meet:
only then is the order of the additions open.

Alignment is bounded: equal ends are cut off, elements that occur once on both sides anchor
the rest (patience diff, Bram Cohen), and between anchors a short stretch is matched element
by element. A long one without anchors counts as changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from versioned_collection.core.merging.orders import merge_orders
from versioned_collection.core.merging.values import Value

Items = Sequence[Value]

_MATCHER_LIMIT = 400
"""Longest stretch without anchors that is matched element by element."""


class Edit(NamedTuple):
    """A stretch of the base that one side replaced.

    Attributes:
        start: Where the stretch begins in the base.
        stop: Where it ends in the base.
        side_start: Where its replacement begins in the side.
        side_stop: Where its replacement ends in the side.
    """

    start: int
    stop: int
    side_start: int
    side_stop: int

    @property
    def grows(self) -> bool:
        """Whether the replacement is longer than what was there."""
        return self.side_stop - self.side_start > self.stop - self.start


class Stretch(NamedTuple):
    """A part of the merged list.

    Attributes:
        base: The elements in the base.
        ours: The elements on our side.
        theirs: The elements on their side.
    """

    base: Items
    ours: Items
    theirs: Items

    @property
    def aligned(self) -> bool:
        """Whether all three have the same length, so that elements correspond."""
        return len(self.base) == len(self.ours) == len(self.theirs)

    @property
    def plain(self) -> Items | None:
        """The merged elements where at most one side changed or both agree, else None."""
        if self.ours in (self.base, self.theirs):
            return self.theirs
        return self.ours if self.theirs == self.base else None


def align(base: Items, side: Items) -> list[tuple[int, int]]:
    """Return pairs of indexes of equal elements, both ascending (a common subsequence)."""
    start, limit = 0, min(len(base), len(side))
    while start < limit and base[start] == side[start]:
        start += 1
    tail = 0
    while tail < limit - start and base[-1 - tail] == side[-1 - tail]:
        tail += 1
    stop, side_stop = len(base) - tail, len(side) - tail
    pairs = [(at, at) for at in range(start)]
    pairs += _align_middle(base, side, (start, stop), (start, side_stop))
    pairs += [(stop + at, side_stop + at) for at in range(tail)]
    return pairs


def _align_middle(
    base: Items, side: Items, span: tuple[int, int], side_span: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    anchors = _anchors(base[slice(*span)], side[slice(*side_span)])
    at, side_at = span[0], side_span[0]
    for one, other in [(a + span[0], b + side_span[0]) for a, b in anchors]:
        yield from _match(base, side, (at, one), (side_at, other))
        yield one, other
        at, side_at = one + 1, other + 1
    yield from _match(base, side, (at, span[1]), (side_at, side_span[1]))


def _match(
    base: Items, side: Items, span: tuple[int, int], side_span: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    one, other = base[slice(*span)], side[slice(*side_span)]
    if one and other and max(len(one), len(other)) <= _MATCHER_LIMIT:
        matcher = SequenceMatcher(None, one, other, autojunk=False)
        for a, b, size in matcher.get_matching_blocks():
            for at in range(size):
                yield span[0] + a + at, side_span[0] + b + at


def _anchors(one: Items, other: Items) -> list[tuple[int, int]]:
    """Return the longest ascending run of elements that occur once on both sides."""
    once, once_other = Counter(one), Counter(other)
    places = {item: at for at, item in enumerate(other) if once_other[item] == 1}
    pairs = [
        (at, places[item]) for at, item in enumerate(one) if once[item] == 1 and item in places
    ]
    return _ascending(pairs)


def _ascending(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a longest subsequence whose second numbers ascend (patience sorting)."""
    tops: list[int] = []
    top_at: list[int] = []
    before: list[int] = []
    for at, (_, place) in enumerate(pairs):
        pile = bisect_left(tops, place)
        before.append(top_at[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [place]
        top_at[pile : pile + 1] = [at]
    found = []
    at = top_at[-1] if top_at else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]


def edits(base: Items, side: Items) -> list[Edit]:
    """Return the stretches that a side changed, in order; an unchanged one lies between."""
    found = []
    at, side_at = 0, 0
    for one, other in [*align(base, side), (len(base), len(side))]:
        if (at, side_at) != (one, other):
            found.append(Edit(at, one, side_at, other))
        at, side_at = one + 1, other + 1
    return found


class _Group:
    """Edits of both sides that are not apart, and the stretch of the base they cover."""

    def __init__(self, edit: Edit, side: int) -> None:
        self.start, self.stop = edit.start, edit.stop
        self.edits: tuple[list[Edit], list[Edit]] = ([], [])
        self.add(edit, side)

    def add(self, edit: Edit, side: int) -> None:
        self.edits[side].append(edit)
        self.stop = max(self.stop, edit.stop)

    def touches(self, edit: Edit, side: int) -> bool:
        if edit.start < self.stop:
            return True
        meeting = (other for other in self.edits[1 - side] if other.stop == edit.start)
        return edit.grows and any(other.grows for other in meeting)

    def part(self, side: int, items: Items, base: Items) -> Items:
        """Return what a side has in place of the stretch."""
        own = self.edits[side]
        if not own:
            return base[self.start : self.stop]
        start = own[0].side_start - (own[0].start - self.start)
        return items[start : own[-1].side_stop + (self.stop - own[-1].stop)]


def stretches(base: Items, ours: Items, theirs: Items) -> list[Stretch]:
    """Return the merged list in parts, unchanged ones among them.

    Args:
        base: The elements in the base.
        ours: The elements on our side.
        theirs: The elements on their side.

    Returns:
        Parts in order. `Stretch.plain` merges those which one side changed; a part that
        both changed is up to the caller.
    """
    sides = (ours, theirs)
    changes = [(edit, side) for side in (0, 1) for edit in edits(base, sides[side])]
    groups: list[_Group] = []
    for edit, side in sorted(changes):
        if groups and groups[-1].touches(edit, side):
            groups[-1].add(edit, side)
        else:
            groups.append(_Group(edit, side))
    found = []
    at = 0
    for group in groups:
        kept = base[at : group.start]
        found.append(Stretch(kept, kept, kept))
        parts = (group.part(side, sides[side], base) for side in (0, 1))
        found.append(Stretch(base[group.start : group.stop], *parts))
        at = group.stop
    found.append(Stretch(base[at:], base[at:], base[at:]))
    return [stretch for stretch in found if any(stretch)]


def merge_sets(base: Items, ours: Items, theirs: Items) -> list[Value]:
    """Return the merge of lists that are sets, each element once.

    What is in the base keeps its order there, without what either side removed; behind it
    stands what the sides added (see `orders` for the order of that). It never conflicts.
    """
    kept = set(ours) & set(theirs)
    known = set(base)
    merged = [item for item in dict.fromkeys(base) if item in kept]
    one, other = (dict.fromkeys(x for x in side if x not in known) for side in (ours, theirs))
    return merged + merge_orders((), list(one), list(other), {*one, *other})


def union_of(base: Items, ours: Items, theirs: Items) -> list[Value]:
    """Return every element of either side once, in the order that `orders` describes."""
    known, one, other = (list(dict.fromkeys(items)) for items in (base, ours, theirs))
    return merge_orders(known, one, other, {*one, *other})
