"""The log: one entry per version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import bson
from pymongo import IndexModel, UpdateOne
from pymongo import errors as driver
from pymongo.database import Database

from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.stretches import Stretches
from versioned_collection.core.tree import Ancestry, Node, VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.driver.server_errors import DUPLICATE_KEY, translated
from versioned_collection.driver.wire import documents
from versioned_collection.errors import InvalidOperation
from versioned_collection.trackers.base import (
    Session,
    Tracker,
    Unreadable,
    parsed,
    storable,
)
from versioned_collection.trackers.entries import (
    NODE_FIELDS,
    check_facts,
    entry_from_bson,
    node_from_bson,
)

_LARGEST_NUMBER = 2**63 - 1
_LABELS = "branch_1_number_1"
"""The name of the index that keeps labels apart."""


class LogCollection(Tracker):
    """The tracker ``__log_<name>``."""

    prefix = "log"
    indexes = (
        IndexModel([("branch", 1), ("number", 1)], name=_LABELS, unique=True),
        IndexModel("checksum"),
    )

    def __init__(self, db: Database[Any], name: str, codec: Codec = PLAIN) -> None:
        super().__init__(db, name)
        self._codec = codec

    def get(self, version: VersionId) -> Version | None:
        """Return an entry, None for an unknown id."""
        found = self.get_many([version])
        return found[0] if found else None

    def get_many(self, versions: Iterable[VersionId] | None = None) -> list[Version]:
        """Return the entries of these ids, in no particular order; all entries without."""
        wanted = None if versions is None else list(versions)
        found = () if wanted == [] else self.in_replies(wanted)
        return [entry for entries in found for entry in entries]

    def in_replies(
        self, versions: Sequence[VersionId] | None = None, unreadable: Unreadable = None
    ) -> Iterator[list[Version]]:
        """Iterate over entries, as many at a time as come in one reply.

        Args:
            versions: Their ids; all entries where these are left out.
            unreadable: Takes the errors for entries that cannot be read; see `parsed`.

        Raises:
            CorruptHistory: An entry says what no release has written.
            FormatMismatch: Another release has written one.
        """
        named = {} if versions is None else {"_id": {"$in": list(versions)}}
        for raws in documents(self.db, self.name, named):
            stored = (bson.decode(raw, self._codec.times) for raw in raws)
            yield list(self.said(stored, self._entry, unreadable))

    def checksums(self, versions: Sequence[VersionId] | None = None) -> dict[VersionId, str]:
        """Return the checksums of those of these versions that the log names; of all without."""
        named = {} if versions is None else {"_id": {"$in": list(versions)}}
        with translated():
            found = self.collection.find(named, {"checksum": 1})
            return {entry["_id"]: entry["checksum"] for entry in found}

    def fingerprints(self, versions: Sequence[VersionId]) -> dict[VersionId, str]:
        """Return the fingerprints of those of these versions that the log names."""
        with translated():
            found = self.collection.find({"_id": {"$in": list(versions)}}, {"fingerprint": 1})
            return {entry["_id"]: entry["fingerprint"] for entry in found}

    def _entry(self, stored: Mapping[str, Any]) -> Version:
        entry = entry_from_bson(stored, self._codec)
        check_facts(entry)
        return entry

    def times(self) -> dict[VersionId, datetime]:
        """Return when each version was registered."""
        with translated():
            found = self.collection.find({}, {"timestamp": 1})
            return {entry["_id"]: entry["timestamp"] for entry in found}

    def labelled(self, branch: str, number: int) -> VersionId | None:
        """Return the version with a label."""
        label = {"branch": branch, "number": number}
        return self._id(label) if _can_be_asked_for(branch, number) else None

    def standing_for(self, branch: str, number: int) -> VersionId | None:
        """Return the version that stands for one of this label, which was thinned out."""
        label = {"branch": branch, "number": number}
        return self._behind_gap(label) if _can_be_asked_for(branch, number) else None

    def _id(self, filter_: Mapping[str, Any]) -> VersionId | None:
        with translated():
            found = self.collection.find_one(filter_, {"_id": 1})
        return None if found is None else found["_id"]

    def known(self, version: VersionId) -> bool:
        """Tell whether there is an entry of this id."""
        return self._id({"_id": version}) is not None

    def with_checksum(self, prefix: str) -> Sequence[VersionId]:
        """Return the versions whose checksum begins with `prefix`."""
        pattern = re.compile("^" + re.escape(prefix))
        with translated():
            return [
                entry["_id"] for entry in self.collection.find({"checksum": pattern}, {"_id": 1})
            ]

    def tree(self, unreadable: Unreadable = None) -> VersionTree:
        """Return the version tree.

        Args:
            unreadable: Takes the errors for entries whose place cannot be read; see `parsed`.

        Raises:
            CorruptHistory: An entry says what no release has written.
        """
        with translated():
            found = self.collection.find({}, NODE_FIELDS).sort("_id", 1)
            return VersionTree(parsed(found, node_from_bson, self.name, unreadable))

    def ancestry(self, further: Iterable[Node] = ()) -> Ancestry:
        """Return the ways up from versions, of which only what is walked is read.

        Args:
            further: Versions that the log does not name yet.
        """
        return Ancestry(Stretches(self._stretch, self._everything, further))

    def _stretch(self, version: VersionId, count: int) -> list[Node]:
        found = self.nodes([version])
        return [*found, *self.nodes_before(found, count)]

    def _everything(self) -> list[Node]:
        return self._nodes({})

    def nodes(self, versions: Sequence[VersionId]) -> list[Node]:
        """Return the places in the tree of some versions, in no particular order."""
        return self._nodes({"_id": {"$in": list(versions)}}) if versions else []

    def among(self, versions: Iterable[VersionId]) -> set[VersionId]:
        """Return those of some versions that the log names."""
        return {node.id for node in self.nodes(list(versions))}

    def labelled_any(self, labels: Iterable[tuple[str, int]]) -> dict[tuple[str, int], VersionId]:
        """Return the versions that have some of these labels."""
        return {(node.branch, node.number): node.id for node in self.nodes_labelled(labels)}

    def nodes_labelled(self, labels: Iterable[tuple[str, int]]) -> list[Node]:
        """Return the places in the tree of the versions that have some of these labels."""
        numbers: dict[str, list[int]] = {}
        for branch, number in labels:
            numbers.setdefault(branch, []).append(number)
        found: list[Node] = []
        for branch, wanted in numbers.items():
            found += self._nodes({"branch": branch, "number": {"$in": wanted}})
        return found

    def count(self) -> int:
        """Return about how many entries there are."""
        with translated():
            return self.collection.estimated_document_count()

    def has_more_than(self, count: int) -> bool:
        """Tell whether there are more than so many entries."""
        with translated():
            return len(list(self.collection.find({}, {"_id": 1}).limit(count + 1))) > count

    def nodes_before(self, nodes: Sequence[Node], count: int) -> list[Node]:
        """Return the places of up to `count` versions with lower numbers on each one's branch."""
        stretches = [
            {"branch": node.branch, "number": {"$gte": node.number - count, "$lt": node.number}}
            for node in nodes
            if node.number > 0
        ]
        return self._nodes({"$or": stretches}) if stretches else []

    def nodes_under(self, name: str) -> list[Node]:
        """Return the places of all versions on branches whose names begin with ``name/``."""
        return self.nodes_beginning(f"{name}/")

    def nodes_beginning(self, text: str) -> list[Node]:
        """Return the places of all versions on branches whose names begin with a text."""
        behind = text[:-1] + chr(ord(text[-1]) + 1)
        return self._nodes({"branch": {"$gte": text, "$lt": behind}})

    def nodes_on(self, branch: str, by: int) -> list[Node]:
        """Return the places of the versions whose labels `relabel` would move, in their order."""
        return sorted(self._nodes(_moved_by(branch, by)), key=lambda node: node.number)

    def count_on(self, branch: str, by: int, most: int) -> int:
        """Return how many they are, `most` where they are more."""
        with translated():
            return self.collection.count_documents(_moved_by(branch, by), limit=most)

    def _nodes(self, filter_: Mapping[str, Any]) -> list[Node]:
        with translated():
            return list(
                parsed(self.collection.find(filter_, NODE_FIELDS), node_from_bson, self.name)
            )

    def last_number(self, branch: str) -> int:
        """Return the highest number on a branch, -1 where it has no version."""
        with translated():
            found = self.collection.find_one({"branch": branch}, sort=[("number", -1)])
        return -1 if found is None else int(found["number"])

    def insert(self, entries: Iterable[Mapping[str, Any]], session: Session = None) -> None:
        """Append entries as they are stored; those that are there already stay as they are."""
        writes = [
            UpdateOne(
                {"_id": entry["_id"]},
                {"$setOnInsert": {name: entry[name] for name in entry if name != "_id"}},
                upsert=True,
            )
            for entry in entries
        ]
        self._write(writes, session)

    def label(self, labels: Iterable[Sequence[Any]], session: Session = None) -> None:
        """Give versions other labels, in this order: a label has to be free by its turn.

        Args:
            labels: Id, branch and number of each.
            session: The session of a transaction.
        """
        self._write(
            [
                UpdateOne({"_id": version}, {"$set": {"branch": branch, "number": number}})
                for version, branch, number in labels
            ],
            session,
        )

    def seal(self, entries: Iterable[tuple[VersionId, Mapping[str, Any]]]) -> None:
        """Give versions other fingerprints, checksums and counts, as their changes are others.

        Args:
            entries: The versions, each with what its entry says from now on.
        """
        self._write(
            [UpdateOne({"_id": version}, {"$set": dict(facts)}) for version, facts in entries],
            None,
        )

    def _write(self, writes: list[UpdateOne], session: Session) -> None:
        if writes:
            with translated(), _label_told():
                self.collection.bulk_write(writes, session=session)

    def delete(self, versions: Sequence[VersionId], session: Session = None) -> None:
        """Remove entries."""
        with translated():
            self.collection.delete_many({"_id": {"$in": list(versions)}}, session=session)

    def bridge(
        self,
        version: VersionId,
        parents: Sequence[VersionId],
        gap: Mapping[str, Any],
        session: Session = None,
    ) -> None:
        """Let a version stand on another parent, in place of versions that are thinned out.

        Args:
            version: The version.
            parents: Its parents from now on.
            gap: What is between the first of these and the version, as it is stored.
            session: The session of a transaction.
        """
        with translated():
            self.collection.update_one(
                {"_id": version},
                {"$set": {"parents": list(parents), "gap": gap}},
                session=session,
            )

    def behind_gap(self, version: VersionId) -> VersionId | None:
        """Return the version that stands for one that was thinned out, None where none does."""
        return self._behind_gap({"version": version})

    def behind_gaps(self, version: VersionId) -> list[VersionId]:
        """Return all versions that stand for one that was thinned out.

        There are several where sides thinned out one after the other.
        """
        wanted = {"gap.versions": {"$elemMatch": {"version": version}}}
        with translated():
            return [entry["_id"] for entry in self.collection.find(wanted, {"_id": 1})]

    def thinned_before(self, versions: Iterable[VersionId]) -> dict[VersionId, list[VersionId]]:
        """Return what was thinned out before some versions, the oldest first."""
        return dict(self._gaps({"_id": {"$in": list(versions)}}))

    def all_thinned(self) -> Iterator[list[VersionId]]:
        """Iterate over what was thinned out before any version, in each case the oldest first."""
        return (thinned for _, thinned in self._gaps({}))

    def _gaps(self, filter_: Mapping[str, Any]) -> Iterator[tuple[VersionId, list[VersionId]]]:
        stages: list[dict[str, Any]] = [
            {"$match": {**filter_, "gap": {"$exists": True}}},
            {"$project": {"thinned": "$gap.versions.version"}},  # there may be very many
        ]
        with translated():
            for entry in self.collection.aggregate(stages):
                yield entry["_id"], entry["thinned"]

    def _behind_gap(self, facts: Mapping[str, Any]) -> VersionId | None:
        return self._id({"gap.versions": {"$elemMatch": facts}})

    def relabel(self, old: str, new: str, by: int = 0, session: Session = None) -> None:
        """Move the labels of one branch to another branch name, but those thinned out.

        Args:
            old: The name of the branch.
            new: The other one.
            by: By how much the numbers grow; those that would become negative stay.
            session: The session of a transaction.
        """
        change = {"$set": {"branch": new}, "$inc": {"number": by}}
        with translated():
            self.collection.update_many(_moved_by(old, by), change, session=session)


