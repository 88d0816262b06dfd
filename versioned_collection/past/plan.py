"""What serves the documents of a version: parts of collections that hold each of them once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from bson.timestamp import Timestamp

from versioned_collection.core.document import (
    OBJECT,
    STRING,
    DocumentKey,
    build,
    raw_array,
    raw_id_in,
    twin_token,
)
from versioned_collection.core.version import VersionId
from versioned_collection.errors import NotSupported, PermissionDenied, SnapshotUnavailable
from versioned_collection.past.building import prepare
from versioned_collection.past.indexes import text_index
from versioned_collection.past.moment import Moment, look
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import identities
from versioned_collection.trackers.overlays import Overlay

_ATTEMPTS = 5
_MOST_PLANS = 8
_NOTHING: frozenset[DocumentKey] = frozenset()
_TEXTS = (STRING, 0x0E, OBJECT)


class Source:
    """The documents of a collection, as far as a version has them from there.

    Args:
        name: The collection.
        only: Ids of the documents that count, None for all.
        without: Ids of documents that do not count.
    """

    def __init__(
        self,
        name: str,
        only: frozenset[DocumentKey] | None = None,
        without: frozenset[DocumentKey] = _NOTHING,
    ) -> None:
        self.name = name
        self.only = only
        self.without = without

    def __contains__(self, key: DocumentKey) -> bool:
        """Tell whether a document of the collection, with this id, counts.

        Ids are the same here that are it in queries: an update may make ``1.0`` of ``1`` where
        the document stands, and is noticed under the one that was there before.
        """
        token = twin_token(key)
        return token not in self._left_out and (self.only is None or token in self._kept)

    @cached_property
    def _left_out(self) -> frozenset[Any]:
        return frozenset(map(twin_token, self.without))

    @cached_property
    def _kept(self) -> frozenset[Any]:
        return frozenset(map(twin_token, self.only or ()))

    @cached_property
    def wanted(self) -> bytes | None:
        """The filter that finds `only`, None where it is not needed."""
        return None if self.only is None else raw_id_in(sorted(self.only))

    @cached_property
    def unwanted(self) -> bytes | None:
        """The filter that leaves out `without`, None where it is not needed."""
        if not self.without:
            return None
        return build(b"\x03_id\0" + build(b"\x04$nin\0" + raw_array(sorted(self.without))))


@dataclass(frozen=True)
class Plan:
    """What to read for a version.

    Attributes:
        at: The cluster time whose state is read; None where nothing that is read ever changes.
        sources: Parts of collections; each document of the version is in one of them.
        identities: The UUIDs of these collections, and of that which each purge replaces; None
            where there is none.
        tracked: The name of the tracked collection, which may be one of them.
        collation: Its collation, None for the simple one.
        moment: The moment of `at`.
    """

    at: Timestamp | None
    sources: Sequence[Source]
    identities: Mapping[str, Any]
    tracked: str
    collation: Mapping[str, Any] | None
    moment: Moment | None = None

    @property
    def is_current(self) -> bool:
        """Whether the plan can still be used."""
        return self.moment is None or self.moment.is_fresh

    @property
    def names_texts(self) -> bool:
        """Whether a query names ids that mean more than one under some collation."""
        keys = chain.from_iterable(
            (*source.without, *(source.only or ())) for source in self.sources
        )
        return any(key[0] in _TEXTS for key in keys)

    def still_holds(self, repository: Repository) -> bool:
        """Tell whether the collections are still those that were meant.

        The server finds nothing in one that was dropped, whatever it held at the time; and what
        was purged since, it still finds.
        """
        found = identities(repository.db, list(self.identities))
        return all(found.get(name) == known for name, known in self.identities.items())


class _Known:
    """What was found; it is forgotten as a whole, with what is still being found for it."""

    def __init__(self) -> None:
        self.moment: Moment | None = None
        self._plans: dict[tuple[VersionId, bool], Plan] = {}

    def plan(self, version: VersionId, whole: bool) -> Plan | None:
        """Return what serves a version, None where it is not known any more."""
        kept = self._plans.get((version, whole))
        return kept if kept is not None and kept.is_current else None

    def keep(self, version: VersionId, whole: bool, plan: Plan) -> None:
        """Keep what serves a version, and for that not too much else."""
        self.drop(version, whole)
        self._plans[version, whole] = plan
        while len(self._plans) > _MOST_PLANS:
            del self._plans[next(iter(self._plans))]

    def drop(self, version: VersionId, whole: bool) -> None:
        """Forget what serves one version."""
        self._plans.pop((version, whole), None)


class Planner:
    """Finds, or makes, what serves a version; keeps it while it can be used.

    Threads find and make one after the other. What is known they look up meanwhile, as a copy
    of a large version takes its time.

    Args:
        repository: The trackers.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._known = _Known()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Find everything anew, as what was found before does not hold any more."""
        self._known = _Known()

    def plan(self, version: VersionId, *, whole: bool = False) -> Plan:
        """Return what serves a version.

        Args:
            version: The version.
            whole: Whether one collection has to hold all of it.

        Raises:
            CollectionNotTracked: There is no history any more.
            InvalidCollectionVersion: The version has been deleted.
            LeaseHeld: Something has to be made, and another process is at work.
            PermissionDenied: Something has to be made, and the user may not write.
            SnapshotUnavailable: Others check versions out all the time.
        """
        known = self._known
        kept = known.plan(version, whole)
        if kept is not None:
            return kept
        with self._lock:
            found = known.plan(version, whole) or self._found_or_made(known, version, whole)
            known.keep(version, whole, found)
            return found

    def _found_or_made(self, known: _Known, version: VersionId, whole: bool) -> Plan:
        for _ in range(_ATTEMPTS):
            found = self._find(known, version, whole)
            if found is not None:
                return found
            self._make(known, version, whole)
        raise SnapshotUnavailable("HEAD moves all the time; try again once other verbs are over")

    def _make(self, known: _Known, version: VersionId, whole: bool) -> None:
        try:
            prepare(self.repository, version, whole=whole)
        except PermissionDenied as error:
            reason = (
                "this query needs a copy of the whole version, with indexes as they are now, which"
                if whole
                else "this version differs from HEAD, and what differs"
            )
            raise PermissionDenied(
                f"{reason} has to be stored beside the collection before it can be read. Grant "
                "the role readWrite, or have a user who has it read this version first, as here",
                action=error.facts.get("action"),
                namespace=error.facts.get("namespace"),
            ) from error
        known.moment = None  # what was made is not there at an earlier time

    def searchable(self, version: VersionId, plan: Plan) -> Plan:
        """Return a plan for a text search: where needed, of a copy with the index for it.

        Args:
            version: The version.
            plan: What serves it otherwise.

        Raises:
            NotSupported: The documents of the version cannot have that index.
            PermissionDenied: The copy or its index has to be made, and the user may not write.
        """
        if self._can_search(plan):
            return plan
        known = self._known
        with self._lock:
            copy = self._of_whole(version)
            if copy is None or not self._can_search(copy):
                self._make(known, version, whole=True)
            known.drop(version, whole=True)  # of a copy that may be gone
        found = self.plan(version, whole=True)
        if not self._can_search(found):
            raise NotSupported(
                "documents of this version cannot have the text index of the collection: it was "
                "created after a document that the server does not index. Look for them with "
                "$regex, or check the version out",
                version=version,
            )
        return found

    def _can_search(self, plan: Plan) -> bool:
        """Tell whether all sources have the text index of the collection, if that has one."""
        repository = self.repository
        wanted = text_index(repository.db, repository.name)
        return wanted is None or all(
            text_index(repository.db, source.name) == wanted for source in plan.sources
        )

    def _find(self, known: _Known, version: VersionId, whole: bool) -> Plan | None:
        found = self._of_whole(version)
        if found is not None or whole or not self.repository.has_transactions:
            return found
        if known.moment is not None and known.moment.is_fresh:
            with suppress(SnapshotUnavailable):  # collections may be younger than the moment
                found = self._of_parts(version, known.moment)
        if found is None:
            known.moment = look(self.repository)
            found = self._of_parts(version, known.moment)
        return found

    def _of_whole(self, version: VersionId) -> Plan | None:
        overlay = self.repository.overlays.of(version, whole=True)
        if overlay is None:
            return None
        identity = self._used(overlay)
        sources = [Source(name) for name in identity]
        if not sources:
            return None
        return Plan(None, sources, identity, self.repository.name, self._collation())

    def _of_parts(self, version: VersionId, moment: Moment) -> Plan | None:
        repository = self.repository
        touched: frozenset[DocumentKey] = _NOTHING
        found = dict(moment.identities)
        of_overlay: list[Source] = []
        if version != moment.head:
            overlay = repository.overlays.of(version, whole=False, at=moment.at)
            if overlay is None or moment.head not in overlay.heads:
                return None
            ids = repository.overlays.touched(overlay.slot, moment.at)
            touched = frozenset(chain.from_iterable(ids))
            identity = self._used(overlay)
            if not identity:
                return None
            found.update(identity)
            of_overlay = [Source(name) for name in identity]
        replica = repository.replica.name
        modified = moment.modified
        if modified is None:
            parts = [Source(replica, without=touched)]
        else:
            parts = [Source(repository.name, without=touched | modified)]
            if modified - touched:
                parts.append(Source(replica, modified - touched, touched))
        read = {source.name for source in (*parts, *of_overlay)}
        found = {name: identity for name, identity in found.items() if name in read}
        purges = repository.purges.name
        found[purges] = moment.identities.get(purges)
        sources = [*parts, *of_overlay]
        return Plan(moment.at, sources, found, repository.name, self._collation(), moment)

    def _used(self, overlay: Overlay) -> dict[str, Any]:
        """Note that an overlay is read; return its collection's UUID by name, if it is there."""
        overlays = self.repository.overlays
        with suppress(PermissionDenied):  # it may go earlier than others, then
            overlays.note_use(overlay.slot, self.repository.now())
        return identities(self.repository.db, [overlays.collection_of(overlay.slot)])

    def _collation(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.repository.state().options.get("collation")
        return found
