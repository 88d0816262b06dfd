"""Reading ahead and writing behind, so that computing overlaps with waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Iterate over `items` while a thread fetches the next ones.

    Args:
        items: The source; it runs in the thread and is closed there.
        depth: How many items may wait; 0 for any number.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
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

    worker = threading.Thread(target=fetch, name="prefetch", daemon=True)
    worker.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        worker.join()


class Behind:
    """Runs jobs one after the other in a thread, with a bounded number waiting.

    The first error is raised by the next call, and no further job is run.
    """

    def __init__(self, depth: int = 3) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
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
