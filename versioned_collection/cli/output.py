"""What a run prints: answers on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.failures import Failure, UsageFailure
from versioned_collection.cli.lines import dump, plain, printable
from versioned_collection.cli.redact import hide, redact
from versioned_collection.cli.streams import ESCAPES, fitting, telling, writing

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from versioned_collection.cli.progress import Progress

_WIDTH_WITHOUT_TERMINAL = 160


class Output:
    """Where a run prints to.

    Attributes:
        json: Whether answers and errors are printed as JSON.
        quiet: Whether progress is left out.
    """

    def __init__(self) -> None:
        self.json = False
        self.quiet = False

    def secrets(self) -> list[str]:
        """Return what must not be printed, longest first."""
        return []

    @cached_property
    def out(self) -> Console:
        """Where answers go."""
        return _console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Where everything else goes."""
        return _console(stderr=True)

    @property
    def width(self) -> int | None:
        """The width of the terminal that answers go to, None where they go elsewhere."""
        return self.out.width if self.out.is_terminal else None

    def emit(self, value: Mapping[str, Any]) -> None:
        """Print an answer as one JSON object."""
        self.write(dump(value, indent=2 if sys.stdout.isatty() else None))

    def write(self, text: str, end: str = "\n", escapes: str = ESCAPES) -> None:
        """Print a text that a program reads, JSON unless `escapes` are those of another form."""
        with writing():
            sys.stdout.write(fitting(text, sys.stdout, escapes) + end)
            sys.stdout.flush()

    def show(self, *items: RenderableType) -> None:
        """Print for people: texts are not wrapped, and colours are left out of files."""
        with writing():
            for item in items:
                self.out.print(printable(item) if isinstance(item, str) else item, soft_wrap=True)

    def answer(self, value: Mapping[str, Any], *items: RenderableType) -> None:
        """Print an answer: the object with ``--json``, the items for people."""
        if self.json:
            self.emit(value)
        else:
            self.show(*items)

    def warn(self, message: str) -> None:
        """Print a warning."""
        text = printable(redact(message, self.secrets()))
        self.err.print(f"warning: {text}", style="yellow", soft_wrap=True)

    def fail(self, failure: Failure) -> None:
        """Print an error, with its code."""
        with telling():
            self._tell(failure)

    def _tell(self, failure: Failure) -> None:
        secrets = self.secrets()
        message = redact(failure.message, secrets)
        if self.json:
            error = {"code": failure.code, "message": message, "exit": int(failure.exit)}
            facts = hide(plain(failure.facts), secrets)
            told = dump({"error": {**error, "facts": facts}})
            sys.stderr.write(fitting(told, sys.stderr) + "\n")
            return
        from rich.text import Text

        text = Text(f"error[{failure.code}]: ", style="bold red")
        text.append(printable(message), style="default not bold")
        self.err.print(text, soft_wrap=True)

    @contextmanager
    def working(self, what: str, totals: Mapping[str, int] | None = None) -> Iterator[Progress]:
        """Show progress on the terminal while the block runs, if it takes long.

        Args:
            what: What is done.
            totals: How much there is to do in phases where that is known.
        """
        from versioned_collection.cli.progress import reporting

        with reporting(self.err, what, not self.quiet and not self.json, totals) as progress:
            yield progress

    def confirm(self, question: str, yes: bool) -> bool:
        """Ask before something that cannot be undone.

        With ``--json`` the question is shown to a person at a terminal only: programs read
        standard error, too.

        Args:
            question: What is about to happen.
            yes: Whether the answer was given beforehand.

        Raises:
            UsageFailure: There is nobody to ask.
        """
        if yes:
            return True
        shown = not self.json or sys.stdin.isatty()
        if shown:
            sys.stderr.write(f"{printable(question)} [y/N] ")
            sys.stderr.flush()
        reply = sys.stdin.readline()
        if not reply:
            if shown:
                sys.stderr.write("\n")
            asked = "the question" if shown else repr(question)
            raise UsageFailure(f"this cannot be undone: answer {asked}, or pass --yes")
        return reply.strip().lower() in ("y", "yes")


def _console(stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
