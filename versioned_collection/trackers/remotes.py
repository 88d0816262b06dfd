"""Remotes: where they are, and where their branches were when last seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from types import NoneType
from typing import Any, NamedTuple

from bson.objectid import ObjectId
from pymongo import errors as driver

from versioned_collection.core.version import VersionId
from versioned_collection.driver.server_errors import translated
from versioned_collection.trackers.base import (
    FORMAT,
    Session,
    Tracker,
    Unreadable,
    must,
    storable,
)

Agreement = tuple[ObjectId | None, ObjectId | None]
"""What the metadata said about labels there and here when the two had the same."""

_NEVER_CHANGED: Agreement = (None, None)


class KnownRemote(NamedTuple):
    """What is kept about a remote.

    Attributes:
        name: Its name; that of one which was never added is its address.
        url: Where it is, with references instead of secrets; None where it was never added.
        tips: Where its branches were when last seen.
        seen: When that was (UTC, server's clock), None for never.
        labels: When its labels and those here were last the same, by the names of branches.
    """

    name: str
    url: str | None
    tips: Mapping[str, VersionId]
    seen: datetime | None
    labels: Mapping[str, Agreement] = {}

    def agreed(self, branch: str) -> Agreement:
        """Return when the labels of a branch were last the same there and here."""
        return self.labels.get(branch, _NEVER_CHANGED)


_HERE = {"removed": {"$ne": True}}
_BACK = {"$unset": {"removed": ""}}
_LEFT = {"format": FORMAT, "removed": True}
"""What stays of a remote with whose name labels begin."""


class RemotesCollection(Tracker):
    """The tracker ``__remotes_<name>``: one document per remote.

    Of one that was removed the name stays as long as labels of what was fetched begin with it.
    """

    prefix = "remotes"
    at_first_use = True

    def get(self, name: str) -> KnownRemote | None:
        """Return what is known about a remote."""
        if not storable(name):
            return None
        with translated():
            stored = self.collection.find_one({"_id": name, **_HERE})
        return self.said_by(stored, _decoded)

    def all(self, unreadable: Unreadable = None) -> list[KnownRemote]:
        """Return what is known about all remotes, in the order of their names.

        Args:
            unreadable: Takes the errors for remotes that cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written one.
        """
        with translated():
            found = self.collection.find(_HERE).sort("_id", 1)
            return list(self.said(found, _decoded, unreadable))

    def prefixes(self) -> list[str]:
        """Return the names with which labels of what was fetched may begin."""
        with translated():
            return [
                stored["_id"] for stored in self.collection.find({}, {"_id": 1}).sort("_id", 1)
            ]

    def add(self, known: KnownRemote) -> bool:
        """Keep where a remote is, and its branches; tell whether the name was free."""
        self.create_once()
        facts = _facts(known)
        with translated():
            result = self.collection.update_one(
                {"_id": known.name, "url": None}, {"$set": facts, **_BACK}
            )
            if result.matched_count:
                return True
            found = self.collection.update_one(
                {"_id": known.name}, {"$setOnInsert": facts}, upsert=True
            )
        return found.upserted_id is not None

    def see(
        self,
        name: str,
        tips: Mapping[str, VersionId | None],
        seen: datetime,
        session: Session = None,
    ) -> None:
        """Keep where branches of a remote are; what is known of others stays.

        One that was given a name and was removed stays removed.

        Args:
            name: Its name.
            tips: Where they are, None for one that is no more.
            seen: When that was.
            session: The session of a transaction.
        """
        self.create_once(session)
        while not self._see(name, tips, seen, session):
            pass

    def _see(
        self,
        name: str,
        tips: Mapping[str, VersionId | None],
        seen: datetime,
        session: Session,
    ) -> bool:
        """Keep where branches are; tell whether nobody else did since what is kept was read."""
        with translated():
            stored = self.collection.find_one({"_id": name}, session=session)
            if not _is_address(name) and (stored is None or stored.get("removed")):
                # of one that was removed labels may begin with its name since
                return stored is not None or self._insert({"_id": name, **_LEFT}, session)
            known = self.said_by(stored, _decoded)
            merged = {**({} if known is None else known.tips), **tips}
            found = [[branch, tip] for branch, tip in merged.items() if tip is not None]
            facts = {"format": FORMAT, "tips": found, "seen": seen}
            if stored is None:
                return self._insert({"_id": name, **facts}, session)
            same = {"_id": name, "tips": stored.get("tips")}
            result = self.collection.update_one(same, {"$set": facts, **_BACK}, session=session)
        return bool(result.matched_count)

    def _insert(self, document: dict[str, Any], session: Session) -> bool:
        with suppress(driver.DuplicateKeyError):
            self.collection.insert_one(document, session=session)
            return True
        return False

    def begin(self, first: KnownRemote) -> None:
        """Know one remote and no other: that from which a collection becomes a copy."""
        self.create_once()
        with translated():
            self.collection.delete_many({})
            self.collection.insert_one({"_id": first.name, **_facts(first)})

    def agree(self, name: str, labels: Mapping[str, Agreement]) -> None:
        """Note for each branch as of when its versions have the labels here of a remote."""
        with translated():
            self.collection.update_one({"_id": name}, {"$set": {"labels": list(labels.items())}})

    def remove(self, name: str, *, keeps_name: bool = False) -> bool:
        """Forget a remote; tell whether it was known.

        Args:
            name: Its name.
            keeps_name: Whether labels begin with its name.
        """
        known = {"_id": name, **_HERE}
        with translated():
            if keeps_name:
                return bool(self.collection.replace_one(known, _LEFT).matched_count)
            return bool(self.collection.delete_one(known).deleted_count)


def _is_address(name: str) -> bool:
    """Tell whether a remote was never given a name: no such name holds one of these."""
    return "/" in name or "\\" in name


def _agreements(stored: Any) -> dict[str, Agreement]:
    """Return what is noted of labels; earlier builds noted nothing of those here."""
    if not isinstance(stored, list):  # of a build that noted for all branches what one had
        return {}
    return {
        branch: (said[0], said[1]) if isinstance(said, list) else (said, None)
        for branch, said in stored
    }


def _facts(known: KnownRemote) -> dict[str, Any]:
    """Return what is stored about a remote, beside its name."""
    return {
        "format": FORMAT,
        "url": known.url,
        "tips": list(known.tips.items()),
        "seen": known.seen,
        "labels": list(known.labels.items()),
    }


def _decoded(stored: Mapping[str, Any]) -> KnownRemote:
    tips, labels = dict(stored.get("tips", ())), _agreements(stored.get("labels"))
    known = KnownRemote(stored["_id"], stored.get("url"), tips, stored.get("seen"), labels)
    must(isinstance(known.url, (str, NoneType)), "its url is none")
    must(isinstance(known.seen, (datetime, NoneType)), "the time when it was seen is none")
    must(all(isinstance(tip, VersionId) for tip in tips.values()), "its tips are no ids")
    return known
