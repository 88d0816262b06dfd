"""Commands that record versions of the current branch anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
from versioned_collection.cli.failures import UsageFailure
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

if TYPE_CHECKING:
    from versioned_collection import MergePolicy

_MERGE = "Merge"

Onto = Annotated[
    str | None,
    typer.Argument(
        metavar="REVISION",
        help=f"What the versions are to stand on. {REVISION_HELP}",
        show_default=False,
    ),
]
GoOn = Annotated[
    bool,
    typer.Option("--continue", help="Record what was settled, and go on; as 'vc register'."),
]
Abort = Annotated[
    bool,
    typer.Option("--abort", help="Take a rebase that waits back; as 'vc abort-merge'."),
]
First = Annotated[
    str, typer.Argument(metavar="FIRST", help=f"The first version of the range. {REVISION_HELP}")
]
Last = Annotated[str, typer.Argument(metavar="LAST", help="The last one.")]
Message = Annotated[
    str | None,
    typer.Option(
        "--message",
        "-m",
        metavar="TEXT",
        help="What the version says; the messages of all without it.",
        show_default=False,
    ),
]


@command("rebase", panel=_MERGE, twin="VersionedCollection.rebase", keys=("outcome", "version"))
def rebase(
    session: Session,
    onto: Onto = None,
    go_on: GoOn = False,
    abort: Abort = False,
    yes: Yes = False,
    by_default: ByDefault = None,
    by_place: ByPlace = None,
    sets: Sets = None,
    list_keys: ListKeys = None,
    coupled: Coupled = None,
    same_change: SameChange = None,
) -> Exit | None:
    """Make the versions of the current branch again on top of another version.

    The outcome is "rebased", "fast_forward", "up_to_date" or "aborted", and null where nothing
    was done. Where one conflicts, HEAD is detached on the version before it and the conflicts
    wait for decisions (exit code 11): 'vc conflicts' lists them, 'vc resolve-conflict' and
    'vc resolve-conflicts' settle them, then --continue goes on, or --abort brings everything
    back to before.
    """
    if (onto is not None) + go_on + abort != 1:
        raise UsageFailure("rebase onto what? Give a revision, --continue or --abort")
    policy = policy_of(by_default, by_place, sets, list_keys, coupled, same_change)
    if onto is not None:
        _rebase(session, revision(session.tracked, onto), policy)
    elif session.tracked.status()["merge_verb"] != "rebase":
        return _nothing(session, "no rebase waits")
    elif abort:
        return _take_back(session, yes)
    else:
        _continue(session)
    return None


def _rebase(session: Session, onto: Any, policy: MergePolicy) -> None:
    collection = session.tracked
    head, other = collection.resolve("HEAD"), collection.resolve(onto)
    with session.working("rebase") as progress:
        version = collection.rebase(onto, policy=policy, progress=progress)
    if version.id == head.id:
        _answer(session, "up_to_date", f"up to date: {version.label} contains it already")
    elif version.id == other.id:
        _answer(session, "fast_forward", f"fast-forward to {version.label}")
    else:
        _answer(session, "rebased", f"rebased: {collection.branch} is at {version.label}")


def _continue(session: Session) -> None:
    collection = session.tracked
    with session.working("rebase") as progress:
        collection.register(progress=progress)
    label = collection.resolve("HEAD").label
    _answer(session, "rebased", f"rebased: {collection.branch} is at {label}")


def _take_back(session: Session, yes: bool) -> Exit | None:
    collection = session.tracked
    if not session.confirm("Lose the rebase, and what was decided and edited since?", yes):
        return _nothing(session, "nothing was taken back")
    with session.working("rebase") as progress:
        collection.abort_merge(progress=progress)
    _answer(session, "aborted", f"back to {collection.resolve('HEAD').label}")
    return None


def _answer(session: Session, outcome: str, text: str) -> None:
    version = session.tracked.resolve("HEAD")
    session.answer({"outcome": outcome, "version": facts(version)}, text)


def _nothing(session: Session, text: str) -> Exit:
    session.answer({"outcome": None, "version": None}, text)
    return Exit.NOTHING


@command("squash", panel=_MERGE, twin="VersionedCollection.squash", keys=("squashed", "version"))
def squash(
    session: Session,
    first: First,
    last: Last = "HEAD",
    message: Message = None,
    author: Author = None,
    metadata: Metadata = None,
) -> Exit | None:
    """Make one version of several on the way to HEAD.

    Later ones are recorded again on top of it. No document changes. Without options the version
    has the messages of all, and the author that they share.
    """
    collection = session.tracked
    who = author_of(session, author) if author else None
    what = document_of(metadata, "--metadata")
    old = collection.resolve(revision(collection, last))
    with session.working("squash") as progress:
        version = collection.squash(
            revision(collection, first),
            old.id,
            message,
            author=who,
            metadata=what,
            progress=progress,
        )
    done = version.id != old.id
    text = f"squashed: {version.label}" if done else f"{version.label} is one version already"
    session.answer({"squashed": done, "version": facts(version)}, text)
    return None if done else Exit.NOTHING
