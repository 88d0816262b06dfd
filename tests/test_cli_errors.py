"""Errors: their words, their exit codes, and what stays unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bson.errors import InvalidBSON, InvalidDocument
from cli_support import Cli
from pymongo import MongoClient
from pymongo import errors as driver
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded, errors
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import EXITS, describe
from versioned_collection.cli.session import Session
from versioned_collection.working.recovery import holding


def every(kind: type[errors.VersioningError]) -> list[type[errors.VersioningError]]:
    return [kind, *(one for sub in kind.__subclasses__() for one in every(sub))]


def test_every_error_has_an_exit_code() -> None:
    ours = [kind for kind in every(errors.VersioningError) if kind.__module__ == errors.__name__]
    assert set(ours) == set(EXITS)
    for kind in ours:
        found = describe(kind("what", fact=1))
        assert (found.code, found.message, found.facts) == (kind.code, "what", {"fact": 1})
        assert found.exit not in (Exit.OK, Exit.NOTHING, Exit.INTERRUPTED)


def test_an_error_of_a_later_release_has_the_code_of_its_base() -> None:
    class Special(errors.BranchNotFound):
        code = "special"

    assert describe(Special("x")).exit == Exit.NOT_FOUND


def test_every_exit_code_has_a_meaning() -> None:
    assert all(one.meaning for one in Exit)
    assert [int(one) for one in Exit] == [*range(12), 130, 141]


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (driver.ServerSelectionTimeoutError("h:1: no (configured timeouts: x), Timeout: 5s, Top"),
         "server_unreachable", 8),
        (driver.AutoReconnect("closed"), "server_unreachable", 8),
        (driver.OperationFailure("no", 18), "login_failed", 7),
        (driver.OperationFailure("no", 13), "permission_denied", 7),
        (driver.OperationFailure("no", 999), "server_refused", 10),
        (driver.InvalidName("bad"), "usage", 2),
        (driver.CursorNotFound("gone"), "server_refused", 10),
        (driver.InvalidOperation("x"), "driver", 10),
        (OverflowError("too big"), "usage", 2),
        (InvalidDocument("no key"), "usage", 2),
        (InvalidBSON("bad text"), "unreadable_document", 10),
        (ZeroDivisionError("oh"), "internal", 10),
    ],
)  # fmt: skip
def test_other_errors(error: Exception, code: str, exit_code: int) -> None:
    found = describe(error)
    assert (found.code, int(found.exit)) == (code, exit_code)
    assert "Timeout:" not in found.message
    assert "configured" not in found.message


def test_an_unreachable_server(cli: Cli) -> None:
    cli.env |= {"VC_URI": "mongodb://127.0.0.1:1", "VC_TIMEOUT": "0.1"}
    failed = cli("status", code=8)
    assert failed.err.startswith(
        "error[server_unreachable]: the server cannot be reached: 127.0.0.1:1"
    )
    assert "'vc config list'" in failed.err
    assert len(failed.err) < 200
    assert cli("status", "--json", code=8).error["exit"] == 8
    cli.env["VC_URI"] += "/?serverSelectionTimeoutMS=50"
    del cli.env["VC_TIMEOUT"]
    cli("status", code=8)


def test_a_server_whose_name_leads_nowhere(cli: Cli) -> None:
    cli.env |= {"VC_URI": "mongodb+srv://ada:s3cret@nowhere.invalid/music", "VC_TIMEOUT": "1"}
    failed = cli("status", code=8)
    assert "server_unreachable" in failed.err
    assert "s3cret" not in failed.err


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("status", "--nonsense"),
        ("status", "extra"),
        ("register",),
        ("checkout", "1", "--branch"),
        ("--timeout", "soon", "status"),
        ("--capture", "magic", "status"),
        ("init", "--metadata", "{"),
        ("init", "--metadata", "[1]"),
        ("init", "--author", "{"),
        ("--uri", "nonsense://", "status"),
        ("--uri", "mongodb://h", "--data", "d", "status"),
        ("--db", "a b.c", "status"),
        ("-c", "a$b", "init"),
        ("-c", "..", "status"),
        ("-c", "x" * 300, "init"),
    ],
    ids=" ".join,
)
def test_usage(cli: Cli, words: tuple[str, ...]) -> None:
    failed = cli(*words, code=2)
    assert "error[" in failed.err
    assert failed.out == ""
    found = cli("--json", *words, code=2)
    assert json.loads(found.err)["error"]["exit"] == 2
    assert found.out == ""


def test_a_held_lease(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.init()
    with holding(bands._repository, "register"):
        failed = cli("verify", "--wait", "0", "--json", code=6)
    assert failed.error["code"] == "lease_held"
    assert failed.error["facts"]["owner"]["verb"] == "register"


def test_another_format(cli: Cli, db: Database[Any]) -> None:
    VersionedCollection(db, "bands").init()
    db["__metadata_bands"].update_many({}, {"$set": {"format": 99}})
    assert cli("status", "--json", code=9).error["code"] == "format_mismatch"


def test_a_view(cli: Cli, db: Database[Any]) -> None:
    db.command("create", "bands", viewOn="x", pipeline=[])
    assert cli("init", "--json", code=4).error["code"] == "not_supported"


def test_our_own_mistakes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, uri: str, **login: str) -> None:
        raise RuntimeError(f"at {uri} with {login}")

    monkeypatch.setattr(Session, "connect", broken)
    cli.env["VC_PASSWORD"] = "hush"
    cli.env["VC_URI"] = cli.env["VC_URI"].replace("//", "//ada:x@")
    failed = cli("status", code=10)
    assert failed.err.startswith("error[internal]: RuntimeError: at mongodb://***@")
    assert "hush" not in failed.err


def test_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(VersionedCollection, "status", interrupted)
    assert cli("status", code=130).err == "error[interrupted]: interrupted\n"


def test_logins(tmp_path: Path) -> None:
    with embedded.start(auth=True, durable=False) as server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.music.bands.insert_one({"_id": 1})
            for name, roles in (("ada", ["readWrite"]), ("eve", [])):
                granted = [{"role": role, "db": "music"} for role in roles]
                client.admin.command("createUser", name, pwd=f"{name} hush", roles=granted)
        uri = f"mongodb://{server.address}/?directConnection=true"
        cli = Cli(tmp_path / "home", {"VC_URI": uri, "VC_COLLECTION": "bands", "VC_DB": "music"})
        cli.env |= {"VC_USERNAME": "ada", "VC_PASSWORD": "ada hush"}
        cli("init")
        assert cli("register", "-m", "x", code=1).code == 1
        cli.env["VC_PASSWORD"] = "other hush"
        failed = cli("status", code=7)
        assert failed.err.startswith("error[login_failed]: ")
        cli.env |= {"VC_USERNAME": "eve", "VC_PASSWORD": "eve hush"}
        refused = cli("status", "--json", code=7)
        assert refused.error["code"] == "permission_denied"
        assert "hush" not in failed.err + refused.err
