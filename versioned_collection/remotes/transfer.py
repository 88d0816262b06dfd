"""Bringing versions from one side to the other: only what is missing, in bounded batches."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from graphlib import CycleError
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.core.graph import parents_first
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.pipeline import Behind, Workers, prefetch
from versioned_collection.errors import InvalidOperation, NotSupported, TransferRefused
from versioned_collection.observing import Progress, counted
from versioned_collection.remotes.base import Arrived, Changes, Founding, Inbox, Remote, Update
from versioned_collection.remotes.checked import (
    check_entry,
    check_node,
    check_refs,
    check_tombstones,
    key_in,
    refused,
)
from versioned_collection.trackers.purges import Tombstone

_log = logging.getLogger(__name__)

Known = Callable[[Sequence[VersionId]], set[VersionId]]
"""Tells which of some versions a side has in its log."""

_FIRST_STRETCH, _LONGEST_STRETCH = 64, 4_096
_IN_FLIGHT = 4
MOST_VERSIONS = 200_000
"""Versions of one transfer: the note of what enters the log has to fit into one document."""


def missing(source: Remote, tips: Iterable[VersionId], known: Known) -> list[Node]:
    """Return the versions that lead to `tips` and that the other side does not know.

    The log is walked from the tips, in stretches that grow, until all ends are known: what
    both sides have is never listed.

    Args:
        source: The side that has the versions.
        tips: Where to start.
        known: Tells which versions the other side knows.

    Returns:
        Their places in the tree, parents first.

    Raises:
        TransferRefused: A version that others refer to is not there.
    """
    found: dict[VersionId, Node] = {}
    frontier, stretch = list(dict.fromkeys(tips)), _FIRST_STRETCH
    while frontier:
        nodes = _checked(source.walk(frontier, stretch))
        asked = {*frontier, *nodes, *(one for node in nodes.values() for one in node.parents)}
        frontier = _descend(frontier, nodes, known(list(asked)), found)
        stretch = min(stretch * 4, _LONGEST_STRETCH)
    return _in_order(found)


def _checked(nodes: Iterable[Node]) -> dict[VersionId, Node]:
    checked = {}
    for node in nodes:
        check_node(node)
        checked[node.id] = node
    return checked


def _descend(
    frontier: list[VersionId],
    nodes: dict[VersionId, Node],
    known: set[VersionId],
    found: dict[VersionId, Node],
) -> list[VersionId]:
    """Add what is unknown to `found`; return where to go on."""
    ahead: dict[VersionId, None] = {}
    for version in frontier:
        if version not in nodes and version not in known:
            child = next((one for one in found.values() if version in one.parents), None)
            if child is not None:
                raise refused(child.id, f"its parent {version} is not in the log")
            raise refused(version, "it is referred to, but not in the log")
    waiting = list(frontier)
    while waiting:
        version = waiting.pop()
        if version in known or version in found:
            continue
        node = nodes.get(version)
        if node is None:
            ahead[version] = None
        else:
            found[version] = node
            waiting.extend(node.parents)
    return list(ahead)


def _in_order(nodes: Mapping[VersionId, Node]) -> list[Node]:
    """Return nodes in an order in which parents come before their children.

    Raises:
        TransferRefused: A version is among its own ancestors.
    """
    try:
        return [nodes[version] for version in parents_first(nodes)]
    except CycleError as error:
        raise refused(error.args[1][0], "it is among its own ancestors") from None


def send(source: Remote, inbox: Inbox, versions: Sequence[VersionId], progress: Progress) -> None:
    """Bring the changes of versions into an inbox; what an earlier attempt brought stays.

    Args:
        source: The side that has the versions.
        inbox: What takes them in.
        versions: The versions, parents first.
        progress: Told how many versions and changes have arrived.

    Raises:
        TransferRefused: What came is not what was announced.
        NotSupported: They are too many.
    """
    if len(versions) > MOST_VERSIONS:
        raise NotSupported(
            f"{len(versions):,} versions are missing at the other side, of which "
            f"{MOST_VERSIONS:,} can be brought at once; bring a branch first that ends with an "
            "older version",
            versions=len(versions),
            limit=MOST_VERSIONS,
        )
    while True:
        with closing(prefetch(_exactly(versions, source.entries(versions)))) as entries:
            arrived = inbox.begin(entries)
        try:
            _send(source, inbox, versions, arrived, progress)
            return
        except TransferRefused as error:
            # what an earlier attempt had left of it may be to blame, and is removed now
            if error.facts.get("version") not in arrived.partial:
                raise


def _exactly(
    versions: Sequence[VersionId], batches: Iterable[list[Version]]
) -> Iterator[list[Version]]:
    """Iterate over log entries; make sure that those come that were asked for, each once."""
    waiting = set(versions)
    for batch in batches:
        for entry in batch:
            check_entry(entry)
            if entry.id not in waiting:
                raise refused(entry.id, "it came twice, or was not asked for")
            waiting.remove(entry.id)
        yield batch
    if waiting:
        raise refused(min(waiting), "its log entry did not come")


def _send(
    source: Remote,
    inbox: Inbox,
    versions: Sequence[VersionId],
    arrived: Arrived,
    progress: Progress,
) -> None:
    if arrived.complete or arrived.partial:
        whole, begun = len(arrived.complete), len(arrived.partial)
        _log.info(
            "a transfer goes on where an earlier one ended: %d versions are there, %d in part",
            whole,
            begun,
            extra={"versions": whole, "partial": begun},
        )
    waiting = sorted(one for one in versions if one not in arrived.complete)
    counted(progress)("versions", len(versions) - len(waiting))

    def still_missing() -> Generator[Changes, None, None]:
        for batch in source.changes(waiting):
            yield [
                (version, delta)
                for version, delta in batch
                if delta.key not in arrived.partial.get(version, ())
            ]

    with closing(still_missing()) as batches:
        _Sending(inbox, waiting, progress).run(batches)


class _Sending:
    """Keeps several batches in flight; a version is complete once all before it are through.

    Args:
        inbox: What takes the changes in.
        versions: The versions, in the order in which their changes come.
        progress: Told how many versions and changes have arrived.
    """

    def __init__(self, inbox: Inbox, versions: Sequence[VersionId], progress: Progress) -> None:
        self._inbox = inbox
        self._waiting = deque(versions)
        self._progress = counted(progress)
        self._flying: deque[tuple[Future[int], Changes]] = deque()

    def run(self, batches: Iterable[Changes]) -> None:
        with Workers(_IN_FLIGHT, thread_name_prefix="transfer") as pool:
            try:
                for batch in batches:
                    store = self._inbox.add(batch)
                    if len(self._flying) >= _IN_FLIGHT:
                        self._land()
                    self._flying.append((pool.submit(store), batch))
                while self._flying:
                    self._land()
            finally:
                for future, _ in self._flying:
                    future.cancel()
        self._complete(list(self._waiting))

    def _land(self) -> None:
        future, batch = self._flying.popleft()
        self._progress("changes", len(batch), future.result())
        if batch:
            last = batch[-1][0]
            done = []
            while self._waiting and self._waiting[0] < last:
                done.append(self._waiting.popleft())
            self._complete(done)

    def _complete(self, versions: list[VersionId]) -> None:
        if versions:
            self._inbox.complete(versions)
            self._progress("versions", len(versions))


def entries_of(source: Remote, versions: Sequence[VersionId]) -> dict[VersionId, Version]:
    """Return the log entries of a few versions."""
    return {
        entry.id: entry
        for batch in _exactly(versions, source.entries(versions))
        for entry in batch
    }


def found(
    source: Remote,
    destination: Remote,
    branches: Mapping[str, VersionId],
    tags: Mapping[str, Mapping[str, Any]],
    branch: str,
    labels: ObjectId | None,
    progress: Progress,
    note: Callable[[], None] = lambda: None,
) -> int:
    """Make an untracked collection a copy; return how many versions it has.

    Args:
        source: The side that has the versions.
        destination: The side that becomes a copy.
        branches: The tips of the branches that the copy has.
        tags: The tags that the copy has.
        branch: The branch that is checked out there.
        labels: What the source says of its labels.
        progress: Told how many versions, changes and documents have arrived.
        note: Called when all has arrived, and is not visible yet.

    Raises:
        TransferRefused: What came is not what was announced.
        InvalidOperation: The collection has other documents, or the source was purged meanwhile.
    """
    # before the versions: a copy that lacks a tombstone is compared with its source in full
    purges = check_tombstones(source.purges())
    tags = check_refs(branches, tags)
    starts = [*branches.values(), *(tag["version"] for tag in tags.values())]
    versions = [node.id for node in missing(source, starts, lambda versions: set())]
    tip = entries_of(source, [branches[branch]])[branches[branch]]
    with destination.found(source.setup(), tip) as founding:
        try:
            send(source, founding, versions, progress)
            _fill(source, founding, tip.id, progress)
        except TransferRefused:  # or what came is a part from before, and a part from after it
            _refuse_copy_of_purged(source, purges)
            raise
        note()
        _refuse_copy_of_purged(source, purges)
        wanted = {name: (None, version) for name, version in branches.items()}
        update = Update(versions, wanted, tags, purges=purges, labels=labels)
        founding.finish(update, branch)
    return len(versions)


def _refuse_copy_of_purged(source: Remote, purges: Sequence[Tombstone]) -> None:
    """Refuse to become a copy of what the source has got rid of since.

    Raises:
        InvalidOperation: It was purged.
    """
    known = {one.id for one in purges}
    if {one.id for one in check_tombstones(source.purges())} != known:
        raise InvalidOperation(
            f"the history at {source.address} was purged while it was copied, so what was copied "
            "may hold what had to go; try again, which copies what is left"
        )


def _fill(source: Remote, founding: Founding, version: VersionId, progress: Progress) -> None:
    present, report = founding.documents(), counted(progress)
    report("documents", len(present))
    with closing(prefetch(source.content(version))) as batches, Behind() as behind:
        for batch in batches:
            raws = [raw for raw in batch if not present or key_in(raw) not in present]
            behind.submit(partial(founding.fill, raws))
            report("documents", len(raws), sum(map(len, raws)))
