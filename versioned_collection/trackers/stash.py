"""Stashes: uncommitted changes that were set aside, with both images of each document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import bson
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver

from versioned_collection.core.delta import Delta, delta_digest, encoded_rows
from versioned_collection.core.document import DocumentKey, build, element, elements
from versioned_collection.core.sums import MODULUS
from versioned_collection.core.version import fingerprint_text
from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.writes import write
from versioned_collection.trackers.base import Session
from versioned_collection.trackers.delta_erasing import ErasableDeltas
from versioned_collection.trackers.delta_form import sort_key

_LATER = b"later"


class Step(NamedTuple):
    """What one verb makes of a document.

    Attributes:
        before: SHA-256 of the state that it starts from, None for "there is none".
        after: SHA-256 of the state that it leaves, None for "there is none".
    """

    before: bytes | None
    after: bytes | None


class StashCollection(ErasableDeltas):
    """The tracker ``__stash_<name>``; a stash's id stands in the place of a version's."""

    prefix = "stash"
    at_first_use = True

    def append(self, version: ObjectId, deltas: Iterable[Delta]) -> int:
        """Store deltas of a stash; see `DeltaStore.append`."""
        self.create()  # each time, since without its indexes it would be slow
        return super().append(version, deltas)

    def count(self, stash: ObjectId) -> int:
        """Return how many documents a stash changes."""
        with translated():
            return self.collection.count_documents({"version": stash})

    def described(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """Return the header of a stash, with what it holds by now."""
        total = count = 0
        for delta in self.of_version(header["id"]):
            total += delta_digest(delta, encoded_rows(delta))
            count += 1
        return {**header, "documents": count, "digest": fingerprint_text(total % MODULUS)}

    def leave_out(
        self, stash: ObjectId, keys: Iterable[DocumentKey], session: Session = None
    ) -> None:
        """Remove the changes that a stash has of these very documents.

        What they have in chunks goes with the stash, or is left to `collect_uploads`.
        """
        filter_ = {"version": stash, "key": {"$in": list(map(sort_key, keys))}}
        with translated():
            self.collection.delete_many(filter_, session=session)

    def among(self, stash: ObjectId, keys: Iterable[DocumentKey]) -> Iterator[Delta]:
        """Iterate over the changes that a stash has of these very documents."""
        filter_ = {"version": stash, "key": {"$in": list(map(sort_key, keys))}}
        return (delta for _, delta in self.find(filter_))

    def note_steps(self, stash: ObjectId, steps: Mapping[DocumentKey, Step]) -> None:
        """Note what is about to happen to documents that a stash has changed.

        Where a step does not start from what the stash, or a step noted before, made of the
        document, another client was there in between: then nothing is noted.
        """
        statements = [_noting(stash, key, step) for key, step in steps.items()]
        if statements:
            outcome = write(self.db, "update", self.name, statements, ordered=False)
            for failure in outcome.errors:
                raise driver.OperationFailure(str(failure["errmsg"]), failure["code"])

    def with_later(self, stash: ObjectId) -> Iterator[tuple[Delta, set[bytes | None]]]:
        """Iterate over the changes of a stash, each with the states that noted steps leave."""
        for raw in self._stored({"version": stash}):
            yield self.form.decode(raw)[1], set(_later_in(raw))


def _noting(stash: ObjectId, key: DocumentKey, step: Step) -> RawBSONDocument:
    found: Any = {"$exists": False} if step.before is None else step.before
    query = {
        "version": stash,
        "key": sort_key(key),
        "$or": [{"after": found}, {"later": step.before or b""}],
    }
    change = {"$addToSet": {"later": step.after or b""}}
    is_it = b"\x03document_id\0" + build(element(b"$eq", key))
    return RawBSONDocument(
        build(
            b"\x03q\0" + build(is_it, bson.encode(query)[4:-1]), b"\x03u\0" + bson.encode(change)
        )
    )


def _later_in(raw: bytes) -> Iterator[bytes | None]:
    for _, name, start, end in elements(raw):
        if name == _LATER:
            states = raw[start:end]
            for _, _, first, last in elements(states):
                yield states[first:last][5:] or None
