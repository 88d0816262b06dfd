"""A three-way merge on plain dicts, written from the rules and without regard to speed.

It knows nothing of the library. Values are equal when they encode to the same bytes; the
order of fields in the outcome is not decided here. Lists must hold each element once, and
common elements must stand in the order of the base, so that there is one way to align them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import bson

GONE = object()


def same(one: Any, other: Any) -> bool:
    if one is GONE or other is GONE:
        return one is other
    return bson.encode({"": one}) == bson.encode({"": other})


def reference_merge(base: Any, ours: Any, theirs: Any) -> tuple[Any, dict[tuple[Any, ...], str]]:
    """Return the merged value and the kinds of conflicts by path."""
    conflicts: dict[tuple[Any, ...], str] = {}
    return _merge((), base, ours, theirs, conflicts), conflicts


def _merge(path: Any, base: Any, ours: Any, theirs: Any, conflicts: Any) -> Any:
    if same(ours, theirs):
        return ours
    if same(ours, base):
        return theirs
    if same(theirs, base):
        return ours
    sides = (ours, theirs)
    if all(isinstance(x, dict) for x in sides) and (base is GONE or isinstance(base, dict)):
        return _merge_dicts(path, {} if base is GONE else base, ours, theirs, conflicts)
    if all(isinstance(x, list) for x in (base, ours, theirs)):
        merged = _merge_lists(path, base, ours, theirs, conflicts)
        if merged is not None:
            return merged
    conflicts[path] = _kind(base, ours, theirs)
    return ours


def _kind(base: Any, ours: Any, theirs: Any) -> str:
    if ours is GONE:
        return "deleted_by_us"
    if theirs is GONE:
        return "deleted_by_them"
    if base is GONE:
        return "both_added"
    if len({_type(base), _type(ours), _type(theirs)}) > 1:
        return "type_changed"
    return "both_modified"


def _type(value: Any) -> int:
    return bson.encode({"": value})[4]


def _merge_dicts(path: Any, base: Any, ours: Any, theirs: Any, conflicts: Any) -> Any:
    merged = {}
    for name in {**base, **ours, **theirs}:
        three = (side.get(name, GONE) for side in (base, ours, theirs))
        value = _merge((*path, name), *three, conflicts)
        if value is not GONE:
            merged[name] = value
    return merged


def _script(base: list[Any], side: list[Any]) -> list[tuple[int, int, int, int]]:
    """Return what a side replaced: two indexes of the base, two of the side."""
    kept = [(i, j) for i in range(len(base)) for j in range(len(side)) if same(base[i], side[j])]
    assert [j for _, j in kept] == sorted({j for _, j in kept}), "ambiguous list"
    bounds = [(-1, -1), *kept, (len(base), len(side))]
    steps = pairwise(bounds)
    gaps = [(i + 1, k, j + 1, m) for (i, j), (k, m) in steps]
    return [gap for gap in gaps if gap[0] < gap[1] or gap[2] < gap[3]]


def _entangled(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    (a, b, c, d), (e, f, g, h) = one, other
    if max(a, e) < min(b, f) or a < e == f < b or e < a == b < f:
        return True
    return (b == e or f == a) and d - c > b - a and h - g > f - e


def _merge_lists(path: Any, base: Any, ours: Any, theirs: Any, conflicts: Any) -> Any:
    scripts = _script(base, ours), _script(base, theirs)
    spans = [({(0, edit)}, edit[0], edit[1]) for edit in scripts[0]]
    spans += [({(1, edit)}, edit[0], edit[1]) for edit in scripts[1]]
    while True:
        pairs = ((x, y) for x in spans for y in spans if x is not y)
        meeting = next(((x, y) for x, y in pairs if _spans_meet(x, y)), None)
        if meeting is None:
            break
        x, y = meeting
        spans = [span for span in spans if span is not x and span is not y]
        spans.append((x[0] | y[0], min(x[1], y[1]), max(x[2], y[2])))
    merged: list[Any] = []
    at = 0
    found: dict[Any, str] = {}
    for edits, start, stop in sorted(spans, key=lambda span: span[1:]):
        merged += base[at:start]
        at = stop
        parts = [_side(edits, n, (base, ours, theirs), start, stop) for n in (0, 1)]
        before = base[start:stop]
        touched = {n for n, _ in edits}
        if len(touched) == 1:
            merged += parts[touched.pop()]
        elif same(parts[0], parts[1]):
            merged += parts[0]
        elif len(before) == len(parts[0]) == len(parts[1]):
            for three in zip(before, *parts, strict=True):
                merged.append(_merge((*path, len(merged)), *three, found))
        else:
            return None
    conflicts.update(found)
    return merged + base[at:]


def _spans_meet(one: Any, other: Any) -> bool:
    if any(_entangled(x[1], y[1]) for x in one[0] for y in other[0] if x[0] != y[0]):
        return True
    (_, a, b), (_, c, d) = one, other
    return max(a, c) < min(b, d) or a < c == d < b


def _side(edits: Any, number: int, lists: Any, start: int, stop: int) -> list[Any]:
    """Return a side's part by applying its edits to the stretch of the base."""
    result: list[Any] = []
    at = start
    for n, (a, b, c, d) in sorted(edits):
        if n == number:
            result += lists[0][at:a] + lists[1 + number][c:d]
            at = b
    return result + lists[0][at:stop]
