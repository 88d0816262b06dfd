"""What the documentation says is so: examples run, lists are complete, links lead somewhere."""

from __future__ import annotations

import json
import re
from codeop import compile_command
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import doc_runner
import pytest
from cli_support import Cli
from doc_pages import (
    CODE,
    COMMANDS,
    DOCS,
    LANGUAGES,
    ROOT,
    agrees,
    agrees_folded,
    blocks_of,
    has_examples,
    pages,
)
from doc_runner import Lent, Runner
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

import versioned_collection
from versioned_collection import VersionedCollection, embedded, errors
from versioned_collection.aio import threads
from versioned_collection.cli.failures import describe
from versioned_collection.cli.settings import DEFAULTS
from versioned_collection.committing import at_once, checking, entering
from versioned_collection.core import guard, revision
from versioned_collection.documents import moves
from versioned_collection.facets.base import Facet
from versioned_collection.formats import columns, lines
from versioned_collection.history import facts
from versioned_collection.merges import decisions
from versioned_collection.past import building, moment
from versioned_collection.remotes import container, transfer
from versioned_collection.repository.names import _LONGEST_TRACKER
from versioned_collection.trackers import base, lease
from versioned_collection.verbs import maintenance, stash
from versioned_collection.working import recording, selection

ERRORS = "troubleshooting.md"

MOST_NOT_RUN = 4
"""Blocks that may be left out; each says why."""

MIB, GIB = 1024**2, 1024**3
LIMITS = [
    ("236 bytes; `init`", 1, base.NAMESPACE_LIMIT - len(_LONGEST_TRACKER)),
    ("| 200 characters", 1, revision._MAXIMUM_NAME_LENGTH),
    ("a document | 16 MB", MIB, selection.LARGEST_DOCUMENT),
    ("of a version together; the message of a tag | 1 MiB", MIB, facts._LARGEST_TEXT),
    ("of all stashes together | 1 MiB", MIB, stash._LARGEST_LIST),
    ("together | 8 MiB, some", MIB, recording.LARGEST_ENTRIES),
    ("| 10,000, and 32 MB", 1, moves.SMALL_DOCUMENTS),
    ("8 MiB; more goes in batches of 2,000 and 8 MiB", MIB, entering.BYTES_ENTERING),
    ("32 MB; more goes in batches", MIB, moves.SMALL_BYTES),
    ("batches of 2,000", 1, moves.BATCH),
    ("16 MB, behind one commit point", MIB, moves.BATCH_BYTES),
    ("what has more than 12 MB", MIB, at_once._MOST_BESIDE_DELTAS),
    ("places | 200,000", 1, decisions._MOST_TOGETHER),
    ("one bundle | 200,000", 1, transfer.MOST_VERSIONS),
    ("bundle | 512 MiB", MIB, container._LARGEST_BLOCK),
    ("file | 256 MiB", MIB, lines._LONGEST),
    ("file | 99, a list", 1, columns._LEVELS),
    ("names | 100 |", 1, checking.MOST_NAMED),
    ("| 16, and 4 GiB", 1, building.MOST_OVERLAYS),
    ("4 GiB; the one", GIB, building.MOST_BYTES),
    ("stands for | 100,000", 1, building.MOST_TOUCHED),
    ("3 MiB of ids", MIB, building.MOST_BYTES_TOUCHED),
    ("used | 20,000", 1, moment.MOST_MODIFIED),
    ("2 MiB of ids", MIB, moment.MOST_BYTES_MODIFIED),
    ("`vc --wait`) | 20 |", 1, lease.DEFAULT_WAIT_SECONDS),
    ("(`lease_seconds`) | 15 |", 1, lease.DEFAULT_SECONDS),
    ("(`VC_TIMEOUT`) | 5 |", 1, float(DEFAULTS["timeout"])),
    ("(`VC_LINGER`) | 15 |", 1, float(DEFAULTS["linger"])),
    ("kept for 7 days", 1, maintenance._KEPT_FOR.days),
    ("At most 32 verbs", 1, threads.MOST_AT_ONCE),
    ("of more than 1 MiB", MIB, guard.LARGEST_EXACT),
    ("below 30 levels", 1, guard.DEEPEST_EXACT),
]
"""Words of a page with their number, its unit, and what it is in the code."""

PAGES = [page for page in pages() if has_examples(page)]


