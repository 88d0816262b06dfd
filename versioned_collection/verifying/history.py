"""The history: its versions form one tree, its names point into it, its checksums hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from versioned_collection.core.delta import encoded_rows
from versioned_collection.core.spans import Span
from versioned_collection.core.sums import MODULUS, Sums
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import (
    Version,
    VersionId,
    fingerprint_text,
    sealed,
)
from versioned_collection.errors import VersioningError
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.verifying.problem import UNREADABLE, Problem, told
from versioned_collection.verifying.replay import Replay
from versioned_collection.verifying.stated import Stated


def references(
    repository: Repository, state: Metadata, tips: Mapping[str, VersionId], tree: VersionTree
) -> Iterator[Problem]:
    """Check that names and parents are versions of the log, and that one of them has no parent."""
    unreadable: list[VersioningError] = []
    tags = repository.tags.documents(unreadable=unreadable)
    yield from told("reference", unreadable)
    yield from head_of(state, tips, tree)
    names = {**tips, **{name: tag["version"] for name, tag in tags.items()}}
    for name, version in names.items():
        if version not in tree:
            yield Problem(
                "reference", f"{name!r} points to the unknown version {version}", {"name": name}
            )
    roots = [node.id for node in tree.nodes.values() if not node.parents]
    if len(roots) != 1:
        yield Problem("log", f"the log has {len(roots)} roots", {"roots": roots})
    for node in tree.nodes.values():
        missing = [parent for parent in node.parents if parent not in tree]
        if missing:
            yield Problem("log", f"a parent of {node.id} is missing", {"version": node.id})


def head_of(
    state: Metadata, tips: Mapping[str, VersionId], tree: VersionTree
) -> Iterator[Problem]:
    """Check what a working copy has checked out."""
    if state.head not in tree:
        yield Problem("head", f"HEAD is the unknown version {state.head}", {"head": state.head})
    if not state.detached and tips.get(state.branch) != state.head:
        yield Problem("head", f"HEAD is not the tip of {state.branch!r}", {"branch": state.branch})


def is_tree(tree: VersionTree) -> bool:
    """Tell whether all versions are reached from one root."""
    root = tree.root
    return root is not None and sum(1 for _ in tree.descendants(root)) == len(tree)


def recorded(
    stated: Mapping[VersionId, Stated], tip: Version | VersionId | str | None
) -> Iterator[Problem]:
    """Check that the log has a version that was recorded elsewhere, as it was."""
    if tip is None:
        return
    if isinstance(tip, Version):
        found = tip.id in stated and stated[tip.id].checksum == tip.checksum
        tip = tip.id
    else:
        found = any(str(tip) in (str(one.id), one.checksum) for one in stated.values())
    if not found:
        yield Problem(
            "tip", f"the recorded version {tip} is not in the log as it was", {"version": tip}
        )


def seals(
    repository: Repository, stated: Mapping[VersionId, Stated], replay: Replay
) -> Iterator[Problem]:
    """Check fingerprints and checksums of all versions."""
    told_before: list[VersioningError] = []
    for entries in repository.log.in_replies(unreadable=told_before):
        for entry in entries:
            parents = [stated[parent] for parent in entry.parents if parent in stated]
            if len(parents) == len(entry.parents):  # else one cannot be read, which was told
                yield from _seal(entry, parents, replay)


def _seal(entry: Version, parents: Sequence[Stated], replay: Replay) -> Iterator[Problem]:
    digest = replay.digests.get(entry.id, 0) % MODULUS
    if not sealed(entry, [parent.checksum for parent in parents], digest):
        yield Problem(
            "checksum", f"{entry.label} does not match its checksum", {"version": entry.id}
        )
    if parents:
        moved = int(parents[0].fingerprint, 16) + replay.contents.get(entry.id, 0)
        if fingerprint_text(moved % MODULUS) != entry.fingerprint:
            yield Problem(
                "fingerprint",
                f"the changes of {entry.label} do not lead to its content",
                {"version": entry.id},
            )


def purges(repository: Repository, stated: Mapping[VersionId, Stated]) -> Iterator[Problem]:
    """Check that no version is as it was before a purge.

    One that was deleted since, and came back from another side, may have been purged there again.
    """
    unreadable: list[VersioningError] = []
    noted = (
        entry
        for tombstone in repository.purges.tombstones(unreadable)
        for entries_of_it in repository.purges.checksums(tombstone.id, unreadable)
        for entry in entries_of_it
    )
    for entry in noted:
        found = stated.get(entry.version)
        if found is not None and found.checksum == entry.old:
            yield Problem(
                "purge",
                f"{found.label} has the checksum that it had before it was purged",
                {"version": found.id},
            )
    yield from told("purge", unreadable)


def shortcuts(repository: Repository, stated: Mapping[VersionId, Stated]) -> Iterator[Problem]:
    """Check that spans lead from one version to the other; one that does not is removed."""
    for span in repository.spans.all():
        ends = [stated[version] for version in (span.start, span.end) if version in stated]
        if span.kept and len(ends) == 2 and not _leads(repository, span, *ends):
            repository.spans.remove([span.id])
            yield Problem(
                "span",
                f"what stood for the versions from {ends[0].label} to {ends[1].label} was not "
                "what they add up to. It is removed, and nothing is lost: they tell as well",
                {"version": span.end},
            )


def _leads(repository: Repository, span: Span, start: Stated, end: Stated) -> bool:
    sums = Sums()
    try:
        for delta in repository.spans.of_version(span.id):
            sums.add(delta, encoded_rows(delta))
    except (VersioningError, *UNREADABLE, LookupError):
        return False
    moved = int(start.fingerprint, 16) + sums.content - int(end.fingerprint, 16)
    is_whole = sums.digest % MODULUS == span.digest
    return is_whole and moved % MODULUS == 0


def beside_history(repository: Repository) -> Iterator[Problem]:
    """Check what is kept beside the history, and is no part of it."""
    unreadable: list[VersioningError] = []
    repository.remotes.all(unreadable)
    yield from told("remote", unreadable)
    deque(repository.checks.all(unreadable=unreadable), maxlen=0)
    yield from told("check", unreadable)
