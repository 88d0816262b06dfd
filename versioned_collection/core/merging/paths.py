"""Places in a document, and patterns that stand for many of them.

A path is a tuple: a field's name, an index of a list, or an `ElementKey` where the list is
merged by key. A pattern is written with dots (``"orders.*.total"``) or as a tuple, in which
every string is a name as it is, so that names with dots, stars or nothing in them can be
reached.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from versioned_collection.core.merging.values import Value, python_value, raw_value
from versioned_collection.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class ElementKey:
    """The element of a list whose field `field` has the value `value`.

    Attributes:
        field: The name of the key field.
        value: Type byte and value bytes of the key.
    """

    field: str
    value: Value

    @classmethod
    def of(cls, field: str, value: Any) -> ElementKey:
        """Return the key of an element from a Python value.

        Raises:
            bson.errors.InvalidDocument: BSON cannot hold the value.
        """
        return cls(field, raw_value(value) or b"")

    @property
    def python(self) -> Any:
        """The key as a Python value."""
        return python_value(self.value)

    def __str__(self) -> str:
        return f"[{self.field}={self.python!r}]"


class Wildcard(Enum):
    """A step of a pattern that stands for others."""

    ONE = "*"
    MANY = "**"


ANY: Final = Wildcard.ONE
"""Any one step, in a pattern given as a tuple."""

ANY_STEPS: Final = Wildcard.MANY
"""Any number of steps, none as well, in a pattern given as a tuple."""

Step: TypeAlias = "str | int | ElementKey"
Path: TypeAlias = "tuple[Step, ...]"
PatternStep: TypeAlias = "str | int | ElementKey | Wildcard"
PatternLike: TypeAlias = "str | tuple[PatternStep, ...] | Pattern"


def step_of(name: bytes) -> str:
    """Return a field's name as a step; what is not UTF-8 survives as lone surrogates."""
    return name.decode("utf-8", "surrogateescape")


def name_of(step: str) -> bytes:
    """Return the bytes of the field name that `step_of` made a step of."""
    return step.encode("utf-8", "surrogateescape")


def path_text(path: Path) -> str:
    """Return a path for people: ``items[sku='a'].price``, ``tags[0]``.

    A name in which a dot or bracket would mislead is quoted.
    """
    text = ""
    for step in path:
        if isinstance(step, str):
            text += ("." if text else "") + _name_text(step)
        else:
            text += str(step) if isinstance(step, ElementKey) else f"[{step}]"
    return text or "(document)"


def _name_text(name: str) -> str:
    plain = name and not set(name) & set(".[]'\"") and name.isprintable()
    return name if plain else ascii(name)


class TakenOut:
    """Elements that left their lists, so that those behind them stand further in front.

    All places are given as they were before any of these elements left.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._indexes: dict[Path, list[int]] = {}
        for path in paths:
            self.add(path)

    def add(self, path: Path) -> None:
        """Let the element at a place leave its list."""
        *around, index = path
        insort(self._indexes.setdefault(tuple(around), []), cast(int, index))

    def place_of(self, path: Path) -> Path:
        """Return where a place is, now that these elements have left."""
        return tuple(
            step - bisect_left(self._indexes.get(path[:depth], ()), step)
            if isinstance(step, int)
            else step
            for depth, step in enumerate(path)
        )


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of paths.

    Matching follows all possible positions in the pattern at once, so its cost is steps of
    the path times steps of the pattern, however many wildcards there are.

    Attributes:
        steps: Names, indexes, keys and wildcards. A name of digits means the index as well.
    """

    steps: tuple[PatternStep, ...]

    def start(self) -> frozenset[int]:
        """Return the positions in the pattern before the first step of a path."""
        return self._closed({0})

    def advance(self, positions: frozenset[int], step: Step) -> frozenset[int]:
        """Return the positions after one more step; none when the pattern cannot match."""
        reached = set()
        for position in positions:
            if position < len(self.steps):
                expected = self.steps[position]
                if expected is ANY_STEPS:
                    reached.add(position)
                elif expected is ANY or _fits(expected, step):
                    reached.add(position + 1)
        return self._closed(reached)

    def accepts(self, positions: frozenset[int]) -> bool:
        """Tell whether the path that led to these positions matches."""
        return len(self.steps) in positions

    def matches(self, path: Path) -> bool:
        """Tell whether the pattern matches a path as a whole."""
        positions = self.start()
        for step in path:
            positions = self.advance(positions, step)
            if not positions:
                return False
        return self.accepts(positions)

    def _closed(self, positions: set[int]) -> frozenset[int]:
        for position in sorted(positions):
            while position < len(self.steps) and self.steps[position] is ANY_STEPS:
                position += 1  # any number of steps may be none
                positions.add(position)
        return frozenset(positions)


def _fits(expected: PatternStep, step: Step) -> bool:
    if isinstance(step, int) and isinstance(expected, str):
        return expected == str(step)
    return expected == step


def pattern(like: PatternLike) -> Pattern:
    """Return the pattern that a string or tuple describes.

    Args:
        like: Names between dots, in which ``*`` is any one step and ``**`` any number of
            steps; or a tuple of names, indexes, `ElementKey`, `ANY` and `ANY_STEPS`. The
            empty tuple is the document itself.

    Raises:
        InvalidArgument: The string has an empty step or a star within a name, or the tuple
            holds something else.
    """
    if isinstance(like, Pattern):
        return like
    if isinstance(like, str):
        return Pattern(tuple(_dotted_step(like, step) for step in like.split(".")))
    if isinstance(like, tuple):
        for step in like:
            _check_step(like, step)
        return Pattern(like)
    raise InvalidArgument(
        f"a path pattern is a string with dots or a tuple of steps, not {like!r}", pattern=like
    )


def _dotted_step(whole: str, step: str) -> PatternStep:
    if step in ("*", "**"):
        return Wildcard(step)
    if not step or "*" in step or "\0" in step:
        raise InvalidArgument(
            f"the pattern {whole!r} has the step {step!r}: a star stands for a whole step; give "
            "names that are empty or hold dots or stars as a tuple, ('a', 'b.c')",
            pattern=whole,
        )
    return step


def _check_step(whole: tuple[Any, ...], step: Any) -> None:
    good = isinstance(step, str | ElementKey | Wildcard) or type(step) is int
    if not good or (isinstance(step, str) and "\0" in step):
        raise InvalidArgument(
            f"the pattern {whole!r} has the step {step!r}: a step is a name, an index, an "
            "ElementKey, ANY or ANY_STEPS",
            pattern=whole,
        )


def patterns(likes: Iterable[PatternLike], what: str) -> tuple[Pattern, ...]:
    """Return several patterns.

    Args:
        likes: The patterns.
        what: The name of the setting, for the error.

    Raises:
        InvalidArgument: `likes` is one string, or a pattern is wrong.
    """
    if isinstance(likes, str):
        raise InvalidArgument(
            f"{what} takes a list of path patterns, not one string; write [{likes!r}]",
            pattern=likes,
        )
    try:
        return tuple(pattern(like) for like in likes)
    except TypeError:
        message = f"{what} takes a list of path patterns, not {likes!r}"
        raise InvalidArgument(message, pattern=likes) from None
