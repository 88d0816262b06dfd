"""Commands for the names of other sides of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.redact import shown
from versioned_collection.cli.session import Session
from versioned_collection.cli.transfers import PANEL, Labels

if TYPE_CHECKING:
    from versioned_collection import RemoteInfo

Name = Annotated[str, typer.Argument(metavar="NAME", help="The remote, such as origin.")]
Uri = Annotated[
    str,
    typer.Argument(
        metavar="URI",
        help="Where it is: mongodb://host/database, or the path of a bundle. A password is "
        "written as '${NAME}', which stands for an environment variable, or "
        "'${keyring:SERVICE:USER}'.",
    ),
]


@command("remotes", panel=PANEL, twin="VersionedCollection.remotes", keys=("remotes",))
def remotes(session: Session) -> None:
    """List what is known about other sides of the collection; passwords are never shown."""
    from versioned_collection.cli.render import table

    collection = session.tracked
    found, labels = collection.remotes(), Labels(collection)
    if session.json:
        session.emit({"remotes": [_facts(one, labels) for one in found]})
    elif found:
        rows = [
            (
                one.name,
                "(never added)" if one.url is None else shown(one.url),
                ", ".join(f"{name} {labels.text(tip)}" for name, tip in one.branches.items()),
                "never" if one.seen is None else f"{one.seen:%Y-%m-%d %H:%M:%S} UTC",
            )
            for one in found
        ]
        session.show(table(("remote", "~address", "branches", "seen"), rows))


def _facts(remote: RemoteInfo, labels: Labels) -> dict[str, Any]:
    return {
        "name": remote.name,
        "url": None if remote.url is None else shown(remote.url),
        "branches": {name: labels.facts(tip) for name, tip in remote.branches.items()},
        "seen": remote.seen,
    }


@command("add-remote", panel=PANEL, twin="VersionedCollection.add_remote", keys=("added", "url"))
def add_remote(session: Session, name: Name, uri: Uri) -> None:
    """Give another side of the collection a name; the first one is best called origin."""
    session.conceal(name)
    session.conceal(uri)
    added = session.tracked.add_remote(name, uri)
    url = shown(added.url or uri)
    session.answer({"added": added.name, "url": url}, f"{added.name} is {url}")


@command("remove-remote", panel=PANEL, twin="VersionedCollection.remove_remote", keys=("removed",))
def remove_remote(session: Session, name: Name) -> None:
    """Forget a remote; the versions that came from it stay."""
    session.tracked.remove_remote(name)
    session.answer({"removed": name}, f"{name} is forgotten")
