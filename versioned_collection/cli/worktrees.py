"""Commands for several working copies of one repository."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.history import facts, revision
from versioned_collection.cli.lines import printable
from versioned_collection.cli.past import Where
from versioned_collection.cli.session import Session

_WORKTREES = "Branches and tags"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of its collection.")]
NewBranch = Annotated[
    str | None,
    typer.Option(
        "--new-branch",
        "-b",
        metavar="BRANCH",
        help="Create this branch at the version, and check it out.",
        show_default=False,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Remove it with uncommitted changes, stashes and a waiting merge, too."
    ),
]


@command(
    "worktree",
    panel=_WORKTREES,
    twin="VersionedCollection.worktree",
    keys=("name", "version", "branch", "detached", "main"),
)
def worktree(session: Session, text: Where, name: Name, new_branch: NewBranch = None) -> None:
    """Check a branch out in a collection of its own, beside this one.

    To work in it, name it with --collection.
    """
    collection = session.tracked
    with session.working("worktree") as progress:
        collection.worktree(
            revision(collection, text), name, new_branch=new_branch, progress=progress
        )
    made = next(one for one in collection.worktrees() if one.name == name)
    session.answer(_facts(made), f"{printable(name)} is on {_place(made)}")


@command("worktrees", panel=_WORKTREES, twin="VersionedCollection.worktrees", keys=("worktrees",))
def worktrees(session: Session) -> None:
    """List the working copies of this repository, the main one first."""
    from versioned_collection.cli.render import table

    collection = session.tracked
    found = collection.worktrees()
    if session.json:
        session.emit({"worktrees": [_facts(one) for one in found]})
        return
    rows = [
        ("*" if one.name == collection.name else "", printable(one.name), _place(one))
        for one in found
    ]
    session.show(table(("", "collection", "on"), rows))


@command(
    "remove-worktree",
    panel=_WORKTREES,
    twin="VersionedCollection.remove_worktree",
    keys=("removed",),
)
def remove_worktree(session: Session, name: Name, force: Force = False) -> None:
    """Remove a worktree: its collection, and what is its own; no version is lost."""
    with session.working("remove-worktree"):
        session.tracked.remove_worktree(name, force=force)
    session.answer({"removed": name}, f"{printable(name)} is gone")


def _facts(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": facts(one.head),
        "branch": one.branch,
        "detached": one.detached,
        "main": one.is_main,
    }


def _place(one: Any) -> str:
    label = printable(one.head.label)
    return f"{label}, detached" if one.detached else f"{printable(one.branch)}, at {label}"
