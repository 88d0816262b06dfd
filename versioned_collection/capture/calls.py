"""Calls of PyMongo's write methods, and what these return: which documents they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache
from inspect import Signature, signature
from typing import Any
from uuid import UUID

from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from versioned_collection.bound_sessions import bound_to
from versioned_collection.core.codec import Codec
from versioned_collection.core.document import (
    OBJECT,
    RAW_OPTIONS,
    REGEX,
    DocumentKey,
    document_key,
    elements,
    raw_id_in,
)

_ANSWERS = (
    driver.OperationFailure,
    driver.ConfigurationError,
    driver.InvalidOperation,  # also of a closed client, which can settle nothing
    BSONError,
    OverflowError,
    TypeError,
    ValueError,
)
"""Errors after which nothing is under way: the server has refused, or nothing was sent to it."""

_FAITHFUL = (ObjectId, int, float, bool, UUID)
"""Types of ids that come back from the driver as they were written."""


def given_to(
    method: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the arguments of a method by their names; None for what PyMongo will refuse."""
    given = _bound(method, args, kwargs)
    if given is None:
        return None
    others = given.pop("kwargs", {})
    orders = [given.get("sort"), given.get("hint")]
    if isinstance(orders[1], str):  # the name of an index
        orders.pop()
    if not isinstance(given["filter"], Mapping) or not all(map(_is_order, orders)):
        return None
    return {**given, **others}


def _bound(
    method: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    try:
        given = _signature_of(method.__name__).bind(None, *args, **kwargs).arguments
    except TypeError:
        return None
    del given["self"]
    return given


@cache
def _signature_of(name: str) -> Signature:
    return signature(getattr(Collection, name))


def transaction_of(
    method: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> ClientSession | None:
    """Return the session of a call that is part of a transaction, None for any other."""
    given = _bound(method, args, kwargs) or {}
    session = given.get("session", given.get("kwargs", {}).get("session"))
    if session is None:
        session = bound_to(method.__self__.database.client)  # type: ignore[attr-defined]
    is_within = isinstance(session, ClientSession) and session.in_transaction
    return session if is_within else None


def is_answer(error: BaseException) -> bool:
    """Tell whether nothing is under way any more: a time-out, for instance, does not say so."""
    return isinstance(error, _ANSWERS) and not _has_given_up(error)


def _has_given_up(error: BaseException) -> bool:
    """Tell whether the driver ran out of time, which it says as a server does of itself."""
    if not isinstance(error, driver.ExecutionTimeout):
        return False
    return "codeName" not in (error.details or {})


def _is_order(sort: Any) -> bool:
    """Tell whether PyMongo takes something for an order of documents, or the keys of an index."""
    if sort is None or isinstance(sort, Mapping):
        return True
    pairs = isinstance(sort, Sequence) and not isinstance(sort, (str, bytes))
    return pairs and all(isinstance(one, str) or _is_pair(one) for one in sort)


def _is_pair(one: Any) -> bool:
    return isinstance(one, (list, tuple)) and len(one) == 2 and isinstance(one[0], str)


def in_order(sort: Any, codec: Codec) -> RawBSONDocument:
    """Return an order as the server takes it; at the top the driver would put ``_id`` first."""
    pairs = sort.items() if isinstance(sort, Mapping) else map(_ascending, sort)
    [(_, _, start, end)] = elements(raw := codec.encode({"sort": dict(pairs)}))
    return RawBSONDocument(raw[start:end])


def _ascending(one: Any) -> Any:
    return (one, 1) if isinstance(one, str) else one


def exact_id(filter_: Any, codec: Codec) -> DocumentKey | None:
    """Return the id that a filter asks for, None when it asks for anything else."""
    if not isinstance(filter_, Mapping) or not _has_id(filter_):
        return None
    if isinstance(filter_, RawBSONDocument):
        value = document_key(bytes(filter_.raw))
        return None if value[0] in (OBJECT, REGEX) else value
    value = filter_["_id"]
    if isinstance(value, Mapping) or hasattr(value, "pattern"):
        return None  # operators, or a compound id that could be one
    return codec.key_of(value)


def _has_id(document: Mapping[str, Any]) -> bool:
    """Tell whether there is an ``_id``, without decoding what may not be decodable."""
    if isinstance(document, RawBSONDocument):
        return any(name == b"_id" for _, name, _, _ in elements(bytes(document.raw)))
    return "_id" in document


def ids_of(documents: Any, codec: Codec) -> list[DocumentKey] | None:
    """Return the ids of documents to insert, which get one here if they have none."""
    keys = []
    if not isinstance(documents, list):
        return None
    for document in documents:
        if isinstance(document, RawBSONDocument):
            if not _has_id(document):
                return None
            keys.append(document_key(bytes(document.raw)))
        elif isinstance(document, MutableMapping):
            if "_id" not in document:
                document["_id"] = ObjectId()
            keys.append(codec.key_of(document["_id"]))
        else:
            return None  # PyMongo refuses it
    return keys


def reach_of_all(requests: Sequence[Any], codec: Codec) -> list[DocumentKey] | None:
    """Return the ids that a bulk of writes asks for, None where it asks for anything else."""
    keys: list[DocumentKey] = []
    for request in requests:
        if isinstance(request, InsertOne):
            reach = ids_of([request._doc], codec)
        elif isinstance(request, (UpdateOne, ReplaceOne, DeleteOne)):
            exact = exact_id(request._filter, codec)
            reach = None if exact is None else [exact]
        else:
            reach = None
        if reach is None:
            return None
        keys += reach
    return keys


def restricted(given: Mapping[str, Any], keys: Sequence[DocumentKey]) -> dict[str, Any]:
    """Return the arguments of a write for which it finds the documents of `keys` alone."""
    filter_ = given["filter"]
    ids = RawBSONDocument(raw_id_in(keys), RAW_OPTIONS)["_id"]
    nested = isinstance(filter_, RawBSONDocument) or "_id" in filter_
    narrow = {"$and": [filter_, {"_id": ids}]} if nested else {**filter_, "_id": ids}
    others = {name: value for name, value in given.items() if name != "upsert"}
    return {**others, "filter": narrow}


def outcome(result: Any, codec: Codec) -> list[DocumentKey] | None:
    """Return the ids that an outcome says were touched, None where it does not say."""
    if result is None:
        return []
    if not getattr(result, "acknowledged", False):
        return None
    upserted = getattr(result, "upserted_id", None)
    if upserted is not None:
        # of other types the driver may have lost something when it decoded the reply
        is_faithful = type(upserted) in _FAITHFUL and not codec.has_types
        return [codec.key_of(upserted)] if is_faithful else None
    counts = [getattr(result, name, None) for name in ("matched_count", "deleted_count")]
    return [] if 0 in counts else None


def writes(pipeline: Any) -> bool:
    """Tell whether an aggregation writes its outcome to a collection."""
    stages = pipeline if isinstance(pipeline, (list, tuple)) else []
    return any("$out" in stage or "$merge" in stage for stage in stages[-1:])
