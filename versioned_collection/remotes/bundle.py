"""A remote that is a file: another side's history, as `export` wrote it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import bson
from bson.objectid import ObjectId

from versioned_collection.committing.recreating import lasting_options
from versioned_collection.core.delta import Delta
from versioned_collection.core.document import AWARE_OPTIONS, PLAIN_OPTIONS, document_key
from versioned_collection.core.portions import portions
from versioned_collection.core.tree import Node, Path, VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.writes import BYTES_PER_WRITE, OPERATIONS_PER_WRITE
from versioned_collection.errors import NotSupported
from versioned_collection.remotes.base import Changes, Refs, Setup, Update
from versioned_collection.remotes.checked import UNREADABLE, refused
from versioned_collection.remotes.container import BlockReader
from versioned_collection.shelf import Shelf
from versioned_collection.trackers.base import check_format
from versioned_collection.trackers.delta_form import unpacked
from versioned_collection.trackers.entries import entry_from_bson
from versioned_collection.trackers.purges import Tombstone

T = TypeVar("T")

_MOST_PLACES = 5_000_000
"""Versions of a history, of which all places are held in memory."""


class BundleRemote:
    """The other side as a bundle, which gives versions away and takes none in; see `Remote`.

    Args:
        path: The file.

    Attributes:
        address: The path.
        collection: The name of the collection that was exported.
        since: The versions on which the bundle builds, with the labels that they had.

    Raises:
        UnusableFile: It is missing, truncated, altered, or no bundle.
        FormatMismatch: Another release has written it.
    """

    def __init__(self, path: str) -> None:
        self.address = path
        self._file = BlockReader(path)
        try:
            self._read_header(self._file.header)
        except BaseException:
            self._file.close()
            raise

    def _read_header(self, header: Mapping[str, Any]) -> None:
        self.collection = self._fact(header, "collection", str)
        self._current = self._fact(header, "current", str)
        self._labels = self._fact(header, "labels", ObjectId, type(None))
        self._stored = self._fact(header, "content", ObjectId, type(None))
        self.since: dict[VersionId, str] = {
            self._fact(one, "version", ObjectId): self._fact(one, "label", str)
            for one in self._fact(header, "since", list)
        }

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> BundleRemote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- giving --------------------------------------------------------------------------

    def refs(self) -> Refs:
        """Return where its names point."""
        facts = self._fact
        return Refs(
            {
                facts(one, "name", str): facts(one, "version", ObjectId)
                for one in self._facts_of("branches")
            },
            {facts(one, "name", str): one for one in self._facts_of("tags")},
            {
                facts(one, "version", ObjectId): facts(one, "checksum", str)
                for one in self._facts_of("checksums")
            },
            self._current,
            self._labels,
        )

    def walk(self, versions: Sequence[VersionId], count: int) -> list[Node]:
        """Return the places in the tree of versions, and of about `count` before each."""
        found: dict[VersionId, Node] = {}
        waiting = deque(versions)
        while waiting and len(found) < count + len(versions):
            node = self._tree.nodes.get(waiting.popleft())
            if node is not None and node.id not in found:
                found[node.id] = node
                waiting += node.parents
        return list(found.values())

    def entries(self, versions: Sequence[VersionId]) -> Iterator[list[Version]]:
        """Iterate over the log entries of versions, in bounded lists."""
        wanted = set(versions)
        for raws in self._file.documents("entries", versions):
            entries = [_readable(_entry, raw) for raw in raws]
            yield [entry for entry in entries if entry.id in wanted]

    def changes(self, versions: Sequence[VersionId]) -> Iterator[Changes]:
        """Iterate over the changes of versions, one version after the other, in bounded lists."""
        wanted = set(versions)
        for raws in self._file.documents("changes", versions):
            found = [_readable(self._change, raw) for raw in raws]
            yield [(version, delta) for version, delta in found if version in wanted]

    def _change(self, raw: bytes) -> tuple[VersionId, Delta]:
        version, delta = unpacked(raw, self.address)
        _check_ids(version, ())
        return version, delta

    def content(self, version: VersionId) -> Iterator[list[bytes]]:
        """Iterate over all documents of a version, in bounded lists.

        Of one version the bundle has them; those of another one are made from these, on the
        disk as far as they differ.
        """
        if self._stored is None:
            raise refused(version, "the bundle has no documents, only changes")
        if version == self._stored:
            return self._file.documents("documents")
        return self._made(version, self._path(self._stored, version))

    def _path(self, start: VersionId, end: VersionId) -> Path:
        try:
            return self._tree.path(start, end)
        except UNREADABLE as error:
            raise refused(end, "no way leads to it from the documents in the bundle") from error

    def _made(self, version: VersionId, path: Path) -> Iterator[list[bytes]]:
        with Shelf() as states, Shelf() as steps:
            self._prepare(path, states, steps)
            for raws in self._file.documents("documents"):
                keyed = {_readable(document_key, raw): raw for raw in raws}
                moving = states.known(list(keyed))
                states.put((key, keyed[key]) for key in moving)
                yield [raw for key, raw in keyed.items() if key not in moving]
            try:
                self._go(path, states, steps)
            except UNREADABLE as error:
                raise refused(version, f"its documents cannot be restored ({error})") from error
            yield from portions(states.documents(), len, OPERATIONS_PER_WRITE, BYTES_PER_WRITE)

    def _prepare(self, path: Path, states: Shelf, steps: Shelf) -> None:
        """Put the changes on a path in their order, and make place for what they change."""
        turns = path.steps()
        for raws in self._file.documents("changes", list(turns)):
            found = ((*_readable(self._change, raw), raw) for raw in raws)
            moving = [(turns[one][0], delta.key, raw) for one, delta, raw in found if one in turns]
            states.reserve(key for _, key, _ in moving)
            steps.put((turn.to_bytes(8, "big") + key, raw) for turn, key, raw in moving)

    def _go(self, path: Path, states: Shelf, steps: Shelf) -> None:
        turns = path.steps()
        for raw in steps.documents():
            version, delta = self._change(raw)
            step = ~delta if turns[version][1] else delta
            present = states.get([step.key])[step.key]
            states.put([(step.key, step.apply(present))])

    def setup(self) -> Setup:
        """Return how the collection was created."""
        for one in self._facts_of("setup"):
            options = self._fact(one, "options", dict)
            indexes = self._fact(one, "indexes", list)
            if not all(isinstance(index, Mapping) for index in indexes):
                raise self._file.malformed("its indexes cannot be read")
            return Setup(lasting_options(options), indexes)
        return Setup({}, ())

    def checksums(self, versions: Sequence[VersionId]) -> dict[VersionId, str]:
        """Return the checksums of those of these versions of which the bundle tells them."""
        found = {**self.refs().checksums}
        for entries in self.entries(versions):
            found.update((entry.id, entry.checksum) for entry in entries)
        return {one: found[one] for one in versions if one in found}

    def purges(self) -> list[Tombstone]:
        """Return what was kept of what was purged from the history."""
        found = []
        for raws in self._file.documents("purges"):
            found += [_readable(_tombstone, raw) for raw in raws]
        return found

    def gone(self, known: Collection[ObjectId]) -> Iterator[Mapping[VersionId, str]]:
        """Tell nothing: a file does not have what purges made of checksums."""
        return iter(())

    def replaced(self, checksums: Collection[str]) -> set[str]:
        """Tell nothing: a file does not have what purges made of checksums."""
        return set()

    # -- taking --------------------------------------------------------------------------

    def known(self, versions: Sequence[VersionId]) -> NoReturn:
        """Refuse: a bundle takes nothing in."""
        raise read_only(self.address)

    def inbox(self) -> NoReturn:
        """Refuse: a bundle takes nothing in."""
        raise read_only(self.address)

    def found(self, setup: Setup, tip: Version) -> NoReturn:
        """Refuse: a bundle takes nothing in."""
        raise read_only(self.address)

    def update(self, update: Update) -> NoReturn:
        """Refuse: a bundle takes nothing in."""
        raise read_only(self.address)

    # -- how -----------------------------------------------------------------------------

    @cached_property
    def _tree(self) -> VersionTree:
        """The places of all versions of which the bundle knows."""
        nodes: dict[VersionId, Node] = {}
        for raws in self._file.documents("entries"):
            for raw in raws:
                entry = _readable(_entry, raw)
                nodes[entry.id] = Node(entry.id, entry.parents, entry.number, entry.branch)
            self._check_count(nodes)
        for raws in self._file.documents("places"):
            for node in (_readable(_node, raw) for raw in raws):
                nodes.setdefault(node.id, node)
            self._check_count(nodes)
        return VersionTree(nodes.values())

    def _check_count(self, nodes: Mapping[VersionId, Node]) -> None:
        if len(nodes) > _MOST_PLACES:
            raise self._file.malformed(f"it names more than {_MOST_PLACES:,} versions")

    def _facts_of(self, kind: str) -> Iterator[dict[str, Any]]:
        for raws in self._file.documents(kind):
            for raw in raws:
                try:
                    yield bson.decode(raw, PLAIN_OPTIONS)
                except UNREADABLE as error:
                    raise self._file.malformed(f"its {kind} cannot be read") from error

    def _fact(self, facts: Any, name: str, *kinds: type) -> Any:
        """Return a fact that has to be of one of some types, not of one derived from them."""
        found = facts.get(name) if isinstance(facts, Mapping) else ...
        if type(found) not in kinds:
            raise self._file.malformed(f"its {name!r} cannot be read")
        return found


def read_only(path: str) -> NotSupported:
    """Return the error for a bundle that should take something in."""
    return NotSupported(
        f"{path} is a file, which nothing is pushed to; export() writes a bundle, with since=... "
        "one of what is new",
        remote=path,
    )


def _entry(raw: bytes) -> Version:
    stored = bson.decode(raw, PLAIN_OPTIONS)
    check_format(stored, "a log entry")
    entry = entry_from_bson(stored)
    _check_ids(entry.id, entry.parents)
    return entry


def _tombstone(raw: bytes) -> Tombstone:
    stored = bson.decode(raw, AWARE_OPTIONS)
    check_format(stored, "a tombstone")
    return Tombstone.from_bson(stored)


def _node(raw: bytes) -> Node:
    stored = bson.decode(raw, PLAIN_OPTIONS)
    node = Node(stored["version"], tuple(stored["parents"]), stored["number"], stored["branch"])
    _check_ids(node.id, node.parents)
    return node


def _check_ids(version: Any, parents: Sequence[Any]) -> None:
    if not all(isinstance(one, ObjectId) for one in (version, *parents)):
        raise ValueError("what should be the id of a version is none")


def _readable(read: Callable[[bytes], T], raw: bytes) -> T:
    """Return what is read of a document of the bundle; name its version where that fails."""
    try:
        return read(raw)
    except UNREADABLE as error:
        raise refused(
            _version_in(raw), f"what the bundle holds cannot be read ({error})"
        ) from error


def _version_in(raw: bytes) -> Any:
    """Return the version that a document is about, None where even that cannot be read."""
    try:
        stored = bson.decode(raw, PLAIN_OPTIONS)
        found = stored.get("version", stored.get("_id"))
    except UNREADABLE:
        return None
    return found if isinstance(found, ObjectId) else None
