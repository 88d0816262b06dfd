"""Commands that remove data from all versions for good, and tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import Author, DryRun, Yes, author_of, document_of
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import counted, dump, load_id, plain, printable
from versioned_collection.cli.policies import places_of
from versioned_collection.cli.session import Session
from versioned_collection.cli.wording import in_commands

if TYPE_CHECKING:
    from versioned_collection import Purged

_CARE = "Care"
_COUNTS = ("documents", "versions", "removed", "rewritten", "working_copy", "stashes", "views")

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID]...", help="The _id of a document, as JSON or text.", show_default=False
    ),
]
Chosen = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="The documents that match a filter of MongoDB in any version, or now.",
        show_default=False,
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Option(
        "--path",
        metavar="PATTERN",
        help="Only these fields, such as address.city or items.*.price; of all documents where "
        "none are named.",
        show_default=False,
    ),
]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="TEXT",
        help="Why, for those who find the history changed. Do not repeat what is to go.",
        show_default=False,
    ),
]


@command(
    "purge",
    panel=_CARE,
    twin="VersionedCollection.purge",
    keys=(*_COUNTS, "kept", "unreachable", "dry_run"),
)
def purge(
    session: Session,
    texts: Ids = None,
    filter_: Chosen = None,
    paths: Places = None,
    reason: Reason = None,
    author: Author = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Exit | None:
    """Truly remove leaked or personal data from all versions. This cannot be undone.

    It goes from versions, stashes, published views and the collection itself, also where it is
    uncommitted, and from all worktrees. Checksums change; the old ones still lead to their
    versions. A tombstone is kept: when, by whom, why and how much, never what. "unreachable" tells
    what may still hold it.
    """
    if not (texts or filter_ or paths):
        raise UsageFailure("purge what? Give the _id of documents, --filter, or --path")
    if reason is None and not dry_run:
        raise UsageFailure("say why: --reason TEXT is all that is kept of a purge")
    collection = session.tracked
    question = f"Remove it from all versions of {collection.full_name}, for good?"
    if not dry_run and not session.confirm(question, yes):
        return Exit.NOTHING
    with session.working("purge") as progress:
        found = collection.purge(
            [load_id(text) for text in texts] if texts else None,
            document_of(filter_, "--filter"),
            places_of(paths),
            reason,
            author_of(session, author),
            dry_run,
            progress=progress,
        )
    facts = {**asdict(found), "kept": plain(list(found.kept)), "dry_run": dry_run}
    session.answer(facts, *_lines(found, dry_run))
    return None if found.documents else Exit.NOTHING


def _lines(found: Purged, dry_run: bool) -> Iterator[str]:
    if not found.documents:
        yield "there is nothing of it"
        return
    would = "would be " * dry_run
    yield (
        f"{counted(found.documents)} {would}purged, from {counted(found.versions, 'version')}: "
        f"{counted(found.removed, 'change')} {would}removed, {found.rewritten:,} rewritten"
    )
    yield (
        f"{counted(found.working_copy)} in working copies, "
        f"{counted(found.stashes, 'stash', 'stashes')}, {counted(found.views, 'view')}"
    )
    yield from (f"still written by another client: {dump(id_)}" for id_ in found.kept)
    yield "what may still hold it:"
    yield from (f"  {printable(in_commands(text))}" for text in found.unreachable)


@command("purges", panel=_CARE, twin="VersionedCollection.purges", keys=("purges",))
def purges(session: Session) -> None:
    """List what was purged: when, by whom, why and how much; the latest first."""
    from versioned_collection.cli.render import table
    from versioned_collection.core.version import author_text

    found = session.tracked.purges()
    listed: list[dict[str, Any]] = [asdict(one) for one in found]
    rows = [
        (
            f"{one.timestamp:%Y-%m-%d %H:%M:%S}",
            printable(author_text(one.by)),
            f"{one.documents:,}",
            f"{one.versions:,}",
            printable(one.reason),
        )
        for one in found
    ]
    headings = ("time", "who", "#documents", "#versions", "reason")
    session.answer({"purges": listed}, table(headings, rows))
