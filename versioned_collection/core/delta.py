"""The change of one document between two versions, readable in both directions.

A `Delta` holds either *rows* (field-level changes in DeepDiff's vocabulary) or whole
*images*. Rows are made from decoded fields and then proved: applied forward to the old
bytes they must give the new bytes, backward the old ones. What rows cannot express
(re-ordered fields, duplicate names, deprecated types) is carried as images, so that a
delta is exact whatever the documents hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    RAW_OPTIONS,
    DocumentKey,
    document_hash,
    document_key,
)
from versioned_collection.core.rows import (
    Row,
    apply_in_place,
    apply_rows,
    compare_fields,
    inverse_rows,
    revert_in_place,
)
from versioned_collection.errors import CorruptHistory

Operation = Literal["insert", "update", "delete"]


_NOT_EXPRESSIBLE = (
    bson.errors.BSONError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AttributeError,
    SystemError,  # PyMongo before 4.20, for binary data of subtype 255
)
"""What decoding, changing and encoding raise for documents that rows cannot express."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What happened to one document.

    Attributes:
        key: The document's key (type byte and value bytes of its ``_id``).
        op: ``insert``, ``update`` or ``delete``.
        before: SHA-256 of the document before, None for an insert.
        after: SHA-256 of the document after, None for a delete.
        steps: Field-level changes, a tuple of rows for each version crossed; None when
            images are kept. A delta that is stored has one step.
        old: The whole document before, where it is kept.
        new: The whole document after, where it is kept.
        size: How many bytes it had where it was read, 0 for one that was made.
        encoded: Its rows as `encoded_rows` returns them, where they were read like that.
    """

    key: DocumentKey
    op: Operation
    before: bytes | None
    after: bytes | None
    steps: tuple[tuple[Row, ...], ...] | None = None
    old: bytes | None = None
    new: bytes | None = None
    size: int = field(default=0, compare=False, repr=False)
    encoded: bytes | None = field(default=None, compare=False, repr=False)

    def __invert__(self) -> Delta:
        """Return the delta that undoes this one."""
        op: Operation = {"insert": "delete", "delete": "insert"}.get(self.op, "update")  # type: ignore[assignment]
        steps = self.steps and tuple(inverse_rows(rows) for rows in reversed(self.steps))
        ends = self.after, self.before
        return Delta(self.key, op, *ends, steps, self.new, self.old, self.size)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All field-level changes, in the order of application; empty for images."""
        steps = self.steps or ()
        return steps[0] if len(steps) == 1 else tuple(chain.from_iterable(steps))

    def __add__(self, later: Delta) -> Delta | None:
        """Return the one change that this delta and then `later` amount to, None for no change.

        Raises:
            ValueError: `later` does not start from the document where this delta ends.
        """
        if self.key != later.key or self.after != later.before:
            raise ValueError("the second delta does not continue the first")
        if self.before == later.after:
            return None
        if self.steps is not None and later.steps is not None:
            steps, size = self.steps + later.steps, self.size + later.size
            return replace(self, after=later.after, steps=steps, size=size, encoded=None)
        return _images(self.key, _start_of(self, later), _end_of(self, later))

    def apply(self, raw: bytes | None) -> bytes | None:
        """Return the document after the change.

        Args:
            raw: The document before, None where there is none.

        Raises:
            CorruptHistory: `raw` is not the document that the delta starts from, or the
                outcome is not the one that was recorded.
        """
        if not _is(raw, self.before):
            raise _misfit(self)
        if self.steps is None:
            outcomes: Iterable[bytes | None] = (self.new,)
        else:
            outcomes = (apply(raw or b"", self.steps) for apply in (_apply_plain, _apply_raw))
        for outcome in outcomes:
            if _is(outcome, self.after):
                return outcome
        raise _misfit(self)


def applied(deltas: Sequence[Delta], raw: bytes | None) -> bytes | None:
    """Return the document after changes that follow one another.

    Rows are applied all at once, where that leads to the document that was recorded.

    Args:
        deltas: The changes.
        raw: The document before, None where there is none.

    Raises:
        CorruptHistory: They do not lead from the given document to the recorded ones.
    """
    outcome = _applied_at_once(deltas, raw) if len(deltas) > 1 else None
    if outcome is not None:
        return outcome
    for delta in deltas:
        raw = delta.apply(raw)
    return raw


def _applied_at_once(deltas: Sequence[Delta], raw: bytes | None) -> bytes | None:
    """Return the document after changes, None where they have to be applied one by one."""
    rows: list[tuple[Row, ...]] = []
    state = deltas[0].before
    for delta in deltas:
        if delta.steps is None or delta.before != state:
            return None
        rows += delta.steps
        state = delta.after
    if raw is None or not _is(raw, deltas[0].before):
        return None
    if not all(row.is_flat for some in rows for row in some):
        return None  # what one of them puts in, another may change
    try:
        fields: dict[str, Any] = bson.decode(raw, PLAIN_OPTIONS)
        for some in rows:
            apply_in_place(fields, some)
        outcome: bytes = bson.encode(fields)
    except _NOT_EXPRESSIBLE:
        return None
    return outcome if _is(outcome, state) else None


def _apply_plain(raw: bytes, steps: tuple[tuple[Row, ...], ...]) -> bytes | None:
    try:
        for rows in steps:  # decoded anew, so that no step changes the values of another
            fields = bson.decode(raw, PLAIN_OPTIONS)
            apply_in_place(fields, rows)
            raw = bson.encode(fields)
        return raw
    except _NOT_EXPRESSIBLE:
        return None


