"""A list of lines, drawn as far as it is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from versioned_collection.cli.lines import printable

_NEAR = 50
"""Lines before the end at which more are asked for."""


def line_of(text: str) -> str:
    """Return a text on one line, in which nothing can drive a terminal."""
    return printable(text).replace("\n", " ").replace("\t", " ")


@dataclass(frozen=True)
class Row:
    """A line.

    Attributes:
        text: What is shown.
        value: What it stands for, None where it cannot be chosen.
    """

    text: Text
    value: Any = None


class _Said(Message):
    """What a list says.

    Args:
        rows: The list.
    """

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    @property
    def control(self) -> Rows:
        """The list."""
        return self.rows


class Rows(ScrollView, can_focus=True):
    """Lines, one of which is under the cursor."""

    DEFAULT_CSS = """
    Rows { border: round $panel; }
    Rows:focus { border: round $accent; }
    Rows > .rows--cursor { background: $panel; text-style: bold; }
    Rows:focus > .rows--cursor { background: $primary; color: $text; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "by(-1)", "Up", show=False),
        Binding("down,j", "by(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "to(0)", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    class Seen(_Said):
        """The cursor is on another line."""

    class Chosen(_Said):
        """The line under the cursor was chosen."""

    class Wanted(_Said):
        """The cursor nears the end: more lines are wanted."""

    def __init__(self, title: str, **names: Any) -> None:
        super().__init__(**names)
        self.border_title = Text(title)
        self.lines: list[Row] = []
        self.cursor = 0
        self._widest = 0

    @property
    def value(self) -> Any:
        """What the line under the cursor stands for, None where there is none."""
        return self.lines[self.cursor].value if self.cursor < len(self.lines) else None

    def clear(self) -> None:
        """Remove all lines."""
        self.lines = []
        self.cursor = 0
        self._widest = 0
        self.scroll_to(0, 0, animate=False)
        self._measure([])

    def extend(self, rows: Sequence[Row]) -> None:
        """Add lines at the end."""
        first = not self.lines
        self.lines += rows
        self._measure(rows)
        if first and rows:
            self.to(0)

    def replace(self, place: int, row: Row) -> None:
        """Put another line in the place of one."""
        self.lines[place] = row
        self.refresh()

    def to(self, place: int) -> None:
        """Put the cursor on a line, or on the next that can be chosen."""
        self._go(place, 1)

    def _go(self, place: int, step: int) -> None:
        place = max(0, min(place, len(self.lines) - 1))
        found = self._choosable(place, step)
        if found is None:
            found = self._choosable(place, -step)
        if found is not None:
            self.cursor = found
            self._show_cursor()
            self.post_message(self.Seen(self))
        if self.lines and place >= len(self.lines) - _NEAR:
            self.post_message(self.Wanted(self))

    def _choosable(self, place: int, step: int) -> int | None:
        while 0 <= place < len(self.lines):
            if self.lines[place].value is not None:
                return place
            place += step
        return None

    def _show_cursor(self) -> None:
        region = Region(int(self.scroll_x), self.cursor, 1, 1)
        self.scroll_to_region(region, animate=False, force=True)
        self.refresh()

    def _measure(self, new: Sequence[Row]) -> None:
        self._widest = max([self._widest, *(row.text.cell_len for row in new)])
        self.virtual_size = Size(self._widest, len(self.lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw a line of the screen."""
        offset, top = self.scroll_offset
        place, width = y + top, self.size.width
        style = self.rich_style
        if place >= len(self.lines):
            return Strip.blank(width, style)
        if place == self.cursor and self.lines[place].value is not None:
            style += self.get_component_rich_style("rows--cursor")
        strip = Strip(_segments(self.lines[place].text, self.app.console, style))
        return strip.crop_extend(offset, offset + width, style)

    def action_by(self, count: int) -> None:
        """Move the cursor by so many lines."""
        self._go(self.cursor + count, 1 if count > 0 else -1)

    def action_page(self, count: int) -> None:
        """Move the cursor by so many pages."""
        self.action_by(count * max(1, self.size.height - 1))

    def action_to(self, place: int) -> None:
        """Move the cursor to a line."""
        self.to(place)

    def action_last(self) -> None:
        """Move the cursor to the last line that is there."""
        self._go(len(self.lines) - 1, -1)

    def action_choose(self) -> None:
        """Choose the line under the cursor."""
        if self.value is not None:
            self.post_message(self.Chosen(self))


def _segments(text: Text, console: Any, style: Style) -> list[Any]:
    shown = text.copy()
    shown.stylize_before(style)
    return [one for one in shown.render(console) if "\n" not in one.text]
