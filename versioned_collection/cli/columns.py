"""Columns of text that are as wide as what stands in them, for files and pipes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.cells import cell_len

_BETWEEN = "  "


def tight(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Iterator[str]:
    """Return each row as one line.

    Args:
        rows: The cells, as many in each row.
        right: The columns that are set to the right.
    """
    cells = [[one.replace("\n", " ") for one in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        filled = []
        for turn, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blanks = " " * (width - cell_len(cell))
            filled.append(blanks + cell if turn in right else cell + blanks)
        yield _BETWEEN.join(filled).rstrip()
