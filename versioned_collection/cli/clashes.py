"""Conflicts as texts: for a table, for ``--json``, and for files that people edit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.lines import dump, dump_exactly, printable

if TYPE_CHECKING:
    from rich.table import Table

    from versioned_collection import Conflict

SIDES = ("base", "ours", "theirs")

_HEADINGS = ("conflict", "document", "path", "kind", *SIDES)
_ID_WIDTH, _KIND_WIDTH = 24, 15
_PAGE = 100
_LONGEST = 200
_NOTHING = "(nothing)"


def place_text(conflict: Conflict) -> str:
    """Return the place of a conflict in its document."""
    from versioned_collection.core.merging import path_text

    return path_text(conflict.path)


def side_text(conflict: Conflict, side: str) -> str | None:
    """Return a side's value as Extended JSON that people can edit, None for no value.

    What is read back has the types it had, which holds for 64-bit integers too.
    """
    from versioned_collection import MISSING

    value = getattr(conflict, side)
    return None if value is MISSING else dump_exactly(value, indent=2)


def clash_facts(conflict: Conflict) -> dict[str, Any]:
    """Return a conflict as ``--json`` prints it; a side without a value is left out."""
    from versioned_collection import MISSING, ElementKey

    values = {side: getattr(conflict, side) for side in SIDES}
    return {
        "id": conflict.id,
        "document_id": conflict.document_id,
        "path": [
            {"field": step.field, "value": step.python} if isinstance(step, ElementKey) else step
            for step in conflict.path
        ],
        "place": place_text(conflict),
        "kind": conflict.kind,
        **{side: value for side, value in values.items() if value is not MISSING},
    }


def clash_tables(conflicts: Iterable[Conflict], width: int) -> Iterator[Table]:
    """Show conflicts a page at a time, base, ours and theirs beside one another.

    Args:
        conflicts: The conflicts; no more than a page is held.
        width: The width of the terminal, which decides that of the columns.
    """
    waiting, first = iter(conflicts), True
    while page := list(islice(waiting, _PAGE)):
        yield _table(page, max(width, 100), first)
        first = False


def _table(page: list[Conflict], width: int, heading: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=heading, width=width)
    # fixed widths spare measuring every cell, and make all pages look alike
    for name, size in zip(_HEADINGS, _widths(width), strict=True):
        table.add_column(name, width=size, overflow="fold")
    for one in page:
        cells = (str(one.id), shortened(one.document_id), printable(place_text(one)), one.kind)
        table.add_row(*map(Text, cells), *(_cell(getattr(one, side)) for side in SIDES))
    return table


def _widths(total: int) -> list[int]:
    """Return the widths of the columns, which have a blank between them."""
    free = total - _ID_WIDTH - _KIND_WIDTH - len(_HEADINGS) + 1
    narrow, wide = free * 3 // 18, free * 4 // 18
    return [_ID_WIDTH, narrow, narrow, _KIND_WIDTH, wide, wide, wide]


def _cell(value: Any) -> Any:
    from rich.text import Text

    from versioned_collection import MISSING

    return Text(_NOTHING, style="dim") if value is MISSING else Text(shortened(value))


def shortened(value: Any) -> str:
    """Return a value on one line, without what goes on for too long."""
    text = printable(dump(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
