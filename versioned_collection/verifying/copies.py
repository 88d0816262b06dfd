"""Working copies: each holds the documents of its HEAD, and what it set aside."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain

from bson.objectid import ObjectId

from versioned_collection.committing.operations import Operation
from versioned_collection.core.delta import delta_digest, encoded_rows
from versioned_collection.core.document import document_hash
from versioned_collection.core.sums import MODULUS, content_of
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import (
    VersionId,
    fingerprint_text,
)
from versioned_collection.driver.wire import documents
from versioned_collection.errors import CorruptHistory, VersioningError
from versioned_collection.observing import Counted
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.trackers.overlays import Overlay
from versioned_collection.verifying.history import head_of
from versioned_collection.verifying.problem import UNREADABLE, Problem, told
from versioned_collection.verifying.stated import Stated


def worktrees(hold: Hold) -> Iterator[Problem]:
    """Check that of all collections which say that they are worktrees there is a state."""
    repository = hold.repository
    known = {repository.name, *hold.others}
    for name in repository.metadata.pointing_here():
        if name not in known:
            yield Problem(
                "worktree",
                f"{name!r} says that it is a worktree, of which nothing is known: the document "
                f"{{'worktree': {name!r}}} is missing from {repository.metadata.name}. Put it "
                f"back, or drop {name!r} and the collections that begin with '__' and end with it",
                {"working_copy": name},
            )


def beside(
    hold: Hold,
    stated: Mapping[VersionId, Stated],
    tips: Mapping[str, VersionId],
    tree: VersionTree,
    report: Counted,
) -> Iterator[Problem]:
    """Check what is another working copy's own."""
    repository, state = hold.repository, hold.state
    found = [head_of(state, tips, tree), own(repository, state)]
    found.append(documents_of(repository, stated, stated.get(state.head), report))
    for problem in chain.from_iterable(found):
        message = f"{problem.message} (in the working copy {repository.name!r})"
        facts = {**problem.facts, "working_copy": repository.name}
        yield Problem(problem.kind, message, facts)


def own(repository: Repository, state: Metadata) -> Iterator[Problem]:
    """Check what a working copy keeps for itself, its documents apart."""
    yield from _stashes(repository, state)
    unreadable: list[VersioningError] = []
    deque(repository.operations.newest_first(Operation.from_bson, unreadable), maxlen=0)
    yield from told("operation", unreadable)


def _stashes(repository: Repository, state: Metadata) -> Iterator[Problem]:
    for header in state.stashes:
        yield from _stash(repository, header["id"], header.get("digest"))
    if state.merge is not None and state.merge.get("stash") is not None:
        yield from _stash(repository, state.merge["id"], state.merge["digest"])


def _stash(repository: Repository, stash: ObjectId, digest: str | None) -> Iterator[Problem]:
    facts, total = {"stash": stash}, 0
    try:
        for delta in repository.stash.of_version(stash):
            total += delta_digest(delta, encoded_rows(delta))
            for raw, recorded in ((delta.old, delta.before), (delta.new, delta.after)):
                if raw is not None and document_hash(raw) != recorded:
                    raise CorruptHistory("an image does not match its hash")
    except UNREADABLE as error:
        yield Problem("stash", f"the stash cannot be read: {error}", facts)
        return
    if fingerprint_text(total % MODULUS) != digest:
        yield Problem("stash", "the stash does not hold the changes that were set aside", facts)


def documents_of(
    repository: Repository,
    stated: Mapping[VersionId, Stated],
    head: Stated | None,
    report: Counted,
) -> Iterator[Problem]:
    """Check what a working copy keeps of documents, given what is stated of its HEAD, if known."""
    if head is not None:
        yield from _replica(repository, head, report)
        yield from _overlays(repository, stated, head)


def _replica(repository: Repository, head: Stated, report: Counted) -> Iterator[Problem]:
    total = 0
    for batch in repository.replica.scan():
        report("documents", len(batch), sum(map(len, batch)))
        total += content_of(batch)
    if fingerprint_text(total % MODULUS) != head.fingerprint:
        yield Problem("replica", "the replica does not hold the documents of HEAD")


def _overlays(
    repository: Repository, stated: Mapping[VersionId, Stated], head: Stated
) -> Iterator[Problem]:
    """Check that overlays lead from HEAD to the content of their versions."""
    unreadable: list[VersioningError] = []
    overlays = repository.overlays.all(unreadable=unreadable)
    yield from told("overlay", unreadable)
    for overlay in overlays:
        is_read = overlay.ready and (overlay.whole or head.id in overlay.heads)
        if overlay.version in stated and is_read:
            version = stated[overlay.version]
            if _content(repository, overlay, head) != version.fingerprint:
                yield Problem(
                    "overlay",
                    f"what at() reads of {version.label} are not its documents; gc() removes it",
                    {"version": version.id},
                )


def _content(repository: Repository, overlay: Overlay, head: Stated) -> str:
    """Return the fingerprint of what is read through an overlay while `head` is checked out."""
    total = 0
    if not overlay.whole:
        total = int(head.fingerprint, 16) - _replaced(repository, overlay.slot)
    for batch in documents(repository.db, repository.overlays.collection_of(overlay.slot)):
        total += content_of(batch)
    return fingerprint_text(total % MODULUS)


def _replaced(repository: Repository, slot: str) -> int:
    """Return what the documents in place of which an overlay is read add to a fingerprint."""
    total = 0
    for keys in repository.overlays.touched(slot):
        for portion, found in repository.replica.by_keys(keys):
            recorded = (found[key] for key in portion if key in found)
            total += content_of(recorded)
    return total