@pytest.fixture
def login(client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user whom pages log in, where they speak of other people's servers."""
    database = client[doc_runner.SHARED]
    database.command("createUser", doc_runner.USER, pwd=doc_runner.PASSWORD, roles=["readWrite"])
    for name in ("PASSWORD", "MUSIC_PASSWORD"):
        monkeypatch.setenv(name, doc_runner.PASSWORD)
    yield
    database.command("dropUser", doc_runner.USER)


@pytest.fixture
def runner(
    server: embedded.Server,
    client: MongoClient[Any],
    login: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Runner]:
    """Runs a page in a directory of its own, on the server of this run."""
    there = set(client.list_database_names())
    monkeypatch.setattr(embedded, "start", partial(Lent, server))
    monkeypatch.chdir(tmp_path)
    yield Runner(server, Cli(tmp_path / "home"))
    for name in set(client.list_database_names()) - there:
        client.drop_database(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_can_be_pasted_into_a_prompt(page: Path) -> None:
    for block in blocks_of(page):
        waiting: list[str] = []
        for line in [*block.text.splitlines(), ""] if block.language == CODE else []:
            waiting.append(line)  # a prompt takes a block to end with an empty line
            if compile_command("\n".join(waiting)) is not None:
                waiting.clear()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_do_what_is_shown(page: Path, runner: Runner) -> None:
    runner.run(blocks_of(page))


@pytest.mark.parametrize(
    "page",
    [
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\npass\n```\n\n```text\n1\n```\n",
        "```console\nvc --db music -c bands log main@7\n```\n",
        "```console\n$ vc --version\nvc 0.0.0\n```\n",
        "```console\n$ vc --version\n$ echo $?\n```\n",
    ],
    ids=["other", "not shown", "not printed", "fails", "other command", "not shown command"],
)
def test_what_is_not_so_is_noticed(page: str, tmp_path: Path, runner: Runner) -> None:
    file = tmp_path / "page.md"
    file.write_text(page, encoding="utf-8")
    with pytest.raises(AssertionError):
        runner.run(blocks_of(file))


def test_gaps_stand_for_anything() -> None:
    assert agrees("a 17 b\n", "a ... b\n")
    assert agrees("a\nb\nc\n", "a\n...\nc\n")
    assert agrees("a\nc\n", "a\n...\nc\n")
    assert not agrees("a\nb\n", "a\n")
    assert agrees_folded("main@0 8675f86c  2026-11-21\n", "main@0\n95bfaa1b 2020-01-01\n")
    assert not agrees_folded("main@0 8675f86c\n", "main@1 8675f86c\n")


def test_what_does_not_run_says_why_and_is_little() -> None:
    skipped = [block for page in pages() for block in blocks_of(page) if block.skipped]
    assert all(len(block.skipped.split()) > 2 for block in skipped)
    assert len(skipped) <= MOST_NOT_RUN


def test_every_block_is_of_a_kind_that_is_known() -> None:
    for page in pages():
        for block in blocks_of(page):
            assert block.language in LANGUAGES, f"{page.name}, line {block.line}"
            if block.language == COMMANDS and "vc " in block.text:
                typed = re.sub(r"'[^']*'|^echo .* > ", "", _typed(block.text), flags=re.MULTILINE)
                assert not re.search(r"[|<>`]", typed), f"{page.name}, line {block.line}"


def _typed(text: str) -> str:
    """Return the commands of a block, without what is shown below them."""
    lines = text.splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "\n".join(prompted or lines)


# What pages list


def test_the_resolvers_and_kinds_are_all_described() -> None:
    from versioned_collection.core.merging import KINDS, RESOLVERS

    text = _text("merging.md")
    assert all(re.search(rf"^\|.*`{name}`.*\|", text, re.MULTILINE) for name in RESOLVERS)
    assert all(re.search(rf"^\|.*`{kind}`.*\|", text, re.MULTILINE) for kind in KINDS)


def test_every_error_has_an_entry_and_every_entry_an_error() -> None:
    entries = re.findall(r"^### (\w+)\n\n`(\w+)`.*?Exit code (\d+)", _text(ERRORS), re.M | re.S)
    kinds = [kind for kind in vars(errors).values() if _is_error(kind)]
    assert sorted(entries) == sorted(
        (kind.code, kind.__name__, str(int(describe(kind("")).exit))) for kind in kinds
    )


def test_the_codes_of_the_command_line_have_entries() -> None:
    found = re.findall(r"^\| `(\w+)` \| (\d+) \|", _text(ERRORS), re.MULTILINE)
    table = re.search(r"Further codes are (.*?)\. With", _text("commands.md"), re.DOTALL)
    assert table is not None
    assert {code for code, _ in found} == {*re.findall(r"`(\w+)`", table[1]), "interrupted"}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit[0])
def test_limits_are_those_of_the_code(limit: tuple[str, float, float]) -> None:
    shown, unit, value = limit
    number = re.search(r"[\d,]+", shown)
    assert number is not None
    assert int(number[0].replace(",", "")) * unit == value
    assert shown in " ".join(_text("limits.md").split())


def test_what_is_used_from_the_server_is_listed(server: embedded.Server) -> None:
    text = _text("compatibility.md")
    listed = set(re.findall(r"`(\$?\w+)`", text))
    section = text.partition("### By verb")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", section, re.MULTILINE)
    by_verb = {verb: set(re.findall(r"`(\$?\w+)`", used)) for verb, used in rows}
    heard = Heard()
    found: dict[str, set[str]] = {}
    with MongoClient[Any](server.uri, event_listeners=[heard]) as client:
        for verb, work in everything(client.used_from_the_server):
            heard.names.clear()
            work()
            found[verb] = found.get(verb, set()) | heard.names
        for name in ("used_from_the_server", "used_elsewhere"):
            client.drop_database(name)
    assert set.union(*found.values()) <= listed
    assert {verb: used - BY_ALL for verb, used in found.items() if used - BY_ALL} == by_verb


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md"))
    described = set(re.findall(r"^::: versioned_collection\.(\w+)$", text, re.MULTILINE))
    assert set(versioned_collection.__all__) <= described | _constants(text)


def test_every_part_of_the_class_is_in_the_reference() -> None:
    text = _text("reference/collection.md")
    for part in VersionedCollection.__mro__[1:]:
        if part.__module__.startswith("versioned_collection.facets.") and part is not Facet:
            assert f"::: {part.__module__}.{part.__name__}\n" in text


def test_notebooks_hold_no_outputs() -> None:
    for file in DOCS.glob("**/*.ipynb"):
        notebook = json.loads(file.read_text(encoding="utf-8"))
        assert notebook["nbformat"] == 4
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


BY_ALL = {
    *("hello", "ping", "find", "getMore", "killCursors", "listCollections"),
    *("listIndexes", "aggregate"),
    *("insert", "update", "delete", "findAndModify", "commitTransaction", "endSessions", "count"),
    *("$changeStream", "$project", "$match"),
}
"""What so many verbs use that it tells nothing about one."""


class Heard(CommandListener):
    """The names of commands, and of the stages of aggregations."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def started(self, event: Any) -> None:
        self.names.add(event.command_name)
        for stage in event.command.get("pipeline", ()):
            self.names |= set(stage)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def everything(db: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Iterate over verbs of every kind, each with what runs it."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": 1, "name": "Can"}, {"_id": 2}])
    bands.create_index("name")
    yield "init", bands.init
    yield "add_check", lambda: bands.add_check("names", [{"$match": {"name": ""}}])
    bands.update_one({"_id": 1}, {"$set": {"city": "Köln"}})
    yield "status", bands.status
    yield "register", lambda: bands.register("one")
    yield "create_branch", lambda: bands.create_branch("side")
    bands.delete_one({"_id": 2})
    yield "stash", bands.stash
    yield "stash_apply", bands.stash_apply
    yield "register", lambda: bands.register("two")
    yield "checkout", lambda: bands.checkout(branch="main")
    yield "merge", lambda: bands.merge("side", no_ff=True)
    first = bands.at("main@0")
    yield "at", lambda: first.find({"name": "Can"}, sort=[("name", 1)]).to_list()
    yield "at", lambda: first.count_documents({})
    yield "find_versions", lambda: list(bands.find_versions({"name": "Can"}))
    yield "publish_view", lambda: bands.publish_view("main@0", "first")
    yield "publish_view", lambda: bands.publish_view("main@1", "first", replace=True)
    yield "restore", lambda: bands.restore([2], "main@0")
    yield "discard_changes", bands.discard_changes
    yield "worktree", lambda: bands.worktree("main@0", "elsewhere")
    yield "remove_worktree", lambda: bands.remove_worktree("elsewhere")
    yield "push", lambda: bands.push(db.client["used_elsewhere"], all=True)
    yield "verify", lambda: list(bands.verify())
    yield "size", bands.size
    yield "gc", bands.gc
    yield "purge", lambda: bands.purge([2], reason="a test")
    yield "rename", lambda: bands.rename("groups")
    yield "drop", VersionedCollection(db, "groups").drop


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.VersioningError)


def _constants(text: str) -> set[str]:
    """Return the names that a list of definitions explains."""
    lines = re.findall(r"^((?:`\w+`(?:, )?)+)\n:", text, re.MULTILINE)
    return {name for line in lines for name in re.findall(r"\w+", line)}


# Links


def test_links_lead_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
