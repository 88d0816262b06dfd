"""== <= < between collections."""

from __future__ import annotations

import pytest
from api_support import step, tracked

from versioned_collection import VersionedCollection, errors


@pytest.fixture
def twin(anydb):
    """Copy a database, trackers included, and open "bands" there."""
    copies = []

    def copy():
        target = anydb.client[f"{anydb.name}_{len(copies)}"]
        copies.append(target)
        for name in anydb.list_collection_names():
            anydb[name].aggregate([{"$out": {"db": target.name, "coll": name}}])
        return VersionedCollection(target, "bands")

    yield copy
    for target in copies:
        anydb.client.drop_database(target)


def test_untracked_collections_of_one_name_are_equal(anydb, client):
    one, same = VersionedCollection(anydb, "bands"), VersionedCollection(anydb, "bands")
    elsewhere = VersionedCollection(client["elsewhere"], "bands")
    other = VersionedCollection(anydb, "songs")
    assert one == same == elsewhere
    assert (one != same) is False
    assert one != other
    assert one <= same
    assert not one < same
    assert one >= same
    assert not one > same


def test_what_is_equal_has_one_hash(anydb, twin):
    bands = tracked(anydb)
    copy, plain = twin(), anydb["bands"]
    assert bands == copy
    assert hash(bands) == hash(copy)
    assert {bands, copy} == {bands}
    for other in (plain, "bands", None):
        assert bands != other
        assert other != bands
    assert plain not in {bands}


def test_tracked_and_untracked_are_never_equal(anydb, client):
    bands = tracked(anydb)
    elsewhere = VersionedCollection(client["elsewhere"], "bands")
    assert bands != elsewhere
    assert elsewhere != bands
    assert bands == VersionedCollection(anydb, "bands")


def test_same_name_with_a_history_of_its_own(anydb, twin):
    other = twin()
    other.insert_one({})
    bands = tracked(anydb)
    other.init("start")
    assert bands != other
    assert not bands <= other
    assert not bands < other
    assert not other <= bands


def test_containment(anydb, twin):
    bands = tracked(anydb)
    older = twin()
    assert bands == older
    assert bands <= older
    assert not bands < older
    step(bands, 1)
    assert bands != older
    assert older < bands
    assert older <= bands
    assert bands > older
    assert bands >= older
    assert not bands <= older
    assert not bands < older
    step(older, 2)  # diverged
    for a, b in ((bands, older), (older, bands)):
        assert a != b
        assert not a <= b
        assert not a < b


def test_branches_count(anydb, twin):
    bands = tracked(anydb)
    older = twin()
    bands.create_branch("unborn")
    assert bands != older
    assert older < bands
    assert not bands <= older
    older.create_branch("unborn")
    assert bands == older


def test_contents_and_place_do_not_count(anydb, twin):
    bands = tracked(anydb)
    step(bands, 1)
    other = twin()
    other.checkout(0)
    other.insert_one({})
    assert bands == other


def test_labels_count(anydb, twin):
    bands = tracked(anydb)
    other = twin()
    other.rename_branch("main", "trunk")
    assert bands != other


@pytest.mark.blocking
def test_other_names_and_types(anydb):
    bands, songs = tracked(anydb), VersionedCollection(anydb, "songs")
    comparisons = [lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a > b,
                   lambda a, b: a >= b]  # fmt: skip
    for compare in comparisons:
        with pytest.raises(ValueError, match="different names"):
            compare(bands, songs)
        for other in (None, 5, "bands", anydb, anydb["bands"]):
            with pytest.raises(TypeError):
                compare(bands, other)
        with pytest.raises(errors.VersioningError):
            compare(bands, songs)
    assert bands != 5
    assert bands != "bands"
    assert bands is not None
    assert (bands == object()) is False


def test_can_be_hashed(anydb):
    bands = tracked(anydb)
    assert len({bands, VersionedCollection(anydb, "bands")}) == 1
