"""history and blame behind many versions: as if all of the tree were read, without reading it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from api_support import RAW, edit, labels, problems, raws, tracked
from bson import ObjectId
from harness.transfers import line_to
from harness.trap import shrink_limits
from histories import change, changes, tried
from hypothesis import given
from hypothesis import strategies as st
from remote_support import other_database
from test_long_paths import long

from versioned_collection import DocumentId, Retention, VersionedCollection, errors
from versioned_collection.core.document import document_key, key_of
from versioned_collection.past import lineage

_names = itertools.count()

IN_STEPS, AT_ONCE = -(10**9), 10**9
"""With so few versions that are read at once none is, with so many all are."""

IDS = (1, 1.0, 2, True, "a", None, 7)


@pytest.fixture
def short(monkeypatch) -> None:
    """Have spans of two versions and more, and little read around a version."""
    shrink_limits(monkeypatch.setattr, {"LEAST_VERSIONS": 2})
    monkeypatch.setattr(lineage, "_FEW", IN_STEPS)


# -- exactness -----------------------------------------------------------------------------


class Oracle:
    """What `history` has to find, from the whole tree and from whole versions."""

    def __init__(self, bands: VersionedCollection, id_: Any) -> None:
        self._bands = bands
        self._exact = isinstance(id_, DocumentId)
        self._key = id_.key if self._exact else key_of(id_)
        self._id = id_
        self._tree = bands._repository.log.tree()
        self._touching = {
            version
            for version, found in bands._repository.deltas.changes_of([self._key])
            if not self._exact or found == self._key
        }

    def history(self, start: ObjectId) -> Iterator[tuple[ObjectId, str, bytes | None]]:
        for version in self._tree.ancestors(start):
            parent = self._tree.parent(version)
            before = None if parent is None else self._document(parent)
            after = self._document(version)
            if version in self._touching or (parent is None and after is not None):
                kinds = {before is None: "insert", after is None: "delete"}
                yield version, kinds.get(True, "update"), after

    def _document(self, version: ObjectId) -> bytes | None:
        view = self._bands.with_options(codec_options=RAW).at(version)
        found = view.find({}) if self._exact else view.find({"_id": self._id})
        raws = [bytes(one.raw) for one in found]
        return next(
            (raw for raw in raws if not self._exact or document_key(raw) == self._key), None
        )


def blamed(bands: VersionedCollection, id_: Any, start: ObjectId) -> Any:
    try:
        return [(one.path, repr(one.value), one.version.id) for one in bands.blame(id_, start)]
    except errors.InvalidArgument:
        return None


class Growing:
    """A history that grows in all ways in which trees and labels change."""

    def __init__(self, bands: VersionedCollection, other: VersionedCollection) -> None:
        self.bands = bands
        self._other = other
        self._turn = itertools.count()

    def take(self, kind: str, number: int, some: list[Any]) -> None:
        with suppress(errors.VersioningError):  # then nothing changes
            getattr(self, kind)(number, some)

    def _version(self, number: int) -> ObjectId:
        versions = list(self.bands._repository.log.tree())
        return versions[number % len(versions)]

    def on(self, number: int, some: list[Any]) -> None:
        for _ in range(1 + number % 5):
            edit(self.bands, next(self._turn), IDS[number % 3])
            self.bands.register("more")
        change(self.bands, some)
        self.bands.register("more")

    def fork(self, number: int, some: list[Any]) -> None:
        self.bands.checkout(self._version(number))
        change(self.bands, some)
        self.bands.register("fork", f"b{next(self._turn)}")

    def back(self, number: int, some: list[Any]) -> None:
        branches = sorted(self.bands.branches())
        self.bands.checkout(branch=branches[number % len(branches)])
        self.on(number, some)

    def merge(self, number: int, some: list[Any]) -> None:
        branches = sorted(self.bands.branches())
        self.bands.merge(branches[number % len(branches)], resolver="ours" if some else "theirs")

    def pull(self, number: int, some: list[Any]) -> None:
        if number % 3 == 0:
            self.bands.push(self._other)
        change(self._other, some)
        self._other.register("there")
        if number % 3 == 1:
            self._other.push(self.bands)
        self.bands.pull(self._other, resolver="theirs")

    def delete(self, number: int, some: list[Any]) -> None:
        version = self._version(number)
        if version != self.bands._repository.log.tree().root:  # all would be dropped
            self.bands.delete_version_subtree(version)

    def reset(self, number: int, some: list[Any]) -> None:
        self.bands.reset("HEAD~1", hard=True)
        self.on(number, some)

    def rename(self, number: int, some: list[Any]) -> None:
        branches = sorted(self.bands.branches())
        self.bands.rename_branch(branches[number % len(branches)], f"r{next(self._turn)}")

    def thin(self, number: int, some: list[Any]) -> None:
        self.bands.thin_out(Retention(keep_last=1 + number % 4))

    def gc(self, number: int, some: list[Any]) -> None:
        self.bands.gc()


kinds = st.sampled_from(
    ("on", "on", "on", "fork", "back", "merge", "pull", "delete", "reset", "rename", "thin", "gc")
)
growth = st.lists(st.tuples(kinds, st.integers(0, 99), changes), min_size=3, max_size=14)


def _ways_are_those_of_the_tree(db: Any, data: Any, monkeypatch: Any) -> None:
    name = f"c{next(_names)}"
    bands = tracked(db, name)
    with other_database(db.client) as there:
        other = VersionedCollection(there, name)
        bands.push(other)
        growing = Growing(bands, other)
        for one in data.draw(growth):
            growing.take(*one)
        versions = list(bands._repository.log.tree())
        for _ in range(4):
            start = data.draw(st.sampled_from(versions))
            id_ = data.draw(
                st.sampled_from((*IDS, DocumentId(key_of(1)), DocumentId(key_of(1.0))))
            )
            monkeypatch.setattr(lineage, "_FEW", IN_STEPS)
            found = [(one.version.id, one.op, one.raw) for one in bands.history(id_, start)]
            in_steps = blamed(bands, id_, start)
            assert found == list(Oracle(bands, id_).history(start))
            monkeypatch.setattr(lineage, "_FEW", AT_ONCE)
            assert in_steps == blamed(bands, id_, start)
        assert problems(bands) == []
    bands.drop()


@pytest.mark.sweep
@tried(3)
@given(data=st.data())
def test_ways_are_those_of_the_tree(short, db, data, monkeypatch):
    _ways_are_those_of_the_tree(db, data, monkeypatch)


@pytest.mark.sweep
@tried(40)
@given(data=st.data())
def test_all_ways_are_those_of_the_tree(short, db, data, monkeypatch):
    _ways_are_those_of_the_tree(db, data, monkeypatch)


@pytest.mark.parametrize("kept", [0, 9])
def test_a_version_that_comes_back_thinned_out(short, db, kept):
    """What leads over many versions goes with them: the same versions may be nearer then."""
    bands = tracked(db)
    for turn in range(16):
        edit(bands, turn, 1 if turn % 5 == 0 else 2)
        bands.register("more")
    latest = raws(bands)
    for number in range(kept):
        bands.tag(f"t{number}", f"main@{number}")
    with other_database(db.client) as there:
        other = VersionedCollection(there, "bands")
        bands.push(other, tags=True)
        bands.delete_version_subtree("main@9")
        assert other.thin_out(Retention(keep_last=2)).versions
        bands.pull(other)
    for id_ in (1, 2):
        start = bands.resolve("main").id
        found = [(one.version.id, one.op, one.raw) for one in bands.history(id_, start)]
        assert found == list(Oracle(bands, id_).history(start))
    bands.checkout("main@0")
    bands.checkout(branch="main")
    assert raws(bands) == latest
    assert problems(bands) == []


# -- cost ----------------------------------------------------------------------------------


def test_what_is_read_depends_on_the_changes_of_the_document(server, db):
    bands = tracked(db)
    long(bands, 3_000, documents=600, changes=1)
    edit(bands, "last")
    bands.register("last")
    bands.gc()
    with line_to(server.uri) as (client, line):
        far = VersionedCollection(client[db.name], "bands")
        for verb, most in (
            (lambda: list(far.history(-5)), 400),
            (lambda: far.blame(-5), 400),
            (lambda: list(far.history(-5, "main@40")), 500),
            (lambda: labels(one.version for one in far.history(1)), 150),
        ):
            line.clear()
            verb()
            read = sum(count for name, count in line.returned.items() if "delta" not in name)
            assert read < most, line.returned  # of 3,001 versions
            assert line.total < 30, line.commands
    assert len(list(bands.history(-5))) == 6
