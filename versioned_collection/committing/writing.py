"""What both ways of making a commit true share: writing its documents, and what is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pymongo.client_session import ClientSession

from versioned_collection.committing.checking import run_checks
from versioned_collection.committing.commit import Commit
from versioned_collection.committing.elsewhere import refuse_under_others
from versioned_collection.committing.operations import describe
from versioned_collection.core.document import DocumentKey
from versioned_collection.documents.moves import Move, move_replica
from versioned_collection.documents.targets import WorkingCopyWriter
from versioned_collection.observing import Progress, counted
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.metadata import OwnCommit, with_stashes

_log = logging.getLogger(__name__)

MOST_OWN_COMMITS = 200

MOST_ATTEMPTS = 10
"""Attempts at one transaction, before whoever is in the way is given time."""


class Writing:
    """Writes the documents of a commit under a lease.

    Args:
        hold: The lease.
        progress: Told how many documents were written.

    Attributes:
        hold: The lease.
        repository: What it is a lease of.
        progress: Told how many documents were written, and how many bytes they have.
        kept: Documents that another client changed, and that were left so.
        own: Commits of ours in the working copy that are not stored yet.
    """

    def __init__(self, hold: Hold, progress: Progress | None = None) -> None:
        self.hold = hold
        self.repository = hold.repository
        self.progress = counted(progress)
        self.kept: list[DocumentKey] = []
        self.own: list[OwnCommit] = []

    def write(
        self,
        batch: list[Move],
        commit: Commit,
        writer: WorkingCopyWriter,
        session: ClientSession | None,
    ) -> None:
        """Move a batch of documents, in the working copy and the replica as the commit says."""
        if commit.working_copy:
            writer.write([move.target for move in batch], session)
        if commit.replica:
            move_replica(self.repository, batch, session, self.hold.lease.check)

    def keep(self, writer: WorkingCopyWriter) -> None:
        """Note as changed what a writer left alone."""
        if writer.kept:
            verb, name, count = self.hold.verb, self.repository.name, len(writer.kept)
            _log.info(
                "%s of %s left %d documents as another client had just written them",
                verb,
                name,
                count,
                extra={"verb": verb, "collection": name, "documents": count},
            )
            self.repository.modified.add(writer.kept)
            self.kept += writer.kept
            writer.kept = []

    def without_overtaken(
        self, commit: Commit, writer: WorkingCopyWriter, session: ClientSession | None
    ) -> Commit:
        """Return a commit without decisions that were not written, as another client was faster.

        A merge of a stash ends with its last conflict, so it does not end then.
        """
        if not (commit.settled and writer.kept):
            return commit
        waiting = self.repository.conflicts.of_documents(commit.settled, writer.kept, session)
        settled = [one for one in commit.settled if one not in waiting]
        taken_out = [one for one in commit.taken_out if one not in waiting]
        ends = {"merge", *with_stashes(())}
        state = {name: value for name, value in commit.state.items() if name not in ends}
        return replace(commit, settled=settled, taken_out=taken_out, state=state)

    def note_own_writes(self) -> None:
        """Store the last commit, whose events in the change stream are ours."""
        self.remember_commit()
        if self.own:
            self.hold.update(self.noted(self.repository.state().own))
            self.own.clear()

    def noted(self, earlier: Iterable[OwnCommit] = ()) -> dict[str, Any]:
        """Return the field of the metadata that tells of our commits, if there are any."""
        if not self.own:
            return {}
        return {"own": [one.to_bson() for one in (*earlier, *self.own)][-MOST_OWN_COMMITS:]}

    def remember_commit(self) -> None:
        """Remember the last commit, to be stored with the next change of the metadata."""
        repository, session = self.repository, self.hold.session
        time = session.operation_time
        # in a sharded cluster the shards may have committed at different times
        if time is not None and repository.has_transactions and not repository.is_behind_mongos:
            self.own.append(OwnCommit(time, session.session_id["id"]))

    def check(self, commit: Commit, session: ClientSession | None) -> None:
        """Run the checks on what a commit has written.

        Raises:
            CheckFailed: One fails.
        """
        if commit.checked is not None:
            repository = self.repository
            names = {"collection": repository.name, "replica": repository.replica.name}
            run_checks(repository, name=names[commit.checked], session=session)


def judge(hold: Hold, commit: Commit) -> None:
    """Refuse a commit under other working copies, and note what it moves.

    Raises:
        InvalidOperation: It would take a branch or version from another working copy.
    """
    refuse_under_others(hold, commit)
    describe(hold, commit)


def size_of(batch: Sequence[Move]) -> int:
    """Return how many bytes documents have that are to be written."""
    return sum(len(move.target.raw or b"") for move in batch)
