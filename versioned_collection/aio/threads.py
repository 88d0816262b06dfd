"""Running blocking jobs in worker threads, and streaming from blocking iterators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from versioned_collection.core.answers import refuse_asynchronous
from versioned_collection.core.arguments import check_progress
from versioned_collection.driver.forking import in_children
from versioned_collection.driver.pipeline import Workers

T = TypeVar("T")

MOST_AT_ONCE = 32
"""Verbs that run at a time; most of a verb is waiting, for the server or for a lease."""

_PORTION = 200
_PORTION_SECONDS = 0.02
"""What is fetched by one visit to a worker thread: a bounded number, and soon."""


class Pool:
    """The threads for jobs of one kind; a forked child has its own.

    Args:
        name: Of the threads, behind that of the library.
    """

    def __init__(self, name: str) -> None:
        self._name = f"versioned-collection-{name}"
        in_children(self._begin)

    def _begin(self) -> None:
        self._workers = Workers(MOST_AT_ONCE, thread_name_prefix=self._name)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Queue a job; see `Workers`."""
        return self._workers.submit(job)


_verbs = Pool("verb")
NOTED = Pool("write")
"""Apart, as no write of a document waits until a verb is over."""

_beginnings = Pool("stream")
_streams = Pool("stream-goes-on")
"""Apart, as a stream may hold the lease for which all those verbs wait, and all those streams."""


async def in_thread(job: Callable[[], T], pool: Pool = _verbs) -> T:
    """Run a blocking job in a worker thread, with the context variables of the caller.

    A job that has begun is never abandoned: who is cancelled while waiting for it is told once
    it has ended, so that nothing goes on behind a cancelled task's back. One that has not begun
    never will.

    Args:
        job: What to run.
        pool: The threads, one of which runs it.
    """
    running = pool.submit(partial(_as_coroutine, job))
    outcome = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if not running.cancel():
            await _ended(outcome)
        raise


def _as_coroutine(job: Callable[[], T]) -> T:
    """Run a job, of which a StopIteration means no more than of a coroutine.

    A future takes none, and who waits for it would wait for ever.
    """
    try:
        return job()
    except StopIteration as error:
        raise RuntimeError("a function that was passed raised StopIteration") from error


async def _ended(outcome: asyncio.Future[Any]) -> None:
    while not outcome.done():
        try:
            await asyncio.wait([outcome])
        except asyncio.CancelledError:  # again; the first one is on its way
            continue
    if not outcome.cancelled():
        outcome.exception()  # is not news to anybody


def in_this_loop(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Have a progress callback called in the running loop, and not in the worker thread.

    Args:
        kwargs: The arguments of a verb.

    Raises:
        InvalidType: It is a coroutine function, or none at all.
    """
    progress = kwargs.get("progress")
    check_progress(progress)
    if progress is None:
        return kwargs
    refuse_asynchronous(progress, "progress")
    loop = asyncio.get_running_loop()

    def report(*told: Any) -> None:
        with suppress(RuntimeError):  # of a loop that was closed: the verb goes on
            loop.call_soon_threadsafe(progress, *told)

    return {**kwargs, "progress": report}


async def stream(
    begin: Callable[..., Iterator[T]], options: Callable[[], dict[str, Any]] = dict
) -> AsyncIterator[T]:
    """Iterate over what a blocking iterator yields, some at a time.

    Args:
        begin: Returns the iterator; it is closed at the end, or where the loop is left.
        options: Returns its keyword arguments; called in the loop.
    """
    source = _Source(partial(begin, **options()))
    try:
        await in_thread(source.begin, pool=_beginnings)
        pool = _beginnings  # the lease is taken where the first item is asked for
        while portion := await in_thread(source.portion, pool=pool):
            pool = _streams
            for item in portion:
                yield item
    finally:
        if source.has_begun:
            await in_thread(source.close, pool=_streams)


class _Source(Generic[T]):
    """A blocking iterator; its methods are called in worker threads.

    It is kept here from its beginning, so that it is closed even where nobody waits for it any
    more once it has begun.

    Args:
        begin: Returns the iterator.
    """

    def __init__(self, begin: Callable[[], Iterator[T]]) -> None:
        self._begin = begin
        self._items: Iterator[T] = iter(())
        self._error: BaseException | None = None
        self.has_begun = False

    def begin(self) -> None:
        """Begin to iterate."""
        self._items = iter(self._begin())
        self.has_begun = True

    def portion(self) -> list[T]:
        """Return the next items, none at the end; an error comes behind the items before it."""
        if self._error is not None:
            raise self._error
        portion: list[T] = []
        until = time.monotonic() + _PORTION_SECONDS
        try:
            for item in islice(self._items, _PORTION):
                portion.append(item)
                if time.monotonic() > until:
                    break
        except BaseException as error:
            if not portion:
                raise
            self._error = error
        return portion

    def close(self) -> None:
        """End it; what it held is released."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()


class Streamed(AsyncIterator[T]):
    """What a verb iterates over, as it comes: ``async for``, or all at once by `to_list`."""

    def __init__(
        self, begin: Callable[..., Iterator[T]], options: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self._begin = partial(stream, begin, options)
        self._start()

    def _start(self) -> None:
        self._items = self._begin()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._items

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def to_list(self, length: int | None = None) -> list[T]:
        """Return what is left, as a list.

        Args:
            length: How much of it at the most; all without it.
        """
        found: list[T] = []
        if length == 0:
            return found
        async for item in self._items:
            found.append(item)
            if length is not None and len(found) >= length:
                break
        return found

    async def aclose(self) -> None:
        """End it; what it held is released."""
        await self._items.aclose()  # type: ignore[attr-defined]
