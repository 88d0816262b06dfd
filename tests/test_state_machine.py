"""The public API against a plain model: after each step both say the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bson
import mongomock
import pytest
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model import Model, ModelVersion, by_key, canonical
from pymongo import (
    DeleteMany,
    DeleteOne,
    InsertOne,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
)
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from versioned_collection import VersionedCollection
from versioned_collection.core.document import document_key, key_of
from versioned_collection.doubles import adopted
from versioned_collection.errors import AutoMergeFailedError, VersioningError

RAW = CodecOptions(document_class=RawBSONDocument)

IDS: tuple[Any, ...] = (1, 1.0, Int64(1), True, "1", "a", 2, None, Decimal128("7"), {"a": 1})
VALUES: tuple[Any, ...] = (
    1,
    1.0,
    Int64(1),
    True,
    0.0,
    -0.0,
    "x",
    None,
    Decimal128("1.0"),
    [1, 2, 3],
    [[1], [2, {"p": 1}]],
    {"p": 1, "q": [1]},
    {"q": [1], "p": 1},
    {},
    [],
    "long " * 200,
)
BRANCHES = ("main", "b1", "b2", "b3", "__no")
TAGS = ("t1", "t2", "b1")

ids = st.sampled_from(IDS)
values = st.sampled_from(VALUES)
groups = st.integers(0, 2)
branch_names = st.sampled_from(BRANCHES)
tag_names = st.sampled_from(TAGS)
resolvers = st.sampled_from(("ours", "theirs"))
stash_names = st.sampled_from((None, "s1", "s2"))
some_stash = st.sampled_from((None, None, 0, 1, "s1", "s2"))
numbers = st.integers(-2, 4)
new_documents = st.builds(lambda i, k, v: {"_id": i, "k": k, "v": v}, ids, groups, values)
some_documents = st.lists(new_documents, min_size=1, max_size=6)

_names = itertools.count()


class Abort(Exception):
    """Raised in a transaction to abort it."""


class Machine(RuleBasedStateMachine):
    """Drives a collection and its model."""

    database: Callable[[], Database[Any]]
    capture = "auto"
    through_the_wrapper = False
    """Whether writes go through the wrapper only, as write-through capture needs."""

    transactions = True

    # -- life ----------------------------------------------------------------------------

    @initialize(documents=some_documents, eager=st.booleans())
    def begin(self, documents: list[dict[str, Any]], eager: bool) -> None:
        self.db = self.database()
        self.name = f"c{next(_names)}"
        self.model = Model()
        self.eager = eager  # whether changes are looked for after every step
        self.changed_history = True
        self.open()
        self.plain = self.db.get_collection(self.name)
        for document in documents:
            if canonical(key_of(document["_id"])) not in self.model.working:
                self.plain.insert_one(document)
                self.put(document)
        self.init()

    def teardown(self) -> None:
        if hasattr(self, "vc"):
            try:
                self.at_the_end()
            finally:
                self.vc.drop()

    def at_the_end(self) -> None:
        self.check_status()
        if not self.model.tracked:
            return
        assert list(self.vc.verify()) == []
        self.vc.discard_changes()
        self.model.discard_changes()
        for version in self.model.versions:
            assert self.vc.checkout(_text(version))
            self.model.checkout(_text(version))
            self.contents_agree()
        assert list(self.vc.verify()) == []

    def open(self) -> None:
        self.vc = VersionedCollection(self.db, self.name, capture=self.capture)

    # -- helpers -------------------------------------------------------------------------

    def put(self, document: dict[str, Any]) -> None:
        self.model.working[canonical(key_of(document["_id"]))] = bson.encode(document)

    def raw(self, id_: Any) -> bytes | None:
        return self.model.working.get(canonical(key_of(id_)))

    def edit(self, id_: Any, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a document of the model, if it exists."""
        raw = self.raw(id_)
        if raw is not None:
            document = bson.decode(raw)
            change(document)
            self.put(document)

    def in_group(self, group: int) -> list[Any]:
        found = [bson.decode(raw) for raw in self.model.working.values()]
        return [document["_id"] for document in found if document.get("k") == group]

    def writer(self, data: st.DataObject) -> Any:
        """Return the wrapper, or a client that knows nothing of it."""
        if self.through_the_wrapper or data.draw(st.booleans(), label="through the wrapper"):
            return self.vc
        return self.plain

    def both(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Call a verb on both; outcomes and error types have to be the same."""
        before = self.model.names()
        try:
            expected, error = getattr(self.model, verb)(*args, **kwargs), None
        except VersioningError as refused:
            expected, error = None, refused
        if error is None:
            found = getattr(self.vc, verb)(*args, **kwargs)
            self.changed_history = True
            if verb != "undo":
                self.model.note(before, verb, args)
            return found, expected
        with pytest.raises(type(error)):
            getattr(self.vc, verb)(*args, **kwargs)
        if isinstance(error, AutoMergeFailedError):
            assert self.vc.has_conflicts()
            assert self.vc.abort_merge()
        return None, None

    def same(self, verb: str, *args: Any, **kwargs: Any) -> None:
        found, expected = self.both(verb, *args, **kwargs)
        assert found == expected

    @contextmanager
    def duplicate_if(self, expected: bool) -> Iterator[None]:
        if expected:
            with pytest.raises((DuplicateKeyError, BulkWriteError)):
                yield
        else:
            yield

    def revisions(self) -> st.SearchStrategy[str]:
        """Return revision texts, most of which name something."""
        known = [f"{v.branch}@{v.number}" for v in self.model.versions]
        known += [*self.model.branches, *self.model.tags]
        bases = st.sampled_from([*known, "HEAD"])
        return st.one_of(
            bases,
            st.builds(lambda base, up: f"{base}~{up}", bases, st.integers(0, 3)),
            st.builds("{}~".format, bases),
            st.sampled_from(("nowhere", "main@17", "b1@0", "t1")),
        )

    # -- writes --------------------------------------------------------------------------

    @rule(data=st.data(), document=new_documents)
    def insert_one(self, data: st.DataObject, document: dict[str, Any]) -> None:
        taken = self.raw(document["_id"]) is not None
        with self.duplicate_if(taken):
            self.writer(data).insert_one(dict(document))
        if not taken:
            self.put(document)

    @rule(data=st.data(), documents=some_documents, ordered=st.booleans())
    def insert_many(
        self, data: st.DataObject, documents: list[dict[str, Any]], ordered: bool
    ) -> None:
        failing = False
        accepted = []
        seen = set(self.model.working)
        for document in documents:
            id_ = canonical(key_of(document["_id"]))
            if id_ in seen:
                failing = True
                if ordered:
                    break
            else:
                seen.add(id_)
                accepted.append(document)
        with self.duplicate_if(failing):
            self.writer(data).insert_many([dict(one) for one in documents], ordered=ordered)
        for document in accepted:
            self.put(document)

    @rule(data=st.data(), id_=ids, value=values)
    def set_field(self, data: st.DataObject, id_: Any, value: Any) -> None:
        self.writer(data).update_one({"_id": id_}, {"$set": {"v": value}})
        self.edit(id_, lambda document: document.update(v=value))

    @rule(data=st.data(), id_=ids, value=values)
    def set_and_take_back(self, data: st.DataObject, id_: Any, value: Any) -> None:
        writer = self.writer(data)
        writer.update_one({"_id": id_}, {"$set": {"passing": value}})
        writer.update_one({"_id": id_}, {"$unset": {"passing": ""}})

    @rule(data=st.data(), id_=ids, field=st.sampled_from(("k", "v", "w")))
    def unset_field(self, data: st.DataObject, id_: Any, field: str) -> None:
        self.writer(data).update_one({"_id": id_}, {"$unset": {field: ""}})
        self.edit(id_, lambda document: document.pop(field, None))

    @rule(data=st.data(), id_=ids)
    def rename_field(self, data: st.DataObject, id_: Any) -> None:
        self.writer(data).update_one({"_id": id_}, {"$rename": {"v": "w"}})

        def renamed(document: dict[str, Any]) -> None:
            if "v" in document:
                value = document.pop("v")
                document["w"] = value  # in place where there is one, else at the end

        self.edit(id_, renamed)

    @rule(data=st.data(), id_=ids, item=values, kind=st.sampled_from(("find", "update")))
    def push_item(self, data: st.DataObject, id_: Any, item: Any, kind: str) -> None:
        change = {"$push": {"list": {"$each": [item], "$position": 0}}}
        writer = self.writer(data)
        if kind == "find":
            writer.find_one_and_update({"_id": id_}, change)
        else:
            writer.update_one({"_id": id_}, change)
        self.edit(id_, lambda document: document.setdefault("list", []).insert(0, item))

    @rule(data=st.data(), group=groups, value=values, upsert=st.booleans())
    def update_many(self, data: st.DataObject, group: int, value: Any, upsert: bool) -> None:
        found = self.in_group(group)
        result = self.writer(data).update_many({"k": group}, {"$set": {"v": value}}, upsert=upsert)
        assert result.matched_count == len(found)
        for id_ in found:
            self.edit(id_, lambda document: document.update(v=value))
        if upsert and not found:
            self.put({"_id": result.upserted_id, "k": group, "v": value})

    @rule(data=st.data(), document=new_documents, upsert=st.booleans())
    def replace_one(self, data: st.DataObject, document: dict[str, Any], upsert: bool) -> None:
        body = {"v": document["v"], "k": document["k"]}
        kind = data.draw(st.sampled_from(("replace", "find")))
        writer = self.writer(data)
        if kind == "replace":
            writer.replace_one({"_id": document["_id"]}, body, upsert=upsert)
        else:
            writer.find_one_and_replace(
                {"_id": document["_id"]}, body, upsert=upsert, return_document=ReturnDocument.AFTER
            )
        raw = self.raw(document["_id"])
        if raw is not None:
            self.put({"_id": bson.decode(raw)["_id"], **body})
        elif upsert:
            self.put({"_id": document["_id"], **body})

    @rule(data=st.data(), id_=ids)
    def delete_one(self, data: st.DataObject, id_: Any) -> None:
        writer = self.writer(data)
        delete = data.draw(st.sampled_from((writer.delete_one, writer.find_one_and_delete)))
        delete({"_id": id_})
        self.model.working.pop(canonical(key_of(id_)), None)

    @rule(data=st.data(), group=groups)
    def delete_many(self, data: st.DataObject, group: int) -> None:
        found = self.in_group(group)
        result = self.writer(data).delete_many({"k": group})
        assert result.deleted_count == len(found)
        for id_ in found:
            del self.model.working[canonical(key_of(id_))]

    @rule(data=st.data(), id_=st.sampled_from((1, 1.0, Int64(1))), value=values)
    def replace_by_twin(self, data: st.DataObject, id_: Any, value: Any) -> None:
        writer = self.writer(data)
        writer.delete_one({"_id": 1})
        writer.insert_one({"_id": id_, "k": 0, "v": value})
        self.model.working.pop(canonical(key_of(1)), None)
        self.put({"_id": id_, "k": 0, "v": value})

    @rule(data=st.data(), document=new_documents, id_=ids, gone=ids, group=groups)
    def bulk_write(
        self, data: st.DataObject, document: dict[str, Any], id_: Any, gone: Any, group: int
    ) -> None:
        """One operation of each kind; the insert fails where the id is taken."""
        kinds: list[tuple[Any, Callable[[], Any]]] = [
            (DeleteOne({"_id": gone}), lambda: self._gone(gone)),
            (
                UpdateOne({"_id": id_}, {"$set": {"v": 5}}),
                lambda: self.edit(id_, lambda found: found.update(v=5)),
            ),
            (
                UpdateMany({"k": group}, {"$set": {"w": 6}}),
                lambda: [
                    self.edit(one, lambda found: found.update(w=6)) for one in self.in_group(group)
                ],
            ),
            (ReplaceOne({"_id": id_}, {"z": 1}), lambda: self._replaced(id_, {"z": 1})),
            (
                DeleteMany({"k": (group + 1) % 3}),
                lambda: [self._gone(one) for one in self.in_group((group + 1) % 3)],
            ),
        ]
        chosen = data.draw(st.lists(st.integers(0, len(kinds) - 1), max_size=4, unique=True))
        for place in chosen:
            kinds[place][1]()
        taken = self.raw(document["_id"]) is not None
        with self.duplicate_if(taken):
            requests = [kinds[place][0] for place in chosen]
            self.writer(data).bulk_write([*requests, InsertOne(dict(document))])
        if not taken:
            self.put(document)

    def _gone(self, id_: Any) -> None:
        self.model.working.pop(canonical(key_of(id_)), None)

    def _replaced(self, id_: Any, body: dict[str, Any]) -> None:
        raw = self.raw(id_)
        if raw is not None:
            self.put({"_id": bson.decode(raw)["_id"], **body})

    @rule(data=st.data(), documents=some_documents, stage=st.sampled_from(("$out", "$merge")))
    def aggregate_into(
        self, data: st.DataObject, documents: list[dict[str, Any]], stage: str
    ) -> None:
        """Replace the collection by, or merge into it, what a pipeline gives."""
        allowed = [one for one in documents if one["_id"] is not None]  # $merge's own rule
        distinct = {canonical(key_of(one["_id"])): one for one in allowed}
        if not distinct:
            return
        source = self.db.get_collection(f"{self.name}_source")
        source.drop()
        source.insert_many([dict(one) for one in distinct.values()])
        merge = {"into": self.name, "whenMatched": "keepExisting"}
        target = self.name if stage == "$out" else merge
        through = self.vc if self.through_the_wrapper else source
        if self.through_the_wrapper:
            # the wrapper reads itself, and is told where to write by the last stage
            union = [
                {"$limit": 1},
                {"$match": {"_id": {"$in": []}}},
                {"$unionWith": {"coll": source.name}},
            ]
            through.aggregate([*union, {stage: target}])
        else:
            keyword = data.draw(st.booleans())
            pipeline: list[Any] = [{"$match": {}}, {stage: target}]
            through.aggregate(pipeline=pipeline) if keyword else through.aggregate(pipeline)
        if stage == "$out":
            self.model.working.clear()
        for document in distinct.values():
            if self.raw(document["_id"]) is None:
                self.put(document)

    @precondition(lambda self: self.transactions)
    @rule(data=st.data(), document=new_documents, id_=ids, abort=st.booleans())
    def transaction(
        self, data: st.DataObject, document: dict[str, Any], id_: Any, abort: bool
    ) -> None:
        taken = self.raw(document["_id"]) is not None
        writer = self.writer(data)
        with self.db.client.start_session() as session:
            try:
                with session.start_transaction():
                    writer.update_one({"_id": id_}, {"$set": {"v": 9}}, session=session)
                    writer.insert_one(dict(document), session=session)
                    if abort:
                        raise Abort
            except Abort:
                return
            except DuplicateKeyError:
                assert taken
                return
        self.edit(id_, lambda found: found.update(v=9))
        self.put(document)

    @rule()
    def drop_behind_our_back(self) -> None:
        self.plain.drop()
        self.model.working.clear()

    # -- verbs ---------------------------------------------------------------------------

    def init(self) -> None:
        self.vc.init("first")
        self.model.init("first")
        self.changed_history = True

    @precondition(lambda self: not self.model.tracked)
    @rule()
    def init_again(self) -> None:
        assert self.vc.register("nothing") is False
        assert self.vc.checkout(0) is False
        assert self.vc.stash() is False
        assert self.vc.discard_changes() is False
        assert self.vc.create_branch("b1") is None
        assert self.vc.diff() is None
        assert self.vc.version is None
        self.init()

    @precondition(lambda self: self.model.tracked)
    @rule(name=st.one_of(st.none(), branch_names), message=st.sampled_from(("one", "two")))
    def register(self, name: str | None, message: str) -> None:
        self.same("register", message, name)

    @precondition(lambda self: self.model.tracked and self.model.changed)
    @rule(message=st.sampled_from(("three", "four")), n=st.integers(0, 99))
    def register_changes(self, message: str, n: int) -> None:
        self.same("register", message, f"n{n}")

    @precondition(lambda self: self.model.tracked)
    @rule(number=st.one_of(st.none(), numbers), branch=st.one_of(st.none(), branch_names))
    def checkout(self, number: int | None, branch: str | None) -> None:
        self.same("checkout", number, branch)

    @precondition(lambda self: self.model.tracked)
    @rule(data=st.data())
    def checkout_revision(self, data: st.DataObject) -> None:
        self.same("checkout", data.draw(self.revisions()))

    @precondition(lambda self: self.model.tracked and not self.model.changed)
    @rule(data=st.data())
    def checkout_existing(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.model.versions))
        if version.branch in self.model.branches:
            self.same("checkout", version.number, version.branch)
        else:
            self.same("checkout", f"{version.branch}@{version.number}")

    @precondition(lambda self: self.model.tracked)
    @rule(name=branch_names)
    def create_branch(self, name: str) -> None:
        self.same("create_branch", name)

    @precondition(lambda self: self.model.tracked)
    @rule(name=branch_names)
    def delete_branch(self, name: str) -> None:
        self.same("delete_branch", name)

    @precondition(lambda self: self.model.tracked)
    @rule(old=branch_names, new=branch_names)
    def rename_branch(self, old: str, new: str) -> None:
        self.same("rename_branch", old, new)

    @precondition(lambda self: self.model.tracked)
    @rule(data=st.data(), name=tag_names)
    def tag(self, data: st.DataObject, name: str) -> None:
        found, expected = self.both("tag", name, data.draw(self.revisions()))
        assert found is None or (found.number, found.branch) == expected

    @precondition(lambda self: self.model.tracked)
    @rule(name=tag_names)
    def delete_tag(self, name: str) -> None:
        self.same("delete_tag", name)

    @precondition(lambda self: self.model.tracked)
    @rule(message=st.sampled_from(("part", "parts")), only=st.lists(ids, max_size=4))
    def register_some(self, message: str, only: list[Any]) -> None:
        self.same("register", message, f"part{next(_names)}", only=only)

    @precondition(lambda self: self.model.tracked)
    @rule(add=st.booleans())
    def check(self, add: bool) -> None:
        """Have a check, or no longer, that no document may hold a certain value."""
        if add:
            self.same("add_check", "no x", [{"$match": {"v": "x"}}])
        else:
            self.same("delete_check", "no x")

    @precondition(lambda self: self.model.tracked)
    @rule(overwrite=st.booleans(), name=stash_names)
    def stash(self, overwrite: bool, name: str | None) -> None:
        self.same("stash", overwrite, name=name)

    @precondition(lambda self: self.model.tracked)
    @rule()
    def stash_push(self) -> None:
        self.same("stash", push=True)

    @precondition(lambda self: self.model.tracked)
    @rule(which=some_stash, drop=st.booleans())
    def stash_apply(self, which: int | str | None, drop: bool) -> None:
        self.same("stash_apply", which, drop=drop)

    @precondition(lambda self: self.model.stashes)
    @rule(which=some_stash, drop=st.booleans(), resolver=resolvers)
    def stash_merge(self, which: int | str | None, drop: bool, resolver: str) -> None:
        self.same("stash_apply", which, merge=True, drop=drop, resolver=resolver)

    @precondition(lambda self: self.model.stashes)
    @rule(which=some_stash)
    def stash_discard(self, which: int | str | None) -> None:
        self.same("stash_discard", which)

    @precondition(lambda self: self.model.tracked)
    @rule()
    def discard_changes(self) -> None:
        self.same("discard_changes")

    @precondition(lambda self: self.model.tracked)
    @rule(data=st.data())
    def delete_version_subtree(self, data: st.DataObject) -> None:
        revision = data.draw(self.revisions())
        try:
            doomed = self.model.resolve(revision)
        except VersioningError:
            doomed = None
        if doomed is not None and doomed.parent is None and not data.draw(st.booleans()):
            return  # the whole history goes less often
        self.same("delete_version_subtree", revision)

    def version(self, verb: str, *args: Any, **kwargs: Any) -> None:
        """Call a verb on both that returns a version."""
        found, expected = self.both(verb, *args, **kwargs)
        assert found is None or (found.number, found.branch) == expected.label

    @precondition(lambda self: self.model.tracked)
    @rule(data=st.data(), resolver=resolvers, no_ff=st.booleans())
    def merge(self, data: st.DataObject, resolver: str, no_ff: bool) -> None:
        self.version("merge", data.draw(self.revisions()), resolver=resolver, no_ff=no_ff)

    @precondition(lambda self: self.model.tracked and not self.model.changed)
    @rule(data=st.data(), resolver=resolvers)
    def merge_existing(self, data: st.DataObject, resolver: str) -> None:
        self.same("checkout", None, data.draw(st.sampled_from(sorted(self.model.branches))))
        other = _text(data.draw(st.sampled_from(self.model.versions)))
        self.version("merge", other, resolver=resolver, no_ff=True)

    @precondition(lambda self: self.model.tracked)
    @rule(
        data=st.data(),
        verb=st.sampled_from(("cherry_pick", "revert")),
        resolver=resolvers,
        parent=st.sampled_from((None, 1, 2)),
    )
    def pick(self, data: st.DataObject, verb: str, resolver: str, parent: int | None) -> None:
        revision = data.draw(self.revisions())
        self.version(verb, revision, resolver=resolver, parent=parent)

    @precondition(lambda self: self.model.tracked)
    @rule(data=st.data(), hard=st.booleans())
    def reset(self, data: st.DataObject, hard: bool) -> None:
        self.version("reset", data.draw(self.revisions()), hard)

    @precondition(lambda self: self.model.tracked)
    @rule()
    def undo(self) -> None:
        self.both("undo")

    # -- looking -------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.open()

    @precondition(lambda self: self.model.tracked)
    @rule(data=st.data())
    def compare_versions(self, data: st.DataObject) -> None:
        versions = st.sampled_from(self.model.versions)
        one, other = data.draw(versions), data.draw(st.one_of(st.none(), versions))
        found = {}
        text = None if other is None else _text(other)
        for change in self.vc.changes(_text(one), text):
            key = document_key(change.new if change.old is None else change.old)
            assert key not in found
            found[key] = (change.old, change.new)
        assert found == self.model.changes(one, other)
        if other is None:
            differences = self.vc.diff(_text(one))
            assert differences is not None
            assert len(differences) == len(found)

    @rule()
    def check_status(self) -> None:
        found = self.vc.status()
        expected = self.model.status()
        assert {name: found[name] for name in expected} == expected
        assert self.vc.has_changes() == self.model.changed
        assert self.vc.version == self.model.number()

    @precondition(lambda self: self.model.tracked)
    @rule()
    def check_verify(self) -> None:
        assert list(self.vc.verify()) == []

    # -- what always holds ---------------------------------------------------------------

    @invariant()
    def contents_agree(self) -> None:
        found = self.db.get_collection(self.name, codec_options=RAW).find()
        raws = {document_key(raw): raw for raw in (bytes(document.raw) for document in found)}
        assert raws == by_key(self.model.working)

    @invariant()
    def status_agrees(self) -> None:
        if self.eager:
            self.check_status()

    @invariant()
    def history_agrees(self) -> None:
        if not self.changed_history:
            return
        self.changed_history = False
        model = self.model
        assert self.vc.is_tracked() == model.tracked
        assert self.vc.branches() == set(model.branches)
        assert self.vc.branch == model.branch
        assert self.vc.is_detached() == model.detached
        stashes = [(one.name, one.documents) for one in self.vc.stashes()]
        assert stashes == [(one.name, len(one.changes)) for one in reversed(model.stashes)]
        tags = {name: (v.number, v.branch) for name, v in self.vc.tags().items()}
        assert tags == {name: v.label for name, v in model.tags.items()}
        for branch in (None, *model.branches):
            entries = [(v.version, v.branch, v.message) for v in self.vc.get_log(branch)]
            assert entries == model.log(branch)
        tree = self.vc.version_tree
        labels = [] if tree is None else [(n.number, n.branch) for n in tree.nodes.values()]
        assert sorted(labels) == sorted(v.label for v in model.versions)


def _text(version: ModelVersion) -> str:
    return f"{version.branch}@{version.number}"


def _run(db: Database[Any], examples: int, steps: int, fixed: bool, **facts: Any) -> None:
    run_state_machine_as_test(
        type("BoundMachine", (Machine,), {"database": staticmethod(lambda: db), **facts}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=fixed,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


MODES = {
    "change stream": {"capture": "change_stream"},
    "write-through": {"capture": "write_through", "through_the_wrapper": True},
    "scan": {"capture": "scan"},
}


@pytest.mark.parametrize("mode", MODES)
def test_the_collection_does_what_the_model_does(db: Database[Any], mode: str) -> None:
    _run(db, 3 if mode == "change stream" else 2, 40, True, **MODES[mode])


def test_the_model_holds_on_a_standalone_server(standalone_db: Database[Any]) -> None:
    facts = {"capture": "auto", "through_the_wrapper": True, "transactions": False}
    _run(standalone_db, 3, 40, True, **facts)


def test_the_model_holds_on_mongomock() -> None:
    facts = {"capture": "auto", "through_the_wrapper": True, "transactions": False}
    _run(adopted(mongomock.MongoClient()["music"]), 3, 40, True, **facts)


@pytest.mark.sweep
@pytest.mark.timeout(3000)
def test_many_histories_on_mongomock() -> None:
    facts = {"capture": "auto", "through_the_wrapper": True, "transactions": False}
    _run(adopted(mongomock.MongoClient()["music"]), 100, 60, False, **facts)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
def test_the_model_holds_for_long(db: Database[Any], mode: str) -> None:
    _run(db, 200, 60, False, **MODES[mode])


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_the_model_holds_for_long_on_a_standalone_server(standalone_db: Database[Any]) -> None:
    facts = {"capture": "auto", "through_the_wrapper": True, "transactions": False}
    _run(standalone_db, 200, 60, False, **facts)