def _apply_raw(raw: bytes, steps: tuple[tuple[Row, ...], ...]) -> bytes | None:
    try:
        fields = decode_fields(raw)
        for rows in steps:
            fields = apply_rows(fields, rows)
        return encode_fields(fields)
    except _NOT_EXPRESSIBLE:
        return None


def _is(raw: bytes | None, digest: bytes | None) -> bool:
    return (None if raw is None else document_hash(raw)) == digest


def _misfit(delta: Delta) -> CorruptHistory:
    return CorruptHistory(
        "a delta does not fit the document it is applied to; run verify()", key=delta.key
    )


def encoded_rows(delta: Delta) -> bytes:
    """Return the rows as the bytes of a BSON array; empty for images."""
    if delta.encoded is not None:
        return delta.encoded
    if delta.steps is None:
        return b""
    encoded = bson.encode({"": [row.to_bson() for row in delta.rows]})
    return encoded[6:-1]


def content_size(delta: Delta, rows: bytes) -> int:
    """Return how many bytes the rows or images of a delta have.

    Args:
        delta: The delta.
        rows: What `encoded_rows` returns for it.
    """
    images = 0 if delta.steps is not None else len(delta.old or b"") + len(delta.new or b"")
    return len(rows) + images


def delta_digest(delta: Delta, rows: bytes) -> int:
    """Return a number that identifies a delta's content, for sums modulo 2**256.

    Args:
        delta: The delta; its hashes stand for the images.
        rows: What `encoded_rows` returns for it.
    """
    # op and hashes have lengths of their own, so the sizes of key and rows set all apart
    content = b"%s %d %d %s%s%s%s" % (
        delta.op.encode(),
        len(delta.key),
        len(rows),
        delta.before or b"-",
        delta.after or b"-",
        delta.key,
        rows,
    )
    return int.from_bytes(hashlib.sha256(content).digest(), "big")


def _images(key: DocumentKey, old: bytes | None, new: bytes | None) -> Delta:
    op: Operation = "insert" if old is None else "delete" if new is None else "update"
    before = None if old is None else document_hash(old)
    after = None if new is None else document_hash(new)
    return Delta(key, op, before, after, None, old, new)


def _start_of(first: Delta, second: Delta) -> bytes | None:
    return first.old if first.steps is None else (~first).apply(second.old)


def _end_of(first: Delta, second: Delta) -> bytes | None:
    return second.new if second.steps is None else second.apply(first.new)


def decode_fields(raw: bytes) -> dict[str, Any]:
    """Return a document's fields; nested documents stay raw until they are needed."""
    return dict(RawBSONDocument(raw, RAW_OPTIONS).items())


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of decoded fields."""
    return bson.encode(fields)


def compare(old: bytes | None, new: bytes | None) -> Delta | None:
    """Return the delta between two states of one document, None when they are equal.

    Args:
        old: The document before, None where there was none.
        new: The document after, None where it is gone.

    Returns:
        A delta with rows where these prove exact in both directions and are smaller than
        the images, otherwise with images.
    """
    if old == new:
        return None
    key = document_key(old if new is None else new)  # type: ignore[arg-type]
    if old is None or new is None:
        return _images(key, old, new)
    rows = _proved_rows(old, new)
    if rows is None:
        return _images(key, old, new)
    return Delta(key, "update", document_hash(old), document_hash(new), (rows,))


def images(old: bytes | None, new: bytes | None) -> Delta | None:
    """Return the delta between two states with both images, None when they are equal."""
    if old == new:
        return None
    return _images(document_key(old if new is None else new), old, new)  # type: ignore[arg-type]


def _proved_rows(old: bytes, new: bytes) -> tuple[Row, ...] | None:
    for prove in (_plain_rows, _raw_rows):
        try:
            rows = prove(old, new)
        except _NOT_EXPRESSIBLE:
            continue
        if rows is not None:
            return rows
    return None


def _plain_rows(old: bytes, new: bytes) -> tuple[Row, ...] | None:
    """Compare fully decoded documents: fast, and right unless they hold deprecated types."""
    fields: dict[str, Any] = bson.decode(old, PLAIN_OPTIONS)
    after: dict[str, Any] = bson.decode(new, PLAIN_OPTIONS)
    rows = compare_fields(fields, after)
    apply_in_place(fields, rows)
    if bson.encode(fields) != new:
        return None
    revert_in_place(fields, rows)
    return rows if bson.encode(fields) == old else None


def _raw_rows(old: bytes, new: bytes) -> tuple[Row, ...] | None:
    """Compare documents whose nested documents stay bytes as far as they are equal."""
    before, after = decode_fields(old), decode_fields(new)
    rows = compare_fields(before, after)
    if encode_fields(apply_rows(before, rows)) != new:
        return None
    return rows if encode_fields(apply_rows(after, inverse_rows(rows))) == old else None


def hash_number(digest: bytes | None) -> int:
    """Return a document hash as a number to add to a fingerprint; 0 for no document.

    A fingerprint is the sum of these numbers modulo 2**256, an additive multiset hash:
    equal for equal sets of documents, whatever the order (Clarke et al., "Incremental
    Multiset Hash Functions", 2003).
    """
    return 0 if digest is None else int.from_bytes(digest, "big")
