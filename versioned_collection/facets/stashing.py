"""Changes set aside, and brought back."""

from __future__ import annotations

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.merging import MergePolicy, ResolverLike
from versioned_collection.errors import InvalidArgument
from versioned_collection.facets.base import Facet, policy_of
from versioned_collection.observing import Progress
from versioned_collection.verbs import stash as stash_verbs
from versioned_collection.verbs.stash import Stash


class Stashing(Facet[DocumentType]):
    """Changes set aside, and brought back."""

    def stash(
        self,
        overwrite: bool = False,
        *,
        name: str | None = None,
        push: bool = False,
        message: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Set uncommitted changes aside; False when there are none.

        Few documents go back together, as they are by then. Of more than a transaction takes,
        and on a standalone server, those stay that another client changes meanwhile: they show
        as modified, and are not in the stash. One that had gone back by then, or may have, is.

        Args:
            overwrite: Replace the stash of that name, or without a name the latest one.
            name: What to call it; a named stash is added to those that are there.
            push: Add a stash without a name to those that are there.
            message: What to say about it.
            progress: Called with a phase and a number of documents done.

        Raises:
            InvalidOperation: There are changes and a stash already, and none of `overwrite`,
                `name` and `push` is given; or a merge waits.
            InvalidArgument: The name is malformed or taken, or `push` and `overwrite` are both
                given (a ValueError).
            InvalidType: `name` or `message` is not a text (a TypeError).
            WorkingCopyChanged: Other clients write to few documents all the time; nothing was
                done.
            DocumentRejected: A unique index refuses a document of HEAD; everything is as before,
                or what could not go back where it was is in the latest stash, and the error
                says so.
        """
        return self._unless_untracked(
            lambda repository: stash_verbs.stash(
                repository, overwrite, name, push, message, progress
            ),
            False,
        )

    def stashes(self) -> list[Stash]:
        """Return what is stashed, the latest first; empty when untracked."""
        return self._unless_untracked(stash_verbs.stashes, [])

    def stash_apply(
        self,
        which: int | str | Stash | None = None,
        *,
        merge: bool = False,
        drop: bool = True,
        resolver: ResolverLike | None = None,
        policy: MergePolicy | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Bring stashed changes back and drop the stash; False when there is none.

        Without `merge` the stashed documents overwrite those of the same ``_id``, and there
        must be no uncommitted changes. With it, what was changed before stashing is merged
        into the documents as they are now, uncommitted changes included. What clashes waits
        as conflicts, as after `merge`: until the last of them is settled, which ends this and
        drops the stash, `register` refuses, and `abort_merge` brings exactly the documents
        back that this call changed.

        A document that another client changes while many are being written stays as it is,
        and then the stash is kept.

        Args:
            which: The stash: its index (0 is the latest), its name, or one of `stashes`; the
                latest by default.
            merge: Merge instead of overwriting.
            drop: Drop the stash once all of it is back.
            resolver: What settles all conflicts; see `merge`.
            policy: How to merge; see `merge`.
            progress: Called with a phase and a number of documents done.

        Raises:
            AutoMergeFailedError: Conflicts wait; see `conflicts`.
            InvalidOperation: There are uncommitted changes and `merge` is not set, or a merge
                waits.
            WorkingCopyChanged: Another client wrote to one of few documents; nothing was done.
            DocumentRejected: The server refuses a document; everything is as before.
            InvalidArgument: There is no such stash; or a resolver is given without `merge`, or
                beside a policy.
            InvalidType: `which` is of the wrong type.
        """
        if not merge and (resolver is not None or policy is not None):
            raise InvalidArgument("a resolver or a policy goes with merge=True only")
        how = policy_of(resolver, policy) if merge else None
        return self._unless_untracked(
            lambda repository: stash_verbs.stash_apply(repository, which, drop, how, progress),
            False,
        )

    def stash_discard(self, which: int | str | Stash | None = None) -> bool:
        """Drop a stash, the latest by default; False when there is none.

        Args:
            which: The stash; see `stash_apply`.

        Raises:
            InvalidArgument: There is no such stash.
            InvalidOperation: Its conflicts wait for decisions.
            InvalidType: `which` is of the wrong type.
        """
        return self._unless_untracked(
            lambda repository: stash_verbs.stash_discard(repository, which), False
        )
