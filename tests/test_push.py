"""push: a branch of one side comes to the other."""

from __future__ import annotations

import pytest
from api_support import everything, grown, problems, raws, step, tracked, untracked
from pymongo import MongoClient
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

from versioned_collection import VersionedCollection, errors

# -- first contact ---------------------------------------------------------------------------


def test_an_untracked_remote_becomes_a_copy(anydb, there):
    mine = tracked(anydb)
    put(mine, "one")
    theirs = VersionedCollection(there, "bands")
    assert mine.push(theirs) is True
    assert_equal(mine, theirs)
    assert theirs.status()["current_branch"] == "main"
    put(theirs, "two")
    assert labels(theirs) == ["main@2", "main@1", "main@0"]


def test_a_remote_that_has_lost_its_metadata(anydb, there):
    mine, theirs = pair(anydb, there)
    theirs.create_branch("there")
    put(theirs, "theirs")
    theirs.checkout(branch="main")
    there.drop_collection("__metadata_bands")
    before = everything(there)
    with pytest.raises(errors.CorruptHistory, match=f"{there.name}.bands.*__metadata_bands"):
        mine.push(theirs)
    assert everything(there) == before
    theirs.drop()
    assert mine.push(theirs)
    assert_equal(mine, theirs)


def test_options_and_indexes_come_along(anydb, there):
    validator = {"$jsonSchema": {"required": ["name"]}}
    anydb.create_collection("bands", validator=validator, collation={"locale": "de"})
    anydb.bands.create_index("name", unique=True, name="by_name")
    mine = tracked(anydb)
    theirs = VersionedCollection(there, "bands")
    mine.push(theirs)
    assert theirs.options()["validator"] == validator
    assert theirs.options()["collation"]["locale"] == "de"
    assert theirs.index_information()["by_name"]["unique"] is True
    assert_equal(mine, theirs)


def test_a_clustered_collection_stays_one(anydb, there):
    clustered = {"key": {"_id": 1}, "unique": True, "name": "by_id"}
    storage = {"wiredTiger": {"configString": "block_compressor=zlib"}}
    anydb.create_collection(
        "bands", clusteredIndex=clustered, expireAfterSeconds=1000, storageEngine=storage
    )
    mine = tracked(anydb)
    step(mine, "one")
    theirs = VersionedCollection(there, "bands")
    mine.push(theirs)
    assert theirs.options() == mine.options()
    assert theirs.options()["clusteredIndex"]["name"] == "by_id"
    assert theirs.index_information() == mine.index_information()
    assert_equal(mine, theirs)
    there.drop_collection("bands")
    theirs.discard_changes()
    assert theirs.options() == mine.options()
    assert_equal(mine, theirs)


def test_a_remote_with_other_documents_is_refused(anydb, there):
    mine = tracked(anydb)
    there.bands.insert_many([{"_id": n} for n in range(5)])
    before = everything(there)
    with pytest.raises(errors.InvalidOperation, match="5 document"):
        mine.push(there)
    assert everything(there)["bands"] == before["bands"]
    assert not VersionedCollection(there, "bands").is_tracked()


def test_a_remote_with_the_same_documents_is_adopted(anydb, there):
    mine = tracked(anydb)
    untracked(there)
    theirs = VersionedCollection(there, "bands")
    mine.push(theirs)
    assert_equal(mine, theirs)


@pytest.mark.parametrize("limits", ["usual", "small"])
def test_a_first_push_that_an_index_refuses(anydb, there, request, limits):
    if limits == "small":
        request.getfixturevalue("small_limits")
    mine, theirs = outgrown(anydb), VersionedCollection(there, "bands")
    for _ in range(2):
        with pytest.raises(errors.DocumentRejected, match=r"rank_1.*drop or correct the index"):
            mine.push(theirs)
        assert_absent(there)
    mine.drop_index("rank_1")
    assert mine.push(theirs)
    mine.discard_changes()
    assert_equal(mine, theirs)


def test_a_first_push_that_an_index_of_the_remote_refuses(anydb, there):
    mine, theirs = outgrown(anydb), VersionedCollection(there, "bands")
    there.bands.create_index("rank", unique=True, name="own")
    mine.drop_index("rank_1")
    mine.create_index("name")
    before = theirs.index_information()
    with pytest.raises(errors.DocumentRejected, match=rf"own.*'{there.name}.bands' itself"):
        mine.push(theirs)
    assert not theirs.is_tracked()
    assert theirs.count_documents({}) == 0
    assert theirs.index_information() == before
    theirs.drop_index("own")
    assert mine.push(theirs)
    mine.discard_changes()
    assert_equal(mine, theirs)


