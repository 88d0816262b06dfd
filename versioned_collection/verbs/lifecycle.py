"""rename and drop: the collection together with its trackers."""

from __future__ import annotations

from contextlib import suppress

from versioned_collection.committing.elsewhere import refuse_with_others
from versioned_collection.driver.server_errors import translated
from versioned_collection.errors import FormatMismatch, InvalidArgument, InvalidOperation
from versioned_collection.repository.hold import leased
from versioned_collection.repository.lifecycle import complete_drop, complete_rename
from versioned_collection.repository.names import check_namespace
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import check_collection_name, identities
from versioned_collection.working.recovery import holding
from versioned_collection.working.tracking import refuse_foreign, refuse_related, refuse_renamed


def rename(repository: Repository, new_name: str) -> None:
    """Rename the collection and its trackers.

    Raises:
        InvalidArgument: The name is malformed, too long or taken.
        InvalidOperation: There are worktrees, or this is one; or another client has made a
            collection of that name meanwhile.
        LeaseHeld: A transfer brings versions for longer than we wait.
    """
    target = _checked_target(repository, new_name)
    # a transfer would go on under the old name
    with repository.receiving("rename"), holding(repository, "rename") as hold:
        refuse_with_others(hold, "rename")
        identity = identities(repository.db, [repository.name]).get(repository.name)
        hold.begin({"phase": "apply", "to": new_name, "uuid": identity})
        target.metadata.announce_rename(repository.name)
        if not complete_rename(hold, new_name, identity):
            raise InvalidOperation(
                f"another client has made a collection {new_name!r} meanwhile; everything is as "
                "before, choose another name",
                name=new_name,
            )


def _checked_target(repository: Repository, new_name: str) -> Repository:
    check_collection_name(repository.db, new_name)  # the trackers' prefix would mend some names
    target = Repository(repository.db, new_name)
    check_namespace(target.db.name, new_name)
    refuse_related(target)
    with translated():
        taken = set(repository.db.list_collection_names())
    for name in (new_name, *(tracker.name for tracker in target.trackers)):
        if name in taken:
            raise InvalidArgument(
                f"there is a collection {name!r} already; choose another name", name=name
            )
    return target


def drop_lost(repository: Repository) -> None:
    """Drop the collection and what is left of a history whose metadata is lost, if there is any.

    Raises:
        InvalidOperation: A collection is being renamed to that name.
        InvalidArgument: Another collection has trackers under the same names.
    """
    if not identities(repository.db, [repository.log.name]):
        return
    with suppress(FormatMismatch), leased(repository, "drop") as hold:
        refuse_foreign(repository)
        refuse_related(repository)
        refuse_renamed(repository)
        if repository.known_state() is None:
            complete_drop(hold)


def drop(repository: Repository) -> None:
    """Drop the collection and its trackers.

    Raises:
        InvalidOperation: There are worktrees, or this is one.
        LeaseHeld: A transfer brings versions for longer than we wait.
    """
    # a transfer would leave behind what it goes on to store
    with repository.receiving("drop"), holding(repository, "drop") as hold:
        refuse_with_others(hold, "drop")
        hold.begin({"phase": "apply"})
        complete_drop(hold)
