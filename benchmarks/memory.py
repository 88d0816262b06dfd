"""Memory: how far registering very many changes makes the process grow.

Run as a program this is the child process that registers: it takes the server's address and
the names of database and collection, and prints the growth of its resident memory in bytes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
from pymongo import MongoClient

from benchmarks.data import Document, documents, updates
from benchmarks.harness import Aim, Bench, Result, tracked
from versioned_collection import VersionedCollection

_EVERY_SECONDS = 0.005


def register(bench: Bench) -> Iterator[Result]:
    """Compare the growth with the bytes of the changed documents."""
    changed = bench.count(300_000, 50)
    with bench.database() as db:
        tracked(db, changed)
        for batch in documents(changed):
            db["parts"].bulk_write(updates([one["_id"] for one in batch], 1), ordered=False)
        floor = float(db.command("collStats", "parts")["size"])
        command = [sys.executable, "-m", "benchmarks.memory", bench.uri, db.name, "parts"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    ours = float(done.stdout.split()[-1])
    yield Result(
        f"memory to register {changed:,} updated, against the documents' bytes",
        "MB",
        [ours / 1e6],
        [floor / 1e6],
        Aim(250, "ours"),
    )


def main(uri: str, database: str, name: str) -> None:
    """Register what changed and print the growth of this process."""
    with MongoClient[Document](uri) as client:
        collection = VersionedCollection(client[database], name)
        client.admin.command("ping")
        before = _resident()
        with _Peak() as peak:
            collection.register("all of them")
        print(max(peak.bytes, _resident()) - before)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


class _Peak:
    """Looks at the resident memory again and again while the block runs."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self.bytes = max(self.bytes, _resident())


if __name__ == "__main__":
    main(*sys.argv[1:])
