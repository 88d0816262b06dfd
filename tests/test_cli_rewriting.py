"""rebase and squash on the command line."""

from __future__ import annotations

from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """The branch side, checked out, has two versions of its own, main one that clashes."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 1}, {"_id": 3, "n": 1}])
    bands.init("first")
    bands.create_branch("side")
    for id_ in (2, 3):
        bands.update_one({"_id": id_}, {"$set": {"n": "side"}})
        bands.register(f"side {id_}", author="Ada")
    bands.checkout(branch="main")
    bands.update_many({"_id": {"$lt": 3}}, {"$set": {"n": "main"}})
    bands.register("main")
    bands.checkout(branch="side")
    return bands


def test_rebase(cli: Cli, bands: VersionedCollection) -> None:
    found = cli("rebase", "main", "--resolver", "theirs", "--json").json
    assert (found["outcome"], found["version"]["label"]) == ("rebased", "side@3")
    assert cli("rebase", "main").out == "up to date: side@3 contains it already\n"
    bands.checkout(branch="main")
    assert cli("rebase", "side").out == "fast-forward to side@3\n"
    assert bands.find_one(2)["n"] == "side"


def test_rebase_with_conflicts(cli: Cli, bands: VersionedCollection) -> None:
    failure = cli("rebase", "main", "--json", code=11).error
    assert (failure["code"], failure["facts"]["conflicts"]) == ("auto_merge_failed", 1)
    assert "'vc register' records it and goes on (1 more" in failure["message"]
    assert "a rebase waits for 1 conflict" in cli("status").out
    cli("rebase", "--continue", code=4)
    assert "goes on with the rebase" in cli("resolve-conflicts", "--theirs").out
    assert "a rebase waits, all settled: 'vc register' goes on with it" in cli("status").out
    assert cli("rebase", "--continue").out == "rebased: side is at side@3\n"
    assert not bands.is_detached()
    assert cli("rebase", "--continue", code=1).out == "no rebase waits\n"
    assert cli("rebase", "--abort", "--json", code=1).json == {"outcome": None, "version": None}
    assert cli("undo", "--json").json["undone"]["verb"] == "rebase"


def test_rebase_taken_back(cli: Cli, bands: VersionedCollection) -> None:
    cli("rebase", "main", code=11)
    assert cli("rebase", "--abort", stdin="n\n", code=1).out.endswith("nothing was taken back\n")
    found = cli("rebase", "--abort", "-y", "--json").json
    assert (found["outcome"], found["version"]["label"]) == ("aborted", "side@1")
    assert bands.find_one(2)["n"] == "side"
    assert bands.branch == "side"


def test_rebase_wrong(cli: Cli, bands: VersionedCollection) -> None:
    cli("rebase", code=2)
    cli("rebase", "main", "--abort", code=2)
    cli("rebase", "--continue", "--abort", code=2)
    cli("rebase", "nowhere", code=5)
    cli("rebase", "main", "--resolver", "best", code=2)
    bands.insert_one({"_id": "dirty"})
    cli("rebase", "main", code=4)


def test_squash(cli: Cli, bands: VersionedCollection) -> None:
    found = cli("squash", "0", "--json").json
    assert (found["squashed"], found["version"]["author"]) == (True, "Ada")
    assert found["version"]["message"] == "side 2\n\nside 3"
    assert cli("squash", "HEAD", code=1).out == "side@2 is one version already\n"
    assert cli("squash", "HEAD", "HEAD", "-m", "both", "--author", "Eve").out.startswith(
        "squashed"
    )
    head = bands.resolve("HEAD")
    assert (head.message, head.author) == ("both", "Eve")
    cli("squash", "main@0", code=2)
    cli("squash", "main@1", code=2)
    cli("squash", "nowhere", code=5)
