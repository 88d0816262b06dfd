"""What is left of a rebase: the note of it in the metadata, and what that keeps others from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.tree import Ancestry
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.history.containing import containing
from versioned_collection.history.labels import (
    Labels,
    Meeting,
    adopted,
    following,
    joined,
    room_for,
)
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata

_REBASE = "rebase"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left of a rebase.

    Attributes:
        branch: The branch.
        tip: Its tip, on which it stays until all is done.
        onto: What its versions are to stand on.
        todo: The versions that have to be made again, the oldest first.
        remote: Whose branch they are brought together with, None where nobody's is.
        merges: Whether one version is to join both sides, instead.
        labels_before: Labels that were given up for those of the remote before it began.
    """

    branch: str
    tip: VersionId
    onto: VersionId
    todo: tuple[VersionId, ...]
    remote: str | None = None
    merges: bool = False
    labels_before: Labels = field(default_factory=list)

    @property
    def verb(self) -> str:
        """The verb that this is part of."""
        return _REBASE if self.remote is None else "pull"

    @property
    def before(self) -> dict[str, Any]:
        """HEAD as it was before."""
        return {"head": self.tip, "branch": self.branch, "detached": False}

    def note(self, done: int) -> dict[str, Any]:
        """Return what the metadata keeps of it once some more versions are done."""
        return {
            "branch": self.branch,
            "tip": self.tip,
            "onto": self.onto,
            "todo": list(self.todo[done:]),
            "remote": self.remote,
            "merges": self.merges,
            "labels": self.labels_before,
        }

    def labels(self, repository: Repository) -> tuple[Labels, int]:
        """Return the labels that change once it is over, and the number of a version to come."""
        tree = repository.log.tree()
        if self.remote is None:
            return joined(repository, tree, self.branch, self.onto)
        meeting = Meeting(self.remote, self.branch, self.tip, self.onto)
        labels = adopted(repository, tree, meeting)
        number = following(tree, meeting, labels)
        if not self.merges:  # some may enter the log long before those labels change
            return labels, max(number, repository.log.last_number(self.branch) + 1)
        return room_for(repository, (self.branch, number), labels), number


def waiting(state: Metadata) -> Plan | None:
    """Return the rebase that waits, None where there is none."""
    note = state.merge
    if note is None or "tip" not in note:
        return None
    todo = tuple(note["todo"])
    remote, merges, before = note.get("remote"), bool(note.get("merges")), note.get("labels", [])
    return Plan(note["branch"], note["tip"], note["onto"], todo, remote, merges, before)


def without_step(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return the note of a rebase whose present version is recorded, or left out."""
    return {**note, "theirs": None, "parents": []}


def refuse_rebased(state: Metadata, branch: str) -> None:
    """Refuse to take the name of a branch away from a rebase that waits.

    Raises:
        InvalidOperation: One of this branch does.
    """
    plan = waiting(state)
    if plan is not None and plan.branch == branch:
        refuse_waiting(state)


def refuse_waiting(state: Metadata) -> None:
    """Refuse what goes by the branch that is checked out, while a rebase of it waits.

    Raises:
        InvalidOperation: One does.
    """
    plan = waiting(state)
    if plan is not None:
        raise InvalidOperation(
            f"a {plan.verb} of {plan.branch!r} waits: settle its conflicts, then register() goes "
            "on with it, or abort_merge() takes it back",
            branch=plan.branch,
        )


def ended(plan: Plan, tip: VersionId) -> dict[str, Any]:
    """Return the fields of the metadata once a rebase is over."""
    return {"head": tip, "branch": plan.branch, "detached": False, "merge": None}


def to_do(
    repository: Repository, tree: Ancestry, head: VersionId, onto: VersionId
) -> tuple[VersionId, ...]:
    """Return the versions that have to be made again, the oldest first.

    Raises:
        InvalidOperation: One of them merged what would be there already.
    """
    contained = ancestors_of(containing(repository, tree, head, onto), onto)
    todo = tuple(takewhile(lambda one: one not in contained, tree.ancestors(head)))[::-1]
    if not todo:
        return ()
    base = tree.parent(todo[0])
    assert base is not None
    _refuse_joined(tree, todo, contained - ancestors_of(tree, base))
    return todo


def _refuse_joined(tree: Ancestry, todo: tuple[VersionId, ...], new: set[VersionId]) -> None:
    """Refuse merges of what would be there already: their changes would clash with it."""
    for version in todo:
        node = tree.nodes[version]
        if len(node.parents) > 1 and new & ancestors_of(tree, version):
            raise InvalidOperation(
                f"{node.label} merged a part of what you rebase onto, so its "
                "changes cannot be told from what is there; merge() the other version instead",
                version=version,
            )
