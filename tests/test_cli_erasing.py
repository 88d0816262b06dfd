"""Purging on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_support import grown
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded

WHY = "asked to be forgotten"


@pytest.fixture
def cli(tmp_path: Path, server: embedded.Server, db: Database[Any]) -> Cli:
    env = {"VC_URI": server.uri, "VC_DB": db.name, "VC_COLLECTION": "bands", "VC_AUTHOR": "Ada"}
    return Cli(tmp_path / "home", env)


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    return grown(db)


def test_documents(cli: Cli, bands: VersionedCollection) -> None:
    told = cli("purge", "1", "--dry-run").out
    assert "1 document would be purged, from 6 versions" in told
    assert bands.count_documents({}) == 3
    found = cli("purge", "1", '"3"', "--reason", WHY, "--yes", "--json").json
    assert (found["documents"], found["removed"], found["dry_run"]) == (1, 5, False)
    assert any("backups" in text for text in found["unreachable"])
    assert bands.count_documents({}) == 2
    assert "there is nothing of it" in cli("purge", "1", "--reason", WHY, "-y", code=1).out
    listed = cli("purges", "--json").json["purges"]
    assert [(one["by"], one["reason"], one["documents"]) for one in listed] == [("Ada", WHY, 1)]
    assert WHY in cli("purges").out
    assert "purge" in cli("reflog").out


def test_names_with_dots(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1, "a": {"b.c": 1, "d": 1}})
    bands.init()
    bands.update_one({"_id": 1}, {"$set": {"a": {"b.c": 2, "d": 2}}})
    place = '["a", "b.c"]'
    assert cli("restore", "1", "--field", place).out.startswith("1 updated")
    assert bands.find_one(1) == {"_id": 1, "a": {"b.c": 1, "d": 2}}
    cli("purge", "--path", place, "--reason", WHY, "--yes")
    assert bands.find_one(1) == {"_id": 1, "a": {"d": 2}}
    assert bands.at("main@0").find_one(1) == {"_id": 1, "a": {"d": 1}}


def test_fields_and_filters(cli: Cli, bands: VersionedCollection) -> None:
    said = ("--reason", WHY, "--yes", "--author", "Grace")
    cli("purge", "--filter", '{"name": "Pulp"}', "--path", "since.year", "--path", "mark", *said)
    assert bands.find_one(1)["since"] == {}  # type: ignore[index]
    assert bands.at("main@0").find_one(2)["since"] == {"year": 1988}
    cli("purge", "--path", "members", *said)
    assert all("members" not in one for one in bands.at("main@0").find())
    assert [one.by for one in bands.purges()] == ["Grace", "Grace"]


def test_wrong_arguments(cli: Cli, bands: VersionedCollection) -> None:
    for words in (
        ("purge", "--reason", WHY, "--yes"),
        ("purge", "1", "--yes"),
        ("purge", "1", "--reason", " ", "--yes"),
        ("purge", "1", "--filter", "{}", "--reason", WHY, "--yes"),
        ("purge", "--filter", "{", "--reason", WHY, "--yes"),
        ("purge", "1", "--path", "_id", "--reason", WHY, "--yes"),
    ):
        assert cli(*words, code=2).err
    assert cli("purge", "1", "--reason", WHY, stdin="n\n", code=None).code != 0
    assert bands.purges() == []
