"""What a commit does to HEAD, branches and tags, in words that can be undone."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.core.times import utc_text
from versioned_collection.history.labels import given_up
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository

_HEAD = ("head", "branch", "detached")

LASTING = frozenset(("purge",))
"""Verbs that cannot be undone; what was done before them still can."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the log of operations.

    Attributes:
        id: Its identity.
        verb: The verb that did it.
        timestamp: When (UTC, server's clock).
        who: ``user``, ``host`` and ``pid`` of the process.
        before: ``head``, ``branch`` and ``detached`` before.
        after: The same afterwards.
        branches: The tips of the branches that moved: name to ``(before, after)``, None
            where there was no such branch.
        tags: The same for tags, as they are stored.
        documents: Whether the documents moved with HEAD.
        relabelled: The old and the new name of a branch whose labels changed; empty mostly.
        renumbered: By how much the numbers in these labels grew.
        labels: The labels before of versions that got other ones: id to branch and number.
        removed: Whether versions were removed for good.
        undoes: The operation that this one undid, None otherwise.
    """

    id: ObjectId
    verb: str
    timestamp: datetime
    who: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    branches: Mapping[str, tuple[Any, Any]]
    tags: Mapping[str, tuple[Any, Any]]
    documents: bool
    relabelled: tuple[str, ...]
    removed: bool
    undoes: ObjectId | None
    labels: Mapping[ObjectId, tuple[str, int]] = field(default_factory=dict)
    renumbered: int = 0

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Operation:
        """Return the operation as it is stored.

        Raises:
            LookupError: A part is missing.
            TypeError: A part is none.
            ValueError: A part is none.
        """
        return cls(
            stored["_id"],
            stored["verb"],
            stored["timestamp"],
            stored["who"],
            {fact: stored["before"][fact] for fact in _HEAD},
            {fact: stored["after"][fact] for fact in _HEAD},
            {name: (before, after) for name, before, after in stored["branches"]},
            {name: (before, after) for name, before, after in stored["tags"]},
            stored["documents"],
            tuple(stored["relabelled"]),
            stored["removed"],
            stored["undoes"],
            {version: (branch, number) for version, branch, number in stored.get("labels", ())},
            stored.get("renumbered", 0),
        )

    def __str__(self) -> str:
        when = utc_text(self.timestamp)
        moved = f"{self.before['head']} -> {self.after['head']}"
        who = f"{self.who['user']}@{self.who['host']}"
        return f"{self.id} {when} {who} {self.verb} on {self.after['branch']}: {moved}"


def describe(
    hold: Hold,
    commit: Commit,
    undoes: ObjectId | None = None,
    otherwise: Iterable[Sequence[Any]] = (),
) -> None:
    """Note in a commit what it moves, unless it says so already, or moves nothing.

    What can never be undone is noted in any case. With a new HEAD go the indexes under which its
    documents are in the collection.

    Args:
        hold: The lease.
        commit: The commit.
        undoes: The operation that it undoes.
        otherwise: The labels that versions get once it is undone, where these are not what they
            have now: of those that enter the log, and of those relabelled on the way here.
    """
    if commit.operation is not None:
        return
    repository = hold.repository
    before = {name: getattr(hold.state, name) for name in _HEAD}
    after = {name: commit.state.get(name, before[name]) for name in _HEAD}
    branches = _branches_moved(hold, commit)
    named = [*commit.tagged, *commit.untagged]
    # the draft of a merge that waits was never a version
    removed = bool(commit.forgotten) and bool(repository.log.get_many(commit.forgotten))
    moves = branches or named or removed or before != after
    if not moves and hold.verb not in LASTING:
        return
    if before["head"] != after["head"]:
        _note_indexes(repository, commit)
    tags = repository.tags.documents() if named else {}
    commit.operation = {
        "_id": ObjectId(),
        "fence": hold.lease.fence,
        "verb": hold.verb,
        "timestamp": repository.now(),
        "who": {**hold.lease.owner, "user": user()},
        "before": before,
        "after": after,
        "branches": branches,
        "tags": [[name, tags.get(name), commit.tagged.get(name)] for name in named],
        "documents": commit.working_copy and commit.path is not None,
        "relabelled": commit.relabelled,
        "renumbered": commit.renumbered,
        "removed": removed,
        "undoes": undoes,
        "labels": [*given_up(repository, commit.labels), *map(list, otherwise)],
    }


def _note_indexes(repository: Repository, commit: Commit) -> None:
    indexes = repository.indexes()
    if indexes is not None:
        commit.state = {**commit.state, "indexes": indexes}


def _branches_moved(hold: Hold, commit: Commit) -> list[list[Any]]:
    named = [*commit.branches, *commit.dropped_branches]
    tips = hold.repository.branches.all() if named else {}
    moves = [[name, tips.get(name), commit.branches.get(name)] for name in named]
    return [move for move in moves if move[1] != move[2]]


def user() -> str:
    """Return the name of whoever runs this process, empty where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name
        return ""
