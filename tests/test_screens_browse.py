"""The browser of the history, driven by keys."""

from __future__ import annotations

import asyncio
from threading import Event, Thread
from typing import Any

import pytest
from pymongo.database import Database
from screen_support import Driver, drive

from versioned_collection import VersionedCollection
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.screens import reading
from versioned_collection.cli.screens.app import Screens
from versioned_collection.cli.screens.log import LogScreen
from versioned_collection.cli.screens.reading import History


@pytest.fixture
def bands(db: Database[Any]) -> VersionedCollection:
    """A branch and a merge: five versions."""
    bands = VersionedCollection(db, "bands")
    bands.insert_many({"_id": k, "name": f"band {k}", "albums": k} for k in range(3))
    bands.init("the start")
    bands.update_one({"_id": 1}, {"$set": {"albums": 11}})
    bands.register("more albums", author="Ada")
    bands.tag("v1")
    bands.create_branch("names")
    bands.update_one({"_id": 2}, {"$set": {"name": "Can"}})
    bands.register("a better name", author="Bob")
    bands.checkout(branch="main")
    bands.delete_one({"_id": 0})
    bands.insert_one({"_id": "x", "name": "new"})
    bands.register("one less, one more", author="Ada")
    bands.merge("names")
    return bands


def test_nobody_waits_while_a_person_looks_at_differences(
    bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHANGES", 2)
    monkeypatch.setattr("versioned_collection.verbs.diff._FEW", 2)
    bands.update_many({}, {"$set": {"seen": True}})
    bands.insert_one({"_id": "y"})
    bands.register("seen")
    pages = History(bands).differences(bands.resolve("main@0"), bands.resolve("main"))
    found = pages.more(1)
    other = VersionedCollection(bands.database, bands.name, lease_wait_seconds=0)
    assert not other.has_changes()
    found += pages.more()
    assert len({one.key for one in found}) == len(found) == 5


def screen(bands: VersionedCollection, start: Any = None) -> LogScreen:
    return LogScreen(History(bands, start))


def test_the_graph_is_that_of_the_log(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        shown = await driver.sees("the start")
        lines = [line for line in shown.split("\n") if "@" in line]
        assert "* main@3" in lines[0]
        assert "(HEAD -> main)" in lines[0]
        assert "|\\" in shown
        assert "| * names@0" in shown
        assert "(names) now Bob a better name" in shown
        assert "tag: v1" in shown
        assert "Ada" in shown
        await driver.sees("Merge names into main", "1 updated", "M 2")

    drive(screen(bands), steps)


def test_only_what_a_version_descends_from(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        shown = await driver.sees("the start", "names@0")
        assert "one less" not in shown

    drive(screen(bands, bands.resolve("names")), steps)


def test_details_and_a_document(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        await driver.press("j")
        shown = await driver.sees("version main@2", "1 inserted, 1 deleted", "D 0")
        assert 'A "x"' in shown
        await driver.press("enter", "enter")  # to the documents, and the first of them
        await driver.sees("--- main@1", '-  "name": "band 0"', "versions")
        await driver.press("backspace", "down", "enter")
        await driver.sees('+  "name": "new"', "insert one less")
        await driver.press("escape")
        await driver.sees("history", "documents")

    drive(screen(bands), steps)


def test_the_versions_of_a_document(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        await driver.press("/")
        await driver.write("more albums")
        await driver.sees("M 1")
        await driver.press("enter", "enter")
        await driver.sees('-  "albums": 1', '+  "albums": 11')
        await driver.press("tab")
        shown = await driver.sees("update more albums", "insert the start")
        assert "+++ main@1" in shown
        await driver.press("down", "enter")
        shown = await driver.sees("+++ main@0", '+  "albums": 1')
        assert '-  "albums"' not in shown

    drive(screen(bands), steps)


def test_search(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        for text, label in (("BOB", "names@0"), ("tag: v1", "main@1"), ("the start", "main@0")):
            await driver.press("g", "/")
            await driver.write(text)
            await driver.sees(f"version {label} ")
        await driver.press("n")
        await driver.sees("no further version has 'the start'")
        await driver.press("g", "/", "escape")
        await driver.sees("version main@3")

    drive(screen(bands), steps)


@pytest.mark.sweep
def test_two_marked_versions(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        await driver.press("d")
        await driver.sees("compare what?")
        await driver.press("G", "space")
        await driver.sees("marked: main@0", "> * main@0")
        await driver.press("g", "d")
        shown = await driver.sees("main@0 to main@3", "4 documents differ")
        assert all(text in shown for text in ("D 0", "M 1", "M 2", 'A "x"'))
        await driver.press("j", "enter")
        await driver.sees("--- main@0", "+++ main@3", '+  "albums": 11')
        await driver.press("escape", "escape", "G", "space")
        await driver.sees("marked: nothing")

    drive(screen(bands), steps)


def test_checkout_asks_and_shows_what_is_in_the_way(bands: VersionedCollection) -> None:
    bands.update_one({"_id": 1}, {"$set": {"albums": 12}})

    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        await driver.press("G", "c")
        await driver.sees("Check out main@0?")
        await driver.press("n")
        assert bands.resolve("HEAD").label == "main@3"
        await driver.press("c", "y")
        await driver.sees("error[invalid_operation]")
        assert bands.resolve("HEAD").label == "main@3"
        assert bands.find_one(1)["albums"] == 12
        bands.discard_changes()
        await driver.press("c", "y")
        await driver.sees("HEAD is detached at main@0", "(HEAD) now the start")
        assert bands.is_detached()
        assert bands.count_documents({}) == 3
        await driver.press("g", "c")
        await driver.sees("Check out branch main, main@3?")
        await driver.press("y")
        await driver.sees("checked out branch main", "HEAD -> main")
        assert not bands.is_detached()

    drive(screen(bands), steps)


def test_tag_and_branch(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        await driver.press("j", "t", "escape")
        assert set(bands.tags()) == {"v1"}
        await driver.press("t")
        await driver.write("v@{1}")
        await driver.sees("would be read as")
        await driver.write("v1")
        await driver.sees("error[", "v1")
        await driver.press("t")
        await driver.write("v2")
        await driver.sees("main@2 is tagged v2", "tag: v2")
        assert bands.tags()["v2"].label == "main@2"
        await driver.press("b")
        await driver.sees("Name of a branch at main@2 (checks main@2 out first):")
        await driver.write("names")
        await driver.sees("there is a branch 'names' already")
        assert bands.resolve("HEAD").label == "main@3"
        await driver.press("b")
        await driver.write("more")
        await driver.sees("on the new branch more", "HEAD -> more")
        assert (bands.branch, bands.resolve("HEAD").label) == ("more", "main@2")

    drive(screen(bands), steps)


def test_help_and_quit(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        await driver.press("?")
        await driver.sees("compare the two marked versions")
        await driver.press("escape", "q")
        assert driver.app.return_code == 0

    drive(screen(bands), steps)


def test_quitting_waits_for_no_read(bands: VersionedCollection, monkeypatch: Any) -> None:
    reading, go_on, ended = Event(), Event(), Event()

    def stuck(history: History) -> Any:
        reading.set()
        go_on.wait()
        ended.set()
        return names(history.collection)

    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        monkeypatch.setattr(History, "names", stuck)
        await driver.begin("r")
        await asyncio.to_thread(reading.wait, 30)
        await driver.begin("q")
        assert driver.app.return_code == 0

    names = History.names
    drive(screen(bands), steps)
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(30)


def test_quitting_waits_until_a_lease_is_given_back(
    bands: VersionedCollection, monkeypatch: Any
) -> None:
    """Others would have to wait for its expiry."""
    monkeypatch.setattr("versioned_collection.verbs.diff._TOLD_AT_ONCE", 1)
    history = History(bands)
    old, new = bands.resolve("main@0"), bands.resolve("main@1")
    holding = Event()
    tell = History._go_on

    def going_on(self: History, *facts: Any) -> None:
        holding.set()
        self._is_over.wait()
        tell(self, *facts)

    monkeypatch.setattr(History, "_go_on", going_on)

    def read() -> None:
        with pytest.raises(UsageFailure):
            history.differences(old, new).more()

    app = Screens(LogScreen(history))
    reader = Thread(target=read)
    reader.start()
    assert holding.wait(30)
    app.call_later(app.exit)
    app.show(headless=True)
    assert bands._repository.leases.peek()[1]
    reader.join()


@pytest.mark.sweep
def test_what_comes_from_documents_is_shown_as_it_is(db: Database[Any]) -> None:
    wild = VersionedCollection(db, "wild")
    wild.insert_one({"_id": "[bold]", "text": "[red]x[/red]"})
    wild.init("[link=x]start[/link] \x1b[31m")
    wild.update_one({"_id": "[bold]"}, {"$set": {"text": "\x1b]0;title\x07 \x9b31m [/] \u202e"}})
    wild.register("[/] [b]more[/b]\x07", author="\x1b[2J[i]Eve")

    async def steps(driver: Driver) -> None:
        await driver.sees("[/] [b]more[/b]\\u0007", "\\u001b[2J[i]Eve", 'M "[bold]"')
        await driver.press("enter", "enter")
        shown = await driver.sees('-  "text": "[red]x[/red]"', "\\u202e", "\\u009b31m [/]")
        assert "\\u001b]0;title\\u0007" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e")
        await driver.press("escape", "/")
        await driver.write("[nothing]")
        await driver.sees("no further version has '[nothing]'")

    drive(screen(wild), steps)


@pytest.mark.sweep
def test_a_long_history_is_read_as_it_is_looked_at(db: Database[Any]) -> None:
    bands = VersionedCollection(db, "bands")
    bands.init("first of all")
    head = bands.resolve("HEAD")
    entry = db["__log_bands"].find_one({"_id": head.id})
    copies, parent = [], head.id
    for number in range(1, 1001):
        one = {**entry, "_id": type(head.id)(), "number": number, "parents": [parent]}
        copies.append({**one, "message": f"version {number}", "checksum": f"{number:064x}"})
        parent = copies[-1]["_id"]
    db["__log_bands"].insert_many(copies)
    db["__branches_bands"].update_one({"_id": "main"}, {"$set": {"tip": parent}})

    async def steps(driver: Driver) -> None:
        rows = driver.app.screen.log_rows
        await driver.sees("version 1000")
        assert len(rows.lines) == 200
        await driver.press("end")
        await driver.until(lambda _: len(rows.lines) == 400)
        await driver.press("/")
        await driver.write("version 42")
        await driver.sees("version main@429 ")
        assert len(rows.lines) <= 800
        await driver.press("/")
        await driver.write("first of all")
        await driver.sees("version main@0 ")
        assert len(rows.lines) == 1001

    drive(screen(bands), steps)


def test_versions_that_are_removed_meanwhile(
    bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = History(bands).log()
    monkeypatch.setattr(bands, "log", lambda *_: iter(()))
    with pytest.raises(UsageFailure, match="versions were removed meanwhile"):
        pages.more()
    assert pages.more() == []


@pytest.mark.sweep
def test_a_large_version_is_read_as_it_is_looked_at(
    db: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHANGES", 300)
    bands = VersionedCollection(db, "bands")
    bands.init("nothing")
    bands.insert_many({"_id": k} for k in range(500))
    bands.register("many")

    async def steps(driver: Driver) -> None:
        rows = driver.app.screen.documents
        await driver.sees("A 0")
        assert len(rows.lines) == 200
        await driver.press("enter", "end")
        await driver.until(lambda _: len(rows.lines) == 400)
        await driver.press("escape", "G", "space", "g", "d")
        await driver.sees("documents differ, and more")
        differing = driver.app.screen.query_one("#documents")
        for _ in range(3):
            await driver.press("end")
        await driver.sees("500 documents differ")
        assert [row.value.op for row in differing.lines] == ["insert"] * 500

    drive(screen(bands), steps)


def test_what_breaks_is_told_without_the_values_of_variables(
    bands: VersionedCollection, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(_: LogScreen) -> None:
        password = "hush"
        raise RuntimeError(f"broken by {len(password)}")

    monkeypatch.setattr(LogScreen, "on_mount", broken)
    with pytest.raises(RuntimeError, match="broken by 4"):
        Screens(screen(bands)).show(headless=True)
    out, err = capfd.readouterr()
    assert "hush" not in out + err


def test_errors_of_the_server_are_shown(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        bands.database["__log_bands"].update_many({}, {"$set": {"format": 99}})
        await driver.press("r")
        await driver.sees("error[format_mismatch]", "99")

    drive(screen(bands), steps)


def test_a_history_that_changes_meanwhile(bands: VersionedCollection) -> None:
    async def steps(driver: Driver) -> None:
        await driver.sees("the start")
        bands.insert_one({"_id": 9})
        bands.register("from elsewhere")
        await driver.press("r")
        await driver.sees("* main@4", "from elsewhere", "version main@3")

    drive(screen(bands), steps)
