"""fetch, pull, clone: the versions of another side come here."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from api_support import everything, grown, raws, tracked, untracked
from bson import ObjectId
from remote_support import (
    assert_absent,
    assert_equal,
    assert_whole,
    grown_pair,
    labels,
    other_database,
    outgrown,
    pair,
    put,
)

from versioned_collection import Retention, VersionedCollection, errors
from versioned_collection.remotes import integrating, transfer


@pytest.fixture
def sides(anydb, there):
    return pair(anydb, there)


def uri_of(database) -> str:
    host, port = database.client.address
    return f"mongodb://{host}:{port}/{database.name}?directConnection=true"


# -- fetch -----------------------------------------------------------------------------------


def test_fetch_touches_nothing(sides):
    mine, theirs = sides
    put(theirs, "one")
    put(theirs, "two")
    mine.insert_one({"_id": "dirty"})
    before = raws(mine), mine.status(), labels(mine), mine.branches()
    found = mine.fetch(theirs)
    assert found.versions == 2
    assert (raws(mine), mine.status(), labels(mine), mine.branches()) == before
    tip = mine.resolve(f"{found.remote}/main")
    assert tip.id == theirs.resolve("main").id
    assert mine.resolve(f"{found.remote}/main~1").message == "one=True"
    assert mine.fetch(theirs).versions == 0


def test_what_was_fetched_can_be_looked_at(sides):
    mine, theirs = sides
    put(theirs, "one")
    name = mine.fetch(theirs).remote
    (change,) = mine.changes("HEAD", f"{name}/main")
    assert change.document_id == 1
    mine.checkout(f"{name}/main")
    assert mine.is_detached()
    assert raws(mine) == raws(theirs)
    mine.checkout("main")
    assert_whole(mine)


def test_what_was_fetched_can_be_merged(sides):
    mine, theirs = sides
    put(theirs, "one")
    name = mine.fetch(theirs).remote
    mine.merge(f"{name}/main")
    assert labels(mine) == ["main@1", "main@0"]
    assert_equal(mine, theirs)
    put(mine, "two")
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_what_was_fetched_can_be_merged_where_both_have_gone_on(sides):
    mine, theirs = sides
    put(theirs, "one", id_=1)
    put(mine, "two", id_=2)
    name = mine.fetch(theirs).remote
    mine.merge(f"{name}/main")
    mine.push(theirs)
    assert raws(mine) == raws(theirs)
    mine.pull(theirs)
    assert_equal(mine, theirs)


def merged(mine, revision):
    mine.merge(revision)


def merged_with_conflicts(mine, revision):
    put(mine, "one", "mine")
    with pytest.raises(errors.AutoMergeFailedError):
        mine.merge(revision)
    mine.resolve_conflicts(resolver="ours")
    mine.register()


def rebased(mine, revision):
    mine.rebase(revision)


def rebased_with_conflicts(mine, revision):
    put(mine, "one", "mine")
    with pytest.raises(errors.AutoMergeFailedError):
        mine.rebase(revision)
    mine.resolve_conflicts(resolver="theirs")
    mine.register()


def reset(mine, revision):
    mine.reset(revision)
    mine.discard_changes()


def created_again(mine, revision):
    mine.tag("own")
    mine.checkout(revision)
    mine.delete_branch("main")
    mine.create_branch("main")


def registered_under_its_name(mine, revision):
    mine.tag("own")
    mine.checkout(revision)
    mine.delete_branch("main")
    mine.update_one({"_id": 2}, {"$set": {"new": True}})
    mine.register("new", branch_name="main")


@pytest.mark.parametrize(
    "way",
    [
        merged,
        merged_with_conflicts,
        rebased,
        rebased_with_conflicts,
        reset,
        created_again,
        registered_under_its_name,
    ],
)
def test_what_was_fetched_has_the_labels_of_the_remote_once_the_branch_has_it(sides, way):
    mine, theirs = sides
    put(theirs, "one")
    put(theirs, "two")
    put(mine, "own", id_=2)
    way(mine, f"{mine.fetch(theirs).remote}/main")
    put(mine, "more", id_=2)
    called = labels_of_versions(theirs)
    mine.push(theirs, tags=True)
    assert called.items() <= labels_of_versions(theirs).items()
    assert_equal(mine, theirs)
    mine.pull(theirs)
    assert_equal(mine, theirs)


@pytest.mark.parametrize("way", [merged, rebased, reset, created_again])
def test_undo_gives_what_was_fetched_its_labels_back(sides, way):
    mine, theirs = sides
    put(theirs, "one")
    put(mine, "own", id_=2)
    name = mine.fetch(theirs).remote
    called = labels_of_versions(mine)
    way(mine, f"{name}/main")
    mine.undo()
    assert called.items() <= labels_of_versions(mine).items()


def test_fetch_of_one_branch(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    put(theirs, "main")
    theirs.checkout("side")
    put(theirs, "side")
    assert mine.fetch(theirs, "side").versions == 1
    assert mine.fetch(theirs, dry_run=True).versions == 1
    assert mine.fetch(theirs).versions == 1
    assert mine.fetch(theirs).versions == 0


def test_tags_are_fetched(sides):
    mine, theirs = sides
    put(theirs, "one")
    theirs.tag("found")
    mine.fetch(theirs)
    assert mine.tags()["found"].id == theirs.tags()["found"].id


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("verb", ["pull", "rebase", "fetch", "bundle"])
def test_a_tag_on_no_branch_stays_where_it_is(sides, branches, verb, tmp_path):
    """It comes with the whole history, and others come wherever their version is here by then."""
    mine, theirs = sides
    put(theirs, "one")
    theirs.tag("lost")
    theirs.reset(0, hard=True)
    theirs.tag("start", "main@0")
    put(theirs, "two")
    theirs.tag("found")
    if branches == 2:
        theirs.create_branch("other")
        theirs.checkout("main")
    if verb == "fetch":
        assert mine.fetch(theirs, "main").versions == 1
    elif verb == "bundle":
        theirs.export(tmp_path / "bands.bundle")
        assert mine.pull(tmp_path / "bands.bundle") is True
    else:
        assert mine.pull(theirs, rebase=verb == "rebase") is True
        assert raws(mine) == raws(theirs)
    assert mine.tags().keys() == {"start", "found"}
    mine.fetch(theirs)
    assert mine.tags().keys() == {"start", "found", "lost"}
    assert_whole(mine)


def test_a_tag_whose_version_was_thinned_out_here(sides):
    mine, theirs = sides
    for field in ("one", "two"):
        put(theirs, field)
        theirs.tag(field)
    mine.pull(theirs)
    assert mine.thin_out(Retention(keep_last=1, keep_tags=False)).tags == ("one",)
    put(theirs, "three")
    assert mine.pull(theirs) is True
    assert mine.tags().keys() == {"two"}
    assert raws(mine) == raws(theirs)
    assert_whole(mine)


def test_fetch_from_an_untracked_remote(anydb, there):
    mine = tracked(anydb)
    with pytest.raises(errors.InvalidOperation, match="where nothing is there yet"):
        mine.fetch(there)
    with pytest.raises(errors.CollectionNotTracked):
        untracked(there).fetch(mine)


# -- pull ------------------------------------------------------------------------------------


def test_fast_forward(sides):
    mine, theirs = sides
    put(theirs, "one")
    put(theirs, "two")
    assert mine.pull(theirs) is True
    assert_equal(mine, theirs)
    assert labels(mine) == ["main@2", "main@1", "main@0"]
    assert mine.pull(theirs) is True


def test_up_to_date_or_ahead(sides):
    mine, theirs = sides
    before = everything(mine.database)["__log_bands"]
    assert mine.pull(theirs) is True
    assert everything(mine.database)["__log_bands"] == before
    put(mine, "ahead")
    assert mine.pull(theirs) is True
    assert mine.version == 1


def test_a_new_branch(anydb, there):
    mine, theirs = pair(anydb, there)
    theirs.create_branch("new")
    put(theirs, "new")
    mine.insert_one({"_id": "dirty"})
    assert mine.pull(theirs, "new") is True
    assert mine.branch == "main"
    assert labels(mine, "new") == ["new@0", "main@0"]
    assert mine.has_changes()


def test_uncommitted_changes(sides):
    mine, theirs = sides
    put(theirs, "one")
    mine.insert_one({"_id": "dirty"})
    before = raws(mine)
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        mine.pull(theirs)
    assert raws(mine) == before
    assert labels(mine) == ["main@0"]


@pytest.mark.blocking
def test_changes_that_come_while_it_is_pulled(sides):
    mine, theirs = sides
    put(theirs, "one")

    def write(*told):
        mine.update_one({"_id": "mine"}, {"$inc": {"turn": 1}}, upsert=True)

    with pytest.raises(errors.InvalidOperation, match=r"uncommitted .* then pull again"):
        mine.pull(theirs, progress=write)
    assert labels(mine) == ["main@0"]
    mine.discard_changes()
    assert mine.pull(theirs)
    assert labels(mine) == labels(theirs)


def test_an_untracked_side_becomes_a_copy(anydb, there):
    theirs = grown(there)
    mine = VersionedCollection(anydb, "bands")
    assert mine.pull(theirs) is True
    assert_equal(mine, theirs)
    assert mine.branches() == {"main", "side"}


def test_an_untracked_remote(anydb, there):
    assert tracked(anydb).pull(there) is False


def test_histories_that_have_nothing_in_common(anydb, there):
    mine, theirs = tracked(anydb), tracked(there)
    before = everything(anydb)
    with pytest.raises(errors.InvalidCollectionState, match="different versions"):
        mine.pull(theirs)
    assert everything(anydb) == before


def test_bad_input(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    with pytest.raises(errors.BranchNotFound, match="no branch 'nope'"):
        mine.pull(theirs, "nope")
    with pytest.raises(errors.InvalidOperation, match="are the same"):
        mine.pull(mine)
    mine.checkout(1)
    with pytest.raises(errors.InvalidOperation, match="detached"):
        mine.pull(theirs)
    assert mine.pull(theirs, "main") is True


def test_dry_run(sides):
    mine, theirs = sides
    put(theirs, "one")
    before = everything(mine.database)
    plan = mine.pull(theirs, dry_run=True)
    assert plan.versions == 1
    assert plan.branches == {"main": (mine.resolve("main").id, theirs.resolve("main").id)}
    assert everything(mine.database) == before


# -- both sides have gone on -----------------------------------------------------------------


def diverge(mine, theirs):
    """Change different documents on both sides."""
    put(theirs, "theirs", id_=1)
    put(mine, "mine", id_=2)
    put(mine, "more", id_=3)


def clash(mine, theirs):
    """Change one field on both sides, each in its own way."""
    put(theirs, "both", "theirs")
    put(mine, "both", "mine")
    put(mine, "more")


def test_what_merges_by_itself_is_merged(sides):
    mine, theirs = sides
    diverge(mine, theirs)
    remote_labels = {entry.id: entry.label for entry in theirs.get_log()}
    assert mine.pull(theirs) is True
    assert mine.find_one({"_id": 1})["theirs"]
    assert mine.find_one({"_id": 2})["mine"]
    assert labels(mine) == ["main@2", "main@1", "main@0"]
    for version, label in remote_labels.items():
        assert mine.resolve(version).label == label
    assert mine.branches() == {"main"}
    assert_whole(mine)
    assert mine.push(theirs) is True
    assert_equal(mine, theirs)


def test_branches_that_left_the_diverged_stretch_survive(sides):
    mine, theirs = sides
    put(mine, "mine")
    mine.create_branch("fork")
    put(mine, "fork")
    before = raws(mine)
    mine.checkout("main")
    put(mine, "more")
    put(theirs, "theirs", id_=2)
    mine.pull(theirs)
    mine.checkout("fork")
    assert raws(mine) == before
    mine.checkout("main")
    mine.push(theirs)
    mine.push(theirs, "fork")
    assert_equal(mine, theirs)


def test_conflicts_wait(sides):
    mine, theirs = sides
    clash(mine, theirs)
    with pytest.raises(errors.AutoMergeFailedError) as caught:
        mine.pull(theirs)
    assert caught.value.conflicts == 1
    assert "makes 1 conflict to decide: " in str(caught.value)
    (conflict,) = mine.conflicts()
    assert (conflict.ours, conflict.theirs) == ("mine", "theirs")
    assert mine.has_conflicts()
    assert mine.status()["merge_verb"] == "pull"
    assert mine.find_one({"_id": 1})["both"] == "mine"
    with pytest.raises(errors.InvalidOperation):
        mine.register("too early")
    again = VersionedCollection(mine.database, "bands")
    assert again.resolve_conflicts(resolver="theirs") is True
    assert again.register() is True
    assert mine.find_one({"_id": 1})["both"] == "theirs"
    assert mine.find_one({"_id": 1})["more"] is True
    assert labels(mine) == ["main@2", "main@1", "main@0"]
    assert mine.branch == "main"
    assert not mine.is_detached()
    assert_whole(mine)
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_a_resolver_settles_them(sides):
    mine, theirs = sides
    clash(mine, theirs)
    assert mine.pull(theirs, resolver="ours") is True
    assert mine.find_one({"_id": 1})["both"] == "mine"
    assert_whole(mine)


def test_taking_a_pull_back(sides):
    mine, theirs = sides
    clash(mine, theirs)
    before = raws(mine), labels(mine), mine.status()
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs)
    assert mine.abort_merge() is True
    assert (raws(mine), labels(mine), mine.status()) == before
    assert_whole(mine)


def test_discarding_local_changes(sides):
    mine, theirs = sides
    clash(mine, theirs)
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs)
    assert mine.resolve_conflicts(discard_local_changes=True) is True
    assert_equal(mine, theirs)
    assert not any("__rebranched" in node.branch for node in mine.version_tree.nodes.values())


def test_discarding_keeps_what_a_branch_needs(sides):
    mine, theirs = sides
    put(theirs, "both", "theirs")
    put(mine, "both", "mine")
    mine.create_branch("fork")
    put(mine, "fork")
    mine.checkout("main")
    put(mine, "more")
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs)
    mine.resolve_conflicts(discard_local_changes=True)
    assert raws(mine) == raws(theirs)
    mine.checkout("fork")
    assert mine.find_one({"_id": 1})["both"] == "mine"
    assert_whole(mine)


def test_replaying_instead_of_merging(sides):
    mine, theirs = sides
    diverge(mine, theirs)
    assert mine.pull(theirs, rebase=True) is True
    assert [entry.message for entry in mine.get_log()] == [
        "more=True",
        "mine=True",
        "theirs=True",
        "start",
    ]
    assert all(len(entry.parents) < 2 for entry in mine.get_log())
    assert_whole(mine)
    mine.push(theirs)
    assert_equal(mine, theirs)


@pytest.mark.parametrize("clashing", [False, True])
def test_replaying_a_shorter_stretch_than_the_remote_s(sides, clashing):
    """What is made again is numbered behind the versions of the remote."""
    mine, theirs = sides
    for turn in range(4):
        put(theirs, f"theirs {turn}")
    put(mine, "mine")
    put(mine, "theirs 2" if clashing else "mine, too", "mine")
    if clashing:
        with pytest.raises(errors.AutoMergeFailedError):
            mine.pull(theirs, rebase=True)
        mine.resolve_conflicts(resolver="theirs")
        mine.register()
    else:
        assert mine.pull(theirs, rebase=True) is True
    assert mine.resolve("HEAD").label == "main@6"
    assert mine.resolve("main@4").id == theirs.resolve("HEAD").id
    assert_whole(mine)
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_replaying_with_conflicts(sides):
    mine, theirs = sides
    clash(mine, theirs)
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs, rebase=True)
    mine.resolve_conflicts(resolver="theirs")
    mine.register()
    assert mine.branch == "main"
    assert mine.find_one({"_id": 1})["more"] is True
    assert_whole(mine)
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_a_branch_that_is_not_checked_out(sides):
    mine, theirs = sides
    diverge(mine, theirs)
    mine.create_branch("other")
    mine.insert_one({"_id": "dirty"})
    before = raws(mine)
    assert mine.pull(theirs, "main") is True
    assert raws(mine) == before
    assert mine.branch == "other"
    assert labels(mine, "main") == ["main@2", "main@1", "main@0"]
    mine.stash()
    mine.checkout("main")
    mine.push(theirs)
    assert raws(mine) == raws(theirs)
    assert_whole(mine, theirs)


def test_conflicts_of_a_branch_that_is_not_checked_out(sides):
    mine, theirs = sides
    clash(mine, theirs)
    mine.create_branch("other")
    mine.insert_one({"_id": "dirty"})
    before = raws(mine), labels(mine, "main")
    with pytest.raises(errors.InvalidOperation, match=r"not checked out.* what was fetched stays"):
        mine.pull(theirs, "main")
    assert (raws(mine), labels(mine, "main")) == before
    assert mine.fetch(theirs).versions == 0
    assert list(mine.conflicts()) == []


def test_undoing_a_pull(sides):
    mine, theirs = sides
    diverge(mine, theirs)
    before = raws(mine), labels(mine)
    mine.pull(theirs)
    assert mine.undo().verb == "pull"
    assert (raws(mine), labels(mine)) == before
    assert_whole(mine)
    mine.pull(theirs)
    mine.push(theirs)
    assert_equal(mine, theirs)


@pytest.mark.parametrize("resolver", ["ours", "theirs"])
@pytest.mark.parametrize("rebase", [False, True])
def test_undoing_a_pull_whose_conflicts_were_settled(sides, rebase, resolver):
    mine, theirs = sides
    put(theirs, "both", "theirs")
    put(mine, "both", "mine")
    before, called = (raws(mine), labels(mine)), labels_of_versions(mine)
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs, rebase=rebase)
    mine.resolve_conflicts(resolver=resolver)
    mine.register("settled")
    assert mine.undo().verb == "pull"
    assert (raws(mine), labels(mine)) == before
    assert called.items() <= labels_of_versions(mine).items()
    assert mine.version == 1
    assert_whole(mine)


def test_undoing_a_fast_forward(sides):
    """What came keeps the labels of what was fetched, so that the branch can go another way."""
    mine, theirs = sides
    put(theirs, "one")
    mine.pull(theirs)
    assert labels(mine) == ["main@1", "main@0"]
    mine.undo()
    name = mine.fetch(theirs).remote
    assert labels(mine) == ["main@0"]
    assert labels(mine, f"{name}/main") == [f"{name}/main@1", "main@0"]
    put(mine, "own", id_=2)
    assert labels(mine) == ["main@1", "main@0"]
    mine.pull(theirs)
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_a_fast_forward_over_a_merge(sides):
    """Versions of other branches come under their own labels, where these are free."""
    mine, theirs = sides
    theirs.create_branch("feature")
    put(theirs, "feature", id_=2)
    theirs.checkout("main")
    put(theirs, "main")
    theirs.merge("feature")
    mine.create_branch("feature")
    put(mine, "another", id_=3)
    taken = mine.resolve("feature").id
    mine.checkout("main")
    mine.pull(theirs)
    assert mine.resolve("feature").id == taken
    assert raws(mine) == raws(theirs)
    assert_whole(mine)
    put(mine, "more")
    mine.push(theirs)
    theirs.pull(mine)
    assert labels(mine) == ["main@3", "main@2", "main@1", "main@0"]
    assert_whole(mine, theirs)


def test_peers(anydb, there):
    """Three sides that pull from one another end with the same labels."""
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(mine, "mine", id_=1)
        put(theirs, "theirs", id_=2)
        put(last, "last", id_=3)
        mine.pull(theirs)
        theirs.pull(last)
        last.pull(mine)
        mine.pull(theirs)
        for _ in range(2):
            mine.pull(last)
            theirs.pull(mine)
            last.pull(mine)
        assert_equal(mine, theirs)
        assert_equal(mine, last)


def test_what_was_fetched_from_another_remote(anydb, there):
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(theirs, "one")
        mine.fetch(theirs)
        last.pull(theirs)
        mine.pull(last)
        assert labels(mine) == ["main@1", "main@0"]
        assert_equal(mine, last)


def test_what_was_fetched_from_another_remote_joins_what_is_here(anydb, there):
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(theirs, "one")
        put(mine, "two", id_=2)
        mine.fetch(theirs)
        last.pull(theirs)
        mine.pull(last)
        assert labels(mine)[0] == "main@2"
        last.pull(mine)
        assert_equal(mine, last)
        theirs.pull(last)
        assert_equal(mine, theirs)
        assert_whole(mine, theirs, last)


@pytest.fixture(params=["small", "in steps"])
def sides_of_any_size(request, anydb, there):
    if request.param == "in steps":
        request.getfixturevalue("small_limits")
    return pair(anydb, there)


def relabel_what_was_fetched(mine, theirs, fetch):
    """Have x@1 and x@2 of theirs fetched here, and called something else there afterwards."""
    theirs.create_branch("x")
    put(theirs, "a")
    mine.pull(theirs, "x")
    put(theirs, "b")
    theirs.update_many({}, {"$set": {"c": True}})
    theirs.register("c=True")
    fetch()
    mine.checkout("x")
    put(mine, "d", id_=2)
    theirs.pull(mine)
    assert labels(theirs) == ["x@2", "x@1", "x@0", "main@0"]


def labels_of_versions(bands):
    return {node.id: (node.branch, node.number) for node in bands.version_tree.nodes.values()}


@pytest.mark.parametrize("again", [False, True])
def test_what_was_fetched_is_called_otherwise_by_now(sides_of_any_size, again):
    """Its new labels come with its branch, whatever was pulled in between."""
    mine, theirs = sides_of_any_size
    relabel_what_was_fetched(mine, theirs, lambda: mine.fetch(theirs))
    mine.pull(theirs, "main")
    if again:
        mine.fetch(theirs)
    mine.pull(theirs, "x")
    assert labels_of_versions(mine) == labels_of_versions(theirs)
    assert_equal(mine, theirs)


def test_what_was_fetched_is_called_otherwise_and_more_came(sides_of_any_size):
    mine, theirs = sides_of_any_size
    relabel_what_was_fetched(mine, theirs, lambda: mine.fetch(theirs))
    mine.pull(theirs, "main")
    put(mine, "e", id_=2)
    theirs.checkout("main")
    put(theirs, "f", id_=3)
    theirs.checkout("x")
    put(theirs, "g", id_=3)
    mine.pull(theirs, "x")
    theirs.pull(mine, "x")
    mine.pull(theirs, "main")
    assert labels_of_versions(mine) == labels_of_versions(theirs)
    assert_equal(mine, theirs)


@pytest.mark.parametrize("main_first", [False, True])
def test_what_came_in_a_bundle_is_called_otherwise_by_now(sides_of_any_size, main_first, tmp_path):
    mine, theirs = sides_of_any_size

    def fetch():
        theirs.export(tmp_path / "bands.bundle")
        mine.fetch(tmp_path / "bands.bundle")

    relabel_what_was_fetched(mine, theirs, fetch)
    if main_first:
        mine.pull(theirs, "main")
    mine.pull(theirs, "x")
    assert labels_of_versions(mine) == labels_of_versions(theirs)
    assert_equal(mine, theirs)


def test_what_was_fetched_moves_aside_under_the_name_that_it_has_there(sides_of_any_size):
    mine, theirs = sides_of_any_size
    with other_database(theirs.database.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(theirs, "one")
        mine.fetch(theirs)
        put(last, "two", id_=2)
        theirs.pull(last)
        one = theirs.resolve("main^2")
        mine.fetch(theirs)
        assert mine.resolve(one.id).label == one.label == f"__rebranched_main_{one.id}@1"
        mine.pull(theirs)
        assert_equal(mine, theirs)


def test_labels_that_two_remotes_gave_away(sides_of_any_size):
    """What was fetched from one goes aside where the other, that is pulled, means another one."""
    mine, theirs = sides_of_any_size
    with other_database(theirs.database.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(theirs, "one")
        put(last, "two", id_=2)
        mine.fetch(theirs)
        last.pull(theirs)
        put(last, "three", id_=3)
        mine.fetch(last)
        last.push(theirs)
        mine.merge(f"{mine.fetch(theirs).remote}/main")
        assert raws(mine) == raws(theirs)
        assert mine.resolve("main").id == theirs.resolve("main").id
        mine.pull(theirs)
        assert_equal(mine, theirs)


def test_labels_that_the_remote_of_a_branch_has_given_since(sides_of_any_size):
    """What another remote called so when it was fetched goes aside in a merge, as it did there."""
    mine, theirs = sides_of_any_size
    with other_database(theirs.database.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(theirs, "one")
        mine.pull(theirs)
        put(last, "two", id_=2)
        mine.fetch(last)
        last.pull(theirs)
        last.push(theirs)
        mine.merge(f"{mine.fetch(theirs).remote}/main")
        assert labels_of_versions(mine) == labels_of_versions(theirs)
        assert_equal(mine, theirs)


def pulled(mine, theirs, *branches):
    """Pull branches until whatever labels change has been taken over."""
    for _ in range(2):
        for branch in branches:
            mine.pull(theirs, branch)
    mine.fetch(theirs)


def test_a_branch_that_was_renamed_here_has_the_labels_of_the_remote(anydb, there):
    """So has a copy of what was renamed, though nobody has relabelled anything there."""
    mine, theirs = pair(anydb, there)
    mine.pull(theirs)
    mine.rename_branch("main", "dev")
    put(mine, "one")
    mine.push(theirs)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(mine, third)
        for side in (mine, last):
            pulled(side, theirs, "dev", "main")
            assert labels(side, "dev") == labels(theirs, "dev") == ["dev@1", "main@0"]
            assert side.resolve("main@0") == theirs.resolve("main")
            assert side == theirs
            assert_whole(side)


def test_a_branch_whose_renaming_was_undone_has_the_labels_of_the_remote(anydb, there):
    mine, theirs = pair(anydb, there)
    mine.rename_branch("main", "dev")
    put(mine, "one")
    mine.push(theirs)
    mine.pull(theirs, "dev")
    mine.undo()
    mine.discard_changes()
    mine.undo()
    assert mine.branches() == {"main"}
    pulled(mine, theirs, "dev", "main")
    assert labels(mine, "dev") == labels(theirs, "dev") == ["dev@1", "main@0"]
    assert_whole(mine)


def test_labels_that_a_third_side_has_moved_aside_here(anydb, there):
    """The remote, to which others push, never moves any of its own."""
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(theirs, third)
        put(mine, "one")
        mine.push(theirs)
        put(last, "two", id_=2)
        mine.pull(last)
        last.pull(theirs)
        last.push(theirs)
        mine.pull(theirs)
        mine.push(theirs)
        pulled(mine, theirs, "main")
        assert_equal(mine, theirs)


def relabel_by_a_merge(mine, theirs):
    """Have another side take a merge over which is taken back here."""
    mine.pull(theirs)
    mine.push(theirs)
    mine.undo()
    return "main"


def relabel_here(mine, theirs):
    mine.rename_branch("main", "x")
    return "main"


def relabel_there(mine, theirs):
    theirs.rename_branch("main", "prod")
    return "prod"


RELABELLED = pytest.mark.parametrize("relabel", [relabel_by_a_merge, relabel_here, relabel_there])


@RELABELLED
def test_undo_gives_back_what_versions_were_called_here(sides_of_any_size, relabel):
    """Also those that both sides know already, and that the remote calls otherwise."""
    mine, theirs = sides_of_any_size
    diverge(mine, theirs)
    branch = relabel(mine, theirs)
    before, called = (raws(mine), mine.version, labels(mine)), labels_of_versions(mine)
    for _ in range(2):
        mine.pull(theirs, branch)
        assert labels(mine, branch) == labels(theirs, branch)
        assert mine.undo().verb == "pull"
        assert (raws(mine), mine.version, labels(mine)) == before
        assert called.items() <= labels_of_versions(mine).items()
        assert_whole(mine)
    pulled(mine, theirs, branch)
    assert labels(mine, branch) == labels(theirs, branch)


def test_undo_beyond_a_pull_that_relabelled(sides):
    mine, theirs = sides
    diverge(mine, theirs)
    called = labels_of_versions(mine)
    relabel_here(mine, theirs)
    mine.pull(theirs, "main")
    assert [mine.undo().verb for _ in range(2)] == ["pull", "rename_branch"]
    assert called.items() <= labels_of_versions(mine).items()


def relabelled_and_at_odds(mine, theirs):
    """Have both sides go on from the same version, which the remote calls otherwise."""
    diverge(mine, theirs)
    mine.pull(theirs)
    mine.push(theirs)
    mine.undo()
    clash(mine, theirs)


@pytest.mark.parametrize("rebase", [False, True])
@pytest.mark.parametrize("end", ["undo", "abort"])
def test_labels_of_a_pull_that_waited_are_given_back(sides_of_any_size, rebase, end):
    mine, theirs = sides_of_any_size
    relabelled_and_at_odds(mine, theirs)
    before, called = (raws(mine), mine.version, labels(mine)), labels_of_versions(mine)
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs, rebase=rebase)
    if end == "undo":
        mine.resolve_conflicts(resolver="theirs")
        mine.register("settled")
        mine.undo()
    else:
        mine.abort_merge()
    assert (raws(mine), mine.version, labels(mine)) == before
    assert called.items() <= labels_of_versions(mine).items()
    assert_whole(mine)
    mine.pull(theirs, resolver="theirs", rebase=rebase)
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_labels_of_a_pull_that_was_refused_are_given_back(sides_of_any_size):
    mine, theirs = sides_of_any_size
    relabelled_and_at_odds(mine, theirs)
    mine.create_branch("other")
    before, called = labels(mine, "main"), labels_of_versions(mine)
    with pytest.raises(errors.InvalidOperation, match="not checked out"):
        mine.pull(theirs, "main")
    assert labels(mine, "main") == before
    assert called.items() <= labels_of_versions(mine).items()
    mine.checkout("main")
    mine.pull(theirs, resolver="theirs")
    mine.undo()
    assert labels(mine, "main") == before
    assert_whole(mine)


def test_undo_once_local_changes_were_discarded_that_a_tag_keeps(sides):
    mine, theirs = sides
    relabelled_and_at_odds(mine, theirs)
    mine.tag("kept")
    before, called = (raws(mine), mine.version, labels(mine)), labels_of_versions(mine)
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs)
    mine.resolve_conflicts(discard_local_changes=True)
    assert mine.undo().verb == "pull"
    assert (raws(mine), mine.version, labels(mine)) == before
    assert called.items() <= labels_of_versions(mine).items()
    assert mine.branch == "main"
    assert not mine.is_detached()
    assert_whole(mine)


def test_labels_are_compared_once_for_each_change_of_them(anydb, there, monkeypatch):
    mine, theirs = pair(anydb, there)
    theirs.create_branch("side")
    put(theirs, "side")
    theirs.checkout("main")
    mine.pull(theirs, "side")
    compared = []

    def missing(source, tips, known):
        compared.append(tips)
        return transfer.missing(source, tips, known)

    monkeypatch.setattr(integrating, "missing", missing)
    mine.rename_branch("main", "trunk")
    pulled(mine, theirs, "main", "side")
    assert len(compared) == 2
    mine.checkout("main")
    for number in range(3):  # what moves aside does so because of the remote
        put(mine, f"mine {number}")
        put(theirs, f"theirs {number}", id_=2)
        pulled(mine, theirs, "main", "side")
    assert len(compared) == 2


def test_a_remote_that_gives_one_label_to_two_versions(sides_of_any_size):
    """Nothing is begun that could not be completed."""
    mine, theirs = sides_of_any_size
    put(theirs, "one")
    put(theirs, "two")
    mine.pull(theirs)
    log = theirs.database["__log_bands"]
    log.drop_index("branch_1_number_1")
    log.update_many({"number": {"$gt": 0}}, {"$set": {"number": 5}})
    theirs.database["__metadata_bands"].update_one({}, {"$set": {"labels": ObjectId()}})
    before = raws(mine), labels(mine), mine.branches()
    for _ in range(2):
        with pytest.raises(errors.InvalidOperation, match="would be called"):
            mine.pull(theirs)
    assert (raws(mine), labels(mine), mine.branches()) == before
    assert_whole(mine)


def test_large_changes(anydb, there, small_limits):
    mine, theirs = grown_pair(anydb, there)
    theirs.update_many({}, {"$set": {"theirs": 1}})
    theirs.insert_many([{"_id": f"theirs {n}"} for n in range(5)])
    theirs.register("theirs")
    mine.update_many({}, {"$set": {"mine": 1}})
    mine.delete_one({"_id": 3})
    mine.register("mine")
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs)
    mine.resolve_conflicts(resolver="theirs")
    mine.register()
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_more_than_can_be_noted_at_once(sides_of_any_size):
    """A note of what is done, and how to undo it, is one document."""
    mine, theirs = sides_of_any_size
    put(theirs, "one")
    for number in range(18):
        theirs.tag(f"tag {number}", message="m" * 1_000_000)
    before = raws(mine), labels(mine), mine.branches(), mine.tags()
    for verb in (mine.fetch, mine.pull):
        with pytest.raises(errors.NotSupported, match="in parts"):
            verb(theirs)
        assert (raws(mine), labels(mine), mine.branches(), mine.tags()) == before
    for number in range(1, 18):
        theirs.delete_tag(f"tag {number}")
    mine.pull(theirs)
    assert_equal(mine, theirs)


# -- clone and names -------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pull", "clone"])
def test_a_side_that_has_lost_its_metadata(anydb, there, verb):
    mine, theirs = pair(anydb, there)
    put(mine, "mine")
    mine.reset("main~1", hard=True)
    anydb.drop_collection("__metadata_bands")
    before = everything(anydb)
    with pytest.raises(errors.CorruptHistory, match="__metadata_bands"):
        mine.pull(theirs) if verb == "pull" else VersionedCollection.clone(theirs, anydb)
    assert everything(anydb) == before
    mine.drop()
    assert mine.pull(theirs)
    assert_equal(mine, theirs)


def test_clone(anydb, there):
    theirs = grown(there)
    mine = VersionedCollection.clone(uri_of(there).replace("?", ".bands?"), anydb)
    assert mine.name == "bands"
    assert_equal(mine, theirs)
    assert [remote.name for remote in mine.remotes()] == ["origin"]
    put(theirs, "news")
    assert mine.pull() is True
    assert_equal(mine, theirs)


def test_clone_of_a_branch(anydb, there):
    theirs = grown(there)
    mine = VersionedCollection.clone(theirs, anydb, branch="side")
    assert mine.branch == "side"
    theirs.checkout("side")
    assert_equal(mine, theirs)


@pytest.mark.parametrize("rebase", [False, True])
def test_a_clone_while_a_pull_waits_there(anydb, sides, rebase):
    mine, theirs = sides
    mine.create_branch("a branch before main")
    mine.checkout("main")
    clash(mine, theirs)
    with pytest.raises(errors.AutoMergeFailedError):
        mine.pull(theirs, rebase=rebase)
    with other_database(anydb.client) as elsewhere:
        copy = VersionedCollection(elsewhere, "bands")
        assert copy.pull(mine) is True
        assert (copy.branch, copy.is_detached()) == ("main", False)
        assert_whole(copy)


@pytest.mark.parametrize("verb", ["pull", "clone"])
@pytest.mark.parametrize("limits", ["usual", "small"])
def test_a_copy_that_an_index_refuses(anydb, there, request, verb, limits):
    if limits == "small":
        request.getfixturevalue("small_limits")
    theirs, mine = outgrown(there), VersionedCollection(anydb, "bands")

    def attempt():
        mine.pull(theirs) if verb == "pull" else VersionedCollection.clone(theirs, anydb)

    for _ in range(2):
        with pytest.raises(errors.DocumentRejected, match=r"rank_1.*drop or correct the index"):
            attempt()
        assert_absent(anydb)
    theirs.drop_index("rank_1")
    attempt()
    theirs.discard_changes()
    assert_equal(mine, theirs)


def test_a_copy_that_an_index_refuses_until_a_version_fits_it(anydb, there):
    theirs, mine = outgrown(there), VersionedCollection(anydb, "bands")
    with pytest.raises(errors.DocumentRejected, match="register there what fits"):
        mine.pull(theirs)
    theirs.register("ranked")
    assert mine.pull(theirs)
    assert mine.index_information()["rank_1"]["unique"] is True
    assert_equal(mine, theirs)


def test_a_copy_that_was_refused_can_be_begun_anew(anydb, there):
    theirs, mine = outgrown(there), VersionedCollection(anydb, "bands")
    with pytest.raises(errors.DocumentRejected):
        mine.pull(theirs)
    mine.insert_one({"_id": "mine"})
    mine.init("mine")
    assert labels(mine) == ["main@0"]
    assert mine.remotes() == []
    assert_whole(mine)


def test_clone_into_what_is_there(anydb, there):
    theirs = tracked(there)
    anydb.bands.insert_one({"_id": "other"})
    with pytest.raises(errors.InvalidOperation, match="1 document"):
        VersionedCollection.clone(theirs, anydb)
    assert anydb.bands.count_documents({}) == 1
    with pytest.raises(errors.InvalidOperation, match="tracked already"):
        VersionedCollection.clone(theirs, there)
    with pytest.raises(errors.InvalidArgument, match="name the collection"):
        VersionedCollection.clone(there, anydb)


def test_remotes(sides, monkeypatch):
    mine, theirs = sides
    url = uri_of(theirs.database)
    assert mine.add_remote("origin", url).url == url
    assert {remote.name for remote in mine.remotes()} >= {"origin"}
    with pytest.raises(errors.InvalidArgument, match="already"):
        mine.add_remote("origin", url)
    mine.remove_remote("origin")
    with pytest.raises(errors.RemoteNotFound):
        mine.remove_remote("origin")
    with pytest.raises(errors.RemoteNotFound):
        mine.fetch("origin")
    monkeypatch.setenv("HOST_OF_TEST", "127.0.0.1")
    mine.add_remote("origin", url.replace("127.0.0.1", "${HOST_OF_TEST}"))
    put(theirs, "one")
    assert mine.pull() is True
    monkeypatch.delenv("HOST_OF_TEST")
    with pytest.raises(errors.InvalidArgument, match="HOST_OF_TEST"):
        mine.pull()


@pytest.mark.parametrize("by_uri", [False, True])
def test_what_was_fetched_from_a_remote_that_was_removed(sides, by_uri):
    """Its labels are known for what they are, whatever name the remote has now."""
    mine, theirs = sides
    url = uri_of(theirs.database)
    mine.add_remote("up", url)
    put(theirs, "one")
    mine.fetch("up")
    mine.remove_remote("up")
    assert "up" not in {remote.name for remote in mine.remotes()}
    if by_uri:
        mine.pull(url)
    else:
        mine.add_remote("origin", url)
        mine.pull()
    assert labels(mine) == ["main@1", "main@0"]
    put(theirs, "two")
    mine.add_remote("up", url)
    mine.pull("up")
    assert_equal(mine, theirs)


def test_a_remote_that_gets_a_name_later(sides):
    """What was known of its address is known of it, and the branch is nowhere else ahead."""
    mine, theirs = sides
    put(theirs, "one")
    address = mine.fetch(theirs).remote
    tips = {remote.name: remote.branches for remote in mine.remotes()}
    added = mine.add_remote("origin", uri_of(theirs.database))
    assert added.branches == tips[address]
    assert [remote.name for remote in mine.remotes()] == ["origin"]
    assert mine.resolve("origin/main").id == theirs.resolve("main").id
    mine.merge("origin/main")
    assert labels(mine) == ["main@1", "main@0"]
    put(mine, "two")
    mine.push()
    assert_equal(mine, theirs)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_remote_whose_branches_would_pass_for_those_here(sides, deleted):
    mine, theirs = sides
    url = uri_of(theirs.database)
    mine.create_branch("ada/fix")
    put(mine, "own")
    mine.checkout("main")
    if deleted:
        mine.tag("kept", "ada/fix")
        mine.delete_branch("ada/fix")
    before = everything(mine.database)
    with pytest.raises(errors.InvalidArgument, match="'ada/fix' here would pass for one"):
        mine.add_remote("ada", url)
    assert everything(mine.database) == before
    mine.add_remote("origin", url)
    mine.fetch()


@pytest.mark.parametrize("verb", ["fetch", "pull"])
def test_a_branch_that_has_the_name_of_one_of_a_remote(sides, verb):
    mine, theirs = sides
    mine.add_remote("ada", uri_of(theirs.database))
    mine.create_branch("ada/fix")
    put(mine, "own")
    mine.checkout("main")
    theirs.create_branch("fix")
    put(theirs, "fix")
    called = labels_of_versions(mine)
    with pytest.raises(errors.InvalidOperation, match="'ada/fix' here has the name"):
        getattr(mine, verb)("ada", "fix")
    assert labels_of_versions(mine) == called
    mine.rename_branch("ada/fix", "mine")
    mine.pull("ada", "fix")
    assert labels(mine, "fix") == ["fix@0", "main@0"]
    assert labels(mine, "mine") == ["mine@0", "main@0"]
    assert_whole(mine)


@pytest.mark.parametrize(
    ("name", "url", "error"),
    [
        ("", "mongodb://localhost/db", errors.InvalidArgument),
        ("a/b", "mongodb://localhost/db", errors.InvalidArgument),
        ("__x", "mongodb://localhost/db", errors.InvalidArgument),
        ("origin", "http://localhost/db", errors.InvalidArgument),
        ("origin", "mongodb://localhost", errors.InvalidArgument),
        ("origin", "mongodb://user:secret@localhost/db", errors.InvalidArgument),
        ("origin", "mongodb://user:${A}secret@localhost/db", errors.InvalidArgument),
        ("origin", "mongodb://u:secret/x@localhost/db", errors.InvalidArgument),
        ("origin", "mongodb://localhost/db?proxyPassword=secret", errors.InvalidArgument),
        ("origin", 7, errors.InvalidType),
    ],
)
def test_bad_remotes(anydb, name, url, error):
    mine = tracked(anydb)
    before = everything(anydb)
    with pytest.raises(error) as caught:
        mine.add_remote(name, url)
    assert "secret" not in str(caught.value)
    assert everything(anydb) == before


def test_remotes_of_an_untracked_collection(anydb):
    mine = untracked(anydb)
    with pytest.raises(errors.CollectionNotTracked, match="from a URI"):
        mine.pull("origin")
    assert mine.remotes() == []
    with pytest.raises(errors.CollectionNotTracked):
        mine.add_remote("origin", "mongodb://localhost/db")
    assert anydb.list_collection_names() == ["bands"]


def test_passwords_by_reference(anydb):
    mine = tracked(anydb)
    mine.add_remote("origin", "mongodb://user:${PASSWORD_OF_TEST}@localhost/db")
    mine.add_remote("other", "mongodb+srv://user:${keyring:mongo:user}@example.net/db")
    assert "PASSWORD_OF_TEST" in mine.remotes()[0].url


def test_a_keyring_that_cannot_be_read(anydb, monkeypatch):
    class NoKeyringError(RuntimeError):
        """What `keyring` raises where no program keeps secrets."""

    def get_password(service: str, user: str) -> str:
        raise NoKeyringError("no backend was available")

    module, error_module = ModuleType("keyring"), ModuleType("keyring.errors")
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", error_module)
    monkeypatch.setattr(module, "get_password", get_password, raising=False)
    monkeypatch.setattr(error_module, "KeyringError", NoKeyringError, raising=False)
    mine = tracked(anydb)
    with pytest.raises(errors.InvalidArgument, match="keyring, which cannot be read"):
        mine.fetch("mongodb://user:${keyring:mongo:user}@localhost/db")
