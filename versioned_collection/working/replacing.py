"""Documents that others take the place of, uncommitted: the common part of restore and import."""

from __future__ import annotations

from collections.abc import Iterable

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.documents.moves import is_small
from versioned_collection.documents.restoring import restoration
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold


class Replacing:
    """Brings documents of the collection from the states they were seen in to wanted ones.

    A few are written in one transaction. Many are put aside first, as a stash is, so whoever
    opens the collection after a process died goes on; and where the server refuses one of them,
    all go back.

    Args:
        hold: The lease.
        progress: Told how many documents were written.
        strict: Do not bypass a validator that refuses a document.
        readmits: Where it is strict, bypass it all the same for documents that some version has.
    """

    def __init__(
        self,
        hold: Hold,
        progress: Progress | None,
        *,
        strict: bool = False,
        readmits: bool = False,
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._committer = Committer(hold, progress)
        self._strict, self._readmits = strict, readmits
        self._aside = ObjectId()

    def run(self, changes: Iterable[list[Delta]]) -> list[DocumentKey]:
        """Make changes.

        Args:
            changes: From the documents as they were seen to the wanted ones, with both images.

        Returns:
            The documents that another client changed meanwhile, and that were left so.

        Raises:
            WorkingCopyChanged: Another client changed a document of a few; nothing was done.
            DocumentRejected: The server refuses one; nothing was done.
        """
        repository = self._repository
        small: list[Delta] | None = [] if repository.has_transactions else None
        self._hold.begin({"phase": "prepare", "stash": self._aside})
        size = 0
        for deltas in changes:
            # they are uncommitted from then on: noted before they are written
            repository.modified.add([delta.key for delta in deltas])
            size += sum(len(delta.new or b"") for delta in deltas)
            if small is None:
                repository.stash.append(self._aside, deltas)
            elif is_small(len(small) + len(deltas), size):
                small += deltas
            else:
                repository.stash.append(self._aside, [*small, *deltas])
                small = None
        self._carry_out(small)
        return self._committer.kept

    def _carry_out(self, small: list[Delta] | None) -> None:
        commit = Commit(strict=self._strict, readmits=self._readmits)

        def put_aside() -> None:  # what is not there yet
            commit.stash, commit.guarded = self._aside, True
            self._repository.stash.append(self._aside, small or ())

        moves = [restoration(delta.key, delta.before, delta.new) for delta in small or ()]
        self._committer.carry_out(
            commit, None if small is None else lambda: [moves], before_steps=put_aside
        )
        if commit.stash is not None:
            self._repository.stash.delete([commit.stash])
