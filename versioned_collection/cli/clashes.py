"""Conflicts as texts: for a table, for ``--json``, and for files that people edit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.lines import dump, dump_exactly, printable

if TYPE_CHECKING:
    from rich.text import Text

    from versioned_collection import Conflict

SIDES = ("base", "ours", "theirs")

_HEADINGS = ("conflict", "document", "path", "kind", *SIDES)
_ID_WIDTH, _KIND_WIDTH = 24, 15
_NARROWEST = 100
_PAGE = 500
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


def clash_table(conflicts: Iterable[Conflict], width: int | None) -> Iterator[Text]:
    """Show conflicts in a table, base, ours and theirs beside one another.

    On a terminal the columns depend on its width alone; elsewhere a conflict is a line, and they
    are as wide as a page of conflicts needs. So a table of 100,000 rows begins at once.

    Args:
        conflicts: The conflicts; no more than a page is held.
        width: The width of the terminal, None where there is none.

    Yields:
        The heading, then the rows of a page each time; nothing where there is no conflict.
    """
    from rich.text import Text

    waiting, heading = iter(conflicts), True
    while page := list(islice(waiting, _PAGE)):
        title, *lines = _set_out([_HEADINGS, *map(_cells, page)], width)
        if heading:
            yield Text(title, style="bold")
            heading = False
        yield Text("\n".join(lines))


def _set_out(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Return rows as lines; on a terminal a row may take several of them."""
    if width is None:
        from versioned_collection.cli.columns import tight

        return tight(rows)
    widths = _widths(max(width, _NARROWEST))
    return (line for row in rows for line in _lines(row, widths))


def _widths(total: int) -> list[int]:
    """Return the widths of the columns, which have a blank between them."""
    free = total - _ID_WIDTH - _KIND_WIDTH - len(_HEADINGS) + 1
    narrow, wide = free * 3 // 18, free * 4 // 18
    return [_ID_WIDTH, narrow, narrow, _KIND_WIDTH, wide, wide, wide]


def _cells(conflict: Conflict) -> list[str]:
    place = printable(place_text(conflict))
    sides = (_cell(getattr(conflict, side)) for side in SIDES)
    return [str(conflict.id), shortened(conflict.document_id), place, conflict.kind, *sides]


def _cell(value: Any) -> str:
    from versioned_collection import MISSING

    return _NOTHING if value is MISSING else shortened(value)


def _lines(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Return the lines of a row; what is too wide for its column goes on below."""
    from rich.cells import cell_len, chop_cells, set_cell_size

    columns = [
        chop_cells(cell, size) if len(cell) * 2 > size and cell_len(cell) > size else [cell]
        for cell, size in zip(cells, widths, strict=True)
    ]
    for parts in zip_longest(*columns, fillvalue=""):
        line = (set_cell_size(part, size) for part, size in zip(parts, widths, strict=True))
        yield " ".join(line).rstrip()


def shortened(value: Any) -> str:
    """Return a value on one line, without what goes on for too long."""
    text = printable(dump(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
