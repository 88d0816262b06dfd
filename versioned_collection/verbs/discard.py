"""discard_changes: back to HEAD."""

from __future__ import annotations

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.observing import Progress
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.setting_aside import set_aside
from versioned_collection.working.working_copy import WorkingCopy


def discard_changes(repository: Repository, progress: Progress | None = None) -> int:
    """Bring the documents back to HEAD.

    In steps, a change that another client makes while this runs is kept, and shows as modified.

    Returns:
        The number of documents that were brought back.

    Raises:
        WorkingCopyChanged: Other clients write to few documents all the time; nothing was done.
    """
    with holding(repository, "discard_changes") as hold:
        copy = WorkingCopy(hold)
        return set_aside(hold, copy, Commit(), Committer(hold, progress))
