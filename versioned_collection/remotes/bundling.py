"""Writing a bundle: what a side gives away, in a file.

Each version is proved against its checksum while it is written, so a bundle that has its name
can be cloned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

import bson

from versioned_collection.core.delta import content_size, encoded_rows
from versioned_collection.core.sums import MODULUS, Sums, content_of
from versioned_collection.core.tree import Node
from versioned_collection.core.version import Version, VersionId, fingerprint_text
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import CorruptHistory, SnapshotUnavailable, TransferRefused
from versioned_collection.observing import Progress, counted
from versioned_collection.remotes.base import Refs, Remote
from versioned_collection.remotes.checked import problem_of_changes, refused
from versioned_collection.remotes.container import BlockWriter
from versioned_collection.remotes.transfer import entries_of
from versioned_collection.trackers.delta_form import packed
from versioned_collection.trackers.entries import entry_to_bson

_VERSIONS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a bundle.

    Attributes:
        collection: The name of the collection.
        refs: Where its names point, as far as they go into the bundle.
        versions: The versions, sorted by their ids.
        places: The places of versions that whoever reads the bundle has already.
        since: Versions that whoever reads the bundle has, and their labels; none for a whole
            history.
        content: The version whose documents go into it, None for none.
    """

    collection: str
    refs: Refs
    versions: Sequence[VersionId]
    places: Sequence[Node] = ()
    since: Mapping[VersionId, str] = field(default_factory=dict)
    content: VersionId | None = None


def write_bundle(
    source: Remote, contents: Contents, out: BinaryIO, time: datetime, progress: Progress
) -> tuple[int, int]:
    """Write a bundle.

    Args:
        source: The side that has the versions.
        contents: What goes into it.
        out: Takes the bytes.
        time: When it is written.
        progress: Told how many versions, changes and documents were written.

    Returns:
        How many documents and how many bytes there are.

    Raises:
        CorruptHistory: A version is not what its checksum says.
        SnapshotUnavailable: The documents were on the move; try again.
    """
    writer = BlockWriter(out, _header(contents, time))
    bundling = _Bundling(source, contents, writer, progress)
    bundling.names()
    try:
        bundling.versions()
    except TransferRefused as error:
        version, reason = error.facts["version"], error.facts["reason"]
        raise CorruptHistory(
            f"version {version} cannot be exported: {reason}; verify() lists what is wrong",
            version=version,
            reason=reason,
        ) from error
    count = bundling.documents()
    writer.finish()
    return count, writer.size


def _header(contents: Contents, time: datetime) -> dict[str, Any]:
    return {
        "collection": contents.collection,
        "written": time,
        "current": contents.refs.current,
        "labels": contents.refs.labels,
        "content": contents.content,
        "since": [{"version": one, "label": label} for one, label in contents.since.items()],
    }


class _Bundling:
    def __init__(
        self, source: Remote, contents: Contents, writer: BlockWriter, progress: Progress
    ) -> None:
        self._source = source
        self._contents = contents
        self._writer = writer
        self._progress = counted(progress)

    # -- names and places ----------------------------------------------------------------

    def names(self) -> None:
        """Write where names point, how the collection was created, and earlier versions."""
        refs = self._contents.refs
        for name, tip in refs.branches.items():
            self._add("branches", {"name": name, "version": tip})
        for name, tag in refs.tags.items():
            facts = {fact: tag.get(fact) for fact in ("version", "message", "timestamp")}
            self._add("tags", {"name": name, **facts})
        for version, checksum in refs.checksums.items():
            self._add("checksums", {"version": version, "checksum": checksum})
        setup = self._source.setup()
        self._add("setup", {"options": setup.options, "indexes": list(setup.indexes)})
        for tombstone in self._source.purges():
            self._add("purges", tombstone.to_bson())
        for node in self._contents.places:
            self._add("places", _place(node))

    def _add(self, kind: str, facts: Mapping[str, Any], version: VersionId | None = None) -> None:
        self._writer.add(kind, bson.encode(facts), version)

    # -- versions ------------------------------------------------------------------------

    def versions(self) -> None:
        """Write log entries and changes.

        Raises:
            TransferRefused: A version is not what its checksum says.
        """
        versions = self._contents.versions
        for start in range(0, len(versions), _VERSIONS_AT_ONCE):
            some = versions[start : start + _VERSIONS_AT_ONCE]
            entries = entries_of(self._source, some)
            parents = {one for entry in entries.values() for one in entry.parents}
            known = {**entries, **entries_of(self._source, sorted(parents - entries.keys()))}
            for version in some:
                self._add("entries", entry_to_bson(entries[version]), version)
            self._changes(some, known)
            self._progress("versions", len(some))

    def _changes(self, versions: Sequence[VersionId], known: Mapping[VersionId, Version]) -> None:
        sums = {version: Sums() for version in versions}
        for batch in self._source.changes(versions):
            size = 0
            for version, delta in batch:
                rows = encoded_rows(delta)
                sums[version].add(delta, rows)
                self._writer.add("changes", packed(version, delta, rows), version)
                size += content_size(delta, rows)
            self._progress("changes", len(batch), size)
        for version, found in sums.items():
            entry = known[version]
            problem = problem_of_changes(entry, [known[one] for one in entry.parents], found)
            if problem is not None:
                raise refused(version, problem)

    # -- documents -----------------------------------------------------------------------

    def documents(self) -> int:
        """Write the documents of one version, if any; return how many there are.

        Raises:
            SnapshotUnavailable: They were on the move.
        """
        version = self._contents.content
        if version is None:
            return 0
        entry = entries_of(self._source, [version])[version]
        count = 0
        for batch in proved_content(self._source, entry):
            for raw in batch:
                self._writer.add("documents", raw)
            count += len(batch)
            self._progress("documents", len(batch), sum(map(len, batch)))
        return count


def proved_content(source: Remote, entry: Version) -> Iterator[list[bytes]]:
    """Iterate over all documents of a version, and make sure in the end that they are those.

    Args:
        source: The side that has them.
        entry: The log entry of the version.

    Raises:
        SnapshotUnavailable: They are others, as another verb moved them meanwhile.
    """
    content = 0
    with closing(prefetch(source.content(entry.id))) as batches:
        for batch in batches:
            content += content_of(batch)
            yield batch
    if fingerprint_text(content % MODULUS) != entry.fingerprint:
        raise SnapshotUnavailable(
            f"the documents of {entry.label} moved while they were read, so they were not "
            "exported; try again once other verbs are over (verify() tells if it stays so)",
            version=entry.id,
        )


def _place(node: Node) -> dict[str, Any]:
    return {
        "version": node.id,
        "parents": list(node.parents),
        "number": node.number,
        "branch": node.branch,
    }
