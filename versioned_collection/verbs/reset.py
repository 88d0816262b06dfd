"""reset: put the current branch on another version."""

from __future__ import annotations

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.elsewhere import branches_elsewhere
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version
from versioned_collection.history.labels import stamp, taken_over
from versioned_collection.history.revisions import Resolver, RevisionLike, attachment
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.setting_aside import keep_as_modified, set_aside_and_move


def reset(
    repository: Repository,
    revision: RevisionLike,
    hard: bool = False,
    progress: Progress | None = None,
) -> Version:
    """Put the current branch, and HEAD, on another version.

    The documents stay as they are, so that what differs shows as uncommitted changes; with
    `hard` they become those of the version, and uncommitted changes are lost. Versions that
    no branch leads to any more stay in the log under their labels.

    Returns:
        The version.

    Raises:
        InvalidCollectionVersion: There is no such version.
        WorkingCopyChanged: Other clients write to few documents all the time; nothing was done.
    """
    with holding(repository, "reset") as hold:
        target = Resolver(repository, hold.state).resolve(revision)
        state = hold.state
        tree = repository.log.ancestry()
        path = tree.path(state.head, target)
        if state.detached:
            taken = branches_elsewhere(hold)
            commit = Commit(state=attachment(repository, state, target, taken=taken))
        else:
            labels = taken_over(repository, tree, state.branch, target)
            commit = Commit(
                state={"head": target, **stamp(labels)},
                branches={state.branch: target},
                labels=labels,
            )
        commit.path = path
        if hard:
            set_aside_and_move(hold, commit, progress)
        else:
            _without_documents(hold, commit, path, progress)
        return entry_of(repository, target)


def _without_documents(hold: Hold, commit: Commit, path: Path, progress: Progress | None) -> None:
    keep_as_modified(hold, path)
    commit.working_copy = False
    committer = Committer(hold, progress)
    committer.declare(commit)
    committer.complete(commit)
