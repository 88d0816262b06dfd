"""verify: check every invariant on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from versioned_collection.core.version import (
    Version,
    VersionId,
)
from versioned_collection.errors import CorruptHistory, VersioningError
from versioned_collection.observing import Progress, counted, iterated
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import Tracker
from versioned_collection.verifying.copies import beside, documents_of, own, worktrees
from versioned_collection.verifying.history import (
    beside_history,
    is_tree,
    purges,
    recorded,
    references,
    seals,
    shortcuts,
)
from versioned_collection.verifying.problem import UNREADABLE, Problem, told
from versioned_collection.verifying.replay import Replay
from versioned_collection.verifying.stated import all_stated
from versioned_collection.working.recovery import holding


@iterated("verify")
def verify(
    repository: Repository,
    tip: Version | VersionId | str | None = None,
    progress: Progress | None = None,
) -> Iterator[Problem]:
    """Iterate over all problems; there are none when all is well.

    Every version is proved restorable: each document's deltas are replayed through the
    whole tree, in both directions, starting from HEAD.

    Args:
        repository: The trackers.
        tip: A version, version id or checksum that was recorded elsewhere and has to be in
            the log still. Nothing else can tell when the newest versions were cut off.
        progress: Told how many documents and changes were checked.
    """
    unreadable = _unreadable_states(repository)
    if unreadable:
        yield from told("metadata", unreadable)
        return
    with holding(repository, "verify") as hold:
        report = counted(progress)
        stated = all_stated(repository, unreadable)
        yield from told("log", unreadable)
        tree = repository.log.tree(unreadable=[])  # told above
        tips = repository.branches.all(unreadable)
        yield from told("reference", unreadable)
        yield from references(repository, hold.state, tips, tree)
        yield from recorded(stated, tip)
        yield from beside_history(repository)
        yield from worktrees(hold)
        yield from _indexes(hold.trackers())
        yield from own(repository, hold.state)
        if not is_tree(tree):
            yield Problem("log", "the versions in the log do not form one tree")
            return
        for name in hold.others:
            yield from beside(hold.beside(name), stated, tips, tree, report)
        if hold.state.head not in tree:
            return
        yield from documents_of(repository, stated, stated.get(hold.state.head), report)
        yield from shortcuts(repository, stated)
        replay = Replay(repository, tree, hold.state.head, report)
        try:
            yield from replay.run()
        except UNREADABLE as error:
            yield Problem("delta", f"the deltas cannot be read: {error}")
            return
        yield from seals(repository, stated, replay)
        yield from purges(repository, stated)


def _unreadable_states(repository: Repository) -> list[VersioningError]:
    """Return why a verb cannot begin: a state that was edited; one of another format raises."""
    try:
        repository.state()
        repository.metadata.read_all()
    except CorruptHistory as error:
        return [error]
    return []


def _indexes(trackers: Iterable[Tracker]) -> Iterator[Problem]:
    """Check that trackers have their indexes, one of which keeps labels apart."""
    for tracker in trackers:
        for name in () if tracker.at_first_use else tracker.missing_indexes():
            yield Problem(
                "index",
                f"{tracker.name} has lost its index {name}; gc() makes it again",
                {"collection": tracker.name, "index": name},
            )
