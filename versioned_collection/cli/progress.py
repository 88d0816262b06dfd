"""Progress on long work, for a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int], None]
"""Called with a phase and the number of documents done in it since the last call."""

_PATIENCE = 0.5
"""Seconds before anything is shown: quick work is not announced."""


@contextmanager
def reporting(console: Console, what: str, wanted: bool) -> Iterator[Progress]:
    """Show, while the block runs, what is done and how many documents it concerned.

    Args:
        console: Where to show it; only a terminal is used.
        what: What is done.
        wanted: Whether to show anything.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda phase, count: None
        return
    display = Display(console, what)
    try:
        yield display.note
    finally:
        display.close()


class Display:
    """A line with a moving bar for each phase, and the number of documents done in it.

    Args:
        console: Where to show it.
        what: What is done.
        patience: Seconds before it appears.
    """

    def __init__(self, console: Console, what: str, patience: float = _PATIENCE) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._what = what
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._first: Any = self._bars.add_task(what, total=None, done="")
        self._tasks: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._timer = threading.Timer(patience, self._bars.start)
        self._timer.daemon = True
        self._timer.start()

    def note(self, phase: str, count: int) -> None:
        """Count documents that are done in a phase."""
        if phase not in self._tasks:
            description = f"{self._what}: {phase}"
            if self._tasks:
                self._tasks[phase] = self._bars.add_task(description, total=None, done="")
            else:
                self._tasks[phase] = self._first
                self._bars.update(self._first, description=description)
        self._counts[phase] = self._counts.get(phase, 0) + count
        self._bars.update(self._tasks[phase], done=f"{self._counts[phase]:,} documents")

    def close(self) -> None:
        """Take the display away."""
        self._timer.cancel()
        self._timer.join()
        if self._bars.live.is_started:
            self._bars.stop()
