"""Verbs, each with the state in which it is called, and what a collection looks like then."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from versioned_collection import MISSING, Only, Retention, VersionedCollection
from versioned_collection.committing.operations import Operation
from versioned_collection.core import spans
from versioned_collection.core.delta import hash_number
from versioned_collection.core.document import build, document_hash, element, key_of
from versioned_collection.core.version import fingerprint_text
from versioned_collection.errors import AutoMergeFailedError, VersioningError

NAME, NEW_NAME = "bands", "groups"
LEASE_SECONDS = 0.5

State = dict[str, Any]
Verb = Callable[[VersionedCollection], Any]


def nothing(collection: VersionedCollection) -> None:
    """Prepare nothing more."""


def dirty(collection: VersionedCollection) -> None:
    """Change documents in every way, uncommitted."""
    collection.update_one({"_id": 1}, {"$set": {"x": Decimal128("1.50"), "note": "dirty"}})
    collection.replace_one({"_id": 2}, {"z": -0.0, "x": Int64(7)})
    collection.delete_one({"_id": 3})
    collection.insert_many([{"_id": True, "x": 1}, {"_id": "new", "x": [1, {"y": None}]}])
    collection.update_one({"_id": 5}, {"$unset": {"x": ""}})


def stashed(collection: VersionedCollection) -> None:
    """Have a stash, and be clean."""
    dirty(collection)
    collection.stash()


def stashed_and_dirty(collection: VersionedCollection) -> None:
    """Have a stash, and be dirty in another way."""
    stashed(collection)
    collection.delete_many({"_id": {"$in": [1, 4]}})
    collection.insert_many([{"_id": 77, "x": "other"}, {"_id": 78, "x": "other"}])


def stashed_twice(collection: VersionedCollection) -> None:
    """Have two stashes with names, and be clean."""
    dirty(collection)
    collection.stash(name="first")
    stash_more(collection)


def stash_more(collection: VersionedCollection) -> None:
    """Have another stash."""
    collection.update_one({"_id": 1}, {"$set": {"more": 1}})
    collection.insert_one({"_id": "more"})
    collection.stash(name="second", message="more")


def edited_elsewhere(collection: VersionedCollection) -> None:
    """Have uncommitted changes that go with those of the stash."""
    collection.update_many({"_id": {"$in": [1, 5, 9]}}, {"$set": {"elsewhere": 1}})
    collection.delete_one({"_id": 8})


def edited_at_odds(collection: VersionedCollection) -> None:
    """Have uncommitted changes of what the stash changes too."""
    edited_elsewhere(collection)
    collection.update_one({"_id": 1}, {"$set": {"x": "at odds"}})
    collection.update_one({"_id": 3}, {"$set": {"x": "kept"}})
    collection.insert_one({"_id": "new", "x": "also new"})


def _once(collection: VersionedCollection, name: str | None, act: Callable[[], Any]) -> Any:
    """Call a verb while there is a stash of that name."""
    return name in [one.name for one in collection.stashes()] and act()


def with_history(collection: VersionedCollection) -> None:
    """Have main@0 to main@2, side@0 on main@1, a tag, and main@2 checked out."""
    collection.insert_many([{"_id": i, "x": i, "text": "a" * i} for i in range(1, 7)])
    collection.init("root")
    collection.update_many({"_id": {"$lte": 3}}, {"$inc": {"x": 10}})
    collection.insert_one({"_id": 7, "x": 7})
    collection.register("one")
    collection.delete_many({"_id": {"$in": [4, 7]}})
    collection.insert_many([{"_id": 8, "x": 8}, {"_id": 9, "x": 9}])
    collection.update_many({"_id": {"$in": [1, 5]}}, {"$set": {"x": "two"}})
    collection.register("two")
    collection.tag("first", 0)


def with_side(collection: VersionedCollection) -> None:
    """Have side@0 and side@1 on main@1 too, and be on side."""
    collection.checkout(1)
    collection.update_many({"_id": {"$in": [2, 3, 5, 7]}}, {"$set": {"side": True}})
    collection.delete_one({"_id": 6})
    collection.register("aside", "side")
    collection.insert_many([{"_id": f"side {i}"} for i in range(3)])
    collection.register("further aside")
    collection.tag("aside", "side")


def on_main(collection: VersionedCollection) -> None:
    """Be on main."""
    collection.checkout("main")


def _side_deleted(collection: VersionedCollection) -> None:
    with_side(collection)
    on_main(collection)
    collection.delete_branch("side")


def _main_to_side(collection: VersionedCollection) -> None:
    collection.rename_branch("main", "side")


def make_worktree(collection: VersionedCollection) -> None:
    """Have side checked out in a worktree."""
    collection.worktree("side", NEW_NAME)


def make_worktree_of_a_new_branch(collection: VersionedCollection) -> None:
    """Have a branch that begins at main@1 checked out in a worktree."""
    collection.worktree("main@1", NEW_NAME, new_branch="fresh")


def there(collection: VersionedCollection) -> VersionedCollection:
    """Return the worktree."""
    return collection._named(NEW_NAME)


def dirty_there(collection: VersionedCollection) -> None:
    """Have uncommitted changes in the worktree."""
    dirty(there(collection))


def particular_there(collection: VersionedCollection) -> None:
    """Have a worktree whose documents must differ in a field."""
    there(collection).delete_many({"x": {"$exists": False}})
    there(collection).create_index("x", unique=True)


def particular(collection: VersionedCollection) -> None:
    """Have documents that must differ in a field, uncommitted; those of HEAD do not."""
    for number, one in enumerate(list(collection.find({}, {"_id": 1}))):
        collection.update_one({"_id": {"$eq": one["_id"]}}, {"$set": {"only": number}})
    collection.create_index("only", unique=True)


def indexed(collection: VersionedCollection) -> None:
    """Have an index that could refuse documents, and does not."""
    collection.create_index([("x", 1), ("note", 1)])


def particular_at_head(collection: VersionedCollection) -> None:
    """Have a HEAD whose documents must differ, other than those before it, and be dirty."""
    particular(collection)
    collection.register("particular")
    collection.update_one({"_id": 1}, {"$set": {"note": "dirty"}})
    collection.delete_one({"_id": 3})
    collection.insert_one({"_id": "new", "only": "new"})


def stashed_there(collection: VersionedCollection) -> None:
    """Have a stash and uncommitted changes in the worktree."""
    stashed_and_dirty(there(collection))


def left_there(collection: VersionedCollection) -> None:
    """Have a stash, a view, overlays and uncommitted changes in the worktree."""
    stashed_there(collection)
    there(collection).publish_view("side@0", "shown there")
    read_all(there(collection))


def with_conflicts(collection: VersionedCollection) -> None:
    """Have changed on main what changed on side too, so that merging side leaves conflicts."""
    collection.checkout("main")
    collection.update_many({"_id": {"$in": [2, 5]}}, {"$set": {"side": "main", "x": 0}})
    collection.update_one({"_id": 6}, {"$set": {"x": "kept"}})
    collection.register("at odds with side")


def with_many_conflicts(collection: VersionedCollection) -> None:
    """Have several conflicts in some documents, and be on main."""
    others = {"_id": {"$in": [2, 3, 5, 9]}}
    for branch, value in (("side", 1), ("main", 2)):
        collection.checkout(branch)
        collection.update_one({"_id": 1}, {"$set": {"text": value}})
        collection.update_many(others, {"$set": {"x": value, "y": {"z": value}, "text": value}})
        collection.register(f"at odds on {branch}")


def with_unique_conflicts(collection: VersionedCollection) -> None:
    """Have documents at odds whose unique values can only turn together, and be on main."""
    collection.create_index("code", unique=True, sparse=True)

    def turn(by: int, message: str) -> None:
        for place, id_ in enumerate((1, 2, 3, 5)):
            collection.update_one({"_id": id_}, {"$set": {"code": (place + by) % 4}})
        collection.register(message)

    collection.create_branch("side")
    turn(0, "at odds aside")
    collection.checkout("main")
    turn(1, "at odds with side")


def with_conflicts_in_a_list(collection: VersionedCollection) -> None:
    """Have three elements of a list at odds on side and main, and be on main."""

    def change(first: Any, message: str) -> None:
        elements = [first, {"of": first}, first, "same"]
        collection.update_one({"_id": 5}, {"$set": {"elements": elements}})
        collection.register(message)

    change("base", "a list")
    collection.create_branch("side")
    change("theirs", "at odds aside")
    collection.checkout("main")
    change("ours", "at odds with side")


def unless_conflicts(act: Verb) -> Verb:
    """Return a verb whose conflicts are no failure."""

    def acting(collection: VersionedCollection) -> Any:
        try:
            return act(collection)
        except AutoMergeFailedError as error:
            return error.conflicts

    return acting


def with_more(collection: VersionedCollection) -> None:
    """Have a third version on side, and be there."""
    collection.update_many({"_id": {"$in": [1, 2]}}, {"$set": {"more": 1}})
    collection.delete_one({"_id": "side 0"})
    collection.register("more aside")


def short(collection: VersionedCollection) -> None:
    """Be on a branch whose only version clashes with main."""
    collection.checkout("side@0")
    collection.create_branch("short")


def under_way(state: State) -> bool:
    """Tell whether a rebase waits with nothing in conflict: a version of it is recorded."""
    found = state[NAME]
    waits = found["merge"] is not None and found["merge"][0] is None
    return waits and not found["conflicts"] and not found["changes"]


rebase = unless_conflicts(lambda c: c.rebase("main"))
rebase_theirs: Verb = lambda c: c.rebase("main", resolver="theirs")  # noqa: E731
merge = unless_conflicts(lambda c: c.merge("side"))
apply_with_conflicts = unless_conflicts(lambda c: c.stash_apply(merge=True))
merge_theirs: Verb = lambda c: c.merge("side", resolver="theirs")  # noqa: E731
pick = unless_conflicts(lambda c: c.cherry_pick("side@0"))
take_back = unless_conflicts(lambda c: c.revert("main@1"))


def reset(revision: str, *, hard: bool = False) -> Verb:
    """Return a verb that resets."""
    return lambda collection: collection.reset(revision, hard)


def undo(verb: str) -> Verb:
    """Return a verb that undoes the latest operation once, while it is of this verb."""

    def undoing(collection: VersionedCollection) -> Any:
        return next(collection.reflog()).verb == verb and collection.undo()

    return undoing


def resolve_one(collection: VersionedCollection, document_id: Any = 5) -> Any:
    """Settle the conflict in one place, while it waits."""
    found = [one for one in collection.conflicts() if one.document_id == document_id]
    return found and collection.resolve_conflict(found[0], {"settled": [1.5]})


def take_element_out(collection: VersionedCollection) -> Any:
    """Have the first of the elements at odds leave its list, while all of them wait."""
    found = list(collection.conflicts())
    return len(found) == 3 and collection.resolve_conflict(found[0], MISSING)


def resolve_one_of_a_stash(collection: VersionedCollection) -> Any:
    """Settle the conflict in one place that a stash left, while it waits."""
    return resolve_one(collection, 1)


def read_all(collection: VersionedCollection) -> None:
    """Read every version, and compare what is read with what the log says of it."""
    plain = collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    for entry in collection._repository.log.get_many():
        view = plain.at(entry.id)
        hashes = (hash_number(document_hash(bytes(one.raw))) for one in view.find())
        assert fingerprint_text(sum(hashes) % (1 << 256)) == entry.fingerprint, entry.label


def publish(collection: VersionedCollection) -> None:
    """Show a version, maybe in the place of another one."""
    collection.publish_view("main@1", "shown", replace=True)


def publish_first(collection: VersionedCollection) -> None:
    """Show the first version."""
    collection.publish_view("main@0", "shown")


def purge_documents(collection: VersionedCollection) -> None:
    """Purge some documents, of which another one may be what is left."""
    collection.purge([1, 3, 4, 8, "new", "never"], reason="they left")


def purge_fields(collection: VersionedCollection) -> None:
    """Purge fields of all documents."""
    collection.purge(paths=["x", "side"], reason="leaked")


def purge_matching(collection: VersionedCollection) -> None:
    """Purge what ever matched a filter."""
    collection.purge(filter={"x": {"$in": ["two", 12]}}, reason="leaked")


def purge_odd_fields(collection: VersionedCollection) -> None:
    """Purge fields of documents that have to be put anew."""
    collection.purge(paths=["a"], reason="leaked")


def import_all(collection: VersionedCollection) -> None:
    """Have the documents of a file take the place of all."""
    found = [{"_id": 1, "x": 1}, {"_id": 4, "x": [4]}, {"_id": "new", "x": 2}, {"_id": "file"}]
    file = io.BytesIO(b"".join(map(bson.encode, found)))
    collection.import_(file, "bson", replace=True)


def move_on(collection: VersionedCollection) -> None:
    """Register another version."""
    collection.update_many({"_id": {"$in": [1, 2]}}, {"$set": {"later": [True]}})
    collection.register("later")


def many(collection: VersionedCollection) -> None:
    """Have main@0 to main@7, which change the same documents."""
    with_history(collection)
    for turn in range(5):
        collection.update_many({"_id": {"$lte": 3}}, {"$set": {"turn": turn}})
        collection.delete_one({"_id": turn + 4})
        collection.insert_one({"_id": turn + 10, "turn": turn})
        collection.register(f"turn {turn}")


def with_spans(collection: VersionedCollection) -> None:
    """Have spans of two versions and more."""
    least = spans.LEAST_VERSIONS
    spans.LEAST_VERSIONS = 2
    try:
        collection.gc()
    finally:
        spans.LEAST_VERSIONS = least


def checked(collection: VersionedCollection) -> None:
    """Have a check that nothing fails."""
    collection.add_check("plausible", [{"$match": {"x": "implausible"}}])


def merge_checked(collection: VersionedCollection) -> Any:
    """Merge under a check that this process alone knows."""
    collection.add_check("own", lambda state: state.find({"x": "implausible"}))
    return merge_theirs(collection)


def settled(collection: VersionedCollection) -> None:
    """Settle all conflicts and edit a document."""
    collection.resolve_conflicts(resolver="theirs")
    collection.update_one({"_id": 1}, {"$set": {"x": "edited"}})


def odd(number: int, *others: tuple[str, Any]) -> RawBSONDocument:
    """Return a document with a name twice, which updates by a pipeline must not meet."""
    fields = [("_id", number), ("a", 1), ("a", 2), *others]
    return RawBSONDocument(build(*(element(name.encode(), key_of(x)) for name, x in fields)))


def with_odd_documents(collection: VersionedCollection) -> None:
    """Have documents that no single update makes of one another in main@0 and main@1."""
    collection.insert_many([odd(1), odd(2, ("$b", 1)), {"_id": 3, "$b": 1}])
    collection.init("root")
    _exchange(collection, {"_id": 1, "$b": 1}, odd(2, ("$b", 2)), odd(3, ("$c", [1])))
    collection.register("one")


def with_odd_changes(collection: VersionedCollection) -> None:
    """Change these documents, uncommitted."""
    _exchange(collection, odd(1, ("$b", 3)), odd(2, ("$b", 3)), odd(3, ("$b", 3)))


def make_odd_worktree(collection: VersionedCollection) -> None:
    """Have the first version of odd documents checked out in a worktree."""
    collection.worktree("main@0", NEW_NAME)


def with_odd_changes_there(collection: VersionedCollection) -> None:
    """Change these documents in the worktree, uncommitted."""
    with_odd_changes(there(collection))


def _exchange(collection: VersionedCollection, *documents: Any) -> None:
    collection.delete_many({})
    collection.insert_many(documents)


@dataclass(frozen=True)
class Scenario:
    """One verb in one state.

    Attributes:
        act: Calls the verb.
        steps: What is prepared, in turn.
        large: Whether the verb has another way for large changes.
        new_name: The name of the collection afterwards.
        before_init: Whether the collection is not tracked when the verb is called.
        gradual: Whether it settles conflicts a page at a time, each page at once.
        between: Tells a state that is neither the old nor the new one, and yet as it should be.
        anew: Whether the state is built for each case, as no scene says all of it.
    """

    act: Verb
    steps: tuple[Verb, ...] = (with_history,)
    large: bool = False
    new_name: str = NAME
    before_init: bool = False
    gradual: bool = False
    between: Callable[[State], bool] = lambda state: False
    anew: bool = False


def _at(revision: Any) -> Verb:
    return lambda collection: collection.checkout(revision)


def _behind(collection: VersionedCollection) -> None:
    """Be on a branch that has yet to follow side."""
    collection.create_branch("behind")


def _plain_documents(collection: VersionedCollection) -> None:
    collection.insert_many([{"_id": i, "x": i} for i in range(5)])


def _refused(act: Verb) -> Verb:
    """Return what calls a verb whose outcome the server refuses."""
    return lambda collection: attempt(act, collection) and None


_AT_ODDS = (with_history, with_side, with_conflicts)
_MERGED = (*_AT_ODDS, merge_theirs)

SCENARIOS = {
    "init": Scenario(lambda c: c.init("root"), (_plain_documents,), before_init=True),
    "init empty": Scenario(lambda c: c.init("root"), (), before_init=True),
    "register": Scenario(lambda c: c.register("three"), (with_history, dirty), large=True),
    "register detached": Scenario(
        lambda c: c.register("other", "other"), (with_history, _at(1), dirty), large=True
    ),
    "register of documents": Scenario(
        lambda c: c.register("part", only=[1, 3, 5, "new"]), (with_history, dirty), large=True
    ),
    "register of fields": Scenario(
        lambda c: c.register("part", only=Only(filter={"_id": {"$ne": 9}}, fields=["x"])),
        (with_history, dirty),
        large=True,
    ),
    "checkout back": Scenario(_at(0), large=True),
    "checkout forward": Scenario(_at("main"), (with_history, _at(0)), large=True),
    "checkout across": Scenario(_at("main"), (with_history, with_side), large=True),
    "create_branch": Scenario(lambda c: c.create_branch("fresh"), (with_history, dirty)),
    "delete_branch": Scenario(
        lambda c: c.delete_branch("fresh"),
        (with_history, lambda c: c.create_branch("fresh"), _at("main")),
    ),
    "rename_branch": Scenario(lambda c: c.rename_branch("main", "trunk"), large=True),
    "rename other branch": Scenario(
        lambda c: c.rename_branch("main", "trunk"), (with_history, with_side)
    ),
    "rename branch to one deleted": Scenario(_main_to_side, (with_history, _side_deleted)),
    "discard": Scenario(lambda c: c.discard_changes(), (with_history, dirty), large=True),
    "stash": Scenario(lambda c: c.stash(), (with_history, dirty), large=True),
    "stash over": Scenario(
        lambda c: c.stash(overwrite=True), (with_history, stashed_and_dirty), large=True
    ),
    "stash_apply": Scenario(lambda c: c.stash_apply(), (with_history, stashed), large=True),
    "stash_apply elsewhere": Scenario(
        lambda c: c.stash_apply(), (with_history, stashed, _at(0)), large=True
    ),
    "stash_discard": Scenario(lambda c: c.stash_discard(), (with_history, stashed)),
    "named stash": Scenario(
        lambda c: c.stash(name="other"), (with_history, stashed_and_dirty), large=True
    ),
    "named stash over": Scenario(
        lambda c: c.stash(True, name="first"), (with_history, stashed_twice, dirty), large=True
    ),
    "stash_apply of one of several": Scenario(
        lambda c: _once(c, "first", lambda: c.stash_apply("first")),
        (with_history, stashed_twice),
        large=True,
    ),
    "stash_apply with merge": Scenario(
        lambda c: _once(c, None, lambda: c.stash_apply(merge=True)),
        (with_history, stashed, edited_elsewhere),
        large=True,
    ),
    "stash_apply with conflicts": Scenario(
        apply_with_conflicts, (with_history, stashed, edited_at_odds), large=True
    ),
    "resolve conflicts of a stash": Scenario(
        lambda c: c.resolve_conflicts(resolver="theirs"),
        (with_history, stashed, edited_at_odds, apply_with_conflicts),
    ),
    "abort a stash": Scenario(
        lambda c: c.abort_merge(),
        (with_history, stashed, edited_at_odds, apply_with_conflicts),
        large=True,
    ),
    "abort a stash decided in part": Scenario(
        lambda c: c.abort_merge(),
        (with_history, stashed, edited_at_odds, apply_with_conflicts, resolve_one_of_a_stash),
        large=True,
    ),
    "resolve a conflict of a stash": Scenario(
        resolve_one_of_a_stash, (with_history, stashed, edited_at_odds, apply_with_conflicts)
    ),
    "stash_discard of one of several": Scenario(
        lambda c: c.stash_discard("first"), (with_history, stashed_twice)
    ),
    "delete subtree inside": Scenario(
        lambda c: c.delete_version_subtree(1, "main"), (with_history, with_side, dirty), large=True
    ),
    "delete subtree aside": Scenario(
        lambda c: c.delete_version_subtree(0, "side"),
        (with_history, with_side, _at("main"), dirty),
        large=True,
    ),
    "delete root": Scenario(lambda c: c.delete_version_subtree(0), (with_history, dirty)),
    "rename": Scenario(lambda c: c.rename(NEW_NAME), (with_history, dirty), new_name=NEW_NAME),
    "drop": Scenario(lambda c: c.drop(), (with_history, dirty)),
    "checkout of odd documents": Scenario(_at(0), (with_odd_documents,)),
    "discard of odd documents": Scenario(
        lambda c: c.discard_changes(), (with_odd_documents, with_odd_changes)
    ),
    "register of odd documents": Scenario(
        lambda c: c.register("two"), (with_odd_documents, with_odd_changes)
    ),
    "merge": Scenario(merge_theirs, (with_history, with_side, with_conflicts), large=True),
    "merge fast forward": Scenario(
        merge, (with_history, with_side, _at("main@1"), _behind), large=True
    ),
    "merge with conflicts": Scenario(merge, (with_history, with_side, with_conflicts), large=True),
    "resolve conflicts": Scenario(
        lambda c: c.resolve_conflicts(resolver="theirs"),
        (with_history, with_side, with_conflicts, merge),
    ),
    "register of a merge": Scenario(
        lambda c: c.register(),
        (with_history, with_side, with_conflicts, merge, settled),
        large=True,
    ),
    "abort merge": Scenario(
        lambda c: c.abort_merge(),
        (with_history, with_side, with_conflicts, merge, settled),
        large=True,
    ),
    "resolve a conflict": Scenario(resolve_one, (*_AT_ODDS, merge)),
    "resolve a conflict by taking an element out": Scenario(
        take_element_out, (with_history, with_conflicts_in_a_list, merge)
    ),
    "resolve conflicts page by page": Scenario(
        lambda c: c.resolve_conflicts(resolver="theirs"),
        (with_history, with_side, with_many_conflicts, merge),
        large=True,
        gradual=True,
    ),
    "resolve conflicts of unique values": Scenario(
        lambda c: c.resolve_conflicts(resolver="theirs"),
        (with_history, with_unique_conflicts, merge),
        large=True,
        anew=True,
    ),
    "cherry_pick": Scenario(lambda c: c.cherry_pick("side@1"), _AT_ODDS, large=True),
    "cherry_pick with conflicts": Scenario(pick, _AT_ODDS, large=True),
    "register of a cherry_pick": Scenario(
        lambda c: c.register(), (*_AT_ODDS, pick, settled), large=True
    ),
    "abort a cherry_pick": Scenario(
        lambda c: c.abort_merge(), (*_AT_ODDS, pick, settled), large=True
    ),
    "revert": Scenario(lambda c: c.revert("main@2"), large=True),
    "revert with conflicts": Scenario(take_back, large=True),
    "revert of a merge": Scenario(
        lambda c: c.revert("main@4", parent=1), (*_MERGED, move_on), large=True
    ),
    "abort a revert": Scenario(
        lambda c: c.abort_merge(), (with_history, take_back, settled), large=True
    ),
    "reset": Scenario(reset("main@0"), (with_history, dirty), large=True),
    "reset hard": Scenario(reset("main@0", hard=True), (with_history, dirty), large=True),
    "reset hard across": Scenario(
        reset("side@1", hard=True), (with_history, with_side, _at("main"), dirty), large=True
    ),
    "reset detached": Scenario(
        reset("main@0", hard=True), (with_history, _at(1), dirty), large=True
    ),
    "undo register": Scenario(
        undo("register"), (with_history, dirty, lambda c: c.register("three")), large=True
    ),
    "undo checkout": Scenario(undo("checkout"), (with_history, _at(0)), large=True),
    "undo merge": Scenario(undo("merge"), _MERGED, large=True),
    "undo fast forward": Scenario(
        undo("merge"), (with_history, with_side, _at("main@1"), _behind, merge), large=True
    ),
    "undo revert": Scenario(
        undo("revert"), (with_history, lambda c: c.revert("main@2")), large=True
    ),
    "undo reset": Scenario(undo("reset"), (with_history, reset("main@0")), large=True),
    "undo reset hard": Scenario(
        undo("reset"), (with_history, dirty, reset("main@0", hard=True)), large=True
    ),
    "undo create_branch": Scenario(undo("create_branch"), (with_history, _behind, dirty)),
    "undo delete_branch": Scenario(
        undo("delete_branch"),
        (with_history, _behind, _at("main"), lambda c: c.delete_branch("behind")),
    ),
    "undo rename_branch": Scenario(
        undo("rename_branch"), (with_history, lambda c: c.rename_branch("main", "trunk"))
    ),
    "undo rename branch to one deleted": Scenario(
        undo("rename_branch"), (with_history, _side_deleted, _main_to_side)
    ),
    "undo tag": Scenario(undo("tag")),
    "undo delete_tag": Scenario(
        undo("delete_tag"), (with_history, lambda c: c.delete_tag("first"), dirty)
    ),
    "stash_apply with a resolver": Scenario(
        lambda c: _once(c, None, lambda: c.stash_apply(merge=True, resolver="theirs")),
        (with_history, stashed, edited_at_odds),
        large=True,
    ),
    "stash_apply with a resolver that keeps it": Scenario(
        lambda c: c.stash_apply(merge=True, resolver="ours", drop=False),
        (with_history, stashed, edited_at_odds),
        large=True,
    ),
    "delete subtree of a merge": Scenario(
        lambda c: c.delete_version_subtree("main@4"), (*_MERGED, move_on, dirty), large=True
    ),
    "delete subtree of an undone merge": Scenario(
        lambda c: c.delete_version_subtree("main@4"), (*_MERGED, undo("merge"), dirty), large=True
    ),
    "delete what was merged": Scenario(
        lambda c: attempt(lambda c: c.delete_version_subtree("side@0"), c) and None, _MERGED
    ),
    "drop of a merge": Scenario(lambda c: c.drop(), (*_AT_ODDS, merge)),
    "gc during a merge": Scenario(
        lambda c: c.gc(),
        (with_history, stashed, with_side, with_conflicts, merge, lambda c: orphan(c)),
    ),
    "merge under checks": Scenario(
        merge_theirs,
        (with_history, with_side, with_conflicts, checked),
        large=True,
    ),
    "merge under a check of one process": Scenario(
        merge_checked, (with_history, with_side, with_conflicts, checked), large=True
    ),
    "register of fields under checks": Scenario(
        lambda c: c.register("part", only=Only(filter={"_id": {"$ne": 9}}, fields=["x"])),
        (with_history, checked, dirty),
        large=True,
    ),
    "squash": Scenario(
        lambda c: c.squash("main@1", "main@2"),
        (with_history, with_side, with_conflicts, dirty),
        large=True,
    ),
    "rebase": Scenario(rebase_theirs, (with_history, with_side, with_more), large=True),
    "rebase with conflicts": Scenario(rebase, (with_history, with_side, with_more), large=True),
    "register of the last of a rebase": Scenario(
        lambda c: c.register(), (with_history, with_side, short, rebase, settled), large=True
    ),
    "register of a rebase": Scenario(
        lambda c: c.register(),
        (with_history, with_side, with_more, rebase, settled),
        large=True,
        between=under_way,
    ),
    "abort of a rebase": Scenario(
        lambda c: c.abort_merge(),
        (with_history, with_side, with_more, rebase, settled),
        large=True,
    ),
    "undo of a rebase": Scenario(
        undo("rebase"), (with_history, with_side, with_more, rebase_theirs), large=True
    ),
    "tag": Scenario(lambda c: c.tag("here")),
    "delete_tag": Scenario(lambda c: c.delete_tag("first")),
    "gc": Scenario(lambda c: c.gc(), (with_history, stashed, lambda c: orphan(c))),
    "restore": Scenario(
        lambda c: c.restore([1, 3, 4, 5, 7, 8, "new"], "main@1") and None,
        (with_history, dirty),
        large=True,
    ),
    "restore of fields": Scenario(
        lambda c: c.restore({"x": {"$exists": True}}, 0, fields=["x"]) and None,
        (with_history, dirty),
        large=True,
    ),
    "import": Scenario(import_all, (with_history, dirty), large=True),
    "at": Scenario(read_all, (with_history, with_side, dirty), large=True),
    "at again": Scenario(read_all, (with_history, with_side, read_all, move_on), large=True),
    "publish view": Scenario(publish, (with_history, dirty)),
    "publish another": Scenario(publish, (with_history, publish_first)),
    "rename with overlays": Scenario(
        lambda c: c.rename(NEW_NAME), (with_history, read_all, publish), new_name=NEW_NAME
    ),
    "register at the end of spans": Scenario(
        lambda c: c.register("eight"), (many, dirty), large=True
    ),
    "checkout over spans": Scenario(_at(1), (many, with_spans), large=True),
    "delete subtree over spans": Scenario(
        lambda c: c.delete_version_subtree(1, "main"), (many, with_spans, dirty), large=True
    ),
    "thin out": Scenario(
        lambda c: c.thin_out(Retention(keep_last=2)) and None,
        (many, with_spans, dirty),
        large=True,
    ),
    "gc of spans": Scenario(lambda c: c.gc(), (many,), large=True),
    "purge": Scenario(purge_documents, (*_MERGED, stashed, publish, dirty), large=True),
    "purge of fields": Scenario(
        purge_fields, (*_MERGED, stashed, publish, read_all, dirty), large=True
    ),
    "purge by a filter": Scenario(purge_matching, (with_history, with_side, dirty), large=True),
    "purge of odd fields": Scenario(purge_odd_fields, (with_odd_documents, with_odd_changes)),
    "purge beside a worktree": Scenario(
        purge_documents,
        (*_MERGED, make_worktree, left_there, stashed, publish, dirty),
        large=True,
        anew=True,
    ),
    "purge of fields in a worktree": Scenario(
        lambda c: purge_fields(there(c)),
        (*_MERGED, make_worktree, left_there, stashed, dirty),
        large=True,
        anew=True,
    ),
    "purge of odd fields beside a worktree": Scenario(
        purge_odd_fields,
        (with_odd_documents, make_odd_worktree, with_odd_changes, with_odd_changes_there),
        anew=True,
    ),
    "purge that a worktree refuses": Scenario(
        lambda c: attempt(purge_fields, c) and None,
        (with_history, with_side, on_main, make_worktree, particular_there, dirty),
        large=True,
        anew=True,
    ),
    "discard under an index": Scenario(
        lambda c: c.discard_changes(), (with_history, dirty, indexed), large=True, anew=True
    ),
    "reset under an index": Scenario(
        lambda c: c.reset("main@0", hard=True),
        (with_history, dirty, indexed),
        large=True,
        anew=True,
    ),
    "discard that an index refuses": Scenario(
        _refused(lambda c: c.discard_changes()), (with_history, particular), large=True, anew=True
    ),
    "reset that an index refuses": Scenario(
        _refused(lambda c: c.reset("main@2", hard=True)),
        (with_history, particular_at_head),
        large=True,
        anew=True,
    ),
    "delete subtree that an index refuses": Scenario(
        _refused(lambda c: c.delete_version_subtree("main@3")),
        (with_history, particular_at_head),
        large=True,
        anew=True,
    ),
    "abort of a rebase that an index refuses": Scenario(
        _refused(lambda c: c.abort_merge()),
        (with_history, with_side, with_more, rebase, particular),
        large=True,
        anew=True,
    ),
    "has_changes": Scenario(lambda c: c.has_changes(), (with_history, dirty)),
    "worktree": Scenario(make_worktree, (with_history, with_side, on_main, dirty)),
    "worktree of a new branch": Scenario(make_worktree_of_a_new_branch),
    "remove worktree": Scenario(
        lambda c: c.remove_worktree(NEW_NAME, force=True),
        (with_history, with_side, on_main, make_worktree, stashed_there),
        anew=True,
    ),
    "remove worktree without changes": Scenario(
        lambda c: c.remove_worktree(NEW_NAME),
        (with_history, with_side, on_main, make_worktree),
        anew=True,
    ),
    "register in a worktree": Scenario(
        lambda c: there(c).register("there"),
        (with_history, with_side, on_main, dirty, make_worktree, dirty_there),
        large=True,
        anew=True,
    ),
    "rename branch of a worktree": Scenario(
        lambda c: c.rename_branch("side", "beside"),
        (with_history, with_side, on_main, make_worktree),
        anew=True,
    ),
}


def orphan(collection: VersionedCollection) -> None:
    """Leave deltas of a version, and conflicts of a merge, that never came to be."""
    never = ObjectId("0123456789abcdef01234567")
    for tracker, owner in (("deltas", "version"), ("stash", "version"), ("conflicts", "merge")):
        stored = collection.database[f"__{tracker}_{collection.name}"]
        for one in stored.find({}, {"_id": 0}).limit(1):
            stored.insert_one({**one, owner: never})


def opened(database: Database[Any], name: str = NAME, **options: Any) -> VersionedCollection:
    """Open a collection and be patient."""
    settings = {"lease_wait_seconds": 20.0, **options}
    return VersionedCollection(database, name, **settings)


def prepare(scenario: Scenario, database: Database[Any]) -> None:
    """Bring a collection into the state in which the verb is called."""
    collection = VersionedCollection(database, NAME)
    for step in scenario.steps:
        step(collection)


UNCHANGING = frozenset(
    (
        "at",
        "abort of a rebase that an index refuses",
        "at again",
        "delete subtree that an index refuses",
        "delete what was merged",
        "discard that an index refuses",
        "gc",
        "gc during a merge",
        "gc of spans",
        "has_changes",
        "purge that a worktree refuses",
        "reset that an index refuses",
    )
)
"""Scenarios that look, collect garbage or are refused: a state does not tell them from nothing."""


def attempt(act: Verb, collection: VersionedCollection) -> Any:
    """Call a verb that may have been carried out before; return its result or its error."""
    try:
        return act(collection)
    except VersioningError as error:
        return error


def contents(database: Database[Any], name: str) -> set[bytes]:
    """Return the documents as bytes."""
    options: CodecOptions[Any] = CodecOptions(RawBSONDocument)
    raw = database.get_collection(name, codec_options=options)
    return {bytes(document.raw) for document in raw.find()}


def state_of(database: Database[Any]) -> State:
    """Return all that a user can see, without what differs from run to run."""
    names = (NAME, NEW_NAME)
    return {name: _state(database, name) for name in names}


def _state(database: Database[Any], name: str) -> State:
    collection = opened(database, name)
    if not collection.is_tracked():
        return {"tracked": False, "contents": contents(database, name)}
    everything = collection._repository.log.get_many()
    labels = {entry.id: f"{entry.branch}@{entry.number}" for entry in everything}
    log = {
        labels[entry.id]: (
            entry.message,
            tuple(labels[parent] for parent in entry.parents),
            tuple(sorted(entry.stats.items())),
            entry.fingerprint,
        )
        for entry in everything
    }
    repository = collection._repository
    state = repository.state()
    stashes = [
        (
            header["name"],
            header["documents"],
            {d.key: (d.old, d.new) for d in repository.stash.of_version(header["id"])},
        )
        for header in state.stashes
    ]
    tips = repository.branches.all()
    return {
        "tracked": True,
        "contents": contents(database, name),
        "log": log,
        "branches": {name: labels[tip] for name, tip in tips.items()},
        "views": {name: version.label for name, version in collection.views().items()},
        "tags": {name: labels[version.id] for name, version in collection.tags().items()},
        "head": (labels[state.head], state.branch, state.detached),
        "version": collection.version,
        "stashes": stashes,
        "merge": None if state.merge is None else _waiting(state.merge, labels),
        "operations": [_operation(one, labels) for one in collection.reflog()],
        "conflicts": [(one.raw, one.kind) for one in collection.conflicts()],
        "changes": {(change.op, change.old, change.new) for change in collection.changes()},
    }


def _waiting(merge: Mapping[str, Any], labels: Mapping[ObjectId, str]) -> list[Any]:
    said = [merge.get(fact) for fact in ("verb", "message", "author", "metadata", "drop")]
    return [labels.get(merge["theirs"]), [labels[one] for one in merge["parents"]], *said]


def _operation(one: Operation, labels: Mapping[ObjectId, str]) -> tuple[Any, ...]:
    def place(head: Mapping[str, Any]) -> tuple[Any, ...]:
        return labels.get(head["head"]), head["branch"], head["detached"]

    moves = {name: tuple(map(labels.get, ends)) for name, ends in sorted(one.branches.items())}
    kind = one.documents, one.relabelled, one.removed, one.undoes is not None
    return one.verb, place(one.before), place(one.after), moves, sorted(one.tags), kind


def leftovers(database: Database[Any], name: str) -> dict[str, int]:
    """Return how many documents each tracker holds after a collection of garbage."""
    collection = opened(database, name)
    if not collection.is_tracked():
        names = database.list_collection_names()
        return {one: 0 for one in names if one.startswith("__") and one != "__vc_lock"}
    collection.gc()
    repository = collection._repository
    trackers = list(repository.trackers)
    for copy in collection.worktrees():
        opened(database, copy.name).has_changes()
        if copy.name != name:
            trackers += repository.beside(copy.name).own_trackers
    names = database.list_collection_names()
    copies = {one: 0 for one in names if one.startswith(("__copy_", "__base_", "__gone_"))}
    return copies | {
        tracker.name: tracker.collection.count_documents({})
        for tracker in trackers
        if tracker.prefix != "modified"
    }
