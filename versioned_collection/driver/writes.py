"""Writing documents exactly: statements as bytes, bounded commands, refusals.

Ids and documents are spliced into commands as bytes, so that nothing that Python cannot
represent is ever decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.database import Database

from versioned_collection.core.document import (
    DocumentKey,
    build,
    depth,
    document_key,
    has_zero_timestamp,
    must_be_put_anew,
    needs_literal,
    raw_id_equals,
    raw_id_in,
)
from versioned_collection.core.guard import exactly
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.driver.server_errors import (
    DOCUMENT_TOO_LARGE,
    DUPLICATE_KEY,
    NO_LONGER_PRIMARY,
    OVERFLOW,
    not_written,
)
from versioned_collection.driver.wire import by_keys, run
from versioned_collection.errors import DocumentRejected

OPERATIONS_PER_WRITE = 5_000
BYTES_PER_WRITE = 12 * 1024 * 1024

_STATEMENTS = {"insert": "documents", "update": "updates", "delete": "deletes"}
_TOO_DEEP = "it exceeds 180 levels of nesting"


def replace_statement(
    raw: bytes, guard: bytes | None = None, *, literal: bool | None = None
) -> RawBSONDocument:
    """Return the update statement that makes a document exactly `raw`.

    Args:
        raw: The new document; it replaces the one with the same ``_id``.
        guard: The document that must be there now; where another one is, nothing happens.
        literal: What `needs_literal` says of `raw`, where that is known.
    """
    key = document_key(raw)
    query = raw_id_equals(key) if guard is None else exactly(key, guard)
    if needs_literal(raw) if literal is None else literal:
        stage = build(b"\x03$replaceWith\0" + build(b"\x03$literal\0" + raw))
        update = b"\x04u\0" + build(b"\x030\0" + stage)
    else:
        update = b"\x03u\0" + raw
    return RawBSONDocument(build(b"\x03q\0" + query, update))


def upsert_statement(raw: bytes) -> RawBSONDocument:
    """Return the statement that inserts or replaces a document, and keeps zero timestamps."""
    statement = bytes(replace_statement(raw).raw)
    return RawBSONDocument(build(statement[4:-1], b"\x08upsert\0\x01"))


def delete_statement(key: DocumentKey, guard: bytes | None = None) -> RawBSONDocument:
    """Return the statement that deletes a document, where `guard` allows it."""
    query = raw_id_equals(key) if guard is None else exactly(key, guard)
    return RawBSONDocument(build(b"\x03q\0" + query, b"\x10limit\0\x01\0\0\0"))


def delete_many_statement(keys: Iterable[DocumentKey]) -> RawBSONDocument:
    """Return the statement that deletes all documents with these ids."""
    query = raw_id_in(keys)
    return RawBSONDocument(build(b"\x03q\0" + query, b"\x10limit\0\0\0\0\0"))


def delete_all_statement() -> RawBSONDocument:
    """Return the statement that deletes all documents."""
    return RawBSONDocument(build(b"\x03q\0" + build(), b"\x10limit\0\0\0\0\0"))


class WriteOutcome:
    """What the server said of a list of statements.

    Attributes:
        matched: Documents that were found (inserted, for inserts).
        errors: The server's write errors, each with ``index`` into the list and ``code``.
    """

    def __init__(self) -> None:
        self.matched = 0
        self.errors: list[Mapping[str, Any]] = []


def write(
    db: Database[Any],
    kind: str,
    collection: str,
    statements: Sequence[RawBSONDocument],
    *,
    session: ClientSession | None = None,
    ordered: bool = True,
    check: Callable[[], None] | None = None,
    **options: Any,
) -> WriteOutcome:
    """Run write statements in bounded commands.

    Args:
        db: The database.
        kind: ``insert``, ``update`` or ``delete``.
        collection: The collection's name.
        statements: Documents for an insert, statements otherwise.
        session: The session, for instance of a transaction.
        ordered: Stop at the first error.
        check: Called before each command; raises where nothing may be written any more.
        **options: Further options of the command.

    Returns:
        Counts and write errors; errors are not raised here, except in a transaction, where
        the server aborts at the first one.

    Raises:
        NotPrimaryError: The server ceased to be the primary.
        WriteConcernError: What was written may not be on as many servers as it has to be.
    """
    outcome = WriteOutcome()
    done = 0
    for portion in portions(
        statements, lambda one: len(one.raw), OPERATIONS_PER_WRITE, BYTES_PER_WRITE
    ):
        command = {kind: collection, _STATEMENTS[kind]: portion, "ordered": ordered, **options}
        if session is None or not session.in_transaction:
            command["writeConcern"] = db.write_concern.document
        if check is not None:
            check()
        reply = _run(db, command, session, portion)
        outcome.matched += reply.get("n", 0)
        for failure in reply.get("writeErrors", ()):
            if failure["code"] in NO_LONGER_PRIMARY:
                raise not_written(failure, driver.OperationFailure)
            outcome.errors.append({**dict(failure.items()), "index": failure["index"] + done})
        if outcome.errors and ordered:
            break
        done += len(portion)
    return outcome


def _run(
    db: Database[Any],
    command: Mapping[str, Any],
    session: ClientSession | None,
    statements: Sequence[RawBSONDocument],
) -> Mapping[str, Any]:
    """Run a command; a document because of which it is not even begun counts as refused."""
    try:
        return run(db, command, session)
    except driver.DocumentTooLarge as error:  # so large that it was a portion of its own
        refusal = {"index": 0, "code": DOCUMENT_TOO_LARGE, "errmsg": str(error)}
    except driver.OperationFailure as error:
        if error.code != OVERFLOW:
            raise
        # beyond 200 levels the server takes no command, and names the whole path of the place
        levels = [depth(bytes(one.raw)) for one in statements]
        refusal = {"index": levels.index(max(levels)), "code": OVERFLOW, "errmsg": _TOO_DEEP}
    return {"writeErrors": [refusal]}


def raise_write_error(outcome: WriteOutcome, statements: Sequence[RawBSONDocument]) -> None:
    """Raise `DocumentRejected` for the first write error, if there is one."""
    if outcome.errors:
        first = outcome.errors[0]
        raise DocumentRejected(
            f"the server refused a document: {first.get('errmsg')}",
            reason=first.get("errmsg"),
            server_code=first.get("code"),
            statement=statements[first["index"]],
        )


def insert_all(
    db: Database[Any],
    collection: str,
    raws: Sequence[bytes],
    session: ClientSession | None = None,
    **options: Any,
) -> None:
    """Insert documents exactly, whatever they hold.

    Raises:
        DocumentRejected: The server refused one.
    """
    for kind, statements in _insertions(raws):
        outcome = write(db, kind, collection, statements, session=session, **options)
        raise_write_error(outcome, statements)


def insert_missing(
    db: Database[Any],
    collection: str,
    raws: Sequence[bytes],
    session: ClientSession | None = None,
) -> bool:
    """Insert documents, except those that a unique index has already.

    Returns:
        Whether none was there. Where one was, the server has ended the transaction.

    Raises:
        DocumentRejected: The server refused one for another reason.
    """
    missing = True
    for kind, statements in _insertions(raws):
        outcome = write(db, kind, collection, statements, session=session, ordered=False)
        found = len(outcome.errors)
        outcome.errors = [one for one in outcome.errors if one["code"] != DUPLICATE_KEY]
        missing = missing and found == 0
        raise_write_error(outcome, statements)
        if session is not None and not missing:
            break
    return missing


def _insertions(raws: Sequence[bytes]) -> Iterator[tuple[str, list[RawBSONDocument]]]:
    """Iterate over the kinds of statements that insert documents, each with some of them."""
    plain, special = [], []
    for raw in raws:
        if has_zero_timestamp(raw):
            special.append(upsert_statement(raw))
        else:
            plain.append(RawBSONDocument(raw))
    if plain:
        yield "insert", plain
    if special:
        yield "update", special


def put_exactly(
    db: Database[Any],
    collection: str,
    removed: Sequence[DocumentKey],
    raws: Sequence[bytes],
    session: ClientSession | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Take the documents of some ids out of a collection, then put others in.

    In a transaction a changed document is deleted and inserted, which costs half of a
    replace; without one, each document has to change in one step.

    Args:
        db: The database.
        collection: The collection's name.
        removed: The ids.
        raws: The documents; they take the place of those with their ids.
        session: The session of a transaction; there the ids of `raws` have to be in `removed`.
        check: See `write`.

    Raises:
        DocumentRejected: The server refused a document.
    """
    if session is None:
        added = set(map(document_key, raws))
        removed = [key for key in removed if key not in added]
        removed += _put_anew(db, collection, raws)
    if removed:
        portioned = portions(removed, len, IDS_PER_READ, BYTES_OF_IDS)
        statements = list(map(delete_many_statement, portioned))
        outcome = write(db, "delete", collection, statements, session=session, check=check)
        raise_write_error(outcome, statements)
    if raws and session is None:
        statements = list(map(upsert_statement, raws))
        outcome = write(db, "update", collection, statements, check=check)
        raise_write_error(outcome, statements)
    elif raws:
        insert_all(db, collection, raws, session)


def _put_anew(db: Database[Any], collection: str, raws: Sequence[bytes]) -> list[DocumentKey]:
    """Return the ids of documents that have to go before they come back changed."""
    special = {document_key(raw): raw for raw in raws if needs_literal(raw)}
    return [
        key
        for _, found in by_keys(db, collection, list(special))
        for key, old in found.items()
        if key in special and must_be_put_anew(old, special[key])
    ]
