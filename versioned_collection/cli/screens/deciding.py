"""Decisions about conflicts that are not saved yet. No terminal here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.clashes import side_text
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import dump_exactly, load, printable
from versioned_collection.cli.screens.reading import LARGEST

if TYPE_CHECKING:
    from versioned_collection import Conflict, VersionedCollection
    from versioned_collection.errors import VersioningError

LONGEST = 20_000
"""Characters of a value that are shown; longer ones are edited elsewhere."""

NOTHING = "(nothing)"


@dataclass(frozen=True)
class Choice:
    """What shall stand in a conflict's place.

    Attributes:
        how: ``ours``, ``theirs``, ``base``, ``union``, ``edited`` or ``removed``.
        value: As `VersionedCollection.resolve_conflict` takes it.
    """

    how: str
    value: Any


class Choices:
    """Choices by the ids of their conflicts, and the way back."""

    def __init__(self) -> None:
        self._made: dict[Any, Choice] = {}
        self._before: list[tuple[Any, Choice | None]] = []

    def __len__(self) -> int:
        return len(self._made)

    def of(self, conflict: Any) -> Choice | None:
        """Return what was chosen for a conflict, by its id."""
        return self._made.get(conflict)

    def make(self, conflict: Any, choice: Choice) -> None:
        """Choose; what was chosen before can be had back."""
        self._before.append((conflict, self.of(conflict)))
        self._made[conflict] = choice

    def undo(self) -> Any:
        """Take the latest choice back; return the id of its conflict, None where there is none."""
        if not self._before:
            return None
        conflict, before = self._before.pop()
        if before is None:
            self._made.pop(conflict, None)
        else:
            self._made[conflict] = before
        return conflict

    def all(self) -> list[tuple[Any, Choice]]:
        """Return what was chosen, by the ids of conflicts."""
        return list(self._made.items())

    def forget(self, conflicts: Iterable[Any]) -> None:
        """Forget choices that were saved, or that no conflict waits for any more."""
        gone = set(conflicts)
        self._made = {one: choice for one, choice in self._made.items() if one not in gone}
        self._before = [pair for pair in self._before if pair[0] not in gone]


def settle(
    collection: VersionedCollection, choices: Choices
) -> tuple[int, VersioningError | None]:
    """Settle conflicts one by one, and forget the choices that were carried out.

    So are those of conflicts that no longer wait; the others stay.

    Returns:
        How many were settled, and the first error.
    """
    from versioned_collection.errors import VersioningError

    settled, first = 0, None
    for conflict, choice in choices.all():
        try:
            collection.resolve_conflict(conflict, choice.value)
        except VersioningError as error:
            first = first or error
        else:
            choices.forget([conflict])
            settled += 1
    if first is not None:
        waiting = {one.id for one in collection.conflicts()}
        choices.forget(one for one, _ in choices.all() if one not in waiting)
    return settled, first


def settle_all(collection: VersionedCollection, side: str) -> int:
    """Settle all conflicts by a side; return how many were settled."""
    from versioned_collection import Side

    before = collection.status()["conflicts"]
    collection.resolve_conflicts(resolver=lambda *_: Side(side))
    left: int = collection.status()["conflicts"]
    return int(before) - left


def of_side(name: str) -> Choice:
    """Return the choice of a side."""
    from versioned_collection import Side

    return Choice(name, Side(name))


def removed() -> Choice:
    """Return the choice of nothing."""
    from versioned_collection import MISSING

    return Choice("removed", MISSING)


def union(conflict: Conflict) -> Choice:
    """Return the choice of what either side added to a list.

    Raises:
        UsageFailure: The sides are not lists.
    """
    from versioned_collection import UNRESOLVED
    from versioned_collection.core.merging import MergeContext, resolver

    value = resolver("union").resolve(conflict, MergeContext())
    if value is UNRESOLVED:
        raise UsageFailure("only lists have a union; choose a side, or edit the value")
    return Choice("union", value)


def edited(conflict: Conflict, text: str) -> Choice:
    """Return the choice of a value that a person wrote.

    Raises:
        UsageFailure: The text is no JSON, or the value cannot stand there.
    """
    from bson.errors import BSONError

    from versioned_collection.core.merging import resolved_value
    from versioned_collection.errors import InvalidArgument

    for name in ("ours", "theirs", "base"):
        if not is_large(conflict, name) and text == editable(
            conflict, name
        ):  # stands for that side's bytes
            return of_side(name)
    try:
        value = load(text)
        resolved_value(conflict, value)
    except InvalidArgument as error:
        raise UsageFailure(error.message) from error
    except (ValueError, OverflowError, BSONError) as error:
        raise UsageFailure(f"not Extended JSON of a value: {error}") from error
    return Choice("edited", value)


def editable(conflict: Conflict, side: str) -> str:
    """Return a side's value on one line of Extended JSON that drives no terminal.

    What cannot be printed can only stand within strings, where JSON has escapes for it.
    """
    from versioned_collection import MISSING

    value = getattr(conflict, side)
    if value is MISSING:
        return ""
    return "".join(one if one.isprintable() else _escaped(one) for one in dump_exactly(value))


def _escaped(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass")
    pairs = (units[place : place + 2].hex() for place in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs)


def is_large(conflict: Conflict, side: str) -> bool:
    """Tell whether a side's value is too large to be written out while a person waits."""
    return len(getattr(conflict.raw, side) or b"") > LARGEST


def side_shown(conflict: Conflict, side: str) -> str:
    """Return a side's value for people."""
    if is_large(conflict, side):
        return _too_large(getattr(conflict.raw, side))
    return _shown(side_text(conflict, side))


def _too_large(raw: bytes) -> str:
    return f"{len(raw):,} bytes, too many to be shown here; 'vc resolve ID --edit' shows them"


def choice_shown(conflict: Conflict, choice: Choice | None) -> str:
    """Return the value that a choice puts in a conflict's place, for people."""
    from versioned_collection import MISSING
    from versioned_collection.core.merging import python_value, resolved_value

    if choice is None:
        return "not decided: o ours, t theirs, b base, e edit, u union, x remove"
    if choice.how in ("ours", "theirs", "base"):
        return side_shown(conflict, choice.how)
    raw: Any = resolved_value(conflict, choice.value)
    if raw is not None and len(raw) > LARGEST:
        return _too_large(raw)
    value = MISSING if raw is None else python_value(raw)
    return _shown(None if value is MISSING else dump_exactly(value, indent=2))


def _shown(text: str | None) -> str:
    if text is None:
        return NOTHING
    shown = printable(text[:LONGEST])
    return shown if len(text) <= LONGEST else f"{shown}\n... {len(text):,} characters"
