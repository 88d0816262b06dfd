"""Three-way merging of documents, field by field, on their bytes.

Each place is decided by what base, ours and theirs have there. A side that is equal to base
yields to the other; documents merge by their fields and lists by their stretches; what is
left is a conflict, which a resolver of the policy may settle. Until it is settled, our value
stands in its place.

The outcome is symmetric: with the sides swapped, the merged document is the same wherever
there is no conflict, and the conflicts are the same with their sides swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from versioned_collection.core.document import ARRAY, OBJECT, DocumentKey
from versioned_collection.core.merging.conflict import Conflict, ConflictKind
from versioned_collection.core.merging.coupling import coupled_paths
from versioned_collection.core.merging.lists import Stretch, merge_sets, stretches
from versioned_collection.core.merging.orders import merge_orders
from versioned_collection.core.merging.paths import ElementKey, Path, TakenOut, step_of
from versioned_collection.core.merging.policy import DEFAULT_POLICY, MergePolicy
from versioned_collection.core.merging.resolvers import MergeContext, run_resolver
from versioned_collection.core.merging.values import (
    EMPTY_ARRAY,
    EMPTY_DOCUMENT,
    UNRESOLVED,
    Value,
    array_of,
    document_value,
    fields_of,
    is_reference,
    items_of,
    keeps_id,
    keyed,
    object_of,
    values_of,
)
from versioned_collection.errors import ResolverFailed

_NO_CONTEXT = MergeContext()
_ID = b"_id"


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of merging one document.

    Attributes:
        raw: The merged document with our values in the unsettled places, None for no
            document.
        conflicts: What is not settled.
        settled: What resolvers settled.
    """

    raw: bytes | None
    conflicts: list[Conflict] = field(default_factory=list)
    settled: list[Conflict] = field(default_factory=list)


def merge_documents(
    key: DocumentKey,
    base: bytes | None,
    ours: bytes | None,
    theirs: bytes | None,
    policy: MergePolicy = DEFAULT_POLICY,
    context: MergeContext = _NO_CONTEXT,
) -> Merged:
    """Merge two changes of one document.

    Args:
        key: The document's key (type byte and value bytes of its ``_id``).
        base: The document that both sides started from, None where there was none.
        ours: Our document, None where there is none.
        theirs: Their document, None where there is none.
        policy: Resolvers and what else depends on the place.
        context: What resolvers may know of the merge.

    Raises:
        ResolverFailed: A resolver of the policy raised, or returned what cannot stand there.
    """
    if ours == base or (ours == theirs and not policy.watches):
        return Merged(theirs)
    if theirs == base:
        return Merged(ours)
    values = document_value(base), document_value(ours), document_value(theirs)
    merger = _Merger(key, policy, context)
    if values[1] is not None and values[2] is not None:
        merger.coupled = coupled_paths(policy, values[0], values[1], values[2])
    value = merger.merge((), *values)
    if not keeps_id(value, key):
        document_id = context.codec.value(key)
        raise ResolverFailed(
            f"the document with _id {document_id!r} would get another _id: let resolvers return "
            "what has the same",
            document_id=document_id,
            path=(),
        )
    raw = None if value is None else value[1:]
    return Merged(raw, merger.waiting(), merger.settled)


