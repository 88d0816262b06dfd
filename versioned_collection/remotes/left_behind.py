"""Working copies whose branch a push has moved on from under them."""

from __future__ import annotations

from versioned_collection.committing.elsewhere import holders
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata


def left_behind(repository: Repository, state: Metadata) -> str | None:
    """Return the branch from which a push without checkout has detached HEAD, and nothing since.

    The log of operations tells it from a HEAD that somebody detached on purpose.

    Args:
        repository: The trackers.
        state: The state of the working copy.

    Returns:
        The branch; None where HEAD is where it is for another reason, or another working copy
        has the branch checked out by now.
    """
    if not state.detached:
        return None
    present = {"head": state.head, "branch": state.branch, "detached": True}
    move = repository.operations.last_from_elsewhere(present)
    if move is None or move["verb"] != "push" or move["after"] != present:
        return None
    if move["before"] != {**present, "detached": False}:
        return None
    taken = holders(repository.metadata.read_all())
    return None if state.branch in taken else state.branch
