"""Two sides of which one was purged: the same versions, with other changes and checksums.

A checksum covers those of the parents. So what was purged shows at every version above it, as at
those to which names point. Versions that only one side has may hold it though they stand on none
of these, as one does that was picked onto an older version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from bson.objectid import ObjectId

from versioned_collection.core.times import utc_text
from versioned_collection.core.tree import Node
from versioned_collection.core.version import VersionId, author_text
from versioned_collection.errors import HistoryPurged, TransferRefused
from versioned_collection.remotes.base import Refs, Remote
from versioned_collection.remotes.checked import check_tombstones, refused
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.trackers.purges import Tombstone

_VERSIONS_AT_ONCE = 10_000
_OTHER_WAY = "a version was deleted on one side, or thinned out before"
"""Why the same purge may not lead to the same history."""


class Agreed(NamedTuple):
    """What two sides agreed about when they were compared.

    Attributes:
        versions: Versions about which both say the same, if both have them.
        purges: The purges of which this side knows, and those of which the other one does.
    """

    versions: Collection[VersionId]
    purges: tuple[set[ObjectId], set[ObjectId]]


def refuse_other_history(here: MongoRemote, there: Remote, refs: Refs) -> Agreed:
    """Make sure that nothing was purged from one side which the other one still holds.

    As a rule that takes what names point to. Where a side was purged of which the other one does
    not know, be it that both were, all versions are compared: names may have moved on.

    Args:
        here: This side.
        there: The other side.
        refs: Where its names point.

    Raises:
        HistoryPurged: One side was purged and still is different.
        TransferRefused: They differ, and no purge tells why.
    """
    refuse_purged(here, there, here.checksums(list(refs.checksums)), refs.checksums)
    own = here.refs()
    named = {} if own is None else own.checksums
    if named:
        refuse_purged(here, there, named)
    known_here, known_there = known = _known_purges(here, there)
    agreed = Agreed({*refs.checksums, *named}, known)
    if known_here == known_there:
        return agreed
    everything = list(here.repository.log.checksums().items())
    for start in range(0, len(everything), _VERSIONS_AT_ONCE):
        refuse_purged(here, there, dict(everything[start : start + _VERSIONS_AT_ONCE]))
    for version in chain(_held(here, there, known_here), _held(there, here, known_there)):
        raise _why(here, there, version)
    return agreed


def _known_purges(here: Remote, there: Remote) -> tuple[set[ObjectId], set[ObjectId]]:
    ours, theirs = here.purges(), check_tombstones(there.purges())
    return {one.id for one in ours}, {one.id for one in theirs}


def refuse_purged_meanwhile(
    here: MongoRemote,
    there: Remote,
    refs: Refs,
    nodes: Sequence[Node],
    tips: Iterable[VersionId],
    agreed: Agreed,
) -> None:
    """Compare both sides again where one was purged since, once nobody else brings versions.

    A purge has the same turn as a transfer, which may have waited for it.

    Args:
        here: This side.
        there: The other side.
        refs: Where its names pointed.
        nodes: The versions that are to be brought.
        tips: What they lead to.
        agreed: What was found before.

    Raises:
        HistoryPurged: One side was purged and still is different.
        TransferRefused: They differ, and no purge tells why.
    """
    if _known_purges(here, there) != agreed.purges:
        agreed = refuse_other_history(here, there, there.refs() or refs)
        refuse_purged_below(here, there, nodes, tips, agreed)


def _held(holder: Remote, purged: Remote, known: Collection[ObjectId]) -> Iterator[VersionId]:
    """Iterate over versions of a side that were purged, and then removed, at the other one.

    The first may have them where it has gone on from what that purge left, as by a further one.

    Args:
        holder: The side that may have them.
        purged: The other one.
        known: The purges of which `holder` knows: it is a copy of what they left.
    """
    for given in purged.gone(known):
        held = holder.checksums(list(given))
        others = {given[one]: one for one, sum_ in held.items() if given[one] != sum_}
        yield from (others[left] for left in others.keys() - holder.replaced(others))


def frontier(nodes: Sequence[Node], tips: Iterable[VersionId]) -> list[VersionId]:
    """Return the versions that both sides have where those begin that only one has.

    Args:
        nodes: The versions that only one side has.
        tips: What they lead to.
    """
    new = {node.id for node in nodes}
    found = {parent for node in nodes for parent in node.parents}
    return sorted(found.union(tips) - new)


def refuse_purged_below(
    here: Remote,
    there: Remote,
    nodes: Sequence[Node],
    tips: Iterable[VersionId],
    agreed: Agreed,
) -> None:
    """Make sure that both sides mean the same by the versions on which new ones stand.

    Args:
        here: This side.
        there: The other side.
        nodes: The versions that only one side has.
        tips: What they lead to.
        agreed: What is known of that.

    Raises:
        HistoryPurged: One side was purged and still is different.
        TransferRefused: They differ, and no purge tells why.
    """
    asked = [version for version in frontier(nodes, tips) if version not in agreed.versions]
    if asked:
        refuse_purged(here, there, here.checksums(asked))


def refuse_purged(
    here: Remote,
    there: Remote,
    ours: Mapping[VersionId, str],
    theirs: Mapping[VersionId, str] | None = None,
) -> None:
    """Make sure that both sides mean the same by versions, as far as both have them.

    Args:
        here: This side.
        there: The other side.
        ours: The checksums of the versions at this side.
        theirs: What the other side says about their checksums, where it did so already.

    Raises:
        HistoryPurged: One side was purged and still is different.
        TransferRefused: They differ, and no purge tells why.
    """
    theirs = there.checksums(list(ours)) if theirs is None else theirs
    differing = next((one for one, sum_ in ours.items() if theirs.get(one, sum_) != sum_), None)
    if differing is not None:
        raise _why(here, there, differing)


def _why(here: Remote, there: Remote, version: VersionId) -> HistoryPurged | TransferRefused:
    ours, theirs = here.purges(), check_tombstones(there.purges())
    known = {one.id for one in ours}
    only_theirs = [one for one in theirs if one.id not in known]
    known = {one.id for one in theirs}
    only_ours = [one for one in ours if one.id not in known]
    if only_theirs and only_ours:
        return HistoryPurged(
            f"the history at {there.address} was purged {_words(only_theirs)}, the one here "
            f"{_words(only_ours)}, and they differ, so nothing travels. Purge on each side what "
            f"was purged from the other one alone. Where that was the same already, {_OTHER_WAY}, "
            "and a clone of either has to take the place of the other; what is only there can be "
            "brought over with export() and import_()",
            version=version,
            side="both",
            purges=[*only_theirs, *only_ours],
        )
    if only_theirs:
        return HistoryPurged(
            f"the history at {there.address} was purged {_words(only_theirs)}; this side still "
            "holds what was removed, so nothing travels. Purge the same here, which gives the "
            "same history, or clone anew; what is only here can be brought over with export() "
            f"and import_(). Where nothing of it is found here, {_OTHER_WAY}, so clone anew",
            version=version,
            side="there",
            purges=only_theirs,
        )
    if only_ours:
        return HistoryPurged(
            f"the history here was purged {_words(only_ours)}; the other side, {there.address}, "
            "still holds what was removed, so nothing travels. Purge the same there, which gives "
            "the same history, or let it be cloned anew from here. Where nothing of it is found "
            f"there, {_OTHER_WAY}, so clone anew",
            version=version,
            side="here",
            purges=only_ours,
        )
    return refused(version, "the remote has another version under the same id")


def _words(purges: Sequence[Tombstone]) -> str:
    """Return when, by whom and why something was purged last."""
    last = max(purges, key=lambda one: one.timestamp)
    when = utc_text(last.timestamp, "%Y-%m-%d %H:%M")
    by = author_text(last.by)
    return f"on {when}{f' by {by}' if by else ''} ({last.reason})"
