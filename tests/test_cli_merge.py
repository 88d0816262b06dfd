"""Merging on the command line: policies from options, conflicts shown and settled."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from bson.int64 import Int64
from cli_support import Cli
from pymongo.database import Database
from rich.cells import cell_len

from versioned_collection import VersionedCollection
from versioned_collection.cli.clashes import clash_table, shortened
from versioned_collection.cli.examples import EXAMPLES
from versioned_collection.cli.policies import policy_of

Document = dict[str, Any]


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """Document 1 changed on main and on the branch side, in one common place; 2 on side."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([start(1), start(2)])
    bands.init("first")
    fork(bands, {"n": 5, "at.x": "theirs", "tags": ["b"]}, {"n": 3, "at.y": "ours"})
    return bands


def start(id_: Any) -> Document:
    return {"_id": id_, "n": 1, "at": {"x": 0, "y": 0}, "long": Int64(7), "tags": ["a"]}


def fork(bands: VersionedCollection, theirs: Document, ours: Document) -> None:
    bands.create_branch("side")
    bands.update_one({"_id": 1}, {"$set": theirs})
    bands.update_one({"_id": 2}, {"$set": {"n": "side"}})
    bands.register("theirs")
    bands.checkout(branch="main")
    bands.update_one({"_id": 1}, {"$set": ours})
    bands.register("ours")


@pytest.fixture
def waiting(bands: VersionedCollection, cli: Cli) -> VersionedCollection:
    """Two conflicts wait: n, and a document that they removed."""
    bands.checkout("side")
    bands.delete_one({"_id": 2})
    bands.register("less")
    bands.checkout("main")
    bands.update_one({"_id": 2}, {"$set": {"long": Int64(8)}})
    bands.register("more")
    cli("merge", "side", code=11)
    return bands


def ids(cli: Cli) -> dict[str, str]:
    return {one["place"]: str(one["id"]) for one in cli("conflicts", "--json").json["conflicts"]}


# -- merge ---------------------------------------------------------------------------------


def test_merge(cli: Cli, bands: VersionedCollection) -> None:
    bands.update_one({"_id": 1}, {"$set": {"n": 5}})
    bands.register("agrees")
    shown = cli("merge", "side", "-m", "both", "--author", "Ada").out
    assert shown == "merged: main@3, 2 updated\n"
    head = bands.resolve("HEAD")
    assert (head.message, head.author, len(head.parents)) == ("both", "Ada", 2)
    again = cli("merge", "side", "--json").json
    assert (again["outcome"], again["version"]["label"]) == ("up_to_date", "main@3")
    assert cli("merge", "side").out == "up to date: main@3 contains it already\n"


def test_fast_forward(cli: Cli, bands: VersionedCollection) -> None:
    bands.checkout("main@0")
    bands.create_branch("late")
    assert cli("merge", "side", "--no-ff", "--json").json["outcome"] == "merged"
    assert bands.resolve("HEAD").label == "late@0"
    bands.checkout("main@0")
    bands.create_branch("later")
    assert cli("merge", "side").out == "fast-forward to side@0\n"
    assert bands.branch == "later"


def test_a_number_is_one_of_the_branch(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("merge", "0", "--json").json["outcome"] == "up_to_date"
    cli("merge", "9", code=5)


def test_conflicts_have_an_exit_code_of_their_own(cli: Cli, bands: VersionedCollection) -> None:
    failed = cli("merge", "side", "--json", code=11)
    assert failed.error["code"] == "auto_merge_failed"
    assert failed.error["facts"]["conflicts"] == 1
    assert "'vc resolve-conflicts'" in failed.error["message"]
    assert "merge waits" in cli("status").out
    assert cli("merge", "side", code=4).err.startswith("error[invalid_operation]")


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("--resolver", "theirs"), 5),
        (("--resolver", "sum_of_changes"), 7),
        (("--resolve", "at.*=theirs", "--resolve", "n=max"), 5),
        (("--resolver", "ours", "--resolve", '["n"]=min'), 3),
    ],
)
def test_resolvers(
    cli: Cli, bands: VersionedCollection, words: tuple[str, ...], number: int
) -> None:
    cli("merge", "side", *words)
    assert bands.find_one(1)["n"] == number


