"""Commands that fill the screen: the browser of the history, the resolver of conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from versioned_collection.cli.arguments import REVISION_HELP, author_of
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.history import revision
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import VersionedCollection

Start = Annotated[
    str | None,
    typer.Argument(
        metavar="REVISION",
        help=f"Show this version and what it descends from; all branches. {REVISION_HELP}",
        show_default=False,
    ),
]


@command("browse", panel="Look", twin=None, keys=("error",))
def browse(session: Session, start: Start = None) -> None:
    """Browse the history on a full screen: versions, what they changed, documents.

    Takes a terminal, and the extra "tui". "?" shows the keys. There is no --json; "log" and
    "show" have it.
    """
    from versioned_collection.cli.screens import opening

    opening.require_screen(session, "'vc log'")
    collection = session.tracked
    opening.browse(
        session, None if start is None else collection.resolve(revision(collection, start))
    )


def resolve_on_screen(session: Session) -> Exit | None:
    """Settle conflicts on a full screen."""
    from versioned_collection.cli.screens import opening

    opening.require_screen(session, "'vc conflicts' or 'vc resolve-conflict'")
    collection = session.tracked
    if not collection.status()["merging"]:
        session.show("no conflict waits")
        return Exit.NOTHING
    settled = opening.resolve(session, author_of(session, None))
    waiting = collection.has_conflicts()
    session.show(_outcome(collection, settled, waiting))
    return Exit.CONFLICTS if waiting else None


def _outcome(collection: VersionedCollection, settled: int, waiting: bool) -> str:
    done = f"{settled:,} settled"
    if waiting:
        return f"{done}; 'vc conflicts' lists those that wait"
    if collection.status()["merging"]:
        return f"{done}, none waits: 'vc register' records the outcome"
    return f"{done}, none waits"
