"""Bundles: a repository in a file, from which others clone, fetch and pull."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bson
import pytest
from api_support import edit, everything, grown, problems, raws, step, tracked
from bson.code import Code
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from remote_support import assert_absent, assert_equal, other_database, outgrown, put
from test_export import odd

from versioned_collection import VersionedCollection, errors
from versioned_collection.remotes import container
from versioned_collection.remotes.bundle import BundleRemote
from versioned_collection.remotes.container import BlockReader, BlockWriter
from versioned_collection.trackers import delta_chunks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bands.bundle"


@pytest.fixture(scope="module")
def honest(client: Any) -> Iterator[bytes]:
    """The bundle of `grown`."""
    with other_database(client) as database:
        out = io.BytesIO()
        grown(database).export(out, format="bundle")
        yield out.getvalue()


# -- clone ---------------------------------------------------------------------------------


def test_a_clone_equals_the_origin(anydb, there, file):
    bands = grown(anydb)
    done = bands.export(file)
    assert (done.format, done.versions, done.documents) == ("bundle", 6, 3)
    assert (sorted(done.branches), done.tags) == (["main", "side"], ["v1"])
    assert done.bytes == file.stat().st_size
    copy = VersionedCollection.clone(file, there)
    assert_equal(bands, copy)
    assert copy.tags() == bands.tags()
    assert [(one.name, one.url) for one in copy.remotes()] == [("origin", str(file))]
    for label in ("main@0", "main@2", "side@0", "side"):
        bands.checkout(label)
        copy.checkout(label)
        assert raws(bands) == raws(copy)


def test_every_type_travels_to_the_byte(anydb, there, file):
    bands = odd(anydb)
    bands.update_many({}, {"$set": {"more": [1, {"a": 2}]}})
    bands.delete_one({"_id": "a"})
    bands.register("more")
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    assert_equal(bands, copy)
    copy.checkout(0)
    bands.checkout(0)
    assert raws(copy) == raws(bands)


def test_what_an_index_refuses_leaves_the_other_side_as_it_was(anydb, there, file):
    bands = outgrown(anydb)
    bands.export(file)
    for _ in range(2):
        with pytest.raises(errors.DocumentRejected, match="drop or correct the index"):
            VersionedCollection.clone(file, there)
        assert_absent(there)
    bands.register("ranked")
    bands.export(file, overwrite=True)
    assert_equal(VersionedCollection.clone(file, there), bands)


def test_options_validator_and_indexes_travel(db, there, file):
    db.create_collection("bands", validator={"name": {"$type": "string"}})
    bands = tracked(db)
    bands.create_index([("since.year", -1), ("name", 1)], unique=True)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    assert copy.options() == bands.options()
    assert copy.index_information().keys() == bands.index_information().keys()


@pytest.mark.parametrize("branch", ["side", "main"])
def test_any_branch_can_be_checked_out(anydb, there, file, branch):
    bands = grown(anydb)
    bands.insert_many([{"_id": n} for n in range(10, 20)])
    bands.delete_one({"_id": 2})
    bands.register("many")
    bands.export(file)
    copy = VersionedCollection.clone(file, there, branch=branch)
    bands.checkout(branch=branch)
    assert copy.branch == branch
    assert_equal(bands, copy)


def test_into_a_collection_and_under_another_name(db, there, file):
    bands = grown(db)
    bands.export(file)
    copy = VersionedCollection.clone(str(file), there["groups"])
    assert (copy.name, copy.database.name) == ("groups", there.name)
    assert raws(copy) == raws(bands)
    assert copy.get_log() == bands.get_log()
    assert problems(copy) == []
    beside = VersionedCollection.clone(file, there, "more")
    assert beside.name == "more"


def test_histories_with_merges(db, there, file):
    bands = grown(db)
    bands.merge("side", resolver="ours")
    bands.create_branch("dev")
    step(bands, "dev")
    bands.checkout("main")
    put(bands, "more", id_=2)
    bands.merge("dev", resolver="theirs")
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    assert_equal(bands, copy)
    for version in bands.version_tree:
        one, other = (sorted(map(bson.encode, side.at(version).find())) for side in (bands, copy))
        assert one == other


def test_chosen_branches(db, there, file):
    bands = grown(db)
    bands.tag("on_side", "side")
    done = bands.export(file, branches=["main"])
    assert (list(done.branches), done.tags, done.versions) == (["main"], ["v1"], 4)
    copy = VersionedCollection.clone(file, there)
    assert list(copy.branches()) == ["main"]
    assert copy.tags().keys() == {"v1"}
    with pytest.raises(errors.BranchNotFound):
        bands.export(file, branches=["nowhere"], overwrite=True)


def test_a_file_object_takes_a_bundle(db, there, file):
    bands = grown(db)
    out = io.BytesIO()
    bands.export(out, format="bundle")
    file.write_bytes(out.getvalue())
    assert_equal(bands, VersionedCollection.clone(file, there))


def test_uncommitted_changes_and_detached_heads_stay(anydb, there, file):
    bands = grown(anydb)
    bands.checkout(1)
    edit(bands, "dirty")
    before = raws(bands)
    bands.export(file)
    assert raws(bands) == before
    copy = VersionedCollection.clone(file, there)
    bands.discard_changes()
    bands.checkout("main")
    assert_equal(bands, copy)


def test_changes_of_which_parts_are_in_chunks(anydb, there, file, monkeypatch):
    monkeypatch.setattr(delta_chunks, "LARGEST_INLINE", 300)
    bands = grown(anydb)
    bands.insert_one({"_id": "large", "x": "a" * 500})
    bands.register("large")
    bands.replace_one({"_id": "large"}, {"x": {"y": ["b" * 500]}})
    bands.register("replaced")
    bands.export(file)
    assert_equal(bands, VersionedCollection.clone(file, there))


@pytest.mark.sweep
@pytest.mark.parametrize("size", [9, 15.9])
def test_large_documents(db, there, file, size):
    bands = VersionedCollection(db, "bands")
    content = os.urandom(int(size * 1024 * 1024))
    bands.insert_one({"_id": "large", "x": content})
    bands.init()
    bands.replace_one({"_id": "large"}, {"x": content[::-1]})
    bands.register("turned")
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    assert_equal(bands, copy)
    copy.checkout(0)
    assert copy.find_one("large")["x"] == content


def test_many_blocks(db, there, file, monkeypatch):
    monkeypatch.setattr(container, "_BLOCK_BYTES", 200)
    bands = grown(db)
    bands.insert_many([{"_id": n, "x": "a" * 40} for n in range(100, 200)])
    bands.register("many")
    bands.export(file)
    with BundleRemote(str(file)) as bundle:
        assert len(bundle._file.blocks) > 20
    copy = VersionedCollection.clone(file, there, branch="side")
    copy.checkout(branch="main")
    assert_equal(bands, copy)


# -- fetch, pull, remotes ------------------------------------------------------------------


def test_pull_and_fetch_bring_what_is_new(anydb, there, file):
    bands = grown(anydb)
    copy = VersionedCollection(there, "bands")
    bands.export(file)
    assert copy.pull(file)
    assert_equal(bands, copy)
    step(bands, "later")
    bands.export(file, overwrite=True)
    fetched = copy.fetch(str(file))
    assert (fetched.versions, sorted(fetched.branches)) == (1, ["main"])
    assert copy.resolve(f"{file}/main").id == bands.resolve("main").id
    assert copy.pull(file)
    assert_equal(bands, copy)
    assert copy.fetch(file).versions == 0


def test_a_bundle_has_a_name_like_any_remote(db, there, file, monkeypatch):
    bands = grown(db)
    bands.export(file)
    monkeypatch.chdir(file.parent)
    copy = VersionedCollection.clone("./bands.bundle", there)
    assert copy.remotes()[0].url == str(file)
    copy.remove_remote("origin")
    assert copy.add_remote("backup", "bands.bundle").url == str(file)
    step(bands, "later")
    bands.export(file, overwrite=True)
    assert copy.fetch("backup").remote == "backup"
    assert copy.fetch("bands.bundle").remote == "backup"
    assert copy.resolve("backup/main").label == "backup/main@4"
    assert copy.pull("backup")
    assert_equal(bands, copy)


def test_sides_that_diverged_are_merged(db, there, file):
    bands = grown(db)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    put(copy, "mine", id_=2)
    put(bands, "theirs", id_=3)
    bands.export(file, overwrite=True)
    assert copy.pull()
    assert (copy.find_one(2)["mine"], copy.find_one(3)["theirs"]) == (True, True)
    assert bands.pull(copy)
    assert_equal(bands, copy)
    # labels have moved since: whoever pulls the next bundle learns of it
    put(bands, "again")
    bands.export(file, overwrite=True)
    assert copy.pull()
    assert_equal(bands, copy)


def test_nothing_is_pushed_to_a_file(db, file):
    bands = grown(db)
    for remote in (file, str(file)):
        with pytest.raises(errors.NotSupported, match=r"export\(\)"):
            bands.push(remote)
    bands.export(file)
    bands.add_remote("backup", str(file))
    before = file.read_bytes()
    for arguments in ({}, {"dry_run": True}, {"branch": "side", "delete": True}, {"all": True}):
        with pytest.raises(errors.NotSupported, match=r"export\(\)"):
            bands.push("backup", **arguments)
    with BundleRemote(str(file)) as bundle:
        for take in (
            lambda: bundle.known([]),
            bundle.inbox,
            lambda: bundle.found(None, None),  # type: ignore[arg-type]
            lambda: bundle.update(None),  # type: ignore[arg-type]
        ):
            with pytest.raises(errors.NotSupported):
                take()
    assert file.read_bytes() == before


# -- incremental bundles -------------------------------------------------------------------


def test_a_bundle_of_what_is_new(anydb, there, file, tmp_path):
    bands = grown(anydb)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    bands.tag("weekly")
    step(bands, "later")
    step(bands, "latest")
    bands.tag("v2")
    news = tmp_path / "news.bundle"
    done = bands.export(news, since=["weekly", "side"])
    assert (done.versions, done.documents, done.version) == (2, 0, None)
    assert copy.fetch(news).versions == 2
    assert copy.pull(news)
    assert copy.tags().keys() == {"v1", "v2", "weekly"}
    assert_equal(bands, copy)
    done = bands.export(news, since=["main", "side"], overwrite=True)
    assert done.versions == 0
    assert copy.pull(news)


def test_since_several_versions(db, file):
    bands = grown(db)
    assert bands.export(file, since=["main", "side"]).versions == 0
    assert bands.export(file, since=["main", "side@0"], overwrite=True).versions == 1
    assert bands.export(file, since=(1, "main"), overwrite=True).versions == 4
    with pytest.raises(errors.InvalidCollectionVersion):
        bands.export(file, since="nowhere", overwrite=True)


def test_since_versions_that_others_contain(db, there, file, tmp_path):
    """All versions of the other side say what its tips say."""
    bands = grown(db)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    known = [version.id for version in (*bands.log("main"), *bands.log("side"))]
    step(bands, "later")
    news = tmp_path / "news.bundle"
    assert bands.export(news, since=known).versions == 1
    with BundleRemote(news) as bundle:
        assert bundle.since.keys() == {bands.resolve("main~1").id, bands.resolve("side").id}
    assert copy.pull(news)
    assert_equal(bands, copy)


def test_more_names_than_a_bundle_can_begin_with(db, file, monkeypatch):
    bands = grown(db)
    monkeypatch.setattr(container, "_LARGEST_HEADER", 100)
    with pytest.raises(errors.NotSupported, match="fewer versions"):
        bands.export(file, since=["main~1", "side~1"])
    assert not file.exists()


def test_what_a_bundle_builds_on_has_to_be_there(db, there, file, tmp_path):
    bands = grown(db)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    step(bands, "one")
    step(bands, "two")
    news = tmp_path / "news.bundle"
    bands.export(news, since="main~1")
    before = everything(there)
    for verb in (copy.fetch, copy.pull):
        with pytest.raises(errors.InvalidOperation, match="main@4") as caught:
            verb(news)
        assert caught.value.lacking == ["main@4"]
    assert everything(there) == before
    with pytest.raises(errors.InvalidOperation, match="main@4"):
        VersionedCollection.clone(news, there["other"])
    assert "other" not in there.list_collection_names()


def test_labels_that_moved_travel_with_what_is_new(db, there, file, tmp_path):
    bands = grown(db)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    put(copy, "mine", id_=2)
    put(bands, "theirs", id_=3)
    assert bands.pull(copy)  # the local version moves aside, and labels are stamped
    put(bands, "later")
    news = tmp_path / "news.bundle"
    bands.export(news, since="v1")
    assert copy.pull(news)
    assert_equal(bands, copy)


def test_two_sources_write_to_one_path(db, there, file):
    """One whose labels moved, and then, of what is new, another whose labels never did."""
    bands = tracked(db)
    bands.export(file)
    copy = VersionedCollection.clone(file, there)
    other = VersionedCollection.clone(file, db.client[f"{there.name}_2"])
    try:
        put(bands, "mine", id_=2)
        put(other, "theirs", id_=3)
        bands.pull(other)
        bands.export(file, overwrite=True)
        assert copy.pull(str(file))
        other.pull(bands)
        met = other.resolve("HEAD").id
        put(other, "later")
        other.export(file, since=met, overwrite=True)
        assert copy.pull(str(file))
        assert_equal(other, copy)
    finally:
        other.drop()


def test_another_history_is_refused(db, there, file):
    grown(db).export(file)
    other = tracked(there)
    before = everything(there)
    for verb in (other.fetch, other.pull):
        with pytest.raises(errors.InvalidCollectionState):
            verb(file)
    assert everything(there) == before


# -- files that are not what they should be --------------------------------------------------


def refused(there: Any, file: Path, reason: str) -> None:
    """Make sure that a file is refused by every verb, and that nothing is changed."""
    copy = tracked(there, "own")
    before = everything(there)
    for take in (
        lambda: VersionedCollection.clone(file, there, "bands"),
        lambda: copy.fetch(file),
        lambda: copy.pull(file),
    ):
        with pytest.raises(errors.UnusableFile) as caught:
            take()
        assert caught.value.reason == reason
        assert str(file) in str(caught.value)
    assert everything(there) == before


def test_files_of_another_kind(db, there, tmp_path):
    bands = tracked(db)
    bands.export(tmp_path / "bands.bson")
    for name, data in {
        "empty": b"",
        "text": b"a text that is no bundle at all",
        "bson": (tmp_path / "bands.bson").read_bytes(),
        "zeros": bytes(1000),
    }.items():
        file = tmp_path / f"{name}.bundle"
        file.write_bytes(data)
        refused(there, file, "foreign")
        there["own"].drop()
        for one in there.list_collection_names():
            there.drop_collection(one)
    refused(there, tmp_path / "nowhere.bundle", "missing")


def test_truncated_bundles(there, honest, file):
    data = honest
    for size in (3, 20, 60, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(errors.UnusableFile) as caught:
            VersionedCollection.clone(file, there)
        assert caught.value.reason == "truncated", size
    file.write_bytes(data + b"more")
    refused(there, file, "truncated")


def test_altered_bundles(there, honest, file):
    data = honest
    for place in range(60, len(data) - 70, max(1, len(data) // 40)):
        altered = bytearray(data)
        altered[place] ^= 0x20
        file.write_bytes(altered)
        with pytest.raises((errors.UnusableFile, errors.FormatMismatch)) as caught:
            VersionedCollection.clone(file, there)
        assert getattr(caught.value, "reason", "altered") in ("altered", "malformed")
    assert there.list_collection_names() == []
    file.write_bytes(data)
    assert VersionedCollection.clone(file, there).get_log()


def test_another_format_is_named(db, there, file, monkeypatch):
    monkeypatch.setattr(container, "FORMAT", 99)
    tracked(db).export(file)
    monkeypatch.undo()
    with pytest.raises(errors.FormatMismatch, match="99"):
        VersionedCollection.clone(file, there)


class Forge:
    """A bundle of ours taken apart, to be put together otherwise, with a digest that is right."""

    def __init__(self, file: Path) -> None:
        reader = BlockReader(str(file))
        self._file = file
        self.header = {k: v for k, v in reader.header.items() if k not in ("bundle", "format")}
        self.documents = [
            (block.kind, bson.decode(raw), block.first)
            for kind in dict.fromkeys(block.kind for block in reader.blocks)
            for block in reader.blocks
            if block.kind == kind
            for raw in reader._documents_at(kind, block.place, 1 << 30)
        ]
        reader.close()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [found for one, found, _ in self.documents if one == kind]

    def write(self) -> None:
        with open(self._file, "wb") as out:
            writer = BlockWriter(out, self.header)
            for kind, found, _ in self.documents:
                version = {"entries": "_id", "changes": "version"}.get(kind)
                about = found.get(version) if version else None
                about = about if isinstance(about, ObjectId) else None
                writer.add(kind, bson.encode(found), about)
            writer.finish()


def drop(kind: str) -> Any:
    def change(forge: Forge) -> None:
        found = next(one for one in reversed(forge.documents) if one[0] == kind)
        forge.documents.remove(found)

    return change


def change(kind: str, **facts: Any) -> Any:
    return lambda forge: forge.of(kind)[-1].update(facts)


def header(**facts: Any) -> Any:
    return lambda forge: forge.header.update(facts)


FORGERIES = {
    "an entry less": drop("entries"),
    "a change less": drop("changes"),
    "a document less": drop("documents"),
    "no documents": lambda forge: [drop("documents")(forge) for _ in range(3)],
    "another message": change("entries", message="another"),
    "another branch": change("entries", branch=7),
    "a checksum of its own": change("entries", checksum="0" * 64),
    "a parent that is nowhere": change("entries", parents=[ObjectId()]),
    "parents of another type": change("entries", parents="x"),
    "an id of another type": change("entries", _id="x"),
    "an entry of another format": change("entries", format=9),
    "another document": change("documents", name="another"),
    "a change of nothing": change("changes", op="upsert"),
    "a change of another version": change("changes", version=ObjectId()),
    "a change without a version": change("changes", version=None),
    "code for an operation": change("changes", op=Code("insert")),
    "code for a branch": change("entries", branch=Code("main")),
    "code for a name": change("branches", name=Code("main")),
    "a change of another format": change("changes", format=9),
    "a tip that is nowhere": change("branches", version=ObjectId()),
    "a tip of another type": change("branches", version="x"),
    "a name of another type": change("branches", name=7),
    "a reserved name": change("branches", name="__x"),
    "a tag of another type": change("tags", timestamp="now"),
    "no tag": change("tags", version=7),
    "a checksum of another type": change("checksums", checksum=7),
    "options of another type": change("setup", options=[1]),
    "indexes of another type": change("setup", indexes=[1]),
    "options that no server has": change("setup", options={"validator": {"$where": 1}}),
    "documents of another version": header(content=ObjectId()),
    "no version of the documents": header(content=None),
    "content of another type": header(content="x"),
    "a branch of another type": header(current=["main"]),
    "labels of another type": header(labels="x"),
    "since of another type": header(since=7),
    "since nowhere": header(since=[{"version": ObjectId(), "label": "x"}]),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_bundle_that_lies_is_refused(there, honest, file, what):
    file.write_bytes(honest)
    forge = Forge(file)
    FORGERIES[what](forge)
    forge.write()
    with pytest.raises(errors.VersioningError) as caught:
        VersionedCollection.clone(file, there)
    assert isinstance(
        caught.value,
        (
            errors.UnusableFile,
            errors.TransferRefused,
            errors.InvalidOperation,
            errors.InvalidArgument,
            errors.InvalidCollectionState,
        ),
    )
    assert not VersionedCollection(there, "bands").is_tracked()
    assert "bands" not in there.list_collection_names()


NUMBERS = (7, -1, 2**63 - 1, 1.5, True)
TEXTS = ("x", "", "x" * 600, b"x", Code("x"), Regex("a"))
CONTAINERS = ([], ["x"], [None], {}, {"a": 1}, {"": None})
ODDITIES = (None, *NUMBERS, *TEXTS, *CONTAINERS, ObjectId(), MinKey(), Timestamp(0, 0))


def mutated(found: Any, rnd: random.Random) -> None:
    """Change or remove one place of a document, or of what is in it."""
    while found:
        place = rnd.choice(list(found) if isinstance(found, dict) else range(len(found)))
        if isinstance(found[place], (dict, list)) and rnd.random() < 0.6:
            found = found[place]
        elif rnd.random() < 0.15:
            del found[place]
            return
        else:
            found[place] = rnd.choice(ODDITIES)
            return


def read_all(file: Path) -> None:
    """Read everything that a bundle gives away."""
    with BundleRemote(str(file)) as bundle:
        versions = list(bundle._tree.nodes)
        bundle.walk(list(bundle.refs().branches.values()), 64)
        bundle.setup()
        for part in (bundle.entries(versions), bundle.changes(versions)):
            assert all(isinstance(batch, list) for batch in part)
        for version in versions:
            assert all(isinstance(batch, list) for batch in bundle.content(version))


def test_whatever_a_bundle_holds_an_error_is_one_of_ours(there, honest, file):
    rnd = random.Random(7)
    for turn in range(150):
        file.write_bytes(honest)
        forge = Forge(file)
        for _ in range(rnd.choice((1, 2))):
            mutated(rnd.choice([forge.header, *(one[1] for one in forge.documents)]), rnd)
        forge.write()
        with suppress(errors.VersioningError):
            read_all(file)
        if turn % 25 == 0:
            with suppress(errors.VersioningError):
                VersionedCollection.clone(file, there, f"bands{turn}")


def test_the_truth_is_taken_after_a_lie(db, there, file):
    bands = grown(db)
    bands.export(file)
    forge = Forge(file)
    truth = [dict(found) for _, found, _ in forge.documents]
    FORGERIES["a change less"](forge)
    forge.write()
    with pytest.raises(errors.TransferRefused):
        VersionedCollection.clone(file, there)
    bands.export(file, overwrite=True)
    forge = Forge(file)
    assert [found for _, found, _ in forge.documents] == truth
    forge.write()
    assert_equal(bands, VersionedCollection.clone(file, there))


def test_blocks_that_were_made_to_do_harm(tmp_path):
    def written(block: dict[str, Any], place: int | None = None) -> str:
        out = io.BytesIO()
        header = bson.encode({"bundle": "versioned_collection", "format": 1})
        out.write(header)
        out.write(bson.encode(block))
        end = container._END[0] + struct.pack("<q", len(header) if place is None else place)
        out.write(end + container._END[1])
        out.write(hashlib.sha256(out.getvalue()).digest() + b"\0")
        path = tmp_path / "harm.bundle"
        path.write_bytes(out.getvalue())
        return str(path)

    bomb = zlib.compress(bytes(70_000_000))
    whole = {"block": "index", "count": 0, "size": 0, "data": zlib.compress(b"")}
    BlockReader(written(whole)).close()
    for block in (
        {**whole, "data": bomb},
        {**whole, "data": bomb, "size": 70_000_000},
        {**whole, "data": bomb, "size": 1 << 60},
        {**whole, "size": -1},
        {**whole, "size": "x"},
        {**whole, "count": 7},
        {**whole, "data": b"not compressed"},
        {**whole, "data": "x"},
        {**whole, "block": "entries"},
        {**whole, "size": 8, "count": 1, "data": zlib.compress(b"\xff\xff\xff\x7f0000")},
        {**whole, "size": 5, "count": 1, "data": zlib.compress(b"\5\0\0\0\0")},
        {},
    ):
        with pytest.raises(errors.UnusableFile) as caught:
            BlockReader(written(block))
        assert caught.value.reason == "malformed"
    for place in (-1, 1 << 62, 3):
        with pytest.raises(errors.UnusableFile) as caught:
            BlockReader(written(whole, place))
        assert caught.value.reason == "malformed"


# -- what is exported is proved --------------------------------------------------------------


def test_a_history_that_contradicts_itself_is_not_exported(db, file):
    bands = grown(db)
    db["__deltas_bands"].delete_one({"version": bands.resolve("main@2").id})
    with pytest.raises(errors.CorruptHistory, match=r"verify\(\)") as caught:
        bands.export(file)
    assert caught.value.version == bands.resolve("main@2").id
    assert not file.exists()


def test_a_history_without_a_branch_is_not_exported(db, file):
    bands = grown(db)
    bands.checkout("main@0")
    for branch in ("main", "side"):
        bands.tag(f"last of {branch}", branch)
        bands.delete_branch(branch)
    for chosen in (None, ["main"]):
        with pytest.raises(errors.InvalidOperation, match="no branch, and a bundle needs one"):
            bands.export(file, branches=chosen)
    assert not file.exists()
    assert bands.export(file, format="bson").documents == 3


def test_documents_that_are_others_are_not_exported(db, file):
    bands = grown(db)
    db["__replica_bands"].update_one({"_id": 1}, {"$set": {"x": 1}})
    for format in ("bundle", "bson"):
        with pytest.raises(errors.SnapshotUnavailable):
            bands.export(file, format=format)
    assert not file.exists()


def test_too_many_versions_are_refused(db, file, monkeypatch):
    from versioned_collection.verbs import export

    bands = grown(db)
    monkeypatch.setattr(export, "MOST_VERSIONS", 5)
    with pytest.raises(errors.NotSupported, match="fewer branches"):
        bands.export(file)
    assert bands.export(file, branches=["main"]).versions == 4
