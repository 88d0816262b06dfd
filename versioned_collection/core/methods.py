"""Something done to all methods of a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def wrap_methods(
    cls: type[T], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> type[T]:
    """Put others in the place of all public methods of a class; those it inherits stay.

    Args:
        cls: The class.
        wrap: Returns what takes a method's place.
    """
    for name, found in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(found, classmethod):
            setattr(cls, name, classmethod(wrap(found.__func__)))
        elif callable(found) and not isinstance(found, (type, staticmethod)):
            setattr(cls, name, wrap(found))
    return cls
