"""Resolvers: objects with one method that settle conflicts, and those that come built in.

A resolver must be a function of its arguments: a merge that is repeated after a crash has
to come to the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeAlias, cast

import bson
from bson.codec_options import CodecOptions

from versioned_collection.core.answers import answer
from versioned_collection.core.codec import PLAIN, Codec
from versioned_collection.core.document import (
    ARRAY,
    OBJECT,
    PLAIN_OPTIONS,
    STRING,
    TIMESTAMP,
    build,
    element,
    value_end,
)
from versioned_collection.core.merging.conflict import Conflict
from versioned_collection.core.merging.lists import union_of
from versioned_collection.core.merging.numbers import number_of, sum_of_changes, width
from versioned_collection.core.merging.paths import path_text
from versioned_collection.core.merging.shown import ShownConflict
from versioned_collection.core.merging.values import (
    UNRESOLVED,
    Marker,
    Unresolved,
    Value,
    array_of,
    items_of,
    keeps_id,
    values_named,
)
from versioned_collection.errors import InvalidArgument, InvalidType, ResolverFailed

_ANY_TEXT: CodecOptions[dict[str, Any]] = PLAIN_OPTIONS.with_options(
    unicode_decode_error_handler="ignore"
)


class Side(Enum):
    """A resolution that takes the value of one state, or its absence."""

    BASE = "base"
    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True, slots=True)
class Exactly:
    """A resolution given as bytes, for values that Python cannot hold.

    Attributes:
        value: Type byte and value bytes.
    """

    value: Value


Resolution: TypeAlias = Any
"""A `Side`, a Python value, `Exactly`, `MISSING` (remove), `UNRESOLVED` (leave it)."""


@dataclass(frozen=True, slots=True)
class MergeContext:
    """What a resolver may know beside the conflict.

    Attributes:
        ours_time: When our version was registered, if known.
        theirs_time: When their version was registered, if known.
        codec: The codec options of the collection.
    """

    ours_time: datetime | None = None
    theirs_time: datetime | None = None
    codec: Codec = field(default=PLAIN, repr=False)


class Resolver(Protocol):
    """Settles conflicts.

    A resolver with an attribute ``same_changes = True`` is also asked where both sides made
    the same change, which otherwise counts as agreement.
    """

    def resolve(self, conflict: ShownConflict, context: MergeContext) -> Resolution:
        """Return what shall stand at the conflict's place.

        Args:
            conflict: The place and the three values.
            context: What is known of the merge.
        """
        ...


ResolverFunction: TypeAlias = Callable[[ShownConflict, MergeContext], Resolution]
ResolverLike: TypeAlias = "str | Resolver | ResolverFunction"


@dataclass(frozen=True, slots=True)
class FunctionResolver:
    """A function as a resolver.

    Attributes:
        function: Called with the conflict and the context.
        same_changes: Whether it is asked about same changes too.
    """

    function: ResolverFunction
    same_changes: bool = False

    def resolve(self, conflict: ShownConflict, context: MergeContext) -> Resolution:
        """Return what the function returns."""
        return self.function(conflict, context)


def _ours(conflict: ShownConflict, context: MergeContext) -> Resolution:
    return Side.OURS


def _theirs(conflict: ShownConflict, context: MergeContext) -> Resolution:
    return Side.THEIRS


def _union(conflict: ShownConflict, context: MergeContext) -> Resolution:
    if conflict.raw_ours == conflict.raw_theirs:
        return Side.OURS
    ours, theirs = _list_of(conflict.raw_ours), _list_of(conflict.raw_theirs)
    if ours is None or theirs is None:
        return UNRESOLVED
    return Exactly(array_of(union_of(_list_of(conflict.raw_base) or [], ours, theirs)))


def _list_of(value: Value | None) -> list[Value] | None:
    return items_of(value) if value is not None and value[0] == ARRAY else None


def _rank(value: Value) -> tuple[str, Any] | None:
    """Return what a value compares by, with the name of those it can be compared with."""
    number = number_of(value)
    if number is not None:
        return "number", (number, width(value), value)
    kind, content = value[0], value[1:]
    if kind in (0x08, 0x07, STRING):  # boolean, ObjectId, string: byte by byte
        return f"{kind}", content[4:] if kind == STRING else content
    if kind == 0x09:
        return "date", int.from_bytes(content, "little", signed=True)
    if kind == TIMESTAMP:
        return "timestamp", int.from_bytes(content, "little")
    return None


def _extreme(choose: Callable[..., Any]) -> ResolverFunction:
    def resolve(conflict: ShownConflict, context: MergeContext) -> Resolution:
        if conflict.raw_ours == conflict.raw_theirs:
            return Side.OURS
        if conflict.raw_ours is None or conflict.raw_theirs is None:
            return UNRESOLVED
        ours, theirs = _rank(conflict.raw_ours), _rank(conflict.raw_theirs)
        if ours is None or theirs is None or ours[0] != theirs[0]:
            return UNRESOLVED
        return Side.OURS if choose(ours, theirs) == ours else Side.THEIRS

    return resolve


def _latest(conflict: ShownConflict, context: MergeContext) -> Resolution:
    if conflict.raw_ours == conflict.raw_theirs:
        return Side.OURS
    ours, theirs = context.ours_time, context.theirs_time
    if ours is None or theirs is None or ours == theirs:
        return UNRESOLVED
    return Side.OURS if ours > theirs else Side.THEIRS


def _sum(conflict: ShownConflict, context: MergeContext) -> Resolution:
    ours, theirs = conflict.raw_ours, conflict.raw_theirs
    if ours is not None and theirs is not None:
        total = sum_of_changes(conflict.raw_base, ours, theirs)
        if total is not None:
            return Exactly(total)
    counts = any(number_of(value) is not None for value in (conflict.raw_base, ours, theirs))
    # the same change of something that does not count is agreement after all
    return Side.OURS if ours == theirs and not counts else UNRESOLVED


take_ours = FunctionResolver(_ours)
"""Our value."""

take_theirs = FunctionResolver(_theirs)
"""Their value."""

union = FunctionResolver(_union)
"""Every element of either list once, those that one side removed too."""

take_max = FunctionResolver(_extreme(max))
"""The greater of two numbers, dates, timestamps, strings (byte order), booleans, ObjectIds.

