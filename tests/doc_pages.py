"""The pages of the documentation, and the examples on them.

What a block of code means is said by its language:

``python``
    Runs. All of a page are one program.
``text``, ``diff``, ``json``
    What the block of Python above it prints.
``console``
    Commands; those of ``vc`` run. Where lines begin with ``$``, the lines below a command are what
    it prints, its errors included. ``echo $?`` prints how the last one ended, ``echo TEXT > FILE``
    writes a file. Where none does, every line is a command that succeeds.
none
    A drawing or a pattern: not run.

In what is printed, ``...`` stands for anything within a line, and alone on a line for any lines.
The output of commands is compared word by word, as terminals fold lines at their width; of
checksums, ids, dates and times in it only the form is compared.

Comments in front of a block, which readers do not see, say more:

``<!-- given: CODE -->``
    A line of Python to run first.
``<!-- not run: REASON -->``
    The next block does not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

CODE = "python"
COMMANDS = "console"
OUTPUT = frozenset(("text", "diff", "json"))
LANGUAGES = OUTPUT | {CODE, COMMANDS, ""}

_BLOCK = re.compile(
    r"(?P<notes>(?:^[ ]*<!-- .*? -->\n+)*)"
    r"^(?P<indent>[ ]*)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.DOTALL | re.MULTILINE,
)
_PASSING = re.compile(r"\b(?:[0-9a-f]{8}|[0-9a-f]{24}|\d{4}-\d\d-\d\d|\d\d:\d\d(?::\d\d)?)\b")
"""Checksums, ids, dates and times in the output of commands."""

_NOTE = re.compile(r"<!-- (?P<kind>given|not run): (?P<text>.*?) -->")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        language: What the page calls it.
        text: What is in it.
        line: Where it begins.
        given: What to run first.
        skipped: Why it does not run, empty where it does.
    """

    language: str
    text: str
    line: int
    given: str = ""
    skipped: str = ""

    @property
    def runs(self) -> bool:
        """Whether there is something in it to run."""
        if self.skipped:
            return False
        has_commands = re.search(r"^(?:\$ )?vc ", self.text, re.MULTILINE) is not None
        return self.language == CODE or (self.language == COMMANDS and has_commands)


def pages() -> list[Path]:
    """Return all pages with text of our own."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("**/*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """Iterate over the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        notes = dict(_NOTE.findall(found["notes"]))
        indent = len(found["indent"])
        lines = found["text"].splitlines(keepends=True)
        yield Block(
            found["language"].partition(" ")[0],
            "".join(line[indent:] if line.strip() else line for line in lines),
            text.count("\n", 0, found.start("language")) + 1,
            notes.get("given", ""),
            notes.get("not run", ""),
        )


def has_examples(page: Path) -> bool:
    """Tell whether something on a page runs."""
    return any(one.runs for one in blocks_of(page))


def agrees(found: str, shown: str) -> bool:
    """Tell whether what was printed is what a page shows, where ``...`` stands for anything."""
    pattern = "".join(
        "(?:.*\n)*?" if line.strip() == "..." else f"{_with_gaps(line)}\n"
        for line in shown.splitlines()
    )
    return re.fullmatch(pattern, found) is not None


def agrees_folded(found: str, shown: str) -> bool:
    """Tell the same whatever the width of the terminal, the checksums and the time."""
    return re.fullmatch(_with_gaps(_timeless(shown)), _timeless(found)) is not None


def _timeless(text: str) -> str:
    """Return the words of a text, without what is different each time."""
    return _PASSING.sub("<this time>", " ".join(text.split()))


def _with_gaps(text: str) -> str:
    return ".*?".join(map(re.escape, text.split("...")))
