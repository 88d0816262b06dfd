"""Two versions, and the documents that differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from versioned_collection.cli.render import change_line
from versioned_collection.cli.screens.base import Base
from versioned_collection.cli.screens.document import DocumentScreen
from versioned_collection.cli.screens.reading import ChangedDocument, History
from versioned_collection.cli.screens.rows import Row, Rows, line_of

if TYPE_CHECKING:
    from versioned_collection import Version

_LONGEST = 500


def change_rows(changes: Iterable[ChangedDocument]) -> list[Row]:
    """Return changed documents as lines, as ``vc changes`` shows them."""
    from versioned_collection import DocumentId

    rows = []
    for one in changes:
        text = change_line(one.op, DocumentId(one.key))
        text.truncate(_LONGEST, overflow="ellipsis")
        rows.append(Row(text, one))
    return rows


class DifferenceScreen(Base):
    """The documents that differ between two versions.

    Args:
        history: What is read.
        old: The first version.
        new: The second one.
    """

    KEYS: ClassVar[Sequence[tuple[str, str]]] = (
        ("up down  k j", "move"),
        ("enter", "open the document"),
        ("escape backspace", "go back"),
        ("q", "quit"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "back", "Back")]

    def __init__(self, history: History, old: Version, new: Version) -> None:
        super().__init__()
        self._history = history
        self._old, self._new = old, new
        self._pages = history.differences(old, new)

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Rows(line_of(f"{self._old.label} to {self._new.label}"), id="documents")
        yield from self.end()

    def on_mount(self) -> None:
        """Read the first page."""
        self.say("comparing ...")
        self.more()

    @on(Rows.Wanted)
    def more(self) -> None:
        """Read the next page."""
        self.take("documents", self._pages, self._add)

    def _add(self, page: list[ChangedDocument]) -> None:
        rows = self.query_one(Rows)
        rows.extend(change_rows(page))
        more = "" if self._pages.ended else ", and more"
        self.say(f"{len(rows.lines):,} documents differ{more}")

    @on(Rows.Chosen)
    def open_document(self, event: Rows.Chosen) -> None:
        """Open a document."""
        key = event.rows.value.key
        self.app.push_screen(DocumentScreen(self._history, key, self._new, self._old))

    def action_back(self) -> None:
        """Go back."""
        self.dismiss()
