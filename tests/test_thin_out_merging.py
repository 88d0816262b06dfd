"""Sides of which one was thinned out are joined as if none had been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from api_support import problems, raws
from histories import tried
from hypothesis import given
from hypothesis import strategies as st
from remote_support import assert_whole, other_database

from versioned_collection import Retention, VersionedCollection
from versioned_collection.errors import AutoMergeFailedError, InvalidOperation
from versioned_collection.history import containing
from versioned_collection.pruning import thinning
from versioned_collection.verbs.thin_out import ThinnedOut

LAST = Retention(keep_last=1)
IDS, VALUES = range(3), range(3)

Edit = tuple[int, str, int]


class Story(NamedTuple):
    """What both sides did together, and each alone."""

    together: list[Edit]
    here: list[Edit]
    there: list[Edit]


BACK_AND_FORTH = Story([(1, "v", 2), (0, "x", 1)], [(1, "v", 0)], [(2, "v", 1)])
"""A value that changed together changes back on one side."""


def play(bands: VersionedCollection, edits: list[Edit]) -> None:
    for turn, (id_, field, value) in enumerate(edits):
        bands.update_one({"_id": id_}, {"$set": {field: value}}, upsert=True)
        bands.update_one({"_id": "turn"}, {"$inc": {f"{bands.database.name[:4]}{turn}": 1}})
        bands.register(f"{field} of {id_} is {value}")


def sides(here: Any, there: Any, story: Story) -> tuple[VersionedCollection, VersionedCollection]:
    """Return both sides of a branch that have diverged."""
    ours, theirs = (VersionedCollection(db, "bands") for db in (here, there))
    ours.insert_many([*({"_id": id_, "v": 0, "x": 0} for id_ in IDS), {"_id": "turn"}])
    ours.init("start")
    play(ours, story.together)
    theirs.pull(ours)
    play(ours, story.here)
    play(theirs, story.there)
    return ours, theirs


def bundle_of(bands: VersionedCollection, directory: Any) -> str:
    file = str(directory / f"{bands.database.name}.bundle")
    bands.export(file)
    return file


WAYS: dict[str, Callable[[VersionedCollection, VersionedCollection, Any], Any]] = {
    "pull": lambda ours, theirs, _: theirs.pull(ours),
    "pull by rebase": lambda ours, theirs, _: theirs.pull(ours, rebase=True),
    "pull of the other side": lambda ours, theirs, _: ours.pull(theirs),
    "pull by rebase of the other side": lambda ours, theirs, _: ours.pull(theirs, rebase=True),
    "pull of a bundle": lambda ours, theirs, tmp: theirs.pull(bundle_of(ours, tmp)),
    "merge of what was fetched": lambda ours, theirs, _: _merged(theirs, ours),
    "rebase onto what was fetched": lambda ours, theirs, _: _rebased(theirs, ours),
}


def _merged(bands: VersionedCollection, other: VersionedCollection) -> None:
    bands.fetch(other)
    bands.merge(other.resolve("main").checksum)


def _rebased(bands: VersionedCollection, other: VersionedCollection) -> None:
    bands.fetch(other)
    bands.rebase(other.resolve("main").checksum)


def outcome(client: Any, story: Story, way: str, directory: Any, *, thinned: bool) -> Any:
    """Return the documents, and the conflicts, that joining two sides leads to."""
    with other_database(client) as here, other_database(client) as there:
        ours, theirs = sides(here, there, story)
        if thinned:
            ours.thin_out(LAST)
        conflicts = []
        try:
            WAYS[way](ours, theirs, directory)
        except AutoMergeFailedError:
            one = ours if ours.has_conflicts() else theirs
            conflicts = [
                (found.document_id, found.path, found.kind, found.base, found.ours, found.theirs)
                for found in one.conflicts()
            ]
        assert problems(ours) == problems(theirs) == []
        joined = ours if "other side" in way else theirs
        return _without_turns(joined), sorted(map(repr, conflicts))


def _without_turns(bands: VersionedCollection) -> list[Any]:
    return sorted(bands.find({"_id": {"$ne": "turn"}}), key=lambda one: one["_id"])


@pytest.mark.parametrize("way", WAYS)
def test_a_change_back_is_not_lost(client, tmp_path, way):
    expected = outcome(client, BACK_AND_FORTH, way, tmp_path, thinned=False)
    assert [one["v"] for one in expected[0]] == [0, 0, 1]
    assert outcome(client, BACK_AND_FORTH, way, tmp_path, thinned=True) == expected


edits = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from("vx"), st.sampled_from(VALUES)),
    min_size=1,
    max_size=4,
)
stories = st.builds(Story, edits, edits, edits)
# what stands for many versions is made again at once, not version by version
alike = st.sampled_from([way for way in WAYS if way != "pull by rebase of the other side"])


def _is_as_if_none_had_been(client: Any, directory: Any, story: Story, way: str) -> None:
    full, thin = (
        outcome(client, story, way, directory, thinned=thinned) for thinned in (False, True)
    )
    assert thin == full


@pytest.mark.sweep
@tried(4)
@given(story=stories, way=alike)
def test_joined_as_if_none_had_been_thinned_out(client, tmp_path_factory, story, way):
    _is_as_if_none_had_been(client, tmp_path_factory.mktemp("bundles"), story, way)


@pytest.mark.sweep
@tried(150)
@given(story=stories, way=alike)
def test_always_joined_as_if_none_had_been_thinned_out(client, tmp_path_factory, story, way):
    _is_as_if_none_had_been(client, tmp_path_factory.mktemp("bundles"), story, way)


def test_labels_stay_where_the_other_side_stands_for_the_versions(client):
    with other_database(client) as here, other_database(client) as there:
        ours, theirs = sides(here, there, BACK_AND_FORTH)
        shared = theirs.resolve("main@1")
        ours.thin_out(LAST)
        theirs.pull(ours)
        assert theirs.resolve("main@1") == shared
        theirs.push(ours)
        assert raws(ours) == raws(theirs)
        assert_whole(ours, theirs)


@pytest.mark.parametrize("way", ["pull", "pull by rebase", "merge of what was fetched"])
def test_nothing_is_guessed_where_not_all_versions_are_named(client, tmp_path, monkeypatch, way):
    monkeypatch.setattr(thinning, "MOST_NAMED", 1)
    monkeypatch.setattr(containing, "MOST_NAMED", 1)
    story = Story([(1, "v", 2)], [(0, "x", 1), (1, "v", 0)], [(2, "v", 1)])
    with other_database(client) as here, other_database(client) as there:
        ours, theirs = sides(here, there, story)
        ours.thin_out(LAST)
        before = raws(theirs)
        with pytest.raises(InvalidOperation, match="cannot be told"):
            WAYS[way](ours, theirs, tmp_path)
        assert raws(theirs) == before
        assert theirs.branch == "main"
        assert_whole(theirs)


@pytest.mark.parametrize("rebase", [False, True])
@pytest.mark.parametrize("fetches", [False, True])
def test_sides_that_were_thinned_out_one_after_the_other(client, fetches, rebase):
    """Two versions stand for the same one, of which one contains the other."""
    with (
        other_database(client) as here,
        other_database(client) as there,
        other_database(client) as third,
    ):
        first, kept = sides(here, there, Story([(0, "x", 1), (1, "v", 1)], [], []))
        play(first, [(0, "x", 2), (1, "v", 2)])
        first.thin_out(LAST)
        second = VersionedCollection(third, "bands")
        second.pull(first)
        play(second, [(2, "v", 1), (2, "v", 2)])
        second.remove_remote(second.remotes()[0].name)
        second.thin_out(LAST)
        if fetches:
            kept.fetch(first)
        kept.pull(second, rebase=rebase)
        assert kept.resolve("main").id == second.resolve("main").id
        assert raws(kept) == raws(second)
        assert_whole(kept, second)


JOIN: dict[str, Callable[[VersionedCollection, VersionedCollection], Any]] = {
    "pull": lambda one, other: one.pull(other),
    "pull by rebase": lambda one, other: one.pull(other, rebase=True),
    "merge": lambda one, other: one.merge(other.resolve("main").id),
}


def thinned_alone(bands: VersionedCollection) -> ThinnedOut:
    """Thin out a side that does not know what another one has."""
    for remote in bands.remotes():
        bands.remove_remote(remote.name)
    return bands.thin_out(LAST)


@pytest.mark.parametrize("way", JOIN)
def test_what_both_sides_have_in_common_stays(client, way):
    """One side stands for it, the other one has it still, and is thinned out later."""
    with other_database(client) as here, other_database(client) as there:
        ours, theirs = sides(here, there, Story([(0, "x", 1)], [(1, "v", 1)], []))
        theirs.delete_one({"_id": 0})
        theirs.register("0 goes")
        play(theirs, [(2, "v", 1)])
        thinned_alone(theirs)
        ours.fetch(theirs)
        assert ours.thin_out(LAST).versions == ()
        JOIN[way](ours, theirs)
        assert [(one["_id"], one["v"]) for one in _without_turns(ours)] == [(1, 1), (2, 1)]
        assert_whole(ours, theirs)


@pytest.mark.parametrize("named", [1, 50_000])
@pytest.mark.parametrize("way", JOIN)
def test_nothing_is_guessed_where_both_sides_were_thinned_out(client, monkeypatch, way, named):
    monkeypatch.setattr(thinning, "MOST_NAMED", named)
    monkeypatch.setattr(containing, "MOST_NAMED", named)
    with other_database(client) as here, other_database(client) as there:
        story = Story([(1, "v", 2)], [(0, "x", 1), (1, "v", 0)], [(2, "v", 1)])
        ours, theirs = sides(here, there, story)
        for one in (ours, theirs):
            assert thinned_alone(one).versions
        theirs.fetch(ours)
        before = raws(theirs), theirs.resolve("main")
        with pytest.raises(InvalidOperation, match="in common"):
            JOIN[way](theirs, ours)
        assert (raws(theirs), theirs.resolve("main")) == before
        assert_whole(theirs)


def test_what_was_thinned_out_on_both_sides_comes_back_from_a_third(client):
    with (
        other_database(client) as here,
        other_database(client) as there,
        other_database(client) as third,
    ):
        ours, theirs = sides(here, there, BACK_AND_FORTH)
        whole = VersionedCollection.clone(ours, third, "bands")
        whole.tag("met", "main@2")
        for one in (ours, theirs):
            thinned_alone(one)
        with pytest.raises(InvalidOperation, match="fetch it"):
            theirs.pull(ours)
        theirs.fetch(whole)
        theirs.pull(ours)
        assert [one["v"] for one in _without_turns(theirs)] == [0, 0, 1]
        assert_whole(theirs)
