"""A first copy taken back, where the server refuses a document of it.

What has arrived stays, invisible, for the next attempt. The state goes last, and up to then says
that this is under way: whoever opens the collection after a kill goes on with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from versioned_collection.driver.server_errors import translated
from versioned_collection.driver.wire import drop_indexes
from versioned_collection.errors import DocumentRejected, VersioningError
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.lifecycle import drop_some
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import drop_exactly, rename_exactly, rename_unless_taken

_log = logging.getLogger(__name__)

_INDEX = re.compile(r"\bindex: (\S+)")


def withdraw(hold: Hold, founded: Mapping[str, Any]) -> None:
    """Make a collection untracked again, without its history; whatever is done already is fine.

    Args:
        hold: The lease.
        founded: See `Commit`; its documents are gone already.
    """
    repository = hold.repository
    unmake(hold, founded)
    names = (repository.branches, repository.tags, repository.purges, repository.remotes)
    drop_some(hold, (repository.log, repository.modified, *names))
    hold.lease.check()
    repository.metadata.remove(hold.lease.token)


def unmake(hold: Hold, founded: Mapping[str, Any]) -> None:
    """Take back what was made of a collection for the documents of a copy.

    One that has documents of others by now stays.
    """
    repository = hold.repository
    wanted = founded.get("indexes", ())
    present = [index["name"] for index in repository.indexes() or ()]
    hold.lease.check()
    drop_indexes(repository.db, repository.name, [name for name in present if name in wanted])
    if founded.get("collection") is not None:
        _drop_empty(repository, founded["collection"])


def _drop_empty(repository: Repository, identity: Any) -> None:
    """Drop the collection with this UUID, unless it has documents.

    It leaves its name first, so that nobody writes to it after the look.
    """
    db, name = repository.db, repository.name
    aside = f"__gone_{bytes(identity).hex()[-8:]}_{name}"
    if _has_documents(repository, name):
        return
    rename_exactly(db, name, aside, identity)
    if not _has_documents(repository, aside):
        drop_exactly(db, aside, identity)
        return
    if not rename_unless_taken(db, aside, name, identity):
        _log.warning(
            "another client has made a collection %s while the one that it had written to before "
            "was about to go; what it wrote there is in %s",
            name,
            aside,
            extra={"collection": name, "hidden": aside},
        )


def _has_documents(repository: Repository, name: str) -> bool:
    with translated():
        return repository.db[name].find_one({}, {"_id": 1}) is not None


def withdrawn(
    refusal: VersioningError, repository: Repository, founded: Mapping[str, Any]
) -> VersioningError:
    """Return the error for a copy that was taken back.

    Args:
        refusal: What the server refuses.
        repository: The trackers of the collection that was to become a copy.
        founded: See `Commit`.
    """
    where = f"'{repository.db.name}.{repository.name}'"
    said = f"{where} is as it was before, and not tracked: "
    if not isinstance(refusal, DocumentRejected):
        return type(refusal)(f"{said}{refusal}, then try again", **refusal.facts)
    document_id, reason = (refusal.facts.get(name) for name in ("document_id", "reason"))
    advice = (
        "The index comes with the collection that was to be copied, and its own version does not "
        "fit it: drop or correct the index there, or register there what fits"
        if _comes_along(str(reason), founded)
        else f"What is in its way is in {where} itself: remove that index or document there"
    )
    return DocumentRejected(
        f"{said}the server refuses the document with _id {document_id!r} of the version to check "
        f"out: {reason}. {advice}, then try again",
        **refusal.facts,
    )


def _comes_along(reason: str, founded: Mapping[str, Any]) -> bool:
    """Tell whether an index that refuses a document is one that the copy brings."""
    named = _INDEX.search(reason)
    wanted = founded.get("indexes", ())
    return bool(wanted) if named is None else named.group(1) in wanted
