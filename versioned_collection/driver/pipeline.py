"""Reading ahead and writing behind, so that computing overlaps with waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_END: Any = object()


class Workers(ThreadPoolExecutor):
    """Threads that run each job with the context variables of whoever submits it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a job."""
        context = copy_context()
        return super().submit(lambda: context.run(fn, *args, **kwargs))


class prefetch(Iterator[T]):
    """Iterate over `items` while a thread fetches the next ones.

    Close it where nothing may be read any more once a verb is over. One that is only
    forgotten ends soon, but nobody waits for it: the garbage collector may come while this
    very thread holds a lock that the fetching one needs to end its cursor.

    Args:
        items: The source; it runs in the thread and is closed there.
        depth: How many items may wait; 0 for any number.
    """

    def __init__(self, items: Iterable[T], depth: int = 2) -> None:
        self._waiting: queue.Queue[Any] = queue.Queue(depth)
        self._stop = threading.Event()
        self._is_over = False
        self._worker = threading.Thread(
            target=copy_context().run,
            args=(_fetch, items, self._waiting, self._stop),
            name="prefetch",
            daemon=True,
        )
        self._worker.start()

    def __next__(self) -> T:
        if self._is_over:
            raise StopIteration
        item, error = self._waiting.get()
        if item is not _END:
            return cast(T, item)
        self.close()
        raise error or StopIteration

    def close(self) -> None:
        """End it, and wait until the thread has ended too."""
        self._is_over = True
        self._stop.set()
        self._worker.join()

    def __del__(self) -> None:
        self._stop.set()


def _fetch(items: Iterable[Any], waiting: queue.Queue[Any], stop: threading.Event) -> None:
    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    source = iter(items)
    try:
        for item in source:
            if not put((item, None)):
                break
        else:
            put((_END, None))
    except BaseException as error:  # handed over to the consumer
        put((_END, error))
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


def side_by_side(jobs: Iterable[Callable[[], object]], most: int = 4) -> None:
    """Run jobs that are mostly waiting, some at a time; all have ended when this returns.

    Args:
        jobs: What to run; where one raises, those that have not begun are left out.
        most: How many run at a time.

    Raises:
        BaseException: The first error of a job.
    """
    with Workers(most, thread_name_prefix="side-by-side") as pool:
        running = [pool.submit(job) for job in jobs]
        wait(running, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)
    for job in running:
        if not job.cancelled():
            job.result()


class Behind:
    """Runs jobs one after the other in a thread, with a bounded number waiting.

    The first error is raised by the next call, and no further job is run.
    """

    def __init__(self, depth: int = 3) -> None:
        self._pool = Workers(1, thread_name_prefix="write-behind")
        self._depth = depth
        self._pending: list[Future[Any]] = []

    def submit(self, job: Callable[[], Any]) -> None:
        """Queue a job; waits when too many do."""
        while len(self._pending) >= self._depth:
            self._settle(self._pending.pop(0))
        self._pending.append(self._pool.submit(job))

    def _settle(self, future: Future[Any]) -> None:
        try:
            future.result()
        except BaseException:
            for waiting in self._pending:
                waiting.cancel()
            self._pool.shutdown(wait=True)
            self._pending.clear()
            raise

    def finish(self) -> None:
        """Wait until all jobs are done."""
        while self._pending:
            self._settle(self._pending.pop(0))

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            for waiting in self._pending:
                waiting.cancel()
            self._pool.shutdown(wait=True)
