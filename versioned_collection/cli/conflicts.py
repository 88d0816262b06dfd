"""Commands that show conflicts and settle them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import Yes
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import VersionedCollection
    from versioned_collection.cli.settling import Decide

_MERGE = "Merge"
_FEWEST = 4
_DIGITS = re.compile(rf"[0-9a-f]{{{_FEWEST},24}}")

Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=0, metavar="N", help="At most so many.", show_default=False),
]


@command("conflicts", panel=_MERGE, twin="VersionedCollection.conflicts", keys=("conflicts",))
def conflicts(session: Session, limit: Limit = None) -> None:
    """List the conflicts that wait for decisions: base, ours and theirs side by side.

    Long values are shortened. With --json each conflict has id, document_id, path, place,
    kind, base, ours and theirs in full; a side without a value is left out.
    """
    from versioned_collection.cli.clashes import clash_facts, clash_table
    from versioned_collection.cli.comparing import write_array
    from versioned_collection.core.portions import at_most

    found = at_most(session.tracked.conflicts(), limit)
    if session.json:
        write_array(session, "conflicts", map(clash_facts, found))
        return
    for lines in clash_table(found, session.width):
        session.show(lines)


ConflictId = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFLICT",
        help="The id that 'vc conflicts' shows, or its last digits, 4 or more. It may be left "
        "out where only one conflict waits; --edit and --tool then go through all.",
        show_default=False,
    ),
]
Ours = Annotated[bool, typer.Option("--ours", help="Take the value of HEAD.")]
Theirs = Annotated[bool, typer.Option("--theirs", help="Take the value of the other side.")]
Base = Annotated[bool, typer.Option("--base", help="Take the value before both changes.")]
Value = Annotated[
    str | None,
    typer.Option(
        "--value",
        metavar="JSON",
        help="Put this value there (Extended JSON).",
        show_default=False,
    ),
]
Remove = Annotated[bool, typer.Option("--remove", help="Remove what is there.")]
Edit = Annotated[
    bool,
    typer.Option("--edit", help="Edit the value in $VISUAL or $EDITOR, which sees all three."),
]
Tool = Annotated[
    str | None,
    typer.Option(
        "--tool",
        metavar="COMMAND",
        help="Run a three-way merge tool on files: a command with $BASE, $LOCAL, $REMOTE and "
        "$MERGED, as mergetool.<tool>.cmd of git. Another exit code than 0 leaves the conflict.",
        show_default=False,
    ),
]

FullScreen = Annotated[
    bool,
    typer.Option(
        "--full-screen",
        help="Go through all conflicts on a full screen: base, ours and theirs side by side. "
        "Takes a terminal, and the extra 'tui'.",
    ),
]


@command(
    "resolve-conflict",
    panel=_MERGE,
    twin="VersionedCollection.resolve_conflict",
    keys=("settled", "waiting"),
)
def resolve_conflict(
    session: Session,
    conflict: ConflictId = None,
    ours: Ours = False,
    theirs: Theirs = False,
    base: Base = False,
    value: Value = None,
    remove: Remove = False,
    edit: Edit = False,
    tool: Tool = None,
) -> Exit | None:
    """Settle one conflict: by a side, by a value, in an editor or in a merge tool.

    'vc resolve' with one of these options does the same.
    """
    collection = session.tracked
    decide, by_hand = _decision(ours, theirs, base, value, remove, edit, tool)
    settled, left = _settle(collection, _chosen(collection, conflict, by_hand), decide)
    waiting = collection.has_conflicts()
    session.answer(
        {"settled": settled, "waiting": waiting}, _outcome(collection, settled, left, waiting)
    )
    return Exit.CONFLICTS if left else None if settled else Exit.NOTHING


def _decision(
    ours: bool,
    theirs: bool,
    base: bool,
    value: str | None,
    remove: bool,
    edit: bool,
    tool: str | None,
) -> tuple[Decide, bool]:
    """Return what decides, and whether it is a person who looks at the three values.

    Raises:
        UsageFailure: Not exactly one way was chosen, or the value is no JSON.
    """
    from versioned_collection import MISSING, Side
    from versioned_collection.cli import settling
    from versioned_collection.cli.lines import load

    given = [ours, theirs, base, value is not None, remove, edit, tool is not None]
    if sum(given) != 1:
        raise UsageFailure(
            "settle it how? Give one of --ours, --theirs, --base, --value, --remove, --edit "
            "and --tool"
        )
    if edit:
        return settling.edited, True
    if tool is not None:
        return settling.tool(tool), True
    fixed: Any = Side.OURS if ours else Side.THEIRS if theirs else Side.BASE if base else MISSING
    if value is not None:
        try:
            fixed = load(value)
        except ValueError as error:
            raise UsageFailure(f"--value is not JSON: {error}") from error
    return lambda _: fixed, False


def _chosen(collection: VersionedCollection, text: str | None, by_hand: bool) -> Iterable[Any]:
    """Return the conflicts that are meant, as ids where nobody has to look at them.

    Raises:
        UsageFailure: The id is none, or it was left out and several conflicts wait.
        InvalidOperation: There is no such conflict.
    """
    if text is None:
        if by_hand:
            return collection.conflicts()
        first = list(islice(collection.conflicts(), 2))
        if len(first) > 1:
            raise UsageFailure(
                "which conflict? Give the id that 'vc conflicts' shows; 'vc resolve-conflicts' "
                "settles all"
            )
        return first
    from bson.objectid import ObjectId

    if ObjectId.is_valid(text) and not by_hand:
        return [ObjectId(text)]
    return [_ending_with(collection, text.lower())]


def _ending_with(collection: VersionedCollection, text: str) -> Any:
    """Return the conflict that waits and whose id ends with some digits, or is these.

    The ids of one merge begin alike, so it is the last digits that tell them apart.

    Raises:
        UsageFailure: They are too few, or no digits, or the ends of several ids.
        InvalidOperation: There is no such conflict.
    """
    from versioned_collection.errors import InvalidOperation

    if not _DIGITS.fullmatch(text):
        raise UsageFailure(
            f"{text!r} is no id of a conflict, and not its last digits, {_FEWEST} or more; "
            "'vc conflicts' shows them"
        )
    waiting = (one for one in collection.conflicts() if str(one.id).endswith(text))
    found = list(islice(waiting, 2))
    if len(found) > 1:
        raise UsageFailure(f"several conflicts have ids that end with {text!r}; give more digits")
    if not found:
        raise InvalidOperation(
            "that conflict is settled already, or waits in another worktree; conflicts() lists "
            "those that wait here",
            conflict=text,
        )
    return found[0]


def _settle(
    collection: VersionedCollection, chosen: Iterable[Any], decide: Decide
) -> tuple[int, int]:
    """Settle conflicts; return how many were settled, and how many left."""
    from versioned_collection import UNRESOLVED

    settled = left = 0
    for one in chosen:
        value = decide(one)
        if value is UNRESOLVED:
            left += 1
        else:
            collection.resolve_conflict(one, value)
            settled += 1
    return settled, left


def _outcome(collection: VersionedCollection, settled: int, left: int, waiting: bool) -> str:
    if not settled and not left:
        return "no conflict waits"
    if waiting:
        return f"{settled:,} settled; 'vc conflicts' lists those that wait"
    return f"{settled:,} settled, none waits: {_end(collection)}"


def _end(collection: VersionedCollection, discarded: bool = False) -> str:
    """Say what comes once no conflict waits; that of a stash ended with the last one."""
    status = collection.status()
    if discarded and not status["merging"]:
        return f"{collection.branch} is as it is at the remote"
    if status["merge_verb"] == "rebase":
        return "'vc register' records the outcome and goes on with the rebase"
    if status["merging"]:
        return "'vc register' records the outcome"
    return "the stash is applied"


AllOurs = Annotated[bool, typer.Option("--ours", help="Take the values of HEAD.")]
AllTheirs = Annotated[bool, typer.Option("--theirs", help="Take the values of the other side.")]
Discard = Annotated[
    bool,
    typer.Option(
        "--discard-local-changes",
        help="As --theirs; of a pull, be as the remote is, and lose the versions that are only "
        "here.",
    ),
]
ByResolver = Annotated[
    str | None,
    typer.Option(
        "--resolver",
        metavar="NAME",
        help="Settle each one by this: ours, theirs, union, max, min, latest or "
        "sum_of_changes. What it cannot settle waits on.",
        show_default=False,
    ),
]
AsTheyAre = Annotated[
    bool,
    typer.Option(
        "--as-they-are",
        help="Take the documents as they are: with the values of HEAD, or as they were edited.",
    ),
]


@command(
    "resolve-conflicts",
    panel=_MERGE,
    twin="VersionedCollection.resolve_conflicts",
    keys=("settled", "waiting"),
)
def resolve_conflicts(
    session: Session,
    ours: AllOurs = False,
    theirs: AllTheirs = False,
    resolver: ByResolver = None,
    as_they_are: AsTheyAre = False,
    discard: Discard = False,
    yes: Yes = False,
) -> Exit | None:
    """Settle all conflicts at once.

    "settled" tells whether none waits any more.
    """
    collection = session.tracked
    if sum((ours, theirs, resolver is not None, as_they_are, discard)) != 1:
        raise UsageFailure(
            "settle them how? Give one of --ours, --theirs, --resolver, --as-they-are and "
            "--discard-local-changes"
        )
    of_pull = discard and collection.status()["merge_verb"] == "pull"
    if of_pull and not session.confirm("Lose the versions that are only here?", yes):
        session.answer({"settled": False, "waiting": True}, "nothing was settled")
        return Exit.NOTHING
    rule = "ours" if ours else "theirs" if theirs else resolver
    with session.working("resolve-conflicts") as progress:
        done = collection.resolve_conflicts(discard, resolver=rule, progress=progress)
    waiting = collection.has_conflicts()
    text = "no conflict waits"
    if done:
        text = f"all conflicts are settled: {_end(collection, of_pull)}"
    elif waiting:
        text = "some conflicts still wait; 'vc conflicts' lists them"
    session.answer({"settled": done, "waiting": waiting}, text)
    return Exit.CONFLICTS if waiting else None if done else Exit.NOTHING


@command("abort-merge", panel=_MERGE, twin="VersionedCollection.abort_merge", keys=("aborted",))
def abort_merge(session: Session, yes: Yes = False) -> Exit | None:
    """Take a merge, or a rebase, that waits back: decisions and edits since are lost."""
    collection = session.tracked
    if not collection.status()["merging"]:
        session.answer({"aborted": False}, "no merge waits")
        return Exit.NOTHING
    if not session.confirm("Lose the merge, and what was decided and edited since?", yes):
        session.answer({"aborted": False}, "nothing was taken back")
        return Exit.NOTHING
    with session.working("abort-merge") as progress:
        done = collection.abort_merge(progress=progress)
    head = collection.resolve("HEAD").label
    session.answer({"aborted": done}, f"back to {head}" if done else "no merge waits")
    return None if done else Exit.NOTHING
