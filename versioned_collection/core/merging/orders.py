"""One order out of three: fields of a document, elements of a keyed list or a set.

The rule, the same for both sides:

1. What both sides have stands in the order of the side that moved something. Where both
   moved things, or added the same ones in different order, the order whose names are the
   smaller sequence of bytes wins. An order is never a conflict.
2. What one side has alone stands behind what precedes it in that side. Where both sides
   have such things at one place, each side's stay together, and those come first whose
   first name is the smaller.
3. What neither side has (a resolver brought it back) stands behind what precedes it in base.

So swapping the sides changes nothing, and merging the outcome with a side again neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def merge_orders(
    base: Sequence[bytes],
    ours: Sequence[bytes],
    theirs: Sequence[bytes],
    survivors: Collection[bytes],
) -> list[bytes]:
    """Return the order of what a merge keeps.

    Args:
        base: The names in the base, each once.
        ours: The names on our side, each once.
        theirs: The names on their side, each once.
        survivors: What the merged document holds; each is in one of the three.
    """
    ours = [name for name in ours if name in survivors]
    theirs = [name for name in theirs if name in survivors]
    if ours == theirs:
        spine = ours
    else:
        spine = _spine(base, ours, theirs)
    merged = _with_runs(spine, ours, theirs)
    if len(merged) < len(survivors):
        place = set(merged)
        for name in base:
            if name in survivors and name not in place:
                place.add(name)
                put_in_order(merged, name, base)
    return merged


def _spine(base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]) -> list[bytes]:
    common = set(ours) & set(theirs)
    one, other = ([name for name in side if name in common] for side in (ours, theirs))
    if one == other:
        return one
    before = [name for name in base if name in common]
    known = set(before)
    one_kept = [name for name in one if name in known] == before
    other_kept = [name for name in other if name in known] == before
    if one_kept != other_kept:
        return other if one_kept else one
    return min(one, other)


def _with_runs(spine: list[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]) -> list[bytes]:
    common = set(spine)
    runs: dict[bytes | None, list[list[bytes]]] = {}
    for side in (ours, theirs):
        for anchor, run in _runs(side, common):
            runs.setdefault(anchor, []).append(run)
    merged: list[bytes] = []
    for run in sorted(runs.get(None, ())):
        merged += run
    for name in spine:
        merged.append(name)
        for run in sorted(runs.get(name, ())):
            merged += run
    return merged


def _runs(
    side: Sequence[bytes], common: Collection[bytes]
) -> Iterator[tuple[bytes | None, list[bytes]]]:
    """Yield what the side has alone, with the common name in front of it."""
    anchor: bytes | None = None
    run: list[bytes] = []
    for name in side:
        if name in common:
            if run:
                yield anchor, run
            anchor, run = name, []
        else:
            run.append(name)
    if run:
        yield anchor, run


def put_in_order(names: list[bytes], name: bytes, like: Sequence[bytes]) -> None:
    """Insert a name behind the nearest one that precedes it in another order.

    Args:
        names: Where to insert.
        name: The name, which `like` holds.
        like: The order to follow; where nothing of it precedes, the name comes first.
    """
    for previous in reversed(like[: like.index(name)]):
        if previous in names:
            names.insert(names.index(previous) + 1, name)
            return
    names.insert(0, name)
