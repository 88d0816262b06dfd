"""Looking on: what differs from HEAD, found by those who may read and not write.

A verb that only looks takes the lease, so that what it notices is kept for the next look. Where
the user may not write that, the same is found out at one moment, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bson.timestamp import Timestamp

from versioned_collection.errors import PermissionDenied
from versioned_collection.observing import observed
from versioned_collection.past.moment import look
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.refusals import not_tracked
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import (
    Change,
    Turns,
    WorkingCopy,
    compare_everything,
    compare_noticed,
)


class Onlooker:
    """What stands in for a `Hold`, and for its `WorkingCopy`.

    Attributes:
        repository: The trackers.
        at: The cluster time that is looked at.
        state: The state of the working copy at that time.
    """

    def __init__(self, repository: Repository) -> None:
        moment = look(repository)
        state = repository.metadata.read(moment.at)
        if state is None:
            raise not_tracked(repository.name)
        self.repository = repository
        self.at: Timestamp = moment.at
        self.state = state
        self._modified = moment.modified

    def changes(self, note: bool = False) -> Iterator[list[Change]]:
        """Iterate over the documents that differ from HEAD, a bounded list at a time.

        Args:
            note: Of no meaning here, as nothing is kept.
        """
        if self._modified is None:
            found = compare_everything(self.repository, self.at, self.at, head=self.state.head)
        else:
            keys, turns = sorted(self._modified), Turns(self.repository)
            found = compare_noticed(self.repository, keys, turns, self.at, self.at)
        return filter(None, found)

    def has_changes(self) -> bool:
        """Tell whether any document differs from HEAD."""
        return next(self.changes(), None) is not None

    def persist(self) -> None:
        """Keep nothing."""

    def settle_unchanged(self) -> None:
        """Keep nothing."""


@contextmanager
def looking(repository: Repository, verb: str) -> Iterator[Hold | Onlooker]:
    """Hold the lease for a verb that only looks, or go without where the user may not take it.

    Raises:
        CollectionNotTracked: There is no history.
        LeaseHeld: Another process kept the lease for longer than we wait.
        PermissionDenied: The user may not take it, and the server cannot read a moment.
        SnapshotUnavailable: There is no lease, and the documents were on the move all the time.
    """
    with observed(verb, repository), ExitStack() as stack:  # one verb, also without the lease
        hold: Hold | Onlooker
        try:
            hold = stack.enter_context(holding(repository, verb))
        except PermissionDenied:
            if not repository.has_transactions:
                raise
            hold = Onlooker(repository)
        yield hold


def sight(hold: Hold | Onlooker) -> WorkingCopy | Onlooker:
    """Return the collection as the verb finds it."""
    return hold if isinstance(hold, Onlooker) else WorkingCopy(hold)


def replica_time(hold: Hold | Onlooker) -> Timestamp | None:
    """Return the cluster time at which the replica is at HEAD, None for the present."""
    return hold.at if isinstance(hold, Onlooker) else None
