"""verify: check every invariant on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import bson
from bson.objectid import ObjectId
from gridfs.errors import GridFSError

from versioned_collection.committing.operations import Operation
from versioned_collection.core.delta import Delta, delta_digest, encoded_rows, hash_number
from versioned_collection.core.document import DocumentKey, document_hash
from versioned_collection.core.nesting import Nesting
from versioned_collection.core.spans import Span
from versioned_collection.core.sums import MODULUS, Sums, content_of
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import (
    Version,
    VersionId,
    fingerprint_text,
    sealed,
)
from versioned_collection.documents.moves import batched
from versioned_collection.driver.wire import documents
from versioned_collection.errors import CorruptHistory, VersioningError
from versioned_collection.observing import Counted, Progress, counted, iterated
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import Tracker
from versioned_collection.trackers.metadata import Metadata
from versioned_collection.trackers.overlays import Overlay
from versioned_collection.working.recovery import holding


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it must be.

    Attributes:
        kind: A stable word for the kind of problem.
        message: What is wrong, for people.
        facts: The version, document or name concerned.
    """

    kind: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


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
        yield from _told("metadata", unreadable)
        return
    with holding(repository, "verify") as hold:
        report = counted(progress)
        entries = {entry.id: entry for entry in repository.log.find({}, unreadable)}
        yield from _told("log", unreadable)
        tree = repository.log.tree(unreadable=[])  # told above
        yield from _references(repository, hold.state, tree)
        yield from _recorded(entries, tip)
        yield from _beside_history(repository)
        yield from _worktrees(hold)
        yield from _indexes(hold.trackers())
        yield from _own(repository, hold.state)
        if not _is_tree(tree):
            yield Problem("log", "the versions in the log do not form one tree")
            return
        for name in hold.others:
            yield from _beside(hold.beside(name), entries, tree, report)
        if hold.state.head not in tree:
            return
        yield from _documents(repository, entries, entries.get(hold.state.head), report)
        yield from _shortcuts(repository, entries)
        replay = _Replay(repository, tree, hold.state.head, report)
        try:
            yield from replay.run()
        except (CorruptHistory, bson.errors.BSONError, GridFSError, ValueError) as error:
            yield Problem("delta", f"the deltas cannot be read: {error}")
            return
        yield from _seals(entries, replay)
        yield from _purges(repository, entries)


def _unreadable_states(repository: Repository) -> list[VersioningError]:
    """Return why a verb cannot begin: a state that was edited; one of another format raises."""
    try:
        repository.state()
        repository.metadata.read_all()
    except CorruptHistory as error:
        return [error]
    return []


def _told(kind: str, unreadable: list[VersioningError]) -> Iterator[Problem]:
    """Iterate over what is wrong with documents that cannot be read, and forget it."""
    while unreadable:
        error = unreadable.pop(0)
        names = {"collection": "where", "id": "id"}
        facts = {name: error.facts[fact] for name, fact in names.items() if fact in error.facts}
        yield Problem(kind, error.message, facts)


def _beside_history(repository: Repository) -> Iterator[Problem]:
    """Check what is kept beside the history, and is no part of it."""
    unreadable: list[VersioningError] = []
    repository.remotes.all(unreadable)
    yield from _told("remote", unreadable)
    deque(repository.checks.all(unreadable=unreadable), maxlen=0)
    yield from _told("check", unreadable)


def _worktrees(hold: Hold) -> Iterator[Problem]:
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


def _indexes(trackers: Iterable[Tracker]) -> Iterator[Problem]:
    """Check that trackers have their indexes, one of which keeps labels apart."""
    for tracker in trackers:
        for name in () if tracker.at_first_use else tracker.missing_indexes():
            yield Problem(
                "index",
                f"{tracker.name} has lost its index {name}; gc() makes it again",
                {"collection": tracker.name, "index": name},
            )


def _own(repository: Repository, state: Metadata) -> Iterator[Problem]:
    """Check what a working copy keeps for itself, its documents apart."""
    yield from _stashes(repository, state)
    unreadable: list[VersioningError] = []
    deque(repository.operations.newest_first(Operation.from_bson, unreadable), maxlen=0)
    yield from _told("operation", unreadable)


