"""undo and reflog: what moved HEAD, branches and tags, and back again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.elsewhere import renamed_elsewhere
from versioned_collection.committing.operations import LASTING, Operation, describe
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import moves_along
from versioned_collection.errors import InvalidOperation
from versioned_collection.history.labels import given_back
from versioned_collection.history.versions import entry_of, holder_of
from versioned_collection.merges.joining import carry_out
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.setting_aside import keep_as_modified
from versioned_collection.working.working_copy import WorkingCopy

_PLACE = ("head", "detached")


def reflog(repository: Repository) -> Iterator[Operation]:
    """Iterate over what moved HEAD, branches and tags, the latest first."""
    repository.state()
    codec = repository.codec
    yield from repository.operations.newest_first(
        lambda stored: Operation.from_bson(
            {**stored, "timestamp": codec.time(stored["timestamp"])}
        )
    )


def undo(repository: Repository, progress: Progress | None = None) -> Operation:
    """Take the latest operation that is not undone yet back.

    Where the documents moved with HEAD they move back; where they did not, as with
    ``register``, they stay, and what was recorded shows as uncommitted changes. HEAD comes back
    detached where its branch is elsewhere by now, or gone.

    Returns:
        The operation that was undone.

    Raises:
        InvalidOperation: There is none, it removed versions for good, the documents have
            uncommitted changes in the way, or another working copy has checked out what it moved,
            or has moved it since, or has given a name that would come back to something else.
    """
    with holding(repository, "undo") as hold:
        operation = _latest(repository)
        tips = repository.branches.all()
        _check(hold, operation, tips)
        commit = _reverse(hold, operation, tips)
        source, target = hold.state.head, commit.state.get("head", hold.state.head)
        if source != target:
            commit.path = repository.log.ancestry().path(source, target)
        if commit.path is not None and operation.documents:
            copy = WorkingCopy(hold)
            copy.require_clean()
            commit.state.update(copy.noticed.position())
            path = commit.path
            describe(hold, commit, operation.id)
            carry_out(hold, commit, lambda: moves_along(repository, path), progress)
            return operation
        if commit.path is not None:
            commit.working_copy = False
            keep_as_modified(hold, commit.path)
        describe(hold, commit, operation.id)
        committer = Committer(hold, progress)
        if commit.path is None:
            committer.references(commit)
        else:
            committer.declare(commit)
            committer.complete(commit)
        return operation


def _latest(repository: Repository) -> Operation:
    undone = set()
    for operation in reflog(repository):
        if operation.undoes is not None:
            undone.add(operation.undoes)
        elif operation.id not in undone and operation.verb not in LASTING:
            return operation
    raise InvalidOperation("there is nothing to undo; reflog() lists what was done")


def _check(hold: Hold, operation: Operation, tips: Mapping[str, VersionId]) -> None:
    if operation.removed:
        raise InvalidOperation(
            f"{operation.verb} removed versions for good, which cannot be undone",
            operation=operation.id,
        )
    repository = hold.repository
    _refuse_moved(hold, operation, tips)
    _refuse_other_tags(repository, operation)
    _refuse_taken(repository, operation)
    if operation.relabelled and repository.log.last_number(operation.relabelled[0]) >= 0:
        raise InvalidOperation(
            f"there are versions labelled {operation.relabelled[0]!r} again, so the branch cannot "
            "have that name back",
            operation=operation.id,
        )
    needed: list[VersionId] = [operation.before["head"]] if _moved_head(operation) else []
    needed += [before for before, _ in operation.branches.values() if before is not None]
    needed += [before["version"] for before, _ in operation.tags.values() if before is not None]
    known = repository.log.among(needed)
    if not known.issuperset(needed):
        raise InvalidOperation(
            f"a version that {operation.verb} left is not in the log any more",
            operation=operation.id,
        )


def _refuse_moved(hold: Hold, operation: Operation, tips: Mapping[str, VersionId]) -> None:
    """Refuse to put back what is not where the operation left it.

    Raises:
        InvalidOperation: HEAD or a branch is not.
    """
    # not by its branch, which another working copy may have renamed
    is_there = all(getattr(hold.state, fact) == operation.after[fact] for fact in _PLACE)
    has_left = _moved_head(operation) and not is_there
    if has_left or any(tips.get(name) != tip for name, (_, tip) in operation.branches.items()):
        raise InvalidOperation(
            f"HEAD or a branch is not where {operation.verb} left it, so it cannot be undone: "
            "another working copy or a push has moved or renamed it since; checkout() and reset() "
            "go to any version",
            operation=operation.id,
        )


def _moved_head(operation: Operation) -> bool:
    """Tell whether HEAD had a part; while a merge waits it is where no operation has left it."""
    return operation.before != operation.after


def _refuse_other_tags(repository: Repository, operation: Operation) -> None:
    """Refuse to take a tag back that was given anew, or deleted, in another working copy.

    Raises:
        InvalidOperation: There is one.
    """
    tags = repository.tags.documents() if operation.tags else {}
    for name, (_, after) in operation.tags.items():
        if _facts(tags.get(name)) != _facts(after):
            raise InvalidOperation(
                f"the tag {name!r} is not as {operation.verb} left it, so it cannot be undone",
                operation=operation.id,
                tag=name,
            )


def _refuse_taken(repository: Repository, operation: Operation) -> None:
    """Refuse to bring a name back that something else has by now.

    Raises:
        InvalidOperation: There is one.
    """
    for names in (operation.branches, operation.tags):
        for name, (before, after) in names.items():
            if before is None or after is not None:
                continue
            taken = holder_of(repository, name)
            # a tag may be named like a branch of a remote
            if taken == "branch" or (taken and names is operation.branches):
                raise InvalidOperation(
                    f"there is a {taken} {name!r} by now, so {operation.verb} cannot be undone; "
                    f"remove the {taken} or give it another name first",
                    operation=operation.id,
                    name=name,
                )


def _facts(tag: Mapping[str, Any] | None) -> list[Any] | None:
    """Return what a tag says, however it is stored."""
    return None if tag is None else [tag[fact] for fact in ("version", "message", "timestamp")]


def _reverse(hold: Hold, operation: Operation, tips: Mapping[str, VersionId]) -> Commit:
    """Return the commit that puts names and HEAD back, without documents."""
    commit = Commit(state=dict(operation.before) if _moved_head(operation) else {})
    for name, (before, _) in operation.branches.items():
        if before is None:
            commit.dropped_branches.append(name)
        else:
            commit.branches[name] = before
    _detach_off_tips(hold.repository, commit, tips)
    for name, (before, _) in operation.tags.items():
        if before is None:
            commit.untagged.append(name)
        else:
            commit.tagged[name] = before
    if operation.relabelled:
        commit.relabelled = list(operation.relabelled[::-1])
        commit.renumbered = -operation.renumbered
        commit.elsewhere = renamed_elsewhere(hold, *commit.relabelled)
        commit.state["labels"] = ObjectId()
    if operation.labels:
        commit.labels = given_back(
            hold.repository, [[version, *label] for version, label in operation.labels.items()]
        )
        commit.state["labels"] = ObjectId()
    return commit


def _detach_off_tips(
    repository: Repository, commit: Commit, tips: Mapping[str, VersionId]
) -> None:
    """Have HEAD come back detached where its branch is elsewhere, or gone.

    Another working copy may have moved, renamed or deleted it since; the next version would take
    what it recorded off the branch.
    """
    state = commit.state
    if state.get("detached", True):
        return
    tips = {**tips, **commit.branches}
    if state["branch"] in commit.dropped_branches or tips.get(state["branch"]) != state["head"]:
        state |= {"detached": True, "branch": entry_of(repository, state["head"]).branch}
