"""Making overlays: the documents of a version, as far as they differ from HEAD."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain

from pymongo.client_session import ClientSession

from versioned_collection.core.delta import applied
from versioned_collection.core.document import DocumentKey, document_key, exceed
from versioned_collection.core.portions import IDS_PER_READ, portions
from versioned_collection.core.sums import MODULUS, content_of
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId, fingerprint_text
from versioned_collection.documents.moves import BATCH, BATCH_BYTES, is_small, states_along
from versioned_collection.documents.proved import prove
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import CorruptHistory, InvalidCollectionVersion
from versioned_collection.history.spanning import shorten
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Counted, Progress, counted
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.overlays import Overlay, new_slot
from versioned_collection.working.recovery import holding

MOST_TOUCHED = 100_000
MOST_BYTES_TOUCHED = 3 * 1024 * 1024
"""Ids of one overlay (they are part of queries); beyond them it holds the whole version."""

MOST_OVERLAYS = 16
MOST_BYTES = 4 * 1024 * 1024 * 1024
"""What all overlays of a collection take; the one that was read longest ago goes first."""

_MOST_HEADS = 50

States = Iterator[list[tuple[DocumentKey, bytes | None]]]


def prepare(
    repository: Repository,
    version: VersionId,
    *,
    whole: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the overlay of a version, or bring it up to HEAD.

    Args:
        repository: The trackers.
        version: The version.
        whole: Whether it has to hold every document of the version.
        progress: Told how many documents were written.

    Raises:
        InvalidCollectionVersion: The version has been deleted.
        LeaseHeld: Another process is at work.
        PermissionDenied: The user may not write.
    """
    with holding(repository, "at") as hold:
        whole = whole or not repository.has_transactions
        make(hold, version, whole=whole, progress=progress)


def make(hold: Hold, version: VersionId, *, whole: bool, progress: Progress | None = None) -> None:
    """Make the overlay of a version; see `prepare`."""
    repository = hold.repository
    if not repository.log.known(version):
        raise InvalidCollectionVersion(f"there is no version {version} any more")
    repository.overlays.remove_unfinished()
    builder = _Builder(hold, version, counted(progress))
    builder.run(whole)
    _evict(repository, version)
    builder.shorten_way()


def _evict(repository: Repository, kept: VersionId) -> None:
    shown = set(repository.overlays.views().values())
    overlays = [one for one in repository.overlays.all() if one.slot not in shown]
    overlays.sort(key=lambda one: (one.used is not None, one.used))
    count, size = len(overlays), sum(one.bytes for one in overlays)
    for overlay in overlays:
        if count <= MOST_OVERLAYS and size <= MOST_BYTES:
            return
        if overlay.version != kept:
            repository.overlays.remove(overlay.slot)
            count, size = count - 1, size - overlay.bytes


