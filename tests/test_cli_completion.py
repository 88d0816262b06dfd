"""What shells offer while a command is typed, through the protocol that they speak."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli
from pymongo import MongoClient, monitoring

from versioned_collection import VersionedCollection, embedded
from versioned_collection.cli import completing
from versioned_collection.cli.session import Session

Complete = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def bands(client: MongoClient[Any]) -> Iterator[VersionedCollection]:
    """A history that is only looked at."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    bands = VersionedCollection(client[name], "bands")
    bands.insert_one({"_id": 1})
    bands.init("first")
    bands.tag("v1")
    for branch in ("names", "feature/one", "$(touch x)", "two words", "a;b", "ü"):
        bands.create_branch(branch)
        bands.checkout(branch="main")
    for k in (2, 3, 4):
        bands.insert_one({"_id": k})
        bands.register(f"more {k}")
    bands.add_remote("origin", "mongodb://localhost/music")
    other = VersionedCollection(client[name], "other")
    other.init()
    other.tag("elsewhere")
    yield bands
    client.drop_database(name)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers given up late, because machines are shared; one test is about a deaf one."""
    monkeypatch.setattr(completing, "_SECONDS", 60.0)
    monkeypatch.setenv("VC_TIMEOUT", "60")


@pytest.fixture
def cli(tmp_path: Path, server: embedded.Server, bands: VersionedCollection) -> Cli:
    env = {"VC_URI": server.uri, "VC_DB": bands.database.name, "VC_COLLECTION": "bands"}
    return Cli(tmp_path / "home", env)


@pytest.fixture
def offered(cli: Cli) -> Complete:
    """Return what bash is offered for a line."""

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        protocol = {
            "_VC_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        done = Cli(cli.home, {**cli.env, **protocol})()
        assert done.err == ""
        return done.out.split()

    return complete


def test_revisions(
    offered: Complete, bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {"HEAD", "@", "main", "names", "feature/one", "ü", "v1"}
    for line in ("checkout ", "log ", "diff HEAD ", "bisect v1 ", "browse ", "history 1 -r "):
        assert set(offered(f"vc {line}")) == everything, line
    assert offered("vc checkout na") == ["names"]
    assert offered("vc checkout main@2") == ["main@2"]
    monkeypatch.setattr(completing, "_LABELS", 3)
    assert offered("vc checkout main@") == ["main@3", "main@2", "main@1"]
    assert offered("vc checkout nothing@") == []


def test_what_is_not_safe_on_a_command_line_is_not_offered(
    offered: Complete, bands: VersionedCollection
) -> None:
    assert "$(touch x)" in bands.branches()
    assert offered("vc checkout $") == []
    assert not {"two", "a;b", "two words"} & set(offered("vc checkout "))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("delete-branch na", ["names"]),
        ("checkout --branch na", ["names"]),
        ("rename-branch fe", ["feature/one"]),
        ("delete-tag ", ["v1"]),
        ("tag v2 v", ["v1"]),
        ("remove-remote ", ["origin"]),
        ("push ", ["origin"]),
        ("push origin na", ["names"]),
        ("config set us", ["username"]),
        ("config get da", ["data"]),
        ("merge names --resolver th", ["theirs"]),
        ("resolve-conflicts --resolver su", ["sum_of_changes"]),
        ("tag ", []),
        ("register --branch na", []),
        ("create-branch na", []),
    ],
)
def test_names(
    offered: Complete, bands: VersionedCollection, line: str, expected: list[str]
) -> None:
    assert offered(f"vc {line}") == expected


def test_remote_branches(
    offered: Complete, cli: Cli, bands: VersionedCollection, tmp_path: Path
) -> None:
    bands.export(tmp_path / "all.bundle")
    cli("-c", "copy", "clone", str(tmp_path / "all.bundle"))
    assert offered("vc -c copy merge origin/na") == ["origin/names"]


def test_options_of_the_line_count(offered: Complete, cli: Cli) -> None:
    assert offered("vc -c other delete-tag ") == ["elsewhere"]
    assert offered("vc delete-tag -c other ") == ["elsewhere"]
    cli("--profile", "second", "use", "other")
    cli("--profile", "third", "use", "bands")
    assert offered("vc --profile ") == ["second", "third"]
    assert offered("vc log --profile t") == ["third"]
    assert offered("vc config delete-profile s") == ["second"]
    del cli.env["VC_COLLECTION"]
    assert offered("vc --profile second delete-tag ") == ["elsewhere"]


def test_looking_changes_nothing(
    offered: Complete, bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            sent.append(event.command_name)

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    monkeypatch.setattr(
        Session,
        "_options",
        lambda self, uri: {"event_listeners": [Listener()], "serverSelectionTimeoutMS": 5000},
    )
    assert offered("vc checkout main@3") == ["main@3"]
    assert set(sent) <= {"find", "getMore", "hello", "aggregate", "endSessions"}
    assert "find" in sent


@pytest.mark.parametrize(
    "env",
    [
        {"VC_URI": "mongodb://ada:hush@127.0.0.1:1", "VC_TIMEOUT": "0.1"},
        {"VC_URI": "mongodb://ada:hush@[", "VC_TIMEOUT": "never"},
        {"VC_COLLECTION": "untracked"},
        {"VC_COLLECTION": ""},
        {"VC_CONFIG": "/nowhere/config.toml"},
        {"VC_URI": "mongodb://ada:${keyring:vc:ada}@localhost"},
        {"VC_PROFILE": "nothing"},
    ],
    ids=lambda env: "-".join(env.values()),
)
def test_errors_are_silent(
    offered: Complete,
    cli: Cli,
    bands: VersionedCollection,
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(completing, "_SECONDS", 1.0)
    cli.env |= env
    assert offered("vc checkout ") == []


def test_a_server_that_does_not_answer_is_given_up(
    offered: Complete, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and says nothing
        cli.env |= {"VC_URI": f"mongodb://127.0.0.1:{deaf.getsockname()[1]}", "VC_TIMEOUT": "3600"}
        assert offered("vc checkout ") == []


def test_a_file_that_others_can_read_is_left_to_commands(offered: Complete, cli: Cli) -> None:
    cli("--profile", "second", "use", "other")
    file = cli.home / "config" / "versioned-collection" / "config.toml"
    file.chmod(0o644)
    assert offered("vc --profile ") == []
    assert file.stat().st_mode & 0o777 == 0o644


def test_no_embedded_server_is_started(offered: Complete, cli: Cli) -> None:
    del cli.env["VC_URI"]
    assert offered("vc checkout ") == []
    assert not (cli.home / "data").exists()


def test_the_embedded_server_that_runs_is_asked(
    offered: Complete, cli: Cli, tmp_path: Path
) -> None:
    del cli.env["VC_URI"]
    del cli.env["VC_DB"]
    data = tmp_path / "data"
    cli.env["VC_DATA"] = str(data)
    with embedded.start(data, share=True) as server, MongoClient(server.uri) as client:
        VersionedCollection(client["vc"], "bands").init()
        assert offered("vc checkout ma") == ["main"]
    assert offered("vc checkout ma") == []


@pytest.mark.parametrize(
    ("shell", "env", "expected"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "vc checkout na"}, "_arguments '*: :((\"names\"))'"),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "vc checkout na", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "names",
        ),
    ],
)
def test_other_shells(
    cli: Cli, bands: VersionedCollection, shell: str, env: dict[str, str], expected: str
) -> None:
    cli.env |= {"_VC_COMPLETE": f"complete_{shell}", **env}
    assert cli().out.strip() == expected


def test_the_scripts(cli: Cli) -> None:
    for shell, says in (
        ("bash", "complete -o default"),
        ("zsh", "#compdef vc"),
        ("fish", "--command vc"),
    ):
        cli.env["_VC_COMPLETE"] = f"source_{shell}"
        assert says in cli().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_in_bash(cli: Cli, bands: VersionedCollection) -> None:
    script = (
        'eval "$(_VC_COMPLETE=source_bash vc)"; COMP_WORDS=(vc checkout na); COMP_CWORD=2; '
        '_vc_completion vc; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    given = {**os.environ, **cli.environment}
    env = {name: value for name, value in given.items() if value is not None}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    for _ in range(20):  # a machine too busy to answer within a second offers nothing
        done = subprocess.run(
            ["bash", "-c", script],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.stdout.strip():
            break
    assert (done.stdout, done.stderr) == ("names\n", "")


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".bash_completions/vc.sh"),
        pytest.param("zsh", ".zfunc/_vc", marks=pytest.mark.sweep),
        pytest.param("fish", ".config/fish/completions/vc.fish", marks=pytest.mark.sweep),
    ],
)
def test_installing(cli: Cli, shell: str, place: str) -> None:
    given = {**os.environ, **cli.environment}
    env = {name: value for name, value in given.items() if value is not None}
    env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # else it is the parent's name
    words = [sys.executable, "-m", "versioned_collection.cli", "--install-completion", shell]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert "completion installed" in done.stdout
    assert "_VC_COMPLETE" in (cli.home / place).read_text()
