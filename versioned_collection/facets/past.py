"""Reading earlier versions, and bringing parts of them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.merging.paths import PatternLike
from versioned_collection.core.version import Version
from versioned_collection.facets.base import Facet
from versioned_collection.history.revisions import RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.past.view import PastCollection
from versioned_collection.verbs import views as view_verbs
from versioned_collection.verbs.at import at
from versioned_collection.verbs.bisect import Predicate, bisect
from versioned_collection.verbs.find_versions import Appearance, find_versions
from versioned_collection.verbs.history import BlamedField, DocumentVersion, blame, history
from versioned_collection.verbs.restore import Restored, restore
from versioned_collection.working.selection import Only


class Past(Facet[DocumentType]):
    """Reading earlier versions, and bringing parts of them back."""

    def at(self, revision: RevisionLike | datetime = "HEAD") -> PastCollection[DocumentType]:
        """Return a version as a read-only collection, without checking it out.

        Others may write and check out meanwhile: each read is of this version, entirely. What
        differs between it and HEAD is stored beside the collection at the first read, which
        takes the lease and the right to write; later reads need neither.

        Args:
            revision: The version: a number on the current branch, a revision text such as
                ``"main~2"``, a tag or ``"main@{2026-01-31}"``, or a time, for the last version
                on the way to HEAD that is not later (UTC where it has no time zone).

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidType: `revision` is something else.
            CollectionNotTracked: There is no history.
        """
        return at(self._planner, revision, self)

    def publish_view(
        self,
        revision: RevisionLike,
        name: str,
        *,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Version:
        """Make a MongoDB view of a version, which any client can query: mongosh, Compass, BI.

        It shows a copy of all documents of the version, with the collection's indexes, so it
        takes the time and the room of a copy unless the version has been read whole before.
        It stays as it is whatever happens to the collection, until `drop_view`; it goes with
        the collection.

        Args:
            revision: The version.
            name: The name of the view, in the same database.
            replace: Let a view of this collection that has the name show this version from now
                on; readers see the one or the other.
            progress: Called with a phase and a number of documents done.

        Returns:
            The version.

        Raises:
            InvalidArgument: The name cannot be that of a view.
            InvalidOperation: There is a collection, view or working copy of that name.
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        return view_verbs.publish_view(self._repository, revision, name, replace, progress)

    def views(self) -> dict[str, Version]:
        """Return the version that each published view shows, by the view's name."""
        return view_verbs.views(self._repository)

    def drop_view(self, name: str) -> None:
        """Drop a view that `publish_view` made; `gc` frees what it took.

        Raises:
            InvalidArgument: There is no such view.
            InvalidType: The name is not a text (a TypeError).
        """
        view_verbs.drop_view(self._repository, name)

    def history(
        self, document_id: Any, revision: RevisionLike = None, limit: int | None = None
    ) -> Iterator[DocumentVersion[DocumentType]]:
        """Iterate over the versions that changed a document, newest first.

        They are those on the way from a version to the first one, along first parents: what a
        merge brought in counts as changed by the merge.

        Args:
            document_id: Its ``_id``. An id that the server takes for the same is the same, such
                as ``1.0`` for ``1``; a `DocumentId` means that very one. Where the version
                `revision` has another id that is the same by the collation of the collection,
                such as ``"A"`` for ``"a"``, that one counts as well (the version is read for
                that as by `at`); further ones of earlier versions do not.
            revision: Where to start, such as a branch; HEAD where it is left out.
            limit: At most so many.

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidArgument: BSON cannot hold the id, or `limit` is negative.
            CollectionNotTracked: There is no history.
        """
        return history(self._planner, document_id, revision, limit)

    def blame(self, document_id: Any, revision: RevisionLike = None) -> list[BlamedField]:
        """Return, for each field of a document, the version that gave it its value.

        Fields of nested documents and elements of lists (by their index) count each. What a merge
        brought in was set by a version of its other side.

        Args:
            document_id: See `history`.
            revision: The version whose document is meant; HEAD where it is left out.

        Raises:
            InvalidArgument: The version has no such document, or BSON cannot hold the id.
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        return blame(self._planner, document_id, revision)

    def find_versions(
        self,
        filter: Mapping[str, Any],
        revision: RevisionLike = None,
        limit: int | None = None,
        *,
        progress: Progress | None = None,
    ) -> Iterator[Appearance]:
        """Iterate over the versions in which documents that match a filter came or went.

        A document comes where it matches and did not in the version before, and goes where it
        does not match any more; newest first, along first parents. All changes on the way are
        looked at before the first version is returned.

        Args:
            filter: Which documents, in MongoDB's query language.
            revision: Where to start, such as a branch; HEAD where it is left out.
            limit: At most so many versions.
            progress: Called with a phase and a number of changes done.

        Raises:
            InvalidCollectionVersion: There is no such version.
            InvalidType: `filter` is no dict.
            InvalidArgument: BSON cannot hold the filter, or `limit` is negative.
            NotSupported: The filter holds ``$near`` or ``$nearSphere``.
            CollectionNotTracked: There is no history.
        """
        return find_versions(self._planner, filter, revision, limit, progress)

    def bisect(
        self,
        good: RevisionLike,
        bad: RevisionLike,
        predicate: Predicate[DocumentType],
        *,
        progress: Progress | None = None,
    ) -> Version:
        """Return the first bad version on the way from a good one to a bad one.

        Of n versions between them, about log2(n) are looked at, as `at` does.

        Args:
            good: A version that is good; the bad one was made from it, along first parents.
            bad: A version that is bad.
            predicate: A filter, where a version is bad when a document matches; or a callable,
                which is given the version as `at` returns it and tells whether it is bad.
            progress: Called with a phase and a number of versions done.

        Raises:
            InvalidArgument: The good version is bad, or the bad one good; or no way leads from
                one to the other.
            InvalidType: The predicate is something else, or an ``async def``.
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """

        def view(version: Version) -> PastCollection[DocumentType]:
            return PastCollection(self._planner, version, self)

        return bisect(self._planner, good, bad, predicate, view, progress)

    def restore(
        self,
        which: Only | Mapping[str, Any] | Iterable[Any],
        revision: RevisionLike = None,
        fields: Iterable[PatternLike] | None = None,
        dry_run: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Restored:
        """Bring chosen documents, or fields of them, back to what they were in a version.

        What is restored is uncommitted, whatever the documents were before; other documents and
        HEAD stay as they are.

        Args:
            which: A list of ``_id`` values, where those that the version does not have are
                deleted; a filter, which chooses among the documents of the version; or `Only`.
                An id that the server takes for the same is the same, such as ``1.0`` for ``1``,
                or ``"A"`` for ``"a"`` where the collection has such a collation.
            revision: The version; HEAD where it is left out.
            fields: Only these places, as patterns such as ``"address.city"``; see `Only`. A
                document that came or went since is chosen by ``()`` or ``"**"`` alone.
            dry_run: Change nothing, and return what would be done.
            progress: Called with a phase and a number of documents done.

        Returns:
            How many documents came back, changed and went, and which.

        Raises:
            WorkingCopyChanged: Another client wrote to one of the documents meanwhile; nothing
                was done. Beyond what one transaction carries, and on standalone servers, such
                documents are kept and listed instead.
            DocumentRejected: A unique index refuses a document, or the validator one of which only
                some fields are restored, so that no version has it; nothing was done.
            InvalidType: `which` is something else (a TypeError).
            InvalidArgument: An id, filter or pattern that cannot be (a ValueError).
            InvalidCollectionVersion: There is no such version.
            CollectionNotTracked: There is no history.
        """
        return restore(self._planner, which, revision, fields, dry_run, progress)