def _recorded(
    entries: Mapping[VersionId, Version], tip: Version | VersionId | str | None
) -> Iterator[Problem]:
    if tip is None:
        return
    if isinstance(tip, Version):
        found = tip.id in entries and entries[tip.id].checksum == tip.checksum
        tip = tip.id
    else:
        found = any(str(tip) in (str(entry.id), entry.checksum) for entry in entries.values())
    if not found:
        yield Problem(
            "tip", f"the recorded version {tip} is not in the log as it was", {"version": tip}
        )


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
    except (CorruptHistory, bson.errors.BSONError, GridFSError, ValueError) as error:
        yield Problem("stash", f"the stash cannot be read: {error}", facts)
        return
    if fingerprint_text(total % MODULUS) != digest:
        yield Problem("stash", "the stash does not hold the changes that were set aside", facts)


def _beside(
    hold: Hold, entries: Mapping[VersionId, Version], tree: VersionTree, report: Counted
) -> Iterator[Problem]:
    """Check what is another working copy's own."""
    repository, state = hold.repository, hold.state
    tips = repository.branches.all(unreadable=[])
    found = [_head(state, tips, tree), _own(repository, state)]
    found.append(_documents(repository, entries, entries.get(state.head), report))
    for problem in chain.from_iterable(found):
        message = f"{problem.message} (in the working copy {repository.name!r})"
        facts = {**problem.facts, "working_copy": repository.name}
        yield Problem(problem.kind, message, facts)


def _head(state: Metadata, tips: Mapping[str, VersionId], tree: VersionTree) -> Iterator[Problem]:
    if state.head not in tree:
        yield Problem("head", f"HEAD is the unknown version {state.head}", {"head": state.head})
    if not state.detached and tips.get(state.branch) != state.head:
        yield Problem("head", f"HEAD is not the tip of {state.branch!r}", {"branch": state.branch})


def _references(repository: Repository, state: Metadata, tree: VersionTree) -> Iterator[Problem]:
    unreadable: list[VersioningError] = []
    tips = repository.branches.all(unreadable)
    tags = repository.tags.documents(unreadable=unreadable)
    yield from _told("reference", unreadable)
    yield from _head(state, tips, tree)
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


def _is_tree(tree: VersionTree) -> bool:
    root = tree.root
    return root is not None and sum(1 for _ in tree.descendants(root)) == len(tree)


def _documents(
    repository: Repository,
    entries: Mapping[VersionId, Version],
    head: Version | None,
    report: Counted,
) -> Iterator[Problem]:
    """Check what a working copy keeps of documents, by the entry of its HEAD if that is known."""
    if head is not None:
        yield from _replica(repository, head, report)
        yield from _overlays(repository, entries, head)


def _replica(repository: Repository, head: Version, report: Counted) -> Iterator[Problem]:
    total = 0
    for batch in repository.replica.scan():
        report("documents", len(batch), sum(map(len, batch)))
        total += content_of(batch)
    if fingerprint_text(total % MODULUS) != head.fingerprint:
        yield Problem("replica", "the replica does not hold the documents of HEAD")


def _overlays(
    repository: Repository, entries: Mapping[VersionId, Version], head: Version
) -> Iterator[Problem]:
    """Check that overlays lead from HEAD to the content of their versions."""
    unreadable: list[VersioningError] = []
    overlays = repository.overlays.all(unreadable=unreadable)
    yield from _told("overlay", unreadable)
    for overlay in overlays:
        is_read = overlay.ready and (overlay.whole or head.id in overlay.heads)
        if overlay.version in entries and is_read:
            version = entries[overlay.version]
            if _content(repository, overlay, head) != version.fingerprint:
                yield Problem(
                    "overlay",
                    f"what at() reads of {version.label} are not its documents; gc() removes it",
                    {"version": version.id},
                )


def _content(repository: Repository, overlay: Overlay, head: Version) -> str:
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


def _shortcuts(repository: Repository, entries: Mapping[VersionId, Version]) -> Iterator[Problem]:
    """Check that spans lead from one version to the other; one that does not is removed."""
    for span in repository.spans.all():
        ends = [entries[version] for version in (span.start, span.end) if version in entries]
        if span.kept and len(ends) == 2 and not _leads(repository, span, *ends):
            repository.spans.remove([span.id])
            yield Problem(
                "span",
                f"what stood for the versions from {ends[0].label} to {ends[1].label} was not "
                "what they add up to. It is removed, and nothing is lost: they tell as well",
                {"version": span.end},
            )


