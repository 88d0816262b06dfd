"""What the documentation says is so: its examples run, its lists are complete, its links lead on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import doc_runner
import pytest
from cli_support import Cli
from doc_pages import COMMANDS, DOCS, LANGUAGES, ROOT, blocks_of, has_examples, pages
from doc_runner import Lent, Runner
from pymongo import MongoClient

from versioned_collection import embedded

MOST_NOT_RUN = 4
"""Blocks that may be left out; each says why."""

PAGES = [page for page in pages() if has_examples(page)]


@pytest.fixture
def login(client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user whom pages log in, where they speak of other people's servers."""
    database = client[doc_runner.SHARED]
    database.command("createUser", doc_runner.USER, pwd=doc_runner.PASSWORD, roles=["readWrite"])
    for name in ("PASSWORD", "MUSIC_PASSWORD"):
        monkeypatch.setenv(name, doc_runner.PASSWORD)
    yield
    database.command("dropUser", doc_runner.USER)


@pytest.fixture
def runner(
    server: embedded.Server,
    client: MongoClient[Any],
    login: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Runner]:
    """Runs a page in a directory of its own, on the server of this run."""
    there = set(client.list_database_names())
    monkeypatch.setattr(embedded, "start", partial(Lent, server))
    monkeypatch.chdir(tmp_path)
    yield Runner(server, Cli(tmp_path / "home"))
    for name in set(client.list_database_names()) - there:
        client.drop_database(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_do_what_is_shown(page: Path, runner: Runner) -> None:
    runner.run(blocks_of(page))


def test_what_does_not_run_says_why_and_is_little() -> None:
    skipped = [block for page in pages() for block in blocks_of(page) if block.skipped]
    assert all(len(block.skipped.split()) > 2 for block in skipped)
    assert len(skipped) <= MOST_NOT_RUN


def test_every_block_is_of_a_kind_that_is_known() -> None:
    for page in pages():
        for block in blocks_of(page):
            assert block.language in LANGUAGES, f"{page.name}, line {block.line}"
            if block.language == COMMANDS and "vc " in block.text:
                assert not re.search(r"[|<>`]", re.sub(r"'[^']*'", "", _typed(block.text)))


def _typed(text: str) -> str:
    """Return the commands of a block, without what is shown below them."""
    lines = text.splitlines()
    prompted = [line for line in lines if line.startswith("$ ")]
    return "\n".join(prompted or lines)


# What pages list


def test_the_resolvers_and_kinds_are_all_described() -> None:
    from versioned_collection.core.merging import KINDS, RESOLVERS

    text = (DOCS / "merging.md").read_text(encoding="utf-8")
    assert all(re.search(rf"^\|.*`{name}`.*\|", text, re.MULTILINE) for name in RESOLVERS)
    assert all(re.search(rf"^\|.*`{kind}`.*\|", text, re.MULTILINE) for kind in KINDS)


# Links


def test_links_lead_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
