"""tag, delete_tag: names for versions that stay where they are."""

from __future__ import annotations

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.committer import Committer
from versioned_collection.core.revision import check_name, check_text
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidArgument, TagNotFound
from versioned_collection.history.facts import check_said
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.repository.repository import Repository
from versioned_collection.working.recovery import holding


def tag(
    repository: Repository, name: str, revision: RevisionLike = "HEAD", message: str | None = None
) -> VersionId:
    """Name a version.

    Raises:
        InvalidArgument: The name is malformed, or taken by a tag or a branch; or the message is
            too large, or no text that BSON can hold.
        InvalidType: The name or the message is no text.
    """
    check_name(name, "tag")
    check_said(message, None, None)
    with holding(repository, "tag") as hold:
        version = Resolver(repository, hold.state).resolve(revision)
        if repository.branches.get(name) is not None:
            raise InvalidArgument(f"{name!r} is a branch; choose another name", tag=name)
        if repository.tags.get(name) is not None:
            raise InvalidArgument(
                f"there is a tag {name!r} already; delete_tag() removes it", tag=name
            )
        found = {"version": version, "message": message, "timestamp": repository.now()}
        Committer(hold).references(Commit(tagged={name: found}))
        return version


def delete_tag(repository: Repository, name: str) -> None:
    """Remove a tag; the version stays.

    Raises:
        TagNotFound: There is no such tag.
        InvalidType: The name is no text.
    """
    check_text(name, "tag")
    with holding(repository, "delete_tag") as hold:
        if repository.tags.get(name) is None:
            raise TagNotFound(f"there is no tag {name!r}; tags() lists them", tag=name)
        Committer(hold).references(Commit(untagged=[name]))
