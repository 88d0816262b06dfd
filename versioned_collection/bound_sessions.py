"""Sessions that an application has bound (`ClientSession.bind`, PyMongo 4.17 and newer).

The driver runs whatever names no session in the one that is bound. That is meant for what the
application reads and writes itself: a verb may neither become part of its transaction, nor share
the session with it between threads, nor use it with another client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from pymongo.asynchronous import client_session as async_client_session
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.synchronous import client_session

from versioned_collection.core.methods import wrap_methods

P = ParamSpec("P")
T = TypeVar("T")

_BOUND: ContextVar[ClientSession | None] | None = getattr(client_session, "_SESSION", None)
_BOUND_ASYNC: ContextVar[Any] | None = getattr(async_client_session, "_SESSION", None)
_theirs: ContextVar[ClientSession | None] = ContextVar("theirs", default=None)
"""The session that was bound when a verb began."""


def _bound() -> ClientSession | None:
    return None if _BOUND is None else _BOUND.get()


def bound_to(client: Any) -> ClientSession | None:
    """Return the session that the application has bound, if it is one of a client."""
    session = _bound()
    return session if session is not None and session.client is client else None


def is_bound_async(client: Any) -> bool:
    """Tell whether the application has bound a session of an asynchronous client."""
    session = None if _BOUND_ASYNC is None else _BOUND_ASYNC.get()
    return session is not None and session.client is client


@contextmanager
def unbound() -> Iterator[None]:
    """Leave the session of the application alone."""
    session = _bound()
    if _BOUND is None or session is None:
        yield
        return
    token, outer = _BOUND.set(None), _theirs.set(session)
    try:
        yield
    finally:
        _theirs.reset(outer)
        _BOUND.reset(token)


@contextmanager
def bound_again() -> Iterator[None]:
    """Have the session of the application bound while its own code is called."""
    session = _theirs.get()
    if _BOUND is None or session is None:
        yield
        return
    token = _BOUND.set(session)
    try:
        yield
    finally:
        _BOUND.reset(token)


def apart(method: Callable[P, T]) -> Callable[P, T]:
    """Return a method that runs `unbound`; so does each step where it iterates."""

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if _bound() is None:
            found = method(*args, **kwargs)
        else:
            with unbound():
                found = method(*args, **kwargs)
        return cast(T, Steps(cast(Iterator[Any], found))) if _iterates_bound(found) else found

    return run


def _iterates_bound(found: Any) -> bool:
    if isinstance(found, Collection):  # to which PyMongo gives the methods of an iterator
        return False
    return isinstance(found, Iterator) and not getattr(found, "runs_apart", False)


class Steps(Iterator[T]):
    """Iterates `unbound`.

    Args:
        items: What it iterates over.
    """

    runs_apart = True

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    def __next__(self) -> T:
        if _bound() is None:
            return next(self._items)
        with unbound():
            return next(self._items)

    def __del__(self) -> None:
        if _bound() is not None:  # else it is released by what it iterates over
            self.close()

    def close(self) -> None:
        """End it; what it holds is released."""
        close = getattr(self._items, "close", None)
        if close is not None:
            with unbound():
                close()


def apart_all(cls: type[T]) -> type[T]:
    """Make all public methods and properties of a class run `apart`; those it inherits stay."""
    for name, found in list(vars(cls).items()):
        if isinstance(found, property) and not name.startswith("_"):
            assert found.fget is not None
            setattr(cls, name, property(apart(found.fget), doc=found.__doc__))
    return wrap_methods(cls, apart)