def test_coupled_fields_and_same_changes(cli: Cli, bands: VersionedCollection) -> None:
    cli("merge", "side", "--resolve", "n=ours", "--couple", "at.x,at.y", code=11)
    assert set(ids(cli)) == {"at.x", "at.y"}
    cli("abort-merge", "-y")
    bands.update_one({"_id": 1}, {"$set": {"n": 5}})
    bands.register("agrees")
    cli("merge", "side", "--same-change", "n", code=11)
    assert set(ids(cli)) == {"n"}


def test_a_policy_from_options() -> None:
    policy = policy_of(
        "ours", ["a.b=max", '["a.b", 0]=min'], ["s"], ["items=sku"], ["x,y", '["u", ["v.w"]]']
    )
    assert policy.list_key(("items",)) == b"sku"
    assert policy.is_set(("s",))
    assert len(policy.coupled) == 2
    assert policy.coupled[1][1].matches(("v.w",))
    by_name = policy_of(by_default="ours").resolver_for(("z",))
    assert policy.resolver_for(("z",)) is by_name
    assert policy.resolver_for(("a", "b")) is not policy.resolver_for(("a.b", 0))
    assert policy.resolver_for(("a.b", 0)) is not by_name


@pytest.mark.parametrize(
    "words",
    [
        ("--resolver", "best"),
        ("--resolve", "n"),
        ("--resolve", "=max"),
        ("--resolve", "n=best"),
        ("--resolve", "a*=max"),
        ("--resolve", '["a"=max'),
        ("--set", '["a", {}]'),
        ("--set", "[1"),
        ("--list-key", "items="),
        ("--couple", "one"),
    ],
    ids=" ".join,
)
def test_bad_policies(cli: Cli, bands: VersionedCollection, words: tuple[str, ...]) -> None:
    cli("merge", "side", *words, code=2)
    assert not bands.has_conflicts()


# -- looking at conflicts ------------------------------------------------------------------


def test_conflicts_as_a_table(cli: Cli, waiting: VersionedCollection) -> None:
    heading, *lines = cli("conflicts").out.splitlines()
    assert heading.split() == ["conflict", "document", "path", "kind", "base", "ours", "theirs"]
    first = lines[0].split()
    assert ObjectId.is_valid(first[0])
    assert first[1:] == ["1", "n", "both_modified", "1", "3", "5"]
    assert "(nothing)" in "\n".join(lines)
    assert len(cli("conflicts", "--json", "-n", "1").json["conflicts"]) == 1


def test_a_conflict_is_a_line_where_there_is_no_terminal(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "n": "base"}, {"_id": 2}])
    bands.init()
    fork(bands, {"n": "t" * 90}, {"n": "o" * 150})
    cli("merge", "side", code=11)
    heading, line = cli("conflicts").out.splitlines()
    assert heading.split() == ["conflict", "document", "path", "kind", "base", "ours", "theirs"]
    sides = f'"base"  "{"o" * 150}"  "{"t" * 90}"'
    assert line[26:] == f"1         n     both_modified  {sides}"
    assert not heading.endswith(" ")


def test_conflicts_as_json(cli: Cli, waiting: VersionedCollection) -> None:
    one, other = cli("conflicts", "--json").json["conflicts"]
    assert {**one, "id": None} == {
        "id": None, "document_id": 1, "path": ["n"], "place": "n", "kind": "both_modified",
        "base": 1, "ours": 3, "theirs": 5,
    }  # fmt: skip
    assert other["path"] == []
    assert other["ours"]["long"] == 8
    assert "theirs" not in other


def test_registering_before_all_is_settled(cli: Cli, waiting: VersionedCollection) -> None:
    told = cli("register", "-m", "too early", code=4).err
    for command in ("conflicts", "resolve-conflict", "resolve-conflicts", "abort-merge"):
        assert f"'vc {command}'" in told


