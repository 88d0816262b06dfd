"""Thinning history out: versions that go are left to the kept version behind them.

Each run of versions that go is a step of its own. Their changes are composed under a draft, so
that nothing is lost however the step ends; then the kept version takes the draft in the place
of its own changes, and stands on the kept version before the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.delta import encoded_rows
from versioned_collection.core.retention import Run, bridge
from versioned_collection.core.spans import Span
from versioned_collection.core.sums import MODULUS, Sums
from versioned_collection.core.tree import Ancestry, Path, VersionTree
from versioned_collection.core.version import Gap, Version, VersionId
from versioned_collection.history.composing import Ways, compose, nearer_end
from versioned_collection.history.containing import MOST_NAMED
from versioned_collection.history.versions import entry_of
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository, new_version_id
from versioned_collection.trackers.entries import gap_to_bson


class Thinning:
    """Lets runs of versions go, one after the other under one lease.

    Args:
        hold: The lease.
        tree: All versions.
    """

    def __init__(self, hold: Hold, tree: VersionTree) -> None:
        self._hold = hold
        self._nodes = dict(tree.nodes)
        self._left = Ancestry(self._nodes)
        self._spans = _by_version(hold.repository.spans.all(), tree)

    def let_go(self, run: Run, tags: Sequence[str]) -> None:
        """Let the version at the end of a run stand for all of the run.

        Args:
            run: The versions that go.
            tags: The tags that go with them.
        """
        hold, draft = self._hold, new_version_id()
        hold.begin({"phase": "prepare", "version": draft})
        self._compose(run, draft)
        hold.repository.spans.remove(self._spans_over(run))
        entry = entry_of(hold.repository, run.end)
        commit = Commit(
            forgotten=list(run.versions),
            untagged=list(tags),
            bridged={
                "version": run.end,
                "parents": [run.start, *entry.parents[1:]],
                "gap": gap_to_bson(_gap(hold, run, entry)),
                "draft": draft,
                "moved": False,
            },
            operation={},  # names and HEAD stay, so there is nothing to undo
        )
        committer = Committer(hold)
        committer.declare(commit)
        committer.complete(commit)
        hold.refresh()
        bridge(self._nodes, run)

    def _compose(self, run: Run, draft: VersionId) -> None:
        """Store what changes between the ends of a run under a draft."""
        hold, repository = self._hold, self._hold.repository
        here, is_end = nearer_end(self._left, hold.state.head, run.start, run.end)
        line = Path((), (*run.versions, run.end), ends=(run.start, run.end))
        through = repository.way(line)
        for deltas, _ in compose(repository, Ways(through, repository.way(here), is_end)):
            hold.lease.check()
            repository.deltas.append(draft, deltas)

    def _spans_over(self, run: Run) -> list[VersionId]:
        """Return the spans that stand for versions of a run, or for the one behind it.

        That one's changes become others, and so one that begins with it would lack some of them.
        """
        concerned = (*run.versions, run.end)
        return list(dict.fromkeys(span for one in concerned for span in self._spans.get(one, ())))


def _gap(hold: Hold, run: Run, entry: Version) -> Gap:
    """Return what is to be known of the versions that go, and of the last one as it was."""
    repository = hold.repository
    found = {one.id: one for one in repository.log.get_many((*run.versions, *entry.parents))}
    gone = [found[version] for version in run.versions]
    names = [named for one in (*gone, entry) for named in _names(one, is_gone=one is not entry)]
    if entry.gap is not None:
        parents, digest = entry.gap.parents, entry.gap.digest
    else:
        parents = tuple(found[one].checksum for one in entry.parents)
        digest = _digest(repository, entry.id)
    return Gap(tuple(names[-MOST_NAMED:]), parents, digest)


def _digest(repository: Repository, version: VersionId) -> int:
    sums = Sums()
    for delta in repository.deltas.of_version(version):
        sums.add(delta, encoded_rows(delta))
    return sums.digest % MODULUS


def _names(entry: Version, *, is_gone: bool) -> Iterable[tuple[VersionId, str, int]]:
    yield from entry.gap.versions if entry.gap is not None else ()
    if is_gone:
        yield entry.id, entry.branch, entry.number


def _by_version(spans: Iterable[Span], tree: VersionTree) -> dict[VersionId, list[VersionId]]:
    """Return which spans stand for each version."""
    found: dict[VersionId, list[VersionId]] = {}
    for span in spans:
        if span.end in tree:
            for _, version in zip(range(span.versions), tree.ancestors(span.end), strict=False):
                found.setdefault(version, []).append(span.id)
    return found
