"""Commands that set uncommitted changes aside."""

from __future__ import annotations

from typing import Annotated

import typer

from versioned_collection.cli.arguments import Yes
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.session import Session

_STASH = "Set aside"

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a stash that is there already.")
]


@command("stash", panel=_STASH, twin="VersionedCollection.stash", keys=("stashed",))
def stash(session: Session, overwrite: Overwrite = False) -> Exit | None:
    """Set uncommitted changes aside, and bring the documents back to HEAD."""
    collection = session.tracked
    with session.working("stash") as progress:
        done = collection.stash(overwrite, progress=progress)
    session.answer({"stashed": done}, "stashed" if done else "nothing changed since HEAD")
    return None if done else Exit.NOTHING


@command("stash-apply", panel=_STASH, twin="VersionedCollection.stash_apply", keys=("applied",))
def stash_apply(session: Session) -> Exit | None:
    """Bring the stashed changes back, and empty the stash."""
    collection = session.tracked
    with session.working("stash-apply") as progress:
        done = collection.stash_apply(progress=progress)
    session.answer({"applied": done}, "applied" if done else "there is no stash")
    return None if done else Exit.NOTHING


@command(
    "stash-discard", panel=_STASH, twin="VersionedCollection.stash_discard", keys=("discarded",)
)
def stash_discard(session: Session, yes: Yes = False) -> Exit | None:
    """Drop the stash; what was set aside is lost."""
    collection = session.tracked
    if not collection.has_stash():
        session.answer({"discarded": False}, "there is no stash")
        return Exit.NOTHING
    if not session.confirm("Lose the stashed changes?", yes):
        session.answer({"discarded": False}, "nothing was discarded")
        return Exit.NOTHING
    done = collection.stash_discard()
    session.answer({"discarded": done}, "discarded" if done else "there is no stash")
    return None if done else Exit.NOTHING
