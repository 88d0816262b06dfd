"""stash, stash_apply, stash_discard: set uncommitted changes aside and bring them back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer, Progress, TooLarge, unstashed
from versioned_collection.core.delta import images
from versioned_collection.core.version import fingerprint_text
from versioned_collection.errors import InvalidOperation
from versioned_collection.recovery import holding
from versioned_collection.repository import Repository
from versioned_collection.setting_aside import set_aside
from versioned_collection.wire import portions
from versioned_collection.working_copy import Change, WorkingCopy


def stash(
    repository: Repository, overwrite: bool = False, progress: Progress | None = None
) -> bool:
    """Set uncommitted changes aside.

    Returns:
        Whether there were any.

    Raises:
        InvalidOperation: There is a stash already and `overwrite` is not set.
    """
    with holding(repository, "stash") as hold:
        old = hold.state.stash
        if old is not None and not overwrite:
            raise InvalidOperation(
                "there is a stash already; apply or discard it, or pass overwrite=True"
            )
        copy = WorkingCopy(hold)
        stash_id = ObjectId()
        hold.begin({"phase": "prepare", "stash": stash_id})

        def keep(changes: list[Change]) -> None:
            deltas = (images(change.old, change.new) for change in changes)
            digest = repository.stash.append(stash_id, [one for one in deltas if one is not None])
            total = (int(header["digest"], 16) + digest) % (1 << 256)
            header["digest"] = fingerprint_text(total)

        header: dict[str, Any] = {
            "id": stash_id,
            "head": hold.state.head,
            "created": repository.now(),
            "digest": fingerprint_text(0),
        }
        commit = Commit(state={"stash": header})
        if not set_aside(hold, copy, commit, Committer(hold, progress), keep):
            hold.update({"intent": None})
            return False
        if old is not None:
            repository.stash.delete([old["id"]])
        return True


def stash_apply(repository: Repository, progress: Progress | None = None) -> bool:
    """Bring the stashed changes back over the present documents, and drop the stash.

    Returns:
        Whether there was a stash.

    Raises:
        InvalidOperation: There are uncommitted changes.
    """
    with holding(repository, "stash_apply") as hold:
        header = hold.state.stash
        if header is None:
            return False
        copy = WorkingCopy(hold)
        copy.require_clean()
        stash_id = header["id"]
        # the documents brought back are uncommitted: note them before they are written
        for batch in portions(repository.stash.of_version(stash_id), lambda _: 1, 2_000, 2_000):
            repository.modified.add([delta.key for delta in batch])
        _bring_back(repository, stash_id, Committer(hold, progress))
        repository.stash.delete([stash_id])
        return True


def _bring_back(repository: Repository, stash_id: ObjectId, committer: Committer) -> None:
    commit = Commit(state={"stash": None})
    if repository.has_transactions:
        with suppress(TooLarge):
            committer.at_once(commit, unstashed(repository, stash_id))
            return
    commit.stash = stash_id
    committer.declare(commit)
    committer.complete(commit)


def stash_discard(repository: Repository) -> bool:
    """Drop the stash; return whether there was one."""
    with holding(repository, "stash_discard") as hold:
        header = hold.state.stash
        if header is None:
            return False
        hold.update({"stash": None})
        repository.stash.delete([header["id"]])
        return True
