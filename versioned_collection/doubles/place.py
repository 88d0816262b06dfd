"""One collection of mongomock: its documents as BSON, found, put and taken one by one.

Here alone is known how mongomock keeps documents. What goes in is decoded, and refused where that
loses anything; what comes out is encoded, so that everybody else sees bytes.
"""

from __future__ import annotations

import copy
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import bson
from bson.binary import Binary, UuidRepresentation
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex

from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    are_twins,
    build,
    document_key,
    element,
    elements,
    key_of,
    twin_token,
)
from versioned_collection.core.guard import expected_by
from versioned_collection.doubles.refusals import BAD_VALUE, NotMocked, Refusal, refusing
from versioned_collection.doubles.uniques import values_in
from versioned_collection.driver.server_errors import DUPLICATE_KEY

Document = dict[str, Any]

_NOW = "$$NOW"
_TRACKERS = "__"
_DOCUMENT_ID = "document_id"
_OF_FILTERS = {"$and", "$or", "$nor"}
_identities: weakref.WeakKeyDictionary[Any, tuple[Any, Binary]] = weakref.WeakKeyDictionary()


def plain(value: Any) -> Any:
    """Return a value of a command as mongomock takes it."""
    if isinstance(value, RawBSONDocument):
        return bson.decode(bytes(value.raw), PLAIN_OPTIONS)
    return [plain(one) for one in value] if isinstance(value, list) else value


def encoded(document: Mapping[str, Any]) -> RawBSONDocument:
    """Return a document as bytes, its ``_id`` first."""
    return RawBSONDocument(bson.encode(document))


def held(raw: RawBSONDocument) -> Document:
    """Return a document as mongomock holds it.

    Raises:
        Refusal: It would not come back as it is.
    """
    document = refuse_loss(_id_first(bytes(raw.raw)))
    return document if "_id" in document else {"_id": ObjectId(), **document}


def refuse_loss(raw: bytes) -> Document:
    """Return what BSON says, decoded.

    Raises:
        Refusal: Encoded again it would be something else.
    """
    try:
        document: Document = bson.decode(raw, PLAIN_OPTIONS)
        is_exact = bson.encode(document) == raw
    except bson.errors.BSONError:
        is_exact = False
    if not is_exact:
        raise Refusal(
            BAD_VALUE,
            "mongomock cannot hold this document exactly: it has names twice, or values of a type "
            "that Python does not tell from another one, such as a symbol; use a real server",
        )
    return document


def _id_first(raw: bytes) -> bytes:
    found = [
        (name == b"_id", element(name, bytes((kind,)) + raw[start:end]))
        for kind, name, start, end in elements(raw)
    ]
    return build(*(part for _, part in sorted(found, key=lambda one: not one[0])))


def now() -> datetime:
    """Return the time as it is stored: UTC, without a zone, in milliseconds."""
    time = datetime.now(timezone.utc).replace(tzinfo=None)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def at_this_time(expression: Any) -> Any:
    """Return an expression with a constant in the place of what needs a clock."""
    if isinstance(expression, list):
        return [at_this_time(one) for one in expression]
    if expression == _NOW:
        return {"$literal": now()}
    if not isinstance(expression, dict) or "$literal" in expression:
        return expression
    return {name: at_this_time(value) for name, value in expression.items()}


def timed(filter_: Any) -> Any:
    """Return a filter whose expressions need no clock."""
    if isinstance(filter_, list):
        return [timed(one) for one in filter_]
    if not isinstance(filter_, dict):
        return filter_
    timed_ = {name: timed(filter_[name]) for name in _OF_FILTERS & filter_.keys()}
    if "$expr" in filter_:
        timed_["$expr"] = at_this_time(filter_["$expr"])
    return {**filter_, **timed_}


