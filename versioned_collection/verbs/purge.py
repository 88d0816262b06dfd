"""purge, purges: documents, or parts of them, truly removed from all versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from versioned_collection.committing.operations import user
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.erasing import Erasure
from versioned_collection.core.merging.paths import Pattern, PatternLike, patterns
from versioned_collection.errors import InvalidArgument, InvalidOperation, InvalidType
from versioned_collection.history.facts import check_texts
from versioned_collection.observing import Progress, verb
from versioned_collection.past.query import refuse_nearness
from versioned_collection.pruning.purging import Found, Purging, matching, with_twins
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.purges import Tombstone
from versioned_collection.working.recovery import holding
from versioned_collection.working.selection import Chosen, Only


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge removed, or would remove.

    Attributes:
        documents: How many documents were concerned, wherever they were.
        versions: How many versions have other checksums since.
        removed: How many changes of documents were removed from versions.
        rewritten: How many changes of documents became others.
        working_copy: How many documents of the collection were deleted, or lost fields, those of
            other working copies included.
        stashes: How many stashes held something of them.
        views: How many published views showed something of them.
        kept: Ids of documents that still hold what was to go, in any working copy, as other
            clients wrote to them meanwhile, and do so all the time or left no room for what is
            left of them in a unique index; purge them again.
        unreachable: What may still hold it, in words.
    """

    documents: int
    versions: int
    removed: int
    rewritten: int
    working_copy: int
    stashes: int
    views: int
    kept: tuple[Any, ...]
    unreachable: tuple[str, ...]


@verb("purge")
def purge(
    repository: Repository,
    ids: Iterable[Any] | None = None,
    filter_: Mapping[str, Any] | None = None,
    paths: Iterable[PatternLike] | None = None,
    reason: str | None = None,
    author: str | Mapping[str, Any] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Purged:
    """Remove documents, or fields of them, from all versions and from everything beside them.

    Raises:
        InvalidArgument: Nothing is chosen, or too much; the reason is missing; an id, a filter
            or a path cannot be.
        InvalidType: An argument has the wrong type.
        InvalidOperation: A merge waits, here or in another working copy.
        CorruptHistory: The history contradicts itself; nothing was done.
        DocumentRejected: A unique index refuses what is left of a document; nothing was done.
        NotSupported: A view, say, has taken the place of a working copy; nothing was done.
    """
    only, erasure = _chosen(repository, ids, filter_, paths), Erasure(_places(paths))
    _check_words(reason, author, dry_run)
    repository.state()  # nothing is created where there is no history
    # no transfer brings the same again meanwhile
    turn = nullcontext() if dry_run else repository.receiving("purge")
    with turn, holding(repository, "purge") as hold:
        _refuse_merges(hold)
        purging = Purging(hold, erasure, _keys(hold, only), progress)
        if dry_run:
            found = purging.look()
        else:
            found = purging.run(_somebody(hold) if author is None else author, str(reason))
        return _purged(repository, found, erasure)


def purges(repository: Repository) -> list[Tombstone]:
    """Return what is kept of all purges, the latest first."""
    repository.state()
    found, codec = repository.purges.tombstones(), repository.codec
    return [replace(one, timestamp=codec.time(one.timestamp)) for one in found]


def _refuse_merges(hold: Hold) -> None:
    """Refuse a merge that waits elsewhere, as `holding` does with one that waits here."""
    for name, state in hold.others.items():
        if state.merge is not None:
            raise InvalidOperation(
                f"a {state.merge['verb']} waits in the working copy {name!r}: settle it there, or "
                "abort_merge() there takes it back; purge comes after that",
                working_copy=name,
                merge=state.merge["id"],
            )


# -- what is asked for ---------------------------------------------------------------------


def _chosen(repository: Repository, ids: Any, filter_: Any, paths: Any) -> Chosen | None:
    if ids is not None and filter_ is not None:
        raise InvalidArgument("purge documents by their ids or by a filter, not by both")
    if ids is None and filter_ is None:
        if paths is None:
            raise InvalidArgument("purge what? Give ids, a filter, or paths")
        return None
    return Only(ids=ids, filter=filter_).encoded(repository.codec)


def _places(paths: Iterable[PatternLike] | None) -> tuple[Pattern, ...] | None:
    if paths is None:
        return None
    found = patterns(paths, "paths")
    if not found:
        raise InvalidArgument("paths is empty; leave it out to purge whole documents")
    for pattern in found:
        _check_place(pattern)
    return found


def _check_place(pattern: Pattern) -> None:
    if pattern.accepts(pattern.start()):
        raise InvalidArgument(
            "a path stands for the document itself; leave paths out to purge whole documents",
            pattern=pattern,
        )
    if pattern.steps[0] == "_id":
        raise InvalidArgument(
            "the _id of a document cannot go while the document stays; purge the document by its "
            "_id instead",
            pattern=pattern,
        )
    try:
        Erasure((pattern,)).to_bson()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"a path names a field by no text: {error}", pattern=pattern) from (
            error
        )


def _check_words(reason: Any, author: Any, dry_run: bool) -> None:
    if reason is None and dry_run:
        return
    if not isinstance(reason, str):
        raise InvalidType(
            "purge takes a reason, which is kept for those who find the history changed",
            argument="reason",
        )
    if not reason.strip():
        raise InvalidArgument("say why in the reason: it is all that is kept of a purge")
    check_texts(reason, author, None)


def _keys(hold: Hold, only: Chosen | None) -> Sequence[DocumentKey] | None:
    if only is None:
        return None
    if only.filter is None:
        return with_twins(hold, only.keys or [])
    refuse_nearness(only.filter)
    return matching(hold, only.filter)


def _somebody(hold: Hold) -> str:
    return f"{user()}@{hold.lease.owner['host']}"


# -- what came of it -----------------------------------------------------------------------


def _purged(repository: Repository, found: Found, erasure: Erasure) -> Purged:
    return Purged(
        len(found.keys),
        found.versions,
        found.removed,
        found.rewritten,
        found.working_copy,
        found.stashes,
        found.views,
        tuple(map(repository.codec.value, found.kept)),
        tuple(_unreachable(repository, erasure)),
    )


def _unreachable(repository: Repository, erasure: Erasure) -> Iterator[str]:
    if repository.has_transactions:
        yield "the server's oplog, until it is overwritten"
    yield "free space in the server's files, until it is used again"
    yield "backups and snapshots"
    for remote in repository.remotes.all():
        where = f" ({remote.url})" if remote.url else ""
        yield f"the remote {remote.name}{where}, until it is purged too"
    yield "other clones of this history, until they are purged or cloned anew"
    yield "files that export() wrote, bundles among them"
    yield "messages, authors and metadata of versions, stashes and tags, and stored checks"
    if erasure.patterns is not None:
        yield "the _id of the documents"
