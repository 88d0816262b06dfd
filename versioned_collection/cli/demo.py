"""vc demo: replays ten releases of mime-db as versions, and looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import names
from versioned_collection.cli.listing import Filter, drawn
from versioned_collection.cli.replay import BRANCH, COLLECTION, DATABASE, Replay, Step
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import VersionedCollection

_SHOWN_DIFFERENCES = 2

Keep = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="DIRECTORY",
        help="Keep the data there, to look around afterwards.",
        show_default=False,
    ),
]


@command("demo", panel="Set up", twin=None, keys=("steps", "seconds", "versions", "directory"))
def demo(session: Session, keep: Keep = None) -> None:
    """Replay ten releases of the mime-db database on an embedded server.

    Each release becomes a version, with its author and date. Then come the log, a diff of two
    releases, a checkout of an old one that is compared with the original, a branch with an
    edit, a merge with one conflict, and a check of everything on disk. No configured server is
    touched.
    """
    replay = Replay()
    collection = None
    with replay.step("start the embedded server"):
        client = session.connect(_server(session, keep))
    database = client[DATABASE]
    if database.list_collection_names():
        raise UsageFailure(f"{keep} holds a demo already: look around, or name another directory")
    collection = _record(session, replay, database)
    _look(session, replay, collection)
    _branch_off(session, replay, collection)
    _merge(session, replay, collection)
    with replay.step("verify", "every version, in both directions"):
        replay.verify(collection)
    _sum_up(session, replay, collection, keep)


def _server(session: Session, keep: str | None) -> str:
    from versioned_collection import embedded

    if keep is None:
        server = embedded.start(durable=False)
    else:
        linger = session.settings.seconds("linger")
        server = embedded.start(keep, share=True, linger=linger)
    return session.hold(server).uri


def _record(session: Session, replay: Replay, database: Any) -> VersionedCollection:
    """Register every release."""
    from versioned_collection import VersionedCollection, demo_data

    collection = VersionedCollection(database, COLLECTION)
    for release in demo_data.releases():
        _say(session, f"mime-db {release.version}, {len(release.documents):,} documents")
        replay.record(collection, release)
    return collection


def _look(session: Session, replay: Replay, collection: VersionedCollection) -> None:
    """Show the log and a diff, and check an old release out."""
    with replay.step("log", "all versions as a graph"):
        _graph(session, collection)
    _heading(session, "diff v1.52.0 v1.53.0, the first documents")
    with replay.step("diff v1.52.0 v1.53.0") as step:
        changes = list(collection.changes("v1.52.0", "v1.53.0"))
        step.detail = f"{len(changes)} documents differ"
    _differences(session, changes)
    with replay.step("checkout v1.45.0", "nine releases back"):
        collection.checkout("v1.45.0")
    with replay.step("compare it with the original") as step:
        step.detail = replay.compare(collection, "1.45.0")


def _branch_off(session: Session, replay: Replay, collection: VersionedCollection) -> None:
    """Edit an old release on a branch of its own, and come back."""
    with replay.step("branch off, edit, register", f"branch {BRANCH} at v1.45.0"):
        replay.edit(collection)
    with replay.step("checkout main") as step:
        collection.checkout(branch="main")
        step.detail = replay.compare(collection, "1.54.0")
    _graph(session, collection)


def _merge(session: Session, replay: Replay, collection: VersionedCollection) -> None:
    """Merge the branch: one conflict waits, is shown and settled."""
    from versioned_collection.cli.clashes import clash_table

    with replay.step(f"merge {BRANCH}, nine releases later") as step:
        conflicts = replay.merge(collection)
        step.detail = f"{len(conflicts)} conflict waits"
    _heading(session, "conflicts")
    if not session.json:
        session.show(*clash_table(conflicts, session.out.width))
    with replay.step("settle it, register the merge") as step:
        extensions = replay.settle(collection, conflicts[0])
        step.detail = f"extensions: {', '.join(extensions)}"
    with replay.step("compare it with both sides") as step:
        step.detail = replay.compare_merged(collection, extensions)
    _graph(session, collection)


def _graph(session: Session, collection: VersionedCollection) -> None:
    from versioned_collection.cli.render import graph_lines

    _heading(session, "log --graph")
    found = drawn(collection, None, Filter())
    if not session.json:
        session.show(*graph_lines(found.versions, found.parents, names(collection)))


def _differences(session: Session, changes: list[Any]) -> None:
    from versioned_collection.cli.comparing import Comparison

    if session.json:
        return
    comparison = Comparison(("main@7", "main@8"), False, "from")
    updates = [change for change in changes if change.op == "update"]
    for change in updates[:_SHOWN_DIFFERENCES]:
        session.show(*comparison.texts(change))
    session.show(f"... and {len(changes) - _SHOWN_DIFFERENCES} more documents")


def _sum_up(
    session: Session, replay: Replay, collection: VersionedCollection, keep: str | None
) -> None:
    """Show the time of each step, and how to go on."""
    from versioned_collection.cli.render import table

    tree = collection.version_tree
    rows = [(step.name, f"{step.seconds:.3f}", step.detail) for step in replay.steps]
    rows.append(("total", f"{replay.seconds:.3f}", ""))
    _heading(session, "the time of each step")
    session.answer(
        {
            "steps": [_facts(step) for step in replay.steps],
            "seconds": replay.seconds,
            "versions": 0 if tree is None else len(tree),
            "directory": keep,
        },
        table(("step", "#seconds", ""), rows),
    )
    if keep is not None:
        call = f"vc --data {keep} --db {DATABASE} --collection {COLLECTION}"
        _heading(session, "look around")
        for verb in ("log --graph", "diff v1.53.0 --stat", "checkout v1.50.0", "status"):
            _say(session, f"{call} {verb}")


def _facts(step: Step) -> dict[str, Any]:
    return {"name": step.name, "seconds": step.seconds, "detail": step.detail}


def _heading(session: Session, text: str) -> None:
    if not session.json:
        from rich.text import Text

        session.show("", Text(text, style="bold underline"))


def _say(session: Session, text: str) -> None:
    if not session.json:
        session.show(text)