class _Builder:
    def __init__(self, hold: Hold, version: VersionId, report: Counted) -> None:
        self._hold = hold
        self._report = report
        self._repository = hold.repository
        self._tree = hold.repository.log.ancestry()
        self._version = version
        self._head = hold.state.head

    def run(self, whole: bool) -> None:
        overlays = self._repository.overlays
        if whole:
            copy = overlays.of(self._version, whole=True)
            if copy is None:
                self._make(self._every_document(), whole=True)
            else:  # the collection may have other indexes by now
                overlays.index_like(copy.slot, self._repository.name)
            return
        existing = overlays.of(self._version, whole=False)
        if existing is not None and self._head in existing.heads:
            return
        if existing is None or not self._extend(existing):
            self._make_what_differs()
            if existing is not None:
                overlays.remove(existing.slot)

    def shorten_way(self) -> None:
        """Make the spans that were missing."""
        path = self._tree.path(self._head, self._version)
        shorten(self._hold, self._tree, path, self._head)

    # -- anew ----------------------------------------------------------------------------

    def _make_what_differs(self) -> None:
        way = self._way_to(self._version)
        if _are_too_many(self._repository.deltas.keys_of(way)):
            self.run(whole=True)
        else:
            self._make(states_along(self._repository, way), whole=False)

    def _way_to(self, version: VersionId) -> Path:
        return self._repository.way(self._tree.path(self._head, version))

    def _make(self, states: States, *, whole: bool) -> None:
        repository, overlays = self._repository, self._repository.overlays
        slot = new_slot()
        self._hold.begin({"phase": "prepare", "overlay": slot})
        overlays.begin(slot, self._version, whole)
        count = size = total = 0
        with closing(prefetch(states)) as batches:
            for batch in batches:
                raws = [raw for _, raw in batch if raw is not None]
                here = sum(map(len, raws))
                count, size = count + len(raws), size + here
                self._hold.lease.check()
                overlays.put(slot, raws, () if whole else [key for key, _ in batch])
                self._report("written", len(raws), here)
                if whole:
                    total += content_of(raws)
        if whole:
            self._prove(total)
        overlays.index_like(slot, repository.name)
        self._hold.lease.check()
        overlays.finish(
            Overlay(slot, self._version, True, whole, (self._head,), count, size, repository.now())
        )
        self._hold.update({"intent": None})

    def _every_document(self) -> States:
        """Iterate over all documents of the version, a bounded list at a time."""
        repository = self._repository
        way = self._way_to(self._version)
        yield from states_along(repository, way)
        for batch in repository.replica.scan():
            for portion in portions(batch, len, BATCH, BATCH_BYTES):
                same = {document_key(raw): raw for raw in portion}
                for key in repository.deltas.keys_of(way, list(same)):
                    same.pop(key, None)
                yield list(same.items())

    def _prove(self, total: int) -> None:
        expected = entry_of(self._repository, self._version).fingerprint
        if fingerprint_text(total % MODULUS) != expected:
            raise CorruptHistory(
                "history does not lead to the documents of that version; run verify()",
                version=self._version,
            )

    # -- further -------------------------------------------------------------------------

    def _extend(self, overlay: Overlay) -> bool:
        """Let an overlay touch what differs from HEAD as well, if that is little.

        What it touches already is known by its head that is nearest to ours.
        """
        repository = self._repository
        known = [node.id for node in repository.log.nodes(overlay.heads)]
        if not known:
            return False
        nearest = min((self._tree.path(self._head, head) for head in known), key=len)
        touched = set(chain.from_iterable(repository.overlays.touched(overlay.slot)))
        fresh: list[DocumentKey] = []
        way = repository.way(nearest)
        prove(repository, way)
        for key in repository.deltas.keys_of(way):
            if key not in touched:
                fresh.append(key)
            if not is_small(len(fresh), 0):
                return False
        if _are_too_many(chain(touched, fresh)):
            return False
        return self._add(overlay, fresh)

    def _add(self, overlay: Overlay, fresh: list[DocumentKey]) -> bool:
        way = self._way_to(self._version)
        states: dict[DocumentKey, bytes | None] = {}
        size = 0
        for portion in portions(fresh, len, IDS_PER_READ, BATCH_BYTES):
            found = self._repository.deltas.along_for(way, portion)
            deltas = {key: found[key] for key in portion if key in found}
            for some, recorded in self._repository.replica.by_keys(list(deltas)):
                for key in some:
                    raw = applied(deltas[key], recorded.get(key))
                    states[key] = raw
                    size += len(raw or b"")
                if not is_small(len(states), size):
                    return False
        raws = [raw for raw in states.values() if raw is not None]
        grown = replace(
            overlay,
            heads=(*overlay.heads, self._head)[-_MOST_HEADS:],
            documents=overlay.documents + len(raws),
            bytes=overlay.bytes + size,
            used=self._repository.now(),
        )

        def work(session: ClientSession | None) -> None:
            self._repository.overlays.put(overlay.slot, raws, states, session)
            self._repository.overlays.finish(grown, session)
            self._hold.touch(session)

        self._hold.transaction(work)
        return True


def _are_too_many(keys: Iterable[DocumentKey]) -> bool:
    return exceed(keys, MOST_TOUCHED, MOST_BYTES_TOUCHED)
