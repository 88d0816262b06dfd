"""Commands that guard new versions with checks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import dump, load, printable
from versioned_collection.cli.session import Session

_CHECK = "Check"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the check.")]
Pipeline = Annotated[
    str | None,
    typer.Argument(
        metavar="PIPELINE",
        help="An aggregation pipeline that finds what is wrong: a JSON array of stages (Extended "
        "JSON).",
        show_default=False,
    ),
]
File = Annotated[
    str | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Read the pipeline from this file, - for standard input.",
        show_default=False,
    ),
]
Message = Annotated[
    str | None,
    typer.Option(
        "--message", "-m", metavar="TEXT", help="What to say where it fails.", show_default=False
    ),
]


@command("add-check", panel=_CHECK, twin="VersionedCollection.add_check", keys=("added",))
def add_check(
    session: Session,
    name: Name,
    pipeline: Pipeline = None,
    file: File = None,
    message: Message = None,
) -> None:
    """Have every state checked before it becomes a version.

    The documents that the pipeline returns are wrong: while there are any, "register", "merge",
    "rebase", "cherry-pick" and "revert" refuse (exit code 4), and so do "pull" and "push" where
    the branch that moves is checked out. It is stored, and holds for all clients.
    """
    if (pipeline is None) == (file is None):
        raise UsageFailure("check what? Give a pipeline, or --file FILE")
    stages = _stages(_read(file) if pipeline is None else pipeline)
    session.tracked.add_check(name, stages, message=message)
    session.answer({"added": name}, f"{printable(name)} guards new versions")


def _read(file: str | None) -> str:
    if file is None or file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageFailure(f"{file} cannot be read: {error}") from error


def _stages(text: str) -> list[Mapping[str, Any]]:
    try:
        found = load(text)
    except ValueError as error:
        raise UsageFailure(f"the pipeline is not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(stage, dict) for stage in found):
        raise UsageFailure(
            'a pipeline is a JSON array of stages such as \'[{"$match": {"price": {"$lt": 0}}}]\''
        )
    return found


@command("checks", panel=_CHECK, twin="VersionedCollection.checks", keys=("checks",))
def checks(session: Session) -> None:
    """List the checks that guard new versions, by name."""
    found = session.tracked.checks()
    session.answer(
        {"checks": found},
        *(f"{printable(name)}: {printable(dump(stages))}" for name, stages in found.items()),
    )


@command("delete-check", panel=_CHECK, twin="VersionedCollection.delete_check", keys=("deleted",))
def delete_check(session: Session, name: Name) -> Exit | None:
    """Remove a check."""
    done = session.tracked.delete_check(name)
    text = f"{printable(name)} is gone" if done else f"there is no check {printable(name)}"
    session.answer({"deleted": done}, text)
    return None if done else Exit.NOTHING
