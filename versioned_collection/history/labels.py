"""Which labels versions have once several sides gave the same ones away.

On a branch that is shared, the numbers are those of the side that others pull from. Versions
that stand in the way move aside, each to a hidden branch named after it, so that a version
that moved aside has the same label wherever it is known.

Names of remotes belong to one side. What it fetched and did not pull yet is known to others under
a hidden label until they pull it themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bson.objectid import ObjectId

from versioned_collection.core.graph import ancestors_of, is_ancestor, walk
from versioned_collection.core.tree import Ancestry, Node
from versioned_collection.core.version import VersionId
from versioned_collection.history.containing import containing
from versioned_collection.repository.repository import Repository

Label = tuple[str, int]
Labels = list[list[Any]]
"""Id, branch and number of versions that get another label, in the order in which they do."""

_ASIDE, _UNKNOWN = "__rebranched_", "__fetched_"


def is_aside(branch: str) -> bool:
    """Tell whether a branch of labels is a hidden one, of a version that moved aside."""
    return branch.startswith(_ASIDE)


def is_unknown(branch: str) -> bool:
    """Tell whether a branch of labels is one of a version whose label here is not known yet."""
    return branch.startswith(_UNKNOWN)


def _is_hidden(branch: str) -> bool:
    return is_aside(branch) or is_unknown(branch)


def aside(version: VersionId, label: Label) -> Label:
    """Return the label to which a version moves that stands in the way."""
    branch, number = label
    return (branch if _is_hidden(branch) else f"{_ASIDE}{branch}_{version}", number)


def tracking(remote: str, branch: str) -> str:
    """Return the branch of labels that stands for a branch of a remote."""
    return branch if _is_hidden(branch) else f"{remote}/{branch}"


class RemoteNames:
    """Tells the branches of labels that stand for those of remotes, as this side names them.

    The names are read once, and only where a label may begin with one.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @cached_property
    def _prefixes(self) -> list[str]:
        return [f"{one}/" for one in self._repository.remotes.prefixes()]

    def without(self, branch: str) -> str:
        """Return what a branch of labels is called at its remote, itself where it is of none."""
        found = [one for one in self._prefixes if branch.startswith(one)] if "/" in branch else []
        return branch.removeprefix(max(found, key=len, default=""))

    def aside(self, version: VersionId, label: Label) -> Label:
        """Return what `aside` does for a label here, which is the same at all sides."""
        branch, number = label
        return aside(version, (self.without(branch), number))

    def told(self, version: VersionId, branch: str) -> str:
        """Return the branch of its label under which a version is given to others."""
        plain = self.without(branch)
        return branch if plain == branch else f"{_UNKNOWN}{plain}_{version}"


def unknown(repository: Repository) -> list[VersionId]:
    """Return the versions that somebody gave who had only fetched them."""
    return [node.id for node in repository.log.nodes_beginning(_UNKNOWN)]


@dataclass(frozen=True, slots=True)
class Meeting:
    """The two ends of a branch.

    Attributes:
        remote: The name of the remote.
        branch: The branch.
        mine: Its tip here, None where there is no such branch.
        theirs: Its tip at the remote.
    """

    remote: str
    branch: str
    mine: VersionId | None
    theirs: VersionId


def label_of(node: Node) -> Label:
    """Return the label of a node."""
    return node.branch, node.number


def relabelled(
    repository: Repository,
    tree: Ancestry,
    wanted: Mapping[VersionId, Label],
    branches: Iterable[str],
) -> Labels:
    """Return how versions get the labels that are wanted.

    What has such a label, and keeps none that is wanted, moves aside on the branches named;
    on others it stays, and the version that wants its label keeps its own.

    Args:
        repository: The trackers.
        tree: The versions, some of which the log may not name yet.
        wanted: The labels.
        branches: Where versions may be moved aside.
    """
    allowed = set(branches)
    changes = {v: label for v, label in wanted.items() if label_of(tree.nodes[v]) != label}
    found = repository.log.labelled_any(changes.values())
    while stuck := [
        version
        for version, label in changes.items()
        if label[0] not in allowed and found.get(label, version) not in changes
    ]:
        for version in stuck:  # what it keeps is free for nobody else
            del changes[version]
    taken = set(changes.values())
    names = RemoteNames(repository)
    labels: Labels = [
        [holder, *names.aside(holder, label)]
        for label, holder in found.items()
        if label in taken and holder not in changes
    ]
    for version in changes:  # those that change places give their own labels up first
        label = label_of(tree.nodes[version])
        if label in taken:
            labels.append([version, *names.aside(version, label)])
    labels += [[version, *label] for version, label in changes.items()]
    return labels


def given_up(repository: Repository, labels: Labels) -> Labels:
    """Return the labels that versions have before they get others."""
    nodes = repository.log.nodes([version for version, *_ in labels])
    return [[node.id, *label_of(node)] for node in nodes]


def given_back(repository: Repository, labels: Labels) -> Labels:
    """Return how versions get labels back that they had before, as far as they are there.

    What has one of these by now moves aside.
    """
    tree = repository.log.ancestry(repository.log.nodes([version for version, *_ in labels]))
    there = {one: (branch, number) for one, branch, number in labels if one in tree.nodes}
    return relabelled(repository, tree, there, {branch for branch, _ in there.values()})


def numbered_behind(
    labels: Mapping[VersionId, Label], first: Label, last: int
) -> dict[VersionId, Label]:
    """Return other labels for versions of a branch, in the same order.

    Args:
        labels: The labels of versions.
        first: The first of these that is not to be had.
        last: The number behind which they come instead.
    """
    branch, least = first
    late = [one for one, (name, number) in labels.items() if name == branch and number >= least]
    late.sort(key=lambda one: labels[one])
    return {one: (branch, number) for number, one in enumerate(late, last + 1)}


