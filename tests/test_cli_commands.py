"""Every command that works on a collection: what it does, prints, and returns."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest
from bson import ObjectId
from cli_support import Cli
from pymongo.database import Database

from versioned_collection import VersionedCollection
from versioned_collection.cli.command import COMMANDS

VERSION = {
    "id", "label", "number", "branch", "parents", "timestamp", "message", "author", "metadata",
    "stats", "fingerprint", "checksum", "thinned_out",
}  # fmt: skip


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """Two versions: main@0 with documents 1 and 2, main@1 with 1 changed and 3 added."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "name": "Pink Floyd", "albums": 14}, {"_id": 2, "name": "Can"}])
    bands.init("first import", author="Ada")
    db.bands.update_one({"_id": 1}, {"$set": {"albums": 15}})
    db.bands.insert_one({"_id": 3, "name": "Neu!"})
    bands.register("more", author={"name": "Bob", "email": "b@x"}, metadata={"k": ObjectId()})
    return bands


# Recording


def test_init(cli: Cli, db: Database[Any]) -> None:
    db.bands.insert_many([{"_id": 1}, {"_id": 2}])
    words = ("-m", "first", "--author", '{"name": "Ada"}', "--metadata", '{"at": {"$date": 0}}')
    found = cli("init", *words, "--json").json["version"]
    assert set(found) == VERSION
    assert (found["label"], found["message"], found["author"]) == (
        "main@0",
        "first",
        {"name": "Ada"},
    )
    assert found["metadata"]["at"].year == 1970
    assert found["stats"]["inserted"] == 2
    assert cli("init", code=4).err.startswith("error[already_initialised]: ")


def test_init_for_people(cli: Cli, db: Database[Any]) -> None:
    db.bands.insert_one({"_id": 1})
    cli.env["VC_AUTHOR"] = "Ada"
    assert cli("init").out == f"tracking {db.name}.bands: 1 document in version main@0\n"
    assert cli("log", "--json").json["versions"][0]["author"] == "Ada"


