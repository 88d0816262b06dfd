"""Conflicts of a merge that waits for decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import bson
from bson.objectid import ObjectId
from pymongo import UpdateOne
from pymongo.database import Database

from versioned_collection.core.document import DocumentKey, build, element
from versioned_collection.core.merging import Conflict, TakenOut
from versioned_collection.core.portions import portions
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.writes import BYTES_PER_WRITE, OPERATIONS_PER_WRITE, insert_all
from versioned_collection.trackers.base import FORMAT, Session, Tracker
from versioned_collection.trackers.chunks import Chunks

_SIDES = ("base", "ours", "theirs")
_LARGEST_INLINE = 4 * 1024 * 1024
PAGE = 5_000
PAGE_BYTES = 16 * 1024 * 1024
"""How many conflicts are read, and settled, at once; those of one document may be more."""


class StoredConflict(NamedTuple):
    """A conflict and the id under which it is stored."""

    id: ObjectId
    conflict: Conflict


class ConflictsCollection(Tracker):
    """The tracker ``__conflicts_<name>``: one document per conflict.

    Conflicts carry the id of their merge. What the metadata does not name as the merge
    under way is left over from one that came to nothing.
    """

    prefix = "conflicts"
    at_first_use = True

    def __init__(self, db: Database[Any], name: str) -> None:
        super().__init__(db, name)
        self._chunks = Chunks(db, self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the collection and of those that hold chunks."""
        return (self.name, *self._chunks.names)

    def add_missing(
        self, merge: ObjectId, conflicts: Iterable[Conflict], session: Session = None
    ) -> None:
        """Store conflicts of whole documents before all others, except where there is one.

        What is decided for other places of such a document then comes after what is decided
        for all of it, and stays.
        """
        for conflict in conflicts:
            place = {name: conflict.to_bson()[name] for name in ("key", "path")}
            with translated():
                found = self.collection.find_one({"merge": merge, **place}, session=session)
            if found is None:
                self.create_once(session)
                first = ObjectId(bytes(4) + ObjectId().binary[4:])
                insert_all(self.db, self.name, [self._encoded(merge, conflict, first)], session)

    def add(self, merge: ObjectId, conflicts: Iterable[Conflict], session: Session = None) -> None:
        """Store conflicts of a merge, in their order."""
        raws = (self._encoded(merge, conflict) for conflict in conflicts)
        for portion in portions(raws, len, OPERATIONS_PER_WRITE, BYTES_PER_WRITE):
            self.create_once(session)
            insert_all(self.db, self.name, portion, session)

    def _encoded(
        self, merge: ObjectId, conflict: Conflict, place: ObjectId | None = None
    ) -> bytes:
        """Return a conflict as it is stored, with the id that says where it stands."""
        stored = {
            "_id": place or ObjectId(),
            "format": FORMAT,
            "merge": merge,
            **conflict.to_bson(),
        }
        large = {s: stored.pop(s) for s in _SIDES if len(stored.get(s, b"")) > _LARGEST_INLINE}
        if large:
            stored["chunks"] = self._chunks.put(merge, large)
        # the id as it is, for people who look
        return build(bson.encode(stored)[4:-1], element(b"document_id", conflict.key))

    def of_merge(
        self, merge: ObjectId, span: tuple[ObjectId, ObjectId] | None = None
    ) -> Iterator[list[StoredConflict]]:
        """Iterate over the conflicts of a merge in their order, a bounded list at a time.

        Those of one document follow one another, in one list; those of documents that another
        client changed during the merge come first. Conflicts may be removed meanwhile.

        Args:
            merge: The merge.
            span: The first and the last of those wanted, None for all.
        """
        ids = {} if span is None else {"$gte": span[0], "$lte": span[1]}
        page: list[StoredConflict] = []
        is_last = False
        while not is_last:
            found, is_last = self._page({"merge": merge, **({"_id": ids} if ids else {})})
            page += found
            # where it is not the last page, more of its last document may follow
            whole = len(page) if is_last else _start_of_last(page)
            if whole:
                yield page[:whole]
            page = page[whole:]
            if found:
                ids["$gt"] = found[-1].id

    def one(self, merge: ObjectId, conflict: ObjectId) -> StoredConflict | None:
        """Return a conflict of a merge, None where it does not wait."""
        found, _ = self._page({"merge": merge, "_id": conflict})
        return found[0] if found else None

    def _page(self, filter_: Mapping[str, Any]) -> tuple[list[StoredConflict], bool]:
        """Return the first conflicts that a filter finds, and whether they are all of them."""
        page: list[StoredConflict] = []
        size = 0
        # the id is there for people who look, and may be one that cannot be decoded
        found = self.collection.find(filter_, {"document_id": 0}).sort("_id", 1).limit(PAGE)
        with translated(), found:
            for stored in found:
                page += self.said([stored], self._decoded)
                size += sum(len(getattr(page[-1].conflict, side) or b"") for side in _SIDES)
                if size > PAGE_BYTES:
                    return page, False
        return page, len(page) < PAGE

    def _decoded(self, stored: dict[str, Any]) -> StoredConflict:
        for side, file in stored.get("chunks", {}).items():
            stored[side] = self._chunks.get(file)
        return StoredConflict(stored["_id"], Conflict.from_bson(stored))

    def has_any(self, merge: ObjectId, but: Sequence[ObjectId] = ()) -> bool:
        """Tell whether a conflict of a merge waits, some apart."""
        filter_: dict[str, Any] = {"merge": merge}
        if but:
            filter_["_id"] = {"$nin": list(but)}
        with translated():
            return self.collection.find_one(filter_, {"_id": 1}) is not None

    def of_documents(
        self,
        conflicts: Sequence[ObjectId],
        keys: Iterable[DocumentKey],
        session: Session = None,
    ) -> set[ObjectId]:
        """Return which of some conflicts are those of some documents."""
        filter_ = {"_id": {"$in": list(conflicts)}, "key": {"$in": list(keys)}}
        with translated():
            found = self.collection.find(filter_, {"_id": 1}, session=session)
            return {one["_id"] for one in found}

    def waiting_of(
        self, merge: ObjectId, keys: Sequence[DocumentKey], but: Sequence[ObjectId]
    ) -> set[DocumentKey]:
        """Return for which of some documents a conflict of a merge waits, some apart."""
        filter_ = {"merge": merge, "key": {"$in": list(keys)}, "_id": {"$nin": list(but)}}
        with translated():
            return {bytes(one["key"]) for one in self.collection.find(filter_, {"key": 1})}

    def count(self, merge: ObjectId) -> int:
        """Return how many conflicts of a merge wait."""
        with translated():
            return self.collection.count_documents({"merge": merge})

    def move_up(
        self,
        taken_out: Sequence[ObjectId],
        settled: Sequence[ObjectId],
        session: Session = None,
    ) -> None:
        """Have conflicts name their places as they are once elements have left their lists.

        This can be repeated, also when some of `settled` have been removed since.

        Args:
            taken_out: The conflicts by which the elements leave, each for the first time.
            settled: All that go together with them.
            session: The session of a transaction.
        """
        mark = taken_out[0]
        gone: defaultdict[DocumentKey, TakenOut] = defaultdict(TakenOut)
        merges: set[ObjectId] = set()
        for stored in self._places({"_id": {"$in": list(taken_out)}}, session):
            merges.add(stored["merge"])
            conflict = Conflict.from_bson(stored)
            gone[conflict.key].add(conflict.path)
        waiting = {
            "merge": {"$in": list(merges)},
            "key": {"$in": list(gone)},
            "_id": {"$nin": list(settled)},
            "moved": {"$ne": mark},
        }
        moves: list[UpdateOne] = []
        for stored in self._places(waiting, session):
            conflict = Conflict.from_bson(stored)
            place = replace(conflict, path=gone[conflict.key].place_of(conflict.path))
            if place != conflict:
                change = {"path": place.to_bson()["path"], "moved": mark}
                same = {"_id": stored["_id"], "moved": {"$ne": mark}}
                moves.append(UpdateOne(same, {"$set": change}))
        if moves:
            with translated():
                self.collection.bulk_write(moves, ordered=False, session=session)

    def _places(self, filter_: Mapping[str, Any], session: Session) -> Iterator[dict[str, Any]]:
        fields = {"merge": 1, "key": 1, "path": 1, "kind": 1}
        with translated(), self.collection.find(filter_, fields, session=session) as found:
            yield from found

    def remove(self, conflicts: Sequence[ObjectId], session: Session = None) -> None:
        """Remove conflicts that are settled."""
        with translated():
            self.collection.delete_many({"_id": {"$in": list(conflicts)}}, session=session)

    def merges(self) -> set[ObjectId]:
        """Return the ids of all merges that have conflicts here."""
        with translated():
            return set(self.collection.distinct("merge")) | self._chunks.owners()

    def delete(self, merges: Iterable[ObjectId]) -> int:
        """Remove the conflicts of merges; return how many there were.

        Merges are named: what a late owner does not know of, it leaves alone.
        """
        ids = list(merges)
        with translated():
            count = self.collection.delete_many({"merge": {"$in": ids}}).deleted_count
        self._chunks.delete_of(ids)
        return count


def _start_of_last(page: Sequence[StoredConflict]) -> int:
    """Return where the conflicts of the last document in a list begin."""
    start, key = len(page), page[-1].conflict.key
    while start and page[start - 1].conflict.key == key:
        start -= 1
    return start
