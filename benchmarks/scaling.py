"""``python -m benchmarks.scaling``: measure at growing sizes, and say what that means for more.

Every verb is measured on collections of several sizes. Where its cost is a line over the number
of documents, the line is prolonged; what is not measured, because it only happens beyond these
sizes (indexes that do not fit into the cache, moments that leave the snapshot window), is computed
from what one document takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.data import Document, fill, spread, updates
from benchmarks.harness import Bench, timed
from benchmarks.memory import Peak, resident
from benchmarks.trend import Trend, trend
from versioned_collection import VersionedCollection, embedded

SIZES = (30_000, 100_000, 300_000, 1_000_000)
TARGET = 100_000_000
FEW, MANY = 10, 10_000
"""How many documents change in a small version, and in a large one."""

SNAPSHOT_SECONDS = 300
"""How long a server keeps snapshots unless it is told otherwise."""

_LEASE_SECONDS = 300

OF_CHANGES = ("status", "register", "push of", "checkout", "memory")
"""How lines begin that are a matter of changes or of batches; others concern all documents."""

SECONDS, BYTES = "s", "bytes"
Measured = dict[str, dict[int, list[float]]]
"""Each line's measurements at each size; the name ends with the unit."""


class Measuring:
    """Measures a collection of one size.

    Args:
        bench: Where.
        db: An empty database.
        count: How many documents.
        many: How many of them change in a large version.
        results: Takes what is measured.
    """

    def __init__(
        self, bench: Bench, db: Database[Any], count: int, many: int, results: Measured
    ) -> None:
        self._bench = bench
        self._db = db
        self._count = count
        self._many = many
        self._results = results
        self._turn = 0
        # a disk that writes a checkpoint of all this may keep the heartbeat waiting
        self.collection = VersionedCollection[Document](db, "parts", lease_seconds=_LEASE_SECONDS)
        self.copy = bench.client[f"{db.name}_copy"]

    def run(self) -> None:
        """Measure everything once, or as often as asked for."""
        fill(self._db["parts"], self._count)
        self._whole()
        self._repeat(self._changes)
        self._note("verify", SECONDS, timed(lambda: list(self.collection.verify())))

    def _repeat(self, work: Callable[[], None]) -> None:
        for _ in range(self._bench.repeat):
            work()

    def _note(self, line: str, unit: str, value: float) -> None:
        self._results.setdefault(f"{line}, {unit}", {}).setdefault(self._count, []).append(value)

    def _timed(self, line: str, work: Callable[[], Any]) -> None:
        """Note the seconds that a verb takes, and the bytes that it writes to the oplog."""
        begins, before = self._oplog()
        self._note(line, SECONDS, timed(work))
        began, after = self._oplog()
        if began == begins:  # else the oplog has dropped its beginning meanwhile
            self._note(f"oplog of {line}", BYTES, after - before)

    def _oplog(self) -> tuple[Any, float]:
        """Return the time of the first entry, and the bytes of all."""
        local = self._bench.client.local
        first = local["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", 1)])
        return first and first["ts"], float(local.command("collStats", "oplog.rs")["size"])

    # -- what concerns all documents -------------------------------------------------------

    def _whole(self) -> None:
        before = resident()
        with Peak() as peak:
            self._timed("init", self.collection.init)
            self._timed("first push", lambda: self.collection.push(self.copy))
        self._note("memory of init and first push", BYTES, max(peak.bytes - before, 1))
        self._bench.client.admin.command("fsync")
        self._note("trackers on disk", BYTES, self.collection.size()["total"])
        for name, line in (("parts", "collection"), ("__replica_parts", "replica")):
            stats = self._db.command("collStats", name)
            self._note(f"{line} on disk", BYTES, stats["storageSize"])
            self._note(f"indexes of the {line}", BYTES, stats["totalIndexSize"])

    # -- what concerns changes ---------------------------------------------------------------

    def _changes(self) -> None:
        self.collection.push(self.copy)
        self.collection.status()  # looks past what the last round wrote
        self._note("status, nothing changed", SECONDS, timed(self.collection.status))
        self._register(FEW)
        self._timed(f"push of a version of {FEW}", lambda: self.collection.push(self.copy))
        self._register(self._many)
        self._timed(f"checkout over {self._many:,}", lambda: self.collection.checkout("main~1"))
        self.collection.checkout(branch="main")

    def _register(self, changed: int) -> None:
        self._turn += 1
        self.collection.bulk_write(updates(spread(changed, self._count), self._turn))
        self.collection.status()  # the look at the application's own writes is theirs
        message = f"turn {self._turn}"
        self._timed(f"register {changed:,}", lambda: self.collection.register(message))


def measure(bench: Bench, sizes: Sequence[int], many: int = MANY) -> Measured:
    """Measure at all sizes, saying on standard error which one is under way."""
    results: Measured = {}
    for count in sizes:
        print(f"{count:,} documents ...", file=sys.stderr, flush=True)
        with bench.database() as db:
            measuring = Measuring(bench, db, count, many, results)
            try:
                measuring.run()
            finally:
                bench.client.drop_database(measuring.copy.name)
    return results


