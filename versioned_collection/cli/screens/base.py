"""What all screens share: jobs in threads, errors, questions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Footer, Static

from versioned_collection.cli.failures import describe
from versioned_collection.cli.redact import redact
from versioned_collection.cli.screens.abandoning import abandonable
from versioned_collection.cli.screens.asking import Ask, Check, Choose, Confirm, Help
from versioned_collection.cli.screens.reading import Pages
from versioned_collection.cli.screens.rows import line_of

if TYPE_CHECKING:
    from versioned_collection.cli.screens.app import Screens

T = TypeVar("T")

WRITING = "writing"
"""The group of jobs that change something: one at a time, and none is given up."""


class Base(Screen[None]):
    """A screen with a line for what was done, or went wrong."""

    KEYS: ClassVar[Sequence[tuple[str, str]]] = ()
    """What the help says."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help"),
        Binding("q", "leave", "Quit"),
    ]

    def end(self) -> ComposeResult:
        """Return what stands at the bottom of each screen."""
        yield Static("", id="said")
        yield Footer()

    # -- what is said --------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Show what was done."""
        self.query_one("#said", Static).update(Text(line_of(text)))

    def fail(self, error: BaseException) -> None:
        """Show what went wrong, as the command line would."""
        failure = describe(error)
        secrets = cast("Screens", self.app).secrets
        said = f"error[{failure.code}]: {line_of(redact(failure.message, secrets))}"
        self.query_one("#said", Static).update(Text(said, style="bold red"))

    # -- jobs ----------------------------------------------------------------------------

    def read(self, group: str, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run a job in a thread, and hand on what it returns unless another one takes its place.

        Args:
            group: Jobs of one group take each other's place.
            job: Runs in a thread; it must not touch the screen.
            then: Gets what the job returned.
        """
        self.run_worker(self._run(abandonable(job), then, self.fail), group=group, exclusive=True)

    def take(self, group: str, pages: Pages[T], then: Callable[[list[T]], None]) -> None:
        """Read the next page, unless there is none or one is on its way.

        Args:
            group: See `read`.
            pages: What is read.
            then: Gets the page.
        """
        if not pages.ended:
            self.take_by(group, pages, pages.more, then)

    def take_by(
        self, group: str, pages: Pages[Any], job: Callable[[], T], then: Callable[[T], None]
    ) -> None:
        """Run a job that takes pages, unless one is on its way."""
        if pages.busy:
            return
        pages.busy = True

        def taken(found: T) -> None:
            pages.busy = False
            then(found)

        def failed(error: Exception) -> None:
            pages.busy = False
            self.fail(error)

        self.run_worker(self._run(abandonable(job), taken, failed), group=group, exclusive=True)

    def write(
        self,
        said: str,
        job: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Run a job that changes something, unless one is running.

        Args:
            said: What is being done.
            job: Runs in a thread.
            then: Gets what the job returned.
            failed: Gets the error; without it the error is shown.
        """
        if self.is_writing():
            self.say("wait: something is being written")
            return
        self.say(f"{said} ...")
        finished = asyncio.to_thread(job)  # which the program waits for at its end
        self.run_worker(self._run(finished, then, failed or self.fail), group=WRITING)

    async def _run(
        self,
        job: Awaitable[T],
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        done: Callable[[], None]
        try:
            found = await job
        except Exception as error:
            done = partial(failed, error)
        else:
            done = partial(then, found)
        with contextlib.suppress(NoMatches):  # the screen is being taken down
            done()

    def is_writing(self) -> bool:
        """Tell whether something is being written."""
        return any(one.group == WRITING and not one.is_finished for one in self.app.workers)

    # -- questions -----------------------------------------------------------------------

    def confirm(self, question: str, then: Callable[[], None]) -> None:
        """Ask before something is done."""
        self.choose(Confirm(question), lambda key: then() if key == "y" else None)

    def choose(self, question: Choose, then: Callable[[str], None]) -> None:
        """Ask for a key."""
        self.app.push_screen(question, _unless_none(then))

    def ask(
        self,
        question: str,
        then: Callable[[str], None],
        value: str = "",
        check: Check | None = None,
    ) -> None:
        """Ask for a line of text."""
        self.app.push_screen(Ask(question, value, check), _unless_none(then))

    # -- the end -------------------------------------------------------------------------

    def abandon(self) -> None:
        """Have what is being read come to an end, as nobody looks any more."""

    # -- keys ----------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help(self.KEYS))

    def action_leave(self) -> None:
        """Leave the program."""
        if self.is_writing():
            self.say("wait: something is being written")
        else:
            self.app.exit()


def _unless_none(then: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda answer: None if answer is None else then(answer)
