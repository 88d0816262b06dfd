"""Conflicts that wait: base, ours and theirs side by side, and what is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from versioned_collection.cli.clashes import SIDES, place_text, shortened
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.screens import deciding
from versioned_collection.cli.screens.asking import Choose
from versioned_collection.cli.screens.base import Base
from versioned_collection.cli.screens.deciding import Choice, Choices
from versioned_collection.cli.screens.reading import PAGE, Pages
from versioned_collection.cli.screens.rows import Row, Rows, line_of

if TYPE_CHECKING:
    from versioned_collection import Conflict, VersionedCollection

_PAGES = "pages"
"""The group of jobs that read further conflicts."""

_SIDE_KEYS = {"o": "ours", "t": "theirs", "b": "base"}


class ResolverScreen(Base):
    """The conflicts of a merge that waits.

    Args:
        collection: The collection.
        author: Who registers the outcome.

    Attributes:
        settled: How many conflicts were settled.
    """

    KEYS: ClassVar[Sequence[tuple[str, str]]] = (
        ("up down  k j  p n", "move between conflicts"),
        ("tab", "go to a value, which the arrow keys shift; and back"),
        ("o", "take ours: the value of HEAD"),
        ("t", "take theirs: the value of the other side"),
        ("b", "take base: the value before both changes"),
        ("u", "take the union of two lists"),
        ("e", "edit the value as Extended JSON"),
        ("x", "remove what is there"),
        ("z", "undo the latest choice that is not saved"),
        ("s", "save: settle what was chosen"),
        ("A", "settle all that remain by a side"),
        ("r", "read the list again"),
        ("?", "this help"),
        ("q", "quit; conflicts that are not settled wait on"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "side('ours')", "Ours"),
        Binding("t", "side('theirs')", "Theirs"),
        Binding("b", "side('base')", "Base"),
        Binding("u", "union", "Union"),
        Binding("e", "edit", "Edit"),
        Binding("x", "remove", "Remove", show=False),
        Binding("z,ctrl+z", "undo", "Undo"),
        Binding("n", "move(1)", "Next", show=False),
        Binding("p", "move(-1)", "Previous", show=False),
        Binding("A", "all", "All"),
        Binding("s", "save", "Save"),
        Binding("r", "reload", "Reload", show=False),
    ]
    DEFAULT_CSS = """
    ResolverScreen #conflicts { height: 1fr; }
    ResolverScreen #sides { height: 1fr; }
    ResolverScreen .part { width: 1fr; height: 1fr; }
    ResolverScreen #result { height: 8; width: 100%; }
    """

    def __init__(self, collection: VersionedCollection, author: Any = None) -> None:
        super().__init__()
        self.settled = 0
        self._collection = collection
        self._author = author
        self._choices = Choices()
        self._pages: Pages[Conflict] = Pages(iter(()))
        self._waiting = 0

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Rows("conflicts", id="conflicts")
        with Horizontal(id="sides"):
            for side in SIDES:
                yield _part(side)
        yield _part("result")
        yield from self.end()

    def on_mount(self) -> None:
        """Read the first page."""
        self.reload()

    @property
    def rows(self) -> Rows:
        """The conflicts."""
        return self.query_one("#conflicts", Rows)

    @property
    def conflict(self) -> Conflict | None:
        """The conflict under the cursor."""
        found: Conflict | None = self.rows.value
        return found

    # -- reading -------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the list again, and come back to where the cursor was."""
        place = self.rows.cursor

        def job() -> tuple[dict[str, Any], Pages[Conflict], list[Conflict]]:
            pages = Pages(self._collection.conflicts())
            return self._collection.status(), pages, pages.more(max(place + 1, PAGE))

        def then(found: tuple[dict[str, Any], Pages[Conflict], list[Conflict]]) -> None:
            self.workers.cancel_group(self, _PAGES)  # of what was read before
            status, self._pages, page = found
            self._waiting = status["conflicts"]
            self.rows.clear()
            self._add(page)
            self.rows.to(place)
            self._show()
            if not page:
                self._offer(status)

        self.read("reload", job, then)

    @on(Rows.Wanted)
    def more(self) -> None:
        """Read the next page."""
        self.take(_PAGES, self._pages, self._add)

    def _add(self, page: list[Conflict]) -> None:
        self.rows.extend([self._row(one) for one in page])

    def _row(self, one: Conflict) -> Row:
        choice = self._choices.of(one.id)
        mark = "" if choice is None else choice.how
        return Row(
            Text.assemble(
                (f"{mark:<8}", "bold green"),
                (line_of(shortened(one.document_id)), "bold"),
                f"  {line_of(place_text(one))}",
                (f"  {one.kind}", "dim"),
            ),
            one,
        )

    @on(Rows.Seen)
    def _show(self) -> None:
        """Show the values of the conflict under the cursor."""
        one = self.conflict
        choice = None if one is None else self._choices.of(one.id)
        for side in SIDES:
            text = "" if one is None else deciding.side_shown(one, side)
            self.query_one(f"#{side}", Static).update(Text(text))
        result = "" if one is None else deciding.choice_shown(one, choice)
        self.query_one("#result-text", Static).update(Text(result))
        left = f"{self._waiting:,} wait, {len(self._choices):,} decided and not saved"
        self.rows.border_title = Text(f"conflicts: {left}")

    # -- choosing ------------------------------------------------------------------------

    def action_side(self, side: str) -> None:
        """Take a side's value."""
        self._choose(lambda _: deciding.of_side(side))

    def action_union(self) -> None:
        """Take what either side added to a list."""
        self._choose(deciding.union)

    def action_remove(self) -> None:
        """Take nothing."""
        self._choose(lambda _: deciding.removed())

    def action_edit(self) -> None:
        """Have a person write the value."""
        one = self.conflict
        if one is None:
            return
        chosen = self._choices.of(one.id)
        side = chosen.how if chosen and chosen.how in SIDES else "ours"
        text = "" if deciding.is_large(one, side) else deciding.editable(one, side)
        if deciding.is_large(one, side) or len(text) > deciding.LONGEST:
            self.say(f"too long for one line: vc resolve {one.id} --edit opens an editor")
            return

        def check(written: str) -> str | None:
            try:
                deciding.edited(one, written)
            except UsageFailure as error:
                return str(error)
            return None

        question = f"The value at {place_text(one)}, as Extended JSON:"
        self.ask(
            question,
            lambda written: self._choose(lambda one: deciding.edited(one, written), one),
            text,
            check,
        )

    def _choose(self, decide: Callable[[Conflict], Choice], asked: Conflict | None = None) -> None:
        """Note a choice: for the conflict that was asked about, or the one under the cursor."""
        one = asked or self.conflict
        if one is None or self.is_writing():
            return
        try:
            choice = decide(one)
        except UsageFailure as error:
            self.fail(error)
            return
        self._choices.make(one.id, choice)
        self.say(f"{choice.how}; s saves, z takes it back")
        self._redraw(one.id)

    def _redraw(self, conflict: Any) -> None:
        """Show what was chosen for a conflict, where its line is."""
        for place, row in enumerate(self.rows.lines):
            if row.value.id == conflict:
                self.rows.replace(place, self._row(row.value))
                self.rows.to(place)
        self._show()

    def action_undo(self) -> None:
        """Take the latest choice back."""
        conflict = None if self.is_writing() else self._choices.undo()
        if conflict is None:
            self.say("nothing to take back: what was saved is saved")
            return
        self.say("taken back")
        self._redraw(conflict)

    def action_move(self, count: int) -> None:
        """Go to another conflict."""
        self.rows.action_by(count)

    def action_reload(self) -> None:
        """Read the list again."""
        self.say("")
        self.reload()

    # -- saving --------------------------------------------------------------------------

    def action_save(self) -> None:
        """Settle what was chosen."""
        if len(self._choices):
            self.write("saving", self._save, self._saved)
        elif self._waiting:
            self.say("nothing is decided that is not saved")
        else:
            self.reload()

    def _save(self) -> Exception | None:
        settled, error = deciding.settle(self._collection, self._choices)
        self.settled += settled
        return error

    def _saved(self, error: Exception | None) -> None:
        if error is None:
            self.say("saved")
        else:
            self.fail(error)
        self.reload()

    def action_all(self) -> None:
        """Settle all that remain by a side."""
        if not self._waiting:
            return
        decided = len(self._choices)
        first = f"The {decided:,} decided are saved first. " if decided else ""
        rest = max(self._waiting - decided, 0)
        question = f"{first}Settle the {rest:,} that remain, for good, by which side?"
        self.choose(Choose(question, _SIDE_KEYS), lambda key: self._all(_SIDE_KEYS[key]))

    def _all(self, side: str) -> None:
        def job() -> Exception | None:
            error = self._save()
            if error is None:  # else what was decided otherwise would be settled by the side
                self.settled += deciding.settle_all(self._collection, side)
            return error

        self.write(f"settling all by {side}", job, self._saved, self._failed)

    def _failed(self, error: Exception) -> None:
        self.fail(error)
        self.reload()

    # -- the end -------------------------------------------------------------------------

    def _offer(self, status: dict[str, Any]) -> None:
        """Offer to register the outcome once no conflict waits."""
        if not status["merging"]:
            self.say("no conflict waits, and no merge; q leaves")
            return
        goes_on = " and go on with the rebase" if status["merge_verb"] == "rebase" else ""
        self.ask(
            f"No conflict waits. Register the outcome{goes_on}? A message, or none for the "
            "merge's own; esc leaves it for 'vc register'.",
            self._register,
        )

    def _register(self, message: str) -> None:
        def job() -> str:
            if not self._collection.register(message or None, author=self._author):
                return "nothing changed since HEAD"
            return f"registered {self._collection.resolve('HEAD').label}"

        def then(said: str) -> None:
            self.say(f"{said}; q leaves")

        self.write("registering", job, then, self._failed)


def _part(name: str) -> VerticalScroll:
    """Return a place for a value."""
    text = Static("", id=name if name in SIDES else f"{name}-text")
    part = VerticalScroll(text, classes="part", id=None if name in SIDES else name)
    part.border_title = Text(name)
    return part
