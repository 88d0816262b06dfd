"""Progress on long work, for a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int], None]
"""Called with a phase and the number of things done in it since the last call."""

_PATIENCE = 0.5
"""Seconds before anything is shown: quick work is not announced."""
_RATED = 1.0
"""Seconds of a phase before its rate means something."""
_UNITS = {"changes": "changes", "steps": "steps", "versions": "versions"}
"""What is counted in phases that do not count documents."""


@contextmanager
def reporting(
    console: Console, what: str, wanted: bool, totals: Mapping[str, int] | None = None
) -> Iterator[Progress]:
    """Show, while the block runs, what is done, how much of it, and how fast.

    Args:
        console: Where to show it; only a terminal is used.
        what: What is done.
        wanted: Whether to show anything.
        totals: How much there is to do in phases where that is known.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda phase, count: None
        return
    display = Display(console, what, totals)
    try:
        yield display.note
    finally:
        display.close()


class Display:
    """A line with a bar for each phase, and how much is done in it.

    Args:
        console: Where to show it.
        what: What is done.
        totals: How much there is to do in phases where that is known; elsewhere the bar moves.
        patience: Seconds before it appears.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        console: Console,
        what: str,
        totals: Mapping[str, int] | None = None,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._what = what
        self._totals = totals or {}
        self._clock = clock
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
        self._started: dict[str, tuple[float, int]] = {}
        self._timer = threading.Timer(patience, self._bars.start)
        self._timer.daemon = True
        self._timer.start()

    def note(self, phase: str, count: int) -> None:
        """Count what is done in a phase."""
        if phase not in self._tasks:
            self._tasks[phase] = self._task(phase)
        self._counts[phase] = done = self._counts.get(phase, 0) + count
        self._started.setdefault(phase, (self._clock(), done))
        self._bars.update(self._tasks[phase], completed=done, done=self._text(phase))

    def _task(self, phase: str) -> Any:
        description, total = f"{self._what}: {phase}", self._totals.get(phase)
        if self._tasks:
            return self._bars.add_task(description, total=total, done="")
        self._bars.update(self._first, description=description, total=total)
        return self._first

    def _text(self, phase: str) -> str:
        done, total = self._counts[phase], self._totals.get(phase)
        of = "" if total is None else f" of {total:,}"
        text = f"{done:,}{of} {_UNITS.get(phase, 'documents')}"
        since, before = self._started[phase]
        seconds = self._clock() - since
        return text if seconds < _RATED else f"{text}, {(done - before) / seconds:,.0f}/s"

    def close(self) -> None:
        """Take the display away."""
        self._timer.cancel()
        self._timer.join()
        if self._bars.live.is_started:
            self._bars.stop()
