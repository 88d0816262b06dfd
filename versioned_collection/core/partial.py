"""Applying some of the changes between two states of a document: those at chosen places."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from versioned_collection.core.document import ARRAY, OBJECT
from versioned_collection.core.merging.paths import (
    ElementKey,
    Pattern,
    Step,
    name_of,
    step_of,
)
from versioned_collection.core.merging.values import (
    Value,
    array_of,
    document_value,
    fields_of,
    items_of,
    keyed,
    object_of,
)

Positions = tuple[frozenset[int], ...]


def take_changes(old: bytes | None, new: bytes | None, chosen: Sequence[Pattern]) -> bytes | None:
    """Return a document with those of its changes that are at chosen places.

    A pattern chooses what it matches with all below it. That a document came or went is a
    change of the document itself, which only ``()`` and ``**`` match; so is a new order of
    its fields, and that of an embedded document's fields is a change of that one.

    - Fields keep the order they had; one that came stands behind what precedes it in `new`.
    - Elements of lists are told apart by their index, so that a list grows and shrinks at its
      end; where a pattern names an `ElementKey`, by that key.
    - Of a field that came, or one that went, a part can be chosen. Nothing can be chosen
      within what changed between document, list and other types, nor within a document that
      has a name twice.

    Args:
        old: The document before, None where there was none.
        new: The document after, None where it is gone.
        chosen: The places.
    """
    taking = _Taking(chosen)
    start = tuple(pattern.start() for pattern in chosen)
    if old is None or new is None:
        return new if taking.accepts(start) else old
    taken = taking.value(start, document_value(old), document_value(new))
    return None if taken is None else taken[1:]


class _Taking:
    def __init__(self, chosen: Sequence[Pattern]) -> None:
        self._chosen = chosen

    def accepts(self, at: Positions) -> bool:
        return any(p.accepts(here) for p, here in zip(self._chosen, at, strict=True))

    def value(self, at: Positions, old: Value | None, new: Value | None) -> Value | None:
        """Return what stands at a place: `old` with the chosen changes."""
        if old == new or not any(at):
            return old
        if self.accepts(at):
            return new
        for kind, look in ((OBJECT, self._document), (ARRAY, self._list)):
            if all(one is None or one[0] == kind for one in (old, new)):
                return look(at, old, new)
        return old

    def _further(self, at: Positions, step: Step) -> Positions:
        return tuple(p.advance(here, step) for p, here in zip(self._chosen, at, strict=True))

    def _document(self, at: Positions, old: Value | None, new: Value | None) -> Value | None:
        before = {} if old is None else fields_of(old)
        after = {} if new is None else fields_of(new)
        if before is None or after is None:
            return old
        taken = self._parts(at, before, after, step_of)
        return object_of(taken.items()) if taken or old is not None else None

    def _list(self, at: Positions, old: Value | None, new: Value | None) -> Value | None:
        before = [] if old is None else items_of(old)
        after = [] if new is None else items_of(new)
        if before is None or after is None:
            return old
        items = self._elements_by_key(at, before, after)
        if items is None:
            items = self._elements_by_index(at, before, after)
        return array_of(items) if items or old is not None else None

    def _elements_by_key(
        self, at: Positions, before: list[Value], after: list[Value]
    ) -> list[Value] | None:
        field = self._key_field(at)
        if field is None:
            return None
        one, other = keyed(before, field), keyed(after, field)
        if one is None or other is None:
            return None
        name = step_of(field)
        return list(self._parts(at, one, other, lambda key: ElementKey(name, key)).values())

    def _key_field(self, at: Positions) -> bytes | None:
        for pattern, positions in zip(self._chosen, at, strict=True):
            for position in sorted(positions):
                step = pattern.steps[position] if position < len(pattern.steps) else None
                if isinstance(step, ElementKey):
                    return name_of(step.field)
        return None

    def _elements_by_index(
        self, at: Positions, before: list[Value], after: list[Value]
    ) -> list[Value]:
        size = max(len(before), len(after))
        old = [*before, *[None] * (size - len(before))]
        new = [*after, *[None] * (size - len(after))]
        taken = [self.value(self._further(at, n), old[n], new[n]) for n in range(size)]
        if len(before) <= len(after):  # what came ends where something was not chosen
            end = next((n for n, value in enumerate(taken) if value is None), size)
        else:  # what went goes from the end on
            end = next((n + 1 for n in reversed(range(size)) if taken[n] is not None), 0)
        return [value or kept for value, kept in zip(taken[:end], old, strict=False)]  # type: ignore[misc]

    def _parts(
        self,
        at: Positions,
        before: dict[bytes, Value],
        after: dict[bytes, Value],
        step: Callable[[bytes], Step],
    ) -> dict[bytes, Value]:
        """Return the named parts of a container, in their order."""
        taken: dict[bytes, Value] = {}
        for name in {**before, **after}:
            further = self._further(at, step(name))
            value = self.value(further, before.get(name), after.get(name))
            if value is not None:
                taken[name] = value
        came: dict[bytes | None, list[bytes]] = {}
        anchor = None
        for name in after:
            if name in taken:
                if name in before:
                    anchor = name
                else:
                    came.setdefault(anchor, []).append(name)
        order = came.get(None, [])
        for name in before:
            if name in taken:
                order += [name, *came.get(name, ())]
        return {name: taken[name] for name in order}
