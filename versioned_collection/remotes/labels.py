"""Which labels versions get where others have them already.

On a branch that both sides share, the numbers are those of the side that others pull from.
Versions that stand in the way move aside, to the numbers of a hidden branch of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from versioned_collection.core.version import VersionId
from versioned_collection.repository import Repository

Label = tuple[str, int]

_ASIDE = "__rebranched_"


def is_aside(branch: str) -> bool:
    """Tell whether a branch of labels is a hidden one, of versions that had to move aside."""
    return branch.startswith(_ASIDE)


def tracking(remote: str, branch: str) -> str:
    """Return the branch of labels that stands for a branch of a remote."""
    return branch if is_aside(branch) else f"{remote}/{branch}"


def aside(moved: Mapping[VersionId, Label]) -> dict[VersionId, Label]:
    """Return labels to which versions move that stand in the way.

    Those of one branch stay together in their order. The name is that of the branch with the
    id of the first of them, so that it means the same versions wherever they are pushed.

    Args:
        moved: The versions with the labels that they have.
    """
    order = sorted(moved, key=lambda version: moved[version])
    first: dict[str, VersionId] = {}
    taken: dict[str, int] = {}
    labels: dict[VersionId, Label] = {}
    for version in order:
        branch = moved[version][0]
        leader = first.setdefault(branch, version)
        name = f"{_ASIDE}{branch}_{leader}"
        labels[version] = (name, taken.get(name, 0))
        taken[name] = taken.get(name, 0) + 1
    return labels


def holders(repository: Repository, wanted: Mapping[VersionId, Label]) -> dict[VersionId, Label]:
    """Return the other versions that have labels which are wanted."""
    found = repository.log.labelled_any(wanted.values())
    return {version: label for label, version in found.items() if wanted.get(version) != label}


def as_stored(labels: Mapping[VersionId, Label]) -> list[list[object]]:
    """Return labels as a commit keeps them."""
    return [[version, *label] for version, label in labels.items()]
