"""vc demo: replays releases of mime-db as versions, and looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli import demo_remote, showing
from versioned_collection.cli.command import command
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.replay import BRANCH, COLLECTION, DATABASE, Replay
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
Remote = Annotated[
    bool,
    typer.Option("--remote", help="Show how two databases with one collection diverge and meet."),
]


@command("demo", panel="Set up", twin=None, keys=("steps", "seconds", "versions", "directory"))
def demo(session: Session, keep: Keep = None, remote: Remote = False) -> None:
    """Replay ten releases of the mime-db database on an embedded server.

    Each release becomes a version, with its author and date. Then come the log, a diff of two
    releases, a checkout of an old one that is compared with the original, a branch with an
    edit, a merge with one conflict, and a check of everything on disk. With --remote the
    collection is cloned, both sides go on, a push is refused, a pull merges, and a push brings
    the outcome back. No configured server is touched.
    """
    replay = Replay()
    with replay.step("start the embedded server"):
        uri = _server(session, keep)
        client = session.connect(uri)
    if client[DATABASE].list_collection_names():
        raise UsageFailure(f"{keep} holds a demo already: look around, or name another directory")
    if remote:
        copy = demo_remote.show(session, replay, client, uri)
        showing.sum_up(session, replay, copy, keep)
        demo_remote.go_on(session, keep)
    else:
        showing.sum_up(session, replay, _show(session, replay, client[DATABASE]), keep)
        showing.go_on(session, keep, DATABASE)


def _show(session: Session, replay: Replay, database: Any) -> VersionedCollection:
    """Go through all steps on one collection."""
    collection = _record(session, replay, database)
    _look(session, replay, collection)
    _branch_off(session, replay, collection)
    _merge(session, replay, collection)
    with replay.step("verify", "every version, in both directions"):
        replay.verify(collection)
    return collection


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
        showing.say(session, f"mime-db {release.version}, {len(release.documents):,} documents")
        replay.record(collection, release)
    return collection


def _look(session: Session, replay: Replay, collection: VersionedCollection) -> None:
    """Show the log and a diff, and check an old release out."""
    with replay.step("log", "all versions as a graph"):
        showing.graph(session, collection)
    showing.heading(session, "diff v1.52.0 v1.53.0, the first documents")
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
    showing.graph(session, collection)


def _merge(session: Session, replay: Replay, collection: VersionedCollection) -> None:
    """Merge the branch: one conflict waits, is shown and settled."""
    with replay.step(f"merge {BRANCH}, nine releases later") as step:
        conflicts = replay.merge(collection)
        step.detail = f"{len(conflicts)} conflict waits"
    showing.conflicts(session, conflicts)
    with replay.step("settle it, register the merge") as step:
        extensions = replay.settle(collection, conflicts[0])
        step.detail = f"extensions: {', '.join(extensions)}"
    with replay.step("compare it with both sides") as step:
        step.detail = replay.compare_merged(collection, extensions)
    showing.graph(session, collection)


def _differences(session: Session, changes: list[Any]) -> None:
    from versioned_collection.cli.comparing import Comparison

    if session.json:
        return
    comparison = Comparison(("main@7", "main@8"), False, "from")
    updates = [change for change in changes if change.op == "update"]
    for change in updates[:_SHOWN_DIFFERENCES]:
        session.show(*comparison.texts(change))
    session.show(f"... and {len(changes) - _SHOWN_DIFFERENCES} more documents")
