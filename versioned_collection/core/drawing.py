"""Drawing a history as a graph of text lines. Pure: ids in, lines out.

A line is drawn from columns two characters apart; each column waits for one version::

    * main@2
    | * feature@0
    |/
    * main@1
    * main@0
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

Id = TypeVar("Id", bound=Hashable)
Parents = Mapping[Id, Sequence[Id]]


def arrange(parents: Parents[Id], rank: Callable[[Id], Any]) -> list[Id]:
    """Return versions newest first, each one before all its parents.

    Args:
        parents: The parents of each version; parents that are no keys are ignored.
        rank: What makes a version newer than another one where both could come next.
    """
    order = {one: place for place, one in enumerate(sorted(parents, key=rank, reverse=True))}
    waiting = dict.fromkeys(parents, 0)
    for ups in parents.values():
        for up in ups:
            if up in waiting:
                waiting[up] += 1
    ready = [(order[one], one) for one, children in waiting.items() if not children]
    heapq.heapify(ready)
    result = []
    while ready:
        _, one = heapq.heappop(ready)
        result.append(one)
        for up in parents[one]:
            if up in waiting:
                waiting[up] -= 1
                if not waiting[up]:
                    heapq.heappush(ready, (order[up], up))
    return result


def simplify(parents: Parents[Id], keep: Callable[[Id], bool]) -> dict[Id, list[Id]]:
    """Return the graph of some versions only, with edges across those left out."""
    nearest: dict[Id, list[Id]] = {}
    result: dict[Id, list[Id]] = {}
    for one in reversed(arrange(parents, lambda _: 0)):
        ups = [near for up in parents[one] for near in nearest.get(up, ())]
        ups = list(dict.fromkeys(ups))
        if keep(one):
            result[one], nearest[one] = ups, [one]
        else:
            nearest[one] = ups
    return result


def draw(order: Iterable[Id], parents: Parents[Id]) -> Iterator[tuple[str, Id | None]]:
    """Draw versions, which come in the order of `arrange`.

    Yields:
        The drawing and the version of one line; None for lines that only connect.
    """
    columns: list[Id] = []
    for one in order:
        if one not in columns:
            columns.append(one)
        place = columns.index(one)
        while columns.count(one) > 1:
            other = columns.index(one, place + 1)
            yield _join(len(columns), place, other), None
            del columns[other]
        yield " ".join("*" if k == place else "|" for k in range(len(columns))), one
        ups = list(parents[one])
        if not ups:
            if place + 1 < len(columns):
                yield _shift(len(columns), place), None
            del columns[place]
            continue
        columns[place] = ups[0]
        for turn, up in enumerate(ups[1:], place + 1):
            yield _split(len(columns), turn - 1), None
            columns.insert(turn, up)


def _join(count: int, place: int, other: int) -> str:
    """Draw column `other` running into `place`, and those right of it moving left."""
    line = _bars(count, other)
    for gap in range(2 * place + 1, 2 * other - 1):
        if line[gap] == " ":
            line[gap] = "_"
    for column in range(other, count):
        line[2 * column - 1] = "/"
    return "".join(line).rstrip()


def _shift(count: int, gone: int) -> str:
    """Draw the columns right of one that ended moving left."""
    line = _bars(count, gone)
    for column in range(gone + 1, count):
        line[2 * column - 1] = "/"
    return "".join(line).rstrip()


def _split(count: int, place: int) -> str:
    """Draw a further column leaving from `place`, and those right of it moving right."""
    line = _bars(count, place + 1)
    for column in range(place, count):
        line[2 * column + 1] = "\\"
    return "".join(line).rstrip()


def _bars(count: int, upto: int) -> list[str]:
    """Return a line with bars in the columns before `upto`."""
    line = [" "] * (2 * count + 1)
    for column in range(upto):
        line[2 * column] = "|"
    return line
