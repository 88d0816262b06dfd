"""Checks that a state must pass before it becomes a version.

A check is an aggregation, stored and so the same for all clients, or a function, kept on one
object. It names the documents that are wrong; none is as it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.core.answers import answer, refuse_asynchronous
from versioned_collection.core.codec import Codec
from versioned_collection.core.document import RAW_OPTIONS, document_key
from versioned_collection.driver.server_errors import reason_of
from versioned_collection.driver.wire import batches, documents, read_concern, run
from versioned_collection.errors import (
    CheckFailed,
    InvalidArgument,
    InvalidType,
    VersioningError,
)
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import storable

MOST_NAMED = 100
"""Documents that the failure of a check names."""

_REFUSED_STAGES = ("$out", "$merge", "$changeStream")

Pipeline = Sequence[Mapping[str, Any]]


class CheckedState:
    """The documents that are to become a version, to look at.

    A check must not write: what it would write with a client of its own is not taken back.

    Args:
        repository: The trackers.
        name: The collection that holds the state.
        at: The cluster time whose state is read, None for the present.
        session: The transaction that has written the state, None where there is none.
    """

    def __init__(
        self,
        repository: Repository,
        name: str,
        at: Timestamp | None = None,
        session: ClientSession | None = None,
    ) -> None:
        self._options: dict[str, Any] = {}
        if name != repository.name:  # what else holds the state has not the collation of that
            collation = repository.state().options.get("collation")
            self._options = {"collation": collation} if collation else {}
        self._codec = repository.codec
        self._db = repository.db
        self._name = name
        self._at = at
        self._session = session

    def find(
        self,
        filter: Mapping[str, Any] | None = None,
        projection: Mapping[str, Any] | None = None,
        *,
        sort: Mapping[str, int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the documents that match a filter."""
        found = documents(
            self._db,
            self._name,
            RawBSONDocument(self._codec.document(filter or {}, "filter")),
            sort=sort,
            at=self._at,
            session=self._session,
            projection=projection,
            skip=skip,
            limit=limit,
            **self._options,
        )
        for batch in found:
            yield from map(self._codec.decode, batch)

    def find_one(
        self,
        filter: Mapping[str, Any] | None = None,
        projection: Mapping[str, Any] | None = None,
        *,
        sort: Mapping[str, int] | None = None,
    ) -> dict[str, Any] | None:
        """Return the first document that matches a filter, None where none does."""
        return next(self.find(filter, projection, sort=sort, limit=1), None)

    def aggregate(self, pipeline: Pipeline) -> Iterator[dict[str, Any]]:
        """Iterate over what an aggregation returns.

        Raises:
            InvalidArgument: It would write.
        """
        stages = RawBSONDocument(encoded(self._codec, check_pipeline(pipeline)), RAW_OPTIONS)
        yield from map(self._codec.decode, self.raw_aggregate(stages["pipeline"]))

    def raw_aggregate(self, pipeline: Pipeline) -> Iterator[bytes]:
        """Iterate over what an aggregation returns, as bytes."""
        command = {
            "aggregate": self._name,
            "pipeline": list(pipeline),
            "cursor": {},
            **self._options,
            **read_concern(self._at),
        }
        with closing(batches(self._db, command, self._session)) as found:  # type: ignore[type-var]
            for batch in found:
                yield from batch

    def count_documents(self, filter: Mapping[str, Any] | None = None) -> int:
        """Return how many documents match a filter."""
        stages: Pipeline = [{"$match": filter or {}}, {"$count": "n"}]
        return next((int(found["n"]) for found in self.aggregate(stages)), 0)


Function = Callable[[CheckedState], Any]
"""Returns the documents that are wrong, or their ids; or raises."""


class Check(NamedTuple):
    """A check: its name, what it does, and what to say where it fails."""

    name: str
    does: Any
    message: str | None


def checks_of(repository: Repository) -> list[Check]:
    """Return the stored checks, then those of this object."""
    own = [Check(name, *kept) for name, kept in repository.own_checks.items()]
    return [*(Check(*stored) for stored in repository.checks.all()), *own]


def run_checks(
    repository: Repository,
    *,
    name: str | None = None,
    at: Timestamp | None = None,
    session: ClientSession | None = None,
    stored_only: bool = False,
) -> None:
    """Run all checks.

    Args:
        repository: The trackers.
        name: The collection that holds the state; the tracked one where it is left out.
        at: The cluster time whose state is read, None for the present.
        session: The transaction that has written the state.
        stored_only: Leave out the checks of this object.

    Raises:
        CheckFailed: One fails.
    """
    state = CheckedState(repository, name or repository.name, at, session)
    for check in checks_of(repository):
        if callable(check.does):
            if not stored_only:
                _run_function(check, state)
        else:
            _run_stored(check, state, repository.codec)


