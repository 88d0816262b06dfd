"""Reading that nobody has to wait for at the end of the program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


async def abandonable(job: Callable[[], T]) -> T:
    """Run a job in a thread that ends with the program, wherever it is."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(how: Callable[[Any], None], what: Any) -> None:
        if not done.done():  # else it was given up
            how(what)

    def run() -> None:
        how: Callable[[Any], None]
        what: Any
        try:
            how, what = done.set_result, job()
        except Exception as error:
            how, what = done.set_exception, error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, how, what)

    threading.Thread(target=copy_context().run, args=(run,), name="reading", daemon=True).start()
    return await done
