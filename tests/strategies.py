"""Hypothesis strategies for raw BSON, built byte by byte.

Nothing here goes through an encoder, so documents hold what no encoder writes: deprecated
types, duplicate names, NaN payloads, dates out of range, arrays with odd names, invalid
UTF-8. A value is a pair ``(type byte, bytes)``; an id is such a pair as well.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import starmap

from bson.raw_bson import RawBSONDocument
from hypothesis import strategies as st

from versioned_collection.core.document import RAW_OPTIONS

Value = tuple[int, bytes]
Field = tuple[bytes, Value]


# -- building blocks ---------------------------------------------------------------------


def text(content: bytes | str) -> bytes:
    """Return the bytes of a BSON string."""
    raw = content.encode() if isinstance(content, str) else content
    return struct.pack("<i", len(raw) + 1) + raw + b"\0"


def element(name: bytes, value: Value) -> bytes:
    """Return the bytes of an element."""
    return bytes((value[0],)) + name + b"\0" + value[1]


def document(fields: Sequence[Field]) -> bytes:
    """Return the bytes of a document with these fields in this order."""
    body = b"".join(starmap(element, fields))
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def array(values: Sequence[Value]) -> bytes:
    """Return the bytes of an array."""
    return document([(b"%d" % index, value) for index, value in enumerate(values)])


def int32(number: int) -> Value:
    return 0x10, struct.pack("<i", number)


def int64(number: int) -> Value:
    return 0x12, struct.pack("<q", number)


def double(number: float) -> Value:
    return 0x01, struct.pack("<d", number)


def decimal(coefficient: int, exponent: int = 0) -> Value:
    """Return a Decimal128: ``coefficient * 10**exponent``."""
    high = (exponent + 6176) << 49
    return 0x13, struct.pack("<QQ", coefficient, high)


def string(content: str | bytes) -> Value:
    return 0x02, text(content)


def symbol(content: str | bytes) -> Value:
    return 0x0E, text(content)


def code(content: str) -> Value:
    return 0x0D, text(content)


def scoped_code(content: str, scope: bytes) -> Value:
    body = text(content) + scope
    return 0x0F, struct.pack("<i", len(body) + 4) + body


def binary(subtype: int, content: bytes) -> Value:
    if subtype == 2:  # the old form repeats the length
        content = struct.pack("<i", len(content)) + content
    return 0x05, struct.pack("<i", len(content)) + bytes((subtype,)) + content


def pointer(namespace: str, oid: bytes) -> Value:
    return 0x0C, text(namespace) + oid


def regex(pattern: bytes, flags: bytes) -> Value:
    return 0x0B, pattern + b"\0" + flags + b"\0"


def timestamp(seconds: int, counter: int) -> Value:
    return 0x11, struct.pack("<II", counter, seconds)


def date(milliseconds: int) -> Value:
    return 0x09, struct.pack("<q", milliseconds)


def boolean(value: bool) -> Value:
    return 0x08, bytes((value,))


def embedded(fields: Sequence[Field]) -> Value:
    return 0x03, document(fields)


NULL: Value = (0x0A, b"")
UNDEFINED: Value = (0x06, b"")
MIN_KEY: Value = (0xFF, b"")
MAX_KEY: Value = (0x7F, b"")
QUIET_NAN: Value = (0x01, struct.pack("<Q", 0x7FF8000000000000))
NEGATIVE_NAN: Value = (0x01, struct.pack("<Q", 0xFFF8000000000000))
PAYLOAD_NAN: Value = (0x01, struct.pack("<Q", 0x7FF80000DEADBEEF))
SIGNALLING_NAN: Value = (0x01, struct.pack("<Q", 0x7FF0000000000001))
DECIMAL_NAN: Value = (0x13, struct.pack("<QQ", 0, 0x7C00000000000000))
DECIMAL_INFINITY: Value = (0x13, struct.pack("<QQ", 0, 0x7800000000000000))
DECIMAL_NEGATIVE_ZERO: Value = (0x13, struct.pack("<QQ", 0, 0xB040000000000000))
EMPTY_DOCUMENT: Value = (0x03, document([]))
EMPTY_ARRAY: Value = (0x04, document([]))
OID = bytes(range(12))
REFERENCE: Value = embedded([(b"$ref", string("others")), (b"$id", (0x07, OID))])
LONG_REFERENCE: Value = embedded(
    [(b"$ref", string("others")), (b"$id", int32(1)), (b"$db", string("elsewhere"))]
)

# -- scalars -----------------------------------------------------------------------------

NUMBER_TWINS: tuple[Value, ...] = (
    int32(1),
    int64(1),
    double(1.0),
    decimal(1),
    decimal(10, -1),
    boolean(True),
    int32(0),
    int64(0),
    double(0.0),
    double(-0.0),
    decimal(0),
    DECIMAL_NEGATIVE_ZERO,
    boolean(False),
)
"""Values that Python or the server takes for equal, although they are not."""

ODD_DATES: tuple[Value, ...] = (
    date(0),
    date(-1),
    date(-(1 << 63)),
    date((1 << 63) - 1),
    date(-62135596800001),  # the millisecond before the year 1
    date(253402300800000),  # the year 10000
)

ODD_SCALARS: tuple[Value, ...] = (
    *NUMBER_TWINS,
    *ODD_DATES,
    NULL,
    UNDEFINED,
    MIN_KEY,
    MAX_KEY,
    QUIET_NAN,
    NEGATIVE_NAN,
    PAYLOAD_NAN,
    SIGNALLING_NAN,
    DECIMAL_NAN,
    DECIMAL_INFINITY,
    EMPTY_DOCUMENT,
    EMPTY_ARRAY,
    REFERENCE,
    LONG_REFERENCE,
    timestamp(0, 0),
    timestamp(0, 1),
    timestamp(1, 0),
    timestamp(0xFFFFFFFF, 0xFFFFFFFF),
    string(""),
    string("a"),
    string("a\0b"),
    string(b"\xff\xfe broken"),
    symbol("a"),
    symbol(""),
    code("a"),
    scoped_code("a", document([])),
    scoped_code("f()", document([(b"x", int32(1)), (b"x", double(1.0))])),
    pointer("db.c", OID),
    regex(b"^a", b""),
    regex(b"^a", b"imx"),
    regex(b"", b""),
    *(binary(subtype, b"abcd") for subtype in (0, 1, 2, 5, 0x80, 0xFF)),
    binary(3, bytes(16)),
    binary(4, bytes(16)),
    binary(0, b""),
    (0x07, OID),
)

scalars: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(ODD_SCALARS),
    st.integers(-(1 << 31), (1 << 31) - 1).map(int32),
    st.integers(-(1 << 63), (1 << 63) - 1).map(int64),
    st.binary(min_size=8, max_size=8).map(lambda bits: (0x01, bits)),
    st.binary(min_size=16, max_size=16).map(lambda bits: (0x13, bits)),
    st.integers(-(1 << 63), (1 << 63) - 1).map(date),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12).map(string),
    st.tuples(st.sampled_from((0, 1, 2, 5, 0x80)), st.binary(max_size=8)).map(
        lambda pair: binary(*pair)
    ),
)
"""Values of every type without nesting."""

# -- names, documents --------------------------------------------------------------------

ODD_NAMES: tuple[bytes, ...] = (
    b"",
    b"a",
    b"b",
    b"A",
    b"0",
    b"1",
    b"01",
    b"a.b",
    b".",
    b"a.",
    b"$",
    b"$set",
    b"a$b",
    b"$x.y",
    b"__proto__",
    b"__class__",
    b"['a']",
    b"root['a']",
    b"path",
    b"value",
    "ü".encode(),
    "u\u0308".encode(),
    b"\xff",  # invalid UTF-8
    b" ",
    b"'",
    b'"',
)

names: st.SearchStrategy[bytes] = st.one_of(
    st.sampled_from((b"a", b"b", b"c", b"d")),
    st.sampled_from(ODD_NAMES),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=4).map(
        str.encode
    ),
)


def _nested(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    fields = st.lists(st.tuples(names, inner), max_size=4)
    return st.one_of(
        fields.map(embedded),
        st.lists(inner, max_size=5).map(lambda values: (0x04, array(values))),
        fields.map(lambda odd: (0x04, document(odd))),  # an array with odd names
        st.tuples(st.sampled_from(("", "f()")), fields).map(
            lambda pair: scoped_code(pair[0], document(pair[1]))
        ),
    )


values: st.SearchStrategy[Value] = st.recursive(scalars, _nested, max_leaves=6)
"""Values of every type, nested."""

PLAIN_IDS: tuple[Value, ...] = (
    int32(1),
    boolean(True),
    string("1"),
    string("a"),
    NULL,
    (0x07, OID),
)

ODD_IDS: tuple[Value, ...] = (
    *PLAIN_IDS,
    *NUMBER_TWINS,
    *ODD_DATES,
    MIN_KEY,
    MAX_KEY,
    QUIET_NAN,
    NEGATIVE_NAN,
    PAYLOAD_NAN,
    DECIMAL_NAN,
    DECIMAL_INFINITY,
    symbol("a"),
    symbol("b"),
    code("a"),
    scoped_code("a", document([(b"x", int32(1))])),
    pointer("db.c", OID),
    string(""),
    string("A"),
    string(b"\xff\xfe"),
    timestamp(0, 0),
    timestamp(1, 1),
    *(binary(subtype, b"abcd") for subtype in (0, 1, 2, 5, 0x80)),
    binary(3, bytes(16)),
    binary(4, bytes(16)),
    EMPTY_DOCUMENT,
    embedded([(b"a", int32(1)), (b"b", int32(2))]),
    embedded([(b"b", int32(2)), (b"a", int32(1))]),
    embedded([(b"a", double(1.0)), (b"b", int32(2))]),
    embedded([(b"a", (0x04, array([int32(1), NULL])))]),
    embedded([(b"a", int32(1)), (b"a", int32(2))]),
    embedded([(b"ref.x", int32(1)), (b"", UNDEFINED)]),
    REFERENCE,
    LONG_REFERENCE,
)
"""Every type that the server allows as an ``_id``; twins among them."""

ids: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(ODD_IDS),
    st.integers(-5, 5).map(int32),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5).map(string),
)

fields: st.SearchStrategy[list[Field]] = st.lists(
    st.tuples(names.filter(lambda name: name != b"_id"), values), max_size=5
)


def with_id(id_: Value, others: Sequence[Field]) -> bytes:
    """Return a document as the server stores it: ``_id`` first."""
    return document([(b"_id", id_), *others])


def documents(
    of_ids: st.SearchStrategy[Value] = ids, of_fields: st.SearchStrategy[list[Field]] = fields
) -> st.SearchStrategy[bytes]:
    """Return a strategy of whole documents."""
    return st.builds(with_id, of_ids, of_fields)


@st.composite
def edited(draw: st.DrawFn, others: Sequence[Field]) -> list[Field]:
    """Return a strategy of fields that are a few edits away from others."""
    result = list(others)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("set", "retype", "add", "remove", "reverse", "move")))
        if kind == "add" or not result:
            place = draw(st.integers(0, len(result)))
            name = draw(names.filter(lambda name: name != b"_id"))
            result.insert(place, (name, draw(values)))
            continue
        place = draw(st.integers(0, len(result) - 1))
        if kind == "set":
            result[place] = (result[place][0], draw(values))
        elif kind == "retype":
            result[place] = (result[place][0], draw(st.sampled_from(NUMBER_TWINS)))
        elif kind == "remove":
            del result[place]
        elif kind == "move":
            result.append(result.pop(place))
        else:
            result.reverse()
    return result


@st.composite
def states(draw: st.DrawFn) -> tuple[bytes | None, ...]:
    """Return a strategy of three states of one document, None where there is none."""
    id_ = draw(ids)
    first = draw(fields)
    second = draw(st.one_of(edited(first), fields))
    third = draw(st.one_of(edited(second), st.just(first), fields))
    found = [with_id(id_, one) for one in (first, second, third)]
    return tuple(draw(st.sampled_from((raw, raw, raw, None))) for raw in found)


# -- what Python can hold: for comparison with other libraries ---------------------------

plain_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.floats(allow_nan=False).filter(lambda number: number != 0),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
)

plain_values = st.recursive(
    plain_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.sampled_from(("a", "b", "c", "d e", "ü")), inner, max_size=3),
    ),
    max_leaves=8,
)

plain_fields = st.dictionaries(st.sampled_from(("a", "b", "c", "d")), plain_values, max_size=4)


def raw_document(raw: bytes) -> RawBSONDocument:
    """Return what PyMongo writes as it is."""
    return RawBSONDocument(raw, RAW_OPTIONS)
