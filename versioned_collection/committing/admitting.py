"""Which documents go past a validator where a commit makes new ones, which have to pass it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from versioned_collection.committing.commit import Commit
from versioned_collection.core.document import DocumentKey, document_hash
from versioned_collection.documents.targets import Admit, Target
from versioned_collection.repository.hold import Hold
from versioned_collection.repository.repository import Repository


def admission(hold: Hold, commit: Commit) -> Admit:
    """Return what tells for which documents of a strict commit the validator is bypassed.

    It looks at nothing but what is stored, so whoever resumes the commit comes to the same.
    """
    if not commit.readmits:
        return lambda _: ()

    def admit(targets: Sequence[Target]) -> set[DocumentKey]:
        states = {one.key: one.after for one in targets if one.after is not None}
        return _recorded(hold.repository, states) | _unsettled(hold, commit, list(states))

    return admit


def _recorded(repository: Repository, states: Mapping[DocumentKey, bytes]) -> set[DocumentKey]:
    """Return which documents are, byte for byte, what a version has.

    Where that is not what HEAD has, some version changed the document to it, or from it.
    """
    keys, wanted = list(states), list(states.values())
    found = {
        document_hash(raw)
        for _, present in repository.replica.by_keys(keys)
        for raw in present.values()
    }
    changes = list(repository.deltas.with_states(keys, wanted))
    logged = repository.log.among({version for version, _ in changes})
    found.update(*(ends for version, ends in changes if version in logged))
    return {key for key, state in states.items() if state in found}


def _unsettled(hold: Hold, commit: Commit, keys: Sequence[DocumentKey]) -> set[DocumentKey]:
    """Return for which documents other conflicts wait than those that are settled.

    Such a one is on its way, and may pass once all of it is decided.
    """
    merge = hold.state.merge
    if not commit.settled or merge is None:
        return set()
    return hold.repository.conflicts.waiting_of(merge["id"], keys, commit.settled)
