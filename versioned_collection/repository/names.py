"""Names of collections that can be tracked: those that leave room for their trackers' names."""

from __future__ import annotations

import re

from versioned_collection.errors import InvalidArgument
from versioned_collection.trackers.base import NAMESPACE_LIMIT
from versioned_collection.trackers.overlays import OVERLAY

RESERVED = ("__", "system.")
"""How names of collections begin that are kept for trackers and for the server."""

_LIKE_AN_OVERLAY = re.compile(rf"\.{OVERLAY}$")

_LONGEST_TRACKER = "__conflicts_" + ".chunks"


def check_namespace(database: str, name: str) -> None:
    """Make sure that a name is not a reserved one, and that the trackers' names fit.

    Whether other collections leave room for them, `tracking.refuse_related` tells.

    Raises:
        InvalidArgument: It is, or they are longer than MongoDB allows.
    """
    if name.startswith(RESERVED):
        raise InvalidArgument(
            "collection names that start with '__' are kept for trackers, those that start "
            "with 'system.' for the server",
            collection=name,
        )
    if _LIKE_AN_OVERLAY.search(name):
        raise InvalidArgument(
            f"the name {name!r} ends as those of overlays do; choose another name",
            collection=name,
        )
    size = len(f"{database}.{name}".encode()) + len(_LONGEST_TRACKER)
    if size > NAMESPACE_LIMIT:
        raise InvalidArgument(
            f"the name {name[:40]!r}... is too long: with the trackers' prefix the "
            f"namespace takes {size} bytes, MongoDB allows {NAMESPACE_LIMIT}. Choose a name "
            f"that is {size - NAMESPACE_LIMIT} bytes shorter",
            collection=name,
            bytes=size,
            limit=NAMESPACE_LIMIT,
        )
