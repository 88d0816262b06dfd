"""Commands that look at what was done, and take it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.history import facts
from versioned_collection.cli.session import Session

_UNDO = "Undo"

Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=0, metavar="N", help="At most so many.", show_default=False),
]


@command(
    "undo", panel=_UNDO, twin="VersionedCollection.undo", keys=("undone", "version", "branch")
)
def undo(session: Session) -> None:
    """Take the latest command that moved HEAD, a branch or a tag back.

    Again it takes back the one before, and so on. What "register" recorded stays and shows as
    uncommitted changes.
    """
    collection = session.tracked
    with session.working("undo") as progress:
        undone = collection.undo(progress=progress)
    head = collection.resolve("HEAD")
    session.answer(
        {"undone": _facts(undone), "version": facts(head), "branch": collection.branch},
        f"undid {undone.verb} of {undone.timestamp:%Y-%m-%d %H:%M:%S}: HEAD is at {head.label}",
    )


@command("reflog", panel=_UNDO, twin="VersionedCollection.reflog", keys=("operations",))
def reflog(session: Session, limit: Limit = None) -> None:
    """List what moved HEAD, branches and tags, the latest first."""
    from versioned_collection.cli.comparing import write_array
    from versioned_collection.cli.render import table
    from versioned_collection.core.portions import at_most

    collection = session.tracked
    found = at_most(collection.reflog(), limit)
    if session.json:
        write_array(session, "operations", map(_facts, found))
        return
    label = _labels(collection.version_tree)
    rows = (
        (
            f"{one.timestamp:%Y-%m-%d %H:%M:%S}",
            one.verb,
            label(one.before["head"]),
            label(one.after["head"]),
            str(one.who.get("user", "")),
            "takes back an earlier one" if one.undoes else "",
        )
        for one in found
    )
    session.show(table(("time", "verb", "from", "to", "who", ""), rows))


def _labels(tree: Any) -> Callable[[Any], str]:
    def label(version: Any) -> str:
        node = tree.nodes.get(version)
        return "" if node is None else node.label

    return label


def _facts(operation: Any) -> dict[str, Any]:
    return {
        "id": operation.id,
        "verb": operation.verb,
        "timestamp": operation.timestamp,
        "who": operation.who,
        "before": operation.before,
        "after": operation.after,
        "branches": operation.branches,
        "tags": operation.tags,
        "undoes": operation.undoes,
    }
