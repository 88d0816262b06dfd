"""The resolver of conflicts, driven by keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson.int64 import Int64
from pymongo.database import Database
from screen_support import Driver, drive

from versioned_collection import Side, VersionedCollection
from versioned_collection.cli.screens.resolver import ResolverScreen
from versioned_collection.errors import AutoMergeFailedError

Change = Callable[[VersionedCollection], Any]


def conflicting(db: Database[Any], base: list[Any], ours: list[Any], theirs: list[Any]) -> Any:
    """Merge documents that two branches made different things of; ids are their places."""
    bands = VersionedCollection(db, "bands")

    def put(documents: list[Any]) -> None:
        for place, document in enumerate(documents):
            if document is None:
                bands.delete_one({"_id": place})
            else:
                bands.replace_one({"_id": place}, document, upsert=True)

    put(base)
    bands.init("base")
    bands.create_branch("other")
    put(theirs)
    bands.register("theirs")
    bands.checkout(branch="main")
    put(ours)
    bands.register("ours")
    with pytest.raises(AutoMergeFailedError):
        bands.merge("other")
    return bands


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """Three conflicts: of a number, of a list, of a document that theirs deleted."""
    return conflicting(
        db,
        [{"n": Int64(1)}, {"tags": ["a"]}, {"name": "Can", "x": 1}],
        [{"n": Int64(2)}, {"tags": "none"}, {"name": "CAN", "x": 1}],
        [{"n": Int64(3)}, {"tags": ["a", "b"]}, None],
    )


async def begin(driver: Driver, count: int = 3) -> str:
    return await driver.sees(f"conflicts: {count} wait, 0 decided and not saved")


def test_values_side_by_side(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        shown = await begin(driver)
        assert "0  n  both_modified" in shown
        values = next(line for line in shown.split("\n") if "numberLong" in line)
        assert [values.count(f'"{k}"') for k in (1, 2, 3)] == [1, 1, 1]
        assert "not decided" in shown
        await driver.press("n", "n")
        shown = await driver.sees("(nothing)", '"name": "Can"', '"name": "CAN"')
        assert "deleted_by_them" in shown
        await driver.press("p")
        await driver.sees('"none"')

    drive(ResolverScreen(bands), steps)
    assert bands.status()["conflicts"] == 3


def test_sides_are_saved_and_the_outcome_registered(bands: VersionedCollection) -> None:
    screen = ResolverScreen(bands, author="Ada")

    async def steps(driver: Driver) -> None:
        await begin(driver)
        await driver.press("t", "n", "b", "n", "t")
        await driver.sees("3 wait, 3 decided and not saved", "theirs  0  n", "base    1  tags")
        assert bands.status()["conflicts"] == 3  # nothing is written before it is saved
        assert bands.find_one(0)["n"] == 2
        await driver.press("s")
        await driver.sees("No conflict waits. Register the outcome?")
        assert bands.find_one(0) == {"_id": 0, "n": 3}
        assert bands.find_one(1) == {"_id": 1, "tags": ["a"]}
        assert bands.find_one(2) is None
        await driver.write("settled on the screen")
        await driver.sees("registered main@2")

    drive(screen, steps)
    assert screen.settled == 3
    head = bands.resolve("HEAD")
    assert (head.message, head.author, len(head.parents)) == ("settled on the screen", "Ada", 2)
    assert not bands.status()["merging"]


def test_the_outcome_may_wait(bands: VersionedCollection) -> None:
    bands.resolve_conflicts(resolver="theirs")

    async def steps(driver: Driver) -> None:
        await driver.sees("No conflict waits. Register the outcome?")
        await driver.press("escape", "q")

    drive(ResolverScreen(bands), steps)
    assert bands.status()["merging"]
    assert bands.resolve("HEAD").label == "main@1"


def test_an_edited_value(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await begin(driver)
        await driver.press("e")
        await driver.sees("The value at n, as Extended JSON:", '{"$numberLong": "2"}')
        await driver.write('{"$numberLong": ')
        await driver.sees("not Extended JSON of a value")
        await driver.write('{"$numberLong": "9"}')
        await driver.sees("edited  0  n", "1 decided")
        await driver.press("n", "n", "e")
        await driver.write('{"_id": 7, "name": "other"}')
        await driver.sees("a whole document is settled by a document with the same _id")
        await driver.write('{"name": "Can!"}')
        await driver.press("s")
        await driver.sees("1 wait, 0 decided")

    drive(ResolverScreen(bands), steps)
    assert bands.find_one(0) == {"_id": 0, "n": Int64(9)}
    assert isinstance(bands.find_one(0)["n"], Int64)
    assert bands.find_one(2) == {"_id": 2, "name": "Can!"}
    assert [one.document_id for one in bands.conflicts()] == [1]


@pytest.mark.sweep
def test_an_edit_that_changes_nothing_takes_the_side(db: Database[Any]) -> None:
    wild = "\x9b31m\u202e [b]\U000e0001"
    bands = conflicting(db, [{"a": 1}], [{"a": wild}], [{"a": 3.0}])

    async def steps(driver: Driver) -> None:
        shown = await begin(driver, 1)
        assert "[b]" in shown
        await driver.press("e")
        shown = await driver.sees("The value at a")
        assert not set(shown) & set("\x9b\u202e\U000e0001")
        assert "\\u009b31m\\u202e [b]\\udb40\\udc01" in shown
        await driver.press("end", "enter")
        await driver.sees("ours    0  a")
        await driver.press("e", "home", "right")
        for letter in "[/i]":
            await driver.press(
                {"[": "left_square_bracket", "]": "right_square_bracket"}.get(letter, letter)
            )
        await driver.press("enter", "s")
        await driver.sees("No conflict waits")

    drive(ResolverScreen(bands), steps)
    assert bands.find_one(0) == {"_id": 0, "a": f"[/i]{wild}"}


def test_union_of_lists(db: Database[Any]) -> None:
    bands = conflicting(
        db,
        [{"n": 1}, {"tags": ["a", "x"]}],
        [{"n": 2}, {"tags": ["a", "o", "x"]}],
        [{"n": 3}, {"tags": ["a", "t", "x"]}],
    )

    async def steps(driver: Driver) -> None:
        await begin(driver, 2)
        await driver.press("u")
        await driver.sees("only lists have a union")
        await driver.press("n", "u")
        shown = await driver.sees("union", "2 wait, 1 decided")
        result = shown[shown.index("result") :]
        assert all(f'"{one}"' in result for one in "ato")
        await driver.press("s")
        await driver.sees("1 wait")

    drive(ResolverScreen(bands), steps)
    assert sorted(bands.find_one(1)["tags"]) == ["a", "o", "t", "x"]


def test_undo_of_what_is_not_saved(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await begin(driver)
        await driver.press("z")
        await driver.sees("nothing to take back")
        await driver.press("o", "t", "n", "x", "z")
        shown = await driver.sees("1 decided", "taken back", "theirs  0  n")
        assert "removed" not in shown
        await driver.press("z")
        await driver.sees("ours    0  n")
        await driver.press("z")
        await driver.sees("0 decided")
        await driver.press("s")
        await driver.sees("nothing is decided that is not saved")

    drive(ResolverScreen(bands), steps)
    assert bands.status()["conflicts"] == 3


def test_all_that_remain_by_a_side(bands: VersionedCollection) -> None:
    screen = ResolverScreen(bands)

    async def steps(driver: Driver) -> None:
        await begin(driver)
        await driver.press("o", "A")
        await driver.sees("The 1 decided are saved first. Settle the 2 that remain, for good")
        await driver.press("escape")
        assert bands.status()["conflicts"] == 3
        await driver.press("A", "t")
        await driver.sees("No conflict waits")

    drive(screen, steps)
    assert screen.settled == 3
    assert [bands.find_one(k) for k in (0, 1, 2)] == [
        {"_id": 0, "n": 2},
        {"_id": 1, "tags": ["a", "b"]},
        None,
    ]


def test_somebody_else_settles_one_meanwhile(bands: VersionedCollection) -> None:
    first = next(bands.conflicts())

    async def steps(driver: Driver) -> None:
        await begin(driver)
        await driver.press("t", "n", "t")
        bands.resolve_conflict(first, Side.OURS)
        await driver.press("s")
        shown = await driver.sees("error[invalid_operation]: that conflict is settled already")
        assert "1 wait, 0 decided" in shown

    drive(ResolverScreen(bands), steps)
    assert bands.find_one(0)["n"] == 2
    assert bands.find_one(1)["tags"] == ["a", "b"]


def test_the_merge_is_aborted_meanwhile(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await begin(driver)
        await driver.press("t")
        bands.abort_merge()
        await driver.press("s")
        await driver.sees("0 wait, 0 decided")
        await driver.press("A", "s")
        await driver.sees("no conflict waits, and no merge")

    drive(ResolverScreen(bands), steps)
    assert bands.find_one(0)["n"] == 2
    assert not bands.has_changes()


def test_a_place_that_is_gone(db: Database[Any]) -> None:
    bands = conflicting(db, [{"a": {"b": 1}}], [{"a": {"b": 2}}], [{"a": {"b": 3}}])

    async def steps(driver: Driver) -> None:
        await begin(driver, 1)
        bands.delete_one({"_id": 0})
        await driver.press("t", "s")
        await driver.sees("error[place_gone]", "1 wait, 1 decided")
        await driver.press("x", "s")
        await driver.sees("No conflict waits")

    drive(ResolverScreen(bands), steps)
    assert bands.find_one(0) is None


@pytest.mark.sweep
def test_more_conflicts_than_a_page(db: Database[Any]) -> None:
    count = 250
    bands = conflicting(db, *([{"n": value} for _ in range(count)] for value in (1, 2, 3)))

    async def steps(driver: Driver) -> None:
        rows = driver.app.screen.rows
        await begin(driver, count)
        assert len(rows.lines) == 200
        await driver.press("end")
        await driver.until(lambda _: len(rows.lines) == count)
        await driver.press("end", "t", "s")
        await driver.sees("249 wait")

    drive(ResolverScreen(bands), steps)
    assert bands.find_one({"n": 3})["_id"] == count - 1


@pytest.mark.sweep
def test_values_that_are_too_large_to_show(db: Database[Any]) -> None:
    long, large = "x" * 30_000, "y" * 300_000
    bands = conflicting(db, [{"a": 1, "b": 1}], [{"a": long, "b": 2}], [{"a": 3, "b": large}])

    async def steps(driver: Driver) -> None:
        await begin(driver, 2)
        await driver.press("e")
        await driver.sees("too long for one line: vc resolve")
        await driver.press("n")
        await driver.sees("300,006 bytes, too many")
        await driver.press("t", "e")
        await driver.sees("too long for one line: vc resolve")
        await driver.press("s")
        await driver.sees("1 wait, 0 decided")

    drive(ResolverScreen(bands), steps)
    assert bands.find_one(0) == {"_id": 0, "a": long, "b": large}


def test_a_rebase_goes_on(db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.insert_one({"_id": 0, "n": 0})
    bands.init("base")
    bands.create_branch("other")
    for n in (1, 2):
        bands.update_one({"_id": 0}, {"$set": {"n": n}})
        bands.register(f"step {n}")
    bands.checkout(branch="main")
    bands.update_one({"_id": 0}, {"$set": {"n": 9}})
    bands.register("ours")
    bands.checkout(branch="other")
    with pytest.raises(AutoMergeFailedError):
        bands.rebase("main")

    async def steps(driver: Driver) -> None:
        await begin(driver, 1)
        await driver.press("o", "s")
        await driver.sees("and go on with the rebase?")
        await driver.write("")
        await driver.sees("error[auto_merge_failed]", "1 wait")
        await driver.press("t", "s")
        await driver.write("")
        await driver.sees("registered other@")

    drive(ResolverScreen(bands), steps)
    assert not bands.status()["merging"]
    assert bands.branch == "other"
