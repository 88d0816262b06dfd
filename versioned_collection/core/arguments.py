"""Arguments that many methods have: flags, and whom to tell of progress.

Any text is true for Python. A flag that takes it would do what nobody asked for, silently: where
it was meant for another parameter, or is the ``"false"`` of a configuration file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import ParamSpec, TypeVar

from versioned_collection.core.methods import wrap_methods
from versioned_collection.errors import InvalidType

P = ParamSpec("P")
T = TypeVar("T")

_PROGRESS = "progress"


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        InvalidType: It is something else.
    """
    if not isinstance(value, bool):
        raise InvalidType(
            f"{name} is True or False, not {value!r}; if that was meant for another argument, "
            "give it by its name",
            argument=name,
        )


def check_progress(value: object) -> None:
    """Refuse what cannot be told of progress.

    Raises:
        InvalidType: It is neither None nor a function.
    """
    if value is not None and not callable(value):
        raise InvalidType(
            "progress is a function, which is called with a phase and a count", argument=_PROGRESS
        )


def checked(method: Callable[P, T]) -> Callable[P, T]:
    """Return a method that refuses what its flags and its `progress` cannot be.

    A flag is a parameter whose default is True or False.
    """
    places = {
        one.name: None if one.kind is Parameter.KEYWORD_ONLY else place
        for place, one in enumerate(signature(method).parameters.values())
        if isinstance(one.default, bool) or one.name == _PROGRESS
    }
    if not places:
        return method

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, place in places.items():
            if place is not None and place < len(args):
                _check(name, args[place])
            elif name in kwargs:
                _check(name, kwargs[name])
        return method(*args, **kwargs)

    return run


def _check(name: str, value: object) -> None:
    if name == _PROGRESS:
        check_progress(value)
    else:
        check_flag(name, value)


def check_all(cls: type[T]) -> type[T]:
    """Have all public methods that a class defines `checked`."""
    return wrap_methods(cls, checked)
