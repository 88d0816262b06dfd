"""What a verb works with while it holds the lease of a repository."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from bson.objectid import ObjectId
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from versioned_collection.errors import LeaseLost
from versioned_collection.observing import observed
from versioned_collection.repository.refusals import not_tracked
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import Tracker
from versioned_collection.trackers.lease import Lease
from versioned_collection.trackers.metadata import Metadata

_log = logging.getLogger(__name__)

T = TypeVar("T")

_TRANSACTION: dict[str, Any] = {
    "read_concern": ReadConcern("snapshot"),
    "write_concern": WriteConcern("majority"),
    "read_preference": ReadPreference.PRIMARY,
}
"""What a transaction goes by, whatever the client asks for."""


@contextmanager
def leased(repository: Repository, verb: str) -> Iterator[Hold]:
    """Hold the lease for a verb, in whatever state the collection is; see `recovery.holding`.

    Raises:
        LeaseHeld: Another process kept it for longer than we wait.
    """
    with (
        observed(verb, repository),
        repository.db.client.start_session(causal_consistency=False) as session,
    ):
        lease = repository.leases.acquire(
            verb, repository.lease_period, repository.lease_wait_seconds, session.session_id
        )
        try:
            lease.keep()
            yield Hold(repository, lease, session, verb)
        finally:
            lease.release()


class Hold:
    """What a verb works with while it holds the lease.

    Attributes:
        repository: The trackers.
        lease: The lease.
        session: The session of the verb's transactions.
        verb: The verb's name.
        others: The states of the other working copies, by their names.
    """

    def __init__(
        self, repository: Repository, lease: Lease, session: ClientSession, verb: str
    ) -> None:
        self.repository = repository
        self.lease = lease
        self.session = session
        self.verb = verb
        self.others: dict[str, Metadata] = {}
        self._state: Metadata | None = None

    @property
    def state(self) -> Metadata:
        """The state of the working copy, as of this verb's last look.

        Raises:
            CollectionNotTracked: There is none.
        """
        if self._state is None:
            raise not_tracked(self.repository.name)
        return self._state

    def enter(self) -> Metadata | None:
        """Shut out earlier owners, and read the state.

        Raises:
            LeaseLost: A later owner has done so before.
        """
        metadata, lease = self.repository.metadata, self.lease
        try:
            states = metadata.stamp(lease.token, lease.fence)
        except LeaseLost:
            if not lease.go_beyond(metadata.highest_fence()):
                raise
            states = metadata.stamp(lease.token, lease.fence)
        self._take(states)
        if self._state is not None and self.lease.inherited:
            self.repository.modified.renew()
            for name in self.others:
                self.repository.beside(name).modified.renew()
        return self._state

    def _take(self, states: dict[str, Metadata]) -> None:
        self._state = states.pop(self.repository.name, None)
        self.others = states

    def beside(self, name: str) -> Hold:
        """Return what to work with in another working copy."""
        other = Hold(self.repository.beside(name), self.lease, self.session, self.verb)
        other._take({**self.others, self.repository.name: self.state})
        return other

    def everywhere(self) -> list[Hold]:
        """Return what to work with in each working copy, this one first."""
        return [self, *map(self.beside, self.others)]

    def trackers(self) -> list[Tracker]:
        """Return the trackers of all working copies, each once."""
        own = (one for other in self.everywhere() for one in other.repository.own_trackers)
        return list({one.name: one for one in (*self.repository.trackers, *own)}.values())

    def refresh(self) -> None:
        """Read the states again after changes."""
        self._take(self.repository.metadata.read_all())

    def update(
        self,
        changes: Mapping[str, Any],
        session: ClientSession | None = None,
        of: str | None = None,
    ) -> None:
        """Change the state, or that of another working copy, if the lease is still ours.

        Raises:
            LeaseLost: It is not.
        """
        self.lease.check()
        self.repository.metadata.update(self.lease.token, changes, session, of)

    def touch(self, session: ClientSession | None) -> None:
        """Make a transaction fail if another owner has taken over, or does so meanwhile."""
        self.update({"progress": ObjectId()}, session)

    def confirm(self) -> None:
        """Make sure that what was read until now was read while the lease was ours.

        Whoever takes away what nobody needs does so before: a late owner would find what a later
        one is about to make, and take that for garbage.

        Raises:
            LeaseLost: It is not ours any more.
        """
        self.update({})

    def begin(self, intent: Mapping[str, Any]) -> None:
        """Note what is about to be done, for whoever has to clean up or complete it."""
        self.update({"intent": {"verb": self.verb, **intent}})

    def transaction(self, work: Callable[[ClientSession | None], T]) -> T:
        """Run `work` in a transaction, again when it met another writer.

        On servers without transactions `work` runs as it is, without a session.
        """
        if not self.repository.has_transactions:
            self.lease.check()
            return work(None)
        attempts = 0

        def attempt(session: ClientSession) -> T:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                self._tell_of_attempt(attempts)
            return work(session)

        self.lease.unsettled = True  # the driver does not tell whether it could take one back
        result = self.session.with_transaction(attempt, **_TRANSACTION)
        self.lease.unsettled = False  # nor is an earlier one open: this one has ended it
        return result

    def rehearse(self, work: Callable[[ClientSession], object]) -> None:
        """Run `work` once in a transaction that is then taken back."""
        self.lease.unsettled = True
        with self.session.start_transaction(**_TRANSACTION):
            work(self.session)
            self.session.abort_transaction()

    def _tell_of_attempt(self, number: int) -> None:
        _log.debug(
            "a transaction of %s of %s was taken back by the server; attempt %d",
            self.verb,
            self.repository.name,
            number,
            extra={"verb": self.verb, "collection": self.repository.name, "attempt": number},
        )
