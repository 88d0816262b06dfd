"""Commands for versions as views."""

from __future__ import annotations

from typing import Annotated

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.history import facts, revision
from versioned_collection.cli.lines import printable
from versioned_collection.cli.past import Where
from versioned_collection.cli.session import Session

_VIEWS = "Look"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the view.")]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Let a view that has the name show this version from now on."),
]


@command(
    "publish-view", panel=_VIEWS, twin="VersionedCollection.publish_view", keys=("name", "version")
)
def publish_view(session: Session, text: Where, name: Name, replace: Replace = False) -> None:
    """Make a MongoDB view of a version, for mongosh, Compass and other programs."""
    collection = session.tracked
    with session.working("publish-view") as progress:
        version = collection.publish_view(
            revision(collection, text), name, replace=replace, progress=progress
        )
    shown = f"{printable(name)} shows {printable(version.label)}"
    session.answer({"name": name, "version": facts(version)}, shown)


@command("views", panel=_VIEWS, twin="VersionedCollection.views", keys=("views",))
def views(session: Session) -> None:
    """List the views of versions."""
    found = session.tracked.views()
    listed = [{"name": name, "version": facts(version)} for name, version in found.items()]
    lines = [f"{printable(name)}  {printable(one.label)}" for name, one in found.items()]
    session.answer({"views": listed}, *lines)


@command("drop-view", panel=_VIEWS, twin="VersionedCollection.drop_view", keys=("name",))
def drop_view(session: Session, name: Name) -> None:
    """Drop a view of a version."""
    session.tracked.drop_view(name)
    session.answer({"name": name}, f"{printable(name)} is gone")
