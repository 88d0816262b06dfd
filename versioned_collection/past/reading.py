"""Reading a version: all of one moment, as the plan says, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pymongo import errors as driver

from versioned_collection.core.document import (
    DocumentKey,
    build,
    element,
    elements,
    twin_token,
)
from versioned_collection.core.version import VersionId
from versioned_collection.errors import NotSupported, SnapshotUnavailable
from versioned_collection.past.plan import Plan, Planner
from versioned_collection.past.query import (
    LARGEST_NUMBER,
    Find,
    Stages,
    refuse_scripts,
    searches_text,
)
from versioned_collection.past.sources import (
    Batches,
    NeedsAll,
    aggregated,
    collation_option,
    distinct,
    in_order,
    need_one,
    unsorted,
)
from versioned_collection.repository.sharding import is_sharded

_ATTEMPTS = 5
_GONE = frozenset((175, 361))
"""What the server says where a collection is dropped or renamed under a cursor."""

_NO_INDEX = frozenset((2, 27))
"""What it says, among others, where there is no index that a hint or a text search wants."""

_BATCH = 1_000

_HELD = 1024 * 1024
"""Bytes that wait until it is certain that what was read can be used."""

Reading = Callable[[Plan], Batches]


@dataclass(frozen=True)
class _Question:
    """How something is asked of a version.

    Attributes:
        read: Reads it by a plan.
        collation: That of queries which leave ids out, None where there are none.
        searches: Whether it is a text search.
        hints: Whether it names an index.
        most: How many documents, or so, wait until it is certain that the plan held.
        anew: Whether other collections are read, too, as they are now.
    """

    read: Reading
    collation: Any
    searches: bool
    hints: bool
    most: int = _BATCH
    anew: bool = False

    @property
    def needs_index(self) -> bool:
        """Whether there is no answer without an index."""
        return self.searches or self.hints


class Reader:
    """Reads one version.

    Args:
        planner: Knows what serves a version.
        version: The version.
    """

    def __init__(self, planner: Planner, version: VersionId) -> None:
        self._planner = planner
        self._version = version

    # -- what can be asked ---------------------------------------------------------------

    def find(self, find: Find) -> Iterator[bytes]:
        """Iterate over the documents that a find asks for.

        Raises:
            NotSupported: It sorts, and the filter holds ``$where``.
        """
        if find.sort:
            refuse_scripts(find.filter)
        are_left_out = find.sort or not find.keeps_ids  # by queries, else here
        return self._found(
            find,
            _Question(
                lambda plan: (in_order if find.sort else unsorted)(self._db, plan, find),
                find.options.get("collation") if are_left_out else None,
                searches_text(find.filter),
                "hint" in find.options,
                find.batch_size or _BATCH,
            ),
        )

    def _found(self, find: Find, question: _Question) -> Iterator[bytes]:
        found = self._read(question)
        if not find.sort:
            last = min(find.skip + find.limit, LARGEST_NUMBER) if find.limit else None
            found = islice(found, find.skip, last)
        return map(_without_id, found) if find.drops_ids else found

    def aggregate(self, stages: Stages, options: Mapping[str, Any]) -> Iterator[bytes]:
        """Iterate over what an aggregation returns."""

        def read(plan: Plan) -> Batches:
            if stages.are_ranked:
                need_one(plan)
            return aggregated(self._db, plan, stages.filter, stages.rest, options)

        return self._read(
            _Question(
                read,
                options.get("collation"),
                searches_text(stages.filter),
                "hint" in options,
                options.get("batchSize") or _BATCH,
                anew=stages.joins,
            )
        )

    def distinct(self, key: str, filter_: bytes, options: Mapping[str, Any]) -> list[bytes]:
        """Return the distinct values of a field, each as a document ``{"": value}``."""
        found: dict[Any, bytes] = {}

        def read(plan: Plan) -> Batches:
            if collation_option(plan, options):
                need_one(plan)
            self._refuse_shards(plan)
            for source in plan.sources:
                yield distinct(self._db, plan, source, key, filter_, options)

        for value in self._read(
            _Question(read, options.get("collation"), searches_text(filter_), hints=False)
        ):
            found.setdefault(twin_token(_only_value(value)), value)
        return list(found.values())

    def _refuse_shards(self, plan: Plan) -> None:
        """Refuse what would look at the shards of a collection at different moments.

        Raises:
            NotSupported: A source is sharded: there ``distinct`` takes no cluster time.
        """
        if plan.at is None:
            return
        for source in plan.sources:
            if is_sharded(self._planner.repository, source.name):
                raise NotSupported(
                    f"{source.name!r} is sharded, and distinct reads no moment of such a "
                    "collection; use aggregate with $group, or call prepare(whole=True) first, "
                    "which makes a copy on one shard",
                    collection=source.name,
                    reason="distinct on a sharded collection takes no cluster time",
                )

    # -- one moment ----------------------------------------------------------------------

    @property
    def _db(self) -> Any:
        return self._planner.repository.db

    def _read(self, question: _Question) -> Iterator[bytes]:
        """Iterate over what is read by a plan, once it is certain that the plan held.

        The last batches wait until then, so short reads are simply repeated.
        """
        whole = False
        for attempt in range(1, _ATTEMPTS + 1):
            if question.anew or attempt > 1:
                self._planner.forget()
            plan = self._plan(question, whole)
            begun = False
            held: list[bytes] = []
            try:
                for batch in question.read(plan):
                    if sum(map(len, held)) > _HELD or len(held) >= question.most:
                        begun = True
                        yield from held
                        held = []
                    held += batch
                if plan.still_holds(self._planner.repository):
                    yield from held
                    return
            except NeedsAll:
                whole = True
                continue
            except (SnapshotUnavailable, driver.OperationFailure) as error:
                may_be_new = question.needs_index and attempt == 1 and _lacks_index(error)
                if not (may_be_new or _is_gone(error)):
                    raise
            if begun:
                break
        self._planner.forget()
        raise SnapshotUnavailable(
            "other clients dropped, renamed or indexed what was being read, or reading took "
            "longer than the server keeps snapshots; read again, or call prepare(whole=True) "
            "first, which makes a copy that is not bound to a moment",
            version=self._version,
        )

    def _plan(self, question: _Question, whole: bool) -> Plan:
        plan = self._planner.plan(self._version, whole=whole)
        if _confuses(plan, question.collation):
            plan = self._planner.plan(self._version, whole=True)
        if question.searches:
            plan = self._planner.searchable(self._version, plan)
        return plan


def _is_gone(error: Exception) -> bool:
    return isinstance(error, SnapshotUnavailable) or getattr(error, "code", None) in _GONE


def _lacks_index(error: Exception) -> bool:
    """Tell whether an index may have been missing, as one that came after the plan does."""
    return getattr(error, "code", None) in _NO_INDEX


def _confuses(plan: Plan, collation: Any) -> bool:
    """Tell whether a query would take ids for the same that are two documents."""
    if collation is None:
        return False
    is_finest = collation.get("locale") == "simple" or collation == plan.collation
    return not is_finest and plan.names_texts


def _only_value(raw: bytes) -> DocumentKey:
    kind, _, start, end = next(elements(raw))
    return bytes((kind,)) + raw[start:end]


def _without_id(raw: bytes) -> bytes:
    return build(
        *(
            element(name, bytes((kind,)) + raw[start:end])
            for kind, name, start, end in elements(raw)
            if name != b"_id"
        )
    )
