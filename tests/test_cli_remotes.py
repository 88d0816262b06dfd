"""Remotes on the command line: transfers, their names, and what is never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from api_support import edit, raws, step, tracked
from cli_support import Cli
from pymongo import MongoClient
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded
from versioned_collection.cli import progress
from versioned_collection.cli.redact import references_in, secrets_of, shown

Document = dict[str, Any]
NOWHERE = "mongodb://ada:hush@127.0.0.1:1/music?serverSelectionTimeoutMS=50"


@pytest.fixture
def other(client: MongoClient[Document], db: Database[Document]) -> Iterator[Database[Document]]:
    """A second database on the same server."""
    name = f"{db.name}_other"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def there(tmp_path: Path, server: embedded.Server, other: Database[Any]) -> Cli:
    """The command line of somebody who works on the other database."""
    env = {"VC_URI": server.uri, "VC_DB": other.name, "VC_COLLECTION": "bands"}
    return Cli(tmp_path / "other_home", env)


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """A collection at main@1."""
    bands = tracked(db)
    step(bands, 1)
    return bands


@pytest.fixture
def address(server: embedded.Server, other: Database[Any]) -> str:
    """Where the other database is."""
    return f"mongodb://{server.address}/{other.name}?directConnection=true"


@pytest.fixture
def copy(
    cli: Cli, bands: VersionedCollection, other: Database[Any], address: str
) -> VersionedCollection:
    """The remote ``origin`` of `bands`, equal to it."""
    cli("add-remote", "origin", address)
    cli("push")
    return VersionedCollection(other, "bands")


# -- push ----------------------------------------------------------------------------------


def test_a_first_push(
    cli: Cli, bands: VersionedCollection, other: Database[Any], address: str
) -> None:
    planned = cli("push", address, "--dry-run").out.splitlines()
    assert planned[0].startswith("would push to 127.0.0.1:")
    assert planned[0].endswith(f"/{other.name}: 2 versions")
    assert planned[1:] == [
        "  it would become a copy of this collection",
        "  main: new -> main@1",
    ]
    assert "bands" not in other.list_collection_names()
    done = cli("push", address, "--json").json
    tip = bands.resolve("HEAD")
    assert {**done, "remote": None} == {
        "remote": None,
        "versions": 2,
        "branches": [{"name": "main", "old": None, "new": {"id": tip.id, "label": "main@1"}}],
        "dry_run": False,
        "tags": [],
        "created": True,
        "caught_up": None,
        "tags_kept": [],
    }
    assert raws(other["bands"]) == raws(bands)


def test_push(cli: Cli, bands: VersionedCollection, copy: VersionedCollection) -> None:
    assert cli("push").out == "up to date with origin\n"
    step(bands, 2)
    assert cli("push", "origin", "main", "-n").out == (
        "would push to origin: 1 version\n  main: main@1 -> main@2\n"
    )
    assert copy.resolve("main").label == "main@1"
    assert cli("push").out == "pushed to origin: 1 version\n  main: main@1 -> main@2\n"
    assert copy.resolve("HEAD").label == "main@2"
    assert raws(copy) == raws(bands)


def test_push_all_branches_and_tags(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    bands.create_branch("dev")
    step(bands, 2)
    bands.tag("v1")
    done = cli("push", "--all", "--tags", "--json").json
    assert ([one["name"] for one in done["branches"]], done["tags"]) == (["dev"], ["v1"])
    assert copy.branches() == bands.branches()
    assert copy.tags().keys() == {"v1"}
    bands.tag("v2")
    assert cli("push", "--tags").out == "pushed to origin: 0 versions\n  tag v2\n"


def test_push_leaves_tags_where_they_are(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    for tag in ("v1", "v2", "same"):
        bands.tag(tag)
    copy.tag("v1", "main@0")
    copy.tag("same", "main@1")
    assert cli("push", "--tags").out == (
        "pushed to origin: 0 versions\n  tag v2\n  tag v1: stays at another version there\n"
    )
    assert cli("push", "--tags").out == (
        "up to date with origin\n  tag v1: stays at another version there\n"
    )
    assert cli("push", "--tags", "--json").json["tags_kept"] == ["v1"]
    assert bands.push(copy, tags=True, dry_run=True).tags_kept == ["v1"]
    assert cli("push", "--json").json["tags_kept"] == []


def test_delete_a_branch_there(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    bands.create_branch("dev")
    step(bands, 2)
    cli("push")
    assert cli("push", "origin", "dev", "--delete", "--dry-run").out == (
        "would push to origin: 0 versions\n  dev: dev@0 -> deleted\n"
    )
    done = cli("push", "origin", "dev", "--delete", "--json").json
    assert done["branches"][0]["new"] is None
    assert list(copy.branches()) == ["main"]
    assert cli("push", "origin", "dev", "--delete", "--json", code=5).error["facts"]["branch"]
    cli("push", "origin", "--delete", code=2)
    cli("push", "origin", "dev", "--all", code=2)


def test_push_leaves_their_documents(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    step(bands, 2)
    edit(copy, "theirs", 2)
    refused = cli("push", "--json", code=4)
    assert refused.error["code"] == "invalid_operation"
    assert copy.resolve("main").label == "main@1"
    cli("push", "--no-checkout")
    assert copy.resolve("main").label == "main@2"
    assert copy.is_detached()
    assert copy.find_one({"_id": 2})["mark"] == "theirs"
    copy.discard_changes()
    planned, done = cli("push", "--dry-run").out, cli("push").out
    assert planned == "would push to origin: 0 versions\n  main: checked out there again\n"
    assert done == planned.replace("would push", "pushed")
    assert (copy.branch, copy.is_detached()) == ("main", False)
    assert cli("push").out == "up to date with origin\n"
    assert cli("push", "--json").json["caught_up"] is None


def test_a_refused_push_and_force(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    step(copy, "theirs")
    assert "pull" in cli("push", code=4).err
    step(bands, "ours")
    refused = cli("push", code=4)
    assert "have diverged" in refused.err
    assert "last seen" in cli("push", "--force", code=4).err
    cli("fetch")
    done = cli("push", "--force", "--json").json
    assert done["branches"][0]["new"]["label"] == bands.resolve("HEAD").label
    assert raws(copy) == raws(bands)


# -- fetch, pull ---------------------------------------------------------------------------


def test_fetch(cli: Cli, bands: VersionedCollection, copy: VersionedCollection) -> None:
    assert cli("fetch").out == "up to date with origin\n"
    step(copy, "theirs")
    tip = copy.resolve("main")
    assert cli("fetch", "--dry-run").out == (
        f"would fetch from origin: 1 version\n  main: main@1 -> {tip.id}\n"
    )
    planned = cli("fetch", "-n", "--json").json
    assert planned["dry_run"] is True
    assert planned["branches"][0]["new"] == {"id": tip.id, "label": None}
    before = raws(bands)
    assert cli("fetch", "origin", "main").out == (
        "fetched from origin: 1 version\n  main: main@1 -> origin/main@2\n"
    )
    assert raws(bands) == before
    assert bands.resolve("origin/main").id == tip.id
    assert cli("log", "origin/main", "--oneline").out.startswith("origin/main@2 ")
    cli("fetch", "origin", "none", code=5)


def test_pull(cli: Cli, bands: VersionedCollection, copy: VersionedCollection) -> None:
    assert cli("pull").out == "up to date with origin\n"
    assert cli("pull", "--json").json["outcome"] == "up_to_date"
    step(copy, 2)
    step(copy, 3)
    tip = copy.resolve("main")
    planned = cli("pull", "--dry-run", "--json").json
    assert (planned["versions"], planned["outcome"], planned["version"]) == (2, None, None)
    assert bands.resolve("HEAD").label == "main@1"
    assert cli("pull", "origin", "main").out == (
        "pulled from origin: 2 versions\n  main: main@1 -> main@3\n"
    )
    step(copy, 4)
    done = cli("pull", "--json").json
    assert done.keys() == {
        "remote", "versions", "branches", "dry_run", "outcome", "version", "created"
    }  # fmt: skip
    assert (done["outcome"], done["version"]["label"]) == ("fast_forward", "main@4")
    assert done["branches"][0]["old"] == {"id": tip.id, "label": "main@3"}
    assert raws(copy) == raws(bands)


def test_pull_needs_a_clean_working_copy(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    step(copy, 2)
    edit(bands, "mine")
    assert cli("pull", "--json", code=4).error["code"] == "invalid_operation"
    assert bands.find_one({"_id": 1})["mark"] == "mine"


def test_pull_from_what_is_not_tracked(cli: Cli, bands: VersionedCollection, address: str) -> None:
    assert "not tracked" in cli("pull", address, code=1).out
    assert cli("pull", address, "--json", code=1).json["outcome"] is None
    assert cli("fetch", address, "--json", code=4).error["code"] == "invalid_operation"


def test_pull_into_what_is_not_tracked(
    there: Cli, bands: VersionedCollection, other: Database[Any], db: Database[Any], server: Any
) -> None:
    uri = f"mongodb://{server.address}/{db.name}?directConnection=true"
    assert there("pull", uri, "--dry-run").out.startswith("would pull from ")
    assert "bands" not in other.list_collection_names()
    done = there("pull", uri, "--json").json
    assert (done["outcome"], done["created"], done["versions"]) == ("created", True, 2)
    assert raws(other["bands"]) == raws(bands)


def test_other_commands_need_a_history(cli: Cli, address: str) -> None:
    for words in (("push",), ("fetch",), ("remotes",), ("add-remote", "origin", address)):
        assert cli(*words, "--json", code=3).error["code"] == "not_tracked"


# -- sides that diverged -------------------------------------------------------------------


@pytest.fixture
def diverged(bands: VersionedCollection, copy: VersionedCollection) -> VersionedCollection:
    """`bands`, ahead of its remote by one version and behind it by one; both made document 2."""
    edit(copy, "theirs", 2)
    copy.register("theirs")
    edit(bands, "ours", 2)
    bands.register("ours")
    return bands


def test_pull_merges(cli: Cli, bands: VersionedCollection, copy: VersionedCollection) -> None:
    step(copy, "theirs")
    edit(bands, "ours", 2)
    bands.register("ours")
    planned = cli("pull", "-n").out
    assert planned.startswith("would pull from origin: 1 version\n  main: main@2 -> ")
    done = cli("pull", "--json").json
    assert (done["outcome"], done["version"]["label"]) == ("merged", "main@3")
    assert len(done["version"]["parents"]) == 2
    cli("push")
    assert raws(copy) == raws(bands)
    step(copy, "again")
    edit(bands, "again", 2)
    bands.register("ours again")
    assert cli("pull").out.splitlines()[-1] == "merged: main@5"


def test_pull_with_conflicts(
    cli: Cli, diverged: VersionedCollection, copy: VersionedCollection
) -> None:
    failed = cli("pull", "--json", code=11)
    assert failed.error["code"] == "auto_merge_failed"
    assert failed.error["facts"]["conflicts"] == 1
    assert "'vc resolve-conflicts'" in failed.error["message"]
    assert "a pull waits for 1 conflict" in cli("status").out
    assert cli("conflicts", "--json").json["conflicts"][0]["theirs"] == "theirs"
    cli("push", code=4)
    cli("resolve-conflict", "--ours")
    assert cli("register").out.startswith("registered main@3: ")
    assert cli("push").out.startswith("pushed to origin: 2 versions\n  main: main@2 -> main@3\n")
    assert copy.find_one({"_id": 2})["mark"] == "ours"


def test_a_pull_is_taken_back(cli: Cli, diverged: VersionedCollection) -> None:
    before, tip = raws(diverged), diverged.resolve("HEAD").id
    cli("pull", code=11)
    cli("abort-merge", "-y")
    assert (raws(diverged), diverged.resolve("main").id) == (before, tip)
    assert not diverged.is_detached()


def test_pull_with_a_policy(cli: Cli, diverged: VersionedCollection) -> None:
    cli("pull", "--resolve", "mark=theirs")
    assert diverged.find_one({"_id": 2})["mark"] == "theirs"


def test_pull_rebases(cli: Cli, diverged: VersionedCollection) -> None:
    done = cli("pull", "--rebase", "--resolver", "theirs", "--json").json
    assert (done["outcome"], done["version"]["label"]) == ("rebased", "main@3")
    assert len(done["version"]["parents"]) == 1
    assert diverged.find_one({"_id": 2})["mark"] == "ours"


def test_pull_takes_the_side_of_the_remote(
    cli: Cli, diverged: VersionedCollection, copy: VersionedCollection
) -> None:
    cli("pull", code=11)
    discard = ("resolve-conflicts", "--discard-local-changes")
    assert cli(*discard, stdin="n\n", code=1).out == "nothing was settled\n"
    assert diverged.has_conflicts()
    cli(*discard, "--theirs", code=2)
    assert cli(*discard, "--yes").out == (
        "all conflicts are settled: main is as it is at the remote\n"
    )
    assert raws(diverged) == raws(copy)
    assert diverged == copy


def test_pull_of_a_branch_that_is_not_checked_out(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    edit(bands, "ours", 2)
    bands.register("ours")
    step(copy, "theirs")
    bands.create_branch("dev")
    step(bands, "dev")
    edit(bands, "not registered", 3)
    before = raws(bands)
    done = cli("pull", "origin", "main", "--json").json
    assert (done["outcome"], done["version"]["label"]) == ("merged", "main@3")
    assert (raws(bands), bands.branch, bands.has_changes()) == (before, "dev", True)
    step(copy, "theirs too")
    bands.discard_changes()
    bands.checkout("main")
    step(bands, "ours too")
    tip = bands.resolve("main")
    bands.checkout("dev")
    before = raws(bands)
    refused = cli("pull", "origin", "main", "--json", code=4)
    assert refused.error["code"] == "invalid_operation"
    assert (raws(bands), bands.branch, bands.resolve("main")) == (before, "dev", tip)


# -- progress ------------------------------------------------------------------------------


def test_progress(
    cli: Cli,
    bands: VersionedCollection,
    copy: VersionedCollection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []

    @contextmanager
    def reporting(console: Any, what: str, wanted: bool, totals: Any) -> Iterator[Any]:
        told.append((what, wanted, totals))
        yield lambda phase, count: told.append((phase, count))

    monkeypatch.setattr(progress, "reporting", reporting)
    step(bands, 2)
    cli("push")
    plan = told.index(("push", True, None))
    run = told.index(("push", True, {"versions": 1}))
    assert plan < run
    assert {("versions", 1), ("changes", 1), ("written", 1)} <= set(told[run + 1 :])
    told.clear()
    step(copy, 3)
    cli("pull", "-q")
    assert ("pull", False, {"versions": 1}) in told
    assert {("versions", 1), ("changes", 1)} <= set(told[2:])


# -- clone ---------------------------------------------------------------------------------


def test_clone(
    there: Cli, bands: VersionedCollection, db: Database[Any], other: Database[Any], server: Any
) -> None:
    bands.create_branch("dev")
    step(bands, 2)
    bands.checkout("main")
    del there.env["VC_COLLECTION"]
    uri = f"mongodb://{server.address}/{db.name}.bands?directConnection=true"
    assert there("clone", uri).out == f"{other.name}.bands is a copy with 3 versions, at main@1\n"
    assert raws(other["bands"]) == raws(bands)
    copy = VersionedCollection(other, "bands")
    assert copy.remotes()[0].url == uri
    assert "tracked already" in there("clone", uri, code=4).err
    copy.drop()
    found = there("clone", uri, "--branch", "dev", "--remote-name", "up", "--json").json
    assert {**found, "version": found["version"]["label"]} == {
        "collection": f"{other.name}.bands",
        "remote": "up",
        "versions": 3,
        "branches": ["dev", "main"],
        "version": "dev@0",
    }


def test_clone_with_a_configured_collection(
    there: Cli, bands: VersionedCollection, db: Database[Any], other: Database[Any], server: Any
) -> None:
    uri = f"mongodb://{server.address}/{db.name}?directConnection=true"
    assert "no branch" in there("clone", uri, "--branch", "none", code=5).err
    assert "bands" not in other.list_collection_names()
    there("clone", uri)
    assert raws(other["bands"]) == raws(bands)
    del there.env["VC_COLLECTION"]
    assert "name the collection" in there("clone", uri, code=2).err
    assert there("clone", "origin", "--json", code=2).error["code"] == "invalid_argument"
    named = uri.replace("?", ".bands?")
    assert "same name" in there("clone", named, "-c", "groups", code=2).err
    assert "not tracked" in there("clone", uri, "-c", "groups", code=4).err
    assert there("clone", named, "--remote-name", "a/b", code=2).out == ""


def test_a_clone_needs_room(
    there: Cli, bands: VersionedCollection, db: Database[Any], other: Database[Any], server: Any
) -> None:
    other["bands"].insert_one({"_id": "precious"})
    uri = f"mongodb://{server.address}/{db.name}?directConnection=true"
    assert "nothing was written" in there("clone", uri, code=4).err
    assert other["bands"].find_one() == {"_id": "precious"}


# -- names ---------------------------------------------------------------------------------


def test_remotes(cli: Cli, bands: VersionedCollection, address: str) -> None:
    assert cli("remotes").out == ""
    assert cli("remotes", "--json").json == {"remotes": []}
    assert cli("add-remote", "origin", address).out == f"origin is {address}\n"
    known = cli("remotes").out.splitlines()[1]
    assert known.split() == ["origin", address, "never"]
    found = cli("add-remote", "backup", "mongodb://u:${PW}@h/db", "--json").json
    assert found == {"added": "backup", "url": "mongodb://u:***@h/db"}
    cli("push")
    backup, origin = cli("remotes", "--json").json["remotes"]
    assert backup == {"name": "backup", "url": found["url"], "branches": {}, "seen": None}
    tip = bands.resolve("main")
    assert origin["branches"] == {"main": {"id": tip.id, "label": "main@1"}}
    assert origin["seen"] is not None
    assert "main main@1" in cli("remotes").out
    assert cli("remove-remote", "backup").out == "backup is forgotten\n"
    assert cli("remove-remote", "origin", "--json").json == {"removed": "origin"}
    gone = cli("remove-remote", "origin", "--json", code=5)
    assert gone.error["code"] == "no_such_remote"
    assert "'vc remotes'" in gone.error["message"]


def test_a_remote_that_was_never_added(cli: Cli, bands: VersionedCollection, address: str) -> None:
    cli("push", address)
    assert "(never added)" in cli("remotes").out
    assert cli("remotes", "--json").json["remotes"][0]["url"] is None


USAGE = (
    ("add-remote", "origin"),
    ("add-remote", "a/b", "mongodb://h/db"),
    ("add-remote", "", "mongodb://h/db"),
    ("add-remote", "origin", "h/db"),
    ("add-remote", "origin", "mongodb://h"),
    ("add-remote", "origin", "mongodb://"),
    ("add-remote", "taken", "mongodb://h/db"),
    ("push", "mongodb://h"),
    ("push", "mongodb://h:port/db"),
    ("push", "mongodb://h/db.$x"),
    ("push", "mongodb://u:${NOT_SET_ANYWHERE}@h/db"),
    ("pull", "taken", "--resolver", "best"),
    ("clone",),
    ("clone", "mongodb://h", "-c", "groups"),
)


def test_usage(cli: Cli, bands: VersionedCollection) -> None:
    bands.add_remote("taken", "mongodb://h/db")
    for words in USAGE:
        failed = cli(*words, "--json", code=2)
        assert failed.out == "", words
        assert failed.error["exit"] == 2, words
        assert [one.name for one in bands.remotes()] == ["taken"], words


def test_no_such_remote(cli: Cli, bands: VersionedCollection) -> None:
    for verb in ("push", "pull", "fetch"):
        failed = cli(verb, "--json", code=5)
        assert failed.error["code"] == "no_such_remote", verb
        assert "'vc add-remote'" in failed.error["message"], verb


def test_itself(cli: Cli, bands: VersionedCollection, server: Any, db: Database[Any]) -> None:
    uri = f"mongodb://{server.address}/{db.name}?directConnection=true"
    assert "are the same" in cli("push", uri, code=4).err
    assert "same name" in cli("push", uri.replace("?", ".groups?"), code=2).err


# -- status, branches ----------------------------------------------------------------------


def test_status_beside_remotes(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    def last() -> str:
        return cli("status").out.splitlines()[-1]

    assert last() == "up to date with origin/main"
    step(bands, "ours")
    assert last() == "1 ahead of origin/main: 'vc push' brings them there"
    step(copy, "theirs")
    step(copy, "theirs too")
    cli("fetch")
    assert last().startswith("diverged from origin/main: 1 ahead, 2 behind; 'vc pull'")
    found = cli("status", "--json").json["remotes"]
    assert found == [{"name": "origin/main", "ahead": 1, "behind": 2}]
    bands.reset("main@1", hard=True)
    assert last() == "2 behind origin/main: 'vc pull' brings them here"
    bands.checkout("main@0")
    assert cli("status", "--json").json["remotes"] == []


def test_branches_of_remotes(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    copy.create_branch("dev")
    step(copy, "theirs")
    cli("push")
    assert "dev" not in cli("branches", "--remotes").out
    cli("fetch")
    bands.delete_version_subtree("origin/dev")
    lines = cli("branches", "--remotes").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["origin/dev", str(copy.resolve("dev").id), "(not", "fetched)"],
        ["origin/main", "main@1", "v1"],
    ]
    unknown, known = cli("branches", "--remotes", "--json").json["branches"]
    assert unknown == {"name": "origin/dev", "current": False, "version": None}
    assert (known["name"], known["version"]["label"]) == ("origin/main", "main@1")
    cli("fetch")
    assert "origin/dev@0" in cli("branches", "--remotes").out
    assert "origin" not in cli("branches").out


def test_the_log_names_branches_of_remotes(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    step(bands, 2)
    newest, older, _ = cli("log", "--oneline").out.splitlines()
    assert "(HEAD -> main)" in newest
    assert "(origin/main)" in older
    cli("push")
    assert "(HEAD -> main, origin/main)" in cli("log", "--graph").out.splitlines()[0]


def test_status_beside_what_is_not_here(
    cli: Cli, bands: VersionedCollection, copy: VersionedCollection
) -> None:
    step(copy, "theirs")
    cli("fetch")
    bands.delete_version_subtree("origin/main")
    assert "'vc fetch'" in cli("status").out.splitlines()[-1]
    found = cli("status", "--json").json["remotes"]
    assert found == [{"name": "origin/main", "ahead": None, "behind": None}]


# -- secrets -------------------------------------------------------------------------------


WITH_A_PASSWORD = (
    ("push", NOWHERE),
    ("pull", NOWHERE),
    ("fetch", NOWHERE),
    ("push", NOWHERE.replace("hush", "${HUSH}")),
    ("push", "stored"),
    ("clone", NOWHERE, "-c", "groups"),
    ("add-remote", "origin", NOWHERE),
    ("add-remote", NOWHERE, "origin"),
    ("add-remote", "origin", "mongodb://ada:hu@hush@h/db"),
    ("add-remote", "origin", "mongodb://ada:x/hush@h/db"),
    ("add-remote", "origin", "mongodb://h/db?tlsCertificateKeyFilePassword=hush"),
    ("push", "mongo://ada:hush@h/db"),
    ("push", "mongodb://ada:x/hush@h/db"),
    ("push", "mongodb://ada:hu@hush@h/db"),
    ("push", NOWHERE, "main", "extra"),
    ("remove-remote", NOWHERE),
)


def test_passwords_are_never_shown(cli: Cli, bands: VersionedCollection) -> None:
    stored = NOWHERE.replace("hush", "${HUSH}")
    bands.add_remote("stored", stored)
    cli.env["HUSH"] = "hush"
    for words, option in product(WITH_A_PASSWORD, ((), ("--json",))):
        failed = cli(*words, *option, code=None)
        assert failed.code in (2, 5, 8), words
        assert "hush" not in failed.out + failed.err, words
    assert [one.url for one in bands.remotes() if one.url] == [stored]


def test_a_password_is_not_kept(tmp_path: Path) -> None:
    with embedded.start(auth=True, durable=False) as server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            bands = tracked(client.music)
            tip = bands.resolve("HEAD").id
            for name, role in (("ada", "readWrite"), ("eve", "read")):
                granted = [{"role": role, "db": "music"}]
                client.music.command("createUser", name, pwd="hush", roles=granted)
        with embedded.start(durable=False) as own:
            cli = Cli(tmp_path / "home", {"VC_URI": own.uri, "VC_DB": "copy", "HUSH": "hush"})
            uri = f"mongodb://ada:hush@{server.address}/music.bands?directConnection=true"
            cloned = cli("clone", uri)
            assert "'vc add-remote'" in cloned.out
            cli.env["VC_COLLECTION"] = "bands"
            assert cli("remotes", "--json").json["remotes"][0]["url"] is None
            kept = uri.replace("ada:hush", "eve:${HUSH}").replace(".bands", "")
            outputs = [cloned, cli("add-remote", "origin", kept), cli("remotes")]
            outputs.append(cli("fetch"))
            with MongoClient[dict[str, Any]](own.uri) as client:
                step(VersionedCollection(client.copy, "bands"), 1)
                stored = json.dumps(list(client.copy["__remotes_bands"].find()), default=str)
            refused = cli("push", "--json", code=7)
            assert refused.error["code"] == "permission_denied"
            outputs += [refused, cli("push", uri)]
            cli.env["HUSH"] = "wrong hush"
            outputs.append(cli("fetch", code=7))
        assert "hush" not in stored.replace("${HUSH}", "")
        assert not any("hush" in one.out + one.err for one in outputs)
        with MongoClient[dict[str, Any]](server.uri) as client:
            assert VersionedCollection(client.music, "bands").resolve("main").parents == (tip,)


def test_how_addresses_are_shown() -> None:
    assert shown("mongodb://h/db") == "mongodb://h/db"
    assert shown("mongodb://u:${PW}@h/db") == "mongodb://u:***@h/db"
    assert shown("mongodb://h/?proxyPassword=x&a=1") == "mongodb://h/?proxyPassword=***&a=1"
    assert references_in("mongodb://${U}:${keyring:s:u}@${H}/db") == ["U", "H"]
    assert secrets_of("mongodb://u:${PW}@h/db", None) == ["u%3A%24%7BPW%7D", "u:${PW}"]
