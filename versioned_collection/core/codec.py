"""Values as people pass and get them: by the codec options of their collection.

Everything else works on BSON as it is stored. What a person passes becomes BSON here, once, and
what a person gets is decoded here: UUIDs, types of a registry, time zones, classes of documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions, DatetimeConversion, TypeRegistry
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import (
    PLAIN_OPTIONS,
    DocumentId,
    DocumentKey,
    id_value,
    is_no_id,
    key_of,
)
from versioned_collection.core.times import utc
from versioned_collection.errors import InvalidArgument, InvalidType

NO_ENCODING = (bson.errors.BSONError, ValueError, TypeError, OverflowError, RecursionError)
"""What encoding raises for values that BSON cannot hold."""


class Codec:
    """Encodes what people pass to a collection, and decodes what they get.

    Args:
        options: The codec options of the collection.

    Attributes:
        options: The same.
        encoding: Those of them that encoding goes by.
        times: Those of them that say what times look like.
        decoding: The same as `options`, but dates that Python cannot represent are no error: a
            look at a history has to show what is there.
        is_plain: Whether values are decoded as PyMongo does unless it is told otherwise.
    """

    __slots__ = ("decoding", "encoding", "is_plain", "options", "times")

    def __init__(self, options: CodecOptions[Any] | None = None) -> None:
        self.options: CodecOptions[Any] = CodecOptions() if options is None else options
        self.encoding: CodecOptions[Any] = CodecOptions(
            uuid_representation=self.options.uuid_representation,
            type_registry=self.options.type_registry,
        )
        self.times: CodecOptions[dict[str, Any]] = PLAIN_OPTIONS.with_options(
            tz_aware=self.options.tz_aware, tzinfo=self.options.tzinfo
        )
        self.decoding = self.options
        if self.options.datetime_conversion is DatetimeConversion.DATETIME:
            auto = DatetimeConversion.DATETIME_AUTO
            self.decoding = self.options.with_options(datetime_conversion=auto)
        self.is_plain = self.decoding == PLAIN_OPTIONS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codec) and self.options == other.options

    def __hash__(self) -> int:
        return hash(self.options.uuid_representation)

    @property
    def has_types(self) -> bool:
        """Whether there are types beside those of BSON."""
        return self.options.type_registry != TypeRegistry()

    # -- what people pass ----------------------------------------------------------------

    def encode(self, document: Mapping[str, Any]) -> bytes:
        """Return the bytes of a document, as PyMongo would send it; errors are the driver's."""
        if isinstance(document, RawBSONDocument):
            return bytes(document.raw)
        encoded: bytes = bson.encode(document, codec_options=self.encoding)
        return encoded

    def key_of(self, value: Any) -> DocumentKey:
        """Return the key of an ``_id``, as PyMongo would send it; errors are the driver's."""
        return key_of(value, self.encoding)

    def key(self, value: Any) -> DocumentKey:
        """Return the key of an ``_id`` as a person gives it: a value, or a `DocumentId`.

        Raises:
            InvalidArgument: BSON cannot hold it, or no document can have it.
        """
        if isinstance(value, DocumentId):
            key = value.key
        else:
            with _refused(f"the _id {value!r}", id=value):
                key = self.key_of(value)
        if is_no_id(key):
            raise InvalidArgument(
                f"no document can have the _id {value!r}: servers refuse lists, regular "
                "expressions, and documents with names that begin with $ there",
                id=value,
            )
        return key

    def document(self, value: Any, what: str) -> bytes:
        """Return the bytes of a document that a person passed.

        Args:
            value: The document.
            what: What it is, for the error.

        Raises:
            InvalidType: It is no mapping.
            InvalidArgument: BSON cannot hold it.
        """
        if not isinstance(value, Mapping):
            raise InvalidType(f"{what} is a dict, not {type(value).__name__}", argument=value)
        with _refused(f"the {what}", argument=value):
            return self.encode(value)

    def raw_value(self, value: Any) -> DocumentKey:
        """Return type byte and value bytes of a value that shall stand in a document.

        Raises:
            InvalidArgument: BSON cannot hold it.
        """
        advice = ". Give one that documents can hold, a Side, or MISSING for none"
        with _refused(f"a value of type {type(value).__name__}", advice, value=value):
            return self.key_of(value)

    def stored(self, value: Any, what: str) -> Any:
        """Return a dict with values as anybody can encode them; other values as they are.

        Raises:
            InvalidArgument: BSON cannot hold it.
        """
        if not isinstance(value, Mapping):
            return value
        raw = self.document(value, what)
        with _refused(f"the {what}", argument=value):
            return bson.decode(raw, PLAIN_OPTIONS)

    # -- what people get -----------------------------------------------------------------

    def value(self, key: DocumentKey) -> Any:
        """Return the value of type byte and value bytes; see `id_value`."""
        return id_value(key, self.decoding)

    def decode(self, raw: bytes) -> Any:
        """Return a document."""
        return bson.decode(raw, self.decoding)

    def shown(self, value: Any) -> Any:
        """Return a value that was decoded without options as these options have it."""
        return value if self.is_plain else self.value(key_of(value))

    def time(self, time: datetime) -> datetime:
        """Return a time (of UTC where it has no zone) with a zone or without, as in documents."""
        if not self.options.tz_aware:
            return utc(time).replace(tzinfo=None)
        return utc(time).astimezone(self.options.tzinfo or timezone.utc)


@contextmanager
def _refused(what: str, advice: str = "", **facts: Any) -> Iterator[None]:
    """Turn what encoding raises into an error of this library."""
    try:
        yield
    except NO_ENCODING as error:
        raise InvalidArgument(f"BSON cannot hold {what}: {error}{advice}", **facts) from error


PLAIN: Final = Codec()
"""That of a collection whose options say nothing."""
