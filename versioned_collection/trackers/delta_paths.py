"""Deltas on paths through the versions, some stretches of which spans may stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bson.raw_bson import RawBSONDocument

from versioned_collection.core.delta import Delta, hash_number
from versioned_collection.core.document import RAW_OPTIONS, DocumentKey, raw_id_in
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import batches
from versioned_collection.trackers.delta_form import is_chunked, stored_size
from versioned_collection.trackers.delta_store import BY_DOCUMENT, LONGEST_LIST, DeltaStore
from versioned_collection.trackers.layout import key_in, version_in

_HASHES_PER_READ = 20_000


class DeltasOnPaths(DeltaStore):
    """Deltas of versions, found by the paths on which these are.

    Attributes:
        beside: Where the deltas of spans on a path are.
    """

    beside: DeltaStore

    def __init__(self, db: Any, name: str) -> None:
        super().__init__(db, name)
        self.beside = self

    def keys_of(
        self, path: Path, among: Sequence[DocumentKey] | None = None
    ) -> Iterator[DocumentKey]:
        """Iterate over the documents that change on a path, in the order of their ids.

        Args:
            path: The path.
            among: Only these documents, and those whose ids the server takes for the same.
        """
        stored = self._stored_on([path], among, {"_id": 0, "document_id": 1})
        for key, _ in groupby(map(key_in, stored)):  # in several versions it is a run
            yield key

    def tally(self, path: Path) -> tuple[int, int]:
        """Return how many deltas there are on a path, and of how many documents."""
        stages: list[Mapping[str, Any]] = [
            *self._found_on([path], {}),
            {"$group": {"_id": "$key", "deltas": {"$sum": 1}}},
            {"$group": {"_id": None, "deltas": {"$sum": "$deltas"}, "documents": {"$sum": 1}}},
        ]
        with translated():
            found = list(self.collection.aggregate(stages, allowDiskUse=True))
        return (found[0]["deltas"], found[0]["documents"]) if found else (0, 0)

    def moved(self, path: Path) -> int:
        """Return what the changes on a path add to the fingerprint of the documents.

        Of the deltas only the hashes are read.
        """
        steps = path.steps()
        fields = {"_id": 0, "version": 1, "before": 1, "after": 1}
        stages = [*self._found_on([path], {}), {"$project": fields}]
        total = 0
        with translated():
            for stored in self.collection.aggregate(stages, batchSize=_HASHES_PER_READ):
                _, is_undone = steps[stored["version"]]
                one = hash_number(stored.get("after")) - hash_number(stored.get("before"))
                total += -one if is_undone else one
        return total

    def along(self, path: Path) -> Iterator[tuple[DocumentKey, list[Delta]]]:
        """Iterate over the documents that change on a path.

        Yields:
            A document's key, and its deltas in the order and direction of the path.
        """
        yield from self._grouped(path, None)

    def along_all(
        self, paths: Sequence[Path], keys: Sequence[DocumentKey] | None = None
    ) -> Iterator[tuple[DocumentKey, list[list[Delta]]]]:
        """Iterate over the documents that change on any of some paths.

        Args:
            paths: The paths.
            keys: Only these documents, and those whose ids the server takes for the same.

        Yields:
            A document's key, and for each path its deltas in the order and direction of it.
        """
        steps = [path.steps() for path in paths]
        for key, group in groupby(self._found(paths, keys), key=lambda pair: pair[1].key):
            found = list(group)
            yield key, [in_turn(found, each) for each in steps]

    def along_for(self, path: Path, keys: Sequence[DocumentKey]) -> dict[DocumentKey, list[Delta]]:
        """Return what `along` yields for some documents only."""
        return dict(self._grouped(path, keys))

    def _grouped(
        self, path: Path, keys: Sequence[DocumentKey] | None
    ) -> Iterator[tuple[DocumentKey, list[Delta]]]:
        steps = path.steps()
        if not steps:
            return
        for key, group in groupby(self._found([path], keys), key=lambda pair: pair[1].key):
            yield key, in_turn(group, steps)

    def sized(self, path: Path) -> Iterator[tuple[DocumentKey, list[Delta], int]]:
        """Iterate like `along`; each time with the size of what is stored as well."""
        steps = path.steps()
        for key, group in groupby(self._stored_on([path]), key=key_in):
            raws = list(group)
            found = [self._decode_of(raw, path.spans) for raw in raws]
            size = sum(map(stored_size, raws, (delta for _, delta in found)))
            yield key, in_turn(found, steps), size

    def changed_by_them(
        self, ours: Path, theirs: Path
    ) -> Iterator[tuple[DocumentKey, list[Delta], list[Delta]]]:
        """Iterate over the documents that differ between the ends of their path.

        What changes on our path alone is passed over undecoded.

        Yields:
            A document's key, its deltas on our path and those on theirs, each in the order
            and direction of the path.
        """
        our_steps, their_steps = ours.steps(), theirs.steps()
        spans = _spans_of((ours, theirs))
        if not their_steps:
            return
        for _, group in groupby(self._stored_on([ours, theirs]), key=key_in):
            raws = list(group)
            if any(version_in(raw) in their_steps for raw in raws):
                deltas = [self._decode_of(raw, spans) for raw in raws]
                there = in_turn(deltas, their_steps)
                if there[0].before != there[-1].after:
                    yield there[0].key, in_turn(deltas, our_steps), there

    # -- reading what lies there ---------------------------------------------------------

    def _found(
        self, paths: Sequence[Path], keys: Sequence[DocumentKey] | None
    ) -> Iterator[tuple[VersionId, Delta]]:
        spans = _spans_of(paths)
        return (self._decode_of(raw, spans) for raw in self._stored_on(paths, keys))

    def _decode_of(self, raw: bytes, spans: frozenset[VersionId]) -> tuple[VersionId, Delta]:
        if spans and is_chunked(raw) and version_in(raw) in spans:
            return self.beside.form.decode(raw)
        return self.form.decode(raw)

    def _stored_on(
        self,
        paths: Sequence[Path],
        keys: Sequence[DocumentKey] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Iterator[bytes]:
        """Iterate over the stored deltas on some paths, in the order of their documents' ids."""
        filter_: dict[str, Any] = {}
        if keys is not None:
            filter_["document_id"] = RawBSONDocument(raw_id_in(keys), RAW_OPTIONS)["_id"]
        if not _spans_of(paths):
            filter_["version"] = {"$in": _versions_of(paths)}
            yield from self._stored(filter_, fields)
            return
        stages = [*self._found_on(paths, filter_), {"$sort": BY_DOCUMENT}]
        command = {
            "aggregate": self.name,
            "pipeline": [*stages, {"$project": fields}] if fields else stages,
            "cursor": {"batchSize": LONGEST_LIST},
            "allowDiskUse": True,
        }
        for batch in batches(self.db, command):
            yield from batch

    def _found_on(
        self, paths: Sequence[Path], filter_: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        """Return the stages of a pipeline that find the deltas on some paths."""
        spans = _spans_of(paths)
        versions = [one for one in _versions_of(paths) if one not in spans]
        stages: list[Mapping[str, Any]] = [{"$match": {"version": {"$in": versions}, **filter_}}]
        if spans:
            beside = [{"$match": {"version": {"$in": list(spans)}, **filter_}}]
            stages.append({"$unionWith": {"coll": self.beside.name, "pipeline": beside}})
        return stages


def _spans_of(paths: Iterable[Path]) -> frozenset[VersionId]:
    return frozenset().union(*(path.spans for path in paths))


def _versions_of(paths: Iterable[Path]) -> list[VersionId]:
    """Return the versions and spans on some paths, each once."""
    return list({one: None for path in paths for one in (*path.backward, *path.forward)})


def in_turn(
    found: Iterable[tuple[VersionId, Delta]], steps: Mapping[VersionId, tuple[int, bool]]
) -> list[Delta]:
    """Return the deltas of one document that lie on a path, in its order and direction."""
    turns = sorted(
        (*steps[version], delta.before or b"", delta)
        for version, delta in found
        if version in steps
    )
    return [~delta if undone else delta for _, undone, _, delta in turns]