def test_register(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    db.bands.delete_one({"_id": 2})
    assert cli("register", "-m", "less", "--author", "Eve").out == "registered main@2: 1 deleted\n"
    assert bands.resolve("HEAD").author == "Eve"
    nothing = cli("register", "-m", "again", "--json", code=1)
    assert nothing.json == {"registered": False, "version": None}
    db.bands.insert_one({"_id": 9})
    found = cli("register", "-m", "x", "--json").json
    assert found["registered"] is True
    assert found["version"]["number"] == 3


def test_register_on_a_new_branch_when_detached(
    cli: Cli, bands: VersionedCollection, db: Database[Any]
) -> None:
    cli("checkout", "0")
    db.bands.insert_one({"_id": 9})
    assert cli("register", "-m", "x", code=2).err.startswith("error[invalid_argument]: ")
    assert cli("register", "-m", "x", "--branch", "side").out == "registered side@0: 1 inserted\n"
    assert bands.branch == "side"


# Moving


def test_checkout(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("checkout", "HEAD~1").out == "HEAD is detached at main@0: first import\n"
    assert bands.find_one(1)["albums"] == 14
    found = cli("checkout", "--branch", "main", "--json").json
    assert (found["branch"], found["detached"]) == ("main", False)
    assert set(found["version"]) == VERSION
    assert cli("checkout", "0", "--branch", "main").code == 0
    assert cli("checkout", "main@1").out == "on branch main, version main@1: more\n"
    assert cli("checkout", "main").code == 0


def test_checkout_creates_a_branch(cli: Cli, bands: VersionedCollection) -> None:
    cli("checkout", "0", "-b", "side")
    assert (bands.branch, bands.version) == ("side", -1)
    cli("checkout", "--new-branch", "other")
    assert bands.branches() == {"main", "side", "other"}
    assert (
        cli("status").out.splitlines()[0].endswith("on branch other (no version of its own yet)")
    )


def test_checkout_refuses(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("checkout", code=2).err.startswith("error[usage]: check out what?")
    assert cli("checkout", "nowhere", code=5).err.startswith("error[no_such_version]: ")
    assert cli("checkout", "7", code=5).code == 5
    assert cli("checkout", "--branch", "x", code=5).err.startswith("error[no_such_branch]: ")
    db.bands.insert_one({"_id": 9})
    failed = cli("checkout", "0", "--json", code=4)
    assert failed.error["code"] == "invalid_operation"
    assert failed.error["exit"] == 4
    assert failed.out == ""


def test_discard_changes(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("discard-changes", "--yes", code=1).out == "nothing changed since HEAD\n"
    db.bands.delete_many({})
    assert cli("discard-changes", stdin="n\n", code=1).out == "nothing was discarded\n"
    assert "pass --yes" in cli("discard-changes", stdin="", code=2).err
    refused = cli("discard-changes", "--json", stdin="", code=2).error  # nothing else stands there
    assert refused["code"] == "usage"
    assert f"'Lose the uncommitted changes of {db.name}.bands?'" in refused["message"]
    assert cli("discard-changes", "--json", stdin="n\n", code=1).err == ""
    assert db.bands.count_documents({}) == 0
    asked = cli("discard-changes", stdin="yes\n")
    assert asked.err == f"Lose the uncommitted changes of {db.name}.bands? [y/N] "
    assert asked.out == "back to main@1\n"
    assert db.bands.count_documents({}) == 3
    db.bands.delete_many({})
    assert cli("discard-changes", "-y", "--json").json == {"discarded": True}


def test_delete_version_subtree(cli: Cli, bands: VersionedCollection) -> None:
    refused = cli("delete-version-subtree", "1", stdin="\n", code=1)
    assert refused.err == "Remove main@1 and 0 successor(s)? [y/N] "
    found = cli("delete-version-subtree", "1", "--branch", "main", "--yes", "--json").json
    assert (found["deleted"], found["version"]["label"]) == (1, "main@0")
    assert "drop" in cli("delete-version-subtree", "HEAD", stdin="n\n", code=1).err
    found = cli("delete-version-subtree", "HEAD", "--yes", "--json").json
    assert found == {"deleted": 1, "version": None}
    assert not bands.is_tracked()


def test_rename(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    del cli.env["VC_COLLECTION"]
    cli("use", "bands")
    assert cli("rename", "groups", "--json").json == {"name": "groups"}
    assert VersionedCollection(db, "groups").is_tracked()
    assert cli("status", "--json").json["collection"] == f"{db.name}.groups"
    assert cli("rename", "", code=2).code == 2


def test_drop(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("drop", stdin="no\n", code=1).out == "nothing was dropped\n"
    assert cli("drop", "--yes", "--json").json == {"dropped": True}
    assert db.list_collection_names() in ([], ["__vc_lock"])
    cli("drop", "--yes", code=3)


# Looking


def test_status(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    found = cli("status", "--json").json
    assert found == {
        "conflicts": 0,
        **bands.status(),
        "collection": f"{db.name}.bands",
        "remotes": [],
    }
    db.bands.update_one({"_id": 1}, {"$set": {"albums": 16}})
    cli("stash")
    db.bands.delete_one({"_id": 1})
    lines = cli("status").out.splitlines()
    assert lines[0] == f"{db.name}.bands: on branch main"
    assert lines[1] == "version main@1: more"
    assert lines[2] == "uncommitted: 1 deleted"
    assert "there is a stash" in lines[3]
    assert lines[-1] == "changes are noticed by change stream"


def test_status_of_what_is_not_tracked(cli: Cli, db: Database[Any]) -> None:
    assert (
        cli("status", code=3).out == f"{db.name}.bands: not tracked; 'vc init' starts a history\n"
    )
    found = cli("status", "--json", code=3).json
    assert found == {"tracked": False, "collection": f"{db.name}.bands"}
    assert db.list_collection_names() == []


def test_log(cli: Cli, bands: VersionedCollection) -> None:
    cli("tag", "old", "HEAD~1")
    found = cli("log", "--json").json["versions"]
    assert [one["label"] for one in found] == ["main@1", "main@0"]
    assert set(found[0]) == VERSION | {"head", "branches", "tags"}
    assert (found[0]["head"], found[0]["branches"], found[0]["tags"]) == (True, ["main"], [])
    assert (found[1]["head"], found[1]["branches"], found[1]["tags"]) == (False, [], ["old"])
    newest = bands.resolve("HEAD")
    text = cli("log").out
    assert text.startswith(f"version main@1 {newest.checksum[:12]} (HEAD -> main)\n")
    assert "\nAuthor:   Bob <b@x>\n" in text
    assert "\nChanges:  1 inserted, 1 updated\n" in text
    assert "\n\n    more\n" in text
    assert "(tag: old)" in text
    lines = cli("log", "--oneline").out.splitlines()
    assert lines[0] == f"main@1 {newest.checksum[:8]} (HEAD -> main) more"
    assert cli("get-log", "--oneline").out.splitlines() == lines


def test_log_filters(cli: Cli, bands: VersionedCollection) -> None:
    def labels(*words: str) -> list[str]:
        return [one["label"] for one in cli("log", *words, "--json").json["versions"]]

    assert labels("-n", "1") == ["main@1"]
    assert labels("--limit", "0") == []
    assert labels("--limit", str(10**20)) == labels()
    assert labels("HEAD~1") == ["main@0"]
    assert labels("--branch", "main") == ["main@1", "main@0"]
    assert labels("--author", "Ada") == ["main@0"]
    assert labels("--author", "b@x") == ["main@1"]
    assert labels("--document", "3") == ["main@1"]
    assert labels("--document", "1")[-1] == labels("--document", "1", "--graph")[-1] == "main@0"
    assert labels("--document", '{"$numberLong": "3"}') == ["main@1"]
    assert labels("--document", "three") == []
    assert labels("--document", "null") == []
    assert labels("--since", "2000-01-01", "--until", "2001-01-01T00:00Z") == []
    assert labels("--since", "2000-01-01") == ["main@1", "main@0"]
    assert labels("--graph", "--author", "Ada") == ["main@0"]
    assert cli("log", "--branch", "x", code=5).code == 5
    assert cli("log", "HEAD", "--branch", "main", code=2).code == 2
    assert cli("log", "--since", "yesterday", code=2).code == 2
    assert cli("log", "--limit", "-1", code=2).code == 2
    assert cli("log", "--document", "1" * 30, code=2).code == 2


def test_log_graph(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    cli("checkout", "0", "-b", "side")
    db.bands.insert_one({"_id": 9})
    cli("register", "-m", "aside")
    cli("tag", "t")
    lines = cli("log", "--graph").out.splitlines()
    drawn = [line.partition("  20")[0] for line in lines]
    sums = {name: bands.resolve(name).checksum[:8] for name in ("side", "main", "main@0")}
    assert drawn == [
        f"* side@0 {sums['side']} (HEAD -> side, tag: t) aside",
        f"| * main@1 {sums['main']} (main) more",
        "|/",
        f"* main@0 {sums['main@0']} first import",
    ]
    assert len(cli("log", "--graph", "main").out.splitlines()) == 2
    assert len(cli("log", "--graph", "-n", "1").out.splitlines()) == 1
    assert len(cli("log", "--graph", "--json").json["versions"]) == 3
    cli("checkout", "main@0")
    assert "main@0" in next(
        line for line in cli("log", "--graph").out.splitlines() if "(HEAD)" in line
    )


def test_nothing_in_a_message_drives_the_terminal(cli: Cli, bands: VersionedCollection) -> None:
    bands.insert_one({"_id": "\x1b[2J\u202e", "x": "\x9b31m"})
    bands.register("[red]\x1b]0;title\x07", author="\x1b[1m", metadata={"\x1b": "\x1b"})
    for words in (("log",), ("log", "--graph"), ("diff", "HEAD~1"), ("status",), ("branches",)):
        shown = cli(*words).out
        assert not set(shown) & set("\x1b\x07\x9b\u202e"), words
    assert "[red]" in cli("log").out


def test_resolve(cli: Cli, bands: VersionedCollection) -> None:
    found = cli("resolve", "HEAD~1", "--json").json["version"]
    assert found["id"] == bands.resolve("main@0").id
    for text in ("0", "main@0", str(found["id"]), found["checksum"][:10]):
        assert cli("resolve", text, "--json").json["version"]["id"] == found["id"]
    assert cli("resolve", "1", "--branch", "main", "--json").json["version"]["number"] == 1
    assert f"checksum: {found['checksum']}" in cli("resolve", "HEAD~1").out
    cli("resolve", "HEAD~9", code=5)


def test_diff(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("diff").out == ""
    db.bands.update_one({"_id": 1}, {"$set": {"albums": 16}})
    text = cli("diff").out
    assert text.startswith("update 1\n--- main@1\n+++ working copy\n")
    assert bands.diff()[1] in text
    assert '-  "albums": 15\n+  "albums": 16\n' in text
    reverse = cli("diff", "--direction", "to").out
    assert '-  "albums": 16\n+  "albums": 15\n' in reverse
    both = cli("diff", "--direction", "bidirectional", "--json").json
    assert both["a"] == "main@1"
    assert both["b"] == "working copy"
    assert both["stat"] == {"inserted": 0, "updated": 1, "deleted": 0}
    expected = bands.diff(direction="bidirectional")
    assert both["diff"] == [
        {"document_id": 1, "op": "update", **{way: expected[way][1] for way in ("from", "to")}}
    ]


def test_diff_of_two_revisions(cli: Cli, bands: VersionedCollection) -> None:
    found = cli("diff", "main@0", "main@1", "--json").json
    assert (found["a"], found["b"]) == ("main@0", "main@1")
    assert [(one["document_id"], one["op"]) for one in found["diff"]] == [
        (1, "update"),
        (3, "insert"),
    ]
    assert cli("diff", "main@1", "0", "--stat").out == "M 1\nD 3\n1 updated, 1 deleted\n"
    assert cli("diff", "0", "--branch", "main", "--stat", "--json").json["diff"] == []
    assert cli("diff", "--branch", "main", "--stat").out == "no documents\n"
    assert cli("diff", "0", "--exit-code", "--stat", code=1).code == 1
    assert cli("diff", "--exit-code").code == 0


def test_diff_deep(cli: Cli, bands: VersionedCollection) -> None:
    found = cli("diff", "main@0", "--deep", "--json").json["diff"]
    changed = {"root['albums']": {"new_value": 15, "old_value": 14}}
    assert found[0]["from"] == {"values_changed": changed}
    assert '"new_value": 15' in cli("diff", "main@0", "--deep").out


def test_diff_refuses(cli: Cli, bands: VersionedCollection) -> None:
    cli("diff", "--direction", "sideways", code=2)
    cli("diff", "main", "main", "--branch", "main", code=2)
    cli("diff", "nowhere", code=5)
    cli("diff", "0", "nowhere", code=5)
    cli("diff", "--branch", "nowhere", code=5)


def test_changes(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("changes", "--json").json == {"changes": []}
    found = cli("changes", "0", "1", "--json").json["changes"]
    assert found[0]["rows"] == [
        {"path": ["albums"], "action": "values_changed", "value": 15, "old_value": 14}
    ]
    assert found[1]["old"] is None
    assert found[1]["new"] == {"_id": 3, "name": "Neu!"}
    assert cli("changes", "0", "1", "--limit", "1").out == "M 1\n"
    assert cli("changes", "1", "0", "--exit-code", code=1).out == "M 1\nD 3\n"
    db.bands.insert_one({"_id": ObjectId("0" * 24)})
    assert cli("changes").out == 'A {"$oid": "000000000000000000000000"}\n'


# Branches and tags


def test_branches(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("create-branch", "side").out == "on the new branch side, at main@1\n"
    made = cli("branch", "other", "--json").json
    assert made["branch"] == "other"
    assert made.keys() <= {key for one in COMMANDS if one.words == "branch" for key in one.keys}
    found = cli("branches", "--json").json["branches"]
    assert [(one["name"], one["current"]) for one in found] == [
        ("main", False),
        ("other", True),
        ("side", False),
    ]
    assert {one["version"]["label"] for one in found} == {"main@1"}
    assert cli("branch", "--json").json["branches"] == found
    assert [line.split()[0] for line in cli("branches").out.splitlines()] == [
        "branch", "main", "*", "side",
    ]  # fmt: skip
    assert cli("rename-branch", "side", "aside", "--json").json == {"old": "side", "new": "aside"}
    assert cli("delete-branch", "aside", "--json").json == {"deleted": "aside"}
    assert bands.branches() == {"main", "other"}
    for words, code in (
        (("create-branch", "main"), 2),
        (("branch", "__x"), 2),
        (("delete-branch", "aside"), 5),
        (("delete-branch", "other"), 4),
        (("rename-branch", "aside", "x"), 5),
        (("rename-branch", "other", "main"), 2),
    ):
        cli(*words, code=code)


def test_tags(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("tags").out == ""
    assert cli("tag", "v1", "HEAD~1", "-m", "the first").out == "main@0 is tagged v1\n"
    assert cli("tag", "v2", "--json").json["version"]["label"] == "main@1"
    found = cli("tags", "--json").json["tags"]
    assert [(one["name"], one["version"]["label"]) for one in found] == [
        ("v1", "main@0"),
        ("v2", "main@1"),
    ]
    assert cli("tags").out.splitlines()[1].split() == ["v1", "main@0", "first", "import"]
    assert cli("delete-tag", "v1", "--json").json == {"deleted": "v1"}
    cli("delete-tag", "v1", code=5)
    cli("tag", "v2", code=2)
    cli("tag", "v3", "nowhere", code=5)


def test_names_of_digits(cli: Cli, bands: VersionedCollection) -> None:
    """Digits alone are what any other text may be, where the branch has no such number."""
    cli("tag", "2024", "main@0")
    assert cli("at", "2024", "--count").out == "2\n"
    cli("create-branch", "77")
    cli("checkout", "main")
    assert cli("checkout", "77").out == "on branch 77, version main@1: more\n"
    assert cli("merge", "77", "--json").json["outcome"] == "up_to_date"
    refused = cli("show", "78", "--json", code=5).error
    assert (refused["code"], refused["facts"]["version"]) == ("no_such_version", 78)
    assert cli("show", "9" * 5000, "--json", code=5).error["code"] == "no_such_version"


def test_checksums_of_digits(cli: Cli, bands: VersionedCollection) -> None:
    log, ids = bands.database["__log_bands"], [version.id for version in bands.log()]
    for n, id_ in enumerate(ids):
        log.update_one({"_id": id_}, {"$set": {"checksum": f"8102718{n}" + "0" * 56}})
    assert cli("resolve", "81027181", "--json").json["version"]["label"] == "main@0"
    assert cli("diff", "81027181..81027180", "--json").json["b"] == "main@1"
    assert cli("show", "8102", "--json", code=5).error["code"] == "ambiguous_revision"


@pytest.mark.parametrize("kind", ["create-branch", "tag"])
def test_a_number_that_is_a_name(cli: Cli, bands: VersionedCollection, kind: str) -> None:
    """Neither of the two is taken for the other."""
    cli("checkout", "main~1")
    cli(kind, "1")
    cli("checkout", "main")
    for words in ("merge 1", "checkout 1", "at 1", "tag other 1", "diff 0 1", "reset 1 --hard"):
        refused = cli(*words.split(), "--json", code=5).error
        assert refused["code"] == "ambiguous_revision"
        assert refused["facts"]["candidates"] == ["main@1", "1~0"]
    assert bands.tags().keys() == ({"1"} if kind == "tag" else set())
    assert (bands.branch, bands.version, bands.is_detached()) == ("main", 1, False)
    assert cli("show", "main@1", "--json").json["version"]["label"] == "main@1"
    assert cli("resolve", "1", "--branch", "main", "--json").json["version"]["label"] == "main@1"
    went = cli("checkout", "1~0", "--json").json
    assert went["version"]["label"] == "main@0"
    assert (went["branch"] == "1") == (kind == "create-branch")


# Setting aside


def test_stash(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("stash", code=1).out == "nothing changed since HEAD\n"
    assert cli("stash-apply", code=1).out == "there is no stash\n"
    assert cli("stash-discard", "--yes", code=1).out == "there is no stash\n"
    db.bands.insert_one({"_id": 9})
    assert cli("stash", "--json").json == {"stashed": True}
    assert db.bands.count_documents({}) == 3
    db.bands.insert_one({"_id": 8})
    assert "--overwrite" in cli("stash", code=4).err
    cli("stash-apply", "--overwrite", code=4)
    cli("stash", "--overwrite")
    assert cli("stash-apply", "--json").json == {"applied": True}
    assert db.bands.find_one({"_id": 8})
    assert not db.bands.find_one({"_id": 9})
    cli("stash")
    assert cli("stash-discard", stdin="n\n", code=1).out == "nothing was discarded\n"
    assert bands.has_stash()
    assert cli("stash-discard", stdin="y\n").out == "discarded\n"
    assert not bands.has_stash()


# Care


def test_verify(cli: Cli, bands: VersionedCollection, db: Database[Any]) -> None:
    assert cli("verify").out == "no problems\n"
    assert cli("verify", "--json").json == {"ok": True, "problems": []}
    db["__log_bands"].update_one({"number": 0}, {"$set": {"message": "forged"}})
    found = cli("verify", "--json", code=9).json
    assert found["ok"] is False
    assert set(found["problems"][0]) == {"kind", "message", "facts"}
    assert cli("verify", code=9).out != ""


def test_size_and_gc(cli: Cli, bands: VersionedCollection) -> None:
    found = cli("size", "--json").json["size"]
    assert found["total"] == sum(found.values()) - found["total"] > 0
    assert cli("size").out.splitlines()[-1].startswith("total")
    assert set(cli("size", "--per-branch", "--json").json["size"]) == {"main"}
    removed = cli("gc", "--json").json["removed"]
    assert {"versions_without_log_entry", "stashes", "conflicts"} <= removed.keys()
    assert set(removed.values()) == {0}
    assert "stashes: 0 removed" in cli("gc").out


def test_show(cli: Cli, bands: VersionedCollection) -> None:
    bands.tag("here")
    bands.insert_one({"_id": "uncommitted"})
    lines = cli("show").out.splitlines()
    assert lines[0].startswith("version main@1 ")
    assert lines[0].endswith("(HEAD -> main, tag: here)")
    parent = cli("diff", "main@0", "main@1").out.splitlines()
    assert lines[-len(parent) :] == parent
    assert "uncommitted" not in cli("show", "here").out
    assert (
        cli("show", "--stat").out.splitlines()[-1]
        == cli("diff", "main@0", "main@1", "--stat").out.splitlines()[-1]
    )
    found = cli("show", "HEAD~1", "--json").json
    assert (found["version"]["label"], found["diff"]) == ("main@0", [])
    found = cli("show", "--json").json
    assert found["diff"] == cli("diff", "main@0", "main@1", "--json").json["diff"]
    cli("show", "main@9", code=5)


def test_shell(cli: Cli, bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    typed = ("collection.version", "Retention(keep_last=3).keep_last", "db == client[db.name]")
    found = cli("shell", stdin="".join(f"{line}\n" for line in typed))
    assert f"collection: {bands.full_name}" in found.err
    assert [line.replace(">>> ", "") for line in found.out.splitlines()][:3] == ["1", "3", "True"]
    assert cli("shell", "-e", "print(collection.branch)").out == "main\n"
    assert cli("shell", "-e", "collection.checkout(99)", code=5).out == ""
    assert cli("shell", "--json", "-e", "pass").json == {"collection": bands.full_name}


def test_a_mistake_in_the_code_of_a_shell(cli: Cli, bands: VersionedCollection) -> None:
    code = "def half(n):\n    return n / 0\nhalf(1)"
    told = cli("shell", "-e", code, code=1, traced=True).err.splitlines()
    assert told[0] == "Traceback (most recent call last):"
    assert told[-1] == "ZeroDivisionError: division by zero"
    assert "    return n / 0" in told
    assert all("versioned_collection" not in line for line in told)
    assert "SyntaxError" in cli("shell", "-e", "1 +", code=1).err
    error = cli("shell", "--json", "-e", "1/0", code=1, traced=True).error
    assert (error["code"], error["exit"]) == ("python", 1)
    assert error["message"] == "ZeroDivisionError: division by zero"


def test_thin_out(cli: Cli, bands: VersionedCollection) -> None:
    for turn in range(3):
        bands.insert_one({"turn": turn})
        bands.register(f"turn {turn}")
    cli("thin-out", code=1)
    cli("thin-out", "--keep-last", "0", code=2)
    for bad in ("30 days", "x", "-3d", ""):
        assert "takes an age such as" in cli("thin-out", "--daily-after", bad, code=2).err
    assert cli("thin-out", "--daily-after", "30d", "--weekly-after", "8w", code=1).out == (
        "0 versions went, 5 are left\n"
    )
    assert cli("thin-out", "--keep-last", "1", "--dry-run").out == (
        "3 versions would go, 2 are left\nversions: main@1, main@2, main@3\n"
    )
    cli("thin-out", "--keep-last", "1", stdin="n\n", code=1)
    found = cli("thin-out", "--keep-last", "2", "--yes", "--json").json
    assert found == {
        "versions": ["main@1", "main@2"],
        "kept": 3,
        "tags": [],
        "dry_run": False,
    }
    assert "Stands for 2 more, which were thinned out" in cli("log", "main@3", "-n", "1").out
    assert cli("log", "--json").json["versions"][1]["thinned_out"] == 2
    bands.tag("kept", "main@3")
    done = cli("thin-out", "--keep-last", "1", "--drop-tags", "-y").out.splitlines()
    assert done == ["1 version went, 2 are left", "versions: main@3", "tags: kept"]
    assert "main@4 is the next version that was kept" in cli("checkout", "main@3", code=5).err


def test_listen(cli: Cli, bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("listen", "--count", "2", "--interval", "0", "--json").json == {"looks": 2}
    cli("listen", "--count", "0", code=2)

    def interrupted(times: int) -> Any:
        def listen(self: Any, interval: float, stop: Any) -> int:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            return 1

        return listen

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        monkeypatch.setattr(VersionedCollection, "listen", interrupted(1))
        assert cli("listen").out == "looked 1 times\n"
        monkeypatch.setattr(VersionedCollection, "listen", interrupted(2))
        cli("listen", code=130)
    finally:
        signal.signal(signal.SIGINT, before)


# All of them


UNTRACKED = [
    ("register", "-m", "x"),
    ("checkout", "0"),
    ("discard-changes", "-y"),
    ("delete-version-subtree", "0", "-y"),
    ("rename", "x"),
    ("drop", "-y"),
    ("thin-out", "--keep-last", "1"),
    ("log",),
    ("show",),
    ("resolve", "HEAD"),
    ("changes",),
    ("diff",),
    ("branches",),
    ("create-branch", "x"),
    ("branch",),
    ("delete-branch", "x"),
    ("rename-branch", "x", "y"),
    ("tags",),
    ("tag", "x"),
    ("delete-tag", "x"),
    ("stash",),
    ("stash-apply",),
    ("stash-discard", "-y"),
    ("merge", "side"),
    ("cherry-pick", "side"),
    ("revert", "side"),
    ("reset", "side"),
    ("pull",),
    ("fetch",),
    ("push",),
    ("conflicts",),
    ("resolve", "--ours"),
    ("resolve-conflict", "--ours"),
    ("resolve-conflicts", "--theirs"),
    ("abort-merge", "-y"),
    ("undo",),
    ("reflog",),
    ("verify",),
    ("size",),
    ("gc",),
    ("listen", "--count", "1"),
]


@pytest.mark.parametrize("words", UNTRACKED, ids=" ".join)
def test_untracked(cli: Cli, db: Database[Any], words: tuple[str, ...]) -> None:
    failed = cli(*words, "--json", code=3)
    assert failed.error["code"] == "not_tracked"
    assert failed.error["facts"] == {"collection": f"{db.name}.bands"}
    assert failed.out == ""
    assert db.list_collection_names() == []


def test_options_stand_before_or_behind(cli: Cli, bands: VersionedCollection) -> None:
    uri, db = cli.env.pop("VC_URI"), cli.env.pop("VC_DB")
    del cli.env["VC_COLLECTION"]
    before = cli("--uri", uri, "--db", db, "-c", "bands", "--json", "branches").json
    assert (
        cli("branches", "--uri", uri, "--db", db, "--collection", "bands", "--json").json == before
    )
    inside = uri.replace("/?", f"/{db}?")
    assert cli("--uri", inside, "branches", "-c", "bands", "--json").json == before
    assert "which database" in cli("--uri", uri, "-c", "bands", "status", code=2).err
    assert "which collection" in cli("--uri", inside, "status", code=2).err
    cli.env["VC_COLLECTION"] = "other"
    assert cli("--uri", inside, "-c", "bands", "branches", "--json").json == before
    cli("--uri", inside, "branches", code=3)


def test_a_diff_side_by_side_and_as_a_page(cli: Cli, bands: VersionedCollection) -> None:
    beside = cli("diff", "main@0", "main@1", "--side-by-side").out
    (line,) = (line for line in beside.splitlines() if '"albums"' in line)
    assert line.split() == ['"albums":', "14", '"albums":', "15"]
    page = cli("diff", "main@0", "main@1", "--html").out
    assert page.startswith("<!doctype html>")
    assert "main@0 to main@1" in page
    assert cli("diff", "main@0", "--html", "--stat", code=2).err