def _run_stored(check: Check, state: CheckedState, codec: Codec) -> None:
    try:
        found = list(state.raw_aggregate([*check.does, {"$limit": MOST_NAMED}]))
    except driver.OperationFailure as error:
        if error.has_error_label("TransientTransactionError"):
            raise
        raise _failure(check, [], f"the server cannot run it: {reason_of(error)}") from error
    if found:
        raise _failure(check, [_named(codec, raw) for raw in found])


def _named(codec: Codec, raw: bytes) -> Any:
    """Return the id of what a check returned, all of it where it has none."""
    try:
        return codec.value(document_key(raw))
    except ValueError:
        return codec.decode(raw)


def _run_function(check: Check, state: CheckedState) -> None:
    try:
        found = answer(check.does(state), "a check")
        if found is None:
            return
        if isinstance(found, (str, bytes, Mapping)) or not isinstance(found, Iterable):
            raise TypeError(f"it returned {found!r} instead of a list of documents or ids")
        named = [
            one["_id"] if isinstance(one, Mapping) and "_id" in one else one
            for one in islice(found, MOST_NAMED)
        ]
    except VersioningError:
        raise
    except Exception as error:
        transient = isinstance(error, driver.PyMongoError) and error.has_error_label(
            "TransientTransactionError"
        )
        if transient:
            raise
        raise _failure(check, [], f"{type(error).__name__}: {error}") from error
    if named:
        raise _failure(check, named)


def _failure(check: Check, found: list[Any], reason: str | None = None) -> CheckFailed:
    if reason is None:
        more = " or more" if len(found) == MOST_NAMED else ""
        shown = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
        reason = f"{len(found)}{more} wrong: {shown}"
    said = f" ({check.message})" if check.message else ""
    return CheckFailed(
        f"the check {check.name!r} fails{said}: {reason}. No version was made and everything is "
        "as before; correct the documents, or delete_check() where the check is wrong, then try "
        "again",
        check=check.name,
        documents=found,
    )


# -- keeping them ------------------------------------------------------------------------


def check_pipeline(pipeline: Any) -> Pipeline:
    """Return a pipeline that only reads.

    Raises:
        InvalidType: It is no list of dicts.
        InvalidArgument: It writes, or never ends.
    """
    if not isinstance(pipeline, (list, tuple)) or not all(
        isinstance(stage, Mapping) for stage in pipeline
    ):
        raise InvalidType(
            "a check is an aggregation pipeline (a list of stages) or a function",
            argument=pipeline,
        )
    for stage in pipeline:
        for refused in _REFUSED_STAGES:
            if refused in stage:
                raise InvalidArgument(
                    f"a check only reads: leave the stage {refused} out", stage=refused
                )
    return pipeline


def encoded(codec: Codec, pipeline: Pipeline) -> bytes:
    """Return a pipeline as the document ``{pipeline: [...]}``.

    Raises:
        InvalidArgument: BSON cannot hold it.
    """
    return codec.document({"pipeline": list(pipeline)}, "pipeline")


def add_check(repository: Repository, name: Any, check: Any, message: Any) -> None:
    """Keep a check; see `VersionedCollection.add_check`."""
    if not isinstance(name, str) or not (message is None or isinstance(message, str)):
        raise InvalidType("name and message of a check are texts", argument=name)
    if not name or not storable(name) or not storable(message or ""):
        raise InvalidArgument("the name of a check is a text that is not empty", name=name)
    if callable(check):
        refuse_asynchronous(check, "a check")
    else:
        check_pipeline(check)
    if name in {one.name for one in checks_of(repository)}:
        raise _taken(name)
    if callable(check):
        repository.own_checks[name] = (check, message)
    elif not repository.checks.add(name, _stages(repository, check), message):
        raise _taken(name)


def _taken(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"there is a check {name!r} already; delete_check({name!r}) first", name=name
    )


def _stages(repository: Repository, pipeline: Pipeline) -> bytes:
    """Return a pipeline as it is stored, once the server has understood it."""
    stored = encoded(repository.codec, pipeline)
    stages = RawBSONDocument(stored, RAW_OPTIONS)["pipeline"]
    command = {
        "explain": {"aggregate": repository.name, "pipeline": stages, "cursor": {}},
        "verbosity": "queryPlanner",
    }
    try:
        run(repository.db, command)
    except driver.OperationFailure as error:
        raise InvalidArgument(
            f"the server does not understand the pipeline: {reason_of(error)}",
            server_code=error.code,
        ) from error
    return stored


def delete_check(repository: Repository, name: str) -> bool:
    """Remove a check; tell whether there was one."""
    was_own = name in repository.own_checks
    repository.own_checks.pop(name, None)
    return repository.checks.remove(name) or was_own
