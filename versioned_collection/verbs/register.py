"""register: record the present documents as the next version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from itertools import chain
from typing import Any, NamedTuple

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer, Progress
from versioned_collection.core.delta import Delta, compare, hash_number
from versioned_collection.core.revision import check_name
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version, VersionId
from versioned_collection.eager import EagerReplica
from versioned_collection.errors import InvalidArgument, InvalidOperation
from versioned_collection.moves import Move
from versioned_collection.pipeline import Behind, prefetch
from versioned_collection.recovery import holding
from versioned_collection.repository import Hold, Repository, new_version_id
from versioned_collection.targets import Target
from versioned_collection.trackers.log import entry_to_bson
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.versions import check_texts, completed, entry_of, name_taken
from versioned_collection.working_copy import Change, Overtaken, WorkingCopy


def register(
    repository: Repository,
    message: str,
    branch_name: str | None = None,
    author: str | Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Version | None:
    """Record the present documents.

    Returns:
        The new version, None when nothing changed.

    Raises:
        InvalidArgument: HEAD is detached and `branch_name` is missing, taken or malformed.
        InvalidOperation: Conflicts wait for resolution.
    """
    check_texts(message, author, metadata)
    with holding(repository, "register") as hold:
        branch = _branch(repository, hold.state, branch_name)
        if not repository.conflicts.is_empty():
            raise InvalidOperation(
                "conflicts wait for resolution; resolve them before registering a version"
            )
        copy = WorkingCopy(hold, eager=True)
        facts = _Facts(branch, message, author, dict(metadata or {}))
        with suppress(Overtaken):
            return _record(hold, copy, facts, progress)
        return _record(hold, copy, facts, progress)


class _Facts(NamedTuple):
    """What the caller says about the new version."""

    branch: str
    message: str
    author: Any
    metadata: dict[str, Any]


def _record(
    hold: Hold, copy: WorkingCopy, facts: _Facts, progress: Progress | None
) -> Version | None:
    with closing(prefetch(copy.changes())) as changes:
        first = next(changes, None)
        if first is None:
            copy.settle_unchanged()
            return None
        return _Registration(hold, copy, progress).run(chain((first,), changes), facts)


def _branch(repository: Repository, state: Metadata, wanted: str | None) -> str:
    if not state.detached:
        return state.branch
    if wanted is None:
        raise InvalidArgument(
            "HEAD is detached: name the new branch, register(message, branch_name=...), or "
            "check out a branch first"
        )
    check_name(wanted)
    taken = name_taken(repository, wanted)
    if taken is not None:
        raise InvalidArgument(
            f"there is a {taken} {wanted!r} already; choose another name", branch=wanted
        )
    return wanted


class _Registration:
    """The steps of one register."""

    def __init__(self, hold: Hold, copy: WorkingCopy, progress: Progress | None) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._copy = copy
        self._progress = progress or (lambda phase, count: None)
        self._stats = {"inserted": 0, "updated": 0, "deleted": 0}
        self._content = 0
        self._digests: list[int] = []

    def run(self, changes: Iterator[list[Change]], facts: _Facts) -> Version:
        repository, head = self._repository, self._hold.state.head
        version_id = new_version_id()
        self._hold.begin({"phase": "prepare", "version": version_id})
        replica = EagerReplica(self._hold, self._copy.wait_until_noticed)
        try:
            self._append(version_id, changes, replica)
            parent = entry_of(repository, head)
            version = Version(
                version_id,
                repository.log.last_number(facts.branch) + 1,
                facts.branch,
                (head,),
                repository.now(),
                facts.message,
                facts.author,
                facts.metadata,
                self._stats,
            )
            content = (int(parent.fingerprint, 16) + self._content) % (1 << 256)
            version = completed(version, (parent,), sum(self._digests) % (1 << 256), content)
            self._commit(version, replica)
        except BaseException:
            replica.abandon()
            raise
        self._copy.forget()
        return version

    def _append(
        self, version: VersionId, changes: Iterator[list[Change]], replica: EagerReplica
    ) -> None:
        store = self._repository.deltas
        with Behind() as behind:
            behind.submit(self._copy.wait_until_noticed)
            for batch in changes:
                deltas = [self._counted(change) for change in batch]
                behind.submit(lambda d=deltas: self._digests.append(store.append(version, d)))  # type: ignore[misc]
                replica.add([_move(*pair) for pair in zip(deltas, batch, strict=True)])
                self._progress("recorded", len(batch))

    def _counted(self, change: Change) -> Delta:
        delta = compare(change.old, change.new)
        assert delta is not None
        self._stats[{"insert": "inserted", "update": "updated"}.get(delta.op, "deleted")] += 1
        self._content += hash_number(delta.after) - hash_number(delta.before)
        return delta

    def _commit(self, version: Version, replica: EagerReplica) -> None:
        commit = Commit(
            state={
                "head": version.id,
                "branch": version.branch,
                "detached": False,
                **self._copy.noticed.position(),
            },
            log=entry_to_bson(version),
            branches={version.branch: version.id},
            path=Path((), (version.id,)),
            working_copy=False,
        )
        if replica.open:
            replica.commit(commit)
            return
        committer = Committer(self._hold, self._progress)
        committer.declare(commit)
        committer.complete(commit)


def _move(delta: Delta, change: Change) -> Move:
    return Move(Target(delta.key, delta.before, change.new, delta.after), change.old)
