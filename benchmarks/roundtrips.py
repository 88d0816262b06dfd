"""``python -m benchmarks.roundtrips VERB``: the commands that one call sends, each with its time.

With ``--profile`` also where Python spends its own. A command listener and the profiler cost
time themselves: compare the lines with one another, not with the table of the benchmarks.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from benchmarks.data import Document, fill, spread, updates
from benchmarks.harness import tracked, untracked
from benchmarks.merging import fork
from versioned_collection import VersionedCollection, embedded

_IN_FULL = 80
"""Round trips up to which each is printed; more are summed up by kind."""


@dataclass(frozen=True)
class Roundtrip:
    """A command: when it was sent, how long its reply took, in which thread, and what it was."""

    start: float
    seconds: float
    thread: str
    what: str


class Recorder(CommandListener):
    """Notes every command while `recording` is set."""

    def __init__(self) -> None:
        self.recording = False
        self.roundtrips: list[Roundtrip] = []
        self._begun: dict[int, tuple[float, str]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        self._begun[event.request_id] = perf_counter(), _described(event)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._note(event.request_id, "")

    def failed(self, event: CommandFailedEvent) -> None:
        self._note(event.request_id, " (failed)")

    def _note(self, request: int, suffix: str) -> None:
        start, what = self._begun.pop(request)
        if self.recording:
            name = threading.current_thread().name
            taken = perf_counter() - start
            self.roundtrips.append(Roundtrip(start, taken, name, what + suffix))


_SIZES = {"insert": "documents", "update": "updates", "delete": "deletes"}


def _described(event: CommandStartedEvent) -> str:
    """Return the kind of a command, its collection, how much it carries and its concerns."""
    command, name = event.command, event.command_name
    words = [name, str(command.get("collection") if name == "getMore" else command[name])]
    if name in _SIZES:
        words.append(f"{len(command.get(_SIZES[name], ()))} {_SIZES[name]}")
    if "txnNumber" in command and "autocommit" in command:
        words.append("in transaction")
    if "readConcern" in command:
        words.append(f"read {dict(command['readConcern']).get('level', 'after')}")
    if "writeConcern" in command:
        words.append(f"w={dict(command['writeConcern']).get('w')}")
    return " ".join(words)


Call = Callable[[], Any]
Preparation = Callable[[Database[Any], int, int], Call]


def _register(db: Database[Any], stored: int, changed: int) -> Call:
    collection = tracked(db, stored)
    for turn in range(2):  # the first round warms up
        db["parts"].bulk_write(updates(spread(changed, stored), turn), ordered=False)
        if not turn:
            collection.register("first")
    return lambda: collection.register("second")


def _checkout(db: Database[Any], stored: int, changed: int) -> Call:
    collection = tracked(db, stored)
    db["parts"].bulk_write(updates(spread(changed, stored), 1), ordered=False)
    collection.register("first")
    return lambda: collection.checkout(0, "main")


def _merge(db: Database[Any], stored: int, changed: int) -> Call:
    collection = tracked(db, stored)
    numbers = spread(changed, stored)
    fork(collection, updates(numbers, 1), updates([number + 1 for number in numbers], 1))
    return lambda: collection.merge("side")


def _transfer(verb: str) -> Preparation:
    def prepare(db: Database[Any], stored: int, changed: int) -> Call:
        ours = tracked(db, stored)
        other = db.client[f"{db.name}_remote"]
        db.client.drop_database(other)
        theirs = VersionedCollection(other, "parts")
        ours.push(theirs)
        for turn in range(2):  # the first round warms up
            db["parts"].bulk_write(updates(spread(changed, stored), turn), ordered=False)
            ours.register(f"turn {turn}")
            if not turn:
                theirs.pull(ours)
                ours.push(theirs)
        return partial(ours.push, theirs) if verb == "push" else partial(theirs.pull, ours)

    return prepare


def _init(db: Database[Any], stored: int, changed: int) -> Call:
    fill(db["parts"], stored)
    return VersionedCollection(db, "parts").init


def _with_changes(method: str, **options: Any) -> Preparation:
    def prepare(db: Database[Any], stored: int, changed: int) -> Call:
        collection = tracked(db, stored, **options)
        if changed:
            db["parts"].bulk_write(updates(spread(changed, stored), 1), ordered=False)
        return getattr(collection, method)  # type: ignore[no-any-return]

    return prepare


def _open(db: Database[Any], stored: int, changed: int) -> Call:
    tracked(db, stored)
    return lambda: VersionedCollection(db, "parts")


def _copy(db: Database[Any], stored: int, changed: int) -> Call:
    untracked(db, stored)
    return lambda: db["raw"].aggregate([{"$out": "copy"}])


CALLS: dict[str, tuple[Preparation, int, int]] = {
    "register": (_register, 100_000, 10_000),
    "small-register": (_register, 100_000, 10),
    "checkout": (_checkout, 100_000, 10_000),
    "small-checkout": (_checkout, 100_000, 10),
    "merge": (_merge, 100_000, 10_000),
    "init": (_init, 100_000, 0),
    "small-init": (_init, 100, 0),
    "out": (_copy, 100_000, 0),
    "status": (_with_changes("status"), 100_000, 10),
    "clean-status": (_with_changes("status"), 100_000, 0),
    "diff": (_with_changes("diff"), 100_000, 10),
    "scan": (_with_changes("has_changes", capture="scan"), 100_000, 0),
    "open": (_open, 1_000, 0),
    "push": (_transfer("push"), 10_000, 1_000),
    "pull": (_transfer("pull"), 10_000, 1_000),
}
"""How each call is prepared, and its documents: stored and changed."""


def show(recorder: Recorder, start: float, seconds: float) -> None:
    """Print the round trips of a call that began at `start`."""
    found = sorted(recorder.roundtrips, key=lambda one: one.start)
    waited = sum(one.seconds for one in found)
    print(f"{seconds * 1e3:.1f} ms, {len(found)} round trips that took {waited * 1e3:.1f} ms")
    if len(found) <= _IN_FULL:
        for one in found:
            at, taken = (one.start - start) * 1e3, one.seconds * 1e3
            print(f"{at:9.1f} {taken:9.1f} ms  {one.thread[:14]:14}  {one.what}")
    else:
        _show_kinds(found)


def _show_kinds(found: Sequence[Roundtrip]) -> None:
    kinds: dict[str, list[float]] = defaultdict(list)
    for one in found:
        kinds[one.what].append(one.seconds)
    for what, taken in sorted(kinds.items(), key=lambda kind: -sum(kind[1])):
        print(f"{sum(taken) * 1e3:9.1f} ms  {len(taken):4} times  {what}")


def prepared(db: Database[Any], name: str, scale: float) -> Call:
    """Make the documents and their changes; return what is left to call."""
    prepare, stored, changed = CALLS[name]
    return prepare(db, max(int(stored * scale), 10), changed and max(int(changed * scale), 5))


def record(client: MongoClient[Any], recorder: Recorder, name: str, scale: float) -> None:
    """Prepare a call, make it, and print what it sent."""
    database = client["roundtrips"]
    call = prepared(database, name, scale)
    recorder.recording = True
    start = perf_counter()
    call()
    seconds = perf_counter() - start
    recorder.recording = False
    show(recorder, start, seconds)
    client.drop_database(database)


def profiled(name: str, scale: float) -> None:
    """Make the call again under the profiler, on a client without a listener."""
    with embedded.start() as server, MongoClient[Document](server.uri) as client:
        call = prepared(client["roundtrips"], name, scale)
        profile = cProfile.Profile()
        profile.runcall(call)
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(25)


def main(given: Sequence[str] | None = None) -> None:
    """Record one call on a server of our own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roundtrips", description=__doc__)
    parser.add_argument("calls", nargs="+", choices=list(CALLS), metavar="VERB")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the documents")
    parser.add_argument("--profile", action="store_true", help="also profile Python")
    options = parser.parse_args(given)
    for name in options.calls:
        recorder = Recorder()
        print(f"== {name}")
        with (
            embedded.start() as server,
            MongoClient[Document](server.uri, event_listeners=[recorder]) as client,
        ):
            record(client, recorder, name, options.scale)
        if options.profile:
            profiled(name, options.scale)


if __name__ == "__main__":
    main()
