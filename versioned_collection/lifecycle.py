"""The end of a collection, and its new name: operations over all trackers at once."""

from __future__ import annotations

from pymongo import errors as driver

from versioned_collection.repository import Hold, Repository
from versioned_collection.wire import NAMESPACE_NOT_FOUND, translated


def drop_trackers(repository: Repository) -> None:
    """Drop all trackers; the metadata goes last, so that an interrupted drop goes on."""
    with translated():
        existing = set(repository.db.list_collection_names())
    for tracker in repository.trackers:
        if existing.intersection(tracker.names):
            tracker.drop()


def complete_drop(hold: Hold) -> None:
    """Drop the collection and its trackers; whatever is gone already is fine."""
    repository = hold.repository
    with translated():
        repository.db.drop_collection(repository.name)
    drop_trackers(repository)
    repository.leases.forget()


def complete_rename(hold: Hold, new_name: str) -> None:
    """Rename the collection and its trackers; whatever is renamed already is fine."""
    repository = hold.repository
    target = Repository(repository.db, new_name)
    with translated():
        try:
            repository.db[repository.name].rename(new_name)
        except driver.OperationFailure as error:
            if error.code != NAMESPACE_NOT_FOUND:
                raise
    for tracker in repository.trackers[:-1]:
        tracker.rename(new_name)
    target.leases.carry_on(hold.lease.fence)
    repository.metadata.rename_over(new_name)
    target.metadata.update(hold.lease.token, {"intent": None})
    repository.leases.forget()
