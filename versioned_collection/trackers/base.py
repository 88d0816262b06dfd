"""What all tracker collections have in common: name, creation, format number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import bson
from gridfs.errors import GridFSError
from pymongo import IndexModel
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection.core.document import AWARE_OPTIONS
from versioned_collection.driver.catalog import list_collections
from versioned_collection.driver.server_errors import (
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    TOO_LARGE,
    UUID_MISMATCH,
    translated,
)
from versioned_collection.driver.wire import create_collection
from versioned_collection.errors import (
    CorruptHistory,
    FormatMismatch,
    InvalidArgument,
    NotSupported,
    VersioningError,
)

FORMAT = 1
"""The format number of everything that this release stores."""

NAMESPACE_LIMIT = 255
"""Bytes that MongoDB allows for ``database.collection``."""

MALFORMED = (
    bson.errors.BSONError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    GridFSError,
)
"""What decoding raises where somebody has edited what is stored."""

S = TypeVar("S", bound=Mapping[str, Any])
T = TypeVar("T")
Unreadable = list[VersioningError] | None

COMPRESSED = {"wiredTiger": {"configString": "block_compressor=zstd"}}


class Tracker:
    """A collection that belongs to the tracked collection `name`.

    Args:
        db: The database of the tracked collection.
        name: The tracked collection's name.
    """

    prefix: ClassVar[str]
    indexes: ClassVar[tuple[IndexModel, ...]] = ()
    """Those beside the one on ``_id``, with which most trackers live."""
    at_first_use: ClassVar[bool] = False
    """Whether the collection is created for its first document, not with the history."""

    def __init__(self, db: Database[Any], name: str) -> None:
        self._created = False
        self.db = db
        self.tracked = name
        self.name = f"__{self.prefix}_{name}"
        self.collection: Collection[dict[str, Any]] = db.get_collection(
            self.name, codec_options=AWARE_OPTIONS
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all collections that belong to this tracker."""
        return (self.name,)

    def names_under(self, tracked: str) -> tuple[str, ...]:
        """Return what `names` will be once the tracked collection has another name."""
        return type(self)(self.db, tracked).names

    def create(self) -> None:
        """Create the collection, compressed, with its indexes; an existing one is kept."""
        create_collection(self.db, self.name, storageEngine=COMPRESSED)
        with translated():
            self.create_indexes()

    def create_once(self, session: Session = None) -> None:
        """Create the collection unless this object has done so.

        One that is dropped behind our back is created by its next document, though without
        compression. So is one whose first document is part of a transaction: in the middle of
        it nothing is created beside it.

        Args:
            session: The session in which the document will be written.
        """
        if not self._created and session is None:
            self.create()
            self._created = True

    def create_indexes(self) -> None:
        """Create the indexes; those that are there stay."""
        if self.indexes:
            self.collection.create_indexes(list(self.indexes))

    def missing_indexes(self) -> list[str]:
        """Return the names of the indexes that the collection has lost, if it is there."""
        with translated():
            found = {index["name"] for index in self.collection.list_indexes()}
        named = (index.document["name"] for index in self.indexes)
        return [name for name in named if name not in found] if found else []

    def said(
        self, found: Iterable[S], decode: Callable[[S], T], unreadable: Unreadable = None
    ) -> Iterator[T]:
        """Iterate over what documents of this tracker say, whose format is checked; see `parsed`.

        Args:
            found: The documents.
            decode: Returns what one says.
            unreadable: Takes the errors for documents that cannot be read; see `parsed`.

        Raises:
            CorruptHistory: A document says what no release has written.
            FormatMismatch: Another release has written it.
        """

        def checked(stored: S) -> T:
            check_format(stored, self.name)
            return decode(stored)

        return parsed(found, checked, self.name, unreadable)

    def said_by(self, stored: S | None, decode: Callable[[S], T]) -> T | None:
        """Return what a document says, None where there is none; see `said`."""
        return next(self.said([] if stored is None else [stored], decode), None)

    def size(self) -> int:
        """Return the bytes on disk of documents and indexes; 0 where there is nothing."""
        return sum(bytes_on_disk(self.db, name) for name in self.names)


def drop_exactly(db: Database[Any], name: str, identity: Any) -> bool:
    """Drop a collection if it still is the one with this UUID.

    What a late owner of a lease sends does nothing where the new owner has replaced the
    collection.

    Args:
        db: The database.
        name: The collection's name.
        identity: Its UUID, None for a view.

    Returns:
        Whether it was there.
    """
    guard = {} if identity is None else {"collectionUUID": identity}
    with translated():
        try:
            db.command({"drop": name, **guard})
        except driver.OperationFailure as error:
            if error.code not in (NAMESPACE_NOT_FOUND, UUID_MISMATCH):
                raise
            return False
    return True