def _leads(repository: Repository, span: Span, start: Version, end: Version) -> bool:
    sums = Sums()
    try:
        for delta in repository.spans.of_version(span.id):
            sums.add(delta, encoded_rows(delta))
    except (VersioningError, bson.errors.BSONError, GridFSError, ValueError, LookupError):
        return False
    moved = int(start.fingerprint, 16) + sums.content - int(end.fingerprint, 16)
    is_whole = sums.digest % MODULUS == span.digest
    return is_whole and moved % MODULUS == 0


def _seals(entries: dict[VersionId, Version], replay: _Replay) -> Iterator[Problem]:
    """Check fingerprints and checksums of all versions."""
    for entry in entries.values():
        parents = [entries[parent] for parent in entry.parents if parent in entries]
        if len(parents) < len(entry.parents):
            continue  # the entry of a parent cannot be read, which was told
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


def _purges(repository: Repository, entries: Mapping[VersionId, Version]) -> Iterator[Problem]:
    """Check that what purges have made of checksums is what the log says."""
    unreadable: list[VersioningError] = []
    last = {
        entry.version: entry
        for tombstone in reversed(repository.purges.tombstones(unreadable))
        for entries_of_it in repository.purges.checksums(tombstone.id, unreadable)
        for entry in entries_of_it
    }
    yield from _told("purge", unreadable)
    for version, entry in last.items():
        if version in entries and entries[version].checksum != entry.new:
            yield Problem(
                "purge",
                f"{entries[version].label} has another checksum than the purge gave it",
                {"version": version},
            )


class _Replay:
    """Replays each document's deltas through the tree.

    Attributes:
        digests: Sum of the digests of each version's deltas.
        contents: What each version's deltas add to the fingerprint.
    """

    def __init__(
        self, repository: Repository, tree: VersionTree, head: VersionId, report: Counted
    ) -> None:
        self._repository = repository
        self._report = report
        self._tree = tree
        self._head = head
        self._nesting = Nesting(tree)
        self.digests: dict[VersionId, int] = {}
        self.contents: dict[VersionId, int] = {}

    def run(self) -> Iterator[Problem]:
        unreadable: list[VersioningError] = []
        for batch in batched(self._known(unreadable), lambda one: [*one[1].values()]):
            yield from _told("delta", unreadable)
            deltas = dict(batch)
            for portion, recorded in self._repository.replica.by_keys(list(deltas)):
                self._report("changes", sum(len(deltas[key]) for key in portion))
                for key in portion:
                    yield from self._document(key, deltas[key], recorded.get(key))
        yield from _told("delta", unreadable)

    def _known(
        self, unreadable: list[VersioningError]
    ) -> Iterator[tuple[DocumentKey, dict[VersionId, Delta]]]:
        """Iterate over the documents with their deltas of versions in the log."""
        for key, found in self._repository.deltas.by_document(unreadable=unreadable):
            deltas = {version: delta for version, delta in found if version in self._tree}
            for version, delta in deltas.items():
                self._count(version, delta)
            if deltas:
                yield key, deltas

    def _count(self, version: VersionId, delta: Delta) -> None:
        digest = delta_digest(delta, encoded_rows(delta))
        self.digests[version] = self.digests.get(version, 0) + digest
        moved = hash_number(delta.after) - hash_number(delta.before)
        self.contents[version] = self.contents.get(version, 0) + moved

    def _document(
        self, key: DocumentKey, deltas: dict[VersionId, Delta], recorded: bytes | None
    ) -> Iterator[Problem]:
        start = self._nesting.nearest(self._head, deltas)
        states: dict[VersionId | None, bytes | None] = {start: recorded}
        for version, place, reached in self._nesting.walk(start, deltas):
            delta = deltas[version] if reached == version else ~deltas[version]
            try:
                states[reached] = delta.apply(states[place])
                if (~delta).apply(states[reached]) != states[place]:
                    raise CorruptHistory("a delta does not lead back")
            except CorruptHistory as error:
                facts = {"document_id": self._repository.codec.value(key), "version": version}
                yield Problem("delta", f"document {facts['document_id']!r}: {error}", facts)
                return
