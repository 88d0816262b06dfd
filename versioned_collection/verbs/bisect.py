"""bisect: the version that broke something, found by halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.answers import answer
from versioned_collection.core.version import Version, VersionId
from versioned_collection.errors import InvalidArgument, InvalidType
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress, counted, verb
from versioned_collection.past.plan import Planner
from versioned_collection.past.view import PastCollection
from versioned_collection.working.selection import refusals

Predicate = Mapping[str, Any] | Callable[[PastCollection[DocumentType]], Any]
"""What is bad: a document that matches a filter, or what a callable says of a version."""


@verb("bisect")
def bisect(
    planner: Planner,
    good: RevisionLike,
    bad: RevisionLike,
    predicate: Predicate[DocumentType],
    view: Callable[[Version], PastCollection[DocumentType]],
    progress: Progress | None = None,
) -> Version:
    """Return the first bad version on the way from a good one to a bad one.

    Args:
        planner: Its repository counts.
        good: A version before it.
        bad: That version, or a later one.
        predicate: Tells whether a version is bad.
        view: Returns a version to be read.
        progress: Told how many versions were looked at.

    Raises:
        InvalidArgument: The good version is bad, or the bad one good; or no way leads from one
            to the other.
        InvalidType: The predicate is something else, or its answer has to be awaited.
    """
    judge, report = _judge(predicate), counted(progress)
    repository = planner.repository
    resolver = Resolver(repository, repository.state())
    ends = [entry_of(repository, resolver.resolve(one)) for one in (good, bad)]
    way = _way(planner, *ends)

    def is_bad(version: Version) -> bool:
        found = bool(answer(judge(view(version)), "the predicate"))
        report("versions", 1)
        return found

    for end, expected in zip(ends, (False, True), strict=True):
        if is_bad(end) is not expected:
            given, found = ("bad", "good") if expected else ("good", "bad")
            raise InvalidArgument(
                f"{end.label} was given as {given}, and it is {found}; give other ends, or check "
                "what tells good from bad",
                version=end.id,
            )
    first, last = 0, len(way) - 1
    while first < last:
        middle = (first + last) // 2
        if is_bad(entry_of(repository, way[middle])):
            last = middle
        else:
            first = middle + 1
    return entry_of(repository, way[first])


def _judge(
    predicate: Predicate[DocumentType],
) -> Callable[[PastCollection[DocumentType]], Any]:
    if isinstance(predicate, Mapping):
        return partial(_has_match, predicate)
    if not callable(predicate):
        raise InvalidType(
            "the predicate is a filter, or a callable that takes a version and tells whether it "
            f"is bad, not {type(predicate).__name__}",
            argument=predicate,
        )
    return predicate


def _way(planner: Planner, good: Version, bad: Version) -> tuple[VersionId, ...]:
    """Return the versions after the good one, up to the bad one."""
    path = planner.repository.log.ancestry().path(good.id, bad.id)
    if path.backward or not path.forward:
        raise InvalidArgument(
            f"{good.label} is not before {bad.label}: the good version is one from which the bad "
            "one was made, along first parents",
            good=good.id,
            bad=bad.id,
        )
    return path.forward


def _has_match(filter_: Mapping[str, Any], version: PastCollection[Any]) -> bool:
    with refusals(filter_):
        return version.find_one(filter_, {"_id": 1}) is not None