def test_only_the_branch_and_its_history_are_pushed(anydb, there):
    mine = grown(anydb)
    theirs = VersionedCollection(there, "bands")
    mine.push(theirs, "main")
    assert theirs.branches() == {"main"}
    assert_whole(theirs)
    mine.push(theirs, "side")
    assert theirs.branches() == {"main", "side"}
    mine.push(theirs, tags=True)
    assert set(theirs.tags()) == {"v1"}
    assert_equal(mine, theirs)


def test_a_branch_whose_origin_is_not_there(anydb, there):
    mine = grown(anydb)
    theirs = VersionedCollection(there, "bands")
    with pytest.raises(errors.InvalidOperation, match="push 'main' first"):
        mine.push(theirs, "side")
    assert not theirs.is_tracked()


def fast_forwarded(mine):
    """Move main on to the versions of another branch, and one further."""
    mine.create_branch("feature")
    put(mine, "one")
    put(mine, "two")
    mine.checkout(branch="main")
    mine.merge("feature")
    put(mine, "three")


def test_a_branch_that_was_fast_forwarded_comes_without_the_other_one(anydb, there):
    mine = tracked(anydb)
    fast_forwarded(mine)
    theirs = VersionedCollection(there, "bands")
    mine.push(theirs, "main")
    assert theirs.branches() == {"main"}
    assert labels(theirs) == ["main@1", "feature@1", "feature@0", "main@0"]
    assert_whole(theirs)
    mine.push(theirs, "feature")
    assert_equal(mine, theirs)


def test_a_history_without_a_branch(anydb, there):
    mine = tracked(anydb)
    put(mine, "one")
    mine.tag("v1")
    mine.checkout(0)
    mine.delete_branch("main")
    before = everything(anydb)
    theirs = VersionedCollection(there, "bands")
    with pytest.raises(errors.InvalidOperation, match="no branch, and a copy needs one"):
        mine.push(theirs, all=True)
    with pytest.raises(errors.BranchNotFound, match="it has none at all"):
        theirs.pull(mine)
    assert everything(anydb) == before
    assert there.list_collection_names() == []
    mine.create_branch("again")
    assert mine.push(theirs, all=True) is True
    assert raws(theirs) == raws(mine)
    assert_whole(theirs)


# -- later on --------------------------------------------------------------------------------


