"""Errors speak of commands and options, not of calls and arguments."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database

import versioned_collection
from versioned_collection import VersionedCollection
from versioned_collection.cli.command import COMMANDS
from versioned_collection.cli.wording import PHRASES, in_commands

PACKAGE = Path(versioned_collection.__file__).parent
ELSEWHERE = {
    "aio": "is for programs",
    "cli": "has words of its own",
    "doubles": "stands in for a server within a program",
    "demo_data": "is ours",
}
"""Parts of the package of which no message reaches the command line, and why."""

NEVER = {
    "a resolver or a policy goes with merge=True only": "the command merges wherever it has one",
    "run this test on a real server": "there is no mongomock behind the command line",
    "rewind() it first": "no command reads twice from a cursor",
}
"""Messages that no command can print, by a part of them, and why."""

ARGUMENT = re.compile(r"\w+=(True|False|\.\.\.|\[)")
CALL = re.compile(r"\b[a-z][a-z_]+\([^()]*=[^()]*\)|\b[a-z][a-z_]+\(\)")
COMMAND = re.compile(r"'vc ([a-z-]+)")


@functools.cache
def messages() -> tuple[str, ...]:
    """Return all sentences that the library may say, with ``{}`` for what is filled in."""
    paths = (path for path in sorted(PACKAGE.rglob("*.py")))
    found = [text for path in paths if _speaks(path) for text in _texts(path)]
    return tuple(text for text in found if not any(part in text for part in NEVER))


def _speaks(path: Path) -> bool:
    return path.relative_to(PACKAGE).parts[0] not in ELSEWHERE


def _texts(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if id(node) not in said | parts and " " in (text := _text(node)):
            yield text


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_no_message_speaks_of_arguments_of_python() -> None:
    assert len(messages()) > 300
    assert [text for text in map(in_commands, messages()) if ARGUMENT.search(text)] == []


def test_no_message_speaks_of_calls() -> None:
    assert [text for text in map(in_commands, messages()) if CALL.search(text)] == []


def test_every_command_that_a_message_names_is_one() -> None:
    words = {one.words.split()[0] for one in COMMANDS}
    named = {name for text in map(in_commands, messages()) for name in COMMAND.findall(text)}
    assert named - words == set()
    assert len(named) > 20


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_phrase_stands_in_a_message(phrase: str) -> None:
    assert any(phrase in text for text in messages())


def test_calls_with_and_without_a_name() -> None:
    assert in_commands("call stash_apply() or init()") == "call 'vc stash-apply' or 'vc init'"
    assert in_commands("delete_check('debts') first") == "'vc delete-check debts' first"
    assert in_commands("f(x) and embedded.start() stay") == "f(x) and embedded.start() stay"


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1, "n": 1})
    bands.init()
    return bands


def test_options_that_errors_name(cli: Cli, bands: VersionedCollection, tmp_path: Path) -> None:
    bundle = str(tmp_path / "bands.bundle")
    assert "--since what it leaves out" in cli("export", bundle, "HEAD", code=2).err
    cli("export", bundle)
    assert "--overwrite replaces it" in cli("export", bundle, code=9).err
    assert "'vc export' writes a bundle, with --since" in cli("push", bundle, code=4).err
    cli("publish-view", "HEAD", "seen")
    assert "--replace lets it show" in cli("publish-view", "HEAD", "seen", code=4).err
    cli("worktree", "main", "fix", "--new-branch", "fix")
    bands.database.fix.insert_one({"_id": 2})
    assert "remove it with --force" in cli("remove-worktree", "fix", code=4).err
    told = cli("merge", "main", "--resolver", "bogus", code=2).err
    assert "give one of ours, theirs" in told
    assert "object" not in told
    assert "'vc log' lists" in cli("checkout", "99", code=5).err


def test_formats_of_files(cli: Cli, bands: VersionedCollection, tmp_path: Path) -> None:
    told = cli("export", str(tmp_path / "bands.txt"), code=2).err
    assert told.endswith("--format is one of bson, bundle, jsonl, parquet\n")
    (tmp_path / "bands.txt").touch()
    told = cli("import", str(tmp_path / "bands.txt"), code=2).err
    assert told.endswith("--format is one of bson, jsonl, parquet\n")
    told = cli("import", str(tmp_path / "bands.bundle"), code=2).err
    assert "'vc clone', 'vc fetch' or 'vc pull'" in told
    assert "'vc clone'" in cli("import", "-", "--format", "bundle", code=2).err
    told = cli("import", "-", code=2).err
    assert "standard input has no ending that names a format: give it by --format" in told


def test_places_that_are_no_patterns(cli: Cli, bands: VersionedCollection) -> None:
    told = cli("restore", "1", "--field", "a..b", code=2).err
    assert 'as a JSON array, ["a", "b.c"]' in told


def test_a_push_into_uncommitted_changes(cli: Cli, bands: VersionedCollection) -> None:
    client = bands.database.client
    there = VersionedCollection(client[f"{bands.database.name}_there"], "bands")
    bands.push(there)
    bands.insert_one({"_id": 2})
    bands.register("more")
    there.insert_one({"_id": 3})
    address, options = cli.env["VC_URI"].split("/?")
    remote = f"{address}/{there.full_name}?{options}"
    assert "or push with --no-checkout" in cli("push", remote, code=4).err
    cli("push", remote, "--no-checkout")
    client.drop_database(there.database)
