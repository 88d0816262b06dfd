"""vc demo runs, says what it did, and is quick."""

from __future__ import annotations

import time
from pathlib import Path

from cli_support import Cli

from versioned_collection.cli.replay import differences


def test_demo(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home", {"VC_URI": "mongodb://127.0.0.1:1", "VC_PASSWORD": "x"})
    started = time.monotonic()
    shown = cli("demo")
    assert time.monotonic() - started < 30
    assert shown.err == ""
    for part in (
        "* main@9 ",
        "(HEAD -> main, tag: v1.54.0) mime-db 1.54.0, published 2025-03-17",
        "--- main@7\n+++ main@8\n",
        "* my-edit@0 ",
        "\n|/\n* main@0 ",
        "221 documents differ",
        "equals mime-db 1.45.0",
        "equals mime-db 1.54.0",
        "1 conflict waits",
        '["markdown", "md"]',
        "extensions: md, markdown, mdown",
        "all of mime-db 1.54.0 and both edits",
        "* main@10 ",
        "Merge my-edit into main",
        "\n|\\\n",
        "verify",
        "total",
    ):
        assert part in shown.out, part
    assert not (tmp_path / "home" / "data").exists()


def test_demo_of_remotes(tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    cli = Cli(tmp_path / "home", {"VC_LINGER": "30"})
    started = time.monotonic()
    shown = cli("demo", "--remote", "--keep", kept)
    assert time.monotonic() - started < 60
    assert shown.err == ""
    for part in (
        "clone demo into demo_copy",
        "the original has main@3 and its documents",
        "vc push: refused: the histories of branch 'main' have diverged",
        "demo_copy: log --graph",
        "1 conflict waits",
        '["markdown", "md"]',
        "extensions: markdown, md, mdown, mdwn",
        "* main@6 ",
        "Merge main of origin",
        "\n|\\\n",
        "the same documents, the same versions",
        "verify",
        "total",
    ):
        assert part in shown.out, part
    there = ("--data", kept, "--db", "demo_copy", "-c", "mime_types")
    assert cli("status", *there).out.splitlines()[-1] == "up to date with origin/main"
    cli.env["VC_LINGER"] = "0"
    again = cli("demo", "--remote", "--keep", kept, code=2)
    assert "holds a demo already" in again.err


def test_demo_keeps_what_it_made(tmp_path: Path) -> None:
    cli, kept = Cli(tmp_path / "home", {"VC_LINGER": "30"}), str(tmp_path / "kept")
    found = cli("demo", "--keep", kept, "--json").json
    assert found["versions"] == 12
    assert found["directory"] == kept
    assert found["seconds"] > 0
    assert {"name", "seconds", "detail"} == set(found["steps"][0])
    there = ("--data", kept, "--db", "demo", "-c", "mime_types")
    versions = cli("log", *there, "--json", "--document", "text/javascript").json["versions"]
    assert versions[0]["metadata"]["release"] == "1.53.0"
    assert versions[0]["metadata"]["published"].year == 2024
    cli.env["VC_LINGER"] = "0"
    again = cli("demo", "--keep", kept, code=2)
    assert "holds a demo already" in again.err


def test_differences_mind_the_order_of_fields() -> None:
    old = {"a": {"_id": "a", "x": 1, "y": 2}, "b": {"_id": "b"}, "c": {"_id": "c"}}
    new = {"a": {"_id": "a", "y": 2, "x": 1}, "b": {"_id": "b"}, "d": {"_id": "d"}}
    kinds = [type(write).__name__ for write in differences(old, new)]
    assert kinds == ["DeleteOne", "ReplaceOne", "InsertOne"]
