"""Which of the changes since HEAD a version records, where it records a part of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver

from versioned_collection.core.codec import Codec
from versioned_collection.core.document import (
    DocumentKey,
    build,
    document_key,
    raw_array,
    raw_id_equals,
    raw_id_in,
    twin_token,
)
from versioned_collection.core.merging.paths import Pattern, PatternLike, patterns
from versioned_collection.core.partial import take_changes
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.driver.server_errors import reason_of
from versioned_collection.driver.wire import documents
from versioned_collection.errors import InvalidArgument, InvalidOperation, InvalidType
from versioned_collection.repository.hold import Hold
from versioned_collection.working.working_copy import Change, WorkingCopy

LARGEST_DOCUMENT = 16 * 1024 * 1024

NO_INDEXES = (
    "It is matched with documents as HEAD recorded them, too: these have no indexes, without "
    "which there is no text search and no $near"
)


class Only:
    """Which changes are registered, or which documents and fields are restored.

    Args:
        ids: The documents with these ``_id`` values.
        filter: The documents that match this filter of MongoDB: as they are now, or, where
            they were deleted, as HEAD recorded them. Together with `ids`: those of them.
        fields: Of these documents, only the changes at these places: patterns such as
            ``"address.city"`` or ``"items.*.price"``, each with all below it. Fields keep the
            order that HEAD has; one that came stands behind what precedes it now. Elements of
            lists go by index, or by key where the pattern holds an `ElementKey`. A document
            that came or went is chosen by ``()`` or ``"**"`` alone.

    Raises:
        InvalidType: An argument has the wrong type.
        InvalidArgument: A pattern is malformed, or nothing was given. An id or a filter that
            cannot be stored is found out by the verb, which knows the codec options.
    """

    __slots__ = ("filter", "ids", "patterns")

    def __init__(
        self,
        ids: Iterable[Any] | None = None,
        filter: Mapping[str, Any] | None = None,
        fields: Iterable[PatternLike] | None = None,
    ) -> None:
        if ids is None and filter is None and fields is None:
            raise InvalidArgument("Only() chooses by ids, a filter or fields; give one of them")
        self.ids = None if ids is None else _listed(ids)
        self.filter = filter
        self.patterns = None if fields is None else patterns(fields, "fields")
        if filter is not None and not isinstance(filter, Mapping):
            raise InvalidType(f"a filter is a dict, not {filter!r}", argument=filter)

    def encoded(self, codec: Codec) -> Chosen:
        """Return the choice as BSON, by the codec options of the collection it is made in.

        Raises:
            InvalidArgument: An id or the filter cannot be stored.
        """
        keys = None if self.ids is None else [codec.key(value) for value in self.ids]
        filter_ = None if self.filter is None else codec.document(self.filter, "filter")
        return Chosen(keys, filter_, self.patterns)


class Chosen(NamedTuple):
    """What an `Only` chooses, as BSON."""

    keys: list[DocumentKey] | None
    filter: bytes | None
    patterns: tuple[Pattern, ...] | None


def only_of(like: Any, codec: Codec) -> Chosen | None:
    """Return what an argument ``only`` stands for: a list of ids, a filter, or an `Only`.

    Args:
        like: The argument.
        codec: How its values become BSON.

    Raises:
        InvalidType: It is something else.
        InvalidArgument: See `Only`; or an id or the filter cannot be stored.
    """
    if like is None:
        return None
    only = like
    if not isinstance(like, Only):
        only = Only(filter=like) if isinstance(like, Mapping) else Only(ids=like)
    chosen: Chosen = only.encoded(codec)
    return chosen


def _listed(ids: Any) -> list[Any]:
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise InvalidType(
            "documents are chosen by a list of _id values, a filter or Only(...), not "
            f"{ids!r}; write [{ids!r}] for one _id",
            argument=ids,
        )
    return list(ids)


class Selection:
    """The changes of the working copy that are chosen.

    Args:
        hold: The lease.
        copy: The look at the working copy, complete.
        only: The choice.

    Raises:
        InvalidArgument: The server refuses the filter.
    """

    def __init__(self, hold: Hold, copy: WorkingCopy, only: Chosen) -> None:
        self._repository = hold.repository
        self._at = copy.noticed.at
        self._only = only
        collation = hold.state.options.get("collation")
        self._collation = {"collation": collation} if collation else {}
        if only.filter is not None:
            for name in (self._repository.name, self._repository.replica.name):
                for _ in self._find(name, self._filter([]), limit=1):
                    pass
        self._ids = self._tokens(only.keys or [])

    def of(self, changes: Iterable[list[Change]]) -> Iterator[list[Change]]:
        """Iterate over what is chosen of changes, which lead to the state to record."""
        for batch in changes:
            chosen = self._chosen(batch)
            if chosen:
                yield chosen

    def _chosen(self, batch: list[Change]) -> list[Change]:
        only, some = self._only, batch
        if only.keys is not None:
            some = [change for change in some if twin_token(change.key) in self._ids]
        if only.filter is not None:
            some = list(self._matching(some))
        if 0 < len(some) < len(batch):
            some = self._with_twins(some, batch)
        return some if only.patterns is None else list(self._parts(some))

    def _parts(self, changes: list[Change]) -> Iterator[Change]:
        for change in changes:
            key, old = change.key, change.old
            taken = take_changes(old, change.new, self._only.patterns or ())
            if taken is not None and len(taken) > LARGEST_DOCUMENT:
                raise InvalidOperation(
                    "a document with only the chosen changes is larger than 16 MB; choose more "
                    "or fewer of its fields",
                    document_id=self._repository.codec.value(key),
                )
            if taken != old:
                yield Change(key, old, taken)

    # -- ids that are the same for the server --------------------------------------------

    def _tokens(self, keys: Sequence[DocumentKey]) -> set[Any]:
        """Return what identifies documents with these ids, however these are written."""
        tokens = set(map(twin_token, keys))
        if self._collation:
            for name in (self._repository.name, self._repository.replica.name):
                for portion in portions(keys, len, IDS_PER_READ, BYTES_OF_IDS):
                    for raw in self._find(name, raw_id_in(portion), projection={"_id": 1}):
                        tokens.add(twin_token(document_key(raw)))
        return tokens

    def _with_twins(self, some: list[Change], batch: list[Change]) -> list[Change]:
        """Return changes with those that go with them.

        Where ``1.0`` took the place of ``1``, one came and the other went: no version can hold
        both. They are compared together, so both are in `batch`.
        """
        chosen = {change.key for change in some}
        places = {
            change.key: self._place(change)
            for change in batch
            if change.old is None or change.new is None
        }
        wanted = {place for key, place in places.items() if key in chosen}
        return [c for c in batch if c.key in chosen or places.get(c.key) in wanted]

    def _place(self, change: Change) -> Any:
        if self._collation and change.new is None:
            found = self._find(self._repository.name, raw_id_equals(change.key))
            raw = next(found, None)
            found.close()
            if raw is not None:
                return twin_token(document_key(raw))
        return twin_token(change.key)

    # -- the filter ----------------------------------------------------------------------

    def _matching(self, changes: list[Change]) -> Iterator[Change]:
        repository = self._repository
        present = {change.key: change for change in changes if change.new is not None}
        gone = {change.key: change for change in changes if change.new is None}
        # without a snapshot a document may have changed again: then a later version has it
        by_id = {"projection": {"_id": 1}}
        exactly: dict[str, Any] = {} if self._at is None else by_id
        for portion in portions(sorted(present), len, IDS_PER_READ, BYTES_OF_IDS):
            for raw in self._find(repository.name, self._filter(portion), **exactly):
                change = present.get(document_key(raw))
                if change is not None and (self._at or raw == change.new):
                    yield change
        for portion in portions(sorted(gone), len, IDS_PER_READ, BYTES_OF_IDS):
            for raw in self._find(repository.replica.name, self._filter(portion), **by_id):
                if document_key(raw) in gone:
                    yield gone[document_key(raw)]

    def _filter(self, keys: Sequence[DocumentKey]) -> bytes:
        both = (b"\x03" + raw_id_in(keys), b"\x03" + (self._only.filter or build()))
        return build(b"\x04$and\0" + raw_array(both))

    def _find(self, name: str, filter_: bytes, **options: Any) -> Generator[bytes, None, None]:
        is_present = name == self._repository.name
        at = self._at if is_present else None
        with refusals(self._only.filter, NO_INDEXES):
            for batch in documents(
                self._repository.db,
                name,
                RawBSONDocument(filter_),
                at=at,
                **({} if is_present else self._collation),
                **options,
            ):
                yield from batch


@contextmanager
def refusals(
    filter_: bytes | Mapping[str, Any] | None, lacking: str | None = None
) -> Iterator[None]:
    """Turn the server's refusal of a filter that a person gave into an error of this library.

    Args:
        filter_: The filter, None where none was given.
        lacking: What filters may need and this one cannot have, for people.

    Raises:
        InvalidArgument: The server refuses the filter.
    """
    try:
        yield
    except (driver.CursorNotFound, driver.ExecutionTimeout):
        raise
    except driver.OperationFailure as error:
        if filter_ is None:
            raise
        advice = f". {lacking}" if lacking else ""
        raise InvalidArgument(
            f"the server refuses the filter: {reason_of(error)}{advice}",
            server_code=error.code,
        ) from error
