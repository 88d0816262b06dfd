"""add_check, checks, delete_check: what a state must pass to become a version."""

from __future__ import annotations

from typing import Any

from versioned_collection.committing import checking
from versioned_collection.core.codec import Codec
from versioned_collection.core.revision import check_text
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding


def add_check(repository: Repository, name: str, check: Any, message: str | None = None) -> None:
    """Keep a check.

    Raises:
        InvalidType: It is neither a pipeline nor a function.
        InvalidArgument: The pipeline writes, or the server does not understand it; or the
            name is taken.
        CollectionNotTracked: There is no history to guard.
    """
    with holding(repository, "add_check"):
        checking.add_check(repository, name, check, message)


def checks(repository: Repository) -> dict[str, Any]:
    """Return the checks by name: pipelines, and the functions of this object."""
    return {one.name: _shown(repository.codec, one.does) for one in checking.checks_of(repository)}


def _shown(codec: Codec, does: Any) -> Any:
    return does if callable(does) else [codec.decode(bytes(stage.raw)) for stage in does]


def delete_check(repository: Repository, name: str) -> bool:
    """Remove a check; tell whether there was one.

    Raises:
        InvalidType: The name is no text.
    """
    check_text(name, "check")
    with holding(repository, "delete_check"):
        return checking.delete_check(repository, name)