def _moved_by(branch: str, by: int) -> dict[str, Any]:
    """Return which labels of a branch move where the numbers grow: none becomes negative."""
    return {"branch": branch, "number": {"$gte": max(0, -by)}}


def label_taken(branch: str, number: int) -> InvalidOperation:
    """Return the error for a label that a second version would get."""
    return InvalidOperation(
        f"two versions would be called {branch}@{number}, so neither is; fetch() looks again what "
        "a remote calls its versions, then try again. Where every verb says this, drop() still "
        "works, and clone() begins anew",
        branch=branch,
        number=number,
    )


@contextmanager
def _label_told() -> Iterator[None]:
    """Tell which label the server refuses to store twice."""
    try:
        yield
    except driver.BulkWriteError as error:
        for failed in error.details["writeErrors"]:
            if failed["code"] == DUPLICATE_KEY and _LABELS in failed["errmsg"]:
                raise label_taken(*_label_in(failed["op"])) from error
        raise


def _label_in(write: Mapping[str, Any]) -> tuple[str, int]:
    """Return the label that a write was to give to a version."""
    fields: Mapping[str, Any] = next(iter(write["u"].values()))
    return fields["branch"], fields["number"]


def _can_be_asked_for(branch: str, number: int) -> bool:
    """Tell whether BSON can hold a label."""
    return abs(number) <= _LARGEST_NUMBER and storable(branch)
