"""The demo data: complete, true to the original files, and cheap to read."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import sys
import tarfile
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from versioned_collection import demo_data
from versioned_collection.demo_data import Release, checksum, releases

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "build_demo_data.py"

# version, date, documents, added, changed, removed
HISTORY = [
    ("1.45.0", "2020-09-22", 2204, 2204, 0, 0),
    ("1.46.0", "2021-02-13", 2224, 20, 4, 0),
    ("1.47.0", "2021-04-01", 2228, 4, 4, 0),
    ("1.48.0", "2021-05-30", 2244, 16, 4, 0),
    ("1.49.0", "2021-07-26", 2254, 10, 2, 0),
    ("1.50.0", "2021-09-15", 2265, 11, 0, 0),
    ("1.51.0", "2021-11-08", 2269, 4, 2, 0),
    ("1.52.0", "2022-02-21", 2279, 10, 6, 0),
    ("1.53.0", "2024-07-12", 2446, 171, 46, 4),
    ("1.54.0", "2025-03-17", 2522, 77, 10, 1),
]


@pytest.fixture(scope="module")
def history() -> list[Release]:
    return list(releases())


@pytest.fixture(scope="module")
def by_version(history: list[Release]) -> dict[str, Release]:
    return {release.version: release for release in history}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_demo_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _difference(
    old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]
) -> tuple[int, int, int]:
    changed = [n for n in old.keys() & new.keys() if json.dumps(old[n]) != json.dumps(new[n])]
    return len(new.keys() - old.keys()), len(changed), len(old.keys() - new.keys())


# The shipped data


def test_ten_consecutive_releases(history: list[Release]) -> None:
    assert [release.version for release in history] == [f"1.{n}.0" for n in range(45, 55)]


def test_dates_and_counts(history: list[Release]) -> None:
    facts = []
    previous: dict[str, dict[str, Any]] = {}
    for release in history:
        difference = _difference(previous, release.documents)
        day = release.published.date().isoformat()
        facts.append((release.version, day, len(release.documents), *difference))
        previous = release.documents
    assert facts == HISTORY


def test_dates_are_utc_and_ascend(history: list[Release]) -> None:
    dates = [release.published for release in history]
    assert dates == sorted(set(dates))
    assert dates[0] == datetime(2020, 9, 22, tzinfo=timezone.utc)
    assert {date.tzinfo for date in dates} == {timezone.utc}


def test_every_release_equals_the_original_file(history: list[Release]) -> None:
    stored = [step["sha256"] for step in demo_data._read_steps()]
    assert len(set(stored)) == len(HISTORY)
    assert [checksum(release.documents) for release in history] == stored


def test_documents_are_in_the_original_order(history: list[Release]) -> None:
    for release in history:
        assert list(release.documents) == sorted(release.documents)


def test_documents_carry_their_key_as_first_field(history: list[Release]) -> None:
    for release in history:
        for name, document in release.documents.items():
            assert next(iter(document.items())) == ("_id", name)


def test_documents_have_known_fields_only(history: list[Release]) -> None:
    types = {
        "_id": str,
        "source": str,
        "charset": str,
        "compressible": bool,
        "extensions": list,
    }
    for release in history:
        for document in release.documents.values():
            assert all(type(value) is types[field] for field, value in document.items())


def test_a_document_that_never_changed(history: list[Release]) -> None:
    expected = {
        "_id": "application/json",
        "source": "iana",
        "charset": "UTF-8",
        "compressible": True,
        "extensions": ["json", "map"],
    }
    for release in history:
        document = release.documents["application/json"]
        assert list(document.items()) == list(expected.items())


def test_known_additions(by_version: dict[str, Release]) -> None:
    assert "application/x-ipynb+json" not in by_version["1.53.0"].documents
    assert by_version["1.54.0"].documents["application/x-ipynb+json"]["extensions"] == ["ipynb"]


def test_known_changes(by_version: dict[str, Release]) -> None:
    # "Mark text/yaml as compressible" in 1.48.0; ".sql" and "text/javascript" in 1.53.0.
    assert "compressible" not in by_version["1.47.0"].documents["text/yaml"]
    assert by_version["1.48.0"].documents["text/yaml"]["compressible"] is True
    assert "extensions" not in by_version["1.52.0"].documents["text/javascript"]
    assert by_version["1.53.0"].documents["text/javascript"]["extensions"] == ["js", "mjs"]
    assert by_version["1.53.0"].documents["application/sql"]["extensions"] == ["sql"]


def test_known_removals(by_version: dict[str, Release]) -> None:
    assert "image/hsj2" in by_version["1.53.0"].documents
    assert "image/hsj2" not in by_version["1.54.0"].documents


def test_the_licence_names_its_holders() -> None:
    text = resources.files(demo_data).joinpath("mime-db.LICENSE").read_text(encoding="utf-8")
    assert "The MIT License" in text
    assert "Copyright (c) 2014 Jonathan Ong" in text
    assert "Copyright (c) 2015-2022 Douglas Christopher Wilson" in text
    assert "Permission is hereby granted, free of charge" in text


def test_the_data_is_small() -> None:
    packed = resources.files(demo_data).joinpath("mime-db.json.gz").read_bytes()
    assert len(packed) < 32_000


# Reading it


def test_releases_are_independent() -> None:
    iterator = releases()
    first = next(iterator)
    first.documents["application/json"]["extensions"].append("spoiled")
    first.documents["text/html"]["source"] = "spoiled"
    del first.documents["image/png"]
    for release in (next(iterator), next(releases())):
        assert release.documents["application/json"]["extensions"] == ["json", "map"]
        assert release.documents["text/html"]["source"] == "iana"
        assert "image/png" in release.documents


def test_nothing_is_read_before_the_first_release(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    original = demo_data._read_steps

    def spy() -> Any:
        reads.append("read")
        return original()

    monkeypatch.setattr(demo_data, "_read_steps", spy)
    iterator = releases()
    assert reads == []
    assert next(iterator).version == "1.45.0"
    assert reads == ["read"]


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_data, "_FORMAT", 2)
    with pytest.raises(ValueError, match="has format 1, expected 2"):
        next(releases())


def test_checksum_sees_fields_and_their_order_only() -> None:
    one: dict[str, dict[str, Any]] = {
        "a/b": {"_id": "a/b", "source": "iana", "compressible": True},
        "c/d": {"_id": "c/d"},
    }
    other = {"c/d": {"_id": "c/d"}, "a/b": one["a/b"]}
    swapped = {**one, "a/b": {"_id": "a/b", "compressible": True, "source": "iana"}}
    assert checksum(one) == checksum(other)
    assert checksum(one) != checksum(swapped)


# The build script

LOG = "1.2.0 / 2020-03-03\n=====\n\n1.1.0 / 2020-02-02\n=====\n\n1.0.0 / 2020-01-01\n=====\n"
RELEASES: dict[str, dict[str, dict[str, Any]]] = {
    "1.0.0": {"a/a": {"source": "iana"}, "b/b": {}, "c/c": {"source": "x", "compressible": True}},
    "1.1.0": {"a/a": {"source": "iana"}, "c/c": {"compressible": True, "source": "x"}},
    "1.2.0": {"a/a": {"source": "nginx"}, "b/b": {}, "c/c": {"compressible": True, "source": "x"}},
}


def _tarball(directory: Path, version: str, **replaced: str | None) -> None:
    members: dict[str, str | None] = {
        "package.json": json.dumps({"name": "mime-db", "version": version, "license": "MIT"}),
        "db.json": json.dumps(RELEASES[version]),
        "HISTORY.md": LOG,
        "LICENSE": f"licence of {version}\n",
    }
    members.update({name.replace("_", "."): text for name, text in replaced.items()})
    with tarfile.open(directory / f"mime-db-{version}.tgz", "w:gz") as archive:
        for name, text in members.items():
            if text is not None:
                info = tarfile.TarInfo(f"package/{name}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))


@pytest.fixture
def tarballs(tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(script, "VERSIONS", tuple(RELEASES))
    for version in RELEASES:
        _tarball(tmp_path, version)
    return tmp_path


def _run(script: ModuleType, tarballs: Path, name: str = "out") -> tuple[bytes, bytes]:
    output = tarballs / name
    output.mkdir()
    assert script.main([str(tarballs), "--output", str(output)]) == 0
    licence = (output / "mime-db.LICENSE").read_bytes()
    return (output / "mime-db.json.gz").read_bytes(), licence


def test_script_stores_differences(script: ModuleType, tarballs: Path) -> None:
    packed, licence = _run(script, tarballs)
    first, second, third = json.loads(gzip.decompress(packed))["releases"]
    assert first["added"] == RELEASES["1.0.0"]
    assert (first["changed"], first["removed"]) == ({}, [])
    assert (second["added"], second["removed"]) == ({}, ["b/b"])
    assert list(second["changed"]) == ["c/c"]  # only the order of its fields differs
    assert (third["added"], third["changed"]) == ({"b/b": {}}, {"a/a": {"source": "nginx"}})
    assert [step["published"] for step in (first, second, third)] == [
        "2020-01-01",
        "2020-02-02",
        "2020-03-03",
    ]
    assert licence == b"licence of 1.2.0\n"


def test_script_and_reader_agree(
    script: ModuleType, tarballs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, _ = _run(script, tarballs)
    steps = json.loads(gzip.decompress(packed))["releases"]
    monkeypatch.setattr(demo_data, "_read_steps", lambda: steps)
    for release, step in zip(releases(), steps, strict=True):
        assert checksum(release.documents) == step["sha256"]
        assert step["sha256"] == script.digest(RELEASES[release.version])


def test_script_is_deterministic(script: ModuleType, tarballs: Path) -> None:
    assert _run(script, tarballs, "one") == _run(script, tarballs, "two")


def test_script_fetches_with_npm_when_no_directory_is_given(
    script: ModuleType, tarballs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def npm(command: list[str], *, cwd: Path, check: bool) -> None:
        assert check
        commands.append(command)
        for version in RELEASES:
            _tarball(cwd, version)

    monkeypatch.setattr(script.subprocess, "run", npm)
    output = tarballs / "out"
    output.mkdir()
    assert script.main(["--output", str(output)]) == 0
    assert commands == [["npm", "pack", "--silent", *(f"mime-db@{v}" for v in RELEASES)]]
    assert (output / "mime-db.json.gz").exists()


def _refusal(script: ModuleType, tarballs: Path, capsys: pytest.CaptureFixture[str]) -> str:
    output = tarballs / "out"
    output.mkdir()
    assert script.main([str(tarballs), "--output", str(output)]) == 1
    assert list(output.iterdir()) == []
    return capsys.readouterr().err


def test_script_refuses_a_gap(
    script: ModuleType,
    tarballs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script, "VERSIONS", ("1.0.0", "1.2.0"))
    assert "1.0.0 and 1.2.0 are not consecutive" in _refusal(script, tarballs, capsys)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"db_json": None}, "has no file db.json"),
        ({"LICENSE": None}, "has no file LICENSE"),
        ({"HISTORY_md": "unreleased\n"}, "no date for this release"),
        ({"db_json": '{"b/b": {}, "a/a": {}}'}, "not ordered by MIME type"),
        (
            {"package_json": '{"name": "other", "version": "1.1.0", "license": "MIT"}'},
            "is not mime-db",
        ),
        (
            {"package_json": '{"name": "mime-db", "version": "1.1.0", "license": "GPL"}'},
            "under the MIT licence",
        ),
    ],
)
def test_script_refuses_a_bad_tarball(
    script: ModuleType,
    tarballs: Path,
    capsys: pytest.CaptureFixture[str],
    replaced: dict[str, str | None],
    message: str,
) -> None:
    _tarball(tarballs, "1.1.0", **replaced)
    assert message in _refusal(script, tarballs, capsys)


def test_script_refuses_a_missing_tarball(
    script: ModuleType, tarballs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tarballs / "mime-db-1.1.0.tgz").unlink()
    assert "mime-db-1.1.0.tgz" in _refusal(script, tarballs, capsys)
