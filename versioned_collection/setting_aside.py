"""Taking uncommitted changes out of the collection: the common part of discard and stash."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pymongo import errors as driver

from versioned_collection.commit import Commit
from versioned_collection.committer import Committer
from versioned_collection.core.document import document_hash
from versioned_collection.moves import is_small
from versioned_collection.repository import Hold
from versioned_collection.targets import Target
from versioned_collection.wire import translated
from versioned_collection.working_copy import Change, WorkingCopy

_OPTIONS_OF_CREATE = ("collation", "validator", "validationLevel", "validationAction")


def set_aside(
    hold: Hold,
    copy: WorkingCopy,
    commit: Commit,
    committer: Committer,
    visit: Callable[[list[Change]], None] = lambda changes: None,
) -> int:
    """Bring changed documents back to HEAD, together with a commit.

    Args:
        hold: The lease.
        copy: The look at the working copy.
        commit: What else becomes true.
        committer: Carries it out.
        visit: Called with each list of changes before anything is written.

    Returns:
        The number of documents that were changed.
    """
    if _ensure_collection(hold):
        copy.look_again()  # the earlier look's time is before the collection came to be
    count = size = 0
    small: list[Target] | None = [] if hold.repository.has_transactions else None
    for batch in copy.changes():
        visit(batch)
        count += len(batch)
        size += sum(len(change.old or b"") for change in batch)
        targets = [_back(change) for change in batch]
        hold.repository.modified.note_seen({t.key: t.before for t in targets if small is None})
        if small is not None:
            small += targets
            if not is_small(count, size):
                hold.repository.modified.note_seen({t.key: t.before for t in small})
                small = None
    if not count:
        copy.settle_unchanged()
        return 0
    _carry_out(copy, commit, committer, small)
    return count


def _carry_out(
    copy: WorkingCopy, commit: Commit, committer: Committer, small: list[Target] | None
) -> None:
    commit.state = {**commit.state, **copy.noticed.position()}
    if small is not None:
        committer.at_once(commit, targets=small, keep=True)
    else:
        commit.restore = True
        committer.declare(commit)
        committer.complete(commit)
    copy.forget()
    copy.repository.modified.add(committer.kept)


def _back(change: Change) -> Target:
    seen = None if change.new is None else document_hash(change.new)
    recorded = None if change.old is None else document_hash(change.old)
    return Target(change.key, seen, change.old, recorded)


def _ensure_collection(hold: Hold) -> bool:
    """Create the collection again, with its options, where another client dropped it.

    Returns:
        Whether it was missing.
    """
    repository = hold.repository
    if repository.collection_info() is not None:
        return False
    options = {
        name: value for name, value in hold.state.options.items() if name in _OPTIONS_OF_CREATE
    }
    with translated(), suppress(driver.CollectionInvalid):  # another client was faster
        repository.db.create_collection(repository.name, check_exists=False, **options)
    return True