def test_push(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.insert_one({"_id": "new"})
    mine.delete_one({"_id": 2})
    mine.register("more")
    assert mine.push(theirs) is True
    assert_equal(mine, theirs)
    assert mine.push(theirs) is True


def test_a_damaged_history_is_said_to_be_wrong_where_it_comes_from(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    anydb["__log_bands"].update_one({"number": 1}, {"$set": {"message": "rewritten"}})
    with pytest.raises(errors.TransferRefused, match="side that sent it lists what is wrong"):
        mine.push(theirs)
    assert problems(mine) == ["checksum"]
    assert problems(theirs) == []


def test_a_branch_that_is_known_is_fast_forwarded(anydb, there):
    mine, theirs = pair(anydb, there)
    fast_forwarded(mine)
    mine.push(theirs)
    assert theirs.branches() == {"main"}
    assert theirs.resolve("main") == mine.resolve("main")
    assert_whole(theirs)
    mine.push(theirs, "feature")
    assert_equal(mine, theirs)


def test_push_all(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    mine.checkout("side")
    put(mine, "further")
    mine.create_branch("other")
    put(mine, "elsewhere")
    mine.push(theirs, all=True)
    assert theirs.branches() == {"main", "side", "other"}
    mine.checkout("main")
    assert_equal(mine, theirs)


def test_a_branch_that_is_not_checked_out_there(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    theirs.insert_one({"_id": "not registered"})
    mine.checkout("side")
    put(mine, "further")
    mine.push(theirs)
    assert theirs.resolve("side") == mine.resolve("side")
    assert theirs.branch == "main"
    assert theirs.has_changes()


def test_a_remote_with_uncommitted_changes_is_not_touched(anydb, there):
    mine, theirs = pair(anydb, there)
    theirs.insert_one({"_id": "theirs"})
    put(mine, "one")
    before = raws(theirs)
    with pytest.raises(errors.InvalidOperation, match="uncommitted"):
        mine.push(theirs)
    assert raws(theirs) == before
    assert labels(theirs) == ["main@0"]
    assert mine.push(theirs, do_checkout=False) is True
    assert raws(theirs) == before
    assert theirs.is_detached()
    theirs.discard_changes()
    theirs.checkout("main")
    assert_equal(mine, theirs)


def test_without_checkout(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.push(theirs, do_checkout=False)
    assert theirs.is_detached()
    assert theirs.version == 0
    assert labels(theirs, "main") == ["main@1", "main@0"]


@pytest.mark.parametrize("more", [False, True])
def test_a_working_copy_that_was_left_behind_catches_up(anydb, there, more):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.push(theirs, do_checkout=False)
    put(mine, "two")
    mine.push(theirs, do_checkout=False)
    if more:
        put(mine, "three")
    assert mine.push(theirs, do_checkout=False) is True
    assert theirs.is_detached()
    assert mine.push(theirs, dry_run=True).caught_up == "main"
    assert mine.push(theirs, do_checkout=False, dry_run=True).caught_up is None
    assert mine.push(theirs) is True
    assert mine.push(theirs, dry_run=True).caught_up is None
    assert (theirs.branch, theirs.is_detached()) == ("main", False)
    assert_equal(mine, theirs)
    assert mine.push(theirs) is True
    put(theirs, "theirs")
    assert theirs.version == mine.version + 1


def test_one_that_was_left_behind_and_changed_is_not_touched(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.push(theirs, do_checkout=False)
    theirs.insert_one({"_id": "theirs"})
    before = raws(theirs)
    with pytest.raises(errors.InvalidOperation, match="uncommitted changes where branch 'main'"):
        mine.push(theirs)
    assert (raws(theirs), theirs.is_detached()) == (before, True)
    assert mine.push(theirs, do_checkout=False) is True
    theirs.discard_changes()
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_a_head_that_was_detached_on_purpose_stays(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.push(theirs)
    theirs.checkout("main@0")
    assert mine.push(theirs) is True
    assert (theirs.version, theirs.is_detached()) == (0, True)
    theirs.checkout("main")
    put(mine, "two")
    mine.push(theirs, do_checkout=False)
    theirs.checkout("main@0")  # somebody moved it since
    assert mine.push(theirs) is True
    assert (theirs.version, theirs.is_detached()) == (0, True)


def test_one_that_was_left_behind_waits_for_its_own_branch(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.push(theirs, do_checkout=False)
    mine.create_branch("side")
    put(mine, "two")
    assert mine.push(theirs) is True
    assert (theirs.version, theirs.is_detached()) == (0, True)
    assert mine.push(theirs, "main") is True
    assert (theirs.branch, theirs.version, theirs.is_detached()) == ("main", 1, False)


def reused(here, there):
    """Return two sides with feature@0 merged into main, and the first without ``feature``."""
    mine, theirs = pair(here, there)
    mine.create_branch("feature")
    put(mine, "old")
    mine.push(theirs)
    mine.checkout("main")
    mine.merge("feature", no_ff=True)
    mine.push(theirs)
    mine.delete_branch("feature")
    return mine, theirs


@pytest.mark.parametrize("deleted", [False, True])
def test_a_branch_under_a_name_given_again(anydb, there, deleted):
    mine, theirs = reused(anydb, there)
    if deleted:
        mine.push(theirs, "feature", delete=True)
        assert theirs.branches() == {"main"}
    mine.create_branch("feature")
    put(mine, "new")
    assert mine.push(theirs) is True
    assert labels(theirs, "feature") == ["feature@1", "main@1", "main@0"]
    assert theirs.resolve("feature@0").message == "old=True"
    theirs.checkout("feature")
    assert_equal(mine, theirs)
    put(theirs, "there")
    mine.pull(theirs)
    assert_equal(mine, theirs)


def test_a_name_given_again_beside_the_old_branch(anydb, there):
    mine, theirs = reused(anydb, there)
    mine.checkout("main@0")
    mine.create_branch("feature")
    put(mine, "new")
    before = everything(there)
    with pytest.raises(errors.InvalidOperation, match="'feature' have diverged; pull"):
        mine.push(theirs)
    assert everything(there) == before
    mine.pull(theirs)
    assert labels(mine)[:2] == ["feature@1", "feature@0"]
    mine.push(theirs)
    assert_whole(mine, theirs)


def test_a_remote_that_is_ahead(anydb, there):
    mine, theirs = pair(anydb, there)
    put(theirs, "theirs")
    with pytest.raises(errors.InvalidOperation, match="tip of your current branch is behind"):
        mine.push(theirs)


def test_a_remote_that_is_ahead_on_another_branch(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    theirs.checkout("side")
    put(theirs, "side")
    with pytest.raises(errors.InvalidOperation, match="tip of another branch is behind: 'side'"):
        mine.push(theirs, all=True)


def test_a_branch_of_a_remote_that_has_none(anydb, there):
    mine, theirs = pair(anydb, there)
    mine.tag("kept")
    put(mine, "one")
    mine.checkout("kept")
    mine.tag("last", "main")
    mine.delete_branch("main")
    with pytest.raises(errors.BranchNotFound, match="it has none"):
        theirs.pull(mine)


def test_diverged(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "mine")
    put(theirs, "theirs")
    before = everything(there)
    with pytest.raises(errors.InvalidOperation, match="have diverged"):
        mine.push(theirs)
    assert everything(there) == before


def test_force(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "mine")
    put(theirs, "theirs")
    with pytest.raises(errors.InvalidOperation, match="not where it was last seen"):
        mine.push(theirs, force=True)
    mine.fetch(theirs)
    assert mine.push(theirs, force=True) is True
    assert raws(theirs) == raws(mine)
    assert_equal(mine, theirs)


def test_labels_of_the_remote_stay(anydb, there):
    """What arrives under labels that others know otherwise gets those behind."""
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(mine, third)
        put(theirs, "one")
        put(last, "two", id_=2)
        mine.pull(theirs)
        mine.pull(last)
        called = {version.id: version.label for version in theirs.log()}
        mine.push(theirs)
        assert {one: theirs.resolve(one).label for one in called} == called
        assert theirs.resolve("HEAD").label == "main@3"
        mine.pull(theirs)
        assert_equal(mine, theirs)
        put(mine, "three")
        mine.push(theirs)
        last.pull(theirs)
        assert_equal(mine, theirs)
        assert_equal(last, theirs)


def fetched_below_a_branch(mine, theirs):
    """Have fix@0 of theirs here, and below it what is main@1 there and was not pulled here."""
    put(theirs, "one")
    theirs.create_branch("fix")
    put(theirs, "fix")
    theirs.checkout("main")
    put(mine, "mine", id_=2)
    mine.add_remote("origin", url_of(theirs))
    mine.pull("origin", "fix")
    assert labels(mine, "fix") == ["fix@0", "origin/main@1", "main@0"]


def url_of(bands):
    host, port = bands.database.client.address
    return f"mongodb://{host}:{port}/{bands.database.name}?directConnection=true"


def test_names_of_remotes_do_not_come_along(anydb, there):
    """What the one who pushes knows from a remote is called as at its own once that is pulled."""
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(theirs, third)
        fetched_below_a_branch(mine, theirs)
        mine.push(last, "fix")
        fetched = last.resolve("fix~1")
        assert fetched.label == f"__fetched_main_{fetched.id}@1"
        assert last.branches() == {"main", "fix"}
        last.add_remote("origin", url_of(theirs))
        mine.pull(last, "fix")
        assert labels(mine, "fix") == ["fix@0", "origin/main@1", "main@0"]
        last.pull("origin", "fix")
        assert labels(last, "fix") == labels(theirs, "fix") == ["fix@0", "main@1", "main@0"]
        last.pull()
        assert_equal(last, theirs)


def test_what_is_below_a_branch_is_pulled_later(anydb, there):
    """No label has changed anywhere by then."""
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(theirs, third)
        fetched_below_a_branch(mine, theirs)
        mine.push(last, "fix")
        last.pull(theirs)
        assert labels(last, "fix") == ["fix@0", "main@1", "main@0"]
        mine.pull(theirs)
        mine.pull(last)
        assert "main@1" in labels(mine)
        last.pull(mine)
        assert_equal(last, mine)


def test_a_side_that_knows_something_else_under_the_name_of_a_remote(anydb, there):
    mine, theirs = pair(anydb, there)
    with other_database(anydb.client) as third, other_database(anydb.client) as fourth:
        other = VersionedCollection.clone(theirs, fourth)
        last = VersionedCollection.clone(url_of(other), third, "bands")
        fetched_below_a_branch(mine, theirs)
        put(other, "other")
        last.fetch()
        called = last.resolve("origin/main").label
        assert mine.push(last, "fix", dry_run=True).versions == 2
        mine.push(last, "fix")
        assert last.resolve("origin/main").label == called == "origin/main@1"
        last.pull(theirs, "fix")
        assert last.resolve("origin/main").label == called
        assert_whole(mine, last)


@pytest.mark.parametrize("by_bundle", [False, True])
def test_a_copy_of_a_side_does_not_get_the_names_of_its_remotes(anydb, there, by_bundle, tmp_path):
    mine, theirs = pair(anydb, there)
    fetched_below_a_branch(mine, theirs)
    source = mine
    if by_bundle:
        source = tmp_path / "bands.bundle"
        mine.export(source)
    with other_database(anydb.client) as third:
        last = VersionedCollection.clone(source, third)
        fetched = last.resolve("fix~1")
        assert fetched.label == f"__fetched_main_{fetched.id}@1"
        mine.pull("origin")
        if by_bundle:
            mine.export(source, overwrite=True)
        last.pull(source)
        assert labels(last) == labels(mine)
        assert last.resolve(fetched.id).label == "main@1"
        assert raws(last) == raws(mine)
        assert_whole(last)


@pytest.mark.parametrize("delete", [False, True])
def test_a_push_of_another_branch_has_not_seen_the_versions_of_this_one(anydb, there, delete):
    mine, theirs = grown_pair(anydb, there)
    put(mine, "mine")
    put(theirs, "theirs")
    mine.push(theirs, "side", delete=delete)
    with pytest.raises(errors.InvalidOperation, match="not where it was last seen"):
        mine.push(theirs, force=True)
    assert theirs.find_one({"_id": 1})["theirs"]
    mine.fetch(theirs)
    assert mine.push(theirs, force=True) is True
    assert raws(theirs) == raws(mine)


def test_merges_come_along(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    mine.merge("side", resolver="ours")
    mine.push(theirs)
    assert_equal(mine, theirs)
    assert len(theirs.resolve("main").parents) == 2


def test_deleting_a_branch(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    mine.push(theirs, "side", delete=True)
    assert theirs.branches() == {"main"}
    assert mine.branches() == {"main", "side"}
    with pytest.raises(errors.BranchNotFound, match="no branch 'side'; it has main"):
        mine.push(theirs, "side", delete=True)
    with pytest.raises(errors.InvalidOperation, match="checked out"):
        mine.push(theirs, "main", delete=True)


def test_dry_run(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    before = everything(there)
    plan = mine.push(theirs, dry_run=True)
    assert (plan.versions, plan.created) == (1, False)
    assert dict(plan.branches) == {"main": (theirs.resolve("main").id, mine.resolve("main").id)}
    assert everything(there) == before


def test_an_untracked_side(anydb, there):
    mine = untracked(anydb)
    assert mine.push(there) is False
    assert there.list_collection_names() == []


def test_what_a_remote_may_be(anydb, there):
    mine = tracked(anydb)
    assert mine.push(there)
    put(mine, "one")
    assert mine.push(there["bands"])
    put(mine, "two")
    uri = f"mongodb://{anydb.client.address[0]}:{anydb.client.address[1]}/{there.name}"
    direct = "?directConnection=true"
    assert mine.push(uri + direct)
    mine.add_remote("origin", uri + direct)
    put(mine, "three")
    assert mine.push()
    put(mine, "four")
    assert mine.push("origin")
    assert_equal(mine, VersionedCollection(there, "bands"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"remote": 7}, errors.InvalidType),
        ({"remote": "nowhere"}, errors.RemoteNotFound),
        ({"remote": None}, errors.RemoteNotFound),
        ({"remote": "mongodb://localhost/"}, errors.InvalidArgument),
        ({"remote": "mongodb://localhost:99999/x"}, errors.InvalidArgument),
        ({"branch": "nope"}, errors.BranchNotFound),
        ({"branch": "main", "all": True}, errors.InvalidArgument),
        ({"delete": True}, errors.InvalidArgument),
        ({"branch": "main", "delete": True, "tags": True}, errors.InvalidArgument),
    ],
)
def test_bad_input(anydb, there, arguments, error):
    mine = tracked(anydb)
    before = everything(anydb)
    with pytest.raises(error):
        mine.push(**{"remote": there, **arguments})
    assert everything(anydb) == before
    assert there.list_collection_names() == []


def test_the_same_collection(anydb):
    mine = tracked(anydb)
    with MongoClient(*anydb.client.address, directConnection=True) as client:
        for remote in (mine, anydb, client[anydb.name]):
            with pytest.raises(errors.InvalidOperation, match="are the same"):
                mine.push(remote)


def test_another_name(anydb, there):
    mine = tracked(anydb)
    with pytest.raises(ValueError, match="same name"):
        mine.push(VersionedCollection(there, "groups"))


def test_detached(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    mine.checkout(1)
    with pytest.raises(errors.InvalidOperation, match="detached"):
        mine.push(theirs)
    assert mine.push(theirs, "main") is True


def test_changes_beside_a_stash(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.insert_one({"_id": "stashed"})
    mine.stash()
    assert mine.push(theirs) is True
    mine.insert_one({"_id": "dirty"})
    with pytest.raises(errors.InvalidOperation, match="stash"):
        mine.push(theirs)
    mine.stash_discard()
    put(mine, "two")
    mine.insert_one({"_id": "dirty again"})
    assert mine.push(theirs) is True
    assert theirs.find_one({"_id": "dirty again"}) is None


def test_a_check_of_the_remote_guards_it(anydb, there):
    mine, theirs = pair(anydb, there)
    theirs.add_check("no gaps", [{"$match": {"gap": True}}])
    put(mine, "gap")
    before = raws(theirs)
    with pytest.raises(errors.CheckFailed):
        mine.push(theirs)
    assert raws(theirs) == before
    assert labels(theirs) == ["main@0"]
    assert problems(theirs) == []


def test_large_changes(anydb, there, small_limits):
    mine, theirs = grown_pair(anydb, there)
    mine.update_many({}, {"$set": {"large": 1}})
    mine.insert_many([{"_id": f"new {n}"} for n in range(7)])
    mine.delete_one({"_id": 3})
    mine.register("large")
    mine.push(theirs)
    assert_equal(mine, theirs)


def test_undo_at_the_remote(anydb, there):
    mine, theirs = pair(anydb, there)
    put(mine, "one")
    mine.push(theirs)
    assert theirs.undo().verb == "push"
    assert theirs.version == 0
    assert_whole(theirs)
    assert mine.push(theirs) is True
    assert_equal(mine, theirs)


def test_a_branch_whose_rebase_waits_there(anydb, there):
    mine, theirs = grown_pair(anydb, there)
    theirs.checkout("side")
    theirs.update_one({"_id": 1}, {"$set": {"mark": "at odds"}})
    theirs.register("at odds")
    with pytest.raises(errors.AutoMergeFailedError):
        theirs.rebase("main")
    mine.pull(theirs, "side")
    mine.checkout("side")
    put(mine, "further")
    with pytest.raises(errors.InvalidOperation, match="rebase of 'side' waits"):
        mine.push(theirs)
    theirs.abort_merge()
    assert mine.push(theirs) is True
    assert_whole(theirs)


@pytest.mark.parametrize("in_a_worktree", [False, True])
def test_a_branch_onto_which_a_merge_waits_there(anydb, there, in_a_worktree):
    mine, theirs = grown_pair(anydb, there)
    put(mine, "mine", id_=2)
    waiting = theirs
    if in_a_worktree:
        theirs.checkout("side")
        waiting = theirs.worktree("main", "bands_too")
    waiting.update_one({"_id": 1}, {"$set": {"mark": "at odds"}})
    waiting.register("at odds")
    mine.pull(theirs, "main", resolver="ours")
    put(mine, "more", id_=2)
    with pytest.raises(errors.AutoMergeFailedError):
        waiting.merge("side")
    for do_checkout in (False, True):
        with pytest.raises(errors.InvalidOperation):
            mine.push(theirs, "main", do_checkout=do_checkout)
    assert not waiting.is_detached()
    waiting.resolve_conflicts(resolver="ours")
    waiting.register("merged")
    assert waiting.resolve("main").message == "merged"
    assert_whole(theirs, waiting)


@pytest.mark.parametrize("dry_run", [False, True])
def test_histories_that_have_nothing_in_common(anydb, there, dry_run):
    mine, theirs = tracked(anydb), tracked(there)
    put(mine, "one")
    mine.create_branch("x")
    put(mine, "two")
    before = everything(anydb), everything(there)
    for wanted in ({"branch": "x"}, {"branch": "main"}, {"all": True}):
        with pytest.raises(errors.InvalidCollectionState, match="different versions"):
            mine.push(theirs, **wanted, dry_run=dry_run)
    assert (everything(anydb), everything(there)) == before
