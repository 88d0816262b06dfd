"""A plain model of a versioned collection, in memory: what the real one has to agree with.

Contents are dicts from what the server takes for one ``_id`` to a document's bytes. Verbs
raise the error types of the real ones and return what those return.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import bson

from versioned_collection.core.document import key_of
from versioned_collection.core.merging import MergePolicy, merge_documents
from versioned_collection.errors import (
    AutoMergeFailedError,
    BranchNotFound,
    CheckFailed,
    CollectionAlreadyInitialised,
    CollectionNotTracked,
    InvalidArgument,
    InvalidCollectionVersion,
    InvalidOperation,
    TagNotFound,
)

Contents = dict[Any, bytes]


@dataclass(eq=False)
class ModelVersion:
    """A recorded state."""

    number: int
    branch: str
    parent: ModelVersion | None
    contents: Contents
    message: str
    merged: tuple[ModelVersion, ...] = ()
    serial: int = field(default_factory=itertools.count().__next__)

    @property
    def label(self) -> tuple[int, str]:
        return self.number, self.branch

    def ancestors(self) -> Iterator[ModelVersion]:
        """Iterate from this version up to the root."""
        current: ModelVersion | None = self
        while current is not None:
            yield current
            current = current.parent

    def contained(self) -> set[ModelVersion]:
        """Return this version and all that was merged into it, at any time."""
        found: set[ModelVersion] = set()
        waiting = [self]
        while waiting:
            version = waiting.pop()
            if version not in found:
                found.add(version)
                waiting += [*filter(None, [version.parent]), *version.merged]
        return found


def canonical(key: bytes) -> Any:
    """Return the same for ids that the server takes for equal, such as 1 and 1.0."""
    kind, value = key[0], key[1:]
    if kind == 0x10:
        return "number", struct.unpack("<i", value)[0]
    if kind == 0x12:
        return "number", struct.unpack("<q", value)[0]
    if kind == 0x01:
        return "number", struct.unpack("<d", value)[0]
    if kind in (0x02, 0x0E):
        return "text", value
    return kind, value


@dataclass
class Done:
    """What a verb did to HEAD and names, to be undone."""

    before: dict[str, Any]
    documents: bool
    removed: bool
    renamed: tuple[str, str, int] | None
    undone: bool = False


@dataclass(eq=False)
class Stashed:
    """Changes that were set aside: old and new bytes of documents by key."""

    name: str | None
    changes: dict[bytes, tuple[bytes | None, bytes | None]]


@dataclass
class Model:
    """The collection and its history."""

    working: Contents = field(default_factory=dict)
    versions: list[ModelVersion] = field(default_factory=list)
    branches: dict[str, ModelVersion] = field(default_factory=dict)
    tags: dict[str, ModelVersion] = field(default_factory=dict)
    stashes: list[Stashed] = field(default_factory=list)
    renumbered: int = 0
    limited: bool = False
    head: ModelVersion | None = None
    branch: str | None = None
    detached: bool = False
    done: list[Done] = field(default_factory=list)

    # -- looking -------------------------------------------------------------------------

    @property
    def tracked(self) -> bool:
        return self.head is not None

    @property
    def changed(self) -> bool:
        return self.head is not None and self.working != self.head.contents

    def number(self) -> int | None:
        if self.head is None:
            return None
        if not self.detached and self.head.branch != self.branch:
            return -1
        return self.head.number

    def status(self) -> dict[str, Any]:
        if self.head is None:
            return {"tracked": False}
        return {
            "tracked": True,
            "current_version": self.number(),
            "current_branch": self.branch,
            "detached": self.detached,
            "changed": self.changed,
            "has_stash": bool(self.stashes),
            "has_conflicts": False,
        }

    def log(self, branch: str | None = None) -> list[tuple[int, str, str]]:
        if self.head is None:
            return []
        if branch is None:
            start = self.branches.get(self.branch or "", self.head)
        else:
            start = self._tip(branch)
        return [(v.number, v.branch, v.message) for v in start.ancestors()]

    def labelled(self, number: int, branch: str) -> ModelVersion | None:
        return next((v for v in self.versions if v.label == (number, branch)), None)

    def _tip(self, branch: str) -> ModelVersion:
        if branch not in self.branches:
            raise BranchNotFound(branch)
        return self.branches[branch]

    def last_number(self, branch: str) -> int:
        return max((v.number for v in self.versions if v.branch == branch), default=-1)

    def resolve(self, version: int | str | None, branch: str | None = None) -> ModelVersion:
        """Resolve a number, or a revision text of a form that this model knows."""
        assert self.head is not None
        if branch is not None:
            self._tip(branch)
        if version is None:
            return self.head if branch is None else self._tip(branch)
        if isinstance(version, int):
            return self._by_number(version, branch or self.branch or "")
        return self._by_text(version)

    def _by_number(self, number: int, branch: str) -> ModelVersion:
        found = self.labelled(number, branch) if number >= 0 else None
        if number == -1:
            tip = self.branches.get(branch)
            found = tip if tip is not None and tip.branch != branch else None
        if found is None:
            raise InvalidCollectionVersion(f"{number} on {branch}")
        return found

    def _by_text(self, text: str) -> ModelVersion:
        base, _, generations = text.partition("~")
        if base == "HEAD":
            found = self.head
        elif "@" in base:
            name, _, number = base.partition("@")
            found = self.labelled(int(number), name)
        else:
            found = self.branches.get(base) or self.tags.get(base)
        steps = int(generations or 1) if "~" in text else 0
        for _ in range(steps):
            found = found and found.parent
        if found is None:
            raise InvalidCollectionVersion(text)
        return found

    def changes(self, a: ModelVersion, b: ModelVersion | None) -> dict[bytes, tuple[Any, Any]]:
        """Return old and new bytes of the documents that differ, by key."""
        before, after = by_key(a.contents), by_key(self.working if b is None else b.contents)
        return {
            key: (before.get(key), after.get(key))
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
        }

    # -- verbs ---------------------------------------------------------------------------

    def init(self, message: str) -> None:
        if self.tracked:
            raise CollectionAlreadyInitialised("tracked")
        root = ModelVersion(0, "main", None, dict(self.working), message)
        self.versions = [root]
        self.branches = {"main": root}
        self.tags, self.stashes, self.done = {}, [], []
        self.limited = False
        self.head, self.branch, self.detached = root, "main", False

    def register(
        self, message: str, branch_name: str | None = None, *, only: list[Any] | None = None
    ) -> bool:
        if self.head is None:
            return False
        branch = self.branch or ""
        if self.detached:
            if branch_name is None:
                raise InvalidArgument("name the branch")
            self._refuse_taken(branch_name)
            branch = branch_name
        contents = self.working if only is None else self._with_only(only)
        if contents == self.head.contents:
            return False
        self._check(contents)
        number = self.last_number(branch) + 1
        version = ModelVersion(number, branch, self.head, dict(contents), message)
        self.versions.append(version)
        self.branches[branch] = version
        self.head, self.branch, self.detached = version, branch, False
        return True

    def _with_only(self, ids: list[Any]) -> Contents:
        """Return the recorded documents, those with some ids as they are now."""
        assert self.head is not None
        chosen = {canonical(key_of(one)) for one in ids}
        kept = {one: raw for one, raw in self.head.contents.items() if one not in chosen}
        return {**kept, **{one: self.working[one] for one in chosen & self.working.keys()}}

    # -- a check -------------------------------------------------------------------------

    def add_check(self, name: str, pipeline: list[Any]) -> None:
        """Keep the one check that this model knows: no document has the value ``x`` in v."""
        if self.head is None:
            raise CollectionNotTracked("untracked")
        if self.limited:
            raise InvalidArgument("taken")
        self.limited = True

    def delete_check(self, name: str) -> bool:
        was, self.limited = self.limited, False
        return was

    def _check(self, contents: Contents) -> None:
        if self.limited and any(bson.decode(raw).get("v") == "x" for raw in contents.values()):
            raise CheckFailed("x")

    # -- moving --------------------------------------------------------------------------

    def checkout(self, version: int | str | None = None, branch: str | None = None) -> bool:
        if version is None and branch is None:
            raise InvalidArgument("nothing given")
        if self.head is None:
            return False
        target = self.resolve(version, branch)
        named = branch
        if isinstance(version, str):
            base = version.removesuffix("~0").split("@")[0]
            named = base if base in self.branches else None
        elif version is not None and branch is None:
            named = self.branch
        attached = self._attachment(target, named)
        if target is self.head and (self.branch, self.detached) == attached:
            return True
        if self.changed:
            raise InvalidOperation("uncommitted changes")
        self.head = target
        self.branch, self.detached = attached
        self.working = dict(target.contents)
        return True

    def _attachment(self, target: ModelVersion, named: str | None = None) -> tuple[str, bool]:
        for branch in (named, self.branch, target.branch):
            if branch is not None and self.branches.get(branch) is target:
                return branch, False
        return target.branch, True

    def create_branch(self, name: str) -> tuple[int, str] | None:
        if self.head is None:
            return None
        self._refuse_taken(name)
        self.branches[name] = self.head
        self.branch, self.detached = name, False
        return self.head.label

    def _refuse_taken(self, name: str) -> None:
        """Refuse names of branches and of tags."""
        if name in self.branches or name in self.tags or name.startswith("__"):
            raise InvalidArgument("taken")

    def delete_branch(self, name: str) -> None:
        tip = self._tip(name)
        if not self.detached and self.branch == name:
            raise InvalidOperation("checked out")
        others = [v for branch, v in self.branches.items() if branch != name]
        kept = {a for v in [*others, *self.tags.values(), self.head] if v for a in v.contained()}
        if tip.contained() - kept:
            raise InvalidOperation("versions would be lost")
        del self.branches[name]

    def rename_branch(self, old: str, new: str) -> None:
        if new.startswith("__"):
            raise InvalidArgument("reserved")
        tip = self._tip(old)
        self._refuse_taken(new)
        self.renumbered = self.last_number(new) + 1
        for version in self.versions:
            if version.branch == old:
                version.branch, version.number = new, version.number + self.renumbered
        del self.branches[old]
        self.branches[new] = tip
        if self.branch == old:
            self.branch = new

    def tag(self, name: str, revision: str) -> tuple[int, str]:
        if self.head is None:
            raise CollectionNotTracked("untracked")
        version = self.resolve(revision)
        if name in self.branches or name in self.tags:
            raise InvalidArgument("taken")
        self.tags[name] = version
        return version.label

    def delete_tag(self, name: str) -> None:
        if name not in self.tags:
            raise TagNotFound(name)
        del self.tags[name]

    def stash(
        self, overwrite: bool = False, *, name: str | None = None, push: bool = False
    ) -> bool:
        if self.head is None:
            return False
        taken = [one for one in self.stashes if one.name == name and name is not None]
        if taken and not overwrite:
            raise InvalidArgument("taken")
        if not self.changed:
            return False
        if name is None and self.stashes and not (overwrite or push):
            raise InvalidOperation("there is a stash")
        replaced = taken if name is not None else self.stashes[-1:] if overwrite else []
        self.stashes = [one for one in self.stashes if one not in replaced]
        self.stashes.append(Stashed(name, self.changes(self.head, None)))
        self.working = dict(self.head.contents)
        return True

    def stash_apply(
        self,
        which: int | str | None = None,
        *,
        merge: bool = False,
        drop: bool = True,
        resolver: str | None = None,
    ) -> bool:
        found = self._stash(which)
        if self.head is None or found is None:
            return False
        if merge:
            self._merge_stash(found, resolver or "")
        elif self.changed:
            raise InvalidOperation("uncommitted changes")
        else:
            for key in by_key(self.working).keys() & found.changes.keys():
                del self.working[canonical(key)]
            for key, (_, raw) in found.changes.items():
                if raw is not None:
                    self.working[canonical(key)] = raw
        if drop:
            self.stashes.remove(found)
        return True

    def _merge_stash(self, stash: Stashed, resolver: str) -> None:
        ours, policy = by_key(self.working), MergePolicy(default=resolver)
        merged = dict(ours)
        for key, (old, new) in stash.changes.items():
            merged.pop(key, None)
            raw = merge_documents(key, old, ours.get(key), new, policy).raw
            if raw is not None:
                merged[key] = raw
        contents: Contents = {canonical(key): raw for key, raw in merged.items()}
        if len(contents) < len(merged):
            raise AutoMergeFailedError("both cannot be")
        self.working = contents

    def stash_discard(self, which: int | str | None = None) -> bool:
        found = self._stash(which)
        if found is not None:
            self.stashes.remove(found)
        return found is not None

    def _stash(self, which: int | str | None) -> Stashed | None:
        """Return a stash by its place, 0 for the latest, or its name."""
        if which is None or self.head is None:
            return self.stashes[-1] if self.stashes else None
        for place, stash in enumerate(reversed(self.stashes)):
            if which in (place, stash.name):
                return stash
        raise InvalidArgument("no such stash")

    def discard_changes(self) -> bool:
        if self.head is None:
            return False
        self.working = dict(self.head.contents)
        return True

    def delete_version_subtree(self, version: int | str, branch: str | None = None) -> bool:
        if self.head is None:
            return False
        target = self.resolve(version, branch)
        parent = target.parent
        if parent is None:
            self.drop()
            return True
        doomed = {v for v in self.versions if target in v.ancestors()}
        if any(doomed.intersection(v.merged) for v in self.versions if v not in doomed):
            raise InvalidOperation("merged elsewhere")
        self.versions = [v for v in self.versions if v not in doomed]
        self.tags = {name: v for name, v in self.tags.items() if v not in doomed}
        for name, tip in list(self.branches.items()):
            if tip in doomed and any(v.branch == name for v in self.versions):
                self.branches[name] = next(v for v in tip.ancestors() if v not in doomed)
            elif tip in doomed:
                del self.branches[name]
        if self.head in doomed:
            self.head = parent
            self.working = dict(parent.contents)
            self.branch, self.detached = self._attachment(parent)
        elif self.detached:
            self.branch, self.detached = self._attachment(self.head)
        return True

    # -- merging and rewriting -----------------------------------------------------------

    def merge(self, revision: str, resolver: str, no_ff: bool) -> ModelVersion:
        theirs = self.resolve(revision)
        self._require_branch_and_clean()
        assert self.head is not None
        if theirs in self.head.contained():
            return self.head
        if not no_ff and self.head in theirs.contained():
            self._check(theirs.contents)
            self._move(theirs)
            return theirs
        common = self.head.contained() & theirs.contained()
        best = common - {a for v in common for a in v.contained() if a is not v}
        base = max(best, key=lambda version: version.serial)
        contents = self._joined(base, theirs, resolver)
        return self._record(contents, f"Merge {revision} into {self.branch}", (theirs,))

    def cherry_pick(self, revision: str, resolver: str, parent: int | None) -> ModelVersion:
        version = self.resolve(revision)
        base = self._parent(version, parent)
        self._require_branch_and_clean()
        return self._picked(base, version, resolver, version.message)

    def revert(self, revision: str, resolver: str, parent: int | None) -> ModelVersion:
        version = self.resolve(revision)
        target = self._parent(version, parent)
        self._require_branch_and_clean()
        return self._picked(version, target, resolver, f'Revert "{version.message}"')

    @staticmethod
    def _parent(version: ModelVersion, number: int | None) -> ModelVersion:
        parents = [*filter(None, [version.parent]), *version.merged]
        if not parents or (number is None and len(parents) > 1):
            raise InvalidArgument("which parent?")
        number = 1 if number is None else number
        if not 1 <= number <= len(parents):
            raise InvalidArgument("no such parent")
        return parents[number - 1]

    def _picked(
        self, base: ModelVersion, theirs: ModelVersion, resolver: str, message: str
    ) -> ModelVersion:
        assert self.head is not None
        contents = self._joined(base, theirs, resolver)
        return self.head if contents == self.head.contents else self._record(contents, message)

    def _require_branch_and_clean(self) -> None:
        if self.detached or self.changed:
            raise InvalidOperation("detached or changed")

    def _joined(self, base: ModelVersion, theirs: ModelVersion, resolver: str) -> Contents:
        assert self.head is not None
        start, ours, there = (by_key(v.contents) for v in (base, self.head, theirs))
        policy = MergePolicy(default=resolver)
        merged = dict(ours)
        for key in start.keys() | there.keys():
            if start.get(key) != there.get(key):
                states = start.get(key), ours.get(key), there.get(key)
                raw = merge_documents(key, *states, policy).raw
                merged.pop(key, None)
                if raw is not None:
                    merged[key] = raw
        return self._without_twins(merged, ours, resolver)

    @staticmethod
    def _without_twins(
        merged: dict[bytes, bytes], ours: dict[bytes, bytes], resolver: str
    ) -> Contents:
        """Let none come in beside one of ours whose id the server takes for the same."""
        contents: Contents = {canonical(key): merged[key] for key in merged if key in ours}
        for key, raw in merged.items():
            if key not in ours and canonical(key) not in contents:
                contents[canonical(key)] = raw
            elif key not in ours and resolver != "ours":
                raise AutoMergeFailedError("both cannot be")
        return contents

    def _record(
        self, contents: Contents, message: str, merged: tuple[ModelVersion, ...] = ()
    ) -> ModelVersion:
        self._check(contents)
        branch = self.branch or ""
        number = self.last_number(branch) + 1
        version = ModelVersion(number, branch, self.head, contents, message, merged)
        self.versions.append(version)
        self._move(version)
        return version

    def _move(self, version: ModelVersion) -> None:
        self.branches[self.branch or ""] = version
        self.head, self.working = version, dict(version.contents)

    def reset(self, revision: str, hard: bool) -> ModelVersion:
        target = self.resolve(revision)
        if self.detached:
            self.branch, self.detached = self._attachment(target)
        else:
            self.branches[self.branch or ""] = target
        self.head = target
        if hard:
            self.working = dict(target.contents)
        return target

    # -- undo ----------------------------------------------------------------------------

    def names(self) -> dict[str, Any]:
        """Return HEAD and where all names point."""
        return {
            "head": self.head,
            "branch": self.branch,
            "detached": self.detached,
            "branches": dict(self.branches),
            "tags": dict(self.tags),
        }

    def note(self, before: dict[str, Any], verb: str, args: tuple[Any, ...]) -> None:
        """Remember what a verb did, if it moved HEAD or a name."""
        removed = verb == "delete_version_subtree"
        if self.tracked and (removed or self.names() != before):
            documents = verb in ("checkout", "merge", "cherry_pick", "revert") or (
                verb == "reset" and args[1]
            )
            renamed = (args[0], args[1], self.renumbered) if verb == "rename_branch" else None
            self.done.append(Done(before, documents, removed, renamed))

    def undo(self) -> None:
        found = next((done for done in reversed(self.done) if not done.undone), None)
        if found is None or found.removed:
            raise InvalidOperation("nothing to undo")
        if found.renamed and self.last_number(found.renamed[0]) >= 0:
            raise InvalidOperation("labels in use")
        head = found.before["head"]
        if found.documents and head is not self.head:
            if self.changed:
                raise InvalidOperation("uncommitted changes")
            self.working = dict(head.contents)
        for version in self.versions:
            if found.renamed and version.branch == found.renamed[1]:
                old, _, start = found.renamed
                if version.number >= start:
                    version.branch, version.number = old, version.number - start
        self.head, self.branch = head, found.before["branch"]
        self.detached = found.before["detached"]
        self.branches, self.tags = dict(found.before["branches"]), dict(found.before["tags"])
        found.undone = True

    def drop(self) -> None:
        """Forget everything, the documents too."""
        self.__init__()  # type: ignore[misc]  # a fresh model


def by_key(contents: Mapping[Any, bytes]) -> dict[bytes, bytes]:
    """Return contents by the exact key of each document."""
    from versioned_collection.core.document import document_key

    return {document_key(raw): raw for raw in contents.values()}
