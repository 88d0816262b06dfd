"""What the screens show, read some at a time. No terminal here."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import Names, names
from versioned_collection.core.drawing import draw

if TYPE_CHECKING:
    from versioned_collection import DocumentVersion, Version, VersionedCollection

T = TypeVar("T")

PAGE = 200
"""Lines that are read at once."""

CHANGES = 1_000
"""Differences of two versions that are computed at once."""

LARGEST = 256 * 1024
"""Bytes of a document, or a value, that is written out while a person waits."""


class Pages(Generic[T]):
    """An iterator that is taken a page at a time, by any thread.

    Args:
        items: What there is.

    Attributes:
        ended: Whether all were taken.
        busy: Whether a page is on its way to the screen, which must not be given up: what was
            taken does not come again.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._lock = Lock()
        self.ended = False
        self.busy = False

    def more(self, count: int = PAGE) -> list[T]:
        """Return the next items; fewer than `count` at the end."""
        with self._lock:
            found = [] if self.ended else list(islice(self._items, count))
            self.ended = len(found) < count
            return found


@dataclass(frozen=True)
class LogLine:
    """A line of the drawn history.

    Attributes:
        drawing: The graph.
        version: The version of the line, None where it only connects.
    """

    drawing: str
    version: Version | None


@dataclass(frozen=True)
class ChangedDocument:
    """A document that differs between two versions.

    Attributes:
        key: Its key.
        op: ``insert``, ``update`` or ``delete``.
    """

    key: bytes
    op: str


class History:
    """The history of a tracked collection.

    Args:
        collection: The collection.
        start: The version whose ancestors count; None: all versions.
    """

    def __init__(self, collection: VersionedCollection, start: Any = None) -> None:
        self.collection = collection
        self.start = start
        self._is_over = Event()

    def abandon(self) -> None:
        """Have differences come to an end that are being computed: the lease is held meanwhile."""
        self._is_over.set()

    def _go_on(self, *_: object) -> None:
        if self._is_over.is_set():
            raise UsageFailure("nobody looks any more")

    def names(self) -> Names:
        """Return what points to versions."""
        return names(self.collection)

    def log(self) -> Pages[LogLine]:
        """Return the lines of the graph as ``vc log --graph`` draws it."""
        return Pages(self._lines())

    def _lines(self) -> Iterator[LogLine]:
        parents = self._parents()
        entries = _Entries(self.collection)
        found: dict[Any, Version] = {}

        def order() -> Iterator[Any]:
            for version in _newest_first(parents, entries):
                found[version.id] = version
                yield version.id

        for drawing, one in draw(order(), parents):
            yield LogLine(drawing, None if one is None else found.pop(one))

    def _parents(self) -> Mapping[Any, Sequence[Any]]:
        """Return the parents of the versions that are shown."""
        tree = self.collection.version_tree
        if tree is None:
            return {}
        everything = {one: tree.nodes[one].parents for one in tree}
        if self.start is None:
            return everything
        shown: dict[Any, Sequence[Any]] = {}
        waiting = [self.start.id]
        while waiting:
            one = waiting.pop()
            if one in everything and one not in shown:
                shown[one] = everything[one]
                waiting += everything[one]
        return shown

    def changes(self, version: Version) -> Pages[ChangedDocument]:
        """Return what a version changed: the difference to its first parent."""
        # Stored deltas are read as they are asked for; `changes` would compute them all, and
        # keep others waiting while a person looks at them.
        deltas = self.collection._repository.deltas
        return Pages(
            ChangedDocument(delta.key, delta.op) for delta in deltas.of_version(version.id)
        )

    def differences(self, old: Version, new: Version) -> Pages[ChangedDocument]:
        """Return the documents that differ between two versions."""
        return Pages(self._between(old, new))

    def _between(self, old: Version, new: Version) -> Iterator[ChangedDocument]:
        """Compute differences some at a time, so that nobody waits for the lease meanwhile."""
        from versioned_collection.core.document import document_key

        done = 0
        while True:
            changes: Any = self.collection.changes(old, new, progress=self._go_on)
            with closing(changes) as found:  # many hold the lease until then
                page = [
                    ChangedDocument(document_key(change.new or change.old or b""), change.op)
                    for change in islice(found, done, done + CHANGES)
                ]
            yield from page
            if len(page) < CHANGES:
                return
            done += CHANGES

    def of_document(self, key: bytes, version: Version) -> Pages[DocumentVersion]:
        """Return the versions up to this one that changed a document, newest first."""
        from versioned_collection import DocumentId

        return Pages(self.collection.history(DocumentId(key), version.id))

    def difference(self, key: bytes, old: Version | None, new: Version) -> list[str]:
        """Return how a document differs between two versions, as lines of a unified diff."""
        from versioned_collection.core.diff import text_diff

        before = None if old is None else self._document(key, old)
        after = self._document(key, new)
        if max(len(before or b""), len(after or b"")) > LARGEST:
            return ["too large to be compared here; 'vc diff' takes its time"]
        label = new.label if old is None else old.label
        text = text_diff(before, after, label, new.label)
        return text.split("\n") if text else ["no difference"]

    def _document(self, key: bytes, version: Version) -> bytes | None:
        """Return a document as it is in a version, None where there is none."""
        from versioned_collection import DocumentId

        found = self.collection.history(DocumentId(key), version.id, limit=1)
        return next((one.raw for one in found), None)

    def parent(self, version: Version) -> Version | None:
        """Return the first parent of a version, None for the very first one."""
        return None if version.parent is None else self.collection.resolve(version.parent)


class _Entries:
    """Log entries, read ahead along the ways up.

    Args:
        collection: The collection.
    """

    def __init__(self, collection: VersionedCollection) -> None:
        self._collection = collection
        self._ways: dict[Any, Iterator[Version]] = {}

    def get(self, one: Any) -> Version:
        """Return an entry; that of a parent is usually read with its child's.

        Raises:
            UsageFailure: It is no longer where it was.
        """
        way = self._ways.pop(one, None) or self._collection.log(one)
        version = next(way, None)
        if version is None or version.id != one:
            raise UsageFailure("versions were removed meanwhile; r reads the history again")
        if version.parent is not None:
            self._ways.setdefault(version.parent, way)
        return version


def _newest_first(
    parents: Mapping[Hashable, Sequence[Any]], entries: _Entries
) -> Iterator[Version]:
    """Iterate over versions in the order of `arrange`, reading each when its turn is near."""
    waiting = dict.fromkeys(parents, 0)
    for ups in parents.values():
        for up in ups:
            if up in waiting:
                waiting[up] += 1
    ready: list[tuple[float, int, int, Version]] = []
    places = {one: place for place, one in enumerate(parents)}

    def add(one: Any) -> None:
        entry = entries.get(one)
        rank = (-entry.timestamp.timestamp(), -entry.number, places[one])
        heapq.heappush(ready, (*rank, entry))

    for one, children in waiting.items():
        if not children:
            add(one)
    while ready:
        version = heapq.heappop(ready)[-1]
        yield version
        for up in version.parents:
            if up in waiting:
                waiting[up] -= 1
                if not waiting[up]:
                    add(up)
