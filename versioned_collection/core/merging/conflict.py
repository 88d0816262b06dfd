"""A conflict as a value: where, what was there, and what each side made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bson.binary import Binary

from versioned_collection.core.document import DocumentKey, id_value
from versioned_collection.core.merging.paths import ElementKey, Path, Step, name_of, step_of
from versioned_collection.core.merging.values import Value, document_value, python_value
from versioned_collection.errors import InvalidArgument

ConflictKind = Literal[
    "both_modified",
    "both_added",
    "deleted_by_us",
    "deleted_by_them",
    "type_changed",
    "coupled",
    "same_change",
]
"""Git's words where it has them. `type_changed`: a side gave the value another type while the
other changed it too; `coupled`: the sides changed fields that belong together;
`same_change`: both made the same change where the policy wants to know."""

KINDS: tuple[ConflictKind, ...] = get_args(ConflictKind)

_SIDES = ("base", "ours", "theirs")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two changes of one place that exclude each other.

    Attributes:
        key: The document's key (type byte and value bytes of its ``_id``).
        path: The place; the empty tuple is the whole document.
        kind: Why it is a conflict.
        base: The value before both changes, None where there was none.
        ours: Our value, None where there is none.
        theirs: Their value, None where there is none.
    """

    key: DocumentKey
    path: Path
    kind: ConflictKind
    base: Value | None
    ours: Value | None
    theirs: Value | None

    @property
    def document_id(self) -> Any:
        """The ``_id`` of the document as PyMongo would give it."""
        return id_value(self.key)

    @property
    def base_value(self) -> Any:
        """The value before both changes as PyMongo would give it, or `MISSING`."""
        return python_value(self.base)

    @property
    def ours_value(self) -> Any:
        """Our value as PyMongo would give it, or `MISSING`."""
        return python_value(self.ours)

    @property
    def theirs_value(self) -> Any:
        """Their value as PyMongo would give it, or `MISSING`."""
        return python_value(self.theirs)

    def to_bson(self) -> dict[str, Any]:
        """Return the conflict as it is stored: strings, numbers, binaries and lists.

        Values are binaries of their bytes, so that any value can be stored, also one that
        no decoder reads or whose names the server would refuse.
        """
        stored: dict[str, Any] = {
            "key": Binary(self.key),
            "path": [_stored_step(step) for step in self.path],
            "kind": self.kind,
        }
        for side in _SIDES:
            value = getattr(self, side)
            if value is not None:
                stored[side] = Binary(value)
        return stored

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Conflict:
        """Return the conflict that `to_bson` stored; other fields are ignored.

        Raises:
            KeyError: A part is missing.
            InvalidArgument: There is no such kind of conflict.
        """
        kind = stored["kind"]
        if kind not in KINDS:
            raise InvalidArgument(
                f"there is no kind of conflict {kind!r}; it is one of {', '.join(KINDS)}",
                kind=kind,
            )
        sides = (stored.get(side) for side in _SIDES)
        return cls(
            bytes(stored["key"]),
            tuple(_step(step) for step in stored["path"]),
            kind,
            *(None if value is None else bytes(value) for value in sides),
        )


def whole_document(
    key: DocumentKey, base: bytes | None, ours: bytes | None, theirs: bytes | None
) -> Conflict:
    """Return the conflict of a document that was changed as a whole on both sides."""
    kind: ConflictKind = "both_modified"
    if base is None:
        kind = "both_added"
    elif ours is None or theirs is None:
        kind = "deleted_by_us" if ours is None else "deleted_by_them"
    return Conflict(
        key, (), kind, document_value(base), document_value(ours), document_value(theirs)
    )


def _stored_name(name: str) -> str | Binary:
    try:
        name.encode()
    except UnicodeEncodeError:  # the bytes of the name are not UTF-8
        binary: Binary = Binary(name_of(name))
        return binary
    return name


def _name(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else step_of(bytes(stored))


def _stored_step(step: Step) -> Any:
    if isinstance(step, ElementKey):
        return {"field": _stored_name(step.field), "value": Binary(step.value)}
    return _stored_name(step) if isinstance(step, str) else step


def _step(stored: Any) -> Step:
    if isinstance(stored, Mapping):
        return ElementKey(_name(stored["field"]), bytes(stored["value"]))
    return int(stored) if isinstance(stored, int) else _name(stored)