def test_no_conflicts(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("conflicts").out == ""
    assert cli("conflicts", "--json").json == {"conflicts": []}
    for words in (
        ("resolve", "--ours"),
        ("resolve", "--edit"),
        ("resolve-conflicts", "--ours"),
        ("abort-merge",),
    ):
        cli(*words, code=1)
    cli("resolve", str(ObjectId()), "--ours", code=4)
    cli("resolve", str(ObjectId()), "--edit", code=4)


def test_elements_of_keyed_lists(cli: Cli, db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "items": [{"sku": "a", "n": 1}]}, {"_id": 2}])
    bands.init()
    fork(bands, {"items.0.n": 2}, {"items.0.n": 3})
    cli("merge", "side", "--list-key", "items=sku", code=11)
    (found,) = cli("conflicts", "--json").json["conflicts"]
    assert found["path"] == ["items", {"field": "sku", "value": "a"}, "n"]
    assert found["place"] == "items[sku='a'].n"
    assert "items[sku='a'].n" in cli("conflicts").out


def test_a_long_table_comes_in_pages_of_one_layout() -> None:
    class Shown:
        id, document_id, path, kind = ObjectId(), 1, ("n",), "both_modified"
        base, ours, theirs = "x" * 1000, "\u8a9e" * 30, None

    taken: list[Any] = []

    def found() -> Any:
        for _ in range(1200):
            taken.append(Shown())
            yield taken[-1]

    pages = clash_table(found(), 120)
    heading = next(pages).plain
    assert len(taken) == 500, "the first page needs no more"
    assert heading.count("\n") == 0
    rows = [line for page in pages for line in page.plain.split("\n")]
    first = [line for line in rows if "both_modified" in line]
    assert len(first) == len(taken) == 1200
    assert len({line.index("both_modified") for line in first}) == 1
    assert heading.index("kind") == first[0].index("both_modified")
    assert all(cell_len(line) <= 120 for line in rows)
    assert "".join(rows).count("x") == 1200 * 198  # quote, 198, the sign of what is left out
    assert list(clash_table([], 80)) == []
    assert len(shortened("x" * 1000)) == 200


def test_nothing_in_a_conflict_drives_the_terminal(cli: Cli, bands: VersionedCollection) -> None:
    bands.insert_one({"_id": "\x1b[2J", "\x1b\u202e": "\x9b31m"})
    bands.register("more")
    bands.create_branch("evil")
    bands.update_one({"_id": "\x1b[2J"}, {"$set": {"\x1b\u202e": "\x1b[1m"}})
    bands.register("theirs")
    bands.checkout("main")
    bands.update_one({"_id": "\x1b[2J"}, {"$set": {"\x1b\u202e": "[red]\x07"}})
    bands.register("ours")
    cli("merge", "evil", code=11)
    shown = cli("conflicts").out
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert "[red]" in shown


def test_status_of_a_merge(cli: Cli, waiting: VersionedCollection) -> None:
    found = cli("status", "--json").json
    assert (found["merging"], found["has_conflicts"], found["conflicts"]) == (True, True, 2)
    assert "a merge waits for 2 conflicts: 'vc conflicts' lists them" in cli("status").out
    cli("resolve-conflict", ids(cli)["n"], "--ours")
    assert "a merge waits for 1 conflict: " in cli("status").out
    cli("resolve-conflict", "--ours")
    assert "a merge waits, all settled: 'vc register' records it" in cli("status").out


# -- settling ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--ours",), 3),
        (("--theirs",), 5),
        (("--base",), 1),
        (("--value", '{"$numberLong": "4"}'), Int64(4)),
        (("--value", "null"), None),
        (("--remove",), ...),
    ],
    ids=str,
)
@pytest.mark.parametrize("verb", ["resolve", "resolve-conflict"])
def test_settling(
    cli: Cli, waiting: VersionedCollection, verb: str, words: tuple[str, ...], expected: Any
) -> None:
    found = cli(verb, ids(cli)["n"], *words, "--json").json
    assert found == {"settled": 1, "waiting": True}
    document = waiting.find_one(1)
    assert document.get("n", ...) == expected
    assert type(document.get("n", ...)) is type(expected)
    assert set(ids(cli)) == {"(document)"}


