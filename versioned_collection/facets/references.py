"""Names of versions: branches and tags."""

from __future__ import annotations

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.version import Version
from versioned_collection.facets.base import Facet
from versioned_collection.history.revisions import RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.verbs import branch as branch_verbs
from versioned_collection.verbs import tag as tag_verbs


class References(Facet[DocumentType]):
    """Names of versions: branches and tags."""

    def create_branch(self, name: str) -> tuple[int, str] | None:
        """Create a branch at HEAD and check it out; uncommitted changes stay.

        The name of a deleted branch can be given again: its versions keep their labels, and the
        numbers of the new one follow theirs.

        Returns:
            The number and branch of the version it points to; None when untracked.

        Raises:
            InvalidArgument: The name is malformed or taken (a ValueError).
        """
        version = self._unless_untracked(
            lambda repository: branch_verbs.create_branch(repository, name), None
        )
        return None if version is None else (version.number, version.branch)

    def branches(self) -> set[str]:
        """Return the names of all branches; empty when untracked."""
        return set(self._repository.branches.all())

    def delete_branch(self, name: str) -> None:
        """Remove a branch's name; its versions stay.

        Raises:
            BranchNotFound: There is no such branch.
            InvalidType: The name is not a text (a TypeError).
            InvalidOperation: It is checked out, a rebase of it waits, or versions would become
                unreachable.
        """
        branch_verbs.delete_branch(self._repository, name)

    def rename_branch(self, old: str, new: str) -> None:
        """Give a branch another name; all labels with the old one follow.

        Where versions of a deleted branch carry the new name, the numbers come behind theirs.

        Raises:
            BranchNotFound: There is no branch `old`.
            InvalidType: `old` is not a text (a TypeError).
            InvalidArgument: `new` is malformed or taken (a ValueError).
        """
        branch_verbs.rename_branch(self._repository, old, new)

    def tag(
        self, name: str, revision: RevisionLike = "HEAD", message: str | None = None
    ) -> Version:
        """Name a version for good.

        Raises:
            InvalidArgument: The name is malformed or taken.
            InvalidCollectionVersion: There is no such version.
        """
        return entry_of(self._repository, tag_verbs.tag(self._repository, name, revision, message))

    def tags(self) -> dict[str, Version]:
        """Return the tagged versions by tag; empty when untracked."""
        tags = {name: tag["version"] for name, tag in self._repository.tags.documents().items()}
        entries = {entry.id: entry for entry in self._repository.log.get_many(tags.values())}
        return {name: entries[version] for name, version in tags.items() if version in entries}

    def delete_tag(self, name: str) -> None:
        """Remove a tag; the version stays.

        Raises:
            TagNotFound: There is no such tag.
            InvalidType: The name is not a text (a TypeError).
        """
        tag_verbs.delete_tag(self._repository, name)