class Place:
    """A collection.

    Args:
        collection: The collection as mongomock gives it.
    """

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self._store = collection._store

    @property
    def exists(self) -> bool:
        """Whether there is such a collection."""
        return bool(self._store.is_created)

    @property
    def identity(self) -> Binary:
        """A UUID, which another collection of the name does not have."""
        self._store.create()  # to mongomock one ceases to be with its last document
        documents, identity = _identities.get(self._store, (lambda: None, None))
        if documents() is not self._store._documents or identity is None:
            identity = Binary.from_uuid(uuid.uuid4(), UuidRepresentation.STANDARD)
            _identities[self._store] = weakref.ref(self._store._documents), identity
        return identity

    @property
    def indexes(self) -> list[Document]:
        """The indexes, as a server lists them."""
        of_ids = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
        others = (
            {"v": 2, **facts, "key": dict(facts["key"]), "name": name}
            for name, facts in self._store.indexes.items()
        )
        return [of_ids, *others]

    # -- looking -------------------------------------------------------------------------

    def all(self) -> list[Document]:
        """Return all documents; they are not to be changed."""
        return list(self._store.documents)

    def matching(self, raw: RawBSONDocument) -> Iterator[Document]:
        """Iterate over the documents that match a filter; they are not to be changed."""
        expected = expected_by(bytes(raw.raw))
        if expected is not None:
            wanted = bson.decode(_of_id(expected), PLAIN_OPTIONS)["_id"]
            yield from (one for one in self._with_id(wanted) if bson.encode(one) == expected)
            return
        filter_ = timed(plain(raw))
        ids = _values_in(filter_, "_id")
        found: Iterable[Document] = self.all()
        if ids is not None:
            filter_.pop("_id", None)
            found = [one for id_ in ids for one in self._with_id(id_)]
            if len(ids) > 1:
                found = {id(one): one for one in found}.values()
        if self.collection.name.startswith(_TRACKERS):
            found = _of_documents(found, filter_)
        yield from matching(found, filter_)

    def _with_id(self, id_: Any) -> list[Document]:
        try:
            found = self._store[_hashable(id_)]
        except (KeyError, TypeError):
            return []
        return [found] if are_twins(key_of(found["_id"]), key_of(id_)) else []

    # -- changing ------------------------------------------------------------------------

    def create(self) -> None:
        """Create the collection; one that is there is kept."""
        self._store.create()

    def put(self, document: Document, before: Document | None = None) -> None:
        """Put a document in, or in the place of another one.

        Raises:
            Refusal: A unique index has one with the same values; all is as it was.
        """
        id_ = _hashable(document["_id"])
        if before is None and id_ in self._store:
            raise self._duplicate("_id_", document["_id"])
        if before is not None and key_of(before["_id"]) != key_of(document["_id"]):
            raise Refusal(66, "the (immutable) field '_id' was found to have been altered")
        self.create()
        if self.collection.name.startswith(_TRACKERS):
            self._put_in_tracker(id_, document, before)
        else:
            self._put_and_compare(id_, document, before)

    def _put_in_tracker(self, id_: Any, document: Document, before: Document | None) -> None:
        values = values_in(self._store)
        for name, one in values.items():
            if one.are_taken(document, before):
                raise self._duplicate(name, document["_id"])
        for one in values.values():
            one.move(before, document)
        self._store[id_] = document

    def _put_and_compare(self, id_: Any, document: Document, before: Document | None) -> None:
        self._store[id_] = document
        try:
            with refusing():
                self.collection._ensure_uniques(document)
        except Refusal as refusal:
            if before is None:
                del self._store[id_]
            else:
                self._store[id_] = before
            if refusal.code == DUPLICATE_KEY:
                raise self._duplicate(self._unique_indexes, document["_id"]) from refusal
            raise

    @property
    def _unique_indexes(self) -> str:
        """The names of the unique indexes: mongomock does not say which one refuses."""
        return " or ".join(one["name"] for one in self.indexes if one.get("unique"))

    def _duplicate(self, index: str, id_: Any) -> Refusal:
        where = f"{self.collection.full_name} index: {index}"
        return Refusal(
            DUPLICATE_KEY, f"E11000 duplicate key error collection: {where} _id: {id_!r}"
        )

    def take(self, document: Document) -> None:
        """Remove a document."""
        if self.collection.name.startswith(_TRACKERS):
            for one in values_in(self._store).values():
                one.move(document, None)
        del self._store[_hashable(document["_id"])]

    def refill(self, documents: Iterable[Document]) -> None:
        """Put others in the place of all documents, as a collection of a new identity.

        Raises:
            Refusal: A unique index is in the way; all is as it was.
        """
        before = self._store._documents
        self._store._documents = type(before)()
        try:
            self.create()
            for document in documents:
                self.put(copy.deepcopy(document))
        except Exception:
            self._store._documents = before
            raise

    def index(self, name: str, keys: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
        """Create an index; return whether there was none of the name.

        Raises:
            Refusal: Documents have the same values, or there is another one of the name.
        """
        if any(not isinstance(way, (int, float)) for way in keys.values()):
            raise NotMocked(f"it has no indexes such as {dict(keys)}")
        known = self._store.indexes.get(name)
        facts = {"key": list(keys.items()), **options}
        if known is not None:
            if known != facts:
                raise Refusal(86, f"an index {name} with other options exists already")
            return False
        self._store.create_index(name, facts)
        try:
            if options.get("unique"):
                with refusing():
                    for document in self.all():
                        self.collection._ensure_uniques(document)
        except Refusal:
            self._store.drop_index(name)
            raise
        return True


def matching(documents: Iterable[Document], filter_: Document) -> Iterator[Document]:
    """Iterate over those documents that match a filter, as mongomock judges."""
    from mongomock.filtering import filter_applies

    with refusing():
        if filter_:
            filter_applies(filter_, {})  # also where there is none, a wrong one is refused
        for document in documents:
            if not filter_ or filter_applies(filter_, document):
                yield document


def _of_documents(found: Iterable[Document], filter_: Document) -> Iterable[Document]:
    """Return what trackers hold of the documents that a filter names, which is taken out of it.

    To mongomock a truth value is the same as a number.
    """
    ids = _values_in(filter_, _DOCUMENT_ID)
    if ids is None or filter_.pop(_DOCUMENT_ID, None) is None:
        return found
    tokens = {twin_token(key_of(id_)) for id_ in ids}
    named = (one for one in found if _DOCUMENT_ID in one)
    return [one for one in named if twin_token(key_of(one[_DOCUMENT_ID])) in tokens]


def _values_in(filter_: Document, name: str) -> list[Any] | None:
    """Return the values of a field that a filter asks for, None where it asks otherwise."""
    if name not in filter_:
        found = (_values_in(one, name) for one in filter_.get("$and", ()))
        return next((values for values in found if values is not None), None)
    wanted = filter_[name]
    if isinstance(wanted, Regex):
        return None
    if not isinstance(wanted, dict) or not any(name.startswith("$") for name in wanted):
        return [wanted]
    if list(wanted) == ["$eq"]:
        return [wanted["$eq"]]
    if list(wanted) == ["$in"] and not any(isinstance(one, Regex) for one in wanted["$in"]):
        return list(wanted["$in"])
    return None


def _hashable(id_: Any) -> Any:
    """Return what mongomock finds a document by."""
    if isinstance(id_, Decimal128):
        return id_.to_decimal()
    return _Key(id_) if isinstance(id_, (bool, dict)) else id_


class _Key:
    """An id that Python takes for others, which a server does not: a truth value or a document.

    It is found by what mongomock itself would look for.
    """

    __slots__ = ("_hash", "_token")

    def __init__(self, id_: Any) -> None:
        from mongomock.helpers import hashdict

        self._token = twin_token(key_of(id_))
        try:
            self._hash = hash(hashdict(id_) if isinstance(id_, dict) else id_)
        except TypeError:  # mongomock cannot look for it
            self._hash = hash(self._token)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Key):
            return bool(self._token == other._token)
        return isinstance(other, (bool, dict)) and bool(self._token == twin_token(key_of(other)))

    def __hash__(self) -> int:
        return self._hash


def _of_id(raw: bytes) -> bytes:
    return build(element(b"_id", document_key(raw)))