def test_the_last_digits_of_an_id(cli: Cli, waiting: VersionedCollection) -> None:
    number, whole = ids(cli)["n"], ids(cli)["(document)"]
    cli("resolve", number[-1], "--theirs", code=2)  # not the first, or the second, of a list
    cli("resolve", "not0", "--theirs", code=2)
    cli("resolve", "0" * 8, "--theirs", code=4)
    cli("resolve", number[-6:].upper(), "--theirs")
    assert ids(cli) == {"(document)": whole}
    assert waiting.find_one(1)["n"] == 5


def test_last_digits_of_several_ids(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shown:
        def __init__(self, id_: str) -> None:
            self.id = ObjectId(id_)

    both = [Shown(f"{digit}" * 8 + "0" * 16) for digit in (1, 2)]
    monkeypatch.setattr(VersionedCollection, "conflicts", lambda _: iter(both))
    monkeypatch.setattr(VersionedCollection, "is_tracked", lambda _: True)
    told = cli("resolve-conflict", "0000", "--theirs", code=2).err
    assert "several conflicts have ids that end with '0000'" in told


def test_the_example_works_as_it_is_printed(cli: Cli, waiting: VersionedCollection) -> None:
    cli("resolve", ids(cli)["n"], "--ours")
    cli(*shlex.split(EXAMPLES["resolve-conflict"])[1:])
    assert ids(cli) == {}


def test_settling_the_last_and_recording(cli: Cli, waiting: VersionedCollection) -> None:
    number, whole = ids(cli)["n"], ids(cli)["(document)"]
    assert "which conflict" in cli("resolve", "--ours", code=2).err
    shown = cli("resolve", number, "--theirs").out
    assert shown == "1 settled; 'vc conflicts' lists those that wait\n"
    failed = cli("register", "-m", "too early", code=4)
    assert "conflicts wait" in failed.err
    cli("resolve", number, "--theirs", code=4)
    cli("resolve", whole, "--value", '{"_id": 3}', code=2)
    shown = cli("resolve", "--remove").out
    assert shown == "1 settled, none waits: 'vc register' records the outcome\n"
    assert waiting.find_one(2) is None
    assert cli("register").out.startswith("registered main@3: ")
    head = waiting.resolve("HEAD")
    assert (head.message, len(head.parents)) == ("Merge side into main", 2)


@pytest.mark.parametrize(
    "words",
    [
        ("resolve",),
        ("resolve-conflict",),
        ("resolve-conflict", "--ours", "--theirs"),
        ("resolve", "--ours", "--remove"),
        ("resolve", "n", "--ours"),
        ("resolve", "--value", "{"),
        ("resolve", "--tool", "meld"),
        ("resolve", "--ours", "--branch", "main"),
        ("resolve-conflicts",),
        ("resolve-conflicts", "--ours", "--as-they-are"),
        ("resolve-conflicts", "--resolver", "best"),
        ("abort-merge",),
    ],
    ids=" ".join,
)
def test_usage(cli: Cli, waiting: VersionedCollection, words: tuple[str, ...]) -> None:
    cli(*words, code=2)
    assert len(ids(cli)) == 2


def test_register_asks_for_a_message_otherwise(cli: Cli, bands: VersionedCollection) -> None:
    bands.insert_one({"_id": 3})
    assert "--message" in cli("register", code=2).err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--ours",), 3),
        (("--theirs",), 5),
        (("--discard-local-changes",), 5),
        (("--resolver", "theirs"), 5),
        (("--as-they-are",), 10),
    ],
    ids=str,
)
def test_all_at_once(
    cli: Cli, waiting: VersionedCollection, words: tuple[str, ...], expected: Any
) -> None:
    waiting.update_one({"_id": 1}, {"$set": {"n": 10}})
    found = cli("resolve-conflicts", *words, "--json").json
    assert found == {"settled": True, "waiting": False}
    assert waiting.find_one(1)["n"] == expected
    cli("register")


