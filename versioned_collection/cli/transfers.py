"""What moves between two sides, in words and as ``--json`` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.lines import counted, printable
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import Fetched, Pulled, Pushed, Version, VersionedCollection

Moved = Mapping[str, tuple[Any, Any]]
"""Branches that move: name to the tip before and after, None for no such branch."""


@dataclass(frozen=True)
class Doing:
    """How a transfer is told.

    Attributes:
        past: What was done, such as ``pushed to``.
        future: What would be done, such as ``would push to``.
    """

    past: str
    future: str


PANEL = "Remotes"
"""The heading of the commands in the help."""

PUSH = Doing("pushed to", "would push to")
PULL = Doing("pulled from", "would pull from")
FETCH = Doing("fetched from", "would fetch from")


def concealed(session: Session, remote: str | None) -> str | None:
    """Return a remote as it was given, after making sure that its secrets stay unsaid."""
    from versioned_collection.remotes.address import DEFAULT

    session.conceal(remote)
    for known in session.collection.remotes():
        if known.name == (remote or DEFAULT):
            session.conceal(known.url)
    return remote


class Labels:
    """Labels of versions, of those that are here.

    Args:
        collection: The collection.
    """

    def __init__(self, collection: VersionedCollection) -> None:
        self._collection = collection
        self._found: dict[Any, Version | None] = {}

    def version(self, id_: Any) -> Version | None:
        """Return a version, None where it is not here."""
        if id_ not in self._found:
            self._found[id_] = self._resolved(id_)
        return self._found[id_]

    def text(self, id_: Any) -> str:
        """Return the label of a version, its id where it is not here."""
        version = self.version(id_)
        return printable(str(id_) if version is None else version.label)

    def message(self, id_: Any) -> str:
        """Return the first line of what a version says."""
        version = self.version(id_)
        return "(not fetched)" if version is None else version.subject

    def facts(self, id_: Any) -> dict[str, Any] | None:
        """Return where a name points to as ``--json`` prints it, None for nowhere."""
        if id_ is None:
            return None
        version = self.version(id_)
        return {"id": id_, "label": None if version is None else version.label}

    def _resolved(self, id_: Any) -> Version | None:
        from versioned_collection.errors import InvalidCollectionVersion

        if not self._collection.is_tracked():
            return None
        try:
            return self._collection.resolve(id_)
        except InvalidCollectionVersion:
            return None


def transfer_facts(
    collection: VersionedCollection, done: Pushed | Pulled | Fetched, dry_run: bool
) -> dict[str, Any]:
    """Return what moved, or would move, as ``--json`` prints it."""
    labels = Labels(collection)
    return {
        "remote": done.remote,
        "versions": done.versions,
        "branches": [
            {"name": name, "old": labels.facts(old), "new": labels.facts(new)}
            for name, (old, new) in sorted(done.branches.items())
        ],
        "dry_run": dry_run,
    }


def transfer_lines(
    collection: VersionedCollection,
    doing: Doing,
    done: Pushed | Pulled | Fetched,
    dry_run: bool,
    tags: Sequence[str] = (),
) -> list[str]:
    """Return what moved, or would move, in words."""
    remote = printable(done.remote)
    caught_up = getattr(done, "caught_up", None)
    kept = [f"  tag {printable(tag)}: stays at another version there" for tag in _kept(done)]
    if not (done.versions or done.branches or tags or caught_up):
        return [f"up to date with {remote}", *kept]
    whole = getattr(done, "created", False) and not done.versions
    count = "all versions" if whole else counted(done.versions, "version")
    head = f"{doing.future if dry_run else doing.past} {remote}: {count}"
    tag_lines = (f"  tag {printable(tag)}" for tag in tags)
    lines = [head, *_branch_lines(Labels(collection), done.branches), *tag_lines, *kept]
    if caught_up:
        lines.append(f"  {printable(caught_up)}: checked out there again")
    return lines


def _kept(done: Pushed | Pulled | Fetched) -> Sequence[str]:
    """Return the tags that a push leaves alone, as they are others there."""
    return getattr(done, "tags_kept", ())


def _branch_lines(labels: Labels, branches: Moved) -> Iterator[str]:
    for name, (old, new) in sorted(branches.items()):
        before = "new" if old is None else labels.text(old)
        after = "deleted" if new is None else labels.text(new)
        yield f"  {printable(name)}: {before} -> {after}"
