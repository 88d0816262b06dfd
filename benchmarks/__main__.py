"""``python -m benchmarks``: measure, print the table, write the numbers to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pymongo import MongoClient

from benchmarks import report
from benchmarks.cases import CASES, HEAVY
from benchmarks.data import Document
from benchmarks.harness import Bench, Result
from versioned_collection import embedded


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=list(CASES),
        metavar="CASE",
        help=f"measure this case; may be repeated; one of {', '.join(CASES)}",
    )
    parser.add_argument(
        "--heavy", action="store_true", help=f"also measure {', '.join(sorted(HEAVY))}"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor on the numbers of documents (default 1)"
    )
    parser.add_argument(
        "--repeat", type=int, default=5, help="measurements of each case (default 5)"
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("benchmark-results.json"),
        metavar="FILE",
        help="where the numbers go (default benchmark-results.json)",
    )
    return parser.parse_args(given)


def chosen(only: Sequence[str] | None, heavy: bool) -> list[str]:
    """Return the names of the cases to measure."""
    if only:
        return [name for name in CASES if name in only]
    return [name for name in CASES if heavy or name not in HEAVY]


def measure(bench: Bench, names: Sequence[str]) -> list[Result]:
    """Measure cases, saying on standard error which one is under way."""
    results: list[Result] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results += CASES[name](bench)
    return results


def main(given: Sequence[str] | None = None) -> None:
    """Measure on a server of our own."""
    options = arguments(given)
    with embedded.start() as server, MongoClient[Document](server.uri) as client:
        bench = Bench(client, server.uri, options.scale, options.repeat)
        results = measure(bench, chosen(options.only, options.heavy))
        report.show(results)
        report.write(options.json, bench, results)
    print(f"all numbers: {options.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
