"""The program itself: real processes, the embedded server, signals, pipes, start-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_a_question_without_anybody_to_answer(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init()
    done = run(cli, "drop")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert run(cli, "drop", stdin=None, input="y\n").returncode == 0


def test_a_reader_that_goes_away(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.init()
    bands.insert_many({"_id": k, "x": "y" * 1000} for k in range(2000))
    writer = subprocess.Popen(
        [*VC, "diff"], env=environment(cli), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait(60) == 10


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


def test_output_that_cannot_show_everything(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init("grüße \U0001f600")
    cli.env |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "gr\\xfc\\xdfe" in run(cli, "log").stdout
    assert run(cli, "log", "--json").returncode == 0


def test_debugging(cli: Cli) -> None:
    cli.env |= {"VC_DEBUG": "1", "VC_TIMEOUT": "0.1", "VC_URI": "mongodb://ada:hush@127.0.0.1:1"}
    done = subprocess.run(
        [*VC, "status"], env=environment(cli), capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr
    assert "hush" not in done.stderr
