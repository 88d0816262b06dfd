"""register: record the present documents as the next version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import chain
from typing import Any

from versioned_collection.committing.checking import run_checks
from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.merging import DEFAULT_POLICY
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.core.revision import check_name, check_text
from versioned_collection.core.tree import Path
from versioned_collection.core.version import Version
from versioned_collection.documents.moves import Move
from versioned_collection.driver.pipeline import prefetch
from versioned_collection.errors import (
    InvalidArgument,
    InvalidOperation,
    InvalidType,
    LeaseLost,
)
from versioned_collection.history.facts import check_said
from versioned_collection.history.labels import Labels, joined, stamp
from versioned_collection.history.spanning import extend_spans
from versioned_collection.history.versions import entry_of, refuse_taken
from versioned_collection.merges.rebase_plan import Plan, waiting, without_step
from versioned_collection.merges.rebasing import Rebasing, describe_all
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.entries import entry_to_bson
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.working.recording import Facts, Recording
from versioned_collection.working.recovery import holding
from versioned_collection.working.selection import Chosen, Selection
from versioned_collection.working.working_copy import Change, Overtaken, WorkingCopy


def register(
    repository: Repository,
    message: str | None = None,
    branch_name: str | None = None,
    author: str | Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    only: Chosen | None = None,
) -> Version | None:
    """Record the present documents, or some of their changes.

    Where a rebase waits, the version that conflicted is recorded, and those after it are made
    again.

    Returns:
        The new version, None when nothing (that is chosen) changed; the new tip of the branch
        once a rebase is complete.

    Raises:
        AutoMergeFailedError: Another version of a rebase makes conflicts.
        InvalidType: There is no message, and no merge that has one; or `branch_name` is no text.
        InvalidArgument: HEAD is detached and `branch_name` is missing, taken or malformed.
        CheckFailed: A check fails.
        DocumentRejected: A document and its ``_id``, once more, take more than 16 MB.
        InvalidOperation: Conflicts wait for resolution, or a merge is to be registered in part.
    """
    check_said(message, author, metadata)
    if branch_name is not None:
        check_text(branch_name)
    with holding(repository, "register") as hold:
        branch = _branch(repository, hold.state, branch_name)
        if repository.has_conflicts(hold.state):
            raise InvalidOperation(
                "conflicts wait for decisions: conflicts() lists them, resolve_conflict() or "
                "resolve_conflicts() settles them, then register() records the outcome; "
                "abort_merge() takes everything back"
            )
        if only is not None and hold.state.merge is not None:
            raise InvalidOperation(
                "a merge is registered as a whole: register() without `only`, or abort_merge() "
                "first",
                merge=hold.state.merge["id"],
            )
        facts = _facts(hold.state, branch, message, author, metadata)
        if waiting(hold.state) is not None and only is None:
            return _go_on(hold, facts, progress)
        if only is not None:
            version = _record_part(hold, only, facts, progress)
        else:
            version = _record_all(hold, facts, progress)
        if version is not None:
            extend_spans(hold, version)
        return version


def _go_on(hold: Hold, facts: Facts, progress: Progress | None) -> Version:
    """Record the version at which a rebase stopped, and make the others again."""
    note = hold.state.merge or {}
    if note.get("theirs") is not None:
        version = _record_all(hold, facts, progress)
        if version is None:  # all conflicts were settled for what is there already
            hold.update({"merge": without_step(note)})
        hold.refresh()
    plan = waiting(hold.state)
    if plan is None:
        return entry_of(hold.repository, hold.state.head)
    return Rebasing(hold, plan, hold.state.head, {}, progress).run(DEFAULT_POLICY)


def _record_all(hold: Hold, facts: Facts, progress: Progress | None) -> Version | None:
    copy = WorkingCopy(hold, eager=True)
    with suppress(Overtaken):
        return _record(hold, copy, facts, progress)
    return _record(hold, copy, facts, progress)


def _branch(repository: Repository, state: Metadata, wanted: str | None) -> str:
    plan = waiting(state)
    if plan is not None:
        return plan.branch
    if not state.detached:
        return state.branch
    if wanted is None:
        raise InvalidArgument(
            "HEAD is detached: name the new branch, register(message, branch_name=...), or "
            "check out a branch first"
        )
    check_name(wanted)
    refuse_taken(repository, wanted)
    return wanted


def _facts(
    state: Metadata,
    branch: str,
    message: str | None,
    author: Any,
    metadata: Mapping[str, Any] | None,
) -> Facts:
    """Return what the version says; a merge that waits has its own words already."""
    merge = state.merge or {}
    message = merge.get("message") if message is None else message
    if message is None:
        raise InvalidType("message is a text that says what changed and why", argument="message")
    author = merge.get("author") if author is None else author
    return Facts(branch, message, author, {**merge.get("metadata", {}), **(metadata or {})})


def _record(
    hold: Hold, copy: WorkingCopy, facts: Facts, progress: Progress | None
) -> Version | None:
    with closing(prefetch(copy.changes())) as changes:
        first = next(changes, None)
        if first is None and not _is_version_anyway(hold.state):
            copy.settle_unchanged()
            return None
        run_checks(hold.repository, at=copy.noticed.at)
        found = changes if first is None else chain((first,), changes)
        version = _make(hold, copy, found, facts, progress)
    copy.forget()
    return version


def _is_version_anyway(state: Metadata) -> bool:
    """Tell whether a version is made though no document changed: a merge says what it joined."""
    return bool(state.merge and (state.merge["parents"] or waiting(state) is None))


def _record_part(
    hold: Hold, only: Chosen, facts: Facts, progress: Progress | None
) -> Version | None:
    """Record the chosen changes; the others are noted before the look counts as seen."""
    copy, repository = WorkingCopy(hold), hold.repository
    selection = Selection(hold, copy, only)
    repository.modified.add(copy.noticed.keys)
    with closing(prefetch(selection.of(copy.changes(note=True)))) as changes:
        first = next(changes, None)
        if first is None:
            copy.persist()
            return None
        version = _make(hold, copy, chain((first,), changes), facts, progress, part=True)
    if only.patterns is None:
        _forget_recorded(hold, version)
    repository.journal.remove(copy.noticed.settled)
    return version


def _forget_recorded(hold: Hold, version: Version) -> None:
    """Drop the ids of documents that are now as they were recorded, as far as noticed."""
    repository = hold.repository
    deltas = repository.deltas.of_version(version.id)
    recorded = portions((delta.key for delta in deltas), len, IDS_PER_READ, BYTES_OF_IDS)
    with suppress(LeaseLost):  # then whoever took over finds that they do not differ
        repository.modified.remove(recorded, hold.lease.check)


def _make(
    hold: Hold,
    copy: WorkingCopy,
    changes: Iterable[list[Change]],
    facts: Facts,
    progress: Progress | None,
    *,
    part: bool = False,
) -> Version:
    recording = Recording(hold, progress)
    recording.begin()
    commit = Commit(path=Path((), (recording.id,)), working_copy=False)
    if part:  # no other collection holds what the version will
        commit.checked = "replica"
        commit.private_checks = bool(hold.repository.own_checks)
    unrecorded = iter(changes)
    made: list[Version] = []

    def moves() -> prefetch[list[Move]]:
        found = recording.moves(unrecorded, copy.wait_until_noticed)
        with ExitStack() as stack:  # they are computed while changes are still being noticed
            ahead = stack.enter_context(closing(prefetch(found)))
            copy.wait_until_noticed()
            stack.pop_all()
        return ahead

    def complete() -> None:
        if not made:
            recording.append(unrecorded, copy.wait_until_noticed)
            made.append(_completed(hold, commit, copy, recording, facts))

    Committer(hold, progress).carry_out(commit, moves, completed=complete)
    return made[0]


def _parents(hold: Hold) -> list[Version]:
    merge = hold.state.merge or {}
    return [entry_of(hold.repository, one) for one in (hold.state.head, *merge.get("parents", ()))]


def _completed(
    hold: Hold, commit: Commit, copy: WorkingCopy, recording: Recording, facts: Facts
) -> Version:
    """Complete the commit with the version, once all its changes are recorded."""
    plan, parents = waiting(hold.state), _parents(hold)
    labels, number = _labels(hold, plan, facts.branch, parents)
    version = recording.version(facts, parents, number)
    commit.state = {
        "head": version.id,
        "branch": version.branch,
        "detached": False,
        "merge": None,
        **copy.noticed.position(),
    }
    commit.log = [entry_to_bson(version)]
    if plan is not None and plan.todo:  # the branch stays until all is done
        commit.state |= {"detached": True, "merge": without_step(hold.state.merge or {})}
        commit.operation = {}
        return version
    commit.branches = {version.branch: version.id}
    commit.labels = labels
    commit.state |= stamp(labels)
    if plan is not None:
        describe_all(hold, commit, plan)
    return version


def _labels(
    hold: Hold, plan: Plan | None, branch: str, parents: Sequence[Version]
) -> tuple[Labels, int]:
    """Return the labels that change with a version, and its number."""
    repository = hold.repository
    if plan is not None:
        return plan.labels(repository)
    new = [parent.id for parent in parents[0 if hold.state.detached else 1 :]]
    return joined(repository, repository.log.ancestry(), branch, *new)
