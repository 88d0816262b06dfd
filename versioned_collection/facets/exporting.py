"""Versions and histories in files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.facets.base import Facet
from versioned_collection.files import FileLike
from versioned_collection.history.revisions import RevisionLike
from versioned_collection.observing import Progress
from versioned_collection.verbs.export import Exported, Wanted, export
from versioned_collection.verbs.import_ import Imported, import_

Format = Literal["bson", "jsonl", "parquet", "bundle"]


class Exporting(Facet[DocumentType]):
    """Versions and histories in files."""

    def export(
        self,
        file: FileLike,
        revision: RevisionLike = None,
        format: Format | None = None,
        *,
        branches: Iterable[str] | None = None,
        since: RevisionLike | Iterable[RevisionLike] = None,
        relaxed: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Exported:
        """Write the documents of a version to a file, or the whole history.

        What is uncommitted stays here. The file has its name only once all of it is on the disk,
        and only its owner may read it.

        Args:
            file: A path, or an object that takes bytes, such as ``open(path, "wb")``.
            revision: The version; HEAD where it is left out.
            format: ``bson`` (documents one behind the other, as ``mongodump`` writes them),
                ``jsonl`` (a document of Extended JSON on each line), ``parquet`` (columns; takes
                the extra ``parquet``), or ``bundle``: branches, tags and all versions, which
                `clone`, `fetch` and `pull` bring elsewhere. That of the file's ending where it
                is left out.
            branches: The branches that go into a bundle; all of them, and all tags, where they
                are left out.
            since: Leave out of a bundle what whoever gets it has already: a version and all
                before it, or a list of such.
            relaxed: Write JSON for people, which loses some types.
            overwrite: Replace a file that exists.
            progress: Called with a phase and a number of things done.

        Returns:
            What was written.

        Raises:
            UnusableFile: The file exists already, or the system refuses.
            InvalidArgument: The ending names no format, or the arguments contradict each other
                (a ValueError).
            NotSupported: The format cannot hold a document, which is named, or a library is
                missing.
            InvalidCollectionVersion: There is no such version.
            BranchNotFound: There is no such branch.
            SnapshotUnavailable: Another verb moved the documents while they were read.
            CorruptHistory: A version is not what its checksum says; see `verify`.
            CollectionNotTracked: There is no history.
        """
        wanted = Wanted(revision, format, branches, since, relaxed, overwrite)
        return export(self._repository, file, wanted, progress)

    def import_(
        self,
        file: FileLike,
        format: Format | None = None,
        *,
        replace: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Imported:
        """Bring the documents of a file into the working copy, uncommitted.

        A document takes the place of the one with its ``_id``; one without an ``_id`` gets one.
        A bundle is brought here by `clone`, `fetch` or `pull` instead.

        Args:
            file: A path, or an object that gives bytes, such as ``open(path, "rb")``.
            format: ``bson``, ``jsonl`` or ``parquet``; that of the file's ending where it is left
                out.
            replace: Also delete the documents that the file does not have, so that the
                collection is what the file is.
            dry_run: Change nothing, and return what would be done.
            progress: Called with a phase and a number of documents done.

        Returns:
            How many documents came, changed and went.

        Raises:
            UnusableFile: The file is missing, truncated, or does not hold what it should;
                nothing was done.
            InvalidArgument: The ending names no format, or a bundle (a ValueError).
            WorkingCopyChanged: Another client wrote to one of the documents meanwhile; nothing
                was done. Beyond what one transaction carries, and on standalone servers, such
                documents are kept and listed instead.
            DocumentRejected: An index or the validator refuses a document; nothing was done.
            CollectionNotTracked: There is no history; `init` starts one.
        """
        return import_(self._repository, file, format, replace, dry_run, progress)
