"""A worktree prepared: a version's documents under names that nobody knows, up to the commit.

What follows, and is repeatable, is in `worktrees`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.database import Database

from versioned_collection.committing.worktrees import (
    announcement_of,
    drop_stray_copies,
    names_of_copies,
)
from versioned_collection.core.document import has_zero_timestamp
from versioned_collection.documents.moves import states_along
from versioned_collection.driver.server_errors import (
    DOCUMENT_VALIDATION_FAILURE,
    DUPLICATE_KEY,
    INTERRUPTED,
    reason_of,
)
from versioned_collection.driver.wire import (
    WITHOUT_ID,
    copy_on_server,
    create_collection,
    create_indexes,
    documents,
    inserting_into,
)
from versioned_collection.driver.writes import (
    delete_all_statement,
    raise_write_error,
    upsert_statement,
    write,
)
from versioned_collection.errors import DocumentRejected
from versioned_collection.observing import Counted
from versioned_collection.repository.hold import Hold
from versioned_collection.trackers.base import COMPRESSED, identities
from versioned_collection.trackers.lease import Lease
from versioned_collection.trackers.replica import ReplicaCollection
from versioned_collection.working.tracking import first_state

_FIELDS = {"$objectToArray": "$$ROOT"}
_VALUES = {"$map": {"input": _FIELDS, "as": "field", "in": "$$field.v"}}
_WITH_ZERO_TIMESTAMP = {"$expr": {"$in": [Timestamp(0, 0), _VALUES]}}
"""Finds documents that a copy on the server changes; see `has_zero_timestamp`."""


class Copying:
    """A worktree in the making.

    Args:
        hold: The lease.
        turn: The lease of the new name.
        name: The new name.
        head: The fields of the new HEAD.
        branch: The branch to be created, None where it exists.
    """

    def __init__(
        self, hold: Hold, turn: Lease, name: str, head: Mapping[str, Any], branch: str | None
    ) -> None:
        self._hold = hold
        self._repository = hold.repository
        self._turn = turn
        self._new = hold.repository.beside(name)
        self._head = head
        self._branch = branch
        self._copy, self._base = names_of_copies(self._repository)
        self._may_be_special = True

    def run(
        self,
        options: Mapping[str, Any],
        indexes: Sequence[Mapping[str, Any]],
        progress: Counted,
    ) -> None:
        """Make it where nobody sees it, up to the commit; `complete_worktree` does the rest.

        Args:
            options: Options of ``create`` for the collection.
            indexes: Its indexes beside that on ``_id``.
            progress: Told how many documents that differ from HEAD were written.

        Raises:
            DocumentRejected: An index refuses documents of the version.
        """
        hold, name = self._hold, self._new.name
        copies = [self._copy, self._base]
        drop_stray_copies(self._repository)
        hold.begin({"phase": "prepare", "worktree": {"name": name, "copies": copies}})
        self._fill_base(progress)
        self._fill_copy(options, indexes)
        self._check()
        self._commit(options, indexes)

    # -- documents -----------------------------------------------------------------------

    def _fill_base(self, progress: Counted) -> None:
        """Make what will be the replica: that of HEAD, and what differs in the version."""
        repository, db = self._repository, self._repository.db
        create_collection(db, self._base, storageEngine=COMPRESSED)
        self._may_be_special = self._copy_on_server(repository.replica.name, self._base)
        path = repository.log.ancestry().path(self._hold.state.head, self._head["head"])
        base = _Base(db, self._new.name, self._base)
        for batch in states_along(repository, repository.way(path)):
            raws = [raw for _, raw in batch if raw is not None]
            base.put([key for key, _ in batch], raws, check=self._check)
            self._may_be_special = self._may_be_special or any(map(has_zero_timestamp, raws))
            progress("written", len(batch), sum(map(len, raws)))

    def _fill_copy(self, options: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]]) -> None:
        """Make what will be the collection: its documents first, then its indexes."""
        create_collection(self._repository.db, self._copy, **options)
        # where a server would copy the "index" of a clustered collection, it refuses a collation
        inserts = {"clusteredIndex", "collation"} <= options.keys()
        try:
            self._copy_on_server(self._base, self._copy, inserts)
        except driver.OperationFailure as error:
            if error.code != DOCUMENT_VALIDATION_FAILURE:
                raise
            if inserts:
                everything = delete_all_statement()
                write(self._repository.db, "delete", self._copy, [everything], check=self._check)
            # as with a checkout, the version counts; that takes a right of its own
            self._copy_on_server(self._base, self._copy, inserts, bypassDocumentValidation=True)
        self._index(indexes)

    def _index(self, indexes: Sequence[Mapping[str, Any]]) -> None:
        self._check()
        try:
            create_indexes(self._repository.db, self._copy, indexes)
        except driver.OperationFailure as error:
            if error.code in INTERRUPTED:
                raise
            kind = "a unique" if error.code == DUPLICATE_KEY else "an"
            reason = self._reason_of(error)
            raise DocumentRejected(
                f"{kind} index refuses the documents of the version: {reason}. Drop the index, or "
                "check out a version whose documents it takes",
                reason=reason,
                server_code=error.code,
            ) from error

    def _reason_of(self, error: driver.OperationFailure) -> str:
        """Return why no index was built, in the words that the collection itself would get."""
        build, _, cause = reason_of(error).partition(" :: caused by :: ")
        return (cause or build).replace(self._copy, self._repository.name)

    def _copy_on_server(
        self, source: str, target: str, inserts: bool = False, **options: Any
    ) -> bool:
        """Copy a collection; return whether it holds documents that take a second look.

        Args:
            source: Its name.
            target: The name of the other one, which is there and empty.
            inserts: Whether the server inserts the documents, instead of replacing the other one.
            **options: Options of the commands.
        """
        db = self._repository.db
        special: dict[str, Any] = _WITH_ZERO_TIMESTAMP
        self._check()
        if inserts:
            special = {"$or": [special, WITHOUT_ID]}
        stages = inserting_into(target) if inserts else None
        copy_on_server(db, source, target, stages, **options)
        if not (self._may_be_special or inserts):
            return False
        found = False
        for batch in documents(db, source, special):
            found = found or bool(batch)
            statements = list(map(upsert_statement, batch))
            outcome = write(db, "update", target, statements, check=self._check, **options)
            raise_write_error(outcome, statements)
        return found

    def _check(self) -> None:
        self._hold.lease.check()
        self._turn.check()

    # -- the commit ----------------------------------------------------------------------

    def _commit(self, options: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]]) -> None:
        hold, repository, new = self._hold, self._repository, self._new
        announcement = announcement_of(repository, new.name)
        since = repository.operation_time() if repository.has_transactions else None
        uuid = identities(repository.db, [self._copy]).get(self._copy)
        info = {"info": {"uuid": uuid}, "options": dict(options)}
        intent = {
            "verb": hold.verb,
            "phase": "apply",
            "copies": [self._copy, self._base],
            "branch": self._branch,
            "since": since,
        }
        first = first_state(self._head["head"], self._head["branch"], None, info, indexes)
        state = {**first, **self._head, "intent": intent}

        def work(session: ClientSession | None) -> None:
            self._turn.confirm(session)
            hold.update({"accompanied": True}, session, of=repository.home)
            announcement.point_to(repository.home, session)
            new.metadata.insert(hold.lease.token, hold.lease.fence, state, session)
            hold.update({"intent": None}, session)

        hold.transaction(work)


class _Base(ReplicaCollection):
    """A replica under another name."""

    def __init__(self, db: Database[Any], tracked: str, name: str) -> None:
        super().__init__(db, tracked)
        self.name = name
