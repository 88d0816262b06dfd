"""The table on the terminal, and the file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Bench, Result


def table(results: Sequence[Result]) -> Table:
    """Return the table of the results."""
    drawn = Table(box=box.MARKDOWN)
    drawn.add_column("case", overflow="fold")
    for heading in ("ours", "floor", "ratio", "noise (min to max)", "aim", "met"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        drawn.add_row(*cells(result))
    return drawn


def cells(result: Result) -> list[str]:
    """Return one line of the table."""
    low, high = min(result.ratios), max(result.ratios)
    return [
        result.case,
        f"{_number(median(result.ours))} {result.unit}",
        f"{_number(median(result.floor))} {result.unit}",
        f"{result.ratio:.2f}",
        "" if len(result.ratios) == 1 else f"{low:.2f} to {high:.2f}",
        str(result.aim),
        "yes" if result.is_met else "no",
    ]


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show(results: Sequence[Result]) -> None:
    """Print the table, wide enough for its lines."""
    Console(width=180).print(table(results))


def write(path: Path, bench: Bench, results: Sequence[Result]) -> None:
    """Write everything that was measured, and where."""
    path.write_text(
        json.dumps(
            {"where": where(bench), "results": [result.to_json() for result in results]}, indent=2
        )
        + "\n"
    )


def where(bench: Bench) -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "server": bench.client.server_info()["version"],
        "python": platform.python_version(),
        "pymongo": version("pymongo"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "scale": bench.scale,
        "repeat": bench.repeat,
    }
