"""Which versions are kept: the latest, one of each day and the like, and those others need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from versioned_collection.core.times import ago, utc
from versioned_collection.core.tree import Node, VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidArgument, InvalidType

Age = timedelta | float | int

_PERIODS: dict[str, Callable[[datetime], object]] = {
    "hourly_after": lambda time: (time.date(), time.hour),
    "daily_after": lambda time: time.date(),
    "weekly_after": lambda time: time.isocalendar()[:2],
    "monthly_after": lambda time: (time.year, time.month),
    "yearly_after": lambda time: time.year,
}
"""What versions have in common of which one is kept, by the name of the rule."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Which versions are kept when history is thinned out.

    Without any rule all are. A version that one rule keeps stays, whatever the others say. What
    others stand on is kept in any case: the first version, tips, where branches part and meet.

    Attributes:
        keep_last: How many of the latest on the way to each branch's tip, this one included.
        hourly_after: The age, a `timedelta` or days, after which one version an hour is kept:
            the last one (UTC). All younger ones are, unless another rule says so.
        daily_after: The same for one a day.
        weekly_after: The same for one a week, which begins on Monday.
        monthly_after: The same for one a month.
        yearly_after: The same for one a year.
        keep_tags: Keep versions with tags. Otherwise the tags go with them.

    Raises:
        InvalidType: A rule is of the wrong type.
        InvalidArgument: A number is negative, or none is kept of the latest.
    """

    keep_last: int | None = None
    hourly_after: Age | None = None
    daily_after: Age | None = None
    weekly_after: Age | None = None
    monthly_after: Age | None = None
    yearly_after: Age | None = None
    keep_tags: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.keep_tags, bool):
            raise InvalidType("keep_tags is True or False", keep_tags=self.keep_tags)
        last = self.keep_last
        if last is not None and (isinstance(last, bool) or not isinstance(last, int)):
            raise InvalidType("keep_last is a whole number", keep_last=last)
        if last is not None and last < 1:
            raise InvalidArgument(
                "keep_last is at least 1: the tip of a branch always stays", keep_last=last
            )
        for name in _PERIODS:
            _check_age(name, getattr(self, name))

    @property
    def keeps_all(self) -> bool:
        """Whether there is no rule after which a version may go."""
        return self.keep_last is None and not self._ages

    @property
    def _ages(self) -> dict[str, timedelta]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: age if isinstance(age, timedelta) else timedelta(days=age)
            for name, age in found.items()
            if name in _PERIODS and age is not None
        }

    def kept(
        self,
        tree: VersionTree,
        times: Mapping[VersionId, datetime],
        tips: Collection[VersionId],
        now: datetime,
    ) -> set[VersionId]:
        """Return the versions that a rule keeps.

        Args:
            tree: All versions.
            times: When each was registered.
            tips: The tips of branches.
            now: The present time.
        """
        if self.keeps_all:
            return set(tree)
        kept = set(self._latest(tree, tips))
        ages = self._ages
        when = {version: utc(times[version]) for version in tree}
        if ages:
            young = ago(min(ages.values()), now)
            kept.update(version for version, time in when.items() if time > young)
        for name, age in ages.items():
            since = ago(age, now)
            old = {version: time for version, time in when.items() if time <= since}
            kept.update(_last_of_each(_PERIODS[name], tree, old))
        return kept

    def _latest(self, tree: VersionTree, tips: Collection[VersionId]) -> Iterable[VersionId]:
        for tip in tips if self.keep_last else ():
            for _, version in zip(range(self.keep_last or 0), tree.ancestors(tip), strict=False):
                yield version


def _check_age(name: str, age: object) -> None:
    if age is None:
        return
    if isinstance(age, bool) or not isinstance(age, (timedelta, int, float)):
        raise InvalidType(f"{name} is a timedelta, or a number of days", **{name: age})
    if not (age >= timedelta(0) if isinstance(age, timedelta) else 0 <= age < 1e6):
        raise InvalidArgument(f"{name} is not negative, and less than a million days")


def _last_of_each(
    period: Callable[[datetime], object], tree: VersionTree, times: Mapping[VersionId, datetime]
) -> Iterable[VersionId]:
    """Return the last version of each period on each branch."""
    last: dict[object, tuple[datetime, VersionId]] = {}
    for version, time in times.items():
        place = tree.nodes[version].branch, period(time)
        last[place] = max(last.get(place, (time, version)), (time, version))
    return [version for _, version in last.values()]


def needed(tree: VersionTree, named: Iterable[VersionId]) -> set[VersionId]:
    """Return the versions that others stand on.

    They are those that are named, the first one, those without children, where branches part,
    and merges with all that they join.

    Args:
        tree: All versions.
        named: Versions to which names or working copies point.
    """
    found = {version for version in named if version in tree}
    for version in tree:
        parents = tree.nodes[version].parents
        if not parents or len(tree.children(version)) != 1:
            found.add(version)
        if len(parents) > 1:
            found.update((version, *parents))
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive versions that go.

    Attributes:
        start: The kept version before them.
        versions: The versions, oldest first.
        end: The kept version behind them, which stands for them then.
    """

    start: VersionId
    versions: tuple[VersionId, ...]
    end: VersionId


def bridge(nodes: MutableMapping[VersionId, Node], run: Run) -> None:
    """Leave a run out of the nodes of a tree."""
    end = nodes[run.end]
    nodes[run.end] = replace(end, parents=(run.start, *end.parents[1:]))
    for version in run.versions:
        del nodes[version]


def runs(tree: VersionTree, kept: Collection[VersionId]) -> list[Run]:
    """Return the runs of versions that are not kept; each has one kept version at either end."""
    found = []
    for end in kept:
        line: list[VersionId] = []
        for version in tree.ancestors(end):
            if version != end and version in kept:
                if line:
                    found.append(Run(version, tuple(line[::-1]), end))
                break
            if version != end:
                line.append(version)
    return found
