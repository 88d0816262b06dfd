"""Memory: how far very many changes, or conflicts, make the process grow.

Run as a program this is the child process that does it: it takes what to do, the server's
address, and the names of database and collection, and prints the growth of its resident memory
in bytes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.data import Document, documents, updates
from benchmarks.harness import Aim, Bench, Result, tracked
from benchmarks.merging import at_odds
from versioned_collection import VersionedCollection
from versioned_collection.errors import AutoMergeFailedError

_EVERY_SECONDS = 0.005


def register(bench: Bench) -> Iterator[Result]:
    """Compare the growth with the bytes of the changed documents."""
    changed = bench.count(300_000, 50)
    with bench.database() as db:
        tracked(db, changed)
        for batch in documents(changed):
            db["parts"].bulk_write(updates([one["_id"] for one in batch], 1), ordered=False)
        floor = float(db.command("collStats", "parts")["size"])
        ours = _growth(bench, db, "register")
    yield _result(f"memory to register {changed:,} updated", ours, floor)


def conflicts(bench: Bench) -> Iterator[Result]:
    """Compare the growth while conflicts are found, listed and settled with their documents."""
    count = bench.count(100_000, 50)
    with bench.database() as db:
        at_odds(db, count)
        floor = float(db.command("collStats", "parts")["size"])
        ours = _growth(bench, db, "settle")
    yield _result(f"memory to find, list and settle {count:,} conflicts", ours, floor)


def push(bench: Bench) -> Iterator[Result]:
    """Compare the growth while all is pushed to another database with the documents' bytes."""
    count = bench.count(300_000, 50)
    with bench.database() as db:
        tracked(db, count)
        floor = float(db.command("collStats", "parts")["size"])
        try:
            ours = _growth(bench, db, "push")
        finally:
            bench.client.drop_database(_copy_of(db.name))
    yield _result(f"memory to push {count:,} for the first time", ours, floor)


def _growth(bench: Bench, db: Database[Any], task: str) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", task, bench.uri, db.name, "parts"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def _result(case: str, ours: float, floor: float) -> Result:
    return Result(
        f"{case}, against the documents' bytes",
        "MB",
        [ours / 1e6],
        [floor / 1e6],
        Aim(250, "ours"),
    )


def _register(collection: VersionedCollection) -> None:
    collection.register("all of them")


def _settle(collection: VersionedCollection) -> None:
    with suppress(AutoMergeFailedError):
        collection.merge("side")
    for _ in collection.conflicts():
        pass
    collection.resolve_conflicts(resolver="theirs")


def _push(collection: VersionedCollection) -> None:
    collection.push(collection.database.client[_copy_of(collection.database.name)])


def _copy_of(database: str) -> str:
    return f"{database}_copy"


_TASKS = {"register": _register, "settle": _settle, "push": _push}


def main(task: str, uri: str, database: str, name: str) -> None:
    """Do a task and print the growth of this process."""
    with MongoClient[Document](uri) as client:
        collection = VersionedCollection(client[database], name)
        client.admin.command("ping")
        before = resident()
        with Peak() as peak:
            _TASKS[task](collection)
        print(max(peak.bytes, resident()) - before)


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


class Peak:
    """Looks at the resident memory again and again while the block runs."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self.bytes = max(self.bytes, resident())


if __name__ == "__main__":
    main(*sys.argv[1:])