def test_what_a_rule_leaves(cli: Cli, waiting: VersionedCollection) -> None:
    left = cli("resolve-conflicts", "--resolver", "max", code=11)
    assert left.out == "some conflicts still wait; 'vc conflicts' lists them\n"
    assert waiting.find_one(1)["n"] == 5
    assert set(ids(cli)) == {"(document)"}


def test_abort(cli: Cli, waiting: VersionedCollection) -> None:
    assert cli("abort-merge", stdin="n\n", code=1).out == "nothing was taken back\n"
    assert cli("abort-merge", stdin="y\n").out == "back to main@2\n"
    assert not waiting.has_changes()
    assert cli("abort-merge", "--json", code=1).json == {"aborted": False}


# -- in an editor, in a merge tool ---------------------------------------------------------


def script(cli: Cli, text: str) -> str:
    """Return the command line of a program whose files are in ``files``."""
    file = cli.home / "program.py"
    file.write_text(
        "import json, os, pathlib, sys\n"
        "files = {n: pathlib.Path(os.environ[n]) for n in ('BASE', 'LOCAL', 'REMOTE', 'MERGED')"
        " if n in os.environ} or {'MERGED': pathlib.Path(sys.argv[-1])}\n"
        "merged = files['MERGED']\n"
        "text = merged.read_text()\n" + text
    )
    return f'"{sys.executable}" "{file}"'


def test_edited(cli: Cli, waiting: VersionedCollection) -> None:
    copy = cli.home / "seen"
    cli.env["EDITOR"] = "false"
    cli.env["VISUAL"] = (
        script(
            cli,
            f"open({str(copy)!r}, 'w').write(text)\nmerged.write_text('// x\\n{{\"a\": 1}}\\n')",
        )
        .replace("{{", "{")
        .replace("}}", "}")
    )
    found = cli("resolve", ids(cli)["n"], "--edit", "--json").json
    assert found == {"settled": 1, "waiting": True}
    assert waiting.find_one(1)["n"] == {"a": 1}
    seen = copy.read_text()
    assert seen.startswith("// document 1, n: both_modified\n//\n// base:\n// 1\n")
    for part in ("// ours:\n// 3\n", "// theirs:\n// 5\n"):
        assert part in seen
    assert seen.endswith("\n3\n")


def test_edited_one_after_the_other(cli: Cli, waiting: VersionedCollection) -> None:
    """What is left as it was keeps its bytes, and long integers stay long."""
    cli.env["VISUAL"] = script(
        cli, "merged.write_text(text.replace('\"n\": 1', '\"n\": 9') if 'long' in text else '')"
    )
    left = cli("resolve", "--edit", "--json", code=11)
    assert left.json == {"settled": 1, "waiting": True}
    document = waiting.find_one(2)
    assert document["n"] == 9
    assert (type(document["long"]), document["long"]) == (Int64, 8)
    assert set(ids(cli)) == {"n"}


def test_what_is_no_json_is_kept(cli: Cli, waiting: VersionedCollection) -> None:
    cli.env["VISUAL"] = script(cli, "merged.write_text('{')")
    failed = cli("resolve", ids(cli)["n"], "--edit", code=2)
    assert "is not JSON, so the conflict stays" in failed.err
    kept = Path(failed.err.split("the text is in ")[1].strip())
    assert kept.read_text() == "{"
    kept.unlink()
    assert len(ids(cli)) == 2


@pytest.mark.parametrize("editor", ["false", "/nowhere/editor", "it's"])
def test_an_editor_that_fails(cli: Cli, waiting: VersionedCollection, editor: str) -> None:
    cli.env["VISUAL"] = editor
    assert "editor" in cli("resolve", ids(cli)["n"], "--edit", code=2).err
    assert len(ids(cli)) == 2