Of numbers that are equal but of different types the wider type counts as the greater.
"""

take_min = FunctionResolver(_extreme(min))
"""The lesser; see `take_max`."""

take_latest = FunctionResolver(_latest)
"""The value of the side whose version is the later."""

add_changes = FunctionResolver(_sum, same_changes=True)
"""Base plus what each side added to it: counters. Sees same changes, which count twice."""

RESOLVERS: Mapping[str, Resolver] = {
    "ours": take_ours,
    "theirs": take_theirs,
    "union": union,
    "max": take_max,
    "min": take_min,
    "latest": take_latest,
    "sum_of_changes": add_changes,
}
"""The built-in resolvers by name, as commands and stored settings know them."""


def resolver(like: ResolverLike) -> Resolver:
    """Return a resolver.

    Args:
        like: The name of a built-in one, an object with a method ``resolve``, or a function
            of a conflict and a context.

    Raises:
        InvalidArgument: There is no such name, or it is none of these.
    """
    if isinstance(like, str) and like in RESOLVERS:
        return RESOLVERS[like]
    if not isinstance(like, type):
        if callable(getattr(like, "resolve", None)):
            return cast(Resolver, like)
        if callable(like):
            return FunctionResolver(like)
    raise InvalidArgument(
        f"{like!r} is no resolver: give one of {', '.join(RESOLVERS)}, an object with a method "
        "resolve(conflict, context), or a function of these two",
        resolver=like,
    )


def is_built_in(found: Resolver) -> bool:
    """Tell whether a resolver is one of ours, which only computes."""
    return any(found is one for one in RESOLVERS.values())


def sees_same_changes(found: Resolver) -> bool:
    """Tell whether a resolver is asked where both sides made the same change."""
    return bool(getattr(found, "same_changes", False))


def run_resolver(
    found: Resolver, conflict: Conflict, context: MergeContext
) -> Value | Unresolved | None:
    """Return the value that a resolver puts in a conflict's place.

    Args:
        found: The resolver.
        conflict: The conflict.
        context: What is known of the merge.

    Returns:
        The value, None for no value, or `UNRESOLVED`.

    Raises:
        ResolverFailed: The resolver raised, or returned what cannot stand there.
    """
    shown = ShownConflict(conflict, context.codec)
    try:
        return resolved_value(shown, answer(found.resolve(shown, context), "a resolver"))
    except Exception as error:  # whatever a user's function raises
        place = f"at {path_text(conflict.path)} of the document {shown.document_id!r}"
        raise ResolverFailed(
            f"a resolver failed {place}: {error!r}; correct it, or let it return UNRESOLVED",
            document_id=shown.document_id,
            path=conflict.path,
        ) from error


def resolved_value(conflict: ShownConflict, resolution: Resolution) -> Value | Unresolved | None:
    """Return the value that a resolution means.

    Args:
        conflict: The conflict.
        resolution: A `Side`, a Python value, `Exactly`, `MISSING` or `UNRESOLVED`.

    Returns:
        The value, None for no value, or `UNRESOLVED`.

    Raises:
        InvalidArgument: BSON cannot hold the value; or a whole document is to be replaced by
            something else, or by a document with another ``_id``.
        InvalidType: `Exactly` has no bytes.
    """
    if isinstance(resolution, Marker):
        return UNRESOLVED if resolution is UNRESOLVED else None
    if isinstance(resolution, Side):
        side: Value | None = getattr(conflict.raw, resolution.value)
        return side
    if isinstance(resolution, Exactly):
        value: Value | None = _exact(resolution)
    else:
        value = conflict.encoded(resolution)
    return value if conflict.path or value is None else _whole(conflict, value)


def _exact(resolution: Exactly) -> Value:
    value = resolution.value
    if not isinstance(value, bytes):
        raise InvalidType("Exactly() takes the bytes of a BSON value", argument=value)
    try:
        raw = build(element(b"", value))
        bson.decode(raw, _ANY_TEXT)  # as far down as it goes
        is_one = value_end(value, 1, value[0]) == len(value)
    except (bson.errors.BSONError, ValueError, LookupError):
        is_one = False
    if not is_one:
        raise InvalidArgument(f"{resolution!r} is not the bytes of one BSON value")
    return value


def _whole(conflict: ShownConflict, value: Value) -> Value:
    """Return a value for a whole document, which must keep its ``_id``."""
    if value[0] == OBJECT and not values_named(value, b"_id"):
        return value[:1] + build(element(b"_id", conflict.key), value[5:-1])
    if not keeps_id(value, conflict.key):
        raise InvalidArgument(
            "a whole document is settled by a document with the same _id, or by MISSING",
            document_id=conflict.document_id,
        )
    return value
