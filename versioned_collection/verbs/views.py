"""publish_view, views, drop_view: versions as views that any client can query."""

from __future__ import annotations

from typing import Any

from pymongo import errors as driver

from versioned_collection.core.revision import check_text
from versioned_collection.core.version import Version
from versioned_collection.driver.server_errors import (
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    translated,
)
from versioned_collection.errors import InvalidArgument, InvalidOperation, NotSupported
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Progress, verb
from versioned_collection.past.building import make
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.names import RESERVED
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import check_collection_name, drop_exactly
from versioned_collection.trackers.overlays import Overlay
from versioned_collection.working.recovery import holding


def publish_view(
    repository: Repository,
    revision: RevisionLike,
    name: str,
    replace: bool = False,
    progress: Progress | None = None,
) -> Version:
    """Make a view of a version.

    Args:
        repository: The trackers.
        revision: The version.
        name: The name of the view.
        replace: Whether a view of this collection that has the name shows the version from now
            on.
        progress: Told how many documents were written.

    Raises:
        InvalidArgument: The name cannot be that of a view.
        InvalidOperation: There is something else of that name.
        NotSupported: The server has no views.
        LeaseLost: Another owner took over, and has removed what the view was to show.
    """
    _check_name(repository, name)
    if not repository.has_views:
        raise NotSupported(
            "mongomock has no views; at() reads the version, or run this test on a real server, "
            "such as that of embedded.start()",
            name=name,
        )
    with holding(repository, "publish_view") as hold:
        version = Resolver(repository, hold.state).resolve(revision)
        entry = entry_of(repository, version)
        exists = _check_free(hold, name, replace)
        make(hold, version, whole=True, progress=progress)
        overlay = repository.overlays.of(version, whole=True)
        assert overlay is not None
        if not exists or not _turn(hold, name, overlay.slot):
            _create(hold, name, overlay.slot)
        _take_back_late(hold, name, overlay)
    return entry


def _check_name(repository: Repository, name: Any) -> None:
    check_collection_name(repository.db, name, "view")
    if name.startswith(RESERVED):
        raise InvalidArgument(
            "names that start with '__' are kept for trackers, those that start with 'system.' "
            "for the server",
            name=name,
        )


def _check_free(hold: Hold, name: str, replace: bool) -> bool:
    """Tell whether there is a view of ours of that name, which may be replaced."""
    repository = hold.repository
    if name == repository.name or name in hold.others:
        raise InvalidOperation(
            f"{name!r} is the name of a working copy, also while its collection is dropped; "
            "choose another name",
            name=name,
        )
    if name in repository.overlays.views():
        if not replace:
            raise InvalidOperation(
                f"there is a view {name!r} already; replace=True lets it show this version",
                name=name,
            )
        return True
    with translated():
        if repository.db.list_collection_names(filter={"name": name}):
            raise _taken(name)
    return False


def _taken(name: str) -> InvalidOperation:
    return InvalidOperation(
        f"there is a collection or view {name!r} already, which is not a view of a version of "
        "this collection; choose another name",
        name=name,
    )


def _turn(hold: Hold, name: str, slot: str) -> bool:
    """Let a view show another overlay; return whether it is there still."""
    hold.lease.check()
    try:
        hold.repository.overlays.turn_view(name, slot)
    except driver.OperationFailure as error:
        if error.code != NAMESPACE_NOT_FOUND:
            raise
        return False
    return True


def _create(hold: Hold, name: str, slot: str) -> None:
    repository = hold.repository
    hold.lease.check()
    try:
        repository.overlays.create_view(name, slot, hold.state.options.get("collation"))
    except driver.OperationFailure as error:
        if error.code == NAMESPACE_EXISTS:  # another client was faster
            raise _taken(name) from error
        raise


def _take_back_late(hold: Hold, name: str, overlay: Overlay) -> None:
    """Drop a view that came behind the end of the lease, if it shows nothing.

    The server makes a view whatever became of the lease, and whoever took over may have removed
    an overlay that no view showed by then.

    Raises:
        LeaseLost: It was dropped.
    """
    repository = hold.repository
    found = repository.overlays.of(overlay.version, whole=True)
    if found is None or found.slot != overlay.slot:
        drop_exactly(repository.db, name, None)
        raise hold.lease.ran_out()


def views(repository: Repository) -> dict[str, Version]:
    """Return the version that each view shows, by the view's name."""
    overlays = {one.slot: one.version for one in repository.overlays.all()}
    shown = {
        name: overlays[slot]
        for name, slot in repository.overlays.views().items()
        if slot in overlays
    }
    entries = {entry.id: entry for entry in repository.log.get_many(set(shown.values()))}
    return {name: entries[version] for name, version in shown.items() if version in entries}


@verb("drop_view")
def drop_view(repository: Repository, name: str) -> None:
    """Drop a view; what it takes is freed as with other overlays.

    Raises:
        InvalidArgument: There is no such view.
        InvalidType: The name is no text.
    """
    check_text(name, "view")
    if name not in repository.overlays.views():
        raise InvalidArgument(
            f"there is no view {name!r} of a version of {repository.name!r}; views() lists them",
            name=name,
        )
    drop_exactly(repository.db, name, None)
