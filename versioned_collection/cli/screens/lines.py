"""Versions as lines of a list."""

from __future__ import annotations

from datetime import datetime, timezone

from rich.text import Text

from versioned_collection.cli.history import Names
from versioned_collection.cli.render import author_text, decorations
from versioned_collection.cli.screens.reading import LogLine
from versioned_collection.cli.screens.rows import Row, line_of
from versioned_collection.core.times import utc

_UNITS = ((365 * 86_400, "y"), (30 * 86_400, "mo"), (86_400, "d"), (3_600, "h"), (60, "min"))


def age_text(seconds: float) -> str:
    """Return how long ago something was, such as ``3d``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "now"


def version_row(line: LogLine, names: Names, marked: bool) -> Row:
    """Return a line of the drawn history.

    Args:
        line: The line.
        names: What points to versions.
        marked: Whether its version is marked.
    """
    drawing, version = Text(line.drawing, style="red"), line.version
    if version is None:
        return Row(Text.assemble("  ", drawing))
    seconds = (datetime.now(timezone.utc) - utc(version.timestamp)).total_seconds()
    text = Text.assemble(
        ("> " if marked else "  ", "bold magenta"),
        drawing,
        (f" {line_of(version.label)} {version.checksum[:8]}", "yellow"),
        decorations(names.of(version.id)),
        (f" {age_text(seconds)}", "dim"),
        (f" {line_of(author_text(version.author))}" if version.author else "", "dim"),
        f" {line_of(version.subject)}",
    )
    return Row(text, line)
