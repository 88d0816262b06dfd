"""Commands that set uncommitted changes aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import Yes
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.policies import (
    ByDefault,
    ByPlace,
    Coupled,
    ListKeys,
    SameChange,
    Sets,
    policy_of,
)
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import Stash

_STASH = "Set aside"

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the latest stash, or the one of that name.")
]
Push = Annotated[bool, typer.Option("--push", help="Keep the stashes that are there already.")]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What the stash is called.", show_default=False),
]
Words = Annotated[
    str | None,
    typer.Option(
        "--message", "-m", metavar="TEXT", help="What was set aside, and why.", show_default=False
    ),
]
Which = Annotated[
    str | None,
    typer.Argument(
        metavar="STASH",
        help="The name or the number that 'vc stashes' shows; the latest by default.",
        show_default=False,
    ),
]
OverDocuments = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Put the documents there as they were stashed, instead of merging: what has become "
        "of them since is lost.",
    ),
]
Merge = Annotated[bool, typer.Option("--merge", help="Merge, which is the default.", hidden=True)]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the stash.")]


@command("stash", panel=_STASH, twin="VersionedCollection.stash", keys=("stashed",))
def stash(
    session: Session,
    overwrite: Overwrite = False,
    name: Name = None,
    push: Push = False,
    message: Words = None,
) -> Exit | None:
    """Set uncommitted changes aside, and bring the documents back to HEAD."""
    collection = session.tracked
    with session.working("stash") as progress:
        done = collection.stash(
            overwrite, name=name, push=push, message=message, progress=progress
        )
    session.answer({"stashed": done}, "stashed" if done else "nothing changed since HEAD")
    return None if done else Exit.NOTHING


@command("stashes", panel=_STASH, twin="VersionedCollection.stashes", keys=("stashes",))
def stashes(session: Session) -> None:
    """List what is set aside, the latest first."""
    from versioned_collection.cli.render import table

    found = session.tracked.stashes()
    if session.json:
        session.emit({"stashes": list(map(_facts, found))})
    elif found:
        heads = ("stash", "name", "branch", "documents", "message")
        session.show(table(heads, map(_row, found)))


def _facts(stash: Stash) -> dict[str, Any]:
    names = ("index", "name", "message", "head", "branch", "created", "documents")
    return {name: getattr(stash, name) for name in names}


def _row(stash: Stash) -> tuple[str, ...]:
    words = (stash.message or "").partition("\n")[0]
    return (
        str(stash.index), stash.name or "", stash.branch or "", f"{stash.documents:,}", words,
    )  # fmt: skip


@command("stash-apply", panel=_STASH, twin="VersionedCollection.stash_apply", keys=("applied",))
def stash_apply(
    session: Session,
    which: Which = None,
    overwrite: OverDocuments = False,
    merge: Merge = False,
    keep: Keep = False,
    by_default: ByDefault = None,
    by_place: ByPlace = None,
    sets: Sets = None,
    list_keys: ListKeys = None,
    coupled: Coupled = None,
    same_change: SameChange = None,
) -> Exit | None:
    """Bring stashed changes back, and drop the stash.

    They are merged with what the documents are now: with what was pulled or checked out since,
    and with uncommitted changes. Where both changed the same place a conflict waits (exit code
    11); settling the last one drops the stash. --overwrite takes no uncommitted changes.
    """
    collection = session.tracked
    given = (by_default, by_place, sets, list_keys, coupled, same_change)
    if overwrite and (merge or any(given)):
        raise UsageFailure("--overwrite does not merge: leave it out, or --merge and its options")
    policy = None if overwrite else policy_of(*given)
    with session.working("stash-apply") as progress:
        done = collection.stash_apply(
            _which(which), merge=not overwrite, drop=not keep, policy=policy, progress=progress
        )
    session.answer({"applied": done}, "applied" if done else "there is no stash")
    return None if done else Exit.NOTHING


@command(
    "stash-discard", panel=_STASH, twin="VersionedCollection.stash_discard", keys=("discarded",)
)
def stash_discard(session: Session, which: Which = None, yes: Yes = False) -> Exit | None:
    """Drop a stash; what was set aside is lost."""
    collection, wanted = session.tracked, _which(which)
    found: Any = next(
        (one for one in collection.stashes() if wanted in (None, one.index, one.name)), wanted
    )
    if collection.has_stash() and not session.confirm(f"Lose the stash {found}?", yes):
        session.answer({"discarded": False}, "nothing was discarded")
        return Exit.NOTHING
    done = collection.stash_discard(found)
    session.answer({"discarded": done}, "discarded" if done else "there is no stash")
    return None if done else Exit.NOTHING


def _which(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text
