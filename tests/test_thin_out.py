"""thin_out: old versions go, and what is kept stays what it was."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from api_support import BANDS, RAW, edit, everything, grown, labels, mark, raws, step, tracked
from bson import ObjectId
from harness.trap import shrink_limits
from histories import grow, steps, tried
from hypothesis import given
from hypothesis import strategies as st
from remote_support import assert_equal, assert_whole, other_database, put

from versioned_collection import Retention, ThinnedOut, VersionedCollection, errors
from versioned_collection.core.retention import needed, runs
from versioned_collection.core.tree import Ancestry, Node, VersionTree
from versioned_collection.remotes import transfer
from versioned_collection.trackers.log import LogCollection
from versioned_collection.verbs import thin_out as verb

LAST = Retention(keep_last=1)
_names = itertools.count()


@pytest.fixture
def bands(anydb) -> VersionedCollection:
    """A line of versions main@0 to main@6, where documents also come and go."""
    collection = tracked(anydb)
    for turn in range(1, 7):
        collection.insert_one({"_id": f"new{turn}", "big": "x" * 100})
        collection.delete_one({"_id": f"new{turn - 2}"})
        step(collection, turn)
    return collection


def read(bands: VersionedCollection, revision: Any) -> list[bytes]:
    """Return the documents of a version, without a checkout."""
    return sorted(one.raw for one in bands.with_options(codec_options=RAW).at(revision).find())


def states(bands: VersionedCollection) -> dict[ObjectId, Any]:
    """Return the documents of every version, and what is said about it."""
    repository = bands._repository
    return {
        entry.id: (entry.checksum, entry.label, read(bands, entry.id))
        for entry in repository.log.get_many(repository.log.tree())
    }


def contents(bands: VersionedCollection) -> dict[ObjectId, list[bytes]]:
    """Return the documents of every version, as a checkout brings them."""
    found = {}
    for version in bands._repository.log.tree():
        bands.checkout(version)
        found[version] = raws(bands)
    return found


# -- what goes and what stays ----------------------------------------------------------------


def test_only_the_ends_of_a_line_stay(bands):
    before, present = {v.id: v for v in bands.log()}, raws(bands)
    old = bands.resolve("main@0")
    done = bands.thin_out(LAST)
    assert done == ThinnedOut(tuple(f"main@{n}" for n in range(1, 6)), 2, ())
    assert labels(bands.log()) == ["main@6", "main@0"]
    tip = bands.resolve("main")
    assert tip.parents == (old.id,)
    assert [name[1:] for name in tip.gap.versions] == [("main", n) for n in range(1, 6)]
    assert tip.checksum == before[tip.id].checksum
    assert raws(bands) == present
    assert_whole(bands)
    bands.checkout("main@0")
    assert mark(bands) is None
    bands.checkout("main")
    assert raws(bands) == present
    assert_whole(bands)
    assert bands.thin_out(LAST) == ThinnedOut((), 2, ())


def test_a_rehearsal_changes_nothing(anydb, bands):
    before = everything(anydb)
    rehearsed = bands.thin_out(LAST, dry_run=True)
    assert everything(anydb) == before
    assert rehearsed == bands.thin_out(LAST)


@pytest.mark.parametrize("retention", [Retention(), Retention(keep_last=100)])
def test_without_a_rule_all_stays(anydb, bands, retention):
    before = everything(anydb)
    assert bands.thin_out(retention) == ThinnedOut((), 7, ())
    assert everything(anydb) == before


def test_the_latest_stay(bands):
    bands.thin_out(Retention(keep_last=3))
    assert labels(bands.log()) == ["main@6", "main@5", "main@4", "main@0"]
    assert_whole(bands)
    step(bands, 7)
    bands.thin_out(Retention(keep_last=3))
    assert labels(bands.log()) == ["main@7", "main@6", "main@5", "main@0"]
    kept = bands.resolve("main@5")
    assert [number for _, _, number in kept.gap.versions] == [1, 2, 3, 4]
    assert_whole(bands)


def test_where_branches_part_and_meet_stays(anydb):
    bands = grown(anydb)
    for turn in range(3):
        step(bands, f"m{turn}")
    bands.insert_one({"_id": "merged"})
    bands.register("before the merge")
    bands.merge("side", resolver="ours")
    for turn in range(3):
        step(bands, f"n{turn}")
    before = contents(bands)
    bands.checkout(branch="main")
    done = bands.thin_out(LAST)
    assert "main@1" not in done.versions  # here they part, and it has a tag
    assert "main@7" not in done.versions  # a parent of the merge
    assert {"main@2", "main@5", "main@6", "main@9", "side@0"} <= {*done.versions}
    after = contents(bands)
    assert after == {version: before[version] for version in after}
    bands.checkout(branch="main")
    assert_whole(bands)
    assert bands.merge("side") == bands.resolve("main")


def test_tags(bands):
    bands.tag("release", "main@3")
    bands.thin_out(LAST)
    assert labels(bands.log()) == ["main@6", "main@3", "main@0"]
    assert bands.thin_out(Retention(keep_last=1, keep_tags=False)).tags == ("release",)
    assert labels(bands.log()) == ["main@6", "main@0"]
    assert bands.tags() == {}
    assert_whole(bands)


def test_what_is_checked_out_or_stashed_on_or_shown_stays(bands):
    bands.publish_view("main@4", "shown")
    bands.checkout("main@2")
    edit(bands, "stashed")
    bands.stash()
    bands.checkout("main@3")
    bands.thin_out(LAST)
    assert sorted(labels(bands.log("main"))) == [f"main@{n}" for n in (0, 2, 3, 4, 6)]
    assert bands.views()["shown"].label == "main@4"
    bands.checkout("main@2")
    bands.stash_apply()
    assert mark(bands) == "stashed"


def test_one_version_a_day(bands, monkeypatch):
    times = bands._repository.log.times()
    order = [version.id for version in bands.log()][::-1]
    start = datetime(2026, 1, 1, 20, tzinfo=timezone.utc)
    shifted = {version: start + timedelta(hours=5 * n) for n, version in enumerate(order)}
    assert shifted.keys() == times.keys()
    # 20:00, 1:00, 6:00, 11:00, 16:00, 21:00, 2:00
    monkeypatch.setattr(type(bands._repository.log), "times", lambda self: shifted)
    monkeypatch.setattr(type(bands._repository), "now", lambda self: start + timedelta(days=40))
    assert bands.thin_out(Retention(daily_after=100)).versions == ()
    assert bands.thin_out(Retention(daily_after=timedelta(days=30))).versions == (
        "main@1",
        "main@2",
        "main@3",
        "main@4",
    )
    assert labels(bands.log()) == ["main@6", "main@5", "main@0"]
    assert_whole(bands)


# -- what is gone ----------------------------------------------------------------------------


def test_a_version_that_is_gone(anydb, bands):
    gone = bands.resolve("main@3")
    bands.thin_out(LAST)
    before = everything(anydb)
    for revision in ("main@3", 3, gone, gone.id, (3, "main")):
        with pytest.raises(errors.VersionThinnedOut, match="main@6 is the next") as caught:
            bands.checkout(revision)
        assert caught.value.facts["stands_for_it"] == bands.resolve("main").id
    with pytest.raises(errors.InvalidCollectionVersion, match="no version") as caught:
        bands.checkout(99)
    assert not isinstance(caught.value, errors.VersionThinnedOut)
    assert everything(anydb) == before
    assert bands.resolve("main~1").label == "main@0"


def test_what_was_done_to_a_version_that_is_gone_cannot_be_undone(bands):
    bands.create_branch("other")
    bands.checkout("main@3")
    bands.checkout("main")
    bands.delete_branch("other")
    bands.thin_out(LAST)
    bands.undo()  # the branch comes back
    with pytest.raises(errors.InvalidOperation, match="not in the log"):
        bands.undo()


def test_while_a_merge_waits(anydb):
    bands = grown(anydb)
    with pytest.raises(errors.AutoMergeFailedError):
        bands.merge("side")
    before = everything(anydb)
    with pytest.raises(errors.InvalidOperation, match="merge waits"):
        bands.thin_out(LAST)
    assert everything(anydb) == before


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"keep_last": 0}, errors.InvalidArgument),
        ({"keep_last": "3"}, errors.InvalidType),
        ({"keep_last": True}, errors.InvalidType),
        ({"daily_after": -1}, errors.InvalidArgument),
        ({"daily_after": timedelta(days=-1)}, errors.InvalidArgument),
        ({"weekly_after": float("nan")}, errors.InvalidArgument),
        ({"weekly_after": "30d"}, errors.InvalidType),
        ({"keep_tags": 1}, errors.InvalidType),
    ],
)
def test_bad_rules(rules, error):
    with pytest.raises(error):
        Retention(**rules)


def test_bad_input(bands):
    for bad in (None, 3, {"keep_last": 1}):
        with pytest.raises(errors.InvalidType):
            bands.thin_out(bad)


def test_an_untracked_collection(anydb):
    assert VersionedCollection(anydb, "none").thin_out(LAST) == ThinnedOut()
    assert anydb.list_collection_names() == []


# -- together with the rest ------------------------------------------------------------------


@pytest.mark.sweep
def test_large_documents_and_changes(anydb, small_limits):
    bands = tracked(anydb)
    for turn in range(5):
        bands.replace_one({"_id": "large"}, {"text": chr(97 + turn) * 9_000_000}, upsert=True)
        bands.insert_many([{"_id": f"{turn}.{i}"} for i in range(5)])
        bands.delete_many({"_id": {"$regex": f"^{turn - 1}"}})
        bands.update_many({"since": {"$exists": True}}, {"$inc": {"turn": 1}})
        bands.register(f"turn {turn}")
    present = raws(bands)
    bands.thin_out(LAST)
    assert labels(bands.log()) == ["main@5", "main@0"]
    assert_whole(bands)
    bands.checkout("main@0")
    bands.checkout("main")
    assert raws(bands) == present
    assert bands.gc()["versions_without_log_entry"] == 0
    assert_whole(bands)


def test_one_step_at_a_time(anydb, monkeypatch):
    """The lease is let go between steps, and each leaves a history that is whole."""
    monkeypatch.setattr(verb, "MOST_SECONDS", 0.0)
    bands = tracked(anydb)
    for turn in range(8):
        step(bands, turn)
        if turn % 3 == 2:
            bands.tag(f"t{turn}")
    found = []
    carry_out = verb._carry_out

    def one(hold: Any, plan: Any) -> ThinnedOut:
        found.append(len(plan.runs))
        return carry_out(hold, plan)

    monkeypatch.setattr(verb, "_carry_out", one)
    done = bands.thin_out(LAST)
    assert found == [3, 2, 1]
    assert len(done.versions) == 5
    assert_whole(bands)


@pytest.mark.sweep
def test_planning_goes_through_the_history_a_few_times(anydb, monkeypatch):
    """Not once for each run of versions that goes."""
    bands = tracked(anydb)
    steps = 0
    parent = Ancestry.parent

    def counted(tree: Ancestry, version: ObjectId) -> Any:
        nonlocal steps
        steps += 1
        return parent(tree, version)

    monkeypatch.setattr(Ancestry, "parent", counted)
    found = []
    for turns in (range(20), range(20, 60)):
        for turn in turns:
            step(bands, turn)
            if turn % 2:
                bands.tag(f"t{turn}")
        steps = 0
        assert len(bands.thin_out(LAST, dry_run=True).versions) == len(bands.tags())
        found.append(steps)
    assert found[1] < 4 * found[0]


def test_spans_are_read_once_for_many_runs(anydb, monkeypatch):
    monkeypatch.setattr(verb, "MOST_SECONDS", 1e6)
    bands = tracked(anydb)
    for turn in range(9):
        step(bands, turn)
        if turn % 2:
            bands.tag(f"t{turn}")
    spans, read = bands._repository.spans, []
    every = type(spans).all

    def counted(tracker: Any) -> Any:
        read.append(tracker)
        return every(tracker)

    monkeypatch.setattr(type(spans), "all", counted)
    assert len(bands.thin_out(LAST).versions) == 4
    assert len(read) == 1
    assert_whole(bands)


@pytest.mark.sweep
def test_spans_over_what_goes(anydb):
    """What stood for many versions would lead elsewhere once some of these are gone."""
    bands = tracked(anydb)
    for turn in range(40):
        step(bands, turn)
    assert any(span.kept for span in bands._repository.spans.all())
    bands.tag("early", "main@10")
    bands.thin_out(Retention(keep_last=5))
    assert_whole(bands)
    bands.checkout("main@0")
    assert mark(bands) is None
    bands.checkout("early")
    assert mark(bands) == 9
    bands.checkout("main")
    assert mark(bands) == 39
    for turn in range(40, 80):
        step(bands, turn)
    bands.gc()
    bands.checkout("early")
    assert_whole(bands)


def test_a_span_that_begins_behind_what_goes(anydb, monkeypatch):
    """It does not hold what the version behind the gap stands for now."""
    shrink_limits(monkeypatch.setattr, {"LEAST_VERSIONS": 2, "LONG_WAY": 2})
    bands = tracked(anydb)
    for turn in range(1, 9):
        bands.update_one({"_id": 2 if turn < 3 else 1}, {"$set": {"turn": turn}})
        bands.register(f"v{turn}")
    bands.tag("kept", "main@3")
    bands.gc()
    third, fourth = bands.resolve("main@3"), bands.resolve("main@4")
    (span,) = (s for s in bands._repository.spans.all() if s.end == fourth.id and s.versions == 2)
    assert span.kept
    assert span.start == bands.resolve("main@2").id
    present = raws(bands)
    bands.thin_out(Retention(keep_last=5))
    assert bands.resolve("main@3").parents == (bands.resolve("main@0").id,)
    assert third.checksum == bands.resolve("main@3").checksum
    assert read(bands, "main@0") == sorted(bson.encode(band) for band in BANDS)
    bands.checkout("main@0")
    bands.checkout("main")
    assert raws(bands) == present
    bands.gc()
    bands.checkout("main@0")
    assert_whole(bands)


def test_history_of_a_document(bands):
    tip = bands.resolve("main").id
    bands.thin_out(LAST)
    (last,) = (one for one in bands.history(1) if one.version.id == tip)
    assert last.document["mark"] == 6
    assert {one.version.id for one in bands.blame(1) if one.path == ("mark",)} <= {tip}


def test_the_reflog_and_what_comes_after(bands):
    bands.thin_out(LAST)
    step(bands, 7)
    bands.undo()
    assert bands.resolve("main").label == "main@6"
    edit(bands, 8)
    bands.stash()
    bands.stash_apply()
    bands.discard_changes()
    bands.rename_branch("main", "trunk")
    assert labels(bands.log()) == ["trunk@6", "main@0"] or labels(bands.log())[0] == "trunk@6"
    assert_whole(bands)


# -- sharing ---------------------------------------------------------------------------------


def copied(bands: VersionedCollection, there: Any) -> VersionedCollection:
    return VersionedCollection.clone(bands, there)


def test_a_clone_of_what_is_left(bands, there):
    bands.thin_out(Retention(keep_last=2))
    copy = copied(bands, there)
    assert_equal(copy, bands)
    assert copy.resolve("main@5").gap == bands.resolve("main@5").gap
    assert copy.thin_out(LAST).versions == ("main@5",)
    assert_whole(copy)
    step(copy, 8)
    copy.push(bands)
    bands.pull(copy)
    assert raws(copy) == raws(bands)
    assert_whole(copy, bands)


def test_sharing_goes_on_with_a_side_that_keeps_all(bands, there):
    copy = copied(bands, there)
    bands.thin_out(LAST)
    put(bands, "here", id_=2)
    assert bands.push(copy)
    assert copy.resolve("main~1").label == "main@6"
    put(copy, "there", id_=3)
    bands.pull(copy)
    assert labels(bands.log()) == ["main@8", "main@7", "main@6", "main@0"]
    assert raws(copy) == raws(bands)
    assert_whole(copy, bands)


def test_a_side_that_was_behind(bands, there):
    """Its tip is gone here, and yet it is behind."""
    bands.checkout("main@3")
    old = bands.resolve("HEAD")
    copy = VersionedCollection(there, "bands")
    copy.pull(bands)
    copy.checkout("main")
    bands.checkout("main")
    copy.reset("main@3", hard=True)
    assert copy.resolve("main") == old
    with other_database(there.client) as third:
        early = copied(copy, third)
        assert labels(early.log())[0] == "main@3"
        bands.thin_out(LAST)
        early.pull(bands)
        assert labels(early.log()) == ["main@6", "main@0"]
        assert raws(early) == raws(bands)
        assert_whole(early)


def test_pushing_to_a_side_that_was_behind(bands, there):
    with other_database(there.client) as third:
        early = copied(bands, third)
        early.reset("main@3", hard=True)
        behind = VersionedCollection(there, "bands")
        early.push(behind)
        assert labels(behind.log())[0] == "main@3"
        bands.thin_out(LAST)
        bands.push(behind)
        assert labels(behind.log()) == ["main@6", "main@0"]
        assert raws(behind) == raws(bands)
        assert_whole(behind, bands)


def test_versions_come_back_where_somebody_needs_them(bands, there):
    copy = copied(bands, there)
    copy.checkout("main@3")
    edit(copy, "from the past")
    copy.register("side", "side")
    bands.thin_out(LAST)
    bands.fetch(copy)
    bands.pull(copy, "side")
    assert bands.resolve("main@3").label == "main@3"
    bands.checkout("side")
    assert mark(bands) == "from the past"
    bands.checkout("main")
    assert_whole(bands)
    bands.merge("side", resolver="ours")
    assert_whole(bands)


def test_a_parent_that_goes_while_versions_arrive(bands, there, monkeypatch):
    copy = copied(bands, there)
    bands.checkout("main@3")
    edit(bands, "aside")
    bands.register("side", "side")
    send = transfer.send

    def sent_too_late(*args: Any) -> None:
        send(*args)
        copy.thin_out(LAST)
        monkeypatch.undo()

    monkeypatch.setattr("versioned_collection.verbs.push.send", sent_too_late)
    with pytest.raises(errors.InvalidOperation, match="removed meanwhile"):
        bands.push(copy, "side")
    assert "side" not in copy.branches()
    assert_whole(copy)
    bands.push(copy, "side")
    assert copy.resolve("side~1").label == "main@3"
    assert_whole(copy, bands)


def test_a_malformed_gap_is_refused(bands, there):
    bands.thin_out(LAST)
    tip = bands.resolve("main").id
    log = bands.database["__log_bands"]
    for gap in ({"versions": [], "parents": [], "digest": "0"}, {"versions": 3}, None, "x"):
        log.update_one({"_id": tip}, {"$set": {"gap": gap}})
        with pytest.raises(errors.TransferRefused):
            VersionedCollection(there, "bands").pull(bands)
    assert there.list_collection_names() == [] or not VersionedCollection(there, "bands").log()


# -- laws ------------------------------------------------------------------------------------


def _what_is_kept_is_what_it_was(db: Any, history: Any, last: int) -> None:
    bands = tracked(db, f"c{next(_names)}")
    grow(bands, history)
    present, before = raws(bands), states(bands)
    bands.thin_out(Retention(keep_last=last))
    after = states(bands)
    assert after == {version: before[version] for version in after}
    assert raws(bands) == present
    assert_whole(bands)
    bands.drop()


_laws = given(history=steps, last=st.integers(1, 3))


@tried(5)
@_laws
def test_what_is_kept_is_what_it_was(db, history, last):
    _what_is_kept_is_what_it_was(db, history, last)


@pytest.mark.sweep
@tried(100)
@_laws
def test_what_is_kept_is_always_what_it_was(anydb, history, last):
    _what_is_kept_is_what_it_was(anydb, history, last)


nodes = st.integers(1, 25).flatmap(
    lambda size: st.tuples(*(st.integers(0, max(n - 1, 0)) for n in range(size)))
)


@given(parents=nodes, kept=st.sets(st.integers(0, 24)))
def test_runs_leave_the_needed(parents, kept):
    ids = [ObjectId() for _ in parents]
    tree = VersionTree(
        Node(ids[n], (ids[parent],) if n else (), n, "main") for n, parent in enumerate(parents)
    )
    stay = needed(tree, [ids[n] for n in kept if n < len(ids)])
    found = runs(tree, stay)
    gone = [version for run in found for version in run.versions]
    assert len(gone) == len(set(gone))
    assert set(gone) == set(tree) - stay
    for run in found:
        line = [run.end, *run.versions[::-1], run.start]
        assert all(tree.parent(one) == above for one, above in itertools.pairwise(line))
        assert {run.start, run.end} <= stay


def test_ages_that_reach_before_the_first_year(db):
    bands = grown(db)
    for age in (800_000, 999_999, timedelta(days=800_000), timedelta.max):
        rules = Retention(daily_after=age, yearly_after=age)
        assert bands.thin_out(rules).versions == ()


def test_versions_leave_in_batches(bands, monkeypatch, small_limits):
    """Behind the names, children first; what a process leaves half done is completed."""
    log, left = bands.database["__log_bands"], []

    def look(self: LogCollection, *args: Any) -> None:
        assert log.find_one({"number": 6})["parents"] == [log.find_one({"number": 0})["_id"]]
        left.append(sorted(log.distinct("number")))
        if len(left) == 3:
            raise RuntimeError("killed")
        delete(self, *args)

    delete = LogCollection.delete
    with monkeypatch.context() as patch:
        patch.setattr(LogCollection, "delete", look)
        with pytest.raises(RuntimeError):
            bands.thin_out(LAST)
    assert left == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 6], [0, 1, 6]]
    again = VersionedCollection(bands.database, "bands")
    assert again.thin_out(LAST) == ThinnedOut(kept=2)
    assert len(again.version_tree) == 2
    assert list(again.verify()) == []
