"""The history: its graph, and what the version under the cursor says and changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Static

from versioned_collection.cli.history import Names
from versioned_collection.cli.render import author_text, version_text
from versioned_collection.cli.screens import moving
from versioned_collection.cli.screens.base import Base
from versioned_collection.cli.screens.difference import DifferenceScreen, change_rows
from versioned_collection.cli.screens.document import DocumentScreen
from versioned_collection.cli.screens.lines import version_row
from versioned_collection.cli.screens.reading import ChangedDocument, History, LogLine, Pages
from versioned_collection.cli.screens.rows import Row, Rows

if TYPE_CHECKING:
    from versioned_collection import Version

_SETTLED = 0.05
"""Seconds on a line after which its details are read: a held key reads nothing."""

_PAGES = "pages"
"""The group of jobs that read further lines of the history."""

_MARKS = 2
_LONGEST = 20_000


class LogScreen(Base):
    """The history of a collection.

    Args:
        history: What is read.
    """

    KEYS: ClassVar[Sequence[tuple[str, str]]] = (
        ("up down  k j", "move; page up, page down, home and end too"),
        ("left right", "shift long lines"),
        ("enter  tab", "go to the documents of the version, open one"),
        ("escape backspace", "go back"),
        ("/", "search messages, authors, branches and tags;  n  finds the next"),
        ("space", "mark a version, or take the mark off"),
        ("d", "compare the two marked versions, or the marked one with this one"),
        ("c", "check the version out"),
        ("t", "tag the version"),
        ("b", "create a branch at the version"),
        ("r", "read everything again"),
        ("?", "this help"),
        ("q", "quit"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("n", "again", "Next", show=False),
        Binding("space", "mark", "Mark"),
        Binding("d", "compare", "Diff"),
        Binding("c", "checkout", "Checkout"),
        Binding("t", "tag", "Tag"),
        Binding("b", "branch", "Branch"),
        Binding("r", "reload", "Reload", show=False),
        Binding("escape,backspace", "back", "Back", show=False),
    ]

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self._names = Names()
        self._pages: Pages[LogLine] = Pages(iter(()))
        self._changes: Pages[ChangedDocument] = Pages(iter(()))
        self._marked: list[Version] = []
        self._shown: Any = None
        self._wanted = ""
        self._search_waits = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with Horizontal():
            yield Rows("history", id="log", classes="side")
            with Vertical(classes="side"):
                with VerticalScroll(classes="part", id="about", can_focus=False):
                    yield Static("", id="details")
                yield Rows("documents", id="documents")
        yield from self.end()

    DEFAULT_CSS = """
    LogScreen #about { height: auto; max-height: 50%; }
    LogScreen #documents { height: 1fr; }
    """

    def on_mount(self) -> None:
        """Read the first page."""
        self.reload()

    @property
    def log_rows(self) -> Rows:
        """The history."""
        return self.query_one("#log", Rows)

    @property
    def documents(self) -> Rows:
        """What the version under the cursor changed."""
        return self.query_one("#documents", Rows)

    # -- reading -------------------------------------------------------------------------

    def reload(self) -> None:
        """Read everything again, and come back to the line where the cursor was."""
        version, place = self.version, self.log_rows.cursor
        wanted = None if version is None else version.id

        def job() -> tuple[Names, Pages[LogLine], list[LogLine]]:
            pages = self._history.log()
            return self._history.names(), pages, pages.more(max(place + 100, 200))

        def then(found: tuple[Names, Pages[LogLine], list[LogLine]]) -> None:
            self.workers.cancel_group(self, _PAGES)  # of what was read before
            self._names, self._pages, lines = found
            self._shown = None
            self.log_rows.clear()
            self.log_rows.extend([self._row(line) for line in lines])
            self._go_to(lambda one: one.id == wanted)

        self.read("reload", job, then)

    @on(Rows.Wanted, "#log")
    def more_versions(self) -> None:
        """Read the next page of the history."""
        self.take(_PAGES, self._pages, self._add)

    def _add(self, lines: list[LogLine]) -> None:
        self.log_rows.extend([self._row(line) for line in lines])
        if self._search_waits:
            self._search_waits = False
            self.action_again()

    def _row(self, line: LogLine) -> Row:
        version = line.version
        marked = version is not None and any(one.id == version.id for one in self._marked)
        return version_row(line, self._names, marked)

    @on(Rows.Seen, "#log")
    def settle(self) -> None:
        """Show the details once the cursor rests."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_SETTLED, self._describe)

    def _describe(self) -> None:
        version = self.version
        if version is None or version.id == self._shown:
            return
        self._shown = version.id
        about = version_text(version, self._names.of(version.id))
        about.truncate(_LONGEST)
        self.query_one("#details", Static).update(about)
        self._changes = self._history.changes(version)
        self.documents.clear()
        self.more_documents()

    @on(Rows.Wanted, "#documents")
    def more_documents(self) -> None:
        """Read the next page of changed documents."""
        self.take(
            "documents",
            self._changes,
            lambda page: self.documents.extend(change_rows(page)),
        )

    @property
    def version(self) -> Version | None:
        """The version under the cursor."""
        line = self.log_rows.value
        return None if line is None else line.version

    # -- looking -------------------------------------------------------------------------

    @on(Rows.Chosen, "#log")
    def enter_documents(self) -> None:
        """Go to the documents."""
        self.documents.focus()

    @on(Rows.Chosen, "#documents")
    def open_document(self) -> None:
        """Open a document."""
        version, changed = self.version, self.documents.value
        if version is not None and version.id == self._shown and changed is not None:
            self.app.push_screen(DocumentScreen(self._history, changed.key, version))

    def action_back(self) -> None:
        """Go back to the history."""
        self.log_rows.focus()

    def action_reload(self) -> None:
        """Read everything again."""
        self.say("")
        self.reload()

    def action_mark(self) -> None:
        """Mark a version, or take the mark off; the oldest of three goes."""
        version = self.version
        if version is None:
            return
        kept = [one for one in self._marked if one.id != version.id]
        if len(kept) == len(self._marked):
            kept = [*kept, version][-_MARKS:]
        self._marked = kept
        for place, row in enumerate(self.log_rows.lines):
            if row.value is not None:
                self.log_rows.replace(place, self._row(row.value))
        self.say(f"marked: {', '.join(one.label for one in kept) or 'nothing'}")

    def action_compare(self) -> None:
        """Show what differs between the marked versions."""
        here = self.version
        pair = list(self._marked)
        if len(pair) == 1 and here is not None and here.id != pair[0].id:
            pair.append(here)
        if len(pair) < _MARKS:
            self.say(
                "compare what? Mark two versions with the space bar, or one and go to another"
            )
            return
        self.app.push_screen(DifferenceScreen(self._history, pair[0], pair[1]))

    # -- searching -----------------------------------------------------------------------

    def action_search(self) -> None:
        """Ask for a text, and go to the next version that has it."""

        def then(text: str) -> None:
            self._wanted = text.casefold()
            self.action_again()

        self.ask("Search messages, authors, branches and tags:", then, self._wanted)

    def action_again(self) -> None:
        """Go to the next version that has the text."""
        if not self._wanted:
            self.say("search what? / asks for it")
            return
        if not self._go_to(self._has_text, self.log_rows.cursor + 1):
            self._search_further()

    def _has_text(self, version: Version) -> bool:
        found = (version.label, version.message, author_text(version.author))
        return any(self._wanted in one.casefold() for one in (*found, *self._names.of(version.id)))

    def _search_further(self) -> None:
        """Read on until a version has the text."""
        pages = self._pages

        def job() -> list[LogLine]:
            lines: list[LogLine] = []
            while not pages.ended:
                page = pages.more()
                lines += page
                if any(line.version and self._has_text(line.version) for line in page):
                    break
            return lines

        def then(lines: list[LogLine]) -> None:
            place = len(self.log_rows.lines)
            self._add(lines)
            if not self._go_to(self._has_text, place):
                self.say(f"no further version has {self._wanted!r}")

        if pages.busy:
            self._search_waits = True
            return
        self.say("searching ...")
        self.take_by(_PAGES, pages, job, then)

    def _go_to(self, fits: Callable[[Version], bool], start: int = 0) -> bool:
        rows = self.log_rows
        for place in range(start, len(rows.lines)):
            line = rows.lines[place].value
            if line is not None and fits(line.version):
                rows.to(place)
                return True
        return False

    def abandon(self) -> None:
        """See `Base.abandon`."""
        self._history.abandon()

    # -- writing -------------------------------------------------------------------------

    def action_checkout(self) -> None:
        """Check the version out, or the branch whose tip it is."""
        version = self.version
        if version is None:
            return
        branch = self._branch_at(version)
        what = version.label if branch is None else f"branch {branch}, {version.label}"
        collection = self._history.collection
        job = partial(moving.checkout, collection, version, branch)
        self.confirm(f"Check out {what}?", lambda: self._write(f"checking out {what}", job))

    def _branch_at(self, version: Version) -> str | None:
        """Return a branch whose tip a version is, the present one where it can be."""
        found = sorted(self._names.branches.get(version.id, ()))
        return self._names.branch if self._names.branch in found else next(iter(found), None)

    def action_tag(self) -> None:
        """Tag the version."""
        version = self.version
        if version is None:
            return
        job = partial(moving.tag, self._history.collection, version)
        self.ask(
            f"Name of a tag for {version.label}:",
            lambda name: self._write(f"tagging {version.label}", partial(job, name)),
            check=moving.wrong_with,
        )

    def action_branch(self) -> None:
        """Create a branch at the version."""
        version = self.version
        if version is None:
            return
        first = f" (checks {version.label} out first)" * (version.id != self._names.head)
        job = partial(moving.create_branch, self._history.collection, version)
        self.ask(
            f"Name of a branch at {version.label}{first}:",
            lambda name: self._write(f"creating {name}", partial(job, name)),
            check=moving.wrong_with,
        )

    def _write(self, said: str, job: Callable[[], str]) -> None:
        """Run a job that changes something, and show what is there afterwards."""

        def then(done: str) -> None:
            self.say(done)
            self.reload()

        def failed(error: Exception) -> None:
            self.fail(error)
            self.reload()

        self.write(said, job, then, failed)
