"""Progress on long work: on a terminal, and nowhere else."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database
from rich.console import Console

from versioned_collection import VersionedCollection, embedded
from versioned_collection.cli.progress import Display, reporting

pty = pytest.importorskip("pty", reason="terminals are a matter of POSIX")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_phases_and_counts(console: Console) -> None:
    display = Display(console, "register", patience=0)
    display._timer.join()
    display.note("recorded", 1500)
    display.note("recorded", 1500)
    display.note("written", 7)
    display.close()
    text = shown(console)
    assert "register: recorded" in text
    assert "3,000 documents" in text
    assert "register: written" in text
    assert "7 documents" in text


def test_totals_and_rates(console: Console) -> None:
    now = [0.0]
    display = Display(console, "push", {"versions": 2000}, patience=0, clock=lambda: now[0])
    display._timer.join()
    display.note("versions", 500)
    now[0] = 4.0
    display.note("versions", 1000)
    display.note("changes", 10)
    display.close()
    text = shown(console)
    assert "push: versions" in text
    assert "1,500 of 2,000 versions, 250/s" in text
    assert "10 changes " in text


def test_quick_work_shows_nothing(console: Console) -> None:
    display = Display(console, "register", patience=60)
    display.note("recorded", 1)
    display.close()
    assert shown(console) == ""


def test_no_terminal_no_progress(console: Console) -> None:
    with reporting(console, "register", wanted=True) as progress:
        progress("recorded", 1)
    assert shown(console) == ""


def on_a_terminal(cli: Cli, *words: str) -> tuple[int, str]:
    """Run a command whose output and errors go to a terminal."""
    ours, theirs = pty.openpty()
    given = {**os.environ, **cli.environment, "TERM": "xterm", "COLUMNS": "120"}
    env: Any = {name: value for name, value in given.items() if value is not None}
    env.pop("NO_COLOR", None)
    program = [sys.executable, "-m", "versioned_collection.cli"]
    running = subprocess.Popen(
        [*program, *words], env=env, stdout=theirs, stderr=theirs, stdin=theirs
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is closed
            part = b""
        if not part:
            break
        found += part
    os.close(ours)
    return running.wait(60), found.decode()


@pytest.mark.sweep
def test_colours_on_a_terminal(tmp_path: Path, server: embedded.Server, db: Database[Any]) -> None:
    env = {"VC_URI": server.uri, "VC_DB": db.name, "VC_COLLECTION": "bands"}
    cli = Cli(tmp_path / "home", env)
    bands = VersionedCollection(db, "bands")
    bands.init()
    bands.insert_one({"_id": 1})
    code, text = on_a_terminal(cli, "diff")
    assert code == 0
    assert "\x1b[32m+{" in text
    code, text = on_a_terminal(cli, "status", "--json")
    assert code == 0
    assert '\n  "tracked": true' in text.replace("\r", "")