def rename_exactly(
    db: Database[Any], old: str, new: str, identity: Any, *, over: bool = False
) -> None:
    """Rename a collection if it still is the one with this UUID; see `drop_exactly`."""
    with translated():
        try:
            db[old].rename(new, dropTarget=over, collectionUUID=identity)
        except driver.OperationFailure as error:
            if error.code not in (NAMESPACE_NOT_FOUND, UUID_MISMATCH):
                raise


def rename_unless_taken(db: Database[Any], old: str, new: str, identity: Any) -> bool:
    """Rename a collection as `rename_exactly` does, and tell whether no other one has the name."""
    try:
        rename_exactly(db, old, new, identity)
    except driver.OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:
            raise
        return False
    return True


def identities(db: Database[Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the UUIDs of those collections that exist, None for views."""
    with translated():
        found = list_collections(db, {"name": {"$in": list(names)}})
        return {info["name"]: info["info"].get("uuid") for info in found}


def bytes_on_disk(db: Database[Any], name: str) -> int:
    """Return the bytes that a collection and its indexes take; 0 for a missing one."""
    with translated():
        try:
            stats = db.command("collStats", name)
        except driver.OperationFailure as error:
            if error.code == NAMESPACE_NOT_FOUND:
                return 0
            raise
    return int(stats["storageSize"]) + int(stats["totalIndexSize"])


def storable(text: str) -> bool:
    """Tell whether BSON can hold a text; no name in a tracker is one that it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_collection_name(db: Database[Any], name: Any, what: str = "collection") -> None:
    """Make sure that a collection, or a view, can have a name.

    Raises:
        InvalidArgument: It cannot.
    """
    try:
        db.get_collection(name)
    except (driver.PyMongoError, TypeError) as error:
        raise InvalidArgument(f"not a name for a {what}: {error}", name=name) from error
    if not storable(name):
        raise InvalidArgument(
            f"not a name for a {what}: {name!r} has parts of characters, which no text in UTF-8 "
            "can have",
            name=name,
        )
    size = len(f"{db.name}.{name}".encode())
    if size > NAMESPACE_LIMIT:
        raise InvalidArgument(
            f"not a name for a {what}: with that of the database it takes {size} bytes, MongoDB "
            f"allows {NAMESPACE_LIMIT}",
            name=name,
            bytes=size,
            limit=NAMESPACE_LIMIT,
        )


def check_format(document: Mapping[str, Any], where: str) -> None:
    """Check the format number of a stored document.

    Raises:
        FormatMismatch: It is not the number that this release reads.
    """
    found = document.get("format")
    if found != FORMAT:
        raise FormatMismatch(
            f"{where} carries format {found!r}, this release reads format {FORMAT}; "
            "use the release of versioned_collection that wrote it",
            found=found,
            supported=FORMAT,
            where=where,
            id=document.get("_id"),
        )


def parsed(
    found: Iterable[S],
    decode: Callable[[S], T],
    where: str,
    unreadable: Unreadable = None,
) -> Iterator[T]:
    """Iterate over what stored documents say.

    Args:
        found: The documents.
        decode: Returns what one says.
        where: The tracker.
        unreadable: Takes the errors for documents that cannot be read, which are left out then.

    Raises:
        CorruptHistory: A document says what no release has written.
        FormatMismatch: Another release has written it.
    """
    for stored in found:
        try:
            said = decode(stored)
        except (*MALFORMED, VersioningError) as error:
            problem = malformed(where, stored.get("_id"), error)
            if unreadable is None:
                raise problem from error
            unreadable.append(problem)
        else:
            yield said


def malformed(where: str, identity: Any, error: Exception) -> VersioningError:
    """Return the error for a stored document that cannot be read.

    Args:
        where: The tracker.
        identity: The ``_id`` of the document.
        error: What was raised; one of ours says it all.
    """
    if isinstance(error, VersioningError):
        return error
    said = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return CorruptHistory(
        f"the document {identity!r} of {where} cannot be read ({said}), so somebody has changed "
        "it; put back what was there, from a backup or a clone",
        where=where,
        id=identity,
    )


def must(holds: bool, problem: str) -> None:
    """Make sure that a part of a stored document is what it has to be.

    Raises:
        ValueError: It is not.
    """
    if not holds:
        raise ValueError(problem)


Session = ClientSession | None


@contextmanager
def told_if_too_large() -> Iterator[None]:
    """Tell of a note of what a verb does that does not fit into a document.

    Raises:
        NotSupported: It does not.
    """
    try:
        yield
    except (driver.DocumentTooLarge, driver.OperationFailure) as error:
        if isinstance(error, driver.OperationFailure) and error.code not in TOO_LARGE:
            raise
        raise NotSupported(
            "the note of what is to be done at once takes more bytes than a document may have, so "
            "nothing of it was done. Do it in parts, with fewer versions each: of a remote, bring "
            "a branch first that ends with an older version; or give branches shorter names, and "
            "tags shorter messages",
            reason=str(error),
        ) from error