def test_a_merge_tool(cli: Cli, waiting: VersionedCollection) -> None:
    tool = script(
        cli,
        "values = {n: f.read_text() for n, f in files.items()}\n"
        "merged.write_text(json.dumps(values if values['REMOTE'] else {'_id': 2}))\n",
    )
    assert cli("resolve", "--tool", f'{tool} "$MERGED"', "--json").json["settled"] == 2
    assert waiting.find_one(1)["n"] == {
        "BASE": "1\n", "LOCAL": "3\n", "REMOTE": "5\n", "MERGED": "3\n",
    }  # fmt: skip
    assert waiting.find_one(2) == {"_id": 2}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('cp "$REMOTE" "$MERGED"', 5),
        ('cp "$BASE" "$MERGED"', 1),
        (': > "$MERGED"', ...),
        ('rm "$MERGED"', ...),
        ('cp "$REMOTE" "$MERGED"; false', 3),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_the_outcome_of_a_tool(
    cli: Cli, waiting: VersionedCollection, command: str, expected: Any
) -> None:
    failed = "false" in command
    cli("resolve", ids(cli)["n"], "--tool", command, code=11 if failed else 0)
    assert waiting.find_one(1).get("n", ...) == expected
    assert len(ids(cli)) == (2 if failed else 1)


def test_a_tool_that_writes_no_json(cli: Cli, waiting: VersionedCollection) -> None:
    failed = cli("resolve", ids(cli)["n"], "--tool", 'echo "<<<<" > "$MERGED"', code=2)
    Path(failed.err.split("the text is in ")[1].strip()).unlink()
    assert len(ids(cli)) == 2


# -- the log, and the other ways to bring changes in ---------------------------------------


def test_the_log_draws_merges(cli: Cli, bands: VersionedCollection) -> None:
    cli("merge", "side", "--resolver", "ours")
    bands.delete_branch("side")
    for words in ((), ("HEAD",)):
        lines = cli("log", "--graph", *words).out.splitlines()
        assert [re.sub(r"(@\d) .*", r"\1", line) for line in lines] == [
            "* main@2",
            "|\\",
            "* | main@1",
            "| * side@0",
            "|/",
            "* main@0",
        ]
    listed = cli("log", "--graph", "HEAD", "--json").json["versions"]
    assert len(listed) == 4


def test_cherry_pick_revert_and_reset(cli: Cli, bands: VersionedCollection) -> None:
    assert cli("cherry-pick", "side", "--resolver", "theirs", "--json").json["picked"] is True
    assert bands.find_one(2)["n"] == "side"
    assert cli("revert", "HEAD", "-m", "back", "--author", "Ada").out.startswith("reverted: ")
    assert bands.find_one(2)["n"] == 1
    assert bands.resolve("HEAD").message == "back"
    cli("revert", "main@0", code=2)
    assert cli("reset", "main@1").out == "HEAD is at main@1\n"
    bands.insert_one({"_id": "lost"})
    assert cli("reset", "main@1", "--hard", stdin="n\n", code=1).out == "nothing was reset\n"
    assert cli("reset", "main@1", "--hard", "-y", "--json").json["reset"] is True
    assert bands.find_one("lost") is None
    assert not bands.has_changes()
    cli("cherry-pick", "side", code=11)
    assert json.loads(cli("conflicts", "--json").out)["conflicts"][0]["place"] == "n"


def test_undo_and_reflog(cli: Cli, bands: VersionedCollection) -> None:
    cli("merge", "side", "--resolver", "theirs")
    found = cli("undo", "--json").json
    assert (found["undone"]["verb"], found["version"]["label"]) == ("merge", "main@1")
    assert cli("undo").out.startswith("undid register of ")
    listed = cli("reflog", "--json", "-n", "3").json["operations"]
    assert [one["verb"] for one in listed] == ["undo", "undo", "merge"]
    assert listed[1]["undoes"] == listed[2]["id"]
    lines = cli("reflog").out.splitlines()
    assert lines[0].split() == ["time", "verb", "from", "to", "who"]
    assert lines[3].split()[2:5] == ["merge", "main@1", "main@2"]
    assert lines[2].endswith("takes back an earlier one")
