"""One document through the versions: in which it changed, and what it was in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from versioned_collection.core.delta import Delta
from versioned_collection.core.document import DocumentKey
from versioned_collection.core.tree import Path
from versioned_collection.core.version import VersionId
from versioned_collection.past.lineage import Lineage
from versioned_collection.past.moment import steady
from versioned_collection.past.plan import Planner
from versioned_collection.past.sameness import is_collated, with_same_ids
from versioned_collection.repository.repository import Repository

_AT_ONCE = 50
"""Deltas that are read ahead; each may be as large as two documents."""

State = dict[DocumentKey, bytes]
"""The document under its own id, which the server may take for the one asked for; or nothing."""


class Step(NamedTuple):
    """A version that changed the document.

    Attributes:
        version: The version.
        before: The document in its first parent, None where there was none.
        after: The document in it, None where there is none.
    """

    version: VersionId
    before: bytes | None
    after: bytes | None


def trail_of(
    planner: Planner, key: DocumentKey, exact: bool, start: VersionId, verb: str
) -> Trail:
    """Follow a document; what it was at HEAD is read at one moment.

    Args:
        planner: Knows what serves versions; its repository counts.
        key: Its id.
        exact: Whether this very id counts, else those too that the server takes for the same: by
            a collation the one that `start` has, where it does not have this one.
        start: Where the way begins.
        verb: What for; see `steady`.
    """
    trail = _trail_of(planner.repository, [key], exact, verb)
    if exact or not is_collated(planner.repository, key) or trail.state(start):
        return trail
    keys = with_same_ids(planner, start, [key])
    return trail if keys == {key} else _trail_of(planner.repository, sorted(keys), exact, verb)


def _trail_of(
    repository: Repository, keys: Sequence[DocumentKey], exact: bool, verb: str
) -> Trail:
    with steady(repository, verb) as (head, at):
        recorded: State = {}
        for _, found in repository.replica.by_keys(keys, at):
            recorded.update(found)
        return Trail(repository, keys, exact, head, recorded)


class Trail:
    """One document in all versions.

    Args:
        repository: The trackers.
        keys: Its id, in all ways in which it is written.
        exact: See `trail_of`.
        head: A version.
        recorded: What has the id, or one that is the same for the server, in that version.
    """

    def __init__(
        self,
        repository: Repository,
        keys: Sequence[DocumentKey],
        exact: bool,
        head: VersionId,
        recorded: State,
    ) -> None:
        self._deltas = repository.deltas
        self._keys = keys
        self._exact = exact
        self._recorded = self._meant(recorded)
        self._lineage = Lineage(
            repository,
            (version for version, found in self._deltas.changes_of(keys) if self._counts(found)),
        )
        self._here = self.chain(head)
        self._read: dict[VersionId, list[Delta]] = {}

    def _counts(self, found: DocumentKey) -> bool:
        return not self._exact or found in self._keys

    def _meant(self, state: State) -> State:
        return {found: raw for found, raw in state.items() if self._counts(found)}

    def state(self, version: VersionId) -> State:
        """Return the document in a version.

        Raises:
            CorruptHistory: The version, or that of HEAD, is not in the log.
        """
        here, there = self._here, self.chain(version)
        common = {*here}.intersection(there)
        undone = (one for one in here if one not in common)
        redone = (one for one in reversed(there) if one not in common)
        path = Path(tuple(undone), tuple(redone))
        state = dict(self._recorded)
        for key, deltas in self._deltas.along_for(path, self._keys).items():
            if self._counts(key):
                _apply(state, deltas)
        return state

    def steps(self, version: VersionId) -> Iterator[Step]:
        """Iterate over the versions that changed the document, along first parents.

        The first version counts where it has the document.

        Args:
            version: Where to begin.
        """
        state = self.state(version)
        chain = self.chain(version)
        for place, one in enumerate(chain):
            after = only(state)
            _apply(state, [~delta for delta in reversed(self._of(chain, place))])
            yield Step(one, only(state), after)
        if state:
            yield Step(self._lineage.first(version), None, only(state))

    def chain(self, version: VersionId) -> list[VersionId]:
        """Return the versions that changed the document, from a version up."""
        return self._lineage.chain(version)

    def began_with(self, version: VersionId) -> bool:
        """Tell whether the first version on the way up from a version has the document."""
        chain = self.chain(version)
        if not chain:
            return bool(self.state(version))
        return any(delta.before is not None for delta in self._of(chain, len(chain) - 1))

    def merged_into(self, version: VersionId) -> Sequence[VersionId]:
        """Return the further parents of a version to which `steps` led, as far as there are."""
        return self._lineage.merged_into(version)

    def _of(self, chain: Sequence[VersionId], place: int) -> list[Delta]:
        """Return the deltas of a version on a chain, two where one id took another's place."""
        version = chain[place]
        if version not in self._read:
            ahead = chain[place : place + _AT_ONCE]
            self._read = {one: [] for one in ahead}
            for one, delta in self._deltas.of_document(ahead, self._keys):
                if self._counts(delta.key):
                    self._read[one].append(delta)
        return self._read[version]


def only(state: State) -> bytes | None:
    """Return the document, None where there is none."""
    return next(iter(state.values()), None)


def _apply(state: State, deltas: Iterable[Delta]) -> None:
    for delta in deltas:
        raw = delta.apply(state.get(delta.key))
        if raw is None:
            state.pop(delta.key, None)
        else:
            state[delta.key] = raw
