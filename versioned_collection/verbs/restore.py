"""restore: chosen documents, or fields of them, as they were in a version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from versioned_collection.committing.recreating import ensure_collection
from versioned_collection.core.codec import Codec
from versioned_collection.core.delta import Delta, images
from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.core.merging.paths import PatternLike, patterns
from versioned_collection.core.partial import take_changes
from versioned_collection.core.portions import IDS_PER_READ, portions
from versioned_collection.core.sums import Counts
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import BATCH, BATCH_BYTES
from versioned_collection.driver.wire import by_keys
from versioned_collection.errors import InvalidArgument, InvalidOperation
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.past.plan import Planner
from versioned_collection.past.query import Find
from versioned_collection.past.reading import Reader
from versioned_collection.past.sameness import with_same_ids
from versioned_collection.repository.hold import Hold
from versioned_collection.working.recovery import holding
from versioned_collection.working.replacing import Replacing
from versioned_collection.working.selection import (
    LARGEST_DOCUMENT,
    Chosen,
    Only,
    only_of,
    refusals,
)

Which = Only | Mapping[str, Any] | Iterable[Any]


@dataclass(slots=True)
class Restored(Counts):
    """What `restore` did, or would do.

    Attributes:
        inserted: How many documents came back.
        updated: How many documents changed.
        deleted: How many documents went, as the version does not have them.
        document_ids: Their ids.
        kept: Ids of those that another client changed meanwhile, and that were left so.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    document_ids: list[Any] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def count(self, deltas: Iterable[Delta], codec: Codec) -> None:
        """Count changes of documents, whose ids are shown by the options of the collection."""
        for delta in deltas:
            self.count_op(delta.op)
            self.document_ids.append(codec.value(delta.key))


def restore(
    planner: Planner,
    which: Which,
    revision: RevisionLike = None,
    fields: Iterable[PatternLike] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Bring chosen documents back to what they were in a version.

    Raises:
        WorkingCopyChanged: Another client wrote to one of them meanwhile; nothing was done.
        DocumentRejected: The server refuses one; nothing was done.
        InvalidCollectionVersion: There is no such version.
    """
    repository = planner.repository
    only = _chosen(which, fields, repository.codec)
    version = Resolver(repository, repository.state()).resolve(revision)
    keys = _keys(planner, version, only)
    with holding(repository, "restore") as hold:
        Resolver(repository, hold.state).resolve(version)  # it may have been removed meanwhile
        if not dry_run:
            ensure_collection(hold)
        return _Restoring(hold, version, only, progress).run(keys, dry_run)


def _chosen(which: Which, fields: Iterable[PatternLike] | None, codec: Codec) -> Chosen:
    only = only_of(which, codec)
    if only is None:
        raise InvalidArgument("restore what? Give a list of ids, a filter, or Only(...)")
    if fields is None:
        return only
    if isinstance(which, Only):
        raise InvalidArgument("give the fields to Only(...), or to restore, not to both")
    return only._replace(patterns=patterns(fields, "fields"))


def _keys(planner: Planner, version: VersionId, only: Chosen) -> list[DocumentKey]:
    """Return the ids of the chosen documents; filters choose among those of the version."""
    if only.keys is not None and only.filter is None:
        return sorted(with_same_ids(planner, version, only.keys))
    find = Find(only.filter or bytes((5, 0, 0, 0, 0)), {"_id": 1})
    wanted = None if only.keys is None else with_same_ids(planner, version, only.keys)
    with refusals(only.filter):
        found = map(document_key, Reader(planner, version).find(find))
        return sorted(key for key in found if wanted is None or key in wanted)


class _Restoring:
    def __init__(
        self, hold: Hold, version: VersionId, only: Chosen, progress: Progress | None
    ) -> None:
        self._repository = hold.repository
        self._patterns = only.patterns
        path = self._repository.log.ancestry().path(hold.state.head, version)
        self._way: Path = self._repository.way(path)
        # with only some of its fields, a document may be none that ever was
        mixes = self._patterns is not None
        self._replacing = Replacing(hold, progress, strict=mixes, readmits=mixes)

    def run(self, keys: list[DocumentKey], dry_run: bool) -> Restored:
        restored = Restored()

        def counted() -> Iterator[list[Delta]]:
            for deltas in self._changes(keys):
                restored.count(deltas, self._repository.codec)
                yield deltas

        if dry_run:
            for _ in counted():
                pass
        else:
            kept = self._replacing.run(counted())
            restored.kept = [self._repository.codec.value(key) for key in kept]
        return restored

    # -- what changes --------------------------------------------------------------------

    def _changes(self, keys: list[DocumentKey]) -> Iterator[list[Delta]]:
        """Iterate over the changes from the present documents to the wanted ones."""
        repository = self._repository
        done: set[DocumentKey] = set()  # under ids that are the same to the server
        for some in portions(keys, len, min(IDS_PER_READ, BATCH), BATCH_BYTES):
            for portion, present in by_keys(repository.db, repository.name, some):
                wanted = self._as_they_were(portion)
                wanted.update(self._as_they_were([key for key in present if key not in wanted]))
                places = sorted({*wanted, *present} - done)
                done.update(places)
                found = (self._change(present.get(key), wanted.get(key)) for key in places)
                yield [delta for delta in found if delta is not None]

    def _as_they_were(self, keys: list[DocumentKey]) -> dict[DocumentKey, bytes | None]:
        deltas = self._repository.deltas.along_for(self._way, keys) if keys else {}
        states: dict[DocumentKey, bytes | None] = dict.fromkeys(chain(keys, deltas))
        for _, recorded in self._repository.replica.by_keys(list(states)):
            states.update(recorded)
        for key, steps in deltas.items():
            for delta in steps:
                states[key] = delta.apply(states[key])
        return states

    def _change(self, present: bytes | None, wanted: bytes | None) -> Delta | None:
        if self._patterns is not None:
            wanted = take_changes(present, wanted, self._patterns)
        if wanted is not None and len(wanted) > LARGEST_DOCUMENT:
            raise InvalidOperation(
                "a document with only the chosen fields restored is larger than 16 MB; choose "
                "more or fewer of its fields",
                document_id=self._repository.codec.value(document_key(wanted)),
            )
        return images(present, wanted)
