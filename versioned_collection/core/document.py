"""Documents as the bytes that the server stores.

A document is compared and hashed as bytes, and known by its *key*: the type byte and the
value bytes of its ``_id``. Python's equality would merge ``1``, ``1.0`` and ``True``, and a
decode-encode round trip loses deprecated types and duplicate names; bytes lose nothing.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument

DocumentKey = bytes
"""Type byte followed by the value bytes of an ``_id``."""

RAW_OPTIONS: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Decode nested documents lazily and keep dates that Python cannot represent."""

PLAIN_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

AWARE_OPTIONS: CodecOptions[dict[str, Any]] = PLAIN_OPTIONS.with_options(tz_aware=True)
"""Those of trackers: what people say of versions may hold dates that Python cannot represent."""

STRING, OBJECT, ARRAY, BINARY = 0x02, 0x03, 0x04, 0x05
TIMESTAMP = 0x11
UNDEFINED, NULL = 0x06, 0x0A
REGEX = 0x0B
DB_POINTER = 0x0C
SYMBOL = 0x0E

_int32, _double = struct.Struct("<i"), struct.Struct("<d")


def _size_at(raw: bytes, start: int) -> int:
    size: int = _int32.unpack_from(raw, start)[0]
    return size


_FIXED_SIZES = {
    0x01: 8,  # double
    UNDEFINED: 0,
    0x07: 12,  # ObjectId
    0x08: 1,  # boolean
    0x09: 8,  # date
    NULL: 0,
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # Decimal128
    0x7F: 0,  # MaxKey
    0xFF: 0,  # MinKey
}
_DOUBLE, _INT32, _INT64 = 0x01, 0x10, 0x12
_NUMBERS = frozenset((_DOUBLE, _INT32, _INT64, 0x13))
_CODE_WITH_SCOPE = 0x0F
_SIZE_INCLUDES_ITSELF = frozenset((OBJECT, ARRAY, _CODE_WITH_SCOPE))
_SIZE_PREFIXED_STRINGS = frozenset((STRING, 0x0D, SYMBOL))
_ZERO_TIMESTAMP = b"\0" * 8


def value_end(raw: bytes, start: int, kind: int) -> int:
    """Return the offset just behind a BSON value.

    Args:
        raw: The bytes that hold the value.
        start: The offset of the value's first byte.
        kind: The BSON type byte of the value.

    Raises:
        ValueError: The type byte is not one of BSON's.
    """
    size = _FIXED_SIZES.get(kind)
    if size is not None:
        return start + size
    if kind in _SIZE_INCLUDES_ITSELF:
        return start + _size_at(raw, start)
    if kind in _SIZE_PREFIXED_STRINGS:
        return start + 4 + _size_at(raw, start)
    if kind == BINARY:
        return start + 5 + _size_at(raw, start)
    if kind == REGEX:  # two zero-terminated strings
        return raw.index(b"\0", raw.index(b"\0", start) + 1) + 1
    if kind == DB_POINTER:  # a string and an ObjectId
        return start + 4 + _size_at(raw, start) + 12
    raise ValueError(f"not a BSON type: 0x{kind:02x}")


