"""Killed at any database command, a verb has happened or has not.

Each case runs a verb in a child process that kills itself at one of its commands. Another
client then finds a collection that opens, verifies, and is in the old or the new state, and
can repeat the verb.

A command that only reads leaves everything as the last one that wrote did, so it is struck
before and after each command that may change something.
"""

from __future__ import annotations

import signal
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from harness import Nursery, nursery
from harness.scenarios import (
    LEASE_SECONDS,
    NAME,
    NEW_NAME,
    SCENARIOS,
    UNCHANGING,
    Scenario,
    State,
    attempt,
    leftovers,
    opened,
    state_of,
)
from harness.stage import Scene, Stages, scene_of
from harness.trap import writing
from pymongo.database import Database

from versioned_collection.core.document import document_key
from versioned_collection.errors import CollectionNotTracked

SAMPLES = 2
"""Commands of each verb at which a default run strikes."""

VARIANTS = frozenset(
    (
        "init empty",
        "register detached",
        "rename other branch",
        "stash over",
        "stash_apply elsewhere",
        "named stash",
        "named stash over",
        "stash_apply of one of several",
        "resolve conflicts of a stash",
        "abort a stash",
        "abort a stash decided in part",
        "resolve a conflict of a stash",
        "stash_discard of one of several",
        "delete subtree aside",
        "merge fast forward",
        "resolve a conflict",
        "register of a cherry_pick",
        "abort a cherry_pick",
        "abort a revert",
        "reset hard across",
        "reset detached",
        "undo checkout",
        "undo fast forward",
        "undo revert",
        "undo reset",
        "undo create_branch",
        "undo delete_branch",
        "undo rename_branch",
        "undo tag",
        "undo delete_tag",
        "stash_apply with a resolver",
        "stash_apply with a resolver that keeps it",
        "delete subtree of an undone merge",
        "delete what was merged",
        "drop of a merge",
        "merge under a check of one process",
        "register of fields under checks",
        "register of the last of a rebase",
        "undo of a rebase",
        "at again",
        "restore of fields",
        "register at the end of spans",
        "checkout over spans",
        "delete subtree over spans",
        "gc of spans",
        "worktree of a new branch",
        "rename branch of a worktree",
        "purge by a filter",
        "purge of odd fields",
        "purge of odd fields beside a worktree",
        "stash_apply with merge",
        "resolve conflicts page by page",
        "resolve conflicts of unique values",
        "cherry_pick with conflicts",
        "revert with conflicts",
        "revert of a merge",
        "delete subtree of a merge",
        "delete_branch",
        "rename with overlays",
        "publish another",
        "undo register",
        "undo reset hard",
        "register of documents",
        "checkout forward",
        "reset that an index refuses",
        "reset under an index",
        "abort of a rebase that an index refuses",
    )
)
"""Verbs in states that only sweeps try, as a default run tries them in another one."""

ELSEWHERE = (
    "init",
    "register",
    "checkout across",
    "stash",
    "stash_apply with conflicts",
    "rename",
    "merge with conflicts",
    "rebase with conflicts",
    "restore",
    "checkout over spans",
    "thin out",
    "purge of fields",
    "purge that a worktree refuses",
    "purge beside a worktree",
    "remove worktree without changes",
)
"""Verbs that a default run also tries without transactions, every other one as a large change."""

AT_ONCE = 8
"""Cases that run side by side: most of each is waiting."""

PATIENCE = 15.0
"""Seconds within which a case has to go on; far more than a lease, for a busy machine."""


