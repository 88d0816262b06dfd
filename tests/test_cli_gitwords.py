"""What people type who know git."""

from __future__ import annotations

from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection
from versioned_collection.cli.command import COMMANDS, command_at
from versioned_collection.cli.gitwords import ACCEPTED, HINTS, accepted

WORDS = {one.words for one in COMMANDS}


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1, "n": 1})
    bands.init("start")
    bands.update_one({"_id": 1}, {"$set": {"n": 2}})
    bands.register("more")
    return bands


def test_the_table_leads_to_commands() -> None:
    for git, ours in (*HINTS.items(), *ACCEPTED.items()):
        assert ours.split()[0] in WORDS
        assert git not in WORDS


@pytest.mark.parametrize("git", HINTS)
def test_hints(cli: Cli, git: str) -> None:
    told = cli("--db", "music", *git.split(), code=2).err
    assert f"did you mean 'vc {HINTS[git]}'?" in told
    assert "did you mean" in cli("--json", *git.split(), code=2).error["message"]


@pytest.mark.parametrize(
    "words",
    [
        "commit -m x",
        "add 1",
        "switch main",
        "branch -d x",
        "tag -d v1",
        "stash drop 0",
        "remote -v",
    ],
)
def test_hints_behind_which_more_stands(cli: Cli, words: str) -> None:
    assert "that is how git calls it" in cli(*words.split(), code=2).err


def test_other_mistakes_get_no_hint(cli: Cli) -> None:
    for words in (("nonsense",), ("tag", "commit", "--nonsense"), ("stash", "--nonsense")):
        assert "git" not in cli(*words, code=2).err


def test_where_the_command_stands() -> None:
    assert command_at(["--db", "music", "-c", "bands", "--json", "merge", "--abort"]) == 5
    assert command_at(["--db=music", "merge"]) == 1
    assert command_at(["--json"]) == 1
    assert accepted(["-q", "merge", "--yes", "--abort"], 1) == ["-q", "abort-merge", "--yes"]
    assert accepted(["-q", "merge", "side"], 1) == ["-q", "merge", "side"]
    assert accepted([], 0) == []


def test_merge_abort(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("merge", "--abort", code=1).out == "no merge waits\n"


def test_help(cli: Cli) -> None:
    assert cli("help", "log").out == cli("log", "--help").out
    assert cli("help", "config", "set").out == cli("config", "set", "--help").out
    assert cli("help").out == cli("--help").out
    assert "No such command" in cli("help", "nonsense", code=2).err


def test_diff_of_two_revisions(cli: Cli, bands: VersionedCollection) -> None:
    expected = cli("diff", "main@0", "HEAD").out
    assert expected
    assert cli("diff", "main@0..HEAD").out == expected
    assert cli("diff", "main@0..").out == expected
    assert cli("diff", "..main@1").out == ""
    cli("diff", "main@0...HEAD", code=5)
    cli("diff", "main@0..nowhere", code=5)
