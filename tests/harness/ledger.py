"""A collection that processes write to all the time, and what has to hold in each version."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress
from typing import Any

from pymongo.database import Database

from harness import Nursery
from harness.scenarios import NAME, opened
from versioned_collection import VersionedCollection, errors

WRITERS = 3
ACCOUNTS = 12
MONEY = 100


def ledger(database: Database[Any], accounts: int) -> VersionedCollection:
    """Return a tracked collection in which every document has its sum."""
    collection = opened(database)
    if accounts:
        collection.insert_many([{"_id": f"account {i}", "money": MONEY} for i in range(accounts)])
    collection.insert_many(
        [
            {"_id": f"sum {w} {i}", "a": i, "b": -i, "sum": 0}
            for w in range(WRITERS)
            for i in range(20)
        ]
    )
    collection.init()
    return collection


def check_invariants(database: Database[Any], accounts: int, sums: bool = True) -> set[str]:
    """Check each document, and all of them together; return the ids of the journal."""
    documents = list(database[NAME].find())
    for document in documents:
        if sums and "sum" in document:
            assert document["a"] + document["b"] == document["sum"], document
    money = [document["money"] for document in documents if "money" in document]
    assert len(money) == accounts
    assert sum(money) == accounts * MONEY
    return {document["_id"] for document in documents if "journal" in document["_id"]}


def check_versions(
    database: Database[Any],
    accounts: int,
    done: list[dict[str, int]],
    gone: Set[str] = frozenset(),
    sums: bool = True,
) -> int:
    """Check every version, and that each acknowledged write is in one; return their number.

    Args:
        database: Where it is.
        accounts: How many accounts there are.
        done: What the writers report.
        gone: What a verb may have taken away that no version has.
        sums: Whether each document has its sum.
    """
    collection = opened(database)
    collection.register("the rest", "rest")
    assert list(collection.verify()) == []
    seen: set[str] = set()
    versions = [entry.id for entry in collection._repository.log.get_many()]
    for version in versions:
        assert collection.checkout(version)
        seen |= check_invariants(database, accounts, sums)
    for writer, report in enumerate(done):
        missing = {f"journal {writer} {n}" for n in range(report["inserted"])} - seen - gone
        assert not missing, sorted(missing)[:5]
    return len(versions)


class Writers:
    """Processes that write until they are stopped."""

    def __init__(self, children: Nursery, uri: str, database: Database[Any], accounts: int):
        self._all = [
            children.start(
                "write_all_the_time",
                uri=uri,
                database=database.name,
                writer=writer,
                accounts=accounts,
            )
            for writer in range(WRITERS)
        ]
        self._documents = database[NAME]
        for writer in self._all:
            writer.ready()

    def pause(self) -> None:
        for writer in self._all:
            writer.pause()

    def resume(self) -> None:
        for writer in self._all:
            writer.resume()

    def go_on(self) -> None:
        """Wait until each writer that is at work has written some more."""
        before = self._written()
        while any(now < then + 2 for now, then in zip(self._written(), before, strict=True)):
            pass

    def go_on_for_a_while(self) -> None:
        """Let writers that pause write some more."""
        self.resume()
        self.go_on()
        self.pause()

    def _written(self) -> list[int]:
        numbers = range(len(self._all))
        return [
            self._documents.count_documents({"_id": {"$regex": f"^journal {n} "}}) for n in numbers
        ]

    def stop(self) -> list[dict[str, int]]:
        outcomes = [writer.stop() for writer in self._all]
        for outcome in outcomes:
            assert outcome["error"] is None, outcome
            assert outcome["result"]["inserted"] > 0
        return [outcome["result"] for outcome in outcomes]


def journal_of(ids: Any, writer: int) -> list[int]:
    """Return the sorted numbers of what a writer inserted, among ids of documents."""
    start = f"journal {writer} "
    return sorted(int(i[len(start) :]) for i in ids if isinstance(i, str) and i.startswith(start))


def though_they_write(writers: Writers, verb: Callable[[], Any]) -> Any:
    """Call a verb while others write, once more in a pause where it gave way to them."""
    with suppress(errors.WorkingCopyChanged):
        return verb()
    writers.pause()
    done = verb()
    writers.resume()
    return done
