"""What functions that people pass return: they are called where nothing can be awaited."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable
from typing import Any, TypeVar

from versioned_collection.errors import InvalidType

T = TypeVar("T")


def answer(found: T, what: str) -> T:
    """Return what a function returned.

    Args:
        found: What it returned.
        what: What the function is, for the error.

    Raises:
        InvalidType: It would have to be awaited, so it tells nothing, and is true besides.
    """
    if not isinstance(found, (Awaitable, AsyncIterable)):
        return found
    if inspect.iscoroutine(found):
        found.close()  # Python would warn that nobody awaited it
    raise _asynchronous(what, found)


def refuse_asynchronous(function: Any, what: str) -> None:
    """Refuse a function of which it can be told that its answers have to be awaited.

    Raises:
        InvalidType: It is one.
    """
    for one in (function, getattr(function, "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one):
            raise _asynchronous(what, function)


def _asynchronous(what: str, argument: Any) -> InvalidType:
    return InvalidType(
        f"{what} is called where nothing can be awaited: give an ordinary function (def) instead "
        "of an asynchronous one (async def)",
        argument=argument,
    )