def stamp(labels: Labels) -> dict[str, Any]:
    """Return what the metadata keeps so that others see that labels changed which they know."""
    moved = any(is_aside(str(branch)) for _, branch, _ in labels)
    return {"labels": ObjectId()} if moved else {}


def of_remote(
    repository: Repository,
    tree: Ancestry,
    remote: str,
    tip: VersionId,
    branch: str | None = None,
) -> dict[VersionId, Label]:
    """Return the labels that a remote gives to versions which were fetched and not pulled yet.

    They are those of the time when it was last looked at. It is walked from `tip` no further than
    up to the last of them.

    Args:
        repository: The trackers.
        tree: The versions.
        remote: The name of the remote.
        tip: The version that contains them.
        branch: The branch of their labels there; all where it is left out.
    """
    waiting = {
        node.id: node
        for node in repository.log.nodes_under(remote)
        if branch is None or node.branch == tracking(remote, branch)
    }
    labels: dict[VersionId, Label] = {}
    for version in walk(tree, tip) if waiting else ():
        node = waiting.pop(version, None)
        if node is not None:
            labels[version] = node.branch.removeprefix(f"{remote}/"), node.number
        if not waiting:
            break
    return labels


def _ancestors(tree: Ancestry, tip: VersionId) -> Iterator[tuple[VersionId, Node]]:
    return ((version, tree.nodes[version]) for version in ancestors_of(tree, tip))


def taken_over(repository: Repository, tree: Ancestry, branch: str, *tips: VersionId) -> Labels:
    """Return the labels that fetched versions get once a branch here contains some versions."""
    if not tips:
        return []
    wanted: dict[VersionId, Label] = {}
    for remote in repository.remotes.prefixes():
        for tip in tips:
            claims = of_remote(repository, tree, remote, tip, branch)
            _claim(wanted, claims, _kept(repository, tree, tip, claims))
    return relabelled(repository, tree, wanted, [branch])


def joined(
    repository: Repository, tree: Ancestry, branch: str, *parents: VersionId
) -> tuple[Labels, int]:
    """Return what `taken_over` does, and the number of a version on top that is to come."""
    labels = taken_over(repository, tree, branch, *parents)
    numbers = [number for _, name, number in labels if name == branch]
    return labels, max([repository.log.last_number(branch), *numbers]) + 1


def _claim(
    wanted: dict[VersionId, Label],
    claims: Mapping[VersionId, Label],
    taken: Iterable[Label] = (),
) -> None:
    """Add labels of fetched versions to those that are wanted; no label is wanted twice.

    A remote may have given a label to another version since it was looked at, and several remotes
    may have given the same one away. What comes too late for its label goes aside.

    Args:
        wanted: The labels that are wanted so far, which are added to.
        claims: The labels that a remote gave.
        taken: Labels that are not to be had either.
    """
    gone = {*wanted.values(), *taken}
    for version, label in claims.items():
        wanted.setdefault(version, aside(version, label) if label in gone else label)


def adopted(
    repository: Repository,
    tree: Ancestry,
    meeting: Meeting,
    arrived: Mapping[VersionId, Label] | None = None,
) -> Labels:
    """Return the labels that versions get once a branch goes on from its tip at a remote.

    What was fetched gets the labels of the remote, and what was only here moves aside.

    Args:
        repository: The trackers.
        tree: The versions.
        meeting: The two ends of the branch.
        arrived: The labels at the remote of versions that the log does not name yet.
    """
    branch = meeting.branch
    wanted: dict[VersionId, Label] = dict(arrived or {})
    _claim(wanted, of_remote(repository, tree, meeting.remote, meeting.theirs))
    for remote in repository.remotes.prefixes():  # perhaps fetched from another one
        if remote != meeting.remote:
            claims = of_remote(repository, tree, remote, meeting.theirs)
            _claim(wanted, claims, _kept(repository, tree, meeting.theirs, claims))
    if meeting.mine is not None and not is_ancestor(tree, meeting.mine, meeting.theirs):
        known = containing(repository, tree, meeting.mine, meeting.theirs)
        own = ancestors_of(known, meeting.mine) - ancestors_of(known, meeting.theirs)
        for version in own:
            label = label_of(tree.nodes[version])
            if label[0] == branch:
                wanted[version] = aside(version, label)
    return relabelled(repository, tree, wanted, [branch])


def _kept(
    repository: Repository, tree: Ancestry, tip: VersionId, claims: Mapping[VersionId, Label]
) -> list[Label]:
    """Return which of some labels versions under a remote's tip have here, and so have there."""
    found = repository.log.labelled_any(claims.values())
    return [label for label, holder in found.items() if is_ancestor(tree, holder, tip)]


def following(tree: Ancestry, meeting: Meeting, labels: Labels) -> int:
    """Return the number of the version that comes next on a branch behind a remote's tip.

    Args:
        tree: The versions.
        meeting: The two ends of the branch.
        labels: What they are called by then, where that changes.
    """
    names = (meeting.branch, tracking(meeting.remote, meeting.branch))
    changed = {version: (branch, number) for version, branch, number in labels}
    found = (
        changed.get(version, label_of(node)) for version, node in _ancestors(tree, meeting.theirs)
    )
    return max((number for branch, number in found if branch in names), default=-1) + 1


def room_for(repository: Repository, label: Label, labels: Labels) -> Labels:
    """Return labels with which one becomes free, beside those that change anyway."""
    holder = repository.log.labelled(*label)
    if holder is None or any(version == holder for version, *_ in labels):
        return labels
    return [[holder, *aside(holder, label)], *labels]