class Broken(Exception):
    """A collection that a killed verb left as it must not be."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class Case(NamedTuple):
    """One strike."""

    number: int
    when: str
    only: str = ""
    at_writes: bool = False


class Expected(NamedTuple):
    """What a verb leads to when nobody disturbs it."""

    scene: Scene
    old: State
    new: State
    left: dict[str, int]
    commands: list[str]


class Place(NamedTuple):
    """A server on which verbs are killed."""

    uri: str
    stages: Stages


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


@pytest.fixture(scope="module")
def replica_set(server, client) -> Place:
    return Place(server.uri, Stages(client))


@pytest.fixture(scope="module")
def standalone(standalone_server, standalone_client) -> Place:
    return Place(standalone_server.uri, Stages(standalone_client))


class Sweep:
    """Strikes at the commands of one verb."""

    def __init__(self, children: Nursery, place: Place, name: str, large: bool) -> None:
        self._children = children
        self._place = place
        self._name = name
        self._large = large
        self._scenario = SCENARIOS[name]
        self._expected = self._undisturbed()

    def _undisturbed(self) -> Expected:
        with self._place.stages.prepared(self._scenario) as database:
            scene, old = scene_of(database), state_of(database)
            outcome = self._run(database)
            assert outcome["error"] is None, outcome
            new = state_of(database)
            assert (new == old) == (self._name in UNCHANGING), "the verb is not what it is called"
            left = leftovers(database, self._scenario.new_name)
            return Expected(scene, old, new, left, outcome["result"]["commands"])

    def _run(self, database: Database[Any], **strike: Any) -> dict[str, Any]:
        return self._children.run(
            "verb",
            uri=self._place.uri,
            database=database.name,
            scenario=self._name,
            large=self._large,
            **strike,
        )

    def run(self, every: bool) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            failures = [
                failure for failure in pool.map(self._tried, self._cases(every)) if failure
            ]
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)

    def run_in_between(self, collection: str) -> None:
        """Strike once documents were taken out of a collection, before they are put in."""
        case = Case(1, "after", f"delete {collection}")
        assert case.only in self._expected.commands
        with self._place.stages.set_to(self._scenario, self._expected.scene) as database:
            self._strike(case, database)

    def run_at(self, target: str, step: int = 1) -> None:
        """Strike at every command, or at some of them, that goes to certain collections."""
        count = sum(target in command for command in self._expected.commands)
        assert count
        with ThreadPoolExecutor(AT_ONCE) as pool:
            cases = [Case(number, "after", target) for number in range(1, count + 1, step)]
            failures = [failure for failure in pool.map(self._tried, cases) if failure]
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)

    def _cases(self, every: bool) -> list[Case]:
        """Return the strikes: all of them, or a sample at even distances."""
        # threads may send a few commands more than in the undisturbed run
        numbers = range(1, len(writing(self._expected.commands)) + 3)
        both = [
            Case(number, when, at_writes=True)
            for number in numbers
            for when in ("before", "after")
        ]
        if every:
            return both
        step = len(both) / SAMPLES
        first = zlib.crc32(self._name.encode()) % round(step)  # other places for other verbs
        return [both[min(first + round(turn * step), len(both) - 1)] for turn in range(SAMPLES)]

    def _tried(self, case: Case) -> str:
        try:
            with self._place.stages.set_to(self._scenario, self._expected.scene) as database:
                self._strike(case, database)
        except Exception as error:
            place = writing(self._expected.commands)[case.number - 1 :][:1]
            return f"{case} {place}: {type(error).__name__}: {error}"
        return ""

    def _strike(self, case: Case, database: Database[Any]) -> None:
        scenario, expected = self._scenario, self._expected
        outcome = self._run(database, **case._asdict())
        # it may have been over before that command, which threads make a little uncertain
        assert outcome["signal"] in (signal.SIGKILL, None), outcome
        assert outcome["error"] is None or outcome["error"][0] == "LeaseLost", outcome
        begun = time.monotonic()
        self._check_opens(case, scenario, database)
        assert time.monotonic() - begun < LEASE_SECONDS + PATIENCE
        found = state_of(database)
        between = scenario.between(found) or (
            scenario.gradual and _is_between(found[NAME], expected)
        )
        if not between and found not in (expected.old, expected.new):
            raise Broken("neither the old nor the new state", _difference(found, expected))
        name = NAME if found[NAME]["tracked"] or not found[NEW_NAME]["tracked"] else NEW_NAME
        attempt(scenario.act, opened(database, name))
        again = state_of(database)
        if again != expected.new:
            raise Broken("not the new state after a repetition", _difference(again, expected))
        self._check_opens(case, scenario, database)
        assert leftovers(database, scenario.new_name) == expected.left
        self._check_use(database, scenario)

    @staticmethod
    def _check_opens(case: Case, scenario: Scenario, database: Database[Any]) -> None:
        # by either name first: a rename is found from both ends
        for name in (NAME, NEW_NAME)[:: 1 if case.number % 2 else -1]:
            collection = opened(database, name)
            if collection.is_tracked():
                # under load, what is half done may be settled only now: a drop, for instance
                with suppress(CollectionNotTracked):
                    assert list(collection.verify()) == []

    @staticmethod
    def _check_use(database: Database[Any], scenario: Scenario) -> None:
        collection = opened(database, scenario.new_name)
        if not collection.is_tracked():
            collection.init()
        collection.drop_indexes()  # one of them may refuse all that is to come
        collection.insert_one({"_id": "afterwards"})
        assert collection.has_changes()
        collection.resolve_conflicts()
        assert collection.register("afterwards", "afterwards")
        assert list(collection.verify()) == []


def _is_between(found: dict[str, Any], expected: Expected) -> bool:
    """Tell whether the first of the old conflicts are settled, and their documents as wanted."""
    old, new = (end[NAME] for end in (expected.old, expected.new))
    settled = len(old["conflicts"]) - len(found["conflicts"])
    waiting = {one.key for one, _ in found["conflicts"]}
    whole = {
        key: {document_key(raw): raw for raw in state["contents"]}.get(key)
        for key in {document_key(raw) for state in (old, new) for raw in state["contents"]}
        for state in [old if key in waiting else new]
    }
    half = {one.key for one, _ in old["conflicts"][:settled]} & waiting
    moved = ("contents", "conflicts", "changes")
    return (
        found["conflicts"] == old["conflicts"][settled:]
        and all(found[what] == value for what, value in old.items() if what not in moved)
        and {raw for key, raw in whole.items() if raw is not None and key not in half}
        == {raw for raw in found["contents"] if document_key(raw) not in half}
    )


def _difference(found: State, expected: Expected) -> str:
    lines = []
    for name in (NAME, NEW_NAME):
        for what, value in found[name].items():
            old, new = expected.old[name].get(what), expected.new[name].get(what)
            if value != new:
                lines.append(
                    f"  {name} {what}\n    is  {value!r}\n    old {old!r}\n    new {new!r}"
                )
    return "\n".join(lines)


LARGE = [name for name, scenario in SCENARIOS.items() if scenario.large]


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in VARIANTS])
def test_killed(replica_set, children, name):
    Sweep(children, replica_set, name, large=False).run(every=False)


@pytest.mark.parametrize("name", [name for name in ELSEWHERE[::2] if name in LARGE])
def test_killed_in_a_large_change(replica_set, children, name):
    Sweep(children, replica_set, name, large=True).run(every=False)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_killed_on_a_standalone_server(standalone, children, name):
    Sweep(children, standalone, name, large=SCENARIOS[name].large).run(every=False)


@pytest.mark.parametrize(
    ("name", "collection"),
    [
        ("checkout of odd documents", NAME),
        ("checkout of odd documents", f"__replica_{NAME}"),
        ("discard of odd documents", NAME),
        ("register of odd documents", f"__replica_{NAME}"),
        ("purge of odd fields beside a worktree", NEW_NAME),
        ("purge of odd fields beside a worktree", f"__replica_{NEW_NAME}"),
    ],
)
def test_killed_while_documents_are_put_anew(standalone, children, name, collection):
    Sweep(children, standalone, name, large=False).run_in_between(collection)


@pytest.mark.parametrize("name", ["register at the end of spans", "checkout over spans"])
def test_killed_while_spans_are_made(replica_set, children, name):
    Sweep(children, replica_set, name, large=True).run_at("__spans_", step=2)


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_command(replica_set, children, name):
    Sweep(children, replica_set, name, large=False).run(every=True)


@pytest.mark.sweep
@pytest.mark.parametrize("name", LARGE)
def test_killed_at_every_command_of_a_large_change(replica_set, children, name):
    Sweep(children, replica_set, name, large=True).run(every=True)


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_command_on_a_standalone_server(standalone, children, name):
    Sweep(children, standalone, name, large=SCENARIOS[name].large).run(every=True)
