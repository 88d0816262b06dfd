"""Versions and the names that point to them, read through the public class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from versioned_collection.core.drawing import arrange

if TYPE_CHECKING:
    from versioned_collection import Version, VersionedCollection
    from versioned_collection.errors import AmbiguousRevision


_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)


@dataclass
class Names:
    """Branches, tags and HEAD by the version they point to.

    Attributes:
        head: The version that is checked out.
        branch: The branch that is checked out, None when HEAD is detached.
        branches: Names of branches by version.
        tags: Names of tags by version.
        remotes: Branches of remotes, where they were last seen, by version.
    """

    head: Any = None
    branch: str | None = None
    branches: dict[Any, list[str]] = field(default_factory=dict)
    tags: dict[Any, list[str]] = field(default_factory=dict)
    remotes: dict[Any, list[str]] = field(default_factory=dict)

    def of(self, version: Any) -> list[str]:
        """Return what points to a version, as ``git log`` writes it."""
        branches = sorted(self.branches.get(version, ()))
        found = []
        if version == self.head:
            attached = self.branch in branches
            found.append(f"HEAD -> {self.branch}" if attached else "HEAD")
            branches = [name for name in branches if not (attached and name == self.branch)]
        return [
            *found,
            *branches,
            *sorted(self.remotes.get(version, ())),
            *(f"tag: {name}" for name in sorted(self.tags.get(version, ()))),
        ]


def names(collection: VersionedCollection) -> Names:
    """Return everything that points to a version of a tracked collection."""
    found = Names(collection.resolve("HEAD").id)
    found.branch = None if collection.is_detached() else collection.branch
    for branch in collection.branches():
        tip = collection.resolve(branch)
        found.branches.setdefault(tip.id, []).append(branch)
    for tag, version in collection.tags().items():
        found.tags.setdefault(version.id, []).append(tag)
    for remote in collection.remotes():
        for branch, seen in remote.branches.items():
            found.remotes.setdefault(seen, []).append(f"{remote.name}/{branch}")
    return found


def facts(version: Version, pointing: Names | None = None) -> dict[str, Any]:
    """Return a version as ``--json`` prints it."""
    found: dict[str, Any] = {
        "id": version.id,
        "label": version.label,
        "number": version.number,
        "branch": version.branch,
        "parents": list(version.parents),
        "timestamp": version.timestamp,
        "message": version.message,
        "author": version.author,
        "metadata": version.metadata,
        "stats": version.stats,
        "fingerprint": version.fingerprint,
        "checksum": version.checksum,
        "thinned_out": 0 if version.gap is None else len(version.gap.versions),
    }
    if pointing is not None:
        found["head"] = version.id == pointing.head
        found["branches"] = sorted(pointing.branches.get(version.id, ()))
        found["tags"] = sorted(pointing.tags.get(version.id, ()))
    return found


def all_versions(collection: VersionedCollection) -> list[Version]:
    """Return every version, newest first and each before its parents."""
    tree = collection.version_tree
    if tree is None:
        return []
    return _above(collection, [version for version in tree if not tree.children(version)])


def ancestors(collection: VersionedCollection, start: Any) -> list[Version]:
    """Return a version and all it descends from, through merges too, newest first."""
    return _above(collection, [start])


def _above(collection: VersionedCollection, starts: Iterable[Any]) -> list[Version]:
    found: dict[Any, Version] = {}
    waiting = list(starts)
    while waiting:
        for version in collection.log(waiting.pop()):
            if version.id in found:
                break
            found[version.id] = version
            waiting += version.parents[1:]
    return in_order(list(found.values()))


def in_order(versions: Sequence[Version]) -> list[Version]:
    """Return versions newest first and each before its parents."""
    by_id = {version.id: version for version in versions}
    order = arrange(
        {version.id: version.parents for version in versions},
        lambda one: (by_id[one].timestamp, by_id[one].number),
    )
    return [by_id[one] for one in order]


def revision(collection: VersionedCollection, text: str | None, branch: str | None = None) -> Any:
    """Return a revision as the verbs take it.

    Digits alone are a number on the branch, and where it has no version of that number what
    any other text may be: a branch, a tag, the beginning of a checksum.

    Args:
        collection: Where it is looked up.
        text: The revision as it was written, None for the default of the verb.
        branch: The branch that was named beside it; only a number goes with one.

    Raises:
        AmbiguousRevision: A version has the number, and a branch or tag has it for a name;
            or several checksums begin with it.
    """
    is_number = text is not None and _NUMBER.fullmatch(text)
    if branch is not None:
        return (int(text) if text and is_number else text, branch)
    return _numbered(collection, text) if text and is_number else text


def _numbered(collection: VersionedCollection, text: str) -> int | str:
    named = _holder(collection, text)
    if not _exists(collection, int(text)):
        return text if named or _exists(collection, text) else int(text)
    if named:
        raise _ambiguous(collection, text, named)
    return int(text)


def _holder(collection: VersionedCollection, text: str) -> str | None:
    """Return what has a name, None where nothing has it."""
    if text in collection.branches():
        return "branch"
    return "tag" if text in collection.tags() else None


def _exists(collection: VersionedCollection, wanted: int | str) -> bool:
    from versioned_collection.errors import AmbiguousRevision, InvalidCollectionVersion

    try:
        collection.resolve(wanted)
    except AmbiguousRevision:
        raise
    except InvalidCollectionVersion:
        return False
    return True


def _ambiguous(collection: VersionedCollection, text: str, kind: str) -> AmbiguousRevision:
    from versioned_collection.errors import AmbiguousRevision

    number, name = f"{collection.branch}@{text}", f"{text}~0"
    return AmbiguousRevision(
        f"{text!r} is a number on branch {collection.branch!r} and the name of a {kind}; write "
        f"{number} for the number, {name} for the {kind}",
        revision=text,
        candidates=[number, name],
    )
