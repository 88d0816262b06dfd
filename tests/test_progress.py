"""What long verbs tell while they work: numbers, and no harm where the callback raises."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api_support import edit, grown, own_members, problems, raws, tracked, untracked
from pymongo import AsyncMongoClient
from remote_support import other_database

from versioned_collection import (
    AsyncVersionedCollection,
    Retention,
    VersionedCollection,
    cli,
    errors,
)
from versioned_collection.cli.command import COMMANDS
from versioned_collection.committing import at_once
from versioned_collection.documents import moves
from versioned_collection.trackers import delta_chunks

SHORT = {
    # one question to the server, whatever the history
    "is_tracked", "is_detached", "has_stash", "has_conflicts", "stashes", "branches", "tags",
    "remotes", "worktrees", "views", "checks", "purges", "resolve",
    # a name or a note that changes, or something that the server drops
    "create_branch", "delete_branch", "rename_branch", "tag", "delete_tag", "add_remote",
    "remove_remote", "add_check", "delete_check", "drop_view", "stash_discard",
    "remove_worktree", "rename", "drop", "resolve_conflict", "with_options",
    # they yield what they find as they find it, or their reads are the caller's own
    "log", "get_log", "reflog", "conflicts", "history", "blame", "at",
    # what changed since the last look, or what trackers take: there is nothing to wait for long
    "has_changes", "status", "size",
    # it goes on until it is told to end
    "listen",
}  # fmt: skip
"""Public methods without progress, and why."""


class Refusal(Exception):
    """What the callback raises."""


@dataclass(frozen=True)
class Place:
    """Where a verb is called.

    Attributes:
        bands: A collection with main@0..3 and side@0..1, see `api_support.grown`.
        there: An empty database.
        folder: An empty directory.
    """

    bands: VersionedCollection
    there: Any
    folder: Path


@dataclass(frozen=True)
class Case:
    """A verb, and what it tells.

    Attributes:
        call: Calls it.
        counts: What it tells in all, by phase.
        before: What comes first.
    """

    call: Callable[[Place, Any], Any]
    counts: dict[str, int]
    before: Callable[[Place], Any] = lambda place: None


def all_differ(place: Place) -> None:
    place.bands.update_many({}, {"$set": {"n": 1}})


def stashed(place: Place) -> None:
    all_differ(place)
    place.bands.stash()


def conflicting(place: Place) -> None:
    place.bands.checkout(branch="side")
    edit(place.bands, "theirs alone", 2)
    place.bands.register("two")
    place.bands.checkout(branch="main")
    with pytest.raises(errors.AutoMergeFailedError):
        place.bands.merge("side")


def pushed(place: Place) -> None:
    place.bands.push(place.there)


def ahead(place: Place) -> None:
    pushed(place)
    all_differ(place)
    place.bands.register("all")


def behind(place: Place) -> None:
    pushed(place)
    copy = VersionedCollection(place.there, "bands")
    copy.update_many({}, {"$set": {"n": 1}})
    copy.register("all")


def exported(place: Place) -> None:
    place.bands.export(place.folder / "bands.bson", "main@0")


def bisected(place: Place, told: Any) -> Any:
    return place.bands.bisect("main@0", "main@3", {"mark": {"$gte": 2}}, progress=told)


CASES = {
    "register": Case(
        lambda p, told: p.bands.register("all", progress=told), {"recorded": 3}, all_differ
    ),
    "checkout": Case(lambda p, told: p.bands.checkout("main@0", progress=told), {"written": 1}),
    "discard_changes": Case(
        lambda p, told: p.bands.discard_changes(progress=told), {"written": 3}, all_differ
    ),
    "stash": Case(lambda p, told: p.bands.stash(progress=told), {"written": 3}, all_differ),
    "stash_apply": Case(
        lambda p, told: p.bands.stash_apply(progress=told), {"written": 3}, stashed
    ),
    "merge": Case(
        lambda p, told: p.bands.merge("side", resolver="theirs", progress=told),
        {"recorded": 1, "written": 1},
    ),
    "cherry_pick": Case(
        lambda p, told: p.bands.cherry_pick("side", resolver="theirs", progress=told),
        {"recorded": 1, "written": 1},
    ),
    "revert": Case(
        lambda p, told: p.bands.revert("HEAD", progress=told), {"recorded": 1, "written": 1}
    ),
    "rebase": Case(
        lambda p, told: p.bands.rebase("main", resolver="theirs", progress=told),
        {"recorded": 2},
        lambda p: p.bands.checkout(branch="side"),
    ),
    "squash": Case(lambda p, told: p.bands.squash("main@2", progress=told), {"recorded": 1}),
    "reset": Case(lambda p, told: p.bands.reset("main@0", True, progress=told), {"written": 1}),
    "undo": Case(
        lambda p, told: p.bands.undo(progress=told),
        {"written": 1},
        lambda p: p.bands.checkout("main@0"),
    ),
    "resolve_conflicts": Case(
        lambda p, told: p.bands.resolve_conflicts(resolver="ours", progress=told),
        {"settled": 1},
        conflicting,
    ),
    "abort_merge": Case(
        lambda p, told: p.bands.abort_merge(progress=told), {"written": 1}, conflicting
    ),
    "restore": Case(lambda p, told: p.bands.restore([1], "main@0", progress=told), {"written": 1}),
    "delete_version_subtree": Case(
        lambda p, told: p.bands.delete_version_subtree("main@3", progress=told), {"written": 1}
    ),
    "worktree": Case(
        lambda p, told: p.bands.worktree("side", "fix", progress=told), {"written": 1}
    ),
    "push": Case(
        lambda p, told: p.bands.push(p.there, progress=told),
        {"versions": 1, "changes": 3, "written": 3},
        ahead,
    ),
    "pull": Case(
        lambda p, told: p.bands.pull(p.there, progress=told),
        {"versions": 1, "changes": 3, "written": 3},
        behind,
    ),
    "fetch": Case(
        lambda p, told: p.bands.fetch(p.there, progress=told),
        {"versions": 1, "changes": 3},
        behind,
    ),
    "clone": Case(
        lambda p, told: VersionedCollection.clone(p.bands, p.there, progress=told),
        {"versions": 6, "changes": 5, "documents": 3, "written": 3},
    ),
    "export": Case(
        lambda p, told: p.bands.export(p.folder / "bands.bundle", progress=told),
        {"changes": 5, "versions": 6, "documents": 3},
    ),
    "import_": Case(
        lambda p, told: p.bands.import_(p.folder / "bands.bson", progress=told),
        {"read": 3, "written": 1},
        exported,
    ),
    "verify": Case(
        lambda p, told: list(p.bands.verify(progress=told)), {"documents": 3, "changes": 5}
    ),
    "diff": Case(lambda p, told: p.bands.diff("main@0", progress=told), {"found": 3}, all_differ),
    "compare": Case(
        lambda p, told: p.bands.compare("main@0", "side", progress=told), {"found": 1}
    ),
    "changes": Case(
        lambda p, told: list(p.bands.changes("main@0", progress=told)), {"found": 3}, all_differ
    ),
    "gc": Case(lambda p, told: p.bands.gc(progress=told), {"steps": 7}),
    "thin_out": Case(
        lambda p, told: p.bands.thin_out(Retention(keep_last=1), progress=told), {"versions": 2}
    ),
    "purge": Case(
        lambda p, told: p.bands.purge([1], reason="asked", progress=told),
        {"looked at": 1, "written": 1},
    ),
    "publish_view": Case(
        lambda p, told: p.bands.publish_view("main@0", "old", progress=told), {"written": 3}
    ),
    "find_versions": Case(
        lambda p, told: list(p.bands.find_versions({"mark": 2}, progress=told)), {"changes": 3}
    ),
    "bisect": Case(bisected, {"versions": 4}),
}


@pytest.fixture
def there(db: Any) -> Iterator[Any]:
    with other_database(db.client) as other:
        yield other


@pytest.mark.parametrize("verb", CASES)
def test_what_is_told(db, there, tmp_path, verb):
    case, place = CASES[verb], Place(grown(db), there, tmp_path)
    case.before(place)
    told: Counter[str] = Counter()

    def count(phase: str, count: int) -> None:
        assert count >= 0
        told[phase] += count

    case.call(place, count)
    assert +told == case.counts


def test_init_tells_what_it_copies(db):
    told: Counter[str] = Counter()
    untracked(db).init(progress=lambda phase, count: told.update({phase: count}))
    assert told == {"copied": 3}


def test_an_overlay_tells_what_it_writes(db):
    told: Counter[str] = Counter()
    view = grown(db).at("main@0")
    view.prepare(whole=True, progress=lambda phase, count: told.update({phase: count}))
    assert told == {"written": 3}


@pytest.mark.parametrize("inline", [1_000, 1_000_000])
def test_a_step_is_bounded_by_the_size_of_its_changes(db, monkeypatch, inline):
    """Fields that changed count, wherever they are stored, and not only whole documents."""
    monkeypatch.setattr(delta_chunks, "LARGEST_INLINE", inline)
    monkeypatch.setattr(moves, "BATCH_BYTES", 100_000)
    monkeypatch.setattr(at_once, "is_small", lambda *_: False)
    bands = untracked(db)
    bands.insert_many([{"_id": f"large {n}", "text": "a" * 20_000, "n": n} for n in range(6)])
    bands.init()
    bands.update_many({"n": {"$gte": 0}}, {"$set": {"text": "b" * 20_000}})
    bands.register("longer")
    told: list[int] = []
    bands.checkout("main~1", progress=lambda phase, count: told.append(count))
    assert told == [2, 2, 2]


REFUSED_BY_DEFAULT = {
    "register", "checkout", "stash_apply", "merge", "rebase", "resolve_conflicts", "import_",
    "delete_version_subtree", "push", "clone", "purge", "publish_view", "thin_out", "reset",
}  # fmt: skip
"""The others are left to sweeps."""


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(verb, marks=() if verb in REFUSED_BY_DEFAULT else pytest.mark.sweep)
        for verb in CASES
    ],
)
def test_a_callback_that_raises(db, there, tmp_path, verb):
    """What it raises is raised by the verb, which leaves nothing half done."""
    case, place = CASES[verb], Place(grown(db), there, tmp_path)
    case.before(place)

    def refuse(phase: str, count: int) -> None:
        raise Refusal(phase)

    with pytest.raises(Refusal):
        case.call(place, refuse)
    repository = place.bands._repository
    assert not repository.metadata.is_half_done(repository.state())
    assert problems(place.bands) == []
    copy = VersionedCollection(there, "bands")
    assert not copy.is_tracked() or problems(copy) == []
    assert place.bands.status()["tracked"]


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("verb", ["register", "checkout", "discard_changes", "stash", "reset"])
def test_a_callback_that_raises_between_two_steps(db, there, tmp_path, verb):
    """Behind the commit point the verb goes on, and what was raised comes in the end."""
    bands = tracked(db)
    bands.insert_many([{"_id": n} for n in range(10, 20)])
    bands.register("more")
    place, steps = Place(bands, there, tmp_path), []
    if verb not in ("checkout", "reset"):
        bands.update_many({}, {"$set": {"n": 1}})

    def refuse(phase: str, count: int) -> None:
        if phase == "written":
            steps.append(count)
            raise Refusal(phase)

    with pytest.raises(Refusal):
        CASES[verb].call(place, refuse)
    assert len(steps) > 1
    assert bands._repository.state().intent is None
    assert not bands.has_changes()
    assert len(raws(bands)) == (3 if verb in ("checkout", "reset") else 13)
    assert problems(bands) == []


# -- which verbs ------------------------------------------------------------------------------


def test_every_long_verb_tells():
    telling = {
        name
        for name, value in own_members().items()
        if callable(getattr(VersionedCollection, name))
        and "progress" in inspect.signature(getattr(VersionedCollection, name)).parameters
    }
    assert telling == {*CASES, "init"}
    methods = {name for name, value in own_members().items() if not isinstance(value, property)}
    assert methods == telling | SHORT


def test_every_command_of_a_long_verb_shows_it():
    importlib.import_module("versioned_collection.cli.app")  # which gathers the commands
    shown = {
        call.func.attr
        for path in Path(cli.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and any(one.arg == "progress" for one in call.keywords)
    }
    twins = {one.twin.split(".")[1] for one in COMMANDS if one.twin is not None}
    assert ({*CASES, "init"} & twins) - shown == {"diff"}  # which asks for `changes`


# -- awaited ----------------------------------------------------------------------------------


def test_awaited_verbs_that_iterate_tell_in_the_loop(db):
    host, port = db.client.address
    grown(db)

    async def inside() -> None:
        async with AsyncMongoClient(host, port, directConnection=True) as client:
            bands = AsyncVersionedCollection(client[db.name], "bands")
            told: Counter[str] = Counter()

            def count(phase: str, count: int) -> None:
                asyncio.get_running_loop()  # raises elsewhere
                told[phase] += count

            assert await bands.verify(progress=count).to_list() == []
            view = await bands.at("main@0")
            await view.prepare(whole=True, progress=count)
            await asyncio.sleep(0)
            assert told == {"documents": 3, "changes": 5, "written": 3}

    asyncio.run(inside())
