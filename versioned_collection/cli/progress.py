"""Progress on long work, for a terminal."""

from __future__ import annotations

import time
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
        what: What is done, until the first phase is reported.
        wanted: Whether to show anything.
    """
    if not wanted or not console.is_terminal:
        yield lambda phase, count: None
        return
    display = _Display(console, what)
    display.note("", 0)
    try:
        yield display.note
    finally:
        display.close()


class _Display:
    """A line per phase with a bar, the documents done, and the time."""

    def __init__(self, console: Console, what: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._what = what
        self._tasks: dict[str, Any] = {}
        self._started = False
        self._show_at = time.monotonic() + _PATIENCE
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f} documents"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def note(self, phase: str, count: int) -> None:
        """Count documents that are done in a phase."""
        if phase not in self._tasks:
            description = f"{self._what}: {phase}" if phase else self._what
            if "" in self._tasks and phase:
                self._bars.remove_task(self._tasks.pop(""))
            self._tasks[phase] = self._bars.add_task(description, total=None)
        self._bars.advance(self._tasks[phase], count)
        if not self._started and time.monotonic() >= self._show_at:
            self._started = True
            self._bars.start()

    def close(self) -> None:
        """Take the display away."""
        if self._started:
            self._bars.stop()
