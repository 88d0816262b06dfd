"""stash, stashes, stash_apply, stash_discard: changes set aside, and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import bson
from bson.objectid import ObjectId

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.merging import MergePolicy
from versioned_collection.core.portions import portions
from versioned_collection.core.revision import check_name
from versioned_collection.core.times import utc_text
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidArgument, InvalidOperation, InvalidType
from versioned_collection.history.facts import check_said
from versioned_collection.merges.unstashing import Unstashing, clear_away, without_stash
from versioned_collection.observing import Progress
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata, with_stashes
from versioned_collection.working.recovery import holding
from versioned_collection.working.setting_aside import set_aside
from versioned_collection.working.spare import Aside
from versioned_collection.working.working_copy import WorkingCopy

_LARGEST_LIST = 1 << 20
"""Bytes of all headers; they are part of the one document that every verb reads and writes."""


@dataclass(frozen=True, slots=True)
class Stash:
    """Uncommitted changes that were set aside.

    Attributes:
        index: Its place, 0 for the latest.
        name: Its name, None where it has none.
        message: What was said about it, None for nothing.
        head: The id of the version whose documents were changed; it may be gone by now.
        branch: The branch that was checked out.
        created: When (UTC, server's clock).
        documents: How many documents it changes.
        id: Its identity, which the others do not share, whatever comes and goes.
    """

    index: int
    name: str | None
    message: str | None
    head: VersionId
    branch: str | None
    created: datetime
    documents: int
    id: ObjectId

    def __str__(self) -> str:
        when = utc_text(self.created)
        named = "" if self.name is None else f" {self.name}"
        said = "" if self.message is None else f": {self.message}"
        place = "" if self.branch is None else f" on {self.branch}"
        return f"{self.index}{named} {when}{place}, {self.documents} documents{said}"


Which = int | str | Stash | None
"""A stash by its index, by its name, or as `stashes` returned it; None means the latest."""


def stash(
    repository: Repository,
    overwrite: bool = False,
    name: str | None = None,
    push: bool = False,
    message: str | None = None,
    progress: Progress | None = None,
) -> bool:
    """Set uncommitted changes aside.

    Returns:
        Whether there were any.

    Raises:
        InvalidOperation: There are changes and a stash already, and neither `overwrite` nor
            `push` nor a name is given; or there are too many.
        InvalidArgument: The name is malformed or taken, or `push` goes with `overwrite`.
        InvalidType: `name` or `message` is no text.
        WorkingCopyChanged: Other clients write to few documents all the time; nothing was done.
        DocumentRejected: The server refuses a document of HEAD; everything is as before, or the
            latest stash has what could not go back where it was.
    """
    _check_words(name, message)
    if push and overwrite:
        raise InvalidArgument("overwrite replaces a stash and push adds one: give one of them")
    with holding(repository, "stash") as hold:
        state = hold.state
        replaced = _replaced(state, overwrite, name, push)
        copy = WorkingCopy(hold)
        if replaced is not None and not overwrite:
            _refuse_changes(copy)
            return False
        aside = Aside(hold, name, message)
        stashes = [one for one in state.stashes if one is not replaced] + [aside.header]
        _check_size(stashes)
        aside.begin()
        commit = Commit(state=with_stashes(stashes))
        if not set_aside(hold, copy, commit, Committer(hold, progress), aside):
            hold.update({"intent": None})
            return False
        if replaced is not None:
            repository.stash.delete([replaced["id"]])
        return True


def _check_words(name: Any, message: Any) -> None:
    check_said(message, None, None)
    if name is None:
        return
    if not isinstance(name, str):
        raise InvalidType(f"name is a text, not {type(name).__name__}", argument="name")
    check_name(name, "stash")
    if name.isdecimal():
        raise InvalidArgument(f"{name!r} would be read as the place of a stash", name=name)


def _replaced(
    state: Metadata, overwrite: bool, name: str | None, push: bool
) -> Mapping[str, Any] | None:
    """Return the stash whose place the new one wants, None where the new one is added."""
    if name is not None:
        taken = [header for header in state.stashes if header.get("name") == name]
        if taken and not overwrite:
            raise InvalidArgument(
                f"there is a stash {name!r} already; choose another name, apply or discard it, "
                "or pass overwrite=True",
                name=name,
            )
        return taken[0] if taken else None
    return None if push or not state.stashes else state.stashes[-1]


def _refuse_changes(copy: WorkingCopy) -> None:
    """Refuse to replace a stash unasked, which only something to stash would do.

    Raises:
        InvalidOperation: There are uncommitted changes.
    """
    if copy.has_changes():
        copy.persist()
        raise InvalidOperation(
            "there is a stash already; apply or discard it, pass overwrite=True, or give the "
            "new one a name or push=True to keep both"
        )
    copy.settle_unchanged()


def _check_size(stashes: list[Any]) -> None:
    try:
        size = len(bson.encode({"stashes": stashes}))
    except (bson.errors.BSONError, ValueError) as error:
        raise InvalidArgument(f"BSON cannot hold the name or message: {error}") from error
    if size > _LARGEST_LIST:
        raise InvalidOperation(
            f"names and messages of all stashes take {size} bytes, at most {_LARGEST_LIST} are "
            "kept; say less, or apply or discard some first",
            bytes=size,
        )


def stashes(repository: Repository) -> list[Stash]:
    """Return what is set aside, the latest first."""
    headers = repository.state().stashes[::-1]
    return [_public(repository, place, header) for place, header in enumerate(headers)]


def _public(repository: Repository, place: int, header: Mapping[str, Any]) -> Stash:
    count = header.get("documents")
    return Stash(
        place,
        header.get("name"),
        header.get("message"),
        header["head"],
        header.get("branch"),
        repository.codec.time(header["created"]),
        repository.stash.count(header["id"]) if count is None else count,
        header["id"],
    )


def stash_apply(
    repository: Repository,
    which: Which = None,
    drop: bool = True,
    policy: MergePolicy | None = None,
    progress: Progress | None = None,
) -> bool:
    """Bring stashed changes back.

    Args:
        repository: The trackers.
        which: The stash.
        drop: Whether the stash goes.
        policy: How to merge it with what the documents are now; None overwrites them.
        progress: Told how many documents were written.

    Returns:
        Whether there was a stash.

    Raises:
        InvalidOperation: There are uncommitted changes, which only a merge goes with.
        InvalidArgument: There is no such stash.
        AutoMergeFailedError: Conflicts wait for decisions.
        WorkingCopyChanged: Another client wrote to one of few documents; nothing was done.
        DocumentRejected: The server refuses a document; everything is as before.
    """
    _check_which(which)
    with holding(repository, "stash_apply") as hold:
        header = _found(hold.state, which)
        if header is None:
            return False
        if policy is not None:
            Unstashing(hold, header, drop, progress).run(policy)
            return True
        copy = WorkingCopy(hold)
        copy.require_clean()
        stash_id = header["id"]
        # the documents brought back are uncommitted: note them before they are written
        for batch in portions(repository.stash.of_version(stash_id), lambda _: 1, 2_000, 2_000):
            repository.modified.add([delta.key for delta in batch])
        commit = Commit(state=without_stash(hold.state, stash_id) if drop else {})
        Committer(hold, progress).bring_back(commit, stash_id)
        if drop:
            clear_away(hold, [stash_id])
        return True


def stash_discard(repository: Repository, which: Which = None) -> bool:
    """Drop a stash; return whether there was one.

    Raises:
        InvalidArgument: There is no such stash.
        InvalidOperation: Its conflicts wait for decisions.
    """
    _check_which(which)
    with holding(repository, "stash_discard") as hold:
        header = _found(hold.state, which)
        if header is None:
            return False
        merge = hold.state.merge
        if merge is not None and merge.get("stash") == header["id"]:
            raise InvalidOperation(
                "conflicts of this stash wait: settle them, or take it out again with "
                "abort_merge(), then discard it",
                merge=merge["id"],
            )
        hold.update(without_stash(hold.state, header["id"]))
        repository.stash.delete([header["id"]])
        return True


def _check_which(which: Any) -> None:
    if which is not None and (isinstance(which, bool) or not isinstance(which, (int, str, Stash))):
        raise InvalidType(
            f"name a stash by its index or its name, not by {type(which).__name__}",
            argument="which",
        )


def _found(state: Metadata, which: Which) -> Mapping[str, Any] | None:
    headers = state.stashes[::-1]
    if which is None:
        return headers[0] if headers else None
    if isinstance(which, int):
        found = headers[which : which + 1] if which >= 0 else ()
    elif isinstance(which, Stash):
        found = tuple(header for header in headers if header["id"] == which.id)
    else:
        found = tuple(header for header in headers if header.get("name") == which)
    if not found:
        raise InvalidArgument(
            f"there is no stash {getattr(which, 'name', which)!r}; stashes() lists them",
            stash=getattr(which, "id", which),
        )
    return found[0]
