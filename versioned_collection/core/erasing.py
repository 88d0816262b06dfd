"""What is left of a document once something in it, or all of it, has been erased."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from versioned_collection.core.document import ARRAY, OBJECT, build, element, elements
from versioned_collection.core.merging.paths import (
    ElementKey,
    Pattern,
    PatternStep,
    Step,
    Wildcard,
    name_of,
    step_of,
)
from versioned_collection.core.merging.values import Value

Positions = tuple[frozenset[int], ...]

_ID = b"_id"
_NULL: Value = b"\x0a"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is erased from documents: the values at some places, or the documents themselves.

    Erasing twice is the same as erasing once, so whoever was interrupted may begin again.

    Attributes:
        patterns: The places; None for whole documents.
    """

    patterns: tuple[Pattern, ...] | None = None

    def of(self, raw: bytes | None) -> bytes | None:
        """Return what is left of a document, None for nothing.

        A field goes with all below it, however often its name occurs. An element of a list
        becomes null, as with MongoDB's ``$unset``, so that the others keep their places. The
        ``_id`` of the document stays.

        Args:
            raw: The document, None where there is none.
        """
        if raw is None or self.patterns is None:
            return None
        start = tuple(pattern.start() for pattern in self.patterns)
        return self._document(start, raw, is_top=True)

    def _document(self, at: Positions, raw: bytes, *, is_top: bool = False) -> bytes:
        kept: list[bytes] = []
        for kind, name, start, end in elements(raw):
            value = bytes((kind,)) + raw[start:end]
            if not (is_top and name == _ID):
                inside = self._further(at, step_of(name))
                if self._accepts(inside):
                    continue
                value = self._value(inside, value)
            kept.append(element(name, value))
        return build(*kept)

    def _list(self, at: Positions, raw: bytes) -> bytes:
        kept: list[bytes] = []
        for index, (kind, name, start, end) in enumerate(elements(raw)):
            value = bytes((kind,)) + raw[start:end]
            inside = self._into_element(at, index, value)
            kept.append(
                element(name, _NULL if self._accepts(inside) else self._value(inside, value))
            )
        return build(*kept)

    def _value(self, at: Positions, value: Value) -> Value:
        if any(at):
            for kind, look in ((OBJECT, self._document), (ARRAY, self._list)):
                if value[0] == kind:
                    return value[:1] + look(at, value[1:])
        return value

    def _accepts(self, at: Positions) -> bool:
        return any(p.accepts(here) for p, here in zip(self.patterns or (), at, strict=True))

    def _further(self, at: Positions, step: Step) -> Positions:
        patterns = self.patterns or ()
        return tuple(p.advance(here, step) for p, here in zip(patterns, at, strict=True))

    def _into_element(self, at: Positions, index: int, value: Value) -> Positions:
        """Return the positions in an element, which goes by its index and by its keys."""
        return tuple(
            frozenset().union(
                pattern.advance(here, index),
                *(pattern.advance(here, key) for key in _keys_of(pattern, here, value)),
            )
            for pattern, here in zip(self.patterns or (), at, strict=True)
        )

    def to_bson(self) -> list[list[Any]] | None:
        """Return the erasure as it is stored.

        Raises:
            UnicodeEncodeError: A name in a pattern is no text.
        """
        if self.patterns is None:
            return None
        return [[_stored(step) for step in pattern.steps] for pattern in self.patterns]

    @classmethod
    def from_bson(cls, stored: Sequence[Sequence[Any]] | None) -> Erasure:
        """Return the erasure that `to_bson` stored."""
        if stored is None:
            return cls()
        return cls(tuple(Pattern(tuple(map(_step, steps))) for steps in stored))


def _keys_of(pattern: Pattern, at: Iterable[int], value: Value) -> Iterator[ElementKey]:
    """Iterate over the keys that a pattern asks for next, and an element of a list has."""
    for position in at:
        step = pattern.steps[position] if position < len(pattern.steps) else None
        if isinstance(step, ElementKey) and _has(value, step):
            yield step


def _has(value: Value, key: ElementKey) -> bool:
    if value[0] != OBJECT:
        return False
    raw, wanted = value[1:], name_of(key.field)
    return any(
        name == wanted and bytes((kind,)) + raw[start:end] == key.value
        for kind, name, start, end in elements(raw)
    )


def _stored(step: PatternStep) -> Any:
    if isinstance(step, Wildcard):
        return {"any": step.value}
    if isinstance(step, ElementKey):
        return {"field": name_of(step.field), "value": step.value}
    return {"index": str(step)} if isinstance(step, int) else name_of(step)


def _step(stored: Any) -> PatternStep:
    if not isinstance(stored, Mapping):
        return step_of(stored)
    if "any" in stored:
        return Wildcard(stored["any"])
    if "index" in stored:
        return int(stored["index"])
    return ElementKey(step_of(stored["field"]), stored["value"])
