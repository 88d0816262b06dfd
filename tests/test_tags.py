"""tag, tags, delete_tag."""

from __future__ import annotations

import pytest
from api_support import edit, everything, grown, problems, step, tracked, untracked

from versioned_collection import Version, errors


def test_tag_names_a_version_for_good(anydb):
    bands = tracked(anydb)
    assert bands.tags() == {}
    tagged = bands.tag("release")
    assert isinstance(tagged, Version)
    assert tagged.label == "main@0"
    step(bands, 1)
    assert bands.resolve("release").label == "main@0"
    assert bands.tags() == {"release": bands.resolve("main@0")}
    assert problems(bands) == []


def test_any_revision_can_be_tagged(anydb):
    bands = grown(anydb)
    for name, revision in {
        "a": "side~1", "b": 2, "c": (0, "side"), "d": bands.resolve("main").id, "e": "v1",
        "f": "HEAD~1",
    }.items():  # fmt: skip
        assert bands.tag(name, revision, message="why") == bands.resolve(revision)
    assert {name: v.label for name, v in bands.tags().items()} == {
        "a": "side@0", "b": "main@2", "c": "side@0", "d": "main@3", "e": "main@1",
        "f": "main@2", "v1": "main@1",
    }  # fmt: skip


def test_message_is_stored(anydb):
    bands = tracked(anydb)
    bands.tag("x", message="why\nso")
    assert anydb["__tags_bands"].find_one({"_id": "x"})["message"] == "why\nso"


def test_uncommitted_changes_stay(anydb):
    bands = tracked(anydb)
    edit(bands, 1)
    bands.tag("x")
    assert bands.has_changes()
    bands.delete_tag("x")
    assert bands.has_changes()


def test_delete(anydb):
    bands = grown(anydb)
    bands.delete_tag("v1")
    assert bands.tags() == {}
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.resolve("v1")
    with pytest.raises(errors.TagNotFound, match="v1") as caught:
        bands.delete_tag("v1")
    assert caught.value.tag == "v1"
    bands.tag("v1", "main@2")
    assert bands.resolve("v1").label == "main@2"


def test_refusals_change_nothing(anydb):
    bands = grown(anydb)
    before = everything(anydb)
    for name in ("v1", "main", "side", "__x", "", "HEAD", "a@1", "a~1", " a", None, 5):
        with pytest.raises(errors.InvalidArgument):
            bands.tag(name)
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.tag("x", "nope")
    with pytest.raises(errors.InvalidType):
        bands.tag("x", message=5)
    assert everything(anydb) == before


def test_odd_names(db):
    bands = tracked(db)
    names = ["v1.0", "a/b", "a--b", "$x", "ünïcödé", "with blank", "0"]
    for name in names:
        bands.tag(name)
    assert set(bands.tags()) == set(names)
    assert all(bands.resolve(name).number == 0 for name in names)


def test_untracked(anydb):
    bands = untracked(anydb)
    assert bands.tags() == {}
    for verb in (lambda: bands.tag("x"), lambda: bands.delete_tag("x")):
        with pytest.raises(errors.CollectionNotTracked):
            verb()
    assert anydb.list_collection_names() == ["bands"]
