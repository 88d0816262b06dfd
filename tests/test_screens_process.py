"""The commands that fill the screen, as processes: on a terminal, and where there is none."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection
from versioned_collection.cli.screens import opening
from versioned_collection.errors import AutoMergeFailedError

VC = [sys.executable, "-m", "versioned_collection.cli"]
PATIENCE = 30.0


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1, "n": 1})
    bands.init("the start")
    return bands


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, cli: Cli, *words: str) -> None:
        self._own, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        given = {**os.environ, **cli.environment, "TERM": "xterm-256color"}
        env = {name: value for name, value in given.items() if value is not None}
        self._process = subprocess.Popen(
            [*VC, *words], env=env, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._seen = b""

    def sees(self, text: str) -> None:
        """Wait until the command has printed a text."""
        while text.encode() not in self._seen:
            ready, _, _ = select.select([self._own], [], [], PATIENCE)
            assert ready, self._seen[-2000:]
            self._seen += os.read(self._own, 65536)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._own, keys.encode())

    def ends(self) -> tuple[int, bytes]:
        """Wait for the end; return the exit code and all that was printed."""
        while True:
            try:
                found = os.read(self._own, 65536)
            except OSError:  # the other side is closed
                break
            self._seen += found
            if not found:
                break
        return self._process.wait(PATIENCE), self._seen

    def close(self) -> None:
        """End the command, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._own)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


def test_browse_opens_and_quits(
    cli: Cli, bands: VersionedCollection, terminals: list[Terminal]
) -> None:
    terminals.append(Terminal(cli, "browse"))
    terminal = terminals[0]
    terminal.sees("the start")
    terminal.press("q")
    code, printed = terminal.ends()
    assert code == 0
    assert b"Traceback" not in printed
    assert printed.rindex(b"\x1b[?1049l") > printed.index(
        b"\x1b[?1049h"
    )  # the screen is as before


@pytest.mark.sweep
def test_resolve_opens_settles_and_quits(
    cli: Cli, bands: VersionedCollection, terminals: list[Terminal]
) -> None:
    bands.create_branch("other")
    for branch, n in (("other", 2), ("main", 3)):
        bands.checkout(branch=branch)
        bands.update_one({"_id": 1}, {"$set": {"n": n}})
        bands.register(branch)
    with pytest.raises(AutoMergeFailedError):
        bands.merge("other")
    terminals.append(Terminal(cli, "resolve", "--full-screen"))
    terminal = terminals[0]
    terminal.sees("both_modified")
    terminal.press("t")
    terminal.sees("takes it back")
    terminal.press("s")
    terminal.sees("Register the outcome?")
    terminal.press("\r")
    terminal.sees("q leaves")
    terminal.press("q")
    code, printed = terminal.ends()
    assert code == 0
    assert b"Traceback" not in printed
    assert b"1 settled, none waits" in printed
    assert bands.find_one(1) == {"_id": 1, "n": 2}
    assert bands.resolve("HEAD").message == "Merge other into main"
    assert "no conflict waits" in _on_terminal(cli, terminals, "resolve", "--full-screen")


def _on_terminal(cli: Cli, terminals: list[Terminal], *words: str) -> str:
    terminals.append(Terminal(cli, *words))
    return terminals[-1].ends()[1].decode()


@pytest.mark.parametrize(
    ("words", "instead"),
    [(("browse",), "vc log"), (("resolve", "--full-screen"), "vc conflicts")],
)
def test_where_there_is_no_terminal(
    cli: Cli, bands: VersionedCollection, words: tuple[str, ...], instead: str
) -> None:
    done = cli(*words, code=2)
    assert "a full screen takes a terminal" in done.err
    assert instead in done.err
    done = cli(*words, "--json", code=2)
    assert done.error["code"] == "usage"
    assert instead in done.error["message"]


def test_without_the_extra(
    cli: Cli, bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "textual", None)
    assert not opening._is_installed("textual")
    done = cli("browse", code=4)
    assert "error[not_supported]" in done.err
    assert 'pip install "mongo-versioned-collection[tui]"' in done.err


def test_a_full_screen_shows_all_conflicts(cli: Cli, bands: VersionedCollection) -> None:
    assert (
        "--full-screen goes with nothing else"
        in cli("resolve", "--full-screen", "--ours", code=2).err
    )
