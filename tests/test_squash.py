"""squash: several versions become one, and no document changes."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import edit, everything, grown, problems, raws, step, tracked
from bson.int64 import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from versioned_collection import VersionedCollection, errors
from versioned_collection.working import recording as recording_module


def line(bands: VersionedCollection, revision: Any = None) -> list[str]:
    """Return the messages from the root to a revision."""
    return [version.message for version in bands.log(revision)][::-1]


@pytest.fixture
def bands(anydb) -> VersionedCollection:
    """The versions main@1 to main@4 each set the mark; main@2 and main@3 do more."""
    collection = tracked(anydb)
    step(collection, 1, author="Ada", metadata={"a": 1})
    collection.insert_one({"_id": "new", "n": 1})
    collection.delete_one({"_id": 2})
    step(collection, 2, author="Ada", metadata={"a": 2, "b": 1})
    collection.delete_one({"_id": "new"})
    collection.insert_one({"_id": 2, "back": Int64(1)})
    step(collection, 3, author="Bob")
    step(collection, 4)
    return collection


def test_to_head(bands):
    before, old = raws(bands), bands.resolve("HEAD")
    new = bands.squash("main@2")
    assert new == bands.resolve("HEAD") == bands.resolve("main")
    assert (bands.branch, bands.is_detached()) == ("main", False)
    assert new.label == "main@5"
    assert new.parents == (bands.resolve("main@1").id,)
    assert (new.message, new.author) == ("v2\n\nv3\n\nv4", None)
    assert new.metadata == {"a": 2, "b": 1}
    assert (new.fingerprint, new.timestamp) == (old.fingerprint, old.timestamp)
    assert new.stats == {"inserted": 0, "updated": 2, "deleted": 0}
    assert raws(bands) == before
    assert not bands.has_changes()
    assert problems(bands) == []
    bands.checkout("HEAD~1")
    assert bands.find_one({"_id": 1})["mark"] == 1
    bands.checkout("main@3")
    bands.checkout("main")
    assert raws(bands) == before


def test_large(anydb, small_limits):
    bands = tracked(anydb)
    for turn in range(4):
        bands.insert_many([{"_id": f"{turn}.{i}"} for i in range(5)])
        bands.delete_many({"_id": {"$regex": f"^{turn - 1}"}})
        bands.update_many({}, {"$inc": {"turn": 1}})
        bands.register(f"turn {turn}")
    before = raws(bands)
    bands.squash("main@2", "main@3")
    assert raws(bands) == before
    assert line(bands) == ["start", "turn 0", "turn 1\n\nturn 2", "turn 3"]
    assert not bands.has_changes()
    assert problems(bands) == []


def test_what_follows_is_recorded_again(bands):
    later = bands.resolve("HEAD")
    new = bands.squash("main@1", "main@3", "all", author="Eve", metadata={"why": 1})
    assert (new.message, new.author, new.metadata) == ("all", "Eve", {"why": 1})
    again = bands.resolve("HEAD")
    assert new.timestamp == bands.resolve("main@3").timestamp
    assert again.parents == (new.id,)
    assert (again.label, again.message) == ("main@6", "v4")
    for what in ("timestamp", "author", "metadata", "stats", "fingerprint"):
        assert getattr(again, what) == getattr(later, what)
    assert line(bands) == ["start", "all", "v4"]
    assert problems(bands) == []


def test_an_author_that_all_share(bands):
    assert bands.squash(1, 2).author == "Ada"


def test_of_one(bands):
    before = everything(bands.database)
    assert bands.squash("main@2", "main@2") == bands.resolve("main@2")
    assert everything(bands.database) == before
    assert bands.squash("main@3", "main@3", "reworded").message == "reworded"
    assert bands.squash("HEAD", message="reworded too").author is None
    assert line(bands) == ["start", "v1", "v2", "reworded", "reworded too"]
    assert problems(bands) == []


def test_uncommitted_changes_stay(bands):
    edit(bands, "dirty", 3)
    bands.insert_one({"_id": "dirty"})
    before, changes = raws(bands), bands.status()["changes"]
    bands.squash("HEAD~1")
    assert raws(bands) == before
    assert bands.status()["changes"] == changes
    bands.register("the rest")
    assert problems(bands) == []


def test_undo(bands):
    before = raws(bands)
    edit(bands, "dirty", 3)
    dirty = raws(bands)
    old = bands.resolve("HEAD")
    bands.squash("main@1", "main@2")
    assert bands.undo().verb == "squash"
    assert bands.resolve("HEAD") == bands.resolve("main") == old
    assert raws(bands) == dirty
    assert bands.status()["changes"]["updated"] == 1
    bands.discard_changes()
    assert raws(bands) == before
    assert problems(bands) == []


def test_nothing_is_left_of_it(anydb):
    bands = tracked(anydb)
    step(bands, 1)
    bands.update_one({"_id": 1}, {"$unset": {"mark": ""}})
    bands.register("taken back")
    new = bands.squash("main@1")
    assert new.stats == {"inserted": 0, "updated": 0, "deleted": 0}
    assert new.fingerprint == bands.resolve("main@0").fingerprint
    assert problems(bands) == []


def test_other_branches_and_tags_stay(anydb):
    bands = grown(anydb)
    side, tagged = bands.resolve("side"), bands.resolve("v1")
    bands.squash("main@1")
    assert (bands.resolve("side"), bands.resolve("v1")) == (side, tagged)
    merged = bands.merge("side", resolver="theirs")
    assert merged.parents == (bands.resolve("HEAD~1").id, side.id)
    assert problems(bands) == []


def test_of_merges(anydb):
    """What was merged within the range was merged, and what was merged later too."""
    bands = grown(anydb)
    bands.checkout("side@0")
    bands.create_branch("third")
    edit(bands, "third", 2)
    bands.register("third")
    third, side = bands.resolve("third"), bands.resolve("side")
    bands.checkout("main")
    bands.merge("side@0", resolver="theirs")
    bands.merge("side", resolver="theirs")
    bands.merge("third")
    tip = bands.resolve("HEAD")
    new = bands.squash("main@2", "main@5")
    assert new.parents == (bands.resolve("main@1").id, side.id)
    again = bands.resolve("HEAD")
    assert again.parents == (new.id, third.id)
    assert again.fingerprint == tip.fingerprint
    assert bands.merge("side") == again
    assert bands.merge("third") == again
    assert problems(bands) == []


def test_on_a_branch_without_versions_of_its_own(anydb):
    bands = grown(anydb)
    bands.create_branch("fresh")
    new = bands.squash("HEAD~1", message="both")
    assert (new.label, bands.version) == ("fresh@0", 0)
    assert bands.resolve("main").label == "main@3"
    assert problems(bands) == []


def test_ids_that_the_server_takes_for_one(anydb):
    bands = tracked(anydb)
    for id_ in (1.0, Int64(1), 1):
        bands.delete_one({"_id": 1})
        bands.insert_one({"_id": id_, "n": id_})
        bands.register(f"{type(id_)}")
    before = raws(bands)
    bands.squash("main@1", "main@2")
    assert raws(bands) == before
    assert problems(bands) == []


def test_revisions_by_time_find_the_same(bands):
    times = [bands.resolve(f"main@{n}").timestamp for n in range(5)]
    before = {time: bands.resolve(f"main@{{{time.isoformat()}}}").fingerprint for time in times}
    bands.squash(1, 2)
    found = {time: bands.resolve(f"main@{{{time.isoformat()}}}").fingerprint for time in times}
    assert all(found[time] == before[time] for time in (times[0], *times[2:]))


def test_refused(bands, monkeypatch):
    bands.checkout("main@1")
    bands.create_branch("other")
    step(bands, "other")
    bands.checkout("main")
    before = everything(bands.database)
    for error, call in (
        (errors.InvalidArgument, lambda: bands.squash("main@0")),
        (errors.InvalidArgument, lambda: bands.squash("main@0", "main@0", "root")),
        (errors.InvalidArgument, lambda: bands.squash("main@3", "main@2")),
        (errors.InvalidArgument, lambda: bands.squash("other", "main@2")),
        (errors.InvalidArgument, lambda: bands.squash("main@1", "other")),
        (errors.InvalidCollectionVersion, lambda: bands.squash("nowhere")),
        (errors.InvalidCollectionVersion, lambda: bands.squash("main@1", 99)),
        (errors.InvalidType, lambda: bands.squash(1.5)),
        (errors.InvalidType, lambda: bands.squash("main@1", message=1)),
        (errors.InvalidType, lambda: bands.squash("main@1", author=1)),
        (errors.InvalidType, lambda: bands.squash("main@1", metadata="x")),
        (errors.InvalidArgument, lambda: bands.squash("main@1", message="x" * (1 << 20))),
    ):
        with pytest.raises(error):
            call()
    monkeypatch.setattr(recording_module, "LARGEST_ENTRIES", 500)
    with pytest.raises(errors.InvalidOperation, match="in parts"):
        bands.squash("main@1", "main@2")
    assert everything(bands.database) == before
    bands.checkout("main@3")
    with pytest.raises(errors.InvalidOperation, match="detached"):
        bands.squash("main@1")
    with pytest.raises(errors.CollectionNotTracked):
        VersionedCollection(bands.database, "others").squash("HEAD")


def test_messages_that_are_too_large_together(bands):
    for turn in range(2):
        edit(bands, turn)
        bands.register("x" * 600_000)
    head = bands.resolve("HEAD")
    with pytest.raises(errors.InvalidArgument, match="message"):
        bands.squash("HEAD~1")
    assert bands.resolve("HEAD") == head
    assert bands.squash("HEAD~1", message="short").message == "short"


def test_not_while_a_merge_waits(anydb):
    bands = grown(anydb)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    with pytest.raises(errors.InvalidOperation, match="merge waits"):
        bands.squash("main@2")


# -- laws -----------------------------------------------------------------------------------

VALUES = st.sampled_from([0, 1, 1.0, -0.0, "x", None, [], ["a", "b"], {"k": 1}, Int64(1)])
EDITS = st.dictionaries(
    st.integers(1, 4),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["n", "m", "o"]), VALUES)),
    max_size=4,
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=st.lists(EDITS, min_size=2, max_size=5), data=st.data())
def test_contents_are_exact(db, edits, data):
    db.drop_collection("bands")
    bands = tracked(db)
    states = [raws(bands)]
    for turn, changes in enumerate(edits):
        for id_, fields in changes.items():
            if fields is None:
                bands.delete_one({"_id": id_})
            else:
                bands.replace_one({"_id": id_}, fields, upsert=True)
        bands.insert_one({"_id": f"turn {turn}"})
        bands.register(f"{turn}")
        states.append(raws(bands))
    first = data.draw(st.integers(1, len(edits)))
    last = data.draw(st.integers(first, len(edits)))
    bands.squash(first, last, "squashed")
    assert not bands.has_changes()
    kept = states[:first] + states[last:]
    for back, expected in enumerate(reversed(kept)):
        bands.checkout(f"main~{back}")
        assert raws(bands) == expected
    bands.checkout("main")
    assert problems(bands) == []
    bands.drop()