def elements(raw: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Iterate over the top-level elements of a document.

    Yields:
        ``(type byte, name, start of the value, end of the value)`` in stored order.
    """
    position, stop = 4, len(raw) - 1
    while position < stop:
        kind = raw[position]
        name_end = raw.index(b"\0", position + 1)
        end = value_end(raw, name_end + 1, kind)
        yield kind, raw[position + 1 : name_end], name_end + 1, end
        position = end


def depth(raw: bytes) -> int:
    """Return how many levels a document has; one without documents or lists in it has one."""
    deepest, waiting = 0, [(raw, 1)]
    while waiting:
        container, level = waiting.pop()
        deepest = max(deepest, level)
        for kind, _, start, end in elements(container):
            if kind == _CODE_WITH_SCOPE:
                start += 8 + _int32.unpack_from(container, start + 4)[0]
            if kind in _SIZE_INCLUDES_ITSELF:
                waiting.append((container[start:end], level + 1))
    return deepest


def document_key(raw: bytes) -> DocumentKey:
    """Return the key of a document: the type byte and value bytes of its ``_id``.

    Raises:
        ValueError: The document has no ``_id``.
    """
    if raw[5:9] == b"_id\0":  # the server stores _id first
        kind = raw[4]
        if kind == 0x07:
            return raw[4:5] + raw[9:21]
        return raw[4:5] + raw[9 : value_end(raw, 9, kind)]
    for kind, name, start, end in elements(raw):
        if name == b"_id":
            return bytes((kind,)) + raw[start:end]
    raise ValueError("the document has no _id")


def key_of(value: Any, options: CodecOptions[Any] = PLAIN_OPTIONS) -> DocumentKey:
    """Return the key of an ``_id`` given as a Python value.

    Args:
        value: The value.
        options: How it is encoded.

    Raises:
        bson.errors.InvalidDocument: BSON cannot hold the value.
    """
    return document_key(bson.encode({"_id": value}, codec_options=options))


def element(name: bytes, key: DocumentKey) -> bytes:
    """Return a BSON element called `name` that holds the value of `key`."""
    return key[:1] + name + b"\0" + key[1:]


def build(*parts: bytes) -> bytes:
    """Return the document made of encoded elements, in order."""
    content = b"".join(parts)
    return _int32.pack(len(content) + 5) + content + b"\0"


def raw_array(keys: Iterable[DocumentKey]) -> bytes:
    """Return the bytes of a BSON array of the values of `keys`."""
    return build(*(element(b"%d" % index, key) for index, key in enumerate(keys)))


def raw_id_equals(key: DocumentKey) -> bytes:
    """Return the filter for an id, in which no value can pass for an operator.

    Only in ``{_id: value}`` does a server see that it needs no plan for the query: an update in
    a transaction costs it half of what it does with ``{_id: {$eq: value}}``.
    """
    return build(b"\x03_id\0" + raw_equal_to(key) if _says_more(key) else element(b"_id", key))


def raw_equal_to(key: DocumentKey) -> bytes:
    """Return the condition ``{$eq: value}``."""
    return build(element(b"$eq", key))


def _says_more(key: DocumentKey) -> bool:
    """Tell whether a value in a filter is not taken for itself, but for operators or a pattern."""
    return key[0] in (ARRAY, UNDEFINED, REGEX) or (key[0] == OBJECT and key[6:7] == b"$")


def raw_id_in(keys: Iterable[DocumentKey]) -> bytes:
    """Return the filter ``{_id: {$in: [...]}}``."""
    return build(b"\x03_id\0" + build(b"\x04$in\0" + raw_array(keys)))


def is_no_id(key: DocumentKey, *, is_collated: bool = False) -> bool:
    """Tell whether a server stores no document with an id, nor looks for one.

    In a list of ids it takes a regular expression for a pattern, and a document whose first name
    begins with a dollar for an operator, if that is no DBRef.

    Args:
        key: The id.
        is_collated: Whether the collection has a collation, which knows no order of symbols.
    """
    if is_collated and _holds_symbol(key[0], key[1:]):
        return True
    if key[0] != OBJECT:
        return key[0] in (ARRAY, UNDEFINED, REGEX)
    names = [name for _, name, _, _ in elements(key[1:])]
    return names[:1] != [] and names[0][:1] == b"$" and names[:2] != [b"$ref", b"$id"]


def _holds_symbol(kind: int, value: bytes) -> bool:
    if kind not in (OBJECT, ARRAY):
        return kind == SYMBOL
    return any(_holds_symbol(inner, value[start:end]) for inner, _, start, end in elements(value))


def exceed(keys: Iterable[DocumentKey], most: int, most_bytes: int) -> bool:
    """Tell whether there are more keys than that, or larger ones together."""
    count = size = 0
    for key in keys:
        count, size = count + 1, size + len(key)
        if count > most or size > most_bytes:
            return True
    return False


def id_value(key: DocumentKey, options: CodecOptions[Any] = PLAIN_OPTIONS) -> Any:
    """Return the ``_id`` as the Python value that PyMongo would give.

    An ``_id`` that PyMongo cannot decode (invalid UTF-8) comes back as a `RawBSONDocument`
    ``{_id: value}``.

    Args:
        key: Type byte and value bytes.
        options: How it is decoded.
    """
    raw = build(element(b"_id", key))
    try:
        return bson.decode(raw, options)["_id"]
    except bson.errors.BSONError:
        return RawBSONDocument(raw, RAW_OPTIONS)


def are_twins(one: DocumentKey, other: DocumentKey) -> bool:
    """Tell whether the server takes two ids for the same, as it does ``1`` and ``1.0``."""
    return one == other or twin_token(one) == twin_token(other)


def twin_token(key: DocumentKey) -> Any:
    """Return something hashable that is equal for ids that the server takes for the same."""
    return _comparable(key[0], key[1:])


def _comparable(kind: int, value: bytes) -> Any:
    """Return what is equal for values that the server takes for equal (simple collation)."""
    if kind in _NUMBERS:
        return "number", _number(kind, value)
    if kind in (STRING, SYMBOL):
        return "text", value
    if kind in (OBJECT, ARRAY):
        parts = elements(value)
        return kind, tuple((name, _comparable(k, value[a:b])) for k, name, a, b in parts)
    return kind, value


def _number(kind: int, value: bytes) -> Any:
    """Return a number; Python compares those of different types exactly, and hashes them alike."""
    if kind in (_INT32, _INT64):
        return int.from_bytes(value, "little", signed=True)
    if kind == _DOUBLE:
        number = _double.unpack(value)[0]
        return "nan" if math.isnan(number) else number
    exact = Decimal128.from_bid(value).to_decimal()
    return "nan" if exact.is_nan() else exact


def document_hash(raw: bytes) -> bytes:
    """Return the SHA-256 of a document's bytes (32 bytes)."""
    return hashlib.sha256(raw).digest()


def has_zero_timestamp(raw: bytes) -> bool:
    """Tell whether a top-level field is ``Timestamp(0, 0)``.

    The server replaces such a value by the present time on insert and replace, so these
    documents need another way of writing.
    """
    if b"\x11" not in raw or _ZERO_TIMESTAMP not in raw:
        return False
    return any(
        kind == TIMESTAMP and name != b"_id" and raw[start:end] == _ZERO_TIMESTAMP
        for kind, name, start, end in elements(raw)
    )


def has_dollar_name(raw: bytes) -> bool:
    """Tell whether the name of a top-level field begins with a dollar.

    The server takes such a document in an insert, but not as a replacement.
    """
    return b"$" in raw and any(name[:1] == b"$" for _, name, _, _ in elements(raw))


def needs_literal(raw: bytes) -> bool:
    """Tell whether a plain replacement would be changed or refused by the server."""
    return has_zero_timestamp(raw) or has_dollar_name(raw)


def has_duplicate_names(raw: bytes) -> bool:
    """Tell whether two fields of a document, or of one within it, have the same name.

    An update by a pipeline must not meet such a document: it can bring mongod 6.0 down
    (an invariant fails where the difference for the oplog is computed).
    """
    names = set()
    for kind, name, start, end in elements(raw):
        if name in names or (kind in (OBJECT, ARRAY) and has_duplicate_names(raw[start:end])):
            return True
        names.add(name)
    return False


def must_be_put_anew(old: bytes, new: bytes) -> bool:
    """Tell whether `new` cannot safely take the place of `old` in one update."""
    return needs_literal(new) and (has_duplicate_names(old) or has_duplicate_names(new))


class DocumentId:
    """A hashable stand-in for an ``_id`` that cannot be a key of a dict.

    Compound ids are dicts, which Python cannot hash; ``1`` and ``True`` are different ids
    but equal in Python. Equality and hash are those of the BSON bytes.

    Args:
        key: Type byte and value bytes.
        options: How the value is encoded and decoded.

    Attributes:
        key: Type byte and value bytes.
        value: The Python value.
    """

    __slots__ = ("_options", "key")

    def __init__(self, key: DocumentKey, options: CodecOptions[Any] = PLAIN_OPTIONS) -> None:
        self.key = key
        self._options = options

    @property
    def value(self) -> Any:
        """The ``_id`` as PyMongo would give it."""
        return id_value(self.key, self._options)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DocumentId):
            return self.key == other.key
        try:
            return self.key == key_of(other, self._options)
        except (bson.errors.BSONError, TypeError, ValueError, OverflowError):
            return False

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"DocumentId({self.value!r})"


def add_by_id(
    target: dict[Any, Any], key: DocumentKey, item: Any, options: CodecOptions[Any] = PLAIN_OPTIONS
) -> None:
    """Store `item` in `target` under the ``_id`` value, or a `DocumentId` where that fails.

    Args:
        target: The dict keyed by ``_id``.
        key: The document's key.
        item: What to store.
        options: How the ``_id`` is decoded.
    """
    value = id_value(key, options)
    try:
        taken = value in target
    except TypeError:
        taken = True
    target[DocumentId(key, options) if taken else value] = item
