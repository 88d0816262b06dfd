"""Commands that look: status, log, diff, changes, resolve."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from versioned_collection.cli.arguments import REVISION_HELP, Branch, time_of
from versioned_collection.cli.command import command
from versioned_collection.cli.conflicts import (
    Base,
    Edit,
    FullScreen,
    Ours,
    Remove,
    Theirs,
    Tool,
    Value,
    resolve_conflict,
)
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import facts, names, revision
from versioned_collection.cli.lines import load_id
from versioned_collection.cli.listing import Filter, drawn, listed
from versioned_collection.cli.session import Session
from versioned_collection.cli.upstream import standings

_LOOK = "Look"
_WAITING = {
    "stash_apply": "a stash that is being applied",
    "rebase": "a rebase",
    "pull": "a pull",
}

Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=0, metavar="N", help="At most so many.", show_default=False),
]


@command(
    "status",
    panel=_LOOK,
    twin="VersionedCollection.status",
    keys=(
        "tracked",
        "current_version",
        "current_branch",
        "detached",
        "changed",
        "has_stash",
        "has_conflicts",
        "conflicts",
        "merging",
        "merge_verb",
        "changes",
        "head",
        "capture_mode",
        "collection",
        "remotes",
    ),
)
def status(session: Session) -> Exit | None:
    """Show what is checked out, and what has changed since.

    Of a collection without history --json prints "tracked" and "collection" only. "conflicts"
    is the number of those that wait; "remotes" says how far the branch is ahead of and behind
    those of remotes, where they were last seen.
    """
    collection = session.collection
    with session.working("status"):
        found = {**collection.status(), "collection": collection.full_name}
    if not found["tracked"]:
        hint = "not tracked; 'vc init' starts a history"
        session.answer(found, f"{collection.full_name}: {hint}")
        return Exit.NOT_TRACKED
    beside = [] if found["detached"] else standings(collection, found["current_branch"])
    found["remotes"] = [one.facts() for one in beside]
    lines = [] if session.json else [*_status_lines(session, found), *(b.text() for b in beside)]
    session.answer(found, *lines)
    return None


def _status_lines(session: Session, found: dict[str, Any]) -> list[str]:
    from versioned_collection.cli.render import stats_text

    head = session.collection.resolve("HEAD")
    where = "HEAD is detached" if found["detached"] else f"on branch {found['current_branch']}"
    unborn = " (no version of its own yet)" if found["current_version"] == -1 else ""
    lines = [
        f"{found['collection']}: {where}{unborn}",
        f"version {head.label}: {head.subject}",
    ]
    if found["changed"]:
        lines.append(f"uncommitted: {stats_text(found['changes'])}")
    else:
        lines.append("nothing changed since")
    if found["has_stash"]:
        lines.append("there is a stash ('vc stash-apply' brings it back, 'vc stashes' lists all)")
    if found["merging"]:
        lines.append(_merge_line(found["conflicts"], found["merge_verb"]))
    lines.append(f"changes are noticed by {found['capture_mode'].replace('_', ' ')}")
    return lines


def _merge_line(conflicts: int, verb: str) -> str:
    back = "'vc abort-merge' takes it back"
    what = _WAITING.get(verb, "a merge")
    if not conflicts:
        does = "goes on with it" if verb == "rebase" else "records it"
        return f"{what} waits, all settled: 'vc register' {does}, {back}"
    count = "1 conflict" if conflicts == 1 else f"{conflicts:,} conflicts"
    end = ", the last one settled ends it" if verb == "stash_apply" else ""
    return (
        f"{what} waits for {count}: 'vc conflicts' lists them, 'vc resolve-conflict' and "
        f"'vc resolve-conflicts' settle them{end}, {back}"
    )


LogRevision = Annotated[
    str | None,
    typer.Argument(
        metavar="REVISION", help=f"Where to start; HEAD. {REVISION_HELP}", show_default=False
    ),
]
LogBranch = Annotated[
    str | None,
    typer.Option("--branch", metavar="NAME", help="Start at its tip.", show_default=False),
]
Graph = Annotated[
    bool, typer.Option("--graph", help="Draw the tree; all branches, unless a start is given.")
]
Oneline = Annotated[bool, typer.Option("--oneline", help="One line per version.")]
ByAuthor = Annotated[
    str | None,
    typer.Option("--author", metavar="TEXT", help="Only of this author.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Not older (ISO 8601).", show_default=False),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Not newer (ISO 8601).", show_default=False),
]
Document = Annotated[
    str | None,
    typer.Option(
        "--document",
        metavar="ID",
        help="Only versions that changed the document with this _id: Extended JSON such as 7, "
        "'\"7\"' or '{\"$oid\": ...}'; what is no JSON is a text.",
        show_default=False,
    ),
]


@command(
    "log",
    panel=_LOOK,
    twin="VersionedCollection.log",
    keys=("versions",),
    aliases=("get-log",),
)
def log(
    session: Session,
    start: LogRevision = None,
    branch: LogBranch = None,
    graph: Graph = False,
    oneline: Oneline = False,
    limit: Limit = None,
    author: ByAuthor = None,
    since: Since = None,
    until: Until = None,
    document: Document = None,
) -> None:
    """List versions, newest first, with the branches and tags that point to them."""
    if start is not None and branch is not None:
        raise UsageFailure("start at a revision or at a branch, not both")
    collection = session.tracked
    wanted = Filter(
        limit,
        None if document is None else (load_id(document),),
        author,
        time_of(since, "--since"),
        time_of(until, "--until"),
    )
    begin: Any = revision(collection, start)
    if branch is not None:
        begin = collection.get_log(branch)[0]
    pointing = names(collection)
    drawing = drawn(collection, begin, wanted) if graph else None
    versions = drawing.versions if drawing else listed(collection, begin, wanted)
    if session.json:
        session.emit({"versions": [facts(version, pointing) for version in versions]})
        return
    from versioned_collection.cli import render

    if drawing:
        session.show(*render.graph_lines(drawing.versions, drawing.parents, pointing))
        return
    write = render.version_line if oneline else render.version_text
    session.show(*(write(version, pointing.of(version.id)) for version in versions))


RevisionToResolve = Annotated[
    str | None,
    typer.Argument(
        metavar="REVISION",
        help=f"{REVISION_HELP} With an option that settles, the id of a conflict.",
        show_default=False,
    ),
]


@command(
    "resolve",
    panel=_LOOK,
    twin="VersionedCollection.resolve",
    keys=("version", "settled", "waiting"),
)
def resolve(
    session: Session,
    text: RevisionToResolve = None,
    branch: Branch = None,
    ours: Ours = False,
    theirs: Theirs = False,
    base: Base = False,
    value: Value = None,
    remove: Remove = False,
    edit: Edit = False,
    tool: Tool = None,
    full_screen: FullScreen = False,
) -> Exit | None:
    """Show the version that a revision names, or settle a conflict.

    With --ours, --theirs, --base, --value, --remove, --edit or --tool this is
    "resolve-conflict". With --full-screen all conflicts are shown to be settled.
    """
    if full_screen:
        if any((text, branch, ours, theirs, base, value is not None, remove, edit, tool)):
            raise UsageFailure("--full-screen goes with nothing else: it shows all conflicts")
        from versioned_collection.cli.browsing import resolve_on_screen

        return resolve_on_screen(session)
    if ours or theirs or base or value is not None or remove or edit or tool is not None:
        if branch is not None:
            raise UsageFailure("--branch goes with a revision, not with a conflict")
        return resolve_conflict(session, text, ours, theirs, base, value, remove, edit, tool)
    if text is None:
        raise UsageFailure(
            "resolve what? Give a revision; to settle a conflict, one of --ours, --theirs, "
            "--base, --value, --remove, --edit, --tool and --full-screen"
        )
    collection = session.tracked
    version = collection.resolve(revision(collection, text, branch))
    pointing = names(collection)
    if session.json:
        session.emit({"version": facts(version, pointing)})
        return None
    from versioned_collection.cli.render import version_text

    shown = version_text(version, pointing.of(version.id))
    session.show(shown, f"id:       {version.id}\nchecksum: {version.checksum}")
    return None


First = Annotated[
    str,
    typer.Argument(metavar="A", help=f"The first revision. {REVISION_HELP}"),
]
Second = Annotated[
    str | None,
    typer.Argument(metavar="B", help="The second one; the present documents.", show_default=False),
]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 1 when there are differences.")
]


@command("changes", panel=_LOOK, twin="VersionedCollection.changes", keys=("changes",))
def changes(
    session: Session,
    a: First = "HEAD",
    b: Second = None,
    limit: Limit = None,
    exit_code: ExitCode = False,
) -> Exit | None:
    """List the documents that differ between two revisions; the diff for programs.

    With --json each change has document_id, op, old, new and rows (path, action, value,
    old_value).
    """
    from versioned_collection.cli.comparing import change_facts, write_array
    from versioned_collection.cli.render import change_line
    from versioned_collection.core.portions import at_most

    count = 0
    collection = session.tracked
    with session.working("changes") as progress:
        first, second = revision(collection, a), revision(collection, b)
        all_ = collection.changes(first, second, progress=progress)
    found = at_most(all_, limit)
    if session.json:
        count = write_array(session, "changes", map(change_facts, found))
    else:
        for change in found:
            count += 1
            session.show(change_line(change.op, change.document_id))
    return Exit.NOTHING if exit_code and count else None
