"""The lock: one verb at a time, across processes, with expiry by the server's clock.

A lease is extended by a heartbeat while its owner works. When the owner dies or freezes
the lease expires by itself; its fencing number lets every later write of a late owner fail.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import ReturnDocument, timeout
from pymongo import errors as driver
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from versioned_collection.driver.server_errors import translated
from versioned_collection.errors import LeaseHeld, LeaseLost
from versioned_collection.trackers.base import FORMAT, Session, Tracker

_log = logging.getLogger(__name__)

DEFAULT_SECONDS = 15.0
DEFAULT_WAIT_SECONDS = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
_LONGEST_GIVING_BACK = 5.0
"""Seconds for which a server is asked to take a lease back."""

_LONG_WAIT = 1.0
"""Seconds of waiting for another verb that are worth a line of the log."""


_held: set[Lease] = set()
"""The leases of this process."""


def wait_for_all(seconds: float) -> None:
    """Wait, so long at most, until the leases that this process holds now are given back."""
    end = time.monotonic() + seconds
    for lease in list(_held):
        lease.wait(max(end - time.monotonic(), 0))


class LeaseCollection(Tracker):
    """The tracker ``__vc_lock``: one document per tracked collection of the database."""

    prefix = "vc_lock"

    def __init__(self, db: Database[Any], name: str) -> None:
        super().__init__(db, name)
        self.name = "__vc_lock"
        self.collection = db[self.name]
        self._at_once = self.collection.with_options(write_concern=WriteConcern(1))

    def acquire(self, verb: str, seconds: float, wait_seconds: float, session_id: Any) -> Lease:
        """Take the lease, waiting for its present owner if need be.

        It expires unless `Lease.keep` is called, which belongs where it is released in any case.

        Args:
            verb: What it is taken for; others see it.
            seconds: How long it lasts without a heartbeat.
            wait_seconds: How long to wait for another owner.
            session_id: The logical session of the owner's transactions, which a successor
                ends.

        Raises:
            LeaseHeld: Another owner kept it all the time.
        """
        begun = time.monotonic()
        deadline = begun + wait_seconds
        pause = _FIRST_PAUSE
        for attempt in itertools.count():
            stored, previous = self._try(verb, seconds, session_id)
            if stored is not None:
                if previous is not None:
                    _log.warning(
                        "%s of %s takes over the lease that another process let expire",
                        verb,
                        self.tracked,
                        extra={"verb": verb, "collection": self.tracked},
                    )
                    with suppress(driver.PyMongoError):
                        self.end_session(previous)
                if attempt > 1:
                    self._tell_of_wait(verb, time.monotonic() - begun)
                return Lease(self, stored, seconds)
            if attempt and time.monotonic() >= deadline:
                raise self._held()
            if attempt:  # the first one may only have found no document yet
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _tell_of_wait(self, verb: str, waited: float) -> None:
        _log.log(
            logging.INFO if waited >= _LONG_WAIT else logging.DEBUG,
            "%s of %s waited %.3f s for another verb to end",
            verb,
            self.tracked,
            waited,
            extra={"verb": verb, "collection": self.tracked, "seconds": round(waited, 6)},
        )

    def _try(
        self, verb: str, seconds: float, session_id: Any
    ) -> tuple[Mapping[str, Any] | None, Any]:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "verb": verb}
        token = ObjectId()
        change = {
            "token": token,
            "format": FORMAT,
            "owner": {"$literal": owner},
            "predecessor": {"$cond": [{"$gt": ["$expires", None]}, "$session", None]},
            "session": {"$literal": session_id},
            "fence": {"$add": [{"$ifNull": ["$fence", Int64(0)]}, Int64(1)]},
            "expires": {"$add": ["$$NOW", int(seconds * 1000)]},
        }
        free = {"$or": [{"expires": None}, {"$expr": {"$lt": ["$expires", "$$NOW"]}}]}
        with translated():
            stored = self.collection.find_one_and_update(
                {"_id": self.tracked, **free},
                [{"$set": change}],
                return_document=ReturnDocument.AFTER,
            )
            if stored is None:
                self._ensure_document()
                return None, None
        return stored, stored.get("predecessor")

    def _ensure_document(self) -> None:
        """Create the lease's document, free, for the first verb of a collection."""
        self.collection.update_one(
            {"_id": self.tracked},
            {"$setOnInsert": {"expires": None, "fence": Int64(0), "format": FORMAT}},
            upsert=True,
        )

    def end_session(self, session_id: Any) -> None:
        """End the transaction that an owner has left open, which would block others for a minute.

        Raises:
            PyMongoError: The server could not be reached in time.
        """
        try:
            self.db.client.admin.command("killSessions", [session_id])
        except driver.OperationFailure as error:
            if error.timeout:
                raise
            # not permitted, or gone already: then the server's own limit ends it

    def _held(self) -> LeaseHeld:
        stored = self.collection.find_one({"_id": self.tracked}) or {}
        owner, expires = stored.get("owner", {}), stored.get("expires")
        if expires is None:
            said = f"other verbs ran on {self.tracked!r} all the time, one after the other"
        else:
            said = (
                f"{owner.get('verb', 'a verb')} is running on {self.tracked!r} in process "
                f"{owner.get('pid')} on {owner.get('host')}; its lease ends at {expires} UTC "
                "unless it is extended"
            )
        return LeaseHeld(f"{said}. Try again", owner=owner, expires=expires)

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of some collections whose lease anybody has ever asked for."""
        with translated():
            found = self.collection.find({"_id": {"$in": list(names)}}, {"_id": 1})
            return {stored["_id"] for stored in found}

    def peek(self) -> tuple[Any, bool]:
        """Return the present expiry and whether it has passed (or nobody holds the lease)."""
        with translated():
            found = list(
                self.collection.aggregate(
                    [
                        {"$match": {"_id": self.tracked}},
                        {"$project": {"expires": 1, "over": {"$lt": ["$expires", "$$NOW"]}}},
                    ]
                )
            )
        if not found or found[0].get("expires") is None:
            return None, True
        return found[0]["expires"], bool(found[0]["over"])

    def extend(self, token: ObjectId, seconds: float) -> bool:
        """Prolong a lease; False when it is no longer held with this token.

        A lease that was given back a moment ago stays free: the session that it names may
        have another use already. A disk that takes long is no reason to lose a lease, so it is not
        waited for: where a change of the primary takes this back, fencing numbers keep order.
        """
        change = {"expires": {"$add": ["$$NOW", int(seconds * 1000)]}}
        result = self._at_once.update_one(
            {"_id": self.tracked, "token": token, "expires": {"$ne": None}}, [{"$set": change}]
        )
        return result.matched_count == 1

    def confirm(self, token: ObjectId, session: Session) -> bool:
        """Make a transaction fail if another owner takes over meanwhile; False if one has."""
        with translated():
            result = self.collection.update_one(
                {"_id": self.tracked, "token": token},
                {"$set": {"confirmed": ObjectId()}},
                session=session,
            )
        return result.matched_count == 1

    def release(self, token: ObjectId) -> None:
        """Give a lease back; one that was lost is left alone."""
        self.collection.update_one(
            {"_id": self.tracked, "token": token}, {"$set": {"expires": None}}
        )

    def go_beyond(self, token: ObjectId, fence: int) -> int | None:
        """Give a lease a higher fencing number than `fence`; return it, None if it is not held."""
        with translated():
            stored = self.collection.find_one_and_update(
                {"_id": self.tracked, "token": token, "expires": {"$ne": None}},
                {"$max": {"fence": Int64(fence + 1)}},
                return_document=ReturnDocument.AFTER,
            )
        return None if stored is None else int(stored["fence"])

    def carry_on(self, fence: int) -> None:
        """Let the fencing numbers of this name go on behind those of a renamed collection."""
        with translated():
            self.collection.update_one(
                {"_id": self.tracked},
                {
                    "$max": {"fence": Int64(fence)},
                    "$setOnInsert": {"expires": None, "format": FORMAT},
                },
                upsert=True,
            )

    def remove(self) -> None:
        """Remove the document, whoever holds the lease: he has lost it."""
        with translated():
            self.collection.delete_one({"_id": self.tracked})

    def forget(self, token: ObjectId) -> None:
        """Remove the lease's document, at the end of a drop, if it is still held."""
        with translated():
            self.collection.delete_one({"_id": self.tracked, "token": token})


