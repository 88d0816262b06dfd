"""Versions, diffs and tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from versioned_collection.cli.columns import tight
from versioned_collection.cli.lines import dump, printable
from versioned_collection.core.diff import aligned
from versioned_collection.core.drawing import draw

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from versioned_collection import Imported, Restored, Version
    from versioned_collection.cli.history import Names

_DIFF_STYLES = (
    ("--- ", "bold"),
    ("+++ ", "bold"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)
_OP_STYLES = {"insert": "green", "update": "yellow", "delete": "red"}
_LINE_MESSAGE = 72
_LEAST = 20
"""How narrow a column that folds gets."""
_BETWEEN = 2
"""What Rich puts between columns."""
_LEAST_WIDTH = 20


def author_text(author: Any) -> str:
    """Return an author in words."""
    if not isinstance(author, Mapping):
        return printable(str(author or ""))
    name, email = author.get("name"), author.get("email")
    if name and email:
        return printable(f"{name} <{email}>")
    return printable(str(name or email or dump(author)))


def decorations(found: Sequence[str]) -> Text:
    """Return the names that point to a version, in brackets; nothing for none."""
    if not found:
        return Text()
    text = Text(" (", style="yellow")
    for turn, name in enumerate(found):
        if turn:
            text.append(", ")
        style = "magenta" if name.startswith("tag: ") else "green"
        text.append(printable(name), "bold cyan" if name.startswith("HEAD") else style)
    return text.append(")")


def version_text(version: Version, pointing: Sequence[str] = ()) -> Text:
    """Return a version with everything that was said about it."""
    text = Text("version ", style="yellow")
    text.append(f"{printable(version.label)} {version.checksum[:12]}")
    text = Text.assemble(text, decorations(pointing))
    if version.author:
        text.append(f"\nAuthor:   {author_text(version.author)}")
    text.append(f"\nDate:     {version.timestamp:%Y-%m-%d %H:%M:%S} UTC")
    text.append(f"\nChanges:  {stats_text(version.stats)}")
    if version.gap is not None:
        text.append(f"\nStands for {len(version.gap.versions):,} more, which were thinned out")
    for name, value in version.metadata.items():
        text.append(f"\n{printable(f'{name}: {dump(value)}')}")
    indented = "\n    ".join(printable(version.message).split("\n"))
    return text.append(f"\n\n    {indented}\n")


def version_line(version: Version, pointing: Sequence[str] = ()) -> Text:
    """Return a version as one line."""
    first = printable(version.message).partition("\n")[0]
    message = first if len(first) <= _LINE_MESSAGE else f"{first[: _LINE_MESSAGE - 1]}…"
    label = Text(f"{printable(version.label)} {version.checksum[:8]}", style="yellow")
    return Text.assemble(label, decorations(pointing), " ", message)


def stats_text(stats: Mapping[str, int]) -> str:
    """Return numbers of documents in words."""
    kinds = ("inserted", "updated", "deleted")
    found = [f"{stats[kind]:,} {kind}" for kind in kinds if stats.get(kind)]
    return ", ".join(found) or "no documents"


def outcome_lines(done: Imported | Restored, dry_run: bool) -> list[str]:
    """Return what became of documents, and which of them another client changed meanwhile."""
    what = "nothing differs"
    if any(done.counts.values()):
        what = f"{'would be ' * dry_run}{stats_text(done.counts)}"
    return [what, *(f"kept as another client left it: {dump(id_)}" for id_ in done.kept)]


def graph_lines(
    versions: Sequence[Version], parents: Mapping[Any, Sequence[Any]], pointing: Names
) -> Iterator[Text]:
    """Draw versions, which are in order, one on a line."""
    by_id = {version.id: version for version in versions}
    for drawing, one in draw(by_id, parents):
        lines = Text(drawing, style="red")
        if one is None:
            yield lines
            continue
        version = by_id[one]
        yield Text.assemble(
            lines,
            " ",
            version_line(version, pointing.of(one)),
            (f"  {version.timestamp:%Y-%m-%d}", "dim"),
            (f" {author_text(version.author)}" if version.author else "", "dim"),
        )


def diff_text(diff: str) -> Text:
    """Return a unified diff with colours."""
    text = Text()
    for turn, line in enumerate(diff.split("\n")):
        style = next((style for start, style in _DIFF_STYLES if line.startswith(start)), "")
        text.append(("\n" if turn else "") + printable(line), style)
    return text


def beside(old: bytes | None, new: bytes | None) -> Table:
    """Return two documents beside one another, where they differ."""
    result = Table(box=None, pad_edge=False, show_header=False, expand=True)
    result.add_column(ratio=1, overflow="fold")
    result.add_column(ratio=1, overflow="fold")
    for pair in aligned(old, new):
        left, right = pair or ("…", "…")
        differ = left != right
        result.add_row(
            Text(printable(left or ""), "red" if differ else ""),
            Text(printable(right or ""), "green" if differ else ""),
        )
    return result


def change_heading(op: str, document_id: Any) -> Text:
    """Return the line that tells what happened to which document."""
    return Text.assemble((f"{op} ", f"bold {_OP_STYLES[op]}"), (_id(document_id), "bold"))


def change_line(op: str, document_id: Any) -> Text:
    """Return a change as ``git status`` abbreviates it."""
    letter = {"insert": "A", "update": "M", "delete": "D"}[op]
    return Text.assemble((letter, _OP_STYLES[op]), f" {_id(document_id)}")


def _id(document_id: Any) -> str:
    return printable(dump(document_id))


class _Columns(Table):
    """A table of which one column folds where the screen is narrow, and the others stay whole.

    Left to itself, Rich takes what is too much from all columns, and most from short ones. Where
    there is no screen nothing folds: a row is a line.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal:
            yield Text("\n".join(tight(self._texts(), self._numbers())))
            return
        widths = [column.min_width or 0 for column in self.columns]
        least = sum(widths) + _BETWEEN * (len(widths) - 1)
        yield from super().__rich_console__(
            console, options.update(max_width=max(options.max_width, least))
        )

    def _texts(self) -> list[tuple[str, ...]]:
        columns = ([column.header, *column.cells] for column in self.columns)
        return list(zip(*(map(str, cells) for cells in columns), strict=True))

    def _numbers(self) -> set[int]:
        return {turn for turn, one in enumerate(self.columns) if one.justify == "right"}


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table, of which one column folds where the screen is narrow.

    Args:
        headings: Those that start with ``#`` are of numbers, set to the right; one that starts
            with ``~`` is that of the column that folds, which is the last one otherwise.
        rows: The cells.
    """
    cells = [[_cell(one) for one in row] for row in rows]
    folding = next((k for k, one in enumerate(headings) if one.startswith("~")), len(headings) - 1)
    result = _Columns(box=None, pad_edge=False, header_style="bold")
    for turn, heading in enumerate(headings):
        title = heading.lstrip("#~")
        width = max(len(title), *(_width(row[turn]) for row in cells), 0)
        result.add_column(
            title,
            justify="right" if heading.startswith("#") else "left",
            no_wrap=turn != folding,
            overflow="fold",
            min_width=min(width, _LEAST) if turn == folding else width,
        )
    for row in cells:
        result.add_row(*row)
    return result


def _cell(content: str | Text) -> Text:
    return Text(printable(content)) if isinstance(content, str) else content


def _width(cell: Text) -> int:
    return max((line.cell_len for line in cell.split()), default=0)
