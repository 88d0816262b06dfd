"""Uncommitted changes that are stored as a stash: to be set aside, or in case of need."""

from __future__ import annotations

from typing import Any

from bson.objectid import ObjectId

from versioned_collection.core.delta import images
from versioned_collection.core.sums import MODULUS
from versioned_collection.core.version import fingerprint_text
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.working_copy import Change

_EMPTY = {"documents": 0, "digest": fingerprint_text(0)}
"""What the header of a stash says while there is nothing in it."""


class Aside:
    """Changes that are being stored as a stash.

    Args:
        hold: The lease.
        name: The name of the stash.
        message: What is said about it.

    Attributes:
        header: What describes the stash; it is not listed yet.
    """

    def __init__(self, hold: Hold, name: str | None = None, message: str | None = None) -> None:
        self._hold = hold
        self.header: dict[str, Any] = {
            "id": ObjectId(),
            "name": name,
            "message": message,
            "head": hold.state.head,
            "branch": hold.state.branch,
            "created": hold.repository.now(),
            **_EMPTY,
        }

    def begin(self) -> None:
        """Have what is stored go away again if this process does not get further."""
        self._hold.begin({"phase": "prepare", "stash": self.header["id"]})

    def keep(self, changes: list[Change]) -> None:
        """Store changes."""
        deltas = (images(change.old, change.new) for change in changes)
        found = [one for one in deltas if one is not None]
        digest = self._hold.repository.stash.append(self.header["id"], found)
        total = (int(self.header["digest"], 16) + digest) % MODULUS
        self.header["digest"] = fingerprint_text(total)
        self.header["documents"] += len(changes)

    def afresh(self) -> None:
        """Forget what was stored: all changes come by again."""
        self._hold.repository.stash.delete([self.header["id"]])
        self.header.update(_EMPTY)


class Spare:
    """Changes that go back to HEAD in steps, kept where the server may refuse what HEAD has.

    With them everything can be as before again. Where nothing can be refused, nothing is kept.

    Args:
        hold: The lease.
    """

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._aside: Aside | None = None
        self._is_wanted: bool | None = None

    @property
    def header(self) -> dict[str, Any] | None:
        """What describes the changes that are kept, None where there are none."""
        return None if self._aside is None else self._aside.header

    def keep(self, changes: list[Change]) -> None:
        """Keep changes, before the first of them is taken back."""
        if self._is_wanted is None:
            self._is_wanted = _may_refuse(self._hold.repository)
        if not self._is_wanted:
            return
        if self._aside is None:
            verb = self._hold.verb
            self._aside = Aside(self._hold, message=f"what {verb} could not take back")
            self._aside.begin()
        self._aside.keep(changes)

    def forget(self) -> None:
        """Remove what was kept: it is not needed, or all changes come by again."""
        if self._aside is not None:
            self._aside.afresh()
            self._hold.update({"intent": None})
            self._aside = None


def _may_refuse(repository: Repository) -> bool:
    """Tell whether the server may refuse documents that HEAD has.

    An index does that if it is to keep values apart, or cannot hold all there are: of several
    lists at once, say, or of what is no place on a map.
    """
    info = repository.collection_info() or {}
    if info.get("options", {}).get("validator"):
        return True  # which somebody may not have the right to go past
    return any(
        index.get("unique") or index.get("prepareUnique") or not _holds_all(index["key"])
        for index in repository.indexes() or ()
        if dict(index["key"]) != {"_id": 1}
    )


def _holds_all(key: Any) -> bool:
    kinds = list(key.values())
    return len(kinds) == 1 and kinds[0] in (1, -1)
