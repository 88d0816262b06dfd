"""export and import on the command line; bundles as remotes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest
from api_support import edit, grown, raws, step, tracked
from bson import json_util
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded


@pytest.fixture
def other(client: Any, db: Database[Any]) -> Any:
    name = f"{db.name}_other"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def there(tmp_path: Path, server: embedded.Server, other: Database[Any]) -> Cli:
    """The command line of somebody who works on the other database."""
    return Cli(tmp_path / "other_home", {"VC_URI": server.uri, "VC_DB": other.name})


def test_a_version(cli: Cli, db: Database[Any], tmp_path: Path) -> None:
    bands = grown(db)
    file = tmp_path / "bands.bson"
    size = sum(map(len, raws(bands)))
    assert cli("export", str(file)).out == f"{file}: 3 documents of main@3, {size} bytes\n"
    assert cli("export", str(file), code=9).err.startswith("error[unusable_file]")
    assert "--overwrite" in cli("export", str(file), code=9).err
    done = cli("export", str(file), "main@0", "--overwrite", "--json").json
    tip = bands.resolve("main@0")
    assert {**done, "bytes": None} == {
        "file": str(file),
        "format": "bson",
        "version": {"id": tip.id, "label": "main@0"},
        "documents": 3,
        "versions": 0,
        "branches": [],
        "tags": [],
        "bytes": None,
    }


def test_standard_output_and_input(cli: Cli, db: Database[Any]) -> None:
    bands = tracked(db)
    lines = cli("export", "-", "--format", "jsonl", "--relaxed").out
    assert sorted(json_util.loads(line)["_id"] for line in lines.splitlines()) == [1, 2, 3]
    before = raws(bands)
    bands.delete_many({})
    cli("import", "-", "--format", "jsonl", stdin=lines)
    assert raws(bands) == before
    assert "name a file" in cli("export", "-", "--format", "bson", "--json", code=2).err
    assert cli("export", "-", code=2).err


def test_import(cli: Cli, db: Database[Any], tmp_path: Path) -> None:
    bands = tracked(db)
    file = tmp_path / "bands.jsonl"
    cli("export", str(file))
    assert cli("import", str(file), code=1).out == "3 documents: nothing differs\n"
    edit(bands, "dirty")
    bands.insert_one({"_id": 9})
    planned = cli("import", str(file), "--replace", "--dry-run").out
    assert planned == "3 documents: would be 1 updated, 1 deleted\n"
    assert bands.has_changes()
    done = cli("import", str(file), "--replace", "--json").json
    assert done == {
        "documents": 3,
        "inserted": 0,
        "updated": 1,
        "deleted": 1,
        "kept": [],
        "dry_run": False,
    }
    assert not bands.has_changes()


def test_what_cannot_be_imported(cli: Cli, db: Database[Any], tmp_path: Path) -> None:
    tracked(db)
    file = tmp_path / "bands.bson"
    assert "No such file" in cli("import", str(file), code=9).err
    file.write_bytes(bson.encode({"_id": 1})[:-1])
    failed = cli("import", str(file), "--json", code=9).error
    assert failed["code"] == "unusable_file"
    assert failed["facts"] == {"file": str(file), "reason": "truncated"}
    cli("export", str(tmp_path / "a.bundle"))
    refusal = cli("import", str(tmp_path / "a.bundle"), code=2).err
    assert "'vc clone', 'vc fetch' or 'vc pull'" in refusal


def test_a_bundle_from_one_side_to_the_other(
    cli: Cli, there: Cli, db: Database[Any], other: Database[Any], tmp_path: Path
) -> None:
    bands = grown(db)
    file, news = tmp_path / "bands.bundle", tmp_path / "news.bundle"
    out = cli("export", str(file)).out.splitlines()
    assert out[0].startswith(f"{file}: 6 versions, ")
    assert out[1:] == ["  main: main@3", "  side: side@1", "  tag v1"]
    cloned = there("clone", str(file), "--json").json
    assert (cloned["collection"], cloned["remote"]) == (f"{other.name}.bands", "origin")
    assert str(file) in there("-c", "bands", "remotes").out
    copy = VersionedCollection(other, "bands")
    assert raws(copy) == raws(bands)
    step(bands, "later")
    assert cli("export", str(news), "--since", "main~1").out.splitlines()[1:] == [
        "  main: main@4",
        "  side: side@1",
        "  tag v1",
        "it brings what is new to a copy that has the rest; nothing can be cloned",
    ]
    assert there("-c", "bands", "fetch", str(news), "--json").json["versions"] == 1
    assert there("-c", "bands", "pull", str(news), "--json").json["outcome"] == "fast_forward"
    assert copy == bands
    refusal = there("-c", "bands", "push", code=4).err
    assert "error[not_supported]" in refusal
    assert "'vc export'" in refusal
    there("-c", "bands", "add-remote", "backup", str(news))
    assert there("-c", "bands", "pull", "backup").out == "up to date with backup\n"


def test_a_path_is_no_secret(cli: Cli, db: Database[Any], tmp_path: Path) -> None:
    bands = grown(db)
    file = tmp_path / "ada@home:8080.bundle"
    bands.export(file)
    assert cli("add-remote", "backup", str(file)).out == f"backup is {file}\n"
    assert str(file) in cli("remotes").out
    assert str(file) in cli("push", str(file), code=4).err
    assert cli("fetch", "backup").out.startswith("fetched from backup: 0 versions")
    assert cli("status", "--json").json["remotes"]


def test_branches_of_a_bundle(cli: Cli, db: Database[Any], tmp_path: Path) -> None:
    grown(db)
    file = str(tmp_path / "bands.bundle")
    done = cli("export", file, "--branch", "side", "--json").json
    assert (done["branches"], done["tags"], done["versions"]) == (["side"], ["v1"], 4)
    assert cli("export", file, "HEAD", "--overwrite", code=2).err
    assert cli("export", file, "--branch", "nowhere", "--overwrite", code=5).err
