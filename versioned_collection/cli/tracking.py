"""Commands that record versions and move between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from versioned_collection.cli.arguments import (
    REVISION_HELP,
    Author,
    Branch,
    Metadata,
    Yes,
    author_of,
    document_of,
)
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import facts, revision
from versioned_collection.cli.lines import counted, load_id
from versioned_collection.cli.policies import places_of
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import Only

_RECORD, _MOVE, _REMOVE = "Record", "Move", "Rename and remove"
_NO_MESSAGE = "say what changed and why: --message TEXT"

Message = Annotated[
    str | None,
    typer.Option(
        "--message",
        "-m",
        metavar="TEXT",
        help="What changed and why; only a merge that waits has words of its own.",
        show_default=False,
    ),
]
InitialMessage = Annotated[
    str | None,
    typer.Option(
        "--message", "-m", metavar="TEXT", help="What to say about it.", show_default=False
    ),
]
NewBranchWhenDetached = Annotated[
    str | None,
    typer.Option(
        "--branch",
        metavar="NAME",
        help="The new branch, when HEAD is detached.",
        show_default=False,
    ),
]
OnlyId = Annotated[
    list[str] | None,
    typer.Option(
        "--only-id",
        metavar="ID",
        help="Record the change of this document alone. Repeatable.",
        show_default=False,
    ),
]
OnlyFilter = Annotated[
    str | None,
    typer.Option(
        "--only-filter",
        metavar="JSON",
        help="Record the changes of the documents that match a filter.",
        show_default=False,
    ),
]
OnlyField = Annotated[
    list[str] | None,
    typer.Option(
        "--only-field",
        metavar="PLACE",
        help="Record the changes at this place alone, such as stats.*.count. Repeatable.",
        show_default=False,
    ),
]
ToRevision = Annotated[
    str | None, typer.Argument(metavar="REVISION", help=REVISION_HELP, show_default=False)
]
NewBranch = Annotated[
    str | None,
    typer.Option(
        "--new-branch", "-b", metavar="NAME", help="Create this branch there.", show_default=False
    ),
]


@command("init", panel=_RECORD, twin="VersionedCollection.init", keys=("version",))
def init(
    session: Session,
    message: InitialMessage = None,
    author: Author = None,
    metadata: Metadata = None,
) -> None:
    """Track the collection: its present documents become version 0 of main."""
    collection = session.collection
    who, what = author_of(session, author), document_of(metadata, "--metadata")
    with session.working("init") as progress:
        version = collection.init(message, author=who, metadata=what, progress=progress)
    count = version.stats.get("inserted", 0)
    session.answer(
        {"version": facts(version)},
        f"tracking {collection.full_name}: {counted(count)} in version {version.label}",
    )


@command(
    "register",
    panel=_RECORD,
    twin="VersionedCollection.register",
    keys=("registered", "version"),
)
def register(
    session: Session,
    message: Message = None,
    branch: NewBranchWhenDetached = None,
    author: Author = None,
    metadata: Metadata = None,
    only_id: OnlyId = None,
    only_filter: OnlyFilter = None,
    only_field: OnlyField = None,
) -> Exit | None:
    """Record the present documents as the next version.

    After a merge whose conflicts are settled this records the merge. With --only-id,
    --only-filter or --only-field some of the changes are recorded, and the rest stays.
    """
    from versioned_collection.cli.render import stats_text
    from versioned_collection.errors import InvalidType

    if message is None and not session.collection.is_tracked():
        raise UsageFailure(_NO_MESSAGE)
    collection = session.tracked
    who, what = author_of(session, author), document_of(metadata, "--metadata")
    try:
        with session.working("register") as progress:
            done = collection.register(
                message,
                branch,
                author=who,
                metadata=what,
                only=_only(only_id, only_filter, only_field),
                progress=progress,
            )
    except InvalidType as error:
        if message is None and error.facts.get("argument") == "message":
            raise UsageFailure(_NO_MESSAGE) from None
        raise
    if not done:
        session.answer({"registered": False, "version": None}, "nothing changed since HEAD")
        return Exit.NOTHING
    version = collection.resolve("HEAD")
    session.answer(
        {"registered": True, "version": facts(version)},
        f"registered {version.label}: {stats_text(version.stats)}",
    )
    return None


def _only(ids: list[str] | None, filter_: str | None, fields: list[str] | None) -> Only | None:
    from versioned_collection import Only

    if not (ids or filter_ or fields):
        return None
    return Only(
        ids=[load_id(text) for text in ids] if ids else None,
        filter=document_of(filter_, "--only-filter"),
        fields=places_of(fields),
    )


@command(
    "checkout",
    panel=_MOVE,
    twin="VersionedCollection.checkout",
    keys=("version", "branch", "detached"),
)
def checkout(
    session: Session,
    to: ToRevision = None,
    branch: Branch = None,
    new_branch: NewBranch = None,
) -> None:
    """Bring the collection to another version.

    A branch alone means its tip. Any other version than a tip detaches HEAD.
    """
    collection = session.tracked
    if to is None and branch is None and new_branch is None:
        raise UsageFailure("check out what? Give a revision, --branch, or -b NAME")
    if to is not None or branch is not None:
        wanted = None if to is None else revision(collection, to, branch)
        with session.working("checkout") as progress:
            collection.checkout(wanted, branch, progress=progress)
    if new_branch is not None:
        collection.create_branch(new_branch)
    version, detached = collection.resolve("HEAD"), collection.is_detached()
    where = "HEAD is detached at" if detached else f"on branch {collection.branch}, version"
    session.answer(
        {"version": facts(version), "branch": collection.branch, "detached": detached},
        f"{where} {version.label}: {version.message}",
    )


@command(
    "discard-changes",
    panel=_MOVE,
    twin="VersionedCollection.discard_changes",
    keys=("discarded",),
)
def discard_changes(session: Session, yes: Yes = False) -> Exit | None:
    """Bring the documents back to HEAD; uncommitted changes are lost."""
    collection = session.tracked
    if not collection.has_changes():
        session.answer({"discarded": False}, "nothing changed since HEAD")
        return Exit.NOTHING
    if not session.confirm(f"Lose the uncommitted changes of {collection.full_name}?", yes):
        session.answer({"discarded": False}, "nothing was discarded")
        return Exit.NOTHING
    with session.working("discard") as progress:
        collection.discard_changes(progress=progress)
    session.answer({"discarded": True}, f"back to {collection.resolve('HEAD').label}")
    return None


SubtreeRoot = Annotated[str, typer.Argument(metavar="REVISION", help=REVISION_HELP)]


@command(
    "delete-version-subtree",
    panel=_REMOVE,
    twin="VersionedCollection.delete_version_subtree",
    keys=("deleted", "version"),
)
def delete_version_subtree(
    session: Session, root: SubtreeRoot, branch: Branch = None, yes: Yes = False
) -> Exit | None:
    """Remove a version, its successors, and the branches that live there.

    Removing the first version drops the collection and its whole history.
    """
    collection = session.tracked
    version = collection.resolve(revision(collection, root, branch))
    tree = collection.version_tree
    count = 0 if tree is None else sum(1 for _ in tree.descendants(version.id))
    question = f"Remove {version.label} and {count - 1} successor(s)?"
    if not version.parents:
        question = f"{version.label} is the first version: drop {collection.full_name} entirely?"
    if not session.confirm(question, yes):
        session.answer({"deleted": 0, "version": None}, "nothing was removed")
        return Exit.NOTHING
    with session.working("delete") as progress:
        collection.delete_version_subtree(version, progress=progress)
    head = collection.resolve("HEAD") if collection.is_tracked() else None
    session.answer(
        {"deleted": count, "version": head and facts(head)},
        f"removed {count} version(s); " + (f"HEAD is {head.label}" if head else "none is left"),
    )
    return None


NewName = Annotated[str, typer.Argument(metavar="NAME", help="The collection's new name.")]


@command("rename", panel=_REMOVE, twin="VersionedCollection.rename", keys=("name",))
def rename(session: Session, new_name: NewName) -> None:
    """Rename the collection and its trackers.

    A configuration file that names the collection follows.
    """
    old = session.tracked.full_name
    renamed = session.collection.rename(new_name)
    named = session.settings.get("collection")
    if named is not None and named.source == "file":
        session.file.set({"collection": new_name}, session.stored_in("collection"))
    session.answer({"name": renamed.name}, f"{old} is {renamed.full_name} now")


@command("drop", panel=_REMOVE, twin="VersionedCollection.drop", keys=("dropped",))
def drop(session: Session, yes: Yes = False) -> Exit | None:
    """Drop the collection and its whole history."""
    collection = session.tracked
    question = f"Drop {collection.full_name}, its documents and all its versions?"
    if not session.confirm(question, yes):
        session.answer({"dropped": False}, "nothing was dropped")
        return Exit.NOTHING
    collection.drop()
    session.answer({"dropped": True}, f"dropped {collection.full_name}")
    return None