class Lease:
    """A lease that is held, extended by a heartbeat thread from `keep` to `release`.

    Attributes:
        token: What tells this lease from all others.
        fence: A number higher than that of every earlier lease.
        owner: ``host`` and ``pid`` of this process, and the verb.
        inherited: Whether an earlier owner let it expire, and may be alive still.
        unsettled: Whether a transaction of its session may have been left open.
    """

    def __init__(self, leases: LeaseCollection, stored: Mapping[str, Any], seconds: float) -> None:
        self.token: ObjectId = stored["token"]
        self.fence: int = stored["fence"]
        self.owner: Mapping[str, Any] = stored["owner"]
        self.inherited: bool = stored.get("predecessor") is not None
        self.unsettled = False
        self._session = stored["session"]
        self._leases = leases
        self._seconds = seconds
        self._alive_at = time.monotonic()
        self._lost = False
        self._over = threading.Event()
        self._given_back = threading.Event()
        self._heart = threading.Thread(
            target=copy_context().run,
            args=(self._beat,),
            name=f"lease-{leases.tracked}",
            daemon=True,
        )

    def keep(self) -> None:
        """Extend the lease from now on, until it is released, which has to come whatever happens.

        Nobody else stops the heartbeat, also where this is interrupted.
        """
        _held.add(self)
        self._heart.start()

    def _beat(self) -> None:
        with timeout(None):  # the caller's time limit is not about a lease that outlives it
            self._extend()

    def _extend(self) -> None:
        while not self._over.wait(self._seconds / 3):
            started = time.monotonic()
            try:
                if not self._leases.extend(self.token, self._seconds):
                    self._lost = True
                    self._warn("was taken over by another process, as it had expired")
                    return
                self._alive_at = started
            except driver.PyMongoError as error:  # `check` fails by our own clock if it goes on
                self._warn("cannot be extended at the moment: %s", error)

    def _warn(self, what: str, *args: object) -> None:
        verb, name = self.owner["verb"], self._leases.tracked
        facts = {"verb": verb, "collection": name}
        _log.warning(f"the lease of %s on %s {what}", verb, name, *args, extra=facts)

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLost: It is not, or no heartbeat succeeded for as long as it lasts.
        """
        if self._lost or time.monotonic() - self._alive_at > self._seconds:
            raise self.ran_out()

    def confirm(self, session: Session) -> None:
        """Make a transaction, of something else than this lease fences, depend on it.

        Raises:
            LeaseLost: It is not held any more.
        """
        self.check()
        if not self._leases.confirm(self.token, session):
            raise self.ran_out()

    def ran_out(self) -> LeaseLost:
        """Return the error that says so."""
        return LeaseLost(
            f"the lease on {self._leases.tracked!r} ran out; nothing more was written. "
            "Run the verb again",
            collection=self._leases.tracked,
        )

    def go_beyond(self, fence: int) -> bool:
        """Take a higher fencing number than one that was met, if the lease is still held.

        There is such a number where the lock was lost, or is an older one out of a backup, and
        the metadata is not.
        """
        higher = self._leases.go_beyond(self.token, fence)
        if higher is not None:
            self.fence = higher
        return higher is not None

    def settle(self) -> None:
        """End the transaction that may have been left open.

        Raises:
            PyMongoError: The server could not be reached in time.
        """
        if self.unsettled:
            self._leases.end_session(self._session)
            self.unsettled = False

    def release(self) -> None:
        """Give the lease back. A server that cannot be reached frees it at its expiry.

        Nor is it given back where what the verb may have left open cannot be ended: whoever
        takes over a lease that expired ends it then.
        """
        self._over.set()
        Context().run(self._give_back)  # the caller's time limit may be what ended the verb
        if self._heart.is_alive():  # nothing of ours goes on behind a verb
            self._heart.join(self._seconds)
        _held.discard(self)
        self._given_back.set()

    def wait(self, seconds: float) -> None:
        """Wait, so long at most, until the lease is given back."""
        self._given_back.wait(seconds)

    def _give_back(self) -> None:
        with suppress(driver.PyMongoError), timeout(_LONGEST_GIVING_BACK):
            self.settle()
            self._leases.release(self.token)
