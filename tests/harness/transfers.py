"""Two sides of one collection, and what goes over the line between them."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, monitoring
from pymongo.database import Database

from harness.scenarios import LEASE_SECONDS, NAME, opened
from harness.trap import Trap, shrink_limits
from versioned_collection import VersionedCollection, errors
from versioned_collection.core.delta import Delta, compare, delta_digest, encoded_rows, hash_number
from versioned_collection.core.version import Version, VersionId
from versioned_collection.history.facts import completed
from versioned_collection.trackers.entries import entry_to_bson

_MODULUS = 1 << 256


class Line(monitoring.CommandListener):
    """Counts commands, and what they carry.

    Attributes:
        commands: How often each command was sent to each collection.
        returned: How many documents cursors have returned.
        inserted: How many changes of each version that were.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.commands: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.inserted: Counter[Any] = Counter()

    @property
    def deltas(self) -> int:
        """How many changes were inserted."""
        return sum(self.inserted.values())

    @property
    def total(self) -> int:
        """How many commands there were."""
        return sum(self.commands.values())

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("endSessions", "killCursors"):
            return
        target = str(event.command.get(event.command_name))
        with self._lock:
            self.commands[f"{event.command_name} {target}"] += 1
            if event.command_name == "insert" and target.startswith("__deltas_"):
                self.inserted.update(one["version"] for one in event.command["documents"])

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        reads = event.command_name in ("find", "getMore", "aggregate")
        cursor = event.reply.get("cursor") if reads else None
        if cursor:
            batch = cursor.get("firstBatch", cursor.get("nextBatch", ()))
            with self._lock:
                self.returned[cursor["ns"].split(".", 1)[1]] += len(batch)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Count nothing."""


@contextmanager
def line_to(uri: str) -> Iterator[tuple[MongoClient[Any], Line]]:
    """Yield a client whose commands are counted, and what counts them."""
    line = Line()
    with MongoClient(uri, event_listeners=[line]) as client:
        yield client, line


def forge(
    bands: VersionedCollection, changes: Iterable[Sequence[Delta]], **facts: Any
) -> list[VersionId]:
    """Append versions with these changes, whose hashes and sums agree whatever they are.

    The branch that is checked out moves, the documents stay where they are.

    Args:
        bands: The collection.
        changes: The changes of each version.
        facts: What else the entry of each says.
    """
    repository = bands._repository
    state = repository.state()
    tip = repository.branches.get(state.branch)
    assert tip is not None
    parent = repository.log.get(tip)
    assert parent is not None
    entries, deltas = [], []
    for some in changes:
        parent = _forged(parent, repository.now(), some, **facts)
        entries.append(parent)
        deltas += [(parent.id, delta) for delta in some]
    repository.deltas.put(deltas)
    repository.log.insert(map(entry_to_bson, entries))
    repository.branches.set(state.branch, parent.id)
    return [entry.id for entry in entries]


def _forged(parent: Version, now: datetime, changes: Sequence[Delta], **facts: Any) -> Version:
    names = {"insert": "inserted", "update": "updated", "delete": "deleted"}
    kinds = Counter(delta.op for delta in changes)
    moved = sum(hash_number(delta.after) - hash_number(delta.before) for delta in changes)
    digest = sum(delta_digest(delta, encoded_rows(delta)) for delta in changes)
    version = Version(
        ObjectId(),
        parent.number + 1,
        parent.branch,
        (parent.id,),
        now,
        "forged",
        stats={name: kinds[op] for op, name in names.items()},
        **facts,
    )
    content = (int(parent.fingerprint, 16) + moved) % _MODULUS
    return completed(version, [parent], digest % _MODULUS, content)


def push(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Push the branch that is checked out."""
    return here.push(there)


def push_all(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Push all branches and tags."""
    return here.push(there, all=True, tags=True)


def push_refused(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Push to a side whose server refuses the documents, under an index that comes along."""
    index = {"key": {"nowhere": 1}, "name": "nowhere_1", "unique": True}
    here._repository.indexes = lambda: [index]  # type: ignore[method-assign]
    with suppress(errors.DocumentRejected):
        here.push(there)
        raise AssertionError("nothing was refused")


def fetch(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Fetch all branches."""
    return here.fetch(there)


def pull(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Pull the branch that is checked out."""
    return here.pull(there)


def clone(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Make this side a copy, or bring it up to date."""
    return here.pull(there)


def pull_rebase(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Pull, and make the local versions again on top."""
    return here.pull(there, rebase=True)


def pull_clash(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Pull what leaves conflicts, unless they are there already."""
    with suppress(errors.AutoMergeFailedError):
        return here.has_conflicts() or here.pull(there)


def pull_discard(here: VersionedCollection, there: VersionedCollection) -> Any:
    """Pull what leaves conflicts, and give the local versions up."""
    pull_clash(here, there)
    return here.resolve_conflicts(discard_local_changes=True)


ACTS = {
    one.__name__: one
    for one in (
        push,
        push_all,
        push_refused,
        fetch,
        pull,
        clone,
        pull_rebase,
        pull_clash,
        pull_discard,
    )
}


def transfer(
    uri: str,
    database: str,
    there_uri: str,
    there: str,
    act: str,
    number: int = 0,
    when: str = "after",
    large: bool = False,
    freeze: bool = False,
) -> dict[str, Any]:
    """Bring versions from one side to the other, and die or freeze at a command to either.

    Commands that only read do not count.
    """
    if large:
        shrink_limits()
    strike = signal.SIGSTOP if freeze else signal.SIGKILL
    trap = Trap(number, when, strike, at_writes=True)
    with (
        MongoClient(uri, event_listeners=[trap]) as client,
        MongoClient(there_uri, event_listeners=[trap]) as other,
    ):
        trap.set()
        ACTS[act](patient(client[database]), patient(other[there]))
    return {"commands": trap.seen}


def pushes(uri: str, database: str, there_uri: str, there: str, ready: Any = None) -> list[str]:
    """Push once, and say how that ended."""
    from harness import actors

    with MongoClient(uri) as client, MongoClient(there_uri) as other:
        here, remote = opened(client[database]), opened(other[there])
        here.status()
        actors.say("ready")
        try:
            here.push(remote)
        except Exception as error:
            return [type(error).__name__, str(error)]
    return ["pushed", ""]


def patient(database: Database[Any]) -> VersionedCollection:
    """Open a collection whose lease is short."""
    return opened(database, NAME, lease_seconds=LEASE_SECONDS)


def lengthen(bands: VersionedCollection, count: int, **facts: Any) -> None:
    """Add versions that each change the document 1, and check the last one out; see `forge`."""
    state = bands._repository.state()
    raw = CodecOptions(document_class=RawBSONDocument)
    before = bytes(bands.with_options(codec_options=raw).find_one({"_id": 1}).raw)
    fields = bson.decode(before)
    states = [before, *(bson.encode({**fields, "mark": turn}) for turn in range(count))]
    forge(bands, [[compare(*both)] for both in pairwise(states)], **facts)
    bands.database["__metadata_bands"].update_one({}, {"$set": {"detached": True}})
    assert bands.checkout(branch=state.branch)
