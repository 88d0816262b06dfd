"""resolve: every way to name a version."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from api_support import edit, everything, grown, step, tracked, untracked
from bson import ObjectId

from versioned_collection import errors


@pytest.fixture(scope="module")
def bands(client):
    """One history for all tests here, none of which change it: see `grown`."""
    name = f"test_revisions_{ObjectId()}"
    yield grown(client[name])
    client.drop_database(name)


@pytest.mark.parametrize(
    ("revision", "label"),
    [
        ("main", "main@3"), ("side", "side@1"), ("HEAD", "main@3"),
        ("main@0", "main@0"), ("main@3", "main@3"), ("side@0", "side@0"),
        ("main~0", "main@3"), ("main~", "main@2"), ("main~1", "main@2"), ("main~2", "main@1"),
        ("main~~", "main@1"), ("main~1~2", "main@0"), ("main@2~1", "main@1"),
        ("HEAD~1", "main@2"), ("HEAD~3", "main@0"), ("side~1", "side@0"), ("side~2", "main@1"),
        ("main^", "main@2"), ("main^^", "main@1"), ("HEAD^0", "main@3"), ("side^1~1", "main@1"),
        ("@", "main@3"), ("@~1", "main@2"), ("@^", "main@2"), ("@{2999-01-31}", "main@3"),
        ("v1", "main@1"), ("v1~1", "main@0"),
        (0, "main@0"), (3, "main@3"), ((1, "side"), "side@1"), ([0, "side"], "side@0"),
        (None, "main@3"),
    ],
)  # fmt: skip
def test_texts_numbers_and_tuples(bands, revision, label):
    assert bands.resolve(revision).label == label


def test_ids_and_checksums(bands):
    for version in bands.log():
        assert bands.resolve(version) == version
        assert bands.resolve(version.id) == version
        assert bands.resolve(str(version.id)) == version
        assert bands.resolve(version.checksum) == version
        assert bands.resolve(version.checksum[:12]) == version
    first = bands.resolve("main~1").checksum[:12]
    assert bands.resolve(f"{first}~1").label == "main@1"


def test_a_prefix_that_fits_several(bands):
    log = bands.database["__log_bands"]
    ids = [version.id for version in bands.log(limit=2)]
    before = list(log.find({"_id": {"$in": ids}}))
    for n, id_ in enumerate(ids):
        log.update_one({"_id": id_}, {"$set": {"checksum": f"abcd{n}" + "0" * 59}})
    try:
        with pytest.raises(errors.AmbiguousRevision, match="2 checksums") as caught:
            bands.resolve("abcd")
        assert set(caught.value.candidates) == set(map(str, ids))
        assert bands.resolve("abcd1").id == ids[1]
    finally:
        for entry in before:
            log.replace_one({"_id": entry["_id"]}, entry)


def test_times(bands):
    versions = list(bands.log())
    for index, version in enumerate(versions):
        text = version.timestamp.isoformat()
        newest = next(v for v in versions if v.timestamp <= version.timestamp)
        assert bands.resolve(f"main@{{{text}}}") == newest, index
        assert bands.resolve(f"HEAD@{{{text}+00:00}}") == newest
    assert bands.resolve("main@{2999-01-31}").label == "main@3"
    assert bands.resolve("side@{2999-01-31}").label == "side@1"
    assert bands.resolve("main@{2999-01-31T12:00Z}~1").label == "main@2"
    east = timezone(timedelta(hours=5))
    aware = versions[-1].timestamp.replace(tzinfo=timezone.utc).astimezone(east)
    assert bands.resolve(f"main@{{{aware.isoformat()}}}").timestamp <= versions[-1].timestamp
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.resolve("main@{2001-01-31}")
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.resolve("nope@{2999-01-31}")
    for text in ("yesterday", "", "2026-13-01", "{", "2026-01-31 25:00"):
        with pytest.raises((errors.InvalidArgument, errors.InvalidCollectionVersion)):
            bands.resolve(f"main@{{{text}}}")


@pytest.mark.parametrize(
    "revision",
    ["nope", "main@4", "main@-1", "side@2", "main~4", "HEAD~99", "nope@0", "nope~1", "v1@0",
     "v2", "HEAD@1", "MAIN", "main ", " main", "main@", "main@x", "@0", "main^2", "@^9", "0" * 24,
     "ffff", "abc", "main@" + "9" * 30, "main~" + "9" * 30, "9" * 5000, "main@" + "9" * 5000,
     "\ud800", "$ne", "a\0b", 4, -1, -2, 10**30, (2, "side"), (10**30, "main"),
     ObjectId("f" * 24)],
    ids=lambda revision: repr(revision)[:30],
)  # fmt: skip
def test_what_names_nothing(bands, revision):
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.resolve(revision)


@pytest.mark.parametrize("revision", ["", "~", "~1"])
def test_what_is_no_revision(bands, revision):
    with pytest.raises(ValueError, match="revision"):
        bands.resolve(revision)


@pytest.mark.parametrize(
    "revision", [1.0, True, b"main", {"a": 1}, {1}, object(), ("main", 3), (1, 2, 3), (1,), ()]
)
def test_wrong_types(bands, revision):
    with pytest.raises(TypeError) as caught:
        bands.resolve(revision)
    assert isinstance(caught.value, errors.InvalidType)


def test_branch_of_a_tuple_must_exist(bands):
    with pytest.raises(errors.BranchNotFound):
        bands.resolve((0, "nope"))


def test_resolving_changes_nothing(bands):
    before = everything(bands.database)
    for revision in ("main", "HEAD~1", 2, "v1"):
        bands.resolve(revision)
    assert everything(bands.database) == before


def test_head_and_numbers_follow_the_working_copy(anydb):
    bands = grown(anydb)
    bands.checkout("side@0")
    assert bands.resolve("HEAD").label == "side@0"
    assert bands.resolve("HEAD~1").label == "main@1"
    assert bands.resolve(1).label == "side@1"
    bands.create_branch("unborn")
    assert bands.resolve("unborn").label == "side@0"
    assert bands.resolve("unborn@-1").label == "side@0"
    assert bands.resolve(-1).label == "side@0"
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.resolve(0)


def test_a_branch_wins_over_a_checksum(anydb):
    bands = tracked(anydb)
    prefix = bands.resolve("main").checksum[:8]
    bands.create_branch(prefix)
    step(bands, 1)
    assert bands.resolve(prefix).label == f"{prefix}@0"


def test_facts_of_a_version(anydb):
    bands = grown(anydb)
    version = bands.resolve("side@0")
    assert isinstance(version.id, ObjectId)
    assert (version.number, version.branch) == (0, "side")
    assert version.parents == (bands.resolve("main@1").id,)
    assert isinstance(version.timestamp, datetime)
    assert (version.message, version.author, version.metadata) == ("vs0", None, {})
    assert version.stats == {"inserted": 0, "updated": 1, "deleted": 0}
    assert len(version.checksum) == len(version.fingerprint) == 64


def test_untracked(anydb):
    with pytest.raises(errors.CollectionNotTracked):
        untracked(anydb).resolve("HEAD")


def test_parents_of_a_merge(anydb):
    bands = grown(anydb)
    edit(bands, "theirs", 2)
    bands.register("v4")
    merged = bands.merge("side", resolver="ours")
    assert bands.resolve("main^2").label == "side@1"
    assert bands.resolve("@^2^").label == "side@0"
    assert bands.resolve("main^1").id == bands.resolve("main~1").id == merged.parents[0]
    for text in ("main^3", "main~1^2"):
        with pytest.raises(errors.InvalidCollectionVersion):
            bands.resolve(text)
    assert bands.checkout("main^2")
    assert (bands.branch, bands.is_detached()) == ("side", False)


def test_places_in_a_reflog(bands):
    with pytest.raises(errors.InvalidArgument, match=r"reflog\(\) lists"):
        bands.resolve("HEAD@{1}")