# -- what it means ---------------------------------------------------------------------------


def trends(results: Measured) -> dict[str, Trend]:
    """Return the line of each measurement that was made at two sizes or more."""
    return {
        line: trend(values, may_be_flat=line.removeprefix("oplog of ").startswith(OF_CHANGES))
        for line, values in results.items()
        if len(values) > 1
    }


def table(results: Measured, target: int) -> Iterator[list[str]]:
    """Iterate over the lines of the table, its heading first."""
    sizes = sorted({size for values in results.values() for size in values})
    yield ["", *(f"{size:,}" for size in sizes), "grows", "off by", f"{target:,}"]
    lines = trends(results)
    for name, values in results.items():
        line, _, unit = name.rpartition(", ")
        shown = [_shown(median(values[size]), unit) if size in values else "" for size in sizes]
        if name not in lines:
            yield [line, *shown, "", "", ""]
            continue
        found = lines[name]
        off = f"{found.residual:.0%}"
        if not found.clear:
            yield [line, *shown, "not clear", off, ""]
            continue
        grows = "no" if found.flat else f"{_shown(found.per_document * 1e6, unit)} a million"
        yield [line, *shown, grows, off, _shown(found.at(target), unit)]


def conclusions(results: Measured, target: int, cache: float) -> Iterator[str]:
    """Iterate over what follows from the numbers, in the order in which it would break."""
    lines = trends(results)
    if not lines:
        return

    def each(name: str) -> float:
        return lines[f"{name}, {BYTES}"].per_document

    init = lines[f"init, {SECONDS}"]
    seconds = init.per_document
    if init.clear and seconds > 0:
        yield (
            f"init reads {SNAPSHOT_SECONDS / seconds:,.0f} documents in the {SNAPSHOT_SECONDS} s "
            f"for which a server keeps snapshots; for {target:,} raise "
            f"minSnapshotHistoryWindowInSeconds to {2 * seconds * target:,.0f}"
        )
    indexes = each("indexes of the collection") + each("indexes of the replica")
    if indexes > 0:
        yield (
            f"the indexes on _id of collection and replica take {indexes:.0f} bytes a document: "
            f"{cache / indexes:,.0f} documents fill this server's cache of "
            f"{_shown(cache, BYTES)}, {target:,} take {_shown(indexes * target, BYTES)}"
        )
    oplog = lines.get(f"oplog of init, {BYTES}")
    if oplog is not None:
        yield f"init writes {_shown(oplog.at(target), BYTES)} to the oplog for {target:,}"
    disk = each("trackers on disk")
    yield f"the trackers take {disk:.0f} bytes a document: {_shown(disk * target, BYTES)}"


_STEPS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def _shown(value: float, unit: str) -> str:
    if unit == SECONDS:
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{float(f'{value:.3g}'):,.12g} s"
    for size, name in _STEPS:
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} B"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as the documentation has it."""
    heading, *lines = rows
    ruler = ["---", *("---:" for _ in heading[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ruler, *lines))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return a table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def report(results: Measured, target: int, cache: float, *, as_markdown: bool) -> str:
    """Return everything there is to say."""
    rows = list(table(results, target))
    notes = (f"- {note}" for note in conclusions(results, target, cache))
    return "\n".join([markdown(rows) if as_markdown else columns(rows), "", *notes])


# -- the program -----------------------------------------------------------------------------


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    parser.add_argument(
        "--largest", type=int, metavar="N", help="one more size, or the last of those below it"
    )
    parser.add_argument(
        "--changed", type=int, default=MANY, help="documents of a large version (default 10,000)"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="measurements of changes (default 3)"
    )
    parser.add_argument(
        "--target", type=int, default=TARGET, metavar="N", help="default 100 million"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all numbers go")
    options = parser.parse_args(given)
    if min(sizes_of(options)) < max(options.changed, FEW):
        parser.error(f"the sizes begin at what changes, {max(options.changed, FEW):,} documents")
    return options


def sizes_of(options: argparse.Namespace) -> list[int]:
    """Return the sizes to measure, in their order."""
    sizes = set(options.sizes)
    if options.largest is not None:
        sizes = {size for size in sizes if size < options.largest} | {options.largest}
    return sorted(sizes)


def main(given: Sequence[str] | None = None) -> None:
    """Measure on a server of our own."""
    options = arguments(given)
    with embedded.start() as server, MongoClient[Document](server.uri) as client:
        bench = Bench(client, server.uri, repeat=options.repeat)
        results = measure(bench, sizes_of(options), options.changed)
        status = client.admin.command("serverStatus")
        cache = float(status["wiredTiger"]["cache"]["maximum bytes configured"])
    print(report(results, options.target, cache, as_markdown=options.markdown))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
