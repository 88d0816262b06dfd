"""What the demos show: headings, graphs, conflicts, and the time of each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.history import names
from versioned_collection.cli.listing import Filter, drawn
from versioned_collection.cli.replay import COLLECTION, Replay, Step
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import Conflict, VersionedCollection

_LOOKS = ("log --graph", "diff v1.53.0 --stat", "checkout v1.50.0", "status")


def heading(session: Session, text: str) -> None:
    """Show what comes next."""
    if not session.json:
        from rich.text import Text

        session.show("", Text(text, style="bold underline"))


def say(session: Session, text: str) -> None:
    """Show a line."""
    if not session.json:
        session.show(text)


def graph(session: Session, collection: VersionedCollection, title: str = "log --graph") -> None:
    """Show all versions of a collection."""
    from versioned_collection.cli.render import graph_lines

    heading(session, title)
    found = drawn(collection, None, Filter())
    if not session.json:
        session.show(*graph_lines(found.versions, found.parents, names(collection)))


def conflicts(session: Session, found: Iterable[Conflict]) -> None:
    """Show conflicts."""
    from versioned_collection.cli.clashes import clash_table

    heading(session, "conflicts")
    if not session.json:
        session.show(*clash_table(found, session.width))


def sum_up(
    session: Session, replay: Replay, collection: VersionedCollection, keep: str | None
) -> None:
    """Show the time of each step, and answer."""
    from versioned_collection.cli.render import table

    tree = collection.version_tree
    rows = [(step.name, f"{step.seconds:.3f}", step.detail) for step in replay.steps]
    rows.append(("total", f"{replay.seconds:.3f}", ""))
    heading(session, "the time of each step")
    session.answer(
        {
            "steps": [_facts(step) for step in replay.steps],
            "seconds": replay.seconds,
            "versions": 0 if tree is None else len(tree),
            "directory": keep,
        },
        table(("step", "#seconds", ""), rows),
    )


def go_on(
    session: Session, keep: str | None, database: str, verbs: Sequence[str] = _LOOKS
) -> None:
    """Show how to look around in what was kept."""
    if keep is not None:
        heading(session, "look around")
        for verb in verbs:
            say(session, f"vc --data {keep} --db {database} --collection {COLLECTION} {verb}")


def _facts(step: Step) -> dict[str, Any]:
    return {"name": step.name, "seconds": step.seconds, "detail": step.detail}
