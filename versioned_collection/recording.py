"""A version in the making: its deltas are stored, its facts are summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from versioned_collection.committer import Progress
from versioned_collection.core.delta import Delta, compare, hash_number
from versioned_collection.core.version import Version
from versioned_collection.moves import Move
from versioned_collection.pipeline import Behind
from versioned_collection.repository import Hold, new_version_id
from versioned_collection.targets import Target
from versioned_collection.versions import completed
from versioned_collection.working_copy import Change

_MODULUS = 1 << 256
_COUNTED = {"insert": "inserted", "update": "updated", "delete": "deleted"}


class Facts(NamedTuple):
    """What the caller says about a new version."""

    branch: str
    message: str
    author: Any
    metadata: dict[str, Any]


class Recording:
    """Stores the deltas of a new version, which stay invisible until the log names it.

    Args:
        hold: The lease.
        progress: Told how many documents were recorded.

    Attributes:
        id: The new version.
        count: How many documents it changes.
    """

    def __init__(self, hold: Hold, progress: Progress | None = None) -> None:
        self.id = new_version_id()
        self.count = 0
        self._hold = hold
        self._progress = progress or (lambda phase, count: None)
        self._stats = dict.fromkeys(_COUNTED.values(), 0)
        self._content = 0
        self._digests: list[int] = []

    def begin(self) -> None:
        """Note what is being made, so that it is removed should it not be completed."""
        self._hold.begin({"phase": "prepare", "version": self.id})

    def append(
        self,
        changes: Iterable[list[Change]],
        visit: Callable[[list[Move]], None],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Store the deltas of changes, while the next ones are being computed.

        Args:
            changes: The changes, a bounded list at a time.
            visit: Called with the moves that these changes are for the replica.
            ready: Called before anything is written; it may wait, or raise to have nothing
                written.
        """
        store = self._hold.repository.deltas
        with Behind() as behind:
            behind.submit(ready)
            for batch in changes:
                deltas = [self._counted(change) for change in batch]
                behind.submit(lambda d=deltas: self._digests.append(store.append(self.id, d)))  # type: ignore[misc]
                visit([_move(*pair) for pair in zip(deltas, batch, strict=True)])
                self._progress("recorded", len(batch))

    def _counted(self, change: Change) -> Delta:
        delta = change.delta or compare(change.old, change.new)
        assert delta is not None
        self.count += 1
        self._stats[_COUNTED[delta.op]] += 1
        self._content += hash_number(delta.after) - hash_number(delta.before)
        return delta

    def version(self, facts: Facts, parents: Sequence[Version]) -> Version:
        """Return the log entry, once all changes are appended.

        Args:
            facts: What the caller says about it.
            parents: The parents; the changes start from the first one.
        """
        repository = self._hold.repository
        version = Version(
            self.id,
            repository.log.last_number(facts.branch) + 1,
            facts.branch,
            tuple(parent.id for parent in parents),
            repository.now(),
            facts.message,
            facts.author,
            facts.metadata,
            self._stats,
        )
        content = (int(parents[0].fingerprint, 16) + self._content) % _MODULUS
        return completed(version, parents, sum(self._digests) % _MODULUS, content)


def _move(delta: Delta, change: Change) -> Move:
    return Move(Target(delta.key, delta.before, change.new, delta.after), change.old)
