"""thin_out: versions that nobody needs on their own go, and what they changed stays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from versioned_collection.core.retention import Retention, Run, needed, runs
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidType
from versioned_collection.observing import Progress, counted, verb
from versioned_collection.pruning.thinning import Thinning
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.working.recovery import holding

MOST_SECONDS = 2.0
"""How long other verbs wait for this one, and one run of versions more, at a time."""


@dataclass(frozen=True, slots=True)
class ThinnedOut:
    """What was thinned out, or would be.

    Attributes:
        versions: The labels of the versions that went.
        kept: How many versions are left.
        tags: The tags that went with them.
    """

    versions: tuple[str, ...] = ()
    kept: int = 0
    tags: tuple[str, ...] = ()


class _Plan(NamedTuple):
    tree: VersionTree
    runs: list[Run]
    tags: Mapping[str, VersionId]

    def tags_of(self, run: Run) -> list[str]:
        """Return the tags of the versions of a run."""
        going = set(run.versions)
        return [name for name, version in self.tags.items() if version in going]

    def outcome(self) -> ThinnedOut:
        """Return what becomes of it."""
        nodes = [self.tree.nodes[version] for run in self.runs for version in run.versions]
        nodes.sort(key=lambda node: (node.branch, node.number))
        tags = sorted(tag for run in self.runs for tag in self.tags_of(run))
        labels = tuple(node.label for node in nodes)
        return ThinnedOut(labels, len(self.tree) - len(labels), tuple(tags))


@verb("thin_out")
def thin_out(
    repository: Repository,
    retention: Retention,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ThinnedOut:
    """Remove the versions that no rule keeps, and leave their changes to those behind them.

    It takes the lease for one bounded step after the other, so that others come in between.

    Returns:
        What was removed.

    Raises:
        InvalidType: `retention` is none.
        InvalidOperation: A merge waits.
    """
    if not isinstance(retention, Retention):
        raise InvalidType(
            f"retention is a Retention(...), not {type(retention).__name__}", argument="retention"
        )
    now = repository.now()
    if dry_run:
        with holding(repository, "thin_out") as hold:
            return _planned(hold, retention, now).outcome()
    done: list[ThinnedOut] = []
    report = counted(progress)
    while True:
        with holding(repository, "thin_out") as hold:
            plan = _planned(hold, retention, now)
            if not plan.runs:
                return _together(done, len(plan.tree))
            done.append(_carry_out(hold, plan))
        report("versions", len(done[-1].versions))


def _carry_out(hold: Hold, plan: _Plan) -> ThinnedOut:
    """Let some runs go, one at least; return which."""
    until = time.monotonic() + MOST_SECONDS
    thinning = Thinning(hold, plan.tree)
    gone: list[Run] = []
    for run in plan.runs:
        if gone and time.monotonic() > until:
            break
        thinning.let_go(run, plan.tags_of(run))
        gone.append(run)
    return plan._replace(runs=gone).outcome()


def _together(done: Sequence[ThinnedOut], kept: int) -> ThinnedOut:
    versions = tuple(label for one in done for label in one.versions)
    return ThinnedOut(versions, kept, tuple(tag for one in done for tag in one.tags))


def _planned(hold: Hold, retention: Retention, now: datetime) -> _Plan:
    """Return which versions go, those near to HEAD first: from there documents are reached."""
    repository = hold.repository
    tree = repository.log.tree()
    if retention.keeps_all:
        return _Plan(tree, [], {})
    tags = {name: tag["version"] for name, tag in repository.tags.documents().items()}
    named = [*_named(hold), *_parting(repository, tree)]
    named += tags.values() if retention.keep_tags else ()
    tips = [tip for tip in repository.branches.all().values() if tip in tree]
    kept = needed(tree, (*named, *tips))
    kept |= retention.kept(tree, repository.log.times(), tips, now)
    distances = tree.distances(hold.state.head)
    found = sorted(runs(tree, kept), key=lambda run: distances[run.end])
    return _Plan(tree, found, tags)


def _named(hold: Hold) -> Iterator[VersionId]:
    """Iterate over versions to which something points beside branches and tags."""
    for remote in hold.repository.remotes.all():
        yield from remote.tips.values()
    for one in hold.everywhere():
        yield from _named_in(one.repository, one.state)


def _parting(repository: Repository, tree: VersionTree) -> Iterator[VersionId]:
    """Iterate over versions where branches part of which one was thinned out before it came."""
    for thinned in repository.log.all_thinned():
        yield from islice((one for one in reversed(thinned) if one in tree), 1)


def _named_in(repository: Repository, state: Metadata) -> Iterator[VersionId]:
    """Iterate over versions to which something of a working copy points."""
    yield from state.needed
    for header in state.stashes:
        yield header["head"]
    shown = set(repository.overlays.views().values())
    yield from (one.version for one in repository.overlays.all() if one.slot in shown)
