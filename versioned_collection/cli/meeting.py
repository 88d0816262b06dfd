"""The steps of ``vc demo --remote``: two databases with one collection diverge and meet."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.replay import COLLECTION
from versioned_collection.errors import AutoMergeFailedError, CorruptHistory, InvalidOperation

if TYPE_CHECKING:
    from pymongo.database import Database

    from versioned_collection import Conflict, VersionedCollection

COPY_DATABASE = "demo_copy"

_BOTH_EDIT = "text/markdown"
_FIRST_EDIT, _OTHER_EDIT, _LAST_EDIT = "application/sql", "application/json", "text/csv"


class Meeting:
    """A collection, and its copy where somebody else works.

    Args:
        original: The collection, which has a history.

    Attributes:
        original: The collection.
        copy: Its copy, once there is one.
    """

    copy: VersionedCollection

    def __init__(self, original: VersionedCollection) -> None:
        self.original = original

    def clone(self, uri: str, into: Database[Any]) -> str:
        """Make the copy, which knows where it comes from."""
        from versioned_collection import VersionedCollection

        self.copy = VersionedCollection.clone(uri, into, COLLECTION)
        return f"{len(self._ids(self.copy))} versions and the documents of the latest"

    def share(self) -> str:
        """Register an edit of the copy, and push it: the original follows.

        Raises:
            CorruptHistory: It does not.
        """
        self._edit(self.copy, _FIRST_EDIT, "Bob", {"$set": {"note": "SQL compresses well"}})
        self.copy.push()
        if self._documents(self.original) != self._documents(self.copy):
            raise CorruptHistory("the original did not follow what was pushed")
        return f"the original has {self.original.resolve('HEAD').label} and its documents"

    def diverge(self) -> str:
        """Register edits on both sides; one document is edited on both."""
        self._edit(self.original, _OTHER_EDIT, "Ada", {"$set": {"note": "JSON is UTF-8"}})
        self._edit(self.original, _BOTH_EDIT, "Ada", {"$push": {"extensions": "mdown"}})
        self._edit(self.copy, _LAST_EDIT, "Bob", {"$set": {"note": "commas, mostly"}})
        self._edit(self.copy, _BOTH_EDIT, "Bob", {"$push": {"extensions": "mdwn"}})
        return "two versions here, two versions there"

    def refused_push(self) -> str:
        """Push what has diverged, which is refused.

        Raises:
            CorruptHistory: It is not.
        """
        try:
            self.copy.push()
        except InvalidOperation as error:
            return f"refused: {error.message.partition(';')[0]}"
        raise CorruptHistory("a push over somebody's versions was not refused")

    def pull(self) -> list[Conflict]:
        """Pull into the copy; return the conflicts that wait.

        Raises:
            CorruptHistory: There is another number of them than one.
        """
        with suppress(AutoMergeFailedError):
            self.copy.pull()
        found = list(self.copy.conflicts())
        if [(one.document_id, one.path) for one in found] != [(_BOTH_EDIT, ("extensions",))]:
            raise CorruptHistory("the pull left other conflicts than the one that was expected")
        return found

    def settle(self, conflict: Conflict) -> str:
        """Settle the conflict by what both sides want, and record the merge."""
        extensions = [*conflict.theirs, "mdwn"]
        self.copy.resolve_conflict(conflict, extensions)
        self.copy.register(author="Bob")
        return f"extensions: {', '.join(extensions)}"

    def push_back(self) -> str:
        """Push the merge."""
        self.copy.push()
        return f"the original is at {self.original.resolve('HEAD').label}"

    def compare(self) -> str:
        """Compare both sides: documents, and versions.

        Raises:
            CorruptHistory: They differ.
        """
        if self._documents(self.original) != self._documents(self.copy):
            raise CorruptHistory("the documents of the two sides differ")
        if self._ids(self.original) != self._ids(self.copy):
            raise CorruptHistory("the histories of the two sides differ")
        return "the same documents, the same versions"

    def _edit(
        self, collection: VersionedCollection, document: str, author: str, update: Any
    ) -> None:
        collection.update_one({"_id": document}, update)
        collection.register(f"{document}, as {author} wants it", author=author)

    def _documents(self, collection: VersionedCollection) -> list[Any]:
        return [list(document.items()) for document in collection.find().sort("_id", 1)]

    def _ids(self, collection: VersionedCollection) -> set[Any]:
        tree = collection.version_tree
        return set() if tree is None else set(tree)
