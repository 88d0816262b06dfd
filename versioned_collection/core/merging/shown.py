"""A conflict as whoever settles it sees it: decoded values, and the exact ones beside them."""

from __future__ import annotations

from typing import Any

from versioned_collection.core.codec import NO_ENCODING, PLAIN, Codec
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.merging.conflict import Conflict
from versioned_collection.core.merging.paths import Path, path_text
from versioned_collection.core.merging.values import MISSING, Value


class ShownConflict:
    """Two changes of one place that exclude each other, until somebody decides.

    Values are decoded by the codec options of the collection when they are first asked for, and
    are the same objects from then on: a side's value, given back as it is, is settled with the
    exact BSON of that side, also where decoding lost something.

    Args:
        raw: The conflict with values as the server stores them.
        codec: The codec options.

    Attributes:
        raw: The conflict with values as the server stores them.
    """

    __slots__ = ("_codec", "_given", "raw")

    def __init__(self, raw: Conflict, codec: Codec = PLAIN) -> None:
        self.raw = raw
        self._codec = codec
        self._given: dict[str, Any] = {}

    @property
    def document_id(self) -> Any:
        """The ``_id`` of the document."""
        return self._codec.value(self.raw.key)

    @property
    def path(self) -> Path:
        """The place in the document, a tuple of names and indexes; empty for all of it."""
        return self.raw.path

    @property
    def kind(self) -> str:
        """Why it is a conflict, such as ``both_modified`` or ``deleted_by_them``."""
        return self.raw.kind

    @property
    def base(self) -> Any:
        """The value before both changes, `MISSING` where there was none."""
        return self._value("base")

    @property
    def ours(self) -> Any:
        """The value in HEAD, `MISSING` where there is none."""
        return self._value("ours")

    @property
    def theirs(self) -> Any:
        """The value of the other side, `MISSING` where there is none."""
        return self._value("theirs")

    @property
    def key(self) -> DocumentKey:
        """The exact ``_id``: its BSON type byte and the bytes of the value."""
        return self.raw.key

    @property
    def raw_base(self) -> Value | None:
        """The exact `base`: its BSON type byte and the bytes of the value; None for no value."""
        return self.raw.base

    @property
    def raw_ours(self) -> Value | None:
        """The exact `ours`; see `raw_base`."""
        return self.raw.ours

    @property
    def raw_theirs(self) -> Value | None:
        """The exact `theirs`; see `raw_base`."""
        return self.raw.theirs

    base_value, ours_value, theirs_value = base, ours, theirs  # what resolvers once asked for

    def _value(self, side: str) -> Any:
        if side not in self._given:
            value = getattr(self.raw, side)
            self._given[side] = MISSING if value is None else self._codec.value(value)
        return self._given[side]

    def encoded(self, value: Any) -> Value | None:
        """Return the bytes of what somebody decided for, None for `MISSING`.

        Raises:
            InvalidArgument: BSON cannot hold it.
        """
        exact = self._exactly(value)
        return self._codec.raw_value(value) if exact is None and value is not MISSING else exact

    def _exactly(self, value: Any) -> Value | None:
        """Return the bytes of the side whose decoded value this very object is, and still has."""
        raws = [getattr(self.raw, side) for side, given in self._given.items() if given is value]
        encoded = self._encoding(value) if raws else None
        if encoded in raws:
            return encoded
        for raw in raws:
            fresh = self._codec.value(raw)
            same = fresh == value if encoded is None else encoded == self._encoding(fresh)
            if same:
                return bytes(raw)
        return None

    def _encoding(self, value: Any) -> Value | None:
        try:
            return self._codec.key_of(value)
        except NO_ENCODING:
            return None

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __str__(self) -> str:
        values = f"base {self.base!r}, ours {self.ours!r}, theirs {self.theirs!r}"
        return f"{self.document_id!r} {path_text(self.path)}: {self.kind} ({values})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"