class _Merger:
    """The merge of one document; collects what it could not merge."""

    def __init__(self, key: DocumentKey, policy: MergePolicy, context: MergeContext) -> None:
        self.key, self.policy, self.context = key, policy, context
        self.coupled: Mapping[Path, bool] = {}
        self.conflicts: list[Conflict] = []
        self.settled: list[Conflict] = []
        self.taken_out = TakenOut()

    def waiting(self) -> list[Conflict]:
        """Return what could not be merged, with places as they are in the merged document."""
        place_of = self.taken_out.place_of
        return [replace(one, path=place_of(one.path)) for one in self.conflicts]

    def merge(
        self, path: Path, base: Value | None, ours: Value | None, theirs: Value | None
    ) -> Value | None:
        """Return the merged value of one place, None for no value."""
        if _tells_apart(path):
            return ours or theirs
        apart = self.coupled.get(path)
        if apart:
            return self._conflict(path, "coupled", base, ours, theirs)
        if apart is None:  # below other places nothing must be looked for
            if ours == base or (ours == theirs and not self.policy.watches):
                return theirs
            if theirs == base:
                return ours
        reported = len(self.conflicts) + len(self.settled)
        merged = self._inside(path, base, ours, theirs)
        if merged is None:
            return self._leaf(path, base, ours, theirs)
        if ours == theirs and reported == len(self.conflicts) + len(self.settled):
            return self._leaf(path, base, ours, theirs)  # the policy may name the container
        return merged

    def _inside(
        self, path: Path, base: Value | None, ours: Value | None, theirs: Value | None
    ) -> Value | None:
        """Return the merge of what is within a container; None where that cannot be."""
        if ours is None or theirs is None or ours[0] != theirs[0]:
            return None
        if base is not None and base[0] != ours[0]:
            return None
        if ours[0] == OBJECT:
            if any(map(is_reference, (base, ours, theirs))):
                return None
            return self._documents(path, base or EMPTY_DOCUMENT, ours, theirs)
        return self._lists(path, base, ours, theirs) if ours[0] == ARRAY else None

    def _documents(self, path: Path, base: Value, ours: Value, theirs: Value) -> Value | None:
        sides = fields_of(base), fields_of(ours), fields_of(theirs)
        before, one, other = sides
        if before is None or one is None or other is None:
            return None
        added = sorted((one.keys() | other.keys()) - before.keys())
        merged: dict[bytes, Value] = {}
        for name in (*before, *added):
            values = (side.get(name) for side in (before, one, other))
            value = self.merge((*path, step_of(name)), *values)
            if value is not None:
                merged[name] = value
        order = merge_orders(list(before), list(one), list(other), merged)
        if not path and _ID in merged:  # where the server keeps it
            order.remove(_ID)
            order.insert(0, _ID)
        return object_of((name, merged[name]) for name in order)

    def _lists(self, path: Path, base: Value | None, ours: Value, theirs: Value) -> Value | None:
        if self.policy.is_set(path):
            sides = map(values_of, (base or EMPTY_ARRAY, ours, theirs))
            return array_of(merge_sets(*sides))
        before = items_of(base or EMPTY_ARRAY)
        one, other = items_of(ours), items_of(theirs)
        if before is None or one is None or other is None:
            return None
        name = self.policy.list_key(path)
        if name is not None:
            found = (keyed(items, name) for items in (before, one, other))
            merged = self._keyed(path, name, *found)
            if merged is not None:
                return merged
        if base is None:
            return None
        return self._stretches(path, stretches(before, one, other))

    def _keyed(
        self,
        path: Path,
        name: bytes,
        before: dict[Value, Value] | None,
        one: dict[Value, Value] | None,
        other: dict[Value, Value] | None,
    ) -> Value | None:
        if before is None or one is None or other is None:
            return None
        merged: dict[Value, Value] = {}
        for key in (*before, *sorted((one.keys() | other.keys()) - before.keys())):
            step = ElementKey(step_of(name), key)
            values = (side.get(key) for side in (before, one, other))
            value = self.merge((*path, step), *values)
            if value is not None:
                merged[key] = value
        order = merge_orders(list(before), list(one), list(other), merged)
        return array_of([merged[key] for key in order])

    def _stretches(self, path: Path, parts: list[Stretch]) -> Value | None:
        if any(part.plain is None and not part.aligned for part in parts):
            return None  # before any element is merged, so that nothing is reported twice
        merged: list[Value | None] = []
        for part in parts:
            plain = part.plain
            if plain is not None and not (self.policy.watches and part.aligned):
                merged += plain
                continue
            for values in zip(*part, strict=True):
                # also what a resolver takes out counts: its neighbour is not asked for as itself
                place = (*path, len(merged))
                merged.append(self.merge(place, *values))
                if merged[-1] is None:
                    self.taken_out.add(place)
        return array_of([value for value in merged if value is not None])

    def _leaf(
        self, path: Path, base: Value | None, ours: Value | None, theirs: Value | None
    ) -> Value | None:
        if ours == theirs:
            if not self.policy.flags_same_change(path):
                return ours
            return self._conflict(path, "same_change", base, ours, theirs)
        kind: ConflictKind = "coupled" if path in self.coupled else _kind(base, ours, theirs)
        return self._conflict(path, kind, base, ours, theirs)

    def _conflict(
        self,
        path: Path,
        kind: ConflictKind,
        base: Value | None,
        ours: Value | None,
        theirs: Value | None,
    ) -> Value | None:
        conflict = Conflict(self.key, path, kind, base, ours, theirs)
        found = self.policy.resolver_for(path)
        if found is not None:
            value = run_resolver(found, conflict, self.context)
            if value is not UNRESOLVED:
                self.settled.append(conflict)
                return value
        self.conflicts.append(conflict)
        return ours


def _tells_apart(path: Path) -> bool:
    """Tell whether a place has what tells a document, or an element of a list, from others.

    It is the same on all sides, whatever is within it: nothing there counts or conflicts.
    """
    if path == ("_id",):
        return True
    element = path[-2] if len(path) > 1 else None
    return isinstance(element, ElementKey) and path[-1] == element.field


def _kind(base: Value | None, ours: Value | None, theirs: Value | None) -> ConflictKind:
    """Return git's word for a conflict of three different values."""
    if base is None:
        return "both_added"
    if ours is None or theirs is None:
        return "deleted_by_us" if ours is None else "deleted_by_them"
    return "both_modified" if base[0] == ours[0] == theirs[0] else "type_changed"
