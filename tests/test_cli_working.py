"""Several stashes, registering in parts, and checks, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection

WRONG = '[{"$match": {"n": {"$lt": 0}}}]'


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "n": 1, "m": 1}, {"_id": 2, "n": 2}])
    bands.init()
    return bands


def put(bands: VersionedCollection, number: int, **fields: Any) -> None:
    bands.update_one({"_id": number}, {"$set": fields})


def test_several_stashes(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("stashes").out == ""
    put(bands, 1, n=5)
    cli("stash", "--name", "five", "-m", "later")
    put(bands, 2, n=6)
    cli("stash", "--push")
    found = cli("stashes", "--json").json["stashes"]
    assert [(one["index"], one["name"], one["message"]) for one in found] == [
        (0, None, None),
        (1, "five", "later"),
    ]
    assert "five" in cli("stashes").out
    cli("stash-apply", "five", "--keep")
    assert bands.find_one({"_id": 1}) == {"_id": 1, "n": 5, "m": 1}
    bands.discard_changes()
    cli("stash-discard", "none", "-y", code=2)
    assert cli("stash-discard", "0", "-y").out == "discarded\n"
    assert [one.name for one in bands.stashes()] == ["five"]


def test_the_last_decision_ends_a_stash(cli: Cli, bands: VersionedCollection) -> None:
    put(bands, 1, n=5, m=7)
    cli("stash")
    put(bands, 1, n=9, m=8)
    cli("stash-apply", code=11)
    found = cli("status", "--json").json
    assert (found["conflicts"], found["merge_verb"]) == (2, "stash_apply")
    waiting = "a stash that is being applied waits for 2 conflicts"
    assert waiting in " ".join(cli("status").out.split())
    first = next(bands.conflicts())
    cli("resolve-conflict", str(first.id), "--theirs")
    assert "the stash is applied" in cli("resolve-conflict", "--theirs").out
    assert not bands.status()["merging"]
    assert not bands.stashes()


def test_all_decisions_at_once_end_a_stash(cli: Cli, bands: VersionedCollection) -> None:
    put(bands, 1, n=5)
    cli("stash")
    put(bands, 1, n=9)
    cli("stash-apply", code=11)
    assert "the stash is applied" in cli("resolve-conflicts", "--ours").out


def test_a_stash_keeps_what_came_since(cli: Cli, bands: VersionedCollection) -> None:
    put(bands, 1, n=5)
    put(bands, 2, n=6)
    cli("stash")
    put(bands, 1, m=8)
    bands.delete_one({"_id": 2})
    bands.register("what somebody else did")
    cli("stash-apply", "--keep", code=11)
    assert bands.find_one({"_id": 1}) == {"_id": 1, "n": 5, "m": 8}
    assert bands.find_one({"_id": 2}) is None
    cli("abort-merge", "--yes")
    cli("stash-apply", "--merge", code=11)
    cli("abort-merge", "--yes")
    cli("stash-apply", "--overwrite", "--merge", code=2)
    cli("stash-apply", "--overwrite")
    assert list(bands.find()) == [{"_id": 1, "n": 5, "m": 1}, {"_id": 2, "n": 6}]


def test_overwriting_takes_no_uncommitted_changes(cli: Cli, bands: VersionedCollection) -> None:
    put(bands, 1, n=5)
    cli("stash")
    put(bands, 2, n=9)
    assert "register, stash or discard" in cli("stash-apply", "--overwrite", code=4).err


def test_a_stash_with_a_policy(cli: Cli, bands: VersionedCollection) -> None:
    put(bands, 1, n=5)
    cli("stash")
    put(bands, 1, n=9)
    cli("stash-apply", "--overwrite", "--resolver", "max", code=2)
    assert cli("stash-apply", "--resolver", "max").out == "applied\n"
    assert bands.find_one({"_id": 1}) == {"_id": 1, "n": 9, "m": 1}


def test_registering_in_parts(cli: Cli, bands: VersionedCollection) -> None:
    put(bands, 1, n=5, m=7)
    put(bands, 2, n=6)
    cli("register", "-m", "none", "--only-id", "3", code=1)
    cli("register", "-m", "a field", "--only-id", "1", "--only-field", '["n"]')
    assert bands.status()["changes"] == {"inserted": 0, "updated": 2, "deleted": 0}
    cli("register", "-m", "some", "--only-filter", '{"n": 6}')
    assert [one.document_id for one in bands.changes()] == [1]
    cli("register", "-m", "x", "--only-filter", "[1]", code=2)


def test_checks(cli: Cli, bands: VersionedCollection, tmp_path: Path) -> None:
    cli("add-check", "positive", WRONG, "-m", "n counts")
    put(bands, 1, n=-1)
    failed = cli("register", "-m", "x", "--json", code=4)
    assert failed.error["code"] == "check_failed"
    assert cli("checks", "--json").json["checks"] == {"positive": [{"$match": {"n": {"$lt": 0}}}]}
    assert cli("checks").out.startswith("positive: [")
    assert cli("delete-check", "positive").out == "positive is gone\n"
    cli("delete-check", "positive", code=1)
    cli("register", "-m", "x")
    file = tmp_path / "check.json"
    file.write_text(WRONG)
    cli("add-check", "of-file", "--file", str(file))
    cli("add-check", "of-input", "--file", "-", stdin=WRONG)
    assert set(bands.checks()) == {"of-file", "of-input"}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("{",),
        ("{}",),
        ("[1]",),
        ("[]", "--file", "x"),
        ("--file", "/nowhere"),
        ('[{"$out": "x"}]',),
    ],
    ids=str,
)
def test_what_is_no_check(cli: Cli, bands: VersionedCollection, words: tuple[str, ...]) -> None:
    cli("add-check", "bad", *words, code=2)
    assert not bands.checks()
