"""Commands that bring versions from one side of a collection to another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.history import facts
from versioned_collection.cli.lines import counted
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
from versioned_collection.cli.transfers import (
    FETCH,
    PANEL,
    PULL,
    PUSH,
    concealed,
    transfer_facts,
    transfer_lines,
)

if TYPE_CHECKING:
    from versioned_collection import Pulled, Version, VersionedCollection

Remote = Annotated[
    str | None,
    typer.Argument(
        metavar="REMOTE",
        help="The name of a remote, mongodb://host/database, or the path of a bundle (to fetch "
        "and pull from); origin without one. A password is written as '${NAME}', which stands "
        "for an environment variable.",
        show_default=False,
    ),
]
Branch = Annotated[
    str | None,
    typer.Argument(
        metavar="BRANCH", help="The branch; the one that is checked out.", show_default=False
    ),
]
AnyBranch = Annotated[
    str | None,
    typer.Argument(metavar="BRANCH", help="The branch; all, and the tags.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Push all branches.")]
Tags = Annotated[bool, typer.Option("--tags", help="Push all tags as well.")]
Delete = Annotated[bool, typer.Option("--delete", help="Delete the branch at the remote instead.")]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Move the remote's branch also where versions drop out of it, as long as it is "
        "where it was last seen.",
    ),
]
NoCheckout = Annotated[
    bool,
    typer.Option(
        "--no-checkout",
        help="Leave the remote's documents as they are, until a push without this.",
    ),
]
Rebase = Annotated[
    bool,
    typer.Option("--rebase", help="Replay local versions on the remote's, instead of merging."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would move.")]
Uri = Annotated[
    str,
    typer.Argument(
        metavar="URI",
        help="The collection to copy: mongodb://host/database.collection, without the "
        "collection where --collection names it, or the path of a bundle. A password is written "
        "as '${NAME}'.",
    ),
]
CheckedOut = Annotated[
    str | None,
    typer.Option(
        "--branch",
        metavar="NAME",
        help="The branch to check out; the one that is checked out there.",
        show_default=False,
    ),
]

RemoteName = Annotated[
    str, typer.Option("--remote-name", metavar="NAME", help="What the remote is called.")
]

_TRANSFER = ("remote", "versions", "branches", "dry_run")


@command(
    "push",
    panel=PANEL,
    twin="VersionedCollection.push",
    keys=(*_TRANSFER, "tags", "tags_kept", "created", "caught_up"),
)
def push(
    session: Session,
    remote: Remote = None,
    branch: Branch = None,
    every: All = False,
    tags: Tags = False,
    delete: Delete = False,
    force: Force = False,
    no_checkout: NoCheckout = False,
    dry_run: DryRun = False,
) -> None:
    """Bring a branch to a remote: the versions that it lacks, then its branch moves on.

    Where the remote has the branch checked out, its documents follow. A remote that is not
    tracked becomes a copy. Where it has versions that are not here, "pull" comes first.
    """
    collection = session.tracked
    wanted: dict[str, Any] = {
        "branch": branch,
        "do_checkout": not no_checkout,
        "all": every,
        "tags": tags,
        "delete": delete,
        "force": force,
    }
    remote = concealed(session, remote)
    with session.working("push"):
        plan: Any = collection.push(remote, **wanted, dry_run=True)
    if not dry_run:
        with session.working("push", {"versions": plan.versions}) as progress:
            collection.push(remote, **wanted, progress=progress)
    lines = transfer_lines(collection, PUSH, plan, dry_run, plan.tags)
    if plan.created:
        lines.insert(
            1, f"  it {'would become' if dry_run else 'became'} a copy of this collection"
        )
    session.answer(
        {
            **transfer_facts(collection, plan, dry_run),
            "tags": list(plan.tags),
            "tags_kept": list(plan.tags_kept),
            "created": plan.created,
            "caught_up": plan.caught_up,
        },
        *lines,
    )


@command(
    "pull",
    panel=PANEL,
    twin="VersionedCollection.pull",
    keys=(*_TRANSFER, "outcome", "version", "created"),
)
def pull(
    session: Session,
    remote: Remote = None,
    branch: Branch = None,
    rebase: Rebase = False,
    dry_run: DryRun = False,
    by_default: ByDefault = None,
    by_place: ByPlace = None,
    sets: Sets = None,
    list_keys: ListKeys = None,
    coupled: Coupled = None,
    same_change: SameChange = None,
) -> Exit | None:
    """Bring a branch from a remote, and let the local one go on from there.

    The outcome is "fast_forward", "merged", "rebased", "up_to_date" or "created", null with
    --dry-run. Where both sides have versions that the other lacks, they are merged; conflicts
    wait for decisions (exit code 11), as after "merge". A collection without history becomes a
    copy.
    """
    collection = session.collection
    policy = policy_of(by_default, by_place, sets, list_keys, coupled, same_change)
    remote = concealed(session, remote)
    with session.working("pull"):
        plan: Any = collection.pull(remote, branch, rebase=rebase, policy=policy, dry_run=True)
    if plan is None:
        return _nothing_there(session, dry_run)
    if not dry_run:
        with session.working("pull", _totals(plan)) as progress:
            collection.pull(remote, branch, rebase=rebase, policy=policy, progress=progress)
        if plan.created:
            plan = replace(plan, versions=_count(collection))
    outcome, version = (None, None) if dry_run else _outcome(collection, plan, branch, rebase)
    lines = transfer_lines(collection, PULL, plan, dry_run)
    if version is not None and outcome in ("merged", "rebased"):
        lines.append(f"{outcome}: {version.label}")
    elif version is not None and outcome == "created":
        lines.append(_copied(collection, version))
    session.answer(
        {
            **transfer_facts(collection, plan, dry_run),
            "outcome": outcome,
            "version": version and facts(version),
            "created": plan.created,
        },
        *lines,
    )
    return None


def _nothing_there(session: Session, dry_run: bool) -> Exit:
    session.answer(
        {
            "remote": None,
            "versions": 0,
            "branches": [],
            "dry_run": dry_run,
            "outcome": None,
            "version": None,
            "created": False,
        },
        "the remote is not tracked, so there is nothing to pull; 'vc push' makes it a copy",
    )
    return Exit.NOTHING


def _totals(plan: Pulled) -> dict[str, int]:
    """Return how many versions come, where the plan knows it."""
    return {} if plan.created else {"versions": plan.versions}


def _outcome(
    collection: VersionedCollection, plan: Pulled, branch: str | None, rebase: bool
) -> tuple[str, Version]:
    """Return what became of a pull, and the tip of the branch afterwards."""
    if plan.created:
        return "created", collection.resolve("HEAD")
    name = branch or collection.branch
    tip = collection.resolve(name)
    if name not in plan.branches:
        return "up_to_date", tip
    if tip.id == plan.branches[name][1]:
        return "fast_forward", tip
    return "rebased" if rebase else "merged", tip


@command("fetch", panel=PANEL, twin="VersionedCollection.fetch", keys=_TRANSFER)
def fetch(
    session: Session, remote: Remote = None, branch: AnyBranch = None, dry_run: DryRun = False
) -> None:
    """Bring the history of a remote, and touch nothing else.

    Its branches are named after it: "origin/main" is a revision like any branch, and "branches
    --remotes" lists them.
    """
    collection = session.tracked
    remote = concealed(session, remote)
    with session.working("fetch") as progress:
        done = collection.fetch(remote, branch, dry_run=dry_run, progress=progress)
    session.answer(
        transfer_facts(collection, done, dry_run),
        *transfer_lines(collection, FETCH, done, dry_run),
    )


@command(
    "clone",
    panel=PANEL,
    twin="VersionedCollection.clone",
    keys=("collection", "remote", "versions", "branches", "version"),
)
def clone(
    session: Session, uri: Uri, branch: CheckedOut = None, remote_name: RemoteName = "origin"
) -> None:
    """Copy a tracked collection with its whole history into the database that is configured.

    The copy has the name of the original, which the URI or --collection says. The remote is
    noted as "origin", unless the URI holds a password.
    """
    from versioned_collection import VersionedCollection

    session.conceal(uri)
    name = _name(session, uri)
    with session.working("clone") as progress:
        copy = VersionedCollection.clone(
            uri,
            session.database,
            name,
            branch=branch,
            remote_name=remote_name,
            progress=progress,
            **session.collection_options(),
        )
    noted = any(one.name == remote_name and one.url for one in copy.remotes())
    version = copy.resolve("HEAD")
    lines = [_copied(copy, version)]
    if not noted:
        lines.append(
            "the remote is not noted, because its URI holds a password; 'vc add-remote' with "
            "${NAME} in its place does that"
        )
    session.answer(
        {
            "collection": copy.full_name,
            "remote": remote_name if noted else None,
            "versions": _count(copy),
            "branches": sorted(copy.branches()),
            "version": facts(version),
        },
        *lines,
    )


def _name(session: Session, uri: str) -> str | None:
    """Return the name of the copy: that of the option, else of the URI, else of the settings."""
    from versioned_collection.remotes.address import collection_in

    return (
        session.flags.get("collection")
        or collection_in(uri)
        or session.settings.value("collection")
    )


def _copied(collection: VersionedCollection, version: Version) -> str:
    count = counted(_count(collection), "version")
    return f"{collection.full_name} is a copy with {count}, at {version.label}"


def _count(collection: VersionedCollection) -> int:
    tree = collection.version_tree
    return 0 if tree is None else len(tree)
