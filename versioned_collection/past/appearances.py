"""In which versions documents began, and ceased, to match a filter.

Filters are MongoDB's own, so the server judges: states of documents are sent to it as they
were, a bounded number at a time, and it returns those that match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import (
    RAW_OPTIONS,
    DocumentKey,
    build,
    document_key,
    raw_array,
)
from versioned_collection.core.portions import portions
from versioned_collection.core.tree import VersionTree, missing_version
from versioned_collection.core.version import VersionId
from versioned_collection.driver.wire import batches, by_keys
from versioned_collection.observing import Counted
from versioned_collection.past.moment import steady
from versioned_collection.past.plan import Planner
from versioned_collection.past.query import Find
from versioned_collection.past.reading import Reader
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.delta_paths import in_turn
from versioned_collection.working.selection import refusals

STATES, STATES_BYTES = 2_000, 8 * 1024 * 1024
"""How much the server judges at once; a single document may be larger."""

_NO_COLLECTION = (
    "It is matched with documents that are in no collection, where text search, $near and $where "
    "cannot be"
)

_DELTAS = 2_000
"""Deltas of whole documents that are read at once."""


class Appeared(NamedTuple):
    """What a version did to the documents that match.

    Attributes:
        appeared: Documents that match in it, and did not in its first parent.
        disappeared: Documents that matched in its first parent, and do not in it.
    """

    appeared: list[DocumentKey]
    disappeared: list[DocumentKey]


class _Step(NamedTuple):
    version: VersionId
    key: DocumentKey
    before: bytes | None
    after: bytes | None

    @property
    def size(self) -> int:
        return len(self.before or b"") + len(self.after or b"")


def appearances(
    planner: Planner, start: VersionId, filter_: bytes, report: Counted
) -> Iterator[tuple[VersionId, Appeared]]:
    """Iterate over the versions, along first parents, in which the matching documents changed.

    What is found is held in memory, as ids.

    Args:
        planner: Knows what serves versions.
        start: Where to begin.
        filter_: The filter, as BSON.
        report: Told how many changes were looked at.
    """
    repository = planner.repository
    tree = repository.log.tree()
    if start not in tree:
        raise missing_version(start)
    collation = repository.state().options.get("collation")
    found: dict[VersionId, Appeared] = {}
    steps = _steps(repository, tree, start)
    for some in portions(steps, lambda step: step.size, STATES, STATES_BYTES):
        states = (state for step in some for state in (step.before, step.after))
        matching = matching_states(repository, filter_, collation, states)
        report("changes", len(some), sum(step.size for step in some))
        for step in some:
            _note(found, step, matching)
    present = map(document_key, Reader(planner, start).find(Find(filter_, {"_id": 1})))
    return _in_order(tree, start, found, set(present))


def _note(found: dict[VersionId, Appeared], step: _Step, matching: set[bytes]) -> None:
    before, after = step.before in matching, step.after in matching
    if before != after:
        of_version = found.setdefault(step.version, Appeared([], []))
        (of_version.appeared if after else of_version.disappeared).append(step.key)


def _in_order(
    tree: VersionTree,
    start: VersionId,
    found: Mapping[VersionId, Appeared],
    matching: set[DocumentKey],
) -> Iterator[tuple[VersionId, Appeared]]:
    """Iterate over what was found, newest first; what is left matched in the first version."""
    for version in tree.ancestors(start):
        if version in found:
            yield version, found[version]
            matching.difference_update(found[version].appeared)
            matching.update(found[version].disappeared)
    if matching and tree.root is not None:
        yield tree.root, Appeared(sorted(matching), [])


# -- states --------------------------------------------------------------------------------


def _steps(repository: Repository, tree: VersionTree, start: VersionId) -> Iterator[_Step]:
    """Iterate over what each version up from `start` did to each document it changed."""
    with steady(repository, "find_versions") as (head, at):
        yield from _walk(repository, tree, head, start, at)


def _walk(
    repository: Repository,
    tree: VersionTree,
    head: VersionId,
    start: VersionId,
    at: Timestamp | None,
) -> Iterator[_Step]:
    lead = tree.path(head, start).steps()
    turns = {version: turn for turn, version in enumerate(tree.ancestors(start))}
    groups = repository.deltas.by_document({**lead, **turns})
    for batch in portions(groups, lambda group: len(group[1]), _DELTAS, _DELTAS):
        changed = dict(batch)
        replica = repository.replica.name
        for portion, recorded in by_keys(repository.db, replica, list(changed), at=at):
            for key in portion:
                state = recorded.get(key)
                for delta in in_turn(changed[key], lead):
                    state = delta.apply(state)
                yield from _back(key, state, changed[key], turns)


def _back(
    key: DocumentKey,
    state: bytes | None,
    changes: Iterable[tuple[VersionId, Delta]],
    turns: Mapping[VersionId, int],
) -> Iterator[_Step]:
    """Take a document back, version by version."""
    mine = [(turns[version], version, delta) for version, delta in changes if version in turns]
    for _, version, delta in sorted(mine, key=lambda one: one[0]):
        before = (~delta).apply(state)
        yield _Step(version, key, before, state)
        state = before


# -- matching ------------------------------------------------------------------------------


def matching_states(
    repository: Repository, filter_: bytes, collation: Any, states: Iterable[bytes | None]
) -> set[bytes]:
    """Return which of some documents match, as the server judges.

    Args:
        repository: The trackers.
        filter_: The filter, as BSON.
        collation: The collation of the collection, None for the simple one.
        states: The documents; None stands for none.
    """
    some = portions({state for state in states if state is not None}, len, STATES, STATES_BYTES)
    return {raw for each in some for raw in _judged(repository, filter_, collation, each)}


def _judged(
    repository: Repository, filter_: bytes, collation: Any, states: Iterable[bytes]
) -> Iterator[bytes]:
    literal = build(b"\x04$literal\0" + raw_array(b"\x03" + state for state in states))
    pipeline = [
        RawBSONDocument(build(b"\x03$documents\0" + literal), RAW_OPTIONS),
        RawBSONDocument(build(b"\x03$match\0" + filter_), RAW_OPTIONS),
    ]
    command: dict[str, Any] = {"aggregate": 1, "pipeline": pipeline, "cursor": {}}
    if collation:
        command["collation"] = collation
    with refusals(filter_, _NO_COLLECTION):
        for batch in batches(repository.db, command):
            yield from map(bytes, batch)
