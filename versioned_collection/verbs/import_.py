"""import_: the documents of a file become those of the working copy, uncommitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.objectid import ObjectId

from versioned_collection import files, formats
from versioned_collection.committing.recreating import ensure_collection
from versioned_collection.core.delta import Delta, images
from versioned_collection.core.document import (
    DocumentKey,
    build,
    document_key,
    element,
    elements,
    id_value,
    is_no_id,
)
from versioned_collection.core.portions import IDS_PER_READ, portions
from versioned_collection.core.sums import Counts
from versioned_collection.documents.moves import BATCH, BATCH_BYTES
from versioned_collection.driver.wire import by_keys, documents
from versioned_collection.errors import InvalidArgument, UnusableFile
from versioned_collection.files import FileLike
from versioned_collection.observing import Progress, counted, verb
from versioned_collection.remotes.checked import UNREADABLE, problem_of_document
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.shelf import Shelf
from versioned_collection.working.recovery import holding
from versioned_collection.working.replacing import Replacing

_ANYTHING: CodecOptions[dict[str, Any]] = CodecOptions(
    unicode_decode_error_handler="ignore", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


@dataclass(slots=True)
class Imported(Counts):
    """What `import_` did, or would do.

    Attributes:
        documents: How many documents the file holds.
        inserted: How many documents were new.
        updated: How many documents changed.
        deleted: How many documents went, as the file does not have them.
        kept: Ids of those that another client changed meanwhile, and that were left so.
    """

    documents: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    kept: list[Any] = field(default_factory=list)

    def count(self, deltas: Iterable[Delta]) -> None:
        """Count changes of documents."""
        for delta in deltas:
            self.count_op(delta.op)


@verb("import")
def import_(
    repository: Repository,
    file: FileLike,
    format: str | None = None,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Bring the documents of a file into the working copy.

    Raises:
        InvalidArgument: The ending of the file names no format.
        UnusableFile: The file is missing, or does not hold what it should; nothing was done.
        WorkingCopyChanged: Another client wrote to one of the documents meanwhile; nothing was
            done.
        DocumentRejected: The server refuses one; nothing was done.
        CollectionNotTracked: There is no history.
    """
    format = _format(file, format)
    repository.state()
    with files.read(file) as source, Shelf() as shelf:
        found = _Documents(formats.read(format, source, files.name_of(file)), files.name_of(file))
        with holding(repository, "import") as hold:
            if not dry_run:
                ensure_collection(hold)
            return _Importing(hold, found, shelf, replace, progress).run(dry_run)


def _format(file: FileLike, format: str | None) -> str:
    named = formats.ALL_ENDINGS.get(files.ending_of(file)) if format is None else format
    if named == formats.BUNDLE:
        raise InvalidArgument(
            "a bundle holds a history: bring it here with clone(), fetch() or pull()",
            format=named,
        )
    return files.format_of(file, format, formats.ENDINGS)


class _Documents:
    """The documents of a file, as a server would have stored them.

    Args:
        raws: What was read.
        name: What people call the file.
    """

    def __init__(self, raws: Iterator[bytes], name: str) -> None:
        self._raws = raws
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        for number, raw in enumerate(self._raws, 1):
            try:
                bson.decode(raw, _ANYTHING)
                raw = _with_id_first(raw)
                key = document_key(raw)
            except UNREADABLE as error:
                raise self.malformed(f"document {number:,} cannot be read ({error})") from error
            problem = problem_of_document(raw, key)
            if problem is None and is_no_id(key):
                problem = f"no document can have the _id {id_value(key)!r}"
            if problem is not None:
                raise self.malformed(f"document {number:,} cannot be stored: {problem}")
            yield raw

    def malformed(self, words: str) -> UnusableFile:
        """Return the error for a file with a document that cannot be."""
        return files.unusable(self._name, "malformed", words)


def _with_id_first(raw: bytes) -> bytes:
    """Return a document as a server stores it; one without an id gets one."""
    if raw[5:9] == b"_id\0":
        return raw
    parts = [
        (name, element(name, bytes((kind,)) + raw[start:end]))
        for kind, name, start, end in elements(raw)
    ]
    own = [part for name, part in parts if name == b"_id"] or [b"\x07_id\0" + ObjectId().binary]
    return build(*own, *(part for name, part in parts if name != b"_id"))


class _Importing:
    def __init__(
        self,
        hold: Hold,
        found: _Documents,
        shelf: Shelf,
        replace: bool,
        progress: Progress | None,
    ) -> None:
        self._repository = hold.repository
        self._replacing = Replacing(hold, progress, strict=True)
        self._found = found
        self._shelf = shelf  # the ids of the file, and of what makes room for them
        self._replace = replace
        self._progress = counted(progress)
        self._imported = Imported()

    def run(self, dry_run: bool) -> Imported:
        if dry_run:
            for _ in self._changes():
                pass
        else:
            kept = self._replacing.run(self._changes())
            self._imported.kept = [self._repository.codec.value(key) for key in kept]
        return self._imported

    def _changes(self) -> Iterator[list[Delta]]:
        """Iterate over the changes from the present documents to those of the file."""
        for some in portions(self._found, len, min(IDS_PER_READ, BATCH), BATCH_BYTES):
            yield from self._counted(self._put(self._by_key(some)))
            self._imported.documents += len(some)
            self._progress("read", len(some), sum(map(len, some)))
        if self._replace:
            yield from self._counted(self._others())

    def _counted(self, changes: Iterable[list[Delta]]) -> Iterator[list[Delta]]:
        for deltas in changes:
            self._imported.count(deltas)
            yield deltas

    def _by_key(self, raws: list[bytes]) -> dict[DocumentKey, bytes]:
        """Return documents by their ids, none of which the file had before."""
        found = {document_key(raw): raw for raw in raws}
        if len(found) < len(raws) or self._shelf.known(list(found)):
            keys = [document_key(raw) for raw in raws]
            known = self._shelf.known(keys)
            twice = next(key for key in keys if key in known or keys.count(key) > 1)
            shown = self._repository.codec.value(twice)
            raise self._found.malformed(f"two documents have the _id {shown!r}")
        self._shelf.reserve(found)
        return found

    def _put(self, wanted: dict[DocumentKey, bytes]) -> Iterator[list[Delta]]:
        repository = self._repository
        for portion, present in by_keys(repository.db, repository.name, sorted(wanted)):
            # what the server takes for the same id, such as 1.0 for 1, makes room
            places = sorted({*portion, *present})
            self._shelf.reserve(places)
            found = (images(present.get(key), wanted.get(key)) for key in places)
            yield [delta for delta in found if delta is not None]

    def _others(self) -> Iterator[list[Delta]]:
        """Iterate over the deletions of what the file does not have."""
        repository = self._repository
        for batch in documents(repository.db, repository.name, batch_size=BATCH):
            present = {document_key(raw): raw for raw in batch}
            staying = self._shelf.known(list(present))
            found = (images(present[key], None) for key in sorted(present.keys() - staying))
            yield [delta for delta in found if delta is not None]
