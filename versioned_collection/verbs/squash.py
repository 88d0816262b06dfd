"""squash: several versions of the current branch become one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import bson

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.delta import Delta, compare
from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.tree import Path, VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.documents.moves import batched
from versioned_collection.documents.proved import lacking
from versioned_collection.errors import InvalidArgument, InvalidOperation
from versioned_collection.history.facts import check_said, check_texts
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recording import Chain
from versioned_collection.working.recovery import holding
from versioned_collection.working.working_copy import Change


class Said(NamedTuple):
    """What the caller says about the version; what is left out comes from the range."""

    message: str | None = None
    author: Any = None
    metadata: Mapping[str, Any] | None = None


NOTHING_SAID = Said()


def squash(
    repository: Repository,
    first: RevisionLike,
    last: RevisionLike = "HEAD",
    said: Said = NOTHING_SAID,
    progress: Progress | None = None,
) -> Version:
    """Make one version of those from `first` to `last`; later ones follow it.

    No document changes, neither in the collection nor in HEAD.

    Returns:
        The version that the range became.

    Raises:
        InvalidArgument: The range holds the first version of all, is none, or is not on the
            way to HEAD; or the messages together are too large.
        InvalidOperation: HEAD is detached, or the versions are too many for one step.
        InvalidCollectionVersion: There is no such version.
        CorruptHistory: Changes are missing.
    """
    check_said(said.message, said.author, said.metadata)
    with holding(repository, "squash") as hold:
        if hold.state.detached:
            raise InvalidOperation(
                "HEAD is detached, so no branch could hold the new versions; check out a branch, "
                "or create one here, then squash"
            )
        span = _span(hold, first, last)
        entries = {one.id: one for one in repository.log.get_many(span.range)}
        range_ = [entries[version] for version in span.range]
        if len(range_) == 1 and said == NOTHING_SAID:
            return range_[0]
        facts = _facts(range_, said)
        check_texts(facts.message, facts.stored_author, facts.stored_metadata)
        chain = _recorded(hold, span, facts, progress)
        tip = chain.tip.id
        if chain.tip.fingerprint != entry_of(repository, hold.state.head).fingerprint:
            raise lacking((span.base, hold.state.head))
        commit = Commit(state={"head": tip}, log=chain.entries, branches={hold.state.branch: tip})
        Committer(hold, progress).references(commit)
        return entry_of(repository, chain.made[0].id)


class _Span(NamedTuple):
    """What is squashed: versions on the way from `base` to HEAD, each list oldest first."""

    base: VersionId
    range: tuple[VersionId, ...]
    later: tuple[VersionId, ...]
    merged: tuple[VersionId, ...]


def _span(hold: Hold, first: RevisionLike, last: RevisionLike) -> _Span:
    resolver = Resolver(hold.repository, hold.state)
    start, end = resolver.resolve(first), resolver.resolve(last)
    tree = hold.repository.log.tree()
    line = list(tree.ancestors(hold.state.head))[::-1]
    for version, name in ((end, "last"), (start, "first")):
        if version not in line:
            raise InvalidArgument(
                f"{tree.nodes[version].label} is not among the first parents of HEAD; log() lists "
                "those that can be squashed",
                **{name: version},
            )
    place, until = line.index(start), line.index(end) + 1
    if place >= until:
        raise InvalidArgument(
            f"{tree.nodes[start].label} comes after {tree.nodes[end].label}; name the earlier "
            "version first",
            first=start,
            last=end,
        )
    if not place:
        raise InvalidArgument(
            f"{tree.nodes[start].label} is the first version, which has no parent that the "
            "squashed version could stand on; begin with a later one",
            first=start,
        )
    base, range_ = line[place - 1], line[place:until]
    return _Span(base, tuple(range_), tuple(line[until:]), _merged_into(tree, base, range_))


def _merged_into(
    tree: VersionTree, base: VersionId, range_: Sequence[VersionId]
) -> tuple[VersionId, ...]:
    """Return what was merged within a range, as parents: none that another one contains."""
    known = ancestors_of(tree, base).union(range_)
    found = dict.fromkeys(p for one in range_ for p in tree.nodes[one].parents[1:])
    merged = [version for version in found if version not in known]
    above = {p for version in merged for p in tree.nodes[version].parents}
    contained = ancestors_of(tree, *above)
    return tuple(version for version in merged if version not in contained)


def _facts(range_: Sequence[Version], said: Said) -> Version:
    """Return the last version of a range with the words of all, or those that were given."""
    message, author, metadata = said
    if message is None:
        message = "\n\n".join(version.message for version in range_ if version.message)
    if author is None and len({bson.encode({"": one.stored_author}) for one in range_}) == 1:
        author = range_[0].stored_author
    if metadata is None:
        metadata = {name: value for one in range_ for name, value in one.stored_metadata.items()}
    return replace(range_[-1], message=message, stored_author=author, stored_metadata=metadata)


def _recorded(hold: Hold, span: _Span, squashed: Version, progress: Progress | None) -> Chain:
    """Record the range as one version, and what follows on top of it.

    Each keeps the time of the last version it stands for: revisions by time lead to the
    same documents as before.
    """
    repository = hold.repository
    base = entry_of(repository, span.base)
    chain = Chain(hold, hold.state.branch, base, 1 + len(span.later), progress)
    recording = chain.recording()
    recording.append(_changes(repository, span))
    chain.add(recording, squashed, span.merged, squashed.timestamp)
    for version in (entry_of(repository, later) for later in span.later):
        recording = chain.recording()
        deltas = repository.deltas.of_version(version.id)
        recording.append(
            [Change(delta.key, None, None, delta) for delta in batch]
            for batch in batched(deltas, lambda one: (one,))
        )
        chain.add(recording, version, version.parents[1:], version.timestamp)
    return chain


def _changes(repository: Repository, span: _Span) -> Iterator[list[Change]]:
    """Iterate over what differs between both ends of the range.

    The replica holds the documents of HEAD; what changed more than once is compared as it was
    at both ends, which are computed from there.
    """
    ways = (repository.way(Path((), line)) for line in (span.later, span.range))
    found = repository.deltas.changed_by_them(*ways)
    for batch in batched(found, lambda one: (*one[1], *one[2])):
        again = {key: (since, within) for key, since, within in batch if len(within) > 1}
        deltas = {key: within[0] for key, _, within in batch if len(within) == 1}
        for portion, recorded in repository.replica.by_keys(list(again)):
            for key in portion:
                delta = _composed(recorded.get(key), *again[key])
                assert delta is not None
                deltas[key] = delta
        yield [Change(key, None, None, deltas[key]) for key, _, _ in batch]


def _composed(recorded: bytes | None, since: list[Delta], within: list[Delta]) -> Delta | None:
    new = recorded
    for delta in reversed(since):
        new = (~delta).apply(new)
    old = new
    for delta in reversed(within):
        old = (~delta).apply(old)
    return compare(old, new)
