"""Fields that change together: which of them the two sides changed apart."""

from __future__ import annotations

from versioned_collection.core.document import OBJECT
from versioned_collection.core.merging.paths import (
    ElementKey,
    Path,
    Pattern,
    Step,
    step_of,
)
from versioned_collection.core.merging.policy import MergePolicy
from versioned_collection.core.merging.values import (
    Value,
    fields_of,
    is_container,
    keyed,
    values_of,
)

Positions = tuple[frozenset[int], ...]
Changes = dict[Path, "Value | None"]


def coupled_paths(
    policy: MergePolicy, base: Value | None, ours: Value, theirs: Value
) -> dict[Path, bool]:
    """Return the places where coupled fields conflict.

    Args:
        policy: Says which fields are coupled.
        base: The document before, None where there was none.
        ours: Our document.
        theirs: Their document.

    Returns:
        True for the places themselves, False for those on the way to them.
    """
    apart: set[Path] = set()
    for group in policy.coupled:
        one, other = (_changes(policy, group, base, side) for side in (ours, theirs))
        if one and other:
            apart.update(path for path, _ in one.items() ^ other.items())
    found = {path[:size]: False for path in apart for size in range(len(path))}
    return {**found, **dict.fromkeys(apart, True)}


class _Walk:
    """A walk over what a side changed, as far as it can lead to fields of a group."""

    def __init__(self, policy: MergePolicy, group: tuple[Pattern, ...]) -> None:
        self.policy, self.group = policy, group
        self.found: Changes = {}

    def look(self, path: Path, at: Positions, base: Value | None, side: Value | None) -> None:
        if base == side or not any(at):
            return
        if path and any(p.accepts(here) for p, here in zip(self.group, at, strict=True)):
            self.found[path] = side
            return
        before, after = self._parts(path, base), self._parts(path, side)
        if before is None or after is None:
            if is_container(base) or is_container(side):
                self.found[path] = side  # a field of the group may have gone with it
            return
        for step in {**before, **after}:
            positions = zip(self.group, at, strict=True)
            further = tuple(p.advance(here, step) for p, here in positions)
            self.look((*path, step), further, before.get(step), after.get(step))

    def _parts(self, path: Path, value: Value | None) -> dict[Step, Value] | None:
        """Return what is in a container by step; None for what cannot be looked into."""
        if value is None:
            return {}
        if value[0] == OBJECT:
            fields = fields_of(value)
            return None if fields is None else {step_of(name): fields[name] for name in fields}
        whole = not is_container(value) or self.policy.is_set(path)
        field = None if whole else self.policy.list_key(path)
        elements = None if field is None else keyed(values_of(value), field)
        if field is None or elements is None:
            return None
        return {ElementKey(step_of(field), key): elements[key] for key in elements}


def _changes(
    policy: MergePolicy, group: tuple[Pattern, ...], base: Value | None, side: Value
) -> Changes:
    walk = _Walk(policy, group)
    walk.look((), tuple(found.start() for found in group), base, side)
    return walk.found
