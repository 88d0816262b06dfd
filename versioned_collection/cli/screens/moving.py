"""What the browser does to a collection: check out, tag, create a branch. No terminal here.

Each returns what was done, in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from versioned_collection.core.revision import check_name
from versioned_collection.errors import InvalidArgument

if TYPE_CHECKING:
    from versioned_collection import Version, VersionedCollection


def checkout(collection: VersionedCollection, version: Version, branch: str | None) -> str:
    """Check a version out, or a branch whose tip it is."""
    collection.checkout(None if branch else version.id, branch)
    what = version.label if branch is None else f"branch {branch}, {version.label}"
    return f"{'HEAD is detached at' if collection.is_detached() else 'checked out'} {what}"


def tag(collection: VersionedCollection, version: Version, name: str) -> str:
    """Tag a version."""
    collection.tag(name, version.id)
    return f"{version.label} is tagged {name}"


def create_branch(collection: VersionedCollection, version: Version, name: str) -> str:
    """Create a branch at a version, which is checked out first where HEAD is elsewhere.

    Raises:
        InvalidArgument: The name is taken; nothing has moved.
    """
    if name in collection.branches():
        raise InvalidArgument(f"there is a branch {name!r} already; choose another name")
    if collection.resolve("HEAD").id != version.id:
        collection.checkout(version.id)
    collection.create_branch(name)
    return f"on the new branch {name}, at {version.label}"


def wrong_with(name: str) -> str | None:
    """Return what is wrong with the name of a branch or tag, None for nothing."""
    try:
        check_name(name)
    except InvalidArgument as error:
        return error.message
    return None
