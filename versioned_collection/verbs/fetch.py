"""fetch: bring the history of a remote, and touch nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from versioned_collection.core.revision import check_text
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidOperation
from versioned_collection.observing import Progress, verb
from versioned_collection.remotes.fetching import carry_out_fetch, plan_fetch, seen
from versioned_collection.remotes.opening import RemoteLike, opened
from versioned_collection.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought, or would bring.

    Attributes:
        remote: The name by which the remote's branches are known here.
        versions: How many versions.
        branches: The branches that were seen elsewhere before: name to the tip then (None for
            a branch that is new) and now.
    """

    remote: str
    versions: int
    branches: dict[str, tuple[VersionId | None, VersionId]] = field(default_factory=dict)


@verb("fetch")
def fetch(
    repository: Repository,
    remote: RemoteLike = None,
    branch: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Fetched:
    """Bring the versions of a remote into the log, under ``remote/branch``.

    Raises:
        InvalidOperation: The remote is not tracked.
        BranchNotFound: It has no such branch (an InvalidOperation, too).
        InvalidCollectionState: The histories begin with different versions.
        HistoryPurged: One of the sides was purged.
        TransferRefused: What came is not what was announced.
        RemoteNotFound: There is no remote of that name.
        RemoteUnreachable: There is no connection to it, or it broke.
    """
    if branch is not None:
        check_text(branch)
    repository.state()
    with opened(repository, remote, progress) as (name, other):
        refs = other.refs()
        if refs is None:
            raise InvalidOperation(
                f"the collection at {other.address} is not tracked, so there is nothing to fetch; "
                "where nothing is there yet, push() makes it a copy of this one",
                address=other.address,
            )
        plan = plan_fetch(repository, other, refs, None if branch is None else [branch])
        known = repository.remotes.get(name)
        before: dict[str, Any] = {} if known is None else dict(known.tips)
        moved = {
            one: (before.get(one), tip)
            for one, tip in plan.branches.items()
            if before.get(one) != tip
        }
        if not dry_run:
            carry_out_fetch(repository, other, plan, seen(known, name, plan), progress)
        return Fetched(name, len(plan.nodes), moved)
