"""Commands that bring the changes of other versions into HEAD, or move it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from versioned_collection.cli.arguments import (
    REVISION_HELP,
    Author,
    Metadata,
    Yes,
    author_of,
    document_of,
)
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.history import facts, revision
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

_MERGE = "Merge"

Other = Annotated[str, typer.Argument(metavar="REVISION", help=REVISION_HELP)]
Message = Annotated[
    str | None,
    typer.Option(
        "--message",
        "-m",
        metavar="TEXT",
        help="What the new version says; made up without it.",
        show_default=False,
    ),
]
NoFastForward = Annotated[
    bool,
    typer.Option("--no-ff", help="Record a version also where the branch could simply move on."),
]
Parent = Annotated[
    int | None,
    typer.Option(
        "--parent",
        min=1,
        metavar="N",
        help="Of a merge, the parent that its changes are counted from.",
        show_default=False,
    ),
]
Hard = Annotated[
    bool, typer.Option("--hard", help="Bring the documents there too; changes are lost.")
]


@command("merge", panel=_MERGE, twin="VersionedCollection.merge", keys=("outcome", "version"))
def merge(
    session: Session,
    other: Other,
    message: Message = None,
    author: Author = None,
    metadata: Metadata = None,
    no_ff: NoFastForward = False,
    by_default: ByDefault = None,
    by_place: ByPlace = None,
    sets: Sets = None,
    list_keys: ListKeys = None,
    coupled: Coupled = None,
    same_change: SameChange = None,
) -> None:
    """Bring the changes of another version into HEAD.

    The outcome is "merged", "fast_forward" or "up_to_date". Where both sides changed the same
    place differently, conflicts wait for decisions (exit code 11): 'vc conflicts' lists them,
    'vc resolve-conflict' and 'vc resolve-conflicts' settle them, 'vc register' then records
    the merge, and 'vc abort-merge' takes it back.
    """
    collection = session.tracked
    policy = policy_of(by_default, by_place, sets, list_keys, coupled, same_change)
    who, what = author_of(session, author), document_of(metadata, "--metadata")
    wanted = revision(collection, other)
    head, theirs = collection.resolve("HEAD"), collection.resolve(wanted)
    with session.working("merge") as progress:
        version = collection.merge(
            theirs.id if isinstance(wanted, int) else other,
            message,
            policy=policy,
            no_ff=no_ff,
            author=who,
            metadata=what,
            progress=progress,
        )
    outcome, text = "merged", _recorded("merged", version)
    if version.id == head.id:
        outcome, text = "up_to_date", f"up to date: {version.label} contains it already"
    elif version.id == theirs.id:
        outcome, text = "fast_forward", f"fast-forward to {version.label}"
    session.answer({"outcome": outcome, "version": facts(version)}, text)


def _recorded(done: str, version: Any) -> str:
    from versioned_collection.cli.render import stats_text

    return f"{done}: {version.label}, {stats_text(version.stats)}"


@command(
    "cherry-pick",
    panel=_MERGE,
    twin="VersionedCollection.cherry_pick",
    keys=("picked", "version"),
)
def cherry_pick(
    session: Session,
    other: Other,
    parent: Parent = None,
    by_default: ByDefault = None,
    by_place: ByPlace = None,
    sets: Sets = None,
    list_keys: ListKeys = None,
    coupled: Coupled = None,
    same_change: SameChange = None,
) -> Exit | None:
    """Make the changes of one version again on HEAD, with its message and author."""
    collection = session.tracked
    policy = policy_of(by_default, by_place, sets, list_keys, coupled, same_change)
    head = collection.resolve("HEAD")
    with session.working("cherry-pick") as progress:
        version = collection.cherry_pick(
            revision(collection, other), parent=parent, policy=policy, progress=progress
        )
    done = version.id != head.id
    text = _recorded("picked", version) if done else f"{head.label} has all these changes"
    session.answer({"picked": done, "version": facts(version)}, text)
    return None if done else Exit.NOTHING


@command("revert", panel=_MERGE, twin="VersionedCollection.revert", keys=("reverted", "version"))
def revert(
    session: Session,
    other: Other,
    message: Message = None,
    author: Author = None,
    metadata: Metadata = None,
    parent: Parent = None,
    by_default: ByDefault = None,
    by_place: ByPlace = None,
    sets: Sets = None,
    list_keys: ListKeys = None,
    coupled: Coupled = None,
    same_change: SameChange = None,
) -> Exit | None:
    """Take the changes of one version back, in a new version."""
    collection = session.tracked
    policy = policy_of(by_default, by_place, sets, list_keys, coupled, same_change)
    who, what = author_of(session, author), document_of(metadata, "--metadata")
    head = collection.resolve("HEAD")
    with session.working("revert") as progress:
        version = collection.revert(
            revision(collection, other),
            message,
            parent=parent,
            policy=policy,
            author=who,
            metadata=what,
            progress=progress,
        )
    done = version.id != head.id
    text = _recorded("reverted", version) if done else f"nothing of it is left in {head.label}"
    session.answer({"reverted": done, "version": facts(version)}, text)
    return None if done else Exit.NOTHING


@command("reset", panel=_MERGE, twin="VersionedCollection.reset", keys=("reset", "version"))
def reset(session: Session, other: Other, hard: Hard = False, yes: Yes = False) -> Exit | None:
    """Put the current branch, and HEAD, on another version.

    The documents stay, and what differs shows as uncommitted changes; with --hard they go
    there too.
    """
    collection = session.tracked
    version = collection.resolve(revision(collection, other))
    if hard and collection.has_changes():
        question = f"Lose the uncommitted changes of {collection.full_name}?"
        if not session.confirm(question, yes):
            session.answer({"reset": False, "version": None}, "nothing was reset")
            return Exit.NOTHING
    with session.working("reset") as progress:
        version = collection.reset(version.id, hard, progress=progress)
    session.answer({"reset": True, "version": facts(version)}, f"HEAD is at {version.label}")
    return None
