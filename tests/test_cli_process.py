"""The program itself: real processes, the embedded server, signals, pipes, start-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection, __version__, embedded

VC = [sys.executable, "-m", "versioned_collection.cli"]


def environment(cli: Cli) -> dict[str, str]:
    given = {**os.environ, **cli.environment}
    return {name: value for name, value in given.items() if value is not None}


def run(cli: Cli, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*VC, *words],
        env=environment(cli),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        **{"stdin": subprocess.DEVNULL, **options},
    )
    assert "Traceback" not in done.stderr
    return done


def test_the_script() -> None:
    script = Path(sys.executable).with_name("vc")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"vc {__version__}\n"


def test_help_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys; from versioned_collection.cli.app import app\n"
        "try: app(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pymongo', 'bson', 'deepdiff', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_session_on_the_embedded_server(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home", {"VC_COLLECTION": "bands", "VC_LINGER": "30"})
    data = tmp_path / "home" / "data" / "versioned-collection"
    try:
        assert run(cli, "init", "-m", "first").returncode == 0
        assert (data).is_dir()
        done = run(cli, "log", "--json")
        assert json.loads(done.stdout)["versions"][0]["message"] == "first"
        assert done.stderr == ""
        again = run(cli, "init", "--json")
        assert again.returncode == 4
        assert json.loads(again.stderr)["error"]["code"] == "already_initialised"
    finally:
        with embedded.start(data, share=True):
            pass  # with no linger: whoever leaves last ends it


def test_an_unreachable_server(cli: Cli) -> None:
    done = run(cli, "--uri", "mongodb://ada:hush@127.0.0.1:1", "--timeout", "0.2", "status")
    assert done.returncode == 8
    assert done.stderr.count("\n") == 1
    assert "hush" not in done.stderr


@pytest.mark.sweep
def test_a_question_without_anybody_to_answer(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init()
    done = run(cli, "drop")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert run(cli, "drop", stdin=None, input="y\n").returncode == 0


@pytest.mark.parametrize("words", [("diff",), ("changes", "--json")])
def test_a_reader_that_goes_away(cli: Cli, db: Database[Any], words: tuple[str, ...]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.init()
    bands.insert_many({"_id": k, "x": "y" * 1000} for k in range(2000))
    writer = subprocess.Popen(
        [*VC, *words], env=environment(cli), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.read(10)
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait(60) == 141


def test_ctrl_c(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.init()
    listener = subprocess.Popen(
        [*VC, "listen", "--interval", "0.05", "--json"],
        env=environment(cli),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    taken = {"_id": "bands", "fence": {"$gte": 5}}
    with db["__vc_lock"].watch() as stream:
        while not db["__vc_lock"].find_one(taken):
            stream.try_next()
    listener.send_signal(signal.SIGINT)
    out, err = listener.communicate(timeout=60)
    assert (listener.returncode, err) == (0, b"")
    assert json.loads(out)["looks"] >= 1
    bands.register("nobody holds the lease")


@pytest.mark.sweep
def test_output_that_cannot_show_everything(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init("grüße \U0001f600")
    cli.env |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "gr\\u00fc\\u00dfe" in run(cli, "log").stdout
    for encoding in ("ascii", "latin-1"):
        cli.env["PYTHONIOENCODING"] = encoding
        (version,) = json.loads(run(cli, "log", "--json").stdout)["versions"]
        assert version["message"] == "grüße \U0001f600"


def test_documents_are_json_lines_in_any_encoding(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 1, "name": "Motörhead\xa0\x9b \U0001f600\U000e0001"})
    bands.init()
    for encoding in ("ascii", "utf-8"):
        cli.env |= {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        assert json.loads(run(cli, "at", "main").stdout) == bands.find_one()
        told = run(cli, "checkout", "größer", "--json").stderr
        assert "größer" in json.loads(told)["error"]["message"]
    cli.env["PYTHONIOENCODING"] = "latin-1"
    bands.insert_one({"_id": 2, "name": "Motörhead"})
    assert "Mot&#246;rhead" in run(cli, "diff", "--html").stdout


def closed(cli: Cli, redirection: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a stream that the shell closes, or leads somewhere."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *VC, *words],
        env=environment(cli),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.sweep
@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
def test_closed_streams(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init()
    done = closed(cli, "2>&-", "status")
    assert (done.returncode, "main@0" in done.stdout) == (0, True)
    for redirection, words in (
        (">&-", ("status",)),
        (">&-", ("at", "main")),
        (">&- <&-", ("status", "--json")),
        (">&- <&- 2>&-", ("status",)),
    ):
        done = closed(cli, redirection, *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert closed(cli, "<&-", "drop").returncode == 2


@pytest.mark.sweep
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_has_no_room(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init()
    for words in (("status",), ("--help",), ("export", "-", "--format", "bson")):
        done = closed(cli, ">/dev/full", *words)
        assert (done.returncode, done.stderr.count("output_failed")) == (10, 1), done
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
    for words, code in ((("log", "nope", "--json"), 5), (("nope",), 2)):
        assert closed(cli, "2>/dev/full", *words).returncode == code


def test_ctrl_c_while_the_program_is_loaded(tmp_path: Path) -> None:
    for interrupted in ("typer", "versioned_collection.cli.command"):
        (tmp_path / "sitecustomize.py").write_text(
            "import sys\n"
            "class Interrupting:\n"
            "    def find_spec(self, name, *_):\n"
            f"        if name == {interrupted!r}: raise KeyboardInterrupt\n"
            "sys.meta_path.insert(0, Interrupting())\n"
        )
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        done = subprocess.run(
            [*VC, "--version"],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_debugging(cli: Cli) -> None:
    cli.env |= {"VC_DEBUG": "1", "VC_TIMEOUT": "0.1", "VC_URI": "mongodb://ada:hush@127.0.0.1:1"}
    done = subprocess.run(
        [*VC, "status"], env=environment(cli), capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr
    assert "hush" not in done.stderr
