"""What the cases have in common: the server, timing, and the form of a result."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any, Literal

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from benchmarks.data import fill
from versioned_collection import VersionedCollection


@dataclass(frozen=True)
class Aim:
    """What a result should be.

    Attributes:
        limit: The number to keep to.
        of: Which number is meant, the ratio or ours.
        at_least: Whether the limit is a lower one.
    """

    limit: float
    of: Literal["ratio", "ours"] = "ratio"
    at_least: bool = False

    def __str__(self) -> str:
        subject = "" if self.of == "ratio" else "ours "
        return f"{subject}{'≥' if self.at_least else '≤'} {self.limit:,g}"

    def is_met(self, ratio: float, ours: float) -> bool:
        value = ratio if self.of == "ratio" else ours
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        case: What was measured.
        unit: The unit of `ours` and `floor`.
        ours: What the library took, one number per repetition.
        floor: What raw PyMongo (or the smaller case) took, in the same order.
        aim: What is aimed at.
    """

    case: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float]
    aim: Aim

    @property
    def ratios(self) -> list[float]:
        """Ours against the floor, for each repetition."""
        return [ours / floor for ours, floor in zip(self.ours, self.floor, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)

    @property
    def is_met(self) -> bool:
        """Whether the aim is met in the median."""
        return self.aim.is_met(self.ratio, median(self.ours))

    def to_json(self) -> dict[str, Any]:
        """Return the result with all its numbers."""
        return {
            "case": self.case,
            "unit": self.unit,
            "ours": median(self.ours),
            "floor": median(self.floor),
            "ratio": self.ratio,
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
            "aim": str(self.aim),
            "met": self.is_met,
            "all_ours": list(self.ours),
            "all_floor": list(self.floor),
        }


@dataclass
class Pairs:
    """Measurements that belong together, collected pair by pair."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)

    def add(self, ours: float, floor: float) -> None:
        self.ours.append(ours)
        self.floor.append(floor)

    def result(self, case: str, aim: Aim, unit: str = "s", factor: float = 1.0) -> Result:
        """Return the line of the table; `factor` turns seconds into `unit`."""
        return Result(
            case,
            unit,
            [value * factor for value in self.ours],
            [value * factor for value in self.floor],
            aim,
        )


@dataclass(frozen=True)
class Bench:
    """Where and how large to measure.

    Attributes:
        client: A client of a durable server.
        uri: The server's address, for child processes.
        scale: Factor on all numbers of documents.
        repeat: How often each case is measured.
    """

    client: MongoClient[Any]
    uri: str
    scale: float = 1.0
    repeat: int = 5

    def count(self, full: int, least: int = 10) -> int:
        """Return a number of documents, scaled."""
        return max(int(full * self.scale), min(full, least))

    @contextmanager
    def database(self) -> Iterator[Database[Any]]:
        """A fresh database, dropped at the end."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        try:
            yield self.client[name]
        finally:
            self.client.drop_database(name)


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes, without pauses of the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        work()
        return perf_counter() - start
    finally:
        gc.enable()


def alternate(
    turn: int,
    ours: Callable[[], Any],
    floor: Callable[[], Any],
    ready: Callable[[], Any] = lambda: None,
) -> tuple[float, float]:
    """Time both; who goes first changes with `turn`, so that neither has the better place.

    Args:
        turn: The number of the repetition.
        ours: What the library does.
        floor: What it is compared with.
        ready: What is done right before ours, and not timed: a look, say, that passes over what
            the floor has added to the oplog.
    """
    if turn % 2:
        low = timed(floor)
        ready()
        return timed(ours), low
    ready()
    mine = timed(ours)
    return mine, timed(floor)


def tracked(db: Database[Any], count: int, name: str = "parts", **options: Any) -> Any:
    """Return a tracked collection of `count` documents."""
    fill(db[name], count)
    collection = VersionedCollection(db, name, **options)
    collection.init()
    return collection


def untracked(db: Database[Any], count: int, name: str = "raw") -> Collection[Any]:
    """Return a plain collection of `count` documents."""
    fill(db[name], count)
    return db[name]
