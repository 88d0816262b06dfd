"""What becomes true together at the end of a verb.

A `Commit` is a plain value. Small ones are carried out in one transaction: all or nothing.
Others, and all on servers without transactions, are first written into the metadata as an
intent, which is the commit point; from there on each step can be repeated, by this process
or by whoever opens the collection next. See `committer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bson.objectid import ObjectId
from pymongo.client_session import ClientSession

from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.entries import entry_to_bson
from versioned_collection.trackers.log import label_taken


@dataclass(slots=True)
class Commit:
    """What a verb makes true.

    Attributes:
        state: Fields of the metadata to set at the end.
        log: Log entries to append, as they are stored.
        branches: Tips to set.
        dropped_branches: Branches to remove.
        relabelled: The old and the new branch name of versions whose labels change.
        renumbered: By how much the numbers in these labels grow.
        forgotten: Versions to remove: log entries, tags, deltas.
        path: The way on which the replica, and the working copy, move.
        draft: A version at the end of the path, or at the start of the way back, that the
            working copy alone crosses.
        working_copy: Whether the working copy moves along the path.
        replica: Whether the replica does; a merge with conflicts moves the working copy alone.
        strict: Whether a validator or unique index that refuses a document fails the commit,
            as the state is a new one; else the validator is bypassed.
        readmits: Whether a strict commit bypasses the validator for documents that some version
            has, and for those of which conflicts wait that it does not settle.
        settled: Conflicts to remove.
        taken_out: Those of them by which an element leaves its list.
        tagged: Tags to set, as they are stored.
        untagged: Tags to remove.
        operation: What the log of operations says about it, None where no reference moves
            (see `operations`), empty where it says nothing as more is to come.
        restore: Whether the documents noted in the modified set with the state they were
            seen in go back to what the replica holds.
        spare: The header of a stash that is not listed, with the changes that `restore` takes
            back: they return where the server refuses what is to take their place.
        stash: The stash whose documents are brought back.
        guarded: Whether those move only from the very state their changes start from; what
            another client changed meanwhile stays, and the stash is then not dropped.
        reverse: Whether they go back to what they were before the stashed changes, which takes
            `guarded`; or, with `fill`, before there was a copy.
        displace: See `WorkingCopyWriter`; of several `copies`, in the first of them.
        copies: The working copies in which the documents of the stash, of which each has its own,
            have yet to move, in this order; None where they do so in this one alone.
        fill: Whether the empty collection gets all documents of the replica; in reverse, a copy
            that the server refuses is taken back (see `withdrawing`).
        founded: What was made of the collection before it is filled: ``collection``, its UUID
            where it was not there, ``indexes``, the names of those that it got, and
            ``documents``, whether it had none.
        checked: What the checks look at once the documents have moved, before the references
            do: ``collection`` or ``replica``; None where they need not run.
        arrived: Versions that came from elsewhere and enter the log: id, branch and number of
            the label of each. Their entries are announced in the tracker of what comes in.
        labels: Versions that are in the log and get other labels, in this order; each as above.
        seen: Where branches of a remote are, None for those that are no more: ``remote``, ``tips``
            and ``time``.
        bridged: A version that comes to stand for others, which are among those forgotten:
            ``version``, ``parents`` and ``gap`` as in its log entry from then on, ``draft`` with
            the changes of all of them, and ``moved``, whether its own ones are gone already.
        private_checks: Whether checks that only the process at work knows are to run too: another
            one that finds the commit half done turns back.
        elsewhere: Fields of the metadata of other working copies to set, by their names.
        purge: What is erased once the documents of all working copies have moved (see `erasing`),
            or is not after all, where they move in reverse.
    """

    state: dict[str, Any] = field(default_factory=dict)
    log: list[Mapping[str, Any]] = field(default_factory=list)
    branches: dict[str, VersionId] = field(default_factory=dict)
    dropped_branches: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)
    renumbered: int = 0
    forgotten: list[VersionId] = field(default_factory=list)
    path: Path | None = None
    draft: VersionId | None = None
    working_copy: bool = True
    replica: bool = True
    strict: bool = False
    readmits: bool = False
    settled: list[ObjectId] = field(default_factory=list)
    taken_out: list[ObjectId] = field(default_factory=list)
    restore: bool = False
    spare: dict[str, Any] | None = None
    stash: ObjectId | None = None
    guarded: bool = False
    reverse: bool = False
    displace: bool = False
    copies: list[str] | None = None
    tagged: dict[str, Any] = field(default_factory=dict)
    untagged: list[str] = field(default_factory=list)
    operation: Mapping[str, Any] | None = None
    checked: str | None = None
    fill: bool = False
    founded: Mapping[str, Any] = field(default_factory=dict)
    arrived: list[list[Any]] = field(default_factory=list)
    labels: list[list[Any]] = field(default_factory=list)
    seen: Mapping[str, Any] | None = None
    private_checks: bool = False
    bridged: Mapping[str, Any] | None = None
    elsewhere: dict[str, dict[str, Any]] = field(default_factory=dict)
    purge: Mapping[str, Any] | None = None

    def to_bson(self) -> dict[str, Any]:
        """Return the commit as an intent that can be carried out later."""
        stored: dict[str, Any] = {
            "state": self.state,
            "log": self.log,
            "branches": [[name, version] for name, version in self.branches.items()],
            "dropped_branches": self.dropped_branches,
            "relabelled": self.relabelled,
            "renumbered": self.renumbered,
            "forgotten": self.forgotten,
            "path": None,
            "draft": self.draft,
            "working_copy": self.working_copy,
            "replica": self.replica,
            "strict": self.strict,
            "readmits": self.readmits,
            "settled": self.settled,
            "taken_out": self.taken_out,
            "restore": self.restore,
            "spare": self.spare,
            "stash": self.stash,
            "guarded": self.guarded,
            "reverse": self.reverse,
            "displace": self.displace,
            "copies": self.copies,
            "tagged": [[name, tag] for name, tag in self.tagged.items()],
            "untagged": self.untagged,
            "operation": self.operation,
            "checked": self.checked,
            "fill": self.fill,
            "founded": self.founded,
            "arrived": self.arrived,
            "labels": self.labels,
            "seen": self.seen,
            "private_checks": self.private_checks,
            "bridged": self.bridged,
            "elsewhere": [[name, changes] for name, changes in self.elsewhere.items()],
            "purge": self.purge,
        }
        if self.path is not None:
            stored["path"] = {
                "backward": list(self.path.backward),
                "forward": list(self.path.forward),
            }
        return stored

    @classmethod
    def from_bson(cls, stored: Mapping[str, Any]) -> Commit:
        """Return the commit that `to_bson` stored, also that of a build with fewer fields."""
        facts = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        if not isinstance(facts.get("log", []), list):  # of a build with one entry at most
            facts["log"] = [] if stored["log"] is None else [stored["log"]]
        for name in ("branches", "tagged", "elsewhere"):
            facts[name] = dict(stored.get(name, ()))
        way = stored.get("path")
        if way is not None:
            facts["path"] = Path(tuple(way["backward"]), tuple(way["forward"]))
        return cls(**facts)


def refuse_same_labels(repository: Repository, commit: Commit) -> None:
    """Refuse a commit after which two versions would have the same label.

    Raises:
        InvalidOperation: It is one.
    """
    called = {version: (branch, number) for version, branch, number in commit.labels}
    called |= {version: (branch, number) for version, branch, number in commit.arrived}
    if not called:  # the next number on a branch is nobody's
        return
    called |= {entry["_id"]: (entry["branch"], entry["number"]) for entry in commit.log}
    holders = repository.log.labelled_any(called.values())
    for version, label in called.items():
        holder = holders.setdefault(label, version)
        if holder != version and called.get(holder, label) == label:
            raise label_taken(*label)
        holders[label] = version


def apply_references(hold: Hold, commit: Commit, session: ClientSession | None) -> None:
    """Append the log entry, move and remove branches, remove versions.

    Without a transaction, the lease is checked before each step.
    """
    for step in _reference_steps(hold.repository, commit, session):
        hold.lease.check()
        step()
    for name, changes in commit.elsewhere.items():
        hold.update(changes, session, of=name)


def _reference_steps(
    repository: Repository, commit: Commit, session: ClientSession | None
) -> Iterator[Callable[[], object]]:
    if commit.labels:  # first, as what enters the log may get labels that others give up
        yield partial(repository.log.label, commit.labels, session)
    if commit.arrived:
        yield partial(enter, repository, commit.arrived, session)
        # an announcement that outlived its version would pass for one of which all is there
        versions = [version for version, _, _ in commit.arrived]
        yield partial(repository.incoming.forget, versions, session)
    if commit.log:
        yield partial(repository.log.insert, commit.log, session)
    if commit.relabelled:
        old, new = commit.relabelled
        yield partial(repository.log.relabel, old, new, commit.renumbered, session)
    if commit.branches:
        yield partial(repository.branches.set_all, commit.branches, session)
    if commit.dropped_branches:
        yield partial(repository.branches.delete, commit.dropped_branches, session)
    if commit.tagged:
        yield partial(repository.tags.put, commit.tagged, session)
    if commit.untagged:
        yield partial(repository.tags.delete, commit.untagged, session)
    if commit.operation:
        yield partial(repository.operations.append, commit.operation, session)
    if commit.purge is not None and not commit.reverse:
        yield partial(repository.purges.bury, [commit.purge["tombstone"]], session)
    if commit.seen is not None:
        yield partial(_see, repository, commit.seen, session)
    if commit.taken_out:  # while these are there, which say where that was
        yield partial(repository.conflicts.move_up, commit.taken_out, commit.settled, session)
    if commit.settled:
        yield partial(repository.conflicts.remove, commit.settled, session)
    if commit.bridged is not None:  # before what it stands for goes, so that the tree is one
        one = commit.bridged
        yield partial(repository.log.bridge, one["version"], one["parents"], one["gap"], session)
    if commit.forgotten:
        yield partial(repository.incoming.forget, commit.forgotten, session)
        yield partial(repository.tags.delete_versions, commit.forgotten, session)
        # a version may come back from elsewhere, where others before it were thinned out
        yield partial(repository.spans.hide, commit.forgotten, session)
        yield partial(repository.log.delete, commit.forgotten, session)


def enter(
    repository: Repository, arrived: Sequence[Sequence[Any]], session: ClientSession | None = None
) -> None:
    """Append the entries of versions that came from elsewhere, under the labels they get.

    Args:
        repository: The trackers; the versions are announced there, or in the log already.
        arrived: Id, branch and number of each.
        session: The session of a transaction.
    """
    found = repository.incoming.entries([version for version, _, _ in arrived])
    entries = (
        replace(found[version][0], branch=branch, number=number)
        for version, branch, number in arrived
        if version in found  # else it is in the log, and the note of it gone
    )
    repository.log.insert(map(entry_to_bson, entries), session)


def _see(repository: Repository, seen: Mapping[str, Any], session: ClientSession | None) -> None:
    repository.remotes.see(seen["remote"], dict(seen["tips"]), seen["time"], session)
