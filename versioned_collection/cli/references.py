"""Commands for branches and tags."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from versioned_collection.cli.arguments import REVISION_HELP
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.history import facts, revision
from versioned_collection.cli.session import Session
from versioned_collection.cli.transfers import Labels

_NAMES = "Branches and tags"

BranchName = Annotated[str, typer.Argument(metavar="NAME", help="The branch.")]
OldName = Annotated[str, typer.Argument(metavar="OLD", help="The branch.")]
NewName = Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]
OptionalName = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The branch to create.", show_default=False),
]
OfRemotes = Annotated[
    bool,
    typer.Option("--remotes", help="List those of remotes instead, where they were last seen."),
]
TagName = Annotated[str, typer.Argument(metavar="NAME", help="The tag.")]
Tagged = Annotated[str, typer.Argument(metavar="REVISION", help=REVISION_HELP)]
TagMessage = Annotated[
    str | None,
    typer.Option(
        "--message", "-m", metavar="TEXT", help="What it stands for.", show_default=False
    ),
]


@command("branches", panel=_NAMES, twin="VersionedCollection.branches", keys=("branches",))
def branches(session: Session, remotes: OfRemotes = False) -> None:
    """List the branches, and the version each one points to.

    Those of remotes are where they were last seen; their version is null until it is fetched.
    """
    from versioned_collection.cli.render import table

    collection = session.tracked
    if remotes:
        _list_remote(session)
        return
    current = None if collection.is_detached() else collection.branch
    found = {name: collection.resolve(name) for name in sorted(collection.branches())}
    if session.json:
        listed = [_branch_facts(name, tip, name == current) for name, tip in found.items()]
        session.emit({"branches": listed})
        return
    rows = [
        ("*" if name == current else "", name, tip.label, tip.subject)
        for name, tip in found.items()
    ]
    session.show(table(("", "branch", "version", "message"), rows))


def _branch_facts(name: str, tip: Any, current: bool = False) -> dict[str, Any]:
    return {"name": name, "current": current, "version": tip and facts(tip)}


def _list_remote(session: Session) -> None:
    """List the branches of remotes."""
    from versioned_collection.cli.render import table

    labels = Labels(session.collection)
    found = [
        (f"{remote.name}/{name}", tip)
        for remote in session.collection.remotes()
        for name, tip in sorted(remote.branches.items())
    ]
    if session.json:
        session.emit(
            {"branches": [_branch_facts(name, labels.version(tip)) for name, tip in found]}
        )
    elif found:
        rows = [(name, labels.text(tip), labels.message(tip)) for name, tip in found]
        session.show(table(("branch", "version", "message"), rows))


@command(
    "create-branch",
    panel=_NAMES,
    twin="VersionedCollection.create_branch",
    keys=("branch", "version"),
)
def create_branch(session: Session, name: BranchName) -> None:
    """Create a branch at HEAD and check it out; uncommitted changes stay."""
    collection = session.tracked
    collection.create_branch(name)
    version = collection.resolve("HEAD")
    session.answer(
        {"branch": name, "version": facts(version)},
        f"on the new branch {name}, at {version.label}",
    )


@command(
    "branch",
    panel=_NAMES,
    twin="VersionedCollection.create_branch",
    keys=("branches", "branch", "version"),
)
def branch(session: Session, name: OptionalName = None) -> None:
    """List the branches, or create one.

    This is "branches" without a name, and "create-branch" with one.
    """
    if name is None:
        branches(session)
    else:
        create_branch(session, name)


@command(
    "delete-branch", panel=_NAMES, twin="VersionedCollection.delete_branch", keys=("deleted",)
)
def delete_branch(session: Session, name: BranchName) -> None:
    """Remove a branch's name; its versions stay."""
    session.tracked.delete_branch(name)
    session.answer({"deleted": name}, f"deleted branch {name}")


@command(
    "rename-branch", panel=_NAMES, twin="VersionedCollection.rename_branch", keys=("old", "new")
)
def rename_branch(session: Session, old: OldName, new: NewName) -> None:
    """Give a branch another name; the labels of its versions follow."""
    session.tracked.rename_branch(old, new)
    session.answer({"old": old, "new": new}, f"branch {old} is {new} now")


@command("tags", panel=_NAMES, twin="VersionedCollection.tags", keys=("tags",))
def tags(session: Session) -> None:
    """List the tags, and the version each one names."""
    from versioned_collection.cli.render import table

    found = sorted(session.tracked.tags().items())
    if session.json:
        listed = [{"name": name, "version": facts(version)} for name, version in found]
        session.emit({"tags": listed})
    elif found:
        rows = [(name, version.label, version.subject) for name, version in found]
        session.show(table(("tag", "version", "message"), rows))


@command("tag", panel=_NAMES, twin="VersionedCollection.tag", keys=("tag", "version"))
def tag(
    session: Session, name: TagName, tagged: Tagged = "HEAD", message: TagMessage = None
) -> None:
    """Name a version for good."""
    collection = session.tracked
    version = collection.tag(name, revision(collection, tagged), message)
    session.answer({"tag": name, "version": facts(version)}, f"{version.label} is tagged {name}")


@command("delete-tag", panel=_NAMES, twin="VersionedCollection.delete_tag", keys=("deleted",))
def delete_tag(session: Session, name: TagName) -> Exit | None:
    """Remove a tag; the version stays."""
    session.tracked.delete_tag(name)
    session.answer({"deleted": name}, f"deleted tag {name}")
    return None
