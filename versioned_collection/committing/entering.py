"""Log entries that come with a commit, and labels that change: in one transaction, or in batches.

Without names that point to them, entries are not in anybody's way. So what is too much for one
transaction enters ahead of the names, once the commit is declared and all documents have moved.
"""

from __future__ import annotations

from collections.abc import Iterator

from versioned_collection.commit import Commit
from versioned_collection.core.portions import portions
from versioned_collection.moves import BATCH, SMALL_DOCUMENTS
from versioned_collection.repository import Repository

BYTES_ENTERING = 8 * 1024 * 1024
"""What the log entries of one transaction have; the smallest caches hold some 30 MB of them."""


def fits_at_once(repository: Repository, commit: Commit) -> bool:
    """Tell whether one transaction carries what enters the log, and the labels that change."""
    if len(commit.arrived) + len(commit.labels) > SMALL_DOCUMENTS:
        return False
    versions = [version for version, _, _ in commit.arrived]
    return sum(repository.incoming.sizes(versions).values()) <= BYTES_ENTERING


def in_batches(repository: Repository, commit: Commit) -> Iterator[Commit]:
    """Iterate over commits that together do this.

    Labels come first, as what enters may get those that others give up, and parents before their
    children, as whoever reads meanwhile looks for them.
    """
    for labels in portions(commit.labels, lambda _: 1, BATCH, BATCH):
        yield Commit(labels=labels)
    sizes = repository.incoming.sizes([version for version, _, _ in commit.arrived])
    for arrived in portions(
        commit.arrived, lambda one: sizes.get(one[0], 0), BATCH, BYTES_ENTERING
    ):
        yield Commit(arrived=arrived)
