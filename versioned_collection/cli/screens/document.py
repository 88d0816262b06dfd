"""A document: how it differs between two versions, and the versions that changed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from versioned_collection.cli.lines import dump
from versioned_collection.cli.render import author_text, diff_text
from versioned_collection.cli.screens.base import Base
from versioned_collection.cli.screens.reading import History
from versioned_collection.cli.screens.rows import Row, Rows, line_of

if TYPE_CHECKING:
    from versioned_collection import DocumentVersion, Version

_LONGEST = 10_000


class DocumentScreen(Base):
    """A document in a version.

    Args:
        history: What is read.
        key: The document's key.
        version: The version.
        other: The version it is compared with; without it the first parent.
    """

    KEYS: ClassVar[Sequence[tuple[str, str]]] = (
        ("up down  k j", "move"),
        ("left right", "shift long lines"),
        ("tab", "from the difference to the document's versions, and back"),
        ("enter", "on a version: what it changed in the document"),
        ("escape backspace", "go back"),
        ("q", "quit"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "back", "Back")]
    DEFAULT_CSS = "DocumentScreen #diff { width: 3fr; } DocumentScreen #versions { width: 2fr; }"

    def __init__(
        self, history: History, key: bytes, version: Version, other: Version | None = None
    ) -> None:
        super().__init__()
        self._history = history
        self._key = key
        self._version = version
        self._other = other
        self._versions = history.of_document(key, version)

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with Horizontal():
            yield Rows("difference", id="diff")
            yield Rows("versions", id="versions")
        yield from self.end()

    def on_mount(self) -> None:
        """Read the difference and the first versions."""
        from versioned_collection import DocumentId

        title = Text(line_of(dump(DocumentId(self._key))))
        title.truncate(60, overflow="ellipsis")
        self.query_one("#diff", Rows).border_title = title
        self._compare(self._version, self._other)
        self.more()

    def _compare(self, version: Version, other: Version | None = None) -> None:
        def job() -> list[str]:
            old = other or self._history.parent(version)
            return self._history.difference(self._key, old, version)

        self.say(f"reading {version.label} ...")
        self.read("diff", job, lambda lines: self._show(lines, version))

    def _show(self, lines: list[str], version: Version) -> None:
        rows = self.query_one("#diff", Rows)
        rows.clear()
        rows.extend([Row(_diff_line(line), turn) for turn, line in enumerate(lines)])
        self.say(f"{version.label}: {version.subject}")

    @on(Rows.Wanted, "#versions")
    def more(self) -> None:
        """Read the next versions."""
        self.take("versions", self._versions, self._add)

    def _add(self, page: list[DocumentVersion]) -> None:
        self.query_one("#versions", Rows).extend([_version_row(one) for one in page])

    @on(Rows.Chosen, "#versions")
    def open_version(self, event: Rows.Chosen) -> None:
        """Show what a version changed in the document."""
        self._compare(event.rows.value)

    def action_back(self) -> None:
        """Go back."""
        self.dismiss()


def _diff_line(line: str) -> Text:
    """Return a line of a difference; those of the screen are not as long as those of files."""
    text = diff_text(line.replace("\t", " "))
    text.truncate(_LONGEST, overflow="ellipsis")
    return text


def _version_row(one: DocumentVersion) -> Row:
    version = one.version
    who = line_of(author_text(version.author))
    return Row(
        Text.assemble(
            (line_of(version.label), "yellow"),
            f" {version.timestamp:%Y-%m-%d %H:%M} {one.op} {line_of(version.subject)}",
            (f" {who}" if who else "", "dim"),
        ),
        version,
    )
