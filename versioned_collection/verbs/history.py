"""history and blame: one document through the versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, cast

import bson
from bson.codec_options import CodecOptions

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.delta import Operation
from versioned_collection.core.document import DocumentId, DocumentKey
from versioned_collection.core.leaves import Place, leaves
from versioned_collection.core.portions import at_most, portions
from versioned_collection.core.tree import missing_version
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.writes import BYTES_PER_WRITE
from versioned_collection.errors import InvalidArgument
from versioned_collection.history.facts import check_limit
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import iterated, verb
from versioned_collection.past.plan import Planner
from versioned_collection.past.trail import Step, Trail, only, trail_of
from versioned_collection.repository.repository import Repository

_AT_ONCE = 50
"""Log entries that are read at once."""


@dataclass(frozen=True, slots=True)
class DocumentVersion(Generic[DocumentType]):
    """A document as a version left it.

    Attributes:
        version: The version, which changed the document.
        op: ``insert``, ``update`` or ``delete``.
        raw: The document as BSON bytes, None where the version deleted it.
        options: How it is decoded.
    """

    version: Version
    op: Operation
    raw: bytes | None
    options: CodecOptions[Any]

    @property
    def document(self) -> DocumentType | None:
        """The document, None where the version deleted it."""
        if self.raw is None:
            return None
        return cast(DocumentType, bson.decode(self.raw, self.options))


@dataclass(frozen=True, slots=True)
class BlamedField:
    """A place of a document, and the version that gave it the value it has.

    Attributes:
        path: Names of fields and indexes in lists, from the top.
        value: The value.
        version: The version, with ``author`` and ``timestamp``.
    """

    path: Place
    value: Any
    version: Version

    @property
    def field(self) -> str:
        """The path as MongoDB writes it, such as ``address.city`` or ``tags.0``."""
        return ".".join(map(str, self.path))


@iterated("history")
def history(
    planner: Planner,
    document_id: Any,
    revision: RevisionLike = None,
    limit: int | None = None,
) -> Iterator[DocumentVersion[Any]]:
    """Iterate over the versions that changed a document, newest first.

    Args:
        planner: Knows what serves versions; its repository counts.
        document_id: Its ``_id``, or a `DocumentId` for that very one.
        revision: Where to start, HEAD by default.
        limit: At most so many.
    """
    check_limit(limit)
    repository = planner.repository
    start = Resolver(repository, repository.state()).resolve(revision)
    key = repository.codec.key(document_id)
    trail = trail_of(planner, key, isinstance(document_id, DocumentId), start, "history")
    return _described(repository, at_most(trail.steps(start), limit))


def _described(repository: Repository, steps: Iterable[Step]) -> Iterator[DocumentVersion[Any]]:
    options = repository.codec.options
    for some in portions(steps, _weight, _AT_ONCE, BYTES_PER_WRITE):
        found = repository.log.get_many(step.version for step in some)
        entries = {entry.id: entry for entry in found}
        for step in some:
            if step.version not in entries:
                raise missing_version(step.version)
            yield DocumentVersion(entries[step.version], _op(step), step.after, options)


def _op(step: Step) -> Operation:
    if step.before is None:
        return "insert"
    return "delete" if step.after is None else "update"


def _weight(step: Step) -> int:
    return len(step.after or b"")


@verb("blame")
def blame(
    planner: Planner,
    document_id: Any,
    revision: RevisionLike = None,
) -> list[BlamedField]:
    """Return who gave each field of a document its value, in the order of the fields.

    Raises:
        InvalidArgument: The version has no such document.
    """
    repository = planner.repository
    start = Resolver(repository, repository.state()).resolve(revision)
    key = repository.codec.key(document_id)
    trail = trail_of(planner, key, isinstance(document_id, DocumentId), start, "blame")
    raw = only(trail.state(start))
    if raw is None:
        raise InvalidArgument(
            f"version {entry_of(repository, start).label} has no document with _id "
            f"{document_id!r}; history() tells which versions do",
            document_id=document_id,
            version=start,
        )
    values = leaves(raw)
    setters = _Blame(trail, values).of(start)
    entries = {entry.id: entry for entry in repository.log.get_many(set(setters.values()))}
    for setter in setters.values():
        if setter not in entries:
            raise missing_version(setter)
    return [
        BlamedField(place, repository.codec.value(value), entries[setters[place, turn]])
        for (place, turn), value in values.items()
    ]


class _Blame:
    """Looks for the versions that set values.

    Args:
        trail: The document.
        values: The values, by place.
    """

    def __init__(self, trail: Trail, values: dict[tuple[Place, int], DocumentKey]) -> None:
        self._trail = trail
        self._values = values
        self._setters: dict[tuple[Place, int], VersionId] = {}

    def of(self, start: VersionId) -> dict[tuple[Place, int], VersionId]:
        """Return the setter of each value; what a merge brought in was set on its other side."""
        waiting = [(start, set(self._values))]
        while waiting:
            version, places = waiting.pop()
            waiting += self._along(version, places)
        return self._setters

    def _along(
        self, version: VersionId, places: set[tuple[Place, int]]
    ) -> Iterator[tuple[VersionId, set[tuple[Place, int]]]]:
        """Blame versions along first parents; yield what to look for elsewhere."""
        for step in self._trail.steps(version):
            if not places:
                return
            kept = self._same(places, step.before)
            changed = places - kept
            for parent in self._trail.merged_into(step.version) if changed else ():
                if changed:
                    there = self._same(changed, only(self._trail.state(parent)))
                    changed -= there
                    if there:
                        yield parent, there
            self._setters.update(dict.fromkeys(changed, step.version))
            places = kept

    def _same(self, places: set[tuple[Place, int]], raw: bytes | None) -> set[tuple[Place, int]]:
        found = {} if raw is None else leaves(raw)
        return {place for place in places if found.get(place) == self._values[place]}
