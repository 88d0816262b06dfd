"""The examples of README and of pages in docs run, and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parent.parent / "README.md"
MERGING = README.parent / "docs" / "merging.md"
WORKING = README.parent / "docs" / "working.md"
REMOTES = README.parent / "docs" / "remotes.md"
ASYNC = README.parent / "docs" / "async.md"
PAST = README.parent / "docs" / "past.md"
EXPORTING = README.parent / "docs" / "exporting.md"
HISTORY_SIZE = README.parent / "docs" / "history-size.md"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_example_prints_what_the_readme_shows() -> None:
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```\n\n```diff\n(.*?)```", text, re.DOTALL)
    assert code is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.group(1), "README.md", "exec"), {})
    assert printed.getvalue() == code.group(2)


PAGES = [MERGING, WORKING, REMOTES, ASYNC, PAST, EXPORTING, HISTORY_SIZE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_print_what_is_shown(page: Path) -> None:
    """They are one program; each one's output stands in the block behind it."""
    blocks = [
        (language, text)
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language != "console"
    ]
    assert {language for language, _ in blocks} == {"python", "text"}
    names: dict[str, Any] = {}
    found = ""
    try:
        for language, text in blocks:
            if language == "text":
                assert found == text
                found = ""
                continue
            assert found == "", "what an example prints is shown"
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(text, page.name, "exec"), names)
            found = printed.getvalue()
    finally:
        if "client" in names:
            names["client"].close()
        names["server"].stop()


def test_the_resolvers_and_kinds_are_all_described() -> None:
    from versioned_collection.core.merging import KINDS, RESOLVERS

    text = MERGING.read_text(encoding="utf-8")
    assert all(re.search(rf"^\|.*`{name}`.*\|", text, re.MULTILINE) for name in RESOLVERS)
    assert all(re.search(rf"^\|.*`{kind}`.*\|", text, re.MULTILINE) for kind in KINDS)


def test_links_lead_somewhere() -> None:
    root = README.parent
    for document in (README, root / "CONTRIBUTING.md", *root.glob("docs/**/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
