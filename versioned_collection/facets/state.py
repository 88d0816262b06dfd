"""What a person asks first: where HEAD is, and what has changed."""

from __future__ import annotations

from typing import Any

from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.tree import VersionTree
from versioned_collection.facets.base import Facet
from versioned_collection.verbs.status import current_number, has_changes, status


class State(Facet[DocumentType]):
    """What a person asks first: where HEAD is, and what has changed."""

    @property
    def version(self) -> int | None:
        """The number of HEAD on its branch, -1 on an unborn branch, None when untracked."""
        state = self._repository.known_state()
        return None if state is None else current_number(self._repository, state)

    @property
    def branch(self) -> str | None:
        """The branch of HEAD, None when untracked."""
        state = self._repository.known_state()
        return None if state is None else state.branch

    @property
    def version_tree(self) -> VersionTree | None:
        """The tree of all versions, None when untracked."""
        return self._repository.log.tree() if self.is_tracked() else None

    @property
    def capture_mode(self) -> str:
        """How changes are noticed: ``change_stream``, ``write_through`` or ``scan``."""
        return self._repository.capture_mode

    def is_detached(self) -> bool:
        """Tell whether HEAD is not the tip of a branch."""
        state = self._repository.known_state()
        return state is not None and state.detached

    def has_stash(self) -> bool:
        """Tell whether changes are stashed."""
        state = self._repository.known_state()
        return state is not None and bool(state.stashes)

    def has_conflicts(self) -> bool:
        """Tell whether conflicts wait for resolution."""
        return self._repository.has_conflicts(self._repository.known_state())

    def has_changes(self) -> bool:
        """Tell whether the documents differ from HEAD, whoever changed them."""
        return self._unless_untracked(has_changes, False)

    def status(self) -> dict[str, Any]:
        """Return the state of the working copy.

        Returns:
            ``current_version``, ``current_branch``, ``detached``, ``changed``, ``has_stash``,
            ``has_conflicts``, ``conflicts`` (how many wait), ``merging``, ``merge_verb`` (the
            verb whose conflicts or outcome wait, such as ``merge`` or ``stash_apply``; else
            None), ``changes`` (counts), ``head`` and ``capture_mode``; ``{'tracked': False}``
            when untracked.
        """
        return self._unless_untracked(status, {"tracked": False})
