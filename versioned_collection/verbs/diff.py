"""diff and changes: what differs between two states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from bson.timestamp import Timestamp

from versioned_collection.core import html
from versioned_collection.core.codec import Codec
from versioned_collection.core.comparison import Comparison
from versioned_collection.core.delta import Operation, applied, compare
from versioned_collection.core.diff import deep_diff, text_diff
from versioned_collection.core.document import DocumentKey, add_by_id
from versioned_collection.core.portions import portions
from versioned_collection.core.rows import Row
from versioned_collection.core.version import VersionId
from versioned_collection.documents.moves import moves_along, states_along
from versioned_collection.documents.proved import proved
from versioned_collection.driver.wire import by_keys
from versioned_collection.errors import InvalidArgument
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress, counted, iterated, verb
from versioned_collection.past.onlooking import Onlooker, looking, replica_time, sight
from versioned_collection.past.query import number_of
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository

_FEW = 10_000
"""Changes that are computed before the lease is given back."""

_TOLD_AT_ONCE = 500

DIRECTIONS = ("from", "to", "bidirectional")


@dataclass(frozen=True, slots=True)
class Difference:
    """One document that differs between two states.

    Attributes:
        key: The document's key.
        old: The document in the first state, None where there is none.
        new: The document in the second state, None where there is none.
    """

    key: DocumentKey
    old: bytes | None
    new: bytes | None


@dataclass(frozen=True, slots=True)
class Change:
    """One changed document, for programs.

    Attributes:
        document_id: The document's ``_id``.
        op: ``insert``, ``update`` or ``delete``.
        rows: Field-level changes (path, action, value, old value); empty where the whole
            document came or went, or where only the images tell the difference.
        old: The document before as BSON bytes, None for an insert.
        new: The document after as BSON bytes, None for a delete.
    """

    document_id: Any
    op: Operation
    rows: tuple[Row, ...]
    old: bytes | None
    new: bytes | None

    def _repr_html_(self) -> str:
        return html.fragment(*html.documents([(self.heading, self.side_by_side())]))

    @property
    def heading(self) -> str:
        """What happened to which document, in a line."""
        return f"{self.op} {html.text(self.document_id)}"

    def side_by_side(self) -> str:
        """Return the document before and after beside one another, as HTML."""
        return html.side_by_side(self.old, self.new)


class Differences(dict[Any, Any]):
    """Differences of documents by ``_id``; notebooks show them in colours."""

    def _repr_html_(self) -> str:
        found = ((html.text(id_), _body(item)) for id_, item in self.items())
        return html.fragment(*html.documents(found))


def _body(item: Any) -> str:
    return html.unified(item if isinstance(item, str) else item.pretty())


def diff(
    repository: Repository,
    version: RevisionLike = None,
    branch: str | None = None,
    deep: bool = False,
    direction: str = "from",
    progress: Progress | None = None,
) -> dict[Any, Any]:
    """Return the differences between a version and the present documents.

    Raises:
        InvalidArgument: The direction is not known.
        InvalidCollectionVersion: There is no such version.
    """
    if direction not in DIRECTIONS:
        raise InvalidArgument(
            f"direction is one of {', '.join(DIRECTIONS)}, not {direction!r}", direction=direction
        )
    with looking(repository, "diff") as hold:
        base = Resolver(repository, hold.state).resolve(version, branch)
        name = entry_of(repository, base).label
        differences = list(_told(_to_working_copy(hold, base), progress))
    if direction == "bidirectional" and differences:
        return {
            "from": _rendered(repository.codec, differences, name, deep, False),
            "to": _rendered(repository.codec, differences, name, deep, True),
        }
    return _rendered(repository.codec, differences, name, deep, direction == "to")


def _rendered(
    codec: Codec, differences: list[Difference], name: str, deep: bool, reverse: bool
) -> Differences:
    result = Differences()
    for difference in differences:
        old, new, before, after = difference.old, difference.new, name, "working copy"
        if reverse:
            old, new, before, after = new, old, after, before
        item = deep_diff(old, new, codec.decoding) if deep else text_diff(old, new, before, after)
        add_by_id(result, difference.key, item, codec.decoding)
    return result


@iterated("changes")
def changes(
    repository: Repository,
    a: RevisionLike = "HEAD",
    b: RevisionLike = None,
    progress: Progress | None = None,
) -> Iterator[Change]:
    """Iterate over the changed documents between two revisions.

    Args:
        repository: The trackers.
        a: The first revision.
        b: The second one; None means the working copy.
        progress: Told how many documents were found.
    """
    with ExitStack() as stack:
        hold = stack.enter_context(looking(repository, "changes"))
        resolver = Resolver(repository, hold.state)
        first = resolver.resolve(a)
        if b is None:
            found = _to_working_copy(hold, first)
        else:
            found = _between(hold, first, resolver.resolve(b))
        found = _told(found, progress)
        few = list(islice(found, _FEW))
        change = partial(_change, repository.codec)
        if len(few) < _FEW:
            return map(change, few)
        return _streamed(stack.pop_all(), map(change, chain(few, found)))


@verb("compare")
def comparison(
    repository: Repository,
    a: RevisionLike,
    b: RevisionLike,
    samples: int,
    progress: Progress | None = None,
) -> Comparison:
    """Count the changed documents between two revisions; for `samples` see `Comparison.count`.

    Raises:
        InvalidArgument: `samples` is negative.
        InvalidType: `samples` is no whole number.
    """
    kept = number_of(samples, "samples")
    resolver = Resolver(repository, repository.state())
    first = entry_of(repository, resolver.resolve(a))
    second = None if b is None else entry_of(repository, resolver.resolve(b))
    found = Comparison(first, second)
    other = None if second is None else second.id
    for change in changes(repository, first.id, other, progress):
        found.count(change.document_id, change.op, change.rows, kept)
    return found


def _told(found: Iterable[Difference], progress: Progress | None) -> Iterator[Difference]:
    """Tell of differences as they are found, many at a time."""
    report = counted(progress)
    count = size = 0
    for difference in found:
        count, size = count + 1, size + len(difference.new or b"")
        if count == _TOLD_AT_ONCE:
            report("found", count, size)
            count = size = 0
        yield difference
    if count:
        report("found", count, size)


def _streamed(lease: ExitStack, found: Iterator[Change]) -> Iterator[Change]:
    """Compute changes as they are asked for; the lease is held until the end."""
    with lease:
        yield from found


def _change(codec: Codec, difference: Difference) -> Change:
    delta = compare(difference.old, difference.new)
    assert delta is not None
    rows = delta.rows if codec.is_plain else tuple(_shown(codec, row) for row in delta.rows)
    return Change(codec.value(delta.key), delta.op, rows, difference.old, difference.new)


def _shown(codec: Codec, row: Row) -> Row:
    return row._replace(value=codec.shown(row.value), old_value=codec.shown(row.old_value))


def _between(hold: Hold | Onlooker, first: VersionId, second: VersionId) -> Iterator[Difference]:
    """Compare two versions by the deltas on their paths from HEAD."""
    repository, head = hold.repository, hold.state.head
    if isinstance(hold, Onlooker):
        yield from _apart(repository, head, first, second, hold.at)
        return
    tree = repository.log.ancestry()
    if first == head:
        for batch in moves_along(repository, tree.path(head, second)):
            for move in batch:
                yield Difference(move.target.key, move.recorded, move.target.raw)
        return
    if second == head:
        for difference in _between(hold, second, first):
            yield Difference(difference.key, difference.new, difference.old)
        return
    yield from _apart(repository, head, first, second)


def _apart(
    repository: Repository,
    head: VersionId,
    first: VersionId,
    second: VersionId,
    at: Timestamp | None = None,
) -> Iterator[Difference]:
    tree = repository.log.ancestry()
    to_first = repository.way(tree.path(head, first))
    across = repository.way(tree.path(first, second))
    for batch in portions(
        proved(repository, across, repository.deltas.along(across), itemgetter(1)),
        lambda group: len(group[1]),
        1_000,
        5_000,
    ):
        crossing = dict(batch)
        leading = repository.deltas.along_for(to_first, list(crossing))
        for portion, recorded in repository.replica.by_keys(list(crossing), at):
            for key in portion:
                old = applied(leading.get(key, ()), recorded.get(key))
                new = applied(crossing[key], old)
                if old != new:
                    yield Difference(key, old, new)


def _to_working_copy(hold: Hold | Onlooker, base: VersionId) -> Iterator[Difference]:
    """Compare a version with the present documents."""
    repository = hold.repository
    copy = sight(hold)
    if base == hold.state.head:
        for changed in copy.changes(note=True):
            for change in changed:
                yield Difference(change.key, change.old, change.new)
        copy.persist()
        return
    done: set[DocumentKey] = set()
    way = repository.way(repository.log.ancestry().path(hold.state.head, base))
    for batch in states_along(repository, way, replica_time(hold)):
        raws = dict(batch)
        done.update(raws)
        for portion, present in by_keys(repository.db, repository.name, list(raws), at=copy.at):
            for key in portion:
                if raws[key] != present.get(key):
                    yield Difference(key, raws[key], present.get(key))
    for changed in copy.changes(note=True):
        for change in changed:
            if change.key not in done:
                yield Difference(change.key, change.old, change.new)
    copy.persist()
