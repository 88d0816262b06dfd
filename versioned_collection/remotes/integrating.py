"""Where a branch of a remote and the local one meet: how the local one goes on."""

from __future__ import annotations

from typing import NamedTuple

from bson.objectid import ObjectId

from versioned_collection.commit import Commit
from versioned_collection.committer import Progress
from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.joining import carry_out
from versioned_collection.remotes.arrival import along, follow
from versioned_collection.remotes.labels import Label, as_stored, aside, holders
from versioned_collection.repository import Hold, Repository


class Meeting(NamedTuple):
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


def final_labels(
    repository: Repository, tree: VersionTree, meeting: Meeting
) -> tuple[dict[VersionId, Label], dict[VersionId, Label]]:
    """Return the labels that fetched versions get once they belong to a local branch.

    On the branch itself they are those of the remote; what has them moves aside. On other
    branches, whose versions were merged into it, they are only taken where they are free.

    Returns:
        Labels of versions that move aside, and those of the fetched ones.
    """
    prefix = f"{meeting.remote}/"
    wanted: dict[VersionId, Label] = {}
    for version in ancestors_of(tree, meeting.theirs):
        node = tree.nodes[version]
        if node.branch.startswith(prefix):
            wanted[version] = (node.branch.removeprefix(prefix), node.number)
    in_the_way = holders(repository, wanted)
    kept = {label for label in in_the_way.values() if label[0] != meeting.branch}
    moved = {one: label for one, label in in_the_way.items() if label[0] == meeting.branch}
    return aside(moved), {one: label for one, label in wanted.items() if label not in kept}


def fast_forward(
    hold: Hold, tree: VersionTree, meeting: Meeting, progress: Progress | None
) -> None:
    """Let a branch go on to where it is at the remote, and the working copy with it.

    Raises:
        InvalidOperation: The branch is checked out and has uncommitted changes.
    """
    moved, labels = final_labels(hold.repository, tree, meeting)
    commit = Commit(
        state={"progress": ObjectId()},
        branches={meeting.branch: meeting.theirs},
        labels=[*as_stored(moved), *as_stored(labels)],
    )
    follow(hold, commit, tree, checkout=True)
    carry_out(hold, commit, along(hold, commit), progress)
