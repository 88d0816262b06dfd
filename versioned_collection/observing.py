"""What is told about verbs: to a program's log, and to OpenTelemetry where that is installed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial, wraps
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from versioned_collection import telemetry
from versioned_collection.bound_sessions import bound_again
from versioned_collection.core.answers import answer
from versioned_collection.telemetry import Outcome

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("versioned_collection.verbs")

Progress = Callable[[str, int], None]
"""Called with the name of a phase and the number of documents done in it."""


class _Database(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def client(self) -> Any: ...


class Place(Protocol):
    """A tracked collection."""

    @property
    def db(self) -> _Database:
        """Its database."""

    @property
    def name(self) -> str:
        """Its name."""


class _Observation:
    """A verb under way.

    Attributes:
        place: The verb, the collection, the database and the server.
        outer: The verb that it is a part of.
        outcome: What it did so far.
        is_over: Whether it has ended.
    """

    def __init__(self, place: tuple[Any, ...], outer: _Observation | None) -> None:
        self.place = place
        self.outer = outer
        self.outcome = Outcome()
        self.is_over = False

    def contains(self, place: tuple[Any, ...]) -> bool:
        """Tell whether this is a verb, or a part of it."""
        return self.place == place or (self.outer is not None and self.outer.contains(place))

    def count(self, phase: str, count: int, size: int) -> None:
        """Count what was done, in the verbs as well that this one is a part of."""
        _add(self.outcome.counts, phase, count)
        _add(self.outcome.sizes, phase, size)
        if self.outer is not None:
            self.outer.count(phase, count, size)


_current: ContextVar[_Observation | None] = ContextVar("versioned_collection.verb", default=None)


@contextmanager
def observed(verb: str, place: Place) -> Iterator[None]:
    """Observe a verb, from its beginning to its end.

    The log is told when it is over, with ``verb``, ``namespace``, ``seconds``, ``counts`` and
    ``sizes`` as fields. A verb may say so in several places, such as a lease within it: what
    runs in a verb of the same name, on the same collection, is that verb.

    Args:
        verb: Its name.
        place: The collection.
    """
    database, collection = place.db.name, place.name
    about = (verb, collection, database, place.db.client)
    outer = _current.get()
    if outer is not None and outer.is_over:
        outer = None
    if outer is not None and outer.contains(about):
        yield
        return
    observation = _Observation(about, outer)
    outcome, begun = observation.outcome, time.monotonic()
    _current.set(observation)
    with telemetry.told(verb, database, collection, outcome, inner=outer is not None):
        try:
            yield
        except GeneratorExit:  # whoever iterates has seen enough
            raise
        except BaseException as error:
            outcome.error = error
            raise
        finally:
            _current.set(outer)
            observation.is_over = True
            outcome.seconds = time.monotonic() - begun
            _tell_log(verb, f"{database}.{collection}", outcome)


def _tell_log(verb: str, namespace: str, outcome: Outcome) -> None:
    facts: dict[str, Any] = {
        "verb": verb,
        "namespace": namespace,
        "seconds": round(outcome.seconds, 6),
        "counts": dict(outcome.counts),
        "sizes": dict(outcome.sizes),
    }
    error = outcome.error
    if error is not None:
        facts["error_code"] = getattr(error, "code", None)
        facts["error_type"] = telemetry.error_type(error)
        _log.info("%s of %s failed: %s", verb, namespace, error, extra=facts)
    else:
        _log.info("%s of %s took %.3f s", verb, namespace, outcome.seconds, extra=facts)


# -- what is counted -------------------------------------------------------------------------


class Counted:
    """Counts what a verb does, and passes it on to whoever asked for progress.

    Args:
        progress: Told what was done.
        observation: The verb.
    """

    def __init__(self, progress: Progress | None, observation: _Observation | None) -> None:
        self._progress = progress
        self._observation = observation

    def __call__(self, phase: str, count: int, size: int = 0) -> None:
        """Count.

        Args:
            phase: The name of the phase.
            count: How many things were done in it since the last call.
            size: How many bytes they have.
        """
        if self._observation is not None:
            self._observation.count(phase, count, size)
        if self._progress is not None:
            with bound_again():
                answer(self._progress(phase, count), "progress")

    def within(self, observation: _Observation | None) -> Counted:
        """Return what counts for a verb in the place of this one."""
        if self._observation is observation:
            return self
        return Counted(self._progress, observation)


def counted(progress: Progress | None) -> Counted:
    """Return what to tell of progress in the present verb, which counts it; see `Counted`."""
    observation = _current.get()
    if isinstance(progress, Counted):
        return progress.within(observation)
    return Counted(progress, observation)


def _add(numbers: dict[str, int], phase: str, number: int) -> None:
    if number:
        numbers[phase] = numbers.get(phase, 0) + number


# -- whole verbs -----------------------------------------------------------------------------


def verb(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that has a verb observed.

    What it decorates gets the trackers, or something that has them as ``repository``, first.

    Args:
        name: The name of the verb.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with observed(name, _place_of(args[0])):
                return function(*args, **kwargs)

        return run

    return decorate


def iterated(name: str) -> Callable[[Callable[P, Iterator[T]]], Callable[P, Iterator[T]]]:
    """Return a decorator like `verb` for one that iterates: it is over with the last item.

    It runs in a context of its own. A lease may be held until the last item, and what is the
    present verb there must not be so for whoever iterates, between two items.
    """

    def decorate(function: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return _Apart(name, _place_of(args[0]), partial(function, *args, **kwargs))

        return run

    return decorate


def _place_of(first: Any) -> Place:
    return cast(Place, getattr(first, "repository", first))


class _Apart(Iterator[T]):
    """Iterates in a context of its own.

    What the verb sets is kept there from one item to the next. All else, such as the driver's
    time limit, is as it is for whoever iterates at the time.
    """

    def __init__(self, verb: str, place: Place, begin: Callable[[], Iterator[T]]) -> None:
        self._context = Context()
        self._own: frozenset[ContextVar[Any]] = frozenset()
        self._items = _whole(verb, place, begin)
        self._run(partial(next, self._items))

    def __next__(self) -> T:
        return cast(T, self._run(partial(next, self._items)))

    def close(self) -> None:
        """End it; what it holds is released."""
        self._run(self._items.close)

    def _run(self, step: Callable[[], Any]) -> Any:
        return self._context.run(self._as_around, copy_context(), step)

    def _as_around(self, around: Context, step: Callable[[], Any]) -> Any:
        lent = {one: one.set(value) for one, value in around.items() if one not in self._own}
        try:
            return step()
        finally:
            found = copy_context()
            self._own |= {one for one in found if found[one] is not around.get(one, found)}
            for one in lent.keys() - self._own:
                one.reset(lent[one])

    def __del__(self) -> None:
        self.close()


def _whole(
    verb: str, place: Place, begin: Callable[[], Iterator[T]]
) -> Generator[T | None, None, None]:
    """Begin a verb, yield once, and then its items."""
    with observed(verb, place):
        items = begin()
        yield None
        yield from items
