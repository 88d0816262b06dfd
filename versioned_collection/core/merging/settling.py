"""Putting the chosen value of a conflict into a document that may have changed since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from versioned_collection.core.document import ARRAY, OBJECT, build, element, elements
from versioned_collection.core.merging.orders import put_in_order
from versioned_collection.core.merging.paths import ElementKey, Path, Step, name_of, path_text
from versioned_collection.core.merging.values import Value, document_value, keyed
from versioned_collection.errors import InvalidArgument, PlaceGone


class _Element(NamedTuple):
    name: bytes
    value: Value


def settle(
    raw: bytes | None, path: Path, value: Value | None, like: bytes | None = None
) -> bytes | None:
    """Put a value at a place of a document and leave all others as they are.

    A field that is missing is put behind the nearest field that precedes it in `like`, else
    at the end; a missing element of a keyed list, or the element just behind a list, at the
    end. Taking away what is missing already changes nothing, nor does it in a document that is
    gone.

    Args:
        raw: The document as it is now, None where there is none.
        path: The place, as a conflict names it; the empty tuple is the document itself.
        value: Type byte and value bytes of what shall stand there, None for nothing.
        like: A document (such as base) whose order of fields tells where a missing one goes.

    Returns:
        The document with the value in place, None for no document.

    Raises:
        PlaceGone: What the path leads through is gone, or a name or key on the way is not
            unique.
        InvalidArgument: A whole document is to be replaced by something else.
    """
    if not path:
        if value is not None and value[0] != OBJECT:
            raise InvalidArgument("a whole document is settled by a document", path=path)
        return None if value is None else value[1:]
    if raw is None and value is None:
        return None
    if raw is None:
        raise PlaceGone(
            f"the document of {path_text(path)} is gone: bring it back first, or settle with "
            "MISSING to let it be gone; resolve_conflicts() without a resolver takes all "
            "documents as they are",
            path=path,
            missing=(),
        )
    return _put(b"\x03" + raw, path, 0, value, document_value(like))[1:]


def _put(
    container: Value, path: Path, depth: int, value: Value | None, like: Value | None
) -> Value:
    step = path[depth]
    found = _elements(container)
    at = _find(container, found, path, depth)
    if depth + 1 < len(path):
        if at is None:
            _gone(path, depth, "there is nothing at")
        value = _put(found[at].value, path, depth + 1, value, _child(like, step))
    if at is None:
        changed = found if value is None else _with_added(container, found, step, value, like)
    elif value is None:
        changed = _renumbered(container, found, [*found[:at], *found[at + 1 :]])
    else:
        changed = [*found[:at], _Element(found[at].name, value), *found[at + 1 :]]
    return container[:1] + build(*(element(name, held) for name, held in changed))


def _elements(container: Value) -> list[_Element]:
    if container[0] not in (OBJECT, ARRAY):
        return []
    raw = container[1:]
    return [
        _Element(name, bytes((kind,)) + raw[start:end]) for kind, name, start, end in elements(raw)
    ]


def _find(container: Value, found: list[_Element], path: Path, depth: int) -> int | None:
    """Return the index of a step within its container; None when it is not there."""
    step = path[depth]
    if container[0] != (OBJECT if isinstance(step, str) else ARRAY):
        _gone(path, depth, "there is no longer a document or list that could hold")
    if isinstance(step, str):
        places = [at for at, held in enumerate(found) if held.name == name_of(step)]
        if len(places) > 1:
            _gone(path, depth, "there are several fields called the same at")
        return places[0] if places else None
    if isinstance(step, ElementKey):
        return _find_key(found, path, depth, step)
    if not 0 <= step <= len(found):
        _gone(path, depth, "the list has become too short for")
    return step if step < len(found) else None


def _find_key(found: list[_Element], path: Path, depth: int, step: ElementKey) -> int | None:
    places = keyed([held.value for held in found], name_of(step.field))
    if places is None:
        _gone(path, depth, "the elements no longer have keys of their own, so there is no")
    return list(places).index(step.value) if step.value in places else None


def _with_added(
    container: Value, found: list[_Element], step: Step, value: Value, like: Value | None
) -> list[_Element]:
    if not isinstance(step, str):
        return [*found, _Element(b"%d" % len(found), value)]
    name = name_of(step)
    order = [held.name for held in found]
    known = _names(like)
    if name in known and len(set(order)) == len(order):
        put_in_order(order, name, known)
        at = order.index(name)
        return [*found[:at], _Element(name, value), *found[at:]]
    return [*found, _Element(name, value)]


def _renumbered(
    container: Value, before: Iterable[_Element], after: list[_Element]
) -> list[_Element]:
    """Return the elements with new indexes, if it is a list whose names were its indexes."""
    if container[0] != ARRAY or any(h.name != b"%d" % at for at, h in enumerate(before)):
        return after
    return [_Element(b"%d" % at, held.value) for at, held in enumerate(after)]


def _names(like: Value | None) -> list[bytes]:
    if like is None or like[0] != OBJECT:
        return []
    return list(dict.fromkeys(name for _, name, _, _ in elements(like[1:])))


def _child(like: Value | None, step: Step) -> Value | None:
    """Return what is at a step of the document whose order is followed, if it is there."""
    found = [] if like is None else _elements(like)
    if isinstance(step, ElementKey):
        places = keyed([held.value for held in found], name_of(step.field)) or {}
        return places.get(step.value)
    name = name_of(step) if isinstance(step, str) else b"%d" % step
    return next((held.value for held in found if held.name == name), None)


def _gone(path: Path, depth: int, why: str) -> NoReturn:
    missing = path[: depth + 1]
    raise PlaceGone(
        f"{why} {path_text(missing)}: edit the document so that there is, then settle it; or "
        "resolve_conflicts() without a resolver takes all documents as they are",
        path=path,
        missing=missing,
    )
