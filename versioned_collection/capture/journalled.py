"""The write methods of PyMongo, each noted in the journal before it happens.

Only in write-through mode: elsewhere every call goes straight to PyMongo. A write whose
reach is known is noted with its ids. One whose reach is not (an upsert, a change of very
many documents) is noted as "unknown" until its outcome tells; if the process dies in
between, the next verb compares everything. A note is settled once the outcome is known: what
timed out or was interrupted, the server may still be carrying out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.results import (
    BulkWriteResult,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    UpdateResult,
)

from versioned_collection.bound_sessions import apart, bound_to, unbound
from versioned_collection.capture.calls import (
    exact_id,
    given_to,
    ids_of,
    in_order,
    is_answer,
    outcome,
    reach_of_all,
    restricted,
    transaction_of,
    writes,
)
from versioned_collection.core.document import (
    OBJECT,
    STRING,
    DocumentKey,
    document_key,
    exceed,
)
from versioned_collection.driver.wire import documents
from versioned_collection.repository.repository import Repository

if TYPE_CHECKING:
    # with a default: VersionedCollection alone means one of dicts
    from typing_extensions import TypeVar as Variable

    DocumentType = Variable("DocumentType", bound=Mapping[str, Any], default=dict[str, Any])
else:
    DocumentType = TypeVar("DocumentType")

_log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_IDS = 20_000
MOST_BYTES = 4 * 1024 * 1024
"""Ids that one journal entry holds, and their bytes; a write that reaches more is followed by a
scan."""

_ATTEMPTS = 3

_RESULTS = BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult


class JournalledWrites(Collection[DocumentType]):
    """Overrides the writes of a `Collection`; mixed in before it."""

    _repository: Repository

    def insert_one(
        self, document: DocumentType | RawBSONDocument, *args: Any, **kwargs: Any
    ) -> InsertOneResult:
        if not self._journals():
            return self._unnoted(super().insert_one, document, *args, **kwargs)
        keys = ids_of([document], self._repository.codec)
        return self._noted(keys, super().insert_one, document, *args, **kwargs)

    def insert_many(
        self, documents: Iterable[DocumentType | RawBSONDocument], *args: Any, **kwargs: Any
    ) -> InsertManyResult:
        if not self._journals():
            return self._unnoted(super().insert_many, documents, *args, **kwargs)
        listed = list(documents)
        keys = ids_of(listed, self._repository.codec)
        return self._noted(keys, super().insert_many, listed, *args, **kwargs)

    def bulk_write(self, requests: Sequence[Any], *args: Any, **kwargs: Any) -> BulkWriteResult:
        if not isinstance(requests, list) or not self._journals():
            return self._unnoted(super().bulk_write, requests, *args, **kwargs)
        reach = reach_of_all(requests, self._repository.codec)
        collation = next((r._collation for r in requests if getattr(r, "_collation", None)), None)
        if reach is not None and self._is_collated(reach, collation):
            reach = None
        return self._noted(reach, super().bulk_write, requests, *args, **kwargs)

    def update_one(self, filter: Any, *args: Any, **kwargs: Any) -> UpdateResult:
        return self._choosing(self._one, super().update_one, (filter, *args), kwargs)

    def replace_one(self, filter: Any, *args: Any, **kwargs: Any) -> UpdateResult:
        return self._choosing(self._one, super().replace_one, (filter, *args), kwargs)

    def delete_one(self, filter: Any, *args: Any, **kwargs: Any) -> DeleteResult:
        return self._choosing(self._one, super().delete_one, (filter, *args), kwargs)

    def find_one_and_update(self, filter: Any, *args: Any, **kwargs: Any) -> DocumentType | None:
        return self._choosing(self._one, super().find_one_and_update, (filter, *args), kwargs)

    def find_one_and_replace(self, filter: Any, *args: Any, **kwargs: Any) -> DocumentType | None:
        return self._choosing(self._one, super().find_one_and_replace, (filter, *args), kwargs)

    def find_one_and_delete(self, filter: Any, *args: Any, **kwargs: Any) -> DocumentType | None:
        return self._choosing(self._one, super().find_one_and_delete, (filter, *args), kwargs)

    def update_many(self, filter: Any, *args: Any, **kwargs: Any) -> UpdateResult:
        return self._choosing(self._many, super().update_many, (filter, *args), kwargs)

    def delete_many(self, filter: Any, *args: Any, **kwargs: Any) -> DeleteResult:
        return self._choosing(self._many, super().delete_many, (filter, *args), kwargs)

    def aggregate(self, pipeline: Any, *args: Any, **kwargs: Any) -> Any:
        if not writes(pipeline):
            return super().aggregate(pipeline, *args, **kwargs)
        if not self._journals():
            return self._unnoted(super().aggregate, pipeline, *args, **kwargs)
        return self._noted(None, super().aggregate, pipeline, *args, **kwargs)

    def aggregate_raw_batches(self, pipeline: Any, *args: Any, **kwargs: Any) -> Any:
        if not writes(pipeline):
            return super().aggregate_raw_batches(pipeline, *args, **kwargs)
        if not self._journals():
            return self._unnoted(super().aggregate_raw_batches, pipeline, *args, **kwargs)
        return self._noted(None, super().aggregate_raw_batches, pipeline, *args, **kwargs)

    # -- how -----------------------------------------------------------------------------

    @apart
    def _journals(self) -> bool:
        repository = self._repository
        return repository.capture_mode == "write_through" and repository.known_state() is not None

    def _unnoted(self, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a write of which nobody has to hear, unless a history has begun meanwhile."""
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            if self._journals() and transaction_of(method, args, kwargs) is None:
                self._note(None, partial(_raise, error), None)
            raise
        if self._journals():
            self._note(None, lambda: result, transaction_of(method, args, kwargs))
        return result

    def _is_collated(self, keys: Sequence[DocumentKey], collation: Any) -> bool:
        """Tell whether an id may find a document whose own id is spelled differently."""
        if not any(key[0] in (STRING, OBJECT) for key in keys):
            return False
        state = self._repository.known_state()
        return collation is not None or (state is not None and "collation" in state.options)

    def _is_beyond(self, found: Sequence[DocumentKey], given: Mapping[str, Any]) -> bool:
        """Tell whether a write cannot be restricted to what it finds now."""
        collation = given.get("collation")
        is_loose = collation is not None and self._is_collated(found, collation)
        return is_loose or _are_too_many(found) or self._may_be_refused(given)

    def _may_be_refused(self, given: Mapping[str, Any]) -> bool:
        """Tell whether PyMongo or the server may refuse a write because it is an upsert."""
        upsert = given.get("upsert", False)
        if not isinstance(upsert, bool):
            return True
        return upsert and b"$expr\0" in self._repository.codec.encode(given["filter"])

    def _choosing(
        self,
        noting: Callable[[Callable[..., T], dict[str, Any]], T],
        method: Callable[..., T],
        args: Any,
        kwargs: dict[str, Any],
    ) -> T:
        """Run a write that chooses its documents by a filter, noting them as `noting` does."""
        if not self._journals():
            return self._unnoted(method, *args, **kwargs)
        given = given_to(method, args, kwargs)
        return method(*args, **kwargs) if given is None else noting(method, given)

    def _one(self, method: Callable[..., T], given: dict[str, Any]) -> T:
        """Run a write of at most one document."""
        exact = exact_id(given["filter"], self._repository.codec)
        if exact is not None and not self._is_collated([exact], given.get("collation")):
            return self._noted([exact], method, **given)
        for _ in range(_ATTEMPTS):
            found = self._matching(given, 1)
            if not found or self._is_beyond(found, given):
                break
            result = self._noted(found, method, **restricted(given, found))
            if outcome(result, self._repository.codec) != []:
                return result
        return self._unknown(method, given)

    def _many(self, method: Callable[..., T], given: dict[str, Any]) -> T:
        """Run a write of any number of documents."""
        found = self._matching(given, MOST_IDS + 1)
        if not found or self._is_beyond(found, given):
            return self._unknown(method, given)
        result = self._noted(found, method, **restricted(given, found))
        if given.get("upsert") and outcome(result, self._repository.codec) == []:
            return self._unknown(method, given)  # nothing that was found is left
        return result

    def _unknown(self, method: Callable[..., T], given: dict[str, Any]) -> T:
        """Run a write whose reach only its outcome tells."""

        def touched(result: T) -> list[DocumentKey] | None:
            # where there was no document before, one may have been inserted
            if result is None and given.get("upsert"):
                return None
            return outcome(result, self._repository.codec)

        transaction = transaction_of(method, (), given)
        return self._note(None, partial(method, **given), transaction, touched)

    def _noted(
        self,
        keys: Sequence[DocumentKey] | None,
        method: Callable[..., T],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> T:
        """Run a write that can touch the documents of `keys`, None where that is not known."""
        transaction = transaction_of(method, args, kwargs)
        return self._note(keys, partial(method, *args, **kwargs), transaction)

    def _note(
        self,
        keys: Sequence[DocumentKey] | None,
        write: Callable[[], T],
        transaction: ClientSession | None,
        touched: Callable[[T], list[DocumentKey] | None] = lambda _: None,
    ) -> T:
        """Note a write and run it.

        Args:
            keys: The documents that it can touch, None where they are not known.
            write: The write.
            transaction: The session, where the write is part of a transaction: so is its note.
            touched: Returns of its result what it touched, where `keys` did not tell.
        """
        journal = self._repository.journal
        if keys is not None and _are_too_many(keys):
            keys = None
        with unbound():
            entry = journal.begin(keys, transaction)
        told: Sequence[DocumentKey] | None = None
        try:
            result = write()
            told = touched(result)
        except BaseException as error:
            if transaction is None and is_answer(error):
                with unbound():
                    journal.settle(entry)
            raise
        finally:
            if keys is None and told is None:
                self._tell_of_unknown_reach()
        with unbound():
            if isinstance(result, _RESULTS) and not result.acknowledged:
                journal.leave(entry)
            elif transaction is None or told is not None:
                journal.settle(entry, told, transaction)
        return result

    def _tell_of_unknown_reach(self) -> None:
        _log.info(
            "a write to %s may have reached any document: the next look compares all",
            self.name,
            extra={"collection": self.name},
        )

    def _matching(self, given: Mapping[str, Any], limit: int) -> list[DocumentKey]:
        """Return the ids that a write finds now, at most `limit`, or too many for an entry.

        None is found where the server refuses to look: the write then tells why.
        """
        codec = self._repository.codec
        options: dict[str, Any] = {}
        if given.get("sort"):
            options["sort"] = in_order(given["sort"], codec)
        if given.get("hint") is not None:
            hint = given["hint"]
            options["hint"] = hint if isinstance(hint, str) else in_order(hint, codec)
        if given.get("collation") is not None:
            collation = given["collation"]
            options["collation"] = getattr(collation, "document", collation)
        if given.get("let"):
            options["let"] = RawBSONDocument(codec.encode(given["let"]))
        batches = documents(
            self._repository.db,
            self.name,
            RawBSONDocument(codec.encode(given["filter"])),
            projection={"_id": 1},
            limit=limit,
            # a transaction sees what it has written itself
            session=given.get("session") or bound_to(self.database.client),
            **options,
        )
        found: list[DocumentKey] = []
        try:
            for batch in batches:
                found += map(document_key, batch)
                if _are_too_many(found):
                    break
        except driver.OperationFailure:
            return []
        return found


def _are_too_many(keys: Sequence[DocumentKey]) -> bool:
    return exceed(keys, MOST_IDS, MOST_BYTES)


def _raise(error: BaseException) -> NoReturn:
    raise error
