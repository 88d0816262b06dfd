"""Log entries that come and go with a commit, and labels that change: at once, or in parts.

Without names that point to them, entries are not in anybody's way. So what is too much for one
transaction enters ahead of the names and leaves behind them, once the commit is declared and all
documents have moved. Conflicts that are settled go ahead of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from versioned_collection.committing.commit import Commit
from versioned_collection.core.portions import portions
from versioned_collection.documents.moves import BATCH
from versioned_collection.repository.repository import Repository

BYTES_ENTERING = 8 * 1024 * 1024
"""What the log entries of one transaction have; the smallest caches hold some 30 MB of them."""


def fits_at_once(repository: Repository, commit: Commit, most: int) -> bool:
    """Tell whether one transaction carries the log entries and labels of a commit.

    Args:
        repository: The trackers.
        commit: The commit; the conflicts that it settles count as well.
        most: How many of them a transaction may change.
    """
    count = len(commit.arrived) + len(commit.labels) + len(commit.forgotten) + len(commit.settled)
    if count <= most and commit.relabelled:
        old, _ = commit.relabelled
        count += repository.log.count_on(old, commit.renumbered, most + 1)
    if count > most:
        return False
    versions = [version for version, _, _ in commit.arrived]
    return sum(repository.incoming.sizes(versions).values()) <= BYTES_ENTERING


def in_parts(repository: Repository, commit: Commit) -> Iterator[Commit]:
    """Iterate over commits that together do this, each small enough for one transaction.

    All may be done again, as long as the last of them is not.
    """
    if fits_at_once(repository, commit, BATCH):
        yield commit
        return
    yield from _entering(repository, commit)
    names = replace(commit, labels=[], relabelled=[], arrived=[], forgotten=[])
    yield replace(names, settled=commit.taken_out)  # they say where what waits has moved to
    # children before their parents, as readers look for these
    for forgotten in portions(commit.forgotten[::-1], lambda _: 1, BATCH, BATCH):
        yield Commit(forgotten=forgotten)


def _entering(repository: Repository, commit: Commit) -> Iterator[Commit]:
    """Iterate over what is ahead of the names.

    Labels come first, as what enters may get those that others give up, and parents before their
    children, as whoever reads meanwhile looks for them.
    """
    labels = commit.labels
    if commit.relabelled:
        old, new = commit.relabelled
        by = commit.renumbered
        nodes = repository.log.nodes_on(old, by)
        labels = [*labels, *([node.id, new, node.number + by] for node in nodes)]
    for some in portions(labels, lambda _: 1, BATCH, BATCH):
        yield Commit(labels=some)
    for arrived in arriving(repository, commit.arrived):
        yield Commit(arrived=arrived)
    taken_out = set(commit.taken_out)
    rest = (one for one in commit.settled if one not in taken_out)
    for settled in portions(rest, lambda _: 1, BATCH, BATCH):
        yield Commit(settled=settled)


def arriving(repository: Repository, arrived: Sequence[list[Any]]) -> Iterator[list[list[Any]]]:
    """Iterate over versions that came from elsewhere, as many at a time as may enter at once.

    Args:
        repository: The trackers; the versions are announced there, or in the log already.
        arrived: Id, branch and number of each.
    """
    sizes = repository.incoming.sizes([version for version, _, _ in arrived])
    return portions(arrived, lambda one: sizes.get(one[0], 0), BATCH, BYTES_ENTERING)
